"""python -m benchmarks.products: are the products of training as fast as those of a BLAS?

Every product of the five networks, x W, x^T delta and delta W^T, on one thread, in turns with
NumPy's BLAS.  nnfast's run as in training: rows are padded as in its workspace, and the panels of
the right factor are packed before.  In training the optimizer's step packs them, or a plain matrix
is read.
"""
import argparse

import numpy as np

from benchmarks.report import fastest, machine, meanwhile, others, restart, table
from benchmarks.suite.workloads import FIVE, operands, products


def measure(what, m, k, n, repeats):
    """Seconds of one product: of nnfast, of the BLAS."""
    from nnfast._core import network

    a, b, out = operands(what, m, k, n)
    network.matmul(a, b, out, 1, what == "x^T delta")
    np.testing.assert_allclose(out, a @ b, rtol=1e-4)
    count = max(1, int(1e9 / (2 * m * k * n)))

    def blas():
        for _ in range(count):
            np.dot(a, b, out=out)

    calls = [lambda: network.matmul(a, b, out, count, what == "x^T delta"), blas]
    return [seconds / count for seconds in fastest(calls, repeats, 0.005)]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.products", description=__doc__)
    parser.add_argument("--workloads", default=",".join(FIVE), metavar="mnist,small")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    restart(1)
    print(f"{machine()}\n")
    begin = others()
    shapes, nets = [], []
    for name in options.workloads.split(","):
        steps = FIVE[name].rows / FIVE[name].batch_size
        epoch = np.zeros(2)
        for what, m, k, n in products(name):
            seconds = np.array(measure(what, m, k, n, options.repeats))
            own, blas = 2 * m * k * n / seconds / 1e9
            shapes.append([name, what, f"({m}, {k}) ({k}, {n})", f"{own:.1f}", f"{blas:.1f}", f"{own / blas:.2f}"])
            epoch += seconds * steps
        own, blas = epoch * 1e3
        nets.append([name, f"{own:.2f}", f"{blas:.2f}", f"{blas / own:.2f}"])
    print(table(["network", "product", "shapes", "nnfast GFLOP/s", "BLAS GFLOP/s", "nnfast / BLAS"], shapes))
    print("\nAll products of an epoch, ms:\n")
    print(table(["network", "nnfast", "BLAS", "BLAS / nnfast"], nets))
    print(f"\n{meanwhile(begin)}")


if __name__ == "__main__":
    main()
