"""Export the networks from PyTorch: ``python models/export_pytorch.py``, and with ``--network vit``.

Reads digits_weights.npz, writes digits_pytorch.onnx (the transformer: digits_vit_weights.npz, digits_vit.onnx): input
"image" float32 (N, 3, 96, 96), RGB from 0 to 1; output "present" (N, 10), the probability that each digit is in the
picture. The exporter folds batch normalisation into the convolutions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import torch
from network import DigitsNet
from onnx_file import save
from scenes import SIZE, WORDS
from torch import nn
from vit import DigitsViT

HERE = Path(__file__).parent
OPSET = 17
FILES = {
    "cnn": (DigitsNet, "digits_weights.npz", "digits_pytorch.onnx"),
    "vit": (DigitsViT, "digits_vit_weights.npz", "digits_vit.onnx"),
}


def main() -> None:
    """Read the weights, write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=FILES, default="cnn", help="the convolutional net or the transformer")
    parser.add_argument("--weights", type=Path, help="written by train.py; default: the file in this folder")
    parser.add_argument("--out", type=Path, help="the .onnx file; default: in this folder")
    options = parser.parse_args()
    metadata = {"rsp_onnx.preprocess": json.dumps({"preset": "unit"}), "rsp_onnx.labels": json.dumps(WORDS)}
    network, weights, out = FILES[options.network]
    save(export(load(options.weights or HERE / weights, network())), options.out or HERE / out, metadata)


def load(path: Path, network: nn.Module) -> nn.Module:
    """Return the network with its trained weights and its final sigmoid, in evaluation mode."""
    with np.load(path) as weights:
        state = {name: torch.from_numpy(weights[name]) for name in weights.files}
    # the batch counter is of no use after training and is not in the file
    missing, unexpected = network.load_state_dict(state, strict=False)
    if unexpected or any("num_batches" not in name for name in missing):
        raise ValueError(f"{path} does not fit the network: missing {missing}, unexpected {unexpected}")
    return nn.Sequential(OrderedDict(digits=network, present=nn.Sigmoid())).eval()


def export(network: nn.Module) -> onnx.ModelProto:
    """Return the model as the TorchScript exporter writes it."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # most .onnx files of PyTorch models come from this exporter; that it is the old one is known
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, SIZE, SIZE),),
            f"{folder}/network.onnx",
            input_names=["image"],
            output_names=["present"],
            dynamic_axes={"image": {0: "N"}, "present": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
        return onnx.load(f"{folder}/network.onnx")


if __name__ == "__main__":
    main()
