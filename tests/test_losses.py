"""Losses and gradients against NumPy, PyTorch, scikit-learn, published values, hand arithmetic."""
import copy
import ctypes
import inspect
import itertools
import pickle

import numpy as np
import pytest
import reference
from loss_cases import CASES, Case, SquaredError, squared_error
from optional import needs
from tolerances import assert_close

from nnfast import functional as F, losses
from nnfast._core import network as core
from nnfast.gradcheck import gradcheck

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None]
# some are longer than the chunks of 512 elements and the blocks of 8192 of the core
SHAPES = [(150, 1), (150, 2), (3001, 3), (37, 40), (5, 700), (3, 1100), (8195, 1)]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_class = pytest.mark.parametrize(
    "case", [next(case for case in CASES if case.name == name) for name in losses._CLASSES], ids=str)
CLASSES_TARGETS = {"bits", "one_hot", "shares", "labels"}


def tolerance(case, edges=False):
    """Name of the tolerance of a case."""
    if case.name == "binary_focal_crossentropy" and "from_logits" in case.options or "focal" in case.name and edges:
        return "focal"
    return "loss_powers" if case.name == "tweedie" else "loss_edges" if edges else "loss"


def exact(case, y, p):
    """Values and gradients from the reference."""
    options = case.chosen(p.shape[-1])
    options.pop("axis", None)
    return reference.LOSSES[case.name](y, p, **options)


def assert_rows(case, y, p, edges=False):
    """Values and gradients match the reference; gradients relative to the largest of their row."""
    loss = case.loss(p.shape[-1], reduction=None)
    expected, slopes = exact(case, y, p)
    values, gradient = loss.value_and_gradient(y, p)
    assert values.dtype == np.float64 and gradient.dtype == p.dtype and gradient.shape == p.shape
    assert np.isfinite(values).all() and np.isfinite(gradient).all()
    assert_close(values, expected, tolerance(case, edges), p.dtype)
    assert_close(loss(y, p), expected, tolerance(case, edges), p.dtype)
    scale = np.abs(slopes).max(axis=-1, keepdims=True) + 1 / p.shape[-1]
    assert_close(gradient / scale, slopes / scale, tolerance(case, edges), p.dtype)


# -- the table -------------------------------------------------------------------------------------

def test_every_class_has_a_case():
    public = {name for name in losses.__all__ if name[0].isupper()}
    assert {case.cls.__name__ for case in CASES} | {"Custom", "Loss"} == public
    assert set(losses._CLASSES) == {name for name in losses.__all__ if name[0].islower()} - {"get"}


def test_every_kernel_has_a_case_and_a_formula():
    kernels = {case.loss(2)._kernel_name + ("_logits" if case.options.get("from_logits") else "") for case in CASES}
    assert kernels == set(core.LOSSES)
    assert {case.name for case in CASES} == set(losses._CLASSES)
    assert set(losses._CLASSES) | kernels == set(reference.LOSSES) | {"tversky"}


@pytest.mark.parametrize("name", losses._CLASSES)
def test_every_option_has_a_case(name):
    options = set().union(*(case.options for case in CASES if case.name == name))
    assert set(inspect.signature(losses._CLASSES[name]).parameters) - {"reduction", "axis"} == options - {"axis"}


# -- formulas --------------------------------------------------------------------------------------

@every_dtype
@every_case
def test_value_and_gradient_match_formula(case, dtype):
    for shape in SHAPES:
        y, p = case.data(shape, np.random.default_rng(shape[1]), dtype)
        if case.options.get("ignore_class") == 255:
            y[::3] = 255
        assert_rows(case, y, p)


SIGNS = np.array(list(itertools.product([-1., 0, 1], repeat=3)))
EDGES_OF_Y = {
    "real": np.concatenate([SIGNS, 1e4 * SIGNS]), "positive": [[1e-3, 1, 1e3]], "counts": [[0., 1, 1000]],
    "bits": list(itertools.product([0., 1], repeat=3)), "signs": list(itertools.product([-1., 1], repeat=3)),
    "one_hot": np.eye(3), "shares": np.concatenate([np.eye(3), np.zeros((1, 3)), np.full((1, 3), 1 / 3)]),
    "labels": [0, 1, 2],
}


def edges_of_p(case, dtype):
    """Ends of the clip and beyond, rows of zeros, and values as large as the loss can bear."""
    if case.p == "probability":
        low, high = dtype(1e-7), dtype(1) - dtype(1e-7)
        return [*itertools.product([0., 1], repeat=3), [1e-9, 1 - 1e-9, 0.5], [low, high, 0.5], [high, low, low],
                [0.2, 0.3, 0.5]]
    if case.p == "positive":
        return [[0., 1e-7, 1e4], [1e-9, 1, 0]]
    sizes = [1, 20] if case.name in ("poisson", "gamma", "tweedie") else [1, 100, 1e4]
    return np.concatenate([size * SIGNS for size in sizes])


@every_dtype
@every_case
def test_value_and_gradient_match_formula_at_edges(case, dtype):
    """Probabilities of 0 and 1, logits of +-1e4, rows of zeros, predictions equal to targets."""
    y, p = np.array(EDGES_OF_Y[case.y]), np.array(edges_of_p(case, dtype))
    y, p = np.repeat(y, len(p), axis=0), np.tile(p, (len(y), 1))
    if case.columns(3) == 6:
        p = np.concatenate([p, p[::-1]], axis=1)
    assert_rows(case, y if case.sparse else y.astype(dtype), p.astype(dtype), edges=True)


@every_dtype
@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy"])
def test_probabilities_beyond_the_clip_have_no_gradient(name, dtype):
    """The value is the one at the end of the clip, as in Keras; the gradient of a constant is 0."""
    p, y = np.array([[1e-9, 1 - 1e-9]], np.float64).astype(dtype), np.array([[1, 0]], dtype)
    low, high = float(dtype(1e-7)), float(dtype(1) - dtype(1e-7))
    expected = -np.log(low) if name == "categorical_crossentropy" else -(np.log(low) + np.log(1 - high)) / 2
    assert_close(getattr(F, name)(y, p), [expected], "loss", dtype)
    np.testing.assert_array_equal(getattr(F, f"{name}_gradient")(y, p), [[0, 0]])


@every_dtype
def test_absolute_error_has_gradient_zero_at_zero(dtype):
    gradient = F.mean_absolute_error_gradient(np.array([1, 2, 3], dtype), np.array([1, 5, 2], dtype))
    np.testing.assert_array_equal(gradient, np.array([0, 1, -1], dtype) / 3)


def test_crossentropy_gradient_grows_as_the_probability_of_the_true_class_falls():
    """Two classes that sum to one: d/dp of -log(p / (p + q)) = 1 - 1/p at p + q = 1."""
    for p in (0.5, 0.1, 1e-3, 1e-6):
        gradient = F.sparse_categorical_crossentropy_gradient([0], [[p, 1 - p]])
        np.testing.assert_allclose(gradient, [[1 - 1 / p, 1]], rtol=1e-9)


