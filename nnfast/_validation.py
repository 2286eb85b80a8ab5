"""Every check that a user can trip, and every error sentence: what must hold, what came, what to do."""
import itertools
import operator

import numpy as np

from nnfast import _inputs
from nnfast._core import network

gate = _inputs.gate
LARGEST = 2**62             # numbers; above it a product of sizes leaves Py_ssize_t
INT64 = np.dtype(np.int64)
CHARS = network.SOURCE_OF_CHAR      # of the dtypes that the core reads


# What people call things elsewhere: as suggestions where it is not a name here.
OTHER_NAMES = {
    "cce": ("categorical_crossentropy",), "scce": ("sparse_categorical_crossentropy",), "sparsecce": ("sparse_categorical_crossentropy",),
    "logloss": ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    "nll": ("sparse_categorical_crossentropy", "gaussian_nll"), "l1": ("mean_absolute_error",), "l2": ("mean_squared_error",),
    "rmse": ("mean_squared_error",), "r2": ("r2_score", "mean_squared_error"), "momentum": ("sgd",), "gradientdescent": ("sgd",), "none": ("linear",),
    "logistic": ("sigmoid",), "identity": ("linear",), "xavier": ("glorot_uniform",), "kaiming": ("he_uniform", "he_normal"),
    "normal": ("random_normal",), "uniform": ("random_uniform",), "msre": ("mean_squared_error",), "rocauc": ("auc",),
    "balancedaccuracy": ("accuracy",), "sensitivity": ("recall",), "tpr": ("recall",), "nonnegative": ("non_neg",), "maxnorm": ("max_norm",),
    "xavieruniform": ("glorot_uniform",), "xaviernormal": ("glorot_normal",), "kaiminguniform": ("he_uniform",), "kaimingnormal": ("he_normal",),
    "ridge": ("l2",), "lasso": ("l1",), "elasticnet": ("l1_l2",),
}


def unknown(what, name, valid):
    """ValueError for a name that is not known, with the nearest ones that are."""
    examples = f"Known: {', '.join(sorted(valid))}."
    if name is None:
        return ValueError(f"{what} must be given, got None. {examples}")
    near = _near(name, valid) if isinstance(name, str) else []
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return ValueError(f"{what} must be one of the known names; got {name!r:.80}. {hint}{examples}")


def _near(name, valid):
    """At most three names: what others call so, then those that hold it or that it holds, then those spelt alike."""
    import difflib

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


def one_of(value, name, valid):
    """A value that is one of the valid ones."""
    if value not in valid:
        raise ValueError(f"{name} must be {', '.join(map(repr, valid[:-1]))} or {valid[-1]!r}, got {value!r}.")
    return value


def size(value, name, least=1):
    """An integer of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.") from None
    if number < least or isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    if number > LARGEST:
        raise ValueError(f"{name} must be below 2**62, got {number}: the sizes of such arrays overflow.")
    return number


def number(value, name, low=None, high=None, open_high=False):
    """A finite float in [low, high], or [low, high) with `open_high`."""
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


def positive(value, name):
    """A finite float above 0."""
    result = number(value, name, 0)
    if result == 0:
        raise ValueError(f"{name} must be positive, got {value!r}.")
    return result


def axes(value, several=False):
    """An axis, or with `several` a tuple of axes or None."""
    if several and (value is None or isinstance(value, (tuple, list))):
        return None if value is None else tuple(axes(each) for each in value)
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise ValueError(f"`axis` must be of type `int`. Received: axis={value!r} of type {type(value).__name__}.")
    return operator.index(value)


def axis(value, ndim):
    """An axis as a place in [0, ndim)."""
    if not -ndim <= value < ndim:
        raise ValueError(f"axis must be one of the {ndim} axes of y_pred, got {value}.")
    return value % ndim


def dtype(value):
    """The dtype of a model: float32 or float64."""
    try:
        result = np.dtype(value)
    except TypeError:
        result = None
    if result not in (np.dtype("float32"), np.dtype("float64")):
        raise ValueError(f'dtype must be "float32" or "float64", got {value!r}.')
    return result


def numeric(array, name):
    """What a user gave as an array of a dtype the core reads, without a copy wherever that is possible."""
    if type(array) is not np.ndarray or array.dtype.char not in CHARS or not array.dtype.isnative:
        array = _inputs.read(array, name)
        if array.dtype.str[1:] not in network.SOURCES or not array.dtype.isnative:
            array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if not array.flags.aligned:
        array = array.copy()
    return array


def table(given, name):
    """A frame as its array and the names of its columns, for `numeric` and `names`; anything else as the array of `numeric`."""
    if type(given) is not np.ndarray:
        given = _inputs.table(given, name)
        if isinstance(given, _inputs.Table):
            return given
    return numeric(given, name)


def names(given):
    """The names of the columns of a `table`; None of an array."""
    return given.columns if isinstance(given, _inputs.Table) else None


def floats(array, name, dtype=None):
    """The array in float32 or float64: its own, or the one given; integers become float64, float16 float32."""
    array = numeric(array, name)
    if dtype is None:
        dtype = array.dtype if array.dtype.char in "fd" else np.float64
    return array if array.dtype == dtype else array.astype(dtype)


def result(out, shape, dtype, name="out"):
    """`out` if it fits, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous \
            or not out.flags.writeable:
        got = f"shape {out.shape}, dtype {out.dtype}" if isinstance(out, np.ndarray) else repr(type(out))
        raise ValueError(f"{name} must be a writable C-contiguous array of shape {shape} and dtype {np.dtype(dtype)}; got {got}.")
    return out


