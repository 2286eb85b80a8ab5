"""The networks and the data of all benchmarks, in one place: seeded, added to and never changed.

x is uniform in [0, 1).  The label of a row is the largest of n_out random projections of it, and
the targets of a regression are their tanh, so there is something to learn and the loss beside a
time has a meaning.  Functions take the name of a workload, or a Workload.
"""
from functools import cache

import numpy as np

from nnfast._bench import LEARNING_RATE, WORKLOADS as FIVE, Workload

__all__ = ["FIVE", "LEARNING_RATE", "WORKLOADS", "Workload", "data", "find", "first_weights", "fit", "loss", "model"]

WORKLOADS = FIVE | {
    "housing": Workload((8, 64, 64, 1), 64, 20_000, "mse"),
    "denoise": Workload((256, 512, 512, 256), 256, 10_000, "mse"),
    "surrogate64": Workload((16, 128, 128, 128, 4), 128, 20_000, "mse", "float64"),
    "mid64": Workload((100, 256, 256, 10), 128, 10_000, dtype="float64"),
    "wide": Workload((300, 1000, 1000, 5), 100, 10_000),
    "uneven64": Workload((46, 109, 33, 25, 22, 41, 401, 342, 666), 1024, 10_240, dtype="float64"),
}


def find(name):
    """The Workload of this name."""
    return name if isinstance(name, Workload) else WORKLOADS[name]


@cache
def data(name):
    """x (rows, n_in), and integer labels y (rows,) int64 or targets (rows, n_out)."""
    return find(name).data()


def products(name):
    """(what, rows of the result, inner size, columns) of each product of one step."""
    workload = find(name)
    rows, found = workload.batch_size, []
    for layer, (n_in, n_out) in enumerate(workload.shapes):
        found += [("x W", rows, n_in, n_out), ("x^T delta", n_in, rows, n_out)]
        if layer:
            found.append(("delta W^T", rows, n_out, n_in))
    return found


def padded_rows(rows, columns, rng, dtype):
    """A matrix whose rows lie an odd number of cache lines apart, as in the workspace."""
    line = 64 // np.dtype(dtype).itemsize
    lines = columns // line + 1
    return rng.random((rows, line * (lines + (lines > 3 and lines % 2 == 0))), dtype=dtype)[:, :columns]


def operands(what, m, k, n, dtype="float32"):
    """Left factor, right factor and result of a product; transposed factors are views."""
    rng = np.random.default_rng(0)
    a = padded_rows(*((k, m) if what == "x^T delta" else (m, k)), rng, dtype)
    b = rng.random((n, k) if what == "delta W^T" else (k, n), dtype=dtype)
    return a.T if what == "x^T delta" else a, b.T if what == "delta W^T" else b, np.empty((m, n), dtype)


def first_weights(name):
    """Initial weights, in turns: kernels (n_in, n_out), Glorot uniform, and biases (n_out,), 0."""
    rng = np.random.default_rng(1)
    workload, weights = find(name), []
    for n_in, n_out in workload.shapes:
        limit = np.sqrt(6 / (n_in + n_out))
        weights += [rng.uniform(-limit, limit, (n_in, n_out)).astype(workload.dtype), np.zeros(n_out, workload.dtype)]
    return weights


def model(name, seed=0):
    """The network in nnfast, compiled and with its initial weights."""
    network = find(name).model(seed)
    network.set_weights(first_weights(name))
    return network


@cache
def trained(name, number=0):
    """A model after its first fit, created once for each `number`."""
    network = model(name)
    fit(network, name, 1)
    return network


def fit(network, name, n_threads, epochs=1):
    """Trains a model on the data of its workload; returns its History."""
    return network.fit(*data(name), batch_size=find(name).batch_size, epochs=epochs, verbose=0, n_threads=n_threads)


def loss(name, weights):
    """Mean cross-entropy or squared error of these weights over the training rows.

    NumPy computes it, in the same way for every library.
    """
    a, y = data(name)
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        a = np.maximum(a @ kernel + bias, 0)
    z = (a @ weights[-2] + weights[-1]).astype(np.float64)
    if find(name).loss == "mse":
        return float(np.mean((z - y)**2))
    z -= z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]))
