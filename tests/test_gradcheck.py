"""gradcheck finds what is wrong with a gradient, and nothing where it is right."""
import copy
import pickle

import numpy as np
import pytest
import reference

import nnfast
from nnfast import losses
from nnfast._core import network as core
from nnfast._differences import row_mismatch
from nnfast.gradcheck import gradcheck
from nnfast.layers import Activation, Dense, Flatten, Input

CROSSENTROPIES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")
LOSSES = {name: losses.get(name) for name in ("mean_squared_error", "mean_absolute_error", *CROSSENTROPIES)}
# The other losses are checked in test_losses.py.
LOSSES |= {f"{name}_logits": type(LOSSES[name])(from_logits=True) for name in CROSSENTROPIES}
every_loss = pytest.mark.parametrize("name", LOSSES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def data_of(name, shape=(6, 4), seed=0):
    """y_true and y_pred of the kind that a loss takes."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(shape)
    p = z if name.endswith("_logits") or name.startswith("mean") else reference.softmax(z)
    labels = rng.integers(0, shape[-1], shape[:-1])
    if name.startswith("sparse"):
        return labels, p
    return rng.standard_normal(shape) if name.startswith("mean") else np.eye(shape[-1])[labels], p


def reference_of(name):
    """Value and gradient of the reference as two functions."""
    options = {"from_logits": True} if name.endswith("_logits") else {}
    loss = reference.LOSSES[name.removesuffix("_logits")]
    return lambda y, p: loss(y, p, **options)[0], lambda y, p: loss(y, p, **options)[1]


def squared(y, p):
    return ((p - y) ** 2).sum(axis=-1), 2 * (p - y)


def model_of(layers, loss="mse", dtype="float32", optimizer="adam"):
    model = nnfast.Sequential(layers, dtype=dtype, seed=3)
    model.compile(optimizer, loss)
    return model


# -- right gradients -------------------------------------------------------------------------------

@every_loss
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (6, 4), (2, 3, 4), (1, 1), (2, 1, 2, 3)])
def test_gradient_of_every_loss_passes(name, shape, weighted):
    y, p = data_of(name, shape)
    weights = np.random.default_rng(1).uniform(0, 3, shape[:-1]) if weighted else None
    report = gradcheck(LOSSES[name], y, p, weights, verbose=False)
    assert report and report.n_checked == p.size and report.worst_relative < 1e-6


@every_loss
def test_gradient_of_every_reference_loss_passes(name):
    value, gradient = reference_of(name)
    y, p = data_of(name)
    assert gradcheck(lambda y, p: (value(y, p), gradient(y, p)), y, p, np.arange(6), verbose=False)
    for dtype in ("float32", "float64"):
        assert row_mismatch(lambda y, p: (value(y, p), gradient(y, p)), y, p, dtype) is None


def test_smooth_gradients_are_verified_to_eight_digits():
    point = np.random.default_rng(0).standard_normal(50)
    for value, gradient in [(np.sin, np.cos), (np.exp, np.exp), (lambda x: x**5, lambda x: 5 * x**4),
                            (np.arctan, lambda x: 1 / (1 + x * x))]:
        assert gradcheck((value, gradient), point, rtol=1e-8, verbose=False)
        assert not gradcheck((value, lambda x, gradient=gradient: gradient(x) * (1 + 3e-8)), point, rtol=1e-8,
                             verbose=False)


@pytest.mark.parametrize("scale", [1e-9, 1, 1e9])
def test_tolerance_follows_the_scale_of_the_problem(scale):
    y, p = scale * np.random.default_rng(0).standard_normal((2, 4, 3))
    assert gradcheck(squared, y, p, verbose=False)
    assert gradcheck(lambda y, p: [scale * part for part in squared(y, p)], y, p, verbose=False)
    assert not gradcheck(lambda y, p: (scale * squared(y, p)[0], scale * 1.001 * squared(y, p)[1]), y, p, verbose=False)


@pytest.mark.parametrize("subject", ["mse", losses.MeanSquaredError, losses.MeanSquaredError(),
                                     nnfast.functional.mean_squared_error])
def test_every_way_to_name_a_loss_is_taken(subject):
    assert gradcheck(subject, [[1, 2]], [[3, 5]], verbose=False).n_checked == 2


class _Unreduced(losses.Loss):
    """Weighted values, and the gradient of their sum."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        return sample_weight * ((y_true - y_pred) ** 2).sum(axis=-1)

    def gradient(self, y_true, y_pred, sample_weight=None):
        return 2 * (y_pred - y_true) * np.asarray(sample_weight)[..., None]


def test_values_that_are_an_array_are_summed():
    y, p = data_of("mean_squared_error", (2, 3, 4))
    assert gradcheck(_Unreduced(), y, p, np.arange(6.).reshape(2, 3), verbose=False)
    assert gradcheck(_Unreduced(), y, p, sample_weight=np.ones((2, 3)), verbose=False)


def test_a_pair_of_functions_of_any_rank_passes():
    assert gradcheck((np.sin, np.cos), 0.3, verbose=False).place == ()
    assert gradcheck((lambda x: (x**3).sum(), lambda x: 3 * x**2), np.arange(24).reshape(2, 3, 4), verbose=False)
    empty = gradcheck((np.sum, np.ones_like), np.zeros((0, 3)), verbose=False)
    assert empty and empty.n_checked == 0 and empty.place is None and "right" in repr(empty)


def test_a_function_that_writes_to_its_arguments_does_no_harm():
    def greedy(y, p):
        value = ((p - y) ** 2).sum(axis=-1)
        p -= y
        p *= 2
        return value, p

    y, p = np.zeros((2, 3)), np.ones((2, 3))
    assert gradcheck(greedy, y, p, verbose=False) and row_mismatch(greedy, y, p) is None
    np.testing.assert_array_equal(p, 1)


# -- wrong gradients -------------------------------------------------------------------------------

def changed(change):
    def loss(y, p):
        values, gradient = squared(y, p)
        return values, change(gradient.copy())
    return loss


def one_entry(gradient):
    gradient[2, 1] += 0.01
    return gradient


@pytest.mark.parametrize("change, n_wrong", [
    (np.negative, 16), (lambda g: g / 2, 16), (lambda g: g * 2, 16), (lambda g: g * (1 + 1e-5), 16),
    (one_entry, 1), (lambda g: g.T, 12), (np.zeros_like, 16),
])
def test_wrong_gradients_are_counted(change, n_wrong):
    y, p = np.random.default_rng(0).standard_normal((2, 4, 4))
    report = gradcheck(changed(change), y, p, verbose=False)
    assert not report and report.n_wrong == n_wrong
    place, given, quotient, off = report.entries[0]
    expected = squared(y, p)[1]
    assert place == report.place and off == report.worst_absolute
    wrong = change(expected.copy())
    assert given == wrong[place] and quotient == pytest.approx(expected[place], rel=1e-8)
    assert off == pytest.approx(np.abs(wrong - expected).max(), rel=1e-5)


def test_the_wrong_entry_is_named_with_its_size():
    y, p = np.zeros((4, 4)), np.ones((4, 4))
    report = gradcheck(changed(one_entry), y, p, verbose=False)
    assert report.place == (2, 1) and report.worst_absolute == pytest.approx(0.01)
    assert report.worst_relative == pytest.approx(0.01 / 2.01, rel=1e-3)
    assert str(report).splitlines()[2].split() == ["(2,", "1)", "2.01", "2", "0.01"]


def test_a_small_wrong_entry_comes_before_large_ones_that_are_right():
    report = gradcheck((lambda x: np.array([1e12 * x[0] ** 4, x[1] ** 2]),
                        lambda x: np.array([4e12 * x[0] ** 3, -2 * x[1]])), [3., 1.], atol=0, verbose=False)
    assert report.n_wrong == 1 and report.place == (1,) and report.worst_absolute > 4


@every_dtype
def test_a_gradient_that_goes_on_where_the_value_is_flat_is_found(dtype):
    """The hinge loss without its mask."""
    y, p = np.ones((4, 2)), np.array([[0.5, 3], [2, 0], [-1, 0.2], [5, 4]])

    def loss(y, p):
        return np.maximum(1 - y * p, 0).sum(axis=1) + 1, -y.astype(p.dtype)

    assert gradcheck(loss, y, p, verbose=False).n_wrong == 4
    found = row_mismatch(loss, y, p, dtype)
    assert found == "the gradient of row 0, column 1 is -1.0, but central differences give 0.0"


def test_a_missing_weight_is_found():
    class Forgets(losses.MeanSquaredError):
        def gradient(self, y_true, y_pred, sample_weight=None):
            return super().gradient(y_true, y_pred)

    y, p = data_of("mean_squared_error")
    report = gradcheck(Forgets(), y, p, [1, 1, 1, 3, 1, 1], verbose=False)
    assert report.n_wrong == 4 and report.place[0] == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_wrong(bad):
    def loss(y, p):
        values, gradient = squared(y, p)
        gradient[1, 2] = bad
        return values, gradient

    report = gradcheck(loss, np.zeros((3, 3)), np.ones((3, 3)), verbose=False)
    assert report.n_wrong == 1 and report.place == (1, 2) and report.worst_absolute == np.inf
    for dtype in ("float32", "float64"):
        assert row_mismatch(loss, np.zeros((3, 3)), np.ones((3, 3)), dtype) == \
            f"the gradient of row 1, column 2 is {bad}, but central differences give 2.0"


def test_a_value_that_is_nowhere_finite_is_reported_and_does_not_crash():
    report = gradcheck((lambda x: x * np.nan, lambda x: x), [1., 2.], verbose=False)
    assert report.n_wrong == 2 and "nan" in str(report)
    assert row_mismatch(lambda y, p: (p[:, 0] * np.nan, p), np.zeros((2, 1)), np.ones((2, 1))) is None


# -- kinks, clips and edges ------------------------------------------------------------------------

@pytest.mark.parametrize("given, right", [(-1, True), (-0.3, True), (0, True), (1, True), (1.5, False), (-2, False),
                                          (np.nan, False)])
def test_a_subgradient_is_right_at_a_kink(given, right):
    report = gradcheck((lambda x: np.abs(x - 2), lambda x: np.full(x.shape, float(given))), [2.], verbose=False)
    assert bool(report) == right and report.n_kinks == 1

    def call(y, p):
        return np.abs(p - y)[:, 0] + 3 * p[:, 1], np.full(p.shape, [given, 3], p.dtype)

    for dtype in ("float32", "float64"):
        assert (row_mismatch(call, np.full((1, 1), 2.), np.full((1, 2), 2.), dtype) is None) == right


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-9])
def test_beside_a_kink_only_the_slope_of_that_side_is_right(distance):
    for sign in (-1, 1):
        for given in (-1., 0., 1.):
            report = gradcheck((lambda x: np.abs(x - 2), lambda x, given=given: np.full(x.shape, given)),
                               [2 + sign * distance], verbose=False)
            assert bool(report) == (given == sign) and report.n_kinks == 0


