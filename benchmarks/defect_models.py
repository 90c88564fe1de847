"""Ten planted defects and the harmless changes beside them: from a good model to the files a team might deploy.

A defect of preprocessing is put in front of the graph, as a service in front of a model would do it: the file is then
fed what it was always fed and answers as the service answers.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from rsp_onnx.evaluate.metrics.randomise import randomised, weight_layers

Array = np.ndarray[Any, Any]
Build = Callable[[onnx.ModelProto], onnx.ModelProto]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ZEROED = 3  # the class whose weights are lost
BITS = 4
BORDER = 10  # pixels
_FRONT = "rsp_front"


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    return found


# ---- in front of the graph ----


def in_front(model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: dict[str, Array]) -> onnx.ModelProto:
    """Return the model with nodes between its input and all that reads it; the last one's output is ``rsp_front``."""
    found = copied(model)
    held = {tensor.name for tensor in found.graph.initializer}
    (image,) = (v.name for v in found.graph.input if v.name not in held)
    for node in found.graph.node:
        node.input[:] = [_FRONT if name == image else name for name in node.input]
    for node in nodes:
        node.input[:] = [image if name == "image" else name for name in node.input]
    kept = list(found.graph.node)
    del found.graph.node[:]
    found.graph.node.extend([*nodes, *kept])
    found.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items())
    return found


def swapped_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Say BGR in the preprocessing where RGB was learnt; the graph stays."""
    found = copied(model)
    metadata = {prop.key: prop.value for prop in found.metadata_props}
    metadata["rsp_onnx.preprocess"] = json.dumps(json.loads(metadata["rsp_onnx.preprocess"]) | {"channels": "BGR"})
    helper.set_model_props(found, metadata)
    return found


def swapped_channels_inside(model: onnx.ModelProto) -> onnx.ModelProto:
    """Swap the channels in front of the graph, so that no file says so."""
    node = helper.make_node("Gather", ["image", "rsp_order"], [_FRONT], "rsp_swap", axis=_channel_axis(model))
    return in_front(model, [node], {"rsp_order": np.array([2, 1, 0])})


def wrong_layout(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take the picture's bytes in the other order of axes: reshaped where they should have been transposed."""
    shape = [0, *_sizes(model)[1:]]
    order = [0, 2, 3, 1] if _channel_axis(model) == 1 else [0, 3, 1, 2]
    nodes = [
        helper.make_node("Transpose", ["image"], ["rsp_bytes"], "rsp_bytes", perm=order),
        helper.make_node("Reshape", ["rsp_bytes", "rsp_shape"], [_FRONT], "rsp_reshape"),
    ]
    return in_front(model, nodes, {"rsp_shape": np.array(shape)})


