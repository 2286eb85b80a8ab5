"""Models come back from files as they were saved, and no file can do harm."""
import contextlib
import copy
import errno
import json
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from optimizer_cases import CASES, make
from optional import needs

import nnfast
from nnfast import (
    _model_file,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)

FORMATS = [".npz", ".safetensors"]
every_format = pytest.mark.parametrize("ending", FORMATS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
DATA = Path(__file__).parent / "data"


def problem():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((75, 4))
    return x, np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)


PLAIN = [layers.Dense(6, "tanh"), layers.Dense(2)]
EVERY = [
    layers.Rescaling(0.5, (0.1, 0.2, 0.3, 0.4)), layers.Normalization((0.0, 0.1, 0.2, 0.3), 2.0),
    layers.GaussianNoise(0.1),
    layers.Dense(6, kernel_regularizer="l2", kernel_constraint="max_norm", learning_rate_multiplier=0.5),
    layers.BatchNormalization(), layers.PReLU(), layers.Dropout(0.2),
    layers.Dense(5, "tanh", activity_regularizer=regularizers.L1(0.01), bias_constraint="non_neg"),
    layers.LayerNormalization(), layers.Dense(2),
]


def model_of(optimizer="adam", dtype="float32", loss="mse", stack=PLAIN, **more):
    model = nnfast.Sequential(map(copy.copy, stack), dtype=dtype, seed=3)
    model.compile(optimizer, loss, **more)
    return model


def fit(model, epochs, **more):
    x, y = problem()
    return model.fit(x, y, batch_size=16, epochs=epochs, initial_epoch=model.epoch, verbose=0, **more)


def assert_same(one, other):
    """Everything that a file keeps is the same, bit for bit."""
    assert type(other) is type(one) and other.layers == one.layers
    assert other.dtype == one.dtype and other.epoch == one.epoch
    assert other.optimizer == one.optimizer and other._loss == one._loss and other._metrics == one._metrics
    assert other._rng.bit_generator.state == one._rng.bit_generator.state
    assert (other._network is None) == (one._network is None)
    if one._network is not None:
        np.testing.assert_array_equal(other.params, one.params)
        if one._loss is not None:
            np.testing.assert_array_equal(other._network.slots, one._network.slots)
            assert other._network.steps == one._network.steps


