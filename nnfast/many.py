"""Many networks at once: one thread for each, the data shared.

The native loop holds no lock, so plain Python threads train independent networks at the same time
and at full speed.  A core has more to do with a whole network than with a part of a small step.  x
and y are checked once and never copied: a fold is an array of row numbers, and the loop reads these
rows of x and y.
"""
from __future__ import annotations

import copy
import inspect
import threading
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _console, _threads, _validation as check
from nnfast.models import Sequential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Literal, Protocol, TypeAlias, TypeVar

    from numpy.typing import ArrayLike

    class _Model(Protocol):
        """A Sequential, MLPClassifier or MLPRegressor."""

        def fit(self, *args: Any, **kwargs: Any) -> Any: ...

    _M = TypeVar("_M", bound=_Model)
    _Options: TypeAlias = Mapping[str, Any]
    _Verbose: TypeAlias = Literal["auto", 0, 1, 2]

__all__ = ["FitErrors", "cross_validate", "fit_many"]


class FitErrors(RuntimeError):
    """Raised if some of many fits failed; the others are done.

    Attributes
    ----------
    errors : dict
        The exception of each fit that failed; the keys are the indices of the models.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> try:
    ...     models = nnfast.fit_many([model], np.full((4, 1), np.nan), np.ones(4))
    ... except nnfast.FitErrors as failed:
    ...     print(failed.errors[0])
    x must be finite; row ... holds nan in column 0. Clean the data, ...
    """

    def __init__(self, errors: dict[int, BaseException], count: int) -> None:
        self.errors = errors
        listed = "; ".join(f"model {index}: {type(error).__name__}: {error}" for index, error in errors.items())
        super().__init__(f"{len(errors)} of {count} fits failed, the other models are fitted: {listed}")

    def __reduce__(self):
        return _fit_errors, (self.errors, self.args[0])


def _fit_errors(errors, message):
    result = FitErrors.__new__(FitErrors)
    result.errors, result.args = errors, (message,)
    return result


class Part:
    """Data of a fit: x, y and sample weights, checked once for many models, and rows to train on.

    `rows` is None for all rows; `names` are the names of the columns, for estimators.
    """

    def __init__(self, x: Any, y: Any, weights: Any, rows: Any = None, names: Any = None) -> None:
        self.x, self.y, self.weights, self.rows, self.names = x, y, weights, rows, names

    def of(self, rows: Any) -> Part:
        """The same arrays with other rows to train on."""
        return Part(self.x, self.y, self.weights, rows, self.names)


