"""Every kernel at every CPU level of the machine: the tests of the kernels again, in a process for each lower level."""
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from loss_cases import CASES

from nnfast import _core
from nnfast._core import network as core

FILES = ["test_mathf.py", "test_kernels.py", "test_activations.py", "test_losses.py", "test_loss_training.py",
         "test_optimizers.py", "test_gradients.py", "test_training.py", "test_penalties.py", "test_sparse.py"]


@pytest.mark.parametrize("level", _core.LEVELS[:-1])
def test_kernels_pass_at_a_lower_cpu_level(level):
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *FILES], cwd=Path(__file__).parent,
                          env={**os.environ, "NNFAST_CPU": level}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


KERNELS = """
    import hashlib, json
    import numpy as np
    from nnfast import functional as F
    from nnfast._core import network as core
    from loss_cases import CASES
    from optimizer_cases import make

    rng, bits = np.random.default_rng(0), {}

    def keep(name, *arrays):
        bits[name] = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]

    for dtype in ("float32", "float64"):
        z, delta = (3 * rng.standard_normal((2, 500, 21))).astype(dtype)
        for name in core.ACTIVATIONS:
            keep(f"{dtype} {name}", getattr(F, name)(z), getattr(F, f"{name}_gradient")(z, delta))
        for i, case in enumerate(CASES):
            for shape in ((500, 21), (3, 1100), (600, 1)):
                of = case.data(shape, rng, dtype)
                loss = case.loss(of[1].shape[1], reduction=None)
                keep(f"{dtype} {i} {case} {shape}", loss(*of), *loss.value_and_gradient(*of))
        y = rng.random((500, 21)).astype(dtype)
        keep(f"{dtype} product", F.dense_forward(z, delta[:21]))
        for n_in, n_out in [(n, 40) for n in range(1, 10)] + [(40, n) for n in range(1, 10)] + [(20, 84), (3, 3)]:
            x, kernel, d = (rng.standard_normal(shape).astype(dtype) for shape in ((37, n_in), (n_in, n_out), (37, n_out)))
            keep(f"{dtype} products {n_in} {n_out}", F.dense_forward(x, kernel), *F.dense_backward(x, kernel, d))
        for kernel, (code, n_slots) in core.OPTIMIZERS.items():
            optimizer = make(kernel, 0.01, weight_decay=0.1)
            w, slots = y.ravel().copy(), np.full((n_slots, y.size), optimizer._start(), dtype)
            for step in range(1, 30):
                core.apply_optimizer(code, w, delta.ravel(), slots, optimizer._native()[1], 0.01, step, 0.1)
            keep(f"{dtype} {kernel}", w, slots)
        w, m, v = y.copy(), np.zeros_like(y), np.zeros_like(y)
        for step in (1, 2, 3):
            F.adam_step(w, delta, m, v, step)
            F.sgd_step(w, delta, m, momentum=0.9, nesterov=step == 2)
            F.sgd_step(w, delta)
        keep(f"{dtype} optimizers", w, m, v)
    print(json.dumps(bits))
"""


def test_every_kernel_gives_the_same_bits_at_v3_and_v4():
    """In `a b + c d` the compiler picks the product it fuses; `multiply_add` says which."""
    if not {"v3", "v4"} <= set(_core.LEVELS):
        pytest.skip("this machine lacks CPU level v3 or v4")
    bits = {}
    for level in ("v3", "v4"):
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(KERNELS)], env={**os.environ, "NNFAST_CPU": level},
                              cwd=Path(__file__).parent,
                              capture_output=True, text=True, check=True)
        bits[level] = json.loads(done.stdout)
    assert len(bits["v3"]) > 2 * (len(core.ACTIVATIONS) + 3 * len(CASES) + len(core.OPTIMIZERS))
    assert [name for name in bits["v3"] if bits["v3"][name] != bits["v4"][name]] == []
