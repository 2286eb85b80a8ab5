"""Low-level functions of NumPy arrays: dense layers, activations, losses and optimizer steps.

Every function takes float32 or float64 (integers become float64, float16 becomes float32), works
on rows along the last axis and returns NumPy arrays.  `out` is the array to write to; it must be
C-contiguous and have the shape and dtype of the result.  For each activation `f(z)` there is
`f_gradient(z, delta)` = delta * f'(z).  For each loss `l(y_true, y_pred)`, a value per sample,
there is `l_gradient(y_true, y_pred)`, the gradient of each sample's value.

An optimizer step changes params and the state of the optimizer in place.  These arrays have one
shape, which may be any: e.g. the shape of a kernel, or one vector for all weights of a network.
Formulas and defaults are those of `nnfast.optimizers`.  If `weight_decay` is not 0, params are
first multiplied by 1 - learning_rate weight_decay, which does not change the gradient (Loshchilov
and Hutter 2019).

Where the loss acts in training, in four lines:

>>> import numpy as np
>>> from nnfast import functional as F
>>> x, y, w = np.array([[1., 2.]]), np.array([[1.]]), np.array([[.5], [.25]])
>>> prediction = F.dense_forward(x, w)
>>> error = prediction - y                                  # a vector
>>> loss = F.mean_squared_error(y, prediction)              # one number per sample
>>> delta = F.mean_squared_error_gradient(y, prediction)    # starts backpropagation
>>> d_x, d_w, d_b = F.dense_backward(x, w, delta)
>>> F.sgd_step(w, d_w, learning_rate=0.1)
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check, activations, optimizers
from nnfast._core import network as core

from nnfast.activations import (  # isort: skip
    elu, elu_gradient, exponential, exponential_gradient, gelu, gelu_gradient, gelu_tanh, gelu_tanh_gradient,
    hard_sigmoid, hard_sigmoid_gradient, leaky_relu, leaky_relu_gradient, linear, linear_gradient, mish, mish_gradient,
    relu, relu_gradient, selu, selu_gradient, sigmoid, sigmoid_gradient, silu, silu_gradient, softmax, softmax_gradient,
    softplus, softplus_gradient, softsign, softsign_gradient, tanh, tanh_gradient)
from nnfast.losses import (  # isort: skip
    binary_crossentropy, binary_crossentropy_gradient, binary_focal_crossentropy, binary_focal_crossentropy_gradient,
    categorical_crossentropy, categorical_crossentropy_gradient, categorical_focal_crossentropy,
    categorical_focal_crossentropy_gradient, categorical_hinge, categorical_hinge_gradient, cosine_similarity,
    cosine_similarity_gradient, dice, dice_gradient, expectile, expectile_gradient, gamma, gamma_gradient, gaussian_nll,
    gaussian_nll_gradient, hinge, hinge_gradient, huber, huber_gradient, kl_divergence, kl_divergence_gradient,
    log_cosh, log_cosh_gradient, mean_absolute_error, mean_absolute_error_gradient, mean_absolute_percentage_error,
    mean_absolute_percentage_error_gradient, mean_squared_error, mean_squared_error_gradient,
    mean_squared_logarithmic_error, mean_squared_logarithmic_error_gradient, poisson, poisson_gradient, quantile,
    quantile_gradient, smooth_l1, smooth_l1_gradient, sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_gradient, squared_hinge, squared_hinge_gradient, tversky, tversky_gradient, tweedie,
    tweedie_gradient)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "dense_forward", "dense_backward",
    "sgd_step", "rmsprop_step", "adam_step", "adagrad_step", "adadelta_step", "adamax_step", "nadam_step", "lion_step",
    "radam_step",
    "mean_squared_error", "mean_squared_error_gradient", "mean_absolute_error", "mean_absolute_error_gradient",
    "mean_absolute_percentage_error", "mean_absolute_percentage_error_gradient", "mean_squared_logarithmic_error",
    "mean_squared_logarithmic_error_gradient", "huber", "huber_gradient", "smooth_l1", "smooth_l1_gradient", "log_cosh",
    "log_cosh_gradient", "quantile", "quantile_gradient", "expectile", "expectile_gradient", "cosine_similarity",
    "cosine_similarity_gradient", "kl_divergence", "kl_divergence_gradient", "poisson", "poisson_gradient",
    "gaussian_nll", "gaussian_nll_gradient", "gamma", "gamma_gradient", "tweedie", "tweedie_gradient", "hinge",
    "hinge_gradient", "squared_hinge", "squared_hinge_gradient", "categorical_hinge", "categorical_hinge_gradient",
    "binary_crossentropy", "binary_crossentropy_gradient", "binary_focal_crossentropy",
    "binary_focal_crossentropy_gradient", "categorical_crossentropy", "categorical_crossentropy_gradient",
    "categorical_focal_crossentropy", "categorical_focal_crossentropy_gradient", "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_gradient", "dice", "dice_gradient", "tversky", "tversky_gradient",
    "linear", "linear_gradient", "relu", "relu_gradient", "sigmoid", "sigmoid_gradient", "tanh", "tanh_gradient",
    "softmax", "softmax_gradient", "leaky_relu", "leaky_relu_gradient", "elu", "elu_gradient", "selu", "selu_gradient",
    "gelu", "gelu_gradient", "gelu_tanh", "gelu_tanh_gradient", "silu", "silu_gradient", "softplus",
    "softplus_gradient", "softsign", "softsign_gradient", "mish", "mish_gradient", "hard_sigmoid",
    "hard_sigmoid_gradient", "exponential", "exponential_gradient",
]


def _matrix(x: ArrayLike) -> NDArray[Any]:
    return check.matrix(check.floats(x, "x"), "x")


def _checked_kernel(kernel: ArrayLike, x: NDArray[Any]) -> NDArray[Any]:
    array = check.floats(kernel, "kernel", x.dtype)
    if array.ndim != 2 or array.shape[0] != x.shape[1]:
        raise ValueError(f"kernel must have shape ({x.shape[1]}, units), as x has {x.shape[1]} columns; "
                         f"got {array.shape}.")
    return array


def _item_strides(array):
    """The array, or a copy if a stride is no multiple of the size of an element."""
    return array if all(stride % array.itemsize == 0 for stride in array.strides) else array.copy()


def _matmul(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any] | None = None, over_rows: bool = False) -> NDArray[Any]:
    """a @ b; `over_rows` where the sums run over the rows of a batch."""
    out = check.result(out, (a.shape[0], b.shape[1]), a.dtype)
    core.matmul(_item_strides(a), _item_strides(b), out, 1, over_rows)
    return out


def dense_forward(x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, activation: str | None = None,
                  out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Output of a dense layer: f(x @ kernel + bias).

    Parameters
    ----------
    x : array (rows, n_in)
    kernel : array (n_in, n_out)
    bias : array (n_out,), optional
    activation : str, optional
        Name of an activation; None is linear.
    out : array (rows, n_out), optional

    Returns
    -------
    array (rows, n_out), in the dtype of x

    Raises
    ------
    ValueError
        If shapes do not fit or the activation is not known.

    Examples
    --------
    >>> from nnfast.functional import dense_forward
    >>> dense_forward([[1., 2.]], [[3.], [-4.]], [1.], activation="relu")
    array([[0.]])
    """
    x = _matrix(x)
    kernel = _checked_kernel(kernel, x)
    code = core.ACTIVATIONS[activations.get(activation)]
    out = _matmul(x, kernel, out)
    if bias is not None:
        row: NDArray[Any] = check.floats(bias, "bias", x.dtype)
        if row.shape != (kernel.shape[1],):
            raise ValueError(f"bias must have shape ({kernel.shape[1]},), a number for each unit; got {row.shape}.")
        out += row
    core.apply_activation(code, out, out)
    return out


