# cython: cdivision=True
"""C = A B and C += A B: the three products of a dense layer.

    x W          (rows, n_in) (n_in, n_out)     forward
    x^T delta    (n_in, rows) (rows, n_out)     gradient of W
    delta W^T    (rows, n_out) (n_out, n_in)    delta of the layer before

Every element of C is one chain of fused multiply-adds over k = 0, 1, 2, ... (in `dots` a fixed tree
of chains).  The shape of the tile, the blocks of k, the number of threads and the width of the
registers change when an element is computed, never its bits.

    A  (rows, k)      any strides: by rows for activations, by columns for x^T delta
    B  (k, width)     panels of `panel_width` columns (two registers):

           panel 0        panel 1                b_row    elements from row to row of a panel
           +----------+   +----------+           b_panel  elements from panel to panel
           | row 0    |   | row 0    |
           | row 1    |   | row 1    |   ...     Packed (`pack`): b_row = panel_width,
           | ...      |   | ...      |           b_panel = k panel_width.  A plain row-major matrix
           | row k-1  |   | row k-1  |           needs no packing: b_panel = panel_width.
           +----------+   +----------+
    C  (rows, width)  rows `c_row` elements apart

`width` counts whole padded registers.  B is read and C is written up to there, so no masks are
needed; what the padding of C holds has no meaning.

The register tile is MAX_ROWS x 2 registers with k innermost; few rows take 4 or 8 registers side by
side.  The loops around it keep K_BLOCK rows of a panel of B in the cache while all rows of A pass.

A is not packed.  Its rows lie an odd number of cache lines apart (`padded_row`), and callers take
so few rows at a time that they stay in the cache.  The exception is x^T delta with long rows of x
(`product_over_rows`): there each step over k is in another page.

What is prefetched, by a type of tile each:

    far2     A and B, some steps ahead, where steps over k are long: prefetchers of the CPU do not
             cross pages
    next2    otherwise the next panel of B, while the tiles of one are computed, if B is `shared`
             with other threads: what they wrote comes from the caches of their cores, at a third
             of the rate that the first tile of a panel reads it

benchmarks/README.md lists what was measured and rejected: other blocks of k, tiles of other shapes.

Two cases would compute mostly padding and have another form.  The layer alone selects it, never the
number of rows, so that the bits do not depend on how rows are divided:

    by_dots        few columns: x W and delta W^T as dot products (`dots`)
    by_transpose   x^T delta as the transpose of delta^T x
"""
from cython cimport floating
from libc.string cimport memcpy
from nnfast._core.vectors cimport (
    CACHE_LINE, MAX_ROWS, PANEL_BYTES, ZERO_F32, ZERO_F64, columns, f32_vec, f64_vec, far2, first_lanes,
    height, interleave_high, interleave_low, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, n13, n14, next2,
    prefetch, vec)

cdef enum:
    K_BLOCK = 2048      # rows of B, at most 128 bytes of a panel each; 512 fit the L1 cache, but are up to 10 % slower
    NARROW = 8          # most columns of a product by dot products,
    LONG = 128          # if each has at least this number of bytes
    TILE_SUMS = 112     # registers of the largest tile, 14 x 8, also of tiles that drop out
    FAR_STEP = 256      # bytes of a step over k, four lines, from which A and B are prefetched
    FAR_K = 128         # if there are so many steps: the last ones fetch in vain
    A_AHEAD = 16        # this number of steps ahead: a step takes 14 cycles, memory some hundred,
    B_AHEAD = 8
    FAR_X = 2048        # bytes between rows of x, half a page, from which x^T delta works on a copy of a block,
    WIDE_DELTA = 128    # if each copied element is used for this number of columns of delta
    COPIED_ROWS = 512   # rows of a copy; 64 columns of them take half of a small second-level cache


