"""Activations by name, and as functions of arrays.

`Dense(84, activation="relu")` and `Dense(84, activation=nnfast.activations.relu)` mean the same.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check
from nnfast._core import network as core

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    from numpy.typing import ArrayLike, NDArray

    _ActivationLike: TypeAlias = str | Callable[..., NDArray[Any]] | None

    _Out: TypeAlias = NDArray[Any] | None

    class _Activation(Protocol):
        def __call__(self, z: ArrayLike, out: _Out = None) -> NDArray[Any]: ...

    class _Gradient(Protocol):
        def __call__(self, z: ArrayLike, delta: ArrayLike, out: _Out = None) -> NDArray[Any]: ...


__all__ = [
    "get", "elu", "exponential", "gelu", "gelu_tanh", "hard_sigmoid", "leaky_relu", "linear", "mish", "relu", "selu",
    "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh",
]

INF = float("inf")
LEAKY_SLOPE = 0.2                       # of Keras' function leaky_relu
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772     # the fixed point of Klambauer et al. 2017
RANGES: dict[str, tuple[float, float]] = {}                         # the interval in which the values lie, by name
SKLEARN_NAMES = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}     # where scikit-learn's differ
_ALIASES = {"swish": "silu"}


def _rows(array):
    """A C-contiguous (samples, last axis) view or copy."""
    array = np.ascontiguousarray(array)
    return array.reshape(-1, array.shape[-1]) if array.ndim and array.size else array.reshape(0, 1)


def _functions(name: str, low: float, high: float, along: str = "") -> tuple[_Activation, _Gradient]:
    """Two functions: the activation called `name`, with values in [low, high], and its gradient."""
    code = core.ACTIVATIONS[name]
    RANGES[name] = low, high

    def activation(z, out=None):
        z = check.floats(z, "z")
        out = check.result(out, z.shape, z.dtype)
        core.apply_activation(code, _rows(z), _rows(out))
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
        core.apply_activation_gradient(code, _rows(z), _rows(a), _rows(out))
        return out

    activation.__name__ = activation.__qualname__ = name
    gradient.__name__ = gradient.__qualname__ = f"{name}_gradient"
    activation.__doc__ = f"""{name} of z{along}; z has any shape, out has the same shape and dtype.

    The formula is in _core/activations.pxd.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> z = np.array([[-1., 0., 2.]])
    >>> layers = [nnfast.Input(3), nnfast.Activation("{name}")]
    >>> model = nnfast.Sequential(layers, dtype="float64")
    >>> np.array_equal(nnfast.functional.{name}(z), model.predict(z))
    True
    """
    gradient.__doc__ = f"""delta times the derivative of {name} at z{along}; z, delta and out have one shape.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.functional import {name}, {name}_gradient
    >>> z, step = np.array([-1., 0.5, 2.]), 1e-6
    >>> quotient = ({name}(z + step) - {name}(z - step)) / (2 * step)
    >>> np.allclose({name}_gradient(z, np.ones(3)), quotient)
    True
    """
    return activation, gradient


linear, linear_gradient = _functions("linear", -INF, INF)
relu, relu_gradient = _functions("relu", 0, INF)
sigmoid, sigmoid_gradient = _functions("sigmoid", 0, 1)
tanh, tanh_gradient = _functions("tanh", -1, 1)
softmax, softmax_gradient = _functions("softmax", 0, 1, along=" along the last axis")
leaky_relu, leaky_relu_gradient = _functions("leaky_relu", -INF, INF)
elu, elu_gradient = _functions("elu", -1, INF)
selu, selu_gradient = _functions("selu", -SELU_SCALE * SELU_ALPHA, INF)
gelu, gelu_gradient = _functions("gelu", -0.17, INF)
gelu_tanh, gelu_tanh_gradient = _functions("gelu_tanh", -0.171, INF)
silu, silu_gradient = _functions("silu", -0.2785, INF)
softplus, softplus_gradient = _functions("softplus", 0, INF)
softsign, softsign_gradient = _functions("softsign", -1, 1)
mish, mish_gradient = _functions("mish", -0.3089, INF)
hard_sigmoid, hard_sigmoid_gradient = _functions("hard_sigmoid", 0, 1)
exponential, exponential_gradient = _functions("exponential", 0, INF)


def get(identifier: _ActivationLike) -> str:
    """Returns the name of an activation, in nnfast's spelling.

    Parameters
    ----------
    identifier : str, function of this module, or None
        None is "linear".

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the name is not known.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.activations.get(nnfast.activations.relu)
    'relu'
    """
    if identifier is None:
        return "linear"
    if isinstance(identifier, str):
        name = _ALIASES.get(identifier, identifier)
    else:
        name = getattr(identifier, "__name__", "")
    if name not in core.ACTIVATIONS or not (isinstance(identifier, str) or identifier is globals()[name]):
        raise check.unknown("activation", identifier, core.ACTIVATIONS)
    return name
