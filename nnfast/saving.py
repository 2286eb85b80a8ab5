"""Models in files: `model.save(path)` writes .npz or .safetensors, `nnfast.load(path)` reads both.

    .npz            a zip archive of .npy arrays without compression; its comment is the checksum
    .safetensors    8 bytes with the length of the header | header in JSON | data; the last tensor
                    is the checksum

    nnfast          a document in JSON: format version, layers, options, steps, epoch, random state
    weights.0 ...   the arrays of `get_weights`
    slots           the state of the optimizer, (n_slots, weights)
    checksum        the last 8 bytes of either file: the CRC-32 of all bytes before them, in
                    hexadecimal digits

An object in the document is `{"class": "optimizers.Adam", "learning_rate": 0.001, ...}`: the name
of a class of nnfast and the arguments of its constructor, which checks them like any caller's.  A
function of the user is `{"custom": its name}`; the user gives the function to `load`.  So a file
cannot make `load` run other code.

A file is read whole and checked before any object is made from it.  The checksum finds files that
are cut off or damaged.  Against forged files, sizes are compared with the size of the file, and
the shapes of the weights with the layers.  Arrays are views of the bytes that were read, so no
number in a file decides how much memory is taken.

`_model_file.py` writes and reads the document and the arrays; here a model is made from them.
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nnfast import _model_file, _validation as check, layers
from nnfast.models import Sequential

__all__ = ["load"]

if TYPE_CHECKING:
    from typing import Any

MOST_COLUMNS = 2**20            # of a Normalization or Rescaling: it makes arrays of that size


def load(path: str | os.PathLike[str], custom_objects: dict[str, Any] | None = None) -> Sequential:
    """Loads the model that `Sequential.save` wrote.

    The states of the optimizer and of the random generator are restored, too: `predict` and
    `evaluate` give the same bits as the saved model, and `fit` with `initial_epoch=model.epoch`
    continues with the same bits.  Nothing that the file holds is run, whoever wrote it.

    Parameters
    ----------
    path : str or path
        A .npz or .safetensors file; its content decides which, not its name.
    custom_objects : dict from str to object, optional
        Your own losses, metrics, schedules and initializers.  The key is the name of the function,
        or the name of the object's class.  The value is used as it is: a function, or an object
        where Keras takes its class.

    Returns
    -------
    Sequential

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is damaged or cut off, was not written by nnfast or by a newer version, or uses
        an object that `custom_objects` lacks.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnfast
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> model = nnfast.Sequential([nnfast.Dense(8, "tanh"), nnfast.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> history = model.fit(x, x[:, 0], epochs=10, verbose=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     model.save(path)
    ...     other = nnfast.load(path)
    >>> for each in (model, other):
    ...     history = each.fit(x, x[:, 0], epochs=20, initial_epoch=each.epoch, verbose=0)
    >>> bool((model.params == other.params).all())
    True
    """
    if not isinstance(custom_objects, (dict, type(None))):
        raise TypeError(f"custom_objects must be a dict from names to objects, got {custom_objects!r}.")
    path = os.fsdecode(path)
    with _model_file.load_errors(path):
        document, arrays = _model_file.read(path)
        if "layers" not in document:
            raise ValueError("it holds weights alone: make the model, and use model.load_weights(path).")
        return _restored(document, arrays, custom_objects or {})


def _restored(document, arrays, custom_objects):
    """Makes the model from the document and the arrays of its file."""
    def made(name):
        return _model_file.made(document[name], custom_objects)

    _model_file.check_counts(document)
    model = Sequential(made("layers"), dtype=document["dtype"])
    saved = {"n_inputs": None, "epoch": check.size(document["epoch"], "epoch", 0), "loss": None, "weights": None,
             "slots": None, "steps": None, "random_generator": _model_file.generator_of(document["random_state"])}
    if document["loss"] is not None:
        saved |= {name: made(name) for name in ("optimizer", "loss", "metrics", "weighted_metrics")}
    names = set()
    if document["n_inputs"] is not None:
        n_inputs, weights = check.size(document["n_inputs"], "n_inputs"), _model_file.weights_of(arrays)
        _check_shapes(model.layers, n_inputs, weights)
        saved |= {"n_inputs": n_inputs, "weights": weights}
        names |= {f"weights.{i}" for i in range(len(weights))}
        if document["loss"] is not None:
            saved |= {"slots": arrays["slots"], "steps": check.size(document["steps"], "steps", 0)}
            names.add("slots")
    if names != set(arrays):
        raise ValueError(f"its arrays must be {sorted(names)}; it holds {sorted(arrays)}.")
    for name in names:
        if arrays[name].dtype != model.dtype:
            raise ValueError(f"{name} must be of dtype {model.dtype}, as the model is; it is of {arrays[name].dtype}.")
    model._restore(saved)
    return model


def _check_shapes(stack, n_inputs, weights):
    """ValueError for weights that do not fit the layers, `stack`.

    It runs before the network is made, because the layers decide how much memory that takes.
    """
    expected, width = [], 1
    for size in layers.shape_of_rows(stack, n_inputs):
        width = check.size(width * size, "the width of x")
    for layer in stack:
        if isinstance(layer, (layers.Normalization, layers.Rescaling)) and width > MOST_COLUMNS:
            raise ValueError(f"{type(layer).__name__} of a model in a file must have at most {MOST_COLUMNS} columns; "
                             f"got {width}.")
        expected += layer._shapes(width)
        width = layer._width(width)
    shapes = [array.shape for array in weights]
    if shapes != expected:
        raise ValueError(f"the layers need weights of the shapes {expected}; it holds {shapes}.")
