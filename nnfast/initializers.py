"""Initial weights: Keras' names, formulas and defaults.

An initializer is called with a shape and a NumPy generator, and returns an array of that shape.
The shape of a kernel is (n_in, n_out); "fan_in" and "fan_out" are these two numbers.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

    _Shape: TypeAlias = tuple[int, ...]
    _Initializer: TypeAlias = Callable[[_Shape, Generator], ArrayLike]
    _InitializerLike: TypeAlias = str | _Initializer | type[Any]

__all__ = ["Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal",
           "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal",
           "VarianceScaling", "Zeros", "get"]

TRUNCATED_DEVIATION = 0.87962566103423978      # standard deviation of a standard normal distribution cut at -2 and 2


def _without_options(initializer: VarianceScaling) -> str:
    """The repr of a class that takes no options."""
    return f"{type(initializer).__name__}()"


def truncated_normal(rng: Generator, shape: _Shape) -> NDArray[Any]:
    """Standard normal values; those outside [-2, 2] are drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(np.count_nonzero(outside))
    return values


@dataclass(frozen=True)
class Constant:
    """Sets every weight to `value`.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> nnfast.initializers.Constant(0.5)((2, 3), np.random.default_rng(0))
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]])
    """

    value: float = 0.0

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class Zeros:
    """Sets every weight to 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> nnfast.initializers.Zeros()((3,), np.random.default_rng(0))
    array([0., 0., 0.])
    """

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones:
    """Sets every weight to 1.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> nnfast.initializers.Ones()((3,), np.random.default_rng(0))
    array([1., 1., 1.])
    """

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        return np.ones(shape)


@dataclass(frozen=True)
class RandomUniform:
    """Uniform distribution in [minval, maxval).

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> initializer = nnfast.initializers.RandomUniform(-1, 1)
    >>> weights = initializer((1000, 10), np.random.default_rng(0))
    >>> float(weights.min().round(2)), float(weights.max().round(2))
    (-1.0, 1.0)
    """

    minval: float = -0.05
    maxval: float = 0.05

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        return rng.uniform(self.minval, self.maxval, shape)


