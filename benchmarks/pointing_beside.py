"""Our pointing game beside TorchRay's and Quantus' own code, on the same maps and the same truth, item by item.

Neither is a dependency and nothing of them is part of this project (TorchRay is CC BY-NC, Quantus LGPL): fetch them,
then run

    git clone https://github.com/facebookresearch/TorchRay TORCHRAY
    pip install quantus
    python benchmarks/pointing_beside.py MODEL.onnx DATA --format voc --torchray TORCHRAY --method rsp --method gradient

TorchRay judges by its own benchmark class: from VOC's annotation (boxes counted from 1, targets whose objects are all
difficult left out) or from COCO's file through its own masks; for other formats by its PointingGame and our boxes. Of
torchvision it needs only the names of three classes, which are put in its place. Quantus knows no tolerance and no
photo, only whether the map's maximum lies in the mask; it is compared with a tolerance of 0.

Where they differ from us on purpose, see ``known_flaws``.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
import types
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx import Explainer, RspError
from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.evaluate.datasets.annotated import BadItem, Dataset
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.metrics.catalogue import find_metric
from rsp_onnx.evaluate.metrics.protocol import Case, Truth

Hit = bool | None
COUNTED: dict[int, Hit] = {1: True, -1: False, 0: None}  # TorchRay's answers


def load_torchray(folder: Path) -> Any:
    """Import TorchRay's pointing game from a checkout, with stand-ins for the classes of torchvision it mentions."""
    names = ("VOCDetection", "CocoDetection", "ImageFolder", "VisionDataset")
    vision, sets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    for name in names:
        setattr(sets, name, type(name, (), {}))
    parts: dict[str, Any] = {
        "datasets": sets,
        "models": types.ModuleType("models"),
        "transforms": types.ModuleType("t"),
    }
    for name, module in parts.items():
        setattr(vision, name, module)
        sys.modules[f"torchvision.{name}"] = module
    sys.modules["torchvision"] = vision
    sys.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("torchray.benchmark.pointing_game")


class TorchRay:
    """TorchRay's judgement of a point."""

    def __init__(self, folder: Path, dataset: Dataset, tolerance: int) -> None:
        self.module, self.tolerance, self.dataset = load_torchray(folder), tolerance, dataset
        sets = sys.modules["torchvision.datasets"]
        self.names: list[str] = self.module.ads.VOC_CLASSES
        self.voc = self.module.PointingGameBenchmark(sets.VOCDetection(), tolerance)
        self.coco, self.photos = None, {}
        if dataset.format == "coco":
            source = sets.CocoDetection()
            with redirect_stdout(io.StringIO()):
                source.coco = importlib.import_module("pycocotools.coco").COCO(str(dataset.root))
            self.coco = self.module.PointingGameBenchmark(source, tolerance)
            self.photos = {record["file_name"]: record["id"] for record in source.coco.dataset["images"]}

    def judge(self, case: Case, x: int, y: int) -> Hit:
        """Return hit, miss, or None where the target is left out."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.coco is not None:
                return self._coco(case, x, y)
            return COUNTED[self.voc.evaluate(self._label(case), 0, (x, y))]

    def _label(self, case: Case) -> dict[str, Any]:
        """Return the item as torchvision reads a VOC annotation; the target is class 0, all others are class 1."""
        width, height = case.truth.size
        objects = [
            {
                "name": self.names[int(t.class_index != case.target)],
                "difficult": str(int(t.difficult)),
                "bndbox": {k: str(round(v) + 1) for k, v in zip(("xmin", "ymin", "xmax", "ymax"), t.box, strict=True)},
            }
            for t in case.item.things
            if t.box is not None
        ]
        size = {"width": str(width), "height": str(height)}
        return {"annotation": {"filename": f"{case.item.key}.jpg", "size": size, "object": objects}}

    def _coco(self, case: Case, x: int, y: int) -> Hit:
        source = self.coco.dataset.coco
        label = source.loadAnns(source.getAnnIds([self.photos[case.item.key]]))
        (name,) = self.dataset.mapping.sources(case.target)  # type: ignore[attr-defined]
        (category,) = source.getCatIds([name])
        return COUNTED[self.coco.evaluate(label, self.module.ads._COCO_CLASS_TO_INDEX[category], (x, y))]


class Quantus:
    """Quantus' judgement of a map."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module("quantus.metrics.localisation.pointing_game")
            self.game = module.PointingGame(abs=False, normalise=False, disable_warnings=True)

    def judge(self, heatmap: np.ndarray, region: np.ndarray) -> bool:
        """Tell whether it counts a hit; maps and regions [H, W]."""
        return bool(self.game.evaluate_batch(a_batch=heatmap[None], s_batch=region[None])[0])


