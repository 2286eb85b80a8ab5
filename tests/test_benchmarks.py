"""The comparisons of instruction counts and of optimizers.

valgrind is not needed here: `check.py --self-test` checks the counts themselves.
"""
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from test_optimizers import STEPS

ROOT = Path(__file__).parent.parent
PATH = ROOT / "benchmarks" / "instructions" / "check.py"
KEY, OTHER = "GCC 12, Cython 3, x86_64", "Clang 19, Cython 3, x86_64"
BASELINE = {"train (step)": 10_000, "relu (number)": 0.5}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """check.py with a temporary baseline for KEY and OTHER; it measures what `counts` holds."""
    monkeypatch.setattr("sys.path", [*sys.path])
    spec = importlib.util.spec_from_file_location("instructions_check", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.counts, module.key = dict(BASELINE), KEY
    monkeypatch.setattr(module, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(module, "describe", lambda path=None: {"package": "here", "key": module.key})
    monkeypatch.setattr(module, "measure", lambda path=None: module.counts)
    module.BASELINE.write_text(json.dumps({KEY: BASELINE, OTHER: BASELINE}))
    return module


@pytest.mark.parametrize("factor, code, change, said", [
    (1.03, 1, "+3.00 %", "slower"),
    (0.97, 0, "-3.00 %", "--update"),
    (1.01, 0, "+1.00 %", None),
    (0.99, 0, "-1.00 %", None),
])
def test_only_more_than_two_per_cent_above_the_baseline_fails(check, capsys, factor, code, change, said):
    check.counts["train (step)"] *= factor
    assert check.main([]) == code
    text = capsys.readouterr().out
    [row] = [line for line in text.splitlines() if line.startswith("| train (step)")]
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["10,000", f"{10_000 * factor:,.0f}", change]
    assert said in text if said else "More than" not in text


def test_a_missing_or_new_entry_fails(check, capsys):
    check.counts = {"train (step)": 10_000, "tanh (number)": 3.0}
    assert check.main([]) == 1
    text = capsys.readouterr().out
    assert "not measured" in text and "not in the baseline" in text and "relu (number), tanh (number)" in text


def test_a_missing_baseline_for_the_compiler_is_reported_before_measuring(check, capsys, monkeypatch):
    check.key = "GCC 99, Cython 3, x86_64"
    monkeypatch.setattr(check, "measure", lambda path=None: pytest.fail("measured"))
    assert check.main([]) == 2
    text = capsys.readouterr().out
    assert f"No baseline for {check.key}" in text and "--update" in text


@pytest.mark.parametrize("key", [KEY, "GCC 99, Cython 3, x86_64"])
def test_update_writes_one_baseline_and_keeps_the_others(check, key):
    check.key, check.counts = key, {"train (step)": 20_000}
    assert check.main(["--update"]) == 0
    assert json.loads(check.BASELINE.read_text()) == {KEY: BASELINE, OTHER: BASELINE, key: check.counts}
    assert check.main([]) == 0


def test_the_self_test_passes_only_if_the_slower_copy_is_refused(check, monkeypatch):
    monkeypatch.setattr(check, "sabotage", lambda copy: None)
    assert check.main(["--self-test"]) == 1
    check.counts["train (step)"] *= 1.03
    assert check.main(["--self-test"]) == 0


def test_the_lines_that_the_self_test_changes_are_in_the_sources(check):
    for name, pattern, _, expected in check.SABOTAGE:
        assert len(check.re.findall(pattern, (check.ROOT / name).read_text())) == expected


def test_only_instructions_inside_the_shared_object_are_counted(check):
    lines = """part: 1
ob=/usr/lib/libc.so
fn=memcpy
0 1000
part: 2
0 50
ob=/site-packages/nnfast/_core/network_v3.cpython-311.so
fn=train
0 7
cob=/usr/lib/libc.so
cfn=memcpy
calls=3 0
0 500
12 5
ob=/usr/lib/libc.so
fn=memcpy
0 1000
totals: 1512
"""
    assert check.parts(iter(lines.splitlines(keepends=True))) == [0, 12]


def test_the_committed_baselines_have_the_same_entries():
    entries = [list(counts) for counts in json.loads(PATH.with_name("baseline.json").read_text()).values()]
    assert entries and all(names == entries[0] for names in entries)


def test_the_comparison_of_optimizers_has_all_of_them_and_checks_equal_steps(torch, monkeypatch):
    """`measure` compares the first steps of both; a wrong option for PyTorch fails there."""
    monkeypatch.syspath_prepend(ROOT)
    optimizers = importlib.import_module("benchmarks.optimizers")
    compared = {(function, frozenset(state.split())) for _, function, state, *_ in optimizers.CASES}
    assert compared == {(function, frozenset(names)) for function, names in STEPS.values()}
    for name, *case in optimizers.CASES:
        times = optimizers.measure(torch, [(3, 4), (4,)], *case, repeats=2, seconds=0)
        assert ("loop" in times) == (name != "Lion")
        assert all(len(turns) == 2 and min(turns) > 0 for turns in times.values())
    *case, options = optimizers.CASES[3][1:]
    with pytest.raises(AssertionError, match="Not equal"):
        optimizers.measure(torch, [(3, 4), (4,)], *case, {**options, "alpha": 0.8}, repeats=2, seconds=0)
