"""Compares the estimators with scikit-learn's, runs its tests and checks; tests our additions."""
import copy
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from optional import needs
from tolerances import assert_close

sklearn = needs("sklearn", minversion="1.7")

from sklearn import (  # noqa: E402
    base,
    calibration,
    config_context,
    datasets,
    ensemble,
    exceptions,
    linear_model,
    model_selection,
    neural_network,
    pipeline,
    preprocessing,
)
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import nnfast  # noqa: E402
from nnfast import MLPClassifier, MLPRegressor, losses  # noqa: E402

IRIS = datasets.load_iris(return_X_y=True)
DIGITS = datasets.load_digits(return_X_y=True)
DIABETES = datasets.load_diabetes(return_X_y=True)
SMALL = DIGITS[0][:300], DIGITS[1][:300]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def multilabel(rows=200):
    return datasets.make_multilabel_classification(rows, n_features=8, n_classes=3, random_state=0)


def two_targets():
    x, y = DIABETES
    return x, np.column_stack([y, y**2 / 100])


def standardized(x, y):
    return preprocessing.StandardScaler().fit_transform(x), y


# -- scikit-learn's own tests ----------------------------------------------------------------------

@parametrize_with_checks([
    MLPClassifier(),
    MLPRegressor(),
    MLPClassifier(max_iter=100),
    MLPRegressor(max_iter=100),
    MLPRegressor(solver="lbfgs", max_iter=50),
])
def test_estimator_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_the_tests_of_scikit_learn_pass_with_our_estimators(tmp_path):
    needs("sklearn.neural_network.tests.test_mlp")
    (tmp_path / "swap.py").write_text(
        "import nnfast, sklearn.neural_network as theirs\n"
        "theirs.MLPClassifier, theirs.MLPRegressor = nnfast.MLPClassifier, nnfast.MLPRegressor\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "swap", "-p", "no:cacheprovider",
               "--pyargs", "sklearn.neural_network.tests.test_mlp"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]


# -- the same training -----------------------------------------------------------------------------

CASES = {
    "digits": ("MLPClassifier", SMALL, {}),
    "two hidden layers": ("MLPClassifier", SMALL, {"hidden_layer_sizes": (20, 10), "activation": "tanh"}),
    "no hidden layer": ("MLPClassifier", SMALL, {"hidden_layer_sizes": ()}),
    "two classes": ("MLPClassifier", (SMALL[0], SMALL[1] > 4), {"activation": "logistic"}),
    "labels": ("MLPClassifier", multilabel(), {"activation": "identity"}),
    "names": ("MLPClassifier", (IRIS[0], np.array(["b", "c", "a"])[IRIS[1]]), {"batch_size": 7}),
    "huge logits": ("MLPClassifier", (SMALL[0] * 1000, SMALL[1]), {}),
    "huge logit": ("MLPClassifier", (SMALL[0] * 1000, SMALL[1] > 4), {}),
    "numbers": ("MLPRegressor", DIABETES, {}),
    "two targets": ("MLPRegressor", two_targets(), {"batch_size": 64}),
    "poisson": ("MLPRegressor", DIABETES, {"loss": "poisson"}),
    "poisson, two targets": ("MLPRegressor", two_targets(),
                             {"loss": "poisson", "activation": "tanh", "learning_rate_init": 1e-5}),
    "big alpha": ("MLPRegressor", DIABETES, {"alpha": 30.}),
    "not shuffled": ("MLPRegressor", DIABETES, {"shuffle": False}),
}
SOLVERS = {
    "adam": {"beta_1": 0.8, "epsilon": 1e-6},
    "sgd": {"solver": "sgd"},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1, "momentum": 0},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 0.1},
}


def pair(kind, data, weights=None, **options):
    """scikit-learn's estimator and ours after 20 epochs."""
    fitted = []
    for library in (neural_network, nnfast):
        estimator = getattr(library, kind)(**{"max_iter": 20, "random_state": 5, **options})
        fitted.append(estimator.fit(*data, sample_weight=weights))
    return fitted


def assert_same(theirs, ours, losses="peer_training"):
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_ and len(ours.loss_curve_) == len(theirs.loss_curve_)
    assert_close(ours.loss_curve_, theirs.loss_curve_, losses)
    for a, b in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        assert_close(a, b, "peer_training")
    assert_close(ours.validation_scores_ or [], theirs.validation_scores_ or [], "peer_training")
    assert ours._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate, rel=1e-12)
    assert ours._no_improvement_count == theirs._no_improvement_count
    assert ours.out_activation_ == theirs.out_activation_
    assert ours.n_outputs_ == theirs.n_outputs_ and ours.n_layers_ == theirs.n_layers_
    assert (ours.best_loss_ is None) == (theirs.best_loss_ is None)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert {name for name in vars(theirs)} <= {name for name in vars(ours)}


@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("case", CASES)
def test_loss_curves_follow_scikit_learn(case, solver, weighted):
    kind, data, options = CASES[case]
    weights = np.random.default_rng(0).integers(0, 4, len(data[0])) + 0.5 if weighted else None
    options = {**SOLVERS[solver], **options}
    if solver != "adam" and kind == "MLPRegressor":
        options["learning_rate_init"] = 1e-5                       # the raw targets are hundreds
    with np.errstate(all="ignore"):
        theirs, ours = pair(kind, data, weights, **options)
    # At a logit of 20 for the wrong class scikit-learn's log(1 - p) has the rounding error of
    # 1 - p; ours is exact.
    assert_same(theirs, ours, "rounded_loss" if case in ("huge logit", "labels") else "peer_training")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", ["digits", "two classes", "labels", "numbers", "two targets", "poisson"])
def test_early_stopping_follows_scikit_learn(case, weighted):
    kind, data, options = CASES[case]
    weights = np.random.default_rng(0).random(len(data[0])) if weighted else None
    options = {**options, "early_stopping": True, "n_iter_no_change": 3, "validation_fraction": 0.2,
               "learning_rate_init": 0.01}
    theirs, ours = pair(kind, data, weights, **options)
    assert_same(theirs, ours)
    assert ours.score(*data) == pytest.approx(theirs.score(*data), abs=1e-8)


@pytest.mark.parametrize("case", ["digits", "two classes", "labels", "numbers", "two targets", "poisson"])
def test_lbfgs_reaches_the_optimum_of_scikit_learn(case):
    kind, data, options = CASES[case]
    options = {**options, "alpha": 1.0, "hidden_layer_sizes": (5,), "max_iter": 8}
    theirs, ours = pair(kind, standardized(*data), solver="lbfgs", **options)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert ours.n_iter_ == theirs.n_iter_
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_and_warm_start_follow_scikit_learn(solver):
    x, y = SMALL
    theirs, ours = (library.MLPClassifier(solver=solver, random_state=2) for library in (neural_network, nnfast))
    for estimator in (theirs, ours):
        for first in range(0, 300, 50):
            estimator.partial_fit(x[first:first + 50], y[first:first + 50], classes=np.arange(10))
    assert_same(theirs, ours)
    for estimator in (theirs, ours):
        estimator.set_params(warm_start=True, max_iter=5).fit(x, y).fit(x, y)
    assert_same(theirs, ours)


