"""From the pixels of the file, which annotations are drawn on, to the upright photo that is explained.

A camera held upright writes its rows sideways and a note, EXIF's orientation. ``read_photo`` follows the note;
annotations do not: VOC's, COCO's and ImageNet's refer to the pixels as they are stored. So boxes and masks are turned
with the photo. Where the annotation states a size that only the upright photo has, it was drawn on that, and stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsp_onnx.types import Array

from .annotated import BadItem, Box

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112
_OPAQUE = {"RGBA": "RGB", "LA": "L", "PA": "P"}  # transparency is no class
# by EXIF orientation: are rows and columns exchanged; are then the rows, are the columns reversed
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True)
class PhotoFile:
    """A photo's file, as far as its annotation is concerned.

    Attributes
    ----------
    size : tuple of int
        (width, height) of the pixels that the annotation refers to.
    turn : tuple of bool
        What makes them upright.
    """

    size: tuple[int, int]
    turn: tuple[bool, bool, bool] = (False, False, False)

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the upright photo."""
        return (self.size[1], self.size[0]) if self.turn[0] else self.size

    def box(self, box: Sequence[float], what: str) -> Box:
        """Clip a box (xmin, ymin, xmax, ymax; inclusive, 0-based) to the photo and turn it upright.

        Raises
        ------
        BadItem
            It is no box, or none of it lies in the photo.
        """
        left, top, right, bottom = (float(v) for v in box)
        width, height = self.size
        if not all(map(math.isfinite, (left, top, right, bottom))) or right < left or bottom < top:
            raise BadItem(f"{what} has a box that is none: {_shown(box)}; the second corner lies before the first.")
        if right < 0 or bottom < 0 or left > width - 1 or top > height - 1:
            raise BadItem(f"{what} has a box outside its photo of {width}×{height} pixels: {_shown(box)}.")
        left, right = max(left, 0.0), min(right, width - 1.0)
        top, bottom = max(top, 0.0), min(bottom, height - 1.0)
        swap, flip_rows, flip_columns = self.turn
        if swap:
            left, top, right, bottom = top, left, bottom, right
        wide, high = self.upright
        if flip_columns:
            left, right = wide - 1 - right, wide - 1 - left
        if flip_rows:
            top, bottom = high - 1 - bottom, high - 1 - top
        return left, top, right, bottom

    def mask(self, pixels: Array) -> Array:
        """Turn pixels [height, width] of the stored photo upright."""
        swap, flip_rows, flip_columns = self.turn
        turned = pixels.T if swap else pixels
        return turned[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def look_at(image: Path, stated: tuple[int, int] | None = None) -> PhotoFile:
    """Read a photo's size and orientation from its header.

    Parameters
    ----------
    image : Path
        The file.
    stated : tuple of int, optional
        (width, height) as the annotation says.

    Raises
    ------
    BadItem
        There is no photo, it cannot be read, or the annotation is of one of another size.
    """
    from rsp_onnx.inputs.photos import open_photo

    try:
        with open_photo(image) as photo:
            size, turn = photo.size, _turn_of(photo)
    except FileNotFoundError:
        raise BadItem(f"There is no image {image}.") from None
    except Exception as error:  # Pillow's parsers raise many kinds of exception on damaged files
        raise BadItem(f"The image {image} cannot be read: {_reason(error)}.") from error
    upright = PhotoFile(size, turn).upright
    if stated is None or stated == size:
        return PhotoFile(size, turn)
    if stated == upright:
        return PhotoFile(upright)
    raise BadItem(
        f"The annotation of {image} is of a photo of {stated[0]}×{stated[1]} pixels, but this one has "
        f"{size[0]}×{size[1]}."
    )


def read_indices(path: Path, size: tuple[int, int], *, colours: bool = False) -> Array:
    """Read a mask's pixel values as stored: [H, W] of a palette or grey PNG, uint8 [H, W, 3] of a coloured one.

    Parameters
    ----------
    size : tuple of int
        (width, height) of its photo.
    colours : bool
        The values are colours, whatever way they are stored.

    Raises
    ------
    BadItem
        The file is missing, damaged, or of another size.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.size != size:
                raise BadItem(
                    f"The mask {path} has {picture.width}×{picture.height} pixels, but its photo has "
                    f"{size[0]}×{size[1]}."
                )
            mode = "RGB" if colours and picture.mode == "P" else _OPAQUE.get(picture.mode, picture.mode)
            return np.asarray(picture if mode == picture.mode else picture.convert(mode))
    except BadItem:
        raise
    except FileNotFoundError:
        raise BadItem(f"There is no mask {path}.") from None
    except Exception as error:
        raise BadItem(f"The mask {path} cannot be read as PNG: {_reason(error)}.") from error


def _turn_of(photo: Image.Image) -> tuple[bool, bool, bool]:
    try:
        return _TURNS.get(photo.getexif().get(_ORIENTATION, 1), (False, False, False))
    except Exception:  # as read_photo: damaged EXIF data is no reason to refuse good pixels
        return (False, False, False)


def _reason(error: Exception) -> str:
    text = str(error).splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".")


def _shown(box: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in box)
