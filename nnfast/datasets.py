"""Data sets in IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist).

    byte 0, 1     0
    byte 2        type of the elements
    byte 3        number of dimensions
    4 bytes each  sizes of the dimensions
    elements      in C order: the last dimension varies fastest

All sizes and elements are big-endian.
"""
from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["load_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_MOST_DIMENSIONS = 32           # the limit of NumPy 1
_MOST_ELEMENTS = 2**59          # of at most 8 bytes, since NumPy counts bytes below 2**63; sizes of 0 are left out
_PIECE = 1 << 20                # bytes per read: a false header cannot make it reserve more memory than the file fills
_DEFLATE = 1032                 # largest ratio of bytes before and after compression (zlib.net/zlib_tech.html)


def load_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads an IDX file, compressed with gzip or not.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    ndarray
        It has the shape and dtype of the file (uint8, int8, int16, int32, float32, float64), in the
        byte order of the machine.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not an IDX file, or holds fewer or more elements than its header says.

    Examples
    --------
    >>> import tempfile, nnfast
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     written = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     file.flush()
    ...     nnfast.datasets.load_idx(file.name)
    array([5, 0, 4], dtype=uint8)
    """
    with open(path, "rb") as file:
        compressed = file.peek(2)[:2] == b"\x1f\x8b"
        if not compressed:
            return _parse(file.read, path, math.inf)
        import gzip
        import zlib

        try:
            return _parse(gzip.GzipFile(fileobj=file).read, path, _DEFLATE * os.fstat(file.fileno()).st_size)
        except EOFError:
            raise ValueError(f"{path} must be a whole gzip file; it ends too early. Download it again.") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} must be a sound gzip file; it is damaged ({error}). Download it again.") from None


def _parse(read: Callable[[int], bytes], path: str | os.PathLike[str], most: float) -> NDArray[Any]:
    """The array in a stream of at most `most` bytes."""
    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= _MOST_DIMENSIONS:
        raise ValueError(f"{path} must be an IDX file and begin with 0, 0, a type in {sorted(_TYPES)} and 1 to "
                         f"{_MOST_DIMENSIONS} dimensions; it begins with {list(magic)}. "
                         f"Give a file such as train-images-idx3-ubyte.gz.")
    dtype = np.dtype(_TYPES[magic[2]])
    header = read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError(f"{path} must give a size for each of its {magic[3]} dimensions; "
                         f"it ends too early. Download it again.")
    shape = tuple(int.from_bytes(header[i:i + 4], "big") for i in range(0, len(header), 4))
    size = math.prod(shape) * dtype.itemsize
    expected = f"{path} must hold {size} bytes, as its header gives the sizes {shape} of {dtype.name}"
    if size > most or math.prod(filter(None, shape)) > _MOST_ELEMENTS:
        raise ValueError(f"{expected}; a file of its length cannot. Download it again.")
    data = bytearray()
    while len(data) <= size:
        piece = read(min(_PIECE, size + 1 - len(data)))
        if not piece:
            break
        data += piece
    if len(data) != size:
        raise ValueError(f"{expected}; it holds {'more' if len(data) > size else len(data)}. Download it again.")
    array = np.ndarray(shape, dtype, data)
    if sys.byteorder == "little":
        array.byteswap(inplace=True)
    return array