def opened(array):
    """What the core reads: a matrix as DenseRows, labels (n,) as they are."""
    return network.DenseRows(array) if array.ndim == 2 else array


def matrix(x, name, columns=None, flatten=False):
    """x as (rows, columns), without a copy wherever that is possible."""
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


def same_length(x, y, name_x="x", name_y="y"):
    """A row of y for each row of x."""
    if len(x) != len(y):
        raise ValueError(f"{name_x} and {name_y} must have the same number of rows; got {len(x)} and {len(y)}.")


def at_least_one_row(x, name="x"):
    """Something to train on."""
    if len(x) == 0:
        raise ValueError(f"{name} must have at least one row; got shape {x.shape}.")


def labels(y, classes, name="y", ignore=None):
    """Integer labels (n,) as int64, checked to lie in [0, classes).

    The label `ignore`, which may lie outside, becomes -1.
    """
    if type(y) is np.ndarray and y.dtype is INT64 and y.ndim == 1 and ignore is None and y.flags.c_contiguous \
            and network.first_outside(y, classes) < 0:
        return y
    y = numeric(y, name)
    shape = y.shape
    if y.ndim == 2 and shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        advice = (f"These look one-hot: use {name}.argmax(axis=1), or CategoricalCrossentropy."
                  if y.ndim == 2 and shape[1] == classes else "Give one integer per row.")
        raise ValueError(f"{name} must hold integer labels of shape (n,) for a sparse loss; got shape {shape}. {advice}")
    if y.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(y) | (y != np.floor(y)))
        if len(bad):
            raise ValueError(f"{name} must hold integer labels for a sparse loss; row {bad[0]} holds {y[bad[0]]}.")
    given = y
    if ignore is not None:
        ignored = y == ignore
        y = np.where(ignored, 0, y)
    in_range = y.clip(-1, classes) if y.dtype.kind == "f" or y.dtype.char in "QL" else y      # what int64 can not hold
    integers = np.ascontiguousarray(in_range, dtype=np.int64)
    row = network.first_outside(integers, classes)
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
        integers = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
        advice = (f"For integer labels use SparseCategoricalCrossentropy, or make them one-hot with np.eye({columns})[{name}]."
                  if integers else f"Reshape it with {name}.reshape(len({name}), -1)." if y.ndim > 2 else
                  "Match the units of the last layer to the columns of y.")
        raise ValueError(f"{name} must have shape (n, {columns}), as the last layer has {columns} "
                         f"unit{'s' if columns > 1 else ''}; got shape {shape}. {advice}")
    return y


