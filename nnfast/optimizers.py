"""Optimizers: hyperparameters with Keras' names, defaults and formulas.

The kernels are in _core/optimizers.pxd.

Every option is checked when it is set.  So it may be changed after `compile`, between fits or by a
callback.

In the formulas g is the gradient, w a weight, and t the number of the step, from 1.
"""
from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, cast

from nnfast import _validation as check, schedules

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from nnfast.schedules import Schedule

    _Rate: TypeAlias = float | Schedule | Callable[[int], float]
    _AnyOptimizer: TypeAlias = "Optimizer | LBFGS"
    _OptimizerLike: TypeAlias = "str | _AnyOptimizer | type[_AnyOptimizer]"

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "Optimizer", "RAdam", "RMSprop",
    "get",
]


def _learning_rate(value, name):
    return value if callable(value) else check.number(value, name, 0)


def _optional(valid):
    return lambda value, name: None if value is None else valid(value, name)


_below_one = partial(check.number, low=0, high=1, open_high=True)
_up_to_one = partial(check.number, low=0, high=1)
_at_least_zero = partial(check.number, low=0)
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_CHECKS = {
    "learning_rate": _learning_rate, "momentum": _up_to_one, "rho": _below_one,
    "beta_1": _below_one, "beta_2": _below_one,
    "epsilon": _at_least_zero, "epsilon_form": partial(check.one_of, valid=("keras", "pytorch")),
    "initial_accumulator_value": _at_least_zero, "weight_decay": _optional(_at_least_zero),
    **dict.fromkeys(_CLIPS, _optional(check.positive)),
    "ema_momentum": _up_to_one, "ema_overwrite_frequency": _optional(check.size),
    "gradient_accumulation_steps": _optional(partial(check.size, least=2)),
    "maxcor": check.size, "maxls": check.size, "ftol": _at_least_zero, "gtol": _at_least_zero,
}


class _Options:
    """A dataclass whose fields are checked when they are set; `repr` shows how to make it again."""

    _model: Any = None      # weak reference to the model that is compiled with it; a copy belongs to no model

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def __setattr__(self, name, value):
        known = [field.name for field in fields(self)]
        if name not in known:
            raise AttributeError(f"{type(self).__name__} has no option {name!r}; its options are {', '.join(known)}.")
        value = _CHECKS[name](value, name) if name in _CHECKS else bool(value)
        if name in _CLIPS and value is not None:
            for other in _CLIPS:
                if other != name and vars(self).get(other) is not None:
                    raise ValueError(f"only one of {', '.join(_CLIPS)} can be set; got {other}={getattr(self, other)} "
                                     f"and {name}={value}.")
        super().__setattr__(name, value)

    def __repr__(self):
        shown = [field.name for field in fields(self)
                 if field.name == "learning_rate" or getattr(self, field.name) != field.default]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


@dataclass(kw_only=True, repr=False)
class Optimizer(_Options):
    """Base of all first-order optimizers, with the options that all of them take.

    A step takes the gradient, or the mean of accumulated gradients; clips it; applies the weight
    decay; applies the formula of the optimizer; and updates the running mean of the weights.

    Parameters
    ----------
    learning_rate : float, schedule or callable
        A float, one of nnfast.schedules, or a function from the step (batches trained so far, from
        0) to a float.  It is the first parameter of every optimizer.
    weight_decay : float, optional
        Before each step every weight, biases too, is multiplied by
        1 - learning_rate * weight_decay, independently of its gradient (Loshchilov and Hutter
        2019), as in Keras.
    clipnorm : float, optional
        Largest norm of the gradient of each kernel and each bias; longer gradients are scaled down.
    clipvalue : float, optional
        Largest absolute value of each element of the gradient.
    global_clipnorm : float, optional
        Largest norm of the gradient of all weights together.  Only one of the three can be set.
        Both norms need the whole gradient: they cost a pass over it and two barriers between
        threads.
    use_ema : bool
        Keeps a running mean of the weights, average <- ema_momentum average + (1 - ema_momentum) w
        after each batch.  As in Keras, a fit trains and validates with the weights themselves and
        ends by setting them to their mean.
    ema_momentum : float in [0, 1]
    ema_overwrite_frequency : int, optional
        Also sets the weights to their mean after every `ema_overwrite_frequency` steps.
    gradient_accumulation_steps : int of at least 2, optional
        Takes one step with the mean gradient of this number of batches, also across epochs.  A
        schedule still counts batches, as in Keras.

    Examples
    --------
    >>> import nnfast
    >>> optimizer = nnfast.optimizers.Adam(1e-3, weight_decay=0.01, clipnorm=1.0)
    >>> optimizer.learning_rate = nnfast.schedules.CosineDecay(1e-3, decay_steps=1000)
    >>> isinstance(optimizer, nnfast.optimizers.Optimizer)
    True
    """

    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    gradient_accumulation_steps: int | None = None

    def _start(self):
        """Initial value of each element of the state."""
        return 0.

    def _common(self):
        """The common options as arguments of `Network.set_optimizer`."""
        return {"weight_decay": self.weight_decay or 0., "clipvalue": self.clipvalue or 0.,
                "clipnorm": self.clipnorm or 0., "global_clipnorm": self.global_clipnorm or 0.,
                "accumulate": self.gradient_accumulation_steps or 1,
                "ema_momentum": self.ema_momentum if self.use_ema else -1.,
                "ema_overwrite": self.ema_overwrite_frequency or 0}

    def _layout(self):
        """What the layout of the state depends on: when it changes, the state starts anew.

        `_kernel_and_settings` of an optimizer returns the name of its kernel in `core.OPTIMIZERS`
        and the settings of the kernel, in order.
        """
        return self._kernel_and_settings()[0], self.gradient_accumulation_steps is not None, self.use_ema

    def _rates(self, first, count):
        """Learning rate of `count` steps from step `first` on: a float, or an array."""
        rate = self.learning_rate
        return schedules.rates_of(rate, first, count) if callable(rate) else rate


