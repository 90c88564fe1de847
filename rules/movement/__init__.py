"""Ops that move entries: reshaping, picking, resizing, sampling. Importing it registers them."""

from . import ids, indexing, resampling, reshaping, sampling

__all__ = ["ids", "indexing", "resampling", "reshaping", "sampling"]
