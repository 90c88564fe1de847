"""What stands behind every method's nodes: the outputs, the ledger, the metadata."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.version import __version__

from .analysis import Analysis
from .ledger import Ledger
from .method import Outcome


def add_outputs(ctx: Context, found: Analysis, outcome: Outcome, tensors: Sequence[str]) -> None:
    """Make the relevance of the inputs, and of the tensors wanted, outputs of the model."""
    graph = found.graph
    several = len(graph.inputs) > 1
    for value in graph.inputs:
        r = outcome.flow.at.get(value)
        if r is None and not any(v in outcome.flow.at for v in graph.inputs):
            raise BadModel(f"No relevance reaches the input {value.name!r}; choose another section with --section.")
        if r is None:  # such as queries that only say where to look
            r = ctx.op.Expand(0.0, ctx.op.Concat(ctx.front, ctx.op.Shape(value), axis=0))
        add_output(ctx.op, f"relevance/{value.name}" if several else "relevance", r, value)
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
    if outcome.evidence is not None:
        outputs.append(_typed(ctx, ctx.op.emit("Identity", outcome.evidence, name="evidence"), ["K", "N", None]))
    return notes


def _typed(ctx: Context, value: ir.Value, shape: list[int | str | None]) -> ir.Value:
    value.dtype, value.shape = ctx.op.type, ir.Shape(shape)
    return value


def describe(found: Analysis, model: ir.Model, notes: Mapping[str, object]) -> None:
    """Say in a compiled model's metadata what it is."""
    model.metadata_props.update(copy.copy(found.model.metadata))
    for key, value in {"version": __version__, "source_sha256": found.model.sha256, **notes}.items():
        model.metadata_props[f"rsp_onnx.{key}"] = value if isinstance(value, str) else json.dumps(value)
    model.producer_name, model.producer_version = "rsp-onnx", __version__