def test_curvature_is_no_kink():
    for value, derivative in [(lambda x: 1e6 * x * x, lambda x: 2e6 * x), (np.cosh, np.sinh),
                              (lambda x: x**4, lambda x: 4 * x**3)]:
        points = np.array([0., 1e-6, 1., 3.])
        assert gradcheck((value, derivative), points, verbose=False).n_kinks == 0
        assert not gradcheck((value, lambda x, derivative=derivative: derivative(x) + 0.01), points[2:],
                             verbose=False, rtol=1e-9)


@pytest.mark.parametrize("y", [0, 0.3, 1])
def test_clipped_probabilities_pass(y):
    p = np.array([[0, 1, 1e-7, 1 - 1e-7, 2e-7, 1e-6, 1 - 1e-6, 1e-12, 1e-3, 0.5]])
    assert gradcheck("bce", np.full(p.T.shape, float(y)), p.T, verbose=False)
    report = gradcheck("bce", np.full(p.shape, float(y)), p, verbose=False)
    assert report and report.n_kinks <= 2
    loss = losses.BinaryCrossentropy()
    assert not gradcheck((lambda p: loss(np.full(p.shape, float(y)), p),
                          lambda p: 1.01 * loss.gradient(np.full(p.shape, float(y)), p)), p, verbose=False)


