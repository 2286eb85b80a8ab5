from nnfast import (
    activations as activations,
    callbacks as callbacks,
    datasets as datasets,
    functional as functional,
    gradcheck as gradcheck,
    initializers as initializers,
    layers as layers,
    losses as losses,
    many as many,
    metrics as metrics,
    models as models,
    optimizers as optimizers,
    plotting as plotting,
    schedules as schedules,
)
from nnfast._config import show_config as show_config
from nnfast._range_test import LearningRateCurve as LearningRateCurve, find_learning_rate as find_learning_rate
from nnfast.estimators import Ensemble as Ensemble, MLPClassifier as MLPClassifier, MLPRegressor as MLPRegressor
from nnfast.layers import Activation as Activation, Dense as Dense, Flatten as Flatten, Input as Input
from nnfast.many import FitErrors as FitErrors, cross_validate as cross_validate, fit_many as fit_many
from nnfast.models import Sequential as Sequential

__version__: str

__all__ = [
    "Activation", "Dense", "FitErrors", "Flatten", "Input", "LearningRateCurve", "Sequential", "__version__", "activations", "callbacks",
    "cross_validate", "datasets", "find_learning_rate", "fit_many", "functional", "gradcheck", "initializers", "layers", "losses", "many",
    "metrics", "models", "optimizers", "plotting", "schedules", "show_config",
]

def __dir__() -> list[str]: ...
