"""A model as an ONNX graph: the only file that imports onnx.

Operators and the order of their inputs are those of opset 13 (https://onnx.ai/onnx/operators/, onnx.defs):

    Gemm(A, B, C)        A B + C, alpha = beta = 1, B as it lies: (n_in, n_out)
    Flatten(axis=1)      (rows, a, b) -> (rows, a b)
    Softmax(axis=-1)     over a row
    ReduceMean(axes)     axes is an attribute; keepdims = 1

Normalisations are put together: opset 13 has no LayerNormalization, and the epsilon of BatchNormalization is a float32.
OPERATORS are the activations that are one operator there, in COMPOSED those put together.  A float64 model takes the composed
form where there is one: attributes of operators are float32, and ONNX Runtime has few operators of doubles.
"""
import math

import numpy as np
from onnx import helper, numpy_helper

from nnfast import layers
from nnfast._version import __version__
from nnfast.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from nnfast.interchange import gamma_and_beta, shift_factor_offset

OPSET = 13
IR_VERSION = 7              # that of ONNX 1.8, which brought opset 13; runtimes refuse files of newer ones than they know
LARGEST = 2**31 - 2**20     # bytes of weights in a protobuf message, which ends at 2 GiB


class Graph:
    """Nodes and weights of a graph that grows at its end."""

    def __init__(self, model):
        self.model, self.dtype = model, model.dtype
        self.nodes, self.weights = [], []
        self.shape = model.input_shape[1:]
        self.units = math.prod(self.shape)      # columns of what the last layer gave
        self.last = "x" if len(self.shape) == 1 else self.node("Flatten", "x", axis=1)      # its name; flat from the start

    def node(self, operator, *inputs, **attributes):
        """Adds a node; the name of its output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, array, name):
        """Adds an array; its name."""
        self.weights.append(numpy_helper.from_array(np.array(array, self.dtype), name))
        return name

    def constant(self, number):
        """Adds a number; its name."""
        return self.weight(number, f"constant_{len(self.weights)}")

    def then(self, operator, array, what):
        """Adds last <- operator(last, array)."""
        self.last = self.node(operator, self.last, self.weight(array, f"{what}_{len(self.nodes)}"))

    def activation(self, name, z):
        """Adds an activation of what is called z; the name of its output."""
        if name == "linear":
            return z
        if name in OPERATORS and not (name in COMPOSED and self.dtype == np.float64):
            operator, attributes = OPERATORS[name]
            return self.node(operator, z, **attributes)
        return COMPOSED[name](self, z)

    def serialized(self):
        """The file."""
        if self.model.params.nbytes > LARGEST:
            raise ValueError(f"an ONNX file holds up to 2 GB of weights; the model has {self.model.params.nbytes:,} bytes.")
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


def scaled_elu(graph, z, scale, alpha):
    """scale (max(z, 0) + alpha (exp(min(z, 0)) - 1))."""
    below = graph.node("Sub", graph.node("Exp", graph.node("Min", z, graph.constant(0))), graph.constant(1))
    both = graph.node("Add", graph.node("Relu", z), graph.node("Mul", graph.constant(alpha), below))
    return graph.node("Mul", graph.constant(scale), both)


def gelu(graph, z):
    """z (1 + erf(z / sqrt(2))) / 2."""
    share = graph.node("Add", graph.constant(1), graph.node("Erf", graph.node("Mul", z, graph.constant(0.5**0.5))))
    return graph.node("Mul", z, graph.node("Mul", graph.constant(0.5), share))


def gelu_tanh(graph, z):
    """z sigmoid(2 sqrt(2 / pi) (z + 0.044715 z^3)): (1 + tanh(u)) / 2 is sigmoid(2 u)."""
    cube = graph.node("Mul", z, graph.node("Mul", z, z))
    inner = graph.node("Add", z, graph.node("Mul", graph.constant(0.044715), cube))
    return graph.node("Mul", z, graph.node("Sigmoid", graph.node("Mul", graph.constant((8 / np.pi)**0.5), inner)))


def softplus(graph, z):
    """max(z, 0) + log(1 + exp(-|z|))."""
    rest = graph.node("Log", graph.node("Add", graph.constant(1), graph.node("Exp", graph.node("Neg", graph.node("Abs", z)))))
    return graph.node("Add", graph.node("Relu", z), rest)


def hard_sigmoid(graph, z):
    """min(max(z / 6 + 1/2, 0), 1)."""
    line = graph.node("Add", graph.node("Div", z, graph.constant(6)), graph.constant(0.5))
    return graph.node("Clip", line, graph.constant(0), graph.constant(1))


OPERATORS = {
    "relu": ("Relu", {}), "sigmoid": ("Sigmoid", {}), "tanh": ("Tanh", {}), "softmax": ("Softmax", {"axis": -1}),
    "exponential": ("Exp", {}), "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}), "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {"gamma": SELU_SCALE, "alpha": SELU_ALPHA}), "softplus": ("Softplus", {}), "softsign": ("Softsign", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}
COMPOSED = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": lambda graph, z: graph.node("Mul", z, graph.node("Sigmoid", z)),
    "mish": lambda graph, z: graph.node("Mul", z, graph.node("Tanh", graph.activation("softplus", z))),
    "leaky_relu": lambda graph, z: graph.node("Max", z, graph.node("Mul", z, graph.constant(LEAKY_SLOPE))),
    "elu": lambda graph, z: scaled_elu(graph, z, 1, 1),
    "selu": lambda graph, z: scaled_elu(graph, z, SELU_SCALE, SELU_ALPHA),
    "softplus": softplus,
    "softsign": lambda graph, z: graph.node("Div", z, graph.node("Add", graph.constant(1), graph.node("Abs", z))),
    "hard_sigmoid": hard_sigmoid,
}


def _dense(graph, layer, kernel, *bias):
    number = len(graph.nodes)                   # of the Gemm
    arrays = [graph.weight(array, f"{what}_{number}") for array, what in zip([kernel, *bias], ["kernel", "bias"])]
    graph.last, graph.units = graph.activation(layer.activation, graph.node("Gemm", graph.last, *arrays)), layer.units


def _activation(graph, layer):
    graph.last = graph.activation(layer.activation, graph.last)


def _scale(graph, layer, *arrays):
    """(x - shift) factor + offset, without what does nothing."""
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
    graph.last = graph.node("Div", centred, graph.node("Sqrt", graph.node("Add", variance, graph.constant(layer.epsilon))))
    if gamma is not None:
        graph.then("Mul", gamma, "gamma")
    if beta is not None:
        graph.then("Add", beta, "beta")


def _prelu(graph, layer, alpha):
    """max(x, 0) + alpha min(x, 0): ONNX Runtime (1.31) has no PRelu of doubles."""
    below = graph.node("Mul", graph.node("Min", graph.last, graph.constant(0)), graph.weight(alpha, f"alpha_{len(graph.nodes)}"))
    graph.last = graph.node("Add", graph.node("Relu", graph.last), below)


WRITERS = {
    **dict.fromkeys([layers.Input, layers.Flatten, layers.Dropout, layers.GaussianNoise], lambda graph, layer: None),
    layers.Dense: _dense,
    layers.Activation: _activation,
    **dict.fromkeys([layers.BatchNormalization, layers.Normalization, layers.Rescaling], _scale),
    layers.LayerNormalization: _layer_norm,
    layers.PReLU: _prelu,
}
