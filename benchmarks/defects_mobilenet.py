"""The planted defects on a real network: ``python benchmarks/defects_mobilenet.py --out WORK``.

As ``defects.py``, on MobileNetV2 (1001 classes, NHWC) with photographs of ImageNet's validation set, where
../shared/data is there. The harmless variant is the deployed int8 model; labels off by one and the watermark are left
out, for this model has neither labels in its file nor a mark.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from defect_models import DEFECTS, swapped_channels_inside, zeroed_class
from defects import REPO, table

from rsp_onnx import Explainer
from rsp_onnx.checks import check, record

DATA = REPO.parent / "shared" / "data"
GOOD = DATA / "models" / "mobilenet_v2_nhwc_fp32.onnx"
INT8 = DATA / "models" / "mobilenet_v2_nhwc_int8_qdq.onnx"
LABELS = DATA / "labels" / "imagenet_1001_tf.txt"
PHOTOS = DATA / "images" / "ilsvrc_val"
Box = tuple[str, int, list[int]]  # photo, class of 1001, corners


def main() -> None:
    """Build, record, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models, the spec and the table")
    parser.add_argument("--images", type=int, default=6, help="golden photographs")
    parser.add_argument("--photos", type=int, default=50, help="photographs top-1 accuracy is measured on")
    options = parser.parse_args()
    boxes = read_boxes()
    golden = [one for one in boxes if right_of(Explainer(GOOD, device="cpu"), [one]) == 1][: options.images]
    spec = write_spec(options.out, golden)
    if not (options.out / "mobilenet.goldens.npz").exists():
        record(spec, costs=False)
    rows, before = [], None
    for name, path in build(options.out / "models", golden[0][1]).items():
        report = check(spec, model=path)
        right = right_of(Explainer(path, device="cpu"), boxes[: options.photos])
        before = right if before is None else before
        rows.append({
            "variant": name, "harmless": path in (GOOD, INT8), "accuracy": right, "drop": before - right,
            "failed": {r.name: r.message for r in report.failed}, "seconds": report.seconds,
            "figures": {r.name: [r.value, r.limit] for r in report.results},
        })  # fmt: skip
        print(f"{name}: {', '.join(r.name for r in report.failed) or 'passes'}", file=sys.stderr, flush=True)
        (options.out / "defects.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        (options.out / "defects.md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))
    sys.exit(1 if any(row["harmless"] == bool(row["failed"]) for row in rows) else 0)


def read_boxes() -> list[Box]:
    """Return the photos with one box each."""
    with (PHOTOS / "boxes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    count = {row["image"]: sum(other["image"] == row["image"] for other in rows) for row in rows}
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [
        (row["image"], int(row["class_index"]) + 1, [int(float(row[c])) for c in corners])
        for row in rows
        if count[row["image"]] == 1
    ]


def right_of(explainer: Explainer, boxes: list[Box]) -> float:
    """Return the top-1 accuracy."""
    answers = [int(np.argmax(explainer.score_batch([explainer.prepare(PHOTOS / photo)]))) for photo, _, _ in boxes]
    return float(np.mean([a == target for a, (_, target, _) in zip(answers, boxes, strict=True)]))


def write_spec(out: Path, golden: list[Box]) -> Path:
    """Write the SPEC; photos stay where they are."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"model = {json.dumps(str(GOOD))}", f"labels = {json.dumps(str(LABELS))}"]
    lines.append('goldens = "mobilenet.goldens.npz"')
    for photo, target, box in golden:
        lines += ["", "[[image]]", f"path = {json.dumps(str(PHOTOS / photo))}", f"target = {target}", f"box = {box}"]
    spec = out / "mobilenet.toml"
    spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return spec


def build(folder: Path, zeroed: int) -> dict[str, Path]:
    """Write the variants and return their files by name, the good model first."""
    folder.mkdir(parents=True, exist_ok=True)
    model: Any = onnx.load(GOOD)
    found = {"the good model": GOOD, "int8": INT8}
    own = {"swapped channels": swapped_channels_inside, "a class's weights zeroed": partial(zeroed_class, index=zeroed)}
    for name, make in (DEFECTS | own).items():
        if name != "labels off by one":
            found[name] = folder / f"{name.replace(' ', '_')}.onnx"
            onnx.save(make(model), found[name])
    return found


if __name__ == "__main__":
    main()
