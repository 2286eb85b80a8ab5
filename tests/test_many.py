"""Many models at once: same bits as separate fits, errors, cross-validation, ensembles."""
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from optional import needs

import nnfast
from nnfast import FitErrors, cross_validate, fit_many

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 6))
Y = np.sin(X @ RNG.standard_normal((6, 2)))
LABELS = Y.argmax(axis=1)


def sequential(seed=0, width=8, rate=0.01, dtype="float32", metrics=None):
    model = nnfast.Sequential([nnfast.Dense(width, "tanh"), nnfast.Dense(2)], dtype=dtype, seed=seed)
    model.compile(nnfast.optimizers.Adam(rate), "mse", metrics=metrics)
    return model


def several():
    return [sequential(seed, 4 + seed, 0.01 * (1 + seed)) for seed in range(6)]


def weights(models):
    return [model.params.tobytes() for model in models]


@pytest.mark.parametrize("n_jobs", [1, 2, 5, None, -1, -2, -100])
def test_fit_many_gives_the_weights_of_separate_fits(n_jobs):
    one_by_one = several()
    for model in one_by_one:
        model.fit(X, Y, epochs=3, batch_size=50, verbose=0)
    models = several()
    assert fit_many(models, X, Y, fit_options={"epochs": 3, "batch_size": 50}, n_jobs=n_jobs) == models
    assert weights(models) == weights(one_by_one)
    assert [model.history.history for model in models] == [model.history.history for model in one_by_one]


def test_rows_train_like_a_copy_of_them():
    for rows in (np.arange(0, 400, 3), np.array([5, 5, 5, 399, 0, 17, 17]), np.arange(400) % 2 == 0):
        of_rows, of_copy = sequential(), sequential()
        fit_many([of_rows], X, Y, folds=[rows], fit_options={"epochs": 4, "batch_size": 16},
                 sample_weight=np.linspace(0, 1, 400))
        of_copy.fit(X[rows], Y[rows], epochs=4, batch_size=16, verbose=0, sample_weight=np.linspace(0, 1, 400)[rows])
        assert of_rows.params.tobytes() == of_copy.params.tobytes()
        assert of_rows.history.history == of_copy.history.history
    plain, ordered = sequential(), sequential()
    plain.fit(X[[3, 1]], Y[[3, 1]], shuffle=False, batch_size=1, verbose=0)
    ordered.fit(X, Y, rows=[3, 1], shuffle=False, batch_size=1, verbose=0)
    assert plain.params.tobytes() == ordered.params.tobytes()


