"""The caller's data for the core: opened once for a fit, read in place, never copied."""


cdef class DenseRows:
    """A matrix of the caller, with any strides, read-only or not.

    Parameters
    ----------
    array : ndarray (rows, columns) of a dtype of `SOURCES`, in the byte order of the machine
    """
    cdef Rows rows
    cdef Py_buffer buffer
    cdef readonly Py_ssize_t n_columns
    cdef readonly object array

    def __cinit__(self, array):
        dtype = array.dtype
        source = SOURCE_OF_CHAR.get(dtype.char)
        if source is None or not dtype.isnative or array.ndim != 2:
            raise ValueError("rows must be a 2-D array of a dtype that the core reads, in the byte order of the "
                             f"machine; got shape {array.shape}, dtype {dtype}")
        PyObject_GetBuffer(array, &self.buffer, PyBUF_STRIDED_RO)
        self.array = array
        self.n_columns = self.buffer.shape[1]
        self.rows.data = <const char*>self.buffer.buf
        self.rows.row = self.buffer.strides[0]
        self.rows.step = self.buffer.strides[1]
        self.rows.source = source

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)      # does nothing for a buffer that was never opened

    def __len__(self):
        return self.buffer.shape[0]


cdef class SparseRows:
    """A matrix in compressed sparse row (CSR) form, read in place.

    The columns of a row may be in any order.  Elements of the same row and column are added up.

    Parameters
    ----------
    data : float32 or float64 (n,)
    indices : int32 or int64 (n,)
        The column of each element.
    starts : (rows + 1,), of the dtype of indices
        Where each row begins.
    n_columns : int
    """
    cdef Rows rows
    cdef Py_ssize_t n_rows
    cdef readonly Py_ssize_t n_columns
    cdef object arrays

    def __cinit__(self, data, indices, starts, Py_ssize_t n_columns):
        data, indices, starts = np.ascontiguousarray(data), np.ascontiguousarray(indices), np.ascontiguousarray(starts)
        if data.dtype not in (np.float32, np.float64) or indices.dtype not in (np.int32, np.int64) \
                or starts.dtype != indices.dtype or not data.ndim == indices.ndim == starts.ndim == 1 \
                or len(starts) < 1 or min(len(data), len(indices)) < starts.item(len(starts) - 1):
            raise ValueError("data must be float32 or float64, indices and starts both int32 or both int64, "
                             "and data and indices must have one entry for each element that starts counts")
        self.arrays = data, indices, starts
        self.n_rows, self.n_columns = len(starts) - 1, n_columns
        self.rows.data, self.rows.indices, self.rows.starts = address(data), address(indices), address(starts)
        self.rows.source = SOURCES[data.dtype.str[1:]]
        self.rows.wide = indices.dtype == np.int64
        cdef Py_ssize_t i
        cdef bint good = start_of(&self.rows, 0) >= 0
        with nogil:
            for i in range(self.n_rows):
                good &= start_of(&self.rows, i) <= start_of(&self.rows, i + 1)
            if good:
                for i in range(start_of(&self.rows, 0), start_of(&self.rows, self.n_rows)):
                    good &= 0 <= column_of(&self.rows, i) < n_columns
        if not good:
            raise ValueError(f"starts must not decrease, and indices must lie in [0, {n_columns})")

    def __len__(self):
        return self.n_rows


cdef int read_rows(object opened, Rows* rows, Py_ssize_t* n_columns) except -1:
    """Reads `rows` and `n_columns` from DenseRows or SparseRows."""
    if isinstance(opened, DenseRows):
        rows[0], n_columns[0] = (<DenseRows>opened).rows, (<DenseRows>opened).n_columns
    elif isinstance(opened, SparseRows):
        rows[0], n_columns[0] = (<SparseRows>opened).rows, (<SparseRows>opened).n_columns
    else:
        raise TypeError(f"rows must be DenseRows or SparseRows, got {type(opened).__name__}")
    return 0


cdef class Batches:
    """Rows of x and y in the order of training, divided into batches.

    Parameters
    ----------
    x : DenseRows or SparseRows (n, n_inputs)
    y : DenseRows (n, n_targets), or int64 labels (n,) for a sparse loss
    batch_size : int
    n_rows : int, optional
        Number of rows to train on: the first `n_rows` of the order.  Default: all rows.
    order : int64 (n_rows,), optional
        Row numbers in the order of training.  They are not checked: the caller makes sure that
        they lie in [0, n).  Each call reads the array again, so it may be shuffled between calls.
    weights : float64 (n,), optional
        Sample weights.
    ignores : bool
        Whether labels below 0 may occur.  These rows are left out of the mean of their batch.
    """
    cdef Job job
    cdef readonly object x, y, order, weights
    cdef const int64_t[::1] order_view
    cdef const int64_t[::1] labels
    cdef const double[::1] weights_view

    def __cinit__(self, x, y, Py_ssize_t batch_size, n_rows=None, order=None, weights=None, bint ignores=False):
        cdef Py_ssize_t columns
        self.x, self.y, self.order, self.weights = x, y, order, weights
        self.order_view, self.weights_view = order, weights
        read_rows(x, &self.job.x, &columns)
        if isinstance(y, DenseRows):
            read_rows(y, &self.job.y, &self.job.n_targets)
        else:
            self.labels = y
            self.job.labels = &self.labels[0] if len(y) else NULL
        rows = len(x) if order is None else len(order)
        self.job.n_rows = rows if n_rows is None else n_rows
        self.job.batch_size = batch_size
        if batch_size < 1 or not 1 <= self.job.n_rows <= rows \
                or (weights is not None and len(weights) < len(x)) or len(y) < len(x):
            raise ValueError("y and weights must have an entry for each row of x, batch_size must be at least 1, and "
                             f"n_rows must lie in [1, {rows}]; got {len(x)} rows of x, {len(y)} of y, "
                             f"batch_size {batch_size}, n_rows {self.job.n_rows}")
        self.job.order = &self.order_view[0] if order is not None else NULL
        self.job.weights = &self.weights_view[0] if weights is not None else NULL
        self.job.ignores = ignores

    @property
    def n_rows(self):
        return self.job.n_rows

    @property
    def batch_size(self):
        return self.job.batch_size

    def __len__(self):
        """Number of batches."""
        return (self.job.n_rows + self.job.batch_size - 1) // self.job.batch_size
