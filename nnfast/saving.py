"""Models in files: `model.save(path)` and `nnfast.load(path)`, as .npz or .safetensors.

    .npz            a zip archive of .npy arrays, none of them compressed; its comment is the checksum
    .safetensors    8 bytes with the length of the header | header in JSON | data; its last tensor is the checksum
      nnfast        a document in JSON: format version, layers, options, steps, epoch, random state
      weights.0 ... the arrays of `get_weights`
      slots         the state of the optimizer, (n_slots, weights)
      checksum      the last 8 bytes of either file: the CRC-32 of all bytes before them, in hexadecimal digits

Both hold what `Sequential.__getstate__` gives, so a loaded model is a pickled one that came another way.

An object in the document is `{"class": "optimizers.Adam", "learning_rate": 0.001, ...}`: a name of the table `CLASSES`, which
holds classes of nnfast alone, and the arguments of its constructor, which checks them as those of a caller.  A function of the
user is `{"custom": its name}`; the user gives it to `load`.  So a file can name nothing that runs.

A file is read whole, and judged before anything is made of it: the checksum finds what was cut off or flipped, and against
files that were forged sizes are compared with that of the file, and the shapes of the weights with the layers.  Arrays
are views of the bytes that were read, so no number in a file decides how much memory is taken.

Why safetensors is written and read here, in forty lines, and not by the library of that name: its reader gives the metadata
only through a memory map, which ends the process if somebody cuts the file, and its writer chooses the order of tensors, so
that no checksum could end the file.  The tests hold the files against the library.
"""
import contextlib
import inspect
import json
import numbers
import os
import re
import stat
import zlib

import numpy as np

from nnfast import _validation as check, constraints, initializers, layers, losses, metrics, models, optimizers, regularizers, schedules
from nnfast._files import replaced
from nnfast._version import __version__

__all__ = ["load"]

FORMAT_VERSION = 1
LARGEST_DOCUMENT = 2**20        # bytes; a layer takes some 200
LARGEST_HEADER = 2**21          # bytes of names and sizes beside it: in Python they take twenty times that
MOST_OBJECTS = 4096             # layers, and metrics of a kind
MOST_COLUMNS = 2**20            # that a layer without weights keeps numbers of
MOST_SLICES = 10**6             # of num_classes and num_thresholds: tables of that size are made from these numbers alone
CHECKSUM = 8                    # bytes
PIECE = 2**19                   # bytes that are summed while the cache has them
END_RECORD = 22                 # bytes of the record that ends a zip archive, before its comment
NPY_HEADER = re.compile(rb"\{'descr': '(<f4|<f8|\|u1)', 'fortran_order': False, 'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n")
SAFETENSORS_TYPES = {"F32": "<f4", "F64": "<f8", "U8": "|u1"}

_BASES = (losses.Loss, metrics.Metric, optimizers.Optimizer, schedules.Schedule)
CLASSES = {f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
           for module in (constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules) for name in module.__all__
           if isinstance(getattr(module, name), type) and getattr(module, name) not in _BASES}
NAMES = {cls: name for name, cls in CLASSES.items()}


# -- objects and their descriptions ------------------------------------------------------------------------------------


