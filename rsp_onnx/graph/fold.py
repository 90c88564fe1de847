"""Computing one node on constant inputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir

from rsp_onnx.model.custom_ops import custom_op_libraries

_LOG = logging.getLogger(__name__)


def fold_node(
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
