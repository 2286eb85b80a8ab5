# cython: cdivision=True
"""Metrics of one row, with sums in double.  They are only reported: training does not change.

The lines that a new one needs are in CONTRIBUTING.md, "A new kind".
"""
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
    """Whether the metric needs only the index of the largest output, which softmax keeps."""
    return kind == CATEGORICAL_ACCURACY or kind == SPARSE_CATEGORICAL_ACCURACY


cdef inline Py_ssize_t argmax(const floating* x, Py_ssize_t n) noexcept nogil:
    """Index of the largest of x (n,), the first if several are equal."""
    cdef Py_ssize_t i, best = 0
    for i in range(1, n):
        best = i if x[i] > x[best] else best
    return best


cdef inline double metric_row(int kind, const floating* y, int64_t label, const floating* p,
                              Py_ssize_t n) noexcept nogil:
    """Metric of one row: targets y (n,) or label, predictions p (n,).

        SPARSE_CATEGORICAL_ACCURACY    argmax(p) == label
        CATEGORICAL_ACCURACY           argmax(p) == argmax(y)
        BINARY_ACCURACY                mean(y == (p > 0.5)), the threshold of Keras
        ABSOLUTE_ERROR                 mean |p - y|
        SQUARED_ERROR                  mean (p - y)^2
    """
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
