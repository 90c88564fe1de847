"""The networkx DAG of a canonized model and what it answers: order, dominators, constants, the image's reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import networkx as nx
import numpy as np
import onnx_ir as ir

from .fold import fold_node
from .nodes import captured, subgraphs
from .op_facts import STANDARD, is_layer
from .shapes import Dims, carries, dims, leads_with_batch
from .token_ids import is_id_step
from .upward import Asking, answer

Stops: TypeAlias = "Callable[[ir.Node, int | None], bool]"


def tensors(model: ir.Model) -> list[ir.Value]:
    """Return every tensor of the main graph in a fixed order: inputs, initializers, what the nodes write."""
    graph = model.graph
    return [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]


class Graph:
    """A canonized model as a DAG of tensors and op nodes, seen from the explained inputs.

    Parameters
    ----------
    model : onnx_ir.Model
        Canonized, with fixed shapes.
    explained : sequence of str
        Names of the inputs whose relevance is wanted.
    stops : callable
        Tells of a node that nothing flows through it (Shape, ArgMax, ...), or out of the output of a number.
    batch : int, optional
        The batch size, where it does not stand in front of the first input; 0 where it is free.
    hidden : set of onnx_ir.Value, optional
        Inputs that are no images: of a loop's body what earlier layers made.
    """

    def __init__(
        self, model: ir.Model, explained: Sequence[str], stops: Stops, batch: int | None = None,
        hidden: frozenset[ir.Value] = frozenset(),
    ) -> None:  # fmt: skip
        self.model, self.hidden = model, hidden
        self.nodes: tuple[ir.Node, ...] = tuple(model.graph)
        self.inputs = tuple(v for v in model.graph.inputs if v.name in set(explained))
        self.values: dict[str, ir.Value] = {str(v.name): v for v in tensors(model) if v.name}
        self._stops, self._batch = stops, batch
        self._constants: dict[ir.Value, np.ndarray | None] = {}
        self.one_sided: dict[tuple[ir.Value, bool], bool] = {}  # see ``signs``
        self.dag: nx.DiGraph[object] = self._build(stops)
        self._uses = {v: tuple(dict.fromkeys(v.consumers())) for v in self.values.values()}

    def seen_from(self, explained: Sequence[str], batch: int | None = None) -> Graph:
        """Return the same model's graph as seen from other inputs. batch: where it is none of the first input's."""
        return Graph(self.model, explained, self._stops, batch)

    def copied(
        self, *changes: Callable[[ir.Model], None], batch_stays: bool = True
    ) -> tuple[Graph, dict[ir.Value, ir.Value]]:
        """Return a graph of its own to write into, and which of its tensors is which of ours.

        changes: of the copy, such as telling it more of its sizes. batch_stays: they leave the batch as it is.
        """
        model = self.model.clone()
        twins = dict(zip(tensors(self.model), tensors(model), strict=True))
        for change in changes:
            change(model)
        copy = Graph(model, [str(v.name) for v in self.inputs], self._stops, self._batch if batch_stays else None)
        known = self._constants.items()
        copy._constants = {twins[v]: a for v, a in known if v in twins and (a is not None or not changes)}
        return copy, twins

    def _build(self, stops: Stops) -> nx.DiGraph[object]:
        dag: nx.DiGraph[object] = nx.DiGraph()
        dag.add_nodes_from(self.inputs)
        for node in self.nodes:
            sources = [v for v in (*node.inputs, *captured(node)) if v is not None and v in dag]
            ids = is_id_step(node)  # a rounded id is an id
            if not sources or (stops(node, None) and not ids):
                continue
            passed = [v for i, v in enumerate(node.outputs) if ids or not stops(node, i)]
            results = [v for v in passed if carries(v) and not _scales(v)]
            dag.add_edges_from((source, node) for source in sources if results)
            dag.add_edges_from((node, result) for result in results)
        return dag

    def active(self, value: ir.Value | None) -> bool:
        """Tell whether a tensor depends on an explained input."""
        return value is not None and value in self.dag

    def active_inputs(self, node: ir.Node) -> list[ir.Value]:
        """Return the node's inputs that depend on an explained input."""
        return [v for v in node.inputs if v is not None and self.active(v)]

    def consumers(self, value: ir.Value) -> tuple[ir.Node, ...]:
        """Return the model's own nodes that read a tensor (never the emitted ones)."""
        return self._uses.get(value, ())

    def computed_from(self, value: ir.Value, source: ir.Value) -> bool:
        """Tell whether one tensor is computed from another."""
        return value is not source and nx.has_path(self.dag, source, value)

    def between(self, sources: Iterable[ir.Value], end: ir.Value) -> list[ir.Node]:
        """Return the op nodes on some path from the sources to a tensor, in order."""
        behind = nx.ancestors(self.dag, end) if end in self.dag else set()
        ahead: set[object] = set()
        for source in sources:
            ahead |= nx.descendants(self.dag, source)
        return [node for node in self.nodes if node in behind and node in ahead]

    def above(self, value: ir.Value) -> list[ir.Node]:
        """Return every node a tensor is computed by, whether or not anything flows through it."""
        seen: set[ir.Node] = set()
        waiting = [value]
        while waiting:
            node = waiting.pop().producer()
            if node is not None and node not in seen:
                seen.add(node)
                waiting.extend(v for v in (*node.inputs, *captured(node)) if v is not None)
        return [node for node in self.nodes if node in seen]

    def dominators(self, end: ir.Value) -> list[ir.Value]:
        """Return the tensors that every path from the explained inputs to ``end`` crosses, last first."""
        if end not in self.dag:
            return []
        root = object()
        dag = self.dag.subgraph(nx.ancestors(self.dag, end) | {end}).copy()
        dag.add_edges_from((root, v) for v in self.inputs if v in dag)
        above = nx.immediate_dominators(dag, root)
        chain: list[ir.Value] = []
        here: object = end
        while here is not root and here is not None:
            if isinstance(here, ir.Value):
                chain.append(here)
            here = above[here]
        return chain

    @property
    def batch(self) -> int | None:
        """The batch size the graph fixes, or None where it is free."""
        if self._batch is not None:
            return self._batch or None
        wide = [v for v in self.inputs if self.dims(v)]
        return self.dims(wide[0])[0] if wide else 1

    def moves_batch(self) -> bool:
        """Tell whether a layer with weights sees the batch merged with another axis, or not in front.

        Their rules work sample by sample; ops that only move or multiply values do not care.
        """
        layers = [n for n in self.nodes if is_layer(n) and len(self.active_inputs(n)) == 1]
        seen = (v for n in layers for v in (*self.active_inputs(n), *n.outputs) if v.shape is not None)
        return any(not leads_with_batch(v) for v in seen)

    def dims(self, value: ir.Value) -> Dims:
        """Return a tensor's shape, None where free."""
        return dims(value)

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return the value of a tensor that does not depend on any input, or None."""
        return None if value is None else answer(value, self._constant, self._constants)

    def _constant(self, value: ir.Value) -> Asking[ir.Value, np.ndarray | None]:
        if value.const_value is not None and not value.is_graph_input():
            return value.const_value.numpy()
        node = value.producer()
        if node is None or subgraphs(node):
            return None
        if node.op_type == "Shape" and node.domain in STANDARD:
            return self._shape_constant(node)
        arrays: list[np.ndarray | None] = []
        for source in node.inputs:
            arrays.append(None if source is None else (yield source))
            if source is not None and arrays[-1] is None:
                return None
        results = fold_node(node, self.model.graph.opset_imports, arrays)
        self._constants.update(zip(node.outputs, results, strict=False))
        return self._constants.get(value)

    def _shape_constant(self, node: ir.Node) -> np.ndarray | None:
        source = node.inputs[0]
        if source is None or source.shape is None:
            return None
        shape = self.dims(source)
        end = node.attributes.get("end")
        part = shape[node.attributes.get_int("start", 0) : None if end is None else end.as_int()]
        return None if None in part else np.array(part, dtype=np.int64)


def _scales(value: ir.Value) -> bool:
    """Tell of the scale or zero point of a quantisation: found in the image, it is a statistic; nothing flows there."""
    uses = ((n.op_type, index) for n, index in value.uses())
    return any(op in ("QuantizeLinear", "DequantizeLinear") and index in (1, 2) for op, index in uses)


def activation_bytes(graph: Graph) -> int:
    """Return the bytes of all tensors that depend on the input, for one sample in float32."""
    values = (v for node in graph.nodes for v in node.outputs if graph.active(v))
    return sum(4 * math.prod(d or 1 for d in graph.dims(v)[1:]) for v in values)
