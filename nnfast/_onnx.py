"""A model as an ONNX graph.  This file imports onnx, so only `export_onnx` imports it.

Operators and the order of their inputs are those of opset 13
(https://onnx.ai/onnx/operators/, onnx.defs):

    Gemm(A, B, C)        A B + C, alpha = beta = 1, B of shape (n_in, n_out)
    Flatten(axis=1)      (rows, a, b) -> (rows, a b)
    Softmax(axis=-1)     over a row
    ReduceMean(axes)     axes is an attribute; keepdims = 1

Activations are in `_peers.py`.  Normalizations are composed: opset 13 has no LayerNormalization,
and the epsilon of BatchNormalization is a float32.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

from nnfast import layers
from nnfast._peers import ACTIVATIONS, IDENTITIES, Forms, gamma_and_beta, shift_factor_offset, unknown_activation
from nnfast._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

OPSET = 13
IR_VERSION = 7              # of ONNX 1.8, which brought opset 13; runtimes refuse versions they do not know
LARGEST = 2**31 - 2**20     # bytes of weights; a protobuf message holds at most 2 GiB


class Graph:
    """A graph under construction: nodes and weights are appended to it."""

    def __init__(self, model: Any) -> None:
        self.model, self.dtype = model, model.dtype
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.shape: tuple[int, ...] = model.input_shape[1:]
        self.units = math.prod(self.shape)                      # columns of the last output
        self.last = "x" if len(self.shape) == 1 else self.node("Flatten", "x", axis=1)      # its name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node; returns the name of its output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, array: ArrayLike, name: str) -> str:
        """Adds an array; returns its name."""
        self.weights.append(numpy_helper.from_array(np.array(array, self.dtype), name))
        return name

    def constant(self, number: float) -> str:
        """Adds a number; returns its name."""
        return self.weight(number, f"constant_{len(self.weights)}")

    def then(self, operator: str, array: NDArray[Any], what: str) -> None:
        """Adds last <- operator(last, array)."""
        self.last = self.node(operator, self.last, self.weight(array, f"{what}_{len(self.nodes)}"))

    def activation(self, name: str, z: str) -> str:
        """Adds an activation of the output named z; returns the name of its own output."""
        if name == "linear":
            return z
        row = ACTIVATIONS.get(name, Forms())
        if row.onnx_composed is not None and (row.onnx is None or self.dtype == np.float64):
            return row.onnx_composed(self, z)
        if row.onnx is not None:
            operator, attributes = row.onnx
            return self.node(operator, z, **attributes)
        known = [each for each, row in ACTIVATIONS.items() if row.onnx or row.onnx_composed]
        raise unknown_activation(name, "export_onnx", ["linear", *known])

    def serialized(self) -> bytes:
        """Contents of the file."""
        if self.model.params.nbytes > LARGEST:
            raise ValueError(f"an ONNX file holds up to 2 GB of weights; "
                             f"the model has {self.model.params.nbytes:,} bytes. Use float32 or fewer units.")
        if self.last == "x":
            self.node("Identity", "x")
        self.nodes[-1].output[0] = "y"
        number = helper.np_dtype_to_tensor_dtype(self.dtype)
        graph = helper.make_graph(
            self.nodes, "nnfast",
            [helper.make_tensor_value_info("x", number, ["rows", *self.shape])],
            [helper.make_tensor_value_info("y", number, ["rows", self.units])], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                 producer_name="nnfast", producer_version=__version__).SerializeToString()


def _dense(graph, layer, kernel, *bias):
    number = len(graph.nodes)                   # of the Gemm
    arrays = [graph.weight(array, f"{what}_{number}") for array, what in zip([kernel, *bias], ["kernel", "bias"])]
    graph.last = graph.activation(layer.activation, graph.node("Gemm", graph.last, *arrays))
    graph.units = layer.units


def _activation(graph, layer):
    graph.last = graph.activation(layer.activation, graph.last)


def _scale(graph, layer, *arrays):
    """(x - shift) factor + offset, without a shift or offset of zeros."""
    shift, factor, offset = shift_factor_offset(layer, arrays)
    if shift.any():
        graph.then("Sub", shift, "shift")
    graph.then("Mul", factor, "factor")
    if offset.any():
        graph.then("Add", offset, "offset")


def _layer_norm(graph, layer, *arrays):
    """gamma (x - mean) / sqrt(mean of (x - mean)^2 + epsilon) + beta."""
    gamma, beta, _ = gamma_and_beta(layer, arrays)
    centred = graph.node("Sub", graph.last, graph.node("ReduceMean", graph.last, axes=[-1]))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[-1])
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.constant(layer.epsilon)))
    graph.last = graph.node("Div", centred, deviation)
    if gamma is not None:
        graph.then("Mul", gamma, "gamma")
    if beta is not None:
        graph.then("Add", beta, "beta")


def _prelu(graph, layer, alpha):
    """max(x, 0) + alpha min(x, 0): ONNX Runtime (1.31) has no PRelu of doubles."""
    slope = graph.weight(alpha, f"alpha_{len(graph.nodes)}")
    below = graph.node("Mul", graph.node("Min", graph.last, graph.constant(0)), slope)
    graph.last = graph.node("Add", graph.node("Relu", graph.last), below)


WRITERS: dict[type[Any], Callable[..., None]] = {
    **dict.fromkeys(IDENTITIES, lambda graph, layer: None),
    layers.Dense: _dense,
    layers.Activation: _activation,
    **dict.fromkeys([layers.BatchNormalization, layers.Normalization, layers.Rescaling], _scale),
    layers.LayerNormalization: _layer_norm,
    layers.PReLU: _prelu,
}
