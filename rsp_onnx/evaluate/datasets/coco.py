"""Microsoft COCO (Lin et al. 2014): instances as JSON, or panoptic segmentation as JSON and PNG.

    ROOT/annotations/instances_SPLIT.json   ROOT/SPLIT/PHOTO.jpg
    ROOT/annotations/panoptic_SPLIT.json    ROOT/annotations/panoptic_SPLIT/PHOTO.png    ROOT/SPLIT/PHOTO.jpg

or the path of a JSON file, with the photos in a folder beside it. The file is read once in each process that reads
items; a pickled dataset is the path alone. Annotations refer to the pixels as they are stored, see ``photo_file``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Record

from .annotated import BadItem, Box, Format, Item, Masks, OpenOptions
from .coco_masks import InstanceMasks, PanopticMasks, is_polygon
from .files import Annotated, choose_split, numbers_of, things_of
from .mapping import ClassMap, class_map
from .photo_file import PhotoFile, look_at

_KEPT = ("category_id", "bbox", "iscrowd", "segmentation", "file_name", "segments_info")


@dataclass(frozen=True)
class Index:
    """A JSON file's contents by photo, as far as they are well-formed; what is not is told item by item."""

    images: tuple[Record, ...]
    annotations: dict[Any, list[Record]]  # by image id
    names: dict[Any, str]  # by category id
    stuff: frozenset[Any]  # categories that have no objects, such as sky
    panoptic: bool


@dataclass
class Coco:
    """One JSON file; see ``Dataset``.

    Attributes
    ----------
    root : Path
        The JSON file.
    photos : Path
        The folder of the photos.
    """

    root: Path
    photos: Path
    names: Sequence[str] | None
    mapping: ClassMap
    sources: tuple[str, ...]
    format: str = "coco"

    @cached_property
    def _index(self) -> Index:
        return read_index(self.root)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the contents behind: another process reads the file itself."""
        return {k: v for k, v in self.__dict__.items() if k != "_index"}

    def __len__(self) -> int:
        """Return the number of photos listed."""
        return len(self._index.images)

    def key(self, index: int) -> str:
        """Return the photo's file name, or its place in the list where it has none."""
        return str(self._index.images[index].get("file_name") or f"images[{index}]")

    def __getitem__(self, index: int) -> Item:
        """Return a photo's annotations; BadItem where they are malformed or the photo is missing."""
        record, where = self._index.images[index], f"{self.root.name}: {self.key(index)}"
        if not isinstance(record.get("file_name"), str) or "id" not in record:
            raise BadItem(f"{self.root.name}: images[{index}] has no file_name or no id.")
        image = self.photos / record["file_name"]
        photo = look_at(image, _size(record, where))
        listed = self._index.annotations.get(record["id"], [])
        if self._index.panoptic:
            return self._panoptic(record["file_name"], image, photo, listed, where)
        objects = [_annotated(one, self._index.names, photo, where) for one in listed]
        things, unknown = things_of(objects, self.mapping)
        masks = InstanceMasks(tuple(zip((o.name for o in objects), listed, strict=True)), photo, self.mapping, where)
        return Item(record["file_name"], image, things, unknown, masks if listed else None)

    def _panoptic(self, key: str, image: Path, photo: PhotoFile, listed: list[Record], where: str) -> Item:
        if len(listed) != 1 or not isinstance(listed[0].get("file_name"), str):
            raise BadItem(f"{where} has {len(listed)} panoptic annotations with a file_name where one should be.")
        segments = listed[0].get("segments_info")
        if not isinstance(segments, list) or not all(isinstance(s, dict) and "id" in s for s in segments):
            raise BadItem(f"{where} has no list segments_info with the segments' ids.")
        objects = [_annotated(one, self._index.names, photo, where) for one in segments]
        # stuff that the model knows is a target like any other; what it does not know is ground, not a rival
        stuff = {o.name for s, o in zip(segments, objects, strict=True) if s["category_id"] in self._index.stuff}
        things, unknown = things_of([o for o in objects if o.name not in stuff or self.mapping[o.name]], self.mapping)
        names = tuple((int(s["id"]), o.name, o.difficult) for s, o in zip(segments, objects, strict=True))
        path = _panoptic_folder(self.root) / listed[0]["file_name"]
        masks: Masks = PanopticMasks(path, names, photo, self.mapping)
        return Item(key, image, things, unknown, masks)


def _annotated(one: Record, names: dict[Any, str], photo: PhotoFile, where: str) -> Annotated:
    """Turn an annotation's [x, y, width, height] into corners that lie inside."""
    name = names.get(one.get("category_id"))
    if name is None:
        raise BadItem(
            f"{where} has an object of the category {one.get('category_id')!r}, which the file does not name."
        )
    return Annotated(name, _box(one.get("bbox"), photo, where), bool(one.get("iscrowd", 0)))


