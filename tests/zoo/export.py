"""torch.nn.Module → onnx.ModelProto, by either of torch's exporters."""

import copy
import io
import logging
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import nn


def export(
    module: nn.Module,
    shape: Sequence[int],
    *,
    double: bool = False,
    opset: int = 17,
    dynamo: bool = False,
    dynamic: bool = True,
    fold: bool = True,
) -> onnx.ModelProto:
    """Export a network in eval mode; input "x", output "y".

    Parameters
    ----------
    shape : input shape including the sample axis.
    double : float64 weights and input (onnxruntime has no float64 Conv; onnx.reference runs it).
    opset : ONNX opset; the dynamo exporter writes 18 at least.
    dynamo : torch.export's exporter instead of TorchScript's.
    dynamic : the sample axis is called "N" and left open.
    fold : fold BatchNormalization into convolutions and constants into constants.
    """
    module = copy.deepcopy(module).eval()
    module = module.double() if double else module
    x = torch.zeros(2 if dynamic else shape[0], *shape[1:], dtype=torch.float64 if double else torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters announce each other's deprecation
        write = _dynamo if dynamo else _torchscript
        return write(module, x, opset, dynamic, fold)


def _torchscript(module: nn.Module, x: torch.Tensor, opset: int, dynamic: bool, fold: bool) -> onnx.ModelProto:
    mode = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        (x,),
        buffer,
        input_names=["x"],
        output_names=["y"],
        opset_version=opset,
        dynamic_axes={"x": {0: "N"}, "y": {0: "N"}} if dynamic else None,
        do_constant_folding=fold,
        training=mode,
        dynamo=False,
    )
    return onnx.load_from_string(buffer.getvalue())


def _dynamo(module: nn.Module, x: torch.Tensor, opset: int, dynamic: bool, fold: bool) -> onnx.ModelProto:
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        program = torch.onnx.export(
            module,
            (x,),
            input_names=["x"],
            output_names=["y"],
            opset_version=max(opset, 18),
            dynamic_shapes=({0: torch.export.Dim("N")},) if dynamic else None,
            optimize=fold,
            dynamo=True,
            verbose=False,
        )
    finally:
        log.setLevel(level)
    assert program is not None
    return program.model_proto
