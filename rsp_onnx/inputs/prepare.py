"""From a photograph to the tensor a graph wants, remembering where each of the tensor's pixels came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsp_onnx.errors import BadInput

from .geometry import Geometry
from .layout import InputSignature
from .photos import read
from .pixels import Photo
from .presets import Preprocess

DEFAULT_SIZE = (224, 224)  # what most classifiers with a free input size were trained on
_MIN_LEVELS = 16  # an integer input with fewer grey levels than this was surely meant for a float model
_FLOATS = ("float16", "float32", "float64", "bfloat16")
_FOR_BYTES = (1 / 255, 1 / 256, 1 / 127.5, 1 / 128, 1.0)  # scales that expect pixels of 0..255
_ORDERS = {1: "L", 3: "RGB", 4: "RGBA", None: "RGB"}


@dataclass(frozen=True)
class Prepared:
    """A photograph made ready for the graph.

    Parameters
    ----------
    tensor : ndarray
        [1, C, H, W], [1, H, W, C] or [1, H, W] in the graph's own dtype, contiguous.
    photo : PIL.Image.Image
        The upright original, RGB.
    geometry : Geometry
        Where the tensor's pixels lie in the photo.
    remarks : tuple of str
        What was lost or guessed when the photo was read, one clause each.
    """

    tensor: NDArray[Any]
    photo: Image.Image
    geometry: Geometry
    remarks: tuple[str, ...] = ()


def prepare(
    photo: str | Path | Image.Image | NDArray[Any] | Photo, signature: InputSignature, preprocess: Preprocess
) -> Prepared:
    """Resize, normalise and lay out a photograph for the graph.

    Parameters
    ----------
    photo : PIL.Image.Image
        The photograph, or anything else that `read_photo` takes, or what `read` returned.
    signature : InputSignature
        What the graph wants.
    preprocess : Preprocess
        How pixels become numbers. Grey pictures of more than 8 bits keep their fractions. Integer inputs take the
        result rounded and clipped; an int8 input fed with pixels as they are (raw) gets pixel - 128.

    Returns
    -------
    Prepared
        The tensor, the upright photo, and where the one lies in the other.

    Raises
    ------
    BadInput
        If size, channels or type of the input and the preprocessing contradict each other.
    """
    read_in = photo if isinstance(photo, Photo) else read(photo)
    upright = read_in.picture
    size, order = _size(signature, preprocess), _order(signature, preprocess)
    low, high = preprocess.value_range(len(order), _top(read_in, preprocess))
    shift = _integer_shift(signature, preprocess, low, high)
    geometry = Geometry.fit((upright.height, upright.width), size, preprocess.resize, preprocess.crop_fraction)
    pixels = _pixels(read_in, geometry, order, preprocess).astype(np.float64)
    values = (pixels * preprocess.scale - np.array(preprocess.mean)) / np.array(preprocess.std)
    if np.dtype(signature.dtype).kind in "iu":
        bounds = np.iinfo(signature.dtype)
        values = np.clip(np.round(values - shift), bounds.min, bounds.max)
    layout = signature.layout()
    tensor = values.transpose(2, 0, 1) if layout == "NCHW" else values
    tensor = tensor[:, :, 0] if layout == "NHW" else tensor
    tensor = np.ascontiguousarray(tensor[None].astype(signature.dtype))
    return Prepared(tensor, upright, geometry, read_in.remarks + _of_few_bits(read_in.largest, preprocess))


def _top(photo: Photo, preprocess: Preprocess) -> float:
    """Return the largest pixel there may be: 255, or a 16-bit picture's own where a scale makes up for few bits."""
    if photo.fine is None or photo.largest is None or _expects_bytes(preprocess):
        return 255.0
    return float(photo.fine.max())


def _expects_bytes(preprocess: Preprocess) -> bool:
    return any(math.isclose(preprocess.scale, usual) for usual in _FOR_BYTES)


def _of_few_bits(largest: int | None, preprocess: Preprocess) -> tuple[str, ...]:
    """Say that a 16-bit picture has values of fewer bits, where the scale is one for pixels of 0..255."""
    if largest is None or not _expects_bytes(preprocess):
        return ()
    bits = largest.bit_length()
    scale = preprocess.scale * 65535 / (2**bits - 1)
    return (
        f"its 16-bit pixels reach only {largest} and were read as {largest} of 65535; if they are {bits}-bit values of "
        f"0..{2**bits - 1}, use --scale {scale:.6g} (scale={scale:.6g})",
    )