def _box(bbox: Any, photo: PhotoFile, where: str) -> Box | None:
    if bbox is None:
        return None
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise BadItem(f"{where} has a bbox that is no list of four numbers.")
    x, y, width, height = numbers_of((str(v) for v in bbox), where)
    if width < 0 or height < 0:
        raise BadItem(f"{where} has a bbox of {width:g}×{height:g} pixels.")
    # COCO counts from pixels' edges: x + width is the right edge, which belongs to the column before it
    return photo.box((x, y, max(x + width - 1, x), max(y + height - 1, y)), where)


def _size(record: Record, where: str) -> tuple[int, int]:
    size = record.get("width"), record.get("height")
    if not all(isinstance(n, int) and n > 0 for n in size):
        raise BadItem(f"{where} has no width and height in pixels.")
    return size[0], size[1]  # type: ignore[return-value]


def open_coco(root: Path, options: OpenOptions) -> Coco:
    """Open a JSON file, or a folder's ``annotations/instances_SPLIT.json`` or ``panoptic_SPLIT.json``."""
    path = root if root.is_file() else _annotation_file(root, options.split)
    index = read_index(path)
    sources = tuple(index.names.values())
    photos = _photo_folder(path, index, root if root.is_dir() else path.parent, options.split)
    dataset = Coco(path, photos, options.names, class_map(sources, options), sources)
    dataset.__dict__["_index"] = index  # what was read for the names needs no second reading
    return dataset


def read_index(path: Path) -> Index:
    """Read a JSON file; BadInput where it is none of COCO's."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not valid JSON: {error}.") from error
    parts = [data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations", "categories")]
    if not all(isinstance(p, list) and all(isinstance(one, dict) for one in p) for p in parts):
        raise BadInput(f"{path} is no COCO file: it needs the lists images, annotations and categories.")
    images, annotations, categories = parts
    try:
        ordered = sorted(categories or [], key=lambda c: int(c["id"]))
        names = {c["id"]: str(c["name"]) for c in ordered}
        stuff = frozenset(c["id"] for c in ordered if c.get("isthing") == 0)
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{path} has a category without an id or a name.") from None
    by_image: dict[Any, list[Record]] = {}
    for one in annotations or []:
        key = one.get("image_id")
        if isinstance(key, (int, str)):  # an annotation of no photo has no item to be told at
            by_image.setdefault(key, []).append(_compact(one))
    return Index(tuple(images or []), by_image, names, stuff, any("segments_info" in a for a in annotations or []))


def _compact(one: Record) -> Record:
    """Keep of an annotation what is used; corners as arrays, for as lists of Python's they take five times the room."""
    kept = {k: one[k] for k in _KEPT if k in one}
    polygons = one.get("segmentation")
    if isinstance(polygons, list) and polygons and all(is_polygon(p) for p in polygons):
        kept["segmentation"] = tuple(np.array(p, np.float64) for p in polygons)
    return kept


def _annotation_file(root: Path, split: str | None) -> Path:
    for folder in (root / "annotations", root):
        for kind in ("instances", "panoptic"):
            by_split = {f.stem.removeprefix(f"{kind}_"): f for f in sorted(folder.glob(f"{kind}_*.json"))}
            if by_split and (split is None or split in by_split or kind == "panoptic"):
                return by_split[choose_split(split, by_split, COCO_FORMATS[0].splits, root)]
    raise BadInput(
        f"{root} holds no annotations/instances_SPLIT.json or panoptic_SPLIT.json: give the JSON file's path."
    )


def _photo_folder(path: Path, index: Index, root: Path, split: str | None) -> Path:
    """Return the folder with the photos: named like the split, or any beside the JSON file that has the first ones."""
    stem = split or path.stem.partition("_")[2]
    named = [base / part for base in (root, path.parent, path.parent.parent) for part in (stem, f"images/{stem}")]
    beside = [f for base in (root, path.parent) for f in sorted(base.iterdir()) if f.is_dir()]
    files = [str(record.get("file_name")) for record in index.images[:20]]
    for folder in (*named, root / "images", path.parent, root, *beside):
        if any((folder / file).is_file() for file in files):
            return folder
    return named[0] if files else root  # then every item says what is missing


def _panoptic_folder(path: Path) -> Path:
    return path.with_suffix("")


COCO_FORMATS = (
    Format(
        "coco",
        "`annotations/instances_<split>.json` beside the folder of images, or panoptic PNGs with their JSON",
        open_coco,
        splits=("val2014", "val2017"),
    ),
)
