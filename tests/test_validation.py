"""Errors for bad input say what must hold, what came and what to do, and lose no data."""
import copy
import threading
import warnings
from functools import partial

import numpy as np
import pytest

import nnfast
from nnfast import losses
from nnfast._core import network as core
from nnfast.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Input,
    PReLU,
    Rescaling,
)


def model(outputs=3, activation="softmax", loss="sparse_categorical_crossentropy", inputs=4, dtype="float32",
          **options):
    made = nnfast.Sequential([Input(inputs), Dense(5, "relu"), Dense(outputs, activation)], dtype=dtype, seed=0)
    made.compile("adam", loss, **options)
    return made


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((50, 4)).astype("float32"), rng.integers(0, 3, 50)


def refused(call, *words, error=ValueError):
    """The call raises `error` with a message that holds every word."""
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_wrong_rank_and_width_are_refused(data):
    x, y = data
    net = model()
    refused(lambda: net.fit(x[:, :3], y), "4 columns", "(50, 3)")
    refused(lambda: net.fit(x[0], y), "2-D", "reshape(1, -1)")
    refused(lambda: net.fit(x.reshape(50, 2, 2), y), "2-D", "Flatten", "(50, 2, 2)")
    refused(lambda: net.predict(x[:, :3]), "4 columns")
    refused(lambda: net.fit(np.float32(3), y), "2-D")


@pytest.mark.parametrize("label, words", [(-1, "-1"), (3, "3"), (2**40, "1099511627776")])
def test_label_out_of_range_is_refused_with_its_row(data, label, words):
    x, y = data
    y = y.copy()
    y[17] = label
    before = (net := model()).get_weights()
    refused(lambda: net.fit(x, y), "[0, 3)", "row 17", words)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))


def test_labels_that_are_not_integers_are_refused(data):
    x, y = data
    refused(lambda: model().fit(x, y + 0.5), "integer labels", "row 0")
    refused(lambda: model().fit(x, np.where(np.arange(50) == 9, np.nan, y)), "row 9", "nan")
    refused(lambda: model().fit(x, np.where(np.arange(50) == 9, 1e300, y)), "row 9")
    refused(lambda: model().fit(x, np.full(50, 2**63, np.uint64)), "row 0")


