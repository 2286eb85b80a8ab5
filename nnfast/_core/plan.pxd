# cython: cdivision=True
"""The plan of a network: structs without methods, each for one lifetime, and where their memory lies.

    Plan         the network: layers, weights, state, the layout of the workspace        as long as the Network
    Objective    loss and metrics                                                        from one `set_loss` to the next
    Optimizer    its kind, hyper-parameters and state                                    from one `set_optimizer` to the next
    Job          rows to work on, and what to do with them                               one native call
    Batch        what the step of this batch needs                                       one batch
    Threads      what each thread has met, and its memory                                the team

A forward pass reads the plan, a job and a workspace: evaluation and prediction bring a job and a workspace of their own, so
that many threads may predict with one network.

The rooms of the core, each of which reads only those before it:

    matmul, activations, layers, losses, metrics, optimizers, gather, team      kernels
    plan         these structs
    sparse       rows of x in CSR form
    forward      x -> z, a, loss, metrics
    backward     loss -> delta of every layer
    weights      delta -> gradient, step, constraints, panels
    network.pyx  the loop over batches, and the face to Python
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
    void* allocate "nn_allocate"(size_t size) noexcept nogil
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

cdef enum:
    MAX_THREADS = 64
    MAX_METRICS = 16
    MAX_SETTINGS = 4
    BLOCK_ROWS = 64         # rows of [W; b] whose gradient is made, applied and repacked together,
    BLOCK_SIZE = 4096       # or as many as have this number of elements
    CHUNK = 512             # absolute values are made CHUNK elements at a time
    GROUP_ROWS = 16         # threads share rows of [W; b] in groups of whole registers
    SPAN_ROWS = 192         # rows at most that are taken through all layers together: their activations stay in the cache
    BATCH_ROWS = 8192       # rows of a batch in the workspace at once; longer batches accumulate their gradient
    PREFETCH_BYTES = 8192   # rows this far ahead in the order are on their way to the cache while one is read
    FAR = 4096              # bytes between rows of W from which panels of it pay: at 2000 to 4000 they cost 6 to 9 % (batch 128),
    PANEL_ROWS = 96         # and rows of a batch times threads: packing costs 1024 x 1024 up to a fifth of a step of fewer
    BLOCK_NUMBERS = 8192    # elements of predictions whose loss LossKernel takes together
    SPARSE_AHEAD = 4        # elements of a sparse row this far ahead have their row of W on its way to the cache
    SLACK = 64              # elements after the parameters that a register may read past the last row


cdef struct Rows:               # a matrix of the caller's, read where it lies
    const char* data
    Py_ssize_t row              # bytes from one row to the next
    Py_ssize_t step             # bytes from one column to the next
    int source                  # dtype, a code of gather.pxd
    const char* indices         # CSR: the column of each element of data, and where each row begins; else NULL
    const char* starts
    bint wide                   # indices and starts are int64, else int32


cdef struct Work:               # a workspace
    char* memory
    Py_ssize_t capacity         # rows
    char* packed
    bint has_panels             # of [W; b]; its columns are always there


cdef struct Objective:
    Loss loss
    bint fused                  # the loss works on z of the last layer
    int reduction
    bint whole                  # PYTHON_FUNCTION gives loss and gradient of the batch: no mean, no weights
    int n_metrics
    int metrics[MAX_METRICS]
    bint ordinal                # no metric needs more of the outputs than their order, which softmax keeps
    bint limited                # the loss has targets in [lowest, highest] only
    double lowest
    double highest


cdef struct Optimizer:
    int kind
    double settings[MAX_SETTINGS]
    double weight_decay
    double* multipliers         # (n_rates,): of the learning rate; `rate_index` of a layer says which is its own
    int n_rates
    double clipvalue            # bounds of the gradient, or 0: of an element, of the norm of a kernel or bias, of the norm of all
    double clipnorm
    double global_clipnorm
    Py_ssize_t accumulate       # batches whose gradients are added up for one step
    double ema_momentum         # of the running mean of the weights
    Py_ssize_t ema_overwrite    # the mean becomes the weights every `ema_overwrite` steps; 0: never
    Py_ssize_t accumulator      # offsets in slots of the sum of gradients and of the running mean, or -1
    Py_ssize_t average
    bint held                   # the step waits until the whole gradient is there
    char* slots                 # (n_slots, n_params): the state
    Py_ssize_t n_slots
    Py_ssize_t steps            # taken so far
    char* backup                # params, slots and state at the start of a range


cdef struct Penalties:          # l1 |w| + l2 w^2
    bint on_weights
    bint on_outputs             # of some layers: the sum of each row stands behind the metrics in `values`
    bint by_rows                # divided as the loss of a batch is: scikit-learn's alpha, not Keras' regularizers
    double* values              # by groups of rows of W, so that their sum does not depend on the threads
    Py_ssize_t n


cdef struct Job:
    Rows x
    Rows y
    const int64_t* labels       # instead of y for a sparse loss
    Py_ssize_t n_targets        # columns of y
    const double* weights       # of rows, or NULL
    const int64_t* order        # of rows, or NULL
    Py_ssize_t n_rows
    Py_ssize_t batch_size
    Py_ssize_t start            # batches start..stop
    Py_ssize_t stop
    Py_ssize_t done             # first batch not trained on
    double learning_rate
    const double* rates         # of each batch, or NULL: learning_rate for all
    bint update                 # else the gradient is left in grads
    bint check                  # stop at a loss or gradient that is not finite
    bint ignores                # some labels are below 0: those rows are left out of the mean
    uint64 seed                 # of the random elements of this pass over the data
    double* sums                # loss and metrics of all rows so far, and the penalties of batches times their rows
    char* outputs               # (n_rows, n_out): where the outputs of each place of the order go, or NULL
    uint64 mode                 # floating-point mode of the caller


cdef struct Batch:              # written by thread 0, read by the others behind the next barrier
    Step* steps                 # (n_rates,)
    bint stepping               # this batch ends with a step,
    bint overwriting            # after which the running mean becomes the weights
    double ema_momentum
    double* factors             # (n_layers, 2): of the gradient of each kernel and bias
    double penalty_scale
    Py_ssize_t first_place      # place in the order of the first row in the workspace


cdef struct Entries:            # elements of the sparse rows of a batch by their columns: each thread sorts those of its rows of W
    Py_ssize_t* column_first    # (n_inputs,): first and last element of each column
    Py_ssize_t* column_last
    Py_ssize_t* row             # of the workspace
    char* value
    Py_ssize_t room


cdef struct Threads:            # met in one half, read after the barrier of that half only, so that all threads read the same
    int rows_status[MAX_THREADS]
    int weights_status[MAX_THREADS]
    Py_ssize_t place[MAX_THREADS]
    Py_ssize_t* first_row       # (threads + 1, n_layers): of [W; b]
    char* scratch               # padded rows of a block for each thread
    Py_ssize_t scratch_size
    int with_scratch            # threads that have one
    Team team


cdef struct Plan:
    bint is_double
    int n_layers
    Layer* layers
    Py_ssize_t n_inputs
    Py_ssize_t input_stride     # 0 for a network that reads sparse rows alone
    bint sparse
    int first_trained           # first layer with weights: no delta goes further back
    bint has_batch_norm
    bint random                 # some layer draws random elements
    bint has_panels             # of [W; b] in packed
    bint has_columns
    bint has_max_norm           # some weights have a bound on their norm
    char* params
    Py_ssize_t n_params
    char* grads
    char* state
    Py_ssize_t n_state
    char* moments
    Py_ssize_t n_moments
    Py_ssize_t forward_size     # of a workspace row, for a forward pass and its loss
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


cdef inline floating* at(const Work* work, Py_ssize_t offset, Py_ssize_t stride, Py_ssize_t row, const floating* tag) noexcept nogil:
    """Row `row` of the block of the workspace at `offset`."""
    return <floating*>work.memory + offset * work.capacity + row * stride


cdef inline Py_ssize_t row_at(const Job* job, Py_ssize_t place) noexcept nogil:
    """The caller's row at a place of the order."""
    return job.order[place] if job.order != NULL else place


