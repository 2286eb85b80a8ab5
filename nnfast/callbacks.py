"""Keras' callbacks: Python code that runs between the native calls of a fit.

    fit                 set_params  set_model  on_train_begin
      per epoch         on_epoch_begin
        per batch       on_train_batch_begin  on_train_batch_end
        validation      on_test_begin  on_test_end
                        on_epoch_end
                        on_train_end

One native call trains on a range of batches.  If a callback has hooks of batches, each range is one
batch.  All callbacks get the same dict `logs`, and may add to it.

Between ranges no step is running, so a hook may use its model freely, except for fit, compile and
build.  An exception in a hook ends the fit and is raised to the caller; the model keeps the weights
of the last step.  Keras' hooks of batches of evaluation and prediction are absent, since these do
not run in batches.

Callbacks that monitor a value never take NaN or infinity for an improvement, not even in the first
epoch.
"""
from __future__ import annotations

import contextlib
import copy
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from numpy.typing import NDArray
    from typing_extensions import Self

    from nnfast.schedules import Schedule

    _Logs: TypeAlias = dict[str, Any]
    _Mode: TypeAlias = Literal["auto", "min", "max"]
    _Hook: TypeAlias = Callable[[_Logs], object]
    _NumberedHook: TypeAlias = Callable[[int, _Logs], object]

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler",
           "ModelCheckpoint", "ProgressBar", "ReduceLROnPlateau", "TerminateOnNaN"]

HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin",
         "on_train_batch_end", "on_test_begin", "on_test_end")


