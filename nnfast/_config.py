"""Properties of this installation, and what it chose on this machine."""
from __future__ import annotations

import os
import platform

from nnfast import _core, _threads
from nnfast._version import __version__


def get_include() -> str:
    """The folder in which Cython finds `nnfast/kernels.pxd`, for the `include_path` of `cythonize`.

    Cython needs it where nnfast was installed with `pip install -e .`.

    Returns
    -------
    str
        The absolute path of the folder that holds the package nnfast.

    Examples
    --------
    >>> import os, nnfast
    >>> os.path.isfile(os.path.join(nnfast.get_include(), "nnfast", "kernels.pxd"))
    True
    """
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def cpu_model() -> str:
    """Name, family and model number of the CPU, as far as the system tells them."""
    try:
        with open("/proc/cpuinfo") as file:
            first, _, _ = file.read().partition("\n\n")
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in first.splitlines())
    known = {name.strip(): value.strip() for name, _, value in pairs}
    labels = {"family": "cpu family", "model": "model"}
    numbers = [f"{label} {known[name]}" for label, name in labels.items() if name in known]
    name = known.get("model name") or platform.machine()
    return f"{name} ({', '.join(numbers)})" if numbers else name


def show_config() -> None:
    """Prints versions, compiler, CPU, threads, and environment variables that override them.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.show_config()    # doctest: +ELLIPSIS
    nnfast ...
    """
    import numpy

    most, _ = _threads.most_threads(None)
    variables = ("NNFAST_CPU", "NNFAST_NUM_THREADS", "OMP_NUM_THREADS")
    overrides = [f"{name}={os.environ[name]}" for name in variables if os.environ.get(name)]
    for name, value in [
        ("nnfast", __version__),
        ("python", f"{platform.python_version()}, numpy {numpy.__version__}, {platform.platform()}"),
        ("compiler", _core.COMPILER),
        ("CPU", cpu_model()),
        ("CPU level", f"{_core.LEVEL} (available: {', '.join(_core.LEVELS)})"),
        ("threads", f"up to {most} by default"),
        ("overrides", ", ".join(overrides) or f"none ({', '.join(variables)})"),
    ]:
        print(f"{name:<10} {value}")
