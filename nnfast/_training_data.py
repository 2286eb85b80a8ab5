"""x, y and sample weights of a fit or an evaluation, checked once and opened for the core."""
import copy

import numpy as np

from nnfast import _validation as check
from nnfast._core import network as core


class TrainingData:
    """Rows of a fit or an evaluation.

    Parameters
    ----------
    loss : Loss
        It checks the targets.
    n_inputs, units : int
        Columns of x and outputs of the network.
    flatten : bool
        Whether rows of x may have several axes.
    x, y, sample_weight : as in `Sequential.fit`
    of : str
        Where the data come from, for messages: "" or " of validation_data".

    Attributes
    ----------
    x : array (rows, ...)
    truth : array (rows, columns), or labels (rows,)
        Targets for metrics; rows that the loss ignores are still in it.
    y : array of the shape of `truth`
        Targets as the core reads them.
    weights, sample_weights : float64 array (rows,) or None
        Weights of rows, with and without class weights.
    """

    def __init__(self, loss, n_inputs, units, flatten, x, y, sample_weight=None, of=""):
        self.loss, self.units, self.of, self.first = loss, units, of, 0
        if y is None:
            raise ValueError(f"y{of} must be given: training and evaluation need targets.")
        x, y = check.table(x, f"x{of}"), check.table(y, f"y{of}")
        self.columns = {"x": check.names(x), "y": check.names(y)}
        self.x = check.matrix(x, f"x{of}", n_inputs, flatten)
        self.truth = loss._targets(y, units, f"y{of}")
        self.y = loss._coded(self.truth)
        check.same_length(self.x, self.y, f"x{of}", f"y{of}")
        check.at_least_one_row(self.x, f"x{of}")
        self.x_rows, self.y_rows = check.opened(self.x), check.opened(self.y)
        if sample_weight is not None:
            self._check_loss_per_row()
        self.sample_weights = self.weights = check.weights(sample_weight, len(self.x), f"sample_weight{of}")

    def _check_loss_per_row(self):
        """ValueError for a loss whose values are not by row: weights of rows do not fit them."""
        if self.loss._whole and self.loss.axis is not None:
            raise ValueError(f"weights of rows need a loss that keeps rows apart; {self.loss!r} reduces them. "
                             f"Use axis=-1 or axis=None.")

    def weigh_classes(self, class_weight, rows):
        """Multiplies the weights of `rows`, a slice or row indices, by their class weights."""
        self._check_loss_per_row()
        given = None if self.sample_weights is None else self.sample_weights[rows]
        class_weights = self.loss._weights_of_classes(class_weight, self.units, self.truth[rows], given)
        self.weights = np.ones(len(self)) if given is None else self.sample_weights.copy()
        self.weights[rows] = class_weights if given is None else given * class_weights

    def __len__(self):
        return len(self.x)

    def batches(self, batch_size, count=None, order=None):
        """Batches of the first `count` rows, or of the rows whose indices `order` holds."""
        return core.Batches(self.x_rows, self.y_rows, batch_size, count, order, self.weights, self.loss._ignores)

    def rest(self, first):
        """The rows from `first` on, as validation data: without class weights, as in Keras."""
        part = copy.copy(self)
        part.x, part.y, part.truth, part.first = self.x[first:], self.y[first:], self.truth[first:], first
        part.weights = None if self.sample_weights is None else self.sample_weights[first:]
        part.x_rows = part.y_rows = None        # an evaluation opens them slice by slice
        return part

    def error_at(self, status, row):
        """The error for a row that the core refused: x is not finite, or the loss refuses y."""
        if status == core.BAD_INPUT:
            return check.not_finite(self.x, row, f"x{self.of}", self.first, self.columns["x"])
        return self.loss._bad_target(self.truth, row, f"y{self.of}", self.first, self.columns["y"])
