"""Metrics of a model, computed natively or by NumPy, with weights or without.

Expected values come from NumPy, applied to the predictions of the model.
"""
import warnings

import numpy as np
import pytest

import nnfast
from nnfast import losses, metrics
from nnfast.layers import Dense, Input

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 50)
NUMBERS = RNG.standard_normal((50, 3))
WEIGHTS = RNG.uniform(0.5, 2, 50)


def compiled(loss, units=3, activation=None, **options):
    model = nnfast.Sequential([Input(4), Dense(8, "tanh"), Dense(units, activation)], dtype="float64", seed=1)
    # With a learning rate of 0 the metrics of a fit are those of the predictions.
    model.compile(nnfast.optimizers.SGD(0), loss, **options)
    return model


def worst(y_true, y_pred):
    return np.abs(y_true - y_pred).max(axis=-1)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_fit_validation_and_evaluate_show_the_same_metrics(n_threads):
    """Metrics computed natively (mae), by NumPy (r2_score, a function) and with weights."""
    model = compiled("mse", metrics=["mae", "r2_score", worst], weighted_metrics=["mae", worst])
    p = model.predict(X)
    error = np.abs(NUMBERS - p)
    variance = ((NUMBERS - NUMBERS.mean(axis=0))**2).sum(axis=0)
    expected = {
        "loss": float((WEIGHTS * (error**2).mean(axis=1)).mean()),
        "mae": error.mean(),
        "r2_score": (1 - (error**2).sum(axis=0) / variance).mean(),
        "worst": error.max(axis=1).mean(),
        "weighted_mae": np.average(error.mean(axis=1), weights=WEIGHTS),
        "weighted_worst": np.average(error.max(axis=1), weights=WEIGHTS),
    }
    shown = model.evaluate(X, NUMBERS, sample_weight=WEIGHTS, verbose=0, n_threads=n_threads, return_dict=True)
    history = model.fit(X, NUMBERS, sample_weight=WEIGHTS, batch_size=7, verbose=0, n_threads=n_threads,
                        validation_data=(X, NUMBERS, WEIGHTS)).history
    batch = model.train_on_batch(X, NUMBERS, sample_weight=WEIGHTS, return_dict=True)
    for name, value in expected.items():
        for given in (shown[name], history[name][0], history[f"val_{name}"][0], batch[name]):
            assert given == pytest.approx(value, rel=1e-12), name


def f1(y_true, y_pred):
    """A user's function that returns one number for all rows."""
    predicted = y_pred > 0
    return 2 * (predicted * y_true).sum() / (predicted.sum() + y_true.sum())


def calls(y_true, y_pred):
    return len(y_true)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("slice_rows", [1, 7, 65536])
def test_batches_slices_and_threads_do_not_change_metrics(slice_rows, n_threads, monkeypatch):
    """Functions that return a number or a value per row; metrics that are no mean over rows."""
    from nnfast import models

    bits = (np.arange(50) % 11 == 0).astype(float)          # rare: few slices hold a 1
    own = [
        metrics.F1Score(threshold=0.1, average="micro"),
        metrics.AUC(from_logits=True),
        metrics.R2Score(),
        metrics.Recall(0.1),
        metrics.RootMeanSquaredError(),
        metrics.BinaryIoU(),
    ]
    model = compiled("mse", units=1, metrics=[f1, calls, worst, *own], weighted_metrics=[f1, worst])
    p, y = model.predict(X), bits[:, None]
    expected = {
        "f1": f1(y, p),
        "calls": 50,
        "worst": worst(y, p).mean(),
        "weighted_f1": f1(y, p),
        "weighted_worst": np.average(worst(y, p), weights=WEIGHTS),
        **{metric.name: metric(y, p) for metric in own},
    }
    monkeypatch.setattr(models, "EVALUATE_ROWS", slice_rows)
    for batch_size in (1, 16, 50):
        options = {"sample_weight": WEIGHTS, "batch_size": batch_size, "verbose": 0, "n_threads": n_threads}
        shown = model.evaluate(X, bits, return_dict=True, **options)
        history = model.fit(X, bits, validation_data=(X, bits, WEIGHTS), **options).history
        for name, value in expected.items():
            for given in (shown[name], history[name][0], history[f"val_{name}"][0]):
                assert given == pytest.approx(value, rel=1e-12), (name, batch_size)


