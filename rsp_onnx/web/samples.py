"""The photographs of a folder that a page offers to try."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from rsp_onnx.errors import BadInput

MOST_SAMPLES = 24


def sample_photos(folder: str | Path) -> list[Path]:
    """Return the first ``MOST_SAMPLES`` photographs of a folder, by name.

    Raises
    ------
    BadInput
        The folder cannot be read, or holds none.
    """
    endings = Image.registered_extensions()
    known = {ending for ending, kind in endings.items() if kind in Image.OPEN and kind != "EPS"}  # as read_photo does
    try:
        found = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in known and path.is_file())
    except OSError as error:
        raise BadInput(f"The folder {folder} with images cannot be read: {error.strerror or error}.") from error
    if not found:
        raise BadInput(f"The folder {folder} holds no photographs: give one with .jpg or .png files.")
    return found[:MOST_SAMPLES]


def media_type(photo: Path) -> str:
    """Return a photograph's media type by its ending: Pillow's, since Python's own table has no WebP before 3.13."""
    return Image.MIME.get(Image.registered_extensions().get(photo.suffix.lower(), ""), "application/octet-stream")
