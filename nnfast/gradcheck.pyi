from collections.abc import Callable
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from nnfast.losses import _LossLike
from nnfast.models import Sequential

__all__ = ["GradientReport", "gradcheck"]

_Place: TypeAlias = tuple[int, ...] | str

class GradientReport:
    worst_absolute: float
    worst_relative: float
    place: _Place | None
    n_wrong: int
    n_checked: int
    n_kinks: int
    entries: list[tuple[_Place, float, float, float]]
    def __init__(
        self, places: Any, given: Any, quotient: Any, rounding: Any, doubt: Any, kinks: Any, rtol: float, atol: float | None, size: int
    ) -> None: ...
    def __bool__(self) -> bool: ...

def gradcheck(
    subject: _LossLike | Sequential | tuple[Callable[..., Any], Callable[..., Any]], *arrays: ArrayLike,
    sample_weight: ArrayLike | None = None, rtol: float = 1e-06, atol: float | None = None, max_entries: int | None = 1000, seed: int = 0,
    verbose: bool = True
) -> GradientReport: ...
