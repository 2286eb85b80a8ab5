"""Metrics: what is reported of a model, never differentiated, so that adding one changes no bit of training."""
from dataclasses import dataclass

from nnfast import _validation as check
from nnfast._core import network

__all__ = ["Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "MeanAbsoluteError", "MeanSquaredError",
           "RootMeanSquaredError", "SparseCategoricalAccuracy", "get"]


class Metric:
    """A mean over rows, without sample weights (as Keras' `metrics=`)."""

    _labels = None          # True: integer labels only; False: targets of the shape of the output only
    name: str

    def _native(self, n_outputs, sparse):
        """Code of the row's metric, for a network of `n_outputs` units and integer labels or not."""
        if self._labels is not None and self._labels != sparse:
            need = "integer labels, as with a sparse loss" if self._labels else "targets of the shape of the output"
            raise ValueError(f"metric {self.name!r} needs {need}.")
        return network.METRICS[self._kernel]

    def _finish(self, mean):
        return mean


@dataclass(frozen=True)
class Accuracy(Metric):
    """Share of right answers; resolved by shapes as Keras does: one output is binary at 0.5, integer labels are
    sparse, anything else is the place of the largest output."""

    name: str = "accuracy"

    def _native(self, n_outputs, sparse):
        kind = "sparse_categorical" if sparse else "binary" if n_outputs == 1 else "categorical"
        return network.METRICS[f"{kind}_accuracy"]


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """Share of outputs on the side of 0.5 that y_true, 0 or 1, names."""

    name: str = "binary_accuracy"
    _kernel = "binary_accuracy"
    _labels = False


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """Share of rows whose largest output is that of the largest target."""

    name: str = "categorical_accuracy"
    _kernel = "categorical_accuracy"
    _labels = False


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """Share of rows whose largest output is the one of the integer label."""

    name: str = "sparse_categorical_accuracy"
    _kernel = "sparse_categorical_accuracy"
    _labels = True


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """mean |y_pred - y_true|."""

    name: str = "mean_absolute_error"
    _kernel = "absolute_error"
    _labels = False


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """mean (y_pred - y_true)^2."""

    name: str = "mean_squared_error"
    _kernel = "squared_error"
    _labels = False


@dataclass(frozen=True)
class RootMeanSquaredError(Metric):
    """sqrt(mean (y_pred - y_true)^2), the root taken after the mean over all rows."""

    name: str = "root_mean_squared_error"
    _kernel = "squared_error"
    _labels = False

    def _finish(self, mean):
        return mean**0.5


_NAMES = {
    "accuracy": Accuracy, "acc": Accuracy, "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy, "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mean_absolute_error": MeanAbsoluteError, "mae": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError, "mse": MeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError, "rmse": RootMeanSquaredError,
}


def get(identifier):
    """A metric from its name, under which the history then lists it, or the metric itself.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.metrics.get("acc")
    Accuracy(name='acc')
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if isinstance(identifier, str):
        if identifier in _NAMES:
            return _NAMES[identifier](identifier)
        if identifier in {cls.__name__ for cls in _NAMES.values()}:
            return globals()[identifier]()
    raise check.unknown("metric", identifier, _NAMES)
