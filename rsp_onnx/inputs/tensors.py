"""What a person may explain: photographs, arrays, .npy and .npz files, ready tensors. All become feeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Array

from .geometry import Geometry
from .layout import InputSignature
from .photos import read
from .prepare import prepare
from .presets import Preprocess

if TYPE_CHECKING:
    import onnx_ir as ir

Picture: TypeAlias = "str | Path | Image.Image | Array | Mapping[str, Array]"
TENSOR_FILES = (".npy", ".npz")
_WORD = re.compile(r"[^\W\d_][^\W\d]{2,29}")


@dataclass(frozen=True)
class Feeds:
    """One item ready to run.

    Attributes
    ----------
    tensors : mapping
        By input name, each with a batch axis.
    photo, geometry
        Of a photograph; None for ready tensors.
    remarks : tuple of str
        What was lost or guessed when the photograph was read.
    """

    tensors: Mapping[str, Array]
    photo: Image.Image | None = None
    geometry: Geometry | None = None
    remarks: tuple[str, ...] = ()


def signature_of(value: ir.Value) -> InputSignature:
    """Return what the graph wants at an input."""
    shape = tuple(d if isinstance(d, int) else None for d in value.shape or ())
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    return InputSignature(str(value.name), dtype, shape, axes=tuple(_word(d) for d in value.shape or ()))


def _word(size: object) -> str:
    """Return the name of a free axis where a person gave it; "N", "s0" and what exporters count up say nothing."""
    name = str(getattr(size, "value", "") or "")
    return name if _WORD.fullmatch(name) and not name.startswith(("unk", "dynamic", "dim")) else ""


def signatures_of(model: ir.Model) -> tuple[InputSignature, ...]:
    """Return what the graph wants at its inputs; time stands in front where the scores are those of one sample."""
    sizes = [v.shape[0] if v.shape else None for v in model.graph.outputs]
    scores_one = bool(sizes) and all(size == 1 for size in sizes)
    signatures = [signature_of(v) for v in model.graph.inputs if not v.is_initializer()]
    return tuple(replace(s, is_one_sample=scores_one and bool(s.shape) and (s.shape[0] or 0) > 1) for s in signatures)


def sized(
    signatures: Sequence[InputSignature], shapes: Mapping[str, Sequence[int | None]]
) -> tuple[InputSignature, ...]:
    """Return the signatures with sizes the model leaves free filled in; shapes: by input name, the batch in front.

    Raises
    ------
    BadInput
        A name that is no input, or a shape that contradicts the model's.
    """
    names = [s.name for s in signatures]
    for name in shapes:
        if name not in names:
            raise BadInput(f"The model has no input {name!r}; its inputs are {', '.join(map(repr, names))}.")
    return tuple(replace(s, shape=_filled(s, shapes[s.name])) if s.name in shapes else s for s in signatures)


def _filled(signature: InputSignature, given: Sequence[int | None]) -> tuple[int | None, ...]:
    own = signature.shape
    fits = len(own) == len(given) and all(None in (a, b) or a == b for a, b in zip(own, given, strict=True))
    if not fits:
        raise BadInput(f"The input {signature.name!r} is {_shape(own)}, which {_shape(given)} does not fit.")
    return own[:1] + tuple(b if a is None else a for a, b in zip(own[1:], given[1:], strict=True))


def image_signature(signatures: Sequence[InputSignature]) -> InputSignature:
    """Return the one input that takes photographs; BadInput where there are several."""
    if len(signatures) == 1:
        return signatures[0]
    raise BadInput("The model has several inputs; photographs cannot be preprocessed, give tensors.")


def make_feeds(picture: Picture, signatures: Sequence[InputSignature], preprocess: Callable[[], Preprocess]) -> Feeds:
    """Turn one item into feeds.

    A path to ``.npy``/``.npz``, a mapping by input name, or an array of the model's own dtype and rank passes as it is;
    a path, PIL image or H×W×3 uint8 array is a photograph and is preprocessed; only then ``preprocess`` is called.

    Raises
    ------
    BadInput
        The item fits no input of the model.
    """
    tensors = ready_tensors(picture, signatures)
    if tensors is not None:
        return Feeds({s.name: _fit(tensors[s.name], s) for s in signatures})
    assert not isinstance(picture, Mapping), "mappings hold ready tensors"
    signature = _single(signatures)
    _check_image_array(picture, signature)
    photo = read(picture)
    prepared = prepare(photo, signature, preprocess())
    return Feeds({signature.name: prepared.tensor}, prepared.photo, prepared.geometry, prepared.remarks)


def ready_tensors(picture: Picture, signatures: Sequence[InputSignature]) -> dict[str, Array] | None:
    """Return the tensors in a file, a mapping or a ready array by input name, as they are; None for a photograph.

    Raises
    ------
    BadInput
        The file cannot be read, or the names are not those of the inputs.
    """
    if isinstance(picture, (str, Path)) and Path(picture).suffix.lower() in TENSOR_FILES:
        picture = read_tensor_file(Path(picture))
    if isinstance(picture, Mapping):
        return _named(picture, signatures)
    if isinstance(picture, np.ndarray) and _is_ready(picture, signatures[0]):
        return {_single(signatures).name: picture}
    return None


def _check_image_array(picture: object, signature: InputSignature) -> None:
    if isinstance(picture, np.ndarray) and (picture.dtype != np.uint8 or picture.ndim not in (2, 3)):
        raise BadInput(
            f"An array of {picture.dtype} with the shape {_shape(picture.shape)} is neither a photograph (H×W×3 uint8) "
            f"nor a ready tensor for {signature.name!r} ({signature.dtype} {_shape((1, *signature.shape[1:]))})."
        )


def _shape(sizes: Sequence[int | None]) -> str:
    return "×".join("any" if d is None else str(d) for d in sizes) or "()"


def _single(signatures: Sequence[InputSignature]) -> InputSignature:
    if len(signatures) != 1:
        names = ", ".join(repr(s.name) for s in signatures)
        raise BadInput(
            f"The model has {len(signatures)} inputs ({names}); give a .npz file or a mapping with all of them."
        )
    return signatures[0]


def _is_ready(array: Array, signature: InputSignature) -> bool:
    """Tell a tensor for the model from a photograph: it has the model's dtype and rank (the batch may be left out)."""
    rank = len(signature.shape)
    if array.dtype != signature.dtype:
        return False
    if array.ndim == rank:
        return not (rank == 3 and array.dtype == np.uint8 and array.shape[-1] in (3, 4))
    return array.ndim == rank - 1 and array.dtype != np.uint8


