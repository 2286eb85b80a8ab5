"""Layers without a kernel, activity penalties, constraints and learning rates of layers.

They are compared with NumPy and with finite differences.
"""
import copy
import pickle

import numpy as np
import pytest
import reference
from scipy import special, stats
from tolerances import STEP, assert_close

import nnfast
from nnfast import _threads, layers
from nnfast._core import network as core
from nnfast.constraints import MaxNorm, NonNeg
from nnfast.gradcheck import gradcheck
from nnfast.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    GaussianNoise,
    Input,
    LayerNormalization,
    Normalization,
    PReLU,
    Rescaling,
)
from nnfast.regularizers import L1, L1L2, L2

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
# away from the kink of |w|
SOME, SMALL = nnfast.initializers.RandomUniform(0.5, 1.5), nnfast.initializers.RandomUniform(0.01, 0.1)
STACKS = {
    "dropout": [Dense(21, "tanh"), Dropout(0.3), Dense(3)],
    "dropout first": [Dropout(0.5), Dense(21, "silu"), Dropout(0.2), Dense(3)],
    "noise": [GaussianNoise(0.5), Dense(21, "tanh"), GaussianNoise(0.1), Dense(3)],
    "batch normalisation": [
        Dense(21, use_bias=False),
        BatchNormalization(beta_initializer=SOME, gamma_initializer=SOME),
        Activation("tanh"),
        Dense(3),
    ],
    "batch normalisation first and last": [
        BatchNormalization(momentum=0.5),
        Dense(3),
        BatchNormalization(epsilon=0.1, gamma_initializer=SOME),
    ],
    "batch normalisation alone": [
        Dense(5),
        BatchNormalization(center=False, scale=False),
        BatchNormalization(scale=False),
        Dense(3),
    ],
    "layer normalisation": [
        Dense(21),
        LayerNormalization(beta_initializer=SOME, gamma_initializer=SOME),
        Activation("tanh"),
        Dense(3),
    ],
    "layer normalisation first and last": [
        LayerNormalization(),
        Dense(3),
        LayerNormalization(center=False, epsilon=0.1),
    ],
    "layer normalisation alone": [
        Dense(5),
        LayerNormalization(center=False, scale=False),
        LayerNormalization(scale=False),
        Dense(3),
    ],
    "prelu": [Dense(21), PReLU(SOME), Dense(3), PReLU()],
    "fixed": [
        Rescaling(2.0, 0.5),
        Normalization(0.3, 4.0),
        Dense(21, "tanh"),
        Rescaling(tuple(np.linspace(1, 2, 21))),
        Dense(3),
        Normalization((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), invert=True),
    ],
    "all": [
        Normalization(0.1, 2.0),
        Dense(21),
        BatchNormalization(),
        PReLU(SOME),
        Dropout(0.25),
        Dense(17),
        LayerNormalization(),
        GaussianNoise(0.1),
        Activation("gelu"),
        Dense(3),
    ],
    "penalties": [
        Dense(
            21,
            "tanh",
            activity_regularizer=L1L2(0.01, 0.02),
            kernel_regularizer=L2(0.1),
            bias_regularizer=L1(0.05),
            bias_initializer=SOME,
        ),
        Dense(
            600,
            "tanh",
            activity_regularizer=L1(0.001),
            kernel_regularizer=L1(0.01),
            kernel_initializer=SMALL,
        ),
        Dense(3, activity_regularizer=L2(0.1)),
    ],
}
every_stack = pytest.mark.parametrize("stack", STACKS)


def data(rows=50, outputs=3):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 7)).astype(np.float32), rng.standard_normal((rows, outputs)).astype(np.float32)


def model_of(stack, dtype="float64", optimizer="sgd", loss="mse"):
    layers_of_stack = STACKS[stack] if isinstance(stack, str) else stack
    model = nnfast.Sequential([Input(7), *map(copy.copy, layers_of_stack)], dtype=dtype, seed=3)
    model.compile(optimizer, loss)
    return model


