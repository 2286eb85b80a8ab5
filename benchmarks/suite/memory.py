"""Memory."""
import tempfile

from . import allocations, workloads


class Peak:
    """How much memory does a process with data and a model need, and how much more to train?"""

    params = ["small", "mnist", "big"]
    param_names = ["workload"]

    def peakmem_before(self, name):
        workloads.data(name)
        workloads.model(name)

    def peakmem_fit(self, name):
        workloads.fit(workloads.model(name), name, 2)


class Allocations:
    """How often does a training step allocate memory?  It must be 0."""

    params = [1, 2]
    param_names = ["n_threads"]

    def setup(self, n_threads):
        if allocations.compiler() is None:
            raise NotImplementedError("no C compiler, or not Linux")

    def track_per_step(self, n_threads):
        with tempfile.TemporaryDirectory() as folder:
            one, many = allocations.of_steps(n_threads, folder)
        return (many - one) / 99

    track_per_step.unit = "allocations"
