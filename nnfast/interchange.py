"""Networks to and from other tools: ONNX and C out; scikit-learn, Keras and PyTorch in and out.

`layers_and_arrays` takes a model apart and `_assembled` makes one.  Each format is a table from the
class of a layer to a short function, so a new layer is one entry in each.  A layer without an
entry is refused by its name:

    _onnx.WRITERS        nodes of the graph          SKLEARN_WRITERS      coefs_, intercepts_
    _c_source.WRITERS    steps of the C function     TORCH_WRITERS        entries of a state_dict
                                                     KERAS_READERS, TORCH_READERS
                                                                          their layers to ours

What the tools call an activation is in `_peers.py`.  Readers know the layers of another tool by the
name of their class and by their public attributes: no tool is imported here.  `_check_options`
compares every option that changes predictions with what nnfast computes.

Layers and weights are carried, Dropout and GaussianNoise included.  Layers of other tools that act
only in training, e.g. AlphaDropout, are left out.  Optimizers, losses, initializers, regularizers,
constraints and random states are not carried.
"""
from __future__ import annotations

import math
import os
import sys
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from nnfast import activations, layers
from nnfast._extras import extra
from nnfast._files import replaced
from nnfast._peers import ACTIVATIONS, IDENTITIES, gamma_and_beta
from nnfast.models import BEFORE_FLATTEN, Sequential

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[Any]

__all__ = ["export_c", "export_onnx", "from_keras", "from_sklearn", "from_torch", "sklearn_weights", "torch_weights"]


# -- out -------------------------------------------------------------------------------------------

def layers_and_arrays(model):
    """[(layer, its arrays)] of a model that is built and whose weights are finite.

    The arrays are those of get_weights().  Rescaling and Normalization, which have none there, give
    (shift, factor, offset).
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a nnfast.Sequential, got {type(model).__name__}. "
                        f"nnfast.from_sklearn, from_keras and from_torch make one of other tools' networks.")
    weights = model.get_weights()
    for i, array in enumerate(weights):
        if not np.isfinite(array).all():
            raise ValueError(f"weights must be finite to be written; get_weights()[{i}] holds NaN or infinity. "
                             f"Train again or use set_weights.")
    left, width, pairs = iter(weights), math.prod(model.input_shape[1:]), []
    for layer in model.layers:
        own = [next(left) for _ in layer._shapes(width)]
        if not layer._moves_state:
            with np.errstate(over="ignore"):
                own += [array.astype(model.dtype) for array in layer._first_state(width)]
        pairs.append((layer, own))
        width = layer._width(width)
    return pairs


def _look_up(table, layer, who):
    """The entry of the layer's class."""
    if type(layer) not in table:
        known = ", ".join(sorted(cls.__name__ for cls in table))
        raise ValueError(f"{who} cannot write the layer {layer!r}; it writes {known}. Replace that layer first.")
    return table[type(layer)]


def _written(model, target, writers, who):
    """target(model), to which the writer of each layer adds: writer(made, layer, *its arrays)."""
    pairs = layers_and_arrays(model)
    made = target(model)
    for layer, arrays in pairs:
        _look_up(writers, layer, who)(made, layer, *arrays)
    return made


def _save(path, content):
    """Writes bytes to a file in an existing folder; an old file stays until the new is whole."""
    path = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"path must lie in a folder that exists; there is no {folder!r}. "
                                f"Make it first, with os.makedirs.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"path must name a file; {path!r} is a folder. Add the name of a file.")
    with replaced(path) as file:
        file.write(content)


