"""From a model in memory to what ONNX Runtime loads: bytes, and large weights without a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from .ready import Ready, place_of
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


def _large(model: ir.Model) -> list[tuple[ir.Value, ir.TensorProtocol]]:
    """Return what is handed over; half bytes, which files hold two in one, stay in the model."""
    stored = [(v, v.const_value) for v in model.graph.initializers.values()]
    return [(v, t) for v, t in stored if t is not None and t.nbytes > LARGE_WEIGHT and _is_plain(t.dtype)]


def _is_plain(dtype: ir.DataType) -> bool:
    return dtype != ir.DataType.STRING and dtype.bitwidth >= 8


def _handed_over(model: ir.Model) -> tuple[tuple[str, np.ndarray], ...]:
    return tuple((str(value.name), np.ascontiguousarray(tensor.numpy())) for value, tensor in _large(model))


def _without_large(model: ir.Model) -> ir.Model:
    """Return a copy whose large weights are references to files that are never read, see ``place_of``."""
    copy = model.clone()
    for number, (value, tensor) in enumerate(_large(copy)):
        value.const_value = ir.ExternalTensor(
            place_of(number), 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(tensor.shape.numpy()), name=str(value.name)
        )
    return copy
