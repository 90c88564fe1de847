"""Where head and features meet: the last tensor with positions that every path crosses (rsp.md §1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.axes.follow import channel_axis
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.bodies import holds_layer
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import Data, Layout, Role, facts_of, is_layer, plain_op
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.layout import channels_last

from .token_section import is_heard, token_axis, token_grid


@dataclass(frozen=True)
class Section:
    """The section F: its tensor, its layout, and why it was chosen.

    Attributes
    ----------
    channel_axis : int
        Of the forward tensor.
    position_axes : tuple of int
        Spatial (or token) axes; empty where there are none.
    token_axis : int or None
        The axis that counts tokens (or time steps), where positions are tokens that the head listens to, channels last.
    extra_tokens : int
        How many tokens in front are no places: class tokens, registers.
    alternatives : tuple of str
        Other tensors every path crosses, deepest first.
    """

    value: ir.Value
    channel_axis: int
    position_axes: tuple[int, ...]
    alternatives: tuple[str, ...] = ()
    token_axis: int | None = None
    extra_tokens: int = 0
    note: str = ""

    @property
    def name(self) -> str:
        """Name of the tensor."""
        return str(self.value.name)


def find_section(graph: Graph, logits: ir.Value, wanted: str | None = None) -> Section:
    """Return the section for these logits, or the one the user names.

    Raises
    ------
    BadInput
        The named tensor does not exist, or some path goes around it.
    """
    chain = graph.dominators(logits)
    if wanted is not None:
        return _named(graph, logits, chain, wanted)
    head = _head_length(graph, chain, logits)
    spatial = [v for v in chain[head:] if _has_positions(graph, v)]
    hidden = [v for v in spatial if v.producer() is not None]
    names = tuple(str(v.name) for v in chain[1:] if v.producer() is not None)
    if hidden:
        best = _back_to_features(graph, _heard(graph, hidden, logits))
        return _describe(graph, logits, best, tuple(n for n in names if n != best.name))
    return _without_positions(graph, logits, chain, names)


def _named(graph: Graph, logits: ir.Value, chain: list[ir.Value], wanted: str) -> Section:
    for value in chain:
        if value.name == wanted:
            return _describe(
                graph, logits, value, tuple(str(v.name) for v in chain if v is not value), "named by the user"
            )
    close = ", ".join(repr(v.name) for v in chain[1:9])
    why = (
        "some path from the input to the scores goes around it" if wanted in graph.values else "there is no such tensor"
    )
    raise BadInput(f"The tensor {wanted!r} cannot be the section: {why}; possible ones are {close}.")


def _head_length(graph: Graph, chain: list[ir.Value], logits: ir.Value) -> int:
    """Return how many tensors at the end of the chain belong to a 1×1 classifier convolution and what follows it."""
    classes = _classes(graph, logits)
    for index, value in enumerate(chain):
        node = value.producer()
        if node is None or (is_layer(node) and facts_of(node).layout is Layout.CHANNELS_LAST):
            return 0
        if plain_op(node) == "Conv":
            pointwise = all(d == 1 for d in graph.dims(node.inputs[1])[2:]) if node.inputs[1] is not None else False
            maps = [graph.dims(v) for v in chain[: index + 1]]  # behind it, filters that fill up a block may be cut off
            return index + 1 if pointwise and any(len(d) > 2 and d[1] == classes for d in maps) else 0
    return 0


def _classes(graph: Graph, logits: ir.Value) -> int | None:
    sizes = graph.dims(logits)
    return sizes[1] if len(sizes) > 1 else None


def _has_samples_in_front(graph: Graph, value: ir.Value) -> bool:
    """Tell of a tensor whose first axis is the batch, as the head needs it; inside a loop the time may stand there."""
    return graph.batch is not None or leads_with_batch(value)


def _has_positions(graph: Graph, value: ir.Value) -> bool:
    sizes = graph.dims(value)
    if len(sizes) < 3 or not _has_samples_in_front(graph, value):
        return False
    _, places = layout_of(graph, value)
    return math.prod(sizes[a] or 1 for a in places) > 1


def _heard(graph: Graph, hidden: list[ir.Value], logits: ir.Value) -> list[ir.Value]:
    """Leave out, from the end, tokens of which the head reads but a class token: the others have no say there."""
    for index, value in enumerate(hidden):
        axis = token_axis(graph.dims(value), layout_of(graph, value)[1])
        if axis is None or is_heard(graph, value, axis, logits):
            return hidden[index:]
    return hidden


def _back_to_features(graph: Graph, spatial: list[ir.Value]) -> ir.Value:
    """Go up from the deepest spatial tensor past final down-pooling and neutral ops to the last feature extractor."""
    for index, value in enumerate(spatial):
        node = value.producer()
        assert node is not None
        if node.op_type == "DequantizeLinear" and not _is_passed(_source(node)):
            return value  # the deployed model's own int8 tensor
        if not _is_passed(node) and not _normalises_tokens(graph, value, node):
            return value
        if index == len(spatial) - 1:
            break
    return spatial[0]


def _normalises_tokens(graph: Graph, value: ir.Value, node: ir.Node) -> bool:
    """Tell of the final normalisation of a transformer's tokens, fused or written out: the section stands before it."""
    sizes = graph.dims(value)
    if layout_of(graph, value)[0] != len(sizes) - 1:
        return False
    facts = facts_of(node)
    if facts.role is Role.NORMALISATION and facts.layout is Layout.CHANNELS_LAST:
        return True
    if facts.role is not Role.ARITHMETIC or not facts.affine:
        return False
    active = graph.active_inputs(node)
    return len(active) == 1 or any(graph.dims(v)[-1:] == (1,) != sizes[-1:] for v in active)