def child(code, *arguments, **more):
    """The output of a new process, which can import this file."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- objects ---------------------------------------------------------------------------------------

OBJECTS = [
    layers.Input((28, 28)), layers.Flatten(), layers.Activation("softmax"), layers.Dropout(1 / 3),
    layers.GaussianNoise(0.1), layers.PReLU("ones"), layers.Rescaling(1 / 255),
    layers.Rescaling([1.0, 2.0], (0.1, 0.2)), layers.Normalization([1.0, 2.0], 3.0, invert=True),
    layers.Normalization(), layers.BatchNormalization(momentum=0.5, center=False, gamma_initializer="zeros"),
    layers.LayerNormalization(epsilon=1e-5, scale=False),
    layers.Dense(3, kernel_regularizer=regularizers.L1L2(0.1, 0.2), bias_regularizer="l1",
                 activity_regularizer=regularizers.L2(0.3), kernel_constraint=constraints.MaxNorm(1.5),
                 bias_constraint="non_neg", learning_rate_multiplier=0.1),
    regularizers.L1(0.5), regularizers.L2(0.5), constraints.MaxNorm(3),
    layers.Dense(3, "selu", use_bias=False, kernel_initializer=initializers.VarianceScaling(2.5, "fan_out", "uniform"),
                 bias_initializer="ones"),
    initializers.Constant(0.1), initializers.Orthogonal(2), initializers.Identity(0.5), initializers.RandomNormal(1, 2),
    initializers.RandomUniform(-1, 1), initializers.TruncatedNormal(1, 0.5),
    schedules.ExponentialDecay(0.1, 100, 0.5, staircase=True), schedules.InverseTimeDecay(0.1, 10, 0.5),
    schedules.PiecewiseConstantDecay([1, 2.5], [0.1, 0.01, 1e-3]),
    schedules.PolynomialDecay(0.1, 10, power=2, cycle=True),
    schedules.CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10),
    schedules.CosineDecayRestarts(0.1, 10, t_mul=1.5),
    schedules.OneCycle(0.1, 100, anneal_strategy="linear", three_phase=True),
    optimizers.AdamW(schedules.CosineDecay(0.1, 10), clipnorm=1.5, use_ema=True, ema_momentum=0.5,
                     ema_overwrite_frequency=3),
    optimizers.SGD(1 / 3, momentum=0.9, nesterov=True, gradient_accumulation_steps=4, weight_decay=1e-300),
    optimizers.LBFGS(maxcor=5, gtol=0.1), losses.Quantile([0.1, 0.9]), losses.Dice(axis=(0, 1)), losses.Dice(),
    losses.Tversky(0.3, 0.7, reduction="sum"), losses.Tweedie(1.2),
    losses.BinaryCrossentropy(True, 0.1, pos_weight=[1, 2], reduction="mean_with_sample_weight"),
    losses.SparseCategoricalCrossentropy(ignore_class=-1), losses.CategoricalFocalCrossentropy([0.25, 0.5], 1.5),
    losses.MeanSquaredError(None),
    metrics.AUC(50, "PR", "minoring", "area", thresholds=[0.25, 0.75], multi_label=True, num_labels=2,
                label_weights=[1, 2], from_logits=True),
    metrics.Precision([0.1, 0.9], class_id=1), metrics.Recall(0.25, top_k=2), metrics.FBetaScore("micro", 2.0, 0.5),
    metrics.F1Score("macro"), metrics.IoU(3, [0, 2], ignore_class=255), metrics.MeanIoU(3, name="mean"),
    metrics.OneHotIoU(3, [1]), metrics.OneHotMeanIoU(4), metrics.SensitivityAtSpecificity(0.5, 10),
    metrics.SpecificityAtSensitivity(0.25), metrics.PrecisionAtRecall(0.5), metrics.RecallAtPrecision(0.75),
    metrics.R2Score(None, 2), metrics.BinaryIoU([1], 0.25), metrics.SparseCategoricalCrossentropy(ignore_class=0),
]
NEED_A_FUNCTION = {"losses.Custom", "metrics.MeanMetricWrapper"}


def returned(value, **custom_objects):
    return _model_file.made(json.loads(json.dumps(_model_file.described(value))), custom_objects)


@pytest.mark.parametrize("value", OBJECTS, ids=repr)
def test_objects_come_back_with_all_their_options(value):
    assert type(returned(value)) is type(value) and returned(value) == value and repr(returned(value)) == repr(value)


@pytest.mark.parametrize("name", sorted(set(_model_file.CLASSES) - NEED_A_FUNCTION))
def test_every_class_comes_back(name):
    examples = [value for value in OBJECTS if type(value) is _model_file.CLASSES[name]] or [_model_file.CLASSES[name]()]
    assert all(returned(value) == value and type(returned(value)) is type(value) for value in examples)


def test_the_table_holds_every_public_class_that_a_model_can_have():
    modules = (constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules)
    public = [getattr(module, name) for module in modules for name in module.__all__]
    bases = {losses.Loss, metrics.Metric, optimizers.Optimizer, schedules.Schedule}
    assert set(_model_file.CLASSES.values()) == {each for each in public if isinstance(each, type)} - bases
    assert all(cls.__module__.startswith("nnfast.") for cls in _model_file.CLASSES.values())


def test_numpy_numbers_are_saved_as_python_numbers():
    assert returned(initializers.Constant(np.float32(0.1))) == initializers.Constant(np.float32(0.1))
    assert returned([np.int64(3), np.bool_(True), np.arange(2)]) == [3, True, [0, 1]]


def own_loss(y_true, y_pred):
    error = y_pred - y_true
    return (error**4).mean(axis=1), 4 * error**3 / error.shape[1]


def own_metric(y_true, y_pred):
    return np.abs(y_true - y_pred).max(axis=-1)


def own_rate(step):
    return 1e-4 / (1 + step)


def own_start(shape, rng):
    return rng.normal(0, 0.1, shape)


class OwnLoss(losses.Loss):
    def call(self, y_true, y_pred):
        return own_loss(y_true, y_pred)


OWN = {"own_loss": own_loss, "own_metric": own_metric, "own_rate": own_rate, "own_start": own_start}


@every_format
def test_user_functions_are_given_to_load_by_name(tmp_path, ending):
    path = tmp_path / f"model{ending}"
    model = nnfast.Sequential([layers.Dense(3, kernel_initializer=own_start), layers.Dense(2)], seed=0)
    loss = losses.Custom(own_loss, reduction="sum")
    model.compile(optimizers.SGD(own_rate), loss, metrics=[own_metric, "mae"], weighted_metrics=[own_metric])
    fit(model, 2)
    model.save(path)
    for name in OWN:
        with pytest.raises(ValueError, match=f"the model uses '{name}', .*custom_objects={{'{name}': "):
            nnfast.load(path, {key: value for key, value in OWN.items() if key != name})
    other = nnfast.load(path, custom_objects=OWN)
    assert other._loss == model._loss and other._loss.reduction == "sum"
    assert [name for name, _, _ in other._metrics] == ["own_metric", "mae", "weighted_own_metric"]
    for each in (model, other):
        fit(each, 4)
    assert_same(model, other)


def test_user_objects_are_given_to_load_by_class_name(tmp_path):
    model = model_of(loss=OwnLoss(reduction="sum"))
    fit(model, 1)
    model.save(tmp_path / "model.npz")
    assert_same(model, nnfast.load(tmp_path / "model.npz", {"OwnLoss": OwnLoss(reduction="sum")}))


def test_a_loss_in_c_is_given_to_load(tmp_path, c_loss):
    function = c_loss(dtype="float32")
    model = model_of(loss=function)
    fit(model, 1)
    model.save(tmp_path / "model.npz")
    other = nnfast.load(tmp_path / "model.npz", {"LowLevelCallable": function})
    for each in (model, other):
        fit(each, 3)
    np.testing.assert_array_equal(model.params, other.params)


def test_a_function_without_a_name_is_refused_and_nothing_written(tmp_path):
    model = model_of(metrics=lambda y_true, y_pred: y_true - y_pred)
    message = r"must have a name, .*got <function .*<lambda>.*Define it with def, or use save_weights"
    with pytest.raises(ValueError, match=message):
        model.save(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == []
    with pytest.raises(TypeError, match="custom_objects must be a dict"):
        nnfast.load(tmp_path / "model.npz", [own_loss])


def test_random_generators_other_than_pcg64_are_refused(tmp_path):
    model = nnfast.Sequential([layers.Dense(2)])
    model._rng = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(ValueError, match="PCG64, NumPy's default; got MT19937"):
        model.save(tmp_path / "model.npz")


# -- models ----------------------------------------------------------------------------------------


@every_format
@every_dtype
@pytest.mark.parametrize("optimizer", [*CASES, "lbfgs"])
def test_a_loaded_model_equals_the_saved_one(tmp_path, ending, dtype, optimizer):
    path = tmp_path / f"model{ending}"
    chosen = make(optimizer, 0.01) if optimizer in CASES else optimizer
    model = model_of(chosen, dtype, losses.Huber(0.5), metrics=["mae", metrics.R2Score()], weighted_metrics=["mae"])
    model.fit(*problem(), epochs=3, verbose=0)
    model.save(path)
    other = nnfast.load(path)
    assert_same(model, other)
    x, y = problem()
    assert other.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    model.save(tmp_path / f"again{ending}")
    other.save(tmp_path / f"other{ending}")
    assert path.read_bytes() == (tmp_path / f"again{ending}").read_bytes() == (tmp_path / f"other{ending}").read_bytes()


@every_format
@pytest.mark.parametrize("kept", [
    [],
    [layers.Flatten(), layers.Dense(3, "softmax")],
    [layers.Input((2, 3)), layers.Flatten(), layers.Dense(3, "softmax")],
    [layers.Input(6), layers.Activation("tanh"), layers.Dense(3, use_bias=False), layers.Activation("softmax")],
    [layers.Input(3), layers.Activation("softmax")],
], ids=repr)
@pytest.mark.parametrize("compiled", [False, True])
def test_models_are_saved_built_or_not(tmp_path, ending, kept, compiled):
    path, x = tmp_path / f"model{ending}", np.random.default_rng(10).standard_normal((20, 6))
    model = nnfast.Sequential(map(copy.copy, kept), seed=0)
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy")
    model.save(path)
    unbuilt = nnfast.load(path)
    assert_same(model, unbuilt)
    if not kept or kept[0] == layers.Input(3):
        return
    if compiled:
        for each in (model, unbuilt):
            each.fit(x, np.arange(20) % 3, verbose=0)
    else:
        for each in (model, unbuilt):
            each.build((None, 6)) if not each.built else None
    assert_same(model, unbuilt)
    model.save(path)
    assert_same(model, nnfast.load(path))
    np.testing.assert_array_equal(nnfast.load(path).predict(x), model.predict(x))


def test_weights_that_are_not_finite_are_saved(tmp_path):
    model = model_of()
    fit(model, 1)
    model.params[:3] = np.nan, np.inf, -0.0
    model.save(tmp_path / "model.npz")
    assert nnfast.load(tmp_path / "model.npz").params.tobytes() == model.params.tobytes()


def test_a_changed_optimizer_option_is_saved(tmp_path):
    model = model_of(optimizers.SGD(0.1))
    fit(model, 1)
    model.optimizer.learning_rate, model.optimizer.momentum = 0.01, 0.9
    model.save(tmp_path / "model.npz")
    other = nnfast.load(tmp_path / "model.npz")
    for each in (model, other):
        fit(each, 3)
    assert_same(model, other)


def test_numpy_reads_the_arrays(tmp_path):
    model = model_of()
    fit(model, 1)
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        for i, weight in enumerate(model.get_weights()):
            np.testing.assert_array_equal(file[f"weights.{i}"], weight)
        np.testing.assert_array_equal(file["slots"], model._network.slots)
        assert json.loads(file["nnfast"].tobytes())["format_version"] == _model_file.FORMAT_VERSION
    with zipfile.ZipFile(tmp_path / "model.npz") as archive:
        assert archive.testzip() is None


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_safetensors_library_reads_our_files(tmp_path, dtype, optimizer):
    library = needs("safetensors.numpy")
    model = model_of(optimizer, dtype)
    fit(model, 1)
    model.save(tmp_path / "model.safetensors")
    arrays = library.load_file(tmp_path / "model.safetensors")
    for i, weight in enumerate(model.get_weights()):
        np.testing.assert_array_equal(arrays[f"weights.{i}"], weight)
    np.testing.assert_array_equal(arrays["slots"], model._network.slots)


# -- exact resume ----------------------------------------------------------------------------------

RUNS = {
    **{name: (lambda name=name: make(name, 0.01)) for name in CASES},
    "schedule": lambda: optimizers.Adam(schedules.CosineDecay(0.05, 70, warmup_target=0.1, warmup_steps=20)),
    # the save comes after 50 batches, in the middle of a step
    "accumulation": lambda: optimizers.RMSprop(0.01, gradient_accumulation_steps=7, clipnorm=0.5),
    "every layer": lambda: optimizers.Adam(0.01),
    "ema": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=11, weight_decay=0.01),
}


def every_number(model):
    return np.concatenate([array.ravel() for array in model.get_weights()])


def resume(folder):
    """In a separate process: continues the fit of every model of a folder."""
    for path in Path(folder).iterdir():
        model = nnfast.load(path)
        assert model.epoch == 10
        fit(model, 20)
        np.save(f"{path}.npy", every_number(model))


def interrupted(folder, name, dtype):
    """Saves a model after epoch 10: within a fit of 20 epochs, and after a fit of 10.

    Returns the weights after 20 epochs.
    """
    def save(model, when):
        for ending in FORMATS:
            model.save(folder / f"{name}-{dtype}-{when}{ending}")

    stack = EVERY if name == "every layer" else PLAIN
    whole, half = model_of(RUNS[name](), dtype, stack=stack), model_of(RUNS[name](), dtype, stack=stack)
    saver = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: save(whole, "within") if epoch == 9 else None)
    fit(whole, 20, callbacks=[saver])
    if name != "ema":           # at its end, a fit sets the weights to their mean
        fit(half, 10)
        save(half, "after")
    return every_number(whole)


def test_a_fit_continues_in_another_process_bit_for_bit(tmp_path):
    expected = {f"{name}-{dtype}": interrupted(tmp_path, name, dtype)
                for name in RUNS for dtype in ("float32", "float64")}
    files = os.listdir(tmp_path)
    assert len(files) == 8 * len(RUNS) - 4
    child("import test_saving; test_saving.resume(sys.argv[1])", tmp_path)
    for file in files:
        resumed = np.load(tmp_path / f"{file}.npy")
        np.testing.assert_array_equal(resumed, expected[file.rpartition("-")[0]], err_msg=file)


def test_a_loaded_model_can_be_pickled(tmp_path):
    model = model_of()
    fit(model, 2)
    model.save(tmp_path / "model.npz")
    other = pickle.loads(pickle.dumps(nnfast.load(tmp_path / "model.npz")))
    for each in (model, other):
        fit(each, 4)
    assert_same(model, other)


def test_epoch_is_the_number_of_the_next_epoch():
    model = model_of()
    assert model.epoch == 0
    fit(model, 3)
    assert model.epoch == 3
    fit(model, 5)
    assert model.epoch == 5 and model.history.epoch == [3, 4]


# -- weights alone ---------------------------------------------------------------------------------


@every_format
@pytest.mark.parametrize("whole", [False, True])
def test_weights_alone_are_saved_and_loaded(tmp_path, ending, whole):
    path, model, other = tmp_path / f"weights{ending}", model_of(), model_of("sgd")
    fit(model, 2)
    fit(other, 1)
    (model.save if whole else model.save_weights)(path)
    other.load_weights(path)
    np.testing.assert_array_equal(other.params, model.params)
    assert other.epoch == 1 and other.optimizer == optimizers.SGD()
    if not whole:
        with pytest.raises(ValueError, match=r"cannot be loaded: it holds weights alone: .*load_weights"):
            nnfast.load(path)


@every_format
def test_weights_of_another_architecture_are_refused_with_both_shapes(tmp_path, ending):
    path, model = tmp_path / f"model{ending}", nnfast.Sequential([layers.Input(4), layers.Dense(3), layers.Dense(2)])
    nnfast.Sequential([layers.Input(4), layers.Dense(5), layers.Dense(2)]).save(path)
    before = model.get_weights()
    message = "must have the shapes [(4, 3), (3,), (3, 2), (2,)]; got [(4, 5), (5,), (5, 2), (2,)]"
    with pytest.raises(ValueError, match=re.escape(message)):
        model.load_weights(path)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(RuntimeError, match="must be built first"):
        nnfast.Sequential([layers.Dense(3)]).load_weights(path)


# -- writing ---------------------------------------------------------------------------------------


@every_format
def test_a_path_that_cannot_be_written_is_an_error(tmp_path, ending):
    model = model_of()
    fit(model, 1)
    with pytest.raises(FileNotFoundError, match="nothing is saved, .*No such file or directory.*missing"):
        model.save(tmp_path / "missing" / f"model{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(IsADirectoryError, match="nothing is saved"):
        model.save(tmp_path / f"folder{ending}")
    with pytest.raises(ValueError, match=r"path must end in '.npz' or '.safetensors'; got .*model.keras"):
        model.save(tmp_path / "model.keras")
    assert os.listdir(tmp_path) == [f"folder{ending}"]


@every_format
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, ending):
    """A limit on the size of files stands for a full disk, because it needs no root rights."""
    path, model = tmp_path / f"model{ending}", nnfast.Sequential([layers.Input(100), layers.Dense(100)], seed=0)
    model.save(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 500, 20_000, len(before) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            message = "nothing is saved, and a file that was there is as it was: File too large"
            with pytest.raises(OSError, match=message) as error:
                model.save(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert error.value.errno == errno.EFBIG and error.value.filename == str(path)
        assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    assert nnfast.load(path).layers == model.layers


def test_an_error_while_saving_removes_the_unfinished_file(tmp_path, monkeypatch):
    path, model = tmp_path / "model.npz", model_of()
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(_model_file, "_seal", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "model.npz").symlink_to(tmp_path / "there" / "model.npz")
    model_of().save(tmp_path / "model.npz")
    assert (tmp_path / "model.npz").is_symlink() and os.listdir(tmp_path / "there") == ["model.npz"]


def kill_while_saving(path):
    """In a separate process: kills savers at random moments and checks the files they leave."""
    path, moments, seen, begun = Path(path), random.Random(0), set(), 0
    model = nnfast.Sequential([layers.Input(300), layers.Dense(300)], seed=0)
    model.params[:] = 0
    model.save(path)
    for kill in range(40):
        saver = os.fork()
        if saver == 0:
            for number in range(10_000):
                model.params[:] = 10_000 * kill + number
                model.save(path)
        time.sleep(moments.uniform(0.01, 0.05))
        os.kill(saver, signal.SIGKILL)
        os.waitpid(saver, 0)
        params = nnfast.load(path).params
        assert (params == params[0]).all()
        seen.add(float(params[0]))
        for left in path.parent.glob(".nnfast-*.part"):
            begun += 1
            with contextlib.suppress(ValueError):
                params = nnfast.load(left).params
            assert (params == params[0]).all()
            left.unlink()
    print(len(seen), begun)


@pytest.mark.parametrize("ending", [
    FORMATS[0], *(pytest.param(ending, marks=pytest.mark.slow) for ending in FORMATS[1:])])
def test_a_killed_save_leaves_a_complete_file(tmp_path, ending):
    code = "import test_saving; test_saving.kill_while_saving(sys.argv[1])"
    seen, begun = map(int, child(code, tmp_path / f"model{ending}", timeout=600).split())
    assert seen > 10 and begun > 10, "it was hardly ever killed while it saved"


def test_threads_can_save_to_the_same_path(tmp_path):
    kept, failed = [model_of() for _ in range(4)], []
    for model in kept:
        fit(model, 1)

    def save(number):
        try:
            for _ in range(20):
                kept[number].save(tmp_path / "model.npz")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and os.listdir(tmp_path) == ["model.npz"]
    assert_same(kept[0], nnfast.load(tmp_path / "model.npz"))


@pytest.mark.parametrize("ending", FORMATS)
def test_a_fit_continues_from_a_checkpoint(tmp_path, ending):
    model = model_of(metrics="mae")
    fit(model, 5, callbacks=[callbacks.ModelCheckpoint(tmp_path / f"{{epoch}}{ending}")])
    other = nnfast.load(tmp_path / f"2{ending}")
    fit(other, 5)
    assert_same(model, other)


# -- reading ---------------------------------------------------------------------------------------


def crafted(path, text, arrays=None):
    """A file with any document and arrays, and a correct checksum."""
    put = {".npz": _model_file._put_npz, ".safetensors": _model_file._put_safetensors}[Path(path).suffix]
    with open(path, "w+b") as file:
        put(file, text, arrays or {})
        _model_file._seal(file)
    return path


def resealed(data):
    """The bytes of a file with a corrected checksum."""
    import zlib

    return bytes(data[:-8]) + b"%08x" % zlib.crc32(data[:-8])


@pytest.fixture
def saved(tmp_path):
    """The document and the arrays of a saved model."""
    model = model_of(metrics="mae")
    fit(model, 2)
    model.save(tmp_path / "saved.npz")
    return _model_file.read(tmp_path / "saved.npz")


def refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as raised:
        nnfast.load(path)
    assert error is OSError or str(path) in str(raised.value)


@every_format
def test_unknown_format_versions_are_refused(tmp_path, ending, saved):
    document, arrays = saved
    for version, message in [
        (2, "written by a newer version of nnfast, '9.9': its format is 2, .*formats up to 1. Update nnfast"),
        (10**30, "newer version"), (0, "must be a number from 1"), ("1", "must be a number"),
        (True, "must be a number"), (None, "must be a number"),
    ]:
        text = json.dumps({**document, "format_version": version, "nnfast": "9.9"}).encode()
        refused(crafted(tmp_path / f"model{ending}", text, arrays), message)


# {case: (changes of the document, the message)}
HOSTILE = {
    "a foreign class": ({"optimizer": {"class": "os.system", "command": "true"}},
                        "names the class 'os.system', which is none of nnfast's"),
    "a module": ({"loss": {"class": "losses.np"}}, "none of nnfast's"),
    "a base class": ({"loss": {"class": "losses.Loss"}}, "none of nnfast's"),
    "a list as class": ({"loss": {"class": []}}, "none of nnfast's"),
    "an unknown option": ({"loss": {"class": "losses.Huber", "evil": 1}}, "evil"),
    "a wrong option": ({"loss": {"class": "losses.Huber", "delta": -1}}, "delta must be"),
    "a string for layers": ({"layers": "Dense"}, "a layer must be one of"),
    "a number for layers": ({"layers": 3}, "cannot be loaded"),
    "too many layers": ({"layers": [{"class": "layers.Flatten"}] * 5000}, "at most 4096 layers"),
    "too many metrics": ({"weighted_metrics": [{"class": "metrics.AUC"}] * 5000}, "at most 4096 weighted_metrics"),
    "a layer of a billion": ({"layers": [{"class": "layers.Dense", "units": 10**9}]},
                             "the layers need weights of the shapes"),
    "a billion inputs": ({"n_inputs": 10**9}, "the layers need weights of the shapes"),
    "an input beyond all sizes": ({"layers": [{"class": "layers.Input", "shape": [2**61] * 10},
                                              {"class": "layers.Dense", "units": 1}]},
                                  "the width of x must be below"),
    "a metric of a billion": ({"metrics": [{"class": "metrics.MeanIoU", "num_classes": 10**9}]},
                              "num_classes .* at most 1000000"),
    "another optimizer": ({"optimizer": {"class": "optimizers.Adam", "amsgrad": True}},
                          r"must have shape \(3, 44\), got \(2, 44\)"),
    "another dtype": ({"dtype": "float64"}, "must be of dtype float64"),
    "no dtype": ({"dtype": "O"}, "dtype must be"),
    "a list of steps": ({"steps": []}, "steps must be an integer"),
    "too many steps": ({"steps": 2**70}, "steps must be below"),
    "an epoch below 0": ({"epoch": -1}, "epoch must be an integer of at least 0"),
    "a random state that is none": ({"random_state": {}}, "it lacks"),
    "a random state of strings": ({"random_state": {"state": {"state": "1", "inc": 1}}},
                                  "random state must hold integers"),
    "a random state too large": ({"random_state": {"state": {"state": 2**128, "inc": 1}}},
                                 "random state must hold integers"),
    "a layer for a loss": ({"loss": {"class": "layers.Flatten"}}, "loss"),
    "a loss for an optimizer": ({"optimizer": {"class": "losses.Huber"}}, "optimizer"),
    "metrics of one name": ({"metrics": [{"class": "metrics.Accuracy", "name": "a"}] * 2}, "different names"),
    "not a number": ({"epoch": float("nan")}, "it holds the number NaN"),
    "an endless integer": ({"epoch": 10**50}, "an integer of 51 digits"),
}


@every_format
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_document_is_refused(tmp_path, ending, saved, case):
    document, arrays = saved
    changed, message = HOSTILE[case]
    refused(crafted(tmp_path / f"model{ending}", json.dumps({**document, **changed}).encode(), arrays), message)


@every_format
@pytest.mark.parametrize("text, message", [
    (b"[" * 100_000, "cannot be loaded"), (b'{"a":' * 50_000, "cannot be loaded"), (b"", "cannot be loaded"),
    (b"[]", "must be an object"), (b"{", "cannot be loaded"), (b" " * 2**20 + b"{}", "description has|header|bytes"),
    (b"null", "must be an object"), (b"{}", "format version"),
    (b'{"format_version": 1, "layers": []}', "it lacks"),
], ids=["deep list", "deep object", "empty", "list", "open", "long", "null", "no version", "little"])
def test_an_invalid_document_is_refused(tmp_path, ending, text, message):
    refused(crafted(tmp_path / f"model{ending}", text), message)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    refused(crafted(tmp_path / "model.npz", b"\xff\xfe{}\x80"), "cannot be loaded")


@every_format
def test_arrays_that_are_missing_or_too_many_are_refused(tmp_path, ending, saved):
    document, arrays = saved
    text, path = json.dumps(document).encode(), tmp_path / f"model{ending}"
    refused(crafted(path, text, {**arrays, "extra": arrays["slots"]}), "its arrays must be .* it holds .*'extra'")
    for name in arrays:
        refused(crafted(path, text, {key: value for key, value in arrays.items() if key != name}),
                "it lacks|needs? weights")
    refused(crafted(path, text, {**arrays, "slots": arrays["slots"][:, :1].copy()}), "must have shape")
    refused(crafted(path, text, {**arrays, "weights.1": arrays["weights.1"][:1].copy()}),
            "the layers need weights of the shapes")
    refused(crafted(path, text, {**arrays, "weights.1": arrays["weights.1"].astype("f8")}), "must be of dtype float32")


def test_files_not_written_by_nnfast_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, a=np.ones(3))
    refused(path, "does not end in the checksum .*np.load")
    np.savez_compressed(path, a=np.ones(3))
    refused(path, "does not end in the checksum")
    for data in (b"", b"PK", b"PK\3\4", b"hello world, this is a text", pickle.dumps([1, 2, 3] * 10),
                 b"\x93NUMPY" + b"0" * 90, b"0" * 8 + b"{" + b"0" * 50,
                 b"\xff" * 8 + b"{" + b"0" * 50):
        path.write_bytes(data)
        refused(path, "neither a .npz nor a .safetensors|checksum")
    refused(tmp_path / "missing.npz", "No such file", FileNotFoundError)
    refused(tmp_path, "directory", IsADirectoryError)
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "no regular file")
    with pytest.raises(TypeError):
        nnfast.load(3)


def test_the_format_is_recognized_by_content(tmp_path):
    model = model_of()
    model.save(tmp_path / "model.npz")
    os.rename(tmp_path / "model.npz", tmp_path / "model.bin")
    assert_same(model, nnfast.load(tmp_path / "model.bin"))


def test_forged_archives_are_refused(tmp_path, saved):
    path, text = tmp_path / "model.npz", json.dumps(saved[0]).encode()

    def archive(entries, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, data in entries:
                file.writestr(name, data)
            file.comment = b"0" * 8
        path.write_bytes(resealed(path.read_bytes()))
        return path

    def npy(header, data=b""):
        return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + data

    bomb = npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (10000000,), }\n", b"0" * 10**7)
    refused(archive([("nnfast.npy", bomb)], zipfile.ZIP_DEFLATED), "overlap|neither compressed nor encrypted")
    with pytest.warns(UserWarning, match="Duplicate"):
        archive([("nnfast.npy", npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n", b"{}"))] * 2)
    refused(path, "must be there once")
    for header in (b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n",
                   b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n",
                   b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"9" * 30 + b",), }\n", b"(" * 5000 + b"\n",
                   b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"9999999, " * 5000 + b"), }\n",
                   b"__import__('os').system('true')\n"):
        refused(archive([("nnfast.npy", npy(header, text))]), "bytes of an array|is no array of nnfast")
    refused(archive([("nnfast.npy", b"")]), "no array of nnfast")
    refused(archive([(f"{i}.npy", b"") for i in range(50_000)]), "directory that is too long")
    refused(archive([]), "cannot be loaded")


def test_forged_safetensors_headers_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"

    def file(header, data=b""):
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(resealed(len(head).to_bytes(8, "little") + head + data + b"0" * 8))
        return path

    meta = {"__metadata__": {"nnfast": "{}"}}
    for entry in ({"dtype": "F32", "shape": [10**15], "data_offsets": [0, 8]},
                  {"dtype": "F32", "shape": [10**38] * 40_000, "data_offsets": [0, 8]},
                  {"dtype": "U8", "shape": ["a" * 10**6, 10**9], "data_offsets": [0, 8]},
                  {"dtype": "U8", "shape": [-8], "data_offsets": [0, 8]},
                  {"dtype": "U8", "shape": [8], "data_offsets": [0, 10**30]},
                  {"dtype": "U8", "shape": [8], "data_offsets": [-8, 0]},
                  {"dtype": "U8", "shape": [8], "data_offsets": ["a", 8]},
                  {"dtype": "O", "shape": [8], "data_offsets": [0, 8]},
                  {"dtype": [], "shape": [8], "data_offsets": [0, 8]},
                  {"dtype": "U8", "shape": [8.0], "data_offsets": [0, 8]}, {}, [], None, "U8"):
        refused(file({**meta, "checksum": entry}), "cannot be loaded")
    whole = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}
    refused(file({**meta, "checksum": whole, "twice": whole}), "must begin where those of the tensor before end")
    refused(file({**meta, "checksum": whole}, b"rest"), "must end with the checksum|bytes of an array|must follow")
    for header in ({"checksum": whole}, {"__metadata__": None, "checksum": whole},
                   {"__metadata__": {"nnfast": 3}, "checksum": whole}, b"{" * 100_000, b"{" + b" " * 2**21 + b"}",
                   b"{}", meta):
        refused(file(header), "cannot be loaded")


# -- damage ----------------------------------------------------------------------------------------


def damaged(data, chance):
    """A copy with bits flipped, an end cut off, or lengths forged."""
    data = bytearray(data)
    kind = chance.randrange(5)
    if kind == 0:                                               # flips bits
        for place in chance.sample(range(8 * len(data)), chance.choice([1, 1, 2, 8])):
            data[place // 8] ^= 1 << place % 8
    elif kind == 1:                                             # cuts the end off
        del data[chance.randrange(len(data)):]
        data += bytes(chance.choice([0, 0, 8, 5000]))
    elif kind == 2:                                             # forges an integer of 2, 4 or 8 bytes outside the data
        size = chance.choice([2, 4, 8])
        end = len(data) - 30
        place = chance.choice([0, 18, 22, 26, 28, end + 12, end + 16, end + 20, chance.randrange(len(data) - 8)])
        forged = chance.choice([2**(8 * size) - 1, 2**(8 * size - 1), 0, chance.randrange(2**(8 * size))])
        data[place:place + size] = forged.to_bytes(size, "little")
    elif kind == 3:                                             # forges a number in a header
        digits = chance.choice(list(re.finditer(rb"\d+", bytes(data))))
        data[digits.start():digits.end()] = str(chance.choice([0, 10**9, 10**18, 10**400])).encode()
    else:                                                       # drops or repeats a piece
        first, last = sorted(chance.sample(range(len(data)), 2))
        data[first:last] = data[first:last] * chance.choice([0, 2])
    return bytes(data)


def peak_memory(begin=False):
    """Peak memory of this process since the call with `begin`, in MB."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if begin:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def torture(path, count):
    """In a separate process: loads damaged files, first with a wrong, then with a correct checksum.

    Prints how many loads failed, the time of the slowest one, and the memory that they took.
    """
    path, chance = Path(path), random.Random(0)
    whole, expected = path.read_bytes(), nnfast.load(path)
    outcomes = {"error": 0, "resealed error": 0, "loaded": 0, "resealed loaded": 0}
    before, slowest = peak_memory(begin=True), 0.
    for number in range(2 * count):
        data, kind = damaged(whole, chance), "resealed " * (number >= count)
        if data == whole:
            data = data[:-1]
        if kind and len(data) > 8:
            data = resealed(data)
        path.write_bytes(data)
        begin = time.process_time()
        try:
            model = nnfast.load(path)
        except (ValueError, OSError):
            outcomes[kind + "error"] += 1
        else:
            outcomes[kind + "loaded"] += 1
            assert kind and model.params.shape == expected.params.shape, "a damaged file was taken for a whole one"
        slowest = max(slowest, time.process_time() - begin)
    print(json.dumps({**outcomes, "grown": peak_memory() - before, "slowest": slowest}))


