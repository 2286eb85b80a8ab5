r"""Loss functions: their values, their curves, and training with them.

    pip install -e ".[examples]"                            # in the clone
    python examples/loss_functions.py                       # values, training on digits
    python examples/loss_functions.py --plots pictures      # also writes the curves as PNG files
    python examples/loss_functions.py \
        --train-images train-images-idx3-ubyte.gz --train-labels train-labels-idx1-ubyte.gz \
        --test-images t10k-images-idx3-ubyte.gz --test-labels t10k-labels-idx1-ubyte.gz    # MNIST

The values it prints first:

    truth [1, 0], prediction [2, 3]; then classes [1, 0] with 0.75 for the right one each time
        mean absolute error                 2.0000000
        mean squared error                  5.0000000
        root mean squared error (a metric)  2.2360680
        categorical cross-entropy           0.2876821
        the same from integer labels        0.2876821
        the same from logits                0.2876821
        binary cross-entropy                0.2876821
    The second error is 3, the first 1.  It makes 75% of the absolute and 90% of the squared error.
    Every cross-entropy is -log 0.75: one-hot or integers, probabilities or logits, 2 classes or 3.
"""
import argparse
from pathlib import Path

import numpy as np

import nnfast
from nnfast.datasets import load_idx
from nnfast.layers import Dense, Flatten, Input
from nnfast.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)


def values():
    """Prints the values of the common losses; returns them."""
    truth, prediction = [1.0, 0.0], [2.0, 3.0]
    one_hot, labels, p = [[0, 1, 0], [1, 0, 0]], [1, 0], [[0.15, 0.75, 0.1], [0.75, 0.15, 0.1]]
    model = nnfast.Sequential([Input(1), Dense(1, use_bias=False, kernel_initializer="ones")])     # predicts its input
    model.compile("sgd", "mse", metrics="rmse")
    mse, rmse = model.evaluate([[2.0], [3.0]], [[1.0], [0.0]], verbose=0)
    table = {
        "mean absolute error": MeanAbsoluteError()(truth, prediction),
        "mean squared error": MeanSquaredError()(truth, prediction),
        "root mean squared error (a metric)": rmse,
        "categorical cross-entropy": CategoricalCrossentropy()(one_hot, p),
        "the same from integer labels": SparseCategoricalCrossentropy()(labels, p),
        "the same from logits": SparseCategoricalCrossentropy(from_logits=True)(labels, np.log(p)),
        "binary cross-entropy": BinaryCrossentropy()([[1.0], [0.0]], [[0.75], [0.25]]),
    }
    error = np.subtract(prediction, truth)
    shares = abs(error[1]) / abs(error).sum(), error[1]**2 / (error**2).sum()
    print("truth [1, 0], prediction [2, 3]; then classes [1, 0] with 0.75 for the right one each time")
    for name, value in table.items():
        print(f"    {name:<36}{value:.7f}")
    print(f"The second error is 3, the first 1.  It makes {shares[0]:.0%} of the absolute and {shares[1]:.0%} "
          f"of the squared error.")
    print("Every cross-entropy is -log 0.75: one-hot or integers, probabilities or logits, 2 classes or 3.")
    return {"values": table, "shares": shares, "mse": mse}


def draw(folder):
    """Saves the curves as PNG files: one for each loss, and losses.png, which compares them."""
    import matplotlib.pyplot as plt

    from nnfast.plotting import plot_loss, plot_losses

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for loss in (MeanAbsoluteError(), MeanSquaredError(), Huber(), CategoricalCrossentropy()):
        figure = plot_loss(loss)[0].figure
        files.append(folder / f"{type(loss).__name__}.png")
        figure.savefig(files[-1], dpi=100)
        plt.close(figure)
    figure, axes = plt.subplots(2, 2, figsize=(9.6, 7.2), layout="constrained")
    plot_losses([MeanSquaredError(), MeanAbsoluteError(), Huber()], axes=axes[0])
    plot_loss(CategoricalCrossentropy(), axes=axes[1])
    files.append(folder / "losses.png")
    figure.savefig(files[-1], dpi=100)
    plt.close(figure)
    return files


def train(train_x, test_x, train_y, test_y, epochs):
    """Trains the network of the README on raw pixels and integer labels; returns the history."""
    layers = [Flatten(), Dense(84, activation="relu"), Dense(10, activation="softmax")]
    model = nnfast.Sequential(layers, seed=0)
    model.compile(optimizer="adam", loss=SparseCategoricalCrossentropy(), metrics="acc")
    history = model.fit(train_x, y=train_y, batch_size=256, epochs=epochs, validation_data=(test_x, test_y))
    model.summary()
    wrong = int((model.predict(test_x).argmax(axis=1) != test_y).sum())
    print(f"{wrong} of {len(test_y)} test digits are classified wrongly.")
    return history


def main(epochs=10, plots=None, train_images=None, train_labels=None, test_images=None, test_labels=None):
    result = values()
    files = [train_images, test_images, train_labels, test_labels]
    if any(files) and not all(files):
        raise SystemExit("Give all four of --train-images, --train-labels, --test-images and --test-labels, or none.")
    if all(files):
        data = [load_idx(file) for file in files]
    else:
        from nnfast.__main__ import digits

        data = digits()
    print(f"\nTraining on {len(data[0])} images of {data[0].shape[1]} x {data[0].shape[2]} raw pixels")
    result["history"] = train(*data, epochs)
    if plots is not None:
        result["files"] = draw(plots)
        import matplotlib.pyplot as plt

        from nnfast.plotting import plot_history

        figure = plot_history(result["history"])[0].figure
        result["files"].append(Path(plots) / "training.png")
        figure.savefig(result["files"][-1], dpi=100)
        plt.close(figure)
        print(f"Plots: {', '.join(map(str, result['files']))}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Loss functions: values, curves and training.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--plots", metavar="DIR", help="folder for the curves as PNG files")
    for name in ("train-images", "train-labels", "test-images", "test-labels"):
        parser.add_argument(f"--{name}", metavar="IDX", help="IDX file, compressed or not")
    main(**vars(parser.parse_args()))
