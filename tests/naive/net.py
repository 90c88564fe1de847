"""The graph as the walk sees it: constants, readers, and which tensors depend on the image's values."""

from collections.abc import Iterable

import onnx
import torch
from onnx import numpy_helper

from .ops import compute
from .table import Tensor, attributes

Values = dict[str, Tensor]
# the values of these depend on the image's shape only, which is no explanation of anything
SHAPE_ONLY = {"Shape", "Size"}
# between logits and probabilities: these only reorder or rename
LOOK_THROUGH = {"Identity", "Reshape", "Flatten", "Squeeze"}


def to_tensor(array: onnx.TensorProto) -> Tensor:
    """One stored tensor; every kind of float becomes float64."""
    tensor = torch.from_numpy(numpy_helper.to_array(array).copy())
    return tensor.double() if tensor.is_floating_point() else tensor


class Net:
    """An ONNX graph with its producers, readers, constants and active (image-dependent) tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.stored: Values = {t.name: to_tensor(t) for t in model.graph.initializer}
        self.inputs = [i.name for i in model.graph.input if i.name not in self.stored]
        self.output = model.graph.output[0].name
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.active = self._active()

    def _active(self) -> set[str]:
        active = set(self.inputs)
        for node in self.nodes:
            if node.op_type not in SHAPE_ONLY and active & set(node.input):
                active |= set(node.output) - {""}
        return active

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """List the nodes that read the tensor, once each."""
        return [node for node in self.nodes if name in node.input]

    def below(self, name: str) -> list[onnx.NodeProto]:
        """List the nodes the tensor is computed by, in the graph's order."""
        needed = {name}
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
        return [node for node in self.nodes if needed & set(node.output)]

    def above(self, name: str) -> list[onnx.NodeProto]:
        """List the nodes whose values depend on the tensor's, in the graph's order."""
        reached, nodes = {name}, []
        for node in self.nodes:
            if reached & set(node.input) and node.op_type not in SHAPE_ONLY:
                reached |= set(node.output) - {""}
                nodes.append(node)
        return nodes

    def run(self, nodes: Iterable[onnx.NodeProto], values: Values) -> Values:
        """Compute the nodes one after the other, adding their outputs to the values."""
        for node in nodes:
            got = compute(node, [values[name] if name else None for name in node.input], self.opset)
            values.update({name: value for name, value in zip(node.output, got, strict=False) if name})
        return values

    def forward(self, feeds: Values) -> Values:
        """Values of every tensor of the graph, constants included."""
        return self.run(self.nodes, {**self.stored, **feeds})

    def logits(self) -> str:
        """Name y: the first output, or what a final Softmax, Sigmoid or LogSoftmax reads."""
        node = self.producer[self.output]
        while node.op_type in LOOK_THROUGH and node.input[0] in self.producer:
            node = self.producer[node.input[0]]
        return node.input[0] if node.op_type in {"Softmax", "Sigmoid", "LogSoftmax"} else self.output

    def channels_last(self, name: str) -> bool:
        """Tell whether a rank-3 tensor is N×T×D (made by MatMul or LayerNormalization) and not N×C×L."""
        while name in self.producer:
            node = self.producer[name]
            if node.op_type in {"MatMul", "Gemm", "LayerNormalization"}:
                return True
            if node.op_type in {"Conv", "BatchNormalization", "MaxPool", "AveragePool"}:
                return False
            name = next((i for i in node.input if i in self.active), "")
        return False

    def zero_pad(self, name: str) -> onnx.NodeProto | None:
        """Return the Pad with zeros that makes this tensor, if one does."""
        node = self.producer.get(name)
        if node is None or node.op_type != "Pad" or attributes(node).get("mode", "constant") != "constant":
            return None
        if len(node.input) > 2 and node.input[2]:
            fill = self.run(self.below(node.input[2]), dict(self.stored))[node.input[2]]
        else:
            fill = torch.tensor(attributes(node).get("value", 0.0))
        return node if float(fill) == 0 else None
