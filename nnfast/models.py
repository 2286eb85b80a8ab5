"""Sequential: a network with Keras' names, trained natively.

Names, shapes and defaults are here; `_training_data.py` checks and holds the data of a call,
`_tally.py` adds up metrics, and the arithmetic is in `_core`.

    fit            checks the data once, builds the Network once
      per epoch    a new order of the rows                  depends on the seed alone
        ranges     network.train_batches(...)               about 0.1 s each, without the GIL
        validation network.evaluate_rows(...)
        callbacks, History
"""
from __future__ import annotations

import contextlib
import copy
import math
import re
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np

from nnfast import _console, _lbfgs, _model_file, _threads, _validation as check, layers, losses, metrics, optimizers
from nnfast._claims import Claims
from nnfast._core import network as core
from nnfast._ranges import train_in_ranges
from nnfast._tally import Tally
from nnfast._training_data import TrainingData
from nnfast.callbacks import CallbackList, History, TerminateOnNaN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from nnfast.callbacks import Callback
    from nnfast.layers import Layer
    from nnfast.losses import _ClassWeight, _LossLike
    from nnfast.metrics import Metric, _MetricLike
    from nnfast.optimizers import _AnyOptimizer, _OptimizerLike

    _Metrics: TypeAlias = _MetricLike | Sequence[_MetricLike] | None
    _Callbacks: TypeAlias = Callback | Sequence[Callback] | None
    _ValidationData: TypeAlias = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike] | None
    _Verbose: TypeAlias = Literal["auto", 0, 1, 2]

__all__ = ["Sequential"]

TRIED_ROWS = 8                  # rows on which the user's losses and metrics are tried before the first step
EVALUATE_ROWS = 65536           # rows whose losses are in memory at once
NOTHING_TO_UNDO = contextlib.nullcontext()      # a step of train_on_batch enters it: a generator costs 1 us more
NOT_COPIED = ("_network", "_claims", "_pace", "_layout", "_tally", "_owners")       # a copy makes its own
BEFORE_FLATTEN = (layers.Input, layers.Flatten, layers.Rescaling, layers.Dropout, layers.GaussianNoise)


