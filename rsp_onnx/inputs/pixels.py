"""From a decoded picture of any mode to what a person sees, 8-bit RGB; and what was lost or guessed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsp_onnx.errors import BadInput

_FULL = 65535  # the largest 16-bit value
_DARK = _FULL // 4  # a picture that stays below it was recorded with fewer bits: 14, 12, 10
_PER_LEVEL = _FULL / 255  # 257 values of 16 bits make one of 8


@dataclass(frozen=True)
class Photo:
    """A picture as it is read.

    Attributes
    ----------
    picture : PIL.Image.Image
        Upright, RGB, 8 bits, without EXIF data.
    fine : ndarray, optional
        float64 [H, W] in 0..255 with their fractions, of a grey picture of more than 8 bits.
    largest : int, optional
        Of a picture of 16 bits that seems to use fewer: its largest value.
    remarks : tuple of str
        What was lost or guessed, one clause each.
    """

    picture: Image.Image
    fine: NDArray[np.float64] | None = None
    largest: int | None = None
    remarks: tuple[str, ...] = ()


def flatten(image: Image.Image, what: str, raw_mode: str = "") -> Photo:
    """Make an upright picture of any mode RGB; never the object that was given.

    raw_mode: how the file holds its pixels, as Pillow calls it, where there is a file.

    Raises
    ------
    BadInput
        Its mode cannot be converted, or its values are out of range.
    """
    fine, largest, remarks = None, None, _of_colours(image)
    if image.mode == "F" or image.mode.startswith("I"):
        fine, largest, guessed = _fine(np.asarray(image), what)
        remarks += guessed
        image = Image.fromarray(np.round(fine).astype(np.uint8))
    try:
        if image.has_transparency_data:
            colour = image.convert("RGBA")
            remarks += _of_transparency(colour)
            image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
        photo = image.convert("RGB")
    except ValueError as error:
        raise BadInput(f"{what} has colours of mode {image.mode}: convert it to RGB first.") from error
    photo = photo.copy() if photo is image else photo
    photo.info = {}  # a second read must not turn it again
    return Photo(photo, fine, largest, remarks + _of_depth(photo, raw_mode))


def _fine(values: NDArray[Any], what: str) -> tuple[NDArray[np.float64], int | None, tuple[str, ...]]:
    """16-bit or float pixels in 0..255 by their range, where Pillow would clip them at 255; what is odd of them."""
    pixels = values.astype(np.float64)
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= _FULL):  # also catches NaN
        raise BadInput(f"{what} has pixels from {low:g} to {high:g}, outside 0..{_FULL}: scale it to 8 bits first.")
    if values.dtype.kind == "f":
        top = 1.0 if high <= 1 else 255.0 if high <= 255 else float(_FULL)
        says = f"its float pixels reach from {low:.4g} to {high:.4g} and were taken for values of 0..{top:g}"
        return pixels * (255.0 / top), None, (says,)
    return pixels / _PER_LEVEL, int(high) if 0 < high < _DARK else None, ()


def _of_colours(image: Image.Image) -> tuple[str, ...]:
    if image.mode == "CMYK":
        return ("its CMYK colours were converted to RGB without their colour profile and may differ",)
    return ()


def _of_transparency(colour: Image.Image) -> tuple[str, ...]:
    clear = float(np.mean(np.asarray(colour.getchannel("A")) < 255))
    return (f"{clear:.0%} of it is transparent and was laid over white",) if clear >= 0.005 else ()


def _of_depth(photo: Image.Image, raw_mode: str) -> tuple[str, ...]:
    """Say where the low half of 16-bit colours, which Pillow drops, was most of what there is."""
    if "16" not in raw_mode or not raw_mode.startswith(("RGB", "LA")):
        return ()
    high = int(np.asarray(photo).max())
    if high > _DARK // 256:
        return ()
    reach = f"its 16-bit colours reach only about {(high + 1) * 256 - 1} of {_FULL}"
    return (f"{reach} and were read with 8 bits, as 0..{high} of 255; save it with 8 bits over their full range",)
