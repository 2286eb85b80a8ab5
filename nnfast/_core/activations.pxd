# cython: cdivision=True
"""Activations and their gradients, side by side.

z is the input of an activation f and a = f(z) its output.  An elementwise f has two functions:

    f             a <- f(a), in place: a holds z before.  With two pointers the compiler would have
                  to allow for overlap, and its loop would do one element at a time.
    f_gradient    delta <- delta f'(z), computed from z or from a, whichever is cheaper;
                  `keeps_input` says which activations need z

Both run over whole blocks of the workspace, padding included: the values in the padding have no
meaning and do no harm.  softmax works row by row: `rows` rows of n elements, which lie `row`
elements apart and are padded to `width`.

The lines that a new one needs are in CONTRIBUTING.md, "A new kind".
"""
from cython cimport floating
from nnfast._core.mathf cimport (
    multiply_add, exp, expm1, tanh, sigmoid as logistic, softplus as soft, erf, fabs, sum_row, max_row)

cdef enum Activation:
    LINEAR
    RELU
    SIGMOID
    TANH
    SOFTMAX
    LEAKY_RELU
    ELU
    SELU
    GELU
    GELU_TANH
    SILU
    SOFTPLUS
    SOFTSIGN
    MISH
    HARD_SIGMOID
    EXPONENTIAL
    N_ACTIVATIONS

cdef inline dict activation_codes():
    """Activations by their names in Keras."""
    return {
        "linear": LINEAR, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH, "softmax": SOFTMAX, "leaky_relu": LEAKY_RELU,
        "elu": ELU, "selu": SELU, "gelu": GELU, "gelu_tanh": GELU_TANH, "silu": SILU, "softplus": SOFTPLUS,
        "softsign": SOFTSIGN, "mish": MISH, "hard_sigmoid": HARD_SIGMOID, "exponential": EXPONENTIAL,
    }


cdef enum:
    LEAKY_SLOPE_PERCENT = 20        # 0.2, as in Keras' leaky_relu


cdef inline bint keeps_input(int kind) noexcept nogil:
    """Whether the gradient reads z, so that z must be kept; the other gradients read a."""
    return kind == GELU or kind == GELU_TANH or kind == SILU or kind == MISH or kind == SOFTPLUS or kind == SOFTSIGN


