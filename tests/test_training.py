"""Compares training with NumPy step by step; tests fit, evaluate, predict and copies of a model."""
import copy
import math
import pickle

import numpy as np
import pytest
import reference
from optimizer_cases import CASES, make
from optional import needs
from tolerances import assert_close

import nnfast
from nnfast import losses, metrics, optimizers
from nnfast._core import network as core
from nnfast.layers import Activation, Dense, Flatten, Input

DTYPES = ["float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_optimizer = pytest.mark.parametrize("optimizer", core.OPTIMIZERS)


def regression(rows=81, n_inputs=5, n_outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, n_inputs)).astype(np.float32)
    return x, np.sin(x @ rng.standard_normal((n_inputs, n_outputs))).astype(np.float32)


def classes(rows=81, n_inputs=5, n_classes=4, seed=0):
    x, y = regression(rows, n_inputs, n_classes, seed)
    return x, y.argmax(axis=1)


def regressor(dtype="float64", optimizer="adam", loss="mse", seed=0, metrics=None, n_outputs=3):
    model = nnfast.Sequential([Dense(8, "tanh"), Dense(7, "gelu"), Dense(n_outputs)], dtype=dtype, seed=seed)
    model.compile(optimizer, loss, metrics=metrics)
    model.build((None, 5))
    return model


def classifier(dtype="float64", optimizer="adam", seed=0, metrics=None):
    model = nnfast.Sequential([Dense(8, "tanh"), Dense(4, "softmax")], dtype=dtype, seed=seed)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=metrics)
    model.build((None, 5))
    return model


def bits(model):
    return model.params.tobytes()


def assert_weights(model, exact, what="training"):
    for actual, expected in zip(model.get_weights(), exact.weights(), strict=True):
        assert_close(actual, expected, what, model.dtype)


# -- steps -----------------------------------------------------------------------------------------

@every_dtype
@every_optimizer
def test_twenty_steps_follow_the_reference(optimizer, dtype):
    """81 rows in batches of 20: five steps an epoch, the last of one row."""
    x, y = regression()
    model = regressor(dtype, make(optimizer, 0.05, weight_decay=0.1))
    exact = reference.Network.of(model)
    history = model.fit(x, y, batch_size=20, epochs=4, shuffle=False, verbose=0)
    options = {**CASES[optimizer][1], "weight_decay": 0.1}
    expected = exact.train(x, y.astype(np.float64), "mean_squared_error", optimizer, 0.05, options, 20, 4)
    assert exact.steps == 20
    assert_weights(model, exact)
    assert_close(history.history["loss"], expected, "training", dtype)


@every_dtype
@every_optimizer
def test_twenty_steps_of_a_classifier_follow_the_reference(optimizer, dtype):
    x, y = classes()
    weights = np.random.default_rng(1).uniform(0, 2, len(x))
    model = classifier(dtype, make(optimizer, 0.02))
    exact = reference.Network.of(model)
    history = model.fit(x, y, batch_size=20, epochs=4, shuffle=False, verbose=0, sample_weight=weights)
    options = CASES[optimizer][1]
    expected = exact.train(x, y, "sparse_categorical_crossentropy", optimizer, 0.02, options, 20, 4, weights)
    assert_weights(model, exact)
    assert_close(history.history["loss"], expected, "training", dtype)


@every_dtype
def test_batches_longer_than_the_workspace_follow_the_reference(dtype):
    x, y = regression(20_001)
    model = regressor(dtype, optimizers.SGD(0.1))
    exact = reference.Network.of(model)
    model.fit(x, y, batch_size=10_000, epochs=2, shuffle=False, verbose=0)
    exact.train(x, y.astype(np.float64), "mean_squared_error", "sgd", 0.1, (), 10_000, 2)
    assert_weights(model, exact)


