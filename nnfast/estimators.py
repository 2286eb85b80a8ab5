"""MLPClassifier and MLPRegressor: scikit-learn's estimators, trained natively.

Both are subclasses of scikit-learn's own classes (1.7 or newer): parameters, checks, labels, first weights and messages
are inherited, so `from nnfast import MLPClassifier` is all there is to change, and whatever
recognises scikit-learn's classes recognises these.  Replaced is where the time goes:

    _initialize         the weights that scikit-learn draws move into the one vector of a `Network`;
                        `coefs_` and `intercepts_` are views of it from then on
    _fit_stochastic     an epoch is one native call (of up to 0.1 s, so that Ctrl-C is seen)
    _fit_lbfgs          loss and gradient in one native pass over all rows, on the vectors of the network as they are
    _forward_pass_fast  native prediction

Formulas are scikit-learn's (1.9): half squared errors, log-losses cut at the machine epsilon, Poisson deviances; weighted
means divide by the sum of the weights of the batch, as does the penalty alpha |W|^2 / 2.  In float64 and with the same
`random_state` the loss curves are theirs.  float32 data are trained in float32 throughout (scikit-learn's Adam and
targets are partly float64 there).

This is the only module that imports scikit-learn.
"""
import contextlib
import time
import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np

from nnfast import _lbfgs, _threads, _validation as check, activations, callbacks as hooked, losses, many, schedules
from nnfast._core import network as core
from nnfast._extras import extra
from nnfast._ranges import train_in_ranges
from nnfast._version import __version__
from nnfast._watched import Watched
from nnfast.activations import SKLEARN_NAMES as NAMES

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

__all__ = ["Ensemble", "MLPClassifier", "MLPRegressor"]

THEIR_NAMES = {name: theirs for theirs, name in NAMES.items()}
OF_CLASSIFIERS, OF_REGRESSORS = ("log_loss",), ("squared_error", "poisson")     # losses with scikit-learn's formulas
LOG_LINK = ("poisson_log", "gamma", "tweedie")                                  # kernels that take log predictions
STATES = {"velocities": 0, "ms": 0, "vs": 1}                                    # of scikit-learn's optimizers: slot
SLICE_WORK = 1e10               # floating-point operations of a native call of predict, 0.1 s
VERSIONS = {"_nnfast_version": __version__, "_sklearn_version": sklearn.__version__}    # in pickles


def _read(X, sparse):
    """X as the core reads it; a network for sparse rows alone reads dense ones as such."""
    if not issparse(X) and not sparse:
        return check.opened(check.numeric(X, "X"))
    X = csr_matrix(X) if not issparse(X) else X.tocsr()
    data = X.data if X.data.dtype in (np.float32, np.float64) else X.data.astype(np.float64)
    return core.SparseRows(data, X.indices, X.indptr, X.shape[1])


def _not_finite(X, row, name):
    """The error for a row in which the core met a number that is not finite."""
    return check.not_finite(X[[row]].toarray(), 0, name, row) if issparse(X) else check.not_finite(np.asarray(X), row, name)


class _Rows:
    """Rows in the form the core reads."""

    def __init__(self, X, y, weights, rows, sparse):
        self.X = X                                      # as it was given
        self.x_rows = _read(X, sparse)
        self.y, self.y_rows = y, check.opened(y)
        self.weights = None if weights is None else np.ascontiguousarray(weights, np.float64)
        self.rows = rows                                # the rows to train on, or None for all
        self.count = len(y) if rows is None else len(rows)
        self.constants = None                           # what the loss of each row leaves out


def _gate(**given):
    """TypeError for what is no array, before scikit-learn reads it; None is for it to refuse."""
    for name, array in given.items():
        if array is not None and not isinstance(array, many.Part):
            check.gate(array, name)


class _Attached:
    """The network under an estimator: not pickled, made again from the weights where it is missing."""

    def __init__(self, coefs, intercepts, names, rates, sparse):
        plan = []
        for bias, name, rate in zip(intercepts, names, [*rates, 0.0]):
            plan.append((len(bias), core.ACTIVATIONS[NAMES.get(name, name)], True))
            if rate:
                plan.append(("dropout", rate))
        self.made_of = names, rates                             # activations of all layers, dropout of the hidden ones
        self.network = core.Network(len(coefs[0]), plan, coefs[0].dtype.name, sparse)
        self.coefs, self.intercepts = self.split(self.network.params)
        self.work = 2.0 * sum(coef.size for coef in coefs)      # of a forward pass, per row
        self.pace = _threads.Pace()
        self.optimizer = None                                   # whose state the slots are

    def split(self, vector):
        """Views of a vector in the layout of params: kernels, biases."""
        coefs, intercepts = [], []
        for n_in, n_out, _, start in self.network.shapes:
            end = start + n_in * n_out
            coefs.append(vector[start:end].reshape(n_in, n_out))
            intercepts.append(vector[end:end + n_out])
        return coefs, intercepts


class _Hooks:
    """The callbacks of a fit, and what they have seen and asked for."""

    def __init__(self, estimator, given, batches):
        self.model, self.logs, self.failed = Watched(estimator, estimator._optimizer), {}, False
        self.hooks = hooked.CallbackList(given, self.model, {"epochs": estimator.max_iter, "initial_epoch": 0, "steps": batches,
                                                             "verbose": int(estimator.verbose)})
        self.watch = next((callback for callback in self.hooks.callbacks if isinstance(callback, hooked.TerminateOnNaN)), None)

    def not_finite(self, what, epoch, batch):
        """The end of a fit under TerminateOnNaN."""
        message = (f"the {what} became NaN or infinite in epoch {epoch + 1}, batch {batch + 1}; the weights of shortly before are put "
                   f"back. Lower learning_rate_init or scale X.")
        if self.watch.raise_error:
            raise FloatingPointError(message)
        warnings.warn(message, RuntimeWarning, stacklevel=6)
        self.failed = True


