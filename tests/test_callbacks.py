"""Callbacks: when their hooks run, what they do, and that they cannot damage a fit."""
import copy
import csv
import os
import threading
import time
import warnings

import numpy as np
import pytest

import nnfast
from nnfast import _model_file, callbacks, optimizers, schedules
from nnfast.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)


def problem(rows=80):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 4)).astype(np.float32)
    return x, np.sin(x @ rng.standard_normal((4, 2))).astype(np.float32)


def model_of(optimizer="adam", loss="mse", metrics=None, **options):
    model = nnfast.Sequential([nnfast.Input(4), nnfast.Dense(6, "tanh"), nnfast.Dense(2)], seed=0, **options)
    model.compile(optimizer, loss, metrics=metrics)
    return model


def fit(model, *chosen, data=None, **options):
    x, y = problem() if data is None else data
    return model.fit(x, y, **{"batch_size": 16, "epochs": 3, "verbose": 0, "callbacks": list(chosen), **options})


class Scripted(Callback):
    """Writes given values into the logs, before the callback under test reads them."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


class Recorder(Callback):
    """Records every call of a hook."""

    def __init__(self):
        self.calls = []

    def _note(self, name, *arguments):
        self.calls.append((name, *(sorted(a) if isinstance(a, dict) else a for a in arguments)))


for _name in callbacks.HOOKS:
    setattr(Recorder, _name, lambda self, *arguments, _name=_name: self._note(_name, *arguments))


# -- the protocol ----------------------------------------------------------------------------------

def test_hooks_are_called_in_the_order_of_keras():
    recorder = Recorder()
    fit(model_of(metrics="mae"), recorder, epochs=2, batch_size=40, validation_split=0.25)
    metrics, logs = ["loss", "mae"], ["loss", "mae", "val_loss", "val_mae"]
    expected = [("on_train_begin", [])]
    for epoch in (0, 1):
        expected.append(("on_epoch_begin", epoch, []))
        for batch in (0, 1):
            expected += [("on_train_batch_begin", batch, []), ("on_train_batch_end", batch, metrics)]
        expected += [("on_test_begin", []), ("on_test_end", metrics), ("on_epoch_end", epoch, logs)]
    expected.append(("on_train_end", logs))
    assert recorder.calls == expected
    assert recorder.params == {"epochs": 2, "initial_epoch": 0, "steps": 2, "verbose": 0}


def test_evaluate_calls_the_test_hooks():
    recorder, model = Recorder(), model_of()
    model.evaluate(*problem(), verbose=0, callbacks=recorder)
    assert recorder.calls == [("on_test_begin", []), ("on_test_end", ["loss"])] and recorder.model is model


@pytest.mark.parametrize("metrics", [None, ["mae", "mse"]])
@pytest.mark.parametrize("chosen", [
    lambda: [],
    lambda: [Callback()],
    lambda: [Recorder()],
    lambda: [LambdaCallback(on_epoch_end=lambda *_: None)],
], ids=["none", "empty", "batches", "epochs"])
def test_callbacks_that_only_read_change_no_bit(chosen, metrics):
    plain, watched = model_of(), model_of(metrics=metrics)
    before, after = fit(plain), fit(watched, *chosen())
    assert plain.params.tobytes() == watched.params.tobytes()
    assert before.history["loss"] == after.history["loss"]


def test_only_batch_hooks_make_native_calls_of_one_batch(tmp_path):
    model = model_of()
    ranges = []
    native = type(model._network).train_batches

    class Counted:
        def __init__(self, network):
            self.network = network

        def __getattr__(self, name):
            return getattr(self.network, name)

        def train_batches(self, batches, start, stop, *arguments, **options):
            ranges.append(stop - start)
            return native(self.network, batches, start, stop, *arguments, **options)

    model._network = Counted(model._network)
    checkpoint = ModelCheckpoint(
        tmp_path / "best.npz", save_best_only=True, monitor="loss", initial_value_threshold=-1.0)
    fit(model, Callback(), EarlyStopping("loss"), checkpoint, epochs=1, batch_size=1, data=problem(8000))
    assert max(ranges) > 100
    ranges.clear()
    fit(model, LambdaCallback(on_train_batch_end=lambda batch, logs: None), epochs=1)
    assert ranges == [1] * 5


def test_short_names_of_batch_hooks_are_called():
    class Old(Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(batch)

    seen = []
    fit(model_of(), Old(), epochs=1)
    set_later = Callback()
    set_later.on_batch_end = lambda batch, logs: seen.append(-batch)
    fit(model_of(), set_later, epochs=1)
    assert seen == [0, 1, 2, 3, 4, 0, -1, -2, -3, -4]


def test_batch_logs_are_means_over_the_epoch_so_far():
    seen = []
    record = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs))
    history = fit(model_of(metrics="mae"), record, epochs=1)
    assert seen[-1] == {name: values[0] for name, values in history.history.items()}
    assert len({logs["loss"] for logs in seen}) == 5


def test_values_that_callbacks_add_to_the_logs_are_in_the_history():
    assert fit(model_of(), Scripted([1, 2, 3], "extra")).history["extra"] == [1, 2, 3]


@pytest.mark.parametrize("hook, epochs, steps", [
    ("on_epoch_end", 1, 5),
    ("on_train_batch_end", 1, 3),
    ("on_epoch_begin", 1, 1),
])
def test_stop_training_ends_the_fit(hook, epochs, steps):
    model = model_of()

    def stop(number, logs):
        if hook != "on_train_batch_end" or number == 2:
            model.stop_training = True

    hooks = {hook: stop}
    if hook == "on_epoch_begin":
        hooks["on_train_batch_begin"] = lambda *_: None
    history = fit(model, LambdaCallback(**hooks))
    assert len(history.epoch) == epochs and model._network.steps == steps
    assert len(fit(model).epoch) == 3               # the next fit starts afresh


def test_an_epoch_that_is_cut_short_has_the_loss_of_its_rows():
    x, y = problem()
    model, twin = model_of(optimizers.SGD(0.0), metrics=["mae", nnfast.metrics.R2Score()]), model_of()

    def stop(batch, logs):
        model.stop_training = batch == 1

    logs = fit(model, LambdaCallback(on_train_batch_end=stop), shuffle=False).history
    assert logs["loss"][0] == pytest.approx(twin.evaluate(x[:32], y[:32], verbose=0), rel=1e-6)
    expected = nnfast.metrics.R2Score()
    expected.update_state(y[:32], twin.predict(x[:32]))
    assert logs["r2_score"][0] == pytest.approx(expected.result(), rel=1e-5)


def test_fit_ends_after_max_seconds():
    x, y = problem(20_000)
    begin = time.perf_counter()
    model = model_of()
    history = model.fit(x, y, batch_size=1, epochs=10**6, verbose=0, max_seconds=0.3, validation_data=(x[:5], y[:5]))
    assert time.perf_counter() - begin < 60             # a million epochs would take days
    assert len(history.epoch) >= 1 and len(history.history["val_loss"]) == len(history.epoch)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="max_seconds"):
            fit(model, max_seconds=wrong)


# -- the model in a hook ---------------------------------------------------------------------------

@pytest.mark.parametrize("hook", callbacks.HOOKS)
def test_an_error_in_a_hook_reaches_the_caller_and_leaves_the_model_usable(hook):
    def fail(*_):
        raise KeyError("own")

    model = model_of()
    with pytest.raises(KeyError, match="own"):
        fit(model, LambdaCallback(**{hook: fail}), validation_split=0.2, n_threads=2)
    assert np.isfinite(model.params).all()
    history = fit(model)
    assert len(history.epoch) == 3
    assert not any(thread.name.startswith("nnfast-") for thread in threading.enumerate())


def test_a_hook_may_use_its_model():
    x, y = problem()
    model, results = model_of(), []

    class Uses(Callback):
        def on_epoch_end(self, epoch, logs=None):
            results.append(self.model.evaluate(x, y, verbose=0))
            results.append(self.model.test_on_batch(x, y))
            self.model.predict(x)
            results.append(copy.deepcopy(self.model).evaluate(x, y, verbose=0))
            self.model.set_weights([w * 0.5 for w in self.model.get_weights()])

    halved = fit(model, Uses(), epochs=1)
    assert results[0] == results[1] == results[2]
    plain = model_of()
    assert fit(plain, epochs=1).history == halved.history
    np.testing.assert_array_equal(model.params, plain.params * np.float32(0.5))


@pytest.mark.parametrize("what", ["fit", "compile", "build"])
def test_a_hook_cannot_rebuild_its_model_and_another_thread_cannot_use_it(what):
    model, errors = model_of(), []
    uses = {
        "fit": lambda: model.fit(*problem(), verbose=0),
        "compile": lambda: model.compile("sgd", "mse"),
        "build": lambda: model.build((None, 4)),
    }

    def on_epoch_end(epoch, logs):
        def attempt(use):
            try:
                use()
            except RuntimeError as error:
                errors.append(str(error))

        attempt(uses[what])
        other = threading.Thread(target=attempt, args=(lambda: model.evaluate(*problem(), verbose=0),))
        other.start()
        other.join()

    fit(model, LambdaCallback(on_epoch_end=on_epoch_end), epochs=1)
    assert len(errors) == 2 and f"{what} must wait" in errors[0] and "evaluate must wait" in errors[1]


def test_the_learning_rate_may_change_in_every_hook():
    seen, model = [], model_of(optimizers.SGD(0.1))

    def begin(batch, logs):
        model.optimizer.learning_rate = 0.0 if batch else 0.1

    def end(batch, logs):
        seen.append(model.params.copy())

    fit(model, LambdaCallback(on_train_batch_begin=begin, on_train_batch_end=end), epochs=1)
    np.testing.assert_array_equal(seen[0], seen[-1])


# -- early stopping --------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize("values, options, epochs, best", [
    ([5, 4, 3, 2, 1], {}, 5, 4),
    ([5, 6, 4, 3, 2], {}, 2, 0),
    ([5, 6, 4, 5, 5, 5], {"patience": 2}, 5, 2),
    ([5, 4.9, 4.8, 4.7], {"min_delta": 0.5}, 2, 0),
    ([1, 2, 3, 2, 1], {"mode": "max"}, 4, 2),
    ([9, 5, 6, 7], {"start_from_epoch": 1}, 3, 1),
    ([NAN, 5, 6], {}, 3, 1),                     # NaN is no best value; the first epoch never stops a fit
    ([NAN, NAN, 1], {}, 2, None),
    ([5, NAN, 4], {"patience": 2}, 3, 2),
    ([5, 4, 3, 2], {"baseline": 1.0, "patience": 3}, 4, 3),
    ([5, 4, 6, 7], {"baseline": 1.0, "patience": 3}, 3, 1),
], ids=repr)
def test_early_stopping_follows_its_rules(values, options, epochs, best):
    values, extra = values + [0] * 3, {}
    if "mode" in options:
        values = values[:-3] + [-9] * 3
    if epochs == len(values) - 3:
        extra["epochs"] = epochs
    stopping = EarlyStopping(**options)
    history = fit(model_of(), Scripted(values), stopping, **{"epochs": len(values), **extra})
    assert len(history.epoch) == epochs and stopping.best_epoch == best
    again = fit(model_of(), Scripted(values), stopping, **{"epochs": len(values), **extra})
    assert again.epoch == history.epoch                                     # a second fit starts afresh


@pytest.mark.parametrize("values, best", [([3, 1, 2, 3], 1), ([3, 2, 1, 0], 3), ([NAN, 2, NAN, 5], 1), ([NAN] * 4, 3)])
def test_the_best_weights_are_restored_whether_the_fit_was_stopped_or_not(values, best):
    kept = []
    model = model_of()
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.params.copy()))
    fit(model, Scripted(values), note, EarlyStopping(patience=10, restore_best_weights=True), epochs=4)
    np.testing.assert_array_equal(model.params, kept[best])


@pytest.mark.parametrize("values", [[NAN] * 3, [np.inf] * 3, [-np.inf, NAN, np.inf]], ids=repr)
def test_without_a_finite_value_no_epoch_is_the_best(values, tmp_path):
    """The last weights stay, no file is written, and each fit warns of it."""
    stopping, path = EarlyStopping(patience=10, restore_best_weights=True), tmp_path / "best.npz"
    for _ in range(2):
        model, other = model_of(), model_of()
        with pytest.warns(UserWarning, match="'val_loss' was never finite") as caught:
            fit(model, Scripted(values), stopping, ModelCheckpoint(path, save_best_only=True))
        fit(other)
        np.testing.assert_array_equal(model.params, other.params)
        assert len(caught) == 2 and stopping.best is None and not path.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, Scripted([*values[:2], 1.0]), stopping, ModelCheckpoint(path, save_best_only=True))
    assert stopping.best_epoch == 2 and path.exists()


@pytest.mark.parametrize("monitor, metrics, rises", [
    ("loss", None, False),
    ("val_acc", [nnfast.metrics.CategoricalAccuracy("acc")], True),
    ("mae", "mae", False),
    ("val_r2_score", [nnfast.metrics.R2Score()], True),
    ("msle", "msle", False),
])
def test_the_direction_of_losses_and_metrics_is_known(monitor, metrics, rises):
    stopping = EarlyStopping(monitor, patience=100)
    x, y = problem()
    fit(model_of(metrics=metrics), stopping, epochs=1, validation_split=0.2, data=(x, abs(y)))
    assert stopping._rises() is rises


def test_every_metric_has_a_direction_or_needs_one():
    public = {name: getattr(nnfast.metrics, name) for name in nnfast.metrics.__all__}
    undecided = {name for name, cls in public.items() if isinstance(cls, type) and cls._rises is None}
    assert undecided <= {"Metric", "MeanMetricWrapper"}


@pytest.mark.parametrize("make", [
    EarlyStopping,
    ReduceLROnPlateau,
    lambda **options: ModelCheckpoint("unused.npz", save_best_only=True, **options),
])
def test_a_value_that_cannot_be_monitored_is_an_error(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="monitors 'val_loss'; the logs hold .*loss.*validation_data"):
        fit(model_of(), make())
    with pytest.raises(ValueError, match="cannot tell whether 'own' should rise or fall: give mode"):
        fit(model_of(), Scripted([1, 2, 3], "own"), make(monitor="own"))
    with pytest.raises(ValueError, match="must monitor a number"):
        fit(model_of(), Scripted([np.ones(2)] * 3), make())
    with pytest.raises(ValueError, match="mode must be"):
        make(mode="down")


# -- learning rates --------------------------------------------------------------------------------

@pytest.mark.parametrize("values, options, rates", [
    ([5, 5, 5, 5, 5], {"patience": 2}, [1, 1, 1, .1, .1]),
    ([5, 4, 3, 2, 1], {"patience": 1}, [1, 1, 1, 1, 1]),
    ([5, 5, 5, 5, 5, 5], {"patience": 1, "cooldown": 2}, [1, 1, .1, .1, .01, .01]),
    ([5, 5, 5, 5, 5], {"patience": 1, "factor": 0.5, "min_lr": 0.3}, [1, 1, .5, .3, .3]),
    ([5, 4.99995, 4.9998, 4], {"patience": 1}, [1, 1, .1, .1]),
    ([1, 2, 2, 2], {"patience": 2, "mode": "max"}, [1, 1, 1, 1]),
    ([NAN, NAN, NAN], {"patience": 1}, [1, .1, .01]),
], ids=repr)
def test_the_rate_is_reduced_on_a_plateau(values, options, rates):
    """The learning rates of the epochs match Keras, except for NaN."""
    history = fit(model_of(optimizers.SGD(1.0)), Scripted(values), ReduceLROnPlateau(**options), epochs=len(values))
    np.testing.assert_allclose(history.history["learning_rate"], rates, rtol=1e-12)


@pytest.mark.parametrize("schedule", [
    lambda epoch: 0.1 / (epoch + 1),
    lambda epoch, rate: rate if epoch == 0 else 0.1 / (epoch + 1),
    schedules.InverseTimeDecay(0.1, 1, 1.0),
])
def test_a_scheduler_sets_the_rate_of_each_epoch(schedule):
    history = fit(model_of(optimizers.SGD(0.1)), LearningRateScheduler(schedule))
    np.testing.assert_allclose(history.history["learning_rate"], [0.1, 0.05, 0.1 / 3])


def test_rates_that_cannot_be_set_are_an_error():
    for callback in (ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)):
        for optimizer in (optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.5)), "lbfgs"):
            with pytest.raises(ValueError, match="sets the learning rate, so the optimizer must have a number"):
                model_of(optimizer).fit(*problem(), verbose=0, callbacks=[callback])
    for wrong in (lambda epoch: NAN, lambda epoch: -1.0):
        with pytest.raises(ValueError, match="the learning rate of the schedule"):
            fit(model_of(), LearningRateScheduler(wrong))
    with pytest.raises(TypeError, match="the learning rate of the schedule must be a number"):
        fit(model_of(), LearningRateScheduler(lambda epoch: None))


# -- files -----------------------------------------------------------------------------------------

def test_checkpoints_of_every_epoch_have_separate_names(tmp_path):
    model = model_of()
    fit(model, ModelCheckpoint(tmp_path / "deep" / "{epoch:02d}-{loss:.1f}.npz"))
    names = sorted(os.listdir(tmp_path / "deep"))
    assert [name[:3] for name in names] == ["01-", "02-", "03-"]
    saved = nnfast.load(tmp_path / "deep" / names[-1])
    assert saved.epoch == 3
    np.testing.assert_array_equal(saved.params, model.params)


def test_only_weights_are_saved_on_request(tmp_path):
    path, model, other = tmp_path / "weights.safetensors", model_of(), model_of()
    fit(model, ModelCheckpoint(path, save_weights_only=True))
    fit(other)
    other.load_weights(path)
    np.testing.assert_array_equal(other.params, model.params)
    with pytest.raises(ValueError, match="holds weights alone"):
        nnfast.load(path)


@pytest.mark.parametrize("threshold, saved", [(None, [0, 2]), (3.5, [2]), (1.0, [])])
def test_only_the_best_weights_are_saved(tmp_path, threshold, saved):
    path, model, times = tmp_path / "best.npz", model_of(), []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: times.append(epoch) if path.exists() else None)
    remove = LambdaCallback(on_epoch_begin=lambda epoch, logs: path.unlink(missing_ok=True))
    checkpoint = ModelCheckpoint(path, save_best_only=True, initial_value_threshold=threshold)
    fit(model, Scripted([4, 5, 3, NAN, 6]), remove, checkpoint, watch, epochs=5)
    assert times == saved


def test_checkpoints_are_saved_every_save_freq_batches(tmp_path):
    fit(model_of(), ModelCheckpoint(tmp_path / "{epoch}-{batch}.npz", save_freq=4), epochs=2)
    # an epoch has five batches: files follow the fourth and the eighth
    assert sorted(os.listdir(tmp_path)) == ["1-4.npz", "2-3.npz"]


def test_a_checkpoint_that_fails_keeps_the_previous_file(tmp_path, monkeypatch):
    path, model = tmp_path / "best.npz", model_of()
    fit(model, ModelCheckpoint(path), epochs=1)
    before = path.read_bytes()
    monkeypatch.setattr(_model_file, "_seal", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(model, ModelCheckpoint(path), epochs=1)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["best.npz"]


def test_checkpoint_paths_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must end in '.npz'"):
        ModelCheckpoint("model.keras")
    with pytest.raises(ValueError, match="asks for 'acc'; there are epoch, loss"):
        fit(model_of(), ModelCheckpoint(tmp_path / "{acc}.npz"))


def test_logs_are_written_to_a_csv_file(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(model_of(metrics="mae"), CSVLogger(path, separator=";"), epochs=2)
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch;loss;mae" and len(lines) == 3
    assert [float(line.split(";")[1]) for line in lines[1:]] == history.history["loss"]
    fit(model_of(metrics="mae"), CSVLogger(path, separator=";", append=True), epochs=4, initial_epoch=2)
    assert [line.split(";")[0] for line in path.read_text().splitlines()] == ["epoch", "0", "1", "2", "3"]
    fit(model_of(), CSVLogger(path), epochs=1)
    assert len(path.read_text().splitlines()) == 2


def table(path, separator=","):
    """Returns {column: values as text} of a file with a header."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file, delimiter=separator)
    assert all(len(line) == len(header) for line in lines)
    return {name: [line[i] for line in lines] for i, name in enumerate(header)}


