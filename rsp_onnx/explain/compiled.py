"""What was compiled for one input size: its sessions, and plain facts of how to read their results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from rsp_onnx.inputs.batching import Shapes
from rsp_onnx.inputs.classes import PREDICTED, Choice, asks_for_predicted, choose_classes, needs_scores
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.serving.variants import Serving
from rsp_onnx.types import Array

from .remarks import rivals_for
from .supply.scoring import Scorer, Scores

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
        The axis of the first explained input's channels, the batch counted, where it has three or five axes and a layer
        tells.
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

    def get_ready(self, targets: int | None = None, ledger: bool = False) -> None:
        """Compile the variant that explains so many classes, None for the one with the highest score, and start it."""
        several = not self.scores.are_plain if targets is None else targets > 1
        self.serving.variant(several=several, ledger=ledger)

    def _own_scores(self, items: Sequence[Feeds]) -> Array | None:
        results = self.serving.outputs(items, [self.scores.output_name])
        return None if results is None else np.concatenate([self.scores.read(one) for one in results])

    @cached_property
    def first(self) -> InputSignature:
        """The first explained input that has axes, whose relevance is the explanation's."""
        return next((one for one in self.inputs if one.shape), self.inputs[0])

    @property
    def name(self) -> str:
        """Its name."""
        return self.first.name


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
            compiled = self._kept.pop(key, None) or self._compiled(shapes, tensors)
            self._kept[key] = compiled  # the one used last stands last
            while len(self._kept) > _KEPT:
                self._kept.pop(next(iter(self._kept)))
            return compiled

    def _compiled(self, shapes: Shapes, tensors: tuple[str, ...]) -> Compiled:
        return replace(self._compile_for(shapes, tensors), renew=partial(self.get, shapes, tensors))

    @property
    def threads(self) -> int | None:
        """How many threads run what was compiled; None for as many as cores, or where nothing was."""
        return next((compiled.serving.threads for compiled in self._kept.values()), None)

    @property
    def provider(self) -> str:
        """The execution provider in use, once something was compiled."""
        return next((compiled.serving.provider for compiled in self._kept.values()), "")
