"""Models in files: `model.save(path)` writes .npz or .safetensors, `nnfast.load(path)` reads both.

    .npz            a zip archive of .npy arrays without compression; its comment is the checksum
    .safetensors    8 bytes with the length of the header | header in JSON | data; its last tensor is the checksum
      nnfast        a document in JSON: format version, layers, options, steps, epoch, random state
      weights.0 ... the arrays of `get_weights`
      slots         the state of the optimizer, (n_slots, weights)
      checksum      the last 8 bytes of either file: the CRC-32 of all bytes before them, in hexadecimal digits

An object in the document is `{"class": "optimizers.Adam", "learning_rate": 0.001, ...}`: the name of a class of nnfast and
the arguments of its constructor, which checks them like any caller's.  A function of the user is `{"custom": its name}`;
the user gives it to `load`.  So nothing that a file names is run.

A file is read whole and checked before any object is made from it.  The checksum finds files that are cut off or damaged.
Against forged files, sizes are compared with the size of the file, and the shapes of the weights with the layers.
Arrays are views of the bytes that were read, so no number in a file decides how much memory is taken.
"""
import os

from nnfast import _model_file, _validation as check, layers
from nnfast.models import Sequential

__all__ = ["load"]

MOST_COLUMNS = 2**20            # that a layer without weights keeps elements for


def load(path, custom_objects=None):
    """The model that `Sequential.save` has written.

    It is as it was, state of the optimizer and of the random numbers included: `predict` and `evaluate` give the same bits as
    those of the model that was saved, and `fit` with `initial_epoch=model.epoch` goes on with the same bits.  Nothing that a
    file holds is run, whoever wrote it.

    Parameters
    ----------
    path : str or path
        A .npz or .safetensors file; what it is is told by its content, not by its name.
    custom_objects : dict from str to object, optional
        Losses, metrics, schedules and initializers of your own, under the names of the functions or, for objects, of their
        classes.  What is given is used as it is: a function, or an object where Keras takes its class.

    Returns
    -------
    Sequential

    Raises
    ------
    OSError
        If the file can not be read.
    ValueError
        If it is damaged or cut off, not of nnfast, of a newer version, or uses an object that `custom_objects` lacks.

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
    with _model_file.judged(path):
        document, arrays = _model_file.read(path)
        if "layers" not in document:
            raise ValueError("it holds weights alone: make the model, and use model.load_weights(path).")
        return _restored(document, arrays, custom_objects or {})


def _restored(document, arrays, custom_objects):
    """The model of a document and its arrays."""
    def made(name):
        return _model_file.made(document[name], custom_objects)

    _model_file.few(document)
    model = Sequential(made("layers"), dtype=document["dtype"])
    saved = {"n_inputs": None, "epoch": check.size(document["epoch"], "epoch", 0), "loss": None, "weights": None, "slots": None,
             "steps": None, "random_generator": _model_file.generator_of(document["random_state"])}
    if document["loss"] is not None:
        saved |= {name: made(name) for name in ("optimizer", "loss", "metrics", "weighted_metrics")}
    names = set()
    if document["n_inputs"] is not None:
        saved |= {"n_inputs": check.size(document["n_inputs"], "n_inputs"), "weights": _model_file.weights_of(arrays)}
        _check_shapes(model.layers, saved["n_inputs"], saved["weights"])
        names |= {f"weights.{i}" for i in range(len(saved["weights"]))}
        if document["loss"] is not None:
            saved |= {"slots": arrays["slots"], "steps": check.size(document["steps"], "steps", 0)}
            names.add("slots")
    if names != set(arrays):
        raise ValueError(f"its arrays must be {sorted(names)}; it holds {sorted(arrays)}.")
    for name in names:
        if arrays[name].dtype != model.dtype:
            raise ValueError(f"{name} must be of dtype {model.dtype}, that of the model; it is of {arrays[name].dtype}.")
    model._restore(saved)
    return model


def _check_shapes(stack, n_inputs, weights):
    """ValueError for weights that are not those of the layers: before a network is made, for the layers decide how large it is."""
    expected, width = [], 1
    for size in layers.shape_of_rows(stack, n_inputs):
        width = check.size(width * size, "the width of x")
    for layer in stack:
        if isinstance(layer, (layers.Normalization, layers.Rescaling)) and width > MOST_COLUMNS:
            raise ValueError(f"{type(layer).__name__} of a model in a file must have at most {MOST_COLUMNS} columns; got {width}.")
        expected += layer._shapes(width)
        width = layer._width(width)
    if expected != [array.shape for array in weights]:
        raise ValueError(f"the layers need weights of the shapes {expected}; it holds {[array.shape for array in weights]}.")
