"""Losses in training: the same steps as PyTorch, users' losses, whole batches, reductions."""
import numpy as np
import pytest
from loss_cases import CASES, LOGITS, SMOOTHING, Case, ramp, squared_error
from tolerances import assert_close

import nnfast
from nnfast import losses, optimizers
from nnfast.gradcheck import gradcheck
from nnfast.layers import Dense, Input

ROWS, INPUTS, TARGETS = 40, 5, 3
pytestmark = pytest.mark.filterwarnings("ignore:.* needs (predictions|a last layer):UserWarning")
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture
def peer(torch):
    """torch with `train`: SGD on the layers of `model_of`; returns weights and losses of the steps.

    The loss is a function (rows, outputs) -> number.
    """
    last = {"linear": lambda z: z, "sigmoid": torch.sigmoid, "softmax": lambda z: torch.softmax(z, -1),
            "softplus": lambda z: torch.nn.functional.softplus(z, threshold=700)}

    def train(model, x, loss, activation="linear", rate=0.05, batch_size=ROWS, epochs=20):
        weights, values = [torch.tensor(w, requires_grad=True) for w in model.get_weights()], []
        for _ in range(epochs):
            for first in range(0, len(x), batch_size):
                rows = slice(first, first + batch_size)
                z = torch.tanh(torch.tensor(x[rows]) @ weights[0] + weights[1]) @ weights[2] + weights[3]
                value = loss(rows, last[activation](z))
                gradients = torch.autograd.grad(value, weights)
                values.append(value.item())
                with torch.no_grad():
                    for w, gradient in zip(weights, gradients, strict=True):
                        w -= rate * gradient
        return [w.detach().numpy() for w in weights], values

    torch.train = train
    yield torch
    del torch.train


def model_of(loss, units=TARGETS, activation="linear", dtype="float64", rate=0.05):
    model = nnfast.Sequential([Input(INPUTS), Dense(8, "tanh"), Dense(units, activation)], dtype=dtype, seed=0)
    model.compile(optimizers.SGD(rate), loss)
    return model


def data_of(case, rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    y = case.data((rows, TARGETS), rng)[0]
    if case.options.get("ignore_class") == 255:
        y[::3] = 255
    return rng.standard_normal((rows, INPUTS)), y


def assert_weights(model, before, expected, what="peer_training"):
    """The weights are those expected, and differ from those before."""
    assert max(np.abs(w - old).max() for w, old in zip(model.get_weights(), before, strict=True)) > 1e-4
    for actual, w in zip(model.get_weights(), expected, strict=True):
        assert_close(actual, w, what, model.dtype)


# -- against PyTorch -------------------------------------------------------------------------------

@pytest.mark.parametrize("case", CASES, ids=str)
def test_twenty_steps_are_those_of_pytorch(case, peer):
    import torch_losses

    # not the matching activation, after which the loss would read logits
    probabilities = "softmax" if case.name.startswith("binary") else "sigmoid"
    activation = {"probability": probabilities, "positive": "softplus"}.get(case.p, "linear")
    units, rate = case.columns(TARGETS), 1e-4 if case.name == "mean_absolute_percentage_error" else 0.02
    x, y = data_of(case)
    model = model_of(case.loss(units), units, activation, rate=rate)
    before, of_class = model.get_weights(), getattr(torch_losses, case.name)

    def batch(rows, outputs):
        values = of_class(peer.tensor(y[rows]), outputs, **case.chosen(units))
        kept = y[rows] != case.options["ignore_class"] if "ignore_class" in case.options else np.ones(len(values))
        return values.sum() / kept.sum()

    expected, values = peer.train(model, x, batch, activation, rate, batch_size=10, epochs=5)
    history = model.fit(x, y, batch_size=10, epochs=5, shuffle=False, verbose=0)
    assert_weights(model, before, expected)
    assert_close(history.history["loss"], np.mean(np.reshape(values, (5, 4)), axis=1), "peer_training")


@pytest.mark.parametrize("case, activation", [
    (Case(name, y, "probability", options), activation)
    for name, y, activation, every in (
        ("binary_crossentropy", "bits", "sigmoid",
         ({}, SMOOTHING, {"pos_weight": 2.5}, {"pos_weight": ramp(0.5, 3), **SMOOTHING})),
        ("categorical_crossentropy", "shares", "softmax", ({}, SMOOTHING)),
        ("sparse_categorical_crossentropy", "labels", "softmax", ({}, {"ignore_class": 1}, {"ignore_class": 255})))
    for options in every], ids=str)
def test_after_the_matching_activation_training_works_on_logits(case, activation, peer):
    """The logits are large: with probabilities, many gradients would be clipped to 0."""
    import torch_losses

    x, y = data_of(case)
    model = model_of(case.loss(TARGETS), activation=activation, rate=0.5)
    model.set_weights([w * 30 for w in model.get_weights()])
    before, options = model.get_weights(), {**case.chosen(TARGETS), **LOGITS}

    def batch(rows, z):
        values = getattr(torch_losses, case.name)(peer.tensor(y[rows]), z, **options)
        if "ignore_class" in case.options:
            return values.sum() / (y[rows] != case.options["ignore_class"]).sum()
        return values.mean()

    expected, values = peer.train(model, x, batch, rate=0.5)
    history = model.fit(x, y, batch_size=ROWS, epochs=20, shuffle=False, verbose=0)
    assert_weights(model, before, expected)
    assert_close(history.history["loss"], values, "peer_training")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, 1, 255])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"])
