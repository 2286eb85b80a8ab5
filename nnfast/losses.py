"""Losses: where the error becomes one number, and where training begins.

    error       prediction - truth: a vector
    loss        maps it to one number; training makes that number small
    gradient    d loss / d prediction: what backpropagation starts from; another loss is another gradient, so
                other weights after every step
    metric      is reported and never differentiated: adding one changes no bit of training

A loop written by hand that starts from `error * a * (1 - a)` has a loss, too: half the sum of squares over outputs.
`MeanSquaredError` is Keras': the mean over outputs, without the half, so its gradient is 2 / n_outputs times that.
To follow such a loop of learning rate lr use learning rate lr * n_outputs / 2.

>>> import nnfast
>>> nnfast.losses.MeanSquaredError()([1., 0.], [2., 3.])
5.0

Every class has a function of its name in snake case that gives a value per sample:

>>> nnfast.losses.huber([[0.], [0.]], [[1.], [3.]], delta=2.0)
array([0.5, 4. ])
"""
from typing import NamedTuple

import numpy as np

from nnfast import _validation as check
from nnfast._core import network as core
from nnfast._differences import row_mismatch

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
DEFAULT = "sum_over_batch_size"
ROUNDING = 4 * float(np.finfo(np.float32).eps)      # what float32 outputs of a model may leave [0, 1] by, as targets

LINE, UNIT, NOT_NEGATIVE = (-np.inf, np.inf), (0.0, 1.0), (0.0, np.inf)         # intervals of predictions
REGRESSION, BINARY, MULTILABEL, CLASSES = "regression", "binary", "multilabel", "classes"
EVERY_TASK = (REGRESSION, BINARY, MULTILABEL, CLASSES)
TASKS = {REGRESSION: "numbers", BINARY: "two classes (one probability a row)",
         MULTILABEL: "several labels a row (a probability for each)",
         CLASSES: "more than two classes (probabilities that sum to 1)"}


class _Targets(NamedTuple):
    """Targets that a loss has: an interval, without its lower end if `above`; in words; what to do about others."""

    low: float
    high: float
    must: str
    advice: str = ""
    above: bool = False


REAL = _Targets(*LINE, "be finite")
SHARES = _Targets(*UNIT, "lie in [0, 1]", "Scale them, for instance y / 255, or (y + 1) / 2 for labels -1 and 1; "
                                          "integer labels of classes are for SparseCategoricalCrossentropy.")
MARGINS = _Targets(-1, 1, "be -1 or 1, or all 0 or 1,",
                   "Labels of more than two classes are for SparseCategoricalCrossentropy.")
COUNTS = _Targets(*NOT_NEGATIVE, "be not negative", "Correct these rows or leave them out, or choose a loss of all "
                                                    "real targets, such as 'mse'.")
POSITIVE = _Targets(*NOT_NEGATIVE, "be positive", "Correct these rows or leave them out; Tweedie(1.5) also has the "
                                                  "target 0.", above=True)


