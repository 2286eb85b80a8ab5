"""Learning rates that change with the step.

Names, arguments and formulas are Keras'; `OneCycle` is PyTorch's.

A schedule maps a step to its learning rate.  A step is one batch; step 0 is the first batch that a
model trains on.  A fit asks for the rates of many batches in one call, so a schedule has no
measurable cost.  Any other callable of the step works, too; it is called once for each step.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from nnfast import _validation as check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal

    from numpy import float64
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "OneCycle",
           "PiecewiseConstantDecay", "PolynomialDecay", "Schedule"]


class Schedule:
    """Base class: called with a step it gives a float, with an array of steps an array of rates.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.ExponentialDecay(0.1, 100, 0.5)
    >>> isinstance(schedule, nnfast.schedules.Schedule)
    True
    >>> schedule([0, 100, 200]).tolist()
    [0.1, 0.05, 0.025]
    """

    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: ArrayLike) -> float | NDArray[float64]: ...
    def __call__(self, step: ArrayLike) -> float | NDArray[float64]:
        # Always an array: NumPy's powers of scalars and of arrays may differ in the last bit.
        rates = self._rates(np.atleast_1d(np.asarray(step, np.float64)))
        return float(rates[0]) if np.ndim(step) == 0 else rates

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        """The rates of an array of steps."""
        raise TypeError(f"{type(self).__name__} must define __call__(step), the rate of a step. Or use one of "
                        f"nnfast.schedules, or a function of the step.")


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """initial_learning_rate * decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Round step / decay_steps down: the rate falls once every `decay_steps` steps.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
    >>> schedule(0), schedule(200)
    (0.1, 0.025)
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.decay_steps, "decay_steps")
        check.number(self.decay_rate, "decay_rate", 0)

    def _periods(self, step: NDArray[float64]) -> NDArray[float64]:
        periods = step / self.decay_steps
        return np.floor(periods) if self.staircase else periods

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        return self.initial_learning_rate * self.decay_rate**self._periods(step)


