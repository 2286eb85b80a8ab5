"""Losses: the number that training makes small.

    error       prediction - truth: an array with one element for each output
    loss        maps truth and predictions to one number; training makes this number small
    gradient    d loss / d prediction: an array like the predictions; backpropagation starts from it
    metric      is only reported: it has no gradient, and adding one changes no bit of training

The loss acts at one place of a training step.  The forward pass computes predictions; the loss
computes its gradient from them and the targets; backpropagation turns it into the gradient of every
weight; the optimizer changes the weights.  Training uses only the gradient of the loss; its value
is reported.  So another loss gives other weights after every step.

A hand-written loop that starts backpropagation from `error * a * (1 - a)` has a loss, too: half the
sum of squares over outputs.  `MeanSquaredError` is the one of Keras: the mean over outputs, without
the half, so its gradient is 2 / n_outputs times as large.  A loop with learning rate lr becomes a
model with learning rate lr * n_outputs / 2.

>>> import nnfast
>>> nnfast.losses.MeanSquaredError()([1., 0.], [2., 3.])
5.0

Every class has a function, named in snake case, that returns one value per sample:

>>> nnfast.losses.huber([[0.], [0.]], [[1.], [3.]], delta=2.0)
array([0.5, 4. ])

What all losses have in common, and options that many share, is in the docstring of `Loss`.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nnfast import _validation as check
from nnfast._core import network as core
from nnfast._differences import row_mismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, Protocol, TypeAlias, TypeGuard

    from numpy.typing import ArrayLike, NDArray

    _Reduction: TypeAlias = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"] | None
    _ClassWeight: TypeAlias = dict[int, float] | Literal["balanced"]
    _LossLike: TypeAlias = str | "Loss" | type["Loss"] | Callable[..., Any] | tuple[Any, ...]
    _Out: TypeAlias = NDArray[Any] | None
    _Interval: TypeAlias = tuple[float, float]

    class _Values(Protocol):
        def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, **options: Any) -> NDArray[np.float64]: ...

    class _Gradient(Protocol):
        def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, out: _Out = None, **options: Any) -> NDArray[Any]: ...

__all__ = [
    "Loss", "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy", "CategoricalHinge", "CosineSimilarity", "Dice", "Expectile", "Gamma",
    "GaussianNLL", "Hinge", "Huber", "KLDivergence", "LogCosh", "MeanAbsoluteError", "MeanAbsolutePercentageError",
    "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "Quantile", "SmoothL1",
    "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "Tweedie", "Custom",
    "get",
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "huber", "smooth_l1", "log_cosh", "quantile", "expectile", "cosine_similarity", "kl_divergence", "poisson",
    "gaussian_nll", "gamma", "tweedie", "hinge", "squared_hinge", "categorical_hinge", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy", "dice", "tversky",
]

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
DEFAULT: _Reduction = "sum_over_batch_size"
ROUNDING = 4 * float(np.finfo(np.float32).eps)      # how far float32 outputs that become targets may leave [0, 1]

LINE, UNIT, NOT_NEGATIVE = (-np.inf, np.inf), (0.0, 1.0), (0.0, np.inf)         # intervals of predictions
REGRESSION, BINARY, MULTILABEL, CLASSES = "regression", "binary", "multilabel", "classes"
EVERY_TASK = (REGRESSION, BINARY, MULTILABEL, CLASSES)
TASKS = {REGRESSION: "numbers", BINARY: "two classes (one probability a row)",
         MULTILABEL: "several labels a row (a probability for each)",
         CLASSES: "more than two classes (probabilities that sum to 1)"}


class _AllowedTargets(NamedTuple):
    """Targets that a loss allows: an interval, its rule in words, advice about other targets."""

    low: float
    high: float
    must: str               # completes "y must ..."
    advice: str = ""
    above: bool = False     # whether targets must be above `low`, not equal to it


REAL = _AllowedTargets(*LINE, "be finite")
SHARES = _AllowedTargets(
    *UNIT, "lie in [0, 1]", "Scale them, for instance y / 255, or (y + 1) / 2 for labels -1 and 1; "
                            "integer labels of classes are for SparseCategoricalCrossentropy.")
MARGINS = _AllowedTargets(
    -1, 1, "be -1 or 1, or all 0 or 1,", "Labels of more than two classes are for SparseCategoricalCrossentropy.")
COUNTS = _AllowedTargets(
    *NOT_NEGATIVE, "be not negative", "Correct these rows or leave them out, or choose a loss that "
                                      "allows them, such as 'mse'.")
POSITIVE = _AllowedTargets(
    *NOT_NEGATIVE, "be positive", "Correct these rows or leave them out; Tweedie(1.5) also allows the target 0.",
    above=True)


class Loss:
    """One number for truth and predictions, and its gradient.  Subclass it to write your own loss.

    Each sample gives a value; it is multiplied by the weight of the sample; `reduction` makes one
    number of these products.  Training follows the gradient of that number.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None}
        As in Keras; 0 / 0 gives 0.

        - "sum_over_batch_size" (the default), "mean": sum(weight value) / number of samples
        - "sum": sum(weight value)
        - "mean_with_sample_weight": sum(weight value) / sum(weight)
        - "none", None: the array of these products; training refuses it, since it needs one number
    check_gradient : bool, default True
        Whether the gradient of your own loss is compared with finite differences at its first use.

    Notes
    -----
    A subclass defines `call(y_true, y_pred) -> (values, gradient)` on whole batches: y_true and
    y_pred are arrays (rows, n), values (rows,), gradient (rows, n).  Row i of the gradient is the
    gradient of values[i], before weights and reduction.

    The first line of each loss below is its value for one sample: sums, means and maxima run over
    the outputs of the sample.  In long formulas y is y_true and p the predicted probability.

    Many losses share these options:

    - `axis`, default -1: the axis of y_pred with the outputs of one sample.  Training needs the
      columns, -1 or 1.
    - `from_logits`, default False: True means that y_pred holds logits z, and p = sigmoid(z) or
      softmax(z).  Otherwise y_pred holds the probabilities; cross-entropies clip them to
      [1e-7, 1 - 1e-7], and where the clip acts, the gradient is 0.  After the matching activation
      (sigmoid for `BinaryCrossentropy`, softmax for `CategoricalCrossentropy` and
      `SparseCategoricalCrossentropy`) training works on the logits whatever `from_logits` says, as
      Keras on TensorFlow does: no clip, no overflow, and the gradient of the logits is p - y.
    - `label_smoothing` in [0, 1], default 0: s moves y to y (1 - s) + s / 2, or to
      y (1 - s) + s / classes where a sample belongs to one class.

    Each loss says which targets it allows, and refuses others.  Where they must lie in [0, 1], a
    distance of 5e-7 is allowed for the rounding of float32, so that outputs of another model can be
    targets.

    Options of a loss cannot be changed later: a compiled model has already read them.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.losses import Loss
    >>> class NeverBelow(Loss):
    ...     '''An error counts ten times where the prediction is below the truth.'''
    ...     def call(self, y_true, y_pred):
    ...         error = y_pred - y_true
    ...         weight = np.where(error < 0, 10, 1)
    ...         return (weight * error**2).mean(axis=1), 2 * weight * error / error.shape[1]
    >>> NeverBelow()([[1.], [1.]], [[0.], [2.]])
    5.5
    """

    axis: Any = -1
    reduction: _Reduction = DEFAULT
    check_gradient: bool = True

    # What a subclass may declare, as a value, or as a property where it depends on options.
    _fixed: tuple[str, ...] = ("reduction",)    # options that cannot be set again
    _allowed: _AllowedTargets = REAL            # the targets that are allowed
    _sparse = False                             # whether targets are integer labels
    _ignores = False                            # whether rows with labels below 0 are left out
    _tasks: tuple[str, ...] = EVERY_TASK        # what an estimator may train with it
    _native_metrics = False                     # whether metrics of the core may read the targets of the kernel
    _outputs: _Interval = LINE                  # the interval in which predictions must lie
    _reach: _Interval | None = None             # the interval that the last layer must be able to cover
    _least_units = 1                            # with fewer outputs the loss is constant
    _for_one_output = "BinaryCrossentropy"      # the loss to take instead with one output
    _remedy = ""                                # what to do where predictions may leave `_outputs`
    _matching_activation: str | None = None     # after it, training works on the logits
    _dtype_of_check: Any = np.float64           # dtype of y_pred where the gradient is compared with differences

    def __init__(self, *, reduction: _Reduction = DEFAULT, check_gradient: bool = True) -> None:
        self.reduction = _reduction(reduction)
        if not check_gradient:
            self.check_gradient = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and name in self._fixed:
            raise AttributeError(f"{name} of a {type(self).__name__} cannot be changed: make a new loss, and compile "
                                 f"with it.")
        object.__setattr__(self, name, value)

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> tuple[ArrayLike, ArrayLike]:
        """Values (rows,) and gradients (rows, n) of rows; your own loss defines it."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred), "
                                  f"which returns (values, gradient).")

    # -- called by the user ------------------------------------------------------------------------

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                 class_weight: _ClassWeight | None = None) -> Any:
        """Value of the loss.

        Parameters
        ----------
        y_true : array in the shape of y_pred, or integer labels (samples) for a sparse loss
            A last axis of length 1 may be left out.
        y_pred : array of any rank
            `axis` is reduced, the last one by default; the other axes are samples.  float32 stays
            float32; integers become float64.
        sample_weight : array that broadcasts to the samples, or a number, optional
        class_weight : dict from class to weight, or "balanced", optional
            Multiplied with `sample_weight`; a class that is not in the dict has weight 1.
            "balanced" is samples / (classes present * samples of the class), each sample counted
            with its `sample_weight`, as in scikit-learn.  y_true must name classes: labels, one-hot
            rows, or rows of shares that sum to 1.

        Returns
        -------
        float, or with reduction None a float64 array (samples)

        Raises
        ------
        ValueError
            If shapes differ, labels are out of range, or the loss does not allow a target.
        """
        return self._evaluate(y_true, y_pred, sample_weight, class_weight, False)[0]

    def per_sample(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                   class_weight: _ClassWeight | None = None) -> NDArray[np.float64]:
        """Weighted value of each sample, whatever `reduction` is.

        A float64 array in the shape of y_pred without the reduced axis.  Parameters are those of
        the call.
        """
        if self.axis is None:
            raise ValueError(f"{type(self).__name__}(axis=None) has one value for the whole batch, none per sample. "
                             f"Choose an axis.")
        return np.asarray(self._evaluate(y_true, y_pred, sample_weight, class_weight, False, True)[0])

    def gradient(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                 class_weight: _ClassWeight | None = None) -> NDArray[Any]:
        """Gradient of the loss, d loss / d y_pred, in the shape and dtype of y_pred.

        With reduction None it is the gradient of the sum of the values.  Parameters are those of
        the call.
        """
        return self._evaluate(y_true, y_pred, sample_weight, class_weight, True)[1]

    def value_and_gradient(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                           class_weight: _ClassWeight | None = None) -> tuple[Any, NDArray[Any]]:
        """The value and the gradient in one pass: (loss, array in the shape of y_pred)."""
        return self._evaluate(y_true, y_pred, sample_weight, class_weight, True)

    def _evaluate(self, y_true, y_pred, sample_weight, class_weight, want_gradient, by_sample=False):
        """(loss, gradient or None) outside of training; with `by_sample` the loss is an array."""
        reduction = None if by_sample else self.reduction
        given = p = check.floats(y_pred, "y_pred")
        y, p = self._fit_shapes(y_true, p)
        back = None
        if self.axis != -1:
            y, p, back = self._axis_last(y, p)
        p = np.ascontiguousarray(p)
        values = np.empty(p.shape[:-1])
        delta = np.empty(p.shape, p.dtype) if want_gradient else None
        plain = sample_weight is None and class_weight is None and reduction == DEFAULT and not self._ignores
        total = self._fill(y, p, delta, values, 1 / values.size if plain and values.size else 1.)
        if plain:
            loss = total / values.size if values.size else 0.
        else:
            loss, factor = self._reduced(values, reduction, y, p, sample_weight, class_weight)
            if want_gradient:
                delta *= np.asarray(factor, delta.dtype)[..., None]
        if not want_gradient:
            return loss, None
        return loss, delta.reshape(given.shape) if back is None else back(delta)

    def _fill(self, y, p, delta, values, scale):
        """Writes the values of the rows to `values`; returns their sum.

        Writes scale * gradient to `delta`, unless it is None.
        """
        if p.size == 0:
            values[...] = 0
            if delta is not None:
                delta[...] = 0
            return 0.
        n = p.shape[-1]
        given, gradient = self._called(y.reshape(-1, y.shape[-1]), p.reshape(-1, n))
        values[...] = given.reshape(values.shape)
        if delta is not None:
            np.multiply(gradient.reshape(delta.shape), delta.dtype.type(scale), out=delta)
        return float(values.sum())

    def _reduced(self, values, reduction, y, p, sample_weight, class_weight):
        """(the reduced loss, the factor of the gradient of each value)."""
        weights = np.ones(values.shape)
        if sample_weight is not None:
            weights = weights * check.broadcast_weights(sample_weight, values.shape)
        if class_weight is not None:
            weights = weights * self._class_weights(class_weight, y, p.shape[-1], weights)
        weighted = values * weights
        if reduction in ("none", None):
            return weighted if weighted.ndim else float(weighted), weights
        divisor = self._divisor(y, weights, weighted.size)
        scale = 1 / divisor if divisor else 0.
        factor = weights * scale
        if values.ndim < weights.ndim:          # one value, many weights
            factor = factor.sum()
        return float(weighted.sum() * scale), factor

    def _class_weights(self, class_weight, y, n, sample_weight):
        """Array with the weight of each sample's class, in the shape of the samples."""
        if self.axis is None or isinstance(self.axis, tuple) or self.axis == 0:
            raise ValueError(f"class_weight needs a class for each sample, but {self!r} reduces samples together. "
                             f"Choose the last axis.")
        samples = y.shape if self._sparse else y.shape[:-1]
        n, y = (n, np.ravel(y)) if self._sparse else (y.shape[-1], y.reshape(-1, y.shape[-1]))
        return self._weights_of_classes(class_weight, n, y, np.ravel(sample_weight)).reshape(samples)

    def _fit_shapes(self, y_true, p):
        """(y, p): checked targets as the kernel reads them, and y_pred with axes that fit them."""
        if p.ndim == 0:
            raise ValueError("y_pred must have at least one axis, the one that is reduced; got a single number.")
        if self._sparse:
            if self.axis == -1 and getattr(y_true, "shape", None) == p.shape[:-1] and p.ndim == 2:
                # the common case, kept short
                return check.labels(y_true, p.shape[1], "y_true", self.ignore_class), p
            axis = check.axis(self.axis, p.ndim)
            samples = p.shape[:axis] + p.shape[axis + 1:]
            y = check.numeric(y_true, "y_true")
            if y.shape != samples and (y.ndim != p.ndim or y.shape[axis] != 1 or y.size != np.prod(samples)):
                raise ValueError(f"Arguments y_true and y_pred must have the same shape up until the axis of the "
                                 f"classes: y_true must hold one integer label for each sample, shape {samples}. "
                                 f"Received: y_true.shape={y.shape}, y_pred.shape={p.shape}.")
            return check.labels(y.reshape(-1), p.shape[axis], "y_true", self.ignore_class).reshape(samples), p
        y = check.floats(y_true, "y_true", p.dtype)
        if y.ndim + 1 == p.ndim and p.shape[-1] == 1:
            y = y[..., None]
        elif p.ndim + 1 == y.ndim and y.shape[-1] == 1:
            p = p[..., None]
        y = self._spread(y, p.shape)
        if y.shape[:-1] != p.shape[:-1] or not self._columns_fit(y.shape[-1], p.shape[-1]):
            raise ValueError(f"Arguments y_true and y_pred must have the same shape. Received: "
                             f"y_true.shape={np.shape(y_true)}, y_pred.shape={p.shape}.")
        self._check_targets(y, "y_true")
        return np.ascontiguousarray(self._coded(y)), p

    def _spread(self, y, shape):
        """y with the columns that the loss reads for predictions of this shape.

        Your own loss may read one target for several outputs: such a y becomes a column.
        """
        return y[..., None] if y.shape == shape[:-1] else y

    def _columns_fit(self, n_true, n_pred):
        """Whether y_true with n_true columns fits n_pred outputs; your own loss may read fewer."""
        return 1 <= n_true <= n_pred or n_true == n_pred

    def _axis_last(self, y, p):
        """(y, p, back): reduced axes come last; `back` puts a gradient in the order of p."""
        axes = tuple(range(p.ndim)) if self.axis is None \
            else tuple(check.axis(a, p.ndim) for a in np.atleast_1d(self.axis))
        if len(set(axes)) < len(axes):
            raise ValueError(f"axis must name each axis once, got {self.axis}.")
        kept = tuple(a for a in range(p.ndim) if a not in axes)
        order, shape = kept + axes, p.shape
        samples = tuple(shape[a] for a in kept)

        def last(array):
            if array.size == 0:
                return np.empty((*samples, 0), array.dtype)
            return np.ascontiguousarray(array.transpose(order)).reshape(*samples, -1)

        def back(delta):
            return np.ascontiguousarray(delta.reshape([shape[a] for a in order]).transpose(np.argsort(order)))

        return y if self._sparse else last(y), last(p), back

    # -- targets -----------------------------------------------------------------------------------

    def _targets(self, y, units, name):
        """Checked y for a network of `units` outputs: (rows, columns), or labels (rows,).

        It is copied only where necessary.  Your own loss may read fewer columns than outputs: e.g.
        labels, or one target for a mean and a variance.
        """
        y = check.numeric(y, name)
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        return y if y.ndim == 2 and 1 <= y.shape[1] < units else check.targets(y, units, name)

    def _coded(self, y):
        """The targets as the kernel reads them, e.g. -1 for the label 0."""
        return y

    def _bounds(self, dtype):
        """(lowest, highest) allowed target in a dtype."""
        low, high, *_, above = self._allowed
        if above:
            low = float(np.finfo(dtype).tiny)           # the core flushes smaller ones to 0
        return (low - ROUNDING, high + ROUNDING) if low > -np.inf and high < np.inf else (low, high)

    def _check_targets(self, y, name):
        """Raises ValueError for the first target that the loss does not allow."""
        if self._allowed is REAL or y.size == 0:
            return
        low, high = self._bounds(y.dtype if y.dtype.kind == "f" else np.dtype(np.float64))
        if not (low <= y.min() and y.max() <= high):
            place = tuple(int(i) for i in np.argwhere(~((low <= y) & (y <= high)))[0])
            shown = place[:-1] if len(place) > 1 and y.shape[-1] == 1 else place
            raise self._not_a_target(y[place], f"{name}[{', '.join(map(str, shown))}] is", name)

    def _bad_target(self, y, row, name, first=0, columns=None):
        """ValueError for a row of y that the core refused.

        y starts at row `first` of the user's array.
        """
        values = np.asarray(y[row], np.float64)
        low, high = self._bounds(np.dtype(np.float64))
        wrong = np.flatnonzero(~((low <= values) & (values <= high)))
        if not np.isfinite(values).all() or not len(wrong):
            return check.not_finite(y, row, name, first, columns)
        return self._not_a_target(y[row][wrong[0]], f"row {first + row} holds", name)

    def _not_a_target(self, value, where, name):
        """ValueError for one target; `where` says where it is, e.g. "row 3 holds"."""
        must, advice = (self._allowed.must, f" {self._allowed.advice}") if np.isfinite(value) else (REAL.must, "")
        return ValueError(f"{name} must {must} for {type(self).__name__}; {where} {value!s}.{advice}")

    def _weights_of_classes(self, class_weight, n, y, sample_weight=None):
        """Array with the weight of each row's class, for n outputs.

        "balanced" counts each row with its `sample_weight`.
        """
        if self._tasks == (REGRESSION,):
            raise ValueError(f"class_weight needs classes, which {self!r} does not have. "
                             f"Give a weight for each row as sample_weight.")
        return check.class_weights(class_weight, n, self._sparse, y, sample_weight)

    # -- advice about the last layer ---------------------------------------------------------------

    def _advice(self, units, low, high, last_activation, fused):
        """A warning if outputs in [low, high] do not suit this loss, else None.

        `units` is None where the number of outputs is not known yet; `fused` says whether training
        works on the input of the last activation.
        """
        if units == 1 and last_activation == "softmax":
            return ("softmax over one unit is always 1: nothing is learned. Give the last layer a unit for each class, "
                    "or activation='sigmoid'.")
        if units is not None and units < self._least_units:
            return (f"{self!r} of one output learns nothing from it. Give the last layer more units, "
                    f"or take {self._for_one_output}.")
        if fused:
            return (f"{self!r} after {last_activation}: the logits before the {last_activation} are used. "
                    f"Drop from_logits=True or the activation." if self._shows_logits(False) else None)
        if not self._outputs[0] <= low <= high <= self._outputs[1]:
            return (f"{self!r} needs predictions {_between(self._outputs)}; the model gives numbers "
                    f"{_between((low, high))}, on which it trains badly. {self._remedy}")
        if self._reach is not None and not low <= self._reach[0] <= self._reach[1] <= high:
            return (f"{self!r} needs a last layer that can give every number {_between(self._reach)}; it gives numbers "
                    f"{_between((low, high))}, on which the loss trains badly. "
                    f"Make the last layer linear (activation=None){self._or_else(low, high)}.")
        return None

    def _or_else(self, low, high):
        """The other remedy where outputs in [low, high] do not cover `_reach`; ends a sentence."""
        return ""

    def _shows_logits(self, fused):
        """Whether the outputs that metrics see are logits."""
        return False

    # -- in training -------------------------------------------------------------------------------

    @property
    def _whole(self):
        """Whether rows of a batch are reduced together, so that its loss is no mean over rows."""
        return self.axis not in (-1, 1)

    def _for_network(self, last_activation, units, dtype):
        """(kernel, fused, function) for `Network.set_loss`.

        `fused` says whether the kernel reads the input of the last activation; `function` is a loss
        in Python, or None.
        """
        if self.reduction in ("none", None):
            raise ValueError("training needs one number: reduction must be 'sum_over_batch_size', 'mean', 'sum' or "
                             "'mean_with_sample_weight'.")
        return core.LossKernel(core.CUSTOM_LOSSES["python"]), False, self._whole_batch if self._whole else self._batch

    def _shown(self, outputs):
        """The columns of the outputs that metrics see."""
        return outputs

    def _divisor(self, y, weights, samples):
        """Divisor of the sum of weighted values; rows with ignored labels, below 0, are omitted."""
        if self.reduction == "sum":
            return 1
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return float(weights[y >= 0].sum() if self._ignores else weights.sum())
        return int((y >= 0).sum()) if self._ignores else samples

    def _batch(self, y, p, weights):
        """(values, gradients) of the rows; the core multiplies them by the weights."""
        return self._called(y, p)

    def _whole_batch(self, y, p, weights):
        """(loss of the batch for each row, its gradient) where rows are reduced together."""
        loss, gradient = self.value_and_gradient(y, p, weights)
        return np.full(len(p), loss), gradient

    @property
    def _needs_check(self):
        """Whether the gradient must still be compared with finite differences."""
        return self.check_gradient and not self.__dict__.get("_checked", False)

    def _called(self, y, p):
        """(values, gradient) of `call`; the first call compares the gradient with differences."""
        if self._needs_check:
            mismatch = row_mismatch(self._results, np.asarray(y, self._dtype_of_check), p, dtype=self._dtype_of_check)
            if mismatch is not None:
                raise ValueError(f"the gradient of {self!r} must be the gradient of its values: {mismatch}. "
                                 f"Correct it, or construct the loss with check_gradient=False.")
            self._checked = True
        return self._results(y, p)

    def _results(self, y, p):
        """(values float64, gradient) of `call`, with shapes and dtypes checked."""
        given = self.call(np.array(y), np.array(p))         # copies: it may write into them
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(f"{self!r} must return (values, gradient), got {type(given).__name__}.")
        results = []
        wanted = ("values, a number for each row,", (len(p),)), ("a gradient like y_pred,", p.shape)
        for array, (name, shape) in zip(given, wanted):
            try:
                array = np.asarray(array)
            except ValueError:                  # rows of different length
                array = np.asarray(None)
            if array.dtype.kind not in "fiub" or array.shape != shape:
                raise ValueError(f"{self!r} must return {name} of shape {shape} and a real dtype; got shape "
                                 f"{array.shape}, dtype {array.dtype}.")
            results.append(array)
        return np.ascontiguousarray(results[0], np.float64), results[1]

    # -- identity ----------------------------------------------------------------------------------

    def _options(self):
        """The options as {name: value}."""
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        ours, theirs = self._options(), other._options()
        return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def __repr__(self) -> str:
        import inspect

        options = self._options()
        shown = [f"{name}={options[name]!r}" for name, parameter in inspect.signature(type(self)).parameters.items()
                 if name in options and not np.array_equal(options[name], parameter.default)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_kernels"}


def _between(interval):
    """An interval in words."""
    low, high = (f"{end:g}" for end in interval)
    return {(True, True): f"in [{low}, {high}]", (True, False): f"of at least {low}",
            (False, True): f"of at most {high}",
            (False, False): "anywhere on the real line"}[tuple(map(bool, np.isfinite(interval)))]


def _reduction(value):
    """The reduction, if it is one of REDUCTIONS."""
    if value not in REDUCTIONS:
        raise ValueError(f"Invalid value for argument `reduction`. Expected one of {REDUCTIONS}. "
                         f"Received: reduction={value!r}.")
    return value


def _fraction(value, name):
    """A float in the open interval (0, 1)."""
    result = check.number(value, name)
    if not 0 < result < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value!r}.")
    return result


