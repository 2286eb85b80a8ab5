"""Learning rates that change with the step: Keras' names, arguments and formulas, and PyTorch's one-cycle.

A schedule maps the step, 0 for the first batch that a model trains on, to its learning rate: a number, or a NumPy array
for an array of steps.  A fit asks for the rates of a range of batches at once, so a schedule costs a native loop nothing
that could be measured.  Any other callable of the step serves as well; it is called for one step after the other.
"""
from dataclasses import dataclass

import numpy as np

from nnfast import _validation as check

__all__ = ["CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "OneCycle", "PiecewiseConstantDecay",
           "PolynomialDecay", "Schedule"]


class Schedule:
    """What the schedules of this module have in common: called with a step, or an array of steps, they give its rate.

    Examples
    --------
    >>> import nnfast
    >>> isinstance(nnfast.schedules.ExponentialDecay(0.1, 100, 0.5), nnfast.schedules.Schedule)
    True
    >>> nnfast.schedules.ExponentialDecay(0.1, 100, 0.5)([0, 100, 200]).tolist()
    [0.1, 0.05, 0.025]
    """

    def __call__(self, step):
        rates = self._rates(np.atleast_1d(np.asarray(step, np.float64)))        # numbers alone go through another pow than arrays
        return float(rates[0]) if np.ndim(step) == 0 else rates


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """initial_learning_rate * decay_rate^(step / decay_steps), as Keras.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Round step / decay_steps down, so that the rate falls every `decay_steps` steps.

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

    def __post_init__(self):
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.decay_steps, "decay_steps")
        check.number(self.decay_rate, "decay_rate", 0)

    def _periods(self, step):
        periods = step / self.decay_steps
        return np.floor(periods) if self.staircase else periods

    def _rates(self, step):
        return self.initial_learning_rate * self.decay_rate**self._periods(step)


@dataclass(frozen=True)
class InverseTimeDecay(ExponentialDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps), as Keras.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Round step / decay_steps down.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.InverseTimeDecay(0.1, decay_steps=100, decay_rate=1.0)
    >>> schedule(0), schedule(100), schedule(300)
    (0.1, 0.05, 0.025)
    """

    def _rates(self, step):
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """values[i] up to and including step boundaries[i], the last value beyond, as Keras.

    Parameters
    ----------
    boundaries : sequence of numbers, rising
    values : sequence of floats, one more

    Examples
    --------
    >>> import nnfast
    >>> nnfast.schedules.PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])([100, 101, 500]).tolist()
    [0.1, 0.01, 0.001]
    """

    boundaries: tuple
    values: tuple

    def __post_init__(self):
        object.__setattr__(self, "boundaries", tuple(check.number(step, "each of boundaries", 0) for step in self.boundaries))
        object.__setattr__(self, "values", tuple(check.number(value, "each of values", 0) for value in self.values))
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(f"values must have one entry more than boundaries; got {len(self.values)} and {len(self.boundaries)}.")
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries must rise from one to the next, got {self.boundaries}.")

    def _rates(self, step):
        return np.asarray(self.values)[np.searchsorted(self.boundaries, step, side="left")]


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """(initial_learning_rate - end_learning_rate) (1 - step / decay_steps)^power + end_learning_rate, as Keras.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate : float
        Kept after `decay_steps`.
    power : float
    cycle : bool
        Instead of keeping it, lengthen decay_steps to the next multiple: the rate rises again and falls more slowly.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.PolynomialDecay(0.1, decay_steps=100, end_learning_rate=0.01)
    >>> schedule(0), round(schedule(50), 6), schedule(500)
    (0.1, 0.055, 0.01)
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self):
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.decay_steps, "decay_steps")
        check.number(self.end_learning_rate, "end_learning_rate", 0)
        check.number(self.power, "power", 0)

    def _rates(self, step):
        steps = self.decay_steps * np.maximum(1, np.ceil(step / self.decay_steps)) if self.cycle else self.decay_steps
        left = 1 - np.minimum(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """A straight line up to `warmup_target`, then half a cosine down to `alpha` of it, as Keras.

    rate ((1 - alpha) (1 + cos(pi step / decay_steps)) / 2 + alpha), steps counted from the end of the warm-up
    (Loshchilov and Hutter 2017).

    Parameters
    ----------
    initial_learning_rate : float
        Without a warm-up the top of the cosine, with one its start.
    decay_steps : int
        Of the cosine; the warm-up comes on top.
    alpha : float
        Share of the top that is kept after the cosine.
    warmup_target : float, optional
        None is no warm-up, whatever `warmup_steps` is.
    warmup_steps : int

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)
    >>> schedule(5), schedule(10), round(schedule(60), 6), schedule(1000)
    (0.05, 0.1, 0.05, 0.0)
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float = None
    warmup_steps: int = 0

    def __post_init__(self):
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.decay_steps, "decay_steps")
        check.number(self.alpha, "alpha", 0)
        check.number(self.warmup_steps, "warmup_steps", 0)
        if self.warmup_target is not None:
            check.number(self.warmup_target, "warmup_target", 0)
        elif self.warmup_steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} needs a warmup_target: the rate at the end of the warm-up.")

    def _rates(self, step):
        start, top = self.initial_learning_rate, self.warmup_target
        top = start if top is None else top
        share = np.minimum((step - self.warmup_steps) / self.decay_steps, 1)
        cosine = top * ((1 - self.alpha) * 0.5 * (1 + np.cos(np.pi * share)) + self.alpha)
        if not self.warmup_steps:
            return cosine
        return np.where(step < self.warmup_steps, start + (top - start) * step / self.warmup_steps, cosine)


