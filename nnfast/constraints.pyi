from dataclasses import dataclass
from typing import TypeAlias, overload

__all__ = ["MaxNorm", "NonNeg", "get"]

_Constraint: TypeAlias = MaxNorm | NonNeg
_ConstraintLike: TypeAlias = str | _Constraint | None

@dataclass(frozen=True)
class MaxNorm:
    max_value: float = 2.0

@dataclass(frozen=True)
class NonNeg: ...

@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | _Constraint) -> _Constraint: ...
