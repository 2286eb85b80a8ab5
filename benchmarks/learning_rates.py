"""Does `find_learning_rate` suggest a rate that trains well?

    python -m benchmarks.learning_rates [--epochs 5]

Twenty new models on each of three data sets of scikit-learn.  The reference is a search: the same
model is trained at each rate of a grid of half decades.  A rate is good if it reaches 90 % of the
largest decrease of the training loss, and best if its loss is within 10 % of the lowest.  The
output has the factors between the suggestion and the nearest good and best rate, and between the
suggestion and the geometric mean of the lowest and highest good rate.
"""
import argparse

import numpy as np

import nnfast
from nnfast import optimizers

RATES = 10. ** np.arange(-6, 1.01, 0.5)
MODELS = [((64, 64), "relu", optimizers.Adam()), ((100,), "sigmoid", optimizers.Adam()),
          ((32,), "tanh", optimizers.Adam()),
          ((64, 32), "tanh", optimizers.SGD(momentum=0.9)), ((100,), "relu", optimizers.SGD(momentum=0.9)),
          ((30,), "sigmoid", optimizers.SGD()), ((128,), "relu", optimizers.RMSprop()),
          ((16,), "relu", optimizers.Adam()), ((64, 64, 64), "relu", optimizers.SGD()), ((), None, optimizers.Adam())]


def problems():
    """{name: (x, y, units, activation of the last layer, loss)}, standardised."""
    from sklearn import datasets
    from sklearn.preprocessing import scale

    loaders = datasets.load_digits, datasets.load_breast_cancer, datasets.load_diabetes
    digits, cancer, diabetes = (load(return_X_y=True) for load in loaders)
    return {"digits": (scale(digits[0]), digits[1], 10, "softmax", "sparse_categorical_crossentropy"),
            "breast_cancer": (scale(cancer[0]), cancer[1], 1, "sigmoid", "binary_crossentropy"),
            "diabetes": (scale(diabetes[0]), scale(diabetes[1]), 1, None, "mse")}


def fresh(widths, activation, optimizer, units, last, loss, seed, rate=None):
    """A compiled model with initial weights."""
    layers = [*(nnfast.Dense(width, activation) for width in widths), nnfast.Dense(units, last)]
    model = nnfast.Sequential(layers, seed=seed)
    model.compile(type(optimizer)(**{**vars(optimizer), "learning_rate": rate or optimizer.learning_rate}), loss)
    return model


def trained_losses(x, y, epochs, *model):
    """Training loss after `epochs` epochs at each of RATES; infinity where it diverges."""
    losses = []
    for rate in RATES:
        tried = fresh(*model, rate=rate)
        try:
            tried.fit(x, y, epochs=epochs, verbose=0)
            losses.append(tried.evaluate(x, y, verbose=0))
        except FloatingPointError:
            losses.append(np.inf)
    return np.array(losses)


def factor(rate, rates):
    """Factor between a rate and the nearest of `rates`; 1 within their range."""
    return max(rates.min() / rate, 1, rate / rates.max())


def main():
    """Prints a line for each model, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=5)
    epochs, table = parser.parse_args().epochs, []
    for name, (x, y, *task) in problems().items():
        for widths, activation, optimizer in MODELS:
            for seed in range(2):
                model = (widths, activation, optimizer, *task, seed)
                losses = trained_losses(x, y, epochs, *model)
                rate = nnfast.find_learning_rate(fresh(*model), x, y).suggestion
                good = RATES[losses <= losses.min() + 0.1 * (losses[0] - losses.min())]
                best = RATES[losses <= 1.1 * losses.min()]
                table.append((factor(rate, good), factor(rate, best), rate / np.sqrt(good.min() * good.max())))
                print(f"{name:13} {'-'.join(map(str, widths)) or 'linear':8} {activation or '':7} "
                      f"{type(optimizer).__name__:7} suggestion {rate:8.2g}   "
                      f"good {good.min():.2g} to {good.max():.2g}   best {best.min():.2g} to {best.max():.2g}")
    good, best, middle = np.transpose(table)
    print(f"{len(table)} models; beyond a factor of 5: {(good > 5).sum()} from a good rate (worst {good.max():.1f}), "
          f"{(best > 5).sum()} from a best one (worst {best.max():.1f}), "
          f"{((middle > 5) | (middle < 0.2)).sum()} from the middle of the good ones "
          f"({middle.min():.2f} to {middle.max():.2f} of it)")


if __name__ == "__main__":
    main()