@dataclass(repr=False)
class SGD(Optimizer):
    """Gradient descent, optionally with momentum or Nesterov momentum.

    velocity <- momentum velocity - learning_rate g;
    w <- w + velocity, or with `nesterov` w + momentum velocity - learning_rate g.
    As in Keras, and unlike PyTorch, the velocity contains the learning rate.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    momentum : float in [0, 1]
    nesterov : bool
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9)
    """

    learning_rate: _Rate = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def _kernel_and_settings(self):
        if self.momentum == 0:
            return "sgd", []
        return ("nesterov" if self.nesterov else "momentum"), [self.momentum]


@dataclass(repr=False)
class RMSprop(Optimizer):
    """Divides the gradient by its running root mean square (Hinton 2012), in the form of Keras.

    v <- rho v + (1 - rho) g^2;
    velocity <- momentum velocity + learning_rate g / sqrt(v + epsilon);
    w <- w - velocity.  Epsilon is under the root; in PyTorch and scikit-learn it is not.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    rho : float in [0, 1)
    momentum : float in [0, 1]
    epsilon : float
    centered : bool
        Divides by the running standard deviation: under the root, v minus the square of the running
        mean replaces v; it is at least 0 (in Keras rounding may give NaN).
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.RMSprop(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.3162])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def _kernel_and_settings(self):
        name = "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum > 0)
        return name, [self.rho, self.epsilon, self.momentum]


@dataclass(repr=False)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), in the form of Keras.

    Epsilon is added to sqrt(v) before its bias correction:

    m <- m + (g - m)(1 - beta_1);
    v <- v + (g^2 - v)(1 - beta_2);
    w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
        PyTorch's and scikit-learn's default is 1e-8.
    amsgrad : bool
        Divides by the root of the largest v so far (Reddi, Kale and Kumar 2018).
    epsilon_form : {"keras", "pytorch"}
        "pytorch" adds epsilon to sqrt(v / (1 - beta_2^t)), as algorithm 1 of the paper and PyTorch
        do.
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.Adam(1e-3)
    Adam(learning_rate=0.001)
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    epsilon_form: Literal["keras", "pytorch"] = "keras"

    def _kernel_and_settings(self):
        pytorch = float(self.epsilon_form == "pytorch")
        return "amsgrad" if self.amsgrad else "adam", [self.beta_1, self.beta_2, self.epsilon, pytorch]


@dataclass(repr=False)
class AdamW(Adam):
    """`Adam` with weight_decay=0.004 by default (Loshchilov and Hutter 2019), as in Keras.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, amsgrad, epsilon_form : as for `Adam`
    weight_decay : float
        PyTorch's default is 0.01.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.AdamW(1e-3)
    AdamW(learning_rate=0.001)
    """

    _: KW_ONLY
    weight_decay: float | None = 0.004


@dataclass(repr=False)
class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares (Duchi et al. 2011).

    In the form of Keras: sum <- sum + g^2; w <- w - learning_rate g / sqrt(sum + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    initial_accumulator_value : float
        Initial value of the sum, read by `compile`.
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.Adagrad(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.0997])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def _start(self):
        return self.initial_accumulator_value

    def _kernel_and_settings(self):
        return "adagrad", [self.epsilon]


@dataclass(repr=False)
class Adadelta(Optimizer):
    """Scales the gradient by the ratio of the running sizes of steps and gradients (Zeiler 2012).

    v <- rho v + (1 - rho) g^2;
    step = sqrt((d + epsilon) / (v + epsilon)) g;
    d <- rho d + (1 - rho) step^2;
    w <- w - learning_rate step.
    The paper has a learning rate of 1; the default is Keras'.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    rho : float in [0, 1)
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.Adadelta(1.0), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.0014])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    rho: float = 0.95
    epsilon: float = 1e-7

    def _kernel_and_settings(self):
        return "adadelta", [self.rho, self.epsilon]


