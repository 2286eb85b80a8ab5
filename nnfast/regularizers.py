"""Penalties on weights and outputs, added to the loss: Keras' names, defaults and formulas."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from nnfast import _validation as check

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import ArrayLike

    _RegularizerLike: TypeAlias = "str | L1L2 | None"

__all__ = ["L1", "L1L2", "L2", "get"]


@dataclass(frozen=True)
class L1L2:
    """l1 sum |w| + l2 sum w^2; the gradient is l1 sign(w) + 2 l2 w, where sign(0) = 0.

    Parameters
    ----------
    l1, l2 : float
        At least 0; 0 by default.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.regularizers.L1L2(l1=0.5, l2=0.25)([1.0, -2.0])
    2.75
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            object.__setattr__(self, name, check.number(getattr(self, name), name, 0))

    def __call__(self, weights: ArrayLike) -> float:
        w = check.floats(weights, "weights", np.float64)
        return float(self.l1 * np.abs(w).sum() + self.l2 * (w**2).sum())


@dataclass(frozen=True, init=False, repr=False)
class L1(L1L2):
    """l1 sum |w|.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.regularizers.L1(0.001)([1.0, -2.0])
    0.003
    """

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)

    def __repr__(self) -> str:
        return f"L1(l1={self.l1})"


@dataclass(frozen=True, init=False, repr=False)
class L2(L1L2):
    """l2 sum w^2: Keras' form, without a factor of 1/2.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.Dense(3, kernel_regularizer="l2").kernel_regularizer([1.0, -2.0])
    0.05
    """

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)

    def __repr__(self) -> str:
        return f"L2(l2={self.l2})"


_NAMES = {"l1": L1(), "l2": L2(), "l1_l2": L1L2(0.01, 0.01), "l1l2": L1L2(0.01, 0.01)}


@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | L1L2) -> L1L2: ...
def get(identifier: _RegularizerLike) -> L1L2 | None:
    """The regularizer of a name; a regularizer or None is returned as it is.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.regularizers.get("l2")
    L2(l2=0.01)
    """
    if identifier is None or isinstance(identifier, L1L2):
        return identifier
    if not isinstance(identifier, str) or identifier not in _NAMES:
        raise check.unknown("regularizer", identifier, _NAMES)
    return _NAMES[identifier]
