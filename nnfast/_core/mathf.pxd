# cython: cdivision=True
"""exp, expm1, log, log1p, tanh and others for float and double, without branches; sums of rows.

A loop over one of these functions becomes a loop over SIMD registers, because selects replace
branches, and integer operations on the bits of a number replace conversions.  Rejected: the C
library's functions, which take a call for each element; their vector versions need -ffast-math and
a recent glibc.

Results are within 3 units in the last place (tests/test_mathf.py); NaN gives NaN.

    exp    x = n ln(2) + r with |r| <= ln(2)/2; exp(x) = 2^n exp(r); exp(r) = sum r^i / i!
    log    x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]; log(x) = e ln(2) + log(1 + f)

A series ends with the last term above half a unit in the last place.  Its terms are added in pairs
(Estrin), because in a chain of multiply-adds each waits for the one before.  ln(2) is the sum of a
high part, whose trailing bits are zero so that n times it is exact, and a low part (Cody and Waite
1980; the constants are those of Cephes and fdlibm):

    float     0.693359375                  -2.12194440054690583e-4
    double    6.93147180369123816490e-01    1.90821492927058770002e-10

Adding 1.5 * 2^(bits of the fraction) rounds a number to an integer, which the low bits then hold:
12582912 = 1.5 * 2^23 for float, 6755399441055744 = 1.5 * 2^52 for double.

Constants are cast to `floating`.  A bare 1 is a double in C: the whole expression would be computed
in double, with half the lanes (tests/test_hygiene.py).
"""
from cython cimport floating
from libc.stdint cimport uint32_t, uint64_t
from libc.math cimport (
    INFINITY, NAN, copysign as copysign64, copysignf as copysign32, erf as erf64, erff as erf32, fabs as fabs64,
    fabsf as fabs32, sqrt as sqrt64, sqrtf as sqrt32)

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
      #define nn_fma32 __builtin_fmaf
      #define nn_fma64 __builtin_fma
    #else
      #define nn_fma32(a, b, c) ((a) * (b) + (c))
      #define nn_fma64(a, b, c) ((a) * (b) + (c))
    #endif
    static inline uint32_t nn_bits32(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
    static inline uint64_t nn_bits64(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
    static inline float nn_float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
    static inline double nn_double(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
    """
    float fma32 "nn_fma32"(float a, float b, float c) noexcept nogil
    double fma64 "nn_fma64"(double a, double b, double c) noexcept nogil
    uint32_t bits32 "nn_bits32"(float x) noexcept nogil
    uint64_t bits64 "nn_bits64"(double x) noexcept nogil
    float from_bits32 "nn_float"(uint32_t u) noexcept nogil
    double from_bits64 "nn_double"(uint64_t u) noexcept nogil


cdef inline floating multiply_add(floating a, floating b, floating c) noexcept nogil:
    """a b + c, rounded once where the CPU level has a fused multiply-add.

    Use it for sums of two products: in `a * b + c * d` the compiler chooses which product it fuses,
    and may choose the other one at another level.  Use it for running sums of products, too: GCC
    fuses only those that do not fill a register.  Write -(a b + c) as multiply_add(-a, b, -c): GCC
    changes it into that anyway, and the sign of a zero differs.
    """
    if floating is float:
        return fma32(a, b, c)
    else:
        return fma64(a, b, c)


cdef inline floating sqrt(floating x) noexcept nogil:
    if floating is float:
        return sqrt32(x)
    else:
        return sqrt64(x)


cdef inline floating fabs(floating x) noexcept nogil:
    if floating is float:
        return fabs32(x)
    else:
        return fabs64(x)


cdef inline floating copysign(floating size, floating sign) noexcept nogil:
    if floating is float:
        return copysign32(size, sign)
    else:
        return copysign64(size, sign)


cdef inline floating erf(floating x) noexcept nogil:
    """The C library's erf: within a unit in the last place, one call for each element."""
    if floating is float:
        return erf32(x)
    else:
        return erf64(x)


cdef inline floating half_power_of_two(floating shifted) noexcept nogil:
    """2^(n - 1) from shifted = n + 1.5 * 2^(bits of the fraction).

    The exponent bits become n - 1 + bias, with the bias 127 of float and 1023 of double.  They are
    0, and so is the result, for the least n that callers pass: -126 for float and -1022 for double.
    """
    if floating is float:
        return from_bits32((bits32(shifted) + 126) << 23)
    else:
        return from_bits64((bits64(shifted) + 1022) << 52)


cdef inline floating exp_series(floating r) noexcept nogil:
    """(exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2: sum r^i / (i + 2)!"""
    cdef floating r2 = r * r, r4
    if floating is float:
        return (<float>(1/2.) + r * <float>(1/6.)) + r2 * (
            (<float>(1/24.) + r * <float>(1/120.)) + r2 * (<float>(1/720.) + r * <float>(1/5040.)))
    else:
        r4 = r2 * r2
        return ((1/2. + r * (1/6.)) + r2 * (1/24. + r * (1/120.))) + r4 * (
            ((1/720. + r * (1/5040.)) + r2 * (1/40320. + r * (1/362880.))) + r4 * (
                (1/3628800. + r * (1/39916800.)) + r2 * (1/479001600. + r * (1/6227020800.))))


cdef inline floating exp(floating x) noexcept nogil:
    """2^n exp(r) = 2^(n - 1) (2 + 2 (exp(r) - 1)).

    The factor 2^(n - 1) stays finite up to the largest result.  Results below sqrt(2) times the
    least normal number are 0; x is clipped to just outside of the range with finite, normal
    results.
    """
    cdef floating shift, n, r
    if floating is float:
        x = <float>-87.5 if x < <float>-87.5 else x
        x = <float>89 if x > 89 else x
        shift = 12582912.0                              # 1.5 * 2^23
        n = x * <float>1.4426950408889634 + shift       # x / ln(2), rounded
        r = x - (n - shift) * <float>0.693359375
        r = r - (n - shift) * <float>-2.12194440054690583e-4
    else:
        x = -708.5 if x < -708.5 else x
        x = 710 if x > 710 else x
        shift = 6755399441055744.0                      # 1.5 * 2^52
        n = x * 1.4426950408889634 + shift              # x / ln(2), rounded
        r = x - (n - shift) * 6.93147180369123816490e-01
        r = r - (n - shift) * 1.90821492927058770002e-10
    return (<floating>2 + <floating>2 * (r + r * r * exp_series(r))) * half_power_of_two(n)


cdef inline floating expm1(floating x) noexcept nogil:
    """exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1); the second part is exact.

    Below -20 in float and -40 in double the result is -1.
    """
    cdef floating shift, n, r, power
    if floating is float:
        x = <float>-20 if x < -20 else x
        x = <float>89 if x > 89 else x
        shift = 12582912.0
        n = x * <float>1.4426950408889634 + shift       # x / ln(2), rounded
        r = x - (n - shift) * <float>0.693359375
        r = r - (n - shift) * <float>-2.12194440054690583e-4
    else:
        x = -40 if x < -40 else x
        x = 710 if x > 710 else x
        shift = 6755399441055744.0
        n = x * 1.4426950408889634 + shift              # x / ln(2), rounded
        r = x - (n - shift) * 6.93147180369123816490e-01
        r = r - (n - shift) * 1.90821492927058770002e-10
    power = half_power_of_two(n)
    return <floating>2 * (power * (r + r * r * exp_series(r)) + (power - <floating>0.5))


cdef inline floating log_factor(floating f) noexcept nogil:
    """Factor of `log_series`: f^2 in float; -s with s = f / (2 + f) in double."""
    if floating is float:
        return f * f
    else:
        return -f / (<floating>2 + f)


cdef inline floating log_series(floating f, floating factor) noexcept nogil:
    """(log(1 + f) - f) / factor for 1 + f in [sqrt(1/2), sqrt(2)].

    In float it is a minimax polynomial, which needs no division (by Remez exchange; the error is
    4e-9 of log(1 + f)).  In double it is the series of log(1 + f) = 2 atanh(s) with 2 s = f - s f:
    f - s (f - 2 s^2/3 - 2 s^4/5 - ...).
    """
    cdef floating z, z2
    if floating is float:
        z = factor
        return ((<float>-0.4999998835 + f * <float>0.3333332569)
                + z * (<float>-0.2500158295 + f * <float>0.2000197393)) + z * z * (
            ((<float>-0.1660908274 + f * <float>0.1418182532)
             + z * (<float>-0.1324298676 + f * <float>0.1290443212)) + z * z * <float>-0.07621778958)
    else:
        z = factor * factor
        z2 = z * z
        return f - z * (((2/3. + z * (2/5.)) + z2 * (2/7. + z * (2/9.))) + z2 * z2 * (
            ((2/11. + z * (2/13.)) + z2 * (2/15. + z * (2/17.))) + z2 * z2 * (2/19. + z * (2/21.))))


cdef inline floating log_sum(floating x, floating rest) noexcept nogil:
    """log(x + rest) = e ln(2) + log(1 + f), with x + rest = 2^e (1 + f).

    x is a normal number, and rest is smaller than a unit in its last place.  0x3F3504F3 and
    0x3FE6A09E667F3BCD are the bits of sqrt(1/2), 0x3F800000 and 0x3FF0000000000000 the bits of 1:
    with them the exponent bits of u or v become e + bias.  0x4B400000 and 0x4338000000000000 are
    the bits of 1.5 * 2^23 and 1.5 * 2^52, which turn the exponent bits into the number e.  The
    factor of rest is 2^-e, half of 2^(1 - e), whose exponent bits are 255 or 2047 minus those of u
    or v.
    """
    cdef floating e, f, factor
    cdef uint32_t u
    cdef uint64_t v
    if floating is float:
        u = bits32(x) - <uint32_t>0x3F3504F3 + <uint32_t>0x3F800000
        e = from_bits32(<uint32_t>0x4B400000 + (u >> 23)) - <float>(12582912.0 + 127)
        f = from_bits32((u & <uint32_t>0x7FFFFF) + <uint32_t>0x3F3504F3) - <floating>1
        f = f + <float>0.5 * rest * from_bits32((255 - (u >> 23)) << 23)
        factor = log_factor(f)
        return e * <float>0.693359375 + (
            f + multiply_add(e, <float>-2.12194440054690583e-4, factor * log_series(f, factor)))
    else:
        v = bits64(x) - <uint64_t>0x3FE6A09E667F3BCD + <uint64_t>0x3FF0000000000000
        e = from_bits64(<uint64_t>0x4338000000000000 + (v >> 52)) - (6755399441055744.0 + 1023)
        f = from_bits64((v & <uint64_t>0xFFFFFFFFFFFFF) + <uint64_t>0x3FE6A09E667F3BCD) - <floating>1
        f = f + 0.5 * rest * from_bits64((2047 - (v >> 52)) << 52)
        factor = log_factor(f)
        return e * 6.93147180369123816490e-01 + (
            f + multiply_add(e, 1.90821492927058770002e-10, factor * log_series(f, factor)))


cdef inline floating log(floating x) noexcept nogil:
    """Natural logarithm; log(0) = -inf, NaN below 0.

    Denormals are multiplied by 2^23 or 2^54 first, and 23 ln(2) or 54 ln(2) is subtracted.
    """
    cdef floating scaled, shift, result
    if floating is float:
        scaled = x * <float>8388608.0 if x < <float>1.17549435e-38 else x       # 2^23
        shift = <float>15.942385 if x < <float>1.17549435e-38 else <float>0
    else:
        scaled = x * 18014398509481984.0 if x < 2.2250738585072014e-308 else x  # 2^54
        shift = 37.429947750237048 if x < 2.2250738585072014e-308 else 0
    result = log_sum(scaled, <floating>0) - shift
    result = result if x < <floating>INFINITY else x
    result = <floating>NAN if x < 0 else result
    return <floating>-INFINITY if x == 0 else result


cdef inline floating log1p(floating x) noexcept nogil:
    """log(1 + x) = log(w + rest) for x >= -1/2: w = 1 + x rounded, rest what rounding left out."""
    cdef floating w = <floating>1 + x
    cdef floating result = log_sum(w, x - (w - <floating>1))
    return result if x < <floating>INFINITY else x


cdef inline floating log1p_unit(floating x) noexcept nogil:
    """log(1 + x) for x in [0, 1]; above sqrt(2) - 1 as log((1 + x) / 2) + log(2)."""
    cdef floating f = <floating>0.5 * x - <floating>0.5 if x > <floating>0.41421356 else x
    cdef floating rest = <floating>0.6931471805599453 if x > <floating>0.41421356 else <floating>0
    cdef floating factor = log_factor(f)
    return rest + multiply_add(factor, log_series(f, factor), f)


cdef inline floating tanh(floating x) noexcept nogil:
    """sign(x) e / (e + 2) with e = exp(2 |x|) - 1; from 20 on the quotient is 1."""
    cdef floating size = fabs(x)
    cdef floating e
    size = 20 if size > 20 else size
    e = expm1(<floating>2 * size)
    return copysign(e / (e + <floating>2), x)


cdef inline floating sigmoid(floating x) noexcept nogil:
    """1 / (1 + exp(-x))."""
    return <floating>1 / (<floating>1 + exp(-x))


cdef inline floating softplus(floating x) noexcept nogil:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    return (0 if x < 0 else x) + log1p_unit(exp(-fabs(x)))


cdef inline double power(double base, Py_ssize_t exponent) noexcept nogil:
    """base^exponent by repeated squaring: the same bits with every C library."""
    cdef double result = 1
    while exponent > 0:
        if exponent & 1:
            result = result * base
        base = base * base
        exponent >>= 1
    return result


cdef enum:
    LANES = 16              # partial sums of a long row, the same number at every CPU level


cdef inline floating sum_row(const floating* x, Py_ssize_t n) noexcept nogil:
    """Sum of x (n,), in an order that depends only on n.

    Each of 16 partial sums takes every 16th element.  They are added by halves; then come the
    elements after the last whole 16.
    """
    cdef floating partial[LANES]
    cdef floating total = 0
    cdef Py_ssize_t i = 0, lane
    if n < LANES:
        for i in range(n):
            total += x[i]
        return total
    for lane in range(LANES):
        partial[lane] = 0
    while i + LANES <= n:
        for lane in range(LANES):
            partial[lane] += x[i + lane]
        i += LANES
    while i < n:
        total += x[i]
        i += 1
    for lane in range(8):
        partial[lane] += partial[lane + 8]
    for lane in range(4):
        partial[lane] += partial[lane + 4]
    return ((partial[0] + partial[2]) + (partial[1] + partial[3])) + total


cdef inline double sum_wide(const floating* x, Py_ssize_t n) noexcept nogil:
    """`sum_row` in double."""
    cdef double partial[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, lane
    if n < LANES:
        for i in range(n):
            total += x[i]
        return total
    for lane in range(LANES):
        partial[lane] = 0
    while i + LANES <= n:
        for lane in range(LANES):
            partial[lane] += x[i + lane]
        i += LANES
    while i < n:
        total += x[i]
        i += 1
    for lane in range(8):
        partial[lane] += partial[lane + 8]
    for lane in range(4):
        partial[lane] += partial[lane + 4]
    return ((partial[0] + partial[2]) + (partial[1] + partial[3])) + total


cdef inline double dot_wide(const floating* x, const floating* y, Py_ssize_t n) noexcept nogil:
    """Sum of x (n,) times y (n,) in double, in the order of `sum_row`."""
    cdef double partial[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, lane
    if n < LANES:
        for i in range(n):
            total = multiply_add(<double>x[i], <double>y[i], total)
        return total
    for lane in range(LANES):
        partial[lane] = 0
    while i + LANES <= n:
        for lane in range(LANES):
            partial[lane] += <double>x[i + lane] * y[i + lane]
        i += LANES
    while i < n:
        total = multiply_add(<double>x[i], <double>y[i], total)
        i += 1
    for lane in range(8):
        partial[lane] += partial[lane + 8]
    for lane in range(4):
        partial[lane] += partial[lane + 4]
    return ((partial[0] + partial[2]) + (partial[1] + partial[3])) + total


cdef inline floating max_row(const floating* x, Py_ssize_t n) noexcept nogil:
    """Largest element of x (n,), n >= 1; a NaN may be skipped.

    It has 32 lanes, because GCC splits a loop of 16 selects.
    """
    cdef floating partial[2 * LANES]
    cdef floating largest = x[0]
    cdef Py_ssize_t i = 0, lane
    if n >= 2 * LANES:
        for lane in range(2 * LANES):
            partial[lane] = x[lane]
        while i + 2 * LANES <= n:
            for lane in range(2 * LANES):
                partial[lane] = x[i + lane] if x[i + lane] > partial[lane] else partial[lane]
            i += 2 * LANES
        for lane in range(2 * LANES):
            largest = partial[lane] if partial[lane] > largest else largest
    while i < n:
        largest = x[i] if x[i] > largest else largest
        i += 1
    return largest