def _is_passed(node: ir.Node | None) -> bool:
    """Tell of an op that final features are looked for before: neutral, or one that makes fewer positions."""
    if node is None:
        return False
    facts = facts_of(node)
    return facts.neutral or facts.role is Role.POOL or facts.data in (Data.CROPS, Data.PADS)


def _source(node: ir.Node) -> ir.Node | None:
    """Return the node in front of a Quantize/Dequantize pair."""
    above: ir.Node | None = node
    while above is not None and facts_of(above).data is Data.QUANTISES:
        source = above.inputs[0]
        above = source.producer() if source is not None else None
    return above


def _without_positions(graph: Graph, logits: ir.Value, chain: list[ir.Value], names: tuple[str, ...]) -> Section:
    """Return the first hidden activation of a model without positions, or its input where it has one layer."""
    behind = _behind_layers(graph)
    for value in reversed(chain[1:]):
        node = value.producer()
        if node is None or is_layer(node) or facts_of(node).sums or facts_of(node).neutral:
            continue
        if value in behind and _has_samples_in_front(graph, value):
            note = "no tensor has positions: the first hidden activation"
            return _describe(graph, logits, value, tuple(n for n in names if n != value.name), note)
    return _describe(graph, logits, chain[-1], names, "the model has one layer: the input itself")


def _behind_layers(graph: Graph) -> set[ir.Value]:
    """Return the tensors that come out of a layer with weights, or of a loop that holds one, or behind it."""
    reached: set[ir.Value] = set()
    for node in graph.nodes:
        above = set(graph.dag.predecessors(node)) if node in graph.dag else set()  # with what its body captures
        if above and (holds_layer(node) or not reached.isdisjoint(above)):
            reached.update(v for v in node.outputs if graph.active(v))
    return reached


def _describe(
    graph: Graph, logits: ir.Value, value: ir.Value, alternatives: tuple[str, ...], note: str = ""
) -> Section:
    channel, places = layout_of(graph, value)
    sizes = graph.dims(value)
    axis = token_axis(sizes, places) if channel == len(sizes) - 1 else None
    if axis is not None and not is_heard(graph, value, axis, logits):
        axis = None
    count = None if axis is None else sizes[axis]
    grid = token_grid(graph, value, count) if count is not None else None
    return Section(value, channel, places, alternatives, axis, grid[0] if grid else 0, note)


def layout_of(graph: Graph, value: ir.Value) -> tuple[int, tuple[int, ...]]:
    """Return (channel axis, position axes): channels first behind convolutions, last for tokens."""
    rank = len(graph.dims(value))
    if rank < 3:
        return rank - 1, ()
    last = _channels_last(graph, value)
    first = 0 if graph.batch == 1 else 1  # of a single sample every axis but the channels holds positions
    if last:
        return rank - 1, tuple(range(first, rank - 1))
    return 1, tuple(range(2, rank))


def _channels_last(graph: Graph, value: ir.Value) -> bool:
    """Follow the tensor up to the op that gave it its layout."""
    axis, rank = channel_axis(graph, value), len(graph.dims(value))
    if axis in (1, rank - 1):
        return axis == rank - 1
    node = value.producer()
    steps = 0
    while node is not None and steps < 100:
        if (layout := facts_of(node).layout) is not Layout.UNKNOWN:
            return layout is Layout.CHANNELS_LAST
        if node.op_type == "Transpose":
            perm = node.attributes.get_ints("perm", [])
            if perm and perm[-1] == 1:
                return True
            if perm and perm[1] == len(perm) - 1:
                return False
        active = graph.active_inputs(node)
        node = active[0].producer() if active else None
        steps += 1
    return channels_last(graph.dims(value))