@every_dtype
def test_wide_layers_follow_the_reference(dtype):
    x, y = classes(130)
    model = nnfast.Sequential([Dense(600, "tanh"), Dense(600, "sigmoid"), Dense(4, "softmax")], dtype=dtype, seed=0)
    model.compile(optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    model.build((None, 5))
    exact = reference.Network.of(model)
    model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    exact.train(x, y, "sparse_categorical_crossentropy", "sgd", 0.05, (), 32, 2)
    assert_weights(model, exact)


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_training_agrees_with_pytorch(torch, momentum, nesterov):
    x, y = classes(60)
    model = classifier("float64", optimizers.SGD(0.1, momentum=momentum, nesterov=nesterov))
    tensors = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
    peer = torch.optim.SGD(tensors, lr=0.1, momentum=momentum, nesterov=nesterov)
    model.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0)
    for first in [0, 16, 32, 48] * 5:
        rows = slice(first, first + 16)
        z = torch.tanh(torch.tensor(x[rows], dtype=torch.float64) @ tensors[0] + tensors[1]) @ tensors[2] + tensors[3]
        peer.zero_grad()
        torch.nn.functional.cross_entropy(z, torch.tensor(y[rows])).backward()
        peer.step()
    for actual, tensor in zip(model.get_weights(), tensors, strict=True):
        assert_close(actual, tensor.detach().numpy(), "training")


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_training_follows_a_plain_numpy_loop(n_outputs):
    """The loop halves the sum over outputs, MSE takes the mean: the rate is lr n_outputs / 2."""
    rng = np.random.default_rng(2)
    X, Y, lr, N = rng.standard_normal((40, 4)), rng.uniform(0, 1, (40, n_outputs)), 0.7, 40
    model = nnfast.Sequential([Input(4), Dense(6, "sigmoid", use_bias=False),
                               Dense(n_outputs, "sigmoid", use_bias=False)], dtype="float64", seed=3)
    model.compile(optimizers.SGD(lr * n_outputs / 2), losses.MeanSquaredError())
    W1, W2 = model.get_weights()
    for _ in range(50):
        A1 = 1 / (1 + np.exp(-X @ W1))
        A2 = 1 / (1 + np.exp(-A1 @ W2))
        E1 = A2 - Y
        D2 = E1 * A2 * (1 - A2)
        D1 = (D2 @ W2.T) * A1 * (1 - A1)
        W2 = W2 - lr * A1.T @ D2 / N
        W1 = W1 - lr * X.T @ D1 / N
        model.fit(X, Y, batch_size=N, shuffle=False, verbose=0)
        for actual, expected in zip(model.get_weights(), (W1, W2), strict=True):
            assert_close(actual, expected, "loop")


def test_train_on_batch_is_one_step_of_fit():
    x, y = regression(20)
    one, other = regressor(), regressor()
    loss = one.train_on_batch(x, y)
    history = other.fit(x, y, batch_size=20, shuffle=False, verbose=0)
    assert bits(one) == bits(other)
    assert history.history["loss"] == [loss]


# -- loss and metrics ------------------------------------------------------------------------------

def test_different_losses_give_different_weights():
    x, y = regression()
    results = set()
    for loss in ("mse", "mae", losses.BinaryCrossentropy(from_logits=True)):
        model = regressor(loss=loss)
        model.fit(x, np.abs(y), epochs=1, verbose=0)
        results.add(bits(model))
    assert len(results) == 3


@pytest.mark.parametrize("chosen", ["acc", ["mae"], ["mse", "rmse", "mae", "categorical_accuracy"], metrics.Accuracy()],
                         ids=repr)
def test_metrics_change_no_bit(chosen):
    x, y = regression()
    plain, measured = regressor(), regressor(metrics=chosen)
    before = plain.fit(x, y, epochs=3, batch_size=16, verbose=0)
    after = measured.fit(x, y, epochs=3, batch_size=16, verbose=0)
    assert bits(plain) == bits(measured)
    assert before.history["loss"] == after.history["loss"]


def test_metrics_of_a_classifier_change_no_bit():
    x, y = classes()
    plain, measured = classifier(), classifier(metrics=["acc", "sparse_categorical_accuracy"])
    plain.fit(x, y, epochs=3, verbose=0)
    measured.fit(x, y, epochs=3, verbose=0)
    assert bits(plain) == bits(measured)


NAMED_METRICS = {"binary_accuracy": "binary_accuracy", "categorical_accuracy": "categorical_accuracy",
                 "sparse_categorical_accuracy": "sparse_categorical_accuracy", "absolute_error": "mae",
                 "squared_error": "mse"}


@every_dtype
@pytest.mark.parametrize("name", core.METRICS)
def test_metric_matches_formula(name, dtype):
    sparse = name.startswith("sparse")
    x, y = classes(300) if sparse else regression(300, n_outputs=4)
    y = y if sparse or "error" in name else (y > 0.2).astype(np.float32)
    model = nnfast.Sequential([Dense(9, "tanh"), Dense(4, "sigmoid")], dtype=dtype, seed=1)
    model.compile("adam", losses.SparseCategoricalCrossentropy() if sparse else "mse", metrics=[NAMED_METRICS[name]])
    model.build((None, 5))
    values = reference.METRICS[name](y, reference.Network.of(model).predict(x))
    loss, value = model.evaluate(x, y, verbose=0)
    assert_close(value, values.mean(), "prediction", dtype)
    assert 0 < value


