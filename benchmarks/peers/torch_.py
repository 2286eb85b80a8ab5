"""PyTorch: a loop over minibatches indexed by a permutation, without a DataLoader.

Variants are Adam's: `eager` is the default of the CPU (one operation per tensor), `fused` one kernel.
"""
import time

from benchmarks.suite import workloads

NAME = "PyTorch"
REQUIRES = ("torch",)
VARIANTS = ("eager", "fused")


def network(name, torch):
    """The network with the first weights; its outputs are logits."""
    weights = [torch.from_numpy(array) for array in workloads.first_weights(name)]
    modules = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        layer = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(kernel.T)
            layer.bias.copy_(bias)
        modules += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def train(name, variant, threads, epochs):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    workload = workloads.WORKLOADS[name]
    x, y = map(torch.from_numpy, workloads.data(name))
    net = network(name, torch)
    optimizer = torch.optim.Adam(net.parameters(), lr=workloads.LEARNING_RATE, fused=variant == "fused")
    loss = torch.nn.CrossEntropyLoss()
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        for rows in torch.randperm(workload.rows).split(workload.batch_size):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return seconds, [p.detach().T.numpy() for p in net.parameters()]
