"""nnfast through its own face, one `fit` of one epoch at a time, with its checks of the data in the time."""
import time

from benchmarks.suite import workloads

NAME = "nnfast"
REQUIRES = ("nnfast", "numpy")
VARIANTS = ("fit",)


def train(name, variant, threads, epochs):
    x, y = workloads.data(name)
    batch_size = workloads.WORKLOADS[name].batch_size
    model = workloads.model(name)
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0, n_threads=threads)
        seconds.append(time.perf_counter() - begin)
    return seconds, model.get_weights()
