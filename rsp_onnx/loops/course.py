"""What goes through the steps of a loop, and where: states from step to step, slices in, slices out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, cast

import onnx_ir as ir

from rsp_onnx.graph.nodes import attribute
from rsp_onnx.graph.op_facts import op_name


@dataclass(frozen=True)
class Carried:
    """A state. formal, result: where it stands among the body's inputs and outputs; slot, output: the node's."""

    slot: int
    formal: int
    result: int
    output: int


@dataclass(frozen=True)
class Sliced:
    """A tensor that is cut into slices along an axis, one per step, or put together from them.

    Attributes
    ----------
    outside : int
        Its place among the node's inputs (outputs, where it is put together).
    inside : int
        The slice's among the body's.
    turned : bool
        The first step has the last slice.
    """

    outside: int
    inside: int
    axis: int = 0
    turned: bool = False


@dataclass(frozen=True)
class Course:
    """How a node goes through its body step by step.

    Attributes
    ----------
    counts : bool
        The steps end while it runs, perhaps before the first: a Loop. A Scan has as many as its slices.
    own : tuple of int
        The places among the body's inputs of what the node itself gives: which step it is, whether it goes on.
    """

    body: ir.Graph
    states: tuple[Carried, ...]
    scanned: tuple[Sliced, ...]
    collected: tuple[Sliced, ...]
    counts: bool
    own: tuple[int, ...] = ()


@dataclass
class Ends:
    """What the second loop returns: relevance of states in front of its last step, of what is captured, of slices."""

    states: dict[Carried, ir.Value]
    captured: dict[ir.Value, ir.Value]
    rows: dict[Sliced, ir.Value]


Reader: TypeAlias = Callable[[ir.Node], Course]
_READERS: dict[str, Reader] = {}


def goes_round(op: str) -> Callable[[Reader], Reader]:
    """Register who reads the course of an op's nodes."""

    def register(reader: Reader) -> Reader:
        _READERS[op] = reader
        return reader

    return register


def course_of(node: ir.Node) -> Course | None:
    """Return how a node goes through its body; None for all that are no loops."""
    reader = _READERS.get(op_name(node))
    return None if reader is None else reader(node)


@goes_round("Loop")
def read_loop(node: ir.Node) -> Course:
    """Read (count, going, states...) → (states..., collected...); the body has the step and the going in front."""
    body, count = node.attributes["body"].as_graph(), len(node.inputs) - 2
    states = tuple(Carried(2 + i, 2 + i, 1 + i, i) for i in range(count))
    rows = range(count, len(body.outputs) - 1)
    return Course(body, states, (), tuple(Sliced(i, 1 + i) for i in rows), True, (0, 1))


@goes_round("Scan")
def read_scan(node: ir.Node) -> Course:
    """Read (states..., scanned...) → (states..., collected...), the body's inputs and outputs in the same order."""
    body, scanned = node.attributes["body"].as_graph(), cast("int", attribute(node, "num_scan_inputs"))
    count, rows = len(node.inputs) - scanned, len(body.outputs) - len(node.inputs) + scanned
    states = tuple(Carried(i, i, i, i) for i in range(count))
    sizes = {"input": scanned, "output": rows}
    slices = {kind: _slices(node, kind, count, size) for kind, size in sizes.items()}
    return Course(body, states, slices["input"], slices["output"], False)


def _slices(node: ir.Node, kind: str, first: int, size: int) -> tuple[Sliced, ...]:
    settings = (attribute(node, f"scan_{kind}_{key}") or [0] * size for key in ("axes", "directions"))
    axes, turns = cast("Iterator[list[int]]", settings)
    return tuple(Sliced(first + i, first + i, a, bool(t)) for i, (a, t) in enumerate(zip(axes, turns, strict=True)))
