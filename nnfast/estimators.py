"""MLPClassifier and MLPRegressor: scikit-learn's estimators, trained natively.

Both are subclasses of scikit-learn's own classes (1.7 or newer): parameters, checks, labels,
initial weights and messages are inherited.  So a program only changes its import to
`from nnfast import MLPClassifier`, and code that recognises scikit-learn's classes recognises
these.  Only the methods that take the time are replaced:

    _initialize         the weights that scikit-learn draws move into the one vector of a `Network`;
                        `coefs_` and `intercepts_` are views of it from then on
    _fit_stochastic     an epoch is one native call (or several of 0.1 s, so that Ctrl-C is seen)
    _fit_lbfgs          loss and gradient in one native pass over all rows, on the vectors of the
                        network as they are
    _forward_pass_fast  native prediction

Formulas are scikit-learn's (1.9): half squared errors, log-losses clipped at the machine epsilon,
Poisson deviances.  With sample weights, the sums of losses and the penalty alpha |W|^2 / 2 are
divided by the sum of the sample weights of the batch.  In float64 the same `random_state` gives the
loss curves of scikit-learn.  float32 data are trained in float32 throughout (in scikit-learn Adam
and the targets are partly float64).

This is the only module that imports scikit-learn.
"""
from __future__ import annotations

import contextlib
import time
import warnings
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _lbfgs, _threads, _validation as check, activations, losses, many, schedules
from nnfast._core import network as core
from nnfast._extras import extra
from nnfast._ranges import train_in_ranges
from nnfast._version import __version__
from nnfast._watched import Watched
from nnfast.activations import SKLEARN_NAMES as NAMES
from nnfast.callbacks import Callback, CallbackList, TerminateOnNaN

with extra("sklearn", needed_by="nnfast.estimators (MLPClassifier, MLPRegressor, Ensemble)"):
    import sklearn
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix, issparse
    from scipy.special import xlogy
    from sklearn import neural_network
    from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
    from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
    from sklearn.utils import check_random_state, compute_class_weight, get_tags
    from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.optimize import _check_optimize_result
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, TypeAlias, TypeVar

    from numpy.random import RandomState
    from numpy.typing import ArrayLike, NDArray

    # scikit-learn has no types: those of the parameters and attributes it defines are given here.
    _Matrix: TypeAlias = Any                # an array or a sparse matrix
    _Activation: TypeAlias = str | Sequence[str]
    _Rate: TypeAlias = Literal["constant", "invscaling", "adaptive"] | schedules.Schedule | Callable[[int], float]
    _Dropout: TypeAlias = float | Sequence[float]
    _Callbacks: TypeAlias = Callback | Sequence[Callback] | None
    _Solver: TypeAlias = Literal["lbfgs", "sgd", "adam"]
    _Loss: TypeAlias = str | losses.Loss | type[losses.Loss] | Callable[..., Any]
    _Seed: TypeAlias = int | RandomState | None
    _Method = TypeVar("_Method", bound=Callable[..., Any])
    _Estimator = TypeVar("_Estimator", bound="_NativeMLP")

__all__ = ["Ensemble", "MLPClassifier", "MLPRegressor"]

SKLEARN_NAME_OF = {name: theirs for theirs, name in NAMES.items()}
SKLEARN_LOSSES = {"classifier": ("log_loss",), "regressor": ("squared_error", "poisson")}   # scikit-learn's formulas
LOG_LINK = ("poisson_log", "gamma", "tweedie")                  # kernels that take log predictions
SLOT_OF = {"velocities": 0, "ms": 0, "vs": 1}   # state of a scikit-learn optimizer -> slot of the network
VERSIONS = {"_nnfast_version": __version__, "_sklearn_version": sklearn.__version__}        # in pickles


def _available_if(condition: Callable[[Any], bool]) -> Callable[[_Method], _Method]:
    """scikit-learn's `available_if`, with types."""
    return available_if(condition)


def _check_arrays(**given):
    """TypeError for arguments that are not arrays, before scikit-learn reads them.

    None passes: scikit-learn has its own message for it.
    """
    for name, array in given.items():
        if array is not None and not isinstance(array, many.Part):
            check.gate(array, name)


def _open(X, sparse):
    """X opened for the core, as sparse rows if X is sparse or `sparse` is true."""
    if not issparse(X) and not sparse:
        return check.opened(check.numeric(X, "X"))
    X = csr_matrix(X) if not issparse(X) else X.tocsr()
    data = X.data if X.data.dtype in (np.float32, np.float64) else X.data.astype(np.float64)
    return core.SparseRows(data, X.indices, X.indptr, X.shape[1])


def _not_finite(array, row, name):
    """The error for a row in which the core found a NaN or infinite element."""
    if issparse(array):
        return check.not_finite(array[[row]].toarray(), 0, name, row)
    return check.not_finite(np.asarray(array), row, name)


class _FitData:
    """X, y and sample weights of a fit, opened for the core.

    Attributes
    ----------
    X, y : as scikit-learn has validated them
    x_rows, y_rows : the same, opened for the core
    weights : float64 array (n,) or None
    rows : int64 array or None
        Indices of the rows to train on; None for all.
    count : int
        Number of the rows to train on.
    constants : array (n,) or None
        Terms that the kernel leaves out of the loss of each row, because their gradient is 0.
    """

    def __init__(self, X, y, weights, rows, sparse, constants):
        self.X, self.x_rows = X, _open(X, sparse)
        self.y, self.y_rows = y, check.opened(y)
        self.weights = None if weights is None else np.ascontiguousarray(weights, np.float64)
        self.rows = rows
        self.count = len(y) if rows is None else len(rows)
        self.constants = constants


class _AttachedNetwork:
    """The network of an estimator, with the views of its parameters.

    It is not pickled; `_NativeMLP._attach` makes it again from the weights.
    """

    def __init__(self, coefs, intercepts, names, rates, sparse):
        plan = []
        for bias, name, rate in zip(intercepts, names, [*rates, 0.0]):
            plan.append((len(bias), core.ACTIVATIONS[NAMES.get(name, name)], True))
            if rate:
                plan.append(("dropout", rate))
        self.made_of = names, rates                             # activations of all layers, dropout of the hidden ones
        self.network = core.Network(len(coefs[0]), plan, coefs[0].dtype.name, sparse)
        self.coefs, self.intercepts = self.split(self.network.params)
        self.work = 2.0 * sum(coef.size for coef in coefs)      # floating-point operations of a forward pass, per row
        self.pace = _threads.Pace()
        self.optimizer = None                                   # scikit-learn's optimizer whose state is in the slots

    def split(self, vector):
        """Views of a vector in the layout of `params`: kernels, biases."""
        coefs, intercepts = [], []
        for n_in, n_out, _, start in self.network.shapes:
            end = start + n_in * n_out
            coefs.append(vector[start:end].reshape(n_in, n_out))
            intercepts.append(vector[end:end + n_out])
        return coefs, intercepts


class _Run:
    """A running fit of solver "sgd" or "adam": its callbacks, and how they end it.

    Attributes
    ----------
    hooks : CallbackList
    model : Watched
        The model of the callbacks.
    logs : dict
        Logs of the last epoch.
    nan_callback : TerminateOnNaN or None
        The first one among the callbacks.
    failed : bool
        Whether `nan_callback` has ended the fit.
    """

    def __init__(self, estimator, callbacks, batches):
        self.model, self.logs, self.failed = Watched(estimator, estimator._optimizer), {}, False
        self.hooks = CallbackList(callbacks, self.model, {"epochs": estimator.max_iter, "initial_epoch": 0,
                                                          "steps": batches, "verbose": int(estimator.verbose)})
        self.nan_callback = next((each for each in self.hooks.callbacks if isinstance(each, TerminateOnNaN)), None)

    def end_not_finite(self, what, epoch, batch):
        """Ends the fit for TerminateOnNaN: raises, or warns and sets `failed`."""
        message = (f"the {what} became NaN or infinite in epoch {epoch + 1}, batch {batch + 1}; the weights from "
                   f"shortly before are restored. Lower learning_rate_init or scale X.")
        if self.nan_callback.raise_error:
            raise FloatingPointError(message)
        warnings.warn(message, RuntimeWarning, stacklevel=6)
        self.failed = True


