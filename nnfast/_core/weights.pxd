# cython: cdivision=True
"""The second half of a step: gradient, penalties, step and constraints, by rows of [W; b].

Each thread has rows of each [W; b] (`divide_rows`).  It computes their gradient over the whole
batch, one block of rows at a time, applies the optimizer while the block is in the cache, and
repacks it:

    update_rows      gradient of a block, penalties, then one of
        step_rows    the optimizer's step, weight constraints, panels
        defer_rows   keeps the gradient: a norm or a sum over batches needs all of it first
    deferred_step    after a barrier: step_rows with the gradient that was kept

Rejected: a gradient for each thread over its rows of the batch.  It needs a reduction between
threads, and its sums would depend on their number.
"""
from cython cimport floating
from libc.math cimport sqrt as sqrt64
from libc.string cimport memcpy, memmove, memset
from nnfast._core.forward cimport repack_forward
from nnfast._core.layers cimport BATCH_NORM, DENSE, Layer, layer_sums
from nnfast._core.mathf cimport copysign, dot_wide, fabs, multiply_add, sum_wide
from nnfast._core.matmul cimport (
    by_transpose, pack_transposed, padded, panel_width, product_over_rows, team_product, transpose)
from nnfast._core.optimizers cimport all_finite, average_weights, begin_step, clip, optimizer_step, squares
from nnfast._core.plan cimport CHUNK, GROUP_ROWS, MAX_NORM, NON_NEGATIVE, Plan, at, first_column, record_bad_gradient
from nnfast._core.sparse cimport product_sparse, sort_columns
from nnfast._core.team cimport barrier
from nnfast._core.vectors cimport CACHE_LINE


cdef inline void repack(const Plan* p, const Layer* layer, Py_ssize_t first, Py_ssize_t last,
                        const floating* tag) noexcept nogil:
    """Copies rows first..last of [W; b] into the panels and columns that products read."""
    if layer.transposed >= 0:
        pack_transposed(<const floating*>p.params + layer.kernel, layer.n_in, layer.n_out, first, min(last, layer.n_in),
                        <floating*>p.work.packed + layer.transposed)
    repack_forward(p, layer, &p.work, first, last, tag)


cdef inline Py_ssize_t groups_of(const Layer* layer) noexcept nogil:
    """Groups of rows of W; each has a penalty value, and the value of the bias follows them."""
    return (layer.of_kernel + GROUP_ROWS - 1) // GROUP_ROWS


cdef inline double penalize_elements(const floating* w, floating* gradient, Py_ssize_t size, double l1, double l2,
                                     double scale) noexcept nogil:
    """gradient (size,) += scale (l1 sign(w) + 2 l2 w); returns sum(l1 |w| + l2 w^2)."""
    cdef floating absolute[CHUNK]
    cdef floating slope = 2 * l2 * scale, step = l1 * scale
    cdef Py_ssize_t begin = 0, count, i
    cdef double value = l2 * dot_wide(w, w, size)
    for i in range(size):
        gradient[i] += slope * w[i]
    while begin < size and l1 != 0:
        count = min(size - begin, <Py_ssize_t>CHUNK)
        for i in range(count):
            absolute[i] = fabs(w[begin + i])
            gradient[begin + i] += copysign(step, w[begin + i]) if w[begin + i] != 0 else <floating>0
        value += l1 * sum_wide(absolute, count)
        begin += count
    return value


