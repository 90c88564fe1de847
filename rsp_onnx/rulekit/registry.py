"""Which rule for which op: two tables (gradients and relevance) and the ops through which nothing flows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import onnx_ir as ir

from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph.op_facts import facts_of_op, op_name
from rsp_onnx.graph.rule_modules import load_all_rules, note_author

if TYPE_CHECKING:
    from .context import Context
    from .linear import LinearLayer

Parts: TypeAlias = "Sequence[ir.Value | None]"
Rule: TypeAlias = "Callable[[Context, ir.Node, ir.Value], Parts]"
Report: TypeAlias = "Callable[[Context, ir.Node], dict[str, object] | None]"
Totals: TypeAlias = "Callable[[Context, ir.Node, ir.Value, int], ir.Value | None]"
Linear: TypeAlias = "Callable[[Context, ir.Node], LinearLayer | None]"
R = TypeVar("R", bound=Callable[..., object])

_VJPS: dict[str, Rule] = {}
_RULES: dict[str, Rule] = {}
_FROZEN: dict[str, Rule] = {}
_LINEAR: dict[str, Linear] = {}
_TOTALS: dict[str, Totals] = {}
_NO_FLOW: dict[str, str] = {}
_NO_RULE: dict[str, str] = {}
_STATISTICS: dict[tuple[str, int], str] = {}
_REPORTS: dict[str, Report] = {}


def vjp(*ops: str) -> Callable[[R], R]:
    """Register a vector-Jacobian product: ``(ctx, node, g) -> [gradient or None per input]``.

    g has the shape [K, *shape of the node's first output]; every gradient [K, *shape of that input].
    """
    return _registrar(_VJPS, ops)


def frozen(*ops: str) -> Callable[[R], R]:
    """Register a gradient that holds the deviation a normalisation divides by constant; as ``vjp``.

    What tokens are worth is asked of it: the whole gradient is at right angles to whatever a normalisation reads, so
    that x·gradient is zero but for the normalisation's epsilon.
    """
    return _registrar(_FROZEN, ops)


def rule(*ops: str) -> Callable[[R], R]:
    """Register an RSP rule: ``(ctx, node, r) -> [relevance or None per input]``, shapes as for ``vjp``."""
    return _registrar(_RULES, ops)


def totals(*ops: str) -> Callable[[R], R]:
    """Register the gradient of an op summed over positions: ``(ctx, node, g, channels) -> [K, ..., channels] or None``.

    Asked where the sum costs less than the gradient; the op's first input holds so many channels, in front of their
    positions or flattened with them. None where this node's gradient must be walked.
    """
    return _registrar(_TOTALS, ops)


def linear(*ops: str) -> Callable[[R], R]:
    """Register what a linear op is: ``(ctx, node) -> LinearLayer``, or None where it is none, such as x·xᵀ."""
    return _registrar(_LINEAR, ops)


def moves(*ops: str) -> Callable[[R], R]:
    """Register one function as both: these ops move values, so relevance moves as gradients do."""

    def register(function: R) -> R:
        return rule(*ops)(vjp(*ops)(function))

    return register


def no_flow(*ops: str, reason: str) -> None:
    """List ops through which neither gradient nor relevance flows, and why."""
    note_author(sys._getframe(1).f_globals.get("__name__", ""))
    for op in ops:
        _refuse_twice(_NO_FLOW, op, reason)
        _NO_FLOW[op] = reason


def no_rule(*ops: str, reason: str) -> None:
    """List ops that cannot have a rule, and why: the error that names them says so."""
    note_author(sys._getframe(1).f_globals.get("__name__", ""))
    for op in ops:
        _refuse_twice(_NO_RULE, op, reason)
        _NO_RULE[op] = reason


def why_lost(op: str) -> str:
    """Return when an op's rule loses or makes relevance; empty where it should not."""
    facts = facts_of_op(op)
    return "" if facts is None else facts.loses


def why_not(node: ir.Node) -> str:
    """Return why a node's op has no rule and cannot have one; empty where it merely has none yet."""
    load_all_rules()
    return _NO_RULE.get(op_name(node), "")


def statistics(op: str, *outputs: int, reason: str) -> None:
    """List the outputs of an op out of which neither gradient nor relevance flows, and why; the others carry it."""
    note_author(sys._getframe(1).f_globals.get("__name__", ""))
    _STATISTICS.update({(op, index): reason for index in outputs})


def reports(*ops: str) -> Callable[[R], R]:
    """Register what ``inspect`` says of a node: ``(ctx, node) -> record or None``."""
    return _registrar(_REPORTS, ops)


def node_report(ctx: Context, node: ir.Node) -> dict[str, object] | None:
    """Return what there is to say of a node before it is compiled, such as the form chosen; None for most."""
    load_all_rules()
    found = _REPORTS.get(op_name(node))
    return found(ctx, node) if found is not None else None


def find_vjp(node: ir.Node) -> Rule | None:
    """Return the gradient rule of a node's op, if any."""
    load_all_rules()
    return _VJPS.get(op_name(node))


def find_frozen(node: ir.Node) -> Rule | None:
    """Return the gradient of a node's op with the deviations of normalisations held constant."""
    load_all_rules()
    return _FROZEN.get(op_name(node)) or find_vjp(node)


def find_totals(node: ir.Node) -> Totals | None:
    """Return the summed gradient of a node's op, if any."""
    load_all_rules()
    return _TOTALS.get(op_name(node))


def find_rule(node: ir.Node) -> Rule | None:
    """Return the RSP rule of a node's op, if any."""
    load_all_rules()
    return _RULES.get(op_name(node))


def apply_rule(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Apply the RSP rule of a node that another op's rule stands in for."""
    return _apply(_RULES, ctx, node, r)


def apply_vjp(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """Apply the gradient rule of a node that another op's rule stands in for."""
    return _apply(_VJPS, ctx, node, g)


def _apply(table: dict[str, Rule], ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    if op_name(node) not in table:
        raise UnsupportedOp(f"No rule for {op_name(node)}, which the node {node.name!r} computes.")
    return table[op_name(node)](ctx, node, r)


def linear_layer(ctx: Context, node: ir.Node) -> LinearLayer | None:
    """Return what a node is as a linear layer; None where it is none."""
    load_all_rules()
    describe = _LINEAR.get(op_name(node))
    return None if describe is None else describe(ctx, node)


def stops(node: ir.Node, output: int | None = None) -> bool:
    """Tell whether nothing flows through a node's op, or out of one of its outputs."""
    load_all_rules()
    return op_name(node) in _NO_FLOW or (op_name(node), output) in _STATISTICS


def says(node: ir.Node, *, relevance: bool) -> str:
    """Return what a node's relevance rule (or its gradient) does, in one sentence; empty where there is none."""
    load_all_rules()
    return _says(_RULES if relevance else _VJPS, op_name(node))


def _says(table: dict[str, Rule], op: str) -> str:
    if op in _NO_FLOW:
        return f"nothing flows: {_NO_FLOW[op]}"
    if op not in table:
        return ""
    return (table[op].__doc__ or table[op].__name__).strip().splitlines()[0].rstrip(".")


def _registrar(table: dict[str, Any], ops: Sequence[str]) -> Callable[[R], R]:
    def register(function: R) -> R:
        note_author(function.__module__)
        for op in ops:
            _refuse_twice(table, op, function)
            table[op] = function
        return function

    return register


def _refuse_twice(table: Mapping[str, Any], op: str, new: object) -> None:
    if op in table:
        first, second = getattr(table[op], "__module__", "?"), getattr(new, "__module__", "?")
        raise ValueError(f"{op} is registered twice, in {first} and in {second}; keep one")


def registered() -> list[tuple[str, str, str]]:
    """Return every op of the tables: (op, what its relevance rule does, what its gradient does)."""
    load_all_rules()
    return [(op, _says(_RULES, op), _says(_VJPS, op)) for op in sorted({*_VJPS, *_RULES, *_NO_FLOW})]


def refused() -> dict[str, str]:
    """Return the ops that cannot have a rule, and why."""
    load_all_rules()
    return dict(_NO_RULE)
