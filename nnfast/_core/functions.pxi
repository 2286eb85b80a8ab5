"""Kernels as functions of arrays, for nnfast.functional, tests and benchmarks."""

cdef extern from *:
    """
    static inline uint64_t nn_multiply_high(uint64_t a, uint64_t b) {
        return (uint64_t)((unsigned __int128)a * b >> 64);
    }
    """
    uint64_t multiply_high "nn_multiply_high"(uint64_t a, uint64_t b) noexcept nogil     # top half of a * b


def first_outside(const int64_t[::1] labels, Py_ssize_t classes):
    """Index of the first label outside of [0, classes), or -1.

    NumPy's min and max would take as long as a small training step.
    """
    cdef Py_ssize_t i
    with nogil:
        for i in range(labels.shape[0]):
            if not 0 <= labels[i] < classes:
                break
        else:
            i = -1
    return i


def shuffle(int64_t[::1] order, uint64_t seed):
    """Shuffles in place (Fisher and Yates) by splitmix64 (Steele, Lea and Flood 2014).

    An index in [0, i] is the high half of (i + 1) times 64 random bits (Lemire 2019, no rejection).
    NumPy's shuffle takes 0.2 ms for 20,000 rows, a fifth of an epoch of a tiny network; this one
    takes a fifth of that.
    """
    cdef Py_ssize_t i, j
    cdef uint64_t x
    cdef int64_t kept
    with nogil:
        for i in range(order.shape[0] - 1, 0, -1):
            seed += <uint64_t>0x9E3779B97F4A7C15
            x = seed
            x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
            x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
            j = <Py_ssize_t>multiply_high(x ^ (x >> 31), <uint64_t>(i + 1))
            kept = order[i]
            order[i] = order[j]
            order[j] = kept