def test_binary_is_the_special_case_of_two_classes():
    z = np.linspace(-30, 30, 61)
    y = (np.arange(61) % 2).astype(float)
    two = np.stack([np.zeros(61), z], axis=1)
    assert_close(F.binary_crossentropy(y[:, None], z[:, None], from_logits=True),
                 F.sparse_categorical_crossentropy(y, two, from_logits=True), "loss")


@pytest.mark.parametrize("one, other", [
    (losses.SmoothL1(beta=0), losses.MeanAbsoluteError()), (losses.Quantile([0.5] * 4), losses.Quantile(0.5)),
    (losses.Tweedie(1), losses.Poisson(log_input=True)), (losses.Tweedie(2), losses.Gamma()),
    (losses.BinaryFocalCrossentropy(gamma=0), losses.BinaryCrossentropy()),
    (losses.CategoricalFocalCrossentropy(alpha=1, gamma=0), losses.CategoricalCrossentropy()),
    (losses.Tversky(axis=-1), losses.Tversky(0.5, 0.5, axis=(-1,))), (losses.SmoothL1(), losses.Huber()),
    (losses.BinaryCrossentropy(pos_weight=[1.] * 4), losses.BinaryCrossentropy()),
], ids=repr)
def test_special_cases_agree(one, other):
    rng = np.random.default_rng(0)
    y, p = rng.uniform(0.1, 0.9, (2, 30, 4))
    for actual, expected in zip(one.value_and_gradient(y, p), other.value_and_gradient(y, p), strict=True):
        assert_close(actual, expected, "loss")


# -- peers -----------------------------------------------------------------------------------------

@every_case
def test_value_and_gradient_agree_with_pytorch(torch, case):
    import torch_losses

    rng = np.random.default_rng(8)
    y, p = case.data((40, 6), rng)
    if case.options.get("ignore_class") == 255:
        y[::3] = 255
    tensor, weights = torch.tensor(p, requires_grad=True), rng.uniform(0, 2, 40)
    values = getattr(torch_losses, case.name)(torch.tensor(y), tensor, **case.chosen(6))
    (values * torch.tensor(weights)).sum().backward()
    value, gradient = case.loss(p.shape[1], reduction=None).value_and_gradient(y, p, weights)
    assert_close(value, values.detach().numpy() * weights, "peer")
    assert_close(gradient, tensor.grad.numpy(), "peer")


@pytest.mark.parametrize("reduction, weighted", [
    ("sum_over_batch_size", False), ("sum", False), ("mean_with_sample_weight", True)])
@pytest.mark.parametrize("ignored", [None, 1, 255, -100])
def test_crossentropy_is_that_of_pytorch_with_ignored_and_weighted_classes(torch, ignored, reduction, weighted):
    """PyTorch's mean divides by the class weights, as "mean_with_sample_weight" does."""
    rng = np.random.default_rng(9)
    z, y, of_class = rng.standard_normal((30, 4)), rng.integers(0, 4, 30), [0.5, 1, 2, 3]
    y[::5] = 2 if ignored is None else ignored
    tensor = torch.tensor(z, requires_grad=True)
    value = torch.nn.functional.cross_entropy(
        tensor, torch.tensor(y), weight=torch.tensor(of_class, dtype=torch.float64) if weighted else None,
        ignore_index=-100 if ignored is None else ignored, reduction="sum" if reduction == "sum" else "mean")
    value.backward()
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignored, reduction=reduction)
    ours, gradient = loss.value_and_gradient(y, z, class_weight=dict(enumerate(of_class)) if weighted else None)
    assert_close(ours, value.item(), "peer")
    assert_close(gradient, tensor.grad.numpy(), "peer")


@every_dtype
@pytest.mark.parametrize("name, options", [
    ("HalfGammaLoss", {}), *(("HalfTweedieLoss", {"power": k}) for k in (0, 1, 1.5, 1.9, 2, 3))])
def test_deviances_are_those_of_scikit_learn(name, options, dtype):
    module = needs("sklearn._loss.loss")
    rng = np.random.default_rng(10)
    y, p = rng.uniform(0.1, 3, 50), rng.standard_normal(50)
    values, gradients = getattr(module, name)(**options).loss_gradient(y_true=y, raw_prediction=p)
    ours = losses.Tweedie(**options, reduction=None) if options else losses.Gamma(reduction=None)
    value, gradient = ours.value_and_gradient(y.astype(dtype)[:, None], p.astype(dtype)[:, None])
    assert_close(value, values, "loss_powers", dtype)
    assert_close(gradient[:, 0], gradients, "loss_powers", dtype)


# -- published values ------------------------------------------------------------------------------

Z, BITS = [[-18.6, 0.51], [2.94, -12.8]], [[0, 1], [0, 0]]
P, ONE_HOT = [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], [[0, 1, 0], [0, 0, 1]]
CUBES = ([[[[1.], [1.]], [[0.], [0.]]], [[[1.], [1.]], [[0.], [0.]]]],
         [[[[0.], [1.]], [[0.], [1.]]], [[[0.4], [0.]], [[0.], [0.9]]]])
PAIR = [0.3, 0.7]


def focal(gamma, **options):
    return losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True, **options)


