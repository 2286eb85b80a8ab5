"""Sequential: Keras' words for the native network.

Names, shapes, defaults, checks and progress live here; arithmetic lives in `_core`.

    fit            checks once, builds the Network once
      per epoch    order = shuffle                                   bits that depend on the seed alone
        ranges     network.train_batches(...)                        about 0.1 s each, without the GIL
        validation network.evaluate_rows(...)
        callbacks, History
"""
import contextlib
import copy
import math
import re
import time
import warnings
import weakref

import numpy as np

from nnfast import _console, _lbfgs, _model_file, _threads, _validation as check, layers, losses, metrics, optimizers
from nnfast._claims import Claims
from nnfast._core import network as core
from nnfast._ranges import train_in_ranges
from nnfast._tally import Tally
from nnfast._training_data import TrainingData
from nnfast.callbacks import CallbackList, History, TerminateOnNaN

__all__ = ["Sequential"]

TRIED_ROWS = 8                  # on which losses and metrics of the user's own are tried before the first step
EVALUATE_ROWS = 65536           # rows whose losses are kept at once
SLICE_WORK = 1e10               # floating-point operations of a native call of evaluate and predict, 0.1 s
NOT_COPIED = ("_network", "_claims", "_pace", "_layout", "_tally", "_owners")       # made again by a copy
BEFORE_FLATTEN = (layers.Input, layers.Flatten, layers.Rescaling, layers.Dropout, layers.GaussianNoise)


