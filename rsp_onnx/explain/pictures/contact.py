"""One sheet with the pictures of a run: images in rows, their targets beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from rsp_onnx.files import save_png
from rsp_onnx.render.drawing import body_of
from rsp_onnx.render.sheet import contact_sheet

from .shown import Shown, subject_of, undrawn

STEM = "contact-sheet"
ROWS, COLUMNS = 20, 10  # of one sheet; more targets take further rows, more rows further sheets
_CELL = (224, 224)
_CHART = 300  # pixels of a chart before it is shrunk into its cell
_NAME = 26  # letters of an item's name that have room


class ContactSheets:
    """Sheets of a run, written as they fill: at most ``ROWS`` rows of ``COLUMNS`` pictures each.

    The pictures are overlays on the scale of their own maps, below each the item, the class and its score.
    ``contact-sheet.png`` where one sheet is enough, else ``contact-sheet.1.png`` and so on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[list[tuple[Image.Image, str]]] = []
        self.written: list[str] = []

    def add(self, name: str, explained: Sequence[Shown]) -> None:
        """Add an item's explanations."""
        cells = [(_thumbnail(one), f"{_short(name)}\n{one.label}\n{_score(one)}") for one in explained]
        for start in range(0, len(cells), COLUMNS):
            if len(self._rows) == ROWS:
                self._write(f"{STEM}.{len(self.written) + 1}.png")
            self._rows.append(cells[start : start + COLUMNS])

    def finish(self) -> None:
        """Write what is left; BadOutput where the folder cannot be written."""
        if self._rows:
            self._write(f"{STEM}.{len(self.written) + 1}.png" if self.written else f"{STEM}.png")

    def _write(self, name: str) -> None:
        columns = max(len(row) for row in self._rows)
        empty = (Image.new("RGB", (1, 1), "white"), "")
        cells = [cell for row in self._rows for cell in (*row, *[empty] * (columns - len(row)))]
        pictures, captions = zip(*cells, strict=True)
        save_png(self._folder / name, contact_sheet(pictures, columns, captions=captions, cell=_CELL, caption_lines=4))
        self._rows = []
        self.written.append(name)


def _short(name: str) -> str:
    """Leave out the middle of a long name: files of one folder often begin alike."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 3]}…{name[-(_NAME - _NAME // 3 - 1) :]}"


def _score(explained: Shown) -> str:
    """Return the likelihood where there is one, else the score, and the rank."""
    return f"{explained.score_in_words.rpartition(', ')[2]} · rank {explained.rank}"


def _thumbnail(explained: Shown) -> Image.Image:
    """Draw a map without its frame, shrunk; a grey area where there is no picture."""
    if undrawn(explained):
        return Image.new("RGB", _CELL, (232, 232, 232))
    page = body_of(subject_of(explained), "overlay", _CHART).page
    if page.width == _CHART and page.height > 1.5 * _CHART:  # a tall chart would become a narrow one
        page = body_of(subject_of(explained), "overlay").page
    picture = page.image()
    picture.thumbnail(_CELL, Image.Resampling.LANCZOS)
    return picture
