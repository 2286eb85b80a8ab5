from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from nnfast.callbacks import Callback
from nnfast.losses import Loss
from nnfast.schedules import Schedule

__all__ = ["Ensemble", "MLPClassifier", "MLPRegressor"]

# scikit-learn has no types of its own: what its base classes give is named here
_Matrix: TypeAlias = Any                # an array or a sparse matrix
_Activation: TypeAlias = str | Sequence[str]
_Rate: TypeAlias = Literal["constant", "invscaling", "adaptive"] | Schedule | Callable[[int], float]
_Dropout: TypeAlias = float | Sequence[float]
_Callbacks: TypeAlias = Callback | Sequence[Callback] | None
_Solver: TypeAlias = Literal["lbfgs", "sgd", "adam"]
_Loss: TypeAlias = str | Loss | type[Loss] | Callable[..., Any]
_Seed: TypeAlias = int | RandomState | None

class _Estimator:
    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    def get_params(self, deep: bool = True) -> dict[str, Any]: ...
    def predict(self, X: _Matrix) -> NDArray[Any]: ...
    def score(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float: ...

class MLPClassifier(_Estimator):
    classes_: NDArray[Any]
    def __init__(
        self, hidden_layer_sizes: int | Sequence[int] = (100,), activation: _Activation = "relu", *, solver: _Solver = "adam",
        alpha: float = 0.0001, batch_size: int | Literal["auto"] = "auto", learning_rate: _Rate = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True, random_state: _Seed = None,
        tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, momentum: float = 0.9, nesterovs_momentum: bool = True,
        early_stopping: bool = False, validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: int = 10, max_fun: int = 15000, loss: _Loss = "log_loss",
        class_weight: dict[Any, float] | Literal["balanced"] | None = None, dropout: _Dropout = 0.0, callbacks: _Callbacks = None,
        n_threads: int | None = None, max_seconds: float | None = None
    ) -> None: ...
    def fit(
        self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None, validation_data: tuple[Any, ...] | None = None
    ) -> MLPClassifier: ...
    def partial_fit(
        self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> MLPClassifier: ...
    def predict_proba(self, X: _Matrix) -> NDArray[Any]: ...
    def predict_log_proba(self, X: _Matrix) -> NDArray[Any]: ...

class MLPRegressor(_Estimator):
    def __init__(
        self, loss: _Loss = "squared_error", hidden_layer_sizes: int | Sequence[int] = (100,), activation: _Activation = "relu", *,
        solver: _Solver = "adam", alpha: float = 0.0001, batch_size: int | Literal["auto"] = "auto", learning_rate: _Rate = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True, random_state: _Seed = None,
        tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, momentum: float = 0.9, nesterovs_momentum: bool = True,
        early_stopping: bool = False, validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: int = 10, max_fun: int = 15000, dropout: _Dropout = 0.0, callbacks: _Callbacks = None,
        n_threads: int | None = None, max_seconds: float | None = None
    ) -> None: ...
    def fit(
        self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None, validation_data: tuple[Any, ...] | None = None
    ) -> MLPRegressor: ...
    def partial_fit(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPRegressor: ...

class Ensemble:
    model: MLPClassifier | MLPRegressor
    members_: list[MLPClassifier] | list[MLPRegressor]
    def __init__(
        self, model: MLPClassifier | MLPRegressor, n_members: int = 10, *, bagging: bool = False, random_state: _Seed = None,
        n_jobs: int | None = None
    ) -> None: ...
    def fit(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Ensemble: ...
    def predict(self, X: _Matrix) -> NDArray[Any]: ...
    def predict_proba(self, X: _Matrix) -> NDArray[Any]: ...
    def predict_std(self, X: _Matrix) -> NDArray[Any]: ...
    def score(self, X: _Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float: ...
