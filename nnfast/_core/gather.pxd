# cython: cdivision=True
"""Rows of the caller's own array become rows of the batch: read, converted, checked.

The array is read where it lies, in any strides and any of the dtypes below, so
no copy of the data set is needed.  NaN and infinity are found while the row is
in the cache.
"""
from cython cimport floating
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from nnfast._core.mathf cimport fabs, INFINITY
from nnfast._core.vectors cimport prefetch

cdef enum:
    FETCH_BYTES = 256

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
    """Dtypes that are read where they lie, by NumPy's short names without the byte order."""
    return {
        "f4": FLOAT32, "f8": FLOAT64, "i1": INT8, "i2": INT16, "i4": INT32, "i8": INT64,
        "u1": UINT8, "u2": UINT16, "u4": UINT32, "u8": UINT64, "b1": UINT8,
    }

ctypedef fused number:
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


cdef inline bint convert_row(const number* source, Py_ssize_t step, floating* out, Py_ssize_t n, const char* coming) noexcept nogil:
    """out <- source, numbers `step` bytes apart, while the row at `coming`, if any, is fetched; whether all are finite.

    The lines of the next row are asked for between those of this one: all at once would fill the queue to the memory
    and wait (60,000 x 784 float32 in random order: 8.5 ms against 12.9).
    """
    cdef Py_ssize_t first = 0, last = n, i, line
    cdef int bad = 0
    cdef floating value
    if step == sizeof(number):
        while first < n:
            if coming != NULL:
                last = min(n, first + FETCH_BYTES // <Py_ssize_t>sizeof(number))
                line = first * <Py_ssize_t>sizeof(number)
                while line < last * <Py_ssize_t>sizeof(number):
                    prefetch(coming + line)
                    line += 64
            for i in range(first, last):
                value = <floating>source[i]
                out[i] = value
                if number is float or number is double:
                    bad |= not (fabs(value) < <floating>INFINITY)
            first = last
    else:
        for i in range(n):
            value = <floating>(<const number*>(<const char*>source + i * step))[0]
            out[i] = value
            if number is float or number is double:
                bad |= not (fabs(value) < <floating>INFINITY)
    return bad == 0


cdef inline bint gather_row(int source, const char* row, Py_ssize_t step, floating* out, Py_ssize_t n,
                            const char* coming) noexcept nogil:
    """out <- the n numbers of dtype `source` at `row`, `step` bytes apart; whether all are finite.  `coming`: a row to fetch, or NULL."""
    if source == FLOAT32:
        return convert_row(<const float*>row, step, out, n, coming)
    elif source == FLOAT64:
        return convert_row(<const double*>row, step, out, n, coming)
    elif source == UINT8:
        return convert_row(<const uint8_t*>row, step, out, n, coming)
    elif source == INT8:
        return convert_row(<const int8_t*>row, step, out, n, coming)
    elif source == INT16:
        return convert_row(<const int16_t*>row, step, out, n, coming)
    elif source == INT32:
        return convert_row(<const int32_t*>row, step, out, n, coming)
    elif source == INT64:
        return convert_row(<const int64_t*>row, step, out, n, coming)
    elif source == UINT16:
        return convert_row(<const uint16_t*>row, step, out, n, coming)
    elif source == UINT32:
        return convert_row(<const uint32_t*>row, step, out, n, coming)
    else:
        return convert_row(<const uint64_t*>row, step, out, n, coming)


cdef inline bint outside(const floating* y, Py_ssize_t n, floating low, floating high) noexcept nogil:
    """Whether some of the n elements do not lie in [low, high]."""
    cdef Py_ssize_t i
    cdef int bad = 0
    for i in range(n):
        bad |= (y[i] < low) | (y[i] > high)
    return bad != 0
