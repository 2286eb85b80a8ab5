"""Training times, asv's form.

asv calls `setup` before every timed call: models and data are made once per process, by cached functions.
"""
import os
from functools import cache

from . import workloads


@cache
def warm_model(name):
    """A model whose first fit is behind it."""
    model = workloads.model(name)
    workloads.fit(model, name, 1)
    return model


class OneEpoch:
    """How long is one epoch through `fit`, and does training still arrive at the same loss?"""

    params = [list(workloads.WORKLOADS), [1, 2]]
    param_names = ["workload", "n_threads"]
    rounds = 2
    repeat = (5, 20, 5.0)
    timeout = 300

    def setup(self, name, n_threads):
        if n_threads > (os.cpu_count() or 1):
            raise NotImplementedError("more threads than CPUs")
        warm_model(name)

    def time_epoch(self, name, n_threads):
        workloads.fit(warm_model(name), name, n_threads)

    def track_loss(self, name, n_threads):
        """Over the training rows after five epochs; the same for every number of threads."""
        model = workloads.model(name)
        workloads.fit(model, name, n_threads, epochs=5)
        return workloads.loss(name, model.get_weights())

    track_loss.unit = "loss"