# -- the random numbers in NumPy -------------------------------------------------------------------

def row_keys(seed, rows, layer):
    with np.errstate(over="ignore"):
        counter = (np.arange(rows, dtype=np.uint64) << np.uint64(16)) + np.uint64(layer + 1)
        x = np.uint64(seed) + counter * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def random_bits(seed, rows, columns, layer):
    keys = row_keys(seed, rows, layer)[:, None]
    low, high = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
    with np.errstate(over="ignore"):
        x = np.arange(columns, dtype=np.uint32) + low
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15)) ^ high) * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))


def kept(seed, rows, columns, layer, rate):
    return (random_bits(seed, rows, columns, layer) >= np.uint32(rate * 2**32)) / (1 - rate)


def noise(seed, rows, columns, layer):
    uniform = (random_bits(seed, rows, columns, layer) >> np.uint32(8)) * 2.0**-23 + (2.0**-24 - 1)
    return np.sqrt(2) * special.erfinv(uniform)


# -- the layers in NumPy ---------------------------------------------------------------------------

def normalized(x, axis, epsilon):
    return (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + epsilon)


def gamma_beta(layer, arrays):
    return (next(arrays) if layer.scale else 1), (next(arrays) if layer.center else 0)


def forward(model, arrays, x, seed=None):
    """Returns the output, the activity penalty and the moments of batch normalisations.

    The penalty is divided by the number of rows. The moments are [mean, variance] of each batch
    normalisation. With a seed it computes training, without one inference.
    """
    arrays, penalty, moments = iter(arrays), 0.0, []
    entry = 0               # index of the layer in the network, which the random numbers depend on
    for layer in model.layers:
        if isinstance(layer, Dense):
            x = reference.ACTIVATIONS[layer.activation][0](x @ next(arrays) + (next(arrays) if layer.use_bias else 0))
            if layer.activity_regularizer is not None:
                penalty += layer.activity_regularizer(x) / len(x)
        elif isinstance(layer, Activation):
            x = reference.ACTIVATIONS[layer.activation][0](x)
        elif isinstance(layer, Dropout):
            x = x if seed is None else x * kept(seed, *x.shape, entry, layer.rate)
        elif isinstance(layer, GaussianNoise):
            x = x if seed is None else x + layer.stddev * noise(seed, *x.shape, entry)
        elif isinstance(layer, BatchNormalization):
            gamma, beta = gamma_beta(layer, arrays)
            moving = next(arrays), next(arrays)
            moments.append([x.mean(axis=0), x.var(axis=0)])
            if seed is None:
                hat = (x - moving[0]) / np.sqrt(moving[1] + layer.epsilon)
            else:
                hat = normalized(x, 0, layer.epsilon)
            x = gamma * hat + beta
        elif isinstance(layer, LayerNormalization):
            gamma, beta = gamma_beta(layer, arrays)
            x = gamma * normalized(x, 1, layer.epsilon) + beta
        elif isinstance(layer, PReLU):
            x = np.where(x > 0, x, next(arrays) * x)
        elif isinstance(layer, Rescaling):
            x = x * np.array(layer.scale) + np.array(layer.offset)
        elif isinstance(layer, Normalization):
            mean, deviation = np.array(layer.mean), np.sqrt(layer.variance)
            x = x * deviation + mean if layer.invert else (x - mean) / deviation
        entry += not isinstance(layer, Input)
    return x, penalty, moments


def penalty_on_weights(model, arrays):
    arrays, total = iter(arrays), 0.0
    for layer in model.layers:
        for name, array in zip(layer._first_weights(), arrays):
            regularizer = getattr(layer, f"{name}_regularizer", None)
            total += 0 if regularizer is None else regularizer(array)
        if isinstance(layer, BatchNormalization):
            next(arrays), next(arrays)
    return total


