"""What runs beside the native loop: Keras' callbacks, called between its ranges.

    fit                 set_params  set_model  on_train_begin
      per epoch         on_epoch_begin
        per range       on_train_batch_begin, on_train_batch_end     only if a callback has them: then ranges are one batch
        validation      on_test_begin  on_test_end
                        on_epoch_end                                 all get the same dict `logs`, and may add to it
                        on_train_end

A hook may use its model as it likes, but for fit, compile and build: no step is under way.  What it raises ends the fit
and reaches its caller; the model keeps the weights of the last step.  Of Keras' hooks those of single batches of
evaluation and prediction are absent, as these are not done by batches.
"""
import contextlib
import copy
import os
import warnings

import numpy as np

from nnfast import _validation as check

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint", "ProgressBar",
           "ReduceLROnPlateau", "TerminateOnNaN"]

HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_begin",
         "on_test_end")
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callback:
    """The hooks of a fit; a callback of your own overrides those it needs.

    Setting `self.model.stop_training = True` ends the fit after the epoch, or in a batch hook after the batch.  A fit
    with batch hooks calls native code for each batch, which costs some microseconds a batch; one without is as fast as
    without callbacks.

    `sklearn.base.clone`, and so grid searches and `nnfast.cross_validate`, construct a callback anew from copies of the
    arguments that it was constructed with, without what fits have left in it.  `copy.deepcopy` copies that, too.

    Attributes
    ----------
    model : Sequential
        In a fit of `MLPClassifier` or `MLPRegressor` an object with `stop_training`, `get_weights`, `set_weights`,
        `optimizer.learning_rate`, and the estimator as `estimator`; their logs hold "loss" and "val_score".
    params : dict
        "epochs", "initial_epoch", "steps" (batches of an epoch), "verbose".

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> class Enough(nnfast.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["loss"] < 0.01:
    ...             self.model.stop_training = True
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> x = np.linspace(-1, 1, 32).reshape(-1, 1)
    >>> len(model.fit(x, 2 * x, epochs=1000, verbose=0, callbacks=[Enough()]).epoch) < 1000
    True
    """

    model = None
    params = None

    def __new__(cls, *args, **kwargs):
        callback = super().__new__(cls)
        callback._arguments = args, kwargs
        return callback

    def __sklearn_clone__(self):
        args, kwargs = copy.deepcopy(self._arguments)
        return type(self)(*args, **kwargs)

    def set_params(self, params):
        """Called first, with `params`."""
        self.params = params

    def set_model(self, model):
        """Called second, with the model."""
        self.model = model

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_train_end(self, logs=None):
        """After the last epoch, with its logs; not after an exception."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch and its validation, with loss, metrics and "val_..." of both."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before a batch, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch, logs=None):
        """After a batch, with the means of the epoch so far of the loss and of the metrics that the core adds up."""

    def on_test_begin(self, logs=None):
        """Before an evaluation, that of validation data too."""

    def on_test_end(self, logs=None):
        """After it, with loss and metrics."""

    def __repr__(self):
        """The arguments that it keeps under their own names, where they differ from the defaults."""
        import inspect

        shown = [f"{name}={getattr(self, name)!r}" for name, parameter in inspect.signature(type(self)).parameters.items()
                 if name in vars(self) and (repr(getattr(self, name)) != repr(parameter.default)
                                            and not (isinstance(parameter.default, (int, float)) and getattr(self, name) == parameter.default))]
        return f"{type(self).__name__}({', '.join(shown)})"


class CallbackList:
    """The callbacks of a fit as one.

    Parameters
    ----------
    callbacks : list of callbacks, a callback or None
    model : Sequential, or what an estimator shows of itself
    params : dict
        What `Callback.set_params` gets.
    opened : function, optional
        Makes a context manager in which hooks run.
    """

    def __init__(self, callbacks, model, params, opened=contextlib.nullcontext):
        given = [] if callbacks is None else list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
        for callback in given:
            if isinstance(callback, type) or not callable(getattr(callback, "set_model", None)):
                raise TypeError(f"callbacks must be objects of nnfast.callbacks, or of a class derived from Callback; got {callback!r}.")
        self.callbacks, self.opened = given, opened
        self.hooks = {name: [hook for callback in given if (hook := self._hook(callback, name)) is not None] for name in HOOKS}
        self.by_batch = bool(self.hooks["on_train_batch_begin"] or self.hooks["on_train_batch_end"])
        with opened():
            for callback in given:
                callback.set_params(params)
                callback.set_model(model)

    @staticmethod
    def _hook(callback, name):
        """The hook of a callback, if it is more than the empty one of Callback; on_batch_... is Keras' short name for on_train_batch_..."""
        for known in (name, name.replace("_train_batch_", "_batch_")):
            hook = getattr(callback, known, None)
            if callable(hook) and getattr(hook, "__func__", hook) is not getattr(Callback, known, None):
                return hook
        return None

    def call(self, name, *arguments):
        """Calls a hook of all callbacks, in their order."""
        if self.hooks[name]:
            with self.opened():
                for hook in self.hooks[name]:
                    hook(*arguments)


