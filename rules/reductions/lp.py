"""Norms, logarithms and products over axes and windows."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.nodes import attributes
from rsp_onnx.graph.op_facts import Data, Layout, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import adjoint_convolve, window
from rsp_onnx.rulekit.numerics import EPSILON, safe_divide
from rsp_onnx.rulekit.registry import Parts, rule, vjp

from .reduction import expand_back, reduced_axes

op_facts("ReduceL1", "ReduceL2", role=Role.POOL, data=Data.COMPUTES, sign=Sign.NONNEGATIVE, deviation=True)
op_facts("ReduceSumSquare", "GlobalLpPool", role=Role.POOL, data=Data.COMPUTES, sign=Sign.NONNEGATIVE)
op_facts("ReduceLogSum", "ReduceLogSumExp", role=Role.POOL, data=Data.COMPUTES, sign=Sign.ANY)
op_facts("ReduceProd", role=Role.POOL, data=Data.COMPUTES, sign=Sign.KEEPS_NONNEGATIVE)
op_facts("LpPool", role=Role.POOL, data=Data.COMPUTES, sign=Sign.NONNEGATIVE, layout=Layout.CHANNELS_FIRST)

_POWERS = {"ReduceL1": 1, "ReduceL2": 2, "ReduceSumSquare": 2}


@vjp("ReduceL1", "ReduceL2")
def norm(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·sign(x)·(|x|/y)^(p−1), 0 where the norm y is 0."""
    p, (axes, _) = _power(node), reduced_axes(ctx, node)
    scaled = g if p == 1 else safe_divide(ctx.op, g, _raise(ctx, ctx.read(node.outputs[0]), p - 1), nonnegative=True)
    return _only(node, ctx.op.Mul(expand_back(ctx, node, scaled, axes), _slope(ctx, ctx.read(node.inputs[0]), p)))


