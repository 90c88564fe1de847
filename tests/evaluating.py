"""What tests of the runner share: a little dataset and little metrics of their own, and how a run is compared."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rsp_onnx.evaluate.datasets.annotated import BadItem, Item, Thing
from rsp_onnx.evaluate.metrics.protocol import Figure


@dataclass(frozen=True)
class LittleDataset:
    """boxes.csv beside its images; a row's class "unknown" is one the model does not know."""

    root: Path
    names: tuple | None = None
    format: str = "csv"

    @cached_property
    def _rows(self):
        found = {}
        with open(self.root / "boxes.csv", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["image"], []).append(row)
        return found

    @cached_property
    def _keys(self):
        return list(self._rows)

    def __len__(self):
        return len(self._keys)

    def key(self, index):
        return self._keys[index]

    def __getitem__(self, index):
        key = self._keys[index]
        rows = self._rows[key]
        if any(row["xmin"] == "" for row in rows):
            raise BadItem(f"{key} has a box without corners.")
        known = [row for row in rows if row["class_index"] != "unknown"]
        things = tuple(
            Thing(int(r["class_index"]), tuple(float(r[c]) for c in ("xmin", "ymin", "xmax", "ymax"))) for r in known
        )
        return Item(key, self.root / key, things, ("unicorn",) if len(known) < len(rows) else ())


def figure(name, values, subset="all", direction="higher"):
    values = np.array([v for v in values if v is not None], float)
    if not len(values):
        return []
    spread = 1.96 * values.std() / np.sqrt(len(values))
    return [Figure(name, subset, values.mean(), values.mean() - spread, values.mean() + spread, len(values), direction)]


class Hit:
    """Whether the highest point lies in a box."""

    name, direction, bounds = "hit", "higher", (0.0, 1.0)
    protocol, source = "The highest point lies in a box of the class.", "nobody, 2024"

    def __init__(self):
        self.columns = {"hit": "bool", "peak": "list<int64>"}

    def also(self, scores):
        return ()

    def measure(self, case):
        boxes = case.truth.boxes
        if boxes is None:
            return {"hit": None, "peak": None}
        peak = np.unravel_index(case.on_photo.argmax(), boxes.shape)
        return {"hit": bool(boxes[peak]), "peak": [int(p) for p in peak]}

    def figures(self, rows):
        found = figure(self.name, rows["hit"])
        for label in dict.fromkeys(rows["label"]):
            hits = [h for h, one in zip(rows["hit"], rows["label"], strict=True) if one == label]
            found += figure(self.name, hits, f"class {label}")
        return found


class Share:
    """Share of positive relevance inside the boxes, with noise drawn from the case's seed; a curve; another class."""

    name, direction, bounds = "share", "higher", (0.0, 1.0)
    protocol, source = "Share of positive relevance inside the boxes.", "nobody, 2024"

    def __init__(self):
        self.columns = {"share": "float64", "curve": "list<float64>", "other": "float64"}

    def also(self, scores):
        return (int(np.argmin(scores)),)

    def measure(self, case):
        boxes, up = case.truth.boxes, np.maximum(case.on_photo, 0)
        share = None if boxes is None or not up.any() else float(up[boxes].sum() / up.sum())
        noise = np.random.default_rng(case.seed).random(5)
        least = case.others[int(np.argmin(case.explanation.scores))]
        return {"share": share, "curve": noise.tolist(), "other": float(least.heatmap.sum()) if case.first else None}

    def figures(self, rows):
        return figure(self.name, rows["share"])


class Layers:
    """A metric of a model."""

    name, direction, bounds = "layers", "lower", (-1.0, 1.0)
    protocol, source = "Counts what it is given.", "nobody, 2024"

    def run(self, make, model, cases, signed, seed):
        explainer = make(model)
        maps = explainer.explain_each([c[0] for c in cases], [[c[1]] for c in cases], [[list(c[2])] for c in cases])
        return [{"case": i, "sum": float(m[0].heatmap.sum())} for i, m in enumerate(maps)]

    def figures(self, records):
        return figure(self.name, [r["sum"] for r in records], direction="lower")


METRICS = {m.name: m for m in (Hit, Share, Layers)}


def use_little_ones(patch):
    """Make runs use the dataset and the metrics of this file; patch(module, name, value) is monkeypatch.setattr."""
    from rsp_onnx.evaluate.runs import settings

    patch(settings, "find_metric", lambda spec: METRICS[spec]())
    patch(settings, "open_dataset", lambda format, root, *, names, **options: LittleDataset(Path(root), names))


def rows_of(folder):
    """All rows of a run, times aside."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted((Path(folder) / "rows").glob("part-*.parquet")):
        found += pq.ParquetFile(path).read().to_pylist()
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def copies(source, folder, count):
    """A dataset of `count` images: those of models/scenes over and over."""
    import shutil

    folder.mkdir(parents=True, exist_ok=True)
    with open(source / "boxes.csv", newline="") as file:
        lines = list(csv.reader(file))
    head, rows = lines[0], lines[1:]
    names = sorted({row[0] for row in rows})
    with open(folder / "boxes.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for number in range(count):
            name = f"{number:05d}.png"
            shutil.copyfile(source / names[number % len(names)], folder / name)
            writer.writerows([name, *row[1:]] for row in rows if row[0] == names[number % len(names)])
    return folder
