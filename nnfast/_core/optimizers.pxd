"""Optimizer steps: one loop over a run of parameters, its gradient and its state.

Formulas and names are Keras'.  The state slots have the layout of the
parameters: momentum keeps its velocity in slot 0, Adam m and v in 0 and 1.
Scalars arrive as double and become the dtype of the model once, above the loop.

To add one: a kernel here, a name in `Optimizer`, a line in `optimizer_step` (and `step_rate`,
where the rate changes with the step) and `OPTIMIZERS` (network.pyx), a class in nnfast/optimizers.py.
"""
from cython cimport floating
from libc.math cimport sqrt as sqrt64
from nnfast._core.mathf cimport multiply_add, sqrt, fabs, power, INFINITY

cdef enum Optimizer:
    SGD
    MOMENTUM
    NESTEROV
    ADAM


cdef inline bint all_finite(const floating* x, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef int bad = 0
    for i in range(size):
        bad |= not (fabs(x[i]) < <floating>INFINITY)
    return bad == 0


cdef inline void sgd(floating* w, const floating* g, Py_ssize_t size, double learning_rate) noexcept nogil:
    """w <- w - lr g."""
    cdef floating rate = learning_rate
    cdef Py_ssize_t i
    for i in range(size):
        w[i] = w[i] - rate * g[i]


cdef inline void momentum(floating* w, const floating* g, floating* velocity, Py_ssize_t size, double learning_rate,
                          double momentum_) noexcept nogil:
    """velocity <- mu velocity - lr g; w <- w + velocity."""
    cdef floating rate = learning_rate, mu = momentum_, step
    cdef Py_ssize_t i
    for i in range(size):
        step = rate * g[i]
        velocity[i] = multiply_add(mu, velocity[i], -step)
        w[i] = w[i] + velocity[i]


cdef inline void nesterov(floating* w, const floating* g, floating* velocity, Py_ssize_t size, double learning_rate,
                          double momentum_) noexcept nogil:
    """velocity <- mu velocity - lr g; w <- w + mu velocity - lr g."""
    cdef floating rate = learning_rate, mu = momentum_, step
    cdef Py_ssize_t i
    for i in range(size):
        step = rate * g[i]
        velocity[i] = multiply_add(mu, velocity[i], -step)
        w[i] = w[i] + multiply_add(mu, velocity[i], -step)


cdef inline void adam(floating* w, const floating* g, floating* m, floating* v, Py_ssize_t size, double rate,
                      double beta_1, double beta_2, double epsilon) noexcept nogil:
    """m <- m + (g - m)(1 - b1); v <- v + (g^2 - v)(1 - b2); w <- w - rate m / (sqrt(v) + eps)."""
    cdef floating alpha = rate, rest_1 = 1 - beta_1, rest_2 = 1 - beta_2, eps = epsilon
    cdef Py_ssize_t i
    for i in range(size):
        m[i] = m[i] + (g[i] - m[i]) * rest_1
        v[i] = v[i] + (g[i] * g[i] - v[i]) * rest_2
        w[i] = w[i] - alpha * m[i] / (sqrt(v[i]) + eps)


cdef inline double step_rate(int kind, const double* settings, double learning_rate, Py_ssize_t step) noexcept nogil:
    """What the step multiplies by, once a step: Adam's is lr sqrt(1 - b2^t) / (1 - b1^t), t = step = 1, 2, ...

    (Kingma and Ba 2015, section 2, last form.)
    """
    if kind == ADAM:
        return learning_rate * sqrt64(1 - power(settings[1], step)) / (1 - power(settings[0], step))
    return learning_rate


cdef inline void optimizer_step(int kind, floating* w, const floating* g, floating* slots, Py_ssize_t slot_size,
                                Py_ssize_t size, const double* settings, double rate) noexcept nogil:
    """One step on `size` parameters; settings are the hyper-parameters in the order of the kernel's arguments."""
    if kind == SGD:
        sgd(w, g, size, rate)
    elif kind == MOMENTUM:
        momentum(w, g, slots, size, rate, settings[0])
    elif kind == NESTEROV:
        nesterov(w, g, slots, size, rate, settings[0])
    elif kind == ADAM:
        adam(w, g, slots, slots + slot_size, size, rate, settings[0], settings[1], settings[2])
