"""Which ops are known, and what their rules do."""

from __future__ import annotations

from rsp_onnx.rewrite.registry import expanded_ops
from rsp_onnx.rulekit.registry import refused, registered


def supported_ops() -> list[dict[str, str]]:
    """Return the ops: one record of op, relevance, gradient (what the rule does) each, by name.

    Ops that are written out in others before the walk, and those that cannot have a rule, say so in both.
    """
    rows = [{"op": op, "relevance": relevance, "gradient": gradient} for op, relevance, gradient in registered()]
    beside = {op: f"expanded: {how}" for op, how in expanded_ops().items()}
    beside |= {op: f"not supported: {why}" for op, why in refused().items()}
    rows += [{"op": op, "relevance": does, "gradient": does} for op, does in beside.items()]
    return sorted(rows, key=lambda row: row["op"])
