"""A typed program that uses the public names of nnfast: mypy --strict accepts it, and it runs."""
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nnfast
from nnfast import (
    activations,
    callbacks,
    constraints,
    functional as F,
    gradcheck,
    initializers,
    interchange,
    layers,
    losses,
    metrics,
    optimizers,
    plotting,
    regularizers,
    schedules,
)
from nnfast.layers import Activation, Dense, Flatten, Input


class Tenfold(losses.Loss):
    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        error = y_pred - y_true
        return 10 * (error**2).mean(axis=1), 20 * error / error.shape[1]


class Enough(callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None and logs["loss"] < 1e-3:
            self.model.stop_training = True


def worst(y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
    error: NDArray[Any] = np.abs(y_true - y_pred).max(axis=-1)
    return error


def constant(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    return np.full(shape, 0.1)


x = np.random.default_rng(0).normal(size=(64, 4))
y = np.sin(x[:, :1])
model = nnfast.Sequential([
    Input((2, 2)), Flatten(), Dense(8, "relu", kernel_initializer=initializers.HeNormal()),
    Dense(4, activations.tanh, bias_initializer=constant), Activation("linear"), Dense(1, use_bias=False),
], dtype="float64", seed=0)
rate = schedules.CosineDecay(1e-2, decay_steps=100, warmup_target=None)
optimizer = optimizers.Adam(rate, beta_1=0.8, weight_decay=1e-4, global_clipnorm=1.0, epsilon_form="pytorch")
optimizer.learning_rate = lambda step: 0.1 / (1 + step)
for loss in ("mse", losses.Huber(2.0), losses.MeanAbsoluteError, Tenfold(), losses.Quantile([0.5], reduction="sum")):
    model.compile(optimizer, loss, metrics=["mae", metrics.R2Score(), worst], weighted_metrics="mse")
history: nnfast.callbacks.History = model.fit(
    x.reshape(-1, 2, 2), y, batch_size=16, epochs=3, verbose=0, validation_split=0.25, sample_weight=np.ones(64),
    nonfinite="stop", rows=None, max_seconds=60.0,
    callbacks=[Enough(), callbacks.EarlyStopping(patience=2, mode="min"), callbacks.TerminateOnNaN()])
first: float = history.history["loss"][0]
logs: dict[str, Any] = model.evaluate(x.reshape(-1, 2, 2), y, verbose=0, return_dict=True)
prediction: NDArray[Any] = model.predict(x.reshape(-1, 2, 2), n_threads=1)
model.set_weights([2 * weight for weight in model.get_weights()])
model.params[:] = 0.5
step = model.train_on_batch(x.reshape(-1, 2, 2), y)
value, gradients = model.loss_and_gradients(x.reshape(-1, 2, 2), y)
count: int = model.count_params() + len(gradients)

delta = F.mean_squared_error_gradient(y, prediction)
d_x, d_w, d_b = F.dense_backward(x, np.ones((4, 1)), delta)
F.sgd_step(d_w, d_w.copy(), learning_rate=0.1)
F.adam_step(d_w, d_w.copy(), np.zeros_like(d_w), np.zeros_like(d_w), 1, epsilon_form="pytorch", weight_decay=0.01)
F.adagrad_step(d_w, d_w.copy(), np.full_like(d_w, 0.1), learning_rate=0.1)
per_row: NDArray[np.float64] = losses.huber(y, prediction, delta=2.0)
one: float = losses.get("mse")(y, prediction, class_weight=None)
report = gradcheck.gradcheck("mse", y, prediction, verbose=False)
right: bool = bool(report) and report.n_wrong == 0
area: float = metrics.AUC(curve="PR")([[1], [0]], [[0.9], [0.2]])
rates: float = schedules.OneCycle(0.1, 100, anneal_strategy="linear")(5)

normalization = layers.Normalization()
normalization.adapt(x)
stack: list[layers.Layer] = [
    normalization, layers.Rescaling(2, offset=[0.0, 0.5, 1.0, 1.5]),
    Dense(8, kernel_regularizer=regularizers.L2(1e-4), bias_regularizer="l1",
          kernel_constraint=constraints.MaxNorm(3.0), learning_rate_multiplier=2),
    layers.BatchNormalization(momentum=0.9), layers.PReLU(initializers.Constant(0.1)), layers.Dropout(0.2),
    Dense(4, "tanh", activity_regularizer=regularizers.L1L2(l2=1e-3), bias_constraint="non_neg"),
    layers.LayerNormalization(scale=False), layers.GaussianNoise(0.1), Dense(1)]
deep = nnfast.Sequential(stack, seed=0)
deep.compile("adam", Tenfold())
with tempfile.TemporaryDirectory() as folder:
    best = callbacks.ModelCheckpoint(
        os.path.join(folder, "{epoch}.npz"), monitor="loss", save_best_only=True, save_weights_only=False)
    deep.fit(x, y, epochs=2, verbose=0, callbacks=best)
    deep.save(os.path.join(folder, "deep.safetensors"))
    loaded: nnfast.Sequential = nnfast.load(
        os.path.join(folder, "deep.safetensors"), custom_objects={"Tenfold": Tenfold()})
    loaded.fit(x, y, epochs=3, initial_epoch=loaded.epoch, verbose=0)
    loaded.save_weights(os.path.join(folder, "weights.npz"))
    deep.load_weights(os.path.join(folder, "weights.npz"))
    nnfast.export_c(model, os.path.join(folder, "model.c"), name="net")
state_dict: dict[str, NDArray[Any]] = interchange.torch_weights(model)
penalty: float = regularizers.get("l1_l2")(deep.params)

small = nnfast.Sequential([Dense(2)])
small.compile("adam", "mse")
curve: nnfast.LearningRateCurve = nnfast.find_learning_rate(small, x, x[:, :2])
suggestion: float = curve.suggestion
fitted: list[nnfast.Sequential] = nnfast.fit_many([small], x, x[:, :2], fit_options={"epochs": 2}, verbose=0)
scores = nnfast.cross_validate(small, x, x[:, :2], folds=3)
classifier = nnfast.MLPClassifier((8,), solver="lbfgs", class_weight="balanced", random_state=0).fit(x, y[:, 0] > 0)
probabilities: NDArray[Any] = classifier.predict_proba(x)
regressor = nnfast.MLPRegressor(
    hidden_layer_sizes=(8,), dropout=[0.1], learning_rate=schedules.ExponentialDecay(0.01, 100, 0.9),
    callbacks=[Enough()], max_iter=5)
network: nnfast.Sequential = nnfast.from_sklearn(regressor.fit(x, y[:, 0]))
ensemble = nnfast.Ensemble(nnfast.MLPRegressor(max_iter=5, loss=losses.Huber()), 2, bagging=True)
spread = ensemble.fit(x, y[:, 0]).predict_std(x)
axes = plotting.plot_losses(["mse", losses.Huber(2.0)], y_true=1.0)
version: str = nnfast.__version__
