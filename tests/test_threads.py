"""The bits are the same for every number of threads and CPU level.

Threads, signals and errors leave models whole.
"""
import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from optional import needs
from tolerances import assert_close

import nnfast
from nnfast import _core, _threads
from nnfast._core import network as core
from nnfast.layers import Activation, Dense, Flatten

THREADS = [1, 2, 3, 4, 8]
SECONDS_TO_STOP = 0.3           # from Ctrl-C to KeyboardInterrupt
HANGS = 20                      # seconds after which a process is taken to hang
slow = pytest.mark.slow


def run(code, **environment):
    """Returns the standard output of a Python program in a separate process that must not hang."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=HANGS,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def share_every_step(monkeypatch):
    """Teams as large as asked for, however little there is to do."""
    monkeypatch.setattr(_threads, "LEAST_WORK", 0)


def data(rows, n_inputs=6, n_classes=3):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, n_inputs)).astype(np.float32)
    return x, np.sin(x @ rng.standard_normal((n_inputs, n_classes))).argmax(axis=1)


# layers, rows, batch size, epochs
CASES = {
    "small": ([Dense(16, "relu"), Dense(3, "softmax")], 333, 32, 2),
    "batch smaller than the team": ([Dense(9, "tanh"), Dense(3, "softmax")], 61, 3, 1),
    "batches of one row": ([Dense(40, "gelu"), Dense(3, "softmax")], 25, 1, 1),
    "one unit wide": ([Dense(1, "tanh"), Dense(3, "softmax")], 100, 16, 1),
    "deep": ([*[Dense(10 + i, "silu") for i in range(6)], Activation("tanh"), Dense(3, "softmax")], 200, 32, 2),
    "600 wide": ([Dense(600, "relu"), Dense(600, "tanh"), Dense(3, "softmax")], 150, 64, 1),
    "batch longer than the workspace": ([Dense(12, "relu"), Dense(3, "softmax")], 17_000, 9_000, 2),
    "whole data in one batch": ([Flatten(), Dense(8, "elu"), Dense(3, "softmax")], 1000, 1000, 3),
}
every_case = pytest.mark.parametrize("case", CASES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def fit(case, n_threads, dtype="float32"):
    layers, rows, batch_size, epochs = CASES[case]
    x, y = data(rows)
    model = nnfast.Sequential(map(copy.copy, layers), dtype=dtype, seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, validation_split=0.1, verbose=0,
                        n_threads=n_threads, sample_weight=np.linspace(0.5, 1.5, rows))
    return model, (model.params.tobytes(), history.history)


@every_dtype
@every_case
def test_number_of_threads_changes_no_bit_of_training(case, dtype):
    _, expected = fit(case, 1, dtype)
    for n_threads in THREADS[1:]:
        assert fit(case, n_threads, dtype)[1] == expected, f"{n_threads} threads"
    assert fit(case, None, dtype)[1] == expected


@pytest.mark.parametrize("case", ["small", "batch smaller than the team", "600 wide"])
def test_teams_larger_than_the_machine_change_no_bit(case):
    _, expected = fit(case, 1)
    for n_threads in (5, 7, 9, 17, 33, 64):             # threads meet in groups of 8: see team.pxd
        assert fit(case, n_threads)[1] == expected, f"{n_threads} threads"


def test_jobs_of_many_sizes_follow_each_other():
    x, y = data(300)
    rows, targets = core.DenseRows(x), y
    params = []
    for sizes in ([1] * 40, [64, 9, 2, 17, 24, 1, 8, 33, 16, 64] * 4):
        model = nnfast.Sequential([Dense(16, "relu"), Dense(3, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)                      # builds the network
        batches, sums = core.Batches(rows, targets, 64), np.zeros(1)
        with _threads.Team(model._network, 64, 1e9, _threads.Pace()) as team:
            for size in sizes:
                model._network.train_batches(batches, 0, len(batches), 0.01, sums, team.grow(size))
        params.append(model.params.tobytes())
    assert params[0] == params[1]


@every_case
def test_number_of_threads_changes_no_bit_of_predictions_and_scores(case):
    model, _ = fit(case, 1)

    def results(x, y, n_threads):
        return model.predict(x, n_threads=n_threads).tobytes(), model.evaluate(x, y, verbose=0, n_threads=n_threads)

    for rows in (1, 5, 700):
        expected = results(*data(rows), 1)
        for n_threads in (*THREADS[1:], None):
            assert results(*data(rows), n_threads) == expected, f"{n_threads} threads, {rows} rows"


def test_team_may_change_from_fit_to_fit():
    x, y = data(300)
    models = [nnfast.Sequential([Dense(16, "relu"), Dense(3, "softmax")], seed=0) for _ in range(2)]
    for model, teams in zip(models, ([1, 1, 1, 1], [4, 1, 3, 2]), strict=True):
        model.compile("adam", "sparse_categorical_crossentropy")
        for n_threads in teams:
            model.fit(x, y, batch_size=32, verbose=0, n_threads=n_threads)
    assert models[0].params.tobytes() == models[1].params.tobytes()


FORK = """
    import os
    import numpy as np, nnfast
    from nnfast import _threads
    _threads.LEAST_WORK = 0                     # teams as large as asked for
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((500, 6)).astype("f4"), rng.integers(0, 3, 500)

    def fit(model):
        model.fit(x, y, epochs=2, batch_size=32, verbose=0, n_threads=2)
        return hash(model.params.tobytes())

    model = nnfast.Sequential([nnfast.Dense(16, "relu"), nnfast.Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    fit(model)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(fit(model)).encode())
        os._exit(0)
    ours = fit(model)
    theirs = int(os.read(read, 100))
    assert os.waitpid(child, 0)[1] == 0
    print(ours == theirs)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork of POSIX")
def test_fit_works_in_parent_and_child_after_a_fork():
    """No thread outlives a fit, so none is missing after a fork.

    The child goes on from the same weights to the same bits.
    """
    assert run(FORK).strip() == "True"


LOKY = """
    import copy
    import numpy as np, nnfast
    from joblib import Parallel, delayed

    def fit(model, seed):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((500, 6)).astype("f4"), rng.integers(0, 3, 500)
        model.fit(x, y, epochs=2, batch_size=32, verbose=0, n_threads=2)
        return model

    model = nnfast.Sequential([nnfast.Dense(16, "relu"), nnfast.Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.build((None, 6))
    fit(model, 9)                               # a process that has trained starts the workers
    fitted = Parallel(n_jobs=2, backend="loky")(delayed(fit)(model, seed) for seed in range(3))
    print([bool(np.array_equal(each.params, fit(copy.deepcopy(model), seed).params))
           for seed, each in enumerate(fitted)])
"""


def test_workers_of_loky_fit_to_the_same_bits():
    needs("joblib")
    assert run(LOKY).strip() == "[True, True, True]"


def test_threads_end_with_the_fit():
    before = threading.active_count()
    fit("small", 8)
    assert threading.active_count() == before


# -- CPU levels ------------------------------------------------------------------------------------

LEVEL = """
    import sys
    import numpy as np, nnfast
    from nnfast.layers import Dense
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for last, loss in (("softmax", "sparse_categorical_crossentropy"), ("tanh", "mse"), ("sigmoid", "bce")):
            x = rng.standard_normal((400, 21)).astype("f4")
            y = rng.integers(0, 5, 400) if last == "softmax" else rng.integers(0, 2, (400, 5)).astype("f4")
            layers = [Dense(33, f) for f in ("relu", "gelu", "mish", "elu", "tanh", "silu")]
            model = nnfast.Sequential([*layers, Dense(515, "softplus"), Dense(5, last)], dtype=dtype, seed=0)
            model.compile("adam", loss, metrics="acc")
            history = model.fit(x, y, batch_size=50, epochs=2, verbose=0, n_threads=1)
            print(model.params.astype("f8").tobytes().hex(), history.history, model.predict(x).tobytes().hex())
"""


def level(name):
    if name not in _core.LEVELS:
        pytest.skip(f"this machine lacks CPU level {name}")
    return [line.split(" ", 1) for line in run(LEVEL, NNFAST_CPU=name).splitlines()]


def test_levels_with_fused_multiply_add_give_the_same_bits():
    assert level("v3") == level("v4")


def test_level_without_fused_multiply_add_is_close():
    best = _core.LEVELS[-1]
    if best == "v2":
        pytest.skip("there is one CPU level only")
    for i, ((low, _), (high, _)) in enumerate(zip(level("v2"), level(best), strict=True)):
        low, high = (np.frombuffer(bytes.fromhex(text)) for text in (low, high))
        assert_close(low, high, "levels", "float32" if i < 3 else "float64")


def test_level_that_is_not_known_is_an_error():
    with pytest.raises(AssertionError, match="NNFAST_CPU must name a CPU level"):
        run("import nnfast", NNFAST_CPU="v9")


# -- how many threads ------------------------------------------------------------------------------

@pytest.mark.parametrize("value", ["1", "3", "64"])
def test_number_of_threads_is_taken_from_the_environment(monkeypatch, value):
    monkeypatch.setenv("NNFAST_NUM_THREADS", value)
    monkeypatch.setattr(_threads, "cpus", lambda: 2)
    assert _threads.most_threads(None) == (min(int(value), 2), False)
    assert _threads.most_threads(2) == (2, True)
    fit("small", None)


@pytest.mark.parametrize("value", ["0", "-1", "65", "two", "1.5", "²"])
def test_number_of_threads_that_is_none_is_an_error(monkeypatch, value):
    monkeypatch.setenv("NNFAST_NUM_THREADS", value)
    with pytest.raises(ValueError, match="NNFAST_NUM_THREADS must be an integer"):
        fit("small", None)


@pytest.mark.parametrize("n_threads, error", [(0, ValueError), (65, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_argument_that_is_no_number_of_threads_is_an_error(n_threads, error):
    with pytest.raises(error, match="n_threads must be"):
        fit("small", n_threads)


def test_limit_of_openmp_is_respected(monkeypatch):
    monkeypatch.delenv("NNFAST_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert _threads.most_threads(None) == (1, False)


def network():
    return core.Network(8, [(4, core.ACTIVATIONS["relu"], True)], "float64")


def test_fits_beside_others_start_their_share_of_helpers(monkeypatch):
    monkeypatch.setattr(_threads, "cpus", lambda: 4)
    monkeypatch.delenv("NNFAST_NUM_THREADS", raising=False)
    sizes = {}

    def beside():
        with _threads.Team(network(), None, 1e12, _threads.Pace()) as team:
            sizes["beside"] = team.next_range()[0], len(team.helpers)
            sizes["rows in the same thread"] = len(_threads.over_rows(lambda start, stop: None, 100, 1e12, None))
            shared.wait(10)

    shared = threading.Event()
    other = threading.Thread(target=beside)
    with _threads.Team(network(), None, 1e12, _threads.Pace()) as team:
        assert not team.helpers
        other.start()
        while "rows in the same thread" not in sizes:
            pass
        sizes["first"] = team.next_range()[0], len(team.helpers)
        sizes["rows"] = len(_threads.over_rows(lambda start, stop: None, 100, 1e12, None))
        shared.set()
        other.join()
        sizes["last"] = team.next_range()[0], len(team.helpers)
    assert sizes == {"beside": (2, 1), "rows in the same thread": 2, "first": (2, 1), "rows": 2, "last": (4, 3)}
    assert len(_threads.over_rows(lambda start, stop: None, 100, 1e12, None)) == 4


@pytest.mark.parametrize("inner", [None, 1])
def test_workers_of_joblib_keep_to_their_share_of_the_cpus(monkeypatch, inner):
    joblib = needs("joblib")
    for name in ("NNFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with joblib.parallel_config("loky", **({} if inner is None else {"inner_max_num_threads": inner})):
        shares = joblib.Parallel(2)(joblib.delayed(_threads.most_threads)(None) for _ in range(4))
    assert shares == [(inner or max(1, joblib.cpu_count() // 2), False)] * 4


# -- two threads of the caller ---------------------------------------------------------------------

def test_two_models_fit_at_once_give_the_bits_of_each_alone():
    cases = ["small", "600 wide"]
    expected = [fit(case, 2)[1] for case in cases]
    results = [None, None]

    def work(i):
        results[i] = fit(cases[i], 2)[1]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == expected


def test_second_use_of_a_model_that_trains_is_an_error_and_changes_no_bit():
    x, y = data(20_000)
    models = [nnfast.Sequential([Dense(64, "relu"), Dense(3, "softmax")], seed=0) for _ in range(2)]
    for model in models:
        model.compile("adam", "sparse_categorical_crossentropy")
        model.build((None, 6))
    model = models[0]

    def work():
        while True:
            try:
                return model.fit(x, y, epochs=60, verbose=0, n_threads=1)
            except RuntimeError:        # the call below was first
                pass

    def busy():
        try:
            model.test_on_batch(x[:1], y[:1])
        except RuntimeError:
            return True
        return False

    thread = threading.Thread(target=work)
    thread.start()
    while not busy():
        assert thread.is_alive(), "the fit ended before anything was refused"
    for call in (lambda: model.fit(x, y, verbose=0), lambda: model.evaluate(x, y, verbose=0),
                 lambda: model.compile("sgd", "mse"), lambda: model.train_on_batch(x, y),
                 lambda: model.set_weights(models[1].get_weights()), lambda: pickle.dumps(model)):
        with pytest.raises(RuntimeError, match="this model is in use"):
            call()
    thread.join()
    models[1].fit(x, y, epochs=60, verbose=0, n_threads=1)
    assert models[0].params.tobytes() == models[1].params.tobytes()


def test_predictions_may_run_at_once():
    model, _ = fit("600 wide", 1)
    x, _ = data(500)
    expected = model.predict(x).tobytes()
    results = [None] * 4

    def work(i):
        results[i] = {model.predict(x).tobytes() for _ in range(5)}

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [{expected}] * 4


# -- errors and signals ----------------------------------------------------------------------------

BAD = """
    import time
    import numpy as np, nnfast
    from nnfast.layers import Dense
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4000, 20)).astype("f4"), rng.standard_normal((4000, 3)).astype("f4")
    end, met, seed = time.monotonic() + 1, 0, 0
    while time.monotonic() < end:
        model = nnfast.Sequential([Dense(32, "relu"), Dense(3)], seed=seed)
        model.compile(nnfast.optimizers.SGD({rate}), "mse")
        data = dict(x=x.copy(), y=y.copy())
        if "{what}" in data:
            data["{what}"][rng.integers(4000)] = np.nan
        seed += 1
        try:
            model.fit(**data, verbose=0, n_threads={n_threads}, batch_size={batch_size}, epochs=5)
        except (ValueError, FloatingPointError) as error:
            met += 1
        assert np.isfinite(model.params).all()
    print(met == seed, seed)
"""


@pytest.mark.parametrize("what, rate, n_threads, batch_size", [
    ("x", 0.01, 2, 64), pytest.param("x", 0.01, 4, 1000, marks=slow), pytest.param("y", 0.01, 4, 64, marks=slow),
    pytest.param("loss", 1e4, 2, 256, marks=slow), ("loss", 1e4, 4, 64),
])
def test_team_meets_after_numbers_that_are_not_finite(what, rate, n_threads, batch_size):
    """Repeats fits for a second, as threads meet in another order each time.

    A process that hangs is killed.
    """
    out = run(BAD.format(what=what, rate=rate, n_threads=n_threads, batch_size=batch_size))
    assert out.split()[0] == "True"


SIGNAL = """
    import os, signal, threading, time
    import numpy as np, nnfast
    from nnfast.layers import Dense
    signal.signal(signal.SIGINT, signal.default_int_handler)        # a shell ignores it in what runs in its background
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(({rows}, 64)).astype("f4"), rng.integers(0, 3, {rows})
    model = nnfast.Sequential([Dense({width}, "tanh"), Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:64], y[:64], verbose=0)
    worst = 0
    for wait in (0.05, 0.11, 0.23, 0.31):
        sent = []

        def interrupt():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(wait, interrupt)
        timer.start()
        try:
            model.fit(x, y, batch_size={batch_size}, epochs=10**6, verbose=0, n_threads={n_threads})
        except KeyboardInterrupt:
            worst = max(worst, time.perf_counter() - sent[0])
        timer.join()
        assert np.isfinite(model.params).all()
        assert threading.active_count() == 1, threading.enumerate()
        before = model.params.copy()
        history = model.fit(x[:640], y[:640], epochs=2, verbose=0, n_threads={n_threads})
        assert np.isfinite(history.history["loss"]).all()
        assert (model.params != before).any()
    print(worst)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("n_threads", ["1", pytest.param("2", marks=slow), pytest.param("None", marks=slow)])
@pytest.mark.parametrize("rows, batch_size, width", [(5_000, 32, 64), (60_000, 60_000, 256)])
def test_fit_stops_soon_after_ctrl_c_and_goes_on_later(rows, batch_size, width, n_threads):
    worst = float(run(SIGNAL.format(rows=rows, batch_size=batch_size, width=width, n_threads=n_threads)))
    assert 0 < worst < SECONDS_TO_STOP


def test_a_lost_trial_is_repeated_later_and_a_change_is_soon_doubted():
    pace = _threads.Pace()
    pace.record(2, 9.0, 1.0, True)
    assert pace.best() is None                  # the first range starts threads and touches memory
    pace.record(2, 1.0, 1.0, False)
    waits = []
    for _ in range(5):
        pace.record(1, 2.0, 1.0, True)
        waits.append(pace.wait)
    assert pace.best() == 2 and waits == [10, 20, 40, 40, 40]
    pace.record(2, 3.0, 1.0, False)
    assert pace.best() == 1 and pace.wait == _threads.TRIAL_SOON


@pytest.mark.parametrize("most", [2, 3, 16, 64])
@pytest.mark.parametrize("work", [1e-5, 1e-4, 1e-3, 1e-2])
def test_the_fastest_size_of_a_team_is_found_and_its_neighbours_are_tried_again(most, work):
    """A step of `work` seconds costs 3 microseconds more for each thread at its barriers."""
    def seconds(size):
        return work / size + 3e-6 * size

    pace, sizes, chosen = _threads.Pace(), _threads.sizes_to_try(most), []
    for _ in range(40):
        size, trial = pace.choose(sizes)
        chosen.append((size, trial))
        pace.record(size, seconds(size), 0., trial)         # trials cost nothing here, so they are always due
    best = min(sizes, key=seconds)
    assert pace.best() == best and sizes == sorted({most, *(2**i for i in range(7) if 2**i < most)}, reverse=True)
    place = sizes.index(best)
    assert {size for size, _ in chosen[-10:]} == {*sizes[max(place - 1, 0):place], *sizes[place + 1:place + 2]}
    pace.trial_due = float("inf")
    assert pace.choose(sizes) == (best, False)


def test_blas_has_one_thread_while_the_first_to_come_is_inside():
    threadpoolctl = needs("threadpoolctl")
    needs("scipy.linalg.blas")

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    def inside():
        with _threads.one_blas_thread():
            entered.set()
            leave.wait(10)

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        entered, leave = threading.Event(), threading.Event()
        other = threading.Thread(target=inside)
        with _threads.one_blas_thread():
            assert threads() == {1}
            other.start()
            entered.wait(10)
            with _threads.one_blas_thread():
                pass
            assert threads() == {1}
        assert threads() == before
        leave.set()
        other.join()
        assert threads() == before
        with pytest.raises(ZeroDivisionError), _threads.one_blas_thread():
            raise ZeroDivisionError
        assert threads() == before