def _described(value):
    """A value as JSON has it: objects as their class and the arguments of its constructor, which are attributes, too."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.bool_, np.ndarray)):
        return _described(value.tolist())
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if type(value) in (list, tuple):
        return [_described(each) for each in value]
    if type(value) in NAMES:
        options = [name for name in inspect.signature(type(value)).parameters if hasattr(value, name)]
        return {"class": NAMES[type(value)], **_bounded({name: _described(getattr(value, name)) for name in options})}
    name = getattr(value, "__name__", type(value).__name__)
    if not name.isidentifier():
        raise ValueError(f"a function in a model that is saved must have a name, under which load(path, custom_objects=...) gets it again; "
                         f"got {value!r}. Define it with def, or use save_weights.")
    return {"custom": name}


def _made(value, custom_objects):
    """The value of a description."""
    if isinstance(value, list):
        return [_made(each, custom_objects) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"custom"}:
        name = value["custom"]
        if name not in custom_objects:
            raise ValueError(f"the model uses {name!r}, which is none of nnfast's: load it with custom_objects={{{name!r}: ...}}.")
        return custom_objects[name]
    name = value.get("class")
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(f"it names the class {name!r}, which is none of nnfast's that can be saved.")
    return CLASSES[name](**{option: _made(each, custom_objects) for option, each in _bounded(value).items() if option != "class"})


def _bounded(options):
    """Options whose numbers are no sizes beyond reason."""
    for name in ("num_classes", "num_thresholds"):
        if isinstance(options.get(name), int) and options[name] > MOST_SLICES:
            raise ValueError(f"{name} of a model in a file must be at most {MOST_SLICES}; got {options[name]}.")
    return options


def _document(model, state):
    """What a file tells of a model besides its arrays."""
    rng = state["_rng"].bit_generator.state
    if rng["bit_generator"] != "PCG64":
        raise ValueError(f"the random numbers of a model that is saved must come from PCG64, NumPy's default; got {rng['bit_generator']}. "
                         f"Make the model with an integer as seed, or use save_weights.")
    document = {
        "dtype": model.dtype.name, "layers": _described(model.layers), "n_inputs": _described(state["_n_inputs"]),
        "optimizer": _described(model.optimizer), "loss": _described(state["_loss"]),
        "metrics": [_described(metric) for _, metric, weighted in state["_metrics"] if not weighted],
        "weighted_metrics": [_described(metric) for _, metric, weighted in state["_metrics"] if weighted],
        "steps": state.get("steps"), "epoch": model.epoch, "random_state": rng,
    }
    return _few(document)


def _few(document):
    """A document whose lists of objects are not too long."""
    for name in ("layers", "metrics", "weighted_metrics"):
        if len(document[name]) > MOST_OBJECTS:
            raise ValueError(f"a model in a file must have at most {MOST_OBJECTS} {name}; got {len(document[name])}.")
    return document


def _restored(document, arrays, custom_objects):
    """The model of a document and its arrays."""
    model = models.Sequential([_made(layer, custom_objects) for layer in _few(document)["layers"]], dtype=document["dtype"])
    if document["n_inputs"] is not None:
        model._n_inputs = check.size(document["n_inputs"], "n_inputs")
    state = {**model.__getstate__(), "epoch": check.size(document["epoch"], "epoch", 0), "_rng": _random(document["random_state"])}
    if document["loss"] is not None:
        state["_advised"] = True        # by compile, before the model was saved
        state["optimizer"] = optimizers.get(_made(document["optimizer"], custom_objects))
        state["_loss"] = losses.get(_made(document["loss"], custom_objects))
        state["_metrics"] = models._metrics(*(_made(document[name], custom_objects) for name in ("metrics", "weighted_metrics")))
    names = set()
    if model._n_inputs is not None:
        state["weights"] = _weights(arrays)
        _check_shapes(model, state["weights"])
        names |= {f"weights.{i}" for i in range(len(state["weights"]))}
        if document["loss"] is not None:
            state |= {"slots": arrays["slots"], "steps": check.size(document["steps"], "steps", 0)}
            names.add("slots")
    if names != set(arrays):
        raise ValueError(f"its arrays must be {sorted(names)}; it holds {sorted(arrays)}.")
    for name in names:
        if arrays[name].dtype != model.dtype:
            raise ValueError(f"{name} must be of dtype {model.dtype}, that of the model; it is of {arrays[name].dtype}.")
    model.__setstate__(state)
    return model


def _random(state):
    """A generator in a state."""
    generator = np.random.PCG64(0)
    inner = state["state"]
    generator.state = {"bit_generator": "PCG64", "state": {name: _integer(inner[name], 2**128) for name in ("state", "inc")},
                       "has_uint32": _integer(state["has_uint32"], 2), "uinteger": _integer(state["uinteger"], 2**32)}
    return np.random.Generator(generator)


def _integer(value, end):
    if type(value) is not int or not 0 <= value < end:
        raise ValueError(f"its random state must hold integers in [0, {end}); got {value!r}.")
    return value


def _weights(arrays):
    """The arrays weights.0, weights.1, ... in their order."""
    return [arrays[f"weights.{i}"] for i in range(sum(name.startswith("weights.") for name in arrays))]


def _check_shapes(model, weights):
    """ValueError for weights that are not those of the layers: before a network is made, for the layers decide how large it is."""
    expected, width = [], 1
    for size in model._shape_of_rows():
        width = check.size(width * size, "the width of x")
    for layer in model.layers:
        if isinstance(layer, (layers.Normalization, layers.Rescaling)) and width > MOST_COLUMNS:
            raise ValueError(f"{type(layer).__name__} of a model in a file must have at most {MOST_COLUMNS} columns; got {width}.")
        expected += layer._shapes(width)
        width = layer._width(width)
    if expected != [array.shape for array in weights]:
        raise ValueError(f"the layers need weights of the shapes {expected}; it holds {[array.shape for array in weights]}.")


# -- files -------------------------------------------------------------------------------------------------------------


def save(model, path):
    """`Sequential.save`."""
    model._build_from_input()
    state = model.__getstate__()
    arrays = {f"weights.{i}": array for i, array in enumerate(state.get("weights", []))}
    if "slots" in state:
        arrays["slots"] = state["slots"]
    _write(path, _document(model, state), arrays)


def save_weights(model, path):
    """`Sequential.save_weights`."""
    _write(path, {}, {f"weights.{i}": array for i, array in enumerate(model.get_weights())})


def load(path, custom_objects=None):
    """The model that `Sequential.save` has written.

    It is as it was, state of the optimizer and of the random numbers included: `predict` and `evaluate` give the same bits as
    those of the model that was saved, and `fit` with `initial_epoch=model.epoch` goes on with the same bits.  Nothing that a
    file holds is run, whoever wrote it.

    Parameters
    ----------
    path : str or path
        A .npz or .safetensors file; what it is is told by its content, not by its name.
    custom_objects : dict from str to object, optional
        Losses, metrics, schedules and initializers of your own, under the names of the functions or, for objects, of their
        classes.  What is given is used as it is: a function, or an object where Keras takes its class.

    Returns
    -------
    Sequential

    Raises
    ------
    OSError
        If the file can not be read.
    ValueError
        If it is damaged or cut off, not of nnfast, of a newer version, or uses an object that `custom_objects` lacks.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> model = nnfast.Sequential([nnfast.Dense(8, "tanh"), nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> history = model.fit(x, x[:, 0], epochs=10, verbose=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     model.save(path)
    ...     other = nnfast.load(path)
    >>> for each in (model, other):
    ...     history = each.fit(x, x[:, 0], epochs=20, initial_epoch=each.epoch, verbose=0)
    >>> bool((model.params == other.params).all())
    True
    """
    if not isinstance(custom_objects, (dict, type(None))):
        raise TypeError(f"custom_objects must be a dict from names to objects, got {custom_objects!r}.")
    path = os.fsdecode(path)
    with _judged(path):
        document, arrays = _read(path)
        if "layers" not in document:
            raise ValueError("it holds weights alone: make the model, and use model.load_weights(path).")
        return _restored(document, arrays, custom_objects or {})


def load_weights(model, path):
    """`Sequential.load_weights`."""
    path = os.fsdecode(path)
    with _judged(path):
        weights = _weights(_read(path)[1])
    model.set_weights(weights)


@contextlib.contextmanager
def _judged(path):
    """Whatever a file makes Python, NumPy or zipfile raise is a ValueError about this file, or an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        what = f"it lacks {error}." if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ValueError(f"{path} can not be loaded: {what[:1000]}") from error


def _write(path, document, arrays):
    """Writes a file in place of the one that is there, when it is whole."""
    path = os.fsdecode(path)
    put = {".npz": _put_npz, ".safetensors": _put_safetensors}.get(os.path.splitext(path)[1])
    if put is None:
        raise ValueError(f"path must end in '.npz' or '.safetensors'; got {path!r}.")
    document = {"format_version": FORMAT_VERSION, "nnfast": __version__, **document}
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise ValueError(f"the options of a model that is saved must be finite numbers; got {document}.") from None
    if len(text) > LARGEST_DOCUMENT:
        raise ValueError(f"the description of a model that is saved must have at most {LARGEST_DOCUMENT} bytes; got {len(text)}.")
    with replaced(path) as file:
        put(file, text.encode(), {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()})
        _seal(file)


def _seal(file):
    """Writes the checksum in place of the last bytes."""
    left, total = file.tell() - CHECKSUM, 0
    file.seek(0)
    while left:
        piece = file.read(min(PIECE, left))
        if not piece:
            raise OSError(f"the file that is being written has lost its last {left} bytes")
        total, left = zlib.crc32(piece, total), left - len(piece)
    file.write(b"%08x" % total)


def _read(path):
    """The document and the arrays, views of the bytes of the file."""
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise ValueError("it is no regular file.")
    with open(path, "rb", buffering=0) as file:
        size, begin = os.fstat(file.fileno()).st_size, file.read(9)
        take = _take_npz if begin.startswith(b"PK\3\4") else _take_safetensors if begin[8:] == b"{" else None
        if take is None or size < len(begin) + CHECKSUM:
            raise ValueError(f"it is neither a .npz nor a .safetensors file, or cut off: it has {size} bytes and begins with {begin!r}.")
        data, done, total = memoryview(np.empty(size, np.uint8)), 0, 0
        file.seek(0)
        while done < size:
            count = file.readinto(data[done:done + PIECE])
            if not count:
                raise ValueError(f"it became shorter while it was read: {done} bytes instead of {size}.")
            total = zlib.crc32(data[done:min(done + count, size - CHECKSUM)], total)
            done += count
        if bytes(data[-CHECKSUM:]) != b"%08x" % total:
            raise ValueError("it does not end in the checksum of its bytes: it is damaged or cut off, or another program wrote it. Arrays "
                             "of other programs are read by np.load, and model.set_weights takes them.")
        text, arrays = take(file, data)
    document = _parsed(text, LARGEST_DOCUMENT)
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"its format version must be a number from 1 on; got {version!r}.")
    if version > FORMAT_VERSION:
        raise ValueError(f"it was written by a newer version of nnfast, {document.get('nnfast')!r}: its format is {version}, and this version "
                         f"reads formats up to {FORMAT_VERSION}. Update nnfast.")
    return document, arrays


def _parsed(text, largest):
    """An object in JSON, from bytes or str of at most `largest`."""
    def integer(digits):
        if len(digits) > 40:        # those of 2**128
            raise ValueError(f"it holds an integer of {len(digits)} digits.")
        return int(digits)

    def constant(name):
        raise ValueError(f"it holds the number {name}.")

    if len(text) > largest:
        raise ValueError(f"its description has {len(text)} bytes; at most {largest} are read.")
    result = json.loads(text, parse_int=integer, parse_constant=constant)
    if not isinstance(result, dict):
        raise ValueError(f"its description must be an object of JSON; got {type(result).__name__}.")
    return result


def _array(data, dtype, shape):
    """A view of bytes as an array that they fill."""
    dtype, count = np.dtype(dtype), 1
    for size in shape:
        if type(size) is not int or size < 0:
            raise ValueError(f"the shape of an array must hold integers from 0 on; got {size!r}.")
        count = min(count * size, len(data) + 1)        # no product of thousands of numbers
    if count * dtype.itemsize != len(data):
        raise ValueError(f"the {len(data)} bytes of an array are not those of its dtype {dtype} and shape {tuple(shape)}.")
    return np.frombuffer(data, dtype).reshape(shape)


def _put_npz(file, text, arrays):
    """A zip archive as that of np.savez, but for its comment; no time is noted, so that the same model makes the same file."""
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in {"nnfast": np.frombuffer(text, np.uint8), **arrays}.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.file_size = array.nbytes + 2**16          # about: above 2 GiB it needs larger fields
            with archive.open(entry, "w") as to:
                np.lib.format.write_array_header_1_0(to, np.lib.format.header_data_from_array_1_0(array))
                to.write(array.reshape(-1).view(np.uint8))
        archive.comment = b"0" * CHECKSUM


def _take_npz(file, data):
    """Text and arrays of a .npz file, whose bytes are `data`."""
    import zipfile

    end = len(data) - CHECKSUM - END_RECORD
    if end < 20 or data[end:end + 4] != b"PK\5\6":
        raise ValueError("its zip archive does not end as that of nnfast.")
    if int.from_bytes(data[end + 12:end + 16], "little") > LARGEST_HEADER or data[end - 20:end - 16] == b"PK\6\7" and len(data) < 2**31:
        raise ValueError("its zip archive has a directory that is too long.")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    arrays = {}
    if sum(entry.file_size for entry in entries) > len(data):
        raise ValueError("the entries of its zip archive overlap.")
    for entry in entries:
        name, begin = entry.filename.removesuffix(".npy"), entry.header_offset
        if name in arrays or entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise ValueError(f"the entry {name!r} of its zip archive must be there once, neither compressed nor encrypted.")
        if not 0 <= begin <= end - 30:
            raise ValueError(f"the entry {name!r} of its zip archive lies outside of the file.")
        begin += 30 + int.from_bytes(data[begin + 26:begin + 28], "little") + int.from_bytes(data[begin + 28:begin + 30], "little")
        npy = data[begin:begin + entry.file_size]
        stop = 10 + int.from_bytes(npy[8:10], "little")
        match = NPY_HEADER.fullmatch(npy[10:stop])
        if npy[:8] != b"\x93NUMPY\1\0" or match is None:
            raise ValueError(f"the entry {name!r} of its zip archive is no array of nnfast.")
        arrays[name] = _array(npy[stop:], match[1].decode(), [int(size) for size in match[2].replace(b",", b" ").split()])
    return arrays.pop("nnfast").tobytes(), arrays


def _put_safetensors(file, text, arrays):
    """Header and data; the header is filled up with blanks so that the data lie at a multiple of 8 bytes."""
    types = {np.dtype(dtype): name for name, dtype in SAFETENSORS_TYPES.items()}
    arrays = {**arrays, "checksum": np.frombuffer(b"0" * CHECKSUM, np.uint8)}
    header, begin = {"__metadata__": {"nnfast": text.decode()}}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": types[array.dtype], "shape": array.shape, "data_offsets": [begin, begin + array.nbytes]}
        begin += array.nbytes
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    file.write(len(head).to_bytes(8, "little") + head)
    for array in arrays.values():
        file.write(array.reshape(-1).view(np.uint8))


def _take_safetensors(file, data):
    """Text and arrays of a .safetensors file, whose bytes are `data`."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError(f"its header should have {length} bytes, the whole file has {len(data)}.")
    header, arrays, place = _parsed(bytes(data[8:8 + length]), LARGEST_HEADER), {}, 8 + length
    text = header.pop("__metadata__")["nnfast"]
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = (8 + length + offset for offset in entry["data_offsets"])
        if begin != place or not place <= stop <= len(data):
            raise ValueError(f"the bytes of {name!r} must follow on those before.")
        arrays[name], place = _array(data[begin:stop], SAFETENSORS_TYPES[entry["dtype"]], entry["shape"]), stop
    if place != len(data) or arrays.pop("checksum").nbytes != CHECKSUM:
        raise ValueError("its tensors must end with the checksum, and the file with them.")
    return text, arrays
