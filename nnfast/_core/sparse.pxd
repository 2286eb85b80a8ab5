# cython: cdivision=True
"""Sparse rows of x (CSR): the products of the first layer take only the stored elements of x.

Forward: z of a row is b plus, for each element of x, the element times one row of W.  Backward:
dW = x^T delta needs the elements by column.  Each thread sorts the elements of its own rows of W,
then adds rows of delta in the order of the batch.  So no two threads write to the same row, and the
order of the sums does not depend on the number of threads.  Rejected: a gradient for each thread
and a sum over threads.
"""
from cython cimport floating
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from nnfast._core.gather cimport FLOAT32
from nnfast._core.layers cimport Layer
from nnfast._core.mathf cimport INFINITY, fabs
from nnfast._core.plan cimport SPARSE_AHEAD, Job, Plan, Rows, Work, at, row_at
from nnfast._core.vectors cimport prefetch


cdef inline Py_ssize_t column_of(const Rows* x, Py_ssize_t entry) noexcept nogil:
    """Column of an element of x."""
    return (<const int64_t*>x.indices)[entry] if x.wide else (<const int32_t*>x.indices)[entry]


cdef inline Py_ssize_t start_of(const Rows* x, Py_ssize_t row) noexcept nogil:
    """First element of a row of x."""
    return (<const int64_t*>x.starts)[row] if x.wide else (<const int32_t*>x.starts)[row]


cdef inline floating value_of(const Rows* x, Py_ssize_t entry, const floating* tag) noexcept nogil:
    """Value of an element of x."""
    return <floating>(<const float*>x.data)[entry] if x.source == FLOAT32 else <floating>(<const double*>x.data)[entry]


cdef inline void add_scaled(floating* out, const floating* row, floating factor, Py_ssize_t n) noexcept nogil:
    """out (n,) <- out + factor row (n,)."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] += factor * row[i]


cdef inline Py_ssize_t gather_sparse(const Plan* p, const Job* job, const Work* work, Py_ssize_t place,
                                     Py_ssize_t first, Py_ssize_t rows, const floating* tag) noexcept nogil:
    """z (rows, n_out) <- x W + b of the first layer for sparse rows; returns what `gather` does."""
    cdef const Layer* layer = p.layers
    cdef const floating* w = <const floating*>p.params + layer.kernel       # (n_in, n_out)
    cdef const floating* b = w + layer.n_in * layer.n_out                   # (n_out,)
    cdef Py_ssize_t i, r, row, entry, end, bad = -1
    cdef floating* z
    cdef floating value
    for r in range(rows):
        z = at(work, layer.z, layer.stride, first + r, tag)
        # z[r] = b + sum(x[row, c] * W[c] for c in columns of the row)
        for i in range(layer.n_out):
            z[i] = b[i] if layer.k > layer.n_in else <floating>0
        for i in range(layer.n_out, layer.width):
            z[i] = 0
        row = row_at(job, place + r)
        end = start_of(&job.x, row + 1)
        for entry in range(start_of(&job.x, row), end):
            if entry + SPARSE_AHEAD < end:
                prefetch(<const char*>(w + column_of(&job.x, entry + SPARSE_AHEAD) * layer.n_out))
            value = value_of(&job.x, entry, tag)
            if not (fabs(value) < <floating>INFINITY) and bad < 0:
                bad = place + r
            add_scaled(z, w + column_of(&job.x, entry) * layer.n_out, value, layer.n_out)
    return bad


cdef inline void sort_columns(Plan* p, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows,
                              const floating* tag) noexcept nogil:
    """Counting sort of the elements of the batch in columns first..last, by column, then row."""
    cdef Py_ssize_t r, row, entry, column, slot, count, before = 0
    cdef floating* values = <floating*>p.entries.value
    # column_last[c] = elements of column c; before = elements of columns below first
    for column in range(first, last):
        p.entries.column_last[column] = 0
    for r in range(rows):
        row = row_at(&p.job, p.batch.first_place + r)
        for entry in range(start_of(&p.job.x, row), start_of(&p.job.x, row + 1)):
            column = column_of(&p.job.x, entry)
            if column < first:
                before += 1
            elif column < last:
                p.entries.column_last[column] += 1
    # column_first = column_last = before + cumulative sum of the counts
    for column in range(first, last):
        count = p.entries.column_last[column]
        p.entries.column_first[column] = p.entries.column_last[column] = before
        before += count
    for r in range(rows):
        row = row_at(&p.job, p.batch.first_place + r)
        for entry in range(start_of(&p.job.x, row), start_of(&p.job.x, row + 1)):
            column = column_of(&p.job.x, entry)
            if first <= column < last:
                slot = p.entries.column_last[column]
                p.entries.column_last[column] = slot + 1
                p.entries.row[slot] = r
                values[slot] = value_of(&p.job.x, entry, tag)


cdef inline void product_sparse(const Plan* p, floating* gradient, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows,
                                bint accumulate) noexcept nogil:
    """gradient (last - first, n_out) (+)= rows first..last of [x 1]^T delta, by sorted elements."""
    cdef const Layer* layer = p.layers
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, 0, gradient)    # (rows, n_out)
    cdef const floating* values = <const floating*>p.entries.value
    cdef Py_ssize_t row, entry
    cdef floating* out
    for row in range(first, last):
        out = gradient + (row - first) * layer.n_out
        if not accumulate:
            memset(out, 0, layer.n_out * sizeof(floating))
        if row == layer.n_in:       # db = delta.sum(axis=0)
            for entry in range(rows):
                add_scaled(out, delta + entry * layer.stride, <floating>1, layer.n_out)
        else:                       # dW[row] = sum(x[r, row] * delta[r] for r in rows with this column)
            for entry in range(p.entries.column_first[row], p.entries.column_last[row]):
                add_scaled(out, delta + p.entries.row[entry] * layer.stride, values[entry], layer.n_out)
