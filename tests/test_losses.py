"""Losses and their gradients against NumPy, finite differences and arithmetic by hand."""
import numpy as np
import pytest
import reference
from tolerances import STEP, assert_close

from nnfast import functional as F, losses
from nnfast._core import network as core

DTYPES = [np.float32, np.float64]
every_loss = pytest.mark.parametrize("name", core.LOSSES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
CLASSES = [losses.MeanSquaredError(), losses.MeanAbsoluteError(), losses.BinaryCrossentropy(),
           losses.BinaryCrossentropy(from_logits=True), losses.CategoricalCrossentropy(),
           losses.CategoricalCrossentropy(from_logits=True), losses.SparseCategoricalCrossentropy(),
           losses.SparseCategoricalCrossentropy(from_logits=True)]
every_class = pytest.mark.parametrize("loss", CLASSES, ids=repr)


def core_name(loss):
    return loss._kernel + ("_logits" if getattr(loss, "from_logits", False) else "")


def both(name):
    """The value and the gradient of `nnfast.functional` for a loss of the core."""
    plain = name.removesuffix("_logits")
    options = {"from_logits": name != plain} if "crossentropy" in name else {}
    return (lambda y, p: getattr(F, plain)(y, p, **options),
            lambda y, p: getattr(F, f"{plain}_gradient")(y, p, **options))


def targets(name, shape, rng):
    if name.startswith("sparse"):
        return rng.integers(0, shape[-1], shape[:-1])
    if name.startswith("categorical"):
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    if name.startswith("binary"):
        return rng.integers(0, 2, shape).astype(float)
    return rng.standard_normal(shape)


def predictions(name, shape, rng):
    """Probabilities away from the clip where a loss wants them; they need not sum to one."""
    probabilities = "crossentropy" in name and not name.endswith("_logits")
    return rng.uniform(0.05, 0.95, shape) if probabilities else 3 * rng.standard_normal(shape)


def as_dtype(y, dtype):
    return y if y.dtype.kind == "i" else y.astype(dtype)


def test_every_loss_of_the_core_has_a_class():
    assert {core_name(loss) for loss in CLASSES} == set(core.LOSSES)
    assert {type(loss).__name__ for loss in CLASSES} == {name for name in losses.__all__ if name[0].isupper()}


@every_dtype
@every_loss
@pytest.mark.parametrize("columns", [1, 2, 3, 40])
def test_value_and_gradient_match_formula(name, columns, dtype):
    rng = np.random.default_rng(columns)
    y = as_dtype(targets(name, (150, columns), rng), dtype)
    p = predictions(name, (150, columns), rng).astype(dtype)
    value, gradient = both(name)
    exact_value, exact_gradient = reference.LOSSES[name]
    wide_y, wide_p = as_dtype(y, np.float64), p.astype(np.float64)
    values = value(y, p)
    assert values.shape == (150,) and values.dtype == np.float64
    assert_close(values, exact_value(wide_y, wide_p), "loss", dtype)
    assert gradient(y, p).dtype == dtype
    assert_close(gradient(y, p), exact_gradient(wide_y, wide_p), "loss", dtype)


@every_loss
def test_gradient_matches_finite_differences(name):
    rng = np.random.default_rng(1)
    y, p = targets(name, (6, 4), rng), predictions(name, (6, 4), rng)
    value, gradient = both(name)
    assert_close(gradient(y, p), reference.central_differences(lambda: value(y, p).sum(), p, STEP), "difference")


@every_dtype
@every_loss
@pytest.mark.parametrize("size", [100., 1e4])
def test_saturated_predictions_give_the_exact_value(name, size, dtype):
    """Logits of +-size; probabilities of 0 and 1, at the ends of the clip."""
    signs = np.array([[1, -1, -1], [-1, 1, 1], [-1, -1, 1]], dtype)
    probabilities = "crossentropy" in name and not name.endswith("_logits")
    p = (signs + 1) / 2 if probabilities else signs * dtype(size)
    y = np.array([1, 0, 2]) if name.startswith("sparse") else np.eye(3, dtype=dtype)[[1, 0, 2]]
    value, gradient = both(name)
    exact_value, exact_gradient = reference.LOSSES[name]
    wide_y, wide_p = as_dtype(y, np.float64), p.astype(np.float64)
    assert np.isfinite(value(y, p)).all() and np.isfinite(gradient(y, p)).all()
    assert_close(value(y, p), exact_value(wide_y, wide_p), "loss", dtype)
    assert_close(gradient(y, p), exact_gradient(wide_y, wide_p), "loss", dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy"])
def test_probabilities_beyond_the_clip_have_no_gradient(name, dtype):
    """The value is that of the ends of the clip, as in Keras; the gradient of a constant is 0."""
    p = np.array([[1e-9, 1 - 1e-9]], np.float64).astype(dtype)
    y = np.array([[1, 0]], dtype)
    value, gradient = both(name)
    low, high = 1e-7, 1 - 1e-7
    expected = -np.log(low) if name == "categorical_crossentropy" else -(np.log(low) + np.log(1 - high)) / 2
    assert_close(value(y, p), [expected], "loss", dtype)
    np.testing.assert_array_equal(gradient(y, p), [[0, 0]])


@every_loss
def test_any_rank_is_reduced_over_the_last_axis(name):
    rng = np.random.default_rng(2)
    y, p = targets(name, (2, 3, 4, 5), rng), predictions(name, (2, 3, 4, 5), rng)
    value, gradient = both(name)
    flat = y.reshape(24) if name.startswith("sparse") else y.reshape(24, 5)
    assert value(y, p).shape == (2, 3, 4)
    np.testing.assert_array_equal(value(y, p).reshape(24), value(flat, p.reshape(24, 5)))
    assert gradient(y, p).shape == p.shape
    np.testing.assert_array_equal(gradient(y, p).reshape(24, 5), gradient(flat, p.reshape(24, 5)))
    one = (y[0, 0, 0], p[0, 0, 0])
    assert value(*one).shape == ()
    np.testing.assert_array_equal(value(*one), value(y, p)[0, 0, 0])


@every_loss
def test_memory_layout_changes_no_bit(name):
    rng = np.random.default_rng(3)
    y, p = targets(name, (30, 5), rng), predictions(name, (30, 5), rng)
    value, gradient = both(name)
    backwards_y, backwards_p = y[::-1].copy()[::-1], np.asfortranarray(p[::-1, ::-1])[::-1, ::-1]
    backwards_y.flags.writeable = backwards_p.flags.writeable = False
    np.testing.assert_array_equal(value(backwards_y, backwards_p), value(y, p))
    np.testing.assert_array_equal(gradient(backwards_y, backwards_p), gradient(y, p))


@every_loss
def test_no_rows_have_no_values(name):
    value, gradient = both(name)
    y = np.empty(0, np.int64) if name.startswith("sparse") else np.empty((0, 3))
    assert value(y, np.empty((0, 3))).shape == (0,)
    assert gradient(y, np.empty((0, 3))).shape == (0, 3)


@every_class
def test_no_rows_have_loss_zero(loss):
    y = np.empty(0, np.int64) if loss._sparse else np.empty((0, 3))
    assert loss(y, np.empty((0, 3))) == 0
    assert loss.gradient(y, np.empty((0, 3))).shape == (0, 3)


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


LABEL_DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4"]


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("dtype", LABEL_DTYPES)
def test_labels_may_have_any_dtype_that_holds_integers(dtype, from_logits):
    p = np.random.default_rng(4).uniform(0.1, 0.9, (20, 5))
    labels = np.arange(20) % 5
    expected = F.sparse_categorical_crossentropy(labels, p, from_logits=from_logits)
    np.testing.assert_array_equal(F.sparse_categorical_crossentropy(labels.astype(dtype), p, from_logits=from_logits),
                                  expected)
    column = labels.astype(dtype)[:, None]
    np.testing.assert_array_equal(F.sparse_categorical_crossentropy(column, p, from_logits=from_logits), expected)


def test_labels_may_be_booleans():
    p = np.random.default_rng(5).uniform(0.1, 0.9, (6, 2))
    labels = np.arange(6) % 2
    np.testing.assert_array_equal(F.sparse_categorical_crossentropy(labels == 1, p),
                                  F.sparse_categorical_crossentropy(labels, p))
    np.testing.assert_array_equal(F.binary_crossentropy((labels == 1)[:, None], p[:, :1]),
                                  F.binary_crossentropy(labels[:, None], p[:, :1]))


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0, 0.5], [0, np.nan], [0, np.inf], [[0, 1, 0], [1, 0, 0]], [0],
                                    0])
