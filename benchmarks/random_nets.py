"""python -m benchmarks.random_nets: is nnfast the fastest at dense nets that it was not tuned on?

A seeded sample of nets: 2 to 8 layers, widths 1 to 1024 and batches 8 to 1024 (log-uniform, batches
powers of two), classification or regression, float32 or float64, and the number of rows that nnfast
trains in about SECONDS.  nnfast, with its own choice of threads, is compared with PyTorch (eager,
fused) and JAX (flat, tree) on one thread and on all.

Each library and number of threads has one process for the whole run.  They take turns in every
round, and the fastest epoch of all rounds counts.  A form that is OUT times slower than the fastest
peer after a round is left out of the others, which saves most of the time.  Losses are those after
the first epoch, from the same weights and data; each library has its own order of rows.
"""
import argparse
import json
import statistics
import sys
import time

import numpy as np

from benchmarks.peers import jax_, torch_
from benchmarks.peers.__main__ import installed
from benchmarks.peers.measure import Worker
from benchmarks.report import cpus, machine, meanwhile, others, table
from benchmarks.suite.workloads import Workload

SECONDS = 0.05                  # of an epoch of nnfast, roughly
SPEED = {"float32": 8e10, "float64": 4e10}      # assumed operations a second, for the number of rows
MOST_STEPS = 2000               # steps times layers in an epoch: a small step of PyTorch takes 0.1 ms a layer
OUT = 2.5                       # times the fastest peer's time
ENOUGH, GOAL = 0.9, 1.5         # times the speed of the fastest peer: for each net, for the median
VARIANTS = {"torch": [v for v in torch_.VARIANTS if v not in torch_.NOT_COUNTED], "jax": jax_.VARIANTS}


def sample(count, seed):
    """A list of `count` Workloads; a longer list begins with the same ones."""
    rng = np.random.default_rng(seed)
    nets = []
    for _ in range(count):
        layers = int(rng.integers(2, 9))
        widths = [int(width) for width in np.exp(rng.uniform(0, np.log(1025), layers + 1))]
        batch_size = 2**int(rng.integers(3, 11))
        loss, dtype = rng.choice(["crossentropy", "mse"]), rng.choice(["float32", "float64"])
        if loss == "crossentropy":
            widths[-1] = max(2, widths[-1])
        net = Workload(tuple(widths), batch_size, batch_size, str(loss), str(dtype))
        # Assumed seconds of a step: products, 1 ns for each weight and activation, 1 us.
        step = net.flops / SPEED[net.dtype] + 1e-9 * sum(m * n + n * batch_size for m, n in net.shapes) + 1e-6
        nets.append(net._replace(rows=batch_size * int(min(max(2, SECONDS / step), MOST_STEPS / layers))))
    return nets


def compare(net, workers, rounds, span):
    """Seconds of the fastest epoch, and loss after the first, by (library, variant, threads)."""
    forms = [(library, variant, threads) for library, threads in workers for variant in VARIANTS.get(library, ["fit"])]
    losses = {form: workers[form[0], form[2]].ask("start", form[1], net) for form in forms}
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(rounds):
        limit = OUT * min(seconds for form, seconds in best.items() if form[0] != "nnfast")
        for form in forms:
            if form[0] != "nnfast" and limit < best[form] < float("inf"):
                continue
            best[form] = min(best[form], workers[form[0], form[2]].ask("time", form[1], span))
    return best, losses


def row(number, net, best, losses):
    """Time of the fastest peer over nnfast's, and the row of the table."""
    ours = next(form for form in best if form[0] == "nnfast")
    peers = {form: seconds for form, seconds in best.items() if form != ours}
    fastest = min(peers, key=peers.get)
    ratio = peers[fastest] / best[ours]
    theirs = [losses[form] for form in peers]
    return ratio, [number, "-".join(map(str, net.widths)), net.batch_size, f"{net.rows:,}", net.loss, net.dtype,
                   f"{best[ours] * 1e3:.2f}", f"{peers[fastest] * 1e3:.2f}", "{} {} {}".format(*fastest),
                   f"{ratio:.2f}" + " <" * (ratio < ENOUGH), f"{losses[ours]:.4f}",
                   f"{min(theirs):.4f} to {max(theirs):.4f}"]


HEADER = ["", "widths", "batch", "rows", "loss", "type", "nnfast, ms", "fastest peer, ms", "which, threads", "ratio",
          "nnfast's loss", "peers' losses"]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_nets", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="3,17", help="only these nets of the sample")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--span", type=float, default=0.2, help="seconds of each turn, at least one epoch")
    parser.add_argument("--json", metavar="FILE", default="random_nets.json",
                        help="every time and loss (default: %(default)s)")
    options = parser.parse_args()
    chosen = range(options.nets) if options.only is None else [int(number) for number in options.only.split(",")]
    modules, missing = installed(VARIANTS)
    if not modules:
        sys.exit(f"nothing to compare with: {'; '.join(missing)}")
    begin = others()
    workers = {("nnfast", None): Worker("nnfast", None)}
    workers |= {(library, threads): Worker(library, threads)
                for library in modules for threads in sorted({1, len(cpus())})}
    nets, results, rows, ratios = sample(max(chosen) + 1, options.seed), [], [], {}
    for number in chosen:
        start = time.perf_counter()
        best, losses = compare(nets[number], workers, options.rounds, options.span)
        ratios[number], line = row(number, nets[number], best, losses)
        rows.append(line)
        print(f"{' '.join(map(str, line))}; took {time.perf_counter() - start:.0f} s", file=sys.stderr)
        forms = [{"library": library, "variant": variant, "threads": threads, "seconds": seconds,
                  "loss": losses[library, variant, threads]} for (library, variant, threads), seconds in best.items()]
        results.append({"number": number, **nets[number]._asdict(), "ratio": ratios[number], "forms": forms})
    versions = {name: version for worker in workers.values() for name, version in worker.ask("versions").items()}
    for worker in workers.values():
        worker.close()
    least, median = min(ratios, key=ratios.get), statistics.median(ratios.values())
    below = sum(ratio < ENOUGH for ratio in ratios.values())
    print(f"{machine()}; {', '.join(f'{name} {version}' for name, version in versions.items())}")
    print(f"Seed {options.seed}, {options.rounds} rounds.  Ratio: time of the fastest peer over nnfast's.\n")
    print(table(HEADER, rows))
    print(f"\nLeast {ratios[least]:.2f} (net {least}), median {median:.2f} (goal {GOAL}), "
          f"{below} of {len(ratios)} below {ENOUGH}.")
    if missing:
        print(f"Skipped, not installed: {'; '.join(missing)}")
    print(meanwhile(begin))
    with open(options.json, "w") as file:
        json.dump({"machine": machine(), "versions": versions, "seed": options.seed, "rounds": options.rounds,
                   "least": ratios[least], "median": median, "below": below, "nets": results}, file, indent=1)


if __name__ == "__main__":
    main()