@dataclass(frozen=True)
class RandomNormal:
    """Normal distribution of the given mean and standard deviation.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> initializer = nnfast.initializers.RandomNormal(stddev=0.1)
    >>> weights = initializer((1000, 10), np.random.default_rng(0))
    >>> round(float(weights.std()), 2)
    0.1
    """

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal distribution; values beyond two standard deviations are drawn again.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> initializer = nnfast.initializers.TruncatedNormal(stddev=0.1)
    >>> weights = initializer((1000, 10), np.random.default_rng(0))
    >>> bool(np.abs(weights).max() <= 0.2)
    True
    """

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        return self.mean + self.stddev * truncated_normal(rng, shape)


def _fans(shape: _Shape) -> tuple[int, int]:
    return (shape[0], shape[1]) if len(shape) == 2 else (shape[0], shape[0])


@dataclass(frozen=True)
class VarianceScaling:
    """Random values with variance scale / fan; Glorot's, He's and LeCun's rules are cases of it.

    Parameters
    ----------
    scale : float above 0
    mode : {"fan_in", "fan_out", "fan_avg"}
        The fan: inputs of the layer, its outputs, or the mean of both.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        "truncated_normal" is cut at two standard deviations and widened to keep the variance;
        "normal" is another name for it, as in Keras.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> initializer = nnfast.initializers.VarianceScaling(3.0, "fan_in", "uniform")
    >>> weights = initializer((9, 1000), np.random.default_rng(0))
    >>> bool(0.99 < np.abs(weights).max() <= (3 * 3.0 / 9)**0.5)
    True
    """

    scale: float = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["truncated_normal", "normal", "untruncated_normal", "uniform"] = "truncated_normal"

    def __post_init__(self) -> None:
        check.positive(self.scale, "scale")
        check.one_of(self.mode, "mode", ("fan_in", "fan_out", "fan_avg"))
        check.one_of(self.distribution, "distribution",
                     ("truncated_normal", "normal", "untruncated_normal", "uniform"))

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        fan_in, fan_out = _fans(shape)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / fans[self.mode]
        if self.distribution == "uniform":
            limit = np.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0, np.sqrt(variance), shape)
        return np.sqrt(variance) / TRUNCATED_DEVIATION * truncated_normal(rng, shape)


class GlorotUniform(VarianceScaling):
    """Uniform distribution within sqrt(6 / (fan_in + fan_out)) of 0 (Glorot and Bengio 2010).

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.GlorotUniform()((20, 4), np.random.default_rng(0))
    >>> bool(np.abs(weights).max() <= (6 / 24)**0.5)
    True
    """

    def __init__(self) -> None:
        super().__init__(1.0, "fan_avg", "uniform")

    __repr__ = _without_options


class GlorotNormal(VarianceScaling):
    """Truncated normal distribution of variance 2 / (fan_in + fan_out).

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.GlorotNormal()((600, 200), np.random.default_rng(0))
    >>> round(float(weights.std()), 2), (2 / 800)**0.5
    (0.05, 0.05)
    """

    def __init__(self) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal")

    __repr__ = _without_options


class HeUniform(VarianceScaling):
    """Uniform distribution within sqrt(6 / fan_in) of 0 (He et al. 2015).

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.HeUniform()((24, 100), np.random.default_rng(0))
    >>> bool(np.abs(weights).max() <= (6 / 24)**0.5)
    True
    """

    def __init__(self) -> None:
        super().__init__(2.0, "fan_in", "uniform")

    __repr__ = _without_options


class HeNormal(VarianceScaling):
    """Truncated normal distribution of variance 2 / fan_in (He et al. 2015).

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.HeNormal()((800, 100), np.random.default_rng(0))
    >>> round(float(weights.std()), 2), (2 / 800)**0.5
    (0.05, 0.05)
    """

    def __init__(self) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal")

    __repr__ = _without_options


class LecunUniform(VarianceScaling):
    """Uniform distribution within sqrt(3 / fan_in) of 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.LecunUniform()((12, 100), np.random.default_rng(0))
    >>> bool(np.abs(weights).max() <= (3 / 12)**0.5)
    True
    """

    def __init__(self) -> None:
        super().__init__(1.0, "fan_in", "uniform")

    __repr__ = _without_options


class LecunNormal(VarianceScaling):
    """Truncated normal distribution of variance 1 / fan_in.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.LecunNormal()((400, 100), np.random.default_rng(0))
    >>> round(float(weights.std()), 2), (1 / 400)**0.5
    (0.05, 0.05)
    """

    def __init__(self) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal")

    __repr__ = _without_options


@dataclass(frozen=True)
class Orthogonal:
    """`gain` times a random matrix with orthonormal rows or columns, whichever are fewer.

    The matrix is Q of the QR decomposition of a matrix of normal values (Saxe, McClelland and
    Ganguli 2014).  Its columns take the signs of the diagonal of R, which makes all such matrices
    equally likely.  For kernels only.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> weights = nnfast.initializers.Orthogonal()((5, 3), np.random.default_rng(0))
    >>> bool(np.allclose(weights.T @ weights, np.eye(3)))
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check.number(self.gain, "gain")

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        _matrix_alone(self, shape)
        q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
        q = q * np.where(np.diag(r) < 0, -1, 1)
        return self.gain * (q.T if shape[0] < shape[1] else q)


@dataclass(frozen=True)
class Identity:
    """`gain` on the diagonal, 0 elsewhere: a layer that begins as the identity.  For kernels only.

    Where n_in and n_out differ, the last inputs have no effect, or the last outputs are 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> nnfast.initializers.Identity()((2, 3), np.random.default_rng(0))
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check.number(self.gain, "gain")

    def __call__(self, shape: _Shape, rng: Generator) -> NDArray[Any]:
        _matrix_alone(self, shape)
        n_in, n_out = shape
        return self.gain * np.eye(n_in, n_out)


def _matrix_alone(initializer: Orthogonal | Identity, shape: _Shape) -> None:
    if len(shape) != 2:
        raise ValueError(f"{initializer!r} makes matrices: it is for kernels, not for weights of shape {shape}.")


_NAMES: dict[str, type] = {
    "zeros": Zeros, "ones": Ones, "constant": Constant, "random_uniform": RandomUniform, "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal, "glorot_uniform": GlorotUniform, "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform, "he_normal": HeNormal, "lecun_uniform": LecunUniform, "lecun_normal": LecunNormal,
    "variance_scaling": VarianceScaling, "orthogonal": Orthogonal, "identity": Identity,
}


def get(identifier: _InitializerLike) -> _Initializer:
    """The initializer of a name or class; a callable `(shape, rng) -> array` is returned as it is.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.initializers.get("he_normal")
    HeNormal()
    """
    if isinstance(identifier, type) and identifier in _NAMES.values():
        return identifier()
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    if not isinstance(identifier, str) or identifier not in _NAMES:
        raise check.unknown("initializer", identifier, _NAMES)
    return _NAMES[identifier]()
