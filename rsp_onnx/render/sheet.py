"""Many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rsp_onnx.errors import BadInput

from .text import Words, draw_words, wrap

_CAPTION = 14  # height of the font in pixels
_CAPTION_ROOM, _LEADING = 22, 18


def contact_sheet(
    images: Sequence[Image.Image], columns: int, *, captions: Sequence[str] = (), cell: tuple[int, int] | None = None,
    gap: int = 10, caption_lines: int = 1,
) -> Image.Image:  # fmt: skip
    """Lay pictures out in rows, each shrunk into its cell and centred there, on white.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        At least one.
    columns : int
        Pictures per row, at least 1.
    captions : sequence of str
        One per picture, below it; each of its lines is wrapped to the cell's width, and cut. Or none at all.
    cell : tuple of int, optional
        (width, height) of a cell in pixels; None takes the largest picture's.
    gap : int
        Pixels between and around the cells.
    caption_lines : int
        Lines there is room for below a picture, at least 1.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    BadInput
        If there are no pictures, no columns, or another number of captions.
    """
    if not images or columns < 1:
        raise BadInput("A contact sheet needs at least one picture and one column.")
    if captions and len(captions) != len(images):
        raise BadInput(f"There are {len(captions)} captions for {len(images)} pictures: give one for each.")
    width, height = cell or (max(i.width for i in images), max(i.height for i in images))
    room = (_CAPTION_ROOM + (caption_lines - 1) * _LEADING) if captions else 0
    step = (width + gap, height + gap + room)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    corners = [(gap + n % columns * step[0], gap + n // columns * step[1]) for n in range(len(images))]
    words = [
        Words(line, x + width / 2, y + height + _CAPTION_ROOM / 2 + n * _LEADING, _CAPTION, "center")
        for text, (x, y) in zip(captions, corners, strict=False)
        for n, line in enumerate(_wrapped(text, width, caption_lines))
    ]
    page_size = (gap + columns * step[0], gap + rows * step[1])
    sheet = draw_words(*page_size, words) if words else Image.new("RGB", page_size, "white")
    for image, (x, y) in zip(images, corners, strict=True):
        small = image.convert("RGB")
        small.thumbnail((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (x + (width - small.width) // 2, y + (height - small.height) // 2))
    return sheet


def _wrapped(text: str, width: int, lines: int) -> list[str]:
    """Wrap each line of a caption; the last one that there is room for is cut."""
    found: list[str] = []
    parts = text.split("\n") if lines > 1 else [text]
    for n, part in enumerate(parts):
        least = len(parts) - n - 1  # a line each for what follows
        found += wrap(part, width, _CAPTION, lines=max(1, lines - len(found) - least))
    return found[:lines]
