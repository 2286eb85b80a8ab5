"""A dense network in plain NumPy and float64, written to be obviously right.

An activation is (f(z), gradient(z, delta)). A loss is a function (y, p, options) -> (value of each
row, gradient of each row's value). An optimizer changes w and its slots in place. All have their
names in `nnfast._core.network`; losses also have those in `nnfast.losses`.
"""
import functools
import inspect
import math

import numpy as np

EPSILON = 1e-7                  # Keras clips probabilities to [EPSILON, 1 - EPSILON]
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


# -- activations -----------------------------------------------------------------------------------

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


# -- losses ----------------------------------------------------------------------------------------
# (y, p, options of the class) -> (value of each row, gradient of each row's value).

LOSSES = {}


def loss_of_rows(function):
    """Adds a loss to LOSSES, which calls it with float64 arrays.

    A loss that clips also gets `low` and `high`: EPSILON and 1 - EPSILON in the dtype of p.
    """
    clips = "low" in inspect.signature(function).parameters

    def loss(y, p, **options):
        y, p = np.asarray(y), np.asarray(p)
        if clips:
            options |= {"low": float(p.dtype.type(EPSILON)), "high": float(p.dtype.type(1) - p.dtype.type(EPSILON))}
        return function(y if y.dtype.kind == "i" else y.astype(np.float64), p.astype(np.float64), **options)

    LOSSES[function.__name__] = loss
    return loss


def mean_of_numbers(function):
    """The same for a function that returns the term and the slope of each element of a row."""
    @functools.wraps(function)
    def mean(y, p, **options):
        terms, slopes = function(y, p, **options)
        return terms.mean(axis=-1), slopes / p.shape[-1]

    return loss_of_rows(mean)


def total(array):
    return array.sum(axis=-1, keepdims=True)


def inside(p, low, high):
    """True where a clip passes the gradient on."""
    return (p >= low) & (p <= high)


@mean_of_numbers
def mean_squared_error(y, p):
    return (p - y) ** 2, 2 * (p - y)


@mean_of_numbers
def mean_absolute_error(y, p):
    return np.abs(p - y), np.sign(p - y)


@mean_of_numbers
def mean_absolute_percentage_error(y, p, low, high):
    scale = 100 / np.maximum(np.abs(y), low)
    return np.abs(p - y) * scale, np.sign(p - y) * scale


@mean_of_numbers
def mean_squared_logarithmic_error(y, p, low, high):
    error = np.log1p(np.maximum(p, low)) - np.log1p(np.maximum(y, low))
    return error**2, np.where(p > low, 2 * error / (1 + np.maximum(p, low)), 0)


@mean_of_numbers
def huber(y, p, delta=1.0):
    e = p - y
    return np.where(np.abs(e) <= delta, e * e / 2, delta * np.abs(e) - delta**2 / 2), np.clip(e, -delta, delta)


@mean_of_numbers
def smooth_l1(y, p, beta=1.0):
    e, near = p - y, np.abs(p - y) < beta
    per_beta = 1 / beta if beta else 0
    return np.where(near, e * e / 2 * per_beta, np.abs(e) - beta / 2), np.where(near, e * per_beta, np.sign(e))


@mean_of_numbers
def log_cosh(y, p):
    e = np.abs(p - y)
    near, far = np.log1p(2 * np.sinh(np.minimum(e, 1) / 2) ** 2), e + np.log1p(np.exp(-2 * e)) - np.log(2)
    return np.where(e < 1, near, far), np.tanh(p - y)


@mean_of_numbers
def quantile(y, p, q=0.5):
    e, q = y - p, np.asarray(q)
    return np.maximum(q * e, (q - 1) * e), np.where(e > 0, -q, np.where(e < 0, 1 - q, 0))


@mean_of_numbers
def expectile(y, p, q=0.5):
    e = y - p
    side = np.where(e >= 0, q, 1 - q)
    return side * e * e, -2 * side * e


@loss_of_rows
def cosine_similarity(y, p):
    of_y, of_p = (np.maximum(np.sqrt(total(a * a)), EPSILON) for a in (y, p))
    value = -total(y / of_y * (p / of_p))
    through_norm = total(p * p) >= EPSILON**2
    return value[..., 0], -(y / of_y + np.where(through_norm, value * p / of_p, 0)) / of_p


