"""Which tensors are made of weights alone, so that a runtime computes them once, when it loads a model."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from typing import TypeAlias

import onnx_ir as ir

from .op_facts import Data, facts_of
from .upward import Asking, answer

Known: TypeAlias = "MutableMapping[ir.Value, bool]"


def is_folded(value: ir.Value | None, known: Known | None = None) -> bool:
    """Tell of a weight, or of what is computed from weights alone: ONNX Runtime does that once, when it loads a model.

    Not of integers made numbers: it waits with those, since it may compute with the integers.

    known: what was found before, of a graph that has not changed since; what is found now is added.
    """
    return value is None or answer(value, partial(_is_made_of_weights, False), {} if known is None else known)


def is_constant(value: ir.Value, known: Known | None = None) -> bool:
    """Tell of a weight, or of what is computed from weights alone, integers made numbers too. known: see above."""
    return answer(value, partial(_is_made_of_weights, True), {} if known is None else known)


def _is_made_of_weights(integers: bool, value: ir.Value) -> Asking[ir.Value, bool]:
    node = value.producer()
    if node is None:
        return value.const_value is not None and not value.is_graph_input()
    if not node.inputs or (facts_of(node).data is Data.QUANTISES and not integers):
        return False
    for source in node.inputs:
        if source is not None and not (yield source):
            return False
    return True
