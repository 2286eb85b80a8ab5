"""L-BFGS through SciPy, over the vector of all weights: SciPy has the method, the core the loss and its gradient."""
import numpy as np

from nnfast import _threads
from nnfast._core import network as core
from nnfast._extras import extra
from nnfast._ranges import train_in_ranges
from nnfast.layers import Layer


class Over(Exception):
    """Ends SciPy's loop, of any version."""


def fit(model, data, batches, epochs, team, run):
    """Iterations over the one batch of all rows, for the epochs of a range: fewer if the method converges."""
    with extra("scipy", needed_by="the optimizer LBFGS"):
        from scipy.optimize import minimize
    if run.hooks.by_batch:
        raise ValueError("hooks of batches, such as save_freq of ModelCheckpoint, do not go with LBFGS: it has no batches. Use those of epochs.")
    if not epochs:
        return
    network, options = model._network, model.optimizer
    if network.random or network.state.size and any(layer._moves_state for layer in model._owners):
        raise ValueError("LBFGS needs a loss that is a function of the weights alone: leave out Dropout, GaussianNoise and BatchNormalization.")
    if any(layer._constraints != Layer._constraints or layer._multiplier != 1 for layer in model._owners):
        raise ValueError("LBFGS moves all weights freely and has no learning rate: leave out constraints and learning_rate_multiplier.")
    kept = network.params.copy()                # the weights of the last iteration: those tried in a line search are not yet good
    coming, last = iter(epochs), {"epoch": None, "point": None, "logs": None}

    def loss_and_gradient(point):
        if last["epoch"] is None:
            last["epoch"] = next(coming)
            run.begin_epoch(last["epoch"])
        network.params[:] = point
        rows, order = batches.n_rows, batches.order
        sums, outputs = model._tally.sums(), model._tally.outputs(rows, model._units, model.dtype)
        [(_, status, place)] = train_in_ranges(network, batches, team, lambda *_: 0., sums, update=False, check=run.nonfinite != "ignore", outputs=outputs)
        if status != core.DONE:
            network.params[:] = kept
            model._failed(data, status, place, run.nonfinite, last["epoch"], 0)
            raise Over
        last["point"], last["logs"] = point.copy(), model._tally.logs(sums, rows, outputs, data, order)
        return last["logs"]["loss"], network.grads.astype(np.float64)

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
        if not run.history.epoch:               # converged before its first iteration
            network.params[:] = kept
            end_iteration(last["point"])
    except Over:
        pass
    finally:
        network.params[:] = kept