class Loss:
    """A loss as one number: values per sample, times weights, reduced.  Subclass it to write your own.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None}
        As in Keras: sum(value * weight) / number of samples ("mean" is the same), the sum, the sum / sum(weight), or
        an array of the weighted values.  0 / 0 gives 0.  Training needs one number, so not "none".
    check_gradient : bool
        Of a loss of your own: compare its gradient with finite differences where it is first used.

    Notes
    -----
    A subclass defines `call(y_true, y_pred) -> (values, gradient)` on whole batches: y_true and y_pred are arrays
    (rows, n), values (rows,), gradient (rows, n) that of each row's value, before mean and weights.

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

    _sparse = False         # y_true are integer labels
    _native_metrics = False     # whether metrics may read the targets of the kernel
    _truth = REAL           # what y_true may be
    _outputs = LINE         # where y_pred must lie
    _reach = None           # what y_pred must be able to be, or None
    _least_units = 1        # with fewer it is constant
    _tasks = EVERY_TASK     # what it trains for
    axis = -1

    def __init__(self, *, reduction=DEFAULT, check_gradient=True):
        self.reduction = _reduction(reduction)
        if not check_gradient:
            self.check_gradient = False

    reduction = DEFAULT
    check_gradient = True
    _fixed = ("reduction",)     # options that a compiled model has taken over

    def __setattr__(self, name, value):
        if name in self.__dict__ and name in self._fixed:
            raise AttributeError(f"{name} of a {type(self).__name__} can not be changed: make a new loss, and compile with it.")
        object.__setattr__(self, name, value)

    def call(self, y_true, y_pred):
        """Values (rows,) and gradients (rows, n) of rows; what a loss of your own defines."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred), "
                                  f"which returns (values, gradient).")

    # -- on its own --------------------------------------------------------------------------------------------------

    def __call__(self, y_true, y_pred, sample_weight=None, *, class_weight=None):
        """The loss.

        Parameters
        ----------
        y_true : array of the shape of y_pred, or integer labels of that shape without the axis of the classes
            A last axis of length 1 may be left out.
        y_pred : array of any rank
            The last axis, or `axis`, is reduced; the others are samples.  float32 stays float32; integers become float64.
        sample_weight : array that broadcasts to the samples, or a number, optional
        class_weight : dict from class to weight, or "balanced", optional
            Multiplied with `sample_weight`; a class that is missing counts 1.  "balanced" is samples / (classes
            present * samples of the class), each sample counted with its `sample_weight`, as in scikit-learn.  y_true must
            name classes: labels, or rows that are one-hot or shares that sum to 1.

        Returns
        -------
        float, or with reduction None an array (samples) in float64

        Raises
        ------
        ValueError
            Where shapes differ, labels are out of range or targets cannot be of this loss.
        """
        return self._evaluate(y_true, y_pred, sample_weight, class_weight, False)[0]

    def per_sample(self, y_true, y_pred, sample_weight=None, *, class_weight=None):
        """The value of each sample, times its weight: float64, in the shape of y_pred without the reduced axis."""
        if self.axis is None:
            raise ValueError(f"{type(self).__name__}(axis=None) has one value for the whole batch, none per sample. Choose an axis.")
        return np.asarray(self._evaluate(y_true, y_pred, sample_weight, class_weight, False, True)[0])

    def gradient(self, y_true, y_pred, sample_weight=None, *, class_weight=None):
        """d loss / d y_pred, in the shape and dtype of y_pred; with reduction None that of the sum of the values.

        Parameters are those of the call.
        """
        return self._evaluate(y_true, y_pred, sample_weight, class_weight, True)[1]

    def value_and_gradient(self, y_true, y_pred, sample_weight=None, *, class_weight=None):
        """The call and `gradient` in one pass: (loss, array of the shape of y_pred)."""
        return self._evaluate(y_true, y_pred, sample_weight, class_weight, True)

    def _evaluate(self, y_true, y_pred, sample_weight, class_weight, want_gradient, by_sample=False):
        """Loss and gradient; the one way for every loss outside of training."""
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
        total = self._rows(y, p, delta, values, 1 / values.size if plain and values.size else 1.)
        if plain:
            loss = total / values.size if values.size else 0.
        else:
            loss, factor = self._reduced(values, reduction, y, p, sample_weight, class_weight)
            if want_gradient:
                delta *= np.asarray(factor, delta.dtype)[..., None]
        if not want_gradient:
            return loss, None
        return loss, delta.reshape(given.shape) if back is None else back(delta)

    _ignores = False

    def _reduced(self, values, reduction, y, p, sample_weight, class_weight):
        """Weighted values as `reduction` has them, and what the gradient of each value is multiplied with."""
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
        """A weight for each sample from its class."""
        if self.axis is None or isinstance(self.axis, tuple) or self.axis == 0:
            raise ValueError(f"class_weight needs a class for each sample, which {self!r} does not keep apart. Choose the last axis.")
        samples = y.shape if self._sparse else y.shape[:-1]
        n, y = (n, np.ravel(y)) if self._sparse else (y.shape[-1], y.reshape(-1, y.shape[-1]))
        return self._weights_of_classes(class_weight, n, y, np.ravel(sample_weight)).reshape(samples)

    def _fit_shapes(self, y_true, p):
        """y_true as an array that belongs to p: labels, or numbers of p's dtype."""
        if p.ndim == 0:
            raise ValueError("y_pred must have at least one axis, the one that is reduced; got a single number.")
        if self._sparse:
            if self.axis == -1 and getattr(y_true, "shape", None) == p.shape[:-1] and p.ndim == 2:      # the common case, kept short
                return check.labels(y_true, p.shape[1], "y_true", self.ignore_class), p
            axis = check.axis(self.axis, p.ndim)
            samples = p.shape[:axis] + p.shape[axis + 1:]
            y = check.numeric(y_true, "y_true")
            if y.shape != samples and (y.ndim != p.ndim or y.shape[axis] != 1 or y.size != np.prod(samples)):
                raise ValueError(f"Arguments y_true and y_pred must have the same shape up until the axis of the classes: y_true must hold "
                                 f"one integer label for each sample, shape {samples}. Received: y_true.shape={y.shape}, y_pred.shape={p.shape}.")
            return check.labels(y.reshape(-1), p.shape[axis], "y_true", self.ignore_class).reshape(samples), p
        y = check.floats(y_true, "y_true", p.dtype)
        if y.ndim + 1 == p.ndim and p.shape[-1] == 1:
            y = y[..., None]
        elif p.ndim + 1 == y.ndim and y.shape[-1] == 1:
            p = p[..., None]
        y = self._spread(y, p.shape)
        if y.shape[:-1] != p.shape[:-1] or not self._columns_fit(y.shape[-1], p.shape[-1]):
            raise ValueError(f"Arguments y_true and y_pred must have the same shape. Received: y_true.shape={np.shape(y_true)}, y_pred.shape={p.shape}.")
        self._check_targets(y, "y_true")
        return np.ascontiguousarray(self._coded(y)), p

    def _spread(self, y, shape):
        """y as a loss of several outputs for one target wants it: as a column for one of your own."""
        return y[..., None] if y.shape == shape[:-1] else y

    def _columns_fit(self, n_true, n_pred):
        """Whether y_true may have `n_true` columns: a loss of your own may take fewer than the predictions have."""
        return 1 <= n_true <= n_pred or n_true == n_pred

    def _coded(self, y):
        """Targets in the code of the kernel."""
        return y

    def _bounds(self, dtype):
        """Lowest and highest target in a dtype."""
        low, high, *_, above = self._truth
        if above:
            low = float(np.finfo(dtype).tiny)           # what is smaller counts as 0 in the core
        return (low - ROUNDING, high + ROUNDING) if low > -np.inf and high < np.inf else (low, high)

    def _check_targets(self, y, name):
        """ValueError for targets that this loss does not have."""
        if self._truth is REAL or y.size == 0:
            return
        low, high = self._bounds(y.dtype if y.dtype.kind == "f" else np.dtype(np.float64))
        if not (low <= y.min() and y.max() <= high):
            place = tuple(int(i) for i in np.argwhere(~((low <= y) & (y <= high)))[0])
            shown = place[:-1] if len(place) > 1 and y.shape[-1] == 1 else place
            raise self._not_a_target(y[place], f"{name}[{', '.join(map(str, shown))}] is", name)

    def _not_a_target(self, value, where, name):
        """ValueError for a target; `where` says where it stands."""
        must, advice = (self._truth.must, f" {self._truth.advice}") if np.isfinite(value) else (REAL.must, "")
        return ValueError(f"{name} must {must} for {type(self).__name__}; {where} {value!s}.{advice}")

    def _bad_target(self, y, row, name, first=0, columns=None):
        """ValueError for a row of y that the core met no target in; the caller's array begins `first` rows before."""
        values = np.asarray(y[row], np.float64)
        low, high = self._bounds(np.dtype(np.float64))
        wrong = np.flatnonzero(~((low <= values) & (values <= high)))
        if not np.isfinite(values).all() or not len(wrong):
            return check.not_finite(y, row, name, first, columns)
        return self._not_a_target(y[row][wrong[0]], f"row {first + row} holds", name)

    def _advice(self, units, low, high, last_activation, fused):
        """What is wrong with outputs in [low, high] for this loss, or None; `units` is None where it is not known."""
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

    _remedy = ""            # where y_pred may leave the interval
    _for_one_output = "BinaryCrossentropy"      # what to take instead
    _matching_activation = None     # behind it training works on the logits, whatever from_logits says

    def _or_else(self, low, high):
        """The other way out for outputs in [low, high], where y_pred can not be all it must."""
        return ""

    def _shows_logits(self, fused):
        """Whether metrics see logits."""
        return False

    def _weights_of_classes(self, class_weight, n, y, sample_weight=None):
        """A weight for each row of y, for n outputs; "balanced" counts rows by their `sample_weight`."""
        if self._tasks == (REGRESSION,):
            raise ValueError(f"class_weight needs classes, which {self!r} does not have. "
                             f"Give a weight for each row as sample_weight.")
        return check.class_weights(class_weight, n, self._sparse, y, sample_weight)

    def _axis_last(self, y, p):
        """y and p with the reduced axes as their last one, and a function that puts a gradient back into the order of p."""
        axes = tuple(range(p.ndim)) if self.axis is None else tuple(check.axis(a, p.ndim) for a in np.atleast_1d(self.axis))
        if len(set(axes)) < len(axes):
            raise ValueError(f"axis must name each axis once, got {self.axis}.")
        kept = tuple(a for a in range(p.ndim) if a not in axes)
        order, shape = kept + axes, p.shape
        samples = tuple(shape[a] for a in kept)

        def last(array):
            return np.ascontiguousarray(array.transpose(order)).reshape(*samples, -1) if array.size else np.empty((*samples, 0), array.dtype)

        def back(delta):
            return np.ascontiguousarray(delta.reshape([shape[a] for a in order]).transpose(np.argsort(order)))

        return y if self._sparse else last(y), last(p), back

    def _rows(self, y, p, delta, values, scale):
        """values <- the loss of each row, delta <- scale times its gradient, unless delta is None; the sum of the values."""
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

    # -- in training -------------------------------------------------------------------------------------------------

    @property
    def _whole(self):
        """Whether rows of a batch are reduced together, so that the loss of a batch is no mean of rows."""
        return self.axis not in (-1, 1)

    def _for_network(self, last_activation, units, dtype):
        """What `Network.set_loss` wants: the kernel, whether it takes the input of the last activation, and a Python loss."""
        if self.reduction in ("none", None):
            raise ValueError("training needs one number: reduction must be 'sum_over_batch_size', 'mean', 'sum' or 'mean_with_sample_weight'.")
        return core.LossKernel(core.CUSTOM_LOSSES["python"]), False, self._whole_batch if self._whole else self._batch

    def _targets(self, y, units, name):
        """y for a network of `units` outputs, checked, and without a copy where that is possible.

        A loss of your own may take fewer columns than outputs: a target for a mean and a variance, say, or labels.
        """
        y = check.numeric(y, name)
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        return y if y.ndim == 2 and 1 <= y.shape[1] < units else check.targets(y, units, name)

    def _shown(self, outputs):
        """What metrics see of the outputs."""
        return outputs

    def _divisor(self, y, weights, samples):
        """What the sum of weighted values of samples is divided by; those of labels below 0 are ignored."""
        if self.reduction == "sum":
            return 1
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return float(weights[y >= 0].sum() if self._ignores else weights.sum())
        return int((y >= 0).sum()) if self._ignores else samples

    def _batch(self, y, p, weights):
        return self._called(y, p)

    def _whole_batch(self, y, p, weights):
        loss, gradient = self.value_and_gradient(y, p, weights)
        return np.full(len(p), loss), gradient

    @property
    def _needs_check(self):
        """Whether this is a loss of your own whose gradient nobody has looked at."""
        return self.check_gradient and not self.__dict__.get("_checked", False)

    def _called(self, y, p):
        """`call`, its results checked; its gradient compared with differences the first time."""
        if self._needs_check:
            mismatch = row_mismatch(self._results, np.asarray(y, self._dtype_of_check), p, dtype=self._dtype_of_check)
            if mismatch is not None:
                raise ValueError(f"the gradient of {self!r} must be that of its values: {mismatch}. "
                                 f"Mend it, or construct the loss with check_gradient=False.")
            self._checked = True
        return self._results(y, p)

    _dtype_of_check = np.float64

    def _results(self, y, p):
        given = self.call(np.array(y), np.array(p))         # of its own: it may write into them
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(f"{self!r} must return (values, gradient), got {type(given).__name__}.")
        results = []
        for array, name, shape in zip(given, ("values, a number for each row,", "a gradient like y_pred,"), ((len(p),), p.shape)):
            try:
                array = np.asarray(array)
            except ValueError:                  # rows of different length
                array = np.asarray(None)
            if array.dtype.kind not in "fiub" or array.shape != shape:
                raise ValueError(f"{self!r} must return {name} of shape {shape} and a real dtype; got shape {array.shape}, dtype {array.dtype}.")
            results.append(array)
        return np.ascontiguousarray(results[0], np.float64), results[1]

    # -- identity ----------------------------------------------------------------------------------------------------

    def _options(self):
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def __eq__(self, other):
        if type(self) is not type(other):
            return False
        ours, theirs = self._options(), other._options()
        return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)

    def __hash__(self):
        return hash((type(self), repr(self)))

    def __repr__(self):
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
    if value not in REDUCTIONS:
        raise ValueError(f"Invalid value for argument `reduction`. Expected one of {REDUCTIONS}. Received: reduction={value!r}.")
    return value


