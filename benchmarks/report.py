"""What the scripts share: the machine, its threads and load; timing in turns; C code; tables."""
import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY",
           "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def environment(threads):
    """The environment variables of a fair measurement.

    They set the number of threads (None: each library chooses), and leave each library its own
    choice of kernels.  A BLAS that is told to use the kernels of an older CPU
    (OPENBLAS_CORETYPE=Haswell) has half its speed on a new one.
    """
    own = {name: value for name, value in os.environ.items() if name not in KERNELS + POOLS}
    return own | (dict.fromkeys(POOLS, str(threads)) if threads else {})


def restart(threads):
    """Restarts this process in `environment(threads)`: a BLAS reads it when NumPy is imported."""
    env = environment(threads)
    if env != os.environ:
        os.execve(sys.executable, sys.orig_argv, env)


def cpus():
    """CPUs this process may use, in order."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def machine():
    """One line about the machine and Python."""
    from nnfast._config import cpu_model

    return f"{cpu_model()}, {len(cpus())} CPUs, {platform.system()}, Python {platform.python_version()}"


def others():
    """The time, and the CPU seconds of all other processes except children; None without /proc."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except OSError:
        return None
    used = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), used - sum(os.times()[:4])


def meanwhile(begin):
    """A line about the CPU time of other processes since `begin`, an earlier result of `others`."""
    if begin is None:
        return "Whether other processes kept the machine busy is not known on this system."
    now, used = others()
    return (f"Other processes used {max(0.0, (used - begin[1]) / (now - begin[0])):.2f} CPUs meanwhile: "
            "on a busy machine the times mean little.")


def c_library(code, *options):
    """The functions of this C code, compiled with these options, as a ctypes library."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("A C compiler is needed: put cc on the PATH, or set CC.")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "code.c"), Path(folder, "code.so")
        source.write_text(code)
        subprocess.run([*compiler.split(), "-shared", "-fPIC", *options, source, "-o", library], check=True)
        return ctypes.CDLL(str(library))


def turns(calls, repeats, seconds):
    """Mean seconds of each call in `repeats` spans of about `seconds`; the calls take turns."""
    counts = []
    for call in calls:
        call()
        begin = time.perf_counter()
        call()
        counts.append(max(1, int(seconds / (time.perf_counter() - begin))))
    times = [[] for _ in calls]
    for _ in range(repeats):
        for call, count, spans in zip(calls, counts, times, strict=True):
            begin = time.perf_counter()
            for _ in range(count):
                call()
            spans.append((time.perf_counter() - begin) / count)
    return times


def fastest(calls, repeats, seconds):
    """Seconds of the fastest of the `turns` of each call."""
    return [min(times) for times in turns(calls, repeats, seconds)]


def table(header, rows):
    """A Markdown table: the first column aligned left, the others right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *rest in [cells[0], rule, *cells[1:]]:
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)
