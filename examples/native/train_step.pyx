"""A step of training with the kernels of nnfast: one linear layer, the mean squared error, Adam.

Compile it with `python setup.py build_ext --inplace` in this folder.
"""
from cython cimport floating
from nnfast.kernels cimport (
    Loss, LossKind, OptimizerKind, Step, begin_step, loss_rows, optimizer_step, padded, panel_width, product)


def width_of(Py_ssize_t n, const floating[::1] tag):
    """Elements in a row of w, slots, z, delta and gradient that has n columns."""
    return padded(n, &tag[0])


def step(const floating[:, ::1] x, const floating[:, ::1] y, floating[:, ::1] w, floating[:, :, ::1] slots,
         floating[:, ::1] z, floating[:, ::1] delta, floating[:, ::1] gradient, double[::1] values, Py_ssize_t n_out,
         double learning_rate, Py_ssize_t t):
    """Moves w (n_in, width) and slots (2, n_in, width), Adam's m and v, by step t = 1, 2, ...

    values (rows,) become the losses before the step.  x is (rows, n_in); y, z and delta are
    (rows, width); gradient has the shape of w.  The first n_out of `width` columns count.
    """
    cdef Py_ssize_t rows = x.shape[0], n_in = x.shape[1], width = w.shape[1], size = n_in * width
    cdef Py_ssize_t panel = panel_width(&w[0, 0])
    cdef double[4] no_options = [0, 0, 0, 0]
    cdef double[4] settings = [0.9, 0.999, 1e-7, 0]
    cdef Loss loss = Loss(LossKind.MEAN_SQUARED_ERROR, &no_options[0], False, False, NULL, NULL)
    cdef Step numbers = Step(0, 0, 0, 0, 0, 0, 0, 0)
    with nogil:
        # z = x w
        product(&x[0, 0], n_in, 1, &w[0, 0], width, panel, &z[0, 0], width, rows, width, n_in, False)
        # delta = d loss / d z
        loss_rows(&loss, &y[0, 0], width, NULL, &z[0, 0], width, &delta[0, 0], &values[0], rows, n_out, 1. / rows)
        # gradient = x^T delta
        product(&x[0, 0], 1, n_in, &delta[0, 0], width, panel, &gradient[0, 0], width, n_in, width, rows, False)
        # w, m and v; Adam has no third slot
        begin_step(&numbers, OptimizerKind.ADAM, settings, 0., learning_rate, t)
        optimizer_step(OptimizerKind.ADAM, &w[0, 0], &gradient[0, 0], &slots[0, 0, 0], &slots[1, 0, 0],
                       <floating*>NULL, size, settings, &numbers)