def export_onnx(model: Sequential, path: str | PathLike[str]) -> None:
    """Writes a model as ONNX, with the standard operators of opset 13 (ONNX 1.8, 2020).

    The graph maps "x" (rows, ...) to "y" (rows, outputs), both in the dtype of the model, for any
    number of rows.  y is `model.predict(x)` up to rounding.  Rows of x have the shape of `Input`,
    or one axis of columns without it.

    Parameters
    ----------
    model : Sequential
        Built.
    path : str or path
        The file; an old one is replaced when the new one is whole.

    Raises
    ------
    ImportError
        Without the package onnx.
    RuntimeError
        If the model is not built.
    ValueError
        For a layer or an activation that it cannot write, weights that are not finite, or more
        weights than the 2 GB that a file can hold.
    OSError
        If the file cannot be written.

    Notes
    -----
    Activations without an operator in opset 13 are composed of others, e.g. gelu of Erf.  In
    float64 so are those whose operator takes float32 constants or has no kernel for doubles in ONNX
    Runtime.  ONNX Runtime (1.31) has no Erf of doubles, which gelu needs in float64, and says so
    when it loads the file: copy the weights into a float32 model for it.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast, onnx.reference
    >>> stack = [nnfast.Input(4), nnfast.Dense(8, "gelu"), nnfast.Dense(3, "softmax")]
    >>> model = nnfast.Sequential(stack, seed=0)
    >>> x = np.ones((5, 4), "float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.onnx")
    ...     nnfast.export_onnx(model, path)
    ...     y, = onnx.reference.ReferenceEvaluator(path).run(None, {"x": x})
    >>> np.allclose(y, model.predict(x), atol=1e-6)
    True
    """
    with extra("onnx", needed_by="export_onnx"):
        import onnx  # noqa: F401
    from nnfast import _onnx

    graph = _written(model, _onnx.Graph, _onnx.WRITERS, "export_onnx")
    _save(path, graph.serialized())


def export_c(model: Sequential, path: str | PathLike[str], name: str = "model") -> None:
    """Writes a model as one file of C99 that needs nothing but <math.h>.

    The file defines `void <name>_predict(const float *x, float *out)` for one row, with double
    instead of float for a model in float64, and the sizes `<NAME>_N_INPUTS` and
    `<NAME>_N_OUTPUTS`.  Its head shows the loop over many rows.  Weights are hexadecimal
    constants, exact to the last bit.  Nothing is allocated or kept between calls, so threads may
    share it.  The stack holds at most two hidden layers.  `out` is `model.predict` up to rounding.

    Parameters
    ----------
    model : Sequential
        Built.
    path : str or path
        The file; an old one is replaced when the new one is whole.
    name : str, default "model"
        A letter, then letters, digits and underscores: the prefix of every name in the file.

    Raises
    ------
    RuntimeError
        If the model is not built.
    ValueError
        For a layer or an activation that it cannot write, weights that are not finite, or a name
        that C does not allow.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, nnfast
    >>> stack = [nnfast.Input(4), nnfast.Dense(8, "relu"), nnfast.Dense(1)]
    >>> model = nnfast.Sequential(stack, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nnfast.export_c(model, os.path.join(folder, "net.c"), name="net")
    ...     with open(os.path.join(folder, "net.c")) as file:
    ...         source = file.read()
    >>> [line for line in source.splitlines() if line.startswith("#")]
    ['#include <math.h>', '#define NET_N_INPUTS 4', '#define NET_N_OUTPUTS 1']
    >>> "void net_predict(const float *x, float *out);" in source
    True
    """
    from nnfast import _c_source

    source = _written(model, partial(_c_source.Source, name=name), _c_source.WRITERS, "export_c")
    _save(path, source.text().encode("ascii"))


def sklearn_weights(model: Sequential) -> tuple[list[_Array], list[_Array]]:
    """Weights of a model in the layout of scikit-learn's MLPClassifier and MLPRegressor.

    Parameters
    ----------
    model : Sequential
        Built, of Dense layers with one activation in all hidden layers (linear, sigmoid, tanh or
        relu) and linear, sigmoid, softmax or exponential at the end.  Dropout and GaussianNoise,
        which are the identity at inference, are left out.

    Returns
    -------
    coefs, intercepts : lists of arrays (n_in, n_out) and (n_out,)
        For `coefs_` and `intercepts_` of an estimator with these layers that has been fitted once,
        on any data.  A layer without a bias gets one of zeros.

    Raises
    ------
    RuntimeError
        If the model is not built.
    ValueError
        For a layer or an activation that those estimators do not have.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> from sklearn.neural_network import MLPRegressor
    >>> stack = [nnfast.Input(3), nnfast.Dense(5, "tanh"), nnfast.Dense(2)]
    >>> model = nnfast.Sequential(stack, dtype="float64", seed=0)
    >>> mlp = MLPRegressor(hidden_layer_sizes=(5,), activation="tanh")
    >>> mlp = mlp.partial_fit(np.zeros((2, 3)), np.zeros((2, 2)))
    >>> mlp.coefs_, mlp.intercepts_ = nnfast.interchange.sklearn_weights(model)
    >>> x = np.random.default_rng(0).standard_normal((4, 3))
    >>> np.allclose(mlp.predict(x), model.predict(x), rtol=1e-12)
    True
    """
    plan = _written(model, lambda _: [], SKLEARN_WRITERS, "sklearn_weights")
    names = [name for _, _, name in plan]
    if not names or len(set(names[:-1])) > 1 or {*names[:-1]} - {"linear", "sigmoid", "tanh", "relu"}:
        raise ValueError(f"scikit-learn's networks have one activation in all hidden layers, "
                         f"linear, sigmoid, tanh or relu; got {names[:-1]}. "
                         f"Train with one of those, or with nnfast.MLPClassifier and MLPRegressor, which take any.")
    if names[-1] not in ("linear", "sigmoid", "softmax", "exponential"):
        raise ValueError(f"scikit-learn's networks end with linear, sigmoid, softmax or exponential; "
                         f"got {names[-1]!r}.")
    return [coef for coef, _, _ in plan], [intercept for _, intercept, _ in plan]


