"""Layers: frozen descriptions of a network, without any arithmetic.

A layer is a dataclass of its options.  Where a constructor accepts more types than an attribute
has, an `__init__` under `TYPE_CHECKING` tells type checkers so.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _validation as check, activations, constraints, initializers, regularizers
from nnfast._core import network as core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from numpy.typing import ArrayLike

    from nnfast.activations import _ActivationLike
    from nnfast.constraints import _Constraint, _ConstraintLike
    from nnfast.initializers import _Initializer, _InitializerLike
    from nnfast.regularizers import L1L2, _RegularizerLike

    _Columns: TypeAlias = float | tuple[float, ...]         # one value, or one per column

__all__ = [
    "Activation", "BatchNormalization", "Dense", "Dropout", "Flatten", "GaussianNoise", "Input", "LayerNormalization",
    "Normalization", "PReLU", "Rescaling",
]

EPSILON = 1e-7                  # smallest standard deviation in Normalization, as in Keras
BLOCK_ROWS = 8192               # rows that adapt reads at once


class Layer:
    """Base of all layers; not used on its own.

    A layer says how the core makes it (`_plan_entry`), with which initial values (`_first_weights`,
    `_first_state`), and how training treats its weights (`_penalties`, `_constraints`,
    `_multiplier`).
    """

    _activation: str | None = "linear"
    _multiplier = 1.0
    _penalties = (0.0,) * 6                     # l1 and l2 of kernel, bias and outputs
    _constraints: Any = ((None, 0.0), (None, 0.0))      # of kernel and bias
    _moves_state = False        # whether training changes its state; then `get_weights` contains it
    _model: Any = None          # weak reference to the model that is built with it; a copy belongs to no model

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def _plan_entry(self):
        """The entry of the layer in the plan of `Network`; None if it computes nothing."""
        return None

    def _first_weights(self):
        """The trained arrays of the layer: {name: initializer}."""
        return {}

    def _first_state(self, n):
        """Initial arrays of the state, which has no gradient, for n columns."""
        return []

    def _penalty(self, arrays):
        """The penalty on the trained arrays, which are given."""
        return 0.0

    def _width(self, n):
        """Number of columns of the output for n columns of input."""
        return n

    def _range(self, low, high):
        """The interval of the outputs, for inputs in [low, high]."""
        return -np.inf, np.inf

    def _shapes(self, n):
        """Shapes of the arrays of the layer in `get_weights`, for n columns of input."""
        return [(n,)] * (len(self._first_weights()) + (len(self._first_state(1)) if self._moves_state else 0))

    def __repr__(self):
        """The call that makes the layer, without options that have their defaults."""
        import inspect

        parameters = inspect.signature(type(self)).parameters.values()
        needed = {each.name: getattr(self, each.name) for each in parameters if each.default is each.empty}
        plain = type(self)(**needed)
        chosen = {each.name: getattr(self, each.name) for each in parameters if each.name not in needed}
        shown = [f"{name}={value!r}" for name, value in chosen.items() if value != getattr(plain, name)]
        return f"{type(self).__name__}({', '.join([*map(repr, needed.values()), *shown])})"

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, repr=False)
class Input(Layer):
    """The shape of one row of x.  A model that begins with it is built without data.

    Parameters
    ----------
    shape : tuple of int, or int
        Shape of one row, such as (784,) or (28, 28).

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.Input((28, 28))
    Input((28, 28))
    """

    shape: tuple[int, ...]

    if TYPE_CHECKING:
        def __init__(self, shape: int | Sequence[int]) -> None: ...

    def __post_init__(self):
        shape = self.shape if isinstance(self.shape, (tuple, list)) else (self.shape,)
        if not shape:
            raise ValueError("Input needs the shape of one row, such as (784,); got ().")
        self._set(shape=tuple(check.size(n, "each entry of shape") for n in shape))

    def _range(self, low, high):
        return low, high


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Flattens each sample to one row: (n, 28, 28) becomes (n, 784), if possible without a copy.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Flatten(), nnfast.Dense(10)])
    >>> model.build((None, 28, 28))
    >>> model.predict(np.zeros((5, 28, 28))).shape
    (5, 10)
    """

    def _range(self, low, high):
        return low, high


