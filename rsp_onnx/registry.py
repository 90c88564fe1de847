"""Which rule for which op: two tables (gradients and relevance) and the ops through which nothing flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import onnx_ir as ir

from .graph import op_name

if TYPE_CHECKING:
    from .context import Context

Parts: TypeAlias = "Sequence[ir.Value | None]"
Rule: TypeAlias = "Callable[[Context, ir.Node, ir.Value], Parts]"
Report: TypeAlias = "Callable[[Context, ir.Node], dict[str, object] | None]"
R = TypeVar("R", bound=Callable[..., object])

_VJPS: dict[str, Rule] = {}
_RULES: dict[str, Rule] = {}
_NO_FLOW: dict[str, str] = {}
_STATISTICS: dict[tuple[str, int], str] = {}
_REPORTS: dict[str, Report] = {}


def vjp(*ops: str) -> Callable[[R], R]:
    """Register a vector-Jacobian product: ``(ctx, node, g) -> [gradient or None per input]``.

    g has the shape [K, *shape of the node's first output]; every gradient [K, *shape of that input].
    """
    return _registrar(_VJPS, ops)


def rule(*ops: str) -> Callable[[R], R]:
    """Register an RSP rule: ``(ctx, node, r) -> [relevance or None per input]``, shapes as for ``vjp``."""
    return _registrar(_RULES, ops)


def moves(*ops: str) -> Callable[[R], R]:
    """Register one function as both: these ops move values, so relevance moves as gradients do."""

    def register(function: R) -> R:
        return rule(*ops)(vjp(*ops)(function))

    return register


def no_flow(*ops: str, reason: str) -> None:
    """List ops through which neither gradient nor relevance flows, and why."""
    for op in ops:
        _refuse_twice(_NO_FLOW, op, reason)
        _NO_FLOW[op] = reason


def statistics(op: str, *outputs: int, reason: str) -> None:
    """List the outputs of an op out of which neither gradient nor relevance flows, and why; the others carry it."""
    _STATISTICS.update({(op, index): reason for index in outputs})


def reports(*ops: str) -> Callable[[R], R]:
    """Register what ``inspect`` says of a node: ``(ctx, node) -> record or None``."""
    return _registrar(_REPORTS, ops)


def node_report(ctx: Context, node: ir.Node) -> dict[str, object] | None:
    """Return what there is to say of a node before it is compiled, such as the form chosen; None for most."""
    _tables()
    found = _REPORTS.get(op_name(node))
    return found(ctx, node) if found is not None else None


def find_vjp(node: ir.Node) -> Rule | None:
    """Return the gradient rule of a node's op, if any."""
    return _tables()[0].get(op_name(node))


def find_rule(node: ir.Node) -> Rule | None:
    """Return the RSP rule of a node's op, if any."""
    return _tables()[1].get(op_name(node))


def stops(node: ir.Node, output: int | None = None) -> bool:
    """Tell whether nothing flows through a node's op, or out of one of its outputs."""
    return op_name(node) in _tables()[2] or (op_name(node), output) in _STATISTICS


def supported_ops() -> list[dict[str, str]]:
    """Return the supported ops: one record of op, relevance, gradient (what the rule does) each, by name."""
    vjps, rules, none = _tables()
    ops = sorted(set(vjps) | set(rules) | set(none))
    return [{"op": op, "relevance": _says(rules, none, op), "gradient": _says(vjps, none, op)} for op in ops]


def _says(table: dict[str, Rule], none: dict[str, str], op: str) -> str:
    if op in none:
        return f"nothing flows: {none[op]}"
    if op not in table:
        return ""
    return (table[op].__doc__ or table[op].__name__).strip().splitlines()[0].rstrip(".")


def _registrar(table: dict[str, Any], ops: Sequence[str]) -> Callable[[R], R]:
    def register(function: R) -> R:
        for op in ops:
            _refuse_twice(table, op, function)
            table[op] = function
        return function

    return register


def _refuse_twice(table: Mapping[str, Any], op: str, new: object) -> None:
    if op in table:
        first, second = getattr(table[op], "__module__", "?"), getattr(new, "__module__", "?")
        raise ValueError(f"{op} is registered twice, in {first} and in {second}; keep one")


@cache
def _tables() -> tuple[dict[str, Rule], dict[str, Rule], dict[str, str]]:
    import_module("rsp_onnx.rules")
    return _VJPS, _RULES, _NO_FLOW