class Callback:
    """The base class of callbacks: a callback of your own overrides the hooks it needs.

    `self.model.stop_training = True` ends the fit after the epoch, or after the batch if a hook of
    batches sets it.  Hooks of batches cost some microseconds a batch, since native code is then
    called for each batch; other hooks cost nothing that can be measured.

    `sklearn.base.clone` makes a new callback from copies of the arguments, without the state that
    fits have left in it.  Grid searches and `nnfast.cross_validate` use it.  `copy.deepcopy` copies
    the state, too.

    Attributes
    ----------
    model : Sequential
        In a fit of `MLPClassifier` or `MLPRegressor` it is an object with `stop_training`,
        `get_weights`, `set_weights`, `save_weights`, `optimizer.learning_rate` and `estimator`, the
        estimator; the logs hold "loss" and "val_score".
    params : dict
        "epochs", "initial_epoch", "steps" (number of batches in an epoch), "verbose".

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
    >>> history = model.fit(x, 2 * x, epochs=1000, verbose=0, callbacks=[Enough()])
    >>> len(history.epoch) < 1000
    True
    """

    model: Any = None                   # Any, since the module of Sequential imports this one
    params: dict[str, Any] = None       # type: ignore[assignment]      # a dict in every hook
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        callback = super().__new__(cls)
        callback._arguments = args, kwargs
        return callback

    def __sklearn_clone__(self) -> Self:
        args, kwargs = copy.deepcopy(self._arguments)
        return type(self)(*args, **kwargs)

    def set_params(self, params: dict[str, Any]) -> None:
        """Sets `params`; called before all other methods."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Sets `model`; called after `set_params`."""
        self.model = model

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: _Logs | None = None) -> None:
        """Called after the last epoch, with its logs; not called after an exception."""

    def on_epoch_begin(self, epoch: int, logs: _Logs | None = None) -> None:
        """Called before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: _Logs | None = None) -> None:
        """Called after an epoch and its validation; logs: loss, metrics, and "val_..." of each."""

    def on_train_batch_begin(self, batch: int, logs: _Logs | None = None) -> None:
        """Called before a batch, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: _Logs | None = None) -> None:
        """Called after a batch, with the mean loss and the metrics of the epoch so far.

        Only the metrics that have a native kernel are in these logs.
        """

    def on_test_begin(self, logs: _Logs | None = None) -> None:
        """Called before an evaluation, e.g. of the validation data."""

    def on_test_end(self, logs: _Logs | None = None) -> None:
        """Called after an evaluation, with loss and metrics."""

    def __repr__(self) -> str:
        """Shows the arguments that differ from their defaults, if they are kept as attributes."""
        import inspect

        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value, default = vars(self).get(name, parameter.default), parameter.default
            same_number = isinstance(default, (int, float)) and value == default
            if repr(value) != repr(default) and not same_number:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class CallbackList:
    """The callbacks of a fit: calls a hook of all of them at once.

    Parameters
    ----------
    callbacks : list of callbacks, a callback or None
    model : Sequential, or what an estimator shows of itself
    params : dict
        The argument of `Callback.set_params`.
    opened : function, optional
        Returns the context manager in which hooks run, `Claims.opened` of the model.
    """

    def __init__(self, callbacks: Any, model: Any, params: dict[str, Any],
                 opened: Callable[[], Any] = contextlib.nullcontext) -> None:
        given = [] if callbacks is None else list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
        for callback in given:
            if isinstance(callback, type) or not callable(getattr(callback, "set_model", None)):
                raise TypeError(f"callbacks must be objects of nnfast.callbacks, or of a class derived from Callback; "
                                f"got {callback!r}.")
        self.callbacks, self.opened = given, opened
        self.hooks = {name: [hook for callback in given if (hook := self._hook(callback, name)) is not None]
                      for name in HOOKS}
        self.by_batch = bool(self.hooks["on_train_batch_begin"] or self.hooks["on_train_batch_end"])
        with opened():
            for callback in given:
                callback.set_params(params)
                callback.set_model(model)

    @staticmethod
    def _hook(callback: Any, name: str) -> Callable[..., object] | None:
        """The hook of a callback, or None if the callback does not override it.

        Keras' short name of on_train_batch_... is on_batch_...
        """
        for known in (name, name.replace("_train_batch_", "_batch_")):
            hook = getattr(callback, known, None)
            if callable(hook) and getattr(hook, "__func__", hook) is not getattr(Callback, known, None):
                return hook
        return None

    def call(self, name: str, *arguments: Any) -> None:
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
        The logs: "loss", the metrics under their names, "val_..." of each, and what callbacks
        added.  Each list has one entry for each epoch.
    epoch : list of int
        The epochs, from 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, kernel_initializer="zeros")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> history = model.fit(np.ones((4, 1)), np.ones(4), epochs=2, verbose=0)
    >>> history, [round(loss, 2) for loss in history.history["loss"]]
    (History(2 epochs: loss), [1.0, 0.36])
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: _Logs | None = None) -> None:
        """Adds the logs of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        return f"History({len(self.epoch)} epochs: {', '.join(self.history)})"


class _Monitor(Callback):
    """Base class of callbacks that compare a value of the logs with the best one."""

    _finite: bool | None = None         # whether a value of this fit was finite; None before the first value

    def __init__(self, monitor: str, mode: _Mode, min_delta: float) -> None:
        self.monitor = monitor
        self.mode: _Mode = check.one_of(mode, "mode", ("auto", "min", "max"))
        self.min_delta = abs(check.number(min_delta, "min_delta"))

    def _current(self, logs: _Logs) -> float:
        """The monitored value in the logs."""
        if self.monitor not in logs:
            hint = ""
            if self.monitor.startswith("val_"):
                hint = (" Give fit validation_data or validation_split; for scikit-learn's estimators monitor "
                        "'val_score', which needs validation_data or early_stopping.")
            raise ValueError(f"{type(self).__name__} monitors {self.monitor!r}; the logs hold {', '.join(logs)}.{hint}")
        value = logs[self.monitor]
        if np.ndim(value):
            raise ValueError(f"{type(self).__name__} must monitor a number; {self.monitor!r} is an array of shape "
                             f"{np.shape(value)}.")
        self._finite = bool(self._finite or np.isfinite(value))
        return value

    def _better(self, value: float, best: float | None) -> bool:
        """Whether a value improves on the best one, if there is one, by more than min_delta."""
        if not np.isfinite(value):
            return False
        if best is None:
            return True
        return value - self.min_delta > best if self._rises() else value + self.min_delta < best

    def _warn_if_never_finite(self, consequence: str) -> None:
        """Warns if no value of this fit was finite."""
        if self._finite is False:
            warnings.warn(f"{type(self).__name__}: {self.monitor!r} was never finite, so no epoch was the best: "
                          f"{consequence}. Look at the history, and whether there are enough rows to compute it.",
                          stacklevel=2)

    def _rises(self) -> bool:
        """Whether larger values are better."""
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
        raise ValueError(f"{type(self).__name__} cannot tell whether {self.monitor!r} should rise or fall: "
                         f"give mode='max' or mode='min'.")


class EarlyStopping(_Monitor):
    """Ends a fit whose monitored value no longer improves.

    It follows Keras with three exceptions: NaN or infinity is never an improvement, not even in the
    first epoch; the best weights always belong to an improvement; and a value that is not in the
    logs is an error.

    Parameters
    ----------
    monitor : str
        A name in the logs.
    min_delta : float
        An improvement must be larger than this.
    patience : int
        Number of epochs without improvement after which training ends; the first epoch never ends
        it.
    verbose : {0, 1}
        1 prints a line if the fit ended early.
    mode : {"auto", "min", "max"}
        Whether smaller or larger values are better; "auto" knows it for losses and nnfast's
        metrics.
    baseline : float, optional
        Only values better than this reset the count of epochs without improvement.
    restore_best_weights : bool
        Set the weights of the best epoch at the end of the fit, even if it did not end early.
        Where no value was finite there is no best epoch: the weights stay as they are, with a
        warning.
    start_from_epoch : int
        The first epoch that counts, numbered from 0.

    Attributes
    ----------
    best, best_epoch : float, int
        The best value and its epoch; None while there is none.
    stopped_epoch : int
        The epoch that ended the fit, else 0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> stopping = nnfast.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    >>> history = model.fit(x, x[:, 0], epochs=5, validation_split=0.25, verbose=0,
    ...                     callbacks=[stopping])
    >>> stopping.best == min(history.history["val_loss"])
    True
    """

    best: float | None
    best_epoch: int | None

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0,
        mode: _Mode = "auto", baseline: float | None = None, restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = check.size(patience, "patience", 0)
        self.verbose = verbose
        self.baseline = None if baseline is None else check.number(baseline, "baseline")
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = check.size(start_from_epoch, "start_from_epoch", 0)
        self.on_train_begin()

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Forgets the previous fit."""
        self.wait = self.stopped_epoch = 0
        self.best = self.best_epoch = self._finite = None
        self.best_weights: list[NDArray[Any]] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compares the monitored value with the best one, and ends the fit if it is time."""
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

    def on_train_end(self, logs: _Logs | None = None) -> None:
        """Sets the best weights, if they are to be restored."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
        elif self.restore_best_weights:
            self._warn_if_never_finite("the weights stay as they are")