def _not_negative(value, name):
    """A float of at least 0."""
    return check.number(value, name, 0)


def _one_or_list(value, name, checked):
    """A float, or a list of at least one, each checked by `checked(value, name)`."""
    if np.ndim(value) == 0:
        return checked(value, name)
    if len(value) == 0:
        raise ValueError(f"{name} must hold at least one number.")
    return [checked(each, f"each {name}") for each in value]


class _KernelLoss(Loss):
    """A loss with a kernel in _core/losses.pxd.

    A subclass names its kernel and declares the targets it allows and its tasks.
    """

    _kernel_name: Any = None        # a name in core.LOSSES
    _allowed: Any = None
    _tasks: Any = None
    _logits = False                 # whether there is a kernel of that name + "_logits", for logits
    _probabilities = "sigmoid"      # the activation that gives the predictions it needs
    _reach_of_logits: _Interval = LINE      # `_reach` with from_logits=True
    _takes_batch = False            # whether training may reduce the rows of a batch together
    _native_metrics = True
    _needs_check = False
    from_logits: bool = False

    _fixed = ("reduction", "axis", "delta", "beta", "q", "log_input", "power", "from_logits", "label_smoothing",
              "pos_weight", "apply_class_balancing", "alpha", "gamma", "ignore_class")

    def __init_subclass__(cls) -> None:
        if "call" in vars(cls):
            raise TypeError(f"{cls.__name__} defines call, so it must be a subclass of losses.Loss, not of a loss with "
                            f"a kernel.")

    def _settings_for(self, n):
        """Constants of the kernel for n outputs."""
        return ()

    def _by_column(self, n):
        """Constants of the kernel with one element for each of n outputs, or None."""
        return None

    def _kernel_for(self, n, from_logits):
        """The kernel for n outputs; kept for the next call."""
        kernels = self.__dict__.setdefault("_kernels", {})
        kernel = kernels.get((n, from_logits))
        if kernel is None:
            code = core.LOSSES[self._kernel_name + ("_logits" if from_logits else "")]
            kernel = kernels[n, from_logits] = core.LossKernel(code, self._settings_for(n), self._by_column(n))
        return kernel

    def _fill(self, y, p, delta, values, scale):
        if p.size == 0:
            return super()._fill(y, p, delta, values, scale)
        return self._kernel_for(p.shape[-1], self.from_logits)(y, p, delta, values.reshape(-1), scale)

    def _for_network(self, last_activation, units, dtype):
        given = super()._for_network(last_activation, units, dtype)
        if self._whole:
            if not self._takes_batch:
                raise ValueError(f"the axis of {self!r} must be that of the outputs in training, -1 or 1; "
                                 f"got {self.axis}.")
            return given
        fused = self._matching_activation is not None and last_activation == self._matching_activation
        return self._kernel_for(units, fused or self.from_logits), fused, None

    def _spread(self, y, shape):
        return y

    def _columns_fit(self, n_true, n_pred):
        return n_true == n_pred

    def _targets(self, y, units, name):
        return check.targets(y, units, name)

    @property
    def _outputs(self):
        """[0, 1] for a loss of probabilities, else the real line."""
        return UNIT if self._logits and not self.from_logits else LINE

    @property
    def _reach(self):
        """What logits must be able to be; None for probabilities."""
        return self._reach_of_logits if self.from_logits else None

    @property
    def _remedy(self):
        """The activation, or option, with which predictions stay in `_outputs`."""
        return (f"End the model with activation={self._probabilities!r}"
                f"{', or give the loss from_logits=True' if self._logits else ''}.")

    def _or_else(self, low, high):
        return ", or drop from_logits=True" if self.from_logits and 0 <= low <= high <= 1 else ""

    def _shows_logits(self, fused):
        return self.from_logits and not fused


