"""A file made for one class becomes one for any number of them: a Loop over the classes behind one forward pass.

Rules may be faster where they know that there is one class (``Context.alone``). What depends on the class is the body
of the Loop; the model itself, and what is computed from constants alone, stands in front of it and runs once. Without
any class the file returns the scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.nodes import captured
from rsp_onnx.graph.op_facts import Data, facts_of

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


def loop_over_targets(compiled: Graph, own: int, dtype: np.dtype[np.floating]) -> None:
    """Let a compiled model take any number of classes, in place.

    Parameters
    ----------
    compiled : Graph
        Its model was compiled for one sample and one class: the inputs ``target`` and ``hostile`` have ones in front.
    own : int
        How many of its outputs are the deployed model's; those behind get one entry per class on the axis called K.
    dtype : numpy dtype
        The working dtype.
    """
    graph = compiled.model.graph
    outputs = list(graph.outputs)
    each = outputs[own:]
    classes = {name: next(v for v in graph.inputs if v.name == name) for name in ("target", "hostile")}
    inside = _inside(compiled, classes.values(), each)
    shapes = [(value, str(value.name), list(value.shape or ())) for value in each]
    for value, _, shape in shapes:  # without any class ONNX Runtime must know them
        value.shape = ir.Shape([1 if _is(size, _TARGETS, "N") else size for size in shape])
    graph.outputs.clear()
    body = _body(graph, classes, inside, each)
    stacked = _loop(Emitter(graph, dtype), classes["target"], body, shapes)
    graph.outputs.extend(stacked.get(value, value) for value in outputs)
    for value in classes.values():
        value.shape = ir.Shape([_TARGETS, *list(value.shape or ())[1:]])


def _inside(compiled: Graph, classes: Iterable[ir.Value], each: Iterable[ir.Value]) -> list[ir.Node]:
    """Return the nodes that run once per class, in order: what depends on it, and what nothing else reads.

    What is computed from the image for the backward pass alone could run once too, but its results would all have to be
    kept at the same time. Dequantised tensors are: ONNX Runtime's TransposeOptimizer ends the process where such a node
    in a loop reads a constant from outside of it (seen in 1.31).
    """
    nodes, forward = list(compiled.model.graph), frozenset(compiled.nodes)
    reads = {node: [v for v in (*node.inputs, *captured(node)) if v is not None] for node in nodes}
    varies, depends = set(classes), set[ir.Node]()
    computed = {v for v in compiled.model.graph.inputs if not v.is_initializer()}  # what is not known before run time
    for node in nodes:
        if not varies.isdisjoint(reads[node]):
            depends.add(node)
            varies.update(node.outputs)
        if not computed.isdisjoint(reads[node]):
            computed.update(node.outputs)
    depends.update(node for node in (value.producer() for value in each) if node is not None)
    readers: dict[ir.Value, list[ir.Node]] = {}
    for node in nodes:
        for value in reads[node]:
            readers.setdefault(value, []).append(node)
    for node in reversed(nodes):
        if node not in depends and node not in forward and _may_move(node, computed):
            behind = [reader for value in node.outputs for reader in readers.get(value, ())]
            if behind and depends.issuperset(behind):
                depends.add(node)
    return [node for node in nodes if node in depends]


def _may_move(node: ir.Node, computed: set[ir.Value]) -> bool:
    """Tell of a node that makes no output, from more than constants."""
    read = not any(v.is_graph_output() for v in node.outputs)
    return read and not computed.isdisjoint(node.outputs) and facts_of(node).data is not Data.QUANTISES


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
