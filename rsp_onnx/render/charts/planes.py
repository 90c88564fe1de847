"""Maps of tensors that have rows and columns: beside the tensor in grey, numbered; and slices through a volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsp_onnx.render.canvas import Page
from rsp_onnx.render.colours import colour_limit
from rsp_onnx.render.figure import LEAST_WIDTH, panel_names, panels
from rsp_onnx.render.frame import CAPTION, GAP, GREY, LEADING, Body
from rsp_onnx.render.text import Words
from rsp_onnx.types import Array

from .axes import Axes

_SLICES = {"overlay": 12, "pair": 8, "triple": 6}  # how many a sheet shows
_SIDE = 200  # pixels of a slice's longer side
_WIDE = 860  # pixels of a sheet of slices, where one row of panels is not wider


def plane(
    heatmap: Array, tensor: Array | None, layout: str, names: tuple[str, str] = ("row", "column"),
    limit: float | None = None,
) -> Body:  # fmt: skip
    """Draw a map [H, W] beside the tensor [C, H, W] it belongs to, rows and columns numbered.

    Without a tensor, or where it has another shape, the map stands alone.
    """
    limit = colour_limit(heatmap) if limit is None else limit
    seen, said = shown(tensor, heatmap.shape)
    picture = None if seen is None else Image.fromarray(seen)
    axes = Axes(*names, rows=len(heatmap))
    page = panels(picture, heatmap, limit, layout, axes=axes, given="input")
    return Body(page, limit, (said,) if said else (), LEAST_WIDTH)


def slices(heatmap: Array, tensor: Array | None, layout: str, limit: float | None = None) -> Body:
    """Draw slices of a volume's map [D, H, W], evenly chosen along its first axis, all on one scale."""
    panel_names(layout)
    limit = colour_limit(heatmap.reshape(len(heatmap), -1)) if limit is None else limit
    seen, said = shown(tensor, heatmap.shape)
    chosen = evenly(len(heatmap), _SLICES[layout])
    parts = [
        _numbered(panels(None if seen is None else Image.fromarray(seen[n]), heatmap[n], limit, layout, given="input",
                         longest=_SIDE), n)
        for n in chosen
    ]  # fmt: skip
    columns = max(1, min(len(parts), (_WIDE + GAP) // (parts[0].width + GAP)))
    across, down = parts[0].width + GAP, parts[0].height + GAP
    page = Page(columns * across - GAP, -(-len(parts) // columns) * down - GAP)
    for i, part in enumerate(parts):
        page = page.with_part(part, i % columns * across, i // columns * down)
    count = f"all {len(heatmap)}" if len(chosen) == len(heatmap) else f"{len(chosen)} of {len(heatmap)}, evenly chosen"
    lines = (f"slices along the first axis: {count}", *((said,) if said else ()))
    return Body(page, limit, lines, LEAST_WIDTH)


def evenly(count: int, most: int) -> list[int]:
    """Return at most that many places of ``count``, each the middle of an equal part."""
    parts = min(count, most)
    return [(2 * i + 1) * count // (2 * parts) for i in range(parts)]


def _numbered(part: Page, number: int) -> Page:
    room = round(CAPTION * LEADING)
    words = (Words(f"slice {number}", part.width / 2, room / 2, CAPTION, "center", bold=True, colour=GREY),)
    return Page(part.width, part.height + room, words).with_part(part, 0, room)


def shown(tensor: Array | None, places: tuple[int, ...]) -> tuple[NDArray[np.uint8] | None, str]:
    """Return a tensor [C, *places] as it can be looked at, and what must be said of it.

    The smallest value is black, the largest white. Three channels of a plane are colours [H, W, 3], others their mean.
    None where the tensor does not lie on these places.
    """
    if tensor is None or tensor.shape[-len(places) :] != places or tensor.ndim not in (len(places), len(places) + 1):
        return None, ""
    values = np.asarray(tensor, np.float64).reshape(-1, *places)
    colours = len(values) == 3 and len(places) == 2
    seen = np.moveaxis(values, 0, -1) if colours else values.mean(axis=0)
    low, high = float(seen.min()), float(seen.max())
    grey = np.round((seen - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)
    mean = "" if colours or len(values) == 1 else f"mean of {len(values)} channels, "
    return grey, f"the input: {mean}" + f"{low:.3g} (black) to {high:.3g} (white)".replace("-", "−")
