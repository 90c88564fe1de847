"""What the tests of `check` share: SPEC files of the digits model, and the model with planted defects."""

import csv
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from rsp_onnx.evaluate.metrics.randomise import randomised, weight_layers

SCENES = ("scene_0.png", "scene_2.png", "scene_4.png")


def boxes_of(repo: Path) -> dict[str, tuple[str, list[list[int]]]]:
    """Return per scene the label of its first object and the boxes of that class."""
    first_objects: dict[str, tuple[str, list[list[int]]]] = {}
    with (repo / "models/scenes/boxes.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label, boxes = first_objects.setdefault(row["image"], (row["wnid"], []))
            if label == row["wnid"]:
                boxes.append([int(row[k]) for k in ("xmin", "ymin", "xmax", "ymax")])
    return first_objects


def write_spec(repo: Path, folder: Path, more: str = "", model: str | None = None, scenes=SCENES) -> Path:
    """Write a SPEC of the digits model into a folder; ``more`` stands before the images."""
    known = boxes_of(repo)
    lines = [f'model = "{model or (repo / "models/digits_pytorch.onnx").as_posix()}"', more]
    for name in scenes:
        label, boxes = known[name]
        path = (repo / "models/scenes" / name).as_posix()
        lines += ["", "[[image]]", f'path = "{path}"', f'target = "{label}"', f"boxes = {boxes}"]
    spec = folder / "digits.rsp.toml"
    spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return spec


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model and return its path."""
    onnx.save(model, path)
    return path


def with_random_layer(source: Path, at: int) -> onnx.ModelProto:
    """Return a model with the weights of one layer drawn anew."""
    model = onnx.load(source)
    return randomised(model, [weight_layers(model)[at]], 1)


def without_class(source: Path, index: int) -> onnx.ModelProto:
    """Return a model whose last layer says nothing about one class."""
    model = onnx.load(source)
    name = weight_layers(model)[-1].weight
    tensor = next(t for t in model.graph.initializer if t.name == name)
    weights = np.array(numpy_helper.to_array(tensor))
    axis = weights.shape.index(10)
    weights[(slice(None),) * axis + (index,)] = 0
    tensor.CopyFrom(numpy_helper.from_array(weights, name))
    return model
