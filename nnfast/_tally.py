"""Metrics of a fit or an evaluation: the core adds up the simple ones by rows, NumPy the others from the outputs."""
import numpy as np


class Tally:
    """The metrics of a model, resolved for its outputs and its loss.

    Parameters
    ----------
    loss : Loss
    chosen : list of (metric, whether rows count with their weights)
    units : int

    Attributes
    ----------
    natives : list of int
        Codes of the metrics that the core adds up: those without weights that have a kernel.
    """

    def __init__(self, loss, chosen, units):
        self.loss = loss
        shown = loss._shown(np.empty((0, units))).shape[1]
        self.metrics, self.natives = [], []         # (name, metric, weighted, place among the natives or None)
        for metric, weighted in chosen:
            resolved = metric._resolve(shown, loss._sparse)
            code = resolved._native() if loss._native_metrics and not weighted else None
            self.metrics.append((metric.name, resolved, weighted, None if code is None else len(self.natives)))
            if code is not None:
                self.natives.append(code)

    def sums(self):
        """Zeros for the loss and the native metrics."""
        return np.zeros(1 + len(self.natives))

    def others(self):
        """What the other metrics have added up so far, by name."""
        return {name: 0. for name, _, _, native in self.metrics if native is None}

    def outputs(self, rows, units, dtype):
        """Room for the outputs of rows if a metric needs them, else None."""
        return np.empty((rows, units), dtype) if len(self.natives) < len(self.metrics) else None

    def add(self, others, data, rows, outputs):
        """Adds rows (a slice or an order) of the data to the other metrics."""
        if not others:
            return
        y = data.truth[rows]
        if self.loss._ignores:
            y = np.where(y < 0, -1 - y, y)          # the label that was given
        weights = None if data.weights is None else data.weights[rows]
        for name, metric, weighted, native in self.metrics:
            if native is None:
                others[name] = others[name] + metric._sums(y, self.loss._shown(outputs), weights if weighted else None)

    def logs(self, sums, rows, outputs, data, order=None):
        """Loss and metrics after training on rows of the data in this order."""
        others = self.others()
        self.add(others, data, slice(rows) if order is None else order, outputs)
        return self.results(sums[0] / rows, sums, rows, others)

    def results(self, loss, sums, rows, others):
        """{name: value}, the loss first."""
        logs = {"loss": float(loss)}
        for name, metric, _, native in self.metrics:
            logs[name] = metric._result(others[name] if native is None else np.array([sums[1 + native], rows]))
        return logs
