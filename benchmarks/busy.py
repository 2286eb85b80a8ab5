"""python -m benchmarks.busy: what happens when training shares the machine?

    epochs     on one thread, two, and the default: on an idle machine, and beside a process that
               keeps one CPU busy
    threads    speed of pure Python in a thread while another thread is in `fit`, or waits
    two fits   two models trained at once in two threads, one thread each, against one model

Idle and busy take turns.  Medians are shown: the fastest epoch of a busy machine is the one in
which the other process slept.
"""
import argparse
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext

from benchmarks.report import cpus, machine, meanwhile, others, table
from benchmarks.suite import workloads

BUSY = """
import os, sys
if sys.argv[1:]:
    os.sched_setaffinity(0, {int(sys.argv[1])})
print(flush=True)
while True:
    pass
"""
TEAMS = (1, 2, None)


@contextmanager
def busy_process():
    """Runs a process that keeps the last CPU busy, or any CPU if processes cannot be pinned."""
    cpu = [str(cpus()[-1])] if sys.platform == "linux" else []
    process = subprocess.Popen([sys.executable, "-c", BUSY, *cpu], stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def seconds(call):
    """Seconds of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def epochs_of(model, name, span=0.2):
    """Number of epochs whose fit takes about `span` seconds, many time slices of the system."""
    return max(1, int(span / seconds(lambda: workloads.fit(model, name, 1))))


def epochs(name, rounds):
    """Median milliseconds of an epoch: idle for each of TEAMS, then busy for each."""
    model = workloads.model(name)
    count = epochs_of(model, name)
    times = {(busy, team): [] for busy in (False, True) for team in TEAMS}
    for _ in range(rounds):
        for busy in (False, True):
            with busy_process() if busy else nullcontext():
                for team in TEAMS:
                    times[busy, team].append(seconds(lambda team=team: workloads.fit(model, name, team, count)) / count)
    return [1e3 * statistics.median(of) for of in times.values()]


def python_speed(span):
    """Iterations of a pure-Python loop per second, measured for `span` seconds."""
    begin = time.perf_counter()
    count = 0
    while time.perf_counter() - begin < span:
        count += 1
    return count / span


def beside_a_thread(work, stop, span):
    """`python_speed` while another thread runs `work` until `stop` is set."""
    stop.clear()
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    speed = python_speed(span)
    stop.set()
    thread.join()
    return speed


def python_beside_fit(name, rounds, span=0.5):
    """Median speed of pure Python beside a thread in `fit`, over that beside a waiting thread."""
    model, stop = workloads.model(name), threading.Event()

    def train():
        while not stop.is_set():
            workloads.fit(model, name, 1)

    waiting, training = [], []
    for _ in range(rounds):
        waiting.append(beside_a_thread(stop.wait, stop, span))
        training.append(beside_a_thread(train, stop, span))
    return statistics.median(training) / statistics.median(waiting)


def two_fits(name, rounds=5):
    """Median time of two fits at once over the time of one; 1 is ideal, 2 no gain."""
    models = [workloads.model(name, seed) for seed in (0, 1)]
    count = epochs_of(models[0], name)

    def train(together):
        threads = [threading.Thread(target=workloads.fit, args=(model, name, 1, count)) for model in together]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    one, two = [], []
    for _ in range(rounds):
        one.append(seconds(lambda: train(models[:1])))
        two.append(seconds(lambda: train(models)))
    return statistics.median(two) / statistics.median(one)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(workloads.FIVE), metavar="mnist,small")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{machine()}; median of {options.rounds} rounds (two fits: of 5)\n")
    begin = others()
    shared = []
    times = []
    for name in options.workloads.split(","):
        times.append([name, *(f"{ms:.2f}" for ms in epochs(name, options.rounds))])
        shared.append([name, f"{python_beside_fit(name, options.rounds):.2f}", f"{two_fits(name):.2f}"])
    teams = [f"{busy}, {team or 'default'}" for busy in ("idle", "busy") for team in TEAMS]
    print("ms per epoch, by number of threads; busy is beside a process that keeps one CPU:\n")
    print(table(["network", *teams], times))
    print()
    print(table(["network", "Python beside a fit / beside a waiting thread", "time of two fits / of one"], shared))
    print(f"\n{meanwhile(begin)}")


if __name__ == "__main__":
    main()