def test_a_function_that_fails_on_a_few_rows_is_tried_on_all_rows():
    def share_of_positives(y_true, y_pred):
        if len(np.unique(y_true)) < 2:
            raise ValueError("only one class")
        return y_true.mean()

    model = compiled("mse", units=1, metrics=[share_of_positives])
    history = model.fit(X, np.arange(50) >= 40, verbose=0, shuffle=False).history
    assert history["share_of_positives"] == pytest.approx([0.2], rel=1e-15)
    before = compiled("mse", units=1, metrics=[share_of_positives])
    with pytest.raises(ValueError, match="only one class"):
        before.fit(X, np.zeros(50), verbose=0)
    np.testing.assert_array_equal(before.params, compiled("mse", units=1).params)


@pytest.mark.parametrize("metric, y, lack", [
    (metrics.R2Score(), [[1.]], "two rows"),
    (metrics.R2Score(), [[1.], [1.]], "targets that differ"),
    (metrics.AUC(), [[1.], [1.]], "negatives"),
    (metrics.AUC(), [[0.], [0.]], "positives"),
    (metrics.AUC(curve="PR"), [[0.], [0.]], "positives"),
    (metrics.Recall(), [[0.], [0.]], "positives"),
    (metrics.SensitivityAtSpecificity(0.5), [[1.]], "negatives"),
    (metrics.AUC(), np.ones((2, 1), bool), "negatives"),
    (metrics.R2Score(), np.ones((2, 1), bool), "targets that differ"),
    (metrics.F1Score(threshold=0.5), [[0.], [0.]], "positives"),
])
def test_validation_data_too_small_for_a_metric_give_a_warning(metric, y, lack):
    model = compiled("mse", units=1, metrics=[metric])
    with pytest.warns(UserWarning, match=f"cannot measure '{metric.name}', which needs {lack}"):
        model.fit(X, NUMBERS[:, 0] > 0, validation_data=(X[:len(y)], y), verbose=0)


def test_each_label_column_needs_both_classes_for_a_separate_curve():
    labels = np.array([[0., 1.], [1., 1.]])
    for metric, warned in [
        (metrics.AUC(), False),
        (metrics.AUC(multi_label=True), True),
        (metrics.Recall(class_id=0), False),
    ]:
        model = compiled("mse", units=2, metrics=[metric])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, NUMBERS[:, :2] > 0, validation_data=(X[:2], labels), verbose=0)
        assert bool(caught) is warned, metric


def test_labels_of_a_sparse_loss_are_checked_as_columns():
    chosen = [metrics.Recall(class_id=2), metrics.AUC()]
    model = compiled("sparse_categorical_crossentropy", activation="softmax", metrics=chosen)
    with pytest.warns(UserWarning, match="recall.*positives") as caught:
        model.fit(X, LABELS, validation_data=(X[:3], [0, 1, 0]), verbose=0)
    assert len(caught) == 1


def test_sufficient_validation_data_give_no_warning():
    chosen = [
        metrics.R2Score(),
        metrics.AUC(),
        metrics.AUC(curve="PR", name="pr"),
        metrics.Recall(),
        metrics.F1Score(threshold=0.5),
        "acc",
    ]
    model = compiled("mse", units=1, metrics=chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, NUMBERS[:, 0] > 0, validation_data=(X[:2], [[0.], [1.]]), verbose=0)


