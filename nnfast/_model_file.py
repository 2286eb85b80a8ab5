"""Writing and reading the files of models, in the format that `saving.py` describes.

`save` writes the dict of `Sequential._saved`; `saving.load` makes that dict again from `read`.
The table `CLASSES` names the classes that a file may use; it holds only classes of nnfast.

Safetensors files are written and read here, in forty lines, without the library of that name, for
two reasons.  Its reader gives the metadata only through a memory map, which ends the process if
another program cuts the file.  Its writer chooses the order of tensors, so the checksum could not
be the last one.  The tests compare the files with the library.
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

from nnfast import constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules
from nnfast._files import replaced
from nnfast._version import __version__

FORMAT_VERSION = 1
LARGEST_DOCUMENT = 2**20        # bytes; a layer takes about 200
LARGEST_HEADER = 2**21          # bytes of names and sizes beside it: as Python objects they take twenty times that
MOST_OBJECTS = 4096             # layers; also metrics, and weighted metrics
MOST_ENTRIES = 10**6            # of num_classes and num_thresholds, which alone decide the size of a metric's tables
CHECKSUM = 8                    # bytes
PIECE = 2**19                   # bytes read at a time: the checksum is computed while they are in the cache
END_RECORD = 22                 # bytes of the record that ends a zip archive, before its comment
NPY_HEADER = re.compile(rb"\{'descr': '(<f4|<f8|\|u1)', 'fortran_order': False, "
                        rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n")
SAFETENSORS_TYPES = {"F32": "<f4", "F64": "<f8", "U8": "|u1"}

_MODULES = (constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules)
_BASES = (losses.Loss, metrics.Metric, optimizers.Optimizer, schedules.Schedule)
CLASSES = {f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
           for module in _MODULES for name in module.__all__
           if isinstance(getattr(module, name), type) and getattr(module, name) not in _BASES}
NAMES = {cls: name for name, cls in CLASSES.items()}


# -- objects and their descriptions --------------------------------------------------------------


def described(value):
    """A value for JSON: an object becomes its class and the arguments of its constructor.

    Each argument is read from the attribute of the same name.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.bool_, np.ndarray)):
        return described(value.tolist())
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if type(value) in (list, tuple):
        return [described(each) for each in value]
    if type(value) in NAMES:
        options = [name for name in inspect.signature(type(value)).parameters if hasattr(value, name)]
        return {"class": NAMES[type(value)], **_bounded({name: described(getattr(value, name)) for name in options})}
    name = getattr(value, "__name__", type(value).__name__)
    if not name.isidentifier():
        raise ValueError(f"a function in a model that is saved must have a name, which load(path, custom_objects=...) "
                         f"looks up; got {value!r}. Define it with def, or use save_weights.")
    return {"custom": name}


def made(value, custom_objects):
    """The inverse of `described`: makes an object from its class and arguments."""
    if isinstance(value, list):
        return [made(each, custom_objects) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"custom"}:
        name = value["custom"]
        if name not in custom_objects:
            raise ValueError(f"the model uses {name!r}, which is none of nnfast's: load it with "
                             f"custom_objects={{{name!r}: ...}}.")
        return custom_objects[name]
    name = value.get("class")
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(f"it names the class {name!r}, which is none of nnfast's that can be saved.")
    options = {option: each for option, each in _bounded(value).items() if option != "class"}
    return CLASSES[name](**{option: made(each, custom_objects) for option, each in options.items()})


def _bounded(options):
    """The options; ValueError for one that would make the tables of a metric too large."""
    for name in ("num_classes", "num_thresholds"):
        if isinstance(options.get(name), int) and options[name] > MOST_ENTRIES:
            raise ValueError(f"{name} of a model in a file must be at most {MOST_ENTRIES}; got {options[name]}.")
    return options


def _document(saved):
    """The document of a model, a dict for JSON: everything in its file except the arrays."""
    rng = saved["random_generator"].bit_generator.state
    if rng["bit_generator"] != "PCG64":
        raise ValueError(f"the random numbers of a model that is saved must come from PCG64, NumPy's default; got "
                         f"{rng['bit_generator']}. Make the model with an integer as seed, or use save_weights.")
    names = ("dtype", "layers", "n_inputs", "optimizer", "loss", "metrics", "weighted_metrics", "steps", "epoch")
    document = {**{name: described(saved[name]) for name in names}, "random_state": rng}
    check_counts(document)
    return document