class _Versioned:
    """Pickles hold the versions that wrote them; others warn where they read them."""

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
    """What both estimators replace of scikit-learn's."""

    _attached = None
    _sparse = False             # whether the first fit had a sparse X

    def _validate_params(self):
        if not isinstance(self.loss, (str, losses.Loss)) and not callable(self.loss):
            raise InvalidParameterError(f"The 'loss' parameter of {type(self).__name__} must be the name, class or instance of a loss; "
                                        f"got {self.loss!r:.80}.")
        for name in ("loss", "activation"):
            given = getattr(self, name)
            known = next(kind.options for kind in self._parameter_constraints[name] if isinstance(kind, StrOptions))
            if isinstance(given, str) and given not in known:
                raise InvalidParameterError(str(check.unknown(f"The {name!r} parameter of {type(self).__name__}", given, known)))
        for units in self.hidden_layer_sizes if isinstance(self.hidden_layer_sizes, (list, tuple)) else ():
            if not isinstance(units, Integral):
                raise InvalidParameterError(f"The 'hidden_layer_sizes' parameter of {type(self).__name__} must be an integer or a list of "
                                            f"integers; got {self.hidden_layer_sizes!r}.")
        super()._validate_params()

    # -- building ---------------------------------------------------------------------------------

    def _names_of_activations(self, hidden):
        """The activation of each hidden layer."""
        given = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        if len(given) != hidden:
            raise ValueError(f"activation must name one function for each of the {hidden} hidden layers; got {self.activation!r}.")
        return [name if name in NAMES else THEIR_NAMES.get(activations.get(name), activations.get(name)) for name in given]

    def _rates_of_dropout(self, hidden):
        """The rate behind each hidden layer."""
        given = [self.dropout] * hidden if isinstance(self.dropout, Real) else list(self.dropout)
        if len(given) != hidden:
            raise ValueError(f"dropout must be a rate, or one for each of the {hidden} hidden layers; got {self.dropout!r}.")
        return [check.number(rate, "dropout", 0, 1, open_high=True) for rate in given]

    def _own_loss(self, fitted=False):
        """The loss if it is one of nnfast's, or None; with `fitted` the one that the weights were last trained with."""
        loss = getattr(self, "_fitted_loss", self.loss) if fitted else self.loss
        theirs = OF_CLASSIFIERS if is_classifier(self) else OF_REGRESSORS
        return None if isinstance(loss, str) and loss in theirs else losses.get(loss)

    @staticmethod
    def _takes_logs(loss):
        """Whether a loss of nnfast takes logarithms: what comes before an exponential output."""
        return getattr(loss, "_kernel_name", None) in LOG_LINK

    def _link(self):
        """The activation of the outputs that the loss of a regressor asks for."""
        loss = self._own_loss()
        if loss is None:
            return "exp" if self.loss == "poisson" else "identity"
        return "exp" if self._takes_logs(loss) or loss._outputs == losses.NOT_NEGATIVE else "identity"

    def _initialize(self, y, layer_units, dtype):
        loss, targets = self._own_loss(), layer_units[-1]
        if loss is not None:
            layer_units[-1] = self._units_of(loss, targets)
        super()._initialize(y, layer_units, dtype)
        if not is_classifier(self):
            self.out_activation_ = self._link()
        if loss is not None:
            self._advise(loss)
        self._attached = None
        self._attach()

    def _check_layers(self, layer_units):
        """The weights that a warm start or partial_fit goes on with are those that parameters and data ask for."""
        loss = self._own_loss()
        shapes = self._attached.network.shapes
        last = self.out_activation_ if is_classifier(self) else self._link()
        there = [shapes[0][0], *(n_out for _, n_out, _, _ in shapes)]
        wanted = [*layer_units[:-1], self.n_outputs_ if loss is None else self._units_of(loss, self.n_outputs_)]
        if (there, self.out_activation_) != (wanted, last):
            raise ValueError(f"hidden_layer_sizes, loss and the columns of y must stay as they were where warm_start "
                             f"or partial_fit goes on: the weights are those of layers of the widths {there} with the "
                             f"output {self.out_activation_!r}; asked for are {wanted} with {last!r}. Set them back, or "
                             f"begin anew with sklearn.base.clone(estimator).")

    def _check_task(self, loss):
        """ValueError for a loss of nnfast that does not train for what y holds."""
        if not is_classifier(self):
            task = losses.REGRESSION
        else:
            kind = self._label_binarizer.y_type_
            task = {"binary": losses.BINARY, "multiclass": losses.CLASSES}.get(kind, losses.MULTILABEL)
        if task not in loss._tasks:
            fitting = ", ".join(name for name, cls in losses._CLASSES.items() if task in cls._tasks)
            raise ValueError(f"loss must fit y, which holds {losses.TASKS[task]}; got {loss!r}. "
                             f"Choose one of {fitting}.")

    def _advise(self, loss):
        """Warns of outputs that do not fit a loss of nnfast, as `Sequential.compile` does."""
        last = NAMES.get(self.out_activation_, self.out_activation_)
        if not self._takes_logs(loss) and last != loss._matching_activation:    # else it takes what comes before
            message = loss._advice(self.n_outputs_, *activations.RANGES[last], last, False)
            if message is not None:
                warnings.warn(message, stacklevel=5)

    def _units_of(self, loss, targets):
        """Outputs of the network for a loss of nnfast."""
        self._check_task(loss)
        if isinstance(loss, losses.GaussianNLL):
            return 2 * targets
        if isinstance(loss, losses.Quantile) and isinstance(loss.q, list) and targets == 1:
            return len(loss.q)
        return targets

    def _init_coef(self, fan_in, fan_out, dtype):
        """scikit-learn's, for the activation of this layer (of the last hidden one for the output, as there)."""
        given, hidden = self.activation, self._names_of_activations(self.n_layers_ - 2)
        if hidden:
            self.activation = hidden[min(len(self.coefs_), len(hidden) - 1)]
        try:
            return super()._init_coef(fan_in, fan_out, dtype)
        finally:
            self.activation = given

    def _attach(self):
        """The network that holds coefs_ and intercepts_; arrays that the user put there are taken over."""
        attached, hidden = self._attached, len(self.coefs_) - 1
        made_of = [*self._names_of_activations(hidden), self.out_activation_], self._rates_of_dropout(hidden)
        if attached is None or attached.made_of != made_of:
            if attached is not None:
                self._take_over(attached)
            attached = _Attached(self.coefs_, self.intercepts_, *made_of, self._sparse)
        self._take_over(attached)
        return attached

    def _take_over(self, attached):
        """The weights move into the vector of a network, and coefs_ and intercepts_ become its views."""
        given, views = [*self.coefs_, *self.intercepts_], [*attached.coefs, *attached.intercepts]
        if any(array is not view for array, view in zip(given, views, strict=True)):
            if [np.shape(array) for array in given] != [view.shape for view in views]:
                raise ValueError(f"coefs_ and intercepts_ must have the shapes {[view.shape for view in views]} of the fit; "
                                 f"got {[np.shape(array) for array in given]}.")
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

    # -- calls that train -------------------------------------------------------------------------

    @contextlib.contextmanager
    def _call(self, validation_data=None):
        """Of fit or partial_fit: an estimator that refuses it before its first step stays as it was."""
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
        """From here on the weights change."""
        self._begun, self._fitted_loss = True, self.loss

    # -- many at once: see nnfast/many.py ---------------------------------------------------------

    def _kind_of_data(self):
        """Estimators of one kind share their data."""
        return is_classifier(self)

    def _unfitted(self):
        return clone(self)

    def _share(self, X, y, sample_weight):
        """X, y and weights, validated once for all estimators of this kind."""
        _gate(X=X, y=y, sample_weight=sample_weight)
        known = clone(self)
        x, y = validate_data(known, X, y, accept_sparse="csr", multi_output=True, y_numeric=not is_classifier(self),
                             dtype=(np.float64, np.float32))
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
        return many.Part(x, y, weights, names=getattr(known, "feature_names_in_", None))

    def _fit_part(self, part, seed, **options):
        """`fit` on rows of shared data, with the seed given if there is one."""
        given = self.random_state
        if seed is not None:
            self.random_state = seed
        try:
            return self.fit(part, part.y, **options)
        finally:
            self.random_state = given

    def _fit(self, X, y, sample_weight=None, incremental=False):
        _gate(X=X, y=y, sample_weight=sample_weight)
        return super()._fit(X, y, sample_weight, incremental)

    def _validate_input(self, X, y, incremental, reset):
        if not isinstance(X, many.Part):
            X, y = super()._validate_input(X, y, incremental, reset)
            if reset:
                self._sparse = issparse(X)
            return X, y
        known = None if reset else vars(self).pop("feature_names_in_", None)    # the stand-in has no names
        rows = np.arange(y.shape[0]) if X.rows is None else X.rows
        stand_in = csr_matrix((len(rows), X.x.shape[1]), dtype=X.x.dtype)       # X is checked already
        _, targets = super()._validate_input(stand_in, y[rows], incremental, reset)
        if reset:
            self._sparse = issparse(X.x)
        names = X.names if reset else known
        if names is not None:
            if X.names is not None and list(names) != list(X.names):
                raise ValueError(f"The feature names should match those that were passed during fit: {list(names)}; "
                                 f"got {list(X.names)}.")
            self.feature_names_in_ = names
        if X.rows is not None:
            every = np.zeros((y.shape[0], *targets.shape[1:]), targets.dtype)
            every[rows] = targets
            targets = every
            self._rows = X.rows
        return X.x, targets

    # -- loss and data ----------------------------------------------------------------------------

    def _configure(self, network):
        """Tells the network the loss and the penalty."""
        loss, units = self._own_loss(), network.shapes[-1][1]
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
            kernel, settings = {"identity": ("huber", (np.inf, 1)),             # e^2 / 2 everywhere
                                "exp": ("poisson_log", ()),
                                "logistic": ("binary_crossentropy_logits", (1, 0, ceiling)),
                                "softmax": ("sparse_categorical_crossentropy_logits", (1, 0, ceiling))}[self.out_activation_]
            network.set_loss(core.LossKernel(core.LOSSES[kernel], settings, summed=True), self.out_activation_ != "identity", [], reduction)
        network.set_penalties([(0, self.alpha / 2 if arrays else 0) for arrays in network.arrays], True)

    def _data(self, X, y, sample_weight, rows=None):
        """X, y and weights, validated, in the form the core reads, of the rows to train on, or of all for None."""
        loss, constants = self._own_loss(), None
        if sample_weight is not None and not (sample_weight if rows is None else sample_weight[rows]).any():
            raise ValueError("Sample weights must contain at least one non-zero number, among the rows to train on.")
        if getattr(self, "class_weight", None) is not None:
            of_classes = self._class_weights(y, sample_weight, rows)
            sample_weight = of_classes if sample_weight is None else of_classes * sample_weight
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
        data = _Rows(X, check.numeric(y, "y"), sample_weight, rows, self._attached.network.sparse)
        data.constants = constants
        return data

    def _class_weights(self, y, sample_weight, rows):
        """A weight for each row from its class; "balanced" counts the rows to train on, each with its weight."""
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError("class_weight must be None for multilabel y, whose rows have no one class. Use sample_weight.")
        places = y[:, 0].astype(int) if y.shape[1] == 1 else y.argmax(axis=1)
        if isinstance(self.class_weight, str):
            chosen, weights = slice(None) if rows is None else rows, np.ones(len(places))
            weights[chosen] = check.balanced(places[chosen], None if sample_weight is None else sample_weight[chosen])
            return weights
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)[places]

    # -- training ---------------------------------------------------------------------------------

    def _rates(self, first, count):
        """The learning rate of `count` batches from step `first` on: one number, or an array."""
        if callable(self.learning_rate):
            return schedules.rates_of(self.learning_rate, first, count)
        return self._optimizer.learning_rate_init if isinstance(self._optimizer, AdamOptimizer) else self._optimizer.learning_rate

    def _train(self, data, order, batch_size, team, sums, run=None):
        """All batches of an order, in ranges; the rows trained on, which a `run` may cut short.  Without a run no step is taken."""
        network, trained, by_batch = self._attached.network, 0, run is not None and run.hooks.by_batch
        # an integer random_state draws the same number in every partial_fit: the rows trained on tell them apart
        seed = (int(self._random_state.randint(2**31)) + (self.t_ << 31)) % 2**64 if network.random else 0
        batches = core.Batches(data.x_rows, data.y_rows, batch_size, data.count, order, data.weights)
        begin_batch = (lambda batch: run.hooks.call("on_train_batch_begin", batch, {})) if by_batch else None
        for done, status, place in train_in_ranges(
                network, batches, team, (lambda *_: 0.) if run is None else self._rates, sums, begin_batch, update=run is not None,
                check=run is not None and run.watch is not None, seed=seed):
            if status in (core.BAD_INPUT, core.BAD_TARGET):
                raise _not_finite(*(data.X, place, "X") if status == core.BAD_INPUT else (data.y, place, "y"))
            if status != core.DONE:
                run.not_finite("loss" if status == core.BAD_LOSS else "gradient", self.n_iter_, done)
                break
            trained = min(done * batch_size, data.count)
            if by_batch:
                run.hooks.call("on_train_batch_end", done - 1, {"loss": self._loss_of(data, order, batch_size, sums, trained)})
                if run.model.stop_training:
                    break
        return trained

    def _team(self, batch_size):
        attached = self._attached
        return _threads.Team(attached.network, self.n_threads, 3 * attached.work * batch_size, attached.pace)

    def _loss_of(self, data, order, batch_size, sums, count):
        """The loss of the first `count` rows of an epoch as scikit-learn reports it: the row-weighted mean of the batches'."""
        loss = sums[0] / count
        if self.loss == "squared_error":
            loss /= self.n_outputs_             # reported is the mean over outputs, the gradient is that of the sum, as in scikit-learn
        if data.constants is not None:
            rows = slice(count) if order is None else order[:count]
            constants = data.constants[rows]
            weights = None if data.weights is None else data.weights[rows]
            starts = np.arange(0, count, batch_size)
            sizes = np.diff(starts, append=count)
            if weights is None:
                loss += constants.sum() / count
            else:
                loss += (np.add.reduceat(constants * weights, starts) / np.add.reduceat(weights, starts) * sizes).sum() / count
        return float(loss + sums[1] / count)

    def _start_optimizer(self, incremental):
        """scikit-learn's optimizer, its state in the slots of the network; partial_fit follows changed parameters."""
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
                coefs, intercepts = attached.split(attached.network.slots[STATES[name]])
                views = [*coefs, *intercepts]
                if goes_on:
                    for view, array in zip(views, getattr(before, name), strict=True):
                        view[...] = array
                setattr(optimizer, name, views)
            attached.network.steps = optimizer.t
            attached.optimizer = optimizer

    def _held_out(self, rows, X, y, sample_weight):
        """Of these rows, or all for None, those to train on; and X, y, weights to score after each epoch, or None."""
        given = vars(self).get("_validation_data")
        if given is not None:
            return rows, self._given_validation(given)
        if not self.early_stopping:
            return rows, None
        rows = np.arange(len(y)) if rows is None else rows
        stratify = y[rows] if is_classifier(self) and self.n_outputs_ == 1 else None
        train, held_out = train_test_split(rows, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify)
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' "
                             "or the size of your dataset.")
        y = y[held_out]
        return train, (X[held_out], self._label_binarizer.inverse_transform(y) if is_classifier(self) else y,
                       None if sample_weight is None else sample_weight[held_out])

    def _given_validation(self, given):
        """validation_data, validated: X, y, weights or None."""
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ValueError("validation_data must be (X, y) or (X, y, sample_weight).")
        _gate(**dict(zip(("X of validation_data", "y of validation_data", "sample_weight of validation_data"), given)))
        X, y = validate_data(self, given[0], given[1], accept_sparse=["csr", "csc"], multi_output=True,
                             dtype=(np.float64, np.float32), reset=False)
        weights = _check_sample_weight(given[2], X) if len(given) == 3 and given[2] is not None else None
        if not is_classifier(self):
            y = check.numeric(y, "y of validation_data")
        classes = is_classifier(self) and not self._label_binarizer.y_type_.startswith("multilabel")
        wanted, columns = 1 if classes else self.n_outputs_, y.shape[1] if y.ndim == 2 else 1
        if columns != wanted:
            raise ValueError(f"y of validation_data must have as many columns as y, {wanted}; got {columns}.")
        if X.shape[0] < 2 and not is_classifier(self) and not self._scored_by_loss(self._own_loss()):
            raise ValueError("The validation set is too small: R^2 needs at least two rows of validation_data; got 1.")
        return X, y, weights

    def _continue_records(self):
        """What earlier fits recorded, begun anew if they watched something else: the loss or the score."""
        first = not hasattr(self, "loss_curve_")            # solver "lbfgs" records nothing
        if first:
            self.loss_curve_ = []
        if first or self.early_stopping != (self.best_loss_ is None):
            self._no_improvement_count = 0
            self.best_loss_ = None if self.early_stopping else np.inf
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _fit_stochastic(self, X, y, sample_weight, *rest):
        layer_units, incremental = rest[-2:]
        network = self._attach().network
        self._check_layers(layer_units)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        self._configure(network)
        rows, held_out = self._held_out(vars(self).pop("_rows", None), X, y, sample_weight)
        data = self._data(X, y, sample_weight, None if rows is None else np.ascontiguousarray(rows, np.int64))
        self._start_optimizer(incremental)
        self._continue_records()
        count = data.count
        if self.batch_size == "auto":
            batch_size = min(200, count)
        else:
            if self.batch_size > count:
                warnings.warn("Got `batch_size` less than 1 or larger than "
                              "sample size. It is going to be clipped", stacklevel=2)
            batch_size = int(np.clip(self.batch_size, 1, count))
        run = _Hooks(self, [] if incremental else self.callbacks, -(-count // batch_size))
        try:
            self._begin()
            self._epochs(data, batch_size, held_out, incremental, run)
            if self.early_stopping and np.isfinite(self.best_validation_score_):        # else no epoch had a score
                for view, best in zip([*self.coefs_, *self.intercepts_], [*self._best_coefs, *self._best_intercepts]):
                    view[...] = best
            run.hooks.call("on_train_end", run.logs)
        finally:
            run.model.close()

    def _epochs(self, data, batch_size, held_out, incremental, run):
        """Epochs, until there are enough of them, or the loss, the score, a callback, the clock or Ctrl-C ends them."""
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
                    if callable(self.learning_rate):
                        optimizer.learning_rate = float(schedules.rates_of(self.learning_rate, optimizer.t - 1, 1)[0])
                    if isinstance(optimizer, AdamOptimizer):
                        rate = optimizer.learning_rate if callable(self.learning_rate) else optimizer.learning_rate_init
                        optimizer.learning_rate = rate * np.sqrt(1 - optimizer.beta_2**optimizer.t) / (1 - optimizer.beta_1**optimizer.t)
                    if self._ended(optimizer, held_out, incremental, began, run):
                        break
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        finally:
            optimizer.t = network.steps

    def _update_no_improvement_count(self, early_stopping, *held_out):
        count = self._no_improvement_count
        super()._update_no_improvement_count(early_stopping, *held_out)
        if early_stopping and np.isnan(self.validation_scores_[-1]):
            self._no_improvement_count = count + 1

    def _ended(self, optimizer, held_out, incremental, began, run):
        """What follows an epoch: scores, callbacks, the learning rate, and whether it was the last."""
        run.logs = {"loss": self.loss_}
        if held_out is not None:
            run.hooks.call("on_test_begin", {})
        self._update_no_improvement_count(self.early_stopping, *(held_out or (None, None, None)))
        if held_out is not None and not self.early_stopping:
            score = self._score(*held_out)
            self.validation_scores_ = [*(self.validation_scores_ or []), score]
            self.best_validation_score_ = np.fmax(score, -np.inf if self.best_validation_score_ is None else self.best_validation_score_)
            if self.verbose:
                print(f"Validation score: {score:f}")
        if held_out is not None:
            run.hooks.call("on_test_end", {"score": self.validation_scores_[-1]})
            run.logs["val_score"] = self.validation_scores_[-1]
        run.hooks.call("on_epoch_end", self.n_iter_ - 1, run.logs)
        optimizer.iteration_ends(self.t_)
        if run.model.stop_training:
            return True
        if self._no_improvement_count > self.n_iter_no_change:
            what = "Validation score" if self.early_stopping else "Training loss"
            message = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
            if optimizer.trigger_stopping(message, self.verbose):
                return True
            self._no_improvement_count = 0
        if incremental:
            return True
        if self.n_iter_ == self.max_iter:
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                          f"hasn't converged yet.", ConvergenceWarning, stacklevel=4)
        elif self.max_seconds is not None and time.perf_counter() - began >= self.max_seconds:
            warnings.warn(f"max_seconds={self.max_seconds} passed after {self.n_iter_} iterations and the optimization "
                          f"hasn't converged yet.", ConvergenceWarning, stacklevel=4)
            return True
        return False

    def _loss_and_gradient(self, data, team, point):
        """Loss and gradient of all rows at a point in the layout of params."""
        network, sums = self._attached.network, np.zeros(2)
        network.params[:] = point
        self._train(data, data.rows, data.count, team, sums)
        return self._loss_of(data, data.rows, data.count, sums, data.count), network.grads.astype(np.float64)

    def _fit_lbfgs(self, X, y, sample_weight, *rest):
        network = self._attach().network
        self._check_layers(rest[-1])
        if vars(self).get("_validation_data") is not None:
            raise ValueError("validation_data must be left out with solver='lbfgs', which has no epochs to score after. "
                             "Use solver='adam' or 'sgd', or score the fitted estimator.")
        for name, without in (("callbacks", not self.callbacks), ("learning_rate", not callable(self.learning_rate)), ("dropout", not network.random)):
            if not without:
                raise ValueError(f"{name} must be left at its default with solver='lbfgs', which has no epochs and searches its steps on one function; "
                                 f"got {getattr(self, name)!r}. Use solver='adam' or 'sgd'.")
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
                result = minimize(partial(self._loss_and_gradient, data, team), network.params.astype(np.float64), jac=True, method="L-BFGS-B",
                                  callback=None if self.max_seconds is None else end_iteration,
                                  options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol})
                self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)
                self.loss_, network.params[:] = result.fun, result.x
            except _lbfgs.Over:
                self.n_iter_, self.loss_ = iterations, self._loss_and_gradient(data, team, reached)[0]
                warnings.warn(f"max_seconds={self.max_seconds} passed after {self.n_iter_} iterations and the optimization "
                              f"hasn't converged yet.", ConvergenceWarning, stacklevel=2)

    def _loss_grad_lbfgs(self, packed_coef_inter, X, y, sample_weight, *rest):
        """scikit-learn's function: of all kernels, then all biases, in one vector."""
        network = self._attach().network
        self._configure(network)
        data, point = self._data(X, y, sample_weight), np.empty_like(network.params)
        parts = [part for views in self._attached.split(point) for part in views]
        for part, values in zip(parts, np.split(packed_coef_inter, np.cumsum([part.size for part in parts])[:-1])):
            part.flat = values
        with self._team(data.count) as team:
            loss, gradient = self._loss_and_gradient(data, team, point)
        return loss, np.concatenate([part.ravel() for views in self._attached.split(gradient) for part in views])

    def fit(self, X, y, sample_weight=None, validation_data=None):
        """Fits the network to X and y.

        Parameters
        ----------
        X : array or sparse matrix (n_samples, n_features)
            float32 is trained in float32, everything else in float64.
        y : array (n_samples,) or (n_samples, n_outputs)
            Class labels, an indicator matrix for several labels a row, or numbers.
        sample_weight : array (n_samples,), optional
        validation_data : (X, y) or (X, y, sample_weight), optional
            Scored after every epoch (`validation_scores_`); with `early_stopping` these rows decide, and none are split
            off X.  Refused with solver "lbfgs", which has no epochs.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For data that scikit-learn refuses, in its words, masked elements, a loss that does not fit y, targets that
            the loss does not have, and weights that are not finite after training.  What is refused before the first
            step leaves the estimator as it was.
        """
        with self._call(validation_data):
            return super().fit(X, y, sample_weight)

    # -- prediction -------------------------------------------------------------------------------

    def _outputs(self, X, check_input=True):
        """Activations of the last layer."""
        if check_input:
            _gate(X=X)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        attached = self._attach()
        x = _read(X, attached.network.sparse)
        out = np.empty((len(x), attached.network.shapes[-1][1]), attached.network.dtype)
        step = max(1, int(SLICE_WORK / attached.work))
        for first in range(0, len(out), step):
            def predict(start, stop, first=first):
                return attached.network.predict_rows(x, first + start, first + stop, out)

            for bad in _threads.over_rows(predict, min(step, len(out) - first), attached.work, self.n_threads):
                if bad >= 0:
                    raise _not_finite(X, bad, "X")
        return out

    def score(self, X, y, sample_weight=None):
        """Accuracy of a classifier, else R^2, or where the predictions have other columns than y minus the loss."""
        _gate(y=y, sample_weight=sample_weight)
        return super().score(X, y, sample_weight)

    def _forward_pass_fast(self, X, check_input=True):
        outputs, loss = self._outputs(X, check_input), self._own_loss(fitted=True)
        return outputs if loss is None else loss._shown(outputs)

    def _scored_by_loss(self, loss):
        """Whether R^2 can not compare predictions with y: they have other columns, as several quantiles do."""
        if is_classifier(self) or loss is None:
            return False
        return loss._shown(np.empty((0, len(self.intercepts_[-1])))).shape[1] != self.n_outputs_

    def _score(self, X, y, sample_weight=None):
        loss = self._own_loss(fitted=True)
        if self._scored_by_loss(loss):
            return _minus_loss(loss, y, self._predict(X, check_input=False), sample_weight)
        return super()._score(X, y, sample_weight)