@pytest.mark.parametrize("header", ["epoch,loss,mae", "mae,epoch,loss", '"mae","loss","epoch"', "\ufeffepoch,loss,mae"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_rows_are_appended_under_the_existing_header(tmp_path, header, end):
    """Columns may have any order and quotes; the last line may lack its line break."""
    path = tmp_path / "log.csv"
    path.write_text(header + "\n7,7,7" + end, encoding="utf-8", newline="")
    history = fit(model_of(metrics="mae"), CSVLogger(path, append=True), epochs=2).history
    columns = {name.strip("\ufeff"): values for name, values in table(path).items()}
    logged = {name: ["7", *map(str, history[name])] for name in ("loss", "mae")}
    assert columns == {"epoch": ["7", "0", "1"], **logged}


@pytest.mark.parametrize("content", [None, "", "\n"], ids=["missing", "empty", "blank"])
def test_a_missing_or_empty_file_gets_a_header(tmp_path, content):
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_text(content)
    fit(model_of(metrics="mae"), CSVLogger(path, append=True), epochs=2)
    assert path.read_text().split()[0] == "epoch,loss,mae" and len(path.read_text().split()) == 3


@pytest.mark.parametrize("content, message", [
    ("epoch,loss,mse\n0,1,1\n", "the file has epoch, loss, mse, and lacks mae"),
    ("epoch,loss\n0,1\n", "lacks mae"),
    ("epoch;loss;mae\n0;1;1\n", "must name the columns.*separated by ','"),
    ("0,0.5,0.25\n", "must name the columns"),
])
def test_a_file_with_other_columns_is_refused_before_training(tmp_path, content, message):
    path, model = tmp_path / "log.csv", model_of(metrics="mae")
    path.write_text(content)
    before = model.params.copy()
    with pytest.raises(ValueError, match=message):
        fit(model, CSVLogger(path, append=True))
    np.testing.assert_array_equal(model.params, before)
    assert path.read_text() == content
    fit(model, CSVLogger(path), epochs=1)               # append=False, as the error advises
    assert list(table(path)) == ["epoch", "loss", "mae"]


def test_appending_refuses_columns_that_only_the_file_or_only_the_fit_has(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path, append=True)
    fit(model_of(metrics="mae"), logger, epochs=1, validation_split=0.25)
    content = path.read_text()
    with pytest.raises(ValueError, match="has epoch, loss, mae, val_loss, val_mae, more than this fit"):
        fit(model_of(metrics="mae"), logger, epochs=1)
    with pytest.raises(ValueError, match="lacks learning_rate"):
        scheduler = LearningRateScheduler(lambda epoch: 0.1)
        fit(model_of(metrics="mae"), scheduler, logger, epochs=1, validation_split=0.25)
    with pytest.raises(ValueError, match="lacks mse, val_mse"):
        fit(model_of(metrics=["mae", "mse"]), logger, epochs=1, validation_split=0.25)
    assert path.read_text() == content
    fit(model_of(metrics="mae"), logger, epochs=1, validation_split=0.25)
    assert table(path)["epoch"] == ["0", "0"]


def test_separator_of_a_csv_file_must_be_one_character(tmp_path):
    with pytest.raises(ValueError, match="separator must be one character"):
        CSVLogger(tmp_path / "log.csv", separator="::")


# -- losses that are not finite --------------------------------------------------------------------

def test_terminate_on_nan_ends_the_fit():
    model = model_of(optimizers.SGD(1e30))
    with pytest.warns(RuntimeWarning, match="became NaN or infinite"):
        history = fit(model, TerminateOnNaN(), epochs=50)
    assert len(history.epoch) < 50 and np.isfinite(model.params).all()
    with pytest.raises(FloatingPointError):
        fit(model_of(optimizers.SGD(1e30)), TerminateOnNaN(raise_error=True), epochs=50)
    with pytest.raises(ValueError, match="contradict each other"):
        fit(model, TerminateOnNaN(), nonfinite="ignore")


@pytest.mark.parametrize("raise_error", [False, True])
def test_a_validation_loss_that_is_not_finite_ends_the_fit(raise_error):
    chosen = [Scripted([1.0, np.inf, 1.0]), TerminateOnNaN(raise_error)]
    if raise_error:
        with pytest.raises(FloatingPointError, match="validation loss became NaN or infinite in epoch 2"):
            fit(model_of(), *chosen)
    else:
        with pytest.warns(RuntimeWarning, match="validation loss"):
            assert fit(model_of(), *chosen).epoch == [0, 1]


# -- progress bar, arguments -----------------------------------------------------------------------

def test_progress_bar_spans_the_whole_fit(capfd):
    fit(model_of(), ProgressBar(), epochs=7)
    out, bar = capfd.readouterr()
    assert out == "" and "7/7" in bar and "loss=" in bar


@pytest.mark.parametrize("wrong", [EarlyStopping, "early_stopping", [lambda epoch, logs: None]])
def test_an_object_that_is_no_callback_is_refused(wrong):
    with pytest.raises(TypeError, match="callbacks must be objects"):
        model_of().fit(*problem(), verbose=0, callbacks=wrong)


@pytest.mark.parametrize("call, message", [
    (lambda: EarlyStopping(patience=-1), "patience"),
    (lambda: ReduceLROnPlateau(factor=1.0), "factor"),
    (lambda: ReduceLROnPlateau(factor=0), "factor"),
    (lambda: ModelCheckpoint("a.npz", save_freq=0), "save_freq"),
    (lambda: EarlyStopping(min_delta=NAN), "min_delta"),
])
def test_options_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_hook_of_lambda_callback_must_be_callable():
    with pytest.raises(TypeError, match="on_epoch_end must be a function"):
        LambdaCallback(on_epoch_end=3)


# -- the learning rate range test ------------------------------------------------------------------

def test_the_range_test_finds_where_the_loss_falls_and_does_not_change_the_model():
    x, y = problem(400)
    model = model_of()
    before, state = model.params.copy(), str(model._rng.bit_generator.state)
    curve = nnfast.find_learning_rate(model, x, y)
    np.testing.assert_array_equal(model.params, before)
    assert str(model._rng.bit_generator.state) == state
    assert model._network.steps == 0 and model.optimizer.learning_rate == 0.001
    assert 1e-4 < curve.suggestion < 1
    assert len(curve.learning_rates) == len(curve.losses) == len(curve.smoothed)
    again = nnfast.find_learning_rate(model, x, y)
    np.testing.assert_array_equal(curve.losses, again.losses)
    step = np.flatnonzero(curve.learning_rates == curve.suggestion)[0]
    bound = 0.4 * curve.smoothed[0] + 0.6 * curve.smoothed.min()
    assert curve.smoothed[step] <= bound < curve.smoothed[:step].min()


def test_the_smoothed_loss_of_the_range_test_has_no_noise_of_batches():
    """At tiny rates it is the mean loss of the batches; both models draw the same dropout masks."""
    x, y = problem(400)
    model = nnfast.Sequential([nnfast.Dense(16, "tanh"), nnfast.layers.Dropout(0.5), nnfast.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    curve = nnfast.find_learning_rate(model, x, y, start=1e-12, end=1e-11)
    assert np.ptp(curve.losses) > 0.1
    np.testing.assert_allclose(curve.smoothed, np.mean(curve.losses), rtol=1e-6)


def test_the_range_test_calls_no_metric():
    def refuse(y_true, y_pred):
        raise ValueError("too few rows")

    x, y = problem(400)
    plain, model = model_of(metrics=["mae"]), model_of(metrics=["mae", refuse])
    actual, expected = nnfast.find_learning_rate(model, x, y), nnfast.find_learning_rate(plain, x, y)
    np.testing.assert_array_equal(actual.losses, expected.losses)


@pytest.mark.parametrize("start, end", [(1e-12, 1e-9), (1e-8, 1e-6)])
def test_the_range_test_suggests_nothing_where_the_loss_hardly_falls(start, end):
    curve = nnfast.find_learning_rate(model_of(), *problem(400), start=start, end=end)
    assert np.isnan(curve.suggestion) and repr(curve) == "LearningRateCurve(100 steps, no suggestion)"
    with pytest.raises(ValueError, match="learning_rate"):
        optimizers.Adam(curve.suggestion)


@pytest.mark.parametrize("problem_of", ["digits", "breast_cancer", "diabetes"])
def test_the_suggested_rate_is_near_rates_that_train_well(problem_of):
    """Within a factor of 5, for a model of each kind; benchmarks/learning_rates.py has more."""
    pytest.importorskip("sklearn")
    from benchmarks import learning_rates

    x, y, *task = learning_rates.problems()[problem_of]
    models = learning_rates.MODELS[::2] if problem_of == "digits" else learning_rates.MODELS
    for seed, (widths, activation, optimizer) in enumerate(models):
        model = (widths, activation, optimizer, *task, seed)
        losses = learning_rates.trained_losses(x, y, 2, *model)
        good = learning_rates.RATES[losses <= losses.min() + 0.1 * (losses[0] - losses.min())]
        suggestion = nnfast.find_learning_rate(learning_rates.fresh(*model), x, y).suggestion
        assert learning_rates.factor(suggestion, good) < 5, model


@pytest.mark.parametrize("seed", range(4))
def test_the_range_test_uses_the_first_fall_of_the_loss(seed):
    """With targets of about 150, rates from 0.01 on kill the relu units.

    There the bias alone lowers the loss a second time.
    """
    data = pytest.importorskip("sklearn.datasets").load_diabetes()
    model = nnfast.Sequential([nnfast.Input(10), nnfast.Dense(32, "relu"), nnfast.Dense(1)], seed=seed)
    model.compile("sgd", "mse")
    curve = nnfast.find_learning_rate(model, data.data, data.target, seed=seed)
    assert 6e-4 < curve.suggestion < 5e-3


def test_the_range_test_of_gradient_descent_stops_where_it_diverges():
    """Least squares where x^2 has mean 1/3: it diverges at learning rates above 3.

    A step of rate r multiplies the error by 1 - 2 r / 3.
    """
    x = np.linspace(-1, 1, 64).reshape(-1, 1)
    model = nnfast.Sequential([nnfast.Input(1), nnfast.Dense(1, use_bias=False)], dtype="float64", seed=0)
    model.compile("sgd", "mse")
    curve = nnfast.find_learning_rate(model, x, 5 * x[:, 0], batch_size=64, start=1e-3, end=1e3, steps=200)
    assert 3 < curve.learning_rates[-1] < 100 and curve.suggestion < 3


@pytest.mark.parametrize("call, message", [
    (lambda x, y: nnfast.find_learning_rate(model_of("lbfgs"), x, y), "has a learning rate"),
    (lambda x, y: nnfast.find_learning_rate(nnfast.Sequential([nnfast.Dense(2)]), x, y), "compiled model"),
    (lambda x, y: nnfast.find_learning_rate(model_of(), x, y, start=1.0, end=0.1), "end must be larger"),
    (lambda x, y: nnfast.find_learning_rate(model_of(), x, y[:5]), "same number of rows"),
    (lambda x, y: nnfast.find_learning_rate(model_of("sgd"), x, y, start=1e30, end=1e31),
     "choose a smaller one|Choose a smaller one"),
])
def test_the_range_test_refuses_what_it_cannot_do(call, message):
    with pytest.raises(ValueError, match=message):
        call(*problem())


def test_repr_of_a_callback_shows_the_options_that_are_not_default():
    assert repr(nnfast.callbacks.EarlyStopping(patience=3)) == "EarlyStopping(patience=3)"
    assert repr(nnfast.callbacks.EarlyStopping()) == "EarlyStopping()"
    assert repr(nnfast.callbacks.CSVLogger("log.csv")) == "CSVLogger(filename='log.csv')"
    classifier = nnfast.MLPClassifier(callbacks=[nnfast.callbacks.EarlyStopping()])
    assert repr(classifier) == "MLPClassifier(callbacks=[EarlyStopping()])"
