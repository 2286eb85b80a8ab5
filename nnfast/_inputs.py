"""The data that users give: which objects are read, and how frames become arrays.

NumPy reads any object with `__len__` and `__getitem__` element by element.  With a data set that
yields batches for ever it would never finish, so only these objects reach NumPy:

    arrays          ndarray, and objects with an array protocol: tensors, Series, h5py data sets
    frames          of pandas, polars and Arrow, column by column: their own conversion makes an
                    object array of columns of different types
    nested lists    of numbers and arrays; one element of each type is checked

pandas, polars and Arrow are not imported here: if a user gives an object of one of them, it is
already in `sys.modules`.
"""
import sys
from itertools import chain
from numbers import Number

import numpy as np

PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
HARMLESS = (list, tuple, range, str, bytes, np.generic, np.ndarray)         # sequences that NumPy reads to their end
DEEPEST = 32                # largest number of axes of an array, as in NumPy 1
SHOWN = 5                   # largest number of columns that an error names
ENCODE = ("Encode strings and categories, for instance with pandas.get_dummies or "
          "sklearn.preprocessing.OneHotEncoder(sparse_output=False).")
DATES = "To make numbers of dates, subtract a date and divide by np.timedelta64(1, 'D')."


class Table:
    """The array of a frame, with the names of its columns for error messages."""

    def __init__(self, array, columns):
        self.array, self.columns = array, columns
        self.shape, self.ndim = array.shape, array.ndim

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        return Table(self.array[rows], self.columns)


def table(given, name):
    """A frame as a Table; other data unchanged."""
    columns = _columns(given)
    return given if columns is None else Table(_frame(given, columns, name), [label for label, _ in columns])


def read(given, name):
    """The user's data as an array of real numbers."""
    if isinstance(given, Table):
        return given.array
    columns = _columns(given)
    if columns is not None:
        return _frame(given, columns, name)
    gate(given, name)
    if is_sparse(given):
        raise TypeError(f"{name} must be dense here; got a sparse {type(given).__name__} of shape {given.shape}. "
                        f"Use {name}.toarray(); MLPClassifier and MLPRegressor read sparse rows as they are.")
    if isinstance(given, _of("pandas", "Series")):
        array = _pandas_column(given)
        if array is None:
            raise ValueError(f"{name} must be an array of real numbers, got dtype {given.dtype}. "
                             f"{_remedy(name, given.to_numpy())}")
    else:
        array = _asarray(given, name)
    if array.dtype.kind == "O":
        array = _numbers(array, name)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be an array of real numbers, got dtype {array.dtype}. {_remedy(name, array)}")
    return array


def gate(given, name):
    """Raises a TypeError unless `given` is an array, frame, number or nested list of them.

    Masked elements raise a ValueError.  Other elements of an array are not checked.
    """
    _unmasked(given, name)
    if isinstance(given, (list, tuple)):
        _gate_list(given, name)
    elif not (isinstance(given, (np.ndarray, Number, range, Table)) or _is_array(given) or is_sparse(given)):
        shown = given is None or isinstance(given, (str, bytes))
        got = f"{given!r:.60}" if shown else f"an object of type {type(given).__name__}"
        if name.startswith("sample_weight"):
            remedy = "Give one weight for each row; weights of classes go into class_weight."
        else:
            remedy = ("Read data sets, loaders and iterators into an array first; np.memmap reads one that is larger "
                      "than memory.")
        raise TypeError(f"{name} must be an array, a frame (pandas, polars, Arrow) or nested lists of numbers; "
                        f"got {got}. {remedy}")


def _unmasked(given, name):
    """Raises a ValueError for masked elements, also in a list of arrays: NumPy would read them."""
    listed = isinstance(given, (list, tuple)) and not isinstance(next(iter(given), 0), (int, float))
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in (given if listed else [given])):
        raise ValueError(f"{name} must not be masked: the elements under the mask would be read. "
                         f"Fill them with the method filled(value), or leave out these rows.")


def is_sparse(given):
    """Whether `given` is a sparse matrix or array of SciPy."""
    return hasattr(given, "toarray") and hasattr(given, "nnz")


def _is_array(given):
    if isinstance(given, (str, bytes, type)):
        return False
    if any(hasattr(given, protocol) for protocol in PROTOCOLS) or _columns(given) is not None:
        return True
    try:
        memoryview(given)
    except TypeError:
        return False
    return True


def _gate_list(given, name):
    """Raises a TypeError if nested lists hold a sequence that is not a list, tuple or array."""
    lists = [given]
    for _ in range(DEEPEST):
        kinds = set(map(type, chain.from_iterable(lists)))
        for kind in kinds:
            if not hasattr(kind, "__getitem__") or issubclass(kind, HARMLESS):
                continue
            if not _is_array(next(item for item in chain.from_iterable(lists) if type(item) is kind)):
                raise TypeError(f"{name} must be an array, or nested lists of numbers and arrays; got a list that "
                                f"holds an object of type {kind.__name__}. Read data sets and loaders into an array "
                                f"first.")
        if not any(issubclass(kind, (list, tuple)) for kind in kinds):
            return
        inner = (item for item in chain.from_iterable(lists) if isinstance(item, (list, tuple)))
        lists = list({id(item): item for item in inner}.values())           # each list once; it may hold itself
    raise ValueError(f"{name} must be an array of at most {DEEPEST} axes; got lists that are nested deeper.")


