"""Optimizer steps against their formulas."""
import numpy as np
import pytest
import reference
from tolerances import assert_close

from nnfast import functional as F, optimizers
from nnfast._core import network as core

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_optimizer = pytest.mark.parametrize("name", core.OPTIMIZERS)
SETTINGS = {"sgd": [], "momentum": [0.9], "nesterov": [0.8], "adam": [0.8, 0.95, 1e-3]}
RATE = 0.05


def run_reference(name, w, gradients, settings=None, rate=RATE):
    w = w.astype(np.float64)
    slots = [np.zeros_like(w) for _ in range(reference.SLOTS[name])]
    for step, g in enumerate(gradients, 1):
        reference.OPTIMIZERS[name](w, g.astype(np.float64), slots, rate, step, *(settings or SETTINGS[name]))
    return w, slots


def problem(dtype, shape=(131,), steps=5):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(shape).astype(dtype)
    return w, [rng.standard_normal(shape).astype(dtype) for _ in range(steps)]


@every_dtype
@every_optimizer
def test_core_step_matches_formula(name, dtype):
    w, gradients = problem(dtype)
    code, n_slots = core.OPTIMIZERS[name]
    assert n_slots == reference.SLOTS[name]
    slots = np.zeros((n_slots, w.size), dtype)
    expected, expected_slots = run_reference(name, w, gradients)
    for step, g in enumerate(gradients, 1):
        core.apply_optimizer(code, w, g, slots, SETTINGS[name], RATE, step)
    assert_close(w, expected, "optimizer", dtype)
    for actual, slot in zip(slots, expected_slots, strict=True):
        assert_close(actual, slot, "optimizer", dtype)


@every_dtype
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_sgd_step_matches_formula(name, dtype):
    w, gradients = problem(dtype, (7, 11))
    velocity = np.zeros_like(w)
    expected, slots = run_reference(name, w, gradients)
    options = {"momentum": SETTINGS[name][0], "nesterov": name == "nesterov"} if name != "sgd" else {}
    for g in gradients:
        F.sgd_step(w, g, velocity, learning_rate=RATE, **options)
    assert_close(w, expected, "optimizer", dtype)
    if slots:
        assert_close(velocity, slots[0], "optimizer", dtype)


@every_dtype
def test_adam_step_matches_formula(dtype):
    w, gradients = problem(dtype, (7, 11))
    m, v = np.zeros_like(w), np.zeros_like(w)
    expected, slots = run_reference("adam", w, gradients)
    beta_1, beta_2, epsilon = SETTINGS["adam"]
    for step, g in enumerate(gradients, 1):
        F.adam_step(w, g, m, v, step, learning_rate=RATE, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
    for actual, exact in zip((w, m, v), (expected, *slots), strict=True):
        assert_close(actual, exact, "optimizer", dtype)


def test_defaults_are_those_of_keras():
    assert vars(optimizers.SGD()) == {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
    assert vars(optimizers.Adam()) == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    w, gradients = problem(np.float64)
    m, v, plain = np.zeros_like(w), np.zeros_like(w), w.copy()
    expected, _ = run_reference("adam", w, gradients[:1], [0.9, 0.999, 1e-7], 0.001)
    F.adam_step(w, gradients[0], m, v, 1)
    assert_close(w, expected, "optimizer")
    F.sgd_step(plain, gradients[0])
    assert_close(plain, problem(np.float64)[0] - 0.01 * gradients[0], "optimizer")


def test_first_adam_step_has_the_length_of_the_learning_rate():
    """m / sqrt(v) with its corrections is sign(g) at t = 1, but for epsilon."""
    w = np.zeros(3)
    F.adam_step(w, np.array([5., -0.3, 1e3]), np.zeros(3), np.zeros(3), 1, learning_rate=0.1, epsilon=0)
    np.testing.assert_allclose(w, [-0.1, 0.1, -0.1], rtol=1e-13)


def test_adam_correction_fades_with_the_step():
    """At t -> infinity both corrections are 1: w -= lr (1 - b1) g / (sqrt(1 - b2) |g|) from zero moments."""
    w = np.zeros(1)
    F.adam_step(w, np.ones(1), np.zeros(1), np.zeros(1), 10**9, learning_rate=1, beta_1=0.5, beta_2=0.75, epsilon=0)
    np.testing.assert_allclose(w, [-0.5 / 0.5], rtol=1e-14)


@pytest.mark.parametrize("momentum, nesterov", [(0, False), (0.9, False), (0.9, True)])
def test_sgd_agrees_with_pytorch_at_a_constant_rate(momentum, nesterov):
    torch = pytest.importorskip("torch")
    w, gradients = problem(np.float64)
    tensor = torch.tensor(w.copy(), requires_grad=True)
    peer = torch.optim.SGD([tensor], lr=RATE, momentum=momentum, nesterov=nesterov)
    velocity = np.zeros_like(w)
    for g in gradients:
        tensor.grad = torch.tensor(g)
        peer.step()
        F.sgd_step(w, g, velocity, learning_rate=RATE, momentum=momentum, nesterov=nesterov)
    assert_close(w, tensor.detach().numpy(), "optimizer")


def test_gradients_may_have_any_layout_and_dtype():
    w, [g] = problem(np.float64, (6, 5), 1)
    expected = w - 0.5 * g
    F.sgd_step(w, np.asfortranarray(g), learning_rate=0.5)
    np.testing.assert_array_equal(w, expected)
    w = np.ones(3)
    F.sgd_step(w, [1, 2, 3], learning_rate=0.5)
    np.testing.assert_array_equal(w, [0.5, 0, -0.5])


@pytest.mark.parametrize("call", [
    lambda w: F.sgd_step(w, np.zeros(3)),
    lambda w: F.sgd_step(w, np.zeros(4), momentum=0.9),
    lambda w: F.sgd_step(w, np.zeros(4), np.zeros(5), momentum=0.9),
    lambda w: F.sgd_step(w, np.zeros(4), np.zeros(4, np.float32), momentum=0.9),
    lambda w: F.sgd_step(w, np.zeros(4), learning_rate=-1),
    lambda w: F.sgd_step(w, np.zeros(4), np.zeros(4), momentum=1.5),
    lambda w: F.sgd_step(w[::2], np.zeros(2)),
    lambda w: F.sgd_step(w.astype(int), np.zeros(4)),
    lambda w: F.sgd_step([0., 0, 0, 0], np.zeros(4)),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(3), 1),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(4), 0),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(4), 1, beta_1=1),
])
def test_arguments_that_do_not_fit_are_an_error_and_change_nothing(call):
    w = np.arange(4.)
    with pytest.raises(ValueError, match="must"):
        call(w)
    np.testing.assert_array_equal(w, np.arange(4.))


@pytest.mark.parametrize("optimizer", [
    optimizers.SGD(), optimizers.SGD(0.1, momentum=0.9, nesterov=True), optimizers.Adam(),
    optimizers.Adam(0.1, beta_1=0.5, beta_2=0.6, epsilon=1e-3),
], ids=repr)
def test_repr_makes_the_optimizer_again(optimizer):
    assert eval(repr(optimizer), vars(optimizers)) == optimizer