def test_initial_weights_equal_those_of_scikit_learn():
    options = {"max_iter": 1, "learning_rate_init": 1e-30, "hidden_layer_sizes": (7, 6), "activation": "logistic"}
    theirs, ours = pair("MLPClassifier", SMALL, **options)
    for a, b in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
@pytest.mark.parametrize("kind, data, options", [
    ("MLPClassifier", IRIS, {"max_iter": 200}),
    ("MLPClassifier", SMALL, {"max_iter": 60}),
    ("MLPClassifier", multilabel(), {"max_iter": 60}),
    ("MLPRegressor", DIABETES, {"max_iter": 200, "learning_rate_init": 0.01}),
])
def test_scores_match_scikit_learn(kind, data, options, seed):
    x, held_out, y, truth = model_selection.train_test_split(*standardized(*data), random_state=seed)
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 0.05)):
        theirs, ours = pair(kind, (x.astype(dtype), y), **{**options, "random_state": seed})
        expected = theirs.score(held_out.astype(dtype), truth)
        assert ours.score(held_out.astype(dtype), truth) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs", "max_iter": 15}])
def test_scores_on_sparse_text_match_scikit_learn(options):
    """The texts are docstrings, the label of each is its module."""
    from sklearn import feature_extraction, metrics

    pairs = [(getattr(module, name).__doc__[:500], module.__name__)
             for module in (np.linalg, np.random, metrics, datasets)
             for name in module.__all__ if getattr(module, name).__doc__]
    texts, labels = zip(*pairs)
    words = feature_extraction.text.TfidfVectorizer(min_df=2).fit_transform(texts)
    options = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, **options}
    for seed in range(2):
        x, held_out, y, truth = model_selection.train_test_split(words, labels, random_state=seed)
        theirs, ours = pair("MLPClassifier", (x, y), **{**options, "random_state": seed})
        score = ours.score(held_out, truth)
        assert 0.6 < score == pytest.approx(theirs.score(held_out, truth), abs=1e-6)
        single = MLPClassifier(**ours.get_params()).fit(x.astype(np.float32), y)
        assert single.coefs_[0].dtype == np.float32
        assert single.score(held_out.astype(np.float32), truth) == pytest.approx(score, abs=0.05)


# -- dtypes, threads, state ------------------------------------------------------------------------

@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32_stays_float32(solver):
    x, y = DIABETES[0].astype(np.float32), DIABETES[1].astype(np.float32)
    ours = MLPRegressor(solver=solver, learning_rate_init=1e-5, max_iter=3, random_state=0).fit(x, y)
    assert {array.dtype for array in (*ours.coefs_, *ours.intercepts_, ours.predict(x))} == {np.dtype(np.float32)}
    if solver != "lbfgs":
        assert ours._attached.network.slots.dtype == np.float32
    exact = MLPRegressor(solver=solver, learning_rate_init=1e-5, max_iter=3, random_state=0).fit(x.astype(float), y)
    assert ours.loss_ == pytest.approx(exact.loss_, rel=1e-3)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit(solver, dtype):
    x, y = DIGITS
    bits = set()
    for n_threads in (1, 2, 3):
        ours = MLPClassifier((60, 30), solver=solver, n_threads=n_threads, max_iter=4, random_state=0, alpha=0.1)
        ours.fit(x.astype(dtype), y)
        proba = ours.predict_proba(x.astype(dtype))
        bits.add(ours._attached.network.params.tobytes() + proba.tobytes() + np.array(ours.loss_).tobytes())
    assert len(bits) == 1


def test_memory_order_and_strides_of_x_change_no_bit():
    x, y = SMALL
    wide = np.zeros((300, 128))
    wide[:, ::2] = x
    for other in (np.asfortranarray(x), wide[:, ::2]):
        a, b = (MLPClassifier((9,), max_iter=3, random_state=0).fit(array, y).loss_curve_ for array in (x, other))
        assert a == b


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
def test_copies_continue_training_like_the_original(way, tmp_path):
    import joblib

    x, y = SMALL
    for solver in ("adam", "sgd"):
        ours = MLPClassifier((9,), solver=solver, random_state=0)
        for _ in range(3):
            ours.partial_fit(x, y, classes=np.arange(10))
        if way == "joblib":
            joblib.dump(ours, tmp_path / "ours")
        twin = {"pickle": lambda ours: pickle.loads(pickle.dumps(ours)), "deepcopy": copy.deepcopy,
                "joblib": lambda _: joblib.load(tmp_path / "ours")}[way](ours)
        np.testing.assert_array_equal(ours.predict_proba(x), twin.predict_proba(x))
        before = [array.copy() for array in ours.coefs_]
        twin.partial_fit(x, y)
        assert all(np.array_equal(a, b) for a, b in zip(before, ours.coefs_)), "they share weights"
        ours.partial_fit(x, y)
        np.testing.assert_array_equal(ours.predict_proba(x), twin.predict_proba(x))
        assert twin.loss_curve_ == ours.loss_curve_
    assert b"network_v" not in pickle.dumps(ours)


def test_weights_that_the_user_writes_are_used():
    x, y = SMALL
    ours = MLPClassifier((9,), max_iter=3, random_state=0).fit(x, y)
    other = MLPClassifier((9,), max_iter=3, random_state=1).fit(x, y)
    ours.coefs_ = [array.copy() for array in other.coefs_]
    ours.intercepts_ = [array.copy() for array in other.intercepts_]
    np.testing.assert_array_equal(ours.predict_proba(x), other.predict_proba(x))
    ours.coefs_[0][...] = 0
    assert not np.array_equal(ours.predict_proba(x), other.predict_proba(x))
    ours.coefs_[0] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="must have the shapes"):
        ours.predict(x)


def test_fit_with_early_stopping_ends_at_the_best_weights():
    x, y = SMALL
    ours = MLPClassifier((30,), early_stopping=True, learning_rate_init=0.05, random_state=0, max_iter=60).fit(x, y)
    for a, b in zip(ours.coefs_, ours._best_coefs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert max(ours.validation_scores_) == ours.best_validation_score_


def test_import_of_nnfast_does_not_import_scikit_learn():
    code = (
        "import sys, nnfast; print('sklearn' in sys.modules, 'MLPClassifier' in dir(nnfast)); "
        "nnfast.MLPClassifier; print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
    with pytest.raises(AttributeError, match="no attribute 'MLP'"):
        getattr(nnfast, "MLP")      # noqa: B009


# -- bad input -------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [
    {"solver": "newton"},
    {"activation": "rule"},
    {"activation": 3},
    {"alpha": -1},
    {"batch_size": 0},
    {"loss": 3},
    {"class_weight": "even"},
    {"n_threads": 0},
    {"max_seconds": 0},
    {"tol": None},
])
def test_bad_parameters_are_refused_in_the_words_of_scikit_learn(options):
    with pytest.raises(ValueError, match=rf"The '{next(iter(options))}' parameter of MLPClassifier must be"):
        MLPClassifier(**options).fit(*IRIS)


