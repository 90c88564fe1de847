"""Models with some of their weights drawn anew: what parameter randomisation compares maps of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from rsp_onnx.errors import BadInput
from rsp_onnx.graph.op_facts import facts_of_op, op_name
from rsp_onnx.types import Array

_CONSTANT = "value"


@dataclass(frozen=True)
class Layer:
    """A layer with weights.

    Attributes
    ----------
    node : str
        The node's name, or its output's.
    weight : str
        The initializer, or the output of the Constant, that holds its weights.
    """

    node: str
    weight: str


def weight_layers(model: onnx.ModelProto) -> list[Layer]:
    """Return the layers with weights from the bottom (input) to the top, in the graph's order; each weight once.

    Of a recurrent layer it is the weights of its input. Layers inside of control flow are not looked at.
    """
    held = {tensor.name for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    layers: dict[str, Layer] = {}
    for node in model.graph.node:
        for name in _weight_inputs(node):
            weight = _origin(name, held, makers)
            if weight is not None:
                layers.pop(weight, None)  # a shared weight acts up to the layer that uses it last
                layers[weight] = Layer(node.name or node.output[0], weight)
                break
    return list(layers.values())


def _weight_inputs(node: onnx.NodeProto) -> Sequence[str]:
    facts = facts_of_op(op_name(node))
    if facts is None or facts.weight is None:
        return ()
    if facts.weight < 0:  # of a matrix product either side may be the weight
        return tuple(node.input[1::-1])
    return tuple(node.input[facts.weight : facts.weight + 1])


def _origin(name: str, held: set[str], makers: dict[str, onnx.NodeProto]) -> str | None:
    """Return the initializer or Constant behind a tensor, through casts, transposes and dequantisation."""
    for _ in range(len(makers) + 1):
        if name in held:
            return name
        node = makers.get(name)
        if node is None:
            return None
        if node.op_type == "Constant":
            return name if any(a.name == _CONSTANT for a in node.attribute) else None
        facts = facts_of_op(op_name(node))
        if facts is None or not facts.neutral:
            return None
        name = node.input[0]
    return None


def randomised(model: onnx.ModelProto, layers: Sequence[Layer], seed: int) -> onnx.ModelProto:
    """Return a copy in which the weights of some layers are drawn anew.

    Float weights are drawn from a normal distribution with the weight's own mean and standard deviation; stored
    integers are permuted, which keeps their distribution and their scales. A weight's draw depends on the seed and its
    name alone, so that a cascade's stages share what they have in common. Biases and normalisations stay.

    Raises
    ------
    BadInput
        A weight's data lies in another file that was not loaded.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in copied.graph.initializer}
    constants = [node for node in copied.graph.node if node.op_type == "Constant"]
    tensors |= {node.output[0]: a.t for node in constants for a in node.attribute if a.name == _CONSTANT}
    for layer in layers:
        tensor = tensors[layer.weight]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise BadInput(f"The weight {layer.weight!r} lies in another file: load the model with its external data.")
        values = numpy_helper.to_array(tensor)
        changed = numpy_helper.from_array(_drawn(values, _rng(seed, layer.weight)), tensor.name)
        tensor.CopyFrom(changed)
    return copied


def _drawn(values: Array, rng: np.random.Generator) -> Array:
    if values.dtype.kind in "iu":
        return np.asarray(rng.permutation(values.ravel()).reshape(values.shape))
    exact = values.astype(np.float64)
    return np.asarray(rng.normal(exact.mean(), exact.std(), values.shape).astype(values.dtype))


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed & 0xFFFFFFFF, *name.encode()])


def stages(count: int, wanted: int) -> list[int]:
    """Return up to ``wanted`` numbers from 1 to ``count``, spaced evenly, both ends among them."""
    if count < 1 or wanted < 1:
        return []
    if wanted == 1:
        return [1]
    return sorted({round(v) for v in np.linspace(1, count, min(wanted, count))})
