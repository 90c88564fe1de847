"""What stands before every method's nodes: the checks, the inputs target and hostile, what rules write with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel, UnsupportedOp
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.shapes import UNKNOWN
from rsp_onnx.rewrite.expand import refuse_unexpanded
from rsp_onnx.rulekit.context import Context, Options
from rsp_onnx.rulekit.float_views import Views

from .analysis import Analysis
from .method import Method, Outcome, Plan
from .start import Classes
from .walk import check_rules, feature_nodes, head_nodes

_OWN = ("target", "hostile", "relevance", "ledger", "balance", "evidence")


def checked(options: Options) -> Options:
    """Return the options; BadInput where one cannot be."""
    if options.signed_inputs not in ("clamp", "abs"):
        raise BadInput(f"signed_inputs is 'clamp' or 'abs', not {options.signed_inputs!r}.")
    if options.form not in ("auto", "unfold", "gram"):
        raise BadInput(f"form is 'auto', 'unfold' or 'gram', not {options.form!r}.")
    if not (np.isfinite(options.split) and options.split > 0):
        raise BadInput(f"split is a positive number, not {options.split!r}.")
    return options


def check_names(found: Analysis) -> None:
    """Raise BadModel where the model's own names are those an explainer needs."""
    for name in _OWN:
        if name in found.graph.values:
            raise BadModel(f"The model has a tensor called {name!r}, which the explainer needs; rename it.")


def check_method(found: Analysis, method: Method) -> None:
    """Raise UnsupportedOp if an op on the way lacks the rule this method needs."""
    graph, section, logits = found.graph, found.section.value, found.logits
    parts = [("gradient, in the head", head_nodes(graph, section, logits), method.head)]
    if method.whole:
        parts.append(("in the features", feature_nodes(graph, section), method.features))
    for _, nodes, _ in parts:
        refuse_unexpanded(nodes)
    check_rules(parts)


def emit_walk(found: Analysis, method: Method, options: Options) -> tuple[Context, Outcome]:
    """Check that every op has its rule, and write a method's backward pass behind the model."""
    check_method(found, method)
    if (why := found.graph.model.metadata_props.get(UNKNOWN)) is not None:
        raise UnsupportedOp(why)
    ctx, plan = begin(found, options)
    return ctx, method.emit(ctx, replace(plan, parameters=method.parameters))


def begin(found: Analysis, options: Options) -> tuple[Context, Plan]:
    """Return what rules and methods write with; the analysis, a copy, gets its further inputs."""
    graph = found.graph
    working = np.float64 if graph.inputs[0].dtype == ir.DataType.DOUBLE else np.float32
    batch: int | str = graph.batch or _symbol(graph)
    target, hostile = add_classes(graph.model, batch)
    op = Emitter(graph.model.graph, np.dtype(working))
    front = op.Shape(target, start=0, end=1)
    ctx = Context(op, graph, Views(op, graph), front, options, end=found.logits)
    return ctx, Plan(found.section, found.logits, Classes(target, hostile), front)


def add_classes(model: ir.Model, batch: int | str) -> tuple[ir.Value, ir.Value]:
    """Add the inputs ``target``, int64 [K, N], and ``hostile``, int64 [K, N, H]."""
    target, hostile = _class_input("target", ["K", batch]), _class_input("hostile", ["K", batch, "H"])
    model.graph.inputs.extend([target, hostile])
    return target, hostile


def _class_input(name: str, shape: list[int | str]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.INT64))


def _symbol(graph: Graph) -> str:
    shape = graph.inputs[0].shape
    name = None if shape is None else getattr(shape[0], "value", None)
    return str(name) if name else "N"
