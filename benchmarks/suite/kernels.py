"""Kernels alone, float32, at each CPU level: which one became slower?

A new kernel is measured without a change here.
"""
import re
from functools import cache

import numpy as np

from nnfast import losses

from . import workloads
from .common import LEVELS, core, declared, member, optimizers_by_kernel, per, source

SHAPE = (256, 256)      # stays in the cache; the call costs little beside it
REPEATS = 20


@cache
def uniform(seed, shape=SHAPE):
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32)


class Activation:
    """How long does an activation of 256 x 256 elements take, and delta <- delta f'(z)?"""

    params = [declared("activation_codes", "_core/activations.pxd"), LEVELS]
    param_names = ["activation", "level"]

    def setup(self, name, level):
        self.core = core(level)
        self.kind = member(self.core.ACTIVATIONS, name)
        self.z, self.a = 4 * uniform(0) - 2, uniform(1).copy()
        self.delta = np.zeros(SHAPE, np.float32)        # stays 0; other values would become denormal when repeated
        self.core.apply_activation(self.kind, self.z, self.a)
        self.core.apply_activation_gradient(self.kind, self.z, self.a, self.delta)
        self.timer = per(REPEATS)

    def time_forward(self, name, level):
        for _ in range(REPEATS):
            self.core.apply_activation(self.kind, self.z, self.a)

    def time_gradient(self, name, level):
        for _ in range(REPEATS):
            self.core.apply_activation_gradient(self.kind, self.z, self.a, self.delta)


LOGITS = " from logits"


def loss_names():
    """Names of the losses; some also have a form for logits."""
    kernels = declared("loss_codes", "_core/losses.pxd")
    names = re.findall(r"^(\w+), \w+_gradient = _functions\(", source("losses.py"), re.MULTILINE)
    return [name + form for name in names for form in ("", LOGITS) if not form or f"{name}_logits" in kernels]


class Loss:
    """How long do the values and the gradient of a loss take on 256 rows of 256 predictions?"""

    params = [loss_names(), LEVELS]
    param_names = ["loss", "level"]

    def setup(self, name, level):
        native = core(level)
        kernel = member(vars(native), "LossKernel")
        cls = member(losses._CLASSES, name.removesuffix(LOGITS))
        loss = cls(from_logits=True) if name.endswith(LOGITS) else cls()
        rows, n = SHAPE
        code = native.LOSSES[loss._kernel_name + ("_logits" if loss.from_logits else "")]
        self.kernel = kernel(code, loss._settings_for(n), loss._by_column(n))
        self.y = np.arange(rows) % n if loss._sparse else uniform(2, (rows, n // 2 if name == "gaussian_nll" else n))
        self.p, self.delta, self.values = uniform(3), np.empty(SHAPE, np.float32), np.empty(rows)
        self.kernel(self.y, self.p, self.delta, self.values, 1 / rows)
        self.timer = per(REPEATS)

    def time_value_and_gradient(self, name, level):
        for _ in range(REPEATS):
            self.kernel(self.y, self.p, self.delta, self.values, 1 / SHAPE[0])


class Optimizer:
    """How long does an optimizer's step on 65,536 parameters take?"""

    params = [declared("optimizer_codes", "_core/optimizers.pxd"), LEVELS]
    param_names = ["optimizer", "level"]

    def setup(self, name, level):
        self.core = core(level)
        self.kind, n_slots = member(self.core.OPTIMIZERS, name)
        self.settings = member(optimizers_by_kernel(), name)._kernel_and_settings()[1]
        self.params_, self.grads = uniform(4).ravel().copy(), uniform(5).ravel()
        self.slots = np.zeros((n_slots, self.grads.size), np.float32)
        self.time_step(name, level)
        self.timer = per(REPEATS)

    def time_step(self, name, level):
        for step in range(1, REPEATS + 1):
            self.core.apply_optimizer(self.kind, self.params_, self.grads, self.slots, self.settings, 1e-3, step)


class Product:
    """How long is each matrix product of a training step, for the largest layer that has it?"""

    params = [["small", "mid", "mnist", "big", "wide"], ["x W", "x^T delta", "delta W^T"], LEVELS]
    param_names = ["workload", "product", "level"]

    def setup(self, name, what, level):
        native = core(level)
        found = [(m * k * n, m, k, n) for product, m, k, n in workloads.products(name) if product == what]
        size, m, k, n = max(found)
        a, b, out = operands(what, m, k, n)
        repeats = max(1, int(3e8 / (2 * size)))         # some milliseconds: b is packed once a call, as once a step
        which = [what == "x^T delta"]
        try:
            native.matmul(a, b, out, 1, *which)
        except TypeError:       # the first commits had one way for all products
            which = []
        self.run = lambda: native.matmul(a, b, out, repeats, *which)
        self.run()
        self.timer = per(repeats)

    def time_product(self, name, what, level):
        self.run()


operands = cache(workloads.operands)