def fit_many(
    models: Iterable[_M], x: Any, y: ArrayLike, *, folds: Sequence[ArrayLike | None] | None = None,
    sample_weight: ArrayLike | None = None, fit_options: _Options | Sequence[_Options | None] | None = None,
    n_jobs: int | None = None, verbose: _Verbose = "auto",
) -> list[_M]:
    """Fits independent models at the same time, each in one thread.

    Parameters
    ----------
    models : sequence of compiled Sequential, MLPClassifier or MLPRegressor
        Different objects with any architectures, losses and seeds; they are fitted in place.
    x, y : as in their `fit`
        All models share them without a copy.
    folds : sequence of arrays of int, optional
        The numbers of the rows that each model is trained on; None stands for all rows.
    sample_weight : array (n,), optional
    fit_options : dict, or sequence of one for each model, optional
        Further arguments of `fit`, e.g. {"epochs": 20, "batch_size": 64}.  A `sample_weight` in it
        replaces the one above.
    n_jobs : int, optional
        Number of models that train at the same time.  None and -1 mean all CPUs of this process,
        -2 all but one, as in joblib.  The results are the same bits for every number.
    verbose : {"auto", 0, 1, 2}
        1 and 2 show a progress bar over all fits; "auto" shows it on a terminal.

    Returns
    -------
    list
        The fitted models in the same order.  A Sequential has its `history`, an estimator its
        `loss_curve_`.

    Raises
    ------
    FitErrors
        If fits have failed; it is raised after all other fits are done.
    ValueError, TypeError
        If models, folds or options are wrong; it is raised before anything is trained.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> models = []
    >>> for width in (4, 8, 16):
    ...     layers = [nnfast.Dense(width, "tanh"), nnfast.Dense(1)]
    ...     models.append(nnfast.Sequential(layers, seed=0))
    ...     models[-1].compile(nnfast.optimizers.Adam(0.02), "mse")
    >>> models = nnfast.fit_many(models, x, x**2, fit_options={"epochs": 50})
    >>> all(model.history.history["loss"][-1] < 0.01 for model in models)
    True
    """
    if not hasattr(models, "__iter__"):
        raise TypeError(f"models must be a list of models; got {models!r:.80}. "
                        f"One model is trained by its own fit, or as fit_many([model], ...).")
    models = list(models)
    count = len(models)
    for index, model in enumerate(models):
        _check_model(model, f"models[{index}]")
    if len({id(model) for model in models}) < count:
        raise ValueError("models must be different objects, since each is fitted in place. "
                         "Make copies, for instance with copy.deepcopy.")
    if not isinstance(fit_options, (dict, list, tuple, type(None))):
        raise TypeError(f"fit_options must be a dict, or a list of one for each model; got {fit_options!r:.80}.")
    folds = _one_for_each(folds, count, "folds") if folds is not None else [None] * count
    options = fit_options if isinstance(fit_options, (list, tuple)) else [fit_options] * count
    options = [{**(option or {})} for option in _one_for_each(options, count, "fit_options")]
    for index, (model, option) in enumerate(zip(models, options)):
        _check_options(model, option, f"fit_options of models[{index}]")
    n_jobs = _jobs(n_jobs)
    _check_callbacks([_callbacks(model, option) for model, option in zip(models, options)])
    shared = {}
    for model in models:
        if _kind(model) not in shared:
            shared[_kind(model)] = _share(model, x, y, sample_weight)
    parts = [shared[_kind(model)] for model in models]
    parts = [part.of(None if rows is None else check.rows(rows, part.y.shape[0], f"folds[{index}]"))
             for index, (part, rows) in enumerate(zip(parts, folds))]
    seeds = _seeds(models)

    def fit(index):
        model, part, given = models[index], parts[index], {"sample_weight": parts[index].weights, **options[index]}
        if isinstance(model, Sequential):
            model.fit(part.x, part.y, rows=part.rows, verbose=0, **given)
        else:
            model._fit_part(part, seeds.get(index), **given)

    shown = _console.verbosity(verbose) if verbose != "auto" else int(_console.verbosity(verbose) == 1)
    with _threads.one_blas_thread():
        errors = _in_threads(fit, count, min(n_jobs, count), shown)
    if errors:
        raise FitErrors(errors, count) from next(iter(errors.values()))
    return models


def _check_model(model: Any, name: str) -> None:
    """Raises a TypeError unless it is a Sequential or an estimator of nnfast."""
    if not isinstance(model, Sequential) and (isinstance(model, type) or not hasattr(model, "_fit_part")):
        raise TypeError(f"models must be Sequential, MLPClassifier or MLPRegressor; {name} is {model!r}.")


def _check_options(model: Any, option: _Options, name: str) -> None:
    """Raises a TypeError for an option that is no argument of `fit`, or not allowed here."""
    parameters = inspect.signature(model.fit).parameters
    known = set(parameters) - {"x", "X", "y", "rows", "verbose"}
    unknown = [key for key in option if key not in known]
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        elsewhere = {"rows": " Rows are given as folds.",
                     "verbose": " verbose is an argument here, for the bar over all fits."}
        raise TypeError(f"{name} must hold arguments of fit ({', '.join(sorted(known))}); got {unknown[0]!r}."
                        f"{elsewhere.get(unknown[0], '')}")


def _kind(model: Any) -> Any:
    """A key that is equal for models that check data in the same way, and so can share them."""
    return "Sequential" if isinstance(model, Sequential) else model._kind_of_data()


