"""The learning rate range test: train with rates that grow from step to step, and see where the loss falls.

Batches differ in their losses by more than small rates change them.  So each loss is compared with the loss that the
untrained model has on the same batch, with the same random numbers: what the steps have changed.  This difference is 0 at
the first step and follows the rates without the noise of batches.  Its running mean lags, so its steepest place says
little; the rate at 60 % of its fall hardly depends on noise, on either end of the range, or on the shape of the curve.
"""
from dataclasses import dataclass

import numpy as np

from nnfast import _validation as check, optimizers

__all__ = ["LearningRateCurve", "find_learning_rate"]

DIVERGED = 4            # times the lowest smoothed loss
MEMORY = 0.9            # of the running mean that smooths the differences
FALL = 0.6              # share of the fall that is done at the suggested rate
RISE = 0.25             # share of the fall that is lost again where the first fall ends
LEAST_FALL = 0.05       # of the loss of the untrained model: what falls less shows nothing
LEAST_STEPS = 20        # twice what the running mean remembers


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """What `find_learning_rate` saw; `nnfast.plotting.plot_learning_rates` draws it.

    Attributes
    ----------
    learning_rates, losses : ndarray (steps,)
        The rate of each step, and the loss of its batch before it.
    smoothed : ndarray (steps,)
        The losses without the noise of batches: the mean loss of the untrained model on these batches, plus the running
        mean of what the steps have changed.
    suggestion : float
        The first rate at which the smoothed loss has done 60 % of its fall, from its first value to the lowest one before a
        quarter of the fall is lost again: a second fall, after units of relu have died, say, does not count.  NaN where it
        falls by less than 5 %: these rates are too small, or too large, or the model learns nothing from the data.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> curve = nnfast.find_learning_rate(model, np.linspace(-1, 1, 64).reshape(-1, 1), np.linspace(-2, 2, 64), steps=50)
    >>> len(curve.losses) <= 50, curve.suggestion < float(curve.learning_rates[-1])
    (True, True)
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    def __repr__(self):
        suggestion = "no suggestion" if np.isnan(self.suggestion) else f"suggestion={self.suggestion:.3g}"
        return f"LearningRateCurve({len(self.losses)} steps, {suggestion})"


def find_learning_rate(model, x, y, *, batch_size=32, start=1e-6, end=10.0, steps=100, sample_weight=None, seed=0):
    """A learning rate to begin with, by the range test of Smith (2017): a few steps at rates from start to end.

    A copy of the model is trained; the model, its state and its random numbers stay as they are.  The test ends where the
    smoothed loss exceeds four times its lowest value.

    Parameters
    ----------
    model : Sequential
        Compiled, with any optimizer of first order.
    x, y, sample_weight : arrays, as for `fit`
    batch_size : int
    start, end : float
        The first and the last rate; those between lie evenly on a logarithmic axis.
    steps : int
        At least 20.
    seed : int
        Of the order of the rows.

    Returns
    -------
    LearningRateCurve
        Its `suggestion` is the rate at 60 % of the fall of the loss: below the rate where the loss is lowest, which is close
        to divergence.  It is a start for a search.  It is NaN where the loss hardly falls: look at the curve with
        `nnfast.plotting.plot_learning_rates`, and choose other rates.

    Raises
    ------
    ValueError
        For a model that is not compiled or has no learning rate, for data that do not fit, or where the loss is not finite
        from the first steps on.

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
        raise ValueError(f"find_learning_rate needs a compiled model whose optimizer has a learning rate; got {model.optimizer!r}.")
    start, end = check.positive(start, "start"), check.positive(end, "end")
    if end <= start:
        raise ValueError(f"end must be larger than start, got {end} and {start}.")
    steps, batch_size = check.size(steps, "steps", LEAST_STEPS), check.size(batch_size, "batch_size")
    x, y = check.numeric(x, "x"), check.numeric(y, "y")
    weights = None if sample_weight is None else check.numeric(sample_weight, "sample_weight")
    check.same_length(x, y)
    check.at_least_one_row(x)
    if weights is not None:
        check.same_length(x, weights, "x", "sample_weight")
    twin, untrained = model._bare_copy(x), model._bare_copy(x)
    rng, rows, left = np.random.default_rng(seed), [], np.empty(0, np.int64)
    while len(rows) < steps:
        if len(left) == 0:
            left = rng.permutation(len(x))
        rows.append(left[:batch_size])
        left = left[batch_size:]
    rates, losses, firsts, changes, mean = np.geomspace(start, end, steps), [], [], [], 0.
    for step, (rate, some) in enumerate(zip(rates, rows), 1):
        batch = x[some], y[some], None if weights is None else weights[some]
        twin.optimizer.learning_rate = rate
        try:
            loss = twin.train_on_batch(*batch, return_dict=True)["loss"]
        except FloatingPointError:
            break
        losses.append(loss)
        firsts.append(untrained.loss_and_gradients(*batch)[0])
        mean = MEMORY * mean + (1 - MEMORY) * (loss - firsts[-1])
        changes.append(mean / (1 - MEMORY**step))
        first, lowest = np.mean(firsts), min(changes)
        if changes[-1] > lowest + (DIVERGED - 1) * abs(first + lowest):
            break
    if len(losses) < 3:
        raise ValueError(f"the loss is not finite, or grows from the first rate on: start, {start}, is too large for this model. Choose a smaller one.")
    smoothed = np.mean(firsts) + np.array(changes)
    falls = smoothed[0] - np.minimum.accumulate(smoothed)
    least = LEAST_FALL * abs(smoothed[0])
    risen = (falls > least) & (smoothed[0] - smoothed < (1 - RISE) * falls)
    fall = falls[np.argmax(risen)] if risen.any() else falls[-1]
    suggestion = np.nan
    if fall > least:
        suggestion = float(rates[np.argmax(smoothed <= smoothed[0] - FALL * fall)])
    return LearningRateCurve(rates[:len(losses)], np.array(losses), smoothed, suggestion)
