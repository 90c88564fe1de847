"""Classical models (the domain ai.onnx.ml): scaling, linear classifiers, normalisers; and what has no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph.op_facts import Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.numerics import safe_divide
from rsp_onnx.rulekit.registry import Parts, apply_rule, moves, no_flow, no_rule, rule, statistics, vjp

from ..pointwise.normalization import through_norm
from ..shared.reasons import UNSEEN

ML = "ai.onnx.ml::"
op_facts(ML + "Scaler", role=Role.ARITHMETIC, data=Data.COMPUTES, sign=Sign.ANY, affine=True)
op_facts(ML + "Imputer", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY)
op_facts(ML + "Normalizer", role=Role.NORMALISATION, data=Data.COMPUTES, sign=Sign.ANY)
op_facts(ML + "LinearClassifier", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, loses=UNSEEN)  # no hidden layer
op_facts(ML + "ArrayFeatureExtractor", role=Role.OTHER, data=Data.PICKS, sign=Sign.KEEPS)
op_facts(ML + "FeatureVectorizer", role=Role.OTHER, data=Data.JOINS, sign=Sign.KEEPS, data_inputs=None)

op_facts(ML + "LinearRegressor", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, loses=UNSEEN)

_TREES = "a decision tree is a step function and has no gradient"
_KERNELS = "a kernel machine compares with stored examples and has no layers"

for op, why in (
    ("TreeEnsembleClassifier", _TREES), ("TreeEnsembleRegressor", _TREES), ("TreeEnsemble", _TREES),
    ("SVMClassifier", _KERNELS), ("SVMRegressor", _KERNELS),
):  # fmt: skip
    no_rule(ML + op, reason=why)
no_flow(ML + "Binarizer", ML + "LabelEncoder", ML + "OneHotEncoder", reason="its output is a category")
statistics(ML + "LinearClassifier", 0, reason="its first output is a label")


@vjp(ML + "Scaler")
def scale_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·scale."""
    scale = np.asarray(cast("Sequence[float]", ctx.attr(node, "scale", [1.0])), np.float64)
    return [ctx.op.Mul(g, scale)]


@rule(ML + "Scaler", ML + "Imputer", ML + "Normalizer")
def pass_through(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Pass relevance unchanged: an elementwise affine map, or a norm taken as a constant (RSP §3)."""
    return [r]


@vjp(ML + "Imputer")
def keep_the_known(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g where the value was given, 0 where it was filled in."""
    missing, x = float(cast("float", ctx.attr(node, "replaced_value_float", 0.0))), ctx.read(node.inputs[0])
    filled = ctx.op.IsNaN(x) if np.isnan(missing) else ctx.op.Equal(x, missing)
    return [ctx.op.Where(filled, 0.0, g)]


@vjp(ML + "Normalizer")
def unnormalise(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """(g − ∂‖x‖·Σ g·y)/‖x‖ over the last axis; 0 where the norm is 0."""
    op, x, kind = ctx.op, ctx.read(node.inputs[0]), str(ctx.attr(node, "norm", "MAX"))
    last = [len(ctx.dims(node.inputs[0])) - 1]
    if kind == "MAX":
        norm = op.ReduceMax(x, last, keepdims=1)
        top = op.Cast(op.Equal(x, norm), to=int(op.type))
        slope = op.Div(top, op.ReduceSum(top, last, keepdims=1))
    elif kind == "L1":
        norm, slope = op.ReduceL1(x, last, keepdims=1), op.Sign(x)
    else:
        norm = op.ReduceL2(x, last, keepdims=1)
        slope = safe_divide(op, x, norm, nonnegative=True)
    return [through_norm(op, g, x, norm, slope, last[0])]


@vjp(ML + "LinearRegressor")
def regress_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g·W. A post-transform that ends the model is left out."""
    return [ctx.op.MatMul(_behind_transform(ctx, node, g), _regression(ctx, node)[0])]


@rule(ML + "LinearRegressor")
def propagate_regression(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """As a dense layer."""
    return _as_dense(ctx, node, r, *_regression(ctx, node))


def _regression(ctx: Context, node: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    """Return (weights [targets, features], bias [targets])."""
    targets = cast("int", ctx.attr(node, "targets", 1))
    weights = np.asarray(cast("Sequence[float]", ctx.attr(node, "coefficients")), np.float64).reshape(targets, -1)
    return weights, np.asarray(cast("Sequence[float]", ctx.attr(node, "intercepts", [0.0] * targets)), np.float64)


@vjp(ML + "LinearClassifier")
def classify_back(ctx: Context, node: ir.Node, g: ir.Value) -> Parts:
    """g'·W, g' behind the post-transform; one that ends the model is left out."""
    op, (weights, _) = ctx.op, _layer(ctx, node)
    return [op.MatMul(_behind_transform(ctx, node, g), weights)]


@rule(ML + "LinearClassifier")
def propagate_linear(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """As a dense layer."""
    return _as_dense(ctx, node, r, *_layer(ctx, node))


def _as_dense(ctx: Context, node: ir.Node, r: ir.Value, weights: np.ndarray, bias: np.ndarray) -> Parts:
    twin = ctx.stand_in(node, "Gemm", [node.inputs[0], weights.T.copy(), bias])
    twin.outputs[0].shape = node.outputs[-1].shape
    return [apply_rule(ctx, twin, r)[0]]


def _layer(ctx: Context, node: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    """Return (weights [classes, features], bias [classes]); one row stands for two classes of opposite sign."""
    features = ctx.sizes(node.inputs[0])[-1]
    weights = np.asarray(cast("Sequence[float]", ctx.attr(node, "coefficients")), np.float64).reshape(-1, features)
    bias = np.asarray(cast("Sequence[float]", ctx.attr(node, "intercepts", np.zeros(len(weights)))), np.float64)
    if len(weights) == 1 and ctx.dims(node.outputs[1])[-1] == 2:
        return np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
    return weights, bias


def _behind_transform(ctx: Context, node: ir.Node, g: ir.Value) -> ir.Value:
    op, kind, y = ctx.op, str(ctx.attr(node, "post_transform", "NONE")), node.outputs[-1]
    if kind == "NONE" or not ctx.graph.consumers(y):
        return g
    p = ctx.read(y)
    if kind == "LOGISTIC":
        return op.Mul(g, op.Mul(p, op.Sub(1.0, p)))
    if kind == "SOFTMAX":
        along = op.ReduceSum(op.Mul(g, p), [len(ctx.dims(y))], keepdims=1)
        return op.Mul(p, op.Sub(g, along))
    raise UnsupportedOp(f"No gradient for the {kind} behind the {node.op_type} node {node.name!r}.")


@moves(ML + "ArrayFeatureExtractor")
def put_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Put the columns back where they were taken from."""
    source, op = node.inputs[0], ctx.op
    columns = ctx.need_constant(node, 1).reshape(-1)
    select = np.zeros((len(columns), ctx.sizes(source)[-1]))
    select[np.arange(len(columns)), columns] = 1.0
    assert source is not None
    wide = op.Reshape(r, op.Concat(ctx.front, [-1, len(columns)], axis=0))
    return [ctx.like(op.MatMul(wide, select), source), None]


@moves(ML + "FeatureVectorizer")
def split_back(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Give each part its columns."""
    widths = cast("Sequence[int]", ctx.attr(node, "inputdimensions"))
    parts = ctx.op.emit_many("Split", r, list(widths), outputs=len(widths), axis=2)
    return list(parts)