def _share(model: Any, x: Any, y: Any, sample_weight: Any) -> Part:
    """x, y and sample weights, checked as this kind of model does; a Part is returned as it is."""
    if isinstance(x, Part):
        return x
    if not isinstance(model, Sequential):
        return model._share(x, y, sample_weight)
    x, y = check.table(x, "x"), check.table(y, "y")
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(f"x and y must be arrays with an axis of rows; got shapes {x.shape} and {y.shape}.")
    check.same_length(x, y)
    return Part(x, y, check.weights(sample_weight, len(y)))


def _jobs(n_jobs: int | None) -> int:
    """Number of models to train at the same time: as in joblib, but None means all CPUs."""
    n_jobs = -1 if n_jobs is None else n_jobs
    if isinstance(n_jobs, (int, np.integer)) and n_jobs < 0:
        return max(1, _threads.cpus() + 1 + n_jobs)
    return check.size(n_jobs, "n_jobs")


def _one_for_each(given: Any, count: int, name: str) -> list[Any]:
    """`given` as a list, checked to hold one entry for each model."""
    if not hasattr(given, "__iter__"):
        raise TypeError(f"{name} must be a list with one entry for each of the {count} models; got {given!r:.80}.")
    given = list(given)
    if len(given) != count:
        raise ValueError(f"{name} must have one entry for each of the {count} models; got {len(given)}.")
    return given


def _callbacks(model: Any, options: _Options) -> Sequence[Any]:
    """The callbacks that a model is fitted with."""
    given = options.get("callbacks") if isinstance(model, Sequential) else model.callbacks
    return given if isinstance(given, (list, tuple)) else [] if given is None else [given]


def _check_callbacks(given: list[Sequence[Any]]) -> None:
    """Raises a ValueError if a callback is in two fits; `given` has the callbacks of each model."""
    seen: dict[int, int] = {}
    for index, callbacks in enumerate(given):
        for callback in callbacks:
            first = seen.setdefault(id(callback), index)
            if first != index:
                raise ValueError(f"callbacks must be different objects for each model, since each watches one fit; "
                                 f"models {first} and {index} share {callback!r}. "
                                 f"Give fit_options as a list of one dict for each model, or clone the estimators.")


def _seeds(models: list[Any]) -> dict[int, int]:
    """Seeds of the estimators without an integer random_state, drawn before the threads start."""
    seeds = {}
    for index, model in enumerate(models):
        state = None if isinstance(model, Sequential) else model.random_state
        if not isinstance(model, Sequential) and not isinstance(state, (int, np.integer)):
            if state is not None and not hasattr(state, "randint"):
                raise ValueError(f"random_state must be an integer, a numpy.random.RandomState or None; "
                                 f"models[{index}] has {state!r}.")
            seeds[index] = int((np.random if state is None else state).randint(2**31 - 1))     # noqa: NPY002
    return seeds


def _in_threads(function: Callable[[int], object], count: int, n_threads: int, bar: int) -> dict[int, BaseException]:
    """Calls function(0), ..., function(count - 1) in `n_threads` threads.

    A fit in one of them uses no further threads.

    Returns
    -------
    dict
        The exceptions of calls that failed, by index.
    """
    errors: dict[int, BaseException] = {}
    left, stop, done, lock = iter(range(count)), threading.Event(), threading.Semaphore(0), threading.Lock()

    def work() -> None:
        _threads.alone.stop = stop
        while not stop.is_set():
            with lock:
                index = next(left, None)
            if index is None:
                break
            try:
                function(index)
            except BaseException as error:      # returned to the caller
                errors[index] = error
            done.release()

    helpers = [threading.Thread(target=work, daemon=True, name=f"nnfast-fit-{i}") for i in range(n_threads)]
    progress = None
    if bar:
        from tqdm.auto import tqdm

        progress = tqdm(total=count, desc="Fits", unit="net")
    try:
        for helper in helpers:
            helper.start()
        for _ in range(count):
            while not done.acquire(timeout=0.2):    # a wait without a timeout would not see Ctrl-C
                pass
            if progress is not None:
                progress.update()
    except BaseException:
        stop.set()
        raise
    finally:
        for helper in helpers:
            if helper.ident is not None:
                helper.join()
        if progress is not None:
            progress.close()
    return dict(sorted(errors.items()))


