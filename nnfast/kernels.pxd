"""The native interface: the kernels under nnfast, for your own Cython code.

    from nnfast.kernels cimport OptimizerKind, optimizer_step, product      # OptimizerKind.ADAM

Cython finds this file with `cythonize(..., include_path=[nnfast.get_include()])`.

These names stay; everything else in `nnfast._core` may change.  The functions are `cdef inline ...
noexcept nogil` and take pointers to float or double (`floating`) and sizes.  They are compiled into
the module that cimports them, with the flags of that module.

Rows are padded: y, z, delta, a gradient and W have rows of `padded(n, tag)` elements for n columns
(`tag` is any pointer of the dtype).  Elements after the n-th have no meaning.  x needs no padding.

    product           C (rows, width) <- A (rows, k) B (k, width), or added to C; width is padded.
                      A has any strides: x W has (n_in, 1), x^T delta (1, n_in).  B is read by
                      rows, b_row elements apart, with b_panel = panel_width(tag); or in the
                      panels of `pack`, with b_row = panel_width and b_panel = k panel_width
    pack              copies rows first..last of B, of any strides, into panels
    packed_size       elements of these panels
    activate          a <- f(z)
    activation_gradient
                      delta <- delta f'(z), from z or from a (`keeps_input`: whether from z)
    loss_rows         value of each row in double, and scale times its gradient; sparse losses
                      take labels (rows,) instead of y
    begin_step        computes the Step of step t = 1, 2, ...; it is all zeros before the first
    optimizer_step    moves w and its state by one step.  The state is three pointers: the slots of
                      the kernel in the order of its arguments, then NULL; for Adam m, v, NULL.
                      Slots are zeros before the first step (Keras' Adagrad: 0.1)

The enums Activation, LossKind and OptimizerKind hold the kinds, e.g. Activation.RELU,
LossKind.HUBER, OptimizerKind.ADAM.  The files of `_core` named below list them.

The settings of a loss and of an optimizer are its hyperparameters in the order of the kernel's
arguments, in `_core/losses.pxd` and `_core/optimizers.pxd`.  For Adam: beta_1, beta_2, epsilon, and
0, or 1 for PyTorch's epsilon.

Not here: layers without a product, such as dropout and normalizations.  Most of their kernels, in
`_core/layers.pxd`, use the padding of nnfast's own workspace.
"""
from nnfast._core.activations cimport Activation, activate, activation_gradient, keeps_input
from nnfast._core.losses cimport Loss, LossKind, loss_rows
from nnfast._core.matmul cimport pack, packed_size, padded, panel_width, product
from nnfast._core.optimizers cimport OptimizerKind, Step, begin_step, optimizer_step