def check_counts(document):
    """ValueError for more than MOST_OBJECTS layers or metrics."""
    for name in ("layers", "metrics", "weighted_metrics"):
        if len(document[name]) > MOST_OBJECTS:
            raise ValueError(f"a model in a file must have at most {MOST_OBJECTS} {name}; got {len(document[name])}.")


def generator_of(state):
    """A random generator with the state from a document."""
    bits = np.random.PCG64(0)
    inner = state["state"]
    bits.state = {"bit_generator": "PCG64",
                  "state": {name: _integer(inner[name], 2**128) for name in ("state", "inc")},
                  "has_uint32": _integer(state["has_uint32"], 2), "uinteger": _integer(state["uinteger"], 2**32)}
    return np.random.Generator(bits)


def _integer(value, end):
    """The value; ValueError unless it is an integer in [0, end)."""
    if type(value) is not int or not 0 <= value < end:
        raise ValueError(f"its random state must hold integers in [0, {end}); got {value!r}.")
    return value


def weights_of(arrays):
    """The arrays weights.0, weights.1, ... in order."""
    return [arrays[f"weights.{i}"] for i in range(sum(name.startswith("weights.") for name in arrays))]


# -- files ---------------------------------------------------------------------------------------


def save(path, saved):
    """Writes a model: `saved` is the dict of `Sequential._saved`."""
    arrays = {f"weights.{i}": array for i, array in enumerate(saved["weights"] or [])}
    if saved["slots"] is not None:
        arrays["slots"] = saved["slots"]
    _write(path, _document(saved), arrays)


def save_weights(path, weights):
    """Writes the arrays of `get_weights`."""
    _write(path, {}, {f"weights.{i}": array for i, array in enumerate(weights)})


def read_weights(path):
    """The weight arrays that `save_weights` or `save` wrote; raises what `nnfast.load` raises."""
    path = os.fsdecode(path)
    with load_errors(path):
        return weights_of(read(path)[1])