cdef inline void penalize(Plan* p, const Layer* layer, floating* gradient, Py_ssize_t first,
                          Py_ssize_t last) noexcept nogil:
    """Adds the gradient of penalties on rows first..last of [W; b], and stores their values."""
    cdef const floating* w = <const floating*>p.params + layer.kernel + first * layer.n_out
    cdef double* values = p.penalties.values + layer.penalty
    cdef double scale = p.batch.penalty_scale
    cdef Py_ssize_t size
    while first < min(last, layer.of_kernel):
        size = (min(first + GROUP_ROWS, layer.of_kernel) - first) * layer.n_out
        values[first // GROUP_ROWS] = penalize_elements(w, gradient, size, layer.l1, layer.l2, scale)
        first += GROUP_ROWS
        gradient += size
        w += size
    if last > layer.of_kernel:
        values[groups_of(layer)] = penalize_elements(w, gradient, layer.n_out, layer.bias_l1, layer.bias_l2, scale)


cdef inline double penalty(const Plan* p) noexcept nogil:
    """Sum of the penalties on all weights, in a fixed order."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(p.penalties.n):
        total += p.penalties.values[i]
    return total * p.batch.penalty_scale


cdef inline floating* kept_gradient(const Plan* p, const floating* tag) noexcept nogil:
    """(n_params,): the gradient that waits for a deferred step."""
    return <floating*>p.grads if p.optimizer.accumulator < 0 else <floating*>p.optimizer.slots + p.optimizer.accumulator


cdef inline void keep_positive(floating* w, Py_ssize_t size) noexcept nogil:
    """w <- max(w, 0)."""
    cdef Py_ssize_t i
    for i in range(size):
        w[i] = 0 if w[i] <= 0 else w[i]


cdef inline void constrain_rows(const Layer* layer, floating* w, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """w <- max(w, 0) for rows first..last of [W; b], at w, if their constraint is non-negative."""
    cdef Py_ssize_t size = max(<Py_ssize_t>0, min(last, layer.of_kernel) - first) * layer.n_out
    if layer.constraint[0] == NON_NEGATIVE:
        keep_positive(w, size)
    if layer.constraint[1] == NON_NEGATIVE and last > layer.of_kernel:
        keep_positive(w + size, layer.n_out)


cdef inline void bound_norms(floating* w, Py_ssize_t rows, Py_ssize_t row, Py_ssize_t first, Py_ssize_t last,
                             double bound) noexcept nogil:
    """w[:, c] *= min(norm, bound) / (1e-7 + norm), norm = |w[:, c]|, as Keras' MaxNorm does.

    It is for columns first..last of w, which has `rows` rows, `row` elements apart.
    """
    cdef double squared[GROUP_ROWS]
    cdef double norm
    cdef floating factors[GROUP_ROWS]
    cdef Py_ssize_t c = first, r, i, count
    while c < last:
        count = min(<Py_ssize_t>GROUP_ROWS, last - c)
        for i in range(count):
            squared[i] = 0
        for r in range(rows):
            for i in range(count):
                squared[i] += <double>w[r * row + c + i] * <double>w[r * row + c + i]
        for i in range(count):
            norm = sqrt64(squared[i])
            factors[i] = min(norm, bound) / (1e-7 + norm)
        for r in range(rows):
            for i in range(count):
                w[r * row + c + i] = w[r * row + c + i] * factors[i]
        c += GROUP_ROWS


cdef inline void bound_layers(Plan* p, int thread, int size, const floating* tag) noexcept nogil:
    """Bounds norms of this thread's columns of the kernels and of its biases; repacks its rows."""
    cdef Layer* layer
    cdef floating* w
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    cdef int index
    for index in range(p.n_layers):
        layer = p.layers + index
        if layer.frozen:
            continue
        w = <floating*>p.params + layer.kernel
        if layer.constraint[0] == MAX_NORM:
            bound_norms(w, layer.of_kernel, layer.n_out, first_column(layer.n_out, thread, size),
                        first_column(layer.n_out, thread + 1, size), layer.bound[0])
        if layer.constraint[1] == MAX_NORM and thread == index % size:      # Keras' axis 0: the whole bias
            bound_norms(w + layer.of_kernel * layer.n_out, layer.n_out, 1, 0, 1, layer.bound[1])
    barrier(&p.threads.team, thread, size)
    for index in range(p.n_layers):
        repack(p, p.layers + index, first[index], first[p.n_layers + index], tag)


cdef inline void update_moving_moments(Plan* p, const floating* tag) noexcept nogil:
    """moving <- momentum moving + (1 - momentum) batch, for means and variances of batch norm."""
    cdef const Layer* layer
    cdef const floating* moments
    cdef floating* state
    cdef floating kept
    cdef Py_ssize_t i
    cdef int index
    for index in range(p.n_layers):
        layer = p.layers + index
        if layer.kind == BATCH_NORM:
            state = <floating*>p.state + layer.state
            moments = <const floating*>p.moments + layer.moments
            kept = layer.momentum
            for i in range(2 * layer.n_out):
                state[i] = multiply_add(state[i], kept, moments[i] * (<floating>1 - kept))


cdef inline void average_frozen(Plan* p, const floating* w, Py_ssize_t offset, Py_ssize_t size) noexcept nogil:
    """The running mean of frozen weights is a copy of them: a sum could round."""
    if p.optimizer.average >= 0:
        memcpy(<floating*>p.optimizer.slots + p.optimizer.average + offset, w, size * sizeof(floating))


cdef inline void average_rows(Plan* p, floating* w, Py_ssize_t offset, Py_ssize_t size) noexcept nogil:
    """Updates the running mean of the weights w (size,); if `overwriting` it replaces them."""
    if p.optimizer.average >= 0:
        average_weights(w, <floating*>p.optimizer.slots + p.optimizer.average + offset, size,
                        p.batch.ema_momentum, p.batch.overwriting)


cdef inline void step_rows(Plan* p, Layer* layer, floating* gradient, Py_ssize_t first, Py_ssize_t last,
                           int thread) noexcept nogil:
    """Step on rows first..last of [W; b]; gradient (last - first, n_out) is clipped in place."""
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out
    cdef floating* w = <floating*>p.params + offset
    cdef floating* slots = <floating*>p.optimizer.slots + offset
    if layer.frozen:
        average_frozen(p, w, offset, size)
        return
    if p.optimizer.clipvalue > 0:
        if p.job.check and not all_finite(gradient, size):          # clipping would hide it
            record_bad_gradient(p, thread)
        clip(gradient, size, p.optimizer.clipvalue)
    optimizer_step(p.optimizer.kind, w, gradient, slots, slots + p.n_params, slots + 2 * p.n_params, size,
                   p.optimizer.settings, p.batch.steps + layer.rate_index)
    average_rows(p, w, offset, size)
    if p.job.check and not all_finite(w, size):     # every optimizer makes weights of a bad gradient not finite
        record_bad_gradient(p, thread)
    constrain_rows(layer, w, first, last)
    repack(p, layer, first, last, gradient)


cdef inline void defer_rows(Plan* p, Layer* layer, const floating* gradient, Py_ssize_t first, Py_ssize_t last,
                            int thread) noexcept nogil:
    """Stores the gradient of rows first..last of [W; b], or adds it to the sum over batches."""
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out, i
    cdef floating* kept = kept_gradient(p, gradient) + offset
    cdef floating* w = <floating*>p.params + offset
    if p.job.check and not all_finite(gradient, size):
        record_bad_gradient(p, thread)
    if p.optimizer.accumulator < 0:
        memcpy(kept, gradient, size * sizeof(floating))
        return
    for i in range(size):
        kept[i] = kept[i] + gradient[i]
    if p.batch.stepping:
        return
    if layer.frozen:
        average_frozen(p, w, offset, size)
        return
    average_rows(p, w, offset, size)        # as in Keras, mean and constraints apply after each batch, not each step
    if (p.optimizer.average >= 0 and p.batch.overwriting
            or layer.constraint[0] == NON_NEGATIVE or layer.constraint[1] == NON_NEGATIVE):
        constrain_rows(layer, w, first, last)
        repack(p, layer, first, last, gradient)


cdef inline void gradient_of_rows(Plan* p, const Layer* layer, floating* gradient, Py_ssize_t first, Py_ssize_t last,
                                  Py_ssize_t rows, bint accumulate) noexcept nogil:
    """gradient (last - first, n_out) <- rows first..last of [x 1]^T delta; + grads if `accumulate`.

    The sums run over `rows` rows of the workspace.
    """
    cdef const floating* grads = NULL                                                   # (n, n_out)
    cdef Py_ssize_t x_stride = layer.input_stride, stride = layer.gradient_row, n = last - first, width, r, i
    cdef const floating* x = at(&p.work, layer.input, x_stride, 0, gradient)            # (rows, n_in) and a column of 1
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, 0, gradient)    # (rows, n_out)
    cdef floating* transposed                                                           # (n_out, n)
    if accumulate:
        grads = <const floating*>p.grads + layer.kernel + first * layer.n_out
    if layer.kind != DENSE:
        # e.g. dgamma = (delta * normalized).sum(axis=0), dbeta = delta.sum(axis=0)
        layer_sums(layer, x, at(&p.work, layer.normalized, layer.stride, 0, gradient), delta, rows, gradient)
        for i in range(n * layer.n_out if accumulate else 0):
            gradient[i] += grads[i]
    elif layer == p.layers and p.job.x.indices != NULL:
        # dW = x.T @ delta, x sparse
        if accumulate:
            memcpy(gradient, grads, n * layer.n_out * sizeof(floating))
        product_sparse(p, gradient, first, last, rows, accumulate)
    elif by_transpose(layer.n_out, gradient):
        # dW.T = delta.T @ x
        width = padded(n, gradient)
        transposed = gradient + layer.block_size
        if accumulate:
            for r in range(n):
                for i in range(layer.n_out):
                    transposed[i * width + r] = grads[r * layer.n_out + i]
        team_product(delta, 1, layer.stride, x + first, x_stride, panel_width(gradient), transposed, width, layer.n_out,
                     width, rows, accumulate, p.work.shared)
        transpose(transposed, width, layer.n_out, n, gradient)
    else:
        # dW = x.T @ delta
        if accumulate:
            for r in range(n):
                memcpy(gradient + r * stride, grads + r * layer.n_out, layer.n_out * sizeof(floating))
        product_over_rows(x + first, x_stride, delta, layer.stride, panel_width(gradient), gradient, stride, n,
                          layer.width, rows, accumulate, p.work.shared, gradient + p.threads.copied)
        if stride != layer.n_out:       # remove the padding in place: rows only move to lower addresses
            for r in range(1, n):
                i = 0
                while i < layer.width:
                    memmove(gradient + r * layer.n_out + i, gradient + r * stride + i, CACHE_LINE)
                    i += CACHE_LINE // <Py_ssize_t>sizeof(floating)


