"""What is checked: a model with SPEC's images, explained once, and what was recorded of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rsp_onnx.checks.spec.places import Place
from rsp_onnx.checks.spec.spec import ImageSpec, Spec
from rsp_onnx.devices.device import in_full_precision
from rsp_onnx.errors import BadInput, BadModel, BadTarget, RspError
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.classes import choose_hostile, choose_targets
from rsp_onnx.inputs.labels import check_labels, label_of
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Record

from .costs import machine, measure_costs
from .goldens import Golden, Goldens, Packed, pack

THREADS = 2  # of ONNX Runtime: with one number everywhere, sums are split alike and come out the same
DECIMALS = 6  # of every figure: what lies behind differs between machines
_AT_ONCE = 8
_PIXELS: Record = {"scale": 1.0, "mean": (0.0,), "std": (1.0,)}


@dataclass(frozen=True)
class Shot:
    """One image, explained.

    Attributes
    ----------
    reverse : Explanation, optional
        The map asked the other way round, hostile class against target; where SPEC names a hostile class.
    golden : Golden, optional
        What was recorded; None while recording.
    """

    image: ImageSpec
    feeds: Feeds
    explanation: Explanation
    reverse: Explanation | None
    place: Place | None
    golden: Golden | None = None

    @property
    def says_something(self) -> bool:
        """Whether the map is finite, and not zero everywhere."""
        return bool(np.isfinite(self.explanation.relevance).all()) and not self.explanation.is_zero

    @cached_property
    def is_hit(self) -> bool | None:
        """Whether the map's maximum lies on the target; None where SPEC does not say where that is."""
        if self.place is None or self.explanation.heatmap.ndim != 2:
            return None
        return self.place.is_hit(self.explanation)

    def recorded(self, name: str) -> float | None:
        """Return a figure as it was recorded; None while recording, or where there was none."""
        return None if self.golden is None else self.golden.facts.get(name)

    @cached_property
    def packed(self) -> Packed:
        """The map as it is recorded."""
        return pack(self.explanation.heatmap)

    @cached_property
    def packed_reverse(self) -> Packed | None:
        """The map asked the other way round, as it is recorded."""
        return None if self.reverse is None else pack(self.reverse.heatmap)


@dataclass(frozen=True)
class Asked:
    """Which classes an image is asked about."""

    target: int
    hostile: tuple[int, ...]


