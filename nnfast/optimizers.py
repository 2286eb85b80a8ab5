"""Optimizers: hyper-parameters with Keras' names, defaults and formulas; the steps are in _core/optimizers.pxd."""
from dataclasses import dataclass

from nnfast import _validation as check

__all__ = ["SGD", "Adam", "get"]


@dataclass(init=False)
class SGD:
    """Gradient descent, with momentum and Nesterov's form of it.

    velocity <- momentum velocity - learning_rate g; w <- w + velocity, or with `nesterov`
    w + momentum velocity - learning_rate g.  As in Keras, and unlike PyTorch, the velocity contains the learning rate.

    Parameters
    ----------
    learning_rate : float
    momentum : float in [0, 1]
    nesterov : bool

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False)
    """

    learning_rate: float
    momentum: float
    nesterov: bool

    def __init__(self, learning_rate=0.01, *, momentum=0.0, nesterov=False):
        self.learning_rate = check.number(learning_rate, "learning_rate", 0)
        self.momentum = check.number(momentum, "momentum", 0, 1)
        self.nesterov = bool(nesterov)

    def _native(self):
        """Name of the kernel and its settings."""
        if self.momentum == 0:
            return "sgd", []
        return ("nesterov" if self.nesterov else "momentum"), [self.momentum]


@dataclass(init=False)
class Adam:
    """Adam (Kingma and Ba 2015), in the form of Keras: epsilon is added to sqrt(v) before its bias correction.

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float in [0, 1)
    epsilon : float

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.Adam(1e-3)
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07)
    """

    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float

    def __init__(self, learning_rate=0.001, *, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        self.learning_rate = check.number(learning_rate, "learning_rate", 0)
        self.beta_1 = check.number(beta_1, "beta_1", 0, 1, open_high=True)
        self.beta_2 = check.number(beta_2, "beta_2", 0, 1, open_high=True)
        self.epsilon = check.number(epsilon, "epsilon", 0)

    def _native(self):
        return "adam", [self.beta_1, self.beta_2, self.epsilon]


_NAMES = {"sgd": SGD, "adam": Adam}


def get(identifier):
    """An optimizer from its name, or the optimizer itself.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.get("adam").learning_rate
    0.001
    """
    if isinstance(identifier, tuple(_NAMES.values())):
        return identifier
    if isinstance(identifier, type) and identifier in _NAMES.values():
        return identifier()
    if isinstance(identifier, str) and identifier.lower() in _NAMES:
        return _NAMES[identifier.lower()]()
    raise check.unknown("optimizer", identifier, _NAMES)
