"""A small vision transformer in PyTorch for the same task, saying which of the ten digits a 96×96 picture shows.

A convolutional stem makes 12×12 tokens of the picture (it trains where plain 8×8 patches of so few pictures do not),
a class token is put in front, and the ten logits are read from the class token alone.
"""

from __future__ import annotations

import torch
from torch import nn

WIDTH, HEADS, DEPTH, SIDE = 64, 4, 4, 12


class Attention(nn.Module):
    """Self-attention with several heads; tokens (N, T, WIDTH) to (N, T, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what every token gathers from all."""
        split = self.qkv(tokens).reshape(-1, tokens.shape[1], 3, HEADS, WIDTH // HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(-1, tokens.shape[1], WIDTH))


class Block(nn.Module):
    """Attention and two dense layers, each behind a layer norm and added to what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the tokens with what both parts add."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class DigitsViT(nn.Module):
    """A vision transformer with one logit per digit; maps pictures (N, 3, 96, 96), RGB from 0 to 1, to (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, WIDTH, 3, 2, 1),
        )  # fmt: skip
        self.class_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(0.02 * torch.randn(1, SIDE * SIDE + 1, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.dense = nn.Linear(WIDTH, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the ten logits of each picture."""
        tokens = self.stem(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], 1) + self.positions
        logits: torch.Tensor = self.dense(self.norm(self.blocks(tokens))[:, 0])
        return logits