@pytest.mark.parametrize("y, units, activation, kind", [
    ([[1.], [0.], [1.], [1.]], 1, "sigmoid", "binary_accuracy"),
    ([[0, 1.], [1, 0], [1, 0], [0, 1]], 2, "softmax", "categorical_accuracy"),
    ([1, 0, 0, 1], 2, "softmax", "sparse_categorical_accuracy"),
])
@pytest.mark.parametrize("name", ["acc", "accuracy"])
def test_accuracy_is_resolved_by_shape(y, units, activation, kind, name):
    y = np.array(y)
    x = np.array([[3.], [-2], [-1], [2]])
    model = nnfast.Sequential([Input(1), Dense(units, activation)], seed=0)
    loss = {"b": "bce", "c": "categorical_crossentropy", "s": "sparse_categorical_crossentropy"}[kind[0]]
    model.compile("sgd", loss, metrics=name)
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert logs[name] == reference.METRICS[kind](y, reference.Network.of(model).predict(x)).mean()
    assert list(model.fit(x, y, validation_data=(x, y), verbose=0).history) == ["loss", name, "val_loss", f"val_{name}"]


def test_root_mean_squared_error_takes_the_root_last():
    """The predictions are 2 and 3 for targets 1 and 0: sqrt((1 + 9) / 2)."""
    model = nnfast.Sequential([Input(1), Dense(1, use_bias=False)], dtype="float64")
    model.compile("sgd", "mse", metrics="rmse")
    model.set_weights([[[1.]]])
    assert model.evaluate([[2.], [3.]], [1., 0.], verbose=0) == [5, math.sqrt(5)]


# -- evaluate and predict --------------------------------------------------------------------------

@every_dtype
@pytest.mark.parametrize("rows", [1, 255, 256, 257, 70_000])
def test_evaluate_and_predict_match_the_reference(rows, dtype):
    x, y = classes(rows)
    weights = np.random.default_rng(3).uniform(0, 2, rows)
    model = classifier(dtype)
    exact = reference.Network.of(model)
    assert_close(model.predict(x), exact.predict(x), "prediction", dtype)
    loss = "sparse_categorical_crossentropy"
    assert_close(model.evaluate(x, y, verbose=0), exact.loss(x, y, loss), "prediction", dtype)
    assert_close(model.evaluate(x, y, sample_weight=weights, verbose=0), exact.loss(x, y, loss, weights), "prediction",
                 dtype)


@every_dtype
@pytest.mark.parametrize("activation", core.ACTIVATIONS)
@pytest.mark.parametrize("rows", [3, 300])
def test_prediction_matches_the_reference_for_every_activation(activation, rows, dtype):
    x = regression(rows)[0]
    layers = [Input(5), Activation(activation), Dense(600, activation), Dense(3), Activation(activation)]
    model = nnfast.Sequential(layers, dtype=dtype, seed=4)
    assert_close(model.predict(x), reference.Network.of(model).predict(x), "prediction", dtype)


def test_evaluate_and_predict_change_nothing():
    x, y = regression()
    one, other = regressor(), regressor()
    one.fit(x, y, epochs=1, shuffle=False, verbose=0)
    other.fit(x, y, epochs=1, shuffle=False, verbose=0)
    before = bits(one)
    one.evaluate(x, y, verbose=0)
    one.predict(x)
    one.test_on_batch(x, y)
    one.loss_and_gradients(x, y)
    assert bits(one) == before
    one.fit(x, y, epochs=1, shuffle=False, verbose=0)
    other.fit(x, y, epochs=1, shuffle=False, verbose=0)
    assert bits(one) == bits(other)


# -- fit -------------------------------------------------------------------------------------------

def test_history_holds_the_row_weighted_mean_of_the_batches():
    """With a rate of 0 each epoch's loss is the mean over all rows; the last batch has one row."""
    x, y = regression(81)
    model = regressor(optimizer=optimizers.SGD(0), metrics=["mae"])
    history = model.fit(x, y, batch_size=20, epochs=2, verbose=0, validation_data=(x, y))
    expected = reference.Network.of(model).loss(x, y.astype(np.float64), "mean_squared_error")
    assert_close(history.history["loss"], [expected] * 2, "prediction")
    assert_close(history.history["val_loss"], [expected] * 2, "prediction")
    assert_close(history.history["mae"], history.history["val_mae"], "prediction")
    assert history.epoch == [0, 1]


def test_validation_split_takes_the_last_rows():
    x, y = regression(81)
    split, given = regressor(), regressor()
    first = int(81 * 0.75)
    one = split.fit(x, y, epochs=3, validation_split=0.25, verbose=0)
    other = given.fit(x[:first], y[:first], epochs=3, validation_data=(x[first:], y[first:]), verbose=0)
    assert bits(split) == bits(given)
    assert one.history == other.history


