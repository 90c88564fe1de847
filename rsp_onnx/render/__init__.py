"""Relevance as pictures: colours, overlays, figures for one class, contact sheets, pages.

Public: colour_limit, contact_sheet, embedded, figure, heatmap_rgb, overlay, render_page, side_by_side, smooth.
"""

from __future__ import annotations

from .colours import colour_limit, heatmap_rgb, overlay, smooth
from .figure import figure
from .sheet import contact_sheet

__all__ = ["colour_limit", "contact_sheet", "figure", "heatmap_rgb", "overlay", "smooth"]
