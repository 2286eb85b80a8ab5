"""Plots of losses and of training.

    plot_loss             one loss: its values; its values and its gradient
    plot_losses           several losses: their values; their gradients
    plot_history          the record of a fit, one panel for each metric
    plot_learning_rates   the result of find_learning_rate

The functions draw on `axes`, or on new axes, and return them.  They show nothing and change no
setting of matplotlib.  matplotlib is imported by the first plot, so `import nnfast` does not need
it.

A loss is drawn along a line of predictions, base + t direction.  Its gradient is the slope along
that line: the gradient of the loss times the direction.

    one output     t is the prediction
    classes        t is the probability of the true class, the others share 1 - t equally;
                   or t is its logit, and the other logits are 0

Where a gradient jumps, e.g. for the absolute error, the line is broken: a connecting stroke would
show slopes that no prediction has.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check, functional, losses
from nnfast._extras import extra

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    from numpy.typing import ArrayLike, NDArray

    from nnfast._range_test import LearningRateCurve
    from nnfast.callbacks import History
    from nnfast.losses import _LossLike

    _Array: TypeAlias = NDArray[Any]
    _Line: TypeAlias = tuple[_Array, _Array, list[tuple[float, float, bool]]]

__all__ = ["plot_history", "plot_learning_rates", "plot_loss", "plot_losses"]

_CLASSES = ("CategoricalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalHinge", "CosineSimilarity", "Dice",
            "KLDivergence", "SparseCategoricalCrossentropy", "Tversky")
_PROBABILITIES = ("BinaryCrossentropy", "BinaryFocalCrossentropy")
_POSITIVE = ("MeanSquaredLogarithmicError", "Poisson")
_REAL, _PROBABILITY = "prediction (unit of the truth)", "predicted probability p"
_UNIT_VARIANCE = 0.541324854612918                      # log(e - 1), whose softplus is 1
_HALVINGS = 45                                          # how often the interval around a jump is halved
_JUMP = 1e-3                                            # smallest jump, relative to the height of the curve
# Colour and dashes of each line: the dashes tell them apart in print without colour.
_STYLES: list[Any] = [("black", "-"), ("#c8102e", "--"), ("#2a78c2", "-."), ("#e08a00", (0, (1, 1))),
                      ("#7a7a7a", (0, (7, 2))), ("#1b7a3d", (0, (4, 1, 1, 1, 1, 1)))]


def _pyplot() -> Any:
    with extra("plot", needed_by="nnfast.plotting"):
        import matplotlib.pyplot as plt
    return plt


def _panels(axes: Any, count: int, width: float, height: float) -> _Array:
    """An array of `count` axes: the given ones, or new ones side by side."""
    if axes is None:
        axes = _pyplot().subplots(1, count, figsize=(width * count, height), layout="constrained", squeeze=False)[1]
    axes = np.asarray(axes, dtype=object).ravel()
    if len(axes) != count:
        raise ValueError(f"axes must be {count} matplotlib axes, one for each panel; got {len(axes)}. "
                         f"Make them with plt.subplots(1, {count})[1].")
    return axes


class _Curve:
    """A loss along a line of predictions.

    Each prediction is evaluated as a batch of one row, so values and slopes belong to one row for
    every reduction.
    """

    truth: float | None                 # where the truth is on the axis of predictions
    label: str                          # the label of that axis
    symbol: str                         # the symbol of the prediction in notes
    range: _Array                       # the values of t to draw
    y_true: _Array
    base: _Array
    direction: _Array

    def __init__(self, loss: Any, y_true: ArrayLike) -> None:
        function = getattr(functional, getattr(loss, "__name__", ""), None)
        known = isinstance(loss, (str, type, losses.Loss)) or loss is function
        self.loss: Any = losses.get(loss) if known or not callable(loss) else loss
        self.custom = not isinstance(self.loss, losses.Loss)
        self.name = _name(self.loss)
        kind = "" if self.custom else type(self.loss).__name__
        truth = check.floats(y_true, "y_true", np.float64)
        if truth.ndim > 1 or truth.size == 0 or not np.isfinite(truth).all():
            raise ValueError(f"y_true must be a finite number, or the vector of one row for a loss over classes; "
                             f"got {y_true!r}.")
        logits = bool(getattr(self.loss, "from_logits", False))
        if truth.size > 1 or kind in _CLASSES:
            self._over_classes(truth.ravel() if truth.size > 1 else truth.reshape(()), logits)
        else:
            self._over_prediction(kind, float(truth.reshape(())), logits)

    def _over_classes(self, truth: _Array, logits: bool) -> None:
        """Sets the line of predictions of a loss over classes."""
        sparse = getattr(self.loss, "_sparse", False)
        if truth.ndim == 0:
            label = int(truth)
            if label != truth or label < 0:
                raise ValueError(f"y_true must be a class, counted from 0, or a vector with a number for each class; "
                                 f"got {truth}.")
            truth = np.eye(max(3, label + 1))[label]
        label, others = int(truth.argmax()), len(truth) - 1
        if sparse and not np.array_equal(truth, np.eye(len(truth))[label]):
            raise ValueError(f"y_true must be a class or one-hot for a sparse loss; got {truth}.")
        self.y_true = np.array([label]) if sparse else truth[None]
        self.base = np.zeros(others + 1) if logits else np.full(others + 1, 1 / others)
        self.direction = np.zeros(others + 1) if logits else np.full(others + 1, -1 / others)
        self.base[label], self.direction[label] = 0, 1
        self.truth = None if logits else truth[label]
        self.label = "logit z of the true class" if logits else "probability p of the true class"
        self.symbol = "z" if logits else "p"
        self.range = np.linspace(-6, 6, 601) if logits else np.linspace(0.001, 0.999, 999)

    def _over_prediction(self, kind: str, truth: float, logits: bool) -> None:
        """Sets the line of predictions of a loss of one output."""
        self.y_true, self.base, self.direction = np.array([[truth]]), np.zeros(1), np.ones(1)
        if kind in ("Hinge", "SquaredHinge") and truth == 0:
            truth = -1.0                                # these losses read labels 0 and 1 as -1 and 1
        self.truth, self.label, self.symbol = truth, _REAL, "prediction"
        reach = max(3.0, 2 * float(getattr(self.loss, "delta", 0)))
        self.range = truth + np.linspace(-reach, reach, 601)
        if kind in _PROBABILITIES and not logits:
            self.label, self.symbol, self.range = _PROBABILITY, "p", np.linspace(0.001, 0.999, 999)
        elif kind in _PROBABILITIES:
            self.truth, self.label, self.symbol, self.range = None, "logit z", "z", np.linspace(-6, 6, 601)
        elif getattr(self.loss, "log_input", False) or kind.startswith(("Gamma", "Tweedie")):
            self.truth = float(np.log(truth)) if truth > 0 else None
            self.label = "prediction, the logarithm of the mean"
            self.range = (self.truth or 0.0) + np.linspace(-3, 3, 601)
        elif kind in _POSITIVE:
            self.range = np.linspace(0, max(3.0, 3 * truth), 601)[1:]
        elif kind.startswith("Gaussian"):
            self.base, self.direction = np.array([0, _UNIT_VARIANCE]), np.array([1.0, 0.0])
            self.label = "predicted mean, at variance 1"

    def values(self, t: _Array) -> _Array:
        """The loss at each t."""
        return np.array([self._row(row)[0] for row in self._rows(t)])

    def slopes(self, t: _Array) -> _Array:
        """The slope of the loss at each t, d loss / dt."""
        return np.array([self._row(row)[1] @ self.direction for row in self._rows(t)])

    def _rows(self, t: _Array) -> _Array:
        """The prediction at each t as a batch of one row, (len(t), 1, outputs)."""
        return (self.base + np.multiply.outer(t, self.direction))[:, None]

    def _row(self, y_pred: _Array) -> tuple[float, _Array]:
        """Value and gradient of the loss for one row."""
        if not self.custom:
            return float(np.sum(self.loss(self.y_true, y_pred))), np.asarray(self.loss.gradient(self.y_true, y_pred))[0]
        value, gradient = self.loss(self.y_true, y_pred)
        if np.size(value) != 1 or np.shape(gradient) != y_pred.shape:
            raise ValueError(f"a custom loss must return a value for each row and a gradient of the shape of y_pred, "
                             f"(1,) and {y_pred.shape} here; got {np.shape(value)} and {np.shape(gradient)}.")
        return float(np.sum(value)), np.asarray(gradient)[0]


def _name(loss: Any) -> str:
    """The name of a loss with the options that are not the default."""
    if not isinstance(loss, losses.Loss):
        return getattr(loss, "__name__", type(loss).__name__).replace("<lambda>", "custom loss")
    import inspect

    parameters = inspect.signature(type(loss)).parameters
    options = [f"{name}={getattr(loss, name)!r}" for name, parameter in parameters.items()
               if name != "name" and hasattr(loss, name) and repr(getattr(loss, name)) != repr(parameter.default)]
    return type(loss).__name__ + (f"({', '.join(options)})" if options else "")


def _predictions(curve: _Curve, y_pred: _Array, given: ArrayLike | None) -> _Array:
    """The predictions to draw: `given`, or else `y_pred`, and the truth if it lies among them."""
    if given is not None:
        y_pred = np.unique(check.floats(given, "y_pred"))
        if len(y_pred) < 2 or not np.isfinite(y_pred).all():
            raise ValueError(f"y_pred must hold at least two different finite predictions; got {given!r}.")
    inside = curve.truth is not None and y_pred[0] < curve.truth < y_pred[-1]
    return np.union1d(y_pred, [curve.truth]) if inside else y_pred


def _line(function: Callable[[_Array], _Array], x: _Array) -> _Line:
    """The line of a function over x, broken by a NaN at every jump.

    Returns
    -------
    x, y : arrays
        Before and after each NaN are the two sides of the jump, as near as float64 allows.
    ends : list of (x, y, attained)
        The ends of the line at jumps.  `attained` is true where y is the value at a point of the
        given x, e.g. 0 for the gradient of the absolute error at the truth.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        y = function(x)
        if not np.isfinite(y).any():
            raise ValueError("the loss must be finite at one of the predictions; it is NaN or infinite at each. "
                             "Give others as y_pred.")
        least = _JUMP * np.subtract(*np.quantile(y[np.isfinite(y)], [1, 0]))
        left, right, y_left, y_right = x[:-1], x[1:], y[:-1], y[1:]
        for _ in range(_HALVINGS):
            steep = np.abs(y_right - y_left) > least
            left, right, y_left, y_right = left[steep], right[steep], y_left[steep], y_right[steep]
            middle = (left + right) / 2
            y_middle = function(middle) if len(middle) else middle
            first = np.abs(y_middle - y_left) >= np.abs(y_right - y_middle)
            left, right = np.where(first, left, middle), np.where(first, middle, right)
            y_left, y_right = np.where(first, y_left, y_middle), np.where(first, y_middle, y_right)
        steep = np.abs(y_right - y_left) > least
    left, right, y_left, y_right = left[steep], right[steep], y_left[steep], y_right[steep]
    ends = sorted({(float(a), float(b), bool(a in x)) for a, b in [*zip(left, y_left), *zip(right, y_right)]})
    at = np.repeat(np.searchsorted(x, left, side="right"), 3)
    nothing = np.full(len(left), np.nan)
    return (np.insert(x, at, np.stack([left, (left + right) / 2, right], axis=1).ravel()),
            np.insert(y, at, np.stack([y_left, nothing, y_right], axis=1).ravel()), ends)