def test_reductions_train_as_pytorch_does(reduction, ignored, weighted, peer):
    import torch_losses

    x, y = data_of(Case("sparse_categorical_crossentropy", "labels", "wide", {"ignore_class": ignored}))
    weights = np.random.default_rng(1).uniform(0, 2, ROWS)
    rate = 0.05 / ROWS if reduction == "sum" else 0.05
    model = model_of(losses.SparseCategoricalCrossentropy(True, ignored, reduction=reduction), rate=rate)
    before, kept = model.get_weights(), peer.tensor(1. * (y != ignored))
    w = peer.tensor(weights if weighted else np.ones(ROWS))

    def batch(rows, z):
        values = torch_losses.sparse_categorical_crossentropy(peer.tensor(y), z, True, ignored)
        return (w * values).sum() / {"sum": 1, "mean_with_sample_weight": (w * kept).sum()}.get(reduction, kept.sum())

    expected, values = peer.train(model, x, batch, rate=rate)
    history = model.fit(x, y, batch_size=ROWS, epochs=20, shuffle=False, verbose=0,
                        sample_weight=weights if weighted else None)
    assert_weights(model, before, expected)
    assert_close(history.history["loss"], values, "peer_training")


@pytest.mark.parametrize("axis", [None, 0, (0, 1), (0,), (-1,), 1])
@pytest.mark.parametrize("name, options", [("dice", {}), ("tversky", {"alpha": 0.7, "beta": 0.2})])
def test_losses_of_whole_batches_train_as_pytorch_does(name, options, axis, peer):
    import torch_losses

    x, y = data_of(Case(name, "bits", "probability"))
    loss = losses._CLASSES[name](**options, axis=axis)
    model = model_of(loss, activation="sigmoid", rate=0.5)
    before = model.get_weights()

    def batch(rows, p):
        return getattr(torch_losses, name)(peer.tensor(y[rows]), p, **options, axis=axis).mean()

    expected, values = peer.train(model, x, batch, "sigmoid", rate=0.5, batch_size=10, epochs=5)
    history = model.fit(x, y, batch_size=10, epochs=5, shuffle=False, verbose=0)
    assert_weights(model, before, expected)
    assert_close(history.history["loss"], np.mean(np.reshape(values, (5, 4)), axis=1), "peer_training")
    assert_close(model.evaluate(x, y, batch_size=ROWS, verbose=0), loss(y, model.predict(x)), "peer_training")
    assert gradcheck(model, x, y)


# -- losses of your own ----------------------------------------------------------------------------

def trained(loss, dtype, rows=81, batch_size=20, epochs=5, **options):
    x, y = data_of(Case("mean_squared_error", "real", "wide"), rows)
    model = model_of(loss, dtype=dtype)
    history = model.fit(x.astype(dtype), y.astype(dtype), batch_size=batch_size, epochs=epochs, verbose=0, **options)
    return model, history.history["loss"], (x, y)


