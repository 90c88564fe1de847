"""What a model is before it is explained: its DAG, its scores, its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.shapes import Dims, carries, fix_shapes
from rsp_onnx.graph.token_ids import mark_tokens
from rsp_onnx.model.load import Model, ModelSource, load_model
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.rewrite.expand import expand, needs_expansion
from rsp_onnx.rewrite.regions import pool, scores_positions
from rsp_onnx.rulekit.registry import stops

from .section import Section, find_logits, find_section


@dataclass(frozen=True)
class Analysis:
    """A canonized model with its DAG, its section and the scores to explain.

    Attributes
    ----------
    output_name : str
        Of the explained output, as the model calls it.
    kind : str
        ``softmax``, ``log-softmax``, ``sigmoid`` or ``logits``: what the model does to the logits y at its end.
    region : str
        Of a model that scores every position or box: which of them count; empty for scores [N, classes].
    deployed : onnx_ir.Model
        The canonized model before recurrent layers and control flow were written out: what the scores come from.
    """

    model: Model
    graph: Graph
    output: ir.Value
    logits: ir.Value
    kind: str
    section: Section
    deployed: ir.Model
    classes: int | None = field(default=None)
    output_name: str = ""
    region: str = ""


def analyse(
    model: ModelSource | Model,
    *,
    output: str | None = None,
    section: str | None = None,
    inputs: Sequence[str] | None = None,
    input_shapes: Mapping[str, Sequence[int | None]] | None = None,
    region: str = "auto",
    black_box: bool = False,
) -> Analysis:
    """Load and canonize a model and find its section and logits; see ``compile_explainer`` for the parameters.

    black_box: nothing is asked of what lies between input and scores; the section is the scores themselves.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    if black_box:
        return _as_black_box(loaded, output, inputs, input_shapes)
    graph, deployed = _graph(loaded, inputs, input_shapes, None)
    if graph.batch is None and graph.moves_batch():  # windows, or time in front: the rules need to know the sample
        graph, deployed = _graph(loaded, inputs, input_shapes, 1)
    result, logits, kind = find_logits(graph, output)
    graph, logits, pooled = _pooled(graph, logits, region, input_shapes)
    used = [v for v in graph.inputs if v in graph.dag and result in graph.dag and _reaches(graph, v, logits)]
    if not used:
        raise BadModel(f"The output {result.name!r} does not depend on the explained inputs.")
    graph.inputs[:] = used
    sizes = graph.dims(logits)
    _find_sample(graph, used, sizes)
    count = sizes[1] if len(sizes) > 1 else None
    found = find_section(graph, logits, section)
    return Analysis(loaded, graph, result, logits, kind, found, deployed, count, str(result.name), pooled)


def _as_black_box(
    loaded: Model,
    output: str | None,
    inputs: Sequence[str] | None,
    input_shapes: Mapping[str, Sequence[int | None]] | None,
) -> Analysis:
    model = canonize(loaded)
    fix_shapes(model, input_shapes, batch=None)
    _check_sizes(model)
    graph = Graph(model, _explained(model, inputs), stops)
    try:
        result, _, kind = find_logits(graph, output)
    except BadModel:  # numbers no gradient goes through
        result, kind = _scores_of_any(graph), "softmax"
    node = result.producer()
    if node is not None and node.domain == "ai.onnx.ml":  # trees and the like give probabilities
        kind = "softmax"
    sizes = graph.dims(result)
    count = sizes[1] if len(sizes) > 1 else None
    section = Section(result, min(1, len(sizes) - 1), ())
    return Analysis(loaded, graph, result, result, kind, section, model.clone(), count, str(result.name))


def _scores_of_any(graph: Graph) -> ir.Value:
    """Return the first output that holds one number per sample and class."""
    for value in graph.model.graph.outputs:
        if value.dtype is not None and value.dtype.is_floating_point() and len(graph.dims(value)) == 2:
            return value
    raise BadModel("No output of the model holds one number per sample and class; export the scores as an output too.")


def _graph(
    loaded: Model,
    inputs: Sequence[str] | None,
    input_shapes: Mapping[str, Sequence[int | None]] | None,
    batch: int | None,
) -> tuple[Graph, ir.Model]:
    """Return what the walk sees, and the model as it is deployed."""
    canonized = canonize(loaded)
    fix_shapes(canonized, input_shapes, batch=batch)
    _check_sizes(canonized)
    deployed = canonized.clone()
    while needs_expansion(canonized) and expand(canonized):  # what is written out may tell the shapes of more
        fix_shapes(canonized, input_shapes, batch=batch)
    mark_tokens(canonized)
    return Graph(canonized, _explained(canonized, inputs), stops), deployed


def _check_sizes(model: ir.Model) -> None:
    """Raise BadModel where an input leaves more than its batch free: rules are written for known sizes."""
    for value in model.graph.inputs:
        free = [axis for axis, size in enumerate(value.shape or ()) if axis and not isinstance(size, int)]
        if free:
            axes = " and ".join(map(str, free))
            raise BadModel(
                f"The input {value.name!r} leaves its size on axis {axes} free; give the sizes with input_shapes "
                "(--size for photographs, --input-shape for compile), or fix them when exporting."
            )


def _pooled(
    graph: Graph, logits: ir.Value, region: str, input_shapes: Mapping[str, Sequence[int | None]] | None
) -> tuple[Graph, ir.Value, str]:
    """Put one score per class behind a map of scores."""
    if not scores_positions(graph.dims(logits)) or logits not in graph.dag:
        if region != "auto":
            raise BadInput(f"The scores {logits.name!r} are one per class; a region is for models with masks or boxes.")
        return graph, logits, ""
    pooled = pool(graph.model, logits, region)
    fix_shapes(graph.model, input_shapes, batch=graph.batch)
    return Graph(graph.model, [str(v.name) for v in graph.inputs], stops), pooled, region


def _find_sample(graph: Graph, used: Sequence[ir.Value], scores: Dims) -> None:
    """Find a fixed batch that does not stand in front of the input: the input is one sample if the scores are one's."""
    if graph.batch in (None, 1) or not scores or scores[0] == graph.batch or scores[0] is None:
        return
    if scores[0] != 1:
        raise BadModel(
            f"The input {used[0].name!r} has {graph.batch} in front and the scores {scores[0]}: the batch is not the "
            "first axis; give a batch size of 1 with input_shapes, or export the model so."
        )
    graph.batch = 1


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
