"""The native network: ranges of batches without the GIL, an allocation or a Python object.

    params     | W0 (n0, n1) | b0 (n1) | W1 (n1, n2) | b1 | ...     one flat array.  W and b of a layer adjoin, so
                                                                   [W; b] is one matrix of n_in + 1 rows: the bias
                                                                   is the weight of an input that is always 1.
                                                                   gamma and beta of a normalisation are such a
                                                                   matrix of two rows, the alpha of PReLU of one.
    slots      state of the optimizer, each slot in the layout of params
    grads      the same layout; written only when something needs the whole gradient
    state      what layers know and no optimizer moves: moving means and variances, shift and factor of Normalization
    packed     panels of W^T, and of W where rows of W are far apart
    workspace  | x | z1 a1 | z2 a2 | ... | delta of the last layer | its targets | delta of the layer before | ...
               each block has `capacity` rows; a row is padded (`padded_row`) and holds a 1 after its last element

A step has two halves, and a barrier after each:

    rows       each thread takes a span of the batch: gather, forward, loss, delta back to the first layer with weights
    weights    each thread takes rows of each [W; b]: its gradient over the whole batch, the step of the optimizer,
               its panels repacked while they are hot

Batch normalisation needs all rows of a batch at once, because its sums run over them.  There each thread takes a span of
the columns of the layer, between two barriers of its own (`forward_in_phases`, `backward_in_phases`).

Rows of x may be sparse (CSR).  Then z of the first layer is made while they are gathered, from one row of W for each
element.  In the second half each thread sorts the elements of the batch in its rows of W by columns; a gradient reads
only those.

A bound on the norm of the gradient, or a step over several batches, needs the whole gradient first.  It is kept in grads,
or in a slot of its own where batches add up, and the step on the rows follows after two more barriers.

There is no gradient per thread and no reduction between threads, and each element is one chain of multiply-adds
(`matmul.pxd`).  So the bits are the same for every number of threads.

The rooms of the core and the structs they share: see `plan.pxd`.  This file and its `.pxi` files are compiled once per
CPU level; `nnfast._core` picks one.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_ND, PyBUF_STRIDED_RO, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_GetName, PyCapsule_GetPointer
from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset
from nnfast._core cimport mathf
from nnfast._core.activations cimport N_ACTIVATIONS, activate, activation_codes, activation_gradient, keeps_input
from nnfast._core.backward cimport backward_layer, begin_backward
from nnfast._core.forward cimport evaluate, forward, forward_layer, gather, predict, repack_forward, score
from nnfast._core.gather cimport source_codes
from nnfast._core.layers cimport (
    ACTIVATION, BATCH_NORM, DENSE, Layer, describe, is_random, keeps_normalized, layer_codes, n_states, normalize_columns,
    normalize_columns_gradient)
from nnfast._core.losses cimport (
    C_FUNCTION, N_LOSSES, N_SETTINGS, PYTHON_FUNCTION, Loss, custom_loss_codes, is_sparse, loss_codes, loss_rows,
    needs_columns, target_columns)
from nnfast._core.mathf cimport multiply_add
from nnfast._core.matmul cimport (
    by_dots, dots, pack, pack_columns, packed_size, padded, padded_row, panel_width, product, stands_better, transpose,
    transposed_size)
from nnfast._core.metrics cimport keeps_order, metric_codes
from nnfast._core.optimizers cimport Step, begin_step, optimizer_codes, optimizer_step
from nnfast._core.plan cimport (
    BATCH_ROWS, BLOCK_NUMBERS, BLOCK_ROWS, BLOCK_SIZE, FAR, FREE, GROUP_ROWS, MAX_METRICS, MAX_NORM, MAX_SETTINGS,
    MAX_THREADS, NON_NEGATIVE, PANEL_ROWS, REDUCE_MEAN, REDUCE_SUM, REDUCE_WEIGHTED, SLACK, SPAN_ROWS, STATUS_BAD_GRADIENT,
    STATUS_BAD_INPUT, STATUS_BAD_LOSS, STATUS_BAD_TARGET, STATUS_DONE, STATUS_INTERRUPTED, Job, Plan, Rows, Work, allocate,
    at, at_once, beta_of, failed, gamma_of, note, release, row_at)
from nnfast._core.sparse cimport column_of, start_of
from nnfast._core.team cimport (
    barrier, flush_denormals, load, restore_mode, set as set_word, uint32, uint64, wait)
from nnfast._core.weights cimport (
    begin_batch, bound_layers, divide_rows, groups_of, held_step, measure_gradient, penalty, repack, weights_half)

import numpy as np

ACTIVATIONS = activation_codes()
LOSSES = loss_codes()
CUSTOM_LOSSES = custom_loss_codes()
METRICS = metric_codes()
OPTIMIZERS = optimizer_codes()              # name: (code, slots)
LAYERS = layer_codes()
SOURCES = source_codes()
SOURCE_OF_CHAR = {char: SOURCES[np.dtype(char).str[1:]] for char in np.typecodes["All"] if np.dtype(char).str[1:] in SOURCES}
REDUCTIONS = {"sum_over_batch_size": REDUCE_MEAN, "mean": REDUCE_MEAN, "sum": REDUCE_SUM, "mean_with_sample_weight": REDUCE_WEIGHTED}
CONSTRAINTS = {None: FREE, "non_neg": NON_NEGATIVE, "max_norm": MAX_NORM}
SLOTS = dict(OPTIMIZERS.values())
DONE, BAD_INPUT, BAD_TARGET = STATUS_DONE, STATUS_BAD_INPUT, STATUS_BAD_TARGET
BAD_LOSS, BAD_GRADIENT = STATUS_BAD_LOSS, STATUS_BAD_GRADIENT
MOST_THREADS = MAX_THREADS


cdef inline double batch_scale(const Plan* p, Py_ssize_t place, Py_ssize_t rows) noexcept nogil:
    """What the weighted values of a batch are multiplied with: 1 / rows, or as `reduction` and ignored rows want it."""
    cdef Py_ssize_t r, row
    cdef double total = 0
    if p.objective.whole or p.objective.reduction == REDUCE_SUM:
        return 1
    if not p.job.ignores and (p.objective.reduction == REDUCE_MEAN or p.job.weights == NULL):
        return 1. / rows
    for r in range(rows):
        row = row_at(&p.job, place + r)
        if not p.job.ignores or p.job.labels[row] >= 0:
            total += p.job.weights[row] if p.job.weights != NULL and p.objective.reduction == REDUCE_WEIGHTED else 1
    return 1 / total if total != 0 else 0


cdef inline bint finite_losses(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, int thread) noexcept nogil:
    """Whether the losses of rows first... of the workspace are finite, if that is asked for; the first that is not is noted."""
    cdef Py_ssize_t r
    for r in range(first, first + rows if p.job.check else first):
        if not (-INFINITY < p.values[r] < INFINITY):
            note(p, STATUS_BAD_LOSS, place + r - first, thread)
            return False
    return True


cdef inline void finish_rows(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, double scale, double per_row, int thread,
                             const floating* tag) noexcept nogil:
    """Rows first... of the workspace after their loss: is it finite, and backward."""
    cdef int index
    if not finite_losses(p, place, first, rows, thread):
        return
    begin_backward(p, place, first, rows, scale, per_row, tag)
    for index in range(p.n_layers - 1, p.first_trained, -1):
        backward_layer(p, index, place, first, rows, per_row, tag)


cdef inline void rows_half(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, double scale, double per_row, int thread,
                           const floating* tag) noexcept nogil:
    """Rows first..last of the workspace, from `place` of the order on: forward, loss, backward.

    A loss in Python sees all rows of the batch first: then forward alone.
    """
    cdef Py_ssize_t spans = (last - first + SPAN_ROWS - 1) // SPAN_ROWS, rows, bad
    for spans in range(spans, 0, -1):
        rows = (last - first + spans - 1) // spans
        bad = gather(p, &p.job, &p.work, place, first, rows, tag)
        if bad >= 0:
            note(p, STATUS_BAD_INPUT, bad, thread)
            return
        forward(p, &p.job, &p.work, place, first, rows, not p.objective.fused, True, tag)
        bad = score(p, &p.job, &p.work, place, first, rows, True, p.values + first, p.work.capacity, tag)
        if bad >= 0:
            note(p, STATUS_BAD_TARGET, bad, thread)
            return
        if p.objective.loss.kind != PYTHON_FUNCTION:
            finish_rows(p, place, first, rows, scale, per_row, thread, tag)
            if p.threads.rows_status[thread] != STATUS_DONE:
                return
        place += rows
        first += rows


cdef inline void forward_in_phases(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows, int thread, int size,
                                   const floating* tag) noexcept nogil:
    """Forward and loss of rows first..last of a whole batch in the workspace, in step with the other threads.

    `place` is that of the first row of the batch.  What a thread meets is looked at by all behind the last barrier.
    """
    cdef Py_ssize_t bad = gather(p, &p.job, &p.work, place + first, first, last - first, tag), group
    cdef const Layer* layer
    cdef floating* moments
    cdef int index
    if bad >= 0:
        note(p, STATUS_BAD_INPUT, bad, thread)
    for index in range(p.n_layers):
        layer = p.layers + index
        if layer.kind == BATCH_NORM:
            group = (layer.n_out + GROUP_ROWS - 1) // GROUP_ROWS
            moments = <floating*>p.moments + layer.moments
            barrier(&p.threads.team, size)
            normalize_columns(at(&p.work, layer.input, layer.input_stride, 0, tag), layer.input_stride, rows, GROUP_ROWS * (group * thread // size),
                              min(layer.n_out, GROUP_ROWS * (group * (thread + 1) // size)), at(&p.work, layer.normalized, layer.stride, 0, tag),
                              at(&p.work, layer.a, layer.stride, 0, tag), layer.stride, gamma_of(p, layer, tag), beta_of(p, layer, tag),
                              layer.epsilon, moments, moments + layer.n_out)
            barrier(&p.threads.team, size)
        if last > first:
            forward_layer(p, &p.job, &p.work, index, place + first, first, last - first, not p.objective.fused, True, tag)
    bad = score(p, &p.job, &p.work, place + first, first, last - first, True, p.values + first, p.work.capacity, tag) if last > first else -1
    if bad >= 0:
        note(p, STATUS_BAD_TARGET, bad, thread)


cdef inline void backward_in_phases(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows, double scale, int thread,
                                    int size, const floating* tag) noexcept nogil:
    """Backward through rows first..last of a whole batch, in step with the other threads."""
    cdef const Layer* layer
    cdef floating* moments
    cdef Py_ssize_t group
    cdef int index
    finite_losses(p, place + first, first, last - first, thread)
    begin_backward(p, place + first, first, last - first, scale, 1. / rows, tag)
    for index in range(p.n_layers - 1, p.first_trained, -1):
        layer = p.layers + index
        if layer.kind == BATCH_NORM:
            group = (layer.n_out + GROUP_ROWS - 1) // GROUP_ROWS
            moments = <floating*>p.moments + layer.moments + layer.n_out
            barrier(&p.threads.team, size)
            normalize_columns_gradient(
                at(&p.work, layer.normalized, layer.stride, 0, tag), at(&p.work, layer.delta, layer.stride, 0, tag), layer.stride, rows,
                GROUP_ROWS * (group * thread // size), min(layer.n_out, GROUP_ROWS * (group * (thread + 1) // size)),
                at(&p.work, (layer - 1).delta, layer.stride, 0, tag), layer.stride, gamma_of(p, layer, tag), layer.epsilon, moments,
                moments + layer.n_out, moments + 2 * layer.n_out)
            barrier(&p.threads.team, size)
        if last > first:
            backward_layer(p, index, place + first, first, last - first, 1. / rows, tag)


cdef inline void add_up(Plan* p, Py_ssize_t place, Py_ssize_t rows, double factor) noexcept nogil:
    """Loss and metrics of a batch onto the sums, in the order of the rows; the loss times `factor`."""
    cdef Py_ssize_t r
    cdef int m
    cdef double total = 0, weight
    for r in range(rows):
        weight = p.job.weights[row_at(&p.job, place + r)] if p.job.weights != NULL and not p.objective.whole else 1
        total = multiply_add(p.values[r], weight, total)
    p.job.sums[0] += total * factor
    for m in range(1, p.objective.n_metrics + 1):
        for r in range(rows):
            p.job.sums[m] += p.values[m * p.work.capacity + r]
    if p.penalties.on_outputs:                # behind the metrics, with the penalties
        for r in range(rows):
            p.job.sums[1 + p.objective.n_metrics] += p.values[(1 + p.objective.n_metrics) * p.work.capacity + r]


cdef void copy_part(char* out, const char* source, Py_ssize_t size, int thread, int threads) noexcept nogil:
    """This thread's part of a copy of `size` bytes."""
    cdef Py_ssize_t first = size * thread // threads, last = size * (thread + 1) // threads
    memcpy(out + first, source + first, last - first)