def _sklearn_dense(plan, layer, kernel, bias=None):
    plan.append((kernel, np.zeros(layer.units, kernel.dtype) if bias is None else bias, layer.activation))


def _sklearn_activation(plan, layer):
    if not plan or plan[-1][2] != "linear":
        raise ValueError(f"scikit-learn's networks have one activation after each Dense layer and none elsewhere; "
                         f"the model has {layer!r} elsewhere.")
    plan[-1] = (*plan[-1][:2], layer.activation)


SKLEARN_WRITERS: dict[type[Any], Callable[..., None]] = {
    **dict.fromkeys(IDENTITIES, lambda plan, layer: None),
    layers.Dense: _sklearn_dense,
    layers.Activation: _sklearn_activation,
}


def torch_weights(model: Sequential) -> dict[str, _Array]:
    """Weights of a model as a PyTorch state_dict of NumPy arrays.

    Parameters
    ----------
    model : Sequential
        Built.

    Returns
    -------
    dict of str to array
        "0.weight" (n_out, n_in), "0.bias" (n_out,) and so on: the entries of a
        `torch.nn.Sequential` with one module for each layer except Input, and one more after a
        Linear for the activation of Dense, unless it is linear.  GaussianNoise counts as a module
        without weights, such as Identity.  A module with other names takes the same arrays in its
        own order: `dict(zip(module.state_dict(), torch_weights(model).values()))`.

        BatchNormalization is a BatchNorm1d, LayerNormalization a LayerNorm, with eps = epsilon,
        momentum = 1 - momentum, a bias if there is a beta, and a weight, of ones if there is a beta
        but no gamma.  num_batches_tracked, which PyTorch uses only with momentum=None, is 0.  PReLU
        has one parameter for each column.

    Raises
    ------
    RuntimeError
        If the model is not built.
    ValueError
        For a layer that PyTorch does not have: Rescaling and Normalization.

    Examples
    --------
    >>> import nnfast, torch
    >>> stack = [nnfast.Input(3), nnfast.Dense(5, "tanh"), nnfast.Dense(2)]
    >>> weights = nnfast.interchange.torch_weights(nnfast.Sequential(stack, seed=0))
    >>> linear = torch.nn.Linear
    >>> module = torch.nn.Sequential(linear(3, 5), torch.nn.Tanh(), linear(5, 2))
    >>> module.load_state_dict({key: torch.from_numpy(w) for key, w in weights.items()})
    <All keys matched successfully>
    """
    modules = _written(model, lambda _: [], TORCH_WRITERS, "torch_weights")
    return {f"{position}.{name}": array for position, module in enumerate(modules) for name, array in module.items()}


def _torch_dense(modules, layer, kernel, bias=None):
    modules.append({"weight": np.ascontiguousarray(kernel.T)} | ({} if bias is None else {"bias": bias}))
    if layer.activation != "linear":
        modules.append({})


