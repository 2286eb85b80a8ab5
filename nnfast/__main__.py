"""python -m nnfast demo | bench | info"""
import argparse
import copy
import sys
import time
import warnings

import numpy as np

EPOCHS = 20
BATCH_SIZE = 64


def digits():
    """scikit-learn's 1,797 handwritten digits as 28 x 28 images of pixels 0-255, split for a test.

    Each pixel of the 8 x 8 images becomes 3 x 3 pixels, and the border is 0.
    """
    from nnfast._extras import extra

    with extra("demo", needed_by="what trains on handwritten digits"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = np.zeros((len(bunch.images), 28, 28), np.uint8)
    images[:, 2:26, 2:26] = np.kron(bunch.images / 16 * 255, np.ones((3, 3)))
    return train_test_split(images, bunch.target, test_size=0.2, random_state=0, stratify=bunch.target)


def train_nnfast(train_x, test_x, train_y, test_y):
    """Trains the network of the README on the digits; returns seconds, threads and accuracy."""
    import nnfast
    from nnfast.layers import Dense, Flatten
    from nnfast.losses import SparseCategoricalCrossentropy

    model = nnfast.Sequential([Flatten(), Dense(84, activation="relu"), Dense(10, activation="softmax")], seed=0)
    model.compile(optimizer="adam", loss=SparseCategoricalCrossentropy(), metrics="acc")
    model.fit(train_x, train_y, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=1, validation_data=(test_x, test_y))
    model.summary()

    # The same training again, timed without progress bar and validation.
    silent = nnfast.Sequential(map(copy.copy, model.layers), seed=0)
    silent.compile(optimizer="adam", loss=SparseCategoricalCrossentropy())
    silent.build((None, 28, 28))
    begin = time.perf_counter()
    silent.fit(train_x, train_y, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
    seconds = time.perf_counter() - begin
    threads = silent._pace.best() or 1
    return seconds, threads, float((silent.predict(test_x).argmax(axis=1) == test_y).mean())


def train_sklearn(train_x, test_x, train_y, test_y):
    """Trains the same network with scikit-learn's MLPClassifier; returns what `train_nnfast` does.

    It has one BLAS thread, which is its fastest for a network of this size.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    flat_train, flat_test = (x.reshape(len(x), -1).astype(np.float32) for x in (train_x, test_x))
    model = MLPClassifier((84,), batch_size=BATCH_SIZE, max_iter=EPOCHS, n_iter_no_change=EPOCHS, alpha=0,
                          random_state=0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.perf_counter()
        model.fit(flat_train, train_y)
        seconds = time.perf_counter() - begin
    return seconds, 1, float(model.score(flat_test, test_y))


def demo():
    """Trains 784-84-10 on real digits with nnfast and with scikit-learn, and prints both."""
    try:
        data = digits()
    except ImportError as error:
        sys.exit(str(error))
    import sklearn

    from nnfast import _core

    rows = len(data[0]) * EPOCHS
    flops = rows * (6 * (784 * 84 + 84 * 10) - 2 * 784 * 84)
    print(f"784-84-10 on {len(data[0])} handwritten digits of raw pixels 0-255, batch {BATCH_SIZE}, "
          f"{EPOCHS} epochs\n")
    ours, theirs = train_nnfast(*data), train_sklearn(*data)
    print(f"\n{'':<20}{'nnfast':>14}{'scikit-learn ' + sklearn.__version__:>22}")
    for name, text in [("training", "{s:.3f} s"), ("validation accuracy", "{accuracy:.3f}"),
                       ("rows per second", "{rate:,.0f}"), ("GFLOP/s", "{speed:.1f}"), ("threads", "{threads}")]:
        cells = [text.format(s=s, threads=t, accuracy=a, rate=rows / s, speed=flops / s / 1e9)
                 for s, t, a in (ours, theirs)]
        print(f"{name:<20}{cells[0]:>14}{cells[1]:>22}")
    print(f"{'CPU level':<20}{_core.LEVEL:>14}")
    print(f"\nnnfast is {theirs[0] / ours[0]:.1f} times as fast here.")


def main(arguments=None):
    """Runs the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m nnfast",
                                     description="nnfast: dense neural networks, trained fast on a CPU.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="train on real digits, and compare with scikit-learn")
    bench = commands.add_parser("bench", help="how much of this machine's peak five networks use, in ten seconds")
    bench.add_argument("--seconds", type=float, default=10.0, help="roughly (default: %(default)s)")
    commands.add_parser("info", help="version, compiler, CPU level, threads")
    options = parser.parse_args(arguments)
    if options.command == "demo":
        demo()
    elif options.command == "bench":
        from nnfast._bench import bench

        bench(options.seconds)
    else:
        from nnfast import show_config

        show_config()


if __name__ == "__main__":
    main()
