"""nnfast through its own face, one `fit` of one epoch at a time, with its checks of the data in the time."""
from benchmarks.peers import timed
from benchmarks.suite import workloads

NAME = "nnfast"
REQUIRES = ("nnfast", "numpy")
VARIANTS = ("fit",)


def prepare(name, variant, threads):
    model = workloads.model(name)
    return timed(lambda: workloads.fit(model, name, threads)), model.get_weights
