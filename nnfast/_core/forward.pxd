# cython: cdivision=True
"""The forward pass: rows of x through all layers, their loss and metrics; evaluation, prediction.

    gather          x: rows of the caller into the workspace
    forward_layer   z = [a 1] [W; b], a = f(z) for one layer
    forward         all layers
    score           loss and metrics of each row, and the delta of the last layer
    evaluate        all of these for many rows, without a delta
    predict         outputs of many rows

Functions take rows first..first + rows of the workspace; `place` is the place of the first of them
in the order of training.  All work is by rows, so threads and spans of any length give the same
bits.  At most SPAN_ROWS rows pass all layers together, so that their activations stay in the cache.
Rejected: layer by layer for the whole batch, which moves the activations through the main memory.
"""
from cython cimport floating
from libc.stdint cimport int64_t
from libc.string cimport memcpy
from nnfast._core.activations cimport SOFTMAX, activate
from nnfast._core.gather cimport gather_row, outside
from nnfast._core.layers cimport ACTIVATION, Layer, has_own_kernel, layer_forward
from nnfast._core.losses cimport C_FUNCTION, loss_rows
from nnfast._core.mathf cimport dot_wide, fabs, sum_wide
from nnfast._core.matmul cimport dots, pack, pack_columns, padded, panel_width, team_product
from nnfast._core.metrics cimport metric_row
from nnfast._core.plan cimport CHUNK, PREFETCH_BYTES, Job, Plan, Work, at, beta_of, gamma_of, row_at, state_of
from nnfast._core.sparse cimport gather_sparse
from nnfast._core.team cimport flush_denormals, restore_mode, uint64


cdef inline void repack_forward(const Plan* p, const Layer* layer, const Work* work, Py_ssize_t first, Py_ssize_t last,
                                const floating* tag) noexcept nogil:
    """Copies rows first..last of [W; b] into its columns or panels, for a forward pass."""
    cdef const floating* w = <const floating*>p.params + layer.kernel       # [W; b] (k, n_out)
    if layer.columns >= 0:
        pack_columns(w, layer.n_out, 1, layer.k, layer.n_out, first, last, <floating*>work.packed + layer.columns)
    elif layer.panels >= 0 and work.has_panels:
        pack(w, layer.n_out, 1, layer.k, layer.n_out, first, last, <floating*>work.packed + layer.panels)


