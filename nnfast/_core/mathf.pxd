"""exp, expm1, log, log1p, tanh and friends for float and double, free of branches.

Written so that a loop over them becomes one loop over registers: selects in
place of branches, bit patterns in place of conversions.  A C library's exp is
a call per number, and its vector versions need -ffast-math and a newer glibc.

Constants are cast to `floating`: a bare 1 is a double in C and would take the
whole expression, and half the lanes, with it (tests/test_hygiene.py).

Within 3 units in the last place of the exact value (tests/test_mathf.py); NaN
goes through.  Series: exp(r) = sum r^i / i! on |r| <= ln(2)/2, and
log(1 + f) = 2 atanh(s), s = f / (2 + f), on 1 + f in [sqrt(1/2), sqrt(2)),
to the term below half a unit in the last place.  The split of ln(2) in a high
part with trailing zeros and a rest is that of Cody and Waite (1980).
"""
from cython cimport floating
from libc.stdint cimport uint32_t, uint64_t
from libc.math cimport sqrt as sqrt64, sqrtf as sqrt32, fabs as fabs64, fabsf as fabs32, \
    copysign as copysign64, copysignf as copysign32, erf as erf64, erff as erf32, INFINITY, NAN

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
    """a b + c, rounded once where the CPU level can.

    For sums of two products: in `a * b + c * d` the compiler picks the one it fuses, at each level as it likes.
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
    """The C library's: within a unit in the last place, a call per number."""
    if floating is float:
        return erf32(x)
    else:
        return erf64(x)


cdef inline floating scale_by_power_of_two(floating x, floating shifted) noexcept nogil:
    """x 2^n, where `shifted` is n + 1.5 * 2^(bits of the fraction): its low bits are n.

    In two halves, so that results beside overflow and underflow are reached.
    """
    cdef uint32_t n, n_half
    cdef uint64_t m, m_half
    if floating is float:
        n = bits32(shifted) - <uint32_t>0x4B400000 + 256        # + 256: the shift below is unsigned
        n_half = n >> 1
        return x * from_bits32((n_half - 128 + 127) << 23) * from_bits32((n - n_half - 128 + 127) << 23)
    else:
        m = bits64(shifted) - <uint64_t>0x4338000000000000 + 2048
        m_half = m >> 1
        return x * from_bits64((m_half - 1024 + 1023) << 52) * from_bits64((m - m_half - 1024 + 1023) << 52)


cdef inline floating exp_series(floating r) noexcept nogil:
    """(exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2: sum r^i / (i + 2)!"""
    if floating is float:
        return (<float>(1/2.) + r * (<float>(1/6.) + r * (<float>(1/24.) + r * (
            <float>(1/120.) + r * (<float>(1/720.) + r * <float>(1/5040.))))))
    else:
        return (1/2. + r * (1/6. + r * (1/24. + r * (1/120. + r * (1/720. + r * (1/5040. + r * (
            1/40320. + r * (1/362880. + r * (1/3628800. + r * (1/39916800. + r * (
                1/479001600. + r * (1/6227020800.))))))))))))


cdef inline floating exp(floating x) noexcept nogil:
    cdef floating shift, n, r
    if floating is float:
        x = <float>-104 if x < -104 else x
        x = <float>89 if x > 89 else x
        shift = 12582912.0                              # 1.5 * 2^23
        n = x * <float>1.4426950408889634 + shift
        r = x - (n - shift) * <float>0.693359375
        r = r - (n - shift) * <float>-2.12194440054690583e-4
    else:
        x = -746 if x < -746 else x
        x = 710 if x > 710 else x
        shift = 6755399441055744.0                      # 1.5 * 2^52
        n = x * 1.4426950408889634 + shift
        r = x - (n - shift) * 6.93147180369123816490e-01
        r = r - (n - shift) * 1.90821492927058770002e-10
    return scale_by_power_of_two(<floating>1 + (r + r * r * exp_series(r)), n)


cdef inline floating expm1(floating x) noexcept nogil:
    """exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), exact in its second part."""
    cdef floating shift, n, r, power
    if floating is float:
        x = <float>-20 if x < -20 else x
        x = <float>89 if x > 89 else x
        shift = 12582912.0
        n = x * <float>1.4426950408889634 + shift
        r = x - (n - shift) * <float>0.693359375
        r = r - (n - shift) * <float>-2.12194440054690583e-4
    else:
        x = -40 if x < -40 else x
        x = 710 if x > 710 else x
        shift = 6755399441055744.0
        n = x * 1.4426950408889634 + shift
        r = x - (n - shift) * 6.93147180369123816490e-01
        r = r - (n - shift) * 1.90821492927058770002e-10
    power = scale_by_power_of_two(<floating>0.5, n)     # half of it: 2^128 does not fit
    return <floating>2 * (power * (r + r * r * exp_series(r)) + (power - <floating>0.5))


