"""Every public function is annotated, and mypy accepts the package and programs that use it."""
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from optional import needs

import nnfast
from nnfast import losses
from nnfast._core import network as core

needs("mypy")

PROGRAMS = Path(__file__).parent / "data"
PACKAGE = Path(nnfast.__file__).parent
INSTALLED = PACKAGE.parent.name == "site-packages"
MODULES = [module.name for module in pkgutil.iter_modules(nnfast.__path__)]
PUBLIC = ["nnfast", *(f"nnfast.{name}" for name in MODULES if name[0] != "_")]
MADE = {*core.ACTIVATIONS, *losses._CLASSES}    # functions whose type is the Protocol of their maker
UNTYPED = [
    "nnfast._core.*", "cloudpickle.*", "keras.*", "matplotlib.*", "onnx.*", "onnxruntime.*", "pandas.*",
    "plotnine.*", "scipy.*", "sklearn.*", "threadpoolctl.*", "torch.*", "tqdm.*",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of mypy's cache, shared by the tests of this module."""
    return tmp_path_factory.mktemp("mypy")


def mypy(folder, *arguments, report):
    """Returns the exit code and the output of mypy.

    With `report` it shows errors in nnfast, too; it never does so for an installed nnfast.
    """
    sections = dict.fromkeys(UNTYPED, "ignore_missing_imports = True\nfollow_imports = skip")
    if not report:
        sections["nnfast.*"] = "follow_imports = silent"
    (folder / "mypy.ini").write_text(f"[mypy]\ncache_dir = {folder / 'cache'}\n" + "".join(
        f"[mypy-{module}]\n{lines}\n" for module, lines in sections.items()))
    where = {} if INSTALLED else {"MYPYPATH": str(PACKAGE.parent)}          # mypy finds installed packages by itself
    done = subprocess.run([sys.executable, "-m", "mypy", *arguments, "--config-file", str(folder / "mypy.ini")],
                          capture_output=True, text=True, timeout=300, cwd=folder,
                          env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **where})
    return done.returncode, done.stdout + done.stderr


def public_functions(module):
    """Yields (name, function) for the functions of a module and the methods of its classes."""
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) and thing.__module__.startswith("nnfast"):
            for attribute, value in vars(thing).items():
                value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                ours = inspect.isfunction(value) and value.__module__ == thing.__module__
                if ours and (attribute[0] != "_" or attribute in ("__init__", "__call__")):
                    yield f"{name}.{attribute}", value
        elif inspect.isfunction(thing) and name.removesuffix("_gradient") not in MADE:
            yield name, thing


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_function_is_annotated(module):
    if module == "nnfast.estimators":
        needs("sklearn")
    silent = []
    for name, function in public_functions(importlib.import_module(module)):
        signature = inspect.signature(function)
        parameters = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
        if any(each.annotation is each.empty for each in parameters) or signature.return_annotation is signature.empty:
            silent.append(name)
    assert not silent


def test_package_is_marked_as_typed_and_has_no_stubs():
    assert (PACKAGE / "py.typed").exists() and not list(PACKAGE.rglob("*.pyi"))


@pytest.mark.skipif(INSTALLED, reason="mypy reports nothing about installed packages")
def test_mypy_finds_no_error_in_the_package(folder):
    code, out = mypy(folder, "-p", "nnfast", report=True)
    assert code == 0, out


def test_a_typed_program_passes_the_strict_check(folder):
    code, out = mypy(folder, "--strict", str(PROGRAMS / "typed.py"), report=False)
    assert code == 0, out


def test_the_strict_check_finds_the_marked_errors(folder):
    """mypy refuses each line marked `# wrong` and no other."""
    program = PROGRAMS / "mistyped.py"
    lines = enumerate(program.read_text().splitlines(), 1)
    wrong = [f":{number}: error:" for number, line in lines if line.endswith("# wrong")]
    code, out = mypy(folder, "--strict", str(program), report=False)
    found = {place for line in out.splitlines() for place in re.findall(r":\d+: error:", line)}
    assert code == 1 and len(wrong) > 5 and found == set(wrong), out


def test_the_typed_program_runs():
    needs("sklearn")
    subprocess.run([sys.executable, str(PROGRAMS / "typed.py")], check=True, timeout=300,
                   env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "MPLBACKEND": "Agg"})
