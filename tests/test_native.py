"""Code outside the package can use the kernels: examples/native is built against it and trains.

The fast tests compile the example with a plain setup.py; the slow tests translate it with the
example's setup.py, for both ways to install nnfast.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import needs

import nnfast

ROOT = Path(__file__).parent.parent
PACKAGE = Path(nnfast.__file__).parent


EDITABLE = f"""
import importlib.util, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == "nnfast":
            return importlib.util.spec_from_file_location("nnfast", {str(PACKAGE / "__init__.py")!r})
sys.meta_path.insert(0, Finder)
"""

# without garbage collection Cython needs a third less time
SETUP = """
import gc
gc.disable()
import nnfast
from Cython.Build import cythonize
from setuptools import setup
setup(name="train_step", ext_modules=cythonize("train_step.pyx", include_path=[nnfast.get_include()]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Returns environments of processes that find nnfast in two ways.

    "wheel": it is on the path.  "editable": only a finder knows it, as after `pip install -e .`.
    """
    hook = tmp_path_factory.mktemp("editable")
    (hook / "sitecustomize.py").write_text(EDITABLE)
    return {"wheel": {**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            "editable": {**os.environ, "PYTHONPATH": str(hook)}}


@pytest.fixture(scope="module")
def outside(tmp_path_factory, installed):
    """Compiles the example's module with defaults: no flag, no directive."""
    needs("Cython")
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("native")
    shutil.copytree(ROOT / "examples" / "native", folder, dirs_exist_ok=True)
    (folder / "setup.py").write_text(SETUP)
    environment = {**installed["editable"], "CFLAGS": "-O1 -g0"}            # takes a quarter of the time of -O3 -g
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return folder, environment, done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("way", ["wheel", "editable"])
def test_the_example_finds_the_kernels_however_nnfast_is_installed(installed, tmp_path, way):
    """Its setup.py translates to C before it reads the command; `--name` compiles nothing."""
    needs("Cython")
    shutil.copytree(ROOT / "examples" / "native", tmp_path, dirs_exist_ok=True)
    done = subprocess.run([sys.executable, "setup.py", "--name"], cwd=tmp_path, env=installed[way],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "train_step.c").exists()


def test_get_include_returns_the_parent_folder_of_the_package():
    assert os.path.isabs(nnfast.get_include())
    assert (Path(nnfast.get_include()) / "nnfast" / "kernels.pxd").read_text() == (PACKAGE / "kernels.pxd").read_text()


def test_outside_module_trains_as_the_package_does(outside):
    folder, environment, _ = outside
    done = subprocess.run([sys.executable, "try_step.py"], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(float\d\d): the weights differ by", done.stdout, re.M) == ["float32", "float64"]


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
def test_outside_module_training_matches_the_formulas(outside, monkeypatch, dtype, tolerance):
    monkeypatch.syspath_prepend(str(outside[0]))
    import train_step

    rows, n_in, n_out = 37, 6, 2
    rng, width = np.random.default_rng(0), train_step.width_of(n_out, np.empty(1, dtype))
    x, y, w = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, n_in), (rows, width), (n_in, width)))
    expected, m, v = w[:, :n_out].astype(np.float64), 0., 0.
    slots, (z, delta) = np.zeros((2, n_in, width), dtype), np.empty((2, rows, width), dtype)
    gradient, values = np.empty_like(w), np.empty(rows)
    for t in range(1, 6):
        train_step.step(x, y, w, slots, z, delta, gradient, values, n_out, 0.1, t)
        error = x.astype(np.float64) @ expected - y[:, :n_out]
        np.testing.assert_allclose(values, (error**2).mean(axis=1), rtol=100 * tolerance)
        g = x.T.astype(np.float64) @ error * 2 / error.size
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected -= 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(w[:, :n_out], expected, atol=10 * tolerance)


def test_kernels_need_no_compiler_directives_from_outside_modules(outside):
    """Without cdivision=True at the top, a division in a .pxd would check for 0 with the GIL."""
    assert "_core" not in outside[2]                    # no performance hint or warning names it
    for path in (PACKAGE / "_core").glob("*.pxd"):
        assert path.stat().st_size == 0 or path.read_text().startswith("# cython: cdivision=True\n"), path.name


@pytest.mark.parametrize("file, enum", [
    ("activations", "Activation"),
    ("losses", "LossKind"),
    ("optimizers", "OptimizerKind"),
])
def test_the_public_module_exports_the_enum_of_every_kind_of_kernel(file, enum):
    assert re.search(rf"^cdef enum {enum}:$", (PACKAGE / "_core" / f"{file}.pxd").read_text(), re.M)
    assert re.search(rf"^from nnfast\._core\.{file} cimport .*\b{enum}\b", (PACKAGE / "kernels.pxd").read_text(), re.M)
