"""Metrics that measure a method on a model, such as what becomes of maps when its weights are randomised."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import onnx_ir as ir

from rsp_onnx.errors import RspError
from rsp_onnx.evaluate.metrics.protocol import ModelMetric
from rsp_onnx.files import make_folder, save_json
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Record

from .folder import Store
from .plan import Plan
from .rows import Ready
from .settings import MethodChoice
from .worker import Worker


def slug(text: str) -> str:
    """Return a name for a file: letters, digits, dots and dashes of a spec."""
    return re.sub(r"[^\w.=-]+", "-", text).strip("-")


def run_model_metrics(
    worker: Worker, plan: Plan, store: Store, metrics: Sequence[tuple[str, ModelMetric]]
) -> None:  # fmt: skip
    """Write models/<metric>.<method>.json for each metric and method where it is not there yet.

    Only the first shard does it, on the run's first usable items: the same whether the run is sharded or not.
    """
    if worker.settings.shard[0] != 1 or not metrics:
        return
    make_folder(store.models)
    missing = [
        (spec, metric, choice)
        for spec, metric in metrics
        for choice in worker.choices
        if not (store.models / f"{slug(spec)}.{slug(choice.spec)}.json").is_file()
    ]
    cases = list(islice(_usable(worker, plan), worker.settings.model_metric_items)) if missing else []
    for spec, metric, choice in missing:
        record = {"metric": spec, "method": choice.spec, **_record(worker, metric, choice, cases)}
        save_json(store.models / f"{slug(spec)}.{slug(choice.spec)}.json", record)


def _usable(worker: Worker, plan: Plan) -> Any:
    for index in plan.all_items():
        loaded = worker.load(index)
        if loaded.error is None:
            yield from worker.scored([loaded])[0]


def _record(worker: Worker, metric: ModelMetric, choice: MethodChoice, ready: Sequence[Ready]) -> Record:
    settings = worker.settings
    cases: list[tuple[Feeds, int, Sequence[int]]] = [
        (one.feeds, next(iter(one.truths)), worker.hostile(choice, one, next(iter(one.truths)))) for one in ready
    ]
    if not cases:
        return {"records": [], "error": "no item is usable"}
    model = ir.to_proto(worker.explainers[0].model.ir)
    try:
        records = metric.run(
            lambda other: settings.make(choice, other), model, cases, choice.signed, settings.seed or 0
        )
    except RspError as error:
        return {"records": [], "error": str(error)}
    return {"records": records, "error": None}