@dataclass(frozen=True, init=False, repr=False)
class Dense(Layer):
    """activation(x @ kernel + bias), with kernel (n_in, units) and bias (units,).

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str or function, optional
        Name of an activation; None is linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str, initializer or callable (shape, rng) -> array
    kernel_regularizer, bias_regularizer : str or regularizer, optional
        Penalty that is added to the loss of every batch, whatever its number of rows.
    activity_regularizer : str or regularizer, optional
        Penalty on the outputs, divided by the rows of the batch, as in Keras.
    kernel_constraint, bias_constraint : str or constraint, optional
    learning_rate_multiplier : float
        Multiplies the learning rate of the optimizer for this layer (like parameter groups in
        PyTorch; Keras has no such option).  0 freezes the layer; constraints and the running mean
        of `use_ema` then leave it alone, too.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.Dense(84, activation="relu")
    Dense(84, activation='relu')
    """

    units: int
    activation: str
    use_bias: bool
    kernel_initializer: _Initializer
    bias_initializer: _Initializer
    kernel_regularizer: L1L2 | None = None
    bias_regularizer: L1L2 | None = None
    activity_regularizer: L1L2 | None = None
    kernel_constraint: _Constraint | None = None
    bias_constraint: _Constraint | None = None
    learning_rate_multiplier: float = 1.0

    def __init__(self, units: int, activation: _ActivationLike = None, *, use_bias: bool = True,
                 kernel_initializer: _InitializerLike = "glorot_uniform", bias_initializer: _InitializerLike = "zeros",
                 kernel_regularizer: _RegularizerLike = None, bias_regularizer: _RegularizerLike = None,
                 activity_regularizer: _RegularizerLike = None, kernel_constraint: _ConstraintLike = None,
                 bias_constraint: _ConstraintLike = None, learning_rate_multiplier: float = 1.0) -> None:
        self._set(
            units=check.size(units, "units"),
            activation=activations.get(activation),
            use_bias=bool(use_bias),
            kernel_initializer=initializers.get(kernel_initializer),
            bias_initializer=initializers.get(bias_initializer),
            kernel_regularizer=regularizers.get(kernel_regularizer),
            bias_regularizer=regularizers.get(bias_regularizer),
            activity_regularizer=regularizers.get(activity_regularizer),
            kernel_constraint=constraints.get(kernel_constraint),
            bias_constraint=constraints.get(bias_constraint),
            learning_rate_multiplier=check.number(learning_rate_multiplier, "learning_rate_multiplier", 0),
        )

    def _plan_entry(self):
        return self.units, core.ACTIVATIONS[self.activation], self.use_bias

    def _width(self, n):
        return self.units

    def _range(self, low, high):
        return activations.RANGES[self.activation]

    def _shapes(self, n):
        return [(n, self.units), (self.units,)][:1 + self.use_bias]

    def _penalty(self, arrays):
        given = zip((self.kernel_regularizer, self.bias_regularizer), arrays)
        return sum(regularizer(array) for regularizer, array in given if regularizer is not None)

    def _first_weights(self):
        return {"kernel": self.kernel_initializer, **({"bias": self.bias_initializer} if self.use_bias else {})}

    @property
    def _activation(self):
        return self.activation

    @property
    def _multiplier(self):
        return self.learning_rate_multiplier

    @property
    def _penalties(self):
        given = (self.kernel_regularizer, self.bias_regularizer if self.use_bias else None, self.activity_regularizer)
        return tuple(factor for each in given for factor in ((0.0, 0.0) if each is None else (each.l1, each.l2)))

    @property
    def _constraints(self):
        given = (self.kernel_constraint, self.bias_constraint if self.use_bias else None)
        return tuple((None, 0.0) if each is None else each._name_and_limit() for each in given)


