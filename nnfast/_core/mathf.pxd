# cython: cdivision=True
"""exp, expm1, log, log1p, tanh and friends for float and double, free of branches.

Written so that a loop over them becomes one loop over registers: selects in
place of branches, bit patterns in place of conversions.  A C library's exp is
a call per number, and its vector versions need -ffast-math and a newer glibc.

Constants are cast to `floating`: a bare 1 is a double in C and would take the
whole expression, and half the lanes, with it (tests/test_hygiene.py).

Within 3 units in the last place of the exact value (tests/test_mathf.py); NaN
goes through.  Series: exp(r) = sum r^i / i! on |r| <= ln(2)/2 and 2 atanh(s),
to the term below half a unit in the last place, added up in pairs (Estrin): a
chain of multiply-adds would wait for each of its links.  The split of ln(2) in
a high part with trailing zeros and a rest is that of Cody and Waite (1980).
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
    For running sums of products: GCC fuses only those that fill no register.  -(a b + c) is written
    multiply_add(-a, b, -c): GCC makes that of it anyway, and the sign of a 0 differs.
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


cdef inline floating half_power_of_two(floating shifted) noexcept nogil:
    """2^(n - 1), where `shifted` is n + 1.5 * 2^(bits of the fraction), its low bits n; 0 for the least n, 2 - bias."""
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
    """2^n exp(r) = 2^(n - 1) (2 + 2 (exp(r) - 1)); results below sqrt(2) times the least normal number are 0."""
    cdef floating shift, n, r
    if floating is float:
        x = <float>-87.5 if x < <float>-87.5 else x
        x = <float>89 if x > 89 else x
        shift = 12582912.0                              # 1.5 * 2^23
        n = x * <float>1.4426950408889634 + shift
        r = x - (n - shift) * <float>0.693359375
        r = r - (n - shift) * <float>-2.12194440054690583e-4
    else:
        x = -708.5 if x < -708.5 else x
        x = 710 if x > 710 else x
        shift = 6755399441055744.0                      # 1.5 * 2^52
        n = x * 1.4426950408889634 + shift
        r = x - (n - shift) * 6.93147180369123816490e-01
        r = r - (n - shift) * 1.90821492927058770002e-10
    return (<floating>2 + <floating>2 * (r + r * r * exp_series(r))) * half_power_of_two(n)


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
    power = half_power_of_two(n)
    return <floating>2 * (power * (r + r * r * exp_series(r)) + (power - <floating>0.5))


cdef inline floating log_factor(floating f) noexcept nogil:
    """The factor of `log_series`: f^2 in float; in double -s, s = f / (2 + f)."""
    if floating is float:
        return f * f
    else:
        return -f / (<floating>2 + f)


cdef inline floating log_series(floating f, floating factor) noexcept nogil:
    """(log(1 + f) - f) / factor on 1 + f in [sqrt(1/2), sqrt(2)].

    In float a polynomial of least maximal error (Remez' exchange: 4e-9 of log(1 + f)) and no division; in double
    that of 2 atanh(s).
    """
    cdef floating z, z2
    if floating is float:
        z = factor
        return ((<float>-0.4999998835 + f * <float>0.3333332569) + z * (<float>-0.2500158295 + f * <float>0.2000197393)) + z * z * (
            ((<float>-0.1660908274 + f * <float>0.1418182532) + z * (<float>-0.1324298676 + f * <float>0.1290443212)) + z * z * <float>-0.07621778958)
    else:
        z = factor * factor
        z2 = z * z
        return f - z * (((2/3. + z * (2/5.)) + z2 * (2/7. + z * (2/9.))) + z2 * z2 * (
            ((2/11. + z * (2/13.)) + z2 * (2/15. + z * (2/17.))) + z2 * z2 * (2/19. + z * (2/21.))))


cdef inline floating log_sum(floating x, floating rest) noexcept nogil:
    """log(x + rest) of a normal number x and a rest below its last place: x + rest = 2^e (1 + f)."""
    cdef floating e, f, factor
    cdef uint32_t u
    cdef uint64_t v
    if floating is float:
        u = bits32(x) - <uint32_t>0x3F3504F3 + <uint32_t>0x3F800000
        e = from_bits32(<uint32_t>0x4B400000 + (u >> 23)) - <float>(12582912.0 + 127)
        f = from_bits32((u & <uint32_t>0x7FFFFF) + <uint32_t>0x3F3504F3) - <floating>1
        f = f + <float>0.5 * rest * from_bits32((255 - (u >> 23)) << 23)
        factor = log_factor(f)
        return e * <float>0.693359375 + (f + multiply_add(e, <float>-2.12194440054690583e-4, factor * log_series(f, factor)))
    else:
        v = bits64(x) - <uint64_t>0x3FE6A09E667F3BCD + <uint64_t>0x3FF0000000000000
        e = from_bits64(<uint64_t>0x4338000000000000 + (v >> 52)) - (6755399441055744.0 + 1023)
        f = from_bits64((v & <uint64_t>0xFFFFFFFFFFFFF) + <uint64_t>0x3FE6A09E667F3BCD) - <floating>1
        f = f + 0.5 * rest * from_bits64((2047 - (v >> 52)) << 52)
        factor = log_factor(f)
        return e * 6.93147180369123816490e-01 + (f + multiply_add(e, 1.90821492927058770002e-10, factor * log_series(f, factor)))


cdef inline floating log(floating x) noexcept nogil:
    """Natural logarithm; log(0) = -inf, NaN below 0."""
    cdef floating scaled, shift, result
    if floating is float:
        scaled = x * <float>8388608.0 if x < <float>1.17549435e-38 else x       # 2^23: out of the denormals
        shift = <float>15.942385 if x < <float>1.17549435e-38 else <float>0
    else:
        scaled = x * 18014398509481984.0 if x < 2.2250738585072014e-308 else x  # 2^54
        shift = 37.429947750237048 if x < 2.2250738585072014e-308 else 0
    result = log_sum(scaled, <floating>0) - shift
    result = result if x < <floating>INFINITY else x
    result = <floating>NAN if x < 0 else result
    return <floating>-INFINITY if x == 0 else result


cdef inline floating log1p(floating x) noexcept nogil:
    """log(1 + x) for x >= -1/2, of w = 1 + x and what its rounding left out."""
    cdef floating w = <floating>1 + x
    cdef floating result = log_sum(w, x - (w - <floating>1))
    return result if x < <floating>INFINITY else x


cdef inline floating log1p_unit(floating x) noexcept nogil:
    """log(1 + x) for x in [0, 1]: of 1 + x, or of (1 + x) / 2 and log(2)."""
    cdef floating f = <floating>0.5 * x - <floating>0.5 if x > <floating>0.41421356 else x
    cdef floating rest = <floating>0.6931471805599453 if x > <floating>0.41421356 else <floating>0
    cdef floating factor = log_factor(f)
    return rest + multiply_add(factor, log_series(f, factor), f)


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
    """Largest of n >= 1 numbers, if none is NaN; 32 lanes, for GCC takes a loop of 16 selects apart."""
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
