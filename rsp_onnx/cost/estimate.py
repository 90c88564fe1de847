"""What an explanation will cost beside a forward pass, before anything runs: operations, their ratio, peak memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rsp_onnx.cache.place import cache_folder
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.shapes import is_measured
from rsp_onnx.model.load import Model
from rsp_onnx.model.serialise import HAND_OVER
from rsp_onnx.model.weights import is_large

from . import rates
from .amounts import Amounts, amounts
from .memory import filter_bytes, folded_bytes, largest_weight, live_bytes, weight_bytes
from .sizes import sizes_of
from .table import Sizes

Shapes = Mapping[str, Sequence[int]]
_PROBED = 3


@dataclass(frozen=True)
class Cost:
    """What running a graph once costs.

    Attributes
    ----------
    seconds : float
        On one thread of the machine the rates were measured on; what counts is its ratio to a forward pass.
    operations : int
        Multiply-adds of its products.
    peak_memory_bytes : int
        Resident memory from the model's file to the result: weights, tensors, ONNX Runtime's own; libraries not.
    unknown : int
        Tensors of a size that depends on the numbers of the input, and that are in neither.
    """

    seconds: float
    operations: int
    peak_memory_bytes: int
    unknown: int = 0

    def beside(self, forward: Cost) -> dict[str, float]:
        """Return it beside a forward pass, ready for JSON."""
        return {
            "operations": self.operations,
            "forward_operations": forward.operations,
            "ratio": round(self.seconds / forward.seconds, 2),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def cost_of(model: ir.Model, shapes: Shapes | None = None, *, calls: int = 0, before: float = 0.0) -> Cost:
    """Estimate what running a model once costs, on the rates of ``rates.py``.

    Parameters
    ----------
    shapes : mapping, optional
        Of the inputs by name; what is free is 1 otherwise.
    calls : int
        How often ``explain()`` goes with it: 1 for an explainer; 0 for a model run alone, see ``amounts``.
    before : float
        Bytes that are taken before it runs, see ``before_running``.
    """
    sizes = sizes_of(model, shapes)
    total = amounts(model.graph, sizes, alone=not calls)
    seconds = seconds_of(total) + rates.RUN + calls * rates.CALL
    memory = running_bytes(*memory_parts(model, sizes))
    return Cost(seconds, total.products, round(max(memory, before)), len(sizes.unknown))


def sizes_given(graph: Graph) -> dict[str, list[int]]:
    """Return the shapes of the explained inputs for one sample."""
    return {str(v.name): [1 if d is None else d for d in graph.dims(v)] for v in graph.inputs}


def before_running(loaded: Model, graph: Graph, deployed: ir.Model) -> float:
    """Return the most resident memory of what comes before a run: reading the file, looking for shapes, keeping.

    Where inference does not tell its shapes, the model is run for them on up to three samples. Where weights are handed
    over, ONNX Runtime copies one at a time when it writes the compiled model into the cache, if that is on.
    """
    reading = rates.LOADING * (loaded.path.stat().st_size if loaded.path else weight_bytes(deployed.graph))
    kept = running_bytes(*memory_parts(deployed)) + (largest_weight(deployed) if _is_copied(deployed) else 0)
    if not any(is_measured(v) for v in graph.values.values()):
        return max(reading, kept)
    several = _PROBED if graph.batch is None else 1
    given = {name: [several * shape[0], *shape[1:]] for name, shape in sizes_given(graph).items() if shape}
    sizes = sizes_of(deployed, given)
    return max(reading, kept, running_bytes(*memory_parts(deployed, sizes)))


def _is_copied(model: ir.Model) -> bool:
    return is_large(model, HAND_OVER) and cache_folder() is not None


def seconds_of(total: Amounts) -> float:
    """Return the seconds that amounts take on one thread of the machine the rates were measured on."""
    return sum(
        count * rate
        for kind, counts in total.by_kind.items()
        for count, rate in zip(counts, rates.SECONDS[kind], strict=True)
    )


def memory_parts(model: ir.Model, sizes: Sizes | None = None) -> tuple[int, int, int, int, int]:
    """Return what memory is made of; without sizes, before the model has run.

    Bytes of weights and of what is computed of them once, of those that are copied into the model's serialised form
    (none where there are so many that ``Session`` hands them over), of filters, of tensors that live at once; and the
    number of nodes.
    """
    weights, nodes = weight_bytes(model.graph), sum(1 for _ in model.graph.all_nodes())
    folded, live = (folded_bytes(model.graph, sizes), live_bytes(model.graph, sizes)) if sizes else (0, 0)
    copied = 0 if is_large(model, HAND_OVER) else weights
    return weights + folded, copied, filter_bytes(model.graph), live, nodes


def running_bytes(weights: int, copied: int, filters: int, live: int, nodes: int) -> float:
    """Return the resident memory of a session that has run once.

    Making it takes memory per node and per byte that is serialised, running it per byte of filters and of tensors;
    what making it takes is free again when it runs.
    """
    made, run = rates.COPIED * copied + rates.NODE * nodes, rates.FILTERS * filters + rates.LIVE * live
    return rates.WEIGHTS * weights + max(made, run) + rates.LEAST