def _fraction(value, name):
    """A number in the open interval (0, 1)."""
    result = check.number(value, name)
    if not 0 < result < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value!r}.")
    return result


def _not_negative(value, name):
    return check.number(value, name, 0)


def _one_or_list(value, name, checked):
    """A number, or a list of at least one, each checked."""
    if np.ndim(value) == 0:
        return checked(value, name)
    if len(value) == 0:
        raise ValueError(f"{name} must hold at least one number.")
    return [checked(each, f"each {name}") for each in value]


class _KernelLoss(Loss):
    """A loss with a kernel in _core/losses.pxd.

    `_kernel_name` names it, `_settings` are its numbers, `_by_column(n)` a number for each of n columns or None.  Each
    declares the targets it has, `_truth`, and what it trains for, `_tasks`.
    """

    _truth = _tasks = None

    _native_metrics = True
    _needs_check = False
    _takes_batch = False            # whether it may reduce the rows of a batch in training
    _kernel_name = None
    _logits = False                 # whether there is a kernel of that name + "_logits"
    _reach_of_logits = LINE         # what they must be able to be
    from_logits = False

    _fixed = ("reduction", "axis", "delta", "beta", "q", "log_input", "power", "from_logits", "label_smoothing", "pos_weight",
              "apply_class_balancing", "alpha", "gamma", "ignore_class")

    def __init_subclass__(cls):
        if "call" in vars(cls):
            raise TypeError(f"{cls.__name__} defines call, so it must be a subclass of losses.Loss, not of a loss with a kernel.")

    def _spread(self, y, shape):
        return y

    def _columns_fit(self, n_true, n_pred):
        return n_true == n_pred

    def _targets(self, y, units, name):
        return check.targets(y, units, name)

    @property
    def _outputs(self):
        return UNIT if self._logits and not self.from_logits else LINE

    @property
    def _reach(self):
        return self._reach_of_logits if self.from_logits else None

    @property
    def _remedy(self):
        return (f"End the model with activation={self._probabilities!r}"
                f"{', or give the loss from_logits=True' if self._logits else ''}.")

    _probabilities = "sigmoid"      # the activation that gives them

    def _or_else(self, low, high):
        return ", or drop from_logits=True" if self.from_logits and 0 <= low <= high <= 1 else ""

    def _shows_logits(self, fused):
        return self.from_logits and not fused

    def _settings(self):
        return ()

    def _by_column(self, n):
        return None

    def _kernel_for(self, n, from_logits):
        """The kernel for n columns; kept."""
        kernels = self.__dict__.setdefault("_kernels", {})
        kernel = kernels.get((n, from_logits))
        if kernel is None:
            code = core.LOSSES[self._kernel_name + ("_logits" if from_logits else "")]
            kernel = kernels[n, from_logits] = core.LossKernel(code, self._settings_for(n), self._by_column(n))
        return kernel

    def _settings_for(self, n):
        return self._settings()

    def _rows(self, y, p, delta, values, scale):
        if p.size == 0:
            return super()._rows(y, p, delta, values, scale)
        return self._kernel_for(p.shape[-1], self.from_logits)(y, p, delta, values.reshape(-1), scale)

    def _for_network(self, last_activation, units, dtype):
        given = super()._for_network(last_activation, units, dtype)
        if self._whole:
            if not self._takes_batch:
                raise ValueError(f"the axis of {self!r} must be that of the outputs in training, -1 or 1; got {self.axis}.")
            return given
        fused = self._matching_activation is not None and last_activation == self._matching_activation
        return self._kernel_for(units, fused or self.from_logits), fused, None


