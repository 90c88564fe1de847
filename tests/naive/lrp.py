"""LRP once more, slow and obvious: every layer of a torch network as a dense matrix, one sample at a time, float64."""

import copy
from functools import partial

import numpy as np
import torch
from torch import nn

BY_SIZE = {"lrp-alpha-beta", "lrp-z-plus", "lrp-flat", "lrp-w-square", "lrp-z-box"}

# ---- the formulas again, on the matrix of products p[j, i] = x_i·w_ji of one sample ----


def share(p, r, extra=0.0, epsilon=0.0):
    """R_i = Σ_j p_ji/(Σ_i p_ji + extra_j) · r_j."""
    z = p.sum(1) + extra
    z = z + epsilon * np.where(z < 0, -1, 1)
    return np.divide(r, z, out=np.zeros_like(z), where=z != 0) @ p


def by_epsilon(epsilon, x, w, b, r):
    return share(w * x, r, b, epsilon)


def by_z_plus(x, w, b, r):
    return share(np.maximum(w * x, 0), r)


def by_alpha_beta(alpha, beta, x, w, b, r):
    p = w * x
    return alpha * share(np.maximum(p, 0), r, np.maximum(b, 0)) - beta * share(np.minimum(p, 0), r, np.minimum(b, 0))


def by_gamma(gamma, x, w, b, r):
    p, z = w * x, w @ x + b
    total = np.zeros_like(x)
    for clip, rows in ((np.maximum, z > 0), (np.minimum, z < 0)):
        total += share(p + gamma * clip(p, 0), r * rows, b + gamma * clip(b, 0))
    return total


def by_flat(x, w, b, r):
    return share((w != 0).astype(float), r)


def by_w_square(x, w, b, r):
    return share(w**2, r)


def by_z_box(x, w, b, r):
    return share(w * x - x.min() * np.maximum(w, 0) - x.max() * np.minimum(w, 0), r)


FIRST_CONV_DENSE = {
    "lrp-0": [partial(by_epsilon, 0)] * 3,
    "lrp-epsilon": [partial(by_epsilon, 1e-6)] * 3,
    "lrp-epsilon:epsilon=0.5": [partial(by_epsilon, 0.5)] * 3,
    "lrp-gamma": [partial(by_gamma, 0.25)] * 3,
    "lrp-gamma:gamma=2": [partial(by_gamma, 2)] * 3,
    "lrp-alpha-beta": [partial(by_alpha_beta, 2, 1)] * 3,
    "lrp-alpha-beta:alpha=1.5,beta=0.5": [partial(by_alpha_beta, 1.5, 0.5)] * 3,
    "lrp-z-plus": [by_z_plus] * 3,
    "lrp-flat": [by_flat, by_z_plus, by_z_plus],
    "lrp-w-square": [by_w_square, by_z_plus, by_z_plus],
    "lrp-z-box": [by_z_box, by_z_plus, by_z_plus],
    "lrp-epsilon-plus-flat": [by_flat, partial(by_alpha_beta, 1, 0), partial(by_epsilon, 1e-6)],
    "lrp-epsilon-alpha2-beta1": [None, partial(by_alpha_beta, 2, 1), partial(by_epsilon, 1e-6)],
    "clrp": [by_z_plus] * 3,
    "sglrp": [by_z_plus] * 3,
}


def start(name, y, target):
    """Where relevance starts, from the methods' papers."""
    base, hot = name.partition(":")[0], np.eye(len(y))[target]
    if base == "clrp":
        return abs(y[target]) * (hot - (1 - hot) / (len(y) - 1))
    if base == "sglrp":
        p = np.exp(y) / np.exp(y).sum()
        return p[target] * (hot - p)
    return hot * (abs(y[target]) if base in BY_SIZE else y[target])


class Naive:
    """Walks a torch network backward for one sample, in float64, every layer as a dense matrix."""

    def __init__(self, name):
        self.first, self.conv, self.dense = FIRST_CONV_DENSE[name]
        self.epsilon = 0.0 if name == "lrp-0" else 1e-6

    def walk(self, module, x, r, image=False):
        """Relevance at the input of a module, given that at its output."""
        if isinstance(module, nn.Sequential):
            inputs = [x]
            for m in module:
                inputs.append(m(inputs[-1]))
            for index in reversed(range(len(module))):
                r = self.walk(module[index], inputs[index], r, image and index == 0)
            return r
        if hasattr(module, "shortcut"):  # a residual block
            return self.residual(module, x, r)
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
            return self.linear(module, x, r, image)
        if isinstance(module, nn.MaxPool2d):
            with torch.enable_grad():
                x = x.clone().requires_grad_()
                return torch.autograd.grad(module(x), x, r)[0]
        return r.reshape(x.shape)  # ReLU, Flatten, Identity, BatchNorm

    def linear(self, module, x, r, image):
        w, b = self.matrix(module, x)
        if isinstance(module, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
            rule = partial(by_epsilon, self.epsilon)
        else:
            rule = self.dense if isinstance(module, nn.Linear) else self.conv
            rule = self.first if image and self.first else rule
        return torch.tensor(rule(x.numpy().ravel(), w, b, r.numpy().ravel())).reshape(x.shape)

    @staticmethod
    def matrix(module, x):
        b = module(torch.zeros_like(x)).detach().numpy().ravel()
        basis = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
        return (module(basis).detach().numpy().reshape(x.numel(), -1) - b).T, b

    def residual(self, module, x, r):
        parts = [module.body(x), module.shortcut(x)]
        z = parts[0] + parts[1]
        each = r / (z + self.epsilon * torch.where(z < 0, -1.0, 1.0))
        return self.walk(module.body, x, parts[0] * each) + self.walk(module.shortcut, x, parts[1] * each)


def fused(module):
    """Fold BatchNorm into the convolution before it, by torch's own formula."""
    if not isinstance(module, nn.Sequential):
        for child, m in module.named_children():
            setattr(module, child, fused(m))
        return module
    layers = []
    for m in module:
        if isinstance(m, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = nn.utils.fusion.fuse_conv_bn_eval(layers[-1], m)
        else:
            layers.append(fused(m))
    return nn.Sequential(*layers)


def naive_lrp(network, name, x, target):
    """Relevance [N, *sample] of a network's score for one class."""
    network = fused(copy.deepcopy(network).double().eval())
    maps = []
    with torch.no_grad():
        for sample in torch.tensor(x).split(1):
            r = torch.tensor(start(name, network(sample)[0].numpy(), target))[None]
            maps.append(Naive(name).walk(network, sample, r, image=True).numpy())
    return np.concatenate(maps)
