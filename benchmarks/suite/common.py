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

    asv identifies a parameter by its index in a list.  A list that comes from the installed package
    differs between commits, so results would get wrong names.
    """
    return (Path(__file__).parents[2] / "nnfast" / file).read_text()


def declared(name, file):
    """Keys of the dict that follows a name in a source file."""
    return re.findall(r'"(\w+)":', re.search(rf"\b{name}\b[^{{]*{{(.*?)}}", source(file), re.DOTALL)[1])


def per(count):
    """A timer for calls that do something `count` times; it gives the time of once."""
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
    """found[name]; a commit without it is skipped."""
    if name not in found:
        raise NotImplementedError(f"this commit has no {name}")
    return found[name]


@cache
def optimizers_by_kernel():
    """An optimizer for each name of `network.OPTIMIZERS`.

    Most have their defaults; three optimizers have other kernels with other options.
    """
    forms = {"SGD": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], "Adam": [{"amsgrad": True}],
             "RMSprop": [{"momentum": 0.9}, {"centered": True}, {"centered": True, "momentum": 0.9}]}
    found = {}
    for name in ("SGD", "RMSprop", "Adam", "RAdam", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion"):
        cls = getattr(optimizers, name, None)
        for options in [{}, *forms.get(name, [])]:
            try:
                optimizer = cls(**options)
            except TypeError:       # a commit without this optimizer, or without the option
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
    """GFLOP/s of NumPy's float32 product on one thread.

    It runs in a new process, because a BLAS reads its settings at import.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    env |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=env)
    return float(done.stdout)
