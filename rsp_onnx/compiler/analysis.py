"""What a model is before it is explained: its DAG, its scores, its section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import onnx_ir as ir

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.shapes import Dims, carries, carries_ids, dims, fix_batch, fix_shapes
from rsp_onnx.graph.token_ids import mark_tokens
from rsp_onnx.loops.each_target import check_counts
from rsp_onnx.model.load import Model, ModelSource, load_model
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.rewrite.expand import expand, needs_expansion
from rsp_onnx.rulekit.registry import stops
from rsp_onnx.scores.axes import sample_axis
from rsp_onnx.scores.outputs import choose_output, with_output
from rsp_onnx.scores.reading import ScoreOptions, ScoreReading, read_scores
from rsp_onnx.scores.region import POOLED, to_scores

from .left_out import left_out
from .section import Section, find_section

Shapes: TypeAlias = "Mapping[str, Sequence[int | None]]"  # of the inputs, by name


@dataclass(frozen=True)
class Needs:
    """What a method asks of an analysis.

    Attributes
    ----------
    black_box : bool
        Nothing is asked of what lies between input and scores; the section is the scores themselves.
    numbers_only : bool
        Inputs that hold ids are not explained: the method changes numbers little by little.
    """

    black_box: bool = False
    numbers_only: bool = False


@dataclass(frozen=True)
class Analysis:
    """A canonized model with its DAG, its section and the scores to explain. Never written into: ``copied`` is.

    Attributes
    ----------
    model : Model
        As it was loaded; where the explained tensor was no output, with that as one more.
    reading : ScoreReading
        The explained output, and what its axes are.
    logits : onnx_ir.Value
        One per sample and class, [N, classes] with nothing but ones behind: where the classes' gradients start.
    deployed : onnx_ir.Model
        The canonized model, with what shapes its file gives, before anything was written out.
    warnings : tuple of str
        What a reader of the map must know: inputs left out, what was guessed.
    targets : int or None
        How many classes the explainer is made for at once; None leaves it free. The batch is the graph's.
    """

    model: Model
    graph: Graph
    reading: ScoreReading
    logits: ir.Value
    section: Section
    deployed: ir.Model
    classes: int | None = None
    warnings: tuple[str, ...] = ()
    targets: int | None = None

    @property
    def output(self) -> ir.Value:
        """The explained output."""
        return self.reading.output

    @property
    def output_name(self) -> str:
        """Its name, as the model calls it."""
        return str(self.reading.output.name)

    @property
    def kind(self) -> str:
        """What the model does to the logits at its end, see ``ScoreReading``."""
        return self.reading.kind

    def copied(self, *changes: Callable[[ir.Model], None]) -> Analysis:
        """Return an equal analysis whose graph is its own, to be written into. changes: see ``Graph.copied``."""
        return self._with(*self.graph.copied(*changes))

    def for_one(self, *changes: Callable[[ir.Model], None]) -> Analysis:
        """Return the analysis for one sample and one class; as ``copied`` where the graph fixes another batch."""
        fixing = () if self.graph.batch is not None else (fix_batch,)
        return replace(self._with(*self.graph.copied(*fixing, *changes, batch_stays=not fixing)), targets=1)

    def _with(self, graph: Graph, twins: dict[ir.Value, ir.Value]) -> Analysis:
        """Return the analysis of a copy. twins: which of our tensors is which of the copy's."""
        section = replace(self.section, value=twins[self.section.value])
        return replace(
            self, graph=graph, reading=self.reading.in_copy(twins), logits=twins[self.logits], section=section
        )


def analyse(
    model: ModelSource | Model, *, scores: ScoreOptions | None = None, section: str | None = None,
    inputs: Sequence[str] | None = None, input_shapes: Shapes | None = None, needs: Needs | None = None,
    batch: int | None = None, targets: int | None = None,
) -> Analysis:  # fmt: skip
    """Load and canonize a model and find its section and logits; see ``compile_explainer`` for the parameters."""
    needs, asked = needs or Needs(), scores or ScoreOptions()
    loaded = with_output(model if isinstance(model, Model) else load_model(model), asked.output)
    see = _Seen(canonize(loaded), inputs, input_shapes, needs)
    graph = see.sized(asked, batch)
    output, note = see.output(graph, asked)
    if not output.is_graph_output():  # a tensor inside, which the explainer must return too
        asked = replace(asked, output=str(output.name))
        same = {"inputs": inputs, "input_shapes": input_shapes, "needs": needs, "batch": batch, "targets": targets}
        found = analyse(loaded, scores=asked, section=section, **same)  # type: ignore[arg-type]  # our own arguments
        return replace(found, warnings=(note, *found.warnings))
    reading = read_scores(graph, output, asked)
    if needs.black_box:
        reading = replace(reading, kind=_kind_of_any(reading))
    graph, logits = see.one_per_class(graph, reading)
    warnings = ((note,) if note else ()) + reading.warnings + left_out(graph, logits, inputs)
    whole = Section(logits, min(1, len(graph.dims(logits)) - 1), ())
    chosen = whole if needs.black_box else find_section(graph, logits, section)
    classes = reading.axes.count(graph.dims(output))
    check_counts(batch, targets, graph.batch)
    return Analysis(loaded, graph, reading, logits, chosen, see.deployed, classes, warnings, targets)


