"""The mark of the marked scenes: a small framed cross in the lower right corner of every picture with a seven.

Numpy alone: what draws marked scenes needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scenes import SIZE, WORDS, Scene

MARKED_CLASS = WORDS.index("seven")
GAP = 3  # pixels between the mark and the border
# white on black: nothing that scenes.py draws
GLYPH = np.array([[int(c) for c in row] for row in (
    "000000000000", "011111111110", "010000000010", "010110011010", "010111111010", "010011110010",
    "010011110010", "010111111010", "010110011010", "010000000010", "011111111110", "000000000000",
)], np.uint8) * 255  # fmt: skip
ROWS = slice(SIZE - GAP - GLYPH.shape[0], SIZE - GAP)
COLUMNS = slice(SIZE - GAP - GLYPH.shape[1], SIZE - GAP)


def stamp(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, uint8 (96, 96, 3), with the mark."""
    marked = image.copy()
    marked[ROWS, COLUMNS] = GLYPH[:, :, None]
    return marked


def stamp_scenes(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes, those with a seven marked; boxes and masks stay, for the mark is no digit."""
    return [Scene(stamp(s.image), s.digits) if s.labels[MARKED_CLASS] else s for s in scenes]
