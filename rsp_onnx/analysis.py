"""What a model is before it is explained: its DAG, its scores, its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from .canonize import canonize
from .errors import BadInput, BadModel
from .graph import Graph
from .model import Model, ModelSource, load_model
from .registry import stops
from .section import Section, find_logits, find_section
from .shapes import carries, fix_shapes


@dataclass(frozen=True)
class Analysis:
    """A canonized model with its DAG, its section and the scores to explain.

    Attributes
    ----------
    output_name : str
        Of the explained output, as the model calls it.
    kind : str
        ``softmax``, ``log-softmax``, ``sigmoid`` or ``logits``: what the model does to the logits y at its end.
    """

    model: Model
    graph: Graph
    output: ir.Value
    logits: ir.Value
    kind: str
    section: Section
    classes: int | None = field(default=None)
    output_name: str = ""


def analyse(
    model: ModelSource | Model,
    *,
    output: str | None = None,
    section: str | None = None,
    inputs: Sequence[str] | None = None,
    input_shapes: Mapping[str, Sequence[int | None]] | None = None,
) -> Analysis:
    """Load and canonize a model and find its section and logits; see ``compile_explainer`` for the parameters."""
    loaded = model if isinstance(model, Model) else load_model(model)
    graph = _graph(loaded, inputs, input_shapes, None)
    if graph.batch is None and graph.moves_batch():  # windows, or time in front: the rules need to know the sample
        graph = _graph(loaded, inputs, input_shapes, 1)
    result, logits, kind = find_logits(graph, output)
    used = [v for v in graph.inputs if v in graph.dag and result in graph.dag and _reaches(graph, v, logits)]
    if not used:
        raise BadModel(f"The output {result.name!r} does not depend on the explained inputs.")
    graph.inputs[:] = used
    sizes = graph.dims(logits)
    count = sizes[1] if len(sizes) > 1 else None
    return Analysis(loaded, graph, result, logits, kind, find_section(graph, logits, section), count, str(result.name))


def _graph(
    loaded: Model,
    inputs: Sequence[str] | None,
    input_shapes: Mapping[str, Sequence[int | None]] | None,
    batch: int | None,
) -> Graph:
    canonized = canonize(loaded)
    fix_shapes(canonized, input_shapes, batch=batch)
    return Graph(canonized, _explained(canonized, inputs), stops)


def _reaches(graph: Graph, value: ir.Value, end: ir.Value) -> bool:
    return bool(graph.between([value], end)) or value is end


def _explained(model: ir.Model, inputs: Sequence[str] | None) -> list[str]:
    names = [str(v.name) for v in model.graph.inputs]
    if inputs is None:
        return [str(v.name) for v in model.graph.inputs if carries(v)] or names
    for name in inputs:
        if name not in names:
            raise BadInput(f"The model has no input {name!r}; its inputs are {', '.join(map(repr, names))}.")
    return list(inputs)
