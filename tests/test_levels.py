"""Every kernel at every CPU level of the machine: the tests of the kernels again, in a process for each lower level."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnfast import _core

FILES = ["test_mathf.py", "test_kernels.py", "test_activations.py", "test_losses.py", "test_optimizers.py", "test_gradients.py", "test_training.py"]


@pytest.mark.parametrize("level", _core.LEVELS[:-1])
def test_kernels_pass_at_a_lower_cpu_level(level):
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *FILES], cwd=Path(__file__).parent,
                          env={**os.environ, "NNFAST_CPU": level}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
