"""scikit-learn's MLPClassifier, without its L2 penalty.

One call of `partial_fit` is one shuffled epoch; its checks of the data are in the time, as nnfast's are in `fit`.
Data stay float32, and so does all arithmetic.  Two classes are trained by one logistic output, a slightly smaller
network than the others'.
"""
import time

import numpy as np

from benchmarks.suite import workloads

NAME = "scikit-learn"
REQUIRES = ("sklearn",)
VARIANTS = ("partial_fit",)


def train(name, variant, threads, epochs):
    from sklearn.neural_network import MLPClassifier

    workload = workloads.WORKLOADS[name]
    x, y = workloads.data(name)
    classes = np.arange(workload.widths[-1])
    model = MLPClassifier(workload.widths[1:-1], solver="adam", alpha=0, batch_size=workload.batch_size,
                          learning_rate_init=workloads.LEARNING_RATE, random_state=0)
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        model.partial_fit(x, y, classes=classes)
        seconds.append(time.perf_counter() - begin)
    weights = [array for pair in zip(model.coefs_, model.intercepts_, strict=True) for array in pair]
    if len(classes) == 2:       # logits 0 and z say the same as the logistic function of z
        weights[-2:] = [np.pad(weights[-2], [(0, 0), (1, 0)]), np.pad(weights[-1], [(1, 0)])]
    return seconds, weights