@every_dtype
@pytest.mark.parametrize("rows, batch_size", [(81, 20), (20_001, 10_000)])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_a_loss_of_your_own_trains_as_the_built_in_one(own, reduction, rows, batch_size, dtype):
    """A batch of more than 8192 rows is processed in parts."""
    weights = np.random.default_rng(2).uniform(0, 2, rows) / (batch_size if reduction == "sum" else 1)
    model, values, (x, y) = trained(own(dtype, reduction=reduction), dtype, rows, batch_size, sample_weight=weights)
    expected, expected_values, _ = trained(
        losses.MeanSquaredError(reduction=reduction), dtype, rows, batch_size, sample_weight=weights)
    assert_weights(model, model_of("mse", dtype=dtype).get_weights(), expected.get_weights(), "own_loss")
    assert_close(values, expected_values, "own_loss", dtype)
    for call in ("evaluate", "test_on_batch"):
        options = {"verbose": 0} if call == "evaluate" else {}
        assert_close(getattr(model, call)(x, y, sample_weight=weights, **options),
                     getattr(expected, call)(x, y, sample_weight=weights, **options), "own_loss", dtype)


@every_dtype
def test_threads_change_no_bit_of_a_loss_of_your_own(own, dtype):
    one, two = (trained(own(dtype), dtype, 20_001, 10_000, 2, n_threads=n)[0].params.tobytes() for n in (1, 2))
    assert one == two


@pytest.mark.parametrize("axis", [None, -1])
def test_threads_change_no_bit_of_losses_of_whole_batches(axis):
    x, y = data_of(Case("dice", "bits", "probability"), 20_001)
    bits = []
    for n in (1, 2):
        model = model_of(losses.Dice(axis=axis), activation="sigmoid")
        model.fit(x, y, batch_size=10_000, epochs=2, verbose=0, n_threads=n)
        bits.append(model.params.tobytes())
    assert bits[0] == bits[1]


def test_a_batch_longer_than_the_workspace_is_one_for_losses_of_whole_batches(peer):
    import torch_losses

    x, y = data_of(Case("dice", "bits", "probability"), 9000)
    model = model_of(losses.Dice(), activation="sigmoid", rate=0.5)
    before = model.get_weights()

    def batch(rows, p):
        return torch_losses.dice(peer.tensor(y[rows]), p)

    expected, values = peer.train(model, x, batch, "sigmoid", 0.5, 9000, 3)
    history = model.fit(x, y, batch_size=9000, epochs=3, shuffle=False, verbose=0)
    assert_weights(model, before, expected)
    assert_close(history.history["loss"], values, "peer_training")


def test_a_function_given_to_compile_trains():
    model, _, _ = trained(squared_error, "float64")
    expected, _, _ = trained("mse", "float64")
    assert_weights(model, model_of("mse").get_weights(), expected.get_weights(), "own_loss")


def test_user_data_reach_a_c_loss(c_loss):
    model, _, _ = trained(losses.Custom(c_loss(factor=3.)), "float64")
    weights = np.full(81, 3.)
    expected, _, _ = trained("mse", "float64", sample_weight=weights)
    assert_weights(model, model_of("mse").get_weights(), expected.get_weights(), "own_loss")


def test_a_c_loss_of_the_other_dtype_is_refused(c_loss):
    for of_loss, of_model in (("float64", "float32"), ("float32", "float64")):
        with pytest.raises(ValueError, match=f"works in {of_loss}, the model in {of_model}"):
            model_of(losses.Custom(c_loss(dtype=of_loss)), dtype=of_model)


def test_a_function_may_have_more_outputs_than_targets():
    def gaussian(y, p):
        loss = losses.GaussianNLL(reduction="sum")
        return loss.per_sample(y, p), loss.gradient(y, p)

    x, y = data_of(Case("gaussian_nll", "real", "real"))
    own, built_in = model_of(gaussian, 6), model_of("gaussian_nll", 6)
    for model in (own, built_in):
        model.fit(x, y, epochs=3, verbose=0)
    assert_weights(own, model_of("gaussian_nll", 6).get_weights(), built_in.get_weights(), "own_loss")


