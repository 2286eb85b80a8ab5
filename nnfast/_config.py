"""What this installation is and what it chose on this machine."""
import os
import platform

from nnfast import _core, _threads
from nnfast._version import __version__


def get_include():
    """The folder in which Cython finds `nnfast/kernels.pxd`: the `include_path` of `cythonize`.

    After `pip install -e .` Cython does not find the file without it.

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


def show_config():
    """Prints version, compiler, CPU levels, threads and the environment variables that override them.

    Examples
    --------
    >>> import nnfast
    >>> nnfast.show_config()    # doctest: +ELLIPSIS
    nnfast ...
    """
    import numpy

    most, _ = _threads.most_threads(None)
    overrides = [f"{name}={os.environ[name]}" for name in ("NNFAST_CPU", "NNFAST_NUM_THREADS", "OMP_NUM_THREADS") if os.environ.get(name)]
    for name, value in [
        ("nnfast", __version__),
        ("python", f"{platform.python_version()}, numpy {numpy.__version__}, {platform.platform()}"),
        ("compiler", _core.COMPILER),
        ("CPU level", f"{_core.LEVEL} (available: {', '.join(_core.LEVELS)})"),
        ("threads", f"up to {most} by default"),
        ("overrides", ", ".join(overrides) or "none (NNFAST_CPU, NNFAST_NUM_THREADS, OMP_NUM_THREADS)"),
    ]:
        print(f"{name:<10} {value}")
