"""The native core, built once per CPU level from one source; the level is picked here, once per process.

`network` is the extension of the best level this machine has, or of the one
that the environment variable NNFAST_CPU (v2, v3, v4) asks for.
"""
import os
from importlib import import_module
from importlib.util import find_spec

from nnfast._core import cpu

COMPILER = cpu.COMPILER


def _levels():
    """Levels that are built and that this machine can run, lowest first."""
    if cpu.level() == 0:
        return ["base"]
    built = [f"v{n}" for n in (2, 3, 4) if n <= cpu.level()]
    return [level for level in built if find_spec(f"nnfast._core.network_{level}")]


def _choose(levels):
    wanted = os.environ.get("NNFAST_CPU", "")
    if not wanted:
        return levels[-1]
    if wanted not in levels:
        raise ImportError(
            f"NNFAST_CPU must name a CPU level that this machine has and that is built: {', '.join(levels)}; "
            f"got {wanted!r}. Unset it, or set it to one of those."
        )
    return wanted


LEVELS = _levels()
LEVEL = _choose(LEVELS)
network = import_module(f"nnfast._core.network_{LEVEL}")
