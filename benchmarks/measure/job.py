"""What a process of its own measures, so that neither memory nor threads of another measurement are in it.

    python -m benchmarks.measure.job '{"kind": "explain", "path": "MODEL.onnx", "feeds": "INPUTS.npz", "method": "rsp"}'

prints the figures as JSON on its last line.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import engines
from .clock import Figure, in_turn, one
from .machine import Others, peak_bytes, resident_bytes
from .models import Feeds

MANY, CLASSES = 8, 5
DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits_pytorch.onnx"


@dataclass(frozen=True)
class Task:
    """One measurement: what (a key of ``KINDS``), of which file on which .npz of inputs, by which method, how often.

    wide: inputs of ``MANY`` samples; empty where the model does not take several.
    """

    kind: str
    path: str
    feeds: str
    method: str = "rsp"
    threads: int = 1
    runs: int = 15
    wide: str = ""

    @property
    def file(self) -> Path:
        """The model's."""
        return Path(self.path)


def explain(task: Task) -> list[Figure]:
    """Measure ``explain()`` beside a forward pass, and what comes before the second explanation."""
    import rsp_onnx.explain.explainer  # noqa: F401  importing is not in the figures

    path, feeds = task.file, _load(task.feeds)
    watch, start = Others.start(), time.perf_counter()
    ours = engines.explainer(path, task.method, task.threads)
    item = ours.prepare(feeds)
    ours.explain(item, engines.TARGET, "none")
    first, others = time.perf_counter() - start, watch.cores()
    runs = {
        "plain": engines.plain(path, task.threads, feeds),
        "explain": lambda: ours.explain(item, engines.TARGET, "none"),
    }
    return [Figure("first explanation", first, first, first, others=others), *in_turn(runs, task.runs, task.threads)]


def exported(task: Task) -> list[Figure]:
    """Measure exported files in plain sessions: sizes free, and made for one sample and one class; and making them."""
    from rsp_onnx import compile_explainer

    path, feeds, made = task.file, _load(task.feeds), list[Figure]()
    shapes = {name: [None, *x.shape[1:]] for name, x in feeds.items() if x.ndim}
    runs = {"plain": engines.plain(path, task.threads, feeds)}
    for name, size in (("exported", None), ("exported, N = K = 1", 1)):
        watch, start = Others.start(), time.perf_counter()
        compiled = compile_explainer(path, task.method, input_shapes=shapes, batch=size, targets=size)
        between = time.perf_counter()
        runs[name] = engines.exported(compiled, task.threads, feeds)
        took, others = time.perf_counter() - between, watch.cores()
        made += [_once(f"compile ({name})", between - start, others), _once(f"session ({name})", took, others)]
    return [*in_turn(runs, task.runs, task.threads), *made]


def many(task: Task) -> list[Figure]:
    """Measure several classes and several samples, and a class the model is asked for, beside one forward pass."""
    path, feeds = task.file, _load(task.feeds)
    ours = engines.explainer(path, task.method, task.threads)
    batches = engines.explainer(path, task.method, task.threads)  # which is asked for one class, and so has no Loop
    item = ours.prepare(feeds)
    classes = list(range(min(CLASSES, ours.scores(item).size)))
    plain = engines.plain(path, task.threads, feeds)
    several = {"plain": plain, f"explain, {len(classes)} classes": lambda: ours.explain(item, classes, "none")}
    runs = {
        "plain": plain,
        "explain, class not given": lambda: ours.explain(item),
        "explain, 1 sample": lambda: batches.explain(item, engines.TARGET, "none"),
        f"explain, {MANY} samples": lambda: _batch(batches, item),
    }
    if task.wide:
        runs[f"plain, {MANY} samples"] = engines.plain(path, task.threads, _load(task.wide))
    return [*in_turn(several, task.runs, task.threads), *in_turn(runs, min(task.runs, 7), task.threads)]


def _batch(ours: Any, item: Any) -> object:
    return ours.explain_batch([item] * MANY, engines.TARGET, "none", batch_size=MANY)


def memory_of_forward(task: Task) -> list[Figure]:
    """Measure the memory a plain session takes for one forward pass, weights included, libraries not."""
    feeds, before = _load(task.feeds), resident_bytes()
    engines.plain(task.file, task.threads, feeds)()
    return [one("memory, plain", peak_bytes() - before, "bytes")]


def memory_of_explaining(task: Task) -> list[Figure]:
    """Measure the memory one explanation takes from the model's file on, and then a batch; libraries not counted."""
    feeds, small = _load(task.feeds), {"image": np.zeros((1, 3, 96, 96), np.float32)}
    engines.explainer(DIGITS, "gradient", 1, cache=False).explain(small, engines.TARGET, "none")  # imports what is lazy
    before = resident_bytes()
    ours = engines.explainer(task.file, task.method, task.threads)
    item = ours.prepare(feeds)
    ours.explain(item, engines.TARGET, "none")
    alone = peak_bytes() - before
    _batch(ours, item)
    batch = peak_bytes() - before
    return [one("memory, explain", alone, "bytes"), one(f"memory, explain, {MANY} samples", batch, "bytes")]


def beside(task: Task) -> list[Figure]:
    """Measure what other libraries take on the same network, and ours; the first is PyTorch's own forward pass."""
    from . import beside as others

    runs, absent = others.engines(task.file, task.method, task.threads, _load(task.feeds))
    figures = in_turn(runs, task.runs, task.threads) if runs else []
    return [*figures, *(Figure(f"{name}: {why}", 0, 0, 0, unit="absent") for name, why in absent.items())]


KINDS: dict[str, Callable[[Task], list[Figure]]] = {
    "explain": explain, "exported": exported, "many": many, "beside": beside, "memory of forward": memory_of_forward,
    "memory of explaining": memory_of_explaining,
}  # fmt: skip


def _load(file: str) -> Feeds:
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _once(name: str, seconds: float, others: float | None) -> Figure:
    return Figure(name, seconds, seconds, seconds, others=others)


def main() -> None:
    """Do what the first argument says, print the figures."""
    warnings.simplefilter("ignore")
    task = Task(**json.loads(sys.argv[1]))
    print(json.dumps([figure.to_dict() for figure in KINDS[task.kind](task)]))


if __name__ == "__main__":
    main()
