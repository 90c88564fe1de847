"""The network's picture: the nodes of the deployed model on the way from the explained inputs to the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Any

import networkx as nx
import onnx_ir as ir

from rsp_onnx.attribution.catalogue import load_method
from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.compiler.interface import emit_walk
from rsp_onnx.compiler.walk import feature_nodes, head_nodes
from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.nodes import captured
from rsp_onnx.graph.op_facts import Data, Layout, Role, facts_of, op_name
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.rulekit.context import Options


def layers_of(analysis: Analysis, reached: Set[str]) -> list[dict[str, Any]]:
    """Return what the page draws of a network, in the order of its nodes.

    Parameters
    ----------
    reached : set of str
        The tensors whose relevance is known, see ``tensors_reached``.

    Returns
    -------
    list of dict
        JSON-ready, per node: ``tensor`` (what it makes, which names the layer), ``op``, ``node``, ``shape`` (None or a
        word where free), ``reads`` (indices in this list), ``where`` (features, head or beside: relevance walks
        through the features, gradients through the head), ``hasMap``, and its ``family`` (convolution, dense, pooling,
        merging, pointwise, shape, other).
    """
    graph = analysis.model.ir.graph
    dag = _dag(graph)
    starts = {v.name for v in analysis.graph.inputs}
    ahead = _all_behind(dag, (v for v in graph.inputs if v.name in starts))
    values = {str(v.name): v for node in graph for v in node.outputs}
    end = values.get(analysis.output_name)
    behind = nx.ancestors(dag, end) if end is not None else set()
    nodes = [node for node in graph if node in ahead and node in behind]
    place = _places(analysis, dag, values)
    index = {node: n for n, node in enumerate(nodes)}
    return [_layer(analysis, node, index, place(node), reached) for node in nodes]


def _layer(
    analysis: Analysis, node: ir.Node, index: dict[ir.Node, int], where: str, reached: Set[str]
) -> dict[str, Any]:
    """Say what a node is."""
    names = [str(v.name) for v in node.outputs if v.name]
    tensor = next((name for name in names if name in reached), names[0])
    own = next(v for v in node.outputs if v.name == tensor)
    makers = (v.producer() for v in (*node.inputs, *captured(node)) if v is not None)
    reads = dict.fromkeys(index[maker] for maker in makers if maker is not None and maker in index)
    return {
        "tensor": tensor, "op": op_name(node), "node": str(node.name or ""),
        "shape": shape_of(analysis.graph.values.get(tensor, own)), "reads": list(reads), "where": where,
        "hasMap": tensor in reached, "family": _family(node, len(reads)),
    }  # fmt: skip


def _family(node: ir.Node, reads: int) -> str:
    """Return what a node does in the network's picture, ``Family`` of the page. reads: how many layers it reads."""
    facts = facts_of(node)
    if facts.role is Role.LAYER:
        return "convolution" if facts.layout is Layout.CHANNELS_FIRST else "dense"
    if facts.role is Role.POOL:
        return "pooling"
    if facts.role in (Role.ACTIVATION, Role.NORMALISATION) or facts.score_kind:
        return "pointwise"
    if facts.role is Role.ARITHMETIC or facts.data is Data.JOINS:
        return "merging" if reads > 1 else "pointwise"
    return "other" if facts.data in (Data.COMPUTES, Data.SELECTS) else "shape"


def shape_of(value: ir.Value) -> list[int | str | None]:
    """Return a tensor's shape; a word or None where a size is free."""
    return [d if isinstance(d, int) else getattr(d, "value", None) for d in value.shape or ()]


def _dag(graph: ir.Graph) -> nx.DiGraph[object]:
    dag: nx.DiGraph[object] = nx.DiGraph()
    dag.add_nodes_from(graph.inputs)
    for node in graph:
        dag.add_edges_from((v, node) for v in (*node.inputs, *captured(node)) if v is not None)
        dag.add_edges_from((node, v) for v in node.outputs)
    return dag


def _all_behind(dag: nx.DiGraph[object], starts: Iterable[object]) -> set[object]:
    return set().union(*(nx.descendants(dag, start) for start in starts if start in dag))


def tensors_reached(analysis: Analysis, method: str) -> frozenset[str]:
    """Return the names of the tensors whose relevance a method knows, and whose samples can be told apart.

    The method is emitted to see it, into a copy; nothing is compiled. None are known of methods that ask the model many
    times, nor where the method cannot be emitted.
    """
    chosen = load_method(method)
    if chosen.repetition is not None:
        return frozenset()
    try:
        ctx, outcome = emit_walk(analysis.copied(), chosen, Options())
    except (BadModel, BadInput):
        return frozenset()
    free = ctx.graph.batch is None
    return frozenset(str(v.name) for v in outcome.flow.at if not free or leads_with_batch(v))


def _places(analysis: Analysis, dag: nx.DiGraph[object], values: dict[str, ir.Value]) -> Callable[[ir.Node], str]:
    """Return what tells where a node lies; of those that the analysis has dissolved, their neighbours do."""
    graph, section = analysis.graph, analysis.section
    features = _names(feature_nodes(graph, section.value))
    head = _names(head_nodes(graph, section.value, analysis.logits))
    middle = values.get(section.name)
    before = nx.ancestors(dag, middle) if middle is not None else set()
    after = nx.descendants(dag, middle) if middle is not None else set()
    kept = _names(graph.above(analysis.logits))

    def place(node: ir.Node) -> str:
        names = {str(v.name) for v in node.outputs}
        if names & features or names & head:
            return "features" if names & features else "head"
        if names & kept:
            return "beside"
        return "head" if node in after else "features" if node in before else "beside"

    return place


def _names(nodes: Iterable[ir.Node]) -> set[str]:
    return {str(v.name) for node in nodes for v in node.outputs}