@pytest.mark.parametrize("loss, y, p, weights, expected", [
    (losses.MeanSquaredError(), [1., 0, 1], [0.9, 0.1, 0.8], None, "0.02"),
    (losses.MeanAbsoluteError(), [1., 0.3, 1], [1.9, 0.3, 1.8], None, "0.5666667"),
    (losses.MeanAbsolutePercentageError(), [100., 200, 300], [90., 210, 310], None, "6.111111"),
    (losses.CosineSimilarity(reduction=None), [[0., 1], [1., 1], [1., 1]], [[1., 0], [1., 1], [-1., -1]], None,
     "-0.0 -1.0 1.0"),
    (losses.Huber(), BITS, [[0.6, 0.4], [0.4, 0.6]], None, "0.155"),
    (losses.LogCosh(), [[0., 1], [0, 0]], [[1., 1], [0, 0]], None, "0.108"),
    (losses.BinaryCrossentropy(from_logits=True), [0, 1, 0, 0], np.ravel(Z), None, "0.8654"),
    (losses.BinaryCrossentropy(from_logits=True), BITS, Z, None, "0.8654"),
    (losses.BinaryCrossentropy(from_logits=True), BITS, Z, [0.8, 0.2], "0.243"),
    (losses.BinaryCrossentropy(from_logits=True, reduction="sum"), BITS, Z, None, "1.730"),
    (losses.BinaryCrossentropy(from_logits=True, reduction=None), BITS, Z, None, "0.235 1.496"),
    (losses.BinaryCrossentropy(reduction=None), BITS, [[0.6, 0.4], [0.4, 0.6]], None, "0.916 0.714"),
    (focal(2), [0, 1, 0, 0], np.ravel(Z), None, "0.691"),
    (focal(2, apply_class_balancing=True), [0, 1, 0, 0], np.ravel(Z), None, "0.51"),
    (focal(3), BITS, Z, None, "0.647"),
    (focal(3, apply_class_balancing=True), BITS, Z, None, "0.482"),
    (focal(3), BITS, Z, [0.8, 0.2], "0.133"),
    (focal(3, apply_class_balancing=True), BITS, Z, [0.8, 0.2], "0.097"),
    (focal(4, reduction="sum"), BITS, Z, None, "1.222"),
    (focal(4, apply_class_balancing=True, reduction="sum"), BITS, Z, None, "0.914"),
    (focal(5, reduction=None), BITS, Z, None, "0.0017 1.1561"),
    (focal(5, apply_class_balancing=True, reduction=None), BITS, Z, None, "0.0004 0.8670"),
    (losses.BinaryFocalCrossentropy(reduction=None), BITS, [[0.6, 0.4], [0.4, 0.6]], None, "0.330 0.206"),
    *((cls(reduction=reduction), y, P, weights, expected)
      for cls, y in ((losses.CategoricalCrossentropy, ONE_HOT), (losses.SparseCategoricalCrossentropy, [1, 2]))
      for reduction, weights, expected in (
          ("sum_over_batch_size", None, "1.177"), ("sum_over_batch_size", PAIR, "0.814"), ("sum", None, "2.354"),
          (None, None, "0.0513 2.303"))),
    (losses.CategoricalFocalCrossentropy(), ONE_HOT, P, None, "0.23315276"),
    (losses.CategoricalFocalCrossentropy(), ONE_HOT, P, PAIR, "0.1632"),
    (losses.CategoricalFocalCrossentropy(reduction="sum"), ONE_HOT, P, None, "0.46631"),
    (losses.CategoricalFocalCrossentropy(reduction=None), ONE_HOT, P, None, "3.2058331e-05 4.6627346e-01"),
    (losses.CategoricalFocalCrossentropy(reduction=None), ONE_HOT, [[0.05, 0.9, 0.05], [0.1, 0.85, 0.05]], None,
     "2.63401289e-04 6.75912094e-01"),
    (losses.Dice(axis=(1, 2, 3), reduction=None), *CUBES, None, "0.5 0.75757575"),
    (losses.Dice(), *CUBES, None, "0.6164384"),
], ids=repr)
def test_values_published_by_keras(loss, y, p, weights, expected):
    """Examples of Keras' docstrings, to the digits shown there; float32 gives six of them."""
    actual = np.atleast_1d(loss(y, p, weights))
    for number, text in zip(actual, expected.split(), strict=True):
        mantissa, _, exponent = text.partition("e")
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        assert abs(number - float(text)) <= max(1.01 * unit, 2e-6 * abs(float(text)))


@pytest.mark.parametrize("loss, value", [
    # |2 - 1| = 1 and |3 - 0| = 3
    (losses.MeanAbsoluteError(), 2.0),
    # (1 + 9) / 2
    (losses.MeanSquaredError(), 5.0),
])
def test_published_values_of_the_regression_losses(loss, value):
    assert loss([1., 0.], [2., 3.]) == value


def test_second_sample_is_nine_tenths_of_the_squared_and_three_quarters_of_the_absolute_error():
    y, p = np.array([[1.], [0.]]), np.array([[2.], [3.]])
    squared, absolute = F.mean_squared_error(y, p), F.mean_absolute_error(y, p)
    assert squared[1] / squared.sum() == 0.9
    assert absolute[1] / absolute.sum() == 0.75


@pytest.mark.parametrize("loss, y", [
    (losses.CategoricalCrossentropy(), [[0, 1, 0], [1, 0, 0]]),
    (losses.SparseCategoricalCrossentropy(), [1, 0]),
], ids=repr)
def test_published_values_of_the_crossentropies(loss, y):
    value = loss(y, [[.15, .75, .1], [.75, .15, .1]])
    assert f"{value:.7f}" == "0.2876821"
    assert value == pytest.approx(-np.log(0.75), rel=1e-14)


def test_worked_numbers_of_the_error_and_the_loss():
    truth = np.array([0., 1, 2, 3])
    error = np.array([-4., 3, 0, 7]) - truth
    np.testing.assert_array_equal(error, [-4, 2, -2, 4])
    loss = losses.MeanSquaredError()
    assert loss(truth, [-4., 3, 0, 7]) == (16 + 4 + 4 + 16) / 4
    assert loss(truth, [-2., 3, 0, 5]) == 4
    assert loss(truth, [0., 1, 2, 10]) == 12.25
    np.testing.assert_array_equal(loss.gradient(truth, [-4., 3, 0, 7]), 2 * error / 4)


# -- finite differences ----------------------------------------------------------------------------

@every_case
@pytest.mark.parametrize("reduction", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("mean", "sum")),
                                       "mean_with_sample_weight", None])
def test_gradient_is_that_of_the_value(case, reduction):
    rng = np.random.default_rng(1)
    y, p = case.data((6, 4), rng)
    loss = case.loss(p.shape[1], reduction=reduction)
    weights = {"mean": None, "sum": 2.5}.get(reduction, rng.uniform(0, 2, 6) * (np.arange(6) != 2))
    assert gradcheck(loss, y, p, weights)
    if case.y in CLASSES_TARGETS - {"bits"}:        # rows of bits belong to no class
        options = {"sample_weight": weights, "class_weight": {0: 0.5, 1: 3}}
        value, gradient = (lambda moved: loss(y, moved, **options)), (lambda moved: loss.gradient(y, moved, **options))
        assert gradcheck((value, gradient), p)


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), [1, 2], -3])
@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_gradient_of_overlaps_is_that_of_the_value_over_any_axes(name, axis):
    rng = np.random.default_rng(2)
    y, p = Case(name, "bits", "probability").data((3, 4, 2), rng)
    assert gradcheck(losses._CLASSES[name](axis=axis), y, p)


# -- reductions and weights ------------------------------------------------------------------------

@every_case
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weighted_values_are_reduced(case, reduction):
    rng = np.random.default_rng(3)
    y, p = case.data((4, 5, 3), rng)
    values, gradients = exact(case, y, p)
    loss = case.loss(p.shape[-1], reduction=reduction)
    counted = y != case.options["ignore_class"] if "ignore_class" in case.options else None
    weights = rng.uniform(0, 2, (4, 5))
    for given in (None, 3, weights, weights[..., None], weights[:1], weights[:, :1], weights[:, 0], np.zeros((4, 5))):
        each = given if np.ndim(given) < 3 else given[..., 0]
        each = each[:, None] if np.shape(each) == (4,) else each
        expected, slopes = reference.reduced(values, gradients, reduction, each, counted)
        value, gradient = loss.value_and_gradient(y, p, given)
        assert_close(value, expected, tolerance(case))
        assert_close(gradient, slopes, tolerance(case))
        assert_close(loss(y, p, given), expected, tolerance(case))
        assert_close(loss.gradient(y, p, given), slopes, tolerance(case))
        each_value = reference.reduced(values, gradients, None, each)[0]
        assert_close(loss.per_sample(y, p, given), each_value, tolerance(case))
    assert isinstance(value, np.ndarray if reduction in (None, "none") else float)


