# cython: cdivision=True
"""Metrics of a row: reported, never differentiated, so they change no bit of training."""
from cython cimport floating
from libc.stdint cimport int64_t
from nnfast._core.mathf cimport fabs, multiply_add

cdef enum Metric:
    BINARY_ACCURACY
    CATEGORICAL_ACCURACY
    SPARSE_CATEGORICAL_ACCURACY
    ABSOLUTE_ERROR
    SQUARED_ERROR

cdef inline dict metric_codes():
    """Metrics by the names of their kernels."""
    return {
        "binary_accuracy": BINARY_ACCURACY, "categorical_accuracy": CATEGORICAL_ACCURACY,
        "sparse_categorical_accuracy": SPARSE_CATEGORICAL_ACCURACY,
        "absolute_error": ABSOLUTE_ERROR, "squared_error": SQUARED_ERROR,
    }


cdef inline bint keeps_order(int kind) noexcept nogil:
    """Whether it asks only which output is the largest: softmax need not be applied first."""
    return kind == CATEGORICAL_ACCURACY or kind == SPARSE_CATEGORICAL_ACCURACY


cdef inline Py_ssize_t argmax(const floating* x, Py_ssize_t n) noexcept nogil:
    """Place of the first largest number."""
    cdef Py_ssize_t i, best = 0
    for i in range(1, n):
        best = i if x[i] > x[best] else best
    return best


cdef inline double metric_row(int kind, const floating* y, int64_t label, const floating* p, Py_ssize_t n) noexcept nogil:
    """The metric of one row of predictions p; binary accuracy is at threshold 0.5, as Keras'."""
    cdef Py_ssize_t i
    cdef double total = 0, error
    if kind == SPARSE_CATEGORICAL_ACCURACY:
        return argmax(p, n) == label
    if kind == CATEGORICAL_ACCURACY:
        return argmax(p, n) == argmax(y, n)
    for i in range(n):
        if kind == BINARY_ACCURACY:
            total += y[i] == (1 if p[i] > 0.5 else 0)
        elif kind == ABSOLUTE_ERROR:
            total += fabs(<double>p[i] - y[i])
        else:
            error = <double>p[i] - y[i]
            total = multiply_add(error, error, total)
    return total / n
