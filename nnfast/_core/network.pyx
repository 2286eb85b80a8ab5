"""The native network: ranges of batches without the GIL, an allocation or a Python object.

    layers     kind n_in n_out activation kernel output delta ...   one row per layer, offsets only
    params     | W0 (n0, n1) | b0 (n1) | W1 (n1, n2) | b1 | ...     one flat array; W and b of a layer adjoin, so
                                                                   [W; b] is one matrix of n_in + 1 rows: the bias
                                                                   is the weight of an input that is always 1.
                                                                   gamma and beta of a normalisation are such a
                                                                   matrix of two rows, the alpha of PReLU of one
    slots      state of the optimizer, each slot in the layout of params
    grads      the same layout; written only when something asks for the whole gradient
    state      what layers know and no optimizer moves: moving means and variances, the numbers of Normalization
    packed     panels of W^T, and of W where rows of W are far apart
    workspace  | x | z1 a1 | z2 a2 | ... | delta of the last layer | its targets | delta of the layer before | ...
               each block `capacity` rows; a row is padded (`padded_row`) and holds a 1 after its last number

A step has two halves, and a barrier after each:

    rows       each thread takes a span of the batch: gather, forward, loss, delta back to the first layer with weights
    weights    each thread takes rows of each [W; b]: its gradient over the whole batch, the optimizer's step,
               its panels repacked while they are hot

Batch normalisation asks for all rows of a batch at once, for its sums run over them: there each thread takes a span of the
layer's columns, between two barriers of its own (`forward_in_phases`, `backward_in_phases`).

Rows of x may be sparse (CSR): z of the first layer is then made while they are gathered, from a row of W for each number,
and in the second half each thread sorts the numbers of the batch in its rows of W by columns; a gradient reads those alone.

A bound on the norm of the gradient, or a step of several batches, needs the whole gradient first: it is kept in grads, or
in a slot of its own where batches add up, and the step on the rows follows behind two more barriers.

No gradient per thread and no reduction between threads, and each number is one chain of multiply-adds
(`matmul.pxd`): the bits are the same for every number of threads.

This file is compiled once per CPU level; `nnfast._core` picks one.
"""
from cython cimport floating
from cpython.buffer cimport PyObject_GetBuffer, PyBuffer_Release, PyBUF_STRIDED_RO, PyBUF_C_CONTIGUOUS, PyBUF_ND, PyBUF_WRITABLE
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_GetName, PyCapsule_GetPointer
from libc.math cimport INFINITY, sqrt as sqrt64
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset
from nnfast._core.matmul cimport (
    by_dots, product, dots, padded, padded_row, panel_width, pack, packed_size, pack_transposed, transposed_size, pack_columns,
    stands_better, transpose)
from nnfast._core.activations cimport (
    activate, activation_gradient, keeps_input, N_ACTIVATIONS, LINEAR, RELU, SIGMOID, TANH, SOFTMAX, LEAKY_RELU, ELU,
    SELU, GELU, GELU_TANH, SILU, SOFTPLUS, SOFTSIGN, MISH, HARD_SIGMOID, EXPONENTIAL)
from nnfast._core.layers cimport (
    DENSE, ACTIVATION, DROPOUT, NOISE, SCALE, PRELU, LAYER_NORM, BATCH_NORM, row_key, dropout, add_noise, scale as scale_row, prelu,
    prelu_gradient, prelu_sums, affine, normalize_row, normalize_row_gradient, column_sums, normalize_columns, normalize_columns_gradient,
    normalize_by_moments)
from nnfast._core.losses cimport (
    Loss, loss_rows, is_sparse, target_columns, N_SETTINGS, N_LOSSES, MEAN_SQUARED_ERROR, MEAN_ABSOLUTE_ERROR,
    MEAN_ABSOLUTE_PERCENTAGE_ERROR, MEAN_SQUARED_LOGARITHMIC_ERROR, HUBER, LOG_COSH, QUANTILE, EXPECTILE,
    KL_DIVERGENCE, POISSON, POISSON_LOG, GAMMA, TWEEDIE, HINGE, SQUARED_HINGE, BINARY_CROSSENTROPY,
    BINARY_CROSSENTROPY_LOGITS, BINARY_FOCAL_CROSSENTROPY, BINARY_FOCAL_CROSSENTROPY_LOGITS, GAUSSIAN_NLL,
    COSINE_SIMILARITY, CATEGORICAL_HINGE, CATEGORICAL_CROSSENTROPY, CATEGORICAL_CROSSENTROPY_LOGITS,
    CATEGORICAL_FOCAL_CROSSENTROPY, CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS, SPARSE_CATEGORICAL_CROSSENTROPY,
    SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS, TVERSKY, C_FUNCTION, PYTHON_FUNCTION)
from nnfast._core.metrics cimport (
    metric_row, BINARY_ACCURACY, CATEGORICAL_ACCURACY, SPARSE_CATEGORICAL_ACCURACY, ABSOLUTE_ERROR, SQUARED_ERROR)
from nnfast._core.optimizers cimport (
    Step, begin_step, optimizer_step, all_finite, average_weights, clip, squares, SGD, MOMENTUM, NESTEROV, RMSPROP, RMSPROP_MOMENTUM, RMSPROP_CENTERED,
    RMSPROP_CENTERED_MOMENTUM, ADAM, AMSGRAD, RADAM, ADAGRAD, ADADELTA, ADAMAX, NADAM, LION)
from nnfast._core.gather cimport (
    gather_row, outside, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64)
from nnfast._core cimport mathf
from nnfast._core.mathf cimport fabs, copysign, multiply_add, sum_wide, dot_wide
from nnfast._core.vectors cimport prefetch
from nnfast._core.team cimport Team, uint32, uint64, load, wait, set as set_word, barrier, flush_denormals, restore_mode

import numpy as np

