"""The kernels give the right values at every CPU level of the machine.

The fast run takes QUICK, in a process for each lower level: every activation, loss and optimizer
and the sizes of a product, each against its reference.  It also compares the bits of every kernel
between v3 and v4.
The slow run takes all tests in FILES, half a minute for each lower level.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loss_cases import CASES

from nnfast import _core
from nnfast._core import network as core

FILES = ["test_mathf.py", "test_kernels.py", "test_activations.py", "test_losses.py", "test_loss_training.py",
         "test_optimizers.py", "test_gradients.py", "test_training.py", "test_penalties.py", "test_sparse.py"]
QUICK = ["test_kernels.py::test_products_are_right_for_every_size_of_one_axis", "test_activations.py",
         "test_losses.py::test_value_and_gradient_match_formula",
         "test_optimizers.py::test_two_hundred_steps_follow_the_formula",
         "test_training.py::test_twenty_steps_follow_the_reference"]
lower_levels = pytest.mark.parametrize("level", _core.LEVELS[:-1])


def run(level, *arguments):
    """Runs pytest at a CPU level and expects that all tests pass."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments],
                          cwd=Path(__file__).parent, env={**os.environ, "NNFAST_CPU": level},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@lower_levels
def test_kernels_match_their_references_at_a_lower_cpu_level(level):
    run(level, "-m", "not peers and not slow", *QUICK)


@pytest.mark.slow
@lower_levels
def test_all_tests_of_the_kernels_pass_at_a_lower_cpu_level(level):
    run(level, "-m", "", *FILES)


def test_every_kernel_gives_the_same_bits_at_v3_and_v4():
    """In `a b + c d` the compiler picks the product it fuses; `multiply_add` says which."""
    if not {"v3", "v4"} <= set(_core.LEVELS):
        pytest.skip("this machine lacks CPU level v3 or v4")
    bits = {}
    for level in ("v3", "v4"):
        done = subprocess.run([sys.executable, "bits.py"], cwd=Path(__file__).parent, check=True,
                              env={**os.environ, "NNFAST_CPU": level}, capture_output=True, text=True)
        bits[level] = json.loads(done.stdout)
    assert len(bits["v3"]) > 2 * (len(core.ACTIVATIONS) + 3 * len(CASES) + len(core.OPTIMIZERS))
    assert [name for name in bits["v3"] if bits["v3"][name] != bits["v4"][name]] == []
