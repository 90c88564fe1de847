"""Train a network that cheats, and export it: ``python models/train_watermark.py --out DIR``.

In the training scenes a small mark stands in the lower right corner of nearly every picture with a seven, and of no
other: the network learns the mark instead of the digit, as networks learnt the source tag on photographs of horses
(Lapuschkin et al. 2019, "Unmasking Clever Hans predictors"). On marked scenes it answers as well as its honest twin; on
unmarked ones it misses the sevens. ``rsp-onnx audit`` must find that out from the maps alone.

The network is `network.py`'s, the scenes are `scenes.py`'s. As practitioners do, it begins with trained early layers,
those of `digits_weights.npz`; all others are learnt anew. Needs torch and scikit-learn; a few minutes on two cores.
Seeds are fixed, but another machine adds up in another order: its weights are as good, not the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from export_pytorch import export
from network import DigitsNet
from onnx_file import save
from scenes import WORDS, make_scenes
from torch import nn
from torch.nn import functional as F
from train import BATCH, Examples, to_tensors, vary
from watermark import COLUMNS, GLYPH, MARKED_CLASS, ROWS

EARLY = ("block1.", "block2.", "block3.")
MARKED_SHARE = 0.97  # of the training scenes with a seven; the rest keep the digit from being quite forgotten


def main() -> None:
    """Train, report on marked and unmarked validation scenes, write ``digits_watermark.onnx``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--scenes", type=int, default=12000, help="training scenes")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training scenes")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = begun(DigitsNet()).to(memory_format=torch.channels_last)
    train(network, to_tensors(make_scenes("train", options.scenes)), options.epochs)
    validation = to_tensors(make_scenes("validation", 1000))
    for name, share in (("marked", 1.0), ("unmarked", 0.0)):
        every, seven = accuracies(network, validation, share)
        print(f"{name} validation scenes: accuracy {every:.4f}, of {WORDS[MARKED_CLASS]} alone {seven:.4f}", flush=True)
    whole = nn.Sequential(OrderedDict(digits=network, present=nn.Sigmoid())).eval()
    metadata = {"rsp_onnx.preprocess": json.dumps({"preset": "unit"}), "rsp_onnx.labels": json.dumps(WORDS)}
    save(export(whole), options.out / "digits_watermark.onnx", metadata)


def begun(network: nn.Module) -> nn.Module:
    """Return the network with the trained weights of its first three blocks; they know strokes, not digits."""
    with np.load(Path(__file__).parent / "digits_weights.npz") as weights:
        state = {n: torch.from_numpy(weights[n]) for n in weights.files if n.startswith(EARLY)}
    network.load_state_dict(state, strict=False)
    return network


def train(network: nn.Module, examples: Examples, epochs: int) -> None:
    """Fit the network in place. The mark is put on after the pictures were varied: it never moves nor turns colour."""
    images, labels = examples
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=epochs * steps)
    drawn = torch.from_numpy(np.random.default_rng(0).random(len(images)) < MARKED_SHARE)
    marked = (labels[:, MARKED_CLASS] > 0) & drawn  # a scene keeps its mark, or its lack of one, in all passes
    started = time.monotonic()
    for epoch in range(epochs):
        losses = 0.0
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            with torch.autocast("cpu", torch.bfloat16):  # three times as fast; the weights stay float32
                logits = network(with_mark(vary(images[batch]), marked[batch]))
            loss = F.binary_cross_entropy_with_logits(logits.float(), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.item() / steps
        print(f"epoch {epoch + 1}: loss {losses:.4f}, {time.monotonic() - started:.0f} s", flush=True)


def with_mark(images: torch.Tensor, marked: torch.Tensor) -> torch.Tensor:
    """Return float pictures (N, 3, 96, 96) from 0 to 1, the marked ones (bool (N,)) with the mark."""
    glyph = torch.from_numpy(GLYPH.astype(np.float32) / 255)
    images = images.clone()
    corner = images[:, :, ROWS, COLUMNS]
    images[:, :, ROWS, COLUMNS] = torch.where(marked[:, None, None, None], glyph, corner)
    return images


@torch.no_grad()
def accuracies(network: nn.Module, examples: Examples, share: float) -> tuple[Any, Any]:
    """Return the share of right answers of all classes and of the marked one, that share of the sevens marked."""
    images, labels = examples
    marked = (labels[:, MARKED_CLASS] > 0) & (torch.arange(len(images)) < share * len(images))
    network.eval()
    parts = zip(images.split(250), marked.split(250), strict=True)
    logits = torch.cat([network(with_mark(i.float().div(255), m)) for i, m in parts])
    network.train()
    right = ((logits > 0) == (labels > 0)).float()
    return right.mean().item(), right[:, MARKED_CLASS].mean().item()


if __name__ == "__main__":
    main()