def total_loss(model, arrays, x, y, seed):
    out, penalty, _ = forward(model, arrays, np.asarray(x, np.float64), seed)
    return ((out - y)**2).mean() + penalty + penalty_on_weights(model, arrays)


def trained_places(model):
    """Returns the indices of the arrays in `get_weights()` that are trained."""
    places, place = [], 0
    for layer in model._owners:
        count = len(layer._first_weights())
        places += range(place, place + count)
        place += count + 2 * layer._moves_state
    return places


def gradient_of(model, x, y, seed):
    """Returns the loss and the gradients of the native call for a seed of the random numbers."""
    data, sums = model._data(x, y), model._tally.sums()
    batches = core.Batches(data.x_rows, data.y_rows, len(x))
    _, status, _ = model._network.train_batches(batches, 0, 1, 0.0, sums, update=False, seed=seed)
    assert status == core.DONE
    return model._tally.mean_loss(sums, len(x)), [part.copy() for part in model._views(model._network.grads)]


@every_dtype
@every_stack
def test_loss_and_gradient_match_the_formulas(stack, dtype):
    model, (x, y), seed = model_of(stack, dtype), data(), 123456789012345
    loss, gradients = gradient_of(model, x, y, seed)
    arrays = [array.astype(np.float64) for array in model.get_weights()]
    # noise is made in single precision
    noisy = any(isinstance(layer, GaussianNoise) for layer in model.layers)
    tolerance = "difference" if noisy and dtype == "float64" else "gradient"
    assert_close(loss, total_loss(model, arrays, x, y, seed), tolerance, dtype)
    if dtype == "float32":
        return                              # the next test compares its gradients with float64
    for place, gradient in zip(trained_places(model), gradients, strict=True):
        chosen = np.random.default_rng(place).choice(gradient.size, min(12, gradient.size), replace=False)
        for index in [np.unravel_index(i, gradient.shape) for i in chosen]:
            before = arrays[place][index]
            arrays[place][index] = before + STEP
            above = total_loss(model, arrays, x, y, seed)
            arrays[place][index] = before - STEP
            expected = (above - total_loss(model, arrays, x, y, seed)) / (2 * STEP)
            arrays[place][index] = before
            assert_close(gradient[index], expected, "difference")


@every_stack
def test_float32_gradient_matches_float64(stack):
    model, wide, (x, y) = model_of(stack, "float32"), model_of(stack, "float64"), data()
    wide.set_weights(model.get_weights())
    exact_ones = gradient_of(wide, x, y, 7)[1]
    scale = max(np.abs(exact).max() for exact in exact_ones)
    for narrow, exact in zip(gradient_of(model, x, y, 7)[1], exact_ones, strict=True):
        assert_close(narrow / scale, exact / scale, "gradient", "float32")


@every_dtype
@every_stack
def test_predict_and_evaluate_match_the_formula_at_inference(stack, dtype):
    model, (x, y) = model_of(stack, dtype), data()
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)         # changes the moving moments
    arrays = [array.astype(np.float64) for array in model.get_weights()]
    out, penalty, _ = forward(model, arrays, x.astype(np.float64))
    assert_close(model.predict(x), out, "gradient", dtype)
    assert_close(model.predict(x[:1]), out[:1], "gradient", dtype)
    expected = ((out - y)**2).mean() + penalty + penalty_on_weights(model, arrays)
    assert_close(model.evaluate(x, y, verbose=0), expected, "gradient", dtype)


def after_an_epoch(stack, dtype, x, y, batch_size, n_threads):
    """Returns weights, state and sums as bytes after an epoch with exactly n_threads threads."""
    model = model_of(stack, dtype, "adam")
    with _threads.Team(model._network, n_threads, 1e9, _threads.Pace()) as team:
        assert team.most == n_threads
        sums = model._tally.sums()
        batches = core.Batches(core.DenseRows(x), core.DenseRows(y), batch_size)
        model._network.train_batches(batches, 0, len(batches), 0.01, sums, team.grow(n_threads), seed=1)
    return model.params.tobytes() + model._network.state.tobytes() + sums.tobytes()


