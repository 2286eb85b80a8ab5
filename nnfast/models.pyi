from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, overload

from numpy import dtype as _dtype
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nnfast.callbacks import Callback, History
from nnfast.layers import Layer
from nnfast.losses import _ClassWeight, _LossLike
from nnfast.metrics import _MetricLike
from nnfast.optimizers import _AnyOptimizer, _OptimizerLike

__all__ = ["Sequential"]

_Metrics: TypeAlias = _MetricLike | Sequence[_MetricLike] | None
_Verbose: TypeAlias = Literal["auto", 0, 1, 2]

class Sequential:
    layers: list[Layer]
    dtype: _dtype[Any]
    optimizer: _AnyOptimizer | None
    history: History | None
    epoch: int
    stop_training: bool
    def __init__(self, layers: Iterable[Layer] | None = None, dtype: DTypeLike = "float32", seed: int | None = None) -> None: ...
    def add(self, layer: Layer) -> None: ...
    @property
    def loss(self) -> _LossLike | None: ...
    @property
    def metrics_names(self) -> list[str]: ...
    @property
    def built(self) -> bool: ...
    def build(self, input_shape: int | Sequence[int | None]) -> None: ...
    def compile(
        self, optimizer: _OptimizerLike = "adam", loss: _LossLike | None = None, metrics: _Metrics = None, weighted_metrics: _Metrics = None
    ) -> None: ...
    def fit(
        self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None, epochs: int = 1, verbose: _Verbose = "auto",
        validation_split: float = 0.0,
        validation_data: tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike] | None = None, shuffle: bool = True,
        class_weight: _ClassWeight | None = None, sample_weight: ArrayLike | None = None, initial_epoch: int = 0,
        n_threads: int | None = None, nonfinite: Literal["raise", "stop", "ignore"] = "raise",
        callbacks: Callback | Sequence[Callback] | None = None, max_seconds: float | None = None, rows: ArrayLike | None = None
    ) -> History: ...
    @overload
    def train_on_batch(
        self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None,
        return_dict: Literal[False] = False
    ) -> float | list[Any]: ...
    @overload
    def train_on_batch(
        self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None,
        *, return_dict: Literal[True]
    ) -> dict[str, Any]: ...
    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None
    ) -> tuple[float, list[NDArray[Any]]]: ...
    @overload
    def evaluate(
        self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None, verbose: _Verbose = "auto",
        sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None, n_threads: int | None = None,
        return_dict: Literal[False] = False, callbacks: Callback | Sequence[Callback] | None = None
    ) -> float | list[Any]: ...
    @overload
    def evaluate(
        self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int | None = None, verbose: _Verbose = "auto",
        sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None, n_threads: int | None = None,
        *, return_dict: Literal[True], callbacks: Callback | Sequence[Callback] | None = None
    ) -> dict[str, Any]: ...
    @overload
    def test_on_batch(
        self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None,
        return_dict: Literal[False] = False
    ) -> float | list[Any]: ...
    @overload
    def test_on_batch(
        self, x: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, class_weight: _ClassWeight | None = None,
        *, return_dict: Literal[True]
    ) -> dict[str, Any]: ...
    def predict(self, x: ArrayLike, batch_size: int | None = None, verbose: _Verbose = 0, n_threads: int | None = None) -> NDArray[Any]: ...
    @property
    def params(self) -> NDArray[Any]: ...
    def get_weights(self) -> list[NDArray[Any]]: ...
    def set_weights(self, weights: Iterable[ArrayLike]) -> None: ...
    def count_params(self) -> int: ...
    def summary(self) -> None: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def save_weights(self, path: str | PathLike[str]) -> None: ...
    def load_weights(self, path: str | PathLike[str]) -> None: ...
