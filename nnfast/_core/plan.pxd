# cython: cdivision=True
"""The plan of a network: the structs that the core shares, and the layout of its memory.

Start here.  Each file of the core cimports only files above it in this list:

    vectors      SIMD registers
    mathf        exp, log and others without branches; sums of rows
    matmul, activations, layers, losses, metrics, optimizers, gather      kernels
    team         threads in lockstep
    plan         these structs
    sparse       rows of x in CSR form
    forward      x -> z, a, loss, metrics
    backward     loss -> delta of every layer
    weights      delta -> gradient, optimizer step, constraints, panels
    network.pyx  the loop over batches, and the classes and functions that Python sees; it includes
                 rows.pxi, loss_kernel.pxi and functions.pxi

Names, in all files.  For one layer and `rows` rows:

    x        (rows, n_in)     inputs
    [W; b]   (k, n_out)       weights: kernel W (n_in, n_out) above bias b (1, n_out); k = n_in + 1
    z        (rows, n_out)    [x 1] [W; b] = x W + b
    a        (rows, n_out)    f(z), with the activation f: the x of the next layer
    delta    (rows, n_out)    d loss / d z

Structs and their lifetimes:

    Plan         the network: layers, weights, state, layout    as long as the Network
    Objective    loss and metrics                               from one `set_loss` to the next
    Optimizer    its kind, hyperparameters and state            from one `set_optimizer` to the next
    Penalties    L1 and L2 penalties                            from one `set_penalties` to the next
    Job          rows to work on, and what to do with them      one native call
    Work         a workspace and its packed weights             the Network's; or one native call
    Batch        what the step of one batch needs               one batch
    Entries      elements of sparse rows, sorted by column      one batch
    Threads      rows, status and memory of each thread         the team

A forward pass reads the plan, a job and a workspace.  Each call of evaluation or prediction has a
separate job and workspace, so many threads can predict with one network at the same time.

Memory.  Weights are one flat array.  b lies directly behind W, so [W; b] is one matrix of n_in + 1
rows: the bias is the weight of an input that is always 1.  gamma and beta of a normalization form
such a matrix with two rows, alpha of PReLU one with a single row.

    params   +---------------+---------+---------------+---------+----
             | W0 (n0, n1)   | b0 (n1) | W1 (n1, n2)   | b1 (n2) | ...          (n_params,)
             +---------------+---------+---------------+---------+----
    slots    the state of the optimizer: one array like params for each slot
    grads    like params; written only when something needs the whole gradient
    state    what layers keep and no optimizer changes: moving means and variances of batch
             normalization; shift, factor and offset of rescaling                (n_state,)
    moments  sums over the current batch, for batch normalization

The workspace is a sequence of blocks of `capacity` rows each.  A layer has a block for a; one for z
if the gradient of its activation reads z; one for the normalized input if it is a normalization.

    workspace  +---+-------+-------+-----+--------------+------------+---------------+----
               | x | a0 z0 | a1 z1 | ... | delta of the | targets y  | delta of the  | ...
               |   |       |       |     | last layer   |            | layer before  |
               +---+-------+-------+-----+--------------+------------+---------------+----
               '-- forward_size: evaluation, prediction -------------'
               '-- train_size ------------------------------------------------------------

    one row of a block  | a[0] ... a[n_out - 1] | 1 | padding |      `stride` elements, `padded_row`

    packed     for each layer: columns or panels of [W; b], then panels of W^T (matmul.pxd)
    scratch    for each thread: the gradient of a block of rows of [W; b], its transpose, and a copy
               of columns of x
    values     +----------------------+
               | loss of each row     |
               | metric 0 of each row |   (1 + n_metrics, capacity) float64, and a row for the
               | ...                  |   penalty on outputs if there is one
               +----------------------+

`tag`, in many functions, is a pointer that is never read.  Its type selects float or double.

The place of a row is its position in the order of training; `row_at` gives the caller's row there.
"""
from cython cimport floating
from libc.stdint cimport int64_t
from nnfast._core.layers cimport Layer
from nnfast._core.losses cimport Loss
from nnfast._core.optimizers cimport Step
from nnfast._core.team cimport Team, uint64

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
    """
    void* allocate "nn_allocate"(size_t size) noexcept nogil        # begins on a cache line
    void release "nn_release"(void* memory) noexcept nogil

cdef enum Status:
    STATUS_DONE
    STATUS_BAD_INPUT
    STATUS_BAD_TARGET
    STATUS_BAD_LOSS
    STATUS_BAD_GRADIENT
    STATUS_INTERRUPTED

cdef enum Reduction:
    REDUCE_MEAN             # loss of a batch: sum(weight * value) / rows that are not ignored
    REDUCE_SUM              # without the division
    REDUCE_WEIGHTED         # / sum(weight)

cdef enum Constraint:
    FREE
    NON_NEGATIVE
    MAX_NORM

# The first three are limits.  Most of the others are tuned sizes; benchmarks/README.md has
# measurements.  CHUNK and GROUP_ROWS also fix the order of sums: another value gives other bits.
cdef enum:
    MAX_THREADS = 64
    MAX_METRICS = 16
    MAX_SETTINGS = 4
    BLOCK_ROWS = 64         # rows of [W; b] whose gradient is computed, applied and repacked together,
    BLOCK_SIZE = 4096       # or more rows, up to this number of elements
    CHUNK = 512             # L1 penalties: absolute values are computed CHUNK elements at a time
    GROUP_ROWS = 16         # threads divide the rows of [W; b] in groups of whole registers
    SPAN_ROWS = 192         # most rows that pass all layers together: their activations stay in the cache
    BATCH_ROWS = 8192       # most rows of the workspace; longer batches add up their gradient
    PREFETCH_BYTES = 8192   # while one row is read, the row this far ahead in the order is prefetched
    FAR = 4096              # bytes of a row of W from which panels pay; at 2000 to 4000 they cost 6 to 9 % (batch 128)
    PANEL_ROWS = 96         # rows times threads from which panels pay; below, packing takes up to a fifth of a step
    LOSS_BLOCK = 8192       # elements of predictions whose loss LossKernel computes together
    SPARSE_AHEAD = 4        # for the element this far ahead in a sparse row, the row of W is prefetched
    SLACK = 64              # extra elements behind the parameters: a register may read past the last row


cdef struct Rows:               # a matrix of the caller, read in place
    const char* data            # first element
    Py_ssize_t row              # bytes from one row to the next
    Py_ssize_t step             # bytes from one column to the next
    int source                  # dtype, a code of gather.pxd
    const char* indices         # CSR: the column of each element of data; NULL for a dense matrix
    const char* starts          # CSR: (rows + 1,), where each row begins
    bint wide                   # indices and starts are int64, else int32


cdef struct Work:               # a workspace and its packed weights
    char* memory
    Py_ssize_t capacity         # rows
    char* packed
    bint has_panels             # packed holds the panels of [W; b]; it holds the columns in any case
    bint shared                 # several threads write the workspace and the weights


cdef struct Objective:
    Loss loss
    bint fused                  # the loss reads z of the last layer, not a
    int reduction
    bint whole                  # a PYTHON_FUNCTION returns loss and gradient of the batch: no mean, no weights here
    int n_metrics
    int metrics[MAX_METRICS]
    bint ordinal                # all metrics need only the order of the outputs, which softmax keeps
    bint limited                # targets must lie in [lowest, highest]
    double lowest
    double highest


cdef struct Optimizer:
    int kind
    double settings[MAX_SETTINGS]
    double weight_decay
    double* multipliers         # (n_rates,): factors of the learning rate; `rate_index` of a layer selects one
    int n_rates
    double clipvalue            # bound of each element of the gradient, 0 for none
    double clipnorm             # bound of the norm of the gradient of each kernel and bias, 0 for none
    double global_clipnorm      # bound of the norm of the whole gradient, 0 for none
    Py_ssize_t accumulate       # batches whose gradients are added up for one step
    double ema_momentum         # of the running mean of the weights
    Py_ssize_t ema_overwrite    # the mean replaces the weights every `ema_overwrite` steps; 0 is never
    Py_ssize_t accumulator      # offset in slots of the sum of gradients, or -1
    Py_ssize_t average          # offset in slots of the running mean of the weights, or -1
    bint deferred               # the step waits until the whole gradient is there
    char* slots                 # (n_slots, n_params): the state
    Py_ssize_t n_slots
    Py_ssize_t steps            # taken before the current job
    char* backup                # params, slots and state at the start of a range of batches


cdef struct Penalties:          # l1 |w| + l2 w^2
    bint on_weights
    bint on_outputs             # of some layers; `values` has a row for it, after the metrics
    bint by_rows                # divided like the loss of a batch: scikit-learn's alpha, not Keras' regularizers
    double* values              # (n,): one for each group of rows of W; their sum does not depend on the threads
    Py_ssize_t n


cdef struct Job:
    Rows x
    Rows y
    const int64_t* labels       # (rows,): in place of y for a sparse loss
    Py_ssize_t n_targets        # columns of y
    const double* weights       # (rows,): sample weights, or NULL
    const int64_t* order        # (n_rows,): the row at each place, or NULL
    Py_ssize_t n_rows
    Py_ssize_t batch_size
    Py_ssize_t start            # batches start..stop
    Py_ssize_t stop
    Py_ssize_t done             # first batch not trained on
    double learning_rate
    const double* rates         # (stop - start,): learning rate of each batch, or NULL: learning_rate for all
    bint update                 # take a step after each batch, else leave the gradient in grads
    bint check                  # stop at a loss or gradient that is not finite
    bint ignores                # some labels are below 0: these rows are left out of the mean
    uint64 seed                 # of the random elements of this pass over the data
    double* sums                # (1 + n_metrics,) and one for penalties: sums over all rows so far
    char* outputs               # (n_rows, n_out): the outputs at each place are written here, or NULL
    uint64 mode                 # floating-point mode of the caller


cdef struct Batch:              # written by thread 0, read by the others after the next barrier
    Step* steps                 # (n_rates,)
    bint stepping               # this batch ends with a step
    bint overwriting            # after the step the running mean replaces the weights
    double ema_momentum
    double* factors             # (n_layers, 2): of the gradient of each kernel and bias
    double penalty_scale        # factor of the penalties on weights
    Py_ssize_t first_place      # place of the first row in the workspace


cdef struct Entries:            # elements of the sparse rows of a batch; each thread sorts those of its rows of W
    Py_ssize_t* column_first    # (n_inputs,): first element of each column
    Py_ssize_t* column_last     # (n_inputs,): end of each column
    Py_ssize_t* row             # (capacity,): row of the workspace
    char* value                 # (capacity,)
    Py_ssize_t capacity


cdef struct Threads:
    # A status is written in one half of a step and read only after the barrier of that half, so
    # that all threads read the same.
    int rows_status[MAX_THREADS]
    int weights_status[MAX_THREADS]
    Py_ssize_t place[MAX_THREADS]       # of the row that rows_status is about
    Py_ssize_t* first_row       # (threads + 1, n_layers): thread t has rows first_row[t]..first_row[t + 1] of [W; b]
    char* scratch               # (n_scratch, scratch_size) bytes
    Py_ssize_t scratch_size
    Py_ssize_t copied           # offset of the copy of columns of x, in elements
    int n_scratch
    Team team


cdef struct Plan:
    bint is_double
    int n_layers
    Layer* layers               # (n_layers,)
    Py_ssize_t n_inputs
    Py_ssize_t input_stride     # elements of a row of x in the workspace; 0 for a network of sparse rows only
    bint sparse
    int first_trained           # first layer with weights: no delta goes further back
    bint has_batch_norm
    bint random                 # some layer draws random elements
    bint has_panels             # some layer has panels of [W; b] in packed
    bint has_columns            # some layer has columns of [W; b] in packed
    bint has_max_norm           # some weights have a bound on their norm
    char* params                # (n_params,)
    Py_ssize_t n_params
    char* grads                 # (n_params,), or NULL
    char* state                 # (n_state,)
    Py_ssize_t n_state
    char* moments               # (n_moments,)
    Py_ssize_t n_moments
    Py_ssize_t forward_size     # elements of a workspace for each row of capacity, for a forward pass and its loss
    Py_ssize_t train_size       # and for training
    Py_ssize_t packed_size
    Work work
    double* values              # (1 + n_metrics, capacity): loss and metrics of each row of the batch
    void* network               # the Network, for PYTHON_FUNCTION
    Objective objective
    Optimizer optimizer
    Penalties penalties
    Job job
    Batch batch
    Entries entries
    Threads threads


cdef inline floating* at(const Work* work, Py_ssize_t offset, Py_ssize_t stride, Py_ssize_t row,
                         const floating* tag) noexcept nogil:
    """Row `row` of the block of the workspace at `offset`."""
    return <floating*>work.memory + offset * work.capacity + row * stride


cdef inline Py_ssize_t row_at(const Job* job, Py_ssize_t place) noexcept nogil:
    """The caller's row at a place of the order."""
    return job.order[place] if job.order != NULL else place


