"""python -m benchmarks.blas: are nnfast's matrix products as fast as a BLAS at every size?

x W, x^T delta and delta W^T of layers (rows, n_in, n_out) with sizes from 1 to 2048, on one
thread, in float32 and float64, compared with the better of SciPy's OpenBLAS and, where it is
installed, PyTorch's `mm`.  All take turns; the fastest time of each counts.  `--picture
docs/products.png` draws the ratios.

nnfast's products are measured as in `benchmarks.products`, with panels packed before.  SciPy's gemm
is called through the pointer that `scipy.linalg.cython_blas` gives, in a loop in C, so no time of
Python is in either.  BLAS is column-major, so it computes the transposed product, without a copy.
PyTorch's `mm` is called from Python and takes about a microsecond more.

Measured are the CPU levels v3 and v4 of the machine, or the one that NNFAST_CPU names.  Below v4
the others are told to use no newer instructions, too.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys

import numpy as np

from benchmarks.report import c_library, environment, fastest, machine, meanwhile, others, table
from benchmarks.suite.workloads import operands

SIZES = (1, 2, 3, 7, 8, 16, 31, 64, 100, 128, 256, 512, 1000, 1024, 2048)
ONE_AXIS = (1, 2, 7, 16, 31, 512, 1000, 2048)
LAYERS = sorted({(size, size, size) for size in SIZES}
                | {layer for size in ONE_AXIS for layer in [(size, 128, 128), (128, size, 128), (128, 128, size)]}
                | {(8, 1000, 1000), (256, 1000, 100), (256, 100, 8), (1, 1024, 1024), (1024, 3, 3), (512, 1024, 2),
                   (31, 7, 3)})
PRODUCTS = ("x W", "x^T delta", "delta W^T")
LIMITED = {                     # environment of the others at a level
    "v2": {"OPENBLAS_CORETYPE": "Nehalem", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "DNNL_MAX_CPU_ISA": "SSE41"},
    "v3": {"OPENBLAS_CORETYPE": "Haswell", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"},
}
ENOUGH, GOAL = 0.95, 1.1        # speed over the better of the others: of each product, of the geometric mean
LOOP = """
typedef void gemm(char*, char*, int*, int*, int*, void*, void*, int*, void*, int*, void*, void*, int*);
void repeat(gemm* f, int count, char* ta, char* tb, int m, int n, int k, void* one, void* a, int lda,
            void* b, int ldb, void* zero, void* c, int ldc) {
    while (count--) f(ta, tb, &m, &n, &k, one, a, &lda, b, &ldb, zero, c, &ldc);
}
"""


def pointer(name):
    """Address of a routine of SciPy's BLAS."""
    from scipy.linalg import cython_blas

    capsule, api = cython_blas.__pyx_capi__[name], ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))


def column_major(array):
    """BLAS' transpose flag and leading dimension of an array, which BLAS reads as its transpose."""
    if array.flags.c_contiguous:
        return b"N", array.shape[1]
    return b"T", array.shape[0]


def gemm(repeat, a, b, out, count):
    """A function that computes out = a b `count` times; in column-major terms, out^T = b^T a^T."""
    routine = pointer("sgemm" if a.dtype == np.float32 else "dgemm")
    (m, k), n = a.shape, b.shape[1]
    number = ctypes.c_float if a.dtype == np.float32 else ctypes.c_double
    (trans_b, ldb), (trans_a, lda) = column_major(b), column_major(a)
    address_b, address_a, address_out = (ctypes.c_void_p(array.ctypes.data) for array in (b, a, out))
    one, zero = ctypes.byref(number(1)), ctypes.byref(number(0))
    return lambda: repeat(routine, count, trans_b, trans_a, n, m, k, one, address_b, ldb, address_a, lda,
                          zero, address_out, n)