def _draw(ax: Any, line: _Line, label: str, style: tuple[str, Any]) -> None:
    """Draws a result of `_line`; at a jump, rings end the line and a dot shows the value there."""
    (x, y, ends), (color, dashes) = line, style
    ax.plot(x, y, color=color, linestyle=dashes, label=label, linewidth=1.8)
    for attained, face in [(False, "white"), (True, color)]:
        points = [end[:2] for end in ends if end[2] is attained]
        if points:
            ax.plot(*zip(*points), linestyle="none", marker="o", markersize=5, color=color, markerfacecolor=face,
                    label="_value at the jump" if attained else "_end of the line", zorder=4 + attained)


def _limit(ax: Any, lines: list[_Line], symbol: str) -> None:
    """Sets limits of y that keep lines readable near a singularity, and notes how far the lines go.

    The height of a line is the range of its middle 80 % of values.  If an end goes beyond this
    range by more than three heights, the axis is cut at the range; beyond one and a half heights, a
    note says the value of the end.
    """
    limits, notes = [], []
    for x, y, _ in lines:
        for sign in (-1, 1):
            up = sign * y                               # both ends are treated as upper ends
            last = int(np.nanargmax(np.where(np.isfinite(up), up, np.nan)))
            low, high = np.quantile(up[np.isfinite(up)], [0.1, 0.9])
            cut = up[last] > high + 3 * (high - low) > high
            limits.append(sign * (high if cut else up[last]))
            if up[last] > high + 1.5 * (high - low) > high:
                notes.append((x, up, last, sign))
    low, high = min(limits), max(limits)
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin
    ax.set_ylim(low, high)
    for x, up, last, sign in notes:
        edge = high if sign > 0 else -low
        leaves = x[np.flatnonzero(up <= edge)[np.abs(x[up <= edge] - x[last]).argmin()]]
        right = x[last] < (x[0] + x[-1]) / 2
        arrow = "" if up[last] <= edge else "↑ " if sign > 0 else "↓ "
        note = f"{arrow}{sign * up[last]:.4g} at {symbol} = {x[last]:.3g}".replace("-", "\N{MINUS SIGN}")
        ax.annotate(note, (leaves, sign * min(up[last], edge)),
                    xytext=(8 if right else -8, -3 * sign), textcoords="offset points", ha="left" if right else "right",
                    va="top" if sign > 0 else "bottom", fontsize="small")


