"""What stands around every method's nodes: the checks before, the inputs target and hostile, outputs, metadata."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel, UnsupportedOp
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import PREFIX, Emitter
from rsp_onnx.graph.shapes import UNKNOWN_OP
from rsp_onnx.loops.inside import with_bodies
from rsp_onnx.names import UNREACHED
from rsp_onnx.rewrite.expand import refuse_unexpanded
from rsp_onnx.rulekit.context import Context, Options
from rsp_onnx.rulekit.float_views import Views
from rsp_onnx.rulekit.forms import forms_of_conv_rule
from rsp_onnx.scores.as_numbers import predicted
from rsp_onnx.version import __version__

from .analysis import Analysis
from .ledger import Ledger
from .method import Method, Outcome, Plan
from .start import Classes
from .walk import check_rules, feature_nodes, head_nodes

PREDICTED = f"{PREFIX}/predicted"
_OWN = ("target", "hostile", "relevance", "ledger", "balance", "evidence", "answer_range")


def checked(options: Options) -> Options:
    """Return the options; BadInput where one cannot be."""
    if options.signed_inputs not in ("clamp", "abs"):
        raise BadInput(f"signed_inputs is 'clamp' or 'abs', not {options.signed_inputs!r}.")
    if options.form not in (known := ["auto", *forms_of_conv_rule()]):
        raise BadInput(f"form is one of {', '.join(map(repr, known))}, not {options.form!r}.")
    if not (np.isfinite(options.split) and options.split > 0):
        raise BadInput(f"split is a positive number, not {options.split!r}.")
    return options


def check_names(analysis: Analysis) -> None:
    """Raise BadModel where the model's own names are those an explainer needs."""
    for name in _OWN:
        if name in analysis.graph.values:
            raise BadModel(f"The model has a tensor called {name!r}, which the explainer needs; rename it.")


def check_method(analysis: Analysis, method: Method) -> None:
    """Raise UnsupportedOp if an op on the way lacks the rule this method needs."""
    graph, section, logits = analysis.graph, analysis.section.value, analysis.logits
    parts = [("gradient, in the head", with_bodies(graph, head_nodes(graph, section, logits)), method.head)]
    if method.walks_features:
        parts.append(("in the features", with_bodies(graph, feature_nodes(graph, section)), method.features))
    for _, nodes, _ in parts:
        refuse_unexpanded(nodes)
    check_rules(parts)
    if (why := graph.model.metadata_props.get(UNKNOWN_OP)) is not None:
        raise UnsupportedOp(why)


def emit_walk(analysis: Analysis, method: Method, options: Options) -> tuple[Context, Outcome]:
    """Check that every op has its rule, and write a method's backward pass behind the model."""
    check_method(analysis, method)
    ctx, plan = begin(analysis, options)
    if method.repetition is None:
        chosen = choose_predicted(analysis, analysis.graph.model, plan.classes.target, analysis.output)
        plan = replace(plan, classes=replace(plan.classes, target=chosen))
    return ctx, method.emit(ctx, replace(plan, parameters=method.parameters))


def begin(analysis: Analysis, options: Options) -> tuple[Context, Plan]:
    """Return what rules and methods write with; the analysis, a copy, gets its further inputs."""
    graph = analysis.graph
    working = np.float64 if graph.inputs[0].dtype == ir.DataType.DOUBLE else np.float32
    batch: int | str = graph.batch or _symbol(graph)
    target, hostile = add_classes(graph.model, batch, analysis.targets)
    op = Emitter(graph.model.graph, np.dtype(working))
    front = op.Shape(target, start=0, end=1) if analysis.targets is None else op.constant([analysis.targets])
    ctx = Context(op, graph, Views(op, graph), front, options, end=analysis.logits)
    return ctx, Plan(analysis.section, analysis.logits, Classes(target, hostile), front)


def choose_predicted(analysis: Analysis, model: ir.Model, target: ir.Value, output: ir.Value) -> ir.Value:
    """Let −1 stand for the class with the highest score. output: the explained one, in the model written into."""
    op = Emitter(model.graph, np.dtype(np.float32), word=PREDICTED)
    return predicted(op, target, output, analysis.graph, analysis.reading)


def add_classes(model: ir.Model, batch: int | str, targets: int | None = None) -> tuple[ir.Value, ir.Value]:
    """Add the inputs ``target``, int64 [K, N], and ``hostile``, int64 [K, N, H]. targets: K where it is fixed."""
    front = targets or "K"
    target, hostile = _class_input("target", [front, batch]), _class_input("hostile", [front, batch, "H"])
    model.graph.inputs.extend([target, hostile])
    return target, hostile


