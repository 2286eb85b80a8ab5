"""The gradient of a whole network against NumPy and finite differences."""
import warnings

import numpy as np
import pytest
import reference
from tolerances import STEP, assert_close

import nnfast
from nnfast import losses
from nnfast._core import network as core
from nnfast.layers import Activation, Dense, Input

DTYPES = ["float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_activation = pytest.mark.parametrize("activation", core.ACTIVATIONS)
LOSSES = {
    "mean_squared_error": losses.MeanSquaredError(),
    "mean_absolute_error": losses.MeanAbsoluteError(),
    "binary_crossentropy": losses.BinaryCrossentropy(),
    "binary_crossentropy_logits": losses.BinaryCrossentropy(from_logits=True),
    "categorical_crossentropy": losses.CategoricalCrossentropy(),
    "categorical_crossentropy_logits": losses.CategoricalCrossentropy(from_logits=True),
    "sparse_categorical_crossentropy": losses.SparseCategoricalCrossentropy(),
    "sparse_categorical_crossentropy_logits": losses.SparseCategoricalCrossentropy(from_logits=True),
}
every_loss = pytest.mark.parametrize("loss", LOSSES)     # test_loss_training.py tests the others


def model_of(layers, loss, dtype, seed=0):
    """Returns a compiled model with outputs around 1/2, where every loss is smooth."""
    rng = np.random.default_rng(seed)
    model = nnfast.Sequential(layers, dtype=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*from_logits=True.*")
        model.compile("sgd", LOSSES[loss])
    weights = [rng.standard_normal(w.shape) / np.sqrt(w.shape[0] if w.ndim == 2 else 4) for w in model.get_weights()]
    model.set_weights([w.astype(np.float32) for w in weights])
    kernel, bias = model.get_weights()[-2:] if weights[-1].ndim == 1 else (model.get_weights()[-1], None)
    changed = [kernel * 0.2] if bias is None else [kernel * 0.2, bias * 0.2 + 0.5]
    model.set_weights(model.get_weights()[:-len(changed)] + changed)
    return model


def data_of(loss, rows, n_inputs, n_outputs, seed=1):
    """Returns x and y that are exact in float32."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, n_inputs)).astype(np.float32)
    if loss.startswith("sparse"):
        return x, rng.integers(0, n_outputs, rows)
    if loss.startswith("categorical"):
        return x, rng.dirichlet(np.ones(n_outputs), rows).astype(np.float32)
    if loss.startswith("binary"):
        return x, rng.integers(0, 2, (rows, n_outputs)).astype(np.float32)
    return x, rng.standard_normal((rows, n_outputs)).astype(np.float32)


def assert_gradients(model, x, y, loss, weights=None):
    """Checks loss and gradients against the reference; returns the gradients and the reference."""
    exact = reference.Network.of(model)
    before = model.get_weights()
    value, gradients = model.loss_and_gradients(x, y, sample_weight=weights)
    wide = y if y.dtype.kind == "i" else y.astype(np.float64)
    expected, expected_gradients = exact.loss_and_gradients(x, wide, loss, weights)
    assert_close(value, expected, "gradient", model.dtype)
    scale = max(1e-3, *(np.abs(g).max() for g in expected_gradients))
    assert [g.dtype for g in gradients] == [model.dtype] * len(gradients)
    for actual, gradient in zip(gradients, expected_gradients, strict=True):
        assert_close(actual / scale, gradient / scale, "gradient", model.dtype)
    for kept, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)
    return gradients, exact


def assert_differences(exact, gradients, x, y, loss, weights=None):
    """Checks the gradients against central differences of the reference's loss."""
    for array, gradient in zip(exact.weights(), gradients, strict=True):
        expected = reference.central_differences(lambda: exact.loss(x, y, loss, weights), array, STEP)
        assert_close(gradient, expected, "difference")


def check(layers, loss, dtype):
    n_outputs = [layer.units for layer in layers if isinstance(layer, Dense)][-1]
    model = model_of(layers, loss, dtype)
    x, y = data_of(loss, 7, 3, n_outputs)
    gradients, exact = assert_gradients(model, x, y, loss)
    if dtype == "float64":
        assert_differences(exact, gradients, x, y, loss)


@every_dtype
@every_loss
@every_activation
def test_gradient_is_right_through_a_hidden_activation(activation, loss, dtype):
    check([Input(3), Dense(4, activation), Dense(3)], loss, dtype)


@every_dtype
@every_loss
@every_activation
def test_gradient_is_right_through_a_last_activation(activation, loss, dtype):
    check([Input(3), Dense(4, "tanh"), Dense(3, activation)], loss, dtype)


@every_dtype
@every_activation
def test_gradient_is_right_through_a_separate_activation_layer(activation, dtype):
    check([Input(3), Activation(activation), Dense(4, "tanh"), Activation(activation), Dense(2)],
          "mean_squared_error", dtype)
    check([Input(3), Dense(4, "sigmoid"), Activation("tanh"), Activation(activation), Dense(3), Activation(activation)],
          "categorical_crossentropy_logits", dtype)
    check([Input(3), Dense(4), Activation(activation), Dense(3, "tanh"), Activation(activation)],
          "mean_squared_error", dtype)


@every_dtype
@pytest.mark.parametrize("activation, loss", [
    ("softmax", "categorical_crossentropy"),
    ("softmax", "sparse_categorical_crossentropy"),
    ("sigmoid", "binary_crossentropy"),
])
def test_matching_activation_trains_on_logits(activation, loss, dtype):
    """At logits of +-60 and more the gradient is p - y: not 0 in wrong rows, and never NaN."""
    model = model_of([Input(1), Dense(3, activation, use_bias=False)], loss, dtype)
    model.set_weights([[[60., -60, 0]]])
    y = np.array([0, 1, 2]) if loss.startswith("sparse") else np.eye(3)
    x = np.array([[1.], [1.], [-3.]])
    value, [gradient] = model.loss_and_gradients(x, y)
    p = reference.ACTIVATIONS[activation][0](x @ [[60., -60, 0]])
    expected = x.T @ (p - np.eye(3)) / (9 if activation == "sigmoid" else 3)
    assert_close(gradient, expected, "gradient", dtype)
    assert value > 40 / 3


@every_dtype
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_from_logits_with_the_matching_activation_warns_and_uses_the_logits(activation, dtype):
    name = "binary_crossentropy" if activation == "sigmoid" else "categorical_crossentropy"
    model = nnfast.Sequential([Input(3), Dense(3, activation)], dtype=dtype, seed=0)
    x, y = data_of(name, 9, 3, 3)
    model.compile("sgd", LOSSES[name])
    expected = model.loss_and_gradients(x, y)
    with pytest.warns(UserWarning, match="from_logits=True"):
        model.compile("sgd", LOSSES[f"{name}_logits"])
    value, gradients = model.loss_and_gradients(x, y)
    assert value == expected[0]
    for actual, gradient in zip(gradients, expected[1], strict=True):
        np.testing.assert_array_equal(actual, gradient)


@every_dtype
@every_loss
def test_sample_weights_scale_the_gradient_of_their_rows(loss, dtype):
    weights = np.random.default_rng(2).uniform(0, 3, 7)
    weights[2] = 0
    model = model_of([Input(3), Dense(4, "tanh"), Dense(3, "softplus")], loss, dtype)
    x, y = data_of(loss, 7, 3, 3)
    gradients, exact = assert_gradients(model, x, y, loss, weights)
    if dtype == "float64":
        assert_differences(exact, gradients, x, y, loss, weights)


def test_a_row_of_weight_two_counts_as_two_rows():
    """The mean divides by the number of rows: 8 with a repeated row, 7 with a row of weight 2."""
    model = model_of([Input(3), Dense(4, "tanh"), Dense(3)], "mean_squared_error", "float64")
    x, y = data_of("mean_squared_error", 7, 3, 3)
    value, gradients = model.loss_and_gradients(x, y, sample_weight=[1, 1, 1, 2, 1, 1, 1])
    rows = [0, 1, 2, 3, 3, 4, 5, 6]
    expected, expected_gradients = model.loss_and_gradients(x[rows], y[rows])
    assert_close(value * 7 / 8, expected, "gradient")
    for actual, gradient in zip(gradients, expected_gradients, strict=True):
        assert_close(actual * 7 / 8, gradient, "gradient")


@every_dtype
@pytest.mark.parametrize("rows", [255, 256, 257, 8191, 8192, 8193, 20_000])
def test_gradient_is_right_for_batches_of_any_length(rows, dtype):
    loss = "sparse_categorical_crossentropy"
    model = model_of([Input(5), Dense(9, "tanh"), Dense(4, "softmax")], loss, dtype)
    weights = np.random.default_rng(3).uniform(0.5, 1.5, rows)
    assert_gradients(model, *data_of(loss, rows, 5, 4), loss, weights)


def test_gradient_of_a_short_batch_is_right_after_a_long_batch():
    loss = "mean_squared_error"
    model = model_of([Input(5), Dense(9, "tanh"), Dense(4)], loss, "float64")
    for rows in (9000, 3, 17_000, 1, 8192):
        assert_gradients(model, *data_of(loss, rows, 5, 4), loss)


@every_dtype
@pytest.mark.parametrize("rows", [1, 2, 15, 33, 100])
@pytest.mark.parametrize("n_inputs, hidden, n_outputs", [(1, 1, 1), (1, 5, 2), (3, 1, 2), (17, 33, 1), (64, 16, 31)])
def test_gradient_is_right_for_narrow_and_short_shapes(n_inputs, hidden, n_outputs, rows, dtype):
    loss = "mean_squared_error"
    model = model_of([Input(n_inputs), Dense(hidden, "tanh"), Dense(n_outputs)], loss, dtype)
    assert_gradients(model, *data_of(loss, rows, n_inputs, n_outputs), loss)


@every_dtype
@pytest.mark.parametrize("rows", [1, 40, 300])
def test_gradient_is_right_for_wide_layers(rows, dtype):
    """With 600 units the rows of W are so far apart that the core reads W in panels."""
    loss = "sparse_categorical_crossentropy"
    model = model_of([Input(40), Dense(600, "tanh"), Dense(601, "sigmoid"), Dense(3, "softmax")], loss, dtype)
    assert_gradients(model, *data_of(loss, rows, 40, 3), loss)
    model = model_of([Input(40), Dense(700, "tanh"), Dense(600, "softmax")], loss, dtype)
    assert_gradients(model, *data_of(loss, rows, 40, 600), loss)


@every_dtype
@every_loss
def test_gradient_is_right_without_biases(loss, dtype):
    layers = [Input(3), Dense(4, "sigmoid", use_bias=False), Dense(5, "tanh"), Dense(3, "sigmoid", use_bias=False)]
    check(layers, loss, dtype)


@every_dtype
@pytest.mark.parametrize("depth", [1, 2, 6])
def test_gradient_is_right_for_any_depth(depth, dtype):
    check([Input(3), *(Dense(5 - i % 3, "silu") for i in range(depth)), Dense(2)], "mean_squared_error", dtype)


def test_gradient_agrees_with_pytorch(torch):
    loss = "sparse_categorical_crossentropy"
    model = model_of([Input(6), Dense(8, "gelu"), Dense(4, "softmax")], loss, "float64")
    x, y = data_of(loss, 30, 6, 4)
    tensors = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
    hidden = torch.nn.functional.gelu(torch.tensor(x.astype(float)) @ tensors[0] + tensors[1])
    value = torch.nn.functional.cross_entropy(hidden @ tensors[2] + tensors[3], torch.tensor(y))
    value.backward()
    actual, gradients = model.loss_and_gradients(x, y)
    assert_close(actual, value.item(), "gradient")
    for gradient, tensor in zip(gradients, tensors, strict=True):
        assert_close(gradient, tensor.grad.numpy(), "gradient")