ACTIVATIONS = {
    "linear": LINEAR, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH, "softmax": SOFTMAX, "leaky_relu": LEAKY_RELU,
    "elu": ELU, "selu": SELU, "gelu": GELU, "gelu_tanh": GELU_TANH, "silu": SILU, "softplus": SOFTPLUS,
    "softsign": SOFTSIGN, "mish": MISH, "hard_sigmoid": HARD_SIGMOID, "exponential": EXPONENTIAL,
}
LOSSES = {
    "mean_squared_error": MEAN_SQUARED_ERROR, "mean_absolute_error": MEAN_ABSOLUTE_ERROR,
    "mean_absolute_percentage_error": MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    "mean_squared_logarithmic_error": MEAN_SQUARED_LOGARITHMIC_ERROR, "huber": HUBER,
    "log_cosh": LOG_COSH, "quantile": QUANTILE, "expectile": EXPECTILE, "kl_divergence": KL_DIVERGENCE,
    "poisson": POISSON, "poisson_log": POISSON_LOG, "gamma": GAMMA, "tweedie": TWEEDIE, "hinge": HINGE,
    "squared_hinge": SQUARED_HINGE, "binary_crossentropy": BINARY_CROSSENTROPY,
    "binary_crossentropy_logits": BINARY_CROSSENTROPY_LOGITS, "binary_focal_crossentropy": BINARY_FOCAL_CROSSENTROPY,
    "binary_focal_crossentropy_logits": BINARY_FOCAL_CROSSENTROPY_LOGITS, "gaussian_nll": GAUSSIAN_NLL,
    "cosine_similarity": COSINE_SIMILARITY, "categorical_hinge": CATEGORICAL_HINGE,
    "categorical_crossentropy": CATEGORICAL_CROSSENTROPY,
    "categorical_crossentropy_logits": CATEGORICAL_CROSSENTROPY_LOGITS,
    "categorical_focal_crossentropy": CATEGORICAL_FOCAL_CROSSENTROPY,
    "categorical_focal_crossentropy_logits": CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS,
    "sparse_categorical_crossentropy": SPARSE_CATEGORICAL_CROSSENTROPY,
    "sparse_categorical_crossentropy_logits": SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS, "tversky": TVERSKY,
}
CUSTOM_LOSSES = {"c": C_FUNCTION, "python": PYTHON_FUNCTION}
REDUCTIONS = {"sum_over_batch_size": REDUCE_MEAN, "mean": REDUCE_MEAN, "sum": REDUCE_SUM, "mean_with_sample_weight": REDUCE_WEIGHTED}
METRICS = {
    "binary_accuracy": BINARY_ACCURACY, "categorical_accuracy": CATEGORICAL_ACCURACY,
    "sparse_categorical_accuracy": SPARSE_CATEGORICAL_ACCURACY,
    "absolute_error": ABSOLUTE_ERROR, "squared_error": SQUARED_ERROR,
}
OPTIMIZERS = {                  # name: code, slots
    "sgd": (SGD, 0), "momentum": (MOMENTUM, 1), "nesterov": (NESTEROV, 1), "rmsprop": (RMSPROP, 1), "rmsprop_momentum": (RMSPROP_MOMENTUM, 2),
    "rmsprop_centered": (RMSPROP_CENTERED, 2), "rmsprop_centered_momentum": (RMSPROP_CENTERED_MOMENTUM, 3), "adam": (ADAM, 2),
    "amsgrad": (AMSGRAD, 3), "radam": (RADAM, 2), "adagrad": (ADAGRAD, 1), "adadelta": (ADADELTA, 2), "adamax": (ADAMAX, 2),
    "nadam": (NADAM, 2), "lion": (LION, 1),
}
LAYERS = {"dropout": DROPOUT, "noise": NOISE, "scale": SCALE, "prelu": PRELU, "layer_norm": LAYER_NORM, "batch_norm": BATCH_NORM}
CONSTRAINTS = {None: FREE, "non_neg": NON_NEGATIVE, "max_norm": MAX_NORM}
SLOTS = dict(OPTIMIZERS.values())
SOURCES = {
    "f4": FLOAT32, "f8": FLOAT64, "i1": INT8, "i2": INT16, "i4": INT32, "i8": INT64,
    "u1": UINT8, "u2": UINT16, "u4": UINT32, "u8": UINT64, "b1": UINT8,
}

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(_WIN32)
      #include <malloc.h>
      #define nn_allocate(size) _aligned_malloc((size), 64)
      #define nn_release(p) _aligned_free(p)
    #else
      #define nn_allocate(size) aligned_alloc(64, ((size) + 63) / 64 * 64)
      #define nn_release(p) free(p)
    #endif
    static inline uint64_t nn_multiply_high(uint64_t a, uint64_t b) { return (uint64_t)((unsigned __int128)a * b >> 64); }
    """
    uint64_t multiply_high "nn_multiply_high"(uint64_t a, uint64_t b) noexcept nogil     # top half of a * b
    void* allocate "nn_allocate"(size_t size) noexcept nogil
    void release "nn_release"(void* memory) noexcept nogil

cdef enum:
    STATUS_DONE = 0
    STATUS_BAD_INPUT = 1
    STATUS_BAD_TARGET = 2
    STATUS_BAD_LOSS = 3
    STATUS_BAD_GRADIENT = 4
    STATUS_INTERRUPTED = 5
    MAX_THREADS = 64
    MAX_METRICS = 16
    MAX_SETTINGS = 4
    REDUCE_MEAN = 0         # loss of a batch: sum(weight * value) / rows that are not ignored
    REDUCE_SUM = 1          # without the division
    REDUCE_WEIGHTED = 2     # / sum(weight)
    BLOCK_ROWS = 64         # rows of [W; b] whose gradient is made, applied and repacked in one go,
    BLOCK_SIZE = 4096       # or as many as have so many numbers
    CHUNK = 512             # numbers whose sizes are made in one loop
    GROUP_ROWS = 16         # threads share rows of [W; b] in groups of whole registers
    SPAN_ROWS = 192         # rows at most that are taken through all layers together: their activations stay in the cache
    BATCH_ROWS = 8192       # rows of a batch in the workspace at once; longer batches accumulate their gradient
    PREFETCH_BYTES = 8192   # rows this far ahead in the order are on their way to the cache while one is read
    FAR = 4096              # bytes between rows of W from which panels of it pay: at 2000 to 4000 they cost 6 to 9 % (batch 128),
    PANEL_ROWS = 96         # and rows of a batch times threads: packing costs 1024 x 1024 up to a fifth of a step of fewer
    BLOCK_NUMBERS = 8192    # of predictions whose loss is taken in one go by LossKernel
    SPARSE_AHEAD = 4        # numbers of a sparse row this far ahead have their row of W on its way to the cache
    SLACK = 64              # numbers after the parameters that a register may read past the last row
    FREE = 0                # constraints of weights
    NON_NEGATIVE = 1
    MAX_NORM = 2


DONE, BAD_INPUT, BAD_TARGET = STATUS_DONE, STATUS_BAD_INPUT, STATUS_BAD_TARGET
BAD_LOSS, BAD_GRADIENT = STATUS_BAD_LOSS, STATUS_BAD_GRADIENT
MOST_THREADS = MAX_THREADS


cdef struct Layer:
    int kind
    int activation
    Py_ssize_t n_in
    Py_ssize_t n_out
    Py_ssize_t k                # rows of [W; b]: n_in, and one if there is a bias; 0 for a layer without weights
    Py_ssize_t of_kernel        # rows of W among them: n_in, or 1 or 0 for a gamma or alpha
    Py_ssize_t width            # n_out in whole registers
    Py_ssize_t stride           # of a row of z, a and delta
    Py_ssize_t kernel           # offset of [W; b] in params, grads and each slot
    Py_ssize_t columns          # offset of the columns of [W; b] in packed, or -1: z is not made of dot products
    Py_ssize_t panels           # offset of the panels of [W; b] in packed, or -1: read W itself
    Py_ssize_t transposed       # offset of the panels of W^T in packed, or -1: first layer, or delta W^T is made of dot products
    Py_ssize_t block            # rows of [W; b] in one go
    Py_ssize_t block_size       # numbers of their gradient, padded
    Py_ssize_t gradient_row     # stride of a row of it
    Py_ssize_t input            # offsets in the workspace, per row of capacity: the block the layer reads,
    Py_ssize_t input_stride
    Py_ssize_t z
    Py_ssize_t a
    Py_ssize_t hat              # the normalised numbers
    Py_ssize_t delta
    double number               # rate of a dropout, deviation of a noise, momentum of a batch normalisation
    double epsilon
    Py_ssize_t state            # offset of what a layer knows in `state`
    Py_ssize_t moments          # offset of the sums of this batch in `moments`
    double l1                   # of the penalty on W: l1 |W| + l2 W^2
    double l2
    double bias_l1
    double bias_l2
    double activity_l1          # and on the outputs, divided by the rows of the batch
    double activity_l2
    Py_ssize_t penalty          # offset of its groups of rows in penalties
    int constraint[2]           # of W and of b
    double bound[2]
    int rate                    # place of its learning rate among the steps
    bint frozen                 # its multiplier of the learning rate is 0: nothing moves its weights


cdef struct Rows:               # a matrix of the caller's, read where it lies
    const char* data
    Py_ssize_t row              # bytes
    Py_ssize_t step             # bytes
    int source
    const char* indices         # columns of the numbers in data, and where each row begins: CSR; or NULL
    const char* starts
    bint wide                   # int64, else int32


cdef struct Work:               # a workspace
    char* memory
    Py_ssize_t capacity         # rows
    char* packed
    bint has_panels             # of [W; b]; its columns are always there


cdef struct Plan:
    bint is_double
    bint has_panels             # of [W; b] in packed
    bint has_columns
    int n_layers
    Layer* layers
    Py_ssize_t n_inputs
    Py_ssize_t input_stride     # 0 for a network that reads sparse rows alone
    bint sparse
    int first_trained           # first layer with weights: no delta goes further back
    bint has_batch_norm
    bint random                 # some layer draws numbers
    uint64 seed                 # of its random numbers
    char* state
    Py_ssize_t n_state
    char* moments
    Py_ssize_t n_moments
    Py_ssize_t forward_size     # of a workspace row, for a forward pass and its loss
    Py_ssize_t train_size       # and for training
    Py_ssize_t packed_size
    Py_ssize_t n_params
    Py_ssize_t n_slots
    char* params
    char* slots
    char* grads
    char* backup
    Py_ssize_t* shares          # (threads + 1, n_layers): first row of each thread
    char* scratch               # padded rows of a block for each thread
    Py_ssize_t scratch_size
    int scratch_threads
    double* values              # (1 + n_metrics, capacity): loss and metrics of each row of the batch
    Work work
    # the numbers of sparse rows of a batch by their columns: each thread sorts those of its rows of W
    Py_ssize_t part             # place of the first row in the workspace
    Py_ssize_t* column_first    # (n_inputs,): first and last number of each column
    Py_ssize_t* column_last
    Py_ssize_t* entry_row       # of the workspace
    char* entry_value
    Py_ssize_t n_entries
    # penalties on weights: their values by groups of rows of W, so that their sum does not depend on the threads
    bint penalized
    bint penalty_by_rows        # divided as the loss of a batch is: scikit-learn's alpha, not Keras' regularizers
    double penalty_scale        # of this batch
    double* penalties
    Py_ssize_t n_penalties
    bint active                 # some outputs are penalized: each row's sum stands behind the metrics in values
    bint bounded                # some weights have a bound on their norm
    # what a job is about
    Loss loss
    bint fused                  # the loss works on z of the last layer
    int reduction
    bint ignores                # some labels are below 0: those rows are left out of the mean
    bint whole                  # PYTHON_FUNCTION gives loss and gradient of the batch: no mean, no weights
    void* network               # the Network, for PYTHON_FUNCTION
    uint64 mode                 # floating-point mode of the caller
    Py_ssize_t n_targets        # columns of y
    bint limited                # the loss has targets in [lowest, highest] alone
    double lowest
    double highest
    char* outputs               # (n_rows, n_out): where the outputs of each place of the order go, or NULL
    int n_metrics
    int metrics[MAX_METRICS]
    bint ordinal                # no metric needs more of the outputs than their order, which softmax keeps
    int optimizer
    double settings[MAX_SETTINGS]
    double weight_decay
    double learning_rate
    const double* rates         # of the batches start..stop, or NULL: learning_rate for all
    Step* step                  # (n_rates,): written by thread 0 in the rows' half, read in the weights' half
    double* multipliers         # (n_rates,): of the learning rate
    int n_rates
    double clipvalue            # bounds of the gradient, or 0: of a number, of the norm of a kernel or bias, of the norm of all
    double clipnorm
    double global_clipnorm
    Py_ssize_t accumulate       # batches whose gradients are added up for one step
    double ema_momentum         # of the running mean of the weights
    Py_ssize_t ema_overwrite    # the mean becomes the weights every so many steps; 0: never
    Py_ssize_t accumulator      # offsets in slots of the sum of gradients and of the running mean, or -1
    Py_ssize_t average
    bint held                   # the step waits until the whole gradient is there
    bint stepping               # this batch ends with a step; as `step` written by thread 0, and so are these:
    bint overwriting
    double ema_now
    double* factors             # (n_layers, 2): of the gradient of each kernel and bias
    Py_ssize_t steps            # taken by the optimizer so far
    bint update                 # else the gradient is left in grads
    bint check                  # stop at a loss or gradient that is not finite
    Rows x
    Rows y
    const int64_t* labels
    const double* weights       # of rows, or NULL
    const int64_t* order        # of rows, or NULL
    Py_ssize_t n_rows
    Py_ssize_t batch_size
    Py_ssize_t start            # batches
    Py_ssize_t stop
    double* sums                # loss and metrics of all rows so far, and the penalties of batches times their rows
    Py_ssize_t done             # first batch not trained on
    # what each thread met: written in one half, read after that half's barrier only, so that all threads read the same
    int rows_status[MAX_THREADS]
    int weights_status[MAX_THREADS]
    Py_ssize_t place[MAX_THREADS]
    Team team


cdef inline floating* at(const Work* work, Py_ssize_t offset, Py_ssize_t stride, Py_ssize_t row, const floating* tag) noexcept nogil:
    """Row `row` of the block of the workspace at `offset`."""
    return <floating*>work.memory + offset * work.capacity + row * stride


cdef inline Py_ssize_t row_at(const Plan* p, Py_ssize_t place) noexcept nogil:
    """The caller's row at a place of the order."""
    return p.order[place] if p.order != NULL else place


cdef inline Py_ssize_t column_of(const Rows* x, Py_ssize_t entry) noexcept nogil:
    return (<const int64_t*>x.indices)[entry] if x.wide else (<const int32_t*>x.indices)[entry]


cdef inline Py_ssize_t start_of(const Rows* x, Py_ssize_t row) noexcept nogil:
    return (<const int64_t*>x.starts)[row] if x.wide else (<const int32_t*>x.starts)[row]


cdef inline floating number_of(const Rows* x, Py_ssize_t entry, const floating* tag) noexcept nogil:
    return <floating>(<const float*>x.data)[entry] if x.source == FLOAT32 else <floating>(<const double*>x.data)[entry]


