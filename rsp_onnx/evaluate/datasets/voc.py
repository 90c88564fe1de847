"""PASCAL VOC's devkit (Everingham et al. 2010), and data in its layout.

    Annotations/NAME.xml  JPEGImages/NAME.jpg  ImageSets/Main/SPLIT.txt  SegmentationClass/NAME.png

Boxes are written 1-based with both corners inside; here they become 0-based. Annotations refer to the pixels as they
are stored; see ``photo_file`` for photos that EXIF turns.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Array

from .annotated import BadItem, Format, Item, OpenOptions
from .files import Annotated, Listed, choose_split, numbers_of, photo_named, read_lines, things_of
from .mapping import ClassMap, class_map
from .photo_file import PhotoFile, look_at, read_indices

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
IGNORED = 255
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class XmlObject:
    """One <object>: its name, (xmin, ymin, xmax, ymax) as written, and its flag."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class XmlAnnotation:
    """One file: the objects, and (width, height) where it states them."""

    objects: tuple[XmlObject, ...]
    size: tuple[int, int] | None


def read_xml(path: Path) -> XmlAnnotation:
    """Read an annotation; BadItem in one sentence where it is missing or malformed."""
    try:
        top = ElementTree.fromstring(path.read_bytes())
    except FileNotFoundError:
        raise BadItem(f"There is no annotation {path}.") from None
    except OSError as error:
        raise BadItem(f"The annotation {path} cannot be read: {error.strerror or error}.") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise BadItem(f"The annotation {path} is not valid XML: {error}.") from error
    if top.tag != "annotation":
        raise BadItem(f"The annotation {path} begins with <{top.tag}> where <annotation> should stand.")
    return XmlAnnotation(tuple(_objects(top, path)), _size(top, path))


def _objects(top: ElementTree.Element, path: Path) -> Iterator[XmlObject]:
    for node in top.findall("object"):  # a person's <part>s have boxes of their own, one level below
        name = (node.findtext("name") or "").strip()
        if not name:
            raise BadItem(f"The annotation {path} has an object without a name.")
        box = node.find("bndbox")
        if box is None:
            raise BadItem(f"The annotation {path} has a {name} without a box.")
        left, top_, right, bottom = numbers_of((box.findtext(corner) for corner in _CORNERS), f"The annotation {path}")
        yield XmlObject(name, (left, top_, right, bottom), (node.findtext("difficult") or "0").strip() == "1")


def _size(top: ElementTree.Element, path: Path) -> tuple[int, int] | None:
    node = top.find("size")
    if node is None:
        return None
    try:
        width, height = (int(node.findtext(side) or "") for side in ("width", "height"))
    except ValueError:
        raise BadItem(f"The annotation {path} states a size that is no two whole numbers.") from None
    return (width, height) if width > 0 and height > 0 else None  # some tools write 0×0 for "unknown"


@dataclass(frozen=True)
class VocMasks:
    """SegmentationClass: a palette picture, 0 = background, i + 1 = class i, 255 = border or unclear.

    Attributes
    ----------
    sources : tuple of str
        The class names in the palette's order.
    """

    path: Path
    photo: PhotoFile
    sources: tuple[str, ...]
    mapping: ClassMap

    @cached_property
    def _values(self) -> Array:
        """uint8 [H, W] of the upright photo."""
        values = read_indices(self.path, self.photo.size)
        if values.ndim != 2:
            raise BadItem(f"The mask {self.path} has colours where a palette picture should hold class numbers.")
        unnamed = [int(v) for v in np.unique(values) if len(self.sources) < v < IGNORED]
        if unnamed:
            raise BadItem(f"The mask {self.path} has the class {unnamed[0]}, but there are only {len(self.sources)}.")
        return self.photo.mask(values)

    def read(self, class_index: int, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        wanted = [i + 1 for i, name in enumerate(self.sources) if class_index in self.mapping[name]]
        return np.isin(self._values, wanted)

    def ignored(self, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        return np.asarray(self._values == IGNORED)


@dataclass
class Voc(Listed):
    """A split of a devkit, its class names in the palette's order; see ``Dataset``."""

    split: str | None = None
    format: str = "voc"

    def __getitem__(self, index: int) -> Item:
        """Read one annotation; BadItem where it or the photo is missing or malformed."""
        name = self.keys[index]
        path = self.root / "Annotations" / f"{name}.xml"
        annotation = read_xml(path)
        image = photo_named(self.root / "JPEGImages", name)
        photo = look_at(image, annotation.size)
        things, unknown = things_of((_annotated(o, photo, path) for o in annotation.objects), self.mapping)
        mask = self.root / "SegmentationClass" / f"{name}.png"
        masks = VocMasks(mask, photo, self.sources, self.mapping) if mask.is_file() else None
        return Item(name, image, things, unknown, masks)


def _annotated(one: XmlObject, photo: PhotoFile, path: Path) -> Annotated:
    box = photo.box([v - 1 for v in one.box], f"The annotation {path}")
    return Annotated(one.name, box, one.difficult)


def open_voc(root: Path, options: OpenOptions) -> Voc:
    """Open a devkit; by default its split test, else val, else its only one, else all annotations."""
    folder = _devkit(root)
    lists = {f.stem: f for f in sorted((folder / "ImageSets" / "Main").glob("*.txt"))}
    splits = {name: f for name, f in lists.items() if not _splits_of_class(name, lists)}
    sources = _sources(lists, splits)
    split = options.split
    if splits or split is not None:
        split = choose_split(split, splits, VOC_FORMATS[0].splits, folder)
        keys = [line.split()[0] for line in read_lines(splits[split])]
    else:
        keys = sorted(f.stem for f in (folder / "Annotations").glob("*.xml"))
    if not keys:
        raise BadInput(f"{folder} has no items: neither in ImageSets/Main nor in Annotations.")
    matched = class_map(sources, options)
    return Voc(folder, options.names, matched, sources, tuple(dict.fromkeys(keys)), split)


def _devkit(root: Path) -> Path:
    """Return the folder with Annotations: the root, or the only VOC* below it or its VOCdevkit."""
    candidates = [root, *sorted(root.glob("VOCdevkit/VOC*")), *sorted(root.glob("VOC[0-9]*"))]
    folders = [c for c in candidates if (c / "Annotations").is_dir()]
    if not folders:
        raise BadInput(f"{root} is no VOC devkit: there is no folder Annotations in it or in VOCdevkit/VOC*.")
    if len(folders) > 1 and folders[0] != root:
        raise BadInput(f"{root} holds several years ({', '.join(f.name for f in folders)}): give the path of one.")
    return folders[0]


def _splits_of_class(name: str, lists: dict[str, Path]) -> bool:
    """Tell whether a list is one class's share of a split, as dog_test is of test."""
    return any(name.endswith(f"_{other}") for other in lists if other != name)


def _sources(lists: dict[str, Path], splits: dict[str, Path]) -> tuple[str, ...]:
    """Return the class names: those with a list per split, in the alphabet's order as VOC's own; else VOC's twenty."""
    owners = {name.removesuffix(f"_{s}") for s in splits for name in lists if name.endswith(f"_{s}")}
    return tuple(sorted(owners)) or VOC_CLASSES


VOC_FORMATS = (
    Format(
        "voc",
        "`Annotations/*.xml`, `JPEGImages`, `ImageSets/Main/<split>.txt`, `SegmentationClass`; DATA is the devkit or "
        "one year in it",
        open_voc,
        splits=("test", "val", "trainval", "train"),
    ),
)
