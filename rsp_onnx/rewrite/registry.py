"""Which ops are written out in standard ops before the walk, by whom, and how: `@expands` registers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import op_name
from rsp_onnx.graph.rule_modules import note_author


class Writing(Protocol):
    """What whoever writes a node out may ask: see ``Expansion``.

    Attributes
    ----------
    opsets : dict of str to int
        The versions of the domains that the model imports.
    """

    opsets: dict[str, int]

    @property
    def opset(self) -> int:
        """The version of ONNX's own ops that the model is written in."""

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return what is known of a tensor before run time."""

    def emitter(self, value: ir.Value | None) -> Emitter:
        """Return the emitter whose floats have a tensor's type."""

    def initializer(self, array: np.ndarray, name: str) -> ir.Value:
        """Add a constant of exactly this type."""

    def inline(self, body: ir.Graph, given: Sequence[ir.Value], prefix: str) -> list[ir.Value]:
        """Copy a subgraph's nodes into the graph, on these inputs, and return its outputs."""


Handler: TypeAlias = "Callable[[Any, ir.Node], Sequence[ir.Value | None] | None]"  # of a Writing and a node
Constant: TypeAlias = "Callable[[ir.Value | None], np.ndarray | None]"  # what is known of a tensor before run time
WHY = "rsp_onnx/why"  # what kept a node from being written out, noted on it
MOST_UNROLLED = 24  # steps; with more a loop compiles ten times as fast, and runs no slower
KEPT = "rsp_onnx/kept"  # noted on a loop that stays one
_HANDLERS: dict[str, Handler] = {}
_HOW: dict[str, str] = {}


def expands(*ops: str, how: str) -> Callable[[Handler], Handler]:
    """Register who writes ops out: ``(expansion, node) -> what stands for each output``; None where nothing changes.

    how: what is done, for the list of ops. Empty for an op with a rule, of which a variant only is written out.
    """

    def register(handler: Handler) -> Handler:
        note_author(handler.__module__)
        for op in ops:
            if op in _HANDLERS:
                raise ValueError(f"{op} is written out by two handlers; keep one")
            _HANDLERS[op], _HOW[op] = handler, how
        return handler

    return register


def handler_of(node: ir.Node) -> Handler | None:
    """Return who writes a node out; None for all others."""
    return _HANDLERS.get(op_name(node))


def has_rule_too(node: ir.Node) -> bool:
    """Tell of an op of which a variant only is written out."""
    return not _HOW.get(op_name(node), "")


def expanded_ops() -> dict[str, str]:
    """Return the ops that are written out in standard ops before the walk, and how."""
    return {op: how for op, how in _HOW.items() if how}