class ModelCheckpoint(_Monitor):
    """Saves the model with `Sequential.save` after every epoch, or after the best ones.

    A model that `nnfast.load` reads continues with the next epoch, `model.epoch`.  A new file is
    complete before it replaces an old one: there is no moment without a readable file.

    Parameters
    ----------
    filepath : str or path
        Ends in ".npz" or ".safetensors".  It may hold {epoch} (from 1), {batch} and names in the
        logs, with formats: "{epoch:02d}-{val_loss:.3f}.npz".  Missing folders are made.
    monitor, mode : as for `EarlyStopping`
    verbose : {0, 1}
        1 prints a line for each file.
    save_best_only : bool
        Save only when the monitored value has improved.  Where no value was finite no file is
        written, and a warning says so.
    save_weights_only : bool
        Save with `Sequential.save_weights`, for `load_weights`.
    save_freq : "epoch" or int
        Save after every epoch, or after each `save_freq` batches.  After batches, values that are
        known only at the end of an epoch cannot be monitored.  A model that was saved within an
        epoch begins this epoch again when its fit continues from `model.epoch`.
    initial_value_threshold : float, optional
        The best value of earlier training.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "best.npz")
    ...     best = nnfast.callbacks.ModelCheckpoint(path, "loss", save_best_only=True)
    ...     x, y = np.ones((8, 2)), np.ones(8)
    ...     history = model.fit(x, y, epochs=3, verbose=0, callbacks=[best])
    ...     model = nnfast.load(path)
    >>> model.epoch
    3
    """

    def __init__(
        self, filepath: str | os.PathLike[str], monitor: str = "val_loss", verbose: int = 0,
        save_best_only: bool = False, save_weights_only: bool = False, mode: _Mode = "auto",
        save_freq: Literal["epoch"] | int = "epoch", initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0)
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith((".npz", ".safetensors")):
            raise ValueError(f"filepath must end in '.npz' or '.safetensors'; got {self.filepath!r}.")
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = bool(save_best_only), bool(save_weights_only)
        self.save_freq: Any = save_freq if save_freq == "epoch" else check.size(save_freq, "save_freq")
        self.best: float | None = None
        if initial_value_threshold is not None:
            self.best = check.number(initial_value_threshold, "initial_value_threshold")
        if self.save_freq != "epoch":       # as a method it would make every fit call native code for each batch
            self.on_train_batch_end = self._after_batch     # type: ignore[method-assign]
        self._seen, self._epoch = 0, 0

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Forgets whether values were finite; the best value of earlier fits stays."""
        self._finite = None

    def on_epoch_begin(self, epoch: int, logs: _Logs | None = None) -> None:
        """Stores the number of the epoch."""
        self._epoch = epoch

    def _after_batch(self, batch: int, logs: Any = None) -> None:
        self._seen += 1
        if self._seen >= self.save_freq:
            self._seen = 0
            self._save({"batch": batch + 1}, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves the model, or with `save_best_only` the best one."""
        if self.save_freq == "epoch":
            self._save({}, logs)

    def on_train_end(self, logs: _Logs | None = None) -> None:
        """Warns if nothing was saved because no value was finite."""
        self._warn_if_never_finite("nothing was saved")

    def _save(self, place: dict[str, int], logs: _Logs) -> None:
        if self.save_best_only:
            current = self._current(logs)
            if not self._better(current, self.best):
                return
            self.best = current
        try:
            path = self.filepath.format(**{**logs, "epoch": self._epoch + 1, **place})
        except (KeyError, IndexError) as error:
            raise ValueError(f"filepath {self.filepath!r} asks for {error}; "
                             f"there are epoch, {', '.join([*place, *logs])}.") from None
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: {'weights' if self.save_weights_only else 'model'} saved to {path}")


