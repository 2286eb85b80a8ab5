"""The native network: trains without the GIL, and without an allocation in a step.

A step has two halves, and a barrier after each:

    rows       each thread takes a span of the rows of the batch: gather, forward, loss, and delta
               back to the first layer with weights
    weights    each thread takes rows of each [W; b]: gradient over the whole batch, the step of the
               optimizer, and panels, repacked while they are in the cache

Batch normalization needs all rows of a batch at once, because its sums run over them.  There each
thread takes a span of the columns of the layer, between two barriers (`forward_in_phases`,
`backward_in_phases`).

Rows of x may be sparse (CSR), see `sparse.pxd`.  Then z of the first layer is computed while they
are gathered.

A bound on the norm of the gradient, or a step over several batches, needs the whole gradient first.
It is kept in grads, or in a separate slot where batches add up; the deferred step follows after two
more barriers.

Why so: there is no gradient per thread and no reduction between threads, and each element is one
chain of multiply-adds (`matmul.pxd`).  So the bits are the same for every number of threads.

The files of the core, the structs they share and the layout of memory: see `plan.pxd`.  This file
and its `.pxi` files are compiled once for each CPU level; `nnfast._core` selects one.
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
    ACTIVATION, BATCH_NORM, DENSE, Layer, describe, is_random, keeps_normalized, layer_codes, n_states,
    normalize_columns, normalize_columns_gradient)
from nnfast._core.losses cimport (
    C_FUNCTION, N_LOSSES, N_SETTINGS, PYTHON_FUNCTION, Loss, custom_loss_codes, is_sparse, loss_codes, loss_rows,
    needs_columns, target_columns)
from nnfast._core.mathf cimport multiply_add
from nnfast._core.matmul cimport (
    by_copies, by_dots, by_transpose, copied_size, dots, pack, pack_columns, packed_size, padded, padded_row,
    panel_width, product_over_rows, team_product, transpose, transposed_size)
from nnfast._core.metrics cimport keeps_order, metric_codes
from nnfast._core.optimizers cimport Step, begin_step, optimizer_codes, optimizer_step
from nnfast._core.plan cimport (
    BATCH_ROWS, BLOCK_ROWS, BLOCK_SIZE, FAR, FREE, GROUP_ROWS, LOSS_BLOCK, MAX_METRICS, MAX_NORM, MAX_SETTINGS,
    MAX_THREADS, NON_NEGATIVE, PANEL_ROWS, REDUCE_MEAN, REDUCE_SUM, REDUCE_WEIGHTED, SLACK, SPAN_ROWS,
    STATUS_BAD_GRADIENT, STATUS_BAD_INPUT, STATUS_BAD_LOSS, STATUS_BAD_TARGET, STATUS_DONE, STATUS_INTERRUPTED, Job,
    Plan, Rows, Work, allocate, at, beta_of, failed, first_column, gamma_of, needs_whole_batch, record_bad_row, release,
    row_at)
from nnfast._core.sparse cimport column_of, start_of
from nnfast._core.team cimport barrier, flush_denormals, load, restore_mode, set as set_word, uint32, uint64, wait
from nnfast._core.vectors cimport CACHE_LINE
from nnfast._core.weights cimport (
    begin_batch, bound_layers, deferred_step, divide_rows, find_gradient_factors, groups_of, penalty, repack,
    weights_half)

import numpy as np

# The codes that Python passes to the core, by name.
ACTIVATIONS = activation_codes()
LOSSES = loss_codes()
CUSTOM_LOSSES = custom_loss_codes()
METRICS = metric_codes()
OPTIMIZERS = optimizer_codes()              # name: (code, slots)
LAYERS = layer_codes()
SOURCES = source_codes()
SOURCE_OF_CHAR = {
    char: SOURCES[np.dtype(char).str[1:]] for char in np.typecodes["All"] if np.dtype(char).str[1:] in SOURCES}
REDUCTIONS = {"sum_over_batch_size": REDUCE_MEAN, "mean": REDUCE_MEAN, "sum": REDUCE_SUM,
              "mean_with_sample_weight": REDUCE_WEIGHTED}
CONSTRAINTS = {None: FREE, "non_neg": NON_NEGATIVE, "max_norm": MAX_NORM}
SLOTS = dict(OPTIMIZERS.values())
DONE, BAD_INPUT, BAD_TARGET = STATUS_DONE, STATUS_BAD_INPUT, STATUS_BAD_TARGET
BAD_LOSS, BAD_GRADIENT = STATUS_BAD_LOSS, STATUS_BAD_GRADIENT
MOST_THREADS = MAX_THREADS


# -- the first half of a step: rows ----------------------------------------------------------------
# `place` is the place in the order of the first row, `first` its row in the workspace.


cdef inline double batch_scale(const Plan* p, Py_ssize_t place, Py_ssize_t rows) noexcept nogil:
    """Factor of the weighted losses of a batch: 1 / rows, 1 / sum of weights, or 1.

    Ignored rows do not count.
    """
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
    """Whether the losses of these rows are finite; records the first that is not.

    True if the job does not check.
    """
    cdef Py_ssize_t r
    if not p.job.check:
        return True
    for r in range(first, first + rows):
        if not (-INFINITY < p.values[r] < INFINITY):
            record_bad_row(p, STATUS_BAD_LOSS, place + r - first, thread)
            return False
    return True


cdef inline void backward(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, double scale, double per_row,
                          int thread, const floating* tag) noexcept nogil:
    """delta of all layers, unless a loss is not finite."""
    cdef int index
    if not finite_losses(p, place, first, rows, thread):
        return
    begin_backward(p, place, first, rows, scale, per_row, tag)
    for index in range(p.n_layers - 1, p.first_trained, -1):
        backward_layer(p, index, place, first, rows, per_row, tag)


cdef inline void rows_in_spans(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, double scale,
                               double per_row, int thread, const floating* tag) noexcept nogil:
    """Forward, loss and backward of rows first..last of the workspace, at most SPAN_ROWS at a time.

    With a loss in Python only forward: the loss needs all rows of the batch.
    """
    cdef Py_ssize_t spans = (last - first + SPAN_ROWS - 1) // SPAN_ROWS, rows, bad
    for spans in range(spans, 0, -1):
        rows = (last - first + spans - 1) // spans
        bad = gather(p, &p.job, &p.work, place, first, rows, tag)
        if bad >= 0:
            record_bad_row(p, STATUS_BAD_INPUT, bad, thread)
            return
        forward(p, &p.job, &p.work, place, first, rows, not p.objective.fused, True, tag)
        bad = score(p, &p.job, &p.work, place, first, rows, True, p.values + first, p.work.capacity, tag)
        if bad >= 0:
            record_bad_row(p, STATUS_BAD_TARGET, bad, thread)
            return
        if p.objective.loss.kind != PYTHON_FUNCTION:
            backward(p, place, first, rows, scale, per_row, thread, tag)
            if p.threads.rows_status[thread] != STATUS_DONE:
                return
        place += rows
        first += rows


cdef inline void forward_in_phases(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows,
                                   int thread, int size, const floating* tag) noexcept nogil:
    """Forward and loss of rows first..last of a batch, in step with the other threads.

    `place` is the place of the first of the `rows` rows of the batch.  Every thread goes on after a
    bad row, because the others wait at the barriers.
    """
    cdef Py_ssize_t bad = gather(p, &p.job, &p.work, place + first, first, last - first, tag)
    cdef const Layer* layer
    cdef floating* mean
    cdef int index
    if bad >= 0:
        record_bad_row(p, STATUS_BAD_INPUT, bad, thread)
    for index in range(p.n_layers):
        layer = p.layers + index
        if layer.kind == BATCH_NORM:
            mean = <floating*>p.moments + layer.moments
            barrier(&p.threads.team, thread, size)
            normalize_columns(
                at(&p.work, layer.input, layer.input_stride, 0, tag), layer.input_stride, rows,
                first_column(layer.n_out, thread, size), first_column(layer.n_out, thread + 1, size),
                at(&p.work, layer.normalized, layer.stride, 0, tag), at(&p.work, layer.a, layer.stride, 0, tag),
                layer.stride, gamma_of(p, layer, tag), beta_of(p, layer, tag), layer.epsilon, mean, mean + layer.n_out)
            barrier(&p.threads.team, thread, size)
        if last > first:
            forward_layer(p, &p.job, &p.work, index, place + first, first, last - first, not p.objective.fused, True,
                          tag)
    if last > first:
        bad = score(p, &p.job, &p.work, place + first, first, last - first, True, p.values + first, p.work.capacity,
                    tag)
        if bad >= 0:
            record_bad_row(p, STATUS_BAD_TARGET, bad, thread)


cdef inline void backward_in_phases(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows,
                                    double scale, int thread, int size, const floating* tag) noexcept nogil:
    """delta of all layers for rows first..last of a batch, in step with the other threads."""
    cdef const Layer* layer
    cdef floating* variance
    cdef int index
    finite_losses(p, place + first, first, last - first, thread)
    begin_backward(p, place + first, first, last - first, scale, 1. / rows, tag)
    for index in range(p.n_layers - 1, p.first_trained, -1):
        layer = p.layers + index
        if layer.kind == BATCH_NORM:
            variance = <floating*>p.moments + layer.moments + layer.n_out
            barrier(&p.threads.team, thread, size)
            normalize_columns_gradient(
                at(&p.work, layer.normalized, layer.stride, 0, tag), at(&p.work, layer.delta, layer.stride, 0, tag),
                layer.stride, rows,
                first_column(layer.n_out, thread, size), first_column(layer.n_out, thread + 1, size),
                at(&p.work, (layer - 1).delta, layer.stride, 0, tag), layer.stride, gamma_of(p, layer, tag),
                layer.epsilon, variance, variance + layer.n_out, variance + 2 * layer.n_out)
            barrier(&p.threads.team, thread, size)
        if last > first:
            backward_layer(p, index, place + first, first, last - first, 1. / rows, tag)


cdef inline bint rows_half(Plan* p, Py_ssize_t place, Py_ssize_t rows, double scale, double per_row, int thread,
                           int size, const floating* tag) noexcept nogil:
    """This thread's part of the workspace: forward, loss, backward; False if any thread failed."""
    cdef Py_ssize_t first = rows * thread // size, last = rows * (thread + 1) // size
    cdef bint in_python = p.objective.loss.kind == PYTHON_FUNCTION
    if p.has_batch_norm:
        forward_in_phases(p, place, first, last, rows, thread, size, tag)
        if not in_python:
            backward_in_phases(p, place, first, last, rows, scale, thread, size, tag)
    else:
        rows_in_spans(p, place + first, first, last, scale, per_row, thread, tag)
    barrier(&p.threads.team, thread, size)
    if failed(p.threads.rows_status, size):
        return False
    if not in_python:
        return True
    if thread == 0 and not call_python(p, place, rows):
        p.threads.weights_status[0] = STATUS_INTERRUPTED
    barrier(&p.threads.team, thread, size)
    if failed(p.threads.weights_status, size):
        return False
    if p.has_batch_norm:
        backward_in_phases(p, place, first, last, rows, scale, thread, size, tag)
    else:
        backward(p, place + first, first, last - first, scale, per_row, thread, tag)
    barrier(&p.threads.team, thread, size)
    return not failed(p.threads.rows_status, size)


