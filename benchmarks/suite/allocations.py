"""Counts the allocations of a training step.

The program STEPS runs with a preloaded library that counts the calls of malloc.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

COUNTER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static long count;
long allocations(void) { return count; }
#define WRAP(type, name, parameters, arguments) \\
    type name parameters { \\
        static type (*next) parameters; \\
        if (!next) next = dlsym(RTLD_NEXT, #name); \\
        __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); \\
        return next arguments; \\
    }
WRAP(void*, malloc, (size_t n), (n))
WRAP(void*, realloc, (void* p, size_t n), (p, n))
WRAP(void*, aligned_alloc, (size_t a, size_t n), (a, n))
"""
STEPS = """
import ctypes, sys, threading
import numpy as np, nnfast
allocations = ctypes.CDLL(None).allocations
size = int(sys.argv[1])
model = nnfast.Sequential([nnfast.Input(20), nnfast.Dense(64, "gelu"), nnfast.Dense(3, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics="acc")
x, y, order = np.ones((3200, 20), "f4"), np.zeros(3200, "i8"), np.arange(3200)
network, core, sums = model._network, nnfast._core.network, np.zeros(2)
batches = core.Batches(core.DenseRows(x), y, 32, order=order)
helper = threading.Thread(target=network.help, args=(1, network.job()))
helper.start()
def steps(count):
    before = allocations()
    network.train_batches(batches, 0, count, 0.001, sums, size)
    return allocations() - before
steps(100)
print(steps(1), steps(100))
network.dismiss()
helper.join()
"""


def compiler():
    """A C compiler; None if there is none, or if a library cannot be preloaded."""
    return (shutil.which("cc") or shutil.which("gcc")) if sys.platform.startswith("linux") else None


def of_steps(n_threads, folder):
    """Allocations of a call of 1 step, and of a call of 100; the library is built in `folder`."""
    source, library = Path(folder) / "counter.c", Path(folder) / "counter.so"
    source.write_text(COUNTER)
    subprocess.run([compiler(), "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
    done = subprocess.run([sys.executable, "-c", STEPS, str(n_threads)], capture_output=True, text=True, check=True,
                          env=os.environ | {"LD_PRELOAD": str(library)}, timeout=300)
    one, many = map(int, done.stdout.split())
    return one, many