class _Plain(_KernelLoss):
    """A loss without options; its reduction may be the first argument, as in Keras."""

    def __init__(self, reduction=DEFAULT):
        super().__init__(reduction=reduction)


# -- regression --------------------------------------------------------------------------------------------------------


class MeanSquaredError(_Plain):
    """mean (y_pred - y_true)^2 over the last axis, without a half; gradient 2 (y_pred - y_true) / n.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanSquaredError().gradient([1., 0.], [2., 3.])
    array([1., 3.])
    """

    _kernel_name = "mean_squared_error"
    _truth, _tasks = REAL, EVERY_TASK


class MeanAbsoluteError(_Plain):
    """mean |y_pred - y_true| over the last axis; gradient sign(y_pred - y_true) / n, and 0 where they are equal.

    There the derivative does not exist: any slope between -1 and 1 would do.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanAbsoluteError()([1., 0.], [2., 3.])
    2.0
    """

    _kernel_name = "mean_absolute_error"
    _truth, _tasks = REAL, EVERY_TASK


class MeanAbsolutePercentageError(_Plain):
    """100 mean(|y_pred - y_true| / max(|y_true|, 1e-7)).

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanAbsolutePercentageError()([2., 4.], [1., 5.])
    37.5
    """

    _kernel_name = "mean_absolute_percentage_error"
    _truth, _tasks = REAL, (REGRESSION,)


