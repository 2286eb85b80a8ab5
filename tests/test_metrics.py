"""Compares metrics with plain formulas, Keras' published examples, scikit-learn and arithmetic."""
import inspect
import math
import pickle

import numpy as np
import pytest
import reference
from optional import needs
from tolerances import assert_close

from nnfast import metrics
from nnfast._core import network as core
from nnfast.metrics import (
    AUC,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Hinge,
    IoU,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanIoU,
    MeanMetricWrapper,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    OneHotIoU,
    OneHotMeanIoU,
    Poisson,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)

N = 120
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
weighted = pytest.mark.parametrize("weighted", [False, True])


# -- data ------------------------------------------------------------------------------------------
# Values are exact in float32, so that both dtypes lie on the same side of every threshold.

def probabilities(rng, *shape):
    return (rng.integers(0, 64, shape) + 0.5) / 64


def one_hot(rng):
    return np.eye(5)[rng.integers(0, 5, N)], probabilities(rng, N, 5)


def labels(rng):
    return rng.integers(0, 5, N), probabilities(rng, N, 5)


def binary(rng):
    return rng.integers(0, 2, (N, 3)), probabilities(rng, N, 3)


def logits(rng):
    return np.eye(5)[rng.integers(0, 5, N)], rng.integers(-40, 40, (N, 5)) / 8


def label_logits(rng):
    return rng.integers(0, 5, N), rng.integers(-40, 40, (N, 5)) / 8


def real(rng):
    return rng.integers(-64, 64, (N, 3)) / 16 + 1 / 64, rng.integers(-64, 64, (N, 3)) / 16


def counts(rng):
    return rng.integers(0, 9, (N, 3)), rng.integers(1, 64, (N, 3)) / 16


def distributions(rng):
    parts = rng.integers(1, 9, (2, N, 3)).astype(np.float32).astype(float)
    return tuple((parts / parts.sum(axis=-1, keepdims=True)).astype(np.float32).astype(float))


def signs(rng):
    return 2. * rng.integers(0, 2, (N, 3)) - 1, rng.integers(-64, 64, (N, 3)) / 32


def ids(rng):
    return rng.integers(0, 4, N), rng.integers(0, 4, N)


# -- formulas --------------------------------------------------------------------------------------
# Each takes (y, p, w) in float64: targets, predictions and one weight for each row.

def mean(row_value):
    return lambda y, p, w: sum(w[i] * np.mean(row_value(y[i], p[i])) for i in range(len(p))) / sum(w)


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def cross_entropy(y, p):
    return -np.sum(y * np.log(p / p.sum()))


def binary_cross_entropy(y, p):
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def counted(y, p, w, threshold, columns=None):
    """tp, fp, tn, fn: sums of the weights of the elements of each kind."""
    columns = slice(None) if columns is None else columns
    above, y = p[:, columns] > threshold, y[:, columns]
    kinds = above & (y == 1), above & (y == 0), ~above & (y == 0), ~above & (y == 1)
    return tuple(w @ kind.sum(axis=1) for kind in kinds)


def precision(tp, fp, tn, fn):
    return tp / (tp + fp) if tp + fp else 0


def recall(tp, fp, tn, fn):
    return tp / (tp + fn) if tp + fn else 0


def specificity(tp, fp, tn, fn):
    return tn / (tn + fp) if tn + fp else 0


def at(threshold, rate, columns=None):
    return lambda y, p, w: rate(*counted(y, p, w, threshold, columns))


def at_each(thresholds, rate):
    return lambda y, p, w: np.array([rate(*counted(y, p, w, threshold)) for threshold in thresholds])


def among_largest(k, rate, columns=None):
    """Only the k largest scores of a row may exceed a threshold; of equal ones the first count."""
    def formula(y, p, w):
        kept = np.full(p.shape, -1.)
        for i in range(len(p)):
            for j in sorted(range(p.shape[1]), key=lambda j: (-p[i, j], j))[:k]:
                kept[i, j] = p[i, j]
        return rate(*counted(y, kept, w, -0.5, columns))
    return formula


def best(rate, least, wanted, n=200, columns=None):
    def formula(y, p, w):
        at_thresholds = [counted(y, p, w, t, columns) for t in ([i / (n - 1) for i in range(n)] if n > 1 else [0.5])]
        return max([wanted(*c) for c in at_thresholds if rate(*c) >= least], default=0)
    return formula


def area(curve, summation, thresholds, columns=None):
    """The area by its definition; interpolated PR integrates precision over tp numerically."""
    def formula(y, p, w):
        corners = [counted(y, p, w, t, columns) for t in (-1, *sorted(thresholds), 2)]
        total = 0
        for a, b in zip(corners, corners[1:]):
            if curve == "PR" and summation == "interpolation":
                steps = (np.arange(4000) + 0.5) / 4000
                tp, fp = b[0] + (a[0] - b[0]) * steps, b[1] + (a[1] - b[1]) * steps
                total += np.mean(tp / np.maximum(tp + fp, 1e-300)) * (a[0] - b[0]) / (a[0] + a[3])
                continue
            x, height = (recall, precision) if curve == "PR" else (lambda *c: 1 - specificity(*c), recall)
            join = {"interpolation": lambda u, v: (u + v) / 2, "minoring": min, "majoring": max}[summation]
            total += (x(*a) - x(*b)) * join(height(*a), height(*b))
        return total
    return formula


def mean_of_columns(formula, weights):
    return lambda y, p, w: np.average([formula(y[:, [j]], p[:, [j]], w) for j in range(p.shape[1])], weights=weights)


def f_scores(average, beta=1., threshold=None):
    def formula(y, p, w):
        above = p == p.max(axis=1, keepdims=True) if threshold is None else p > threshold
        columns = [counted(y, above, w, 0.5, [j]) for j in range(p.shape[1])]
        support = [tp + fn for tp, _, _, fn in columns]
        if average == "micro":
            columns = [tuple(map(sum, zip(*columns)))]
        scores = []
        for c in columns:
            P, R = precision(*c), recall(*c)
            scores.append((1 + beta**2) * P * R / (beta**2 * P + R) if P + R else 0.)
        return {None: np.array(scores), "micro": scores[0], "macro": np.mean(scores),
                "weighted": np.average(scores, weights=support if average == "weighted" else None)}[average]
    return formula


def determination(aggregation, regressors=0):
    def formula(y, p, w):
        center = np.average(y, axis=0, weights=w)
        variance, residual = w @ (y - center)**2, w @ (y - p)**2
        scores = 1 - residual / variance
        value = {
            None: scores,
            "uniform_average": scores.mean(),
            "variance_weighted_average": 1 - residual.sum() / variance.sum(),
        }[aggregation]
        return 1 - (1 - value) * (y.size - 1) / (y.size - regressors - 1)
    return formula


