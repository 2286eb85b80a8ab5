# cython: cdivision=True
"""The backward pass: the gradient of the loss becomes the delta of each layer, last layer first.

delta = d loss / d z, where z is the input of the activation.  The pass ends at the first layer with
weights.  Like the forward pass it works by rows, on rows whose activations are still in the cache;
`first` and `rows` are rows of the workspace.

Rejected: delta W^T from W as it lies in memory, because its sums run over the columns of W.  W^T is
kept in panels (`weights.repack`), except where n_in is so small that dot products are faster.
"""
from cython cimport floating
from libc.string cimport memcpy
from nnfast._core.activations cimport activation_gradient
from nnfast._core.layers cimport ACTIVATION, Layer, has_own_kernel, layer_gradient
from nnfast._core.mathf cimport copysign
from nnfast._core.matmul cimport dots, padded, panel_width, team_product
from nnfast._core.plan cimport Plan, at, gamma_of, row_at, state_of


cdef inline void output_penalty_gradient(const Layer* layer, const floating* a, floating* delta, Py_ssize_t rows,
                                         double per_row) noexcept nogil:
    """delta (rows, n_out) += per_row (l1 sign(a) + 2 l2 a)."""
    cdef floating slope = 2 * layer.output_l2 * per_row, step = layer.output_l1 * per_row, jump
    cdef Py_ssize_t r, i
    for r in range(rows):
        for i in range(r * layer.stride, r * layer.stride + layer.width):
            jump = 0 if a[i] == 0 else copysign(step, a[i])
            delta[i] += jump + slope * a[i]


cdef inline void backward_layer(const Plan* p, int index, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows,
                                double per_row, const floating* tag) noexcept nogil:
    """delta of the layer before <- (delta W^T) f'(z)."""
    cdef const Layer* layer = p.layers + index
    cdef const Layer* before = layer - 1
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, first, tag)     # (rows, n_out)
    cdef floating* out = at(&p.work, before.delta, before.stride, first, tag)           # (rows, n_in)
    cdef const floating* a = at(&p.work, before.a, before.stride, first, tag)           # (rows, n_in)
    cdef const floating* z = at(&p.work, before.z, before.stride, first, tag)           # (rows, n_in)
    cdef Py_ssize_t panel = panel_width(tag)
    if has_own_kernel(layer.kind):
        layer_gradient(layer, at(&p.work, layer.input, layer.input_stride, first, tag),
                       at(&p.work, layer.normalized, layer.stride, first, tag), delta, out, rows,
                       gamma_of(p, layer, tag), state_of(p, layer, tag), p.job.seed, place, index)
    elif layer.kind == ACTIVATION:
        memcpy(out, delta, rows * layer.stride * sizeof(floating))
    elif layer.transposed < 0:
        # out = delta @ W.T, by dot products: rows of W are columns of W^T
        dots(delta, layer.stride, <const floating*>p.params + layer.kernel, layer.n_out, out, before.stride, rows,
             layer.n_in, layer.n_out)
    else:
        # out = delta @ W.T, from the panels of W^T
        team_product(delta, layer.stride, 1, <const floating*>p.work.packed + layer.transposed, panel,
                     padded(layer.n_out, tag) * panel, out, before.stride, rows, before.width, layer.n_out, False,
                     p.work.shared)
    if p.penalties.on_outputs:
        output_penalty_gradient(before, a, out, rows, per_row)
    # out *= f'(z)
    activation_gradient(before.activation, z, a, out, before.stride, rows, before.n_out)


cdef inline void begin_backward(const Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, double scale,
                                double per_row, const floating* tag) noexcept nogil:
    """delta of the last layer <- scale * sample weight * gradient of the loss, which it holds.

    Also times f'(z), unless the loss reads z.
    """
    cdef const Layer* layer = p.layers + p.n_layers - 1
    cdef floating* delta = at(&p.work, layer.delta, layer.stride, first, tag)           # (rows, n_out)
    cdef const floating* a = at(&p.work, layer.a, layer.stride, first, tag)             # (rows, n_out)
    cdef const floating* z = at(&p.work, layer.z, layer.stride, first, tag)             # (rows, n_out)
    cdef floating factor = scale
    cdef Py_ssize_t r, i
    for r in range(rows):
        if p.job.weights != NULL and not p.objective.whole:
            factor = scale * p.job.weights[row_at(&p.job, place + r)]
        for i in range(layer.width):
            delta[r * layer.stride + i] *= factor
    if p.penalties.on_outputs:
        output_penalty_gradient(layer, a, delta, rows, per_row)
    if not p.objective.fused:
        activation_gradient(layer.activation, z, a, delta, layer.stride, rows, layer.n_out)
