"""What check.py counts: training steps of the five networks, and the kernels under them.

Under callgrind each call of `os.getppid`, which nothing else here calls, ends a part of the
output. Parts with odd numbers, counted from 0, are the measured calls in the order of `entries`;
the others are start-up and warm-up.  Prints the entries and the number of units (steps, elements,
...) of each; with `--describe` only the package that is measured.

Data are seeded and begin on a cache line (`aligned`), because the head and tail of a loop depend
on where its arrays begin.  The garbage collector is off, because it would visit nnfast's types
during a measurement.
"""
import gc
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

import nnfast
from nnfast._core import COMPILER, network

sys.path.append(str(Path(__file__).parents[2]))     # after the import of nnfast: measure the installed package
from benchmarks.suite import workloads  # noqa: E402

STEPS = {"mnist": 2, "small": 50, "tiny": 200, "mid": 2, "big": 1}     # enough that the cost of a call is small
BATCH_SIZES = {"big": 64}       # valgrind takes 50 ns for each multiply-add: the whole batch would take minutes
ROWS, WIDTH, LONG, CLASSES, REPEATS = 128, 256, 1024, 10, 2


def describe():
    """Folder of the package, and the key of its baseline: compiler, Cython, architecture."""
    # The module of Cython's function type is named after the version, e.g. _cython_3_1_2.
    cython = type(network.shuffle).__module__.removeprefix("_cython_").replace("_", ".")
    return {"package": str(Path(nnfast.__file__).parent), "key": f"{COMPILER}, Cython {cython}, {platform.machine()}"}


def aligned(array):
    """A copy of the array that begins on a cache line."""
    copy = network.aligned_zeros(array.size, array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def training(name, rng):
    """train(first, last), which trains a network of the suite on batches first..last."""
    widths, batch_size = workloads.WORKLOADS[name].widths, workloads.WORKLOADS[name].batch_size
    batch_size = BATCH_SIZES.get(name, batch_size)
    rows = (1 + STEPS[name]) * batch_size
    x = aligned(rng.random((rows, widths[0]), dtype=np.float32))
    y, order = aligned(rng.integers(0, widths[-1], rows)), aligned(rng.permutation(rows))
    model, sums = workloads.model(name), np.zeros(1)
    batches = network.Batches(network.DenseRows(x), y, batch_size, order=order)

    def train(first, last):
        model._network.train_batches(batches, first, last, workloads.LEARNING_RATE, sums)

    return train


def kernels(rng):
    """(entry, units, call) of each kernel; the call can be repeated."""
    def normal(*shape):
        return aligned(rng.standard_normal(shape, dtype=np.float32))

    x, delta, kernel, z = normal(ROWS, WIDTH), normal(ROWS, WIDTH), normal(WIDTH, WIDTH), normal(ROWS, WIDTH)
    # Products from panels, with factors prefetched, by copies of x, by dot products.
    for name, a, b in (("x W", x, kernel), ("x^T delta", x.T, delta), ("x^T delta of long rows", normal(ROWS, LONG).T,
                       delta), ("delta W^T", delta, kernel.T), ("x W of 4 columns", x, normal(WIDTH, 4))):
        out = normal(len(a), b.shape[1])
        yield (f"{name} (multiply-add)", REPEATS * a.size * b.shape[1], lambda a=a, b=b, out=out, name=name:
               network.matmul(a, b, out, REPEATS, name.startswith("x^T delta")))

    bits = aligned(rng.integers(0, 2, (ROWS, WIDTH)).astype(np.float32))
    labels = aligned(rng.integers(0, CLASSES, 8 * ROWS))
    for entry, loss, y, p, units in (
            ("softmax cross-entropy (row of 10)", "sparse_categorical_crossentropy_logits", labels,
             normal(8 * ROWS, CLASSES), 8 * ROWS),
            ("mean squared error (number)", "mean_squared_error", x, z, z.size),
            ("binary cross-entropy of logits (number)", "binary_crossentropy_logits", bits, z, z.size)):
        # Binary cross-entropy has two settings: these smooth no labels.
        of = network.LossKernel(network.LOSSES[loss], (1., 0.) if loss.startswith("binary") else ())
        gradient, values = normal(*p.shape), aligned(np.zeros(len(p)))
        yield entry, units, lambda of=of, y=y, p=p, gradient=gradient, values=values: of(y, p, gradient, values, 1.)

    a = normal(ROWS, WIDTH)
    for name in ("relu", "tanh", "gelu"):
        code = network.ACTIVATIONS[name]
        yield f"{name} (number)", z.size, lambda code=code: network.apply_activation(code, z, a)
        yield (f"{name}, gradient (number)", z.size, lambda code=code:
               network.apply_activation_gradient(code, z, a, delta))

    params, grads, slots = kernel.reshape(-1), normal(kernel.size), aligned(np.zeros((2, kernel.size), np.float32))
    for name, settings in (("adam", [0.9, 0.999, 1e-7]), ("sgd", [])):
        code, n_slots = network.OPTIMIZERS[name]
        yield (f"{name} (parameter)", params.size, lambda code=code, state=slots[:n_slots], settings=settings:
               network.apply_optimizer(code, params, grads, state, settings, 1e-3, 1))

    order = aligned(np.arange(10_000))
    yield "shuffle (row)", order.size, lambda: network.shuffle(order, 0)

    images, copies = aligned(rng.integers(0, 256, (ROWS, 784), np.uint8)), normal(ROWS, 784)
    rows = network.DenseRows(images)
    identity = network.Network(784, [(0, network.ACTIVATIONS["linear"], False)])    # predict: gather and copy
    yield "gather of uint8 (number)", images.size, lambda: identity.predict_rows(rows, 0, ROWS, copies)


def entries():
    """(entry, units, warm-up, call) of each measurement."""
    rng = np.random.default_rng(0)
    for name, steps in STEPS.items():
        train = training(name, rng)
        batch = f" in batches of {BATCH_SIZES[name]}" if name in BATCH_SIZES else ""
        yield (f"train {name}{batch} (step)", steps, lambda train=train: train(0, 1),
               lambda train=train, steps=steps: train(1, 1 + steps))
    for entry, units, call in kernels(rng):
        yield entry, units, call, call


def main():
    """Runs all measurements and prints their entries and units as JSON."""
    measured = []
    gc.disable()
    for entry, units, warm_up, call in entries():
        warm_up()
        os.getppid()
        call()
        os.getppid()
        measured.append((entry, units))
    print(json.dumps(measured))


if __name__ == "__main__":
    print(json.dumps(describe())) if sys.argv[1:] == ["--describe"] else main()
