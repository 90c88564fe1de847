"""What ``inspect`` notes of a model: what was left out, guessed, assumed, and what will be done otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.graph.op_facts import Data, facts_of
from rsp_onnx.layout import channels_last
from rsp_onnx.model.load import Model

_SMALL_INTS = ("uint8", "int8", "uint16", "int16")


def notes_on(loaded: Model, analysis: Analysis) -> list[str]:
    """Return one sentence per note."""
    said = [f"{note[0].upper()}{note[1:]}." for note in (*analysis.warnings, *analysis.reading.notes)]
    return [*said, *_of_inputs(loaded, analysis), *_of_scores(analysis), *_of_batch(loaded, analysis)]


def _of_inputs(loaded: Model, analysis: Analysis) -> Iterator[str]:
    for value in analysis.graph.inputs:
        sizes = analysis.graph.dims(value)
        if not all(isinstance(d, int) for d in _own_shape(loaded, value)[1:]):
            how = "(--input-shape, --size)"
            yield f"The input {value.name!r} leaves its size free; this is for {_by(sizes[1:])} {how}."
        if channels_last(sizes):
            yield f"The input {value.name!r} has its channels last (NHWC)."
        if value.dtype is not None and str(value.dtype.numpy()) in _SMALL_INTS:
            yield f"The input {value.name!r} is {value.dtype.numpy()}; pixels are passed as they are."


def _of_scores(analysis: Analysis) -> Iterator[str]:
    graph = analysis.graph
    if analysis.kind != "logits":
        start = f"the classes' gradients start before it, at {analysis.reading.logits.name!r}"
        yield f"The model ends in a {analysis.kind}; {start}."
    if any(facts_of(node).data is Data.QUANTISES for node in graph.nodes):
        yield "The model is quantised (int8): scores stay its own, relevance reads its dequantised tensors."
    if any(v.dtype == ir.DataType.FLOAT16 for v in graph.inputs):
        yield "The model runs in half precision; relevance is computed in float32."


def _of_batch(loaded: Model, analysis: Analysis) -> Iterator[str]:
    graph, opset = analysis.graph, dict(loaded.ir.graph.opset_imports).get("", 18)
    if opset < 18:
        lifted = graph.model.graph.opset_imports[""]
        yield f"The model's opset {opset} is lifted to {lifted} for the explanation."
    fixed = [v for v in graph.inputs if isinstance((_own_shape(loaded, v) or [None])[0], int)]
    if graph.batch is not None and not fixed:
        yield "Items are run one at a time: a batch is merged with other axes on the way, or not in front."
    elif graph.batch is not None:
        yield f"The batch size is fixed to {graph.batch} in the file; images are run {graph.batch} at a time."
    if analysis.section.note:
        yield f"Section {analysis.section.name!r}: {analysis.section.note}."


def _own_shape(loaded: Model, value: ir.Value) -> list[object]:
    """Return an input's shape as its file has it, where the analysis assumed sizes."""
    own = next((v for v in loaded.ir.graph.inputs if v.name == value.name), value)
    return list(own.shape or ())


def _by(sizes: Sequence[int | None]) -> str:
    return "×".join("?" if d is None else str(d) for d in sizes)
