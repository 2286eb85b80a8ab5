"""python -m benchmarks.scaling: does the time of an epoch grow as its work, or are there cliffs?

One axis varies at a time around ROWS rows of WIDTH inputs, DEPTH layers of WIDTH units, and batches
of BATCH; float32, the default number of threads, the fastest of several epochs, about SECONDS for
each point.  The work is that of the products and of the optimizer's steps.

A point is marked if, from its neighbour with less work, time grows by more than MOST times the
growth of the work.  `--picture docs/scaling.png` draws the times beside lines of constant speed.
"""
import argparse
import itertools

from benchmarks.report import machine, meanwhile, others, table
from benchmarks.suite.workloads import Workload
from nnfast._bench import repeated

ROWS, WIDTH, DEPTH, BATCH = 10_000, 128, 3, 128
AXES = {
    "rows": (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
    "width": (8, 16, 32, 64, 128, 256, 512, 1024, 2048),
    "depth": (1, 2, 3, 4, 5, 6, 7, 8),
    "batch": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
}
ADAM = 16                       # operations of Adam for each weight; a square root and a division count as two each
MOST, SAME = 1.5, 1.05          # growth that is a cliff; ratio of work that counts as equal
SECONDS = 1.0                   # but at least two epochs


def workload(axis, value):
    """The net at a point of an axis; it has as many classes as a layer has units."""
    at = {"rows": ROWS, "width": WIDTH, "depth": DEPTH, "batch": BATCH} | {axis: value}
    return Workload((at["width"],) * (at["depth"] + 1), at["batch"], at["rows"])


def work(net):
    """Operations of an epoch."""
    steps = -(-net.rows // net.batch_size)
    return net.flops + ADAM * steps * sum((n_in + 1) * n_out for n_in, n_out in net.shapes)


def measure(net, seconds):
    """Seconds of the fastest epoch, and its threads."""
    (x, y), model = net.data(), net.model()
    times = repeated(lambda: model.fit(x, y, batch_size=net.batch_size, verbose=0), seconds)
    return min(times), model._pace.best() or 1


def growth(points):
    """Sets "growth" of each point: of time over that of work, from the neighbour with less work.

    Of two points with equal work the slower one is compared with the other.
    """
    points = sorted(points, key=lambda point: point["work"])
    for point in points:
        point["growth"] = 0.0
    for before, point in itertools.pairwise(points):
        grown = point["seconds"] / before["seconds"] / (point["work"] / before["work"])
        if grown < 1 and point["work"] < SAME * before["work"]:
            point, grown = before, 1 / grown
        point["growth"] = max(grown, point["growth"])


def draw(results, target):
    """Draws time over each axis, and a line of constant speed through the point in the middle."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(-(-len(results) // 2), min(2, len(results)), figsize=(9, 6.5),
                                     layout="constrained", squeeze=False)
    middle = {"rows": ROWS, "width": WIDTH, "depth": DEPTH, "batch": BATCH}
    for axes, (axis, points) in zip(panels.flat, results.items(), strict=False):
        values, times = [point["value"] for point in points], [1e3 * point["seconds"] for point in points]
        base = min(points, key=lambda point, axis=axis: abs(point["value"] - middle[axis]))
        axes.plot(values, [1e3 * base["seconds"] * point["work"] / base["work"] for point in points], color="0.6",
                  linestyle="--", linewidth=1, label="as the work grows")
        axes.plot(values, times, "o-", color="#c8102e", markersize=4, label="time of an epoch")
        for point in points:
            if point["growth"] > MOST:
                axes.annotate(f"x {point['growth']:.1f}", (point["value"], 1e3 * point["seconds"]), (6, -10),
                              textcoords="offset points", fontsize=9)
        axes.set_xscale("log", base=10 if axis == "rows" else 2)
        axes.set_yscale("log")
        if max(times) < 20 * min(times):
            axes.yaxis.set_minor_formatter(lambda y, _: f"{y:g}")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.xaxis.set_minor_locator(pyplot.NullLocator())
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        if axis != "rows":
            odd = values[0].bit_length() % 2        # every second power of two
            axes.set_xticks([value for value in values if axis == "depth" or value.bit_length() % 2 == odd])
        labels = {"width": "width of every layer", "depth": "layers", "batch": "rows of a batch"}
        axes.set_xlabel(labels.get(axis, axis))
        axes.set_ylabel("ms")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"One epoch round {ROWS:,} rows, {DEPTH} layers of {WIDTH}, batches of {BATCH}", fontsize=11)
    figure.savefig(target, dpi=120)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", default=",".join(AXES), metavar="rows,width")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each point, roughly (default: %(default)s)")
    parser.add_argument("--most-work", type=float, default=1e12, help="leave out larger points (default: %(default)g)")
    parser.add_argument("--picture", metavar="FILE")
    options = parser.parse_args()
    print(f"{machine()}\n")
    begin, results, rows = others(), {}, []
    for axis in options.axes.split(","):
        points = results[axis] = []
        for value in AXES[axis]:
            net = workload(axis, value)
            if work(net) <= options.most_work:
                seconds, threads = measure(net, options.seconds)
                points.append({"value": value, "work": work(net), "seconds": seconds, "threads": threads})
        growth(points)
        for point in points:
            mark = f"{point['growth']:.2f}" * (point["growth"] > 0) + " <" * (point["growth"] > MOST)
            rows.append([f"{axis} {point['value']:,}", f"{point['work'] / 1e9:.3f}", f"{point['seconds'] * 1e3:.2f}",
                         point["threads"], f"{point['work'] / point['seconds'] / 1e9:.1f}", mark])
    print(table(["", "10^9 operations", "ms", "threads", "10^9/s", "growth of time / of work"], rows))
    cliffs = sum(point["growth"] > MOST for points in results.values() for point in points)
    print(f"\n{cliffs} of {len(rows)} above {MOST}.  {meanwhile(begin)}")
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
