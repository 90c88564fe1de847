"""From a model in memory to what ONNX Runtime loads: bytes, and large weights without a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from .ready import Ready
from .weights import LARGE_WEIGHT, is_large

HAND_OVER = 1 << 26  # above 64 MiB serialising the weights costs more time and memory than handing them over


def made_ready(model: ir.Model) -> Ready:
    """Return a model for a session, whatever its size; weights above 64 MiB in all are handed over in memory."""
    weights = _handed_over(model) if is_large(model, HAND_OVER) else ()
    proto = ir.to_proto(_without_large(model) if weights else model)
    return Ready(bytes(proto.SerializeToString()), count_nodes(model), weights)


def count_nodes(model: ir.Model) -> int:
    """Return how many nodes a model has, those inside of loops too."""
    return sum(1 for _ in model.graph.all_nodes())


def save_plain(model: ir.Model, path: Path) -> None:
    """Write a model as it is, above 64 MiB with its weights in a file beside it."""
    if is_large(model, HAND_OVER):
        ir.save(model.clone(), path, external_data=f"{path.name}.data")
    else:
        path.write_bytes(ir.to_proto(model).SerializeToString())


def _large(model: ir.Model) -> list[ir.Value]:
    values = model.graph.initializers.values()
    return [v for v in values if v.const_value is not None and v.const_value.nbytes > LARGE_WEIGHT]


def _handed_over(model: ir.Model) -> tuple[tuple[str, ort.OrtValue], ...]:
    handed = []
    for value in _large(model):
        assert value.const_value is not None
        array = np.ascontiguousarray(value.const_value.numpy())
        handed.append((str(value.name), ort.OrtValue.ortvalue_from_numpy(array)))
    return tuple(handed)


def _without_large(model: ir.Model) -> ir.Model:
    """Return a copy whose large weights are references to a file that is never read."""
    copy = model.clone()
    for value in _large(copy):
        tensor = value.const_value
        assert tensor is not None
        value.const_value = ir.ExternalTensor(
            "in-memory", 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(tensor.numpy().shape), name=str(value.name)
        )
    return copy
