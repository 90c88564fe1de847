"""How much a graph computes and moves: multiply-adds and bytes, by kind of op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import onnx_ir as ir

from rsp_onnx.graph.nodes import subgraphs
from rsp_onnx.graph.op_facts import Data, Layout, OpFacts, Role, facts_of, facts_of_op

from .chains import fused_chains
from .table import Shape, Sizes

_THIN = 16  # products per entry moved, below which memory is the slower half of a product


class Kind(Enum):
    """What a processor does at a node; each kind has its rates, see ``rates.py``."""

    DENSE = "products of many numbers each: convolutions, matrices"
    THIN = "products of few numbers each: depthwise convolutions, narrow matrices"
    ENTRIES = "entry by entry"
    POOL = "several entries to one"
    MOVE = "copies entries"
    NOTHING = "changes the axes of the same memory, or says a size"


@dataclass(frozen=True)
class Amount:
    """What one node computes and moves when its graph is run once."""

    kind: Kind
    products: int
    bytes: int
    times: int = 1


@dataclass
class Amounts:
    """Sums over a graph's nodes, loops with all their steps.

    Attributes
    ----------
    nodes, products, bytes : int
        Nodes that do something, multiply-adds, bytes read and written.
    by_kind : dict
        (nodes, products, bytes) by kind.
    """

    by_kind: dict[Kind, tuple[int, int, int]] = field(default_factory=lambda: dict.fromkeys(Kind, (0, 0, 0)))

    def add(self, amount: Amount) -> None:
        """Count one node."""
        own = amount.times, amount.times * amount.products, amount.times * amount.bytes
        before = self.by_kind[amount.kind]
        self.by_kind[amount.kind] = (before[0] + own[0], before[1] + own[1], before[2] + own[2])

    @property
    def nodes(self) -> int:
        """Nodes that do something."""
        return sum(row[0] for kind, row in self.by_kind.items() if kind is not Kind.NOTHING)

    @property
    def products(self) -> int:
        """Multiply-adds."""
        return sum(row[1] for row in self.by_kind.values())

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return sum(row[2] for row in self.by_kind.values())


def amounts(graph: ir.Graph, sizes: Sizes, *, alone: bool = False) -> Amounts:
    """Return what a graph computes and moves when it is run once.

    alone: a model by itself, in which ONNX Runtime fuses chains of small steps; an explanation reads what is between.
    """
    chains = fused_chains(graph, lambda node: _is_small(node, sizes)) if alone else {}
    within = {node for chain in chains.values() for node in chain}
    total = Amounts()
    for node in graph:
        if node in chains:
            total.add(_of_chain(chains[node], sizes))
        elif node not in within:
            for amount in _of_node(node, sizes, 1):
                total.add(amount)
    return total


def _is_small(node: ir.Node, sizes: Sizes) -> bool:
    return not subgraphs(node) and _amount(node, sizes, 1).kind in (Kind.ENTRIES, Kind.POOL)


def _of_chain(chain: list[ir.Node], sizes: Sizes) -> Amount:
    """Return the amount of one pass: what a chain reads from outside, and its last output."""
    read = {v for node in chain for v in node.inputs if v is not None and v.producer() not in chain}
    return Amount(Kind.ENTRIES, 0, sum(map(sizes.bytes, read)) + sizes.bytes(chain[0].outputs[0]))


def _each(graph: ir.Graph, sizes: Sizes, times: int) -> Iterator[Amount]:
    for node in graph:
        yield from _of_node(node, sizes, times)


def _of_node(node: ir.Node, sizes: Sizes, times: int) -> Iterator[Amount]:
    bodies = subgraphs(node)
    if not bodies:
        yield _amount(node, sizes, times)
        return
    steps = times * sizes.trips.get(node, 1)
    branches = [list(_each(body, sizes, steps)) for body in bodies]
    yield from max(branches, key=lambda rows: sum(a.times * (a.products + a.bytes) for a in rows))


def _amount(node: ir.Node, sizes: Sizes, times: int) -> Amount:
    facts = facts_of(node)
    if sizes.is_folded(node.outputs[0]):
        return Amount(Kind.NOTHING, 0, 0, 0)
    if facts.view or all(v in sizes.values for v in node.outputs if v.name):
        return Amount(Kind.NOTHING, 0, 0, times)
    products = products_of(node, facts, sizes)
    entries = sum(sizes.entries(v) for v in (*node.inputs, *node.outputs))
    moved = 0 if is_fused(node, facts) else sum(sizes.bytes(v) for v in (*node.inputs, *node.outputs))
    return Amount(_kind(facts, products, entries), products, moved, times)


def products_of(node: ir.Node, facts: OpFacts, sizes: Sizes) -> int:
    """Return how many multiply-adds a node takes; 0 where its op multiplies entry by entry at most."""
    plain = facts_of_op(facts.stands_for) if facts.stands_for else None
    count = facts.products or (plain.products if plain else None)
    if count is None:
        return 0
    read = node.inputs if facts.role is not Role.LAYER else (node.inputs[0], node.inputs[_weight_slot(facts)])
    given: list[Shape] = [sizes.shapes.get(v, ()) if v is not None else () for v in read]
    out = sizes.shapes.get(node.outputs[0])
    return 0 if out is None or not all(given[:2]) else count(node, given, out)


def _weight_slot(facts: OpFacts) -> int:
    return facts.weight if facts.weight is not None and facts.weight > 0 else 1


def is_fused(node: ir.Node, facts: OpFacts) -> bool:
    """Tell of a node that ONNX Runtime computes within its neighbour.

    That is an activation or the addition of a bias behind a layer whose output nobody else reads, and a Transpose that
    products alone read.
    """
    variable = [v for v in node.inputs if v is not None and v.const_value is None]
    source = variable[0] if variable else None
    if source is None or node.outputs[0].is_graph_output():
        return False
    layer, bias = source.producer(), facts.sums and len(variable) == 1
    if (facts.role is Role.ACTIVATION or bias) and layer is not None and not source.is_graph_output():
        return facts_of(layer).role is Role.LAYER and len(list(source.uses())) == 1
    if facts.data is not Data.KEEPS or facts.view or source.dtype != node.outputs[0].dtype:
        return False
    readers = [facts_of(reader) for reader, _ in node.outputs[0].uses()]
    return bool(readers) and all(f.role is Role.LAYER and f.layout is Layout.CHANNELS_LAST for f in readers)


def _kind(facts: OpFacts, products: int, entries: int) -> Kind:
    if products:
        return Kind.DENSE if products >= _THIN * entries else Kind.THIN
    if facts.role is Role.POOL:
        return Kind.POOL
    return Kind.MOVE if facts.moves and facts.role is not Role.ARITHMETIC else Kind.ENTRIES
