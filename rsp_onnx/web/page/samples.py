"""Sample pictures beside a page, as browsers read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from rsp_onnx.files import make_folder, save_png
from rsp_onnx.inputs.photos import read_photo

_OF_BROWSERS = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png", ".webp": ".webp", ".gif": ".gif"}


def write_samples(photos: Iterable[Path], folder: Path) -> list[dict[str, str]]:
    """Copy photographs, the kinds that browsers do not read as PNG; return ``Sample`` of the page for each."""
    make_folder(folder)
    return [_write(number, photo, folder) for number, photo in enumerate(photos)]


def _write(number: int, photo: Path, folder: Path) -> dict[str, str]:
    ending = _OF_BROWSERS.get(photo.suffix.lower())
    target = folder / f"{number}{ending or '.png'}"
    picture = read_photo(photo)  # one that is damaged is told here, not to the page's readers
    if ending:
        shutil.copyfile(photo, target)
    else:
        save_png(target, picture)
    return {"name": photo.stem, "url": f"{folder.name}/{target.name}"}
