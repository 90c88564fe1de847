"""What a model is before it is explained: its DAG, its scores, its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

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

from .logits import find_logits
from .section import Section, find_section

Shapes: TypeAlias = "Mapping[str, Sequence[int | None]]"  # of the inputs, by name


@dataclass(frozen=True)
class Analysis:
    """A canonized model with its DAG, its section and the scores to explain. Never written into: ``copied`` is.

    Attributes
    ----------
    output_name : str
        Of the explained output, as the model calls it.
    kind : str
        ``softmax``, ``log-softmax``, ``sigmoid`` or ``logits``: what the model does to the logits y at its end.
    region : str
        Of a model that scores every position or box: which of them count; empty for scores [N, classes].
    deployed : onnx_ir.Model
        The canonized model, with what shapes its file gives, before anything was written out.
    """

    model: Model
    graph: Graph
    output: ir.Value
    logits: ir.Value
    kind: str
    section: Section
    deployed: ir.Model
    classes: int | None = None
    output_name: str = ""
    region: str = ""

    def copied(self) -> Analysis:
        """Return an equal analysis whose graph is its own, to be written into."""
        graph, twins = self.graph.copied()
        section = replace(self.section, value=twins[self.section.value])
        return replace(self, graph=graph, output=twins[self.output], logits=twins[self.logits], section=section)


def analyse(
    model: ModelSource | Model, *, output: str | None = None, section: str | None = None,
    inputs: Sequence[str] | None = None, input_shapes: Shapes | None = None, region: str = "auto",
    black_box: bool = False,
) -> Analysis:  # fmt: skip
    """Load and canonize a model and find its section and logits; see ``compile_explainer`` for the parameters.

    black_box: nothing is asked of what lies between input and scores; the section is the scores themselves.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    deployed = canonize(loaded)
    if black_box:
        return _as_black_box(loaded, deployed, output, inputs, input_shapes)
    graph = _graph(deployed, inputs, input_shapes, None)
    if graph.batch is None and graph.moves_batch():  # windows, or time in front: the rules need to know the sample
        graph = _graph(deployed, inputs, input_shapes, 1)
    result, logits, kind = find_logits(graph, output)
    graph, logits, pooled = _pooled(graph, logits, region, input_shapes)
    used = [str(v.name) for v in graph.inputs if result in graph.dag and _reaches(graph, v, logits)]
    if not used:
        raise BadModel(f"The output {result.name!r} does not depend on the explained inputs.")
    graph = graph.seen_from(used)
    sizes = graph.dims(logits)
    if _is_one_sample(graph, sizes):
        graph = graph.seen_from(used, batch=1)
    count = sizes[1] if len(sizes) > 1 else None
    chosen = find_section(graph, logits, section)
    return Analysis(loaded, graph, result, logits, kind, chosen, deployed, count, str(result.name), pooled)


def _as_black_box(
    loaded: Model, deployed: ir.Model, output: str | None, inputs: Sequence[str] | None, input_shapes: Shapes | None
) -> Analysis:
    model = deployed.clone()
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
    return Analysis(loaded, graph, result, result, kind, section, deployed, count, str(result.name))


def _scores_of_any(graph: Graph) -> ir.Value:
    """Return the first output that holds one number per sample and class."""
    for value in graph.model.graph.outputs:
        if value.dtype is not None and value.dtype.is_floating_point() and len(graph.dims(value)) == 2:
            return value
    raise BadModel("No output of the model holds one number per sample and class; export the scores as an output too.")


def _graph(deployed: ir.Model, inputs: Sequence[str] | None, input_shapes: Shapes | None, batch: int | None) -> Graph:
    """Return what the walk sees of a deployed model."""
    model = deployed.clone()
    fix_shapes(model, input_shapes, batch=batch)
    _check_sizes(model)
    while needs_expansion(model) and expand(model):  # what is written out may tell the shapes of more
        fix_shapes(model, input_shapes, batch=batch)
    mark_tokens(model)
    return Graph(model, _explained(model, inputs), stops)


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


def _pooled(graph: Graph, logits: ir.Value, region: str, input_shapes: Shapes | None) -> tuple[Graph, ir.Value, str]:
    """Put one score per class behind a map of scores."""
    if not scores_positions(graph.dims(logits)) or logits not in graph.dag:
        if region != "auto":
            raise BadInput(f"The scores {logits.name!r} are one per class; a region is for models with masks or boxes.")
        return graph, logits, ""
    pooled = pool(graph.model, logits, region)
    fix_shapes(graph.model, input_shapes, batch=graph.batch)
    return graph.seen_from([str(v.name) for v in graph.inputs]), pooled, region


def _is_one_sample(graph: Graph, scores: Dims) -> bool:
    """Tell of a fixed size in front of the input that is no batch: the input is one sample if the scores are one's."""
    if graph.batch in (None, 1) or not scores or scores[0] == graph.batch or scores[0] is None:
        return False
    if scores[0] != 1:
        raise BadModel(
            f"The input {graph.inputs[0].name!r} has {graph.batch} in front and the scores {scores[0]}: the batch is "
            "not the first axis; give a batch size of 1 with input_shapes, or export the model so."
        )
    return True


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