@contextlib.contextmanager
def load_errors(path):
    """Context manager: an exception that the file causes becomes a ValueError that names the file.

    An OSError stays as it is.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        what = f"it lacks {error}." if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be loaded: {what[:1000]}") from error


def _write(path, document, arrays):
    """Writes a file; one that was there is replaced only when the new one is complete."""
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
        raise ValueError(f"the description of a model that is saved must have at most {LARGEST_DOCUMENT} bytes; "
                         f"got {len(text)}.")
    arrays = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    with replaced(path) as file:
        put(file, text.encode(), arrays)
        _seal(file)


def _seal(file):
    """Overwrites the last bytes with the checksum of all bytes before them."""
    left, total = file.tell() - CHECKSUM, 0
    file.seek(0)
    while left:
        piece = file.read(min(PIECE, left))
        if not piece:
            raise OSError(f"the file that is being written has lost its last {left} bytes")
        total, left = zlib.crc32(piece, total), left - len(piece)
    file.write(b"%08x" % total)


def read(path):
    """The document and the arrays, which are views of the bytes of the file."""
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):       # opening a pipe would wait
        raise ValueError("it is no regular file.")
    with open(path, "rb", buffering=0) as file:
        size, begin = os.fstat(file.fileno()).st_size, file.read(9)
        take = _take_npz if begin.startswith(b"PK\3\4") else _take_safetensors if begin[8:] == b"{" else None
        if take is None or size < len(begin) + CHECKSUM:
            raise ValueError(f"it is neither a .npz nor a .safetensors file, or cut off: it has {size} bytes and "
                             f"begins with {begin!r}.")
        text, arrays = take(file, _checked_bytes(file, size))
    document = _parsed(text, LARGEST_DOCUMENT)
    _check_version(document)
    return document, arrays


def _checked_bytes(file, size):
    """The bytes of a file, as a memoryview; ValueError unless it ends in their checksum."""
    data, done, total = memoryview(np.empty(size, np.uint8)), 0, 0
    file.seek(0)
    while done < size:
        count = file.readinto(data[done:done + PIECE])
        if not count:
            raise ValueError(f"it became shorter while it was read: {done} bytes instead of {size}.")
        total = zlib.crc32(data[done:min(done + count, size - CHECKSUM)], total)
        done += count
    if bytes(data[-CHECKSUM:]) != b"%08x" % total:
        raise ValueError("it does not end in the checksum of its bytes: it is damaged or cut off, or another program "
                         "wrote it. Read the arrays of other programs with np.load, and give them to "
                         "model.set_weights.")
    return data


def _check_version(document):
    """ValueError for a format that this version of nnfast does not read."""
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"its format version must be a number from 1 on; got {version!r}.")
    if version > FORMAT_VERSION:
        raise ValueError(f"it was written by a newer version of nnfast, {document.get('nnfast')!r}: its format is "
                         f"{version}, and this version reads formats up to {FORMAT_VERSION}. Update nnfast.")


def _parsed(text, largest):
    """The dict of an object in JSON, from at most `largest` bytes or characters."""
    def integer(digits):
        if len(digits) > 40:        # 2**128 has 39
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
    """An array that is a view of `data`, which it must fill."""
    dtype, count = np.dtype(dtype), 1
    for size in shape:
        if type(size) is not int or size < 0:
            raise ValueError(f"the shape of an array must hold integers from 0 on; got {size!r}.")
        count = min(count * size, len(data) + 1)        # a product of thousands of sizes would take long
    if count * dtype.itemsize != len(data):
        raise ValueError(f"the {len(data)} bytes of an array do not fit its dtype {dtype} and shape {tuple(shape)}.")
    return np.frombuffer(data, dtype).reshape(shape)


def _put_npz(file, text, arrays):
    """Writes a zip archive like np.savez, with a comment that is the place of the checksum.

    It holds no times, so the same model gives the same file.
    """
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in {"nnfast": np.frombuffer(text, np.uint8), **arrays}.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.file_size = array.nbytes + 2**16          # estimate: above 2 GiB zipfile needs larger fields
            with archive.open(entry, "w") as to:
                np.lib.format.write_array_header_1_0(to, np.lib.format.header_data_from_array_1_0(array))
                to.write(array.reshape(-1).view(np.uint8))
        archive.comment = b"0" * CHECKSUM


def _take_npz(file, data):
    """Text and arrays of a .npz file, whose bytes are `data`.

    zipfile reads only the directory of the archive; the arrays are views of `data`.
    """
    import zipfile

    end = len(data) - CHECKSUM - END_RECORD
    if end < 20 or data[end:end + 4] != b"PK\5\6":
        raise ValueError("its zip archive does not end as nnfast writes it.")
    zip64 = data[end - 20:end - 16] == b"PK\6\7"
    if int.from_bytes(data[end + 12:end + 16], "little") > LARGEST_HEADER or zip64 and len(data) < 2**31:
        raise ValueError("its zip archive has a directory that is too long.")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    arrays = {}
    if sum(entry.file_size for entry in entries) > len(data):
        raise ValueError("the entries of its zip archive overlap.")
    for entry in entries:
        name, begin = entry.filename.removesuffix(".npy"), entry.header_offset
        stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
        if name in arrays or not stored or entry.flag_bits & 1:
            raise ValueError(f"the entry {name!r} of its zip archive must be there once, neither compressed nor "
                             f"encrypted.")
        if not 0 <= begin <= end - 30:
            raise ValueError(f"the entry {name!r} of its zip archive lies outside of the file.")
        name_size, extra_size = (int.from_bytes(data[begin + at:begin + at + 2], "little") for at in (26, 28))
        begin += 30 + name_size + extra_size
        npy = data[begin:begin + entry.file_size]
        stop = 10 + int.from_bytes(npy[8:10], "little")
        match = NPY_HEADER.fullmatch(npy[10:stop])
        if npy[:8] != b"\x93NUMPY\1\0" or match is None:
            raise ValueError(f"the entry {name!r} of its zip archive is no array of nnfast.")
        shape = [int(size) for size in match[2].replace(b",", b" ").split()]
        arrays[name] = _array(npy[stop:], match[1].decode(), shape)
    return arrays.pop("nnfast").tobytes(), arrays


def _put_safetensors(file, text, arrays):
    """Writes header and data; blanks after the header align the data to 8 bytes."""
    types = {np.dtype(dtype): name for name, dtype in SAFETENSORS_TYPES.items()}
    arrays = {**arrays, "checksum": np.frombuffer(b"0" * CHECKSUM, np.uint8)}
    header, begin = {"__metadata__": {"nnfast": text.decode()}}, 0
    for name, array in arrays.items():
        end = begin + array.nbytes
        header[name] = {"dtype": types[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
        begin = end
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
            raise ValueError(f"the bytes of {name!r} must begin where those of the tensor before end.")
        arrays[name], place = _array(data[begin:stop], SAFETENSORS_TYPES[entry["dtype"]], entry["shape"]), stop
    if place != len(data) or arrays.pop("checksum").nbytes != CHECKSUM:
        raise ValueError("its tensors must end with the checksum, and the file with them.")
    return text, arrays
