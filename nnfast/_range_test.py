"""The learning rate range test: train with rates that grow at each step; see where the loss falls.

The loss differs more between two batches than between two steps with small rates.  So each loss is
compared with the loss of the untrained model on the same batch, with the same random numbers.  The
difference is 0 at the first step and shows the effect of the steps without the noise of batches.  A
running mean smooths it.  This mean lags behind, so the rate where it falls fastest says little.
The rate at 60 % of its fall hardly depends on noise, on the range of rates, or on the shape of the
curve.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check, optimizers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import float64, int64
    from numpy.typing import ArrayLike, NDArray

    from nnfast.models import Sequential

__all__ = ["LearningRateCurve", "find_learning_rate"]

DIVERGED = 4            # the test ends where the smoothed loss exceeds this multiple of its lowest value
MEMORY = 0.9            # weight of the past in the running mean
FALL = 0.6              # share of the fall that is reached at the suggested rate
RISE = 0.25             # the fall ends where the loss has risen again by this share of it
LEAST_FALL = 0.05       # a smaller fall, relative to the loss of the untrained model, gives no suggestion
LEAST_STEPS = 20        # twice 1 / (1 - MEMORY), the steps that the running mean remembers


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """The result of `find_learning_rate`; `nnfast.plotting.plot_learning_rates` draws it.

    Attributes
    ----------
    learning_rates, losses : ndarray (steps,)
        The rate of each step, and the loss of its batch before the step.
    smoothed : ndarray (steps,)
        The losses without the noise of batches: the mean loss of the untrained model on these
        batches, plus the running mean of what the steps have changed.
    suggestion : float
        The first rate at which the smoothed loss has reached 60 % of its fall.  The fall goes from
        the first value to the lowest value before the loss rises again by a quarter of the fall: a
        second fall does not count, e.g. after units of relu have died.  NaN if the loss falls by
        less than 5 %: the rates are too small or too large, or the model learns nothing from the
        data.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> x = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> curve = nnfast.find_learning_rate(model, x, 2 * x, steps=50)
    >>> len(curve.losses) <= 50, curve.suggestion < float(curve.learning_rates[-1])
    (True, True)
    """

    learning_rates: NDArray[float64]
    losses: NDArray[float64]
    smoothed: NDArray[float64]
    suggestion: float

    def __repr__(self) -> str:
        suggestion = "no suggestion" if np.isnan(self.suggestion) else f"suggestion={self.suggestion:.3g}"
        return f"LearningRateCurve({len(self.losses)} steps, {suggestion})"


def find_learning_rate(
    model: Sequential, x: ArrayLike, y: ArrayLike, *, batch_size: int = 32, start: float = 1e-6, end: float = 10.0,
    steps: int = 100, sample_weight: ArrayLike | None = None, seed: int = 0,
) -> LearningRateCurve:
    """Suggests a learning rate by the range test of Smith (2017): steps at rates from start to end.

    A copy of the model is trained; the model, its state and its random generator stay as they are.
    The test ends early where the smoothed loss exceeds four times its lowest value.

    Parameters
    ----------
    model : Sequential
        Compiled, with an optimizer that has a learning rate: any but "lbfgs".
    x, y, sample_weight : arrays, as for `fit`
    batch_size : int
    start, end : float
        The first and the last rate; the rates between are evenly spaced on a logarithmic axis.
    steps : int
        At least 20.
    seed : int
        Seed of the order of the rows.

    Returns
    -------
    LearningRateCurve
        Its `suggestion` is the rate at 60 % of the fall of the loss, a start for a search.  The
        rate where the loss is lowest is larger, and close to divergence.  The suggestion is NaN
        where the loss hardly falls: look at the curve with `nnfast.plotting.plot_learning_rates`,
        and choose other rates.

    Raises
    ------
    ValueError
        For a model that is not compiled or has no learning rate, for data that do not fit, or where
        the loss is not finite from the first steps on.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.random.default_rng(0).normal(size=(500, 4))
    >>> model = nnfast.Sequential([nnfast.Dense(16, "tanh"), nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> curve = nnfast.find_learning_rate(model, x, np.sin(x[:, 0]))
    >>> 1e-4 < curve.suggestion < 1
    True
    """
    if not isinstance(model.optimizer, optimizers.Optimizer):
        raise ValueError(f"find_learning_rate needs a compiled model whose optimizer has a learning rate; "
                         f"got {model.optimizer!r}.")
    start, end = check.positive(start, "start"), check.positive(end, "end")
    if end <= start:
        raise ValueError(f"end must be larger than start, got {end} and {start}.")
    steps, batch_size = check.size(steps, "steps", LEAST_STEPS), check.size(batch_size, "batch_size")
    inputs, targets = check.numeric(x, "x"), check.numeric(y, "y")
    weights = None if sample_weight is None else check.numeric(sample_weight, "sample_weight")
    check.same_length(inputs, targets)
    check.at_least_one_row(inputs)
    if weights is not None:
        check.same_length(inputs, weights, "x", "sample_weight")
    twin, untrained = model._bare_copy(inputs), model._bare_copy(inputs)
    rates = np.geomspace(start, end, steps)
    losses, untrained_losses, changes, mean = [], [], [], 0.
    for step, (rate, rows) in enumerate(zip(rates, _batches(len(inputs), batch_size, seed)), 1):
        batch = inputs[rows], targets[rows], None if weights is None else weights[rows]
        twin.optimizer.learning_rate = rate
        try:
            loss = twin.train_on_batch(*batch, return_dict=True)["loss"]
        except FloatingPointError:
            break
        losses.append(loss)
        untrained_losses.append(untrained.loss_and_gradients(*batch)[0])
        mean = MEMORY * mean + (1 - MEMORY) * (loss - untrained_losses[-1])
        changes.append(mean / (1 - MEMORY**step))
        first, lowest = np.mean(untrained_losses), min(changes)
        if changes[-1] > lowest + (DIVERGED - 1) * abs(first + lowest):
            break
    if len(losses) < 3:
        raise ValueError(f"the loss is not finite, or grows from the first rate on: start, {start}, is too large "
                         f"for this model. Choose a smaller one.")
    smoothed = np.mean(untrained_losses) + np.array(changes)
    falls = smoothed[0] - np.minimum.accumulate(smoothed)
    least = LEAST_FALL * abs(smoothed[0])
    risen = (falls > least) & (smoothed[0] - smoothed < (1 - RISE) * falls)
    fall = falls[np.argmax(risen)] if risen.any() else falls[-1]
    suggestion = np.nan
    if fall > least:
        suggestion = float(rates[np.argmax(smoothed <= smoothed[0] - FALL * fall)])
    return LearningRateCurve(rates[:len(losses)], np.array(losses), smoothed, suggestion)


def _batches(rows: int, batch_size: int, seed: int) -> Iterator[NDArray[int64]]:
    """The row numbers of each batch, without end: the rows are shuffled again in each pass."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(rows)
        for first in range(0, rows, batch_size):
            yield order[first:first + batch_size]
