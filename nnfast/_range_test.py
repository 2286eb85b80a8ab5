"""The learning rate range test: train with rates that grow from step to step, and see where the loss falls fastest."""
import copy
from dataclasses import dataclass

import numpy as np

from nnfast import _validation as check, optimizers

__all__ = ["LearningRateCurve", "find_learning_rate"]

DIVERGED = 4            # times the lowest smoothed loss
MEMORY = 0.9            # of the running mean that smooths the losses
FIRST = 10              # steps until that mean holds as many losses as it remembers: slopes before are noise


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """What `find_learning_rate` saw; `nnfast.plotting.plot_learning_rates` draws it.

    Attributes
    ----------
    learning_rates, losses, smoothed : ndarray (steps,)
        The rate of each step, the loss of its batch before it, and the running mean of the losses.
    suggestion : float
        Where the smoothed loss falls fastest over the logarithm of the rate; a tenth of the rate of its lowest value where
        it hardly falls.

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
        return f"LearningRateCurve({len(self.losses)} steps, suggestion={self.suggestion:.3g})"


def find_learning_rate(model, x, y, *, batch_size=32, start=1e-6, end=10.0, steps=100, sample_weight=None, seed=0):
    """A learning rate to begin with, by the range test of Smith (2017): a few steps at rates from start to end.

    A copy of the model is trained; the model, its state and its random numbers stay as they are.  The test ends where the
    loss exceeds four times its lowest value.

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
        Its `suggestion` is where the loss falls fastest.  It is a start for a search, noisy as the losses of batches are.

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
    steps, batch_size = check.size(steps, "steps", 2 * FIRST), check.size(batch_size, "batch_size")
    x, y = check.numeric(x, "x"), check.numeric(y, "y")
    weights = None if sample_weight is None else check.numeric(sample_weight, "sample_weight")
    check.same_length(x, y)
    check.at_least_one_row(x)
    if weights is not None:
        check.same_length(x, weights, "x", "sample_weight")
    twin = copy.deepcopy(model)
    rng, rows, left = np.random.default_rng(seed), [], np.empty(0, np.int64)
    while len(rows) < steps:
        if len(left) == 0:
            left = rng.permutation(len(x))
        rows.append(left[:batch_size])
        left = left[batch_size:]
    rates, losses, smoothed, mean = np.geomspace(start, end, steps), [], [], 0.
    for step, (rate, some) in enumerate(zip(rates, rows), 1):
        twin.optimizer.learning_rate = rate
        try:
            loss = twin.train_on_batch(x[some], y[some], None if weights is None else weights[some], return_dict=True)["loss"]
        except FloatingPointError:
            break
        mean = MEMORY * mean + (1 - MEMORY) * loss
        losses.append(loss)
        smoothed.append(mean / (1 - MEMORY**step))
        lowest = min(smoothed)
        if smoothed[-1] > lowest + (DIVERGED - 1) * abs(lowest):
            break
    if len(losses) < 3:
        raise ValueError(f"the loss is not finite, or grows from the first rate on: start, {start}, is too large for this model. Choose a smaller one.")
    losses, smoothed = np.array(losses), np.array(smoothed)
    lowest = smoothed.argmin()
    if lowest > FIRST + 1:
        suggestion = rates[FIRST + np.gradient(smoothed[FIRST:lowest + 1]).argmin()]
    else:                       # no fall that stands out of the noise of batches
        suggestion = rates[lowest] / 10
    return LearningRateCurve(rates[:len(losses)], losses, smoothed, float(suggestion))
