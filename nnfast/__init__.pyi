from nnfast import (
    activations as activations,
    callbacks as callbacks,
    constraints as constraints,
    datasets as datasets,
    functional as functional,
    gradcheck as gradcheck,
    initializers as initializers,
    interchange as interchange,
    layers as layers,
    losses as losses,
    many as many,
    metrics as metrics,
    models as models,
    optimizers as optimizers,
    plotting as plotting,
    regularizers as regularizers,
    saving as saving,
    schedules as schedules,
)
from nnfast._config import get_include as get_include, show_config as show_config
from nnfast._range_test import LearningRateCurve as LearningRateCurve, find_learning_rate as find_learning_rate
from nnfast.estimators import Ensemble as Ensemble, MLPClassifier as MLPClassifier, MLPRegressor as MLPRegressor
from nnfast.interchange import (
    export_c as export_c,
    export_onnx as export_onnx,
    from_keras as from_keras,
    from_sklearn as from_sklearn,
    from_torch as from_torch,
)
from nnfast.layers import Activation as Activation, Dense as Dense, Flatten as Flatten, Input as Input
from nnfast.many import FitErrors as FitErrors, cross_validate as cross_validate, fit_many as fit_many
from nnfast.models import Sequential as Sequential
from nnfast.saving import load as load

__version__: str

__all__ = [
    "Activation", "Dense", "FitErrors", "Flatten", "Input", "LearningRateCurve", "Sequential", "__version__", "activations", "callbacks",
    "constraints", "cross_validate", "datasets", "export_c", "export_onnx", "find_learning_rate", "fit_many", "from_keras", "from_sklearn",
    "from_torch", "functional", "get_include", "gradcheck", "initializers", "interchange", "layers", "load", "losses", "many", "metrics",
    "models", "optimizers", "plotting", "regularizers", "saving", "schedules", "show_config",
]

def __dir__() -> list[str]: ...
