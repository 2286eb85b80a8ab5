"""python -m benchmarks.estimator_scores: do nnfast's estimators score like scikit-learn's?

Each seed sets the split into rows to train on and rows to score, the initial weights and the
shuffling.  The table has mean ± standard deviation over the seeds of accuracy or R^2 on the
held-out rows: of scikit-learn's estimator, and of nnfast's in float64 and in float32.

The data come with the libraries.  The texts are the docstrings of SciPy's functions, and the class
of each is its subpackage.
"""
import argparse
import importlib
import re
import warnings

import numpy as np

from benchmarks.report import machine, table

SUBPACKAGES = (
    "fft", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "spatial", "special", "stats")
LENGTH = 600                    # characters of each docstring


def docstrings():
    """Docstrings of SciPy's functions without package names, and the index of each subpackage."""
    texts = {}
    for label, name in enumerate(SUBPACKAGES):
        module = importlib.import_module(f"scipy.{name}")
        for function in sorted(set(module.__all__)):
            text = getattr(getattr(module, function), "__doc__", None) or ""
            text = re.sub(rf"scipy|numpy|\bnp\b|{'|'.join(SUBPACKAGES)}", " ", text[:LENGTH])
            if len(text) > 100:
                texts.setdefault(text, label)
    return list(texts), np.array(list(texts.values()))


def cases():
    """(name, class, its parameters, X, y) of each case; dense X is scaled by `scores`."""
    from sklearn import datasets
    from sklearn.feature_extraction.text import TfidfVectorizer

    yield "iris", "MLPClassifier", {"max_iter": 300}, *datasets.load_iris(return_X_y=True)
    yield "digits", "MLPClassifier", {"max_iter": 60}, *datasets.load_digits(return_X_y=True)
    yield "digits, lbfgs", "MLPClassifier", {"solver": "lbfgs", "max_iter": 60}, *datasets.load_digits(return_X_y=True)
    diabetes = datasets.load_diabetes(return_X_y=True)
    small = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.01, "max_iter": 200}
    yield "diabetes", "MLPRegressor", small, *diabetes
    texts, labels = docstrings()
    words = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(texts)
    yield "docstrings, sparse", "MLPClassifier", {"hidden_layer_sizes": (30,), "max_iter": 30}, words, labels
    multilabel = datasets.make_multilabel_classification(1000, random_state=0)
    yield "multilabel", "MLPClassifier", {"max_iter": 100}, *multilabel


def scores(module, name, parameters, x, y, seed, dtype):
    """Score on a quarter of the rows, after training on the others."""
    from scipy.sparse import issparse
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    train, held_out, y, truth = train_test_split(x, y, random_state=seed)
    if not issparse(x):
        scaler = StandardScaler().fit(train)
        train, held_out = scaler.transform(train), scaler.transform(held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(module, name)(random_state=seed, **parameters).fit(train.astype(dtype), y)
        return model.score(held_out.astype(dtype), truth)


def compare(seeds):
    """Table with a row for each case.

    A case is within the noise if each mean of nnfast is within two standard errors of the
    difference from scikit-learn's.
    """
    from sklearn import neural_network

    import nnfast

    rows = []
    for name, kind, parameters, x, y in cases():
        forms = (neural_network, np.float64), (nnfast, np.float64), (nnfast, np.float32)
        found = np.array([[scores(module, kind, parameters, x, y, seed, dtype) for seed in range(seeds)]
                          for module, dtype in forms])
        shown = [f"{row.mean():.4f} ± {row.std(ddof=1):.4f}" for row in found]
        noise = found[0].std(ddof=1) * np.sqrt(2 / seeds)
        within = (np.abs(found[1:].mean(axis=1) - found[0].mean()) <= 2 * noise).all()
        rows.append([name, f"{x.shape[0]:,} x {x.shape[1]:,}", *shown, f"{np.abs(found[1] - found[0]).max():.0e}",
                     "yes" if within else "NO"])
    return table(["", "rows x columns", "scikit-learn", "nnfast, float64", "nnfast, float32", "furthest seed, float64",
                  "within noise"], rows)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimator_scores", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"{machine()}\n\n{compare(options.seeds)}")


if __name__ == "__main__":
    main()
