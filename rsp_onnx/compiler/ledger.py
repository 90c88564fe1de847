"""Where relevance is on its way down: the sum at every tensor, and what every node made or lost."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from rsp_onnx.graph.op_facts import op_name
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import add_all, per_sample

from .walk import Flow, Step


class Ledger:
    """Emits the sums of a walk, each tensor's once."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._sums: dict[ir.Value, ir.Value] = {}

    def tensors(self, flow: Flow) -> tuple[ir.Value, list[str]]:
        """Return the sums [L, K, N] of all tensors relevance passed, and their names."""
        known = [(value, r) for value, r in flow.at.items() if self._is_per_sample(value)]
        return self._stack(self._sum(value, r) for value, r in known), [str(value.name) for value, _ in known]

    def nodes(self, flow: Flow, start: ir.Value) -> tuple[ir.Value, list[tuple[str, str]]]:
        """Return what every node gained [1+L, K, N] (first Σ|R₀| of the start), and (name, op) of each node."""
        op, mass = self._ctx.op, self._ctx.op.Abs(flow.at[start])
        rows, names = [self._sum(start, mass)], []
        for step in flow.steps:
            if self._moves(step) or not all(self._is_per_sample(v) for v, _ in (*step.arrived, *step.parts)):
                continue
            left, arrived = ([self._sum(*pair) for pair in side] for side in (step.parts, step.arrived))
            got = add_all(op, arrived)
            rows.append(op.Sub(add_all(op, left), got) if left else op.Neg(got))
            names.append((str(step.node.name or step.arrived[0][0].name), op_name(step.node)))
        return self._stack(rows), names

    def _moves(self, step: Step) -> bool:
        """Tell of a node that hands on the very tensor it got."""
        return [part for _, part in step.parts] == [r for _, r in step.arrived]

    def _is_per_sample(self, value: ir.Value) -> bool:
        """Tell whether a tensor's samples can be told apart without the nodes around it."""
        return self._ctx.graph.batch is not None or leads_with_batch(value)

    def _sum(self, value: ir.Value, r: ir.Value) -> ir.Value:
        if r not in self._sums:
            op = self._ctx.op
            total = per_sample(self._ctx, r, len(self._ctx.dims(value)))
            self._sums[r] = op.Reshape(total, op.Concat([1], self._ctx.front, [-1], axis=0))
        return self._sums[r]

    def _stack(self, rows: Iterable[ir.Value]) -> ir.Value:
        return self._ctx.op.Concat(*rows, axis=0)
