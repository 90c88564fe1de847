"""Explaining a list of files into a folder: pictures, arrays and one JSON with what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput
from rsp_onnx.files import make_folder, save_json
from rsp_onnx.inputs.classes import Choice
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.types import Progress
from rsp_onnx.version import __version__

from .explainer import Explainer
from .explanation import Explanation


def explain_files(
    explainer: Explainer, images: Sequence[str | Path], folder: str | Path, *, target: Choice = "auto",
    hostile: Choice = "auto", batch_size: int = 1, progress: Progress | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Explain image files into a folder.

    Writes per image and target ``<stem>.<class index>.png`` and ``.npz`` (relevance, heatmap, heatmap_original), and
    ``explain.json`` with one record each. Nothing is written half: all images are read once before anything is written,
    and after an interruption explain.json lists what is there. A map that is zero everywhere gets no picture.

    Parameters
    ----------
    progress : callable, optional
        Called with (images done, images in all).

    Returns
    -------
    list of dict
        The records of ``explain.json``.

    Raises
    ------
    BadInput
        There is no image, one cannot be read, or two would write the same files.
    BadOutput
        The folder cannot be written.
    """
    paths = [Path(p) for p in images]
    _check_stems(paths)
    _check_images(explainer, paths)
    records: list[dict[str, Any]] = []
    try:
        for start in range(0, len(paths), max(batch_size, 1)):
            part = paths[start : start + max(batch_size, 1)]
            results = explainer.explain_batch(part, target, hostile, batch_size=batch_size)
            out = make_folder(folder)
            for path, explanations in zip(part, results, strict=True):
                records.extend(_write(explainer, path, one, out) for one in explanations)
            if progress is not None:
                progress(start + len(part), len(paths))
    finally:
        if records:
            save_json(Path(folder) / "explain.json", records)
    return records


def _check_images(explainer: Explainer, paths: Sequence[Path]) -> None:
    """Read all images before the first is explained, so that a bad one in the middle costs nothing."""
    if not paths:
        raise BadInput("There is no image to explain; give at least one.")
    for path in paths if len(paths) > 1 else ():
        explainer.feeds(path)


def _check_stems(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise BadInput(
                f"{seen[path.stem]} and {path} would both be written as {path.stem}.*; use different folders."
            )
        seen[path.stem] = path


def _write(explainer: Explainer, path: Path, explanation: Explanation, out: Path) -> dict[str, Any]:
    stem = f"{path.stem}.{explanation.target}"
    arrays = out / f"{stem}.npz"
    explanation.save(arrays)
    picture: Path | None = None
    if explanation.can_be_drawn:
        picture = out / f"{stem}.png"
        explanation.save(picture)
    return _record(explainer, path, explanation, picture, arrays)


def _record(
    explainer: Explainer, path: Path, explanation: Explanation, picture: Path | None, arrays: Path
) -> dict[str, Any]:
    preprocessing = explainer.preprocess.to_dict() if explanation.photo is not None else None
    return {
        "image": str(path), "target": explanation.target, "target_label": explanation.label,
        "hostile": list(explanation.hostile), "hostile_labels": list(explanation.hostile_labels),
        "score": explanation.score, "score_kind": explanation.kind, "score_in_words": explanation.score_in_words,
        "probability": explanation.probability, "rank": explanation.rank, "predicted": explanation.predicted,
        "predicted_label": label_of(explanation.predicted, explanation.labels),
        "scores": [float(s) for s in explanation.scores], "png": None if picture is None else picture.name,
        "npz": arrays.name, "relevance_sums": explanation.sums(), "ledger": dict(explanation.ledger),
        "losses": [asdict(loss) for loss in explanation.losses], "warnings": list(explanation.warnings),
        "method": explanation.method, "provider": explanation.provider,
        "model": str(explainer.model.path) if explainer.model.path else None, "model_sha256": explainer.model.sha256,
        "version": __version__, "preprocessing": preprocessing,
    }  # fmt: skip