def test_weights_that_overflow_are_refused_in_the_words_of_scikit_learn():
    x, y = DIABETES
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        MLPRegressor(solver="sgd", learning_rate_init=1e30, max_iter=20, random_state=0).fit(1e30 * x, 1e30 * y)


def test_a_value_beyond_float32_is_refused_with_its_row():
    x, y = DIABETES[0].astype(np.float32), DIABETES[1]
    ours = MLPRegressor(max_iter=2).fit(x, y)
    x = x.astype(float)
    x[7, 3] = 1e300
    with pytest.raises(ValueError, match="X must be finite; row 7"):
        ours.predict(x)


def test_an_interrupt_keeps_the_weights(monkeypatch):
    x, y = SMALL
    ours = MLPClassifier((9,), max_iter=50, random_state=0)
    update = MLPClassifier._update_no_improvement_count

    def interrupted(self, *rest):
        update(self, *rest)
        if self.n_iter_ == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(MLPClassifier, "_update_no_improvement_count", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        ours.fit(x, y)
    assert ours.n_iter_ == 3 and len(ours.loss_curve_) == 3


# -- scikit-learn's tools --------------------------------------------------------------------------

def searched(n_jobs, kind=MLPClassifier):
    """Scores and curve of a small grid."""
    grid = {"hidden_layer_sizes": [(5,), (10, 5)], "alpha": [1e-4, 1.]}
    search = model_selection.GridSearchCV(kind(max_iter=20, random_state=0), grid, n_jobs=n_jobs, cv=3).fit(*IRIS)
    splits = [search.cv_results_[f"split{fold}_test_score"] for fold in range(3)]
    return np.concatenate([*splits, search.best_estimator_.loss_curve_, search.predict_proba(IRIS[0]).ravel()])


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_grid_search_gives_the_same_results_on_every_backend(backend):
    import joblib

    with joblib.parallel_config(backend):
        found = [searched(n_jobs) for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], searched(1, neural_network.MLPClassifier), rtol=1e-6)


@pytest.mark.peers
def test_grid_search_on_a_dask_cluster_gives_the_same_results():
    """A test of the extra `test-peers`: distributed brings ten packages for this one test."""
    distributed = needs("distributed")
    import joblib

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        with joblib.parallel_config("dask"):
            found = searched(-1)
    np.testing.assert_array_equal(found, searched(1))


def test_pipelines_scores_calibration_and_stacking_work():
    x, y = SMALL
    options = {"max_iter": 30, "learning_rate_init": 0.01, "random_state": 0}
    chain = pipeline.make_pipeline(preprocessing.StandardScaler(), MLPClassifier((20,), **options))
    assert model_selection.cross_val_score(chain, x, y, cv=3).mean() > 0.85
    net = MLPClassifier((20,), **options)
    assert calibration.CalibratedClassifierCV(net, cv=3).fit(x, y).score(x, y) > 0.9
    stack = ensemble.StackingClassifier([("net", net), ("line", linear_model.RidgeClassifier())], cv=3)
    assert stack.fit(x, y).score(x, y) > 0.9
    bagging = ensemble.BaggingRegressor(MLPRegressor(max_iter=5), n_estimators=3, random_state=0).fit(*DIABETES)
    assert bagging.predict(DIABETES[0]).shape == (442,)
    clone = base.clone(chain.set_params(mlpclassifier__n_threads=1))
    assert clone.get_params()["mlpclassifier__n_threads"] == 1 and not hasattr(clone[-1], "coefs_")


def test_sample_weight_is_routed():
    x, y = SMALL
    weights = np.where(y < 5, 1.0, 0.01)
    with config_context(enable_metadata_routing=True):
        scaler = preprocessing.StandardScaler().set_fit_request(sample_weight=False)
        net = MLPClassifier(max_iter=5, random_state=0).set_fit_request(sample_weight=True)
        chain = pipeline.make_pipeline(scaler, net)
        weighted = chain.fit(x, y, sample_weight=weights)[-1].loss_curve_
    alone = MLPClassifier(max_iter=5, random_state=0).fit(*standardized(x, y), sample_weight=weights)
    assert weighted == alone.loss_curve_


def test_feature_names_are_kept():
    pandas = needs("pandas")
    x, y = datasets.load_iris(return_X_y=True, as_frame=True)
    ours = MLPClassifier((5,), max_iter=5, random_state=0).fit(x, y)
    assert ours.feature_names_in_.tolist() == x.columns.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.predict(x)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        ours.predict(x.to_numpy())
    chain = pipeline.make_pipeline(preprocessing.StandardScaler(), ours).set_output(transform="pandas").fit(x, y)
    assert isinstance(chain[:-1].transform(x), pandas.DataFrame)
    assert chain[-1].feature_names_in_.tolist() == x.columns.tolist()


# -- additions to scikit-learn ---------------------------------------------------------------------

def test_class_weight_acts_as_a_sample_weight():
    x, y = SMALL[0], SMALL[1] % 3
    table = {0: 3.0, 1: 1.0, 2: 0.5}
    rows = np.array([3.0, 1.0, 0.5])[y]
    options = {"hidden_layer_sizes": (9,), "max_iter": 3, "random_state": 0}
    for class_weight, weights in [(table, rows), ("balanced", len(y) / 3 / np.bincount(y)[y])]:
        ours = MLPClassifier(**options, class_weight=class_weight).fit(x, y)
        theirs = neural_network.MLPClassifier(**options).fit(x, y, sample_weight=weights)
        assert_close(ours.loss_curve_, theirs.loss_curve_, "peer_training")
    names, weights = np.where(y == 0, "b", "a"), np.where(y == 0, 3.0, 1.0)
    of_classes = MLPClassifier(**options, class_weight={"b": 3.0, "a": 1.0}).fit(x, names)
    of_rows = MLPClassifier(**options).fit(x, names, sample_weight=weights)
    assert of_classes.loss_curve_ == of_rows.loss_curve_
    with pytest.raises(ValueError, match="class_weight must be None for multilabel"):
        MLPClassifier(class_weight="balanced").fit(*multilabel())