cdef inline void add_up(Plan* p, Py_ssize_t place, Py_ssize_t rows, double factor) noexcept nogil:
    """Adds losses times `factor`, and metrics, to the sums of the job, in the order of the rows."""
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
    if p.penalties.on_outputs:
        m = 1 + p.objective.n_metrics
        for r in range(rows):
            p.job.sums[m] += p.values[m * p.work.capacity + r]


# -- the loop over batches -------------------------------------------------------------------------


cdef void copy_part(char* out, const char* source, Py_ssize_t size, int thread, int threads) noexcept nogil:
    """This thread's part of a copy of `size` bytes."""
    cdef Py_ssize_t first = size * thread // threads, last = size * (thread + 1) // threads
    memcpy(out + first, source + first, last - first)


cdef void back_up(Plan* p, Py_ssize_t item, int thread, int size) noexcept nogil:
    """Copies params, slots and state; `put_back` restores them after a bad loss or gradient."""
    cdef Py_ssize_t params = p.n_params * item, slots = p.optimizer.n_slots * p.n_params * item
    copy_part(p.optimizer.backup, p.params, params, thread, size)
    copy_part(p.optimizer.backup + params, p.optimizer.slots, slots, thread, size)
    copy_part(p.optimizer.backup + params + slots, p.state, p.n_state * item, thread, size)


