"""Our LRP beside zennit's: the same network, the same start, the relative L2 distance of the two maps.

zennit (https://github.com/chr5tphr/zennit, LGPL) runs on PyTorch with hooks, BatchNorm merged by its canonizer; ours
runs in a compiled graph, BatchNorm unmerged, in float64 in ONNX's reference and in float32 in ONNX Runtime.

    pip install torch zennit
    python benchmarks/zennit_beside.py
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image
from torch import Tensor, nn

from rsp_onnx import compile_explainer

REPO = Path(__file__).resolve().parents[1]
EPSILON = 1e-6  # what both stabilise with
ZERO = 1e-12  # stands for no stabiliser: zennit divides by zero without one


def load_zennit() -> tuple[Any, Any, Any, Any]:
    """Import zennit's rules, composites, canonizers and types; torchvision, which none of them needs, may be missing.

    Raises
    ------
    SystemExit
        zennit is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except ImportError:
        for name in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
            sys.modules[name] = types.ModuleType(name)
        resnet: Any = sys.modules["torchvision.models.resnet"]
        resnet.Bottleneck = resnet.BasicBlock = type("Missing", (nn.Module,), {})
    try:
        rules, composites, canonizers, kinds = (
            importlib.import_module(f"zennit.{part}") for part in ("rules", "composites", "canonizers", "types")
        )
    except ImportError:
        raise SystemExit(
            "zennit is not installed: pip install zennit (--no-deps where torchvision is too much)."
        ) from None
    return rules, composites, canonizers, kinds


# ---- networks, residual additions as a module that zennit can hook ----


class Plus(nn.Module):
    """a + b; zennit's Sum under its hooks, an Add in the exported file."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = importlib.import_module("zennit.layer").Sum()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Add two tensors of one shape."""
        summed: Tensor = a + b if torch.onnx.is_in_onnx_export() else self.sum(torch.stack((a, b), -1))
        return summed


class Residual(nn.Module):
    """ReLU(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()
        self.plus, self.relu = Plus(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W]."""
        added: Tensor = self.relu(self.plus(self.body(x), self.shortcut(x)))
        return added


def unit(cin: int, cout: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    """Convolution, BatchNorm, ReLU."""
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(cout), *([nn.ReLU()] if relu else [])]


def vgg() -> nn.Module:
    """Build 3×3 convolutions with biases, max pooling, three dense layers."""
    layers: list[nn.Module] = []
    for cin, cout, pool in ((3, 8, False), (8, 16, True), (16, 24, False), (24, 32, True)):
        layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU(), *([nn.MaxPool2d(2)] if pool else [])]
    head = [nn.Flatten(), nn.Linear(32 * 64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)]
    return nn.Sequential(*layers, *head)


def resnet() -> nn.Module:
    """Build basic blocks with projection shortcuts, average pooling."""
    layers: list[nn.Module] = [*unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for cin, cout, stride in ((8, 8, 1), (8, 16, 2), (16, 16, 1)):
        body = nn.Sequential(*unit(cin, cout, 3, stride), *unit(cout, cout, relu=False))
        layers.append(Residual(body, nn.Sequential(*unit(cin, cout, 1, stride, relu=False)) if stride > 1 else None))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def digits() -> nn.Module:
    """Build the project's own network of handwritten digits (models/network.py) with its trained weights."""
    pool = [nn.MaxPool2d(2)]
    block = Residual(nn.Sequential(*unit(64, 64), *unit(64, 64, relu=False)))
    net = nn.Sequential(*unit(3, 16), *pool, *unit(16, 32), *pool, *unit(32, 64), *pool, *unit(64, 64), block,
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))  # fmt: skip
    stored = np.load(REPO / "models" / "digits_weights.npz")
    own = [key for key in net.state_dict() if not key.endswith("num_batches_tracked")]
    net.load_state_dict({k: torch.tensor(stored[s]) for k, s in zip(own, stored.files, strict=True)}, strict=False)
    return net


def healthy(net: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Give He weights, small biases, and BatchNorm statistics of random images with some scales negative."""
    torch.manual_seed(0)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                m.weight.normal_(0, (2 / m.weight[0].numel()) ** 0.5)
                if m.bias is not None:
                    m.bias.uniform_(-0.1, 0.1)
            elif isinstance(m, nn.BatchNorm2d):
                m.momentum = 1.0
                m.weight.uniform_(0.6, 1.4).mul_(torch.where(torch.rand(m.weight.shape) < 0.15, -1.0, 1.0))
                m.bias.normal_(0.1, 0.2)
        net.train()(torch.randn(16, *shape[1:]))
    return net


def with_exact_merge(net: nn.Module) -> nn.Module:
    """Move each BatchNorm's ε into its variance, the same function: what zennit merges still divides by √(1 + ε)."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_var += m.eps
            m.eps = 0.0
    return net


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "VGG-like": (vgg, (1, 3, 32, 32), True),
    "ResNet-like": (resnet, (1, 3, 32, 32), True),
    "digits (trained)": (digits, (1, 3, 96, 96), False),
}

# ---- the methods in zennit's terms ----


