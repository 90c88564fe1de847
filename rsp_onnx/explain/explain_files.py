"""Explaining a list of files into a folder: pictures, arrays and one JSON with what was done."""

from __future__ import annotations

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
from rsp_onnx.model.meanwhile import meanwhile
from rsp_onnx.render.figure import panel_names
from rsp_onnx.render.vector import KINDS
from rsp_onnx.types import Progress
from rsp_onnx.version import __version__

from .explainer import Explainer
from .explanation import Explanation
from .pictures.contact import STEM, ContactSheets
from .pictures.shown import undrawn

FORMATS = ("png", *KINDS)


def explain_files(
    explainer: Explainer, images: Sequence[str | Path], folder: str | Path, *, target: Choice = "auto",
    hostile: Choice = "auto", batch_size: int = 1, progress: Progress | None = None, layout: str = "triple",
    formats: Sequence[str] = ("png",), contact_sheet: bool = False,
) -> Records:  # fmt: skip
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
    layout : {"triple", "pair", "overlay"}
        What the pictures show, see ``Explanation.image``.
    formats : sequence of {"png", "svg", "pdf"}
        As which they are written.
    contact_sheet : bool
        Write all pictures of the run on one sheet too, ``contact-sheet.png``: items in rows, targets beside each other.
        A sheet holds up to 20 rows of 10; there are several, ``contact-sheet.1.png`` and so on, where that is too few.

    Returns
    -------
    Records
        The records of ``explain.json``.

    Raises
    ------
    BadInput
        There is no image, one cannot be read or holds no item, or two would write the same files.
    BadOutput
        The folder cannot be written.
    """
    drawing = _Drawing(layout, tuple(dict.fromkeys(formats)), ContactSheets(Path(folder)) if contact_sheet else None)
    paths = [Path(p) for p in images]
    if contact_sheet and any(path.stem == STEM for path in paths):
        raise BadInput(f"{STEM}.* is what the contact sheet is written as; give the image of that name another one.")
    count, size = _check(explainer, paths), whole_batches(max(batch_size, 1), explainer.signatures)
    items, done = _items(explainer, paths), 0
    records = Records()
    try:
        while part := list(islice(items, size)):
            with meanwhile(_get_ready_to_draw):
                results = explainer.explain_batch([one.picture for one in part], target, hostile, batch_size=size)
            out = make_folder(folder)
            for item, explanations in zip(part, results, strict=True):
                records.extend(_write(explainer, item, one, out, drawing) for one in explanations)
                drawing.collect(item, explanations)
            done += len(part)
            if progress is not None:
                progress(done, count)
    finally:
        if records:
            save_json(Path(folder) / "explain.json", records)
            records.sheets = drawing.finished()
    return records


class Records(list[dict[str, Any]]):
    """The records of ``explain.json``. sheets: names of the contact sheets in the folder."""

    sheets: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class _Drawing:
    """How pictures are written. sheets: where those of the whole run are collected, if they are."""

    layout: str
    formats: tuple[str, ...]
    sheets: ContactSheets | None

    def __post_init__(self) -> None:
        panel_names(self.layout)
        for one in self.formats:
            if one not in FORMATS:
                raise BadInput(f"There is no picture format {one!r}; the formats are {', '.join(FORMATS)}.")

    def collect(self, item: _Item, explanations: Sequence[Explanation]) -> None:
        if self.sheets is not None:
            number = "" if item.number is None else f", item {item.number}"
            self.sheets.add(item.path.name + number, explanations)

    def finished(self) -> tuple[str, ...]:
        if self.sheets is None:
            return ()
        self.sheets.finish()
        return tuple(self.sheets.written)


def _write(explainer: Explainer, item: _Item, explanation: Explanation, out: Path, drawing: _Drawing) -> dict[str, Any]:
    stem = f"{item.stem}.{explanation.target}"
    arrays = out / f"{stem}.npz"
    explanation.save(arrays)
    pictures: dict[str, str | None] = {"png": None}
    for ending in drawing.formats:
        pictures[ending] = f"{stem}.{ending}" if explanation.can_be_drawn else None
        if explanation.can_be_drawn:
            explanation.save(out / f"{stem}.{ending}", drawing.layout)
    return _record(explainer, item, explanation, pictures, arrays)


def _record(
    explainer: Explainer, item: _Item, explanation: Explanation, pictures: dict[str, str | None], arrays: Path
) -> dict[str, Any]:
    preprocessing = explainer.preprocess.to_dict() if explanation.photo is not None else None
    number = {} if item.number is None else {"item": item.number}
    return {
        "image": str(item.path), **number, "target": explanation.target, "target_label": explanation.label,
        "hostile": list(explanation.hostile), "hostile_labels": list(explanation.hostile_labels),
        "score": explanation.score, "score_kind": explanation.kind, "score_in_words": explanation.score_in_words,
        "probability": explanation.probability, "rank": explanation.rank, "predicted": explanation.predicted,
        "predicted_label": label_of(explanation.predicted, explanation.labels),
        "scores": [float(s) for s in explanation.scores], **pictures,
        "npz": arrays.name, "relevance_sums": explanation.sums(), "ledger": dict(explanation.ledger),
        "losses": [asdict(loss) for loss in explanation.losses], "warnings": _warnings(explanation),
        "method": explanation.method, "provider": explanation.provider,
        "model": str(explainer.facts.path) if explainer.facts.path else None, "model_sha256": explainer.facts.sha256,
        "cached": explanation.cached, "version": __version__, "preprocessing": preprocessing,
    }  # fmt: skip


def _warnings(explanation: Explanation) -> list[str]:
    """Return what the reader should know, also why there is no picture."""
    why = [] if explanation.can_be_drawn or explanation.is_zero else [undrawn(explanation).rstrip(".")]
    return [*explanation.warnings, *why]
