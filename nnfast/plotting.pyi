from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from nnfast._range_test import LearningRateCurve
from nnfast.callbacks import History
from nnfast.losses import _LossLike

__all__ = ["plot_history", "plot_learning_rates", "plot_loss", "plot_losses"]

def plot_loss(loss: _LossLike, y_true: ArrayLike = 0.0, y_pred: ArrayLike | None = None, axes: Any = None) -> NDArray[Any]: ...
def plot_losses(
    compared: _LossLike | Sequence[_LossLike], y_true: ArrayLike = 0.0, y_pred: ArrayLike | None = None, axes: Any = None
) -> NDArray[Any]: ...
def plot_history(history: History | Mapping[str, Sequence[float]], axes: Any = None) -> NDArray[Any]: ...
def plot_learning_rates(curve: LearningRateCurve, axes: Any = None) -> NDArray[Any]: ...
