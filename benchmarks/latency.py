"""python -m benchmarks.latency: what does one row, or one small step, cost?

Prediction of one row by 20-64-64-2, compared with ONNX Runtime and PyTorch on the same weights,
one thread each.  And one step on 32 rows: through `train_on_batch`, in a native call of one step,
and in a native call of 1000 steps.  They take turns; the fastest of several repeats counts.
"""
import argparse
from importlib.util import find_spec

import numpy as np

from benchmarks.report import fastest, machine, meanwhile, others, restart, table
from benchmarks.suite import workloads
from nnfast._core import network as core

NAME = "small"
ROWS = 32
STEPS = 1000


def onnx_predict(weights):
    """A function that predicts with the network as an ONNX graph, by ONNX Runtime on one thread."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, last = [], "x"
    count = len(weights) // 2
    for i in range(count):
        nodes += [helper.make_node("MatMul", [last, f"w{i}"], [f"p{i}"]),
                  helper.make_node("Add", [f"p{i}", f"b{i}"], [f"z{i}"]),
                  helper.make_node("Softmax" if i == count - 1 else "Relu", [f"z{i}"], [f"a{i}"])]
        last = f"a{i}"
    graph = helper.make_graph(
        nodes, "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights[0])])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [None, len(weights[-1])])],
        [numpy_helper.from_array(array, f"{'wb'[i % 2]}{i // 2}") for i, array in enumerate(weights)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def torch_predict(weights):
    """A function that predicts with PyTorch in inference mode, from array to array."""
    import torch

    from benchmarks.peers.torch_ import network

    torch.set_num_threads(1)
    net = torch.nn.Sequential(*network(NAME, torch), torch.nn.Softmax(dim=1))

    def predict(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return predict


PEERS = {"ONNX Runtime": (onnx_predict, ("onnx", "onnxruntime")), "PyTorch inference_mode": (torch_predict, ("torch",))}


def predictions():
    """Functions that predict one row, by name; and the peers that are not installed."""
    x = workloads.data(NAME)[0][:1].copy()
    model = workloads.model(NAME)
    expected = model.predict(x)
    calls, missing = {"model.predict, 1 row": lambda: model.predict(x)}, []
    for name, (build, required) in PEERS.items():
        lacking = [module for module in required if find_spec(module) is None]
        if lacking:
            missing.append(f"{name} (no {', '.join(lacking)})")
            continue
        predict = build(model.get_weights())
        np.testing.assert_allclose(predict(x), expected, rtol=1e-5)
        calls[f"{name}, 1 row"] = lambda predict=predict: predict(x)
    return calls, missing


def steps():
    """{name: (function that trains on 32 rows, number of its steps)}."""
    model = workloads.model(NAME)
    x, y = (array[:ROWS].copy() for array in workloads.data(NAME))
    model.train_on_batch(x, y)
    network, sums, rate = model._network, np.zeros(1), workloads.LEARNING_RATE
    one = core.Batches(core.DenseRows(x), y, ROWS)
    many = core.Batches(core.DenseRows(np.tile(x, (STEPS, 1))), np.tile(y, STEPS), ROWS)

    def step():
        network.train_batches(one, 0, 1, rate, sums)

    def thousand_steps():
        network.train_batches(many, 0, STEPS, rate, sums)

    return {"model.train_on_batch, 32 rows": (lambda: model.train_on_batch(x, y), 1),
            "native step, one in a call": (step, 1),
            f"native step, one of {STEPS} in a call": (thousand_steps, STEPS)}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    restart(1)
    print(f"{machine()}\n")
    begin = others()
    calls, missing = predictions()
    training = steps()
    rows = list(zip(calls, fastest(list(calls.values()), repeats, 0.02), strict=True))
    seconds = fastest([call for call, _ in training.values()], repeats, 0.02)
    rows += [(name, time / count) for (name, (_, count)), time in zip(training.items(), seconds, strict=True)]
    widths = "-".join(map(str, workloads.WORKLOADS[NAME].widths))
    print(table([widths, "microseconds"], [(name, f"{time * 1e6:.2f}") for name, time in rows]))
    if missing:
        print(f"\nSkipped, not installed: {'; '.join(missing)}")
    print(f"\n{meanwhile(begin)}")


if __name__ == "__main__":
    main()
