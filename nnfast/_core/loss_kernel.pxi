"""LossKernel: a loss on whole arrays, for `Network`, nnfast.losses and the tests."""


cdef class LossKernel:
    """A loss with its options.

    Parameters
    ----------
    kind : int
        A code of `LOSSES` or `CUSTOM_LOSSES`.
    settings : sequence of at most 4 numbers
        Hyperparameters, in the order of the kernel's arguments in losses.pxd.
    columns : sequence of numbers, one for each column of predictions, or None
        The option of each column, e.g. its quantile.
    function : scipy.LowLevelCallable of a C function, for "c"
        It is kept alive, because it owns the function and the user's data.
    summed : bint
        The value of a row is the sum of its terms, not their mean.  Only for elementwise losses.
    """
    cdef Loss loss
    cdef double[::1] options
    cdef readonly Py_ssize_t by_column      # length of `columns`; 0 if there are none
    cdef object function

    def __cinit__(self, int kind, settings=(), columns=None, function=None, bint summed=False):
        if not 0 <= kind < N_LOSSES or len(settings) > N_SETTINGS:
            raise ValueError(f"kind must be a code of LOSSES, with at most {N_SETTINGS} settings; "
                             f"got {kind} with {len(settings)}")
        options = np.zeros(N_SETTINGS + (0 if columns is None else len(columns)))
        options[:len(settings)] = settings
        if columns is not None:
            options[N_SETTINGS:] = columns
        self.by_column = len(options) - N_SETTINGS
        if self.by_column == 0 and needs_columns(kind):
            raise ValueError("this loss needs columns: a number for each column of predictions")
        if (kind == C_FUNCTION) != (function is not None):
            raise ValueError("the loss \"c\", and no other, needs a function")
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
        """Writes the loss of each row and `scale` times its gradient; returns the sum of losses.

        Parameters
        ----------
        y : C-contiguous array of the dtype of p, or int64 labels, below 0 for rows to ignore
        p : C-contiguous float32 or float64 (..., n)
            Predictions.
        delta : array like p, or None
            Written to: scale times the gradient of each value.
        values : float64 (rows,)
            Written to.
        """
        cdef Py_buffer y_buffer, p_buffer, delta_buffer
        memset(&y_buffer, 0, sizeof(Py_buffer))         # so that releasing one that was not opened does nothing
        memset(&p_buffer, 0, sizeof(Py_buffer))
        memset(&delta_buffer, 0, sizeof(Py_buffer))
        try:
            PyObject_GetBuffer(p, &p_buffer, PyBUF_ND)
            PyObject_GetBuffer(y, &y_buffer, PyBUF_ND)
            if delta is not None:
                PyObject_GetBuffer(delta, &delta_buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            return self.compute(&y_buffer, &p_buffer, &delta_buffer, values, scale)
        finally:
            PyBuffer_Release(&delta_buffer)
            PyBuffer_Release(&y_buffer)
            PyBuffer_Release(&p_buffer)

    cdef double compute(self, const Py_buffer* y, const Py_buffer* p, const Py_buffer* delta, double[::1] values,
                        double scale) except? -1:
        """`__call__` on open buffers; delta.buf is NULL if no gradient is wanted."""
        cdef Py_ssize_t n = p.shape[p.ndim - 1]
        cdef Py_ssize_t rows = p.len // (p.itemsize * n) if n > 0 else 0, targets
        cdef double total
        if values.shape[0] != rows or self.by_column not in (0, n):
            raise ValueError(f"values must have {rows} entries, one for each row of p, and columns of the loss must be "
                             f"None or {n}, one for each column of p; got {values.shape[0]} and {self.by_column}")
        if rows == 0:
            return 0.
        targets = rows * 8 if is_sparse(self.loss.kind) else rows * target_columns(self.loss.kind, n) * p.itemsize
        if y.len != targets:
            raise ValueError("y must have the shape and dtype of p, or for a sparse loss one int64 label for each row")
        if delta.buf != NULL and (delta.len != p.len or delta.itemsize != p.itemsize):
            raise ValueError("delta must have the shape and dtype of p")
        if delta.buf == NULL and self.loss.kind == C_FUNCTION:
            raise ValueError("a C function always writes its gradient: delta must be an array")
        with nogil:
            if p.itemsize == 8:
                total = loss_blocks(&self.loss, y.buf, <double*>p.buf, <double*>delta.buf, &values[0], rows, n, scale)
            else:
                total = loss_blocks(&self.loss, y.buf, <float*>p.buf, <float*>delta.buf, &values[0], rows, n, scale)
        return total


cdef inline double loss_blocks(const Loss* loss, const void* targets, const floating* p, floating* delta,
                               double* values, Py_ssize_t rows, Py_ssize_t n, double scale) noexcept nogil:
    """Loss and gradient of p (rows, n), rows without gaps; returns the sum of values (rows,).

    It works on blocks that stay in the cache until their gradient is scaled.
    """
    cdef Py_ssize_t first = 0, count, i, columns = target_columns(loss.kind, n)
    cdef Py_ssize_t block = max(<Py_ssize_t>1, <Py_ssize_t>LOSS_BLOCK // n)
    cdef const int64_t* labels = <const int64_t*>targets if is_sparse(loss.kind) else NULL      # (rows,)
    cdef const floating* y = <const floating*>targets if labels == NULL else NULL               # (rows, columns)
    cdef double total = 0
    while first < rows:
        count = min(block, rows - first)
        loss_rows(loss, y + first * columns if y != NULL else NULL, columns, labels + first if labels != NULL else NULL,
                  p + first * n, n, delta + first * n if delta != NULL else NULL, values + first, count, n, scale)
        for i in range(count):
            total += values[first + i]
        first += count
    return total
