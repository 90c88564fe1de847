"""A comparison of two models on a list of images: the run, its summary, and the limits it is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.checks.subject.similarity import SIMILARITIES
from rsp_onnx.errors import BadInput, RspError
from rsp_onnx.evaluate.datasets.files import photos_in
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.inputs.classes import Choice
from rsp_onnx.types import Progress, Record

from .models import Comparison, Question
from .report import write_comparison


def compare_models(
    a: str | Path, b: str | Path, images: Sequence[str | Path], *, target: Choice = "auto", hostile: Choice = "auto",
    class_offset: int | None = None, method: str = "rsp", labels: str | Path | None = None,
    labels_b: str | Path | None = None, preprocess: str | None = None, preprocess_b: str | None = None,
    device: str = "auto", threads: int | None = None, out: str | Path | None = None, report: bool = True,
    pictures: int = 6, fail_below: Sequence[str] = (), max_flips: int | None = None, progress: Progress | None = None,
    **explainer: Any,
) -> Record:  # fmt: skip
    """Compare two models on images.

    Parameters
    ----------
    a, b : path
        Models, such as the deployed one and its candidate. Targets are decided by A.
    images : sequence of path
        Photographs, ready tensors (.npy, .npz), or folders of photographs.
    class_offset : int, optional
        B's class = A's class + offset; default: by name where both have labels that differ, else the same index.
    preprocess, preprocess_b : str, optional
        Of A and of B; each default is the model's own.
    labels, labels_b : path, optional
        Of A and of B. B's default: its own metadata, else A's where it has as many classes.
    out : path, optional
        Folder for compare.json, pictures and report.html; None writes nothing.
    pictures : int
        How many images, those whose explanation moved most, are drawn.
    fail_below : sequence of str
        ``spearman=0.9``: the median must not be below; ``worst-spearman=0.8``: nor any image.
    max_flips : int, optional
        How many predictions may flip.
    explainer
        Arguments of both models' ``Explainer``: output, class_axis, class_rows, region, input_shapes.

    Returns
    -------
    dict
        ``images`` (a record each), ``summary``, ``layers``, ``failures`` (sentences; empty where all holds), ...

    Raises
    ------
    RspError
        A model or an image cannot be used, or the models have no classes in common.
    """
    limits, paths = read_limits(fail_below), image_files(images)
    shared: dict[str, Any] = {"method": method, "device": device, "threads": threads, "ledger": True, **explainer}
    first = Explainer(a, labels=labels, preprocess=preprocess, **shared)
    second = Explainer(b, labels=labels_b, preprocess=preprocess_b, **shared)
    comparison = Comparison(first, second, Question(target, hostile, class_offset))
    results = _results(comparison, _records(comparison, paths, progress), limits, max_flips)
    if out is not None:
        write_comparison(comparison, results, Path(out), pictures, report)
    return results


def _records(comparison: Comparison, paths: Sequence[Path], progress: Progress | None) -> list[Record]:
    records: list[Record] = []
    for done, path in enumerate(paths, 1):
        records += comparison.records(path)
        if progress is not None:
            progress(done, len(paths))
    return records


def image_files(images: Sequence[str | Path]) -> list[Path]:
    """Return the files: a folder stands for its photographs; BadInput where there are none."""
    files: list[Path] = []
    for path in map(Path, images):
        inside = photos_in(path) if path.is_dir() else [path]
        if not inside:
            raise BadInput(f"The folder {path} holds no photographs: give files or another folder.")
        files += inside
    if not files:
        raise BadInput("There is no image to compare on; give at least one.")
    for path in files:
        if not path.is_file():
            raise BadInput(f"There is no file {path}: check the path.")
    return list(dict.fromkeys(files))


def read_limits(words: Sequence[str]) -> dict[str, float]:
    """Return lower limits by name from ``spearman=0.9``; BadInput for what is no measure or no number."""
    known = [*SIMILARITIES, *(f"worst-{name}" for name in SIMILARITIES)]
    limits: dict[str, float] = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals or name not in known:
            raise BadInput(f"{word!r} is not MEASURE=NUMBER with a measure of {', '.join(known)}.")
        try:
            limits[name] = float(number)
        except ValueError:
            raise BadInput(f"{word!r}: {number!r} is not a number.") from None
        if not -1 <= limits[name] <= 1:
            raise BadInput(f"{word!r}: similarities lie between -1 and 1.")
    return limits


def summary_of(records: Sequence[Mapping[str, Any]]) -> Record:
    """Return the number of comparisons and of flips, and per measure its median, its worst value and that image."""
    summary: Record = {"comparisons": len(records), "images": len({r["image"] for r in records})}
    summary["flips"] = len({r["image"] for r in records if r["flip"]})
    for name in SIMILARITIES:
        worst = min(records, key=lambda r: r[name])
        median = float(np.median([r[name] for r in records]))
        summary[name] = {"median": median, "worst": worst[name], "worst_image": worst["image"]}
    summary["score_change"] = float(max(abs(r["score_b"] - r["score_a"]) for r in records))
    return summary


def failures_of(summary: Mapping[str, Any], limits: Mapping[str, float], max_flips: int | None) -> list[str]:
    """Return a sentence per limit that does not hold."""
    sentences = []
    for name, limit in limits.items():
        measure = name.removeprefix("worst-")
        value = summary[measure]["worst" if name != measure else "median"]
        if value < limit:
            where = f" ({Path(summary[measure]['worst_image']).name})" if name != measure else ""
            which = "worst" if name != measure else "median"
            sentences.append(f"The {which} {measure} is {value:.3f}{where}, below {limit:g}.")
    if max_flips is not None and summary["flips"] > max_flips:
        sentences.append(f"{summary['flips']} of {summary['images']} predictions flip; {max_flips} may.")
    return sentences


def _results(
    comparison: Comparison, records: list[Record], limits: Mapping[str, float], max_flips: int | None
) -> Record:
    summary = summary_of(records)
    a, b = comparison.a, comparison.b
    assert comparison.pairs is not None
    return {
        "models": [_model(a, records), _model(b, records)],
        "method": a.method,
        "classes_by": comparison.pairs.how,
        "limits": dict(limits),
        "summary": summary,
        "failures": failures_of(summary, limits, max_flips),
        "layers": {"how": comparison.profiles.how, "said": comparison.profiles.said(),
                   "rows": comparison.profiles.rows()},
        "images": records,
    }  # fmt: skip


def _model(explainer: Explainer, records: Sequence[Record]) -> Record:
    path = explainer.facts.path
    try:
        preprocessing = explainer.preprocess.to_dict()
    except RspError:  # several inputs: only ready tensors were given
        preprocessing = {}
    return {
        "path": None if path is None else str(path), "name": "model" if path is None else Path(path).name,
        "sha256": explainer.facts.sha256, "preprocessing": preprocessing,
    }  # fmt: skip