class Sequential:
    """A stack of dense layers, trained natively.

    Parameters
    ----------
    layers : list of layers, optional
        A model that begins with `Input` is built when its weights are first needed, others by
        `build` or the first `fit`.
    dtype : {"float32", "float64"}
        dtype of the weights and of all arithmetic.  Sums of losses are always float64.
    seed : int or NumPy generator, optional
        Seed of the initial weights, of shuffling and of random layers.  With a seed every run gives
        the same bits, for every number of threads.  From a generator a seed is drawn, so that
        models never share one.

    Attributes
    ----------
    layers : list of layers
    dtype : dtype
    optimizer : optimizer or None
        None before `compile`.
    history : History or None
        The record of the last fit.
    epoch : int
        Number of the next epoch: `fit(initial_epoch=model.epoch)` continues.  0 before the first
        fit.
    stop_training : bool
        A callback that sets it to True ends the fit.
    log_names : tuple of str
        Names of the values that the last fit puts into the logs of an epoch.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> from nnfast.layers import Dense
    >>> x = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
    >>> model = nnfast.Sequential([Dense(16, activation="tanh"), Dense(1)], seed=0)
    >>> model.compile(optimizer=nnfast.optimizers.Adam(0.01), loss="mse")
    >>> history = model.fit(x, x**2, epochs=200, verbose=0)
    >>> history.history["loss"][-1] < 0.01
    True
    """

    def __init__(self, layers: Iterable[Layer] | None = None, dtype: DTypeLike = "float32", seed: Any = None) -> None:
        self.dtype = check.dtype(dtype)
        self.layers: list[Layer] = []
        self.optimizer: _AnyOptimizer | None = None
        self.history: History | None = None
        self.epoch = 0
        self.stop_training = False
        self.log_names: tuple[str, ...] = ()
        self._rng = check.generator(seed)
        self._loss: Any = None
        self._loss_name: str | None = None      # the name that compile got, if it got one
        self._metrics: list[tuple[str, Metric, bool]] = []      # name, metric, whether it is weighted
        self._advised = False       # whether loss, metrics and layers were compared, for warnings
        self._tally: Any = None
        self._tried = False         # whether loss and metrics have seen data since compile
        self._network: Any = None
        self._n_inputs: Any = None
        self._units: Any = None
        self._flatten = False
        self._pace = _threads.Pace()
        self._claims = Claims()
        if layers is not None and not hasattr(layers, "__iter__"):
            raise TypeError(f"layers must be a list of layers; got {layers!r:.80}. Give them in brackets: "
                            f"Sequential([first, second]).")
        for layer in layers if layers is not None else []:
            self.add(layer)

    # -- building ----------------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Adds a layer at the end.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential()
        >>> model.add(nnfast.Input(4))
        >>> model.add(nnfast.Dense(3, activation="softmax"))
        >>> model.count_params()
        15
        """
        if not isinstance(layer, layers.Layer):
            raise TypeError(f"a layer must be one of nnfast.layers ({', '.join(layers.__all__)}), got {layer!r}.")
        if self._network is not None:
            raise ValueError("the model is built: layers must be added before build, fit or the first use. "
                             "Make a new Sequential.")
        if isinstance(layer, layers.Input) and self.layers:
            raise ValueError("Input must be the first layer.")
        if isinstance(layer, layers.Flatten) and not all(isinstance(other, BEFORE_FLATTEN) for other in self.layers):
            raise ValueError("Flatten must stand before layers that work on columns, such as Dense: their output "
                             "is flat.")
        if layer._first_weights() and any(layer is other for other in self.layers):
            raise ValueError(f"a layer with weights can stand in a model only once; got the same object twice: "
                             f"{layer!r}. Make a new layer, for instance with copy.copy(layer).")
        self._check_unused(layer)
        self.layers.append(layer)
        self._advised = False

    def _check_unused(self, layer):
        """Raises a ValueError for a layer whose weights are in another model."""
        if layer._model is not None and layer._model() is not self and layer._first_weights():
            raise ValueError(f"a layer with weights belongs to one model, which holds the weights; {layer!r} belongs "
                             f"to another model. Make a new layer, for instance with copy.copy(layer), and copy the "
                             f"weights with get_weights and set_weights.")

    @property
    def built(self) -> bool:
        """Whether the weights exist.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input(4), nnfast.Dense(3)]).built
        True
        >>> nnfast.Sequential([nnfast.Dense(3)]).built
        False
        """
        self._build_from_input()
        return self._network is not None

    def build(self, input_shape: int | Sequence[int | None]) -> None:
        """Makes the weights.

        Parameters
        ----------
        input_shape : tuple
            Shape of x with None for the rows, as in Keras: (None, 784), (None, 28, 28).

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Flatten(), nnfast.Dense(3)])
        >>> model.build((None, 28, 28))
        >>> model.get_weights()[0].shape
        (784, 3)
        """
        shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else (None, input_shape)
        if len(shape) > 1 and shape[0] is None:
            shape = shape[1:]
        shape = tuple(check.size(n, "each entry of input_shape after the rows") for n in shape)
        with self._claims.take("build"):
            self._build(shape)

    def _unbuilt_on_error(self):
        """Undoes a build if what follows fails: wrong data must not decide the shape of a model."""
        return NOTHING_TO_UNDO if self._network is not None else self._undone_on_error()

    @contextlib.contextmanager
    def _undone_on_error(self):
        rng, owners = copy.deepcopy(self._rng), [layer._model for layer in self.layers]
        try:
            yield
        except BaseException:
            self._network, self._rng = None, rng
            for layer, owner in zip(self.layers, owners):
                layer._set(_model=owner)
            raise

    def _build_from_input(self):
        if self._network is None and self.layers and isinstance(self.layers[0], layers.Input) and len(self.layers) > 1:
            self._build(self.layers[0].shape)

    def _build(self, shape, initialize=True):
        """Makes the network for rows of this shape, with initial weights or zeros."""
        if self._network is not None:
            if int(np.prod(shape)) != self._n_inputs:
                raise ValueError(f"the model is built for {self._n_inputs} inputs, got shape {shape}. "
                                 f"Make a new Sequential.")
            return
        declared = self.layers[0].shape if self.layers and isinstance(self.layers[0], layers.Input) else shape
        if declared != shape and int(np.prod(declared)) != int(np.prod(shape)):
            raise ValueError(f"x must have rows of shape {declared}, the shape of Input; got {shape}.")
        flatten = any(isinstance(layer, layers.Flatten) for layer in self.layers)
        if len(shape) != 1 and not flatten:
            raise ValueError(f"rows of x must be 1-D, got shape {shape}. Add nnfast.layers.Flatten() as first layer.")
        n_inputs = 1
        for entry in shape:
            n_inputs = check.size(n_inputs * entry, "the width of x")
        plan, owners = [], []       # entries of the network, and the layer that each is made from
        width, last_activation = n_inputs, None
        for layer in self.layers:
            self._check_unused(layer)
            entry = layer._plan_entry()
            if entry is None:
                continue
            if isinstance(layer, layers.Activation) and plan and isinstance(owners[-1], layers.Dense) \
                    and last_activation == "linear" and owners[-1].activity_regularizer is None:
                plan[-1] = (plan[-1][0], entry[1], plan[-1][2])
            else:
                plan.append(entry)
                owners.append(layer)
            last_activation = layer._activation
            check.size(64 * sum(map(math.prod, layer._shapes(width))), "the size of a layer", 0)
            width = layer._width(width)
        if not plan:
            raise ValueError("the model must have at least one layer that computes something, such as Dense; add one.")
        network = core.Network(n_inputs, plan, self.dtype.name)
        for layer, arrays, states in zip(owners, network.arrays, network.states):
            for (start, shape_), initializer in zip(arrays, layer._first_weights().values() if initialize else []):
                values = np.asarray(initializer(shape_, self._rng))
                if values.shape != shape_ or not np.isfinite(values).all():
                    raise ValueError(f"{initializer!r} must return finite numbers of shape {shape_}; "
                                     f"got shape {values.shape}.")
                network.params[start:start + values.size] = values.ravel()
            for (start, (n,)), values in zip(states, layer._first_state(states[0][1][0] if states else 0)):
                network.state[start:start + n] = values
        if any(any(layer._penalties) for layer in owners):
            network.set_penalties([layer._penalties for layer in owners], False)
        network.set_constraints([layer._constraints for layer in owners])
        network.set_multipliers([layer._multiplier for layer in owners])
        if any(owners[-1]._penalties[4:]):
            last_activation = None      # the penalty needs the outputs: the loss must not work on the logits
        if self._loss is not None:
            self._configure(network, self.optimizer, self._loss, self._metrics, width, last_activation)
        self._n_inputs, self._units, self._flatten, self._last_activation = n_inputs, width, flatten, last_activation
        self._work = 2.0 * sum(n_in * n_out for n_in, n_out, _, _ in network.shapes)     # of a forward pass, per row
        self._owners, self._network = owners, network
        for layer in self.layers:
            layer._set(_model=weakref.ref(self))
        if self._loss is not None and not self._advised:
            self._advise()

    # -- compiling ---------------------------------------------------------------------------------

    def compile(self, optimizer: _OptimizerLike = "adam", loss: _LossLike | None = None, metrics: _Metrics = None,
                weighted_metrics: _Metrics = None) -> None:
        """Sets optimizer, loss and metrics; the state of a previous optimizer is dropped.

        Parameters
        ----------
        optimizer : str or optimizer
            "adam" by default (Keras: "rmsprop").  An optimizer object belongs to the first model
            that is compiled with it, since a fit may change its learning rate.
        loss : str, loss, or your own loss (see `losses.Custom`)
        metrics : str, metric, function (y_true, y_pred), or list of them, optional
            "accuracy" of one output, and metrics that count positives such as "auc", need labels 0
            and 1; other labels give a warning or an error at the first use.  A function is called
            once per epoch or evaluation, with all rows: see `metrics.MeanMetricWrapper`.
        weighted_metrics : the same, optional
            Each row counts with its `sample_weight` and `class_weight`.

        Raises
        ------
        ValueError
            For an unknown name, a metric that does not fit the loss, a missing loss, or the
            optimizer of another model.  The model stays as it was.

        Warns
        -----
        UserWarning
            If the last layer cannot give what the loss needs, for example probabilities from a
            linear layer for a cross-entropy without from_logits, or if a metric of probabilities
            would get logits.  "accuracy" of one logit compares it with 0.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(3, activation="softmax")])
        >>> optimizer = nnfast.optimizers.Adam(1e-2, weight_decay=1e-4)
        >>> model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["acc"])
        >>> model.optimizer.learning_rate
        0.01
        """
        if loss is None:
            raise ValueError("loss must be given: a name such as 'mse', or one of nnfast.losses.")
        name = loss if isinstance(loss, str) else None
        optimizer, loss, chosen = optimizers.get(optimizer), losses.get(loss), _metrics(metrics, weighted_metrics)
        if optimizer._model is not None and optimizer._model() is not self:
            raise ValueError(f"an optimizer belongs to one model, since a fit may change its learning rate; "
                             f"{optimizer!r} belongs to another model. Give each model its own, for instance "
                             f"copy.copy(optimizer).")
        with self._claims.take("compile"):
            self._build_from_input()
            if self._network is not None:
                self._configure(self._network, optimizer, loss, chosen, self._units, self._last_activation)
            self._own(optimizer)
            self.optimizer, self._loss, self._metrics, self._loss_name = optimizer, loss, chosen, name
            if self.layers:
                self._advise()

    def _own(self, optimizer):
        """Notes on the optimizer that it belongs to this model."""
        object.__setattr__(optimizer, "_model", weakref.ref(self))

    def _advise(self):
        """Warns if the loss or a metric does not fit the outputs of the last layer."""
        self._advised = True
        units, low, high, last = None, -math.inf, math.inf, None
        for layer in self.layers:
            units = math.prod(layer.shape) if isinstance(layer, layers.Input) else layer._width(units)
            low, high = layer._range(low, high)
            last = layer._activation if layer._plan_entry() is not None else last
        loss = self._loss
        fused = last is not None and last == loss._matching_activation and not loss._whole \
            and not any(self.layers[-1]._penalties[4:])
        advice = [loss._advice(units, low, high, last, fused)]
        if loss._shows_logits(fused):
            advice += [f"metric {name!r} reads probabilities; with {loss!r} it gets logits. End the model with "
                       f"activation={loss._probabilities!r} and leave from_logits out: training still works on the "
                       f"logits."
                       for name, metric, _ in self._metrics if metric._reads_probabilities()]
        for message in filter(None, advice):
            warnings.warn(message, stacklevel=3)

    def _configure(self, network, optimizer, loss, chosen, units, last_activation):
        """Sets loss, metrics and optimizer of a network; the state of the optimizer starts anew."""
        # calls that can fail come first
        kernel, fused, function = loss._for_network(last_activation, units, self.dtype)
        tally = Tally(loss, chosen, units, network.penalizes, loss._shows_logits(fused))
        kind, settings = optimizer._kernel_and_settings()
        settings = [float(value) for value in settings]
        network.set_loss(kernel, fused, tally.natives, core.REDUCTIONS[loss.reduction], function, loss._whole,
                         *loss._bounds(self.dtype))
        network.set_optimizer(*core.OPTIMIZERS[kind], settings, start=optimizer._start(), **optimizer._common())
        self._layout, self._tally, self._tried = optimizer._layout(), tally, False

    # -- properties --------------------------------------------------------------------------------

    @property
    def loss(self) -> _LossLike | None:
        """The loss as `compile` got it: a name or an object, as in Keras.  None before `compile`.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> model.loss
        'mse'
        """
        return self._loss if self._loss_name is None else self._loss_name

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of x with None for the rows, as in Keras; None before the model is built.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Input((28, 28)), nnfast.Flatten(), nnfast.Dense(10)])
        >>> model.input_shape
        (None, 28, 28)
        """
        return (None, *layers.shape_of_rows(self.layers, self._n_inputs)) if self.built else None

    @property
    def output_shape(self) -> tuple[int | None, ...] | None:
        """Shape of the outputs with None for the rows, as in Keras; None before the model is built.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input(4), nnfast.Dense(10)]).output_shape
        (None, 10)
        """
        return (None, self._units) if self.built else None

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that `compile` got, in the order of `metrics_names` after "loss".

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1)])
        >>> model.compile("adam", "mse", metrics=["mae"])
        >>> model.metrics
        [MeanAbsoluteError(name='mae')]
        """
        return [metric for _, metric, _ in self._metrics]

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values of `evaluate`: "loss", then the metrics; empty before `compile`.

        Keras 3 has one name, "compile_metrics", for all metrics.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(3, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
        >>> model.metrics_names
        ['loss', 'acc']
        """
        return ["loss", *(name for name, _, _ in self._metrics)] if self._loss is not None else []

    # -- data --------------------------------------------------------------------------------------

    def _training_data(self, x, y, sample_weight=None, of=""):
        """The data, checked; builds the model for x if it is not built."""
        x = check.table(x, f"x{of}")        # a frame becomes an array once
        self._ready(x)
        return TrainingData(self._loss, self._n_inputs, self._units, self._flatten, x, y, sample_weight, of)

    def _data(self, x, y, sample_weight=None, class_weight=None):
        """The data, checked; a build for x is undone if the data do not fit."""
        with self._unbuilt_on_error():
            data = self._training_data(x, y, sample_weight)
            if class_weight is not None:
                data.weigh_classes(class_weight, slice(None))
            self._try_out(data, slice(len(data)))
            return data

    def _data_of_fit(self, x, y, sample_weight, class_weight, chosen, split, validation_data):
        """The data of a fit, checked.

        Balanced class weights are computed from the rows to train on, without validation rows.

        Returns
        -------
        data : TrainingData
        chosen : int64 array or None
            The numbers of the rows to train on, if `fit` got them; else these are the first rows.
        count : int
            Number of rows to train on.
        validation : TrainingData or None
        """
        with self._unbuilt_on_error():
            data = self._training_data(x, y, sample_weight)
            chosen = None if chosen is None else check.rows(chosen, len(data))
            if chosen is not None and split:
                raise ValueError("validation_split must be 0 with rows: give the other rows as validation_data.")
            validation = self._validation(data, split, validation_data)
            count = len(data) if chosen is None else len(chosen)
            if split and validation_data is None:
                count -= len(validation)
            if class_weight is not None:
                data.weigh_classes(class_weight, slice(count) if chosen is None else chosen)
            self._try_out(data, slice(count) if chosen is None else chosen)
            if validation is not None:
                self._tally.warn_of_lacks(validation)
            return data, chosen, count, validation

    def _try_out(self, data, rows):
        """Tries the user's own loss and metrics once on a few rows, before anything is trained."""
        if self._tried:
            return
        few = slice(min(rows.stop, TRIED_ROWS)) if isinstance(rows, slice) else rows[:TRIED_ROWS]
        y, outputs = np.asarray(data.y[few], self.dtype), self._outputs(data, few)
        if outputs is None or not (np.isfinite(y).all() and np.isfinite(outputs).all()):
            return
        if self._loss._needs_check:
            self._loss._called(y, outputs)
        try:
            self._tally.try_out(data, few, outputs)
        except Exception:       # a function may need more rows, for example rows of two classes
            outputs = self._outputs(data, rows) if self._tally.at_once else None
            if outputs is None:
                raise
            self._tally.try_out(data, rows, outputs)
        self._tried = True

    def _outputs(self, data, rows):
        """The outputs for rows of the data, or None where x is not finite."""
        x = data.x[rows]
        outputs = np.empty((len(x), self._units), self.dtype)
        return outputs if self._network.predict_rows(check.opened(x), 0, len(x), outputs) < 0 else None

    def _ready(self, x):
        """Builds the model for x if it is not built."""
        if self._loss is None:
            raise RuntimeError("the model must be compiled first: model.compile(optimizer, loss, metrics).")
        if self._network is None:
            self._build_from_input()
        if self._network is None:
            x = check.at_least_2d(check.numeric(x, "x"), "x")
            self._build(tuple(check.size(n, "each axis of x after the rows") for n in x.shape[1:]))

    # -- training ----------------------------------------------------------------------------------

    def fit(self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None, epochs: int = 1,
            verbose: _Verbose = "auto", validation_split: float = 0.0, validation_data: _ValidationData = None,
            shuffle: bool = True, class_weight: _ClassWeight | None = None, sample_weight: ArrayLike | None = None,
            initial_epoch: int = 0, n_threads: int | None = None,
            nonfinite: Literal["raise", "stop", "ignore"] = "raise", callbacks: _Callbacks = None,
            max_seconds: float | None = None, rows: ArrayLike | None = None) -> History:
        """Trains for a number of epochs; a second call continues where the first ended.

        Parameters
        ----------
        x : array (n, columns), or (n, ...) before a Flatten layer
            An array, a tensor, nested lists, or a frame of numbers and booleans (pandas, polars,
            Arrow; missing values are NaN).  Any real dtype.  Two-dimensional integers, float32 and
            float64 are read in place, with any strides, without a copy; so are C-contiguous images
            before a Flatten layer.
        y : array (n,) of integer labels for a sparse loss, else (n, outputs)
        batch_size : int, optional
            32 by default; the last batch may be smaller.
        epochs : int
            Number of epochs, including the `initial_epoch` earlier ones, as in Keras.
        verbose : {"auto", 0, 1, 2}
            0 is silent, 1 shows a bar and a line per epoch, 2 a line per epoch; "auto" is 1 on a
            terminal, else 2.
        validation_split : float in [0, 1)
            Fraction of the rows, taken from the end, that is not trained on but evaluated after
            every epoch.
        validation_data : (x, y) or (x, y, sample_weight), optional
            Data to evaluate after every epoch.  A warning names metrics that these rows cannot
            give, such as the R2 score of one row or the area under a curve of one class.
        shuffle : bool
            Whether every epoch has a new order of rows.
        class_weight : dict or "balanced", optional
            A weight for each class, 1 for classes not in the dict.  "balanced" is rows / (classes
            present * rows of the class), over the rows trained on, each counted with its
            `sample_weight`, as in scikit-learn.  Both weights are multiplied (Keras refuses this).
            y must name classes: labels, 0 and 1 of one output, or rows that are one-hot or sum to 1
            (Keras takes the largest column of any y).
        sample_weight : array (n,), optional
            The loss of a batch is sum(weight * loss) / rows, as in Keras, unless the loss has
            another `reduction`.
        initial_epoch : int
            Number of the first epoch, counted from 0.
        n_threads : int, optional
            Number of threads; fewer are used when a step has too little work.  By default as many
            as make this network faster on this machine now, at most its CPUs and
            NNFAST_NUM_THREADS.  The results are the same bits for every number.
        nonfinite : {"raise", "stop", "ignore"}
            What happens when a loss or gradient is not finite: FloatingPointError, the end of the
            fit with a warning, or nothing.  The first two restore the weights of up to 0.1 s
            earlier; how many batches that is depends on the machine.
        callbacks : list of nnfast.callbacks, optional
            Called in order between native calls.  An exception in a callback ends the fit and is
            raised to the caller.
        max_seconds : float, optional
            The fit ends within 0.1 s after this time, also within an epoch, and then evaluates the
            validation data.  How far it gets depends on the machine.
        rows : array of int, optional
            Trains only on these rows of x and y, which are read in place.  A row may occur more
            than once.

        Returns
        -------
        History
            `.history` is a dict of lists with an entry per epoch; also kept as `model.history`.

            "loss" is the mean over the batches, weighted by their rows, as in Keras.  "val_loss" is
            the mean over all rows, weighted as the `reduction` says, whatever the batches.  For
            losses that are no mean over rows (reduction="sum", `Dice()`) it is the mean over
            batches of `batch_size` rows, with `LBFGS` the loss of one batch of all rows.  Metrics
            cover all rows of the epoch, each measured before the step on its batch.

        Raises
        ------
        TypeError
            For data that are no array, frame or nested list.
        ValueError
            For data that do not fit.  NaN or infinity in x or y, or a target that the loss does not
            allow, such as 255 for a binary cross-entropy, is found when its batch comes; that batch
            then changes nothing.
        FloatingPointError
            With nonfinite="raise".
        RuntimeError
            If the model is not compiled, or another thread trains it.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="ones")], dtype="float64")
        >>> model.compile(nnfast.optimizers.SGD(0.1), "mse", metrics="mae")
        >>> x, y = np.array([[1.], [3.]]), np.array([2., 5.])
        >>> history = model.fit(x, y, epochs=200, verbose=0)
        >>> list(history.history), history.history["loss"][0]
        (['loss', 'mae'], 2.5)
        >>> model.predict(x).round(2).ravel()
        array([2., 5.])
        """
        with self._claims.take("fit"):
            epochs = check.size(epochs, "epochs", 0)
            initial_epoch = check.size(initial_epoch, "initial_epoch", 0)
            given_batch_size = batch_size is not None
            batch_size = check.size(batch_size, "batch_size") if given_batch_size else 32
            if nonfinite not in ("raise", "stop", "ignore"):
                raise check.unknown("nonfinite", nonfinite, ["raise", "stop", "ignore"])
            if max_seconds is not None:
                max_seconds = check.positive(max_seconds, "max_seconds")
            begun = time.perf_counter()
            full = isinstance(self.optimizer, optimizers.LBFGS)
            if full and given_batch_size:
                raise ValueError("LBFGS takes all rows in every step: leave batch_size out.")
            data, chosen, count, validation = self._data_of_fit(x, y, sample_weight, class_weight, rows,
                                                                validation_split, validation_data)
            batch_size = count if full else min(batch_size, count)
            n_batches = -(-count // batch_size)
            self.stop_training = False
            params = {"epochs": epochs, "initial_epoch": initial_epoch, "steps": n_batches, "verbose": verbose}
            hooks = CallbackList(callbacks, self, params, self._claims.opened)
            names = self.metrics_names
            self.log_names = (*names, *(f"val_{name}" for name in names if validation is not None))
            run = _Fit(self, hooks, _console.Reporter(verbose, epochs, n_batches), validation, batch_size, n_threads,
                       _nonfinite(nonfinite, hooks), None if max_seconds is None else begun + max_seconds)
            self.history = run.history
            team = _threads.Team(self._network, n_threads, 3 * self._work * batch_size, self._pace)
            with team, run.reporter:
                hooks.call("on_train_begin", {})
                if full:
                    self._fit_lbfgs(data, data.batches(count, count, chosen), range(initial_epoch, epochs), team, run)
                else:
                    given = np.arange(count, dtype=np.int64) if chosen is None and shuffle else chosen
                    order = given.copy() if shuffle else given
                    batches = data.batches(batch_size, count, order)
                    for epoch in range(initial_epoch, epochs):
                        run.begin_epoch(epoch)
                        if shuffle:     # the given order, not the last epoch's: a loaded model knows only the seed
                            np.copyto(order, given)
                            core.shuffle(order, int(self._rng.integers(2**63)))
                        logs = self._epoch(data, batches, team, epoch, run)
                        if logs:
                            run.end_epoch(epoch, logs)
                        if not logs or run.over():
                            break
                if self._network.average is not None and self._network.steps:
                    self._network.params[:] = self._network.average
                hooks.call("on_train_end", run.logs)
            return run.history

    def _draw_seed(self):
        """A seed for the random layers in one pass over data; 0 if there are none."""
        return int(self._rng.integers(2**63)) if self._network.random else 0

    def _epoch(self, data, batches, team, epoch, run):
        """Trains for an epoch, or until `run` is over; logs, or None if a loss was not finite."""
        hooks, rows, order = run.hooks, batches.n_rows, batches.order
        sums, outputs = self._tally.sums(), self._tally.outputs(rows, self._units, self.dtype)
        self._follow_optimizer()

        def before_batch(batch):
            hooks.call("on_train_batch_begin", batch, {})
            self._follow_optimizer()

        for done, status, place in train_in_ranges(
                self._network, batches, team, self.optimizer._rates, sums, before_batch if hooks.by_batch else None,
                check=run.nonfinite != "ignore", seed=self._draw_seed(), outputs=outputs):
            if status != core.DONE:
                self._failed(data, status, place, run.nonfinite, epoch, done)
                return None
            trained = min(done * batches.batch_size, rows)
            run.reporter.move(done, self._tally.mean_loss(sums, trained))
            if hooks.by_batch:
                hooks.call("on_train_batch_end", done - 1, self._tally.running(sums, trained))
            if run.over():
                break
        return self._tally.logs(sums, trained, None if outputs is None else outputs[:trained], data,
                                None if order is None else order[:trained])

    def _fit_lbfgs(self, data, batches, epochs, team, run):
        """Trains with L-BFGS: an epoch is one iteration over one batch of all rows."""
        if self._network.random or self._network.state.size and any(layer._moves_state for layer in self._owners):
            raise ValueError("LBFGS needs a loss that is a function of the weights alone: leave out Dropout, "
                             "GaussianNoise and BatchNormalization.")
        if any(layer._constraints != layers.Layer._constraints or layer._multiplier != 1 for layer in self._owners):
            raise ValueError("LBFGS moves all weights freely and has no learning rate: leave out constraints and "
                             "learning_rate_multiplier.")

        def evaluate(epoch):
            rows, order = batches.n_rows, batches.order
            sums, outputs = self._tally.sums(), self._tally.outputs(rows, self._units, self.dtype)
            [(_, status, place)] = train_in_ranges(self._network, batches, team, lambda *_: 0., sums, update=False,
                                                   check=run.nonfinite != "ignore", outputs=outputs)
            if status != core.DONE:
                self._failed(data, status, place, run.nonfinite, epoch, 0)
                return None
            return self._tally.logs(sums, rows, outputs, data, order)

        _lbfgs.fit(self._network, self.optimizer, epochs, evaluate, run)

    def _failed(self, data, status, place, nonfinite, epoch, batch):
        """Raises the error, or gives the warning, for a range that stopped early."""
        if status in (core.BAD_INPUT, core.BAD_TARGET):
            raise data.error_at(status, place)
        what = "loss" if status == core.BAD_LOSS else "gradient"
        where = f"in epoch {epoch + 1}, batch {batch + 1}" if epoch is not None else "in this batch"
        message = (f"the {what} became NaN or infinite {where}; the weights from shortly before are restored. "
                   f"Lower the learning rate or scale the inputs; nonfinite='ignore' continues regardless.")
        if nonfinite == "raise":
            raise FloatingPointError(message)
        warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _follow_optimizer(self):
        """Passes hyperparameters that were changed on the optimizer to the network."""
        kind, settings = self.optimizer._kernel_and_settings()
        layout = self.optimizer._layout()
        if layout != self._layout:
            self._network.set_optimizer(*core.OPTIMIZERS[kind], settings, start=self.optimizer._start(),
                                        **self.optimizer._common())
            self._layout = layout
        else:
            self._network.set_settings(settings, **self.optimizer._common())

    def _validation(self, data, split, given):
        """The data to evaluate after each epoch, or None."""
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
                raise ValueError("validation_data must be (x, y) or (x, y, sample_weight).")
            return self._training_data(*given, of=" of validation_data")
        split = check.number(split, "validation_split", 0, 1, open_high=True)
        if split == 0:
            return None
        first = int(len(data) * (1 - split))
        if first == 0 or first == len(data):
            raise ValueError(f"validation_split={split} of {len(data)} rows leaves no row for "
                             f"{'training' if first == 0 else 'validation'}. Choose another fraction.")
        return data.rest(first)

    @overload
    def train_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
                       class_weight: _ClassWeight | None = None,
                       return_dict: Literal[False] = False) -> float | list[Any]: ...

    @overload
    def train_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
                       class_weight: _ClassWeight | None = None, *, return_dict: Literal[True]) -> dict[str, Any]: ...

    def train_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
                       class_weight: _ClassWeight | None = None, return_dict: bool = False) -> Any:
        """Takes one step on one batch, without threads or a bar.

        Parameters
        ----------
        x, y, sample_weight, class_weight : as in `fit`
        return_dict : bool

        Returns
        -------
        float, list [loss, metrics...] if there are metrics, or dict
            Values of this batch before the step.

        Raises
        ------
        ValueError, FloatingPointError
            As for `fit`; the weights stay as they were.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="ones")], dtype="float64")
        >>> model.compile(nnfast.optimizers.SGD(0.1), "mse", metrics="mae")
        >>> x, y = np.array([[1.], [3.]]), np.array([2., 5.])
        >>> model.train_on_batch(x, y)      # loss and mean absolute error before the step
        [2.5, 1.5]
        >>> model.train_on_batch(x, y)[0] < 1
        True
        """
        with self._claims.take("train_on_batch"):
            if isinstance(self.optimizer, optimizers.LBFGS):
                raise ValueError("LBFGS takes all rows in every step and keeps gradients between them: use fit.")
            data = self._data(x, y, sample_weight, class_weight)
            self._follow_optimizer()
            return self._result(self._step(data, True), return_dict)

    def _step(self, data, update):
        """Logs of one batch; with `update` it also takes a step."""
        rows = len(data)
        sums, outputs = self._tally.sums(), self._tally.outputs(rows, self._units, self.dtype)
        _, status, place = self._network.train_batches(
            data.batches(rows), 0, 1, self.optimizer._rates(self._network.steps, 1) if update else 0., sums,
            update=update, seed=self._draw_seed(), outputs=outputs)
        if status != core.DONE:
            self._failed(data, status, place, "raise", None, 0)
        return self._tally.logs(sums, rows, outputs, data)

    def loss_and_gradients(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
                           class_weight: _ClassWeight | None = None) -> tuple[float, list[NDArray[Any]]]:
        """Loss of these rows as one batch, and its gradient with respect to every weight array.

        For checks, and for your own optimizers: `model.params` is the vector to update.

        Parameters
        ----------
        x, y, sample_weight, class_weight : as in `fit`

        Returns
        -------
        loss : float
        gradients : list of arrays, shaped as `get_weights()`

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="ones")], dtype="float64")
        >>> model.compile("sgd", "mse")
        >>> model.loss_and_gradients(np.array([[3.0]]), np.array([[1.0]]))
        (4.0, [array([[12.]]), array([4.])])
        """
        with self._claims.take("loss_and_gradients"):
            logs = self._step(self._data(x, y, sample_weight, class_weight), False)
            return logs["loss"], [part.copy() for part in self._views(self._network.grads)]

    # -- evaluation --------------------------------------------------------------------------------

    def _scores(self, data, batch_size, n_threads):
        """Loss and metrics of data, summed by slices that do not depend on the threads."""
        rows, tally, loss = len(data), self._tally, self._loss
        by_batch = loss._whole or loss.reduction == "sum"
        sums, others, row_losses, every_output = tally.sums(), tally.others(), [], []
        for part in self._slices(rows):
            values, outputs = self._row_scores(data, part, n_threads)
            sums[:len(values)] += values.sum(axis=1)
            if by_batch:
                row_losses.append(values[0])
            if loss._whole or tally.at_once:
                every_output.append(outputs)
            else:
                tally.add(others, data, part, outputs)
        if every_output:
            outputs = np.concatenate(every_output)
            tally.add(others, data, slice(rows), outputs)
        if by_batch:
            value = self._mean_of_batches(data, batch_size, np.concatenate(row_losses), outputs)
        else:
            divisor = loss._divisor(data.y, data.weights, rows)
            value = sums[0] / divisor if divisor else 0.
        if tally.penalized:
            value += sums[-1] / rows + sum(layer._penalty([_view(self.params, *array) for array in arrays])
                                           for layer, arrays in zip(self._owners, self._network.arrays))
        return tally.results(value, sums, tally.counted(data, rows), others)

    def _mean_of_batches(self, data, batch_size, row_losses, outputs):
        """Mean of the losses of batches, by their rows: for a loss that is no mean over rows."""
        rows, loss = len(data), self._loss
        starts = np.arange(0, rows, batch_size)
        if loss._whole:
            y, weights = np.asarray(data.y, self.dtype), data.weights
            losses = [loss._whole_batch(y[part], outputs[part], None if weights is None else weights[part])[0][0]
                      for part in (slice(start, start + batch_size) for start in starts)]
        else:
            losses = np.add.reduceat(row_losses, starts)
        return float(np.dot(losses, np.minimum(starts + batch_size, rows) - starts) / rows)

    def _slices(self, rows):
        """Slices of rows of about 0.1 s each: Ctrl-C is handled between them."""
        count = max(1, min(EVALUATE_ROWS, int(_threads.SLICE_WORK / max(self._work, 1))))
        return [slice(first, min(first + count, rows)) for first in range(0, rows, count)]

    def _row_scores(self, data, part, n_threads):
        """Weighted loss and metrics of each row of a slice (1 + metrics, rows); outputs or None."""
        x, y, loss = check.opened(data.x[part]), check.opened(data.y[part]), self._loss
        rows = len(x)
        values = np.empty((self._network.n_values, rows))
        in_python = self._network.in_python
        outputs = self._tally.outputs(rows, self._units, self.dtype)
        if in_python and outputs is None:
            outputs = np.empty((rows, self._units), self.dtype)

        def evaluate(start, stop):
            return self._network.evaluate_rows(x, y, start, stop, values, outputs)

        for status, row in _threads.over_rows(evaluate, rows, self._work, n_threads):
            if status != core.DONE:
                raise data.error_at(status, part.start + row)
        if in_python and not loss._whole:
            values[0] = loss._called(np.asarray(data.y[part], self.dtype), outputs)[0]
        if data.weights is not None:
            values[0] *= data.weights[part]
        return values, outputs

    def _result(self, logs, return_dict):
        if return_dict:
            return logs
        return list(logs.values()) if self._metrics else logs["loss"]

    @overload
    def evaluate(self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None,
                 verbose: _Verbose = "auto", sample_weight: ArrayLike | None = None,
                 class_weight: _ClassWeight | None = None, n_threads: int | None = None,
                 return_dict: Literal[False] = False, callbacks: _Callbacks = None) -> float | list[Any]: ...

    @overload
    def evaluate(self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None,
                 verbose: _Verbose = "auto", sample_weight: ArrayLike | None = None,
                 class_weight: _ClassWeight | None = None, n_threads: int | None = None, *, return_dict: Literal[True],
                 callbacks: _Callbacks = None) -> dict[str, Any]: ...

    def evaluate(self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None,
                 verbose: _Verbose = "auto", sample_weight: ArrayLike | None = None,
                 class_weight: _ClassWeight | None = None, n_threads: int | None = None,
                 return_dict: bool = False, callbacks: _Callbacks = None) -> Any:
        """Computes loss and metrics on data.

        Parameters
        ----------
        x, y, sample_weight, class_weight, n_threads : as in `fit`
        batch_size : int, optional
            Matters only for a loss that is no mean over rows (reduction="sum", `Dice()`): the
            result is then the mean of the losses of batches, weighted by their rows, as in a fit
            and in Keras.  32 by default.
        verbose : {"auto", 0, 1, 2}
            Unless it is 0, the result is printed on one line.
        return_dict : bool
        callbacks : list of nnfast.callbacks, optional
            Their hooks on_test_begin and on_test_end are called.

        Returns
        -------
        float, list [loss, metrics...] if there are metrics, or dict

        Raises
        ------
        ValueError
            For data that do not fit or are not finite, and for targets that the loss does not
            allow.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="ones")], dtype="float64")
        >>> model.compile(nnfast.optimizers.SGD(0.1), "mse", metrics="mae")
        >>> x, y = np.array([[1.], [3.]]), np.array([2., 5.])
        >>> model.evaluate(x, y, verbose=0, return_dict=True)
        {'loss': 2.5, 'mae': 1.5}
        """
        batch_size = 32 if batch_size is None else check.size(batch_size, "batch_size")
        with self._claims.take("evaluate"):
            data = self._data(x, y, sample_weight, class_weight)
            hooks = CallbackList(callbacks, self, {"verbose": verbose}, self._claims.opened)
            hooks.call("on_test_begin", {})
            logs = self._scores(data, batch_size, n_threads)
            hooks.call("on_test_end", logs)
        if _console.verbosity(verbose):
            print(_console.line(logs))
        return self._result(logs, return_dict)

    @overload
    def test_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
                      class_weight: _ClassWeight | None = None,
                      return_dict: Literal[False] = False) -> float | list[Any]: ...

    @overload
    def test_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
                      class_weight: _ClassWeight | None = None, *, return_dict: Literal[True]) -> dict[str, Any]: ...

    def test_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None,
                      class_weight: _ClassWeight | None = None, return_dict: bool = False) -> Any:
        """Computes loss and metrics of one batch; parameters and result as for `evaluate`.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="ones")], dtype="float64")
        >>> model.compile(nnfast.optimizers.SGD(0.1), "mse", metrics="mae")
        >>> x, y = np.array([[1.], [3.]]), np.array([2., 5.])
        >>> model.test_on_batch(x, y)
        [2.5, 1.5]
        """
        with self._claims.take("test_on_batch"):
            data = self._data(x, y, sample_weight, class_weight)
            return self._result(self._scores(data, len(data), 1), return_dict)

    def predict(self, x: ArrayLike, batch_size: int | None = None, verbose: _Verbose = 0,
                n_threads: int | None = None) -> NDArray[Any]:
        """Computes the outputs of the last layer.  Several threads may call it at the same time.

        Parameters
        ----------
        x : array (n, columns), or (n, ...) before a Flatten layer
        batch_size, verbose
            Accepted as in Keras, without effect: nothing is printed, and the result does not depend
            on batches.
        n_threads : int, optional

        Returns
        -------
        array (n, outputs) of the dtype of the model

        Raises
        ------
        ValueError
            For x that does not fit or is not finite.
        RuntimeError
            If the model is not built.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.layers.Input(3), nnfast.layers.Dense(2)])
        >>> model.predict(np.zeros((5, 3))).shape
        (5, 2)
        """
        network = self._network
        if network is None:
            with self._claims.take("predict"):
                network = self._built_network()
        given = check.table(x, "x")
        matrix = check.matrix(given, "x", self._n_inputs, self._flatten)
        rows = len(matrix)
        out = np.empty((rows, self._units), self.dtype)
        x_rows = check.opened(matrix)
        if rows * self._work < _threads.ROWS_WORK_PER_THREAD and n_threads is None:     # a shorter path for a few rows
            bad = network.predict_rows(x_rows, 0, rows, out)
            if bad >= 0:
                raise check.not_finite(matrix, bad, "x", columns=check.names(given))
            return out
        for part in self._slices(rows):
            def predict(start, stop, first=part.start):
                return network.predict_rows(x_rows, first + start, first + stop, out)

            for bad in _threads.over_rows(predict, part.stop - part.start, self._work, n_threads):
                if bad >= 0:
                    raise check.not_finite(matrix, bad, "x", columns=check.names(given))
        return out

    # -- weights -----------------------------------------------------------------------------------

    def _built_network(self):
        """The network; RuntimeError if the model is not built."""
        self._build_from_input()
        if self._network is None:
            raise RuntimeError("the model must be built first: begin it with Input, or call build or fit.")
        return self._network

    @property
    def params(self) -> NDArray[Any]:
        """All trained weights, | W0 | b0 | W1 | b1 | ..., in one vector; to be read or written.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Input(1), nnfast.Dense(1)], dtype="float64")
        >>> model.params[:] = [2., 1.]
        >>> model.predict(np.array([[3.]]))
        array([[7.]])
        """
        return self._built_network().params

    def _views(self, vector):
        """Views of the weight arrays in a vector that is laid out like params."""
        return [_view(vector, *array) for arrays in self._built_network().arrays for array in arrays]

    def _weights(self):
        """Views of the weight arrays of each layer: trained ones, then ones that training moves."""
        network = self._built_network()
        return [view for layer, arrays, states in zip(self._owners, network.arrays, network.states)
                for view in [*(_view(network.params, *array) for array in arrays),
                             *(_view(network.state, *state) for state in states if layer._moves_state)]]

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies the weight arrays of each layer, in Keras' order.

        Dense has kernel (n_in, n_out) and bias (n_out,), normalizations gamma and beta, batch
        normalization also its moving mean and variance, PReLU alpha.

        Examples
        --------
        >>> import nnfast
        >>> last = nnfast.Dense(10, use_bias=False)
        >>> model = nnfast.Sequential([nnfast.Input(784), nnfast.Dense(84), last])
        >>> [array.shape for array in model.get_weights()]
        [(784, 84), (84,), (84, 10)]
        """
        return [view.copy() for view in self._weights()]

    def set_weights(self, weights: Iterable[ArrayLike]) -> None:
        """Sets the weight arrays, in the order and shapes of `get_weights`.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Input(2), nnfast.Dense(1)], dtype="float64")
        >>> model.set_weights([np.array([[1.], [2.]]), np.array([3.])])
        >>> model.params
        array([1., 2., 3.])
        """
        with self._claims.take("set_weights"):
            check.copy_weights(self._weights(), weights)

    def count_params(self) -> int:
        """Number of weights, including the moving averages of batch normalization, as in Keras.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Input(784), nnfast.Dense(84), nnfast.Dense(10)])
        >>> model.count_params()
        66790
        """
        return sum(view.size for view in self._weights())

    def summary(self) -> None:
        """Prints a table of layers, output shapes and numbers of parameters.

        A notebook shows the same table for a model.

        Examples
        --------
        >>> import nnfast
        >>> normalization = nnfast.layers.BatchNormalization()
        >>> nnfast.Sequential([nnfast.Input(4), nnfast.Dense(3), normalization]).summary()
        Model: Sequential
        ---------------------------------------------------------------
        Layer (type)                              Output Shape  Param #
        ===============================================================
        dense (Dense)                             (None, 3)          15
        batch_normalization (BatchNormalization)  (None, 3)          12
        ---------------------------------------------------------------
        Total params: 27 (108 B)
        Trainable params: 21 (84 B)
        Non-trainable params: 6 (24 B)
        """
        print(_console.table_text("Model: Sequential", *self._table()))

    def _table(self):
        """The rows of the summary, header first, and the lines below it."""
        self._build_from_input()
        built = self._network is not None
        rows, seen = [("Layer (type)", "Output Shape", "Param #")], {}
        trained, moved, width = 0, 0, self._n_inputs if built else None
        for layer in self.layers:
            if isinstance(layer, layers.Input):
                continue
            kind = type(layer).__name__
            number = seen.get(kind, 0)
            seen[kind] = number + 1
            name = _snake_case(kind) + (f"_{number}" if number else "")
            sizes = list(map(math.prod, layer._shapes(width if built else 1)))
            weights = sum(sizes[:len(layer._first_weights())])
            trained, moved, width = trained + weights, moved + sum(sizes) - weights, layer._width(width)
            rows.append((f"{name} ({kind})", f"(None, {width})" if width is not None else "?",
                         f"{sum(sizes):,}" if built or not sizes else "?"))
        if not built:
            return rows, ["Total params: known once built"]
        counts = {"Total": trained + moved, "Trainable": trained, "Non-trainable": moved}
        return rows, [f"{which} params: {count:,} ({_console.bytes_text(count * self.dtype.itemsize)})"
                      for which, count in counts.items()]

    def _repr_html_(self):
        """The summary as a table of HTML, for notebooks."""
        return _console.table_html("Sequential", *self._table())

    def __repr__(self):
        return f"Sequential({self.layers!r}, dtype={self.dtype.name!r})"

    # -- files and copies --------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Saves the model as it is, to be read by `nnfast.load`.

        The file holds layers, weights, loss, metrics, the optimizer with its state, the epoch and
        the random state.

        A fit of the loaded model gives the same bits as a fit of this one: fit(epochs=20) equals
        fit(epochs=10), save, load in another process and fit(epochs=20, initial_epoch=model.epoch).
        What exists only during a fit is not saved: the gradients of `LBFGS`, and the counters of
        callbacks.  With use_ema a fit ends by setting the weights to their running mean, so only a
        `ModelCheckpoint`, which saves during the fit, saves the weights before that.

        The new file is written under another name and then renamed: at every moment there is a
        complete file, the old or the new one.

        Parameters
        ----------
        path : str or path
            Ends in ".npz", which `np.load` reads too, or in ".safetensors".

        Raises
        ------
        ValueError
            For another ending, a function without a name (a lambda), or a random generator that is
            not NumPy's PCG64.  Your own losses, metrics, schedules and initializers are saved only
            by name, see `nnfast.load`.
        OSError
            If the file cannot be written; an existing file stays as it was.

        Examples
        --------
        >>> import os, tempfile, numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.npz"))
        ...     with np.load(os.path.join(folder, "model.npz")) as file:
        ...         file.files, file["weights.0"].shape
        (['nnfast', 'weights.0', 'weights.1'], (3, 2))
        """
        _model_file.save(path, self._saved())

    def save_weights(self, path: str | PathLike[str]) -> None:
        """Saves only the arrays of `get_weights`; path and errors as for `save`.

        Examples
        --------
        >>> import os, tempfile, numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_weights(os.path.join(folder, "weights.npz"))
        ...     with np.load(os.path.join(folder, "weights.npz")) as file:
        ...         np.array_equal(file["weights.0"], model.get_weights()[0])
        True
        """
        _model_file.save_weights(path, self.get_weights())

    def load_weights(self, path: str | PathLike[str]) -> None:
        """Sets the weights from a file of `save` or `save_weights`.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged or not a file of nnfast, or its arrays do not have the shapes of this
            model, which then stays as it was.
        RuntimeError
            If the model is not built.

        Examples
        --------
        >>> import os, tempfile, nnfast
        >>> model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)], seed=0)
        >>> other = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)], seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_weights(os.path.join(folder, "weights.safetensors"))
        ...     other.load_weights(os.path.join(folder, "weights.safetensors"))
        >>> bool((model.params == other.params).all())
        True
        """
        self.set_weights(_model_file.read_weights(path))

    def __getstate__(self):
        with self._claims.take("copy"):
            state = {name: value for name, value in self.__dict__.items() if name not in NOT_COPIED}
            if self._network is not None:
                state["weights"] = self.get_weights()
                if self._loss is not None:
                    self._follow_optimizer()
                    state["slots"] = np.array(self._network.slots)
                    state["steps"] = self._network.steps
            return state

    def __setstate__(self, state):
        state = dict(state)
        weights, slots, steps = state.pop("weights", None), state.pop("slots", None), state.pop("steps", None)
        self.__dict__.update(state)
        self._network, self._tally, self._claims, self._pace = None, None, Claims(), _threads.Pace()
        if self.optimizer is not None:
            self._own(self.optimizer)
        if weights is not None:
            self._build(layers.shape_of_rows(self.layers, self._n_inputs), initialize=False)
            for view, array in zip(self._weights(), weights):
                view[...] = array
            if slots is not None:
                if slots.shape != self._network.slots.shape:
                    raise ValueError(f"the state of {self.optimizer!r} must have shape {self._network.slots.shape}, "
                                     f"got {slots.shape}.")
                self._network.slots[...] = slots
                self._network.steps = steps

    def __copy__(self):
        return copy.deepcopy(self)      # models share neither an optimizer nor a random generator

    def _saved(self):
        """What a file holds, under the names of the format: see saving.py."""
        self._build_from_input()
        state = self.__getstate__()
        return {"layers": self.layers, "dtype": self.dtype.name, "n_inputs": self._n_inputs,
                "optimizer": self.optimizer, "loss": self._loss,
                "metrics": [metric for _, metric, weighted in self._metrics if not weighted],
                "weighted_metrics": [metric for _, metric, weighted in self._metrics if weighted], "epoch": self.epoch,
                "random_generator": self._rng, **{name: state.get(name) for name in ("weights", "slots", "steps")}}

    def _restore(self, saved):
        """Sets what `_saved` returned, in a model with the same layers that is not built."""
        state = {**self.__getstate__(), "_n_inputs": saved["n_inputs"], "epoch": saved["epoch"],
                 "_rng": saved["random_generator"]}
        if saved["loss"] is not None:
            state |= {"_advised": True,         # by compile, before the model was saved
                      "optimizer": optimizers.get(saved["optimizer"]), "_loss": losses.get(saved["loss"]),
                      "_metrics": _metrics(saved["metrics"], saved["weighted_metrics"])}
        state |= {name: saved[name] for name in ("weights", "slots", "steps") if saved[name] is not None}
        self.__setstate__(state)

    # -- for other modules of nnfast ---------------------------------------------------------------

    def _bare_copy(self, x, dtype=None):
        """A compiled copy, built for x, without the metrics that Python computes.

        In another dtype its optimizer is plain gradient descent, and metrics are left out.  A copy
        of a model that is not built gets the weights that the model would get.
        """
        if dtype is None:
            twin = copy.deepcopy(self)
        else:
            # not by deepcopy: it first passes on changed settings of the optimizer, which may drop
            # its state
            with self._claims.take("a copy"):
                state = {name: value for name, value in self.__dict__.items() if name not in NOT_COPIED}
                if self._network is not None:
                    state["weights"] = self.get_weights()
                state.update(dtype=np.dtype(dtype), layers=copy.deepcopy(self.layers), _rng=copy.deepcopy(self._rng),
                             _metrics=[])
            if self._loss is not None:
                state["optimizer"] = optimizers.SGD()
            twin = type(self).__new__(type(self))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)        # of compile: the caller has seen it
                twin.__setstate__(state)
        twin._ready(x)
        twin._tally.drop_others()
        return twin

    def _loss_of_params(self, x, y, sample_weight):
        """The loss on these rows as a function of all weights, in float64: what `gradcheck` checks.

        Returns
        -------
        value : function (vector) -> float
            NaN where the loss is not finite.
        gradient, point : arrays (count_params,)
        names : list of (layer and array, shape)
        """
        twin = self._bare_copy(x, "float64")
        random = twin._rng.bit_generator.state
        _, gradients = twin.loss_and_gradients(x, y, sample_weight)
        known = [layer._first_weights() for layer in twin._owners]
        labels = [f"layer {i} {name}" for i, names in enumerate(filter(None, known)) for name in names]

        def value(moved):
            twin.params[:] = moved
            twin._rng.bit_generator.state = random          # the same masks of Dropout every time
            try:
                return twin.loss_and_gradients(x, y, sample_weight)[0]
            except FloatingPointError:
                return np.nan

        gradient = np.concatenate([np.zeros(0), *(array.ravel() for array in gradients)])
        names = list(zip(labels, [array.shape for array in gradients], strict=True))
        return value, gradient, np.array(twin.params), names


