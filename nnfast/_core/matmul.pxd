"""C = A B and C += A B: the three products of a dense layer.

Every number of C is one chain of fused multiply-adds over k = 0, 1, 2, ...:
the shape of the tile, the blocks of k, the split over threads and the width of
the registers change when a number is made, never its bits.

    A  (rows, k)    any strides: activations by rows, or by columns for x^T delta
    B  (k, width)   panels of `panel_width` columns; a panel has its rows `b_row`
                    apart and the next panel `b_panel` on, so that a plain
                    row-major matrix (b_panel = panel_width) needs no packing
    C  (rows, width) rows `c_row` apart

`width` counts whole padded registers: B is read and C is written that far, so
there are no masks; what stands in the padding of C has no meaning.

The register tile is MAX_ROWS x 2 registers, k innermost.  The loops around it
keep K_BLOCK rows of a B panel near while all rows of A pass by.  A is not
packed: its rows lie an odd number of cache lines apart (`padded_row` below),
and the callers take so few rows at a time that they stay in the cache.
"""
from cython cimport floating
from nnfast._core.vectors cimport (
    vec, f32_vec, f64_vec, ZERO_F32, ZERO_F64, PANEL_BYTES, height, columns, MAX_ROWS, interleave_low, interleave_high,
    n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, n13, n14)

cdef enum:
    K_BLOCK = 1024      # x 128 bytes of B; at 256, which fits the first-level cache, C comes and goes too often (6 % at 1024 columns)
    TILE_ROWS = 14      # room for the tallest tile of any CPU level


cdef inline void micro_kernel(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col, const floating* b, Py_ssize_t b_row,
                              floating* c, Py_ssize_t c_row, Py_ssize_t k, bint accumulate,
                              vec* register, height* rows, columns* pair) noexcept nogil:
    """c (+)= sum_p a[:, p] b[p, :] for one tile of sizeof(rows) rows and sizeof(pair) registers."""
    cdef vec left[TILE_ROWS]
    cdef vec right[TILE_ROWS]
    cdef vec b_left, b_right, zero
    cdef Py_ssize_t r, _
    if (floating is float and vec is f32_vec) or (floating is double and vec is f64_vec):
        if vec is f32_vec:
            zero = ZERO_F32
        else:
            zero = ZERO_F64
        r = 0
        while r < <Py_ssize_t>sizeof(height):
            left[r] = zero
            right[r] = zero
            if accumulate:
                left[r] = (<vec*>(c + r * c_row))[0]
                if sizeof(columns) == 2:
                    right[r] = (<vec*>(c + r * c_row))[1]
            r += 1
        for _ in range(k):
            b_left = (<vec*>b)[0]
            if sizeof(columns) == 2:
                b_right = (<vec*>b)[1]
            r = 0
            while r < <Py_ssize_t>sizeof(height):
                left[r] = left[r] + a[r * a_row] * b_left
                if sizeof(columns) == 2:
                    right[r] = right[r] + a[r * a_row] * b_right
                r += 1
            a += a_col
            b += b_row
        r = 0
        while r < <Py_ssize_t>sizeof(height):
            (<vec*>(c + r * c_row))[0] = left[r]
            if sizeof(columns) == 2:
                (<vec*>(c + r * c_row))[1] = right[r]
            r += 1

