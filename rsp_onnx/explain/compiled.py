"""What was compiled for one input size: its sessions, and plain facts of how to read their results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import onnx_ir as ir

from rsp_onnx.axes.input_channels import input_channels
from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.compiler.second_forward import rounds
from rsp_onnx.errors import BadInput
from rsp_onnx.graph.dag import Graph, activation_bytes
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.inputs.batching import Shapes
from rsp_onnx.inputs.classes import PREDICTED, Choice, asks_for_predicted, choose_classes, needs_scores
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.tensors import Feeds, signature_of
from rsp_onnx.model.session import Session
from rsp_onnx.rulekit.context import Options
from rsp_onnx.scores.axes import sample_axis
from rsp_onnx.serving.forms import Form, FormKey, Serving, form_of
from rsp_onnx.types import Array

from .compile import compile_ir, keeps_ledger, runs_one_by_one
from .remarks import rivals_for
from .scoring import Scorer, Scores

_WORTH_SHARING = 12_000  # bytes of the model's tensors per node of the explainer, below which one thread is faster
_KEPT = 4  # input sizes whose sessions are kept; each holds the model's weights


@dataclass(frozen=True)
class Compiled:
    """An explainer for one input size: what runs it, and plain facts of what was compiled.

    Attributes
    ----------
    serving : Serving
        Its sessions.
    scores : Scores
        Reads the model's own scores out of a run's results; knows their kind and how many classes there are.
    batch : int or None
        The batch size the model fixes; None where it is free.
    inputs : tuple of InputSignature
        The explained inputs.
    outputs : tuple of str
        The model's own.
    one_sample : frozenset of str
        Inputs and tensors whose relevance is one sample's as it is, see ``not_by_sample``.
    activation_bytes : int
        Of the model's own tensors for one sample.
    warnings : tuple of str
        What a reader of every map must know: inputs left out, what was guessed.
    sample_axes : mapping
        By output, the axis of its samples; None where it is one sample's.
    renew : callable
        Returns this again where it is still kept, else compiles anew; for who does not want to keep it.
    channels : int, optional
        The axis of the first explained input's channels, the batch counted, where it has three axes and a layer tells.
    """

    serving: Serving
    scores: Scores
    batch: int | None
    inputs: tuple[InputSignature, ...]
    outputs: tuple[str, ...]
    method: str = "rsp"
    labels: tuple[str, ...] | None = None
    one_sample: frozenset[str] = frozenset()
    activation_bytes: int = 0
    warnings: tuple[str, ...] = ()
    sample_axes: Mapping[str, int | None] = field(default_factory=dict)
    channels: int | None = None
    renew: Callable[[], Compiled] | None = None

    def choose(
        self, items: Sequence[Feeds], target: Choice, hostile: Choice, scorer: Scorer
    ) -> tuple[list[list[int]], list[list[list[int]]]]:
        """Return per item the targets, and per target the hostile classes; the model runs first where scores decide.

        scorer: runs the model alone, where the explainer itself cannot tell the scores.
        """
        kind, count, hostile = self.scores.kind, self.scores.classes, rivals_for(self.method, hostile)
        if self.scores.are_plain and asks_for_predicted(target, hostile, kind):  # the explainer itself finds it
            return [[PREDICTED]] * len(items), [[[]]] * len(items)
        scores: Array | None = np.zeros((len(items), count or 0), np.float32)
        if count is None or needs_scores(target, hostile, kind):
            scores = self._own_scores(items)
        if scores is None:
            scores = scorer.run(items, self.scores, self.batch, self.serving.threads)
        return choose_classes(target, hostile, scores, kind, self.labels)

    def _own_scores(self, items: Sequence[Feeds]) -> Array | None:
        results = self.serving.outputs(items, [self.scores.output_name])
        return None if results is None else np.concatenate([self.scores.read(one) for one in results])

    @property
    def first(self) -> InputSignature:
        """The first explained input that has axes, whose relevance is the explanation's."""
        return next((one for one in self.inputs if one.shape), self.inputs[0])

    @property
    def name(self) -> str:
        """Its name."""
        return self.first.name