def _snake_case(name):
    """The name of a class as Keras names its layers: batch_normalization, p_re_lu."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def _view(vector, start, shape):
    """A view of an array in a vector."""
    return vector[start:start + math.prod(shape)].reshape(shape)


class _Fit:
    """A running fit of a Sequential: what it keeps from epoch to epoch, and what ends it."""

    def __init__(self, model, hooks, reporter, validation, batch_size, n_threads, nonfinite, deadline):
        self.model, self.hooks, self.reporter, self.batch_size = model, hooks, reporter, batch_size
        self.validation, self.n_threads, self.nonfinite, self.deadline = validation, n_threads, nonfinite, deadline
        self.history, self.logs = History(), {}

    def begin_epoch(self, epoch):
        self.reporter.begin(epoch)
        self.hooks.call("on_epoch_begin", epoch, {})

    def end_epoch(self, epoch, logs):
        """Evaluates the validation data, calls the callbacks, records and prints the epoch."""
        if self.validation is not None:
            self.hooks.call("on_test_begin", {})
            scores = self.model._scores(self.validation, self.batch_size, self.n_threads)
            self.hooks.call("on_test_end", scores)
            logs.update({f"val_{name}": value for name, value in scores.items()})
        self.model.epoch = epoch + 1
        self.hooks.call("on_epoch_end", epoch, logs)
        self.history.on_epoch_end(epoch, logs)
        self.reporter.end(epoch, logs)
        self.logs = logs

    def over(self):
        """Whether a callback or the deadline ends the fit."""
        return self.model.stop_training or self.deadline is not None and time.perf_counter() >= self.deadline


def _nonfinite(nonfinite, hooks):
    """What `fit` does if a loss is not finite: its argument, or what TerminateOnNaN says."""
    for callback in hooks.callbacks:
        if isinstance(callback, TerminateOnNaN):
            if nonfinite == "ignore":
                raise ValueError("TerminateOnNaN and nonfinite='ignore' contradict each other: leave one of them out.")
            nonfinite = "raise" if callback.raise_error else "stop"
    return nonfinite


def _metrics(*groups):
    """[(name, metric, whether it is weighted)]; a weighted "mae" after "mae" is "weighted_mae"."""
    chosen = []
    for weighted, group in enumerate(groups):
        group = [] if group is None else list(group) if isinstance(group, (list, tuple)) else [group]
        for metric in map(metrics.get, group):
            taken = weighted and any(name == metric.name for name, _, other in chosen if not other)
            chosen.append((f"weighted_{metric.name}" if taken else metric.name, metric, bool(weighted)))
    names = [name for name, _, _ in chosen]
    if len(set(names)) < len(names) or "loss" in names:
        raise ValueError(f"metrics must have different names, and none may be 'loss'; got {names}.")
    return chosen