@every_dtype
@every_stack
def test_number_of_threads_changes_no_bit(stack, dtype):
    assert len({after_an_epoch(stack, dtype, *data(301), 64, n_threads) for n_threads in (1, 2, 3)}) == 1


@every_dtype
def test_batches_may_have_fewer_rows_than_threads(dtype):
    assert len({after_an_epoch("all", dtype, *data(5), 2, n_threads) for n_threads in (1, 2, 3, 8)}) == 1


@pytest.mark.parametrize("stack", ["batch normalisation", "all"])
def test_moving_moments_follow_the_batches(stack):
    (x, y), model = data(48), model_of(stack)
    moved = [i for i in range(len(model.get_weights())) if i not in trained_places(model)]
    momentum = next(layer for layer in model.layers if isinstance(layer, BatchNormalization)).momentum
    before = model.get_weights()
    model._rng, seeds = np.random.default_rng(9), np.random.default_rng(9)
    model.train_on_batch(x, y)
    seed = int(seeds.integers(2**63)) if model._network.random else 0
    [mean, variance], = forward(model, before, x.astype(np.float64), seed)[2]
    for place, kept, batch in zip(moved, [np.zeros, np.ones], [mean, variance], strict=True):
        assert_close(model.get_weights()[place], momentum * kept(len(batch)) + (1 - momentum) * batch, "gradient")


def test_a_bad_batch_leaves_the_moving_moments_unchanged():
    (x, y), model = data(64), model_of("batch normalisation", "float32")
    model.fit(x, y, epochs=1, batch_size=16, verbose=0)
    before = model.get_weights()
    x[40, 2] = np.nan
    with pytest.raises(ValueError, match="row 40"):
        model.train_on_batch(x, y)
    with pytest.raises(ValueError, match="row 40"):
        model.fit(x, y, batch_size=64, verbose=0)
    for kept, now in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(kept, now)
    y[3] = 1e30                             # the loss overflows: all steps of this range are undone
    x[40, 2] = 0
    with pytest.raises(FloatingPointError):
        model.fit(x, y, batch_size=64, verbose=0)
    for kept, now in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(kept, now)


def test_a_batch_longer_than_the_workspace_is_normalised_as_a_whole():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20000, 7)), rng.standard_normal((20000, 3))
    model = model_of("batch normalisation")
    loss, _ = gradient_of(model, x, y, 0)
    assert_close(loss, total_loss(model, model.get_weights(), x, y, 0), "gradient")


def test_a_long_batch_adds_up_the_gradients_of_its_parts():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20000, 7)), rng.standard_normal((20000, 3))
    for stack in ("layer normalisation", "prelu", "penalties"):
        model = model_of(stack)
        _, whole = gradient_of(model, x, y, 0)
        halves = [gradient_of(model, x[part], y[part], 0)[1] for part in (slice(10000), slice(10000, None))]
        for got, first, second in zip(whole, *halves, strict=True):
            assert_close(got, (first + second) / 2, "gradient")


@pytest.mark.parametrize("stack", ["batch normalisation", "layer normalisation", "prelu", "dropout", "noise", "all"])
def test_gradcheck_passes(stack):
    assert gradcheck(model_of(stack), *data(20))


# -- random numbers --------------------------------------------------------------------------------

