"""The walk from the section back to the image: a rule for each node, a sum over a tensor's readers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch

from . import rules
from .net import Net, Values
from .ops import compute, gemm
from .start import initial
from .table import OPS, Tensor, attributes
from .windows import conv

MOVED = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Gather", "Pad"}
MOVED |= {"Expand", "DepthToSpace"}
POOLED = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum"}
PASSED = {"Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Celu", "Selu", "Gelu"}
PASSED |= {"Softplus", "Softsign", "Mish", "PRelu", "ThresholdedRelu", "Erf", "Identity", "Dropout", "Cast", "Neg"}
PASSED |= {"BatchNormalization", "LayerNormalization", "LRN"}
ARITHMETIC = {"Add", "Sum", "Sub", "Mul", "Div", "Max", "Min"}
LAYERS = {"Conv", "Gemm", "MatMul"}
GATES = {"Sigmoid", "HardSigmoid", "Softmax"}
UNCHANGED = {"Identity", "Cast", "Dropout"}


@dataclass
class Walk:
    """One sample's graph, forward values and options."""

    net: Net
    values: Values
    purge: bool
    signed_inputs: str

    def active(self, node: onnx.NodeProto) -> list[int]:
        """Slots of the inputs that depend on the image."""
        return [i for i, name in enumerate(node.input) if name in self.net.active]

    def back(self, section: str, R0: Tensor) -> Values:
        """Relevance of every tensor below the section; readers of one tensor add up."""
        relevance = {section: R0}
        for node in reversed(self.net.below(section)):
            if not any(name in relevance for name in node.output) or not self.active(node):
                continue
            R = [relevance.get(n, torch.zeros_like(self.values[n])) for n in node.output if n in self.values]
            for slot, part in self.one(node, R).items():
                name = node.input[slot]
                relevance[name] = relevance[name] + part if name in relevance else part
        return relevance

    def one(self, node: onnx.NodeProto, R: Sequence[Tensor]) -> dict[int, Tensor]:
        """Relevance of a node's inputs, by slot; the rule is chosen here."""
        kind = node.op_type
        if kind in LAYERS:
            return self.layer(node, R[0])
        if kind in MOVED:
            return self.moved(node, R)
        if kind in POOLED:
            X = self.values[node.input[0]]
            return {0: rules.z_rule(lambda x: compute(node, [x, *self.inputs(node)[1:]], 0)[0], X, R[0])}
        if kind in ARITHMETIC:
            return self.arithmetic(node, R[0])
        if kind in PASSED and self.active(node) == [0]:
            return {0: R[0]}
        raise NotImplementedError(f"no naive rule for {kind} {node.name!r} reading slots {self.active(node)}")

    def inputs(self, node: onnx.NodeProto) -> list[Tensor | None]:
        """Forward values of the node's inputs."""
        return [self.values[name] if name else None for name in node.input]

    # ---- rules that need the graph ----

    def moved(self, node: onnx.NodeProto, R: Sequence[Tensor]) -> dict[int, Tensor]:
        """Relevance goes where the value came from: a selection's adjoint. Constant parts absorb theirs."""
        inputs = self.inputs(node)
        slots = self.active(node) if node.op_type == "Concat" else [0]
        leaves = [inputs[i].detach().double().clone().requires_grad_() for i in slots]
        for slot, leaf in zip(slots, leaves, strict=True):
            inputs[slot] = leaf
        parts = torch.autograd.grad(compute(node, inputs, 0), leaves, list(R))
        return dict(zip(slots, parts, strict=True))

    def arithmetic(self, node: onnx.NodeProto, R: Tensor) -> dict[int, Tensor]:
        """With constants: pass. Activations added: shares; multiplied: a gate; divided: a statistic."""
        slots, inputs = self.active(node), self.inputs(node)
        if len(slots) == 1:
            return {slots[0]: rules.unbroadcast(R, inputs[slots[0]].shape)}
        if node.op_type in {"Add", "Sum"}:
            return dict(zip(slots, rules.share([inputs[i] for i in slots], R), strict=True))
        if node.op_type in {"Mul", "Div"}:
            signal = 1 - self.gate(node) if node.op_type == "Mul" else 0
            return {signal: rules.unbroadcast(R, inputs[signal].shape)}
        raise NotImplementedError(f"no naive rule for {node.op_type} {node.name!r} of two activations")

    def gate(self, node: onnx.NodeProto) -> int:
        """Slot of the factor that comes out of a sigmoid (softmax), else of the one constant over space."""
        squashed = [i for i in (0, 1) if self.squashed(node.input[i])]
        a, b = (self.values[name] for name in node.input)
        flat = [i for i, v in enumerate((a, b)) if v.ndim > 2 and all(s == 1 for s in v.shape[2:])]
        for found in (squashed, flat):
            if len(found) == 1:
                return found[0]
        raise NotImplementedError(f"{node.name!r}: neither or both factors look like a gate")

    def squashed(self, name: str) -> bool:
        """Tell whether the tensor is a sigmoid, also when moved, scaled or written Clip(x + 3, 0, 6)/6."""
        node = self.net.producer.get(name)
        if node is None or name not in self.net.active:
            return False
        if node.op_type in GATES:
            return True
        slots = self.active(node)
        source = node.input[slots[0]]
        if node.op_type == "Clip":
            before = self.net.producer.get(source)
            return before is not None and before.op_type == "Add" and len(self.active(before)) == 1
        steps = MOVED | UNCHANGED | {"Mul", "Div"}
        return node.op_type in steps and len(slots) == 1 and self.squashed(source)

    # ---- convolutions and dense layers ----

    def linear(self, node: onnx.NodeProto) -> tuple[rules.Linear, Tensor, Tensor]:
        """Return (f, W, X): the layer is f(X, W) plus a bias nobody asks for."""
        slots = [i for i in self.active(node) if i < 2]
        if len(slots) != 1:
            raise NotImplementedError(f"{node.op_type} {node.name!r} of two activations")
        X, W = self.values[node.input[slots[0]]], self.values[node.input[1 - slots[0]]]
        how = attributes(node)
        if node.op_type == "Conv":
            return (lambda x, w: conv(x, w, **how)), W, X
        turn = {k: how[k] for k in ("transA", "transB") if k in how}
        product: rules.Linear = (lambda a, b: gemm(a, b, **turn)) if node.op_type == "Gemm" else torch.matmul
        W = W * how.get("alpha", 1.0)
        return (product, W, X) if slots[0] == 0 else ((lambda x, w: product(w, x)), W, X)

    def layer(self, node: onnx.NodeProto, R: Tensor) -> dict[int, Tensor]:
        """z^B on the image; elsewhere the rule for kernels > 1 and flattened maps, or the 1×1 form."""
        f, W, X = self.linear(node)
        slot = min(self.active(node))
        if self.is_image(node.input[slot]):
            L, H = self.box(node.input[slot])
            return {slot: rules.z_box(f, W * self.scale_after(node, slot, W), X, L, H, R)}
        if self.purge:
            R = rules.purge(R, 1 if node.op_type == "Conv" else -1 - slot)
        flattened = X.ndim == 2 and X.shape[0] == 1  # several rows of one sample are positions
        wide = max(W.shape[2:]) > 1 if node.op_type == "Conv" else flattened
        rule: Callable[..., Tensor] = rules.conv_kernel if wide else rules.conv_1x1
        return {slot: rule(f, W, rules.non_negative(X, self.signed_inputs), R)}

    def is_image(self, name: str) -> bool:
        """Tell whether only movement, casts and affine maps by constants lie before this tensor."""
        if name in self.net.inputs:
            return True
        node = self.net.producer[name]
        sources = [node.input[i] for i in self.active(node)]
        plain = node.op_type in MOVED | UNCHANGED or self.is_affine(node)
        return plain and bool(sources) and all(self.is_image(source) for source in sources)

    def is_affine(self, node: onnx.NodeProto) -> bool:
        """Tell whether the node is s⊙x + t with constant s and t."""
        if node.op_type == "Div":
            return self.active(node) == [0]
        return node.op_type in {"Add", "Sub", "Mul", "BatchNormalization"} and len(self.active(node)) == 1

    def box(self, name: str) -> tuple[Tensor, Tensor]:
        """L and H: minimum and maximum of the layer's input; zeros padded just before lie outside."""
        node = self.net.zero_pad(name)
        inside = self.values[node.input[0] if node else name]
        pair = [torch.full_like(inside, float(v)) for v in (inside.min(), inside.max())]
        if node:
            pair = [compute(node, [v, *self.inputs(node)[1:]], 0)[0] for v in pair]
        return pair[0], pair[1]

    def scale_after(self, node: onnx.NodeProto, slot: int, W: Tensor) -> Tensor:
        """Return what BatchNormalization, Mul or Div by constants just after the layer does to its rows of W.

        The nodes that follow as sole readers are together y = s⊙x + t; s = y(1) − y(0).
        """
        first, chain, name = self.values[node.output[0]], [], node.output[0]
        while len(readers := self.net.readers(name)) == 1:
            (reader,) = readers
            if reader.op_type != "Identity" and not self.is_affine(reader):
                break
            chain.append(reader)
            name = reader.output[0]
        y0, y1 = (self.run(chain, node.output[0], torch.full_like(first, v), name) for v in (0.0, 1.0))
        channels = 1 if node.op_type == "Conv" else first.ndim - 1 - slot
        s = (y1 - y0).movedim(channels, 0).flatten(1)
        if not torch.allclose(s, s[:, :1], rtol=1e-9):
            raise NotImplementedError(f"{node.name!r} is followed by a map that differs over positions")
        s = s[:, 0]
        transposed = node.op_type == "Gemm" and bool(attributes(node).get("transB", 0))
        rows_first = node.op_type == "Conv" or slot == 1 or transposed
        return s.reshape(-1, *[1] * (W.ndim - 1)) if rows_first else s

    def run(self, chain: Sequence[onnx.NodeProto], start: str, value: Tensor, end: str) -> Tensor:
        """Value of `end` when `start` has the given value."""
        return self.net.run(chain, {**self.values, start: value})[end]