@dataclass(frozen=True, init=False, repr=False)
class Activation(Layer):
    """An activation as a layer; after a linear Dense it costs nothing extra.

    Parameters
    ----------
    activation : str or function

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.Activation("softmax")
    Activation('softmax')
    """

    activation: str

    def __init__(self, activation: _ActivationLike) -> None:
        self._set(activation=activations.get(activation))

    def _plan_entry(self):
        return 0, core.ACTIVATIONS[self.activation], False

    def _range(self, low, high):
        return (low, high) if self.activation == "linear" else activations.RANGES[self.activation]

    @property
    def _activation(self):
        return self.activation


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training sets elements to 0 with probability `rate` and divides the others by 1 - rate.

    At inference it is the identity.  Which elements are dropped depends on the seed of the model,
    the pass over the data and the position of the row in it, not on threads.  Srivastava et al.
    2014, in Keras' inverted form.

    Parameters
    ----------
    rate : float in [0, 1)

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> hidden, dropout = nnfast.Dense(64, "relu"), nnfast.layers.Dropout(0.5)
    >>> model = nnfast.Sequential([nnfast.Input(8), hidden, dropout, nnfast.Dense(1)])
    >>> x = np.ones((1, 8))
    >>> np.array_equal(model.predict(x), model.predict(x))
    True
    """

    rate: float

    def __post_init__(self):
        self._set(rate=check.number(self.rate, "rate", 0, 1, open_high=True))

    def _plan_entry(self):
        return "dropout", self.rate

    def _range(self, low, high):
        return min(0, low) / (1 - self.rate), max(0, high) / (1 - self.rate)


@dataclass(frozen=True, repr=False)
class GaussianNoise(Layer):
    """In training adds normal noise of mean 0.  At inference it is the identity.

    The noise depends on the seed as in `Dropout`.

    Parameters
    ----------
    stddev : float
        At least 0.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.layers.GaussianNoise(0.1)
    GaussianNoise(0.1)
    """

    stddev: float

    def __post_init__(self):
        self._set(stddev=check.number(self.stddev, "stddev", 0))

    def _plan_entry(self):
        return "noise", self.stddev

    def _range(self, low, high):
        return (low, high) if self.stddev == 0 else super()._range(low, high)


@dataclass(frozen=True, kw_only=True, repr=False)
class _Affine(Layer):
    """The scale gamma and the offset beta of a normalization."""

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: _InitializerLike = "zeros"
    gamma_initializer: _InitializerLike = "ones"

    def __post_init__(self):
        self._set(epsilon=check.number(self.epsilon, "epsilon", 0), center=bool(self.center), scale=bool(self.scale),
                  beta_initializer=initializers.get(self.beta_initializer),
                  gamma_initializer=initializers.get(self.gamma_initializer))

    def _first_weights(self):
        gamma = {"gamma": self.gamma_initializer} if self.scale else {}
        beta = {"beta": self.beta_initializer} if self.center else {}
        return {**gamma, **beta}


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerNormalization(_Affine):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance of each row.

    Ba, Kiros and Hinton 2016.

    Parameters
    ----------
    epsilon : float
        1e-3, as in Keras (PyTorch: 1e-5).
    center, scale : bool
        Whether there is a beta and a gamma.
    beta_initializer, gamma_initializer : str or initializer

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Input(4), nnfast.layers.LayerNormalization()])
    >>> model.predict([[1., 1., 3., 3.]]).round(2)
    array([[-1., -1.,  1.,  1.]], dtype=float32)
    """

    def _plan_entry(self):
        return "layer_norm", self.epsilon, self.center, self.scale