def intersection(classes, of_y=lambda y: y, of_p=lambda p: p, ignored=None):
    def formula(y, p, w):
        true, found = np.ravel(of_y(y)), np.ravel(of_p(p))
        w = np.repeat(w, len(true) // len(w)) * (true != ignored)
        scores = [w[(true == c) & (found == c)].sum() / w[(true == c) | (found == c)].sum()
                  for c in classes if w[(true == c) | (found == c)].sum()]
        return sum(scores) / len(scores)
    return formula


def largest(columns):
    return columns.argmax(axis=1)


def worst(y_true, y_pred):
    return np.abs(y_true - y_pred).max(axis=-1)


GRID = [i / 199 for i in range(1, 199)]
CASES = [
    (Accuracy(), one_hot, mean(lambda y, p: y.argmax() == p.argmax())),
    (Accuracy("acc"), labels, mean(lambda y, p: y == p.argmax())),
    (BinaryAccuracy(), binary, mean(lambda y, p: y == (p > 0.5))),
    (BinaryAccuracy(threshold=0.25), binary, mean(lambda y, p: y == (p > 0.25))),
    (CategoricalAccuracy(), one_hot, mean(lambda y, p: y.argmax() == p.argmax())),
    (SparseCategoricalAccuracy(), labels, mean(lambda y, p: y == p.argmax())),
    (TopKCategoricalAccuracy(k=2), one_hot, mean(lambda y, p: sum(p > p[y.argmax()]) < 2)),
    (TopKCategoricalAccuracy(), one_hot, mean(lambda y, p: 1)),
    (SparseTopKCategoricalAccuracy(3), labels, mean(lambda y, p: sum(p > p[y]) < 3)),
    (MeanMetricWrapper(worst), real, mean(lambda y, p: max(abs(y - p)))),
    (MeanAbsoluteError(), real, mean(lambda y, p: abs(y - p))),
    (MeanSquaredError(), real, mean(lambda y, p: (y - p)**2)),
    (RootMeanSquaredError(), real, lambda y, p, w: math.sqrt(mean(lambda y, p: (y - p)**2)(y, p, w))),
    (MeanAbsolutePercentageError(), real, mean(lambda y, p: 100 * abs((y - p) / y))),
    (MeanSquaredLogarithmicError(), counts, mean(lambda y, p: (np.log1p(p) - np.log1p(np.maximum(y, 1e-7)))**2)),
    (LogCoshError(), real, mean(lambda y, p: np.log(np.cosh(y - p)))),
    (CosineSimilarity(), real, mean(lambda y, p: y @ p / math.sqrt((y @ y) * (p @ p)))),
    (CosineSimilarity(axis=1), signs, mean(lambda y, p: y @ p / math.sqrt(3 * (p @ p)))),
    (KLDivergence(), distributions, mean(lambda y, p: sum(y * np.log(y / p)))),
    (Poisson(), counts, mean(lambda y, p: p - y * np.log(p + 1e-7))),
    (Hinge(), signs, mean(lambda y, p: np.maximum(1 - y * p, 0))),
    (Hinge("of_bits"), binary, mean(lambda y, p: np.maximum(1 - (2 * y - 1) * p, 0))),
    (SquaredHinge(), signs, mean(lambda y, p: np.maximum(1 - y * p, 0)**2)),
    (CategoricalHinge(), one_hot, mean(lambda y, p: max(max((1 - y) * p) - sum(y * p) + 1, 0))),
    (BinaryCrossentropy(), binary, mean(binary_cross_entropy)),
    (BinaryCrossentropy(label_smoothing=0.2), binary, mean(lambda y, p: binary_cross_entropy(0.8 * y + 0.1, p))),
    (BinaryCrossentropy(from_logits=True), logits, mean(lambda y, z: binary_cross_entropy(y, 1 / (1 + np.exp(-z))))),
    (CategoricalCrossentropy(), one_hot, mean(cross_entropy)),
    (CategoricalCrossentropy(label_smoothing=0.1), one_hot, mean(lambda y, p: cross_entropy(0.9 * y + 0.02, p))),
    (CategoricalCrossentropy(from_logits=True), logits, mean(lambda y, z: cross_entropy(y, softmax(z)))),
    (SparseCategoricalCrossentropy(), labels, mean(lambda y, p: cross_entropy(np.eye(5)[y], p))),
    (SparseCategoricalCrossentropy(from_logits=True), label_logits,
     mean(lambda y, z: cross_entropy(np.eye(5)[y], softmax(z)))),
    (SparseCategoricalCrossentropy(ignore_class=2), labels,
     lambda y, p, w: mean(lambda y, p: cross_entropy(np.eye(5)[y], p))(y[y != 2], p[y != 2], w[y != 2])),
    (TruePositives(), binary, at(0.5, lambda tp, fp, tn, fn: tp)),
    (TruePositives([0.75, 0.25, 0.5]), binary, at_each([0.75, 0.25, 0.5], lambda tp, fp, tn, fn: tp)),
    (TrueNegatives(), binary, at(0.5, lambda tp, fp, tn, fn: tn)),
    (FalsePositives(0.25), binary, at(0.25, lambda tp, fp, tn, fn: fp)),
    (FalseNegatives([0.25, 0.75]), binary, at_each([0.25, 0.75], lambda tp, fp, tn, fn: fn)),
    (Precision(), binary, at(0.5, precision)),
    (Precision([0.75, 1, 0.25]), binary, at_each([0.75, 1, 0.25], precision)),
    (Precision(top_k=2), one_hot, among_largest(2, precision)),
    (Precision(class_id=1), binary, at(0.5, precision, [1])),
    (Recall(), binary, at(0.5, recall)),
    (Recall(0.25, class_id=2), binary, at(0.25, recall, [2])),
    (Recall(top_k=2, class_id=1), one_hot, among_largest(2, recall, [1])),
    (SensitivityAtSpecificity(0.6), binary, best(specificity, 0.6, recall)),
    (SensitivityAtSpecificity(0.4, 1), binary, best(specificity, 0.4, recall, 1)),
    (SpecificityAtSensitivity(0.6), binary, best(recall, 0.6, specificity)),
    (PrecisionAtRecall(0.3, 50), binary, best(recall, 0.3, precision, 50)),
    (RecallAtPrecision(0.5, class_id=1), binary, best(precision, 0.5, recall, 200, [1])),
    *[(AUC(curve=curve, summation_method=summation), binary, area(curve, summation, GRID))
      for curve in ("ROC", "PR") for summation in ("interpolation", "minoring", "majoring")],
    (AUC(5), one_hot, area("ROC", "interpolation", [0.25, 0.5, 0.75])),
    (AUC(thresholds=[0.75, 0.125]), binary, area("ROC", "interpolation", [0.75, 0.125])),
    (AUC(9, multi_label=True, num_labels=3), binary,
     mean_of_columns(area("ROC", "interpolation", [i / 8 for i in range(1, 8)]), None)),
    (AUC(9, "PR", multi_label=True, label_weights=[1, 2, 0]), binary,
     mean_of_columns(area("PR", "interpolation", [i / 8 for i in range(1, 8)]), [1, 2, 0])),
    (AUC(9, label_weights=[1, 0, 0]), binary, area("ROC", "interpolation", [i / 8 for i in range(1, 8)], [0])),
    (AUC(9, from_logits=True), logits,
     lambda y, z, w: area("ROC", "interpolation", [i / 8 for i in range(1, 8)])(y, 1 / (1 + np.exp(-z)), w)),
    *[(F1Score(average), one_hot, f_scores(average)) for average in (None, "micro", "macro", "weighted")],
    (F1Score("macro", threshold=0.5), binary, f_scores("macro", threshold=0.5)),
    (FBetaScore(beta=2, threshold=0.25), binary, f_scores(None, 2, 0.25)),
    (FBetaScore("weighted", beta=0.5, threshold=0.25), binary, f_scores("weighted", 0.5, 0.25)),
    (R2Score(), real, determination("uniform_average")),
    (R2Score("variance_weighted_average"), real, determination("variance_weighted_average")),
    (R2Score(None), real, determination(None)),
    (R2Score(num_regressors=4), real, determination("uniform_average", 4)),
    (IoU(4, [0, 2]), ids, intersection([0, 2])),
    (IoU(5, [0, 4], sparse_y_pred=False), labels, intersection([0, 4], of_p=largest)),
    (MeanIoU(4), ids, intersection(range(4))),
    (MeanIoU(7, ignore_class=1), ids, intersection(range(7), ignored=1)),
    (OneHotIoU(5, [1]), one_hot, intersection([1], largest, largest)),
    (OneHotMeanIoU(5), one_hot, intersection(range(5), largest, largest)),
    (BinaryIoU(), binary, intersection([0, 1], of_p=lambda p: p >= 0.5)),
    (BinaryIoU([1], 0.25), binary, intersection([1], of_p=lambda p: p >= 0.25)),
]
every_case = pytest.mark.parametrize("metric, data, formula", CASES, ids=[repr(case[0]) for case in CASES])
every_metric = pytest.mark.parametrize("metric", [case[0] for case in CASES], ids=repr)


@pytest.fixture(autouse=True)
def reset_all_cases():
    yield
    for metric, _, _ in CASES:
        metric.reset_state()


def example(data, weighted, dtype=np.float64):
    """y, p and weights, which are zero for some rows, as they are for masked rows."""
    rng = np.random.default_rng(7)
    y, p = data(rng)
    return y, p.astype(dtype) if data is not ids else p, rng.integers(0, 5, N) / 4 if weighted else None


def value_in_a_model(metric, y, p, w):
    """The metric as a model computes it: in slices, y of shape (n, outputs) or integer labels."""
    p = p.reshape(len(p), -1).astype(p.dtype if p.dtype.kind == "f" else np.float64)
    sparse = y.ndim == 1 and p.shape[1] > 1
    y = y if sparse else y.reshape(len(y), -1)
    resolved = metric._resolve(p.shape[1], sparse)
    parts = slice(0, 50), slice(50, 51), slice(51, N)
    sums = sum(resolved._sums(y[part], p[part], None if w is None else w[part]) for part in parts)
    assert sums.dtype == np.float64
    return resolved._result(sums)


def test_every_metric_has_a_case():
    tried = {type(case[0]).__name__ for case in CASES}
    assert tried == {name for name in metrics.__all__ if name not in ("Metric", "get")}
    classes = {name for name, value in vars(metrics).items() if isinstance(value, type) and not name.startswith("_")}
    assert classes == {name for name in metrics.__all__ if name != "get"}


@every_dtype
@weighted
@every_case
def test_metric_matches_formula(metric, data, formula, weighted, dtype):
    y, p, w = example(data, weighted, dtype)
    expected = formula(y, p.astype(np.float64), np.ones(N) if w is None else w)
    value = metric(y, p, w)
    if "PR" in repr(metric):                        # its formula integrates numerically
        np.testing.assert_allclose(value, expected, atol=1e-7)
    else:
        assert_close(value, expected, "prediction", dtype)
    assert type(value) is (np.ndarray if np.ndim(expected) else float)
    assert np.any(value != 0)


@weighted
@every_case
def test_sums_over_slices_give_the_metric_of_all_rows(metric, data, formula, weighted):
    y, p, w = example(data, weighted)
    expected = metric(y, p, w)
    assert_close(value_in_a_model(metric, y, p, w), expected, "prediction")


@weighted
@every_case
def test_updates_accumulate(metric, data, formula, weighted):
    y, p, w = example(data, weighted)
    expected = metric(y, p, w)
    metric.reset_state()
    for part in (slice(0, 30), slice(30, 30), slice(30, 100), slice(100, N)):
        assert metric.update_state(y[part], p[part], None if w is None else w[part]) is None
    assert_close(metric.result(), expected, "prediction")
    assert_close(metric.result(), expected, "prediction")


@every_case
def test_row_weights_act_as_copies_of_rows(metric, data, formula):
    y, p, _ = example(data, False)
    copies = np.random.default_rng(2).integers(0, 3, N)
    if isinstance(metric, R2Score) and metric.num_regressors:
        pytest.skip("counts rows, as Keras does")
    expected = metric(np.repeat(y, copies, axis=0), np.repeat(p, copies, axis=0))
    metric.reset_state()
    assert_close(metric(y, p, copies), expected, "prediction")


@every_case
def test_one_weight_for_all_rows_scales_counts_only(metric, data, formula):
    y, p, _ = example(data, False)
    expected = metric(y, p)
    metric.reset_state()
    factor = 0.5 if isinstance(metric, (TruePositives, TrueNegatives, FalsePositives, FalseNegatives)) else 1
    assert_close(metric(y, p, 0.5), factor * expected, "prediction")


@every_case
def test_no_rows_give_zero(metric, data, formula):
    assert not np.any(metric.result())
    y, p, _ = example(data, False)
    assert not np.any(metric(y[:0], p[:0]))
    assert not np.any(metric(y, p, np.zeros(N)))


@every_case
def test_lists_and_non_contiguous_arrays_are_read(metric, data, formula):
    y, p, w = example(data, True)
    expected = metric(y, p, w)
    lists = y.tolist(), p.tolist(), w.tolist()
    fortran = np.asfortranarray(y), np.asfortranarray(p), w[:, None]
    for other in (lists, (y[::-1], p[::-1], w[::-1]), fortran):
        metric.reset_state()
        assert_close(metric(*other), expected, "prediction")


@every_case
def test_axes_before_the_last_are_rows(metric, data, formula):
    y, p, w = example(data, True)
    expected = metric(y, p, w)
    metric.reset_state()
    if data is ids or getattr(metric, "axis", -1) == 1:
        return
    assert_close(metric(y.reshape(4, 30, *y.shape[1:]), p.reshape(4, 30, -1), w.reshape(4, 30)), expected, "prediction")


# -- Keras' published examples ---------------------------------------------------------------------

PAIR = [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]
ERRORS = [[0, 1], [0, 0]], [[1, 1], [0, 0]]
SCORES = [0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]
PLACES = [[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]
CLASSES = [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]
LABELS = [[1, 1, 1], [1, 0, 0], [1, 1, 0]], [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]
OVERLAP = (
    [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]],
    [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.5, 0.3, 0.1], [0.1, 0.4, 0.5]],
)
PUBLISHED = [
    (BinaryAccuracy(), [[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]], None, 0.75),
    (BinaryAccuracy(), [[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]], [1, 0, 0, 1], 0.5),
    (CategoricalAccuracy(), *PLACES, None, 0.5),
    (CategoricalAccuracy(), *PLACES, [0.7, 0.3], 0.3),
    (SparseCategoricalAccuracy(), [[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]], None, 0.5),
    (SparseCategoricalAccuracy(), [[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]], [0.7, 0.3], 0.3),
    (TopKCategoricalAccuracy(k=1), *PLACES, None, 0.5),
    (TopKCategoricalAccuracy(k=1), *PLACES, [0.7, 0.3], 0.3),
    (SparseTopKCategoricalAccuracy(k=1), [2, 1], PLACES[1], None, 0.5),
    (SparseTopKCategoricalAccuracy(k=1), [2, 1], PLACES[1], [0.7, 0.3], 0.3),
    (MeanSquaredError(), *ERRORS, None, 0.25),
    (MeanAbsoluteError(), *ERRORS, None, 0.25),
    (MeanAbsoluteError(), *ERRORS, [1, 0], 0.5),
    (MeanAbsolutePercentageError(), *ERRORS, None, 250000000.0),
    (MeanAbsolutePercentageError(), *ERRORS, [1, 0], 500000000.0),
    (MeanSquaredLogarithmicError(), *ERRORS, None, 0.12011322),
    (MeanSquaredLogarithmicError(), *ERRORS, [1, 0], 0.24022643),
    (RootMeanSquaredError(), *ERRORS, None, 0.5),
    (RootMeanSquaredError(), *ERRORS, [1, 0], 0.70710677),
    (LogCoshError(), *ERRORS, None, 0.10844523),
    (LogCoshError(), *ERRORS, [1, 0], 0.21689045),
    (CosineSimilarity(axis=1), [[0., 1.], [1., 1.]], [[1., 0.], [1., 1.]], None, 0.49999997),
    (CosineSimilarity(axis=1), [[0., 1.], [1., 1.]], [[1., 0.], [1., 1.]], [0.3, 0.7], 0.6999999),
    (R2Score(), [[1], [4], [3]], [[2], [4], [4]], None, 0.57142854),
    (KLDivergence(), *PAIR, None, 0.45814306),
    (KLDivergence(), *PAIR, [1, 0], 0.9162892),
    (Poisson(), *ERRORS, None, 0.49999997),
    (Poisson(), *ERRORS, [1, 0], 0.99999994),
    (BinaryCrossentropy(), *PAIR, None, 0.81492424),
    (BinaryCrossentropy(), *PAIR, [1, 0], 0.9162905),
    (CategoricalCrossentropy(), [[0, 1, 0], [0, 0, 1]], CLASSES, None, 1.1769392),
    (CategoricalCrossentropy(), [[0, 1, 0], [0, 0, 1]], CLASSES, [0.3, 0.7], 1.6271976),
    (SparseCategoricalCrossentropy(), [1, 2], CLASSES, None, 1.1769392),
    (SparseCategoricalCrossentropy(), [1, 2], CLASSES, [0.3, 0.7], 1.6271976),
    (Hinge(), *PAIR, None, 1.3),
    (Hinge(), *PAIR, [1, 0], 1.1),
    (SquaredHinge(), *PAIR, None, 1.86),
    (SquaredHinge(), *PAIR, [1, 0], 1.46),
    (CategoricalHinge(), *PAIR, None, 1.4000001),
    (CategoricalHinge(), *PAIR, [1, 0], 1.2),
    (FalsePositives(), [0, 1, 0, 0], [0, 0, 1, 1], None, 2.0),
    (FalsePositives(), [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0], 1.0),
    (FalseNegatives(), [0, 1, 1, 1], [0, 1, 0, 0], None, 2.0),
    (FalseNegatives(), [0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0], 1.0),
    (TrueNegatives(), [0, 1, 0, 0], [1, 1, 0, 0], None, 2.0),
    (TrueNegatives(), [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], 1.0),
    (TruePositives(), [0, 1, 1, 1], [1, 0, 1, 1], None, 2.0),
    (TruePositives(), [0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], 1.0),
    (Precision(), [0, 1, 1, 1], [1, 0, 1, 1], None, 0.6666667),
    (Precision(), [0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], 1.0),
    (Precision(top_k=2), [0, 0, 1, 1], [1, 1, 1, 1], None, 0.0),
    (Precision(top_k=4), [0, 0, 1, 1], [1, 1, 1, 1], None, 0.5),
    (Recall(), [0, 1, 1, 1], [1, 0, 1, 1], None, 0.6666667),
    (Recall(), [0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], 1.0),
    (SensitivityAtSpecificity(0.5), *SCORES, None, 0.5),
    (SensitivityAtSpecificity(0.5), *SCORES, [1, 1, 2, 2, 1], 0.333333),
    (SpecificityAtSensitivity(0.5), *SCORES, None, 0.66666667),
    (SpecificityAtSensitivity(0.5), *SCORES, [1, 1, 2, 2, 2], 0.5),
    (PrecisionAtRecall(0.5), *SCORES, None, 0.5),
    (PrecisionAtRecall(0.5), *SCORES, [2, 2, 2, 1, 1], 0.33333333),
    (RecallAtPrecision(0.8), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], None, 0.5),
    (RecallAtPrecision(0.8), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], [1, 0, 0, 1], 1.0),
    (AUC(num_thresholds=3), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], None, 0.75),
    (AUC(num_thresholds=3), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], [1, 0, 0, 1], 1.0),
    (FBetaScore(beta=2.0, threshold=0.5), *LABELS, None, [0.3846154, 0.90909094, 0.8333334]),
    (F1Score(threshold=0.5), *LABELS, None, [0.5, 0.8, 0.6666667]),
    (IoU(num_classes=2, target_class_ids=[0]), [0, 0, 1, 1], [0, 1, 0, 1], None, 0.33333334),
    (IoU(num_classes=2, target_class_ids=[0]), [0, 0, 1, 1], [0, 1, 0, 1], [0.3, 0.3, 0.3, 0.1], 0.33333334),
    (BinaryIoU(target_class_ids=[0, 1], threshold=0.3), [0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7], None, 0.33333334),
    (BinaryIoU(target_class_ids=[0, 1], threshold=0.3), [0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7],
     [0.2, 0.3, 0.4, 0.1], 0.17361112),
    (MeanIoU(num_classes=2), [0, 0, 1, 1], [0, 1, 0, 1], None, 0.33333334),
    (MeanIoU(num_classes=2), [0, 0, 1, 1], [0, 1, 0, 1], [0.3, 0.3, 0.3, 0.1], 0.23809525),
    (OneHotIoU(num_classes=3, target_class_ids=[0, 2]), *OVERLAP, [0.1, 0.2, 0.3, 0.4], 0.1 / 0.7 / 2),
    (OneHotMeanIoU(num_classes=3), *OVERLAP, [0.1, 0.2, 0.3, 0.4], 0.1 / 0.7 / 3),
]


