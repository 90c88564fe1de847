"""Small networks of torch, torchvision, timm and transformers under one name each, with healthy random weights.

>>> module, inputs = build("timm__convnext")
>>> module(*inputs).shape
torch.Size([1, 10])

The names are ``framework__architecture``. A module comes in eval mode, its inputs have one sample. Nothing is trained:
weights keep the scale of what passes them, statistics are those of what arrives, nothing is left at zero; the same
name gives the same network on every call. The libraries are imported where a network of theirs is built.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)
WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)
MODULES = {"torchvision": "zoo_torchvision", "timm": "zoo_timm", "hf": "zoo_hf", "torch": "zoo_modules"}


@dataclass(frozen=True)
class Entry:
    """A network: whose it is, what it is called there and what it classifies.

    Attributes
    ----------
    kind : str
        ``spatial`` (images, signals, volumes), ``tokens``, ``sequence``, ``tabular`` or ``segmentation``.
    """

    framework: str
    architecture: str
    kind: str


def names() -> dict[str, Entry]:
    """Return all networks by name."""
    from zoo_hf import IMAGES, OTHERS, TEXTS
    from zoo_modules import MAKERS as HAND_WRITTEN
    from zoo_timm import BLOCKS, MODELS
    from zoo_torchvision import MAKERS as TORCHVISION

    kinds = {("torch", name): kind for name, (_, _, kind) in HAND_WRITTEN.items()}
    kinds |= {("torchvision", name): "spatial" for name in TORCHVISION}
    kinds |= {("timm", name): "spatial" for name in (*MODELS, *BLOCKS)}
    kinds |= {("hf", name): "spatial" for name in (*IMAGES, *OTHERS)} | {("hf", name): "tokens" for name in TEXTS}
    kinds |= {("hf", "segformer_seg"): "segmentation"}
    kinds |= {("tests", name): "tabular" if name == "mlp" else "spatial" for name in _tests_zoo().FAMILIES}
    return {f"{where}__{name}": Entry(where, name, kind) for (where, name), kind in sorted(kinds.items())}


def build(name: str, attention: str = "sdpa") -> tuple[nn.Module, Inputs]:
    """Build a network and inputs for it.

    Parameters
    ----------
    name : as in ``names()``
    attention : ``sdpa`` or ``eager``, for networks of transformers.
    """
    framework, architecture = name.split("__")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(name.encode()))
        if framework == "tests":
            entry = _tests_zoo().FAMILIES[architecture]
            return entry.make(), (torch.randn(entry.shape),)
        allow_torchvision()
        zoo = importlib.import_module(MODULES[framework])
        module, inputs = zoo.make(architecture, attention) if framework == "hf" else zoo.make(architecture)
        healthy(module.eval(), inputs)
        scripted = framework == "torch" and architecture in zoo.SCRIPTED
        return torch.jit.script(module) if scripted else module, inputs


def healthy(module: nn.Module, inputs: Inputs) -> None:
    """Give a network weights that keep the scale of what passes them, and fit its statistics to random inputs."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, WEIGHTED) and isinstance(part.weight, nn.Parameter):
                gain = 1.0 if isinstance(part, nn.Linear) else 2.0
                part.weight.normal_(0, math.sqrt(gain / part.weight[0].numel()))
                _bias(part)
            elif isinstance(part, NORMS) and part.weight is not None:
                part.weight.uniform_(0.6, 1.4)
                _bias(part)
        for parameter in module.parameters():  # class tokens, layer scales, gates that start closed
            if parameter.numel() and parameter.abs().max() < 1e-2:
                parameter.normal_(0, 0.3)
        _fit_statistics(module, inputs)


def _bias(part: nn.Module) -> None:
    if isinstance(getattr(part, "bias", None), nn.Parameter):
        part.bias.uniform_(-0.1, 0.1)


def _fit_statistics(module: nn.Module, inputs: Inputs, samples: int = 8) -> None:
    """Run one random batch with momentum 1 through the normalisations alone, then shake what they learnt."""
    fitted = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not fitted:
        return
    for part in fitted:
        part.train()
        part.momentum = 1.0
    module(*(torch.randn(samples, *x.shape[1:]) for x in inputs))
    for part in fitted:
        part.eval()
        part.running_mean += 0.1 * part.running_var.sqrt() * torch.randn_like(part.running_mean)
        part.running_var *= torch.empty_like(part.running_var).uniform_(0.7, 1.4)


def allow_torchvision() -> None:
    """Let torchvision be imported without its compiled part, which belongs to another build of torch."""
    if "torchvision" in sys.modules:
        return
    try:
        torch.ops.torchvision.nms  # noqa: B018  the compiled part is there
    except AttributeError:
        _SCHEMAS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _SCHEMAS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_SCHEMAS = torch.library.Library("torchvision", "FRAGMENT")  # a definition lives as long as its library


def _tests_zoo() -> Any:
    """Import tests/zoo, the networks of the tests, from its folder."""
    if "tests_zoo" not in sys.modules:
        folder = Path(__file__).resolve().parents[2] / "tests" / "zoo"
        spec = importlib.util.spec_from_file_location(
            "tests_zoo", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules["tests_zoo"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tests_zoo"])
    return sys.modules["tests_zoo"]