@dataclass(frozen=True)
class CosineDecayRestarts(Schedule):
    """Half cosines one after the other, each `t_mul` times as long and `m_mul` times as high as that before, as Keras.

    (Loshchilov and Hutter 2017.)  Which cosine a step lies in is decided exactly; Keras' logarithm may round the first
    step of one into the last of that before.

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
    t_mul : float of at least 1
    m_mul : float
    alpha : float
        Share of `initial_learning_rate` at the bottom.

    Examples
    --------
    >>> import nnfast
    >>> schedule = nnfast.schedules.CosineDecayRestarts(0.1, first_decay_steps=100)       # the second cosine takes 200 steps
    >>> schedule(0), round(schedule(50), 6), schedule(100), round(schedule(200), 6)
    (0.1, 0.05, 0.1, 0.05)
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self):
        check.number(self.initial_learning_rate, "initial_learning_rate", 0)
        check.positive(self.first_decay_steps, "first_decay_steps")
        check.number(self.t_mul, "t_mul", 1)
        check.number(self.m_mul, "m_mul", 0)
        check.number(self.alpha, "alpha", 0)

    def _rates(self, step):
        share = step / self.first_decay_steps
        if self.t_mul == 1:
            restarts = np.floor(share)
            share = share - restarts
        else:
            def begin(restarts):
                return (self.t_mul**restarts - 1) / (self.t_mul - 1)

            restarts = np.floor(np.log1p(share * (self.t_mul - 1)) / np.log(self.t_mul))
            restarts = restarts + (begin(restarts + 1) <= share) - (begin(restarts) > share)
            share = (share - begin(restarts)) / self.t_mul**restarts
        cosine = 0.5 * self.m_mul**restarts * (1 + np.cos(np.pi * share))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from max_learning_rate / div_factor to max_learning_rate, then down to a small fraction (Smith and Topin 2018).

    The formula is that of PyTorch's OneCycleLR without its change of momentum; beyond `total_steps`, where PyTorch raises
    an error, the last rate stays.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Batches of the whole training: epochs times ceil(rows / batch_size).
    pct_start : float in [0, 1]
        Share of the steps on the way up.
    anneal_strategy : {"cos", "linear"}
    div_factor : float
        max_learning_rate over the first rate.
    final_div_factor : float
        The first rate over the last.
    three_phase : bool
        Down to the first rate in as many steps as up, and to the last in the rest.

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
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self):
        check.number(self.max_learning_rate, "max_learning_rate", 0)
        check.size(self.total_steps, "total_steps")
        check.number(self.pct_start, "pct_start", 0, 1)
        check.positive(self.div_factor, "div_factor")
        check.positive(self.final_div_factor, "final_div_factor")
        if self.anneal_strategy not in ("cos", "linear"):
            raise check.unknown("anneal_strategy", self.anneal_strategy, ["cos", "linear"])
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(f"pct_start must be at most 0.5 with three_phase: up and down take that share each; got {self.pct_start}.")

    def _rates(self, step):
        first = self.max_learning_rate / self.div_factor
        last = first / self.final_div_factor
        up = self.pct_start * self.total_steps - 1
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


def rates_of(schedule, first, count):
    """The learning rates of `count` steps from step `first` on, float64; a ValueError where one can not be used."""
    if isinstance(schedule, Schedule):
        rates = schedule(np.arange(first, first + count))
    else:
        rates = [schedule(step) for step in range(first, first + count)]
        if any(np.ndim(rate) for rate in rates):
            raise ValueError(f"learning_rate must give a number for each step; {schedule!r} gives an array of shape {np.shape(rates[0])}.")
    try:
        rates = np.ascontiguousarray(rates, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"learning_rate must give a number for each step; {schedule!r} gives {rates[0]!r} at step {first}.") from None
    bad = ~((rates >= 0) & (rates < np.inf))
    if bad.any():
        step = int(np.flatnonzero(bad)[0])
        raise ValueError(f"learning_rate must give finite numbers of at least 0; {schedule!r} gives {rates[step]} at step {first + step}. "
                         f"Steps count batches from 0.")
    return rates