class History(Callback):
    """The record of a fit.

    Attributes
    ----------
    history : dict of lists
        "loss", the metrics under their names, "val_..." of each, and what callbacks added; an entry an epoch.
    epoch : list of int
        Epochs trained, from 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="zeros")], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> history = model.fit(np.ones((4, 1)), np.ones(4), epochs=2, verbose=0)
    >>> history, [round(loss, 2) for loss in history.history["loss"]]
    (History(2 epochs: loss), [1.0, 0.36])
    """

    def __init__(self):
        self.history = {}
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        """Adds the logs of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self):
        return f"History({len(self.epoch)} epochs: {', '.join(self.history)})"


class _Monitor(Callback):
    """What callbacks share that compare a value of the logs with its best."""

    _finite = None          # whether any value of this fit was finite; None before the first

    def __init__(self, monitor, mode, min_delta):
        self.monitor = monitor
        self.mode = check.one_of(mode, "mode", ("auto", "min", "max"))
        self.min_delta = abs(check.number(min_delta, "min_delta"))

    def _current(self, logs):
        """The value that is monitored."""
        if self.monitor not in logs:
            hint = (" Give fit validation_data or validation_split; for scikit-learn's estimators monitor 'val_score', which needs "
                    "validation_data or early_stopping." if self.monitor.startswith("val_") else "")
            raise ValueError(f"{type(self).__name__} monitors {self.monitor!r}; the logs hold {', '.join(logs)}.{hint}")
        value = logs[self.monitor]
        if np.ndim(value):
            raise ValueError(f"{type(self).__name__} must monitor a number; {self.monitor!r} is an array of shape {np.shape(value)}.")
        self._finite = bool(self._finite or np.isfinite(value))
        return value

    def _better(self, value, best):
        """Whether value improves on best, or is a first one, by more than min_delta.  NaN and infinity never do, even as a first value."""
        if not np.isfinite(value):
            return False
        if best is None:
            return True
        rises = self._rises()
        return value - self.min_delta > best if rises else value + self.min_delta < best

    def _warn_if_never_finite(self, consequence):
        """Says that no epoch of this fit can be the best."""
        if self._finite is False:
            warnings.warn(f"{type(self).__name__}: {self.monitor!r} was never finite, so no epoch was the best: {consequence}. "
                          f"Look at the history, and whether there are enough rows to compute it.", stacklevel=2)

    def _rises(self):
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return False
        for known, metric in zip(self.model.metrics_names[1:], self.model.metrics):
            if known == name:
                rises = getattr(type(metric), "_rises", None)
                if rises is not None:
                    return rises
        raise ValueError(f"{type(self).__name__} can not tell whether {self.monitor!r} should rise or fall: give mode='max' or mode='min'.")


class EarlyStopping(_Monitor):
    """Ends a fit whose monitored value has stopped to improve.

    Keras' rules, but for three: NaN or infinity never is an improvement, not even in the first epoch; the best weights
    are always those of an improvement; and a value that is not in the logs is an error.

    Parameters
    ----------
    monitor : str
        A name of the logs.
    min_delta : float
        An improvement must be larger than this.
    patience : int
        Epochs without improvement after which training ends; the first epoch never ends it.
    verbose : {0, 1}
        1 prints when it stops.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" knows it of losses and the metrics of nnfast.
    baseline : float, optional
        Only improvements beyond it end the waiting.
    restore_best_weights : bool
        At the end of the fit, stopped early or not, set the weights of the best epoch.  Where no value was finite there is
        no best epoch: the weights stay those of the last one, and a warning says so.
    start_from_epoch : int
        Epochs before it do not count.

    Attributes
    ----------
    best, best_epoch : float, int
        Or None while there is none.
    stopped_epoch : int
        The epoch that ended the fit, else 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> stopping = nnfast.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    >>> history = model.fit(x, x[:, 0], epochs=5, validation_split=0.25, verbose=0, callbacks=[stopping])
    >>> stopping.best == min(history.history["val_loss"])
    True
    """

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None, restore_best_weights=False,
                 start_from_epoch=0):
        super().__init__(monitor, mode, min_delta)
        self.patience = check.size(patience, "patience", 0)
        self.verbose = verbose
        self.baseline = None if baseline is None else check.number(baseline, "baseline")
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = check.size(start_from_epoch, "start_from_epoch", 0)
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        """Forgets the fit before."""
        self.wait = self.stopped_epoch = 0
        self.best = self.best_epoch = self.best_weights = None
        self._finite = None

    def on_epoch_end(self, epoch, logs=None):
        """Compares, and stops."""
        current = self._current(logs)
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._better(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._better(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Sets the best weights."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
        elif self.restore_best_weights:
            self._warn_if_never_finite("the weights stay those of the last one")


class ModelCheckpoint(_Monitor):
    """Saves the model, after every epoch or the best: as `Sequential.save`, so `nnfast.load` goes on with the epoch after.

    The file is written beside its name and renamed when it is whole: at every moment there is the old one or the new one.

    Parameters
    ----------
    filepath : str or path
        Ends in ".npz" or ".safetensors"; may hold {epoch} (from 1), {batch} and names of the logs, with formats:
        "{epoch:02d}-{val_loss:.3f}.npz".  Folders that are missing are made.
    monitor, mode : as for `EarlyStopping`
    verbose : {0, 1}
    save_best_only : bool
        Save only when the monitored value has improved.  NaN or infinity never is an improvement: where no value was
        finite no file is written, and a warning says so.
    save_weights_only : bool
        As `Sequential.save_weights`, for `load_weights`.
    save_freq : "epoch" or int
        After every epoch, or after each `save_freq` batches; then nothing can be monitored that comes at the end of epochs.  A model that
        was saved within an epoch begins this epoch again when it is loaded and fitted from `model.epoch` on.
    initial_value_threshold : float, optional
        The best value of an earlier training.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "best.npz")
    ...     best = nnfast.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    ...     history = model.fit(np.ones((8, 2)), np.ones(8), epochs=3, verbose=0, callbacks=[best])
    ...     model = nnfast.load(path)
    >>> model.epoch
    3
    """

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
                 save_freq="epoch", initial_value_threshold=None):
        super().__init__(monitor, mode, 0)
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith((".npz", ".safetensors")):
            raise ValueError(f"filepath must end in '.npz' or '.safetensors'; got {self.filepath!r}.")
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = bool(save_best_only), bool(save_weights_only)
        self.save_freq = save_freq if save_freq == "epoch" else check.size(save_freq, "save_freq")
        self.best = None if initial_value_threshold is None else check.number(initial_value_threshold, "initial_value_threshold")
        if self.save_freq != "epoch":       # only then, for a hook of batches makes ranges of one batch
            self.on_train_batch_end = self._after_batch
        self._seen, self._epoch = 0, 0

    def on_train_begin(self, logs=None):
        """Forgets which values were finite; the best value of an earlier fit stays."""
        self._finite = None

    def on_epoch_begin(self, epoch, logs=None):
        """Keeps the number of the epoch."""
        self._epoch = epoch

    def _after_batch(self, batch, logs=None):
        self._seen += 1
        if self._seen >= self.save_freq:
            self._seen = 0
            self._save({"batch": batch + 1}, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Saves, if the epoch is worth it."""
        if self.save_freq == "epoch":
            self._save({}, logs)

    def on_train_end(self, logs=None):
        """Says so if nothing was saved because no value was finite."""
        self._warn_if_never_finite("nothing was saved")

    def _save(self, place, logs):
        if self.save_best_only:
            current = self._current(logs)
            if not self._better(current, self.best):
                return
            self.best = current
        try:
            path = self.filepath.format(**{**logs, "epoch": self._epoch + 1, **place})
        except (KeyError, IndexError) as error:
            raise ValueError(f"filepath {self.filepath!r} asks for {error}; there are epoch, {', '.join([*place, *logs])}.") from None
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: {'weights' if self.save_weights_only else 'model'} saved to {path}")


