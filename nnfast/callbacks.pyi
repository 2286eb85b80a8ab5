from collections.abc import Callable
from os import PathLike
from typing import Any, Literal, TypeAlias

from nnfast.models import Sequential
from nnfast.schedules import Schedule

__all__ = [
    "CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint", "ProgressBar",
    "ReduceLROnPlateau", "TerminateOnNaN",
]

_Logs: TypeAlias = dict[str, Any]
_Mode: TypeAlias = Literal["auto", "min", "max"]

class Callback:
    model: Sequential
    params: dict[str, Any]
    def set_params(self, params: dict[str, Any]) -> None: ...
    def set_model(self, model: Sequential) -> None: ...
    def on_train_begin(self, logs: _Logs | None = None) -> None: ...
    def on_train_end(self, logs: _Logs | None = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: _Logs | None = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: _Logs | None = None) -> None: ...
    def on_train_batch_begin(self, batch: int, logs: _Logs | None = None) -> None: ...
    def on_train_batch_end(self, batch: int, logs: _Logs | None = None) -> None: ...
    def on_test_begin(self, logs: _Logs | None = None) -> None: ...
    def on_test_end(self, logs: _Logs | None = None) -> None: ...

class History(Callback):
    history: dict[str, list[Any]]
    epoch: list[int]
    def __init__(self) -> None: ...

class EarlyStopping(Callback):
    monitor: str
    mode: _Mode
    min_delta: float
    patience: int
    best: float | None
    best_epoch: int | None
    stopped_epoch: int
    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0, mode: _Mode = "auto",
        baseline: float | None = None, restore_best_weights: bool = False, start_from_epoch: int = 0
    ) -> None: ...

class ModelCheckpoint(Callback):
    filepath: str
    save_best_only: bool
    save_weights_only: bool
    best: float | None
    def __init__(
        self, filepath: str | PathLike[str], monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: _Mode = "auto", save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None
    ) -> None: ...

class ReduceLROnPlateau(Callback):
    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: _Mode = "auto",
        min_delta: float = 0.0001, cooldown: int = 0, min_lr: float = 0.0
    ) -> None: ...

class LearningRateScheduler(Callback):
    def __init__(self, schedule: Schedule | Callable[[int, float], float] | Callable[[int], float], verbose: int = 0) -> None: ...

class CSVLogger(Callback):
    def __init__(self, filename: str | PathLike[str], separator: str = ",", append: bool = False) -> None: ...

class TerminateOnNaN(Callback):
    def __init__(self, raise_error: bool = False) -> None: ...

class LambdaCallback(Callback):
    def __init__(
        self, on_epoch_begin: Callable[[int, _Logs], object] | None = None, on_epoch_end: Callable[[int, _Logs], object] | None = None,
        on_train_begin: Callable[[_Logs], object] | None = None, on_train_end: Callable[[_Logs], object] | None = None,
        on_train_batch_begin: Callable[[int, _Logs], object] | None = None,
        on_train_batch_end: Callable[[int, _Logs], object] | None = None, on_test_begin: Callable[[_Logs], object] | None = None,
        on_test_end: Callable[[_Logs], object] | None = None
    ) -> None: ...

class ProgressBar(Callback):
    def __init__(self) -> None: ...