def test_labels_that_are_none_are_an_error(labels):
    with pytest.raises(ValueError, match="y_true must hold"):
        F.sparse_categorical_crossentropy(labels, [[.2, .3, .5], [.2, .3, .5]])


@every_class
def test_weights_multiply_values_and_the_mean_counts_rows(loss):
    rng = np.random.default_rng(6)
    name = core_name(loss)
    y, p = targets(name, (12, 3), rng), predictions(name, (12, 3), rng)
    weights = rng.uniform(0, 2, 12)
    values, gradients = reference.LOSSES[name][0](y, p), reference.LOSSES[name][1](y, p)
    assert_close(loss(y, p), values.sum() / 12, "loss")
    assert_close(loss(y, p, sample_weight=weights), (values * weights).sum() / 12, "loss")
    assert_close(loss(y, p, sample_weight=weights[:, None]), (values * weights).sum() / 12, "loss")
    assert_close(loss(y, p, sample_weight=3), 3 * values.sum() / 12, "loss")
    assert_close(loss.gradient(y, p), gradients / 12, "loss")
    assert_close(loss.gradient(y, p, sample_weight=weights), gradients * weights[:, None] / 12, "loss")


@every_class
def test_weights_of_any_rank_belong_to_samples(loss):
    rng = np.random.default_rng(7)
    name = core_name(loss)
    y, p, weights = targets(name, (4, 5, 3), rng), predictions(name, (4, 5, 3), rng), rng.uniform(0, 2, (4, 5))
    flat = y.reshape(20) if loss._sparse else y.reshape(20, 3)
    assert_close(loss(y, p, weights), loss(flat, p.reshape(20, 3), weights.reshape(20)), "loss")
    expected = loss.gradient(flat, p.reshape(20, 3), weights.reshape(20))
    assert_close(loss.gradient(y, p, weights).reshape(20, 3), expected, "loss")


