"""A dense network in plain NumPy and float64, written to be obviously right.

An activation is (f(z), gradient(z, delta)); a loss is (value of each row, gradient of each row's value); an optimizer
changes w and its slots in place.  All are found under their names in `nnfast._core.network`.
"""
import math

import numpy as np

EPSILON = 1e-7                  # Keras clips probabilities to [EPSILON, 1 - EPSILON]
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


# -- activations -----------------------------------------------------------------------------------------------------

def logistic(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_gradient(z, delta):
    a = softmax(z)
    return a * (delta - (a * delta).sum(axis=-1, keepdims=True))


def scaled_elu(z, scale, alpha):
    return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def scaled_elu_derivative(z, scale, alpha):
    return scale * np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0)))


def normal_distribution(z):
    return 0.5 * np.vectorize(math.erfc, otypes=[float])(-z / math.sqrt(2))


def normal_density(z):
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def gelu_inner(z):
    return np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))


def gelu_inner_derivative(z):
    return (1 - gelu_inner(z) ** 2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


def mish_derivative(z):
    t = np.tanh(softplus(z))
    return t + z * (1 - t * t) * logistic(z)


def elementwise(f, derivative):
    return f, lambda z, delta: delta * derivative(z)


ACTIVATIONS = {
    "linear": elementwise(lambda z: z + 0., np.ones_like),
    "relu": elementwise(lambda z: np.maximum(z, 0), lambda z: 1. * (z > 0)),
    "sigmoid": elementwise(logistic, lambda z: logistic(z) * logistic(-z)),
    "tanh": elementwise(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softmax": (softmax, softmax_gradient),
    "leaky_relu": elementwise(lambda z: np.where(z > 0, z, 0.2 * z), lambda z: np.where(z > 0, 1, 0.2)),
    "elu": elementwise(lambda z: scaled_elu(z, 1, 1), lambda z: scaled_elu_derivative(z, 1, 1)),
    "selu": elementwise(lambda z: scaled_elu(z, SELU_SCALE, SELU_ALPHA),
                        lambda z: scaled_elu_derivative(z, SELU_SCALE, SELU_ALPHA)),
    "gelu": elementwise(lambda z: z * normal_distribution(z), lambda z: normal_distribution(z) + z * normal_density(z)),
    "gelu_tanh": elementwise(lambda z: z / 2 * (1 + gelu_inner(z)),
                             lambda z: (1 + gelu_inner(z)) / 2 + z / 2 * gelu_inner_derivative(z)),
    "silu": elementwise(lambda z: z * logistic(z), lambda z: logistic(z) * (1 + z * logistic(-z))),
    "softplus": elementwise(softplus, logistic),
    "softsign": elementwise(lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2),
    "mish": elementwise(lambda z: z * np.tanh(softplus(z)), mish_derivative),
    "hard_sigmoid": elementwise(lambda z: np.clip(z / 6 + 0.5, 0, 1), lambda z: np.where(np.abs(z) < 3, 1 / 6, 0)),
    "exponential": elementwise(np.exp, np.exp),
}


# -- losses ----------------------------------------------------------------------------------------------------------

def one_hot(labels, n):
    return np.eye(n)[np.asarray(labels).astype(int).reshape(-1)]


def clip(p):
    return np.clip(p, EPSILON, 1 - EPSILON)


def inside(p):
    return (p >= EPSILON) & (p <= 1 - EPSILON)


def normalised(p):
    return p / p.sum(axis=-1, keepdims=True)


def binary_value(y, p):
    q = clip(p)
    return -(y * np.log(q) + (1 - y) * np.log(1 - q)).mean(axis=-1)


def binary_gradient(y, p):
    q = clip(p)
    return np.where(inside(p), (q - y) / (q * (1 - q)), 0) / p.shape[-1]


def categorical_value(y, p):
    return -(y * np.log(clip(normalised(p)))).sum(axis=-1)


def categorical_gradient(y, p):
    """Through q = p / sum p: d value / d p_i = (g_i - sum_j g_j q_j) / sum p, g = d value / d q."""
    q = normalised(p)
    g = np.where(inside(q), -y / clip(q), 0)
    return (g - (g * q).sum(axis=-1, keepdims=True)) / p.sum(axis=-1, keepdims=True)


def log_softmax(z):
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def categorical_logits_value(y, z):
    return -(y * log_softmax(z)).sum(axis=-1)


def categorical_logits_gradient(y, z):
    return y.sum(axis=-1, keepdims=True) * softmax(z) - y


def sparse(value, gradient):
    """The loss of labels is that of their one-hot rows."""
    return (lambda y, p: value(one_hot(y, p.shape[-1]), p), lambda y, p: gradient(one_hot(y, p.shape[-1]), p))


LOSSES = {
    "mean_squared_error": (lambda y, p: ((p - y) ** 2).mean(axis=-1), lambda y, p: 2 * (p - y) / p.shape[-1]),
    "mean_absolute_error": (lambda y, p: np.abs(p - y).mean(axis=-1), lambda y, p: np.sign(p - y) / p.shape[-1]),
    "binary_crossentropy": (binary_value, binary_gradient),
    "binary_crossentropy_logits": (lambda y, z: (softplus(z) - y * z).mean(axis=-1),
                                   lambda y, z: (logistic(z) - y) / z.shape[-1]),
    "categorical_crossentropy": (categorical_value, categorical_gradient),
    "categorical_crossentropy_logits": (categorical_logits_value, categorical_logits_gradient),
    "sparse_categorical_crossentropy": sparse(categorical_value, categorical_gradient),
    "sparse_categorical_crossentropy_logits": sparse(categorical_logits_value, categorical_logits_gradient),
}
MATCHING = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax",
            "sparse_categorical_crossentropy": "softmax"}      # behind these a loss works on the logits


# -- optimizers (Keras' formulas) ------------------------------------------------------------------------------------

def sgd(w, g, slots, learning_rate, step):
    w -= learning_rate * g


def momentum(w, g, slots, learning_rate, step, mu):
    [velocity] = slots
    velocity[...] = mu * velocity - learning_rate * g
    w += velocity


def nesterov(w, g, slots, learning_rate, step, mu):
    [velocity] = slots
    velocity[...] = mu * velocity - learning_rate * g
    w += mu * velocity - learning_rate * g


def adam(w, g, slots, learning_rate, step, beta_1, beta_2, epsilon):
    m, v = slots
    m += (g - m) * (1 - beta_1)
    v += (g * g - v) * (1 - beta_2)
    w -= learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step) * m / (np.sqrt(v) + epsilon)


