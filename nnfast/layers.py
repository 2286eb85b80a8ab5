"""Layers: frozen descriptions of a network, without any arithmetic."""
from dataclasses import dataclass

from nnfast import _validation as check, activations, initializers

__all__ = ["Activation", "Dense", "Flatten", "Input"]


@dataclass(frozen=True)
class Input:
    """The shape of one row of x: a model that begins with it needs no data to be built.

    Parameters
    ----------
    shape : tuple of int, or int
        Without the axis of rows: (784,) or (28, 28).

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.Input((28, 28))
    Input(shape=(28, 28))
    """

    shape: tuple

    def __post_init__(self):
        shape = self.shape if isinstance(self.shape, (tuple, list)) else (self.shape,)
        if not shape:
            raise ValueError("Input needs the shape of one row, such as (784,); got ().")
        object.__setattr__(self, "shape", tuple(check.size(n, "each entry of shape") for n in shape))


@dataclass(frozen=True)
class Flatten:
    """Makes one row of numbers of each sample: (n, 28, 28) becomes (n, 784), without a copy where memory allows."""


@dataclass(frozen=True, init=False)
class Dense:
    """f(x @ kernel + bias).

    Parameters
    ----------
    units : int
        Width of the output.
    activation : str or function, optional
        Name of an activation; None is linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str or initializer
        Or a callable `(shape, rng) -> array`.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.Dense(84, activation="relu")
    Dense(units=84, activation='relu', use_bias=True, kernel_initializer=GlorotUniform(), bias_initializer=Zeros())
    """

    units: int
    activation: str
    use_bias: bool
    kernel_initializer: object
    bias_initializer: object

    def __init__(self, units, activation=None, *, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros"):
        values = {
            "units": check.size(units, "units"),
            "activation": activations.get(activation),
            "use_bias": bool(use_bias),
            "kernel_initializer": initializers.get(kernel_initializer),
            "bias_initializer": initializers.get(bias_initializer),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, init=False)
class Activation:
    """An activation on its own; after a linear Dense it costs nothing extra.

    Parameters
    ----------
    activation : str or function

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.Activation("softmax")
    Activation(activation='softmax')
    """

    activation: str

    def __init__(self, activation):
        object.__setattr__(self, "activation", activations.get(activation))