def _number_as_rate(callback, model):
    """The learning rate, which the callback is about to change, is a number."""
    rate = getattr(model.optimizer, "learning_rate", None)
    if rate is None or callable(rate):
        raise ValueError(f"{type(callback).__name__} sets the learning rate, so the optimizer must have a number for it; got {model.optimizer!r}. "
                         f"Leave the callback out, or give the optimizer a float.")


class ReduceLROnPlateau(_Monitor):
    """Lowers the learning rate when the monitored value has stopped to improve, as Keras; adds "learning_rate" to the logs.

    NaN or infinity never is an improvement, not even in the first epoch.

    Parameters
    ----------
    monitor, mode, verbose : as for `EarlyStopping`
    factor : float in (0, 1)
        The new rate over the old one.
    patience : int
        Epochs without improvement.
    min_delta : float
        An improvement must be larger than this.
    cooldown : int
        Epochs after a reduction that are not counted.
    min_lr : float
        No rate below this.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="zeros")], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> lower = nnfast.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2)
    >>> history = model.fit(np.ones((4, 1)), np.zeros(4), epochs=6, verbose=0, callbacks=[lower])          # the loss is 0 from the start
    >>> history.history["learning_rate"]
    [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    """

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0):
        super().__init__(monitor, mode, min_delta)
        self.factor = check.number(check.positive(factor, "factor"), "factor", 0, 1, open_high=True)
        self.patience = check.size(patience, "patience", 0)
        self.verbose = verbose
        self.cooldown = check.size(cooldown, "cooldown", 0)
        self.min_lr = check.number(min_lr, "min_lr", 0)
        self.best, self.wait, self.cooling = None, 0, 0

    def on_train_begin(self, logs=None):
        """Forgets the fit before."""
        _number_as_rate(self, self.model)
        self.best, self.wait, self.cooling = None, 0, 0

    def on_epoch_end(self, epoch, logs=None):
        """Compares, and lowers."""
        optimizer = self.model.optimizer
        logs["learning_rate"] = optimizer.learning_rate
        current = self._current(logs)
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        if self._better(current, self.best):
            self.best, self.wait = current, 0
        elif not self.cooling:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate reduced to {optimizer.learning_rate:g}")


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch; adds "learning_rate" to the logs.

    For a rate that changes with every step give the optimizer a schedule instead.

    Parameters
    ----------
    schedule : callable
        (epoch, learning_rate) -> learning_rate, or (epoch) -> learning_rate; one of nnfast.schedules is called with the epoch.
    verbose : {0, 1}

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="zeros")], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> halve = nnfast.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    >>> model.fit(np.ones((4, 1)), np.ones(4), epochs=3, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.1, 0.05, 0.025]
    """

    def __init__(self, schedule, verbose=0):
        import inspect

        if not callable(schedule):
            raise TypeError(f"schedule must be a function of the epoch, or of the epoch and the learning rate; got {schedule!r}.")
        self.schedule, self.verbose = schedule, verbose
        try:
            signature = inspect.signature(schedule)
            signature.bind(0, 0.)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False
        except ValueError:              # a function in C may have no signature
            self._takes_rate = True

    def on_train_begin(self, logs=None):
        """Checks that the rate can be set."""
        _number_as_rate(self, self.model)

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the rate."""
        optimizer = self.model.optimizer
        optimizer.learning_rate = check.number(self.schedule(epoch, optimizer.learning_rate) if self._takes_rate else self.schedule(epoch),
                                               "the learning rate of the schedule", 0)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate:g}")

    def on_epoch_end(self, epoch, logs=None):
        """Adds the rate to the logs."""
        logs["learning_rate"] = self.model.optimizer.learning_rate


