"""The native core: compiled once for each CPU level from one source; this module selects the level.

The levels are those of x86-64: v2 (SSE4.2), v3 (adds AVX2 and FMA) and v4 (adds AVX-512).  Other
architectures have one level, base.  `network` is the extension module of the highest level that
this machine has, or of the level that the environment variable NNFAST_CPU names.  It is selected
once in each process.

Rejected: a choice in each kernel.  It would cost a call through a pointer, and no kernel could be
inlined into the training loop.
"""
import os
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec


def _not_built(needed):
    """Returns the ImportError for a folder without the compiled module `needed`."""
    folder = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(folder))
    names = [name for name in os.listdir(folder) if name.endswith((".so", ".pyd"))]
    if os.path.exists(os.path.join(root, "setup.py")):
        advice = (f"Build it with pip install -e . in {root}, or, if nnfast is installed elsewhere, start Python "
                  "outside of that folder.")
    else:
        advice = "Install it with the pip of this Python."
    return ImportError(f"nnfast must be compiled for this Python: {folder} must hold {needed}{EXTENSION_SUFFIXES[0]}; "
                       f"it holds {', '.join(sorted(names)) or 'no compiled module'}. {advice}")


if find_spec("nnfast._core.cpu") is None:
    raise _not_built("cpu")
cpu = import_module("nnfast._core.cpu")
COMPILER = cpu.COMPILER


def _levels():
    """Levels that are compiled and that this machine can run, lowest first."""
    names = [f"v{n}" for n in (2, 3, 4) if n <= cpu.level()] or ["base"]
    return [level for level in names if find_spec(f"nnfast._core.network_{level}")]


def _choose(levels):
    """The level that NNFAST_CPU names; the highest if it is not set."""
    if not levels:
        raise _not_built("network_v2" if cpu.level() else "network_base")
    wanted = os.environ.get("NNFAST_CPU", "")
    if not wanted:
        return levels[-1]
    if wanted not in levels:
        raise ImportError(
            f"NNFAST_CPU must name a CPU level that this machine has and that is compiled: {', '.join(levels)}; "
            f"got {wanted!r}. Unset it, or set it to one of those."
        )
    return wanted


LEVELS = _levels()
LEVEL = _choose(LEVELS)
network = import_module(f"nnfast._core.network_{LEVEL}")
