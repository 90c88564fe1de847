"""What an op is, said once beside its rule and read by everybody who must know: `op_facts(...)` declares it.

Whoever walks the graph asks here instead of keeping a list of op names, so that a new op is known everywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnx
import onnx_ir as ir

from .rule_modules import load_all_rules, note_author
from .upward import Asking, answer

Found: TypeAlias = "MutableMapping[ir.Value, bool]"  # of tensors of a graph that has not changed since
STANDARD = ("", "ai.onnx")
MICROSOFT = "com.microsoft::"


class Data(Enum):
    """What an op does with the entries of the tensor it reads (its first input, unless all are read)."""

    COMPUTES = "makes new numbers"
    KEEPS = "hands on all entries, in another shape, order of axes or precision"
    QUANTISES = "hands on all entries, as integers or as the numbers that integers stand for"
    REARRANGES = "hands on all entries, in another order"
    PICKS = "takes some entries, by index"
    CROPS = "takes a part of the extent"
    COPIES = "hands on entries several times"
    PADS = "puts constants around or in place of entries"
    JOINS = "puts tensors together"
    SELECTS = "takes the largest or smallest entries, by value"


class Role(Enum):
    """What an op is in a network."""

    LAYER = "a layer with weights"
    ACTIVATION = "an elementwise nonlinearity"
    NORMALISATION = "divides by a statistic"
    POOL = "makes one number of several positions"
    ARITHMETIC = "adds, multiplies or compares entry by entry"
    OTHER = "none of these"


class Sign(Enum):
    """What is known of the sign of an op's output."""

    ANY = "nothing"
    NONNEGATIVE = "never negative"
    UNIT = "from 0 to 1, as gates and probabilities are"
    NONPOSITIVE = "never positive"
    KEEPS = "that of what it reads"
    KEEPS_NONNEGATIVE = "never negative where what it reads is not"
    TURNS = "never positive where what it reads is not negative"


class Layout(Enum):
    """Where an op puts the channels of its output."""

    CHANNELS_FIRST = "behind the batch, positions after them"
    CHANNELS_LAST = "last, as the features of tokens"
    UNKNOWN = "as in its input, or anywhere"


class Known(Protocol):
    """What a graph knows of its tensors before run time: see ``Graph``."""

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return the value of a tensor that does not depend on any input, or None."""


SignOf: TypeAlias = "Callable[[Known, ir.Node], Sign]"
Sizes: TypeAlias = "tuple[int, ...]"
ProductsOf: TypeAlias = "Callable[[ir.Node, Sequence[Sizes], Sizes], int]"


@dataclass(frozen=True)
class OpFacts:
    """The facts of one op.

    Attributes
    ----------
    data, role, layout
        See there.
    sign : Sign or callable
        Of the output; a callable ``(known, node) -> Sign`` where it depends on the node.
    data_inputs : int, optional
        How many inputs in front are data; None for all of them.
    stands_for : str
        The op in floating point, without what was fused to it: Conv for QLinearConv. Empty for the op itself.
    score_kind : str
        What the scores are if it ends the model: softmax, log-softmax, sigmoid. Empty for no such op.
    affine : bool
        With constants for all inputs but one, an affine map of it, entry by entry (per channel).
    sums : bool
        The output is the sum or mean of the inputs.
    deviation : bool
        The output may be the deviation or norm that something is divided by.
    weight : int or None
        The input that holds a layer's weights; −1 where either side of a product may.
    output_scale : int, optional
        Of an op that writes integers, the input with their scale; the zero point is the next.
    integer_sums : bool
        Its int32 outputs are sums of products; any other int32 is an index.
    products : callable, optional
        ``(node, sizes, out) -> int``, how many multiply-adds it takes; ``sizes`` are those of its inputs in order (of a
        layer the data and the weight alone), ``out`` those of its first output. None for no more than one per entry.
    view : bool
        Its output is its input's memory under other axes: nothing is copied.
    writes_sequence : bool
        Its output is a sequence of tensors, which has no shape.
    one_hot : bool
        It may turn ids into one-hot rows.
    finds : bool
        How many entries it writes depends on the values it reads.
    random : bool
        It may draw its output at random: two nodes that are alike put out different numbers.
    keeps_totals : bool
        Its gradient has the same sum in every channel before it as behind it: it moves entries within a channel, or
        flattens channels behind each other.
    loses : str
        When its rule loses or makes relevance. Empty where it keeps the sum.
    """

    data: Data
    role: Role
    sign: Sign | SignOf
    layout: Layout = Layout.UNKNOWN
    data_inputs: int | None = 1
    stands_for: str = ""
    score_kind: str = ""
    affine: bool = False
    sums: bool = False
    deviation: bool = False
    weight: int | None = None
    output_scale: int | None = None
    integer_sums: bool = False
    products: ProductsOf | None = None
    view: bool = False
    writes_sequence: bool = False
    one_hot: bool = False
    finds: bool = False
    random: bool = False
    keeps_totals: bool = False
    loses: str = ""

    @property
    def neutral(self) -> bool:
        """Tell of an op behind which all entries stand as before it."""
        return self.data in (Data.KEEPS, Data.QUANTISES)

    @property
    def moves(self) -> bool:
        """Tell of an op whose outputs are entries of its inputs, in other places."""
        return self.data is not Data.COMPUTES


NOTHING_KNOWN = OpFacts(Data.COMPUTES, Role.OTHER, Sign.ANY)
_FACTS: dict[str, OpFacts] = {}


def op_name(node: ir.Node | onnx.NodeProto) -> str:
    """Return the op type, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in STANDARD else f"{node.domain}::{node.op_type}"


def op_facts(*ops: str, **facts: Any) -> None:
    """Declare the facts of ops by name, with the domain where it is not ONNX's own (``my.domain::Op``).

    facts: those of ``OpFacts``; data, role and sign must be said.

    Raises
    ------
    ValueError
        The facts of an op are declared already.
    """
    declared = OpFacts(**facts)
    note_author(sys._getframe(1).f_globals.get("__name__", ""))
    for op in ops:
        if op in _FACTS:
            raise ValueError(f"the facts of {op} are declared twice; keep one declaration")
        _FACTS[op] = declared


def facts_of(node: ir.Node) -> OpFacts:
    """Return the facts of a node's op; of an op nobody declared, that nothing is known."""
    load_all_rules()
    return _FACTS.get(op_name(node), NOTHING_KNOWN)


def facts_of_op(op: str) -> OpFacts | None:
    """Return the facts of an op by name; None where nobody declared them."""
    load_all_rules()
    return _FACTS.get(op)


def plain_op(node: ir.Node) -> str:
    """Return the op type without quantisation and fused activations: Conv for QLinearConv and FusedConv."""
    return facts_of(node).stands_for or node.op_type


def is_layer(node: ir.Node) -> bool:
    """Tell of a layer with weights."""
    return facts_of(node).role is Role.LAYER


def is_folded(value: ir.Value | None, known: Found | None = None) -> bool:
    """Tell of a weight, or of what is computed from weights alone: ONNX Runtime does that once, when it loads a model.

    Not of integers made numbers: it waits with those, since it may compute with the integers.

    known: what was found before, of a graph that has not changed since; what is found now is added.
    """
    return value is None or answer(value, partial(_is_made_of_weights, False), {} if known is None else known)


def is_constant(value: ir.Value, known: Found | None = None) -> bool:
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