def masks(rate=0.5, rows=4000, columns=250):
    """Returns the outputs of a Dropout for inputs of ones in one epoch."""
    identity = Dense(columns, kernel_initializer="identity")
    model = nnfast.Sequential([Input(columns), Dropout(rate), identity], seed=5)
    model.compile("sgd", "mse")
    seen = np.empty((rows, columns), np.float32)
    x = np.ones((rows, columns), np.float32)
    batches = core.Batches(core.DenseRows(x), core.DenseRows(x), 100)
    model._network.train_batches(batches, 0, rows // 100, 0.0, model._tally.sums(), update=False, outputs=seen, seed=99)
    return seen


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_mask_is_random(rate):
    seen = masks(rate)
    assert_close(np.unique(seen), [0, 1 / (1 - rate)], "loss", "float32")
    mask = (seen > 0).astype(float)
    n = mask.size
    assert abs(mask.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)
    counts = mask.sum(axis=0), mask.sum(axis=1)
    for count, trials in zip(counts, (len(mask), mask.shape[1])):       # columns and rows are binomial
        chi_square = ((count - trials * (1 - rate))**2).sum() / (trials * rate * (1 - rate))
        assert 1e-4 < stats.chi2.sf(chi_square, len(count)) < 1 - 1e-4
    centred = mask - mask.mean()
    for lag in range(1, 9):                 # neighbours in a row and in a column
        for pairs in (centred[:, lag:] * centred[:, :-lag], centred[lag:] * centred[:-lag]):
            assert abs(pairs.mean()) < 4.5 * rate * (1 - rate) / np.sqrt(pairs.size)


def test_noise_is_normal():
    columns, rows = 200, 2000
    identity = Dense(columns, kernel_initializer="identity")
    model = nnfast.Sequential([Input(columns), GaussianNoise(2.0), identity], seed=5)
    model.compile("sgd", "mse")
    x, seen = np.ones((rows, columns), np.float32), np.empty((rows, columns), np.float32)
    batches = core.Batches(core.DenseRows(x), core.DenseRows(x), 100)
    model._network.train_batches(batches, 0, rows // 100, 0.0, model._tally.sums(), update=False, outputs=seen, seed=99)
    values = (seen.ravel() - 1) / 2
    assert stats.kstest(values, "norm").pvalue > 1e-4
    assert abs(values.mean()) < 0.01 and abs(values.std() - 1) < 0.01 and 4 < abs(values).max() < 6


def test_every_epoch_and_layer_has_a_separate_mask_and_a_seed_repeats_them():
    x, y = data(100)

    def losses(seed):
        model = nnfast.Sequential([Input(7), Dense(30, "tanh"), Dropout(0.5), Dropout(0.5), Dense(3)], seed=seed)
        model.compile(nnfast.optimizers.SGD(0.0), "mse")
        return model.fit(x, y, epochs=4, shuffle=False, verbose=0).history["loss"]

    first = losses(1)
    assert len(set(first)) == 4 and first == losses(1) and first != losses(2)
    twice = kept(5, 50, 40, 1, 0.5) * kept(5, 50, 40, 2, 0.5)
    assert 0.2 < (twice > 0).mean() < 0.3


# -- constraints, learning rates -------------------------------------------------------------------

@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.5}])
def test_constraints_hold_after_every_step(dtype, n_threads, options):
    x, y = data(96)
    constrained = [
        Dense(37, "tanh", kernel_constraint=MaxNorm(0.5), bias_constraint="non_neg"),
        Dense(20, "tanh", kernel_constraint=NonNeg(), bias_constraint=MaxNorm(0.01)),
        Dense(3),
    ]
    model = model_of(constrained, dtype, nnfast.optimizers.SGD(0.1, **options))
    free = model_of([Dense(37, "tanh"), Dense(20, "tanh"), Dense(3)], dtype, nnfast.optimizers.SGD(0.1, **options))
    for _ in range(3):
        free.set_weights(model.get_weights())
        free.fit(x, y, batch_size=96, shuffle=False, verbose=0)
        model.fit(x, y, batch_size=96, shuffle=False, verbose=0, n_threads=n_threads)
        expected = free.get_weights()
        norms = np.linalg.norm(expected[0].astype(float), axis=0)
        expected[0] = expected[0] * (np.minimum(norms, 0.5) / (1e-7 + norms))
        expected[1], expected[2] = np.maximum(expected[1], 0), np.maximum(expected[2], 0)
        norm = np.linalg.norm(expected[3].astype(float))
        expected[3] = expected[3] * (min(norm, 0.01) / (1e-7 + norm))
        for now, wanted in zip(model.get_weights(), expected, strict=True):
            assert_close(now, wanted, "training", dtype)
    out, _, _ = forward(model, [w.astype(float) for w in model.get_weights()], x.astype(float))
    assert_close(model.predict(x), out, "gradient", dtype)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_constraints_hold_after_every_batch_of_an_accumulated_step(n_threads):
    (x, y), (rows, rate, count) = data(96), (16, 0.1, 4)
    limits = {0: MaxNorm(0.5), 1: "non_neg", 2: "non_neg", 3: MaxNorm(0.01)}
    random_bias = {"bias_initializer": "random_normal"}
    constrained = [
        Dense(37, "tanh", kernel_constraint=limits[0], bias_constraint=limits[1], **random_bias),
        Dense(20, "tanh", kernel_constraint=limits[2], bias_constraint=limits[3], **random_bias),
        Dense(3),
    ]
    model = model_of(constrained, optimizer=nnfast.optimizers.SGD(rate, gradient_accumulation_steps=count))
    free = model_of([Dense(37, "tanh"), Dense(20, "tanh"), Dense(3)])
    expected, total = model.get_weights(), 0
    model.fit(x, y, batch_size=rows, shuffle=False, verbose=0, n_threads=n_threads)
    for batch in range(6):                  # a step after the fourth batch, none after the last two
        part = slice(batch * rows, (batch + 1) * rows)
        free.set_weights(expected)
        gradients = free.loss_and_gradients(x[part], y[part])[1]
        total = [old + new for old, new in zip(total or [0] * 6, gradients)]
        if (batch + 1) % count == 0:
            expected, total = [w - rate * g / count for w, g in zip(expected, total)], 0
        for place, limit in limits.items():
            if isinstance(limit, MaxNorm):
                norms = np.linalg.norm(expected[place], axis=0)
                expected[place] = expected[place] * (np.minimum(norms, limit.max_value) / (1e-7 + norms))
            else:
                expected[place] = np.maximum(expected[place], 0)
    for now, wanted in zip(model.get_weights(), expected, strict=True):
        assert_close(now, wanted, "training")


