"""The networkx DAG of a canonized model and what it answers: order, dominators, constants, the image's reach."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import networkx as nx
import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir

from rsp_onnx.model.custom_ops import custom_op_libraries

from .shapes import Dims, carries, dims, leads_with_batch

_LOG = logging.getLogger(__name__)
STANDARD = ("", "ai.onnx")
_BY_SAMPLE = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FLOAT_NAMES = {
    "ConvInteger": "Conv", "FusedConv": "Conv", "QGemm": "Gemm", "FusedGemm": "Gemm", "MatMulInteger": "MatMul",
    "MatMulIntegerToFloat": "MatMul", "DynamicQuantizeMatMul": "MatMul",
    "FusedMatMul": "MatMul", "BiasGelu": "Gelu", "FastGelu": "Gelu", "SkipLayerNormalization": "LayerNormalization",
    "SkipSimplifiedLayerNormalization": "RMSNormalization", "SimplifiedLayerNormalization": "RMSNormalization",
    "DynamicQuantizeLinear": "QuantizeLinear",
}  # fmt: skip


def op_name(node: ir.Node) -> str:
    """Return the op type, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in STANDARD else f"{node.domain}::{node.op_type}"


def plain_op(node: ir.Node) -> str:
    """Return the op type without quantisation and fused activations: Conv for QLinearConv and FusedConv."""
    return _FLOAT_NAMES.get(node.op_type, node.op_type.removeprefix("QLinear"))


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """Return the bodies of an If, Loop or Scan."""
    found = [a for a in node.attributes.values() if isinstance(a, ir.Attr)]
    bodies = [a.as_graph() for a in found if a.type == ir.AttributeType.GRAPH]
    return bodies + [g for a in found if a.type == ir.AttributeType.GRAPHS for g in a.as_graphs()]


def captured(node: ir.Node) -> list[ir.Value]:
    """Return the tensors that the bodies of a node read from outside."""
    bodies = subgraphs(node)
    inner = [n for body in bodies for n in body]
    own = {v for body in bodies for v in (*body.inputs, *body.initializers.values())}
    own |= {v for n in inner for v in n.outputs}
    read = [v for n in inner for v in (*n.inputs, *captured(n))] + [v for body in bodies for v in body.outputs]
    return [v for v in read if v is not None and v not in own]


class Graph:
    """A canonized model as a DAG of tensors and op nodes, seen from the explained inputs.

    Parameters
    ----------
    model : onnx_ir.Model
        Canonized, with fixed shapes.
    explained : sequence of str
        Names of the inputs whose relevance is wanted.
    stops : callable
        Tells of a node that nothing flows through it (Shape, ArgMax, ...), or out of the output of a number.
    """

    def __init__(self, model: ir.Model, explained: Sequence[str], stops: Callable[[ir.Node, int | None], bool]) -> None:
        self.model = model
        self.nodes: tuple[ir.Node, ...] = tuple(model.graph)
        self.inputs = [v for v in model.graph.inputs if v.name in set(explained)]
        self.values: dict[str, ir.Value] = {str(v.name): v for v in model.graph.inputs}
        self.values.update({str(v.name): v for v in model.graph.initializers.values()})
        self.values.update({str(v.name): v for n in self.nodes for v in n.outputs if v.name})
        self._constants: dict[ir.Value, np.ndarray | None] = {}
        self.dag: nx.DiGraph[object] = self._build(stops)
        self._uses = {v: tuple(dict.fromkeys(v.consumers())) for v in self.values.values()}

    def _build(self, stops: Callable[[ir.Node, int | None], bool]) -> nx.DiGraph[object]:
        dag: nx.DiGraph[object] = nx.DiGraph()
        dag.add_nodes_from(self.inputs)
        for node in self.nodes:
            sources = [v for v in (*node.inputs, *captured(node)) if v is not None and v in dag]
            if not sources or stops(node, None):
                continue
            results = [v for i, v in enumerate(node.outputs) if carries(v) and not stops(node, i) and not _scales(v)]
            dag.add_edges_from((source, node) for source in sources if results)
            dag.add_edges_from((node, result) for result in results)
        return dag

    def active(self, value: ir.Value | None) -> bool:
        """Tell whether a tensor depends on an explained input."""
        return value is not None and value in self.dag

    def active_inputs(self, node: ir.Node) -> list[ir.Value]:
        """Return the node's inputs that depend on an explained input."""
        return [v for v in node.inputs if v is not None and self.active(v)]

    def consumers(self, value: ir.Value) -> tuple[ir.Node, ...]:
        """Return the model's own nodes that read a tensor (never the emitted ones)."""
        return self._uses.get(value, ())

    def computed_from(self, value: ir.Value, source: ir.Value) -> bool:
        """Tell whether one tensor is computed from another."""
        return value is not source and nx.has_path(self.dag, source, value)

    def between(self, sources: Iterable[ir.Value], end: ir.Value) -> list[ir.Node]:
        """Return the op nodes on some path from the sources to a tensor, in order."""
        behind = nx.ancestors(self.dag, end) if end in self.dag else set()
        ahead: set[object] = set()
        for source in sources:
            ahead |= nx.descendants(self.dag, source)
        return [node for node in self.nodes if node in behind and node in ahead]

    def dominators(self, end: ir.Value) -> list[ir.Value]:
        """Return the tensors that every path from the explained inputs to ``end`` crosses, last first."""
        if end not in self.dag:
            return []
        root = object()
        dag = self.dag.subgraph(nx.ancestors(self.dag, end) | {end}).copy()
        dag.add_edges_from((root, v) for v in self.inputs if v in dag)
        above = nx.immediate_dominators(dag, root)
        chain: list[ir.Value] = []
        here: object = end
        while here is not root and here is not None:
            if isinstance(here, ir.Value):
                chain.append(here)
            here = above[here]
        return chain

    @cached_property
    def batch(self) -> int | None:
        """The batch size the graph fixes, or None where it is free."""
        return self.dims(self.inputs[0])[0] if self.dims(self.inputs[0]) else 1

    def moves_batch(self) -> bool:
        """Tell whether a layer with weights sees the batch merged with another axis, or not in front.

        Their rules work sample by sample; ops that only move or multiply values do not care.
        """
        layers = [n for n in self.nodes if plain_op(n) in _BY_SAMPLE and len(self.active_inputs(n)) == 1]
        seen = (v for n in layers for v in (*self.active_inputs(n), *n.outputs) if v.shape is not None)
        return any(not leads_with_batch(v) for v in seen)

    def dims(self, value: ir.Value) -> Dims:
        """Return a tensor's shape, None where free."""
        return dims(value)

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """Return the value of a tensor that does not depend on any input, or None."""
        if value is None:
            return None
        if value not in self._constants:
            self._constants[value] = self._constant(value)
        return self._constants[value]

    def _constant(self, value: ir.Value) -> np.ndarray | None:
        if value.const_value is not None and not value.is_graph_input():
            return value.const_value.numpy()
        node = value.producer()
        if node is None or subgraphs(node):
            return None
        if node.op_type == "Shape" and node.domain in STANDARD:
            return self._shape_constant(node)
        arrays = [None if v is None else self.constant(v) for v in node.inputs]
        if any(v is not None and a is None for v, a in zip(node.inputs, arrays, strict=True)):
            return None
        results = evaluate(node, self.model.graph.opset_imports, arrays)
        for output, result in zip(node.outputs, results, strict=False):
            self._constants[output] = result
        return self._constants.get(value)

    def _shape_constant(self, node: ir.Node) -> np.ndarray | None:
        source = node.inputs[0]
        if source is None or source.shape is None:
            return None
        shape = self.dims(source)
        end = node.attributes.get("end")
        part = shape[node.attributes.get_int("start", 0) : None if end is None else end.as_int()]
        return None if None in part else np.array(part, dtype=np.int64)