@loss_of_rows
def kl_divergence(y, p, low, high):
    """At the two ends of the clip the slope is the mean of the slopes on both sides."""
    t, q = np.clip(y, low, 1), np.clip(p, low, 1)
    through = np.where((p > low) & (p < 1), 1, np.where((p == low) | (p == 1), 0.5, 0))
    return (t * np.log(t / q)).sum(axis=-1), -t / q * through


@mean_of_numbers
def poisson(y, p, low, high, log_input=False):
    if log_input:
        return np.exp(p) - y * p, np.exp(p) - y
    return p - y * np.log(p + low), 1 - y / (p + low)


@loss_of_rows
def gaussian_nll(y, p):
    mean, raw = np.split(p, 2, axis=-1)
    v, e = softplus(raw) + 1e-6, y - mean
    gradient = np.concatenate([-e / v, (1 / v - e * e / v**2) / 2 * logistic(raw)], axis=-1)
    return ((np.log(v) + e * e / v) / 2).mean(axis=-1), gradient / y.shape[-1]


@mean_of_numbers
def gamma(y, p):
    return p + y * np.exp(-p), 1 - y * np.exp(-p)


@mean_of_numbers
def tweedie(y, p, power=1.5):
    m = np.exp(p)
    slope = m ** (2 - power) - y * m ** (1 - power)
    if power == 1:
        return m - y * p, slope
    if power == 2:
        return p + y / m, slope
    return m ** (2 - power) / (2 - power) - y * m ** (1 - power) / (1 - power) + (y * y / 2 if power == 0 else 0), slope


def signs(y):
    return 2 * y - 1 if np.isin(y, (0, 1)).all() else y


@mean_of_numbers
def hinge(y, p):
    y = signs(y)
    return np.maximum(0, 1 - y * p), np.where(y * p < 1, -y, 0)


@mean_of_numbers
def squared_hinge(y, p):
    y = signs(y)
    return np.maximum(0, 1 - y * p) ** 2, -2 * y * np.maximum(0, 1 - y * p)


@loss_of_rows
def categorical_hinge(y, p):
    best = np.eye(p.shape[-1])[((1 - y) * p).argmax(axis=-1)]
    value = 1 + total(best * (1 - y) * p) - total(y * p)
    return np.maximum(0, value)[..., 0], np.where(value > 0, best * (1 - y) - y, 0)


@mean_of_numbers
def binary_crossentropy(y, p, low, high, from_logits=False, label_smoothing=0.0, pos_weight=1.0):
    t, weight = y * (1 - label_smoothing) + label_smoothing / 2, np.asarray(pos_weight)
    if from_logits:
        return weight * t * softplus(-p) + (1 - t) * softplus(p), (1 - t) * logistic(p) - weight * t * logistic(-p)
    q = np.clip(p, low, high)
    slope = (1 - t) / (1 - q) - weight * t / q
    return -weight * t * np.log(q) - (1 - t) * np.log(1 - q), slope * inside(p, low, high)


def power_and_slope(base, exponent):
    """base^exponent and its derivative, with 0 where the derivative is infinite."""
    finite = (base > 0) | (exponent >= 1)
    return base**exponent, exponent * np.where(finite, base, 1) ** (exponent - 1) * finite


@mean_of_numbers
def binary_focal_crossentropy(y, p, low, high, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False,
                              label_smoothing=0.0):
    t = y * (1 - label_smoothing) + label_smoothing / 2
    a, rest = (logistic(p), logistic(-p)) if from_logits else (p, 1 - p)
    q = np.clip(a, low, high)
    loss = -t * np.log(q) - (1 - t) * np.log(1 - q)
    slope = ((1 - t) / (1 - q) - t / q) * inside(a, low, high)
    factor, factor_slope = power_and_slope(t * rest + (1 - t) * a, gamma)
    balance = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1
    gradient = factor * slope + factor_slope * (1 - 2 * t) * loss
    return balance * factor * loss, balance * gradient * (a * rest if from_logits else 1)


def log_softmax(z):
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(total(np.exp(shifted)))


def normalised(p):
    """p / sum p, 0 where sum p is 0, and a function that carries a gradient back to p."""
    mass = total(p)
    per = np.divide(1, mass, out=np.zeros_like(mass), where=mass != 0)
    return p * per, lambda g: (g - total(g * p * per)) * per