@pytest.mark.parametrize("metric, y, p, weights, expected", PUBLISHED,
                         ids=[f"{case[0]!r}-{i}" for i, case in enumerate(PUBLISHED)])
def test_published_example_is_reproduced(metric, y, p, weights, expected):
    metric.reset_state()
    np.testing.assert_allclose(metric(y, p, weights), expected, rtol=3e-6, atol=1e-7)


def test_every_metric_has_a_published_example():
    # Keras' Accuracy compares y_true and y_pred themselves.
    ours = {"Metric", "MeanMetricWrapper", "Accuracy", "get"}
    assert {type(case[0]).__name__ for case in PUBLISHED} == set(metrics.__all__) - ours


KERAS_NAMES = {
    "IoU": "io_u",
    "BinaryIoU": "binary_io_u",
    "MeanIoU": "mean_io_u",
    "OneHotIoU": "one_hot_io_u",
    "KLDivergence": "kl_divergence",
    "OneHotMeanIoU": "one_hot_mean_io_u",
    "AUC": "auc",
    "F1Score": "f1_score",
    "FBetaScore": "fbeta_score",
    "R2Score": "r2_score",
    "LogCoshError": "logcosh",
    "TopKCategoricalAccuracy": "top_k_categorical_accuracy",
    "SparseTopKCategoricalAccuracy": "sparse_top_k_categorical_accuracy",
}