def _torch_norm(modules, layer, *arrays):
    gamma, beta, moments = gamma_and_beta(layer, arrays)
    if gamma is None and beta is not None:              # PyTorch has no bias without a weight
        gamma = np.ones_like(beta)
    named = {"weight": gamma, "bias": beta, **dict(zip(["running_mean", "running_var"], moments))}
    if moments:
        named["num_batches_tracked"] = np.array(0)
    modules.append({name: array for name, array in named.items() if array is not None})


TORCH_WRITERS: dict[type[Any], Callable[..., None]] = {
    **dict.fromkeys([*IDENTITIES, layers.Activation], lambda modules, layer: modules.append({})),
    layers.Input: lambda modules, layer: None,
    layers.Dense: _torch_dense,
    **dict.fromkeys([layers.BatchNormalization, layers.LayerNormalization], _torch_norm),
    layers.PReLU: lambda modules, layer, alpha: modules.append({"weight": alpha}),
}


# -- in --------------------------------------------------------------------------------------------

def _assembled(shape, parts, who):
    """A built model of [(layer, its arrays)] for rows of a shape."""
    kept, arrays, width, flat = [], [], math.prod(shape), False
    for layer, own in parts:
        if isinstance(layer, layers.Flatten) and flat:
            continue                                        # after a layer with weights rows are flat
        if isinstance(layer, layers.PReLU) and own[0].shape == (1,):
            own = [np.repeat(own[0], width)]                # PyTorch may have one alpha for all columns
        else:
            flat = flat or bool(own)
        if [array.shape for array in own] != layer._shapes(width):
            raise ValueError(f"rows must be flat between layers: {type(layer).__name__} has weights of the shapes "
                             f"{[array.shape for array in own]}, but its input has {width} columns. "
                             f"Flatten before the first of these layers.")
        kept.append(layer)
        arrays += own
        width = layer._width(width)
    dtypes = {array.dtype.name for array in arrays}
    if len(dtypes) > 1 or dtypes - {"float32", "float64"}:
        raise ValueError(f"{who} reads weights of one dtype, float32 or float64; got {', '.join(sorted(dtypes))}. "
                         f"Convert them first.")
    model = Sequential([layers.Input(shape), *kept], dtype=dtypes.pop() if dtypes else "float32")
    model.set_weights(arrays)
    return model


def from_sklearn(mlp: Any) -> Sequential:
    """Makes a Sequential from a fitted estimator of scikit-learn or of nnfast.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Fitted.  Of a pipeline, give the last step.

    Returns
    -------
    Sequential
        Built, in the dtype of `coefs_`, not compiled, with Dropout where an estimator of nnfast
        has it.  Its `predict` gives the outputs of the network, always 2-D: `predict` of
        MLPRegressor, `predict_proba` of MLPClassifier, for two classes only its column of
        `classes_[1]`.  Labels are not carried: take
        `mlp.classes_[model.predict(x).argmax(axis=1)]`, for two classes
        `mlp.classes_[(model.predict(x)[:, 0] > 0.5) * 1]`.  After nnfast's losses.GaussianNLL the
        outputs are means and raw variances.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For an estimator that is not fitted, and weights that are not finite.

    Examples
    --------
    >>> import numpy as np, nnfast
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> mlp = MLPClassifier((16,), solver="lbfgs", random_state=1).fit(x, y)
    >>> model = nnfast.from_sklearn(mlp)
    >>> np.allclose(model.predict(x), mlp.predict_proba(x))
    True
    """
    if not hasattr(mlp, "hidden_layer_sizes"):
        raise TypeError(f"mlp must be an MLPClassifier or MLPRegressor, got {type(mlp).__name__}. "
                        f"Of a pipeline give the last step.")
    if not hasattr(mlp, "coefs_"):
        raise ValueError(f"mlp must be fitted to have weights; this {type(mlp).__name__} is not. Call its fit first.")
    hidden = len(mlp.coefs_) - 1
    # an estimator of nnfast takes an activation and a dropout for each hidden layer
    given = [mlp.activation] * hidden if isinstance(mlp.activation, str) else list(mlp.activation)
    names = [activations.get(activations.SKLEARN_NAMES.get(name, name)) for name in [*given, mlp.out_activation_]]
    rates: Any = getattr(mlp, "dropout", 0)
    if isinstance(rates, Real):
        rates = [rates] * hidden
    parts: list[tuple[Any, list[_Array]]] = []
    for kernel, bias, name, rate in zip(mlp.coefs_, mlp.intercepts_, names, [*rates, 0], strict=True):
        parts += [(layers.Dense(len(bias), name), [kernel, bias]), *([(layers.Dropout(rate), [])] if rate else [])]
    return _assembled((len(mlp.coefs_[0]),), parts, "from_sklearn")