@vjp("ReduceSumSquare")
def twice(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """2·g·x."""
    wide = expand_back(ctx, node, g, reduced_axes(ctx, node)[0])
    return _only(node, ctx.op.Mul(wide, ctx.op.Mul(ctx.read(node.inputs[0]), 2.0)))


@vjp("ReduceLogSumExp", "ReduceLogSum")
def divide_by_sum(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·exp(x−y) for a logarithm of summed exponentials, g/Σx for the logarithm of a sum."""
    op, (axes, _) = ctx.op, reduced_axes(ctx, node)
    if node.op_type == "ReduceLogSum":
        return _only(node, expand_back(ctx, node, op.Div(g, op.Exp(ctx.read(node.outputs[0]))), axes))
    return _only(node, op.Mul(expand_back(ctx, node, g, axes), _softmax(ctx, node, axes)))


@vjp("ReduceProd")
def product_of_others(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g times the product of the other factors, also where some are 0."""
    op, x, axes = ctx.op, ctx.read(node.inputs[0]), list(reduced_axes(ctx, node)[0])
    zero = op.Cast(op.Equal(x, 0.0), to=int(op.type))
    rest = op.Add(x, zero)  # a zero counts as 1 here, and its presence below
    others = op.Div(op.ReduceProd(rest, axes, keepdims=1, noop_with_empty_axes=1), rest)
    none = op.Less(op.Sub(op.ReduceSum(zero, axes, keepdims=1, noop_with_empty_axes=1), zero), 0.5)
    return _only(node, op.Mul(expand_back(ctx, node, g, tuple(axes)), op.Where(none, others, 0.0)))


@rule("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum")
def share_by_size(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by |x|^p, p the norm's power; by [x]₊ for the logarithm of a sum; 1e-9 added to each."""
    op, (axes, _), x = ctx.op, reduced_axes(ctx, node), ctx.read(node.inputs[0])
    size = op.Relu(x) if node.op_type == "ReduceLogSum" else _raise(ctx, op.Abs(x), _power(node))
    size = op.Add(size, EPSILON)
    total = op.ReduceSum(size, list(axes), keepdims=1, noop_with_empty_axes=1)
    return _only(node, op.Mul(expand_back(ctx, node, r, axes), op.Div(size, total)))


@rule("ReduceLogSumExp")
def share_by_exponential(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by exp(x), a softmax: the largest entry takes most, as of a maximum."""
    return divide_by_sum(ctx, node, r)


@rule("ReduceProd")
def share_evenly(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r evenly among the factors, as of a product of two signals."""
    axes, sizes = reduced_axes(ctx, node)
    return _only(node, expand_back(ctx, node, ctx.op.Div(r, float(math.prod(sizes))), axes))


@vjp("LpPool")
def norm_of_window(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·sign(x)·(|x|/y)^(p−1) in every window, added up; 0 where the norm y is 0."""
    p, y = _power(node), ctx.read(node.outputs[0])
    if ctx.attr(node, "ceil_mode", 0):  # the runtime's shape inference may count one window too many (shapes.py)
        y = ctx.op.Reshape(y, [-1, *ctx.sizes(node.outputs[0])])
    scaled = g if p == 1 else safe_divide(ctx.op, g, _raise(ctx, y, p - 1), nonnegative=True)
    return [ctx.op.Mul(_spread(ctx, node, scaled), _slope(ctx, ctx.read(node.inputs[0]), p))]


@rule("LpPool")
def share_window_by_size(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by |x|^p in its window, 1e-9 added to |x|: a window of zeros shares evenly."""
    op, p = ctx.op, _power(node)
    x = op.Add(op.Abs(ctx.read(node.inputs[0])), EPSILON)
    same = attributes(node)
    z = op.Reshape(op.emit("LpPool", x, **same), [-1, *ctx.sizes(node.outputs[0])])
    share = safe_divide(op, r, _raise(ctx, z, p), nonnegative=True)
    return [op.Mul(_spread(ctx, node, share), _raise(ctx, x, p))]


@vjp("GlobalLpPool")
def norm_of_space(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·sign(x)·(|x|/y)^(p−1) at every position; 0 where the norm y is 0."""
    p, y = _power(node), ctx.read(node.outputs[0])
    scaled = g if p == 1 else safe_divide(ctx.op, g, _raise(ctx, y, p - 1), nonnegative=True)
    return [ctx.op.Mul(scaled, _slope(ctx, ctx.read(node.inputs[0]), p))]


@rule("GlobalLpPool")
def share_space_by_size(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Share r by |x|^p over all positions, 1e-9 added to |x|."""
    op, x = ctx.op, ctx.read(node.inputs[0])
    size = _raise(ctx, op.Add(op.Abs(x), EPSILON), _power(node))
    total = op.ReduceSum(size, list(range(2, len(ctx.dims(node.inputs[0])))), keepdims=1)
    return [op.Mul(r, op.Div(size, total))]


def _spread(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    """Copy g over its windows and add up where they overlap: the adjoint of a sum over windows."""
    channels, *size = ctx.sizes(node.inputs[0])
    kernel = tuple(cast("list[int]", ctx.attr(node, "kernel_shape")))
    w = window(node, kernel, tuple(size), tuple(ctx.sizes(node.outputs[0])[1:]))
    flat = ctx.merge(g, (1, *w.out))
    return ctx.part(adjoint_convolve(ctx.op, flat, np.ones((1, 1, *kernel)), w, 1), channels, *size)


def _power(node: ir.Node) -> int:
    return _POWERS[node.op_type] if node.op_type in _POWERS else node.attributes.get_int("p", 2)


def _raise(ctx: Context, x: ir.Value, p: int) -> ir.Value:
    """x^p for x ≥ 0."""
    if p == 1:
        return x
    return ctx.op.Mul(x, x) if p == 2 else ctx.op.Pow(x, float(p))


def _slope(ctx: Context, x: ir.Value, p: int) -> ir.Value:
    """sign(x)·|x|^(p−1)."""
    if p == 2:
        return x
    sign = ctx.op.Sign(x)
    return sign if p == 1 else ctx.op.Mul(sign, _raise(ctx, ctx.op.Abs(x), p - 1))


def _softmax(ctx: Context, node: ir.Node, axes: tuple[int, ...]) -> ir.Value:
    """exp(x − y), y the logarithm of the summed exponentials."""
    shape = [1 if i in axes else (-1 if d is None else d) for i, d in enumerate(ctx.dims(node.inputs[0]))]
    return ctx.op.Exp(ctx.op.Sub(ctx.read(node.inputs[0]), ctx.op.Reshape(ctx.read(node.outputs[0]), shape)))


def _only(node: ir.Node, back: ir.Value) -> Parts:
    return [back] + [None] * (len(node.inputs) - 1)
