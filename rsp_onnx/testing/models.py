"""An op's gradient or relevance as a model of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx
import onnx.parser
import onnx.shape_inference
import onnx_ir as ir

from rsp_onnx.compiler.walk import Flow, Lookup, check_rules, walk
from rsp_onnx.errors import BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import op_name
from rsp_onnx.graph.shapes import fix_shapes
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.rewrite.expand import expand, needs_expansion
from rsp_onnx.rulekit.context import Context, Options
from rsp_onnx.rulekit.float_views import Views
from rsp_onnx.rulekit.registry import find_rule, find_vjp, says, stops

Source: TypeAlias = "str | onnx.ModelProto"


@dataclass(frozen=True)
class Ops:
    """A model as the compiler sees it, with the tensors relevance leaves from and arrives at."""

    graph: Graph
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    nodes: tuple[ir.Node, ...]

    def __str__(self) -> str:
        """Name the ops with their attributes."""
        texts = []
        for node in self.nodes:
            given = ", ".join(f"{n}={a.value}" for n, a in node.attributes.items() if isinstance(a, ir.Attr))
            texts.append(f"{op_name(node)}({given})")
        return " → ".join(texts)

    def cotangents(self) -> list[str]:
        """Return the names of the inputs that take what flows: ``g``, or one per output."""
        return ["g"] if len(self.outputs) == 1 else [f"g/{v.name}" for v in self.outputs]


def vjp_model(model: Source, input_names: Sequence[str] | None = None) -> onnx.ModelProto:
    """Compile the vector-Jacobian product of a model into a model.

    Parameters
    ----------
    model : str or onnx.ModelProto
        ONNX text or a model, usually of one op.
    input_names : sequence of str, optional
        Inputs to differentiate by; default: all of floating point.

    Returns
    -------
    onnx.ModelProto
        Inputs: the model's own and the cotangent ``g`` [K, *output shape] (``g/<output>`` where there are several).
        Outputs: ``gradient/<input>`` [K, *input shape]. In float64 if the model's first input is.

    Raises
    ------
    UnsupportedOp
        An op has no gradient.
    """
    return compile_ops(read_ops(model, input_names), find_vjp, "gradient", None)


def rule_model(
    model: Source, input_names: Sequence[str] | None = None, options: Options | None = None,
    targets: int | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """Compile the RSP rules of a model into a model; as ``vjp_model``, with outputs ``relevance/<input>``.

    targets: K where the result is made for one; with 1, and a batch fixed to 1, further forms of the conv rule apply.

    A Conv or a dense layer that reads a graph input is taken for the layer on the image, which has a rule of its own:
    put a Relu before it to get the rule of hidden layers.
    """
    return compile_ops(read_ops(model, input_names), find_rule, "relevance", options, targets)


def read_ops(model: Source, input_names: Sequence[str] | None) -> Ops:
    """Read a model as the compiler does; outputs may be given without type and shape."""
    proto = onnx.parser.parse_model(model) if isinstance(model, str) else model
    if not all(o.type.tensor_type.HasField("shape") for o in proto.graph.output):
        proto = onnx.shape_inference.infer_shapes(proto)
    work = canonize(load_model(proto))
    fix_shapes(work)
    while needs_expansion(work) and expand(work):
        fix_shapes(work)
    floats = [str(v.name) for v in work.graph.inputs if v.dtype is not None and v.dtype.is_floating_point()]
    graph = Graph(work, floats if input_names is None else input_names, stops)
    outputs = tuple(v for v in work.graph.outputs if graph.active(v))
    nodes = tuple(n for n in graph.nodes if n in graph.dag)
    return Ops(graph, tuple(graph.inputs), outputs, nodes)


def compile_ops(
    op: Ops, lookup: Lookup, word: str, options: Options | None, targets: int | None = None
) -> onnx.ModelProto:
    """Emit the walk from the outputs to the inputs and make its results the model's outputs."""
    check_rules([(word, op.nodes, lookup)])
    graph, target = op.graph, op.graph.model.graph
    if not op.outputs or not op.inputs:
        stopping = [n for n in graph.nodes if stops(n)]
        told = [f"{op_name(n)}: {says(n, relevance=True).removeprefix('nothing flows: ')}" for n in stopping]
        why = "; ".join(told) or "no number leads from one to the other"
        raise BadModel(f"Nothing flows from the outputs to the inputs: {why}.")
    kind = ir.DataType.DOUBLE if op.inputs[0].dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    start = {}
    for value, name in zip(op.outputs, op.cotangents(), strict=True):
        shape = ir.Shape([targets or "K", *(value.shape or ())])
        start[value] = ir.Value(name=name, shape=shape, type=ir.TensorType(kind))
        target.inputs.append(start[value])
    emitter = Emitter(target, np.dtype(kind.numpy()))
    front = (
        emitter.Shape(next(iter(start.values())), start=0, end=1) if targets is None else emitter.constant([targets])
    )
    ctx = Context(emitter, graph, Views(emitter, graph), front, options or Options())
    flow = walk(ctx, start, op.nodes, lookup)
    target.outputs.clear()
    for value in op.inputs:
        result = emitter.emit("Identity", _arrived(ctx, flow, value), name=f"{word}/{value.name}")
        result.dtype, result.shape = kind, ir.Shape(["K", *(value.shape or ())])
        target.outputs.append(result)
    return ir.to_proto(graph.model)


def _arrived(ctx: Context, flow: Flow, value: ir.Value) -> ir.Value:
    """Return what arrived at an input, zeros where nothing did."""
    if value in flow.at:
        return flow.at[value]
    return ctx.op.Expand(0.0, ctx.op.Concat(ctx.front, ctx.op.Shape(value), axis=0))
