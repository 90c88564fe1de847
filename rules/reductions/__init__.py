"""Ops that make one number of many: pools, means, sums, norms. Importing it registers them."""

from . import lp, pooling, reduction

__all__ = ["lp", "pooling", "reduction"]
