"""Which output is explained: the one that is named, else the first that holds scores of classes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import Data, Role, facts_of
from rsp_onnx.graph.shapes import is_measured
from rsp_onnx.model.load import Model

from .boxes import are_coordinates, suppressed_scores
from .logits import find_logits


def with_output(model: Model, name: str | None) -> Model:
    """Return the model with this tensor among its outputs; the model itself where it is one, or None is named.

    Raises
    ------
    BadInput
        The graph has no tensor of this name.
    """
    if name is None or name in [v.name for v in model.ir.graph.outputs]:
        return model
    _check_exists(model, name)
    return replace(model, ir=exposed(model.ir, name))


def exposed(model: ir.Model, name: str) -> ir.Model:
    """Return the model with a tensor of it among its outputs; the model itself where it is one."""
    if name in [v.name for v in model.graph.outputs]:
        return model
    work = model.clone()
    work.graph.outputs.append(next(v for node in work.graph for v in node.outputs if v.name == name))
    return work


def _check_exists(model: Model, name: str) -> None:
    names = [str(v.name) for node in model.ir.graph for v in node.outputs if v.name]
    if name not in names:
        outputs = ", ".join(repr(v.name) for v in model.ir.graph.outputs)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"; did you mean the tensor {close[0]!r}?" if close else "; rsp-onnx inspect --json lists all tensors."
        raise BadInput(f"The model has no output or tensor {name!r}; its outputs are {outputs}{hint}")


def choose_output(graph: Graph, name: str | None, labels: int | None = None) -> tuple[ir.Value, str]:
    """Return the tensor to explain, and a note where others could have been meant (empty where none could).

    It may be none of the outputs yet: of a detector that ends in NonMaxSuppression it is the scores which that reads.
    labels: how many there are; of several outputs the one with as many classes is meant.

    Raises
    ------
    BadInput
        The named tensor does not depend on the explained inputs through numbers.
    BadModel
        No output does.
    """
    if name is not None:
        return _named(graph, name), ""
    active = [v for v in graph.model.graph.outputs if graph.active(v)]
    usable = [v for v in active if not _is_no_score(graph, v, active)]
    suppressed = suppressed_scores(graph)
    if not usable and suppressed is not None:
        return suppressed, (
            f"the model's outputs are what its NonMaxSuppression keeps; explained are the scores it reads, "
            f"{str(suppressed.name)!r} (another tensor: --output)"
        )
    if not usable and active:
        _refuse_list(graph, active[0])
    if not active:
        raise BadModel(
            "No output of the model depends on its input through numbers that have a gradient "
            "(only indices or labels leave it); export the scores as an output too."
        )
    fits = [v for v in usable if labels is not None and labels > 1 and labels in graph.dims(v)]
    chosen = next(iter(fits or usable or active))
    return chosen, _others(graph, chosen, active)


def _named(graph: Graph, name: str) -> ir.Value:
    value = graph.values.get(name)
    if value is None or not graph.active(value):
        raise BadInput(
            f"The output {name!r} does not depend on the model's input through numbers that have a gradient; "
            "name another with --output."
        )
    _refuse_list(graph, value)
    return value


def _is_no_score(graph: Graph, value: ir.Value, active: Sequence[ir.Value]) -> bool:
    """Tell of what is no score of every class: the largest few, lists of unknown length, coordinates of boxes."""
    if any(d is None for d in graph.dims(value)[1:]) or _is_list(graph, value):
        return True
    node = value.producer()
    while node is not None and facts_of(node).neutral and graph.active_inputs(node):
        node = graph.active_inputs(node)[0].producer()
    selects = node is not None and facts_of(node).data is Data.SELECTS and facts_of(node).role is Role.OTHER
    return selects or are_coordinates(graph, value, [v for v in active if v is not value])


def _is_list(graph: Graph, value: ir.Value) -> bool:
    """Tell of a list of what was found, as long as the image has it: by NonMaxSuppression, by NonZero."""
    sizes = graph.dims(value)
    open_end = is_measured(value) or (bool(sizes) and sizes[0] is None and graph.batch is not None)
    return open_end and any(facts_of(node).finds for node in graph.above(value))


def _refuse_list(graph: Graph, value: ir.Value) -> None:
    if _is_list(graph, value):
        raise BadModel(
            f"The output {value.name!r} lists what was found: how many entries it has is known at run time only; name "
            "a tensor that holds the scores themselves with --output (rsp-onnx inspect --json lists all)."
        )


def _others(graph: Graph, chosen: ir.Value, active: Sequence[ir.Value]) -> str:
    """Name the outputs that could have been meant as well; the same scores in another form do not count."""
    same = {find_logits(graph, chosen)[0], chosen}
    others = [v for v in active if v not in same and find_logits(graph, v)[0] not in same]
    if not others:
        return ""
    names = ", ".join(repr(v.name) for v in others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
    return f"the output {chosen.name!r} is explained; the model has others ({names}): name one with --output"
