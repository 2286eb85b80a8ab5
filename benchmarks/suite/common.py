"""What files of the suite share: timers, CPU levels, optimizers, the peak of the machine."""
import os
import re
import subprocess
import sys
import time
from functools import cache
from importlib import import_module
from pathlib import Path

from nnfast import _core, optimizers

LEVELS = ["v2", "v3", "v4"] if _core.LEVELS != ["base"] else ["base"]


def source(file):
    """A file of the package beside this suite.

    asv names parameters by their place in lists that each commit makes anew: lists made of the package that is
    installed differ between commits, and figures would go to the wrong names.
    """
    return (Path(__file__).parents[2] / "nnfast" / file).read_text()


def declared(name, file):
    """Keys of the dict that follows a name in a source file."""
    return re.findall(r'"(\w+)":', re.search(rf"\b{name}\b[^{{]*{{(.*?)}}", source(file), re.DOTALL)[1])


def per(count):
    """A timer for calls that do something `count` times: it gives the time of one."""
    return lambda: time.perf_counter() / count


def fastest(call, repeats=5):
    """Seconds of the fastest of several calls."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def core(level):
    """The native module of a CPU level."""
    if level not in _core.LEVELS:
        raise NotImplementedError(f"this machine has no {level}")
    return import_module(f"nnfast._core.network_{level}")


def member(found, name):
    """found[name]; a commit that lacks it is skipped."""
    if name not in found:
        raise NotImplementedError(f"this commit has no {name}")
    return found[name]


@cache
def optimizers_by_kernel():
    """An optimizer for each name of `network.OPTIMIZERS`: those with their defaults, and the other forms of three of them."""
    forms = {"SGD": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], "Adam": [{"amsgrad": True}],
             "RMSprop": [{"momentum": 0.9}, {"centered": True}, {"centered": True, "momentum": 0.9}]}
    found = {}
    for name in ("SGD", "RMSprop", "Adam", "RAdam", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion"):
        cls = getattr(optimizers, name, None)
        for options in [{}, *forms.get(name, [])]:
            try:
                optimizer = cls(**options)
            except TypeError:       # a commit that lacks it, or the option
                continue
            found[optimizer._kernel_and_settings()[0]] = optimizer
    return found


PEAK = """
import time
import numpy as np
a = np.random.default_rng(0).random((1536, 1536), dtype=np.float32)
out, seconds = np.empty_like(a), []
for _ in range(8):
    begin = time.perf_counter()
    np.dot(a, a, out=out)
    seconds.append(time.perf_counter() - begin)
print(2 * len(a)**3 / min(seconds) / 1e9)
"""


def peak():
    """GFLOP/s of NumPy's float32 product on one thread, in a process of its own: a BLAS reads its settings at import."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    env |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return float(subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=env).stdout)