class _Versioned:
    """Pickles hold the versions that wrote them; reading them with other versions warns."""

    def __getstate__(self):
        return {**super().__getstate__(), **VERSIONS}

    def __setstate__(self, state):
        state, name = dict(state), type(self).__name__
        ours, theirs = (state.pop(key, "of an unknown version") for key in VERSIONS)
        if theirs != sklearn.__version__:
            warnings.warn(InconsistentVersionWarning(estimator_name=name, current_sklearn_version=sklearn.__version__,
                                                     original_sklearn_version=theirs), stacklevel=2)
        if ours != __version__:
            warnings.warn(f"this {name} was pickled by nnfast {ours} and is read by nnfast {__version__}, where it may "
                          f"fail or predict other values. Fit it again, or read it with the version that wrote it.",
                          UserWarning, stacklevel=2)
        super().__setstate__(state)


class _NativeMLP(_Versioned):
    """The methods and attributes of scikit-learn's MLPs that both estimators replace."""

    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _attached = None
    _sparse = False             # whether X was sparse in the first fit

    if TYPE_CHECKING:           # inherited
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def predict(self, X: _Matrix) -> NDArray[Any]: ...

    def _validate_params(self):
        kind = type(self).__name__
        if not isinstance(self.loss, (str, losses.Loss)) and not callable(self.loss):
            raise InvalidParameterError(f"The 'loss' parameter of {kind} must be the name, class or instance of a "
                                        f"loss; got {self.loss!r:.80}.")
        for name in ("loss", "activation"):
            given, constraints = getattr(self, name), self._parameter_constraints[name]
            known = next(each.options for each in constraints if isinstance(each, StrOptions))
            if isinstance(given, str) and given not in known:
                raise InvalidParameterError(str(check.unknown(f"The {name!r} parameter of {kind}", given, known)))
        for units in self.hidden_layer_sizes if isinstance(self.hidden_layer_sizes, (list, tuple)) else ():
            if not isinstance(units, Integral):
                raise InvalidParameterError(f"The 'hidden_layer_sizes' parameter of {kind} must be an integer or a "
                                            f"list of integers; got {self.hidden_layer_sizes!r}.")
        super()._validate_params()

    # -- building ----------------------------------------------------------------------------------

    def _names_of_activations(self, hidden):
        """The activation of each hidden layer, by scikit-learn's name if it has one."""
        given = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        if len(given) != hidden:
            raise ValueError(f"activation must name one function for each of the {hidden} hidden layers; got "
                             f"{self.activation!r}.")
        names = [name if name in NAMES else activations.get(name) for name in given]
        return [SKLEARN_NAME_OF.get(name, name) for name in names]

    def _rates_of_dropout(self, hidden):
        """The rate of dropout after each hidden layer."""
        given = [self.dropout] * hidden if isinstance(self.dropout, Real) else list(self.dropout)
        if len(given) != hidden:
            raise ValueError(f"dropout must be a rate, or one for each of the {hidden} hidden layers; got "
                             f"{self.dropout!r}.")
        return [check.number(rate, "dropout", 0, 1, open_high=True) for rate in given]

    def _nnfast_loss(self, fitted=False):
        """The loss if it is one of nnfast.losses, or None if it is scikit-learn's.

        `fitted` asks for the loss that the weights were last trained with, not for the parameter.
        """
        loss = getattr(self, "_fitted_loss", self.loss) if fitted else self.loss
        theirs = SKLEARN_LOSSES["classifier" if is_classifier(self) else "regressor"]
        return None if isinstance(loss, str) and loss in theirs else losses.get(loss)

    @staticmethod
    def _takes_logs(loss):
        """Whether a loss of nnfast takes logarithms: the values before an exponential output."""
        return getattr(loss, "_kernel_name", None) in LOG_LINK

    def _output_of_regressor(self):
        """The activation of the outputs that the loss of a regressor needs."""
        loss = self._nnfast_loss()
        if loss is None:
            return "exp" if self.loss == "poisson" else "identity"
        return "exp" if self._takes_logs(loss) or loss._outputs == losses.NOT_NEGATIVE else "identity"

    def _initialize(self, y, layer_units, dtype):
        loss, targets = self._nnfast_loss(), layer_units[-1]
        if loss is not None:
            layer_units[-1] = self._n_outputs_for(loss, targets)
        super()._initialize(y, layer_units, dtype)
        if not is_classifier(self):
            self.out_activation_ = self._output_of_regressor()
        if loss is not None:
            self._warn_of_outputs(loss)
        self._attached = None
        self._attach()

    def _check_layers(self, layer_units):
        """ValueError if a warm start or partial_fit asks for layers of other shapes or outputs."""
        loss = self._nnfast_loss()
        shapes = self._attached.network.shapes
        last = self.out_activation_ if is_classifier(self) else self._output_of_regressor()
        there = [shapes[0][0], *(n_out for _, n_out, _, _ in shapes)]
        outputs = self.n_outputs_ if loss is None else self._n_outputs_for(loss, self.n_outputs_)
        wanted = [*layer_units[:-1], outputs]
        if (there, self.out_activation_) != (wanted, last):
            raise ValueError(f"hidden_layer_sizes, loss and the columns of y must not change where warm_start or "
                             f"partial_fit continues: the weights belong to layers of the widths {there} with the "
                             f"output {self.out_activation_!r}; the parameters ask for {wanted} with {last!r}. Set "
                             f"them back, or begin anew with sklearn.base.clone(estimator).")

    def _check_task(self, loss):
        """ValueError for a loss of nnfast that does not fit the kind of y."""
        if not is_classifier(self):
            task = losses.REGRESSION
        else:
            kind = self._label_binarizer.y_type_
            task = {"binary": losses.BINARY, "multiclass": losses.CLASSES}.get(kind, losses.MULTILABEL)
        if task not in loss._tasks:
            fitting = ", ".join(name for name, cls in losses._CLASSES.items() if task in cls._tasks)
            raise ValueError(f"loss must fit y, which holds {losses.TASKS[task]}; got {loss!r}. "
                             f"Choose one of {fitting}.")

    def _warn_of_outputs(self, loss):
        """Warns if the outputs do not fit a loss of nnfast, as `Sequential.compile` does."""
        last = NAMES.get(self.out_activation_, self.out_activation_)
        # Only these losses read the outputs; the others read the values before the last activation.
        if not self._takes_logs(loss) and last != loss._matching_activation:
            message = loss._advice(self.n_outputs_, *activations.RANGES[last], last, False)
            if message is not None:
                warnings.warn(message, stacklevel=5)

    def _n_outputs_for(self, loss, targets):
        """Number of outputs of the network for a loss of nnfast."""
        self._check_task(loss)
        if isinstance(loss, losses.GaussianNLL):
            return 2 * targets
        if isinstance(loss, losses.Quantile) and isinstance(loss.q, list) and targets == 1:
            return len(loss.q)
        return targets

    def _init_coef(self, fan_in, fan_out, dtype):
        """Draws initial weights as scikit-learn does, for the activation of this layer.

        The output layer uses the activation of the last hidden layer, as in scikit-learn.
        """
        given, hidden = self.activation, self._names_of_activations(self.n_layers_ - 2)
        if hidden:
            self.activation = hidden[min(len(self.coefs_), len(hidden) - 1)]
        try:
            return super()._init_coef(fan_in, fan_out, dtype)
        finally:
            self.activation = given

    def _attach(self):
        """The network that holds coefs_ and intercepts_.

        If the user has replaced these arrays, it copies their values.  It is made again if the
        parameters now name other activations or rates of dropout.
        """
        attached, hidden = self._attached, len(self.coefs_) - 1
        made_of = [*self._names_of_activations(hidden), self.out_activation_], self._rates_of_dropout(hidden)
        if attached is None or attached.made_of != made_of:
            if attached is not None:
                self._take_over(attached)
            attached = _AttachedNetwork(self.coefs_, self.intercepts_, *made_of, self._sparse)
        self._take_over(attached)
        return attached

    def _take_over(self, attached):
        """Copies coefs_ and intercepts_ into a network and makes them its views, if needed."""
        given, views = [*self.coefs_, *self.intercepts_], [*attached.coefs, *attached.intercepts]
        if any(array is not view for array, view in zip(given, views, strict=True)):
            wanted, got = [view.shape for view in views], [np.shape(array) for array in given]
            if got != wanted:
                raise ValueError(f"coefs_ and intercepts_ must have the shapes {wanted} of the fit; got {got}.")
            for array, view in zip(given, views):
                view[...] = array
            self.coefs_, self.intercepts_ = list(attached.coefs), list(attached.intercepts)
            self._attached = attached

    def __getstate__(self):
        if self._attached is not None:
            self._take_over(self._attached)         # weights that the user put there, as predict would take them
        state = super().__getstate__()
        state.pop("_attached", None)
        return state

    # -- calls that train --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _training_call(self, validation_data=None):
        """Context manager of fit and partial_fit.

        An exception before the first step leaves the estimator as it was.
        """
        before = dict(vars(self))
        self._validation_data, self._begun = validation_data, False
        try:
            yield
        except BaseException:
            if not self._begun:
                for name in vars(self).keys() - before.keys():
                    del vars(self)[name]
                vars(self).update(before)
            raise
        finally:
            for name in ("_validation_data", "_begun", "_rows"):
                vars(self).pop(name, None)

    def _begin(self):
        """Marks the first step: from here on the weights change."""
        self._begun, self._fitted_loss = True, self.loss

    # -- many at once: see nnfast/many.py ----------------------------------------------------------

    def _kind_of_data(self):
        """A key for `fit_many`: classifiers share checked data, and so do regressors."""
        return is_classifier(self)

    def _unfitted(self):
        return clone(self)

    def _share(self, X, y, sample_weight):
        """X, y and weights, validated once for all estimators of this kind."""
        _check_arrays(X=X, y=y, sample_weight=sample_weight)
        known = clone(self)
        x, y = validate_data(known, X, y, accept_sparse="csr", multi_output=True, y_numeric=not is_classifier(self),
                             dtype=(np.float64, np.float32))
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
        return many.Part(x, y, weights, names=getattr(known, "feature_names_in_", None))

    def _fit_part(self, part, seed, **options):
        """Calls `fit` on rows of shared data, with `seed` as random_state unless it is None."""
        given = self.random_state
        if seed is not None:
            self.random_state = seed
        try:
            return self.fit(part, part.y, **options)
        finally:
            self.random_state = given

    def _fit(self, X, y, sample_weight=None, incremental=False):
        _check_arrays(X=X, y=y, sample_weight=sample_weight)
        return super()._fit(X, y, sample_weight, incremental)

    def _validate_input(self, X, y, incremental, reset):
        if isinstance(X, many.Part):
            return self._validate_part(X, y, incremental, reset)
        X, y = super()._validate_input(X, y, incremental, reset)
        if reset:
            self._sparse = issparse(X)
        return X, y

    def _validate_part(self, part, y, incremental, reset):
        """X and targets of shared data.  `_share` has validated X, so only y is validated here."""
        known = None if reset else vars(self).pop("feature_names_in_", None)    # the stand-in has no names
        rows = np.arange(y.shape[0]) if part.rows is None else part.rows
        stand_in = csr_matrix((len(rows), part.x.shape[1]), dtype=part.x.dtype)     # an empty X of the right shape
        _, targets = super()._validate_input(stand_in, y[rows], incremental, reset)
        if reset:
            self._sparse = issparse(part.x)
        names = part.names if reset else known
        if names is not None:
            if part.names is not None and list(names) != list(part.names):
                raise ValueError(f"The feature names should match those that were passed during fit: {list(names)}; "
                                 f"got {list(part.names)}.")
            self.feature_names_in_ = names
        if part.rows is not None:
            every = np.zeros((y.shape[0], *targets.shape[1:]), targets.dtype)
            every[rows] = targets
            targets = every
            self._rows = part.rows
        return part.x, targets

    # -- loss and data -----------------------------------------------------------------------------

    def _configure(self, network):
        """Sets the loss and the penalty of the network."""
        loss, units = self._nnfast_loss(), network.shapes[-1][1]
        reduction = core.REDUCTIONS["mean_with_sample_weight"]
        if loss is not None:
            last = NAMES.get(self.out_activation_, self.out_activation_)
            self._check_task(loss)
            kernel, fused, function = loss._for_network(last, units, network.dtype)
            if loss.reduction != losses.DEFAULT:
                reduction = core.REDUCTIONS[loss.reduction]
            network.set_loss(kernel, fused or self._takes_logs(loss), [], reduction, function, loss._whole)
        else:
            ceiling = -np.log(np.finfo(network.dtype).eps)      # as scikit-learn clips probabilities
            name, settings = {"identity": ("huber", (np.inf, 1)),               # e^2 / 2 everywhere
                              "exp": ("poisson_log", ()),
                              "logistic": ("binary_crossentropy_logits", (1, 0, ceiling)),
                              "softmax": ("sparse_categorical_crossentropy_logits", (1, 0, ceiling)),
                              }[self.out_activation_]
            kernel = core.LossKernel(core.LOSSES[name], settings, summed=True)
            network.set_loss(kernel, self.out_activation_ != "identity", [], reduction)
        network.set_penalties([(0, self.alpha / 2 if arrays else 0) for arrays in network.arrays], True)

    def _data(self, X, y, sample_weight, rows=None):
        """The `_FitData` of validated X, y and weights, to train on `rows`, or on all for None."""
        loss, constants = self._nnfast_loss(), None
        if sample_weight is not None and not (sample_weight if rows is None else sample_weight[rows]).any():
            raise ValueError("Sample weights must contain at least one non-zero number, among the rows to train on.")
        if getattr(self, "class_weight", None) is not None:
            class_weights = self._class_weights(y, sample_weight, rows)
            sample_weight = class_weights if sample_weight is None else class_weights * sample_weight
        if loss is not None:
            if loss._sparse:
                y = y.argmax(axis=1)
            units = self._attached.network.shapes[-1][1]
            y = loss._targets(y, units, "y")
            if not loss._sparse:
                loss._check_targets(y if rows is None else y[rows], "y")
            y = loss._coded(y)
        elif self.out_activation_ == "softmax":
            y = y.argmax(axis=1)
        elif self.out_activation_ == "exp":
            loss = losses.Poisson()
            loss._check_targets(y if rows is None else y[rows], "y")
            constants = (xlogy(y, y) - y).sum(axis=1)
        return _FitData(X, check.numeric(y, "y"), sample_weight, rows, self._attached.network.sparse, constants)

    def _class_weights(self, y, sample_weight, rows):
        """The class weight of each row.

        "balanced" counts the rows to train on, each with its sample weight.
        """
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError("class_weight must be None for multilabel y, whose rows have no one class. Use "
                             "sample_weight.")
        places = y[:, 0].astype(int) if y.shape[1] == 1 else y.argmax(axis=1)
        if isinstance(self.class_weight, str):
            chosen, weights = slice(None) if rows is None else rows, np.ones(len(places))
            weights[chosen] = check.balanced(places[chosen], None if sample_weight is None else sample_weight[chosen])
            return weights
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)[places]

    # -- training ----------------------------------------------------------------------------------

    def _rates(self, first, count):
        """The learning rate of `count` batches from step `first` on: one number, or an array."""
        if callable(self.learning_rate):
            return schedules.rates_of(self.learning_rate, first, count)
        optimizer = self._optimizer
        return optimizer.learning_rate_init if isinstance(optimizer, AdamOptimizer) else optimizer.learning_rate

    def _train(self, data, order, batch_size, team, sums, run=None):
        """Passes the batches of `order` through the network; returns the number of rows passed.

        The callbacks of `run` may end it early.  Without a run no step is taken: only the loss and
        the gradient are computed.
        """
        network, trained, by_batch = self._attached.network, 0, run is not None and run.hooks.by_batch
        # An integer random_state draws the same number in every partial_fit; adding the count of
        # rows trained on gives each call different masks of dropout.
        seed = (int(self._random_state.randint(2**31)) + (self.t_ << 31)) % 2**64 if network.random else 0
        batches = core.Batches(data.x_rows, data.y_rows, batch_size, data.count, order, data.weights)
        begin_batch = (lambda batch: run.hooks.call("on_train_batch_begin", batch, {})) if by_batch else None
        for done, status, place in train_in_ranges(
                network, batches, team, (lambda *_: 0.) if run is None else self._rates, sums, begin_batch,
                update=run is not None, check=run is not None and run.nan_callback is not None, seed=seed):
            if status in (core.BAD_INPUT, core.BAD_TARGET):
                raise _not_finite(*(data.X, place, "X") if status == core.BAD_INPUT else (data.y, place, "y"))
            if status != core.DONE:
                run.end_not_finite("loss" if status == core.BAD_LOSS else "gradient", self.n_iter_, done)
                break
            trained = min(done * batch_size, data.count)
            if by_batch:
                loss = self._loss_of(data, order, batch_size, sums, trained)
                run.hooks.call("on_train_batch_end", done - 1, {"loss": loss})
                if run.model.stop_training:
                    break
        return trained

    def _team(self, batch_size):
        attached = self._attached
        return _threads.Team(attached.network, self.n_threads, 3 * attached.work * batch_size, attached.pace)

    def _loss_of(self, data, order, batch_size, sums, count):
        """The loss of the first `count` rows of an epoch, as scikit-learn reports it.

        It is the mean of the losses of the batches, weighted with their numbers of rows.
        """
        loss = sums[0] / count
        if self.loss == "squared_error":
            # scikit-learn reports the mean over outputs, but uses the gradient of their sum.
            loss /= self.n_outputs_
        if data.constants is not None:
            rows = slice(count) if order is None else order[:count]
            constants = data.constants[rows]
            if data.weights is None:
                loss += constants.sum() / count
            else:
                weights, starts = data.weights[rows], np.arange(0, count, batch_size)
                means = np.add.reduceat(constants * weights, starts) / np.add.reduceat(weights, starts)
                loss += (means * np.diff(starts, append=count)).sum() / count
        return float(loss + sums[1] / count)

    def _start_optimizer(self, incremental):
        """Makes scikit-learn's optimizer, with its state in the slots of the network.

        partial_fit (`incremental`) keeps the optimizer.  If its parameters have changed, a new one
        is made, which takes over the state if it is of the same kind.
        """
        attached, before = self._attached, vars(self).get("_optimizer")
        if self.solver == "sgd":
            rates = "constant" if callable(self.learning_rate) else self.learning_rate
            kind, options = SGDOptimizer, (rates, self.momentum, self.nesterovs_momentum, self.power_t)
        else:
            kind, options = AdamOptimizer, (self.beta_1, self.beta_2, self.epsilon)
        made_of = self.solver, self.learning_rate_init, *options
        if before is None or not incremental or made_of != vars(self).get("_optimizer_of"):
            optimizer = self._optimizer = kind([], self.learning_rate_init, *options)
            goes_on = incremental and type(before) is type(optimizer)
            optimizer.t, self._optimizer_of = before.t if goes_on else 0, made_of
        else:
            optimizer, goes_on = before, True
        if attached.optimizer is not optimizer:
            adam = isinstance(optimizer, AdamOptimizer)
            name = "adam" if adam else "nesterov" if optimizer.nesterov else "momentum"
            settings = [optimizer.beta_1, optimizer.beta_2, optimizer.epsilon] if adam else [optimizer.momentum]
            attached.network.set_optimizer(*core.OPTIMIZERS[name], settings)
            for name in ("ms", "vs") if adam else ("velocities",):
                coefs, intercepts = attached.split(attached.network.slots[SLOT_OF[name]])
                views = [*coefs, *intercepts]
                if goes_on:
                    for view, array in zip(views, getattr(before, name), strict=True):
                        view[...] = array
                setattr(optimizer, name, views)
            attached.network.steps = optimizer.t
            attached.optimizer = optimizer

    def _held_out(self, rows, X, y, sample_weight):
        """Splits `rows` (None for all) into those to train on and those to score after each epoch.

        Returns
        -------
        train : array of row indices, or None for all
        held_out : (X, y, weights) or None
            validation_data if it was given, else rows split off for early_stopping.
        """
        given = vars(self).get("_validation_data")
        if given is not None:
            return rows, self._given_validation(given)
        if not self.early_stopping:
            return rows, None
        rows = np.arange(len(y)) if rows is None else rows
        stratify = y[rows] if is_classifier(self) and self.n_outputs_ == 1 else None
        train, held_out = train_test_split(rows, random_state=self._random_state, test_size=self.validation_fraction,
                                           stratify=stratify)
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' "
                             "or the size of your dataset.")
        y = y[held_out]
        return train, (X[held_out], self._label_binarizer.inverse_transform(y) if is_classifier(self) else y,
                       None if sample_weight is None else sample_weight[held_out])

    def _given_validation(self, given):
        """validation_data, validated: X, y, and weights or None."""
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ValueError("validation_data must be (X, y) or (X, y, sample_weight).")
        _check_arrays(**{f"{name} of validation_data": each for name, each in zip(("X", "y", "sample_weight"), given)})
        X, y = validate_data(self, given[0], given[1], accept_sparse=["csr", "csc"], multi_output=True,
                             dtype=(np.float64, np.float32), reset=False)
        weights = _check_sample_weight(given[2], X) if len(given) == 3 and given[2] is not None else None
        if not is_classifier(self):
            y = check.numeric(y, "y of validation_data")
        classes = is_classifier(self) and not self._label_binarizer.y_type_.startswith("multilabel")
        wanted, columns = 1 if classes else self.n_outputs_, y.shape[1] if y.ndim == 2 else 1
        if columns != wanted:
            raise ValueError(f"y of validation_data must have as many columns as y, {wanted}; got {columns}.")
        if X.shape[0] < 2 and not is_classifier(self) and not self._scored_by_loss(self._nnfast_loss()):
            raise ValueError("The validation set is too small: R^2 needs at least two rows of validation_data; got 1.")
        return X, y, weights

    def _continue_records(self):
        """Prepares the records of epochs: earlier ones are kept.

        The best value begins anew if `early_stopping` has changed: it was another quantity.
        """
        first = not hasattr(self, "loss_curve_")            # solver "lbfgs" records nothing
        if first:
            self.loss_curve_ = []
        if first or self.early_stopping != (self.best_loss_ is None):
            self._no_improvement_count = 0
            self.best_loss_ = None if self.early_stopping else np.inf
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _clipped_batch_size(self, count):
        if self.batch_size == "auto":
            return min(200, count)
        if self.batch_size > count:
            warnings.warn("Got `batch_size` less than 1 or larger than "
                          "sample size. It is going to be clipped", stacklevel=3)
        return int(np.clip(self.batch_size, 1, count))

    def _fit_stochastic(self, X, y, sample_weight, *rest):
        layer_units, incremental = rest[-2:]        # the others are work arrays of scikit-learn
        network = self._attach().network
        self._check_layers(layer_units)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        self._configure(network)
        rows, held_out = self._held_out(vars(self).pop("_rows", None), X, y, sample_weight)
        data = self._data(X, y, sample_weight, None if rows is None else np.ascontiguousarray(rows, np.int64))
        self._start_optimizer(incremental)
        self._continue_records()
        batch_size = self._clipped_batch_size(data.count)
        run = _Run(self, [] if incremental else self.callbacks, -(-data.count // batch_size))
        try:
            self._begin()
            self._epochs(data, batch_size, held_out, incremental, run)
            if self.early_stopping and np.isfinite(self.best_validation_score_):        # else no epoch had a score
                best_weights = [*self._best_coefs, *self._best_intercepts]
                for view, best in zip([*self.coefs_, *self.intercepts_], best_weights):
                    view[...] = best
            run.hooks.call("on_train_end", run.logs)
        finally:
            run.model.close()

    def _epochs(self, data, batch_size, held_out, incremental, run):
        """Trains epoch by epoch.

        The end is max_iter, or a loss or score that stalls, a callback, max_seconds or Ctrl-C.
        """
        network, optimizer, count = self._attached.network, self._optimizer, data.count
        places, order, sums, began = np.arange(count), data.rows, np.zeros(2), time.perf_counter()
        try:
            self.n_iter_ = 0
            with self._team(batch_size) as team:
                run.hooks.call("on_train_begin", {})
                for epoch in range(self.max_iter):
                    run.hooks.call("on_epoch_begin", epoch, {})
                    if self.shuffle:
                        permutation = np.arange(count)
                        self._random_state.shuffle(permutation)         # as sklearn.utils.shuffle draws
                        places = places[permutation]
                        order = places if data.rows is None else data.rows[places]
                    sums[:] = 0
                    trained = self._train(data, order, batch_size, team, sums, run)
                    optimizer.t = network.steps
                    if run.failed:
                        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else np.nan
                        break
                    self.n_iter_ += 1
                    self.loss_ = self._loss_of(data, order, batch_size, sums, trained)
                    self.t_ += trained
                    self.loss_curve_.append(self.loss_)
                    if self.verbose:
                        print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                    self._set_last_rate(optimizer)
                    if self._ended(optimizer, held_out, incremental, began, run):
                        break
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        finally:
            optimizer.t = network.steps

    def _set_last_rate(self, optimizer):
        """Sets `learning_rate` of the optimizer to the last step's, as scikit-learn leaves it."""
        if callable(self.learning_rate):
            optimizer.learning_rate = float(schedules.rates_of(self.learning_rate, optimizer.t - 1, 1)[0])
        if isinstance(optimizer, AdamOptimizer):
            rate = optimizer.learning_rate if callable(self.learning_rate) else optimizer.learning_rate_init
            correction = np.sqrt(1 - optimizer.beta_2**optimizer.t)
            optimizer.learning_rate = rate * correction / (1 - optimizer.beta_1**optimizer.t)

    def _update_no_improvement_count(self, early_stopping, *held_out):
        count = self._no_improvement_count
        super()._update_no_improvement_count(early_stopping, *held_out)
        if early_stopping and np.isnan(self.validation_scores_[-1]):        # NaN is no improvement
            self._no_improvement_count = count + 1

    def _ended(self, optimizer, held_out, incremental, began, run):
        """Scores an epoch, calls its callbacks, sets the learning rate; True if it was the last.

        max_iter ends the loop in `_epochs`; it is only warned of here.
        """
        self._score_epoch(held_out, run)
        run.hooks.call("on_epoch_end", self.n_iter_ - 1, run.logs)
        optimizer.iteration_ends(self.t_)
        if run.model.stop_training:
            return True
        if self._no_improvement_count > self.n_iter_no_change:
            what = "Validation score" if self.early_stopping else "Training loss"
            message = (f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive "
                       f"epochs.")
            if optimizer.trigger_stopping(message, self.verbose):
                return True
            self._no_improvement_count = 0
        if incremental:
            return True
        if self.n_iter_ == self.max_iter:
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                          f"hasn't converged yet.", ConvergenceWarning, stacklevel=4)
        elif self.max_seconds is not None and time.perf_counter() - began >= self.max_seconds:
            warnings.warn(self._out_of_time(), ConvergenceWarning, stacklevel=4)
            return True
        return False

    def _out_of_time(self):
        return (f"max_seconds={self.max_seconds} passed after {self.n_iter_} iterations and the optimization "
                f"hasn't converged yet.")

    def _score_epoch(self, held_out, run):
        """Records the score of the rows held out, if any; sets `run.logs`."""
        run.logs = {"loss": self.loss_}
        if held_out is None:
            self._update_no_improvement_count(self.early_stopping, None, None, None)
            return
        run.hooks.call("on_test_begin", {})
        self._update_no_improvement_count(self.early_stopping, *held_out)
        if not self.early_stopping:
            score = self._score(*held_out)
            self.validation_scores_ = [*(self.validation_scores_ or []), score]
            best = -np.inf if self.best_validation_score_ is None else self.best_validation_score_
            self.best_validation_score_ = np.fmax(score, best)
            if self.verbose:
                print(f"Validation score: {score:f}")
        run.hooks.call("on_test_end", {"score": self.validation_scores_[-1]})
        run.logs["val_score"] = self.validation_scores_[-1]

    def _loss_and_gradient(self, data, team, point):
        """Loss and gradient of all rows at a point in the layout of `params`."""
        network, sums = self._attached.network, np.zeros(2)
        network.params[:] = point
        self._train(data, data.rows, data.count, team, sums)
        return self._loss_of(data, data.rows, data.count, sums, data.count), network.grads.astype(np.float64)

    def _check_lbfgs_options(self, network):
        """ValueError for options that solver "lbfgs" does not have."""
        if vars(self).get("_validation_data") is not None:
            raise ValueError("validation_data must be left out with solver='lbfgs', which has no epochs to score "
                             "after. Use solver='adam' or 'sgd', or score the fitted estimator.")
        given = {"callbacks": self.callbacks, "learning_rate": callable(self.learning_rate), "dropout": network.random}
        for name, is_given in given.items():
            if is_given:
                raise ValueError(f"{name} must be left at its default with solver='lbfgs', which has no epochs and "
                                 f"searches its steps on one function; got {getattr(self, name)!r}. Use solver='adam' "
                                 f"or 'sgd'.")

    def _fit_lbfgs(self, X, y, sample_weight, *rest):
        network = self._attach().network
        self._check_layers(rest[-1])
        self._check_lbfgs_options(network)
        self._configure(network)
        data = self._data(X, y, sample_weight, vars(self).pop("_rows", None))
        began, iterations, reached = time.perf_counter(), 0, None
        self._begin()

        def end_iteration(point):
            nonlocal iterations, reached
            iterations, reached = iterations + 1, point
            if time.perf_counter() - began >= self.max_seconds and iterations < self.max_iter:
                raise _lbfgs.Over

        with self._team(data.count) as team, _threads.one_blas_thread():
            try:
                result = minimize(partial(self._loss_and_gradient, data, team), network.params.astype(np.float64),
                                  jac=True, method="L-BFGS-B",
                                  callback=None if self.max_seconds is None else end_iteration,
                                  options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol})
                self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)
                self.loss_, network.params[:] = result.fun, result.x
            except _lbfgs.Over:
                self.n_iter_, self.loss_ = iterations, self._loss_and_gradient(data, team, reached)[0]
                warnings.warn(self._out_of_time(), ConvergenceWarning, stacklevel=2)

    def _loss_grad_lbfgs(self, packed_coef_inter, X, y, sample_weight, *rest):
        """scikit-learn's function: loss and gradient at a vector of all kernels, then biases."""
        network = self._attach().network
        self._configure(network)
        data, point = self._data(X, y, sample_weight), np.empty_like(network.params)
        parts = [part for views in self._attached.split(point) for part in views]
        for part, values in zip(parts, np.split(packed_coef_inter, np.cumsum([part.size for part in parts])[:-1])):
            part.flat = values
        with self._team(data.count) as team:
            loss, gradient = self._loss_and_gradient(data, team, point)
        return loss, np.concatenate([part.ravel() for views in self._attached.split(gradient) for part in views])

    def fit(self: _Estimator, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None,
            validation_data: tuple[Any, ...] | None = None) -> _Estimator:
        """Fits the network to X and y.

        Parameters
        ----------
        X : array or sparse matrix (n_samples, n_features)
            float32 is trained in float32, every other dtype in float64.
        y : array (n_samples,) or (n_samples, n_outputs)
            Class labels, an indicator matrix where rows have several labels, or numbers.
        sample_weight : array (n_samples,), optional
        validation_data : (X, y) or (X, y, sample_weight), optional
            Scored after every epoch (`validation_scores_`).  `early_stopping` judges by these rows
            and splits none off X.  Refused with solver "lbfgs", which has no epochs.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For data that scikit-learn refuses (its messages), masked elements, a loss that does not
            fit y, targets that the loss refuses, and weights that are not finite after training.
            An error before the first step leaves the estimator as it was.
        """
        with self._training_call(validation_data):
            return super().fit(X, y, sample_weight)     # type: ignore[misc]    # scikit-learn's, of the subclasses

    # -- prediction --------------------------------------------------------------------------------

    def _outputs(self, X, check_input=True):
        """Activations of the last layer."""
        if check_input:
            _check_arrays(X=X)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        attached = self._attach()
        x = _open(X, attached.network.sparse)
        out = np.empty((len(x), attached.network.shapes[-1][1]), attached.network.dtype)
        step = max(1, int(_threads.SLICE_WORK / attached.work))
        for first in range(0, len(out), step):
            def predict(start, stop, first=first):
                return attached.network.predict_rows(x, first + start, first + stop, out)

            for bad in _threads.over_rows(predict, min(step, len(out) - first), attached.work, self.n_threads):
                if bad >= 0:
                    raise _not_finite(X, bad, "X")
        return out

    def score(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The score of predictions: accuracy of a classifier, R^2 of a regressor.

        It is minus the loss where R^2 cannot compare the predictions with y: see `loss`.
        """
        _check_arrays(y=y, sample_weight=sample_weight)
        return super().score(X, y, sample_weight)       # type: ignore[misc]

    def _forward_pass_fast(self, X, check_input=True):
        outputs, loss = self._outputs(X, check_input), self._nnfast_loss(fitted=True)
        return outputs if loss is None else loss._shown(outputs)

    def _scored_by_loss(self, loss):
        """Whether the score is minus the loss: R^2 cannot compare several quantiles with one y."""
        if is_classifier(self) or loss is None:
            return False
        return loss._shown(np.empty((0, len(self.intercepts_[-1])))).shape[1] != self.n_outputs_

    def _score(self, X, y, sample_weight=None):
        loss = self._nnfast_loss(fitted=True)
        if self._scored_by_loss(loss):
            return _minus_loss(loss, y, self._predict(X, check_input=False), sample_weight)
        return super()._score(X, y, sample_weight)


def _minus_loss(loss, y, predicted, sample_weight):
    """Minus the weighted mean loss of the rows, as a score; NaN if a prediction is not finite."""
    if not np.isfinite(predicted).all():
        return np.nan
    check.same_length(predicted, y, "X", "y")
    values = loss.per_sample(y, predicted)
    weights = np.ones(len(values)) if sample_weight is None else check.weights(sample_weight, len(values))
    return -float((values * weights).sum() / weights.sum()) if weights.any() else np.nan


PARAMETERS = """    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str or list of str, default "relu"
        "identity", "logistic", "tanh", "relu", or any of `nnfast.activations`; a list has one for
        each hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default "adam"
    alpha : float, default 1e-4
        alpha |W|^2 / 2 is added to the loss of a batch, divided by its number of rows or the sum of
        their sample weights.  W are the kernels, without the biases.
    batch_size : int or "auto", default "auto": min(200, n_samples)
    learning_rate : {"constant", "invscaling", "adaptive"}, schedule or callable, default "constant"
        The names are for solver "sgd": "constant" is `learning_rate_init`, "invscaling" divides it
        by (rows seen + 1)^power_t, and "adaptive" divides it by 5 whenever training stalls.  "sgd"
        and "adam" also take one of nnfast.schedules, or a function from the step to the rate, in
        place of `learning_rate_init`.  Steps are batches, counted from 0: `fit` begins anew,
        `partial_fit` continues.
    learning_rate_init : float, default 1e-3
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs, or iterations of L-BFGS.
    shuffle : bool, default True
    random_state : int, RandomState or None
        Seed of the initial weights, of the split for early stopping and of the shuffles, with the
        draws of scikit-learn: with an integer they begin anew in every `fit` and `partial_fit`.
        Also the seed of dropout, whose draws do not begin anew in `partial_fit`.
    tol : float, default 1e-4
    verbose : bool, default False
    warm_start : bool, default False
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Holds out `validation_fraction` of the rows, stops when their score (see `score`) has not
        risen by `tol` for `n_iter_no_change` epochs, and restores the best weights.  A score of NaN
        is no rise; if no epoch had a finite score, the last weights stay.
    validation_fraction : float, default 0.1
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        For solver "adam".
    n_iter_no_change : int or inf, default 10
    max_fun : int, default 15000
        Largest number of calls of the loss function by L-BFGS.
{own}    dropout : float in [0, 1), or one for each hidden layer, default 0
        Probability with which an output of a hidden layer is set to 0 in training, as in
        `nnfast.layers.Dropout`.
    callbacks : list of nnfast.callbacks, optional
        Called by `fit` with solver "sgd" or "adam", not by `partial_fit`.  Logs hold "loss", and
        with `early_stopping` or `validation_data` also "val_score", the score of these rows.  Their
        `model` has `stop_training`, `get_weights`, `set_weights`, `optimizer.learning_rate`, and the
        estimator as `estimator`.  An exception in a callback ends the fit and is raised to the
        caller; the estimator keeps the weights of the last step.
    n_threads : int, optional
        Largest number of threads of a fit and of predictions; None uses as many as make it faster.
        The results are the same bits for every number.
    max_seconds : float, optional
        Training ends after the epoch, or the iteration of L-BFGS, in which this time has passed,
        with a ConvergenceWarning.

    Attributes
    ----------
    coefs_, intercepts_ : lists of arrays
        Kernels (n_in, n_out) and biases (n_out,) of each layer.  They are views of one vector:
        writing to them changes the model.
    loss_ , best_loss_ : float
    loss_curve_ : list of float
        The loss of each epoch, with the penalty.
    validation_scores_, best_validation_score_ : list of float, float
        None without `early_stopping` and `validation_data`.
    n_iter_, t_ : int
        Number of epochs, and of rows, trained on.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_ : as scikit-learn's
"""
NOTES = """    Notes
    -----
    With sample weights, the loss of a batch is divided by the sum of its weights, as in
    scikit-learn, unless the loss is one of nnfast's whose `reduction` is not the default.

    After `set_params` without a fit, predictions use the new `activation` at once, as in
    scikit-learn, but the new `loss` only after the next fit.  `partial_fit` and warm starts use all
    new parameters; those that would change the shapes of the weights or the output are refused.
    Unlike in scikit-learn, `partial_fit` also uses a new solver or learning rate; the state of the
    optimizer is kept if the solver is the same.
"""
CLASSIFIER_PARAMETERS = """    loss : "log_loss", or name, class or instance of nnfast.losses, default "log_loss"
        "log_loss" is the cross-entropy of the outputs, summed over them where rows have several
        labels.  A loss that does not fit y is refused, e.g. one for one-hot rows where y has two
        classes.
    class_weight : dict from class to weight, or "balanced", optional
        Multiplied with `sample_weight`.  "balanced" is rows / (classes present * rows of the class),
        counted in the rows to train on, each with its `sample_weight`.  `partial_fit` refuses it,
        because it sees only one batch.
"""


class MLPClassifier(_NativeMLP, neural_network.MLPClassifier):
    __doc__ = f"""A multi-layer perceptron for classification: scikit-learn's, trained natively.

    The output is one logistic unit for two classes, one logistic unit per label where rows have
    several labels, and a softmax for more classes.

    Parameters
    ----------
{PARAMETERS.replace("{own}", CLASSIFIER_PARAMETERS)}    classes_ : array (n_classes,)

{NOTES}
    Examples
    --------
    >>> import nnfast
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> model = nnfast.MLPClassifier((16,), solver="lbfgs", random_state=1).fit(x, y)
    >>> model.score(x, y) > 0.95
    True
    """

    classes_: NDArray[Any]

    _parameter_constraints = {
        **neural_network.MLPClassifier._parameter_constraints,
        "activation": [StrOptions({*NAMES, *core.ACTIVATIONS} - {"exp"}), list, tuple],
        "loss": [StrOptions({"log_loss", *losses.NAMES}), losses.Loss, callable],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "learning_rate": [*neural_network.MLPClassifier._parameter_constraints["learning_rate"], callable],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "callbacks": [list, tuple, Callback, None],
        "n_threads": [Interval(Integral, 1, _threads.MOST, closed="both"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
    }

    if TYPE_CHECKING:           # inherited
        def predict_proba(self, X: _Matrix) -> NDArray[Any]: ...
        def predict_log_proba(self, X: _Matrix) -> NDArray[Any]: ...

    def __init__(self, hidden_layer_sizes: int | Sequence[int] = (100,), activation: _Activation = "relu", *,
                 solver: _Solver = "adam", alpha: float = 0.0001, batch_size: int | Literal["auto"] = "auto",
                 learning_rate: _Rate = "constant", learning_rate_init: float = 0.001, power_t: float = 0.5,
                 max_iter: int = 200, shuffle: bool = True, random_state: _Seed = None, tol: float = 1e-4,
                 verbose: bool = False, warm_start: bool = False, momentum: float = 0.9,
                 nesterovs_momentum: bool = True, early_stopping: bool = False, validation_fraction: float = 0.1,
                 beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, n_iter_no_change: int = 10,
                 max_fun: int = 15000, loss: _Loss = "log_loss",
                 class_weight: dict[Any, float] | Literal["balanced"] | None = None, dropout: _Dropout = 0.0,
                 callbacks: _Callbacks = None, n_threads: int | None = None,
                 max_seconds: float | None = None) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes, activation=activation, solver=solver, alpha=alpha,
            batch_size=batch_size, learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t,
            max_iter=max_iter, shuffle=shuffle, random_state=random_state, tol=tol, verbose=verbose,
            warm_start=warm_start, momentum=momentum, nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping, validation_fraction=validation_fraction, beta_1=beta_1, beta_2=beta_2,
            epsilon=epsilon, n_iter_no_change=n_iter_no_change, max_fun=max_fun)
        self.loss = loss
        self.class_weight = class_weight
        self.dropout = dropout
        self.callbacks = callbacks
        self.n_threads = n_threads
        self.max_seconds = max_seconds

    @_available_if(lambda self: self._check_solver())
    def partial_fit(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None,
                    classes: ArrayLike | None = None) -> MLPClassifier:
        """Trains for one epoch; `classes` names all classes in the first call.

        Raises
        ------
        ValueError
            For what `fit` refuses, for early_stopping=True and for class_weight="balanced".
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' must not be used with partial_fit, which sees one "
                             "batch. Give a dict, for instance with the weights of sklearn.utils.compute_class_weight("
                             "'balanced', classes=classes, y=y) for a large y.")
        with self._training_call():
            return super().partial_fit(X, y, sample_weight, classes)