def test_each_hidden_layer_may_have_its_own_activation():
    x, y = SMALL
    options = {"hidden_layer_sizes": (9, 8), "max_iter": 3, "random_state": 0}
    one = MLPClassifier(**options, activation="logistic").fit(x, y)
    two = MLPClassifier(**options, activation=["logistic", "sigmoid"]).fit(x, y)
    assert two.loss_curve_ == one.loss_curve_
    mixed = MLPClassifier(**options, activation=["gelu", "tanh"]).fit(x, y)
    a = nnfast.activations.gelu(x @ mixed.coefs_[0] + mixed.intercepts_[0])
    a = nnfast.activations.tanh(a @ mixed.coefs_[1] + mixed.intercepts_[1])
    z = a @ mixed.coefs_[2] + mixed.intercepts_[2]
    assert_close(mixed.predict_proba(x), nnfast.activations.softmax(z), "prediction")
    with pytest.raises(ValueError, match="one function for each of the 2 hidden layers"):
        MLPClassifier((9, 8), activation=["relu"]).fit(x, y)
    with pytest.raises(ValueError, match="activation must be one of the known names"):
        MLPClassifier((9, 8), activation=["relu", "rule"]).fit(x, y)


def test_losses_of_nnfast_are_accepted():
    x, y = SMALL[0] / 16, SMALL[1]
    two = y % 2
    options = {"hidden_layer_sizes": (9,), "max_iter": 3, "random_state": 0}
    for loss, labels in [
        ("sparse_categorical_crossentropy", y),
        (losses.CategoricalCrossentropy(), y),
        ("binary_crossentropy", two),
    ]:
        ours = MLPClassifier(**options, loss=loss).fit(x, labels)
        expected = MLPClassifier(**options).fit(x, labels).loss_curve_
        assert_close(ours.loss_curve_, expected, "peer_training")
    focal = MLPClassifier((30,), loss=losses.BinaryFocalCrossentropy(), max_iter=60, random_state=0)
    assert focal.fit(x, two).score(x, two) > 0.9
    with pytest.raises(ValueError, match="loss must fit y, which holds two classes"):
        MLPClassifier(loss="sparse_categorical_crossentropy").fit(x, two)
    x, y = standardized(*DIABETES)
    options = {"alpha": 0, "solver": "lbfgs", "max_iter": 5, "random_state": 0}
    whole, half = MLPRegressor(**options, loss="mse").fit(x, y), MLPRegressor(**options).fit(x, y)
    assert whole.loss_ == pytest.approx(2 * half.loss_, rel=0.1)
    for loss in (losses.Poisson(log_input=True), losses.Gamma(), losses.Tweedie(1.5)):
        ours = MLPRegressor(loss=loss, solver="lbfgs", alpha=1., max_iter=50, random_state=0).fit(x, y)
        assert ours.out_activation_ == "exp" and ours.predict(x).min() > 0 and ours.score(x, y) > 0.4
    options = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.05, "max_iter": 100, "random_state": 0}
    share = (MLPRegressor(loss=losses.Quantile(0.9), **options).fit(x, y).predict(x) > y).mean()
    assert 0.8 < share < 0.97
    three = MLPRegressor(loss=losses.Quantile([0.1, 0.5, 0.9]), **options).fit(x, y).predict(x)
    assert three.shape == (442, 3) and (three[:, 0] < three[:, 2]).mean() > 0.95
    scaled = (y - y.mean()) / y.std()
    means = MLPRegressor(**{**options, "learning_rate_init": 0.02}, loss="gaussian_nll").fit(x, scaled)
    assert means.predict(x).shape == (442,) and means.score(x, scaled) > 0.4


ON_PROBABILITIES = {
    "mean_squared_error", "mean_absolute_error", "huber", "smooth_l1", "log_cosh",
    "binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky",
}
TASKS = {
    "regression": {
        "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error", "huber", "smooth_l1", "log_cosh", "quantile", "expectile",
        "cosine_similarity", "poisson", "gaussian_nll", "gamma", "tweedie",
    },
    "binary": ON_PROBABILITIES,
    "multilabel": ON_PROBABILITIES | {"cosine_similarity"},
    "classes": ON_PROBABILITIES | {
        "cosine_similarity", "kl_divergence", "categorical_hinge", "categorical_crossentropy",
        "categorical_focal_crossentropy", "sparse_categorical_crossentropy",
    },
}


def of_task(task):
    """The estimator, x and y of a task."""
    x = np.random.default_rng(0).random((60, 4))
    y = {
        "regression": x[:, :2] + 0.1,
        "binary": (x[:, 0] > 0.5).astype(int),
        "multilabel": (x[:, :3] > 0.5).astype(int),
        "classes": np.arange(60) % 3,
    }[task]
    return MLPRegressor if task == "regression" else MLPClassifier, x, y


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", losses._CLASSES)
def test_a_loss_that_does_not_fit_y_is_refused_with_a_list_of_those_that_do(name, task, solver):
    kind, x, y = of_task(task)
    net = kind(hidden_layer_sizes=(3,), solver=solver, loss=name, max_iter=2, random_state=0)
    if name in TASKS[task]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
            assert np.isfinite(net.fit(x, y).loss_)
        return
    with pytest.raises(ValueError, match="loss must fit y, which holds") as caught:
        net.fit(x, y)
    assert set(str(caught.value).split("Choose one of ")[1].rstrip(".").split(", ")) == TASKS[task]
    assert not hasattr(net, "coefs_")


def test_a_loss_that_does_not_fit_y_is_refused_by_warm_start_and_partial_fit():
    kind, x, y = of_task("binary")
    net = kind(hidden_layer_sizes=(3,), warm_start=True, max_iter=2, random_state=0).fit(x, y)
    before = [array.copy() for array in net.coefs_]
    with pytest.raises(ValueError, match="loss must fit y"):
        net.set_params(loss="gaussian_nll").fit(x, y)
    with pytest.raises(ValueError, match="loss must fit y"):
        kind(loss="poisson").partial_fit(x, y, classes=[0, 1])
    assert all(np.array_equal(*pair) for pair in zip(net.coefs_, before, strict=True))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss, bad, match", [
    ("poisson", -1, "not negative for Poisson"),
    (losses.Poisson(), -1, "not negative"),
    (losses.Poisson(log_input=True), -1, "not negative"),
    ("gamma", 0, "positive for Gamma"),
    (losses.Tweedie(1.5), -1, "not negative"),
    ("mean_squared_logarithmic_error", -1, "not negative"),
])
def test_targets_outside_the_domain_of_the_loss_are_refused_before_training(loss, bad, match, solver):
    _, x, y = of_task("regression")
    y = y[:, 0].copy()
    options = {"hidden_layer_sizes": (3,), "solver": solver, "loss": loss, "max_iter": 3}
    net = MLPRegressor(**options, random_state=0, warm_start=True).fit(x, y)
    before = [array.copy() for array in net.coefs_]
    y[7] = bad
    with pytest.raises(ValueError, match=rf"{match}.*; y\[7\] is {bad}"):
        net.fit(x, y)
    assert all(np.array_equal(*pair) for pair in zip(net.coefs_, before, strict=True))
    rows = np.delete(np.arange(60), 7)                                  # a fold without that row is trained
    nnfast.fit_many([MLPRegressor(**options)], x, y, folds=[rows], verbose=0)