OPTIMIZERS = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam}
SLOTS = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2}


# -- metrics of each row ---------------------------------------------------------------------------------------------

METRICS = {
    "binary_accuracy": lambda y, p: (y == (p > 0.5)).mean(axis=-1),
    "categorical_accuracy": lambda y, p: 1. * (y.argmax(axis=-1) == p.argmax(axis=-1)),
    "sparse_categorical_accuracy": lambda y, p: 1. * (y.reshape(-1) == p.argmax(axis=-1)),
    "absolute_error": lambda y, p: np.abs(y - p).mean(axis=-1),
    "squared_error": lambda y, p: ((y - p) ** 2).mean(axis=-1),
}


# -- the network -----------------------------------------------------------------------------------------------------

class Network:
    """Layers as [kernel, bias, activation]; kernel and bias are None where a layer has none."""

    def __init__(self, layers):
        self.layers = layers
        self.slots = None
        self.steps = 0

    @classmethod
    def of(cls, model):
        """The layers and the present weights of an nnfast model."""
        weights = iter(model.get_weights())
        layers = []
        for layer in model.layers:
            if hasattr(layer, "units"):
                kernel = next(weights).astype(np.float64)
                layers.append([kernel, next(weights).astype(np.float64) if layer.use_bias else None, layer.activation])
            elif hasattr(layer, "activation"):
                layers.append([None, None, layer.activation])
        return cls(layers)

    def weights(self):
        return [array for kernel, bias, _ in self.layers for array in (kernel, bias) if array is not None]

    def forward(self, x):
        """Inputs of each layer, its z, and the output."""
        a, inputs, sums = np.asarray(x, np.float64), [], []
        for kernel, bias, activation in self.layers:
            z = a if kernel is None else a @ kernel
            z = z if bias is None else z + bias
            inputs.append(a)
            sums.append(z)
            a = ACTIVATIONS[activation][0](z)
        return inputs, sums, a

    def predict(self, x):
        return self.forward(x)[2]

    def _on_logits(self, loss):
        """The name of the loss in training, and whether it takes z of the last layer."""
        matches = MATCHING.get(loss.removesuffix("_logits")) == self.layers[-1][2]
        return loss.removesuffix("_logits") + "_logits" if matches else loss, matches

    def values(self, x, y, loss):
        """The loss of each row."""
        _, sums, a = self.forward(x)
        loss, on_logits = self._on_logits(loss)
        return LOSSES[loss][0](y, sums[-1] if on_logits else a)

    def loss(self, x, y, loss, weights=None):
        values = self.values(x, y, loss)
        return (values if weights is None else values * weights).sum() / len(values)

    def loss_and_gradients(self, x, y, loss, weights=None):
        """sum(weight * value) / rows, and its gradient for each array of `weights()`."""
        inputs, sums, a = self.forward(x)
        rows = len(a)
        name, on_logits = self._on_logits(loss)
        delta = LOSSES[name][1](y, sums[-1] if on_logits else a) / rows
        if weights is not None:
            delta = delta * np.asarray(weights)[:, None]
        if not on_logits:
            delta = ACTIVATIONS[self.layers[-1][2]][1](sums[-1], delta)
        gradients = []
        for i in range(len(self.layers) - 1, -1, -1):
            kernel, bias, _ = self.layers[i]
            if bias is not None:
                gradients.append(delta.sum(axis=0))
            if kernel is not None:
                gradients.append(inputs[i].T @ delta)
                delta = delta @ kernel.T
            if i > 0:
                delta = ACTIVATIONS[self.layers[i - 1][2]][1](sums[i - 1], delta)
        return self.loss(x, y, loss, weights), gradients[::-1]

    def step(self, gradients, optimizer, learning_rate, settings):
        self.steps += 1
        if self.slots is None:
            self.slots = [[np.zeros_like(w) for _ in range(SLOTS[optimizer])] for w in self.weights()]
        for w, g, slots in zip(self.weights(), gradients, self.slots, strict=True):
            OPTIMIZERS[optimizer](w, g, slots, learning_rate, self.steps, *settings)

    def train(self, x, y, loss, optimizer, learning_rate, settings=(), batch_size=32, epochs=1, weights=None):
        """Batches in the order of the rows; returns the row-weighted mean loss of each epoch."""
        losses = []
        for _ in range(epochs):
            total = 0
            for first in range(0, len(x), batch_size):
                rows = slice(first, first + batch_size)
                part = None if weights is None else weights[rows]
                value, gradients = self.loss_and_gradients(x[rows], y[rows], loss, part)
                self.step(gradients, optimizer, learning_rate, settings)
                total += value * len(x[rows])
            losses.append(total / len(x))
        return losses


def central_differences(function, array, step):
    """d function() / d array, by moving each number of the array in place."""
    result = np.empty(array.shape)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = function()
        array[place] = kept - step
        result[place] = (above - function()) / (2 * step)
        array[place] = kept
    return result
