"""The images a reader should see: best, worst, and where methods disagree, with every method's map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from rsp_onnx.evaluate.datasets.annotated import Item
from rsp_onnx.evaluate.metrics.protocol import on_photo, seen
from rsp_onnx.evaluate.runs.folder import Store, read_columns
from rsp_onnx.evaluate.runs.plan import Plan
from rsp_onnx.evaluate.runs.settings import MethodChoice
from rsp_onnx.evaluate.runs.worker import Worker
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.files import make_folder, save_json, save_png
from rsp_onnx.render import colour_limit, overlay
from rsp_onnx.render.page import embedded
from rsp_onnx.types import Array, Record

EACH = 4  # images of each of the three groups
_SIDE = 224  # longest side of a thumbnail in pixels
_BOX = (255, 196, 0)
_SCALAR = ("bool", "float64", "int64")


def save_pictures(worker: Worker, plan: Plan, store: Store) -> None:
    """Choose images by the run's rows, explain them once more, and write pictures/ with pictures.json; once."""
    index = store.pictures / "pictures.json"
    if index.is_file():
        return
    make_folder(store.pictures)
    chosen = choose(store, worker)
    wanted = {one["item"] for one in chosen}
    places = {worker.dataset.key(i): i for i in plan.all_items() if worker.dataset.key(i) in wanted}
    for number, one in enumerate(chosen):
        _save(worker, store, places[one["item"]], number, one)
    save_json(index, chosen)


