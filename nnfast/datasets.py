"""Data sets in files: IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist).

    byte 0, 1     0
    byte 2        type of the numbers
    byte 3        number of dimensions
    4 bytes each  sizes of the dimensions
    the numbers   the last dimension runs fastest; everything is big-endian
"""
import math
import os
import sys

import numpy as np

__all__ = ["load_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_MOST_DIMENSIONS = 32           # of NumPy 1
_MOST_NUMBERS = 2**59           # of an array, whose bytes NumPy counts below 2**63, none of its sizes being 0
_PIECE = 1 << 20                # bytes read at once, so that memory grows with what is there, not with what a header says
_DEFLATE = 1032                 # bytes that one byte of deflate can stand for, at most (zlib.net/zlib_tech.html)


def load_idx(path):
    """The array of an IDX file.

    Parameters
    ----------
    path : str or path
        As it was downloaded: compressed by gzip or not, whatever its name.

    Returns
    -------
    ndarray
        Of the file's sizes and type (uint8, int8, int16, int32, float32, float64), in the machine's byte order.

    Raises
    ------
    OSError
        For a file that can not be read.
    ValueError
        For one that is not IDX, or that holds fewer or more numbers than its header says.

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


def _parse(read, path, most):
    """The array of a stream of bytes, which holds no more than `most` of them."""
    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= _MOST_DIMENSIONS:
        raise ValueError(f"{path} must be an IDX file and begin with 0, 0, a type in {sorted(_TYPES)} and 1 to "
                         f"{_MOST_DIMENSIONS} dimensions; it begins with {list(magic)}. Give a file such as train-images-idx3-ubyte.gz.")
    dtype = np.dtype(_TYPES[magic[2]])
    header = read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError(f"{path} must give a size for each of its {magic[3]} dimensions; it ends too early. Download it again.")
    shape = tuple(int.from_bytes(header[i:i + 4], "big") for i in range(0, len(header), 4))
    size = math.prod(shape) * dtype.itemsize
    if size > most or math.prod(filter(None, shape)) > _MOST_NUMBERS:
        raise ValueError(f"{path} must hold {size} bytes, as its header gives the sizes {shape} of {dtype.name}; "
                         f"a file of its length can not. Download it again.")
    data = bytearray()
    while len(data) <= size:
        piece = read(min(_PIECE, size + 1 - len(data)))
        if not piece:
            break
        data += piece
    if len(data) != size:
        raise ValueError(f"{path} must hold {size} bytes, as its header gives the sizes {shape} of {dtype.name}; it holds "
                         f"{'more' if len(data) > size else len(data)}. Download it again.")
    array = np.ndarray(shape, dtype, data)
    if sys.byteorder == "little":
        array.byteswap(inplace=True)
    return array
