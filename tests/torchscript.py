"""Networks as torch's older exporter writes them, which takes milliseconds where the newer one takes seconds."""

import io
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import nn


def exported(
    network: nn.Module, inputs: Sequence[torch.Tensor], names: Sequence[str] = ("x",), outputs: Sequence[str] = ("y",),
    axes: dict[str, dict[int, str]] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """Export in inference mode. axes: which axes of which tensors stay free, by name."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated and in use
        torch.onnx.export(
            network.eval(), tuple(inputs), buffer, input_names=list(names), output_names=list(outputs), dynamo=False,
            opset_version=17, dynamic_axes=axes,
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())
