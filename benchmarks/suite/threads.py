"""What more threads gain and cost."""
import os
import threading

from . import workloads
from .common import fastest
from .workloads import trained


class Team:
    """What is the time of an epoch on n threads over that on one?  1 / n is ideal."""

    params = [["mid", "mnist", "big"], [2, 4, 8]]
    param_names = ["workload", "n_threads"]
    timeout = 300

    def setup(self, name, n_threads):
        if n_threads > (os.cpu_count() or 1):
            raise NotImplementedError("more threads than CPUs")
        trained(name)

    def track_share_of_time(self, name, n_threads):
        one, many = float("inf"), float("inf")
        for _ in range(3):
            one = min(one, fastest(lambda: workloads.fit(trained(name), name, 1), 2))
            many = min(many, fastest(lambda: workloads.fit(trained(name), name, n_threads), 2))
        return round(many / one, 3)

    track_share_of_time.unit = "of the time on one"


class ShortFit:
    """How long is a fit of one batch, including the start and end of threads?"""

    params = [1, 2]
    param_names = ["n_threads"]

    def setup(self, n_threads):
        self.x, self.y = (array[:256] for array in workloads.data("mnist"))
        self.model = trained("mnist")

    def time_fit(self, n_threads):
        self.model.fit(self.x, self.y, batch_size=256, verbose=0, n_threads=n_threads)


class TwoModels:
    """What is the time of two models at once over the time of one alone?  1 is ideal.

    Each model trains in its own Python thread.
    """

    params = ["small", "mnist"]
    param_names = ["workload"]

    def setup(self, name):
        if (os.cpu_count() or 1) < 2:
            raise NotImplementedError("one CPU only")
        trained(name, 0), trained(name, 1)

    def track_slowdown(self, name):
        def fit(number):
            workloads.fit(trained(name, number), name, 1, epochs=3)

        def both():
            helper = threading.Thread(target=fit, args=(1,))
            helper.start()
            fit(0)
            helper.join()

        alone, together = float("inf"), float("inf")
        for _ in range(3):
            alone, together = min(alone, fastest(lambda: fit(0), 1)), min(together, fastest(both, 1))
        return round(together / alone, 3)

    track_slowdown.unit = "times one alone"
