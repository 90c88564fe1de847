"""ImageNet's validation photos (Russakovsky et al. 2015), as a folder or in the devkit's layout, with boxes and masks.

    ROOT[/SPLIT]/WNID/PHOTO.JPEG  or  ROOT[/SPLIT]/PHOTO.JPEG  or  ROOT/ILSVRC/Data/CLS-LOC/SPLIT/...
    classes folders, or the annotations, or ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt
    boxes   .../Annotations/CLS-LOC/SPLIT/[WNID/]PHOTO.xml, ROOT/bbox/SPLIT/PHOTO.xml, or LOC_SPLIT_solution.csv
    masks   ROOT/SPLIT-segmentation/WNID/PHOTO.png (ImageNet-S, Gao et al. 2022: class R + 256 G, 1000 = ignored)

Boxes are taken as written, 0-based with both corners inside (the files hold zeros), and clipped to the photo. A flat
folder of photos with a boxes.csv is format csv. WordNet ids become classes by --mapping SYNSET_WORDS.txt, or by the
model's labels where they are WordNet ids, or by their order where all of the model's classes have a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Array

from .annotated import BadItem, Format, Item, OpenOptions
from .files import IMAGES, Annotated, Listed, first_folder, photos_in, things_of
from .imagenet_truth import devkit_classes, read_solution, solution_objects
from .mapping import ClassMap, class_map, match_names
from .photo_file import PhotoFile, look_at, read_indices
from .voc import read_xml

IGNORED = 1000
_IS_WNID = "n[0-9]" + "[0-9]" * 7


@dataclass(frozen=True)
class ImageNetMasks:
    """ImageNet-S: a coloured PNG whose pixel is class R + 256 G, counted from 1 in the order of the WordNet ids.

    Attributes
    ----------
    sources : tuple of str
        The WordNet ids that have masks, in their order.
    """

    path: Path
    photo: PhotoFile
    sources: tuple[str, ...]
    mapping: ClassMap

    @cached_property
    def _classes(self) -> Array:
        """int64 [H, W] of the upright photo; 0 is none of the classes."""
        colours = read_indices(self.path, self.photo.size, colours=True)
        if colours.ndim != 3 or colours.shape[2] != 3:
            raise BadItem(f"The mask {self.path} has no three colours; an ImageNet-S mask is R + 256 G.")
        return self.photo.mask(colours[:, :, 0].astype(np.int64) + 256 * colours[:, :, 1].astype(np.int64))

    def read(self, class_index: int, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        wanted = [i + 1 for i, name in enumerate(self.sources) if class_index in self.mapping[name]]
        return np.isin(self._classes, wanted) if wanted else None

    def ignored(self, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        return np.asarray(self._classes == IGNORED)


@dataclass(frozen=True)
class Places:
    """Where the parts of the dataset lie; None where there are none."""

    photos: Path
    boxes: Path | None = None
    masks: Path | None = None


@dataclass
class ImageNet(Listed):
    """Validation photos, by their paths below the folder of photos; see ``Dataset``.

    Attributes
    ----------
    table : dict
        By photo's name, what a solution's CSV says: "n01978287 240 170 260 240 ...".
    segmented : tuple of str
        The WordNet ids that have masks.
    truth : dict
        By photo's name the WordNet id that the devkit says.
    """

    places: Places
    table: dict[str, str] = field(default_factory=dict)
    segmented: tuple[str, ...] = ()
    truth: dict[str, str] = field(default_factory=dict)
    format: str = "imagenet"

    def __getitem__(self, index: int) -> Item:
        """Read a photo's class, boxes and masks; BadItem where they are missing or malformed."""
        key = self.keys[index]
        image = self.places.photos / key
        objects, photo = self._objects(key, image)
        things, unknown = things_of(objects, self.mapping)
        return Item(key, image, things, unknown, self._masks(key, photo))

    def _objects(self, key: str, image: Path) -> tuple[list[Annotated], PhotoFile]:
        folder = key.rpartition("/")[0]
        path = self._xml(key)
        if path is not None:
            annotation = read_xml(path)
            photo, where = look_at(image, annotation.size), f"The annotation {path}"
            boxed = [Annotated(o.name, photo.box(o.box, where), o.difficult) for o in annotation.objects]
            return boxed or ([Annotated(folder)] if folder else []), photo
        photo = look_at(image)
        if image.stem in self.table:
            return solution_objects(self.table[image.stem], photo, image.name), photo
        if folder or image.stem in self.truth:
            return [Annotated(folder.rpartition("/")[2] or self.truth[image.stem])], photo
        raise BadItem(f"There is no annotation of {image}: neither a folder of its class, nor XML, nor a line of CSV.")

    def _xml(self, key: str) -> Path | None:
        if self.places.boxes is None:
            return None
        stem = Path(key).with_suffix(".xml")
        return next((p for p in (self.places.boxes / stem, self.places.boxes / stem.name) if p.is_file()), None)

    def _masks(self, key: str, photo: PhotoFile) -> ImageNetMasks | None:
        if self.places.masks is None:
            return None
        path = self.places.masks / Path(key).with_suffix(".png")
        return ImageNetMasks(path, photo, self.segmented, self.mapping) if path.is_file() else None


