"""Write small slices of the digit scenes as real datasets come: ``python models/write_datasets.py --out tests/data``.

``digits_voc`` has PASCAL VOC's devkit layout, ``digits_coco`` has MS COCO's, instances and panoptic. Both hold the
first 40 test scenes with two or more digits. What the scenes lack, so that every part of the formats occurs:

* VOC's ``difficult`` flag is set for digits of fewer than 130 pixels, and a border of one pixel round every digit is
  255 (ignored), as VOC draws it.
* COCO's ``iscrowd`` is set for the second digit of a kind in a scene; digits without a hole are polygons along their
  pixels' edges, the others run lengths.
* The panoptic masks have one category of stuff, ``ground``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scenes import SIZE, WORDS, Digit, Scene, make_scene

Mask = NDArray[np.bool_]
COUNT = 40
SPLIT = "test"
SMALL = 130  # pixels of a digit that is flagged as difficult
QUALITY = 92
VOC_CLASSES = sorted(WORDS)  # VOC numbers its classes in the alphabet's order
CATEGORY_IDS = [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]  # as in COCO's own, an id is not a place in a list
GROUND = 200
SEGMENT_STEP = 70001  # numbers of segments use all three bytes of a colour


def main() -> None:
    """Write both datasets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests" / "data")
    parser.add_argument("--count", type=int, default=COUNT, help="scenes")
    options = parser.parse_args()
    chosen = list(islice(crowded(), options.count))
    write_voc(chosen, options.out / "digits_voc" / "VOCdevkit" / "VOC2007")
    write_coco(chosen, options.out / "digits_coco")


def crowded() -> Iterator[tuple[int, Scene]]:
    """Yield test scenes with two or more digits, with their numbers."""
    seed = 0
    while True:
        scene = make_scene(seed)
        if len(scene.digits) >= 2:
            yield seed, scene
        seed += 1


def put(path: Path, data: bytes) -> None:
    """Write a file, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def put_text(path: Path, lines: list[str]) -> None:
    """Write lines of text."""
    put(path, "".join(f"{line}\n" for line in lines).encode())


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(scene: Scene) -> bytes:
    """Return the scene as JPEG, colours not subsampled: the digits' strokes are two pixels wide."""
    return encoded(Image.fromarray(scene.image), "JPEG", quality=QUALITY, subsampling=0)


# ---- PASCAL VOC ----


def write_voc(chosen: list[tuple[int, Scene]], root: Path) -> None:
    """Write JPEGImages, Annotations, SegmentationClass and ImageSets."""
    names = [f"{seed:06d}" for seed, _ in chosen]
    for name, (_, scene) in zip(names, chosen, strict=True):
        put(root / "JPEGImages" / f"{name}.jpg", photo(scene))
        put_text(root / "Annotations" / f"{name}.xml", voc_xml(name, scene))
        put(root / "SegmentationClass" / f"{name}.png", voc_mask(scene))
    put_text(root / "ImageSets" / "Main" / f"{SPLIT}.txt", names)
    put_text(root / "ImageSets" / "Segmentation" / f"{SPLIT}.txt", names)
    for word in VOC_CLASSES:
        marks = [f"{name} {voc_mark(scene, word):2d}" for name, (_, scene) in zip(names, chosen, strict=True)]
        put_text(root / "ImageSets" / "Main" / f"{word}_{SPLIT}.txt", marks)


def is_small(digit: Digit) -> bool:
    """Tell whether a digit is flagged as difficult."""
    return int(digit.mask.sum()) < SMALL


def voc_mark(scene: Scene, word: str) -> int:
    """Return 1 where a class is there, 0 where only difficult ones are, -1 where none is."""
    found = [d for d in scene.digits if WORDS[d.class_index] == word]
    return -1 if not found else int(not all(map(is_small, found)))


def voc_xml(name: str, scene: Scene) -> list[str]:
    """Return an annotation; VOC counts pixels from 1."""
    lines = [
        "<annotation>",
        "\t<folder>VOC2007</folder>",
        f"\t<filename>{name}.jpg</filename>",
        f"\t<size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>",
        "\t<segmented>1</segmented>",
    ]
    for digit in scene.digits:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), digit.box, strict=True)
        lines += [
            "\t<object>",
            f"\t\t<name>{WORDS[digit.class_index]}</name>",
            f"\t\t<difficult>{int(is_small(digit))}</difficult>",
            f"\t\t<bndbox>{''.join(f'<{corner}>{v + 1}</{corner}>' for corner, v in corners)}</bndbox>",
            "\t</object>",
        ]
    return [*lines, "</annotation>"]


def voc_mask(scene: Scene) -> bytes:
    """Return a palette picture: 0 ground, 1 to 10 digits, 255 a border of one pixel."""
    values = np.zeros((SIZE, SIZE), np.uint8)
    for digit in scene.digits:
        values[grown(digit.mask)] = 255
    for digit in scene.digits:
        values[digit.mask] = VOC_CLASSES.index(WORDS[digit.class_index]) + 1
    picture = Image.fromarray(values, "L")
    picture.putpalette(voc_palette())
    return encoded(picture, "PNG", optimize=True)


def grown(mask: Mask) -> Mask:
    """Return a mask with the eight neighbours of its pixels."""
    padded = np.pad(mask, 1)
    return np.logical_or.reduce([padded[y : y + SIZE, x : x + SIZE] for y in range(3) for x in range(3)])


def voc_palette() -> list[int]:
    """Return VOC's 256 colours: bits 0, 3, 6 of a number are red's from the top, 1, 4, 7 green's, 2, 5 blue's."""
    return [
        sum(((number >> (3 * place + channel)) & 1) << (7 - place) for place in range(8))
        for number in range(256)
        for channel in range(3)
    ]


