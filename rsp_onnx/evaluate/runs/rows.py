"""What passes through a run's worker: an item read, an item scored, and the common columns of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rsp_onnx.evaluate.datasets.annotated import Item
from rsp_onnx.evaluate.metrics.protocol import Truth
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array, Record

from .settings import MethodChoice

NO_CLASS = "There is no class the model knows"


@dataclass(frozen=True)
class Loaded:
    """An item read and preprocessed, or the sentence that says why not."""

    key: str
    item: Item | None = None
    feeds: Feeds | None = None
    error: str | None = None


@dataclass
class Ready:
    """A usable item with the model's scores, on its way through the methods; rows by (target, method)."""

    item: Item
    feeds: Feeds
    scores: Array
    truths: dict[int, Truth]
    more: tuple[int, ...]
    rows: dict[tuple[int, str], Record] = field(default_factory=dict)


def case_seed(seed: int, key: str, target: int) -> int:
    """Return 32 bits from the run's seed, an item's key and a target: the same whatever the order and the machine."""
    digest = hashlib.sha256(f"{seed}\0{key}\0{target}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def row_of(ready: Ready, truth: Truth, label: str, choice: MethodChoice, seconds: float) -> Record:
    """Return the common columns of one map's row."""
    boxes = truth.boxes
    return {
        "item": ready.item.key, "image": str(ready.item.image), "target": truth.target, "label": label,
        "method": choice.spec, "score": float(ready.scores[truth.target]), "predicted": int(np.argmax(ready.scores)),
        "classes": len(ready.truths), "area": None if boxes is None else float(boxes.mean()),
        "width": truth.size[0], "height": truth.size[1], "hostile": None, "seconds": seconds,
        "remarks": "; ".join(ready.feeds.remarks) or None, "error": None,
    }  # fmt: skip


def in_order(ready: Ready, choices: Sequence[MethodChoice]) -> list[Record]:
    """Return an item's rows: targets in ascending order, methods as the user named them."""
    return [ready.rows[target, choice.spec] for target in ready.truths for choice in choices]


def no_class(item: Item) -> str:
    """Say why an item without a class of the model is left out."""
    if item.unknown:
        return f"{NO_CLASS} in {item.image}: it shows {', '.join(item.unknown)}; see the mapping."
    return f"{NO_CLASS} in {item.image}: nothing is annotated."


def beyond(one: Loaded, classes: int) -> str | None:
    """Say which of an item's classes the model does not have; None where it has all."""
    wrong = [] if one.item is None else [t for t in one.item.targets if not 0 <= t < classes]
    if not wrong:
        return None
    return f"{one.key}: there is no class {wrong[0]}, the model's are 0..{classes - 1}; check the mapping."


def chunks(items: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Yield lists of ``size`` items, the last one shorter."""
    chunk: list[Loaded] = []
    for one in items:
        chunk.append(one)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
