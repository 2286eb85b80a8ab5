"""Rows of the caller's own array become rows of the batch: read, converted, checked.

The array is read where it lies, in any strides and any of the dtypes below, so
no copy of the data set is needed.  NaN and infinity are found while the row is
in the cache.
"""
from cython cimport floating
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from nnfast._core.mathf cimport fabs, INFINITY

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


cdef inline bint convert_row(const number* source, Py_ssize_t step, floating* out, Py_ssize_t n) noexcept nogil:
    """out <- source, numbers `step` bytes apart; whether all are finite."""
    cdef Py_ssize_t i
    cdef int bad = 0
    cdef floating value
    if step == sizeof(number):
        for i in range(n):
            value = <floating>source[i]
            out[i] = value
            if number is float or number is double:
                bad |= not (fabs(value) < <floating>INFINITY)
    else:
        for i in range(n):
            value = <floating>(<const number*>(<const char*>source + i * step))[0]
            out[i] = value
            if number is float or number is double:
                bad |= not (fabs(value) < <floating>INFINITY)
    return bad == 0


cdef inline bint gather_row(int source, const char* row, Py_ssize_t step, floating* out, Py_ssize_t n) noexcept nogil:
    """out <- the n numbers of dtype `source` at `row`, `step` bytes apart; whether all are finite."""
    if source == FLOAT32:
        return convert_row(<const float*>row, step, out, n)
    elif source == FLOAT64:
        return convert_row(<const double*>row, step, out, n)
    elif source == UINT8:
        return convert_row(<const uint8_t*>row, step, out, n)
    elif source == INT8:
        return convert_row(<const int8_t*>row, step, out, n)
    elif source == INT16:
        return convert_row(<const int16_t*>row, step, out, n)
    elif source == INT32:
        return convert_row(<const int32_t*>row, step, out, n)
    elif source == INT64:
        return convert_row(<const int64_t*>row, step, out, n)
    elif source == UINT16:
        return convert_row(<const uint16_t*>row, step, out, n)
    elif source == UINT32:
        return convert_row(<const uint32_t*>row, step, out, n)
    else:
        return convert_row(<const uint64_t*>row, step, out, n)
