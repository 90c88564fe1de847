"""The body of a loop as a graph of its own, seen from what in it depends on the explained inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph.bodies import close
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.shapes import fix_shapes
from rsp_onnx.rewrite.expand import expand, needs_expansion, why_unexpanded
from rsp_onnx.rulekit.registry import stops
from rsp_onnx.rulekit.source import is_source

from .course import Course, course_of


@dataclass(frozen=True)
class Inside:
    """A copy of a body.

    Attributes
    ----------
    graph : Graph
        Its inputs are those of the body's inputs, and of ``captured``, that depend on the explained inputs.
    formals, results : sequence of onnx_ir.Value
        The body's inputs and outputs; every output comes out of a node of its own.
    captured : dict of onnx_ir.Value to onnx_ir.Value
        For tensors outside that depend on the explained inputs what stands for them inside. All others are read from
        outside.
    nodes : sequence of onnx_ir.Node
        Those that relevance may pass, in order.
    """

    graph: Graph
    formals: Sequence[ir.Value]
    results: Sequence[ir.Value]
    captured: dict[ir.Value, ir.Value]
    nodes: Sequence[ir.Node]


def open_body(graph: Graph, node: ir.Node, course: Course, *, first: bool = False) -> Inside:
    """Return a copy of a loop's body, its ops written out as the model's own are.

    graph: where the loop stands; first: as the first step has it, whose states may be constants.

    Raises
    ------
    UnsupportedOp
        Integers that stand for numbers go through the loop, or a state changes its shape.
    """
    closed = close(course.body, graph.model.graph.opset_imports, graph)
    model = closed.model
    formals, count = list(model.graph.inputs), len(course.body.inputs)
    _tell_shapes(graph, node, course, formals)
    results = _own_outputs(model, course)
    fix_shapes(model, batch=graph.batch)
    while needs_expansion(model) and expand(model):
        fix_shapes(model, batch=graph.batch)
    captured = dict(zip(closed.captured, formals[count:], strict=True))
    outer = {str(v.name): v for v in closed.constants}
    for name, value in list(model.graph.initializers.items()):
        if name in outer:
            value.replace_all_uses_with(outer[name])
            del model.graph.initializers[name]
    for value, inner in list(captured.items()):
        if not graph.active(value):
            inner.replace_all_uses_with(value)
            del captured[value]
    seen = _seen(graph, node, course, model, formals, captured, first)
    _check(node, course, seen, formals, results)
    return Inside(seen, formals[:count], results, captured, _passed(seen, results))


def _check(
    node: ir.Node, course: Course, seen: Graph, formals: Sequence[ir.Value], results: Sequence[ir.Value]
) -> None:
    """Raise UnsupportedOp where something that carries relevance through the loop is not what it can be."""
    begin, advice = (
        f"The {node.op_type} node {node.name!r} cannot be explained",
        "choose a later section with --section",
    )
    for value in seen.inputs:
        if value.dtype is None or not value.dtype.is_floating_point():
            raise UnsupportedOp(f"{begin}: {value.name!r} goes through it as {value.dtype}, not as numbers; {advice}.")
    for state in course.states:
        formal, result = formals[state.formal], results[state.result]
        if formal in seen.inputs and result.shape is not None and seen.dims(formal) != seen.dims(result):
            sizes = " to ".join(str(tuple("N" if d is None else d for d in seen.dims(v))) for v in (formal, result))
            raise UnsupportedOp(f"{begin}: its state {formal.name!r} changes its shape, from {sizes}; {advice}.")


def _tell_shapes(graph: Graph, node: ir.Node, course: Course, formals: Sequence[ir.Value]) -> None:
    for state in course.states:
        _take_type(formals[state.formal], node.inputs[state.slot], None)
    for part in course.scanned:
        _take_type(formals[part.inside], node.inputs[part.outside], part.axis)
    for place, kind in zip(course.own, (ir.DataType.INT64, ir.DataType.BOOL), strict=False):
        formals[place].type, formals[place].shape = ir.TensorType(kind), ir.Shape(())


def _take_type(formal: ir.Value, source: ir.Value | None, axis: int | None) -> None:
    assert source is not None
    formal.type = source.type
    if source.shape is not None:
        sizes = list(source.shape)
        if axis is not None:
            del sizes[axis]
        formal.shape = ir.Shape(sizes)


def _own_outputs(model: ir.Model, course: Course) -> list[ir.Value]:
    """Give every output a node of its own, so that who reads a tensor inside and who hands it on can be told apart."""
    for index, value in enumerate(list(model.graph.outputs)):
        node = ir.Node("", "Identity", [value], num_outputs=1, name=f"handed_on_{index}")
        node.outputs[0].name, node.outputs[0].type = f"handed_on_{index}:0", value.type
        model.graph.append(node)
        model.graph.outputs[index] = node.outputs[0]
    return list(model.graph.outputs)


def _seen(
    graph: Graph, node: ir.Node, course: Course, model: ir.Model, formals: Sequence[ir.Value],
    captured: dict[ir.Value, ir.Value], first: bool,
) -> Graph:  # fmt: skip
    """Return the graph as seen from all that depends on the explained inputs; a state does once it has at any step."""
    sources = {formals[s.inside]: node.inputs[s.outside] for s in course.scanned}
    sources |= {inner: value for value, inner in captured.items()}
    states = {formals[s.formal]: s for s in course.states}
    active = {f for f, v in sources.items() if graph.active(v)}
    active |= {f for f, s in states.items() if graph.active(node.inputs[s.slot])}
    hidden = {*states, *(f for f, v in sources.items() if v is not None and not is_source(graph, v))}
    while True:
        seen = Graph(model, [str(v.name) for v in active], stops, graph.batch or 0, frozenset(hidden))
        more = {f for f, s in states.items() if seen.active(model.graph.outputs[s.result])} - active
        if first or not more:
            return seen
        active |= more


def _passed(graph: Graph, results: Sequence[ir.Value]) -> list[ir.Node]:
    wanted = {node for value in results if graph.active(value) for node in graph.between(graph.inputs, value)}
    return [node for node in graph.nodes if node in wanted]


def with_bodies(graph: Graph, nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """Return these nodes, for loops the nodes inside them."""
    found: list[ir.Node] = []
    for node in nodes:
        course = course_of(node)
        if course is None or why_unexpanded(node):
            found.append(node)
        else:
            inside = open_body(graph, node, course)
            found += with_bodies(inside.graph, inside.nodes)
    return found
