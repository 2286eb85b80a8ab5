# cython: cdivision=True
"""The second half of a step: each thread's rows of [W; b], their gradient, penalties, step and constraints."""
from cython cimport floating
from libc.math cimport sqrt as sqrt64
from libc.string cimport memcpy, memmove, memset
from nnfast._core.forward cimport repack_forward
from nnfast._core.layers cimport BATCH_NORM, DENSE, Layer, layer_sums
from nnfast._core.mathf cimport copysign, dot_wide, fabs, multiply_add, sum_wide
from nnfast._core.matmul cimport pack_transposed, padded, panel_width, product, stands_better, transpose
from nnfast._core.optimizers cimport all_finite, average_weights, begin_step, clip, optimizer_step, squares
from nnfast._core.plan cimport (
    CHUNK, GROUP_ROWS, MAX_NORM, NON_NEGATIVE, Plan, at, spoil)
from nnfast._core.sparse cimport product_sparse, sort_columns
from nnfast._core.team cimport barrier


cdef inline void repack(const Plan* p, const Layer* layer, Py_ssize_t first, Py_ssize_t last, const floating* tag) noexcept nogil:
    """Rows first..last of [W; b] into all that reads them."""
    if layer.transposed >= 0:
        pack_transposed(<const floating*>p.params + layer.kernel, layer.n_in, layer.n_out, first, min(last, layer.n_in),
                        <floating*>p.work.packed + layer.transposed)
    repack_forward(p, layer, &p.work, first, last, tag)


cdef inline Py_ssize_t groups_of(const Layer* layer) noexcept nogil:
    """Groups of rows of W that have a penalty of their own; behind them is that of the bias."""
    return (layer.of_kernel + GROUP_ROWS - 1) // GROUP_ROWS


cdef inline double penalize_elements(const floating* w, floating* gradient, Py_ssize_t size, double l1, double l2, double scale) noexcept nogil:
    """gradient += scale (l1 sign(w) + 2 l2 w); l1 |w| + l2 w^2 of all."""
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


