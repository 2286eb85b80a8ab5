from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

from numpy import float64
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "OneCycle", "PiecewiseConstantDecay",
    "PolynomialDecay", "Schedule",
]

class Schedule:
    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: ArrayLike) -> float | NDArray[float64]: ...

@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

@dataclass(frozen=True)
class InverseTimeDecay(ExponentialDecay): ...

@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    boundaries: Sequence[float]
    values: Sequence[float]

@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

@dataclass(frozen=True)
class CosineDecay(Schedule):
    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

@dataclass(frozen=True)
class CosineDecayRestarts(Schedule):
    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

@dataclass(frozen=True)
class OneCycle(Schedule):
    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
