"""One measurement in a process of its own.

    python -m benchmarks.peers.measure torch fused 1 mnist      one library: epochs, loss, versions
    python -m benchmarks.peers.measure peak                     this machine: NumPy's best float32 rate

`in_process` is the caller's side of it.
"""
import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks.peers import EPOCHS
from benchmarks.report import environment
from benchmarks.suite import workloads

ROOT = Path(__file__).resolve().parents[2]


def in_process(threads, *arguments):
    """What a fresh process measures with so many threads; RuntimeError if it fails."""
    process = subprocess.run([sys.executable, "-m", "benchmarks.peers.measure", *map(str, arguments)],
                             cwd=ROOT, env=environment(threads), capture_output=True, text=True)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {last[0]}")
    return json.loads(process.stdout.splitlines()[-1])


def epochs(library, variant, threads, name):
    module = import_module(f"benchmarks.peers.{library}_")
    workloads.data(name)
    seconds, weights = module.train(name, variant, threads, EPOCHS)
    versions = {required: sys.modules[required].__version__ for required in module.REQUIRES}
    return {"seconds": seconds, "loss": workloads.loss(name, weights), "versions": versions}


def peak(n=2048, repeats=10):
    """Best rate of NumPy's n^3 product, in GFLOP/s."""
    import numpy as np

    a = np.random.default_rng(0).random((n, n), dtype=np.float32)
    out = np.empty_like(a)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        np.dot(a, a, out=out)
        seconds.append(time.perf_counter() - begin)
    return 2 * n**3 / min(seconds) / 1e9


if __name__ == "__main__":
    if sys.argv[1] == "peak":
        print(json.dumps(peak()))
    else:
        library, variant, threads, name = sys.argv[1:]
        print(json.dumps(epochs(library, variant, int(threads), name)))
