"""python -m benchmarks.products: are nnfast's matrix products as fast as a BLAS at the shapes of training?

Every product of the five networks, x W, x^T delta and delta W^T, on one thread beside NumPy's BLAS, in turns.  nnfast's
products are called through `_core.network.matmul`, which packs its right factor and copies its result on every call;
training packs the weights once per step and copies nothing: the rates here are a lower bound.
"""
import argparse

import numpy as np

from benchmarks.report import fastest, machine, meanwhile, one_thread, others, table
from benchmarks.suite.workloads import WORKLOADS


def products(name):
    """(what, rows of the result, inner size, columns) of the products of one step."""
    workload = WORKLOADS[name]
    rows, found = workload.batch_size, []
    for layer, (n_in, n_out) in enumerate(workload.shapes):
        found += [("x W", rows, n_in, n_out), ("x^T delta", n_in, rows, n_out)]
        if layer:
            found.append(("delta W^T", rows, n_out, n_in))
    return found


def operands(what, m, k, n):
    """Left factor, right factor and result of a product; a transposed factor is a view, as in training."""
    rng = np.random.default_rng(0)
    a = rng.random((k, m) if what == "x^T delta" else (m, k), dtype=np.float32)
    b = rng.random((n, k) if what == "delta W^T" else (k, n), dtype=np.float32)
    return a.T if what == "x^T delta" else a, b.T if what == "delta W^T" else b, np.empty((m, n), np.float32)


def measure(what, m, k, n, repeats):
    """Seconds of one product: nnfast's, the BLAS's."""
    from nnfast._core import network

    a, b, out = operands(what, m, k, n)
    network.matmul(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-4)
    return fastest([lambda: network.matmul(a, b, out), lambda: np.dot(a, b, out=out)], repeats, 0.005)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.products", description=__doc__)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), metavar="mnist,small")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    one_thread()
    print(f"{machine()}\n")
    begin = others()
    shapes, nets = [], []
    for name in options.workloads.split(","):
        steps = WORKLOADS[name].rows / WORKLOADS[name].batch_size
        epoch = np.zeros(2)
        for what, m, k, n in products(name):
            seconds = np.array(measure(what, m, k, n, options.repeats))
            own, blas = 2 * m * k * n / seconds / 1e9
            shapes.append([name, what, f"({m}, {k}) ({k}, {n})", f"{own:.1f}", f"{blas:.1f}", f"{own / blas:.2f}"])
            epoch += seconds * steps
        own, blas = epoch * 1e3
        nets.append([name, f"{own:.2f}", f"{blas:.2f}", f"{blas / own:.2f}"])
    print(table(["network", "product", "shapes", "nnfast GFLOP/s", "BLAS GFLOP/s", "nnfast / BLAS"], shapes))
    print("\nAll products of an epoch, ms; nnfast's with the packing and copying of every call:\n")
    print(table(["network", "nnfast", "BLAS", "BLAS / nnfast"], nets))
    print(f"\n{meanwhile(begin)}")


if __name__ == "__main__":
    main()
