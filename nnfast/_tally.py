"""Metrics of a fit or an evaluation, added up over its rows.

The core adds up the native metrics, those that have a native kernel.  NumPy computes the others
from the outputs of the network: `others` in the names below.
"""
import warnings

import numpy as np

from nnfast.metrics import Accuracy, BinaryAccuracy, MeanMetricWrapper, Metric


class Tally:
    """The metrics of a model, resolved for its outputs and its loss.

    Parameters
    ----------
    loss : Loss
    chosen : list of (name, metric, weighted)
        `weighted`: whether rows count with their weights.
    units : int
    penalized : bool
        Whether penalties on weights or outputs belong to the loss.  In `sums` they come last.
    logits : bool
        Whether outputs are logits: then "accuracy" of one output has the threshold 0.

    Attributes
    ----------
    metrics : list of (name, metric, weighted, place)
        `place`: index in `natives`, or None for a metric that NumPy computes.
    natives : list of int
        Codes of the native metrics; a weighted metric is never one of them.
    at_once : bool
        Whether one of the metrics is a function.  It may reduce all rows to one number, so it must
        get all of them in one call.
    """

    def __init__(self, loss, chosen, units, penalized=False, logits=False):
        self.loss, self.units, self.penalized = loss, units, penalized
        shown = loss._shown(np.empty((0, units))).shape[1]
        self.metrics, self.natives = [], []
        for name, metric, weighted in chosen:
            resolved = metric._resolve(shown, loss._sparse)
            if logits and isinstance(metric, Accuracy) and isinstance(resolved, BinaryAccuracy):
                resolved = BinaryAccuracy(name=resolved.name, threshold=0)
            if type(resolved)._sums is Metric._sums:
                raise ValueError(f"metric {name!r} must be one of nnfast.metrics or a function of y_true and y_pred; "
                                 f"it is a subclass of Metric without _sums and _result. Give a function instead.")
            code = resolved._code() if loss._native_metrics and not weighted else None
            self.metrics.append((name, resolved, weighted, None if code is None else len(self.natives)))
            if code is not None:
                self.natives.append(code)
        self.at_once = any(isinstance(metric, MeanMetricWrapper) for _, metric, _, _ in self.metrics)

    def drop_others(self):
        """Keeps only the metrics that the core adds up."""
        self.metrics, self.at_once = [chosen for chosen in self.metrics if chosen[3] is not None], False

    def sums(self):
        """Zeros to add up in: the loss, each native metric, and the penalties if there are any."""
        return np.zeros(1 + len(self.natives) + self.penalized)

    def mean_loss(self, sums, rows):
        """The mean loss of the rows, penalties included."""
        return (sums[0] + sums[-1] if self.penalized else sums[0]) / rows

    def others(self):
        """Zeros to add up the metrics that NumPy computes, by name."""
        return {name: 0. for name, _, _, native in self.metrics if native is None}

    def outputs(self, rows, units, dtype):
        """An empty array for the outputs of the rows if a metric needs them, else None."""
        return np.empty((rows, units), dtype) if len(self.natives) < len(self.metrics) else None

    def add(self, others, data, rows, outputs):
        """Adds rows of the data, a slice or an array of row numbers, to the sums in `others`."""
        if not others:
            return
        y, outputs = data.truth[rows], self.loss._shown(outputs)
        weights = None if data.weights is None else data.weights[rows]
        if self.loss._ignores:
            kept = y >= 0
            y, outputs, weights = y[kept], outputs[kept], None if weights is None else weights[kept]
        for name, metric, weighted, native in self.metrics:
            if native is None:
                others[name] = others[name] + metric._sums(y, outputs, weights if weighted else None)

    def logs(self, sums, rows, outputs, data, order=None):
        """Loss and metrics after training on the first `rows` rows of the data, or on `order`."""
        others = self.others()
        self.add(others, data, slice(rows) if order is None else order, outputs)
        return self.results(self.mean_loss(sums, rows), sums, self.counted(data, rows, order), others)

    def running(self, sums, rows):
        """Loss and native metrics of the first rows; only the loss if it may ignore rows."""
        logs = {"loss": float(self.mean_loss(sums, rows))}
        for name, metric, _, native in self.metrics:
            if native is not None and not self.loss._ignores:
                logs[name] = metric._result(np.array([sums[1 + native], rows]))
        return logs

    def counted(self, data, rows, order=None):
        """Number of rows, of the first `rows` or of `order`, that the loss does not ignore."""
        return int((data.y[slice(rows) if order is None else order] >= 0).sum()) if self.loss._ignores else rows

    def try_out(self, data, rows, outputs):
        """Computes the metrics of a few rows, so that errors come before anything is trained."""
        y = data.truth[rows]
        shown = self.loss._shown(outputs).shape[1]
        only_functions = all(isinstance(metric, MeanMetricWrapper) for _, metric, _, _ in self.metrics)
        if self.others() and y.ndim == 2 and y.shape[1] != shown and not only_functions:
            raise ValueError(f"metrics need targets like the outputs; y has {y.shape[1]} column(s), the model {shown} "
                             f"outputs. Give a function of y_true and y_pred as metric.")
        for name, metric, _, _ in self.metrics:
            if isinstance(metric, BinaryAccuracy) and y.ndim == 2 and not ((y == 0) | (y == 1)).all():
                other = y[(y != 0) & (y != 1)][0]
                warnings.warn(f"metric {name!r} counts outputs that agree with labels 0 and 1; y holds {other}, which "
                              f"no output agrees with. Number the classes 0 and 1, or choose a metric of real "
                              f"targets, such as 'mae'.", stacklevel=5)
        self.add(self.others(), data, rows, outputs)

    def warn_of_lacks(self, data):
        """Warns of metrics for which the validation data have too few or too similar rows."""
        y = data.truth[data.y >= 0] if self.loss._ignores else data.truth
        shown = self.loss._shown(np.empty((0, self.units))).shape[1]
        for name, metric, _, _ in self.metrics:
            lack = metric._lack(y, shown)
            if lack:
                warnings.warn(f"the validation data cannot measure {name!r}, which needs {lack}; 'val_{name}' says "
                              f"nothing about the model. Give more rows, or another metric.", stacklevel=4)

    def results(self, loss, sums, rows, others):
        """{name: value} from all sums, the loss first."""
        logs = {"loss": float(loss)}
        for name, metric, _, native in self.metrics:
            logs[name] = metric._result(others[name] if native is None else np.array([sums[1 + native], rows]))
        return logs
