"""Lifting old opsets to the lowest that the rules know. BatchNormalization that trains takes a way of its own."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.version_converter
import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
    ShapeInferencePass,
)

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.fold import fold_node
from rsp_onnx.graph.upward import Asking, answer

LOWEST_OPSET = 18  # below it ScatterElements cannot add and reductions take no axes input
_TRAINING_MODE = 14  # the opset since which an attribute says so; before it, having more than one output
_IS_TEST = 7  # the opset below which an attribute said the contrary
_LARGE = 1000  # numbers of a weight that the converter does not get
_HIDDEN = "rsp_onnx.as_it_is"  # a domain whose nodes converters leave alone
_LOG = logging.getLogger(__name__)


def lift(model: ir.Model, title: str) -> ir.Model:
    """Return the model at the lowest opset known, or later.

    Raises
    ------
    BadModel
        It cannot be lifted.
    """
    version = model.graph.opset_imports[""]
    if version >= LOWEST_OPSET:
        return model
    if not all(_known(node, version) for node in model.graph):  # such as ONNX Runtime saves
        if not all(_keeps_meaning(node, version) for node in model.graph):
            raise BadModel(_lift_message(title, version))
        model.graph.opset_imports[""] = LOWEST_OPSET
        return model
    _fold_training(model, version)
    types = _types(model)
    _hide_training(model, version)
    _convert(model, title, version)
    _show_hidden(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _retype_bounds(model.graph, types)
    return model


def _convert(model: ir.Model, title: str, version: int) -> None:
    try:
        converted = onnx.version_converter.convert_version(ir.to_proto(_without_large(model)), LOWEST_OPSET)
    except Exception as error:  # the converter raises several unrelated types
        raise BadModel(_lift_message(title, version)) from error
    count, weights = len(model.graph.inputs), {name: v.const_value for name, v in model.graph.initializers.items()}
    model.graph = ir.from_proto(converted).graph
    for value in model.graph.inputs:
        if value.name in weights:
            value.const_value = weights[value.name]
            model.graph.register_initializer(value)
    own = model.graph.inputs[:count]
    model.graph.inputs.clear()
    model.graph.inputs.extend(own)
    cleanups: tuple[type[Any], ...] = (RemoveUnusedNodesPass, RemoveUnusedFunctionsPass, RemoveUnusedOpsetsPass)
    for cleanup in cleanups:
        cleanup()(model)


def _without_large(model: ir.Model) -> ir.Model:
    """Return a copy for ONNX's converter, which serialises it twice: weights are inputs, large ones without numbers."""
    shell = model.clone()
    for value in list(shell.graph.initializers.values()):
        weight = value.const_value
        assert weight is not None
        if value.shape is None:
            value.shape = ir.Shape(weight.shape.numpy())
        value.dtype = value.dtype or weight.dtype
        if not value.is_graph_input():
            shell.graph.inputs.append(value)
        if weight.size > _LARGE:
            value.const_value = None
            shell.graph.initializers.pop(str(value.name))
    return shell


def _trains(node: ir.Node, version: int) -> bool:
    """Tell of a BatchNormalization in training mode, as its opset says it."""
    if node.op_type != "BatchNormalization" or node.domain not in ("", "ai.onnx"):
        return False
    if version >= _TRAINING_MODE:
        return node.attributes.get_int("training_mode", 0) == 1
    return len(node.outputs) > 1 or (version < _IS_TEST and node.attributes.get_int("is_test", 0) == 0)


def _fold_training(model: ir.Model, version: int) -> None:
    """Compute BatchNormalization nodes that train on constants: so TorchScript writes standardised weights.

    ONNX Runtime computes them, as it would when it loads the file.
    """
    for node in list(model.graph):
        if not _trains(node, version):
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


def _hide_training(model: ir.Model, version: int) -> None:
    """Write BatchNormalization nodes that train as opset 15 has them, and hide them from the converter.

    It refuses them because of their five outputs, though all that later opsets changed is how they are written.
    """
    for node in model.graph:
        if not _trains(node, version):
            continue
        if any(v.uses() or v.is_graph_output() for v in node.outputs[3:]):
            raise BadModel(
                f"The BatchNormalization node {node.name!r} hands on its saved mean and variance, which only training "
                "needs; export the model in inference mode."
            )
        if node.attributes.get_int("spatial", 1) == 0:
            raise BadModel(
                f"The BatchNormalization node {node.name!r} takes statistics of every position (spatial=0) from the "
                "batch, which opset 9 gave up; export the model in inference mode."
            )
        node.resize_outputs(3)
        for index, word in ((1, "mean"), (2, "variance")):
            node.outputs[index].name = node.outputs[index].name or f"{node.outputs[0].name}/running_{word}"
        for name in ("is_test", "spatial", "consumed_inputs"):
            node.attributes.pop(name, None)
        node.attributes["training_mode"] = ir.AttrInt64("training_mode", 1)
        node.domain = _HIDDEN
        model.graph.opset_imports[_HIDDEN] = 1


def _show_hidden(model: ir.Model) -> None:
    for node in model.graph:
        if node.domain == _HIDDEN:
            node.domain = ""
    model.graph.opset_imports.pop(_HIDDEN, None)


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
    if not onnx.defs.has(node.op_type, ""):  # ONNX Runtime's own in ONNX's domain
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
