"""Linear layers: convolutions, products, attention and transforms. Importing it registers them."""

from . import attention, conv, dense, einsum, totals, transforms, transposed

__all__ = ["attention", "conv", "dense", "einsum", "totals", "transforms", "transposed"]
