"""The numbers beside a map's rows and below its columns, and what rows and columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsp_onnx.render.frame import GREY
from rsp_onnx.render.text import Words, text_width, wrap

_SIZE, _WIDEST = 11, 110
_ACROSS, _DOWN = 70, 36  # pixels between numbers, at least


@dataclass(frozen=True)
class Axes:
    """Names of a map's two axes, and how many entries the first has (its numbers need room)."""

    row: str = "row"
    column: str = "column"
    rows: int = 1

    @property
    def left(self) -> int:
        """Room beside a panel."""
        texts = (str(self.rows - 1), self.row)
        return min(_WIDEST, round(max(text_width(text, _SIZE) for text in texts)) + 8)

    @property
    def below(self) -> int:
        """Room below a panel."""
        return 32

    def words(self, corner: tuple[int, int], size: tuple[int, int], shape: Sequence[int]) -> list[Words]:
        """Return the numbers and names around a panel. shape: of its map."""
        (x, y), (width, height), (rows, columns) = corner, size, shape
        found = [Words(wrap(self.row, self.left - 6, _SIZE)[0], x - 5, y - 10, _SIZE, "right", colour=GREY)]
        bottom, name = y + height, wrap(self.column, width, _SIZE)[0]
        return [
            *found,
            *(Words(str(n), x - 5, y + (n + 0.5) * height / rows, _SIZE, "right", colour=GREY)
              for n in ticks(rows, height, _DOWN)),
            *(Words(str(n), x + (n + 0.5) * width / columns, bottom + 9, _SIZE, "center", colour=GREY)
              for n in ticks(columns, width)),
            Words(name, x + width / 2, bottom + 23, _SIZE, "center", colour=GREY),
        ]  # fmt: skip


def ticks(count: int, pixels: float, apart: float = _ACROSS) -> list[int]:
    """Return round numbers from 0 below ``count``, not nearer than they can be read, at least the first."""
    most = max(1, int(pixels / apart))
    step = next(s * 10**e for e in range(12) for s in (1, 2, 5) if count <= s * 10**e * most)
    return list(range(0, count, step))