cdef inline void micro_kernel(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                              const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                              floating* c, Py_ssize_t c_row, Py_ssize_t k, bint add, Py_ssize_t tiles,
                              vec* register, height* rows, columns* registers) noexcept nogil:
    """c (+)= sum_p a[:, p] b[p, :] for `tiles` tiles, one below the other.

    A tile has sizeof(rows) rows and sizeof(registers) registers side by side.  Of the two lines in
    a row of the next panel each tile prefetches one.

    The loop over the tiles is here for GCC: only inside of another loop does it unroll the loops
    over the rows of a tile early enough to keep the sums in registers.
    """
    cdef vec sums[TILE_SUMS]
    cdef vec right[8]
    cdef vec zero
    cdef const floating* left
    cdef const floating* line
    cdef Py_ssize_t r, j, tile_, _, b_next
    if (floating is float and vec is f32_vec) or (floating is double and vec is f64_vec):
        if vec is f32_vec:
            zero = ZERO_F32
        else:
            zero = ZERO_F64
        for tile_ in range(tiles):
            r = 0
            while r < <Py_ssize_t>(sizeof(height) * sizeof(columns)):
                sums[r] = zero
                r += 1
            if add:
                r = 0
                while r < <Py_ssize_t>sizeof(height):
                    j = 0
                    while j < <Py_ssize_t>sizeof(columns):
                        sums[r * sizeof(columns) + j] = (<vec*>(c + r * c_row))[j]
                        j += 1
                    r += 1
            left = a
            line = b
            b_next = b_panel + tile_ % 2 * (sizeof(vec) // sizeof(floating))
            for _ in range(k):
                if columns is next2:
                    prefetch(line + b_next)
                if columns is far2:
                    prefetch(left + A_AHEAD * a_col)
                    if sizeof(floating) == 8:               # 14 rows of A take two lines
                        prefetch(left + A_AHEAD * a_col + CACHE_LINE // sizeof(floating))
                    prefetch(line + B_AHEAD * b_row)
                    if sizeof(vec) == CACHE_LINE:           # a panel has two lines
                        prefetch(line + B_AHEAD * b_row + sizeof(vec) // sizeof(floating))
                j = 0
                while j < <Py_ssize_t>sizeof(columns):
                    right[j] = (<vec*>(line + j // 2 * b_panel))[j % 2]
                    j += 1
                r = 0
                while r < <Py_ssize_t>sizeof(height):
                    j = 0
                    while j < <Py_ssize_t>sizeof(columns):
                        sums[r * sizeof(columns) + j] = sums[r * sizeof(columns) + j] + left[r * a_row] * right[j]
                        j += 1
                    r += 1
                left += a_col
                line += b_row
            r = 0
            while r < <Py_ssize_t>sizeof(height):
                j = 0
                while j < <Py_ssize_t>sizeof(columns):
                    (<vec*>(c + r * c_row))[j] = sums[r * sizeof(columns) + j]
                    j += 1
                r += 1
            a += <Py_ssize_t>sizeof(height) * a_row
            c += <Py_ssize_t>sizeof(height) * c_row


cdef inline bint fits(Py_ssize_t rows, Py_ssize_t registers) noexcept nogil:
    """Whether a tile of this height and width leaves registers for its factors."""
    return rows <= MAX_ROWS and (registers <= 2 or rows * registers <= 2 * MAX_ROWS - 4)


cdef inline void tile(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                      const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                      floating* c, Py_ssize_t c_row, Py_ssize_t k, bint add, Py_ssize_t tiles,
                      Py_ssize_t rows, vec* register, columns* registers) noexcept nogil:
    """`micro_kernel` for `rows` rows; the C compiler drops the tiles that do not fit."""
    if rows == 14 and fits(14, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n14*>NULL, registers)
    elif rows == 13 and fits(13, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n13*>NULL, registers)
    elif rows == 12 and fits(12, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n12*>NULL, registers)
    elif rows == 11 and fits(11, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n11*>NULL, registers)
    elif rows == 10 and fits(10, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n10*>NULL, registers)
    elif rows == 9 and fits(9, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n9*>NULL, registers)
    elif rows == 8 and fits(8, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n8*>NULL, registers)
    elif rows == 7 and fits(7, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n7*>NULL, registers)
    elif rows == 6 and fits(6, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n6*>NULL, registers)
    elif rows == 5 and fits(5, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n5*>NULL, registers)
    elif rows == 4 and fits(4, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n4*>NULL, registers)
    elif rows == 3 and fits(3, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n3*>NULL, registers)
    elif rows == 2 and fits(2, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n2*>NULL, registers)
    elif rows == 1 and fits(1, sizeof(columns)):
        micro_kernel(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, tiles, register, <n1*>NULL, registers)


cdef inline void column_of_tiles(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                                 const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                                 floating* c, Py_ssize_t c_row, Py_ssize_t k, bint add, Py_ssize_t rows,
                                 vec* register, columns* registers) noexcept nogil:
    """All rows of C, sizeof(registers) registers wide, in similar tiles: 32 = 11 + 11 + 10."""
    cdef Py_ssize_t tiles = max(<Py_ssize_t>1, (rows + MAX_ROWS - 1) // MAX_ROWS)
    cdef Py_ssize_t size = rows // tiles, higher = rows % tiles, i = higher * (size + 1)
    if higher > 0:
        tile(a, a_row, a_col, b, b_row, b_panel, c, c_row, k, add, higher, size + 1, register, registers)
    tile(a + i * a_row, a_row, a_col, b, b_row, b_panel, c + i * c_row, c_row, k, add, tiles - higher, size,
         register, registers)


cdef inline void matmul(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                        const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                        floating* c, Py_ssize_t c_row,
                        Py_ssize_t rows, Py_ssize_t width, Py_ssize_t k, bint accumulate, bint shared,
                        vec* register) noexcept nogil:
    """C (rows, width) <- A (rows, k) B (k, width), added to C if `accumulate`.

    `shared`: other threads may have written part of B.
    """
    cdef Py_ssize_t lanes = sizeof(vec) // sizeof(floating)
    cdef Py_ssize_t p = 0, j, depth, left
    cdef bint add, far = max(a_col, b_row) * <Py_ssize_t>sizeof(floating) >= FAR_STEP and k >= FAR_K
    cdef const floating* panel
    while p < k or (p == 0 and not accumulate):
        depth = min(k - p, <Py_ssize_t>K_BLOCK)
        add = accumulate or p > 0
        j = 0
        panel = b + p * b_row
        while j < width:
            left = (width - j) // lanes
            if left >= 8 and fits(rows, 8):
                column_of_tiles(a, a_row, a_col, panel, b_row, b_panel, c + j, c_row, depth, add, rows,
                                register, <n8*>NULL)
                left = 8
            elif left >= 4 and fits(rows, 4):
                column_of_tiles(a, a_row, a_col, panel, b_row, b_panel, c + j, c_row, depth, add, rows,
                                register, <n4*>NULL)
                left = 4
            elif left >= 2 and far:
                column_of_tiles(a, a_row, a_col, panel, b_row, b_panel, c + j, c_row, depth, add, rows,
                                register, <far2*>NULL)
                left = 2
            elif left >= 2 and shared:
                column_of_tiles(a, a_row, a_col, panel, b_row, b_panel, c + j, c_row, depth, add, rows,
                                register, <next2*>NULL)
                left = 2
            elif left >= 2:
                column_of_tiles(a, a_row, a_col, panel, b_row, b_panel, c + j, c_row, depth, add, rows,
                                register, <n2*>NULL)
                left = 2
            else:
                column_of_tiles(a, a_row, a_col, panel, b_row, b_panel, c + j, c_row, depth, add, rows,
                                register, <n1*>NULL)
            j += left * lanes
            panel += left // 2 * b_panel
        p += K_BLOCK
        a += K_BLOCK * a_col


cdef inline void team_product(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                              const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                              floating* c, Py_ssize_t c_row,
                              Py_ssize_t rows, Py_ssize_t width, Py_ssize_t k, bint accumulate,
                              bint shared) noexcept nogil:
    """`matmul` in this dtype.

    With registers of 64 bytes two tiles of doubles at a time pass all panels: their rows take twice
    the cache lines of floats, and do not stay in the first-level cache while all tiles pass.
    """
    cdef Py_ssize_t first, last = 0, index, blocks = 1
    if floating is float:
        matmul(a, a_row, a_col, b, b_row, b_panel, c, c_row, rows, width, k, accumulate, shared, <f32_vec*>NULL)
    else:
        if sizeof(f64_vec) == CACHE_LINE and a_col == 1:
            blocks = (rows + 2 * MAX_ROWS - 1) // (2 * MAX_ROWS)
        for index in range(1, blocks + 1):
            first = last
            last = rows * index // blocks
            matmul(a + first * a_row, a_row, a_col, b, b_row, b_panel, c + first * c_row, c_row, last - first, width, k,
                   accumulate, shared, <f64_vec*>NULL)


cdef inline void product(const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
                         const floating* b, Py_ssize_t b_row, Py_ssize_t b_panel,
                         floating* c, Py_ssize_t c_row,
                         Py_ssize_t rows, Py_ssize_t width, Py_ssize_t k, bint accumulate) noexcept nogil:
    """C (rows, width) <- A (rows, k) B (k, width), added to C if `accumulate`, in this dtype."""
    team_product(a, a_row, a_col, b, b_row, b_panel, c, c_row, rows, width, k, accumulate, False)


cdef inline bint by_copies(Py_ssize_t x_row, Py_ssize_t width, const floating* tag) noexcept nogil:
    """Whether x^T delta, (n, width), works on copies of x, whose rows are x_row elements apart."""
    return x_row * <Py_ssize_t>sizeof(floating) >= FAR_X and width >= WIDE_DELTA


cdef inline Py_ssize_t copied_size(Py_ssize_t n, const floating* tag) noexcept nogil:
    """Number of elements in a copy of n columns of x."""
    return padded(n, tag) * COPIED_ROWS


cdef inline void product_over_rows(const floating* x, Py_ssize_t x_row,
                                   const floating* delta, Py_ssize_t delta_row, Py_ssize_t delta_panel,
                                   floating* c, Py_ssize_t c_row, Py_ssize_t n, Py_ssize_t width, Py_ssize_t rows,
                                   bint accumulate, bint shared, floating* copied) noexcept nogil:
    """C (n, width) <- x (rows, n)^T delta (rows, width), added to C if `accumulate`.

    Where `by_copies` says so, n columns of x are copied, COPIED_ROWS rows at a time, so that steps
    over k are neighbours in memory.
    """
    cdef Py_ssize_t pitch = padded(n, x), first = 0, count, r
    if not by_copies(x_row, width, x):
        team_product(x, 1, x_row, delta, delta_row, delta_panel, c, c_row, n, width, rows, accumulate, shared)
        return
    while first < rows:
        count = min(rows - first, <Py_ssize_t>COPIED_ROWS)
        for r in range(count):
            memcpy(copied + r * pitch, x + (first + r) * x_row, n * sizeof(floating))
        team_product(<const floating*>copied, 1, pitch, delta + first * delta_row, delta_row, delta_panel, c, c_row, n,
                     width, count, accumulate or first > 0, shared)
        first += count


cdef inline vec add_halves(vec x, vec y) noexcept nogil:
    """x[i] + x[i + half] and y[i] + y[i + half], alternating: one round of `add_across`."""
    return interleave_low(x, y) + interleave_high(x, y)


cdef inline vec add_across(vec* x) noexcept nogil:
    """Lane i of the result is the sum of the lanes of x[i]; x is a square of registers."""
    cdef Py_ssize_t lanes = sizeof(vec) // (sizeof(float) if vec is f32_vec else sizeof(double)), i = 0
    while i < lanes // 2:
        x[i] = add_halves(x[i], x[i + lanes // 2])
        i += 1
    i = 0
    while i < lanes // 4:
        x[i] = add_halves(x[i], x[i + lanes // 4])
        i += 1
    i = 0
    while i < lanes // 8:
        x[i] = add_halves(x[i], x[i + lanes // 8])
        i += 1
    if lanes == 16:
        x[0] = add_halves(x[0], x[1])
    return x[0]


cdef inline void dot_tiles(const floating* a, Py_ssize_t a_row, const floating* b, Py_ssize_t b_row,
                           floating* c, Py_ssize_t c_row, Py_ssize_t rows, Py_ssize_t k,
                           vec* register, height* columns_) noexcept nogil:
    """C (rows, n) <- A (rows, k) B (n, k)^T with n = sizeof(columns_).

    A tile has as many rows as their n sums fill the lanes of a register.  Each sum is kept in 64
    bytes of partial sums: one register at the widest CPU level, else `parts` of them.  They are
    added up in the same order at every level.
    """
    cdef Py_ssize_t lanes = sizeof(vec) // sizeof(floating)
    cdef Py_ssize_t unit = CACHE_LINE // sizeof(floating), parts = CACHE_LINE // sizeof(vec)
    cdef Py_ssize_t n = sizeof(height), high = max(<Py_ssize_t>1, lanes // n), count, i = 0, r, j, p, part
    cdef vec sums[4 * 16]           # (parts, 16): a tile has at most 16 sums
    cdef vec right[8]
    cdef vec left, zero
    cdef vec* of_part
    cdef floating totals[16]
    cdef Py_ssize_t step = a_row if rows >= high else 0         # with fewer rows than a tile has, each row fills one
    cdef const floating* line
    if (floating is float and vec is f32_vec) or (floating is double and vec is f64_vec):
        if vec is f32_vec:
            zero = ZERO_F32
        else:
            zero = ZERO_F64
        count = high if step > 0 else 1
        while i < rows:
            i = min(i, rows - count)        # the last tile may overlap the one before
            part = 0
            while part < parts:
                of_part = sums + part * 16
                j = 0
                while j < 16:
                    of_part[j] = zero
                    j += 1
                line = a + i * a_row + part * lanes
                p = part * lanes
                while p + lanes <= k:
                    j = 0
                    while j < n:
                        right[j] = (<vec*>(b + j * b_row + p))[0]
                        j += 1
                    r = 0
                    while r < high:
                        left = (<vec*>(line + r * step))[0]
                        j = 0
                        while j < n:
                            of_part[r * n + j] = of_part[r * n + j] + left * right[j]
                            j += 1
                        r += 1
                    p += unit
                    line += unit
                if p < k:
                    j = 0
                    while j < n:
                        right[j] = first_lanes((<vec*>(b + j * b_row + p))[0], k - p)
                        j += 1
                    r = 0
                    while r < high:
                        left = first_lanes((<vec*>(line + r * step))[0], k - p)
                        j = 0
                        while j < n:
                            of_part[r * n + j] = of_part[r * n + j] + left * right[j]
                            j += 1
                        r += 1
                part += 1
            part = parts // 2
            while part > 0:
                j = 0
                while j < 16 * part:
                    sums[j] = sums[j] + sums[16 * part + j]
                    j += 1
                part //= 2
            j = 0
            while j < n * high:
                (<vec*>(totals + j))[0] = add_across(sums + j)
                j += lanes
            for r in range(count):
                for j in range(n):
                    c[(i + r) * c_row + j] = totals[r * n + j]
            i += count


cdef inline void dots_of(const floating* a, Py_ssize_t a_row, const floating* b, Py_ssize_t b_row,
                         floating* c, Py_ssize_t c_row, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k,
                         vec* register) noexcept nogil:
    """`dot_tiles` for n columns, a number that the compiler then knows."""
    if n == 1:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n1*>NULL)
    elif n == 2:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n2*>NULL)
    elif n == 3:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n3*>NULL)
    elif n == 4:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n4*>NULL)
    elif n == 5:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n5*>NULL)
    elif n == 6:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n6*>NULL)
    elif n == 7:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n7*>NULL)
    elif n == 8:
        dot_tiles(a, a_row, b, b_row, c, c_row, rows, k, register, <n8*>NULL)


cdef inline void dots(const floating* a, Py_ssize_t a_row, const floating* b, Py_ssize_t b_row,
                      floating* c, Py_ssize_t c_row, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """C (rows, n) <- A (rows, k) B (n, k)^T for n <= NARROW, where a tile would be mostly padding.

    Each element is a fixed tree of chains, 16 for float and 8 for double (64 bytes); chain c adds
    the products of the p with p % chains == c.  Rows of A and B are read in whole registers: after
    the last element memory must be readable up to a multiple of 64 bytes.
    """
    if floating is float:
        dots_of(a, a_row, b, b_row, c, c_row, rows, n, k, <f32_vec*>NULL)
    else:
        dots_of(a, a_row, b, b_row, c, c_row, rows, n, k, <f64_vec*>NULL)


cdef inline Py_ssize_t panel_width(const floating* tag) noexcept nogil:
    """Columns of a panel of B: two registers."""
    return PANEL_BYTES // sizeof(floating)


cdef inline Py_ssize_t padded(Py_ssize_t n, const floating* tag) noexcept nogil:
    """n rounded up to whole registers of the widest CPU level."""
    cdef Py_ssize_t unit = CACHE_LINE // sizeof(floating)
    return (n + unit - 1) // unit * unit


cdef inline Py_ssize_t padded_row(Py_ssize_t n, const floating* tag) noexcept nogil:
    """Row stride for n elements and the 1 that multiplies the bias.

    It is an odd number of cache lines where a row has more than three.  With a stride of a power of
    two all rows share a few sets of the cache (1024 columns, AVX-512: 222 GFLOP/s instead of 229).
    """
    cdef Py_ssize_t unit = CACHE_LINE // sizeof(floating)
    cdef Py_ssize_t lines = n // unit + 1
    return (lines + (lines > 3 and lines % 2 == 0)) * unit


cdef inline void transpose_square(vec* rows) noexcept nogil:
    """Transposes a square: as many registers as one has lanes.

    It takes log2(lanes) rounds; each interleaves row i with row i + half.
    """
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


cdef inline bint by_dots(Py_ssize_t n, Py_ssize_t k, const floating* tag) noexcept nogil:
    """Whether a product of n columns and inner size k is computed by dot products."""
    return n <= NARROW and k * <Py_ssize_t>sizeof(floating) >= LONG


cdef inline bint by_transpose(Py_ssize_t n, const floating* tag) noexcept nogil:
    """Whether x^T delta (n_in, n) is computed as its transpose, whose rows need no padding.

    It is where the padding is at least a ninth of n.
    """
    return 9 * padded(n, tag) >= 10 * n


cdef inline void transpose_rows(const floating* source, Py_ssize_t source_row, Py_ssize_t n, Py_ssize_t columns_,
                                floating* out, vec* register) noexcept nogil:
    """out (columns_, n), without gaps, <- source (n, columns_)^T, in squares of lanes x lanes.

    The last square of a row of out also writes into the beginning of the next row, so squares are
    written from right to left.
    """
    cdef Py_ssize_t lanes = sizeof(vec) // sizeof(floating), r, i, j
    cdef vec square[16]
    if (floating is float and vec is f32_vec) or (floating is double and vec is f64_vec):
        i = (n - 1) // lanes * lanes
        while i >= 0:
            r = 0
            while r < columns_:
                j = 0
                while j < lanes:
                    square[j] = (<vec*>(source + min(i + j, n - 1) * source_row + r))[0]
                    j += 1
                transpose_square(square)
                j = 0
                while j < lanes:
                    (<vec*>(out + (r + j) * n + i))[0] = square[j]
                    j += 1
                r += lanes
            i -= lanes


cdef inline void transpose(const floating* source, Py_ssize_t source_row, Py_ssize_t n, Py_ssize_t columns_,
                           floating* out) noexcept nogil:
    """out (columns_, n) <- source (n, columns_)^T: `transpose_rows` for this dtype."""
    if floating is float:
        transpose_rows(source, source_row, n, columns_, out, <f32_vec*>NULL)
    else:
        transpose_rows(source, source_row, n, columns_, out, <f64_vec*>NULL)


cdef inline void pack_transposed_rows(const floating* w, Py_ssize_t n_in, Py_ssize_t n_out, Py_ssize_t first,
                                      Py_ssize_t last, floating* panels, vec* register) noexcept nogil:
    """Panels of W^T from rows first..last of W (n_in, n_out); first is a multiple of lanes."""
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


cdef inline void pack_transposed(const floating* w, Py_ssize_t n_in, Py_ssize_t n_out, Py_ssize_t first,
                                 Py_ssize_t last, floating* panels) noexcept nogil:
    """Panels of W^T from rows first..last of W: `pack_transposed_rows` for this dtype."""
    if floating is float:
        pack_transposed_rows(w, n_in, n_out, first, last, panels, <f32_vec*>NULL)
    else:
        pack_transposed_rows(w, n_in, n_out, first, last, panels, <f64_vec*>NULL)


cdef inline Py_ssize_t whole_panels(Py_ssize_t n, const floating* tag) noexcept nogil:
    """Columns that a product reads: n rounded up to 64 bytes, then to whole panels."""
    cdef Py_ssize_t panel = panel_width(tag)
    return (padded(n, tag) + panel - 1) // panel * panel


cdef inline Py_ssize_t transposed_size(Py_ssize_t n_in, Py_ssize_t n_out, const floating* tag) noexcept nogil:
    """Number of elements in the panels of W^T."""
    return whole_panels(n_in, tag) * padded(n_out, tag)


cdef inline void pack(const floating* b, Py_ssize_t b_row, Py_ssize_t b_col, Py_ssize_t k, Py_ssize_t n,
                      Py_ssize_t first, Py_ssize_t last, floating* panels) noexcept nogil:
    """Copies rows first..last of B (k, n), with any strides, into its panels, padded with zeros."""
    cdef Py_ssize_t panel = panel_width(b)
    cdef Py_ssize_t j, r, i, count
    cdef floating* out
    j = 0
    while j < n:
        count = min(panel, n - j)
        out = panels + j * k
        if b_row == 1:              # B is by columns: read each along its memory
            for i in range(count):
                for r in range(first, last):
                    out[r * panel + i] = b[r + (j + i) * b_col]
        else:
            for r in range(first, last):
                for i in range(count):
                    out[r * panel + i] = b[r * b_row + (j + i) * b_col]
        for r in range(first, last):
            for i in range(count, panel):
                out[r * panel + i] = 0
        j += panel


cdef inline Py_ssize_t packed_size(Py_ssize_t k, Py_ssize_t n, const floating* tag) noexcept nogil:
    """Number of elements in the panels of B (k, n)."""
    return whole_panels(n, tag) * k


cdef inline void pack_columns(const floating* b, Py_ssize_t b_row, Py_ssize_t b_col, Py_ssize_t k, Py_ssize_t n,
                              Py_ssize_t first, Py_ssize_t last, floating* columns_) noexcept nogil:
    """Copies rows first..last of B (k, n), with any strides, into its columns for `dots`."""
    cdef Py_ssize_t r, j, pitch = padded(k, b)
    for r in range(first, last):
        for j in range(n):
            columns_[j * pitch + r] = b[r * b_row + j * b_col]
