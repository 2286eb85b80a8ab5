from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal", "LecunUniform", "Ones",
    "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros", "get",
]

_Initializer: TypeAlias = Callable[[tuple[int, ...], Generator], ArrayLike]
_InitializerLike: TypeAlias = str | _Initializer | type[Any]

@dataclass(frozen=True)
class Constant:
    value: float = 0.0
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class Zeros:
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class Ones:
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class RandomUniform:
    minval: float = -0.05
    maxval: float = 0.05
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class RandomNormal:
    mean: float = 0.0
    stddev: float = 0.05
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class TruncatedNormal:
    mean: float = 0.0
    stddev: float = 0.05
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class VarianceScaling:
    scale: float = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["truncated_normal", "normal", "untruncated_normal", "uniform"] = "truncated_normal"
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

class GlorotUniform(VarianceScaling):
    def __init__(self) -> None: ...

class GlorotNormal(VarianceScaling):
    def __init__(self) -> None: ...

class HeUniform(VarianceScaling):
    def __init__(self) -> None: ...

class HeNormal(VarianceScaling):
    def __init__(self) -> None: ...

class LecunUniform(VarianceScaling):
    def __init__(self) -> None: ...

class LecunNormal(VarianceScaling):
    def __init__(self) -> None: ...

@dataclass(frozen=True)
class Orthogonal:
    gain: float = 1.0
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

@dataclass(frozen=True)
class Identity:
    gain: float = 1.0
    def __call__(self, shape: tuple[int, ...], rng: Generator) -> NDArray[Any]: ...

def get(identifier: _InitializerLike) -> _Initializer: ...