@every_metric
def test_default_names_match_keras(metric):
    kind = type(metric).__name__
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
    expected = "worst" if isinstance(metric, MeanMetricWrapper) else KERAS_NAMES.get(kind, snake)
    assert pickle.loads(pickle.dumps(metric))._name == expected and metric.name in (expected, "acc", "of_bits")


# -- scikit-learn ----------------------------------------------------------------------------------

@weighted
def test_metrics_agree_with_scikit_learn(weighted):
    sk = needs("sklearn.metrics")
    y, p, w = example(binary, weighted)
    hits, every, w_every = (p > 0.5).astype(int), np.ravel(y), None if w is None else np.repeat(w, 3)
    midpoints = [i / 64 for i in range(1, 64)]
    for ours, theirs in [
        (Precision(), sk.precision_score(every, hits.ravel(), sample_weight=w_every)),
        (Recall(), sk.recall_score(every, hits.ravel(), sample_weight=w_every)),
        (AUC(thresholds=midpoints), sk.roc_auc_score(every, p.ravel(), sample_weight=w_every)),
        (AUC(thresholds=midpoints, multi_label=True), sk.roc_auc_score(y, p, average="macro", sample_weight=w)),
        *[(F1Score(average, 0.5), sk.f1_score(y, hits, average=average, sample_weight=w))
          for average in (None, "micro", "macro", "weighted")],
        (FBetaScore("macro", 2.0, 0.5), sk.fbeta_score(y, hits, beta=2, average="macro", sample_weight=w)),
        (BinaryIoU([1]), sk.jaccard_score(every, hits.ravel(), sample_weight=w_every)),
    ]:
        assert_close(ours(y, p, w), theirs, "prediction")
    y, p, w = example(real, weighted)
    for aggregation, theirs in [
        ("uniform_average", "uniform_average"),
        ("variance_weighted_average", "variance_weighted"),
        (None, "raw_values"),
    ]:
        expected = sk.r2_score(y, p, multioutput=theirs, sample_weight=w)
        assert_close(R2Score(aggregation)(y, p, w), expected, "prediction")
    y, p, w = example(labels, weighted)
    p += np.random.default_rng(3).permuted(np.arange(N * 5).reshape(N, 5) / 2**20, axis=1)       # without ties
    expected = sk.top_k_accuracy_score(y, p, k=2, sample_weight=w)
    assert_close(SparseTopKCategoricalAccuracy(2)(y, p, w), expected, "prediction")


