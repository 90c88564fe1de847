"""Canonizing: rewrites of what the walk sees. The outputs stay equal, bit for bit where the opset stays."""

from __future__ import annotations

import logging
import warnings
from functools import partial

import numpy as np
import onnx
import onnx.defs
import onnx_ir as ir
import onnxscript.version_converter
from onnx_ir.passes.common import (
    InlinePass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
    TopologicalSortPass,
)

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.fold import fold_node
from rsp_onnx.graph.upward import Asking, answer
from rsp_onnx.model.load import Model

LOWEST_OPSET = 18  # below it ScatterElements cannot add and reductions take no axes input
_HIGHEST_IR = 10
_GENERATED = ("gemm_input_shape", "gemm_output_shape")  # of the reshapes around a MatMul fused with its bias
_LOG = logging.getLogger(__name__)


def canonize(model: Model) -> ir.Model:
    """Return a rewritten copy of a model whose outputs are equal.

    Local functions are inlined, Constant nodes become initializers, initializers that are also graph
    inputs are no inputs any more, opsets below 18 are lifted, Dropout (outside training) and Identity are dropped.

    Raises
    ------
    BadModel
        The model's opset cannot be lifted.
    """
    work = model.ir.clone()
    work.graph.opset_imports.setdefault("", 1)
    for step in (
        InlinePass(),
        RemoveInitializersFromInputsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    ):
        step(work)
    work = _lift(work, model.title)
    _drop_dropout(work.graph)
    _drop_identities(work.graph)
    for cleanup in (RemoveUnusedNodesPass(), NameFixPass(), TopologicalSortPass()):
        cleanup(work)
    _rename_generated(work.graph)
    work.ir_version = max(work.ir_version, min(_HIGHEST_IR, 8))
    return work


def _rename_generated(graph: ir.Graph) -> None:
    """Rename constants that ONNX Runtime named when it saved the model: it fails where it makes the name again."""
    for name, value in list(graph.initializers.items()):
        if name.startswith(_GENERATED):
            del graph.initializers[name]
            value.name = f"saved/{name}"
            graph.register_initializer(value)


def _lift(model: ir.Model, title: str) -> ir.Model:
    version = model.graph.opset_imports[""]
    if version >= LOWEST_OPSET:
        return model
    if not all(_known(node, version) for node in model.graph):  # such as ONNX Runtime saves
        if not all(_keeps_meaning(node, version) for node in model.graph):
            raise BadModel(_lift_message(title, version))
        model.graph.opset_imports[""] = LOWEST_OPSET
        return model
    _fold_training(model)
    types = _types(model)
    log = logging.getLogger("onnxscript.version_converter")
    level = log.level
    try:
        log.setLevel(logging.ERROR)  # it announces the fall-back to onnx's own converter, which is what we want
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter warns of nodes it leaves as they are
            onnxscript.version_converter.convert_version(model, LOWEST_OPSET, fallback=True)
    except Exception as error:  # the converter raises several unrelated types
        raise BadModel(_lift_message(title, version)) from error
    finally:
        log.setLevel(level)
    if model.graph.opset_imports[""] < LOWEST_OPSET:
        raise BadModel(_lift_message(title, version))
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _retype_bounds(model.graph, types)
    return model


def _fold_training(model: ir.Model) -> None:
    """Compute BatchNormalization nodes that train on constants: so TorchScript writes standardised weights.

    They keep no meaning in later opsets. ONNX Runtime computes them, as it would when it loads the file.
    """
    for node in list(model.graph):
        if node.op_type != "BatchNormalization" or not (
            len(node.outputs) > 1 or node.attributes.get_int("training_mode", 0) == 1
        ):
            continue
        value = node.outputs[0]
        array = answer(value, partial(_computed, dict(model.graph.opset_imports)), {})
        if array is None:
            continue
        constant = ir.Value(name=f"{value.name}/folded", const_value=ir.tensor(array), shape=ir.Shape(array.shape))
        constant.dtype = ir.DataType.from_numpy(array.dtype)
        model.graph.register_initializer(constant)
        value.replace_all_uses_with(constant)
        if not any(v.uses() or v.is_graph_output() for v in node.outputs):
            model.graph.remove(node, safe=True)


def _computed(opsets: dict[str, int], value: ir.Value) -> Asking[ir.Value, np.ndarray | None]:
    """Return the number a constant expression stands for; None where it depends on an input."""
    if value.const_value is not None and not value.is_graph_input():
        return value.const_value.numpy()
    node = value.producer()
    if node is None:
        return None
    arrays: list[np.ndarray | None] = []
    for source in node.inputs:
        arrays.append(None if source is None else (yield source))
        if source is not None and arrays[-1] is None:
            return None
    return fold_node(node, opsets, arrays, runtime_first=True)[value.index() or 0]


