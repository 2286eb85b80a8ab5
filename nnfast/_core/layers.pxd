# cython: cdivision=True
"""Layers without a product: their forward pass, and what it makes of a gradient.

x, out and delta are blocks of the workspace: rows of n numbers, so far apart as their `_row` says.  Layers work on whole
rows, but for batch normalisation, whose sums run over the rows: it takes a span of columns of all of them.

To add one: its kernels here, a name in `Kind`, its sizes in `Network`, a line in `forward_layer`, `backward_layer` and,
with weights, in `update_rows` (network.pyx), a description in nnfast/layers.py, and its NumPy formula in tests/reference.py.
"""
from cython cimport floating
from libc.math cimport sqrt as sqrt64
from libc.stdint cimport uint32_t, uint64_t
from nnfast._core.mathf cimport log1p, sqrt, sum_wide, dot_wide

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
    COLUMNS = 16          # columns whose sums are made together


# -- random numbers ------------------------------------------------------------------------------------------------------
# Counter-based, so that a mask does not depend on who makes it: number i of a row is a function of i and the row's key.

cdef inline uint64_t row_key(uint64_t seed, Py_ssize_t row, int layer) noexcept nogil:
    """64 bits for a row of a layer: splitmix64 (Steele, Lea and Flood 2014) of a counter of both."""
    cdef uint64_t x = seed + ((<uint64_t>row << 16) + <uint64_t>layer + 1) * <uint64_t>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint32_t random_bits(uint64_t key, Py_ssize_t i) noexcept nogil:
    """32 bits: the hash lowbias32 (Wellons 2018) of i + half of the key, the other half between its two rounds.

    Two 32-bit multiplications a number, where Philox takes forty: dropout has to cost less than what it drops.
    """
    cdef uint32_t x = <uint32_t>i + <uint32_t>key
    x = (x ^ (x >> 16)) * <uint32_t>0x7FEB352D
    x = (x ^ (x >> 15) ^ <uint32_t>(key >> 32)) * <uint32_t>0x846CA68B
    return x ^ (x >> 16)


cdef inline void dropout(const floating* x, floating* out, Py_ssize_t n, double rate, uint64_t key) noexcept nogil:
    """out <- x / (1 - rate) where the bits of a number are at least rate, else 0 (Srivastava et al. 2014, inverted).

    Its own gradient: the same on delta.
    """
    cdef uint32_t threshold = <uint32_t>(rate * 4294967296.)
    cdef floating scale = 1 / (1 - rate), kept
    cdef Py_ssize_t i
    for i in range(n):
        kept = x[i] * scale
        out[i] = kept if random_bits(key, i) >= threshold else <floating>0


cdef inline float normal(uint32_t bits) noexcept nogil:
    """The normal quantile of a uniform number of 24 bits: sqrt(2) erfinv, in the series of Giles (2010), single precision."""
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


cdef inline void add_noise(const floating* x, floating* out, Py_ssize_t n, double deviation, uint64_t key) noexcept nogil:
    """out <- x + deviation N(0, 1)."""
    cdef floating size = deviation
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] + size * <floating>normal(random_bits(key, i))


# -- by numbers ----------------------------------------------------------------------------------------------------------

cdef inline void scale(const floating* x, floating* out, Py_ssize_t n, const floating* shift, const floating* factor,
                       const floating* offset) noexcept nogil:
    """out <- (x - shift) factor + offset, a number of each for each column."""
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


cdef inline void prelu_gradient(const floating* x, const floating* delta, floating* out, Py_ssize_t n, const floating* alpha) noexcept nogil:
    """out <- delta (1 if x > 0 else alpha)."""
    cdef floating below
    cdef Py_ssize_t i
    for i in range(n):
        below = delta[i] * alpha[i]
        out[i] = delta[i] if x[i] > 0 else below


cdef inline void prelu_sums(const floating* x, Py_ssize_t x_row, const floating* delta, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t n,
                            floating* sums) noexcept nogil:
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


# -- normalisations ------------------------------------------------------------------------------------------------------

