"""One epoch of nnfast beside one epoch of other libraries, on the CPU.

The rules: every (library, variant, threads, network) runs in a process of its own, libraries taking turns inside each
round; the same data in memory, first weights (scikit-learn: its own of the same scale), batch size, Adam(1e-3), type of
numbers, and a new order of rows every epoch; BLAS and OpenMP threads pinned through the environment, and variables that
choose a library's kernels unset.  Each process times EPOCHS epochs; the fastest counts, so compilation and warm-up do
not.  The loss is that of the weights after these epochs over the training rows, computed by NumPy for all of them.

A library is a module here: NAME, REQUIRES (modules to import), VARIANTS (and those that are NOT_COUNTED), and
`prepare(name, variant, threads)`, which returns `epochs(count)`, seconds of each of the next epochs, and `weights()`.
"""
import time

LIBRARIES = ("nnfast", "torch", "jax", "keras", "sklearn")
EPOCHS = 6


def timed(epoch):
    """`epochs(count)` of a function that trains one epoch."""
    def epochs(count):
        seconds = []
        for _ in range(count):
            begin = time.perf_counter()
            epoch()
            seconds.append(time.perf_counter() - begin)
        return seconds
    return epochs
