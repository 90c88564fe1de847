"""The tape of a loop: what it gave its body at every step, as outputs of their own."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute

from .course import Course

_TAPE = "rsp_onnx/tape"  # noted on a node: what it keeps already, by the place among its body's inputs


def keep(op: Emitter, node: ir.Node, course: Course, place: int) -> ir.Value:
    """Return what a loop gave its body's input at a place, [steps, *shape]; the loop gets an output for it."""
    kept: dict[int, ir.Value] = node.meta.setdefault(_TAPE, {})
    if place in kept:
        return kept[place]
    formal, body = course.body.inputs[place], course.body
    twin = ir.Node("", "Identity", [formal], num_outputs=1, name=op.fresh("kept"))
    twin.outputs[0].name, twin.outputs[0].type = f"{twin.name}:0", formal.type
    body.append(twin)
    body.outputs.append(twin.outputs[0])
    for key in ("scan_output_axes", "scan_output_directions"):
        if (given := attribute(node, key)) is not None:
            node.attributes[key] = ir.AttrInt64s(key, [*given, 0])  # type: ignore[misc]  # a list of integers
    node.resize_outputs(len(node.outputs) + 1)
    kept[place] = node.outputs[-1]
    kept[place].name, kept[place].type = f"{twin.name}:all", formal.type
    return kept[place]
