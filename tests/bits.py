"""`python bits.py` prints, as JSON, a hash of the results of each kernel and of each trained net.

NNFAST_CPU sets the CPU level. Two levels, and builds by two compilers, must print the same.
"""
import copy
import hashlib
import json

import numpy as np
from loss_cases import CASES
from optimizer_cases import make

from nnfast import Activation, Dense, Input, Sequential, constraints, functional as F, layers, optimizers, regularizers
from nnfast._core import network as core

WIDTHS = range(1, 25)           # below and above the lanes of a register, with every remainder
SIDES = [*range(1, 10), 16, 17, 20, 33, 40, 84]


def digest(*arrays):
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16] for array in arrays]


def of_activations(dtype, rng):
    z, delta = (3 * rng.standard_normal((2, 500, 24))).astype(dtype)
    z[0, :6] = 0, -0.0, 100, -100, 1000, -1000
    for name in core.ACTIVATIONS:
        for n in WIDTHS:
            of = np.ascontiguousarray(z[:, :n]), np.ascontiguousarray(delta[:, :n])
            yield f"{name} {n}", digest(getattr(F, name)(of[0]), getattr(F, f"{name}_gradient")(*of))


def of_losses(dtype, rng):
    for i, case in enumerate(CASES):
        for shape in [(500, 21), (3, 1100), (600, 1), *((20, n) for n in WIDTHS)]:
            of = case.data(shape, rng, dtype)
            loss = case.loss(of[1].shape[1], reduction=None)
            yield f"{i} {case} {shape}", digest(loss(*of), *loss.value_and_gradient(*of))


def of_products(dtype, rng):
    for rows in (1, 7, 37):
        for n_in in SIDES:
            for n_out in SIDES:
                shapes = (rows, n_in), (n_in, n_out), (rows, n_out)
                x, kernel, delta = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
                yield f"{rows} {n_in} {n_out}", digest(F.dense_forward(x, kernel), *F.dense_backward(x, kernel, delta))
    x, kernel = rng.standard_normal((300, 2500)).astype(dtype), rng.standard_normal((2500, 130)).astype(dtype)
    yield "blocks", digest(F.dense_forward(x, kernel), *F.dense_backward(x, kernel, x[:, :130]))


def of_optimizers(dtype, rng):
    start, gradient = rng.random(10501).astype(dtype), (3 * rng.standard_normal(10501)).astype(dtype)
    for kernel, (code, n_slots) in core.OPTIMIZERS.items():
        optimizer = make(kernel, 0.01, weight_decay=0.1)
        w, slots = start.copy(), np.full((n_slots, start.size), optimizer._start(), dtype)
        for step in range(1, 30):
            core.apply_optimizer(code, w, gradient, slots, optimizer._kernel_and_settings()[1], 0.01, step, 0.1)
        yield kernel, digest(w, slots)
    w, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in (1, 2, 3):
        F.adam_step(w, gradient, m, v, step)
        F.sgd_step(w, gradient, m, momentum=0.9, nesterov=step == 2)
        F.sgd_step(w, gradient)
    yield "functional", digest(w, m, v)


def nets(n):
    """(name, layers, loss, metrics, optimizer) for all layers and options that do arithmetic."""
    plain = [Dense(n, "tanh"), Dense(n)]
    yield "small", [Dense(40, "relu"), Dense(n)], "mse", ["mse", "mae"], "adam"
    yield "classes", [Dense(n, "silu"), Dense(n, "softmax")], "categorical_crossentropy", ["accuracy"], "adam"
    stack = [Dense(n, "mish"), Dense(n, "softmax"), Activation("linear")]
    yield "probabilities", stack, "categorical_crossentropy", [], "rmsprop"
    yield "layer norm", [Dense(n), layers.LayerNormalization(), Dense(n)], "mse", [], "adam"
    stack = [layers.BatchNormalization(), Dense(n, "gelu"), layers.BatchNormalization(center=False), Dense(n)]
    yield "batch norm", stack, "mse", [], "adam"
    stack = [layers.Rescaling(0.3, 0.1), Dense(n), layers.PReLU("random_uniform"), Dense(n)]
    yield "by numbers", stack, "huber", [], "sgd"
    yield "random", [layers.GaussianNoise(0.3), Dense(33), layers.Dropout(0.3), Dense(n)], "log_cosh", [], "adam"
    penalized = Dense(n, "tanh", kernel_regularizer=regularizers.L1L2(0.01, 0.02), bias_regularizer="l2",
                      activity_regularizer=regularizers.L1L2(0.01, 0.02))
    yield "penalties", [penalized, Dense(n)], "mse", [], "adam"
    constrained = Dense(n, kernel_constraint=constraints.MaxNorm(0.5), bias_constraint="non_neg")
    yield "constraints", [constrained, Dense(n)], "mse", [], "adam"
    for options in ({"clipnorm": 0.1}, {"clipvalue": 0.01}, {"global_clipnorm": 0.1},
                    {"use_ema": True, "ema_momentum": 0.9}, {"gradient_accumulation_steps": 3},
                    {"weight_decay": 0.1, "epsilon_form": "pytorch"}):
        yield f"{options}", plain, "mse", [], optimizers.Adam(**options)


def of_nets(dtype, rng):
    x, y, weights = rng.standard_normal((203, 20)), rng.random((203, 24)), rng.random(203)
    y /= y.sum(axis=1, keepdims=True)
    for n in (1, 3, 7, 8, 22):
        for name, stack, loss, metrics, optimizer in nets(n):
            model = Sequential([Input(20), *map(copy.copy, stack)], dtype=dtype, seed=1)
            model.compile(optimizer, loss, metrics=metrics, weighted_metrics=["mse"])
            history = model.fit(x, y[:, :n], sample_weight=weights, batch_size=50, epochs=3, verbose=0)
            values = np.array([history.history[key] for key in sorted(history.history)])
            outputs, scores = model.predict(x, verbose=0), model.evaluate(x, y[:, :n], verbose=0)
            yield f"{name} {n}", digest(model.params, values, outputs, scores)


def main():
    bits = {}
    for dtype in ("float32", "float64"):
        for kind in (of_activations, of_losses, of_products, of_optimizers, of_nets):
            for name, hashes in kind(dtype, np.random.default_rng(0)):
                bits[f"{dtype} {kind.__name__[3:]}: {name}"] = hashes
    print(json.dumps(bits, indent=0))


if __name__ == "__main__":
    main()
