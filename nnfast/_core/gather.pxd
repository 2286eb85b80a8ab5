# cython: cdivision=True
"""Copies rows of the caller's array into the batch, in the dtype of the network, and checks them.

The array is read in place, with any strides and any of the dtypes below, so the data set is never
copied.  NaN and infinity are found while the row is in the cache.  Rejected: a converted copy of
the data set, which takes its memory twice, and a separate pass that checks it.
"""
from cython cimport floating
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from nnfast._core.mathf cimport fabs, INFINITY
from nnfast._core.vectors cimport CACHE_LINE, prefetch

cdef enum:
    FETCH_BYTES = 256       # bytes of the next row are prefetched, then as many of this row are converted

cdef enum Source:
    FLOAT32
    FLOAT64
    INT8
    INT16
    INT32
    INT64
    UINT8
    UINT16
    UINT32
    UINT64


cdef inline dict source_codes():
    """Dtypes that are read in place, by NumPy's short names without the byte order."""
    return {
        "f4": FLOAT32, "f8": FLOAT64, "i1": INT8, "i2": INT16, "i4": INT32, "i8": INT64,
        "u1": UINT8, "u2": UINT16, "u4": UINT32, "u8": UINT64, "b1": UINT8,
    }

ctypedef fused element:
    float
    double
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef inline bint convert_row(const element* source, Py_ssize_t step, floating* out, Py_ssize_t n,
                             const char* next_row) noexcept nogil:
    """out (n,) <- source (n,), elements `step` bytes apart; returns whether all are finite.

    The row at `next_row`, if not NULL, is prefetched: some cache lines of it, some elements of this
    row, and so on.  Requests for all its lines at once would fill the queue to the memory, and wait
    (60,000 x 784 float32 rows in random order: 8.5 ms in turns, 12.9 ms all at once).
    """
    cdef Py_ssize_t first = 0, last = n, i, line
    cdef int bad = 0
    cdef floating value
    if step == sizeof(element):
        while first < n:
            if next_row != NULL:
                last = min(n, first + FETCH_BYTES // <Py_ssize_t>sizeof(element))
                line = first * <Py_ssize_t>sizeof(element)
                while line < last * <Py_ssize_t>sizeof(element):
                    prefetch(next_row + line)
                    line += CACHE_LINE
            for i in range(first, last):
                value = <floating>source[i]
                out[i] = value
                if element is float or element is double:
                    bad |= not (fabs(value) < <floating>INFINITY)
            first = last
    else:
        for i in range(n):
            value = <floating>(<const element*>(<const char*>source + i * step))[0]
            out[i] = value
            if element is float or element is double:
                bad |= not (fabs(value) < <floating>INFINITY)
    return bad == 0


cdef inline bint gather_row(int source, const char* row, Py_ssize_t step, floating* out, Py_ssize_t n,
                            const char* next_row) noexcept nogil:
    """`convert_row` for a row whose dtype is the code `source`."""
    if source == FLOAT32:
        return convert_row(<const float*>row, step, out, n, next_row)
    elif source == FLOAT64:
        return convert_row(<const double*>row, step, out, n, next_row)
    elif source == UINT8:
        return convert_row(<const uint8_t*>row, step, out, n, next_row)
    elif source == INT8:
        return convert_row(<const int8_t*>row, step, out, n, next_row)
    elif source == INT16:
        return convert_row(<const int16_t*>row, step, out, n, next_row)
    elif source == INT32:
        return convert_row(<const int32_t*>row, step, out, n, next_row)
    elif source == INT64:
        return convert_row(<const int64_t*>row, step, out, n, next_row)
    elif source == UINT16:
        return convert_row(<const uint16_t*>row, step, out, n, next_row)
    elif source == UINT32:
        return convert_row(<const uint32_t*>row, step, out, n, next_row)
    else:
        return convert_row(<const uint64_t*>row, step, out, n, next_row)


cdef inline bint outside(const floating* y, Py_ssize_t n, floating low, floating high) noexcept nogil:
    """Whether an element of y (n,) lies outside of [low, high]."""
    cdef Py_ssize_t i
    cdef int bad = 0
    for i in range(n):
        bad |= (y[i] < low) | (y[i] > high)
    return bad != 0
