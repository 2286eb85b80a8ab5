"""nnfast through its public API: one `fit` for each epoch, with its checks of the data."""
from benchmarks.peers import timed
from benchmarks.suite import workloads

NAME = "nnfast"
REQUIRES = ("nnfast", "numpy")
VARIANTS = ("fit",)


def prepare(name, variant, threads):
    model = workloads.model(name)
    return timed(lambda: workloads.fit(model, name, threads)), model.get_weights