def cases(model: Path, dataset: Dataset, specs: Sequence[str], **options: Any) -> Iterator[tuple[str, Case]]:
    """Yield every method's map of every target of every readable item."""
    explainers = {spec: Explainer(model, method=spec, **options) for spec in specs}
    for index in range(len(dataset)):
        try:
            item = dataset[index]
            feeds = explainers[specs[0]].prepare(item.image)
        except (BadItem, RspError) as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for spec, explainer in explainers.items() if item.targets else ():
            signed, size = find_method(spec).signed, feeds.photo.size
            found = explainer.explain_each([feeds], [list(item.targets)], [[[]] * len(item.targets)])[0]
            for target, one in zip(item.targets, found, strict=True):
                yield spec, Case(item, target, Truth(item, target, size), one, signed, explainer, feeds, 0.0)


def compare(found: Iterator[tuple[str, Case]], torchray: TorchRay, quantus: Quantus | None) -> Counter[tuple[Any, ...]]:
    """Count (whose, method, agree, our hit, their hit with the reason where it is known)."""
    ours, exact = (
        find_metric(f"pointing:tolerance={torchray.tolerance}"),
        find_metric("pointing:tolerance=0,sigma=0,truth=box"),
    )
    counts: Counter[tuple[Any, ...]] = Counter()
    for spec, case in found:
        row = ours.measure(case)  # type: ignore[union-attr]
        x, y = (row["x"], row["y"]) if row["x"] is not None else (0, 0)
        theirs = torchray.judge(case, x, y)
        counts["TorchRay", spec, row["hit"] == theirs, row["hit"], theirs] += 1
        hit = exact.measure(case)["hit"]  # type: ignore[union-attr]
        if quantus is not None and hit is not None:
            judged = quantus.judge(case.on_photo, case.truth.boxes)
            tied = int((case.on_photo == case.on_photo.max()).sum()) > 1  # then any of the maxima may hit there
            counts[
                "Quantus", spec, hit == judged, hit, f"{judged}, equal maxima" if tied and hit != judged else judged
            ] += 1
    return counts


def known_flaws(torchray: TorchRay, quantus: Quantus | None) -> list[str]:
    """Return in sentences what the others do with cases that we treat otherwise."""
    game = torchray.module.PointingGame(20)
    game.aggregate(1, 3)
    lines = [
        f"TorchRay: one class of 20 seen, all its points hit: mean accuracy {float(game.accuracy):.2f} (ours 1.00)."
    ]
    if quantus is not None:
        hit = quantus.judge(np.eye(4), np.zeros((4, 4), bool))
        lines.append(
            f"Quantus: a mask without pixels: {'hit' if hit else 'miss'}, NaN in a bool array (ours not counted)."
        )
        hit = quantus.judge(np.zeros((4, 4)), np.eye(4, dtype=bool))
        lines.append(
            f"Quantus: a map that is 0 everywhere: {'hit' if hit else 'miss'}, any of equal maxima counts (ours first)."
        )
    return lines


def table(counts: Counter[tuple[Any, ...]]) -> list[str]:
    """Return the lines of the comparison."""
    lines = ["| beside | method | targets | agree | both hit | both miss | both left out | differ (ours, theirs) |",
             "|---|---|--:|--:|--:|--:|--:|---|"]  # fmt: skip
    for whose, spec in dict.fromkeys((key[0], key[1]) for key in counts):
        here = {key[2:]: n for key, n in counts.items() if key[:2] == (whose, spec)}
        same = [sum(n for (agree, hit, _), n in here.items() if agree and hit is kind) for kind in (True, False, None)]
        other = [f"{n} × ({hit}, {theirs})" for (agree, hit, theirs), n in here.items() if not agree]
        cells = (whose, spec, sum(here.values()), sum(same), *same, ", ".join(other) or "none")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def main(words: Sequence[str] | None = None) -> int:
    """Print the comparison; 1 where a judgement differs for no known reason, 2 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--format", default="voc")
    parser.add_argument("--torchray", type=Path, required=True, help="a checkout of TorchRay")
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--tolerance", type=int, default=15)
    parser.add_argument("--labels")
    parser.add_argument("--preprocess")
    arguments = parser.parse_args(words)
    try:
        options = {"labels": arguments.labels, "preprocess": arguments.preprocess, "device": "cpu"}
        names = Explainer(arguments.model, **options).labels
        dataset = open_dataset(arguments.format, arguments.data, names=names)
        torchray = TorchRay(arguments.torchray, dataset, arguments.tolerance)
        quantus = Quantus() if importlib.util.find_spec("quantus") else None
        specs = arguments.method or ["rsp", "gradient", "grad-cam"]
        counts = compare(cases(arguments.model, dataset, specs, **options), torchray, quantus)
    except RspError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print("\n".join([*table(counts), "", *known_flaws(torchray, quantus)]))
    return int(any(not key[2] and isinstance(key[4], (bool, type(None))) for key in counts))


if __name__ == "__main__":
    sys.exit(main())
