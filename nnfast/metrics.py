"""Metrics: reported, never differentiated, so that adding one changes no bit of training.

A metric is a formula of a few sums over rows.  The state of a metric is these sums; it keeps no
rows.  The sums of two sets of rows are added to get the sums of both, so a model adds up the sums
of slices of rows.  A function of your own is called once, with all rows of an evaluation or an
epoch.  So no metric of a model depends on batches, slices or threads.

    kind               sums                                               result
    mean over rows     of weight * value, of weights                      their quotient
    confusion counts   weights of positives and negatives by thresholds   of tp, fp, tn, fn
    F-score            by column: true, predicted, actual positives       weighted harmonic mean
    R2                 by column: mean, squared deviations, residuals     1 - residuals / deviations
    IoU                confusion matrix of classes                        intersection / union

    standalone         update_state, result, reset_state, as in Keras
    in a model         _resolve, once; the sums of the native kernel whose code is _code(), else of
                       _sums; then _result

Formulas, names, defaults and the order of the arguments are Keras'; where a quotient is 0/0 the
result is 0.  `Metric` describes the arguments that many classes share.

>>> import nnfast
>>> accuracy = nnfast.metrics.BinaryAccuracy()
>>> accuracy.update_state([[1], [0]], [[0.9], [0.2]])
>>> accuracy.update_state([[1], [0]], [[0.7], [0.6]])
>>> accuracy.result()
0.75
"""
from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check, functional, losses
from nnfast._core import network as core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, TypeAlias

    from numpy.typing import ArrayLike, NDArray

    _Function: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]
    _MetricLike: TypeAlias = "str | Metric | type[Metric] | _Function"

__all__ = ["AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
           "CategoricalCrossentropy", "CategoricalHinge", "CosineSimilarity", "F1Score", "FBetaScore", "FalseNegatives",
           "FalsePositives", "Hinge", "IoU", "KLDivergence", "LogCoshError", "MeanAbsoluteError",
           "MeanAbsolutePercentageError", "MeanIoU", "MeanMetricWrapper", "MeanSquaredError",
           "MeanSquaredLogarithmicError", "Metric", "OneHotIoU", "OneHotMeanIoU", "Poisson", "Precision",
           "PrecisionAtRecall", "R2Score", "Recall", "RecallAtPrecision", "RootMeanSquaredError",
           "SensitivityAtSpecificity", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
           "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "SquaredHinge", "TopKCategoricalAccuracy",
           "TrueNegatives", "TruePositives", "get"]


def _ratio(numerator, denominator):
    """numerator / denominator, and 0 where the denominator is 0."""
    denominator = np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.zeros(np.broadcast_shapes(np.shape(numerator), denominator.shape)),
                     where=denominator != 0)


def _last_axis(axis):
    if check.size(axis, "axis", -1) == 0:
        raise ValueError("axis must be the last one of y_pred, and axis 0 holds the rows; got 0. Give -1.")
    return axis


def _one_hot(y_true, columns):
    """Integer labels (n,) as boolean columns; columns of 0, 1 or shares between them unchanged."""
    if y_true.ndim == 1:
        return y_true[:, None] == np.arange(columns)
    low, high = -losses.ROUNDING, 1 + losses.ROUNDING
    if y_true.size and not (y_true.min() >= low and y_true.max() <= high):
        row, column = np.argwhere(~((y_true >= low) & (y_true <= high)))[0]
        raise ValueError(f"y_true must hold 0 and 1, or shares between them, for a metric that counts positives; row "
                         f"{row} holds {y_true[row, column]}. Scale them, e.g. (y + 1) / 2 for labels -1 and 1.")
    return y_true


def _positives(y_true, columns):
    """Number of positive rows of each column."""
    return np.bincount(y_true, minlength=columns) if y_true.ndim == 1 else np.count_nonzero(y_true, axis=0)