def _size(signature: InputSignature, preprocess: Preprocess) -> tuple[int, int]:
    wanted = preprocess.size or DEFAULT_SIZE
    size = (signature.height or wanted[0], signature.width or wanted[1])
    if preprocess.size is not None and size != preprocess.size:
        raise BadInput(
            f"Preprocessing '{preprocess.name}' makes images of {wanted[0]}×{wanted[1]} (height×width), but "
            f"the model takes {size[0]}×{size[1]}: leave 'size' out."
        )
    return size


def _order(signature: InputSignature, preprocess: Preprocess) -> str:
    """Return the names of the tensor's channels in their order."""
    channels = signature.channels
    if channels not in _ORDERS:
        raise BadInput(
            f"Input '{signature.name}' wants {channels} channels, which a photo cannot fill: "
            "give the tensor itself as a .npy or .npz file."
        )
    order = preprocess.channels or _ORDERS[channels]
    if channels is not None and len(order) != channels:
        raise BadInput(
            f"Preprocessing '{preprocess.name}' makes {order} images, but input '{signature.name}' has "
            f'{channels} channels: use channels = "{_ORDERS[channels]}".'
        )
    return order


def _integer_shift(
    signature: InputSignature, preprocess: Preprocess, low: NDArray[np.float64], high: NDArray[np.float64]
) -> float:
    """Check that the values survive the input's dtype; return what to take off them (128 for raw int8)."""
    dtype = np.dtype(signature.dtype)
    if dtype.name in _FLOATS:
        return 0.0
    if dtype.kind not in "iu":
        raise BadInput(f"Input '{signature.name}' holds {dtype}, not numbers a photo can become: give .npy or .npz.")
    bounds, bottom, top = np.iinfo(dtype), float(low.min()), float(high.max())
    shift = 128.0 if dtype == np.int8 and bottom >= 0 else 0.0
    fits = bottom - shift >= bounds.min - 0.5 and top - shift <= bounds.max + 0.5
    if not fits or float((high - low).min()) < _MIN_LEVELS:
        raise BadInput(
            f"Preprocessing '{preprocess.name}' makes values from {bottom:.3g} to {top:.3g}, but input "
            f"'{signature.name}' takes {dtype} pixels: use --preprocess raw."
        )
    return shift


def _pixels(photo: Photo, geometry: Geometry, order: str, preprocess: Preprocess) -> NDArray[Any]:
    """Resample the photograph as the tensor sees it, channels in the tensor's order; [h, w, c] of 0..255."""
    mode = "RGB" if order == "BGR" else order
    left, top, right, bottom = geometry.inside
    # resampled straight from the visible box, so that the geometry is exact
    size = (right - left, bottom - top)
    source = photo.picture.convert(mode) if photo.fine is None else Image.fromarray(photo.fine.astype(np.float32))
    seen = _resized(source, size, Image.Resampling[preprocess.interpolation.upper()], geometry.visible)
    values = np.asarray(seen).reshape(size[1], size[0], -1)
    if photo.fine is not None:
        grey = np.clip(values, 0.0, 255.0)  # as 8 bits would be where a filter overshoots
        values = np.concatenate([np.full_like(grey, 255.0) if name == "A" else grey for name in order], axis=2)
    pixels = np.full((*geometry.tensor, len(order)), preprocess.pad_value, dtype=values.dtype)
    pixels[top:bottom, left:right] = values[:, :, ::-1] if order == "BGR" else values
    return pixels


def _resized(
    source: Image.Image, size: tuple[int, int], how: Image.Resampling, box: tuple[float, float, float, float]
) -> Image.Image:
    """Resample across, then down: from 13.0 on Pillow takes whichever is quicker first, and bytes differ by one."""
    left, top, right, bottom = box
    if how is Image.Resampling.NEAREST:
        return source.resize(size, how, box)
    across = source.resize((size[0], source.height), how, (left, 0, right, source.height))
    return across.resize(size, how, (0, top, size[0], bottom))