def test_clipped_rows_of_probabilities_pass():
    p = [[0, 0.5, 0.5], [1, 0, 0], [1e-6, 1 - 1e-6, 0], [1e-3, 0.9, 0.1]]
    assert gradcheck("sparse_categorical_crossentropy", [0, 1, 0, 2], p, verbose=False)
    assert gradcheck("categorical_crossentropy", np.eye(3)[[0, 1, 0, 2]], p, verbose=False)


def test_mean_absolute_error_passes_where_prediction_and_truth_meet():
    report = gradcheck("mae", np.ones((2, 3)), [[1, 2, 1], [1 - 1e-9, 1 + 1e-6, 1]], verbose=False)
    assert report and report.n_kinks == 3


def test_singularities_and_edges_of_the_domain_pass():
    assert gradcheck((np.log, lambda x: 1 / x), [1e-20, 1e-12, 1e-3, 1, 1e9], verbose=False)
    assert not gradcheck((lambda x: np.log(x).sum(), lambda x: 1.01 / x), [1e-12], verbose=False)
    on_one_side = (lambda x: np.where(x < 0, np.nan, x * x + 3 * x), lambda x: 2 * x + 3)
    assert gradcheck(on_one_side, [0., 1e-9, 1e-3, 1], verbose=False)
    assert not gradcheck((on_one_side[0], lambda x: 2 * x - 3), [0.], verbose=False)


