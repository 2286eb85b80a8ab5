"""python benchmarks/instructions/check.py: does the hot loop take more instructions than it did?

Times cannot gate a commit: on a shared machine they vary by more than a regression.  Instruction
counts do not depend on the load of the machine.  They say nothing about caches and waiting, so they
complement the timings of `benchmarks.suite` and do not replace them.

    check.py              compare with the baseline: exit 1 if an entry is more than 2 % above it,
                          2 if there is no baseline
    check.py --update     make the measured counts the baseline
    check.py --self-test  build a copy with one more pass over the activations: exit 0 if the
                          comparison refuses it

valgrind's callgrind counts instructions inside the shared object of CPU level v3 (valgrind has no
AVX-512), while the calls of driver.py run on one thread.  Not counted are Python, NumPy, imports,
data, warm-up, and the C library, which differs between machines: memcpy, and erff, which is most of
gelu.  The package is the one that `import nnfast` finds.  A step is one of several in a call, in
float32 with Adam, as in `fit`.

Runs agree in all seven digits that are kept, at any addresses (driver.py says why).  Another
compiler or Cython generates other code, so baseline.json holds a baseline for each pair of them,
and counts are compared only with the baseline of the same pair.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))
from benchmarks.report import environment, table  # noqa: E402

BASELINE = Path(__file__).with_name("baseline.json")
DRIVER = Path(__file__).with_name("driver.py")
LEVEL = "v3"
LIMIT = 0.02
CALLGRIND = ["valgrind", "-q", "--tool=callgrind", "--dump-before=getppid", "--combine-dumps=yes",
             "--compress-strings=no", "--compress-pos=no"]

# What the self-test changes: (file, pattern, replacement, number of matches).
SABOTAGE = [
    ("nnfast/_core/forward.pxd", r"\n( +activate\(layer\.activation, a, .*\)\n)", r"\n\1\1", 1),
    ("setup.py", r' +"v[24]": .*\n', "", 2),        # build only the level that is measured
]


def run_driver(path, *arguments, under=(), **variables):
    """Runs driver.py for the package in `path`, or the installed one; returns what it prints."""
    env = environment(1) | variables
    if path is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(path), env.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run([*under, sys.executable, DRIVER, *arguments], env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"The driver failed with code {done.returncode}; its messages are above.")
    return json.loads(done.stdout)


def describe(path=None):
    """The package and its key: compiler, Cython, architecture."""
    return run_driver(path, "--describe")


def parts(lines):
    """Instructions inside the shared object, for each part of callgrind's output."""
    counts, inside = [], False
    for line in lines:
        if line.startswith("part:"):
            counts.append(0)
            inside = False
        elif line.startswith("ob="):
            inside = f"/network_{LEVEL}." in line
        elif line.startswith("calls="):
            next(lines)         # the instructions of the callee, which are listed there, too
        elif inside and line[0].isdigit():
            counts[-1] += int(line.split()[1])
    return counts


def measure(path=None):
    """Instructions per unit of each entry."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind must be installed to count instructions.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        entries = run_driver(path, under=[*CALLGRIND, f"--callgrind-out-file={out}"], NNFAST_CPU=LEVEL,
                             PYTHONHASHSEED="0")
        with open(out) as lines:
            counts = parts(lines)[1::2]
    if len(counts) != len(entries) or not all(counts):
        sys.exit(f"callgrind's output must have {len(entries)} parts with instructions of network_{LEVEL}, one for "
                 f"each entry; it has {counts}.")
    return {entry: float(f"{count / units:.7g}") for (entry, units), count in zip(entries, counts, strict=True)}


def compare(baseline, now):
    """Rows of the table, entries that fail, entries that became faster."""
    rows, failed, faster = [], [], []
    for entry in dict.fromkeys([*baseline, *now]):
        old, new = baseline.get(entry), now.get(entry)
        if old is None or new is None:
            change = "not in the baseline" if old is None else "not measured"
            failed.append(entry)
        else:
            change = f"{100 * (new / old - 1):+.2f} %"
            if new > old * (1 + LIMIT):
                failed.append(entry)
            elif new < old * (1 - LIMIT):
                faster.append(entry)
        shown = ("" if count is None else f"{count:,.4g}" if count < 1000 else f"{count:,.0f}" for count in (old, new))
        rows.append([entry, *shown, change])
    return rows, failed, faster


def gate(baseline, now):
    """Prints the comparison; returns 1 if an entry fails, else 0."""
    rows, failed, faster = compare(baseline, now)
    print(table(["instructions per (unit)", "baseline", "now", "change"], rows))
    if faster:
        print(f"\nMore than {LIMIT:.0%} faster: {', '.join(faster)}. --update makes this the baseline.")
    if failed:
        print(f"\nMore than {LIMIT:.0%} slower, or not comparable: {', '.join(failed)}. "
              "If this is intended, --update accepts it.")
    return 1 if failed else 0


def sabotage(copy):
    """Copies the sources, adds one more pass over the activations, and builds the copy."""
    unwanted = shutil.ignore_patterns(".git", ".asv", ".venv", "build", "*.egg-info", "*.so", "*.c")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    for name, pattern, replacement, expected in SABOTAGE:
        text, found = re.subn(pattern, replacement, (copy / name).read_text())
        if found != expected:
            sys.exit(f"{name} must have {expected} matches of {pattern!r}, it has {found}: bring SABOTAGE in "
                     f"{Path(__file__).name} up to date.")
        (copy / name).write_text(text)
    build = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=copy)
    if build.returncode:
        sys.exit("The copy could not be built; it needs setuptools and Cython in this environment.")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--update", action="store_true",
                        help="make the measured counts the baseline of this compiler and Cython")
    action.add_argument("--self-test", action="store_true",
                        help="show that a copy with one more pass over the activations is refused")
    options = parser.parse_args(arguments)
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        path = None
        if options.self_test:
            path = Path(folder) / "nnfast"
            sabotage(path)
        about = describe(path)
        print(f"{about['package']}, level {LEVEL}: {about['key']}\n", flush=True)
        if about["key"] not in baselines and not options.update:
            print(f"No baseline for {about['key']}; there is one for: {'; '.join(baselines) or 'nothing'}.\n"
                  f"Make one from code that is known to be good: python {os.path.relpath(__file__)} --update")
            return 2
        now = measure(path)
    refused = gate(baselines.get(about["key"], now), now)
    if options.update:
        BASELINE.write_text(json.dumps(baselines | {about["key"]: now}, indent=4) + "\n")
        print(f"\nThis is now the baseline of {about['key']}.")
        return 0
    if options.self_test:
        print("\nThe copy with one more pass over the activations is "
              f"{'refused, as it must be' if refused else 'NOT refused'}.")
        return 1 - refused
    return refused


if __name__ == "__main__":
    sys.exit(main())