cdef inline void affine(const floating* hat, floating* out, Py_ssize_t n, const floating* gamma, const floating* beta) noexcept nogil:
    """out <- gamma hat + beta; what is NULL is 1 or 0."""
    cdef Py_ssize_t i
    if gamma != NULL and beta != NULL:
        for i in range(n):
            out[i] = hat[i] * gamma[i] + beta[i]
    elif gamma != NULL:
        for i in range(n):
            out[i] = hat[i] * gamma[i]
    elif beta != NULL:
        for i in range(n):
            out[i] = hat[i] + beta[i]
    else:
        for i in range(n):
            out[i] = hat[i]


cdef inline void normalize_row(const floating* x, floating* hat, Py_ssize_t n, double epsilon) noexcept nogil:
    """hat <- (x - mean) / sqrt(variance + epsilon) over a row; behind it 1 / sqrt (Ba, Kiros and Hinton 2016)."""
    cdef floating mean = sum_wide(x, n) / n, inverse
    cdef Py_ssize_t i
    for i in range(n):
        hat[i] = x[i] - mean
    inverse = 1 / sqrt64(dot_wide(hat, hat, n) / n + epsilon)
    for i in range(n):
        hat[i] = hat[i] * inverse
    hat[n] = inverse


cdef inline void normalize_row_gradient(const floating* hat, const floating* delta, floating* out, Py_ssize_t n,
                                        const floating* gamma) noexcept nogil:
    """out <- (g - mean(g) - hat mean(g hat)) / sqrt, g = delta gamma."""
    cdef floating mean, slope, inverse = hat[n]
    cdef Py_ssize_t i
    affine(delta, out, n, gamma, NULL)
    mean = sum_wide(out, n) / n
    slope = dot_wide(out, hat, n) / n
    for i in range(n):
        out[i] = (out[i] - mean - hat[i] * slope) * inverse


cdef inline void column_sums(const floating* x, Py_ssize_t x_row, const floating* y, Py_ssize_t y_row, const floating* means,
                             Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last, double factor, floating* sums) noexcept nogil:
    """factor times the sums of x, or of x y, or with `means` of (x - mean)^2, over the rows: for columns first..last."""
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


cdef inline void normalize_columns(const floating* x, Py_ssize_t x_row, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last,
                                   floating* hat, floating* out, Py_ssize_t row, const floating* gamma, const floating* beta,
                                   double epsilon, floating* mean, floating* variance) noexcept nogil:
    """hat <- (x - mean) / sqrt(variance + epsilon), out <- gamma hat + beta, for columns of a batch (Ioffe and Szegedy 2015)."""
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
                hat[r * row + c + i] = (x[r * x_row + c + i] - mean[c + i]) * inverse[i]
        c += COLUMNS
    for r in range(rows):
        affine(hat + r * row + first, out + r * row + first, last - first, gamma + first if gamma != NULL else NULL,
               beta + first if beta != NULL else NULL)


cdef inline void normalize_columns_gradient(const floating* hat, const floating* delta, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t first,
                                            Py_ssize_t last, floating* out, Py_ssize_t out_row, const floating* gamma, double epsilon,
                                            const floating* variance, floating* mean, floating* slope) noexcept nogil:
    """out <- gamma (delta - mean(delta) - hat mean(delta hat)) / sqrt(variance + epsilon); the two means are written too."""
    cdef floating factor[COLUMNS]
    cdef Py_ssize_t c = first, r, i, count
    column_sums(delta, row, <const floating*>NULL, 0, <const floating*>NULL, rows, first, last, 1. / rows, mean)
    column_sums(delta, row, hat, row, <const floating*>NULL, rows, first, last, 1. / rows, slope)
    while c < last:
        count = min(<Py_ssize_t>COLUMNS, last - c)
        for i in range(count):
            factor[i] = 1 / sqrt64(<double>variance[c + i] + epsilon)
            if gamma != NULL:
                factor[i] = factor[i] * gamma[c + i]
        for r in range(rows):
            for i in range(count):
                out[r * out_row + c + i] = (delta[r * row + c + i] - mean[c + i] - hat[r * row + c + i] * slope[c + i]) * factor[i]
        c += COLUMNS


cdef inline void normalize_by_moments(const floating* x, Py_ssize_t x_row, floating* out, Py_ssize_t out_row, Py_ssize_t rows, Py_ssize_t n,
                                      const floating* gamma, const floating* beta, double epsilon,
                                      const floating* mean, const floating* variance) noexcept nogil:
    """out <- gamma (x - mean) / sqrt(variance + epsilon) + beta with means and variances of before: batch normalisation in use."""
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