@every_class
@pytest.mark.parametrize("weights", [np.ones(3), np.ones((4, 3)), np.ones((1, 4))])
def test_weights_of_a_wrong_shape_are_an_error(loss, weights):
    y = np.zeros(4, int) if loss._sparse else np.zeros((4, 3))
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        loss(y, np.full((4, 3), 0.5), sample_weight=weights)


@every_class
@pytest.mark.parametrize("y_shape, p_shape", [((3, 3), (4, 3)), ((4, 2), (4, 3)), ((12,), (4, 3)), ((4, 3), (2, 2, 3)),
                                              ((3,), ())])
def test_shapes_that_do_not_fit_are_an_error(loss, y_shape, p_shape):
    with pytest.raises(ValueError, match="must"):
        loss(np.zeros(y_shape, int), np.full(p_shape, 0.5))


@every_class
def test_integer_predictions_become_float(loss):
    y = np.array([1, 0]) if loss._sparse else np.array([[0, 1], [1, 0]])
    p = np.array([[1, 2], [3, 4]])
    assert loss(y, p) == loss(y, p.astype(float))


@every_class
def test_name_and_repr_lead_back_to_the_loss(loss):
    assert losses.get(loss) is loss
    assert eval(repr(loss), vars(losses)) == loss
    assert losses.get(type(loss).__name__) == type(loss)()


def test_loss_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    z, labels = 5 * rng.standard_normal((40, 6)), rng.integers(0, 6, 40)
    tensor = torch.tensor(z, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(tensor, torch.tensor(labels))
    loss.backward()
    ours = losses.SparseCategoricalCrossentropy(from_logits=True)
    assert_close(ours(labels, z), loss.item(), "loss")
    assert_close(ours.gradient(labels, z), tensor.grad.numpy(), "loss")