@pytest.mark.parametrize("optimizer", [nnfast.optimizers.SGD(0.1), nnfast.optimizers.Adam(0.01, weight_decay=0.1)])
def test_learning_rate_multiplier_scales_the_step_of_its_layer(optimizer):
    x, y = data(64)
    weights = model_of([Dense(9, "tanh"), Dense(3)]).get_weights()
    steps = []
    for first, last in ((1, 1), (0.25, 1), (0, 2)):
        stack = [Dense(9, "tanh", learning_rate_multiplier=first), Dense(3, learning_rate_multiplier=last)]
        model = model_of(stack, optimizer=copy.copy(optimizer))
        model.set_weights(weights)
        model.train_on_batch(x, y)
        steps.append([now - before for now, before in zip(model.get_weights(), weights)])
    for i, (plain, quarter, none) in enumerate(zip(*steps)):
        assert_close(quarter, plain * (0.25 if i < 2 else 1), "optimizer")
        assert_close(none, plain * (0 if i < 2 else 2), "optimizer")


# -- copies, options, errors, summaries ------------------------------------------------------------

def test_copies_and_pickles_continue_with_the_same_bits():
    x, y = data(64)
    model = model_of("all", "float32", "adam")
    model.fit(x, y, epochs=2, verbose=0)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    model.fit(x, y, epochs=2, verbose=0)
    for other in others:
        other.fit(x, y, epochs=2, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_normalization_adapts_to_columns_and_pixels():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((20000, 5)) * [1, 2, 3, 4, 0] + [1e4, 0, -7, 3, 2]).astype(np.float32)
    layer = Normalization()
    layer.adapt(x)
    assert_close(layer.mean, x.astype(float).mean(axis=0), "loss")
    assert_close(layer.variance, x.astype(float).var(axis=0), "loss")
    out = nnfast.Sequential([Input(5), layer]).predict(x)
    varying, constant = out[:, :4], out[:, 4]
    assert abs(varying.mean(axis=0)).max() < 1e-3 and abs(varying.std(axis=0) - 1).max() < 1e-3 and not constant.any()
    with pytest.raises(ValueError, match="before a model"):
        layer.adapt(x)
    pixels = rng.integers(0, 256, (100, 4, 4), np.uint8)
    layer = Normalization()
    layer.adapt(pixels)
    model = nnfast.Sequential([layers.Flatten(), layer, Dense(2)])
    model.build((None, 4, 4))
    assert len(layer.mean) == 16 and model.predict(pixels).shape == (100, 2)
    model = nnfast.Sequential([Rescaling(1 / 255), layers.Flatten(), Dense(2)])
    model.build((None, 4, 4))
    assert model.predict(pixels).shape == (100, 2)


