"""What a form of the conv rule is: what it applies to, what it costs, and the nodes it emits (rsp.md §6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Convolution
from rsp_onnx.rulekit.forms import form_of_conv_rule


@dataclass(frozen=True)
class Layer:
    """What a form is chosen by: a convolution, or a dense layer per position, which is one of kernel 1.

    Attributes
    ----------
    c : Convolution
        Its geometry.
    alone : bool
        One class of one sample: what flows may itself be the weight of a convolution.
    rows : bool
        Channels stand last, and no convolution can read it without a Transpose.
    in_process : bool
        The file never leaves this process, so that ops of this very ONNX Runtime may be used.
    """

    c: Convolution
    alone: bool = False
    rows: bool = False
    in_process: bool = False

    @property
    def volume(self) -> int:
        """Kernel entries k."""
        return math.prod(self.c.window.kernel)

    @property
    def positions(self) -> int:
        """Output positions P."""
        return math.prod(self.c.window.out)

    @property
    def sources(self) -> int:
        """Input positions."""
        return math.prod(self.c.window.size)

    @property
    def depthwise(self) -> bool:
        """Tell whether every channel has a filter of its own."""
        return self.c.group == self.c.channels == self.c.filters > 1

    @property
    def factor(self) -> float:
        """What C_p − C_n is multiplied by: RSP doubles it where the kernel has several entries (§3)."""
        return 1.0 if self.c.window.pointwise else 2.0


@dataclass(frozen=True)
class Cost:
    """What one form costs for one sample and one target.

    Attributes
    ----------
    operations : int
        Multiply-adds × 2.
    traffic : int
        Bytes of float32 that its passes over memory read and write, those of the products left out.
    memory : int
        Bytes of float32 it holds at once.
    time : float
        Predicted milliseconds, see ``rates``.
    """

    form: str
    operations: int
    traffic: int
    memory: int
    time: float


Emit = Callable[[Context, "ir.Value", "ir.Value", Layer], "ir.Value"]


@dataclass(frozen=True)
class Form:
    """One way to compute the conv rule; all are equal in real arithmetic.

    Attributes
    ----------
    name : str
        As users ask for it with ``form=`` and ``inspect`` prints it.
    applies : callable
        Tells whether a layer can be computed this way.
    count : callable
        Returns (operations, traffic, memory) of a layer, see ``Cost``.
    emit : callable
        (ctx, x, r, layer) → factor·(C_p − C_n). Of convolutions x [N, C, *size] ≥ 0, r [K, N, O, *out], result
        [K, N, C, *size]; of rows x [N, g, P, F], r [K, N, g, P, O], result [K, N, g, P, F].
    """

    name: str
    applies: Callable[[Layer], bool]
    count: Callable[[Layer], tuple[int, int, int]]
    emit: Emit

    def __post_init__(self) -> None:
        form_of_conv_rule(self.name)
