from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from nnfast.schedules import Schedule

__all__ = ["LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "Optimizer", "RAdam", "RMSprop", "get"]

_Rate: TypeAlias = float | Schedule | Callable[[int], float]
_AnyOptimizer: TypeAlias = Optimizer | LBFGS
_OptimizerLike: TypeAlias = str | _AnyOptimizer | type[_AnyOptimizer]

@dataclass(kw_only=True, repr=False)
class Optimizer:
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    gradient_accumulation_steps: int | None = None

@dataclass(repr=False)
class SGD(Optimizer):
    learning_rate: _Rate = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

@dataclass(repr=False)
class RMSprop(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-07
    centered: bool = False

@dataclass(repr=False)
class Adam(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-07
    amsgrad: bool = False
    epsilon_form: Literal["keras", "pytorch"] = "keras"

@dataclass(repr=False)
class AdamW(Adam):
    _: KW_ONLY
    weight_decay: float | None = 0.004

@dataclass(repr=False)
class Adagrad(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-07

@dataclass(repr=False)
class Adadelta(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    rho: float = 0.95
    epsilon: float = 1e-07

@dataclass(repr=False)
class Adamax(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-07

@dataclass(repr=False)
class Nadam(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-07

@dataclass(repr=False)
class Lion(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.99

@dataclass(repr=False)
class RAdam(Optimizer):
    learning_rate: _Rate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-08

@dataclass(kw_only=True, repr=False)
class LBFGS:
    maxcor: int = 10
    ftol: float = 2.220446049250313e-09
    gtol: float = 1e-05
    maxls: int = 20

def get(identifier: _OptimizerLike) -> _AnyOptimizer: ...
