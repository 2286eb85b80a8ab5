cdef class LossKernel:
    """A loss with its options.

    Parameters
    ----------
    kind : int
        A code of `LOSSES` or `CUSTOM_LOSSES`.
    settings : sequence of at most 4 numbers
    columns : sequence of numbers, one for each column of predictions, or None
    function : scipy.LowLevelCallable of a C function, for "c"; kept, for it owns the function and the user's data
    summed : bint
        A row's value is the sum of its terms, not their mean; of losses by number only.
    """
    cdef Loss loss
    cdef double[::1] options
    cdef readonly Py_ssize_t by_column      # numbers for columns; 0 if there are none
    cdef object function

    def __cinit__(self, int kind, settings=(), columns=None, function=None, bint summed=False):
        if not 0 <= kind < N_LOSSES or len(settings) > N_SETTINGS:
            raise ValueError("no such loss")
        options = np.zeros(N_SETTINGS + (0 if columns is None else len(columns)))
        options[:len(settings)] = settings
        if columns is not None:
            options[N_SETTINGS:] = columns
        self.by_column = len(options) - N_SETTINGS
        if (self.by_column == 0 and needs_columns(kind)) \
                or (kind == C_FUNCTION) != (function is not None):
            raise ValueError("the loss needs a number for each column, or its function")
        self.options = options
        self.loss.kind = kind
        self.loss.options = &self.options[0]
        self.loss.by_column = self.by_column > 0
        self.loss.summed = summed
        if function is not None:
            capsule = tuple.__getitem__(function, 0)        # SciPy's class hides its items
            self.function = function
            self.loss.function = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))
            self.loss.user_data = PyCapsule_GetContext(capsule)

    def __call__(self, y, p, delta, double[::1] values, double scale):
        """values <- the loss of each row, delta <- scale times the gradient of that value; the sum of the values.

        Parameters
        ----------
        y : C-contiguous array in the dtype of p, or int64 labels, below 0 where the row is ignored
        p : C-contiguous array (..., n), float32 or float64
        delta : the same, or None
        values : float64 (rows,)
        """
        cdef Py_buffer y_buffer, p_buffer, delta_buffer
        cdef Py_ssize_t rows, n
        cdef double total = 0
        PyObject_GetBuffer(p, &p_buffer, PyBUF_ND)
        try:
            n = p_buffer.shape[p_buffer.ndim - 1]
            rows = p_buffer.len // (p_buffer.itemsize * n) if n > 0 else 0
            if values.shape[0] != rows or self.by_column not in (0, n):
                raise ValueError("values must have a number for each row, and columns for each column")
            if rows == 0:
                return 0.
            PyObject_GetBuffer(y, &y_buffer, PyBUF_ND)
            try:
                if y_buffer.len != (rows * 8 if is_sparse(self.loss.kind) else rows * target_columns(self.loss.kind, n) * p_buffer.itemsize):
                    raise ValueError("y must have the shape and dtype of p, labels one for each row")
                delta_buffer.buf = NULL
                if delta is not None:
                    PyObject_GetBuffer(delta, &delta_buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
                try:
                    if delta is not None and (delta_buffer.len != p_buffer.len or delta_buffer.itemsize != p_buffer.itemsize):
                        raise ValueError("delta must have the shape and dtype of p")
                    if delta is None and self.loss.kind == C_FUNCTION:
                        raise ValueError("a C function always writes its gradient")
                    with nogil:
                        if p_buffer.itemsize == 8:
                            total = loss_blocks(&self.loss, y_buffer.buf, <double*>p_buffer.buf, <double*>delta_buffer.buf, &values[0], rows, n, scale)
                        else:
                            total = loss_blocks(&self.loss, y_buffer.buf, <float*>p_buffer.buf, <float*>delta_buffer.buf, &values[0], rows, n, scale)
                finally:
                    if delta is not None:
                        PyBuffer_Release(&delta_buffer)
            finally:
                PyBuffer_Release(&y_buffer)
        finally:
            PyBuffer_Release(&p_buffer)
        return total


cdef inline double loss_blocks(const Loss* loss, const void* targets, const floating* p, floating* delta, double* values,
                               Py_ssize_t rows, Py_ssize_t n, double scale) noexcept nogil:
    """A loss over rows that adjoin, in blocks that stay in the cache until their gradient is scaled; the sum of values."""
    cdef Py_ssize_t first = 0, count, most = max(<Py_ssize_t>1, <Py_ssize_t>BLOCK_NUMBERS // n), i, columns = target_columns(loss.kind, n)
    cdef const int64_t* labels = <const int64_t*>targets if is_sparse(loss.kind) else NULL
    cdef const floating* y = <const floating*>targets if labels == NULL else NULL
    cdef double total = 0
    while first < rows:
        count = min(most, rows - first)
        loss_rows(loss, y + first * columns if y != NULL else NULL, columns, labels + first if labels != NULL else NULL,
                  p + first * n, n, delta + first * n if delta != NULL else NULL, values + first, count, n, scale)
        for i in range(count):
            total += values[first + i]
        first += count
    return total
