"""L-BFGS in fit: each epoch is one iteration of SciPy."""
import subprocess
import sys

import numpy as np
import pytest
from optional import needs

import nnfast
from nnfast import callbacks, optimizers

optimize = needs("scipy.optimize")
DTYPES = ["float32", "float64"]


def problem(rows=60):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 3))
    return x, np.sin(x @ rng.standard_normal((3, 2)))


def model_of(dtype="float64", optimizer="lbfgs", loss="mse", metrics=None):
    model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(6, "tanh"), nnfast.Dense(2)], dtype=dtype, seed=0)
    model.compile(optimizer, loss, metrics=metrics)
    return model


def test_an_epoch_is_an_iteration_of_scipy():
    """The same loss and gradient, written here in NumPy."""
    x, y = problem()
    model = model_of(optimizer=optimizers.LBFGS(maxcor=5, gtol=1e-9))

    def loss_and_gradient(point):
        parts, shapes = np.split(point, [18, 24, 36]), [(3, 6), (6,), (6, 2), (2,)]
        w1, b1, w2, b2 = (part.reshape(shape) for part, shape in zip(parts, shapes))
        a = np.tanh(x @ w1 + b1)
        error = a @ w2 + b2 - y
        delta = 2 * error / error.size
        before = (delta @ w2.T) * (1 - a**2)
        gradients = [x.T @ before, before.sum(0), a.T @ delta, delta.sum(0)]
        return (error**2).mean(), np.concatenate([gradient.ravel() for gradient in gradients])

    losses = []
    optimize.minimize(loss_and_gradient, model.params.copy(), jac=True, method="L-BFGS-B",
                      options={"maxcor": 5, "gtol": 1e-9, "maxiter": 15},
                      callback=lambda point: losses.append(loss_and_gradient(point)[0]))
    history = model.fit(x, y, epochs=15, verbose=0)
    assert history.epoch == list(range(15))
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-6)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(history.history["loss"][-1], rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_learns_with_metrics_validation_and_weights_where_adam_needs_far_more_steps(dtype):
    x, y = problem()
    model = model_of(dtype, metrics=["mae", nnfast.metrics.R2Score()])
    history = model.fit(x, y, epochs=60, verbose=0, validation_split=0.2, sample_weight=np.linspace(1, 2, 60)).history
    assert history["loss"][-1] < history["loss"][0] / 50
    assert set(history) == {f"{of}{name}" for of in ("", "val_") for name in ("loss", "mae", "r2_score")}
    assert all(later <= before * (1 + 1e-6) for before, later in zip(history["loss"], history["loss"][1:]))
    adam = model_of(dtype, "adam")
    losses = adam.fit(x, y, epochs=60, batch_size=60, verbose=0, validation_split=0.2).history["loss"]
    assert losses[-1] > history["loss"][-1]


def test_the_bits_do_not_depend_on_threads_and_long_batches_are_whole():
    x, y = problem(20_000)
    results = []
    for n_threads in (1, 2):
        model = model_of()
        model.fit(x, y, epochs=3, verbose=0, n_threads=n_threads)
        results.append(model.params.tobytes())
    assert results[0] == results[1]


def test_it_may_be_told_the_rows():
    x, y = problem()
    rows = np.array([3, 50, 7, 7, 21, 0, 44, 12])
    told, taken = (model_of(metrics=["mae", nnfast.metrics.R2Score()]) for _ in range(2))
    history = taken.fit(x[rows], y[rows], epochs=4, verbose=0).history
    assert told.fit(x, y, epochs=4, verbose=0, rows=rows).history == history
    assert told.params.tobytes() == taken.params.tobytes()


def test_a_fit_ends_where_the_method_has_converged():
    x, y = problem()
    model = nnfast.Sequential([nnfast.Input(3), nnfast.Dense(2)], dtype="float64", seed=0)
    model.compile(optimizers.LBFGS(gtol=1e-8, ftol=0.0), "mse")
    history = model.fit(x, y, epochs=200, verbose=0)
    assert len(history.epoch) < 100
    exact = np.linalg.lstsq(np.c_[x, np.ones(60)], y, rcond=None)[0]
    np.testing.assert_allclose(np.vstack(model.get_weights()), exact, atol=1e-6)
    again = model.fit(x, y, epochs=200, verbose=0)              # converged: the loss does not change
    assert 1 <= len(again.epoch) <= 3 and again.history["loss"][-1] <= history.history["loss"][-1] * (1 + 1e-9)


def test_callbacks_and_the_clock_end_it():
    x, y = problem()
    model, kept = model_of(), []
    watch = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.params.copy()))
    best = callbacks.EarlyStopping("loss", min_delta=10.0, patience=3, restore_best_weights=True)
    history = model.fit(x, y, epochs=50, verbose=0, callbacks=[watch, best])
    assert len(history.epoch) == 4
    np.testing.assert_array_equal(model.params, kept[0])
    assert len(model.fit(x, y, epochs=50, verbose=0, max_seconds=1e-9).epoch) == 1
    model.fit(x, y, epochs=7, initial_epoch=7, verbose=0)


def test_an_error_of_a_callback_leaves_the_weights_of_an_iteration():
    x, y = problem()
    model, kept = model_of(), []

    def fail(epoch, logs):
        kept.append(model.params.copy())
        if epoch == 2:
            raise KeyError("own")

    with pytest.raises(KeyError):
        model.fit(x, y, epochs=5, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=fail)])
    np.testing.assert_array_equal(model.params, kept[-1])


def test_a_loss_that_is_not_finite_is_told_and_puts_back_the_weights():
    x, y = problem()
    for nonfinite in ("raise", "stop"):
        model = model_of("float32")
        before = model.params.copy()
        warns = pytest.warns(RuntimeWarning, match="became NaN")
        with pytest.raises(FloatingPointError) if nonfinite == "raise" else warns:
            model.fit(x, y * 1e30, epochs=5, verbose=0, nonfinite=nonfinite)
        np.testing.assert_array_equal(model.params, before)


def test_bad_input_names_its_row():
    x, y = problem()
    x[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        model_of().fit(x, y, verbose=0)


@pytest.mark.parametrize("call, message", [
    (lambda model, x, y: model.fit(x, y, batch_size=10, verbose=0), "leave batch_size out"),
    (lambda model, x, y: model.train_on_batch(x, y), "use fit"),
    (lambda model, x, y: model.fit(x, y, verbose=0, callbacks=callbacks.ModelCheckpoint("a.npz", save_freq=2)),
     "has no batches"),
    (lambda model, x, y: optimizers.LBFGS(maxcor=0), "maxcor"),
    (lambda model, x, y: optimizers.LBFGS(gtol=-1), "gtol"),
])
def test_what_does_not_go_with_it_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(model_of(), *problem())


def test_without_scipy_it_says_what_to_install():
    code = """
import sys
sys.modules["scipy.optimize"] = None
import numpy as np, nnfast
model = nnfast.Sequential([nnfast.Dense(1)])
model.compile("lbfgs", "mse")
try:
    model.fit(np.ones((4, 1)), np.ones(4), verbose=0)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "scipy>=' in done.stdout
