"""L-BFGS over the vector of all weights: the method is SciPy's, loss and gradient are the network's."""
import numpy as np

from nnfast import _threads
from nnfast._extras import extra


class Over(Exception):
    """Ends SciPy's loop, whatever its version."""


def fit(network, options, epochs, evaluate, run):
    """Trains for a range of epochs, an iteration each; fewer if the method converges.

    Parameters
    ----------
    network : Network
    options : LBFGS
    epochs : range
    evaluate : function of the number of an epoch
        Returns the logs at the weights of the network and leaves the gradients in it; None ends the fit.
    run : object with `begin_epoch`, `end_epoch`, `over`, `hooks`, `history`
    """
    with extra("scipy", needed_by="the optimizer LBFGS"):
        from scipy.optimize import minimize
    if run.hooks.by_batch:
        raise ValueError("hooks of batches, such as save_freq of ModelCheckpoint, do not go with LBFGS: it has no batches. "
                         "Use those of epochs.")
    if not epochs:
        return
    kept = network.params.copy()        # the weights of the last iteration: a line search may end at worse ones
    coming, last = iter(epochs), {"epoch": None, "point": None, "logs": None}

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
                     options={"maxcor": options.maxcor, "ftol": options.ftol, "gtol": options.gtol, "maxls": options.maxls,
                              "maxiter": len(epochs), "maxfun": (1 + options.maxls) * (1 + len(epochs))})
        if not run.history.epoch:       # converged before its first iteration
            network.params[:] = kept
            end_iteration(last["point"])
    except Over:
        pass
    finally:
        network.params[:] = kept