cdef inline void add_scaled(floating* out, const floating* row, floating factor, Py_ssize_t n) noexcept nogil:
    """out <- out + factor row."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] += factor * row[i]


cdef inline Py_ssize_t gather_sparse(const Plan* p, const Work* work, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows,
                                     const floating* tag) noexcept nogil:
    """z = x W + b of the first layer for sparse rows, a row of W for each number; else as `gather`."""
    cdef const Layer* layer = p.layers
    cdef const floating* w = <const floating*>p.params + layer.kernel
    cdef const floating* b = w + layer.n_in * layer.n_out
    cdef Py_ssize_t i, r, row, entry, end, bad = -1
    cdef floating* z
    cdef floating value
    for r in range(rows):
        z = at(work, layer.z, layer.stride, first + r, tag)
        for i in range(layer.n_out):
            z[i] = b[i] if layer.k > layer.n_in else <floating>0
        for i in range(layer.n_out, layer.width):
            z[i] = 0
        row = row_at(p, place + r)
        end = start_of(&p.x, row + 1)
        for entry in range(start_of(&p.x, row), end):
            if entry + SPARSE_AHEAD < end:
                prefetch(<const char*>(w + column_of(&p.x, entry + SPARSE_AHEAD) * layer.n_out))
            value = number_of(&p.x, entry, tag)
            if not (fabs(value) < <floating>INFINITY) and bad < 0:
                bad = place + r
            add_scaled(z, w + column_of(&p.x, entry) * layer.n_out, value, layer.n_out)
    return bad


cdef inline void sort_columns(Plan* p, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows, const floating* tag) noexcept nogil:
    """The numbers of the batch in columns first..last, by column and then in the order of the rows."""
    cdef Py_ssize_t r, row, entry, column, place, count, before = 0
    cdef floating* values = <floating*>p.entry_value
    for column in range(first, last):
        p.column_last[column] = 0
    for r in range(rows):
        row = row_at(p, p.part + r)
        for entry in range(start_of(&p.x, row), start_of(&p.x, row + 1)):
            column = column_of(&p.x, entry)
            if column < first:
                before += 1
            elif column < last:
                p.column_last[column] += 1
    for column in range(first, last):
        count = p.column_last[column]
        p.column_first[column] = p.column_last[column] = before
        before += count
    for r in range(rows):
        row = row_at(p, p.part + r)
        for entry in range(start_of(&p.x, row), start_of(&p.x, row + 1)):
            column = column_of(&p.x, entry)
            if first <= column < last:
                place = p.column_last[column]
                p.column_last[column] = place + 1
                p.entry_row[place] = r
                values[place] = number_of(&p.x, entry, tag)


cdef inline void product_sparse(const Plan* p, floating* gradient, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows,
                                bint more) noexcept nogil:
    """Rows first..last of [x 1]^T delta of the first layer, from the sorted numbers; added to the gradient if `more`."""
    cdef const Layer* layer = p.layers
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, 0, gradient)
    cdef const floating* values = <const floating*>p.entry_value
    cdef Py_ssize_t row, entry
    cdef floating* out
    for row in range(first, last):
        out = gradient + (row - first) * layer.n_out
        if not more:
            memset(out, 0, layer.n_out * sizeof(floating))
        if row == layer.n_in:
            for entry in range(rows):
                add_scaled(out, delta + entry * layer.stride, <floating>1, layer.n_out)
        else:
            for entry in range(p.column_first[row], p.column_last[row]):
                add_scaled(out, delta + p.entry_row[entry] * layer.stride, values[entry], layer.n_out)


cdef inline Py_ssize_t gather(const Plan* p, const Work* work, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows,
                              const floating* tag) noexcept nogil:
    """Rows of x from `place` of the order on, into rows first... of the workspace; place of the first bad one, or -1."""
    cdef Py_ssize_t i, bad = -1
    cdef Py_ssize_t size = p.x.step * p.n_inputs            # bytes of a row, if its numbers adjoin
    cdef Py_ssize_t ahead = max(<Py_ssize_t>2, PREFETCH_BYTES // max(<Py_ssize_t>1, size)) if 0 < p.x.step <= 8 else p.n_rows
    cdef const char* coming
    cdef floating* out
    if p.x.indices != NULL:
        return gather_sparse(p, work, place, first, rows, tag)
    for i in range(rows):
        coming = p.x.data + row_at(p, place + i + ahead) * p.x.row if place + i + ahead < p.n_rows else NULL
        out = at(work, 0, p.input_stride, first + i, tag)
        if not gather_row(p.x.source, p.x.data + row_at(p, place + i) * p.x.row, p.x.step, out, p.n_inputs, coming) and bad < 0:
            bad = place + i
        out[p.n_inputs] = 1
    return bad


cdef inline const floating* gamma_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """The factors of a normalisation, or the slopes of PReLU; or NULL."""
    return <const floating*>p.params + layer.kernel if layer.of_kernel > 0 else NULL


cdef inline const floating* beta_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """The offsets of a normalisation, or NULL."""
    return <const floating*>p.params + layer.kernel + layer.of_kernel * layer.n_out if layer.k > layer.of_kernel else NULL


cdef inline void forward_other(const Plan* p, const Work* work, int index, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows,
                               bint training, const floating* tag) noexcept nogil:
    """The outputs of a layer without a product; in training those of batch normalisation are made by columns."""
    cdef const Layer* layer = p.layers + index
    cdef const floating* x = at(work, layer.input, layer.input_stride, first, tag)
    cdef floating* out = at(work, layer.a, layer.stride, first, tag)
    cdef floating* hat = at(work, layer.hat, layer.stride, first, tag)
    cdef const floating* state = <const floating*>p.state + layer.state
    cdef const floating* gamma = gamma_of(p, layer, tag)
    cdef const floating* beta = beta_of(p, layer, tag)
    cdef Py_ssize_t r, n = layer.n_out
    if layer.kind == BATCH_NORM:
        if not training:
            normalize_by_moments(x, layer.input_stride, out, layer.stride, rows, n, gamma, beta, layer.epsilon, state, state + n)
        return
    for r in range(rows):
        if layer.kind == DROPOUT and training:
            dropout(x, out, n, layer.number, row_key(p.seed, place + r, index))
        elif layer.kind == NOISE and training:
            add_noise(x, out, n, layer.number, row_key(p.seed, place + r, index))
        elif layer.kind == SCALE:
            scale_row(x, out, n, state, state + n, state + 2 * n)
        elif layer.kind == PRELU:
            prelu(x, out, n, gamma)
        elif layer.kind == LAYER_NORM:
            normalize_row(x, hat, n, layer.epsilon)
            affine(hat, out, n, gamma, beta)
        else:
            memcpy(out, x, n * sizeof(floating))
        x += layer.input_stride
        out += layer.stride
        hat += layer.stride


cdef inline void forward_layer(const Plan* p, const Work* work, int index, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows,
                               bint last_activation, bint training, const floating* tag) noexcept nogil:
    """z = [a 1] [W; b], a = f(z), or what else a layer does, for rows first... of the workspace."""
    cdef const Layer* layer = p.layers + index
    cdef const floating* a = at(work, layer.input, layer.input_stride, first, tag)
    cdef const floating* b
    cdef floating* z = at(work, layer.z, layer.stride, first, tag)
    cdef floating* out = at(work, layer.a, layer.stride, first, tag)
    cdef Py_ssize_t stride = layer.input_stride, panel = panel_width(tag), r
    if layer.kind > ACTIVATION:
        forward_other(p, work, index, place, first, rows, training, tag)
    elif layer.kind == ACTIVATION:
        memcpy(z, a, rows * stride * sizeof(floating))
    elif index == 0 and p.x.indices != NULL:
        pass                        # made by gather_sparse
    elif layer.columns >= 0:
        dots(a, stride, <const floating*>work.packed + layer.columns, padded(layer.k, tag), z, layer.stride, rows, layer.n_out, layer.k)
    elif layer.panels >= 0 and work.has_panels:
        b = <const floating*>work.packed + layer.panels
        product(a, stride, 1, b, panel, layer.k * panel, z, layer.stride, rows, layer.width, layer.k, False)
    else:
        b = <const floating*>p.params + layer.kernel
        product(a, stride, 1, b, layer.n_out, panel, z, layer.stride, rows, layer.width, layer.k, False)
    if z != out:
        memcpy(out, z, rows * layer.stride * sizeof(floating))
    if index < p.n_layers - 1 or last_activation:
        activate(layer.activation, out, layer.stride, rows, layer.n_out, layer.width)
    if index < p.n_layers - 1:
        for r in range(rows):
            out[r * layer.stride + layer.n_out] = 1


cdef inline void forward(const Plan* p, const Work* work, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, bint last_activation,
                         bint training, const floating* tag) noexcept nogil:
    """All layers, for rows first... of the workspace."""
    cdef int index
    for index in range(p.n_layers):
        forward_layer(p, work, index, place, first, rows, last_activation, training, tag)


cdef inline void measure(const Plan* p, const floating* y, Py_ssize_t y_row, const int64_t* labels, const floating* a,
                         Py_ssize_t row, double* values, Py_ssize_t values_row, Py_ssize_t rows) noexcept nogil:
    """The metrics of each row."""
    cdef Py_ssize_t r, n = p.layers[p.n_layers - 1].n_out
    cdef int m
    for m in range(p.n_metrics):
        for r in range(rows):
            values[m * values_row + r] = metric_row(
                p.metrics[m], y + r * y_row, labels[r] if labels != NULL else 0, a + r * row, n)


cdef inline void measure_activity(const Plan* p, const Work* work, Py_ssize_t first, Py_ssize_t rows, double* values,
                                  const floating* tag) noexcept nogil:
    """l1 |a| + l2 a^2 over the outputs of each row that are penalized."""
    cdef const Layer* layer
    cdef const floating* a
    cdef floating sizes[CHUNK]
    cdef Py_ssize_t r, i, begin, count
    cdef int index
    for r in range(rows):
        values[r] = 0
        for index in range(p.n_layers):
            layer = p.layers + index
            a = at(work, layer.a, layer.stride, first + r, tag)
            if layer.activity_l2 != 0:
                values[r] += layer.activity_l2 * dot_wide(a, a, layer.n_out)
            begin = 0
            while begin < layer.n_out and layer.activity_l1 != 0:
                count = min(layer.n_out - begin, <Py_ssize_t>CHUNK)
                for i in range(count):
                    sizes[i] = fabs(a[begin + i])
                values[r] += layer.activity_l1 * sum_wide(sizes, count)
                begin += count


cdef inline void activity_gradient(const Layer* layer, const floating* a, floating* delta, Py_ssize_t rows, double share) noexcept nogil:
    """delta += share (l1 sign(a) + 2 l2 a)."""
    cdef floating slope = 2 * layer.activity_l2 * share, step = layer.activity_l1 * share, jump
    cdef Py_ssize_t r, i
    for r in range(rows):
        for i in range(r * layer.stride, r * layer.stride + layer.width):
            jump = 0 if a[i] == 0 else copysign(step, a[i])
            delta[i] += jump + slope * a[i]


cdef inline Py_ssize_t score(const Plan* p, const Work* work, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows,
                             bint gradient, double* values, Py_ssize_t values_row, const floating* tag) noexcept nogil:
    """Loss and metrics of rows first..., and with `gradient` the delta of the last layer; place of a bad target, or -1.

    y is gathered into the block behind that delta.
    """
    cdef Layer* last = p.layers + p.n_layers - 1
    cdef floating* z = at(work, last.z if p.fused else last.a, last.stride, first, tag)
    cdef floating* a = z
    cdef floating* delta = at(work, last.delta, last.stride, first, tag)
    cdef floating* y = at(work, last.delta + last.stride, last.stride, first, tag)
    cdef floating* row
    cdef int64_t* labels = <int64_t*>at(work, last.delta + last.stride, last.stride, 0, tag) + first
    cdef Py_ssize_t i, bad = -1
    if p.labels != NULL:
        for i in range(rows):
            labels[i] = p.labels[row_at(p, place + i)]
    else:
        for i in range(rows):
            row = y + i * last.stride
            if (not gather_row(p.y.source, p.y.data + row_at(p, place + i) * p.y.row, p.y.step, row, p.n_targets, NULL)
                    or p.limited and outside(row, p.n_targets, <floating>p.lowest, <floating>p.highest)) and bad < 0:
                bad = place + i
        labels = NULL
    if p.n_metrics > 0 or p.outputs != NULL:
        if p.fused and not (p.ordinal and last.activation == SOFTMAX and p.outputs == NULL):
            memcpy(delta, z, rows * last.stride * sizeof(floating))
            activate(last.activation, delta, last.stride, rows, last.n_out, last.width)
            a = delta
        if p.outputs != NULL:
            for i in range(rows):
                memcpy(<floating*>p.outputs + (place + i) * last.n_out, a + i * last.stride, last.n_out * sizeof(floating))
        measure(p, y, last.stride, labels, a, last.stride, values + values_row, values_row, rows)
    if p.active:
        measure_activity(p, work, first, rows, values + (1 + p.n_metrics) * values_row, tag)
    loss_rows(&p.loss, y, last.stride, labels, z, last.stride, delta if gradient or p.loss.kind == C_FUNCTION else NULL,
              values, rows, last.n_out, 1)
    return bad


cdef inline void backward_other(const Plan* p, int index, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, const floating* tag) noexcept nogil:
    """The gradient at the inputs of a layer without a product; that of batch normalisation is made by columns."""
    cdef const Layer* layer = p.layers + index
    cdef const floating* x = at(&p.work, layer.input, layer.input_stride, first, tag)
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, first, tag)
    cdef const floating* hat = at(&p.work, layer.hat, layer.stride, first, tag)
    cdef floating* out = at(&p.work, (layer - 1).delta, layer.stride, first, tag)
    cdef const floating* factor = <const floating*>p.state + layer.state + layer.n_out
    cdef const floating* gamma = gamma_of(p, layer, tag)
    cdef Py_ssize_t r, i, n = layer.n_out
    for r in range(0 if layer.kind == BATCH_NORM else rows):
        if layer.kind == DROPOUT:
            dropout(delta, out, n, layer.number, row_key(p.seed, place + r, index))
        elif layer.kind == SCALE:
            for i in range(n):
                out[i] = delta[i] * factor[i]
        elif layer.kind == PRELU:
            prelu_gradient(x, delta, out, n, gamma)
        elif layer.kind == LAYER_NORM:
            normalize_row_gradient(hat, delta, out, n, gamma)
        else:
            memcpy(out, delta, n * sizeof(floating))
        x += layer.input_stride
        delta += layer.stride
        hat += layer.stride
        out += layer.stride


cdef inline void backward_layer(const Plan* p, int index, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, double share,
                                const floating* tag) noexcept nogil:
    """delta of the layer before = (delta W^T) f'(z), for rows first... of the workspace."""
    cdef const Layer* layer = p.layers + index
    cdef const Layer* before = layer - 1
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, first, tag)
    cdef floating* out = at(&p.work, before.delta, before.stride, first, tag)
    cdef const floating* a = at(&p.work, before.a, before.stride, first, tag)
    cdef Py_ssize_t panel = panel_width(tag)
    if layer.kind > ACTIVATION:
        backward_other(p, index, place, first, rows, tag)
    elif layer.kind == ACTIVATION:
        memcpy(out, delta, rows * layer.stride * sizeof(floating))
    elif layer.transposed < 0:         # W has its rows as they are read
        dots(delta, layer.stride, <const floating*>p.params + layer.kernel, layer.n_out, out, before.stride, rows,
             layer.n_in, layer.n_out)
    else:
        product(delta, layer.stride, 1, <const floating*>p.work.packed + layer.transposed, panel,
                padded(layer.n_out, tag) * panel, out, before.stride, rows, before.width, layer.n_out, False)
    if p.active:
        activity_gradient(before, a, out, rows, share)
    activation_gradient(before.activation, at(&p.work, before.z, before.stride, first, tag), a, out, before.stride, rows, before.n_out)


cdef inline void begin_backward(const Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, double scale, double share,
                                const floating* tag) noexcept nogil:
    """delta of the last layer from the gradient of the loss, for rows first... of the workspace."""
    cdef const Layer* layer = p.layers + p.n_layers - 1
    cdef floating* delta = at(&p.work, layer.delta, layer.stride, first, tag)
    cdef const floating* a = at(&p.work, layer.a, layer.stride, first, tag)
    cdef floating factor = scale
    cdef Py_ssize_t r, i
    for r in range(rows):
        if p.weights != NULL and not p.whole:
            factor = scale * p.weights[row_at(p, place + r)]
        for i in range(layer.width):
            delta[r * layer.stride + i] *= factor
    if p.active:
        activity_gradient(layer, a, delta, rows, share)
    if not p.fused:
        activation_gradient(layer.activation, at(&p.work, layer.z, layer.stride, first, tag), a, delta, layer.stride, rows, layer.n_out)


