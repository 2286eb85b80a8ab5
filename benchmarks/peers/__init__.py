"""One epoch of nnfast compared with one epoch of other libraries, on the CPU.

Rules:
- Every (library, variant, threads, network) runs in a separate process; in each round the libraries
  take turns.
- All have the same data in memory, initial weights (scikit-learn: its own of the same scale), batch
  size, Adam(1e-3) and dtype, and a new order of rows every epoch.
- Environment variables set the threads of BLAS and OpenMP; those that select kernels are removed.
- Each process times EPOCHS epochs and the fastest counts, so compilation and warm-up do not.
- The loss is that of the weights after these epochs, over the training rows, computed by NumPy.

A library is a module here: NAME, REQUIRES (modules to import), VARIANTS (and those that are
NOT_COUNTED), and `prepare(name, variant, threads)`.  It returns `epochs(count)`, which gives the
seconds of each of the next epochs, and `weights()`.
"""
import time

LIBRARIES = ("nnfast", "torch", "jax", "keras", "sklearn")
EPOCHS = 6


def timed(epoch):
    """`epochs(count)` for a function that trains one epoch."""
    def epochs(count):
        seconds = []
        for _ in range(count):
            begin = time.perf_counter()
            epoch()
            seconds.append(time.perf_counter() - begin)
        return seconds
    return epochs
