"""Trains a small network with the installed wheel at a CPU level, and checks that it learned."""
import sys

import numpy as np

import nnfast
from nnfast import _core

assert _core.LEVEL == sys.argv[1], _core.LEVEL
assert "site-packages" in nnfast.__file__, nnfast.__file__
x = np.random.default_rng(0).standard_normal((2000, 8))
model = nnfast.Sequential([nnfast.Dense(16, "relu"), nnfast.Dense(1, "sigmoid")], seed=0)
model.compile("adam", "binary_crossentropy", metrics="accuracy")
history = model.fit(x, x[:, 0] * x[:, 1] > 0, epochs=40, verbose=0).history
assert history["accuracy"][-1] > 0.9, history
print(f"accuracy {history['accuracy'][-1]:.3f}")