def dense_backward(x: ArrayLike, kernel: ArrayLike, delta: ArrayLike,
                   out: Sequence[NDArray[Any] | None] | None = None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients of a dense layer from delta, the gradient with respect to z = x @ kernel + bias.

    After an activation, delta is `f_gradient(z, gradient with respect to f(z))`.

    Parameters
    ----------
    x : array (rows, n_in)
    kernel : array (n_in, n_out)
    delta : array (rows, n_out)
    out : tuple of three arrays, optional
        Where d_x, d_kernel and d_bias are written; None instead of an array makes a new one.

    Returns
    -------
    d_x : array (rows, n_in) = delta @ kernel.T
    d_kernel : array (n_in, n_out) = x.T @ delta
    d_bias : array (n_out,) = delta.sum(axis=0)

    Examples
    --------
    >>> from nnfast.functional import dense_backward
    >>> dense_backward([[1., 2.]], [[3.], [4.]], [[1.]])
    (array([[3., 4.]]), array([[1.],
           [2.]]), array([1.]))
    """
    x = _matrix(x)
    kernel = _checked_kernel(kernel, x)
    errors: NDArray[Any] = check.floats(delta, "delta", x.dtype)
    if errors.shape != (x.shape[0], kernel.shape[1]):
        raise ValueError(f"delta must have shape {(x.shape[0], kernel.shape[1])}, that of x @ kernel; "
                         f"got {errors.shape}.")
    d_x, d_kernel, d_bias = out if out is not None else (None, None, None)
    given = [array for array in (d_x, d_kernel, d_bias) if array is not None]
    if any(np.may_share_memory(array, read) for array in given for read in (x, kernel, errors)):
        raise ValueError("out must not share memory with x, kernel and delta: they are read after the first array of "
                         "out is written. Give new arrays.")
    sums: NDArray[Any] = check.result(d_bias, (kernel.shape[1],), x.dtype)
    ones = np.ones((1, len(x)), x.dtype)
    _matmul(ones, errors, sums.reshape(1, -1), over_rows=True)
    return _matmul(errors, kernel.T, d_x), _matmul(x.T, errors, d_kernel, over_rows=True), sums


def _step(kernel, params, grads, slots, step, learning_rate, weight_decay, **settings):
    """Checks the arguments of a step, and takes it with an entry of `core.OPTIMIZERS`.

    `slots` is {name: array} of the state of the optimizer; `settings` are in the order in which the
    native kernel takes them.
    """
    settings = {name: optimizers._CHECKS[name](value, name) for name, value in settings.items()}
    if "epsilon_form" in settings:
        settings["epsilon_form"] = settings["epsilon_form"] == "pytorch"
    learning_rate = check.number(learning_rate, "learning_rate", 0)
    weight_decay = check.number(weight_decay, "weight_decay", 0)
    step = check.size(step, "step")
    if not isinstance(params, np.ndarray) or params.dtype not in (np.float32, np.float64) \
            or not params.flags.c_contiguous or not params.flags.writeable:
        raise ValueError("params must be a writable C-contiguous float32 or float64 array: it is updated in place.")
    grads = np.ascontiguousarray(check.floats(grads, "grads", params.dtype))
    for name, array in {"grads": grads, **slots}.items():
        if not isinstance(array, np.ndarray) or array.shape != params.shape:
            got = getattr(array, "shape", repr(type(array)))
            raise ValueError(f"{name} must be an array of the shape of params, {params.shape}; got {got}.")
        if array is not grads and (array.dtype != params.dtype or not array.flags.c_contiguous
                                   or not array.flags.writeable):
            raise ValueError(f"{name} must be a writable C-contiguous array of the dtype of params: "
                             f"it is updated in place.")
    apart = [params, grads]
    for name, array in slots.items():
        if any(np.may_share_memory(array, other) for other in apart):
            raise ValueError(f"{name} must not share memory with params, grads or another array of the state: they "
                             f"are read while it is written. Give a separate array.")
        apart.append(array)
    core.apply_optimizer(core.OPTIMIZERS[kernel][0], params.reshape(-1), grads.reshape(-1),
                         [slot.reshape(-1) for slot in slots.values()], settings.values(), learning_rate, step,
                         weight_decay)


def _moving(momentum, velocity):
    """(whether a step has momentum, {"velocity": velocity} if it has, else {})."""
    if optimizers._CHECKS["momentum"](momentum, "momentum") == 0:
        return False, {}
    if velocity is None:
        raise ValueError("velocity must be given with momentum: an array of zeros like params before the first step.")
    return True, {"velocity": velocity}


def sgd_step(params: NDArray[Any], grads: ArrayLike, velocity: NDArray[Any] | None = None, *,
             learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False,
             weight_decay: float = 0.0) -> None:
    """One step of gradient descent, in place: params, and velocity if there is momentum.

    velocity <- momentum velocity - learning_rate grads; params <- params + velocity, or with
    `nesterov` params + momentum velocity - learning_rate grads (Keras' form).

    Parameters
    ----------
    params, grads : arrays of one shape
    velocity : array of that shape, needed if momentum is not 0
        Zeros before the first step.
    learning_rate, momentum : float
    nesterov : bool
    weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import sgd_step
    >>> w = np.array([1.])
    >>> sgd_step(w, np.array([2.]), learning_rate=0.25)
    >>> w
    array([0.5])
    """
    moving, slots = _moving(momentum, velocity)
    if moving:
        kernel = "nesterov" if nesterov else "momentum"
        _step(kernel, params, grads, slots, 1, learning_rate, weight_decay, momentum=momentum)
    else:
        _step("sgd", params, grads, slots, 1, learning_rate, weight_decay)


def rmsprop_step(params: NDArray[Any], grads: ArrayLike, v: NDArray[Any], mean: NDArray[Any] | None = None,
                 velocity: NDArray[Any] | None = None, *, learning_rate: float = 0.001, rho: float = 0.9,
                 momentum: float = 0.0, epsilon: float = 1e-7, weight_decay: float = 0.0) -> None:
    """One step of RMSprop, in place: params, v, mean and velocity (zeros before the first step).

    v <- rho v + (1 - rho) grads^2;
    velocity <- momentum velocity + learning_rate grads / sqrt(v + epsilon);
    params <- params - velocity (Hinton 2012, in the form of Keras: epsilon under the root).

    Parameters
    ----------
    params, grads, v : arrays of one shape
    mean : array of that shape, optional
        Centers the step: mean <- rho mean + (1 - rho) grads, and v - mean^2 in place of v under the
        root.
    velocity : array of that shape, needed if momentum is not 0
    learning_rate, rho, momentum, epsilon, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import rmsprop_step
    >>> w, v = np.array([1.]), np.zeros(1)
    >>> rmsprop_step(w, np.array([2.]), v, learning_rate=0.1, rho=0.75)
    >>> v, w.round(6)
    (array([1.]), array([0.8]))
    """
    moving, velocities = _moving(momentum, velocity)
    slots = {"v": v} | ({} if mean is None else {"mean": mean}) | velocities
    kernel = "rmsprop" + "_centered" * (mean is not None) + "_momentum" * moving
    _step(kernel, params, grads, slots, 1, learning_rate, weight_decay, rho=rho, epsilon=epsilon, momentum=momentum)


def adam_step(params: NDArray[Any], grads: ArrayLike, m: NDArray[Any], v: NDArray[Any], step: int,
              largest: NDArray[Any] | None = None, *, learning_rate: float = 0.001, beta_1: float = 0.9,
              beta_2: float = 0.999, epsilon: float = 1e-7, epsilon_form: Literal["keras", "pytorch"] = "keras",
              weight_decay: float = 0.0) -> None:
    """One step of Adam, in place: params, m and v (zeros before the first step).

    m += (grads - m)(1 - beta_1); v += (grads^2 - v)(1 - beta_2);
    params -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon)
    (Kingma and Ba 2015, section 2, last form; Keras').  With `weight_decay` it is the step of
    AdamW, whose weight decay in Keras is 0.004.

    Parameters
    ----------
    params, grads, m, v : arrays of one shape
    step : int
        1 for the first step.
    largest : array of that shape, optional
        Makes it the step of AMSGrad (Reddi, Kale and Kumar 2018): largest <- max(largest, v), zeros
        before the first step, replaces v under the root.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float
    epsilon_form : {"keras", "pytorch"}
        "pytorch" adds epsilon to sqrt(v / (1 - beta_2^step)), as algorithm 1 of the paper does.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import adam_step
    >>> w, m, v = np.array([1.]), np.zeros(1), np.zeros(1)
    >>> adam_step(w, np.array([2.]), m, v, step=1)
    >>> w.round(6)
    array([0.999])
    """
    slots = {"m": m, "v": v} | ({} if largest is None else {"largest": largest})
    _step("adam" if largest is None else "amsgrad", params, grads, slots, step, learning_rate, weight_decay,
          beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, epsilon_form=epsilon_form)


def adagrad_step(params: NDArray[Any], grads: ArrayLike, total: NDArray[Any], *, learning_rate: float = 0.001,
                 epsilon: float = 1e-7, weight_decay: float = 0.0) -> None:
    """One step of Adagrad, in place: params and total, the sum of all squared gradients.

    total <- total + grads^2; params <- params - learning_rate grads / sqrt(total + epsilon)
    (Duchi, Hazan and Singer 2011, in the form of Keras).

    Parameters
    ----------
    params, grads, total : arrays of one shape
        Before the first step each element of total is 0.1 in Keras, 0 in PyTorch.
    learning_rate, epsilon, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import adagrad_step
    >>> w, total = np.array([1.]), np.full(1, 5.)
    >>> adagrad_step(w, np.array([2.]), total, learning_rate=0.3)
    >>> total, w.round(6)
    (array([9.]), array([0.8]))
    """
    _step("adagrad", params, grads, {"total": total}, 1, learning_rate, weight_decay, epsilon=epsilon)


def adadelta_step(params: NDArray[Any], grads: ArrayLike, v: NDArray[Any], d: NDArray[Any], *,
                  learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                  weight_decay: float = 0.0) -> None:
    """One step of Adadelta, in place: params, v and d (zeros before the first step).

    v <- rho v + (1 - rho) grads^2; change = sqrt((d + epsilon) / (v + epsilon)) grads;
    d <- rho d + (1 - rho) change^2;
    params <- params - learning_rate change (Zeiler 2012, whose learning rate is 1).

    Parameters
    ----------
    params, grads, v, d : arrays of one shape
    learning_rate, rho, epsilon, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import adadelta_step
    >>> w, v, d = np.array([1.]), np.zeros(1), np.full(1, 0.25)
    >>> adadelta_step(w, np.array([2.]), v, d, learning_rate=0.1, rho=0.75)
    >>> v, w.round(6)
    (array([1.]), array([0.9]))
    """
    _step("adadelta", params, grads, {"v": v, "d": d}, 1, learning_rate, weight_decay, rho=rho, epsilon=epsilon)


def adamax_step(params: NDArray[Any], grads: ArrayLike, m: NDArray[Any], u: NDArray[Any], step: int, *,
                learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                weight_decay: float = 0.0) -> None:
    """One step of Adamax, in place: params, m and u (zeros before the first step).

    m <- m + (grads - m)(1 - beta_1); u <- max(beta_2 u, |grads|);
    params <- params - learning_rate / (1 - beta_1^step) m / (u + epsilon)
    (Kingma and Ba 2015, section 7.1).

    Parameters
    ----------
    params, grads, m, u : arrays of one shape
    step : int
        1 for the first step.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import adamax_step
    >>> w, m, u = np.array([1.]), np.zeros(1), np.zeros(1)
    >>> adamax_step(w, np.array([2.]), m, u, step=1)
    >>> u, w.round(6)
    (array([2.]), array([0.999]))
    """
    _step("adamax", params, grads, {"m": m, "u": u}, step, learning_rate, weight_decay,
          beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def nadam_step(params: NDArray[Any], grads: ArrayLike, m: NDArray[Any], v: NDArray[Any], step: int, *,
               learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
               weight_decay: float = 0.0) -> None:
    """One step of Nadam, in place: params, m and v (zeros before the first step).

    It is Adam with Nesterov momentum (Dozat 2016; Keras').  m and v as in Adam;
    u_t = beta_1 (1 - 0.96^t / 2), with t = step;
    mean = u_(t+1) m / (1 - u_1 ... u_(t+1)) + (1 - u_t) grads / (1 - u_1 ... u_t);
    params <- params - learning_rate mean / (sqrt(v / (1 - beta_2^t)) + epsilon).

    Parameters
    ----------
    params, grads, m, v : arrays of one shape
    step : int
        1 for the first step.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import nadam_step
    >>> w, m, v = np.array([1.]), np.zeros(1), np.zeros(1)
    >>> nadam_step(w, np.array([2.]), m, v, step=1)
    >>> w.round(6)
    array([0.998937])
    """
    _step("nadam", params, grads, {"m": m, "v": v}, step, learning_rate, weight_decay,
          beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def lion_step(params: NDArray[Any], grads: ArrayLike, m: NDArray[Any], *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.99, weight_decay: float = 0.0) -> None:
    """One step of Lion, in place: params and m (zeros before the first step).

    params <- params - learning_rate sign(beta_1 m + (1 - beta_1) grads);
    m <- beta_2 m + (1 - beta_2) grads (Chen et al. 2023).

    Parameters
    ----------
    params, grads, m : arrays of one shape
    learning_rate, beta_1, beta_2, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import lion_step
    >>> w, m = np.array([1., 1.]), np.zeros(2)
    >>> lion_step(w, np.array([2., -50.]), m, learning_rate=0.25)
    >>> w
    array([0.75, 1.25])
    """
    _step("lion", params, grads, {"m": m}, 1, learning_rate, weight_decay, beta_1=beta_1, beta_2=beta_2)


def radam_step(params: NDArray[Any], grads: ArrayLike, m: NDArray[Any], v: NDArray[Any], step: int, *,
               learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
               weight_decay: float = 0.0) -> None:
    """One step of rectified Adam, in place: params, m and v (zeros before the first step).

    m and v as in Adam; rho = 2 / (1 - beta_2) - 1; rho_t = rho - 2 t beta_2^t / (1 - beta_2^t) with
    t = step.  Where rho_t > 5, the step of Adam times r,
    r^2 = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t); before that
    params <- params - learning_rate / (1 - beta_1^t) m
    (Liu et al. 2020; as PyTorch's with decoupled weight decay).

    Parameters
    ----------
    params, grads, m, v : arrays of one shape
    step : int
        1 for the first step.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import radam_step
    >>> w, m, v = np.array([1.]), np.zeros(1), np.zeros(1)
    >>> radam_step(w, np.array([2.]), m, v, step=1, learning_rate=0.25)      # rho_t <= 5
    >>> w.round(6)
    array([0.5])
    """
    _step("radam", params, grads, {"m": m, "v": v}, step, learning_rate, weight_decay,
          beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