# -- ties and limits -------------------------------------------------------------------------------

def test_top_k_counts_ties_as_hits():
    ties = [[0.5, 0.5, 0.5, 0.1]] * 4
    assert SparseTopKCategoricalAccuracy(1)([0, 1, 2, 3], ties) == 0.75
    assert SparseTopKCategoricalAccuracy(3)([0, 1, 2, 3], ties) == 0.75
    assert SparseTopKCategoricalAccuracy(4)([0, 1, 2, 3], ties) == 1
    assert SparseTopKCategoricalAccuracy(1)([0], [[math.nan, 1.]]) == 0


def test_f_score_counts_all_largest_outputs_but_not_zeros():
    """Equal largest outputs all count as predicted, zeros never: tp 1, predicted 2, actual 2."""
    assert F1Score("micro")([[1, 0], [1, 0]], [[0.4, 0.4], [0, 0]]) == 0.5


def test_scores_equal_to_a_threshold_are_below_it_in_their_own_dtype():
    tenth = np.float32([[0.1]])                         # as a float64 it is above 0.1
    accuracy = BinaryAccuracy(threshold=0.1)
    assert TruePositives(0.1)([[1]], tenth) == accuracy([[1]], tenth) == Precision([0.1])([[1]], tenth) == 0
    assert TruePositives(0.1)([[1]], tenth + np.float32(1e-7)) == 1
    assert BinaryIoU([1], 0.1)([[1]], tenth) == 1


def test_scores_beyond_zero_and_one_close_the_curve():
    assert AUC()([0, 1], [-3, 5.]) == AUC(200, "PR")([0, 1], [-3, 5.]) == 1
    assert AUC(from_logits=True)([0, 1, 1], np.float32([-1e4, 1e4, 3])) == 1


def test_constant_targets_score_one_if_predicted_exactly_and_zero_otherwise():
    """Six targets of 1.1: the variance computed from their sums, 2e-15, is only rounding."""
    truth = np.full((6, 2), 1.1)
    np.testing.assert_array_equal(R2Score(None)(truth, truth + [[0, 1e-3]]), [1, 0])


@pytest.mark.parametrize("mean", [0, 1.7e9, -1e12, 1e15])
@pytest.mark.parametrize("weighted", [False, True])
def test_r2_keeps_small_deviations_from_a_large_mean(mean, weighted):
    """Timestamps of a few minutes in whole seconds, so that y is exact; 1 - 5^2 / 60^2 is 0.993."""
    rng = np.random.default_rng(0)
    near, error = rng.normal(0, 60, (1000, 2)).round(), rng.normal(0, 5, (1000, 2)).round()
    w = np.where(np.arange(1000) < 100, 0, rng.uniform(0, 2, 1000)) if weighted else None
    deviation = near - np.average(near, axis=0, weights=w)
    expected = 1 - np.average(error**2, axis=0, weights=w) / np.average(deviation**2, axis=0, weights=w)
    for aggregation, value in ((None, expected), ("uniform_average", expected.mean())):
        at_once, in_parts = R2Score(aggregation), R2Score(aggregation)
        at_once.update_state(near + mean, near + mean + error, w)
        for rows in np.split(np.arange(1000), [0, 1, 7, 100, 500]):
            in_parts.update_state(near[rows] + mean, (near + mean + error)[rows], None if w is None else w[rows])
        np.testing.assert_allclose(at_once.result(), value, rtol=1e-9)
        np.testing.assert_allclose(in_parts.result(), value, rtol=1e-9)
    assert 0.992 < expected.min()


