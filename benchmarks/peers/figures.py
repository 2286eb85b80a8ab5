"""How much of the machine does nnfast use?

Shown are its rate on one thread against the BLAS's best, and the gain of a second thread.  The
peak of the machine is NumPy's best rate, measured again for every network.  A share above 100 %
means that NumPy's BLAS did not reach the peak of this CPU.
"""
import sys

from benchmarks.peers.measure import in_process
from benchmarks.report import table
from benchmarks.suite.workloads import WORKLOADS


def report(names, rounds):
    """Measures in turns; returns the peak and a Markdown table."""
    peak, best = 0.0, {}
    for number in range(rounds):
        for name in names:
            peak = max(peak, in_process(1, "peak"))
            for threads in (1, 2):
                print(f"round {number + 1} of {rounds}: {name}, {threads}", file=sys.stderr)
                seconds = min(in_process(threads, "nnfast", "fit", threads, name)["seconds"])
                best[name, threads] = min(seconds, best.get((name, threads), seconds))
    rows = []
    for name in names:
        one, two = best[name, 1], best[name, 2]
        rate = WORKLOADS[name].flops / one / 1e9
        rows.append([name, f"{one * 1e3:.2f}", f"{rate:.1f}", f"{rate / peak:.0%}",
                     f"{two * 1e3:.2f}", f"{one / two:.2f}"])
    header = ["network", "ms, 1 thread", "GFLOP/s", "share of peak", "ms, 2 threads", "gain of 2 threads"]
    return f"Peak, NumPy's 2048^3 float32 product on one thread: {peak:.1f} GFLOP/s.\n\n{table(header, rows)}"
