"""IDX files: valid ones are read exactly, all others are refused."""
import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from nnfast.datasets import load_idx

# yann.lecun.com/exdb/mnist
TYPES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx(array):
    """The bytes of an IDX file that holds the array, by the description of the format."""
    head = bytes([0, 0, TYPES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def refused(path, content, match):
    """Checks that the content is refused, and returns the message."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        load_idx(path)
    return str(caught.value)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (0,), (0, 28, 28), (1, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_arrays_are_read_as_they_were_written(tmp_path, dtype, shape, compress):
    values = np.arange(np.prod(shape)).reshape(shape) * 37 % 251
    if dtype == "int8":
        array = (values % 256 - 128).clip(-128, 127).astype(dtype)
    else:
        array = (values - 100 * (np.dtype(dtype).kind != "u")).astype(dtype)
    if array.dtype.kind == "f":
        array = array / 7                                     # fractions use all bytes of a float
    path = tmp_path / "any name"
    path.write_bytes(compress(idx(array)))
    loaded = load_idx(path)
    assert loaded.dtype == array.dtype and loaded.dtype.isnative and loaded.shape == shape and loaded.flags.writeable
    np.testing.assert_array_equal(loaded, array)


def test_a_file_given_byte_by_byte_is_read(tmp_path):
    (tmp_path / "x").write_bytes(bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFE]))
    assert load_idx(str(tmp_path / "x")).tolist() == [[258, -2]]


def test_compression_is_detected_from_the_content_not_the_name(tmp_path):
    array = np.arange(10, dtype=np.int32)
    for name, content in [("plain.gz", idx(array)), ("compressed.idx", gzip.compress(idx(array)))]:
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(load_idx(tmp_path / name), array)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_truncated_file_is_refused(tmp_path, compress):
    whole = compress(idx(np.arange(12, dtype=np.int16).reshape(3, 4)))
    for length in range(len(whole)):
        message = refused(tmp_path / "x", whole[:length], "must")
        assert str(tmp_path) in message
    (tmp_path / "x").write_bytes(whole)
    load_idx(tmp_path / "x")


def test_truncated_data_in_a_whole_gzip_file_are_refused(tmp_path):
    whole = idx(np.arange(12, dtype=np.int16))
    for length in range(len(whole)):
        refused(tmp_path / "x", gzip.compress(whole[:length]), "IDX file|too early|must hold 24 bytes")


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_with_extra_bytes_is_refused(tmp_path, compress):
    refused(tmp_path / "x", compress(idx(np.arange(12, dtype=np.int16)) + b"\0"), "must hold 24 bytes.*holds more")


@pytest.mark.parametrize("content", [
    b"",
    b"\0",
    b"PK\3\4 a zip file",
    b"\x89PNG\r\n\x1a\n",
    b"\x93NUMPY\1\0",
    b"\0\0\x0a\1\0\0\0\0",
    b"\0\0\x08\0\5",
    b"\0\0\x08\x40" + bytes(256),
    b"\1\0\x08\1\0\0\0\0",
    b"1,2,3\n4,5,6\n",
], ids=repr)
def test_foreign_files_are_refused(tmp_path, content):
    assert "begins with" in refused(tmp_path / "x", content, "must be an IDX file")
    refused(tmp_path / "x", gzip.compress(content), "must be an IDX file")


def test_damaged_gzip_is_refused(tmp_path):
    whole = bytearray(gzip.compress(idx(np.arange(1000, dtype=np.int32))))
    # The places of the method, of data (twice), of the checksum and of the length.
    for place in (2, 20, len(whole) // 2, len(whole) - 8, len(whole) - 4):
        damaged = whole.copy()
        damaged[place] ^= 0xFF
        refused(tmp_path / "x", bytes(damaged), "must")
    refused(tmp_path / "x", bytes(whole) + b"behind it", "must be a sound gzip file")


FORGED = [
    bytes([0, 0, 0x0E, 1]) + b"\x7f\xff\xff\xff",
    bytes([0, 0, 0x08, 3]) + b"\xff" * 12,
    bytes([0, 0, 0x0D, 32]) + b"\xff" * 128,
    bytes([0, 0, 0x08, 2]) + b"\xff\xff\xff\xff" + bytes(4) + b"1",
    bytes([0, 0, 0x08, 4]) + b"\xff" * 12 + bytes(4),
]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("header", FORGED, ids=["2**34", "2**96", "2**1026", "no columns", "none of 2**96"])
def test_forged_sizes_take_no_memory(tmp_path, header, compress):
    (tmp_path / "x").write_bytes(compress(header + bytes(100)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="must hold"):
            load_idx(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_read_only_as_far_as_its_header_says(tmp_path):
    bomb = gzip.compress(idx(np.zeros(1000, np.uint8)) + bytes(64 << 20), compresslevel=1)
    tracemalloc.start()
    try:
        refused(tmp_path / "x", bomb, "must hold 1000 bytes.*holds more")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_with_an_impossible_header_is_not_read(tmp_path):
    tracemalloc.start()
    try:
        bomb = gzip.compress(FORGED[0] + bytes(64 << 20), compresslevel=1)
        refused(tmp_path / "x", bomb, "must hold 17179869176 bytes")
        tracemalloc.reset_peak()
        refused(tmp_path / "x", (tmp_path / "x").read_bytes(), "cannot")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_sizes_too_large_for_an_array_are_refused_even_if_one_is_0(tmp_path):
    refused(tmp_path / "x", FORGED[-1], "must hold 0 bytes.*cannot")


def test_a_missing_file_raises_oserror(tmp_path):
    with pytest.raises(OSError):
        load_idx(tmp_path / "nothing")
    with pytest.raises(OSError):
        load_idx(tmp_path)
