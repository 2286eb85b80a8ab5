"""How far a result may lie from its reference: the one table of the tests.

Each entry is (relative, absolute) for float32 and float64.
"""
import numpy as np

ULPS = 3                    # of the functions of mathf.pxd, in units in the last place

TABLE = {
    #                   float32         float64
    "activation":     ((2e-6, 2e-6), (1e-14, 1e-14)),     # f(z) and delta f'(z) of moderate z
    "loss":           ((2e-6, 2e-6), (1e-13, 1e-13)),     # of a row, and its gradient
    "loss_powers":    ((1e-5, 1e-5), (1e-13, 1e-13)),     # exp(k z): the rounding of k z counts k z times
    "loss_edges":     ((2e-6, 2e-6), (1e-12, 1e-12)),     # logits of 1e4 cancel
    "focal":          ((1e-3, 2e-4), (1e-10, 1e-11)),     # 1 - p of p near 0 or 1 has few digits, and powers below 1 magnify them
    "peer":           (None, (1e-10, 1e-10)),             # another library's formula
    "peer_training":  (None, (1e-8, 1e-8)),               # twenty steps of another library
    "rounded_loss":   (None, (1e-3, 1e-8)),               # of a peer that subtracts a probability near 1 from 1
    "optimizer":      ((1e-6, 1e-7), (1e-14, 1e-15)),     # a few steps
    "optimizer_200":  ((1e-4, 1e-5), (1e-9, 1e-10)),      # two hundred steps
    "gradient":       ((2e-4, 2e-5), (1e-11, 1e-13)),     # through a network
    "training":       ((1e-4, 1e-4), (1e-10, 1e-10)),     # twenty steps
    "prediction":     ((2e-5, 2e-5), (1e-12, 1e-12)),     # and scores
    "levels":         ((1e-4, 1e-4), (1e-10, 1e-10)),     # CPU levels with and without fused multiply-add
    "own_loss":       ((1e-6, 1e-6), (1e-12, 1e-12)),     # a loss of the user trains as the built-in one
    "loop":           (None, (1e-12, 1e-12)),             # the loop written by hand
    "interchange":    ((1e-5, 1e-5), (1e-12, 1e-12)),     # the same network elsewhere
    "difference":     (None, (1e-6, 1e-8)),               # central finite differences
}
STEP = 1e-5                 # of central finite differences


def assert_close(actual, expected, what, dtype=np.float64):
    """Compares with the entry `what` of the table for a dtype."""
    relative, absolute = TABLE[what][np.dtype(dtype) == np.float64]
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=absolute)
