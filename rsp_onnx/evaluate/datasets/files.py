"""What every dataset reader does alike: from annotated objects to things, from folders to files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rsp_onnx.errors import BadInput

from .annotated import BadItem, Box, Thing
from .mapping import ClassMap

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm")
MASK = ".mask.png"  # beside the photo, as models/write_scenes.py writes them


class Annotated(NamedTuple):
    """An object as the dataset has it: its class's name there, its box on the upright photo."""

    name: str
    box: Box | None = None
    difficult: bool = False


@dataclass
class Listed:
    """What datasets share that know their photos by name from the start; see ``Dataset``.

    Attributes
    ----------
    sources : tuple of str
        The dataset's class names in the dataset's own order.
    keys : tuple of str
        The photos: names or paths below the root.
    """

    root: Path
    names: Sequence[str] | None
    mapping: ClassMap
    sources: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.keys)

    def key(self, index: int) -> str:
        """Return a photo's key, such as ``000012`` or ``dog/12.jpg``."""
        return self.keys[index]


def things_of(objects: Iterable[Annotated], mapping: ClassMap) -> tuple[tuple[Thing, ...], tuple[str, ...]]:
    """Return the things of classes the model knows, and the names of the others, each once."""
    things: list[Thing] = []
    unknown: dict[str, None] = {}
    for one in objects:
        classes = mapping[one.name]
        things += [Thing(c, one.box, one.difficult) for c in classes]
        if not classes:
            unknown[one.name] = None
    return tuple(things), tuple(unknown)


def photos_in(folder: Path) -> list[Path]:
    """Return a folder's photos in the order of their names, masks left out; BadInput where it cannot be listed."""
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise BadInput(f"The folder {folder} cannot be listed: {error.strerror or error}.") from error
    return [f for f in files if f.suffix.lower() in IMAGES and not f.name.endswith(MASK) and not f.name.startswith(".")]


def photo_named(folder: Path, stem: str) -> Path:
    """Return the photo of a name without its ending; the first ending there is, .jpg where there is none."""
    for ending in (".jpg", ".JPEG", ".JPG", ".jpeg", ".png"):
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    return folder / f"{stem}.jpg"


def first_folder(candidates: Iterable[Path], what: str) -> Path:
    """Return the first folder that is there; BadInput names the places."""
    tried = list(candidates)
    for folder in tried:
        if folder.is_dir():
            return folder
    raise BadInput(f"There is no folder {what}: looked for {', '.join(map(str, tried))}.")


def choose_split(split: str | None, there: Mapping[str, Path], preferred: Iterable[str], where: Path) -> str:
    """Return the split to read: the one asked for, the first preferred one, or the only one.

    Raises
    ------
    BadInput
        It is not there, or several are and none was asked for.
    """
    listed = ", ".join(sorted(there)) or "none"
    if split is not None:
        if split not in there:
            raise BadInput(f"{where} has no split {split!r}; its splits: {listed}.")
        return split
    for name in preferred:
        if name in there:
            return name
    if len(there) == 1:
        return next(iter(there))
    raise BadInput(f"{where} has several splits ({listed}): choose one with --split.")


def numbers_of(texts: Iterable[str | None], what: str) -> list[float]:
    """Return numbers from text; BadItem where one is missing or none."""
    numbers = []
    for text in texts:
        try:
            numbers.append(float(text or ""))
        except ValueError:
            raise BadItem(f"{what} has a box with {text!r} where a number should stand.") from None
    return numbers


def read_lines(path: Path) -> list[str]:
    """Return a text file's lines without blanks; BadInput where it cannot be read."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not UTF-8 text: save it as UTF-8.") from error
