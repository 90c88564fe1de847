"""The table of sizes: what is known of every tensor of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.op_facts import is_folded

Shape: TypeAlias = "tuple[int, ...]"
Told: TypeAlias = "tuple[Shape, ir.DataType]"


@dataclass
class Sizes:
    """Shapes and dtypes of the tensors of a graph and of the bodies inside.

    Attributes
    ----------
    shapes, types : dict
        By tensor; one whose size depends on the numbers of the input is not in them.
    values : dict
        Of small tensors that depend on constants and sizes alone, by tensor.
    trips : dict
        How often the body of a loop is run, by node; 1 where that depends on the numbers.
    unknown : list of str
        Tensors whose size could not be told.
    """

    shapes: dict[ir.Value, Shape] = field(default_factory=dict)
    types: dict[ir.Value, ir.DataType] = field(default_factory=dict)
    values: dict[ir.Value, np.ndarray] = field(default_factory=dict)
    trips: dict[ir.Node, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    valueless: set[ir.Value] = field(default_factory=set)
    folded: dict[ir.Value, bool] = field(default_factory=dict)

    def put(self, value: ir.Value, told: Told) -> None:
        """Note a tensor's shape and dtype."""
        self.shapes[value], self.types[value] = told

    def is_folded(self, value: ir.Value) -> bool:
        """Tell whether a tensor is made of weights alone, see ``op_facts``."""
        return is_folded(value, self.folded)

    def entries(self, value: ir.Value | None) -> int:
        """Return how many entries a tensor has; 0 of one that is left out or of unknown size."""
        return math.prod(self.shapes[value]) if value is not None and value in self.shapes else 0

    def bytes(self, value: ir.Value | None) -> int:
        """Return how many bytes a tensor takes; 0 of one that is left out or of unknown size."""
        if value is None or value not in self.shapes:
            return 0
        return math.ceil(self.entries(value) * self.types[value].itemsize)