# -- models ----------------------------------------------------------------------------------------

@every_dtype
@pytest.mark.parametrize("activation", core.ACTIVATIONS)
def test_gradient_of_a_model_passes(activation, dtype):
    model = model_of([Input(3), Dense(4, activation), Activation("tanh"), Dense(3, use_bias=False),
                      Dense(2, activation)], dtype=dtype)
    x, y = data_of("mean_squared_error", (7, 3))[1], np.random.default_rng(1).standard_normal((7, 2))
    report = gradcheck(model, x, y, verbose=False)
    assert report and report.n_checked == model.count_params() == 36 and report.place.startswith("layer ")
    assert gradcheck(model, x, y, sample_weight=np.arange(7), verbose=False)


@every_loss
def test_gradient_of_a_model_passes_for_every_loss(name):
    last = "linear" if "logits" in name or "mean" in name else "softmax"
    model = model_of([Input(3), Dense(4, "relu"), Dense(3, last)], LOSSES[name])
    y, x = data_of(name, (7, 3))
    assert gradcheck(model, x, y, np.arange(7), verbose=False)


def test_hidden_units_at_a_kink_pass():
    model = model_of([Input(3), Dense(4, "relu"), Dense(1)])
    report = gradcheck(model, np.zeros((2, 3)), np.ones((2, 1)), verbose=False)
    assert report and report.n_kinks == 4


def test_images_and_labels_pass():
    model = model_of([Flatten(), Dense(3, "softmax")], "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 3), np.uint8) / 255
    assert gradcheck(model, images, [0, 1, 2, 1, 0], verbose=False)


@every_dtype
def test_the_model_and_its_optimizer_stay_as_they_were(dtype):
    x, y = data_of("mean_squared_error", (20, 3))
    model = model_of([Dense(4, "tanh"), Dense(3)], dtype=dtype)
    model.fit(x, y, epochs=2, verbose=0)
    before, twin = pickle.dumps(model), copy.deepcopy(model)
    slots, grads = np.array(model._network.slots), np.array(model._network.grads)
    gradcheck(model, x, y, verbose=False)
    assert pickle.dumps(model) == before
    np.testing.assert_array_equal(model._network.slots, slots)
    np.testing.assert_array_equal(model._network.grads, grads)
    for each in (model, twin):
        each.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.params, twin.params)


def test_an_optimizer_that_was_changed_since_compile_keeps_its_state():
    x, y = data_of("mean_squared_error", (20, 3))
    model = model_of([Dense(3)], optimizer=nnfast.optimizers.SGD(momentum=0.9))
    model.fit(x, y, verbose=0)
    slots = np.array(model._network.slots)
    model.optimizer.momentum = 0.0
    gradcheck(model, x, y, verbose=False)
    np.testing.assert_array_equal(model._network.slots, slots)
    assert slots.any()


def test_a_model_that_is_not_built_stays_so_and_gets_the_same_weights_later():
    x, y = data_of("mean_squared_error", (20, 3))
    model, other = model_of([Dense(4), Dense(3)]), model_of([Dense(4), Dense(3)])
    assert gradcheck(model, x, y, verbose=False) and not model.built
    for each in (model, other):
        each.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.params, other.params)


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(RuntimeError, match="must be compiled first"):
        gradcheck(nnfast.Sequential([Dense(2)]), np.ones((2, 2)), np.ones((2, 2)))