class MeanSquaredLogarithmicError(_Plain):
    """mean (log(1 + y_pred) - log(1 + y_true))^2, both clipped from below at 1e-7, where the gradient is 0.

    y_true must not be negative (Keras clips it); the last layer should not give negative numbers, either.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.MeanSquaredLogarithmicError()([0., 1.], [1., 1.]), 6)
    0.240226
    """

    _kernel_name = "mean_squared_logarithmic_error"
    _truth, _tasks, _outputs = COUNTS, (REGRESSION,), NOT_NEGATIVE
    _remedy = "End the model with activation='softplus' or 'exponential'."


class Huber(_KernelLoss):
    """e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2, e = y_pred - y_true: the mean over the last axis.

    Parameters
    ----------
    delta : float, positive
        Where the square becomes a line.

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
    _truth, _tasks = REAL, EVERY_TASK

    def __init__(self, delta=1.0, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.delta = check.positive(delta, "delta")

    def _settings(self):
        return (self.delta, 1.0)


class SmoothL1(_KernelLoss):
    """Huber(beta) / beta: |e| - beta / 2, and e^2 / (2 beta) where |e| < beta.  PyTorch's.

    Parameters
    ----------
    beta : float, at least 0
        With 0 it is the mean absolute error.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.SmoothL1(beta=0.5)([0., 0.], [0.25, 3.])
    1.40625
    """

    _truth, _tasks = REAL, EVERY_TASK

    def __init__(self, beta=1.0, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.beta = check.number(beta, "beta", 0)

    @property
    def _kernel_name(self):
        return "huber" if self.beta > 0 else "mean_absolute_error"

    def _settings(self):
        return (self.beta, 1 / self.beta) if self.beta > 0 else ()


class LogCosh(_Plain):
    """mean log(cosh(y_pred - y_true)): a square near 0, |e| - log 2 far away; gradient tanh(e) / n.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.LogCosh()([0.], [1.]), 6)
    0.433781
    """

    _kernel_name = "log_cosh"
    _truth, _tasks = REAL, EVERY_TASK


class Quantile(_KernelLoss):
    """q e where e = y_true - y_pred >= 0, else (q - 1) e: least at the q-quantile of the truth.  The pinball loss.

    With q = 0.9 a prediction below the truth costs nine times one above.  The gradient is 0 where they are equal.

    Parameters
    ----------
    q : float in (0, 1), or list of them
        With a list, output i of the network is the quantile q[i] of one target, given once or in every column.

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
    _truth, _tasks = REAL, (REGRESSION,)

    def __init__(self, q=0.5, *, reduction=DEFAULT):
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
    """q e^2 where e = y_true - y_pred >= 0, else (1 - q) e^2: the squared error with a side.

    Parameters
    ----------
    q : float in (0, 1)
        0.5 gives half the mean squared error.

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
    _truth, _tasks = REAL, (REGRESSION,)

    def __init__(self, q=0.5, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.q = _fraction(q, "q")

    def _settings(self):
        return (self.q,)


class CosineSimilarity(_KernelLoss):
    """-sum(y_true y_pred) / (|y_true| |y_pred|): -1 where the directions are the same; lengths count at least 1e-7.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.CosineSimilarity()([[0., 1.]], [[0., 5.]])
    -1.0
    """

    _kernel_name = "cosine_similarity"
    _truth, _tasks = REAL, (REGRESSION, MULTILABEL, CLASSES)
    _least_units = 2
    _for_one_output = "MeanSquaredError"

    def __init__(self, axis=-1, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.axis = check.axes(axis)


# -- distributions -----------------------------------------------------------------------------------------------------


class KLDivergence(_Plain):
    """sum t log(t / q), t and q being y_true and y_pred clipped to [1e-7, 1]; gradient -t / q inside, half of it at q = 1.

    y_true must lie in [0, 1].

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 6)
    0.143841
    """

    _kernel_name = "kl_divergence"
    _truth, _tasks, _outputs = SHARES, (CLASSES,), UNIT
    _least_units = 2
    _probabilities = "softmax"


class Poisson(_KernelLoss):
    """mean(y_pred - y_true log(y_pred + 1e-7)) of rates, or mean(exp(y_pred) - y_true y_pred) of their logarithms.

    Parameters
    ----------
    log_input : bool
        y_pred is the logarithm of the rate.  Keras has the first form only, PyTorch begins with the second.

    Notes
    -----
    y_true must not be negative.  Without `log_input` the last layer should not give negative numbers: "softplus" and
    "exponential" do not.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Poisson(log_input=True)([2.], [0.])
    1.0
    """

    _truth, _tasks = COUNTS, (REGRESSION,)
    _remedy = "End the model with activation='softplus' or 'exponential', or give the loss log_input=True."

    def __init__(self, log_input=False, *, reduction=DEFAULT):
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
    """mean of (log v + (y_true - m)^2 / v) / 2: the network says how sure it is.

    y_pred has twice the columns of y_true: the means m, then raw variances, v = softplus(raw) + 1e-6.
    The constant log(2 pi) / 2 is left out.

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
    _truth, _tasks, _reach = REAL, (REGRESSION,), LINE
    _native_metrics = False         # they see the means

    def _columns_fit(self, n_true, n_pred):
        return n_true == self._columns(n_pred)

    def _columns(self, n):
        if n % 2:
            raise ValueError(f"GaussianNLL must have an even number of outputs, a mean and a variance for each target; got {n}.")
        return n // 2

    def _spread(self, y, shape):
        return y[..., None] if y.shape == shape[:-1] and shape[-1] == 2 else y

    def _targets(self, y, units, name):
        return super()._targets(y, self._columns(units), name)

    def _shown(self, outputs):
        return outputs[:, :outputs.shape[1] // 2]


class Gamma(_Plain):
    """mean(y_pred + y_true exp(-y_pred)): half the deviance of a gamma distribution of mean exp(y_pred), y_true > 0.

    Its constant -1 - log(y_true) is left out, as in scikit-learn's HalfGammaLoss.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Gamma()([2.], [0.])
    2.0
    """

    _kernel_name = "gamma"
    _truth, _tasks, _reach = POSITIVE, (REGRESSION,), LINE


class Tweedie(_KernelLoss):
    """mean(m^(2-k) / (2-k) - y_true m^(1-k) / (1-k)), m = exp(y_pred), k = power: half of Tweedie's deviance.

    power 0 is half the squared error of exp(y_pred), 1 Poisson(log_input=True), 2 Gamma; between 1 and 2 many zeros and
    a continuous rest.  Constants are left out, as in scikit-learn's HalfTweedieLoss.

    Parameters
    ----------
    power : float
        y_true must not be negative from 0 on (excluded), and positive from 2 on.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Tweedie(1.5)([2.], [0.])
    6.0
    """

    _tasks, _reach = (REGRESSION,), LINE

    def __init__(self, power=1.5, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.power = check.number(power, "power")

    @property
    def _kernel_name(self):
        return {1.0: "poisson_log", 2.0: "gamma"}.get(self.power, "tweedie")

    @property
    def _truth(self):
        return REAL if self.power <= 0 else COUNTS if self.power < 2 else POSITIVE

    def _settings(self):
        return (self.power,)


# -- margins -----------------------------------------------------------------------------------------------------------


class _Margin(_Plain):
    """Labels -1 and 1; if all are 0 or 1 (decided once a call or fit) 0 stands for -1, as in Keras."""

    _native_metrics = False         # they see the labels as they were given
    _truth, _tasks = MARGINS, ()    # no estimator gives margins
    _reach = (-1.0, 1.0)

    def _or_else(self, low, high):
        return " or activation='tanh'"

    def _coded(self, y):
        if not ((y == 0) | (y == 1)).all():
            return y
        return 2 * (y if y.dtype.kind == "f" else y.astype(np.float32)) - 1


class Hinge(_Margin):
    """mean max(0, 1 - y_true y_pred), y_true -1 or 1 (or all 0 or 1); numbers in between are taken as they are.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.Hinge()([[0.], [1.]], [[-2.], [0.5]])
    0.25
    """

    _kernel_name = "hinge"


class SquaredHinge(_Margin):
    """mean max(0, 1 - y_true y_pred)^2, y_true -1 or 1 (or all 0 or 1); numbers in between are taken as they are.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.SquaredHinge()([[0.], [1.]], [[-2.], [0.5]])
    0.125
    """

    _kernel_name = "squared_hinge"


class CategoricalHinge(_Plain):
    """max(0, 1 + max((1 - y_true) y_pred) - sum(y_true y_pred)), y_true one-hot, or shares in [0, 1].

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.CategoricalHinge()([[0., 1., 0.]], [[0.5, 1., 0.25]])
    0.5
    """

    _kernel_name = "categorical_hinge"
    _truth, _tasks = SHARES, (CLASSES,)


# -- probabilities -----------------------------------------------------------------------------------------------------


class BinaryCrossentropy(_KernelLoss):
    """-mean (w y log p + (1 - y) log(1 - p)) over the axis: each output is a question of its own, y in [0, 1].

    Targets outside of [0, 1] are refused, as by every loss of probabilities; 5e-7 beyond the ends is allowed for the
    rounding of float32, so that the outputs of another model can be targets.

    Probabilities are clipped to [1e-7, 1 - 1e-7].  After a sigmoid training works on its input whatever `from_logits`
    says, as Keras on TensorFlow does: no clip, no overflow, and the gradient there is p - y.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = sigmoid(z).
    label_smoothing : float in [0, 1]
        s moves y to y (1 - s) + s / 2.
    axis : int
    pos_weight : float, or list of one for each output
        w, PyTorch's: above 1 a missed positive costs more.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.BinaryCrossentropy()([[1.]], [[0.75]]), 7)
    0.2876821
    """

    _kernel_name = "binary_crossentropy"
    _truth, _tasks = SHARES, (BINARY, MULTILABEL, CLASSES)
    _logits = True
    _matching_activation = "sigmoid"

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, *, pos_weight=1.0, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)
        self.pos_weight = _one_or_list(pos_weight, "pos_weight", _not_negative)

    def _settings(self):
        return (1 - self.label_smoothing, self.label_smoothing / 2)

    def _by_column(self, n):
        if isinstance(self.pos_weight, list) and len(self.pos_weight) != n:
            raise ValueError(f"pos_weight must have a number for each of the {n} outputs, got {len(self.pos_weight)}.")
        return self.pos_weight if isinstance(self.pos_weight, list) else [self.pos_weight] * n if self.pos_weight != 1 else None


class BinaryFocalCrossentropy(_KernelLoss):
    """BinaryCrossentropy times (1 - t)^gamma, t the probability of the truth: easy answers count less; y in [0, 1].

    Parameters
    ----------
    apply_class_balancing : bool
        Multiply by alpha where y is 1, by 1 - alpha where it is 0.
    alpha : float in [0, 1]
    gamma : float, at least 0
    from_logits, label_smoothing, axis : as in BinaryCrossentropy

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
    _truth, _tasks = SHARES, (BINARY, MULTILABEL, CLASSES)
    _logits = True

    def __init__(self, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1, *,
                 reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = check.number(alpha, "alpha", 0, 1)
        self.gamma = check.number(gamma, "gamma", 0)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)

    def _settings(self):
        return (1 - self.label_smoothing, self.label_smoothing / 2, self.gamma, self.alpha if self.apply_class_balancing else -1)


class _Categorical(_KernelLoss):
    """Targets one-hot, or shares of the classes."""

    _truth, _tasks = SHARES, (CLASSES,)
    _logits = True
    _least_units = 2
    _reach_of_logits = NOT_NEGATIVE         # softmax sees differences alone
    _probabilities = "softmax"

    def _settings_for(self, n):
        return (1 - self.label_smoothing, self.label_smoothing / n, *self._settings())


class CategoricalCrossentropy(_Categorical):
    """-sum y log(p / sum p) over the axis, y one-hot or shares of the classes, each in [0, 1].

    Its gradient is negative for the true class and grows as 1 / p while the probability falls to the clip at 1e-7.
    After a softmax training works on its input whatever `from_logits` says, as Keras on TensorFlow does: no clip, no
    overflow, and the gradient there is p - y.  A row of zeros has no probabilities: its value is that of the clip.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = softmax(z).
    label_smoothing : float in [0, 1]
        s moves y to y (1 - s) + s / classes.
    axis : int

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.CategoricalCrossentropy()([[0, 1, 0], [1, 0, 0]], [[.15, .75, .1], [.75, .15, .1]]), 7)
    0.2876821
    """

    _kernel_name = "categorical_crossentropy"
    _matching_activation = "softmax"

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)


class CategoricalFocalCrossentropy(_Categorical):
    """-sum alpha (1 - p)^gamma y log p over the axis, p normalised and clipped, y in [0, 1].

    Parameters
    ----------
    alpha : float, or list of one for each class
    gamma : float, at least 0
    from_logits, label_smoothing, axis : as in CategoricalCrossentropy

    References
    ----------
    Lin et al. 2018, Focal loss for dense object detection.

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.CategoricalFocalCrossentropy()([[0, 1, 0]], [[.15, .75, .1]]), 7)
    0.004495
    """

    _kernel_name = "categorical_focal_crossentropy"

    def __init__(self, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.alpha = _one_or_list(alpha, "alpha", _not_negative)
        self.gamma = check.number(gamma, "gamma", 0)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check.number(label_smoothing, "label_smoothing", 0, 1)
        self.axis = check.axes(axis)

    def _settings(self):
        return (self.gamma,)

    def _by_column(self, n):
        if isinstance(self.alpha, list) and len(self.alpha) != n:
            raise ValueError(f"alpha must have a number for each of the {n} classes, got {len(self.alpha)}.")
        return self.alpha if isinstance(self.alpha, list) else [self.alpha] * n


class SparseCategoricalCrossentropy(_KernelLoss):
    """CategoricalCrossentropy for integer labels: -log(p_label / sum p), without a one-hot matrix.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = softmax(z).
    ignore_class : int, optional
        Rows of this label, which may lie outside of the classes, have loss 0 and count neither in the mean nor in metrics
        (in Keras they count in metrics).
    axis : int

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.SparseCategoricalCrossentropy()([1, 0], [[.15, .75, .1], [.75, .15, .1]]), 7)
    0.2876821
    """

    _kernel_name = "sparse_categorical_crossentropy"
    _logits = True
    _matching_activation = "softmax"
    _sparse = True
    _truth, _tasks = REAL, (CLASSES,)       # labels are checked apart
    _least_units = 2
    _reach_of_logits = NOT_NEGATIVE
    _probabilities = "softmax"

    def __init__(self, from_logits=False, ignore_class=None, axis=-1, *, reduction=DEFAULT):
        super().__init__(reduction=reduction)
        self.from_logits = bool(from_logits)
        self.ignore_class = None if ignore_class is None else check.size(ignore_class, "ignore_class", -2**62)
        self.axis = check.axes(axis)

    @property
    def _ignores(self):
        return self.ignore_class is not None

    def _targets(self, y, units, name):
        return check.labels(y, units, name, self.ignore_class)


# -- overlaps ----------------------------------------------------------------------------------------------------------


class Dice(_KernelLoss):
    """1 - 2 sum(y p) / (sum y + sum p + 1e-7): how little two sets overlap, y and p in [0, 1].

    Parameters
    ----------
    axis : int, tuple of int or None
        Axes that are summed over; with None all, the batch too: one value for the batch.

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
    _truth, _tasks, _outputs = SHARES, (BINARY, MULTILABEL, CLASSES), UNIT
    _takes_batch = True

    def __init__(self, reduction=DEFAULT, axis=None):
        super().__init__(reduction=reduction)
        self.axis = check.axes(axis, several=True)

    def _settings(self):
        return (0.5, 0.5, 0.5)