class Metric:
    """Base class of all metrics; use one of the classes below, or a function f(y_true, y_pred).

    Standalone, `update_state` adds rows to the state, `result` returns the metric of all rows so
    far, `reset_state` forgets them, and a call updates and returns the result.
    `compile(metrics=...)` neither reads nor writes the state.

    Two metrics are equal if their classes and arguments are; the state does not count.  An argument
    out of its range raises a ValueError.  `axis`, where a class has it, must be the last axis of
    y_pred, as -1 or as its number.

    Where Keras needs one-hot columns (precision, AUC, F-score, ...), integer labels are also
    accepted, with or without a sparse loss; Keras fails there.

    Parameters
    ----------
    name : str, optional
        Key of the metric in the history.  Each class has its own default.
    dtype : optional
        Accepted as in Keras, without effect: sums are float64.

    Examples
    --------
    >>> import nnfast
    >>> error = nnfast.metrics.MeanAbsoluteError()
    >>> error.update_state([[1.], [2.]], [[2.], [4.]])
    >>> error.update_state([[3.]], [[6.]])
    >>> error.result()
    2.0
    >>> error.reset_state()
    >>> error([[1.]], [[2.]])
    1.0
    """

    name: str
    _name = "metric"
    _rises: bool | None = None      # whether larger is better; None: it depends on the metric
    _labels: bool | None = None     # y_true: integer labels (True), of the shape of y_pred (False), either (None)
    _flat = False                   # a vector is n rows of one output; otherwise one row of n outputs
    _state: NDArray[np.float64] | None = None       # sums so far

    def __init__(self, name: str | None = None, dtype: object = None) -> None:
        self.name = self._name if name is None else name

    # -- standalone --------------------------------------------------------------------------------

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Adds rows to the state.

        Parameters
        ----------
        y_true : array of the shape of y_pred, or integer labels of its shape without the last axis
        y_pred : array (..., outputs)
            All axes but the last are rows.  A last axis of length 1 may be missing in y_true or
            y_pred.  As in Keras, two vectors are one row of n outputs if the metric has a value for
            each row, such as an error, and n rows of one output if it has a value for each element,
            such as an accuracy or a count.
        sample_weight : number or array, optional
            It is broadcast to the rows from the first axis on.

        Raises
        ------
        ValueError
            If shapes do not fit, labels are out of range, or weights are not finite.
        """
        true, predicted, weights = self._rows(y_true, y_pred, sample_weight)
        columns = predicted.shape[1]
        sums = self._resolve(columns, true.ndim == 1)._sums(true, predicted, weights)
        if self._state is not None and self._state.shape != sums.shape:
            raise ValueError(f"y_pred must have the same number of columns in each update; got {columns}, and another "
                             f"number before. Call reset_state() first.")
        self._state = sums if self._state is None else self._state + sums

    def result(self) -> Any:
        """The metric of all rows so far: a float, or an array by column or threshold."""
        return self._result(np.zeros(self._shape()) if self._state is None else self._state)

    def reset_state(self) -> None:
        """Forgets all rows."""
        self._state = None

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Adds rows and returns the metric of all rows so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def _rows(self, y_true, y_pred, sample_weight):
        """y_true (rows, outputs) or int64 (rows,), y_pred (rows, outputs), weights or None."""
        y_true, y_pred = check.numeric(y_true, "y_true"), check.numeric(y_pred, "y_pred")
        if y_pred.dtype.kind != "f":
            y_pred = y_pred.astype(np.float64)
        if y_pred.ndim < 2 and y_true.shape == y_pred.shape:
            shape = (1, -1) if y_pred.ndim and y_pred.size and not self._flat else (-1, 1)
            y_true, y_pred = y_true.reshape(shape), y_pred.reshape(shape)
        elif y_true.shape == (*y_pred.shape, 1):
            y_pred = y_pred[..., None]
        elif self._labels is not True and y_pred.shape == (*y_true.shape, 1):
            y_true = y_true[..., None]
        samples, outputs = y_pred.shape[:-1], y_pred.shape[-1] if y_pred.ndim else 0
        if outputs == 0:
            raise ValueError(f"y_pred must have shape (..., outputs) with at least one output; got {y_pred.shape}.")
        if getattr(self, "axis", -1) not in (-1, y_pred.ndim - 1):
            raise ValueError(f"axis must be the last one of y_pred, which has shape {y_pred.shape}; got {self.axis}. "
                             f"Use axis=-1 after np.moveaxis.")
        if y_true.shape == y_pred.shape and not (self._labels and outputs == 1):
            y_true = y_true.reshape(-1, outputs)
        elif self._labels is not False and y_true.shape in (samples, (*samples, 1)):
            y_true = self._as_labels(y_true.reshape(-1), outputs)
        else:
            labels = "" if self._labels is False else f", or hold integer labels of shape {samples}"
            raise ValueError(f"y_true must have the shape of y_pred, {y_pred.shape}{labels}; got {y_true.shape}. "
                             f"Give a row of y_true for each row of y_pred.")
        return y_true, y_pred.reshape(-1, outputs), self._row_weights(sample_weight, samples)

    def _as_labels(self, labels, outputs):
        return check.labels(labels, outputs, "y_true")

    @staticmethod
    def _row_weights(sample_weight, samples):
        return None if sample_weight is None else check.broadcast_weights(sample_weight, samples).reshape(-1)

    # -- in a model --------------------------------------------------------------------------------

    def _resolve(self, n_outputs: int, sparse: bool) -> Metric:
        """The metric that does the work for `n_outputs` outputs; y_true is labels if `sparse`."""
        if self._labels is not None and self._labels != sparse:
            if sparse:
                raise ValueError(f"metric {self.name!r} needs targets of the shape of the output; the loss is sparse, "
                                 f"y holds integer labels. Use a metric of labels, such as 'accuracy', or a loss of "
                                 f"one-hot targets.")
            raise ValueError(f"metric {self.name!r} needs integer labels, as with a sparse loss; y has the shape of "
                             f"the output. Use the metric without 'sparse' in its name, or labels such as "
                             f"y.argmax(axis=1).")
        return self

    def _reads_probabilities(self) -> bool:
        """Whether y_pred must hold probabilities, so that logits would give a wrong result."""
        return False

    def _code(self) -> int | None:
        """Code, in core.METRICS, of the native kernel of the value of a row; None without one."""
        return None

    def _lack(self, y_true: NDArray[Any], n_outputs: int) -> str | None:
        """What the targets lack, so that the metric says nothing about the model; None if nothing.

        y_true holds integer labels (n,), or targets (n, n_outputs).
        """
        return None

    def _shape(self) -> tuple[int, ...]:
        """Shape of the sums, for one output."""
        return (2,)

    def _sums(self, y_true: NDArray[Any], y_pred: NDArray[Any], weights: NDArray[np.float64] | None) -> NDArray[Any]:
        """The sums of rows, float64.

        y_true holds int64 labels (n,), or targets (n, outputs); weights are (n,).
        """
        raise self._incomplete()

    def _result(self, sums: NDArray[Any]) -> Any:
        """The metric from the sums of all rows."""
        raise self._incomplete()

    def _incomplete(self):
        return NotImplementedError(f"{type(self).__name__} must define _sums(self, y_true, y_pred, weights) and "
                                   f"_result(self, sums). A function of y_true and y_pred is a metric, too.")

    # -- as a value --------------------------------------------------------------------------------

    def _options(self):
        """Arguments of the constructor, which are attributes, that differ from their defaults."""
        parameters = inspect.signature(type(self)).parameters
        defaults = {name: parameter.default for name, parameter in parameters.items() if name != "dtype"}
        defaults["name"] = self._name
        return {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Metric):
            return NotImplemented
        return type(self) is type(other) and self._options() == other._options()

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._options().items())})"


# -- means over rows -------------------------------------------------------------------------------

class _Mean(Metric):
    """Sum of weight * value over sum of weights; `_values(y_true, y_pred)` has one for each row."""

    _kernel_name: str | None = None         # in core.METRICS

    def _code(self):
        return core.METRICS.get(self._kernel_name)

    def _sums(self, y_true, y_pred, weights):
        values = self._values(y_true, y_pred)
        if weights is None:
            return np.array([values.sum(), len(values)], np.float64)
        return np.array([(values * weights).sum(), weights.sum()])

    def _result(self, sums):
        return float(_ratio(*sums))


class MeanMetricWrapper(_Mean):
    """A function as a metric: its values of rows are averaged; a single number is taken as it is.

    `compile(metrics=[function])` wraps the function in this class.  A model calls the function
    once, with all rows of an evaluation or an epoch, whatever the batches (Keras calls it for each
    batch and averages).  If the function returns a value for each row, the metric is their mean; if
    it returns one number, e.g. a score of scikit-learn, this is the metric.  The model keeps the
    outputs of all rows for it, and tries the function with a few rows before it first trains.

    Standalone, each `update_state` calls the function once.  Values of rows do not depend on how
    rows are split between updates.  Single numbers do, since the result is their mean weighted by
    rows: give such a function all rows in one update.

    Parameters
    ----------
    fn : function (y_true, y_pred) -> value of each row, or one number
        It gets arrays (n, outputs); with a sparse loss y_true is integer labels (n,).  Further axes
        of the value are averaged.  As a weighted metric, values of rows are weighted; one number is
        not.
    name : str, optional
        Default: the name of the function.

    Raises
    ------
    TypeError
        If fn cannot be called.
    ValueError
        In an update, if fn returns neither one number nor a value for each row.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> def worst(y_true, y_pred):
    ...     return np.abs(y_true - y_pred).max(axis=-1)
    >>> nnfast.metrics.MeanMetricWrapper(worst)([[1, 5], [0, 0]], [[1, 1], [2, 0]])
    3.0
    """

    _flat = True

    def __init__(self, fn: _Function, name: str | None = None, dtype: object = None) -> None:
        if not callable(fn):
            raise TypeError(f"fn must be a function of y_true and y_pred, got {fn!r}.")
        self.fn = fn
        self._name = getattr(fn, "__name__", type(fn).__name__)
        super().__init__(name)

    def _sums(self, y_true, y_pred, weights):
        values = check.numeric(self.fn(y_true, y_pred), f"the value of metric {self.name!r}").astype(np.float64)
        if values.ndim and len(values) != len(y_pred):
            raise ValueError(f"metric {self.name!r} must give a number, or a value for each of the {len(y_pred)} rows; "
                             f"got shape {values.shape}. Reduce the last axis only.")
        weights = np.ones(len(y_pred)) if weights is None else weights
        if values.ndim == 0:
            return np.array([values * weights.sum(), weights.sum()])
        return np.array([(values.mean(axis=tuple(range(1, values.ndim))) * weights).sum(), weights.sum()])


class Accuracy(_Mean):
    """Share of correct predictions, resolved by shapes as Keras does for the word "accuracy".

    For one output it is `BinaryAccuracy` at 0.5, for integer labels `SparseCategoricalAccuracy`,
    otherwise `CategoricalAccuracy`.  In a model whose outputs are logits (a loss with
    from_logits=True on a linear last layer) the threshold of one output is 0, where the probability
    is 0.5; in Keras it stays 0.5.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.Accuracy()([2, 0], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    0.5
    """

    _name = "accuracy"
    _rises = True
    _flat = True

    def _resolve(self, n_outputs, sparse):
        kind = SparseCategoricalAccuracy if sparse else BinaryAccuracy if n_outputs == 1 else CategoricalAccuracy
        return kind(name=self.name)


class BinaryAccuracy(_Mean):
    """mean (y_true == (y_pred > threshold)): the share of outputs on the side of y_true, 0 or 1.

    Parameters
    ----------
    threshold : float
        0.5 by default; use 0 for logits.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]])
    0.75
    """

    _name = "binary_accuracy"
    _kernel_name = "binary_accuracy"
    _rises = True
    _labels = False
    _flat = True

    def __init__(self, name: str | None = None, dtype: object = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = check.number(threshold, "threshold")

    def _reads_probabilities(self):
        return 0 < self.threshold < 1

    def _code(self):
        return super()._code() if self.threshold == 0.5 else None

    def _values(self, y_true, y_pred):
        return (y_true == (y_pred > self.threshold)).mean(axis=1)


class CategoricalAccuracy(_Mean):
    """mean (argmax y_true == argmax y_pred): the share of rows with both maxima in the same column.

    Examples
    --------
    >>> import nnfast
    >>> y_true, y_pred = [[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]
    >>> nnfast.metrics.CategoricalAccuracy()(y_true, y_pred)
    0.5
    """

    _name = "categorical_accuracy"
    _kernel_name = "categorical_accuracy"
    _rises = True
    _labels = False

    def _values(self, y_true, y_pred):
        return y_true.argmax(axis=1) == y_pred.argmax(axis=1)


class SparseCategoricalAccuracy(_Mean):
    """mean (y_true == argmax y_pred): the share of rows whose integer label has the largest output.

    Examples
    --------
    >>> import nnfast
    >>> y_true, y_pred = [2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]]
    >>> nnfast.metrics.SparseCategoricalAccuracy()(y_true, y_pred)
    0.5
    """

    _name = "sparse_categorical_accuracy"
    _kernel_name = "sparse_categorical_accuracy"
    _rises = True
    _labels = True

    def _values(self, y_true, y_pred):
        return y_true == y_pred.argmax(axis=1)


class SparseTopKCategoricalAccuracy(_Mean):
    """Share of rows where fewer than k outputs are larger than the output of the integer label.

    So the output of the label counts as a hit if it ties with the k-th largest.

    Parameters
    ----------
    k : int
        5 by default, at least 1.

    Examples
    --------
    >>> import nnfast
    >>> y_true, y_pred = [2, 1], [[0.1, 0.9, 0.8], [0.05, 0, 0.95]]
    >>> nnfast.metrics.SparseTopKCategoricalAccuracy(k=2)(y_true, y_pred)
    0.5
    """

    _name = "sparse_top_k_categorical_accuracy"
    _rises = True
    _labels = True

    def __init__(self, k: int = 5, name: str | None = None, dtype: object = None) -> None:
        super().__init__(name)
        self.k = check.size(k, "k")

    def _values(self, y_true, y_pred):
        own = np.take_along_axis(y_pred, y_true[:, None], axis=1)
        return np.count_nonzero(~(y_pred <= own), axis=1) < self.k         # an output that is NaN counts as larger


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """`SparseTopKCategoricalAccuracy` of one-hot y_true; the label is its largest column.

    Parameters
    ----------
    k : int
        5 by default, at least 1.

    Examples
    --------
    >>> import nnfast
    >>> y_true, y_pred = [[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]
    >>> nnfast.metrics.TopKCategoricalAccuracy(k=1)(y_true, y_pred)
    0.5
    """

    _name = "top_k_categorical_accuracy"
    _labels = False

    def _values(self, y_true, y_pred):
        return super()._values(y_true.argmax(axis=1), y_pred)


class MeanAbsoluteError(_Mean):
    """mean |y_pred - y_true|.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.MeanAbsoluteError()([[0, 1], [0, 0]], [[1, 1], [0, 0]])
    0.25
    """

    _name = "mean_absolute_error"
    _kernel_name = "absolute_error"
    _rises = False
    _labels = False

    def _values(self, y_true, y_pred):
        return np.abs(np.subtract(y_pred, y_true, dtype=np.float64)).mean(axis=1)


class MeanSquaredError(_Mean):
    """mean (y_pred - y_true)^2.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.MeanSquaredError()([[0, 1], [0, 0]], [[3, 1], [0, 0]])
    2.25
    """

    _name = "mean_squared_error"
    _kernel_name = "squared_error"
    _rises = False
    _labels = False

    def _values(self, y_true, y_pred):
        return np.square(np.subtract(y_pred, y_true, dtype=np.float64)).mean(axis=1)


class RootMeanSquaredError(MeanSquaredError):
    """sqrt(mean (y_pred - y_true)^2): the root of the mean over all rows.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.RootMeanSquaredError()([[0, 1], [0, 0]], [[3, 1], [0, 0]])
    1.5
    """

    _name = "root_mean_squared_error"
    _flat = True

    def _result(self, sums):
        return super()._result(sums)**0.5


# -- means of losses -------------------------------------------------------------------------------

class _LossMean(_Mean):
    """Mean over rows of a loss of `nnfast.losses`."""

    _rises = False
    _labels = False
    _loss: str                          # name of its class
    _passed: tuple[str, ...] = ()       # arguments that are passed to the loss

    def _reads_probabilities(self):
        return "from_logits" in self._passed and not self.from_logits

    def _values(self, y_true, y_pred):
        options = {name: getattr(self, name) for name in self._passed if getattr(self, name)}
        return getattr(losses, self._loss)(**options).per_sample(y_true, y_pred)


class MeanAbsolutePercentageError(_LossMean):
    """100 mean (|y_pred - y_true| / max(|y_true|, 1e-7)).

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.MeanAbsolutePercentageError()([[4, 2]], [[3, 2]])
    12.5
    """

    _name = "mean_absolute_percentage_error"
    _loss = "MeanAbsolutePercentageError"


class MeanSquaredLogarithmicError(_LossMean):
    """mean (log(1 + y_pred) - log(1 + y_true))^2, with values below 1e-7 replaced by 1e-7.

    Examples
    --------
    >>> import nnfast
    >>> error = nnfast.metrics.MeanSquaredLogarithmicError()
    >>> round(error([[0, 1], [0, 0]], [[1, 1], [0, 0]]), 6)
    0.120113
    """

    _name = "mean_squared_logarithmic_error"
    _loss = "MeanSquaredLogarithmicError"


class LogCoshError(_LossMean):
    """mean log cosh(y_pred - y_true).

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.LogCoshError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]), 6)
    0.108445
    """

    _name = "logcosh"
    _loss = "LogCosh"


class CosineSimilarity(_LossMean):
    """mean over rows of y_true . y_pred / (|y_true| |y_pred|).

    1 means the same direction.  The loss of this name is the negative.

    Parameters
    ----------
    axis : int
        See `Metric`.

    Examples
    --------
    >>> import nnfast
    >>> similarity = nnfast.metrics.CosineSimilarity()
    >>> round(similarity([[0., 1.], [1., 1.]], [[1., 0.], [1., 1.]]), 6)
    0.5
    """

    _name = "cosine_similarity"
    _rises = True
    _loss = "CosineSimilarity"

    def __init__(self, name: str | None = None, dtype: object = None, axis: int = -1) -> None:
        super().__init__(name)
        self.axis = _last_axis(axis)

    def _values(self, y_true, y_pred):
        return 0. - super()._values(y_true, y_pred)


class KLDivergence(_LossMean):
    """mean over rows of sum y_true log(y_true / y_pred), both clipped to [1e-7, 1].

    Examples
    --------
    >>> import nnfast
    >>> divergence = nnfast.metrics.KLDivergence()
    >>> round(divergence([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 5)
    0.45814
    """

    _name = "kl_divergence"
    _loss = "KLDivergence"

    def _reads_probabilities(self):
        return True


class Poisson(_LossMean):
    """mean (y_pred - y_true log(y_pred + 1e-7)).

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.Poisson()([[0, 1], [0, 0]], [[1, 1], [0, 0]]), 6)
    0.5
    """

    _name = "poisson"
    _loss = "Poisson"


class Hinge(_LossMean):
    """mean max(1 - y_true y_pred, 0), with y_true in {-1, 1}; targets 0 and 1 become -1 and 1.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.Hinge()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    1.3
    """

    _name = "hinge"
    _loss = "Hinge"


class SquaredHinge(_LossMean):
    """mean max(1 - y_true y_pred, 0)^2, with y_true in {-1, 1}; targets 0 and 1 become -1 and 1.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.SquaredHinge()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    1.86
    """

    _name = "squared_hinge"
    _loss = "SquaredHinge"


class CategoricalHinge(_LossMean):
    """mean over rows of max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0).

    Examples
    --------
    >>> import nnfast
    >>> hinge = nnfast.metrics.CategoricalHinge()
    >>> round(hinge([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    1.4
    """

    _name = "categorical_hinge"
    _loss = "CategoricalHinge"


class BinaryCrossentropy(_LossMean):
    """-mean (y log p + (1 - y) log(1 - p)), with y in [0, 1].

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, and p = sigmoid(z).
    label_smoothing : float in [0, 1]
        y becomes (1 - label_smoothing) y + label_smoothing / 2.

    Examples
    --------
    >>> import nnfast
    >>> entropy = nnfast.metrics.BinaryCrossentropy()
    >>> round(entropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 5)
    0.81492
    """

    _name = "binary_crossentropy"
    _loss = "BinaryCrossentropy"
    _passed = ("from_logits", "label_smoothing")

    def __init__(self, name: str | None = None, dtype: object = None, from_logits: bool = False,
                 label_smoothing: float = 0) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)


class CategoricalCrossentropy(BinaryCrossentropy):
    """mean over rows of -sum y log(p / sum p).

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, and p = softmax(z).
    label_smoothing : float in [0, 1]
        y becomes (1 - label_smoothing) y + label_smoothing / classes.
    axis : int
        See `Metric`.

    Examples
    --------
    >>> import nnfast
    >>> entropy = nnfast.metrics.CategoricalCrossentropy()
    >>> round(entropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 5)
    1.17694
    """

    _name = "categorical_crossentropy"
    _loss = "CategoricalCrossentropy"

    def __init__(self, name: str | None = None, dtype: object = None, from_logits: bool = False,
                 label_smoothing: float = 0, axis: int = -1) -> None:
        super().__init__(name, None, from_logits, label_smoothing)
        self.axis = _last_axis(axis)


class SparseCategoricalCrossentropy(_LossMean):
    """mean over rows of -log(p_label / sum p), for integer labels.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, and p = softmax(z).
    ignore_class : int, optional
        Rows of this label are not counted.  (In Keras, without weights, they count as rows of value
        0.)
    axis : int
        See `Metric`.

    Examples
    --------
    >>> import nnfast
    >>> entropy = nnfast.metrics.SparseCategoricalCrossentropy()
    >>> round(entropy([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 5)
    1.17694
    """

    _name = "sparse_categorical_crossentropy"
    _labels = True
    _loss = "SparseCategoricalCrossentropy"
    _passed = ("from_logits",)

    def __init__(self, name: str | None = None, dtype: object = None, from_logits: bool = False,
                 ignore_class: int | None = None, axis: int = -1) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.ignore_class = None if ignore_class is None else check.size(ignore_class, "ignore_class", -check.LARGEST)
        self.axis = _last_axis(axis)

    def _as_labels(self, labels, outputs):
        if self.ignore_class is None:
            return super()._as_labels(labels, outputs)
        ignored = labels == self.ignore_class
        return np.where(ignored, self.ignore_class, super()._as_labels(np.where(ignored, 0, labels), outputs))

    def _sums(self, y_true, y_pred, weights):
        if self.ignore_class is not None:
            kept = y_true != self.ignore_class
            y_true, weights = np.where(kept, y_true, 0), kept * (1. if weights is None else weights)
        return super()._sums(y_true, y_pred, weights)


# -- confusion counts over thresholds --------------------------------------------------------------

class _Confusion(Metric):
    """Base of metrics that count positives and negatives whose score is above thresholds.

    The sums have shape (curves, 2, thresholds + 1): for positives, then for negatives, entry i is
    the weight of the elements whose score is above exactly i thresholds.  They give tp and fp of a
    threshold, the weights of scores above it, and fn and tn, the weights of the others.  An element
    is positive where y_true, in [0, 1], is not 0.  A score is above a threshold if it is greater,
    in the dtype of y_pred.
    """

    _flat = True
    _each_label = False                 # one curve for each column; otherwise one for all elements
    _needs: tuple[str, ...] = ()        # of "positives", "negatives": those without which a quotient is 0/0
    thresholds: float | tuple[float, ...] | None = None
    top_k: int | None = None
    class_id: int | None = None

    def _bounds(self):
        """The thresholds, in any order."""
        if self.thresholds is None:
            return np.array([0.5])
        return np.atleast_1d(np.array(self.thresholds, np.float64))

    def _shape(self):
        return 1, 2, len(self._bounds()) + 1

    def _resolve(self, n_outputs, sparse):
        for name, least in ("top_k", 0), ("class_id", 1):
            if getattr(self, name) is not None and getattr(self, name) + least > n_outputs:
                raise ValueError(f"{name} of metric {self.name!r} must be at most {n_outputs - least} for {n_outputs} "
                                 f"output{'s' if n_outputs > 1 else ''}; got {getattr(self, name)}.")
        return super()._resolve(n_outputs, sparse)

    def _lack(self, y_true, n_outputs):
        positives = _positives(y_true, n_outputs)
        positives = positives if self.class_id is None else positives[[self.class_id]]
        enough = np.all if self._each_label else np.any
        there = {"positives": enough(positives > 0), "negatives": enough(positives < len(y_true))}
        return next((kind for kind in self._needs if not there[kind]), None)

    def _reads_probabilities(self):
        bounds = self._bounds()
        return bool(((0 < bounds) & (bounds < 1)).any())

    def _scores(self, y_pred):
        """What is compared with the thresholds."""
        return y_pred

    def _sums(self, y_true, y_pred, weights):
        positive, scores = _one_hot(y_true, y_pred.shape[1]) != 0, self._scores(y_pred)
        weights = None if weights is None else np.broadcast_to(weights[:, None], scores.shape)
        return self._histogram(positive, scores, weights)

    def _histogram(self, positive, scores, weights):
        if self.class_id is not None:
            column = slice(self.class_id, self.class_id + 1)
            positive, scores = positive[:, column], scores[:, column]
            weights = None if weights is None else weights[:, column]
        bounds = np.sort(self._bounds()).astype(scores.dtype)
        shape = (scores.shape[1] if self._each_label else 1, 2, len(bounds) + 1)
        place = np.searchsorted(bounds, scores) + shape[2] * ~positive      # number of bounds below the score
        if self._each_label:
            place += 2 * shape[2] * np.arange(shape[0])
        counts = np.bincount(place.ravel(), None if weights is None else weights.ravel(), int(np.prod(shape)))
        return counts.reshape(shape).astype(np.float64)

    def _result(self, sums):
        above = sums[..., ::-1].cumsum(axis=2)[..., -2::-1]                 # the score is greater than bound i
        below = sums.cumsum(axis=2)[..., :-1]
        # tp, fp, tn, fn: (curves, thresholds in rising order)
        return self._value(above[:, 0], above[:, 1], below[:, 1], below[:, 0])


class _AtThresholds(_Confusion):
    """`_at(tp, fp, tn, fn)` for each threshold: an array, or a float if there is only one."""

    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None,
                 dtype: object = None) -> None:
        super().__init__(name)
        if thresholds is not None:
            given = np.ravel(thresholds).tolist()
            if not given:
                raise ValueError(f"thresholds must be a number in [0, 1], or a list of them; got {thresholds!r}.")
            numbers = tuple(check.number(value, "each of thresholds", 0, 1) for value in given)
            self.thresholds = numbers if np.ndim(thresholds) else numbers[0]

    def _value(self, tp, fp, tn, fn):
        values = np.empty(tp.shape[1])
        values[np.argsort(self._bounds(), kind="stable")] = self._at(tp, fp, tn, fn)[0]
        return float(values[0]) if len(values) == 1 else values


class TruePositives(_AtThresholds):
    """Sum of the weights of positives with y_pred > threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default.  For a list the result is an array.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    _name = "true_positives"
    _rises = True

    def _at(self, tp, fp, tn, fn):
        return tp


class TrueNegatives(_AtThresholds):
    """Sum of the weights of negatives with y_pred <= threshold.

    Parameters
    ----------
    thresholds : as in `TruePositives`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.TrueNegatives()([0, 1, 0, 0], [1, 1, 0, 0])
    2.0
    """

    _name = "true_negatives"
    _rises = True

    def _at(self, tp, fp, tn, fn):
        return tn


class FalsePositives(_AtThresholds):
    """Sum of the weights of negatives with y_pred > threshold.

    Parameters
    ----------
    thresholds : as in `TruePositives`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.FalsePositives(thresholds=[0.5, 0.95])([0, 1, 0, 0], [0, 0, 0.9, 1])
    array([2., 1.])
    """

    _name = "false_positives"
    _rises = False

    def _at(self, tp, fp, tn, fn):
        return fp


class FalseNegatives(_AtThresholds):
    """Sum of the weights of positives with y_pred <= threshold.

    Parameters
    ----------
    thresholds : as in `TruePositives`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.FalseNegatives()([0, 1, 1, 1], [0, 1, 0, 0])
    2.0
    """

    _name = "false_negatives"
    _rises = False

    def _at(self, tp, fp, tn, fn):
        return fn


class Precision(_AtThresholds):
    """tp / (tp + fp): the share of positives among the predicted positives, y_pred > threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default, and none with top_k.  For a list the result is an array.
    top_k : int, optional
        Only the k largest outputs of a row can be predicted positive; the first of equal ones
        counts as larger.  With top_k a vector is one row.
    class_id : int, optional
        Only this column is counted.

    Raises
    ------
    ValueError
        In an update, if y_pred has too few columns for top_k or class_id.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.Precision()([0, 1, 1, 1], [1, 0, 1, 1]), 6)
    0.666667
    """

    _name = "precision"
    _rises = True

    def __init__(self, thresholds: float | Sequence[float] | None = None, top_k: int | None = None,
                 class_id: int | None = None, name: str | None = None, dtype: object = None) -> None:
        super().__init__(thresholds, name)
        self.top_k = None if top_k is None else check.size(top_k, "top_k")
        self.class_id = None if class_id is None else check.size(class_id, "class_id", 0)
        self._flat = self.top_k is None

    def _bounds(self):
        return np.array([-np.inf]) if self.thresholds is None and self.top_k is not None else super()._bounds()

    def _scores(self, y_pred):
        if self.top_k is None:
            return y_pred
        places = np.argsort(-y_pred, axis=1, kind="stable")[:, :self.top_k]
        scores = np.full_like(y_pred, -np.inf)
        np.put_along_axis(scores, places, np.take_along_axis(y_pred, places, axis=1), axis=1)
        return scores

    def _at(self, tp, fp, tn, fn):
        return _ratio(tp, tp + fp)


class Recall(Precision):
    """tp / (tp + fn): the share of predicted positives, y_pred > threshold, among the positives.

    Parameters
    ----------
    thresholds, top_k, class_id : as in `Precision`

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.Recall()([0, 1, 1, 1], [1, 0, 1, 1]), 6)
    0.666667
    """

    _name = "recall"
    _needs = ("positives",)

    def _at(self, tp, fp, tn, fn):
        return _ratio(tp, tp + fn)


class _Best(_Confusion):
    """The largest value of one rate over the thresholds at which another rate is large enough.

    `_rates(tp, fp, tn, fn)` returns the least value of the other rate, the other rate at each
    threshold, and the rate to maximise at each threshold.
    """

    _rises = True
    _needs = ("positives", "negatives")

    def __init__(self, num_thresholds, class_id, name):
        super().__init__(name)
        self.num_thresholds = check.size(num_thresholds, "num_thresholds")
        self.class_id = None if class_id is None else check.size(class_id, "class_id", 0)

    def _bounds(self):
        return np.linspace(0, 1, self.num_thresholds) if self.num_thresholds > 1 else np.array([0.5])

    def _scores(self, y_pred):
        return y_pred.clip(0, 1)

    def _value(self, tp, fp, tn, fn):
        least, rate, best = self._rates(tp[0], fp[0], tn[0], fn[0])
        return float(np.max(best, where=rate >= least, initial=0))


class SensitivityAtSpecificity(_Best):
    """Largest tp / (tp + fn) over thresholds with tn / (tn + fp) >= specificity; 0 without one.

    Parameters
    ----------
    specificity : float in [0, 1]
    num_thresholds : int
        Number of thresholds, evenly spaced from 0 to 1; 200 by default.  A single one is 0.5.
    class_id : int, optional
        Only this column is counted.

    Examples
    --------
    >>> import nnfast
    >>> sensitivity = nnfast.metrics.SensitivityAtSpecificity(0.5)
    >>> sensitivity([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    0.5
    """

    _name = "sensitivity_at_specificity"

    def __init__(self, specificity: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: object = None) -> None:
        super().__init__(num_thresholds, class_id, name)
        self.specificity = check.number(specificity, "specificity", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.specificity, _ratio(tn, tn + fp), _ratio(tp, tp + fn)


class SpecificityAtSensitivity(_Best):
    """Largest tn / (tn + fp) over thresholds with tp / (tp + fn) >= sensitivity; 0 without one.

    Parameters
    ----------
    sensitivity : float in [0, 1]
    num_thresholds, class_id : as in `SensitivityAtSpecificity`

    Examples
    --------
    >>> import nnfast
    >>> specificity = nnfast.metrics.SpecificityAtSensitivity(0.5)
    >>> round(specificity([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]), 6)
    0.666667
    """

    _name = "specificity_at_sensitivity"

    def __init__(self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: object = None) -> None:
        super().__init__(num_thresholds, class_id, name)
        self.sensitivity = check.number(sensitivity, "sensitivity", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.sensitivity, _ratio(tp, tp + fn), _ratio(tn, tn + fp)


class PrecisionAtRecall(_Best):
    """Largest tp / (tp + fp) over thresholds with tp / (tp + fn) >= recall; 0 without one.

    Parameters
    ----------
    recall : float in [0, 1]
    num_thresholds, class_id : as in `SensitivityAtSpecificity`

    Examples
    --------
    >>> import nnfast
    >>> precision = nnfast.metrics.PrecisionAtRecall(0.5)
    >>> precision([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    0.5
    """

    _name = "precision_at_recall"

    def __init__(self, recall: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: object = None) -> None:
        super().__init__(num_thresholds, class_id, name)
        self.recall = check.number(recall, "recall", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.recall, _ratio(tp, tp + fn), _ratio(tp, tp + fp)


class RecallAtPrecision(_Best):
    """Largest tp / (tp + fn) over thresholds with tp / (tp + fp) >= precision; 0 without one.

    Parameters
    ----------
    precision : float in [0, 1]
    num_thresholds, class_id : as in `SensitivityAtSpecificity`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.RecallAtPrecision(0.8)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.5
    """

    _name = "recall_at_precision"

    def __init__(self, precision: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype: object = None) -> None:
        super().__init__(num_thresholds, class_id, name)
        self.precision = check.number(precision, "precision", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.precision, _ratio(tp, tp + fp), _ratio(tp, tp + fn)


class AUC(_Confusion):
    """Area under the ROC or the PR curve.

    ROC is tp / (tp + fn) over fp / (fp + tn); PR is precision over recall.  Each threshold gives a
    point of the curve.  Between two points ROC is a line.  In PR, tp and fp are linear there, so
    that precision is (tp_b + s (P - P_b)) / P with P = tp + fp and s = dtp / dP, where b is the
    point at the higher threshold (Davis & Goadrich 2006, section 4).  Without a positive, and for
    ROC without a negative, the area is 0; a fit warns of such validation data.

    Parameters
    ----------
    num_thresholds : int
        Number of thresholds, at least 2, evenly spaced from 0 to 1; 200 by default.
    curve : {"ROC", "PR"}
    summation_method : {"interpolation", "minoring", "majoring"}
        As described above, or the sum of rectangles below the points, or above them.
    thresholds : list of floats in [0, 1], optional
        Replaces the inner thresholds.  The two ends are always -1e-7 and 1 + 1e-7.
    multi_label : bool
        The mean of the areas of the columns; otherwise all elements make one curve.
    num_labels : int, optional
        With multi_label, the number of columns, which is checked.
    label_weights : list of floats, optional
        Weights of columns: of their areas with multi_label, otherwise of their elements.
    from_logits : bool
        y_pred holds z, and scores are sigmoid(z); otherwise scores are y_pred clipped to [0, 1].

    Raises
    ------
    ValueError
        In an update, if the number of columns differs from num_labels or label_weights.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.AUC(num_thresholds=3)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.75
    """

    _name = "auc"
    _rises = True

    def __init__(self, num_thresholds: int = 200, curve: Literal["ROC", "PR"] = "ROC",
                 summation_method: Literal["interpolation", "minoring", "majoring"] = "interpolation",
                 name: str | None = None, dtype: object = None, thresholds: Sequence[float] | None = None,
                 multi_label: bool = False, num_labels: int | None = None,
                 label_weights: Sequence[float] | None = None, from_logits: bool = False) -> None:
        super().__init__(name)
        self.num_thresholds = check.size(num_thresholds, "num_thresholds", 2)
        self.curve = check.one_of(str(curve).upper(), "curve", ("ROC", "PR"))
        self.summation_method = check.one_of(str(summation_method).lower(), "summation_method",
                                             ("interpolation", "minoring", "majoring"))
        if thresholds is not None:
            self.thresholds = tuple(check.number(value, "each of thresholds", 0, 1) for value in thresholds)
        self.multi_label = self._each_label = bool(multi_label)
        self.num_labels = None if num_labels is None else check.size(num_labels, "num_labels")
        if num_labels is not None and not multi_label:
            raise ValueError(f"num_labels is for multi_label=True; got {num_labels} without it. Leave it out.")
        if label_weights is not None:
            label_weights = tuple(check.number(value, "each of label_weights", 0) for value in label_weights)
        self.label_weights = label_weights
        self.from_logits = bool(from_logits)
        self._needs = ("positives", "negatives") if self.curve == "ROC" else ("positives",)

    def _shape(self):
        return len(self.label_weights) if self.multi_label and self.label_weights else 1, 2, len(self._bounds()) + 1

    def _bounds(self):
        inner = np.linspace(0, 1, self.num_thresholds)[1:-1] if self.thresholds is None else self.thresholds
        return np.array([-1e-7, *inner, 1 + 1e-7])

    def _resolve(self, n_outputs, sparse):
        counts = {"num_labels": self.num_labels, "label_weights": self.label_weights and len(self.label_weights)}
        for name, count in counts.items():
            if count not in (None, n_outputs):
                raise ValueError(f"{name} of metric {self.name!r} must fit the {n_outputs} outputs; it is for {count}.")
        return super()._resolve(n_outputs, sparse)

    def _reads_probabilities(self):
        return not self.from_logits

    def _scores(self, y_pred):
        return functional.sigmoid(y_pred) if self.from_logits else y_pred.clip(0, 1)

    def _histogram(self, positive, scores, weights):
        if self.label_weights is not None and not self.multi_label:
            weights = np.broadcast_to(self.label_weights, scores.shape) * (1 if weights is None else weights)
        return super()._histogram(positive, scores, weights)

    def _value(self, tp, fp, tn, fn):
        recall = _ratio(tp, tp + fn)
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated(tp, fp, fn)
        else:
            x, y = (recall, _ratio(tp, tp + fp)) if self.curve == "PR" else (_ratio(fp, fp + tn), recall)
            height = {"interpolation": lambda a, b: (a + b) / 2, "minoring": np.minimum, "majoring": np.maximum}
            areas = ((x[:, :-1] - x[:, 1:]) * height[self.summation_method](y[:, :-1], y[:, 1:])).sum(axis=1)
        weighted = self.multi_label and self.label_weights is not None
        weights = np.array(self.label_weights) if weighted else np.ones(len(areas))
        return float(_ratio(areas @ weights, weights.sum()))

    @staticmethod
    def _interpolated(tp, fp, fn):
        predicted = tp + fp
        a, b = predicted[:, :-1], predicted[:, 1:]          # b is at the higher threshold
        gain = tp[:, :-1] - tp[:, 1:]
        slope = _ratio(gain, a - b)
        # The integral of (tp_b + slope (P - b)) / P dP is gain + (tp_b - slope b) log(a / b), and
        # gain alone if b = 0.
        logarithm = np.log(np.divide(a, b, out=np.ones_like(a), where=b > 0))
        return _ratio(slope * (gain + (tp[:, 1:] - slope * b) * logarithm), tp[:, 1:] + fn[:, 1:]).sum(axis=1)


# -- F-score, R2 and intersection over union -------------------------------------------------------

class FBetaScore(Metric):
    """(1 + beta^2) tp / (beta^2 actual + predicted) of each column, from counts of positives.

    It is the weighted harmonic mean of precision and recall.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives an array of the scores of the columns; "micro" counts all columns as one; "macro"
        is the mean of the scores, "weighted" their mean weighted by the number of actual positives.
    beta : float above 0
        How much more recall counts than precision; 1 by default.
    threshold : float in (0, 1], optional
        An output is positive if y_pred > threshold.  By default the largest output of a row is
        positive, unless it is 0.

    Examples
    --------
    >>> import nnfast
    >>> score = nnfast.metrics.FBetaScore("micro", beta=2.0, threshold=0.5)
    >>> score([[1, 0], [1, 1]], [[0.9, 0.1], [0.2, 0.8]])
    0.7142857142857143
    """

    _name = "fbeta_score"
    _rises = True
    _flat = True

    def __init__(self, average: Literal["micro", "macro", "weighted"] | None = None, beta: float = 1.0,
                 threshold: float | None = None, name: str | None = None, dtype: object = None) -> None:
        super().__init__(name)
        self.average = check.one_of(average, "average", (None, "micro", "macro", "weighted"))
        self.beta = check.number(beta, "beta", 0)
        self.threshold = None if threshold is None else check.number(threshold, "threshold", 0, 1)
        if self.beta == 0 or self.threshold == 0:
            raise ValueError(f"beta and threshold must be above 0; got beta={beta!r}, threshold={threshold!r}.")

    def _lack(self, y_true, n_outputs):
        return None if _positives(y_true, n_outputs).any() else "positives"

    def _reads_probabilities(self):
        return self.threshold is not None

    def _shape(self):
        return 3, 1

    def _sums(self, y_true, y_pred, weights):
        actual = _one_hot(y_true, y_pred.shape[1]).astype(np.float64)
        if self.threshold is None:
            largest = y_pred >= y_pred.max(axis=1, keepdims=True)
            predicted = largest & (np.abs(y_pred) > 1e-9)           # up to 1e-9 Keras takes it as 0
        else:
            predicted = y_pred > self.threshold
        rows = np.ones((len(y_pred), 1)) if weights is None else weights[:, None]
        return np.stack([(rows * part).sum(axis=0) for part in (predicted * actual, predicted, actual)])

    def _result(self, sums):
        true, predicted, actual = sums.sum(axis=1) if self.average == "micro" else sums
        scores = _ratio((1 + self.beta**2) * true, self.beta**2 * actual + predicted)
        if self.average == "weighted":
            return float(_ratio(scores @ actual, actual.sum()))
        return scores if self.average is None else float(scores.mean())


class F1Score(FBetaScore):
    """2 tp / (actual + predicted) of each column: the harmonic mean of precision and recall.

    Parameters
    ----------
    average, threshold : as in `FBetaScore`

    Examples
    --------
    >>> import nnfast
    >>> y_true, y_pred = [[1, 1], [1, 0], [1, 1]], [[0.2, 0.6], [0.2, 0.6], [0.6, 0.8]]
    >>> nnfast.metrics.F1Score(threshold=0.5)(y_true, y_pred)
    array([0.5, 0.8])
    """

    _name = "f1_score"

    def __init__(self, average: Literal["micro", "macro", "weighted"] | None = None, threshold: float | None = None,
                 name: str | None = None, dtype: object = None) -> None:
        super().__init__(average, threshold=threshold, name=name)


class _Moments(np.ndarray):
    """Sums of R2Score, one row each, a column for each output.

    The rows: number of elements, weights, a shift, mean of y_true minus the shift, squared
    deviations, squared residuals.  They are added as moments (Chan, Golub and LeVeque 1979): the
    squared deviations of two sets of rows are the sum of both plus (distance of the means)^2 a b /
    (a + b), where a and b are the weights of the sets.
    """

    def __add__(self, other):
        (elements, a, shift, mean, squares, residual), more = np.asarray(self), np.asarray(other)
        distance, share = more[2] - shift + (more[3] - mean), _ratio(more[1], a + more[1])
        shift, mean = np.where(a > 0, (shift, mean + distance * share), more[2:4])
        return np.stack([elements + more[0], a + more[1], shift, mean, squares + more[4] + distance**2 * a * share,
                         residual + more[5]]).view(_Moments)

    def __radd__(self, zero):           # a sum over slices starts with 0
        return self


class R2Score(Metric):
    """Coefficient of determination: 1 - sum (y_true - y_pred)^2 / sum (y_true - mean y_true)^2.

    It is computed for each column.  A column that is constant in y_true scores 1 if all its
    predictions are exact, otherwise 0; a single row scores NaN.  Both are as in scikit-learn.  A
    fit warns of such validation data.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        The mean of the scores of the columns, weighted by their variance or not; None gives an
        array.
    num_regressors : int
        p of the adjusted score 1 - (1 - R2) (n - 1) / (n - p - 1), where n is the number of
        elements of y_true, as in Keras. 0, the default, gives the plain score.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.R2Score()([[1], [4], [3]], [[2], [4], [4]]), 6)
    0.571429
    """

    _name = "r2_score"
    _rises = True
    _labels = False
    _flat = True

    def __init__(self, class_aggregation: Literal["uniform_average", "variance_weighted_average"] | None =
                 "uniform_average", num_regressors: int = 0, name: str | None = None, dtype: object = None) -> None:
        super().__init__(name)
        self.class_aggregation = check.one_of(class_aggregation, "class_aggregation",
                                              ("uniform_average", "variance_weighted_average", None))
        self.num_regressors = check.size(num_regressors, "num_regressors", 0)

    def _lack(self, y_true, n_outputs):
        if len(y_true) < 2:
            return "two rows"
        return "targets that differ" if (y_true == y_true[:1]).all(axis=0).any() else None

    def _shape(self):
        return 6, 1

    def _sums(self, y_true, y_pred, weights):
        y_true, rows = y_true.astype(np.float64), np.ones((len(y_pred), 1)) if weights is None else weights[:, None]
        shift = y_true[:1].sum(axis=0)      # the first row, or 0: sums of large values would lose their deviations
        count, shifted = np.full(len(shift), rows.sum()), y_true - shift
        mean = _ratio((rows * shifted).sum(axis=0), count)
        squares, residual = ((rows * part**2).sum(axis=0) for part in (shifted - mean, y_true - y_pred))
        return np.stack([np.full(len(shift), len(y_true)), count, shift, mean, squares, residual]).view(_Moments)

    def _result(self, sums):
        elements, count, _, _, variance, residual = np.asarray(sums)
        if elements[0] == 1:
            return np.full(len(elements), np.nan) if self.class_aggregation is None else np.nan
        scores = np.where(variance > 0, 1 - _ratio(residual, variance), 1. * ((residual == 0) & (count > 0)))
        if self.class_aggregation == "uniform_average":
            scores = float(scores.mean())
        elif self.class_aggregation == "variance_weighted_average":
            scores = float(_ratio(scores @ variance, variance.sum()))
        return self._adjusted(scores, float(elements.sum()) if count.any() else 0.)

    def _adjusted(self, scores, n):
        p = self.num_regressors
        if p == 0 or n == 0:
            return scores
        if p >= n - 1:
            warnings.warn(f"the adjusted R2 score needs more than num_regressors + 1 = {p + 1} elements, got {n:.0f}: "
                          f"the plain score is given.", stacklevel=4)
            return scores
        return 1 - (1 - scores) * (n - 1) / (n - p - 1)


class IoU(Metric):
    """Intersection over union, tp / (tp + fp + fn), of chosen classes from their confusion matrix.

    It is the mean over the chosen classes that occur in y_true or y_pred.  In a model, and wherever
    there are columns, the class is the column of the largest value.

    Parameters
    ----------
    num_classes : int
        Rows whose true or predicted class is outside [0, num_classes) are not counted.
    target_class_ids : list of ints in [0, num_classes)
        The chosen classes.
    ignore_class : int, optional
        Rows of this true class are not counted.
    sparse_y_true, sparse_y_pred : bool
        In an update, True for integers of any shape, False for columns.
    axis : int
        See `Metric`.

    Raises
    ------
    ValueError
        In a model whose number of outputs is neither 1 nor num_classes.

    Examples
    --------
    >>> import nnfast
    >>> overlap = nnfast.metrics.IoU(num_classes=2, target_class_ids=[0])
    >>> round(overlap([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.333333
    """

    _name = "io_u"
    _rises = True
    _flat = True

    def __init__(self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None,
                 dtype: object = None, ignore_class: int | None = None, sparse_y_true: bool = True,
                 sparse_y_pred: bool = True, axis: int = -1) -> None:
        super().__init__(name)
        self.num_classes = check.size(num_classes, "num_classes")
        self.target_class_ids = tuple(check.size(place, "each of target_class_ids", 0) for place in target_class_ids)
        if not self.target_class_ids or max(self.target_class_ids) >= self.num_classes:
            raise ValueError(f"target_class_ids must hold classes in [0, {num_classes}); got {target_class_ids!r}.")
        self.ignore_class = None if ignore_class is None else check.size(ignore_class, "ignore_class", -check.LARGEST)
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)
        self.axis = _last_axis(axis)

    def _shape(self):
        return self.num_classes, self.num_classes

    def _resolve(self, n_outputs, sparse):
        if n_outputs not in (1, self.num_classes):
            raise ValueError(f"num_classes of metric {self.name!r} must be the number of outputs, {n_outputs}; "
                             f"got {self.num_classes}.")
        return super()._resolve(n_outputs, sparse)

    def _rows(self, y_true, y_pred, sample_weight):
        """Classes of both as columns: here a row is an element."""
        y_true, y_pred = check.numeric(y_true, "y_true"), check.numeric(y_pred, "y_pred")
        for y, name, sparse in (y_true, "y_true", self.sparse_y_true), (y_pred, "y_pred", self.sparse_y_pred):
            if not sparse and (y.ndim == 0 or y.shape[-1] == 0 or self.axis not in (-1, y.ndim - 1)):
                raise ValueError(f"{name} must hold a column for each class along its last axis, axis={self.axis}; "
                                 f"got shape {y.shape}.")
        y_true = y_true if self.sparse_y_true else y_true.argmax(axis=-1)
        y_pred = y_pred if self.sparse_y_pred else y_pred.argmax(axis=-1)
        samples = y_pred.shape
        if y_true.shape not in (samples, (*samples, 1)) and (*y_true.shape, 1) != samples:
            raise ValueError(f"y_true and y_pred must hold the classes of the same elements; got classes of the shapes "
                             f"{y_true.shape} and {samples}. Columns of classes need sparse_y_true=False or "
                             f"sparse_y_pred=False.")
        return y_true.reshape(-1, 1), y_pred.reshape(-1, 1), self._row_weights(sample_weight, samples)

    def _sums(self, y_true, y_pred, weights):
        true, predicted = (y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
                           for y in (y_true, y_pred))
        n = self.num_classes
        counted = (true >= 0) & (true < n) & (predicted >= 0) & (predicted < n)
        if self.ignore_class is not None:
            counted &= true != self.ignore_class
        places = true[counted].astype(np.int64) * n + predicted[counted].astype(np.int64)
        counts = np.bincount(places, None if weights is None else weights[counted], n * n)
        return counts.reshape(n, n).astype(np.float64)

    def _result(self, sums):
        both = sums.diagonal()
        union = sums.sum(axis=0) + sums.sum(axis=1) - both
        wanted = list(self.target_class_ids)
        return float(_ratio(_ratio(both, union)[wanted].sum(), np.count_nonzero(union[wanted])))


class BinaryIoU(IoU):
    """`IoU` of the classes 0 and 1 of each element; y_pred >= threshold predicts class 1.

    Parameters
    ----------
    target_class_ids : list of ints
        (0, 1) by default: the mean of both classes.  (0,) or (1,) is one of them.
    threshold : float
        0.5 by default.

    Examples
    --------
    >>> import nnfast
    >>> overlap = nnfast.metrics.BinaryIoU(threshold=0.3)
    >>> round(overlap([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]), 6)
    0.333333
    """

    _name = "binary_io_u"

    def __init__(self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, name: str | None = None,
                 dtype: object = None) -> None:
        super().__init__(2, target_class_ids, name)
        self.threshold = check.number(threshold, "threshold")

    def _reads_probabilities(self):
        return 0 < self.threshold < 1

    def _resolve(self, n_outputs, sparse):
        return self

    def _sums(self, y_true, y_pred, weights):
        weights = None if weights is None else np.repeat(weights, y_pred.shape[1])
        true = _one_hot(y_true if y_pred.shape[1] > 1 else y_true.reshape(-1, 1), y_pred.shape[1])
        return super()._sums(true.reshape(-1), (y_pred >= self.threshold).reshape(-1), weights)


class MeanIoU(IoU):
    """`IoU` of all classes.

    Parameters
    ----------
    num_classes, ignore_class, sparse_y_true, sparse_y_pred, axis : as in `IoU`

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.333333
    """

    _name = "mean_io_u"

    def __init__(self, num_classes: int, name: str | None = None, dtype: object = None,
                 ignore_class: int | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True,
                 axis: int = -1) -> None:
        every = range(check.size(num_classes, "num_classes"))
        super().__init__(num_classes, every, name, None, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot y_true and, by default, columns of y_pred.

    Parameters
    ----------
    num_classes, target_class_ids, ignore_class, sparse_y_pred, axis : as in `IoU`

    Examples
    --------
    >>> import nnfast
    >>> overlap = nnfast.metrics.OneHotIoU(num_classes=3, target_class_ids=[0, 2])
    >>> overlap([[0, 0, 1], [1, 0, 0]], [[.2, .3, .5], [.1, .2, .7]])
    0.25
    """

    _name = "one_hot_io_u"

    def __init__(self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None,
                 dtype: object = None, ignore_class: int | None = None, sparse_y_pred: bool = False,
                 axis: int = -1) -> None:
        super().__init__(num_classes, target_class_ids, name, None, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot y_true and, by default, columns of y_pred.

    Parameters
    ----------
    num_classes, ignore_class, sparse_y_pred, axis : as in `IoU`

    Examples
    --------
    >>> import nnfast
    >>> overlap = nnfast.metrics.OneHotMeanIoU(num_classes=3)
    >>> overlap([[0, 0, 1], [1, 0, 0]], [[.2, .3, .5], [.1, .2, .7]])
    0.25
    """

    _name = "one_hot_mean_io_u"

    def __init__(self, num_classes: int, name: str | None = None, dtype: object = None,
                 ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1) -> None:
        super().__init__(num_classes, name, None, ignore_class, False, sparse_y_pred, axis)


# -- names -----------------------------------------------------------------------------------------

_CLASSES: dict[str, type[Metric]] = {
    name: globals()[name] for name in __all__ if name not in ("Metric", "MeanMetricWrapper", "get")}
_NAMES = {cls._name: cls for cls in _CLASSES.values()} | {
    "acc": Accuracy, "mse": MeanSquaredError, "mae": MeanAbsoluteError, "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError, "rmse": RootMeanSquaredError, "bce": BinaryCrossentropy, "kld": KLDivergence,
    "log_cosh_error": LogCoshError, "f_beta_score": FBetaScore, "f1": F1Score,
}


def get(identifier: _MetricLike) -> Metric:
    """Returns a metric from its name, its class, or a function of y_true and y_pred.

    The name given becomes the name of the metric in the history.  A metric is returned unchanged.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.get("acc")
    Accuracy(name='acc')
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if isinstance(identifier, str):
        if identifier in _CLASSES:
            return _CLASSES[identifier]()
        for name in (identifier, identifier.lower()):
            if name in _NAMES:
                return _NAMES[name](name=identifier)
    elif callable(identifier) and not isinstance(identifier, type):
        return MeanMetricWrapper(identifier)
    raise check.unknown("metric", identifier, _NAMES)