def _minus_loss(loss, y, predicted, sample_weight):
    """Minus the weighted mean loss of the rows, a score: more is better; NaN for predictions that are not finite."""
    if not np.isfinite(predicted).all():
        return np.nan
    check.same_length(predicted, y, "X", "y")
    values = loss.per_sample(y, predicted)
    weights = np.ones(len(values)) if sample_weight is None else check.weights(sample_weight, len(values))
    return -float((values * weights).sum() / weights.sum()) if weights.any() else np.nan


PARAMETERS = """    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : {"identity", "logistic", "tanh", "relu"}, any of `nnfast.activations`, or a list of one per hidden layer, default "relu"
    solver : {"lbfgs", "sgd", "adam"}, default "adam"
    alpha : float, default 1e-4
        The loss of a batch has alpha |W|^2 / 2 / (rows, or sum of their weights) added; biases are left out.
    batch_size : int or "auto", default "auto": min(200, n_samples)
    learning_rate : {"constant", "invscaling", "adaptive"}, schedule or callable, default "constant"
        Of solver "sgd": `learning_rate_init`; that / (rows seen + 1)^power_t; or divided by 5 whenever training stalls.
        Of "sgd" and "adam": one of nnfast.schedules, or a function from the step (batches trained since the optimizer
        began, from 0) to the rate, in place of `learning_rate_init`.  `fit` begins anew, `partial_fit` goes on.
    learning_rate_init : float, default 1e-3
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs, or iterations of L-BFGS.
    shuffle : bool, default True
    random_state : int, RandomState or None
        Of the first weights, the split for early stopping and the shuffles: the same draws as scikit-learn's, which begin
        anew in every `fit` and `partial_fit` for an integer.  Of dropout, which goes on.
    tol : float, default 1e-4
    verbose : bool, default False
    warm_start : bool, default False
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Hold out `validation_fraction` of the rows, stop when their score has not risen by `tol` for `n_iter_no_change`
        epochs, and return to the best weights.  The score is that of `score`; NaN is no rise, and where no epoch had a
        finite score the last weights stay.
    validation_fraction : float, default 0.1
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        Of solver "adam".
    n_iter_no_change : int or inf, default 10
    max_fun : int, default 15000
        Calls of the function under L-BFGS.
{own}    dropout : float in [0, 1), or one for each hidden layer, default 0
        Share of the outputs of each hidden layer that is dropped in training, as `nnfast.layers.Dropout` does.
    callbacks : list of nnfast.callbacks, optional
        Of "sgd" and "adam", called by `fit`, not by `partial_fit`.  Logs hold "loss", and with `early_stopping` or
        `validation_data` "val_score", that of `score`.  Their `model` has `stop_training`, `get_weights`, `set_weights`,
        `optimizer.learning_rate` and the estimator as `estimator`.  What one raises ends the fit and is raised there; the
        estimator keeps the weights of the last step.
    n_threads : int, optional
        Most threads of a fit and of predictions; None as many as pay.  The results are the same bits for every number.
    max_seconds : float, optional
        Training ends with the epoch, or the iteration of L-BFGS, in which this time has passed, with a ConvergenceWarning.

    Notes
    -----
    After `set_params` without a fit, predictions follow `activation` at once, as in scikit-learn, and `loss` not before
    the next fit.  `partial_fit` and warm starts take over all parameters but those that would change the shapes of the
    weights or the output: these are refused.  Unlike scikit-learn, `partial_fit` follows a changed solver or learning
    rate, too: the state of the optimizer goes on if the solver is the same.

    Attributes
    ----------
    coefs_, intercepts_ : lists of arrays
        Kernels (n_in, n_out) and biases (n_out,) of each layer: views of one vector; writing to them changes the model.
    loss_ , best_loss_ : float
    loss_curve_ : list of float
        An entry an epoch, the penalty included.
    validation_scores_, best_validation_score_ : list of float, float
        With `early_stopping` or `validation_data`, else None.
    n_iter_, t_ : int
        Epochs and rows trained on.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_ : as scikit-learn's
"""
OF_CLASSIFIER = """    loss : "log_loss", or name, class or instance of nnfast.losses, default "log_loss"
        "log_loss" is the cross-entropy of the outputs, for several labels a row its sum over them.  A loss that does
        not fit y is refused, such as one of one-hot rows for two classes.  Weighted means of nnfast's losses divide by
        the sum of the weights, too, unless their `reduction` says otherwise.
    class_weight : dict from class to weight, or "balanced", optional
        Multiplied with `sample_weight`; "balanced" is rows / (classes present * rows of the class), of the rows that are
        trained on, each counted with its `sample_weight`.  `partial_fit` refuses it, for it sees one batch.
"""


