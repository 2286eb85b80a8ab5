from dataclasses import dataclass
from typing import TypeAlias

from nnfast.activations import _ActivationLike
from nnfast.initializers import _Initializer, _InitializerLike

__all__ = ["Activation", "Dense", "Flatten", "Input"]

_Layer: TypeAlias = Input | Flatten | Dense | Activation

@dataclass(frozen=True)
class Input:
    shape: tuple[int, ...]
    def __init__(self, shape: int | tuple[int, ...] | list[int]) -> None: ...

@dataclass(frozen=True)
class Flatten: ...

@dataclass(frozen=True, init=False)
class Dense:
    units: int
    activation: str
    use_bias: bool
    kernel_initializer: _Initializer
    bias_initializer: _Initializer
    def __init__(
        self, units: int, activation: _ActivationLike = None, *, use_bias: bool = True,
        kernel_initializer: _InitializerLike = "glorot_uniform", bias_initializer: _InitializerLike = "zeros"
    ) -> None: ...

@dataclass(frozen=True, init=False)
class Activation:
    activation: str
    def __init__(self, activation: _ActivationLike) -> None: ...
