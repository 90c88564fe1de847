"""Relevance as pictures: colours, overlays, figures for one class, bars and lines, contact sheets, pages.

Public: colour_limit, contact_sheet, draw, embedded, figure, get_ready, heatmap_rgb, MOST_LINES, overlay, render_page,
series_figure, side_by_side, smooth.
"""

from __future__ import annotations

from .colours import colour_limit, heatmap_rgb, overlay, smooth
from .figure import figure
from .series import MOST_LINES, series_figure
from .sheet import contact_sheet

__all__ = [
    "MOST_LINES", "colour_limit", "contact_sheet", "figure", "heatmap_rgb", "overlay", "series_figure", "smooth",
]  # fmt: skip
