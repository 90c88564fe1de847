"""One row: a small model, and what is special about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser


@dataclass(frozen=True)
class Fixed:
    """An input without a batch axis."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Again:
    """The input of this number once more."""

    index: int


DTYPE = object()  # as an attribute: the row's own dtype


@dataclass(frozen=True)
class Row:
    """A model of one op, or of a few as ONNX text.

    Attributes
    ----------
    operands : tuple
        A tuple of sizes is an input [N, *sizes], an array a constant, None an input left out.
    hidden : bool
        Put a Relu behind every input, so that Conv and dense layers are not the first on the image.
    text : str
        Instead of operands: the graph in ONNX text, with inputs of type T.
    span : tuple
        Range of the inputs in the adjoint test.
    absorbs, mixes, rounds : str
        Why relevance is not kept; why samples cannot be told apart; why there is no derivative. Empty: not so.
    tolerance : float
        Of the adjoint test.
    result : tuple
        Sizes of the output behind the batch, where ONNX does not infer them.
    """

    op: str
    label: str
    operands: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 18
    hidden: bool = False
    text: str = ""
    span: tuple[float, float] = (-2.0, 2.0)
    absorbs: str = ""
    mixes: str = ""
    rounds: str = ""
    tolerance: float = 1e-10
    result: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.op}-{self.label}".replace(" ", "_")

    def model(self, dtype: type = np.float64) -> onnx.ModelProto:
        """Build the model for a dtype."""
        if self.text:
            word = {np.float64: "double", np.float32: "float"}[dtype]
            head = "" if self.text.startswith("<") else f'<ir_version: 8, opset_import: ["" : {self.opset}]>'
            return parser.parse_model(head + self.text.replace("T[", f"{word}["))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        inputs, constants, nodes, names = [], [], [], []
        for operand in self.operands:
            names.append(self._operand(operand, kind, inputs, constants, nodes, names))
        while names and not names[-1]:
            names.pop()
        attributes = {k: kind if v is DTYPE else v for k, v in self.attributes.items()}
        domain, _, op = self.op.rpartition("::")
        results = [f"y{i}" for i in range(self.outputs)]
        nodes.append(helper.make_node(op, names, results, domain=domain, name=f"the_{op}", **attributes))
        outputs = [
            helper.make_tensor_value_info(name, kind, None if self.result is None else ("N", *self.result))
            for name in results
        ]
        graph = helper.make_graph(nodes, "row", inputs, outputs, constants)
        imports = [helper.make_opsetid("", self.opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
        return helper.make_model(graph, opset_imports=imports, ir_version=10 if self.opset > 18 else 8)

    def _operand(self, operand: Any, kind: int, inputs: list, constants: list, nodes: list, names: list) -> str:
        """Add an operand to the graph under construction and return its name."""
        if operand is None:
            return ""
        if isinstance(operand, Again):
            return names[operand.index]
        if isinstance(operand, np.ndarray):
            name = f"c{len(constants)}"
            wanted = helper.tensor_dtype_to_np_dtype(kind) if operand.dtype.kind == "f" else operand.dtype
            constants.append(numpy_helper.from_array(operand.astype(wanted), name))
            return name
        shape = operand.shape if isinstance(operand, Fixed) else ("N", *operand)
        inputs.append(helper.make_tensor_value_info(f"x{len(inputs)}", kind, shape))
        name = inputs[-1].name
        if self.hidden:
            nodes.append(helper.make_node("Relu", [name], [f"{name}_hidden"]))
            return f"{name}_hidden"
        return name


def weights(*shape: int, seed: int = 0, low: float = -1.0) -> np.ndarray:
    """Random numbers in (low, 1) that float32 holds exactly."""
    return np.random.default_rng(seed).uniform(low, 1.0, shape).astype(np.float32).astype(np.float64)


def ints(*values: Any) -> np.ndarray:
    """An int64 tensor."""
    return np.array(values, dtype=np.int64)