class _Plain(_KernelLoss):
    """A loss without options; its reduction may be positional, as in Keras."""

    def __init__(self, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)


# -- regression ------------------------------------------------------------------------------------


class MeanSquaredError(_Plain):
    """mean((y_pred - y_true)^2), without a half.

    The gradient is 2 (y_pred - y_true) / n for n outputs.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanSquaredError().gradient([1., 0.], [2., 3.])
    array([1., 3.])
    """

    _kernel_name = "mean_squared_error"
    _allowed, _tasks = REAL, EVERY_TASK


class MeanAbsoluteError(_Plain):
    """mean(|y_pred - y_true|).

    The gradient is sign(y_pred - y_true) / n.  Where the two are equal there is no derivative, and
    the gradient is 0: any slope between -1 / n and 1 / n would do.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanAbsoluteError()([1., 0.], [2., 3.])
    2.0
    """

    _kernel_name = "mean_absolute_error"
    _allowed, _tasks = REAL, EVERY_TASK


class MeanAbsolutePercentageError(_Plain):
    """100 mean(|y_pred - y_true| / max(|y_true|, 1e-7)).

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanAbsolutePercentageError()([2., 4.], [1., 5.])
    37.5
    """

    _kernel_name = "mean_absolute_percentage_error"
    _allowed, _tasks = REAL, (REGRESSION,)


