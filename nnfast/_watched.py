"""`Watched`: the model that callbacks get from an estimator.

It has the methods and attributes of Sequential that callbacks use, and reads and writes the
attributes of scikit-learn.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from nnfast import _model_file, _validation as check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from typing import Any

    from numpy.typing import ArrayLike, NDArray


class _Score:
    """The metric "score", accuracy or R^2.  Callbacks read whether it should rise."""

    _rises = True


class _Optimizer:
    """The optimizer as callbacks see it: a learning rate, which can be set if it is a number."""

    def __init__(self, estimator, optimizer):
        self._estimator, self._optimizer = estimator, optimizer
        # The `learning_rate` of scikit-learn's Adam includes the bias correction of the step.
        self._name = "learning_rate" if estimator.solver == "sgd" else "learning_rate_init"

    @property
    def learning_rate(self):
        """The rate of the coming epoch; a schedule as it was given.

        None for "invscaling", which sets the rate after every epoch.
        """
        given = self._estimator.learning_rate
        if callable(given):
            return given
        if self._estimator.solver == "sgd" and given == "invscaling":
            return None
        return getattr(self._optimizer, self._name)

    @learning_rate.setter
    def learning_rate(self, value):
        if self.learning_rate is None or callable(self.learning_rate):
            raise ValueError(f"the learning rate cannot be set: it follows "
                             f"learning_rate={self._estimator.learning_rate!r}.")
        setattr(self._optimizer, self._name, check.number(value, "learning_rate", 0))

    def __repr__(self):
        return f"solver={self._estimator.solver!r}, learning_rate={self._estimator.learning_rate!r}"


class Watched:
    """An estimator in training, as the model of its callbacks.

    When the fit ends it drops the estimator, so that a callback that is kept, copied or pickled
    afterwards does not hold the estimator.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its `predict` and `score` may be called, and its attributes read.
    stop_training : bool
        True ends the fit after this epoch, or after this batch where a batch hook sets it.
    optimizer : object with `learning_rate`
    """

    metrics_names, metrics = ["loss", "score"], [_Score()]

    def __init__(self, estimator: Any, optimizer: Any) -> None:
        self.estimator: Any = estimator
        self.optimizer: Any = _Optimizer(estimator, optimizer)
        self.stop_training = False

    def close(self) -> None:
        """Drops the estimator when its fit has ended."""
        self.estimator = self.optimizer = None

    def _views(self):
        if self.estimator is None:
            raise RuntimeError("the fit of this callback has ended: use the weights of the estimator, "
                               "coefs_ and intercepts_.")
        return [array for pair in zip(self.estimator.coefs_, self.estimator.intercepts_) for array in pair]

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of the weight arrays: kernel (n_in, n_out) and bias (n_out,) of each layer."""
        return [view.copy() for view in self._views()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Sets the weight arrays, in the order of `get_weights`; ValueError for other shapes."""
        check.copy_weights(self._views(), weights)

    def save_weights(self, path: str | PathLike[str]) -> None:
        """Writes the weight arrays to a file, as `Sequential.save_weights` does."""
        _model_file.save_weights(path, self.get_weights())

    def save(self, path: str | PathLike[str]) -> None:
        """Raises ValueError: an estimator is more than its network."""
        raise ValueError(f"an estimator cannot be saved to {path!r} as a Sequential can: give ModelCheckpoint "
                         f"save_weights_only=True, or keep the fitted estimator with joblib.dump or pickle.")