cdef inline Py_ssize_t gather(const Plan* p, const Job* job, const Work* work, Py_ssize_t place, Py_ssize_t first,
                              Py_ssize_t rows, const floating* tag) noexcept nogil:
    """x (rows, n_inputs) <- the caller's x; returns the place of the first bad row, or -1.

    A row is bad if an element is not finite.
    """
    cdef Py_ssize_t i, bad = -1
    cdef Py_ssize_t size = job.x.step * p.n_inputs            # bytes of a row, if it is contiguous
    cdef Py_ssize_t ahead = job.n_rows                        # rows between the row that is read and the row prefetched
    cdef const char* next_row
    cdef floating* out
    if job.x.indices != NULL:
        return gather_sparse(p, job, work, place, first, rows, tag)
    if 0 < job.x.step <= 8:
        ahead = max(<Py_ssize_t>2, PREFETCH_BYTES // max(<Py_ssize_t>1, size))
    for i in range(rows):
        next_row = NULL
        if place + i + ahead < job.n_rows:
            next_row = job.x.data + row_at(job, place + i + ahead) * job.x.row
        out = at(work, 0, p.input_stride, first + i, tag)
        if not gather_row(job.x.source, job.x.data + row_at(job, place + i) * job.x.row, job.x.step, out, p.n_inputs,
                          next_row) and bad < 0:
            bad = place + i
        out[p.n_inputs] = 1         # multiplies the bias
    return bad


cdef inline void forward_layer(const Plan* p, const Job* job, const Work* work, int index, Py_ssize_t place,
                               Py_ssize_t first, Py_ssize_t rows, bint last_activation, bint training,
                               const floating* tag) noexcept nogil:
    """z = [x 1] [W; b] and a = f(z) of one layer; the layer's own kernel where it has no product.

    Without `last_activation` the last layer keeps a = z, for a loss that reads z.
    """
    cdef const Layer* layer = p.layers + index
    cdef const floating* x = at(work, layer.input, layer.input_stride, first, tag)      # (rows, n_in) and a column of 1
    cdef const floating* b
    cdef floating* z = at(work, layer.z, layer.stride, first, tag)                      # (rows, n_out)
    cdef floating* a = at(work, layer.a, layer.stride, first, tag)                      # (rows, n_out), may be z
    cdef Py_ssize_t stride = layer.input_stride, panel = panel_width(tag), r
    if has_own_kernel(layer.kind):
        layer_forward(layer, x, a, at(work, layer.normalized, layer.stride, first, tag), rows, gamma_of(p, layer, tag),
                      beta_of(p, layer, tag), state_of(p, layer, tag), training, job.seed, place, index)
    elif layer.kind == ACTIVATION:
        memcpy(z, x, rows * stride * sizeof(floating))
    elif index == 0 and job.x.indices != NULL:
        pass                        # gather_sparse has computed z
    elif layer.columns >= 0:
        # z = [x 1] @ [W; b], by dot products
        dots(x, stride, <const floating*>work.packed + layer.columns, padded(layer.k, tag), z, layer.stride, rows,
             layer.n_out, layer.k)
    elif layer.panels >= 0 and work.has_panels:
        # z = [x 1] @ [W; b], from the panels of [W; b]
        b = <const floating*>work.packed + layer.panels
        team_product(x, stride, 1, b, panel, layer.k * panel, z, layer.stride, rows, layer.width, layer.k, False,
                     work.shared)
    else:
        # z = [x 1] @ [W; b]
        b = <const floating*>p.params + layer.kernel
        team_product(x, stride, 1, b, layer.n_out, panel, z, layer.stride, rows, layer.width, layer.k, False,
                     work.shared)
    if z != a:
        memcpy(a, z, rows * layer.stride * sizeof(floating))
    if index < p.n_layers - 1 or last_activation:
        activate(layer.activation, a, layer.stride, rows, layer.n_out, layer.width)
    if index < p.n_layers - 1:
        for r in range(rows):
            a[r * layer.stride + layer.n_out] = 1


cdef inline void forward(const Plan* p, const Job* job, const Work* work, Py_ssize_t place, Py_ssize_t first,
                         Py_ssize_t rows, bint last_activation, bint training, const floating* tag) noexcept nogil:
    """z and a of all layers."""
    cdef int index
    for index in range(p.n_layers):
        forward_layer(p, job, work, index, place, first, rows, last_activation, training, tag)


cdef inline void measure(const Plan* p, const floating* y, Py_ssize_t y_row, const int64_t* labels, const floating* a,
                         Py_ssize_t row, double* values, Py_ssize_t values_row, Py_ssize_t rows) noexcept nogil:
    """values (n_metrics, rows) <- metrics of outputs a (rows, n_out) and targets y, or labels."""
    cdef Py_ssize_t r, n = p.layers[p.n_layers - 1].n_out
    cdef int m
    for m in range(p.objective.n_metrics):
        for r in range(rows):
            values[m * values_row + r] = metric_row(
                p.objective.metrics[m], y + r * y_row, labels[r] if labels != NULL else 0, a + r * row, n)


cdef inline void measure_penalized_outputs(const Plan* p, const Work* work, Py_ssize_t first, Py_ssize_t rows,
                                           double* values, const floating* tag) noexcept nogil:
    """values (rows,) <- sum of l1 |a| + l2 a^2 over the outputs of all layers with a penalty."""
    cdef const Layer* layer
    cdef const floating* a
    cdef floating absolute[CHUNK]
    cdef Py_ssize_t r, i, begin, count
    cdef int index
    for r in range(rows):
        values[r] = 0
        for index in range(p.n_layers):
            layer = p.layers + index
            a = at(work, layer.a, layer.stride, first + r, tag)
            if layer.output_l2 != 0:
                values[r] += layer.output_l2 * dot_wide(a, a, layer.n_out)
            begin = 0
            while begin < layer.n_out and layer.output_l1 != 0:
                count = min(layer.n_out - begin, <Py_ssize_t>CHUNK)
                for i in range(count):
                    absolute[i] = fabs(a[begin + i])
                values[r] += layer.output_l1 * sum_wide(absolute, count)
                begin += count


cdef inline Py_ssize_t gather_targets(const Plan* p, const Job* job, Py_ssize_t place, Py_ssize_t rows, floating* y,
                                      Py_ssize_t y_row) noexcept nogil:
    """y (rows, n_targets) <- targets of the caller; returns the place of a bad one, or -1.

    A target is bad if it is not finite or outside of the range of the loss.
    """
    cdef floating low = p.objective.lowest, high = p.objective.highest
    cdef Py_ssize_t i, bad = -1
    cdef const char* source
    cdef bint good
    for i in range(rows):
        source = job.y.data + row_at(job, place + i) * job.y.row
        good = gather_row(job.y.source, source, job.y.step, y + i * y_row, job.n_targets, NULL)
        if p.objective.limited:
            good = good and not outside(y + i * y_row, job.n_targets, low, high)
        if not good and bad < 0:
            bad = place + i
    return bad


cdef inline Py_ssize_t score(const Plan* p, const Job* job, const Work* work, Py_ssize_t place, Py_ssize_t first,
                             Py_ssize_t rows, bint gradient, double* values, Py_ssize_t values_row,
                             const floating* tag) noexcept nogil:
    """values (1 + n_metrics, rows) <- loss, metrics; with `gradient` also delta of the last layer.

    Returns the place of a bad target, or -1.  Targets or labels go into the block after that delta.
    """
    cdef Layer* last = p.layers + p.n_layers - 1
    cdef floating* z = at(work, last.z if p.objective.fused else last.a, last.stride, first, tag)   # (rows, n_out)
    cdef floating* a = z
    cdef floating* delta = at(work, last.delta, last.stride, first, tag)                # (rows, n_out)
    cdef floating* y = at(work, last.delta + last.stride, last.stride, first, tag)      # (rows, n_targets)
    cdef int64_t* labels = <int64_t*>at(work, last.delta + last.stride, last.stride, 0, tag) + first    # (rows,)
    cdef Py_ssize_t i, bad = -1
    # y, or labels
    if job.labels != NULL:
        for i in range(rows):
            labels[i] = job.labels[row_at(job, place + i)]
    else:
        bad = gather_targets(p, job, place, rows, y, last.stride)
        labels = NULL
    # a = f(z), which metrics and the caller read; values[1:] = metrics
    if p.objective.n_metrics > 0 or job.outputs != NULL:
        if p.objective.fused and not (p.objective.ordinal and last.activation == SOFTMAX and job.outputs == NULL):
            # The outputs go where delta will be written below.
            memcpy(delta, z, rows * last.stride * sizeof(floating))
            activate(last.activation, delta, last.stride, rows, last.n_out, last.width)
            a = delta
        if job.outputs != NULL:
            for i in range(rows):
                memcpy(<floating*>job.outputs + (place + i) * last.n_out, a + i * last.stride,
                       last.n_out * sizeof(floating))
        measure(p, y, last.stride, labels, a, last.stride, values + values_row, values_row, rows)
    if p.penalties.on_outputs:
        measure_penalized_outputs(p, work, first, rows, values + (1 + p.objective.n_metrics) * values_row, tag)
    # values[0] = loss, delta = its gradient
    loss_rows(&p.objective.loss, y, last.stride, labels, z, last.stride,
              delta if gradient or p.objective.loss.kind == C_FUNCTION else NULL, values, rows, last.n_out, 1)
    return bad


cdef inline void evaluate(const Plan* p, const Job* job, const Work* work, Py_ssize_t start, Py_ssize_t stop,
                          double* values, Py_ssize_t values_row, Py_ssize_t* bad_input, Py_ssize_t* bad_target,
                          const floating* tag) noexcept nogil:
    """values[:, start:stop] <- loss and metrics of rows start..stop.

    Ends at a bad row: bad_input or bad_target becomes its place.
    """
    cdef Py_ssize_t rows, place = start
    cdef uint64 mode = flush_denormals()
    while place < stop and bad_input[0] < 0 and bad_target[0] < 0:
        rows = min(stop - place, work.capacity)
        bad_input[0] = gather(p, job, work, place, 0, rows, tag)
        forward(p, job, work, place, 0, rows, not p.objective.fused, False, tag)
        bad_target[0] = score(p, job, work, place, 0, rows, False, values + place, values_row, tag)
        place += rows
    restore_mode(mode)


cdef inline Py_ssize_t predict(const Plan* p, const Job* job, const Work* work, Py_ssize_t start, Py_ssize_t stop,
                               floating* out) noexcept nogil:
    """out[start:stop] <- outputs of rows start..stop; returns the place of a bad row, or -1."""
    cdef Layer* last = p.layers + p.n_layers - 1
    cdef Py_ssize_t rows, r, i, bad = -1, place = start
    cdef const floating* a
    cdef uint64 mode = flush_denormals()
    while place < stop and bad < 0:
        rows = min(stop - place, work.capacity)
        bad = gather(p, job, work, place, 0, rows, <const floating*>out)
        forward(p, job, work, place, 0, rows, True, False, <const floating*>out)
        for r in range(rows):
            a = at(work, last.a, last.stride, r, <const floating*>out)
            for i in range(last.n_out):
                out[(place + r) * last.n_out + i] = a[i]
        place += rows
    restore_mode(mode)
    return bad
