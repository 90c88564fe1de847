"""The shape of every tensor: inferred, and where inference gives up, read off a run of the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from rsp_onnx.errors import BadInput, BadModel, UnsupportedOp

from .op_facts import facts_of
from .probe import shapes_of_a_run

Dims = tuple["int | None", ...]
BATCH = "N"
UNKNOWN_OP = "rsp_onnx.unknown_op"  # why the model cannot be run here, noted on it
_IDS, _ROWS = "rsp_onnx.ids", "rsp_onnx.one_hot"
_MEASURED = "rsp_onnx.measured"
_LOG = logging.getLogger(__name__)
_SMALL_INTS = {ir.DataType[f"{sign}INT{bits}"] for sign in ("", "U") for bits in (4, 8, 16)}


def fix_shapes(
    model: ir.Model, input_shapes: Mapping[str, Sequence[int | None]] | None = None, *, batch: int | None = None
) -> None:
    """Give every tensor of the model its shape, in place; only the batch may stay free.

    Parameters
    ----------
    input_shapes : mapping of input name to shape
        Needed where the graph leaves more than the batch free. None or -1 keeps a dimension free.

    batch : int, optional
        Fixes a free batch too.

    Raises
    ------
    BadInput
        A name that is no input, or a shape that contradicts the graph's.
    BadModel
        Dimensions other than the batch stay free.
    """
    given = dict(input_shapes or {})
    unknown = sorted(set(given) - {v.name for v in model.graph.inputs})
    if unknown:
        names = ", ".join(repr(v.name) for v in model.graph.inputs)
        raise BadInput(f"The model has no input {unknown[0]!r}; its inputs are {names}.")
    for value in model.graph.inputs:
        _fix_input(value, given.get(value.name or ""), batch or BATCH)
    for node in model.graph:
        for output in node.outputs:
            output.shape = None  # an exporter's shapes may be for another input size
    try:
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
    except Exception as error:  # the run below still finds the shapes
        _LOG.debug("shape inference failed: %s", error)
    for value in (v for node in model.graph for v in node.outputs if _is_sequence(v)):
        value.type, value.shape = None, None
    if any(_is_unsure(v) for v in _carriers(model)) or any(_overcounts(node) for node in model.graph):
        _probe(model)
    for node in model.graph:
        _note_sizes(node)


def fix_batch(model: ir.Model) -> None:
    """Let a model whose free sizes are known but for the batch be one for a batch of one, in place."""
    for value in (*model.graph.inputs, *(v for node in model.graph for v in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape([1 if getattr(d, "value", None) == BATCH else d for d in value.shape])
    if any(_is_unsure(v) for v in _carriers(model)):  # such as the batch merged with another axis
        fix_shapes(model, batch=1)
        return
    for node in model.graph:
        _note_sizes(node)


def _is_unsure(value: ir.Value) -> bool:
    """Tell of a tensor with a free size that is not the batch in front."""
    return value.shape is None or any(
        not isinstance(d, int) and (i or d.value != BATCH) for i, d in enumerate(value.shape)
    )


def leads_with_batch(value: ir.Value) -> bool:
    """Tell whether a tensor of a model with a free batch has it in front and nowhere else."""
    return (
        value.shape is not None
        and len(value.shape) > 0
        and not isinstance(value.shape[0], int)
        and not _is_unsure(value)
    )


def _overcounts(node: ir.Node) -> bool:
    """Tell of a pool under ceil_mode whose inferred shape counts windows that begin in the padding; none is run."""
    if not node.attributes.get_int("ceil_mode", 0) or node.inputs[0] is None:
        return False
    size, out = dims(node.inputs[0])[2:], dims(node.outputs[0])[2:]
    strides = node.attributes.get_ints("strides", [1] * len(size))
    before = list(node.attributes.get_ints("pads", [0] * 2 * len(size)))[: len(size)]
    rows = zip(size, out, strides, before, strict=False)
    return any(n is not None and o is not None and (o - 1) * s >= n + b for n, o, s, b in rows)


def dims(value: ir.Value) -> Dims:
    """Return a tensor's shape; None where the size is free (the batch) or unknown."""
    if value.shape is None:
        return (None, None)
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def carries(value: ir.Value) -> bool:
    """Tell whether a tensor can carry relevance: floats, the integers of quantised layers, ids, one-hot rows."""
    if value.meta.get(_IDS) or value.meta.get(_ROWS):
        return True
    if value.dtype is None or value.dtype.is_floating_point() or value.dtype in _SMALL_INTS:
        return True
    node = value.producer()
    return node is not None and facts_of(node).integer_sums