def test_early_stopping_keeps_the_last_weights_when_the_metric_is_nan():
    """R2 of one row is NaN, so that no epoch is the best one."""
    model, other = compiled("mse", units=1, metrics=["r2_score"]), compiled("mse", units=1)
    model.optimizer.learning_rate = other.optimizer.learning_rate = 0.1
    stopping = nnfast.callbacks.EarlyStopping("val_r2_score", patience=9, restore_best_weights=True)
    options = {"epochs": 3, "shuffle": False, "verbose": 0}
    one_row = X[:1], NUMBERS[:1, :1]
    with pytest.warns(UserWarning):
        history = model.fit(X, NUMBERS[:, 0], validation_data=one_row, callbacks=[stopping], **options)
    other.fit(X, NUMBERS[:, 0], **options)
    assert np.isnan(history.history["val_r2_score"]).all()
    np.testing.assert_array_equal(model.params, other.params)


@pytest.mark.parametrize("ignored", [-1, 255, 0])
def test_rows_ignored_by_the_loss_are_ignored_by_metrics(ignored):
    labels = np.where(np.arange(50) % 5 == 0, ignored, LABELS)
    kept = labels != ignored
    model = compiled(losses.SparseCategoricalCrossentropy(ignore_class=ignored), activation="softmax",
                     metrics=["acc", metrics.SparseTopKCategoricalAccuracy(k=2, name="top")],
                     weighted_metrics=[metrics.Accuracy(name="weighted")])
    p = model.predict(X)
    place = np.argsort(-p, axis=1)
    right = (place[:, 0] == labels)[kept].mean()
    top = (place[:, :2] == labels[:, None]).any(axis=1)[kept].mean()
    shown = model.evaluate(X, labels, verbose=0, return_dict=True)
    history = model.fit(X, labels, batch_size=16, verbose=0).history
    for given in (shown, {name: values[0] for name, values in history.items()}):
        assert given["acc"] == pytest.approx(right) and given["weighted"] == pytest.approx(right)
        assert given["top"] == pytest.approx(top)
    assert shown["loss"] == pytest.approx(np.mean(-np.log(p[kept, labels[kept]])))


def test_metrics_see_the_labels_of_a_hinge_and_the_means_of_a_gaussian():
    bits = (LABELS > 0).astype(float)
    model = compiled("hinge", units=1, metrics=["binary_accuracy"])
    share = model.evaluate(X, bits, verbose=0)[1]
    assert share == ((model.predict(X)[:, 0] > 0.5) == bits).mean()
    model = compiled(losses.GaussianNLL(), units=6, metrics=["mae"])
    assert model.evaluate(X, NUMBERS, verbose=0)[1] == pytest.approx(np.abs(model.predict(X)[:, :3] - NUMBERS).mean())


def narrow(y_true, y_pred):
    return (y_true[:, 0] - y_pred[:, 0])**2, np.stack([2 * (y_pred[:, 0] - y_true[:, 0]), 0 * y_pred[:, 1]], axis=1)


@pytest.mark.parametrize("metric", ["mae", "acc", "r2_score"])
def test_targets_narrower_than_the_outputs_refuse_metrics_before_training(metric):
    model = compiled(narrow, units=2, metrics=[metric])
    with pytest.raises(ValueError, match="metrics need targets like the outputs"):
        model.fit(X, NUMBERS[:, 0], verbose=0)
    compiled(narrow, units=2, metrics=[lambda y, p: np.abs(y[:, 0] - p[:, 0])]).fit(X, NUMBERS[:, 0], verbose=0)


def test_a_custom_loss_with_several_outputs_accepts_class_weights_of_labels():
    def crossentropy(y_true, y_pred):
        labels = y_true[:, 0].astype(int)
        loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
        return loss(labels, y_pred), loss.gradient(labels, y_pred)

    weights = {0: 3., 2: .5}
    custom = compiled(losses.Custom(crossentropy)).test_on_batch(X, LABELS, class_weight=weights)
    built_in = compiled(losses.SparseCategoricalCrossentropy(True)).test_on_batch(X, LABELS, class_weight=weights)
    assert custom == pytest.approx(built_in)
    with pytest.raises(ValueError, match="class_weight needs classes"):
        compiled(losses.Custom(narrow), units=2).fit(X, NUMBERS[:, 0], class_weight={0: 2}, verbose=0)


