"""Losses: where the error becomes one number, and where training begins.

    error       prediction - truth: a vector
    loss        maps it to one number; training makes that number small
    gradient    d loss / d prediction: what backpropagation starts from; another loss is another gradient, so
                other weights after every step
    metric      is reported and never differentiated: adding one changes no bit of training

A loop written by hand that starts from `error * a * (1 - a)` has a loss, too: half the sum of squares over outputs.
`MeanSquaredError` is Keras': the mean over outputs, without the half, so its gradient is 2 / n_outputs times that.
To follow such a loop of learning rate lr use learning rate lr * n_outputs / 2.

>>> import nnfast
>>> nnfast.losses.MeanSquaredError()([1., 0.], [2., 3.])
5.0
"""
from dataclasses import dataclass

import numpy as np

from nnfast import _validation as check, functional
from nnfast._core import network

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "MeanAbsoluteError", "MeanSquaredError",
           "SparseCategoricalCrossentropy", "get"]


class Loss:
    """A loss as a number: the mean over samples of (value * weight); as Keras, not divided by the sum of weights.

    y_true and y_pred have one shape; the last axis is reduced, the others are samples.  Sparse losses take integer
    labels, in the shape of y_pred without its last axis.
    """

    _sparse = False
    _matching_activation = None     # on z of that one, training works on logits

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss.

        Parameters
        ----------
        y_true : array
        y_pred : array (..., n)
        sample_weight : array of the shape of y_pred without its last axis, or a number, optional

        Returns
        -------
        float

        Raises
        ------
        ValueError
            Where shapes differ or labels are out of range.
        """
        values = self._value(y_true, y_pred)
        return float(np.mean(values * self._weights(sample_weight, values.shape))) if values.size else 0.0

    def gradient(self, y_true, y_pred, sample_weight=None):
        """d loss / d y_pred.

        Parameters
        ----------
        y_true, y_pred, sample_weight : as in the call

        Returns
        -------
        array of the shape and dtype of y_pred (float64 unless y_pred is float32)
        """
        gradient = self._gradient(y_true, y_pred)
        samples = gradient.shape[:-1]
        weights = self._weights(sample_weight, samples)
        gradient *= np.asarray(weights / max(int(np.prod(samples)), 1), gradient.dtype)[..., None]
        return gradient

    def _weights(self, sample_weight, shape):
        if sample_weight is None:
            return np.ones(shape)
        weights = check.numeric(sample_weight, "sample_weight").astype(np.float64)
        if weights.shape == (*shape, 1):
            weights = weights[..., 0]
        if weights.shape not in ((), shape):
            raise ValueError(f"sample_weight must have shape {shape}, a number for each sample; got {weights.shape}.")
        return np.broadcast_to(weights, shape)

    def _value(self, y_true, y_pred):
        return getattr(functional, self._kernel)(y_true, y_pred, **self._options())

    def _gradient(self, y_true, y_pred):
        return getattr(functional, f"{self._kernel}_gradient")(y_true, y_pred, **self._options())

    def _options(self):
        return {}

    def _native(self, last_activation):
        """Code of the kernel in training, and whether it takes the input of the last activation."""
        return network.LOSSES[self._kernel], False


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """mean (y_pred - y_true)^2 over the last axis, without a half; gradient 2 (y_pred - y_true) / n.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanSquaredError().gradient([1., 0.], [2., 3.])
    array([1., 3.])
    """

    _kernel = "mean_squared_error"


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """mean |y_pred - y_true| over the last axis; gradient sign(y_pred - y_true) / n, and 0 where they are equal.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.MeanAbsoluteError()([1., 0.], [2., 3.])
    2.0
    """

    _kernel = "mean_absolute_error"


class _Crossentropy(Loss):
    """Of probabilities, clipped to [1e-7, 1 - 1e-7], or of logits.

    Behind the activation that matches (softmax; sigmoid for the binary one) training works on the logits whatever
    `from_logits` says, as Keras on TensorFlow does: no clip, no overflow, and the gradient there is p - y.
    """

    def _options(self):
        return {"from_logits": self.from_logits}

    def _native(self, last_activation):
        if last_activation == self._matching_activation:
            if self.from_logits:
                import warnings

                warnings.warn(f"{type(self).__name__}(from_logits=True) after {last_activation}: the logits before the "
                              f"{last_activation} are used. Drop from_logits=True or the activation.", stacklevel=4)
            return network.LOSSES[f"{self._kernel}_logits"], True
        return network.LOSSES[self._kernel + ("_logits" if self.from_logits else "")], False


@dataclass(frozen=True)
class BinaryCrossentropy(_Crossentropy):
    """-mean (y log p + (1 - y) log(1 - p)) over the last axis: each output is a question of its own, y in [0, 1].

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = sigmoid(z).

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.BinaryCrossentropy()([[1.]], [[0.75]]), 7)
    0.2876821
    """

    from_logits: bool = False
    _kernel = "binary_crossentropy"
    _matching_activation = "sigmoid"


@dataclass(frozen=True)
class CategoricalCrossentropy(_Crossentropy):
    """-sum y log(p / sum p) over the last axis, y one-hot or any weights of classes.

    Its gradient is negative for the true class and grows as 1 / p while the probability falls to the clip at 1e-7.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = softmax(z).

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.CategoricalCrossentropy()([[0, 1, 0], [1, 0, 0]], [[.15, .75, .1], [.75, .15, .1]]), 7)
    0.2876821
    """

    from_logits: bool = False
    _kernel = "categorical_crossentropy"
    _matching_activation = "softmax"


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(_Crossentropy):
    """CategoricalCrossentropy for integer labels: -log(p_label / sum p), without a one-hot matrix.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z, p = softmax(z).

    Examples
    --------
    >>> import nnfast
    >>> round(nnfast.losses.SparseCategoricalCrossentropy()([1, 0], [[.15, .75, .1], [.75, .15, .1]]), 7)
    0.2876821
    """

    from_logits: bool = False
    _kernel = "sparse_categorical_crossentropy"
    _matching_activation = "softmax"
    _sparse = True


_NAMES = {
    "mean_squared_error": MeanSquaredError, "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError, "mae": MeanAbsoluteError,
    "binary_crossentropy": BinaryCrossentropy, "bce": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
_NAMES.update({cls.__name__: cls for cls in set(_NAMES.values())})


def get(identifier):
    """A loss from its name, class or function of `nnfast.functional`, or the loss itself.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.losses.get("mse")
    MeanSquaredError()
    """
    if isinstance(identifier, Loss):
        return identifier
    name = getattr(identifier, "__name__", identifier)
    ours = isinstance(identifier, str) or identifier in _NAMES.values() or identifier is getattr(functional, str(name), None)
    for candidate in (name, str(name).lower()):
        if ours and candidate in _NAMES:
            return _NAMES[candidate]()
    raise check.unknown("loss", identifier, _NAMES)