cdef inline floating log(floating x) noexcept nogil:
    """Natural logarithm; log(0) = -inf, NaN below 0."""
    cdef floating e, f, s, z, series, scaled, result
    cdef uint32_t u
    cdef uint64_t v
    if floating is float:
        scaled = x * <float>8388608.0 if x < <float>1.17549435e-38 else x       # 2^23: out of the denormals
        u = bits32(scaled) - <uint32_t>0x3F3504F3 + <uint32_t>0x3F800000
        e = from_bits32(<uint32_t>0x4B400000 + (u >> 23)) - <float>(12582912.0 + 127)
        e = e - <floating>23 if x < <float>1.17549435e-38 else e
        f = from_bits32((u & <uint32_t>0x7FFFFF) + <uint32_t>0x3F3504F3) - <floating>1
        s = f / (<floating>2 + f)
        z = s * s
        series = z * (<float>(2/3.) + z * (<float>(2/5.) + z * (<float>(2/7.) + z * <float>(2/9.))))
        result = e * <float>0.693359375 + (f - multiply_add(s, f - series, e * <float>2.12194440054690583e-4))
    else:
        scaled = x * 18014398509481984.0 if x < 2.2250738585072014e-308 else x  # 2^54
        v = bits64(scaled) - <uint64_t>0x3FE6A09E667F3BCD + <uint64_t>0x3FF0000000000000
        e = from_bits64(<uint64_t>0x4338000000000000 + (v >> 52)) - (6755399441055744.0 + 1023)
        e = e - <floating>54 if x < 2.2250738585072014e-308 else e
        f = from_bits64((v & <uint64_t>0xFFFFFFFFFFFFF) + <uint64_t>0x3FE6A09E667F3BCD) - <floating>1
        s = f / (<floating>2 + f)
        z = s * s
        series = z * (2/3. + z * (2/5. + z * (2/7. + z * (2/9. + z * (2/11. + z * (2/13. + z * (
            2/15. + z * (2/17. + z * (2/19. + z * (2/21.))))))))))
        result = e * 6.93147180369123816490e-01 + (f - multiply_add(s, f - series, e * -1.90821492927058770002e-10))
    result = result if x < <floating>INFINITY else x
    result = <floating>NAN if x < 0 else result
    return <floating>-INFINITY if x == 0 else result


cdef inline floating log1p(floating x) noexcept nogil:
    """log(1 + x) for x >= -1/2: log(w) x / (w - 1) takes back the rounding of w = 1 + x."""
    cdef floating w = <floating>1 + x
    cdef floating result = multiply_add(log(w), x / (w - <floating>1), <floating>0)     # not to be fused with a sum around it
    result = result if x < <floating>INFINITY else x
    return x if w == 1 else result


cdef inline floating tanh(floating x) noexcept nogil:
    """e / (e + 2) with e = exp(2 |x|) - 1, and the sign of x."""
    cdef floating size = fabs(x)
    cdef floating e
    size = 20 if size > 20 else size
    e = expm1(<floating>2 * size)
    return copysign(e / (e + <floating>2), x)


cdef inline floating sigmoid(floating x) noexcept nogil:
    return <floating>1 / (<floating>1 + exp(-x))


cdef inline floating softplus(floating x) noexcept nogil:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    return (0 if x < 0 else x) + log1p(exp(-fabs(x)))


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
    LANES = 16              # partial sums of a long reduction, at every CPU level


cdef inline floating sum_row(const floating* x, Py_ssize_t n) noexcept nogil:
    """Sum of n numbers in an order fixed by n alone: 16 partial sums, added up by halves, and the rest."""
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
    """`sum_row` in double precision."""
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
    """Sum of x y in double precision, in the order of `sum_row`."""
    cdef double partial[LANES]
    cdef double total = 0
    cdef Py_ssize_t i = 0, lane
    if n < LANES:
        for i in range(n):
            total += <double>x[i] * y[i]
        return total
    for lane in range(LANES):
        partial[lane] = 0
    while i + LANES <= n:
        for lane in range(LANES):
            partial[lane] += <double>x[i + lane] * y[i + lane]
        i += LANES
    while i < n:
        total += <double>x[i] * y[i]
        i += 1
    for lane in range(8):
        partial[lane] += partial[lane + 8]
    for lane in range(4):
        partial[lane] += partial[lane + 4]
    return ((partial[0] + partial[2]) + (partial[1] + partial[3])) + total


cdef inline floating max_row(const floating* x, Py_ssize_t n) noexcept nogil:
    """Largest of n >= 1 numbers, if none is NaN."""
    cdef floating partial[LANES]
    cdef floating largest = x[0]
    cdef Py_ssize_t i = LANES, lane
    if n < LANES:
        for i in range(1, n):
            largest = x[i] if x[i] > largest else largest
        return largest
    for lane in range(LANES):
        partial[lane] = x[lane]
    while i + LANES <= n:
        for lane in range(LANES):
            partial[lane] = x[i + lane] if x[i + lane] > partial[lane] else partial[lane]
        i += LANES
    while i < n:
        largest = x[i] if x[i] > largest else largest
        i += 1
    for lane in range(8):
        partial[lane] = partial[lane + 8] if partial[lane + 8] > partial[lane] else partial[lane]
    for lane in range(4):
        partial[lane] = partial[lane + 4] if partial[lane + 4] > partial[lane] else partial[lane]
    for lane in range(4):
        largest = partial[lane] if partial[lane] > largest else largest
    return largest