@pytest.mark.parametrize("case", [case for case in CASES if case.y in CLASSES_TARGETS and case.p != "real"], ids=str)
def test_class_weights_multiply_sample_weights(case):
    rng = np.random.default_rng(4)
    columns = 1 if case.y == "bits" else 3
    y, p = case.data((30, columns), rng)
    loss, weights = case.loss(p.shape[1]), rng.uniform(0, 2, 30)
    classes = y if case.sparse else y[:, 0].astype(int) if columns == 1 else y.argmax(axis=1)
    table = np.array([0.5, 1, 4])                           # class 1 is missing below and counts 1
    for given in (None, weights):
        expected = loss.value_and_gradient(y, p, table[classes] * (1 if given is None else given))
        actual = loss.value_and_gradient(y, p, given, class_weight={0: 0.5, 2: 4} if columns > 1 else {0: 0.5})
        assert_close(actual[0], expected[0], "loss")
        assert_close(actual[1], expected[1], "loss")
    if "ignore_class" not in case.options:
        # scikit-learn: samples / (classes * samples of the class), counted by weight
        counts = np.bincount(classes, weights)
        balanced = loss(y, p, weights, class_weight="balanced")
        of_class = weights.sum() / (len(counts) * counts)
        assert_close(balanced, loss(y, p, weights * of_class[classes]), "loss")


def test_balanced_weights_are_those_of_scikit_learn():
    utils = needs("sklearn.utils")
    y, p = np.array([0, 0, 0, 2, 2, 3]), np.random.default_rng(5).uniform(0.1, 0.9, (6, 4))
    loss = losses.SparseCategoricalCrossentropy()
    assert_close(loss(y, p, class_weight="balanced"), loss(y, p, utils.compute_sample_weight("balanced", y)), "loss")


@pytest.mark.parametrize("ignored", [1, -1, 255])
def test_rows_of_the_ignored_class_count_nowhere(ignored):
    rng = np.random.default_rng(6)
    y, p, weights = rng.choice([0, 2], 20), rng.uniform(0.1, 0.9, (20, 3)), rng.uniform(0, 2, 20)
    y[::4] = ignored
    kept = y != ignored
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight"):
        loss = losses.SparseCategoricalCrossentropy(ignore_class=ignored, reduction=reduction)
        for options in ({}, {"class_weight": {2: 3}}, {"class_weight": "balanced"}):
            assert_close(loss(y, p, weights, **options), loss(y[kept], p[kept], weights[kept], **options), "loss")
        np.testing.assert_array_equal(loss.gradient(y, p)[~kept], 0)
    everything = losses.SparseCategoricalCrossentropy(ignore_class=ignored)
    assert everything(np.full(3, ignored), p[:3]) == 0
    np.testing.assert_array_equal(everything.gradient(np.full(3, ignored), p[:3]), 0)


@every_class
@pytest.mark.parametrize("weights", [np.ones(3), np.ones((4, 3)), np.ones((1, 4)), np.ones((4, 1, 1))])
def test_weights_of_a_wrong_shape_are_an_error(case, weights):
    y, p = case.data((4, 3), np.random.default_rng(0))
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        case.loss(3)(y, p, sample_weight=weights)


# -- shapes, axes, dtypes, memory ------------------------------------------------------------------

@every_case
def test_any_rank_is_reduced_over_the_last_axis(case):
    y, p = case.data((2, 3, 4, 5), np.random.default_rng(7))
    n = p.shape[-1]
    loss = case.loss(n, reduction="sum")
    flat_y, flat_p = y.reshape(24, *y.shape[3:]), p.reshape(24, n)
    assert loss.per_sample(y, p).shape == (2, 3, 4)
    np.testing.assert_array_equal(loss.per_sample(y, p).reshape(24), loss.per_sample(flat_y, flat_p))
    assert loss.gradient(y, p).shape == p.shape
    np.testing.assert_array_equal(loss.gradient(y, p).reshape(24, n), loss.gradient(flat_y, flat_p))
    one = y[0, 0, 0], p[0, 0, 0]
    if case.y != "bits":                                    # all labels of one row may be 1
        assert loss.per_sample(*one).shape == ()
        np.testing.assert_array_equal(loss.per_sample(*one), loss.per_sample(y, p)[0, 0, 0])


WITH_AXIS = [case for case in CASES if "axis" in inspect.signature(case.cls).parameters]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("case", WITH_AXIS, ids=str)
def test_any_axis_is_reduced_as_if_it_were_the_last(case, axis):
    y, p = case.data((4, 5, 3), np.random.default_rng(8))
    last, weights = case.loss(3, reduction=None), np.random.default_rng(9).uniform(0, 2, (4, 5))
    values, gradient = last.value_and_gradient(y, p, weights)
    loss = case.cls(**{**case.chosen(3), "axis": axis, "reduction": None})
    moved = y if case.sparse else np.moveaxis(y, -1, axis)
    value, slope = loss.value_and_gradient(moved, np.moveaxis(p, -1, axis), weights)
    np.testing.assert_array_equal(value, values)
    np.testing.assert_array_equal(slope, np.moveaxis(gradient, -1, axis))


@pytest.mark.parametrize("axis, samples", [
    (None, (0, 1, 2)), ((0, 2), (0, 2)), ([0, 1], (0, 1)), (0, (0,)), ((-1, 0), (0, 2))])
@pytest.mark.parametrize("name, options", [("dice", {}), ("tversky", {"alpha": 0.7, "beta": 0.2})])
def test_overlaps_are_taken_over_any_axes(name, options, axis, samples):
    y, p = Case(name, "bits", "probability").data((4, 5, 3), np.random.default_rng(10))
    both, of_y, of_p = ((array).sum(axis=samples) for array in (y * p, y, p))
    a, b = options.get("alpha", 0.5), options.get("beta", 0.5)
    expected = 1 - both / (both + a * (of_y - both) + b * (of_p - both) + (1e-7 if options else 0.5e-7))
    loss = losses._CLASSES[name](**options, axis=axis)
    assert_close(loss(y, p), expected.mean(), "loss")
    assert_close(losses._CLASSES[name](**options, axis=axis, reduction=None)(y, p), expected, "loss")
    assert_close(loss(y, p, 3), 3 * expected.mean(), "loss")
    if axis is None:
        assert_close(loss(y, p, [1, 2, 3, 0]), 1.5 * expected, "loss")
        with pytest.raises(ValueError, match="none per sample"):
            loss.per_sample(y, p)


