"""Explanations as HTML for notebooks: whole in itself, no server and no request, every text escaped."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rsp_onnx.inputs.geometry import finite_map
from rsp_onnx.types import Array

from .charts.planes import evenly, shown
from .charts.tokens import ink, shade
from .colours import colour_limit, heatmap_rgb, overlay, veil
from .drawing import body_of
from .figure import seen
from .frame import Heading, scale_end
from .kinds import Subject, kind_of
from .page import embedded, render_page

_TEMPLATE = Path(__file__).parent / "notebook.html.jinja"
PER_PAGE, MOST_CARDS = 12, 240  # of a gallery
_SMALL = 64  # pixels of a side up to which a picture is shown with its pixels


@dataclass(frozen=True)
class Sizes:
    """How much one view may hold: pixels of a picture's longer side and of a chart, slices and their side, tokens."""

    picture: int = 720
    chart: int = 820
    slices: int = 128
    side: int = 192
    tokens: int = 1500


LARGE, GALLERY = Sizes(), Sizes(240, 480, 24, 96, 200)


@dataclass(frozen=True)
class Card:
    """One explanation as a notebook shows it.

    Attributes
    ----------
    view : mapping
        What is drawn, see ``view_of``.
    limit : str
        The number at the scale's ends; empty where nothing is drawn.
    """

    heading: Heading
    view: dict[str, Any]
    limit: str = ""
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def card(subject: Subject, heading: Heading, warnings: Sequence[str] = (), sizes: Sizes = LARGE) -> Card:
    """Return what a notebook shows of a map that can be drawn."""
    view, limit, lines = view_of(subject, sizes)
    return Card(heading, view, scale_end(limit), lines, tuple(warnings))


def notebook(cards: Sequence[Card], count: int | None = None) -> str:
    """Return HTML: one card, or a gallery in pages.

    Parameters
    ----------
    count : int, optional
        How many there are in all, where these are the first of them.
    """
    pages = [cards[i : i + PER_PAGE] for i in range(0, len(cards), PER_PAGE)]
    stops = ", ".join(
        f"#{r:02x}{g:02x}{b:02x} {place}%"
        for place, (r, g, b) in zip(range(0, 101, 10), heatmap_rgb(np.linspace(-1, 1, 11)[None], 1.0)[0], strict=True)
    )
    left_out = 0 if count is None else count - len(cards)
    uid = f"rsp-{uuid.uuid4().hex[:12]}"
    return render_page(
        _TEMPLATE, uid=uid, pages=pages, stops=stops, single=len(cards) == 1 and not left_out, left_out=left_out,
        shown=len(cards),
    ).decode()  # fmt: skip


def view_of(subject: Subject, sizes: Sizes = LARGE) -> tuple[dict[str, Any], float, tuple[str, ...]]:
    """Return what is drawn of a map, the value at the scale's ends, and what must be said of it.

    ``kind`` says how: ``layers`` (a photograph or tensor, and the map as a transparent picture over it), ``words``,
    ``slices`` (below each other in one picture), or ``picture``.

    Raises
    ------
    BadInput
        The map cannot be drawn.
    """
    kind = kind_of(subject)
    if kind == "tokens":
        return _words(subject.channels_first(), sizes)
    if kind == "volume":
        return _slices(subject.channels_first(), sizes)
    if kind in ("photo", "image"):
        heatmap = finite_map(subject.heatmap_original)
        base, said = _base(subject.channels_first(), heatmap)
        if base is not None:
            limit = colour_limit(heatmap)
            return _layers(base, heatmap, limit, sizes), limit, (said,) if said else ()
    body = body_of(subject, "triple", sizes.chart)
    picture = body.page.image()
    picture.thumbnail((sizes.chart, 2 * sizes.chart))
    view = {"kind": "picture", "picture": embedded(picture, "png"), "width": picture.width}
    return view, body.limit, body.lines


def _base(subject: Subject, heatmap: Array) -> tuple[Image.Image | None, str]:
    """Return what the map is laid over, and what must be said of it."""
    photo, done = seen(subject.photo)
    if photo is not None:
        return photo.convert("RGB"), f"photo{done}" if done else ""
    pixels, said = shown(subject.tensor, heatmap.shape)
    return (None, "") if pixels is None else (Image.fromarray(pixels), said)


def _layers(base: Image.Image, heatmap: Array, limit: float, sizes: Sizes) -> dict[str, Any]:
    small = max(base.size) <= _SMALL
    size = _fitted(base.size, sizes.picture)
    if size != base.size:  # as overlays are: averaging makes values smaller, and the scale shrinks with them
        shares = np.asarray(heatmap / limit, np.float32)
        heatmap = np.asarray(Image.fromarray(shares).resize(size, Image.Resampling.BOX), np.float64)
        limit = colour_limit(heatmap) / colour_limit(shares)
        base = base.resize(size, Image.Resampling.BICUBIC)
    return {
        "kind": "layers", "base": embedded(base, "png" if small else "jpeg"),
        "veil": embedded(veil(heatmap, limit), "png"),
        "width": size[0], "height": size[1], "small": small,
    }  # fmt: skip


def _words(subject: Subject, sizes: Sizes) -> tuple[dict[str, Any], float, tuple[str, ...]]:
    values, words = np.asarray(subject.heatmap, np.float64), subject.words
    limit = colour_limit(values[None], 100.0)
    colours = shade(values[: sizes.tokens], limit)
    told = [
        {"text": word or "␣", "colour": "#{:02x}{:02x}{:02x}".format(*map(int, c)), "ink": ink(c), "value": f"{v:.3g}"}
        for word, c, v in zip(words, colours, values, strict=False)
    ]
    said = [] if subject.vocabulary is not None else ["ids, no vocabulary given"]
    if len(words) > sizes.tokens:
        said.append(f"the first {sizes.tokens} of {len(words)} tokens")
    return {"kind": "words", "words": told}, limit, tuple(said)


def _slices(subject: Subject, sizes: Sizes) -> tuple[dict[str, Any], float, tuple[str, ...]]:
    """Draw overlays of slices below each other in one picture, of which the view shows one at a time."""
    heatmap = np.asarray(subject.heatmap, np.float64)
    chosen = evenly(len(heatmap), sizes.slices)
    limit = colour_limit(heatmap.reshape(len(heatmap), -1))
    pixels, about = shown(subject.tensor, heatmap.shape)
    size = _fitted((heatmap.shape[2], heatmap.shape[1]), sizes.side)
    strip = Image.new("RGB", (size[0], size[1] * len(chosen)))
    for i, n in enumerate(chosen):
        painted = Image.fromarray(heatmap_rgb(heatmap[n], limit))
        if pixels is not None:
            painted = overlay(Image.fromarray(pixels[n]), heatmap[n], limit)
        strip.paste(painted.resize(size, Image.Resampling.BOX), (0, i * size[1]))
    said = [about] if about else []
    if len(chosen) < len(heatmap):
        said.append(f"{len(chosen)} of {len(heatmap)} slices, evenly chosen")
    view = {
        "kind": "slices", "strip": embedded(strip, "png" if max(size) <= _SMALL else "jpeg"), "slices": chosen,
        "of": len(heatmap), "width": size[0], "height": size[1], "first": len(chosen) // 2,
    }  # fmt: skip
    return view, limit, tuple(said)


def _fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    factor = min(1.0, longest / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
