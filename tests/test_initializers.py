"""Initial weights: their bounds, variances and structure."""
import numpy as np
import pytest

import nnfast
from nnfast import initializers

SCALED = {      # variance for a kernel of shape (300, 500) and distribution, as Keras documents them
    "glorot_uniform": (1 / 400, "uniform"), "glorot_normal": (1 / 400, "truncated_normal"),
    "he_uniform": (2 / 300, "uniform"), "he_normal": (2 / 300, "truncated_normal"),
    "lecun_uniform": (1 / 300, "uniform"), "lecun_normal": (1 / 300, "truncated_normal"),
}


def values_of(initializer, shape=(300, 500), seed=0):
    return initializers.get(initializer)(shape, np.random.default_rng(seed))


def assert_distribution(values, variance, distribution):
    """Checks mean, deviation and farthest value of 150,000 values.

    Their standard deviation is known to 0.3 %, the farthest value to less than 1 %.
    """
    assert abs(values.mean()) < 0.01 * np.sqrt(variance)
    assert values.std() == pytest.approx(np.sqrt(variance), rel=0.01)
    farthest = {
        "uniform": np.sqrt(3 * variance),
        "truncated_normal": 2 * np.sqrt(variance) / 0.8796256610342398,
    }.get(distribution)
    if farthest is None:
        assert np.abs(values).max() > 4 * np.sqrt(variance)
    else:
        assert 0.99 * farthest < np.abs(values).max() <= farthest


@pytest.mark.parametrize("name", SCALED)
def test_named_initializers_have_the_variance_of_their_paper(name):
    assert_distribution(values_of(name), *SCALED[name])
    assert repr(initializers.get(name)) == f"{name.title().replace('_', '')}()"


@pytest.mark.parametrize("mode, fan", [("fan_in", 300), ("fan_out", 500), ("fan_avg", 400)])
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal", "normal"])
def test_variance_scaling_divides_by_the_fan(mode, fan, distribution):
    values = values_of(initializers.VarianceScaling(2.5, mode, distribution))
    assert_distribution(values, 2.5 / fan, distribution if distribution != "normal" else "truncated_normal")


def test_truncated_normal_ends_at_two_deviations():
    values = values_of(initializers.TruncatedNormal(1.0, 0.5))
    assert 1.99 < np.abs(values - 1).max() / 0.5 <= 2
    assert values.std() == pytest.approx(0.5 * 0.8796256610342398, rel=0.01)     # Keras does not rescale it here


@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 7), (1, 5)])
def test_orthogonal_matrices_are_orthogonal_and_scaled_by_the_gain(shape):
    values = values_of(initializers.Orthogonal(3.0), shape)
    assert values.shape == shape
    few = values if shape[0] < shape[1] else values.T
    np.testing.assert_allclose(few @ few.T, 9 * np.eye(min(shape)), atol=1e-12)


def test_entries_of_orthogonal_matrices_have_both_signs():
    """Without the signs of R's diagonal, entries from QR have one sign and a mean far from 0."""
    corners = np.array([values_of(initializers.Orthogonal(), (3, 3), seed)[0, 0] for seed in range(400)])
    assert abs(corners.mean()) < 5 * corners.std() / 20


def test_identity_is_cropped_or_padded_with_zeros():
    np.testing.assert_array_equal(values_of(initializers.Identity(2.0), (2, 3)), [[2, 0, 0], [0, 2, 0]])
    np.testing.assert_array_equal(values_of("identity", (3, 2)), [[1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("initializer", [cls() for cls in initializers._NAMES.values()], ids=repr)
def test_repr_recreates_the_initializer_and_it_builds_a_layer(initializer):
    assert eval(repr(initializer), vars(initializers)) == initializer
    model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2, kernel_initializer=initializer)], seed=0)
    again = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2, kernel_initializer=initializer)], seed=0)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


@pytest.mark.parametrize("call, message", [
    (lambda: initializers.VarianceScaling(0), "scale must be positive"),
    (lambda: initializers.VarianceScaling(mode="fan"), "mode must be 'fan_in'"),
    (lambda: initializers.VarianceScaling(distribution="gamma"), "distribution must be"),
    (lambda: initializers.Orthogonal(np.nan), "gain"),
    (lambda: nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2, bias_initializer="orthogonal")]).params,
     "Orthogonal.* makes matrices"),
    (lambda: nnfast.Dense(2, kernel_initializer="identiy"), "Did you mean 'identity'"),
])
def test_options_that_cannot_work_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