def test_validation_uses_the_weights_after_the_epoch():
    x, y = regression()
    model = regressor()
    weights = np.linspace(0, 2, 81)
    history = model.fit(x, y, epochs=2, validation_data=(x[:9], y[:9], weights[:9]), verbose=0)
    assert history.history["val_loss"][-1] == model.evaluate(x[:9], y[:9], sample_weight=weights[:9], verbose=0)


@every_dtype
@every_optimizer
def test_second_fit_continues_the_first(optimizer, dtype):
    x, y = regression()
    once, twice, counted = (regressor(dtype, make(optimizer, 0.01)) for _ in range(3))
    whole = once.fit(x, y, epochs=4, batch_size=16, shuffle=False, verbose=0)
    parts = [twice.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0) for _ in range(2)]
    counted.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    rest = counted.fit(x, y, epochs=4, initial_epoch=2, batch_size=16, shuffle=False, verbose=0)
    assert bits(once) == bits(twice) == bits(counted)
    assert whole.history["loss"] == parts[0].history["loss"] + parts[1].history["loss"]
    assert rest.epoch == [2, 3]
    assert rest.history["loss"] == whole.history["loss"][2:]


def test_compile_resets_the_optimizer():
    """The size of Adam's first step is the learning rate, whatever the weights are."""
    x, y = regression(32)
    model = regressor(optimizer=optimizers.Adam(0.01, epsilon=1e-12))
    model.fit(x, y, epochs=20, verbose=0)
    fresh = regressor(optimizer=optimizers.Adam(0.01, epsilon=1e-12))
    fresh.set_weights(model.get_weights())
    model.compile(optimizers.Adam(0.01, epsilon=1e-12), "mse")
    for one in (model, fresh):
        one.fit(x, y, shuffle=False, verbose=0)
    assert bits(model) == bits(fresh)


def test_learning_rate_may_change_between_fits():
    x, y = regression(40)
    optimizer = optimizers.SGD(0.1, momentum=0.9)
    model = regressor(optimizer=optimizer)
    exact = reference.Network.of(model)
    for rate in (0.1, 0.01):
        optimizer.learning_rate = rate
        model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
        exact.train(x, y.astype(np.float64), "mean_squared_error", "momentum", rate, {"momentum": 0.9}, 10, 2)
    assert_weights(model, exact)


def test_shuffling_visits_every_row_once_an_epoch():
    """With one-hot rows and batches of 1, each weight takes exactly one step in an epoch."""
    rows = 97
    layers = [Input(rows), Dense(1, use_bias=False, kernel_initializer="zeros")]
    model = nnfast.Sequential(layers, dtype="float64", seed=0)
    model.compile(optimizers.SGD(0.25), "mse")
    model.fit(np.eye(rows), np.ones(rows), batch_size=1, verbose=0)
    np.testing.assert_array_equal(model.params, np.full(rows, 0.5))


def test_shuffling_makes_a_new_order_every_epoch():
    x, y = regression()
    shuffled, plain = regressor(), regressor()
    shuffled.fit(x, y, epochs=1, verbose=0)
    plain.fit(x, y, epochs=1, shuffle=False, verbose=0)
    assert bits(shuffled) != bits(plain)
    orders = [np.arange(50), np.arange(50)]
    core.shuffle(orders[0], 1)
    core.shuffle(orders[1], 2)
    assert not np.array_equal(*orders)
    assert [sorted(order) for order in orders] == [list(range(50))] * 2


def test_all_orders_of_three_rows_are_equally_likely():
    """1,000 of each order are expected; five standard deviations are 5 sqrt(6000 * 5/36) = 144."""
    counts = {}
    for seed in range(6000):
        order = np.arange(3)
        core.shuffle(order, seed * 0x9E3779B9)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 6
    assert max(abs(count - 1000) for count in counts.values()) < 144


def test_class_weight_multiplies_sample_weight():
    x, y = classes()
    weights = np.random.default_rng(5).uniform(0, 2, len(x))
    both, product = classifier(), classifier()
    both.fit(x, y, epochs=2, verbose=0, class_weight={0: 3, 2: 0.5}, sample_weight=weights)
    product.fit(x, y, epochs=2, verbose=0, sample_weight=weights * np.array([3, 1, 0.5, 1])[y])
    assert bits(both) == bits(product)
    one_hot = nnfast.Sequential(map(copy.copy, both.layers), dtype="float64", seed=0)
    one_hot.compile("adam", "categorical_crossentropy")
    one_hot.fit(x, np.eye(4)[y], epochs=2, verbose=0, class_weight={0: 3, 2: 0.5}, sample_weight=weights)
    assert_close(one_hot.params, both.params, "training")


def test_class_weight_of_one_output_follows_zero_and_one():
    x, y = regression(n_outputs=1)
    y = (y > 0).astype(np.uint8)
    models = [nnfast.Sequential([Dense(1, "sigmoid")], seed=0) for _ in range(2)]
    for model, options in zip(models, ({"class_weight": {1: 4}}, {"sample_weight": np.where(y, 4, 1)}), strict=True):
        model.compile("adam", "bce")
        model.fit(x, y, verbose=0, **options)
    assert bits(models[0]) == bits(models[1])


