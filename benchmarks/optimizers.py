"""python -m benchmarks.optimizers: how fast is a step of each optimizer, compared with PyTorch?

One thread, float32, the 66,790 parameters of 784-84-10, in turns, through the public functions of
both: a function of nnfast.functional on one vector of all parameters, with its checks, and
`step()` of torch.optim on the four tensors of the network, in the fastest of its forms `fused`,
`foreach` and the plain loop.  The first steps of both are compared.  The step inside of `fit`
makes no calls of Python, so it takes less.
"""
import argparse
import inspect
from itertools import count
from statistics import median

import numpy as np

from benchmarks.report import machine, meanwhile, others, restart, table, turns
from nnfast import functional as F

SHAPES = [(784, 84), (84,), (84, 10), (10,)]
RATE = 1e-3
MOMENTUM = {"momentum": 0.9}
NESTEROV = {**MOMENTUM, "nesterov": True}
CASES = [       # name, nnfast's function, its arrays of state and options, PyTorch's class and options
    ("SGD", F.sgd_step, "", {}, "SGD", {}),
    ("SGD, momentum", F.sgd_step, "velocity", MOMENTUM, "SGD", MOMENTUM),
    ("SGD, Nesterov", F.sgd_step, "velocity", NESTEROV, "SGD", NESTEROV),
    ("RMSprop", F.rmsprop_step, "v", {}, "RMSprop", {"alpha": 0.9}),
    ("RMSprop, momentum", F.rmsprop_step, "v velocity", MOMENTUM, "RMSprop", {"alpha": 0.9, **MOMENTUM}),
    ("RMSprop, centered", F.rmsprop_step, "v mean", {}, "RMSprop", {"alpha": 0.9, "centered": True}),
    ("RMSprop, centered, momentum", F.rmsprop_step, "v mean velocity", MOMENTUM,
     "RMSprop", {"alpha": 0.9, **MOMENTUM, "centered": True}),
    ("Adam", F.adam_step, "m v", {}, "Adam", {}),
    ("Adam, AMSGrad", F.adam_step, "m v largest", {}, "Adam", {"amsgrad": True}),
    ("AdamW", F.adam_step, "m v", {"weight_decay": 0.01}, "AdamW", {"weight_decay": 0.01}),
    ("Adagrad", F.adagrad_step, "total", {}, "Adagrad", {}),
    ("Adadelta", F.adadelta_step, "v d", {"epsilon": 1e-6}, "Adadelta", {"rho": 0.95}),
    ("Adamax", F.adamax_step, "m u", {}, "Adamax", {}),
    ("Nadam", F.nadam_step, "m v", {}, "NAdam", {"momentum_decay": 1}),
    ("RAdam", F.radam_step, "m v", {}, "RAdam", {}),
    ("Lion", F.lion_step, "m", {}, None, {}),
]


def vector(arrays):
    """All elements in one vector."""
    return np.concatenate([np.ravel(array) for array in arrays])


def measure(torch, shapes, function, state, options, peer, peer_options, repeats, seconds=0.005):
    """Seconds of a step in each turn: {"nnfast": [...], form of PyTorch: [...], ...}."""
    rng = np.random.default_rng(0)
    gradients = [(rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape)).astype(np.float32) for shape in shapes]
    g = vector(gradients)
    w, slots, steps = np.zeros_like(g), {name: np.zeros_like(g) for name in state.split()}, count(1)
    if "step" in inspect.signature(function).parameters:
        calls = {"nnfast": lambda: function(w, g, **slots, step=next(steps), learning_rate=RATE, **options)}
    else:
        calls = {"nnfast": lambda: function(w, g, **slots, learning_rate=RATE, **options)}
    calls["nnfast"]()
    if peer:
        cls = getattr(torch.optim, peer)
        forms = {"fused": {"fused": True}} if "fused" in inspect.signature(cls).parameters else {}
        for form, chosen in {**forms, "foreach": {"foreach": True}, "loop": {"foreach": False}}.items():
            tensors = [torch.zeros(shape, requires_grad=True) for shape in shapes]
            for tensor, gradient in zip(tensors, gradients, strict=True):
                tensor.grad = torch.tensor(gradient)
            calls[form] = cls(tensors, lr=RATE, **peer_options, **chosen).step
            calls[form]()
            np.testing.assert_allclose(w, vector(tensor.detach() for tensor in tensors), rtol=1e-3)
    return dict(zip(calls, turns(list(calls.values()), repeats, seconds), strict=True))


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers", description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    restart(1)
    import torch

    torch.set_num_threads(1)
    begin, rows = others(), []
    for name, *case in CASES:
        times = measure(torch, SHAPES, *case, options.repeats)
        form = min(times.keys() - {"nnfast"}, key=lambda form: min(times[form]), default=None)
        shown = [f"{min(times[one]) * 1e6:.1f} ({median(times[one]) * 1e6:.1f})" if one else "-"
                 for one in ("nnfast", form)]
        rows.append([name, *shown, form or "-", f"{min(times[form]) / min(times['nnfast']):.1f}" if form else "-"])
    print(f"Microseconds of a step, fastest and (median) turn, float32, one thread.  {machine()}; "
          f"PyTorch {torch.__version__}.\n")
    print(table(["optimizer", "nnfast", "PyTorch", "its form", "PyTorch / nnfast"], rows))
    print(meanwhile(begin))


if __name__ == "__main__":
    main()
