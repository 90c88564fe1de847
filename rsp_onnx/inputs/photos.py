"""Reading a photograph: upright, 8-bit, RGB, whatever the file holds; and what was lost on the way."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rsp_onnx.errors import BadInput

from .pixels import Photo, flatten

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_photo(image: str | Path | Image.Image | NDArray[Any]) -> Image.Image:
    """Read a photograph the way a person sees it: upright, 8-bit RGB, transparency over white, first frame.

    Parameters
    ----------
    image : str, Path, PIL.Image.Image or ndarray of uint8
        A file, an image in memory (left as it is), or pixels [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].
        16-bit gray is divided by 257; float pixels may lie in 0..1, 0..255 or 0..65535. ``read`` keeps their fractions.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, without EXIF data, so that reading it again changes nothing.

    Raises
    ------
    BadInput
        If there is no such file, it is no image, it is damaged or too large, or the array does not fit.
    """
    return read(image).picture


def read(image: str | Path | Image.Image | NDArray[Any]) -> Photo:
    """Read a photograph as ``read_photo`` does, with what 8 bits do not hold and what should be said of it."""
    if isinstance(image, np.ndarray):
        return flatten(_from_array(image), "The array")
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise BadInput(f"The image has no pixels (size {image.size[0]}×{image.size[1]}).")
        return _decode(image, "The image")
    if isinstance(image, (str, os.PathLike)):
        return _from_file(Path(image))
    raise BadInput(f"A photo is a file, a PIL image or a uint8 array, not {type(image).__name__}.")


def open_photo(path: Path) -> Image.Image:
    """Open a file of any format that Pillow reads, but EPS, without decoding it; raises what Pillow raises."""
    Image.preinit()
    try:
        return Image.open(path, formats=_safe())
    except UnidentifiedImageError:
        Image.init()  # the rarer formats: forty modules
        return Image.open(path, formats=_safe())


def _safe() -> list[str]:
    return [name for name in Image.ID if name != "EPS"]  # Pillow hands EPS to Ghostscript: a photo must run no programs


def _from_file(path: Path) -> Photo:
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder: give one image file.")
        with open_photo(path) as image:
            _check_pixels(path, image.size)
            photo = _decode(image, str(path))
            return replace(photo, remarks=photo.remarks + _of_frames(image))
    except BadInput:
        raise
    except FileNotFoundError as error:
        raise BadInput(f"There is no image file {path}: check the path.") from error
    except PermissionError as error:
        raise BadInput(f"The image file {path} may not be read: check its permissions.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput(f"{path} is too large to decode safely: shrink it first ({error})") from error
    except UnidentifiedImageError as error:
        raise BadInput(
            f"{path} is {_what(path)}: give a JPEG, PNG, WebP, TIFF … photo (tensors: .npy, .npz)."
        ) from error
    except (OSError, ValueError) as error:
        raise BadInput(f"The image file {path} cannot be read: {error}.") from error


def _what(path: Path) -> str:
    return "empty" if path.stat().st_size == 0 else "not an image that Pillow can read"


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    # from the header, before anything is decoded; a warning filter would not be safe between threads
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise BadInput(f"{path} has {size[0]}×{size[1]} pixels, more than the {limit} decoded safely: shrink it first.")


def _of_frames(image: Image.Image) -> tuple[str, ...]:
    """Say that there is more than the first frame; the further pictures in a phone's JPEG (MPO) are none."""
    count = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    return (f"it holds {count} pictures, of which the first is explained",) if count > 1 else ()


def _decode(image: Image.Image, what: str) -> Photo:
    raw_mode = _raw_mode(image)
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise a dozen kinds of exception on damaged files
        raise BadInput(f"{what} is damaged or cut off and cannot be decoded ({error}): get a good copy.") from error
    return flatten(_upright(image), what, raw_mode)


def _raw_mode(image: Image.Image) -> str:
    """Return how the file holds its pixels, such as RGB;16B; known until they are decoded."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if arguments and isinstance(arguments[0], str):
            return arguments[0]
    return ""


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF data is no reason to refuse good pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8:
        raise BadInput(f"An image array holds uint8 pixels 0..255, not {array.dtype}: scale and convert it first.")
    if 0 in array.shape or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise BadInput(f"An image array has shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {array.shape}.")
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return Image.fromarray(np.ascontiguousarray(flat))
