"""Lowering new opsets to one that more runtimes know, where no node needs what came later."""

from __future__ import annotations

import onnx.defs
import onnx_ir as ir

from rsp_onnx.graph.op_facts import STANDARD

WIDELY_KNOWN = (
    21  # the last for which CUDA has kernels of MaxPool, Elu, Selu and others; all that ONNX Runtime 1.20 has
)


def lower_opset(model: ir.Model) -> None:
    """Declare ``WIDELY_KNOWN`` in place, if every node means the same there.

    Most ops' later versions differ by the dtypes they take, yet a runtime looks its kernels up by version.
    """
    imports = model.graph.opset_imports
    declared = [domain for domain in STANDARD if imports.get(domain, 0) > WIDELY_KNOWN]
    if declared and all(_means_the_same(node) for node in model.graph.all_nodes() if node.domain in STANDARD):
        imports.update(dict.fromkeys(declared, WIDELY_KNOWN))


def _means_the_same(node: ir.Node) -> bool:
    """Tell whether the op existed, with all that this node says: attributes, as many inputs, of these dtypes."""
    try:
        known = onnx.defs.get_schema(node.op_type, WIDELY_KNOWN, "")
    except onnx.defs.SchemaError:
        return False
    fits = len(node.inputs) <= known.max_input and set(node.attributes) <= set(known.attributes)
    return fits and all(_is_allowed(known, i, v) for i, v in enumerate(node.inputs) if v is not None)


def _is_allowed(known: onnx.defs.OpSchema, index: int, value: ir.Value) -> bool:
    formal = known.inputs[min(index, len(known.inputs) - 1)]
    return value.dtype is None or f"tensor({value.dtype.name.lower()})" in formal.types