def drop_unread_classes(model: ir.Model) -> None:
    """Remove the inputs ``target`` and ``hostile`` where nothing reads them."""
    for value in list(model.graph.inputs):
        if value.name in _OWN and not value.uses() and not value.is_graph_output():
            model.graph.inputs.remove(value)


def _class_input(name: str, shape: list[int | str]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.INT64))


def _symbol(graph: Graph) -> str:
    shape = graph.inputs[0].shape
    name = None if shape is None else getattr(shape[0], "value", None)
    return str(name) if name else "N"


def add_outputs(ctx: Context, analysis: Analysis, outcome: Outcome, tensors: Sequence[str]) -> None:
    """Make the relevance of the inputs, and of the tensors wanted, outputs of the model."""
    graph = analysis.graph
    several, unreached = len(graph.inputs) > 1, list[str]()
    for value in graph.inputs:
        r = outcome.flow.at.get(value)
        if r is None and not any(v in outcome.flow.at for v in graph.inputs):
            raise BadModel(f"No relevance reaches the input {value.name!r}; choose another section with --section.")
        if r is None:  # such as queries that only say where to look
            unreached.append(str(value.name))
            r = ctx.op.Expand(0.0, ctx.op.Concat(ctx.front, ctx.op.Shape(value), axis=0))
        add_output(ctx.op, f"relevance/{value.name}" if several else "relevance", r, value)
    if unreached:
        graph.model.metadata_props[UNREACHED] = json.dumps(unreached)
    for name in tensors:
        found_value = graph.values.get(name)
        if found_value is None or found_value not in outcome.flow.at:
            reached = [str(v.name) for v in outcome.flow.at]
            why = "there is no such tensor" if found_value is None else "no relevance passes it"
            raise BadInput(f"No relevance at {name!r}: {why}; it is known at {_some(reached)}.")
        if f"relevance/{name}" not in [o.name for o in graph.model.graph.outputs]:
            add_output(ctx.op, f"relevance/{name}", outcome.flow.at[found_value], found_value)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:6])
    return f"{shown} and {len(names) - 6} more (see rsp-onnx inspect --json)" if len(names) > 6 else shown


def add_output(op: Emitter, name: str, r: ir.Value, value: ir.Value) -> None:
    """Make r, the relevance of a tensor, an output of this name."""
    result = op.emit("Identity", r, name=name)
    result.dtype = op.type
    own: list[int | str | None] = [d if isinstance(d, int) else getattr(d, "value", None) for d in value.shape or ()]
    result.shape = ir.Shape(["K", *own])
    op.graph.outputs.append(result)


def add_ledger(ctx: Context, outcome: Outcome, section: ir.Value | None) -> dict[str, object]:
    """Add the outputs of the ledger; return what their rows are. section: where relevance starts, if it is kept."""
    outputs, ledger = ctx.graph.model.graph.outputs, Ledger(ctx)
    rows, names = ledger.tensors(outcome.flow)
    outputs.append(_typed(ctx, ctx.op.emit("Identity", rows, name="ledger"), [len(names), "K", "N"]))
    notes: dict[str, object] = {"ledger": names}
    if section is not None:
        rows, nodes = ledger.nodes(outcome.flow, section)
        outputs.append(_typed(ctx, ctx.op.emit("Identity", rows, name="balance"), [1 + len(nodes), "K", "N"]))
        notes["balance"] = nodes
    return notes


def add_evidence(ctx: Context, outcome: Outcome) -> None:
    """Add the output of how strongly the section speaks for each class, where the method knows."""
    if outcome.evidence is not None:
        value = _typed(ctx, ctx.op.emit("Identity", outcome.evidence, name="evidence"), ["K", "N", None])
        ctx.graph.model.graph.outputs.append(value)


def _typed(ctx: Context, value: ir.Value, shape: list[int | str | None]) -> ir.Value:
    value.dtype, value.shape = ctx.op.type, ir.Shape(shape)
    return value


def describe(analysis: Analysis, model: ir.Model, notes: Mapping[str, object]) -> None:
    """Say in a compiled model's metadata what it is."""
    model.metadata_props.update(copy.copy(analysis.model.metadata))
    for key, value in {"version": __version__, "source_sha256": analysis.model.sha256, **notes}.items():
        model.metadata_props[f"rsp_onnx.{key}"] = value if isinstance(value, str) else json.dumps(value)
    model.producer_name, model.producer_version = "rsp-onnx", __version__
