from dataclasses import dataclass
from typing import TypeAlias, overload

from numpy.typing import ArrayLike

__all__ = ["L1", "L1L2", "L2", "get"]

_RegularizerLike: TypeAlias = str | L1L2 | None

@dataclass(frozen=True)
class L1L2:
    l1: float = 0.0
    l2: float = 0.0
    def __call__(self, weights: ArrayLike) -> float: ...

@dataclass(frozen=True, init=False, repr=False)
class L1(L1L2):
    def __init__(self, l1: float = 0.01) -> None: ...

@dataclass(frozen=True, init=False, repr=False)
class L2(L1L2):
    def __init__(self, l2: float = 0.01) -> None: ...

@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | L1L2) -> L1L2: ...
