"""A file made for one class becomes one for any number of them: a Loop over the classes behind one forward pass.

Rules may be faster where they know that there is one class (``Context.alone``). What depends on the class is the body
of the Loop; all else, the model itself first of all, stands in front of it and runs once. Without any class the file
returns the scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.nodes import captured
from rsp_onnx.graph.op_facts import facts_of

_EACH, _TARGETS = f"{PREFIX}/each", "K"


def check_counts(batch: int | None, targets: int | None, fixed: int | None) -> None:
    """Raise BadInput where a file cannot be made for so many samples and classes. fixed: what the model says."""
    for what, count in (("samples", batch), ("classes", targets)):
        if count is not None and count < 1:
            raise BadInput(f"A file is made for 1 or more {what}, not {count}.")
    if batch is not None and batch != fixed:
        raise BadInput(
            f"The model takes {fixed} sample{'s' if fixed != 1 else ''} at a time, and no explainer of it {batch}: "
            "leave the batch out, or export the model with its batch free."
        )


def loop_over_targets(model: ir.Model, own: int, dtype: np.dtype[np.floating]) -> None:
    """Let a compiled model take any number of classes, in place.

    Parameters
    ----------
    model : onnx_ir.Model
        Compiled for one sample and one class: its inputs ``target`` and ``hostile`` have ones in front.
    own : int
        How many of its outputs are the deployed model's; those behind get one entry per class on the axis called K.
    dtype : numpy dtype
        The working dtype.
    """
    graph = model.graph
    outputs = list(graph.outputs)
    each = outputs[own:]
    classes = {name: next(v for v in graph.inputs if v.name == name) for name in ("target", "hostile")}
    inside = _inside(graph, classes.values(), each)
    shapes = [(value, str(value.name), list(value.shape or ())) for value in each]
    for value, _, shape in shapes:  # without any class ONNX Runtime must know them
        value.shape = ir.Shape([1 if _is(size, _TARGETS, "N") else size for size in shape])
    graph.outputs.clear()
    body = _body(graph, classes, inside, each)
    stacked = _loop(Emitter(graph, dtype), classes["target"], body, shapes)
    graph.outputs.extend(stacked.get(value, value) for value in outputs)
    for value in classes.values():
        value.shape = ir.Shape([_TARGETS, *list(value.shape or ())[1:]])


def _inside(graph: ir.Graph, classes: Iterable[ir.Value], each: Iterable[ir.Value]) -> list[ir.Node]:
    """Return the nodes that run once per class, in order: what depends on it, and what makes the outputs of each.

    All else runs once, also what the backward pass computes of the image alone: for five classes that saves up to a
    fifth, for one it costs neither time nor, measured on four networks, more than 3 MiB.
    """
    varies, makers = set(classes), {value.producer() for value in each}
    inside = []
    for node in graph:
        read = (v for v in (*node.inputs, *captured(node)) if v is not None)
        if node in makers or not varies.isdisjoint(read):
            inside.append(node)
            varies.update(node.outputs)
    return _with_views(graph, inside)


def _with_views(graph: ir.Graph, inside: list[ir.Node]) -> list[ir.Node]:
    """Return them with what only shows a tensor in another shape or order to them: a product reads it as it lies."""
    chosen = set(inside)
    for node in reversed(list(graph)):
        readers = [reader for v in node.outputs for reader, _ in v.uses()]
        shows = facts_of(node).neutral and node.op_type != "Cast"  # a cast is computed, once will do
        if shows and readers and chosen.issuperset(readers):
            chosen.add(node)
    return [node for node in graph if node in chosen]


def _body(
    graph: ir.Graph, classes: dict[str, ir.Value], inside: Sequence[ir.Node], each: Sequence[ir.Value]
) -> ir.Graph:
    """Move nodes into the body of a Loop that reads the classes one by one."""
    index = ir.Value(name=f"{_EACH}/index", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))
    going = ir.Value(name=f"{_EACH}/going", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(()))
    body = ir.Graph([index, going], [], nodes=[], opset_imports=dict(graph.opset_imports), name="rsp_onnx_each")
    op = Emitter(body, np.dtype(np.float32), word=_EACH)
    here = op.Unsqueeze(index, [0])
    on = op.Identity(going)
    on.type, on.shape = going.type, going.shape
    for value in classes.values():
        readers = list(value.uses())
        one = op.Gather(value, here, axis=0)
        for node, slot in readers:
            node.replace_input_with(slot, one)
    graph.remove(inside)
    body.extend(inside)
    for value in each:
        value.name = f"{_EACH}/{value.name}"
    body.outputs.extend([on, *each])
    return body


def _loop(
    op: Emitter, target: ir.Value, body: ir.Graph, shapes: Sequence[tuple[ir.Value, str, list[int | ir.SymbolicDim]]]
) -> dict[ir.Value, ir.Value]:
    """Write the Loop; return what became of each output of one class."""
    count = op.Squeeze(op.Shape(target, start=0, end=1))
    found = op.emit_many("Loop", count, None, outputs=len(shapes), body=body)
    stacked: dict[ir.Value, ir.Value] = {}
    for (value, name, shape), all_of_it in zip(shapes, found, strict=True):
        axis = next(i for i, size in enumerate(shape) if _is(size, _TARGETS))
        result = op.emit("Squeeze", all_of_it, [axis + 1], name=name if axis == 0 else None)
        if axis:
            order = [*range(1, axis + 1), 0, *range(axis + 1, len(shape))]
            result = op.emit("Transpose", result, perm=order, name=name)
        result.type, result.shape = value.type, ir.Shape(shape)
        stacked[value] = result
    return stacked


def _is(size: int | ir.SymbolicDim, *names: str) -> bool:
    return isinstance(size, ir.SymbolicDim) and size.value in names