def test_one_hot_and_integers_are_told_apart(data):
    x, y = data
    refused(lambda: model().fit(x, np.eye(3)[y]), "one-hot", "argmax", "CategoricalCrossentropy")
    refused(lambda: model(loss="categorical_crossentropy").fit(x, y), "SparseCategoricalCrossentropy", "np.eye(3)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_input_that_is_not_finite_is_named_and_its_batch_changes_nothing(data, value, dtype):
    x, y = data
    x = x.astype(dtype)
    bad = x.copy()
    bad[33, 2] = value
    net, same = model(), model()
    refused(lambda: net.fit(bad, y, batch_size=10, shuffle=False, verbose=0), "x must be finite", "row 33", "column 2")
    same.fit(x[:30], y[:30], batch_size=10, shuffle=False, verbose=0)
    assert np.array_equal(net.params, same.params)
    net.fit(x, y, epochs=2, verbose=0)
    for call in (net.predict, lambda x: net.evaluate(x, y, verbose=0), lambda x: net.train_on_batch(x, y),
                 lambda x: net.loss_and_gradients(x, y)):
        refused(lambda call=call: call(bad), "row 33")


def test_row_is_named_by_its_index_before_shuffling(data):
    x, y = data
    x = x.copy()
    x[41, 0] = np.nan
    refused(lambda: model().fit(x, y, batch_size=7, verbose=0), "row 41", "column 0")


def test_target_that_is_not_finite_is_named(data):
    x, _ = data
    y = np.zeros((50, 1))
    y[12] = np.nan
    net = model(1, None, "mse")
    refused(lambda: net.fit(x, y, shuffle=False, verbose=0), "y must be finite", "row 12")
    refused(lambda: net.evaluate(x, y, verbose=0), "row 12")


def test_number_beyond_float32_is_refused_by_a_float32_model(data):
    x, y = data
    x = x.astype("float64")
    x[5, 1] = 1e200
    refused(lambda: model().fit(x, y, verbose=0), "row 5", "beyond the range")
    model(dtype="float64").fit(x / 1e200, y, verbose=0)


def test_lengths_must_agree(data):
    x, y = data
    refused(lambda: model().fit(x, y[:49]), "same number of rows", "50", "49")
    refused(lambda: model().fit(x, y, sample_weight=np.ones(49)), "sample_weight", "(50,)")
    refused(lambda: model().fit(x, y, sample_weight=np.full(50, np.nan)), "finite", "row 0")


def test_empty_data_are_refused_for_training_and_give_empty_predictions(data):
    x, y = data
    net = model()
    refused(lambda: net.fit(x[:0], y[:0]), "at least one row")
    refused(lambda: net.evaluate(x[:0], y[:0]), "at least one row")
    assert net.predict(x[:0]).shape == (0, 3)


def test_errors_for_unknown_names_suggest_similar_ones():
    refused(lambda: Dense(3, activation="rellu"), "'rellu'", "Did you mean 'relu'")
    refused(lambda: model(loss="categorical_crosentropy"), "Did you mean", "categorical_crossentropy")
    refused(lambda: nnfast.Sequential([Input(3), Dense(1)]).compile("adamm", "mse"), "'adamm'", "'adam'")
    refused(lambda: model(metrics=["accuraci"]), "accuracy")
    refused(lambda: Dense(3, kernel_initializer="glorot"), "initializer")
    refused(lambda: model().fit(np.zeros((4, 4)), [0, 1, 2, 0], nonfinite="rais"), "'raise'")


@pytest.mark.parametrize("name, value", [
    ("batch_size", 0), ("batch_size", -3), ("epochs", -1), ("initial_epoch", -1), ("n_threads", 0), ("n_threads", 65)])
def test_sizes_must_be_positive(data, name, value):
    refused(lambda: model().fit(*data, **{name: value}), name, str(value))


@pytest.mark.parametrize("name", ["batch_size", "epochs", "n_threads"])
def test_sizes_must_be_integers(data, name):
    refused(lambda: model().fit(*data, **{name: 2.5}), name, "2.5", error=TypeError)


@pytest.mark.parametrize("units", [0, -1, True])
def test_units_must_be_positive(units):
    refused(lambda: Dense(units), "units")


def test_sizes_that_overflow_are_refused():
    refused(lambda: Dense(2**70), "units", "2**62")
    refused(lambda: nnfast.Sequential([Dense(2**40)]).build((None, 2**40)), "overflow")
    refused(lambda: nnfast.Sequential([Flatten(), Dense(2)]).build((None, 2**40, 2**40)), "overflow")


def test_lack_of_memory_is_an_error_not_a_crash():
    with pytest.raises(MemoryError):
        nnfast.Sequential([Dense(2**22)]).build((None, 2**22))


@pytest.mark.parametrize("x", [
    np.array([["a", "b"]]), np.array([[object(), 1]]), np.array([[1j, 2]]), [[1, 2], [3]],
    np.array([["2020-01-01"]], "M8[D]"),
])
def test_data_that_are_not_numbers_are_refused(x):
    refused(lambda: model(inputs=2).predict(x), "must be an array of")


def test_second_fit_from_another_thread_is_refused(data):
    net = model()
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((20000, 4)), rng.integers(0, 3, 20000)
    first = threading.Thread(target=lambda: net.fit(x, y, epochs=60, verbose=0, n_threads=1))
    first.start()
    try:
        while not net._claims._lock.locked() and first.is_alive():
            pass
        refused(lambda: net.fit(x, y, verbose=0), "another thread", "deepcopy", error=RuntimeError)
        assert net.predict(x[:3]).shape == (3, 3)       # prediction needs no lock
    finally:
        first.join()
    net.fit(x, y, verbose=0)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_non_finite_loss_raises_and_restores_the_weights(data, kind):
    x, y = data
    optimizer = {"sgd": nnfast.optimizers.SGD(1e30), "adam": nnfast.optimizers.Adam(1e38)}[kind]
    net = nnfast.Sequential([Input(4), Dense(5, "relu"), Dense(5, "relu"), Dense(1)], seed=0)
    net.compile(optimizer, "mse")
    refused(lambda: net.fit(x, y, batch_size=5, epochs=50, verbose=0), "epoch", "batch", "learning rate",
            error=FloatingPointError)
    assert np.isfinite(net.params).all()
    with pytest.warns(RuntimeWarning, match="NaN or infinite"):
        net.fit(x, y, batch_size=5, epochs=50, verbose=0, nonfinite="stop")
    assert np.isfinite(net.params).all()
    assert len(net.fit(x, y, batch_size=5, epochs=4, verbose=0, nonfinite="ignore").epoch) == 4
    assert not np.isfinite(net.params).all()


def test_use_before_compile_or_build_says_what_to_call(data):
    net = nnfast.Sequential([Dense(3)])
    refused(lambda: net.fit(*data), "compile", error=RuntimeError)
    refused(lambda: net.predict(data[0]), "build", error=RuntimeError)
    refused(lambda: net.params, "build", error=RuntimeError)
    refused(lambda: net.compile("sgd"), "loss must be given")


def test_layers_that_do_not_fit_are_refused():
    refused(lambda: nnfast.Sequential([Dense(3), Flatten()]), "Flatten must stand before")
    refused(lambda: nnfast.Sequential([Dense(3), Input(3)]), "Input must be the first")
    refused(lambda: nnfast.Sequential(["dense"]), "nnfast.layers", error=TypeError)
    refused(lambda: nnfast.Sequential([Flatten()]).build((None, 3)), "at least one layer")
    refused(lambda: model().add(Activation("relu")), "is built")
    refused(lambda: Input(()), "Input needs")


def test_optimizer_arguments_are_checked():
    for wrong in ({"learning_rate": -1}, {"learning_rate": float("nan")}, {"beta_1": 1}, {"beta_2": -0.1},
                  {"epsilon": -1}):
        refused(lambda wrong=wrong: nnfast.optimizers.Adam(**wrong), next(iter(wrong)))
    refused(lambda: nnfast.optimizers.SGD(momentum=1.5), "momentum")
    refused(lambda: nnfast.optimizers.SGD("fast"), "learning_rate", error=TypeError)


def test_validation_arguments_are_checked(data):
    for split in (1, -0.1, float("nan")):
        refused(lambda split=split: model().fit(*data, validation_split=split), "validation_split")
    refused(lambda: model().fit(*data, validation_split=0.999), "no row for training")
    refused(lambda: model().fit(*data, validation_data=data[0]), "validation_data must be")
    refused(lambda: model().fit(*data, validation_data=(data[0], data[1][:3])), "of validation_data")


def test_weights_to_set_must_fit():
    net = model()
    refused(lambda: net.set_weights(net.get_weights()[:-1]), "shapes")
    refused(lambda: net.set_weights([w * np.nan for w in net.get_weights()]), "finite")


def test_class_weight_is_checked(data):
    refused(lambda: model().fit(*data, class_weight={3: 1.0}), "[0, 3)")
    refused(lambda: model().fit(*data, class_weight={0: np.inf}), "class_weight[0]")
    refused(lambda: model().fit(*data, class_weight=[1, 2, 3]), "dict", error=TypeError)


def test_metrics_must_fit_the_targets_and_have_different_names():
    refused(lambda: model(metrics=["mse"]), "targets of the shape")
    refused(lambda: model(metrics=["acc", "acc"]), "different names")


@pytest.mark.parametrize("wrong", [
    {"metrics": [nnfast.metrics.Accuracy(f"metric_{i}") for i in range(17)]}, {"metrics": "mse"}, {"loss": "none"},
    {"optimizer": "none"},
])
def test_refused_compile_leaves_the_model_unchanged(data, wrong):
    net = model(metrics="acc")
    net.fit(*data, verbose=0)
    steps, slots = net._network.steps, net._network.slots.copy()
    with pytest.raises(ValueError):
        net.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", **wrong})
    assert net._network.steps == steps and np.array_equal(net._network.slots, slots)
    assert list(net.fit(*data, verbose=0).history) == ["loss", "acc"]


def test_core_refuses_ranges_and_arrays_that_do_not_fit(data):
    core = nnfast._core.network
    net = model()
    x, y = data
    rows = {"x": core.DenseRows(x), "y": y, "batch_size": 10, "n_rows": 50}
    good = {
        "batches": core.Batches(**rows), "start": 0, "stop": 5, "learning_rate": 0.1, "sums": np.zeros(1), "size": 1}
    assert len(good["batches"]) == 5 and net._network.train_batches(**good)[0] == 5
    for wrong in ({"y": y[:40]}, {"order": np.zeros(3, np.int64)}, {"weights": np.ones(3)}, {"n_rows": 60},
                  {"n_rows": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError):
            core.Batches(**{**rows, **wrong})
    for array in (x[0], x.astype("f2"), x.astype(">f4"), np.empty((3, 2), object)):
        with pytest.raises(ValueError, match="a dtype that the core reads"):
            core.DenseRows(array)
    for wrong in ({"start": -1}, {"start": 5}, {"stop": 6}, {"sums": np.zeros(0)}, {"size": 0}, {"size": 65},
                  {"learning_rate": np.zeros(4)}, {"outputs": np.zeros((49, 3), np.float32)},
                  {"batches": core.Batches(core.DenseRows(x[:, :3]), y, 10)},
                  {"batches": core.Batches(core.DenseRows(x), core.DenseRows(x), 10)}):
        with pytest.raises(ValueError):
            net._network.train_batches(**{**good, **wrong})


# -- a loss and the last layer ---------------------------------------------------------------------

LINEAR = ("linear", "leaky_relu")
REAL = tuple(nnfast.activations.RANGES)
NOT_NEGATIVE = ("relu", "sigmoid", "softmax", "softplus", "hard_sigmoid", "exponential")
SHARES = ("sigmoid", "softmax", "hard_sigmoid")
BOTH_SIGNS = (*LINEAR, "tanh", "softsign", "elu", "selu")
UNBOUNDED = tuple(name for name, (_, high) in nnfast.activations.RANGES.items() if high == np.inf)
# {loss: the last activations that suit it}
LOSSES = {
    "mean_squared_error": REAL, "mean_absolute_error": REAL, "mean_absolute_percentage_error": REAL, "huber": REAL,
    "smooth_l1": REAL, "log_cosh": REAL, "quantile": REAL, "expectile": REAL, "cosine_similarity": REAL,
    "categorical_hinge": REAL, "mean_squared_logarithmic_error": NOT_NEGATIVE, "poisson": NOT_NEGATIVE,
    "kl_divergence": SHARES, "dice": SHARES, "tversky": SHARES, "binary_crossentropy": SHARES,
    "binary_focal_crossentropy": SHARES, "categorical_crossentropy": SHARES, "categorical_focal_crossentropy": SHARES,
    "sparse_categorical_crossentropy": SHARES, "gaussian_nll": LINEAR, "gamma": LINEAR, "tweedie": LINEAR,
    "hinge": BOTH_SIGNS, "squared_hinge": BOTH_SIGNS}
# the same with from_logits=True or log_input=True
WITH_OPTION = {
    "poisson": LINEAR, "binary_crossentropy": LINEAR, "binary_focal_crossentropy": LINEAR,
    "categorical_crossentropy": UNBOUNDED, "categorical_focal_crossentropy": UNBOUNDED,
    "sparse_categorical_crossentropy": UNBOUNDED}


def warnings_of(stack, loss, **options):
    """The warnings of compile for a stack of layers; they are the same with and without Input."""
    said = []
    for first in ([], [Input(3)]):
        made = nnfast.Sequential([*first, *stack])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.compile("sgd", loss, **options)
        assert all(each.category is UserWarning and each.filename == __file__ for each in caught)
        said.append([str(each.message) for each in caught])
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize("name", losses._CLASSES)
def test_compile_warns_when_the_last_activation_does_not_suit_the_loss(name):
    options = [({}, LOSSES[name])]
    if name in WITH_OPTION:
        options.append(({"log_input" if name == "poisson" else "from_logits": True}, WITH_OPTION[name]))
    for option, fitting in options:
        loss = losses._CLASSES[name](**option)
        for activation in core.ACTIVATIONS:
            said = warnings_of([Dense(4, activation)], loss)
            assert len(said) == (activation not in fitting), (loss, activation, said)


@pytest.mark.parametrize("stack, loss, words", [
    ([Dense(1)], "binary_crossentropy", "in [0, 1]; the model gives numbers anywhere on the real line"),
    ([Dense(1)], "binary_crossentropy", "activation='sigmoid', or give the loss from_logits=True"),
    ([Dense(3)], "sparse_categorical_crossentropy", "activation='softmax', or give the loss from_logits=True"),
    ([Dense(1)], "poisson", "'softplus' or 'exponential', or give the loss log_input=True"),
    ([Dense(1, "softplus")], losses.Poisson(log_input=True), "linear (activation=None), or drop log_input=True"),
    ([Dense(1, "sigmoid")], losses.BinaryFocalCrossentropy(from_logits=True), "or drop from_logits=True"),
    ([Dense(1, "sigmoid")], losses.BinaryCrossentropy(from_logits=True), "logits before the sigmoid are used"),
    ([Dense(1, "sigmoid", activity_regularizer="l2")], losses.BinaryCrossentropy(from_logits=True),
     "drop from_logits=True"),
    ([Dense(1, "sigmoid")], "hinge", "linear (activation=None) or activation='tanh'"),
    ([Dense(1, "softmax")], "mse", "softmax over one unit is always 1"),
    ([Dense(1), Activation("softmax")], "binary_crossentropy", "softmax over one unit is always 1"),
    ([Dense(1, "sigmoid")], "categorical_crossentropy", "of one output learns nothing"),
    ([Dense(1)], "cosine_similarity", "MeanSquaredError"),
    ([Dense(1), BatchNormalization()], losses.Dice(), "anywhere on the real line"),
    ([Dense(1, "sigmoid"), Dropout(0.5)], "bce", "in [0, 2]"),
    ([Dense(1, "sigmoid"), BatchNormalization()], "bce", "anywhere on the real line"),
    ([Dense(1, "sigmoid"), GaussianNoise(0.1)], "bce", "anywhere on the real line"),
    ([Dense(1, "sigmoid"), Rescaling(-2, 1)], "bce", "in [-1, 1]"),
    ([Dense(1, "tanh"), PReLU()], "bce", "anywhere on the real line"),
], ids=str)
def test_the_warning_of_compile_says_what_to_do(stack, loss, words):
    [message] = warnings_of(stack, loss)
    assert words in message


@pytest.mark.parametrize("stack, loss", [
    ([Dense(1, "sigmoid"), Rescaling(2, -1)], "hinge"),
    ([Dense(1, "sigmoid"), PReLU(), Activation("linear")], "bce"),
    ([Dense(1), Activation("sigmoid")], "bce"),
    ([Dense(2, "sigmoid"), Rescaling([0.5, 1])], losses.Dice()),
    ([Dense(3, "sigmoid")], "categorical_crossentropy"),
    ([Dense(3, "softmax")], "mse"),
    ([Dense(3, "softmax")], "bce"),
    ([Dense(2, "sigmoid"), Dropout(0), GaussianNoise(0)], "bce"),
    ([Dense(2, "tanh"), Rescaling(0.5, 0.5)], "kl_divergence"),
    ([Dense(3)], "categorical_hinge"),
    ([Dense(2)], lambda y, p: ((p - y).sum(axis=1), np.ones_like(p))),
], ids=str)
def test_compile_is_silent_when_the_layers_suit_the_loss(stack, loss):
    assert warnings_of(stack, loss) == []


def test_layers_added_after_compile_are_checked_once_at_build(data):
    x, y = data
    made = nnfast.Sequential()
    made.compile("sgd", "bce")
    made.add(Dense(1))
    with pytest.warns(UserWarning, match="needs predictions"):
        made.fit(x, y > 0, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.fit(x, y > 0, verbose=0)
        copied = copy.deepcopy(made)
        copied.fit(x, y > 0, verbose=0)
        known = nnfast.Sequential([Dense(1, "sigmoid")])
        known.compile("sgd", "bce")
        known.fit(x, y > 0, verbose=0)


# -- masked arrays ---------------------------------------------------------------------------------

def masked(array):
    return np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) == 1)


def test_masked_elements_are_refused_in_every_argument(data):
    x, labels = data
    y, weights, net = np.random.default_rng(1).random((50, 3)), np.ones(50), model(loss="mse")
    before = net.params.copy()
    calls = {
        "x": [lambda: net.fit(masked(x), y), lambda: net.predict(masked(x)), lambda: net.evaluate(masked(x), y),
              lambda: nnfast.functional.dense_forward(masked(x), np.ones((4, 1)))],
        "y": [lambda: net.fit(x, masked(y)), lambda: net.train_on_batch(x, masked(y)),
              lambda: model().fit(x, masked(labels)), lambda: net.loss_and_gradients(x, masked(y)),
              lambda: net.fit(x, [*map(masked, y)])],
        "y of validation_data": [lambda: net.fit(x, y, validation_data=(x, masked(y)))],
        "sample_weight": [lambda: net.fit(x, y, sample_weight=masked(weights)),
                          lambda: losses.MeanSquaredError()(y, y, masked(weights))],
        "y_true": [lambda: losses.MeanSquaredError()(masked(y), y),
                   lambda: losses.SparseCategoricalCrossentropy()(masked(labels), y),
                   lambda: nnfast.functional.mean_squared_error(masked(y), y),
                   lambda: nnfast.metrics.MeanSquaredError()(masked(y), y)],
        "y_pred": [lambda: losses.MeanSquaredError()(y, masked(y)),
                   lambda: nnfast.metrics.Accuracy()(labels, masked(y))],
        "rows": [lambda: net.fit(x, y, rows=masked(np.arange(50)))],
    }
    for name, several in calls.items():
        for call in several:
            refused(call, f"{name} must not be masked", "filled")
    refused(lambda: net.set_weights([masked(w) for w in net.get_weights()]), "must not be masked")
    assert np.array_equal(net.params, before)
    # a mask without a masked element is accepted
    net.fit(np.ma.masked_array(x), np.ma.masked_array(y, mask=np.zeros_like(y, bool)), verbose=0)


# -- class weights ---------------------------------------------------------------------------------

@pytest.mark.parametrize("loss, outputs", [
    ("mse", 3), ("mae", 3), ("binary_crossentropy", 3), ("huber", 3), ("mse", 1)])
def test_class_weights_for_targets_that_are_not_classes_are_refused(data, loss, outputs):
    x, _ = data
    y = np.random.default_rng(0).random((50, outputs))
    net = model(outputs, "sigmoid", loss)
    before = net.params.copy()
    for call in (net.fit, net.train_on_batch, net.evaluate):
        refused(lambda call=call: call(x, y, class_weight={0: 2.0}), "class_weight needs classes")
        refused(lambda call=call: call(x, y, class_weight="balanced"), "class_weight needs classes")
    assert np.array_equal(net.params, before)


@pytest.mark.filterwarnings("ignore:.* needs a last layer:UserWarning")
@pytest.mark.parametrize("name", [name for name, cls in losses._CLASSES.items() if cls._tasks == (losses.REGRESSION,)])
def test_class_weights_with_a_regression_loss_are_refused(data, name):
    net = model(2, "softplus", losses._CLASSES[name]())
    y = np.ones((50, 1 if name == "gaussian_nll" else 2)) / 2
    refused(lambda: net.fit(data[0], y, class_weight={0: 2.0}), "class_weight needs classes", "sample_weight")
    refused(lambda: losses._CLASSES[name]()(y, np.ones((50, 2)), class_weight={0: 2.0}), "class_weight needs classes")


@pytest.mark.filterwarnings("ignore:.* needs a last layer:UserWarning")
def test_class_weights_equal_sample_weights_of_the_labels(data):
    x, y = data
    one_hot = np.eye(3)[y]
    for loss, targets in (("mse", one_hot), ("categorical_crossentropy", 0.8 * one_hot + 0.2 / 3),
                          ("categorical_hinge", one_hot), ("hinge", 2 * one_hot - 1),
                          (lambda y, p: ((p - y).sum(axis=1), np.ones_like(p)), one_hot.astype("float32"))):
        given = model(loss=loss).test_on_batch(x, targets, class_weight={0: 3.0, 1: 0.5})
        expected = model(loss=loss).test_on_batch(x, targets, sample_weight=np.array([3, 0.5, 1])[y])
        assert given == pytest.approx(expected)


# -- objects that are not arrays -------------------------------------------------------------------

class Batches:
    """A data set as in Keras and PyTorch: NumPy would read it forever."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index > 100:
            pytest.fail("the data set was read")
        return np.zeros((4, 4)), np.zeros(4)


def endless():
    while True:
        yield 1.0


def itself():
    made = [1.0]
    made[:] = [made, made]
    return made


NO_ARRAYS = {
    "data set": Batches, "generator": endless, "iterator": lambda: iter([1.0]), "set": lambda: {1.0},
    "dict": lambda: {"a": np.zeros((50, 4))}, "text": lambda: "data.csv", "function": lambda: endless,
    "class": lambda: np.ndarray, "list of data sets": lambda: [Batches()],
    "deep in a list": lambda: [[1.0, 2.0], (Batches(), 2.0)], "dict in a list": lambda: [{"a": 1.0}],
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_objects_that_are_not_arrays_are_refused_unread(data, kind):
    x, y = data
    net, rows = model(metrics=["acc"]), np.ones(50)
    given = NO_ARRAYS[kind]
    for call in (lambda a: net.fit(a, y), lambda a: net.fit(x, a), lambda a: net.fit(x, y, sample_weight=a),
                 lambda a: net.fit(x, y, rows=a), lambda a: net.fit(x, y, validation_data=(a, y)),
                 lambda a: net.fit(x, y, validation_data=(x, a)), lambda a: net.evaluate(a, y),
                 lambda a: net.evaluate(x, a), net.predict, lambda a: net.train_on_batch(a, y),
                 lambda a: net.train_on_batch(x, a), lambda a: net.test_on_batch(a, y),
                 lambda a: net.loss_and_gradients(a, y), lambda a: nnfast.fit_many([net], a, y),
                 lambda a: nnfast.fit_many([net], x, a), lambda a: nnfast.fit_many([net], x, y, folds=[a]),
                 lambda a: nnfast.cross_validate(net, a, y), lambda a: nnfast.cross_validate(net, x, a),
                 lambda a: nnfast.cross_validate(net, x, y, sample_weight=a),
                 lambda a: nnfast.find_learning_rate(net, a, y), lambda a: nnfast.losses.MeanSquaredError()(a, rows),
                 lambda a: nnfast.losses.MeanSquaredError()(rows, a), lambda a: nnfast.metrics.Accuracy()(a, rows),
                 lambda a: nnfast.metrics.Accuracy()(rows, a), nnfast.functional.relu,
                 lambda a: nnfast.gradcheck.gradcheck("mse", a, rows), lambda a: nnfast.gradcheck.gradcheck(net, a, y),
                 lambda a: nnfast.layers.Normalization().adapt(a)):
        refused(partial(call, given()), "must be an array", error=TypeError)
    assert net.epoch == 0


@pytest.mark.parametrize("weights", [Batches(), endless(), {"a": 1}, 3, "weights"])
def test_weights_that_are_not_a_list_of_arrays_are_refused(weights):
    with pytest.raises((TypeError, ValueError), match="must"):
        model().set_weights(weights)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("given", [Batches(), endless(), [Batches()], {1: 2}])
def test_estimators_refuse_objects_that_are_not_arrays_before_scikit_learn_reads_them(data, given, kind):
    pytest.importorskip("sklearn")
    x, y = data
    fitted = getattr(nnfast, kind)(max_iter=2, hidden_layer_sizes=(3,)).fit(x, y)
    ensemble = nnfast.Ensemble(fitted, 2).fit(x, y)
    for call in (lambda: fitted.fit(given, y), lambda: fitted.fit(x, given),
                 lambda: fitted.fit(x, y, sample_weight=given), lambda: fitted.fit(x, y, validation_data=(given, y)),
                 lambda: fitted.predict(given), lambda: fitted.score(given, y), lambda: fitted.score(x, given),
                 lambda: fitted.partial_fit(given, y), lambda: ensemble.fit(given, y), lambda: ensemble.fit(x, given),
                 lambda: ensemble.predict(given), lambda: ensemble.score(x, given),
                 lambda: nnfast.fit_many([fitted], given, y), lambda: nnfast.cross_validate(fitted, given, y, folds=2)):
        refused(call, "must be an array", error=TypeError)


def test_endlessly_nested_lists_are_refused():
    deep = [1.0]
    for _ in range(50):
        deep = [deep]
    for given in (deep, itself()):
        refused(partial(model().predict, given), "axes")


def test_objects_with_an_array_protocol_are_read(data):
    import array
    import decimal

    x = data[0][:2].astype("float64")

    class Protocol:
        def __init__(self, **methods):
            self.__dict__.update(methods)

    class WithArray:
        def __array__(self, dtype=None, copy=None):
            return x

    class WithDlpack:
        def __dlpack__(self, **options):
            return x.__dlpack__(**options)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    net = model()
    expected = net.predict(x)
    for given in (x.tolist(), tuple(map(tuple, x)), list(x), [x[0].tolist(), x[1]],
                  [array.array("d", row) for row in x], memoryview(x), WithArray(), WithDlpack(),
                  Protocol(__array_interface__=x.__array_interface__), x.astype(object),
                  [[decimal.Decimal(float(v)) for v in row] for row in x]):
        np.testing.assert_array_equal(net.predict(given), expected)


def test_objects_that_are_not_numbers_are_named_by_row_and_column():
    refused(lambda: model().predict(np.array([[1, 2, 3, 4], [1, 2, "b", 4]], dtype=object)), "row 1, column 2", "'b'",
            "OneHotEncoder")
    refused(lambda: model().predict(np.array([[1, None, 3, 4]], dtype=object)), "must be finite", "nan in column 1")
    refused(lambda: model().fit(np.zeros((2, 4)), ["cat", "dog"]), "np.unique(y, return_inverse=True)[1]")
    refused(lambda: model().predict(np.array([["1", "2", "3", "4"]])), "np.asarray(x, dtype='float64')")
    refused(lambda: model().predict(np.array([["2020-01-01"] * 4], "M8[D]")), "np.timedelta64(1, 'D')")
    refused(lambda: model().predict(np.zeros((1, 4), complex)), "x.real")


def test_error_for_structured_arrays_names_the_conversion():
    records = np.zeros(2, [("a", "f4"), ("b", "f4"), ("c", "f4"), ("d", "f4")])
    refused(lambda: model().predict(records), "from numpy.lib.recfunctions import structured_to_unstructured")
    from numpy.lib.recfunctions import structured_to_unstructured

    assert model().predict(structured_to_unstructured(records)).shape == (2, 3)


def test_error_for_tensors_of_a_dtype_missing_in_numpy_names_the_conversion():
    torch = pytest.importorskip("torch")
    x = torch.ones(2, 4, dtype=torch.bfloat16)
    refused(lambda: model().predict(x), "Convert it first with x.float().")
    assert model().predict(x.float()).shape == (2, 3)


def test_errors_say_how_to_handle_non_finite_targets_and_numbers_out_of_range():
    net = model(3, "linear", "mse")
    x, y = np.ones((4, 4)), np.ones((4, 3))
    y[2, 1] = np.nan
    refused(lambda: net.fit(x, y), "row 2 holds nan in column 1", "Drop such rows.")
    x[1, 0] = 1e300
    refused(lambda: net.predict(x), "row 1 holds a number beyond the range", "give the model dtype='float64'")
    model(3, "linear", "mse", dtype="float64").predict(x)


@pytest.mark.parametrize("weights", ["balanced", {0: 1, 1: 2}])
def test_error_for_class_weights_in_sample_weight_names_class_weight(data, weights):
    refused(lambda: model().fit(*data, sample_weight=weights), "go into class_weight", error=TypeError)


def test_error_for_targets_of_more_axes_names_reshape():
    net, y = model(1, "linear", "mse"), np.ones((4, 1, 1))
    refused(lambda: net.fit(np.ones((4, 4)), y), "y.reshape(len(y), -1)")
    net.fit(np.ones((4, 4)), y.reshape(len(y), -1), verbose=0)


@pytest.mark.parametrize("option", ["epoch", "verbose", "rows", "x"])
def test_unknown_fit_options_are_refused_before_any_model_is_trained(data, option):
    models = [model(), model()]
    refused(lambda: nnfast.fit_many(models, *data, fit_options=[{}, {option: 1}]), "models[1]", f"got {option!r}",
            "epochs", error=TypeError)
    assert models[0].history is None


def test_layers_and_models_must_be_in_lists(data):
    refused(lambda: nnfast.Sequential(Dense(1)), "layers must be a list", "Sequential([first, second])",
            error=TypeError)
    refused(lambda: nnfast.fit_many(model(), *data), "models must be a list", "fit_many([model], ...)", error=TypeError)
    refused(lambda: nnfast.fit_many([model()], *data, folds=3), "folds must be a list", error=TypeError)
    refused(lambda: nnfast.fit_many([model()], *data, fit_options="epochs"), "fit_options must be a dict",
            error=TypeError)


def test_error_for_sparse_matrices_names_what_reads_them():
    sparse = pytest.importorskip("scipy.sparse")
    for made in (sparse.csr_matrix, sparse.coo_array):
        refused(partial(model().predict, made(np.eye(4))), "x.toarray()", "MLPClassifier", error=TypeError)


# -- frames ----------------------------------------------------------------------------------------

def frames(package):
    """A frame of a package with numbers, booleans and missing values, and the array it holds."""
    columns = {"age": [1, None, 3], "member": [True, False, True], "height": [0.5, 1.5, 2.5]}
    array = np.array([[1, 1, 0.5], [np.nan, 0, 1.5], [3, 1, 2.5]])
    if package == "polars":
        return pytest.importorskip("polars").DataFrame(columns), array
    if package == "pyarrow":
        return pytest.importorskip("pyarrow").table(columns), array
    pandas = pytest.importorskip("pandas")
    if package == "pandas[pyarrow]":
        pytest.importorskip("pyarrow")
    backend = "pyarrow" if package == "pandas[pyarrow]" else "numpy_nullable"
    return pandas.DataFrame(columns).convert_dtypes(dtype_backend=backend), array


PACKAGES = pytest.mark.parametrize("package", ["pandas", "pandas[pyarrow]", "polars", "pyarrow"])


@PACKAGES
def test_frames_of_numbers_and_booleans_are_read(package):
    frame, array = frames(package)
    np.testing.assert_array_equal(nnfast._validation.numeric(frame, "x"), array)
    np.testing.assert_array_equal(nnfast._validation.numeric(frame["age"], "y"), array[:, 0])


@PACKAGES
def test_missing_values_of_a_frame_are_named_by_column_and_row(package):
    frame, array = frames(package)
    net, whole = model(inputs=3), array[[0, 2, 0]]
    for call in (lambda: net.fit(frame, [0, 1, 2]), lambda: net.evaluate(frame, [0, 1, 2]), lambda: net.predict(frame),
                 lambda: net.train_on_batch(frame, [0, 1, 2]),
                 lambda: net.fit(whole, [0, 1, 2], validation_data=(frame, [0, 1, 2]))):
        refused(call, "must be finite", "row 1", "nan in column 'age'", "SimpleImputer")
    refused(lambda: nnfast.fit_many([net], frame, np.arange(3)), "nan in column 'age'", error=nnfast.FitErrors)
    targets = model(3, "linear", "mse", 3)
    refused(lambda: targets.fit(whole, frame), "y must be finite", "row 1", "'age'", "Drop such rows")


def test_frames_become_arrays_of_the_smallest_common_dtype():
    pandas = pytest.importorskip("pandas")
    numeric = nnfast._validation.numeric
    singles = pandas.DataFrame({"a": pandas.array([1.5, None], dtype="Float32"), "b": [True, False]})
    assert numeric(singles, "x").dtype == np.float32
    small = pandas.DataFrame({"a": pandas.array([1, 2], dtype="Int8"), "b": [True, False]})
    assert numeric(small, "x").dtype == np.int8
    dummies = pandas.get_dummies(pandas.DataFrame({"age": [1.0, 2.0], "city": ["a", "b"]}))
    np.testing.assert_array_equal(numeric(dummies, "x"), [[1, 1, 0], [2, 0, 1]])
    np.testing.assert_array_equal(numeric(pandas.get_dummies(pandas.Series(["a", "b"]), sparse=True), "x"), np.eye(2))
    np.testing.assert_array_equal(numeric(pandas.Series([2, 1, 2], dtype="category"), "y"), [2, 1, 2])
    plain = pandas.DataFrame(np.zeros((3, 2)))
    assert np.shares_memory(numeric(plain, "x"), plain.to_numpy())


def test_columns_that_are_not_numbers_are_named_with_their_dtypes():
    pandas = pytest.importorskip("pandas")
    cities, dates = pandas.Categorical(["a", "b"]), pandas.to_datetime(["2020", "2021"])
    frame = pandas.DataFrame({"age": [1.0, 2.0], "city": cities, "when": dates})
    refused(lambda: model().predict(frame), "'city' (category)", "'when' (datetime64", "get_dummies", "OneHotEncoder")
    net = model(inputs=3)
    net.predict(pandas.get_dummies(frame.drop(columns="when")))         # the advice works
    refused(lambda: net.fit(np.zeros((2, 3)), frame["city"]), "dtype category", "np.unique(y, return_inverse=True)[1]")


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_columns_of_strings_are_named_in_frames_of_other_packages(package):
    module = pytest.importorskip(package)
    frame = getattr(module, "DataFrame", None) or module.table
    refused(lambda: model().predict(frame({"age": [1.0], "city": ["1"]})), "'city' (", "get_dummies")


# -- names -----------------------------------------------------------------------------------------

GETS = {"optimizer": nnfast.optimizers.get, "loss": nnfast.losses.get, "metric": nnfast.metrics.get,
        "activation": nnfast.activations.get, "initializer": nnfast.initializers.get,
        "regularizer": nnfast.regularizers.get, "constraint": nnfast.constraints.get}


@pytest.mark.parametrize("what", GETS)
@pytest.mark.parametrize("value", [3, [], {}, "", "none of them", dict, np, object()])
def test_error_for_an_invalid_name_lists_the_known_names(what, value):
    refused(lambda: GETS[what](value), f"{what} must be one of the known names", "Known: ")
    if not isinstance(value, str):
        with pytest.raises(ValueError) as caught:
            GETS[what](value)
        assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("what", ["optimizer", "loss", "metric", "initializer"])
def test_error_for_none_says_what_must_be_given(what):
    refused(lambda: GETS[what](None), f"{what} must be given", "Known: ")
    with pytest.raises(ValueError) as caught:
        nnfast.Sequential([Dense(1)]).compile(None, "mse")
    assert "optimizer must be given" in str(caught.value) and "lion'" not in str(caught.value)


@pytest.mark.parametrize("what, name, first", [
    ("loss", "crossentropy", "binary_crossentropy"), ("loss", "cce", "categorical_crossentropy"),
    ("loss", "sparse_cce", "sparse_categorical_crossentropy"), ("loss", "rmse", "mean_squared_error"),
    ("loss", "MSELoss", "mse"), ("loss", "BCEWithLogitsLoss", "bce"), ("loss", "logloss", "binary_crossentropy"),
    ("metric", "r2", "r2_score"), ("metric", "roc_auc", "auc"), ("metric", "F1-score", "f1_score"),
    ("optimizer", "adam_w", "adamw"), ("optimizer", "l-bfgs", "lbfgs"), ("activation", "relu6", "relu"),
    ("initializer", "xavier", "glorot_uniform"), ("initializer", "xavier_normal", "glorot_normal"),
    ("initializer", "kaiming_normal", "he_normal"), ("initializer", "kaiming_uniform_", "he_uniform"),
    ("constraint", "maxnorm", "max_norm"), ("regularizer", "ridge", "l2"),
])
def test_the_nearest_name_stands_first_among_the_suggestions(what, name, first):
    refused(lambda: GETS[what](name), f"Did you mean {first!r}")


def test_f1_is_the_f1_score():
    assert isinstance(nnfast.metrics.get("f1"), nnfast.metrics.F1Score) and nnfast.metrics.get("f1").name == "f1"