def _finish(ax: Any, title: str, ylabel: str, curve: _Curve, zero: bool = True) -> None:
    """Adds the title, the labels, the truth, a line at 0 and the legend."""
    ax.set(title=title, xlabel=curve.label, ylabel=ylabel)
    if curve.truth is not None:
        ax.axvline(curve.truth, color="0.55", linewidth=0.9, linestyle=":", zorder=0, label=f"truth {curve.truth:.4g}")
    if zero:
        ax.axhline(0, color="0.8", linewidth=0.9, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(framealpha=1, edgecolor="none")


def plot_loss(loss: _LossLike, y_true: ArrayLike = 0.0, y_pred: ArrayLike | None = None, axes: Any = None) -> _Array:
    """Draws a loss over the prediction in two panels: the loss; the loss and its gradient.

    A gradient that jumps is drawn as a broken line.  Rings end the line, and a dot shows the value
    at the jump, e.g. 0 for the absolute error.  Near a singularity the axis is cut; a note says how
    far the line goes.

    Parameters
    ----------
    loss : str, loss, or function
        A name, one of `nnfast.losses`, or a custom loss (y_true, y_pred) -> (values, gradient).
    y_true : float, or array (classes,)
        The truth.  For a loss over classes: the class, counted from 0, or its vector.  With a
        vector any loss is drawn over the probability of the class with the largest entry; the other
        classes share the rest equally.
    y_pred : array, optional
        The predictions to draw.  By default these are 0.001 to 0.999 for probabilities, and
        elsewhere from 3 below the truth to 3 above it.
    axes : two matplotlib axes, optional
        By default new axes are made.

    Returns
    -------
    array of two matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError
        If the loss is unknown, or if the truth, predictions or axes do not fit.

    Examples
    --------
    >>> from nnfast.plotting import plot_loss
    >>> axes = plot_loss("mean_absolute_error", y_true=1.0)
    >>> [ax.get_title() for ax in axes]
    ['the loss', 'loss and gradient']
    """
    curve = _Curve(loss, y_true)
    x = _predictions(curve, curve.range, y_pred)
    values, slopes = _line(curve.values, x), _line(curve.slopes, x)
    left, right = axes = _panels(axes, 2, 4.8, 3.6)
    _draw(left, values, curve.name, _STYLES[0])
    _limit(left, [values], curve.symbol)
    _finish(left, "the loss", "loss", curve, zero=False)
    _draw(right, values, "loss", _STYLES[0])
    _draw(right, slopes, "gradient", _STYLES[1])
    _limit(right, [values, slopes], curve.symbol)
    _finish(right, "loss and gradient", f"loss; gradient = d loss / d {curve.symbol}", curve)
    return axes


def plot_losses(
    compared: _LossLike | Sequence[_LossLike], y_true: ArrayLike = 0.0, y_pred: ArrayLike | None = None,
    axes: Any = None,
) -> _Array:
    """Draws several losses over one prediction in two panels: their values; their gradients.

    Parameters
    ----------
    compared : list of losses, as in `plot_loss`
        Losses of one output can be drawn with losses over classes only if y_true is a vector.
    y_true, y_pred, axes : as in `plot_loss`

    Returns
    -------
    array of two matplotlib axes

    Raises
    ------
    ImportError, ValueError
        As `plot_loss`; a ValueError also if the losses are not drawn over the same quantity.

    Examples
    --------
    >>> from nnfast.plotting import plot_losses
    >>> axes = plot_losses(["mse", "mae"], y_true=1.0)
    >>> axes[1].get_title()
    'the gradients'
    """
    several: Any = [compared] if isinstance(compared, str) or callable(compared) else compared
    curves = [_Curve(loss, y_true) for loss in several]
    if not curves:
        raise ValueError("compared must hold at least one loss, got an empty list.")
    widest = {curve.label: curve for curve in sorted(curves, key=lambda curve: np.ptp(curve.range))}
    if len(widest) > 1 and set(widest) != {_REAL, _PROBABILITY}:
        raise ValueError(f"the losses must be drawn over one quantity; got {' and '.join(widest)}. "
                         f"Draw them apart, or give y_true as a vector with a number for each class.")
    shared = widest.get(_PROBABILITY) or widest[curves[0].label]
    x = _predictions(shared, shared.range, y_pred)
    lines = [[_line(curve.values, x) for curve in curves], [_line(curve.slopes, x) for curve in curves]]
    axes = _panels(axes, 2, 4.8, 3.6)
    texts = [("the losses", "loss"), ("the gradients", f"gradient = d loss / d {shared.symbol}")]
    for ax, panel, (title, ylabel) in zip(axes, lines, texts):
        for i, (curve, line) in enumerate(zip(curves, panel)):
            _draw(ax, line, curve.name, _STYLES[i % len(_STYLES)])
        _limit(ax, panel, shared.symbol)
        _finish(ax, title, ylabel, shared, zero=ax is axes[1])
    return axes


def plot_history(history: History | Mapping[str, Sequence[float]], axes: Any = None) -> _Array:
    """Draws the record of a fit, in training and validation: a panel for the loss and each metric.

    Parameters
    ----------
    history : History, or its dict of lists
    axes : matplotlib axes, one for each panel, optional

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError
        If the history has no epoch, or the number of axes is wrong.

    Examples
    --------
    >>> from nnfast.plotting import plot_history
    >>> axes = plot_history({"loss": [0.9, 0.5], "val_loss": [1.0, 0.7], "acc": [0.6, 0.8]})
    >>> [ax.get_ylabel() for ax in axes]
    ['loss', 'acc']
    """
    record: Any = getattr(history, "history", history)
    if not hasattr(record, "items") or not any(len(values) for values in record.values()):
        raise ValueError(f"history must hold at least one epoch: give the result of fit, or its dict of lists; "
                         f"got {history!r}.")
    longest = max(len(values) for values in record.values())
    epochs = np.asarray(getattr(history, "epoch", range(longest))) + 1
    names = list(dict.fromkeys(name.removeprefix("val_") for name in record))
    axes = _panels(axes, len(names), 4.4, 3.4)
    for ax, name in zip(axes, names):
        for key, label, style in [(name, "training", _STYLES[0]), (f"val_{name}", "validation", _STYLES[1])]:
            if key in record:
                color, dashes = style
                count = len(record[key])            # less than len(epochs) where not every epoch is validated
                every = max(len(epochs) // max(count, 1), 1)
                ax.plot(epochs[every - 1::every][:count], record[key], color=color, linestyle=dashes, linewidth=1.8,
                        marker="o" if longest <= 30 else None, markersize=3.5, label=label)
        ax.set(xlabel="epoch", ylabel=name)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    return axes


def plot_learning_rates(curve: LearningRateCurve, axes: Any = None) -> _Array:
    """Draws the result of `nnfast.find_learning_rate`: the loss over the rate, and the suggestion.

    If there is a suggestion, the losses of divergence are cut off, because beside them the fall
    would look flat.

    Parameters
    ----------
    curve : LearningRateCurve
    axes : matplotlib axes, or a sequence of one, optional

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> x = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> curve = nnfast.find_learning_rate(model, x, 2 * x)
    >>> [ax.get_xlabel() for ax in nnfast.plotting.plot_learning_rates(curve)]
    ['learning rate']
    """
    axes = _panels(axes, 1, 5.2, 3.6)
    [ax] = axes
    (color, dashes), (weak, _) = _STYLES[0], _STYLES[4]
    ax.plot(curve.learning_rates, curve.losses, color=weak, linewidth=0.8, label="loss of a batch")
    ax.plot(curve.learning_rates, curve.smoothed, color=color, linestyle=dashes, linewidth=1.8, label="smoothed")
    if not np.isnan(curve.suggestion):
        lowest = curve.smoothed.min()
        fall = curve.smoothed[0] - lowest
        ax.set_ylim(lowest - 0.5 * fall, lowest + 2 * fall)
        color, dashes = _STYLES[1]
        ax.axvline(curve.suggestion, color=color, linestyle=dashes,
                   label=f"60 % of the fall at {curve.suggestion:.2g}")
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return axes