def composite_of(method: str, x: Tensor, stabiliser: float) -> Any:
    """Return zennit's composite for a method of ours; deep Taylor decomposition leaves the bias out.

    ``stabiliser`` is what zennit adds to sums of positive products, to which ours adds nothing.
    """
    rules, composites, canonizers, kinds = load_zennit()
    merge = [canonizers.SequentialMergeBatchNorm()]
    own: dict[str, Any] = {"stabilizer": stabiliser}
    no_bias = {"zero_params": ["bias"], **own}
    sums = composites.layer_map_base(ZERO if method == "lrp-0" else EPSILON)
    if method == "lrp-epsilon-plus-flat":
        return composites.EpsilonPlusFlat(layer_map=sums, canonizers=merge, **own)
    if method == "lrp-epsilon-alpha2-beta1":
        return composites.EpsilonAlpha2Beta1(layer_map=sums, canonizers=merge, **own)
    one = {
        "lrp-0": lambda: rules.Epsilon(ZERO),
        "lrp-epsilon": lambda: rules.Epsilon(EPSILON),
        "lrp-gamma": lambda: rules.Gamma(0.25, **own),
        "lrp-alpha-beta": lambda: rules.AlphaBeta(2, 1, **own),
    }.get(method, lambda: rules.ZPlus(**no_bias))
    layers = [*sums, (kinds.Linear, one())]
    first = {
        "lrp-flat": lambda: rules.Flat(**own),
        "lrp-w-square": lambda: rules.WSquare(**no_bias),
        "lrp-z-box": lambda: rules.ZBox(float(x.min()), float(x.max()), **no_bias),
    }.get(method)
    if first is None:
        return composites.LayerMapComposite(layers, canonizers=merge)
    return composites.SpecialFirstLayerMapComposite(layers, [(kinds.Linear, first())], canonizers=merge)


METHODS = (
    "lrp-epsilon-plus-flat", "lrp-epsilon-alpha2-beta1", "lrp-0", "lrp-epsilon", "lrp-gamma", "lrp-alpha-beta",
    "lrp-z-plus", "lrp-flat", "lrp-w-square", "lrp-z-box", "clrp", "sglrp",
)  # fmt: skip
OF_SIGNED_SCORE = ("lrp-0", "lrp-epsilon", "lrp-gamma", "lrp-epsilon-plus-flat", "lrp-epsilon-alpha2-beta1")


def start(method: str, y: Tensor, target: int) -> Tensor:
    """Return where our methods begin, [1, classes]; zennit takes any."""
    hot = torch.eye(y.shape[1], dtype=y.dtype)[None, target]
    if method == "clrp":
        return y[0, target].abs() * (hot - (1 - hot) / (y.shape[1] - 1))
    if method == "sglrp":
        p = y.softmax(1)
        return p[0, target] * (hot - p)
    return hot * (y if method in OF_SIGNED_SCORE else y.abs())


def zennits(net: nn.Module, method: str, image: np.ndarray, target: int, stabiliser: float) -> np.ndarray:
    """Return zennit's relevance at the image in float64."""
    x = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    with composite_of(method, x.detach(), stabiliser).context(net) as hooked:
        y = hooked(x)
        (relevance,) = torch.autograd.grad(y, x, start(method, y.detach(), target))
    return relevance.numpy()


# ---- ours ----


def exported(net: nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Export as it is, BatchNorm unfolded."""
    buffer, dtype = io.BytesIO(), next(net.parameters()).dtype
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(shape, dtype=dtype),), buffer, input_names=["x"], output_names=["y"], dynamo=False,
            do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


def ours(model: onnx.ModelProto, method: str, image: np.ndarray, target: int) -> np.ndarray:
    """Return our relevance in the model's precision; ONNX Runtime has no float64 convolutions."""
    compiled = compile_explainer(model, method)
    feeds = {"x": image, "target": np.array([[target]])}
    if image.dtype == np.float64:
        (found,) = ReferenceEvaluator(compiled).run(["relevance"], feeds)
    else:
        opened = ort.InferenceSession(compiled.SerializeToString(), providers=["CPUExecutionProvider"])
        (found,) = opened.run(["relevance"], feeds)
    return np.asarray(found)[0]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """‖one − other‖ / ‖other‖."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def scene(number: int) -> np.ndarray:
    """Return a picture of handwritten digits, [1, 3, 96, 96]; on noise the trained network is all but silent."""
    files = sorted((REPO / "models" / "scenes").glob("scene_?.png"))
    pixels = np.asarray(Image.open(files[number % len(files)]).convert("RGB"), np.float64) / 255
    return pixels.transpose(2, 0, 1)[None]


def compare(name: str, methods: list[str], images: int, stabiliser: float) -> None:
    """Print one line per method: the worst distance over the images in float64 and in float32."""
    make, shape, random = NETWORKS[name]
    net = with_exact_merge(healthy(make(), shape) if random else make()).eval()
    single, double = exported(net, shape), exported(net.double(), shape)
    for method in methods:
        rows = []
        for seed in range(images):
            x = np.random.default_rng(seed).normal(size=shape) if random else scene(seed)
            want = zennits(net, method, x, seed % 10, stabiliser)
            rows.append([apart(ours(m, method, x.astype(t), seed % 10), want)
                         for m, t in ((double, np.float64), (single, np.float32))])  # fmt: skip
        worst = np.max(rows, axis=0)
        print(f"| {method} | {name} | {worst[0]:.1e} | {worst[1]:.1e} |", flush=True)


def main() -> None:
    """Print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, metavar="METHOD")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--stabiliser", type=float, default=1e-6, help="zennit's own, beside sums of positive products")
    given = parser.parse_args()
    load_zennit()
    print("| method | network | relative L2, float64 | relative L2, float32 |\n|---|---|---|---|")
    for name in NETWORKS:
        compare(name, given.methods, given.images, given.stabiliser)


if __name__ == "__main__":
    main()
