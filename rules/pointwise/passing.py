"""Ops that hand relevance on unchanged, and ops through which nothing flows."""

from __future__ import annotations

import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.op_facts import MICROSOFT, Data, Role, Sign, op_facts
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import Parts, moves, no_flow

op_facts("Identity", role=Role.OTHER, data=Data.KEEPS, sign=Sign.KEEPS, view=True)
op_facts("Dropout", role=Role.OTHER, data=Data.KEEPS, sign=Sign.KEEPS, view=True, random=True)
op_facts("Cast", "CastLike", role=Role.OTHER, data=Data.KEEPS, sign=Sign.KEEPS)
op_facts("DequantizeLinear", f"{MICROSOFT}DequantizeLinear", role=Role.OTHER, data=Data.QUANTISES,
         sign=Sign.KEEPS_NONNEGATIVE)  # fmt: skip

no_flow("Shape", "Size", reason="a shape says nothing about the pixels' values")
no_flow("ArgMax", "ArgMin", "NonZero", reason="indices have no gradient")
op_facts(
    "NonZero", "NonMaxSuppression", "Unique", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, finds=True
)  # fmt: skip
no_flow("Unique", reason="the different values are a set, of no length known before run time")
no_flow(
    "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "Xor", "IsNaN", "IsInf",
    reason="truth values have no gradient",
)  # fmt: skip
op_facts("RandomNormalLike", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, random=True)
no_flow("ConstantOfShape", "Range", "EyeLike", "RandomNormalLike", reason="the result depends on the shape alone")
no_flow("Sign", "Floor", "Ceil", "Round", reason="piecewise constant")


@moves("Identity", "Cast", "CastLike")
def hand_on(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Hand relevance on unchanged. A Cast changes the precision of values, not of relevance."""
    return [r] + [None] * (len(node.inputs) - 1)


@moves("Dropout")
def hand_on_what_stays(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Hand relevance on unchanged: at inference nothing is dropped. A Dropout that trains is refused."""
    flag = node.inputs[2] if len(node.inputs) > 2 else None
    trains = None if flag is None else ctx.constant(flag)
    if flag is not None and (trains is None or trains.any()):
        raise BadModel(
            f"The Dropout node {node.name!r} runs in training mode, so the scores are random; "
            "export the model in inference mode."
        )
    return [r] + [None] * (len(node.inputs) - 1)


@moves("DequantizeLinear", f"{MICROSOFT}DequantizeLinear")
def hand_through_dequantisation(ctx: Context, node: ir.Node, r: ir.Value) -> Parts:
    """Hand relevance on unchanged: integers carry what the numbers they stand for carry."""
    return [r] + [None] * (len(node.inputs) - 1)