cdef inline void update_rows(Plan* p, Layer* layer, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows, bint accumulate,
                             bint final, int thread, const floating* tag) noexcept nogil:
    """Gradient of rows first..last of [W; b], added to grads if `accumulate`; if `final` the step.

    The workspace has `rows` rows.  A batch that it cannot hold comes in parts: `accumulate` is
    False for the first, `final` is True for the last.
    """
    cdef floating* gradient = <floating*>(p.threads.scratch + thread * p.threads.scratch_size)
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out
    cdef floating* grads = <floating*>p.grads
    gradient_of_rows(p, layer, gradient, first, last, rows, accumulate)
    if final and p.penalties.on_weights:
        penalize(p, layer, gradient, first, last)
    if not final or not p.job.update:
        if p.job.check and not all_finite(gradient, size):
            record_bad_gradient(p, thread)
        memcpy(grads + offset, gradient, size * sizeof(floating))
    elif p.optimizer.deferred:
        defer_rows(p, layer, gradient, first, last, thread)
    else:
        step_rows(p, layer, gradient, first, last, thread)


cdef inline void find_gradient_factors(Plan* p, const floating* tag) noexcept nogil:
    """Factors of gradients in a deferred step, by kernel and bias: mean * bound / max(norm, bound).

    mean = 1 / number of batches added up; norm is the norm of the mean gradient of this kernel or
    bias (clipnorm), or of all of them (global_clipnorm).
    """
    cdef const floating* gradient = kept_gradient(p, tag)
    cdef Layer* layer
    cdef double mean = 1. / p.optimizer.accumulate, total = 0, norm, bound
    cdef const floating* of_layer
    cdef Py_ssize_t size
    cdef int index, i
    for index in range(p.n_layers):
        layer = p.layers + index
        for i in range(2):
            p.batch.factors[2 * index + i] = 0
        if layer.k > 0 and (p.optimizer.clipnorm > 0 or p.optimizer.global_clipnorm > 0):
            of_layer = gradient + layer.kernel
            size = layer.of_kernel * layer.n_out
            p.batch.factors[2 * index] = squares(of_layer, size)
            p.batch.factors[2 * index + 1] = squares(of_layer + size, layer.k * layer.n_out - size)
            total += p.batch.factors[2 * index] + p.batch.factors[2 * index + 1]
    bound = p.optimizer.clipnorm if p.optimizer.clipnorm > 0 else p.optimizer.global_clipnorm
    for i in range(2 * p.n_layers):
        norm = sqrt64(p.batch.factors[i] if p.optimizer.clipnorm > 0 else total) * mean
        p.batch.factors[i] = mean * bound / norm if norm > bound > 0 else mean


