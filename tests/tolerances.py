"""Tolerances of all tests, in one table.

Each entry is (relative, absolute) for float32 and for float64.
"""
import numpy as np

ULPS = 3                    # largest error of the functions of mathf.pxd, in units in the last place

TABLE = {
    #                   float32         float64
    "activation":     ((2e-6, 2e-6), (1e-14, 1e-14)),     # f(z) and delta f'(z) for moderate z
    "loss":           ((2e-6, 2e-6), (1e-13, 1e-13)),     # value of a row, and its gradient
    "loss_powers":    ((1e-5, 1e-5), (1e-13, 1e-13)),     # exp(k z) multiplies the rounding of k z by k z
    "loss_edges":     ((2e-6, 2e-6), (1e-12, 1e-12)),     # logits of 1e4 cancel
    "focal":          ((1e-3, 2e-4), (1e-10, 1e-11)),     # near p = 0 or 1, 1 - p has few digits; powers below 1
                                                          # magnify their error
    "peer":           (None, (1e-10, 1e-10)),             # the formula of another library
    "peer_training":  (None, (1e-8, 1e-8)),               # twenty steps, against another library
    "rounded_loss":   (None, (1e-3, 1e-8)),               # against a library that subtracts probabilities near 1 from 1
    "optimizer":      ((1e-6, 1e-7), (1e-14, 1e-15)),     # a few steps
    "optimizer_200":  ((1e-4, 1e-5), (1e-9, 1e-10)),      # two hundred steps
    "gradient":       ((2e-4, 2e-5), (1e-11, 1e-13)),     # of a network
    "training":       ((1e-4, 1e-4), (1e-10, 1e-10)),     # twenty steps
    "prediction":     ((2e-5, 2e-5), (1e-12, 1e-12)),     # outputs and scores
    "levels":         ((1e-4, 1e-4), (1e-10, 1e-10)),     # CPU levels with and without fused multiply-add
    "own_loss":       ((1e-6, 1e-6), (1e-12, 1e-12)),     # a loss of the user, against the built-in one
    "loop":           (None, (1e-12, 1e-12)),             # against a training loop written by hand
    "interchange":    ((1e-5, 1e-5), (1e-12, 1e-12)),     # against the same network in another tool
    "difference":     (None, (1e-6, 1e-8)),               # central finite differences
}
STEP = 1e-5                 # step of central finite differences


def assert_close(actual, expected, what, dtype=np.float64):
    """Compares with the tolerances `what` for this dtype."""
    relative, absolute = TABLE[what][np.dtype(dtype) == np.float64]
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=absolute)
