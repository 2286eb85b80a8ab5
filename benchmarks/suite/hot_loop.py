"""The training loop below `fit`: ranges of batches in one native call, on one thread."""
from functools import cache

import numpy as np

from nnfast._core import network

from . import workloads
from .common import declared, fastest, member, optimizers_by_kernel, peak, per

ROWS = 2048
CLASSES = 10


@cache
def stepper(width, depth, batch, dtype="float32", optimizer="adam"):
    """A function that trains, and its number of steps.

    The network has `depth` layers of `width` units and a softmax.
    """
    import nnfast
    from nnfast.layers import Dense, Input

    hidden = [Dense(width, activation="relu") for _ in range(depth)]
    model = nnfast.Sequential([Input(width), *hidden, Dense(CLASSES, activation="softmax")], seed=0, dtype=dtype)
    model.compile(member(optimizers_by_kernel(), optimizer), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.random((ROWS, width)).astype(dtype), rng.integers(0, CLASSES, ROWS)
    flops = 6 * batch * width * (depth * width + CLASSES)
    steps = int(np.clip(1e9 / flops, 1, 1000))
    order = np.arange(steps * batch) % ROWS
    native, sums = model._network, np.zeros(1)
    batches = network.Batches(network.DenseRows(x), y, batch, order=order)

    def train():
        native.train_batches(batches, 0, steps, 1e-3, sums)

    train()
    return train, steps


class Step:
    """How long is a step of Adam, float32, by the size of the network and of the batch?"""

    params = [[16, 64, 256, 1024], [1, 3], [1, 32, 256, 1024]]
    param_names = ["width", "depth", "batch"]

    def setup(self, width, depth, batch):
        self.train, steps = stepper(width, depth, batch)
        self.timer = per(steps)

    def time_step(self, width, depth, batch):
        self.train()


class StepOfOptimizer:
    """How long is a step of each optimizer in each dtype?  Two layers of 64 units, 32 rows."""

    params = [declared("optimizer_codes", "_core/optimizers.pxd"), ["float32", "float64"]]
    param_names = ["optimizer", "dtype"]

    def setup(self, name, dtype):
        member(network.OPTIMIZERS, name)
        self.train, steps = stepper(64, 2, 32, dtype, name)
        self.timer = per(steps)

    def time_step(self, name, dtype):
        self.train()


class StepFromPython:
    """How long is a step on 32 rows through `train_on_batch`, with all Python around it?"""

    params = ["tiny", "small"]
    param_names = ["workload"]
    steps = 200

    def setup(self, name):
        self.model = workloads.trained(name)
        self.batch = [array[:32].copy() for array in workloads.data(name)]
        self.model.train_on_batch(*self.batch)
        self.timer = per(self.steps)

    def time_train_on_batch(self, name):
        for _ in range(self.steps):
            self.model.train_on_batch(*self.batch)


class Rate:
    """How much of the machine does training use, on one thread, with everything?  More is better.

    The peak is NumPy's best float32 product, measured in the same run.
    """

    params = list(workloads.WORKLOADS)
    param_names = ["workload"]
    timeout = 300

    def setup(self, name):
        self.model = workloads.trained(name)

    def gflops(self, name):
        return workloads.WORKLOADS[name].flops / fastest(lambda: workloads.fit(self.model, name, 1)) / 1e9

    def track_gflops(self, name):
        return round(self.gflops(name), 1)

    def track_share_of_peak(self, name):
        return round(100 * self.gflops(name) / peak(), 1)

    track_gflops.unit = "GFLOP/s"
    track_share_of_peak.unit = "% of sgemm"
