"""Callbacks and learning rate schedules of the estimators."""
import pickle

import numpy as np
import pytest
from optional import needs

sklearn = needs("sklearn", minversion="1.7")

from sklearn import base, datasets, model_selection  # noqa: E402

import nnfast  # noqa: E402
from nnfast import MLPClassifier, MLPRegressor, schedules  # noqa: E402
from nnfast.callbacks import (  # noqa: E402
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

X, Y = (part[:300] for part in datasets.load_digits(return_X_y=True))
X = X / 16
STOCHASTIC = ("adam", "sgd")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def net(*callbacks, kind=MLPClassifier, **options):
    defaults = {"hidden_layer_sizes": (9,), "max_iter": 4, "batch_size": 100, "random_state": 0}
    return kind(**{**defaults, "callbacks": list(callbacks), **options})


class Diary(Callback):
    """Keeps all calls of the epoch hooks, with their logs."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train begins", dict(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append((f"epoch {epoch} begins", dict(logs)))

    def on_test_begin(self, logs=None):
        self.calls.append(("test begins", dict(logs)))

    def on_test_end(self, logs=None):
        self.calls.append(("test ends", dict(logs)))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append((f"epoch {epoch} ends", dict(logs)))

    def on_train_end(self, logs=None):
        self.calls.append(("train ends", dict(logs)))


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_hooks_are_called_in_the_order_of_keras(solver):
    diary = Diary()
    ours = net(diary, solver=solver, max_iter=2).fit(X, Y)
    a, b = ours.loss_curve_
    assert diary.calls == [
        ("train begins", {}),
        ("epoch 0 begins", {}),
        ("epoch 0 ends", {"loss": a}),
        ("epoch 1 begins", {}),
        ("epoch 1 ends", {"loss": b}),
        ("train ends", {"loss": b}),
    ]
    assert diary.params == {"epochs": 2, "initial_epoch": 0, "steps": 3, "verbose": 0}
    assert ours.loss_curve_ == net(solver=solver, max_iter=2).fit(X, Y).loss_curve_
    ours.partial_fit(X, Y)
    assert len(diary.calls) == 6


@pytest.mark.parametrize("options, given", [({"early_stopping": True}, {}), ({}, {"validation_data": (X, Y)})])
def test_logs_hold_the_validation_score(options, given):
    diary = Diary()
    ours = net(diary, max_iter=1, **options).fit(X, Y, **given)
    [score] = ours.validation_scores_
    assert [call for call in diary.calls if "test" in call[0]] == [("test begins", {}), ("test ends", {"score": score})]
    assert diary.calls[-1] == ("train ends", {"loss": ours.loss_, "val_score": score})


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_stop_training_ends_the_fit(solver):
    def stop(epoch, logs):
        callback.model.stop_training = epoch == 1

    callback = LambdaCallback(on_epoch_end=stop)
    ours = net(callback, solver=solver, max_iter=50).fit(X, Y)
    assert ours.n_iter_ == len(ours.loss_curve_) == 2
    assert ours.loss_curve_ == net(solver=solver, max_iter=2).fit(X, Y).loss_curve_
    assert ours.fit(X, Y).n_iter_ == 2


@pytest.mark.parametrize("kind, loss", [
    (MLPClassifier, "log_loss"),
    (MLPRegressor, "squared_error"),
    (MLPRegressor, "poisson"),
])
@pytest.mark.parametrize("weighted", [False, True])
def test_batch_hooks_receive_the_running_loss(kind, loss, weighted):
    losses = []
    weights = np.random.default_rng(0).random(300) if weighted else None
    callback = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append((batch, logs["loss"])))
    ours = net(callback, kind=kind, loss=loss, max_iter=2, alpha=1.).fit(X, Y, weights)
    assert [batch for batch, _ in losses] == [0, 1, 2] * 2 and [losses[2][1], losses[5][1]] == ours.loss_curve_
    assert ours.loss_curve_ == net(kind=kind, loss=loss, max_iter=2, alpha=1.).fit(X, Y, weights).loss_curve_

    def stop(batch, logs):
        callback.model.stop_training = True

    callback = LambdaCallback(on_train_batch_end=stop)
    cut = net(callback, kind=kind, loss=loss, alpha=1.).fit(X, Y, weights)
    assert cut.n_iter_ == 1 and cut.t_ == 100 and cut.loss_ == losses[0][1]


@pytest.mark.parametrize("hook", [
    "on_train_begin",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_end",
    "on_test_end",
    "on_train_end",
])
def test_an_exception_in_a_callback_reaches_the_caller_and_keeps_the_estimator_usable(hook):
    def fail(*_):
        raise ZeroDivisionError("of the callback")

    callback = LambdaCallback(**{hook: fail})
    ours = net(callback)
    with pytest.raises(ZeroDivisionError, match="of the callback"):
        ours.fit(X, Y, validation_data=(X, Y))
    assert ours.predict(X).shape == (300,)
    twin = pickle.loads(pickle.dumps(ours.set_params(callbacks=None)))
    assert twin.predict_proba(X).shape == (300, 10)
    assert callback.model.estimator is None and not hasattr(ours, "_validation_data")
    assert ours.fit(X, Y).loss_curve_ == net().fit(X, Y).loss_curve_
    ours.partial_fit(X, Y)


def test_an_error_in_a_callback_keeps_the_state_of_the_optimizer():
    """The state of the optimizer counts the steps before the error."""
    def fail(batch, logs):
        if batch == 1:
            raise ZeroDivisionError

    ours = net(LambdaCallback(on_train_batch_end=fail))
    with pytest.raises(ZeroDivisionError):
        ours.fit(X, Y)
    assert ours._optimizer.t == 2


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_early_stopping_restores_the_best_weights(solver):
    train, held_out = (X[:200], Y[:200]), (X[200:], Y[200:])
    stopping = EarlyStopping("val_score", patience=2, restore_best_weights=True)
    ours = net(stopping, solver=solver, max_iter=300, learning_rate_init=0.05).fit(*train, validation_data=held_out)
    assert ours.n_iter_ < 300 and stopping.best == max(ours.validation_scores_) == ours.score(*held_out)
    assert ours.n_iter_ == stopping.best_epoch + 3
    with pytest.raises(ValueError, match="monitors 'val_loss'; the logs hold loss, val_score.*monitor 'val_score'"):
        net(EarlyStopping()).fit(*train, validation_data=held_out)


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_callbacks_set_the_learning_rate(solver):
    history = History()
    halving = LearningRateScheduler(lambda epoch, rate: 0.02 if epoch == 0 else rate / 2)
    ours = net(halving, history, solver=solver).fit(X, Y)
    assert history.history["learning_rate"] == [0.02, 0.01, 0.005, 0.0025]
    # An epoch has three batches.
    schedule = schedules.PiecewiseConstantDecay([2, 5, 8], [0.02, 0.01, 0.005, 0.0025])
    assert ours.loss_curve_ == net(solver=solver, learning_rate=schedule).fit(X, Y).loss_curve_
    history = History()
    plateau = ReduceLROnPlateau("loss", patience=1, min_delta=1e9, factor=0.5)
    net(plateau, history, solver=solver, learning_rate_init=0.1).fit(X, Y)
    assert history.history["learning_rate"] == [0.1, 0.1, 0.05, 0.025]          # the rates used in each epoch
    message = "ReduceLROnPlateau sets the learning rate, so the optimizer must have a number"
    for learning_rate in (lambda step: 0.1, "invscaling"):
        if solver == "sgd" or callable(learning_rate):
            with pytest.raises(ValueError, match=message):
                net(ReduceLROnPlateau("loss"), solver=solver, learning_rate=learning_rate).fit(X, Y)


def test_callbacks_write_files_and_print(tmp_path, capfd):
    pattern = str(tmp_path / "{epoch}.npz")
    callbacks = ModelCheckpoint(pattern, save_weights_only=True), CSVLogger(tmp_path / "log.csv"), ProgressBar()
    ours = net(*callbacks).fit(X, Y, validation_data=(X, Y))
    with np.load(tmp_path / "4.npz") as file:
        for i, array in enumerate([ours.coefs_[0], ours.intercepts_[0], ours.coefs_[1], ours.intercepts_[1]]):
            np.testing.assert_array_equal(file[f"weights.{i}"], array)
    lines = (tmp_path / "log.csv").read_text().split()
    assert len(lines) == 5
    assert lines[0] == "epoch,loss,val_score" and lines[4] == f"3,{ours.loss_},{ours.validation_scores_[-1]}"
    assert "4/4" in capfd.readouterr().err
    net(ModelCheckpoint(str(tmp_path / "batch{batch}.npz"), save_weights_only=True, save_freq=2), max_iter=2).fit(X, Y)
    assert {path.name for path in tmp_path.glob("batch*")} == {"batch2.npz", "batch1.npz", "batch3.npz"}
    with pytest.raises(ValueError, match="save_weights_only=True"):
        net(ModelCheckpoint(pattern)).fit(X, Y)


def test_terminate_on_nan_restores_finite_weights():
    options = {"solver": "sgd", "kind": MLPRegressor, "learning_rate_init": 1e30, "max_iter": 20}
    with pytest.warns(RuntimeWarning, match="became NaN or infinite in epoch 1"):
        ours = net(TerminateOnNaN(), **options).fit(X, Y)
    assert np.isfinite(ours.predict(X)).all() and ours.n_iter_ == len(ours.loss_curve_) < 20
    with pytest.raises(FloatingPointError, match="became NaN or infinite"):
        net(TerminateOnNaN(raise_error=True), **options).fit(X, Y)


def test_set_weights_of_the_model_checks_its_input():
    def wrong(epoch, logs):
        callback.model.set_weights(callback.model.get_weights()[::-1])

    callback = LambdaCallback(on_epoch_end=wrong)
    with pytest.raises(ValueError, match="weights must have the shapes"):
        net(callback).fit(X, Y)
    with pytest.raises(RuntimeError, match="the fit of this callback has ended"):
        callback.model.get_weights()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_estimators_with_callbacks_are_cloned_pickled_and_printed(early_stopping):
    ours = net(EarlyStopping("loss"), History(), early_stopping=early_stopping).fit(X, Y)
    for twin in (pickle.loads(pickle.dumps(ours)), base.clone(ours).fit(X, Y)):
        assert twin.loss_curve_ == ours.loss_curve_ and twin.callbacks[1].history["loss"][-4:] == ours.loss_curve_
        assert twin.callbacks[0] is not ours.callbacks[0] and twin.callbacks[0].model.estimator is None
    assert "EarlyStopping" in repr(ours) and ours.get_params()["callbacks"][0] is ours.callbacks[0]
    stopping = EarlyStopping("loss", min_delta=1e9, patience=2)
    search = model_selection.GridSearchCV(net(stopping, max_iter=50), {"alpha": [0, 1]}, cv=2, n_jobs=2)
    assert search.fit(X, Y).best_estimator_.n_iter_ == 3


def test_fit_many_needs_separate_callbacks_for_each_estimator():
    shared = History()
    with pytest.raises(ValueError, match="models 0 and 1 share"):
        nnfast.fit_many([net(shared), net(shared)], X, Y)
    models = nnfast.fit_many([net(History(), random_state=seed) for seed in range(3)], X, Y, n_jobs=2)
    assert all(model.callbacks[0].history["loss"] == model.loss_curve_ for model in models)
    networks = [nnfast.Sequential([nnfast.Dense(10)], seed=seed) for seed in range(2)]
    for network in networks:
        network.compile("adam", nnfast.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="list of one dict for each model"):
        nnfast.fit_many(networks, X, Y, fit_options={"callbacks": [shared]})


# -- schedules -------------------------------------------------------------------------------------

@pytest.mark.parametrize("solver", STOCHASTIC)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_schedule_equals_a_fixed_learning_rate(solver, dtype):
    x = X.astype(dtype)
    plain = net(solver=solver, learning_rate_init=0.02).fit(x, Y)
    ours = net(solver=solver, learning_rate=lambda step: 0.02).fit(x, Y)
    assert ours.loss_curve_ == plain.loss_curve_
    assert ours._optimizer.learning_rate == plain._optimizer.learning_rate


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_schedule_is_evaluated_at_every_step(nesterov):
    """Compares with steps computed in NumPy, with the gradient formula below."""
    schedule = schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.7)
    options = {"solver": "sgd", "shuffle": False, "momentum": 0.9, "nesterovs_momentum": nesterov}
    ours = net(learning_rate=schedule, max_iter=2, **options).fit(X, Y)
    by_hand = net(learning_rate_init=1e-30, max_iter=1, **options).fit(X, Y)        # keeps the initial weights
    velocity, momentum = 0., 0.9
    for step in range(6):
        rows = slice(step % 3 * 100, step % 3 * 100 + 100)
        gradient = gradient_of(by_hand, X[rows], Y[rows])
        rate = 0.5 * 0.7**step
        velocity = momentum * velocity - rate * gradient
        vector = by_hand._attached.network.params
        vector += momentum * velocity - rate * gradient if nesterov else velocity
    np.testing.assert_allclose(ours._attached.network.params, by_hand._attached.network.params, rtol=1e-9, atol=1e-12)


def gradient_of(estimator, x, y):
    """Gradient of log-loss and penalty, in the order of the network's parameter vector."""
    one_hot = np.eye(10)[y]
    (w0, w1), (b0, b1) = estimator.coefs_, estimator.intercepts_
    hidden = np.maximum(x @ w0 + b0, 0)
    z = hidden @ w1 + b1
    p = np.exp(z - z.max(axis=1, keepdims=True))
    delta = (p / p.sum(axis=1, keepdims=True) - one_hot) / len(x)
    back = delta @ w1.T * (hidden > 0)
    penalty = estimator.alpha / len(x)
    d_w0, d_w1 = x.T @ back + penalty * w0, hidden.T @ delta + penalty * w1
    return np.concatenate([d_w0.ravel(), back.sum(axis=0), d_w1.ravel(), delta.sum(axis=0)])


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_partial_fit_continues_the_schedule(solver):
    seen = []

    def schedule(step):
        seen.append(step)
        return 0.1 / (1 + step)

    ours = net(solver=solver, learning_rate=schedule)
    for _ in range(2):
        ours.partial_fit(X, Y, classes=np.arange(10))
    assert sorted(set(seen)) == list(range(6))
    ours.set_params(learning_rate=schedules.InverseTimeDecay(0.1, 1, 1))
    twin = pickle.loads(pickle.dumps(ours))
    assert twin.learning_rate == ours.learning_rate
    assert base.clone(ours).get_params()["learning_rate"] == ours.learning_rate
    assert "InverseTimeDecay(initial_learning_rate=0.1" in repr(ours)
    for estimator in (ours, twin):
        estimator.partial_fit(X, Y)
    assert twin.loss_curve_ == ours.loss_curve_ and twin._optimizer.t == ours._optimizer.t == 9
    seen.clear()
    ours.set_params(learning_rate=schedule, max_iter=1).fit(X, Y)
    assert min(seen) == 0 and max(seen) == 2


@pytest.mark.parametrize("rate, message", [
    (lambda step: -1., "finite numbers of at least 0"),
    (lambda step: "fast", "a number for each step"),
    (lambda step: np.inf, "finite numbers of at least 0"),
])
def test_a_schedule_without_a_valid_rate_is_refused(rate, message):
    with pytest.raises(ValueError, match=f"learning_rate must give {message}"):
        net(learning_rate=rate).fit(X, Y)


@pytest.mark.parametrize("options", [{"callbacks": [History()]}, {"learning_rate": lambda step: 0.1}])
def test_lbfgs_refuses_callbacks_and_schedules(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be left at its default with solver='lbfgs'"):
        net(solver="lbfgs", **{"callbacks": None, **options}).fit(X, Y)


@pytest.mark.parametrize("options", [{"callbacks": 3}, {"learning_rate": 0.1}, {"learning_rate": "cosine"}])
def test_other_objects_as_callbacks_or_schedules_are_refused_in_the_words_of_scikit_learn(options):
    with pytest.raises(ValueError, match=rf"The '{next(iter(options))}' parameter of MLPClassifier must be"):
        net(**options).fit(X, Y)
    with pytest.raises(TypeError, match="callbacks must be objects of nnfast.callbacks"):
        net(EarlyStopping).fit(X, Y)


# -- copies ----------------------------------------------------------------------------------------

class Counter(Callback):
    """A user's callback with a state."""

    def __init__(self, step, *, names=()):
        self.step, self.names, self.count, self.seen = step, names, 0, []

    def on_epoch_end(self, epoch, logs=None):
        self.count += self.step
        self.seen.append(self.model.get_weights())


def test_clones_of_callbacks_are_unused(tmp_path):
    counter = Counter(2, names=["a"])
    checkpoint = ModelCheckpoint(str(tmp_path / "best.npz"), "val_score", save_best_only=True, save_weights_only=True)
    used = [
        EarlyStopping("val_score", restore_best_weights=True, patience=7),
        History(),
        counter,
        checkpoint,
        ReduceLROnPlateau("loss", patience=1, min_delta=1e9),
        LearningRateScheduler(lambda epoch: 0.1),
        ProgressBar(),
        CSVLogger(tmp_path / "log.csv"),
        TerminateOnNaN(),
        LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]
    ours = net(*used).fit(X, Y, validation_data=(X, Y))
    twin = base.clone(ours)
    for callback, fresh in zip(used, twin.callbacks, strict=True):
        assert type(fresh) is type(callback) and fresh is not callback and fresh.model is None
    stopping, history, fresh = twin.callbacks[:3]
    assert stopping.best_weights is None and stopping.patience == 7 and history.history == {}
    assert (fresh.count, fresh.seen, fresh.step, fresh.names) == (0, [], 2, ["a"]) and fresh.names is not counter.names
    assert twin.callbacks[3].best is None and twin.callbacks[4].wait == 0
    small = [each for each in twin.callbacks if not isinstance(each, (LearningRateScheduler, LambdaCallback))]
    assert len(pickle.dumps(small)) < 3000
    assert twin.fit(X, Y, validation_data=(X, Y)).callbacks[1].history["loss"] == ours.loss_curve_
    assert base.clone(net().set_params(callbacks=counter)).callbacks.count == 0
    kept = pickle.loads(pickle.dumps(counter))
    assert kept.count == counter.count == 8 and base.clone(net(kept)).callbacks[0].count == 0


def test_folds_and_members_have_unused_callbacks():
    used = net(History(), EarlyStopping("loss")).fit(X, Y)
    for fitted in nnfast.cross_validate(used, X, Y, 3)["models"] + nnfast.Ensemble(used, 2).fit(X, Y).members_:
        assert fitted.callbacks[0].history["loss"] == fitted.loss_curve_
