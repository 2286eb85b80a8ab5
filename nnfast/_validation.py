"""Checks of what users give. Each error message says what must hold, what came and what to do."""
from __future__ import annotations

import itertools
import operator
import re
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _inputs
from nnfast._core import network as core

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

gate = _inputs.gate
LARGEST = 2**62             # largest size: a product of larger ones overflows Py_ssize_t
INT64 = np.dtype(np.int64)
CHARS = core.SOURCE_OF_CHAR     # characters of the dtypes that the core reads

# Names of other tools, as letters and digits only, and the names of nnfast to suggest for them.
OTHER_NAMES = {
    "cce": ("categorical_crossentropy",), "scce": ("sparse_categorical_crossentropy",),
    "sparsecce": ("sparse_categorical_crossentropy",),
    "logloss": ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    "nll": ("sparse_categorical_crossentropy", "gaussian_nll"), "l1": ("mean_absolute_error",),
    "l2": ("mean_squared_error",), "rmse": ("mean_squared_error",), "msre": ("mean_squared_error",),
    "r2": ("r2_score", "mean_squared_error"), "rocauc": ("auc",), "balancedaccuracy": ("accuracy",),
    "sensitivity": ("recall",), "tpr": ("recall",), "momentum": ("sgd",), "gradientdescent": ("sgd",),
    "none": ("linear",), "identity": ("linear",), "logistic": ("sigmoid",), "xavier": ("glorot_uniform",),
    "xavieruniform": ("glorot_uniform",), "xaviernormal": ("glorot_normal",), "kaiming": ("he_uniform", "he_normal"),
    "kaiminguniform": ("he_uniform",), "kaimingnormal": ("he_normal",), "normal": ("random_normal",),
    "uniform": ("random_uniform",), "nonnegative": ("non_neg",), "maxnorm": ("max_norm",), "ridge": ("l2",),
    "lasso": ("l1",), "elasticnet": ("l1_l2",),
}


def unknown(what: str, name: object, valid: Collection[str]) -> ValueError:
    """ValueError for an unknown name, which suggests the known names nearest to it."""
    examples = f"Known: {', '.join(sorted(valid))}."
    if name is None:
        return ValueError(f"{what} must be given, got None. {examples}")
    near = _near(name, valid) if isinstance(name, str) else []
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return ValueError(f"{what} must be one of the known names; got {name!r:.80}. {hint}{examples}")


def _near(name, valid):
    """At most three known names that `name` may mean.

    First the same name with other separators, then its meaning in other tools, then names that
    contain it or that it contains, then names of similar spelling.
    """
    import difflib  # needed only for errors

    def plain(text):
        return "".join(char for char in text.lower() if char.isalnum())

    key, names = plain(name), {known: plain(known) for known in valid}
    bare = key.removesuffix("loss").removesuffix("score") or key
    found = [known for known, text in names.items() if text in (key, bare)]
    found += [known for known in OTHER_NAMES.get(key, OTHER_NAMES.get(bare, ())) if known in names]
    if len(bare) > 1:
        found += sorted((known for known, text in names.items() if bare in text or len(text) > 2 and text in bare),
                        key=lambda known: abs(len(names[known]) - len(bare)))
    if key not in OTHER_NAMES:
        found += difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    once = {}
    for known in found:
        once.setdefault(names[known], known)
    return list(once.values())[:3]


def one_of(value: Any, name: str, valid: Sequence[Any]) -> Any:
    """`value`, which must be one of `valid`."""
    if value not in valid:
        raise ValueError(f"{name} must be {', '.join(map(repr, valid[:-1]))} or {valid[-1]!r}, got {value!r}.")
    return value