def test_sample_weight_is_refused_by_a_loss_that_reduces_rows():
    model = compiled(losses.Dice(axis=0), activation="sigmoid")
    with pytest.raises(ValueError, match="keeps rows apart"):
        model.fit(X, NUMBERS > 0, sample_weight=WEIGHTS, verbose=0)
    with pytest.raises(ValueError, match="axis of BinaryCrossentropy"):
        compiled(losses.BinaryCrossentropy(axis=0), activation="sigmoid")


def test_a_metric_without_sums_is_refused_by_compile():
    with pytest.raises(ValueError, match="must be one of nnfast.metrics or a function"):
        compiled("mse", metrics=[metrics.Metric("mine")])


def test_a_compile_that_fails_changes_nothing():
    model = compiled("mse")
    before = model.evaluate(X, NUMBERS, verbose=0)
    optimizer = nnfast.optimizers.SGD()
    vars(optimizer)["momentum"] = "much"        # avoids the check of the option
    with pytest.raises((TypeError, ValueError)):
        model.compile(optimizer, losses.SparseCategoricalCrossentropy(True))
    assert model.evaluate(X, NUMBERS, verbose=0) == before


def test_a_python_loss_may_return_read_only_arrays_and_keeps_denormals():
    seen = []

    def squares(y_true, y_pred):
        seen.append(float((np.array([1e-310]) * 1.0)[0]))
        error = y_pred - y_true
        values = (error**2).mean(axis=1)
        values.flags.writeable = False
        return values, 2 * error / error.shape[1]

    model = compiled(squares)
    assert model.train_on_batch(X, NUMBERS) == pytest.approx(compiled("mse").train_on_batch(X, NUMBERS))
    assert seen and min(seen) == 1e-310


# -- logits ----------------------------------------------------------------------------------------

CROSSENTROPIES = [
    (losses.BinaryCrossentropy, "sigmoid", 1),
    (losses.BinaryFocalCrossentropy, "sigmoid", 1),
    (losses.CategoricalCrossentropy, "softmax", 3),
    (losses.CategoricalFocalCrossentropy, "softmax", 3),
    (losses.SparseCategoricalCrossentropy, "softmax", 3),
]


@pytest.mark.parametrize("loss, activation, units", CROSSENTROPIES)
def test_accuracy_of_logits_equals_accuracy_of_their_probabilities(loss, activation, units):
    y = LABELS if loss is losses.SparseCategoricalCrossentropy else np.eye(3)[LABELS][:, :units]
    probabilities = compiled(loss(), units, activation, metrics="accuracy", weighted_metrics="accuracy")
    logits = compiled(loss(from_logits=True), units, metrics="accuracy", weighted_metrics="accuracy")
    logits.set_weights(probabilities.get_weights())
    expected = probabilities.evaluate(X, y, sample_weight=WEIGHTS, verbose=0)[1:]
    assert 0 < expected[0] < 1
    assert logits.evaluate(X, y, sample_weight=WEIGHTS, verbose=0)[1:] == pytest.approx(expected)
    history = logits.fit(X, y, sample_weight=WEIGHTS, verbose=0).history
    assert [history["accuracy"][0], history["weighted_accuracy"][0]] == pytest.approx(expected)
    assert logits.train_on_batch(X, y, sample_weight=WEIGHTS)[1:] == pytest.approx(expected)


