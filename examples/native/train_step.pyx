"""A step of training with the kernels of nnfast: one linear layer, the mean squared error, Adam.

Compile it with `python setup.py build_ext --inplace` in this folder.
"""
from cython cimport floating
from nnfast.kernels cimport ADAM, MEAN_SQUARED_ERROR, Loss, Step, begin_step, loss_rows, optimizer_step, padded, panel_width, product


def width_of(Py_ssize_t n, const floating[::1] tag):
    """Numbers in a row of n columns of w, slots, z, delta and gradient."""
    return padded(n, &tag[0])


def step(const floating[:, ::1] x, const floating[:, ::1] y, floating[:, ::1] w, floating[:, :, ::1] slots, floating[:, ::1] z,
         floating[:, ::1] delta, floating[:, ::1] gradient, double[::1] values, Py_ssize_t n_out, double learning_rate, Py_ssize_t t):
    """w (n_in, width) and Adam's m and v, slots (2, n_in, width), by step t = 1, 2, ...; values (rows,) are the losses before it.

    x is (rows, n_in); y, z and delta are (rows, width), gradient is as w; the first n_out columns count.
    """
    cdef Py_ssize_t rows = x.shape[0], n_in = x.shape[1], width = w.shape[1], size = n_in * width
    cdef Py_ssize_t panel = panel_width(&w[0, 0])
    cdef double[4] no_options = [0, 0, 0, 0]
    cdef double[4] settings = [0.9, 0.999, 1e-7, 0]
    cdef Loss loss = Loss(MEAN_SQUARED_ERROR, &no_options[0], False, False, NULL, NULL)
    cdef Step numbers = Step(0, 0, 0, 0, 0, 0, 0, 0)
    with nogil:
        product(&x[0, 0], n_in, 1, &w[0, 0], width, panel, &z[0, 0], width, rows, width, n_in, False)               # z = x w
        loss_rows(&loss, &y[0, 0], width, NULL, &z[0, 0], width, &delta[0, 0], &values[0], rows, n_out, 1. / rows)  # delta = d loss / d z
        product(&x[0, 0], 1, n_in, &delta[0, 0], width, panel, &gradient[0, 0], width, n_in, width, rows, False)    # gradient = x^T delta
        begin_step(&numbers, ADAM, settings, 0., learning_rate, t)
        # m and v; Adam has no third slot
        optimizer_step(ADAM, &w[0, 0], &gradient[0, 0], &slots[0, 0, 0], &slots[1, 0, 0], <floating*>NULL, size, settings, &numbers)
