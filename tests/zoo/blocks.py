"""What the networks are built of, and the weights that keep their activations healthy."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def healthy(net: nn.Module, shape: Sequence[int], seed: int, samples: int = 8) -> nn.Module:
    """Give the network He weights and BatchNormalization statistics of random images, shaken.

    Running one batch with momentum 1 fits every running mean and variance to what really arrives there; the
    shake makes them differ from identity and from each other, and some scales negative.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for m in net.modules():
            if isinstance(m, WEIGHTED):
                m.weight.normal_(0, (2 / m.weight[0].numel()) ** 0.5)
                if m.bias is not None:
                    m.bias.uniform_(-0.1, 0.1)
            elif isinstance(m, NORMS):
                m.momentum = 1.0
                m.weight.uniform_(0.6, 1.4).mul_(torch.where(torch.rand(m.weight.shape) < 0.15, -1.0, 1.0))
                m.bias.normal_(0.1, 0.2)
        net.train()(torch.randn(samples, *shape[1:]))
        for m in net.modules():
            if isinstance(m, NORMS):
                m.running_mean += 0.2 * m.running_var.sqrt() * torch.randn_like(m.running_mean)
                m.running_var *= torch.empty_like(m.running_var).uniform_(0.6, 1.6)
    return net.eval()


def unit(
    cin: int, cout: int, k: int | tuple[int, int] = 3, s: int = 1, g: int = 1, act: type[nn.Module] | None = nn.ReLU
) -> nn.Sequential:
    """Conv → BatchNorm → activation, size kept at stride 1."""
    kernel = k if isinstance(k, tuple) else (k, k)
    pads = (kernel[0] // 2, kernel[1] // 2)
    layers: list[nn.Module] = [nn.Conv2d(cin, cout, kernel, s, pads, groups=g, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    """act(body(x) + shortcut(x)); act is Identity where the sum is read as it is."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, act: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))


class Parallel(nn.Module):
    """Branches read the same tensor; their outputs are concatenated along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Shuffle(nn.Module):
    """Channel shuffle: Reshape, Transpose, Reshape."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        _, c, h, w = x.shape
        return x.reshape(-1, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(-1, c, h, w)


class Halves(nn.Module):
    """One half of the channels goes through the body, the other around it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        return torch.cat([a, self.body(b)], 1)


class _LRN(torch.autograd.Function):
    """The TorchScript exporter spells torch's LocalResponseNorm out, with an If; this writes the op LRN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float) -> Tensor:
        return nn.functional.local_response_norm(x, size, alpha)

    @staticmethod
    def symbolic(g: Any, x: Any, size: int, alpha: float) -> Any:
        return g.op("LRN", x, size_i=size, alpha_f=alpha, beta_f=0.75, bias_f=1.0).setType(x.type())


class LRN(nn.Module):
    """Local response normalisation over neighbouring channels."""

    def __init__(self, size: int, alpha: float = 0.1) -> None:
        super().__init__()
        self.size, self.alpha = size, alpha

    def forward(self, x: Tensor) -> Tensor:
        return _LRN.apply(x, self.size, self.alpha)


class SqueezeExcite(nn.Module):
    """A gate per channel, from the spatial mean."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c // 4, 1), nn.ReLU(), nn.Conv2d(c // 4, c, 1), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def classifier(c: int, classes: int = 10) -> list[nn.Module]:
    """Global average pooling and one dense layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes)]