class Sequential:
    """A stack of dense layers, trained natively.

    Parameters
    ----------
    layers : list of layers, optional
        With `Input` first the model is built as soon as its weights are asked for, else by `build` or the first `fit`.
    dtype : {"float32", "float64"}
        Of the weights and of all arithmetic; sums of losses are always float64.
    seed : int, optional
        Of the first weights and of shuffling.  With a seed every run gives the same bits, for every number of threads.
        From a NumPy generator a seed is drawn: models never share one.

    Attributes
    ----------
    params : ndarray (count_params(),)
        All weights in one vector, | W0 | b0 | W1 | b1 | ...; may be written to between calls.
    epoch : int
        That with which `fit(initial_epoch=model.epoch)` goes on: one more than the last that was trained, 0 before.
    stop_training : bool
        Set by a callback, it ends the fit.

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

    def __init__(self, layers=None, dtype="float32", seed=None):
        self.dtype = check.dtype(dtype)
        self.layers = []
        self.optimizer = None
        self.history = None         # of the last fit
        self.epoch = 0
        self._rng = check.generator(seed)
        self._loss = None
        self._loss_name = None      # if compile got a name
        self._metrics = []          # (name, metric, whether it is weighted)
        self._advised = False       # whether compile or the build has looked at loss, metrics and layers
        self._tally = None
        self._tried = False         # whether loss and metrics have seen data since compile
        self._network = None
        self._n_inputs = None
        self._flatten = False
        self._units = None
        self._pace = _threads.Pace()
        self._claims = Claims()
        self._logged = ()           # names of what the last fit puts into the logs of an epoch
        self.stop_training = False
        if layers is not None and not hasattr(layers, "__iter__"):
            raise TypeError(f"layers must be a list of layers; got {layers!r:.80}. Give them in brackets: Sequential([first, second]).")
        for layer in layers if layers is not None else []:
            self.add(layer)

    # -- building ----------------------------------------------------------------------------------------------------

    def add(self, layer):
        """Adds a layer at the end; with `Input` first, building waits until it is needed.

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
            raise ValueError("the model is built: layers are added before build, fit or the first use. Make a new Sequential.")
        if isinstance(layer, layers.Input) and self.layers:
            raise ValueError("Input must be the first layer.")
        if isinstance(layer, layers.Flatten) and not all(isinstance(other, BEFORE_FLATTEN) for other in self.layers):
            raise ValueError("Flatten must stand before layers that work on columns, such as Dense: their output is flat.")
        if layer._first_weights() and any(layer is other for other in self.layers):
            raise ValueError(f"a layer with weights can stand in a model once, for each place has weights of its own; got the same object twice: "
                             f"{layer!r}. Make a new layer, for instance with copy.copy(layer).")
        self._check_unused(layer)
        self.layers.append(layer)
        self._advised = False

    def _check_unused(self, layer):
        """ValueError for a layer whose weights are in another model."""
        if layer._model is not None and layer._model() is not self and layer._first_weights():
            raise ValueError(f"a layer with weights belongs to one model, which holds them: here it would begin with new ones. {layer!r} belongs to "
                             f"another model. Make a new layer, for instance with copy.copy(layer), and carry weights over with get_weights and "
                             f"set_weights.")

    @property
    def built(self):
        """Whether the weights exist.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input(4), nnfast.Dense(3)]).built, nnfast.Sequential([nnfast.Dense(3)]).built
        (True, False)
        """
        self._build_from_input()
        return self._network is not None

    def build(self, input_shape):
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

    @contextlib.contextmanager
    def _unbuilt_on_error(self):
        """Takes a build back if what follows fails: data that do not fit must not decide on the shape of a model."""
        if self._network is not None:
            yield
            return
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
        """The network for rows of this shape: plan, first weights or zeros, and what compile asked for."""
        if self._network is not None:
            if int(np.prod(shape)) != self._n_inputs:
                raise ValueError(f"the model is built for {self._n_inputs} inputs, got shape {shape}. Make a new Sequential.")
            return
        declared = self.layers[0].shape if self.layers and isinstance(self.layers[0], layers.Input) else shape
        if declared != shape and int(np.prod(declared)) != int(np.prod(shape)):
            raise ValueError(f"x must have rows of shape {declared}, that of Input; got {shape}.")
        flatten = any(isinstance(layer, layers.Flatten) for layer in self.layers)
        if len(shape) != 1 and not flatten:
            raise ValueError(f"rows of x must be 1-D, got shape {shape}. Add nnfast.layers.Flatten() as first layer.")
        n_inputs = 1
        for entry in shape:
            n_inputs = check.size(n_inputs * entry, "the width of x")
        plan, owners, width, last_activation = [], [], n_inputs, None           # an entry of the network, the layer it is made of
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
            raise ValueError("the model must have at least one layer that makes numbers, such as Dense; add one.")
        network = core.Network(n_inputs, plan, self.dtype.name)
        for layer, arrays, states in zip(owners, network.arrays, network.states):
            for (start, shape_), initializer in zip(arrays, layer._first_weights().values() if initialize else []):
                values = np.asarray(initializer(shape_, self._rng))
                if values.shape != shape_ or not np.isfinite(values).all():
                    raise ValueError(f"{initializer!r} must give finite numbers of shape {shape_}; got shape {values.shape}.")
                network.params[start:start + values.size] = values.ravel()
            for (start, (n,)), values in zip(states, layer._first_state(states[0][1][0] if states else 0)):
                network.state[start:start + n] = values
        if any(any(layer._penalties) for layer in owners):
            network.set_penalties([layer._penalties for layer in owners], False)
        network.set_constraints([layer._constraints for layer in owners])
        network.set_multipliers([layer._multiplier for layer in owners])
        if any(owners[-1]._penalties[4:]):
            last_activation = None      # the penalty needs the outputs themselves: no loss takes the last activation over
        if self._loss is not None:
            self._configure(network, self.optimizer, self._loss, self._metrics, width, last_activation)
        self._n_inputs, self._units, self._flatten, self._last_activation = n_inputs, width, flatten, last_activation
        self._work = 2.0 * sum(n_in * n_out for n_in, n_out, _, _ in network.shapes)     # of a forward pass, per row
        self._owners, self._network = owners, network
        for layer in self.layers:
            layer._set(_model=weakref.ref(self))
        if self._loss is not None and not self._advised:
            self._advise()

    def compile(self, optimizer="adam", loss=None, metrics=None, weighted_metrics=None):
        """Chooses how to train; the state of an optimizer before is dropped.

        Parameters
        ----------
        optimizer : str or optimizer
            Keras' default is "rmsprop"; ours is "adam".  An object belongs to the first model that is compiled with it: a
            learning rate that one model changes must not change in another.
        loss : str, loss, or a loss of your own (see `losses.Custom`)
        metrics : str, metric, function (y_true, y_pred), or list of them, optional
            "accuracy" of one output, and metrics that count positives such as "auc", want labels 0 and 1: the first use
            warns of others, or refuses them.  A function is called once for an epoch or an evaluation, with all rows: see
            `metrics.MeanMetricWrapper`.
        weighted_metrics : the same, optional
            Rows count with their `sample_weight` and `class_weight`.

        Raises
        ------
        ValueError
            For a name that is not known, a metric that does not fit the loss, no loss, or the optimizer of another model;
            the model stays as it was.

        Warns
        -----
        UserWarning
            If the last layer can not give what the loss needs, such as probabilities of a linear layer for a
            cross-entropy without from_logits, or if metrics of probabilities would see logits.  "accuracy" of one logit
            compares it with 0.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(3, activation="softmax")])
        >>> model.compile(nnfast.optimizers.Adam(1e-2, weight_decay=1e-4), "sparse_categorical_crossentropy", metrics=["acc"])
        >>> model.optimizer.learning_rate
        0.01
        """
        if loss is None:
            raise ValueError("loss must be given: a name such as 'mse', or one of nnfast.losses.")
        name = loss if isinstance(loss, str) else None
        optimizer, loss, chosen = optimizers.get(optimizer), losses.get(loss), _metrics(metrics, weighted_metrics)
        if optimizer._model is not None and optimizer._model() is not self:
            raise ValueError(f"an optimizer belongs to one model, for its learning rate may change in a fit; {optimizer!r} belongs to another "
                             f"model. Give each model its own, for instance copy.copy(optimizer).")
        with self._claims.take("compile"):
            self._build_from_input()
            if self._network is not None:
                self._configure(self._network, optimizer, loss, chosen, self._units, self._last_activation)
            self._own(optimizer)
            self.optimizer, self._loss, self._metrics, self._loss_name = optimizer, loss, chosen, name
            if self.layers:
                self._advise()

    def _own(self, optimizer):
        object.__setattr__(optimizer, "_model", weakref.ref(self))

    def _advise(self):
        """Warns of a loss or of metrics that do not fit the outputs of the last layer."""
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
            advice += [f"metric {name!r} reads probabilities; with {loss!r} it sees logits. End the model with "
                       f"activation={loss._probabilities!r} and leave from_logits out: training works on the logits all the same."
                       for name, metric, _ in self._metrics if metric._reads_probabilities()]
        for message in filter(None, advice):
            warnings.warn(message, stacklevel=3)

    def _configure(self, network, optimizer, loss, chosen, units, last_activation):
        """Tells a network what compile chose; the optimizer starts anew.  What can fail comes first."""
        kernel, fused, function = loss._for_network(last_activation, units, self.dtype)
        tally = Tally(loss, chosen, units, network.penalizes, loss._shows_logits(fused))
        kind, settings = optimizer._kernel_and_settings()
        settings = [float(value) for value in settings]
        network.set_loss(kernel, fused, tally.natives, core.REDUCTIONS[loss.reduction], function, loss._whole,
                         *loss._bounds(self.dtype))
        network.set_optimizer(*core.OPTIMIZERS[kind], settings, start=optimizer._start(), **optimizer._common())
        self._layout, self._tally, self._tried = optimizer._layout(), tally, False

    @property
    def loss(self):
        """The name of the loss if `compile` got one, as in Keras, else the loss itself, as of a loaded model; None before `compile`.

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
    def input_shape(self):
        """Shape of x with None for the rows, such as (None, 784), as in Keras; None before the model is built.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input((28, 28)), nnfast.Flatten(), nnfast.Dense(10)]).input_shape
        (None, 28, 28)
        """
        return (None, *layers.shape_of_rows(self.layers, self._n_inputs)) if self.built else None

    @property
    def output_shape(self):
        """Shape of the outputs with None for the rows, as in Keras; None before the model is built.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input(4), nnfast.Dense(10)]).output_shape
        (None, 10)
        """
        return (None, self._units) if self.built else None

    @property
    def metrics(self):
        """The metrics that `compile` got, in the order of `metrics_names` after "loss".

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1)])
        >>> model.compile("adam", "mse", metrics=["mae"])
        >>> model.metrics
        [MeanAbsoluteError()]
        """
        return [metric for _, metric, _ in self._metrics]

    @property
    def metrics_names(self):
        """The names in the logs and in the result of `evaluate`, in order: "loss", then the metrics.

        Keras 3 has one name, "compile_metrics", for all metrics.  Before `compile` there are none.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(3, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
        >>> model.metrics_names
        ['loss', 'acc']
        """
        return ["loss", *(name for name, _, _ in self._metrics)] if self._loss is not None else []

    def _training_data(self, x, y, sample_weight=None, of=""):
        """The data, checked; builds the model for x if it is not built."""
        x = check.table(x, f"x{of}")        # a frame becomes an array once
        self._ready(x)
        return TrainingData(self._loss, self._n_inputs, self._units, self._flatten, x, y, sample_weight, of)

    def _data(self, x, y, sample_weight=None, class_weight=None):
        """The data, checked; builds the model for x if it is not built, and takes that back if the data do not fit."""
        with self._unbuilt_on_error():
            data = self._training_data(x, y, sample_weight)
            if class_weight is not None:
                data.weigh_classes(class_weight, slice(None))
            self._try_out(data, slice(len(data)))
            return data

    def _data_of_fit(self, x, y, sample_weight, class_weight, chosen, split, validation_data):
        """The data, the numbers of the rows chosen or None, how many rows are trained on, and the data to evaluate or None.

        What is taken from the data, such as the weights of balanced classes, is taken from the rows that are trained on.
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
        """The first use of a loss of your own, whose gradient is compared with differences, and of metrics: on a few of the rows."""
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
        except Exception:                       # a function may need more rows than a few, of two classes, say
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
            x = check.numeric(x, "x")
            if x.ndim < 2:
                raise ValueError(f"x must be at least 2-D, (rows, columns); got shape {x.shape}. A single column is x.reshape(-1, 1).")
            self._build(tuple(check.size(n, "each axis of x after the rows") for n in x.shape[1:]))

    # -- training ----------------------------------------------------------------------------------------------------

    def fit(self, x, y=None, batch_size=None, epochs=1, verbose="auto", validation_split=0.0, validation_data=None,
            shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, n_threads=None, nonfinite="raise", callbacks=None,
            max_seconds=None, rows=None):
        """Trains for a number of epochs; a second call goes on where the first ended.

        Parameters
        ----------
        x : array (n, columns), or (n, ...) behind Flatten
            An array, a tensor, a frame of numbers and booleans (pandas, polars, Arrow; what is missing is NaN) or nested
            lists; no data set or loader.  Any real dtype.  Integers, float32 and float64 in two dimensions are read where
            they lie, in any strides, without a copy; so are C-contiguous images behind Flatten.
        y : array (n,) of integer labels for a sparse loss, else (n, outputs)
        batch_size : int, optional
            32 by default; the last batch may be smaller.
        epochs : int
            The epoch to end before, counted with `initial_epoch`, as in Keras.
        verbose : {"auto", 0, 1, 2}
            0 silent, 1 a bar and a line per epoch, 2 a line per epoch; "auto" is 1 on a terminal, else 2.
        validation_split : float in [0, 1)
            Share of the last rows that are kept out of training and evaluated after every epoch.
        validation_data : (x, y) or (x, y, sample_weight), optional
            A warning tells of metrics that these rows, or those of validation_split, are too few or too alike for: the R2
            score of one row, the area under a curve of one class.
        shuffle : bool
            New order of rows in every epoch.
        class_weight : dict or "balanced", optional
            From class to weight, 1 where a class is missing; "balanced" is rows / (classes present * rows of the class),
            each of the rows that are trained on counted with its `sample_weight`, as in scikit-learn.
            With `sample_weight` both are multiplied (Keras refuses).  y must name classes: labels, 0 and 1 of one
            output, or rows that are one-hot or shares that sum to 1 (Keras takes the largest column of any y).
        sample_weight : array (n,), optional
            The loss of a batch is sum(weight * loss) / rows, as in Keras, or what the `reduction` of the loss makes of it.
        initial_epoch : int
        n_threads : int, optional
            Number of threads; fewer are used when a step has too little work.  By default as many as pay for this network
            on this machine now, at most its CPUs and NNFAST_NUM_THREADS.  The results are the same bits for every number.
        nonfinite : {"raise", "stop", "ignore"}
            What a loss or gradient that is not finite does: raises FloatingPointError, ends the fit with a warning, or
            nothing.  The first two put back the weights of up to 0.1 s before: how many batches that is depends on the
            machine.
        callbacks : list of nnfast.callbacks, optional
            Called in their order between native calls; what one raises ends the fit and is raised here.
        max_seconds : float, optional
            End the fit once so much time has passed, also within an epoch: within 0.1 s, and after the validation of the
            part that was trained.  How far that is depends on the machine.
        rows : array of int, optional
            Train on these rows of x and y alone; they are read where they lie.  A row may occur more than once.

        Returns
        -------
        History
            `.history`: dict of lists, an entry an epoch; `.epoch`.  Also kept as `model.history`.

            "loss" is the mean of the losses of batches, by their rows, as in Keras.  So is "val_loss", of batches of the same
            size, where a loss is no mean over rows: with reduction="sum", and for losses of whole batches such as `Dice()`;
            `LBFGS` has one batch of all rows.  Otherwise "val_loss" is the mean over all rows, weighted as the `reduction`
            says, whatever the batches.  Metrics are of all rows of the epoch, each as it is before the step on its batch.

        Raises
        ------
        TypeError
            For data that are no array, frame or nested lists, before they are read.
        ValueError
            For data that do not fit.  NaN or infinity in x or y, or a target that the loss does not have, such as 255 of
            a binary cross-entropy, is met when its batch comes, which then changes nothing.
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
            data, chosen, rows, validation = self._data_of_fit(x, y, sample_weight, class_weight, rows, validation_split, validation_data)
            batch_size = rows if full else min(batch_size, rows)
            n_batches = -(-rows // batch_size)
            self.stop_training = False
            params = {"epochs": epochs, "initial_epoch": initial_epoch, "steps": n_batches, "verbose": verbose}
            hooks = CallbackList(callbacks, self, params, self._claims.opened)
            names = self.metrics_names
            self._logged = names if validation is None else [*names, *(f"val_{name}" for name in names)]
            run = _Fit(self, hooks, _console.Reporter(verbose, epochs, n_batches), validation, batch_size, n_threads, _nonfinite(nonfinite, hooks),
                       None if max_seconds is None else begun + max_seconds)
            self.history = run.history
            team = _threads.Team(self._network, n_threads, 3 * self._work * batch_size, self._pace)
            with team, run.reporter:
                hooks.call("on_train_begin", {})
                if full:
                    self._fit_lbfgs(data, data.batches(rows, rows, chosen), range(initial_epoch, epochs), team, run)
                else:
                    given = np.arange(rows, dtype=np.int64) if chosen is None and shuffle else chosen
                    order = given.copy() if shuffle else given
                    batches = data.batches(batch_size, rows, order)
                    for epoch in range(initial_epoch, epochs):
                        run.begin_epoch(epoch)
                        if shuffle:         # from the given order, not that of the epoch before: a loaded model knows its seed alone
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
        """For the random numbers of one pass over data; 0 where no layer needs any."""
        return int(self._rng.integers(2**63)) if self._network.random else 0

    def _epoch(self, data, batches, team, epoch, run):
        """One epoch of ranges, or what `run` leaves of it; its logs, or None if a loss that is not finite has ended it."""
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
        return self._tally.logs(sums, trained, None if outputs is None else outputs[:trained], data, None if order is None else order[:trained])

    def _fit_lbfgs(self, data, batches, epochs, team, run):
        """The epochs of a fit with L-BFGS: an iteration each, over one batch of all rows."""
        if self._network.random or self._network.state.size and any(layer._moves_state for layer in self._owners):
            raise ValueError("LBFGS needs a loss that is a function of the weights alone: leave out Dropout, GaussianNoise "
                             "and BatchNormalization.")
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
        """What a range that stopped early means to the user."""
        if status in (core.BAD_INPUT, core.BAD_TARGET):
            raise data.error_at(status, place)
        what = "loss" if status == core.BAD_LOSS else "gradient"
        where = f"in epoch {epoch + 1}, batch {batch + 1}" if epoch is not None else "in this batch"
        message = (f"the {what} became NaN or infinite {where}; the weights of shortly before are put back. "
                   f"Lower the learning rate or scale the inputs; nonfinite='ignore' goes on regardless.")
        if nonfinite == "raise":
            raise FloatingPointError(message)
        warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _follow_optimizer(self):
        """Takes over hyper-parameters that were changed on the optimizer since compile."""
        kind, settings = self.optimizer._kernel_and_settings()
        layout = self.optimizer._layout()
        if layout != self._layout:
            self._network.set_optimizer(*core.OPTIMIZERS[kind], settings, start=self.optimizer._start(), **self.optimizer._common())
            self._layout = layout
        else:
            self._network.set_settings(settings, **self.optimizer._common())

    def _validation(self, data, split, given):
        """The rows to evaluate after each epoch, or None."""
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
                             f"{'training' if first == 0 else 'validation'}. Choose another share.")
        return data.rest(first)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step on one batch, without a thread or a bar.

        Parameters
        ----------
        x, y, sample_weight, class_weight : as in `fit`
        return_dict : bool

        Returns
        -------
        float, list [loss, metrics...] if there are metrics, or dict
            Of this batch, before the step.

        Raises
        ------
        ValueError, FloatingPointError
            As `fit`; the weights are those of before.

        Examples
        --------
        >>> import numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="ones")], dtype="float64")
        >>> model.compile(nnfast.optimizers.SGD(0.1), "mse", metrics="mae")
        >>> x, y = np.array([[1.], [3.]]), np.array([2., 5.])
        >>> model.train_on_batch(x, y), model.train_on_batch(x, y)[0] < 1       # loss and mean absolute error, before the step
        ([2.5, 1.5], True)
        """
        with self._claims.take("train_on_batch"):
            if isinstance(self.optimizer, optimizers.LBFGS):
                raise ValueError("LBFGS takes all rows in every step and keeps gradients between them: use fit.")
            data = self._data(x, y, sample_weight, class_weight)
            self._follow_optimizer()
            return self._result(self._step(data, True), return_dict)

    def _step(self, data, update):
        rows = len(data)
        sums, outputs = self._tally.sums(), self._tally.outputs(rows, self._units, self.dtype)
        _, status, place = self._network.train_batches(
            data.batches(rows), 0, 1, self.optimizer._rates(self._network.steps, 1) if update else 0., sums, update=update,
            seed=self._draw_seed(), outputs=outputs)
        if status != core.DONE:
            self._failed(data, status, place, "raise", None, 0)
        return self._tally.logs(sums, rows, outputs, data)

    def loss_and_gradients(self, x, y, sample_weight=None, class_weight=None):
        """Loss of these rows as one batch, and its gradient with respect to every weight array.

        For checks, and for optimizers of your own: `model.params` is the vector to update.

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

    # -- evaluation --------------------------------------------------------------------------------------------------

    def _scores(self, data, batch_size, n_threads):
        """Loss and metrics of data, without a step: sums of slices that depend on the network alone, not on threads."""
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
        """The mean of the losses of batches, by their rows: what a fit shows of a loss that is no mean of rows."""
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
        """Slices of rows that take about 0.1 s, so that Ctrl-C is seen between them."""
        count = max(1, min(EVALUATE_ROWS, int(SLICE_WORK / max(self._work, 1))))
        return [slice(first, min(first + count, rows)) for first in range(0, rows, count)]

    def _row_scores(self, data, part, n_threads):
        """Weighted loss and native metrics of each row of a part of the data, (1 + metrics, rows), and outputs if needed."""
        x, y, loss = check.opened(data.x[part]), check.opened(data.y[part]), self._loss
        rows = len(x)
        values = np.empty((self._network.n_values, rows))
        in_python = self._network.in_python
        outputs = np.empty((rows, self._units), self.dtype) if in_python else self._tally.outputs(rows, self._units, self.dtype)

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

    def evaluate(self, x, y=None, batch_size=None, verbose="auto", sample_weight=None, class_weight=None, n_threads=None,
                 return_dict=False, callbacks=None):
        """Loss and metrics of the model on data.

        Parameters
        ----------
        x, y, sample_weight, class_weight, n_threads : as in `fit`
        batch_size : int, optional
            The result depends on it only for a loss that is no mean over rows, reduction="sum" or `Dice()`, say: it is
            the mean of the losses of batches, by their rows, as in a fit and in Keras.  32 by default.
        verbose : {"auto", 0, 1, 2}
            Other than 0 prints the result on a line.
        return_dict : bool
        callbacks : list of nnfast.callbacks, optional
            Their on_test_begin and on_test_end are called.

        Returns
        -------
        float, list [loss, metrics...] if there are metrics, or dict

        Raises
        ------
        ValueError
            For data that do not fit or are not finite, and for targets that the loss does not have.

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

    def test_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Loss and metrics of these rows as one batch, without a step; parameters and result as `evaluate`.

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

    def predict(self, x, batch_size=None, verbose=0, n_threads=None):
        """Outputs of the last layer.  Any number of threads may call it on one model at once.

        Parameters
        ----------
        x : array (n, columns), or (n, ...) behind Flatten
        batch_size, verbose
            Accepted as in Keras, without effect: nothing is printed, and the result does not depend on batches.
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
                self._build_from_input()
            network = self._network
            if network is None:
                raise RuntimeError("the model must be built first: begin it with Input, or call build or fit.")
        given = check.table(x, "x")
        x = check.matrix(given, "x", self._n_inputs, self._flatten)
        rows = len(x)
        out = np.empty((rows, self._units), self.dtype)
        x_rows = check.opened(x)
        if rows * self._work < _threads.ROWS_WORK_PER_THREAD and n_threads is None:     # the way of a single row, kept short
            bad = network.predict_rows(x_rows, 0, rows, out)
            if bad >= 0:
                raise check.not_finite(x, bad, "x", columns=check.names(given))
            return out
        for part in self._slices(rows):
            def predict(start, stop, first=part.start):
                return network.predict_rows(x_rows, first + start, first + stop, out)

            for bad in _threads.over_rows(predict, part.stop - part.start, self._work, n_threads):
                if bad >= 0:
                    raise check.not_finite(x, bad, "x", columns=check.names(given))
        return out

    # -- weights -----------------------------------------------------------------------------------------------------

    def _built_network(self):
        self._build_from_input()
        if self._network is None:
            raise RuntimeError("the model must be built first: begin it with Input, or call build or fit.")
        return self._network

    @property
    def params(self):
        """All weights in one vector; writing to it changes the model.

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
        """The weight arrays as views of a vector in the layout of params."""
        return [_view(vector, *array) for arrays in self._built_network().arrays for array in arrays]

    def _weights(self):
        """Views of the weight arrays, layer by layer: those that are trained, then those that training moves."""
        network = self._built_network()
        return [view for layer, arrays, states in zip(self._owners, network.arrays, network.states)
                for view in [*(_view(network.params, *array) for array in arrays),
                             *(_view(network.state, *state) for state in states if layer._moves_state)]]

    def get_weights(self):
        """Copies of the weight arrays of each layer, in Keras' order.

        Dense has kernel (n_in, n_out) and bias (n_out,); normalisations gamma and beta, batch normalisation also its moving
        mean and variance; PReLU alpha.

        Examples
        --------
        >>> import nnfast
        >>> model = nnfast.Sequential([nnfast.Input(784), nnfast.Dense(84), nnfast.Dense(10, use_bias=False)])
        >>> [array.shape for array in model.get_weights()]
        [(784, 84), (84,), (84, 10)]
        """
        return [view.copy() for view in self._weights()]

    def set_weights(self, weights):
        """Sets the weight arrays, in the order and shapes of `get_weights`; a ValueError where they do not fit.

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

    def count_params(self):
        """Number of weights, the moving means and variances of batch normalisation among them, as in Keras.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input(784), nnfast.Dense(84), nnfast.Dense(10)]).count_params()
        66790
        """
        return sum(view.size for view in self._weights())

    def summary(self):
        """Prints a table of the layers, their output shapes and parameters.  A notebook shows the same table of a model as HTML.

        Examples
        --------
        >>> import nnfast
        >>> nnfast.Sequential([nnfast.Input(4), nnfast.Dense(3), nnfast.layers.BatchNormalization()]).summary()
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
        """The rows of the summary, its header first, and the lines below it."""
        self._build_from_input()
        built = self._network is not None
        rows, seen, trained, moved, width = [("Layer (type)", "Output Shape", "Param #")], {}, 0, 0, self._n_inputs if built else None
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
            rows.append((f"{name} ({kind})", f"(None, {width})" if width is not None else "?", f"{sum(sizes):,}" if built or not sizes else "?"))
        if not built:
            return rows, ["Total params: known once built"]
        counts = {"Total": trained + moved, "Trainable": trained, "Non-trainable": moved}
        return rows, [f"{which} params: {count:,} ({_console.bytes_text(count * self.dtype.itemsize)})" for which, count in counts.items()]

    def _repr_html_(self):
        """The summary as a table of HTML, for notebooks."""
        return _console.table_html("Sequential", *self._table())

    def __repr__(self):
        return f"Sequential({self.layers!r}, dtype={self.dtype.name!r})"

    # -- files and copies --------------------------------------------------------------------------------------------

    def save(self, path):
        """Saves layers, weights, what was compiled, the state of the optimizer, the epoch and the random state: `nnfast.load` is its inverse.

        A fit of the loaded model gives the same bits as one of this: fit(epochs=20) is fit(epochs=10), save, load in another
        process and fit(epochs=20, initial_epoch=model.epoch).  What only lives within a fit ends with it: the gradients
        of `LBFGS`, the waiting of callbacks, and with use_ema the weights beside their mean, which a fit ends by setting; a
        `ModelCheckpoint` saves them before that.

        The file is written beside its name and takes it when it is whole, on the disk: at every moment there is the old one
        or the new one.

        Parameters
        ----------
        path : str or path
            Ends in ".npz", which `np.load` reads, or ".safetensors".

        Raises
        ------
        ValueError
            For another ending, a function without a name (a lambda), or random numbers that are not NumPy's PCG64.  Losses,
            metrics, schedules and initializers of your own are saved by their name alone, see `nnfast.load`.
        OSError
            If the file can not be written; the one that was there is as it was.

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

    def save_weights(self, path):
        """Saves the arrays of `get_weights` alone; path and errors as for `save`.

        Examples
        --------
        >>> import os, tempfile, numpy as np, nnfast
        >>> model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_weights(os.path.join(folder, "weights.npz"))
        ...     with np.load(os.path.join(folder, "weights.npz")) as file:
        ...         [np.array_equal(file[f"weights.{i}"], array) for i, array in enumerate(model.get_weights())]
        [True, True]
        """
        _model_file.save_weights(path, self.get_weights())

    def load_weights(self, path):
        """Sets the weights to those of a file of `save` or `save_weights`.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        OSError
            If the file can not be read.
        ValueError
            If it is damaged or not of nnfast, or its arrays are not of the shapes of this model, which is then as it was.
        RuntimeError
            If the model is not built.

        Examples
        --------
        >>> import os, tempfile, nnfast
        >>> model, other = (nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)], seed=seed) for seed in range(2))
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
                    raise ValueError(f"the state of {self.optimizer!r} must be of shape {self._network.slots.shape}, got {slots.shape}.")
                self._network.slots[...] = slots
                self._network.steps = steps

    def __copy__(self):
        return copy.deepcopy(self)      # models share neither an optimizer nor a random generator

    def _saved(self):
        """What a file holds, see `_model_file`: the documented names of the state."""
        self._build_from_input()
        state = self.__getstate__()
        return {"layers": self.layers, "dtype": self.dtype.name, "n_inputs": self._n_inputs, "optimizer": self.optimizer,
                "loss": self._loss, "metrics": [metric for _, metric, weighted in self._metrics if not weighted],
                "weighted_metrics": [metric for _, metric, weighted in self._metrics if weighted], "epoch": self.epoch,
                "random_generator": self._rng, **{name: state.get(name) for name in ("weights", "slots", "steps")}}

    def _restore(self, saved):
        """Takes over what `_saved` gave, in a model that has these layers and is not built."""
        state = {**self.__getstate__(), "_n_inputs": saved["n_inputs"], "epoch": saved["epoch"], "_rng": saved["random_generator"]}
        if saved["loss"] is not None:
            state |= {"_advised": True,         # by compile, before the model was saved
                      "optimizer": optimizers.get(saved["optimizer"]), "_loss": losses.get(saved["loss"]),
                      "_metrics": _metrics(saved["metrics"], saved["weighted_metrics"])}
        state |= {name: saved[name] for name in ("weights", "slots", "steps") if saved[name] is not None}
        self.__setstate__(state)

    # -- for other modules of nnfast -----------------------------------------------------------------------------------

    def _bare_copy(self, x, dtype=None):
        """A compiled copy, built for x, without the metrics that Python computes.

        In another dtype its optimizer is plain gradient descent, and metrics are left out.  A copy of a model that is not
        built gets the weights that the model would get.
        """
        if dtype is None:
            twin = copy.deepcopy(self)
        else:           # not by deepcopy: it takes over changed settings of the optimizer first, which may drop its state
            with self._claims.take("a copy"):
                state = {name: value for name, value in self.__dict__.items() if name not in NOT_COPIED}
                if self._network is not None:
                    state["weights"] = self.get_weights()
                state.update(dtype=np.dtype(dtype), layers=copy.deepcopy(self.layers), _rng=copy.deepcopy(self._rng), _metrics=[])
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
        return value, gradient, np.array(twin.params), list(zip(labels, [array.shape for array in gradients], strict=True))