def size(value: Any, name: str, least: int = 1) -> int:
    """`value` as an integer of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.") from None
    if number < least or isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    if number > LARGEST:
        raise ValueError(f"{name} must be below 2**62, got {number}: the sizes of such arrays overflow.")
    return number


def number(value: Any, name: str, low: float | None = None, high: float | None = None,
           open_high: bool = False) -> float:
    """`value` as a finite float in [low, high], or in [low, high) with `open_high`."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}.") from None
    if (not np.isfinite(result) or (low is not None and result < low)
            or (high is not None and (result > high or (open_high and result == high)))):
        bounds = "finite" if low is None else f"at least {low}" if high is None else \
            f"in [{low}, {high}{')' if open_high else ']'}"
        raise ValueError(f"{name} must be {bounds}, got {value!r}.")
    return result


def positive(value: Any, name: str) -> float:
    """`value` as a finite float above 0."""
    result = number(value, name, 0)
    if result == 0:
        raise ValueError(f"{name} must be positive, got {value!r}.")
    return result


def axes(value, several=False):
    """`value` as an axis; with `several` it may also be a tuple of axes, or None."""
    if several and (value is None or isinstance(value, (tuple, list))):
        return None if value is None else tuple(axes(each) for each in value)
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise ValueError(f"`axis` must be of type `int`. Received: axis={value!r} of type {type(value).__name__}.")
    return operator.index(value)


def axis(value: int, ndim: int) -> int:
    """An axis of y_pred, counted from 0."""
    if not -ndim <= value < ndim:
        raise ValueError(f"axis must be one of the {ndim} axes of y_pred, got {value}.")
    return value % ndim


def dtype(value: Any) -> np.dtype[Any]:
    """The dtype of a model: float32 or float64."""
    try:
        result = np.dtype(value)
        if result in (np.dtype("float32"), np.dtype("float64")):
            return result
    except TypeError:
        pass
    raise ValueError(f'dtype must be "float32" or "float64", got {value!r}.')


def numeric(array, name):
    """The user's data as an array that the core can read, copied only where necessary."""
    if type(array) is not np.ndarray or array.dtype.char not in CHARS or not array.dtype.isnative:
        array = _inputs.read(array, name)
        if array.dtype.str[1:] not in core.SOURCES or not array.dtype.isnative:
            array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if not array.flags.aligned:
        array = array.copy()
    return array


def table(given, name):
    """A frame as a `Table`, for `numeric` and `names`; other data as the array of `numeric`."""
    if type(given) is not np.ndarray:
        given = _inputs.table(given, name)
        if isinstance(given, _inputs.Table):
            return given
    return numeric(given, name)


def names(given):
    """The names of the columns of a `Table`; None for an array."""
    return given.columns if isinstance(given, _inputs.Table) else None


def floats(array, name, dtype=None):
    """The array in `dtype`; by default float16 becomes float32, and integers become float64."""
    array = numeric(array, name)
    if dtype is None:
        dtype = array.dtype if array.dtype.char in "fd" else np.float64
    return array if array.dtype == dtype else array.astype(dtype)


