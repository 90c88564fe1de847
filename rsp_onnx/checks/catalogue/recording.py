"""Recording goldens, and telling what a new recording changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from rsp_onnx.checks.spec import read
from rsp_onnx.checks.spec.spec import ImageSpec, Spec
from rsp_onnx.checks.subject.changes import changes_of
from rsp_onnx.checks.subject.goldens import Golden, Goldens, keep_scores, read_goldens, save_goldens
from rsp_onnx.checks.subject.pointing import pointing_rates
from rsp_onnx.checks.subject.subject import DECIMALS, THREADS, Shot, Subject, lost_share, photo_digest
from rsp_onnx.errors import BadInput, BadModel, BadOutput
from rsp_onnx.inputs.classes import probabilities
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .all_checks import ordered

_SHOWN = 5  # best classes in the header


@dataclass(frozen=True)
class Recording:
    """What `record` did: the file, what changed in it (empty of a first recording), whether it was written."""

    path: Path
    goldens: Goldens
    changes: tuple[str, ...] = ()
    is_new: bool = True
    is_written: bool = True


def read_spec(path: str | Path, model: str | Path | None = None, preprocess: str | Path | None = None) -> Spec:
    """Read a SPEC file whose [expect] may hold all checks there are; see ``rsp_onnx.checks.spec.read``."""
    return read.read_spec(path, {one.name: one for one in ordered()}, model, preprocess)


def record(
    path: str | Path, *, model: str | Path | None = None, preprocess: str | Path | None = None, update: bool = False,
    costs: bool = True, device: str = "cpu", threads: int = THREADS,
) -> Recording:  # fmt: skip
    """Explain SPEC's images and write the goldens.

    Parameters
    ----------
    path : path
        SPEC.
    model, preprocess : optional
        Used instead of SPEC's own.
    update : bool
        Replace goldens that are there. Where nothing but the costs changed the file is left alone.
    costs : bool
        Measure time and memory too; without them the same files give the same bytes.

    Raises
    ------
    BadInput
        SPEC has problems (all of them are listed).
    BadOutput
        There are goldens already, and ``update`` was not asked for.
    BadModel
        The model cannot be explained.
    """
    spec = read_spec(path, model, preprocess)
    if spec.goldens.exists() and not update:
        raise BadOutput(f"{spec.goldens} is there already: record again on purpose with --update, which replaces it.")
    old = _old(spec)
    goldens = make_goldens(Subject(spec, None, device, threads), costs)
    changes = tuple(changes_of(old, goldens)) if old is not None else ()
    written = old is None or bool(changes)
    if written:
        save_goldens(spec.goldens, goldens)
    return Recording(spec.goldens, goldens, changes, old is None, written)


def _old(spec: Spec) -> Goldens | None:
    try:
        return read_goldens(spec.goldens) if spec.goldens.exists() else None
    except BadInput:  # damaged, or of another version: replaced like a missing one
        return None


def make_goldens(subject: Subject, costs: bool = True) -> Goldens:
    """Return what is to be recorded of a model."""
    shots = subject.shots
    if subject.failure is not None:
        raise BadModel(f"Nothing can be recorded: {subject.failure[1]}.")
    spec, explainer = subject.spec, subject.explainer
    facts: Record = {
        "rsp_onnx": __version__, "onnxruntime": onnxruntime.__version__, "provider": explainer.provider,
        "method": spec.method, "section": spec.section, "kind": subject.kind, "classes": subject.classes,
        "input_type": subject.input_type, "reading": dict(spec.reading) or None,
        "labelled": subject.labels is not None,
        "model": {"name": spec.model.name, "sha256": explainer.facts.sha256},
        "preprocessing": subject.preprocessing, "pointing": pointing_rates(subject),
        "costs": {"machine": subject.machine, **subject.costs} if costs else None,
    }  # fmt: skip
    return Goldens(_without_none(facts), tuple(_golden(subject, shot) for shot in shots))


def asked_for(spec: Spec, image: ImageSpec) -> dict[str, str]:
    """Return what SPEC asks of an image, as text; goldens recorded for something else do not serve."""
    return {
        "asked_target": "auto" if image.target is None else str(image.target),
        "asked_hostile": str(spec.hostile_of(image)),
    }


def _golden(subject: Subject, shot: Shot) -> Golden:
    explanation = shot.explanation
    if not shot.says_something:
        raise BadModel(f"Nothing can be recorded: {'; '.join(explanation.warnings)} ({shot.image.name}).")
    chance = probabilities(explanation.scores, subject.kind)
    classes, kept = keep_scores(chance)
    best = [int(i) for i in np.argsort(-chance, kind="stable")[:_SHOWN]]
    facts = {
        "name": shot.image.name, "sha256": photo_digest(shot.image), **asked_for(subject.spec, shot.image),
        "target": explanation.target, "target_label": subject.label(explanation.target),
        "predicted": explanation.predicted, "predicted_label": subject.label(explanation.predicted),
        "hostile": list(explanation.hostile), "best": best,
        "best_labels": [subject.label(i) for i in best],
        "best_probabilities": [round(float(chance[i]), 4) for i in best],
        **_figures(shot),
    }  # fmt: skip
    return Golden(_without_none(facts), kept, classes, shot.packed, shot.packed_reverse)


def _figures(shot: Shot) -> Record:
    place, heatmap = shot.place, shot.explanation.heatmap_original
    return {
        "inside": None if place is None else round(place.share_inside(heatmap), DECIMALS),
        "leakage": None if place is None else round(place.leakage(heatmap), DECIMALS),
        "hit": shot.is_hit,
        "lost": round(lost_share(shot.explanation), DECIMALS),
    }


def _without_none(facts: Mapping[str, Any]) -> Record:
    clean = {k: _without_none(v) if isinstance(v, Mapping) else v for k, v in facts.items() if v is not None}
    return {k: v for k, v in clean.items() if v != {}}
