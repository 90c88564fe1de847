"""The rules, one module per op family. Importing this package registers them."""

from . import activations, arithmetic, conv, dense, movement, normalization, passing, pooling, reduction

__all__ = [
    "activations",
    "arithmetic",
    "conv",
    "dense",
    "movement",
    "normalization",
    "passing",
    "pooling",
    "reduction",
]