@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_exception_in_the_middle_of_a_fit_reaches_the_caller_and_keeps_whole_steps(n_threads, dtype):
    calls = []

    def failing(y, p):
        calls.append(len(p))
        if len(calls) == 8:
            raise ZeroDivisionError("on purpose")
        return squared_error(y, p)

    x, y = data_of(Case("mean_squared_error", "real", "wide"), 100)
    model, expected = (model_of(losses.Custom(f, check_gradient=False), dtype=dtype) for f in (failing, squared_error))
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0, n_threads=n_threads)
    expected.fit(x[:70], y[:70], batch_size=10, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.params, expected.params)
    for each in (model, expected):                          # and training goes on
        each.fit(x, y, batch_size=10, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.params, expected.params)


@every_dtype
def test_a_wrong_gradient_is_refused_before_anything_is_trained(dtype):
    def wrong(y, p):
        values, gradient = squared_error(y, p)
        return values, 2 * gradient

    x, y = data_of(Case("mean_squared_error", "real", "wide"))
    model = model_of(wrong, dtype=dtype)
    before = model.params.copy()
    for call in (model.fit, model.train_on_batch, model.loss_and_gradients):
        with pytest.raises(ValueError, match=r"the gradient of Custom\(wrong\) must be the gradient of its values: "
                                             r"the gradient of row \d, column \d is"):
            call(x, y)
        np.testing.assert_array_equal(model.params, before)
    unchecked = model_of(losses.Custom(wrong, check_gradient=False), dtype=dtype)
    unchecked.fit(x, y, epochs=2, verbose=0)
    assert not np.array_equal(unchecked.params, before)


@pytest.mark.parametrize("result, match", [
    (lambda y, p: ((p - y) ** 2, 2 * (p - y)), "values, a number for each row"),
    (lambda y, p: (((p - y) ** 2).sum(axis=1), (p - y)[:, :1]), "a gradient like y_pred"),
    (lambda y, p: ((p - y) ** 2).sum(axis=1), r"must return \(values, gradient\)"),
])
@pytest.mark.parametrize("check_gradient", [True, False])
def test_results_of_wrong_shapes_are_refused_in_a_fit(result, match, check_gradient):
    x, y = data_of(Case("mean_squared_error", "real", "wide"))
    model = model_of(losses.Custom(result, check_gradient=check_gradient))
    before = model.params.copy()
    with pytest.raises(ValueError, match=match):
        model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.params, before)


@every_dtype
def test_values_that_are_not_finite_stop_a_fit(dtype):
    x, y = data_of(Case("mean_squared_error", "real", "wide"))
    loss = losses.Custom(lambda y, p: (np.full(len(p), np.nan), p - y), check_gradient=False)
    model = model_of(loss, dtype=dtype)
    before = model.params.copy()
    with pytest.raises(FloatingPointError, match="the loss became NaN"):
        model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.params, before)


# -- reductions, evaluation, targets ---------------------------------------------------------------

@pytest.mark.parametrize("loss", [
    losses.MeanSquaredError(None), losses.Dice("none"), losses.Custom(squared_error, reduction=None)], ids=repr)
def test_training_needs_one_number(loss):
    with pytest.raises(ValueError, match="training needs one number"):
        model_of(loss)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_is_the_loss_of_the_predictions(case):
    probabilities = "softmax" if case.name.startswith("binary") else "sigmoid"
    activation = {"probability": probabilities, "positive": "softplus"}.get(case.p, "linear")
    units = case.columns(TARGETS)
    x, y = data_of(case, 300)
    weights = np.random.default_rng(3).uniform(0, 2, 300)
    for reduction in ("mean", "sum", "mean_with_sample_weight"):
        loss = case.loss(units, reduction=reduction)
        model = model_of(loss, units, activation)
        for given in (None, weights):
            value = model.evaluate(x, y, batch_size=300, sample_weight=given, verbose=0)
            assert_close(value, loss(y, model.predict(x), given), "own_loss")