class _Wrong(nnfast.Sequential):
    """Gives a gradient with one wrong element."""

    def loss_and_gradients(self, x, y, sample_weight=None):
        loss, gradients = super().loss_and_gradients(x, y, sample_weight)
        gradients[2][1, 0] += 1
        gradients[3][1] = -gradients[3][1]
        return loss, gradients


def test_wrong_entries_of_a_model_are_named_by_layer_and_array():
    model = _Wrong([Input(3), Activation("tanh"), Dense(4, "tanh"), Dense(2)], seed=0)
    model.compile("sgd", "mse")
    report = gradcheck(model, np.ones((2, 3)), np.ones((2, 2)), verbose=False)
    assert {place for place, *_ in report.entries[:2]} == {"layer 1 kernel [1, 0]", "layer 1 bias [1]"}
    assert report.n_wrong == 2
    assert "layer 1 kernel [1, 0]" in str(report)


def test_a_large_model_is_sampled_over_all_its_arrays():
    model = model_of([Input(50), Dense(40, "relu"), Dense(20, "tanh"), Dense(5)])
    x, y = np.random.default_rng(0).standard_normal((4, 50)), np.zeros((4, 5))
    report = gradcheck(model, x, y, max_entries=300, verbose=False)
    assert report and report.n_checked == 300 and "300 entries checked (of 2965)" in str(report)
    assert repr(report) == repr(gradcheck(model, x, y, max_entries=300, verbose=False))
    assert gradcheck(model, x, y, max_entries=1, verbose=False).n_checked == 1


def test_a_sample_takes_small_arrays_whole_and_names_its_places_right():
    sizes = (2000, 40, 3)
    entries = gradcheck.__globals__["_sample"](sizes, 300, np.random.default_rng(0))
    assert len(set(entries)) == 300 and set(range(2000, 2043)) <= set(entries) and max(entries) < 2043
    def zero(x):
        return 0 * x.sum()

    report = gradcheck((zero, np.ones_like), np.zeros((50, 100)), max_entries=20, verbose=False)
    assert report.n_wrong == 20 and len({place for place, *_ in report.entries}) == 10
    assert gradcheck((zero, np.zeros_like), np.zeros(5000), max_entries=None, verbose=False).n_checked == 5000


# -- printing and errors ---------------------------------------------------------------------------

def test_the_report_is_printed(capsys):
    report = gradcheck(changed(np.negative), np.zeros((4, 4)), np.ones((4, 4)))
    lines = capsys.readouterr().out.splitlines()
    assert "\n".join(lines) == str(report) == repr(report)
    assert lines[0] == "the gradient is wrong at 16 of 16 entries checked (of 16)"
    assert lines[1].split("   ")[-1].strip() == "off by" and len(lines) == 13 and lines[-1] == "  and 6 more"
    assert lines[2].split() == ["(0,", "0)", "-2", "2", "4"]
    assert gradcheck(squared, np.zeros((2, 2)), np.ones((2, 2)))
    assert capsys.readouterr().out.startswith("the gradient is right: 4 entries checked (of 4); off by ")
    gradcheck("mae", [[1.]], [[1.]])
    assert "1 entry checked (of 1), 1 at kinks" in capsys.readouterr().out
    gradcheck(squared, np.zeros((2, 2)), np.ones((2, 2)), verbose=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error, message, arguments, options", [
    (TypeError, "subject must be a loss, a model or a pair of functions", (3, [1.], [1.]), {}),
    (TypeError, "subject must be a loss", ((np.sin,), 0.), {}),
    (TypeError, "gradcheck takes y_true, y_pred and optionally sample_weight after the subject; got 1 arrays",
     ("mse", [1.]), {}),
    (TypeError, "gradcheck takes point after the subject; got 2 arrays", ((np.sin, np.cos), 0., 1.), {}),
    (TypeError, "gradcheck takes point after the subject", ((np.sin, np.cos), 0.), {"sample_weight": 1}),
    (ValueError, "Did you mean", ("mean_squared_eror", [1.], [1.]), {}),
    (ValueError, r"must have the shape of its variables, \(2, 3\); got \(3, 2\)",
     ((np.sum, np.transpose), np.ones((2, 3))), {}),
    (ValueError, r"the values must have shape \(2,\)", (lambda y, p: (1., p), np.ones((2, 3)), np.ones((2, 3))), {}),
    (ValueError, r"sample_weight must have shape \(2,\)", (squared, np.ones((2, 3)), np.ones((2, 3)), np.ones(3)), {}),
    (ValueError, "rtol must be at least 0", ("mse", [1.], [1.]), {"rtol": -1}),
    (ValueError, "max_entries must be", ("mse", [1.], [1.]), {"max_entries": 0}),
])
def test_what_does_not_fit_is_refused(error, message, arguments, options):
    with pytest.raises(error, match=message):
        gradcheck(*arguments, **options, verbose=False)


