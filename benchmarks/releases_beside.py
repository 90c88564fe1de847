"""RAP and Attribution Equilibrium beside their authors' own releases: the same network, the same map.

The releases have no licence, so they are not here: clone them and say where they are.

    git clone https://github.com/wjNam/Relative_Attributing_Propagation
    git clone https://github.com/wjNam/Attribution-Equilibrium
    python benchmarks/releases_beside.py --rap Relative_Attributing_Propagation --equilibrium Attribution-Equilibrium
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator

from rsp_onnx import compile_explainer

SHAPE, TARGET = (1, 3, 32, 32), 2


def load_layers(release: Path) -> ModuleType:
    """Import a release's layers, each of which can propagate relevance."""
    file = release / "modules" / "layers.py"
    if not file.is_file():
        sys.exit(f"There is no {file}: clone the release first (see --help).")
    spec = importlib.util.spec_from_file_location(f"layers_of_{release.name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def features(layers: Any) -> list[torch.nn.Module]:
    """Return a small VGG's features from torch.nn or from a release: 3×3, 1×1, strides, a pool."""
    return [
        layers.Conv2d(3, 8, 3, padding=1), layers.ReLU(), layers.Conv2d(8, 12, 3, padding=1), layers.ReLU(),
        layers.MaxPool2d(2), layers.Conv2d(12, 16, 1), layers.ReLU(), layers.Conv2d(16, 16, 3, padding=1, stride=1),
        layers.ReLU(),
    ]  # fmt: skip


def classifier(layers: Any) -> list[torch.nn.Module]:
    """Return pooling and dense layers."""
    return [
        layers.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        layers.Linear(256, 24),
        layers.ReLU(),
        layers.Linear(24, 5),
    ]


def network(layers: Any, seed: int) -> torch.nn.Sequential:
    """Return both in one, with seeded weights, in float64."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(*features(layers), *classifier(layers)).double().eval()


def ours(seed: int, x: np.ndarray, method: str) -> np.ndarray:
    """Return the map of the exported network, in float64 (ONNX's reference runs the compiled graph)."""
    net = network(torch.nn, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the exporter that needs nothing further
            torch.onnx.export(net, torch.tensor(x), str(path), opset_version=17, dynamo=False, input_names=["x"])
        compiled = compile_explainer(onnx.load(path), method)
    feeds = {"x": x, "target": np.array([[TARGET]])}
    return np.asarray(ReferenceEvaluator(compiled).run(["relevance"], feeds)[0][0])


def rap(release: Path, seed: int, x: np.ndarray) -> np.ndarray:
    """Run the release's RAP."""
    net = network(load_layers(release), seed)
    y = net(torch.tensor(x, requires_grad=True))
    r = torch.zeros_like(y)
    r[0, TARGET] = 1
    for module in reversed(net):
        r = r.reshape(1, 16, 4, 4) if isinstance(module, torch.nn.Flatten) else module.RAP_relprop(r)
    return np.asarray(r.detach())


def equilibrium(release: Path, seed: int, x: np.ndarray) -> np.ndarray:
    """Run the release's AE from the last feature maps on, ratio 2."""
    net = network(load_layers(release), seed)
    front, back = net[:9], net[9:]
    maps = front(torch.tensor(x, requires_grad=True))
    leaf = maps.detach().requires_grad_()
    back(leaf)[0, TARGET].backward()
    start = leaf.detach() * leaf.grad.mean((2, 3), keepdim=True)
    r = start / start.sum().abs()
    for module in reversed(front):
        r = module.hedge(r, 2)
    return np.asarray(r.detach())


def main() -> None:
    """Print relative L2 by method and network; exit 1 above 1e-6."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rap", type=Path, required=True)
    parser.add_argument("--equilibrium", type=Path, required=True)
    arguments = parser.parse_args()
    worst = 0.0
    print("| method | network | relative L2 | sum of relevance |\n|---|---|---|---|")
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal(SHAPE)
        for name, wanted in (
            ("rap", rap(arguments.rap, seed, x)),
            ("attribution-equilibrium", equilibrium(arguments.equilibrium, seed, x)),
        ):
            found = ours(seed, x, name)
            error = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
            worst = max(worst, error)
            print(f"| {name} | small VGG, seed {seed} | {error:.1e} | {found.sum():+.4f} |")
    sys.exit(worst > 1e-6)


if __name__ == "__main__":
    main()
