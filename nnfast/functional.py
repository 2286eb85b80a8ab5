"""The low-level face: dense layers, activations, losses and optimizer steps on plain NumPy arrays.

Every function takes float32 or float64 (integers become float64, float16 float32), works on rows along the last axis and
returns NumPy arrays; `out=` names the array to write to, which must be C-contiguous and of the result's shape and
dtype. For each activation `f(z)` there is `f_gradient(z, delta)` = delta * f'(z); for each loss `l(y_true, y_pred)`,
a value per sample, there is `l_gradient(y_true, y_pred)`, the gradient of each sample's value.

Where the loss acts in training, in four lines:

>>> import numpy as np
>>> from nnfast import functional as F
>>> x, y, w = np.array([[1., 2.]]), np.array([[1.]]), np.array([[.5], [.25]])
>>> prediction = F.dense_forward(x, w)
>>> error = prediction - y                                      # a vector
>>> loss = F.mean_squared_error(y, prediction)                  # one number per sample
>>> delta = F.mean_squared_error_gradient(y, prediction)        # what backpropagation starts from
>>> d_x, d_w, d_b = F.dense_backward(x, w, delta)
>>> F.sgd_step(w, d_w, learning_rate=0.1)
"""
import numpy as np

from nnfast import _validation as check, losses
from nnfast._core import network

__all__ = ["dense_forward", "dense_backward", "sgd_step", "adam_step", *losses.FUNCTIONS,
           *(f"{name}_gradient" for name in losses.FUNCTIONS), *network.ACTIVATIONS,
           *(f"{name}_gradient" for name in network.ACTIVATIONS)]


def _rows(array):
    """A C-contiguous (samples, last axis) view or copy."""
    array = np.ascontiguousarray(array)
    return array.reshape(-1, array.shape[-1]) if array.ndim and array.size else array.reshape(0, 1)


def _item_strides(array):
    """The array, with strides of whole items."""
    return array if all(stride % array.itemsize == 0 for stride in array.strides) else array.copy()


def _matmul(a, b, out=None, over_rows=False):
    out = check.result(out, (a.shape[0], b.shape[1]), a.dtype)
    network.matmul(_item_strides(a), _item_strides(b), out, 1, over_rows)
    return out


def _kernel(kernel, x):
    kernel = check.floats(kernel, "kernel", x.dtype)
    if kernel.ndim != 2 or kernel.shape[0] != x.shape[1]:
        raise ValueError(f"kernel must have shape ({x.shape[1]}, units), as x has {x.shape[1]} columns; got {kernel.shape}.")
    return kernel


def dense_forward(x, kernel, bias=None, activation=None, out=None):
    """f(x @ kernel + bias).

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
        Where shapes do not fit or the activation is not known.

    Examples
    --------
    >>> from nnfast.functional import dense_forward
    >>> dense_forward([[1., 2.]], [[3.], [-4.]], [1.], activation="relu")
    array([[0.]])
    """
    from nnfast.activations import get

    x = check.matrix(check.floats(x, "x"), "x")
    kernel = _kernel(kernel, x)
    code = network.ACTIVATIONS[get(activation)]
    out = _matmul(x, kernel, out)
    if bias is not None:
        bias = check.floats(bias, "bias", x.dtype)
        if bias.shape != (kernel.shape[1],):
            raise ValueError(f"bias must have shape ({kernel.shape[1]},), a number for each unit; got {bias.shape}.")
        out += bias
    network.apply_activation(code, out, out)
    return out