def _snake_case(name):
    """The name of a class as Keras names its layers: batch_normalization, p_re_lu."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def _view(vector, start, shape):
    """An array of a vector."""
    return vector[start:start + math.prod(shape)].reshape(shape)


class _Fit:
    """What a fit carries from epoch to epoch."""

    def __init__(self, model, hooks, reporter, validation, batch_size, n_threads, nonfinite, deadline):
        self.model, self.hooks, self.reporter, self.batch_size = model, hooks, reporter, batch_size
        self.validation, self.n_threads, self.nonfinite, self.deadline = validation, n_threads, nonfinite, deadline
        self.history, self.logs = History(), {}

    def begin_epoch(self, epoch):
        self.reporter.begin(epoch)
        self.hooks.call("on_epoch_begin", epoch, {})

    def end_epoch(self, epoch, logs):
        """Validation, callbacks, the record and the line of an epoch."""
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
        """Whether a callback or the clock ends the fit."""
        return self.model.stop_training or self.deadline is not None and time.perf_counter() >= self.deadline


def _nonfinite(nonfinite, hooks):
    """What fit does on a loss that is not finite, by its option and by TerminateOnNaN."""
    for callback in hooks.callbacks:
        if isinstance(callback, TerminateOnNaN):
            if nonfinite == "ignore":
                raise ValueError("TerminateOnNaN and nonfinite='ignore' contradict each other: leave one of them out.")
            nonfinite = "raise" if callback.raise_error else "stop"
    return nonfinite


def _metrics(*groups):
    """[(name, metric, whether it is weighted)] of metrics and weighted metrics; of two with one name the second is "weighted_..."."""
    chosen = []
    for weighted, group in enumerate(groups):
        group = [] if group is None else list(group) if isinstance(group, (list, tuple)) else [group]
        for metric in map(metrics.get, group):
            taken = weighted and any(name == metric.name for name, _, other in chosen if not other)
            chosen.append((f"weighted_{metric.name}" if taken else metric.name, metric, bool(weighted)))
    names = [name for name, _, _ in chosen]
    if len(set(names)) < len(names) or "loss" in names:
        raise ValueError(f"metrics must have names that differ, and not 'loss'; got {names}.")
    return chosen
