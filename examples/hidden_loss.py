"""Where is the loss in a network coded by hand?  Hidden in its first gradient.

The loop below never computes a loss, yet it has one: `E1 * A2 * (1 - A2)` is the gradient of half the sum of squares.
nnfast follows it step for step with MeanSquaredError.  That is a mean over outputs, without the half, so its gradient
is 2 / n_outputs times the loop's: the learning rate is lr * n_outputs / 2.
"""
import numpy as np

import nnfast
from nnfast.layers import Dense


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def main(iterations=50, lr=0.5, n_outputs=3):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 4)), rng.random((200, n_outputs))
    model = nnfast.Sequential([Dense(6, "sigmoid", use_bias=False), Dense(n_outputs, "sigmoid", use_bias=False)], dtype="float64", seed=1)
    model.compile(nnfast.optimizers.SGD(lr * n_outputs / 2), nnfast.losses.MeanSquaredError())
    model.build((None, 4))
    w1, w2 = model.get_weights()

    rows = len(x)
    for _ in range(iterations):
        a1 = sigmoid(x @ w1)
        a2 = sigmoid(a1 @ w2)
        e1 = a2 - y                                 # the error
        d2 = e1 * a2 * (1 - a2)                     # the loss is here
        d1 = (d2 @ w2.T) * a1 * (1 - a1)
        w2 -= lr * a1.T @ d2 / rows
        w1 -= lr * x.T @ d1 / rows
        model.train_on_batch(x, y)

    ours = model.get_weights()
    difference = max(np.abs(ours[0] - w1).max(), np.abs(ours[1] - w2).max())
    print(f"after {iterations} iterations the weights differ by {difference:.1e}")
    return difference


if __name__ == "__main__":
    main()