def mm(a, b, out, count):
    """A function that computes out = a b `count` times with PyTorch; None where it is missing."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    left, right, result = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(out)

    def repeat():
        for _ in range(count):
            torch.mm(left, right, out=result)

    return repeat


def measure(repeat, what, m, k, n, dtype, repeats):
    """Microseconds of one product: of nnfast, of OpenBLAS, and of PyTorch where it is installed."""
    from nnfast._core import network

    a, b, out = operands(what, m, k, n, dtype)
    # Rough seconds to pack b and copy the result, and of one product.  A call takes at least a
    # millisecond, and packing is at most a twentieth of it.
    once, each = 5e-6 + 2e-9 * (k * n + m * n), 1e-7 + 2e-11 * m * k * n
    count = max(5, int(max(1e-3, 20 * once) / each))
    plain = np.ascontiguousarray(a.T).T if what == "x^T delta" else np.ascontiguousarray(a)
    theirs = np.empty_like(out)
    network.matmul(a, b, out, 1, what == "x^T delta")
    calls = [lambda: network.matmul(a, b, out, count, what == "x^T delta")]
    for call in (gemm(repeat, plain, b, theirs, count), mm(plain, b, theirs, count)):
        if call is not None:
            theirs[...] = 0
            call()
            np.testing.assert_allclose(out, theirs, rtol=1e-3 if dtype == "float32" else 1e-10)
            calls.append(call)
    return [1e6 * seconds / count for seconds in fastest(calls, repeats, 0.001)]


def sweep(repeats, dtypes, part):
    """[dtype, product, layer, microseconds of nnfast, of the others] of all products of a level."""
    repeat, found = c_library(LOOP, "-O1").repeat, []
    for dtype in dtypes:
        for rows, n_in, n_out in LAYERS[::part]:
            sizes = [(rows, n_in, n_out), (n_in, rows, n_out), (rows, n_out, n_in)]
            for what, (m, k, n) in zip(PRODUCTS, sizes, strict=True):
                found.append([dtype, what, (rows, n_in, n_out), *measure(repeat, what, m, k, n, dtype, repeats)])
    return found


def ratio(one):
    """Speed of nnfast over the better of the others, for an entry of `sweep`."""
    return min(one[4:]) / one[3]


def levels():
    """The CPU levels to measure."""
    from nnfast import _core

    if os.environ.get("NNFAST_CPU"):
        return [_core.LEVEL]
    return [level for level in _core.LEVELS if level != "v2"] or _core.LEVELS


def draw(results, target):
    """Draws `ratio` by the work of a product, a panel for each level and dtype."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    dtypes = list(dict.fromkeys(one[0] for found in results.values() for one in found))
    size = 5 * len(dtypes), 3.2 * len(results) + 0.6
    figure, panels = pyplot.subplots(len(results), len(dtypes), figsize=size, sharex=True, sharey=True, squeeze=False,
                                     layout="constrained")
    cases = [(level, dtype) for level in results for dtype in dtypes]
    for axes, (level, dtype) in zip(panels.flat, cases, strict=True):
        chosen = [one for one in results[level] if one[0] == dtype]
        ratios = list(map(ratio, chosen))
        for what, marker, colour in zip(PRODUCTS, "o^s", ("#c8102e", "#4d4d4d", "#3b7dd8"), strict=True):
            points = [(2.0 * np.prod(one[2]), ratio(one)) for one in chosen if one[1] == what]
            axes.scatter(*zip(*points, strict=True), s=18, marker=marker, color=colour, alpha=0.75, linewidths=0,
                         label=what)
        axes.axhline(1, color="black", linewidth=1)
        axes.axhline(ENOUGH, color="black", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        mean = np.exp(np.mean(np.log(ratios)))
        axes.set_title(f"{level}, {dtype}: geometric mean {mean:.2f}, least {min(ratios):.2f}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize=9)
    figure.supxlabel("operations of the product (sizes 1 to 2048 in each dimension)", fontsize=10)
    figure.supylabel("speed of nnfast over the better of OpenBLAS and PyTorch", fontsize=10)
    figure.savefig(target, dpi=120)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blas", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--types", default="float32,float64")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="every Nth layer only")
    parser.add_argument("--worst", type=int, default=10,
                        help="products to list for each level and type (default: %(default)s)")
    parser.add_argument("--picture", metavar="FILE")
    parser.add_argument("--json", metavar="FILE", help="every time measured")
    parser.add_argument("--sweep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sweep:
        print(json.dumps(sweep(options.repeats, options.types.split(","), options.part)))
        return
    begin, results, means, worst = others(), {}, [], []
    for level in levels():
        env = environment(1) | LIMITED.get(level, {}) | {"NNFAST_CPU": level}
        command = [sys.executable, "-m", "benchmarks.blas", "--sweep", *sys.argv[1:]]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
        results[level] = json.loads(done.stdout)
        for dtype in options.types.split(","):
            found = sorted((one for one in results[level] if one[0] == dtype), key=ratio)
            for what in (None, *PRODUCTS):
                ratios = np.array([ratio(one) for one in found if what in (None, one[1])])
                means.append([level, dtype, what or "all", len(ratios), f"{np.exp(np.log(ratios).mean()):.2f}",
                              f"{ratios.min():.2f}", (ratios < ENOUGH).sum()])
            worst += [[level, dtype, one[1], "{} x {} x {}".format(*one[2]), *(f"{time:.2f}" for time in one[3:]),
                       f"{ratio(one):.2f}"] for one in found[:options.worst]]
    names = ["OpenBLAS, us", "PyTorch, us"][:len(next(iter(results.values()))[0]) - 4]
    print(f"{machine()}\n\nSpeed of nnfast over the better of {' and '.join(name[:-4] for name in names)}, one thread; "
          f"the goal is {GOAL} in the geometric mean, {ENOUGH} everywhere.\n")
    print(table(["level", "type", "product", "sizes", "geometric mean", "least", f"below {ENOUGH}"], means))
    print("\nThe worst:\n")
    print(table(["level", "type", "product", "rows x n_in x n_out", "nnfast, us", *names, "ratio"], worst))
    print(f"\n{meanwhile(begin)}")
    if options.json:
        with open(options.json, "w") as file:
            columns = ["type", "product", "rows, n_in, n_out", "nnfast, us", *names]
            json.dump({"machine": machine(), "columns": columns, "levels": results}, file)
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
