"""LSTM, GRU and RNN written out step by step in standard ops, so that the rules for those do the rest.

Everything has the batch in front: the sequence is [N, T, I], a state [N, 1, H]. One product serves the inputs of all
steps; one more per step the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute, input_at
from rsp_onnx.graph.op_facts import MICROSOFT, Data, Role, Sign, facts_of, op_facts
from rsp_onnx.graph.upward import Asking, answer

from .cells import GRU, LSTM, RNN, Cell, Kind, State, functions_of
from .registry import Constant, Writing, expands

_HOW = "written out step by step in standard ops, over a known length"

op_facts("LSTM", "GRU", "RNN", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, weight=1)


def split_steps(op: Emitter, x: ir.Value, count: int, axis: int) -> list[ir.Value]:
    """Cut a tensor into its entries along an axis, which stays with size 1.

    By halves: the way back then costs T·log T instead of T² for T steps.
    """
    if count == 1:
        return [x]
    sizes = [count // 2, count - count // 2]
    halves = op.emit_many("Split", x, sizes, outputs=2, axis=axis)
    return [v for half, size in zip(halves, sizes, strict=True) for v in split_steps(op, half, size, axis)]


@expands("LSTM", f"{MICROSOFT}DynamicQuantizeLSTM", how=_HOW)
def expand_lstm(expansion: Writing, node: ir.Node) -> list[ir.Value]:
    """Return Y, Y_h and Y_c."""
    return _expand(expansion, node, LSTM)


@expands("GRU", how=_HOW)
def expand_gru(expansion: Writing, node: ir.Node) -> list[ir.Value]:
    """Return Y and Y_h."""
    return _expand(expansion, node, GRU)


@expands("RNN", how=_HOW)
def expand_rnn(expansion: Writing, node: ir.Node) -> list[ir.Value]:
    """Return Y and Y_h."""
    return _expand(expansion, node, RNN)


def _expand(expansion: Writing, node: ir.Node, kind: Kind) -> list[ir.Value]:
    """Write a recurrent layer out; CannotExpandError where its length or a weight is not known before run time."""
    op, constant = expansion.emitter(node.inputs[0]), expansion.constant
    layout = cast("int", attribute(node, "layout", 0))
    source = node.inputs[0]
    shape = [] if source is None or source.shape is None else list(source.shape)
    if source is None or len(shape) != 3 or not isinstance(shape[1 if layout else 0], int):
        raise CannotExpandError(
            "the length of its sequence is not known; give it with input_shapes, or export it fixed"
        )
    length = cast("int", shape[1 if layout else 0])
    x = source if layout else op.Transpose(source, perm=[1, 0, 2])
    mask = _mask(op, constant, input_at(node, 4), length)
    ways = {"forward": (False,), "reverse": (True,)}.get(str(attribute(node, "direction", "forward")), (False, True))
    sequences: list[ir.Value] = []
    finals: list[State] = []
    for index, backward in enumerate(ways):
        cell = _cell(op, constant, node, kind, index)
        state: State = [_initial(op, constant, node, s, index, layout) for s in range(5, 5 + kind.states)]
        steps = split_steps(op, op.MatMul(x, cell.w), length, 1)
        ys, state = _run(cell, partial(kind.step, cell), steps[::-1] if backward else steps, state,
                         mask[::-1] if backward else mask)  # fmt: skip
        sequences.append(op.Concat(*(ys[::-1] if backward else ys), axis=1))
        finals.append(state)
    return [
        _sequence(op, sequences, length, finals, cell.hidden, layout),
        *(_final(op, list(values), layout) for values in zip(*finals, strict=True)),
    ]


def _run(
    cell: Cell, step: Callable[[ir.Value, State], State], steps: Sequence[ir.Value], state: State,
    mask: Sequence[ir.Value | None],
) -> tuple[list[ir.Value], State]:  # fmt: skip
    """Return the outputs of all steps and the last state; behind its own end a sample keeps its state and puts out 0.

    mask: per step, where the samples go on; None where all do.
    """
    op, ys, zero = cell.op, [], np.zeros((1, 1, cell.hidden))
    for x, here in zip(steps, mask, strict=True):
        new = step(x, state)
        if here is None:
            ys.append(cast("ir.Value", new[0]))
            state = new
        else:
            ys.append(op.Where(here, new[0], zero))
            state = [op.Where(here, n, zero if old is None else old) for n, old in zip(new, state, strict=True)]
    return ys, state


def _sequence(
    op: Emitter, sequences: list[ir.Value], length: int, finals: list[State], hidden: int, layout: int
) -> ir.Value:
    """Return Y, [T, D, N, H] or [N, T, D, H]; both directions stand together as channels on the way."""
    if len(sequences) == 1:
        y = op.Unsqueeze(sequences[0], [2])
    else:
        y = op.Reshape(op.Concat(*sequences, axis=2), [0, length, len(sequences), hidden])
    return y if layout else op.Transpose(y, perm=[1, 2, 0, 3])


def _final(op: Emitter, values: list[ir.Value | None], layout: int) -> ir.Value:
    """Return Y_h or Y_c, [D, N, H] or [N, D, H]."""
    last = cast("list[ir.Value]", values)
    joined = last[0] if len(last) == 1 else op.Concat(*last, axis=1)
    return joined if layout else op.Transpose(joined, perm=[1, 0, 2])


def _mask(op: Emitter, constant: Constant, lengths: ir.Value | None, count: int) -> list[ir.Value | None]:
    """Return, per step, where a sample's sequence still goes on: bool [N, 1, 1]."""
    known = constant(lengths)
    if lengths is None or (known is not None and bool((known >= count).all())):
        return [None] * count
    if known is not None:
        return [op.constant(np.asarray(known).reshape(-1, 1, 1) > t) for t in range(count)]
    wide = op.Reshape(op.Cast(lengths, to=int(ir.DataType.INT64)), [-1, 1, 1])
    return [op.Greater(wide, t) for t in range(count)]