cdef inline void tile(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col, const floating* b, Py_ssize_t b_row,
                      floating* c, Py_ssize_t c_row, Py_ssize_t k, bint accumulate, Py_ssize_t rows,
                      vec* register, columns* pair) noexcept nogil:
    """The micro-kernel of this height; heights above MAX_ROWS drop out when C is compiled."""
    if MAX_ROWS >= 14 and rows == 14:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n14*>NULL, pair)
    elif MAX_ROWS >= 13 and rows == 13:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n13*>NULL, pair)
    elif MAX_ROWS >= 12 and rows == 12:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n12*>NULL, pair)
    elif MAX_ROWS >= 11 and rows == 11:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n11*>NULL, pair)
    elif MAX_ROWS >= 10 and rows == 10:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n10*>NULL, pair)
    elif MAX_ROWS >= 9 and rows == 9:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n9*>NULL, pair)
    elif MAX_ROWS >= 8 and rows == 8:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n8*>NULL, pair)
    elif MAX_ROWS >= 7 and rows == 7:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n7*>NULL, pair)
    elif MAX_ROWS >= 6 and rows == 6:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n6*>NULL, pair)
    elif MAX_ROWS >= 5 and rows == 5:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n5*>NULL, pair)
    elif MAX_ROWS >= 4 and rows == 4:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n4*>NULL, pair)
    elif MAX_ROWS >= 3 and rows == 3:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n3*>NULL, pair)
    elif MAX_ROWS >= 2 and rows == 2:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n2*>NULL, pair)
    elif MAX_ROWS >= 1 and rows == 1:
        micro_kernel(a, a_row, a_col, b, b_row, c, c_row, k, accumulate, register, <n1*>NULL, pair)


cdef inline void matmul(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                        const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                        floating* c, Py_ssize_t c_row,
                        Py_ssize_t rows, Py_ssize_t width, Py_ssize_t k, bint accumulate, vec* register) noexcept nogil:
    """C (rows, width) <- A (rows, k) B (k, width), added to C when `accumulate`."""
    cdef Py_ssize_t lanes = sizeof(vec) // sizeof(floating)
    cdef Py_ssize_t tiles = (rows + MAX_ROWS - 1) // MAX_ROWS
    cdef Py_ssize_t p, j, i, t, depth, size
    cdef const floating* panel
    p = 0
    while p < k or (p == 0 and not accumulate):
        depth = min(k - p, <Py_ssize_t>K_BLOCK)
        j = 0
        panel = b + p * b_row
        while j < width:
            i = 0
            for t in range(tiles, 0, -1):
                size = (rows - i + t - 1) // t      # rows shared out evenly: 32 = 11 + 11 + 10
                if width - j > lanes:
                    tile(a + i * a_row, a_row, a_col, panel, b_row, c + i * c_row + j, c_row, depth,
                         accumulate or p > 0, size, register, <n2*>NULL)
                else:
                    tile(a + i * a_row, a_row, a_col, panel, b_row, c + i * c_row + j, c_row, depth,
                         accumulate or p > 0, size, register, <n1*>NULL)
                i += size
            j += 2 * lanes
            panel += b_panel
        p += K_BLOCK
        a += K_BLOCK * a_col


cdef inline void product(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                         const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                         floating* c, Py_ssize_t c_row,
                         Py_ssize_t rows, Py_ssize_t width, Py_ssize_t k, bint accumulate) noexcept nogil:
    """`matmul` in the registers of this dtype."""
    if floating is float:
        matmul(a, a_row, a_col, b, b_row, b_panel, c, c_row, rows, width, k, accumulate, <f32_vec*>NULL)
    else:
        matmul(a, a_row, a_col, b, b_row, b_panel, c, c_row, rows, width, k, accumulate, <f64_vec*>NULL)


cdef inline Py_ssize_t panel_width(const floating* tag) noexcept nogil:
    """Columns of a panel of B: two registers."""
    return PANEL_BYTES // sizeof(floating)


cdef inline Py_ssize_t padded(Py_ssize_t n, const floating* tag) noexcept nogil:
    """n rounded up to whole registers of the widest CPU level."""
    cdef Py_ssize_t unit = 64 // sizeof(floating)
    return (n + unit - 1) // unit * unit


cdef inline Py_ssize_t padded_row(Py_ssize_t n, const floating* tag) noexcept nogil:
    """Row stride for n numbers and the 1 that multiplies the bias.

    An odd number of cache lines once a row has several: with a stride of a
    power of two all rows meet in a few sets of the cache (222 against 229 GFLOP/s at 1024 columns, AVX-512).
    """
    cdef Py_ssize_t unit = 64 // sizeof(floating)
    cdef Py_ssize_t lines = n // unit + 1
    return (lines + (lines > 3 and lines % 2 == 0)) * unit