cdef inline void relu(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- max(a, 0)."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = 0 if a[i] <= 0 else a[i]


cdef inline void relu_gradient(const floating* a, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta [a > 0]."""
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = 0 if a[i] <= 0 else delta[i]


cdef inline void sigmoid(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- 1 / (1 + exp(-a))."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = logistic(a[i])


cdef inline void sigmoid_gradient(const floating* a, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta a (1 - a)."""
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = delta[i] * (a[i] * (<floating>1 - a[i]))


cdef inline void tanh_(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- tanh(a)."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = tanh(a[i])


cdef inline void tanh_gradient(const floating* a, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta (1 - a^2)."""
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = delta[i] * (<floating>1 - a[i] * a[i])


cdef inline void softmax(floating* a, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t n,
                         Py_ssize_t width) noexcept nogil:
    """a <- exp(a - max a) / sum exp(a - max a), by rows."""
    cdef Py_ssize_t r, i
    cdef floating largest, total
    for r in range(rows):
        largest = max_row(a + r * row, n)
        for i in range(width):
            a[r * row + i] = exp(a[r * row + i] - largest)
        total = <floating>1 / sum_row(a + r * row, n)
        for i in range(width):
            a[r * row + i] = a[r * row + i] * total


cdef inline void softmax_gradient(const floating* a, floating* delta, Py_ssize_t row, Py_ssize_t rows,
                                  Py_ssize_t n) noexcept nogil:
    """delta <- a (delta - sum_j a_j delta_j), by rows."""
    cdef Py_ssize_t r, i
    cdef floating dot
    for r in range(rows):
        dot = 0
        for i in range(n):
            dot = multiply_add(a[r * row + i], delta[r * row + i], dot)
        for i in range(n):
            delta[r * row + i] = a[r * row + i] * (delta[r * row + i] - dot)


cdef inline void leaky_relu(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a if a > 0 else 0.2 a."""
    cdef floating slope = LEAKY_SLOPE_PERCENT / 100.
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] * slope if a[i] <= 0 else a[i]


cdef inline void leaky_relu_gradient(const floating* a, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta (1 if a > 0 else 0.2)."""
    cdef floating slope = LEAKY_SLOPE_PERCENT / 100.
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = delta[i] * slope if a[i] <= 0 else delta[i]


cdef inline void scaled_elu(floating* a, Py_ssize_t size, floating scale, floating alpha) noexcept nogil:
    """a <- scale a if a > 0 else scale alpha (exp(a) - 1)."""
    cdef Py_ssize_t i
    cdef floating below
    for i in range(size):
        below = alpha * expm1(a[i])
        a[i] = scale * (a[i] if a[i] > 0 else below)


cdef inline void scaled_elu_gradient(const floating* a, floating* delta, Py_ssize_t size, floating scale,
                                     floating alpha) noexcept nogil:
    """delta <- delta (scale if a > 0 else a + scale alpha)."""
    cdef Py_ssize_t i
    cdef floating below
    for i in range(size):
        below = multiply_add(scale, alpha, a[i])
        delta[i] = delta[i] * (scale if a[i] > 0 else below)


cdef inline void gelu(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a Phi(a), Phi the normal distribution function (Hendrycks and Gimpel 2016)."""
    cdef floating root_half = 0.7071067811865476
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] * (<floating>0.5 * (<floating>1 + erf(a[i] * root_half)))


cdef inline void gelu_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta (Phi(z) + z phi(z)), phi the normal density."""
    cdef floating root_half = 0.7071067811865476, density = 0.3989422804014327
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = delta[i] * multiply_add(<floating>0.5, <floating>1 + erf(z[i] * root_half),
                                           z[i] * density * exp(<floating>-0.5 * z[i] * z[i]))


cdef inline floating gelu_tanh_share(floating z) noexcept nogil:
    """(1 + tanh(u)) / 2 with u = sqrt(2/pi) (z + 0.044715 z^3).

    Computed as sigmoid(2 u), without the cancellation at tanh = -1.
    """
    return logistic(<floating>1.5957691216057308 * (z + <floating>0.044715 * z * z * z))


cdef inline void gelu_tanh(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a/2 (1 + tanh(sqrt(2/pi) (a + 0.044715 a^3)))."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] * gelu_tanh_share(a[i])


cdef inline void gelu_tanh_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta (s + z s (1 - s) 2 sqrt(2/pi) (1 + 3 * 0.044715 z^2)).

    s = gelu_tanh_share(z).
    """
    cdef floating s
    cdef Py_ssize_t i
    for i in range(size):
        s = gelu_tanh_share(z[i])
        delta[i] = delta[i] * (s + z[i] * s * (<floating>1 - s) * <floating>1.5957691216057308
                               * (<floating>1 + <floating>0.134145 * z[i] * z[i]))


cdef inline void silu(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a sigmoid(a)."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] * logistic(a[i])


cdef inline void silu_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta s (1 + z (1 - s)), s = sigmoid(z)."""
    cdef floating s, slope
    cdef Py_ssize_t i
    for i in range(size):
        s = logistic(z[i])
        slope = z[i] * (<floating>1 - s)
        delta[i] = delta[i] * (s * (<floating>1 + slope))


cdef inline void softplus(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- log(1 + exp(a))."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = soft(a[i])


cdef inline void softplus_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta sigmoid(z)."""
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = delta[i] * logistic(z[i])


cdef inline void softsign(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a / (1 + |a|)."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] / (<floating>1 + fabs(a[i]))


cdef inline void softsign_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta / (1 + |z|)^2."""
    cdef floating w
    cdef Py_ssize_t i
    for i in range(size):
        w = <floating>1 + fabs(z[i])
        delta[i] = delta[i] / (w * w)


cdef inline void mish(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a tanh(log(1 + exp(a))) (Misra 2019)."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] * tanh(soft(a[i]))


cdef inline void mish_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta (t + z (1 - t^2) sigmoid(z)), t = tanh(softplus(z))."""
    cdef floating t
    cdef Py_ssize_t i
    for i in range(size):
        t = tanh(soft(z[i]))
        delta[i] = delta[i] * multiply_add(z[i] * multiply_add(-t, t, <floating>1), logistic(z[i]), t)


cdef inline void hard_sigmoid(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- min(max(a/6 + 1/2, 0), 1)."""
    cdef floating line
    cdef Py_ssize_t i
    for i in range(size):
        line = a[i] * <floating>(1 / 6.) + <floating>0.5
        line = 0 if line <= 0 else line
        a[i] = 1 if line >= 1 else line


cdef inline void hard_sigmoid_gradient(const floating* a, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta / 6 where 0 < a < 1, else 0."""
    cdef floating inside
    cdef Py_ssize_t i
    for i in range(size):
        inside = delta[i] * <floating>(1 / 6.)
        inside = 0 if a[i] <= 0 else inside
        delta[i] = 0 if a[i] >= 1 else inside


cdef inline void exponential(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- exp(a)."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = exp(a[i])


cdef inline void exponential_gradient(const floating* a, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- delta a."""
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = delta[i] * a[i]


cdef inline void activate(int kind, floating* a, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t n,
                          Py_ssize_t width) noexcept nogil:
    """a <- f(a) for `rows` rows of n elements, padded to `width`, `row` apart; LINEAR keeps a."""
    cdef Py_ssize_t size = rows * row
    if kind == RELU:
        relu(a, size)
    elif kind == SOFTMAX:
        softmax(a, row, rows, n, width)
    elif kind == SIGMOID:
        sigmoid(a, size)
    elif kind == TANH:
        tanh_(a, size)
    elif kind == LEAKY_RELU:
        leaky_relu(a, size)
    elif kind == ELU:
        scaled_elu(a, size, <floating>1, <floating>1)
    elif kind == SELU:      # the fixed point of Klambauer et al. 2017
        scaled_elu(a, size, <floating>1.0507009873554805, <floating>1.6732632423543772)
    elif kind == GELU:
        gelu(a, size)
    elif kind == GELU_TANH:
        gelu_tanh(a, size)
    elif kind == SILU:
        silu(a, size)
    elif kind == SOFTPLUS:
        softplus(a, size)
    elif kind == SOFTSIGN:
        softsign(a, size)
    elif kind == MISH:
        mish(a, size)
    elif kind == HARD_SIGMOID:
        hard_sigmoid(a, size)
    elif kind == EXPONENTIAL:
        exponential(a, size)


cdef inline void activation_gradient(int kind, const floating* z, const floating* a, floating* delta, Py_ssize_t row,
                                     Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """delta <- delta f'(z), a = f(z), in the layout of `activate`."""
    cdef Py_ssize_t size = rows * row
    if kind == RELU:
        relu_gradient(a, delta, size)
    elif kind == SOFTMAX:
        softmax_gradient(a, delta, row, rows, n)
    elif kind == SIGMOID:
        sigmoid_gradient(a, delta, size)
    elif kind == TANH:
        tanh_gradient(a, delta, size)
    elif kind == LEAKY_RELU:
        leaky_relu_gradient(a, delta, size)
    elif kind == ELU:
        scaled_elu_gradient(a, delta, size, <floating>1, <floating>1)
    elif kind == SELU:
        scaled_elu_gradient(a, delta, size, <floating>1.0507009873554805, <floating>1.6732632423543772)
    elif kind == GELU:
        gelu_gradient(z, delta, size)
    elif kind == GELU_TANH:
        gelu_tanh_gradient(z, delta, size)
    elif kind == SILU:
        silu_gradient(z, delta, size)
    elif kind == SOFTPLUS:
        softplus_gradient(z, delta, size)
    elif kind == SOFTSIGN:
        softsign_gradient(z, delta, size)
    elif kind == MISH:
        mish_gradient(z, delta, size)
    elif kind == HARD_SIGMOID:
        hard_sigmoid_gradient(a, delta, size)
    elif kind == EXPONENTIAL:
        exponential_gradient(a, delta, size)