def _entry(readers, layer, who, package):
    """The reader of another tool's layer, by the name of its class."""
    name = type(layer).__name__
    if _package(layer) != package or name not in readers:
        raise ValueError(f"{who} cannot read the layer {name} of {type(layer).__module__}; it reads "
                         f"{', '.join(sorted(readers))}. Replace that layer, or leave it out, first.")
    return readers[name]


def _package(thing):
    """The package that a class or function comes from."""
    module = getattr(thing if hasattr(thing, "__name__") else type(thing), "__module__", None) or ""
    return module.partition(".")[0]


def _check_options(layer, **options):
    """Refuses a layer with an option whose value changes what nnfast would predict."""
    for option, values in options.items():
        value = getattr(layer, option, "missing")
        if value not in values:
            raise ValueError(f"{type(layer).__name__} has another {option} than nnfast computes: it must be "
                             f"{' or '.join(map(repr, values))}, got {value!r}. "
                             f"Change it, or replace that layer, and train with it.")


def _read_activation(choices, layer):
    """Reads a layer of another tool that is an activation.

    `choices` is {nnfast's name: {option: its values}}: the options of the layer tell which it is.
    """
    for option in {option: None for options in choices.values() for option in options}:
        _check_options(layer, **{option: [value for options in choices.values() for value in options[option]]})
    name = next(name for name, options in choices.items()
                if all(getattr(layer, option) in values for option, values in options.items()))
    return layers.Activation(name), []


def _activation_readers(tool):
    """{class: reader} of a tool's layers that are activations; `tool` is a field of `Forms`."""
    choices = {}
    for name, row in ACTIVATIONS.items():
        if getattr(row, tool) is not None:
            cls, options = getattr(row, tool)
            choices.setdefault(cls, {})[name] = options
    return {cls: partial(_read_activation, found) for cls, found in choices.items()}


def _nothing(layer):
    """Reads a layer that nnfast does not have and does not need: it does not change predictions."""
    return None, []


def from_keras(model: Any) -> Sequential:
    """Makes a Sequential from a model of Keras 3, with any of its backends.

    Parameters
    ----------
    model : keras.Sequential, or functional keras.Model whose layers are one chain
        Built.  It may hold InputLayer, Flatten, Dense, Activation, ReLU, LeakyReLU, ELU, Softmax,
        PReLU, BatchNormalization, LayerNormalization, Normalization, Rescaling, Dropout,
        GaussianNoise; and Identity, AlphaDropout, GaussianDropout, ActivityRegularization, which
        do not change predictions and are left out.

    Returns
    -------
    Sequential
        Built, in the dtype of the weights, not compiled: initializers, regularizers, constraints,
        optimizer and loss are not carried.  `keras_model.set_weights(model.get_weights())` copies
        the weights back: order and shapes are the same.  Do it layer by layer if a Normalization
        was adapted, because Keras counts its mean and variance as weights.

    Raises
    ------
    TypeError
        For anything else, subclasses included.
    ValueError
        For a model that is not built, branches or has several inputs.  For a layer, activation or
        option that changes predictions and that nnfast does not have: a slope of LeakyReLU other
        than 0.2 (Keras' default is 0.3; its function leaky_relu has 0.2), a normalization over
        another axis than the last, mixed precision, and on rows of several axes every layer except
        Dropout, GaussianNoise and a Rescaling by one number.

    Examples
    --------
    >>> import keras, numpy as np, nnfast
    >>> dense = [keras.layers.Dense(8, activation="gelu"), keras.layers.Dense(3)]
    >>> theirs = keras.Sequential([keras.Input((4,)), *dense])
    >>> ours = nnfast.from_keras(theirs)
    >>> x = np.ones((5, 4), "float32")
    >>> np.allclose(ours.predict(x), theirs.predict(x, verbose=0), atol=1e-5)
    True
    """
    chain = _keras_chain(model)
    given = shape = tuple(model.input_shape[1:])
    if None in shape or not shape:
        raise ValueError(f"the model must have rows of a known shape; got {given}. Begin it with keras.Input.")
    parts = []
    for each in chain:
        layer, arrays = _entry(KERAS_READERS, each, "from_keras", "keras")(each)
        if isinstance(layer, layers.Flatten):
            shape, layer = (math.prod(shape),), layer if len(shape) > 1 else None       # flat rows need none
        elif layer is not None and len(shape) > 1 and not _same_for_all_columns(layer):
            raise ValueError(f"rows must be flat before {type(each).__name__}; they have the shape {shape}, "
                             f"and Keras works on the last axis alone. Flatten first.")
        computed = getattr(each, "compute_dtype", None)
        if any(array.dtype.name != computed for array in arrays if computed is not None):
            raise ValueError(f"{type(each).__name__} computes in {computed} with weights in {arrays[0].dtype}: "
                             f"its predictions are rounded. Set its dtype_policy to that of the weights first.")
        if layer is not None:
            parts.append((layer, arrays))
    return _assembled(given, parts, "from_keras")


