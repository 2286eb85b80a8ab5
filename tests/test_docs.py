"""Every example in a docstring, the README or the documentation runs and prints what it shows."""
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from optional import has, needs

import nnfast

ROOT = Path(__file__).parent.parent
NEEDS = {
    # modules
    "nnfast.plotting": "matplotlib", "nnfast.estimators": "sklearn", "nnfast._onnx": "onnx",
    # functions with examples
    "export_onnx": "onnx", "from_keras": "keras", "from_sklearn": "sklearn", "from_torch": "torch",
    "sklearn_weights": "sklearn", "torch_weights": "torch",
}
MODULES = ["nnfast", *(f"nnfast.{module.name}" for module in pkgutil.iter_modules(nnfast.__path__)
                       if module.name not in ("_core", "__main__"))]

PEERS = ("nnfast", "nnfast.interchange")        # their examples import PyTorch and Keras


def public(name):
    """{name: object} of a module's `__all__` and of the lazy imports of nnfast, without modules."""
    needs(NEEDS.get(name, "nnfast"))
    module = importlib.import_module(name)
    names = [*getattr(module, "__all__", []), *(nnfast._LAZY if module is nnfast and has("sklearn") else [])]
    objects = {each: getattr(module, each) for each in names if each != "__version__"}
    return {each: thing for each, thing in objects.items() if not inspect.ismodule(thing)}


def examples_of(thing, name):
    """A list with the doctest of the object itself, whichever module defines it."""
    tests = doctest.DocTestFinder(recurse=False).find(thing, name, module=False, globs={})
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.peers) if name in PEERS else name for name in MODULES])
def test_examples_of_docstrings_run(name, monkeypatch):
    names = public(name)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    tests = {test.name: test for test in doctest.DocTestFinder().find(importlib.import_module(name), name)}
    # the finder takes generated functions for functions of another module and skips them
    for each, thing in names.items():
        if not inspect.isclass(thing):
            tests.update({test.name: test for test in examples_of(thing, f"{name}.{each}")})
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests.values():
        if has(NEEDS.get(test.name.rpartition(".")[2], "nnfast")):
            runner.run(test)
    assert runner.failures == 0
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring_with_an_example(name):
    assert [each for each, thing in public(name).items() if not examples_of(thing, each)] == []


def test_every_method_of_sequential_has_an_example():
    methods = [name for name in vars(nnfast.Sequential) if name[0] != "_"]
    assert len(methods) > 10
    assert [name for name in methods if not examples_of(getattr(nnfast.Sequential, name), name)] == []


def test_examples_of_the_readme_run():
    tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried.failed == 0 and tried.attempted > 2


@pytest.mark.parametrize("name", [name for name in MODULES if "._" not in name])
def test_reference_has_every_public_name(name):
    """A page documents all members of the module, or names each of them."""
    text = "".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.rst"))
    if re.search(rf"^.. automodule:: {name}\n   :members:$", text, re.M):
        return
    missing = [each for each in public(name) if not re.search(rf"\b{name}\.{each}\b", text)]
    assert missing == [], f"docs/reference/ lacks names of {name}"


def test_reference_is_built_without_a_warning_and_has_every_public_name(tmp_path):
    """Takes half a minute; runs where the packages of the extra `docs` are installed."""
    for package in ("furo", "matplotlib", "myst_parser", "numpydoc", "sphinx"):
        needs(package)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    body = (tmp_path / "objects.inv").read_bytes().split(b"\n", 4)[4]
    known = {line.split()[0] for line in zlib.decompress(body).decode().splitlines() if " py:" in line}
    for name in MODULES:
        if name != "nnfast" and "._" not in name:
            assert [each for each in public(name) if f"{name}.{each}" not in known] == []
    own = {each for each, thing in public("nnfast").items() if thing.__module__.startswith("nnfast._")}
    assert own and own <= {name.removeprefix("nnfast.") for name in known}


def test_pages_include_single_sections_of_the_readme():
    headings = re.findall("^## .*$", (ROOT / "README.md").read_text(), re.M)
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    parts = re.findall('^:start-after: "(.*)"\n:end-before: "(.*)"$', pages, re.M)
    assert len(parts) > 4
    for start, end in parts:
        first = [heading.startswith(start) for heading in headings].index(True)
        assert headings[first + 1].startswith(end), f"the section {start!r} ends at {headings[first + 1]!r}"


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_examples_of_the_pages_run(page):
    if page in ("many.md", "tools.md"):
        needs("sklearn")
    text = re.sub("^```.*$", "", (ROOT / "docs" / page).read_text(), flags=re.M)
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert test.examples or ">>>" not in text
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.failures == 0


def example(name):
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


def assert_printed(quoted, printed):
    """The text quoted in a docstring is printed.

    Words and blanks are equal; numbers may differ a little, because CPUs round differently.
    """
    number = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
    assert number.sub("#", quoted) == number.sub("#", printed)
    for shown, now in zip(number.findall(quoted), number.findall(printed)):
        assert float(now) == pytest.approx(float(shown), rel=0.02, abs=0.02), (shown, now)


def quoted(example, after):
    return textwrap.dedent(example["__doc__"].split(after)[1]).strip()


