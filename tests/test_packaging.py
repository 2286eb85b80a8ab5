"""Contents of the packages, and errors where nnfast is not compiled or another package is missing.

Both must agree with pyproject.toml.
"""
import ast
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from optional import needs

import nnfast
from nnfast import _extras

ROOT = Path(__file__).parent.parent
PACKAGE = Path(nnfast.__file__).parent
MADE = ["PKG-INFO", "setup.cfg", "nnfast.egg-info/SOURCES.txt"]       # setuptools adds these to an sdist
GENERATED = ["nnfast/_core/cpu.c", "nnfast/_core/cpu.cpython-39-darwin.so",
             "nnfast/_core/__pycache__/network.cpython-39.pyc", "build/cython-cpu/nnfast/_core/cpu.c",
             "build/lib/nnfast/_core/network.pyx", "dist/nnfast-0.0.1.tar.gz", "docs/_build/index.html",
             "benchmarks/.asv/results/machine.json", "benchmarks/random_nets.json", "examples/native/train_step.c",
             "examples/native/build/temp/train_step.o", "tests/.pytest_cache/README.md", ".venv/lib/module.py",
             "nnfast.egg-info/top_level.txt"]


def extras():
    """{extra: its requirements} from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    table = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[", text, re.M | re.S)[1]
    return {name: ast.literal_eval(listed) for name, listed in re.findall(r"^([\w-]+) = (\[.*\])$", table, re.M)}


def ignored(name):
    """Whether .gitignore names a file or a folder above it."""
    for pattern in (ROOT / ".gitignore").read_text().split():
        folder = pattern.rstrip("/")
        if "/" in folder:
            if name.startswith(pattern):
                return True
        elif any(fnmatch.fnmatch(part, folder) for part in name.split("/")):
            return True
    return False


def sources():
    """Names of the source files: those under version control, or those of an unpacked sdist.

    Files that a build makes are left out.
    """
    if (ROOT / ".git").exists():
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]
    names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in names if name not in MADE and not ignored(name)]


def python(*arguments, cwd, **variables):
    """Runs Python in a process that does not find the nnfast under test."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the sources with the generated files of several builds."""
    needs("setuptools")
    needs("Cython")
    folder = tmp_path_factory.mktemp("clone")
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in GENERATED:
        assert ignored(name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("made")
    (folder / "nnfast.egg-info" / "SOURCES.txt").write_text("\n".join(GENERATED))          # setuptools reads it
    return folder


def test_an_sdist_holds_every_source_and_no_generated_file(clone, tmp_path):
    done = python("setup.py", "-q", "sdist", "--dist-dir", tmp_path, cwd=clone)
    assert done.returncode == 0, done.stderr
    [path] = tmp_path.glob("nnfast-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert names == {*sources(), *MADE}
    some = {"nnfast/_core/cpu.pyx", "nnfast/_core/matmul.pxd", "tests/reference.py", "tests/data/typed.py",
            "docs/conf.py"}
    assert some <= names


def test_an_installation_has_the_type_marker_and_the_kernels(clone, tmp_path):
    done = python("setup.py", "-q", "build_py", "--build-lib", tmp_path, cwd=clone)
    assert done.returncode == 0, done.stderr
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    wanted = {name for name in sources() if name.startswith("nnfast/") and not name.endswith((".pyx", ".pxi"))}
    assert names == wanted and {"nnfast/py.typed", "nnfast/kernels.pxd", "nnfast/_core/__init__.pxd"} <= names


# -- not compiled ----------------------------------------------------------------------------------

def compiled(folder, names):
    """Copies the compiled modules of these names next to the sources in a folder."""
    for name in names:
        for path in (PACKAGE / "_core").glob(f"{name}*{EXTENSION_SUFFIXES[0]}"):
            shutil.copy(path, folder / "nnfast" / "_core")


@pytest.mark.parametrize("there, needed, listed", [
    ([], "cpu", "no compiled module"),
    (["cpu.cpython-39-x86_64-linux-gnu.so"], "cpu", "cpu.cpython-39-x86_64-linux-gnu.so"),
    (["cpu"], "network_", f"cpu{EXTENSION_SUFFIXES[0]}"),
], ids=["nothing", "another Python", "half"])
@pytest.mark.parametrize("is_clone", [True, False])
def test_error_for_a_folder_not_built_for_this_python_says_what_to_do(tmp_path, is_clone, there, needed, listed):
    shutil.copytree(PACKAGE, tmp_path / "nnfast", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    if is_clone:
        (tmp_path / "setup.py").write_text("")
    compiled(tmp_path, [name for name in there if "." not in name])
    for name in there:
        if "." in name:
            (tmp_path / "nnfast" / "_core" / name).write_text("")
    for statement in ("import nnfast", "from nnfast.layers import Dense", "import nnfast._core"):
        code = f"try:\n    {statement}\nexcept ImportError as error:\n    print(type(error).__name__, error)"
        done = python("-c", code, cwd=tmp_path)
        kind, _, said = done.stdout.partition(" ")
        assert kind == "ImportError", done.stderr
        core = tmp_path / "nnfast" / "_core"
        assert said.startswith(f"nnfast must be compiled for this Python: {core} must hold {needed}")
        assert f"it holds {listed}. " in said
        if is_clone:
            assert f"pip install -e . in {tmp_path}, or," in said and "start Python outside of that folder" in said
        else:
            assert said.strip().endswith("Install it with the pip of this Python.")


# -- extras ----------------------------------------------------------------------------------------

WITHOUT = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
import numpy as np, nnfast
model = nnfast.Sequential([nnfast.Input(2), nnfast.Dense(1)])
try:
    {statement}
except ImportError as error:
    print(type(error).__name__, error)
"""
LBFGS = "model.compile('lbfgs', 'mse'); model.fit(np.ones((4, 2)), np.ones(4), verbose=0)"


@pytest.mark.parametrize("statement, missing, extra", [
    *((f"from nnfast import {name}", missing, "sklearn") for name in nnfast._LAZY for missing in ("sklearn", "scipy")),
    ("import nnfast.estimators", "sklearn", "sklearn"), ("nnfast.MLPRegressor()", "sklearn", "sklearn"),
    (LBFGS, "scipy", "scipy"), ("nnfast.export_onnx(model, 'net.onnx')", "onnx", "onnx"),
    ("nnfast.plotting.plot_loss('mse')", "matplotlib", "plot"),
    ("from nnfast.__main__ import digits; digits()", "sklearn", "demo"),
])
def test_error_for_a_missing_package_names_the_install_commands(tmp_path, statement, missing, extra):
    code = WITHOUT.format(missing={missing}, statement=statement)
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=str(PACKAGE.parent))
    assert done.stdout.startswith("ImportError "), done.stderr
    assert f"No module named '{missing}" in done.stdout
    [requirement] = extras()[extra]
    assert f' needs {requirement}, ' in done.stdout
    assert f'pip install "{requirement}", or in a clone of nnfast with pip install -e ".[{extra}]".' in done.stdout


def test_the_demo_without_scikit_learn_names_the_install_command(tmp_path):
    code = WITHOUT.format(missing={"sklearn"}, statement="nnfast.__main__.demo()")
    code = code.replace("import numpy", "import nnfast.__main__, numpy")
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=str(PACKAGE.parent))
    assert done.returncode == 1 and 'pip install -e ".[demo]"' in done.stderr and "Traceback" not in done.stderr


def test_requirements_in_errors_match_the_extras():
    in_errors = {name: [requirement] for name, requirement in _extras.REQUIREMENTS.items()}
    assert in_errors == {name: extras()[name] for name in _extras.REQUIREMENTS}


def test_every_install_command_names_an_existing_extra():
    """The commands install from a path, because nnfast has no release on PyPI."""
    named = set()
    for name in sources():
        if name.endswith((".md", ".rst", ".py", ".pyi", ".pyx", ".pxd")) and not name.startswith("tests/"):
            text = (ROOT / name).read_text()
            assert not re.search(r"pip install \"?nnfast\b", text), name
            named |= set(re.findall(r'pip install -e "\.\[([\w-]+)\]"', text))
    assert {"bench", "demo", "docs", "examples", "onnx", "plot", "sklearn", "test"} <= named <= set(extras())


def test_extras_that_compile_include_the_build_requirements():
    build = ast.literal_eval(re.search(r"^requires = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.M)[1])
    for extra in ("bench", "test"):
        assert set(build) <= set(extras()[extra])
