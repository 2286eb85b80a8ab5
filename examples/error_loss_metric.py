"""Error, loss, gradient, metric: four words, and the effect of each on training.

It prints:

    1. Four predictions
       error = prediction - truth, a vector: [-4.  2. -2.  4.]
       loss, one number:                     mean squared error 10.0
       gradient, what training starts from:  [-2.  1. -1.  2.]

    2. Two other predictions of the same truth [0, 1, 2, 3]: which is better?  The loss decides.
                                      [-2, 3, 0, 5]  [0, 1, 2, 10]
       mean squared error                         4          12.25   first
       quantile 0.95                              1         0.0875   second
       own loss: never below                    202          12.25   second
       If predictions must not be below the truth, the second is better.
       The mean squared error cannot express this; the two other losses do.

    3. A manual loop starts from error * a * (1 - a), so its loss is half the sum of squares
       nnfast with MeanSquaredError does the same 50 steps: weights differ by less than 1e-12: True

    4. Another loss gives another training: one sigmoid unit, the same start, the same data
       trained with         distance of weights   squared  absolute  cross-entropy  accuracy
       MeanSquaredError                    0.00    0.1600    0.3221         0.4810     0.750
       MeanAbsoluteError                   4.36    0.1904    0.2555         0.7559     0.760
       BinaryCrossentropy                  0.10    0.1602    0.3190         0.4805     0.752
       Each is the best by its own loss; distances are from the weights of the first row.

    5. A metric is only reported: weights with three metrics and with none are the same bits: True

    6. Training for predictions that are not below the truth: the share that is below
       mean squared error             49.8%
       quantile 0.95                   5.5%
       own loss: never below           6.5%
"""
import numpy as np

import nnfast
from nnfast.layers import Dense, Input
from nnfast.losses import BinaryCrossentropy, MeanAbsoluteError, MeanSquaredError, Quantile
from nnfast.optimizers import SGD, Adam


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def never_below(y_true, y_pred):
    """A custom loss: the squared error, 100 times as large where the prediction is below the truth.

    It returns a value for each row and its gradient.
    """
    error = y_pred - y_true
    weight = np.where(error < 0, 100.0, 1.0)
    return np.mean(weight * error**2, axis=-1), 2 * weight * error / error.shape[-1]


def worked_numbers():
    """Prints error, loss and gradient of four predictions; three losses compare two others."""
    prediction, truth = np.array([-4.0, 3, 0, 7]), np.array([0.0, 1, 2, 3])
    squares = MeanSquaredError()
    print("1. Four predictions")
    print("   error = prediction - truth, a vector:", prediction - truth)
    print("   loss, one number:                     mean squared error", squares(truth, prediction))
    print("   gradient, what training starts from: ", squares.gradient(truth, prediction))
    print("\n2. Two other predictions of the same truth [0, 1, 2, 3]: which is better?  The loss decides.")
    low, high = np.array([-2.0, 3, 0, 5]), np.array([0.0, 1, 2, 10])
    print(f"   {'':<30}{'[-2, 3, 0, 5]':>14}{'[0, 1, 2, 10]':>15}")
    table = {}
    for name, loss in [("mean squared error", squares), ("quantile 0.95", Quantile(0.95)),
                       ("own loss: never below", lambda y, p: float(never_below(y, p)[0]))]:
        table[name] = loss(truth, low), loss(truth, high)
        better = "first" if table[name][0] < table[name][1] else "second"
        print(f"   {name:<30}{table[name][0]:>14.4g}{table[name][1]:>15.4g}   {better}")
    print('   If predictions must not be below the truth, the second is better.')
    print('   The mean squared error cannot express this; the two other losses do.')
    return {"error": prediction - truth, "loss": squares(truth, prediction), "table": table}


