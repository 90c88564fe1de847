"""Compiled explainers as the browser runs them: one picture, one class; a second file returns every layer's map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.compiler.section import layout_of
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.saving import save_explainer
from rsp_onnx.files import save_bytes
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.prepare import DEFAULT_SIZE
from rsp_onnx.inputs.presets import Preprocess
from rsp_onnx.web.layers import tensors_reached

_PREFIX = "relevance/"  # of the outputs that hold a layer's relevance, [targets, batch, ...]
_READY = ("float32", "uint8", "int8", "int32")  # what web/src/preprocess makes


def wanted(signature: InputSignature, preprocess: Preprocess) -> dict[str, Any]:
    """Return what the model's input wants, as ``Wanted`` of web/src/preprocess/tensor.ts.

    Raises
    ------
    BadInput
        The input holds numbers that the page does not make of a photo.
    """
    dtype = np.dtype(signature.dtype).name
    if dtype not in _READY:
        raise BadInput(
            f"The input {signature.name} holds {dtype}; the page makes {', '.join(_READY)} of photographs: "
            "use rsp-onnx serve."
        )
    size = preprocess.size or DEFAULT_SIZE
    channels = signature.channels or len(preprocess.channels or "RGB")
    return {
        "dtype": dtype, "layout": signature.layout(), "height": signature.height or size[0],
        "width": signature.width or size[1], "channels": channels,
    }  # fmt: skip


def input_shape(want: dict[str, Any]) -> list[int]:
    """Return the sizes of the model's input, for one picture."""
    sizes = {"N": 1, "C": want["channels"], "H": want["height"], "W": want["width"]}
    return [sizes[axis] for axis in want["layout"]]


def write_explainers(
    model: Path, folder: Path, method: str, analysis: Analysis, layers: Sequence[str], **options: Any
) -> dict[str, Any]:
    """Write the explainers of one method; return their names as ``files`` of the page, and the warnings.

    Parameters
    ----------
    layers : sequence of str
        Tensors of the network's picture; those that the method's relevance reaches get a map. Empty: no second file.
    """
    stem = method.replace(":", "-").replace("=", "").replace(",", "-")
    plain = folder / f"{stem}.onnx"
    written = save_explainer(model, plain, method, batch=1, targets=1, **options)
    reached = tensors_reached(analysis, method)
    chosen = [name for name in layers if name in reached]
    if not chosen:
        return {"map": plain.name, "layers": None, "warnings": written["warnings"]}
    every = folder / f"{stem}.layers.onnx"
    save_explainer(model, every, method, tensors=chosen, batch=1, targets=1, **options)
    _sum_over_channels(every, analysis, chosen)
    return {"map": plain.name, "layers": every.name, "warnings": written["warnings"]}


def _sum_over_channels(path: Path, analysis: Analysis, tensors: Sequence[str]) -> None:
    """Let the file return one number a place: a layer's channels would be hundreds of megabytes in a browser."""
    model = ir.load(path)
    graph = model.graph
    for index, output in enumerate(graph.outputs):
        name = str(output.name)
        tensor = name.removeprefix(_PREFIX)
        if name == tensor or tensor not in tensors:
            continue
        axis = layout_of(analysis.graph, analysis.graph.values[tensor])[0]
        if output.shape is None or len(output.shape) < 4:
            continue
        output.name = f"{name} by channel"
        axes = ir.Value(name=f"{name} axes", const_value=ir.tensor(np.array([axis + 1], np.int64)))
        graph.register_initializer(axes)
        node = ir.node("ReduceSum", [output, axes], {"keepdims": 0}, num_outputs=1)
        node.outputs[0].name, node.outputs[0].type = name, output.type
        graph.append(node)
        graph.outputs[index] = node.outputs[0]
    proto = ir.to_proto(model)
    save_bytes(path, onnx.shape_inference.infer_shapes(proto).SerializeToString())
