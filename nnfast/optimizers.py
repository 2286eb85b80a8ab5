"""Optimizers: hyper-parameters with Keras' names, defaults and formulas; the steps are in _core/optimizers.pxd.

An option is checked whenever it is set, so that one that is changed after `compile`, between fits or by a callback, is
as good as one given first.
"""
from dataclasses import KW_ONLY, dataclass, fields
from functools import partial

from nnfast import _validation as check, schedules

__all__ = ["LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "Optimizer", "RAdam", "RMSprop", "get"]


def _learning_rate(value, name):
    return value if callable(value) else check.number(value, name, 0)


def _optional(valid):
    return lambda value, name: None if value is None else valid(value, name)


_below_one = partial(check.number, low=0, high=1, open_high=True)
_up_to_one = partial(check.number, low=0, high=1)
_at_least_zero = partial(check.number, low=0)
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_CHECKS = {
    "learning_rate": _learning_rate, "momentum": _up_to_one, "rho": _below_one, "beta_1": _below_one, "beta_2": _below_one,
    "epsilon": _at_least_zero, "epsilon_form": partial(check.one_of, valid=("keras", "pytorch")),
    "initial_accumulator_value": _at_least_zero, "weight_decay": _optional(_at_least_zero),
    **dict.fromkeys(_CLIPS, _optional(check.positive)), "ema_momentum": _up_to_one, "ema_overwrite_frequency": _optional(check.size),
    "gradient_accumulation_steps": _optional(partial(check.size, least=2)),
    "maxcor": check.size, "maxls": check.size, "ftol": _at_least_zero, "gtol": _at_least_zero,
}


class _Options:
    """Fields that are checked when they are set, and shown so that they can be given again."""

    _model = None           # weak reference to the model it is compiled into; a copy belongs to none

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def __setattr__(self, name, value):
        known = [field.name for field in fields(self)]
        if name not in known:
            raise AttributeError(f"{type(self).__name__} has no option {name!r}; its options are {', '.join(known)}.")
        value = _CHECKS[name](value, name) if name in _CHECKS else bool(value)
        others = [other for other in _CLIPS if other != name and vars(self).get(other) is not None] if name in _CLIPS and value is not None else []
        if others:
            raise ValueError(f"only one of {', '.join(_CLIPS)} can be set; got {others[0]}={getattr(self, others[0])} and {name}={value}.")
        super().__setattr__(name, value)

    def __repr__(self):
        shown = [field.name for field in fields(self) if field.name == "learning_rate" or getattr(self, field.name) != field.default]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


@dataclass(kw_only=True, repr=False)
class Optimizer(_Options):
    """What all optimizers of first order take, besides their own options.

    Parameters
    ----------
    learning_rate : float, schedule or callable
        One of nnfast.schedules, or a function from the step (batches trained so far, from 0) to a float.  The first
        parameter of every optimizer.
    weight_decay : float, optional
        Before its step every weight, biases too, loses learning_rate * weight_decay of itself, apart from its gradient
        (Loshchilov and Hutter 2019), as in Keras.
    clipnorm : float, optional
        The gradient of each kernel and each bias is shortened to this norm where it is longer.
    clipvalue : float, optional
        Every number of the gradient is bounded by this.
    global_clipnorm : float, optional
        The gradient of all weights is shortened to this norm.  Only one of the three can be set.  A bound on a norm waits
        for the whole gradient: it costs a pass over it, and two barriers between threads.
    use_ema : bool
        Keep a running mean of the weights, average <- ema_momentum average + (1 - ema_momentum) w after each batch.  As in
        Keras a fit trains and validates on the weights themselves and ends by setting them to their mean.
    ema_momentum : float in [0, 1]
    ema_overwrite_frequency : int, optional
        Also set the weights to their mean after each `ema_overwrite_frequency` steps.
    gradient_accumulation_steps : int of at least 2, optional
        Add up the gradients of this number of batches, also over the ends of epochs, and take a step by their mean.  A schedule
        still counts batches, as in Keras.

    Order in a step: mean over batches, clipping, weight decay, the optimizer, the running mean.

    Examples
    --------
    >>> import nnfast
    >>> optimizer = nnfast.optimizers.Adam(1e-3, weight_decay=0.01, clipnorm=1.0)
    >>> optimizer.learning_rate = nnfast.schedules.CosineDecay(1e-3, decay_steps=1000)         # also later
    >>> isinstance(optimizer, nnfast.optimizers.Optimizer)
    True
    """

    weight_decay: float = None
    clipnorm: float = None
    clipvalue: float = None
    global_clipnorm: float = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int = None
    gradient_accumulation_steps: int = None

    def _start(self):
        """What each number of the state is before the first step."""
        return 0.

    def _common(self):
        """Options that every kernel has, in the words of the core."""
        return {"weight_decay": self.weight_decay or 0., "clipvalue": self.clipvalue or 0., "clipnorm": self.clipnorm or 0.,
                "global_clipnorm": self.global_clipnorm or 0., "accumulate": self.gradient_accumulation_steps or 1,
                "ema_momentum": self.ema_momentum if self.use_ema else -1., "ema_overwrite": self.ema_overwrite_frequency or 0}

    def _layout(self):
        """What the state of the core depends on: another one begins anew."""
        return self._native()[0], self.gradient_accumulation_steps is not None, self.use_ema

    def _rates(self, first, count):
        """The learning rate of `count` steps from step `first` on: one number, or an array."""
        return schedules.rates_of(self.learning_rate, first, count) if callable(self.learning_rate) else self.learning_rate


@dataclass(repr=False)
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's form of it.

    velocity <- momentum velocity - learning_rate g; w <- w + velocity, or with `nesterov`
    w + momentum velocity - learning_rate g.  As in Keras, and unlike PyTorch, the velocity contains the learning rate.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    momentum : float in [0, 1]
    nesterov : bool
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9)
    """

    learning_rate: object = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def _native(self):
        """Name of the kernel and its settings."""
        if self.momentum == 0:
            return "sgd", []
        return ("nesterov" if self.nesterov else "momentum"), [self.momentum]


@dataclass(repr=False)
class RMSprop(Optimizer):
    """Steps over a running root mean square of the gradient (Hinton 2012), in the form of Keras.

    v <- rho v + (1 - rho) g^2; velocity <- momentum velocity + learning_rate g / sqrt(v + epsilon); w <- w - velocity.
    Epsilon stands under the root: PyTorch's and scikit-learn's does not.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    rho : float in [0, 1)
    momentum : float in [0, 1]
    epsilon : float
    centered : bool
        Divide by the running standard deviation: v minus the square of the running mean (not below 0, where rounding
        makes Keras' NaN).
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.RMSprop(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.3162])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def _native(self):
        name = "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum > 0)
        return name, [self.rho, self.epsilon, self.momentum]