cdef inline Py_ssize_t end_of_block(const Layer* layer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """End of the block of rows of [W; b] that begins at `first`; it includes a short rest."""
    return first + layer.block if last - first >= layer.block + GROUP_ROWS else last


cdef inline void deferred_step(Plan* p, int thread, const floating* tag) noexcept nogil:
    """Step on this thread's rows of each [W; b] with the gradient that `defer_rows` kept."""
    cdef floating* gradient = <floating*>(p.threads.scratch + thread * p.threads.scratch_size)
    cdef floating* kept
    cdef Layer* layer
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    cdef Py_ssize_t r, end, last, i, size, of_kernel
    cdef floating of_weight, of_bias
    cdef int index
    for index in range(p.n_layers):
        layer = p.layers + index
        of_weight = p.batch.factors[2 * index]
        of_bias = p.batch.factors[2 * index + 1]
        r = first[index]
        last = first[p.n_layers + index]
        while r < last:
            end = end_of_block(layer, r, last)
            kept = kept_gradient(p, tag) + layer.kernel + r * layer.n_out
            size = (end - r) * layer.n_out
            of_kernel = max(<Py_ssize_t>0, min(size, (layer.of_kernel - r) * layer.n_out))
            for i in range(of_kernel):
                gradient[i] = of_weight * kept[i]
            for i in range(of_kernel, size):
                gradient[i] = of_bias * kept[i]
            if p.optimizer.accumulator >= 0:
                memset(kept, 0, size * sizeof(floating))
            step_rows(p, layer, gradient, r, end, thread)
            r = end


cdef inline void begin_batch(Plan* p, Py_ssize_t batch) noexcept nogil:
    """Sets p.batch for the step of a batch, by thread 0; others read it after the next barrier."""
    cdef Py_ssize_t before = p.optimizer.steps + batch - p.job.start, steps = before // p.optimizer.accumulate
    cdef double learning_rate = p.job.rates[batch - p.job.start] if p.job.rates != NULL else p.job.learning_rate
    cdef int i
    for i in range(p.optimizer.n_rates):
        begin_step(p.batch.steps + i, p.optimizer.kind, p.optimizer.settings, p.optimizer.weight_decay,
                   learning_rate * p.optimizer.multipliers[i], steps + 1)
    p.batch.stepping = (before + 1) % p.optimizer.accumulate == 0
    p.batch.ema_momentum = p.optimizer.ema_momentum if steps > 0 else 0
    p.batch.overwriting = p.optimizer.ema_overwrite > 0 and (steps + 1) % p.optimizer.ema_overwrite == 0


cdef inline void divide_rows(Plan* p, int size) noexcept nogil:
    """Divides the rows of each [W; b] between `size` threads: equal work, whole groups of rows."""
    cdef Py_ssize_t total = 0, base, groups, cost, end
    cdef int index, t
    for index in range(p.n_layers):
        total += (p.layers[index].k + GROUP_ROWS - 1) // GROUP_ROWS * p.layers[index].width
    base = 0
    for index in range(p.n_layers):
        groups = (p.layers[index].k + GROUP_ROWS - 1) // GROUP_ROWS
        cost = p.layers[index].width
        for t in range(size + 1):       # thread t has the groups whose work begins in its part of the total
            end = max(<Py_ssize_t>0, min(groups, (total * t // size - base + cost - 1) // cost))
            p.threads.first_row[t * p.n_layers + index] = min(p.layers[index].k, GROUP_ROWS * end)
        base += groups * cost


cdef inline void weights_half(Plan* p, Py_ssize_t rows, bint accumulate, bint final, int thread,
                              const floating* tag) noexcept nogil:
    """This thread's rows of each [W; b]: gradient over `rows` rows of the workspace, and step."""
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    cdef Py_ssize_t r, end, last
    cdef int index
    if p.job.x.indices != NULL:
        sort_columns(p, first[0], min(first[p.n_layers], p.n_inputs), rows, tag)
    for index in range(p.n_layers):
        r = first[index]
        last = first[p.n_layers + index]
        while r < last:
            end = end_of_block(p.layers + index, r, last)
            update_rows(p, p.layers + index, r, end, rows, accumulate, final, thread, tag)
            r = end
    if thread == 0 and p.has_batch_norm and p.job.update:
        update_moving_moments(p, tag)