cdef inline void train(Plan* p, int thread, int size, const floating* tag) noexcept nogil:
    """Batches start..stop, in lockstep with the other threads of the job."""
    cdef Py_ssize_t batch, place, rows, part, done, index, from_row, to_row, item = sizeof(floating)
    cdef Py_ssize_t most = p.job.batch_size if at_once(p) else BATCH_ROWS
    cdef bint plain = p.objective.reduction == REDUCE_MEAN and not p.job.ignores
    cdef bint stepping = False
    cdef double scale
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    if p.job.check and p.job.update:
        copy_part(p.optimizer.backup, p.params, p.n_params * item, thread, size)
        copy_part(p.optimizer.backup + p.n_params * item, p.optimizer.slots, p.optimizer.n_slots * p.n_params * item, thread, size)
        copy_part(p.optimizer.backup + (1 + p.optimizer.n_slots) * p.n_params * item, p.state, p.n_state * item, thread, size)
    for index in range(p.n_layers):
        repack(p, p.layers + index, first[index], first[p.n_layers + index], tag)
    barrier(&p.threads.team, size)
    for batch in range(p.job.start, p.job.stop):
        place = batch * p.job.batch_size
        rows = min(p.job.batch_size, p.job.n_rows - place)
        if thread == 0:
            begin_batch(p, batch)
        scale = batch_scale(p, place, rows)
        if thread == 0:
            p.batch.penalty_scale = scale if p.penalties.by_rows else 1
        done = 0
        while done < rows:
            part = min(rows - done, most)
            if thread == 0:
                p.batch.first_place = place + done
            from_row = part * thread // size
            to_row = part * (thread + 1) // size
            if not p.has_batch_norm:
                rows_half(p, place + done + from_row, from_row, to_row, scale, 1. / rows, thread, tag)
            else:
                forward_in_phases(p, place + done, from_row, to_row, part, thread, size, tag)
                if p.objective.loss.kind != PYTHON_FUNCTION:
                    backward_in_phases(p, place + done, from_row, to_row, part, scale, thread, size, tag)
            barrier(&p.threads.team, size)
            if failed(p.threads.rows_status, size):
                return
            stepping = p.optimizer.held and p.job.update and p.batch.stepping       # behind the next barrier thread 0 may be at the next batch
            if p.objective.loss.kind == PYTHON_FUNCTION:
                if thread == 0 and not call_python(p, place + done, part):
                    p.threads.weights_status[0] = STATUS_INTERRUPTED
                barrier(&p.threads.team, size)
                if failed(p.threads.weights_status, size):
                    return
                if p.has_batch_norm:
                    backward_in_phases(p, place + done, from_row, to_row, part, scale, thread, size, tag)
                else:
                    finish_rows(p, place + done + from_row, from_row, to_row - from_row, scale, 1. / rows, thread, tag)
                barrier(&p.threads.team, size)
                if failed(p.threads.rows_status, size):
                    return
            if thread == 0:
                add_up(p, place + done, part, 1 if plain or p.objective.whole else scale * rows)
                if done + part < rows and interrupted(p):
                    p.threads.weights_status[0] = STATUS_INTERRUPTED
            weights_half(p, part, done > 0, done + part == rows, thread, tag)
            barrier(&p.threads.team, size)
            if failed(p.threads.weights_status, size):
                return
            done += part
        if stepping:
            if thread == 0:
                measure_gradient(p, tag)
            barrier(&p.threads.team, size)
            held_step(p, thread, tag)
            barrier(&p.threads.team, size)
            if failed(p.threads.weights_status, size):
                return
        if p.has_max_norm and p.job.update:
            bound_layers(p, thread, size, tag)
            barrier(&p.threads.team, size)
        if thread == 0:
            p.job.done = batch + 1
            if p.penalties.on_weights:
                p.job.sums[1 + p.objective.n_metrics] += penalty(p) * rows