def _check_rate_is_a_number(callback: Callback) -> None:
    """Raises a ValueError unless the optimizer has a learning rate that a callback can set."""
    optimizer = callback.model.optimizer
    rate = getattr(optimizer, "learning_rate", None)
    if rate is None or callable(rate):
        raise ValueError(f"{type(callback).__name__} sets the learning rate, so the optimizer must have a number for "
                         f"it; got {optimizer!r}. Leave the callback out, or give the optimizer a float.")


class ReduceLROnPlateau(_Monitor):
    """Lowers the learning rate when the monitored value no longer improves.

    It adds "learning_rate" to the logs.

    Parameters
    ----------
    monitor, min_delta, mode, verbose : as for `EarlyStopping`
    factor : float in (0, 1)
        The new rate divided by the old one.
    patience : int
        Number of epochs without improvement before the rate is lowered.
    cooldown : int
        Number of epochs after a reduction that do not count.
    min_lr : float
        The lowest rate.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, kernel_initializer="zeros")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> lower = nnfast.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2)
    >>> x, y = np.ones((4, 1)), np.zeros(4)             # the loss is 0 from the start
    >>> history = model.fit(x, y, epochs=6, verbose=0, callbacks=[lower])
    >>> history.history["learning_rate"]
    [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    """

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0,
        mode: _Mode = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = check.number(check.positive(factor, "factor"), "factor", 0, 1, open_high=True)
        self.patience = check.size(patience, "patience", 0)
        self.verbose = verbose
        self.cooldown = check.size(cooldown, "cooldown", 0)
        self.min_lr = check.number(min_lr, "min_lr", 0)
        self.best: float | None = None
        self.wait = self.cooling = 0

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Forgets the previous fit, and checks that the rate can be set."""
        _check_rate_is_a_number(self)
        self.best, self.wait, self.cooling = None, 0, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the rate to the logs, and lowers it if it is time."""
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
    """Sets the learning rate before every epoch, and adds "learning_rate" to the logs.

    For a rate that changes with every step give the optimizer a schedule instead.

    Parameters
    ----------
    schedule : callable
        (epoch, learning_rate) -> learning_rate, or (epoch) -> learning_rate.  A schedule of
        nnfast.schedules is called with the epoch.
    verbose : {0, 1}

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, kernel_initializer="zeros")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> halve = nnfast.callbacks.LearningRateScheduler(
    ...     lambda epoch, rate: rate / 2 if epoch else rate)
    >>> x, y = np.ones((4, 1)), np.ones(4)
    >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[halve])
    >>> history.history["learning_rate"]
    [0.1, 0.05, 0.025]
    """

    def __init__(
        self, schedule: Schedule | Callable[[int, float], float] | Callable[[int], float], verbose: int = 0,
    ) -> None:
        import inspect

        if not callable(schedule):
            raise TypeError(f"schedule must be a function of the epoch, or of the epoch and the learning rate; "
                            f"got {schedule!r}.")
        self.schedule: Callable[..., Any] = schedule
        self.verbose = verbose
        try:
            inspect.signature(schedule).bind(0, 0.)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False
        except ValueError:              # a function in C may have no signature
            self._takes_rate = True

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Checks that the rate can be set."""
        _check_rate_is_a_number(self)

    def on_epoch_begin(self, epoch: int, logs: _Logs | None = None) -> None:
        """Sets the rate."""
        optimizer = self.model.optimizer
        arguments = (epoch, optimizer.learning_rate) if self._takes_rate else (epoch,)
        optimizer.learning_rate = check.number(self.schedule(*arguments), "the learning rate of the schedule", 0)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate:g}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the rate to the logs."""
        logs["learning_rate"] = self.model.optimizer.learning_rate


