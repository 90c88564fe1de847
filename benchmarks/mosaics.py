"""Mosaics for the grid pointing game (Böhle et al. 2021): four photos of four classes, each recognised by itself.

Every photo is stretched to the model's input size and classified alone; those that the model gives to their own class
with a probability above 0.9 are drawn, seeded, into 2×2 mosaics of twice the size. Written are the mosaics as PNG and
``boxes.csv``, whose boxes are the cells:

    python benchmarks/mosaics.py MODEL.onnx PHOTOS --format csv --out MOSAICS --count 100
    rsp-onnx evaluate MODEL.onnx MOSAICS --format csv --metric grid-pointing --method rsp:hostile=annotated ... -o RUN

A model with a fixed input size sees the mosaic at half its size. ``--free-model FREE.onnx`` also writes a copy of a
fully convolutional model that takes the mosaic as it is; evaluate that one with ``--size``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

from rsp_onnx import Explainer, RspError
from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.datasets.annotated import BadItem, Dataset
from rsp_onnx.evaluate.datasets.formats import FORMATS, open_dataset
from rsp_onnx.files import make_folder, save_bytes, save_png
from rsp_onnx.inputs.classes import probabilities
from rsp_onnx.inputs.photos import read_photo

HEADER = "image,width,height,class_index,wnid,xmin,ymin,xmax,ymax"
SURE = 0.9
SIDE = 2  # cells along a side


class Photo(NamedTuple):
    """A photo that the model recognises by itself, stretched to the model's input size."""

    key: str
    class_index: int
    probability: float
    image: Image.Image


def recognised(explainer: Explainer, dataset: Dataset, size: tuple[int, int], sure: float) -> Iterator[Photo]:
    """Yield the photos of one class that the model is sure of; size is (width, height) of a cell."""
    for index in range(len(dataset)):
        try:
            item = dataset[index]
            photo = read_photo(item.image).resize(size, Image.Resampling.BILINEAR) if len(item.targets) == 1 else None
        except (BadItem, BadInput) as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if photo is None:
            continue
        feeds = explainer.prepare(photo)
        chances = probabilities(explainer.score_batch([feeds])[0], explainer.score_kind(feeds))
        target = item.targets[0]
        if int(np.argmax(chances)) == target and chances[target] > sure:
            yield Photo(item.key, target, float(chances[target]), photo)


def groups(photos: Sequence[Photo], seed: int) -> Iterator[list[Photo]]:
    """Yield groups of four photos of four classes, for ever: the classes are drawn, then a photo of each.

    Raises
    ------
    BadInput
        There are fewer than four classes.
    """
    by_class: dict[int, list[Photo]] = {}
    for photo in photos:
        by_class.setdefault(photo.class_index, []).append(photo)
    classes = sorted(by_class)
    if len(classes) < SIDE**2:
        raise BadInput(
            f"The model is sure of {len(photos)} photos of {len(classes)} classes; a mosaic needs {SIDE**2} classes: "
            "give more photos, or a lower --sure."
        )
    rng = np.random.default_rng(seed)
    while True:
        chosen = rng.choice(classes, SIDE**2, replace=False)
        yield [by_class[c][int(rng.integers(len(by_class[c])))] for c in chosen.tolist()]


def mosaic(group: Sequence[Photo]) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """Return the picture, and each photo's cell (xmin, ymin, xmax, ymax), both corners inside."""
    width, height = group[0].image.size
    picture = Image.new("RGB", (SIDE * width, SIDE * height))
    cells = []
    for place, photo in enumerate(group):
        left, top = place % SIDE * width, place // SIDE * height
        picture.paste(photo.image, (left, top))
        cells.append((left, top, left + width - 1, top + height - 1))
    return picture, cells


