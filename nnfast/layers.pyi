from dataclasses import dataclass
from typing import TypeAlias

from numpy.typing import ArrayLike

from nnfast.activations import _ActivationLike
from nnfast.constraints import _Constraint, _ConstraintLike
from nnfast.initializers import _Initializer, _InitializerLike
from nnfast.regularizers import L1L2, _RegularizerLike

__all__ = [
    "Activation", "BatchNormalization", "Dense", "Dropout", "Flatten", "GaussianNoise", "Input", "LayerNormalization", "Normalization",
    "PReLU", "Rescaling",
]

_Columns: TypeAlias = float | tuple[float, ...]         # a number, or one for each column

class Layer: ...

@dataclass(frozen=True)
class Input(Layer):
    shape: tuple[int, ...]
    def __init__(self, shape: int | tuple[int, ...] | list[int]) -> None: ...

@dataclass(frozen=True)
class Flatten(Layer): ...

@dataclass(frozen=True, init=False)
class Dense(Layer):
    units: int
    activation: str
    use_bias: bool
    kernel_initializer: _Initializer
    bias_initializer: _Initializer
    kernel_regularizer: L1L2 | None = None
    bias_regularizer: L1L2 | None = None
    activity_regularizer: L1L2 | None = None
    kernel_constraint: _Constraint | None = None
    bias_constraint: _Constraint | None = None
    learning_rate_multiplier: float = 1.0
    def __init__(
        self, units: int, activation: _ActivationLike = None, *, use_bias: bool = True,
        kernel_initializer: _InitializerLike = "glorot_uniform", bias_initializer: _InitializerLike = "zeros",
        kernel_regularizer: _RegularizerLike = None, bias_regularizer: _RegularizerLike = None,
        activity_regularizer: _RegularizerLike = None, kernel_constraint: _ConstraintLike = None, bias_constraint: _ConstraintLike = None,
        learning_rate_multiplier: float = 1.0
    ) -> None: ...

@dataclass(frozen=True, init=False)
class Activation(Layer):
    activation: str
    def __init__(self, activation: _ActivationLike) -> None: ...

@dataclass(frozen=True)
class Dropout(Layer):
    rate: float

@dataclass(frozen=True)
class GaussianNoise(Layer):
    stddev: float

@dataclass(frozen=True, kw_only=True)
class _Affine(Layer):
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: _Initializer = ...
    gamma_initializer: _Initializer = ...
    def __init__(
        self, *, epsilon: float = 1e-3, center: bool = True, scale: bool = True, beta_initializer: _InitializerLike = "zeros",
        gamma_initializer: _InitializerLike = "ones"
    ) -> None: ...

@dataclass(frozen=True, kw_only=True)
class LayerNormalization(_Affine):
    def __init__(
        self, *, epsilon: float = 1e-3, center: bool = True, scale: bool = True, beta_initializer: _InitializerLike = "zeros",
        gamma_initializer: _InitializerLike = "ones"
    ) -> None: ...

@dataclass(frozen=True, kw_only=True)
class BatchNormalization(_Affine):
    momentum: float = 0.99
    def __init__(
        self, *, epsilon: float = 1e-3, center: bool = True, scale: bool = True, beta_initializer: _InitializerLike = "zeros",
        gamma_initializer: _InitializerLike = "ones", momentum: float = 0.99
    ) -> None: ...

@dataclass(frozen=True)
class Rescaling(Layer):
    scale: _Columns
    offset: _Columns = 0.0
    def __init__(self, scale: ArrayLike, offset: ArrayLike = 0.0) -> None: ...

@dataclass(frozen=True)
class Normalization(Layer):
    mean: _Columns | None = None
    variance: _Columns | None = None
    invert: bool = False
    def __init__(self, mean: ArrayLike | None = None, variance: ArrayLike | None = None, invert: bool = False) -> None: ...
    def adapt(self, x: ArrayLike) -> None: ...

@dataclass(frozen=True)
class PReLU(Layer):
    alpha_initializer: _Initializer = ...
    def __init__(self, alpha_initializer: _InitializerLike = "zeros") -> None: ...
