"""Activations and their gradients against NumPy and finite differences."""
import numpy as np
import pytest
import reference
from tolerances import STEP, assert_close

from nnfast import activations, functional as F
from nnfast._core import network as core

DTYPES = [np.float32, np.float64]
every_activation = pytest.mark.parametrize("name", core.ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def both(name):
    return getattr(F, name), getattr(F, f"{name}_gradient")


def away_from_kinks(rows=9, columns=5):
    """Numbers in [-6, 6], none within 0.01 of 0 or of +-3, where relu and hard_sigmoid bend."""
    z = np.random.default_rng(0).uniform(-6, 6, (rows, columns))
    for kink in (-3, 0, 3):
        z[np.abs(z - kink) < 0.01] += 0.05
    return z


@every_dtype
@every_activation
def test_activation_matches_formula(name, dtype):
    z = np.linspace(-12, 12, 2001).astype(dtype).reshape(-1, 3)
    a = both(name)[0](z)
    assert a.dtype == dtype
    assert_close(a, reference.ACTIVATIONS[name][0](z.astype(np.float64)), "activation", dtype)


@every_dtype
@every_activation
def test_gradient_matches_formula(name, dtype):
    z = away_from_kinks(200).astype(dtype)
    delta = np.random.default_rng(1).standard_normal(z.shape).astype(dtype)
    kept = z.copy(), delta.copy()
    actual = both(name)[1](z, delta)
    assert actual.dtype == dtype
    expected = reference.ACTIVATIONS[name][1](z.astype(np.float64), delta.astype(np.float64))
    assert_close(actual, expected, "activation", dtype)
    np.testing.assert_array_equal((z, delta), kept)


@every_activation
def test_gradient_matches_finite_differences(name):
    f, gradient = both(name)
    z = away_from_kinks()
    delta = np.random.default_rng(2).standard_normal(z.shape)
    expected = reference.central_differences(lambda: (f(z) * delta).sum(), z, STEP)
    assert_close(gradient(z, delta), expected, "difference")


@every_dtype
@every_activation
@pytest.mark.parametrize("size", [100., 1e4])
def test_saturated_input_gives_the_limit(name, size, dtype):
    z = np.array([[size, -size, 0], [-size, -size, size]], dtype)
    delta = np.ones_like(z)
    f, gradient = both(name)
    with np.errstate(over="ignore"):
        exact = reference.ACTIVATIONS[name][0](z.astype(np.float64)).astype(dtype)
        exact_gradient = reference.ACTIVATIONS[name][1](z.astype(np.float64), delta.astype(np.float64)).astype(dtype)
    assert np.isfinite(exact).all() or name == "exponential"
    assert_close(f(z), exact, "activation", dtype)
    assert_close(gradient(z, delta), exact_gradient, "activation", dtype)


@every_dtype
@every_activation
def test_nan_is_not_hidden(name, dtype):
    z = np.full((3, 4), np.nan, dtype)
    f, gradient = both(name)
    assert np.isnan(f(z)).all()
    assert np.isnan(gradient(np.ones((3, 4), dtype), z)).all()


@every_activation
def test_any_rank_and_any_strides_are_accepted(name):
    f, gradient = both(name)
    z = np.random.default_rng(3).standard_normal((4, 3, 6))
    delta = np.random.default_rng(4).standard_normal((4, 3, 6))
    expected, expected_gradient = f(z), gradient(z, delta)
    assert expected.shape == z.shape
    np.testing.assert_array_equal(expected.reshape(12, 6), f(z.reshape(12, 6)))
    np.testing.assert_array_equal(expected[1, 2], f(z[1, 2]))
    turned = np.asfortranarray(z)
    np.testing.assert_array_equal(f(turned), expected)
    np.testing.assert_array_equal(gradient(turned, np.asfortranarray(delta)), expected_gradient)
    backwards = z[::-1, ::-1].copy()[::-1, ::-1]
    backwards.flags.writeable = False
    np.testing.assert_array_equal(f(backwards), expected)


@every_activation
def test_no_rows_give_no_rows(name):
    f, gradient = both(name)
    assert f(np.empty((0, 3))).shape == (0, 3)
    assert gradient(np.empty((0, 3)), np.empty((0, 3))).shape == (0, 3)


@every_activation
def test_out_may_be_the_input(name):
    f, gradient = both(name)
    z = np.random.default_rng(5).standard_normal((7, 5))
    delta = np.random.default_rng(6).standard_normal((7, 5))
    expected, expected_gradient = f(z), gradient(z, delta)
    assert gradient(z, delta, out=delta) is delta
    np.testing.assert_array_equal(delta, expected_gradient)
    assert f(z, out=z) is z
    np.testing.assert_array_equal(z, expected)


@every_activation
def test_dense_forward_applies_the_activation(name):
    rng = np.random.default_rng(7)
    x, kernel, bias = rng.standard_normal((6, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)
    expected = reference.ACTIVATIONS[name][0](x @ kernel + bias)
    assert_close(F.dense_forward(x, kernel, bias, activation=name), expected, "activation")
    assert_close(F.dense_forward(x, kernel, bias, activation=getattr(activations, name)), expected, "activation")


@every_dtype
def test_softmax_rows_sum_to_one_and_ignore_a_shift(dtype):
    z = np.random.default_rng(8).standard_normal((50, 37)).astype(dtype)
    a = F.softmax(z)
    assert_close(a.sum(axis=1, dtype=np.float64), np.ones(50), "activation", dtype)
    assert_close(F.softmax(z + dtype(8)), a, "activation", np.float32)


def test_values_at_known_points_are_right():
    """Arithmetic by hand: sigmoid(log 3) = 3/4, tanh(log 2) = 3/5, softplus(log 3) = log 4."""
    np.testing.assert_allclose(F.sigmoid(np.log([3.])), [0.75], rtol=1e-15)
    np.testing.assert_allclose(F.tanh(np.log([2.])), [0.6], rtol=1e-15)
    np.testing.assert_allclose(F.softplus(np.log([3.])), [np.log(4)], rtol=1e-15)
    np.testing.assert_allclose(F.softmax(np.log([[1., 2., 5.]])), [[0.125, 0.25, 0.625]], rtol=1e-15)
    np.testing.assert_array_equal(F.leaky_relu([-5., 5.]), [-1, 5])
    np.testing.assert_array_equal(F.softsign([-3., 1.]), [-0.75, 0.5])
    np.testing.assert_allclose(F.hard_sigmoid([-3., 0., 3.]), [0, 0.5, 1], rtol=1e-15, atol=1e-16)


def test_relu_gradient_is_zero_at_zero():
    np.testing.assert_array_equal(F.relu_gradient([-1., 0., 1.], [5., 5., 5.]), [0, 0, 5])


def test_shapes_that_differ_are_an_error():
    with pytest.raises(ValueError, match="shape of z"):
        F.relu_gradient(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="out must be"):
        F.relu(np.ones((2, 3)), out=np.empty((3, 2)))


def test_the_range_of_every_activation_is_known():
    assert activations.RANGES.keys() == core.ACTIVATIONS.keys()


@every_activation
def test_values_lie_in_the_range_of_the_activation_and_come_near_its_ends(name):
    z = np.linspace(-20, 20, 40001)
    a = F.softmax(np.stack([z, -z], axis=1)) if name == "softmax" else getattr(F, name)(z[:, None])
    low, high = activations.RANGES[name]
    assert low <= a.min() and a.max() <= high
    assert a.min() < (low + 0.06 if np.isfinite(low) else -3) and a.max() > (high - 0.06 if np.isfinite(high) else 3)