# ---- MS COCO ----


def write_coco(chosen: list[tuple[int, Scene]], root: Path) -> None:
    """Write the photos, annotations/instances_test.json, and panoptic_test.json with its masks."""
    images, instances, panoptic = [], [], []
    for seed, scene in chosen:
        name = f"{seed:012d}"
        put(root / SPLIT / f"{name}.jpg", photo(scene))
        images.append({"id": seed, "file_name": f"{name}.jpg", "width": SIZE, "height": SIZE})
        objects = coco_objects(scene)
        instances += [{"id": len(instances) + n, "image_id": seed, **one} for n, one in enumerate(objects, 1)]
        segments, colours = coco_segments(scene, objects)
        put(root / "annotations" / f"panoptic_{SPLIT}" / f"{name}.png", colours)
        panoptic.append({"image_id": seed, "file_name": f"{name}.png", "segments_info": segments})
    kinds = [{"id": i, "name": w, "supercategory": "digit"} for i, w in zip(CATEGORY_IDS, WORDS, strict=True)]
    put_json(root / "annotations" / f"instances_{SPLIT}.json", images, instances, kinds)
    things = [{**kind, "isthing": 1} for kind in kinds]
    ground = {"id": GROUND, "name": "ground", "supercategory": "stuff", "isthing": 0}
    put_json(root / "annotations" / f"panoptic_{SPLIT}.json", images, panoptic, [*things, ground])


def put_json(path: Path, images: list[Any], annotations: list[Any], categories: list[Any]) -> None:
    """Write a file of COCO's kind, one record per line."""
    info = {"description": "digit scenes, see models/README.md", "version": "1.0"}
    lists = {"images": images, "annotations": annotations, "categories": categories}
    parts = [f'"{key}": [\n' + ",\n".join(map(json.dumps, records)) + "\n]" for key, records in lists.items()]
    put_text(path, ["{" + f'"info": {json.dumps(info)},', ",\n".join(parts) + "}"])


def coco_objects(scene: Scene) -> list[dict[str, Any]]:
    """Return the digits as instances: [x, y, width, height], and the mask as polygons or run lengths."""
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    for digit in scene.digits:
        left, top, right, bottom = digit.box
        crowd = digit.class_index in seen
        seen.add(digit.class_index)
        loops = outlines(digit.mask)
        simple = not crowd and all(area(loop) > 0 for loop in loops)
        found.append(
            {
                "category_id": CATEGORY_IDS[digit.class_index],
                "bbox": [left, top, right - left + 1, bottom - top + 1],
                "area": int(digit.mask.sum()),
                "iscrowd": int(crowd),
                "segmentation": [[v for p in loop for v in p] for loop in loops] if simple else run_lengths(digit.mask),
            }
        )
    return found


def run_lengths(mask: Mask) -> dict[str, Any]:
    """Return the lengths of runs of 0 and 1, column by column, beginning with 0."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [not mask[-1, -1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": [int(n) for n in np.diff(ends, prepend=0)]}


def outlines(mask: Mask) -> list[list[tuple[int, int]]]:
    """Return the closed lines along pixels' edges, the mask on their right hand; holes run the other way round."""
    ways = edges(mask)
    loops = []
    while ways:
        loop = [min(ways)]
        while not (len(loop) > 1 and loop[-1] == loop[0]):
            here = loop[-1]
            loop.append(ways[here].pop(0))
            if not ways[here]:
                del ways[here]
        loops.append(corners(loop[:-1]))
    return loops


def edges(mask: Mask) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return by start the ends of all edges between a pixel of the mask and one outside, clockwise round the mask."""
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    padded = np.pad(mask, 1)
    for y, x in zip(*(places.tolist() for places in np.nonzero(mask)), strict=True):
        round_it = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
        beyond = [padded[y, x + 1], padded[y + 1, x + 2], padded[y + 2, x + 1], padded[y + 1, x]]
        for start, end, inside in zip(round_it, [*round_it[1:], round_it[0]], beyond, strict=True):
            if not inside:
                ways.setdefault(start, []).append(end)
    return ways


def corners(loop: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a closed line without the points in its straight parts."""
    around = zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True)
    return [b for a, b, c in around if (b[0] - a[0], b[1] - a[1]) != (c[0] - b[0], c[1] - b[1])]


def area(loop: list[tuple[int, int]]) -> float:
    """Return the area inside a closed line, negative where it runs round a hole."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(loop, [*loop[1:], loop[0]], strict=True)) / 2


def coco_segments(scene: Scene, objects: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """Return the segments and their mask: colour (R, G, B) is segment R + 256 G + 256² B."""
    numbers = np.full((SIZE, SIZE), SEGMENT_STEP, np.int64)
    segments = []
    for place, (digit, one) in enumerate(zip(scene.digits, objects, strict=True), 2):
        numbers[digit.mask] = place * SEGMENT_STEP
        facts = {key: one[key] for key in ("category_id", "bbox", "area", "iscrowd")}
        segments.append({"id": place * SEGMENT_STEP, **facts})
    ground = {"category_id": GROUND, "bbox": [0, 0, SIZE, SIZE], "iscrowd": 0}
    segments.append({"id": SEGMENT_STEP, **ground, "area": int((numbers == SEGMENT_STEP).sum())})
    colours = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], axis=-1).astype(np.uint8)
    return segments, encoded(Image.fromarray(colours), "PNG", optimize=True)


if __name__ == "__main__":
    main()