class Tversky(_KernelLoss):
    """1 - I / (I + alpha sum y (1 - p) + beta sum p (1 - y) + 1e-7), I = sum y p: Dice with a price for each side.

    y and p lie in [0, 1].

    Parameters
    ----------
    alpha, beta : float, at least 0
        Prices of what was missed and of what was found too much; 0.5 each is Dice.
    axis : int, tuple of int or None
        As in Dice.

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
    _truth, _tasks, _outputs = SHARES, (BINARY, MULTILABEL, CLASSES), UNIT
    _takes_batch = True

    def __init__(self, alpha=0.5, beta=0.5, *, reduction=DEFAULT, axis=None):
        super().__init__(reduction=reduction)
        self.alpha, self.beta = check.number(alpha, "alpha", 0), check.number(beta, "beta", 0)
        self.axis = check.axes(axis, several=True)

    def _settings(self):
        return (self.alpha, self.beta, 1.0)


# -- your own ----------------------------------------------------------------------------------------------------------


class Custom(Loss):
    """A loss from a function; `compile(loss=function)` makes one.

    Parameters
    ----------
    function : callable, or scipy.LowLevelCallable
        Python: (y_true, y_pred) -> (values, gradient) on whole batches, as `Loss.call`.  It is called once a batch, for
        batches above 8,192 rows once for each 8,192 rows.
        C: double f(const double *y_true, const double *y_pred, double *gradient, ptrdiff_t n, void *user_data), or float
        throughout for float32: one row in, its value and the gradient of that value out.  It trains at native speed,
        without the GIL, and may be called by several threads at once.
    check_gradient : bool
        Compare with finite differences at the first use, and refuse a gradient that is not that of the values.  A Python
        function is called in float64 for that, whatever the dtype of the model.
    reduction : as in Loss

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

    def __init__(self, function, *, check_gradient=True, reduction=DEFAULT):
        super().__init__(reduction=reduction, check_gradient=check_gradient)
        self.function = function
        self._c_kernel = None
        if _is_low_level(function):
            self._dtype_of_check = check.c_signature(function.signature)
            self._c_kernel = core.LossKernel(core.CUSTOM_LOSSES["c"], function=function)
        elif not callable(function):
            raise TypeError(f"function must be callable as (y_true, y_pred) -> (values, gradient), or a scipy.LowLevelCallable; got {function!r}.")

    def call(self, y_true, y_pred):
        """Values and gradients of rows from the function."""
        if self._c_kernel is None:
            return self.function(y_true, y_pred)
        y, p = (np.ascontiguousarray(array, self._dtype_of_check) for array in (y_true, y_pred))
        values, gradient = np.empty(len(p)), np.empty_like(p)
        self._c_kernel(y, p, gradient, values, 1.)
        return values, gradient

    def _for_network(self, last_activation, units, dtype):
        if self._c_kernel is None:
            return super()._for_network(last_activation, units, dtype)
        super()._for_network(last_activation, units, dtype)
        if dtype != self._dtype_of_check:
            raise ValueError(f"the C function of the loss works in {np.dtype(self._dtype_of_check).name}, the model in {dtype}: write it for the "
                             f"dtype of the model, or make the model with dtype={np.dtype(self._dtype_of_check).name!r}.")
        return self._c_kernel, False, None

    def _targets(self, y, units, name):
        return super()._targets(y, units, name) if self._c_kernel is None else check.targets(y, units, name)

    def __repr__(self):
        options = "" if self.check_gradient else ", check_gradient=False"
        options += "" if self.reduction == DEFAULT else f", reduction={self.reduction!r}"
        return f"Custom({getattr(self.function, '__name__', self.function)}{options})"

    def __getstate__(self):
        if self._c_kernel is not None:
            raise TypeError("a loss in C is an address of this process and can not be pickled. Compile the loaded model with it instead.")
        return super().__getstate__()

    def __deepcopy__(self, memo):
        return self


