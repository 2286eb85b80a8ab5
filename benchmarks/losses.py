"""python -m benchmarks.losses: how fast are value and gradient of each loss, compared with PyTorch?

One thread, float32, in turns, through the public functions of both: `loss.value_and_gradient(y, p)`
allocates a new gradient, and so does `backward`.  A loss that PyTorch does not have is written in
PyTorch's operations.
"""
import argparse

import numpy as np

from benchmarks.report import fastest, machine, meanwhile, others, restart, table
from nnfast import losses as L


def cases(torch):
    """(loss, kind of data, PyTorch's function of predictions and targets, shape) of each case."""
    F = torch.nn.functional

    def on(loss, kind, theirs, shape=(4096, 100)):
        return loss, kind, theirs, shape

    def mean(formula):
        return lambda p, y: formula(p, y).mean()

    return [
        on(L.SparseCategoricalCrossentropy(from_logits=True), "labels", F.cross_entropy, (256, 10)),
        on(L.SparseCategoricalCrossentropy(from_logits=True), "labels", F.cross_entropy, (4096, 1000)),
        on(L.MeanSquaredError(), "numbers", F.mse_loss),
        on(L.MeanAbsoluteError(), "numbers", F.l1_loss),
        on(L.MeanAbsolutePercentageError(), "positive",
           mean(lambda p, y: 100 * (p - y).abs() / y.abs().clamp(min=1e-7))),
        on(L.MeanSquaredLogarithmicError(), "positive",
           mean(lambda p, y: (p.clamp(min=1e-7).log1p() - y.clamp(min=1e-7).log1p())**2)),
        on(L.Huber(), "numbers", F.huber_loss),
        on(L.SmoothL1(), "numbers", F.smooth_l1_loss),
        on(L.LogCosh(), "numbers", mean(lambda p, y: (p - y) + F.softplus(-2 * (p - y)) - 0.6931472)),
        on(L.Quantile(0.9), "numbers", mean(lambda p, y: torch.maximum(0.9 * (y - p), -0.1 * (y - p)))),
        on(L.Expectile(0.9), "numbers", mean(lambda p, y: torch.where(y >= p, 0.9, 0.1) * (y - p)**2)),
        on(L.KLDivergence(), "probabilities", lambda p, y: (y * (y / p.clamp(1e-7, 1)).log()).sum(-1).mean()),
        on(L.Poisson(), "positive", lambda p, y: F.poisson_nll_loss(p, y, log_input=False)),
        on(L.Poisson(log_input=True), "positive", F.poisson_nll_loss),
        on(L.Gamma(), "positive", mean(lambda p, y: p + y * (-p).exp())),
        on(L.Tweedie(1.5), "positive", mean(lambda p, y: 2 * (p / 2).exp() + 2 * y * (-p / 2).exp())),
        on(L.Hinge(), "signs", mean(lambda p, y: (1 - y * p).clamp(min=0))),
        on(L.SquaredHinge(), "signs", mean(lambda p, y: (1 - y * p).clamp(min=0)**2)),
        on(L.BinaryCrossentropy(), "probabilities", F.binary_cross_entropy),
        on(L.BinaryCrossentropy(from_logits=True), "bits", F.binary_cross_entropy_with_logits),
        on(L.BinaryFocalCrossentropy(), "probabilities",
           mean(lambda p, y: (y + p - 2 * y * p)**2 * F.binary_cross_entropy(p, y, reduction="none"))),
        on(L.BinaryFocalCrossentropy(from_logits=True), "bits", mean(lambda p, y: torch.sigmoid(-(2 * y - 1) * p)**2
           * F.binary_cross_entropy_with_logits(p, y, reduction="none"))),
    ]


def data(kind, shape):
    """Targets and predictions of a kind."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal(shape).astype(np.float32)
    if kind == "labels":
        return rng.integers(0, shape[1], len(numbers)), numbers
    if kind == "positive":
        return rng.gamma(2, size=shape).astype(np.float32), rng.gamma(2, size=shape).astype(np.float32)
    if kind == "probabilities":
        return rng.uniform(0.1, 0.9, shape).astype(np.float32), rng.uniform(0.1, 0.9, shape).astype(np.float32)
    if kind == "numbers":
        return rng.standard_normal(shape).astype(np.float32), numbers
    bits = rng.integers(0, 2, shape).astype(np.float32)
    return (2 * bits - 1 if kind == "signs" else bits), numbers


def measure(torch, loss, kind, theirs, shape, repeats):
    """Seconds of one value and gradient: of nnfast, of PyTorch."""
    y, p = data(kind, shape)
    labels, tensor = torch.from_numpy(y), torch.from_numpy(p.copy()).requires_grad_()

    def backward():
        tensor.grad = None
        value = theirs(tensor, labels)
        value.backward()
        return value

    value, gradient = loss.value_and_gradient(y, p)
    np.testing.assert_allclose(value, backward().item(), rtol=1e-4)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-3, atol=1e-4 / len(p))
    count = max(1, 500_000 // p.size)

    def ours():
        for _ in range(count):
            loss.value_and_gradient(y, p)

    def pytorch():
        for _ in range(count):
            backward()

    return [seconds / count for seconds in fastest([ours, pytorch], repeats, 0.01)]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    restart(1)
    import torch

    torch.set_num_threads(1)
    begin, rows = others(), []
    for loss, kind, theirs, shape in cases(torch):
        ours, pytorch = measure(torch, loss, kind, theirs, shape, options.repeats)
        rows.append([repr(loss), "{} x {}".format(*shape), f"{ours * 1e6:.1f}", f"{pytorch * 1e6:.1f}",
                     f"{pytorch / ours:.2f}"])
    print(f"Microseconds of value and gradient, float32, one thread.  {machine()}; PyTorch {torch.__version__}.\n")
    print(table(["loss", "shape", "nnfast", "PyTorch", "PyTorch / nnfast"], rows))
    print(meanwhile(begin))


if __name__ == "__main__":
    main()