def _same_for_all_columns(layer):
    """Whether a layer computes the same on rows of several axes as on flat ones."""
    if isinstance(layer, layers.Rescaling) and (isinstance(layer.scale, tuple) or isinstance(layer.offset, tuple)):
        return False                # by column
    return isinstance(layer, BEFORE_FLATTEN)


def _keras_chain(model):
    """The layers of a Keras model, one after the other."""
    kind, version = type(model).__name__, getattr(sys.modules.get("keras"), "__version__", "3")
    if _package(model) != "keras" or kind not in ("Sequential", "Functional"):
        raise TypeError(f"from_keras reads keras.Sequential and functional models, "
                        f"got {type(model).__module__}.{kind}.")
    if int(version.partition(".")[0]) < 3:
        raise ValueError(f"from_keras reads models of Keras 3, whose formulas nnfast has; got Keras {version}. "
                         f"Load the model with Keras 3.")
    if not model.built:
        raise ValueError("the model must be built to have weights; "
                         "call its build, or predict, or begin it with keras.Input.")
    chain = list(model.layers)
    if kind == "Functional":            # a layer's input and output are those of its first call
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError(f"the model must have one input and one output; "
                             f"got {len(model.inputs)} and {len(model.outputs)}.")
        ends = [model.inputs[0], *(layer.output for layer in chain if type(layer).__name__ != "InputLayer")]
        starts = [*(layer.input for layer in chain if type(layer).__name__ != "InputLayer"), model.outputs[0]]
        if any(end is not start for end, start in zip(ends, starts)):
            raise ValueError("the layers of the model must be one chain, each fed by the one before; "
                             "these branch, merge or are used twice. Give a part of it that is a chain.")
    return chain


def _keras_activation(layer):
    """nnfast's name of the activation of a Dense or Activation of Keras."""
    function = layer.activation
    name = getattr(function, "__name__", None)
    known = {row.keras: ours for ours, row in ACTIVATIONS.items() if row.keras is not None}
    if _package(function) != "keras" or name not in known:
        raise ValueError(f"{type(layer).__name__} has the activation {name or function!r} of "
                         f"{getattr(function, '__module__', '?')}, which from_keras does not know; "
                         f"it knows {', '.join(known)} of keras.activations. Replace it and train with another, "
                         f"or, if nnfast has it, add its name in Keras to ACTIVATIONS in nnfast/_peers.py.")
    return known[name]


def _keras_arrays(layer, *axes):
    """The weights of a layer, checked to have these numbers of axes.

    So layers with other weights, e.g. of quantization, LoRA or renorm, are refused.
    """
    arrays = [np.asarray(array) for array in layer.get_weights()]
    if [array.ndim for array in arrays] != list(axes):
        raise ValueError(f"{type(layer).__name__} must have weights of {' and '.join(map(str, axes)) or 'no'} axes "
                         f"and no other weights; got shapes {[array.shape for array in arrays]}. "
                         f"Replace that layer first.")
    return arrays


def _keras_dense(layer):
    arrays = _keras_arrays(layer, *[2, 1][:1 + layer.use_bias])
    return layers.Dense(arrays[0].shape[1], _keras_activation(layer), use_bias=layer.use_bias), arrays