def matmul(const floating[:, :] a, const floating[:, :] b, floating[:, :] out, Py_ssize_t repeats=1,
           bint over_rows=False, bint shared=False):
    """out (m, n) <- a (m, k) @ b (k, n).

    Strides may be any whole numbers of elements.

    Parameters
    ----------
    repeats : int
        For benchmarks: computes the product several times, with factors packed once, as in
        training.
    over_rows : bool
        The product is x^T delta, whose sums run over the rows of a batch, and a is the transpose of
        x. Training computes it in another way than x W and delta W^T.
    shared : bool
        Whether to prefetch as for a b that other threads wrote.
    """
    cdef const floating* tag = NULL
    cdef Py_ssize_t item = sizeof(floating), rows = a.shape[0], k = a.shape[1], n = b.shape[1]
    cdef Py_ssize_t a_row = a.strides[0] // item, a_col = a.strides[1] // item
    cdef Py_ssize_t b_row = b.strides[0] // item, b_col = b.strides[1] // item
    cdef Py_ssize_t width = padded(n, tag), panel = panel_width(tag), pitch = padded(k, tag)
    cdef Py_ssize_t stride = padded_row(width, tag)
    cdef Py_ssize_t span = BLOCK_ROWS if over_rows else SPAN_ROWS       # as in training
    cdef Py_ssize_t first = 0, count, r, j, _
    cdef bint dotted = not over_rows and by_dots(n, k, tag)
    cdef bint transposed = over_rows and a_row == 1 and by_transpose(n, tag)
    cdef floating* left = NULL          # (span, pitch): rows of a for dot products, padded
    cdef floating* result
    if b.shape[0] != k or out.shape[0] != rows or out.shape[1] != n:
        raise ValueError("the shapes of a, b and out must be (m, k), (k, n) and (m, n); "
                         f"got {(rows, k)}, {(b.shape[0], n)} and {(out.shape[0], out.shape[1])}")
    if rows == 0 or n == 0:
        return
    if k == 0:
        out[:, :] = 0
        return
    if transposed:
        span = max(span, <Py_ssize_t>BLOCK_SIZE // width)
    cdef floating* panels = <floating*>allocate((packed_size(pitch, n, tag) + SLACK) * item)
    # c: the result of a span and its transpose
    cdef floating* c = <floating*>allocate(2 * (span + GROUP_ROWS) * stride * item + 64)
    cdef floating* c_transposed = c + (span + GROUP_ROWS) * stride
    cdef bint copying = over_rows and a_row == 1 and by_copies(a_col, width, tag)
    cdef floating* copied = <floating*>allocate(copied_size(span, tag) * item) if copying else NULL
    if dotted:
        left = <floating*>allocate(span * pitch * item)
    try:
        if panels == NULL or c == NULL or (copying and copied == NULL) or (dotted and left == NULL):
            raise MemoryError("no memory for the panels of b")
        with nogil:
            if dotted:
                pack_columns(&b[0, 0], b_row, b_col, k, n, 0, k, panels)
            else:
                pack(&b[0, 0], b_row, b_col, k, n, 0, k, panels)
            while first < rows:
                count = min(rows - first, span)
                if dotted:
                    for r in range(count):
                        for j in range(k):
                            left[r * pitch + j] = a[first + r, j]
                    for _ in range(repeats):
                        dots(left, pitch, panels, pitch, c, stride, count, n, k)
                elif transposed and count >= GROUP_ROWS:
                    count -= count % GROUP_ROWS         # x is read in whole registers
                    # out.T = b.T @ a.T
                    for _ in range(repeats):
                        team_product(&b[0, 0], b_col, b_row, &a[first, 0], a_col, panel, c, count, n, count, k, False,
                                     shared)
                        transpose(c, count, n, count, c_transposed)
                elif over_rows and a_row == 1:
                    # out = a @ b, a the transpose of x
                    for _ in range(repeats):
                        product_over_rows(&a[first, 0], a_col, panels, panel, k * panel, c, stride, count, width, k,
                                          False, shared, copied)
                else:
                    for _ in range(repeats):
                        team_product(&a[first, 0], a_row, a_col, panels, panel, k * panel, c, stride, count, width, k,
                                     False, shared)
                for r in range(count):
                    result = c_transposed + r * n if transposed and count >= GROUP_ROWS else c + r * stride
                    if out.strides[1] == item:
                        memcpy(&out[first + r, 0], result, n * item)
                    else:
                        for j in range(n):
                            out[first + r, j] = result[j]
                first += count
    finally:
        release(panels)
        release(c)
        release(copied)
        release(left)


def apply_activation(int kind, const floating[:, ::1] z, floating[:, ::1] a):
    """a <- f(z), softmax over the last axis; a may be z."""
    if z.shape[0] != a.shape[0] or z.shape[1] != a.shape[1] or not 0 <= kind < N_ACTIVATIONS:
        raise ValueError("z and a must have the same shape, and kind must be a code of ACTIVATIONS")
    if z.shape[0] == 0 or z.shape[1] == 0:
        return
    with nogil:
        memmove(&a[0, 0], &z[0, 0], z.shape[0] * z.shape[1] * sizeof(floating))
        activate(kind, &a[0, 0], z.shape[1], z.shape[0], z.shape[1], z.shape[1])


def apply_activation_gradient(int kind, const floating[:, ::1] z, const floating[:, ::1] a, floating[:, ::1] delta):
    """delta <- delta f'(z), where a = f(z)."""
    if z.shape[0] != delta.shape[0] or z.shape[1] != delta.shape[1] or a.shape[0] != z.shape[0] \
            or a.shape[1] != z.shape[1] or not 0 <= kind < N_ACTIVATIONS:
        raise ValueError("z, a and delta must have the same shape, and kind must be a code of ACTIVATIONS")
    if z.shape[0] == 0 or z.shape[1] == 0:
        return
    with nogil:
        activation_gradient(kind, &z[0, 0], &a[0, 0], &delta[0, 0], z.shape[1], z.shape[0], z.shape[1])


def apply_optimizer(int kind, floating[::1] params, const floating[::1] grads, slots, settings, double learning_rate,
                    Py_ssize_t step, double weight_decay=0):
    """One step of the optimizer, in place.

    Parameters
    ----------
    kind : int
        A code of `OPTIMIZERS`.
    params, grads : (size,)
    slots : sequence of arrays like params, one for each slot of the kernel
    settings : sequence of float
        Hyperparameters, in the order of the kernel's arguments in optimizers.pxd.
    step : int
        Number of this step, from 1.
    """
    cdef double values[MAX_SETTINGS]
    cdef Step scalars
    cdef floating[::1] slot
    cdef floating* states[3]
    cdef Py_ssize_t i, needed = SLOTS[kind]
    memset(values, 0, sizeof(values))
    memset(&scalars, 0, sizeof(Step))
    memset(states, 0, sizeof(states))
    for i, value in enumerate(settings):
        values[i] = value
    if grads.shape[0] != params.shape[0] or len(slots) < needed:
        raise ValueError(f"grads must have the length of params, and there must be {needed} slots; "
                         f"got lengths {grads.shape[0]} and {params.shape[0]}, and {len(slots)} slots")
    if params.shape[0] == 0:
        return
    for i in range(needed):
        slot = slots[i]
        if slot.shape[0] != params.shape[0]:
            raise ValueError("each slot must have the length of params; "
                             f"got {slot.shape[0]} and {params.shape[0]}")
        states[i] = &slot[0]
    with nogil:
        begin_step(&scalars, kind, values, weight_decay, learning_rate, step)
        optimizer_step(kind, &params[0], &grads[0], states[0], states[1], states[2], params.shape[0], values, &scalars)


def apply_math(name, const floating[::1] x, floating[::1] out):
    """out <- f(x) for f in exp, expm1, log, log1p, tanh, sigmoid, softplus of mathf.pxd."""
    cdef Py_ssize_t i, size = min(x.shape[0], out.shape[0])
    if name == "exp":
        for i in range(size):
            out[i] = mathf.exp(x[i])
    elif name == "expm1":
        for i in range(size):
            out[i] = mathf.expm1(x[i])
    elif name == "log":
        for i in range(size):
            out[i] = mathf.log(x[i])
    elif name == "log1p":
        for i in range(size):
            out[i] = mathf.log1p(x[i])
    elif name == "tanh":
        for i in range(size):
            out[i] = mathf.tanh(x[i])
    elif name == "sigmoid":
        for i in range(size):
            out[i] = mathf.sigmoid(x[i])
    elif name == "softplus":
        for i in range(size):
            out[i] = mathf.softplus(x[i])
    else:
        raise ValueError(f"there is no function {name!r} in mathf.pxd")
