from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy", "CategoricalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "IoU",
    "KLDivergence", "LogCoshError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU", "MeanMetricWrapper",
    "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric", "OneHotIoU", "OneHotMeanIoU", "Poisson", "Precision",
    "PrecisionAtRecall", "R2Score", "Recall", "RecallAtPrecision", "RootMeanSquaredError", "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity",
    "SquaredHinge", "TopKCategoricalAccuracy", "TrueNegatives", "TruePositives", "get",
]

_Function: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]
_MetricLike: TypeAlias = str | Metric | type[Metric] | _Function

class Metric:
    name: str
    def __init__(self, name: str | None = None, dtype: object = None) -> None: ...
    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None: ...
    def result(self) -> Any: ...
    def reset_state(self) -> None: ...
    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...

class AUC(Metric):
    def __init__(
        self, num_thresholds: int = 200, curve: Literal["ROC", "PR"] = "ROC",
        summation_method: Literal["interpolation", "minoring", "majoring"] = "interpolation", name: str | None = None,
        dtype: object = None, thresholds: float | Sequence[float] | None = None, multi_label: bool = False, num_labels: int | None = None,
        label_weights: ArrayLike | None = None, from_logits: bool = False
    ) -> None: ...

class Accuracy(Metric): ...

class BinaryAccuracy(Metric):
    def __init__(self, name: str | None = None, dtype: object = None, threshold: float = 0.5) -> None: ...

class BinaryCrossentropy(Metric):
    def __init__(self, name: str | None = None, dtype: object = None, from_logits: bool = False, label_smoothing: float = 0) -> None: ...

class IoU(Metric):
    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: object = None,
        ignore_class: int | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1
    ) -> None: ...

class BinaryIoU(IoU):
    def __init__(
        self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, name: str | None = None, dtype: object = None
    ) -> None: ...

class CategoricalAccuracy(Metric): ...

class CategoricalCrossentropy(BinaryCrossentropy):
    def __init__(
        self, name: str | None = None, dtype: object = None, from_logits: bool = False, label_smoothing: float = 0, axis: int = -1
    ) -> None: ...

class CategoricalHinge(Metric): ...

class CosineSimilarity(Metric):
    def __init__(self, name: str | None = None, dtype: object = None, axis: int = -1) -> None: ...

class FBetaScore(Metric):
    def __init__(
        self, average: Literal["micro", "macro", "weighted"] | None = None, beta: float = 1.0, threshold: float | None = None,
        name: str | None = None, dtype: object = None
    ) -> None: ...

class F1Score(FBetaScore):
    def __init__(
        self, average: Literal["micro", "macro", "weighted"] | None = None, threshold: float | None = None, name: str | None = None,
        dtype: object = None
    ) -> None: ...

class FalseNegatives(Metric):
    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None, dtype: object = None) -> None: ...

class FalsePositives(Metric):
    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None, dtype: object = None) -> None: ...

class Hinge(Metric): ...

class KLDivergence(Metric): ...

class LogCoshError(Metric): ...

class MeanAbsoluteError(Metric): ...

class MeanAbsolutePercentageError(Metric): ...

class MeanIoU(IoU):
    def __init__(
        self, num_classes: int, name: str | None = None, dtype: object = None, ignore_class: int | None = None, sparse_y_true: bool = True,
        sparse_y_pred: bool = True, axis: int = -1
    ) -> None: ...

class MeanMetricWrapper(Metric):
    def __init__(self, fn: _Function, name: str | None = None, dtype: object = None) -> None: ...

class MeanSquaredError(Metric): ...

class MeanSquaredLogarithmicError(Metric): ...

class OneHotIoU(IoU):
    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: object = None,
        ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1
    ) -> None: ...

class OneHotMeanIoU(MeanIoU):
    def __init__(
        self, num_classes: int, name: str | None = None, dtype: object = None, ignore_class: int | None = None,
        sparse_y_pred: bool = False, axis: int = -1
    ) -> None: ...

class Poisson(Metric): ...

class Precision(Metric):
    def __init__(
        self, thresholds: float | Sequence[float] | None = None, top_k: int | None = None, class_id: int | None = None,
        name: str | None = None, dtype: object = None
    ) -> None: ...

class PrecisionAtRecall(Metric):
    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: object = None
    ) -> None: ...

class R2Score(Metric):
    def __init__(
        self, class_aggregation: Literal["uniform_average", "variance_weighted_average"] | None = "uniform_average",
        num_regressors: int = 0, name: str | None = None, dtype: object = None
    ) -> None: ...

class Recall(Precision): ...

class RecallAtPrecision(Metric):
    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: object = None
    ) -> None: ...

class RootMeanSquaredError(MeanSquaredError): ...

class SensitivityAtSpecificity(Metric):
    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: object = None
    ) -> None: ...

class SparseCategoricalAccuracy(Metric): ...

class SparseCategoricalCrossentropy(Metric):
    def __init__(
        self, name: str | None = None, dtype: object = None, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
    ) -> None: ...

class SparseTopKCategoricalAccuracy(Metric):
    def __init__(self, k: int = 5, name: str | None = None, dtype: object = None) -> None: ...

class SpecificityAtSensitivity(Metric):
    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: object = None
    ) -> None: ...

class SquaredHinge(Metric): ...

class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy): ...

class TrueNegatives(Metric):
    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None, dtype: object = None) -> None: ...

class TruePositives(Metric):
    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None, dtype: object = None) -> None: ...

def get(identifier: _MetricLike) -> Metric: ...