def read_tensor_file(path: Path) -> dict[str, Array]:
    """Read a .npy or .npz file, whose one array or arrays are never pickled; the one of a .npy file has no name.

    Raises
    ------
    BadInput
        There is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.") from None
    except Exception as error:  # numpy raises several unrelated types for broken files
        raise BadInput(
            f"{path} cannot be read as numpy arrays; save it again with numpy.save or numpy.savez."
        ) from error


def _named(given: Mapping[str, Array], signatures: Sequence[InputSignature]) -> dict[str, Array]:
    if set(given) == {""}:
        given = {_single(signatures).name: given[""]}
    names = [s.name for s in signatures]
    for name in given:
        if name not in names:
            raise BadInput(f"The model has no input {name!r}; its inputs are {', '.join(map(repr, names))}.")
    for name in names:
        if name not in given:
            raise BadInput(f"There is no tensor for the input {name!r}; the model needs {', '.join(map(repr, names))}.")
    return {name: np.asarray(given[name]) for name in names}


def _number(array: Array, signature: InputSignature) -> Array:
    """Return the one number of an input without axes; an array of one entry will do."""
    if array.size != 1:
        raise BadInput(f"The input {signature.name!r} is one number without axes, not {_shape(array.shape)}.")
    if array.dtype != signature.dtype:
        raise BadInput(f"The input {signature.name!r} must be {signature.dtype}, not {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput(f"The number for the input {signature.name!r} is NaN or infinity.")
    return array.reshape(())


def _fit(array: Array, signature: InputSignature) -> Array:
    """Add a missing batch axis; dtype and shape must be the graph's own, the batch one item."""
    if not signature.shape:
        return _number(array, signature)
    if array.ndim == len(signature.shape) - 1 and not signature.is_one_sample:
        array = array[None]
    if array.dtype != signature.dtype:
        raise BadInput(f"The input {signature.name!r} must be {signature.dtype}, not {array.dtype}.")
    wanted = signature.shape if signature.is_one_sample else (None, *signature.shape[1:])
    if not _agrees(array.shape, wanted):
        one = (wanted[0] or 1, *wanted[1:])
        raise BadInput(f"The input {signature.name!r} must have the shape {_shape(one)}, not {_shape(array.shape)}.")
    if not signature.is_one_sample and array.shape[0] != 1:
        raise BadInput(f"The tensor for the input {signature.name!r} holds {array.shape[0]} items, {_ONE}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput(f"The tensor for the input {signature.name!r} contains NaN or infinity.")
    return np.ascontiguousarray(array)


_ONE = (
    "an explanation is of one: `rsp-onnx explain` takes such a file as it is, in Python say "
    "explainer.explain_batch(explainer.items(x)); elsewhere give one item per file"
)


def _agrees(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(d in (None, n) for d, n in zip(wanted, shape, strict=True))