cdef inline const floating* gamma_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """The factors of a normalisation, or the slopes of PReLU; or NULL."""
    return <const floating*>p.params + layer.kernel if layer.of_kernel > 0 else NULL


cdef inline const floating* beta_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """The offsets of a normalisation, or NULL."""
    return <const floating*>p.params + layer.kernel + layer.of_kernel * layer.n_out if layer.k > layer.of_kernel else NULL


cdef inline const floating* state_of(const Plan* p, const Layer* layer, const floating* tag) noexcept nogil:
    """What a layer knows and no optimizer moves."""
    return <const floating*>p.state + layer.state


cdef inline bint at_once(const Plan* p) noexcept nogil:
    """Whether the workspace must hold a batch of any length, for something looks at all of its rows."""
    return p.objective.whole or p.has_batch_norm


cdef inline void note(Plan* p, int status, Py_ssize_t place, int thread) noexcept nogil:
    """What a thread has met first in its rows."""
    if p.threads.rows_status[thread] == STATUS_DONE:
        p.threads.rows_status[thread] = status
        p.threads.place[thread] = place


cdef inline void spoil(Plan* p, int thread) noexcept nogil:
    """A gradient, or a weight after its step, is not finite."""
    if p.threads.weights_status[thread] == STATUS_DONE:
        p.threads.weights_status[thread] = STATUS_BAD_GRADIENT


cdef inline bint failed(const int* status, int size) noexcept nogil:
    """Whether a thread of the team has met something."""
    cdef int t
    for t in range(size):
        if status[t] != STATUS_DONE:
            return True
    return False
