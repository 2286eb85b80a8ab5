# cython: cdivision=True
"""The struct of a layer, and the kernels of layers without a matrix product.

These are dropout, noise, rescaling, PReLU and the normalizations.  Three functions choose the
kernel of a kind; they work on whole rows:

    layer_forward     x -> out = f(x), and normalized where the gradient needs it
    layer_gradient    delta = d loss / d f(x) -> out = d loss / d x
    layer_sums        delta -> the gradient of the layer's weights: gamma and beta, or alpha

Batch normalization in training is the exception: its sums run over the rows, so each thread takes a
span of columns of all rows (`normalize_columns`), between two barriers of the team.

x, out, normalized and delta are blocks of the workspace: rows of n elements, which lie `row`,
`x_row` or `out_row` elements apart.

The lines that a new one needs are in CONTRIBUTING.md, "A new kind".
"""
from cython cimport floating
from libc.math cimport sqrt as sqrt64
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from nnfast._core.mathf cimport dot_wide, log1p, sqrt, sum_wide

cdef enum Kind:
    DENSE
    ACTIVATION
    DROPOUT
    NOISE
    SCALE
    PRELU
    LAYER_NORM
    BATCH_NORM

cdef enum:
    COLUMNS = 16          # columns that are summed together


cdef inline dict layer_codes():
    """Kinds by the names that `Network` takes; DENSE and ACTIVATION have none."""
    return {"dropout": DROPOUT, "noise": NOISE, "scale": SCALE, "prelu": PRELU, "layer_norm": LAYER_NORM,
            "batch_norm": BATCH_NORM}


cdef struct Layer:
    int kind
    int activation
    Py_ssize_t n_in
    Py_ssize_t n_out
    Py_ssize_t k                # rows of [W; b]: n_in, plus 1 with a bias; 0 without weights
    Py_ssize_t of_kernel        # rows of W in it: n_in, or 1 or 0 for a gamma or alpha
    Py_ssize_t width            # n_out in whole registers
    Py_ssize_t stride           # elements from one row of z, a and delta to the next
    Py_ssize_t kernel           # offset of [W; b] in params, grads and each slot
    Py_ssize_t columns          # offset of the columns of [W; b] in packed, or -1: no dot products
    Py_ssize_t panels           # offset of the panels of [W; b] in packed, or -1: read W itself
    Py_ssize_t transposed       # panels of W^T in packed, or -1: first layer, or by dot products
    Py_ssize_t block            # rows of [W; b] whose gradient is computed together
    Py_ssize_t block_size       # elements of their gradient, padded
    Py_ssize_t copied_size      # elements of a copy of their columns of x; 0 if none is made
    Py_ssize_t gradient_row     # elements from one row of this gradient to the next
    # offsets of blocks in the workspace, in elements for each row of its capacity (`plan.at`)
    Py_ssize_t input            # x: rows of the data, or a of the layer before
    Py_ssize_t input_stride     # not an offset: elements from one row of x to the next
    Py_ssize_t z
    Py_ssize_t a
    Py_ssize_t normalized       # (x - mean) / deviation of a normalization
    Py_ssize_t delta
    # options
    double dropout_rate
    double deviation            # of the noise
    double momentum             # of the moving mean and variance of a batch normalization
    double epsilon
    Py_ssize_t state            # offset of its vectors in `state`
    Py_ssize_t moments          # offset of the sums of this batch in `moments`
    double l1                   # of the penalty on W: l1 |W| + l2 W^2
    double l2
    double bias_l1
    double bias_l2
    double output_l1            # of the penalty on the outputs, divided by the rows of the batch
    double output_l2
    Py_ssize_t penalty          # offset of its groups of rows in `Penalties.values`
    int constraint[2]           # of W and of b
    double bound[2]
    int rate_index              # index of its learning rate
    bint frozen                 # its learning rate multiplier is 0: nothing moves its weights


cdef inline bint has_own_kernel(int kind) noexcept nogil:
    """Whether the kernel of a layer is in this file: neither a product nor an activation alone."""
    return kind != DENSE and kind != ACTIVATION


cdef inline bint is_random(int kind) noexcept nogil:
    """Whether a layer draws random elements in training."""
    return kind == DROPOUT or kind == NOISE


cdef inline bint keeps_normalized(int kind) noexcept nogil:
    """Whether the gradient of a layer needs its normalized elements."""
    return kind == LAYER_NORM or kind == BATCH_NORM


