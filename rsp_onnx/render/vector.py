"""Pages as SVG and PDF: words stay words, boxes and lines stay lines, maps and photographs are embedded."""

from __future__ import annotations

import io
import threading
from html import escape
from typing import Any

import numpy as np

from .canvas import Page
from .text import PX, drawable

KINDS = ("svg", "pdf")
_LOCK = threading.Lock()  # matplotlib keeps what is asked of a backend in one place for all threads
_BOX, _RASTER, _CHART, _WORD = 1, 2, 3, 4  # what lies above what
_ASKED: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rsp-onnx",
    "pdf.fonttype": 42,
}  # text stays text, ids stay the same


def vector(page: Page, kind: str) -> bytes:
    """Return a page as a file of graphics, the same bytes for the same page and version of matplotlib.

    Parameters
    ----------
    page : Page
        Its ``about`` becomes the SVG's <title> and <desc>, the PDF's title and subject.
    kind : {"svg", "pdf"}

    Returns
    -------
    bytes
        Letters that no font of this machine has are □, as in pictures of pixels.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(page.width / PX, page.height / PX), dpi=PX, facecolor="white")
    figure.suppressComposite = True
    data = io.BytesIO()
    title, description = (drawable(text, 12.0, False)[0] for text in page.about)
    said: dict[str, Any] = {"Title": title, "Creator": "rsp-onnx"}
    said |= {"Date": None} if kind == "svg" else {"Subject": description, "CreationDate": None}
    with _LOCK, rc_context(_ASKED):
        _fill(figure, page)
        figure.savefig(data, format=kind, dpi=PX, metadata=said)
    found = data.getvalue()
    return found if kind == "pdf" else _described(found, description)


def _fill(figure: Any, page: Page) -> None:
    """Lay everything of a page on a figure of its size; y is upward there."""
    from matplotlib.patches import Rectangle
    from matplotlib.transforms import IdentityTransform

    plain: dict[str, Any] = {"transform": IdentityTransform()}
    for box in page.boxes:
        corner = (box.left, page.height - box.top - box.height)
        colour = tuple(c / 255 for c in box.colour)
        figure.add_artist(Rectangle(corner, box.width, box.height, color=colour, lw=0, zorder=_BOX, **plain))
    for raster in page.rasters:
        pixels = np.asarray(raster.picture.convert("RGB"))
        bottom = page.height - raster.top - raster.picture.height
        figure.figimage(pixels, raster.left, bottom, origin="upper", zorder=_RASTER)
    for chart in page.charts:
        bottom = page.height - chart.top - chart.height
        shares = (chart.left / page.width, bottom / page.height, chart.width / page.width, chart.height / page.height)
        chart.draw(figure, shares)
    for axes in figure.axes:
        axes.set_zorder(_CHART)
    for line in page.words:
        text, font = drawable(line.text, line.size, line.bold)
        font = font.copy()
        font.set_family([*font.get_family(), "sans-serif"])  # for viewers that lack ours
        figure.text(
            line.x, page.height - line.y, text, fontproperties=font, color=line.colour, ha=line.anchor, va="center",
            parse_math=False, usetex=False, zorder=_WORD, **plain,
        )  # fmt: skip


def _described(svg: bytes, description: str) -> bytes:
    said = f"</title>\n <desc>{escape(description)}</desc>".encode()
    return svg.replace(b"</title>", said, 1)