def cross_validate(
    model: _Model, x: Any, y: ArrayLike, folds: int | Iterable[tuple[ArrayLike, ArrayLike]] = 5, *,
    sample_weight: ArrayLike | None = None, fit_options: _Options | Sequence[_Options | None] | None = None,
    n_jobs: int | None = None, verbose: _Verbose = 0, seed: int = 0,
) -> dict[str, Any]:
    """Trains a copy of a model on each fold and scores it on the rows left out.

    Parameters
    ----------
    model : compiled Sequential, MLPClassifier or MLPRegressor
        It is not changed.  A Sequential is copied with its present weights: give an untrained one.
    x, y : as in its `fit`
    folds : int, or iterable of (rows to train on, rows to score)
        With a number, rows are shuffled and split: each row is scored once.  Rows of a pair are row
        numbers or a mask; scikit-learn's splitters give pairs, e.g. `StratifiedKFold(5).split(x,
        y)`.
    sample_weight, fit_options, n_jobs, verbose : as in `fit_many`
    seed : int
        Seed of the shuffling.

    Returns
    -------
    dict
        "models", the fitted copies; and arrays with an entry for each fold: "score" of an
        estimator, "loss" and metrics of a Sequential.

    Raises
    ------
    FitErrors
        If fits have failed; it is raised after all other fits are done.
    ValueError, TypeError
        If the model, data or folds are wrong; it is raised before anything is trained.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> model = nnfast.Sequential([nnfast.Dense(8, "tanh"), nnfast.Dense(1)], seed=0)
    >>> model.compile(nnfast.optimizers.Adam(0.02), "mse")
    >>> results = nnfast.cross_validate(model, x, x**2, fit_options={"epochs": 50})
    >>> results["loss"].shape
    (5,)
    """
    _check_model(model, "model")
    part = _share(model, x, y, sample_weight)
    pairs = _pairs(folds, part.y.shape[0], seed)
    models = [_copy(model) for _ in pairs]
    fit_many(models, part, part.y, folds=[train for train, _ in pairs], fit_options=fit_options, n_jobs=n_jobs,
             verbose=verbose)
    results: dict[str, list[Any]] = {"models": models}
    for fitted, (_, scored) in zip(models, pairs):
        x, y, weights = part.x[scored], part.y[scored], None if part.weights is None else part.weights[scored]
        if isinstance(fitted, Sequential):
            logs = fitted.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
        else:
            logs = {"score": fitted._score(x, y, weights)}
        for name, value in logs.items():
            results.setdefault(name, []).append(value)
    return {name: values if name == "models" else np.array(values) for name, values in results.items()}


def _copy(model: Any) -> Any:
    """A copy to train: a Sequential with its present weights, an estimator without its fit."""
    return copy.deepcopy(model) if isinstance(model, Sequential) else model._unfitted()


def _pairs(folds: Any, rows: int, seed: int) -> list[tuple[Any, Any]]:
    """The rows to train on and the rows to score, for each fold."""
    if not hasattr(folds, "__iter__") and not hasattr(folds, "split"):
        count = check.size(folds, "folds", 2)
        if count > rows:
            raise ValueError(f"folds must be at most the number of rows, {rows}; got {count}.")
        parts = np.array_split(np.random.default_rng(seed).permutation(rows), count)
        return [(np.concatenate(parts[:i] + parts[i + 1:]), parts[i]) for i in range(count)]
    pairs = [pair if hasattr(pair, "__len__") else () for pair in folds] if hasattr(folds, "__iter__") else []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError("folds must be a number, or pairs (rows to train on, rows to score), "
                         "such as KFold(5).split(x).")
    return [tuple(check.rows(rows_of, rows, f"folds[{index}]") for rows_of in pair) for index, pair in enumerate(pairs)]