# -- row_mismatch ----------------------------------------------------------------------------------

@every_dtype
@pytest.mark.parametrize("change", [np.negative, lambda g: g / 2, lambda g: g * 2, np.zeros_like,
                                    lambda g: g / g.shape[-1], lambda g: 1.5 * g])
@every_loss
def test_a_wrong_custom_loss_is_told(name, change, dtype):
    y, p = data_of(name, (30, 5))
    value, gradient = reference_of(name)
    assert row_mismatch(lambda y, p: (value(y, p), change(gradient(y, p))), y, p, dtype) is not None


@every_dtype
def test_a_mismatch_names_place_and_size(dtype):
    def loss(y, p):
        values, gradient = squared(y, p)
        assert p.dtype == dtype and len(p) == len(y) <= 8
        gradient[3, 1] /= 2
        return values, gradient

    y, p = np.zeros((20, 3)), np.ones((20, 3))
    p[3, 1] = 2
    message, quotient = row_mismatch(loss, y, p, dtype).rsplit(" ", 1)
    assert message == "the gradient of row 3, column 1 is 2.0, but central differences give"
    assert quotient == "4.0" if dtype == "float64" else abs(float(quotient) - 4) < 1e-3


@every_dtype
def test_many_columns_cost_few_calls(dtype):
    calls = []

    def loss(y, p):
        calls.append(p.shape)
        return squared(y, p)

    assert row_mismatch(loss, np.zeros((100, 900)), np.random.default_rng(0).standard_normal((100, 900)), dtype) is None
    assert set(calls) == {(8, 900)} and len(calls) <= 9 + 4 * 16
    assert row_mismatch(changed(np.negative), np.zeros((100, 900)), np.ones((100, 900)), dtype) is not None


@every_dtype
def test_no_right_loss_is_blamed_where_float_is_coarse(dtype):
    """Confident rows, tiny probabilities, large values: differences have few correct digits."""
    rng = np.random.default_rng(0)

    def logits(y, z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return z.max(axis=1) + np.log(e.sum(axis=1)) - (y * z).sum(axis=1), p - y

    def log(y, p):
        return -(y * np.log(p)).sum(axis=1), -y / p

    for scale in (1e-3, 1, 10, 100):
        for _ in range(10):
            z = scale * rng.standard_normal((8, 6))
            y = np.eye(6)[z.argmax(axis=1)].astype(dtype)
            assert row_mismatch(logits, y, z, dtype) is None
            labels = np.eye(6, dtype=dtype)[rng.integers(0, 6, 8)]
            assert row_mismatch(log, labels, np.clip(reference.softmax(z), 1e-12, 1), dtype) is None
            assert row_mismatch(squared, y + 1e4 * scale, z, dtype) is None
            assert row_mismatch(lambda y, p: (np.abs(p - y).mean(axis=1), np.sign(p - y) / 6),
                                y.round(), z.round(), dtype) is None


def test_what_a_loss_raises_passes_through_and_no_rows_are_fine():
    def loss(y, p):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        row_mismatch(loss, np.ones((2, 1)), np.ones((2, 1)))
    assert row_mismatch(loss, np.ones((0, 1)), np.ones((0, 1))) is None


def test_labels_reach_a_custom_loss_as_integers():
    def loss(y, p):
        assert y.dtype.kind == "i"
        rows = np.arange(len(y))
        gradient = np.zeros_like(p)
        gradient[rows, y] = -1 / p[rows, y]
        return -np.log(p[rows, y]), gradient

    y, p = data_of("sparse_categorical_crossentropy")
    assert gradcheck(loss, y, p, verbose=False)
    assert row_mismatch(loss, y, p) is None and row_mismatch(loss, y, p, "float32") is None


@every_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_not_finite_do_not_crash(bad, dtype):
    p = np.array([[1, bad], [2, 3]])
    assert not gradcheck(squared, np.zeros((2, 2)), p, verbose=False)
    row_mismatch(squared, np.zeros((2, 2)), p, dtype)