@pytest.mark.parametrize("loss", [losses.Poisson(), losses.MeanSquaredLogarithmicError()], ids=repr)
def test_losses_that_need_nonnegative_predictions_use_an_exponential_output(loss):
    x, y = standardized(*DIABETES)
    ours = MLPRegressor(loss=loss, solver="lbfgs", alpha=1., max_iter=50, random_state=0).fit(x, y)
    assert ours.out_activation_ == "exp" and ours.predict(x).min() > 0 and ours.score(x, y) > 0.4


def test_masked_elements_are_refused():
    x, y = SMALL
    hidden = np.ma.masked_array(x, mask=x == 16)
    net = MLPClassifier((3,), max_iter=2, random_state=0).fit(x, y)
    labels, weights = np.ma.masked_array(y, mask=y == 3), np.ma.masked_array(np.ones(300), mask=y == 3)
    members = nnfast.Ensemble(net, 2).fit(x, y)
    for call, name in [
        (lambda: net.fit(hidden, y), "X"),
        (lambda: net.fit(x, labels), "y"),
        (lambda: net.fit(x, y, weights), "sample_weight"),
        (lambda: net.partial_fit(hidden, y), "X"),
        (lambda: net.predict(hidden), "X"),
        (lambda: net.predict_proba(hidden), "X"),
        (lambda: net.fit(x, y, validation_data=(hidden, y)), "X of validation_data"),
        (lambda: nnfast.Ensemble(net, 2).fit(hidden, y), "X"),
        (lambda: members.predict(hidden), "X"),
        (lambda: nnfast.fit_many([net], x, labels, verbose=0), "y"),
    ]:
        with pytest.raises(Exception, match=f"{name} must not be masked"):
            call()


def own(y_true, y_pred):
    error = y_pred - y_true
    return (error**2).mean(axis=1) / 2, error / error.shape[1]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_user_defined_loss_trains_like_the_built_in_one(solver):
    x, y = standardized(*DIABETES)
    weights = np.random.default_rng(0).random(len(y))
    options = {"solver": solver, "max_iter": 5, "random_state": 0}
    mine, built_in = (MLPRegressor(loss=loss, **options).fit(x, y, sample_weight=weights).loss_
                      for loss in (own, "squared_error"))
    assert mine == pytest.approx(built_in, rel=1e-9)


def test_validation_data_is_scored_and_drives_early_stopping():
    x, held_out, y, truth = model_selection.train_test_split(*SMALL, random_state=0)
    plain = MLPClassifier((20,), max_iter=30, random_state=0).fit(x, y)
    ours = MLPClassifier((20,), max_iter=30, random_state=0).fit(x, y, validation_data=(held_out, truth))
    assert ours.loss_curve_ == plain.loss_curve_ and plain.validation_scores_ is None
    assert len(ours.validation_scores_) == 30 and ours.validation_scores_[-1] == ours.score(held_out, truth)
    assert ours.best_validation_score_ == max(ours.validation_scores_)
    stopped = MLPClassifier((20,), max_iter=200, random_state=0, early_stopping=True, n_iter_no_change=5)
    stopped.fit(x, y, validation_data=(held_out, truth, np.ones(len(truth))))
    assert stopped.n_iter_ < 200 and stopped.score(held_out, truth) == max(stopped.validation_scores_)
    assert stopped.loss_curve_[:30] == plain.loss_curve_[:stopped.n_iter_]
    with pytest.raises(ValueError, match="validation_data must be"):
        plain.fit(x, y, validation_data=held_out)
    with pytest.raises(ValueError, match="features"):
        plain.fit(x, y, validation_data=(held_out[:, :5], truth))


def test_max_seconds_ends_training():
    x, y = SMALL
    with pytest.warns(exceptions.ConvergenceWarning, match="max_seconds=0.05 passed after"):
        ours = MLPClassifier(max_iter=10**6, tol=0, n_iter_no_change=10**6, max_seconds=0.05).fit(x, y)
    assert 1 <= ours.n_iter_ < 10**5 and len(ours.loss_curve_) == ours.n_iter_


def test_max_seconds_ends_lbfgs_after_an_iteration():
    x, y = SMALL
    with pytest.warns(exceptions.ConvergenceWarning, match="max_seconds=1e-09 passed after 1 iterations"):
        ours = MLPClassifier(solver="lbfgs", max_seconds=1e-9, random_state=0).fit(x, y)
    one = MLPClassifier(solver="lbfgs", max_iter=1, random_state=0).fit(x, y)
    assert ours.n_iter_ == 1 and ours.loss_ == one.loss_
    np.testing.assert_array_equal(ours.predict_proba(x), one.predict_proba(x))
    plenty, free = (MLPClassifier(solver="lbfgs", max_seconds=seconds, max_iter=5, random_state=0).fit(x, y)
                    for seconds in (1000, None))
    assert plenty.loss_ == free.loss_ and plenty.n_iter_ == free.n_iter_


def test_verbose_prints_as_scikit_learn_does(capsys):
    for early_stopping in (False, True):
        printed = []
        for library in (neural_network, nnfast):
            net = library.MLPClassifier((9,), max_iter=3, verbose=True, random_state=0, early_stopping=early_stopping)
            net.fit(*IRIS)
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1] and printed[0].count("Iteration") == 3


# -- dropout ---------------------------------------------------------------------------------------

def test_dropout_acts_only_in_training_and_follows_the_seed():
    x, y = IRIS
    fits = [nnfast.MLPClassifier((40, 40), dropout=rate, random_state=seed, max_iter=30, n_threads=n_threads).fit(x, y)
            for rate, seed, n_threads in [(0.0, 1, 1), (0.5, 1, 1), (0.5, 1, 2), ([0.0, 0.5], 1, 1), (0.5, 2, 1)]]
    curves = [fit.loss_curve_ for fit in fits]
    assert curves[1] == curves[2] and len({repr(curve) for curve in curves}) == 4
    assert np.mean(curves[1]) > np.mean(curves[0])
    assert np.array_equal(fits[1].predict_proba(x), fits[1].predict_proba(x))
    again = base.clone(fits[1]).fit(x, y)
    assert again.loss_curve_ == curves[1]
    assert pickle.loads(pickle.dumps(again)).predict(x).tolist() == again.predict(x).tolist()