@loss_of_rows
def categorical_crossentropy(y, p, low, high, from_logits=False, label_smoothing=0.0):
    t = y * (1 - label_smoothing) + label_smoothing / p.shape[-1]
    if from_logits:
        return -(t * log_softmax(p)).sum(axis=-1), total(t) * softmax(p) - t
    q, back = normalised(p)
    clipped = np.clip(q, low, high)
    return -(t * np.log(clipped)).sum(axis=-1), back(-t / clipped * inside(q, low, high))


@loss_of_rows
def categorical_focal_crossentropy(y, p, low, high, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0):
    t = y * (1 - label_smoothing) + label_smoothing / p.shape[-1]
    q, back = (softmax(p), lambda g: softmax_gradient(p, g)) if from_logits else normalised(p)
    clipped = np.clip(q, low, high)
    factor, factor_slope = power_and_slope(1 - clipped, gamma)
    slope = -t * np.asarray(alpha) * (factor / clipped - factor_slope * np.log(clipped))
    return -(t * alpha * factor * np.log(clipped)).sum(axis=-1), back(slope * inside(q, low, high))


def sparse_categorical_crossentropy(y, p, from_logits=False, ignore_class=None):
    """categorical_crossentropy of one-hot rows; value and gradient are 0 for the ignored class."""
    kept = np.not_equal(y, ignore_class)
    values, gradient = categorical_crossentropy(np.eye(p.shape[-1])[np.where(kept, y, 0)], p, from_logits=from_logits)
    return values * kept, gradient * kept[..., None]


LOSSES["sparse_categorical_crossentropy"] = sparse_categorical_crossentropy


@loss_of_rows
def dice(y, p):
    both, whole = total(y * p), total(y) + total(p) + EPSILON
    return (1 - 2 * both / whole)[..., 0], -2 * (y / whole - both / whole**2)


@loss_of_rows
def tversky(y, p, alpha=0.5, beta=0.5):
    both = total(y * p)
    whole = both + alpha * total(y * (1 - p)) + beta * total(p * (1 - y)) + EPSILON
    slope = y - alpha * y + beta * (1 - y)
    return (1 - both / whole)[..., 0], -(y / whole - both * slope / whole**2)


for _name in ["binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
              "categorical_focal_crossentropy", "sparse_categorical_crossentropy"]:
    LOSSES[f"{_name}_logits"] = functools.partial(LOSSES[_name], from_logits=True)
LOSSES["poisson_log"] = functools.partial(LOSSES["poisson"], log_input=True)
MATCHING = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax",
            "sparse_categorical_crossentropy": "softmax"}      # after these activations a loss reads the logits


def reduced(values, gradients, reduction="sum_over_batch_size", weights=None, counted=None):
    """A loss and its gradient from values of samples; `counted` is False for ignored samples."""
    weights = np.ones(values.shape) if weights is None else np.broadcast_to(weights, values.shape).astype(np.float64)
    counted = np.ones(values.shape, bool) if counted is None else counted
    if reduction in (None, "none"):
        return values * weights, gradients * weights[..., None]
    divisor = {"sum": 1, "mean_with_sample_weight": (weights * counted).sum()}.get(reduction, counted.sum())
    if divisor == 0:
        return 0., np.zeros_like(gradients)
    return (values * weights).sum() / divisor, gradients * weights[..., None] / divisor


# -- optimizers ------------------------------------------------------------------------------------
# The papers' formulas, with Keras' choices where they differ; options have Keras' names.

def sgd(w, g, slots, learning_rate, step, momentum=0, nesterov=False):
    if not slots:
        w -= learning_rate * g
        return
    [velocity] = slots
    velocity[...] = momentum * velocity - learning_rate * g
    w += momentum * velocity - learning_rate * g if nesterov else velocity


def rmsprop(w, g, slots, learning_rate, step, rho=0.9, momentum=0, epsilon=1e-7, centered=False):
    v, velocity = slots[0], slots[-1] if momentum else np.zeros_like(w)
    v[...] = rho * v + (1 - rho) * g**2
    variance = v
    if centered:
        slots[1][...] = rho * slots[1] + (1 - rho) * g
        variance = v - slots[1]**2
    velocity[...] = momentum * velocity + learning_rate * g / np.sqrt(variance + epsilon)
    w -= velocity


def moments(slots, g, beta_1, beta_2):
    m, v = slots[:2]
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g**2
    return m, v


def adam(w, g, slots, learning_rate, step, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, epsilon_form="keras"):
    m, v = moments(slots, g, beta_1, beta_2)
    if amsgrad:
        v = slots[2][...] = np.maximum(slots[2], v)
    root = math.sqrt(1 - beta_2**step)
    below = np.sqrt(v) + epsilon if epsilon_form == "keras" else root * (np.sqrt(v) / root + epsilon)
    w -= learning_rate * root / (1 - beta_1**step) * m / below