def _known(node: ir.Node, version: int) -> bool:
    return node.domain not in ("", "ai.onnx") or onnx.defs.has(node.op_type, version, "")


def _keeps_meaning(node: ir.Node, version: int) -> bool:
    """Tell whether a node means the same at the lowest opset: its op has only gained types, inputs and attributes."""
    if node.domain not in ("", "ai.onnx"):
        return True
    if not onnx.defs.has(node.op_type, LOWEST_OPSET, ""):
        return False
    if not _known(node, version):
        return True
    old, new = (onnx.defs.get_schema(node.op_type, v, "") for v in (version, LOWEST_OPSET))
    if old.since_version == new.since_version:
        return True
    if version < 13 or (node.op_type == "Split" and len(node.inputs) < 2):  # axes, and how many parts, said otherwise
        return False
    names = [[p.name for p in schema.inputs] for schema in (old, new)]
    same = all(n in new.attributes and _default(old, n) == _default(new, n) for n in old.attributes)
    return same and names[1][: len(names[0])] == names[0] and len(old.outputs) == len(new.outputs)


def _default(schema: onnx.defs.OpSchema, name: str) -> bytes:
    return bytes(schema.attributes[name].default_value.SerializeToString())


def _types(model: ir.Model) -> dict[str | None, ir.DataType]:
    """Return the inferred dtype of every node output, by name."""
    inferred = model.clone()
    try:
        ShapeInferencePass(check_type=False, strict_mode=False)(inferred)
    except Exception as error:  # without types the converter's float32 constants stay
        _LOG.debug("type inference failed: %s", error)
    return {v.name: v.dtype for node in inferred.graph for v in node.outputs if v.dtype is not None}


def _retype_bounds(graph: ir.Graph, types: dict[str | None, ir.DataType]) -> None:
    """Give what were float attributes (Clip's bounds, Pad's value) the dtype of the tensor they belong to."""
    for node in graph:
        wanted = types.get(node.outputs[0].name)
        if node.op_type not in ("Clip", "Pad") or wanted is None or not wanted.is_floating_point():
            continue
        for slot in range(1, len(node.inputs)):
            bound = node.inputs[slot]
            if bound is None or bound.const_value is None or bound.dtype != ir.DataType.FLOAT or bound.dtype == wanted:
                continue
            array = bound.const_value.numpy().astype(wanted.numpy())
            typed = ir.Value(name=f"{node.outputs[0].name}/bound_{slot}", const_value=ir.tensor(array))
            typed.dtype, typed.shape = wanted, ir.Shape(array.shape)
            graph.register_initializer(typed)
            node.replace_input_with(slot, typed)


def _lift_message(title: str, version: int) -> str:
    return (
        f"{title} uses opset {version}, which cannot be lifted to {LOWEST_OPSET}; "
        f"export the model again with opset {LOWEST_OPSET} or later."
    )


def _drop_dropout(graph: ir.Graph) -> None:
    """Take Dropout nodes out: at inference they are the identity. One that trains is left and refused later."""
    for node in list(graph):
        if node.op_type != "Dropout" or node.domain not in ("", "ai.onnx"):
            continue
        mask_used = len(node.outputs) > 1 and bool(node.outputs[1].uses() or node.outputs[1].is_graph_output())
        source, result = node.inputs[0], node.outputs[0]
        if mask_used or source is None or result.is_graph_output() or _trains(node):
            continue
        result.replace_all_uses_with(source)
        graph.remove(node, safe=True)


def _drop_identities(graph: ir.Graph) -> None:
    """Take Identity nodes out, but not those that give an output of its own to an input, constant or other output.

    onnx_ir's pass would also take them out of the bodies of If and Loop, whose outputs need nodes of their own.
    """
    for node in list(graph):
        source, result = node.inputs[0] if node.inputs else None, node.outputs[0]
        if node.op_type != "Identity" or node.domain not in ("", "ai.onnx") or source is None:
            continue
        if result.is_graph_output():
            if source.is_graph_input() or source.is_initializer() or source.is_graph_output():
                continue
            source.name, result.name = result.name, None
            source.shape, source.type = result.shape or source.shape, result.type or source.type
        result.replace_all_uses_with(source, replace_graph_outputs=True)
        graph.remove(node, safe=True)


def _trains(node: ir.Node) -> bool:
    flag = node.inputs[2] if len(node.inputs) > 2 else None
    if flag is None:
        return False
    return flag.const_value is None or bool(flag.const_value.numpy())
