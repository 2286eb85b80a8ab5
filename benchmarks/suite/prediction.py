"""Prediction on one thread."""
from functools import cache

from . import workloads
from .common import per

model = cache(workloads.model)


class OneRow:
    """How long does one row take through `predict`?"""

    params = list(workloads.WORKLOADS)
    param_names = ["workload"]
    calls = 100

    def setup(self, name):
        self.model, self.x = model(name), workloads.data(name)[0][:1].copy()
        self.model.predict(self.x)
        self.timer = per(self.calls)

    def time_predict(self, name):
        for _ in range(self.calls):
            self.model.predict(self.x, n_threads=1)


class ManyRows:
    """How long does each of 8192 rows take through `predict`, and through `evaluate`?"""

    params = list(workloads.WORKLOADS)
    param_names = ["workload"]

    def setup(self, name):
        self.model = model(name)
        self.x, self.y = (array[:8192] for array in workloads.data(name))
        self.model.predict(self.x, n_threads=1)
        self.timer = per(len(self.x))

    def time_predict(self, name):
        self.model.predict(self.x, n_threads=1)

    def time_evaluate(self, name):
        self.model.evaluate(self.x, self.y, verbose=0, n_threads=1)
