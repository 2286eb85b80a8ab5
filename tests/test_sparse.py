"""Sparse rows give the results of dense rows, without a dense copy."""
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from optional import needs
from tolerances import assert_close

scipy_sparse = needs("scipy.sparse")
needs("sklearn", minversion="1.7")

import nnfast  # noqa: E402
from nnfast import MLPClassifier, MLPRegressor  # noqa: E402
from nnfast._core import network as core  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
DENSE = np.where(RNG.random((303, 70)) < 0.1, RNG.standard_normal((303, 70)), 0)
DENSE[5] = 0                                        # an empty row and two empty columns
DENSE[:, [0, 33]] = 0
Y = DENSE @ RNG.standard_normal(70)
LABELS = (Y > 0).astype(int) + (Y > 1)
FORMS = {
    "csr": scipy_sparse.csr_matrix,
    "csc": scipy_sparse.csc_matrix,
    "array": scipy_sparse.csr_array,
    "int64": lambda x: with_indices(x, np.int64),
    "unsorted": lambda x: shuffled(x),
    "duplicates": lambda x: halves(x),
}


def with_indices(x, dtype):
    x = scipy_sparse.csr_matrix(x)
    x.indices, x.indptr = x.indices.astype(dtype), x.indptr.astype(dtype)
    return x


def shuffled(x):
    """Stores the entries of each row in random order."""
    x = scipy_sparse.csr_matrix(x)
    for a, b in zip(x.indptr[:-1], x.indptr[1:]):
        order = np.random.default_rng(a).permutation(b - a)
        x.indices[a:b], x.data[a:b] = x.indices[a:b][order], x.data[a:b][order]
    x.has_sorted_indices = False
    return x


def halves(x):
    """Stores each entry as two equal halves at the same place."""
    x = scipy_sparse.csr_matrix(x)
    return scipy_sparse.csr_matrix((np.repeat(x.data / 2, 2), np.repeat(x.indices, 2), 2 * x.indptr), shape=x.shape)


def curves(kind, y, dtype, forms, **options):
    """A fitted model and its x for each form of the rows; None is dense."""
    defaults = {"hidden_layer_sizes": (19, 6), "random_state": 0, "max_iter": 6, "batch_size": 50, "alpha": 0.01}
    results = []
    for form in forms:
        x = DENSE.astype(dtype)
        x = x if form is None else FORMS[form](x)
        model = kind(**{**defaults, **options}).fit(x, y)
        results.append((model, x))
    return results


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [
    {},
    {"solver": "sgd", "shuffle": False},
    {"solver": "lbfgs"},
    {"early_stopping": True},
    {"hidden_layer_sizes": ()},
], ids=str)
def test_sparse_rows_train_like_dense_rows(form, options, dtype):
    for kind, y in ((MLPClassifier, LABELS), (MLPRegressor, Y)):
        if kind is MLPRegressor and "early_stopping" in options:
            continue
        (dense, x), (sparse, rows) = curves(kind, y, dtype, (None, form), **options)
        found, expected = (getattr(model, "loss_curve_", model.loss_) for model in (sparse, dense))
        assert_close(found, expected, "training", dtype)
        assert {array.dtype for array in sparse.coefs_} == {np.dtype(dtype)}
        predict = "predict_proba" if kind is MLPClassifier else "predict"
        for other in (rows, x):             # each model predicts from sparse and from dense rows
            found = getattr(sparse, predict)(other)
            assert found.dtype == dtype
            tolerance = 2e-3 if dtype == np.float32 else 1e-7
            np.testing.assert_allclose(found, getattr(dense, predict)(other), rtol=tolerance, atol=tolerance)


def test_wide_layers_and_wide_outputs_are_trained():
    """W is multiplied in panels, and its gradient has more than one block."""
    (dense, x), (sparse, rows) = curves(MLPClassifier, LABELS, np.float64, (None, "csr"), hidden_layer_sizes=(300,))
    assert_close(sparse.loss_curve_, dense.loss_curve_, "training")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_change_no_bit_of_sparse_training(dtype, solver):
    x, bits = FORMS["csr"](DENSE.astype(dtype)), set()
    for n_threads in (1, 2, 3):
        model = MLPClassifier((64,), solver=solver, n_threads=n_threads, max_iter=5, random_state=0).fit(x, LABELS)
        bits.add(b"".join(array.tobytes() for array in model.coefs_) + model.predict_proba(x).tobytes())
    assert len(bits) == 1


def test_a_batch_longer_than_the_workspace_accumulates_gradients():
    dense = np.tile(DENSE, (30, 1))                 # 9,090 rows, above 8,192
    models = [MLPRegressor("squared_error", (7,), solver="lbfgs", max_iter=4, random_state=0).fit(x, np.tile(Y, 30))
              for x in (dense, scipy_sparse.csr_matrix(dense))]
    assert models[0].loss_ == pytest.approx(models[1].loss_, rel=1e-9)


def test_copies_partial_fit_and_folds_accept_sparse_rows():
    x = FORMS["csr"](DENSE)
    model = MLPClassifier((9,), random_state=0).partial_fit(x[:100], LABELS[:100], classes=[0, 1, 2])
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.partial_fit(x[100:], LABELS[100:]).partial_fit(DENSE[:50], LABELS[:50])
    np.testing.assert_array_equal(model.predict_proba(x), twin.predict_proba(x))
    rows = np.arange(0, 303, 2)
    [fold] = nnfast.fit_many([MLPClassifier((9,), random_state=0, max_iter=3)], x, LABELS, folds=[rows])
    assert fold.loss_curve_ == MLPClassifier((9,), random_state=0, max_iter=3).fit(x[rows], LABELS[rows]).loss_curve_
    assert nnfast.Ensemble(MLPClassifier((9,), max_iter=3), 2, random_state=0).fit(x, LABELS).predict(x).shape == (303,)


def test_no_dense_copy_is_made():
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    code = textwrap.dedent("""
        import numpy as np, scipy.sparse, nnfast
        nnfast.MLPRegressor
        def peak():
            return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
        columns = np.random.default_rng(0).integers(0, 200_000, 100_000)
        x = scipy.sparse.csr_matrix((np.ones(100_000), columns, np.arange(0, 100_001, 20)), shape=(5000, 200_000))
        before = peak()
        nnfast.MLPRegressor("squared_error", (2,), max_iter=2).fit(x, np.ones(5000)).predict(x)
        print(peak() - before)
    """)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True,
                          timeout=300)
    raised = int(done.stdout)
    assert raised < 80_000, f"{raised} KiB; dense rows are 8,000,000, weights and their state 10,000"


def test_a_value_beyond_float32_is_refused_with_its_row():
    x = FORMS["csr"](DENSE.astype(np.float32))
    model = MLPRegressor("squared_error", (9,), max_iter=2).fit(x, Y)
    x = x.astype(np.float64)
    x[7, 3] = 1e300
    with pytest.raises(ValueError, match="X must be finite; row 7 holds a number beyond"):
        model.predict(x)
    x[7, 3] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(x)


@pytest.mark.parametrize("data, indices, starts", [
    ([1.], [3], [0, 1]),
    ([1.], [-1], [0, 1]),
    ([1.], [0], [0, 2]),
    ([1., 2.], [0, 1], [0, 2, 1]),
    ([1.], [0], [-1, 1]),
])
def test_broken_sparse_rows_are_refused(data, indices, starts):
    with pytest.raises(ValueError, match="must"):
        core.SparseRows(np.array(data), np.array(indices), np.array(starts), 3)