def wrong_normalisation(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take ImageNet's mean and deviation off what is to go in as it is."""
    shape = (1, 3, 1, 1) if _channel_axis(model) == 1 else (1, 1, 1, 3)
    nodes = [
        helper.make_node("Sub", ["image", "rsp_mean"], ["rsp_centred"], "rsp_sub"),
        helper.make_node("Div", ["rsp_centred", "rsp_std"], [_FRONT], "rsp_div"),
    ]
    constants = {"rsp_mean": np.array(MEAN, np.float32), "rsp_std": np.array(STD, np.float32)}
    return in_front(model, nodes, {name: value.reshape(shape) for name, value in constants.items()})


def lost_border(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace pixels near the border by the picture's mean, as a pooled or padded-over border is."""
    sizes, axis = _sizes(model), _channel_axis(model)
    axes = [2, 3] if axis == 1 else [1, 2]
    height, width = (int(sizes[a]) for a in axes)
    margin = max(1, BORDER * height // 96)
    inner = np.zeros((1, height, width), np.float32)
    inner[:, margin:-margin, margin:-margin] = 1
    inner = np.expand_dims(inner, axis)
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["rsp_mean"], "rsp_mean", axes=axes, keepdims=1),
        helper.make_node("Mul", ["image", "rsp_inner"], ["rsp_seen"], "rsp_inner"),
        helper.make_node("Mul", ["rsp_mean", "rsp_outer"], ["rsp_filled"], "rsp_outer"),
        helper.make_node("Add", ["rsp_seen", "rsp_filled"], [_FRONT], "rsp_add"),
    ]
    return in_front(model, nodes, {"rsp_inner": inner, "rsp_outer": 1 - inner})


def _sizes(model: onnx.ModelProto) -> list[Any]:
    held = {tensor.name for tensor in model.graph.initializer}
    (image,) = (v for v in model.graph.input if v.name not in held)
    return [d.dim_value or 0 for d in image.type.tensor_type.shape.dim]


def _channel_axis(model: onnx.ModelProto) -> int:
    return 1 if _sizes(model)[1] == 3 else 3


# ---- in the weights ----


def labels_off_by_one(model: onnx.ModelProto) -> onnx.ModelProto:
    """Call every class like its neighbour."""
    found = copied(model)
    metadata = {prop.key: prop.value for prop in found.metadata_props}
    labels = json.loads(metadata["rsp_onnx.labels"])
    metadata["rsp_onnx.labels"] = json.dumps([*labels[1:], labels[0]])
    helper.set_model_props(found, metadata)
    return found


def zeroed_class(model: onnx.ModelProto, index: int = ZEROED) -> onnx.ModelProto:
    """Set the last layer's weights and bias of one class to zero."""
    found = copied(model)
    last = [node for node in found.graph.node if node.op_type in ("Gemm", "MatMul", "Conv")][-1]
    rows = last.op_type == "Conv" or any(a.name == "transB" and a.i for a in last.attribute)
    for tensor in found.graph.initializer:
        if tensor.name in last.input[1:]:
            values = np.array(numpy_helper.to_array(tensor))
            values[(index,) if rows or values.ndim == 1 else (..., index)] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return found


def random_last_layer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Draw the last layer's weights anew."""
    return randomised(model, weight_layers(model)[-1:], seed=0)


def random_conv(model: onnx.ModelProto) -> onnx.ModelProto:
    """Draw the weights of a convolution in the middle anew."""
    layers = weight_layers(model)
    return randomised(model, [layers[len(layers) // 2]], seed=0)


def coarse_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Round all weights to four bits, one scale for a whole layer."""
    found = copied(model)
    wanted = {layer.weight for layer in weight_layers(model)}
    for tensor in found.graph.initializer:
        if tensor.name in wanted:
            values = numpy_helper.to_array(tensor)
            step = float(np.abs(values).max()) / (2 ** (BITS - 1) - 1) or 1.0
            tensor.CopyFrom(numpy_helper.from_array((np.round(values / step) * step).astype(values.dtype), tensor.name))
    return found


# ---- harmless ----


def unfolded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Split each convolution into one and a batch normalisation, as before folding; the same function."""
    found, rng = copied(model), np.random.default_rng(0)
    held = {tensor.name: tensor for tensor in found.graph.initializer}
    nodes = list(found.graph.node)
    del found.graph.node[:]
    for node in nodes:
        folded = node.op_type == "Conv" and len(node.input) == 3
        after = [_batch_norm(found, node, held, rng)] if folded else []
        found.graph.node.extend([node, *after])
    return found


def _batch_norm(
    model: onnx.ModelProto, node: onnx.NodeProto, held: dict[str, onnx.TensorProto], rng: np.random.Generator
) -> onnx.NodeProto:
    """Move a part of a convolution into a batch normalisation behind it; returns that."""
    weight, bias = (numpy_helper.to_array(held[name]).astype(np.float64) for name in node.input[1:])
    count, epsilon = len(bias), 1e-5
    gamma, variance = rng.uniform(0.5, 2, count), rng.uniform(0.5, 2, count)
    mean, scale = rng.normal(0, 0.3, count), gamma / np.sqrt(variance + epsilon)
    shape = (-1, *[1] * (weight.ndim - 1))
    held[node.input[1]].CopyFrom(_float(weight / scale.reshape(shape), node.input[1]))
    name, before = node.output[0], f"{node.output[0]}_before"
    parts = {"gamma": gamma, "beta": bias + scale * mean, "mean": mean, "variance": variance}
    model.graph.initializer.extend(_float(v, f"{name}_{key}") for key, v in parts.items())
    node.input.pop()
    node.output[0] = before
    own = [before, *(f"{name}_{key}" for key in parts)]
    return helper.make_node("BatchNormalization", own, [name], f"{name}_norm", epsilon=epsilon)


def _float(values: Array, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute in float16, with float32 at both ends."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers too small for float16
        found = ir.from_proto(convert_float_to_float16(copied(model), keep_io_types=True))
    found.graph.sort()  # the converter puts its casts behind all others
    return ir.to_proto(found)


def optimised(source: Path, out: Path) -> None:
    """Write what ONNX Runtime makes of the model for this machine."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns that the file is for this machine: known
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(out)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def quantised(source: Path, out: Path, images: Iterable[Array]) -> None:
    """Quantise to eight bits (QuantizeLinear and DequantizeLinear around ops), calibrated on images [3, H, W]."""
    from onnxruntime import quantization as q

    class Images(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> Any:
            image = next(self.rest, None)
            return None if image is None else {"image": image[None]}

    logging.getLogger().setLevel(logging.ERROR)  # it recommends another of its tools
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the quantiser, about itself
        q.quantize_static(source, out, Images(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                          activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)  # fmt: skip


DEFECTS: dict[str, Build] = {
    "swapped channels": swapped_channels,
    "wrong layout": wrong_layout,
    "labels off by one": labels_off_by_one,
    "a class's weights zeroed": zeroed_class,
    "last layer randomised": random_last_layer,
    "a conv layer randomised": random_conv,
    "4-bit weights": coarse_weights,
    "wrong normalisation": wrong_normalisation,
    "lost input border": lost_border,
}
# beside the ten: the digits model was trained with its channels in any order, so that this changes next to nothing
UNSEEN: dict[str, Build] = {"swapped channels, in the graph": swapped_channels_inside}
HARMLESS: dict[str, Build] = {"fp16": half_precision, "BatchNorm unfolded": unfolded}
