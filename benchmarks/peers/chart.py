"""python -m benchmarks.peers.chart out.json speed.png: a bar chart of the results of `--json`."""
import json
import sys


def draw(results, axes):
    """Draws the time of each library's fastest form over nnfast's time, by network."""
    names = list(results)
    libraries = list(dict.fromkeys(library for name in names for library in results[name]))
    height = 0.8 / len(libraries)
    for i, library in enumerate(libraries):
        ratios = [results[name].get(library, float("nan")) / results[name]["nnfast"] for name in names]
        places = [j + (i - (len(libraries) - 1) / 2) * height for j in range(len(names))]
        color = "#c8102e" if library == "nnfast" else f"{0.75 - 0.15 * i:.2f}"
        bars = axes.barh(places, ratios, height * 0.9, label=library, color=color)
        times = [f"{results[name].get(library, float('nan')):.3g} ms" for name in names]
        axes.bar_label(bars, times, padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.8, 400)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("time of one epoch, in times nnfast's (log scale; shorter is faster)")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def save(results, target):
    """Writes the chart of the results of `--json`, without the variants that are not counted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = {}
    for run in results:
        if run["counts"]:
            fastest = bars.setdefault(run["network"], {})
            ms = 1e3 * min(min(one["seconds"]) for one in run["runs"])
            fastest[run["library"]] = min(ms, fastest.get(run["library"], ms))
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.76 * len(bars)), layout="constrained")
    draw(bars, axes)
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        save(json.load(file)["results"], sys.argv[2])