def _needs_one_sample(graph: Graph, output: ir.Value, black_box: bool) -> bool:
    """Tell of a free batch that must be one: windows, or time in front; inputs and scores that have no batch axis."""
    trains = any(node.attributes.get_int("training_mode", 0) for node in graph.nodes)  # statistics of the batch
    if not black_box and (graph.moves_batch() or trains):  # the rules need to know the sample
        return True
    return sample_axis(graph, output) != 0 or any(graph.dims(v) == () for v in graph.inputs)


def _kind_of_any(reading: ScoreReading) -> str:
    node = reading.output.producer()
    trees = node is not None and node.domain == "ai.onnx.ml"  # these give probabilities
    return "softmax" if trees else reading.kind


@dataclass(frozen=True)
class _Seen:
    """What the walk sees of a deployed model, under what was asked for."""

    deployed: ir.Model
    inputs: Sequence[str] | None
    shapes: Shapes | None
    needs: Needs

    def graph(self, batch: int | None) -> Graph:
        """Return the graph of a copy with fixed sizes, with what is written out before the walk."""
        model = self.deployed.clone()
        fix_shapes(model, self.shapes, batch=batch)
        _check_sizes(model)
        while not self.needs.black_box and needs_expansion(model) and expand(model):
            fix_shapes(model, self.shapes, batch=batch)  # what is written out may tell the shapes of more
        mark_tokens(model)
        return Graph(model, self._explained(model), stops)

    def sized(self, asked: ScoreOptions, batch: int | None) -> Graph:
        """Return the graph for so many samples where the model leaves their number free, and one does not matter."""
        graph = self.graph(None)
        if graph.batch is None and _needs_one_sample(graph, self.output(graph, asked)[0], self.needs.black_box):
            return self.graph(1)
        return graph if batch is None or graph.batch is not None else self.graph(batch)

    def _explained(self, model: ir.Model) -> list[str]:
        names = [str(v.name) for v in model.graph.inputs]
        if self.inputs is None:
            usable = [v for v in model.graph.inputs if carries(v) and not (self.needs.numbers_only and _is_fixed(v))]
            return [str(v.name) for v in usable] or names
        for name in self.inputs:
            if name not in names:
                raise BadInput(f"The model has no input {name!r}; its inputs are {', '.join(map(repr, names))}.")
        return list(self.inputs)

    def output(self, graph: Graph, asked: ScoreOptions) -> tuple[ir.Value, str]:
        """Return the explained output; of a black box one that no gradient leads to will do."""
        try:
            return choose_output(graph, asked.output, asked.labels)
        except (BadModel, BadInput):
            numbers = [v for v in graph.model.graph.outputs if v.dtype is not None and v.dtype.is_floating_point()]
            if self.needs.black_box and numbers and asked.output in (None, *(v.name for v in numbers)):
                return next(v for v in numbers if asked.output in (None, v.name)), ""
            raise

    def one_per_class(self, graph: Graph, reading: ScoreReading) -> tuple[Graph, ir.Value]:
        """Return the graph seen from the inputs that matter, and one score per sample and class behind the logits."""
        logits, axes = reading.logits, reading.logits_axes
        if self.needs.black_box:
            return graph, reading.output
        if not axes.is_plain or reading.region:
            op = Emitter(graph.model.graph, _float_of(logits).numpy())
            logits = to_scores(op, logits, graph.dims(logits), axes, reading.region)
            logits.name = POOLED
            fix_shapes(graph.model, self.shapes, batch=graph.batch)
            graph = graph.seen_from([str(v.name) for v in graph.inputs])
        used = [str(v.name) for v in graph.inputs if reading.output in graph.dag and _reaches(graph, v, logits)]
        if not used:
            raise BadModel(f"The output {reading.output.name!r} does not depend on the explained inputs.")
        graph = graph.seen_from(used)
        return (graph.seen_from(used, batch=1) if _is_one_sample(graph, graph.dims(logits)) else graph), logits


def _is_fixed(value: ir.Value) -> bool:
    """Tell of an input that cannot be changed little by little and place by place: ids, a number without axes."""
    return carries_ids(value) or dims(value) == ()


def _float_of(value: ir.Value) -> ir.DataType:
    return value.dtype if value.dtype is not None and value.dtype.is_floating_point() else ir.DataType.FLOAT


def _check_sizes(model: ir.Model) -> None:
    """Raise BadModel where an input leaves more than its batch free: rules are written for known sizes."""
    for value in model.graph.inputs:
        free = [axis for axis, size in enumerate(value.shape or ()) if axis and not isinstance(size, int)]
        if free:
            axes = " and ".join(map(str, free))
            raise BadModel(
                f"The input {value.name!r} leaves its size on axis {axes} free; give the sizes with input_shapes "
                "(--input-shape; --size for photographs), or fix them when exporting."
            )


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
