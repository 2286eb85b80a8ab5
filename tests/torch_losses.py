"""The losses in PyTorch: its own function where it has one, else the formula.

Each function takes tensors y_true and y_pred and the options of the class, and returns a value per
row.
"""
import math

import torch
from torch.nn import functional as F

EPSILON = 1e-7


def tensor(number):
    return torch.tensor(number, dtype=torch.float64)


def mean_squared_error(y, p):
    return F.mse_loss(p, y, reduction="none").mean(-1)


def mean_absolute_error(y, p):
    return F.l1_loss(p, y, reduction="none").mean(-1)


def mean_absolute_percentage_error(y, p):
    return 100 * ((y - p).abs() / y.abs().clamp(min=EPSILON)).mean(-1)


def mean_squared_logarithmic_error(y, p):
    return F.mse_loss(p.clamp(min=EPSILON).log1p(), y.clamp(min=EPSILON).log1p(), reduction="none").mean(-1)


def huber(y, p, delta=1.0):
    return F.huber_loss(p, y, delta=delta, reduction="none").mean(-1)


def smooth_l1(y, p, beta=1.0):
    return F.smooth_l1_loss(p, y, beta=beta, reduction="none").mean(-1)


def log_cosh(y, p):
    e = p - y
    return (e + F.softplus(-2 * e, threshold=700) - math.log(2)).mean(-1)


def quantile(y, p, q=0.5):
    q, e = tensor(q), y - p
    return torch.maximum(q * e, (q - 1) * e).mean(-1)


def expectile(y, p, q=0.5):
    e = y - p
    return (torch.where(e >= 0, tensor(q), tensor(1 - q)) * e**2).mean(-1)


def cosine_similarity(y, p, axis=-1):
    return -F.cosine_similarity(y, p, dim=axis, eps=EPSILON)


def kl_divergence(y, p):
    return F.kl_div(p.clamp(EPSILON, 1).log(), y.clamp(EPSILON, 1), reduction="none").sum(-1)


def poisson(y, p, log_input=False):
    return F.poisson_nll_loss(p, y, log_input=log_input, full=False, eps=EPSILON, reduction="none").mean(-1)


def gaussian_nll(y, p):
    mean, raw = p.chunk(2, -1)
    return F.gaussian_nll_loss(mean, y, F.softplus(raw, threshold=700) + 1e-6, full=False, reduction="none").mean(-1)


def gamma(y, p):
    return (p + y * torch.exp(-p)).mean(-1)


def tweedie(y, p, power=1.5):
    if power in (1, 2):
        return poisson(y, p, log_input=True) if power == 1 else gamma(y, p)
    constant = y**2 / 2 if power == 0 else 0
    return (torch.exp((2 - power) * p) / (2 - power) - y * torch.exp((1 - power) * p) / (1 - power) + constant).mean(-1)


def signs(y):
    return 2 * y - 1 if bool(((y == 0) | (y == 1)).all()) else y


def hinge(y, p):
    return F.relu(1 - signs(y) * p).mean(-1)


def squared_hinge(y, p):
    return (F.relu(1 - signs(y) * p) ** 2).mean(-1)


def categorical_hinge(y, p):
    return F.relu(1 + ((1 - y) * p).amax(-1) - (y * p).sum(-1))


def clamped(p):
    return p.clamp(EPSILON, 1 - EPSILON)


def binary_crossentropy(y, p, from_logits=False, label_smoothing=0.0, pos_weight=1.0):
    y, weight = y * (1 - label_smoothing) + label_smoothing / 2, tensor(pos_weight)
    if from_logits:
        return F.binary_cross_entropy_with_logits(p, y, pos_weight=weight, reduction="none").mean(-1)
    return -(weight * y * clamped(p).log() + (1 - y) * (1 - clamped(p)).log()).mean(-1)


def binary_focal_crossentropy(y, p, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False,
                              label_smoothing=0.0):
    y = y * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        miss = y * torch.sigmoid(-p) + (1 - y) * torch.sigmoid(p)
        loss = F.binary_cross_entropy_with_logits(p, y, reduction="none")
    else:
        miss = y * (1 - p) + (1 - y) * p
        loss = F.binary_cross_entropy(clamped(p), y, reduction="none")
    balance = y * alpha + (1 - y) * (1 - alpha) if apply_class_balancing else 1
    return (balance * miss**gamma * loss).mean(-1)


def log_probabilities(p, from_logits):
    return torch.log_softmax(p, -1) if from_logits else clamped(p / p.sum(-1, keepdim=True)).log()


def categorical_crossentropy(y, p, from_logits=False, label_smoothing=0.0):
    if from_logits:
        return F.cross_entropy(p, y, label_smoothing=label_smoothing, reduction="none")
    return -((y * (1 - label_smoothing) + label_smoothing / p.shape[-1]) * log_probabilities(p, False)).sum(-1)


def categorical_focal_crossentropy(y, p, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0):
    logs = log_probabilities(p, from_logits)
    y = y * (1 - label_smoothing) + label_smoothing / p.shape[-1]
    return -(tensor(alpha) * (1 - logs.exp()) ** gamma * y * logs).sum(-1)


def sparse_categorical_crossentropy(y, p, from_logits=False, ignore_class=None):
    ignored = {} if ignore_class is None else {"ignore_index": ignore_class}
    if from_logits:
        return F.cross_entropy(p, y, reduction="none", **ignored)
    return F.nll_loss(log_probabilities(p, False), y, reduction="none", **ignored)


def dice(y, p, axis=None):
    return 1 - 2 * (y * p).sum(axis) / (y.sum(axis) + p.sum(axis) + EPSILON)


def tversky(y, p, alpha=0.5, beta=0.5, axis=None):
    both = (y * p).sum(axis)
    return 1 - both / (both + alpha * (y * (1 - p)).sum(axis) + beta * (p * (1 - y)).sum(axis) + EPSILON)
