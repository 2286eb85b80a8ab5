"""Every benchmark of the asv suite runs once with its smallest parameters.

Kernels run with all parameters at one CPU level.
"""
import importlib
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from nnfast import losses
from nnfast._core import network

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks" / "suite"
KINDS = ("time", "timeraw", "track", "peakmem")


def suite(name):
    """Imports a module of the suite as asv does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER.parent)
        return importlib.import_module(f"suite.{name}")


def classes(module):
    return [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == module.__name__]


def methods(cls):
    return [name for name in vars(cls) if name.startswith(tuple(f"{kind}_" for kind in KINDS))]


BENCHMARKS = [(path.stem, cls.__name__, method) for path in sorted(FOLDER.glob("[!_]*.py"))
              for cls in classes(suite(path.stem)) for method in methods(cls)]


def axes(cls):
    """The lists of parameters; asv reads a flat list as a single one."""
    params = getattr(cls, "params", [])
    return params if not params or isinstance(params[0], list) else [params]


def chosen(axis, every):
    """The parameters of an axis to try."""
    if "tiny" in axis:
        return ["tiny"]
    if "v2" in axis or "base" in axis:
        return axis[:1]
    return axis if every else axis[:1]


@pytest.mark.parametrize("module, name, method", BENCHMARKS, ids=[".".join(names) for names in BENCHMARKS])
def test_benchmark_runs(module, name, method):
    cls = getattr(suite(module), name)
    ran = 0
    for params in itertools.product(*(chosen(axis, module == "kernels") for axis in axes(cls))):
        benchmark = cls()
        try:
            if hasattr(benchmark, "setup"):
                benchmark.setup(*params)
        except NotImplementedError:
            continue
        value = getattr(benchmark, method)(*params)
        ran += 1
        if method.startswith("track_"):
            assert isinstance(value, (int, float)) and value >= 0
            assert getattr(cls, "unit", None) or getattr(benchmark, method).unit
        if method.startswith("timeraw_"):
            subprocess.run([sys.executable, "-c", value], check=True)
    if not ran:
        pytest.skip("not on this machine")


def test_every_class_asks_its_question_and_names_its_parameters():
    found = {(module, name) for module, name, _ in BENCHMARKS}
    expected = {"kernels", "hot_loop", "epochs", "prediction", "threads", "memory", "imports", "wheel"}
    assert {module for module, _ in found} >= expected
    for module, name in found:
        cls = getattr(suite(module), name)
        assert "?" in cls.__doc__, name
        assert len(axes(cls)) == len(getattr(cls, "param_names", [])), name
        assert all(type(value) in (str, int) for axis in axes(cls) for value in axis), name


def test_every_activation_loss_and_optimizer_is_benchmarked():
    kernels = suite("kernels")
    assert kernels.Activation.params[0] == list(network.ACTIVATIONS)
    assert kernels.Optimizer.params[0] == suite("hot_loop").StepOfOptimizer.params[0] == list(network.OPTIMIZERS)
    named = kernels.Loss.params[0]
    assert [name for name in named if kernels.LOGITS not in name] == list(losses._CLASSES)
    two = [name for name, cls in losses._CLASSES.items() if cls._logits]
    assert [name.removesuffix(kernels.LOGITS) for name in named if kernels.LOGITS in name] == two


def test_importing_the_suite_starts_no_thread():
    code = f"""
import importlib, sys
import numpy, nnfast
threads = lambda: next(line for line in open("/proc/self/status") if line.startswith("Threads:"))
before = threads()
sys.path.insert(0, {str(FOLDER.parent)!r})
for name in {sorted({module for module, _, _ in BENCHMARKS})!r}:
    importlib.import_module("suite." + name)
assert threads() == before
assert not {{"torch", "jax", "keras", "sklearn"}} & set(sys.modules)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    subprocess.run([sys.executable, "-c", code], check=True)
