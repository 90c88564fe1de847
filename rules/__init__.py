"""The rules and the facts of every op, one module per family. Importing this package registers them."""

from . import deployed, layers, movement, pointwise, reductions

__all__ = ["deployed", "layers", "movement", "pointwise", "reductions"]