class MeanSquaredLogarithmicError(_Plain):
    """mean((log(1 + y_pred) - log(1 + y_true))^2), both at least 1e-7.

    Smaller values are raised to 1e-7; where this happens to y_pred, the gradient is 0.  y_true must
    not be negative (Keras clips it); the last layer should not give negative predictions either.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.MeanSquaredLogarithmicError()([0., 1.], [1., 1.]), 6)
    0.240226
    """

    _kernel_name = "mean_squared_logarithmic_error"
    _allowed, _tasks, _outputs = COUNTS, (REGRESSION,), NOT_NEGATIVE
    _remedy = "End the model with activation='softplus' or 'exponential'."


class Huber(_KernelLoss):
    """mean(e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2), e = y_pred - y_true.

    Parameters
    ----------
    delta : float, positive, default 1
        Size of the error at which the parabola becomes a line.
    reduction : as in `Loss`

    References
    ----------
    Huber 1964, Robust estimation of a location parameter.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Huber()([0., 0.], [0.5, 3.])
    1.3125
    """

    _kernel_name = "huber"
    _allowed, _tasks = REAL, EVERY_TASK

    delta: float

    def __init__(self, delta: float = 1.0, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.delta = check.positive(delta, "delta")

    def _settings_for(self, n):
        return (self.delta, 1.0)


class SmoothL1(_KernelLoss):
    """mean(e^2 / (2 beta) where |e| < beta, else |e| - beta / 2), e = y_pred - y_true.

    It is Huber(beta) / beta, PyTorch's SmoothL1Loss.

    Parameters
    ----------
    beta : float, at least 0, default 1
        Size of the error at which the parabola becomes a line.  0 gives the mean absolute error.
    reduction : as in `Loss`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.SmoothL1(beta=0.5)([0., 0.], [0.25, 3.])
    1.40625
    """

    _allowed, _tasks = REAL, EVERY_TASK

    beta: float

    def __init__(self, beta: float = 1.0, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.beta = check.number(beta, "beta", 0)

    @property
    def _kernel_name(self):
        return "huber" if self.beta > 0 else "mean_absolute_error"

    def _settings_for(self, n):
        return (self.beta, 1 / self.beta) if self.beta > 0 else ()


class LogCosh(_Plain):
    """mean(log(cosh(y_pred - y_true))).

    About e^2 / 2 for a small error e, |e| - log 2 for a large one; the gradient is tanh(e) / n.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.LogCosh()([0.], [1.]), 6)
    0.433781
    """

    _kernel_name = "log_cosh"
    _allowed, _tasks = REAL, EVERY_TASK


class Quantile(_KernelLoss):
    """mean(q e where e >= 0, else (q - 1) e), e = y_true - y_pred: the pinball loss.

    It is smallest where y_pred is the q-quantile of y_true.  With q = 0.9, a prediction below the
    truth costs nine times as much as one above.  Where the two are equal, the gradient is 0.

    Parameters
    ----------
    q : float in (0, 1), or list of them, default 0.5
        With a list, output i of the network is the quantile q[i] of one target.  The target is
        given once, or in every column.
    reduction : as in `Loss`

    References
    ----------
    Koenker and Bassett 1978, Regression quantiles.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Quantile(0.75)([[1.], [1.]], [[0.], [2.]])
    0.5
    >>> nnfast.losses.Quantile([0.25, 0.5, 0.75]).per_sample([4.], [[3., 4., 5.]])
    array([0.16666667])
    """

    _kernel_name = "quantile"
    _allowed, _tasks = REAL, (REGRESSION,)

    q: float | list[float]

    def __init__(self, q: float | Sequence[float] = 0.5, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.q = _one_or_list(q, "q", _fraction)

    def _by_column(self, n):
        if isinstance(self.q, float):
            return [self.q] * n
        if len(self.q) != n:
            raise ValueError(f"Quantile of {len(self.q)} quantiles must have as many outputs, one for each; got {n}.")
        return self.q

    def _spread(self, y, shape):
        if isinstance(self.q, list) and y.shape in (shape[:-1], (*shape[:-1], 1)):
            return np.broadcast_to(y.reshape(*shape[:-1], 1), shape)
        return y

    def _targets(self, y, units, name):
        y = check.numeric(y, name)
        if isinstance(self.q, list) and units == len(self.q) and (y.ndim == 1 or y.shape[1:] == (1,)):
            return np.broadcast_to(y.reshape(-1, 1), (len(y), units))
        return super()._targets(y, units, name)


class Expectile(_KernelLoss):
    """mean(q e^2 where e >= 0, else (1 - q) e^2), e = y_true - y_pred.

    A squared error with factor q for predictions below the truth, and 1 - q above it: it is
    smallest at the q-expectile of y_true.

    Parameters
    ----------
    q : float in (0, 1), default 0.5
        0.5 gives half the mean squared error.
    reduction : as in `Loss`

    References
    ----------
    Newey and Powell 1987, Asymmetric least squares estimation and testing.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Expectile(0.75)([[1.], [1.]], [[0.], [2.]])
    0.5
    """

    _kernel_name = "expectile"
    _allowed, _tasks = REAL, (REGRESSION,)

    q: float

    def __init__(self, q: float = 0.5, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.q = _fraction(q, "q")

    def _settings_for(self, n):
        return (self.q,)


class CosineSimilarity(_KernelLoss):
    """-sum(y_true y_pred) / (|y_true| |y_pred|): minus the cosine of the angle between the two.

    -1 where the directions are the same.  A length counts at least 1e-7.

    Parameters
    ----------
    axis, reduction : as in `Loss`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.CosineSimilarity()([[0., 1.]], [[0., 5.]])
    -1.0
    """

    _kernel_name = "cosine_similarity"
    _allowed, _tasks = REAL, (REGRESSION, MULTILABEL, CLASSES)
    _least_units = 2
    _for_one_output = "MeanSquaredError"

    def __init__(self, axis: int = -1, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.axis = check.axes(axis)


# -- distributions ---------------------------------------------------------------------------------


class KLDivergence(_Plain):
    """sum(t log(t / q)), t and q being y_true and y_pred clipped to [1e-7, 1].

    The gradient is -t / q inside of the interval, half of it at its ends, and 0 outside.  y_true
    must lie in [0, 1].

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 6)
    0.143841
    """

    _kernel_name = "kl_divergence"
    _allowed, _tasks, _outputs = SHARES, (CLASSES,), UNIT
    _least_units = 2
    _probabilities = "softmax"


class Poisson(_KernelLoss):
    """mean(y_pred - y_true log(y_pred + 1e-7)); with log_input mean(exp(y_pred) - y_true y_pred).

    The negative log-likelihood of counts y_true, without terms that do not depend on y_pred.

    Parameters
    ----------
    log_input : bool, default False
        y_pred is the logarithm of the rate instead of the rate.  Keras has the first form only;
        PyTorch's default is the second.
    reduction : as in `Loss`

    Notes
    -----
    y_true must not be negative.  Without `log_input` the last layer should not give negative
    predictions: end it with "softplus" or "exponential".

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Poisson(log_input=True)([2.], [0.])
    1.0
    """

    _allowed, _tasks = COUNTS, (REGRESSION,)
    _remedy = "End the model with activation='softplus' or 'exponential', or give the loss log_input=True."

    log_input: bool

    def __init__(self, log_input: bool = False, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.log_input = bool(log_input)

    @property
    def _kernel_name(self):
        return "poisson_log" if self.log_input else "poisson"

    @property
    def _outputs(self):
        return LINE if self.log_input else NOT_NEGATIVE

    @property
    def _reach(self):
        return LINE if self.log_input else None

    def _or_else(self, low, high):
        return ", or drop log_input=True" if low >= 0 else ""


class GaussianNLL(_Plain):
    """mean(log v + (y_true - m)^2 / v) / 2: the network predicts a mean m and its variance v.

    y_pred has twice the columns of y_true: first the means m, then raw values with
    v = softplus(raw) + 1e-6.  It is the negative log-likelihood without the constant log(2 pi) / 2.
    Metrics see the means.

    References
    ----------
    Nix and Weigend 1994, Estimating the mean and variance of the target probability distribution.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.GaussianNLL()([[2.]], [[1., 0.5413]]), 3)      # v = 1, e = 1
    0.5
    """

    _kernel_name = "gaussian_nll"
    _allowed, _tasks, _reach = REAL, (REGRESSION,), LINE
    _native_metrics = False         # metrics see the means

    def _columns_fit(self, n_true, n_pred):
        return n_true == self._columns(n_pred)

    def _columns(self, n):
        """Number of targets for n outputs."""
        if n % 2:
            raise ValueError(f"GaussianNLL must have an even number of outputs, a mean and a variance for each target; "
                             f"got {n}.")
        return n // 2

    def _spread(self, y, shape):
        return y[..., None] if y.shape == shape[:-1] and shape[-1] == 2 else y

    def _targets(self, y, units, name):
        return super()._targets(y, self._columns(units), name)

    def _shown(self, outputs):
        return outputs[:, :outputs.shape[1] // 2]


class Gamma(_Plain):
    """mean(y_pred + y_true exp(-y_pred)): gamma distribution with mean exp(y_pred), y_true > 0.

    Half its deviance without the constant -1 - log(y_true), as scikit-learn's HalfGammaLoss.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Gamma()([2.], [0.])
    2.0
    """

    _kernel_name = "gamma"
    _allowed, _tasks, _reach = POSITIVE, (REGRESSION,), LINE


class Tweedie(_KernelLoss):
    """mean(m^(2-k) / (2-k) - y_true m^(1-k) / (1-k)), m = exp(y_pred), k = power.

    Half the deviance of a Tweedie distribution with mean m, without constants, as scikit-learn's
    HalfTweedieLoss.

    Parameters
    ----------
    power : float, default 1.5
        0 is half the squared error of exp(y_pred), 1 is Poisson(log_input=True), 2 is Gamma.
        Between 1 and 2 the distribution is continuous above 0 and has many zeros.  y_true must not
        be negative for a power above 0, and must be positive from 2 on.
    reduction : as in `Loss`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Tweedie(1.5)([2.], [0.])
    6.0
    """

    _tasks, _reach = (REGRESSION,), LINE

    power: float

    def __init__(self, power: float = 1.5, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.power = check.number(power, "power")

    @property
    def _kernel_name(self):
        return {1.0: "poisson_log", 2.0: "gamma"}.get(self.power, "tweedie")

    @property
    def _allowed(self):
        return REAL if self.power <= 0 else COUNTS if self.power < 2 else POSITIVE

    def _settings_for(self, n):
        return (self.power,)


# -- margins ---------------------------------------------------------------------------------------


class _Margin(_Plain):
    """Targets -1 and 1; if all of a call or fit are 0 or 1, 0 stands for -1, as in Keras."""

    _native_metrics = False         # metrics see the labels as they were given
    _allowed, _tasks = MARGINS, ()    # no estimator predicts margins
    _reach = (-1.0, 1.0)

    def _or_else(self, low, high):
        return " or activation='tanh'"

    def _coded(self, y):
        if not ((y == 0) | (y == 1)).all():
            return y
        return 2 * (y if y.dtype.kind == "f" else y.astype(np.float32)) - 1


class Hinge(_Margin):
    """mean(max(0, 1 - y_true y_pred)), y_true -1 or 1, or all 0 or 1.

    If all targets of a call or fit are 0 or 1, 0 stands for -1, as in Keras.  Targets between -1
    and 1 are taken as they are.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Hinge()([[0.], [1.]], [[-2.], [0.5]])
    0.25
    """

    _kernel_name = "hinge"


class SquaredHinge(_Margin):
    """mean(max(0, 1 - y_true y_pred)^2), with the targets of `Hinge`.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.SquaredHinge()([[0.], [1.]], [[-2.], [0.5]])
    0.125
    """

    _kernel_name = "squared_hinge"


class CategoricalHinge(_Plain):
    """max(0, 1 + max((1 - y_true) y_pred) - sum(y_true y_pred)), y_true one-hot or shares.

    y_true must lie in [0, 1].

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.CategoricalHinge()([[0., 1., 0.]], [[0.5, 1., 0.25]])
    0.5
    """

    _kernel_name = "categorical_hinge"
    _allowed, _tasks = SHARES, (CLASSES,)


# -- probabilities ---------------------------------------------------------------------------------


class BinaryCrossentropy(_KernelLoss):
    """-mean(w y log p + (1 - y) log(1 - p)): a yes-or-no question for each output, y in [0, 1].

    Parameters
    ----------
    from_logits : bool, default False
        See `Loss`; p = sigmoid(z).
    label_smoothing, axis, reduction : as in `Loss`
    pos_weight : float of at least 0, or list with one for each output, default 1
        w, as in PyTorch: above 1, a missed positive costs more.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.BinaryCrossentropy()([[1.]], [[0.75]]), 7)
    0.2876821
    """

    _kernel_name = "binary_crossentropy"
    _allowed, _tasks = SHARES, (BINARY, MULTILABEL, CLASSES)
    _logits = True
    _matching_activation = "sigmoid"

    label_smoothing: float
    pos_weight: float | list[float]

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
                 pos_weight: float | Sequence[float] = 1.0, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)
        self.pos_weight = _one_or_list(pos_weight, "pos_weight", _not_negative)

    def _settings_for(self, n):
        return (1 - self.label_smoothing, self.label_smoothing / 2)

    def _by_column(self, n):
        if isinstance(self.pos_weight, list):
            if len(self.pos_weight) != n:
                raise ValueError(f"pos_weight must have a number for each of the {n} outputs, "
                                 f"got {len(self.pos_weight)}.")
            return self.pos_weight
        return [self.pos_weight] * n if self.pos_weight != 1 else None


class BinaryFocalCrossentropy(_KernelLoss):
    """BinaryCrossentropy with each term times (1 - t)^gamma, t the predicted probability of y_true.

    t is p where y_true is 1, and 1 - p where it is 0.  Outputs that are already right count less.
    y_true must lie in [0, 1].

    Parameters
    ----------
    apply_class_balancing : bool, default False
        Multiply by alpha where y_true is 1, by 1 - alpha where it is 0.
    alpha : float in [0, 1], default 0.25
    gamma : float, at least 0, default 2
        0 gives BinaryCrossentropy.
    from_logits : bool, default False
        See `Loss`; p = sigmoid(z).
    label_smoothing, axis, reduction : as in `Loss`

    References
    ----------
    Lin et al. 2018, Focal loss for dense object detection.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.BinaryFocalCrossentropy()([[1.]], [[0.75]]), 7)
    0.0179801
    """

    _kernel_name = "binary_focal_crossentropy"
    _allowed, _tasks = SHARES, (BINARY, MULTILABEL, CLASSES)
    _logits = True

    apply_class_balancing: bool
    alpha: float
    gamma: float
    label_smoothing: float

    def __init__(self, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
                 from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
                 reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = check.number(alpha, "alpha", 0, 1)
        self.gamma = check.number(gamma, "gamma", 0)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)

    def _settings_for(self, n):
        alpha = self.alpha if self.apply_class_balancing else -1        # below 0: no balancing
        return (1 - self.label_smoothing, self.label_smoothing / 2, self.gamma, alpha)


class _Categorical(_KernelLoss):
    """A cross-entropy of classes: softmax over at least two outputs."""

    _tasks = (CLASSES,)
    _logits = True
    _probabilities = "softmax"
    _reach_of_logits = NOT_NEGATIVE         # softmax depends on differences only
    _least_units = 2


class CategoricalCrossentropy(_Categorical):
    """-sum(y log(p / sum(p))), y one-hot or shares of the classes in [0, 1].

    The gradient of the true class is negative and grows as 1 / p as its probability falls, down to
    the clip at 1e-7.  A row p of zeros has the value of the clip.

    Parameters
    ----------
    from_logits : bool, default False
        See `Loss`; p = softmax(z).
    label_smoothing, axis, reduction : as in `Loss`

    Examples
    --------
    >>> from nnfast.losses import CategoricalCrossentropy
    >>> y_true, y_pred = [[0, 1, 0], [1, 0, 0]], [[.15, .75, .1], [.75, .15, .1]]
    >>> round(CategoricalCrossentropy()(y_true, y_pred), 7)
    0.2876821
    """

    _kernel_name = "categorical_crossentropy"
    _allowed = SHARES
    _matching_activation = "softmax"

    label_smoothing: float

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *,
                 reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)

    def _settings_for(self, n):
        return (1 - self.label_smoothing, self.label_smoothing / n)


class CategoricalFocalCrossentropy(_Categorical):
    """-sum(alpha (1 - p)^gamma y log p), y one-hot or shares of the classes in [0, 1].

    p is y_pred divided by its sum.  Classes that are already right count less.

    Parameters
    ----------
    alpha : float of at least 0, or list with one for each class, default 0.25
    gamma : float, at least 0, default 2
    from_logits : bool, default False
        See `Loss`; p = softmax(z).
    label_smoothing, axis, reduction : as in `Loss`

    References
    ----------
    Lin et al. 2018, Focal loss for dense object detection.

    Examples
    --------
    >>> from nnfast.losses import CategoricalFocalCrossentropy
    >>> round(CategoricalFocalCrossentropy()([[0, 1, 0]], [[.15, .75, .1]]), 7)
    0.004495
    """

    _kernel_name = "categorical_focal_crossentropy"
    _allowed = SHARES

    alpha: float | list[float]
    gamma: float
    label_smoothing: float

    def __init__(self, alpha: float | Sequence[float] = 0.25, gamma: float = 2.0, from_logits: bool = False,
                 label_smoothing: float = 0.0, axis: int = -1, *, reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.alpha = _one_or_list(alpha, "alpha", _not_negative)
        self.gamma = check.number(gamma, "gamma", 0)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)

    def _settings_for(self, n):
        return (1 - self.label_smoothing, self.label_smoothing / n, self.gamma)

    def _by_column(self, n):
        if isinstance(self.alpha, list):
            if len(self.alpha) != n:
                raise ValueError(f"alpha must have a number for each of the {n} classes, got {len(self.alpha)}.")
            return self.alpha
        return [self.alpha] * n


class SparseCategoricalCrossentropy(_Categorical):
    """-log(p_label / sum(p)): CategoricalCrossentropy for integer labels, without a one-hot matrix.

    Parameters
    ----------
    from_logits : bool, default False
        See `Loss`; p = softmax(z).
    ignore_class : int, optional
        Rows with this label have loss 0; they count neither in the mean nor in metrics (in Keras
        they count in metrics).  It may lie outside of the classes.
    axis, reduction : as in `Loss`

    Examples
    --------
    >>> from nnfast.losses import SparseCategoricalCrossentropy
    >>> labels, y_pred = [1, 0], [[.15, .75, .1], [.75, .15, .1]]
    >>> round(SparseCategoricalCrossentropy()(labels, y_pred), 7)
    0.2876821
    """

    _kernel_name = "sparse_categorical_crossentropy"
    _allowed = REAL                   # labels have their own check
    _sparse = True
    _matching_activation = "softmax"

    ignore_class: int | None

    def __init__(self, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1, *,
                 reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction)
        self.from_logits = bool(from_logits)
        self.ignore_class = None if ignore_class is None else check.size(ignore_class, "ignore_class", -2**62)
        self.axis = check.axes(axis)

    @property
    def _ignores(self):
        return self.ignore_class is not None

    def _targets(self, y, units, name):
        return check.labels(y, units, name, self.ignore_class)


# -- overlaps --------------------------------------------------------------------------------------


class Dice(_KernelLoss):
    """1 - 2 sum(y p) / (sum(y) + sum(p) + 1e-7): 0 for the same sets, 1 for disjoint ones.

    y and p lie in [0, 1]: how far each element belongs to the true and to the predicted set.

    Parameters
    ----------
    axis : int, tuple of int or None, default None
        Axes of the sums.  With None they run over everything, the batch included: one value a
        batch.
    reduction : as in `Loss`

    References
    ----------
    Milletari, Navab and Ahmadi 2016, V-Net.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.Dice()([[1., 0.], [1., 1.]], [[0.5, 0.], [1., 1.]]), 6)
    0.090909
    """

    _kernel_name = "tversky"
    _allowed, _tasks, _outputs = SHARES, (BINARY, MULTILABEL, CLASSES), UNIT
    _takes_batch = True

    def __init__(self, reduction: _Reduction = DEFAULT, axis: int | tuple[int, ...] | None = None) -> None:
        super().__init__(reduction=reduction)
        self.axis = check.axes(axis, several=True)

    def _settings_for(self, n):
        return (0.5, 0.5, 0.5)


class Tversky(_KernelLoss):
    """1 - I / (I + alpha sum(y (1 - p)) + beta sum((1 - y) p) + 1e-7), I = sum(y p).

    `Dice` with separate prices for the two kinds of error; y and p lie in [0, 1].

    Parameters
    ----------
    alpha, beta : float, at least 0, default 0.5
        Price of missed elements, y (1 - p), and of falsely found ones, (1 - y) p.  0.5 each gives
        Dice.
    axis : int, tuple of int or None, default None
        As in `Dice`.
    reduction : as in `Loss`

    References
    ----------
    Salehi, Erdogmus and Gholipour 2017, Tversky loss function for image segmentation.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.Tversky(alpha=0.75, beta=0.25)([[1., 0.]], [[0.5, 0.]]), 6)
    0.428571
    """

    _kernel_name = "tversky"
    _allowed, _tasks, _outputs = SHARES, (BINARY, MULTILABEL, CLASSES), UNIT
    _takes_batch = True

    alpha: float
    beta: float

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, *, reduction: _Reduction = DEFAULT,
                 axis: int | tuple[int, ...] | None = None) -> None:
        super().__init__(reduction=reduction)
        self.alpha, self.beta = check.number(alpha, "alpha", 0), check.number(beta, "beta", 0)
        self.axis = check.axes(axis, several=True)

    def _settings_for(self, n):
        return (self.alpha, self.beta, 1.0)


# -- your own --------------------------------------------------------------------------------------


class Custom(Loss):
    """Your own loss from a function; `compile(loss=function)` makes one.

    Parameters
    ----------
    function : callable, or scipy.LowLevelCallable
        In Python: (y_true, y_pred) -> (values, gradient) on whole batches, as `Loss.call`.  It is
        called once for each batch; a batch of more than 8,192 rows is given in parts of that size.

        In C: ``double f(const double *y_true, const double *y_pred, double *gradient, ptrdiff_t n,
        void *user_data)``, or float instead of double for float32.  It reads one row, writes the
        gradient of its value and returns the value.  It trains at native speed, without the GIL,
        and several threads may call it at once.
    check_gradient : bool, default True
        Compare the gradient with finite differences at the first use, and refuse a wrong one.  This
        check calls a Python function in float64, whatever the dtype of the model.
    reduction : as in `Loss`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> def fourth_power(y_true, y_pred):
    ...     error = y_pred - y_true
    ...     return (error**4).sum(axis=1), 4 * error**3
    >>> nnfast.losses.Custom(fourth_power)([[0.]], [[2.]])
    16.0
    """

    _fixed = ("reduction", "function")

    function: Callable[..., Any] | tuple[Any, ...]

    def __init__(self, function: Callable[..., Any] | tuple[Any, ...], *, check_gradient: bool = True,
                 reduction: _Reduction = DEFAULT) -> None:
        super().__init__(reduction=reduction, check_gradient=check_gradient)
        self.function = function
        self._c_kernel: Any = None
        if _is_low_level(function):
            self._dtype_of_check = check.c_signature(function.signature)
            self._c_kernel = core.LossKernel(core.CUSTOM_LOSSES["c"], function=function)
        elif not callable(function):
            raise TypeError(f"function must be callable as (y_true, y_pred) -> (values, gradient), or a "
                            f"scipy.LowLevelCallable; got {function!r}.")

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> tuple[ArrayLike, ArrayLike]:
        """Values (rows,) and gradients (rows, n) from the function."""
        if self._c_kernel is None:
            return self.function(y_true, y_pred)        # type: ignore[operator]
        y, p = (np.ascontiguousarray(array, self._dtype_of_check) for array in (y_true, y_pred))
        values, gradient = np.empty(len(p)), np.empty_like(p)
        self._c_kernel(y, p, gradient, values, 1.)
        return values, gradient

    def _for_network(self, last_activation, units, dtype):
        if self._c_kernel is None:
            return super()._for_network(last_activation, units, dtype)
        super()._for_network(last_activation, units, dtype)         # checks the reduction
        if dtype != self._dtype_of_check:
            written = np.dtype(self._dtype_of_check).name
            raise ValueError(f"the C function of the loss works in {written}, the model in {dtype}: write it for the "
                             f"dtype of the model, or make the model with dtype={written!r}.")
        return self._c_kernel, False, None

    def _targets(self, y, units, name):
        return super()._targets(y, units, name) if self._c_kernel is None else check.targets(y, units, name)

    def __repr__(self) -> str:
        options = "" if self.check_gradient else ", check_gradient=False"
        options += "" if self.reduction == DEFAULT else f", reduction={self.reduction!r}"
        return f"Custom({getattr(self.function, '__name__', self.function)}{options})"

    def __getstate__(self):
        if self._c_kernel is not None:
            raise TypeError("a loss in C is an address of this process and cannot be pickled. Compile the loaded model "
                            "with it instead.")
        return super().__getstate__()

    def __deepcopy__(self, memo):
        return self


def _is_low_level(function: Any) -> TypeGuard[Any]:
    """Whether it is a scipy.LowLevelCallable, told without importing SciPy."""
    return isinstance(function, tuple) and hasattr(function, "signature") and len(function) == 3


# -- names -----------------------------------------------------------------------------------------

_ALIASES = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
            "msle": "mean_squared_logarithmic_error", "bce": "binary_crossentropy", "kld": "kl_divergence",
            "logcosh": "log_cosh", "huber_loss": "huber", "pinball": "quantile"}
_CLASSES: dict[str, type[_KernelLoss]] = {}         # by the names of their functions


def _functions(name: str, cls: type[_KernelLoss], y_true: str = "[[1., 0.]]") -> tuple[_Values, _Gradient]:
    """Two functions for a loss: the value of each sample, and the gradient of each value.

    `y_true` holds the targets in the examples of their docstrings.
    """
    _CLASSES[name] = cls

    def values(y_true, y_pred, **options):
        loss = cls(**options, reduction=None)
        return np.asarray(loss._evaluate(y_true, y_pred, None, None, False)[0])

    def gradient(y_true, y_pred, out=None, **options):
        delta = cls(**options, reduction=None)._evaluate(y_true, y_pred, None, None, True)[1]
        if out is None:
            return delta
        out = check.result(out, delta.shape, delta.dtype)
        out[...] = delta
        return out

    what = str(cls.__doc__).partition("\n")[0]
    values.__doc__ = f"""{what}

    Values per sample in float64; options are those of `losses.{cls.__name__}`.

    Examples
    --------
    >>> from nnfast import losses
    >>> y_true, y_pred = {y_true}, [[0.75, 0.25]]
    >>> values = losses.{name}(y_true, y_pred)
    >>> float(values.mean()) == losses.{cls.__name__}()(y_true, y_pred)
    True
    """
    gradient.__doc__ = f"""Gradient of each sample's `{name}` with respect to y_pred.

    An array in the shape and dtype of y_pred, or `out`.  Options are those of `losses.{cls.__name__}`.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast import functional as F
    >>> y_true, y_pred = {y_true}, np.array([[0.75, 0.25]])
    >>> slope = F.{name}_gradient(y_true, y_pred)[0, 0]
    >>> above = F.{name}(y_true, y_pred + [1e-6, 0])
    >>> below = F.{name}(y_true, y_pred - [1e-6, 0])
    >>> np.allclose(slope, (above - below) / 2e-6)
    True
    """
    values.__name__ = values.__qualname__ = name
    gradient.__name__ = gradient.__qualname__ = f"{name}_gradient"
    return values, gradient


mean_squared_error, mean_squared_error_gradient = _functions("mean_squared_error", MeanSquaredError)
mean_absolute_error, mean_absolute_error_gradient = _functions("mean_absolute_error", MeanAbsoluteError)
mean_absolute_percentage_error, mean_absolute_percentage_error_gradient = _functions(
    "mean_absolute_percentage_error", MeanAbsolutePercentageError, y_true="[[2., 1.]]")
mean_squared_logarithmic_error, mean_squared_logarithmic_error_gradient = _functions(
    "mean_squared_logarithmic_error", MeanSquaredLogarithmicError)
huber, huber_gradient = _functions("huber", Huber)
smooth_l1, smooth_l1_gradient = _functions("smooth_l1", SmoothL1)
log_cosh, log_cosh_gradient = _functions("log_cosh", LogCosh)
quantile, quantile_gradient = _functions("quantile", Quantile)
expectile, expectile_gradient = _functions("expectile", Expectile)
cosine_similarity, cosine_similarity_gradient = _functions("cosine_similarity", CosineSimilarity)
kl_divergence, kl_divergence_gradient = _functions("kl_divergence", KLDivergence)
poisson, poisson_gradient = _functions("poisson", Poisson)
gaussian_nll, gaussian_nll_gradient = _functions("gaussian_nll", GaussianNLL, y_true="[[1.]]")
gamma, gamma_gradient = _functions("gamma", Gamma, y_true="[[2., 1.]]")
tweedie, tweedie_gradient = _functions("tweedie", Tweedie)
hinge, hinge_gradient = _functions("hinge", Hinge)
squared_hinge, squared_hinge_gradient = _functions("squared_hinge", SquaredHinge)
categorical_hinge, categorical_hinge_gradient = _functions("categorical_hinge", CategoricalHinge)
binary_crossentropy, binary_crossentropy_gradient = _functions("binary_crossentropy", BinaryCrossentropy)
binary_focal_crossentropy, binary_focal_crossentropy_gradient = _functions(
    "binary_focal_crossentropy", BinaryFocalCrossentropy)
categorical_crossentropy, categorical_crossentropy_gradient = _functions(
    "categorical_crossentropy", CategoricalCrossentropy)
categorical_focal_crossentropy, categorical_focal_crossentropy_gradient = _functions(
    "categorical_focal_crossentropy", CategoricalFocalCrossentropy)
sparse_categorical_crossentropy, sparse_categorical_crossentropy_gradient = _functions(
    "sparse_categorical_crossentropy", SparseCategoricalCrossentropy, y_true="[0]")
dice, dice_gradient = _functions("dice", Dice)
tversky, tversky_gradient = _functions("tversky", Tversky)

NAMES = (*_CLASSES, *_ALIASES)


def get(identifier: _LossLike) -> Loss:
    """Returns the loss of a name, class or function.

    Parameters
    ----------
    identifier : Loss, its class, its name, a function of this module, or your own function
        A `Loss` is returned unchanged; your own function becomes `Custom(function)`.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If the name is not known.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.get("mse")
    MeanSquaredError()
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if isinstance(identifier, str):
        names = {**_CLASSES, **{cls.__name__: cls for cls in _CLASSES.values()}}
        for spelling in (identifier, identifier.lower()):
            known = _ALIASES.get(spelling, spelling)
            if known in names:
                return names[known]()
        raise check.unknown("loss", identifier, [*names, *_ALIASES])
    name = getattr(identifier, "__name__", None)
    if name in _CLASSES and identifier is globals()[name]:
        return _CLASSES[name]()
    if callable(identifier) and not isinstance(identifier, type) or _is_low_level(identifier):
        return Custom(identifier)
    raise check.unknown("loss", identifier, _CLASSES)