def as_feed(array: np.ndarray) -> Tensor:
    """One feed; floats become float64."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.double() if tensor.is_floating_point() else tensor


def naive_rsp(
    model: onnx.ModelProto,
    feeds: dict[str, np.ndarray],
    target: int,
    hostile: Sequence[int] = (),
    *,
    section: str,
    logits: str | None = None,
    split: float = 2.0,
    purge: bool = False,
    signed_inputs: str = "clamp",
) -> dict[str, np.ndarray]:
    """Relevance of every tensor between the section and the graph input, one sample after the other.

    Parameters
    ----------
    model : any classifier of the ops listed above; float weights are computed with in float64.
    feeds : graph inputs by name, the sample axis first.
    target, hostile : class indices; −1 among the hostile ones stands for none.
    section : name of the tensor F where the head begins.
    logits : name of y; by default the first output, or what a final Softmax, Sigmoid or LogSoftmax reads.
    split : target's share over the hostile classes' in eq. (2).
    purge : drop conflicting units before every conv and dense rule.
    signed_inputs : "clamp", x = [X]₊, or "abs", x = |X|.

    Returns
    -------
    dict
        Tensor name → relevance, float64, samples along axis 0.
    """
    net = Net(model)
    y = logits or net.logits()
    found: list[Values] = []
    for i in range(len(next(iter(feeds.values())))):
        values = net.forward({name: as_feed(array[i : i + 1]) for name, array in feeds.items()})
        R0 = initial(net, values, section, y, target, hostile, split)
        found.append(Walk(net, values, purge, signed_inputs).back(section, R0))
    return {name: torch.cat([one[name] for one in found]).detach().numpy() for name in found[0]}


assert OPS.keys() >= MOVED | POOLED | PASSED | ARITHMETIC | LAYERS, "a rule needs its op's forward values"
