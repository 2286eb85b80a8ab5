"""scikit-learn's MLPClassifier and MLPRegressor, without their L2 penalty.

One call of `partial_fit` is one shuffled epoch; its checks of the data are in the time, like
nnfast's in `fit`.  Variants are the dtype of the data, and so of all arithmetic.  Two classes have
one logistic output, so the network is slightly smaller than the others'.
"""
import numpy as np

from benchmarks.peers import timed
from benchmarks.suite import workloads

NAME = "scikit-learn"
REQUIRES = ("sklearn",)
VARIANTS = ("float32", "float64")


def prepare(name, variant, threads):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    workload = workloads.find(name)
    regression, n_out = workload.loss == "mse", workload.widths[-1]
    x, y = workloads.data(name)
    x = x.astype(variant, copy=False)
    if regression:
        y = y.astype(variant, copy=False).reshape(-1, n_out) if n_out > 1 else y.astype(variant).ravel()
    model = (MLPRegressor if regression else MLPClassifier)(
        hidden_layer_sizes=workload.widths[1:-1], solver="adam", alpha=0, batch_size=workload.batch_size,
        learning_rate_init=workloads.LEARNING_RATE, random_state=0)
    classes = {} if regression else {"classes": np.arange(n_out)}

    def weights():
        arrays = [array for pair in zip(model.coefs_, model.intercepts_, strict=True) for array in pair]
        if not regression and n_out == 2:       # softmax of (0, z) is the logistic function of z
            arrays[-2:] = [np.pad(arrays[-2], [(0, 0), (1, 0)]), np.pad(arrays[-1], [(1, 0)])]
        return arrays

    return timed(lambda: model.partial_fit(x, y, **classes)), weights
