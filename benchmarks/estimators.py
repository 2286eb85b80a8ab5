"""python -m benchmarks.estimators: how fast are nnfast's estimators, compared with scikit-learn's?

MLPClassifier and MLPRegressor of both libraries on the same data, with the same epochs and
parameters; what the table does not name has its default.  Each runs on one thread and on all (BLAS
and n_threads), in turns, and the fastest fit of each counts.

`--many` times `fit_many` on one core and on all, against a loop over the same nets in PyTorch.  The
loop trains TORCH_NETS of them, and its time is scaled to all.
"""
import argparse
import time
import warnings

import numpy as np

from benchmarks.report import cpus, machine, meanwhile, others, restart, table
from benchmarks.suite.workloads import Workload

NETS, TORCH_NETS, EPOCHS = 100, 4, 3
NET = Workload((20, 64, 64, 2), 32, 5_000)


def cases():
    """(name, class, parameters, epochs, X, y) of each case."""
    from scipy.sparse import random as random_sparse
    from sklearn.datasets import load_diabetes, load_digits

    digits, labels = load_digits(return_X_y=True)
    yield "digits, float64", "MLPClassifier", {}, 20, digits / 16, labels
    yield "digits, float32", "MLPClassifier", {}, 20, (digits / 16).astype(np.float32), labels
    yield "digits, lbfgs", "MLPClassifier", {"solver": "lbfgs"}, 30, digits / 16, labels
    diabetes, target = load_diabetes(return_X_y=True)
    yield "diabetes", "MLPRegressor", {}, 50, diabetes, target
    rng = np.random.default_rng(0)
    pixels = rng.random((60_000, 784), dtype=np.float32)
    wide, labels = {"hidden_layer_sizes": (84,), "batch_size": 256}, rng.integers(0, 10, 60_000)
    yield "60,000 x 784, float32", "MLPClassifier", wide, 2, pixels, labels
    words = random_sparse(20_000, 20_000, 0.005, "csr", random_state=rng)
    labels = rng.integers(0, 2, 20_000)
    yield "20,000 x 20,000 sparse", "MLPClassifier", {"hidden_layer_sizes": (50,)}, 2, words, labels


def compare(repeats):
    """Table with a row for each case: milliseconds of an epoch of scikit-learn and of nnfast."""
    from sklearn import neural_network
    from threadpoolctl import threadpool_limits

    import nnfast

    rows = []
    for name, estimator, parameters, epochs, x, y in cases():
        best, losses = {}, {}
        for _ in range(repeats):
            for library, module in (("scikit-learn", neural_network), ("nnfast", nnfast)):
                for threads in sorted({1, len(cpus())}):
                    extra = {"n_threads": threads} if module is nnfast else {}
                    model = getattr(module, estimator)(max_iter=epochs, n_iter_no_change=epochs + 1, random_state=0,
                                                       **parameters, **extra)
                    with threadpool_limits(threads), warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        begin = time.perf_counter()
                        model.fit(x, y)
                        seconds = (time.perf_counter() - begin) / model.n_iter_
                    if seconds < best.get(library, (np.inf, 0))[0]:
                        best[library] = seconds, threads
                    losses[library] = model.loss_
        (theirs, their_threads), (ours, our_threads) = best["scikit-learn"], best["nnfast"]
        rows.append([name, f"{theirs * 1e3:.3f}", their_threads, f"{ours * 1e3:.3f}", our_threads,
                     f"{theirs / ours:.2f}", f"{losses['scikit-learn']:.6f}", f"{losses['nnfast']:.6f}"])
    return table(["", "scikit-learn, ms/epoch", "threads", "nnfast, ms/epoch", "threads", "ratio", "its loss",
                  "nnfast's loss"], rows)


def many(repeats):
    """Table of the seconds of NETS nets by `fit_many`, for each number of jobs, and by PyTorch."""
    import nnfast

    x, y = NET.data()
    best = {}
    for _ in range(repeats):
        for jobs in sorted({1, len(cpus())}):
            models = [NET.model(seed) for seed in range(NETS)]
            begin = time.perf_counter()
            nnfast.fit_many(models, x, y, fit_options={"epochs": EPOCHS, "batch_size": NET.batch_size}, n_jobs=jobs,
                            verbose=0)
            best[jobs] = min(best.get(jobs, np.inf), time.perf_counter() - begin)
    rows = [[f"nnfast, n_jobs={jobs}", f"{seconds:.3f}", f"{best[1] / seconds:.2f}"] for jobs, seconds in best.items()]
    try:
        theirs = torch_loop(x, y)
        rows.append(["PyTorch, a loop", f"{theirs:.1f}", f"{theirs / min(best.values()):.0f} times nnfast's time"])
    except ImportError:
        rows.append(["PyTorch, a loop", "not installed", ""])
    title = f"{NETS} nets {'-'.join(map(str, NET.widths))}, {NET.rows:,} rows, {EPOCHS} epochs"
    return table([title, "seconds", "speed-up"], rows)


def torch_loop(x, y):
    """Seconds of NETS nets in PyTorch, one after the other, with fused Adam.

    It has one thread, because more threads are slower for nets of this size.
    """
    import torch

    torch.set_num_threads(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    begin = time.perf_counter()
    for seed in range(TORCH_NETS):
        torch.manual_seed(seed)
        layers = []
        for n_in, n_out in NET.shapes:
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(NET.batch_size):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
    return (time.perf_counter() - begin) * NETS / TORCH_NETS


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimators", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", action="store_true")
    options = parser.parse_args()
    restart(None)
    begin = others()
    print(f"{machine()}\n\n{many(options.repeats) if options.many else compare(options.repeats)}\n\n{meanwhile(begin)}")


if __name__ == "__main__":
    main()
