"""Metrics: what is reported of a model, never differentiated, so that adding one changes no bit of training.

A metric is a few sums over rows and a formula of these sums.  The sums of two disjoint sets of rows add up to those of
both, so a metric keeps no row: its state is its sums, and a model adds up the sums of its slices of rows.
A function of your own is called once, on all rows of an evaluation or an epoch.  So no metric of a model depends on batches,
slices or threads.

    kind                    sums                                                    result
    mean over rows          sum of weight * value, sum of weights                   their quotient
    confusion counts        weights of positives and negatives between thresholds   of tp, fp, tn, fn at each threshold
    F-score                 true, predicted and actual positives of each column     their harmonic mean
    R2                      mean, squared deviations, squared residuals by column   1 - residuals / deviations
    IoU                     confusion matrix of classes                             intersection / union

    stateful                update_state, result, reset_state, as in Keras
    in a model              _resolve once; a native kernel of row values if _native names one, else _sums; _result

Formulas, names and defaults are Keras'; where a quotient is 0/0 the result is 0.

>>> import nnfast
>>> accuracy = nnfast.metrics.BinaryAccuracy()
>>> accuracy.update_state([[1], [0]], [[0.9], [0.2]])
>>> accuracy.update_state([[1], [0]], [[0.7], [0.6]])
>>> accuracy.result()
0.75
"""
import numpy as np

from nnfast import _validation as check
from nnfast._core import network
from nnfast.losses import ROUNDING

__all__ = ["AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
           "CategoricalCrossentropy", "CategoricalHinge", "CosineSimilarity", "F1Score", "FBetaScore", "FalseNegatives",
           "FalsePositives", "Hinge", "IoU", "KLDivergence", "LogCoshError", "MeanAbsoluteError",
           "MeanAbsolutePercentageError", "MeanIoU", "MeanMetricWrapper", "MeanSquaredError", "MeanSquaredLogarithmicError",
           "Metric", "OneHotIoU", "OneHotMeanIoU", "Poisson", "Precision", "PrecisionAtRecall", "R2Score", "Recall",
           "RecallAtPrecision", "RootMeanSquaredError", "SensitivityAtSpecificity", "SparseCategoricalAccuracy",
           "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "SquaredHinge",
           "TopKCategoricalAccuracy", "TrueNegatives", "TruePositives", "get"]


def _ratio(numerator, denominator):
    """numerator / denominator, and 0 where the denominator is 0."""
    denominator = np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.zeros(np.broadcast_shapes(np.shape(numerator), denominator.shape)),
                     where=denominator != 0)


def _choice(value, name, valid):
    """`value`, which must be one of `valid`."""
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}; got {value!r}.")
    return value


def _last_axis(axis):
    if check.size(axis, "axis", -1) == 0:
        raise ValueError("axis must be the last one of y_pred, and axis 0 holds the rows; got 0. Give -1.")
    return axis


def _one_hot(y_true, columns):
    """Labels (n,) as columns of bool; columns of 0 and 1, or of shares between them, as they are."""
    if y_true.ndim == 1:
        return y_true[:, None] == np.arange(columns)
    if y_true.size and not (y_true.min() >= -ROUNDING and y_true.max() <= 1 + ROUNDING):
        row, column = np.argwhere(~((y_true >= -ROUNDING) & (y_true <= 1 + ROUNDING)))[0]
        raise ValueError(f"y_true must hold 0 and 1, or shares between them, for a metric that counts positives; "
                         f"row {row} holds {y_true[row, column]}. Scale them, for instance (y + 1) / 2 for labels -1 and 1.")
    return y_true


def _positives(y_true, columns):
    """How many rows are positive in each column."""
    return np.bincount(y_true, minlength=columns) if y_true.ndim == 1 else np.count_nonzero(y_true, axis=0)


