"""A run: methods × metrics over a dataset, in parts that survive a kill, and what came out of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.metrics.protocol import Metric, ModelMetric
from rsp_onnx.types import Progress, Record

from .folder import Store, schema_of
from .plan import Plan
from .settings import Settings, differences, fingerprint, map_metrics, model_metrics, of_models
from .worker import Worker


class Engine(Protocol):
    """Does the parts of a run somewhere."""

    def check(self) -> str:
        """Try every method on the first readable item; return the execution provider."""
        ...

    def run(self, parts: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number, rows) of each part as it is done, in any order."""
        ...


class Run:
    """A run in its folder."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.store = settings, Store(folder)
        first = settings.make(settings.choices()[0])
        _ = first.preprocess  # a model that takes no photographs is told before any item is read
        self.metrics = map_metrics(settings.metrics)
        self.model_metrics = model_metrics(settings.metrics)
        self.dataset = settings.dataset(first)
        self.plan = Plan(settings, len(self.dataset))
        self.fingerprint = fingerprint(settings, first.facts.sha256, len(self.dataset))
        self.columns = {f"{s}.{c}": kind for s, m in self.metrics for c, kind in m.columns.items()}
        self.worker = Worker(settings, self.dataset, self.metrics)
        self.provider = ""
        self.worked = False

    def begin(self) -> None:
        """Prepare the folder; BadInput where another run is in it."""
        old = self.store.read("run.json")
        if old is not None:
            changed = differences(old.get("fingerprint", {}), self.fingerprint)
            if changed:
                raise BadInput(
                    f"{self.store.folder} holds another run: {'; '.join(changed)}. Choose another folder with -o, or "
                    "give the same options to go on with it."
                )
        if not self.plan.parts:
            index, count = self.settings.shard
            raise BadInput(f"There is nothing to evaluate: shard {index}/{count} of {self.settings.data} has no items.")
        self.store.begin()

    def engine(self, name: str, address: str | None) -> Engine:
        """Return what does the work."""
        schema = schema_of(self.columns)
        if name == "local":
            from .local import LocalEngine

            return LocalEngine(self.worker, self.plan, schema)
        if name == "ray":
            from .ray import RayEngine

            return RayEngine(self.settings, self.dataset, self.metrics, self.plan, schema, address)
        raise BadInput(f"The engine is 'local' or 'ray', not {name!r}.")

    def work(self, engine: Engine, progress: Progress | None) -> None:
        """Do the parts that are not there."""
        there = self.store.parts()
        missing = [part for part in self.plan.parts if part not in there]
        if missing or self.store.read("run.json") is None:
            self.provider = engine.check()
            self.store.write_run(self._record())
        else:
            self.provider = (self.store.read("run.json") or {}).get("provider", "")
        total, done = sum(len(self.plan.items(part)) for part in missing), 0
        for part, table in engine.run(missing) if missing else ():
            self.store.write_part(part, table)
            self.worked = True
            done += len(self.plan.items(part))
            if progress is not None:
                progress(done, total)

    def provenance(self, command: str | None, seconds: float) -> Record:
        """Return what summary.json says about where its figures come from."""
        before = self.store.read("summary.json")
        if before is not None and not self.worked:  # all was there: what it took is known
            command, seconds = before["command"], before["seconds"]
        return {**self._record(), "command": command, "seconds": seconds}

    def _record(self) -> Record:
        names = self.worker.names
        return {
            "fingerprint": self.fingerprint, "model": self.settings.model, "data": self.settings.data,
            "order": f"shuffled by seed {self.settings.seed}" if self.plan.shuffled else "the dataset's",
            "provider": self.provider, "columns": self.columns,
            "kinds": kinds_of([*self.metrics, *self.model_metrics]), "names": None if names is None else list(names),
            "preprocessing": self.worker.explainers[0].preprocess.to_dict(),
        }  # fmt: skip


def kinds_of(metrics: Sequence[tuple[str, Metric | ModelMetric]]) -> dict[str, Record]:
    """Return by spec what a reader should know of a metric."""
    return {
        spec: {
            "name": m.name, "direction": m.direction, "protocol": m.protocol, "source": m.source,
            "bounds": [b if math.isfinite(b) else None for b in m.bounds], "of_models": of_models(m),
        }
        for spec, m in metrics
    }  # fmt: skip