def _scales(value: ir.Value) -> bool:
    """Tell of the scale or zero point of a quantisation: found in the image, it is a statistic; nothing flows there."""
    uses = ((n.op_type, index) for n, index in value.uses())
    return any(op in ("QuantizeLinear", "DequantizeLinear") and index in (1, 2) for op, index in uses)


def evaluate(
    node: ir.Node, opsets: dict[str, int], arrays: Sequence[np.ndarray | None], *, runtime_first: bool = False
) -> list[np.ndarray | None]:
    """Compute one node on constant inputs; None where neither ONNX's reference nor the runtime knows the op."""
    proto = ir.to_proto(node)
    names = [f"in{i}" if a is not None else "" for i, a in enumerate(arrays)]
    del proto.input[:]
    proto.input.extend(names)
    feeds = {n: a for n, a in zip(names, arrays, strict=True) if a is not None}
    inputs = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=n) for n in proto.output if n]
    graph = onnx.helper.make_graph([proto], "constant", inputs, outputs)
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)
    for run in (_run_runtime, _run_reference) if runtime_first else (_run_reference, _run_runtime):
        try:
            found = iter(run(model, feeds))
        except Exception as error:  # either may lack the op; a rule that needs the value says so
            _LOG.debug("%s cannot be folded by %s: %s", node.name, run.__name__, error)
            continue
        return [np.asarray(next(found)) if name else None for name in proto.output]
    return [None] * len(node.outputs)


def _run_reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's remarks on 0/0 in constants say nothing to the user
        return list(onnx.reference.ReferenceEvaluator(model).run(None, feeds))


def _run_runtime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    for library in custom_op_libraries():
        options.register_custom_ops_library(library)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def attribute(node: ir.Node, name: str, default: object = None) -> object:
    """Return an attribute's value as Python has it, or the default."""
    found = node.attributes.get(name)
    if found is None or not isinstance(found, ir.Attr) or found.value is None:
        return default
    if found.type == ir.AttributeType.STRING:
        return found.as_string()
    if found.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS):
        return list(found.value)
    return found.value


def activation_bytes(graph: Graph) -> int:
    """Return the bytes of all tensors that depend on the input, for one sample in float32."""
    values = (v for node in graph.nodes for v in node.outputs if graph.active(v))
    return sum(4 * math.prod(d or 1 for d in graph.dims(v)[1:]) for v in values)