class Metric:
    """What all metrics share; use one of the classes below, or a function f(y_true, y_pred).

    Alone, `update_state` adds rows to the state, `result` gives the number of all rows so far, `reset_state` forgets
    them, and a call updates and gives the result.  In `compile(metrics=...)` the state is neither read nor written.

    All classes take Keras' arguments in Keras' order.  `name` is the key of the history; `dtype` is accepted without
    effect: sums are float64.  Metrics are equal if class and arguments are; the state does not count.

    Where Keras needs one-hot columns (precision, AUC, F-score, ...), integer labels are taken, too, with or without a
    sparse loss: Keras fails there.

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

    _rises = None           # whether larger is better, or None: that depends on the metric

    _name = "metric"
    _labels = None          # y_true is: True, integer labels; False, of the shape of y_pred; None, either
    _flat = False           # a vector is a column of n rows, else it is one row of n outputs
    _shape = (2,)           # of sums, for one output
    _state = None           # sums so far

    def __init__(self, name=None, dtype=None):
        self.name = self._name if name is None else name

    # -- alone -------------------------------------------------------------------------------------------------------

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds rows.

        Parameters
        ----------
        y_true : array of the shape of y_pred, or integer labels of its shape without the last axis
        y_pred : array (..., outputs)
            All axes but the last are rows; an axis of length 1 at the end may be missing in one of both.  Two vectors
            are one row of n outputs where a value belongs to a row, as for the errors, and n rows of one output where
            it belongs to an element, as for accuracy and counts: as in Keras.
        sample_weight : number, or array that broadcasts to the rows from the first axis on, optional

        Raises
        ------
        ValueError
            Where shapes do not fit, labels are out of range, or weights are not finite.
        """
        y_true, y_pred, weights = self._rows(y_true, y_pred, sample_weight)
        sums = self._resolve(y_pred.shape[1], y_true.ndim == 1)._sums(y_true, y_pred, weights)
        if self._state is not None and self._state.shape != sums.shape:
            raise ValueError(f"y_pred must have as many columns in each update; got {y_pred.shape[1]} and before another "
                             f"number. Call reset_state() first.")
        self._state = sums if self._state is None else self._state + sums

    def result(self):
        """The metric of all rows so far: a float, or an array where there is a value for each column or threshold."""
        return self._result(np.zeros(self._shape) if self._state is None else self._state)

    def reset_state(self):
        """Forgets all rows."""
        self._state = None

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Adds rows and gives the metric of all rows so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def _rows(self, y_true, y_pred, sample_weight):
        """y_pred as (rows, outputs), y_true likewise or as int64 labels (rows,), and the weights of rows or None."""
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

    # -- in a model --------------------------------------------------------------------------------------------------

    def _resolve(self, n_outputs, sparse):
        """The metric that does the work for `n_outputs` outputs and integer labels or not."""
        if self._labels is not None and self._labels != sparse:
            if sparse:
                raise ValueError(f"metric {self.name!r} needs targets of the shape of the output; the loss is sparse, y holds "
                                 f"integer labels. Use a metric of labels, such as 'accuracy', or a loss of one-hot targets.")
            raise ValueError(f"metric {self.name!r} needs integer labels, as with a sparse loss; y has the shape of the output. "
                             f"Use the metric without 'sparse' in its name, or labels such as y.argmax(axis=1).")
        return self

    def _reads_probabilities(self):
        """Whether y_pred must hold probabilities, so that logits give another number."""
        return False

    def _native(self):
        """Code of the kernel in network.METRICS that gives the value of a row, or None."""
        return None

    def _lack(self, y_true, n_outputs):
        """What is missing in these targets, labels (n,) or (n, n_outputs), so that the metric says nothing; None by default."""
        return None

    def _sums(self, y_true, y_pred, weights):
        """The sums of rows, float64: y_true is int64 labels (n,) or (n, outputs), weights are None or float64 (n,).

        `_result(sums)` makes the metric of the sums of all rows.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _sums(self, y_true, y_pred, weights) and _result(self, sums). "
                                  f"A function of y_true and y_pred is a metric, too.")

    # -- as a value --------------------------------------------------------------------------------------------------

    def _options(self):
        """Arguments of the constructor that differ from their defaults; each is an attribute of that name."""
        from inspect import signature

        defaults = {name: parameter.default for name, parameter in signature(type(self)).parameters.items() if name != "dtype"}
        defaults["name"] = self._name
        return {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}

    def __eq__(self, other):
        return type(self) is type(other) and self._options() == other._options() if isinstance(other, Metric) else NotImplemented

    def __hash__(self):
        return hash((type(self), self.name))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._options().items())})"


# -- means over rows -------------------------------------------------------------------------------------------------

class _Mean(Metric):
    """sum of weight * value / sum of weights, over rows; `_values(y_true, y_pred)` gives the value of each row."""

    _kernel = None          # in network.METRICS

    def _native(self):
        return network.METRICS.get(self._kernel)

    def _sums(self, y_true, y_pred, weights):
        values = self._values(y_true, y_pred)
        if weights is None:
            return np.array([values.sum(), len(values)], np.float64)
        return np.array([(values * weights).sum(), weights.sum()])

    def _result(self, sums):
        return float(_ratio(*sums))


class MeanMetricWrapper(_Mean):
    """A function as metric: the mean of the values it gives, or its one number; in `compile(metrics=...)` it becomes this.

    A model calls it once, with all rows of an evaluation or an epoch, whatever the batches: of values of rows the metric
    is the mean over rows, and a number, a score of scikit-learn say, is the metric.  (Keras calls it for each batch and
    averages.)  The outputs of all rows are kept for it, and before the first training it is tried with a few rows.

    Alone, each `update_state` calls it once.  Values of rows do not depend on how rows are split between updates; numbers
    do, for their mean by rows is the result: give such a function all rows in one update.

    Parameters
    ----------
    fn : function (y_true, y_pred) -> value of each row, or one number
        It gets arrays (n, outputs), with a sparse loss integer labels (n,) as y_true.  Further axes of the value are
        averaged.  As a weighted metric the values of rows are weighted, a number is as it is.
    name : str, optional
        That of the function by default.

    Raises
    ------
    TypeError
        If fn can not be called.
    ValueError
        In use, if fn does not give a value for each row.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> def worst(y_true, y_pred):
    ...     return np.abs(y_true - y_pred).max(axis=-1)
    >>> nnfast.metrics.MeanMetricWrapper(worst)([[1, 5], [0, 0]], [[1, 1], [2, 0]])
    3.0
    """

    _flat = True

    def __init__(self, fn, name=None, dtype=None):
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
    """Share of right answers, resolved by shapes as Keras does for the word "accuracy": one output is `BinaryAccuracy`
    at 0.5, integer labels are `SparseCategoricalAccuracy`, anything else is `CategoricalAccuracy`.

    In a model whose outputs are logits (a loss with from_logits=True on a linear last layer) the threshold of one output is 0,
    where the probability is 0.5; in Keras it stays 0.5.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.Accuracy()([2, 0], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    0.5
    """

    _rises = True

    _name = "accuracy"
    _flat = True

    def _resolve(self, n_outputs, sparse):
        kind = SparseCategoricalAccuracy if sparse else BinaryAccuracy if n_outputs == 1 else CategoricalAccuracy
        return kind(name=self.name)


class BinaryAccuracy(_Mean):
    """mean (y_true == (y_pred > threshold)): the share of outputs on the side that y_true, 0 or 1, names.

    Parameters
    ----------
    threshold : float
        0.5 by default; 0 is that of logits.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]])
    0.75
    """

    _rises = True

    _name = "binary_accuracy"
    _labels = False
    _flat = True

    def __init__(self, name=None, dtype=None, threshold=0.5):
        super().__init__(name)
        self.threshold = check.number(threshold, "threshold")

    def _reads_probabilities(self):
        return 0 < self.threshold < 1

    def _native(self):
        return network.METRICS["binary_accuracy"] if self.threshold == 0.5 else None

    def _values(self, y_true, y_pred):
        return (y_true == (y_pred > self.threshold)).mean(axis=1)


class CategoricalAccuracy(_Mean):
    """mean (argmax y_true == argmax y_pred): the share of rows whose largest output is that of the largest target.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.CategoricalAccuracy()([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]])
    0.5
    """

    _rises = True

    _name = "categorical_accuracy"
    _kernel = "categorical_accuracy"
    _labels = False

    def _values(self, y_true, y_pred):
        return y_true.argmax(axis=1) == y_pred.argmax(axis=1)


class SparseCategoricalAccuracy(_Mean):
    """mean (y_true == argmax y_pred): the share of rows whose largest output is the one of the integer label.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]])
    0.5
    """

    _rises = True

    _name = "sparse_categorical_accuracy"
    _kernel = "sparse_categorical_accuracy"
    _labels = True

    def _values(self, y_true, y_pred):
        return y_true == y_pred.argmax(axis=1)


class SparseTopKCategoricalAccuracy(_Mean):
    """Share of rows in which fewer than k outputs are larger than the one of the integer label; ties count as hits.

    Parameters
    ----------
    k : int
        5 by default.

    Raises
    ------
    ValueError
        If k is less than 1.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.SparseTopKCategoricalAccuracy(k=2)([2, 1], [[0.1, 0.9, 0.8], [0.05, 0, 0.95]])
    0.5
    """

    _rises = True

    _name = "sparse_top_k_categorical_accuracy"
    _labels = True

    def __init__(self, k=5, name=None, dtype=None):
        super().__init__(name)
        self.k = check.size(k, "k")

    def _values(self, y_true, y_pred):
        own = np.take_along_axis(y_pred, y_true[:, None], axis=1)
        return np.count_nonzero(~(y_pred <= own), axis=1) < self.k         # an output that is NaN counts as larger


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """Share of rows in which fewer than k outputs are larger than the one of the largest target; ties count as hits.

    Parameters
    ----------
    k : int
        5 by default.

    Raises
    ------
    ValueError
        If k is less than 1.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.TopKCategoricalAccuracy(k=1)([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]])
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

    _rises = False

    _name = "mean_absolute_error"
    _kernel = "absolute_error"
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

    _rises = False

    _name = "mean_squared_error"
    _kernel = "squared_error"
    _labels = False

    def _values(self, y_true, y_pred):
        return np.square(np.subtract(y_pred, y_true, dtype=np.float64)).mean(axis=1)


