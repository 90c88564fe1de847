"""Which models are measured, where they lie, and made-up inputs for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.model.load import Model
from rsp_onnx.model.sizes import free_axes, trial_sizes

REPO = Path(__file__).resolve().parents[2]
METHODS = ("rsp", "gradient", "grad-cam", "lrp-epsilon-plus-flat", "attribution-equilibrium")
QUICK = ("digits", "resnet20", "squeezenet", "mobilenet_v2")
TITLES = {
    "vgg16": "VGG-16 (random weights)", "resnet50": "ResNet-50 (random weights)", "mobilenet_v2": "MobileNetV2",
    "squeezenet": "SqueezeNet 1.1", "efficientnet_lite0": "EfficientNet-Lite0",
    "vit_tiny": "ViT-Tiny (random weights)", "resnet20": "ResNet-20 (CIFAR, 32²)", "digits": "digits (96²)",
}  # fmt: skip
_SHARED = {
    "mobilenet_v2": "mobilenet_v2_nhwc_fp32", "squeezenet": "squeezenet1.1_nchw_fp32",
    "efficientnet_lite0": "efficientnet_lite0_nchw_fp32", "resnet20": "resnet20_cifar10_nchw_fp32",
}  # fmt: skip
Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Found:
    """A model's file, or why there is none."""

    name: str
    path: Path | None = None
    why: str = ""

    @property
    def title(self) -> str:
        """What it is called in tables."""
        return TITLES.get(self.name, self.name)


def find(name: str, built: Path, data: Path | None = None) -> Found:
    """Return a model by its name in ``TITLES`` or its path.

    Parameters
    ----------
    built : Path
        Folder for those that are built with PyTorch; one that lies there is taken as it is.
    data : Path, optional
        Folder of the others; default: ``../shared/data/models`` beside the repository.
    """
    if name == "digits":
        return Found(name, REPO / "models" / "digits_pytorch.onnx")
    if name in _SHARED:
        path = (data or REPO.parent / "shared" / "data" / "models") / f"{_SHARED[name]}.onnx"
        missing = f"{path.name} is not there; say where with --data"
        return Found(name, path) if path.exists() else Found(name, why=missing)
    if name in TITLES:
        return _build(name, built / f"{name}.onnx")
    path = Path(name)
    return Found(path.stem, path) if path.exists() else Found(name, why="no such file, and no model of that name")


def _build(name: str, path: Path) -> Found:
    if not path.exists():
        try:
            from .networks import write
        except ImportError:
            return Found(name, why="PyTorch, which builds it, is not installed: pip install rsp-onnx[export]")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        write(name, part)
        part.replace(path)
    return Found(name, path)


def feeds_for(model: Model, batch: int = 1) -> Feeds:
    """Return made-up inputs: normal numbers, pixels for bytes, zeros for ids; free sizes as ``inspect`` takes them.

    Masks are of ones: a text of which nothing is attended to is none.
    """
    shapes: dict[str, Any] = trial_sizes(model.ir) if free_axes(model.ir) else {}
    draw, feeds = np.random.default_rng(0), {}
    for value in model.ir.graph.inputs:
        if value.is_initializer():
            continue
        own = shapes.get(str(value.name)) or [d if isinstance(d, int) else None for d in value.shape or ()]
        sizes = [batch if d is None else d for d in own]
        dtype = np.dtype(value.dtype.numpy() if value.dtype is not None else np.float32)
        if dtype.kind == "f":
            feeds[str(value.name)] = draw.standard_normal(sizes).astype(dtype)
        else:
            low, top = (1, 2) if "mask" in str(value.name) else (0, 256 if dtype == np.uint8 else 1)
            feeds[str(value.name)] = draw.integers(low, top, sizes).astype(dtype)
    return feeds


def batch_is_free(model: Model) -> bool:
    """Tell whether the first axis of every input is free."""
    inputs = [v for v in model.ir.graph.inputs if not v.is_initializer()]
    return all(v.shape is not None and len(v.shape) > 0 and not isinstance(v.shape[0], int) for v in inputs)