def radam(w, g, slots, learning_rate, step, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    m, v = moments(slots, g, beta_1, beta_2)
    longest = 2 / (1 - beta_2) - 1
    length = longest - 2 * step * beta_2**step / (1 - beta_2**step)
    m_hat = m / (1 - beta_1**step)
    if length > 5:
        r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        w -= learning_rate * r * m_hat * math.sqrt(1 - beta_2**step) / (np.sqrt(v) + epsilon)
    else:
        w -= learning_rate * m_hat


def adagrad(w, g, slots, learning_rate, step, initial_accumulator_value=0.1, epsilon=1e-7):
    [total] = slots
    total += g**2
    w -= learning_rate * g / np.sqrt(total + epsilon)


def adadelta(w, g, slots, learning_rate, step, rho=0.95, epsilon=1e-7):
    v, d = slots
    v[...] = rho * v + (1 - rho) * g**2
    update = np.sqrt(d + epsilon) / np.sqrt(v + epsilon) * g
    d[...] = rho * d + (1 - rho) * update**2
    w -= learning_rate * update


def adamax(w, g, slots, learning_rate, step, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, u = slots
    m[...] = beta_1 * m + (1 - beta_1) * g
    u[...] = np.maximum(beta_2 * u, np.abs(g))
    w -= learning_rate / (1 - beta_1**step) * m / (u + epsilon)


def nadam(w, g, slots, learning_rate, step, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v = moments(slots, g, beta_1, beta_2)
    u = [beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, step + 2)]
    m_hat = u[-1] * m / (1 - math.prod(u)) + (1 - u[-2]) * g / (1 - math.prod(u[:-1]))
    w -= learning_rate * m_hat / (np.sqrt(v / (1 - beta_2**step)) + epsilon)


def lion(w, g, slots, learning_rate, step, beta_1=0.9, beta_2=0.99):
    [m] = slots
    w -= learning_rate * np.sign(beta_1 * m + (1 - beta_1) * g)
    m[...] = beta_2 * m + (1 - beta_2) * g


OPTIMIZERS = {
    # kernel: function, number of slots
    "sgd": (sgd, 0), "momentum": (sgd, 1), "nesterov": (sgd, 1), "rmsprop": (rmsprop, 1),
    "rmsprop_momentum": (rmsprop, 2), "rmsprop_centered": (rmsprop, 2), "rmsprop_centered_momentum": (rmsprop, 3),
    "adam": (adam, 2), "amsgrad": (adam, 3), "radam": (radam, 2), "adagrad": (adagrad, 1), "adadelta": (adadelta, 2),
    "adamax": (adamax, 2), "nadam": (nadam, 2), "lion": (lion, 1),
}


class Optimizer:
    """An optimizer of one array of weights, which it changes in place."""

    def __init__(self, name, w, options):
        self.options = dict(options)
        self.weight_decay = self.options.pop("weight_decay", None) or 0
        self.formula, n_slots = OPTIMIZERS[name]
        self.slots = [np.full_like(w, self.options.get("initial_accumulator_value", 0)) for _ in range(n_slots)]
        self.w, self.steps = w, 0

    def step(self, g, learning_rate):
        self.steps += 1
        self.w -= learning_rate * self.weight_decay * self.w
        self.formula(self.w, g, self.slots, learning_rate, self.steps, **self.options)


# -- metrics of each row ---------------------------------------------------------------------------

METRICS = {
    "binary_accuracy": lambda y, p: (y == (p > 0.5)).mean(axis=-1),
    "categorical_accuracy": lambda y, p: 1. * (y.argmax(axis=-1) == p.argmax(axis=-1)),
    "sparse_categorical_accuracy": lambda y, p: 1. * (y.reshape(-1) == p.argmax(axis=-1)),
    "absolute_error": lambda y, p: np.abs(y - p).mean(axis=-1),
    "squared_error": lambda y, p: ((y - p) ** 2).mean(axis=-1),
}


# -- the network -----------------------------------------------------------------------------------

class Network:
    """Layers [kernel, bias, activation]; kernel and bias may be None."""

    def __init__(self, layers, dtype=np.float64):
        self.layers = layers
        self.dtype = dtype          # of the model; a loss clips in it
        self.optimizers = None
        self.steps = 0

    @classmethod
    def of(cls, model):
        """The layers and the current weights of an nnfast model."""
        weights = iter(model.get_weights())
        layers = []
        for layer in model.layers:
            if hasattr(layer, "units"):
                kernel = next(weights).astype(np.float64)
                layers.append([kernel, next(weights).astype(np.float64) if layer.use_bias else None, layer.activation])
            elif hasattr(layer, "activation"):
                layers.append([None, None, layer.activation])
        return cls(layers, model.dtype)

    def weights(self):
        return [array for kernel, bias, _ in self.layers for array in (kernel, bias) if array is not None]

    def forward(self, x):
        """The inputs of all layers, their z, and the output of the network."""
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
        """The name of the loss in training, and whether it reads z of the last layer."""
        matches = MATCHING.get(loss.removesuffix("_logits")) == self.layers[-1][2]
        return loss.removesuffix("_logits") + "_logits" if matches else loss, matches

    def values(self, x, y, loss):
        """The loss of each row."""
        _, sums, a = self.forward(x)
        loss, on_logits = self._on_logits(loss)
        return LOSSES[loss](y, (sums[-1] if on_logits else a).astype(self.dtype))[0]

    def loss(self, x, y, loss, weights=None):
        values = self.values(x, y, loss)
        return (values if weights is None else values * weights).sum() / len(values)

    def loss_and_gradients(self, x, y, loss, weights=None):
        """sum(weight * value) / rows, and its gradient for each array of `weights()`."""
        inputs, sums, a = self.forward(x)
        rows = len(a)
        name, on_logits = self._on_logits(loss)
        delta = LOSSES[name](y, (sums[-1] if on_logits else a).astype(self.dtype))[1] / rows
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

    def step(self, gradients, optimizer, learning_rate, options):
        """One step, in Keras' order.

        The order: mean over accumulated batches, clipping, weight decay, optimizer, moving average
        of the weights.
        """
        options = dict(options)
        common = {name: options.pop(name, None) for name in (
            "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency",
            "gradient_accumulation_steps")}
        if self.optimizers is None:
            self.optimizers = [Optimizer(optimizer, w, options) for w in self.weights()]
            self.sums = [np.zeros_like(w) for w in self.weights()]
            self.means = [np.zeros_like(w) for w in self.weights()]
        together = common["gradient_accumulation_steps"] or 1
        taken = self.steps // together
        self.steps += 1
        for total, g in zip(self.sums, gradients, strict=True):
            total += g
        if self.steps % together == 0:
            gradients = [total / together for total in self.sums]
            norm = math.sqrt(sum((g**2).sum() for g in gradients))
            for each, g, total in zip(self.optimizers, gradients, self.sums, strict=True):
                if common["clipvalue"]:
                    g = g.clip(-common["clipvalue"], common["clipvalue"])
                if common["clipnorm"]:
                    g = g * min(1, common["clipnorm"] / np.linalg.norm(g))
                if common["global_clipnorm"]:
                    g = g * min(1, common["global_clipnorm"] / norm)
                each.step(g, learning_rate)
                total[...] = 0
        if common["use_ema"]:
            kept = (common["ema_momentum"] or 0.99) if taken else 0
            for w, mean in zip(self.weights(), self.means, strict=True):
                mean[...] = kept * mean + (1 - kept) * w
                if common["ema_overwrite_frequency"] and (taken + 1) % common["ema_overwrite_frequency"] == 0:
                    w[...] = mean

    def train(self, x, y, loss, optimizer, learning_rate, options=(), batch_size=32, epochs=1, weights=None):
        """Trains on batches in the order of rows; returns the mean loss over rows of each epoch."""
        losses = []
        for _ in range(epochs):
            total = 0
            for first in range(0, len(x), batch_size):
                rows = slice(first, first + batch_size)
                part = None if weights is None else weights[rows]
                value, gradients = self.loss_and_gradients(x[rows], y[rows], loss, part)
                rate = learning_rate(self.steps) if callable(learning_rate) else learning_rate
                self.step(gradients, optimizer, rate, options)
                total += value * len(x[rows])
            losses.append(total / len(x))
        return losses


def central_differences(function, array, step):
    """d function() / d array: changes each element of the array in place and puts it back."""
    result = np.empty(array.shape)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = function()
        array[place] = kept - step
        result[place] = (above - function()) / (2 * step)
        array[place] = kept
    return result
