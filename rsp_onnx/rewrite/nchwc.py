"""The blocked layouts that ONNX Runtime saves with all optimisations, written out as the ops they stand for.

Its domain com.microsoft.nchwc keeps channels in blocks of as many as the processor's vectors hold, and weights
reordered to match. The blocks are a layout of memory: by their logical shapes the tensors are [N, C, H, W] as ever, C
filled up to whole blocks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute, attributes
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts

from .registry import Writing, expands

NCHWC = "com.microsoft.nchwc::"
_OWN = ("activation", "activation_params")

op_facts(f"{NCHWC}Conv", role=Role.LAYER, data=Data.COMPUTES, sign=Sign.ANY, layout=Layout.CHANNELS_FIRST,
         stands_for="Conv", weight=1)  # fmt: skip
op_facts(f"{NCHWC}ReorderInput", f"{NCHWC}ReorderOutput", role=Role.OTHER, data=Data.REARRANGES, sign=Sign.KEEPS)


@expands(
    f"{NCHWC}Conv", f"{NCHWC}MaxPool", f"{NCHWC}AveragePool", f"{NCHWC}GlobalMaxPool", f"{NCHWC}GlobalAveragePool",
    f"{NCHWC}Upsample", f"{NCHWC}ReorderInput", f"{NCHWC}ReorderOutput",
    how="written out in the standard op it stands for, without the blocked layout",
)  # fmt: skip
def expand_blocked(expansion: Writing, node: ir.Node) -> Sequence[ir.Value] | None:
    """Write a blocked node out in standard ops; None where its weights are not known before run time."""
    op, constant = expansion.emitter(node.inputs[0]), expansion.constant
    x = cast("ir.Value", node.inputs[0])
    keep = attributes(node, *_OWN)
    match node.op_type:
        case "Conv":
            weight = constant(node.inputs[1])
            return None if weight is None else [_conv(op, node, weight, keep)]
        case "ReorderInput":
            return [_blocks(op, x, bool(attribute(node, "channels_last", 0)))]
        case "ReorderOutput":
            y = op.Slice(x, [0], [attribute(node, "channels")], [1])
            return [op.Transpose(y, perm=_to_last(x)) if attribute(node, "channels_last", 0) else y]
        case "Upsample":
            scales = np.array(cast("list[int]", attribute(node, "scales")), np.float32)
            mode = attribute(node, "coordinate_transformation_mode", "asymmetric")
            how = {"mode": attribute(node, "mode", "nearest"), "coordinate_transformation_mode": mode}
            if how["mode"] == "nearest":
                how["nearest_mode"] = "floor"
            return [op.Resize(x, None, op.constant(scales), **how)]
    return [op.emit(node.op_type, x, **keep)]


def _conv(op: Emitter, node: ir.Node, weight: np.ndarray, keep: dict[str, Any]) -> ir.Value:
    more = [*node.inputs, None, None]
    y = op.Conv(node.inputs[0], in_order(weight, attribute(node, "group", 1), block_size()), more[2], **keep)
    if more[3] is not None:
        y = op.Add(y, more[3])
    kind = str(attribute(node, "activation", ""))
    given = cast("list[float]", attribute(node, "activation_params", []))
    if kind == "Clip":
        return op.Clip(y, *given)
    names = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}.get(kind, ())
    parameters: dict[str, Any] = dict(zip(names, given, strict=False))
    return op.emit(kind, y, **parameters) if kind else y


def in_order(weight: np.ndarray, group: object, block: int) -> np.ndarray:
    """Return reordered weights [O, I, *kernel] in the standard order.

    In memory they are [O/b, I/b, *kernel, b of I, b of O], or [O/b, I, *kernel, b of O] where the input is not blocked
    (fewer channels than a block) or every channel is a group of its own.
    """
    out, into, *kernel = weight.shape
    axes = list(range(2, 2 + len(kernel)))
    if into % block or (into == 1 and group != 1):
        wide = weight.reshape(out // block, into, *kernel, block)
        return np.asarray(wide.transpose(0, len(axes) + 2, 1, *axes).reshape(weight.shape))
    wide = weight.reshape(out // block, into // block, *kernel, block, block)
    return np.asarray(wide.transpose(0, len(axes) + 3, 1, len(axes) + 2, *axes).reshape(weight.shape))


def _blocks(op: Emitter, x: ir.Value, last: bool) -> ir.Value:
    """Return x with its channels first, filled up with zeros to whole blocks."""
    sizes = list(x.shape or ())
    rank, channels = len(sizes), sizes[-1 if last else 1]
    if last:
        x = op.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)])
    extra = -channels % block_size() if isinstance(channels, int) else 0
    return op.Pad(x, [0] * rank + [0, extra] + [0] * (rank - 2)) if extra else x


def _to_last(x: ir.Value) -> list[int]:
    rank = len(x.shape or ())
    return [0, *range(2, rank), 1]


@lru_cache(maxsize=1)
def block_size() -> int:
    """Return how many channels a block of this processor holds: what ONNX Runtime fills eight filters up to."""
    text = """<ir_version: 8, opset_import: ["" : 18]> one (float[1, 8, 4, 4] x) => (float[1, 8, 4, 4] y) {
        y = Conv(x, w) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((8, 8, 1, 1), np.float32), "w"))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        saved = onnx.load(options.optimized_model_filepath)
    return int(max((w.dims[0] for w in saved.graph.initializer if len(w.dims) == 4), default=8))