def _is_low_level(function):
    return isinstance(function, tuple) and hasattr(function, "signature") and len(function) == 3


# -- names -------------------------------------------------------------------------------------------------------------

_ALIASES = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
            "msle": "mean_squared_logarithmic_error", "bce": "binary_crossentropy", "kld": "kl_divergence", "logcosh": "log_cosh",
            "huber_loss": "huber", "pinball": "quantile"}
_CLASSES = {}           # by name


def _functions(name, cls, y_true="[[1., 0.]]"):
    """A loss as two functions: values per sample, and the gradient of each value.

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

    what = cls.__doc__.partition("\n")[0]
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
    gradient.__doc__ = f"""Gradient of each sample's `{name}` with respect to y_pred; same options.

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
__all__ = [*sorted(cls.__name__ for cls in _CLASSES.values()), "Custom", "Loss", "get", *_CLASSES]


def get(identifier):
    """A loss from its name, class, function of this module, or function of your own; a loss itself goes through.

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
        for name in (identifier, identifier.lower()):
            if _ALIASES.get(name, name) in names:
                return names[_ALIASES.get(name, name)]()
        raise check.unknown("loss", identifier, [*names, *_ALIASES])
    name = getattr(identifier, "__name__", None)
    if name in _CLASSES and identifier is globals()[name]:
        return _CLASSES[name]()
    if callable(identifier) and not isinstance(identifier, type) or _is_low_level(identifier):
        return Custom(identifier)
    raise check.unknown("loss", identifier, _CLASSES)