def test_same_seeds_reproduce_a_fit_and_others_differ():
    x, y = regression()
    runs = []
    for seed in (0, 0, 1):
        model = regressor(seed=seed)
        history = model.fit(x, y, epochs=3, verbose=0)
        runs.append((bits(model), history.history["loss"]))
    assert runs[0] == runs[1] != runs[2]


def test_raw_pixels_train_without_nan():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 10, 600)
    shapes = rng.integers(0, 256, (10, 28, 28))
    x = np.clip(shapes[labels] + rng.integers(-60, 60, (600, 28, 28)), 0, 255).astype(np.uint8)
    model = nnfast.Sequential([Flatten(), Dense(84, activation="relu"), Dense(10, activation="softmax")], seed=0)
    model.compile(optimizer="adam", loss=losses.SparseCategoricalCrossentropy(), metrics="acc")
    history = model.fit(x, y=labels, batch_size=256, epochs=10, validation_data=(x, labels), verbose=0).history
    assert model.count_params() == 784 * 84 + 84 + 84 * 10 + 10 == 66_790
    assert all(np.isfinite(values).all() for values in history.values())
    assert history["loss"][0] > 1
    assert history["val_acc"][-1] > 0.9


@every_dtype
@pytest.mark.parametrize("bad", ["x", "y"])
def test_a_batch_with_a_nonfinite_value_changes_nothing(bad, dtype):
    """NaN in row 50 with batches of 10: the first five batches are trained, the sixth is not."""
    x, y = regression()
    model, expected = regressor(dtype), regressor(dtype)
    expected.fit(x[:50], y[:50], batch_size=10, shuffle=False, verbose=0)
    broken = {"x": x.copy(), "y": y.copy()}
    broken[bad][50, 1] = np.nan
    with pytest.raises(ValueError, match=f"{bad} must be finite; row 50 holds nan in column 1"):
        model.fit(**broken, batch_size=10, shuffle=False, verbose=0)
    assert bits(model) == bits(expected)
    for one in (model, expected):
        one.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    assert bits(model) == bits(expected)


# -- data ------------------------------------------------------------------------------------------