cdef inline bint finish_batch(Plan* p, Py_ssize_t batch, Py_ssize_t rows, bint stepping, int thread, int size,
                              const floating* tag) noexcept nogil:
    """Deferred step, bounds on norms and penalties at the end of a batch; False on failure."""
    if stepping:
        if thread == 0:
            find_gradient_factors(p, tag)
        barrier(&p.threads.team, thread, size)
        deferred_step(p, thread, tag)
        barrier(&p.threads.team, thread, size)
        if failed(p.threads.weights_status, size):
            return False
    if p.has_max_norm and p.job.update:
        bound_layers(p, thread, size, tag)
        barrier(&p.threads.team, thread, size)
    if thread == 0:
        p.job.done = batch + 1
        if p.penalties.on_weights:
            p.job.sums[1 + p.objective.n_metrics] += penalty(p) * rows
    return True


cdef inline void train(Plan* p, int thread, int size, const floating* tag) noexcept nogil:
    """Trains on batches start..stop, in lockstep with the other threads of the job.

    A batch that is longer than the workspace is taken in parts, whose gradients add up in grads.
    """
    cdef Py_ssize_t batch, place, rows, part, done, index, item = sizeof(floating)
    cdef Py_ssize_t longest = p.job.batch_size if needs_whole_batch(p) else BATCH_ROWS
    cdef bint plain_mean = p.objective.reduction == REDUCE_MEAN and not p.job.ignores
    cdef bint stepping = False
    cdef double scale
    cdef Py_ssize_t* first = p.threads.first_row + thread * p.n_layers
    if p.job.check and p.job.update:
        back_up(p, item, thread, size)
    for index in range(p.n_layers):
        repack(p, p.layers + index, first[index], first[p.n_layers + index], tag)
    barrier(&p.threads.team, thread, size)
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
            part = min(rows - done, longest)
            if thread == 0:
                p.batch.first_place = place + done
            if not rows_half(p, place + done, part, scale, 1. / rows, thread, size, tag):
                return
            # Read now: after the next barrier thread 0 may be at the next batch.
            stepping = p.optimizer.deferred and p.job.update and p.batch.stepping
            if thread == 0:
                add_up(p, place + done, part, 1 if plain_mean or p.objective.whole else scale * rows)
                if done + part < rows and interrupted(p):
                    p.threads.weights_status[0] = STATUS_INTERRUPTED
            weights_half(p, part, done > 0, done + part == rows, thread, tag)
            barrier(&p.threads.team, thread, size)
            if failed(p.threads.weights_status, size):
                return
            done += part
        if not finish_batch(p, batch, rows, stepping, thread, size, tag):
            return


cdef void run(Plan* p, int thread, int size) noexcept nogil:
    """`train` in the dtype of the network, with denormals flushed to zero."""
    cdef uint64 mode = flush_denormals()
    if thread == 0:
        p.job.mode = mode
    if p.is_double:
        train(p, thread, size, <double*>NULL)
    else:
        train(p, thread, size, <float*>NULL)
    restore_mode(mode)
    barrier(&p.threads.team, thread, size)              # after it no thread reads the plan


cdef inline void post_job(Plan* p, uint32 size) noexcept nogil:
    """Wakes the threads in `help` for a new job of `size` threads; size 0 ends them."""
    set_word(&p.threads.team, &p.threads.team.job, ((p.threads.team.job >> 8) + 1) << 8 | size)


cdef bint interrupted(Plan* p) noexcept with gil:
    """Whether a signal handler raised an exception, e.g. for Ctrl-C.

    `train_batches` raises it when all threads have stopped.
    """
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Network>p.network).error = error
        return True
    return False