@pytest.mark.parametrize("aggregation", ["uniform_average", "variance_weighted_average", None])
def test_r2_of_one_row_is_not_a_number(aggregation):
    metric = R2Score(aggregation)
    assert np.isnan(metric([[1., 2.]], [[1., 3.]])).all()
    assert np.isfinite(metric([[2., 5.]], [[2., 4.]])).all()        # two rows


def test_adjusted_r2_of_too_few_rows_equals_plain_r2():
    plain = R2Score()([[1], [4], [3]], [[2], [4], [4]])
    with pytest.warns(UserWarning, match="num_regressors"):
        assert R2Score(num_regressors=2)([[1], [4], [3]], [[2], [4], [4]]) == plain


def test_ignored_labels_may_lie_out_of_range():
    p = [[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]]
    for ignored in (-1, 255):
        value = SparseCategoricalCrossentropy(ignore_class=ignored)([0, ignored, 1], p)
        assert value == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
        assert IoU(2, [0], ignore_class=ignored)([0, ignored, 1], [0, 0, 1]) == 1


def test_classes_out_of_range_count_nothing_in_iou():
    assert MeanIoU(2)([0, 1, 1, 2, 0, 0], [0, 1, 0, 1, 3, math.nan]) == (1 / 2 + 1 / 2) / 2


# -- shapes ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("y_shape, p_shape", [
    ((4,), (4,)),
    ((4, 1), (4,)),
    ((4,), (4, 1)),
    ((4, 1), (4, 1)),
    ((2, 2), (2, 2, 1)),
])
def test_an_axis_of_length_one_may_be_missing(y_shape, p_shape):
    y, p = np.array([0, 1, 1, 0]).reshape(y_shape), np.array([0.25, 0.5, 1, 0.75]).reshape(p_shape)
    squares = [0.0625, 0.25, 0, 0.5625]
    assert MeanSquaredError()(y, p) == np.mean(squares)
    assert RootMeanSquaredError()(y, p) == math.sqrt(np.mean(squares))
    assert BinaryAccuracy()(y, p) == Accuracy()(y, p) == Precision()(y, p) == 0.5
    assert R2Score()(y, p) == 1 - sum(squares)
    assert F1Score(threshold=0.5)(y, p) == [0.5]
    assert MeanMetricWrapper(worst)(y, p) == np.mean(np.sqrt(squares))


def test_vectors_are_one_element_a_row_or_a_single_row():
    y, p, w = [0, 1, 1], [0.25, 0.5, 1], [1, 1, 2]
    assert BinaryAccuracy()(y, p, w) == 0.75
    assert CategoricalAccuracy()([0, 0, 1], p) == 1
    with pytest.raises(ValueError, match="sample_weight"):
        MeanSquaredError()(y, p, w)


def test_weights_broadcast_from_the_first_axis():
    y, p = np.zeros((2, 3, 2)), np.arange(12.).reshape(2, 3, 2)
    rows = p.mean(axis=2)
    for w in ([1, 3], [[1], [3]], [[1, 1, 1], [3, 3, 3]], [[[1], [1], [1]], [[3], [3], [3]]]):
        assert MeanAbsoluteError()(y, p, w) == (rows[0].mean() + 3 * rows[1].mean()) / 4


@every_metric
def test_integer_labels_give_the_sums_of_one_hot_columns(metric):
    columns = (
        AUC, F1Score, FBetaScore, Precision, Recall,
        TruePositives, TrueNegatives, FalsePositives, FalseNegatives,
        SensitivityAtSpecificity, SpecificityAtSensitivity, PrecisionAtRecall, RecallAtPrecision,
        BinaryIoU, OneHotIoU, OneHotMeanIoU,
    )
    if type(metric) not in columns:
        return
    y, p, w = example(labels, True)
    if getattr(metric, "multi_label", 0) or getattr(metric, "label_weights", 0):
        y, p = y % 3, p[:, :3]
    k = p.shape[1]
    sums, expected = metric._resolve(k, True)._sums(y, p, w), metric._resolve(k, False)._sums(np.eye(k)[y], p, w)
    np.testing.assert_array_equal(sums, expected)


@every_metric
def test_metrics_refuse_targets_of_the_wrong_kind(metric):
    if metric._labels is None:
        assert type(metric._resolve(metric.num_classes if hasattr(metric, "num_classes") else 3, True)).__name__
        return
    with pytest.raises(ValueError, match="integer labels" if metric._labels else "targets of the shape"):
        metric._resolve(3, not metric._labels)
    with pytest.raises(ValueError, match="integer labels" if metric._labels else "the shape of y_pred"):
        metric(*((np.eye(3), np.eye(3)) if metric._labels else ([0, 1, 2], np.eye(3))))


# -- in a model ------------------------------------------------------------------------------------

KERNELS = {
    BinaryAccuracy: "binary_accuracy",
    CategoricalAccuracy: "categorical_accuracy",
    SparseCategoricalAccuracy: "sparse_categorical_accuracy",
    MeanAbsoluteError: "absolute_error",
    MeanSquaredError: "squared_error",
    RootMeanSquaredError: "squared_error",
}


@every_case
def test_native_kernel_is_named_where_it_gives_the_same_value(metric, data, formula):
    name = KERNELS.get(type(metric)) if repr(metric) == f"{type(metric).__name__}()" else None
    assert metric._code() == (core.METRICS[name] if name else None)
    if name:
        y, p, _ = example(data, False)
        assert_close(metric._sums(y, p, None), [reference.METRICS[name](y, p).sum(), N], "prediction")
        expected = math.sqrt(0.75) if isinstance(metric, RootMeanSquaredError) else 0.75
        assert metric._result(np.array([3., 4.])) == expected


def test_every_kernel_is_used():
    assert set(KERNELS.values()) == set(core.METRICS)


@pytest.mark.parametrize("n_outputs, sparse, kind", [
    (1, False, BinaryAccuracy),
    (3, False, CategoricalAccuracy),
    (3, True, SparseCategoricalAccuracy),
    (1, True, SparseCategoricalAccuracy),
])
def test_accuracy_resolves_to_the_fitting_class_and_keeps_its_name(n_outputs, sparse, kind):
    assert Accuracy("acc")._resolve(n_outputs, sparse) == kind(name="acc")


# -- functions -------------------------------------------------------------------------------------