def test_dropout_may_change_between_warm_starts():
    x, y = IRIS
    net = nnfast.MLPClassifier((20,), warm_start=True, random_state=1, max_iter=5)
    before = net.fit(x, y).coefs_[0].copy()
    net.set_params(dropout=0.5).fit(x, y)
    assert net._attached.network.random and not np.array_equal(before, net.coefs_[0])
    net.set_params(dropout=0.0).partial_fit(x, y)
    assert not net._attached.network.random


@pytest.mark.parametrize("options, message", [
    ({"dropout": 1.0}, "dropout"),
    ({"dropout": [0.5]}, "one for each of the 2 hidden layers"),
    ({"dropout": [0.5, 2]}, r"\[0, 1\)"),
    ({"dropout": 0.5, "solver": "lbfgs"}, "dropout must be left at its default"),
])
def test_bad_dropout_is_refused(options, message):
    x, y = IRIS
    with pytest.raises(ValueError, match=message):
        nnfast.MLPClassifier((5, 5), **options).fit(x, y)


def test_dropout_draws_new_masks_in_partial_fit_and_warm_starts():
    """If all calls used the same mask, about half of the units would never be trained."""
    x, y = standardized(*DIABETES)
    for warm in (False, True):
        net = MLPRegressor(hidden_layer_sizes=(40,), activation="tanh", dropout=0.5, random_state=0, warm_start=warm,
                           max_iter=1, alpha=0)
        net.partial_fit(x[:1], y[:1])
        first = net.coefs_[0].copy()
        for i in range(1, 21):
            (net.fit if warm else net.partial_fit)(x[i:i + 1], y[i:i + 1])
        assert (net.coefs_[0] != first).any(axis=0).all()
    again = [base.clone(net).fit(x, y).fit(x, y).loss_curve_ for _ in range(2)]
    assert again[0] == again[1]


# -- parameters that change on a fitted estimator --------------------------------------------------

def copies(net):
    return [pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]


@pytest.mark.parametrize("change", [
    {"activation": "tanh"},
    {"activation": ["logistic"]},
    {"dropout": 0.5},
    {"loss": "poisson"},
    {"loss": losses.GaussianNLL()},
    {"hidden_layer_sizes": (3, 3)},
    {"solver": "lbfgs"},
    {"n_threads": 1},
    {"alpha": 5},
])
@pytest.mark.parametrize("warm_start", [False, True])
def test_predictions_after_set_params_match_copies_and_scikit_learn(change, warm_start):
    x, y = standardized(*DIABETES)
    options = {"hidden_layer_sizes": (9,), "max_iter": 3, "random_state": 0, "warm_start": warm_start}
    net, theirs = MLPRegressor(**options).fit(x, y), neural_network.MLPRegressor(**options).fit(x, y)
    net.predict(x)
    net.set_params(**change)
    for name, value in change.items():
        if name == "activation":
            theirs.set_params(activation=value if isinstance(value, str) else value[0])
    assert_close(net.predict(x), theirs.predict(x), "peer_training")
    for other in copies(net):
        np.testing.assert_array_equal(other.predict(x), net.predict(x))
        assert other.score(x, y) == net.score(x, y)
    if not {"loss", "hidden_layer_sizes"} & set(change) or not warm_start:
        before = copies(net)
        net.fit(x, np.abs(y))
        for other in before:
            np.testing.assert_array_equal(other.fit(x, np.abs(y)).predict(x), net.predict(x))


def test_predictions_follow_a_changed_output_activation():
    x, y = SMALL
    net = MLPClassifier((9,), max_iter=3, random_state=0).fit(x, y)
    proba = net.predict_proba(x)
    net.out_activation_ = "identity"
    logits = net.predict_proba(x)
    assert_close(nnfast.activations.softmax(logits), proba, "prediction")
    for other in copies(net):
        np.testing.assert_array_equal(other.predict_proba(x), logits)


def test_copies_hold_weights_that_the_user_has_written():
    x, y = SMALL
    net = MLPClassifier((9,), max_iter=3, random_state=0).fit(x, y)
    net.coefs_ = [array.astype(np.float32) for array in net.coefs_]
    others = copies(net)
    for other in others:
        np.testing.assert_array_equal(other.predict_proba(x), net.predict_proba(x))


@pytest.mark.parametrize("change", [
    {"hidden_layer_sizes": (9, 9)}, {"hidden_layer_sizes": (8,)}, {"loss": "poisson"}, {"loss": losses.GaussianNLL()},
    {"loss": losses.Quantile([0.1, 0.9])}])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warm_start_with_other_layers_is_refused_and_changes_nothing(change, solver):
    x, y = standardized(*DIABETES)
    net = MLPRegressor(hidden_layer_sizes=(9,), max_iter=3, random_state=0, warm_start=True, solver=solver).fit(x, y)
    before, predicted = net.get_params(), net.predict(x)
    with pytest.raises(ValueError, match="hidden_layer_sizes, loss and the columns of y must not change"):
        net.set_params(**change).fit(x, np.abs(y))
    net.set_params(**before)
    np.testing.assert_array_equal(net.predict(x), predicted)
    with pytest.raises(ValueError, match="columns of y must not change"):
        net.fit(x, np.column_stack([y, y]))
    assert net.n_outputs_ == 1
    np.testing.assert_array_equal(net.predict(x), predicted)
    net.fit(x, y)


@pytest.mark.parametrize("refused", [
    lambda net, x, y: net.fit(x[:, :3], y[:5]), lambda net, x, y: net.fit(np.full_like(x, np.nan), y),
    lambda net, x, y: net.fit(x[:, :3], y, np.zeros(len(y))),
    lambda net, x, y: net.fit(x[:, :3], y, validation_data=3),
    lambda net, x, y: net.set_params(class_weight={7: 1.}).fit(x[:, :3], y),
    lambda net, x, y: net.set_params(callbacks=[3]).fit(x[:, :3], y),
    lambda net, x, y: net.set_params(early_stopping=True).partial_fit(x, y),
    lambda net, x, y: net.set_params(activation=["relu"] * 2).fit(x[:, :3], y)])
def test_a_refused_call_leaves_the_estimator_unchanged(refused):
    x, y = SMALL[0], SMALL[1] % 3
    net = MLPClassifier((9,), max_iter=3, random_state=0).fit(x, y)
    params, attributes, proba = net.get_params(), set(vars(net)), net.predict_proba(x)
    with pytest.raises((ValueError, TypeError)):
        refused(net, x, y)
    net.set_params(**params)
    assert set(vars(net)) == attributes and net.n_features_in_ == 64
    np.testing.assert_array_equal(net.predict_proba(x), proba)
    net.partial_fit(x, y)
    new = MLPClassifier(class_weight={7: 1.})
    with pytest.raises(ValueError, match="not in class_weight"):
        new.partial_fit(x, y, classes=[0, 1, 2])
    assert not hasattr(new, "classes_") and not hasattr(new, "coefs_")