def memmap(array, path):
    mapped = np.memmap(path, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    mapped.flush()
    return np.memmap(path, array.dtype, "r", shape=array.shape)


def strided(array, _):
    wide = np.full((3 * len(array), 2 * array.shape[1]), np.nan, array.dtype)
    wide[::3, ::2] = array
    return wide[::3, ::2]


def read_only(array, _):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array, _):
    return np.frombuffer(b"." + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


LAYOUTS = {
    "fortran": lambda array, _: np.asfortranarray(array),
    "reversed": lambda array, _: array[::-1, ::-1].copy()[::-1, ::-1],
    "strided": strided,
    "read only": read_only,
    "memmap": memmap,
    "float64": lambda array, _: array.astype(np.float64),
    "big endian": lambda array, _: array.astype(">f4"),
    "unaligned": unaligned,
    "list": lambda array, _: array.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_the_data_changes_no_bit(layout, tmp_path):
    x, y = regression()
    plain, moved = regressor("float32"), regressor("float32")
    expected = plain.fit(x, y, epochs=2, verbose=0).history
    moved_x, moved_y = LAYOUTS[layout](x, tmp_path / "x"), LAYOUTS[layout](y, tmp_path / "y")
    assert moved.fit(moved_x, moved_y, epochs=2, verbose=0).history == expected
    assert bits(plain) == bits(moved)
    np.testing.assert_array_equal(moved.predict(moved_x), plain.predict(x))
    assert moved.evaluate(moved_x, moved_y, verbose=0) == plain.evaluate(x, y, verbose=0)


@every_dtype
@pytest.mark.parametrize("source", [*core.SOURCES, "f2", ">i2", ">f8"])
def test_dtype_of_the_data_changes_no_bit(source, dtype):
    limit = 2 if source == "b1" else 100
    numbers = np.random.default_rng(7).integers(0, limit, (50, 5))
    targets = np.random.default_rng(8).integers(0, min(limit, 4), (50, 3))
    plain, other = regressor(dtype), regressor(dtype)
    expected = plain.fit(numbers.astype(dtype), targets.astype(dtype), epochs=2, verbose=0).history
    assert other.fit(numbers.astype(source), targets.astype(source), epochs=2, verbose=0).history == expected
    assert bits(plain) == bits(other)
    np.testing.assert_array_equal(other.predict(numbers.astype(source)), plain.predict(numbers))


@pytest.mark.parametrize("source", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])
def test_dtype_of_the_labels_changes_no_bit(source):
    x, y = classes()
    plain, other = classifier(), classifier()
    plain.fit(x, y, verbose=0)
    other.fit(x, y.astype(source)[:, None], verbose=0)
    assert bits(plain) == bits(other)


def test_images_may_have_any_strides_behind_flatten():
    rng = np.random.default_rng(9)
    images, y = rng.integers(0, 256, (40, 6, 5)).astype(np.uint8), rng.integers(0, 3, 40)
    results = set()
    for x in (images, images.reshape(40, 30), np.asfortranarray(images), images[::-1].copy()[::-1]):
        model = nnfast.Sequential([Flatten(), Dense(7, "relu"), Dense(3, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0)
        results.add(bits(model))
    assert len(results) == 1


def test_fit_leaves_the_data_unchanged():
    x, y = regression()
    kept = x.copy(), y.copy()
    regressor().fit(x, y, epochs=2, verbose=0, validation_split=0.2)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


# -- copies ----------------------------------------------------------------------------------------

def cloudpickled(model):
    return pickle.loads(needs("cloudpickle").dumps(model))


COPIES = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "deepcopy": copy.deepcopy,
          "cloudpickle": cloudpickled}


@every_dtype
@every_optimizer
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_continues_with_the_same_bits(way, optimizer, dtype):
    x, y = regression()
    model = regressor(dtype, make(optimizer, 0.01), metrics="mae")
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    other = COPIES[way](model)
    assert bits(model) == bits(other)
    expected = model.fit(x, y, epochs=3, batch_size=16, verbose=0).history
    assert other.fit(x, y, epochs=3, batch_size=16, verbose=0).history == expected
    assert bits(model) == bits(other)


def test_a_copy_is_trained_independently():
    x, y = regression()
    model = regressor()
    before = bits(model)
    other = copy.deepcopy(model)
    other.fit(x, y, verbose=0)
    assert bits(model) == before != bits(other)


@pytest.mark.parametrize("layers", [
    [Flatten(), Dense(3, "softmax")],
    [Input((2, 3)), Flatten(), Dense(3, "softmax")],
    [Input(6), Activation("tanh"), Dense(3, use_bias=False), Activation("softmax")],
], ids=repr)
def test_a_copy_of_any_kind_of_model_continues(layers):
    x, y = np.random.default_rng(10).standard_normal((20, 6)), np.arange(20) % 3
    model = nnfast.Sequential(layers, seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    unbuilt = pickle.loads(pickle.dumps(model))
    model.fit(x, y, verbose=0)
    unbuilt.fit(x, y, verbose=0)
    assert bits(model) == bits(unbuilt)
    other = pickle.loads(pickle.dumps(model))
    for one in (model, other):
        one.fit(x, y, verbose=0)
    assert bits(model) == bits(other)


def test_a_copy_of_an_uncompiled_model_predicts():
    x = regression()[0]
    model = nnfast.Sequential([Input(5), Dense(2, "tanh")], seed=0)
    expected = model.predict(x)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), expected)


def test_a_copy_keeps_a_changed_kind_of_optimizer():
    x, y = regression()
    model = regressor(optimizer=optimizers.SGD(0.1))
    model.optimizer.momentum = 0.9
    other = pickle.loads(pickle.dumps(model))
    for one in (model, other):
        one.fit(x, y, verbose=0)
    assert bits(model) == bits(other)


def test_a_pickle_does_not_name_the_cpu_level():
    x, y = regression()
    model = regressor()
    model.fit(x, y, verbose=0)
    assert b"network_v" not in pickle.dumps(model)


def test_a_worker_process_trains_the_same_bits():
    joblib = needs("joblib")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 4)), rng.integers(0, 3, 300)
    model = nnfast.Sequential([nnfast.Dense(8, "relu"), nnfast.Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics="acc")
    model.fit(x, y, verbose=0)

    def trained(model):
        model.fit(x, y, epochs=2, verbose=0, n_threads=2)
        return model

    there = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(trained)(model) for _ in range(2))
    here = trained(model)
    for other in there:
        assert np.array_equal(other.params, here.params)
        assert np.array_equal(other.predict(x), here.predict(x))


# -- rows that count -------------------------------------------------------------------------------