cdef void run(Plan* p, int thread, int size) noexcept nogil:
    cdef uint64 mode = flush_denormals()
    if thread == 0:
        p.job.mode = mode
    if p.is_double:
        train(p, thread, size, <double*>NULL)
    else:
        train(p, thread, size, <float*>NULL)
    restore_mode(mode)
    barrier(&p.threads.team, size)              # nobody looks at the plan any more


cdef bint interrupted(Plan* p) noexcept with gil:
    """Whether a signal waits that would raise; it is raised by the caller once the threads have met."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Network>p.network).error = error
        return True
    return False


cdef bint call_python(Plan* p, Py_ssize_t place, Py_ssize_t rows) noexcept with gil:
    """The loss of PYTHON_FUNCTION for the rows in the workspace, with the user's denormals; False if it raised."""
    restore_mode(p.job.mode)
    try:
        (<Network>p.network).call_loss(place, rows)
    except BaseException as error:
        (<Network>p.network).error = error
        return False
    finally:
        flush_denormals()
    return True


def aligned_zeros(Py_ssize_t size, dtype):
    """A vector of zeros that begins on a cache line, with room behind it that may be read."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros((size + SLACK) * item + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start:start + (size + SLACK) * item].view(dtype)[:size]


include "rows.pxi"
include "loss_kernel.pxi"


cdef class Network:
    """Dense layers in one flat vector of parameters, trained by ranges of batches.

    Parameters
    ----------
    n_inputs : int
        Columns of x.
    layers : list of (units, activation, use_bias), or a name of `LAYERS` with its numbers
        `activation` is a code of `ACTIVATIONS`; units 0 makes a layer without weights, an activation alone.
        The others: ("dropout", rate), ("noise", deviation), ("scale",), ("prelu",), ("layer_norm", epsilon, center, scale),
        ("batch_norm", epsilon, center, scale, momentum).
    dtype : {"float32", "float64"}
    sparse : bint
        x will be SparseRows alone: no room is made for dense ones.  The others read both.

    Attributes
    ----------
    params : ndarray (n_params,)
        | W0 | b0 | W1 | ...; written by training, free to be written between calls.
    slots : ndarray (n_slots, n_params)
        State of the optimizer.
    grads : ndarray (n_params,) or None
    state : ndarray (n_state,)
        What is not trained: moving mean and variance, or shift, factor and offset.
    arrays : list of (offset, shape) in params, a list for each layer
    states : list of (offset, shape) in state, a list for each layer
    """
    cdef Plan* plan                 # on its own cache lines: threads meet in its team
    cdef readonly object params, slots, grads, state, dtype
    cdef object _backup, _values, _penalties, _columns, _entries, _moments
    cdef object kernel, python_loss, error      # of set_loss; what a job has raised
    cdef readonly list shapes       # (n_in, n_out, use_bias, offset) of each layer with a product
    cdef readonly list arrays, states

    def __cinit__(self, Py_ssize_t n_inputs, list layers, dtype="float32", bint sparse=False):
        cdef Plan* p = <Plan*>allocate(sizeof(Plan))
        cdef Layer* layer
        cdef Py_ssize_t units
        cdef int index
        if p == NULL:
            raise MemoryError()
        memset(p, 0, sizeof(Plan))
        self.plan = p
        p.network = <void*>self
        self.dtype = np.dtype(dtype)
        p.is_double = self.dtype == np.float64
        p.n_layers = len(layers)
        p.n_inputs = n_inputs
        p.sparse = sparse
        p.layers = <Layer*>calloc(p.n_layers, sizeof(Layer))
        p.threads.first_row = <Py_ssize_t*>calloc((MAX_THREADS + 1) * p.n_layers, sizeof(Py_ssize_t))
        p.batch.factors = <double*>calloc(2 * p.n_layers, sizeof(double))
        p.batch.steps = <Step*>calloc(p.n_layers, sizeof(Step))
        p.optimizer.multipliers = <double*>calloc(p.n_layers, sizeof(double))
        p.optimizer.accumulate, p.optimizer.accumulator, p.optimizer.average = 1, -1, -1
        if p.layers == NULL or p.threads.first_row == NULL or p.batch.factors == NULL or p.batch.steps == NULL or p.optimizer.multipliers == NULL:
            raise MemoryError()
        p.optimizer.multipliers[0], p.optimizer.n_rates = 1, 1
        p.first_trained = p.n_layers
        self.shapes, self.arrays, self.states = [], [], []
        for index in range(p.n_layers):
            layer = p.layers + index
            kind, *numbers = layers[index]
            units, use_bias = 0, False
            layer.n_in = n_inputs
            if kind in LAYERS:
                describe(layer, LAYERS[kind], numbers)
                p.random |= is_random(layer.kind)
                p.has_batch_norm |= layer.kind == BATCH_NORM
            else:
                units, (layer.activation, use_bias) = kind, numbers
                layer.kind = DENSE if units else ACTIVATION
                layer.of_kernel = n_inputs if units else 0
                layer.k = layer.of_kernel + bool(use_bias) if units else 0
            layer.n_out = units or n_inputs
            layer.kernel = p.n_params
            if layer.k > 0:
                p.first_trained = min(p.first_trained, index)
            if p.is_double:
                place_layer(p, layer, index, <double*>NULL)
            else:
                place_layer(p, layer, index, <float*>NULL)
            if units:
                self.shapes.append((n_inputs, units, bool(use_bias), p.n_params))
            self.arrays.append([])
            if layer.of_kernel > 0:
                self.arrays[index].append((layer.kernel, tuple([layer.n_in, units] if units else [layer.n_out])))
            if layer.k > layer.of_kernel:
                self.arrays[index].append((layer.kernel + layer.of_kernel * layer.n_out, (layer.n_out,)))
            p.n_params += layer.k * layer.n_out
            layer.state, layer.moments = p.n_state, p.n_moments
            self.states.append([])
            for _ in range(n_states(layer.kind)):
                self.states[index].append((p.n_state, (layer.n_out,)))
                p.n_state += layer.n_out
            p.n_moments += 4 * layer.n_out if layer.kind == BATCH_NORM else 0
            n_inputs = layer.n_out
        if p.is_double:
            place_deltas(p, <double*>NULL)
        else:
            place_deltas(p, <float*>NULL)
        self.params = aligned_zeros(p.n_params, self.dtype)
        p.params = address(self.params)
        self.state, self._moments = aligned_zeros(p.n_state, self.dtype), aligned_zeros(p.n_moments, self.dtype)
        p.state, p.moments = address(self.state), address(self._moments)

    def __dealloc__(self):
        if self.plan == NULL:
            return
        release(self.plan.work.memory)
        release(self.plan.work.packed)
        release(self.plan.threads.scratch)
        free(self.plan.layers)
        free(self.plan.threads.first_row)
        free(self.plan.batch.factors)
        free(self.plan.batch.steps)
        free(self.plan.optimizer.multipliers)
        release(self.plan)

    @property
    def sparse(self):
        """Whether x must be SparseRows."""
        return self.plan.sparse

    @property
    def random(self):
        """Whether some layer draws random numbers, from the `seed` of `train_batches`."""
        return self.plan.random

    @property
    def penalizes(self):
        """Whether `sums` of `train_batches` must have a place for penalties."""
        return self.plan.penalties.on_weights or self.plan.penalties.on_outputs

    @property
    def n_values(self):
        """Rows of the `values` of `evaluate_rows`: loss, metrics, and the penalty on outputs if there is one."""
        return 1 + self.plan.objective.n_metrics + self.plan.penalties.on_outputs

    @property
    def in_python(self):
        """Whether the loss is a Python function."""
        return self.python_loss is not None

    @property
    def steps(self):
        """Steps the optimizer has taken."""
        return self.plan.optimizer.steps

    @steps.setter
    def steps(self, Py_ssize_t steps):
        self.plan.optimizer.steps = steps

    def set_loss(self, LossKernel kernel, bint fused, list metrics, int reduction=REDUCE_MEAN, python_loss=None,
                 bint whole=False, double lowest=-INFINITY, double highest=INFINITY):
        """The loss, whether it takes the input of the last activation, and the metrics.

        Parameters
        ----------
        kernel : LossKernel
        fused : bint
        metrics : list of int
        reduction : one of REDUCTIONS
        python_loss : function (y, outputs, weights) -> values (rows,) float64, gradient (rows, n_out); for "python"
            Called once a batch, by one thread, with arrays of its own.
        whole : bint
            `python_loss` gives the loss of the batch in every value, and its gradient: no mean, no weights are left.
        lowest, highest : float
            A target outside of [lowest, highest] is met as one that is not finite.
        """
        cdef Plan* p = self.plan
        if len(metrics) > MAX_METRICS:
            raise ValueError(f"at most {MAX_METRICS} metrics are counted natively, got {len(metrics)}")
        if (kernel.loss.kind == PYTHON_FUNCTION) != (python_loss is not None):
            raise ValueError("a loss in Python needs its function")
        if kernel.by_column not in (0, p.layers[p.n_layers - 1].n_out):
            raise ValueError(f"the loss has a number for each of {kernel.by_column} columns, "
                             f"the last layer {p.layers[p.n_layers - 1].n_out}")
        self._values = None
        self.kernel, self.python_loss = kernel, python_loss
        p.objective.loss = kernel.loss
        p.objective.fused = fused
        p.objective.reduction = reduction
        p.objective.whole = whole
        p.objective.lowest, p.objective.highest = lowest, highest
        p.objective.limited = lowest > -INFINITY or highest < INFINITY
        p.objective.n_metrics = len(metrics)
        for i, metric in enumerate(metrics):
            p.objective.metrics[i] = metric
        p.objective.ordinal = all(keeps_order(metric) for metric in metrics)

    cdef int call_loss(self, Py_ssize_t place, Py_ssize_t rows) except -1:
        """Values and deltas of the rows in the workspace from the loss in Python."""
        cdef Plan* p = self.plan
        cdef Layer* last = p.layers + p.n_layers - 1
        cdef Py_ssize_t item = 8 if p.is_double else 4, r
        cdef char* delta = p.work.memory + last.delta * p.work.capacity * item
        cdef char* y = delta + last.stride * p.work.capacity * item
        cdef char* a = p.work.memory + last.a * p.work.capacity * item
        cdef double[::1] own
        cdef const double[::1] values
        outputs = np.empty((rows, last.n_out), self.dtype)
        copy_rows(address(outputs), last.n_out * item, a, last.stride * item, last.n_out * item, rows)
        targets = np.empty((rows, p.job.n_targets), self.dtype)
        copy_rows(address(targets), p.job.n_targets * item, y, last.stride * item, p.job.n_targets * item, rows)
        weights = None
        if p.job.weights != NULL and p.objective.whole:
            weights = np.empty(rows)
            own = weights
            for r in range(rows):
                own[r] = p.job.weights[row_at(&p.job, place + r)]
        given, gradient = self.python_loss(targets, outputs, weights)
        if given.shape != (rows,) or gradient.shape != outputs.shape:
            raise ValueError(f"a loss must give values of shape {(rows,)} and a gradient of shape {outputs.shape}; "
                             f"got {given.shape} and {gradient.shape}")
        values = given
        memcpy(p.values, &values[0], rows * sizeof(double))
        gradient = np.ascontiguousarray(gradient, self.dtype)
        copy_rows(delta, last.stride * item, address(gradient), last.n_out * item, last.n_out * item, rows)
        return 0

    def set_optimizer(self, int optimizer, Py_ssize_t n_slots, list settings, double start=0, **common):
        """The optimizer, with every number of its state at `start`; behind it a slot for each of accumulation and average."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t own = n_slots
        cdef bint accumulates = common.get("accumulate", 1) > 1, averages = common.get("ema_momentum", -1) >= 0
        n_slots += accumulates + averages
        slots = aligned_zeros(n_slots * p.n_params, self.dtype).reshape(n_slots, p.n_params)
        cdef char* memory = address(slots)
        if start != 0:
            slots[:own] = start
        self.set_settings(settings, **common)
        self._backup = None
        p.optimizer.accumulator = own * p.n_params if accumulates else -1
        p.optimizer.average = (own + accumulates) * p.n_params if averages else -1
        self.slots, p.optimizer.slots, p.optimizer.n_slots, p.optimizer.kind, p.optimizer.steps = slots, memory, n_slots, optimizer, 0

    def set_settings(self, list settings, double weight_decay=0, double clipvalue=0, double clipnorm=0, double global_clipnorm=0,
                     Py_ssize_t accumulate=1, double ema_momentum=-1, Py_ssize_t ema_overwrite=0):
        """New hyper-parameters for the same optimizer; its state stays, so accumulation and average can not begin or end.

        Parameters
        ----------
        settings : list of the kernel's own numbers
        clipvalue, clipnorm, global_clipnorm : float
            0 is none.
        accumulate : int
            Batches a step.
        ema_momentum : float
            Of the running mean of the weights; below 0 is none.
        ema_overwrite : int
            Steps after which the mean becomes the weights; 0 is never.
        """
        cdef int i
        for i in range(MAX_SETTINGS):
            self.plan.optimizer.settings[i] = settings[i] if i < len(settings) else 0
        self.plan.optimizer.weight_decay = weight_decay
        self.plan.optimizer.clipvalue, self.plan.optimizer.clipnorm, self.plan.optimizer.global_clipnorm = clipvalue, clipnorm, global_clipnorm
        self.plan.optimizer.accumulate, self.plan.optimizer.ema_momentum, self.plan.optimizer.ema_overwrite = accumulate, ema_momentum, ema_overwrite
        self.plan.optimizer.held = clipnorm > 0 or global_clipnorm > 0 or accumulate > 1

    @property
    def average(self):
        """The running mean of the weights, a slot of the optimizer, or None."""
        if self.slots is None or self.plan.optimizer.average < 0 or self.plan.n_params == 0:
            return None
        return self.slots[self.plan.optimizer.average // self.plan.n_params]

    def set_penalties(self, list penalties, bint by_rows):
        """Adds the gradient of l1 |w| + l2 w^2 to that of every batch, for each layer.

        Parameters
        ----------
        penalties : list of (l1, l2) on the kernel, or (l1, l2, l1, l2, l1, l2) on kernel, bias and outputs; one for each layer
            That on outputs is divided by the rows of the batch.
        by_rows : bint
            Those on weights are divided by what the loss of a batch is divided by: its rows, or the sum of their weights.
        """
        cdef Plan* p = self.plan
        cdef Layer* layer
        cdef Py_ssize_t groups = 0
        for index, numbers in enumerate(penalties):
            layer = p.layers + <Py_ssize_t>index
            layer.l1, layer.l2, layer.bias_l1, layer.bias_l2, layer.output_l1, layer.output_l2 = (*numbers, 0, 0, 0, 0)[:6]
            layer.penalty = groups
            groups += groups_of(layer) + 1
        values = np.zeros(groups)
        p.penalties.values = <double*>address(values)
        self._penalties = values
        self._values = None
        p.penalties.n = groups
        p.penalties.by_rows = by_rows
        p.penalties.on_weights = any(any(numbers[:4]) for numbers in penalties)
        p.penalties.on_outputs = any(any(numbers[4:]) for numbers in penalties)

    def set_constraints(self, list constraints):
        """What holds for weights after every step, for each layer: ((name, bound) of the kernel, (name, bound) of the bias).

        Names are those of CONSTRAINTS; "max_norm" bounds the Euclidean norm of each column of a kernel, and that of a bias.
        """
        cdef Layer* layer
        self.plan.has_max_norm = False
        for index, both in enumerate(constraints):
            layer = self.plan.layers + <Py_ssize_t>index
            for i, (name, bound) in enumerate(both):
                layer.constraint[<int>i], layer.bound[<int>i] = CONSTRAINTS[name], bound
                self.plan.has_max_norm |= CONSTRAINTS[name] == MAX_NORM

    def set_multipliers(self, list multipliers):
        """Of the learning rate, for each layer."""
        different = list(dict.fromkeys(map(float, multipliers))) or [1.]
        self.plan.optimizer.n_rates = len(different)
        for i, multiplier in enumerate(different):
            self.plan.optimizer.multipliers[<int>i] = multiplier
        for i, multiplier in enumerate(multipliers):
            self.plan.layers[<int>i].rate_index = different.index(multiplier)
            self.plan.layers[<int>i].frozen = multiplier == 0

    cdef int prepare(self, Py_ssize_t rows, int size, bint whole_gradient, bint backup) except -1:
        """Memory for batches of `rows` rows: made at first need, kept after."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t item = 8 if p.is_double else 4, widest = 0
        cdef int index
        cdef bint long = rows > BATCH_ROWS and not at_once(p)
        rows = min(rows, <Py_ssize_t>BATCH_ROWS) if long else rows
        if rows > p.work.capacity:
            release(p.work.memory)
            p.work.capacity = 0
            p.work.memory = <char*>allocate(rows * p.train_size * item + 64)
            if p.work.memory == NULL:
                raise MemoryError(f"no memory for a batch of {rows} rows: {rows * p.train_size * item} bytes")
            p.work.capacity = rows
            self._values = None
        if p.work.packed == NULL:
            p.work.packed = <char*>allocate((p.packed_size + SLACK) * item)
            p.work.has_panels = True
        if p.threads.with_scratch < size:
            release(p.threads.scratch)
            p.threads.with_scratch = 0
            for index in range(p.n_layers):     # the block and its transpose
                widest = max(widest, 2 * p.layers[index].block_size)
            p.threads.scratch_size = ((widest + SLACK) * item + 4095) // 4096 * 4096 + 64
            p.threads.scratch = <char*>allocate(size * p.threads.scratch_size)
            p.threads.with_scratch = size if p.threads.scratch != NULL else 0
        if p.work.packed == NULL or p.threads.scratch == NULL:
            raise MemoryError("no memory for the panels of the weights")
        if self._values is None:        # an attribute is set last: it says that the pointer is good
            values = np.zeros(self.n_values * p.work.capacity)
            p.values = <double*>address(values)
            self._values = values
        if self.grads is None and (whole_gradient or long):
            grads = aligned_zeros(p.n_params, self.dtype)
            p.grads = address(grads)
            self.grads = grads
        if self._backup is None and backup:
            memory = aligned_zeros((1 + p.optimizer.n_slots) * p.n_params + p.n_state, self.dtype)
            p.optimizer.backup = address(memory)
            self._backup = memory
        return 0

    cdef int prepare_entries(self, const Job* job, Py_ssize_t start, Py_ssize_t stop) except -1:
        """Memory for the elements of the longest batch of sparse rows."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t batch, place, row, count, longest = 0
        cdef Py_ssize_t most = job.batch_size if at_once(p) else min(job.batch_size, <Py_ssize_t>BATCH_ROWS)
        for batch in range(start, stop):
            count = 0
            for place in range(batch * job.batch_size, min(job.n_rows, (batch + 1) * job.batch_size)):
                if (place - batch * job.batch_size) % most == 0:
                    count = 0
                row = row_at(job, place)
                count += start_of(&job.x, row + 1) - start_of(&job.x, row)
                longest = max(longest, count)
        if self._columns is None:
            columns = np.empty((2, p.n_inputs), np.intp)
            p.entries.column_first = <Py_ssize_t*>address(columns)
            p.entries.column_last = p.entries.column_first + p.n_inputs
            self._columns = columns
        if self._entries is None or longest > p.entries.room:
            rows, values = np.empty(longest, np.intp), np.empty(longest, self.dtype)
            p.entries.row, p.entries.value, p.entries.room = <Py_ssize_t*>address(rows), address(values), longest
            self._entries = rows, values
        return 0

    def train_batches(self, Batches batches, Py_ssize_t start, Py_ssize_t stop, learning_rate, double[::1] sums, int size=1, *,
                      bint update=True, bint check=True, uint64 seed=0, outputs=None):
        """Trains on batches start..stop without the GIL.

        Parameters
        ----------
        batches : Batches
        learning_rate : float, or float64 (stop - start,): one for each batch
        sums : float64 (1 + n_metrics,)
            Added to: weighted loss and metrics of every row; behind them, if there are penalties, the penalty of each
            batch times its rows.
        size : int
            Threads; for more than one the others must be in `help`, where `_threads.Team.grow` sends them: the call waits
            for them.
        update : bool
            Let the optimizer take a step after each batch; else the gradient of the last batch is left in `grads`.
        check : bool
            Stop at a loss or gradient that is not finite and put back the weights of the start of the range.
        seed : int
            Of the random elements of this pass over the data: with a place of the order it makes those of its row.
        outputs : array (n_rows, n_outputs) of the dtype of the network, optional
            Written to: the outputs of the last layer at each place of the order, before the step on its batch.

        Returns
        -------
        done, status, place : int
            First batch not trained on; one of DONE, BAD_INPUT, BAD_TARGET, BAD_LOSS, BAD_GRADIENT; the row it is about.
        """
        cdef Plan* p = self.plan
        cdef Job* job = &p.job
        cdef int t, status
        if not 1 <= size <= MAX_THREADS:
            raise ValueError(f"the number of threads must lie in [1, {MAX_THREADS}], got {size}")
        if start < 0 or start >= stop or stop > len(batches) or len(sums) < 1 + p.objective.n_metrics + self.penalizes:
            raise ValueError("start and stop must lie in the batches, and sums must have an element for the loss and each metric")
        if update and self.slots is None:
            raise ValueError("the network has no optimizer")
        cdef const double[::1] rates = learning_rate if isinstance(learning_rate, np.ndarray) else None
        if rates is not None and rates.shape[0] != stop - start:
            raise ValueError("learning_rate must be a number, or an array with one for each batch of the range")
        self.open_x(batches.x, &job.x)
        self.check_y(batches.y)
        job[0] = batches.job
        job.ignores = job.ignores and is_sparse(p.objective.loss.kind)
        job.learning_rate = learning_rate if rates is None else 0
        job.rates = &rates[0] if rates is not None else NULL
        job.start, job.stop, job.done = start, stop, start
        job.update, job.check, job.seed = update, check, seed
        job.sums = &sums[0]
        job.outputs = self.outputs_address(outputs, job.n_rows)
        rows = min(job.batch_size, job.n_rows)
        self.prepare(rows, size, not update or p.optimizer.held, check and update)
        if job.x.indices != NULL:
            self.prepare_entries(job, start, stop)
        for t in range(size):
            p.threads.rows_status[t] = p.threads.weights_status[t] = STATUS_DONE
            p.threads.place[t] = start * job.batch_size
        divide_rows(p, size)
        p.work.has_panels = p.has_panels and rows * size >= PANEL_ROWS
        with nogil:
            if size > 1:
                set_word(&p.threads.team, &p.threads.team.job, ((p.threads.team.job >> 8) + 1) << 8 | <uint32>size)
            run(p, 0, size)
            if update:
                p.optimizer.steps += job.done - start
        if p.threads.weights_status[0] == STATUS_INTERRUPTED:
            error, self.error = self.error, None
            raise error
        for t in range(size):
            status = p.threads.rows_status[t] or p.threads.weights_status[t]
            if status != STATUS_DONE:
                if (status == STATUS_BAD_LOSS or status == STATUS_BAD_GRADIENT) and update:
                    self.put_back(start)
                return job.done, status, row_at(job, p.threads.place[t])
        return job.done, DONE, -1

    cdef int put_back(self, Py_ssize_t start) except -1:
        """Weights, slots and state of the start of the range."""
        cdef Plan* p = self.plan
        p.optimizer.steps -= p.job.done - start
        self.params[:] = self._backup[:p.n_params]
        self.slots[:] = self._backup[p.n_params:(1 + p.optimizer.n_slots) * p.n_params].reshape(self.slots.shape)
        self.state[:] = self._backup[(1 + p.optimizer.n_slots) * p.n_params:]
        return 0

    cdef int open_x(self, x, Rows* rows) except -1:
        """The rows of x; a ValueError for those that this network can not read."""
        cdef Py_ssize_t columns
        read_rows(x, rows, &columns)
        if columns != self.plan.n_inputs:
            raise ValueError(f"x must have {self.plan.n_inputs} columns, got {columns}")
        if rows.indices == NULL and self.plan.sparse:
            raise ValueError("this network reads sparse rows alone")
        if rows.indices != NULL and self.plan.layers[0].kind != DENSE:
            raise ValueError("sparse rows need a first layer with weights")
        return 0

    cdef int check_y(self, y) except -1:
        """ValueError for targets that are not those of the loss; one in Python takes any number of columns up to that of the outputs."""
        cdef int kind = self.plan.objective.loss.kind
        cdef Py_ssize_t n_out = self.plan.layers[self.plan.n_layers - 1].n_out
        if is_sparse(kind) == isinstance(y, DenseRows):
            raise ValueError("y must be int64 labels for a sparse loss, and DenseRows for every other one")
        if is_sparse(kind):
            return 0
        columns, wanted = y.n_columns, target_columns(kind, n_out)
        if kind == PYTHON_FUNCTION and not 1 <= columns <= n_out or kind != PYTHON_FUNCTION and columns != wanted:
            raise ValueError(f"y must have {wanted} columns, got {columns}")
        return 0

    cdef char* outputs_address(self, outputs, Py_ssize_t rows) except? NULL:
        """Where the outputs of `rows` rows go."""
        cdef Py_buffer buffer
        cdef bint fits
        if outputs is None:
            return NULL
        PyObject_GetBuffer(outputs, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)       # ndarray.ctypes takes longer than a small net
        fits = buffer.ndim == 2 and buffer.shape[0] >= rows and buffer.shape[1] == self.plan.layers[self.plan.n_layers - 1].n_out
        PyBuffer_Release(&buffer)
        if not fits or outputs.dtype != self.dtype:
            raise ValueError("outputs must be a C-contiguous matrix of the dtype and width of the last layer, a row for each row")
        return <char*>buffer.buf

    def job(self):
        """The word of the last job; what `help` starts from."""
        return self.plan.threads.team.job

    def help(self, int thread, uint32 last):
        """Works as `thread` of every job that has that many threads, until `dismiss`."""
        cdef Plan* p = self.plan
        cdef uint32 word
        with nogil:
            while True:
                word = load(&p.threads.team.job)
                if word == last:
                    wait(&p.threads.team, &p.threads.team.job, last)
                    continue
                last = word
                if word & 255 == 0:
                    break
                if thread < <int>(word & 255):
                    run(p, thread, word & 255)

    def dismiss(self):
        """Ends every `help`."""
        set_word(&self.plan.threads.team, &self.plan.threads.team.job, ((self.plan.threads.team.job >> 8) + 1) << 8)

    def evaluate_rows(self, x, y, Py_ssize_t start, Py_ssize_t stop, double[:, ::1] values, outputs=None):
        """Loss and metrics of rows start..stop into values[:, start:stop]; (status, row).  Many threads may call it.

        Parameters
        ----------
        x, y : as for `Batches`
        values : float64 (n_values, rows)
            A loss in Python leaves values[0] at 0.
        outputs : array (rows, n_outputs), optional
            Written to: those of the last layer.
        """
        cdef Plan* p = self.plan
        cdef Job job
        cdef Work work
        cdef Py_ssize_t bad_input = -1, bad_target = -1
        cdef const int64_t[::1] labels
        if not 0 <= start <= stop <= min(len(x), len(y), values.shape[1]) or values.shape[0] < self.n_values:
            raise ValueError("start, stop must lie in the rows given")
        if start == stop:
            return DONE, -1
        memset(&job, 0, sizeof(Job))
        self.open_x(x, &job.x)
        self.check_y(y)
        job.n_rows = stop
        job.outputs = self.outputs_address(outputs, stop)
        if isinstance(y, DenseRows):
            read_rows(y, &job.y, &job.n_targets)
        else:
            labels = y
            job.labels = &labels[0]
        self.borrow(&work, stop - start)
        with nogil:
            if p.is_double:
                evaluate(p, &job, &work, start, stop, &values[0, 0], values.shape[1], &bad_input, &bad_target, <double*>NULL)
            else:
                evaluate(p, &job, &work, start, stop, &values[0, 0], values.shape[1], &bad_input, &bad_target, <float*>NULL)
            release(work.memory)
            release(work.packed)
        if bad_input >= 0:
            return BAD_INPUT, bad_input
        if bad_target >= 0:
            return BAD_TARGET, bad_target
        return DONE, -1

    def predict_rows(self, x, Py_ssize_t start, Py_ssize_t stop, out):
        """Predictions of rows start..stop into out[start:stop]; row of a bad element, or -1.  Many threads may call it."""
        cdef Plan* p = self.plan
        cdef Job job
        cdef Work work
        cdef Py_ssize_t bad
        cdef char* outputs
        if not 0 <= start <= stop <= min(len(x), len(out)):
            raise ValueError("start, stop must lie in the rows given")
        if start == stop:
            return -1
        memset(&job, 0, sizeof(Job))
        self.open_x(x, &job.x)
        job.n_rows = stop
        outputs = self.outputs_address(out, stop)
        self.borrow(&work, stop - start)
        with nogil:
            if p.is_double:
                bad = predict(p, &job, &work, start, stop, <double*>outputs)
            else:
                bad = predict(p, &job, &work, start, stop, <float*>outputs)
            release(work.memory)
            release(work.packed)
        return bad

    cdef int borrow(self, Work* work, Py_ssize_t rows) except -1:
        """A workspace of the caller's own for a forward pass; panels only where they pay."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t item = 8 if p.is_double else 4
        cdef int index
        work.capacity = min(rows, <Py_ssize_t>SPAN_ROWS)
        work.memory = <char*>allocate(work.capacity * p.forward_size * item + 64)
        work.packed = NULL
        work.has_panels = p.has_panels and rows >= SPAN_ROWS
        if work.memory == NULL:
            raise MemoryError("no memory for a workspace")
        if not p.has_columns and not work.has_panels:
            return 0
        work.packed = <char*>allocate((p.packed_size + SLACK) * item)
        if work.packed == NULL:
            release(work.memory)
            raise MemoryError("no memory for the panels of the weights")
        for index in range(p.n_layers):
            if p.is_double:
                repack_forward(p, p.layers + index, work, 0, p.layers[index].k, <double*>NULL)
            else:
                repack_forward(p, p.layers + index, work, 0, p.layers[index].k, <float*>NULL)
        return 0


cdef inline void place_layer(Plan* p, Layer* layer, int index, const floating* tag) noexcept:
    """Strides and offsets of a layer in the workspace and among the panels."""
    cdef Py_ssize_t item = sizeof(floating), lines
    if index == 0:
        p.input_stride = 0 if p.sparse else padded_row(p.n_inputs, tag)
        p.forward_size = p.input_stride
        layer.input_stride = p.input_stride
    else:
        layer.input = (layer - 1).a
        layer.input_stride = (layer - 1).stride
    layer.width = padded(layer.n_out, tag)
    layer.stride = padded_row(layer.n_out, tag)
    layer.a = p.forward_size
    p.forward_size += layer.stride
    layer.z = layer.a
    if keeps_input(layer.activation):
        layer.z = p.forward_size
        p.forward_size += layer.stride
    if keeps_normalized(layer.kind):
        layer.normalized = p.forward_size
        p.forward_size += layer.stride
    lines = layer.width * item // 64
    layer.gradient_row = (lines + (lines >= 32 and lines % 2 == 0)) * (64 // item)      # see padded_row
    layer.block = max(<Py_ssize_t>BLOCK_ROWS, <Py_ssize_t>BLOCK_SIZE // layer.width // GROUP_ROWS * GROUP_ROWS)
    layer.block_size = (min(layer.block, padded(layer.k, tag)) + GROUP_ROWS) * layer.gradient_row
    layer.columns = -1
    if layer.kind == DENSE and by_dots(layer.n_out, layer.k, tag) and not (p.sparse and index == 0):
        layer.columns = p.packed_size
        p.packed_size += padded(layer.k, tag) * layer.n_out
        p.has_columns = True
    layer.transposed = -1
    if index > p.first_trained and layer.kind == DENSE and not by_dots(layer.n_in, layer.n_out, tag):
        layer.transposed = p.packed_size
        p.packed_size += transposed_size(layer.n_in, layer.n_out, tag)
    layer.panels = -1
    if layer.n_out * item >= FAR and layer.kind == DENSE and not (p.sparse and index == 0):
        layer.panels = p.packed_size
        p.packed_size += packed_size(layer.k, layer.n_out, tag)
        p.has_panels = True


cdef inline void place_deltas(Plan* p, const floating* tag) noexcept:
    """Offsets of the deltas, the last layer's first; behind it a block for its targets."""
    cdef int index
    p.train_size = p.forward_size
    for index in range(p.n_layers - 1, -1, -1):
        p.layers[index].delta = p.train_size
        p.train_size += p.layers[index].stride
        if index == p.n_layers - 1:
            p.train_size += p.layers[index].stride
            p.forward_size = p.train_size


cdef char* address(object array) except NULL:
    return <char*><size_t>array.ctypes.data


cdef void copy_rows(char* out, Py_ssize_t out_row, const char* source, Py_ssize_t source_row, Py_ssize_t size, Py_ssize_t rows) noexcept nogil:
    """`size` bytes of each row; `out_row` and `source_row` are the bytes from one row to the next."""
    cdef Py_ssize_t r
    for r in range(rows):
        memcpy(out + r * out_row, source + r * source_row, size)


include "functions.pxi"