REDUCED = {
    "sum": lambda: losses.MeanSquaredError(reduction="sum"), "mean": lambda: losses.MeanSquaredError(),
    "own": lambda: losses.Custom(squared_error, reduction="sum"), "dice": losses.Dice,
    "tversky of columns": lambda: losses.Tversky(axis=0, reduction="sum"),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", REDUCED)
@pytest.mark.parametrize("rows, batch_size", [(70, 16), (70, 32), (20, 32)])
def test_the_losses_of_training_and_validation_are_on_one_scale(rows, batch_size, name, weighted):
    """Both are the mean over batches, weighted by rows.

    A learning rate of 0 keeps the weights; rows are not shuffled.
    """
    x, y = data_of(Case("dice", "bits", "probability"), rows)
    weights = np.random.default_rng(5).uniform(0, 2, rows) if weighted and name != "tversky of columns" else None
    loss = REDUCED[name]()
    model = model_of(loss, activation="sigmoid", rate=0)
    history = model.fit(x, y, batch_size=batch_size, epochs=1, shuffle=False, verbose=0, sample_weight=weights,
                        validation_data=(x, y) if weights is None else (x, y, weights)).history
    p, parts = model.predict(x), [slice(first, first + batch_size) for first in range(0, rows, batch_size)]
    expected = sum(loss(y[part], p[part], None if weights is None else weights[part]) * len(x[part])
                   for part in parts) / rows
    assert_close(history["loss"], [expected], "own_loss")
    assert_close(history["val_loss"], [expected], "own_loss")
    assert_close(model.evaluate(x, y, batch_size=batch_size, sample_weight=weights, verbose=0), expected, "own_loss")
    if batch_size == 32:
        assert_close(model.evaluate(x, y, sample_weight=weights, verbose=0), expected, "own_loss")


@pytest.mark.parametrize("name", ["sum", "dice"])
def test_a_summed_loss_does_not_depend_on_the_slices_of_an_evaluation(name, monkeypatch):
    from nnfast import models

    x, y = data_of(Case("dice", "bits", "probability"), 70)
    model = model_of(REDUCED[name](), activation="sigmoid")
    model.predict(x)
    whole = model.evaluate(x, y, verbose=0)
    monkeypatch.setattr(models, "EVALUATE_ROWS", 9)
    assert_close(model.evaluate(x, y, verbose=0, n_threads=2), whole, "own_loss")


@pytest.mark.parametrize("loss", [
    losses.SparseCategoricalCrossentropy(True, 1),
    losses.SparseCategoricalCrossentropy(True, reduction="mean_with_sample_weight")], ids=repr)
def test_an_evaluation_of_a_mean_over_rows_does_not_depend_on_batches(loss):
    x, y = data_of(Case("sparse_categorical_crossentropy", "labels", "wide", {"ignore_class": None}), 70)
    model, weights = model_of(loss), np.random.default_rng(6).uniform(0, 2, 70)
    values = {model.evaluate(x, y, batch_size=size, sample_weight=weights, verbose=0) for size in (1, 16, 70, None)}
    assert len(values) == 1


@pytest.mark.parametrize("class_weight", [{0: 3, 2: 0.5}, "balanced"], ids=str)
@pytest.mark.parametrize("ignored", [None, 1, 255])
def test_class_weights_in_a_fit_are_those_of_the_loss(ignored, class_weight):
    case = Case("sparse_categorical_crossentropy", "labels", "wide", {"ignore_class": ignored})
    x, y = data_of(case)
    rows = np.random.default_rng(4).uniform(0, 2, ROWS)
    loss = losses.SparseCategoricalCrossentropy(True, ignored)
    model = model_of(loss)
    value, gradients = model.loss_and_gradients(x, y, rows, class_weight)
    p = model.predict(x)
    assert_close(value, loss(y, p, rows, class_weight=class_weight), "loss")
    assert_close(gradients[-1], loss.gradient(y, p, rows, class_weight=class_weight).sum(axis=0), "loss")


def test_margins_read_all_zeros_and_ones_of_a_fit_as_minus_one_and_one():
    """Decided once for all rows, not for each batch: the first two batches of y are all ones."""
    x, y = data_of(Case("hinge", "signs", "real"))
    y[:20] = 1
    models = [model_of("hinge"), model_of("hinge")]
    for model, given in zip(models, (y, (y + 1) / 2), strict=True):
        model.fit(x, given, batch_size=10, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_array_equal(models[0].params, models[1].params)


@pytest.mark.parametrize("given", ["column", "vector", "repeated"])
def test_one_target_trains_several_quantiles(given):
    x, y = data_of(Case("quantile", "real", "wide"))
    model, expected = model_of(losses.Quantile([0.1, 0.5, 0.9])), model_of(losses.Quantile([0.1, 0.5, 0.9]))
    expected.fit(x, np.repeat(y[:, :1], 3, axis=1), epochs=2, verbose=0)
    forms = {"column": y[:, :1], "vector": y[:, 0], "repeated": np.repeat(y[:, :1], 3, axis=1)}
    model.fit(x, forms[given], epochs=2, verbose=0)
    np.testing.assert_array_equal(model.params, expected.params)


# a target that the loss does not allow
BEYOND = {
    "mean_squared_logarithmic_error": -1, "kl_divergence": 255, "poisson": -1, "gamma": 0, "tweedie": -1, "hinge": 2,
    "squared_hinge": 2, "categorical_hinge": 255, "binary_crossentropy": 255, "binary_focal_crossentropy": -1,
    "categorical_crossentropy": 9, "categorical_focal_crossentropy": -1, "dice": 255, "tversky": 255}


@pytest.mark.parametrize("name", [
    name for name, cls in losses._CLASSES.items() if not cls._sparse and cls()._allowed is not losses.REAL])
@pytest.mark.parametrize("given", ["float32", "float64", "int64", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_target_that_the_loss_does_not_allow_is_named_and_its_batch_changes_nothing(name, given, dtype):
    loss, value = losses._CLASSES[name](), BEYOND[name]
    x, good = np.random.default_rng(0).random((50, INPUTS)), np.ones((50, TARGETS))
    good = np.asfortranarray(good)[:, ::-1] if given == "strided" else good.astype(given)
    y = good.copy()
    y[33, 2] = value
    activation = {"poisson": "softplus", "mean_squared_logarithmic_error": "softplus"}.get(name, "sigmoid")
    model, same = (model_of(loss, activation=activation, dtype=dtype) for _ in range(2))
    match = rf"y must .* for {type(loss).__name__}; row 33 holds {value}\b"
    with pytest.raises(ValueError, match=match):
        model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    same.fit(x[:30], good[:30], batch_size=10, shuffle=False, verbose=0)
    assert np.array_equal(model.params, same.params)
    for call in (lambda: model.fit(x, y, batch_size=7, verbose=0, n_threads=2), lambda: model.evaluate(x, y, verbose=0),
                 lambda: model.test_on_batch(x, y), lambda: model.loss_and_gradients(x, y),
                 lambda: model.train_on_batch(x, y)):
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(ValueError, match=match.replace("y must", "y of validation_data must")):
        model.fit(x, good, validation_data=(x, y), verbose=0)
    with pytest.raises(ValueError, match=match):
        model.fit(x, y, validation_split=0.4, verbose=0)
    model.compile(optimizers.LBFGS(), loss)
    before = model.params.copy()
    with pytest.raises(ValueError, match=match):
        model.fit(x, y, verbose=0)
    assert np.array_equal(model.params, before)


def test_soft_targets_of_another_model_may_leave_the_interval_by_a_rounding():
    y = np.array([[np.nextafter(np.float32(1), np.float32(2)), 0, -1e-7]], np.float32)
    model = model_of("categorical_crossentropy", activation="softmax", dtype="float32")
    assert np.isfinite(model.train_on_batch(np.ones((1, INPUTS)), y))


def test_a_loss_of_all_real_targets_trains_on_any():
    model = model_of("mse")
    assert np.isfinite(model.train_on_batch(np.ones((1, INPUTS)), np.array([[-1e6, 255, 1e6]])))


@pytest.mark.parametrize("loss, y, match", [
    ("poisson", [[1., -1, 0]], "not negative"), ("gamma", [[1., 0, 2]], "positive"),
    ("kl_divergence", [[1., np.nan, 0]], "finite"), ("categorical_crossentropy", [[1., -1, 0]], r"lie in \[0, 1\]"),
    (losses.Quantile([0.1, 0.9]), [[1., 0, 1]], "as many outputs"), (losses.Tweedie(3), [[1., 0, 1]], "positive"),
    ("gaussian_nll", [[1., 0, 1]], "even number"),
], ids=str)
def test_targets_that_the_loss_does_not_allow_are_an_error_in_a_fit(loss, y, match):
    with pytest.raises(ValueError, match=match):
        model_of(loss).fit(np.ones((1, INPUTS)), np.array(y), verbose=0)