@pytest.mark.parametrize("first", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd"}])
@pytest.mark.parametrize("then", [
    {}, {"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd"}, {"dropout": 0.2}, {"batch_size": 20},
    {"learning_rate": lambda step: 0.02}, {"class_weight": "balanced"}, {"callbacks": [nnfast.callbacks.History()]}])
def test_training_parameters_may_change_between_warm_starts(first, then):
    x, y = SMALL[0] / 16, SMALL[1]
    net = MLPClassifier((9,), warm_start=True, max_iter=3, batch_size=30, learning_rate_init=0.05, random_state=0)
    defaults = net.get_params()
    for options in (first, then, first, then):
        net.set_params(**{**defaults, **options}).fit(x, y)
        if net.solver != "lbfgs":
            assert (net.validation_scores_ is not None) == net.early_stopping
            assert (net.best_validation_score_ is not None) == net.early_stopping
            assert (net.best_loss_ is None) == net.early_stopping
    net.set_params(**{**defaults, "max_iter": 40, **then}).fit(x, y)
    assert net.score(x, y) > 0.7
    net.set_params(**defaults).partial_fit(x, y)
    net.fit(x, y, validation_data=(x, y)).set_params(early_stopping=True).fit(x, y)
    assert net.score(x, y) > 0.7 and net.best_validation_score_ == max(net.validation_scores_)


def test_warm_starts_continue_with_sparse_and_dense_rows():
    from scipy.sparse import coo_matrix

    x, y = SMALL
    results = []
    for forms in ((coo_matrix, np.asarray), (np.asarray, coo_matrix), (np.asarray, np.asarray)):
        net = MLPClassifier((9,), warm_start=True, max_iter=3, random_state=0)
        for form in forms:
            net.fit(form(x), y)
        np.testing.assert_allclose(net.predict_proba(x), copies(net)[0].predict_proba(coo_matrix(x)), rtol=1e-9)
        results.append(net.loss_curve_)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-9)
    np.testing.assert_allclose(results[1], results[2], rtol=1e-9)


@pytest.mark.parametrize("solver, change", [
    ("sgd", {}),
    ("adam", {}),
    ("sgd", {"solver": "adam"}),
    ("adam", {"solver": "sgd"}),
])
def test_partial_fit_follows_the_solver_and_the_learning_rate(solver, change):
    x, y = SMALL
    net = MLPClassifier((9,), solver=solver, momentum=0, random_state=0).partial_fit(x, y, classes=np.arange(10))
    steps, before = net._optimizer.t, [array.copy() for array in net.coefs_]
    net.set_params(learning_rate_init=1e-30, **change).partial_fit(x, y)
    assert net._optimizer.t == steps * (1 if change else 2)
    for a, b in zip(before, net.coefs_):
        np.testing.assert_allclose(a, b, atol=1e-20)


def test_a_new_learning_rate_keeps_the_state_of_the_optimizer():
    x, y = SMALL
    net = MLPClassifier((9,), random_state=0).partial_fit(x, y, classes=np.arange(10))
    twin = pickle.loads(pickle.dumps(net))
    net.set_params(learning_rate_init=0.0010000000001).partial_fit(x, y)
    np.testing.assert_allclose(net.coefs_[0], twin.partial_fit(x, y).coefs_[0], rtol=1e-6, atol=1e-12)


# -- weights of classes and rows -------------------------------------------------------------------

def test_balanced_weights_count_training_rows_by_their_weights():
    x, y = IRIS
    options = {"solver": "lbfgs", "max_iter": 20, "random_state": 0, "class_weight": "balanced"}
    weights = np.ones(150)
    weights[:30] = 0
    a, b = MLPClassifier(**options).fit(x, y, weights), MLPClassifier(**options).fit(x[30:], y[30:])
    assert a.loss_ == pytest.approx(b.loss_, rel=1e-6)
    weights[30:50] = 0          # a class without weight counts as absent
    a, b = (MLPClassifier(**options).fit(x, y, each) for each in (weights, weights * np.array([9, 1, 1])[y]))
    assert a.loss_ == pytest.approx(b.loss_, rel=1e-6)
    twice = np.concatenate([np.arange(150), np.arange(20)])
    a = MLPClassifier(**options).fit(x, y, np.bincount(twice))
    assert a.loss_ == pytest.approx(MLPClassifier(**options).fit(x[twice], y[twice]).loss_, rel=1e-6)


def test_balanced_weights_do_not_count_held_out_rows():
    x, y = SMALL
    options = {"hidden_layer_sizes": (5,), "max_iter": 1, "random_state": 0, "early_stopping": True,
               "validation_fraction": 0.5, "batch_size": 10**6}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = MLPClassifier(class_weight="balanced", **options).fit(x, y % 2)
        state = np.random.RandomState(0)
        for size in ((64, 5), 5, (5, 1), 1):        # the initial weights
            state.uniform(size=size)
        train, _ = model_selection.train_test_split(np.arange(300), random_state=state, test_size=0.5, stratify=y % 2)
        counts = np.bincount(y[train] % 2)
        theirs = neural_network.MLPClassifier(**options).fit(x, y % 2, (150 / 2 / counts)[y % 2])
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-9)


def test_partial_fit_accepts_class_weights_of_classes_missing_in_a_batch():
    x, y = IRIS
    net, twin = (MLPClassifier((5,), random_state=0, class_weight=table) for table in ({0: 1., 1: 2., 2: 3.}, None))
    for rows in (slice(0, 60), slice(90, 150)):
        net.partial_fit(x[rows], y[rows], classes=[0, 1, 2])
        twin.partial_fit(x[rows], y[rows], np.array([1., 2., 3.])[y[rows]], classes=[0, 1, 2])
    assert net.loss_curve_ == twin.loss_curve_
    with pytest.raises(ValueError, match="class_weight='balanced' must not be used with partial_fit"):
        net.set_params(class_weight="balanced").partial_fit(x, y)


def test_training_rows_need_a_nonzero_weight():
    x, y = IRIS
    weights = np.zeros(150)
    weights[:50] = 1
    with pytest.raises(nnfast.FitErrors, match="at least one non-zero number"):
        nnfast.fit_many([MLPClassifier((5,), max_iter=2)], x, y, folds=[np.arange(50, 150)], sample_weight=weights)


# -- scores ----------------------------------------------------------------------------------------

