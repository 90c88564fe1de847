"""The cells of LSTM, GRU and RNN: one step each, written in standard ops.

Gates come out of a sigmoid of their own and are told as gates by it, so all relevance follows the cell's signal
(rsp.md §3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import CannotExpandError
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import attribute

State: TypeAlias = "list[ir.Value | None]"

_DEFAULTS: dict[str, tuple[float | None, float | None]] = {
    "affine": (1.0, 0.0), "leakyrelu": (0.01, None), "thresholdedrelu": (1.0, None), "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5), "elu": (1.0, None),
}  # fmt: skip
_PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}


@dataclass(frozen=True)
class Activation:
    """One activation function of a cell with its parameters."""

    name: str
    alpha: float | None = None
    beta: float | None = None

    def emit(self, op: Emitter, x: ir.Value) -> ir.Value:
        """Return the function of x."""
        a, b = self.alpha, self.beta
        match self.name:
            case "affine":
                return op.Add(op.Mul(x, a), b)
            case "scaledtanh":
                return op.Mul(op.Tanh(op.Mul(x, b)), a)
            case "hardsigmoid":
                return op.HardSigmoid(x, alpha=a, beta=b)
            case "leakyrelu" | "elu" | "thresholdedrelu":
                kind = {"leakyrelu": "LeakyRelu", "elu": "Elu", "thresholdedrelu": "ThresholdedRelu"}[self.name]
                return op.emit(kind, x, alpha=a)
        return op.emit(_PLAIN[self.name], x)

    def complement(self, op: Emitter, x: ir.Value) -> ir.Value:
        """Return one minus the function of x, itself out of a sigmoid where the function is one: also a gate."""
        if self.name == "sigmoid":
            return op.Sigmoid(op.Neg(x))
        if self.name == "hardsigmoid" and self.alpha is not None and self.beta is not None:
            return op.HardSigmoid(x, alpha=-self.alpha, beta=1.0 - self.beta)
        return op.Sub(1.0, self.emit(op, x))


@dataclass(frozen=True)
class Cell:
    """One direction of a layer: w [I, g·H], r [H, g·H], biases [g·H] and what else its steps need."""

    op: Emitter
    hidden: int
    w: np.ndarray
    r: np.ndarray
    bias: tuple[np.ndarray, np.ndarray]
    peepholes: np.ndarray | None
    functions: tuple[Activation, ...]
    clip: float | None
    flag: bool  # input_forget, or linear_before_reset

    def clipped(self, x: ir.Value) -> ir.Value:
        """Clip what goes into an activation."""
        return x if self.clip is None else self.op.Clip(x, -self.clip, self.clip)

    def act(self, which: int, x: ir.Value) -> ir.Value:
        """Apply one of the cell's activation functions."""
        return self.functions[which].emit(self.op, self.clipped(x))

    def parts(self, x: ir.Value, *counts: int) -> Sequence[ir.Value]:
        """Split [N, 1, g·H] into gates."""
        sizes = [self.hidden * c for c in counts]
        return self.op.emit_many("Split", x, sizes, outputs=len(sizes), axis=2)


def lstm_step(cell: Cell, x: ir.Value, state: State) -> State:
    """i, o, f, g from x·W + h·R + b; c' = f⊙c + i⊙g; h' = o⊙tanh(c')."""
    op, (h, c) = cell.op, state
    total = cell.bias[0] + cell.bias[1]
    before = op.Add(x, total) if h is None else op.Sum(x, op.MatMul(h, cell.r), total)
    i, o, f, g = cell.parts(before, 1, 1, 1, 1)
    look = None if cell.peepholes is None else np.split(cell.peepholes, 3)
    if look is not None and c is not None:
        i, f = op.Add(i, op.Mul(c, look[0])), op.Add(f, op.Mul(c, look[2]))
    new = op.Mul(cell.act(0, i), cell.act(1, g))
    if c is not None:
        forget = cell.functions[0].complement(op, cell.clipped(i)) if cell.flag else cell.act(0, f)
        new = op.Add(op.Mul(forget, c), new)
    if look is not None:
        o = op.Add(o, op.Mul(new, look[1]))
    return [op.Mul(cell.act(0, o), cell.functions[2].emit(op, new)), new]


