"""Our gradients, integrated gradients, occlusion and LRP-ε beside captum's: the same network, relative L2 of the maps.

captum (https://github.com/pytorch/captum, BSD) runs on PyTorch in float64, ours in a compiled graph in float32.

    pip install torch captum
    python benchmarks/captum_beside.py
"""

from __future__ import annotations

import copy
import importlib
import io
import sys
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

from rsp_onnx import compile_explainer

SHAPE, TARGET, BOUND = (1, 3, 32, 32), 1, 1e-4


def network() -> nn.Sequential:
    """Return a small VGG with seeded weights that ends in a softmax."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Conv2d(12, 12, 1), nn.ReLU(), nn.Flatten(), nn.Linear(768, 5), nn.Softmax(1),
    ).eval()  # fmt: skip


def ours(net: nn.Module, method: str, x: np.ndarray) -> np.ndarray:
    """Return the relevance [N, C, H, W] of the exported network."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter that needs nothing further
        torch.onnx.export(net, torch.tensor(x), file, opset_version=17, dynamo=False, input_names=["x"])
    compiled = compile_explainer(onnx.load_from_string(file.getvalue()), method)
    session = ort.InferenceSession(compiled.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"x": x, "target": np.array([[TARGET]])}
    return np.asarray(session.run(["relevance"], feeds)[0][0])


def theirs(captum: Any, net: nn.Sequential, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return captum's maps by our method's name; of the logits, but for occlusion, which looks at probabilities."""
    whole = copy.deepcopy(net).double()
    logits, given = whole[:-1], torch.tensor(x).double().requires_grad_()
    rules = importlib.import_module("captum.attr._utils.lrp_rules")
    layered = copy.deepcopy(logits)
    for module in layered.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Flatten, nn.AvgPool2d)):
            module.rule = rules.EpsilonRule(1e-6)
    path = captum.IntegratedGradients(logits).attribute(given, target=TARGET, n_steps=16, method="riemann_middle")
    covered = captum.Occlusion(whole).attribute(given, (3, 8, 8), (3, 4, 4), 0, TARGET)
    maps = {
        "gradient": captum.Saliency(logits).attribute(given, target=TARGET, abs=False),
        "input-x-gradient": captum.InputXGradient(logits).attribute(given, target=TARGET),
        "guided-backprop": captum.GuidedBackprop(copy.deepcopy(logits)).attribute(given, target=TARGET),
        "integrated-gradients:steps=16": path,
        "occlusion:window=0.25,stride=0.125": covered / 3,  # ours spreads the map over the channels
        "lrp-epsilon": captum.LRP(layered).attribute(given, target=TARGET),
    }
    return {name: np.asarray(value.detach()) for name, value in maps.items()}


def main() -> None:
    """Print relative L2 by method; exit 1 where one is above the bound."""
    try:
        captum = importlib.import_module("captum.attr")
    except ImportError:
        sys.exit("captum is not installed: pip install captum.")
    net, x = network(), np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    worst = 0.0
    print("| method | captum's class | relative L2 |\n|---|---|---|")
    classes = ("Saliency", "InputXGradient", "GuidedBackprop", "IntegratedGradients", "Occlusion", "LRP (EpsilonRule)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # captum's about the hooks it sets
        wanted = theirs(captum, net, x)
    for (method, want), name in zip(wanted.items(), classes, strict=True):
        error = float(np.linalg.norm(ours(net, method, x) - want) / np.linalg.norm(want))
        worst = max(worst, error)
        print(f"| {method} | {name} | {error:.1e} |")
    sys.exit(worst > BOUND)


if __name__ == "__main__":
    main()
