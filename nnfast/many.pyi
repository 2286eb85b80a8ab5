from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from numpy.typing import ArrayLike

from nnfast.estimators import MLPClassifier, MLPRegressor
from nnfast.models import Sequential

__all__ = ["FitErrors", "cross_validate", "fit_many"]

_Model: TypeAlias = Sequential | MLPClassifier | MLPRegressor
_M = TypeVar("_M", bound=_Model)
_Options: TypeAlias = Mapping[str, Any]

class FitErrors(RuntimeError):
    errors: dict[int, BaseException]
    def __init__(self, errors: dict[int, BaseException], count: int) -> None: ...

def fit_many(
    models: Iterable[_M], x: Any, y: ArrayLike, *, folds: Sequence[ArrayLike | None] | None = None, sample_weight: ArrayLike | None = None,
    fit_options: _Options | Sequence[_Options | None] | None = None, n_jobs: int | None = None, verbose: Literal["auto", 0, 1, 2] = "auto"
) -> list[_M]: ...
def cross_validate(
    model: _Model, x: Any, y: ArrayLike, folds: int | Iterable[tuple[ArrayLike, ArrayLike]] = 5, *, sample_weight: ArrayLike | None = None,
    fit_options: _Options | Sequence[_Options | None] | None = None, n_jobs: int | None = None, verbose: Literal["auto", 0, 1, 2] = 0,
    seed: int = 0
) -> dict[str, Any]: ...