def gru_step(cell: Cell, x: ir.Value, state: State) -> State:
    """z, r from x·W + h·R + b; h' = (1 − z)⊙g + z⊙h, the reset r before or behind the product of the candidate g."""
    op, (h,), n = cell.op, state, 2 * cell.hidden
    both = cell.bias[0] + cell.bias[1]
    x_gates, x_new = cell.parts(x, 2, 1)
    if h is None:
        gates, signal = op.Add(x_gates, both[:n]), None
    elif cell.flag:
        h_gates, signal = cell.parts(op.MatMul(h, cell.r), 2, 1)
        gates = op.Sum(x_gates, h_gates, both[:n])
        signal = op.Add(signal, cell.bias[1][n:])
    else:
        gates, signal = op.Sum(x_gates, op.MatMul(h, np.ascontiguousarray(cell.r[:, :n])), both[:n]), h
    z, r = cell.parts(gates, 1, 1)
    new = cell.act(1, _candidate(cell, x_new, r, signal))
    result = op.Mul(cell.functions[0].complement(op, cell.clipped(z)), new)
    return [result if h is None else op.Add(result, op.Mul(cell.act(0, z), h))]


def _candidate(cell: Cell, x: ir.Value, r: ir.Value, signal: ir.Value | None) -> ir.Value:
    """Return what goes into a GRU's candidate: of the input and of the state behind its reset."""
    op, n = cell.op, 2 * cell.hidden
    own, recurrent = cell.bias[0][n:], cell.bias[1][n:]
    if signal is None:
        return op.Sum(x, op.Mul(cell.act(0, r), recurrent), own) if cell.flag else op.Add(x, own + recurrent)
    kept = op.Mul(cell.act(0, r), signal)
    if cell.flag:
        return op.Sum(x, kept, own)
    return op.Sum(x, op.MatMul(kept, np.ascontiguousarray(cell.r[:, n:])), own + recurrent)


def rnn_step(cell: Cell, x: ir.Value, state: State) -> State:
    """h' = tanh(x·W + h·R + b)."""
    op, (h,) = cell.op, state
    total = cell.bias[0] + cell.bias[1]
    return [cell.act(0, op.Add(x, total) if h is None else op.Sum(x, op.MatMul(h, cell.r), total))]


@dataclass(frozen=True)
class Kind:
    """A kind of recurrent layer.

    Attributes
    ----------
    step : callable
        (cell, x, state) → the next state, of which the first tensor is put out.
    activations : tuple of str
        What its functions are unless the node says otherwise.
    states : int
        How many tensors a state has.
    flag : str
        The attribute that changes how a step goes; empty for none.
    """

    step: Callable[[Cell, ir.Value, State], State]
    activations: tuple[str, ...]
    states: int = 1
    flag: str = ""


LSTM = Kind(lstm_step, ("sigmoid", "tanh", "tanh"), 2, "input_forget")
GRU = Kind(gru_step, ("sigmoid", "tanh"), flag="linear_before_reset")
RNN = Kind(rnn_step, ("tanh",))


def functions_of(node: ir.Node, kind: Kind, index: int) -> tuple[Activation, ...]:
    """Return one direction's activation functions; the parameters are handed out in the order of the functions."""
    usual = list(kind.activations)
    names = cast("list[str]", attribute(node, "activations")) or usual * 2
    values = [iter(cast("list[float]", attribute(node, key) or [])) for key in ("activation_alpha", "activation_beta")]
    found = [_function(str(name).lower(), *values) for name in names]
    return tuple(found[index * len(usual) : (index + 1) * len(usual)])


def _function(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    if name not in _PLAIN and name not in _DEFAULTS:
        raise CannotExpandError(f"its activation {name!r} is unknown")
    alpha, beta = _DEFAULTS.get(name, (None, None))
    return Activation(
        name, None if alpha is None else float(next(alphas, alpha)), None if beta is None else float(next(betas, beta))
    )
