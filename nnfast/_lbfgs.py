"""L-BFGS over the vector of all weights.

The method is SciPy's; loss and gradient are computed by the network.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nnfast import _threads
from nnfast._extras import extra

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Over(Exception):
    """Raised in a callback of SciPy's `minimize` to end it, in every version of SciPy."""


def fit(network: Any, options: Any, epochs: range, evaluate: Callable[[int], dict[str, Any] | None], run: Any) -> None:
    """Trains one iteration per epoch; fewer if the method converges.

    Parameters
    ----------
    network : Network
    options : LBFGS
    epochs : range
    evaluate : function
        epoch -> logs at the weights of the network, or None to end the fit.  It leaves the
        gradients in `network.grads`.
    run : object with `begin_epoch`, `end_epoch`, `over`, `hooks`, `history`
        The running fit, `models._Fit`.
    """
    with extra("scipy", needed_by="the optimizer LBFGS"):
        from scipy.optimize import minimize
    if run.hooks.by_batch:
        raise ValueError("LBFGS must be used without hooks of batches, such as save_freq of ModelCheckpoint: it has no "
                         "batches. Use hooks of epochs.")
    if not epochs:
        return
    kept = network.params.copy()        # the weights of the last iteration: a line search may end at worse ones
    coming = iter(epochs)
    last: dict[str, Any] = {"epoch": None, "point": None, "logs": None}

    def loss_and_gradient(point):
        if last["epoch"] is None:
            last["epoch"] = next(coming)
            run.begin_epoch(last["epoch"])
        network.params[:] = point
        logs = evaluate(last["epoch"])
        if logs is None:
            raise Over
        last["point"], last["logs"] = point.copy(), logs
        return logs["loss"], network.grads.astype(np.float64)

    def end_iteration(point):
        if not np.array_equal(point, last["point"]):
            loss_and_gradient(point)
        kept[:] = network.params
        epoch, last["epoch"] = last["epoch"], None
        run.end_epoch(epoch, last["logs"])
        if epoch == epochs[-1] or run.over():
            raise Over

    try:
        with _threads.one_blas_thread():
            minimize(loss_and_gradient, kept.astype(np.float64), jac=True, method="L-BFGS-B", callback=end_iteration,
                     options={"maxcor": options.maxcor, "ftol": options.ftol, "gtol": options.gtol,
                              "maxls": options.maxls, "maxiter": len(epochs),
                              "maxfun": (1 + options.maxls) * (1 + len(epochs))})
        if not run.history.epoch:       # converged before its first iteration
            network.params[:] = kept
            end_iteration(last["point"])
    except Over:
        pass
    finally:
        network.params[:] = kept