class CSVLogger(Callback):
    """Writes the logs of every epoch to a CSV file, one line for each epoch.

    The columns are "epoch" and the sorted names in the logs of the first epoch.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character.
    append : bool
        Append to an existing file, in the order of its columns, which must have the names of the
        columns of this fit (Keras does not check them).  Otherwise an existing file is replaced.

    Raises
    ------
    ValueError
        With append=True, in a fit whose columns differ from the columns of the file.  It is raised
        before the first epoch if the file lacks a metric of the model, and after it for all other
        differences.  The file is not changed.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast
    >>> layer = nnfast.Dense(1, kernel_initializer="zeros")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     logger = nnfast.callbacks.CSVLogger(path)
    ...     x, y = np.ones((4, 1)), np.ones(4)
    ...     history = model.fit(x, y, epochs=2, verbose=0, callbacks=[logger])
    ...     with open(path) as file:
    ...         print(file.readline().strip(), len(file.readlines()))
    epoch,loss 2
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character; got {separator!r}.")
        self.filename, self.separator, self.append = os.fspath(filename), separator, bool(append)
        self.names: list[str] | None = None

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Begins a new file, or checks the columns of the existing one."""
        self.names = None
        header = self._header() if self.append else None
        if header is not None:
            missing = [name for name in getattr(self.model, "log_names", ()) if name not in header]
            if missing:
                self._refuse(header, missing)
        with open(self.filename, "a" if self.append else "w"):
            pass

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes a line."""
        import csv

        first = self.names is None
        header = self._header() if first else None
        if self.names is None:
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
            values = {name: value.tolist() if np.ndim(value) else value for name, value in logs.items()}
            writer.writerow({"epoch": epoch, **values})

    def _header(self) -> list[str] | None:
        """The columns of the file, or None where it is empty or does not exist."""
        import csv

        if not os.path.exists(self.filename):
            return None
        with open(self.filename, newline="", encoding="utf-8-sig") as file:
            header = next((row for row in csv.reader(file, delimiter=self.separator) if row), None)
        if header is not None and "epoch" not in header:
            raise ValueError(f"the first line of {self.filename!r} must name the columns, 'epoch' among them, "
                             f"separated by {self.separator!r}; got {self.separator.join(header)!r}. "
                             f"Give its separator, another file, or append=False, which replaces it.")
        return header

    def _refuse(self, header: list[str], missing: list[str]) -> None:
        """Raises the error for a file with other columns."""
        difference = f"and lacks {', '.join(missing)}" if missing else "more than this fit"
        raise ValueError(f"with append=True the columns of {self.filename!r} must be those of this fit; the file has "
                         f"{', '.join(header)}, {difference}. Give another file, or append=False, which replaces it.")

    def _ends_a_line(self) -> bool:
        with open(self.filename, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() in b"\r\n"


class TerminateOnNaN(Callback):
    """Ends a fit in which a loss, gradient or validation loss is not finite.

    It is the same as fit(nonfinite="stop"), or with `raise_error` as fit(nonfinite="raise"), and
    cannot be combined with nonfinite="ignore".  It costs nothing, since the core checks every batch
    anyway.  The weights of up to 0.1 s before are restored (Keras leaves them broken).

    Parameters
    ----------
    raise_error : bool
        Raise a FloatingPointError instead of a warning.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    >>> model.compile(nnfast.optimizers.SGD(1e4), "mse")
    >>> stop = nnfast.callbacks.TerminateOnNaN(raise_error=True)
    >>> x, y = np.ones((4, 1)), np.ones(4)
    >>> model.fit(x, y, epochs=100, verbose=0, callbacks=[stop])
    Traceback (most recent call last):
    ...
    FloatingPointError: the loss became NaN or infinite in epoch ...
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = bool(raise_error)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Checks the validation loss."""
        if not np.isfinite(logs.get("val_loss", 0)):
            message = f"the validation loss became NaN or infinite in epoch {epoch + 1}"
            if self.raise_error:
                raise FloatingPointError(message + ".")
            warnings.warn(message + "; the fit ends.", RuntimeWarning, stacklevel=2)
            self.model.stop_training = True


class LambdaCallback(Callback):
    """A callback whose hooks are the given functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable (epoch, logs), optional
    on_train_begin, on_train_end, on_test_begin, on_test_end : callable (logs), optional
    on_train_batch_begin, on_train_batch_end : callable (batch, logs), optional

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> show = nnfast.callbacks.LambdaCallback(
    ...     on_epoch_end=lambda epoch, logs: print(epoch, round(logs["loss"], 2)))
    >>> layer = nnfast.Dense(1, kernel_initializer="zeros")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> x, y = np.ones((4, 1)), np.ones(4)
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[show])
    0 1.0
    1 0.36
    """

    def __init__(
        self, on_epoch_begin: _NumberedHook | None = None, on_epoch_end: _NumberedHook | None = None,
        on_train_begin: _Hook | None = None, on_train_end: _Hook | None = None,
        on_train_batch_begin: _NumberedHook | None = None, on_train_batch_end: _NumberedHook | None = None,
        on_test_begin: _Hook | None = None, on_test_end: _Hook | None = None,
    ) -> None:
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end,
                 "on_train_begin": on_train_begin, "on_train_end": on_train_end,
                 "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end,
                 "on_test_begin": on_test_begin, "on_test_end": on_test_end}
        for name, function in given.items():
            if function is not None:
                if not callable(function):
                    raise TypeError(f"{name} must be a function, got {function!r}.")
                setattr(self, name, function)


class ProgressBar(Callback):
    """Shows one progress bar for the whole fit, which counts epochs and shows the latest logs.

    It is meant for long fits with verbose=0.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, kernel_initializer="zeros")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.SGD(0.1), "mse")
    >>> bar = nnfast.callbacks.ProgressBar()
    >>> model.fit(np.ones((4, 1)), np.ones(4), epochs=5, verbose=0, callbacks=[bar])
    History(5 epochs: loss)
    """

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, logs: _Logs | None = None) -> None:
        """Shows the bar."""
        from tqdm.auto import tqdm

        self.bar = tqdm(total=self.params["epochs"] - self.params["initial_epoch"], unit="epoch")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Moves the bar."""
        shown = {name: f"{value:.4g}" for name, value in logs.items() if np.ndim(value) == 0}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def on_train_end(self, logs: _Logs | None = None) -> None:
        """Closes the bar."""
        self.bar.close()
        self.bar = None
