"""COCO's masks: polygons and run lengths through pycocotools, segments of a panoptic PNG by their number."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.extras import need
from rsp_onnx.types import Array, Record

from .annotated import BadItem
from .mapping import ClassMap
from .photo_file import PhotoFile, read_indices

_FAR = 1e6  # pixels


@dataclass(frozen=True)
class InstanceMasks:
    """The masks of a photo's instances; a crowd's pixels count neither way, unless an instance lies there.

    Attributes
    ----------
    objects : tuple
        Per annotation its category's name and its record.
    """

    objects: tuple[tuple[str, Record], ...]
    photo: PhotoFile
    mapping: ClassMap
    where: str

    def read(self, class_index: int, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        wanted = [r for name, r in self.objects if not r.get("iscrowd") and class_index in self.mapping[name]]
        return self._union(wanted) if any(r.get("segmentation") for r in wanted) else None

    def ignored(self, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        crowds = [r for _, r in self.objects if r.get("iscrowd")]
        if not crowds:
            return None
        return self._union(crowds) & ~self._union([r for _, r in self.objects if not r.get("iscrowd")])

    def crowd(self, class_index: int) -> Array:
        """Return bool [H, W]: the crowds of a class alone, which the pointing game takes for objects."""
        return self._union([r for n, r in self.objects if r.get("iscrowd") and class_index in self.mapping[n]])

    def _union(self, records: list[Record]) -> Array:
        width, height = self.photo.size
        union = np.zeros((height, width), bool)
        for record in records:
            if record.get("segmentation"):
                union |= decode(record["segmentation"], width, height, self.where)
        return self.photo.mask(union)


def decode(segmentation: Any, width: int, height: int, where: str) -> Array:
    """Return bool [height, width] of polygons or run lengths, by pycocotools' own annToMask.

    Raises
    ------
    BadItem
        The segmentation is malformed; pycocotools itself would draw something else, or end the process.
    """
    if isinstance(segmentation, tuple):  # polygons that were checked when the file was read
        segmentation = [corners.tolist() for corners in segmentation]
    problem = _problem(segmentation, width, height)
    if problem:
        raise BadItem(f"{where} has a segmentation {problem}.")
    coco = need("pycocotools.coco", "A mask of COCO").COCO()
    coco.imgs = {0: {"width": width, "height": height}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own, of numpy 2
            return np.asarray(coco.annToMask({"image_id": 0, "segmentation": segmentation}), bool)
    except Exception as error:  # the compiled code raises several unrelated types
        raise BadItem(f"{where} has a segmentation that pycocotools cannot decode: {error}.") from error


def _problem(segmentation: Any, width: int, height: int) -> str | None:
    if isinstance(segmentation, dict):
        return _run_problem(segmentation, width, height)
    if not isinstance(segmentation, list) or not segmentation:
        return "that is neither a list of polygons nor run lengths"
    if not all(is_polygon(polygon) for polygon in segmentation):
        return "with a polygon that is no list of three or more corners in pixels, x and y in turn"
    return None


def is_polygon(polygon: Any) -> bool:
    """Tell whether this is a list x, y, x, y, ... of three or more corners at places a photo can have."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(type(v) in (int, float) and abs(v) < _FAR for v in polygon)  # NaN is not below it either


def _run_problem(runs: Record, width: int, height: int) -> str | None:
    if runs.get("size") != [height, width]:
        return f"for {runs.get('size')} (height, width) where its photo has [{height}, {width}]"
    counts = runs.get("counts")
    if isinstance(counts, str):
        counts = run_lengths(counts)
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        return "with run lengths that are damaged"
    if sum(counts) != width * height:
        return f"whose run lengths cover {sum(counts)} of {width * height} pixels"
    return None


def run_lengths(text: str) -> list[int] | None:
    """Return the lengths in COCO's compressed text; None where it is damaged.

    Each number is written in groups of five bits, the lowest first, in characters from "0" on; the sixth bit says
    that more follow, the fifth of the last group is the sign. From the fourth number on it is what was added to the
    number two places before.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            return None
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths if shift == 0 else None


@dataclass(frozen=True)
class PanopticMasks:
    """Segments of a PNG: the pixel (R, G, B) belongs to the segment R + 256 G + 256² B; 0 is unlabelled.

    Attributes
    ----------
    segments : tuple of (int, str, bool)
        Number, category's name, and whether it is a crowd.
    """

    path: Path
    segments: tuple[tuple[int, str, bool], ...]
    photo: PhotoFile
    mapping: ClassMap

    @cached_property
    def _numbers(self) -> Array:
        """int64 [H, W] of the upright photo."""
        colours = read_indices(self.path, self.photo.size, colours=True)
        if colours.ndim != 3 or colours.shape[2] != 3:
            raise BadItem(f"The panoptic mask {self.path} has no three colours.")
        numbers = colours.astype(np.int64) @ np.array([1, 256, 65536])
        missing = {n for n, _, _ in self.segments} - set(np.unique(numbers).tolist())
        if missing:
            raise BadItem(f"The panoptic mask {self.path} lacks the segment {min(missing)}, which the JSON file lists.")
        return self.photo.mask(numbers)

    def read(self, class_index: int, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        return self._of([n for n, name, crowd in self.segments if not crowd and class_index in self.mapping[name]])

    def ignored(self, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``: crowds, and what nobody labelled."""
        return self._of([0, *(n for n, _, crowd in self.segments if crowd)])

    def crowd(self, class_index: int) -> Array:
        """Return bool [H, W]: the crowds of a class alone."""
        return self._of([n for n, name, crowd in self.segments if crowd and class_index in self.mapping[name]])

    def _of(self, numbers: list[int]) -> Array:
        return np.isin(self._numbers, numbers)
