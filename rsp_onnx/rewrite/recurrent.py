"""LSTM, GRU and RNN written out in standard ops, so that the rules for those do the rest: step by step, or as a loop.

Everything has the batch in front: the sequence is [N, T, I], a state [N, 1, H]. One product serves the inputs of all
steps; one more per step the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute, input_at
from rsp_onnx.graph.op_facts import MICROSOFT, Data, Layout, Role, Sign, op_facts
from rsp_onnx.graph.signs import is_zero

from .cells import GRU, LSTM, RNN, Cell, Kind, State, functions_of
from .registry import MOST_UNROLLED, Constant, Writing, expands

_HOW = "written out in standard ops, over a known length: step by step where it is short, else as a Scan"

op_facts(
    "LSTM", "GRU", "RNN", role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, layout=Layout.CHANNELS_LAST, weight=1,
    products=lambda node, sizes, out: math.prod(sizes[0][:2]) * (math.prod(sizes[1]) + math.prod(sizes[2])),
)  # fmt: skip


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
    run = _scanned if length > MOST_UNROLLED else _unrolled
    ways = {"forward": (False,), "reverse": (True,)}.get(str(attribute(node, "direction", "forward")), (False, True))
    sequences: list[ir.Value] = []
    finals: list[State] = []
    for index, backward in enumerate(ways):
        cell = _cell(op, constant, node, kind, index)
        state: State = [_initial(op, constant, node, s, index, layout) for s in range(5, 5 + kind.states)]
        lengths = _lengths(op, constant, input_at(node, 4), length)
        y, state = run(_Run(cell, kind, op.MatMul(x, cell.w), length, lengths, backward), state)
        sequences.append(y)
        finals.append(state)
    return [
        _sequence(op, sequences, length, finals, cell.hidden, layout),
        *(_final(op, list(values), layout) for values in zip(*finals, strict=True)),
    ]


@dataclass(frozen=True)
class _Run:
    """One direction of a layer over a sequence.

    Attributes
    ----------
    x : onnx_ir.Value
        What the steps read of the input, [N, T, g·H].
    lengths : onnx_ir.Value, optional
        How long each sample is, int64 [N, 1, 1]; behind its own end a sample keeps its state and puts out 0.
    backward : bool
        From the last step to the first.
    """

    cell: Cell
    kind: Kind
    x: ir.Value
    length: int
    lengths: ir.Value | None
    backward: bool


def _step(run: _Run, op: Emitter, x: ir.Value, state: State, here: ir.Value | None) -> tuple[ir.Value, State]:
    """Return what a step puts out, and its state. here: bool [N, 1, 1], where the samples go on; None where all do."""
    new, zero = run.kind.step(replace(run.cell, op=op), x, state), np.zeros((1, 1, run.cell.hidden))
    y = cast("ir.Value", new[0])
    if here is None:
        return y, new
    return op.Where(here, y, zero), [
        op.Where(here, n, zero if old is None else old) for n, old in zip(new, state, strict=True)
    ]


def _unrolled(run: _Run, state: State) -> tuple[ir.Value, State]:
    """Write all steps; return the outputs of all, [N, T, H], and the last state."""
    op, ys = run.cell.op, []
    steps = split_steps(op, run.x, run.length, 1)
    for t in reversed(range(run.length)) if run.backward else range(run.length):
        here = None if run.lengths is None else op.Greater(run.lengths, t)
        y, state = _step(run, op, steps[t], state, here)
        ys.append(y)
    return op.Concat(*(ys[::-1] if run.backward else ys), axis=1), state


def _scanned(run: _Run, state: State) -> tuple[ir.Value, State]:
    """Write the first step, and one for all others as the body of a Scan; return as ``_unrolled`` does.

    The first step has no state to read where the layer begins with none.
    """
    op, sizes = run.cell.op, [run.length - 1, 1] if run.backward else [1, run.length - 1]
    halves = list(op.emit_many("Split", run.x, sizes, outputs=2, axis=1))
    x, rest = halves[::-1] if run.backward else halves
    here = None if run.lengths is None else op.Greater(run.lengths, run.length - 1 if run.backward else 0)
    y, state = _step(run, op, x, state, here)
    scanned = [op.Transpose(rest, perm=[1, 0, 2])]
    if run.lengths is not None:  # where each step goes on, [T − 1, N]
        numbers = np.arange(run.length)[:-1] if run.backward else np.arange(run.length)[1:]
        scanned.append(op.Greater(op.Reshape(run.lengths, [1, -1]), numbers[:, None]))
    *ends, ys = op.emit_many(
        "Scan", *state, *scanned, outputs=len(state) + 1, num_scan_inputs=len(scanned), body=_body(run, len(state)),
        scan_input_directions=[int(run.backward)] * len(scanned), scan_output_directions=[int(run.backward)],
    )  # fmt: skip
    ys = op.Transpose(ys, perm=[1, 0, 2])
    return op.Concat(*((ys, y) if run.backward else (y, ys)), axis=1), list(ends)


def _body(run: _Run, states: int) -> ir.Graph:
    """Write a step as the body of a Scan: (states [N, 1, H]..., x [N, g·H], where it goes on [N]) → (states..., y)."""
    op = run.cell.op
    prefix = op.fresh("Steps")
    given = [ir.Value(name=f"{prefix}/given_{i}", type=ir.TensorType(op.type)) for i in range(states + 1)]
    if run.lengths is not None:
        given.append(ir.Value(name=f"{prefix}/here", type=ir.TensorType(ir.DataType.BOOL)))
    body = ir.Graph(given, [], nodes=[], opset_imports=dict(op.graph.opset_imports), name="step")
    inner = Emitter(body, op.dtype, word=prefix)
    here = inner.Unsqueeze(given[-1], [1, 2]) if run.lengths is not None else None
    y, state = _step(run, inner, inner.Unsqueeze(given[states], [1]), list(given[:states]), here)
    body.outputs.extend([*(inner.Identity(v) for v in state), inner.Squeeze(y, [1])])
    for value in body.outputs:
        value.type = ir.TensorType(op.type)
    for value in list(body.initializers.values()):
        del body.initializers[str(value.name)]
        op.graph.register_initializer(value)
    return body


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


def _lengths(op: Emitter, constant: Constant, lengths: ir.Value | None, count: int) -> ir.Value | None:
    """Return how long each sample's sequence is, int64 [N, 1, 1]; None where all have every step."""
    known = constant(lengths)
    if lengths is None or (known is not None and bool((known >= count).all())):
        return None
    if known is not None:
        return op.constant(known.astype(np.int64).reshape(-1, 1, 1))
    return op.Reshape(op.Cast(lengths, to=int(ir.DataType.INT64)), [-1, 1, 1])


def _initial(op: Emitter, constant: Constant, node: ir.Node, slot: int, index: int, layout: int) -> ir.Value | None:
    """Return one direction's initial state [N, 1, H]; None where it is zero."""
    value = input_at(node, slot)
    if value is None or is_zero(constant, value):
        return None
    if str(attribute(node, "direction", "forward")) == "bidirectional":
        value = op.Slice(value, [index], [index + 1], [1 if layout else 0])
    return value if layout else op.Transpose(value, perm=[1, 0, 2])


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