def test_the_example_tells_error_loss_gradient_and_metric_apart(capsys):
    script = example("error_loss_metric")
    result = script["main"]()
    assert_printed(quoted(script, "It prints:"), capsys.readouterr().out.strip())
    assert result["numbers"]["error"].tolist() == [-4, 2, -2, 4] and result["numbers"]["loss"] == 10
    table = result["numbers"]["table"]
    assert table["mean squared error"] == (4, 12.25)
    assert table["quantile 0.95"] == pytest.approx((1, 0.0875))       # (0.95 (2 + 2) + 0.05 (2 + 2)) / 4, 0.05 * 7 / 4
    assert table["own loss: never below"] == pytest.approx((202, 12.25))           # (100 (4 + 4) + 4 + 4) / 4, 49 / 4
    assert result["difference"] < 1e-12
    assert result["metrics"]


def test_losses_of_the_example_lead_to_different_weights_each_best_by_its_own_measure():
    losses = example("error_loss_metric")["three_losses"]()
    for place, one in enumerate(losses):
        assert min(losses, key=lambda name: losses[name]["scores"][place]) == one
        for other in losses:
            assert one == other or np.abs(losses[one]["weights"] - losses[other]["weights"]).max() > 0.01


def test_asymmetric_losses_of_the_example_keep_predictions_above_the_truth():
    below = example("error_loss_metric")["never_below_the_truth"]()
    assert 0.4 < below["mean squared error"] < 0.6
    assert 0.02 < below["quantile 0.95"] < 0.08                       # its target share is 0.05
    assert below["own loss: never below"] < 0.1


def test_values_of_the_example_match_arithmetic(capsys):
    script = example("loss_functions")
    result = script["values"]()
    assert_printed(quoted(script, "prints first:"), capsys.readouterr().out.strip())
    crossentropies = [value for name, value in result["values"].items() if "entropy" in name or "same" in name]
    assert len(crossentropies) == 4 and crossentropies == pytest.approx([-np.log(0.75)] * 4, abs=1e-6)
    assert result["values"]["mean absolute error"] == 2 and result["values"]["mean squared error"] == result["mse"] == 5
    assert result["values"]["root mean squared error (a metric)"] == pytest.approx(5**0.5)
    assert result["shares"] == pytest.approx((0.75, 0.9))


def test_the_example_learns_the_digits():
    needs("sklearn")
    history = example("loss_functions")["main"]()["history"].history
    assert history["val_acc"][-1] > 0.88 and history["loss"][-1] < history["loss"][0] / 5


def test_the_example_trains_on_idx_files_and_saves_plots(tmp_path):
    needs("matplotlib")
    files = {}
    for part, rows in [("train", 64), ("test", 32)]:
        images, labels = np.zeros((rows, 4, 3), np.uint8), (np.arange(rows) % 10).astype(np.uint8)
        images[np.arange(rows), labels % 4, labels // 4] = 255                    # one pixel per digit
        files |= {f"--{part}-images": images, f"--{part}-labels": labels}
    script = str(ROOT / "examples" / "loss_functions.py")
    command = [sys.executable, script, "--epochs", "60", "--plots", str(tmp_path / "plots")]
    for option, array in files.items():
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / option).write_bytes(header + array.tobytes())
        command += [option, str(tmp_path / option)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stderr
    assert "64 images of 4 x 3" in done.stdout and "0 of 32 test digits are classified wrongly" in done.stdout
    assert {"losses.png", "training.png"} <= {path.name for path in (tmp_path / "plots").iterdir()}
    assert "all four" in subprocess.run(command[:-2], capture_output=True, text=True).stderr


def test_the_recipe_for_tables_learns_classes_and_real_values(capsys):
    needs("sklearn")
    results = example("tabular")["main"](["--data", "wine", "diabetes", "--seeds", "1", "--epochs", "48"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(",")[0] for row in rows] == ["wine", "diabetes"]
    assert all(name in header for name in results["wine"])
    assert len({len(line) for line in (header, *rows)}) == 1
    for scores, least in [(results["wine"], 0.85), (results["diabetes"], 0.1)]:
        assert len(scores) == 3 and scores["RealMLP, nnfast"].shape == (1, 2)
        assert all(least < score < 1.01 and seconds > 0 for ((score, seconds),) in scores.values())


def test_parts_of_the_recipe_for_tables_match_its_paper():
    """Waves end where 1 + 15 t is 2, 4, 8 and 16; each is highest at sqrt(2) times its start."""
    needs("sklearn")
    script = example("tabular")
    rate = script["coslog4"](0.5, steps=15)
    assert [rate(step) for step in (0, 1, 3, 7, 15)] == pytest.approx([0] * 5, abs=1e-12)
    assert [rate(2**(wave + 0.5) - 1) for wave in range(4)] == pytest.approx([0.5] * 4)
    assert rate(2**0.25 - 1) == pytest.approx(0.25)
    # columns: with the quartiles 1, 2, 3; constant; 0 except in one row
    x = np.array([[0., 7, 0], [1, 7, 0], [2, 7, 0], [3, 7, 0], [100, 7, 2]])
    scale = script["robust_scaling"](x)
    expected = [[2 / 2 / (1 + 1 / 9)**0.5, 0, 2 / (1 + 4 / 9)**0.5], [-3, 0, 0]]
    np.testing.assert_allclose(scale([[4., 9, 2], [2 - 6e9, 7, 0]]), expected, rtol=1e-6)