@dataclass(repr=False)
class Adamax(Optimizer):
    """Adam with the largest gradient instead of the root mean square.

    Kingma and Ba 2015, section 7.1:

    m <- m + (g - m)(1 - beta_1);
    u <- max(beta_2 u, |g|);
    w <- w - learning_rate / (1 - beta_1^t) m / (u + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.Adamax(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.1])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def _kernel_and_settings(self):
        return "adamax", [self.beta_1, self.beta_2, self.epsilon]


@dataclass(repr=False)
class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016), which warms up as u_t = beta_1 (1 - 0.96^t / 2).

    m and v as in Adam;
    mean = u_(t+1) m / (1 - u_1 ... u_(t+1)) + (1 - u_t) g / (1 - u_1 ... u_t);
    w <- w - learning_rate mean / (sqrt(v / (1 - beta_2^t)) + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.Nadam(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.1063])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def _kernel_and_settings(self):
        return "nadam", [self.beta_1, self.beta_2, self.epsilon]


@dataclass(repr=False)
class Lion(Optimizer):
    """Takes steps of the same size in the direction of the sign of a momentum (Chen et al. 2023).

    w <- w - learning_rate sign(beta_1 m + (1 - beta_1) g); m <- beta_2 m + (1 - beta_2) g.  The
    authors advise a learning rate 3 to 10 times smaller than for Adam, and a weight decay larger by
    the same factor.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.Lion(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.1])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.99

    def _kernel_and_settings(self):
        return "lion", [self.beta_1, self.beta_2]


@dataclass(repr=False)
class RAdam(Optimizer):
    """Adam with a rectified learning rate (Liu et al. 2020), in the form of PyTorch.

    It begins with plain momentum, until v is known well enough.  m and v as in Adam;

    rho = 2 / (1 - beta_2) - 1;
    rho_t = rho - 2 t beta_2^t / (1 - beta_2^t);
    r_t^2 = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t);
    where rho_t > 5, w <- w - learning_rate r_t sqrt(1 - beta_2^t) / (1 - beta_1^t) m
    / (sqrt(v) + epsilon);
    before that, w <- w - learning_rate / (1 - beta_1^t) m.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
        1e-8 by default, as in PyTorch.
    weight_decay, clipnorm, use_ema and more : as in `Optimizer`
        The weight decay equals PyTorch's with decoupled_weight_decay=True.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> layer = nnfast.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = nnfast.Sequential([layer], dtype="float64")
    >>> model.compile(nnfast.optimizers.RAdam(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))     # g = 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.4])
    """

    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def _kernel_and_settings(self):
        return "radam", [self.beta_1, self.beta_2, self.epsilon]


@dataclass(kw_only=True, repr=False)
class LBFGS(_Options):
    """L-BFGS (Liu and Nocedal 1989) over all rows at once, with SciPy's L-BFGS-B; it needs SciPy.

    For small nets and data that fit in memory.  In `fit` an epoch is one iteration: a direction
    from the last gradients and a line search along it, which may take several passes over the data.
    The loss of an epoch is the loss after its iteration.  The fit ends early when the method has
    converged; a second fit continues from the weights, without the gradients of the first.  float64
    models converge further: in float32 the line search is limited by rounding.

    Parameters
    ----------
    maxcor : int
        Number of gradients that are kept.
    ftol, gtol : float
        The method has converged when the loss falls by less than the fraction ftol, or when no
        element of the gradient exceeds gtol.
    maxls : int
        Most passes over the data in one line search.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.linspace(-1, 1, 32).reshape(-1, 1)
    >>> layers = [nnfast.Dense(4, "tanh"), nnfast.Dense(1)]
    >>> model = nnfast.Sequential(layers, dtype="float64", seed=0)
    >>> model.compile("lbfgs", "mse")
    >>> model.fit(x, x**2, epochs=100, verbose=0).history["loss"][-1] < 1e-3
    True
    """

    maxcor: int = 10
    ftol: float = 2.220446049250313e-09
    gtol: float = 1e-5
    maxls: int = 20

    def _start(self):
        return 0.

    def _common(self):
        return {}

    def _layout(self):
        return "lbfgs", False, False

    def _kernel_and_settings(self):
        """L-BFGS runs in SciPy; the native SGD kernel is only a placeholder here."""
        return "sgd", []


_NAMES: dict[str, type[_AnyOptimizer]] = {
    name.lower(): globals()[name] for name in __all__ if name not in ("Optimizer", "get")}


def get(identifier: _OptimizerLike) -> _AnyOptimizer:
    """Returns the optimizer of a name or class; an optimizer is returned unchanged.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.get("adam").learning_rate
    0.001
    """
    if isinstance(identifier, tuple(_NAMES.values())):
        return cast("_AnyOptimizer", identifier)
    if isinstance(identifier, type) and identifier in _NAMES.values():
        return identifier()
    if isinstance(identifier, str) and identifier.lower() in _NAMES:
        return _NAMES[identifier.lower()]()
    raise check.unknown("optimizer", identifier, _NAMES)