def test_metrics_of_rows_equal_those_of_a_copy():
    labels = np.where(np.arange(400) % 5 == 0, 9, LABELS)
    histories = []
    for x, y, rows in ((X, labels, np.arange(1, 400, 2)), (X[1::2], labels[1::2], None)):
        model = nnfast.Sequential([nnfast.Dense(2, "softmax")], seed=0)
        model.compile("adam", nnfast.losses.SparseCategoricalCrossentropy(ignore_class=9),
                      metrics=["acc", nnfast.metrics.SparseTopKCategoricalAccuracy(1)])
        histories.append(model.fit(x, y, rows=rows, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]


def test_an_error_is_reported_with_its_index_and_keeps_the_other_fits():
    models, options = several(), [{"epochs": 2}] * 6
    options[1], options[4] = {"epochs": -1}, {"epochs": 2, "batch_size": 0}
    message = "2 of 6 fits failed.*model 1: ValueError: epochs.*model 4: ValueError: batch_size"
    with pytest.raises(FitErrors, match=message) as caught:
        fit_many(models, X, Y, fit_options=options, n_jobs=2)
    assert list(caught.value.errors) == [1, 4] and str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    expected = several()
    for index in (0, 2, 3, 5):
        expected[index].fit(X, Y, epochs=2, verbose=0)
        assert weights([models[index]]) == weights([expected[index]])


@pytest.mark.parametrize("change, message", [
    (lambda models: {"models": [*models, models[0]]}, "models must be different objects"),
    (lambda models: {"models": [*models, "mlp"]}, r"models\[6\] is 'mlp'"),
    (lambda models: {"folds": [[0]]}, "folds must have one entry for each of the 6"),
    (lambda models: {"folds": [[0]] * 5 + [[400]]}, r"folds\[5\] must hold row numbers in \[0, 400\); got 400"),
    (lambda models: {"folds": [[]] * 6}, "at least one row number"),
    (lambda models: {"folds": [[0.5]] * 6}, "row number"),
    (lambda models: {"fit_options": [{}]}, "fit_options must have one entry"),
    (lambda models: {"n_jobs": 0}, "n_jobs must be"),
    (lambda models: {"n_jobs": 1.5}, "n_jobs must be"),
    (lambda models: {"models": [*models, nnfast.Sequential]}, r"models\[6\] is <class"),
    (lambda models: {"sample_weight": 2.}, r"sample_weight must have shape \(400,\)"),
    (lambda models: {"x": X[:-1]}, "x and y must have the same number of rows"),
    (lambda models: {"y": ["a"] * 400}, "y must be an array of real numbers"),
    (lambda models: {"verbose": 7}, "verbose must be"),
])
def test_bad_input_is_refused_before_training(change, message):
    models = several()
    arguments = {"models": models, "x": X, "y": Y, **change(models)}
    with pytest.raises((ValueError, TypeError), match=message):
        fit_many(**arguments)
    assert not any(model.built for model in models)


def test_rows_and_a_split_exclude_each_other():
    with pytest.raises(ValueError, match="validation_split must be 0 with rows"):
        sequential().fit(X, Y, rows=[1, 2], validation_split=0.5)


@pytest.mark.parametrize("kind", ["Sequential", pytest.param("MLPClassifier", marks=pytest.mark.slow)])
def test_memory_grows_only_by_the_models(kind):
    """A copy of the rows for one model would take 61,000 KiB.

    A model takes 50 KiB for weights, the same for gradients and for each moment, and 784 KiB for a
    batch.
    """
    code = """
        import sys, warnings, numpy as np, nnfast
        warnings.simplefilter("ignore")
        def peak():
            return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
        def net(seed):
            if sys.argv[1] == "MLPClassifier":
                return nnfast.MLPClassifier((16,), max_iter=1, batch_size=256, random_state=seed)
            model = nnfast.Sequential([nnfast.Dense(16, "relu"), nnfast.Dense(2, "softmax")], seed=seed)
            model.compile("adam", "sparse_categorical_crossentropy")
            return model
        options = {} if sys.argv[1] == "MLPClassifier" else {"batch_size": 256}
        x, y = np.ones((60000, 784), np.float32), np.arange(60000) % 2
        def train(count):
            models = [net(seed) for seed in range(count)]
            folds = [np.arange(i % 2, 60000, 3) for i in range(count)]
            return nnfast.fit_many(models, x, y, folds=folds, fit_options=options, n_jobs=2)
        nnfast.fit_many([net(0)], x[:300], y[:300], fit_options=options)          # imports what it needs
        before = peak()
        kept = [train(2)]
        first = peak()
        kept.append(train(12))
        print(first - before, peak() - first)
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    if kind == "MLPClassifier":
        needs("sklearn", minversion="1.7")
    import textwrap

    command = [sys.executable, "-c", textwrap.dedent(code), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, more = map(int, done.stdout.split())
    assert first < 20_000 and more < 12 * 1_500 + 8_000, f"{first} KiB by two models, {more} by twelve more"


def test_a_bar_shows_all_fits(capfd):
    fit_many(several(), X, Y, verbose=1)
    out, bar = capfd.readouterr()
    assert out == "" and "6/6" in bar
    fit_many(several(), X, Y)
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_ends_all_fits(monkeypatch):
    models = [sequential(seed) for seed in range(2)]
    acquire = threading.Semaphore.acquire

    def interrupted(self, *rest, **named):
        time.sleep(0.3)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Semaphore, "acquire", interrupted)
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        fit_many(models, X, Y, fit_options={"epochs": 10**7}, n_jobs=2)
    assert time.perf_counter() - began < 20
    monkeypatch.setattr(threading.Semaphore, "acquire", acquire)
    fit_many(models, X, Y)


def test_negative_n_jobs_count_from_all_cpus(monkeypatch):
    counts = []
    monkeypatch.setattr(nnfast._threads, "cpus", lambda: 4)
    monkeypatch.setattr(nnfast.many, "_in_threads", lambda function, count, n_threads, bar: counts.append(n_threads))
    for n_jobs in (None, -1, -2, -4, -9, 3):
        fit_many(several(), X, Y, n_jobs=n_jobs)
    assert counts == [4, 4, 3, 1, 1, 3]


def test_sample_weight_of_one_model_overrides_the_shared_one():
    weighted = np.linspace(0, 1, 400)
    models, alone = [sequential(), sequential()], sequential()
    fit_many(models, X, Y, fit_options=[{"sample_weight": weighted}, {}], sample_weight=np.ones(400))
    alone.fit(X, Y, sample_weight=weighted, verbose=0)
    assert weights(models[:1]) == weights([alone]) != weights(models[1:])


# -- cross-validation ------------------------------------------------------------------------------

def test_cross_validation_scores_each_row_once():
    model = sequential(metrics=["mae"])
    results = cross_validate(model, X, Y, 4, fit_options={"epochs": 5})
    assert results["loss"].shape == results["mae"].shape == (4,) and len(results["models"]) == 4 and not model.built
    order = np.random.default_rng(0).permutation(400)
    held_out, rest = order[:100], order[100:]
    one = sequential()
    one.fit(X[rest], Y[rest], epochs=5, verbose=0)
    assert results["loss"][0] == one.evaluate(X[held_out], Y[held_out], verbose=0)


@pytest.mark.parametrize("folds, message", [
    (1, "at least 2"),
    (401, "at most the number of rows"),
    ([], "pairs"),
    ([[1]], "pairs"),
    ([([1], [400])], r"row numbers in \[0, 400\)"),
    ([1, 2], "pairs"),
    ("abc", "pairs"),
    ([([1], [-1])], r"folds\[0\] must hold row numbers"),
    ([([True], [1])], "row number"),
    ([([0], [1]), ([0], [])], r"folds\[1\]"),
])
def test_bad_folds_are_refused(folds, message):
    with pytest.raises(ValueError, match=message):
        cross_validate(sequential(), X, Y, folds)


def test_folds_may_be_generators_masks_and_ranges():
    masks = [np.arange(400) % 4 == i for i in range(4)]
    numbers = [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]
    expected = cross_validate(sequential(), X, Y, numbers)["loss"]
    for folds in (((~mask, mask) for mask in masks), [[(~mask).tolist(), mask.tolist()] for mask in masks],
                  ([np.flatnonzero(~mask), range(i, 400, 4)] for i, mask in enumerate(masks))):
        np.testing.assert_array_equal(cross_validate(sequential(), X, Y, folds)["loss"], expected)


def test_lists_and_column_weights_are_accepted_for_a_sequential():
    results = [cross_validate(sequential(), X, Y, 3, sample_weight=np.arange(400.))["loss"],
               cross_validate(sequential(), X.tolist(), Y.tolist(), 3, sample_weight=list(range(400)))["loss"],
               cross_validate(sequential(), X, Y, 3, sample_weight=np.arange(400.)[:, None])["loss"]]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("arguments, message", [
    ({"sample_weight": 2.}, "sample_weight must have shape"),
    ({"y": Y[:-1]}, "same number of rows"),
    ({"x": 3.}, "axis of rows"),
])
def test_bad_data_are_refused_before_a_model_is_copied(arguments, message):
    with pytest.raises(ValueError, match=message):
        cross_validate(**{"model": sequential(), "x": X, "y": Y, **arguments})


# -- estimators ------------------------------------------------------------------------------------

sklearn = needs("sklearn", minversion="1.7")
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def estimators():
    classifier, regressor = nnfast.MLPClassifier, nnfast.MLPRegressor
    return [classifier((9,), random_state=3, max_iter=5),
            classifier((9, 4), solver="lbfgs", random_state=1, max_iter=5),
            classifier((9,), random_state=1, early_stopping=True, max_iter=5),
            classifier((5,), random_state=2, class_weight="balanced", max_iter=5),
            regressor(hidden_layer_sizes=(5,), random_state=0, max_iter=5),
            regressor(solver="sgd", random_state=0, max_iter=5, loss="poisson")]


@quiet
@pytest.mark.parametrize("labels", [
    LABELS,
    np.array(["no", "yes", "maybe"])[(X[:, 0] > 0) + (X[:, 1] > 0).astype(int)],
])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_fit_many_gives_the_estimators_of_separate_fits(labels, n_jobs):
    rows = np.random.default_rng(1).integers(0, 400, 300)
    weights = np.linspace(0.1, 1, 400)
    models = estimators()
    folds = [rows, None, rows, rows, rows, None]
    for part, y in ((slice(4), labels), (slice(4, 6), LABELS + 0.5)):
        fit_many(models[part], X, y, folds=folds[part], sample_weight=weights, n_jobs=n_jobs)
        for model, fold, alone in zip(models[part], folds[part], estimators()[part]):
            chosen = np.arange(400) if fold is None else fold
            alone.fit(X[chosen], y[chosen], weights[chosen])
            assert [array.tobytes() for array in model.coefs_] == [array.tobytes() for array in alone.coefs_], model
            assert model.n_iter_ == alone.n_iter_ and model.loss_ == alone.loss_ and model.n_features_in_ == 6


@quiet
def test_a_class_missing_in_a_fold_is_missing_in_the_estimator():
    labels = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)
    [model] = fit_many([nnfast.MLPClassifier((4,), max_iter=2, random_state=0)], X, labels,
                       folds=[np.flatnonzero(labels != 1)])
    assert model.classes_.tolist() == [0, 2]


@quiet
def test_shared_random_states_do_not_depend_on_threads():
    results = []
    for n_jobs in (1, 2):
        state = np.random.RandomState(0)
        models = [nnfast.MLPClassifier((4,), random_state=state, max_iter=3) for _ in range(5)]
        fit_many(models, X, LABELS, n_jobs=n_jobs)
        results.append([model.loss_ for model in models])
        assert all(model.random_state is state for model in models)
    assert results[0] == results[1] and len(set(results[0])) == 5


@quiet
def test_errors_of_estimators_are_reported():
    models = [nnfast.MLPClassifier(max_iter=2), nnfast.MLPClassifier(solver="none"),
              nnfast.MLPClassifier(max_iter=2, early_stopping=True)]
    message = "2 of 3 fits failed.*model 1: InvalidParameterError.*model 2: ValueError: The least populated class"
    with pytest.raises(FitErrors, match=message):
        fit_many(models, X, LABELS, folds=[np.arange(20), np.arange(20), [0, 1, 2, 3]])
    assert models[0].n_iter_ == 2
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit_many(models[:1], X, LABELS[:-1])


@quiet
def test_cross_validation_of_an_estimator_matches_scikit_learn():
    from sklearn import model_selection

    folds = model_selection.StratifiedKFold(3)
    model = nnfast.MLPClassifier((6,), max_iter=5, random_state=0)
    ours = cross_validate(model, X, LABELS, folds.split(X, LABELS))
    assert ours["score"].tolist() == model_selection.cross_val_score(model, X, LABELS, cv=folds).tolist()
    assert not hasattr(model, "coefs_")


def checks(function):
    from sklearn.utils.estimator_checks import parametrize_with_checks

    models = (nnfast.MLPClassifier(max_iter=50), nnfast.MLPRegressor(max_iter=50))
    return parametrize_with_checks([nnfast.Ensemble(model, 2, random_state=0) for model in models])(function)


@quiet
@checks
def test_estimator_checks_of_scikit_learn_pass_for_ensembles(estimator, check):
    check(estimator)


@quiet
@pytest.mark.parametrize("bagging", [False, True])
def test_an_ensemble_predicts_the_mean_of_its_members(bagging):
    targets = np.column_stack([Y[:, 0], LABELS])
    for y in (Y[:, 0], targets):
        model = nnfast.MLPRegressor("squared_error", (6,), max_iter=20)
        found = [nnfast.Ensemble(model, 4, bagging=bagging, random_state=1, n_jobs=n_jobs).fit(X, y)
                 for n_jobs in (1, 2)]
        each = np.array([member.predict(X) for member in found[0].members_])
        np.testing.assert_array_equal(found[0].predict(X), found[1].predict(X))
        np.testing.assert_allclose(found[0].predict(X), each.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found[0].predict_std(X), each.std(axis=0), rtol=1e-9, atol=1e-12)
        assert (found[0].predict_std(X) > 0).all()
        assert found[0].predict(X).shape == y.shape and found[0].score(X, y) <= 1
    three = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)
    for y in (three, three > 1, np.column_stack([three > 0, three > 1]).astype(int)):
        model = nnfast.MLPClassifier((6,), max_iter=30, learning_rate_init=0.02)
        ensemble = nnfast.Ensemble(model, 4, bagging=bagging, random_state=1).fit(X, y)
        each = np.array([member.predict_proba(X) for member in ensemble.members_])
        np.testing.assert_allclose(ensemble.predict_proba(X), each.mean(axis=0), rtol=1e-9)
        assert ensemble.predict_std(X).shape == each[0].shape and ensemble.score(X, y) > 0.7
    with pytest.raises(TypeError, match="model must be an MLPClassifier.*Sequential by nnfast.fit_many"):
        nnfast.Ensemble(sequential()).fit(X, Y)
    assert not hasattr(nnfast.Ensemble(nnfast.MLPRegressor()), "predict_proba")


@quiet
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "coo_matrix", "dia_matrix", "bsr_matrix", "lil_matrix",
                                  "dok_matrix", "csr_array", "coo_array"])
def test_sparse_rows_of_every_format_are_shared(form):
    from scipy import sparse

    x, three = np.where(X > 0.5, X, 0), (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)
    model = nnfast.MLPClassifier((6,), max_iter=5, random_state=0)
    expected = cross_validate(model, sparse.csr_matrix(x), three, 3, sample_weight=2.)
    results = cross_validate(model, getattr(sparse, form)(x), three, 3, sample_weight=2.)
    np.testing.assert_array_equal(results["score"], expected["score"])
    assert np.isclose(results["score"], cross_validate(model, x, three, 3)["score"], atol=0.02).all()
    assert nnfast.Ensemble(model, 2, random_state=0).fit(getattr(sparse, form)(x), three, 2.).score(x, three) > 0


@quiet
@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "coo_array"])
def test_labels_may_be_sparse(form):
    from scipy import sparse

    labels = (X[:, :3] > 0).astype(int)
    given, rows = getattr(sparse, form)(labels), np.arange(0, 400, 2)
    model = nnfast.MLPClassifier((6,), max_iter=5, random_state=0)
    [of_sparse], [of_dense] = (fit_many([model._unfitted()], X, y, folds=[rows]) for y in (given, labels))
    assert of_sparse.loss_curve_ == of_dense.loss_curve_
    assert type(of_sparse.predict(X)) is type(model._unfitted().fit(X, given).predict(X))
    scores = [cross_validate(model, X, y, 3)["score"] for y in (given, labels)]
    np.testing.assert_array_equal(*scores)
    for bagging in (False, True):
        a, b = (nnfast.Ensemble(model, 2, bagging=bagging, random_state=0).fit(X, y) for y in (given, labels))
        np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
        assert a.score(X, given) == b.score(X, labels)


@quiet
@pytest.mark.filterwarnings("error:.*feature names")
def test_tables_with_any_index_are_shared():
    pandas = pytest.importorskip("pandas")
    index = RNG.permutation(400) + 1000
    table = pandas.DataFrame(X, index=index, columns=list("abcdef"))
    labels = pandas.Series(np.array(["no", "yes"], object)[LABELS], index=index)
    table["weight"] = np.linspace(0.5, 1, 400)
    model = nnfast.MLPClassifier((6,), max_iter=5, random_state=0, warm_start=True)
    scores = [cross_validate(model, x, y, 3, sample_weight=each)["score"] for x, y, each in (
        (table, labels, table["weight"]), (table.to_numpy(), labels.tolist(), np.linspace(0.5, 1, 400)))]
    np.testing.assert_array_equal(*scores)
    for _ in range(2):
        fit_many([model], table, labels, sample_weight=table["weight"].tolist())
    assert model.predict(table).shape == (400,) and model.feature_names_in_.tolist() == list(table.columns)
    with pytest.raises(FitErrors, match="feature names should match"):
        fit_many([model], table.rename(columns={"a": "z"}), labels)
    ensemble = nnfast.Ensemble(model, 2).fit(table, labels, table["weight"])
    assert ensemble.predict(table).shape == (400,) and not hasattr(ensemble.fit(X, LABELS), "feature_names_in_")


@quiet
@pytest.mark.parametrize("wrong", ["Pipeline", "Ridge", "MLPClassifier", "Ensemble"])
def test_other_kinds_of_models_are_refused_before_training(wrong):
    from sklearn import linear_model, pipeline

    trained = nnfast.MLPClassifier((6,), max_iter=5)
    model = {"Pipeline": pipeline.make_pipeline(trained), "Ridge": linear_model.Ridge(),
             "MLPClassifier": nnfast.MLPClassifier, "Ensemble": nnfast.Ensemble(trained)}[wrong]
    with pytest.raises(TypeError, match="models must be Sequential, MLPClassifier or MLPRegressor"):
        cross_validate(model, X, LABELS)
    with pytest.raises(TypeError, match=r"models\[1\] is"):
        fit_many([trained, model], X, LABELS)
    with pytest.raises(ValueError, match="random_state must be"):
        fit_many([trained, nnfast.MLPClassifier(random_state="seed")], X, LABELS)
    assert not hasattr(trained, "coefs_")


@quiet
def test_balanced_class_weights_are_computed_in_each_fold():
    from sklearn import model_selection

    y = (X[:, 0] > 0.8).astype(int)
    model = nnfast.MLPClassifier((6,), solver="lbfgs", max_iter=10, random_state=0, class_weight="balanced")
    folds = list(model_selection.KFold(3).split(X))
    for fitted, (train, _) in zip(cross_validate(model, X, y, folds)["models"], folds):
        assert fitted.loss_ == model._unfitted().fit(X[train], y[train]).loss_


@pytest.mark.parametrize("option, said", [
    ("verbose", "for the bar over all fits"),
    ("rows", "given as folds"),
    ("epoch", "epochs"),
])
def test_options_that_fit_does_not_take_here_are_refused_before_training(option, said):
    models = several()
    for call in (lambda: fit_many(models, X, Y, fit_options={option: 1}),
                 lambda: cross_validate(models[0], X, Y, fit_options={option: 1})):
        with pytest.raises(TypeError, match=said):
            call()
    assert not any(model.built for model in models)