def _initial(op: Emitter, constant: Constant, node: ir.Node, slot: int, index: int, layout: int) -> ir.Value | None:
    """Return one direction's initial state [N, 1, H]; None where it is zero."""
    value = input_at(node, slot)
    if value is None or is_zero(constant, value):
        return None
    if str(attribute(node, "direction", "forward")) == "bidirectional":
        value = op.Slice(value, [index], [index + 1], [1 if layout else 0])
    return value if layout else op.Transpose(value, perm=[1, 0, 2])


def is_zero(constant: Constant, value: ir.Value) -> bool:
    """Tell of a tensor of zeros whose size may depend on the batch."""
    return answer(value, partial(_is_zero, constant), {})


def _is_zero(constant: Constant, value: ir.Value) -> Asking[ir.Value, bool]:
    known = constant(value)
    if known is not None:
        return not np.any(known)
    node = value.producer()
    if node is None:
        return False
    if node.op_type == "ConstantOfShape":
        fill = node.attributes.get("value")
        return fill is None or not np.any(fill.as_tensor().numpy())
    facts = facts_of(node)
    moves = facts.moves and facts.data not in (Data.QUANTISES, Data.JOINS, Data.PADS)
    if not moves and node.op_type != "Concat":
        return False
    for source in node.inputs if node.op_type == "Concat" else node.inputs[:1]:
        if source is None or not (yield source):
            return False
    return True


def _cell(op: Emitter, constant: Constant, node: ir.Node, kind: Kind, index: int) -> Cell:
    """Read one direction's weights and settings."""
    quantised = node.op_type.startswith("DynamicQuantize")
    weights = [_weight(constant, node, slot, 8 + 2 * i if quantised else None)[index] for i, slot in enumerate((1, 2))]
    w, r = (np.ascontiguousarray(v if quantised else v.T) for v in weights)
    hidden = len(r)
    bias = np.zeros(2 * r.shape[1]) if input_at(node, 3) is None else _weight(constant, node, 3)[index]
    look = None if input_at(node, 7) is None else _weight(constant, node, 7)[index]
    clip = attribute(node, "clip")
    flag = attribute(node, kind.flag, 0)
    return Cell(
        op, hidden, w, r, (bias[: bias.size // 2], bias[bias.size // 2 :]), look, functions_of(node, kind, index),
        None if clip is None else float(cast("float", clip)), bool(flag),
    )  # fmt: skip


def _weight(constant: Constant, node: ir.Node, slot: int, scale_slot: int | None = None) -> np.ndarray:
    """Return a weight as floats; the integers of a quantised one times their scale."""
    stored = constant(input_at(node, slot))
    if stored is None:
        raise CannotExpandError(f"its weights (input {slot}) are computed at run time; export them as constants")
    if scale_slot is None:
        return stored
    scale, zero = (constant(input_at(node, scale_slot + i)) for i in (0, 1))
    if scale is None:
        raise CannotExpandError(f"the scale of its weights (input {scale_slot}) is computed at run time")
    shift = np.zeros(1) if zero is None else zero.astype(np.float64)
    per = (len(stored), 1, -1)
    return (stored.astype(np.float64) - shift.reshape(per)) * scale.astype(np.float64).reshape(per)
