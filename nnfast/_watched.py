"""What callbacks get as their model from an estimator: the words of Sequential that callbacks use, on scikit-learn's attributes."""
from nnfast import _model_file, _validation as check


class _Score:
    """Accuracy or R^2, as callbacks ask metrics about themselves."""

    _rises = True


class _Rate:
    """The optimizer as callbacks see it: the learning rate they may read and, where it is a number of its own, set."""

    def __init__(self, estimator, optimizer):
        self._estimator, self._optimizer = estimator, optimizer
        self._name = "learning_rate" if estimator.solver == "sgd" else "learning_rate_init"     # Adam's learning_rate holds its correction

    @property
    def learning_rate(self):
        """The rate of the coming epoch; a schedule as it was given, and None for "invscaling", which sets it after every epoch."""
        given = self._estimator.learning_rate
        if callable(given):
            return given
        if self._estimator.solver == "sgd" and given == "invscaling":
            return None
        return getattr(self._optimizer, self._name)

    @learning_rate.setter
    def learning_rate(self, value):
        if self.learning_rate is None or callable(self.learning_rate):
            raise ValueError(f"the learning rate can not be set: it follows learning_rate={self._estimator.learning_rate!r}.")
        setattr(self._optimizer, self._name, check.number(value, "learning_rate", 0))

    def __repr__(self):
        return f"solver={self._estimator.solver!r}, learning_rate={self._estimator.learning_rate!r}"


class Watched:
    """An estimator in training, as the model of its callbacks.

    It ends with the fit: a callback that is kept, copied or pickled afterwards does not carry the estimator along.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
        Whose `predict` and `score` may be called, and whose attributes read.
    stop_training : bool
        Set to True it ends the fit, after the epoch, or in a batch hook after the batch.
    optimizer : object with `learning_rate`
    """

    metrics_names, metrics = ["loss", "score"], [_Score()]

    def __init__(self, estimator, optimizer):
        self.estimator, self.optimizer, self.stop_training = estimator, _Rate(estimator, optimizer), False

    def close(self):
        """Lets the estimator go, when its fit has ended."""
        self.estimator = self.optimizer = None

    def _views(self):
        if self.estimator is None:
            raise RuntimeError("the fit of this callback has ended: use the weights of the estimator, coefs_ and intercepts_.")
        return [array for pair in zip(self.estimator.coefs_, self.estimator.intercepts_) for array in pair]

    def get_weights(self):
        """Copies of the weight arrays: kernel (n_in, n_out) and bias (n_out,) of each layer."""
        return [view.copy() for view in self._views()]

    def set_weights(self, weights):
        """Sets the weight arrays, in the order and shapes of `get_weights`; a ValueError where they do not fit."""
        check.copy_weights(self._views(), weights)

    def save_weights(self, path):
        """Writes the weight arrays to a file, as `Sequential.save_weights`."""
        _model_file.save_weights(path, self.get_weights())

    def save(self, path):
        """Refused: an estimator is more than its network."""
        raise ValueError(f"an estimator can not be saved to {path!r} as a Sequential can: give ModelCheckpoint save_weights_only=True, "
                         f"or keep the fitted estimator with joblib.dump or pickle.")