def write(chosen: Sequence[Sequence[Photo]], out: Path, names: Sequence[str] | None) -> None:
    """Write the mosaics and boxes.csv; its column wnid holds the class's label without commas, for people."""
    lines = [HEADER]
    for number, group in enumerate(chosen):
        picture, cells = mosaic(group)
        file = f"mosaic_{number:04d}.png"
        save_png(out / file, picture)
        for photo, cell in zip(group, cells, strict=True):
            label = names[photo.class_index].split(",")[0] if names else ""
            lines.append(",".join(map(str, (file, *picture.size, photo.class_index, label, *cell))))
    save_bytes(out / "boxes.csv", ("\n".join(lines) + "\n").encode())


def cell_size(explainer: Explainer) -> tuple[int, int]:
    """Return (width, height) of the model's input; BadInput where the graph leaves it open and nothing says it."""
    (signature,) = explainer.signatures
    wanted = explainer.preprocess.size or (None, None)
    height, width = signature.height or wanted[0], signature.width or wanted[1]
    if height is None or width is None:
        raise BadInput("The model takes photos of any size: say with --size HEIGHT WIDTH what a cell should have.")
    return width, height


def free(model: Path, out: Path, size: tuple[int, int]) -> None:
    """Write a copy whose input may have any size; BadInput where it does not run at the mosaic's (width, height)."""
    proto = onnx.load(model)
    held = {tensor.name for tensor in proto.graph.initializer}
    (value,) = [v for v in proto.graph.input if v.name not in held]
    places = _pixel_axes([d.dim_value for d in value.type.tensor_type.shape.dim])
    for place, name in zip(places, ("height", "width"), strict=True):
        value.type.tensor_type.shape.dim[place].dim_param = name
    del proto.graph.value_info[:]
    dims = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    dims[places[0]], dims[places[1]] = size[1], size[0]
    try:
        session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        session.run(None, {value.name: np.zeros(dims, dtype)})
    except Exception as error:  # ONNX Runtime raises several unrelated types
        raise BadInput(f"{model} is not fully convolutional: it does not run on {size[0]}×{size[1]} pixels.") from error
    save_bytes(out, proto.SerializeToString())


def _pixel_axes(dims: Sequence[int]) -> tuple[int, int]:
    return (1, 2) if dims[-1] in (1, 3, 4) and dims[1] not in (1, 3, 4) else (2, 3)


def build(arguments: argparse.Namespace) -> int:
    """Choose and write; return how many photos were sure."""
    size = None if arguments.size is None else list(arguments.size)
    explainer = Explainer(
        arguments.model, labels=arguments.labels, preprocess=arguments.preprocess, device=arguments.device, size=size,
        resize="stretch",
    )  # fmt: skip
    shape = explainer.model.ir.graph.outputs[0].shape
    last = shape[-1] if shape is not None and len(shape) > 1 else None
    dataset = open_dataset(
        arguments.format, arguments.photos, split=arguments.split, mapping=arguments.mapping, names=explainer.labels,
        classes=last if isinstance(last, int) else None,
    )  # fmt: skip
    width, height = cell_size(explainer)
    photos = list(recognised(explainer, dataset, (width, height), arguments.sure))
    chosen = list(islice(groups(photos, arguments.seed), arguments.count))
    write(chosen, make_folder(arguments.out), explainer.labels)
    if arguments.free_model is not None:
        free(arguments.model, arguments.free_model, (SIDE * width, SIDE * height))
    return len(photos)


def main(words: Sequence[str] | None = None) -> int:
    """Write the mosaics; 2 where something is wrong, in one sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, help="a labelled dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder for the mosaics")
    parser.add_argument("--format", choices=FORMATS, default="csv")
    parser.add_argument("--split")
    parser.add_argument("--mapping", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--preprocess")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", type=int, default=100, help="mosaics")
    parser.add_argument("--sure", type=float, default=SURE, help="probability that a photo alone must have")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--free-model", type=Path, help="write a copy of the model that takes photos of any size")
    arguments = parser.parse_args(words)
    try:
        sure = build(arguments)
    except RspError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.count} mosaics of {sure} photos in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
