# cython: cdivision=True
"""Optimizer steps: one loop over consecutive parameters w, their gradient g and their state.

Formulas and names are Keras' (3.15), for RAdam PyTorch's (2.13).  The slots of the state, at most
three, have the layout of the parameters and the order of the kernel's arguments.  Hyperparameters
arrive as double and are converted once, above the loop, to the dtype of the model.  `begin_step`
computes what changes from step to step, such as bias corrections, once per step and in double.

The lines that a new one needs are in CONTRIBUTING.md, "A new kind".
"""
from cython cimport floating
from libc.math cimport sqrt as sqrt64
from nnfast._core.mathf cimport multiply_add, sqrt, fabs, copysign, power, INFINITY

cdef enum OptimizerKind:
    SGD
    MOMENTUM
    NESTEROV
    RMSPROP
    RMSPROP_MOMENTUM
    RMSPROP_CENTERED
    RMSPROP_CENTERED_MOMENTUM
    ADAM
    AMSGRAD
    RADAM
    ADAGRAD
    ADADELTA
    ADAMAX
    NADAM
    LION

cdef inline dict optimizer_codes():
    """Optimizers by name: (kind, slots of their state)."""
    return {
        "sgd": (SGD, 0), "momentum": (MOMENTUM, 1), "nesterov": (NESTEROV, 1), "rmsprop": (RMSPROP, 1),
        "rmsprop_momentum": (RMSPROP_MOMENTUM, 2), "rmsprop_centered": (RMSPROP_CENTERED, 2),
        "rmsprop_centered_momentum": (RMSPROP_CENTERED_MOMENTUM, 3), "adam": (ADAM, 2), "amsgrad": (AMSGRAD, 3),
        "radam": (RADAM, 2), "adagrad": (ADAGRAD, 1), "adadelta": (ADADELTA, 2), "adamax": (ADAMAX, 2),
        "nadam": (NADAM, 2), "lion": (LION, 1),
    }


cdef struct Step:               # what one step needs besides weights, gradient and slots
    double decay                # of the weights, before the update: learning rate * weight decay
    double rate
    double epsilon
    double root                 # RADAM: 0 while rho_t <= 5, else 1
    double of_m                 # NADAM: shares of the momentum and of the gradient in the update
    double of_g
    double product              # NADAM: product of 1 - 0.96^i / 2 for steps i up to `product_step`
    Py_ssize_t product_step


cdef inline bint all_finite(const floating* x, Py_ssize_t size) noexcept nogil:
    """Whether no element of x (size,) is NaN or infinite."""
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


cdef inline void rmsprop(floating* w, const floating* g, floating* v, floating* mean, floating* velocity,
                         Py_ssize_t size, double rate_, double rho_, double epsilon, double momentum_, bint centered,
                         bint moving) noexcept nogil:
    """v <- rho v + (1 - rho) g^2; velocity <- mu velocity + rate g / sqrt(v - mean^2 + eps);
    w <- w - velocity.

    `mean`, the same average of g, exists only if `centered`, `velocity` only if `moving`.  Both
    flags are constants, so each of the four forms is a loop without branches.  v - mean^2 is kept
    at 0 or more: rounding can make it smaller, and below -eps Keras' root is NaN.
    """
    cdef floating rate = rate_, rho = rho_, rest = 1 - rho_, eps = epsilon, mu = momentum_, spread, step
    cdef Py_ssize_t i
    for i in range(size):
        v[i] = multiply_add(rho, v[i], rest * (g[i] * g[i]))
        spread = v[i]
        if centered:
            mean[i] = multiply_add(rho, mean[i], rest * g[i])
            spread = multiply_add(-mean[i], mean[i], spread)
            spread = 0 if spread < 0 else spread
        step = rate * g[i] / sqrt(spread + eps)
        if moving:
            velocity[i] = multiply_add(mu, velocity[i], step)
        else:
            w[i] = w[i] - step
    if moving:          # a separate loop: the compiler cannot see that none of five arrays overlaps
        for i in range(size):
            w[i] = w[i] - velocity[i]