@every_format
def test_damaged_files_are_errors(tmp_path, ending):
    path = tmp_path / f"model{ending}"
    model = model_of(optimizers.Adam(schedules.CosineDecay(0.01, 100)), metrics=["mae"])
    fit(model, 2)
    model.save(path)
    seen = json.loads(child("import test_saving; test_saving.torture(sys.argv[1], 500)", path, timeout=600))
    assert seen["error"] == 500 and seen["loaded"] == 0
    assert seen["resealed error"] + seen["resealed loaded"] == 500 and seen["resealed error"] > 100
    assert seen["grown"] < 100 and seen["slowest"] < 2


@every_format
def test_flipped_bits_and_cut_files_are_errors(tmp_path, ending):
    path = tmp_path / f"model{ending}"
    nnfast.Sequential([layers.Input(2), layers.Dense(2)], seed=0).save(path)
    whole = path.read_bytes()
    flips = [whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1:]
             for place in range(0, len(whole), 3)]
    for damaged in flips + [whole[:size] for size in range(0, len(whole), 11)]:
        path.write_bytes(damaged)
        refused(path, "cannot be loaded")


# -- older versions --------------------------------------------------------------------------------


@every_format
def test_files_of_version_1_are_loaded(ending):
    model = nnfast.load(DATA / f"version-1{ending}", {"own_metric": own_metric})
    assert model.layers == [layers.Input((2, 2)), layers.Flatten(),
                            layers.Dense(3, "tanh", kernel_initializer="he_normal"), layers.Dense(2, use_bias=False)]
    assert model.dtype == np.float64 and model.epoch == 2 and model._network.steps == 6
    assert model.optimizer == optimizers.Adam(schedules.ExponentialDecay(0.01, 100, 0.5), use_ema=True, clipnorm=1.0)
    assert model._loss == losses.Huber(0.5, reduction="sum")
    assert model._metrics == [("mae", metrics.get("mae"), False),
                              ("own_metric", metrics.MeanMetricWrapper(own_metric), False),
                              ("weighted_mae", metrics.get("mae"), True)]
    np.testing.assert_array_equal(model.params, np.arange(21) / 8)
    np.testing.assert_array_equal(model._network.slots, np.arange(63).reshape(3, 21) / 4)
    assert model._rng.bit_generator.state == np.random.default_rng(7).bit_generator.state
    x = np.linspace(-1, 1, 24).reshape(6, 2, 2)
    model.fit(x, x[:, 0], epochs=3, initial_epoch=model.epoch, verbose=0)
    assert model.epoch == 3 and np.isfinite(model.params).all()


def test_load_does_not_repeat_a_warning_of_compile(tmp_path):
    model = nnfast.Sequential([nnfast.Input(4), nnfast.Dense(1)])
    with pytest.warns(UserWarning, match="from_logits=True"):
        model.compile("adam", "bce")
    model.save(tmp_path / "model.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnfast.load(tmp_path / "model.npz")