cdef inline void repack_forward(const Plan* p, const Layer* layer, const Work* work, Py_ssize_t first, Py_ssize_t last,
                                const floating* tag) noexcept nogil:
    """Rows first..last of [W; b] into its columns or panels, for a forward pass."""
    cdef const floating* w = <const floating*>p.params + layer.kernel
    if layer.columns >= 0:
        pack_columns(w, layer.n_out, 1, layer.k, layer.n_out, first, last, <floating*>work.packed + layer.columns)
    elif layer.panels >= 0 and work.has_panels:
        pack(w, layer.n_out, 1, layer.k, layer.n_out, first, last, <floating*>work.packed + layer.panels)


cdef inline void repack(const Plan* p, const Layer* layer, Py_ssize_t first, Py_ssize_t last, const floating* tag) noexcept nogil:
    """Rows first..last of [W; b] into all that reads them."""
    if layer.transposed >= 0:
        pack_transposed(<const floating*>p.params + layer.kernel, layer.n_in, layer.n_out, first, min(last, layer.n_in),
                        <floating*>p.work.packed + layer.transposed)
    repack_forward(p, layer, &p.work, first, last, tag)


cdef inline void spoil(Plan* p, int thread) noexcept nogil:
    """A gradient, or a weight after its step, is not finite."""
    if p.weights_status[thread] == STATUS_DONE:
        p.weights_status[thread] = STATUS_BAD_GRADIENT


cdef inline Py_ssize_t groups_of(const Layer* layer) noexcept nogil:
    """Groups of rows of W that have a penalty of their own; behind them is that of the bias."""
    return (layer.of_kernel + GROUP_ROWS - 1) // GROUP_ROWS


cdef inline double penalize_numbers(const floating* w, floating* gradient, Py_ssize_t size, double l1, double l2, double scale) noexcept nogil:
    """gradient += scale (l1 sign(w) + 2 l2 w); l1 |w| + l2 w^2 of all."""
    cdef floating sizes[CHUNK]
    cdef floating slope = 2 * l2 * scale, step = l1 * scale
    cdef Py_ssize_t begin = 0, count, i
    cdef double value = l2 * dot_wide(w, w, size)
    for i in range(size):
        gradient[i] += slope * w[i]
    while begin < size and l1 != 0:
        count = min(size - begin, <Py_ssize_t>CHUNK)
        for i in range(count):
            sizes[i] = fabs(w[begin + i])
            gradient[begin + i] += copysign(step, w[begin + i]) if w[begin + i] != 0 else <floating>0
        value += l1 * sum_wide(sizes, count)
        begin += count
    return value


cdef inline void penalize(Plan* p, const Layer* layer, floating* gradient, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The penalties on rows first..last of [W; b]: their gradients, and their values by groups."""
    cdef const floating* w = <const floating*>p.params + layer.kernel + first * layer.n_out
    cdef Py_ssize_t size
    while first < min(last, layer.of_kernel):
        size = (min(first + GROUP_ROWS, layer.of_kernel) - first) * layer.n_out
        p.penalties[layer.penalty + first // GROUP_ROWS] = penalize_numbers(w, gradient, size, layer.l1, layer.l2, p.penalty_scale)
        first += GROUP_ROWS
        gradient += size
        w += size
    if last > layer.of_kernel:
        p.penalties[layer.penalty + groups_of(layer)] = penalize_numbers(w, gradient, layer.n_out, layer.bias_l1, layer.bias_l2, p.penalty_scale)


cdef inline double penalty(const Plan* p) noexcept nogil:
    """The penalties on all weights, added up in their order."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(p.n_penalties):
        total += p.penalties[i]
    return total * p.penalty_scale


cdef inline floating* held_gradient(const Plan* p, const floating* tag) noexcept nogil:
    """Where the gradient of all weights waits for its step."""
    return <floating*>p.grads if p.accumulator < 0 else <floating*>p.slots + p.accumulator


cdef inline void gradient_of_other(const Plan* p, const Layer* layer, floating* gradient, Py_ssize_t rows) noexcept nogil:
    """The gradient of gamma and beta, or of alpha."""
    cdef const floating* x = at(&p.work, layer.input, layer.input_stride, 0, gradient)
    cdef const floating* hat = at(&p.work, layer.hat, layer.stride, 0, gradient)
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, 0, gradient)
    cdef Py_ssize_t n = layer.n_out
    if layer.kind == PRELU:
        prelu_sums(x, layer.input_stride, delta, layer.stride, rows, n, gradient)
        return
    if layer.of_kernel > 0:
        column_sums(delta, layer.stride, hat, layer.stride, <const floating*>NULL, rows, 0, n, 1, gradient)
    if layer.k > layer.of_kernel:
        column_sums(delta, layer.stride, <const floating*>NULL, 0, <const floating*>NULL, rows, 0, n, 1, gradient + layer.of_kernel * n)


cdef inline void update_rows(Plan* p, Layer* layer, const floating* a, Py_ssize_t a_stride, Py_ssize_t first, Py_ssize_t last,
                             Py_ssize_t rows, bint more, bint final, int thread) noexcept nogil:
    """Rows first..last of [W; b]: d[W; b] = [a 1]^T delta, added to grads if `more`; if `final` the optimizer's step."""
    cdef floating* gradient = <floating*>(p.scratch + thread * p.scratch_size)
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out
    cdef Py_ssize_t size = (last - first) * layer.n_out
    cdef Py_ssize_t stride = layer.gradient_row, width, r, i
    cdef floating* grads = <floating*>p.grads
    cdef const floating* delta = at(&p.work, layer.delta, layer.stride, 0, gradient)
    cdef floating* upright
    if layer.kind != DENSE:
        gradient_of_other(p, layer, gradient, rows)
        for i in range(size if more else 0):
            gradient[i] += grads[offset + i]
    elif layer == p.layers and p.x.indices != NULL:
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
    if final and p.penalized:
        penalize(p, layer, gradient, first, last)
    if not final or not p.update:
        if p.check and not all_finite(gradient, size):
            spoil(p, thread)
        memcpy(grads + offset, gradient, size * sizeof(floating))
    elif p.held:
        hold_rows(p, layer, gradient, first, last, thread)
    else:
        step_rows(p, layer, gradient, first, last, thread)


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
    cdef double squares_[GROUP_ROWS]
    cdef double norm
    cdef floating factors[GROUP_ROWS]
    cdef Py_ssize_t c = first, r, i, count
    while c < last:
        count = min(<Py_ssize_t>GROUP_ROWS, last - c)
        for i in range(count):
            squares_[i] = 0
        for r in range(rows):
            for i in range(count):
                squares_[i] += <double>w[r * row + c + i] * <double>w[r * row + c + i]
        for i in range(count):
            norm = sqrt64(squares_[i])
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
    cdef Py_ssize_t* first = p.shares + thread * p.n_layers
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
    barrier(&p.team, size)
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
            kept = layer.number
            for i in range(2 * layer.n_out):
                state[i] = multiply_add(state[i], kept, moments[i] * (<floating>1 - kept))


cdef inline void keep_rows(Plan* p, const floating* w, Py_ssize_t offset, Py_ssize_t size) noexcept nogil:
    """The running mean of frozen weights is the weights: no sum that could round."""
    if p.average >= 0:
        memcpy(<floating*>p.slots + p.average + offset, w, size * sizeof(floating))