@pytest.mark.parametrize("make, message", [
    (lambda: Dropout(1.0), "rate must be in"),
    (lambda: Dropout(-0.1), "rate must be"),
    (lambda: GaussianNoise(-1), "stddev must be at least 0"),
    (lambda: BatchNormalization(momentum=2), "momentum"),
    (lambda: LayerNormalization(epsilon=-1), "epsilon"),
    (lambda: Normalization(mean=1.0), "mean and variance"),
    (lambda: Normalization(0.0, -1.0), "variance must be at least 0"),
    (lambda: Rescaling([[1.0]]), "vector with one for each column"),
    (lambda: Rescaling(np.inf), "finite"),
    (lambda: Normalization().adapt(np.zeros(3)), "2-D"),
    (lambda: Normalization().adapt(np.zeros((0, 3))), "row"),
    (lambda: Normalization().adapt([[np.nan]]), "finite"),
    (lambda: Normalization().adapt([[1e200], [-1e200]]), "its variance too"),
    (lambda: nnfast.Sequential([Input(3), Normalization()]).params, "adapt"),
    (lambda: nnfast.Sequential([Input(3), Rescaling([1.0, 2.0])]).params, "each of the 3 columns, got 2"),
    (lambda: nnfast.Sequential([LayerNormalization(), layers.Flatten()]), "Flatten must stand before"),
    (lambda: Dense(3, kernel_regularizer="l3"), "Did you mean"),
    (lambda: Dense(3, kernel_constraint="max"), "constraint must be one of"),
    (lambda: Dense(3, learning_rate_multiplier=-1), "learning_rate_multiplier must be at least 0"),
    (lambda: L2(-1), "l2 must be at least 0"),
    (lambda: MaxNorm(0), "max_value must be positive"),
])
def test_errors_name_the_bad_option(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_lbfgs_refuses_layers_whose_loss_is_no_function_of_the_weights():
    x, y = data()
    for stack in ("dropout", "noise", "batch normalisation"):
        with pytest.raises(ValueError, match="LBFGS needs"):
            model_of(stack, optimizer=nnfast.optimizers.LBFGS()).fit(x, y, epochs=3, verbose=0)
    model_of("layer normalisation", optimizer=nnfast.optimizers.LBFGS()).fit(x, y, epochs=3, verbose=0)


@pytest.mark.parametrize("options", [
    {"kernel_constraint": "max_norm"},
    {"bias_constraint": "non_neg"},
    {"learning_rate_multiplier": 0},
])
def test_lbfgs_refuses_constraints_and_multipliers(options):
    model = model_of([Dense(5, **options), Dense(3)], optimizer=nnfast.optimizers.LBFGS())
    with pytest.raises(ValueError, match="leave out constraints and learning_rate_multiplier"):
        model.fit(*data(), epochs=3, verbose=0)


def test_summary_counts_trained_and_moving_parameters(capsys):
    model = nnfast.Sequential([Input(4), Dense(3, use_bias=False), BatchNormalization(), PReLU(), Dropout(0.1)])
    model.summary()
    out = capsys.readouterr().out
    assert "Total params: 27" in out and "Trainable params: 21" in out and "Non-trainable params: 6" in out
    assert model.count_params() == 27 and len(model.params) == 21


def test_summary_of_a_model_that_is_not_built_shows_what_is_known(capsys):
    nnfast.Sequential([Dropout(0.1), Dense(3), BatchNormalization()]).summary()
    names = ("dropout", "dense", "batch_normalization")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[2:] for row in rows if row[0] in names] == [["?", "0"], ["(None,", "3)", "?"], ["(None,", "3)", "?"]]


