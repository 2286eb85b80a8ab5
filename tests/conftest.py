"""Fixtures of several test files, and what all tests need."""
import ctypes
import gc
import shutil
import subprocess

import pytest
from loss_cases import SquaredError, squared_error
from optional import needs

from nnfast import losses

SOURCE = """
#include <stddef.h>
#define SQUARED_ERROR(number) \\
    number squared_error_##number(const number *y, const number *p, number *gradient, ptrdiff_t n, void *factor) { \\
        number value = 0, scale = factor ? *(number *)factor : 1; \\
        for (ptrdiff_t i = 0; i < n; i++) { \\
            value += scale * (p[i] - y[i]) * (p[i] - y[i]) / n; \\
            gradient[i] = 2 * scale * (p[i] - y[i]) / n; \\
        } \\
        return value; \\
    }
SQUARED_ERROR(double)
SQUARED_ERROR(float)
double wrong_gradient(const double *y, const double *p, double *gradient, ptrdiff_t n, void *unused) {
    double value = squared_error_double(y, p, gradient, n, 0);
    gradient[n - 1] *= 2;
    return value;
}
"""


def pytest_collection_modifyitems(items):
    """Marks tests that compare with PyTorch or Keras, which `pytest -m peers` runs."""
    for item in items:
        if {"torch", "keras"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("peers")


def pytest_collection_finish():
    """Keeps the garbage collector from walking over the 11,000 collected tests again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def torch():
    return needs("torch")


@pytest.fixture(scope="session")
def keras():
    return needs("keras", minversion="3")


@pytest.fixture(scope="session")
def c_loss(tmp_path_factory):
    """Returns a function: a name in SOURCE and a dtype give the compiled scipy.LowLevelCallable."""
    scipy = needs("scipy")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("c_loss")
    (folder / "loss.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", folder / "loss.c", "-o", folder / "loss.so"], check=True)
    library = ctypes.CDLL(str(folder / "loss.so"))

    def load(name="squared_error", dtype="float64", factor=None):
        number = ctypes.c_double if dtype == "float64" else ctypes.c_float
        suffix = {"float64": "_double", "float32": "_float"}[dtype] if name == "squared_error" else ""
        function = library[name + suffix]
        pointer = ctypes.POINTER(number)
        function.restype, function.argtypes = number, [pointer, pointer, pointer, ctypes.c_ssize_t, ctypes.c_void_p]
        data = None if factor is None else ctypes.cast(ctypes.pointer(number(factor)), ctypes.c_void_p)
        return scipy.LowLevelCallable(function, data)

    return load


@pytest.fixture(params=["function", "subclass", "C"])
def own(request):
    """Returns a function that makes a squared error of a kind; the dtype is for C functions."""
    def make(dtype="float64", **options):
        if request.param == "subclass":
            return SquaredError(**options)
        function = squared_error if request.param == "function" else request.getfixturevalue("c_loss")(dtype=dtype)
        return losses.Custom(function, **options)

    return make