cdef inline int n_states(int kind) noexcept nogil:
    """Number of vectors that a layer keeps in `state`, where no optimizer changes them.

    BATCH_NORM: moving mean, moving variance.  SCALE: shift, factor, offset.
    """
    return 2 if kind == BATCH_NORM else 3 if kind == SCALE else 0


cdef inline int describe(Layer* layer, int kind, list options) except -1:
    """Sets kind, options and the number of rows of weights of a layer without a product.

    The weights are gamma and beta, or alpha.
    """
    layer.kind = kind
    if kind == DROPOUT:
        layer.dropout_rate = options[0]
    elif kind == NOISE:
        layer.deviation = options[0]
    elif kind == PRELU:
        layer.k = layer.of_kernel = 1
    elif kind == LAYER_NORM or kind == BATCH_NORM:
        layer.epsilon, center, layer.of_kernel = options[:3]
        layer.k = layer.of_kernel + bool(center)
        if kind == BATCH_NORM:
            layer.momentum = options[3]
    return 0


# -- random elements -------------------------------------------------------------------------------
# Counter-based: element i of a row is a function of i and the row's key, so a mask does not depend
# on the thread that makes it.

cdef inline uint64_t row_key(uint64_t seed, Py_ssize_t row, int layer) noexcept nogil:
    """64 bits for a row of a layer: splitmix64 (Steele, Lea and Flood 2014)."""
    cdef uint64_t x = seed + ((<uint64_t>row << 16) + <uint64_t>layer + 1) * <uint64_t>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint32_t random_bits(uint64_t key, Py_ssize_t i) noexcept nogil:
    """32 bits: the hash lowbias32 (Wellons 2018) of i + half of the key.

    The other half of the key is mixed in between its two rounds.  It takes two 32-bit
    multiplications per element, Philox forty: dropout must be cheap.
    """
    cdef uint32_t x = <uint32_t>i + <uint32_t>key
    x = (x ^ (x >> 16)) * <uint32_t>0x7FEB352D
    x = (x ^ (x >> 15) ^ <uint32_t>(key >> 32)) * <uint32_t>0x846CA68B
    return x ^ (x >> 16)


cdef inline void dropout(const floating* x, floating* out, Py_ssize_t n, double rate, uint64_t key) noexcept nogil:
    """out <- x / (1 - rate) where the element's bits are at least rate, else 0.

    Srivastava et al. 2014, inverted.  The gradient is the same function of delta.
    """
    cdef uint32_t threshold = <uint32_t>(rate * 4294967296.)
    cdef floating scale = 1 / (1 - rate), kept
    cdef Py_ssize_t i
    for i in range(n):
        kept = x[i] * scale
        out[i] = kept if random_bits(key, i) >= threshold else <floating>0


cdef inline float normal(uint32_t bits) noexcept nogil:
    """A standard normal number: sqrt(2) erfinv(u), with u uniform in (-1, 1) from 24 of the bits.

    erfinv is computed with the two polynomials of Giles (2010) for single precision.
    """
    cdef float u = <float>(<int>(bits >> 8)) * <float>(1 / 8388608.) + <float>(1 / 16777216. - 1)
    cdef float w = -log1p(-u * u), centre, tail
    cdef float v = w - <float>2.5
    centre = <float>2.81022636e-08
    centre = <float>3.43273939e-07 + centre * v
    centre = <float>-3.5233877e-06 + centre * v
    centre = <float>-4.39150654e-06 + centre * v
    centre = <float>0.00021858087 + centre * v
    centre = <float>-0.00125372503 + centre * v
    centre = <float>-0.00417768164 + centre * v
    centre = <float>0.246640727 + centre * v
    centre = <float>1.50140941 + centre * v
    v = sqrt(w) - <float>3
    tail = <float>-0.000200214257
    tail = <float>0.000100950558 + tail * v
    tail = <float>0.00134934322 + tail * v
    tail = <float>-0.00367342844 + tail * v
    tail = <float>0.00573950773 + tail * v
    tail = <float>-0.0076224613 + tail * v
    tail = <float>0.00943887047 + tail * v
    tail = <float>1.00167406 + tail * v
    tail = <float>2.83297682 + tail * v
    return <float>1.4142135623730951 * u * (centre if w < <float>5 else tail)