def is_measured(value: ir.Value) -> bool:
    """Tell of a shape that was read off a run, since nothing else told it."""
    return bool(value.meta.get(_MEASURED))


def carries_ids(value: ir.Value) -> bool:
    """Tell of a tensor of ids, see ``mark_tokens``."""
    return bool(value.meta.get(_IDS))


def carry_ids(value: ir.Value) -> None:
    """Let a tensor of ids carry relevance."""
    value.meta[_IDS] = True


def carry_rows(value: ir.Value) -> None:
    """Let a tensor made of one-hot rows carry relevance, whatever its type."""
    value.meta[_ROWS] = True


def _carriers(model: ir.Model) -> list[ir.Value]:
    return [v for n in model.graph for v in n.outputs if carries(v) and not _is_sequence(v)]


def _is_sequence(value: ir.Value) -> bool:
    """Tell of a sequence of tensors, which has no shape; inference may take an empty one for a tensor."""
    node = value.producer()
    return isinstance(value.type, ir.SequenceType) or (node is not None and facts_of(node).writes_sequence)


def _fix_input(value: ir.Value, given: Sequence[int | None] | None, batch: int | str) -> None:
    if value.shape is None:
        if given is None:
            raise BadModel(f"The input {value.name!r} has no shape in the file; say it with input_shapes.")
        value.shape = ir.Shape([batch if i == 0 else d for i, d in enumerate(given)])
    own = list(value.shape)
    wanted: list[int | None] = [None] * len(own) if given is None else [None if d in (None, -1) else d for d in given]
    if len(wanted) != len(own):
        raise BadInput(f"The input {value.name!r} has {len(own)} dimensions, {len(wanted)} were given.")
    result: list[int | str] = []
    for axis, (size, ask) in enumerate(zip(own, wanted, strict=True)):
        if isinstance(size, int) and size > 0:
            if ask is not None and ask != size:
                raise BadInput(f"The input {value.name!r} has size {size} on axis {axis}, not {ask}.")
            result.append(size)
        else:
            result.append(ask if ask is not None else batch if axis == 0 else f"{value.name}_{axis}")
    value.shape = ir.Shape(result)


def _note_sizes(node: ir.Node) -> None:
    """Note the sizes a node takes out of a shape where they are known, though the batch is free."""
    if node.op_type not in ("Gather", "Slice") or node.inputs[0] is None:
        return
    shape, picks = node.inputs[0].producer(), [v.const_value for v in node.inputs[1:] if v is not None]
    if shape is None or shape.op_type != "Shape" or shape.inputs[0] is None or None in picks:
        return
    sizes = np.array([-1 if d is None else d for d in dims(shape.inputs[0])], dtype=np.int64)
    end = shape.attributes.get("end")
    sizes = sizes[shape.attributes.get_int("start", 0) : None if end is None else end.as_int()]
    at = [p.numpy() for p in picks if p is not None]
    if node.op_type == "Gather":
        taken = sizes[at[0]]
    else:
        taken = sizes[int(at[0][0]) : int(at[1][0]) : int(at[3][0]) if len(at) > 3 else 1]
    if (taken >= 0).all():
        node.outputs[0].const_value = ir.tensor(np.asarray(taken))


def _probe(model: ir.Model) -> None:
    """Run the model on two batch sizes (where it allows) and read off the shape of what carries relevance."""
    values = [v for v in _carriers(model) if v.name]
    sizes = (2, 3) if any(dims(v)[:1] == (None,) for v in model.graph.inputs) else (1,)
    try:
        runs = [shapes_of_a_run(model, values, {str(v.name): _dummy(v, n) for v in model.graph.inputs}) for n in sizes]
    except UnsupportedOp as error:  # no library has it: told where the model is compiled, after missing rules
        model.metadata_props[UNKNOWN_OP] = str(error)
        return
    for value, *shapes in zip(values, *runs, strict=True):
        if any(s is None for s in shapes):
            continue
        value.meta[_MEASURED] = _is_unsure(value)
        first, last = shapes[0], shapes[-1]
        if len(first) != len(last):
            continue
        value.shape = ir.Shape(
            [a if a == b else (BATCH if a == sizes[0] else None) for a, b in zip(first, last, strict=True)]
        )


def _dummy(value: ir.Value, batch: int) -> np.ndarray:
    shape = [d if d is not None else (batch if axis == 0 else 1) for axis, d in enumerate(dims(value))]
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    return np.ones(shape, dtype=dtype)
