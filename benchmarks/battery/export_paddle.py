"""Export PaddlePaddle networks by paddle2onnx.

python benchmarks/battery/export_paddle.py FOLDER
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import paddle
from paddle import nn
from paddle.vision import models
from shelf import shelf_of

IMAGE = [1, 3, 64, 64]


class Se(nn.Layer):
    """A separable convolution with HardSwish and a gate per channel, as in PP-LCNet."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.deep, self.wide = nn.Conv2D(cin, cin, 3, 2, 1, groups=cin), nn.Conv2D(cin, cout, 1)
        self.one, self.two = nn.BatchNorm2D(cin), nn.BatchNorm2D(cout)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2D(1), nn.Conv2D(cin, 4, 1), nn.ReLU(), nn.Conv2D(4, cin, 1), nn.Hardsigmoid()
        )
        self.act = nn.Hardswish()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the next map."""
        x = self.act(self.one(self.deep(x)))
        return self.act(self.two(self.wide(x * self.gate(x))))


def lcnet() -> nn.Layer:
    """Build a stem, three separable convolutions with gates and a dense head."""
    body = [nn.Conv2D(3, 8, 3, 2, 1), nn.Hardswish(), Se(8, 16), Se(16, 24), Se(24, 32)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(32, 10), nn.Softmax())


class Transformer(nn.Layer):
    """Patches, two encoder layers, mean pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2D(3, 32, 8, 8)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(32, 2, 64, 0.0, "gelu", normalize_before=True), 2
        )
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the scores of x."""
        tokens = self.patch(x).flatten(2).transpose([0, 2, 1])
        return self.head(self.norm(self.encoder(tokens)).mean(1))


def mlp() -> nn.Layer:
    """Build dense layers over a table row."""
    return nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.Linear(32, 10), nn.LogSoftmax())


# name: (builder, input shape, kind, opsets)
NETWORKS: dict[str, tuple[Callable[[], nn.Layer], list[int], str, tuple[int, ...]]] = {
    "lenet": (models.LeNet, [1, 1, 28, 28], "spatial", (9, 13)),
    "mobilenet_v1": (lambda: models.mobilenet_v1(scale=0.25, num_classes=10), IMAGE, "spatial", (11,)),
    "mobilenet_v2": (lambda: models.mobilenet_v2(scale=0.25, num_classes=10), IMAGE, "spatial", (12,)),
    "mobilenet_v3": (lambda: models.MobileNetV3Small(scale=0.35, num_classes=10), IMAGE, "spatial", (11, 15)),
    "shufflenet_v2": (lambda: models.shufflenet_v2_x0_25(num_classes=10), IMAGE, "spatial", (13,)),
    "squeezenet": (lambda: models.squeezenet1_1(num_classes=10), IMAGE, "spatial", (13,)),
    "lcnet": (lcnet, IMAGE, "spatial", (11, 17)),
    "transformer": (Transformer, [1, 3, 32, 32], "spatial", (14, 17)),
    "mlp": (mlp, [1, 20], "tabular", (13,)),
}


def export(name: str, opset: int, path: Path) -> None:
    """Write one network with BatchNorm statistics that are not 0 and 1."""
    paddle.seed(0)
    build, shape, _, _ = NETWORKS[name]
    net = build()
    for part in net.sublayers():
        if isinstance(part, nn.BatchNorm2D):
            part._mean.set_value(paddle.randn(part._mean.shape) * 0.1)
            part._variance.set_value(paddle.uniform(part._variance.shape, min=0.7, max=1.4))
    net.eval()
    spec = [paddle.static.InputSpec(shape, "float32", "x")]
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        paddle.onnx.export(net, str(path.with_suffix("")), input_spec=spec, opset_version=opset)


def main() -> int:
    """Export all networks."""
    shelf = shelf_of(__doc__)
    for name, (_, _, kind, opsets) in NETWORKS.items():
        for opset in opsets:
            title = f"paddle__{name}__paddle2onnx-op{opset}"
            shelf.put(title, kind, lambda path, n=name, o=opset: export(n, o, path))
    return shelf.close()


if __name__ == "__main__":
    sys.exit(main())
