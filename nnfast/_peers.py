"""Names and forms of nnfast's activations and layers in ONNX, C, Keras and PyTorch.

`ACTIVATIONS` has one row per activation.  Where a field is left out, nnfast refuses to read or
write the activation for that tool, with an error that says so.  This file imports none of these
tools.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nnfast import layers
from nnfast.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[Any]
    _Layer: TypeAlias = tuple[str, dict[str, tuple[Any, ...]]]      # name of its class, and values of its options


class Forms(NamedTuple):
    """What other tools call an activation, or how they compute it.

    In float64 ONNX takes the composed form where there is one: attributes of operators are float32,
    and ONNX Runtime has few operators of doubles.  In float32 it takes the operator first.
    """

    keras: str | None = None                    # function of keras.activations, with the same formula
    keras_layer: _Layer | None = None           # layer of keras.layers, if its options have one of these values
    torch: _Layer | None = None                 # module of torch.nn, likewise
    onnx: tuple[str, dict[str, float]] | None = None            # operator of opset 13 and its attributes
    onnx_composed: Callable[[Any, str], str] | None = None      # adds nodes f(z) to a _onnx.Graph; the name of f(z)
    c: str | None = None                        # expression of z; $f is the suffix of functions and constants


# -- builders for ONNX -----------------------------------------------------------------------------

def _scaled_elu(graph, z, scale, alpha):
    """scale (max(z, 0) + alpha (exp(min(z, 0)) - 1))."""
    below = graph.node("Sub", graph.node("Exp", graph.node("Min", z, graph.constant(0))), graph.constant(1))
    both = graph.node("Add", graph.node("Relu", z), graph.node("Mul", graph.constant(alpha), below))
    return graph.node("Mul", graph.constant(scale), both)


def _gelu(graph, z):
    """z (1 + erf(z / sqrt(2))) / 2."""
    share = graph.node("Add", graph.constant(1), graph.node("Erf", graph.node("Mul", z, graph.constant(0.5**0.5))))
    return graph.node("Mul", z, graph.node("Mul", graph.constant(0.5), share))


def _gelu_tanh(graph, z):
    """z sigmoid(2 sqrt(2 / pi) (z + 0.044715 z^3)): (1 + tanh(u)) / 2 is sigmoid(2 u)."""
    cube = graph.node("Mul", z, graph.node("Mul", z, z))
    inner = graph.node("Add", z, graph.node("Mul", graph.constant(0.044715), cube))
    return graph.node("Mul", z, graph.node("Sigmoid", graph.node("Mul", graph.constant((8 / np.pi)**0.5), inner)))


def _softplus(graph, z):
    """max(z, 0) + log(1 + exp(-|z|))."""
    small = graph.node("Exp", graph.node("Neg", graph.node("Abs", z)))
    return graph.node("Add", graph.node("Relu", z), graph.node("Log", graph.node("Add", graph.constant(1), small)))


def _hard_sigmoid(graph, z):
    """min(max(z / 6 + 1/2, 0), 1)."""
    line = graph.node("Add", graph.node("Div", z, graph.constant(6)), graph.constant(0.5))
    return graph.node("Clip", line, graph.constant(0), graph.constant(1))


# -- activations -----------------------------------------------------------------------------------

ACTIVATIONS = {
    "linear": Forms(keras="linear"),       # no step in ONNX and C
    "relu": Forms(
        keras="relu", keras_layer=("ReLU", {"negative_slope": (0,), "max_value": (None,), "threshold": (0,)}),
        torch=("ReLU", {}), onnx=("Relu", {}), c="z <= 0 ? 0 : z"),
    "sigmoid": Forms(keras="sigmoid", torch=("Sigmoid", {}), onnx=("Sigmoid", {}), c="1 / (1 + exp$f(-z))"),
    "tanh": Forms(keras="tanh", torch=("Tanh", {}), onnx=("Tanh", {}), c="tanh$f(z)"),
    "softmax": Forms(                      # in C a function of a row: _c_source.SOFTMAX
        keras="softmax", keras_layer=("Softmax", {"axis": (-1, 1)}), torch=("Softmax", {"dim": (-1, 1, None)}),
        onnx=("Softmax", {"axis": -1})),
    "leaky_relu": Forms(
        keras="leaky_relu", keras_layer=("LeakyReLU", {"negative_slope": (LEAKY_SLOPE,)}),
        torch=("LeakyReLU", {"negative_slope": (LEAKY_SLOPE,)}), onnx=("LeakyRelu", {"alpha": LEAKY_SLOPE}),
        onnx_composed=lambda graph, z: graph.node("Max", z, graph.node("Mul", z, graph.constant(LEAKY_SLOPE))),
        c=f"z <= 0 ? {LEAKY_SLOPE}$f * z : z"),
    "elu": Forms(
        keras="elu", keras_layer=("ELU", {"alpha": (1,)}), torch=("ELU", {"alpha": (1,)}), onnx=("Elu", {"alpha": 1.0}),
        onnx_composed=lambda graph, z: _scaled_elu(graph, z, 1, 1), c="z <= 0 ? expm1$f(z) : z"),
    "selu": Forms(
        keras="selu", torch=("SELU", {}), onnx=("Selu", {"gamma": SELU_SCALE, "alpha": SELU_ALPHA}),
        onnx_composed=lambda graph, z: _scaled_elu(graph, z, SELU_SCALE, SELU_ALPHA),
        c=f"{SELU_SCALE}$f * (z <= 0 ? {SELU_ALPHA}$f * expm1$f(z) : z)"),
    "gelu": Forms(
        keras="gelu", torch=("GELU", {"approximate": ("none",)}), onnx_composed=_gelu,
        c=f"0.5$f * z * (1 + erf$f({0.5**0.5!r}$f * z))"),
    "gelu_tanh": Forms(                    # (1 + tanh(u)) / 2 is sigmoid(2 u)
        torch=("GELU", {"approximate": ("tanh",)}), onnx_composed=_gelu_tanh,
        c=f"z / (1 + exp$f(-{(8 / math.pi)**0.5!r}$f * (z + 0.044715$f * z * z * z)))"),
    "silu": Forms(
        keras="silu", torch=("SiLU", {}), onnx_composed=lambda graph, z: graph.node("Mul", z, graph.node("Sigmoid", z)),
        c="z / (1 + exp$f(-z))"),
    "softplus": Forms(                     # its threshold in PyTorch: interchange._torch_softplus
        keras="softplus", torch=("Softplus", {"beta": (1,)}), onnx=("Softplus", {}), onnx_composed=_softplus,
        c="fmax$f(z, 0) + log1p$f(exp$f(-fabs$f(z)))"),
    "softsign": Forms(
        keras="softsign", torch=("Softsign", {}), onnx=("Softsign", {}),
        onnx_composed=lambda graph, z: graph.node("Div", z, graph.node("Add", graph.constant(1), graph.node("Abs", z))),
        c="z / (1 + fabs$f(z))"),
    "mish": Forms(
        keras="mish", torch=("Mish", {}),
        onnx_composed=lambda graph, z: graph.node("Mul", z, graph.node("Tanh", graph.activation("softplus", z))),
        c="z * tanh$f(fmax$f(z, 0) + log1p$f(exp$f(-fabs$f(z))))"),
    "hard_sigmoid": Forms(                 # Keras 3 and PyTorch: relu6(z + 3) / 6
        keras="hard_sigmoid", torch=("Hardsigmoid", {}), onnx=("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
        onnx_composed=_hard_sigmoid, c="z <= -3 ? 0 : z >= 3 ? 1 : z / 6 + 0.5$f"),
    "exponential": Forms(keras="exponential", onnx=("Exp", {}), c="exp$f(z)"),
}


def unknown_activation(name: str, who: str, known: list[str]) -> ValueError:
    """The error for an activation that the function `who` cannot write."""
    return ValueError(f"{who} cannot write the activation {name!r}; it writes {', '.join(sorted(known))}. "
                      f"Use one of these, or add the form to ACTIVATIONS in nnfast/_peers.py.")


# -- layers ----------------------------------------------------------------------------------------

# at inference these change nothing on flat rows
IDENTITIES: list[type[Any]] = [layers.Input, layers.Flatten, layers.Dropout, layers.GaussianNoise]


def gamma_and_beta(layer: Any, arrays: tuple[_Array, ...]) -> tuple[_Array | None, _Array | None, list[_Array]]:
    """gamma and beta of a normalization, None where it has none, and the arrays after them."""
    left = list(arrays)
    return left.pop(0) if layer.scale else None, left.pop(0) if layer.center else None, left


def shift_factor_offset(layer: Any, arrays: tuple[_Array, ...]) -> tuple[_Array, ...]:
    """Three vectors: at inference the layer computes (x - shift) factor + offset.

    The layer is a BatchNormalization, Normalization or Rescaling.
    """
    if isinstance(layer, layers.BatchNormalization):
        gamma, beta, (mean, variance) = gamma_and_beta(layer, arrays)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = (1 if gamma is None else gamma) / np.sqrt(variance.astype(np.float64) + layer.epsilon)
        arrays = mean, factor.astype(mean.dtype), np.zeros_like(mean) if beta is None else beta
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{layer!r} must have finite factors to be written; "
                         f"in {arrays[0].dtype} some are NaN or infinite. "
                         f"Variance + epsilon must be positive, and no number beyond the largest of the dtype.")
    return arrays
