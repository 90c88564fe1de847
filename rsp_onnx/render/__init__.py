"""Relevance as pictures: colours, overlays, what is drawn of every kind of input, contact sheets, pages, notebooks.

Public: Body, Bounds, Box, CAPTION, Card, Chart, Draw, GAP, GREY, Heading, KINDS, LAYOUTS, LEADING, LEAST_WIDTH, Mapped,
Page, Subject, WIDTH, Words, as_png, body_of, card, colour_limit, contact_sheet, draw, embedded, embedded_picture,
figure, get_ready, heatmap_rgb, kind_of, notebook, overlay, panel_names, panels, render_page, side_by_side, smooth,
text_width, vector, wrap.
"""

from __future__ import annotations

from .colours import colour_limit, heatmap_rgb, overlay, smooth
from .figure import figure
from .sheet import contact_sheet

__all__ = ["colour_limit", "contact_sheet", "figure", "heatmap_rgb", "overlay", "smooth"]