class RootMeanSquaredError(MeanSquaredError):
    """sqrt(mean (y_pred - y_true)^2), the root taken after the mean over all rows.

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


# -- means of losses -------------------------------------------------------------------------------------------------

class _LossMean(_Mean):
    """Mean over rows of a loss of `nnfast.losses`."""

    _rises = False

    _loss = None            # name of the loss
    _passed = ()            # arguments that the loss takes, too
    _labels = False

    def _reads_probabilities(self):
        return "from_logits" in self._passed and not self.from_logits

    def _values(self, y_true, y_pred):
        from nnfast import losses

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
    """mean (log(1 + y_pred) - log(1 + y_true))^2, numbers below 1e-7 taken as 1e-7.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.MeanSquaredLogarithmicError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]), 6)
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
    """mean of y_true . y_pred / (|y_true| |y_pred|) over rows: 1 is the same direction; the loss is its negative.

    Parameters
    ----------
    axis : int
        The last axis, as -1 or as its number.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.CosineSimilarity()([[0., 1.], [1., 1.]], [[1., 0.], [1., 1.]]), 6)
    0.5
    """

    _rises = True

    _name = "cosine_similarity"
    _loss = "CosineSimilarity"

    def __init__(self, name=None, dtype=None, axis=-1):
        super().__init__(name)
        self.axis = _last_axis(axis)

    def _values(self, y_true, y_pred):
        return 0. - super()._values(y_true, y_pred)


