"""Many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rsp_onnx.errors import BadInput

from .text import Words, draw_words, wrap

_CAPTION = 14  # height of the font in pixels
_CAPTION_ROOM = 22


def contact_sheet(
    images: Sequence[Image.Image], columns: int, *, captions: Sequence[str] = (), cell: tuple[int, int] | None = None,
    gap: int = 10,
) -> Image.Image:  # fmt: skip
    """Lay pictures out in rows, each shrunk into its cell and centred there, on white.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        At least one.
    columns : int
        Pictures per row, at least 1.
    captions : sequence of str
        One per picture, below it, cut to the cell's width; or none at all.
    cell : tuple of int, optional
        (width, height) of a cell in pixels; None takes the largest picture's.
    gap : int
        Pixels between and around the cells.

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
    step = (width + gap, height + gap + (_CAPTION_ROOM if captions else 0))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    corners = [(gap + n % columns * step[0], gap + n // columns * step[1]) for n in range(len(images))]
    words = [
        Words(wrap(text, width, _CAPTION)[0], x + width / 2, y + height + _CAPTION_ROOM / 2, _CAPTION, "center")
        for text, (x, y) in zip(captions, corners, strict=False)
    ]
    page_size = (gap + columns * step[0], gap + rows * step[1])
    sheet = draw_words(*page_size, words) if words else Image.new("RGB", page_size, "white")
    for image, (x, y) in zip(images, corners, strict=True):
        small = image.convert("RGB")
        small.thumbnail((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (x + (width - small.width) // 2, y + (height - small.height) // 2))
    return sheet
