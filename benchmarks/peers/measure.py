"""One measurement in a separate process.

    python -m benchmarks.peers.measure torch fused 1 mnist   one library: epochs, loss, versions
    python -m benchmarks.peers.measure peak                  this machine: NumPy's best float32 rate
    python -m benchmarks.peers.measure serve torch 1         many networks, requested over pipes

`in_process` and `Worker` are the caller's side.
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
    """The command line of this module."""
    return [sys.executable, "-m", "benchmarks.peers.measure", *map(str, arguments)]


def in_process(threads, *arguments):
    """Result of a measurement in a new process with this number of threads, else RuntimeError."""
    process = subprocess.run(command(*arguments), cwd=ROOT, env=environment(threads), capture_output=True, text=True)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {last[0]}")
    return json.loads(process.stdout.splitlines()[-1])


class Worker:
    """A process for one library and one number of threads (None is nnfast's default).

    It stays alive and measures one network after the other.
    """

    def __init__(self, library, threads):
        self.process = subprocess.Popen(command("serve", library, threads or 0), cwd=ROOT, env=environment(threads),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what, *arguments):
        """Sends a request and returns the answer.

            start, variant, workload    loss after one epoch
            time, variant, seconds      seconds of the fastest epoch in about `seconds`
            versions                    {package: version}
        """
        self.process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise RuntimeError(f"{' '.join(self.process.args[3:])} ended with exit code {code} at {what} {arguments}")
        return json.loads(line)

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def serve(library, threads):
    """The process of a Worker.  What a library prints goes to stderr."""
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
    """{package: version} of a library."""
    return {required: sys.modules[required].__version__ for required in module.REQUIRES}


def epochs(library, variant, threads, name):
    """Seconds of EPOCHS epochs, loss after them, versions."""
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