def hidden_loss(iterations=50, lr=0.5, n_outputs=3):
    """Trains with a manual loop and with nnfast; returns the largest difference of their weights.

    The loop computes no loss, but it has one: `e1 * a2 * (1 - a2)` is the gradient of half the sum
    of squares.  MeanSquaredError is a mean over outputs, without the factor 1/2, so its gradient is
    2 / n_outputs times that of the loop.  The learning rate for the same steps is lr * n_outputs /
    2.
    """
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 4)), rng.random((200, n_outputs))
    layers = [Input(4), Dense(6, "sigmoid", use_bias=False), Dense(n_outputs, "sigmoid", use_bias=False)]
    model = nnfast.Sequential(layers, dtype="float64", seed=1)
    model.compile(SGD(lr * n_outputs / 2), MeanSquaredError())
    w1, w2 = model.get_weights()
    rows, difference = len(x), 0.0
    for _ in range(iterations):
        a1 = sigmoid(x @ w1)
        a2 = sigmoid(a1 @ w2)
        e1 = a2 - y                                 # the error
        d2 = e1 * a2 * (1 - a2)                     # the loss is hidden here
        d1 = (d2 @ w2.T) * a1 * (1 - a1)
        w2 -= lr * a1.T @ d2 / rows
        w1 -= lr * x.T @ d1 / rows
        model.train_on_batch(x, y)
        for w, expected in zip(model.get_weights(), (w1, w2)):
            difference = max(difference, np.abs(w - expected).max())
    print(f"\n3. A manual loop starts from error * a * (1 - a), so its loss is half the sum of squares\n"
          f"   nnfast with MeanSquaredError does the same {iterations} steps: weights differ by less than 1e-12: "
          f"{difference < 1e-12}")
    return difference


def train(loss, metrics=None, epochs=500):
    """Trains one unit, always from the same start on the same data, with a loss and metrics."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 4))
    y = (x[:, :1] + x[:, 1:2] + rng.standard_normal((400, 1)) > 0).astype(float)
    model = nnfast.Sequential([Input(4), Dense(1, "sigmoid")], dtype="float64", seed=1)
    model.compile(SGD(1.0), loss, metrics=metrics)
    model.fit(x, y, batch_size=len(x), epochs=epochs, verbose=0)
    return model, x, y


def three_losses():
    """Trains with three losses; returns weights and scores."""
    print(f"\n4. Another loss gives another training: one sigmoid unit, the same start, the same data\n"
          f"   {'trained with':<20}{'distance of weights':>20}{'squared':>10}{'absolute':>10}"
          f"{'cross-entropy':>15}{'accuracy':>10}")
    result = {}
    for loss in (MeanSquaredError(), MeanAbsoluteError(), BinaryCrossentropy()):
        model, x, y = train(loss)
        name, p = type(loss).__name__, model.predict(x)
        first = next(iter(result.values()))["weights"] if result else model.params
        scores = [judge(y, p) for judge in (MeanSquaredError(), MeanAbsoluteError(), BinaryCrossentropy())]
        accuracy = float(((p > 0.5) == y).mean())
        result[name] = {"weights": model.params.copy(), "scores": scores, "accuracy": accuracy}
        print(f"   {name:<20}{np.linalg.norm(model.params - first):>20.2f}{scores[0]:>10.4f}{scores[1]:>10.4f}"
              f"{scores[2]:>15.4f}{accuracy:>10.3f}")
    print("   Each is the best by its own loss; distances are from the weights of the first row.")
    return result


def metrics_change_nothing():
    """Whether the weights are the same bits with metrics and without."""
    without, _, _ = train("mse")
    with_metrics, _, _ = train("mse", metrics=["mae", "rmse", "accuracy"])
    same = np.array_equal(without.params, with_metrics.params)
    print(f"\n5. A metric is only reported: weights with three metrics and with none are the same bits: {same}")
    return same


def never_below_the_truth(epochs=400):
    """Shares of predictions below the truth after training with symmetric and asymmetric losses."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 1))
    y = np.sin(3 * x) + 0.2 * rng.standard_normal(x.shape)
    print("\n6. Training for predictions that are not below the truth: the share that is below")
    shares = {}
    for name, loss in [("mean squared error", "mse"), ("quantile 0.95", Quantile(0.95)),
                       ("own loss: never below", never_below)]:
        model = nnfast.Sequential([Input(1), Dense(16, "tanh"), Dense(1)], dtype="float64", seed=1)
        model.compile(Adam(0.02), loss)
        model.fit(x, y, batch_size=len(x), epochs=epochs, verbose=0)
        shares[name] = float((model.predict(x) < y).mean())
        print(f"   {name:<30}{shares[name]:>6.1%}")
    return shares


def main():
    return {"numbers": worked_numbers(), "difference": hidden_loss(), "losses": three_losses(),
            "metrics": metrics_change_nothing(), "below": never_below_the_truth()}


if __name__ == "__main__":
    main()
