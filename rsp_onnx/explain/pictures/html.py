"""Explanations as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from .heading import heading
from .shown import Shown, subject_of, undrawn


def html_of(explained: Sequence[Shown]) -> str:
    """Return the view of one explanation, or a gallery of several: of many the first, which it says."""
    from rsp_onnx.render.notebook import GALLERY, LARGE, MOST_CARDS, Card, card, notebook

    sizes = LARGE if len(explained) == 1 else GALLERY
    cards = []
    for one in explained[:MOST_CARDS]:
        if why := undrawn(one):
            cards.append(Card(heading(one), {"kind": "nothing", "reason": why}, warnings=one.warnings))
        else:
            cards.append(card(subject_of(one), heading(one), one.warnings, sizes))
    return notebook(cards, len(explained))