@pytest.mark.parametrize("constraint", ["non_neg", "max_norm"])
@pytest.mark.parametrize("options", [
    {},
    {"use_ema": True, "ema_momentum": 0.9},
    {"use_ema": True, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 2, "use_ema": True},
    {"clipnorm": 0.1},
    {"clipvalue": 0.1},
    {"weight_decay": 0.1},
], ids=repr)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_multiplier_of_zero_keeps_the_layer_unchanged(constraint, options, n_threads):
    x, y = data()
    for optimizer in [nnfast.optimizers.SGD(1e-3, momentum=0.9, **options), nnfast.optimizers.Adam(0.1, **options)]:
        frozen = Dense(
            300,
            kernel_initializer=nnfast.initializers.RandomNormal(0, 3),
            kernel_constraint=constraint,
            bias_constraint=constraint,
            bias_initializer=SOME,
            learning_rate_multiplier=0,
        )
        model = nnfast.Sequential([Input(7), frozen, Dense(3)], seed=0)
        before = model.get_weights()
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, n_threads=n_threads)
        after = model.get_weights()
        assert all(map(np.array_equal, before[:2], after[:2]))
        assert not any(map(np.array_equal, before[2:], after[2:]))


@pytest.mark.parametrize("layer, expected", [
    (Dense(84, "relu"), "Dense(84, activation='relu')"),
    (Dense(10), "Dense(10)"),
    (Dropout(0.3), "Dropout(0.3)"),
    (layers.Flatten(), "Flatten()"),
    (Dense(3, use_bias=False, kernel_regularizer="l2"), "Dense(3, use_bias=False, kernel_regularizer=L2(l2=0.01))"),
    (BatchNormalization(momentum=0.9), "BatchNormalization(momentum=0.9)"),
    (Input((28, 28)), "Input((28, 28))"),
    (PReLU(), "PReLU()"),
    (Rescaling(0.5, offset=-1), "Rescaling(0.5, offset=-1.0)"),
    (GaussianNoise(0.1), "GaussianNoise(0.1)"),
    (layers.Activation("tanh"), "Activation('tanh')"),
])
def test_repr_of_a_layer_is_the_call_that_makes_it(layer, expected):
    assert repr(layer) == expected
    assert eval(expected, vars(layers) | {"L2": nnfast.regularizers.L2}) == layer


def test_sequential_has_a_short_repr_and_a_table_in_notebooks():
    model = nnfast.Sequential([layers.Flatten(), Dense(84, "relu"), Dense(10)])
    assert repr(model) == "Sequential([Flatten(), Dense(84, activation='relu'), Dense(10)], dtype='float32')"
    assert "known once built" in model._repr_html_()
    model.build((None, 28, 28))
    html = model._repr_html_()
    assert html.count("<tr>") == 4
    assert "<td>dense_1 (Dense)</td><td>(None, 10)</td><td>850</td>" in html
    assert "Total params: 66,790 (260.90 KB)" in html


def test_summary_names_and_numbers_layers_as_keras_does(capsys):
    stack = [Input(4), Dense(3), BatchNormalization(), Dense(3), PReLU(), GaussianNoise(0.1), BatchNormalization()]
    nnfast.Sequential(stack).summary()
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "(None" in line]
    assert names == ["dense", "batch_normalization", "dense_1", "p_re_lu", "gaussian_noise", "batch_normalization_1"]
