"""Where relevance is on its way down: the sum at every tensor, and what every node made or lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.graph.op_facts import op_name
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import add_all, per_sample
from rsp_onnx.rulekit.registry import why_lost

from .walk import Flow, Step

NOTICED = 1e-3  # of the relevance at the start, in absolute value: what a node may make or lose unmentioned


@dataclass(frozen=True)
class Loss:
    """A node that does not hand on what it got.

    Attributes
    ----------
    gained : float
        Relevance of its inputs minus relevance of its outputs, as a share of Σ|R₀|, the relevance at the start.
    reason : str
        Why an op of this kind may do so.
    """

    node: str
    op: str
    gained: float
    reason: str


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


def losses(balance: dict[str, tuple[str, float]], mass: float) -> tuple[Loss, ...]:
    """Return the nodes that made or lost more than ``NOTICED``, the largest first.

    Parameters
    ----------
    balance : dict
        By node name: its op, and what it gained.
    mass : float
        Σ|R₀|.
    """
    if not mass > 0:
        return ()
    gains = [Loss(n, op, gained / mass, why_lost(op)) for n, (op, gained) in balance.items()]
    return tuple(sorted((f for f in gains if abs(f.gained) > NOTICED), key=lambda f: -abs(f.gained)))
