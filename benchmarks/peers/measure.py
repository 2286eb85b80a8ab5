"""One measurement in a process of its own.

    python -m benchmarks.peers.measure torch fused 1 mnist      one library: epochs, loss, versions
    python -m benchmarks.peers.measure peak                     this machine: NumPy's best float32 rate
    python -m benchmarks.peers.measure serve torch 1            many networks, asked for over pipes

`in_process` and `Worker` are the caller's side of it.
"""
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.peers import EPOCHS
from benchmarks.report import environment
from benchmarks.suite import workloads

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments):
    return [sys.executable, "-m", "benchmarks.peers.measure", *map(str, arguments)]


def in_process(threads, *arguments):
    """What a fresh process measures with this number of threads; RuntimeError if it fails."""
    process = subprocess.run(command(*arguments), cwd=ROOT, env=environment(threads), capture_output=True, text=True)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {last[0]}")
    return json.loads(process.stdout.splitlines()[-1])


class Worker:
    """A process that stays: one library, one number of threads (None is nnfast's default), one network after the other."""

    def __init__(self, library, threads):
        self.process = subprocess.Popen(command("serve", library, threads or 0), cwd=ROOT, env=environment(threads),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what, *arguments):
        """The answer to "start" (variant, workload): its loss after one epoch; to "time" (variant, seconds): the
        fastest epoch of such a span; to "versions"."""
        self.process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.process.args[3:])} ended with {self.process.wait()} at {what} {arguments}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(library, threads):
    """The other side of a Worker; whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, running = import_module(f"benchmarks.peers.{library}_"), {}

    def start(variant, fields):
        workload = workloads.Workload(tuple(fields[0]), *fields[1:])
        running.pop(variant, None)
        if not running or workload not in {of for of, _ in running.values()}:
            running.clear()
            workloads.data.cache_clear()
        epochs, weights = module.prepare(workload, variant, threads or None)
        epochs(1)
        running[variant] = workload, epochs
        return workloads.loss(workload, weights())

    def time(variant, seconds):
        epochs, times = running[variant][1], []
        while not times or sum(times) < seconds:
            times += epochs(1)
        return min(times)

    calls = {"start": start, "time": time, "versions": lambda: versions(module)}
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        print(json.dumps(calls[what](*arguments)), file=answers, flush=True)


def versions(module):
    return {required: sys.modules[required].__version__ for required in module.REQUIRES}


def epochs(library, variant, threads, name):
    module = import_module(f"benchmarks.peers.{library}_")
    workloads.data(name)
    train, weights = module.prepare(name, variant, threads)
    return {"seconds": train(EPOCHS), "loss": workloads.loss(name, weights()), "versions": versions(module)}


if __name__ == "__main__":
    first, *rest = sys.argv[1:]
    if first == "peak":
        from nnfast._bench import peak

        print(json.dumps(peak()))
    elif first == "serve":
        serve(rest[0], int(rest[1]))
    else:
        variant, threads, name = rest
        print(json.dumps(epochs(first, variant, int(threads), name)))
