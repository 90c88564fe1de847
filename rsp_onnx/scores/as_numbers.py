"""The explained output as numbers, one per sample and class, and which class has the highest."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import input_at

from .reading import ScoreReading
from .region import to_scores


def needs_no_numbers(graph: Graph, reading: ScoreReading) -> bool:
    """Tell of an output that only needs another shape: one number per sample and class, no integers to read."""
    return _needs_no_region(reading) and _scale_and_zero(graph, reading) is None


def _needs_no_region(reading: ScoreReading) -> bool:
    return reading.axes.is_plain and not reading.region


def _scale_and_zero(graph: Graph, reading: ScoreReading) -> tuple[float, float] | None:
    """Return what the integers of an output stand for, where they have one scale."""
    node = reading.output.producer()
    if node is None or node.op_type != "QuantizeLinear":
        return None
    scale, zero = (graph.constant(input_at(node, slot)) for slot in (1, 2))
    if scale is None or scale.size != 1:
        return None
    return float(scale.reshape(())), 0.0 if zero is None else float(zero.reshape(()))


def as_numbers(op: Emitter, raw: ir.Value, graph: Graph, reading: ScoreReading) -> ir.Value:
    """Write float32 [N, classes], with nothing but ones behind, of the explained output.

    Parameters
    ----------
    op : Emitter
        Of single precision.
    raw : onnx_ir.Value
        The output, or what equals it in another graph.
    """
    scores = op.Cast(raw, to=int(op.type))
    if (quantised := _scale_and_zero(graph, reading)) is not None:
        scale, zero = quantised
        scores = op.Mul(op.Sub(scores, zero), scale)
    if not _needs_no_region(reading):
        scores = to_scores(op, scores, graph.dims(reading.output), reading.axes, reading.region)
    return scores


def predicted(op: Emitter, target: ir.Value, raw: ir.Value, graph: Graph, reading: ScoreReading) -> ir.Value:
    """Write the classes [K, N] that are asked for, with the one of the highest score where −1 stands."""
    flat = op.Flatten(as_numbers(op, raw, graph, reading), axis=1)
    return op.Where(op.Less(target, 0), op.ArgMax(flat, axis=1, keepdims=0), target)
