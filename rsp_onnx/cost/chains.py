"""Chains of small steps that ONNX Runtime computes in one pass where a model runs alone: LayerNorm, GELU in parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container

import onnx_ir as ir

Small = Callable[[ir.Node], bool]
_SHORTEST = 4  # nodes: what is fused by activation, such as SiLU, has fewer and saves little


def fused_chains(graph: ir.Graph, small: Small) -> dict[ir.Node, list[ir.Node]]:
    """Return the chains by their last node, that node included.

    A chain computes one tensor from one other (weights aside) by steps entry by entry and reductions, and nobody else
    reads what lies between. ONNX Runtime's fusions are such chains; that it knows this one is taken for granted.

    Parameters
    ----------
    small : callable
        Tells of a node that it works entry by entry, or reduces.
    """
    chains: dict[ir.Node, list[ir.Node]] = {}
    taken: set[ir.Node] = set()
    for last in reversed(list(graph)):
        if last in taken or not small(last):
            continue
        chain = _behind(last, small)
        if len(chain) >= _SHORTEST and len(_read_from_outside(chain)) == 1:
            chains[last] = list(chain)
            taken.update(chain)
    return chains


def _behind(last: ir.Node, small: Small) -> dict[ir.Node, None]:
    """Return the node and all small ones that nobody reads but they.

    A node is looked at whenever one of its readers was taken: at the last of them it is found to have no others.
    """
    chain, fresh = {last: None}, [last]
    while fresh:
        found = {v.producer(): None for node in fresh for v in node.inputs if v is not None}
        fresh = [n for n in found if n is not None and n not in chain and small(n) and _only_for(n, chain)]
        chain.update(dict.fromkeys(fresh))
    return chain


def _only_for(node: ir.Node, chain: Container[ir.Node]) -> bool:
    return not any(v.is_graph_output() or any(reader not in chain for reader, _ in v.uses()) for v in node.outputs)


def _read_from_outside(chain: Collection[ir.Node]) -> set[ir.Value]:
    read = {v for node in chain for v in node.inputs if v is not None and v.const_value is None}
    return {v for v in read if v.producer() not in chain}
