"""Networks that are built here, with random weights: VGG-16, ResNet-50, ViT-Tiny; and the digits, in PyTorch."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.zoo import export, full_vgg16
from tests.zoo.blocks import Residual, healthy, unit
from tests.zoo.transformers import SelfAttention

REPO = Path(__file__).resolve().parents[2]
PICTURE = (1, 3, 224, 224)
WIDTH, HEADS, DEPTH, PATCH = 192, 3, 12, 16  # ViT-Tiny, Touvron et al. 2021


def vgg16() -> nn.Module:
    """Return VGG-16 (Simonyan and Zisserman 2015)."""
    return full_vgg16()


def resnet50() -> nn.Module:
    """Return ResNet-50 (He et al. 2016), strides in the 3×3 convolutions."""
    layers: list[nn.Module] = [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for inner, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(bottleneck(width, inner, stride if i == 0 else 1))
            width = 4 * inner
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000)]
    return healthy(nn.Sequential(*layers, *head), PICTURE, 0, samples=2)


def bottleneck(width: int, inner: int, stride: int) -> nn.Module:
    """Return 1×1, 3×3, 1×1 beside a shortcut."""
    body = nn.Sequential(unit(width, inner, 1), unit(inner, inner, 3, stride), unit(inner, 4 * inner, 1, act=None))
    same = stride == 1 and width == 4 * inner
    return Residual(body, None if same else unit(width, 4 * inner, 1, stride, act=None), nn.ReLU())


class Block(nn.Module):
    """Attention and two dense layers, each behind a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.attend = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), SelfAttention(WIDTH, HEADS)
        self.dense = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, tokens, width]."""
        x = x + self.attend(self.one(x))
        added: Tensor = x + self.dense(self.two(x))
        return added


class ViTTiny(nn.Module):
    """ViT-Tiny with a class token, 16×16 patches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.place = nn.Parameter(0.02 * torch.randn(1, (224 // PATCH) ** 2 + 1, WIDTH))
        self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(DEPTH))), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, 3, 224, 224]."""
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        scores: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return scores


def digits() -> nn.Module:
    """Return the project's own network with its trained weights, as in models/."""
    folder = str(REPO / "models")
    sys.path.insert(0, folder)
    try:
        net: nn.Module = importlib.import_module("network").DigitsNet()
    finally:
        sys.path.remove(folder)
    stored: Any = np.load(REPO / "models" / "digits_weights.npz")
    net.load_state_dict({key: torch.tensor(stored[key]) for key in stored.files}, strict=False)
    return net


BUILT = {"vgg16": vgg16, "resnet50": resnet50, "vit_tiny": ViTTiny}
TORCH = {**BUILT, "digits": digits}  # those another library can be given, too


def write(name: str, path: Path) -> None:
    """Export one network that is built here, its batch free."""
    net = BUILT[name]().eval()
    path.write_bytes(export(net, PICTURE).SerializeToString())
