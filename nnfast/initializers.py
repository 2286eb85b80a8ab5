"""First values of weights: Keras' names, formulas and defaults."""
from dataclasses import dataclass

import numpy as np

from nnfast._validation import unknown

__all__ = ["Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Ones",
           "RandomNormal", "RandomUniform", "TruncatedNormal", "Zeros", "get"]

TRUNCATED_DEVIATION = 0.87962566103423978      # standard deviation of a normal distribution cut at two of its own


def truncated_normal(rng, shape):
    """Standard normal numbers, those beyond 2 drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(np.count_nonzero(outside))
    return values


@dataclass(frozen=True)
class Constant:
    """Every weight is `value`, a float."""

    value: float = 0.0

    def __call__(self, shape, rng):
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class Zeros:
    """Every weight is 0."""

    def __call__(self, shape, rng):
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones:
    """Every weight is 1."""

    def __call__(self, shape, rng):
        return np.ones(shape)


@dataclass(frozen=True)
class RandomUniform:
    """Uniform in [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05

    def __call__(self, shape, rng):
        return rng.uniform(self.minval, self.maxval, shape)


@dataclass(frozen=True)
class RandomNormal:
    """Normal of the given mean and standard deviation."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape, rng):
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal, drawn again beyond two standard deviations."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape, rng):
        return self.mean + self.stddev * truncated_normal(rng, shape)


def _fans(shape):
    return (shape[0], shape[1]) if len(shape) == 2 else (shape[0], shape[0])


@dataclass(frozen=True)
class GlorotUniform:
    """Uniform within sqrt(6 / (fan_in + fan_out)) of 0 (Glorot and Bengio 2010)."""

    def __call__(self, shape, rng):
        limit = np.sqrt(6 / sum(_fans(shape)))
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class GlorotNormal:
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    def __call__(self, shape, rng):
        return np.sqrt(2 / sum(_fans(shape))) / TRUNCATED_DEVIATION * truncated_normal(rng, shape)


@dataclass(frozen=True)
class HeUniform:
    """Uniform within sqrt(6 / fan_in) of 0 (He et al. 2015)."""

    def __call__(self, shape, rng):
        limit = np.sqrt(6 / _fans(shape)[0])
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class HeNormal:
    """Truncated normal of variance 2 / fan_in (He et al. 2015)."""

    def __call__(self, shape, rng):
        return np.sqrt(2 / _fans(shape)[0]) / TRUNCATED_DEVIATION * truncated_normal(rng, shape)


@dataclass(frozen=True)
class LecunUniform:
    """Uniform within sqrt(3 / fan_in) of 0."""

    def __call__(self, shape, rng):
        limit = np.sqrt(3 / _fans(shape)[0])
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class LecunNormal:
    """Truncated normal of variance 1 / fan_in."""

    def __call__(self, shape, rng):
        return np.sqrt(1 / _fans(shape)[0]) / TRUNCATED_DEVIATION * truncated_normal(rng, shape)


_NAMES = {
    "zeros": Zeros, "ones": Ones, "constant": Constant, "random_uniform": RandomUniform, "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal, "glorot_uniform": GlorotUniform, "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform, "he_normal": HeNormal, "lecun_uniform": LecunUniform, "lecun_normal": LecunNormal,
}


def get(identifier):
    """An initializer from its name, or the callable `(shape, rng) -> array` itself.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.initializers.get("he_normal")
    HeNormal()
    """
    if isinstance(identifier, type) and identifier in _NAMES.values():
        return identifier()
    if callable(identifier):
        return identifier
    if identifier not in _NAMES:
        raise unknown("initializer", identifier, _NAMES)
    return _NAMES[identifier]()
