"""First values of weights: their bounds, variances and structure."""
import numpy as np
import pytest

import nnfast
from nnfast import initializers

SCALED = {      # variance of a kernel of 300 x 500, distribution: Keras' table of VarianceScaling
    "glorot_uniform": (1 / 400, "uniform"), "glorot_normal": (1 / 400, "truncated_normal"),
    "he_uniform": (2 / 300, "uniform"), "he_normal": (2 / 300, "truncated_normal"),
    "lecun_uniform": (1 / 300, "uniform"), "lecun_normal": (1 / 300, "truncated_normal"),
}


def numbers(initializer, shape=(300, 500), seed=0):
    return initializers.get(initializer)(shape, np.random.default_rng(seed))


def assert_distribution(values, variance, distribution):
    """150,000 numbers: the standard deviation is known to 0.3 %, the farthest number to less than 1 %."""
    assert abs(values.mean()) < 0.01 * np.sqrt(variance)
    assert values.std() == pytest.approx(np.sqrt(variance), rel=0.01)
    farthest = {"uniform": np.sqrt(3 * variance), "truncated_normal": 2 * np.sqrt(variance) / 0.8796256610342398}.get(distribution)
    if farthest is None:
        assert np.abs(values).max() > 4 * np.sqrt(variance)
    else:
        assert 0.99 * farthest < np.abs(values).max() <= farthest


@pytest.mark.parametrize("name", SCALED)
def test_named_cases_have_the_variance_of_their_paper(name):
    assert_distribution(numbers(name), *SCALED[name])
    assert repr(initializers.get(name)) == f"{name.title().replace('_', '')}()"


@pytest.mark.parametrize("mode, fan", [("fan_in", 300), ("fan_out", 500), ("fan_avg", 400)])
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal", "normal"])
def test_variance_scaling_divides_by_the_fan(mode, fan, distribution):
    values = numbers(initializers.VarianceScaling(2.5, mode, distribution))
    assert_distribution(values, 2.5 / fan, distribution if distribution != "normal" else "truncated_normal")


def test_truncated_normal_is_cut_at_two_deviations():
    values = numbers(initializers.TruncatedNormal(1.0, 0.5))
    assert 1.99 < np.abs(values - 1).max() / 0.5 <= 2
    assert values.std() == pytest.approx(0.5 * 0.8796256610342398, rel=0.01)       # Keras does not widen it here


@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 7), (1, 5)])
def test_orthogonal_matrices_are_orthogonal_and_take_their_gain(shape):
    values = numbers(initializers.Orthogonal(3.0), shape)
    assert values.shape == shape
    few = values if shape[0] < shape[1] else values.T
    np.testing.assert_allclose(few @ few.T, 9 * np.eye(min(shape)), atol=1e-12)


def test_orthogonal_matrices_are_of_both_signs():
    """Without the signs of R's diagonal, QR leaves entries of one sign: their mean over draws would be far from 0."""
    corners = np.array([numbers(initializers.Orthogonal(), (3, 3), seed)[0, 0] for seed in range(400)])
    assert abs(corners.mean()) < 5 * corners.std() / 20


def test_identity_is_cut_or_padded():
    np.testing.assert_array_equal(numbers(initializers.Identity(2.0), (2, 3)), [[2, 0, 0], [0, 2, 0]])
    np.testing.assert_array_equal(numbers("identity", (3, 2)), [[1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("initializer", [cls() for cls in initializers._NAMES.values()], ids=repr)
def test_an_initializer_is_remade_by_its_repr_and_builds_a_layer(initializer):
    assert eval(repr(initializer), vars(initializers)) == initializer
    model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2, kernel_initializer=initializer)], seed=0)
    again = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2, kernel_initializer=initializer)], seed=0)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


@pytest.mark.parametrize("call, message", [
    (lambda: initializers.VarianceScaling(0), "scale must be positive"),
    (lambda: initializers.VarianceScaling(mode="fan"), "mode must be 'fan_in'"),
    (lambda: initializers.VarianceScaling(distribution="gamma"), "distribution must be"),
    (lambda: initializers.Orthogonal(np.nan), "gain"),
    (lambda: nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2, bias_initializer="orthogonal")]).params, "Orthogonal.* makes matrices"),
    (lambda: nnfast.Dense(2, kernel_initializer="identiy"), "Did you mean 'identity'"),
])
def test_what_can_not_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