def dense_backward(x, kernel, delta, out=None):
    """Gradients of a dense layer from delta, the gradient with respect to z = x @ kernel + bias.

    After an activation, delta is `f_gradient(z, gradient with respect to f(z))`.

    Parameters
    ----------
    x : array (rows, n_in)
    kernel : array (n_in, n_out)
    delta : array (rows, n_out)
    out : tuple of three arrays, optional
        Where d_x, d_kernel and d_bias are written; None in it makes a new array.

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
    x = check.matrix(check.floats(x, "x"), "x")
    kernel = _kernel(kernel, x)
    delta = check.floats(delta, "delta", x.dtype)
    if delta.shape != (x.shape[0], kernel.shape[1]):
        raise ValueError(f"delta must have shape {(x.shape[0], kernel.shape[1])}, that of x @ kernel; got {delta.shape}.")
    d_x, d_kernel, d_bias = out if out is not None else (None, None, None)
    if any(np.may_share_memory(given, array) for given in (d_x, d_kernel, d_bias) if given is not None for array in (x, kernel, delta)):
        raise ValueError("out must hold arrays of their own: x, kernel and delta are read after the first of them is written.")
    d_bias = check.result(d_bias, (kernel.shape[1],), x.dtype)
    ones = np.ones((1, len(x)), x.dtype)
    _matmul(ones, delta, d_bias.reshape(1, -1), over_rows=True)
    return _matmul(delta, kernel.T, d_x), _matmul(x.T, delta, d_kernel, over_rows=True), d_bias


def _activation(name, code):
    def activation(z, out=None):
        z = check.floats(z, "z")
        out = check.result(out, z.shape, z.dtype)
        network.apply_activation(code, _rows(z), _rows(out))
        return out

    def gradient(z, delta, out=None):
        z = check.floats(z, "z")
        delta = check.floats(delta, "delta", z.dtype)
        if delta.shape != z.shape:
            raise ValueError(f"delta must have the shape of z, {z.shape}; got {delta.shape}.")
        out = check.result(out, z.shape, z.dtype)
        a = activation(z)
        z = z.copy() if np.may_share_memory(z, out) else z
        out[...] = delta
        network.apply_activation_gradient(code, _rows(z), _rows(a), _rows(out))
        return out

    activation.__name__ = activation.__qualname__ = name
    gradient.__name__ = gradient.__qualname__ = f"{name}_gradient"
    along = " along the last axis" if name == "softmax" else ""
    activation.__doc__ = f"{name} of z{along}; z an array of any shape, out one like it.  The formula is in _core/activations.pxd."
    gradient.__doc__ = f"delta times the derivative of {name} at z{along}; z, delta and out of one shape."
    return activation, gradient


for _name, _code in network.ACTIVATIONS.items():
    globals()[_name], globals()[f"{_name}_gradient"] = _activation(_name, _code)


for _name, (_value, _gradient) in losses.FUNCTIONS.items():
    globals()[_name], globals()[f"{_name}_gradient"] = _value, _gradient


def _step(kind, params, grads, slots, settings, learning_rate, step):
    if not isinstance(params, np.ndarray) or params.dtype not in (np.float32, np.float64) \
            or not params.flags.c_contiguous or not params.flags.writeable:
        raise ValueError("params must be a writable C-contiguous float32 or float64 array: it is updated in place.")
    grads = np.ascontiguousarray(check.floats(grads, "grads", params.dtype))
    for name, array in {"grads": grads, **slots}.items():
        if array.shape != params.shape:
            raise ValueError(f"{name} must have the shape of params, {params.shape}; got {array.shape}.")
        if array is not grads and (array.dtype != params.dtype or not array.flags.c_contiguous or not array.flags.writeable):
            raise ValueError(f"{name} must be a writable C-contiguous array of the dtype of params: it is updated in place.")
    state = np.stack([slot.reshape(-1) for slot in slots.values()]) if slots else np.empty((0, params.size), params.dtype)
    network.apply_optimizer(network.OPTIMIZERS[kind][0], params.reshape(-1), grads.reshape(-1), state, settings, learning_rate, step)
    for slot, new in zip(slots.values(), state):
        slot[...] = new.reshape(slot.shape)


def sgd_step(params, grads, velocity=None, *, learning_rate=0.01, momentum=0.0, nesterov=False):
    """One step of gradient descent, in place: params, and velocity where there is momentum.

    velocity <- momentum velocity - learning_rate grads; params <- params + velocity, or with `nesterov`
    params + momentum velocity - learning_rate grads (Keras' form).

    Parameters
    ----------
    params, grads : arrays of one shape
    velocity : array of that shape, needed if momentum is not 0
    learning_rate, momentum : float
    nesterov : bool

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import sgd_step
    >>> w = np.array([1.])
    >>> sgd_step(w, np.array([2.]), learning_rate=0.25)
    >>> w
    array([0.5])
    """
    learning_rate = check.number(learning_rate, "learning_rate", 0)
    momentum = check.number(momentum, "momentum", 0, 1)
    if momentum == 0:
        _step("sgd", params, grads, {}, [], learning_rate, 1)
        return
    if velocity is None:
        raise ValueError("velocity must be given with momentum: an array of zeros like params before the first step.")
    _step("nesterov" if nesterov else "momentum", params, grads, {"velocity": velocity}, [momentum], learning_rate, 1)


def adam_step(params, grads, m, v, step, *, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """One step of Adam, in place: params, m and v (zeros before the first step).

    m += (grads - m)(1 - beta_1); v += (grads^2 - v)(1 - beta_2);
    params -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon)
    (Kingma and Ba 2015, section 2, last form; Keras').

    Parameters
    ----------
    params, grads, m, v : arrays of one shape
    step : int
        1 for the first step.
    learning_rate, beta_1, beta_2, epsilon : float

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import adam_step
    >>> w, m, v = np.array([1.]), np.zeros(1), np.zeros(1)
    >>> adam_step(w, np.array([2.]), m, v, step=1)
    >>> w.round(6)
    array([0.999])
    """
    settings = [check.number(beta_1, "beta_1", 0, 1, True), check.number(beta_2, "beta_2", 0, 1, True),
                check.number(epsilon, "epsilon", 0)]
    _step("adam", params, grads, {"m": m, "v": v}, settings, check.number(learning_rate, "learning_rate", 0), check.size(step, "step"))


del _name, _code, _value, _gradient