@dataclass(frozen=True)
class Recipe:
    """How an explainer compiles: method and its parameters, where it runs, whether with the ledger."""

    method: str
    options: Options
    device: str
    threads: int | None
    ledger: bool

    def compiled(
        self, analysis: Analysis, tensors: tuple[str, ...], labels: tuple[str, ...] | None,
        renew: Callable[[], Compiled],
    ) -> Compiled:  # fmt: skip
        """Compile for one input size. renew: see ``Compiled``."""
        alone = runs_one_by_one(analysis, self.method, self.device)
        key = FormKey(alone, self.ledger or not keeps_ledger(self.method))
        serving = Serving(partial(self._form, analysis, tensors), key)
        return replace(compiled_facts(serving, analysis, self.method, labels, tensors), renew=renew)

    def threads_for(self, compiled: ir.Model, graph: Graph) -> int | None:
        """Return how many threads run a file; None for as many as cores.

        Where nobody said, one for files of many small nodes: handing a part of each to another thread takes longer than
        doing it. On two cores ResNet-20 (32×32 pixels, 1.8 kB of tensors per node) takes 15 ms with one thread and 34
        with two, a ViT of 9 kB 38 and 59; MobileNetV2 (30 kB) 239 and, with threads that do not spin, 149.
        """
        if self.threads is not None:
            return self.threads
        nodes = sum(1 for _ in compiled.graph.all_nodes())
        return None if activation_bytes(graph) >= _WORTH_SHARING * nodes else 1

    def _form(self, analysis: Analysis, tensors: tuple[str, ...], key: FormKey) -> Form:
        options = replace(self.options, in_process=key.one_by_one)
        compiled = compile_ir(
            analysis, self.method, tensors=tensors, options=options, ledger=key.ledger, evidence=True,
            one_by_one=key.one_by_one,
        )  # fmt: skip
        threads = self.threads_for(compiled, analysis.graph)
        session = Session(
            compiled, self.device, threads, guarded=rounds(analysis.graph), spinning=self.threads is not None
        )
        return form_of(session, key, compiled.metadata_props, 1 if key.one_by_one else analysis.graph.batch)


def compiled_facts(
    serving: Serving, analysis: Analysis, method: str, labels: tuple[str, ...] | None, tensors: Sequence[str]
) -> Compiled:
    """Return a compiled explainer's sessions with what must be known to read their results."""
    graph, outputs = analysis.graph, analysis.graph.model.graph.outputs
    unreached = serving.form().unreached
    notes = tuple(f"no relevance reaches the input {name!r} with {method}" for name in unreached) + serving.notes
    first = next((v for v in graph.inputs if graph.dims(v)), graph.inputs[0])
    channels = input_channels(graph, first) if len(graph.dims(first)) == 3 else None
    return Compiled(
        serving, Scores(analysis), graph.batch, tuple(signature_of(v) for v in graph.inputs),
        tuple(str(v.name) for v in outputs), method, labels, not_by_sample(graph, tensors), activation_bytes(graph),
        analysis.warnings + notes, {str(v.name): sample_axis(graph, v) for v in outputs}, channels,
    )  # fmt: skip


def not_by_sample(graph: Graph, tensors: Sequence[str]) -> frozenset[str]:
    """Return which inputs and wanted tensors do not have the batch in front: their relevance is one sample's as it is.

    Raises
    ------
    BadInput
        The batch is free, and a wanted tensor does not keep its samples apart.
    """
    values = [*graph.inputs, *(graph.values[name] for name in tensors if name in graph.values)]
    if graph.batch is not None:
        return frozenset(str(v.name) for v in values if graph.batch == 1 and graph.dims(v)[:1] != (1,))
    for value in values:
        if not leads_with_batch(value):
            raise BadInput(
                f"The relevance at {value.name!r} cannot be told apart by sample: its first axis is not the batch; "
                "name another tensor."
            )
    return frozenset()


class CompiledSizes:
    """The compiled explainers of the input sizes used last. Safe to use from several threads."""

    def __init__(self, compile_for: Callable[[Shapes, tuple[str, ...]], Compiled]) -> None:
        self._compile_for = compile_for
        self._lock = threading.Lock()
        self._kept: dict[tuple[Shapes, tuple[str, ...]], Compiled] = {}

    def get(self, shapes: Shapes, tensors: tuple[str, ...] = ()) -> Compiled:
        """Return the compiled explainer for these input sizes, compiled once while it is among the last ones used."""
        with self._lock:
            key = (shapes, tensors)
            compiled = self._kept.pop(key, None) or self._compile_for(shapes, tensors)
            self._kept[key] = compiled  # the one used last stands last
            while len(self._kept) > _KEPT:
                self._kept.pop(next(iter(self._kept)))
            return compiled

    @property
    def threads(self) -> int | None:
        """How many threads run what was compiled; None for as many as cores, or where nothing was."""
        return next((compiled.serving.threads for compiled in self._kept.values()), None)

    @property
    def provider(self) -> str:
        """The execution provider in use, once something was compiled."""
        return next((compiled.serving.provider for compiled in self._kept.values()), "")