@dataclass(repr=False)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), in the form of Keras: epsilon is added to sqrt(v) before its bias correction.

    m <- m + (g - m)(1 - beta_1); v <- v + (g^2 - v)(1 - beta_2);
    w <- w - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
        PyTorch's and scikit-learn's default is 1e-8.
    amsgrad : bool
        Divide by the root of the largest v so far (Reddi, Kale and Kumar 2018).
    epsilon_form : {"keras", "pytorch"}
        "pytorch" adds epsilon to sqrt(v / (1 - beta_2^t)), as algorithm 1 of the paper and PyTorch do.
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import nnfast
    >>> nnfast.optimizers.Adam(1e-3)
    Adam(learning_rate=0.001)
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    epsilon_form: str = "keras"

    def _native(self):
        return "amsgrad" if self.amsgrad else "adam", [self.beta_1, self.beta_2, self.epsilon, float(self.epsilon_form == "pytorch")]


@dataclass(repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `Adam` whose weight_decay is 0.004, as in Keras.

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
    weight_decay: float = 0.004


@dataclass(repr=False)
class Adagrad(Optimizer):
    """Steps over the root of the sum of all squared gradients (Duchi, Hazan and Singer 2011), in the form of Keras.

    sum <- sum + g^2; w <- w - learning_rate g / sqrt(sum + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    initial_accumulator_value : float
        Of the sum; it counts when a model is compiled.
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.Adagrad(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.0997])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def _start(self):
        return self.initial_accumulator_value

    def _native(self):
        return "adagrad", [self.epsilon]


@dataclass(repr=False)
class Adadelta(Optimizer):
    """Steps as long as the last ones over the running size of the gradient (Zeiler 2012).

    v <- rho v + (1 - rho) g^2; step = sqrt((d + epsilon) / (v + epsilon)) g; d <- rho d + (1 - rho) step^2;
    w <- w - learning_rate step.  The learning rate of the paper is 1, that of Keras' default 0.001.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    rho : float in [0, 1)
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.Adadelta(1.0), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.0014])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    rho: float = 0.95
    epsilon: float = 1e-7

    def _native(self):
        return "adadelta", [self.rho, self.epsilon]


