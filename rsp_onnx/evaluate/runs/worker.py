"""The work of a run: items become rows, one per item, target and method."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np

from rsp_onnx.errors import RspError
from rsp_onnx.evaluate.datasets.annotated import Dataset
from rsp_onnx.evaluate.datasets.shifts import refuse_shifted, spread
from rsp_onnx.evaluate.metrics.protocol import Case, Metric, Truth
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.batching import portions, same_shapes
from rsp_onnx.inputs.classes import choose_hostile
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array, Record

from .rows import Loaded, Ready, beyond, case_seed, chunks, in_order, no_class, row_of
from .settings import MethodChoice, Settings

_BATCH = 8  # where the model leaves the batch free
_MEMORY = 4 << 30  # bytes that one run of every method may take, about: each keeps what it once needed
_PER_MAP = 2  # a map takes about twice what the model's own activations do
_TRIED = 3  # readable items a method may fail on before it is said to fail on all


class Worker:
    """Has one explainer per method and measures items with them; Settings and Dataset are all it needs."""

    def __init__(self, settings: Settings, dataset: Dataset, metrics: Sequence[tuple[str, Metric]]) -> None:
        self.settings, self.dataset, self.metrics = settings, dataset, list(metrics)
        self.choices = settings.choices()
        ledger = any(getattr(metric, "reads_ledger", False) for _, metric in self.metrics)
        self.explainers = [settings.make(choice, ledger=ledger) for choice in self.choices]
        fixed = [s.shape[0] for s in self.explainers[0].signatures if s.shape]
        self.batch_size = settings.batch_size or (1 if fixed and fixed[0] is not None else _BATCH)

    @property
    def names(self) -> Sequence[str] | None:
        """The classes' names, where there are any."""
        return self.dataset.names or self.explainers[0].labels

    def load(self, index: int) -> Loaded:
        """Read and preprocess one item; never raises for a broken one."""
        key, item = self.dataset.key(index), None
        try:
            item = self.dataset[index]
            if not item.targets:
                return Loaded(key, item, error=no_class(item))
            feeds = self.explainers[0].prepare(item.image)
        except RspError as error:
            return Loaded(key, item, error=str(error))
        if feeds.photo is None:
            return Loaded(key, item, error=f"{item.image} is no photograph; evaluation needs photographs.")
        return Loaded(key, item, feeds)

    def check(self, indices: Sequence[int]) -> str:
        """Compile and run every method on the first readable items, so that a method that cannot work stops the run.

        Returns the execution provider; "" where no item is readable.
        """
        tried: list[Ready] = []
        compiled = False
        for index in indices:
            loaded = self.load(index)
            if loaded.feeds is None:
                continue
            for choice, explainer in zip(self.choices, self.explainers, strict=True) if not compiled else ():
                self._compile(choice, explainer, loaded.feeds)
            compiled = True
            tried += self.scored([loaded])[0]
            if len(tried) == _TRIED:
                break
        for choice, explainer in zip(self.choices, self.explainers, strict=True) if tried else ():
            self._try(choice, explainer, tried)
        self._check_classes(indices)
        return self.explainers[0].provider

    def _check_classes(self, indices: Sequence[int]) -> None:
        """Hold photos from all over the run against their classes; nobody asks where a mapping says what is what."""
        if self.settings.mapping is not None:
            return
        readable = (one for one in map(self.load, spread(indices)) if one.feeds is not None)
        ready = [one for batch in chunks(readable, self.batch_size) for one in self.scored(batch)[0]]
        refuse_shifted([(tuple(one.truths), int(np.argmax(one.scores))) for one in ready], self.names)

    def _compile(self, choice: MethodChoice, explainer: Explainer, feeds: Feeds) -> None:
        try:
            explainer.score_kind(feeds)  # compiles
        except RspError as error:
            raise _does_not_work(choice, error) from error

    def _try(self, choice: MethodChoice, explainer: Explainer, tried: Sequence[Ready]) -> None:
        for number, ready in enumerate(tried, 1):
            try:
                self._explain(choice, explainer, [ready])
                return
            except RspError as error:
                if number == len(tried):
                    raise _does_not_work(choice, error) from error

    def rows(self, loaded: Iterable[Loaded]) -> list[Record]:
        """Return the rows of the items of a part, in the order items, targets, methods."""
        return [row for batch in chunks(loaded, self.batch_size) for row in self._batch(batch)]

    def explain(self, index: int, target: int) -> tuple[Loaded, list[Explanation | None]]:
        """Explain one item's target by every method once more, for a picture; None where a method fails."""
        loaded = self.load(index)
        ready = self.scored([loaded])[0] if loaded.error is None else []
        explanations: list[Explanation | None] = []
        for choice, explainer in zip(self.choices, self.explainers, strict=True) if ready else ():
            result, _ = self._explained(choice, explainer, ready)
            explanations.append(None if isinstance(result[0], str) else result[0][target])
        return loaded, explanations

    def hostile(self, choice: MethodChoice, ready: Ready, target: int) -> list[int]:
        """Return the classes a target is held against."""
        if choice.hostile == "annotated":
            return [t for t in ready.item.targets if t != target]
        return choose_hostile(choice.hostile, target, ready.scores, self._kind(ready), self.names)

    def _kind(self, ready: Ready) -> str:
        return self.explainers[0].score_kind(ready.feeds)

    def _batch(self, batch: Sequence[Loaded]) -> list[Record]:
        ready, failed = self.scored([one for one in batch if one.error is None])
        for choice, explainer in zip(self.choices, self.explainers, strict=True):
            self._measure(choice, explainer, ready)
        by_key = {one.item.key: one for one in ready}
        rows: list[Record] = []
        for one in batch:
            if one.key in by_key and one.error is None:
                rows += in_order(by_key[one.key], self.choices)
            else:
                image = None if one.item is None else str(one.item.image)
                rows.append({"item": one.key, "image": image, "error": one.error or failed[one.key]})
        return rows

    def scored(self, batch: Sequence[Loaded]) -> tuple[list[Ready], dict[str, str]]:
        """Return the items with the model's own scores, once for all methods; and those it fails on, with the error."""
        ready: list[Ready] = []
        failed: dict[str, str] = {}
        by_feeds = {id(one.feeds): one for one in batch}
        for group in same_shapes([one.feeds for one in batch if one.feeds is not None]):
            ones = [by_feeds[id(feeds)] for feeds in group]
            for one, scores in zip(ones, self._scores(group), strict=True):
                error = scores if isinstance(scores, str) else beyond(one, len(scores))
                if error is not None or isinstance(scores, str):
                    failed[one.key] = str(error)
                else:
                    ready.append(self._ready(one, scores))
        return ready, failed

    def _scores(self, group: Sequence[Feeds]) -> list[Array | str]:
        try:
            return list(self.explainers[0].score_batch(group))
        except RspError as error:
            if len(group) == 1:
                return [str(error)]
            return [self._scores([feeds])[0] for feeds in group]

    def _ready(self, one: Loaded, scores: Array) -> Ready:
        assert one.item is not None and one.feeds is not None and one.feeds.photo is not None
        truths = {t: Truth(one.item, t, one.feeds.photo.size) for t in one.item.targets}
        asked = dict.fromkeys(c for _, metric in self.metrics for c in metric.also(scores))
        return Ready(one.item, one.feeds, scores, truths, tuple(c for c in asked if c not in truths))

    def _explain(
        self, choice: MethodChoice, explainer: Explainer, batch: Sequence[Ready]
    ) -> list[dict[int, Explanation]]:
        """Return by item the explanations by class: the targets', then those that metrics ask for."""
        targets = [[*one.truths, *one.more] for one in batch]
        rivals = [[self.hostile(choice, one, t) for t in ts] for one, ts in zip(batch, targets, strict=True)]
        explained: list[dict[int, Explanation]] = [{} for _ in batch]
        size = max(explainer.activation_bytes(one.feeds) for one in batch)
        room = max(_MEMORY // (len(self.choices) * _PER_MAP * max(size, 1)), 1)
        for run in portions([len(ts) for ts in targets], room):
            results = explainer.explain_each(
                [batch[i].feeds for i, _ in run], [targets[i][s] for i, s in run], [rivals[i][s] for i, s in run]
            )
            for (i, part), maps in zip(run, results, strict=True):
                explained[i].update(zip(targets[i][part], maps, strict=True))
        return explained

    def _explained(
        self, choice: MethodChoice, explainer: Explainer, batch: Sequence[Ready]
    ) -> tuple[list[dict[int, Explanation] | str], float]:
        """Return explanations or the error by item, and the seconds per map; a batch that fails is done one by one."""
        began = time.perf_counter()
        explained: list[dict[int, Explanation] | str] = []
        try:
            explained += self._explain(choice, explainer, batch)
        except RspError as error:
            if len(batch) == 1:
                return [str(error)], time.perf_counter() - began
            for one in batch:
                explained += self._explained(choice, explainer, [one])[0]
        maps = sum(len(one.truths) + len(one.more) for one in batch)
        return explained, (time.perf_counter() - began) / max(maps, 1)

    def _measure(self, choice: MethodChoice, explainer: Explainer, batch: Sequence[Ready]) -> None:
        """Explain a batch by one method and put a row per target into its items."""
        if not batch:
            return
        explained, seconds = self._explained(choice, explainer, batch)
        for ready, results in zip(batch, explained, strict=True):
            for number, (target, truth) in enumerate(ready.truths.items()):
                row = row_of(ready, truth, label_of(target, self.names), choice, seconds)
                if isinstance(results, str):
                    row["error"] = results
                else:
                    seed = case_seed(self.settings.seed or 0, ready.item.key, target)
                    case = Case(
                        ready.item, target, truth, results[target], choice.signed, explainer, ready.feeds, seconds,
                        results, number == 0, seed,
                    )  # fmt: skip
                    row["hostile"] = list(results[target].hostile)
                    row.update(self._metrics(case))
                ready.rows[target, choice.spec] = row

    def _metrics(self, case: Case) -> Record:
        """Return the metrics' columns, ``<metric>.<column>``; an error of one leaves its columns empty and is told."""
        columns: Record = {}
        errors: list[str] = []
        for spec, metric in self.metrics:
            try:
                columns.update({f"{spec}.{name}": value for name, value in metric.measure(case).items()})
            except RspError as error:
                errors.append(str(error))
        return {**columns, "error": " ".join(dict.fromkeys(errors)) or None}


def _does_not_work(choice: MethodChoice, error: RspError) -> RspError:
    return type(error)(f"The method {choice.spec!r} does not work with this model: {error}")
