"""Several items in one tensor file: told apart along the batch axis, each to be explained by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Array

from .layout import InputSignature
from .tensors import Picture, ready_tensors


def split_items(picture: Picture, signatures: Sequence[InputSignature]) -> list[Picture]:
    """Return the items that a tensor file, a mapping or a ready array holds, as mappings by input name.

    Inputs without a batch axis (numbers without axes; time in front of one sample) belong to every item. A photograph,
    and whatever holds one item alone, is returned as it is.

    Raises
    ------
    BadInput
        There is no item, the inputs hold different numbers of items, or the file cannot be read.
    """
    tensors = ready_tensors(picture, signatures)
    if tensors is None:
        return [picture]
    batched = [s for s in signatures if _has_batch(tensors[s.name], s)]
    count = _count({s.name: tensors[s.name].shape[0] for s in batched})
    if count == 1:
        return [picture]
    names = {s.name for s in batched}
    return [{name: x[n : n + 1] if name in names else x for name, x in tensors.items()} for n in range(count)]


def _has_batch(array: Array, signature: InputSignature) -> bool:
    """Tell of a tensor whose first axis counts items; one of another rank is told when it is fed."""
    return bool(signature.shape) and not signature.is_one_sample and array.ndim == len(signature.shape)


def _count(counts: Mapping[str, int]) -> int:
    """Return how many items there are; counts: by input name."""
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise BadInput(f"The inputs hold different numbers of items ({said}); give as many of each, item by item.")
    count = next(iter(counts.values()), 1)
    if count == 0:
        raise BadInput(f"The tensor for the input {next(iter(counts))!r} holds 0 items; give at least one.")
    return count


def whole_batches(count: int, signatures: Sequence[InputSignature]) -> int:
    """Return how many items to run at a time, at least so many: a multiple of the batch size the model fixes."""
    fixed = next((s.shape[0] for s in signatures if s.shape and not s.is_one_sample), None) or 1
    return -(-count // fixed) * fixed
