"""Export Keras networks by tf2onnx, by Keras' own export (Keras 3) and through TFLite (Keras 2).

python benchmarks/battery/export_keras.py FOLDER

The same script in an environment with Keras 2 writes files named keras2__….
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import networks_keras as networks
import numpy as np
import tensorflow as tf
import tf2onnx
from shelf import shelf_of

OPSETS = (9, 11, 13, 15, 17)
TWICE = ("cnn", "resnet", "separable", "mobilenet_v2", "layernorm", "attention")
OLD = ("unet", "activations", "gelu")  # Resize and Erf come late


def usual(name: str) -> int:
    """Return the opset of a network's first export."""
    choices = OPSETS[2:] if name in OLD else OPSETS
    return choices[sum(map(ord, name)) % len(choices)]


def by_tf2onnx(name: str, opset: int, path: Path) -> None:
    """Convert through a frozen TensorFlow graph."""
    shape = networks.NETWORKS[name][1]
    signature = [tf.TensorSpec((1, *shape), tf.float32, name="x")]
    tf2onnx.convert.from_keras(networks.make(name), signature, opset=opset, output_path=str(path))


def by_keras(name: str, path: Path) -> None:
    """Let Keras 3 convert itself; the batch stays free."""
    model = networks.make(name)
    model(np.zeros((1, *networks.NETWORKS[name][1]), np.float32))  # it wants to have been called
    model.export(str(path), format="onnx", verbose=False)


def by_tflite(name: str, path: Path, int8: bool) -> None:
    """Convert to TFLite first, perhaps quantised to int8 with random calibration."""
    shape = networks.NETWORKS[name][1]
    converter = tf.lite.TFLiteConverter.from_keras_model(networks.make(name))
    if int8:
        rng = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.random((1, *shape), np.float32)] for _ in range(8))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    lite = path.with_suffix(".tflite")
    lite.write_bytes(converter.convert())
    try:
        tf2onnx.convert.from_tflite(str(lite), opset=13, output_path=str(path))
    finally:
        lite.unlink()


def main() -> int:
    """Export all networks."""
    tf.get_logger().setLevel("ERROR")
    shelf = shelf_of(__doc__)
    framework = "keras" if networks.VERSION > 2 else "keras2"
    for name, (_, _, kind) in networks.NETWORKS.items():
        opset = usual(name)
        title = f"{framework}__{name}__"
        shelf.put(f"{title}tf2onnx-op{opset}", kind, lambda p, n=name, o=opset: by_tf2onnx(n, o, p))
        if name in TWICE and opset != 18:
            shelf.put(f"{title}tf2onnx-op18", kind, lambda p, n=name: by_tf2onnx(n, 18, p))
        if framework == "keras" and name in TWICE:
            shelf.put(f"{title}keras-op15", kind, lambda p, n=name: by_keras(n, p))
        if framework == "keras2" and name in TWICE[:3]:
            shelf.put(f"{title}tflite-op13", kind, lambda p, n=name: by_tflite(n, p, False))
            shelf.put(f"{title}tflite-op13-int8", kind, lambda p, n=name: by_tflite(n, p, True))
    return shelf.close()


if __name__ == "__main__":
    sys.exit(main())
