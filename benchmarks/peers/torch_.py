"""PyTorch: a loop over mini-batches indexed by a permutation, without a DataLoader.

Variants are forms of Adam: `eager`, the default on the CPU (one operation for each tensor), and
`fused`, one kernel.  `compile` is `fused` with forward, loss and backward through `torch.compile`;
it is shown, not counted.
"""
from benchmarks.peers import timed
from benchmarks.suite import workloads

NAME = "PyTorch"
REQUIRES = ("torch",)
VARIANTS = ("eager", "fused", "compile")
NOT_COUNTED = ("compile",)


def network(name, torch):
    """The network with its initial weights; the outputs are logits, or values for a regression."""
    weights = [torch.from_numpy(array) for array in workloads.first_weights(name)]
    modules = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        layer = torch.nn.Linear(*kernel.shape, dtype=kernel.dtype)
        with torch.no_grad():
            layer.weight.copy_(kernel.T)
            layer.bias.copy_(bias)
        modules += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def prepare(name, variant, threads):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    workload = workloads.find(name)
    x, y = map(torch.from_numpy, workloads.data(name))
    net = network(name, torch)
    optimizer = torch.optim.Adam(net.parameters(), lr=workloads.LEARNING_RATE, fused=variant != "eager")
    criterion = torch.nn.MSELoss() if workload.loss == "mse" else torch.nn.CrossEntropyLoss()

    def loss(x, y):
        return criterion(net(x), y)

    if variant == "compile":
        loss = torch.compile(loss)

    def epoch():
        for rows in torch.randperm(workload.rows).split(workload.batch_size):
            optimizer.zero_grad()
            loss(x[rows], y[rows]).backward()
            optimizer.step()

    return timed(epoch), lambda: [p.detach().numpy().T for p in net.parameters()]