def scalar_columns(columns: Mapping[str, str], kinds: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (metric, column) of each metric whose first column is a number or a yes or no."""
    scalars = []
    for spec, kind in kinds.items():
        own = [name for name in columns if name.startswith(f"{spec}.")]
        if not kind["of_models"] and own and columns[own[0]] in _SCALAR:
            scalars.append((spec, own[0]))
    return scalars


def choose(store: Store, worker: Worker) -> list[Record]:
    """Return at most ``EACH`` cases (item and target) per group, no item twice."""
    run = store.read("run.json") or {}
    scalars = scalar_columns(run["columns"], run["kinds"])
    if not scalars:
        return []
    methods = [choice.spec for choice in worker.choices]
    cases, values = _values(store, scalars, methods)
    if not cases:
        return []
    signs = np.array([1.0 if run["kinds"][spec]["direction"] == "higher" else -1.0 for spec, _ in scalars])
    chosen: list[Record] = []
    for title, order in _orders(values * signs, methods):
        used = {one["item"] for one in chosen}
        for i in _first_unused(order, cases, used):
            shown = {m: _plain(values[i, k, 0], run["columns"][scalars[0][1]]) for k, m in enumerate(methods)}
            case = dict(zip(("item", "target", "label"), cases[i], strict=True))
            chosen.append({"group": f"{title}, by {scalars[0][0]}", **case, "metric": scalars[0][0], "values": shown})
    return chosen


def _first_unused(order: Array, cases: Sequence[tuple[str, int, str]], used: set[str]) -> list[int]:
    """Return the first ``EACH`` cases of an order whose items are not shown yet, each item once."""
    unused: list[int] = []
    for i in order:
        if len(unused) < EACH and cases[i][0] not in used:
            used.add(cases[i][0])
            unused.append(int(i))
    return unused


def _values(
    store: Store, scalars: Sequence[tuple[str, str]], methods: Sequence[str]
) -> tuple[list[tuple[str, int, str]], Array]:
    """Return cases (item, target, label) and their values [cases, methods, metrics]; those the first metric knows."""
    names = [name for _, name in scalars]
    place = {method: k for k, method in enumerate(methods)}
    by_case: dict[tuple[str, int, str], Array] = {}
    for path in store.parts().values():  # part by part: as Python objects, all rows at once would take gigabytes
        for row in read_columns([path], ["item", "target", "label", "method", *names]).to_pylist():
            if row["method"] in place and row[names[0]] is not None:
                case = (row["item"], row["target"], row["label"])
                values = by_case.setdefault(case, np.full((len(methods), len(names)), np.nan))
                values[place[row["method"]]] = [np.nan if row[n] is None else float(row[n]) for n in names]
    known = {case: v for case, v in by_case.items() if not np.isnan(v[:, 0]).any()}
    return list(known), np.array(list(known.values())).reshape(len(known), len(methods), len(names))


def _orders(values: Array, methods: Sequence[str]) -> list[tuple[str, Array]]:
    """values: [cases, methods, metrics], higher is better. Ties of the first metric are broken by the others."""
    others = np.nan_to_num(values[:, :, 1:]).mean(axis=2) if values.shape[2] > 1 else np.zeros(values.shape[:2])
    good = np.lexsort((-others[:, 0], -values[:, :, 0].mean(axis=1), -values[:, 0, 0]))
    orders = [(f"Best for {methods[0]}", good), (f"Worst for {methods[0]}", good[::-1])]
    if len(methods) > 1:
        spread = np.lexsort((-np.ptp(others, axis=1), -values[:, :, 0].std(axis=1)))
        orders.insert(0, ("Where the methods disagree most", spread))
    return orders


def _plain(value: float, kind: str) -> float | bool | None:
    if not np.isfinite(value):
        return None
    return bool(value) if kind == "bool" else float(value)


def _save(worker: Worker, store: Store, index: int, number: int, one: Record) -> None:
    """Write one case's photo and maps and add their names to its record."""
    loaded, explanations = worker.explain(index, one["target"])
    one["photo"], one["maps"] = None, {}
    if loaded.item is None or loaded.feeds is None or loaded.feeds.photo is None:
        return
    one["photo"] = f"{number:02d}.photo.png"
    photo = loaded.feeds.photo
    small = photo.convert("RGB").resize(_thumbnail(photo.size), Image.Resampling.LANCZOS)
    save_png(store.pictures / one["photo"], _with_boxes(small, photo.size, loaded.item, one["target"]))
    for k, (choice, explanation) in enumerate(zip(worker.choices, explanations, strict=False)):
        if explanation is not None and explanation.heatmap.ndim == 2:
            name = f"{number:02d}.{k:02d}.png"
            save_png(store.pictures / name, _map(small, explanation, choice))
            one["maps"][choice.spec] = name


def _thumbnail(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) with the longer side at most ``_SIDE``; small pictures are enlarged by a whole factor."""
    factor = _SIDE // max(size) or _SIDE / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _with_boxes(small: Image.Image, size: tuple[int, int], item: Item, target: int) -> Image.Image:
    """Draw the outlines of the target's boxes, which are in pixels of the photo of that size."""
    drawn = small.copy()
    pen = ImageDraw.Draw(drawn)
    across, down = small.width / size[0], small.height / size[1]
    for thing in item.things:
        if thing.class_index == target and thing.box is not None:
            left, top, right, bottom = thing.box
            corners = [left * across, top * down, (right + 1) * across - 1, (bottom + 1) * down - 1]
            pen.rectangle([max(0, round(c)) for c in corners], outline=_BOX, width=2)
    return drawn


def _map(small: Image.Image, explanation: Explanation, choice: MethodChoice) -> Image.Image:
    """Lay a method's map over the thumbnail; of a method without a sign all of it is red."""
    heatmap = on_photo(explanation, seen(explanation, choice.signed))
    shares = np.clip(heatmap / colour_limit(heatmap), -1, 1).astype(np.float32)
    shrinks = small.width < heatmap.shape[1]
    filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    coarse = np.asarray(Image.fromarray(shares).resize(small.size, filter_), np.float64)
    return overlay(small, coarse)


def embed(path: Path) -> str | None:
    """Return a picture file as a data URI; None where it is gone or damaged."""
    try:
        with Image.open(path) as picture:
            return embedded(picture)
    except (OSError, ValueError):
        return None