@dataclass(repr=False)
class Adamax(Optimizer):
    """Adam with the largest gradient in place of the root mean square (Kingma and Ba 2015, section 7.1).

    m <- m + (g - m)(1 - beta_1); u <- max(beta_2 u, |g|); w <- w - learning_rate / (1 - beta_1^t) m / (u + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.Adamax(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.1])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def _native(self):
        return "adamax", [self.beta_1, self.beta_2, self.epsilon]


@dataclass(repr=False)
class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016), which warms up as u_t = beta_1 (1 - 0.96^t / 2).

    m and v as Adam's; w <- w - learning_rate (u_(t+1) m / (1 - u_1 ... u_(t+1)) + (1 - u_t) g / (1 - u_1 ... u_t)) /
    (sqrt(v / (1 - beta_2^t)) + epsilon).

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.Nadam(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.1063])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def _native(self):
        return "nadam", [self.beta_1, self.beta_2, self.epsilon]


@dataclass(repr=False)
class Lion(Optimizer):
    """Steps of one length, in the direction of the sign of a momentum (Chen et al. 2023).

    w <- w - learning_rate sign(beta_1 m + (1 - beta_1) g); m <- beta_2 m + (1 - beta_2) g.  Learning rates 3 to 10 times
    smaller than Adam's, and weight decays as many times larger, are its authors' advice.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.Lion(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.1])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.99

    def _native(self):
        return "lion", [self.beta_1, self.beta_2]


@dataclass(repr=False)
class RAdam(Optimizer):
    """Adam with a rectified rate: plain momentum until v has seen enough (Liu et al. 2020), in the form of PyTorch.

    rho = 2 / (1 - beta_2) - 1; rho_t = rho - 2 t beta_2^t / (1 - beta_2^t); where rho_t > 5
    w <- w - learning_rate r_t sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon) with
    r_t^2 = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t), else w <- w - learning_rate / (1 - beta_1^t) m.

    Parameters
    ----------
    learning_rate : float, schedule or callable
    beta_1, beta_2 : float in [0, 1)
    epsilon : float
        As in PyTorch, 1e-8 by default.
    weight_decay, clipnorm, use_ema and more : as for every `Optimizer`
        The decay is that of PyTorch with decoupled_weight_decay=True.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> model = nnfast.Sequential([nnfast.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    >>> model.compile(nnfast.optimizers.RAdam(0.1), "mse")
    >>> loss = model.train_on_batch(np.array([[1.]]), np.array([[3.]]))        # the gradient is 2 (1 - 3) = -4
    >>> model.params.round(4)
    array([1.4])
    """

    learning_rate: object = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def _native(self):
        return "radam", [self.beta_1, self.beta_2, self.epsilon]


@dataclass(kw_only=True, repr=False)
class LBFGS(_Options):
    """L-BFGS (Liu and Nocedal 1989) over all rows at once, through SciPy's L-BFGS-B; it needs SciPy.

    For small nets and data that fit in memory.  In `fit` an epoch is one iteration: a direction from the last gradients
    and a line search along it, which may take several passes over the data.  The loss of an epoch is that after its
    iteration.  The fit ends early where the method has converged; a second fit goes on from the weights, without the
    gradients of the first.  float64 models converge further: in float32 a line search meets the end of the digits.

    Parameters
    ----------
    maxcor : int
        Gradients that are kept.
    ftol, gtol : float
        Converged: the loss falls by less than ftol of itself, or no component of the gradient exceeds gtol.
    maxls : int
        Passes over the data in one line search.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> x = np.linspace(-1, 1, 32).reshape(-1, 1)
    >>> model = nnfast.Sequential([nnfast.Dense(4, "tanh"), nnfast.Dense(1)], dtype="float64", seed=0)
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

    def _native(self):
        """L-BFGS runs in SciPy; the native SGD kernel, which keeps no state, is only a placeholder here."""
        return "sgd", []


_NAMES = {name.lower(): globals()[name] for name in __all__ if name not in ("Optimizer", "get")}


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
