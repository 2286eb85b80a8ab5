"""Constraints on weights, applied after every step: Keras' names, defaults and formulas."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from nnfast import _validation as check

if TYPE_CHECKING:
    from typing import TypeAlias

    _Constraint: TypeAlias = "MaxNorm | NonNeg"
    _ConstraintLike: TypeAlias = str | _Constraint | None

__all__ = ["MaxNorm", "NonNeg", "get"]


@dataclass(frozen=True)
class MaxNorm:
    """Limits the Euclidean norm of the weights into each unit to `max_value`.

    The weights into a unit are a column of the kernel; a bias counts as one column.  Each column is
    multiplied by min(norm, max_value) / (1e-7 + norm), as in Keras with axis=0.

    Parameters
    ----------
    max_value : float
        Above 0; 2 by default.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.Dense(3, kernel_constraint=nnfast.constraints.MaxNorm(3.0)).kernel_constraint
    MaxNorm(max_value=3.0)
    """

    max_value: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_value", check.positive(self.max_value, "max_value"))

    def _name_and_limit(self) -> tuple[str, float]:
        return "max_norm", self.max_value


@dataclass(frozen=True)
class NonNeg:
    """Sets weights below 0 to 0.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.Dense(3, kernel_constraint="non_neg").kernel_constraint
    NonNeg()
    """

    def _name_and_limit(self) -> tuple[str, float]:
        return "non_neg", 0.0


_NAMES = {"max_norm": MaxNorm, "non_neg": NonNeg}


@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | _Constraint) -> _Constraint: ...
def get(identifier: _ConstraintLike) -> _Constraint | None:
    """The constraint of a name; a constraint or None is returned as it is.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.constraints.get("max_norm")
    MaxNorm(max_value=2.0)
    """
    if identifier is None or isinstance(identifier, (MaxNorm, NonNeg)):
        return identifier
    if not isinstance(identifier, str) or identifier not in _NAMES:
        raise check.unknown("constraint", identifier, _NAMES)
    return _NAMES[identifier]()
