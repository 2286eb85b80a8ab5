"""The native face: the kernels under nnfast, for Cython code of your own.

    from nnfast.kernels cimport product, loss_rows, optimizer_step

Cython finds this file with `cythonize(..., include_path=[nnfast.get_include()])`.

These names stay; what they are made of, `nnfast._core`, may change.  All are `cdef inline ... noexcept nogil` functions
of pointers and sizes in float or double (`floating`), so they are compiled into the module that cimports them, for the
CPU and with the flags it is compiled for.

Rows are padded: y, z, delta, a gradient and W have rows of `padded(n, tag)` numbers for n columns (`tag` is any pointer
of the dtype), and what stands behind the n-th has no meaning.  x needs no padding.

    product           C (rows, width) <- A (rows, k) B (k, width), or added to C; width is padded
                      A in any strides: x W has (n_in, 1), x^T delta (1, n_in).  B by rows: b_row numbers from one to the
                      next, b_panel = panel_width(tag); or in the panels of `pack`: b_row = panel_width, b_panel = k panel_width
    pack, packed_size rows first..last of B of any strides into panels, and the numbers these take
    activate, activation_gradient      a <- f(z); delta <- delta f'(z), of z or of a (`keeps_input` says where z is read)
    loss_rows         value of each row in double, and scale times its gradient; labels (rows,) instead of y for sparse losses
    begin_step, optimizer_step         the numbers of step t = 1, 2, ...; w and its state by one step.  The Step is all zeros
                      before the first.  The state is three pointers, the slots of the kernel in the order of its arguments
                      and NULL for the rest: for Adam m, v, NULL.  Slots are zeros before the first step (Keras' Adagrad: 0.1)

The settings of a loss and of an optimizer are the hyper-parameters in the order of the kernel's arguments, which stands
in `_core/losses.pxd` and `_core/optimizers.pxd`: for Adam beta_1, beta_2, epsilon, and 0 or, for PyTorch's epsilon, 1.

Not here: layers without a product, such as dropout and normalisations.  Most of their kernels, in `_core/layers.pxd`, use the
padding of nnfast's own workspace, and who cimports one name of this file compiles them all.
"""
from nnfast._core.matmul cimport pack, packed_size, padded, panel_width, product
from nnfast._core.activations cimport (
    activate, activation_gradient, keeps_input, LINEAR, RELU, SIGMOID, TANH, SOFTMAX, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU,
    SOFTPLUS, SOFTSIGN, MISH, HARD_SIGMOID, EXPONENTIAL)
from nnfast._core.losses cimport (
    Loss, loss_rows, MEAN_SQUARED_ERROR, MEAN_ABSOLUTE_ERROR, MEAN_ABSOLUTE_PERCENTAGE_ERROR, MEAN_SQUARED_LOGARITHMIC_ERROR, HUBER,
    LOG_COSH, QUANTILE, EXPECTILE, KL_DIVERGENCE, POISSON, POISSON_LOG, GAMMA, TWEEDIE, HINGE, SQUARED_HINGE, BINARY_CROSSENTROPY,
    BINARY_CROSSENTROPY_LOGITS, BINARY_FOCAL_CROSSENTROPY, BINARY_FOCAL_CROSSENTROPY_LOGITS, GAUSSIAN_NLL, COSINE_SIMILARITY,
    CATEGORICAL_HINGE, CATEGORICAL_CROSSENTROPY, CATEGORICAL_CROSSENTROPY_LOGITS, CATEGORICAL_FOCAL_CROSSENTROPY,
    CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS, SPARSE_CATEGORICAL_CROSSENTROPY, SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS, TVERSKY)
from nnfast._core.optimizers cimport (
    Step, begin_step, optimizer_step, SGD, MOMENTUM, NESTEROV, RMSPROP, RMSPROP_MOMENTUM, RMSPROP_CENTERED, RMSPROP_CENTERED_MOMENTUM,
    ADAM, AMSGRAD, RADAM, ADAGRAD, ADADELTA, ADAMAX, NADAM, LION)
