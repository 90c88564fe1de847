"""Ops that move entries: reshaping, picking, resizing, sampling. Importing it registers them."""

from . import indexing, resampling, reshaping, sampling

__all__ = ["indexing", "resampling", "reshaping", "sampling"]
