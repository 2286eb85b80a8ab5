"""Losses: the value of every row, and d value / d prediction of every row.

A loss kernel takes `rows` rows of targets and predictions, writes a value per
row in double precision and, where `delta` is not NULL, the gradient of that
value.  Means over rows and weights belong to the caller.

    y      (rows, n) targets `y_row` apart, or `labels` (rows,) for sparse losses
    p      (rows, n) predictions, rows `row` apart; `width` numbers may be read
    delta  (rows, n) gradient, rows `row` apart; `width` numbers may be written
    value  (rows,)

The cross-entropies come in two forms: of probabilities, clipped to
[EPSILON, 1 - EPSILON] (the gradient is 0 where the clip acts), and `_logits`,
which take the logits and share one exp between value and gradient:
p - y, the form training uses when the last activation matches the loss.

To add one: a kernel here, a name in `Loss`, a line in `loss_rows` and in
`LOSSES` (network.pyx), a class in nnfast/losses.py, its NumPy formula in
tests/reference.py.
"""
from cython cimport floating
from libc.stdint cimport int64_t
from nnfast._core.mathf cimport multiply_add, exp, log, log1p, fabs, sum_row, max_row

cdef enum Loss:
    MEAN_SQUARED_ERROR
    MEAN_ABSOLUTE_ERROR
    BINARY_CROSSENTROPY
    BINARY_CROSSENTROPY_LOGITS
    CATEGORICAL_CROSSENTROPY
    CATEGORICAL_CROSSENTROPY_LOGITS
    SPARSE_CATEGORICAL_CROSSENTROPY
    SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS
    N_LOSSES

cdef extern from *:
    const double EPSILON "1e-7"         # Keras' epsilon(): probabilities are clipped to [1e-7, 1 - 1e-7]


cdef inline bint is_sparse(int kind) noexcept nogil:
    return kind == SPARSE_CATEGORICAL_CROSSENTROPY or kind == SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS


