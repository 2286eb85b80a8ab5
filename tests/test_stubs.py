"""The type stubs say what the package is: stubtest compares them with it, mypy reads a program that uses it."""
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from optional import needs

import nnfast

needs("mypy")

TESTS = Path(__file__).parent
PACKAGE = Path(nnfast.__file__).parent
PUBLIC = ["nnfast", *(f"nnfast.{module.name}" for module in pkgutil.iter_modules(nnfast.__path__) if module.name[0] != "_")]


def stub(module):
    return PACKAGE / "__init__.pyi" if module == "nnfast" else PACKAGE / f"{module.removeprefix('nnfast.')}.pyi"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where mypy keeps what it has read, for the next of these tests."""
    return tmp_path_factory.mktemp("mypy")


def run(folder, tool, *arguments):
    """Exit code and output of a tool of mypy, for which modules without a stub and packages without types say nothing."""
    ours = [f"nnfast.{path.stem}" for path in PACKAGE.glob("*.py") if not path.with_suffix(".pyi").exists()]
    quiet = dict.fromkeys(ours, "silent") | dict.fromkeys(["nnfast._core.*", "scipy.*", "sklearn.*", "matplotlib.*"], "skip")
    (folder / "mypy.ini").write_text(f"[mypy]\ncache_dir = {folder / 'cache'}\n" + "".join(
        f"[mypy-{module}]\nignore_errors = True\nignore_missing_imports = True\nfollow_imports = {follow}\n" for module, follow in quiet.items()))
    where = {} if PACKAGE.parent.name == "site-packages" else {"MYPYPATH": str(PACKAGE.parent)}      # mypy finds those by itself
    done = subprocess.run([sys.executable, "-m", tool, *arguments, f"--{'mypy-' * (tool != 'mypy')}config-file", str(folder / "mypy.ini")],
                          capture_output=True, text=True, timeout=300, cwd=folder,
                          env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **where})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_module_has_a_stub(module):
    assert stub(module).exists(), f"{module} needs {stub(module).name} beside it"


def test_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.slow
def test_stubs_agree_with_the_package(folder):
    needs("sklearn")
    code, out = run(folder, "mypy.stubtest", "nnfast", "--concise", "--allowlist", str(TESTS / "data" / "stubtest_allowed.txt"),
                    "--ignore-unused-allowlist")
    assert code == 0, out


def test_a_typed_program_passes_the_strict_check(folder):
    code, out = run(folder, "mypy", "--strict", str(TESTS / "data" / "typed.py"))
    assert code == 0, out


def test_the_strict_check_sees_mistakes(folder):
    """Each line marked `# wrong` is refused, and no other."""
    program = TESTS / "data" / "mistyped.py"
    wrong = [f":{number}: error:" for number, line in enumerate(program.read_text().splitlines(), 1) if line.endswith("# wrong")]
    code, out = run(folder, "mypy", "--strict", str(program))
    found = {place for line in out.splitlines() for place in re.findall(r":\d+: error:", line)}
    assert code == 1 and len(wrong) > 5 and found == set(wrong), out


def test_the_typed_program_runs():
    needs("sklearn")
    subprocess.run([sys.executable, str(TESTS / "data" / "typed.py")], check=True, timeout=300,
                   env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "MPLBACKEND": "Agg"})