def unbalanced():
    x, y = classes()
    y = np.where(np.arange(len(y)) < len(y) // 2, 0, y)            # the first half has a single class
    return x, y


def balanced(y, n_classes=4, weights=None):
    """Row weights: sum of all weights / (number of present classes * sum of the row's class)."""
    weights = np.ones(len(y)) if weights is None else weights
    sums = np.bincount(y, weights, n_classes)
    return weights.sum() / (np.count_nonzero(sums) * sums[y])


def test_balanced_classes_count_only_training_rows():
    x, y = unbalanced()
    half = len(x) // 2
    repeated = [0, 0, half, half + 1]
    for options, rows in [
        ({"validation_split": 0.5}, np.arange(half)),
        ({"rows": np.arange(half, len(x))}, np.arange(half, len(x))),
        ({"rows": repeated}, np.array(repeated)),
    ]:
        model, other = classifier(), classifier()
        model.fit(x, y, epochs=2, verbose=0, class_weight="balanced", shuffle=False, **options)
        other.fit(x[rows], y[rows], epochs=2, verbose=0, sample_weight=balanced(y[rows]), shuffle=False)
        assert bits(model) == bits(other)


def test_balanced_classes_count_rows_by_their_weights():
    x, y = unbalanced()
    weights = np.where(np.arange(len(x)) % 3 == 0, 0.0, 1.5)
    model, other = classifier(), classifier()
    model.fit(x, y, epochs=2, verbose=0, class_weight="balanced", sample_weight=weights)
    expected = np.where(weights > 0, balanced(y, weights=weights), 1)
    other.fit(x, y, epochs=2, verbose=0, sample_weight=weights * expected)
    assert bits(model) == bits(other)
    loss, p = nnfast.losses.SparseCategoricalCrossentropy(), model.predict(x)
    kept = weights > 0
    assert loss(y, p, weights, class_weight="balanced") * len(x) == pytest.approx(
        loss(y[kept], p[kept], 1.5 * balanced(y[kept])) * kept.sum(), rel=1e-12)


def test_balanced_classes_need_weights_of_at_least_zero():
    x, y = unbalanced()
    with pytest.raises(ValueError, match="sample_weight of at least 0"):
        classifier().fit(x, y, verbose=0, class_weight="balanced", sample_weight=-np.ones(len(x)))


def test_class_weights_ignore_rows_outside_training():
    x, y = regression(n_outputs=1)
    labels = (y > 0).astype(float)
    labels[-1] = 0.5                                                # not a class: refused if it were checked
    for options in ({"validation_split": 0.1}, {"rows": np.arange(len(x) - 1)}):
        model = nnfast.Sequential([Dense(1, "sigmoid")], seed=0)
        model.compile("adam", "bce")
        model.fit(x, labels, verbose=0, class_weight={1: 2.0}, **options)


def test_a_user_defined_loss_is_tried_on_training_rows():
    x, y = regression(n_outputs=1)
    y[:20] = 1e6
    seen = []

    def loss(y_true, y_pred):
        seen.append(y_true.max())
        return ((y_pred - y_true) ** 2).mean(axis=1), 2 * (y_pred - y_true)

    model = nnfast.Sequential([Dense(1)], dtype="float64", seed=0)
    model.compile("sgd", loss)
    model.fit(x, y, verbose=0, rows=np.arange(20, len(x)))
    assert max(seen) < 1e6


# -- objects that belong to one model --------------------------------------------------------------

def test_an_optimizer_belongs_to_one_model():
    optimizer = nnfast.optimizers.SGD(0.1)
    model, other = classifier(), classifier()
    model.compile(optimizer, "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"copy\.copy\(optimizer\)"):
        other.compile(optimizer, "mse")
    assert other.optimizer is not optimizer
    model.compile(optimizer, "sparse_categorical_crossentropy")     # its own optimizer again
    other.compile(copy.copy(optimizer), "sparse_categorical_crossentropy")
    other.optimizer.learning_rate = 0.5
    assert model.optimizer.learning_rate == 0.1
    del model
    with pytest.raises(ValueError, match="belongs to another model"):
        other.compile(optimizer, "sparse_categorical_crossentropy")     # its learning rate may have changed


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_share_no_state_that_training_changes(copied):
    x, y = classes()
    model = classifier()
    model.fit(x, y, verbose=0)
    other = copied(model)
    before = bits(other)
    model.optimizer.learning_rate = 10.0
    model.fit(x, y, verbose=0)
    assert bits(other) == before and other.optimizer.learning_rate != 10.0
    with pytest.raises(ValueError, match="belongs to another model"):
        model.compile(other.optimizer, "sparse_categorical_crossentropy")


def test_models_do_not_share_a_generator_of_random_numbers():
    for generator in (np.random.default_rng(0), np.random.PCG64(0), np.random.RandomState(0)):
        models = [nnfast.Sequential([nnfast.Input(3), Dense(4)], seed=generator) for _ in range(2)]
        assert models[0]._rng is not models[1]._rng and models[0]._rng.bit_generator is not models[1]._rng.bit_generator
        assert bits(models[0]) != bits(models[1])
    one, other = (nnfast.Sequential([nnfast.Input(3), Dense(4)], seed=np.random.default_rng(5)) for _ in range(2))
    assert bits(one) == bits(other)


def test_layers_of_a_built_model_are_refused_in_another():
    x, y = classes()
    model = classifier()
    model.fit(x, y, verbose=0)
    kept = model.layers
    for again in (lambda: nnfast.Sequential(kept[:-1]), lambda: nnfast.Sequential().add(kept[0])):
        with pytest.raises(ValueError, match=r"belongs to another model.*copy\.copy\(layer\)"):
            again()
    del model
    with pytest.raises(ValueError, match="belongs to another model"):
        nnfast.Sequential(kept)
    assert nnfast.Sequential(map(copy.copy, kept)).layers == kept


def test_a_layer_of_two_models_is_built_into_only_one():
    layer = Dense(4)
    first, second = nnfast.Sequential([nnfast.Input(3), layer]), nnfast.Sequential([nnfast.Input(3), layer])
    assert first.built
    with pytest.raises(ValueError, match="belongs to another model"):
        second.get_weights()


def test_a_layer_with_weights_occurs_once_in_a_model():
    layer = Dense(4)
    with pytest.raises(ValueError, match="once.*same object twice"):
        nnfast.Sequential([layer, layer])
    model = nnfast.Sequential([layer])
    with pytest.raises(ValueError, match="same object twice"):
        model.add(layer)
    assert model.layers == [layer]
    dropout = nnfast.layers.Dropout(0.1)
    nnfast.Sequential([dropout, Dense(4), dropout, Dense(4)])           # layers without weights may repeat


def test_layers_without_weights_may_be_used_again():
    x = np.random.default_rng(0).normal(3, 2, (20, 3))
    normalization = nnfast.layers.Normalization()
    normalization.adapt(x)
    models = [nnfast.Sequential([nnfast.Input(3), normalization]) for _ in range(2)]
    assert np.array_equal(models[0].predict(x), models[1].predict(x))
    with pytest.raises(ValueError, match="adapt must come before"):
        normalization.adapt(x)
    copy.copy(normalization).adapt(x)


def test_a_refused_fit_leaves_the_layers_free():
    x = np.random.default_rng(0).normal(3, 2, (20, 3))
    normalization = nnfast.layers.Normalization(0.0, 1.0)
    model = nnfast.Sequential([normalization, Dense(1)])
    model.compile("adam", "mse")
    for wrong in [
        {"y": np.zeros(19)},
        {"y": np.zeros(20), "validation_split": 0.99},
        {"y": np.zeros(20), "rows": [20]},
        {"y": np.zeros(20), "validation_data": (x, np.zeros(3))},
    ]:
        with pytest.raises(ValueError):
            model.fit(x, verbose=0, **wrong)
        assert not model.built
    normalization.adapt(x)
    model.fit(x[:, :2].repeat(2, axis=1)[:, :3], np.zeros(20), verbose=0)


def test_loss_and_metrics_names_follow_compile():
    model = nnfast.Sequential([nnfast.Dense(3, "softmax")])
    assert model.loss is None and model.metrics_names == []
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"], weighted_metrics=["acc"])
    assert model.loss == "sparse_categorical_crossentropy" and model.metrics_names == ["loss", "acc", "weighted_acc"]
    model.build((None, 2))
    logs = model.evaluate(np.zeros((4, 2)), np.zeros(4), verbose=0, return_dict=True)
    assert list(logs) == model.metrics_names
    loss = nnfast.losses.Huber()
    model.compile("adam", loss)
    assert model.loss is loss
    with pytest.raises(ValueError, match="must be"):
        model.compile(None, "mse")
    assert model.loss is loss


def test_a_fit_shows_one_bar_for_all_epochs(monkeypatch, capsys):
    auto = pytest.importorskip("tqdm.auto")
    made = []

    class Bar(auto.tqdm):
        def __init__(self, *args, **options):
            made.append(self)
            super().__init__(*args, **options)

    monkeypatch.setattr(auto, "tqdm", Bar)
    model = nnfast.Sequential([nnfast.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.zeros((64, 2)), np.zeros(64), epochs=3, verbose=1)
    out, err = capsys.readouterr()
    assert len(made) == 1 and made[0].n == made[0].total == 2
    assert [line.split(" - ")[0] for line in out.splitlines()] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert all(f"Epoch {epoch}/3" in err for epoch in (1, 2, 3))


@pytest.mark.parametrize("seconds, shown", [
    (0.0001, "<1ms"),
    (0.0124, "12ms"),
    (0.9, "900ms"),
    (1.254, "1.25s"),
    (75, "75.00s"),
])
def test_times_below_a_second_are_shown_in_milliseconds(seconds, shown):
    assert nnfast._console.seconds_text(seconds) == shown
