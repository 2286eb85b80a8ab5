"""L1 and L2 penalties, and options of kernels for scikit-learn's losses, against NumPy."""
import numpy as np
import pytest
import reference
from tolerances import assert_close

import nnfast
from nnfast import _threads
from nnfast._core import network as core

DTYPES = ["float32", "float64"]
PENALTIES = [(0.0, 0.02), (0.03, 0.0), (0.01, 0.05)]


def model_of(dtype):
    stack = [nnfast.Input(40), nnfast.Dense(37, "tanh"), nnfast.Dense(20, "tanh"), nnfast.Dense(2)]
    model = nnfast.Sequential(stack, dtype=dtype, seed=1)
    model.compile(nnfast.optimizers.SGD(0.1), "mse")
    return model


def trained(dtype, by_rows, weights=None, n_threads=1, update=True, rows=301, batch_size=100, penalties=PENALTIES):
    """Returns a model after an epoch, its previous weights, x, y and [sum of losses, penalty]."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, 40)), rng.standard_normal((rows, 2))
    model = model_of(dtype)
    model.params[::7] = 0                   # |w| has no derivative there
    network, before, sums = model._network, model.params.copy(), np.zeros(2)
    kernel = core.LossKernel(core.LOSSES["mean_squared_error"])
    network.set_loss(kernel, False, [], core.REDUCTIONS["mean_with_sample_weight"])
    network.set_penalties(penalties, by_rows)
    with _threads.Team(network, n_threads, 1e9, _threads.Pace()) as team:
        batches = core.Batches(core.DenseRows(x), core.DenseRows(y), batch_size, weights=weights)
        threads = team.grow(team.most)
        _, status, _ = network.train_batches(batches, 0, len(batches), 0.1, sums, threads, update=update, check=False)
    assert status == core.DONE
    return model, before, x, y, sums


def expected(model, before, x, y, weights, by_rows, batch_size):
    """Returns network, sum of losses, penalty and last gradients of the same epoch in NumPy."""
    after = model.params.copy()
    model.params[:] = before
    exact = reference.Network.of(model)
    model.params[:] = after
    sums, penalty = 0.0, 0.0
    for first in range(0, len(x), batch_size):
        part = slice(first, first + batch_size)
        w = np.ones(len(x[part])) if weights is None else weights[part]
        loss, gradients = exact.loss_and_gradients(x[part], y[part], "mean_squared_error", w / w.sum() * len(w))
        scale = 1 / w.sum() if by_rows else 1
        kernels = exact.weights()[::2]
        value = scale * sum(l1 * np.abs(k).sum() + l2 * (k**2).sum() for (l1, l2), k in zip(PENALTIES, kernels))
        sums, penalty = sums + loss * len(w), penalty + value * len(w)
        for i, (kernel, (l1, l2)) in enumerate(zip(kernels, PENALTIES)):
            gradients[2 * i] = gradients[2 * i] + scale * (l1 * np.sign(kernel) + 2 * l2 * kernel)
        for array, gradient in zip(exact.weights(), gradients, strict=True):
            array -= 0.1 * gradient
    return exact, sums, penalty, gradients


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_penalties_match_their_formula(dtype, by_rows, weighted):
    weights = np.random.default_rng(2).random(301) if weighted else None
    model, before, x, y, sums = trained(dtype, by_rows, weights)
    exact, loss, penalty, _ = expected(model, before, x, y, weights, by_rows, 100)
    for actual, wanted in zip(model.get_weights(), exact.weights(), strict=True):
        assert_close(actual, wanted, "training", dtype)
    assert_close(sums, [loss, penalty], "training", dtype)


def test_the_gradient_without_a_step_includes_the_penalty():
    model, before, x, y, sums = trained("float64", True, update=False, batch_size=301)
    *_, penalty, gradients = expected(model, before, x, y, None, True, 301)
    assert np.array_equal(before, model.params) and sums[1] == pytest.approx(penalty)
    assert_close(model._network.grads, np.concatenate([part.ravel() for part in gradients]), "gradient")


def test_a_batch_longer_than_the_workspace_counts_the_penalty_once():
    model, before, x, y, sums = trained("float64", True, rows=20000, batch_size=20000)
    exact, loss, penalty, _ = expected(model, before, x, y, None, True, 20000)
    for actual, wanted in zip(model.get_weights(), exact.weights(), strict=True):
        assert_close(actual, wanted, "training")
    assert_close(sums, [loss, penalty], "training")


@pytest.mark.parametrize("dtype", DTYPES)
def test_number_of_threads_changes_no_bit_of_a_penalty(dtype):
    results = [trained(dtype, True, n_threads=n_threads) for n_threads in (1, 2, 3)]
    assert len({model.params.tobytes() + sums.tobytes() for model, *_, sums in results}) == 1


def test_penalties_of_zero_change_no_bit():
    model, before, x, y, sums = trained("float64", True, penalties=[(0, 0)] * 3)
    other = model_of("float64")
    other.params[:] = before
    other.fit(x, y, batch_size=100, shuffle=False, verbose=0)
    assert np.array_equal(model.params, other.params) and sums[1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_summed_loss_adds_up_the_outputs_of_a_row(dtype):
    rng = np.random.default_rng(0)
    for shape in ((50, 3), (3, 700)):
        y, p = rng.random(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
        values, delta = np.empty(shape[0]), np.empty(shape, dtype)
        core.LossKernel(core.LOSSES["huber"], (np.inf, 1), summed=True)(y, p, delta, values, 1.)
        assert_close(values, ((p.astype(float) - y)**2).sum(axis=1) / 2, "loss", dtype)
        assert_close(delta, p - y, "loss", dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropies_of_logits_may_have_an_upper_bound(dtype):
    z = np.array([[30., -40., 0.], [1., 2., 3.], [np.nan, 0., 0.]]).astype(dtype)
    targets = np.array([[0, 1, 1], [0, 1, 1], [0, 1, 1]], dtype)
    for name, y, bounded, free in [
        ("binary_crossentropy_logits", targets, 20 + np.log(2), 70 + np.log(2)),
        ("sparse_categorical_crossentropy_logits", np.array([1, 0, 0]), 20, 70),
    ]:
        for ceiling, expected in ((10., bounded), (0., free)):
            values, delta = np.empty(3), np.empty((3, 3), dtype)
            core.LossKernel(core.LOSSES[name], (1, 0, ceiling), summed=True)(y, z, delta, values, 1.)
            expected = min(expected, 10) if "sparse" in name and ceiling else expected
            assert_close(values[0], expected, "loss", dtype)
            assert np.isnan(values[2]) and 0 < values[1] < 10
            assert abs(delta[0]).max() > 0.9        # the bound does not limit the gradient
