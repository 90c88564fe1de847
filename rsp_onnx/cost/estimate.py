"""What an explanation will cost beside a forward pass, before anything runs: operations, their ratio, peak memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from . import rates
from .amounts import Amounts, Kind, amounts
from .memory import filter_bytes, live_bytes, weight_bytes
from .sizes import sizes_of

Shapes = Mapping[str, Sequence[int]]
_PROBED = 3


@dataclass(frozen=True)
class Cost:
    """What running a graph once costs.

    Attributes
    ----------
    operations : int
        In multiply-adds of a matrix product: everything else is counted as so many as take the same time.
    peak_memory_bytes : int
        Resident memory from the model's file to the result: weights, tensors, ONNX Runtime's own; libraries not.
    unknown : int
        Tensors of a size that depends on the numbers of the input, and that are in neither.
    """

    operations: int
    peak_memory_bytes: int
    unknown: int = 0


def cost_of(
    model: ir.Model, shapes: Shapes | None = None, *, file_bytes: int = 0, calls: int = 0,
    probed: ir.Model | None = None,
) -> Cost:  # fmt: skip
    """Estimate what running a model once costs, on the rates of ``rates.py``.

    Parameters
    ----------
    shapes : mapping, optional
        Of the inputs by name; what is free is 1 otherwise.
    file_bytes : int
        Of the file it comes from, which is in memory while it is read.
    calls : int
        How often ``explain()`` goes with it: 1 for an explainer, 0 for a model run alone.
    probed : onnx_ir.Model, optional
        The model, where its shapes can be told by running it alone: analysis then holds all of its tensors at once.
    """
    sizes = sizes_of(model, shapes)
    seconds = seconds_of(amounts(model.graph, sizes)) + calls * rates.CALL
    memory = running_bytes(*memory_parts(model, live_bytes(model.graph, sizes)))
    before = [rates.LOADING * file_bytes, *([] if probed is None else [probing_bytes(probed, shapes)])]
    one = rates.SECONDS[Kind.DENSE][1]
    return Cost(round(seconds / one), round(max(memory, *before)), len(sizes.unknown))


def probing_bytes(model: ir.Model, shapes: Shapes | None) -> float:
    """Return the resident memory of a model that was run for the shapes of all its tensors, on three samples."""
    sizes = sizes_of(model, {name: [_PROBED * shape[0], *shape[1:]] for name, shape in (shapes or {}).items() if shape})
    written = sum(sizes.bytes(v) for node in model.graph for v in node.outputs)
    return rates.WEIGHTS * weight_bytes(model.graph) + written + rates.LEAST


def seconds_of(total: Amounts) -> float:
    """Return the seconds that amounts take on one thread of the machine the rates were measured on."""
    return sum(
        count * rate
        for kind, counts in total.by_kind.items()
        for count, rate in zip(counts, rates.SECONDS[kind], strict=True)
    )


def memory_parts(model: ir.Model, live: int) -> tuple[int, int, int, int]:
    """Return what memory is made of: bytes of weights, of filters, of tensors that live at once; and nodes."""
    return weight_bytes(model.graph), filter_bytes(model.graph), live, len(model.graph)


def running_bytes(weights: int, filters: int, live: int, nodes: int) -> float:
    """Return the resident memory of a session that has run once."""
    own = rates.WEIGHTS * weights + rates.FILTERS * filters + rates.LIVE * live + rates.NODE * nodes
    return own + rates.LEAST
