"""One sweep over a model's nodes that writes out what it can, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.op_facts import facts_of

from .registry import WHY, expands, handler_of
from .sequences import Sequences

_FOLDED = 4096  # entries of a constant that is worth knowing: indices and conditions, not weights


class _Writer(Emitter):
    """Writes nodes named after the node that they write out."""

    prefix = ""

    def _fresh(self, word: str) -> str:
        while True:
            self._count += 1
            name = f"{self.prefix}/{word}_{self._count}"
            if name not in self._taken and f"{name}:0" not in self._taken:
                return name


class Expansion:
    """One sweep over a model's nodes."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self.opsets = dict(model.graph.opset_imports)
        self.changed = False
        self._folded = Graph(model, [], lambda node, output: True)
        self._writers: dict[ir.DataType, _Writer] = {}
        self._writing = ""  # the name of the node that is being written out
        self._instead: dict[ir.Value, ir.Value] = {}
        self._kept = {v for node in model.graph for v in node.outputs}  # tensors that have their own names
        self.sequences = Sequences(lambda: self.emitter(None), self.constant)

    @property
    def opset(self) -> int:
        """The version of ONNX's own ops that the model is written in."""
        return self.graph.opset_imports[""]

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return what is known of a tensor before run time."""
        return self._folded.constant(value)

    def emitter(self, value: ir.Value | None) -> Emitter:
        """Return the emitter whose floats have a tensor's type."""
        dtype = value.dtype if value is not None else None
        if dtype is None or not dtype.is_floating_point():
            dtype = ir.DataType.FLOAT
        if dtype not in self._writers:
            self._writers[dtype] = _Writer(self.graph, dtype.numpy())
        self._writers[dtype].prefix = self._writing
        return self._writers[dtype]

    def visit(self, node: ir.Node) -> None:
        """Write a node out if it is one of ours and all is known."""
        handler = handler_of(node)
        if handler is None:
            return
        before, self._writing = self._writing, str(node.name)
        try:
            results = handler(self, node)
        except CannotExpandError as error:
            node.meta[WHY] = str(error)
            results = None
        finally:
            self._writing = before
        if results is not None:
            self._replace(node, results)

    def now(self, value: ir.Value) -> ir.Value:
        """Return what stands in for a value by now."""
        while value in self._instead:
            value = self._instead[value]
        return value

    def _replace(self, node: ir.Node, results: Sequence[ir.Value | None]) -> None:
        """Put results in the place of a node's outputs; None where nobody reads one."""
        self.changed = True
        for old, new in zip(node.outputs, results, strict=False):
            if new is None:
                continue
            if old.is_graph_output() and (new.producer() is None or new.is_graph_output()):
                new = self.emitter(old).Identity(new)  # an output of the model has a node of its own
            if new.type is None:
                new.type = old.type
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            self._instead[old] = new
            if old.name and new.producer() is not None and new not in self._kept:
                new.name, old.name = old.name, None  # what takes a tensor's place takes its name
                self._kept.add(new)
        self.graph.remove(node, safe=True)

    def inline(self, body: ir.Graph, given: Sequence[ir.Value], prefix: str) -> list[ir.Value]:
        """Copy a subgraph's nodes into the graph, on these inputs, and return its outputs."""
        copy = body.clone(allow_outer_scope_values=True)
        outputs, nodes = list(copy.outputs), list(copy)
        copy.outputs.clear()
        for formal, actual in zip(copy.inputs, given, strict=True):
            formal.replace_all_uses_with(actual)
            self._instead[formal] = actual
        for value in list(copy.initializers.values()):
            del copy.initializers[str(value.name)]
            value.name = f"{prefix}/{value.name}"
            self.graph.register_initializer(value)
        copy.remove(nodes)
        for node in nodes:
            node.name = f"{prefix}/{node.name}"
            for value in node.outputs:
                value.name, value.shape = f"{prefix}/{value.name}" if value.name else None, None
        self.graph.extend(nodes)
        for node in nodes:
            if not self._fold(node):
                self.visit(node)
        return [self.now(v) for v in outputs]

    def _fold(self, node: ir.Node) -> bool:
        """Replace a node by constants where they are small and known."""
        if handler_of(node) is not None or facts_of(node).random:
            return False
        known = [self.constant(v) for v in node.outputs]
        if any(k is None or k.size > _FOLDED for k in known):
            return False
        self._replace(node, [self.initializer(cast("np.ndarray", k), str(v.name))
                             for k, v in zip(known, node.outputs, strict=True)])  # fmt: skip
        return True

    def initializer(self, array: np.ndarray, name: str) -> ir.Value:
        """Add a constant of exactly this type."""
        value = ir.Value(name=f"{name}/known", const_value=ir.tensor(array))
        value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
        self.graph.register_initializer(value)
        return value


@expands(
    "SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceErase", "SplitToSequence", "SequenceAt",
    "SequenceLength", "ConcatFromSequence",
    how="resolved to its tensors",
)  # fmt: skip
def resolve(expansion: Expansion, node: ir.Node) -> Sequence[ir.Value] | None:
    """Note what a node writes into a sequence, or return what it reads."""
    return expansion.sequences.resolve(node)


@expands("SequenceMap", how="written out for every tensor that its sequence holds")
def map_over(expansion: Expansion, node: ir.Node) -> Sequence[ir.Value]:
    """Copy the body once per tensor, and make sequences of the tensors that come out.

    Raises
    ------
    CannotExpandError
        What its sequence holds is not known before run time, or it is empty.
    """
    held = [expansion.sequences.held(v) for v in node.inputs]
    if not held[0]:
        raise CannotExpandError("what its sequence holds is not known before run time, or nothing")
    rows = []
    for i in range(len(held[0])):
        given = [cast("ir.Value", v) if items is None else items[i] for v, items in zip(node.inputs, held, strict=True)]
        rows.append(expansion.inline(node.attributes["body"].as_graph(), given, f"{node.name}/{i}"))
    results = [expansion.emitter(None).SequenceConstruct(*items) for items in zip(*rows, strict=True)]
    for result, items in zip(results, zip(*rows, strict=True), strict=True):
        expansion.sequences.note(result, list(items))
    return results


@expands("Optional", "OptionalGetElement", how="resolved to the tensor it holds")
def hand_on(expansion: Expansion, node: ir.Node) -> Sequence[ir.Value]:
    """Return what an optional tensor is of, or what it holds.

    Raises
    ------
    CannotExpandError
        It holds nothing.
    """
    if not node.inputs or node.inputs[0] is None:
        raise CannotExpandError("it may hold nothing")
    return [node.inputs[0]]


@expands("ai.onnx.ml::ZipMap", how="taken off when the model is loaded: it only names the scores")
def leave(expansion: Expansion, node: ir.Node) -> None:
    """Leave what is no model's own any more."""