@dataclass(frozen=True, kw_only=True, repr=False)
class BatchNormalization(_Affine):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance of each column.

    In training they are the mean and the biased variance of the batch, at inference their moving
    averages, which `get_weights` returns after gamma and beta.  Ioffe and Szegedy 2015.

    Parameters
    ----------
    momentum : float in [0, 1]
        moving <- momentum moving + (1 - momentum) batch; 0.99, as in Keras (PyTorch's is 1 -
        momentum).
    epsilon, center, scale, beta_initializer, gamma_initializer : as in LayerNormalization

    Examples
    --------
    >>> import nnfast
    >>> dense = nnfast.Dense(3, use_bias=False)
    >>> normalization = nnfast.layers.BatchNormalization()
    >>> model = nnfast.Sequential([nnfast.Input(4), dense, normalization])
    >>> [array.shape for array in model.get_weights()]
    [(4, 3), (3,), (3,), (3,), (3,)]
    """

    momentum: float = 0.99
    _moves_state = True

    def __post_init__(self):
        super().__post_init__()
        self._set(momentum=check.number(self.momentum, "momentum", 0, 1))

    def _plan_entry(self):
        return "batch_norm", self.epsilon, self.center, self.scale, self.momentum

    def _first_state(self, n):
        return [np.zeros(n), np.ones(n)]


def _columns(value, name):
    """A float, or a tuple with a float for each column."""
    array = check.floats(value, name, np.float64)
    if array.ndim > 1 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a finite number, or a vector with one for each column; got {value!r}.")
    return float(array) if array.ndim == 0 else tuple(array.tolist())


def _range_after(shift, factor, offset, *ends):
    """The interval of (x - shift) factor + offset over all columns, for x between the ends."""
    with np.errstate(invalid="ignore"):         # infinity times 0
        values = [(end - np.asarray(shift)) * factor + offset for end in ends]
    return float(min(map(np.min, values))), float(max(map(np.max, values)))


def _for_each_column(value, n, what):
    """`value`, a number or a vector of n, as an array (n,)."""
    array = np.asarray(value)
    if array.ndim == 1 and len(array) != n:
        raise ValueError(f"{what} must have a number for each of the {n} columns, got {len(array)}.")
    return np.broadcast_to(array, n)


@dataclass(frozen=True, repr=False)
class Rescaling(Layer):
    """x scale + offset, for instance `Rescaling(1 / 255)` for pixels.

    Parameters
    ----------
    scale, offset : float, or array (columns,)

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Input(2), nnfast.layers.Rescaling(1 / 255, offset=-0.5)])
    >>> model.predict(np.array([[0, 255]], np.uint8)).round(3)
    array([[-0.5,  0.5]], dtype=float32)
    """

    scale: _Columns
    offset: _Columns = 0.0

    if TYPE_CHECKING:
        def __init__(self, scale: ArrayLike, offset: ArrayLike = 0.0) -> None: ...

    def __post_init__(self):
        self._set(scale=_columns(self.scale, "scale"), offset=_columns(self.offset, "offset"))

    def _plan_entry(self):
        return ("scale",)

    def _first_state(self, n):
        scale = _for_each_column(self.scale, n, "scale of Rescaling")
        offset = _for_each_column(self.offset, n, "offset of Rescaling")
        return [np.zeros(n), scale, offset]

    def _range(self, low, high):
        return _range_after(0, np.asarray(self.scale), np.asarray(self.offset), low, high)


@dataclass(frozen=True, repr=False)
class Normalization(Layer):
    """(x - mean) / max(sqrt(variance), 1e-7), with mean and variance of each column from `adapt`.

    Parameters
    ----------
    mean, variance : float, or array (columns,); optional
        Give both to do without `adapt`.
    invert : bool
        True computes the inverse, x max(sqrt(variance), 1e-7) + mean.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.array([[1950., 0.], [2000., 2.]])
    >>> normalization = nnfast.layers.Normalization()
    >>> normalization.adapt(x)
    >>> nnfast.Sequential([nnfast.Input(2), normalization]).predict(x)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    mean: _Columns | None = None
    variance: _Columns | None = None
    invert: bool = False

    if TYPE_CHECKING:
        def __init__(self, mean: ArrayLike | None = None, variance: ArrayLike | None = None,
                     invert: bool = False) -> None: ...

    def __post_init__(self):
        if (self.mean is None) != (self.variance is None):
            raise ValueError("Normalization needs mean and variance, or neither and a call of adapt(x).")
        if self.mean is not None:
            self._set(mean=_columns(self.mean, "mean"), variance=_columns(self.variance, "variance"))
            if np.min(self.variance) < 0:
                raise ValueError(f"variance must be at least 0, got {self.variance!r}.")
        self._set(invert=bool(self.invert))

    def adapt(self, x: ArrayLike) -> None:
        """Computes mean and variance of each column of x, in float64.

        Parameters
        ----------
        x : array (n, columns), or (n, ...), whose axes after the first are flattened

        Raises
        ------
        ValueError
            If x has no row, or contains NaN or infinity; or if a model with this layer is built
            already.
        """
        if self._model is not None:
            raise ValueError("adapt must come before a model with this layer is built: the model keeps the earlier "
                             "mean and variance. Make a new layer and a new model.")
        data = check.at_least_2d(check.numeric(x, "x"), "x")
        check.at_least_one_row(data, "x")
        n = len(data)
        parts = [slice(first, first + BLOCK_ROWS) for first in range(0, n, BLOCK_ROWS)]
        with np.errstate(all="ignore"):
            mean = np.sum([data[part].sum(axis=0, dtype=np.float64) for part in parts], axis=0) / n
            variance = np.sum([((data[part].astype(np.float64) - mean) ** 2).sum(axis=0) for part in parts], axis=0) / n
        if not np.isfinite(variance).all():     # NaN and infinity in x reach the variance, too
            raise ValueError("x must be finite, and its variance too: it contains NaN or infinity, or values whose "
                             "squares exceed the range of float64.")
        self._set(mean=tuple(mean.ravel().tolist()), variance=tuple(variance.ravel().tolist()))

    def _plan_entry(self):
        if self.mean is None:
            raise ValueError("Normalization needs mean and variance before the model is built: call its adapt(x) "
                             "first, or give both.")
        return ("scale",)

    def _first_state(self, n):
        mean = _for_each_column(self.mean, n, "mean of Normalization")
        deviation = np.maximum(np.sqrt(self.variance), EPSILON)
        deviation = _for_each_column(deviation, n, "variance of Normalization")
        return [np.zeros(n), deviation, mean] if self.invert else [mean, 1 / deviation, np.zeros(n)]


@dataclass(frozen=True, repr=False)
class PReLU(Layer):
    """x if x > 0 else alpha x, with a trained alpha for each column (He et al. 2015).

    Parameters
    ----------
    alpha_initializer : str or initializer
        Zeros, as in Keras (PyTorch has one alpha for all columns, initially 0.25).

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> prelu = nnfast.layers.PReLU(nnfast.initializers.Constant(0.5))
    >>> model = nnfast.Sequential([nnfast.Input(2), prelu])
    >>> model.predict(np.array([[-1., 3.]]))
    array([[-0.5,  3. ]], dtype=float32)
    """

    alpha_initializer: _InitializerLike = "zeros"

    def __post_init__(self):
        self._set(alpha_initializer=initializers.get(self.alpha_initializer))

    def _plan_entry(self):
        return ("prelu",)

    def _range(self, low, high):
        return (low, high) if low >= 0 else super()._range(low, high)

    def _first_weights(self):
        return {"alpha": self.alpha_initializer}


def shape_of_rows(layers, n_inputs):
    """The shape of a row of x: that of Input, or (n_inputs,)."""
    return layers[0].shape if isinstance(layers[0], Input) else (n_inputs,)