@dataclass(frozen=True)
class InverseTimeDecay(ExponentialDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Round step / decay_steps down: the rate falls once every `decay_steps` steps.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.InverseTimeDecay(0.1, decay_steps=100, decay_rate=1.0)
    >>> schedule(0), schedule(100), schedule(300)
    (0.1, 0.05, 0.025)
    """

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """values[i] up to and including step boundaries[i]; the last value after the last boundary.

    Parameters
    ----------
    boundaries : sequence of numbers
        In rising order.
    values : sequence of floats
        One more than `boundaries`.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> schedule([100, 101, 500]).tolist()
    [0.1, 0.01, 0.001]
    """

    boundaries: Sequence[float]
    values: Sequence[float]

    def __post_init__(self) -> None:
        boundaries = tuple(check.number(step, "each of boundaries", 0) for step in self.boundaries)
        values = tuple(check.number(value, "each of values", 0) for value in self.values)
        if len(values) != len(boundaries) + 1:
            raise ValueError(f"values must have one entry more than boundaries; "
                             f"got {len(values)} and {len(boundaries)}.")
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError(f"boundaries must rise from one to the next, got {boundaries}.")
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "values", values)

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, step, side="left")]


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """A power of the steps that are left, down to `end_learning_rate`.

    (initial_learning_rate - end_learning_rate) (1 - step / decay_steps)^power + end_learning_rate

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate : float
        The rate from step `decay_steps` on.
    power : float
    cycle : bool
        Beyond `decay_steps`, use its next multiple in the formula: the rate rises again, and falls
        more slowly.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.PolynomialDecay(0.1, 100, end_learning_rate=0.01)
    >>> schedule(0), round(schedule(50), 6), schedule(500)
    (0.1, 0.055, 0.01)
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.decay_steps, "decay_steps")
        check.number(self.end_learning_rate, "end_learning_rate", 0)
        check.number(self.power, "power", 0)

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        periods = np.maximum(1, np.ceil(step / self.decay_steps)) if self.cycle else 1
        steps = self.decay_steps * periods
        left = 1 - np.minimum(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """A linear warm-up to the highest rate, then half a cosine down to `alpha` times that rate.

    The cosine is top ((1 - alpha) (1 + cos(pi step / decay_steps)) / 2 + alpha), where top is the
    highest rate and steps count from the end of the warm-up (Loshchilov and Hutter 2017).

    Parameters
    ----------
    initial_learning_rate : float
        The first rate: of the warm-up, or, without one, of the cosine.
    decay_steps : int
        Steps of the cosine, without the warm-up.
    alpha : float
        The last rate divided by the highest.
    warmup_target : float, optional
        The rate at the end of the warm-up.  Without it there is no warm-up.
    warmup_steps : int
        Needs `warmup_target`, where it is not 0.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.CosineDecay(
    ...     0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)
    >>> schedule(5), schedule(10), round(schedule(60), 6), schedule(1000)
    (0.05, 0.1, 0.05, 0.0)
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.decay_steps, "decay_steps")
        check.number(self.alpha, "alpha", 0)
        check.number(self.warmup_steps, "warmup_steps", 0)
        if self.warmup_target is not None:
            check.number(self.warmup_target, "warmup_target", 0)
        elif self.warmup_steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} needs a warmup_target: "
                             f"the rate at the end of the warm-up.")

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        start = self.initial_learning_rate
        top = start if self.warmup_target is None else self.warmup_target
        share = np.minimum((step - self.warmup_steps) / self.decay_steps, 1)
        cosine = top * ((1 - self.alpha) * 0.5 * (1 + np.cos(np.pi * share)) + self.alpha)
        if not self.warmup_steps:
            return cosine
        return np.where(step < self.warmup_steps, start + (top - start) * step / self.warmup_steps, cosine)


@dataclass(frozen=True)
class CosineDecayRestarts(Schedule):
    """Half cosines, one after another, that grow in length and height (Loshchilov and Hutter 2017).

    The cosine of a step is found exactly; in Keras, rounding of a logarithm may put the first step
    of a cosine into the one before.

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Steps of the first cosine.
    t_mul : float of at least 1
        Length of a cosine divided by the length of the one before.
    m_mul : float
        Height of a cosine divided by the height of the one before.
    alpha : float
        The lowest rate divided by `initial_learning_rate`.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.CosineDecayRestarts(0.1, first_decay_steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), round(schedule(200), 6)
    (0.1, 0.05, 0.1, 0.05)
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.first_decay_steps, "first_decay_steps")
        check.number(self.t_mul, "t_mul", 1)
        check.number(self.m_mul, "m_mul", 0)
        check.number(self.alpha, "alpha", 0)

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        share = step / self.first_decay_steps
        if self.t_mul == 1:
            restarts = np.floor(share)
            share = share - restarts
        else:
            def begin(restarts: NDArray[float64]) -> NDArray[float64]:
                """The first step of a cosine, divided by `first_decay_steps`."""
                return (self.t_mul**restarts - 1) / (self.t_mul - 1)

            restarts = np.floor(np.log1p(share * (self.t_mul - 1)) / np.log(self.t_mul))
            restarts = restarts + (begin(restarts + 1) <= share) - (begin(restarts) > share)
            share = (share - begin(restarts)) / self.t_mul**restarts
        cosine = 0.5 * self.m_mul**restarts * (1 + np.cos(np.pi * share))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rises to `max_learning_rate`, then falls to a small fraction of it (Smith and Topin 2018).

    The formula is PyTorch's, without the change of momentum.  Beyond `total_steps` the last rate
    stays; PyTorch raises an error there.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Batches of the whole training: epochs times ceil(rows / batch_size).
    pct_start : float in [0, 1]
        Share of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}
    div_factor : float
        `max_learning_rate` divided by the first rate.
    final_div_factor : float
        The first rate divided by the last.
    three_phase : bool
        Fall to the first rate in the same number of steps as the rise, then to the last rate.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.OneCycle(0.1, total_steps=101, pct_start=0.5)
    >>> round(schedule(0), 6), round(schedule(49.5), 6), round(schedule(100), 9)
    (0.004, 0.1, 4e-07)
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        check.number(self.max_learning_rate, "max_learning_rate", 0)
        check.size(self.total_steps, "total_steps")
        check.number(self.pct_start, "pct_start", 0, 1)
        check.positive(self.div_factor, "div_factor")
        check.positive(self.final_div_factor, "final_div_factor")
        if self.anneal_strategy not in ("cos", "linear"):
            raise check.unknown("anneal_strategy", self.anneal_strategy, ["cos", "linear"])
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(f"pct_start must be at most 0.5 with three_phase: up and down take that share each; "
                             f"got {self.pct_start}.")

    def _rates(self, step: NDArray[float64]) -> NDArray[float64]:
        first = self.max_learning_rate / self.div_factor
        last = first / self.final_div_factor
        up = self.pct_start * self.total_steps - 1
        # of each phase: its last step, its first and its last rate
        phases = [(up, first, self.max_learning_rate), (self.total_steps - 1, self.max_learning_rate, last)]
        if self.three_phase:
            phases[1:] = [(2 * up, self.max_learning_rate, first), (self.total_steps - 1, first, last)]
        step = np.minimum(step, self.total_steps - 1)
        rates, begin = np.full(step.shape, last), 0.
        left = np.ones(step.shape, bool)                # steps that lie in this phase or after it
        for end, start, stop in phases:
            inside = left & (step <= end)
            share = np.minimum((step - begin) / (end - begin), 1) if end != begin else np.ones(step.shape)
            if self.anneal_strategy == "cos":
                values = stop + (start - stop) / 2 * (1 + np.cos(np.pi * share))
            else:
                values = start + (stop - start) * share
            rates = np.where(inside, values, rates)
            left &= ~inside
            begin = end
        return rates


def rates_of(schedule: Callable[[int], float], first: int, count: int) -> NDArray[float64]:
    """The learning rates of `count` steps from step `first` on.

    A rate that is not a finite number of at least 0 raises a ValueError.
    """
    rates: Any
    if isinstance(schedule, Schedule):
        rates = schedule(np.arange(first, first + count))
    else:
        rates = [schedule(step) for step in range(first, first + count)]
        if any(np.ndim(rate) for rate in rates):
            raise ValueError(f"learning_rate must give a number for each step; {schedule!r} gives an array of shape "
                             f"{np.shape(rates[0])}.")
    try:
        rates = np.ascontiguousarray(rates, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"learning_rate must give a number for each step; {schedule!r} gives {rates[0]!r} "
                         f"at step {first}.") from None
    bad = ~((rates >= 0) & (rates < np.inf))
    if bad.any():
        step = int(np.flatnonzero(bad)[0])
        raise ValueError(f"learning_rate must give finite numbers of at least 0; {schedule!r} gives {rates[step]} "
                         f"at step {first + step}. Steps count batches from 0.")
    return rates
