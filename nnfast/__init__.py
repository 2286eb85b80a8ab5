"""nnfast: the fastest way to train dense neural networks on a CPU."""
from __future__ import annotations

from typing import TYPE_CHECKING

from nnfast import (
    activations,
    callbacks,
    constraints,
    datasets,
    functional,
    gradcheck,
    initializers,
    interchange,
    layers,
    losses,
    many,
    metrics,
    models,
    optimizers,
    plotting,
    regularizers,
    saving,
    schedules,
)
from nnfast._config import get_include, show_config
from nnfast._range_test import LearningRateCurve, find_learning_rate
from nnfast._version import __version__
from nnfast.interchange import export_c, export_onnx, from_keras, from_sklearn, from_torch
from nnfast.layers import Activation, Dense, Flatten, Input
from nnfast.many import FitErrors, cross_validate, fit_many
from nnfast.models import Sequential
from nnfast.saving import load

__all__ = [
    "Activation", "Dense", "FitErrors", "Flatten", "Input", "LearningRateCurve", "Sequential", "__version__",
    "activations", "callbacks", "constraints", "cross_validate", "datasets", "export_c", "export_onnx",
    "find_learning_rate", "fit_many", "from_keras", "from_sklearn", "from_torch", "functional", "get_include",
    "gradcheck", "initializers", "interchange", "layers", "load", "losses", "many", "metrics", "models",
    "optimizers", "plotting", "regularizers", "saving", "schedules", "show_config",
]

# These need scikit-learn, so they are imported at first use.
_LAZY = {"Ensemble": "estimators", "MLPClassifier": "estimators", "MLPRegressor": "estimators"}

if TYPE_CHECKING:
    from nnfast.estimators import (
        Ensemble as Ensemble,
        MLPClassifier as MLPClassifier,
        MLPRegressor as MLPRegressor,
    )
else:
    def __getattr__(name):
        if name not in _LAZY:
            raise AttributeError(f"module 'nnfast' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"nnfast.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