def _asarray(given, name):
    try:
        if hasattr(given, "__dlpack__") and not any(hasattr(given, protocol) for protocol in PROTOCOLS[:3]):
            return np.from_dlpack(given)
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        advice = " Give every row the same length." if isinstance(given, (list, tuple)) else ""
        if isinstance(given, _of("torch", "Tensor")) and given.is_floating_point() and not given.requires_grad \
                and given.itemsize < 4:
            advice = f" Convert it first with {name}.float()."
        reason = str(error).rstrip(".")
        raise ValueError(f"{name} must be an array of numbers; NumPy could not make one: {reason}.{advice}") from None


def _numbers(objects, name):
    """An array of Python objects as float64; missing values become NaN."""
    try:
        return objects.astype(np.float64)
    except (TypeError, ValueError):
        pass
    out = np.empty(objects.shape)
    for place, value in np.ndenumerate(objects):
        try:
            out[place] = np.nan if _is_missing(value) else float(value)
        except (TypeError, ValueError):
            if len(place) == 1:
                where = f"row {place[0]}"
            elif len(place) == 2:
                where = f"row {place[0]}, column {place[1]}"
            else:
                where = f"{name}{list(place)}"
            remedy = _remedy(name, objects) if isinstance(value, str) else "Give one number for each element."
            raise ValueError(f"{name} must be an array of real numbers; {where} holds {value!r:.60} of type "
                             f"{type(value).__name__}. {remedy}") from None
    return out


def _is_missing(value):
    return value is None or value is _of("pandas", "NA", None)


def _remedy(name, array):
    """What to do with an array that does not hold real numbers."""
    kind = array.dtype.kind
    if kind == "c":
        return f"Give its parts, {name}.real and {name}.imag."
    if kind in "mM":
        spans = f"({name} - {name}.min())" if kind == "M" else name
        return f"Make numbers of it, for instance {spans} / np.timedelta64(1, 'D')."
    if array.dtype.names:
        return (f"Convert it first: from numpy.lib.recfunctions import structured_to_unstructured, then "
                f"structured_to_unstructured({name}).")
    try:
        array.astype(np.float64)
    except (TypeError, ValueError):
        if name.startswith("y"):
            return (f"Number the classes, for instance with np.unique({name}, return_inverse=True)[1]; MLPClassifier "
                    f"takes labels of any kind.")
        return ENCODE
    return f"Convert it first with np.asarray({name}, dtype='float64')."


# -- frames ----------------------------------------------------------------------------------------

def _of(module, name, default=()):
    """An attribute of a module if that is imported; the default is for classes in `isinstance`."""
    return getattr(sys.modules.get(module), name, default)


def _columns(given):
    """[(name, column)] of a frame; None for other data."""
    if isinstance(given, _of("pandas", "DataFrame")):
        return [(label, given.iloc[:, i]) for i, label in enumerate(given.columns)]
    if isinstance(given, _of("polars", "DataFrame")):
        return list(zip(given.columns, given.get_columns()))
    if isinstance(given, (_of("pyarrow", "Table"), _of("pyarrow", "RecordBatch"))):
        return list(zip(given.schema.names, given.columns))
    return None


def _frame(given, columns, name):
    """The array (rows, columns) of a frame of numbers and booleans, in their common dtype."""
    if hasattr(given, "dtypes") and all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in given.dtypes):
        return np.asarray(given)                # no copy if pandas keeps one block
    arrays, others = [], []
    for label, column in columns:
        array = _column(column)
        arrays.append(array)
        if array is None:
            others.append(f"{label!r} ({getattr(column, 'dtype', None) or column.type})")
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise ValueError(f"{name} must hold real numbers in every column; {', '.join(others[:SHOWN])}{more} "
                         f"{'do' if len(others) > 1 else 'does'} not. {ENCODE} {DATES}")
    out = np.empty((len(arrays[0]) if arrays else 0, len(arrays)), np.result_type(*arrays) if arrays else np.float64)
    for i, array in enumerate(arrays):
        out[:, i] = array
    return out


def _column(column):
    """A column as an array of real numbers, missing values as NaN; None if it holds others."""
    if isinstance(column, _of("pandas", "Series")):
        array = _pandas_column(column)
    else:
        array = np.asarray(column) if _is_numeric(column) else None
    if array is None or array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "O":
        try:
            return _numbers(array, "x")
        except ValueError:
            pass
    return None


def _is_numeric(column):
    """Whether a column of polars or Arrow holds numbers, booleans or only missing values."""
    if hasattr(column, "dtype"):
        polars = sys.modules["polars"]
        return column.dtype.is_numeric() or column.dtype in (polars.Boolean, polars.Null)
    types = sys.modules["pyarrow"].types
    return any(accepts(column.type) for accepts in (types.is_integer, types.is_floating, types.is_boolean,
                                                    types.is_decimal, types.is_null))


def _pandas_column(column):
    """A Series of a NumPy, nullable, Arrow or sparse dtype as an array; None for other dtypes."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return column.to_numpy()
    if isinstance(dtype, sys.modules["pandas"].CategoricalDtype):
        array = np.asarray(column)
        return array if array.dtype.kind in "fiub" else None
    types = sys.modules["pandas"].api.types
    if not types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype):
        return None
    plain = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", np.dtype(object)))
    missing = column.isna().any()
    if plain.kind == "O" or missing and plain.kind in "iub":
        plain = np.dtype(np.float64)
    return column.to_numpy(dtype=plain, na_value=np.nan) if missing else column.to_numpy(dtype=plain)