cdef bint call_python(Plan* p, Py_ssize_t place, Py_ssize_t rows) noexcept with gil:
    """Loss and delta of the workspace by the loss in Python; False if it raised an exception.

    It runs in the floating-point mode of the user.
    """
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
    """Zeros (size,) that begin on a cache line; SLACK elements behind them may be read."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros((size + SLACK) * item + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start:start + (size + SLACK) * item].view(dtype)[:size]


include "rows.pxi"
include "loss_kernel.pxi"


cdef class Network:
    """A network of dense and other layers with one flat vector of parameters.

    Parameters
    ----------
    n_inputs : int
        Columns of x.
    layers : list of (units, activation, use_bias) or (name, *options)
        `activation` is a code of `ACTIVATIONS`; units 0 makes a layer of an activation only.  The
        names are those of `LAYERS`: ("dropout", rate), ("noise", deviation), ("scale",),
        ("prelu",), ("layer_norm", epsilon, center, scale), ("batch_norm", epsilon, center, scale,
        momentum).
    dtype : {"float32", "float64"}
    sparse : bint
        x will always be SparseRows, so the workspace has no room for dense rows.  Other networks
        read both.

    Attributes
    ----------
    params : ndarray (n_params,)
        | W0 | b0 | W1 | ...  Training writes it; between calls the caller may.
    slots : ndarray (n_slots, n_params)
        State of the optimizer.
    grads : ndarray (n_params,) or None
    state : ndarray (n_state,)
        What is not trained: moving mean and variance, or shift, factor and offset.
    arrays : list of (offset, shape) in params, a list for each layer
    states : list of (offset, shape) in state, a list for each layer
    shapes : list of (n_in, n_out, use_bias, offset in params) of each layer with a product
    """
    cdef Plan* plan                 # allocated on cache lines of its own, because threads synchronize in its team
    cdef readonly object params, slots, grads, state, dtype
    cdef object _backup, _values, _penalties, _columns, _entries, _moments      # arrays that the plan points into
    cdef object kernel, python_loss             # of set_loss
    cdef object error                           # the exception that stopped the job
    cdef readonly list shapes, arrays, states

    def __cinit__(self, Py_ssize_t n_inputs, list layers, dtype="float32", bint sparse=False):
        cdef Plan* p = <Plan*>allocate(sizeof(Plan))
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
        if p.layers == NULL or p.threads.first_row == NULL or p.batch.factors == NULL or p.batch.steps == NULL \
                or p.optimizer.multipliers == NULL:
            raise MemoryError()
        p.optimizer.accumulate, p.optimizer.accumulator, p.optimizer.average = 1, -1, -1
        p.optimizer.multipliers[0], p.optimizer.n_rates = 1, 1
        p.first_trained = p.n_layers
        self.shapes, self.arrays, self.states = [], [], []
        for index in range(p.n_layers):
            n_inputs = self.add_layer(index, layers[index], n_inputs)
        if p.is_double:
            place_deltas(p, <double*>NULL)
        else:
            place_deltas(p, <float*>NULL)
        self.params = aligned_zeros(p.n_params, self.dtype)
        p.params = address(self.params)
        self.state, self._moments = aligned_zeros(p.n_state, self.dtype), aligned_zeros(p.n_moments, self.dtype)
        p.state, p.moments = address(self.state), address(self._moments)

    cdef Py_ssize_t add_layer(self, int index, description, Py_ssize_t n_in) except -1:
        """Sets up a layer from its entry in the list `layers`; returns its n_out."""
        cdef Plan* p = self.plan
        cdef Layer* layer = p.layers + index
        cdef Py_ssize_t units = 0
        kind, *options = description
        layer.n_in = n_in
        if kind in LAYERS:
            describe(layer, LAYERS[kind], options)
            p.random |= is_random(layer.kind)
            p.has_batch_norm |= layer.kind == BATCH_NORM
        else:
            units, (layer.activation, use_bias) = kind, options
            layer.kind = DENSE if units else ACTIVATION
            layer.of_kernel = n_in if units else 0
            layer.k = layer.of_kernel + bool(use_bias) if units else 0
        layer.n_out = units or n_in
        layer.kernel = p.n_params
        if layer.k > 0:
            p.first_trained = min(p.first_trained, index)
        if p.is_double:
            place_layer(p, layer, index, <double*>NULL)
        else:
            place_layer(p, layer, index, <float*>NULL)
        if units:
            self.shapes.append((n_in, units, layer.k > layer.of_kernel, p.n_params))
        arrays, states = [], []
        if layer.of_kernel > 0:
            arrays.append((layer.kernel, tuple([n_in, units] if units else [layer.n_out])))
        if layer.k > layer.of_kernel:
            arrays.append((layer.kernel + layer.of_kernel * layer.n_out, (layer.n_out,)))
        p.n_params += layer.k * layer.n_out
        layer.state, layer.moments = p.n_state, p.n_moments
        for _ in range(n_states(layer.kind)):
            states.append((p.n_state, (layer.n_out,)))
            p.n_state += layer.n_out
        p.n_moments += 4 * layer.n_out if layer.kind == BATCH_NORM else 0
        self.arrays.append(arrays)
        self.states.append(states)
        return layer.n_out

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
        """Whether some layer draws random elements, from the `seed` of `train_batches`."""
        return self.plan.random

    @property
    def penalizes(self):
        """Whether `sums` of `train_batches` must have an entry for penalties."""
        return self.plan.penalties.on_weights or self.plan.penalties.on_outputs

    @property
    def n_values(self):
        """Rows of `values` of `evaluate_rows`: loss, metrics, and any penalty on outputs."""
        return 1 + self.plan.objective.n_metrics + self.plan.penalties.on_outputs

    @property
    def in_python(self):
        """Whether the loss is a Python function."""
        return self.python_loss is not None

    @property
    def steps(self):
        """Number of steps that the optimizer has taken."""
        return self.plan.optimizer.steps

    @steps.setter
    def steps(self, Py_ssize_t steps):
        self.plan.optimizer.steps = steps

    def set_loss(self, LossKernel kernel, bint fused, list metrics, int reduction=REDUCE_MEAN, python_loss=None,
                 bint whole=False, double lowest=-INFINITY, double highest=INFINITY):
        """Sets loss and metrics.

        Parameters
        ----------
        kernel : LossKernel
        fused : bint
            The loss reads the input of the last activation, e.g. logits, and not its output.
        metrics : list of codes of METRICS
        reduction : a code of REDUCTIONS
        python_loss : function (y, outputs, weights) -> float64 (rows,), gradient (rows, n_out)
            For the loss "python".  One thread calls it once a batch, with new arrays.
        whole : bint
            `python_loss` gives the loss of the batch in every value, and its gradient: no mean is
            taken and no weights are applied.
        lowest, highest : float
            A target outside of [lowest, highest] is a bad target, like one that is not finite.
        """
        cdef Plan* p = self.plan
        cdef Py_ssize_t n_out = p.layers[p.n_layers - 1].n_out
        if len(metrics) > MAX_METRICS:
            raise ValueError(f"there must be at most {MAX_METRICS} native metrics, got {len(metrics)}")
        if (kernel.loss.kind == PYTHON_FUNCTION) != (python_loss is not None):
            raise ValueError("the loss \"python\", and no other, needs a function python_loss")
        if kernel.by_column not in (0, n_out):
            raise ValueError(f"the loss must have a number for each of the {n_out} columns of the last layer, "
                             f"got {kernel.by_column}")
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
        """Calls the loss in Python for the workspace, and copies its values and gradient there."""
        cdef Plan* p = self.plan
        cdef Layer* last = p.layers + p.n_layers - 1
        cdef Py_ssize_t item = 8 if p.is_double else 4, r
        cdef char* delta = p.work.memory + last.delta * p.work.capacity * item
        cdef char* y = delta + last.stride * p.work.capacity * item
        cdef char* a = p.work.memory + last.a * p.work.capacity * item
        cdef double[::1] weights_view
        cdef const double[::1] values
        outputs = np.empty((rows, last.n_out), self.dtype)
        copy_rows(address(outputs), last.n_out * item, a, last.stride * item, last.n_out * item, rows)
        targets = np.empty((rows, p.job.n_targets), self.dtype)
        copy_rows(address(targets), p.job.n_targets * item, y, last.stride * item, p.job.n_targets * item, rows)
        weights = None
        if p.job.weights != NULL and p.objective.whole:
            weights = np.empty(rows)
            weights_view = weights
            for r in range(rows):
                weights_view[r] = p.job.weights[row_at(&p.job, place + r)]
        losses, gradient = self.python_loss(targets, outputs, weights)
        if losses.shape != (rows,) or gradient.shape != outputs.shape:
            raise ValueError(f"a loss must give values of shape {(rows,)} and a gradient of shape {outputs.shape}; "
                             f"got {losses.shape} and {gradient.shape}")
        values = losses
        memcpy(p.values, &values[0], rows * sizeof(double))
        gradient = np.ascontiguousarray(gradient, self.dtype)
        copy_rows(delta, last.stride * item, address(gradient), last.n_out * item, last.n_out * item, rows)
        return 0

    def set_optimizer(self, int optimizer, Py_ssize_t n_slots, list settings, double start=0, **common):
        """Sets the optimizer; every element of its state is `start`.

        Accumulation and the running mean of the weights each get one more slot.  `common` are the
        keyword arguments of `set_settings`.
        """
        cdef Plan* p = self.plan
        cdef Py_ssize_t n_own = n_slots
        cdef bint accumulates = common.get("accumulate", 1) > 1, averages = common.get("ema_momentum", -1) >= 0
        n_slots += accumulates + averages
        slots = aligned_zeros(n_slots * p.n_params, self.dtype).reshape(n_slots, p.n_params)
        cdef char* memory = address(slots)
        if start != 0:
            slots[:n_own] = start
        self.set_settings(settings, **common)
        self._backup = None
        p.optimizer.accumulator = n_own * p.n_params if accumulates else -1
        p.optimizer.average = (n_own + accumulates) * p.n_params if averages else -1
        p.optimizer.slots, p.optimizer.n_slots = memory, n_slots
        p.optimizer.kind, p.optimizer.steps = optimizer, 0
        self.slots = slots

    def set_settings(self, list settings, double weight_decay=0, double clipvalue=0, double clipnorm=0,
                     double global_clipnorm=0, Py_ssize_t accumulate=1, double ema_momentum=-1,
                     Py_ssize_t ema_overwrite=0):
        """Sets hyperparameters of the same optimizer.

        Its state stays, so accumulation and the running mean cannot be switched on or off.

        Parameters
        ----------
        settings : list of float
            Hyperparameters, in the order of the kernel's arguments in optimizers.pxd.
        clipvalue, clipnorm, global_clipnorm : float
            0 is none.
        accumulate : int
            Batches for each step.
        ema_momentum : float
            Momentum of the running mean of the weights; below 0 is none.
        ema_overwrite : int
            Steps after which the mean replaces the weights; 0 is never.
        """
        cdef int i
        cdef Plan* p = self.plan
        for i in range(MAX_SETTINGS):
            p.optimizer.settings[i] = settings[i] if i < len(settings) else 0
        p.optimizer.weight_decay = weight_decay
        p.optimizer.clipvalue, p.optimizer.clipnorm, p.optimizer.global_clipnorm = clipvalue, clipnorm, global_clipnorm
        p.optimizer.accumulate = accumulate
        p.optimizer.ema_momentum, p.optimizer.ema_overwrite = ema_momentum, ema_overwrite
        p.optimizer.deferred = clipnorm > 0 or global_clipnorm > 0 or accumulate > 1

    @property
    def average(self):
        """(n_params,): the running mean of the weights, a slot of the optimizer; or None."""
        if self.slots is None or self.plan.optimizer.average < 0 or self.plan.n_params == 0:
            return None
        return self.slots[self.plan.optimizer.average // self.plan.n_params]

    def set_penalties(self, list penalties, bint by_rows):
        """Sets penalties l1 |w| + l2 w^2, whose gradient is added to that of every batch.

        Parameters
        ----------
        penalties : list of (l1, l2), or (l1, l2, l1, l2, l1, l2), one for each layer
            On the kernel, or on kernel, bias and outputs.  The penalty on outputs is divided by the
            rows of the batch.
        by_rows : bint
            Penalties on weights are divided like the loss of a batch: by its rows, or by the sum of
            their weights.
        """
        cdef Plan* p = self.plan
        cdef Layer* layer
        cdef Py_ssize_t groups = 0
        for index, numbers in enumerate(penalties):
            layer = p.layers + <Py_ssize_t>index
            numbers = (*numbers, 0, 0, 0, 0)[:6]
            layer.l1, layer.l2, layer.bias_l1, layer.bias_l2, layer.output_l1, layer.output_l2 = numbers
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
        """Sets constraints, which hold after every step.

        Parameters
        ----------
        constraints : list of ((name, bound) of the kernel, (name, bound) of the bias)
            One for each layer.  Names are those of CONSTRAINTS.  "max_norm" bounds the Euclidean
            norm of each column of a kernel, and of a bias.
        """
        cdef Layer* layer
        self.plan.has_max_norm = False
        for index, both in enumerate(constraints):
            layer = self.plan.layers + <Py_ssize_t>index
            for i, (name, bound) in enumerate(both):
                layer.constraint[<int>i], layer.bound[<int>i] = CONSTRAINTS[name], bound
                self.plan.has_max_norm |= CONSTRAINTS[name] == MAX_NORM

    def set_multipliers(self, list multipliers):
        """Sets factors of the learning rate, one for each layer."""
        different = list(dict.fromkeys(map(float, multipliers))) or [1.]
        self.plan.optimizer.n_rates = len(different)
        for i, multiplier in enumerate(different):
            self.plan.optimizer.multipliers[<int>i] = multiplier
        for i, multiplier in enumerate(multipliers):
            self.plan.layers[<int>i].rate_index = different.index(multiplier)
            self.plan.layers[<int>i].frozen = multiplier == 0

    cdef int prepare(self, Py_ssize_t rows, int size, bint whole_gradient, bint backup) except -1:
        """Allocates memory for batches of `rows` rows at first need; it is kept for later calls."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t item = 8 if p.is_double else 4, widest = 0, copied = 0
        cdef int index
        cdef bint long = rows > BATCH_ROWS and not needs_whole_batch(p)
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
        if p.threads.n_scratch < size:
            release(p.threads.scratch)
            p.threads.n_scratch = 0
            for index in range(p.n_layers):     # the block and its transpose
                widest = max(widest, 2 * p.layers[index].block_size)
                copied = max(copied, p.layers[index].copied_size)
            p.threads.copied = widest
            p.threads.scratch_size = ((widest + copied + SLACK) * item + 4095) // 4096 * 4096 + 64
            p.threads.scratch = <char*>allocate(size * p.threads.scratch_size)
            p.threads.n_scratch = size if p.threads.scratch != NULL else 0
        if p.work.packed == NULL or p.threads.scratch == NULL:
            raise MemoryError("no memory for the panels of the weights and the gradient of a block")
        if self._values is None:        # the attribute is set last: it says that the pointer is valid
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
        """Allocates memory for the elements of the longest batch of sparse rows."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t batch, place, row, count, longest = 0
        cdef Py_ssize_t part = job.batch_size if needs_whole_batch(p) else min(job.batch_size, <Py_ssize_t>BATCH_ROWS)
        for batch in range(start, stop):
            count = 0
            for place in range(batch * job.batch_size, min(job.n_rows, (batch + 1) * job.batch_size)):
                if (place - batch * job.batch_size) % part == 0:
                    count = 0
                row = row_at(job, place)
                count += start_of(&job.x, row + 1) - start_of(&job.x, row)
                longest = max(longest, count)
        if self._columns is None:
            columns = np.empty((2, p.n_inputs), np.intp)
            p.entries.column_first = <Py_ssize_t*>address(columns)
            p.entries.column_last = p.entries.column_first + p.n_inputs
            self._columns = columns
        if self._entries is None or longest > p.entries.capacity:
            rows, values = np.empty(longest, np.intp), np.empty(longest, self.dtype)
            p.entries.row, p.entries.value = <Py_ssize_t*>address(rows), address(values)
            p.entries.capacity = longest
            self._entries = rows, values
        return 0

    def train_batches(self, Batches batches, Py_ssize_t start, Py_ssize_t stop, learning_rate, double[::1] sums,
                      int size=1, *, bint update=True, bint check=True, uint64 seed=0, outputs=None):
        """Trains on batches start..stop without the GIL.

        Parameters
        ----------
        batches : Batches
        learning_rate : float, or float64 (stop - start,): one for each batch
        sums : float64 (1 + n_metrics,), and one entry more if there are penalties
            Added to: the weighted loss and the metrics of every row; then the penalty of each batch
            times its rows.
        size : int
            Number of threads.  The call waits for the others, which must be in `help`;
            `_threads.Team.grow` sends them there.
        update : bool
            Take a step of the optimizer after each batch.  Otherwise the gradient of the last batch
            is left in `grads`.
        check : bool
            Stop at a loss or gradient that is not finite, and restore the weights of the start of
            the range.
        seed : int
            Seed of the random elements in this pass over the data.  Those of a row depend on it and
            on the place of the row in the order.
        outputs : array (n_rows, n_outputs) of the dtype of the network, optional
            Written to: the outputs of the last layer at each place of the order, before the step on
            its batch.

        Returns
        -------
        done : int
            First batch not trained on.
        status : int
            One of DONE, BAD_INPUT, BAD_TARGET, BAD_LOSS, BAD_GRADIENT.
        row : int
            The row that the status is about, or -1.
        """
        cdef Plan* p = self.plan
        cdef Job* job = &p.job
        cdef const double[::1] rates = learning_rate if isinstance(learning_rate, np.ndarray) else None
        if not 1 <= size <= MAX_THREADS:
            raise ValueError(f"the number of threads must lie in [1, {MAX_THREADS}], got {size}")
        if start < 0 or start >= stop or stop > len(batches):
            raise ValueError(f"start and stop must be a range of the {len(batches)} batches, got {start} and {stop}")
        if len(sums) < 1 + p.objective.n_metrics + self.penalizes:
            raise ValueError(f"sums must have {1 + p.objective.n_metrics + self.penalizes} entries: loss, metrics, "
                             f"penalty; got {len(sums)}")
        if update and self.slots is None:
            raise ValueError("the network must have an optimizer: call set_optimizer first")
        if rates is not None and rates.shape[0] != stop - start:
            raise ValueError(f"learning_rate must be a number, or an array with one for each of the {stop - start} "
                             f"batches of the range; got {rates.shape[0]}")
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
        self.prepare_job(size)
        with nogil:
            if size > 1:
                post_job(p, size)
            run(p, 0, size)
            if update:
                p.optimizer.steps += job.done - start
        return self.result(size)

    cdef int prepare_job(self, int size) except -1:
        """Memory, statuses and rows of [W; b] for the threads of the job."""
        cdef Plan* p = self.plan
        cdef Job* job = &p.job
        cdef Py_ssize_t rows = min(job.batch_size, job.n_rows)
        cdef int t
        self.prepare(rows, size, not job.update or p.optimizer.deferred, job.check and job.update)
        if job.x.indices != NULL:
            self.prepare_entries(job, job.start, job.stop)
        for t in range(size):
            p.threads.rows_status[t] = p.threads.weights_status[t] = STATUS_DONE
            p.threads.place[t] = job.start * job.batch_size
        divide_rows(p, size)
        p.work.has_panels = p.has_panels and rows * size >= PANEL_ROWS
        p.work.shared = size > 1
        return 0

    cdef tuple result(self, int size):
        """What `train_batches` returns; raises the exception that stopped the job, if any."""
        cdef Plan* p = self.plan
        cdef int t, status
        if p.threads.weights_status[0] == STATUS_INTERRUPTED:
            error, self.error = self.error, None
            raise error
        for t in range(size):
            status = p.threads.rows_status[t] or p.threads.weights_status[t]
            if status != STATUS_DONE:
                if (status == STATUS_BAD_LOSS or status == STATUS_BAD_GRADIENT) and p.job.update:
                    self.put_back()
                return p.job.done, status, row_at(&p.job, p.threads.place[t])
        return p.job.done, DONE, -1

    cdef int put_back(self) except -1:
        """Restores weights, slots and state of the start of the range."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t n_slots = p.optimizer.n_slots
        p.optimizer.steps -= p.job.done - p.job.start
        self.params[:] = self._backup[:p.n_params]
        self.slots[:] = self._backup[p.n_params:(1 + n_slots) * p.n_params].reshape(self.slots.shape)
        self.state[:] = self._backup[(1 + n_slots) * p.n_params:]
        return 0

    cdef int open_x(self, x, Rows* rows) except -1:
        """Reads the rows of x; ValueError for rows that this network cannot read."""
        cdef Py_ssize_t columns
        read_rows(x, rows, &columns)
        if columns != self.plan.n_inputs:
            raise ValueError(f"x must have {self.plan.n_inputs} columns, got {columns}")
        if rows.indices == NULL and self.plan.sparse:
            raise ValueError("x must be SparseRows: this network was made with sparse=True")
        if rows.indices != NULL and self.plan.layers[0].kind != DENSE:
            raise ValueError("SparseRows need a first layer with a product")
        return 0

    cdef int check_y(self, y) except -1:
        """Raises ValueError if y does not fit the loss.

        A loss in Python takes 1 to n_out columns.
        """
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
        """Address of the array that the outputs of `rows` rows are written to; NULL for None."""
        cdef Py_buffer buffer
        cdef Py_ssize_t n_out = self.plan.layers[self.plan.n_layers - 1].n_out
        cdef bint fits
        if outputs is None:
            return NULL
        # The buffer protocol: ndarray.ctypes takes longer than a prediction of a small network.
        PyObject_GetBuffer(outputs, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        fits = buffer.ndim == 2 and buffer.shape[0] >= rows and buffer.shape[1] == n_out
        PyBuffer_Release(&buffer)
        if not fits or outputs.dtype != self.dtype:
            raise ValueError(f"outputs must be a C-contiguous {self.dtype} array of at least {rows} rows and {n_out} "
                             f"columns; got shape {outputs.shape}, dtype {outputs.dtype}")
        return <char*>buffer.buf

    def job(self):
        """Word of the last job (see team.pxd), to pass to `help`."""
        return self.plan.threads.team.job

    def help(self, int thread, uint32 last):
        """Works as thread number `thread` in every job that has enough threads, until `dismiss`.

        `last` is what `job` returned before.
        """
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
        post_job(self.plan, 0)

    def evaluate_rows(self, x, y, Py_ssize_t start, Py_ssize_t stop, double[:, ::1] values, outputs=None):
        """Writes loss and metrics of rows start..stop into values[:, start:stop].

        Many threads may call it.

        Parameters
        ----------
        x, y : as for `Batches`
        values : float64 (n_values, rows)
            A loss in Python leaves values[0] at 0.
        outputs : array (rows, n_outputs), optional
            Written to: the outputs of the last layer.

        Returns
        -------
        status, row : int
            DONE and -1, or BAD_INPUT or BAD_TARGET and the first bad row.
        """
        cdef Plan* p = self.plan
        cdef Job job
        cdef Work work
        cdef Py_ssize_t bad_input = -1, bad_target = -1
        cdef const int64_t[::1] labels
        if not 0 <= start <= stop <= min(len(x), len(y), values.shape[1]) or values.shape[0] < self.n_values:
            raise ValueError(f"start and stop must be a range of the rows; got {start} and {stop} of {len(x)} rows")
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
                evaluate(p, &job, &work, start, stop, &values[0, 0], values.shape[1], &bad_input, &bad_target,
                         <double*>NULL)
            else:
                evaluate(p, &job, &work, start, stop, &values[0, 0], values.shape[1], &bad_input, &bad_target,
                         <float*>NULL)
            release(work.memory)
            release(work.packed)
        if bad_input >= 0:
            return BAD_INPUT, bad_input
        if bad_target >= 0:
            return BAD_TARGET, bad_target
        return DONE, -1

    def predict_rows(self, x, Py_ssize_t start, Py_ssize_t stop, out):
        """Writes predictions of rows start..stop into out[start:stop].  Many threads may call it.

        Returns the first row with an element that is not finite, or -1.
        """
        cdef Plan* p = self.plan
        cdef Job job
        cdef Work work
        cdef Py_ssize_t bad
        cdef char* outputs
        if not 0 <= start <= stop <= min(len(x), len(out)):
            raise ValueError(f"start and stop must be a range of the rows; got {start} and {stop} of {len(x)} rows")
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
        """Allocates a workspace for a forward pass of `rows` rows; the caller releases it."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t item = 8 if p.is_double else 4
        cdef int index
        work.capacity = min(rows, <Py_ssize_t>SPAN_ROWS)
        work.memory = <char*>allocate(work.capacity * p.forward_size * item + 64)
        work.packed = NULL
        work.has_panels = p.has_panels and rows >= SPAN_ROWS
        work.shared = False
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
    """Sets strides and offsets of a layer in the workspace and in packed."""
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
    # From 32 cache lines on, rows of a gradient are an odd number of lines apart: see padded_row.
    lines = layer.width * item // CACHE_LINE
    layer.gradient_row = (lines + (lines >= 32 and lines % 2 == 0)) * (CACHE_LINE // item)
    layer.block = max(<Py_ssize_t>BLOCK_ROWS, <Py_ssize_t>BLOCK_SIZE // layer.width // GROUP_ROWS * GROUP_ROWS)
    layer.block_size = (min(layer.block, padded(layer.k, tag)) + GROUP_ROWS) * layer.gradient_row
    if by_copies(layer.input_stride, layer.width, tag) and not by_transpose(layer.n_out, tag):
        layer.copied_size = copied_size(layer.block + GROUP_ROWS, tag)
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
    """Sets the offsets of the deltas, last layer first; its delta is followed by the targets."""
    cdef int index
    p.train_size = p.forward_size
    for index in range(p.n_layers - 1, -1, -1):
        p.layers[index].delta = p.train_size
        p.train_size += p.layers[index].stride
        if index == p.n_layers - 1:
            p.train_size += p.layers[index].stride
            p.forward_size = p.train_size


cdef char* address(object array) except NULL:
    """Address of the first element of an ndarray."""
    return <char*><size_t>array.ctypes.data


cdef void copy_rows(char* out, Py_ssize_t out_row, const char* source, Py_ssize_t source_row, Py_ssize_t size,
                    Py_ssize_t rows) noexcept nogil:
    """Copies `size` bytes of each row; out_row and source_row are bytes from row to row."""
    cdef Py_ssize_t r
    for r in range(rows):
        memcpy(out + r * out_row, source + r * source_row, size)


include "functions.pxi"