cdef inline void mean_squared_error(const floating* y, Py_ssize_t y_row, const floating* p, Py_ssize_t row,
                                    floating* delta, double* value, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """value <- mean (p - y)^2; delta <- 2 (p - y) / n."""
    cdef Py_ssize_t r, i
    cdef floating error, factor = <floating>2 / n
    cdef double total
    for r in range(rows):
        total = 0
        for i in range(n):
            error = p[i] - y[i]
            total += <double>error * error
            if delta != NULL:
                delta[i] = factor * error
        value[r] = total / n
        y += y_row
        p += row
        if delta != NULL:
            delta += row


cdef inline void mean_absolute_error(const floating* y, Py_ssize_t y_row, const floating* p, Py_ssize_t row,
                                     floating* delta, double* value, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """value <- mean |p - y|; delta <- sign(p - y) / n, and 0 where p = y."""
    cdef Py_ssize_t r, i
    cdef floating error, factor = <floating>1 / n
    cdef double total
    for r in range(rows):
        total = 0
        for i in range(n):
            error = p[i] - y[i]
            total += fabs(error)
            if delta != NULL:
                delta[i] = factor if error > 0 else (-factor if error < 0 else error)
        value[r] = total / n
        y += y_row
        p += row
        if delta != NULL:
            delta += row


cdef inline void binary_crossentropy(const floating* y, Py_ssize_t y_row, const floating* p, Py_ssize_t row,
                                     floating* delta, double* value, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """value <- -mean (y log p + (1 - y) log(1 - p)); delta <- (p - y) / (p (1 - p)) / n; p clipped."""
    cdef Py_ssize_t r, i
    cdef double total, q
    for r in range(rows):
        total = 0
        for i in range(n):
            q = p[i]
            q = EPSILON if q < EPSILON else (1 - EPSILON if q > 1 - EPSILON else q)
            total -= multiply_add(<double>y[i], log(q), (1 - <double>y[i]) * log(1 - q))
            if delta != NULL:
                delta[i] = (q - y[i]) / (q * (1 - q)) / n if q == p[i] else q - q
        value[r] = total / n
        y += y_row
        p += row
        if delta != NULL:
            delta += row


cdef inline void binary_crossentropy_logits(const floating* y, Py_ssize_t y_row, const floating* z, Py_ssize_t row,
                                            floating* delta, double* value, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """value <- mean (max(z, 0) - z y + log(1 + exp(-|z|))); delta <- (sigmoid(z) - y) / n."""
    cdef Py_ssize_t r, i
    cdef floating e, probability
    cdef double total
    for r in range(rows):
        total = 0
        for i in range(n):
            e = exp(-fabs(z[i]))
            total += <double>(z[i] if z[i] > 0 else 0) - <double>z[i] * y[i] + log1p(e)
            if delta != NULL:
                probability = (e if z[i] < 0 else <floating>1) / (<floating>1 + e)
                delta[i] = (probability - y[i]) / n
        value[r] = total / n
        y += y_row
        z += row
        if delta != NULL:
            delta += row


cdef inline void categorical_crossentropy(const floating* y, Py_ssize_t y_row, const floating* p, Py_ssize_t row,
                                          floating* delta, double* value, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """value <- -sum y log q, q = p / sum p clipped; delta_i <- (g_i - sum_j g_j q_j) / sum p, g = -y / q."""
    cdef Py_ssize_t r, i
    cdef double total, scale, q, clipped, g, dot
    for r in range(rows):
        scale = 1 / <double>sum_row(p, n)
        total = 0
        dot = 0
        for i in range(n):
            q = p[i] * scale
            clipped = EPSILON if q < EPSILON else (1 - EPSILON if q > 1 - EPSILON else q)
            total -= y[i] * log(clipped)
            dot -= y[i] if clipped == q else 0
        value[r] = total
        if delta != NULL:
            for i in range(n):
                q = p[i] * scale
                g = -y[i] / q if q >= EPSILON and q <= 1 - EPSILON else 0
                delta[i] = (g - dot) * scale
            delta += row
        y += y_row
        p += row


cdef inline void sparse_categorical_crossentropy(const int64_t* labels, const floating* p, Py_ssize_t row, floating* delta,
                                                 double* value, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """value <- -log q_label, q = p / sum p clipped; delta as that of the one-hot label."""
    cdef Py_ssize_t r, i
    cdef double scale, q, clipped
    for r in range(rows):
        scale = 1 / <double>sum_row(p, n)
        q = p[labels[r]] * scale
        clipped = EPSILON if q < EPSILON else (1 - EPSILON if q > 1 - EPSILON else q)
        value[r] = -log(clipped)
        if delta != NULL:
            for i in range(n):
                delta[i] = scale if clipped == q else 0
            if clipped == q:
                delta[labels[r]] = scale - scale / q
            delta += row
        p += row


cdef enum:
    ROW_BLOCK = 64          # rows whose logarithms are taken in one loop


cdef inline void softmax_terms(const floating* z, floating* e, double* total, double* largest, Py_ssize_t row,
                               Py_ssize_t rows, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """largest <- max z, e <- exp(z - largest), total <- sum e, by rows; e may be NULL."""
    cdef Py_ssize_t r, i
    cdef floating top, part
    for r in range(rows):
        top = max_row(z, n)
        largest[r] = top
        if e != NULL:
            for i in range(width):
                e[i] = exp(z[i] - top)
            total[r] = sum_row(e, n)
            e += row
        else:
            part = 0
            for i in range(n):
                part += exp(z[i] - top)
            total[r] = part
        z += row


cdef inline void sparse_categorical_crossentropy_logits(
        const int64_t* labels, const floating* z, Py_ssize_t row, floating* delta, double* value, Py_ssize_t rows,
        Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """value <- log sum exp(z) - z_label; delta <- softmax(z) - onehot(label)."""
    cdef Py_ssize_t first, r, i, block
    cdef double total[ROW_BLOCK]
    cdef double largest[ROW_BLOCK]
    cdef floating scale
    first = 0
    while first < rows:
        block = min(<Py_ssize_t>ROW_BLOCK, rows - first)
        softmax_terms(z, delta, total, largest, row, block, n, width)
        for r in range(block):
            value[first + r] = log(total[r])
        for r in range(block):
            value[first + r] += largest[r] - z[r * row + labels[first + r]]
            if delta != NULL:
                scale = 1 / total[r]
                for i in range(width):
                    delta[r * row + i] *= scale
                delta[r * row + labels[first + r]] -= 1
        z += block * row
        if delta != NULL:
            delta += block * row
        first += block


cdef inline void categorical_crossentropy_logits(
        const floating* y, Py_ssize_t y_row, const floating* z, Py_ssize_t row, floating* delta, double* value,
        Py_ssize_t rows, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """value <- sum y (log sum exp(z) - z); delta <- (sum y) softmax(z) - y."""
    cdef Py_ssize_t r, i
    cdef double total, largest, log_total
    cdef floating mass, scale
    for r in range(rows):
        softmax_terms(z, delta, &total, &largest, row, 1, n, width)
        mass = sum_row(y, n)
        log_total = log(total) + largest
        value[r] = 0
        for i in range(n):
            value[r] += y[i] * (log_total - z[i])
        if delta != NULL:
            scale = mass / total
            for i in range(n):
                delta[i] = delta[i] * scale - y[i]
            delta += row
        y += y_row
        z += row


cdef inline void loss_rows(int kind, const floating* y, Py_ssize_t y_row, const int64_t* labels, const floating* p,
                           Py_ssize_t row, floating* delta, double* value, Py_ssize_t rows, Py_ssize_t n,
                           Py_ssize_t width) noexcept nogil:
    """The loss `kind` of each row and, where delta is not NULL, its gradient."""
    if kind == MEAN_SQUARED_ERROR:
        mean_squared_error(y, y_row, p, row, delta, value, rows, n)
    elif kind == MEAN_ABSOLUTE_ERROR:
        mean_absolute_error(y, y_row, p, row, delta, value, rows, n)
    elif kind == BINARY_CROSSENTROPY:
        binary_crossentropy(y, y_row, p, row, delta, value, rows, n)
    elif kind == BINARY_CROSSENTROPY_LOGITS:
        binary_crossentropy_logits(y, y_row, p, row, delta, value, rows, n)
    elif kind == CATEGORICAL_CROSSENTROPY:
        categorical_crossentropy(y, y_row, p, row, delta, value, rows, n)
    elif kind == CATEGORICAL_CROSSENTROPY_LOGITS:
        categorical_crossentropy_logits(y, y_row, p, row, delta, value, rows, n, width)
    elif kind == SPARSE_CATEGORICAL_CROSSENTROPY:
        sparse_categorical_crossentropy(labels, p, row, delta, value, rows, n)
    elif kind == SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS:
        sparse_categorical_crossentropy_logits(labels, p, row, delta, value, rows, n, width)