cdef inline void adam(floating* w, const floating* g, floating* m, floating* v, Py_ssize_t size, double rate,
                      double beta_1, double beta_2, double root_, double epsilon) noexcept nogil:
    """m <- m + (g - m)(1 - b1); v <- v + (g^2 - v)(1 - b2);
    w <- w - rate m / (root sqrt(v) + eps).
    """
    cdef floating alpha = rate, rest_1 = 1 - beta_1, rest_2 = 1 - beta_2, root = root_, eps = epsilon
    cdef Py_ssize_t i
    for i in range(size):
        m[i] = m[i] + (g[i] - m[i]) * rest_1
        v[i] = v[i] + (g[i] * g[i] - v[i]) * rest_2
        w[i] = w[i] - alpha * m[i] / multiply_add(root, sqrt(v[i]), eps)


cdef inline void amsgrad(floating* w, const floating* g, floating* m, floating* v, floating* most, Py_ssize_t size,
                         double rate, double beta_1, double beta_2, double epsilon) noexcept nogil:
    """m and v as in adam; most <- max(most, v); w <- w - rate m / (sqrt(most) + eps).

    Reddi, Kale and Kumar 2018.
    """
    cdef floating alpha = rate, rest_1 = 1 - beta_1, rest_2 = 1 - beta_2, eps = epsilon
    cdef Py_ssize_t i
    for i in range(size):
        m[i] = m[i] + (g[i] - m[i]) * rest_1
        v[i] = v[i] + (g[i] * g[i] - v[i]) * rest_2
        most[i] = most[i] if most[i] > v[i] else v[i]
        w[i] = w[i] - alpha * m[i] / (sqrt(most[i]) + eps)


cdef inline void adagrad(floating* w, const floating* g, floating* sum, Py_ssize_t size, double rate_,
                         double epsilon) noexcept nogil:
    """sum <- sum + g^2; w <- w - rate g / sqrt(sum + eps)."""
    cdef floating rate = rate_, eps = epsilon
    cdef Py_ssize_t i
    for i in range(size):
        sum[i] = sum[i] + g[i] * g[i]
        w[i] = w[i] - rate * g[i] / sqrt(sum[i] + eps)


cdef inline void adadelta(floating* w, const floating* g, floating* v, floating* d, Py_ssize_t size, double rate_,
                          double rho_, double epsilon) noexcept nogil:
    """v <- rho v + (1 - rho) g^2; step = sqrt((d + eps) / (v + eps)) g;
    d <- rho d + (1 - rho) step^2; w <- w - rate step.
    """
    cdef floating rate = rate_, rho = rho_, rest = 1 - rho_, eps = epsilon, step
    cdef Py_ssize_t i
    for i in range(size):
        v[i] = multiply_add(rho, v[i], rest * (g[i] * g[i]))
        step = sqrt((d[i] + eps) / (v[i] + eps)) * g[i]
        d[i] = multiply_add(rho, d[i], rest * (step * step))
        w[i] = w[i] - rate * step


cdef inline void adamax(floating* w, const floating* g, floating* m, floating* u, Py_ssize_t size, double rate_,
                        double beta_1, double beta_2, double epsilon) noexcept nogil:
    """m <- m + (g - m)(1 - b1); u <- max(b2 u, |g|); w <- w - rate m / (u + eps)."""
    cdef floating rate = rate_, rest_1 = 1 - beta_1, keep = beta_2, eps = epsilon, before, now
    cdef Py_ssize_t i
    for i in range(size):
        m[i] = m[i] + (g[i] - m[i]) * rest_1
        before = keep * u[i]
        now = fabs(g[i])
        u[i] = before if before > now else now
        w[i] = w[i] - rate * m[i] / (u[i] + eps)