cdef inline void penalize(Plan* p, const Layer* layer, floating* gradient, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The penalties on rows first..last of [W; b]: their gradients, and their values by groups."""
    cdef const floating* w = <const floating*>p.params + layer.kernel + first * layer.n_out
    cdef Py_ssize_t size
    while first < min(last, layer.of_kernel):
        size = (min(first + GROUP_ROWS, layer.of_kernel) - first) * layer.n_out
        p.penalties.values[layer.penalty + first // GROUP_ROWS] = penalize_elements(w, gradient, size, layer.l1, layer.l2, p.batch.penalty_scale)
        first += GROUP_ROWS
        gradient += size
        w += size
    if last > layer.of_kernel:
        p.penalties.values[layer.penalty + groups_of(layer)] = penalize_elements(w, gradient, layer.n_out, layer.bias_l1, layer.bias_l2, p.batch.penalty_scale)


cdef inline double penalty(const Plan* p) noexcept nogil:
    """The penalties on all weights, added up in their order."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(p.penalties.n):
        total += p.penalties.values[i]
    return total * p.batch.penalty_scale


cdef inline floating* held_gradient(const Plan* p, const floating* tag) noexcept nogil:
    """Where the gradient of all weights waits for its step."""
    return <floating*>p.grads if p.optimizer.accumulator < 0 else <floating*>p.optimizer.slots + p.optimizer.accumulator


cdef inline void keep_positive(floating* w, Py_ssize_t size) noexcept nogil:
    """w <- max(w, 0)."""
    cdef Py_ssize_t i
    for i in range(size):
        w[i] = 0 if w[i] <= 0 else w[i]


cdef inline void constrain_rows(const Layer* layer, floating* w, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Rows first..last of [W; b], at w, without what is below 0 where that must not be."""
    cdef Py_ssize_t size = max(<Py_ssize_t>0, min(last, layer.of_kernel) - first) * layer.n_out
    if layer.constraint[0] == NON_NEGATIVE:
        keep_positive(w, size)
    if layer.constraint[1] == NON_NEGATIVE and last > layer.of_kernel:
        keep_positive(w + size, layer.n_out)


cdef inline void bound_norms(floating* w, Py_ssize_t rows, Py_ssize_t row, Py_ssize_t first, Py_ssize_t last, double bound) noexcept nogil:
    """Columns first..last of w scaled to a Euclidean norm of at most `bound`, as Keras does: by min(norm, bound) / (1e-7 + norm)."""
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
    """This thread's columns of the kernels, and its biases, that have a bound on their norm; then its rows are packed again."""
    cdef Layer* layer
    cdef floating* w
    cdef Py_ssize_t groups
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    cdef int index
    for index in range(p.n_layers):
        layer = p.layers + index
        if layer.frozen:
            continue
        w = <floating*>p.params + layer.kernel
        groups = (layer.n_out + GROUP_ROWS - 1) // GROUP_ROWS
        if layer.constraint[0] == MAX_NORM:
            bound_norms(w, layer.of_kernel, layer.n_out, GROUP_ROWS * (groups * thread // size),
                        min(layer.n_out, GROUP_ROWS * (groups * (thread + 1) // size)), layer.bound[0])
        if layer.constraint[1] == MAX_NORM and thread == index % size:      # of a vector: Keras' axis 0
            bound_norms(w + layer.of_kernel * layer.n_out, layer.n_out, 1, 0, 1, layer.bound[1])
    barrier(&p.threads.team, size)
    for index in range(p.n_layers):
        repack(p, p.layers + index, first[index], first[p.n_layers + index], tag)


cdef inline void move_moments(Plan* p, const floating* tag) noexcept nogil:
    """The moving means and variances, after a batch whose loss is good."""
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


cdef inline void keep_rows(Plan* p, const floating* w, Py_ssize_t offset, Py_ssize_t size) noexcept nogil:
    """The running mean of frozen weights is the weights: no sum that could round."""
    if p.optimizer.average >= 0:
        memcpy(<floating*>p.optimizer.slots + p.optimizer.average + offset, w, size * sizeof(floating))


cdef inline void step_rows(Plan* p, Layer* layer, floating* gradient, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    """The optimizer's step on rows first..last of [W; b] by their gradient, which is clipped in place."""
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out
    cdef floating* w = <floating*>p.params + offset
    cdef floating* slots = <floating*>p.optimizer.slots + offset
    if layer.frozen:
        keep_rows(p, w, offset, size)
        return
    if p.optimizer.clipvalue > 0:
        if p.job.check and not all_finite(gradient, size):          # it would be hidden
            spoil(p, thread)
        clip(gradient, size, p.optimizer.clipvalue)
    optimizer_step(p.optimizer.kind, w, gradient,
                   slots, slots + p.n_params, slots + 2 * p.n_params, size, p.optimizer.settings, p.batch.steps + layer.rate_index)
    if p.optimizer.average >= 0:
        average_weights(w, <floating*>p.optimizer.slots + p.optimizer.average + offset, size, p.batch.ema_momentum, p.batch.overwriting)
    if p.job.check and not all_finite(w, size):     # as every step of a bad gradient leaves them
        spoil(p, thread)
    constrain_rows(layer, w, first, last)
    repack(p, layer, first, last, gradient)


cdef inline void hold_rows(Plan* p, Layer* layer, const floating* gradient, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    """The gradient of rows first..last of [W; b] where the step on the whole will find it."""
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out, i
    cdef floating* kept = held_gradient(p, gradient) + offset
    cdef floating* w = <floating*>p.params + offset
    if p.job.check and not all_finite(gradient, size):
        spoil(p, thread)
    if p.optimizer.accumulator < 0:
        memcpy(kept, gradient, size * sizeof(floating))
        return
    for i in range(size):
        kept[i] = kept[i] + gradient[i]
    if p.batch.stepping:
        return
    if layer.frozen:
        keep_rows(p, w, offset, size)
        return
    if p.optimizer.average >= 0:                          # Keras' mean and constraints count batches, not steps
        average_weights(w, <floating*>p.optimizer.slots + p.optimizer.average + offset, size, p.batch.ema_momentum, p.batch.overwriting)
    if (p.optimizer.average >= 0 and p.batch.overwriting) or layer.constraint[0] == NON_NEGATIVE or layer.constraint[1] == NON_NEGATIVE:
        constrain_rows(layer, w, first, last)
        repack(p, layer, first, last, gradient)


cdef inline void update_rows(Plan* p, Layer* layer, const floating* a, Py_ssize_t a_stride, Py_ssize_t first, Py_ssize_t last,
                             Py_ssize_t rows, bint more, bint final, int thread) noexcept nogil:
    """Rows first..last of [W; b]: d[W; b] = [a 1]^T delta, added to grads if `more`; if `final` the optimizer's step."""
    cdef floating* gradient = <floating*>(p.threads.scratch + thread * p.threads.scratch_size)
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out
    cdef Py_ssize_t size = (last - first) * layer.n_out
    cdef Py_ssize_t stride = layer.gradient_row, width, r, i
    cdef floating* grads = <floating*>p.grads
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, 0, gradient)
    cdef floating* upright
    if layer.kind != DENSE:
        layer_sums(layer, at(&p.work, layer.input, layer.input_stride, 0, gradient), at(&p.work, layer.normalized, layer.stride, 0, gradient),
                   delta, rows, gradient)
        for i in range(size if more else 0):
            gradient[i] += grads[offset + i]
    elif layer == p.layers and p.job.x.indices != NULL:
        if more:
            memcpy(gradient, grads + offset, size * sizeof(floating))
        product_sparse(p, gradient, first, last, rows, more)
    elif stands_better(layer.n_out, gradient):
        width = padded(last - first, gradient)
        upright = gradient + layer.block_size
        if more:
            for r in range(last - first):
                for i in range(layer.n_out):
                    upright[i * width + r] = grads[offset + r * layer.n_out + i]
        product(delta, 1, layer.stride, a + first, a_stride, panel_width(gradient), upright, width, layer.n_out, width, rows, more)
        transpose(upright, width, layer.n_out, last - first, gradient)
    else:
        if more:
            for r in range(last - first):
                memcpy(gradient + r * stride, grads + offset + r * layer.n_out, layer.n_out * sizeof(floating))
        product(a + first, 1, a_stride, delta, layer.stride, panel_width(gradient), gradient, stride, last - first, layer.width, rows, more)
        if stride != layer.n_out:       # close up the padding: in place, rows only move down
            for r in range(1, last - first):
                i = 0
                while i < layer.width:
                    memmove(gradient + r * layer.n_out + i, gradient + r * stride + i, 64)
                    i += 64 // <Py_ssize_t>sizeof(floating)
    if final and p.penalties.on_weights:
        penalize(p, layer, gradient, first, last)
    if not final or not p.job.update:
        if p.job.check and not all_finite(gradient, size):
            spoil(p, thread)
        memcpy(grads + offset, gradient, size * sizeof(floating))
    elif p.optimizer.held:
        hold_rows(p, layer, gradient, first, last, thread)
    else:
        step_rows(p, layer, gradient, first, last, thread)


cdef inline void measure_gradient(Plan* p, const floating* tag) noexcept nogil:
    """The factor of each kernel and bias: 1 / batches added up, and c / max(norm, c) of its own norm or of that of all."""
    cdef const floating* gradient = held_gradient(p, tag)
    cdef Layer* layer
    cdef double mean = 1. / p.optimizer.accumulate, total = 0, norm, most
    cdef int index, i
    for index in range(p.n_layers):
        layer = p.layers + index
        for i in range(2):
            p.batch.factors[2 * index + i] = 0
        if layer.k > 0 and (p.optimizer.clipnorm > 0 or p.optimizer.global_clipnorm > 0):
            p.batch.factors[2 * index] = squares(gradient + layer.kernel, layer.of_kernel * layer.n_out)
            p.batch.factors[2 * index + 1] = squares(gradient + layer.kernel + layer.of_kernel * layer.n_out, (layer.k - layer.of_kernel) * layer.n_out)
            total += p.batch.factors[2 * index] + p.batch.factors[2 * index + 1]
    most = p.optimizer.clipnorm if p.optimizer.clipnorm > 0 else p.optimizer.global_clipnorm
    for i in range(2 * p.n_layers):
        norm = sqrt64(p.batch.factors[i] if p.optimizer.clipnorm > 0 else total) * mean
        p.batch.factors[i] = mean * most / norm if norm > most > 0 else mean


cdef inline void held_step(Plan* p, int thread, const floating* tag) noexcept nogil:
    """The step on this thread's rows of each [W; b] by the gradient that `hold_rows` has kept."""
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
            end = r + layer.block if last - r >= layer.block + GROUP_ROWS else last
            kept = held_gradient(p, tag) + layer.kernel + r * layer.n_out
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
    """What the step of a batch is about, by thread 0: the others read it behind the next barrier."""
    cdef Py_ssize_t before = p.optimizer.steps + batch - p.job.start, steps = before // p.optimizer.accumulate
    cdef double rate = p.job.rates[batch - p.job.start] if p.job.rates != NULL else p.job.learning_rate
    cdef int i
    for i in range(p.optimizer.n_rates):
        begin_step(p.batch.steps + i, p.optimizer.kind, p.optimizer.settings, p.optimizer.weight_decay, rate * p.optimizer.multipliers[i], steps + 1)
    p.batch.stepping = (before + 1) % p.optimizer.accumulate == 0
    p.batch.ema_momentum = p.optimizer.ema_momentum if steps > 0 else 0
    p.batch.overwriting = p.optimizer.ema_overwrite > 0 and (steps + 1) % p.optimizer.ema_overwrite == 0


cdef inline void divide_rows(Plan* p, int size) noexcept nogil:
    """Each thread's rows of each [W; b]: equal work, whole groups."""
    cdef Py_ssize_t total = 0, base, groups, cost, end
    cdef int index, t
    for index in range(p.n_layers):
        total += (p.layers[index].k + GROUP_ROWS - 1) // GROUP_ROWS * p.layers[index].width
    base = 0
    for index in range(p.n_layers):
        groups = (p.layers[index].k + GROUP_ROWS - 1) // GROUP_ROWS
        cost = p.layers[index].width
        for t in range(size + 1):       # thread t has the groups whose work begins in its part of the total
            end = (total * t // size - base + cost - 1) // cost
            p.threads.first_row[t * p.n_layers + index] = min(p.layers[index].k, GROUP_ROWS * max(<Py_ssize_t>0, min(groups, end)))
        base += groups * cost


cdef inline void weights_half(Plan* p, Py_ssize_t rows, bint more, bint final, int thread, const floating* tag) noexcept nogil:
    """This thread's rows of each [W; b]: gradient over `rows` rows of the workspace, and step."""
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    cdef Py_ssize_t r, end, last
    cdef const Layer* layer
    cdef int index
    if p.job.x.indices != NULL:
        sort_columns(p, first[0], min(first[p.n_layers], p.n_inputs), rows, tag)
    for index in range(p.n_layers):
        layer = p.layers + index
        r = first[index]
        last = first[p.n_layers + index]
        while r < last:
            end = r + layer.block if last - r >= layer.block + GROUP_ROWS else last       # no block for the bias alone
            update_rows(p, p.layers + index, at(&p.work, layer.input, layer.input_stride, 0, tag), layer.input_stride, r, end, rows,
                        more, final, thread)
            r = end
    if thread == 0 and p.has_batch_norm and p.job.update:
        move_moments(p, tag)