def test_a_single_value_is_weighted_by_its_number_of_rows():
    largest_error = MeanMetricWrapper(lambda y_true, y_pred: np.abs(y_true - y_pred).max(), name="largest")
    largest_error.update_state([[0.], [0.], [0.]], [[1.], [2.], [3.]])
    largest_error.update_state([[0.]], [[7.]])
    assert largest_error.result() == (3 * 3 + 7) / 4
    assert largest_error.name == "largest" and metrics.get(lambda y, p: 0).name == "<lambda>"


def test_a_function_may_return_more_axes_and_receive_integer_labels():
    assert MeanMetricWrapper(lambda y, p: (y - p)**2)([[0, 0], [0, 0]], [[1, 3], [0, 0]], [1, 3]) == 5 / 4
    seen = []
    metrics.get(lambda y, p: seen.append((y.dtype, y.shape)) or 1)([0, 2], np.eye(3)[:2])
    assert seen == [(np.int64, (2,))]


# -- as values -------------------------------------------------------------------------------------

@every_metric
def test_repr_recreates_the_metric(metric):
    if "<function" in repr(metric):
        copy = metrics.get(worst)
    else:
        copy = eval(repr(metric), vars(metrics) | {repr(worst): worst, "worst": worst})
    assert copy == metric and copy is not metric and hash(copy) == hash(metric) and repr(copy) == repr(metric)
    assert copy != metrics.get("accuracy") or isinstance(metric, Accuracy)


@every_case
def test_pickle_keeps_arguments_and_state(metric, data, formula):
    y, p, w = example(data, True)
    value = metric(y, p, w)
    copy = pickle.loads(pickle.dumps(metric))
    assert copy == metric
    np.testing.assert_array_equal(copy.result(), value)
    copy.reset_state()
    assert copy == metric and not np.any(copy.result())


def test_equality_depends_on_class_and_arguments():
    different = [
        AUC(), AUC(100), AUC(curve="PR"), AUC(name="x"), AUC(thresholds=[0.5]),
        Precision(), Recall(), Precision(0.25), Precision([0.25]), Precision(top_k=1), Precision(class_id=1),
        "auc", None,
    ]
    for i, one in enumerate(different):
        assert [one == other for other in different] == [i == j for j in range(len(different))]


def test_repr_shows_arguments_that_differ_from_the_defaults():
    assert repr(Accuracy("acc")) == "Accuracy(name='acc')"
    assert repr(Precision(thresholds=0.5, class_id=2)) == "Precision(thresholds=0.5, class_id=2)"
    assert repr(AUC(200, "pr", name="auc", multi_label=True)) == "AUC(curve='PR', multi_label=True)"
    assert repr(OneHotIoU(3, [0, 2])) == "OneHotIoU(num_classes=3, target_class_ids=(0, 2))"
    assert repr(F1Score("macro", 0.5)) == "F1Score(average='macro', threshold=0.5)"


ARGUMENTS = {
    "Precision": "thresholds top_k class_id name dtype",
    "Recall": "thresholds top_k class_id name dtype",
    "F1Score": "average threshold name dtype",
    "FBetaScore": "average beta threshold name dtype",
    "AUC": "num_thresholds curve summation_method name dtype thresholds multi_label num_labels label_weights "
           "from_logits",
    "R2Score": "class_aggregation num_regressors name dtype",
    "BinaryAccuracy": "name dtype threshold",
    "CosineSimilarity": "name dtype axis",
    "TopKCategoricalAccuracy": "k name dtype",
    "SparseTopKCategoricalAccuracy": "k name dtype",
    "BinaryCrossentropy": "name dtype from_logits label_smoothing",
    "CategoricalCrossentropy": "name dtype from_logits label_smoothing axis",
    "SparseCategoricalCrossentropy": "name dtype from_logits ignore_class axis",
    "BinaryIoU": "target_class_ids threshold name dtype",
    "IoU": "num_classes target_class_ids name dtype ignore_class sparse_y_true sparse_y_pred axis",
    "MeanIoU": "num_classes name dtype ignore_class sparse_y_true sparse_y_pred axis",
    "OneHotIoU": "num_classes target_class_ids name dtype ignore_class sparse_y_pred axis",
    "OneHotMeanIoU": "num_classes name dtype ignore_class sparse_y_pred axis",
    "MeanMetricWrapper": "fn name dtype",
    "SensitivityAtSpecificity": "specificity num_thresholds class_id name dtype",
    "RecallAtPrecision": "precision num_thresholds class_id name dtype",
    "SpecificityAtSensitivity": "sensitivity num_thresholds class_id name dtype",
    "PrecisionAtRecall": "recall num_thresholds class_id name dtype",
    **dict.fromkeys(("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"), "thresholds name dtype"),
}


@every_metric
def test_arguments_have_the_order_of_keras(metric):
    kind = type(metric)
    assert " ".join(inspect.signature(kind).parameters) == ARGUMENTS.get(kind.__name__, "name dtype")


# -- names -----------------------------------------------------------------------------------------

NAMES = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MSE": MeanSquaredError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "rmse": RootMeanSquaredError,
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "cosine_similarity": CosineSimilarity,
    "auc": AUC,
    "AUC": AUC,
    "precision": Precision,
    "recall": Recall,
    "f1_score": F1Score,
    "fbeta_score": FBetaScore,
    "r2_score": R2Score,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "logcosh": LogCoshError,
    "log_cosh_error": LogCoshError,
    "kl_divergence": KLDivergence,
    "binary_io_u": BinaryIoU,
}


@pytest.mark.parametrize("name", NAMES)
def test_get_returns_the_metric_of_a_name(name):
    metric = metrics.get(name)
    assert type(metric) is NAMES[name]
    assert metric == NAMES[name](name="auc" if name == "AUC" else name)


@every_metric
def test_get_accepts_class_names_default_names_classes_and_instances(metric):
    assert metrics.get(metric) is metric
    kind = type(metric)
    if kind is MeanMetricWrapper:
        assert metrics.get(worst) == metric and metrics.get(worst).name == "worst"
    elif all(parameter.default is not parameter.empty for parameter in inspect.signature(kind).parameters.values()):
        assert metrics.get(kind) == metrics.get(kind.__name__) == metrics.get(kind._name) == kind()
    else:
        with pytest.raises(TypeError, match="missing"):
            metrics.get(kind._name)


@pytest.mark.parametrize("identifier", ["accuraci", "Accurracy", None, 3, int, "Metric", "get"])
def test_get_refuses_unknown_identifiers(identifier):
    with pytest.raises(ValueError, match="metric must be (one of the known names|given)"):
        metrics.get(identifier)
    with pytest.raises(ValueError, match="Did you mean.*'f1_score'"):
        metrics.get("f1score")


