"""Two ways to compute one tensor, chosen at run time: an If of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context

Way = Callable[[Context], ir.Value]


def either(ctx: Context, condition: ir.Value, first: Way, second: Way) -> ir.Value:
    """Return what ``first`` emits where the condition, a single bool, holds, else what ``second`` does.

    Both read tensors from outside; only what is chosen is computed.
    """
    then, other = _body(ctx, "then", first), _body(ctx, "else", second)
    return ctx.op.If(condition, then_branch=then, else_branch=other)


def _body(ctx: Context, word: str, emit: Way) -> ir.Graph:
    name = ctx.op.fresh(word)
    graph = ir.Graph([], [], nodes=[], opset_imports=dict(ctx.op.graph.opset_imports), name=name)
    op = Emitter(graph, ctx.op.dtype, word=name)
    result = op.emit("Identity", emit(replace(ctx, op=op)))
    result.dtype = op.type
    graph.outputs.append(result)
    return graph