@every_class
def test_a_last_axis_of_length_one_may_be_left_out(case):
    if case.columns(1) != 1:
        pytest.skip("needs two outputs")
    y, p = case.data((9, 1), np.random.default_rng(11))
    loss = case.loss(1)
    expected, slopes = loss.value_and_gradient(y, p)
    for other_y in ((y, y[:, None]) if case.sparse else (y, y[:, 0])):
        assert loss(other_y, p) == expected
        np.testing.assert_array_equal(loss.gradient(other_y, p), slopes)
    if not case.sparse:
        assert loss(y, p[:, 0]) == expected
        np.testing.assert_array_equal(loss.gradient(y, p[:, 0]), slopes[:, 0])


def test_one_target_may_belong_to_a_mean_and_a_variance():
    y, p = Case("gaussian_nll", "real", "real").data((9, 1), np.random.default_rng(12))
    assert losses.GaussianNLL()(y[:, 0], p) == losses.GaussianNLL()(y, p)


def test_one_target_may_belong_to_several_quantiles():
    y, p = np.random.default_rng(13).standard_normal((2, 9, 3))
    y[:] = y[:, :1]
    loss = losses.Quantile([0.1, 0.5, 0.9])
    for given in (y[:, :1], y[:, 0]):
        assert loss(given, p) == loss(y, p)
        np.testing.assert_array_equal(loss.gradient(given, p), loss.gradient(y, p))


def test_a_margin_reads_zeros_as_minus_one_only_where_all_are_zero_or_one():
    p = np.array([[0.5], [-0.25]])
    assert losses.Hinge()([[0], [1]], p) == losses.Hinge()([[-1], [1]], p) == (1.5 + 1.25) / 2
    assert losses.Hinge()([[0.5], [0]], p) == (0.75 + 1) / 2


@every_case
def test_memory_layout_changes_no_bit(case):
    y, p = case.data((30, 4), np.random.default_rng(14))
    loss = case.loss(p.shape[1], reduction=None)
    backwards_y, backwards_p = y[::-1].copy()[::-1], np.asfortranarray(p[::-1, ::-1])[::-1, ::-1]
    backwards_y.flags.writeable = backwards_p.flags.writeable = False
    results = loss.value_and_gradient(backwards_y, backwards_p), loss.value_and_gradient(y, p)
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(loss(y.tolist(), p.tolist()), loss(y, p))


@every_dtype
@every_case
def test_no_samples_have_loss_zero(case, dtype):
    y, p = case.data((0, 3), np.random.default_rng(15), dtype)
    loss = case.loss(p.shape[1])
    for weights in (None, np.ones(0)):
        assert loss(y, p, weights) == 0
        assert loss.gradient(y, p, weights).shape == p.shape and loss.gradient(y, p).dtype == dtype
        assert loss.per_sample(y, p, weights).shape == (0,)


@every_class
def test_integer_predictions_become_float(case):
    y = np.ones((2, 2), int) if case.name == "gamma" else np.array([1, 0] if case.sparse else [[0, 1], [1, 0]])
    p = np.array([[1, 2], [3, 4]])
    y = y[:, :1] if case.columns(1) == 2 else y
    value, gradient = case.loss(2).value_and_gradient(y, p)
    assert value == case.loss(2)(y, p.astype(float)) and gradient.dtype == np.float64
    assert case.loss(2).gradient(y, p.astype(np.float16)).dtype == np.float32


@every_class
def test_targets_take_the_dtype_of_the_predictions(case):
    y, p = case.data((6, 3), np.random.default_rng(16), np.float32)
    wide = y if case.sparse else y.astype(np.float64)
    assert case.loss(3 * case.columns(1))(y, p) == case.loss(3 * case.columns(1))(wide, p)


LABEL_DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4"]


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("dtype", LABEL_DTYPES)
def test_labels_may_have_any_dtype_that_holds_integers(dtype, from_logits):
    p = np.random.default_rng(4).uniform(0.1, 0.9, (20, 5))
    labels = np.arange(20) % 5
    expected = F.sparse_categorical_crossentropy(labels, p, from_logits=from_logits)
    for given in (labels.astype(dtype), labels.astype(dtype)[:, None]):
        np.testing.assert_array_equal(F.sparse_categorical_crossentropy(given, p, from_logits=from_logits), expected)


def test_labels_may_be_booleans():
    p = np.random.default_rng(5).uniform(0.1, 0.9, (6, 2))
    labels = np.arange(6) % 2
    np.testing.assert_array_equal(F.sparse_categorical_crossentropy(labels == 1, p),
                                  F.sparse_categorical_crossentropy(labels, p))
    np.testing.assert_array_equal(F.binary_crossentropy((labels == 1)[:, None], p[:, :1]),
                                  F.binary_crossentropy(labels[:, None], p[:, :1]))


# -- names, functions, identity --------------------------------------------------------------------

@every_case
def test_functions_give_values_per_sample_and_their_gradient(case):
    y, p = case.data((7, 4), np.random.default_rng(17))
    n = p.shape[1]
    function, its_gradient = getattr(F, case.name), getattr(F, f"{case.name}_gradient")
    values, gradient = function(y, p, **case.chosen(n)), its_gradient(y, p, **case.chosen(n))
    loss = case.loss(n, reduction="sum")
    np.testing.assert_array_equal(values, loss.per_sample(y, p))
    np.testing.assert_array_equal(gradient, loss.gradient(y, p))
    np.testing.assert_array_equal(getattr(losses, case.name)(y, p, **case.chosen(n)), values)
    out = np.empty_like(p)
    assert its_gradient(y, p, out=out, **case.chosen(n)) is out
    np.testing.assert_array_equal(out, gradient)


@every_class
def test_names_lead_to_the_loss(case):
    loss = case.cls()
    for name in (case.name, case.cls.__name__, case.cls, getattr(losses, case.name), getattr(F, case.name), loss):
        assert losses.get(name) == loss
    assert losses.get(loss) is loss


@pytest.mark.parametrize("alias, name", [
    ("mse", "mean_squared_error"), ("MSE", "mean_squared_error"), ("mae", "mean_absolute_error"),
    ("MAE", "mean_absolute_error"), ("mape", "mean_absolute_percentage_error"),
    ("msle", "mean_squared_logarithmic_error"), ("bce", "binary_crossentropy"), ("BCE", "binary_crossentropy"),
    ("kld", "kl_divergence"), ("KLD", "kl_divergence"), ("logcosh", "log_cosh"), ("pinball", "quantile"),
])
def test_aliases_lead_to_the_loss(alias, name):
    assert losses.get(alias) == losses.get(name)


