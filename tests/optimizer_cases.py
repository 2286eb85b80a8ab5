"""An optimizer for each kernel, with options that differ from the defaults."""
from nnfast import optimizers

CASES = {       # kernel: class, options
    "sgd": (optimizers.SGD, {}),
    "momentum": (optimizers.SGD, {"momentum": 0.9}),
    "nesterov": (optimizers.SGD, {"momentum": 0.8, "nesterov": True}),
    "rmsprop": (optimizers.RMSprop, {"rho": 0.8, "epsilon": 1e-3}),
    "rmsprop_momentum": (optimizers.RMSprop, {"rho": 0.8, "momentum": 0.7, "epsilon": 1e-3}),
    "rmsprop_centered": (optimizers.RMSprop, {"rho": 0.7, "epsilon": 1e-2, "centered": True}),
    "rmsprop_centered_momentum": (optimizers.RMSprop, {"rho": 0.8, "momentum": 0.6, "epsilon": 1e-2, "centered": True}),
    "adam": (optimizers.Adam, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "amsgrad": (optimizers.Adam, {"beta_1": 0.8, "beta_2": 0.7, "epsilon": 1e-3, "amsgrad": True}),
    "radam": (optimizers.RAdam, {"beta_1": 0.8, "beta_2": 0.98, "epsilon": 1e-3}),
    "adagrad": (optimizers.Adagrad, {"initial_accumulator_value": 0.3, "epsilon": 1e-3}),
    "adadelta": (optimizers.Adadelta, {"rho": 0.8, "epsilon": 1e-2}),
    "adamax": (optimizers.Adamax, {"beta_1": 0.7, "beta_2": 0.6, "epsilon": 1e-3}),
    "nadam": (optimizers.Nadam, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "lion": (optimizers.Lion, {"beta_1": 0.8, "beta_2": 0.95}),
}


def make(kernel, learning_rate, **more):
    """The optimizer of a kernel."""
    cls, options = CASES[kernel]
    return cls(learning_rate, **options, **more)
