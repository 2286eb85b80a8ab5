"""nnfast imports little, allocates nothing in training, and leaves modes and data as they are."""
import os
import pickle
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from optional import needs

import nnfast

ROOT = Path(__file__).parent.parent
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc or preloads a library")


def run(code, *arguments, **environment):
    """Returns the standard output of a Python program that runs in a separate process."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], capture_output=True,
                          text=True, env={**os.environ, **environment}, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_numpy_and_little_more():
    heavy = "{'scipy', 'sklearn', 'matplotlib', 'pandas', 'tqdm', 'difflib'}"
    assert run(f"import sys, nnfast; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"


def test_denormals_are_kept_outside_of_native_calls():
    assert run("""
        import numpy as np, nnfast
        model = nnfast.Sequential([nnfast.Dense(8, "relu"), nnfast.Dense(2)], seed=0)
        model.compile("adam", "mse")
        model.fit(np.ones((64, 4)), np.ones((64, 2)), verbose=0, n_threads=2)
        model.predict(np.ones((64, 4)))
        print(np.float32(1e-40) * np.float32(1) != 0)
    """).strip() == "True"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_step_allocates_nothing(tmp_path, n_threads):
    count = runpy.run_path(str(ROOT / "benchmarks" / "suite" / "allocations.py"))
    if count["compiler"]() is None:
        pytest.skip("needs Linux and a C compiler")
    one, many = count["of_steps"](n_threads, tmp_path)
    assert many == one, f"{many - one} allocations in 99 steps"


@linux
@pytest.mark.parametrize("kind", ["memory", "read-only", "fortran", "memmap"])
def test_training_makes_no_copy_of_the_data(tmp_path, kind):
    raised = int(run("""
        import sys
        import numpy as np, nnfast
        kind, path, shape = sys.argv[1], sys.argv[2], (60000, 784)
        def peak():
            return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
        model = nnfast.Sequential([nnfast.Dense(84, "relu"), nnfast.Dense(10, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics="acc")
        if kind == "memmap":
            np.memmap(path, np.uint8, "w+", shape=shape).flush()
            x = np.memmap(path, np.uint8, "r", shape=shape)
            x.sum()                                             # its pages count as memory of the process
        else:
            x = np.ones(shape, np.uint8, order="F" if kind == "fortran" else "C")
            x.flags.writeable = kind != "read-only"
        y = np.zeros(60000, np.uint8)
        before = peak()
        model.fit(x, y, batch_size=256, epochs=1, verbose=0)
        print(peak() - before)
    """, kind, tmp_path / "x"))
    assert raised < 30_000, f"{raised} KiB over the data"


def test_a_pickle_holds_no_name_of_a_cpu_level():
    model = nnfast.Sequential([nnfast.Input(4), nnfast.Dense(3, "tanh")], seed=0)
    model.compile("adam", "mse", metrics=["mae"])
    assert b"network_" not in pickle.dumps(model)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).params, model.params)


def test_a_cpu_level_that_is_not_there_is_refused():
    done = subprocess.run([sys.executable, "-c", "import nnfast"], capture_output=True, text=True,
                          env={**os.environ, "NNFAST_CPU": "v9"})
    assert done.returncode != 0 and "NNFAST_CPU must name" in done.stderr


@pytest.mark.parametrize("level", nnfast._core.LEVELS)
def test_every_cpu_level_can_be_asked_for(level):
    assert level in run("import nnfast; nnfast.show_config()", NNFAST_CPU=level)


def test_silence_means_no_output(capfd):
    model = nnfast.Sequential([nnfast.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    model.evaluate(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    model.predict(np.ones((8, 3)))
    assert capfd.readouterr() == ("", "")


def test_a_line_per_epoch_and_a_bar_are_printed(capfd):
    model = nnfast.Sequential([nnfast.Dense(2)], seed=0)
    model.compile("sgd", "mse", metrics="mae")
    model.fit(np.ones((8, 3)), np.ones((8, 2)), epochs=3, verbose=1, validation_split=0.5)
    out, bar = capfd.readouterr()
    assert re.findall(r"Epoch (\d)/3 - .* - loss: .* - mae: .* - val_loss: .* - val_mae: ", out) == ["1", "2", "3"]
    assert "Epoch 3/3" in bar


def test_commands_of_the_package_run():
    """The benchmark with few rows and the demo with few epochs, which take a tenth of the time."""
    info = subprocess.run([sys.executable, "-m", "nnfast", "info"], capture_output=True, text=True, check=True)
    assert "CPU level" in info.stdout
    lines = run("""
        from nnfast import __main__ as commands, _bench
        for name, workload in _bench.WORKLOADS.items():
            _bench.WORKLOADS[name] = workload._replace(rows=2 * workload.batch_size)
        commands.main(["bench", "--seconds", "0.1"])
    """)
    assert re.search(r"\d GFLOP/s on 1 thread", lines)
    networks = {"mnist": "784-84-10", "small": "20-64-64-2", "tiny": "4-16-2", "mid": "100-256-256-10",
                "big": "1024-1024-1024-10"}
    for name, widths in networks.items():
        assert re.search(rf"^{name} +{widths} .* \d+%  #*$", lines, re.M), lines
    needs("sklearn")
    table = run("from nnfast import __main__ as commands; commands.EPOCHS = 2; commands.main(['demo'])")
    assert "66,790" in table and "GFLOP/s" in table and "scikit-learn" in table


def test_source_has_no_kernel_that_takes_the_gil_back():
    """A nogil function without noexcept asks for the GIL after every call."""
    for path in (ROOT / "nnfast" / "_core").glob("*.p*x*"):
        if path.suffix in (".pyx", ".pxd"):
            for line in path.read_text().splitlines():
                assert not re.search(r"cdef .*\) nogil", line) or "noexcept" in line, f"{path.name}: {line}"


def test_float_kernels_have_no_bare_constants():
    """In C `1 - a` is a double where a is a float.

    The whole expression becomes double with it, which leaves half the lanes.
    """
    for name in ("mathf.pxd", "activations.pxd", "optimizers.pxd"):
        for line in (ROOT / "nnfast" / "_core" / name).read_text().splitlines():
            code = line.split("#")[0]
            if re.match(r" {4,}(return|\w+(\[i\])? =) ", code) and not re.search(r"LANES|bits|64\(|power\(", code):
                constant = re.search(r"(?<![\w.>/-])\d+ [-+*/] [a-z(]|[a-z)\]] [-+*/] \d+\b(?!\.)", code)
                assert not constant, f"{name}: {line}"


def long_lines(source):
    """Numbers of the lines over 120 columns, or over 100 in comments and docstrings.

    C in `cdef extern` is code.
    """
    inside = in_c = False
    before = ""
    for number, line in enumerate(source.splitlines(), 1):
        quotes = line.count('"""')
        if quotes and not inside:
            in_c = before.startswith("cdef extern")
        prose = not in_c if inside or quotes else line.lstrip().startswith("#")
        if len(line) > (100 if prose else 120):
            yield number
        inside ^= quotes % 2 == 1
        before = line


def test_long_lines_are_found():
    source = ["# " + 98 * "-", "# " + 99 * "-",
              "def f():", '    """' + 93 * "d", 100 * "d", 101 * "d", '    """', 120 * "x", 121 * "x",
              "cdef extern from *:", '    """', "#include " + 100 * "h", 121 * "c", '    """',
              '    """' + 92 * "d" + '"""']
    assert list(long_lines("\n".join(source))) == [2, 6, 9, 13, 15]


@pytest.mark.parametrize("path", sorted((ROOT / "nnfast" / "_core").glob("*.p[xy][dixy]")),
                         ids=lambda path: path.name)
def test_files_of_the_core_are_short_and_so_are_their_lines(path):
    source = path.read_text()
    assert source.count("\n") <= 1300
    found = list(long_lines(source))
    assert not found, f"{path.name}: lines over 120 columns, or over 100 in comments and docstrings: {found}"