def test_quantiles_are_scored_by_their_loss():
    x, y = DIABETES
    loss = losses.Quantile([0.1, 0.5, 0.9])
    options = {"loss": loss, "hidden_layer_sizes": (9,), "max_iter": 5, "random_state": 0}
    net, weights = MLPRegressor(**options).fit(x, y, validation_data=(x, y)), np.linspace(0, 1, 442)
    three = np.column_stack([y, y, y])
    assert net.score(x, y) == net.validation_scores_[-1] == pytest.approx(-loss(three, net.predict(x)))
    rows = loss.per_sample(three, net.predict(x))
    assert net.score(x, y.tolist(), weights) == pytest.approx(-np.average(rows, weights=weights))
    assert np.isfinite(MLPRegressor(early_stopping=True, **options).fit(x, y, weights).best_validation_score_)
    assert MLPRegressor(early_stopping=True, **options).fit(x, y, validation_data=(x[:1], y[:1])).n_iter_ == 5
    np.testing.assert_allclose(nnfast.cross_validate(MLPRegressor(**options), x, y, 3)["score"],
                               [model.score(x[test], y[test]) for model, test in
                                zip(nnfast.cross_validate(MLPRegressor(**options), x, y, 3)["models"],
                                    np.array_split(np.random.default_rng(0).permutation(442), 3))])
    search = model_selection.GridSearchCV(MLPRegressor(**options), {"alpha": [0, 1]}, cv=2).fit(x, y)
    assert search.best_score_ < 0
    members = nnfast.Ensemble(MLPRegressor(**options), 3, random_state=0).fit(x, y)
    assert members.score(x, y) == pytest.approx(-loss(three, members.predict(x)))
    assert members.predict_std(x).shape == (442, 3)
    net.set_params(loss="mse")
    assert net.score(x, y) < 0 and net.predict(x).shape == (442, 3)


def test_predicted_means_of_a_gaussian_are_scored_by_r2():
    x, y = standardized(*two_targets())
    net = MLPRegressor(loss="gaussian_nll", max_iter=5, random_state=0, early_stopping=True).fit(x, y / 100)
    from sklearn.metrics import r2_score

    assert net.score(x, y / 100) == r2_score(y / 100, net.predict(x)) and len(net.validation_scores_) == 5


def test_early_stopping_without_a_finite_score_keeps_the_last_weights(monkeypatch):
    x, y = standardized(*DIABETES)
    options = {"hidden_layer_sizes": (9,), "max_iter": 5, "random_state": 0}
    monkeypatch.setattr(MLPRegressor, "_score", lambda *_, **__: np.nan)
    net = MLPRegressor(early_stopping=True, n_iter_no_change=2, **options).fit(x, y, validation_data=(x, y))
    assert net.n_iter_ == 3
    np.testing.assert_array_equal(net.predict(x), MLPRegressor(**{**options, "max_iter": 3}).fit(x, y).predict(x))


@pytest.mark.parametrize("kind, given, message", [
    (MLPRegressor, lambda x, y: (x[:1], y[:1]), "R\\^2 needs at least two rows"),
    (MLPRegressor, lambda x, y: (x, np.column_stack([y, y])), "as many columns as y"),
    (MLPRegressor, lambda x, y: (x, y, np.ones(3)), "sample_weight"),
    (MLPRegressor, lambda x, y: (x, np.full(442, "a")), "y of validation_data must be an array of real numbers"),
    (MLPClassifier, lambda x, y: (x, np.column_stack([y, y])), "as many columns as y")])
def test_validation_data_that_cannot_be_scored_is_refused_before_training(kind, given, message):
    x, y = DIABETES[0], DIABETES[1] if kind is MLPRegressor else DIABETES[1] > 100
    net = kind(max_iter=2)
    with pytest.raises(ValueError, match=message):
        net.fit(x, y, validation_data=given(x, y))
    assert not hasattr(net, "coefs_")
    with pytest.raises(ValueError, match="validation_data must be left out with solver='lbfgs'"):
        net.set_params(solver="lbfgs").fit(x, y, validation_data=(x, y))


# -- losses, versions ------------------------------------------------------------------------------

class Halved(losses.Loss):
    """scikit-learn's squared error as a subclass of Loss."""

    def call(self, y_true, y_pred):
        return own(y_true, y_pred)


@pytest.mark.parametrize("loss", [Halved, Halved(), own])
def test_a_subclass_of_loss_trains(loss):
    x, y = standardized(*DIABETES)
    net = base.clone(MLPRegressor(loss=loss, max_iter=3, random_state=0)).fit(x, y)
    assert_close(net.loss_curve_, MLPRegressor(max_iter=3, random_state=0).fit(x, y).loss_curve_, "peer_training")
    for other in copies(net):
        np.testing.assert_array_equal(other.predict(x), net.predict(x))


@pytest.mark.parametrize("sizes", [(100,), [100], 100, np.array([100])])
def test_layer_sizes_given_as_the_loss_are_recognised(sizes):
    message = "The 'loss' parameter of MLPRegressor must be .*sizes of layers as hidden_layer_sizes="
    with pytest.raises(ValueError, match=message):
        MLPRegressor(sizes).fit(*DIABETES)


@pytest.mark.parametrize("kind, options, message", [
    (MLPRegressor, {"loss": "mean_sqared"},
     "'loss' parameter of MLPRegressor must .*Did you mean 'mean_squared_error'"),
    (MLPClassifier, {"loss": "logloss"},
     "'loss' parameter of MLPClassifier must .*Did you mean 'log_loss'"),
    (MLPClassifier, {"activation": "relu_"},
     "'activation' parameter of MLPClassifier must .*Did you mean 'relu'"),
    (MLPRegressor, {"loss": None},
     "'loss' parameter of MLPRegressor must be the name, class or instance of a loss; got None"),
    (MLPClassifier, {"hidden_layer_sizes": (10.0,)},
     "'hidden_layer_sizes' parameter of MLPClassifier must be .*integers; got .10.0"),
])
def test_unknown_names_are_refused_with_the_nearest_one(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options).fit(*IRIS)


def test_score_of_quantiles_refuses_rows_without_a_target():
    x, y = standardized(*DIABETES)
    net = MLPRegressor(loss=losses.Quantile([0.1, 0.9]), max_iter=2).fit(x, y)
    with pytest.raises(ValueError, match=f"same number of rows; got {len(y)} and 5"):
        net.score(x, y[:5])


@pytest.mark.parametrize("library, category, message", [
    ("nnfast", UserWarning, "pickled by nnfast 0.0.1"),
    ("sklearn", exceptions.InconsistentVersionWarning, "version 0.0.1"),
])
@pytest.mark.parametrize("together", [False, True])
def test_a_pickle_of_another_version_warns(library, category, message, together, monkeypatch):
    net = MLPClassifier((5,), max_iter=2)
    net = (nnfast.Ensemble(net, 2) if together else net).fit(*IRIS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "_nnfast_version" not in vars(pickle.loads(pickle.dumps(net)))
    with monkeypatch.context() as patch:
        patch.setitem(nnfast.estimators.VERSIONS, f"_{library}_version", "0.0.1")
        written = pickle.dumps(net)
    with pytest.warns(category, match=message):
        read = pickle.loads(written)
    np.testing.assert_array_equal(read.predict(IRIS[0]), net.predict(IRIS[0]))
