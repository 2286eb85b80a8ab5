"""python -m nnfast bench: how much of this machine does training use?

The peak is NumPy's best float32 product, on one thread and on all, measured in separate processes.
All benchmarks use these networks; `benchmarks/suite/workloads.py` imports them from here.
"""
import os
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

LEARNING_RATE = 1e-3
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
BAR = 20                        # characters of the bar at 100 %


class Workload(NamedTuple):
    """A network and its data.

    widths : units of the layers, the inputs first; relu between them
    rows : rows of an epoch
    loss : "crossentropy" of a softmax, or "mse"
    """

    widths: tuple
    batch_size: int
    rows: int
    loss: str = "crossentropy"
    dtype: str = "float32"

    @property
    def shapes(self):
        """(n_in, n_out) of each layer."""
        return list(zip(self.widths, self.widths[1:]))

    @property
    def flops(self):
        """Floating-point operations of the products of an epoch.

        There are three for each layer; the first has no delta W^T.
        """
        sizes = [n_in * n_out for n_in, n_out in self.shapes]
        return self.rows * (6 * sum(sizes) - 2 * sizes[0])

    def data(self):
        """x (rows, n_in), uniform in [0, 1), and y.

        y is the index of the largest of n_out random projections of x, or for "mse" their tanh.
        """
        rng = np.random.default_rng(0)
        n_in, n_out = self.widths[0], self.widths[-1]
        x = rng.random((self.rows, n_in), dtype=self.dtype)
        projections = rng.standard_normal((n_in, n_out), dtype=self.dtype)
        z = x @ projections - projections.sum(axis=0) / 2
        return x, np.tanh(z) if self.loss == "mse" else z.argmax(axis=1)

    def model(self, seed=0):
        """The compiled network."""
        from nnfast import Sequential, layers, optimizers

        *hidden, n_out = self.widths[1:]
        last = layers.Dense(n_out, activation="linear" if self.loss == "mse" else "softmax")
        hidden = [layers.Dense(n, activation="relu") for n in hidden]
        network = Sequential([layers.Input(self.widths[0]), *hidden, last], dtype=self.dtype, seed=seed)
        loss = "mse" if self.loss == "mse" else "sparse_categorical_crossentropy"
        network.compile(optimizers.Adam(LEARNING_RATE), loss)
        return network


WORKLOADS = {
    "mnist": Workload((784, 84, 10), 256, 60_000),
    "small": Workload((20, 64, 64, 2), 32, 20_000),
    "tiny": Workload((4, 16, 2), 32, 20_000),
    "mid": Workload((100, 256, 256, 10), 128, 20_000),
    "big": Workload((1024, 1024, 1024, 10), 512, 8_192),
}


def repeated(call, seconds, least=2):
    """Seconds of each call, measured for about `seconds`."""
    times, begin = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def peak(seconds=1.0, n=2048):
    """Highest rate of NumPy's (n, n) @ (n, n) in float32, in GFLOP/s."""
    a = np.random.default_rng(0).random((n, n), dtype=np.float32)
    out = np.empty_like(a)
    return 2 * n**3 / min(repeated(lambda: np.dot(a, a, out=out), seconds)) / 1e9


def peak_of(threads, seconds):
    """`peak` with this number of threads, in a new process.

    A BLAS reads the number of threads, and the CPU type that a user may have set, when it is
    loaded.
    """
    cpu_types = ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS")
    env = {name: value for name, value in os.environ.items() if name not in cpu_types}
    code = f"from nnfast._bench import peak; print(peak({seconds}))"
    done = subprocess.run([sys.executable, "-c", code], env=env | dict.fromkeys(POOLS, str(threads)),
                          capture_output=True, text=True, check=True)
    return float(done.stdout)


def bench(seconds=10.0):
    """Prints the peak and a line for each network, in about `seconds`, with the default threads."""
    from nnfast import __version__, _core, _threads
    from nnfast._config import cpu_model

    most, _ = _threads.most_threads(None)
    peaks = {threads: peak_of(threads, seconds / 12) for threads in sorted({1, most})}
    print(f"nnfast {__version__} on {cpu_model()}")
    print(f"CPU level {_core.LEVEL}, up to {most} thread{'s' * (most > 1)}; float32, Adam\n")
    rates = [f"{rate:,.0f} GFLOP/s on {threads} thread{'s' * (threads > 1)}" for threads, rate in peaks.items()]
    print(f"Peak, NumPy's 2048 x 2048 x 2048 product:  {',  '.join(rates)}\n")
    print(f"{'network':<26}{'batch':>6}{'rows':>8}{'ms/epoch':>10}{'us/step':>9}{'rows/s':>13}{'GFLOP/s':>9}"
          f"{'threads':>9}{'of their peak':>15}")
    for name, workload in WORKLOADS.items():
        x, y = workload.data()
        model = workload.model()

        def epoch(model=model, x=x, y=y, batch_size=workload.batch_size):
            model.fit(x, y, batch_size=batch_size, verbose=0)

        epoch()
        best = min(repeated(epoch, seconds / 8))
        threads = model._pace.best() or 1
        rate, steps = workload.flops / best / 1e9, -(-workload.rows // workload.batch_size)
        share = rate / peaks.get(threads, peaks[1] * threads)
        widths = "-".join(map(str, workload.widths))
        print(f"{name:<6}{widths:<20}{workload.batch_size:>6}{workload.rows:>8,}{best * 1e3:>10.2f}"
              f"{best / steps * 1e6:>9.1f}{workload.rows / best:>13,.0f}{rate:>9.1f}{threads:>9}{share:>15.0%}  "
              f"{'#' * round(BAR * share)}")
    print("\nThe fastest of several epochs, shuffled, with all checks of the data.  GFLOP/s counts only the products.")