def test_accuracy_after_the_matching_activation_reads_probabilities():
    y = (LABELS == 0)[:, None]
    plain = compiled("bce", 1, "sigmoid", metrics="accuracy")
    with pytest.warns(UserWarning, match="logits before the sigmoid are used"):
        twice = compiled(losses.BinaryCrossentropy(from_logits=True), 1, "sigmoid", metrics=["accuracy", "auc"])
    assert twice.evaluate(X, y, verbose=0)[1] == plain.evaluate(X, y, verbose=0)[1]


READ_PROBABILITIES = {
    "AUC", "BinaryAccuracy", "BinaryIoU", "KLDivergence", "Precision", "Recall",
    "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
    "TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives",
    "PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity",
}
NEEDED = {
    "FBetaScore": (),
    "PrecisionAtRecall": (0.5,),
    "RecallAtPrecision": (0.5,),
    "SensitivityAtSpecificity": (0.5,),
    "SpecificityAtSensitivity": (0.5,),
    "MeanIoU": (2,),
    "OneHotMeanIoU": (2,),
    "IoU": (2, [0]),
    "OneHotIoU": (2, [0]),
    "MeanMetricWrapper": (worst,),
}


@pytest.mark.parametrize("name", [name for name in metrics.__all__ if name not in ("Metric", "get")])
def test_metrics_of_probabilities_warn_about_logits(name):
    metric = getattr(metrics, name)(*NEEDED.get(name, ()))
    assert metric._reads_probabilities() == (name in READ_PROBABILITIES)
    model = nnfast.Sequential([Dense(1)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=metric)
    told = [f"metric {metric.name!r} reads probabilities" in str(each.message) for each in caught]
    assert told == [True] * (name in READ_PROBABILITIES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnfast.Sequential([Dense(1, "sigmoid")]).compile("sgd", "bce", metrics=metric)


@pytest.mark.parametrize("metric", [
    metrics.AUC(from_logits=True),
    metrics.BinaryAccuracy(threshold=0),
    metrics.Precision(thresholds=0),
    metrics.Precision(top_k=1),
    metrics.BinaryCrossentropy(from_logits=True),
    metrics.F1Score(),
    metrics.BinaryIoU(threshold=0),
], ids=repr)
def test_metrics_configured_for_logits_do_not_warn(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnfast.Sequential([Dense(2)]).compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=metric)
    assert metrics.F1Score(threshold=0.5)._reads_probabilities()


@pytest.mark.parametrize("loss, activation, y", [
    ("hinge", "tanh", np.where(X[:, 0] > 0, 1, -1)),
    ("mse", None, NUMBERS[:, 0]),
])
def test_accuracy_of_labels_other_than_0_and_1_warns_once(loss, activation, y):
    model = compiled(loss, 1, activation, metrics=["accuracy"])
    with pytest.warns(UserWarning, match="'accuracy' counts outputs that agree with labels 0 and 1"):
        model.fit(X, y, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, verbose=0)


@pytest.mark.parametrize("loss, units, activation, y", [
    ("bce", 1, "sigmoid", LABELS > 0),
    ("mse", 1, "sigmoid", (LABELS > 0).astype(np.uint8)),
    ("hinge", 1, "tanh", LABELS > 0),
    ("bce", 3, "sigmoid", np.eye(3)[LABELS]),
    ("sparse_categorical_crossentropy", 3, "softmax", LABELS),
    ("categorical_crossentropy", 3, "softmax", np.eye(3)[LABELS] * 0.9 + 1 / 30),
    ("mse", 3, None, NUMBERS),
])
def test_accuracy_of_classes_gives_no_warning(loss, units, activation, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(loss, units, activation, metrics=["accuracy"]).fit(X, y, verbose=0, validation_split=0.2)


def test_a_metric_that_counts_positives_refuses_other_labels_before_training():
    model = compiled("hinge", 1, "tanh", metrics=["auc"])
    before = model.get_weights()
    with pytest.raises(ValueError, match="y_true must hold 0 and 1"):
        model.fit(X, np.where(X[:, 0] > 0, 1, -1), verbose=0)
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)
