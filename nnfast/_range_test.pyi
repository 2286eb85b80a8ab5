from dataclasses import dataclass

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from nnfast.models import Sequential

__all__ = ["LearningRateCurve", "find_learning_rate"]

@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    learning_rates: NDArray[float64]
    losses: NDArray[float64]
    smoothed: NDArray[float64]
    suggestion: float

def find_learning_rate(
    model: Sequential, x: ArrayLike, y: ArrayLike, *, batch_size: int = 32, start: float = 1e-6, end: float = 10.0, steps: int = 100,
    sample_weight: ArrayLike | None = None, seed: int = 0
) -> LearningRateCurve: ...