cdef inline const floating* gamma_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """(n_out,): gamma of a normalization or alpha of PReLU; NULL if the layer has none."""
    return <const floating*>p.params + layer.kernel if layer.of_kernel > 0 else NULL


cdef inline const floating* beta_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """(n_out,): beta of a normalization; NULL if the layer has none."""
    if layer.k > layer.of_kernel:
        return <const floating*>p.params + layer.kernel + layer.of_kernel * layer.n_out
    return NULL


cdef inline const floating* state_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """(n_states, n_out): what the layer keeps and no optimizer changes."""
    return <const floating*>p.state + layer.state


cdef inline bint needs_whole_batch(const Plan* p) noexcept nogil:
    """Whether the workspace must hold a whole batch, for batch normalization or the loss."""
    return p.objective.whole or p.has_batch_norm


cdef inline Py_ssize_t first_column(Py_ssize_t n, int thread, int size) noexcept nogil:
    """First of the n columns that belong to `thread` of `size` threads.

    A thread has whole groups of GROUP_ROWS columns.
    """
    return min(n, GROUP_ROWS * ((n + GROUP_ROWS - 1) // GROUP_ROWS * thread // size))


cdef inline void record_bad_row(Plan* p, int status, Py_ssize_t place, int thread) noexcept nogil:
    """Records a problem with a row and the row's place; a thread keeps only its first problem."""
    if p.threads.rows_status[thread] == STATUS_DONE:
        p.threads.rows_status[thread] = status
        p.threads.place[thread] = place


cdef inline void record_bad_gradient(Plan* p, int thread) noexcept nogil:
    """Records that a gradient, or a weight after its step, is not finite."""
    if p.threads.weights_status[thread] == STATUS_DONE:
        p.threads.weights_status[thread] = STATUS_BAD_GRADIENT


cdef inline bint failed(const int* status, int size) noexcept nogil:
    """Whether a thread of the team has recorded a problem."""
    cdef int t
    for t in range(size):
        if status[t] != STATUS_DONE:
            return True
    return False
