"""What holds for weights after every step: Keras' names, defaults and formulas."""
from dataclasses import dataclass

from nnfast import _validation as check

__all__ = ["MaxNorm", "NonNeg", "get"]


@dataclass(frozen=True)
class MaxNorm:
    """The Euclidean norm of the weights into each unit, a column of the kernel, is at most `max_value`.

    Each column is multiplied by min(norm, max_value) / (1e-7 + norm), as in Keras with its axis=0; a bias counts as one column.

    Parameters
    ----------
    max_value : float
        Above 0; 2 by default.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.Dense(3, kernel_constraint=nnfast.constraints.MaxNorm(3.0)).kernel_constraint
    MaxNorm(max_value=3.0)
    """

    max_value: float = 2.0

    def __post_init__(self):
        object.__setattr__(self, "max_value", check.positive(self.max_value, "max_value"))

    def _name_and_limit(self):
        return "max_norm", self.max_value


@dataclass(frozen=True)
class NonNeg:
    """Weights below 0 become 0.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.Dense(3, kernel_constraint="non_neg").kernel_constraint
    NonNeg()
    """

    def _name_and_limit(self):
        return "non_neg", 0.0


_NAMES = {"max_norm": MaxNorm, "non_neg": NonNeg}


def get(identifier):
    """A constraint from its name, or the constraint itself; None stays None.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.constraints.get("max_norm")
    MaxNorm(max_value=2.0)
    """
    if identifier is None or isinstance(identifier, tuple(_NAMES.values())):
        return identifier
    if not isinstance(identifier, str) or identifier not in _NAMES:
        raise check.unknown("constraint", identifier, _NAMES)
    return _NAMES[identifier]()
