"""The bodies of If, Loop and Scan as models of their own, that can be shaped, run and walked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.model.session import Session

from .nodes import subgraphs
from .op_facts import Known, is_layer
from .shapes import dims


@dataclass(frozen=True)
class Closed:
    """A body that reads nothing from outside.

    Attributes
    ----------
    model : onnx_ir.Model
        Its inputs are the body's own, then one for each captured tensor that is no constant.
    captured, constants : tuple of onnx_ir.Value
        Those tensors, and the constants, as they are called outside.
    """

    model: ir.Model
    captured: tuple[ir.Value, ...]
    constants: tuple[ir.Value, ...]


def close(body: ir.Graph, opsets: Mapping[str, int], constants: Known) -> Closed:
    """Return a copy of a body that reads what it captures as inputs; what is known before run time is its own."""
    copy = body.clone(allow_outer_scope_values=True)
    copy.opset_imports.update(opsets)
    own: dict[ir.Value, ir.Value] = {}
    for value in dict.fromkeys(captured_by(body)):
        own[value] = inner = ir.Value(name=value.name, type=value.type, shape=value.shape)
        known = constants.constant(value)
        if known is None:
            copy.inputs.append(inner)
        else:
            tensor = value.const_value if value.producer() is None else None
            inner.const_value = ir.tensor(known) if tensor is None else tensor
            inner.dtype, inner.shape = ir.DataType.from_numpy(known.dtype), ir.Shape(known.shape)
            copy.register_initializer(inner)
    replace_inside(copy, own)
    stored = tuple(v for v in own if own[v].const_value is not None)
    return Closed(ir.Model(copy, ir_version=10), tuple(v for v in own if own[v].const_value is None), stored)


def captured_by(body: ir.Graph) -> Iterator[ir.Value]:
    """Return what the nodes and outputs of a body, and of the bodies inside, read of tensors that are not theirs."""
    own = {*body.inputs, *body.initializers.values(), *(v for node in body for v in node.outputs)}
    for node in body:
        yield from (v for v in node.inputs if v is not None and v not in own)
        yield from (v for inner in subgraphs(node) for v in captured_by(inner) if v not in own)
    yield from (v for v in body.outputs if v is not None and v not in own)


def replace_inside(body: ir.Graph, instead: Mapping[ir.Value, ir.Value]) -> None:
    """Let a body, and the bodies inside, read other tensors."""
    for node in body:
        for slot, value in enumerate(node.inputs):
            if value is not None and value in instead:
                node.replace_input_with(slot, instead[value])
        for inner in subgraphs(node):
            replace_inside(inner, instead)
    for slot, value in enumerate(body.outputs):
        if value in instead:
            body.outputs[slot] = instead[value]


def output_shapes(closed: Closed, batch: int) -> list[tuple[int, ...]]:
    """Run a body that has no inputs of its own on several inputs; return the shapes of its outputs.

    Raises
    ------
    BadModel
        It cannot be run on one of them, or its shapes depend on the numbers.
    """
    found: list[list[tuple[int, ...]]] = []
    session = Session(closed.model, "cpu")
    for fill in (np.ones, np.zeros, _mixed):
        feeds = {str(v.name): _filled(v, batch, fill) for v in closed.model.graph.inputs}
        found.append([np.shape(a) for a in session.run(feeds).values()])
    if any(shapes != found[0] for shapes in found):
        raise BadModel("the shapes of what it returns depend on the numbers")
    return found[0]


def _filled(value: ir.Value, batch: int, fill: Callable[[list[int]], np.ndarray]) -> np.ndarray:
    shape = [batch if d is None else d for d in dims(value)]
    return fill(shape).astype(np.float32 if value.dtype is None else value.dtype.numpy())


def _mixed(shape: list[int]) -> np.ndarray:
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape)


def holds_layer(node: ir.Node) -> bool:
    """Tell of a layer with weights, and of a loop with one in its body."""
    return is_layer(node) or any(holds_layer(inner) for body in subgraphs(node) for inner in body)


def named(nodes: Sequence[ir.Node]) -> Iterator[ir.Node | ir.Value]:
    """Return the nodes and all tensors that they and their subgraphs write."""
    for node in nodes:
        yield node
        yield from node.outputs
        for body in subgraphs(node):
            yield from body.inputs
            yield from list(body.initializers.values())
            yield from named(list(body))