LAST_AXIS = (-1, 1, [-1], [1])          # on flat rows; a list where Keras has built the layer


def _keras_batch_norm(layer):
    _check_options(layer, axis=LAST_AXIS)
    made = layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, center=layer.center,
                                     scale=layer.scale)
    return made, _keras_arrays(layer, *[1] * (layer.center + layer.scale + 2))


def _keras_layer_norm(layer):
    _check_options(layer, axis=LAST_AXIS)
    if hasattr(layer, "rms_scaling"):                   # deprecated in Keras
        _check_options(layer, rms_scaling=(False,))
    made = layers.LayerNormalization(epsilon=layer.epsilon, center=layer.center, scale=layer.scale)
    return made, _keras_arrays(layer, *[1] * (layer.center + layer.scale))


def _keras_prelu(layer):
    _check_options(layer, shared_axes=(None, []))
    return layers.PReLU(), _keras_arrays(layer, 1)


def _keras_dropout(layer):
    _check_options(layer, noise_shape=(None,))
    return layers.Dropout(layer.rate), []


def _keras_normalization(layer):
    """mean and variance are (1, columns), or (1, 1) for all of them."""
    _check_options(layer, axis=((-1,), (1,), ()))
    mean, variance = (_number_or_vector(np.ravel(array)) for array in (layer.mean, layer.variance))
    return layers.Normalization(mean, variance, invert=layer.invert), []


def _keras_rescaling(layer):
    return layers.Rescaling(_number_or_vector(layer.scale), _number_or_vector(layer.offset)), []


def _number_or_vector(array):
    """The array in float64; as a float if it has one element."""
    array = np.asarray(array, np.float64)
    return array.item() if array.size == 1 else array


def _keras_flatten(layer):
    _check_options(layer, data_format=("channels_last",))
    return layers.Flatten(), []


KERAS_READERS: dict[str, Callable[[Any], tuple[Any, list[_Array]]]] = {
    **_activation_readers("keras_layer"),
    "InputLayer": _nothing,
    "Flatten": _keras_flatten,
    "Dense": _keras_dense,
    "Activation": lambda layer: (layers.Activation(_keras_activation(layer)), []),
    "PReLU": _keras_prelu,
    "BatchNormalization": _keras_batch_norm,
    "LayerNormalization": _keras_layer_norm,
    "Normalization": _keras_normalization,
    "Rescaling": _keras_rescaling,
    "Dropout": _keras_dropout,
    "GaussianNoise": lambda layer: (layers.GaussianNoise(layer.stddev), []),
    **dict.fromkeys(["ActivityRegularization", "AlphaDropout", "GaussianDropout", "Identity"], _nothing),
}


def from_torch(sequential: Any) -> Sequential:
    """Makes a Sequential from a torch.nn.Sequential.

    Parameters
    ----------
    sequential : torch.nn.Sequential
        Of Linear, Flatten, PReLU, BatchNorm1d, LayerNorm, Dropout, the modules of nnfast's
        activations, such as ReLU, GELU and Hardsigmoid, and other such stacks; and Identity and
        AlphaDropout, which do not change predictions and are left out.  On any device.

    Returns
    -------
    Sequential
        Built, in the dtype of the weights, not compiled.  It predicts what `sequential.eval()`
        does.  Kernels are transposed: `y = x W + b`.  One alpha of a PReLU goes to each column.
        The momentum of BatchNormalization is 1 - momentum of PyTorch.  In further training nnfast
        moves its variance by the biased variance of a batch, PyTorch by the unbiased one.
        `torch_weights` is the inverse.

    Raises
    ------
    TypeError
        For anything else, subclasses of torch.nn.Sequential included.
    ValueError
        For a module that nnfast does not have (replace LogSoftmax by Softmax: it is its
        logarithm), a forward hook, and options that change predictions: a negative_slope of
        LeakyReLU other than 0.2 (PyTorch's default is 0.01), a Softplus with another beta than 1
        or a threshold below 20, Softmax over the rows, BatchNorm1d without running statistics or
        with momentum=None, LayerNorm over several axes.

    Examples
    --------
    >>> import numpy as np, nnfast, torch
    >>> linear = torch.nn.Linear
    >>> theirs = torch.nn.Sequential(linear(4, 8), torch.nn.GELU(), linear(8, 3))
    >>> ours = nnfast.from_torch(theirs)
    >>> x = np.ones((5, 4), "float32")
    >>> np.allclose(ours.predict(x), theirs(torch.from_numpy(x)).detach(), atol=1e-5)
    True
    """
    if _package(sequential) != "torch" or type(sequential).__name__ != "Sequential":
        raise TypeError(f"from_torch reads torch.nn.Sequential, "
                        f"got {type(sequential).__module__}.{type(sequential).__name__}. "
                        f"Put the modules in a torch.nn.Sequential, in the order in which they are applied.")
    parts = _torch_parts(sequential)
    kernels = [arrays[0] for layer, arrays in parts if isinstance(layer, layers.Dense)]
    if not kernels:
        raise ValueError("sequential must hold at least one Linear, which says how wide the rows are; got none.")
    return _assembled((len(kernels[0]),), parts, "from_torch")