cdef inline void step_rows(Plan* p, Layer* layer, floating* gradient, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    """The optimizer's step on rows first..last of [W; b] by their gradient, which is clipped in place."""
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out
    cdef floating* w = <floating*>p.params + offset
    cdef floating* slots = <floating*>p.slots + offset
    if layer.frozen:
        keep_rows(p, w, offset, size)
        return
    if p.clipvalue > 0:
        if p.check and not all_finite(gradient, size):          # it would be hidden
            spoil(p, thread)
        clip(gradient, size, p.clipvalue)
    optimizer_step(p.optimizer, w, gradient, slots, slots + p.n_params, slots + 2 * p.n_params, size, p.settings, p.step + layer.rate)
    if p.average >= 0:
        average_weights(w, <floating*>p.slots + p.average + offset, size, p.ema_now, p.overwriting)
    if p.check and not all_finite(w, size):     # as every step of a bad gradient leaves them
        spoil(p, thread)
    constrain_rows(layer, w, first, last)
    repack(p, layer, first, last, gradient)


cdef inline void hold_rows(Plan* p, Layer* layer, const floating* gradient, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    """The gradient of rows first..last of [W; b] where the step on the whole will find it."""
    cdef Py_ssize_t offset = layer.kernel + first * layer.n_out, size = (last - first) * layer.n_out, i
    cdef floating* kept = held_gradient(p, gradient) + offset
    cdef floating* w = <floating*>p.params + offset
    if p.check and not all_finite(gradient, size):
        spoil(p, thread)
    if p.accumulator < 0:
        memcpy(kept, gradient, size * sizeof(floating))
        return
    for i in range(size):
        kept[i] = kept[i] + gradient[i]
    if p.stepping:
        return
    if layer.frozen:
        keep_rows(p, w, offset, size)
        return
    if p.average >= 0:                          # Keras' mean and constraints count batches, not steps
        average_weights(w, <floating*>p.slots + p.average + offset, size, p.ema_now, p.overwriting)
    if (p.average >= 0 and p.overwriting) or layer.constraint[0] == NON_NEGATIVE or layer.constraint[1] == NON_NEGATIVE:
        constrain_rows(layer, w, first, last)
        repack(p, layer, first, last, gradient)


cdef inline void measure_gradient(Plan* p, const floating* tag) noexcept nogil:
    """The factor of each kernel and bias: 1 / batches added up, and c / max(norm, c) of its own norm or of that of all."""
    cdef const floating* gradient = held_gradient(p, tag)
    cdef Layer* layer
    cdef double share = 1. / p.accumulate, total = 0, norm, most
    cdef int index, i
    for index in range(p.n_layers):
        layer = p.layers + index
        for i in range(2):
            p.factors[2 * index + i] = 0
        if layer.k > 0 and (p.clipnorm > 0 or p.global_clipnorm > 0):
            p.factors[2 * index] = squares(gradient + layer.kernel, layer.of_kernel * layer.n_out)
            p.factors[2 * index + 1] = squares(gradient + layer.kernel + layer.of_kernel * layer.n_out, (layer.k - layer.of_kernel) * layer.n_out)
            total += p.factors[2 * index] + p.factors[2 * index + 1]
    most = p.clipnorm if p.clipnorm > 0 else p.global_clipnorm
    for i in range(2 * p.n_layers):
        norm = sqrt64(p.factors[i] if p.clipnorm > 0 else total) * share
        p.factors[i] = share * most / norm if norm > most > 0 else share


cdef inline void held_step(Plan* p, int thread, const floating* tag) noexcept nogil:
    """The step on this thread's rows of each [W; b] by the gradient that `hold_rows` has kept."""
    cdef floating* gradient = <floating*>(p.scratch + thread * p.scratch_size)
    cdef floating* kept
    cdef Layer* layer
    cdef Py_ssize_t* share = p.shares + thread * p.n_layers
    cdef Py_ssize_t r, end, last, i, size, of_kernel
    cdef floating of_weight, of_bias
    cdef int index
    for index in range(p.n_layers):
        layer = p.layers + index
        of_weight = p.factors[2 * index]
        of_bias = p.factors[2 * index + 1]
        r = share[index]
        last = share[p.n_layers + index]
        while r < last:
            end = r + layer.block if last - r >= layer.block + GROUP_ROWS else last
            kept = held_gradient(p, tag) + layer.kernel + r * layer.n_out
            size = (end - r) * layer.n_out
            of_kernel = max(<Py_ssize_t>0, min(size, (layer.of_kernel - r) * layer.n_out))
            for i in range(of_kernel):
                gradient[i] = of_weight * kept[i]
            for i in range(of_kernel, size):
                gradient[i] = of_bias * kept[i]
            if p.accumulator >= 0:
                memset(kept, 0, size * sizeof(floating))
            step_rows(p, layer, gradient, r, end, thread)
            r = end


cdef inline void begin_batch(Plan* p, Py_ssize_t batch) noexcept nogil:
    """What the step of a batch is about, by thread 0: the others read it behind the next barrier."""
    cdef Py_ssize_t before = p.steps + batch - p.start, steps = before // p.accumulate
    cdef double rate = p.rates[batch - p.start] if p.rates != NULL else p.learning_rate
    cdef int i
    for i in range(p.n_rates):
        begin_step(p.step + i, p.optimizer, p.settings, p.weight_decay, rate * p.multipliers[i], steps + 1)
    p.stepping = (before + 1) % p.accumulate == 0
    p.ema_now = p.ema_momentum if steps > 0 else 0
    p.overwriting = p.ema_overwrite > 0 and (steps + 1) % p.ema_overwrite == 0


cdef inline void share(Plan* p, int size) noexcept nogil:
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
            p.shares[t * p.n_layers + index] = min(p.layers[index].k, GROUP_ROWS * max(<Py_ssize_t>0, min(groups, end)))
        base += groups * cost


cdef inline bint failed(const int* status, int size) noexcept nogil:
    cdef int t
    for t in range(size):
        if status[t] != STATUS_DONE:
            return True
    return False


cdef inline void weights_half(Plan* p, Py_ssize_t rows, bint more, bint final, int thread, const floating* tag) noexcept nogil:
    """This thread's rows of each [W; b]: gradient over `rows` rows of the workspace, and step."""
    cdef Py_ssize_t* first = p.shares + thread * p.n_layers
    cdef Py_ssize_t r, end, last
    cdef const Layer* layer
    cdef int index
    if p.x.indices != NULL:
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
    if thread == 0 and p.has_batch_norm and p.update:
        move_moments(p, tag)


cdef inline double batch_scale(const Plan* p, Py_ssize_t place, Py_ssize_t rows) noexcept nogil:
    """What the weighted values of a batch are multiplied with: 1 / rows, or as `reduction` and ignored rows want it."""
    cdef Py_ssize_t r, row
    cdef double total = 0
    if p.whole or p.reduction == REDUCE_SUM:
        return 1
    if not p.ignores and (p.reduction == REDUCE_MEAN or p.weights == NULL):
        return 1. / rows
    for r in range(rows):
        row = row_at(p, place + r)
        if not p.ignores or p.labels[row] >= 0:
            total += p.weights[row] if p.weights != NULL and p.reduction == REDUCE_WEIGHTED else 1
    return 1 / total if total != 0 else 0


cdef inline bint finite_losses(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, int thread) noexcept nogil:
    """Whether the losses of rows first... of the workspace are finite, if that is asked for; the first that is not is noted."""
    cdef Py_ssize_t r
    for r in range(first, first + rows if p.check else first):
        if not (-INFINITY < p.values[r] < INFINITY):
            note(p, STATUS_BAD_LOSS, place + r - first, thread)
            return False
    return True


cdef inline void note(Plan* p, int status, Py_ssize_t place, int thread) noexcept nogil:
    """What a thread has met first in its rows."""
    if p.rows_status[thread] == STATUS_DONE:
        p.rows_status[thread] = status
        p.place[thread] = place


cdef inline void finish_rows(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t rows, double scale, double share, int thread,
                             const floating* tag) noexcept nogil:
    """Rows first... of the workspace after their loss: is it finite, and backward."""
    cdef int index
    if not finite_losses(p, place, first, rows, thread):
        return
    begin_backward(p, place, first, rows, scale, share, tag)
    for index in range(p.n_layers - 1, p.first_trained, -1):
        backward_layer(p, index, place, first, rows, share, tag)


cdef inline void rows_half(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, double scale, double share, int thread,
                           const floating* tag) noexcept nogil:
    """Rows first..last of the workspace, from `place` of the order on: forward, loss, backward.

    A loss in Python sees all rows of the batch first: then forward alone.
    """
    cdef Py_ssize_t spans = (last - first + SPAN_ROWS - 1) // SPAN_ROWS, rows, bad
    for spans in range(spans, 0, -1):
        rows = (last - first + spans - 1) // spans
        bad = gather(p, &p.work, place, first, rows, tag)
        if bad >= 0:
            note(p, STATUS_BAD_INPUT, bad, thread)
            return
        forward(p, &p.work, place, first, rows, not p.fused, True, tag)
        bad = score(p, &p.work, place, first, rows, True, p.values + first, p.work.capacity, tag)
        if bad >= 0:
            note(p, STATUS_BAD_TARGET, bad, thread)
            return
        if p.loss.kind != PYTHON_FUNCTION:
            finish_rows(p, place, first, rows, scale, share, thread, tag)
            if p.rows_status[thread] != STATUS_DONE:
                return
        place += rows
        first += rows


cdef inline void forward_in_phases(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows, int thread, int size,
                                   const floating* tag) noexcept nogil:
    """Forward and loss of rows first..last of a whole batch in the workspace, in step with the other threads.

    `place` is that of the first row of the batch.  What a thread meets is looked at by all behind the last barrier.
    """
    cdef Py_ssize_t bad = gather(p, &p.work, place + first, first, last - first, tag), group
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
            barrier(&p.team, size)
            normalize_columns(at(&p.work, layer.input, layer.input_stride, 0, tag), layer.input_stride, rows, GROUP_ROWS * (group * thread // size),
                              min(layer.n_out, GROUP_ROWS * (group * (thread + 1) // size)), at(&p.work, layer.hat, layer.stride, 0, tag),
                              at(&p.work, layer.a, layer.stride, 0, tag), layer.stride, gamma_of(p, layer, tag), beta_of(p, layer, tag),
                              layer.epsilon, moments, moments + layer.n_out)
            barrier(&p.team, size)
        if last > first:
            forward_layer(p, &p.work, index, place + first, first, last - first, not p.fused, True, tag)
    bad = score(p, &p.work, place + first, first, last - first, True, p.values + first, p.work.capacity, tag) if last > first else -1
    if bad >= 0:
        note(p, STATUS_BAD_TARGET, bad, thread)


cdef inline void backward_in_phases(Plan* p, Py_ssize_t place, Py_ssize_t first, Py_ssize_t last, Py_ssize_t rows, double scale, int thread,
                                    int size, const floating* tag) noexcept nogil:
    """The way back."""
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
            barrier(&p.team, size)
            normalize_columns_gradient(
                at(&p.work, layer.hat, layer.stride, 0, tag), at(&p.work, layer.delta, layer.stride, 0, tag), layer.stride, rows,
                GROUP_ROWS * (group * thread // size), min(layer.n_out, GROUP_ROWS * (group * (thread + 1) // size)),
                at(&p.work, (layer - 1).delta, layer.stride, 0, tag), layer.stride, gamma_of(p, layer, tag), layer.epsilon, moments,
                moments + layer.n_out, moments + 2 * layer.n_out)
            barrier(&p.team, size)
        if last > first:
            backward_layer(p, index, place + first, first, last - first, 1. / rows, tag)


cdef inline void add_up(Plan* p, Py_ssize_t place, Py_ssize_t rows, double share) noexcept nogil:
    """Loss and metrics of a batch onto the sums, in the order of the rows; the loss times `share`."""
    cdef Py_ssize_t r
    cdef int m
    cdef double total = 0, weight
    for r in range(rows):
        weight = p.weights[row_at(p, place + r)] if p.weights != NULL and not p.whole else 1
        total = multiply_add(p.values[r], weight, total)
    p.sums[0] += total * share
    for m in range(1, p.n_metrics + 1):
        for r in range(rows):
            p.sums[m] += p.values[m * p.work.capacity + r]
    if p.active:                # behind the metrics, with the penalties
        for r in range(rows):
            p.sums[1 + p.n_metrics] += p.values[(1 + p.n_metrics) * p.work.capacity + r]


cdef void copy_share(char* out, const char* source, Py_ssize_t size, int thread, int threads) noexcept nogil:
    """This thread's part of a copy of `size` bytes."""
    cdef Py_ssize_t first = size * thread // threads, last = size * (thread + 1) // threads
    memcpy(out + first, source + first, last - first)


cdef inline bint at_once(const Plan* p) noexcept nogil:
    """Whether the workspace holds a batch of any length, for something looks at all of its rows."""
    return p.whole or p.has_batch_norm


cdef inline void train(Plan* p, int thread, int size, const floating* tag) noexcept nogil:
    """Batches start..stop, in lockstep with the other threads of the job."""
    cdef Py_ssize_t batch, place, rows, part, done, index, from_row, to_row, item = sizeof(floating)
    cdef Py_ssize_t most = p.batch_size if at_once(p) else BATCH_ROWS
    cdef bint plain = p.reduction == REDUCE_MEAN and not p.ignores
    cdef bint stepping = False
    cdef double scale
    cdef Py_ssize_t* first = p.shares + thread * p.n_layers
    if p.check and p.update:
        copy_share(p.backup, p.params, p.n_params * item, thread, size)
        copy_share(p.backup + p.n_params * item, p.slots, p.n_slots * p.n_params * item, thread, size)
        copy_share(p.backup + (1 + p.n_slots) * p.n_params * item, p.state, p.n_state * item, thread, size)
    for index in range(p.n_layers):
        repack(p, p.layers + index, first[index], first[p.n_layers + index], tag)
    barrier(&p.team, size)
    for batch in range(p.start, p.stop):
        place = batch * p.batch_size
        rows = min(p.batch_size, p.n_rows - place)
        if thread == 0:
            begin_batch(p, batch)
        scale = batch_scale(p, place, rows)
        if thread == 0:
            p.penalty_scale = scale if p.penalty_by_rows else 1
        done = 0
        while done < rows:
            part = min(rows - done, most)
            if thread == 0:
                p.part = place + done
            from_row = part * thread // size
            to_row = part * (thread + 1) // size
            if not p.has_batch_norm:
                rows_half(p, place + done + from_row, from_row, to_row, scale, 1. / rows, thread, tag)
            else:
                forward_in_phases(p, place + done, from_row, to_row, part, thread, size, tag)
                if p.loss.kind != PYTHON_FUNCTION:
                    backward_in_phases(p, place + done, from_row, to_row, part, scale, thread, size, tag)
            barrier(&p.team, size)
            if failed(p.rows_status, size):
                return
            stepping = p.held and p.update and p.stepping       # behind the next barrier thread 0 may be at the next batch
            if p.loss.kind == PYTHON_FUNCTION:
                if thread == 0 and not call_python(p, place + done, part):
                    p.weights_status[0] = STATUS_INTERRUPTED
                barrier(&p.team, size)
                if failed(p.weights_status, size):
                    return
                if p.has_batch_norm:
                    backward_in_phases(p, place + done, from_row, to_row, part, scale, thread, size, tag)
                else:
                    finish_rows(p, place + done + from_row, from_row, to_row - from_row, scale, 1. / rows, thread, tag)
                barrier(&p.team, size)
                if failed(p.rows_status, size):
                    return
            if thread == 0:
                add_up(p, place + done, part, 1 if plain or p.whole else scale * rows)
                if done + part < rows and interrupted(p):
                    p.weights_status[0] = STATUS_INTERRUPTED
            weights_half(p, part, done > 0, done + part == rows, thread, tag)
            barrier(&p.team, size)
            if failed(p.weights_status, size):
                return
            done += part
        if stepping:
            if thread == 0:
                measure_gradient(p, tag)
            barrier(&p.team, size)
            held_step(p, thread, tag)
            barrier(&p.team, size)
            if failed(p.weights_status, size):
                return
        if p.bounded and p.update:
            bound_layers(p, thread, size, tag)
            barrier(&p.team, size)
        if thread == 0:
            p.done = batch + 1
            if p.penalized:
                p.sums[1 + p.n_metrics] += penalty(p) * rows


cdef void run(Plan* p, int thread, int size) noexcept nogil:
    cdef uint64 mode = flush_denormals()
    if thread == 0:
        p.mode = mode
    if p.is_double:
        train(p, thread, size, <double*>NULL)
    else:
        train(p, thread, size, <float*>NULL)
    restore_mode(mode)
    barrier(&p.team, size)              # nobody looks at the plan any more


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
    restore_mode(p.mode)
    try:
        (<Network>p.network).call_loss(place, rows)
    except BaseException as error:
        (<Network>p.network).error = error
        return False
    finally:
        flush_denormals()
    return True


cdef inline void evaluate(const Plan* p, const Work* work, Py_ssize_t start, Py_ssize_t stop, double* values,
                          Py_ssize_t values_row, Py_ssize_t* bad_input, Py_ssize_t* bad_target,
                          const floating* tag) noexcept nogil:
    """Loss and metrics of rows start..stop into values[:, start:stop]."""
    cdef Py_ssize_t rows, place = start
    cdef uint64 mode = flush_denormals()
    while place < stop and bad_input[0] < 0 and bad_target[0] < 0:
        rows = min(stop - place, work.capacity)
        bad_input[0] = gather(p, work, place, 0, rows, tag)
        forward(p, work, place, 0, rows, not p.fused, False, tag)
        bad_target[0] = score(p, work, place, 0, rows, False, values + place, values_row, tag)
        place += rows
    restore_mode(mode)


cdef inline Py_ssize_t predict(const Plan* p, const Work* work, Py_ssize_t start, Py_ssize_t stop, floating* out) noexcept nogil:
    """Activations of the last layer for rows start..stop into out[start:stop]; place of a bad row, or -1."""
    cdef Layer* last = p.layers + p.n_layers - 1
    cdef Py_ssize_t rows, r, i, bad = -1, place = start
    cdef const floating* a
    cdef uint64 mode = flush_denormals()
    while place < stop and bad < 0:
        rows = min(stop - place, work.capacity)
        bad = gather(p, work, place, 0, rows, <const floating*>out)
        forward(p, work, place, 0, rows, True, False, <const floating*>out)
        for r in range(rows):
            a = at(work, last.a, last.stride, r, <const floating*>out)
            for i in range(last.n_out):
                out[(place + r) * last.n_out + i] = a[i]
        place += rows
    restore_mode(mode)
    return bad


cdef int open_rows(object array, int source, Py_ssize_t width, Rows* rows, Py_buffer* buffer) except -1:
    """Looks into a 2-D array of `width` columns, or SparseRows, without a copy."""
    cdef SparseRows sparse
    rows.indices = NULL
    if isinstance(array, SparseRows):
        sparse = array
        if sparse.n_columns != width:
            raise ValueError(f"the sparse rows must have {width} columns")
        memset(buffer, 0, sizeof(Py_buffer))        # nothing to release
        rows[0] = sparse.rows
        return 0
    PyObject_GetBuffer(array, buffer, PyBUF_STRIDED_RO)
    if buffer.ndim != 2 or buffer.shape[1] != width:
        PyBuffer_Release(buffer)
        raise ValueError(f"the array must be 2-D with {width} columns")
    if buffer.itemsize != ITEM_SIZES[source]:
        PyBuffer_Release(buffer)
        raise ValueError("the dtype of the array is not the one it was announced with")
    rows.data = <const char*>buffer.buf
    rows.row = buffer.strides[0]
    rows.step = buffer.strides[1]
    rows.source = source
    return 0


cdef int* ITEM_SIZES = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8]


def aligned_zeros(Py_ssize_t size, dtype):
    """A vector of zeros that begins on a cache line, with room behind it that may be read."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros((size + SLACK) * item + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start:start + (size + SLACK) * item].view(dtype)[:size]


cdef class SparseRows:
    """A matrix in compressed sparse rows, read where it lies; columns in any order, of equal ones the sum counts.

    Parameters
    ----------
    data : float32 or float64 (n,)
    indices : int32 or int64 (n,)
        The column of each number.
    starts : (rows + 1,), of the dtype of indices
        Where each row begins.
    n_columns : int
    """
    cdef Rows rows
    cdef readonly Py_ssize_t n_columns
    cdef Py_ssize_t n_rows
    cdef object arrays

    def __cinit__(self, data, indices, starts, Py_ssize_t n_columns):
        data, indices, starts = np.ascontiguousarray(data), np.ascontiguousarray(indices), np.ascontiguousarray(starts)
        if data.dtype not in (np.float32, np.float64) or indices.dtype not in (np.int32, np.int64) or starts.dtype != indices.dtype \
                or not data.ndim == indices.ndim == starts.ndim == 1 or len(starts) < 1 or min(len(data), len(indices)) < starts.item(len(starts) - 1):
            raise ValueError("data must be float32 or float64, indices and starts int32 or int64 alike, with a number for each index")
        self.arrays = data, indices, starts
        self.n_rows, self.n_columns = len(starts) - 1, n_columns
        self.rows.data, self.rows.indices, self.rows.starts = address(data), address(indices), address(starts)
        self.rows.source = SOURCES[data.dtype.str[1:]]
        self.rows.wide = indices.dtype == np.int64
        cdef Py_ssize_t i
        cdef bint good = start_of(&self.rows, 0) >= 0
        with nogil:
            for i in range(self.n_rows):
                good &= start_of(&self.rows, i) <= start_of(&self.rows, i + 1)
            if good:
                for i in range(start_of(&self.rows, 0), start_of(&self.rows, self.n_rows)):
                    good &= 0 <= column_of(&self.rows, i) < n_columns
        if not good:
            raise ValueError(f"starts must not decrease, and indices must lie in [0, {n_columns})")

    def __len__(self):
        return self.n_rows


cdef class LossKernel:
    """A loss with its options.

    Parameters
    ----------
    kind : int
        A code of `LOSSES` or `CUSTOM_LOSSES`.
    settings : sequence of at most 4 numbers
    columns : sequence of numbers, one for each column of predictions, or None
    function : scipy.LowLevelCallable of a C function, for "c"; kept, for it owns the function and the user's data
    summed : bint
        A row's value is the sum of its terms, not their mean; of losses by number only.
    """
    cdef Loss loss
    cdef double[::1] options
    cdef readonly Py_ssize_t by_column      # numbers for columns; 0 if there are none
    cdef object function

    def __cinit__(self, int kind, settings=(), columns=None, function=None, bint summed=False):
        if not 0 <= kind < N_LOSSES or len(settings) > N_SETTINGS:
            raise ValueError("no such loss")
        options = np.zeros(N_SETTINGS + (0 if columns is None else len(columns)))
        options[:len(settings)] = settings
        if columns is not None:
            options[N_SETTINGS:] = columns
        self.by_column = len(options) - N_SETTINGS
        if (self.by_column == 0 and kind in (QUANTILE, CATEGORICAL_FOCAL_CROSSENTROPY, CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS)) \
                or (kind == C_FUNCTION) != (function is not None):
            raise ValueError("the loss needs a number for each column, or its function")
        self.options = options
        self.loss.kind = kind
        self.loss.options = &self.options[0]
        self.loss.by_column = self.by_column > 0
        self.loss.summed = summed
        if function is not None:
            capsule = tuple.__getitem__(function, 0)        # SciPy's class hides its items
            self.function = function
            self.loss.function = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))
            self.loss.user_data = PyCapsule_GetContext(capsule)

    def __call__(self, y, p, delta, double[::1] values, double scale):
        """values <- the loss of each row, delta <- scale times the gradient of that value; the sum of the values.

        Parameters
        ----------
        y : C-contiguous array in the dtype of p, or int64 labels, below 0 where the row is ignored
        p : C-contiguous array (..., n), float32 or float64
        delta : the same, or None
        values : float64 (rows,)
        """
        cdef Py_buffer y_buffer, p_buffer, delta_buffer
        cdef Py_ssize_t rows, n
        cdef double total = 0
        PyObject_GetBuffer(p, &p_buffer, PyBUF_ND)
        try:
            n = p_buffer.shape[p_buffer.ndim - 1]
            rows = p_buffer.len // (p_buffer.itemsize * n) if n > 0 else 0
            if values.shape[0] != rows or self.by_column not in (0, n):
                raise ValueError("values must have a number for each row, and columns for each column")
            if rows == 0:
                return 0.
            PyObject_GetBuffer(y, &y_buffer, PyBUF_ND)
            try:
                if y_buffer.len != (rows * 8 if is_sparse(self.loss.kind) else rows * target_columns(self.loss.kind, n) * p_buffer.itemsize):
                    raise ValueError("y must have the shape and dtype of p, labels one for each row")
                delta_buffer.buf = NULL
                if delta is not None:
                    PyObject_GetBuffer(delta, &delta_buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
                try:
                    if delta is not None and (delta_buffer.len != p_buffer.len or delta_buffer.itemsize != p_buffer.itemsize):
                        raise ValueError("delta must have the shape and dtype of p")
                    if delta is None and self.loss.kind == C_FUNCTION:
                        raise ValueError("a C function always writes its gradient")
                    with nogil:
                        if p_buffer.itemsize == 8:
                            total = loss_blocks(&self.loss, y_buffer.buf, <double*>p_buffer.buf, <double*>delta_buffer.buf, &values[0], rows, n, scale)
                        else:
                            total = loss_blocks(&self.loss, y_buffer.buf, <float*>p_buffer.buf, <float*>delta_buffer.buf, &values[0], rows, n, scale)
                finally:
                    if delta is not None:
                        PyBuffer_Release(&delta_buffer)
            finally:
                PyBuffer_Release(&y_buffer)
        finally:
            PyBuffer_Release(&p_buffer)
        return total


cdef inline double loss_blocks(const Loss* loss, const void* targets, const floating* p, floating* delta, double* values,
                               Py_ssize_t rows, Py_ssize_t n, double scale) noexcept nogil:
    """A loss over rows that adjoin, in blocks that stay in the cache until their gradient is scaled; the sum of values."""
    cdef Py_ssize_t first = 0, count, most = max(<Py_ssize_t>1, <Py_ssize_t>BLOCK_NUMBERS // n), i, columns = target_columns(loss.kind, n)
    cdef const int64_t* labels = <const int64_t*>targets if is_sparse(loss.kind) else NULL
    cdef const floating* y = <const floating*>targets if labels == NULL else NULL
    cdef double total = 0
    while first < rows:
        count = min(most, rows - first)
        loss_rows(loss, y + first * columns if y != NULL else NULL, columns, labels + first if labels != NULL else NULL,
                  p + first * n, n, delta + first * n if delta != NULL else NULL, values + first, count, n, scale)
        for i in range(count):
            total += values[first + i]
        first += count
    return total


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
        p.shares = <Py_ssize_t*>calloc((MAX_THREADS + 1) * p.n_layers, sizeof(Py_ssize_t))
        p.factors = <double*>calloc(2 * p.n_layers, sizeof(double))
        p.step = <Step*>calloc(p.n_layers, sizeof(Step))
        p.multipliers = <double*>calloc(p.n_layers, sizeof(double))
        p.accumulate, p.accumulator, p.average = 1, -1, -1
        if p.layers == NULL or p.shares == NULL or p.factors == NULL or p.step == NULL or p.multipliers == NULL:
            raise MemoryError()
        p.multipliers[0], p.n_rates = 1, 1
        p.first_trained = p.n_layers
        self.shapes, self.arrays, self.states = [], [], []
        for index in range(p.n_layers):
            layer = p.layers + index
            kind, *numbers = layers[index]
            units, use_bias = 0, False
            layer.n_in = n_inputs
            if kind in LAYERS:
                layer.kind = LAYERS[kind]
                if layer.kind in (DROPOUT, NOISE):
                    layer.number = numbers[0]
                    p.random = True
                elif layer.kind == PRELU:
                    layer.k = layer.of_kernel = 1
                elif layer.kind in (LAYER_NORM, BATCH_NORM):
                    layer.epsilon, use_bias, layer.of_kernel = numbers[:3]
                    layer.k = layer.of_kernel + bool(use_bias)
                    if layer.kind == BATCH_NORM:
                        layer.number = numbers[3]
                        p.has_batch_norm = True
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
            n_states = {BATCH_NORM: 2, SCALE: 3}.get(layer.kind, 0)
            self.states.append([])
            for _ in range(n_states):
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
        release(self.plan.scratch)
        free(self.plan.layers)
        free(self.plan.shares)
        free(self.plan.factors)
        free(self.plan.step)
        free(self.plan.multipliers)
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
        return self.plan.penalized or self.plan.active

    @property
    def n_values(self):
        """Rows of the `values` of `evaluate_rows`: loss, metrics, and the penalty on outputs if there is one."""
        return 1 + self.plan.n_metrics + self.plan.active

    @property
    def in_python(self):
        """Whether the loss is a Python function."""
        return self.python_loss is not None

    @property
    def steps(self):
        """Steps the optimizer has taken."""
        return self.plan.steps

    @steps.setter
    def steps(self, Py_ssize_t steps):
        self.plan.steps = steps

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
        p.loss = kernel.loss
        p.fused = fused
        p.reduction = reduction
        p.whole = whole
        p.lowest, p.highest = lowest, highest
        p.limited = lowest > -INFINITY or highest < INFINITY
        p.n_metrics = len(metrics)
        for i, metric in enumerate(metrics):
            p.metrics[i] = metric
        p.ordinal = not set(metrics) - {CATEGORICAL_ACCURACY, SPARSE_CATEGORICAL_ACCURACY}

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
        targets = np.empty((rows, p.n_targets), self.dtype)
        copy_rows(address(targets), p.n_targets * item, y, last.stride * item, p.n_targets * item, rows)
        weights = None
        if p.weights != NULL and p.whole:
            weights = np.empty(rows)
            own = weights
            for r in range(rows):
                own[r] = p.weights[row_at(p, place + r)]
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
        p.accumulator = own * p.n_params if accumulates else -1
        p.average = (own + accumulates) * p.n_params if averages else -1
        self.slots, p.slots, p.n_slots, p.optimizer, p.steps = slots, memory, n_slots, optimizer, 0

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
            self.plan.settings[i] = settings[i] if i < len(settings) else 0
        self.plan.weight_decay = weight_decay
        self.plan.clipvalue, self.plan.clipnorm, self.plan.global_clipnorm = clipvalue, clipnorm, global_clipnorm
        self.plan.accumulate, self.plan.ema_momentum, self.plan.ema_overwrite = accumulate, ema_momentum, ema_overwrite
        self.plan.held = clipnorm > 0 or global_clipnorm > 0 or accumulate > 1

    @property
    def average(self):
        """The running mean of the weights, a slot of the optimizer, or None."""
        if self.slots is None or self.plan.average < 0 or self.plan.n_params == 0:
            return None
        return self.slots[self.plan.average // self.plan.n_params]

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
            layer.l1, layer.l2, layer.bias_l1, layer.bias_l2, layer.activity_l1, layer.activity_l2 = (*numbers, 0, 0, 0, 0)[:6]
            layer.penalty = groups
            groups += groups_of(layer) + 1
        values = np.zeros(groups)
        p.penalties = <double*>address(values)
        self._penalties = values
        self._values = None
        p.n_penalties = groups
        p.penalty_by_rows = by_rows
        p.penalized = any(any(numbers[:4]) for numbers in penalties)
        p.active = any(any(numbers[4:]) for numbers in penalties)

    def set_constraints(self, list constraints):
        """What holds for weights after every step, for each layer: ((name, bound) of the kernel, (name, bound) of the bias).

        Names are those of CONSTRAINTS; "max_norm" bounds the Euclidean norm of each column of a kernel, and that of a bias.
        """
        cdef Layer* layer
        self.plan.bounded = False
        for index, both in enumerate(constraints):
            layer = self.plan.layers + <Py_ssize_t>index
            for i, (name, bound) in enumerate(both):
                layer.constraint[<int>i], layer.bound[<int>i] = CONSTRAINTS[name], bound
                self.plan.bounded |= CONSTRAINTS[name] == MAX_NORM

    def set_multipliers(self, list multipliers):
        """Of the learning rate, for each layer."""
        different = list(dict.fromkeys(map(float, multipliers))) or [1.]
        self.plan.n_rates = len(different)
        for i, multiplier in enumerate(different):
            self.plan.multipliers[<int>i] = multiplier
        for i, multiplier in enumerate(multipliers):
            self.plan.layers[<int>i].rate = different.index(multiplier)
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
        if p.scratch_threads < size:
            release(p.scratch)
            p.scratch_threads = 0
            for index in range(p.n_layers):     # the block and its transpose
                widest = max(widest, 2 * p.layers[index].block_size)
            p.scratch_size = ((widest + SLACK) * item + 4095) // 4096 * 4096 + 64
            p.scratch = <char*>allocate(size * p.scratch_size)
            p.scratch_threads = size if p.scratch != NULL else 0
        if p.work.packed == NULL or p.scratch == NULL:
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
            memory = aligned_zeros((1 + p.n_slots) * p.n_params + p.n_state, self.dtype)
            p.backup = address(memory)
            self._backup = memory
        return 0

    cdef int prepare_entries(self, Py_ssize_t start, Py_ssize_t stop, const int64_t[::1] order, Py_ssize_t n_rows,
                             Py_ssize_t batch_size) except -1:
        """Memory for the numbers of the longest batch of sparse rows."""
        cdef Plan* p = self.plan
        cdef Py_ssize_t batch, place, row, count, longest = 0
        cdef Py_ssize_t most = batch_size if at_once(p) else min(batch_size, <Py_ssize_t>BATCH_ROWS)
        for batch in range(start, stop):
            count = 0
            for place in range(batch * batch_size, min(n_rows, (batch + 1) * batch_size)):
                if (place - batch * batch_size) % most == 0:
                    count = 0
                row = order[place] if order is not None else place
                count += start_of(&p.x, row + 1) - start_of(&p.x, row)
                longest = max(longest, count)
        if self._columns is None:
            columns = np.empty((2, p.n_inputs), np.intp)
            p.column_first = <Py_ssize_t*>address(columns)
            p.column_last = p.column_first + p.n_inputs
            self._columns = columns
        if self._entries is None or longest > p.n_entries:
            rows, values = np.empty(longest, np.intp), np.empty(longest, self.dtype)
            p.entry_row, p.entry_value, p.n_entries = <Py_ssize_t*>address(rows), address(values), longest
            self._entries = rows, values
        return 0

    def train_batches(self, x, int x_source, y, int y_source, const int64_t[::1] order, const double[::1] weights,
                      Py_ssize_t n_rows, Py_ssize_t batch_size, Py_ssize_t start, Py_ssize_t stop,
                      learning_rate, double[::1] sums, bint update, bint check, int size, outputs=None,
                      bint ignores=False, uint64 seed=0):
        """Trains on batches start..stop without the GIL.

        Parameters
        ----------
        x : array (n, n_inputs) of the dtype code `x_source`, in any strides, or SparseRows
        y : array (n, n_outputs) of the dtype code `y_source`, or int64 labels (n,) for a sparse loss
        order : int64 (n_rows,) or None
            Rows in the order of training; checked by the caller to lie in [0, n).
        weights : float64 (n,) or None
        learning_rate : float, or float64 (stop - start,) with that of each batch
        sums : float64 (1 + n_metrics,)
            Added to: weighted loss and metrics of every row; behind them, if there are penalties, the penalty of each
            batch times its rows.
        update : bool
            Let the optimizer take a step after each batch; else the gradient of the last batch is left in `grads`.
        check : bool
            Stop at a loss or gradient that is not finite and put back the weights of the start of the range.
        size : int
            Threads; for more than one the others must be in `help`, where `_threads.Team.grow` sends them: the call waits for them.
        outputs : array (n_rows, n_outputs) of the dtype of the network, or None
            Written to: the outputs of the last layer at each place of the order, before the step on its batch.
        ignores : bool
            Whether labels below 0 may occur: rows left out of the mean of their batch.
        seed : int
            Of the random numbers of this pass over the data: with a place of the order it makes those of its row.

        Returns
        -------
        done, status, place : int
            First batch not trained on; one of DONE, BAD_INPUT, BAD_TARGET, BAD_LOSS, BAD_GRADIENT; the row it is about.
        """
        cdef Plan* p = self.plan
        cdef Py_buffer x_buffer, y_buffer
        cdef int t, status
        cdef const int64_t[::1] labels
        if not 1 <= size <= MAX_THREADS:
            raise ValueError(f"the number of threads must lie in [1, {MAX_THREADS}], got {size}")
        if start < 0 or batch_size < 1 or start >= stop or (stop - 1) * batch_size >= n_rows or len(sums) < 1 + p.n_metrics + (p.penalized or p.active):
            raise ValueError("the range of batches must lie in the rows given")
        if n_rows > (len(x) if order is None else len(order)) or (weights is not None and len(weights) < len(x)) or len(y) < len(x):
            raise ValueError("x, y, order and weights must have a row each for every row")
        if update and self.slots is None:
            raise ValueError("the network has no optimizer")
        cdef const double[::1] rates = learning_rate if isinstance(learning_rate, np.ndarray) else None
        if rates is None:
            p.learning_rate = learning_rate
        elif rates.shape[0] != stop - start:
            raise ValueError("learning_rate must be a number, or an array with one for each batch of the range")
        p.rates = &rates[0] if rates is not None else NULL
        self.prepare(min(batch_size, n_rows), size, not update or p.held, check and update)
        p.update = update
        p.outputs = self.outputs_address(outputs, n_rows)
        p.ignores = ignores and is_sparse(p.loss.kind)
        p.seed = seed
        self.open_x(x, x_source, &p.x, &x_buffer)
        try:
            if p.x.indices != NULL:
                self.prepare_entries(start, stop, order, n_rows, batch_size)
            if is_sparse(p.loss.kind):
                labels = y
                p.labels = &labels[0]
                self.enter(order, weights, n_rows, batch_size, start, stop, sums, check, size)
            else:
                p.labels = NULL
                p.n_targets = self.columns_of(y)
                open_rows(y, y_source, p.n_targets, &p.y, &y_buffer)
                try:
                    self.enter(order, weights, n_rows, batch_size, start, stop, sums, check, size)
                finally:
                    PyBuffer_Release(&y_buffer)
        finally:
            PyBuffer_Release(&x_buffer)
        if p.weights_status[0] == STATUS_INTERRUPTED:
            error, self.error = self.error, None
            raise error
        for t in range(size):
            status = p.rows_status[t] or p.weights_status[t]
            if status != STATUS_DONE:
                if (status == STATUS_BAD_LOSS or status == STATUS_BAD_GRADIENT) and update:
                    p.steps -= p.done - start
                    self.params[:] = self._backup[:p.n_params]
                    self.slots[:] = self._backup[p.n_params:(1 + p.n_slots) * p.n_params].reshape(self.slots.shape)
                    self.state[:] = self._backup[(1 + p.n_slots) * p.n_params:]
                return p.done, status, row_at(p, p.place[t]) if order is not None else p.place[t]
        return p.done, DONE, -1

    cdef int open_x(self, x, int source, Rows* rows, Py_buffer* buffer) except -1:
        """Looks into x, dense or sparse."""
        open_rows(x, source, self.plan.n_inputs, rows, buffer)
        if (rows.indices == NULL and self.plan.sparse) or (rows.indices != NULL and self.plan.layers[0].kind != DENSE):
            PyBuffer_Release(buffer)
            raise ValueError("this network reads sparse rows alone" if self.plan.sparse else "sparse rows need a first layer with weights")
        return 0

    cdef Py_ssize_t columns_of(self, y) except -1:
        """Columns of y: those the loss asks for; a loss in Python takes any number up to that of the outputs."""
        cdef Py_ssize_t n_out = self.plan.layers[self.plan.n_layers - 1].n_out
        if self.plan.loss.kind == PYTHON_FUNCTION:
            if y.ndim != 2 or not 1 <= y.shape[1] <= n_out:
                raise ValueError(f"y must be 2-D with 1 to {n_out} columns")
            return y.shape[1]
        return target_columns(self.plan.loss.kind, n_out)

    cdef char* outputs_address(self, outputs, Py_ssize_t rows) except? NULL:
        """Where the outputs of `rows` rows go."""
        if outputs is None:
            return NULL
        if outputs.dtype != self.dtype or outputs.ndim != 2 or not outputs.flags.c_contiguous or not outputs.flags.writeable \
                or len(outputs) < rows or outputs.shape[1] != self.plan.layers[self.plan.n_layers - 1].n_out:
            raise ValueError("outputs must be a C-contiguous matrix of the dtype and width of the last layer, a row for each row")
        return address(outputs)

    cdef int enter(self, const int64_t[::1] order, const double[::1] weights, Py_ssize_t n_rows, Py_ssize_t batch_size,
                   Py_ssize_t start, Py_ssize_t stop, double[::1] sums, bint check, int size) except -1:
        """Writes the job, calls the team and works on it as thread 0."""
        cdef Plan* p = self.plan
        cdef int t
        p.order = &order[0] if order is not None else NULL
        p.weights = &weights[0] if weights is not None else NULL
        p.n_rows = n_rows
        p.batch_size = batch_size
        p.start = start
        p.stop = stop
        p.done = start
        p.sums = &sums[0]
        p.check = check
        for t in range(size):
            p.rows_status[t] = p.weights_status[t] = STATUS_DONE
            p.place[t] = start * batch_size
        share(p, size)
        p.work.has_panels = p.has_panels and min(batch_size, n_rows) * size >= PANEL_ROWS
        with nogil:
            if size > 1:
                set_word(&p.team, &p.team.job, ((p.team.job >> 8) + 1) << 8 | <uint32>size)
            run(p, 0, size)
            if p.update:
                p.steps += p.done - start
        return 0

    def job(self):
        """The word of the last job; what `help` starts from."""
        return self.plan.team.job

    def help(self, int thread, uint32 last):
        """Works as `thread` of every job that has that many threads, until `dismiss`."""
        cdef Plan* p = self.plan
        cdef uint32 word
        with nogil:
            while True:
                word = load(&p.team.job)
                if word == last:
                    wait(&p.team, &p.team.job, last)
                    continue
                last = word
                if word & 255 == 0:
                    break
                if thread < <int>(word & 255):
                    run(p, thread, word & 255)

    def dismiss(self):
        """Ends every `help`."""
        set_word(&self.plan.team, &self.plan.team.job, ((self.plan.team.job >> 8) + 1) << 8)

    def evaluate_rows(self, x, int x_source, y, int y_source, Py_ssize_t start, Py_ssize_t stop, double[:, ::1] values,
                      outputs=None):
        """Loss and metrics of rows start..stop into values[:, start:stop]; (status, row).  Many threads may call it.

        A loss in Python leaves values[0] at 0.  With `outputs`, (rows, n_outputs), those of the last layer are written there.
        """
        cdef Plan* p = self.plan
        cdef Plan own = self.plan[0]
        cdef Py_buffer x_buffer, y_buffer
        cdef Work work
        cdef Py_ssize_t bad_input = -1, bad_target = -1
        cdef const int64_t[::1] labels
        if not 0 <= start <= stop <= min(len(x), len(y), values.shape[1]) or values.shape[0] < self.n_values:
            raise ValueError("start, stop must lie in the rows given")
        if start == stop:
            return DONE, -1
        self.borrow(&work, stop - start)
        own.order = NULL
        own.labels = NULL
        own.n_rows = stop
        try:
            own.outputs = self.outputs_address(outputs, stop)
            self.open_x(x, x_source, &own.x, &x_buffer)
            try:
                if is_sparse(p.loss.kind):
                    labels = y
                    own.labels = &labels[0]
                else:
                    own.n_targets = self.columns_of(y)
                    open_rows(y, y_source, own.n_targets, &own.y, &y_buffer)
                try:
                    with nogil:
                        if p.is_double:
                            evaluate(&own, &work, start, stop, &values[0, 0], values.shape[1], &bad_input, &bad_target, <double*>NULL)
                        else:
                            evaluate(&own, &work, start, stop, &values[0, 0], values.shape[1], &bad_input, &bad_target, <float*>NULL)
                finally:
                    if own.labels == NULL:
                        PyBuffer_Release(&y_buffer)
            finally:
                PyBuffer_Release(&x_buffer)
        finally:
            release(work.memory)
            release(work.packed)
        if bad_input >= 0:
            return BAD_INPUT, bad_input
        if bad_target >= 0:
            return BAD_TARGET, bad_target
        return DONE, -1

    def predict_rows(self, x, int x_source, Py_ssize_t start, Py_ssize_t stop, out):
        """Predictions of rows start..stop into out[start:stop]; row of a bad number, or -1.  Many threads may call it."""
        cdef Plan* p = self.plan
        cdef Plan own = self.plan[0]
        cdef Py_buffer x_buffer, out_buffer
        cdef Work work
        cdef Py_ssize_t bad = -1
        if not 0 <= start <= stop <= min(len(x), len(out)):
            raise ValueError("start, stop must lie in the rows given")
        if start == stop:
            return -1
        self.borrow(&work, stop - start)
        own.order = NULL
        own.n_rows = stop
        try:
            self.open_x(x, x_source, &own.x, &x_buffer)
            try:
                PyObject_GetBuffer(out, &out_buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
                try:
                    if out_buffer.itemsize != self.dtype.itemsize or out_buffer.ndim != 2 \
                            or out_buffer.shape[1] != p.layers[p.n_layers - 1].n_out:
                        raise ValueError("out must be a C-contiguous matrix of the dtype and width of the last layer")
                    with nogil:
                        if p.is_double:
                            bad = predict(&own, &work, start, stop, <double*>out_buffer.buf)
                        else:
                            bad = predict(&own, &work, start, stop, <float*>out_buffer.buf)
                finally:
                    PyBuffer_Release(&out_buffer)
            finally:
                PyBuffer_Release(&x_buffer)
        finally:
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
    if layer.kind in (LAYER_NORM, BATCH_NORM):
        layer.hat = p.forward_size
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
    """`size` bytes of each row; rows lie so many bytes apart."""
    cdef Py_ssize_t r
    for r in range(rows):
        memcpy(out + r * out_row, source + r * source_row, size)


def first_outside(const int64_t[::1] labels, Py_ssize_t classes):
    """Place of the first label that is not in [0, classes), or -1; NumPy's min and max cost a small step its time."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(labels.shape[0]):
            if not 0 <= labels[i] < classes:
                break
        else:
            i = -1
    return i


def shuffle(int64_t[::1] order, uint64_t seed):
    """Shuffles in place (Fisher and Yates), numbers from splitmix64 (Steele, Lea and Flood 2014).

    NumPy's shuffle takes 0.2 ms for 20,000 rows, a fifth of an epoch of a tiny network; this a fifth of that.
    """
    cdef Py_ssize_t i, j
    cdef uint64_t x
    cdef int64_t kept
    with nogil:
        for i in range(order.shape[0] - 1, 0, -1):
            seed += <uint64_t>0x9E3779B97F4A7C15
            x = seed
            x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
            x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
            j = <Py_ssize_t>multiply_high(x ^ (x >> 31), <uint64_t>(i + 1))
            kept = order[i]
            order[i] = order[j]
            order[j] = kept


def matmul(const floating[:, :] a, const floating[:, :] b, floating[:, :] out, Py_ssize_t repeats=1, bint over_rows=False):
    """out <- a @ b; arrays of any strides that are whole numbers of items.

    `repeats` makes the product so many times of factors packed once, as training does: for benchmarks.
    `over_rows` tells x^T delta, whose sums run over the rows of a batch, from the other products: a is the transpose of x.
    """
    cdef Py_ssize_t item = sizeof(floating), rows = a.shape[0], k = a.shape[1], n = b.shape[1]
    cdef Py_ssize_t a_row = a.strides[0] // item, a_col = a.strides[1] // item
    cdef Py_ssize_t b_row = b.strides[0] // item, b_col = b.strides[1] // item
    cdef Py_ssize_t width = padded(n, <const floating*>NULL), panel = panel_width(<const floating*>NULL)
    cdef Py_ssize_t stride = padded_row(width, <const floating*>NULL), pitch = padded(k, <const floating*>NULL)
    cdef Py_ssize_t span = BLOCK_ROWS if over_rows else SPAN_ROWS       # as in training
    cdef Py_ssize_t first = 0, count, r, j, _
    cdef bint dotted = not over_rows and by_dots(n, k, <const floating*>NULL)
    cdef bint upright = over_rows and a_row == 1 and stands_better(n, <const floating*>NULL)
    cdef floating* left = NULL
    cdef floating* made
    if b.shape[0] != k or out.shape[0] != rows or out.shape[1] != n:
        raise ValueError("the shapes of a, b and out must be (m, k), (k, n) and (m, n)")
    if rows == 0 or n == 0:
        return
    if k == 0:
        out[:, :] = 0
        return
    if upright:
        span = max(span, <Py_ssize_t>BLOCK_SIZE // width)
    cdef floating* panels = <floating*>allocate((packed_size(pitch, n, <const floating*>NULL) + SLACK) * item)
    cdef floating* c = <floating*>allocate(2 * (span + GROUP_ROWS) * stride * item + 64)
    if dotted:
        left = <floating*>allocate(span * pitch * item)
    try:
        if panels == NULL or c == NULL or (dotted and left == NULL):
            raise MemoryError("no memory for the panels of b")
        with nogil:
            if dotted:
                pack_columns(&b[0, 0], b_row, b_col, k, n, 0, k, panels)
            else:
                pack(&b[0, 0], b_row, b_col, k, n, 0, k, panels)
            while first < rows:
                count = min(rows - first, span)
                if dotted:
                    for r in range(count):
                        for j in range(k):
                            left[r * pitch + j] = a[first + r, j]
                    for _ in range(repeats):
                        dots(left, pitch, panels, pitch, c, stride, count, n, k)
                elif upright and count >= GROUP_ROWS:
                    count -= count % GROUP_ROWS         # x is read in whole registers
                    for _ in range(repeats):
                        product(&b[0, 0], b_col, b_row, &a[first, 0], a_col, panel, c, count, n, count, k, False)
                        transpose(c, count, n, count, c + (span + GROUP_ROWS) * stride)
                else:
                    for _ in range(repeats):
                        product(&a[first, 0], a_row, a_col, panels, panel, k * panel, c, stride, count, width, k, False)
                for r in range(count):
                    made = c + (span + GROUP_ROWS) * stride + r * n if upright and count >= GROUP_ROWS else c + r * stride
                    if out.strides[1] == item:
                        memcpy(&out[first + r, 0], made, n * item)
                    else:
                        for j in range(n):
                            out[first + r, j] = made[j]
                first += count
    finally:
        release(panels)
        release(c)
        release(left)


def apply_activation(int kind, const floating[:, ::1] z, floating[:, ::1] a):
    """a <- f(z), by rows for softmax; a may be z."""
    if z.shape[0] != a.shape[0] or z.shape[1] != a.shape[1] or not 0 <= kind < N_ACTIVATIONS:
        raise ValueError("z and a must have one shape")
    if z.shape[0] == 0 or z.shape[1] == 0:
        return
    with nogil:
        memmove(&a[0, 0], &z[0, 0], z.shape[0] * z.shape[1] * sizeof(floating))
        activate(kind, &a[0, 0], z.shape[1], z.shape[0], z.shape[1], z.shape[1])


def apply_activation_gradient(int kind, const floating[:, ::1] z, const floating[:, ::1] a, floating[:, ::1] delta):
    """delta <- delta f'(z), where a = f(z)."""
    if z.shape[0] != delta.shape[0] or z.shape[1] != delta.shape[1] or a.shape[0] != z.shape[0] \
            or a.shape[1] != z.shape[1] or not 0 <= kind < N_ACTIVATIONS:
        raise ValueError("z, a and delta must have one shape")
    if z.shape[0] == 0 or z.shape[1] == 0:
        return
    with nogil:
        activation_gradient(kind, &z[0, 0], &a[0, 0], &delta[0, 0], z.shape[1], z.shape[0], z.shape[1])


def apply_optimizer(int kind, floating[::1] params, const floating[::1] grads, slots, settings, double learning_rate, Py_ssize_t step,
                    double weight_decay=0):
    """One step of the optimizer, in place; `slots` are arrays like params, as many as the kernel has."""
    cdef double values[MAX_SETTINGS]
    cdef Step numbers
    cdef floating[::1] slot
    cdef floating* states[3]
    cdef Py_ssize_t i, needed = SLOTS[kind]
    memset(values, 0, sizeof(values))
    memset(&numbers, 0, sizeof(Step))
    memset(states, 0, sizeof(states))
    for i, value in enumerate(settings):
        values[i] = value
    if grads.shape[0] != params.shape[0] or len(slots) < needed:
        raise ValueError("params, grads and each slot must have one length")
    if params.shape[0] == 0:
        return
    for i in range(needed):
        slot = slots[i]
        if slot.shape[0] != params.shape[0]:
            raise ValueError("params, grads and each slot must have one length")
        states[i] = &slot[0]
    with nogil:
        begin_step(&numbers, kind, values, weight_decay, learning_rate, step)
        optimizer_step(kind, &params[0], &grads[0], states[0], states[1], states[2], params.shape[0], values, &numbers)


def apply_math(name, const floating[::1] x, floating[::1] out):
    """out <- exp, expm1, log, log1p, tanh, sigmoid or softplus of x: the functions under the activations."""
    cdef Py_ssize_t i, size = min(x.shape[0], out.shape[0])
    if name == "exp":
        for i in range(size):
            out[i] = mathf.exp(x[i])
    elif name == "expm1":
        for i in range(size):
            out[i] = mathf.expm1(x[i])
    elif name == "log":
        for i in range(size):
            out[i] = mathf.log(x[i])
    elif name == "log1p":
        for i in range(size):
            out[i] = mathf.log1p(x[i])
    elif name == "tanh":
        for i in range(size):
            out[i] = mathf.tanh(x[i])
    elif name == "sigmoid":
        for i in range(size):
            out[i] = mathf.sigmoid(x[i])
    elif name == "softplus":
        for i in range(size):
            out[i] = mathf.softplus(x[i])
    else:
        raise ValueError(f"no function {name!r}")
