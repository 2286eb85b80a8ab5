"""python -m benchmarks.peers: epoch times of nnfast and its peers as Markdown tables.

The rules are in __init__.py.
"""
import argparse
import json
import sys
from importlib import import_module
from importlib.util import find_spec

from benchmarks.peers import EPOCHS, LIBRARIES, chart, figures
from benchmarks.peers.measure import in_process
from benchmarks.report import cpus, machine, meanwhile, others, table
from benchmarks.suite.workloads import FIVE, WORKLOADS


def chosen(known):
    """An argparse type: a list of names, separated by commas."""
    def parse(text):
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"not known: {', '.join(unknown)}; known: {', '.join(known)}")
        return names
    return parse


def installed(libraries):
    """Modules of the installed libraries, and the names of the others with what they need."""
    modules, missing = {}, []
    for library in libraries:
        module = import_module(f"benchmarks.peers.{library}_")
        lacking = [required for required in module.REQUIRES if find_spec(required) is None]
        if lacking:
            missing.append(f"{module.NAME} (no {', '.join(lacking)})")
        else:
            modules[library] = module
    return modules, missing


def counts(module, variant):
    """Whether this variant may count as a library's fastest form."""
    return variant not in getattr(module, "NOT_COUNTED", ())


def variants(module, name, number):
    """Variants of a library in a round.

    Those that are not counted run only in the first round, and float32 not for a float64 network.
    """
    return [variant for variant in module.VARIANTS
            if (number == 0 or counts(module, variant)) and (variant, WORKLOADS[name].dtype) != ("float32", "float64")]


def measure(modules, names, thread_counts, rounds):
    """Runs by (network, library, variant, threads), and the messages of those that failed.

    The libraries take turns.
    """
    runs, failed = {}, []
    for number in range(rounds):
        for name in names:
            for threads in thread_counts:
                for library, module in modules.items():
                    for variant in variants(module, name, number):
                        print(f"round {number + 1} of {rounds}: {name} {library} {variant} {threads}", file=sys.stderr)
                        try:
                            run = in_process(threads, library, variant, threads, name)
                        except RuntimeError as error:
                            failed.append(str(error))
                        else:
                            runs.setdefault((name, library, variant, threads), []).append(run)
    return runs, failed


def best(runs):
    """Milliseconds of the fastest epoch of all rounds."""
    return 1e3 * min(min(run["seconds"]) for run in runs)


def spread(runs):
    """Relative difference between the slowest and the fastest round, by their fastest epochs."""
    fastest = [min(run["seconds"]) for run in runs]
    return max(fastest) / min(fastest) - 1


def tables(runs, modules, names):
    """Two tables: every run, and for each network the fastest form of each library."""
    every, summary = [], []
    for name in names:
        times = {key: best(value) for key, value in runs.items() if key[0] == name}
        fastest = {library: min((time for key, time in times.items()
                                 if key[1] == library and counts(module, key[2])), default=None)
                   for library, module in modules.items()}
        own = fastest.get("nnfast")
        for (_, library, variant, threads), time in times.items():
            of = runs[name, library, variant, threads]
            note = "" if counts(modules[library], variant) else " (not counted)"
            every.append([name, f"{modules[library].NAME} {variant}{note}", threads, f"{time:.2f}", f"{spread(of):.0%}",
                          f"{of[-1]['loss']:.4f}", f"{time / own:.2f}" if own else ""])
        peers = [t for library, t in fastest.items() if library != "nnfast" and t]
        summary.append([name, *(f"{t:.2f}" if t else "" for t in fastest.values()),
                        f"{min(peers) / own:.2f}" if own and peers else ""])
    return "\n\n".join([
        table(["network", "library", "threads", "ms/epoch", "spread", "loss", "x nnfast's fastest"], every),
        "Fastest form and number of threads of each, ms per epoch:",
        table(["network", *(module.NAME for module in modules.values()), "fastest peer / nnfast"], summary)])


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--workloads", type=chosen(WORKLOADS), default=list(WORKLOADS), metavar="mnist,small")
    parser.add_argument("--peers", type=chosen(LIBRARIES), default=list(LIBRARIES), metavar="nnfast,torch")
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")],
                        default=sorted({1, len(cpus())}), metavar="1,2", help="(default: one, and all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write every time measured")
    parser.add_argument("--chart", metavar="FILE", help="draw the fastest forms as bars")
    parser.add_argument("--figures", action="store_true", help="nnfast alone: GFLOP/s, share of the peak, scaling")
    options = parser.parse_args()
    print(machine())
    begin = others()
    if options.figures:
        print(figures.report([name for name in options.workloads if name in FIVE], options.rounds))
        print(f"\n{meanwhile(begin)}")
        return
    modules, missing = installed(["nnfast", *(library for library in options.peers if library != "nnfast")])
    runs, failed = measure(modules, options.workloads, options.threads, options.rounds)
    versions = {name: version for of in runs.values() for name, version in of[0]["versions"].items()}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{options.rounds} rounds of {EPOCHS} epochs; the fastest epoch counts.\n")
    print(tables(runs, modules, options.workloads))
    for title, names in [("Skipped, not installed", missing), ("Failed", failed)]:
        if names:
            print(f"\n{title}: {'; '.join(names)}")
    print(f"\n{meanwhile(begin)}")
    results = [{"network": name, "library": library, "variant": variant, "threads": threads,
                "counts": counts(modules[library], variant), "runs": of}
               for (name, library, variant, threads), of in runs.items()]
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine(), "versions": versions, "missing": missing, "failed": failed,
                       "results": results}, file, indent=1)
    if options.chart:
        chart.save(results, options.chart)


if __name__ == "__main__":
    main()