def result(out, shape, dtype, name="out"):
    """The array for a result: `out`, which must fit, or a new one."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous \
            or not out.flags.writeable:
        got = f"shape {out.shape}, dtype {out.dtype}" if isinstance(out, np.ndarray) else repr(type(out))
        raise ValueError(f"{name} must be a writable C-contiguous array of shape {shape} and dtype {np.dtype(dtype)}; "
                         f"got {got}.")
    return out


def opened(array):
    """The array as the core reads it: a matrix as DenseRows, labels (n,) unchanged."""
    return core.DenseRows(array) if array.ndim == 2 else array


def matrix(x, name, columns=None, flatten=False):
    """x as an array (rows, columns), copied only where necessary."""
    x = numeric(x, name)
    shape = x.shape
    if x.ndim > 2 and flatten:
        x = x.reshape(len(x), -1) if len(x) else x.reshape(0, int(np.prod(shape[1:])))
    if x.ndim != 2:
        if x.ndim > 2:
            advice = f"Add nnfast.layers.Flatten() as first layer or reshape it with {name}.reshape(len({name}), -1)."
        else:
            advice = f"A single row is {name}.reshape(1, -1), a single column {name}.reshape(-1, 1)."
        raise ValueError(f"{name} must be 2-D, (rows, columns); got shape {shape}. {advice}")
    if columns is not None and x.shape[1] != columns:
        raise ValueError(f"{name} must have {columns} columns, the width of the first layer; got shape {shape}.")
    if x.shape[1] == 0:
        raise ValueError(f"{name} must have at least one column; got shape {shape}.")
    return x


def at_least_2d(x, name):
    """The array x, which must have an axis of rows and at least one more."""
    if x.ndim < 2:
        raise ValueError(f"{name} must be at least 2-D, (rows, columns); got shape {x.shape}. "
                         f"A single column is {name}.reshape(-1, 1).")
    return x


def same_length(x, y, name_x="x", name_y="y"):
    """Raises a ValueError unless x and y have the same number of rows."""
    if len(x) != len(y):
        raise ValueError(f"{name_x} and {name_y} must have the same number of rows; got {len(x)} and {len(y)}.")


def at_least_one_row(x, name="x"):
    """Raises a ValueError if x has no rows."""
    if len(x) == 0:
        raise ValueError(f"{name} must have at least one row; got shape {x.shape}.")


def labels(y, classes, name="y", ignore=None):
    """Integer labels in [0, classes) as int64 (n,).

    The label `ignore`, which may lie outside, becomes -1.
    """
    if type(y) is np.ndarray and y.dtype is INT64 and y.ndim == 1 and ignore is None and y.flags.c_contiguous \
            and core.first_outside(y, classes) < 0:
        return y
    y = numeric(y, name)
    shape = y.shape
    if y.ndim == 2 and shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        advice = (f"These look one-hot: use {name}.argmax(axis=1), or CategoricalCrossentropy."
                  if y.ndim == 2 and shape[1] == classes else "Give one integer per row.")
        raise ValueError(f"{name} must hold integer labels of shape (n,) for a sparse loss; got shape {shape}. "
                         f"{advice}")
    if y.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(y) | (y != np.floor(y)))
        if len(bad):
            raise ValueError(f"{name} must hold integer labels for a sparse loss; row {bad[0]} holds {y[bad[0]]}.")
    given = y
    if ignore is not None:
        ignored = y == ignore
        y = np.where(ignored, 0, y)
    # floats and unsigned integers may hold what int64 cannot
    in_range = y.clip(-1, classes) if y.dtype.kind == "f" or y.dtype.char in "QL" else y
    integers = np.ascontiguousarray(in_range, dtype=np.int64)
    row = core.first_outside(integers, classes)
    if row >= 0:
        raise ValueError(f"{name} must hold labels in [0, {classes}), as the last layer has {classes} units; "
                         f"row {row} holds {given[row]}. Renumber the classes from 0 or widen the last layer.")
    if ignore is not None:
        integers = np.where(ignored, -1, integers)
    return integers


def targets(y, columns, name="y"):
    """Targets as (n, columns) in their own dtype."""
    y = numeric(y, name)
    shape = y.shape
    if y.ndim == 1 and columns == 1:
        y = y.reshape(-1, 1)
    if y.ndim != 2 or y.shape[1] != columns:
        if y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
            advice = (f"For integer labels use SparseCategoricalCrossentropy, or make them one-hot with "
                      f"np.eye({columns})[{name}].")
        elif y.ndim > 2:
            advice = f"Reshape it with {name}.reshape(len({name}), -1)."
        else:
            advice = "Match the units of the last layer to the columns of y."
        raise ValueError(f"{name} must have shape (n, {columns}), as the last layer has {columns} "
                         f"unit{'s' if columns > 1 else ''}; got shape {shape}. {advice}")
    return y


def rows(given, count, name="rows"):
    """Row numbers in [0, count), or a boolean mask of all rows, as int64 (n,)."""
    array = numeric(given, name)
    if array.dtype == bool and array.shape == (count,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a 1-D array of at least one row number; got shape {array.shape}, "
                         f"dtype {array.dtype}.")
    if array.min() < 0 or array.max() >= count:
        raise ValueError(f"{name} must hold row numbers in [0, {count}); got {array.min()} to {array.max()}.")
    return np.ascontiguousarray(array, np.int64)


def weights(values, rows, name="sample_weight"):
    """Finite weights of rows as float64 (rows,); None for None."""
    if values is None:
        return None
    values = numeric(values, name)
    shape = values.shape
    if values.ndim == 2 and shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), a number for each row; got shape {shape}.")
    values = np.ascontiguousarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{name} must be finite; row {row} holds {values[row]}.")
    return values


def copy_weights(views, weights):
    """Copies weight arrays into views; before that, all of them must fit and be finite."""
    iterable = hasattr(weights, "__iter__") or hasattr(weights, "__getitem__")
    if not iterable or isinstance(weights, (str, bytes, dict)):
        raise TypeError(f"weights must be a list of arrays, as get_weights gives them; got {weights!r:.60}.")
    weights = [numeric(array, f"weights[{i}]") for i, array in enumerate(itertools.islice(weights, len(views) + 1))]
    if [array.shape for array in weights] != [view.shape for view in views]:
        raise ValueError(f"weights must have the shapes {[view.shape for view in views]}; "
                         f"got {[array.shape for array in weights]}.")
    for i, array in enumerate(weights):
        if not np.isfinite(array).all():
            raise ValueError(f"weights[{i}] must be finite; it holds NaN or infinity.")
    for view, array in zip(views, weights):
        view[...] = array


def broadcast_weights(values, shape):
    """Finite weights in float64, broadcast to `shape`, the samples, from its first axis on.

    `values` may have a further last axis of length 1.
    """
    values = numeric(values, "sample_weight").astype(np.float64)
    given = values.shape
    if values.ndim == len(shape) + 1 and given[-1] == 1:
        values = values[..., 0]
    if not np.isfinite(values).all():
        raise ValueError("sample_weight must be finite; it holds NaN or infinity.")
    if shape == () and values.ndim == 1:        # the loss has one value for the batch; weights of its rows
        return values
    try:
        return np.broadcast_to(values.reshape(values.shape + (1,) * (len(shape) - values.ndim)), shape)
    except ValueError:
        raise ValueError(f"sample_weight must have shape {shape}, a number for each sample, or broadcast to it; "
                         f"got {given}.") from None


def class_weights(weight, classes, sparse, y, sample_weight=None):
    """Weights of rows from a dict class -> weight or "balanced"; a class not in the dict has 1."""
    if isinstance(weight, str) and weight == "balanced":
        return balanced(_classes(y, classes, sparse), sample_weight)
    if not hasattr(weight, "items"):
        raise TypeError(f'class_weight must be a dict from class to weight, or "balanced"; got {weight!r}.')
    table = np.ones(classes if classes > 1 else 2)
    for key, value in weight.items():
        try:
            index = operator.index(key)
        except TypeError:
            raise TypeError(f"class_weight must have integers as keys, got {key!r}.") from None
        if not 0 <= index < len(table):
            raise ValueError(f"class_weight must have keys in [0, {len(table)}), got {index}.")
        table[index] = number(value, f"class_weight[{index}]")
    y = _classes(y, classes, sparse)
    return np.where(y < 0, 1, table[np.maximum(y, 0)])


def _classes(y, classes, sparse):
    """The class of each row; negative where the loss ignores the row."""
    if sparse:
        return y
    if classes > 1 and y.shape[1] > 1:
        shares = (y + 1) / 2 if np.isin(y, (-1, 1)).all() else y
        bad = np.flatnonzero(~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) < 1e-3)))
        if len(bad):
            raise ValueError(f"class_weight needs classes: every row of y must be one-hot, or hold shares of the "
                             f"classes that sum to 1; row {bad[0]} holds {y[bad[0]]}. "
                             f"Give a weight for each row as sample_weight.")
        return y.argmax(axis=1)
    column = y[:, 0]
    if classes > 1:         # labels for the user's own loss
        whole = np.isfinite(column).all() and (column == np.floor(column)).all()
        if not (whole and column.min() >= 0 and column.max() < classes):
            raise ValueError(f"class_weight needs classes: with one column and {classes} outputs, every y must be a "
                             f"label in [0, {classes}).")
        return column.astype(np.int64)
    if not np.isin(column, (-1, 0, 1)).all() or (column == -1).any() and (column == 0).any():
        raise ValueError("class_weight needs classes: with one output every y must be 0 or 1.")
    return (column > 0).astype(np.int64)


def balanced(classes, sample_weight):
    """The balanced class weight of each row: rows / (classes present * rows of its class).

    Rows are counted with their `sample_weight`.  Rows of a negative class get weight 1.
    """
    counted = classes >= 0
    _, place, rows = np.unique(classes[counted], return_inverse=True, return_counts=True)
    if sample_weight is not None:
        if (sample_weight < 0).any():
            raise ValueError("class_weight='balanced' needs a sample_weight of at least 0 in every row, because it "
                             "counts rows by their weights. Give class_weight as a dict.")
        rows = np.bincount(place, sample_weight[counted], len(rows))
    weights = np.ones(len(classes))
    with np.errstate(divide="ignore"):          # a class whose rows all have weight 0
        weights[counted] = np.where(rows > 0, rows.sum() / (np.count_nonzero(rows) * rows), 1)[place]
    return weights


def generator(seed: Any) -> np.random.Generator:
    """A new random generator from a seed; from a generator a seed is drawn."""
    if isinstance(seed, np.random.BitGenerator):
        seed = np.random.Generator(seed)
    if isinstance(seed, np.random.RandomState):
        seed = seed.randint(2**32, size=4, dtype=np.uint32)
    elif isinstance(seed, np.random.Generator):
        seed = seed.integers(2**32, size=4, dtype=np.uint32)
    return np.random.default_rng(seed)


def c_signature(signature):
    """The dtype, float64 or float32, of the C function of a loss, from its signature in SciPy."""
    sizes = "ptrdiff_t|Py_ssize_t|ssize_t|npy_intp|intptr_t|int64_t|long|longlong"
    plain = "".join(re.sub(r"\bconst\b", "", signature).split())
    match = re.fullmatch(rf"(double|float)\((\1\*\w*,){{3}}({sizes})\w*,void\*\w*\)", plain)
    if match:
        return np.float64 if match[1] == "double" else np.float32
    raise ValueError("the C function of a loss must have the signature 'double (const double *y_true, const double "
                     "*y_pred, double *gradient, ptrdiff_t n, void *user_data)', or float in place of double "
                     f"throughout; got {signature!r}.")


def not_finite(array, row, name, first=0, columns=None):
    """ValueError for the row in which the core found NaN or infinity.

    Parameters
    ----------
    array : array
    row : int
        Row of `array`; it is row `first + row` of the data of the caller.
    name : str
    first : int
    columns : list, optional
        Names of the columns, if the data came as a frame.
    """
    values = np.asarray(array[row])
    column = int(np.flatnonzero(~np.isfinite(values))[0]) if not np.isfinite(values).all() else None
    targets = name.startswith("y")
    remedy = "Drop such rows." if targets else "Clean the data, for instance with np.nan_to_num."
    if column is None:
        found = "a number beyond the range of the model's dtype"
        remedy = "Scale the data, or give the model dtype='float64'."
    elif columns is None:
        found = f"{values[column]} in column {column}"
    else:
        found = f"{values[column]} in column {columns[column]!r}"
        if np.isnan(values[column]) and not targets:
            remedy = "Fill what is missing, for instance with sklearn.impute.SimpleImputer, or drop such rows."
    return ValueError(f"{name} must be finite; row {first + row} holds {found}. {remedy}")
