"""Reading a photograph: upright, 8-bit, RGB, whatever the file holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rsp_onnx.errors import BadInput

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
        16-bit gray is divided by 257; float pixels may lie in 0..1, 0..255 or 0..65535.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, without EXIF data, so that reading it again changes nothing.

    Raises
    ------
    BadInput
        If there is no such file, it is no image, it is damaged or too large, or the array does not fit.
    """
    if isinstance(image, np.ndarray):
        return _flatten(_from_array(image), "The array")
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise BadInput(f"The image has no pixels (size {image.size[0]}×{image.size[1]}).")
        return _decode(image, "The image")
    if isinstance(image, (str, os.PathLike)):
        return _from_file(Path(image))
    raise BadInput(f"A photo is a file, a PIL image or a uint8 array, not {type(image).__name__}.")


def _from_file(path: Path) -> Image.Image:
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder: give one image file.")
        Image.init()
        # EPS is left out: Pillow hands it to Ghostscript, and a photograph must not run programs
        with Image.open(path, formats=[name for name in Image.ID if name != "EPS"]) as image:
            _check_pixels(path, image.size)
            return _decode(image, str(path))
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


def _decode(image: Image.Image, what: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise a dozen kinds of exception on damaged files
        raise BadInput(f"{what} is damaged or cut off and cannot be decoded ({error}): get a good copy.") from error
    return _flatten(_upright(image), what)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF data is no reason to refuse good pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image, what: str) -> Image.Image:
    """Any mode to RGB without EXIF; never the object that was given."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_gray(np.asarray(image), what)
    try:
        if image.has_transparency_data:
            colour = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
        photo = image.convert("RGB")
    except ValueError as error:
        raise BadInput(f"{what} has colours of mode {image.mode}: convert it to RGB first.") from error
    photo = photo.copy() if photo is image else photo
    photo.info = {}  # a second read must not turn it again
    return photo


def _to_gray(values: NDArray[Any], what: str) -> Image.Image:
    """16-bit or float pixels to 8 bits by their range, where Pillow would clip them at 255."""
    pixels = values.astype(np.float64)
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 65535):  # also catches NaN
        raise BadInput(f"{what} has pixels from {low:g} to {high:g}, outside 0..65535: scale it to 8 bits first.")
    small = 255.0 if high <= 1 else 1.0
    factor = small if values.dtype.kind == "f" and high <= 255 else 1 / 257
    return Image.fromarray(np.round(pixels * factor).astype(np.uint8))


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8:
        raise BadInput(f"An image array holds uint8 pixels 0..255, not {array.dtype}: scale and convert it first.")
    if 0 in array.shape or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise BadInput(f"An image array has shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {array.shape}.")
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return Image.fromarray(np.ascontiguousarray(flat))
