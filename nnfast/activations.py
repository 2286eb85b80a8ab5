"""Activations by name, and as functions of arrays.

`Dense(84, activation="relu")` and `Dense(84, activation=nnfast.activations.relu)` mean the same.
"""
from nnfast import functional
from nnfast._core import network
from nnfast._validation import unknown

__all__ = ["get", *sorted(network.ACTIVATIONS)]

SKLEARN_NAMES = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}        # scikit-learn's names that are not ours
LEAKY_SLOPE = 0.2                                                                       # Keras' of leaky_relu
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772                         # the fixed point of Klambauer et al. 2017
_ALIASES = {"swish": "silu"}
INF = float("inf")
RANGES = {                      # in which interval the values lie
    "linear": (-INF, INF), "relu": (0, INF), "sigmoid": (0, 1), "tanh": (-1, 1), "softmax": (0, 1),
    "leaky_relu": (-INF, INF), "elu": (-1, INF), "selu": (-SELU_SCALE * SELU_ALPHA, INF), "gelu": (-0.17, INF),
    "gelu_tanh": (-0.171, INF), "silu": (-0.2785, INF), "softplus": (0, INF), "softsign": (-1, 1),
    "mish": (-0.3089, INF), "hard_sigmoid": (0, 1), "exponential": (0, INF)}

globals().update({name: getattr(functional, name) for name in network.ACTIVATIONS})


def get(identifier):
    """Name of an activation.

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
        For a name that is not known.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.activations.get(nnfast.activations.relu)
    'relu'
    """
    if identifier is None:
        return "linear"
    name = _ALIASES.get(identifier, identifier) if isinstance(identifier, str) else getattr(identifier, "__name__", None)
    if name not in network.ACTIVATIONS or not (isinstance(identifier, str) or identifier is getattr(functional, name)):
        raise unknown("activation", identifier, network.ACTIVATIONS)
    return name