class Subject:
    """A model under check.

    Parameters
    ----------
    goldens : Goldens, optional
        None while recording: then targets come from SPEC, otherwise from what was recorded.
    threads : int
        Of ONNX Runtime.
    """

    def __init__(self, spec: Spec, goldens: Goldens | None, device: str = "cpu", threads: int = THREADS) -> None:
        self.spec, self.goldens, self.device, self.threads = spec, goldens, in_full_precision(device), threads
        self.explainer = self.make(spec.model, spec.preprocess, spec.labels)
        if self._wants_pixels():
            self.explainer = self.make(spec.model, spec.preprocess, spec.labels, **_PIXELS)
        # a wrong number of labels is for the check to tell, not for the explainer to refuse
        self.labels, self.explainer.labels = self.explainer.labels, None
        self.failure: tuple[str, str] | None = None

    def make(self, model: Any, preprocess: Any = None, labels: Any = None, **values: Any) -> Explainer:
        """Return an explainer of SPEC's method for a model."""
        return Explainer(
            model, preprocess=preprocess, labels=labels, device=self.device, method=self.spec.method,
            section=self.spec.section, threads=self.threads, ledger=True, **self.spec.reading, **values,
        )  # fmt: skip

    @property
    def input_type(self) -> str:
        """What the model's first input holds, such as float32."""
        return str(np.dtype(self.explainer.signatures[0].dtype))

    def _wants_pixels(self) -> bool:
        """Tell of a quantised candidate that takes pixels, where SPEC normalises them for the recorded float model."""
        recorded = str(self.goldens.facts.get("input_type", "")) if self.goldens else ""
        return (
            recorded.startswith("float")
            and self.input_type in ("uint8", "int8")
            and self.spec.preprocess is not None
            and not self.spec.has_own_preprocess
        )

    @cached_property
    def feeds(self) -> list[Feeds]:
        """The images as the model gets them."""
        return [self.explainer.prepare(image.path) for image in self.spec.images]

    @cached_property
    def preprocessing(self) -> Record | None:
        """How photographs become tensors; None where SPEC has none."""
        if all(feeds.photo is None for feeds in self.feeds):
            return None
        values = self.explainer.preprocess.to_dict()
        return {key: value for key, value in values.items() if key not in ("name", "source")}

    @cached_property
    def classes(self) -> int:
        """How many classes the model has."""
        return int(self.explainer.scores(self.feeds[0]).size)

    @cached_property
    def kind(self) -> str:
        """What the model does to its logits, such as softmax."""
        return self.explainer.score_kind(self.feeds[0])

    def label(self, index: int) -> str:
        """Return a class's label."""
        return label_of(index, self.labels)

    @cached_property
    def shots(self) -> list[Shot]:
        """All images, explained; none, and ``failure`` says why, where the model cannot be explained."""
        try:
            self._check_classes()
            asked = [self._asked(n) for n in range(len(self.feeds))] if self.failure is None else []
            return self._explained(asked)
        except (BadInput, BadTarget):
            raise
        except BadModel as error:
            self.failure = ("explainable", str(error).rstrip("."))
            return []

    @cached_property
    def machine(self) -> str:
        """What costs depend on."""
        return f"{machine()}, {self.threads} threads, {self.explainer.provider}"

    @cached_property
    def costs(self) -> dict[str, float | None]:
        """What the first image takes here."""
        shot = self.shots[0]
        return measure_costs(self.explainer, shot.feeds, shot.explanation.target, shot.explanation.hostile)

    def _check_classes(self) -> None:
        if self.goldens is None:
            if self.labels is not None:
                check_labels(self.labels, self.classes)
            return
        recorded = int(self.goldens.facts["classes"])
        if recorded != self.classes:
            self.failure = ("scores", f"the model has {self.classes} classes, but {recorded} were recorded")

    def _asked(self, number: int) -> Asked:
        image = self.spec.images[number]
        golden = self.goldens.get(image.name) if self.goldens else None
        if golden is not None:
            return Asked(golden.facts["target"], tuple(golden.facts["hostile"]))
        scores = self.explainer.scores(self.feeds[number])
        try:
            target = choose_targets("auto" if image.target is None else image.target, scores, self.labels)[0]
            hostile = choose_hostile(self.spec.hostile_of(image), target, scores, self.kind, self.labels)
        except BadTarget as error:
            raise BadTarget(f"{self.spec.path}:{image.line}: {error}") from error
        return Asked(target, tuple(hostile))

    def _explained(self, asked: Sequence[Asked]) -> list[Shot]:
        shots: list[Shot] = []
        for start in range(0, len(asked), _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, len(asked)))
            targets = [[asked[n].target, *self._reversed(n, asked[n])] for n in part]
            rivals = [[list(asked[n].hostile), *[[asked[n].target]] * (len(targets[n - start]) - 1)] for n in part]
            explanations = self.explainer.explain_each([self.feeds[n] for n in part], targets, rivals)
            shots += [self._shot(n, *explanations[n - start]) for n in part]
        return shots

    def _reversed(self, number: int, asked: Asked) -> list[int]:
        """Return the class that the other way round is asked about: the first hostile one that SPEC names."""
        named = self.spec.hostile_of(self.spec.images[number]) not in ("auto", "none")
        return list(asked.hostile[:1]) if named else []

    def _shot(self, number: int, explanation: Explanation, reverse: Explanation | None = None) -> Shot:
        image = self.spec.images[number]
        try:
            place = image.place(explanation.target)
        except RspError as error:
            raise BadInput(f"{self.spec.path}:{image.line}: {error}") from error
        if place is not None and not place.inside.any():
            where, target = f"{self.spec.path}:{image.line}", explanation.target
            raise BadInput(f"{where}: the mask has no pixel of class {target}; give a box.")
        golden = self.goldens.get(image.name) if self.goldens else None
        return Shot(image, self.feeds[number], explanation, reverse, place, golden)


def photo_digest(image: ImageSpec) -> str:
    """Return the SHA-256 of an image's file."""
    try:
        return hashlib.sha256(image.path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{image.path} cannot be read: {error.strerror or error}.") from error


def lost_share(explanation: Explanation) -> float:
    """Return what nodes made or lost on the way down, as a share of the relevance at the section; 0 keeps all."""
    return float(sum(abs(loss.gained) for loss in explanation.losses))
