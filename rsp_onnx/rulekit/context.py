"""What a rule may ask while the walk stands on its node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.shapes import carries_ids

from .float_views import Views


@dataclass(frozen=True)
class Options:
    """Parameters of RSP (defaults: rsp.md of the paper's release, AAAI 2021).

    Attributes
    ----------
    purge : bool
        Remove conflicting units before every conv and dense rule, as in the paper's text.
    split : float
        Share of the target against the hostile classes in the start, eq. (2).
    signed_inputs : str
        ``clamp`` uses [X]₊ in the conv rule, ``abs`` uses |X|.
    form : str
        How the conv rule is computed: ``auto`` (the fastest for each layer), or a form by name where it applies:
        ``unfold``, ``gram``, ``direct``, ``pointwise``, ``winograd``, ``depthwise``; all are equal.
    in_process : bool
        The compiled graph is run by this very ONNX Runtime and never written to a file.
    """

    purge: bool = False
    split: float = 2.0
    signed_inputs: str = "clamp"
    form: str = "auto"
    in_process: bool = False


@dataclass(frozen=True)
class Context:
    """The emitter, the DAG and the options, with the leading axis of what flows.

    Relevance and cotangents have the shape [K, *forward shape]; ``front`` is K as an int64 [1] tensor.
    ``output`` tells at which of the node's outputs the relevance arrives, ``end`` is the tensor that is explained.
    """

    op: Emitter
    graph: Graph
    views: Views
    front: ir.Value
    options: Options = field(default_factory=Options)
    output: int = 0
    end: ir.Value | None = None

    def with_front(self, front: ir.Value) -> Context:
        """Return the same context for another leading axis."""
        return replace(self, front=front)

    def at_output(self, index: int) -> Context:
        """Return the same context for relevance that arrives at another output of the node."""
        return replace(self, output=index) if index else self

    def read(self, value: ir.Value | None) -> ir.Value:
        """Return a tensor in the working dtype without disturbing the model's own nodes."""
        assert value is not None
        return self.views.read(value)

    def holds_ids(self, value: ir.Value | None) -> bool:
        """Tell of a tensor of ids that depend on an explained input: they get relevance, but have no gradient."""
        return value is not None and self.graph.active(value) and carries_ids(value)

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return a constant tensor's value, or None if it depends on an input."""
        return self.graph.constant(value)

    def need_constant(self, node: ir.Node, slot: int) -> np.ndarray:
        """Return the constant at an input slot of a node; BadModel where it is computed at run time."""
        array = self.graph.constant(node.inputs[slot])
        if array is None:
            raise BadModel(
                f"The {node.op_type} node {node.name!r} takes its input {slot} from a run-time computation; "
                "fix the input size when exporting, or simplify the model (constant folding)."
            )
        return array

    def stand_in(
        self, node: ir.Node, op_type: str, inputs: Sequence[ir.Value | np.ndarray | None], keep: Iterable[ir.Attr] = ()
    ) -> ir.Node:
        """Return a node outside the graph that says with another op what a node computes, for that op's rule.

        Parameters
        ----------
        inputs : sequence
            Tensors of the model; an array is a constant.
        keep : iterable of onnx_ir.Attr
            Its attributes.

        Returns
        -------
        onnx_ir.Node
            Whoever reads its output reads the node's.
        """
        values = [_constant(v) if isinstance(v, np.ndarray) else v for v in inputs]
        twin = ir.Node("", op_type, values, list(keep), num_outputs=1, name=node.name)
        mine, own = twin.outputs[0], node.outputs[0]
        mine.name, mine.shape, mine.dtype = own.name, own.shape, self.op.type
        self.views.same(mine, own)
        return twin

    def attr(self, node: ir.Node, name: str, default: object = None) -> object:
        """Return an attribute's value or the default."""
        return attribute(node, name, default)

    def dims(self, value: ir.Value | None) -> tuple[int | None, ...]:
        """Return the forward shape of a tensor, None where free."""
        assert value is not None
        return self.graph.dims(value)

    def sizes(self, value: ir.Value | None) -> tuple[int, ...]:
        """Return the forward shape behind the batch axis, which must be known."""
        assert value is not None
        extents = self.graph.dims(value)[1:]
        if any(d is None for d in extents):
            raise BadModel(
                f"The shape of the tensor {value.name!r} is not known before run time ({extents}); "
                "fix the input size when exporting, or give input_shapes."
            )
        return tuple(d for d in extents if d is not None)

    @property
    def single(self) -> bool:
        """Tell whether the batch is fixed to one, so that every axis belongs to the one sample."""
        return self.graph.batch == 1

    @property
    def targets(self) -> int | None:
        """How many classes the leading axis is for, where the compiled file fixes it."""
        known = self.front.const_value
        return None if known is None else int(known.numpy()[0])

    @property
    def alone(self) -> bool:
        """Tell whether there is one class and one sample, so that what flows may itself be a convolution's weight."""
        return self.single and self.targets == 1

    def sample_axes(self, rank: int) -> list[int]:
        """Return the axes of [K, *forward shape] that belong to one sample; rank: of the forward tensor."""
        return list(range(1 if self.single else 2, rank + 1))

    def merge(self, r: ir.Value, sizes: tuple[int, ...]) -> ir.Value:
        """Fold the leading axis into the batch: [K, N, *sizes] → [K·N, *sizes]."""
        return self.op.Reshape(r, [-1, *sizes])

    def part(self, r: ir.Value, *sizes: int) -> ir.Value:
        """Unfold the batch: anything → [K, N, *sizes]."""
        return self._reshape(r, [-1, *sizes])

    def like(self, r: ir.Value, value: ir.Value) -> ir.Value:
        """Reshape to [K, *shape of a forward tensor]."""
        known = self.graph.dims(value)
        if known.count(None) <= 1 and (None in known or value.shape is not None):
            return self._reshape(r, [-1 if d is None else d for d in known])
        return self.op.Reshape(r, self.op.Concat(self.front, self.op.Shape(value), axis=0))

    def _reshape(self, r: ir.Value, sizes: list[int]) -> ir.Value:
        if self.targets is not None:
            return self.op.Reshape(r, [self.targets, *sizes])
        return self.op.Reshape(r, self.op.Concat(self.front, sizes, axis=0))


def _constant(array: np.ndarray) -> ir.Value:
    value = ir.Value(name="", const_value=ir.tensor(array))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    return value
