"""The network in PyTorch: it says which of the ten digits a 96×96 picture shows.

Every layer is one that Keras has too, with the same arithmetic: `export_keras.py` builds the twin. That is
why no convolution strides (TensorFlow pads strided ones unevenly) and pooling is 2×2 on even sizes.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

BATCHNORM_EPSILON = 1e-5


class ConvBlock(nn.Sequential):
    """Convolution 3×3 and batch normalisation; (N, in, H, W) to (N, out, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs, BATCHNORM_EPSILON))


class DigitsNet(nn.Module):
    """A small convolutional network with one residual block and one logit per digit.

    Maps pictures (N, 3, 96, 96), RGB from 0 to 1, to logits (N, 10). The last feature map is (N, 64, 12, 12)
    after a ReLU; average pooling and one dense layer follow: evidence for a class is a sum over places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.block1 = ConvBlock(3, 16)
        self.block2 = ConvBlock(16, 32)
        self.block3 = ConvBlock(32, 64)
        self.block4 = ConvBlock(64, 64)
        self.residual1 = ConvBlock(64, 64)
        self.residual2 = ConvBlock(64, 64)
        self.pool = nn.MaxPool2d(2)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the ten logits of each picture."""
        x = image
        for block in (self.block1, self.block2, self.block3):
            x = self.pool(block(x).relu())
        x = self.block4(x).relu()
        x = (x + self.residual2(self.residual1(x).relu())).relu()
        return cast(torch.Tensor, self.dense(self.average(x).flatten(1)))
