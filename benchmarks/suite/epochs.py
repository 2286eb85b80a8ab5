"""Whole epochs, as a user trains."""
import os

from . import workloads


class OneEpoch:
    """How long is one epoch through `fit`, and does training still reach the same loss?"""

    params = [list(workloads.WORKLOADS), [1, 2]]
    param_names = ["workload", "n_threads"]
    rounds = 2
    repeat = (3, 10, 2.0)
    timeout = 300

    def setup(self, name, n_threads):
        if n_threads > (os.cpu_count() or 1):
            raise NotImplementedError("more threads than CPUs")
        workloads.trained(name)

    def time_epoch(self, name, n_threads):
        workloads.fit(workloads.trained(name), name, n_threads)

    def track_loss(self, name, n_threads):
        """Loss over the training rows after five epochs; the same for every number of threads."""
        model = workloads.model(name)
        workloads.fit(model, name, n_threads, epochs=5)
        return workloads.loss(name, model.get_weights())

    track_loss.unit = "loss"