cdef inline void transpose_square(vec* rows) noexcept nogil:
    """Transposes as many registers as one has lanes: log2 rounds of interleaving row i with row i + half."""
    cdef Py_ssize_t lanes = sizeof(vec) // (sizeof(float) if vec is f32_vec else sizeof(double))
    cdef vec mixed[16]
    cdef Py_ssize_t i, round_ = 1
    while round_ < lanes:
        i = 0
        while i < lanes // 2:
            mixed[2 * i] = interleave_low(rows[i], rows[i + lanes // 2])
            mixed[2 * i + 1] = interleave_high(rows[i], rows[i + lanes // 2])
            i += 1
        i = 0
        while i < lanes:
            rows[i] = mixed[i]
            i += 1
        round_ *= 2


cdef inline void pack_transposed_rows(const floating* w, Py_ssize_t n_in, Py_ssize_t n_out, Py_ssize_t first, Py_ssize_t last,
                                      floating* panels, vec* register) noexcept nogil:
    """Rows first..last of W become columns of the panels of W^T; first is a multiple of the lanes."""
    cdef Py_ssize_t lanes = sizeof(vec) // sizeof(floating)
    cdef Py_ssize_t panel = 2 * lanes, pitch = padded(n_out, w) * panel
    cdef Py_ssize_t r, c, i
    cdef vec square[16]
    cdef floating* out
    if (floating is float and vec is f32_vec) or (floating is double and vec is f64_vec):
        r = first
        while r < last:
            c = 0
            while c < n_out:
                i = 0
                while i < lanes:
                    square[i] = (<vec*>(w + min(r + i, n_in - 1) * n_out + c))[0]
                    i += 1
                transpose_square(square)
                out = panels + r // panel * pitch + c * panel + r % panel
                i = 0
                while i < lanes:
                    (<vec*>(out + i * panel))[0] = square[i]
                    i += 1
                c += lanes
            r += lanes


cdef inline void pack_transposed(const floating* w, Py_ssize_t n_in, Py_ssize_t n_out, Py_ssize_t first, Py_ssize_t last,
                                 floating* panels) noexcept nogil:
    """`pack_transposed_rows` in the registers of this dtype."""
    if floating is float:
        pack_transposed_rows(w, n_in, n_out, first, last, panels, <f32_vec*>NULL)
    else:
        pack_transposed_rows(w, n_in, n_out, first, last, panels, <f64_vec*>NULL)


cdef inline Py_ssize_t whole_panels(Py_ssize_t n, const floating* tag) noexcept nogil:
    """Columns of the panels that a product of n padded columns reads: a panel may be narrower than the padding."""
    cdef Py_ssize_t panel = panel_width(tag)
    return (padded(n, tag) + panel - 1) // panel * panel


cdef inline Py_ssize_t transposed_size(Py_ssize_t n_in, Py_ssize_t n_out, const floating* tag) noexcept nogil:
    """Numbers in the panels of W^T."""
    return whole_panels(n_in, tag) * padded(n_out, tag)


cdef inline void pack(const floating* b, Py_ssize_t b_row, Py_ssize_t b_col, Py_ssize_t k, Py_ssize_t n,
                      Py_ssize_t first, Py_ssize_t last, floating* panels) noexcept nogil:
    """Rows first..last of B (k, n) of any strides into its panels, padded with zeros to whole panels."""
    cdef Py_ssize_t panel = panel_width(b)
    cdef Py_ssize_t j, r, i, count
    cdef floating* out
    j = 0
    while j < n:
        count = min(panel, n - j)
        for r in range(first, last):
            out = panels + j * k + r * panel
            for i in range(count):
                out[i] = b[r * b_row + (j + i) * b_col]
            for i in range(count, panel):
                out[i] = 0
        j += panel


cdef inline Py_ssize_t packed_size(Py_ssize_t k, Py_ssize_t n, const floating* tag) noexcept nogil:
    """Numbers in the panels of B (k, n)."""
    return whole_panels(n, tag) * k