class MLPClassifier(_NativeMLP, neural_network.MLPClassifier):
    __doc__ = f"""A multi-layer perceptron that classifies: scikit-learn's, trained natively.

    Two classes have one logistic output, several labels a row a logistic output each, more classes a softmax.

    Parameters
    ----------
{PARAMETERS.replace("{own}", OF_CLASSIFIER)}    classes_ : array (n_classes,)

    Examples
    --------
    >>> import nnfast
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> nnfast.MLPClassifier((16,), solver="lbfgs", random_state=1).fit(x, y).score(x, y) > 0.95
    True
    """

    _parameter_constraints = {
        **neural_network.MLPClassifier._parameter_constraints,
        "activation": [StrOptions({*NAMES, *core.ACTIVATIONS} - {"exp"}), list, tuple],
        "loss": [StrOptions({"log_loss", *losses.NAMES}), losses.Loss, callable],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "learning_rate": [*neural_network.MLPClassifier._parameter_constraints["learning_rate"], callable],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "callbacks": [list, tuple, hooked.Callback, None],
        "n_threads": [Interval(Integral, 1, _threads.MOST, closed="both"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
                 learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True, random_state=None,
                 tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
                 validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10, max_fun=15000,
                 loss="log_loss", class_weight=None, dropout=0.0, callbacks=None, n_threads=None, max_seconds=None):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes, activation=activation, solver=solver, alpha=alpha, batch_size=batch_size,
            learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t, max_iter=max_iter, shuffle=shuffle,
            random_state=random_state, tol=tol, verbose=verbose, warm_start=warm_start, momentum=momentum,
            nesterovs_momentum=nesterovs_momentum, early_stopping=early_stopping, validation_fraction=validation_fraction,
            beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, n_iter_no_change=n_iter_no_change, max_fun=max_fun)
        self.loss = loss
        self.class_weight = class_weight
        self.dropout = dropout
        self.callbacks = callbacks
        self.n_threads = n_threads
        self.max_seconds = max_seconds

    @available_if(lambda self: self._check_solver())
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """One epoch over the given data; `classes` names all classes in the first call.

        Raises
        ------
        ValueError
            For what `fit` refuses, for early_stopping=True and for class_weight="balanced".
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' must not be used with partial_fit, which sees one "
                             "batch. Give a dict, for instance with the weights of sklearn.utils.compute_class_weight("
                             "'balanced', classes=classes, y=y) for a large y.")
        with self._call():
            return super().partial_fit(X, y, sample_weight, classes)


class MLPRegressor(_NativeMLP, neural_network.MLPRegressor):
    __doc__ = f"""A multi-layer perceptron for numbers: scikit-learn's, trained natively.

    Parameters
    ----------
    loss : {{"squared_error", "poisson"}}, or name, class or instance of nnfast.losses, default "squared_error"
        "squared_error" is half the squared error: its mean over outputs is reported, the gradient is that of the sum, as in
        scikit-learn.  "poisson" is half the deviance; it, `Poisson`, `Gamma`, `Tweedie` and
        `MeanSquaredLogarithmicError` have an exponential output.  Losses of classes are refused.  `GaussianNLL` predicts
        the means, `Quantile([...])` a column for each of its quantiles, which `score`, early stopping and
        `validation_data` judge by minus the loss, as R^2 can not compare them with one y.  Weighted means of nnfast's
        losses divide by the sum of the weights, too, unless their `reduction` says otherwise.
{PARAMETERS.replace("{own}", "")}
    Examples
    --------
    >>> import nnfast
    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> nnfast.MLPRegressor(solver="lbfgs", alpha=10, random_state=1).fit(x, y).score(x, y) > 0.4
    True
    """

    _parameter_constraints = {
        **neural_network.MLPRegressor._parameter_constraints,
        **{name: MLPClassifier._parameter_constraints[name]
           for name in ("activation", "learning_rate", "dropout", "callbacks", "n_threads", "max_seconds")},
        "loss": [StrOptions({"squared_error", "poisson", *losses.NAMES}), losses.Loss, callable],
    }

    def __init__(self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
                 batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True,
                 random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True,
                 early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
                 max_fun=15000, dropout=0.0, callbacks=None, n_threads=None, max_seconds=None):
        super().__init__(
            loss=loss, hidden_layer_sizes=hidden_layer_sizes, activation=activation, solver=solver, alpha=alpha, batch_size=batch_size,
            learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t, max_iter=max_iter, shuffle=shuffle,
            random_state=random_state, tol=tol, verbose=verbose, warm_start=warm_start, momentum=momentum,
            nesterovs_momentum=nesterovs_momentum, early_stopping=early_stopping, validation_fraction=validation_fraction,
            beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, n_iter_no_change=n_iter_no_change, max_fun=max_fun)
        self.dropout = dropout
        self.callbacks = callbacks
        self.n_threads = n_threads
        self.max_seconds = max_seconds

    def _validate_params(self):
        if isinstance(self.loss, (Integral, list, np.ndarray)) or type(self.loss) is tuple:
            raise InvalidParameterError(
                f"The 'loss' parameter of MLPRegressor must be the name, class or instance of a loss; got "
                f"{self.loss!r}. loss comes first, as in scikit-learn: give sizes of layers as hidden_layer_sizes={self.loss!r}.")
        super()._validate_params()

    @available_if(lambda self: self._check_solver())
    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over the given data.

        Raises
        ------
        ValueError
            For what `fit` refuses, and for early_stopping=True.
        """
        with self._call():
            return super().partial_fit(X, y, sample_weight)

    def score(self, X, y, sample_weight=None):
        """R^2; for several quantiles of one target minus the weighted mean of the loss.  More is better.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        float
        """
        check_is_fitted(self)
        loss = self._own_loss(fitted=True)
        if self._scored_by_loss(loss):
            return _minus_loss(loss, y, self.predict(X), sample_weight)
        return super().score(X, y, sample_weight)


class Ensemble(_Versioned, MetaEstimatorMixin, BaseEstimator):
    """Members that differ by their seeds, or by the rows they are trained on, and predict together.

    They are trained at the same time, one thread for each (`nnfast.fit_many`), and read X and y where they lie.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Each member is a clone of it with a seed of its own.
    n_members : int, default 10
    bagging : bool, default False
        Train each member on as many rows as there are, drawn with replacement (Breiman 1996), of each class as many as it
        has.
    random_state : int, RandomState or None
        Of the seeds and of the rows drawn.
    n_jobs : int, optional
        Members in training at a time, by default as many as the process has CPUs.  The results are the same bits for
        every number.

    Attributes
    ----------
    members_ : list of fitted estimators
    classes_, n_outputs_, n_features_in_, feature_names_in_ : as those of the members

    Examples
    --------
    >>> import nnfast
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> ensemble = nnfast.Ensemble(nnfast.MLPClassifier((16,), solver="lbfgs"), 5, random_state=0).fit(x, y)
    >>> ensemble.predict_proba(x).shape, ensemble.predict_std(x).shape, ensemble.score(x, y) > 0.95
    ((150, 3), (150, 3), True)
    """

    def __init__(self, model, n_members=10, *, bagging=False, random_state=None, n_jobs=None):
        self.model = model
        self.n_members = n_members
        self.bagging = bagging
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None):
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
            What the fit of the first member that failed raised.
        """
        if not isinstance(self.model, _NativeMLP):
            raise TypeError(f"model must be an MLPClassifier or MLPRegressor of nnfast, which scikit-learn can clone with other seeds; "
                            f"got {self.model!r}. Train several Sequential by nnfast.fit_many, and take the mean of what they predict.")
        rng = check_random_state(self.random_state)
        members = [clone(self.model).set_params(random_state=int(rng.randint(2**31 - 1)))
                   for _ in range(check.size(self.n_members, "n_members"))]
        shared = members[0]._share(X, y, sample_weight)
        folds = [_drawn(rng, shared.y, is_classifier(self)) for _ in members] if self.bagging else None
        try:
            many.fit_many(members, shared, shared.y, folds=folds, n_jobs=self.n_jobs, verbose=0)
        except many.FitErrors as error:
            raise next(iter(error.errors.values())) from None
        self.members_ = members
        for name in ("classes_", "n_outputs_", "n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
            if hasattr(members[0], name):
                setattr(self, name, getattr(members[0], name))
        return self

    def _of_members(self, X):
        """Outputs of the members, (n_members, n, outputs)."""
        check_is_fitted(self)
        _gate(X=X)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return np.stack([member._forward_pass_fast(X, check_input=False) for member in self.members_])

    def _probabilities(self, X):
        """Of the members, a column for each class even if there are two."""
        outputs = self._of_members(X)
        return np.concatenate([1 - outputs, outputs], axis=2) if outputs.shape[2] == 1 else outputs

    def predict(self, X):
        """The mean of the members' predictions (n,) or (n, outputs), or the classes of the mean of their probabilities."""
        mean = self._of_members(X).mean(axis=0)
        mean = mean[:, 0] if mean.shape[1] == 1 else mean
        return self.members_[0]._label_binarizer.inverse_transform(mean) if is_classifier(self) else mean

    @available_if(lambda self: is_classifier(self.model))
    def predict_proba(self, X):
        """The mean of the members' probabilities (n, classes)."""
        return self._probabilities(X).mean(axis=0)

    def predict_std(self, X):
        """The standard deviation over members of their predictions, of a classifier of their probabilities (n, classes)."""
        if is_classifier(self):
            return self._probabilities(X).std(axis=0)
        deviation = self._of_members(X).std(axis=0)
        return deviation[:, 0] if deviation.shape[1] == 1 else deviation

    def score(self, X, y, sample_weight=None):
        """Accuracy of a classifier, else R^2, or for several quantiles of one target minus the loss, as of members."""
        _gate(y=y, sample_weight=sample_weight)
        predicted, member = self.predict(X), self.members_[0]
        loss = member._own_loss(fitted=True)
        if member._scored_by_loss(loss):
            return _minus_loss(loss, y, predicted, sample_weight)
        return (accuracy_score if is_classifier(self) else r2_score)(y, predicted, sample_weight=sample_weight)

    def __sklearn_tags__(self):
        tags, of_model = super().__sklearn_tags__(), get_tags(self.model)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(of_model, name))
        return tags


def _drawn(rng, y, by_class):
    """Numbers of rows drawn with replacement, within each class."""
    count = y.shape[0]
    if not by_class or (y.ndim == 2 and y.shape[1] > 1):
        return rng.randint(count, size=count)
    _, places = np.unique(y, return_inverse=True)
    order = np.argsort(places.ravel(), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(places.ravel()))[:-1])
    return np.concatenate([rng.choice(group, len(group)) for group in groups])
