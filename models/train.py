"""Train a network on drawn scenes and write its weights: ``python models/train.py --out DIR``.

Only the ten labels of a scene are learnt from, never boxes or masks: where the network looks is its own
finding. Needs torch and scikit-learn; five minutes on two cores. Seeds are fixed, but sums are ordered
differently from machine to machine: another machine's weights are as good, not the same.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from network import DigitsNet
from scenes import Scene, make_scenes
from torch import nn
from torch.nn import functional as F
from vit import DigitsViT

BATCH = 64


class Recipe(NamedTuple):
    """How a network is trained: its class, passes over the scenes, highest learning rate, file of weights."""

    network: type[nn.Module]
    epochs: int
    rate: float
    weights: str


RECIPES = {
    "cnn": Recipe(DigitsNet, 16, 6e-3, "digits_weights.npz"),
    "vit": Recipe(DigitsViT, 40, 2e-3, "digits_vit_weights.npz"),
}
Examples = tuple[torch.Tensor, torch.Tensor]  # pictures uint8 (N, 3, 96, 96), labels float32 (N, 10)


def main() -> None:
    """Train, report on the validation split, write ``digits_weights.npz`` or ``digits_vit_weights.npz``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--network", choices=RECIPES, default="cnn", help="the convolutional net or the transformer")
    parser.add_argument("--scenes", type=int, default=16000, help="training scenes")
    parser.add_argument("--epochs", type=int, help="passes over the training scenes; default: 16, transformer 40")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    recipe = RECIPES[options.network]
    network = recipe.network().to(memory_format=torch.channels_last)
    training = to_tensors(make_scenes("train", options.scenes))
    validation = to_tensors(make_scenes("validation", 1000))
    train(network, training, validation, options.epochs or recipe.epochs, recipe.rate)
    write_weights(network, options.out / recipe.weights)


def to_tensors(scenes: list[Scene]) -> Examples:
    """Stack the pictures and the labels of N scenes."""
    images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.stack([scene.labels for scene in scenes]))


def train(network: nn.Module, training: Examples, validation: Examples, epochs: int, rate: float) -> None:
    """Fit the network to the training examples in place; after each epoch print how it validates."""
    images, labels = training
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * steps)
    started = time.monotonic()
    for epoch in range(epochs):
        losses = 0.0
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            # bfloat16 is three times as fast on a CPU; the weights themselves stay float32
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(vary(images[batch]))
            loss = F.binary_cross_entropy_with_logits(logits.float(), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.item() / steps
        right, seconds = accuracy(network, *validation), time.monotonic() - started
        print(f"epoch {epoch + 1}: loss {losses:.4f}, accuracy {right:.4f}, {seconds:.0f} s", flush=True)


def vary(images: torch.Tensor) -> torch.Tensor:
    """Return float pictures with the colours swapped, sometimes inverted, and the whole moved a little.

    None of it changes which digits are there (a mirror image would).
    """
    varied = images.float().div(255)[:, torch.randperm(3)]
    flip = torch.rand(len(images), 1, 1, 1) < 0.5
    down, right = torch.randint(-12, 13, (2,)).tolist()
    return torch.where(flip, 1 - varied, varied).roll((down, right), (2, 3))


@torch.no_grad()
def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of right answers over all pictures and classes."""
    network.eval()
    logits = torch.cat([network(part.float().div(255)) for part in images.split(250)])
    network.train()
    return ((logits > 0) == (labels > 0)).float().mean().item()


def write_weights(network: nn.Module, path: Path) -> None:
    """Write all parameters and running statistics under PyTorch's names, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    weights = {name: value.numpy() for name, value in state.items() if "num_batches" not in name}
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(temporary, **weights)
    temporary.replace(path)


if __name__ == "__main__":
    main()
