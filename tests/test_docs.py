"""What the documentation shows is what happens: every example in a docstring or in the README runs."""
import doctest
import importlib
import pkgutil
import runpy
from pathlib import Path

import pytest

import nnfast

ROOT = Path(__file__).parent.parent
MODULES = ["nnfast", *(f"nnfast.{module.name}" for module in pkgutil.iter_modules(nnfast.__path__) if module.name not in ("_core", "__main__"))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_examples_of_the_readme_run():
    tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried.failed == 0 and tried.attempted > 2


def test_hand_written_loop_is_followed_by_the_example():
    assert runpy.run_path(str(ROOT / "examples" / "hidden_loss.py"))["main"]() < 1e-12


def test_digits_of_the_example_are_learned():
    pytest.importorskip("sklearn")
    history = runpy.run_path(str(ROOT / "examples" / "digits.py"))["main"]().history
    assert history["val_acc"][-1] > 0.88 and history["loss"][-1] < history["loss"][0] / 5


def test_every_public_name_exists_and_has_a_docstring():
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):
            assert public == "__version__" or getattr(module, public).__doc__, f"{name}.{public}"
