from collections.abc import Callable
from typing import Any, TypeAlias

from numpy.typing import NDArray

from nnfast.functional import (
    elu as elu,
    exponential as exponential,
    gelu as gelu,
    gelu_tanh as gelu_tanh,
    hard_sigmoid as hard_sigmoid,
    leaky_relu as leaky_relu,
    linear as linear,
    mish as mish,
    relu as relu,
    selu as selu,
    sigmoid as sigmoid,
    silu as silu,
    softmax as softmax,
    softplus as softplus,
    softsign as softsign,
    tanh as tanh,
)

__all__ = [
    "get", "elu", "exponential", "gelu", "gelu_tanh", "hard_sigmoid", "leaky_relu", "linear", "mish", "relu", "selu", "sigmoid",
    "silu", "softmax", "softplus", "softsign", "tanh",
]

_ActivationLike: TypeAlias = str | Callable[..., NDArray[Any]] | None

def get(identifier: _ActivationLike) -> str: ...