class MLPRegressor(_NativeMLP, neural_network.MLPRegressor):
    __doc__ = f"""A multi-layer perceptron for regression: scikit-learn's, trained natively.

    Parameters
    ----------
    loss : {{"squared_error", "poisson"}}, or name, class or instance of nnfast.losses
        "squared_error", the default, is half the squared error; as in scikit-learn, its mean over
        outputs is reported, but the gradient is that of its sum.  "poisson" is half the deviance; it,
        `Poisson`, `Gamma`, `Tweedie` and `MeanSquaredLogarithmicError` have an exponential output.
        Losses for classes are refused.  `GaussianNLL` predicts the means.  `Quantile([...])` predicts
        a column for each quantile; R^2 cannot compare these with one y, so `score`, early stopping
        and `validation_data` use minus the loss.
{PARAMETERS.replace("{own}", "")}
{NOTES}
    Examples
    --------
    >>> import nnfast
    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> model = nnfast.MLPRegressor(solver="lbfgs", alpha=10, random_state=1).fit(x, y)
    >>> model.score(x, y) > 0.4
    True
    """

    _parameter_constraints = {
        **neural_network.MLPRegressor._parameter_constraints,
        **{name: MLPClassifier._parameter_constraints[name]
           for name in ("activation", "learning_rate", "dropout", "callbacks", "n_threads", "max_seconds")},
        "loss": [StrOptions({"squared_error", "poisson", *losses.NAMES}), losses.Loss, callable],
    }

    def __init__(self, loss: _Loss = "squared_error", hidden_layer_sizes: int | Sequence[int] = (100,),
                 activation: _Activation = "relu", *, solver: _Solver = "adam", alpha: float = 0.0001,
                 batch_size: int | Literal["auto"] = "auto", learning_rate: _Rate = "constant",
                 learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
                 random_state: _Seed = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False,
                 momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
                 validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 n_iter_no_change: int = 10, max_fun: int = 15000, dropout: _Dropout = 0.0,
                 callbacks: _Callbacks = None, n_threads: int | None = None,
                 max_seconds: float | None = None) -> None:
        super().__init__(
            loss=loss, hidden_layer_sizes=hidden_layer_sizes, activation=activation, solver=solver, alpha=alpha,
            batch_size=batch_size, learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t,
            max_iter=max_iter, shuffle=shuffle, random_state=random_state, tol=tol, verbose=verbose,
            warm_start=warm_start, momentum=momentum, nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping, validation_fraction=validation_fraction, beta_1=beta_1, beta_2=beta_2,
            epsilon=epsilon, n_iter_no_change=n_iter_no_change, max_fun=max_fun)
        self.dropout = dropout
        self.callbacks = callbacks
        self.n_threads = n_threads
        self.max_seconds = max_seconds

    def _validate_params(self):
        if isinstance(self.loss, (Integral, list, np.ndarray)) or type(self.loss) is tuple:
            raise InvalidParameterError(
                f"The 'loss' parameter of MLPRegressor must be the name, class or instance of a loss; got "
                f"{self.loss!r}. loss comes first, as in scikit-learn: give sizes of layers as "
                f"hidden_layer_sizes={self.loss!r}.")
        super()._validate_params()

    @_available_if(lambda self: self._check_solver())
    def partial_fit(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """Trains for one epoch.

        Raises
        ------
        ValueError
            For what `fit` refuses, and for early_stopping=True.
        """
        with self._training_call():
            return super().partial_fit(X, y, sample_weight)

    def score(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R^2, or minus the weighted mean loss for several quantiles of one target.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        float
            More is better.
        """
        check_is_fitted(self)
        loss = self._nnfast_loss(fitted=True)
        if self._scored_by_loss(loss):
            return _minus_loss(loss, y, self.predict(X), sample_weight)
        return super().score(X, y, sample_weight)


class Ensemble(_Versioned, MetaEstimatorMixin, BaseEstimator):
    """Estimators that differ in their seeds or training rows, and the mean of their predictions.

    They are trained at the same time, each by one thread (`nnfast.fit_many`), and share X and y
    without a copy.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Each member is a clone of it with another seed.
    n_members : int, default 10
    bagging : bool, default False
        Whether to train each member on a bootstrap sample (Breiman 1996): as many rows as X has,
        drawn with replacement, for a classifier within each class.
    random_state : int, RandomState or None
        Seed of the members' seeds and of the rows drawn.
    n_jobs : int, optional
        Members in training at a time, by default the number of CPUs of the process.  The results
        are the same bits for every number.

    Attributes
    ----------
    members_ : list of fitted estimators
    classes_, n_outputs_, n_features_in_, feature_names_in_ : as those of the members

    Examples
    --------
    >>> import nnfast
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> model = nnfast.MLPClassifier((16,), solver="lbfgs")
    >>> ensemble = nnfast.Ensemble(model, 5, random_state=0).fit(x, y)
    >>> ensemble.predict_proba(x).shape, ensemble.predict_std(x).shape
    ((150, 3), (150, 3))
    >>> ensemble.score(x, y) > 0.95
    True
    """

    model: MLPClassifier | MLPRegressor
    members_: list[MLPClassifier] | list[MLPRegressor]

    def __init__(self, model: MLPClassifier | MLPRegressor, n_members: int = 10, *, bagging: bool = False,
                 random_state: _Seed = None, n_jobs: int | None = None) -> None:
        self.model = model
        self.n_members = n_members
        self.bagging = bagging
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Ensemble:
        """Trains the members.

        Parameters
        ----------
        X, y, sample_weight : as in the `fit` of the model

        Returns
        -------
        self

        Raises
        ------
        TypeError
            For a model that is neither an MLPClassifier nor an MLPRegressor of nnfast.
        ValueError
            The error of the first member that failed.
        """
        if not isinstance(self.model, _NativeMLP):
            raise TypeError(f"model must be an MLPClassifier or MLPRegressor of nnfast, which scikit-learn can clone "
                            f"with other seeds; got {self.model!r}. Train several Sequential by nnfast.fit_many, and "
                            f"take the mean of what they predict.")
        rng = check_random_state(self.random_state)
        members: Any = [clone(self.model).set_params(random_state=int(rng.randint(2**31 - 1)))
                        for _ in range(check.size(self.n_members, "n_members"))]
        shared = members[0]._share(X, y, sample_weight)
        folds = None
        if self.bagging:
            folds = [_bootstrap_rows(rng, shared.y, is_classifier(self)) for _ in members]
        try:
            many.fit_many(members, shared, shared.y, folds=folds, n_jobs=self.n_jobs, verbose=0)
        except many.FitErrors as error:
            raise next(iter(error.errors.values())) from None
        self.members_ = members
        for name in ("classes_", "n_outputs_", "n_features_in_", "feature_names_in_"):
            if name in vars(self):
                delattr(self, name)
            if hasattr(members[0], name):
                setattr(self, name, getattr(members[0], name))
        return self

    def _member_outputs(self, X):
        """Outputs of the members, (n_members, n, outputs)."""
        check_is_fitted(self)
        _check_arrays(X=X)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return np.stack([member._forward_pass_fast(X, check_input=False) for member in self.members_])

    def _member_probabilities(self, X):
        """Probabilities of the members, (n_members, n, classes), two classes included."""
        outputs = self._member_outputs(X)
        return np.concatenate([1 - outputs, outputs], axis=2) if outputs.shape[2] == 1 else outputs

    def predict(self, X: _Matrix) -> NDArray[Any]:
        """The mean prediction of the members, (n,) or (n, outputs).

        A classifier gives the classes of the mean probabilities.
        """
        mean = self._member_outputs(X).mean(axis=0)
        mean = mean[:, 0] if mean.shape[1] == 1 else mean
        return self.members_[0]._label_binarizer.inverse_transform(mean) if is_classifier(self) else mean

    @_available_if(lambda self: is_classifier(self.model))
    def predict_proba(self, X: _Matrix) -> NDArray[Any]:
        """The mean probabilities of the members, (n, classes)."""
        return self._member_probabilities(X).mean(axis=0)

    def predict_std(self, X: _Matrix) -> NDArray[Any]:
        """The standard deviation of the members' predictions, (n,) or (n, outputs).

        For a classifier it is the standard deviation of their probabilities, (n, classes).
        """
        if is_classifier(self):
            return self._member_probabilities(X).std(axis=0)
        deviation = self._member_outputs(X).std(axis=0)
        return deviation[:, 0] if deviation.shape[1] == 1 else deviation

    def score(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The score of `predict`, of the same kind as the score of a member."""
        _check_arrays(y=y, sample_weight=sample_weight)
        predicted, member = self.predict(X), self.members_[0]
        loss = member._nnfast_loss(fitted=True)
        if member._scored_by_loss(loss):
            return _minus_loss(loss, y, predicted, sample_weight)
        return (accuracy_score if is_classifier(self) else r2_score)(y, predicted, sample_weight=sample_weight)

    def __sklearn_tags__(self):
        tags, of_model = super().__sklearn_tags__(), get_tags(self.model)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(of_model, name))
        return tags


def _bootstrap_rows(rng, y, by_class):
    """Indices of as many rows as y has, drawn with replacement, within each class if `by_class`."""
    count = y.shape[0]
    if not by_class or (y.ndim == 2 and y.shape[1] > 1):
        return rng.randint(count, size=count)
    _, places = np.unique(y, return_inverse=True)
    order = np.argsort(places.ravel(), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(places.ravel()))[:-1])
    return np.concatenate([rng.choice(group, len(group)) for group in groups])