class KLDivergence(_LossMean):
    """sum y_true log(y_true / y_pred) over the last axis, both clipped to [1e-7, 1], then the mean over rows.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.KLDivergence()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 5)
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
    """mean max(1 - y_true y_pred, 0), y_true in {-1, 1}; 0 and 1 are taken as -1 and 1.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.Hinge()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    1.3
    """

    _name = "hinge"
    _loss = "Hinge"


class SquaredHinge(_LossMean):
    """mean max(1 - y_true y_pred, 0)^2, y_true in {-1, 1}; 0 and 1 are taken as -1 and 1.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.SquaredHinge()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    1.86
    """

    _name = "squared_hinge"
    _loss = "SquaredHinge"


class CategoricalHinge(_LossMean):
    """max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0) of the last axis, then the mean over rows.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.CategoricalHinge()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    1.4
    """

    _name = "categorical_hinge"
    _loss = "CategoricalHinge"


class BinaryCrossentropy(_LossMean):
    """-mean (y log p + (1 - y) log(1 - p)), y in [0, 1].

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = sigmoid(z).
    label_smoothing : float in [0, 1]
        y is drawn this share of the way to 0.5.

    Raises
    ------
    ValueError
        For a label_smoothing out of range.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 5)
    0.81492
    """

    _name = "binary_crossentropy"
    _loss = "BinaryCrossentropy"
    _passed = ("from_logits", "label_smoothing")

    def __init__(self, name=None, dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)


class CategoricalCrossentropy(BinaryCrossentropy):
    """-sum y log(p / sum p) over the last axis, then the mean over rows.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = softmax(z).
    label_smoothing : float in [0, 1]
        y is drawn this share of the way to 1 / classes.
    axis : int
        The last axis, as -1 or as its number.

    Raises
    ------
    ValueError
        For a label_smoothing out of range.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.CategoricalCrossentropy()([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 5)
    1.17694
    """

    _name = "categorical_crossentropy"
    _loss = "CategoricalCrossentropy"

    def __init__(self, name=None, dtype=None, from_logits=False, label_smoothing=0, axis=-1):
        super().__init__(name, None, from_logits, label_smoothing)
        self.axis = _last_axis(axis)


class SparseCategoricalCrossentropy(_LossMean):
    """-log(p_label / sum p) over the last axis, then the mean over rows, for integer labels.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = softmax(z).
    ignore_class : int, optional
        Rows of this label count nothing.  (In Keras they count as rows of value 0 where there are no weights.)
    axis : int
        The last axis, as -1 or as its number.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.SparseCategoricalCrossentropy()([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 5)
    1.17694
    """

    _name = "sparse_categorical_crossentropy"
    _loss = "SparseCategoricalCrossentropy"
    _passed = ("from_logits",)
    _labels = True

    def __init__(self, name=None, dtype=None, from_logits=False, ignore_class=None, axis=-1):
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


# -- confusion counts over thresholds --------------------------------------------------------------------------------

class _Confusion(Metric):
    """Sums (labels, 2, thresholds + 1): weights of positives and of negatives whose score is above just i thresholds.

    From them come, at each threshold, tp and fp, what is above it, and fn and tn, what is not.  y_true, in
    [0, 1], counts as positive where it is not 0, and a score as above where it is greater, in the dtype of y_pred.
    """

    thresholds = top_k = class_id = None
    _flat = True
    _each_label = False         # a curve for each column, else one of all
    _needs = ()                 # "positives", "negatives": without them a quotient is 0/0

    def _bounds(self):
        """The thresholds, in any order."""
        if self.thresholds is None:
            return np.array([0.5])
        return np.atleast_1d(np.array(self.thresholds, np.float64))

    @property
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
            positive, scores, weights = positive[:, column], scores[:, column], None if weights is None else weights[:, column]
        bounds = np.sort(self._bounds()).astype(scores.dtype)
        shape = (scores.shape[1] if self._each_label else 1, 2, len(bounds) + 1)
        place = np.searchsorted(bounds, scores) + shape[2] * ~positive      # bounds that are less than the score
        if self._each_label:
            place += 2 * shape[2] * np.arange(shape[0])
        counts = np.bincount(place.ravel(), None if weights is None else weights.ravel(), int(np.prod(shape)))
        return counts.reshape(shape).astype(np.float64)

    def _result(self, sums):
        above = sums[..., ::-1].cumsum(axis=2)[..., -2::-1]                 # the score is greater than bound i
        below = sums.cumsum(axis=2)[..., :-1]
        return self._value(above[:, 0], above[:, 1], below[:, 1], below[:, 0])      # of tp, fp, tn, fn: (labels, thresholds in rising order)


class _AtThresholds(_Confusion):
    """A value at each of the thresholds given, or a float if it is one."""

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name)
        if thresholds is not None:
            given = np.ravel(thresholds).tolist()
            if not given:
                raise ValueError(f"thresholds must be a number in [0, 1], or a list of them; got {thresholds!r}.")
            given = tuple(check.number(value, "each of thresholds", 0, 1) for value in given)
            thresholds = given if np.ndim(thresholds) else given[0]
        self.thresholds = thresholds

    def _value(self, tp, fp, tn, fn):
        values = np.empty(tp.shape[1])
        values[np.argsort(self._bounds(), kind="stable")] = self._at(tp, fp, tn, fn)[0]
        return float(values[0]) if len(values) == 1 else values


class TruePositives(_AtThresholds):
    """Sum of weights of positives with y_pred > threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default; a list gives an array of results.

    Raises
    ------
    ValueError
        For thresholds out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    _rises = True

    _name = "true_positives"

    def _at(self, tp, fp, tn, fn):
        return tp


class TrueNegatives(_AtThresholds):
    """Sum of weights of negatives with y_pred <= threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default; a list gives an array of results.

    Raises
    ------
    ValueError
        For thresholds out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.TrueNegatives()([0, 1, 0, 0], [1, 1, 0, 0])
    2.0
    """

    _rises = True

    _name = "true_negatives"

    def _at(self, tp, fp, tn, fn):
        return tn


class FalsePositives(_AtThresholds):
    """Sum of weights of negatives with y_pred > threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default; a list gives an array of results.

    Raises
    ------
    ValueError
        For thresholds out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.FalsePositives(thresholds=[0.5, 0.95])([0, 1, 0, 0], [0, 0, 0.9, 1])
    array([2., 1.])
    """

    _rises = False

    _name = "false_positives"

    def _at(self, tp, fp, tn, fn):
        return fp


class FalseNegatives(_AtThresholds):
    """Sum of weights of positives with y_pred <= threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default; a list gives an array of results.

    Raises
    ------
    ValueError
        For thresholds out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.FalseNegatives()([0, 1, 1, 1], [0, 1, 0, 0])
    2.0
    """

    _rises = False

    _name = "false_negatives"

    def _at(self, tp, fp, tn, fn):
        return fn


class Precision(_AtThresholds):
    """tp / (tp + fp): the share of positives among what is predicted positive, y_pred > threshold.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default, none with top_k; a list gives an array of results.
    top_k : int, optional
        Only the k largest outputs of a row can be predicted positive; of equal ones the first.  A vector is one row.
    class_id : int, optional
        Only this column counts.

    Raises
    ------
    ValueError
        For arguments out of range; when called, for a top_k or class_id that y_pred has no columns for.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.Precision()([0, 1, 1, 1], [1, 0, 1, 1]), 6)
    0.666667
    """

    _rises = True

    _name = "precision"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(thresholds, name)
        self.top_k = None if top_k is None else check.size(top_k, "top_k")
        self.class_id = None if class_id is None else check.size(class_id, "class_id", 0)

    @property
    def _flat(self):
        return self.top_k is None

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
    """tp / (tp + fn): the share of what is predicted positive, y_pred > threshold, among the positives.

    Parameters
    ----------
    thresholds : float or list of floats in [0, 1], optional
        0.5 by default, none with top_k; a list gives an array of results.
    top_k : int, optional
        Only the k largest outputs of a row can be predicted positive; of equal ones the first.  A vector is one row.
    class_id : int, optional
        Only this column counts.

    Raises
    ------
    ValueError
        For arguments out of range; when called, for a top_k or class_id that y_pred has no columns for.

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
    """The best value of one rate over the thresholds 0, ..., 1 at which another is at least as large as demanded."""

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
    """Largest tp / (tp + fn) over thresholds at which tn / (tn + fp) >= specificity, and 0 if there is none.

    Parameters
    ----------
    specificity : float in [0, 1]
    num_thresholds : int
        200 by default, evenly from 0 to 1; a single one is 0.5.
    class_id : int, optional
        Only this column counts.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    0.5
    """

    _name = "sensitivity_at_specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(num_thresholds, class_id, name)
        self.specificity = check.number(specificity, "specificity", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.specificity, _ratio(tn, tn + fp), _ratio(tp, tp + fn)


class SpecificityAtSensitivity(_Best):
    """Largest tn / (tn + fp) over thresholds at which tp / (tp + fn) >= sensitivity, and 0 if there is none.

    Parameters
    ----------
    sensitivity : float in [0, 1]
    num_thresholds : int
        200 by default, evenly from 0 to 1; a single one is 0.5.
    class_id : int, optional
        Only this column counts.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.SpecificityAtSensitivity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]), 6)
    0.666667
    """

    _name = "specificity_at_sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(num_thresholds, class_id, name)
        self.sensitivity = check.number(sensitivity, "sensitivity", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.sensitivity, _ratio(tp, tp + fn), _ratio(tn, tn + fp)


class PrecisionAtRecall(_Best):
    """Largest tp / (tp + fp) over thresholds at which tp / (tp + fn) >= recall, and 0 if there is none.

    Parameters
    ----------
    recall : float in [0, 1]
    num_thresholds : int
        200 by default, evenly from 0 to 1; a single one is 0.5.
    class_id : int, optional
        Only this column counts.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    0.5
    """

    _name = "precision_at_recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(num_thresholds, class_id, name)
        self.recall = check.number(recall, "recall", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.recall, _ratio(tp, tp + fn), _ratio(tp, tp + fp)


class RecallAtPrecision(_Best):
    """Largest tp / (tp + fn) over thresholds at which tp / (tp + fp) >= precision, and 0 if there is none.

    Parameters
    ----------
    precision : float in [0, 1]
    num_thresholds : int
        200 by default, evenly from 0 to 1; a single one is 0.5.
    class_id : int, optional
        Only this column counts.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.RecallAtPrecision(0.8)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.5
    """

    _name = "recall_at_precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(num_thresholds, class_id, name)
        self.precision = check.number(precision, "precision", 0, 1)

    def _rates(self, tp, fp, tn, fn):
        return self.precision, _ratio(tp, tp + fp), _ratio(tp, tp + fn)


class AUC(_Confusion):
    """Area under the curve of (fp / (fp + tn), tp / (tp + fn)), ROC, or of (recall, precision), PR, over thresholds.

    The curve has a corner at each threshold; between two of them ROC is a line, and in PR tp and fp are linear, so
    that precision is (tp_b + s (P - P_b)) / P with P = tp + fp and s = dtp / dP (Davis & Goadrich 2006, section 4).
    Without a positive, and ROC without a negative, the area is 0; a fit warns of such validation data.

    Parameters
    ----------
    num_thresholds : int
        200 by default, evenly from 0 to 1, at least 2.
    curve : {"ROC", "PR"}
    summation_method : {"interpolation", "minoring", "majoring"}
        As above, or the sum of rectangles below, or above.
    thresholds : list of floats in [0, 1], optional
        Instead of num_thresholds.  -1e-7 and 1 + 1e-7 are added to either.
    multi_label : bool
        The mean of the areas of the columns; otherwise all elements make one curve.
    num_labels : int, optional
        With multi_label, the number of columns, checked.
    label_weights : list of floats, optional
        Weights of columns: of their areas with multi_label, else of their elements.
    from_logits : bool
        y_pred holds z, scores are sigmoid(z); otherwise scores are y_pred clipped to [0, 1].

    Raises
    ------
    ValueError
        For arguments out of range; when called, for another number of columns than num_labels or label_weights.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.AUC(num_thresholds=3)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.75
    """

    _rises = True

    _name = "auc"

    def __init__(self, num_thresholds=200, curve="ROC", summation_method="interpolation", name=None, dtype=None,
                 thresholds=None, multi_label=False, num_labels=None, label_weights=None, from_logits=False):
        super().__init__(name)
        self.num_thresholds = check.size(num_thresholds, "num_thresholds", 2)
        self.curve = _choice(str(curve).upper(), "curve", ("ROC", "PR"))
        self.summation_method = _choice(str(summation_method).lower(), "summation_method",
                                        ("interpolation", "minoring", "majoring"))
        if thresholds is not None:
            thresholds = tuple(check.number(value, "each of thresholds", 0, 1) for value in thresholds)
        self.thresholds = thresholds
        self.multi_label = self._each_label = bool(multi_label)
        self.num_labels = None if num_labels is None else check.size(num_labels, "num_labels")
        if num_labels is not None and not multi_label:
            raise ValueError(f"num_labels is for multi_label=True; got {num_labels} without it. Leave it out.")
        if label_weights is not None:
            label_weights = tuple(check.number(value, "each of label_weights", 0) for value in label_weights)
        self.label_weights = label_weights
        self.from_logits = bool(from_logits)

    @property
    def _needs(self):
        return ("positives", "negatives") if self.curve == "ROC" else ("positives",)

    @property
    def _shape(self):
        return len(self.label_weights) if self.multi_label and self.label_weights else 1, 2, len(self._bounds()) + 1

    def _bounds(self):
        inner = np.linspace(0, 1, self.num_thresholds)[1:-1] if self.thresholds is None else self.thresholds
        return np.array([-1e-7, *inner, 1 + 1e-7])

    def _resolve(self, n_outputs, sparse):
        for name, count in ("num_labels", self.num_labels), ("label_weights", self.label_weights and len(self.label_weights)):
            if count not in (None, n_outputs):
                raise ValueError(f"{name} of metric {self.name!r} must fit the {n_outputs} outputs; it is for {count}.")
        return super()._resolve(n_outputs, sparse)

    def _reads_probabilities(self):
        return not self.from_logits

    def _scores(self, y_pred):
        if self.from_logits:
            from nnfast import functional

            return functional.sigmoid(y_pred)
        return y_pred.clip(0, 1)

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
        weights = np.ones(len(areas)) if self.label_weights is None or not self.multi_label else np.array(self.label_weights)
        return float(_ratio(areas @ weights, weights.sum()))

    @staticmethod
    def _interpolated(tp, fp, fn):
        predicted = tp + fp
        a, b = predicted[:, :-1], predicted[:, 1:]          # b is at the higher threshold
        gain = tp[:, :-1] - tp[:, 1:]
        slope = _ratio(gain, a - b)
        # int (tp_b + slope (P - b)) / P dP = gain + (tp_b - slope b) log(a / b), and just gain from b = 0 on
        logarithm = np.log(np.divide(a, b, out=np.ones_like(a), where=b > 0))
        return _ratio(slope * (gain + (tp[:, 1:] - slope * b) * logarithm), tp[:, 1:] + fn[:, 1:]).sum(axis=1)


# -- F-score, R2 and intersection over union -------------------------------------------------------------------------

class FBetaScore(Metric):
    """(1 + beta^2) tp / (beta^2 actual + predicted), the weighted harmonic mean of precision and recall, by column.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives an array of the scores of columns; "micro" counts all columns as one, "macro" is the mean of the
        scores, "weighted" their mean weighted by the number of actual positives.
    beta : float above 0
        How much more recall counts than precision; 1 by default.
    threshold : float in (0, 1], optional
        Positive is y_pred > threshold; by default it is the largest output of a row, unless it is 0.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.FBetaScore("micro", beta=2.0, threshold=0.5)([[1, 0], [1, 1]], [[0.9, 0.1], [0.2, 0.8]])
    0.7142857142857143
    """

    _rises = True

    _name = "fbeta_score"
    _flat = True
    _shape = (3, 1)

    def __init__(self, average=None, beta=1.0, threshold=None, name=None, dtype=None):
        super().__init__(name)
        self.average = _choice(average, "average", (None, "micro", "macro", "weighted"))
        self.beta = check.number(beta, "beta", 0)
        self.threshold = None if threshold is None else check.number(threshold, "threshold", 0, 1)
        if self.beta == 0 or self.threshold == 0:
            raise ValueError(f"beta and threshold must be above 0; got beta={beta!r}, threshold={threshold!r}.")

    def _lack(self, y_true, n_outputs):
        return None if _positives(y_true, n_outputs).any() else "positives"

    def _reads_probabilities(self):
        return self.threshold is not None

    def _sums(self, y_true, y_pred, weights):
        actual = _one_hot(y_true, y_pred.shape[1]).astype(np.float64)
        if self.threshold is None:
            predicted = (y_pred >= y_pred.max(axis=1, keepdims=True)) & (np.abs(y_pred) > 1e-9)     # Keras' idea of not 0
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
    """2 tp / (actual + predicted), the harmonic mean of precision and recall, by column.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives an array of the scores of columns; "micro" counts all columns as one, "macro" is the mean of the
        scores, "weighted" their mean weighted by the number of actual positives.
    threshold : float in (0, 1], optional
        Positive is y_pred > threshold; by default it is the largest output of a row, unless it is 0.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.F1Score(threshold=0.5)([[1, 1], [1, 0], [1, 1]], [[0.2, 0.6], [0.2, 0.6], [0.6, 0.8]])
    array([0.5, 0.8])
    """

    _name = "f1_score"

    def __init__(self, average=None, threshold=None, name=None, dtype=None):
        super().__init__(average, threshold=threshold, name=name)


class _Moments(np.ndarray):
    """Sums of R2Score, a row each: elements, weights, a shift, mean of y_true less the shift, squared deviations, squared residuals.

    They are added as moments are, see Chan, Golub and LeVeque 1979: the squared deviations of two sets of rows are those of
    both plus (distance of the means)^2 a b / (a + b), a and b their weights.
    """

    def __add__(self, other):
        (elements, a, shift, mean, squares, residual), more = np.asarray(self), np.asarray(other)
        distance, share = more[2] - shift + (more[3] - mean), _ratio(more[1], a + more[1])
        shift, mean = np.where(a > 0, (shift, mean + distance * share), more[2:4])
        return np.stack([elements + more[0], a + more[1], shift, mean, squares + more[4] + distance**2 * a * share,
                         residual + more[5]]).view(_Moments)

    def __radd__(self, nothing):
        return self


class R2Score(Metric):
    """1 - sum (y_true - y_pred)^2 / sum (y_true - mean y_true)^2, the coefficient of determination, by column.

    A column that is constant in y_true scores 1 if it is met and 0 if not; one row alone scores NaN: as in scikit-learn.
    A fit warns of such validation data.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        The mean of the scores of columns, weighted by their variance or not; None gives an array of them.
    num_regressors : int
        p of the adjusted score 1 - (1 - R2) (n - 1) / (n - p - 1), n the number of elements of y_true, as in Keras; 0, the
        default, is the plain score.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.R2Score()([[1], [4], [3]], [[2], [4], [4]]), 6)
    0.571429
    """

    _rises = True

    _name = "r2_score"
    _labels = False
    _flat = True
    _shape = (6, 1)

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name=None, dtype=None):
        super().__init__(name)
        self.class_aggregation = _choice(class_aggregation, "class_aggregation",
                                         ("uniform_average", "variance_weighted_average", None))
        self.num_regressors = check.size(num_regressors, "num_regressors", 0)

    def _lack(self, y_true, n_outputs):
        return "two rows" if len(y_true) < 2 else "targets that differ" if (y_true == y_true[:1]).all(axis=0).any() else None

    def _sums(self, y_true, y_pred, weights):
        y_true, rows = y_true.astype(np.float64), np.ones((len(y_pred), 1)) if weights is None else weights[:, None]
        shift = y_true[:1].sum(axis=0)              # the first row, or 0: sums of large values would lose their deviations
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
            import warnings

            warnings.warn(f"the adjusted R2 score needs more than num_regressors + 1 = {p + 1} numbers, got {n:.0f}: "
                          f"the plain score is given.", stacklevel=4)
            return scores
        return 1 - (1 - scores) * (n - 1) / (n - p - 1)


class IoU(Metric):
    """tp / (tp + fp + fn) of each class from their confusion matrix: the mean of those asked for that appear at all.

    In a model, and wherever there are columns, the class is the place of the largest.

    Parameters
    ----------
    num_classes : int
        Rows with a class out of [0, num_classes), true or predicted, count nothing.
    target_class_ids : list of ints
    ignore_class : int, optional
        Rows of this true class count nothing.
    sparse_y_true, sparse_y_pred : bool
        In `update_state`, True for integers of any shape, False for columns.
    axis : int
        The last axis, as -1 or as its number.

    Raises
    ------
    ValueError
        For a class to be asked for that is out of range; when called, for another number of outputs than num_classes.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.333333
    """

    _rises = True

    _name = "io_u"
    _flat = True

    def __init__(self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_true=True,
                 sparse_y_pred=True, axis=-1):
        super().__init__(name)
        self.num_classes = check.size(num_classes, "num_classes")
        self.target_class_ids = tuple(check.size(place, "each of target_class_ids", 0) for place in target_class_ids)
        if not self.target_class_ids or max(self.target_class_ids) >= self.num_classes:
            raise ValueError(f"target_class_ids must hold classes in [0, {num_classes}); got {target_class_ids!r}.")
        self.ignore_class = None if ignore_class is None else check.size(ignore_class, "ignore_class", -check.LARGEST)
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)
        self.axis = _last_axis(axis)

    @property
    def _shape(self):
        return self.num_classes, self.num_classes

    def _resolve(self, n_outputs, sparse):
        if n_outputs not in (1, self.num_classes):
            raise ValueError(f"metric {self.name!r} must be of as many classes as there are outputs, {n_outputs}; "
                             f"got num_classes={self.num_classes}.")
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
            raise ValueError(f"y_true and y_pred must hold as many classes; got shapes {y_true.shape} and {samples}. "
                             f"Columns of classes need sparse_y_true=False or sparse_y_pred=False.")
        return y_true.reshape(-1, 1), y_pred.reshape(-1, 1), self._row_weights(sample_weight, samples)

    def _sums(self, y_true, y_pred, weights):
        true, predicted = (y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1) for y in (y_true, y_pred))
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
    """tp / (tp + fp + fn) of the classes 0 and 1, predicted by y_pred >= threshold, element by element: their mean.

    Parameters
    ----------
    target_class_ids : list of ints
        (0, 1) by default: the mean of both; (0,) or (1,) is one of them.
    threshold : float
        0.5 by default.

    Raises
    ------
    ValueError
        For a class other than 0 and 1.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]), 6)
    0.333333
    """

    _name = "binary_io_u"

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
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
    """`IoU` of all classes: the mean of tp / (tp + fp + fn) of those that appear at all.

    Parameters
    ----------
    num_classes, ignore_class, sparse_y_true, sparse_y_pred, axis : as in `IoU`

    Raises
    ------
    ValueError
        In use, for another number of outputs than num_classes.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 6)
    0.333333
    """

    _name = "mean_io_u"

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_true=True, sparse_y_pred=True, axis=-1):
        super().__init__(num_classes, range(check.size(num_classes, "num_classes")), name, None, ignore_class, sparse_y_true,
                         sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot y_true, and by default columns of y_pred: tp / (tp + fp + fn), the mean over the classes asked for.

    Parameters
    ----------
    num_classes, target_class_ids, ignore_class, sparse_y_pred, axis : as in `IoU`

    Raises
    ------
    ValueError
        As in `IoU`.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.OneHotIoU(num_classes=3, target_class_ids=[0, 2])([[0, 0, 1], [1, 0, 0]], [[.2, .3, .5], [.1, .2, .7]])
    0.25
    """

    _name = "one_hot_io_u"

    def __init__(self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, target_class_ids, name, None, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot y_true, and by default columns of y_pred: the mean of tp / (tp + fp + fn) over all classes.

    Parameters
    ----------
    num_classes, ignore_class, sparse_y_pred, axis : as in `IoU`

    Raises
    ------
    ValueError
        As in `IoU`.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.OneHotMeanIoU(num_classes=3)([[0, 0, 1], [1, 0, 0]], [[.2, .3, .5], [.1, .2, .7]])
    0.25
    """

    _name = "one_hot_mean_io_u"

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, name, None, ignore_class, False, sparse_y_pred, axis)


# -- names -----------------------------------------------------------------------------------------------------------

_CLASSES = {name: globals()[name] for name in __all__ if name not in ("Metric", "MeanMetricWrapper", "get")}
_NAMES = {cls._name: cls for cls in _CLASSES.values()} | {
    "acc": Accuracy, "mse": MeanSquaredError, "mae": MeanAbsoluteError, "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError, "rmse": RootMeanSquaredError, "bce": BinaryCrossentropy, "kld": KLDivergence,
    "log_cosh_error": LogCoshError, "f_beta_score": FBetaScore, "f1": F1Score,
}


def get(identifier):
    """A metric from its name, under which the history then lists it, class, or function of y_true and y_pred; or the
    metric itself.

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
