"""Losses under test: each class with the options that change its formula, and data that suit it."""
from dataclasses import dataclass, field

import numpy as np

from nnfast import losses

SMOOTHING = {"label_smoothing": 0.3}
LOGITS = {"from_logits": True}


def ramp(low, high):
    """An option with one value for each column."""
    return lambda n: np.linspace(low, high, n).tolist()


@dataclass
class Case:
    """A loss, the kinds of its targets and predictions (see DATA), and its options.

    An option that is callable is a function of the number of columns.
    """

    name: str
    y: str
    p: str
    options: dict = field(default_factory=dict)

    @property
    def cls(self):
        return losses._CLASSES[self.name]

    @property
    def sparse(self):
        return self.y == "labels"

    def chosen(self, n):
        """The options for n columns of predictions."""
        return {key: value(n) if callable(value) else value for key, value in self.options.items()}

    def loss(self, n, **more):
        return self.cls(**self.chosen(n), **more)

    def columns(self, n):
        """Number of columns of predictions for n targets."""
        return 2 * n if self.name == "gaussian_nll" else n

    def data(self, shape, rng, dtype=np.float64):
        """y and p; the last axis of `shape` is that of the targets, which labels do not have."""
        y = DATA[self.y](shape, rng)
        p = DATA[self.p]((*shape[:-1], self.columns(shape[-1])), rng).astype(dtype)
        return y if self.sparse else y.astype(dtype), p

    def __str__(self):
        shown = ",".join(f"{key}={'list' if callable(value) else value}" for key, value in self.options.items())
        return f"{self.name}({shown})"


DATA = {
    "real": lambda shape, rng: rng.standard_normal(shape),
    "wide": lambda shape, rng: 3 * rng.standard_normal(shape),
    "positive": lambda shape, rng: rng.uniform(0.1, 3, shape),
    "counts": lambda shape, rng: rng.poisson(2., shape).astype(np.float64),
    "bits": lambda shape, rng: rng.integers(0, 2, shape).astype(np.float64),
    "signs": lambda shape, rng: 2. * rng.integers(0, 2, shape) - 1,
    "one_hot": lambda shape, rng: np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])],
    "shares": lambda shape, rng: rng.dirichlet(np.ones(shape[-1]), shape[:-1]),
    "labels": lambda shape, rng: rng.integers(0, shape[-1], shape[:-1]),
    "probability": lambda shape, rng: rng.uniform(0.05, 0.95, shape),
}
CASES = [
    Case("mean_squared_error", "real", "wide"),
    Case("mean_absolute_error", "real", "wide"),
    Case("mean_absolute_percentage_error", "real", "wide"),
    Case("mean_squared_logarithmic_error", "positive", "wide"),
    Case("huber", "real", "wide"),
    Case("huber", "real", "wide", {"delta": 0.3}),
    Case("smooth_l1", "real", "wide"),
    Case("smooth_l1", "real", "wide", {"beta": 0.3}),
    Case("smooth_l1", "real", "wide", {"beta": 0}),
    Case("log_cosh", "real", "wide"),
    Case("quantile", "real", "wide"),
    Case("quantile", "real", "wide", {"q": 0.9}),
    Case("quantile", "real", "wide", {"q": ramp(0.1, 0.9)}),
    Case("expectile", "real", "wide"),
    Case("expectile", "real", "wide", {"q": 0.9}),
    Case("cosine_similarity", "real", "wide"),
    Case("kl_divergence", "shares", "probability"),
    Case("poisson", "counts", "positive"),
    Case("poisson", "counts", "real", {"log_input": True}),
    Case("gaussian_nll", "real", "real"),
    Case("gamma", "positive", "real"),
    *(Case("tweedie", "positive", "real", {"power": power}) for power in (-0.5, 0, 1, 1.5, 2, 3)),
    Case("hinge", "bits", "real"),
    Case("hinge", "signs", "real"),
    Case("squared_hinge", "bits", "real"),
    Case("squared_hinge", "signs", "real"),
    Case("categorical_hinge", "one_hot", "real"),
    *(Case("binary_crossentropy", "bits", p, {**logits, **options})
      for p, logits in (("probability", {}), ("wide", LOGITS))
      for options in ({}, SMOOTHING, {"pos_weight": 2.5}, {"pos_weight": ramp(0.5, 3), **SMOOTHING})),
    *(Case("binary_focal_crossentropy", "bits", p, {**logits, **options})
      for p, logits in (("probability", {}), ("wide", LOGITS))
      for options in ({}, {"gamma": 0}, {"gamma": 1}, {"gamma": 0.5}, {"gamma": 3.5, **SMOOTHING},
                      {"apply_class_balancing": True, "alpha": 0.3})),
    *(Case("categorical_crossentropy", "shares", p, {**logits, **options})
      for p, logits in (("probability", {}), ("wide", LOGITS)) for options in ({}, SMOOTHING)),
    *(Case("categorical_focal_crossentropy", "shares", p, {**logits, **options})
      for p, logits in (("probability", {}), ("wide", LOGITS))
      for options in ({}, {"gamma": 0}, {"gamma": 0.5}, {"gamma": 3.5, **SMOOTHING}, {"alpha": ramp(0.1, 0.9)})),
    *(Case("sparse_categorical_crossentropy", "labels", p, {**logits, **options})
      for p, logits in (("probability", {}), ("wide", LOGITS))
      for options in ({}, {"ignore_class": 0}, {"ignore_class": 255})),
    Case("dice", "bits", "probability", {"axis": -1}),
    Case("tversky", "bits", "probability", {"axis": -1}),
    Case("tversky", "bits", "probability", {"axis": -1, "alpha": 0.7, "beta": 0.2}),
]


def squared_error(y, p):
    """MeanSquaredError as a user's function."""
    return ((p - y) ** 2).mean(axis=1), 2 * (p - y) / p.shape[1]


class SquaredError(losses.Loss):
    """MeanSquaredError as a user's subclass."""

    def call(self, y_true, y_pred):
        return squared_error(y_true, y_pred)
