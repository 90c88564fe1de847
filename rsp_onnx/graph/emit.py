"""The emitter rules write with: ``op.MatMul(a, b)`` appends one ONNX node and returns its output value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np
import onnx.defs
import onnx_ir as ir
from onnx_ir.convenience import convert_attributes

Operand: TypeAlias = "ir.Value | np.ndarray | float | int | Sequence[int] | None"
PREFIX = "rsp_onnx"


class Emitter:
    """Appends nodes to a graph.

    A capitalised attribute is an ONNX op. Numbers and arrays given as inputs become initializers,
    equal ones once: a float in the working dtype, an int or a list of ints as int64.

    Parameters
    ----------
    graph : onnx_ir.Graph
        Where the nodes go.
    dtype : numpy dtype
        Of relevance and of all floating-point constants: float32 or float64.
    word : str
        What the names of nodes and constants begin with.
    """

    def __init__(self, graph: ir.Graph, dtype: np.dtype[np.floating], word: str = PREFIX) -> None:
        self.graph, self._word = graph, word
        self.dtype = np.dtype(dtype)
        self.tiny = 1e-30 if self.dtype == np.float32 else 1e-280  # far below any relevance that counts
        self.bias = 1e-20 if self.dtype == np.float32 else 1e-100  # so that r/bias, times what there is, stays finite
        self.huge = 1e38 if self.dtype == np.float32 else 1e300
        self.dark = 1e-4 if self.dtype == np.float32 else 1e-50  # likewise, for an activation that is squared
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._taken = {v.name for n in graph for v in n.outputs} | set(graph.initializers)
        self._taken |= {v.name for v in graph.inputs} | {n.name for n in graph}
        self._count = 0

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        """Return the function that emits one node of this op type."""
        if not op_type[0].isupper():
            raise AttributeError(op_type)
        return partial(self.emit, op_type)

    @property
    def type(self) -> ir.DataType:
        """The working dtype in ONNX's terms."""
        return ir.DataType.from_numpy(self.dtype)

    def emit(
        self, op_type: str, *inputs: Operand, name: str | None = None, domain: str = "", **attributes: object
    ) -> ir.Value:
        """Append a node with one output and return it."""
        return self.emit_many(op_type, *inputs, outputs=1, name=name, domain=domain, **attributes)[0]

    def emit_many(
        self, op_type: str, *inputs: Operand, outputs: int, name: str | None = None, domain: str = "",
        **attributes: object,
    ) -> Sequence[ir.Value]:  # fmt: skip
        """Append a node with several outputs and return them."""
        if domain:
            self.graph.opset_imports.setdefault(domain, 1)
        while len(inputs) > _fewest(op_type, domain) and inputs[-1] is None:  # an empty name, at which OpenVINO fails
            inputs = inputs[:-1]
        given = {key: _plain(value) for key, value in attributes.items() if value is not None}
        node = ir.Node(
            domain,
            op_type,
            [self.value(x) for x in inputs],
            convert_attributes(given),  # type: ignore[arg-type]  # the keyword values are what it accepts
            num_outputs=outputs,
            name=self._fresh(op_type),
        )
        for index, output in enumerate(node.outputs):
            output.name = name if name and index == 0 else f"{node.name}:{index}"
        self.graph.append(node)
        return node.outputs

    def value(self, operand: Operand) -> ir.Value | None:
        """Turn a number or array into an initializer; values pass."""
        if operand is None or isinstance(operand, ir.Value):
            return operand
        return self.constant(operand)

    def constant(self, data: np.ndarray | float | int | Sequence[int]) -> ir.Value:
        """Return the initializer that holds this constant."""
        array = np.asarray(data) if isinstance(data, np.ndarray) or np.size(data) else np.zeros(0, np.int64)
        if isinstance(data, np.ndarray) and array.dtype in (np.bool_, np.uint8, np.int8):
            pass
        else:
            array = array.astype(self.dtype if array.dtype.kind == "f" else np.int64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._fresh("constant")
            value = ir.Value(name=name, const_value=ir.tensor(np.array(array, order="C"), name=name))
            value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
            self._constants[key] = value
        found = self._constants[key]
        if found.name not in self.graph.initializers:  # new, or removed meanwhile because nobody read it
            self.graph.register_initializer(found)
        return found

    def fresh(self, word: str) -> str:
        """Return a name that nothing in the graph has."""
        return self._fresh(word)

    def _fresh(self, word: str) -> str:
        while True:
            self._count += 1
            name = f"{self._word}/{word}_{self._count}"
            if name not in self._taken:
                return name


@lru_cache(maxsize=256)
def _fewest(op_type: str, domain: str) -> int:
    """Return how many inputs an op must have, left out or not."""
    return int(onnx.defs.get_schema(op_type).min_input) if not domain and onnx.defs.has(op_type) else 0


def _plain(value: object) -> object:
    """Turn numpy numbers inside an attribute into Python's."""
    if isinstance(value, (list, tuple)):
        return [v.item() if isinstance(v, np.generic) else v for v in value]
    return value.item() if isinstance(value, np.generic) else value
