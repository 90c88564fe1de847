"""Pictures of relevance: colours, overlays, figures for one class, and contact sheets."""

from __future__ import annotations

from rsp_onnx.render.colours import colour_limit, heatmap_rgb, overlay, smooth
from rsp_onnx.render.figure import figure
from rsp_onnx.render.sheet import contact_sheet

__all__ = ["colour_limit", "contact_sheet", "figure", "heatmap_rgb", "overlay", "smooth"]
