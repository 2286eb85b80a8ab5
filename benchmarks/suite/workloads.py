"""The networks and the data of all benchmarks, in one place: seeded, added to and never edited.

x is uniform in [0, 1); the label of a row is the largest of n_out random projections of it, so there is something to
learn and the loss beside a time means something.
"""
from functools import cache
from typing import NamedTuple

import numpy as np

LEARNING_RATE = 1e-3


class Workload(NamedTuple):
    """Widths of the layers (relu between them, softmax at the end), rows of a batch, rows of an epoch."""

    widths: tuple
    batch_size: int
    rows: int

    @property
    def shapes(self):
        """(n_in, n_out) of each layer."""
        return list(zip(self.widths, self.widths[1:], strict=False))

    @property
    def flops(self):
        """Floating-point operations of the products of an epoch: three a layer, without delta W^T of the first."""
        sizes = [n_in * n_out for n_in, n_out in self.shapes]
        return self.rows * (6 * sum(sizes) - 2 * sizes[0])


WORKLOADS = {
    "mnist": Workload((784, 84, 10), 256, 60_000),
    "small": Workload((20, 64, 64, 2), 32, 20_000),
    "tiny": Workload((4, 16, 2), 32, 20_000),
    "mid": Workload((100, 256, 256, 10), 128, 20_000),
    "big": Workload((1024, 1024, 1024, 10), 512, 8_192),
}


@cache
def data(name):
    """x (rows, n_in) float32 and integer labels y (rows,) int64."""
    workload = WORKLOADS[name]
    rng = np.random.default_rng(0)
    x = rng.random((workload.rows, workload.widths[0]), dtype=np.float32)
    projections = rng.standard_normal((workload.widths[0], workload.widths[-1]), dtype=np.float32)
    return x, (x @ projections - projections.sum(axis=0) / 2).argmax(axis=1)


def first_weights(name):
    """Kernels (n_in, n_out), Glorot uniform, and biases (n_out,), zero, in turns."""
    rng = np.random.default_rng(1)
    weights = []
    for n_in, n_out in WORKLOADS[name].shapes:
        limit = np.sqrt(6 / (n_in + n_out))
        weights += [rng.uniform(-limit, limit, (n_in, n_out)).astype(np.float32), np.zeros(n_out, np.float32)]
    return weights


def model(name, seed=0):
    """The network in nnfast, compiled and with its first weights."""
    import nnfast
    from nnfast.layers import Dense, Input

    *hidden, n_out = WORKLOADS[name].widths[1:]
    network = nnfast.Sequential([Input(WORKLOADS[name].widths[0]), *[Dense(n, activation="relu") for n in hidden],
                                 Dense(n_out, activation="softmax")], seed=seed)
    network.compile(nnfast.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")
    network.set_weights(first_weights(name))
    return network


def fit(network, name, n_threads, epochs=1):
    """Trains such a model as every benchmark does; its History."""
    batch_size = WORKLOADS[name].batch_size
    return network.fit(*data(name), batch_size=batch_size, epochs=epochs, verbose=0, n_threads=n_threads)


def loss(name, weights):
    """Mean cross-entropy of these weights over the training rows, in NumPy: one measure for every library."""
    a, y = data(name)
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        a = np.maximum(a @ kernel + bias, 0)
    z = (a @ weights[-2] + weights[-1]).astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]))
