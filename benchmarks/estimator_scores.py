"""python -m benchmarks.estimator_scores: are the scores of nnfast's estimators those of scikit-learn's?

Five seeds for the split into rows to train on and to score, the first weights and the shuffles: mean ± standard deviation
of accuracy or R^2 on the rows held out, of scikit-learn's estimator and of nnfast's in float64 and in float32.  The data
come with the libraries; the texts are the docstrings of SciPy's functions, to be told apart by their subpackage.
"""
import argparse
import importlib
import re
import warnings

import numpy as np

from benchmarks.report import machine, table

SUBPACKAGES = ("fft", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "spatial", "special", "stats")
LENGTH = 600                    # characters of each docstring


def docstrings():
    """Texts of SciPy's functions, without the names of packages, and the places of their subpackages."""
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
    """Name, the class's name, its parameters, X (dense ones are scaled by the rows trained on) and y of each."""
    from sklearn import datasets
    from sklearn.feature_extraction.text import TfidfVectorizer

    yield "iris", "MLPClassifier", {"max_iter": 300}, *datasets.load_iris(return_X_y=True)
    yield "digits", "MLPClassifier", {"max_iter": 60}, *datasets.load_digits(return_X_y=True)
    yield "digits, lbfgs", "MLPClassifier", {"solver": "lbfgs", "max_iter": 60}, *datasets.load_digits(return_X_y=True)
    diabetes = datasets.load_diabetes(return_X_y=True)
    yield "diabetes", "MLPRegressor", {"hidden_layer_sizes": (20,), "learning_rate_init": 0.01, "max_iter": 200}, *diabetes
    texts, labels = docstrings()
    words = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(texts)
    yield "docstrings, sparse", "MLPClassifier", {"hidden_layer_sizes": (30,), "max_iter": 30}, words, labels
    yield "multilabel", "MLPClassifier", {"max_iter": 100}, *datasets.make_multilabel_classification(1000, random_state=0)


def scores(module, name, parameters, x, y, seed, dtype):
    """The score on a quarter of the rows."""
    from scipy.sparse import issparse
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    train, held_out, y, truth = train_test_split(x, y, random_state=seed)
    if not issparse(x):
        scaler = StandardScaler().fit(train)
        train, held_out = scaler.transform(train), scaler.transform(held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(module, name)(random_state=seed, **parameters).fit(train.astype(dtype), y).score(held_out.astype(dtype), truth)


def compare(seeds):
    """A row for each case, and whether all means lie within the noise: a standard error of the difference, twice."""
    from sklearn import neural_network

    import nnfast

    rows = []
    for name, kind, parameters, x, y in cases():
        found = np.array([[scores(module, kind, parameters, x, y, seed, dtype) for seed in range(seeds)]
                          for module, dtype in ((neural_network, np.float64), (nnfast, np.float64), (nnfast, np.float32))])
        shown = [f"{row.mean():.4f} ± {row.std(ddof=1):.4f}" for row in found]
        noise = found[0].std(ddof=1) * np.sqrt(2 / seeds)
        rows.append([name, f"{x.shape[0]:,} x {x.shape[1]:,}", *shown, f"{np.abs(found[1] - found[0]).max():.0e}",
                     "yes" if (np.abs(found[1:].mean(axis=1) - found[0].mean()) <= 2 * noise).all() else "NO"])
    return table(["", "rows x columns", "scikit-learn", "nnfast, float64", "nnfast, float32", "furthest seed, float64", "within noise"], rows)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimator_scores", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"{machine()}\n\n{compare(options.seeds)}")


if __name__ == "__main__":
    main()
