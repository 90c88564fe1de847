"""Export the same network from Keras: ``python models/export_keras.py``, in an environment of its own.

Needs tensorflow, keras and tf2onnx (pins in README.md), not torch. Reads digits_weights.npz, and the metadata
from digits_pytorch.onnx; writes digits_keras.onnx: input "image" float32 (N, 96, 96, 3), channels last, RGB
from 0 to 1; output "present" (N, 10). tf2onnx folds batch normalisation into the convolutions.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before tensorflow is imported, or it greets at length

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers
from onnx_file import save

HERE = Path(__file__).parent
OPSET = 13
SIZE = 96
BATCHNORM_EPSILON = 1e-5  # PyTorch's; Keras' own is 1e-3
Weights = Mapping[str, np.ndarray]


def main() -> None:
    """Read the weights, write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=HERE / "digits_weights.npz", help="written by train.py")
    parser.add_argument("--like", type=Path, default=HERE / "digits_pytorch.onnx", help="whose metadata to copy")
    parser.add_argument("--out", type=Path, default=HERE / "digits_keras.onnx", help="the .onnx file")
    options = parser.parse_args()
    with np.load(options.weights) as weights:
        network = build(weights)
    signature = [tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, name="image")]
    model, _ = tf2onnx.convert.from_keras(network, signature, opset=OPSET)
    metadata = {prop.key: prop.value for prop in onnx.load(options.like).metadata_props}
    save(model, options.out, metadata)


def build(weights: Weights) -> keras.Model:
    """Return the twin of network.DigitsNet, with its final sigmoid and its weights."""
    image = x = keras.Input((SIZE, SIZE, 3), name="image")
    for name in ("block1", "block2", "block3"):
        x = layers.MaxPooling2D(2)(layers.ReLU()(conv_block(x, weights, name)))
    x = layers.ReLU()(conv_block(x, weights, "block4"))
    branch = layers.ReLU()(conv_block(x, weights, "residual1"))
    x = layers.ReLU()(layers.Add()([x, conv_block(branch, weights, "residual2")]))
    dense = layers.Dense(len(weights["dense.bias"]), activation="sigmoid", name="present")
    present = dense(layers.GlobalAveragePooling2D()(x))
    dense.set_weights([weights["dense.weight"].T, weights["dense.bias"]])
    return keras.Model(image, present)


def conv_block(x: keras.KerasTensor, weights: Weights, name: str) -> keras.KerasTensor:
    """Apply convolution and batch normalisation of that name; (N, H, W, in) to (N, H, W, out)."""
    kernel = weights[f"{name}.0.weight"].transpose(2, 3, 1, 0)  # (out, in, h, w) to Keras' (h, w, in, out)
    conv = layers.Conv2D(kernel.shape[-1], 3, padding="same", use_bias=False)
    norm = layers.BatchNormalization(epsilon=BATCHNORM_EPSILON)
    x = norm(conv(x))
    conv.set_weights([kernel])
    norm.set_weights([weights[f"{name}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
    return x


if __name__ == "__main__":
    main()