def _torch_parts(sequential):
    """[(layer, its arrays)] of a stack of modules, stacks within included."""
    parts = []
    for module in [sequential, *sequential]:
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(f"{type(module).__name__} has a forward hook, which may change what it computes. "
                             f"Remove it first (for weight_norm and pruning torch has a function).")
        if module is sequential:
            continue
        if type(module).__name__ == "Sequential" and _package(module) == "torch":
            parts += _torch_parts(module)
        else:
            layer, arrays = _entry(TORCH_READERS, module, "from_torch", "torch")(module)
            parts += [] if layer is None else [(layer, arrays)]
    return parts


def _torch_array(tensor):
    if str(tensor.dtype) not in ("torch.float32", "torch.float64"):
        raise ValueError(f"from_torch reads weights of float32 or float64; got {tensor.dtype}. "
                         f"Convert them with sequential.float().")
    return tensor.detach().cpu().numpy()


def _torch_linear(module):
    kernel, bias = _torch_array(module.weight).T, [] if module.bias is None else [_torch_array(module.bias)]
    return layers.Dense(kernel.shape[1], use_bias=bool(bias)), [kernel, *bias]


def _torch_affine(module):
    """Options, and arrays of gamma and beta, of a normalization."""
    options = {"epsilon": module.eps, "scale": module.weight is not None, "center": module.bias is not None}
    return options, [_torch_array(each) for each in (module.weight, module.bias) if each is not None]


def _torch_batch_norm(module):
    _check_options(module, track_running_stats=(True,))
    if module.momentum is None:
        raise ValueError("BatchNorm1d must have a momentum: nnfast has no mean over all batches, momentum=None. "
                         "Set it, to 0.1 for instance.")
    options, arrays = _torch_affine(module)
    moments = [_torch_array(module.running_mean), _torch_array(module.running_var)]
    return layers.BatchNormalization(momentum=1 - module.momentum, **options), arrays + moments


def _torch_layer_norm(module):
    if len(module.normalized_shape) != 1:
        raise ValueError(f"LayerNorm must be over one axis; got normalized_shape {tuple(module.normalized_shape)}. "
                         f"Flatten before it.")
    options, arrays = _torch_affine(module)
    return layers.LayerNormalization(**options), arrays


def _torch_flatten(module):
    _check_options(module, start_dim=(1,), end_dim=(-1,))
    return layers.Flatten(), []


def _torch_softplus(module):
    if module.threshold < 20:           # above it the module is linear: from 20 on the error is at most 2e-9
        raise ValueError(f"Softplus must have a threshold of at least 20, PyTorch's default; got {module.threshold!r}.")
    return _TORCH_ACTIVATIONS["Softplus"](module)


_TORCH_ACTIVATIONS = _activation_readers("torch")
TORCH_READERS: dict[str, Callable[[Any], tuple[Any, list[_Array]]]] = {
    **_TORCH_ACTIVATIONS,
    "Softplus": _torch_softplus,
    "Linear": _torch_linear,
    "Flatten": _torch_flatten,
    "PReLU": lambda module: (layers.PReLU(), [_torch_array(module.weight)]),
    "BatchNorm1d": _torch_batch_norm,
    "LayerNorm": _torch_layer_norm,
    "Dropout": lambda module: (layers.Dropout(module.p), []),
    **dict.fromkeys(["AlphaDropout", "Identity"], _nothing),
}