def open_imagenet(root: Path, options: OpenOptions) -> ImageNet:
    """Open a folder of validation photos or a devkit."""
    places = _places(root, options.split)
    folders = sorted(f for f in places.photos.iterdir() if f.is_dir() and not f.name.startswith("."))
    wnids = tuple(f.name for f in folders if f.match(_IS_WNID))
    photos = [p for f in folders if f.name in wnids for p in sorted(f.iterdir()) if p.suffix.lower() in IMAGES]
    photos = photos or photos_in(places.photos)
    if not photos:
        raise BadInput(f"{places.photos} holds no photos, neither in folders of WordNet ids nor as they are.")
    table = read_solution(root, options.split or "val")
    truth = {} if wnids else devkit_classes(root)
    sources = wnids or tuple(sorted({*_named(places, table), *truth.values()}))
    segmented = tuple(sorted(f.name for f in places.masks.iterdir() if f.is_dir())) if places.masks else ()
    matched = _class_map(sources, options, root)
    keys = tuple(p.relative_to(places.photos).as_posix() for p in photos)
    return ImageNet(root, options.names, matched, sources, keys, places, table, segmented, truth)


def _class_map(sources: Sequence[str], options: OpenOptions, root: Path) -> ClassMap:
    count = options.class_count or 0
    if options.mapping is None and len(sources) in (count, count - 1):
        return class_map(sources, OpenOptions(classes=count))  # all classes are there: in the order of their ids
    if options.mapping is None and not any(match_names(sources, options.names or ()).values()):
        raise BadInput(
            f"Which classes the WordNet ids of {root} are is not known: give --mapping with a file of lines like "
            "'n01440764 tench, Tinca tinca', one per class of the model."
        )
    return class_map(sources, options)


def _places(root: Path, split: str | None) -> Places:
    """Find photos, boxes and masks below the root or its folder ILSVRC."""
    bases = [b for b in (root / "ILSVRC", root) if b.is_dir()]
    if not bases:
        raise BadInput(f"There is no folder {root}.")
    tried = (split,) if split else IMAGENET_FORMATS[0].splits
    photos = first_folder(
        (*(b / part / s for b in bases for s in tried for part in ("Data/CLS-LOC", "")), *(() if split else (root,))),
        "of photos",
    )
    parts = [f"Annotations/CLS-LOC/{s}" for s in tried] + [f"Annotations/{s}" for s in tried]
    parts += [f"bbox/{s}" for s in tried] + [f"{s}_boxes" for s in tried] + ["Annotations", "bbox"]
    around = [*bases, photos.parent, photos]
    boxes = _there(b / part for b in around for part in parts)
    masks = _there(b / f"{s}{end}" for b in around for s in (photos.name, *tried) for end in ("-segmentation",))
    return Places(photos, boxes, masks)


def _there(candidates: Iterable[Path]) -> Path | None:
    return next((c for c in candidates if c.is_dir()), None)


def _named(places: Places, table: dict[str, str]) -> tuple[str, ...]:
    """Return the WordNet ids that the annotations of a flat folder name."""
    if table:
        return tuple(sorted({w for text in table.values() for w in text.split()[::5]}))
    names = set()
    for path in sorted(places.boxes.rglob("*.xml")) if places.boxes else ():
        try:
            names |= {o.name for o in read_xml(path).objects}
        except BadItem:
            continue  # told when the item is read
    return tuple(sorted(names))


IMAGENET_FORMATS = (
    Format(
        "imagenet",
        "the validation folder (flat, or by wnid) with boxes as XML or CSV, or masks like ImageNet-S's",
        open_imagenet,
        splits=("val", "validation"),
    ),
)
