"""A new activation and a new optimizer need only the lines that CONTRIBUTING.md lists.

The test inserts the lines below into a copy of the sources. It builds the copy for the lowest CPU
level without optimisation.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from optional import needs

from nnfast import _peers, activations, functional, losses
from nnfast._core import network as core

ROOT = Path(__file__).parent.parent

# Each entry: a file under nnfast/, a text that it holds exactly once, and the lines to insert
# before that text.
ACTIVATION = [
    ("_core/activations.pxd", "    N_ACTIVATIONS\n", "    CUBIC\n"),
    ("_core/activations.pxd", '        "linear": LINEAR,', '        "cubic": CUBIC,\n'),
    ("_core/activations.pxd", "kind == GELU or kind == GELU_TANH", "kind == CUBIC or "),
    ("_core/activations.pxd", "cdef inline void gelu(",
     '''cdef inline void cubic(floating* a, Py_ssize_t size) noexcept nogil:
    """a <- a^3."""
    cdef Py_ssize_t i
    for i in range(size):
        a[i] = a[i] * a[i] * a[i]


cdef inline void cubic_gradient(const floating* z, floating* delta, Py_ssize_t size) noexcept nogil:
    """delta <- 3 delta z^2."""
    cdef Py_ssize_t i
    for i in range(size):
        delta[i] = <floating>3 * delta[i] * z[i] * z[i]


'''),
    ("_core/activations.pxd", "    elif kind == GELU:\n        gelu(",
     "    elif kind == CUBIC:\n        cubic(a, size)\n"),
    ("_core/activations.pxd", "    elif kind == GELU:\n        gelu_gradient(",
     "    elif kind == CUBIC:\n        cubic_gradient(z, delta, size)\n"),
    ("activations.py", 'gelu, gelu_gradient = ', 'cubic, cubic_gradient = _functions("cubic", -INF, INF)\n'),
    ("activations.py", '"get", "elu"', '"cubic", '),
    ("functional.py", "    elu, elu_gradient,", "    cubic, cubic_gradient,\n"),
    ("functional.py", '"linear", "linear_gradient"', '"cubic", "cubic_gradient", '),
]
OPTIMIZER = [
    ("_core/optimizers.pxd", "    ADAGRAD\n", "    HALF\n"),
    ("_core/optimizers.pxd", '        "sgd": (SGD, 0)', '        "half": (HALF, 0),\n'),
    ("_core/optimizers.pxd", "cdef inline void momentum(",
     '''cdef inline void half(floating* w, const floating* g, Py_ssize_t size,
                      double learning_rate) noexcept nogil:
    """w <- w - lr g / 2."""
    cdef floating rate = learning_rate / 2
    cdef Py_ssize_t i
    for i in range(size):
        w[i] = w[i] - rate * g[i]


'''),
    ("_core/optimizers.pxd", "    elif kind == MOMENTUM:\n        momentum(",
     "    elif kind == HALF:\n        half(w, g, size, step.rate)\n"),
    ("optimizers.py", '"LBFGS", "SGD"', '"Half", '),
    ("optimizers.py", "@dataclass(repr=False)\nclass RMSprop(", '''@dataclass(repr=False)
class Half(Optimizer):
    """Gradient descent with half the learning rate."""

    learning_rate: object = 0.01

    def _kernel_and_settings(self):
        return "half", []


'''),
    ("functional.py", '"sgd_step", "rmsprop_step"', '"half_step", '),
    ("functional.py", "def rmsprop_step(", '''def half_step(params, grads, *, learning_rate=0.01, weight_decay=0.0):
    _step("half", params, grads, {}, 1, learning_rate, weight_decay)


'''),
]

TRAIN = '''
import numpy as np, nnfast
from nnfast import functional as F

stack = [nnfast.Input(3), nnfast.Dense(4, nnfast.activations.cubic, kernel_initializer="he_uniform"), nnfast.Dense(1)]
x = np.random.default_rng(0).uniform(-1, 1, (64, 3))
y = x[:, :1]**3
model = nnfast.Sequential(stack, dtype="float64", seed=0)
model.compile("half", "mse")
assert nnfast.gradcheck.gradcheck(model, x, y, verbose=False)
losses = model.fit(x, y, epochs=50, batch_size=16, verbose=0).history["loss"]
assert losses[-1] < losses[0] / 2, losses

z = np.array([-1., 0.5, 2.])
assert (F.cubic(z) == z**3).all() and (F.cubic_gradient(z, np.ones(3)) == 3 * z**2).all()
w = np.array([1.])
F.half_step(w, np.array([2.]), learning_rate=0.5)
assert w == 0.5 and nnfast.optimizers.get("half").learning_rate == 0.01


def refusal(call, *arguments):
    try:
        call(*arguments)
    except ValueError as error:
        return str(error)


class Activation:                       # as keras.layers.Activation
    activation = lambda z: z**3

Activation.__module__ = Activation.activation.__module__ = "keras.layers"
Activation.activation.__name__ = "cubic"
print(refusal(nnfast.export_c, model, "net.c"))
print(refusal(nnfast.interchange._keras_activation, Activation))
try:
    import onnx
except ImportError:
    pass
else:
    print(refusal(nnfast.export_onnx, model, "net.onnx"))
'''


def inserted(folder, lines):
    """Inserts the lines and returns the number of changed files."""
    for file, before, text in lines:
        path = folder / "nnfast" / file
        source = path.read_text()
        assert source.count(before) == 1, (file, before)
        path.write_text(source.replace(before, text + before))
    return len({file for file, _, _ in lines})


def test_the_lists_of_names_hold_every_activation_and_loss():
    assert set(activations.__all__) == {"get", *core.ACTIVATIONS}
    names = [*core.ACTIVATIONS, *losses._CLASSES]
    assert {*names, *(f"{name}_gradient" for name in names)} <= set(functional.__all__)
    assert _peers.ACTIVATIONS.keys() <= core.ACTIVATIONS.keys()


@pytest.mark.slow
def test_a_new_activation_and_optimizer_need_only_the_listed_lines(tmp_path):
    needs("Cython")
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("needs a C compiler")
    shutil.copytree(ROOT / "nnfast", tmp_path / "nnfast", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "setup.py").write_text(re.sub(r'^ +"v[34]": .*\n', "", (ROOT / "setup.py").read_text(), flags=re.M))
    assert inserted(tmp_path, ACTIVATION) <= 4
    assert inserted(tmp_path, OPTIMIZER) <= 4

    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NNFAST_DEBUG": "1"}
    environment.pop("NNFAST_CPU", None)
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([sys.executable, "-c", TRAIN], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    refused = done.stdout.splitlines()
    assert "export_c cannot write the activation 'cubic'" in refused[0]
    assert "'cubic' of keras.layers, which from_keras does not know" in refused[1]
    assert all("export_onnx cannot write the activation 'cubic'" in line for line in refused[2:])
    assert all("nnfast/_peers.py" in line for line in refused)
