"""Explaining a list of files into a folder: pictures, arrays and one JSON with what was done."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput
from rsp_onnx.files import make_folder, save_json
from rsp_onnx.inputs.classes import Choice
from rsp_onnx.inputs.items import whole_batches
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.inputs.tensors import Picture
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

    A tensor file that holds several items along the batch axis has each of them explained: ``<stem>.<item>.<class
    index>``, counted from 0, and ``item`` in its records.

    Parameters
    ----------
    batch_size : int
        Items at a time; rounded up to whole batches where the model fixes their size.
    progress : callable, optional
        Called with (items done, items in all).

    Returns
    -------
    list of dict
        The records of ``explain.json``.

    Raises
    ------
    BadInput
        There is no image, one cannot be read or holds no item, or two would write the same files.
    BadOutput
        The folder cannot be written.
    """
    paths = [Path(p) for p in images]
    threading.Thread(target=_get_ready_to_draw).start()  # while the model is compiled and runs
    count, size = _check(explainer, paths), whole_batches(max(batch_size, 1), explainer.signatures)
    items, done = _items(explainer, paths), 0
    records: list[dict[str, Any]] = []
    try:
        while part := list(islice(items, size)):
            results = explainer.explain_batch([one.picture for one in part], target, hostile, batch_size=size)
            out = make_folder(folder)
            for item, explanations in zip(part, results, strict=True):
                records.extend(_write(explainer, item, one, out) for one in explanations)
            done += len(part)
            if progress is not None:
                progress(done, count)
    finally:
        if records:
            save_json(Path(folder) / "explain.json", records)
    return records


@dataclass(frozen=True)
class _Item:
    """One item of a file. number: from 0, where the file holds several."""

    path: Path
    number: int | None
    picture: Picture

    @property
    def stem(self) -> str:
        return self.path.stem if self.number is None else f"{self.path.stem}.{self.number}"


def _items(explainer: Explainer, paths: Iterable[Path]) -> Iterator[_Item]:
    """Read file after file, so that one at a time is held."""
    for path in paths:
        found = explainer.items(path)
        several = len(found) > 1
        yield from (_Item(path, n if several else None, one) for n, one in enumerate(found))


def _get_ready_to_draw() -> None:
    from rsp_onnx.render.text import get_ready

    get_ready()


def _check(explainer: Explainer, paths: Sequence[Path]) -> int:
    """Read all images before the first is explained, so that a bad one in the middle costs nothing; count the items."""
    if not paths:
        raise BadInput("There is no image to explain; give at least one.")
    _check_stems((path.stem, path) for path in paths)
    stems: list[tuple[str, Path]] = []
    for item in _items(explainer, paths):
        stems.append((item.stem, item.path))
        if len(paths) > 1 or item.number is not None:
            explainer.feeds(item.picture)
    _check_stems(stems)
    return len(stems)


def _check_stems(stems: Iterable[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for stem, path in stems:
        if stem in seen:
            raise BadInput(f"{seen[stem]} and {path} would both be written as {stem}.*; use different folders.")
        seen[stem] = path


def _write(explainer: Explainer, item: _Item, explanation: Explanation, out: Path) -> dict[str, Any]:
    stem = f"{item.stem}.{explanation.target}"
    arrays = out / f"{stem}.npz"
    explanation.save(arrays)
    picture: Path | None = None
    if explanation.can_be_drawn:
        picture = out / f"{stem}.png"
        explanation.save(picture)
    return _record(explainer, item, explanation, picture, arrays)


def _record(
    explainer: Explainer, item: _Item, explanation: Explanation, picture: Path | None, arrays: Path
) -> dict[str, Any]:
    preprocessing = explainer.preprocess.to_dict() if explanation.photo is not None else None
    number = {} if item.number is None else {"item": item.number}
    return {
        "image": str(item.path), **number, "target": explanation.target, "target_label": explanation.label,
        "hostile": list(explanation.hostile), "hostile_labels": list(explanation.hostile_labels),
        "score": explanation.score, "score_kind": explanation.kind, "score_in_words": explanation.score_in_words,
        "probability": explanation.probability, "rank": explanation.rank, "predicted": explanation.predicted,
        "predicted_label": label_of(explanation.predicted, explanation.labels),
        "scores": [float(s) for s in explanation.scores], "png": None if picture is None else picture.name,
        "npz": arrays.name, "relevance_sums": explanation.sums(), "ledger": dict(explanation.ledger),
        "losses": [asdict(loss) for loss in explanation.losses], "warnings": list(explanation.warnings),
        "method": explanation.method, "provider": explanation.provider,
        "model": str(explainer.facts.path) if explainer.facts.path else None, "model_sha256": explainer.facts.sha256,
        "cached": explanation.cached, "version": __version__, "preprocessing": preprocessing,
    }  # fmt: skip
