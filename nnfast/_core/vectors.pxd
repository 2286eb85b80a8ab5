# cython: cdivision=True
"""SIMD registers: one name for the vector of each dtype, at every CPU level.

A register is a C typedef, `f32_vec` or `f64_vec`.  To Cython it is a number, to the C compiler a
vector: with a scalar a and registers b and acc, `acc + a * b` is a broadcast and a fused
multiply-add.  The elements of a register are its lanes.

A kernel with registers has two fused types: `floating` for its pointers, `vec` for its registers.
Cython makes a version of it for each of the four pairs; `if floating is float and vec is f32_vec`
leaves the two mixed versions empty.

The size of a tile must be known to the C compiler, so that the accumulators stay in registers.  It
is the `sizeof` of a fused type, `height` or `columns`, whose members are structs of 1 to 14 bytes.
So one source gives a kernel for each size.

Rejected: intrinsics, which need the code once for each CPU level, and plain loops, which compilers
do not keep in registers.
"""

cdef extern from *:
    """
    #include <stddef.h>
    #if defined(__AVX512F__)
      #define NN_BYTES 64        /* AVX-512 has 32 registers: 14 x 2 accumulators, 2 of B, 1 of A */
      #define NN_ROWS 14
    #elif defined(__AVX__)
      #define NN_BYTES 32        /* AVX has 16 registers: 6 x 2 accumulators, 2 of B, 1 of A */
      #define NN_ROWS 6
    #elif defined(__ARM_NEON)
      #define NN_BYTES 16
      #define NN_ROWS 12
    #else
      #define NN_BYTES 16
      #define NN_ROWS 6
    #endif

    #ifndef __GNUC__
      #error "nnfast is built with GCC or Clang (clang-cl on Windows): it needs their vector types"
    #endif
    typedef float  nn_f32 __attribute__((vector_size(NN_BYTES), aligned(4), may_alias));
    typedef double nn_f64 __attribute__((vector_size(NN_BYTES), aligned(8), may_alias));
    typedef int       nn_i32 __attribute__((vector_size(NN_BYTES)));
    typedef long long nn_i64 __attribute__((vector_size(NN_BYTES)));
    #if defined(__clang__)
      #if NN_BYTES == 64
        #define NN_LO32 0,16,1,17,2,18,3,19,4,20,5,21,6,22,7,23
        #define NN_HI32 8,24,9,25,10,26,11,27,12,28,13,29,14,30,15,31
        #define NN_LO64 0,8,1,9,2,10,3,11
        #define NN_HI64 4,12,5,13,6,14,7,15
      #elif NN_BYTES == 32
        #define NN_LO32 0,8,1,9,2,10,3,11
        #define NN_HI32 4,12,5,13,6,14,7,15
        #define NN_LO64 0,4,1,5
        #define NN_HI64 2,6,3,7
      #else
        #define NN_LO32 0,4,1,5
        #define NN_HI32 2,6,3,7
        #define NN_LO64 0,2
        #define NN_HI64 1,3
      #endif
      #define nn_interleave_low(a, b) _Generic((a), \\
          nn_f32: __builtin_shufflevector((nn_f32)(a), (nn_f32)(b), NN_LO32), \\
          nn_f64: __builtin_shufflevector((nn_f64)(a), (nn_f64)(b), NN_LO64))
      #define nn_interleave_high(a, b) _Generic((a), \\
          nn_f32: __builtin_shufflevector((nn_f32)(a), (nn_f32)(b), NN_HI32), \\
          nn_f64: __builtin_shufflevector((nn_f64)(a), (nn_f64)(b), NN_HI64))
    #else
      static inline nn_f32 nn_interleave_f32(nn_f32 a, nn_f32 b, int first) {
          nn_i32 mask;
          for (int i = 0; i < NN_BYTES / 4; i++)
              mask[i] = first + i / 2 + (i % 2) * (NN_BYTES / 4);
          return __builtin_shuffle(a, b, mask);
      }
      static inline nn_f64 nn_interleave_f64(nn_f64 a, nn_f64 b, int first) {
          nn_i64 mask;
          for (int i = 0; i < NN_BYTES / 8; i++)
              mask[i] = first + i / 2 + (i % 2) * (NN_BYTES / 8);
          return __builtin_shuffle(a, b, mask);
      }
      #define nn_interleave_low(a, b) _Generic((a), \\
          nn_f32: nn_interleave_f32, nn_f64: nn_interleave_f64)((a), (b), 0)
      #define nn_interleave_high(a, b) _Generic((a), \\
          nn_f32: nn_interleave_f32, nn_f64: nn_interleave_f64)((a), (b), sizeof(a) / sizeof((a)[0]) / 2)
    #endif
    static inline nn_f32 nn_first_f32(nn_f32 x, int count) {
        nn_i32 lane;
        for (int i = 0; i < NN_BYTES / 4; i++) lane[i] = i;
        return (nn_f32)((nn_i32)x & (lane < count));
    }
    static inline nn_f64 nn_first_f64(nn_f64 x, int count) {
        nn_i64 lane;
        for (int i = 0; i < NN_BYTES / 8; i++) lane[i] = i;
        return (nn_f64)((nn_i64)x & (lane < (long long)count));
    }
    #define nn_prefetch(p) __builtin_prefetch((p), 0, 3)

    #define NN_SIZE(n) typedef struct { char size[n]; } nn_##n;
    NN_SIZE(1) NN_SIZE(2) NN_SIZE(3) NN_SIZE(4) NN_SIZE(5) NN_SIZE(6) NN_SIZE(7)
    NN_SIZE(8) NN_SIZE(9) NN_SIZE(10) NN_SIZE(11) NN_SIZE(12) NN_SIZE(13) NN_SIZE(14)
    typedef struct { char size[2]; } nn_far2, nn_next2;
    """
    ctypedef float f32_vec "nn_f32"
    ctypedef double f64_vec "nn_f64"
    const f32_vec ZERO_F32 "((nn_f32){0})"
    const f64_vec ZERO_F64 "((nn_f64){0})"
    const Py_ssize_t PANEL_BYTES "(2 * NN_BYTES)"
    const Py_ssize_t MAX_ROWS "NN_ROWS"      # most rows of a register tile at this CPU level
    f32_vec low_f32 "nn_interleave_low"(f32_vec a, f32_vec b) noexcept nogil
    f64_vec low_f64 "nn_interleave_low"(f64_vec a, f64_vec b) noexcept nogil
    f32_vec high_f32 "nn_interleave_high"(f32_vec a, f32_vec b) noexcept nogil
    f64_vec high_f64 "nn_interleave_high"(f64_vec a, f64_vec b) noexcept nogil
    f32_vec first_f32 "nn_first_f32"(f32_vec x, int count) noexcept nogil
    f64_vec first_f64 "nn_first_f64"(f64_vec x, int count) noexcept nogil
    void prefetch "nn_prefetch"(const void* p) noexcept nogil

    ctypedef struct n1 "nn_1":
        pass
    ctypedef struct n2 "nn_2":
        pass
    ctypedef struct n3 "nn_3":
        pass
    ctypedef struct n4 "nn_4":
        pass
    ctypedef struct n5 "nn_5":
        pass
    ctypedef struct n6 "nn_6":
        pass
    ctypedef struct n7 "nn_7":
        pass
    ctypedef struct n8 "nn_8":
        pass
    ctypedef struct n9 "nn_9":
        pass
    ctypedef struct n10 "nn_10":
        pass
    ctypedef struct n11 "nn_11":
        pass
    ctypedef struct n12 "nn_12":
        pass
    ctypedef struct n13 "nn_13":
        pass
    ctypedef struct n14 "nn_14":
        pass
    # 2 registers of a product that prefetches its factors (matmul.pxd)
    ctypedef struct far2 "nn_far2":
        pass
    ctypedef struct next2 "nn_next2":
        pass

cdef enum:
    CACHE_LINE = 64     # bytes; also of the widest register

ctypedef fused vec:
    f32_vec
    f64_vec

ctypedef fused height:
    n1
    n2
    n3
    n4
    n5
    n6
    n7
    n8
    n9
    n10
    n11
    n12
    n13
    n14

ctypedef fused columns:
    n1
    n2
    n4
    n8
    far2
    next2

cdef inline vec interleave_low(vec a, vec b) noexcept nogil:
    """a0 b0 a1 b1 ... from the lower halves of a and b."""
    if vec is f32_vec:
        return low_f32(a, b)
    else:
        return low_f64(a, b)


cdef inline vec interleave_high(vec a, vec b) noexcept nogil:
    """a0 b0 a1 b1 ... from the upper halves of a and b."""
    if vec is f32_vec:
        return high_f32(a, b)
    else:
        return high_f64(a, b)


cdef inline vec first_lanes(vec x, Py_ssize_t count) noexcept nogil:
    """The first `count` elements of x, then zeros; count may be negative or exceed the lanes."""
    if vec is f32_vec:
        return first_f32(x, <int>count)
    else:
        return first_f64(x, <int>count)
