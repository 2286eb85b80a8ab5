"""Compares twenty steps of train_step.pyx with twenty of nnfast's Sequential.

It prints, up to the last digits:

    float32: the weights differ by 6.0e-08
    float64: the weights differ by 1.1e-16
"""
import numpy as np
import train_step

import nnfast


def difference(dtype, rows=64, n_in=5, n_out=3):
    """The largest difference of two weights after twenty steps."""
    rng, width = np.random.default_rng(0), train_step.width_of(n_out, np.empty(1, dtype))
    x = rng.standard_normal((rows, n_in)).astype(dtype)
    y = rng.standard_normal((rows, width)).astype(dtype)
    model = nnfast.Sequential([nnfast.Input(n_in), nnfast.Dense(n_out, use_bias=False)], dtype=dtype, seed=0)
    model.compile(nnfast.optimizers.Adam(0.01), "mse")
    w, slots = np.zeros((n_in, width), dtype), np.zeros((2, n_in, width), dtype)
    gradient, values = np.empty((n_in, width), dtype), np.empty(rows)
    z, delta = np.empty((rows, width), dtype), np.empty((rows, width), dtype)
    w[:, :n_out] = model.get_weights()[0]
    for t in range(1, 21):
        train_step.step(x, y, w, slots, z, delta, gradient, values, n_out, 0.01, t)
        loss = model.train_on_batch(x, y[:, :n_out])
        assert np.isclose(loss, values.mean(), rtol=1e-5 if dtype == "float32" else 1e-12)
    return np.abs(w[:, :n_out] - model.get_weights()[0]).max()


if __name__ == "__main__":
    for dtype, most in [("float32", 1e-5), ("float64", 1e-12)]:
        off = difference(dtype)
        print(f"{dtype}: the weights differ by {off:.1e}")
        assert off < most