cdef inline void nadam(floating* w, const floating* g, floating* m, floating* v, Py_ssize_t size, double beta_1,
                       double beta_2, double of_m_, double of_g_, double epsilon) noexcept nogil:
    """m and v as in adam; w <- w - (of_m m + of_g g) / (sqrt(v) + eps)."""
    cdef floating rest_1 = 1 - beta_1, rest_2 = 1 - beta_2, of_m = of_m_, of_g = of_g_, eps = epsilon
    cdef Py_ssize_t i
    for i in range(size):
        m[i] = m[i] + (g[i] - m[i]) * rest_1
        v[i] = v[i] + (g[i] * g[i] - v[i]) * rest_2
        w[i] = w[i] - multiply_add(of_m, m[i], of_g * g[i]) / (sqrt(v[i]) + eps)


cdef inline void lion(floating* w, const floating* g, floating* m, Py_ssize_t size, double rate_, double beta_1,
                      double beta_2) noexcept nogil:
    """c = b1 m + (1 - b1) g; w <- w - rate sign(c); m <- b2 m + (1 - b2) g (Chen et al. 2023).

    c - c is 0 if c is finite, else NaN: without it the sign would hide a bad gradient.
    """
    cdef floating rate = rate_, b1 = beta_1, b2 = beta_2, rest_1 = 1 - beta_1, rest_2 = 1 - beta_2, c, step
    cdef Py_ssize_t i
    for i in range(size):
        c = multiply_add(b1, m[i], rest_1 * g[i])
        step = copysign(rate, c)
        step = 0 if c == 0 else step
        w[i] = w[i] - (step + (c - c))
        m[i] = multiply_add(b2, m[i], rest_2 * g[i])


cdef inline void decay_weights(floating* w, Py_ssize_t size, double decay) noexcept nogil:
    """w <- w - decay w.

    Not (1 - decay) w: in float32 that factor loses digits of a small decay.
    """
    cdef floating factor = -decay
    cdef Py_ssize_t i
    for i in range(size):
        w[i] = multiply_add(factor, w[i], w[i])


cdef inline void clip(floating* g, Py_ssize_t size, double most) noexcept nogil:
    """g <- g bounded to [-most, most]; NaN stays NaN."""
    cdef floating high = most, low = -most
    cdef Py_ssize_t i
    for i in range(size):
        g[i] = high if g[i] > high else low if g[i] < low else g[i]


cdef inline double squares(const floating* x, Py_ssize_t size) noexcept nogil:
    """Sum of x^2, in 16 partial sums: every CPU level adds in the same order."""
    cdef double sums[16]
    cdef double number, total = 0
    cdef Py_ssize_t i = 0
    cdef int lane
    for lane in range(16):
        sums[lane] = 0
    while i + 16 <= size:
        for lane in range(16):
            number = x[i + lane]
            sums[lane] = multiply_add(number, number, sums[lane])
        i += 16
    for lane in range(16):
        total += sums[lane]
    while i < size:
        number = x[i]
        total = multiply_add(number, number, total)
        i += 1
    return total


cdef inline void average_weights(floating* w, floating* average, Py_ssize_t size, double momentum_,
                                 bint overwrite) noexcept nogil:
    """average <- mu average + (1 - mu) w, and with `overwrite` w <- average."""
    cdef floating mu = momentum_, rest = 1 - momentum_
    cdef Py_ssize_t i
    for i in range(size):
        average[i] = multiply_add(mu, average[i], rest * w[i])
    if overwrite:
        for i in range(size):
            w[i] = average[i]


cdef inline double momentum64(double beta_1, Py_ssize_t t) noexcept nogil:
    """Nadam's momentum of step t."""
    return beta_1 * (1 - 0.5 * power(0.96, t))