class CSVLogger(Callback):
    """Writes the logs of every epoch to a file, a line each.

    The columns are "epoch" and the sorted names of the logs of the first epoch.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character.
    append : bool
        Go on in a file that is there, in the order of its columns, whose names must be those of this fit; else it is
        written anew.  (Keras does not look at the names.)

    Raises
    ------
    ValueError
        With append=True, in a fit whose columns are not those of the file: before the first epoch if the file lacks a metric
        of the model, after it if the file has columns that the logs lack, or lacks those of other callbacks.  The file stays
        as it was.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="zeros")], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     history = model.fit(np.ones((4, 1)), np.ones(4), epochs=2, verbose=0, callbacks=[nnfast.callbacks.CSVLogger(path)])
    ...     with open(path) as file:
    ...         print(file.readline().strip(), len(file.readlines()))
    epoch,loss 2
    """

    def __init__(self, filename, separator=",", append=False):
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character; got {separator!r}.")
        self.filename, self.separator, self.append = os.fspath(filename), separator, bool(append)
        self.names = None

    def on_train_begin(self, logs=None):
        """Begins the file, or looks at the columns of the one to go on in."""
        self.names = None
        if self.append:
            header = self._header()
            missing = [name for name in getattr(self.model, "log_names", ()) if header is not None and name not in header]
            if missing:
                self._refuse(header, missing)
        with open(self.filename, "a" if self.append else "w"):
            pass

    def on_epoch_end(self, epoch, logs=None):
        """Writes a line."""
        import csv

        first = self.names is None
        header = self._header() if first else None
        if first:
            names = ["epoch", *sorted(logs)]
            if header is not None and sorted(header) != sorted(names):
                self._refuse(header, [name for name in names if name not in header])
            self.names = header or names
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.names, restval="NA", extrasaction="ignore", delimiter=self.separator)
            if first and header is None:
                writer.writeheader()
            elif first and not self._ends_a_line():
                file.write(writer.writer.dialect.lineterminator)
            writer.writerow({"epoch": epoch, **{name: value.tolist() if np.ndim(value) else value for name, value in logs.items()}})

    def _header(self):
        """The columns of the file, or None where it is empty or not there."""
        import csv

        if not os.path.exists(self.filename):
            return None
        with open(self.filename, newline="", encoding="utf-8-sig") as file:
            header = next((row for row in csv.reader(file, delimiter=self.separator) if row), None)
        if header is not None and "epoch" not in header:
            raise ValueError(f"the first line of {self.filename!r} must name the columns, 'epoch' among them, separated by {self.separator!r}; "
                             f"got {self.separator.join(header)!r}. Give its separator, another file, or append=False, which writes it anew.")
        return header

    def _refuse(self, header, missing):
        """The error for a file with other columns."""
        raise ValueError(f"with append=True the columns of {self.filename!r} must be those of this fit; the file has {', '.join(header)}"
                         f"{', and lacks ' + ', '.join(missing) if missing else ', more than this fit'}. Give another file, or append=False, "
                         f"which writes it anew.")

    def _ends_a_line(self):
        with open(self.filename, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() in b"\r\n"


class TerminateOnNaN(Callback):
    """Ends a fit in which a loss or gradient is not finite: as fit(nonfinite="stop"), or with `raise_error` "raise".

    The core looks at every batch anyway, and puts back the weights of up to 0.1 s before (Keras leaves them broken); so
    this costs nothing.  It can not be combined with nonfinite="ignore".  A validation loss that is not finite ends the fit, too.

    Parameters
    ----------
    raise_error : bool

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile(nnfast.optimizers.SGD(1e4), "mse")
    >>> stop = nnfast.callbacks.TerminateOnNaN(raise_error=True)
    >>> model.fit(np.ones((4, 1)), np.ones(4), epochs=100, verbose=0, callbacks=[stop])
    Traceback (most recent call last):
    ...
    FloatingPointError: the loss became NaN or infinite in epoch ...
    """

    def __init__(self, raise_error=False):
        self.raise_error = bool(raise_error)

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the validation loss."""
        if not np.isfinite(logs.get("val_loss", 0)):
            message = f"the validation loss became NaN or infinite in epoch {epoch + 1}"
            if self.raise_error:
                raise FloatingPointError(message + ".")
            warnings.warn(message + "; the fit ends.", RuntimeWarning, stacklevel=2)
            self.model.stop_training = True


class LambdaCallback(Callback):
    """Functions as hooks.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable (epoch, logs), optional
    on_train_begin, on_train_end, on_test_begin, on_test_end : callable (logs), optional
    on_train_batch_begin, on_train_batch_end : callable (batch, logs), optional

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> show = nnfast.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, round(logs["loss"], 2)))
    >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="zeros")], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> history = model.fit(np.ones((4, 1)), np.ones(4), epochs=2, verbose=0, callbacks=[show])
    0 1.0
    1 0.36
    """

    def __init__(self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None, on_train_batch_begin=None,
                 on_train_batch_end=None, on_test_begin=None, on_test_end=None):
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin, "on_train_end": on_train_end,
                 "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end, "on_test_begin": on_test_begin,
                 "on_test_end": on_test_end}
        for name, function in given.items():
            if function is not None:
                if not callable(function):
                    raise TypeError(f"{name} must be a function, got {function!r}.")
                setattr(self, name, function)


class ProgressBar(Callback):
    """One bar for the whole fit, an epoch a tick, with the latest logs: for long fits with verbose=0.  It needs tqdm.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, kernel_initializer="zeros")], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> model.fit(np.ones((4, 1)), np.ones(4), epochs=5, verbose=0, callbacks=[nnfast.callbacks.ProgressBar()])
    History(5 epochs: loss)
    """

    def __init__(self):
        self.bar = None

    def on_train_begin(self, logs=None):
        """Shows the bar."""
        from tqdm.auto import tqdm

        self.bar = tqdm(total=self.params["epochs"] - self.params["initial_epoch"], unit="epoch")

    def on_epoch_end(self, epoch, logs=None):
        """Moves it."""
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in logs.items() if np.ndim(value) == 0}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        """Closes it."""
        self.bar.close()
        self.bar = None