# -- errors ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("make, words", [
    (lambda: Precision(1.5), r"each of thresholds must be in \[0, 1\], got 1.5"),
    (lambda: Recall([0.5, -0.1]), "thresholds"),
    (lambda: TruePositives([]), "thresholds"),
    (lambda: AUC(thresholds=[2]), "thresholds"),
    (lambda: AUC(1), "num_thresholds must be an integer of at least 2"),
    (lambda: AUC(curve="LIFT"), "curve must be 'ROC' or 'PR', got 'LIFT'"),
    (lambda: AUC(summation_method="middle"), "summation_method"),
    (lambda: AUC(num_labels=2), "multi_label"),
    (lambda: AUC(label_weights=[-1]), "label_weights"),
    (lambda: Precision(top_k=0), "top_k"),
    (lambda: Precision(class_id=-1), "class_id"),
    (lambda: TopKCategoricalAccuracy(0), "k must"),
    (lambda: F1Score("mean"), "average must be None, 'micro', 'macro' or 'weighted', got 'mean'"),
    (lambda: FBetaScore(beta=0), "beta"),
    (lambda: FBetaScore(beta=-1), "beta"),
    (lambda: F1Score(threshold=0), "threshold"),
    (lambda: F1Score(threshold=1.5), "threshold"),
    (lambda: R2Score("sum"), "class_aggregation"),
    (lambda: R2Score(num_regressors=-1), "num_regressors"),
    (lambda: IoU(2, [2]), r"target_class_ids must hold classes in \[0, 2\)"),
    (lambda: IoU(2, []), "target_class_ids"),
    (lambda: BinaryIoU([2]), "target_class_ids"),
    (lambda: MeanIoU(0), "num_classes"),
    (lambda: BinaryAccuracy(threshold=math.nan), "threshold"),
    (lambda: BinaryCrossentropy(label_smoothing=2), "label_smoothing"),
    (lambda: CosineSimilarity(axis=0), "axis"),
    *[(lambda kind=kind: kind(1.1), r"in \[0, 1\]")
      for kind in (SensitivityAtSpecificity, SpecificityAtSensitivity, PrecisionAtRecall, RecallAtPrecision)],
    (lambda: SensitivityAtSpecificity(0.5, 0), "num_thresholds"),
    (lambda: MeanSquaredError()([[1, 2]], [[1, 2, 3]]),
     r"y_true must have the shape of y_pred, \(1, 3\); got \(1, 2\)"),
    (lambda: MeanSquaredError()([1, 2], [[1, 2, 3]] * 2), "the shape of y_pred"),
    (lambda: Precision()([1, 2, 0], [[1, 2, 3]] * 2), r"or hold integer labels of shape \(2,\); got \(3,\)"),
    (lambda: SparseCategoricalAccuracy()([0, 3], np.eye(3)[:2]), r"labels in \[0, 3\)"),
    (lambda: SparseCategoricalAccuracy()([0, -1], np.eye(3)[:2]), r"labels in \[0, 3\)"),
    (lambda: SparseTopKCategoricalAccuracy()([0, 0.5], np.eye(3)[:2]), "integer labels"),
    (lambda: SparseCategoricalCrossentropy(ignore_class=-1)([-1, -2], np.eye(3)[:2]), r"labels in \[0, 3\)"),
    (lambda: MeanSquaredError()(np.ones((2, 0)), np.ones((2, 0))), "at least one output"),
    (lambda: MeanSquaredError()([["a"]], [[1]]), "y_true must be an array of real numbers"),
    (lambda: MeanSquaredError()(1, [[1]]), "the shape of y_pred"),
    (lambda: MeanSquaredError()(np.eye(3), np.eye(3), [1, 2]), r"sample_weight must have shape \(3,\)"),
    (lambda: MeanSquaredError()(np.eye(3), np.eye(3), np.eye(3)), "sample_weight"),
    (lambda: MeanSquaredError()(np.eye(3), np.eye(3), [1, math.nan, 1]), "sample_weight must be finite"),
    (lambda: CosineSimilarity(axis=1)(np.ones((2, 3, 4)), np.ones((2, 3, 4))), "axis must be the last one"),
    (lambda: Precision(class_id=3)(np.eye(3), np.eye(3)),
     "class_id of metric 'precision' must be at most 2 for 3 outputs; got 3"),
    (lambda: Precision(top_k=4)(np.eye(3), np.eye(3)),
     "top_k of metric 'precision' must be at most 3 for 3 outputs; got 4"),
    (lambda: AUC(multi_label=True, num_labels=2)(np.eye(3), np.eye(3)), "num_labels"),
    (lambda: AUC(label_weights=[1, 2])(np.eye(3), np.eye(3)), "label_weights"),
    (lambda: OneHotIoU(4, [0])._resolve(3, False), "num_classes of metric .* must be the number of outputs, 3; got 4"),
    (lambda: MeanIoU(3)([0, 1], np.eye(3)[:2]), "sparse_y_pred=False"),
    (lambda: OneHotMeanIoU(3, axis=1)(np.ones((2, 3, 4)), np.ones((2, 3, 4))), "last axis"),
    (lambda: MeanMetricWrapper(lambda y, p: y[:1])(np.eye(3), np.eye(3)), "a value for each of the 3 rows"),
])
def test_bad_arguments_are_refused_with_a_reason(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_function_must_be_callable():
    with pytest.raises(TypeError, match="fn must be a function"):
        MeanMetricWrapper("mse")


def test_number_of_columns_is_fixed_until_the_state_is_reset():
    metric = F1Score()
    metric.update_state(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="reset_state"):
        metric.update_state(np.eye(2), np.eye(2))
    np.testing.assert_array_equal(metric.result(), [1, 1, 1])
    metric.reset_state()
    np.testing.assert_array_equal(metric(np.eye(2), np.eye(2)), [1, 1])


def test_a_refused_update_keeps_the_state():
    metric = MeanAbsoluteError()
    metric.update_state([[1]], [[3]])
    with pytest.raises(ValueError):
        metric.update_state([[1]], [[3]], [math.inf])
    assert metric.result() == 2


@pytest.mark.parametrize("metric",
                         [AUC(), metrics.Precision(), metrics.Recall(), F1Score(), BinaryIoU(), TruePositives()],
                         ids=lambda metric: metric.name)
@pytest.mark.parametrize("labels", [[-1, 1, 1], [0, 255, 0], [1, 2, 1]])
def test_metrics_that_count_positives_refuse_labels_outside_0_and_1(metric, labels):
    """A label of -1 counted as a positive would give an AUC of 0 and an F-score of 2."""
    two_columns = [[label, 0] for label in labels], [[0.1, 0.9], [0.6, 0.2], [0.5, 0.4]]
    for y_true, y_pred in (labels, [0.1, 0.9, 0.6]), two_columns:
        if np.ndim(y_true) == 1:
            y_true, y_pred = np.reshape(y_true, (-1, 1)), np.reshape(y_pred, (-1, 1))
        with pytest.raises(ValueError, match="y_true must hold 0 and 1"):
            metric(y_true, y_pred)


@pytest.mark.parametrize("metric", [AUC(), metrics.Precision(), F1Score(threshold=0.5)], ids=lambda metric: metric.name)
def test_metrics_that_count_positives_accept_booleans_and_fractions(metric):
    y_pred = np.array([[0.1], [0.9], [0.6]])
    assert metric(np.array([[False], [True], [True]]), y_pred) == 1
    metric(np.array([[0], [1 + 1e-7], [0.5]], np.float32), y_pred)