def rows(given, count, name="rows"):
    """Numbers of rows as int64 (n,), checked to lie in [0, count); a mask of all rows is one, too."""
    array = numeric(given, name)
    if array.dtype == bool and array.shape == (count,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a 1-D array of at least one row number; got shape {array.shape}, dtype {array.dtype}.")
    if array.min() < 0 or array.max() >= count:
        raise ValueError(f"{name} must hold row numbers in [0, {count}); got {array.min()} to {array.max()}.")
    return np.ascontiguousarray(array, np.int64)


def taken(array, rows):
    """Rows of an array, a sparse matrix, a table or a list."""
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    return array[rows] if hasattr(array, "shape") else [array[row] for row in rows]


def weights(values, rows, name="sample_weight"):
    """Weights of rows as float64 (n,), or None."""
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
    """Copies weight arrays into views, if all of them fit and are finite; a ValueError else."""
    if not hasattr(weights, "__iter__") and not hasattr(weights, "__getitem__") or isinstance(weights, (str, bytes, dict)):
        raise TypeError(f"weights must be a list of arrays, as get_weights gives them; got {weights!r:.60}.")
    weights = [numeric(array, f"weights[{i}]") for i, array in enumerate(itertools.islice(weights, len(views) + 1))]
    if [array.shape for array in weights] != [view.shape for view in views]:
        raise ValueError(f"weights must have the shapes {[view.shape for view in views]}; got {[array.shape for array in weights]}.")
    for i, array in enumerate(weights):
        if not np.isfinite(array).all():
            raise ValueError(f"weights[{i}] must be finite; it holds NaN or infinity.")
    for view, array in zip(views, weights):
        view[...] = array


def broadcast_weights(values, shape):
    """Finite weights of samples in float64, broadcast to their shape from its first axis on; a last axis of 1 may be too many."""
    values = numeric(values, "sample_weight").astype(np.float64)
    given = values.shape
    if values.ndim == len(shape) + 1 and given[-1] == 1:
        values = values[..., 0]
    if not np.isfinite(values).all():
        raise ValueError("sample_weight must be finite; it holds NaN or infinity.")
    if shape == () and values.ndim == 1:        # one value for the batch, weights of its rows
        return values
    try:
        return np.broadcast_to(values.reshape(values.shape + (1,) * (len(shape) - values.ndim)), shape)
    except ValueError:
        raise ValueError(f"sample_weight must have shape {shape}, a number for each sample, or broadcast to it; got {given}.") from None


def class_weights(weight, classes, sparse, y, sample_weight=None):
    """Weights of rows from a dict class -> weight, or "balanced"; a class that is missing counts 1."""
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
    """The class of each row; below 0 where the loss ignores it."""
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
    if classes > 1:         # labels for a loss of the user's own
        if not (np.isfinite(column).all() and (column == np.floor(column)).all() and column.min() >= 0 and column.max() < classes):
            raise ValueError(f"class_weight needs classes: with one column under {classes} outputs every y must be a label in [0, {classes}).")
        return column.astype(np.int64)
    if not np.isin(column, (-1, 0, 1)).all() or (column == -1).any() and (column == 0).any():
        raise ValueError("class_weight needs classes: with one output every y must be 0 or 1.")
    return (column > 0).astype(np.int64)


def balanced(classes, sample_weight):
    """rows / (classes present * rows of the class), each row counted with its weight; 1 where the class is below 0."""
    counted = classes >= 0
    _, place, rows = np.unique(classes[counted], return_inverse=True, return_counts=True)
    if sample_weight is not None:
        if (sample_weight < 0).any():
            raise ValueError("class_weight='balanced' needs a sample_weight of at least 0 in every row, for it counts rows by "
                             "their weights. Give class_weight as a dict.")
        rows = np.bincount(place, sample_weight[counted], len(rows))
    weights = np.ones(len(classes))
    with np.errstate(divide="ignore"):          # a class whose rows all have weight 0
        weights[counted] = np.where(rows > 0, rows.sum() / (np.count_nonzero(rows) * rows), 1)[place]
    return weights


def generator(seed):
    """A random generator of its own: that of a seed, or one that is seeded by drawing from the generator given."""
    if isinstance(seed, np.random.BitGenerator):
        seed = np.random.Generator(seed)
    if isinstance(seed, np.random.RandomState):
        seed = seed.randint(2**32, size=4, dtype=np.uint32)
    elif isinstance(seed, np.random.Generator):
        seed = seed.integers(2**32, size=4, dtype=np.uint32)
    return np.random.default_rng(seed)


def c_signature(signature):
    """float64 or float32: the dtype of a C function of a loss, from the signature of its scipy.LowLevelCallable."""
    import re

    sizes = "ptrdiff_t|Py_ssize_t|ssize_t|npy_intp|intptr_t|int64_t|long|longlong"
    plain = "".join(re.sub(r"\bconst\b", "", signature).split())
    match = re.fullmatch(rf"(double|float)\((\1\*\w*,){{3}}({sizes})\w*,void\*\w*\)", plain)
    if match:
        return np.float64 if match[1] == "double" else np.float32
    raise ValueError("the C function of a loss must have the signature 'double (const double *y_true, const double *y_pred, double *gradient, "
                     f"ptrdiff_t n, void *user_data)', or float in place of double throughout; got {signature!r}.")


def not_finite(array, row, name, first=0, columns=None):
    """ValueError for a row the core met NaN or infinity in; the caller's arrays begin `first` rows before, a frame has names of columns."""
    values = np.asarray(array[row])
    column = int(np.flatnonzero(~np.isfinite(values))[0]) if not np.isfinite(values).all() else None
    targets = name.startswith("y")
    remedy = "Drop such rows." if targets else "Clean the data, for instance with np.nan_to_num."
    if column is None:
        found, remedy = "a number beyond the range of the model's dtype", "Scale the data, or give the model dtype='float64'."
    elif columns is None:
        found = f"{values[column]} in column {column}"
    else:
        found = f"{values[column]} in column {columns[column]!r}"
        if np.isnan(values[column]) and not targets:
            remedy = "Fill what is missing, for instance with sklearn.impute.SimpleImputer, or drop such rows."
    return ValueError(f"{name} must be finite; row {first + row} holds {found}. {remedy}")
