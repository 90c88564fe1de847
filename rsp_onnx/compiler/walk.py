"""The compiler: a model becomes one ONNX graph that returns its scores and their relevance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import op_name
from rsp_onnx.graph.token_ids import is_id_step
from rsp_onnx.loops.backward import back_through
from rsp_onnx.loops.course import course_of
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import add_all, unbroadcast
from rsp_onnx.rulekit.registry import Parts, Rule, why_not

Lookup = Callable[[ir.Node], "Rule | None"]


@dataclass(frozen=True)
class Step:
    """What became of the relevance that arrived at a node: at one output, or at all of a loop's."""

    node: ir.Node
    arrived: tuple[tuple[ir.Value, ir.Value], ...]
    parts: tuple[tuple[ir.Value, ir.Value], ...]


@dataclass
class Flow:
    """What arrived where: relevance by tensor, [K, *forward shape] each, in the order the walk met them; its steps."""

    at: dict[ir.Value, ir.Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def walk(ctx: Context, start: Mapping[ir.Value, ir.Value], nodes: Sequence[ir.Node], rules: Lookup) -> Flow:
    """Walk op nodes backward, one rule per node; what arrives at a tensor from several readers adds up.

    Parameters
    ----------
    start : mapping
        Relevance [K, *forward shape] by tensor.
    nodes : sequence of onnx_ir.Node
        In forward order. The walk knows no op.
    """
    arriving: dict[ir.Value, list[ir.Value]] = {value: [r] for value, r in start.items()}
    flow = Flow(dict(start))
    for node in reversed(nodes):
        here = {i: v for i, v in enumerate(node.outputs) if v in arriving}
        found = {i: flow.at.setdefault(v, add_all(ctx.op, arriving[v])) for i, v in here.items()}
        for step in _steps(ctx, node, found, rules):
            flow.steps.append(step)
            for value, part in step.parts:
                arriving.setdefault(value, []).append(part)
    for value, parts_here in arriving.items():  # where the walk ends: the inputs, or the section
        if value not in flow.at:
            flow.at[value] = add_all(ctx.op, parts_here)
    return flow


def _steps(ctx: Context, node: ir.Node, arrived: Mapping[int, ir.Value], rules: Lookup) -> Iterator[Step]:
    """Yield what a node's rule makes of the relevance at each of its outputs; of a loop all at once."""
    course = course_of(node) if arrived else None
    if course is not None:
        given = back_through(
            ctx, node, course, arrived, lambda inner, start, nodes: walk(inner, start, nodes, rules).at
        )
        yield Step(node, tuple((node.outputs[i], r) for i, r in arrived.items()), tuple(given))
        return
    for index, r in arrived.items():
        rule = share_among_ids if is_id_step(node) else rules(node)
        assert rule is not None
        parts = rule(ctx.at_output(index), node, r)
        if len(parts) != len(node.inputs):
            raise AssertionError(f"the rule of {op_name(node)} gave {len(parts)} parts for {len(node.inputs)} inputs")
        pairs = zip(node.inputs, parts, strict=True)
        kept = tuple((v, p) for v, p in pairs if v is not None and p is not None and ctx.graph.active(v))
        yield Step(node, ((node.outputs[index], r),), kept)


def share_among_ids(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Give what belongs to calculated ids to the ids they were calculated from, in equal parts where several were."""
    active = ctx.graph.active_inputs(node)
    share = r if len(active) == 1 else ctx.op.Div(r, float(len(active)))
    return [unbroadcast(ctx, share, node.outputs[0], v) if v in active and v is not None else None for v in node.inputs]


def check_rules(sections: Sequence[tuple[str, Sequence[ir.Node], Lookup]]) -> None:
    """Raise UnsupportedOp with every op that lacks a rule, and where it stands, before anything is emitted."""
    missing: dict[str, list[str]] = {}
    reasons: list[str] = []
    for what, nodes, rules in sections:
        for node in nodes:
            if rules(node) is None and not is_id_step(node):
                missing.setdefault(f"{op_name(node)} ({what})", []).append(str(node.name))
                reasons.append(why_not(node))
    if missing:
        count = len({what.partition(" ")[0] for what in missing})
        each = "; ".join(f"{op}: {_few(names)}" for op, names in sorted(missing.items()))
        known = " and ".join(dict.fromkeys(filter(None, reasons)))
        outside = "explain the model without looking inside (--method occlusion or --method rise)"
        todo = "write rules for them (see docs/custom-ops.md), name a later section behind them with --section, or "
        raise UnsupportedOp(
            f"No rule for {count} op{'s' if count > 1 else ''} between input and scores: {each}; "
            + (f"{known}: {outside}, or export one made of layers." if known else f"{todo}{outside}.")
        )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:3])
    return f"node {shown}" if len(names) == 1 else f"{len(names)} nodes, such as {shown}"


def feature_nodes(graph: Graph, section: ir.Value) -> list[ir.Node]:
    """Return the op nodes between the explained inputs and the section, in order."""
    return graph.between(graph.inputs, section)


def head_nodes(graph: Graph, section: ir.Value, logits: ir.Value) -> list[ir.Node]:
    """Return the op nodes between the section and the logits, in order."""
    return graph.between([section], logits)