cdef inline void add_noise(const floating* x, floating* out, Py_ssize_t n, double deviation,
                           uint64_t key) noexcept nogil:
    """out <- x + deviation N(0, 1)."""
    cdef floating size = deviation
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] + size * <floating>normal(random_bits(key, i))


# -- elementwise -----------------------------------------------------------------------------------

cdef inline void scale(const floating* x, floating* out, Py_ssize_t n, const floating* shift, const floating* factor,
                       const floating* offset) noexcept nogil:
    """out <- (x - shift) factor + offset; shift, factor and offset have an element per column."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = (x[i] - shift[i]) * factor[i] + offset[i]


cdef inline void prelu(const floating* x, floating* out, Py_ssize_t n, const floating* alpha) noexcept nogil:
    """out <- x if x > 0 else alpha x (He et al. 2015)."""
    cdef floating below
    cdef Py_ssize_t i
    for i in range(n):
        below = x[i] * alpha[i]
        out[i] = x[i] if x[i] > 0 else below


cdef inline void prelu_gradient(const floating* x, const floating* delta, floating* out, Py_ssize_t n,
                                const floating* alpha) noexcept nogil:
    """out <- delta (1 if x > 0 else alpha)."""
    cdef floating below
    cdef Py_ssize_t i
    for i in range(n):
        below = delta[i] * alpha[i]
        out[i] = delta[i] if x[i] > 0 else below


cdef inline void prelu_sums(const floating* x, Py_ssize_t x_row, const floating* delta, Py_ssize_t row, Py_ssize_t rows,
                            Py_ssize_t n, floating* sums) noexcept nogil:
    """sums <- delta min(x, 0) over the rows: the gradient of alpha."""
    cdef double total[COLUMNS]
    cdef floating below
    cdef Py_ssize_t c = 0, r, i
    while c < n:
        for i in range(COLUMNS):
            total[i] = 0
        for r in range(rows):
            for i in range(COLUMNS):
                below = 0 if x[r * x_row + c + i] > 0 else x[r * x_row + c + i]
                total[i] += <double>below * <double>delta[r * row + c + i]
        for i in range(min(<Py_ssize_t>COLUMNS, n - c)):
            sums[c + i] = total[i]
        c += COLUMNS


# -- normalizations --------------------------------------------------------------------------------

cdef inline void affine(const floating* normalized, floating* out, Py_ssize_t n, const floating* gamma,
                        const floating* beta) noexcept nogil:
    """out <- gamma normalized + beta; NULL stands for gamma = 1 or beta = 0."""
    cdef Py_ssize_t i
    if gamma != NULL and beta != NULL:
        for i in range(n):
            out[i] = normalized[i] * gamma[i] + beta[i]
    elif gamma != NULL:
        for i in range(n):
            out[i] = normalized[i] * gamma[i]
    elif beta != NULL:
        for i in range(n):
            out[i] = normalized[i] + beta[i]
    else:
        for i in range(n):
            out[i] = normalized[i]


cdef inline void normalize_row(const floating* x, floating* normalized, Py_ssize_t n, double epsilon) noexcept nogil:
    """normalized <- (x - mean) / sqrt(variance + epsilon) over a row (Ba, Kiros and Hinton 2016).

    normalized[n] <- 1 / sqrt(variance + epsilon), for the gradient.
    """
    cdef floating mean = sum_wide(x, n) / n, inverse
    cdef Py_ssize_t i
    for i in range(n):
        normalized[i] = x[i] - mean
    inverse = 1 / sqrt64(dot_wide(normalized, normalized, n) / n + epsilon)
    for i in range(n):
        normalized[i] = normalized[i] * inverse
    normalized[n] = inverse


cdef inline void normalize_row_gradient(const floating* normalized, const floating* delta, floating* out, Py_ssize_t n,
                                        const floating* gamma) noexcept nogil:
    """out <- (g - mean(g) - normalized mean(g normalized)) / sqrt(variance + epsilon).

    g = delta gamma.
    """
    cdef floating mean, slope, inverse = normalized[n]
    cdef Py_ssize_t i
    affine(delta, out, n, gamma, NULL)
    mean = sum_wide(out, n) / n
    slope = dot_wide(out, normalized, n) / n
    for i in range(n):
        out[i] = (out[i] - mean - normalized[i] * slope) * inverse


cdef inline void column_sums(const floating* x, Py_ssize_t x_row, const floating* y, Py_ssize_t y_row,
                             const floating* means, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last, double factor,
                             floating* sums) noexcept nogil:
    """sums <- factor times the sum over the rows, for each of the columns first..last.

    The sum is over x; over x y if y is not NULL; over (x - mean)^2 if means is not NULL.
    """
    cdef double total[COLUMNS]
    cdef double value
    cdef Py_ssize_t c = first, r, i
    while c < last:
        for i in range(COLUMNS):
            total[i] = 0
        for r in range(rows):
            if means != NULL:
                for i in range(COLUMNS):
                    value = <double>x[r * x_row + c + i] - <double>means[c + i]
                    total[i] += value * value
            elif y != NULL:
                for i in range(COLUMNS):
                    total[i] += <double>x[r * x_row + c + i] * <double>y[r * y_row + c + i]
            else:
                for i in range(COLUMNS):
                    total[i] += <double>x[r * x_row + c + i]
        for i in range(min(<Py_ssize_t>COLUMNS, last - c)):
            sums[c + i] = total[i] * factor
        c += COLUMNS


cdef inline void normalize_columns(const floating* x, Py_ssize_t x_row, Py_ssize_t rows, Py_ssize_t first,
                                   Py_ssize_t last, floating* normalized, floating* out, Py_ssize_t row,
                                   const floating* gamma, const floating* beta, double epsilon, floating* mean,
                                   floating* variance) noexcept nogil:
    """normalized <- (x - mean) / sqrt(variance + epsilon), out <- gamma normalized + beta.

    For columns of a batch (Ioffe and Szegedy 2015).
    """
    cdef floating inverse[COLUMNS]
    cdef Py_ssize_t c = first, r, i, count
    column_sums(x, x_row, <const floating*>NULL, 0, <const floating*>NULL, rows, first, last, 1. / rows, mean)
    column_sums(x, x_row, <const floating*>NULL, 0, mean, rows, first, last, 1. / rows, variance)
    while c < last:
        count = min(<Py_ssize_t>COLUMNS, last - c)
        for i in range(count):
            inverse[i] = 1 / sqrt64(<double>variance[c + i] + epsilon)
        for r in range(rows):
            for i in range(count):
                normalized[r * row + c + i] = (x[r * x_row + c + i] - mean[c + i]) * inverse[i]
        c += COLUMNS
    for r in range(rows):
        affine(normalized + r * row + first, out + r * row + first, last - first,
               gamma + first if gamma != NULL else NULL, beta + first if beta != NULL else NULL)


cdef inline void normalize_columns_gradient(const floating* normalized, const floating* delta, Py_ssize_t row,
                                            Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last, floating* out,
                                            Py_ssize_t out_row, const floating* gamma, double epsilon,
                                            const floating* variance, floating* mean, floating* slope) noexcept nogil:
    """out <- gamma (delta - mean(delta) - normalized mean(delta normalized)) / sqrt(var + epsilon).

    Also writes the two means.
    """
    cdef floating factor[COLUMNS]
    cdef Py_ssize_t c = first, r, i, count
    column_sums(delta, row, <const floating*>NULL, 0, <const floating*>NULL, rows, first, last, 1. / rows, mean)
    column_sums(delta, row, normalized, row, <const floating*>NULL, rows, first, last, 1. / rows, slope)
    while c < last:
        count = min(<Py_ssize_t>COLUMNS, last - c)
        for i in range(count):
            factor[i] = 1 / sqrt64(<double>variance[c + i] + epsilon)
            if gamma != NULL:
                factor[i] = factor[i] * gamma[c + i]
        for r in range(rows):
            for i in range(count):
                out[r * out_row + c + i] = (delta[r * row + c + i] - mean[c + i]
                                            - normalized[r * row + c + i] * slope[c + i]) * factor[i]
        c += COLUMNS


cdef inline void normalize_by_moments(const floating* x, Py_ssize_t x_row, floating* out, Py_ssize_t out_row,
                                      Py_ssize_t rows, Py_ssize_t n, const floating* gamma, const floating* beta,
                                      double epsilon, const floating* mean, const floating* variance) noexcept nogil:
    """out <- gamma (x - mean) / sqrt(variance + epsilon) + beta, with the moving mean and variance.

    Batch normalization at inference.
    """
    cdef floating factor[COLUMNS]
    cdef floating offset[COLUMNS]
    cdef Py_ssize_t c = 0, r, i, count
    while c < n:
        count = min(<Py_ssize_t>COLUMNS, n - c)
        for i in range(count):
            factor[i] = 1 / sqrt64(<double>variance[c + i] + epsilon)
            if gamma != NULL:
                factor[i] = factor[i] * gamma[c + i]
            offset[i] = beta[c + i] if beta != NULL else <floating>0
        for r in range(rows):
            scale(x + r * x_row + c, out + r * out_row + c, count, mean + c, factor, offset)
        c += COLUMNS


# -- the choice of a kernel ------------------------------------------------------------------------

cdef inline void layer_forward(const Layer* layer, const floating* x, floating* out, floating* normalized,
                               Py_ssize_t rows, const floating* gamma, const floating* beta, const floating* state,
                               bint training, uint64_t seed, Py_ssize_t place, int index) noexcept nogil:
    """out <- the outputs of `rows` rows, the first of which is at `place` in the order of training.

    In training, `normalize_columns` computes BATCH_NORM instead.
    """
    cdef Py_ssize_t n = layer.n_out, x_row = layer.input_stride, row = layer.stride, r
    if layer.kind == BATCH_NORM:
        if not training:
            normalize_by_moments(x, x_row, out, row, rows, n, gamma, beta, layer.epsilon, state, state + n)
    elif layer.kind == DROPOUT and training:
        for r in range(rows):
            dropout(x + r * x_row, out + r * row, n, layer.dropout_rate, row_key(seed, place + r, index))
    elif layer.kind == NOISE and training:
        for r in range(rows):
            add_noise(x + r * x_row, out + r * row, n, layer.deviation, row_key(seed, place + r, index))
    elif layer.kind == SCALE:
        for r in range(rows):
            scale(x + r * x_row, out + r * row, n, state, state + n, state + 2 * n)
    elif layer.kind == PRELU:
        for r in range(rows):
            prelu(x + r * x_row, out + r * row, n, gamma)
    elif layer.kind == LAYER_NORM:
        for r in range(rows):
            normalize_row(x + r * x_row, normalized + r * row, n, layer.epsilon)
            affine(normalized + r * row, out + r * row, n, gamma, beta)
    else:
        for r in range(rows):
            memcpy(out + r * row, x + r * x_row, n * sizeof(floating))


cdef inline void layer_gradient(const Layer* layer, const floating* x, const floating* normalized,
                                const floating* delta, floating* out, Py_ssize_t rows, const floating* gamma,
                                const floating* state, uint64_t seed, Py_ssize_t place, int index) noexcept nogil:
    """out <- the gradient at the inputs of `rows` rows.

    For BATCH_NORM, `normalize_columns_gradient` computes it instead.
    """
    cdef Py_ssize_t n = layer.n_out, x_row = layer.input_stride, row = layer.stride, r, i
    if layer.kind == BATCH_NORM:
        return
    for r in range(rows):
        if layer.kind == DROPOUT:
            dropout(delta, out, n, layer.dropout_rate, row_key(seed, place + r, index))
        elif layer.kind == SCALE:
            for i in range(n):
                out[i] = delta[i] * state[n + i]
        elif layer.kind == PRELU:
            prelu_gradient(x, delta, out, n, gamma)
        elif layer.kind == LAYER_NORM:
            normalize_row_gradient(normalized, delta, out, n, gamma)
        else:
            memcpy(out, delta, n * sizeof(floating))
        x += x_row
        normalized += row
        delta += row
        out += row


cdef inline void layer_sums(const Layer* layer, const floating* x, const floating* normalized, const floating* delta,
                            Py_ssize_t rows, floating* gradient) noexcept nogil:
    """gradient <- the gradient of gamma and beta, or of alpha, summed over the rows."""
    cdef Py_ssize_t n = layer.n_out, row = layer.stride
    if layer.kind == PRELU:
        prelu_sums(x, layer.input_stride, delta, row, rows, n, gradient)
        return
    if layer.of_kernel > 0:
        column_sums(delta, row, normalized, row, <const floating*>NULL, rows, 0, n, 1, gradient)
    if layer.k > layer.of_kernel:
        column_sums(delta, row, <const floating*>NULL, 0, <const floating*>NULL, rows, 0, n, 1,
                    gradient + layer.of_kernel * n)