cdef inline void begin_step(Step* step, int kind, const double* settings, double weight_decay, double learning_rate,
                            Py_ssize_t t) noexcept nogil:
    """Computes the Step of step t = 1, 2, ...

    ADAM     rate = lr sqrt(1 - b2^t) / (1 - b1^t).  eps is used as given (epsilon hat of Kingma and
             Ba 2015, section 2); if settings[3] is not 0, times sqrt(1 - b2^t) (their algorithm 1,
             PyTorch).  The same for AMSGRAD.
    RADAM    while rho_t <= 5, w <- w - lr / (1 - b1^t) m; then Adam's rate times the rectification
             r of Liu et al. 2020
    ADAMAX   rate = lr / (1 - b1^t)
    NADAM    Dozat 2016, with its momentum schedule u_t = b1 (1 - 0.96^t / 2)
    others   rate = lr
    """
    cdef double root, rho, rho_t, u, u_next, product
    step.decay = learning_rate * weight_decay
    step.rate = learning_rate
    step.root = 1
    if kind == ADAM or kind == AMSGRAD or kind == RADAM or kind == NADAM:
        root = sqrt64(1 - power(settings[1], t))
        step.epsilon = settings[2]
        step.rate = learning_rate * root
        if kind == NADAM:
            step.epsilon *= root
            if t < step.product_step:
                step.product_step = 0
            if step.product_step == 0:
                step.product = 1
            # from step 901 on a factor is 1: 0.96^901 < 2^-53
            while step.product_step < t and step.product_step < 1000:
                step.product_step += 1
                step.product *= momentum64(1, step.product_step)
            u = momentum64(settings[0], t)
            u_next = momentum64(settings[0], t + 1)
            product = step.product * power(settings[0], t)
            step.of_m = step.rate * u_next / (1 - product * u_next)
            step.of_g = step.rate * (1 - u) / (1 - product)
            return
        step.rate /= 1 - power(settings[0], t)
        if settings[3] != 0:
            step.epsilon *= root
        if kind == RADAM:
            rho = (1. + settings[1]) / (1. - settings[1])
            rho_t = rho - 2 * t * power(settings[1], t) / (1 - power(settings[1], t))
            if rho_t > 5:
                step.rate *= sqrt64((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t))
            else:
                step.rate = learning_rate / (1 - power(settings[0], t))
                step.root, step.epsilon = 0, 1
    elif kind == ADAMAX:
        step.rate = learning_rate / (1 - power(settings[0], t))


cdef inline void optimizer_step(int kind, floating* w, const floating* g, floating* first, floating* second,
                                floating* third, Py_ssize_t size, const double* settings,
                                const Step* step) noexcept nogil:
    """One step on `size` parameters and the slots of the kernel.

    `settings` are the hyperparameters in the order of the kernel's arguments.
    """
    if step.decay != 0:
        decay_weights(w, size, step.decay)
    if kind == SGD:
        sgd(w, g, size, step.rate)
    elif kind == MOMENTUM:
        momentum(w, g, first, size, step.rate, settings[0])
    elif kind == NESTEROV:
        nesterov(w, g, first, size, step.rate, settings[0])
    elif kind == RMSPROP:
        rmsprop(w, g, first, <floating*>NULL, <floating*>NULL, size, step.rate, settings[0], settings[1], 0,
                False, False)
    elif kind == RMSPROP_MOMENTUM:
        rmsprop(w, g, first, <floating*>NULL, second, size, step.rate, settings[0], settings[1], settings[2],
                False, True)
    elif kind == RMSPROP_CENTERED:
        rmsprop(w, g, first, second, <floating*>NULL, size, step.rate, settings[0], settings[1], 0, True, False)
    elif kind == RMSPROP_CENTERED_MOMENTUM:
        rmsprop(w, g, first, second, third, size, step.rate, settings[0], settings[1], settings[2], True, True)
    elif kind == ADAM or kind == RADAM:
        adam(w, g, first, second, size, step.rate, settings[0], settings[1], step.root, step.epsilon)
    elif kind == AMSGRAD:
        amsgrad(w, g, first, second, third, size, step.rate, settings[0], settings[1], step.epsilon)
    elif kind == ADAGRAD:
        adagrad(w, g, first, size, step.rate, settings[0])
    elif kind == ADADELTA:
        adadelta(w, g, first, second, size, step.rate, settings[0], settings[1])
    elif kind == ADAMAX:
        adamax(w, g, first, second, size, step.rate, settings[0], settings[1], settings[2])
    elif kind == NADAM:
        nadam(w, g, first, second, size, settings[0], settings[1], step.of_m, step.of_g, step.epsilon)
    elif kind == LION:
        lion(w, g, first, size, step.rate, settings[0], settings[1])
