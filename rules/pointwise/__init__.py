"""Ops that work entry by entry: activations, arithmetic, normalisations, casts. Importing it registers them."""

from . import activations, arithmetic, batch_normalization, normalization, passing

__all__ = ["activations", "arithmetic", "batch_normalization", "normalization", "passing"]
