"""Math functions of the activations against long double, over the whole range of both dtypes."""
import numpy as np
import pytest
from tolerances import ULPS

from nnfast._core import network as core


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


EXACT = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}
LOWEST = {"log": 0, "log1p": -0.5}      # lower ends of the supported ranges
DTYPES = [np.float32, np.float64]


def grid(dtype):
    """Returns values from the whole range of a dtype, with dense steps where the functions bend."""
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    rng = np.random.default_rng(1)
    patterns = rng.integers(0, np.iinfo(bits).max, 200_000, dtype=bits, endpoint=True).view(dtype)
    patterns = patterns[np.isfinite(patterns)]
    small = np.geomspace(np.finfo(dtype).smallest_subnormal, 1, 20_001).astype(dtype)
    powers = np.ldexp(dtype(1), np.arange(np.finfo(dtype).minexp, np.finfo(dtype).maxexp))
    around = np.concatenate([powers, np.nextafter(powers, dtype(0)), np.nextafter(powers, dtype(np.inf))])
    edge = np.log(np.finfo(dtype).max)
    dense = [np.linspace(-end, end, 50_001).astype(dtype) for end in (0.8, 3, 30, 110, edge * 1.06)]
    ends = np.array([0, -0., edge, -edge], dtype)
    return np.concatenate([patterns, small, -small, around, -around, ends, *dense])


def apply(name, x):
    out = np.empty_like(x)
    core.apply_math(name, x, out)
    return out


def ulps(actual, exact):
    """Returns the distance in units in the last place of the exact value; 0 where both overflow."""
    largest = np.finfo(actual.dtype).max
    rounded = np.clip(exact, -largest, largest).astype(actual.dtype)
    distance = np.abs(actual.astype(np.longdouble) - exact) / np.spacing(np.abs(rounded)).astype(np.longdouble)
    return np.where(np.isinf(actual) & (np.abs(exact) >= largest), 0, distance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_function_is_exact_to_a_few_units_in_the_last_place(name, dtype):
    x = grid(dtype)
    x = x[x > LOWEST.get(name, -np.inf)]
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.longdouble))
        actual = apply(name, x)
        distance = ulps(actual, exact)
    if name in ("exp", "sigmoid", "softplus"):
        # these may return 0 where the result, or the exp inside, would be nearly denormal
        least = 1.42 * np.finfo(dtype).tiny
        accepted = (actual == 0) | (actual < least) & (name == "sigmoid")
        distance = np.where((exact < least) & accepted, 0, distance)
    worst = np.argmax(distance)
    assert distance[worst] <= ULPS, f"{name}({x[worst]!r}) = {actual[worst]!r}, exact {exact[worst]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, x, expected", [
    ("exp", np.inf, np.inf), ("exp", -np.inf, 0), ("exp", 0, 1), ("exp", 1e4, np.inf), ("exp", -1e4, 0),
    ("expm1", np.inf, np.inf), ("expm1", -np.inf, -1), ("expm1", 0, 0),
    ("log", np.inf, np.inf), ("log", 0, -np.inf), ("log", -0., -np.inf), ("log", 1, 0),
    ("log", -1, np.nan), ("log", -np.inf, np.nan),
    ("log1p", 0, 0), ("log1p", np.inf, np.inf),
    ("tanh", np.inf, 1), ("tanh", -np.inf, -1), ("tanh", 0, 0),
    ("sigmoid", np.inf, 1), ("sigmoid", -np.inf, 0), ("sigmoid", 0, 0.5),
    ("softplus", np.inf, np.inf), ("softplus", -np.inf, 0),
])
def test_ends_of_the_range_are_exact(name, x, expected, dtype):
    np.testing.assert_array_equal(apply(name, np.full(17, x, dtype)), np.full(17, expected, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_nan_stays_nan(name, dtype):
    assert np.isnan(apply(name, np.full(17, np.nan, dtype))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "expm1"])
def test_odd_functions_return_tiny_values_unchanged(name, dtype):
    x = np.array([1e-30, -1e-30, 1e-20, -1e-20], dtype)
    np.testing.assert_array_equal(apply(name, x), x)


def test_unknown_function_is_an_error():
    with pytest.raises(ValueError, match="no function"):
        apply("cosine", np.zeros(1))