@pytest.mark.parametrize("unknown", ["mean_square_error", "accuracy", 3, None])
def test_a_name_that_is_unknown_is_an_error(unknown):
    with pytest.raises(ValueError, match="loss must be (one of the known names|given)"):
        losses.get(unknown)


@every_case
@pytest.mark.parametrize("more", [{}, {"reduction": "sum"}, {"reduction": None}], ids=str)
def test_repr_pickle_and_copies_lead_back_to_the_loss(case, more):
    loss = case.loss(4, **more)
    y, p = case.data((5, 4 // case.columns(1)), np.random.default_rng(18))
    expected = loss(y, p)
    shown, pickled = eval(repr(loss), vars(losses)), pickle.loads(pickle.dumps(loss))
    for twin in (shown, pickled, copy.copy(loss), copy.deepcopy(loss)):
        assert twin == loss and hash(twin) == hash(loss) and repr(twin) == repr(loss)
        np.testing.assert_array_equal(twin(y, p), expected)


def test_losses_of_other_options_differ():
    every = [case.loss(4, reduction=reduction) for case in CASES for reduction in ("sum", "mean")]
    for i, loss in enumerate(every):
        for other in every[i + 1:]:
            assert loss != other or repr(loss) == repr(other)
    assert losses.Huber(1) != losses.Huber(2) and losses.Huber() != losses.SmoothL1() and losses.Huber() != "huber"


def test_options_cannot_be_changed():
    """A compiled model has already read some of them: it would train a mix of both losses."""
    loss = losses.Huber()
    for name in ("delta", "reduction"):
        with pytest.raises(AttributeError, match="make a new loss"):
            setattr(loss, name, getattr(loss, name))


def test_a_loss_with_a_kernel_has_no_call_of_its_own():
    with pytest.raises(TypeError, match="subclass of losses.Loss"):
        type("Mine", (losses.MeanSquaredError,), {"call": lambda self, y, p: None})


def test_a_loss_of_your_own_may_write_into_its_arguments_and_keep_arrays():
    def squares(y, p):
        p -= y
        return (p**2).sum(axis=1), 2 * p

    y, p = np.ones((4, 3)), np.zeros((4, 3))
    assert losses.Custom(squares)(y, p) == 3 and not p.any() and y.all()

    class Weighted(losses.Loss):
        def __init__(self, w):
            super().__init__()
            self.w = np.asarray(w)

        def call(self, y, p):
            return (self.w * (p - y)**2).sum(axis=1), 2 * self.w * (p - y)

    assert Weighted([1, 2]) == Weighted([1, 2]) != Weighted([1, 3])
    assert "array([1, 2])" in repr(Weighted([1, 2]))


# -- errors ----------------------------------------------------------------------------------------

@every_class
@pytest.mark.parametrize("y_shape, p_shape", [
    ((3, 3), (4, 3)), ((4, 2), (4, 3)), ((12,), (4, 3)), ((4, 3), (2, 2, 3)), ((3,), ())])
def test_shapes_that_do_not_fit_are_an_error(case, y_shape, p_shape):
    with pytest.raises(ValueError, match="must|needs"):
        case.loss(3)(np.ones(y_shape, int), np.full(p_shape, 0.5))


@pytest.mark.parametrize("labels", [
    [0, 3], [-1, 0], [0, 0.5], [0, np.nan], [0, np.inf], [[0, 1, 0], [1, 0, 0]], [0], 0])
def test_labels_that_are_no_classes_are_an_error(labels):
    with pytest.raises(ValueError, match="y_true must hold"):
        F.sparse_categorical_crossentropy(labels, [[.2, .3, .5], [.2, .3, .5]])


@every_class
@pytest.mark.parametrize("reduction", ["average", "sum_of_batch", 3, ""])
def test_a_reduction_that_is_unknown_is_an_error(case, reduction):
    with pytest.raises(ValueError, match="Invalid value for argument `reduction`"):
        case.cls(reduction=reduction)


@pytest.mark.parametrize("case", WITH_AXIS, ids=str)
def test_an_axis_that_is_not_there_is_an_error(case):
    for axis in (True, 1.5, "last"):
        with pytest.raises(ValueError, match="`axis` must be of type `int`"):
            case.cls(axis=axis)
    y, p = case.data((4, 3), np.random.default_rng(0))
    for axis in (2, -3):
        with pytest.raises(ValueError, match="axis must be one of"):
            case.cls(**{**case.chosen(3), "axis": axis})(y, p)


@pytest.mark.parametrize("loss, y, match", [
    (losses.MeanSquaredError(), np.ones((2, 2)), "must have the same shape"),
    (losses.CategoricalCrossentropy(), [[0, -0.1, 1]], r"must lie in \[0, 1\]"),
    (losses.CategoricalCrossentropy(), [[0, np.nan, 1]], "must be finite"),
    (losses.CategoricalFocalCrossentropy(), [[0, np.nan, 1]], r"y_true\[0, 1\] is nan"),
    (losses.KLDivergence(), [[0, -1, 1]], r"y_true\[0, 1\] is -1"),
    (losses.Poisson(), [[0, -1, 1]], "must be not negative"),
    (losses.Poisson(log_input=True), [[0, -1, 1]], "must be not negative"),
    (losses.Gamma(), [[1, 0, 1]], r"must be positive for Gamma; y_true\[0, 1\] is 0"),
    (losses.Tweedie(1.5), [[1, -1, 1]], "must be not negative"),
    (losses.Tweedie(2), [[1, 0, 1]], "must be positive"),
    (losses.Tweedie(3), [[1, 0, 1]], "must be positive"),
    (losses.Quantile([0.1, 0.9]), [[1, 0, 1]], "must have as many outputs"),
    (losses.GaussianNLL(), [[1, 0, 1]], "even number of outputs"),
    (losses.CategoricalFocalCrossentropy(alpha=[1, 2]), [[1, 0, 0]],
     "alpha must have a number for each of the 3 classes"),
    (losses.BinaryCrossentropy(pos_weight=[1, 2]), [[1, 0, 0]],
     "pos_weight must have a number for each of the 3 outputs"),
    (losses.SparseCategoricalCrossentropy(), [[0, 1, 0]], "must have the same shape up until"),
    (losses.SparseCategoricalCrossentropy(ignore_class=5), [4], "y_true must hold labels in"),
], ids=repr)
def test_targets_that_the_loss_does_not_allow_are_an_error(loss, y, match):
    for call in (loss, loss.gradient, loss.per_sample):
        with pytest.raises(ValueError, match=match):
            call(y, [[0.2, 0.3, 0.5]])


# accepted and refused targets of each kind, and the kind of each loss
TARGETS = {
    "real": ([-1e6, 0, 1e6], []),
    "shares": ([0, 0.3, 1, np.nextafter(np.float32(1), np.float32(2)), -1e-7], [-1, -0.001, 1.001, 255]),
    "margins": ([-1, 0, 1], [-2, 2, 255]),
    "counts": ([0, 0.5, 1e6], [-1, -1e-6]),
    "positive": ([1e-30, 1e6], [0, -1])}
KINDS = {
    "mean_squared_error": "real", "mean_absolute_error": "real", "mean_absolute_percentage_error": "real",
    "mean_squared_logarithmic_error": "counts", "huber": "real", "smooth_l1": "real", "log_cosh": "real",
    "quantile": "real", "expectile": "real", "cosine_similarity": "real", "kl_divergence": "shares",
    "poisson": "counts", "gaussian_nll": "real", "gamma": "positive", "tweedie": "counts", "hinge": "margins",
    "squared_hinge": "margins", "categorical_hinge": "shares", "binary_crossentropy": "shares",
    "binary_focal_crossentropy": "shares", "categorical_crossentropy": "shares",
    "categorical_focal_crossentropy": "shares", "sparse_categorical_crossentropy": "real", "dice": "shares",
    "tversky": "shares"}


@pytest.mark.parametrize("name", losses._CLASSES)
def test_every_loss_declares_its_targets_and_its_tasks(name):
    loss = losses._CLASSES[name]()
    interval = {"real": (-np.inf, np.inf), "shares": (0, 1), "margins": (-1, 1), "counts": (0, np.inf),
                "positive": (0, np.inf)}[KINDS[name]]
    assert isinstance(loss._allowed, losses._AllowedTargets) and loss._allowed[:2] == interval
    assert isinstance(loss._tasks, tuple) and set(loss._tasks) <= set(losses.EVERY_TASK)


@every_dtype
@every_case
def test_targets_that_the_loss_does_not_allow_are_refused_with_place_and_value(case, dtype):
    kind = KINDS[case.name]
    if case.name == "tweedie":
        power = case.options["power"]
        kind = "real" if power <= 0 else "counts" if power < 2 else "positive"
    if case.sparse:
        return
    loss = case.loss(2 if case.name == "gaussian_nll" else 1)
    p = np.full((3, 2 if case.name == "gaussian_nll" else 1), 0.4, dtype)
    accepted, refused = TARGETS[kind]
    for value in accepted:
        assert np.isfinite(loss.per_sample(np.full((3, 1), value, dtype), p)).all() or abs(value) == 1e6
    for value in refused:
        y = np.array([[1], [value], [1]], dtype)
        shown = f"{float(y[1, 0]):.3g}".replace("+", ".")
        for call in (loss, loss.gradient, loss.value_and_gradient, loss.per_sample):
            with pytest.raises(ValueError, match=rf"y_true must .* for {case.cls.__name__}; y_true\[1\] is {shown}"):
                call(y, p)
        with pytest.raises(ValueError, match="y_true must"):
            getattr(F, case.name)(y, p, **case.chosen(p.shape[1]))


def test_the_error_of_a_target_says_what_to_do():
    advice = "Scale them, for instance y / 255, or .* SparseCategoricalCrossentropy"
    with pytest.raises(ValueError, match=rf"y_true\[0, 1\] is 255.0. {advice}"):
        losses.BinaryCrossentropy()([[0, 255]], [[0.5, 0.5]])


@pytest.mark.parametrize("name, options", [
    ("Huber", {"delta": 0}), ("Huber", {"delta": -1}), ("Huber", {"delta": np.inf}), ("SmoothL1", {"beta": -1}),
    *(("Quantile", {"q": q}) for q in (0, 1, -0.1, 1.1, np.nan, [], [0.5, 1])),
    *(("Expectile", {"q": q}) for q in (0, 1, np.nan)),
    *((name, {"label_smoothing": s}) for s in (-0.1, 1.1, np.nan) for name in (
        "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy")),
    ("BinaryCrossentropy", {"pos_weight": -1}), ("BinaryCrossentropy", {"pos_weight": [1, -1]}),
    ("BinaryFocalCrossentropy", {"alpha": 1.5}), ("BinaryFocalCrossentropy", {"gamma": -1}),
    ("CategoricalFocalCrossentropy", {"alpha": -1}), ("CategoricalFocalCrossentropy", {"alpha": [1, -1]}),
    ("CategoricalFocalCrossentropy", {"gamma": -1}), ("Tweedie", {"power": np.inf}), ("Tversky", {"alpha": -1}),
    ("Tversky", {"beta": np.nan}),
], ids=str)
def test_options_beyond_their_bounds_are_an_error(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        getattr(losses, name)(**options)


@pytest.mark.parametrize("name, options", [
    ("Huber", {"delta": "one"}), ("Quantile", {"q": None}), ("BinaryCrossentropy", {"label_smoothing": "much"}),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0.5}),
], ids=str)
def test_options_that_are_no_numbers_are_an_error(name, options):
    with pytest.raises(TypeError, match=f"{next(iter(options))} must"):
        getattr(losses, name)(**options)


@pytest.mark.parametrize("class_weight, error, match", [
    ({3: 1}, ValueError, "keys in"), ({0: np.nan}, ValueError, r"class_weight\[0\]"), ([1, 2], TypeError, "dict"),
    ("even", TypeError, "dict"), ({"a": 1}, TypeError, "integers as keys"),
])
def test_class_weights_that_do_not_fit_are_an_error(class_weight, error, match):
    with pytest.raises(error, match=match):
        losses.SparseCategoricalCrossentropy()([0], [[0.2, 0.3, 0.5]], class_weight=class_weight)


@every_dtype
@every_case
@pytest.mark.parametrize("column", [0, 1, 2])
def test_nan_in_the_predictions_is_seen_in_the_value(case, column, dtype):
    """With a loss of 0 training would go on and spoil the weights."""
    y, p = case.data((4, 3), np.random.default_rng(24), dtype)
    p[2, column] = np.nan
    if "ignore_class" in case.options:
        y[2] = 1
    values = case.loss(p.shape[1]).per_sample(y, p)
    np.testing.assert_array_equal(np.isnan(values), [False, False, True, False])


# -- losses of your own ----------------------------------------------------------------------------

@every_dtype
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_of_your_own_equals_the_built_in_one(own, reduction, dtype):
    rng = np.random.default_rng(19)
    loss, built_in = own(reduction=reduction), losses.MeanSquaredError(reduction=reduction)
    for shape in ((30, 4), (5, 6, 3), (7, 1), (0, 3), (4,)):
        y, p = Case("mean_squared_error", "real", "wide").data(shape, rng, dtype)
        for weights in (None, rng.uniform(0, 2, shape[:-1])):
            assert_close(loss(y, p, weights), built_in(y, p, weights), "loss", dtype)
            assert_close(loss.gradient(y, p, weights), built_in.gradient(y, p, weights), "loss", dtype)
            assert_close(loss.per_sample(y, p, weights), built_in.per_sample(y, p, weights), "loss", dtype)
            assert loss.gradient(y, p, weights).dtype == dtype
    assert_close(loss([1., 0.], [2., 3.]), 5, "loss")


def test_a_c_loss_in_float_equals_the_built_in_one(c_loss):
    y, p = np.random.default_rng(20).standard_normal((2, 30, 4)).astype(np.float32)
    for factor in (1, 3):
        value, gradient = losses.Custom(c_loss(dtype="float32", factor=factor)).value_and_gradient(y, p)
        assert_close(value, factor * losses.MeanSquaredError()(y, p), "loss", np.float32)
        assert_close(gradient, factor * losses.MeanSquaredError().gradient(y, p), "loss", np.float32)


def doubled_in_one_place(y, p):
    values, gradient = squared_error(y, p)
    gradient[3, 1] *= 2
    return values, gradient


def test_a_wrong_gradient_is_refused_with_its_place_and_size():
    y, p = np.zeros((6, 2)), np.arange(1., 13).reshape(6, 2)
    loss = losses.Custom(doubled_in_one_place)
    for _ in range(2):                                      # a refused gradient is checked again
        with pytest.raises(ValueError, match="row 3, column 1 is 16.0, but central differences give 8.0"):
            loss(y, p)


@pytest.mark.parametrize("wrong", [lambda g: -g, lambda g: g / 2, lambda g: g + 1, lambda g: 0 * g],
                         ids=["sign", "half", "shift", "zero"])
@pytest.mark.parametrize("subclass", [False, True])
def test_a_wrong_gradient_is_refused(wrong, subclass):
    def function(y, p):
        values, gradient = squared_error(y, p)
        return values, wrong(gradient)

    class Wrong(losses.Loss):
        def call(self, y_true, y_pred):
            return function(y_true, y_pred)

    make = Wrong if subclass else lambda **options: losses.Custom(function, **options)
    y, p = np.random.default_rng(21).standard_normal((2, 6, 3))
    for call in (make(), make().gradient, make().per_sample):
        with pytest.raises(ValueError, match=r"row \d, column \d .* construct the loss with check_gradient=False"):
            call(y, p)
    unchecked = make(check_gradient=False)
    assert_close(unchecked.gradient(y, p), wrong(squared_error(y, p)[1]) / 6, "loss")


def test_a_wrong_gradient_of_a_c_loss_is_refused(c_loss):
    y, p = np.zeros((3, 2)), np.ones((3, 2))
    with pytest.raises(ValueError, match="column 1 is 2.0, but central differences give 1.0"):
        losses.Custom(c_loss("wrong_gradient"))(y, p)
    unchecked = losses.Custom(c_loss("wrong_gradient"), check_gradient=False)
    np.testing.assert_array_equal(unchecked.gradient(y, p), [[1 / 3, 2 / 3]] * 3)


def test_a_right_gradient_is_checked_once():
    calls = []

    def counted(y, p):
        calls.append(len(p))
        return squared_error(y, p)

    loss = losses.Custom(counted)
    loss(np.zeros((3, 2)), np.ones((3, 2)))
    assert len(calls) > 1
    calls.clear()
    loss(np.zeros((3, 2)), np.ones((3, 2)))
    assert calls == [3]


@pytest.mark.parametrize("result, match", [
    (lambda y, p: (p - y) ** 2, r"must return \(values, gradient\), got ndarray"),
    (lambda y, p: None, "got NoneType"),
    (lambda y, p: (p, p, p), r"must return \(values, gradient\)"),
    (lambda y, p: ((p - y) ** 2, 2 * (p - y)), r"values, a number for each row, of shape \(6,\)"),
    (lambda y, p: (((p - y) ** 2).mean(), 2 * (p - y)), r"of shape \(6,\)"),
    (lambda y, p: (((p - y) ** 2).sum(axis=1), 2 * (p - y)[:, :1]), r"a gradient like y_pred, of shape \(6, 3\)"),
    (lambda y, p: (((p - y) ** 2).sum(axis=1).astype(str), p), "dtype"),
    (lambda y, p: (((p - y) ** 2).sum(axis=1), p + 0j), "complex"),
])
@pytest.mark.parametrize("check_gradient", [True, False])
def test_results_that_are_not_values_and_a_gradient_are_an_error(result, match, check_gradient):
    y, p = np.random.default_rng(22).standard_normal((2, 6, 3))
    with pytest.raises(ValueError, match=match):
        losses.Custom(result, check_gradient=check_gradient)(y, p)


def test_an_exception_of_the_function_reaches_the_caller():
    def broken(y, p):
        raise ZeroDivisionError("on purpose")

    for check_gradient in (True, False):
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            losses.Custom(broken, check_gradient=check_gradient)(np.zeros((2, 2)), np.ones((2, 2)))


def test_a_function_may_take_fewer_targets_than_outputs():
    def gaussian(y, p):
        return reference.LOSSES["gaussian_nll"](y, p)

    y, p = Case("gaussian_nll", "real", "real").data((8, 1), np.random.default_rng(23))
    for given in (y, y[:, 0]):
        assert_close(losses.Custom(gaussian)(given, p), losses.GaussianNLL()(y, p), "loss")


def test_what_cannot_be_called_is_an_error():
    with pytest.raises(TypeError, match="callable"):
        losses.Custom("mse")
    with pytest.raises(NotImplementedError, match="must define call"):
        losses.Loss()(np.zeros((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize("restype, argtypes", [
    ("c_double", "ppp l"), ("c_float", "ppplv"), ("c_double", "pp lv"), ("c_double", "ppplvv"), ("c_double", "pppiv"),
    ("c_double", "pfplv")])
def test_a_c_function_with_another_signature_is_an_error(restype, argtypes):
    scipy = needs("scipy")
    types = {"p": ctypes.POINTER(ctypes.c_double), "f": ctypes.POINTER(ctypes.c_float), "l": ctypes.c_ssize_t,
             "i": ctypes.c_int, "v": ctypes.c_void_p}
    arguments = (types[letter] for letter in argtypes.replace(" ", ""))
    function = ctypes.CFUNCTYPE(getattr(ctypes, restype), *arguments)(lambda *_: 0.)
    with pytest.raises(ValueError, match="must have the signature"):
        losses.Custom(scipy.LowLevelCallable(function))


def test_losses_of_your_own_are_compared_shown_and_copied():
    loss = losses.Custom(squared_error)
    assert repr(loss) == "Custom(squared_error)"
    assert loss == losses.Custom(squared_error) != losses.Custom(doubled_in_one_place)
    assert losses.get(squared_error) == loss and losses.get(SquaredError) == SquaredError()
    pickled = [pickle.loads(pickle.dumps(each)) for each in (loss, SquaredError(reduction="sum"))]
    for twin in (copy.deepcopy(loss), *pickled):
        assert twin([1., 0.], [2., 3.]) == 5
