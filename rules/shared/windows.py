"""Overlapping windows along one axis: what every entry of every window gives is laid over each other."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.numerics import add_all, pad


def overlay(
    op: Emitter, parts: Sequence[ir.Value], out: int, behind: int, stride: int, dilation: int, length: int
) -> ir.Value:
    """Add the k-th part of window o at o·stride + k·dilation: [B, out, behind] each → [B, length, behind].

    Adjoint of taking the parts by Slices with a step; length: at least what the windows cover.
    """
    rows, phases = -(-length // stride), []
    for phase in range(stride):
        shifts = [(k * dilation // stride, part) for k, part in enumerate(parts) if k * dilation % stride == phase]
        terms = [pad(op, part, [0, s, 0], [0, rows - s - out, 0]) for s, part in shifts]
        if not terms:  # the stride leaves positions out
            terms = [op.Mul(pad(op, parts[0], [0, 0, 0], [0, rows - out, 0]), 0.0)]
        phases.append(add_all(op, terms))
    if stride == 1:
        return phases[0]
    woven = op.Concat(*(op.Reshape(p, [-1, rows, 1, behind]) for p in phases), axis=2)
    woven = op.Reshape(woven, [-1, rows * stride, behind])
    return woven if rows * stride == length else op.Slice(woven, [0], [length], [1])
