"""An evaluation from its options to its report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rsp_onnx.types import Progress, Record

from .runs.model_metrics import run_model_metrics
from .runs.run import Run
from .runs.settings import Settings, check_settings
from .runs.summary import summarise


def evaluate(
    model: str | Path, data: str | Path, *, format: str, methods: Sequence[str], metrics: Sequence[str],
    out: str | Path, split: str | None = None, mapping: str | Path | None = None, limit: int | None = None,
    seed: int | None = None, shard: tuple[int, int] = (1, 1), batch_size: int | None = None,
    model_metric_items: int = 8, engine: str = "local", address: str | None = None, progress: Progress | None = None,
    command: str | None = None, report: bool = True, **explainer: Any,
) -> Record:  # fmt: skip
    """Evaluate methods on a dataset; a run that was interrupted goes on where it was.

    Parameters
    ----------
    model : path
        Any exported classifier.
    data, format, split, mapping
        The dataset, see ``open_dataset``.
    methods : sequence of str
        ``NAME[:key=value,...]``; beside the method's own parameters: hostile (auto, none, runners-up, annotated),
        section, split, purge, signed-inputs.
    metrics : sequence of str
        Names of ``list_metrics()``, with parameters likewise.
    out : path
        The run's folder: rows/part-*.parquet, summary.json, errors.csv, report.html.
    limit, seed : int, optional
        At most that many items; with a seed too, a random choice of them. The seed is also that of metrics that draw
        numbers (default 0).
    shard : (int, int)
        (i, n): every n-th part of 16 items, beginning with the i-th; ``write_report`` puts shards together.
    batch_size : int, optional
        Items explained at a time; default 8, or 1 where the model fixes its batch.
    engine, address : str
        ``local``, or ``ray`` with a cluster's address.
    progress : callable, optional
        Called with (items done, items to do) of what was not there yet.
    report : bool
        Write report.html and its pictures.
    **explainer
        Arguments of ``Explainer``: labels, device, threads, preprocess, output, region, size, mean, ...

    Returns
    -------
    dict
        What summary.json holds.

    Raises
    ------
    BadInput, BadModel, UnsupportedOp, BadOutput, DeviceUnavailable
        Before any work; a broken item stops nothing and is listed.
    """
    settings = Settings(
        str(model), str(data), format, tuple(methods), tuple(metrics), split, None if mapping is None else str(mapping),
        limit, seed, shard, batch_size, model_metric_items, {k: v for k, v in explainer.items() if v is not None},
    )  # fmt: skip
    check_settings(settings)
    began = time.perf_counter()
    run = Run(settings, Path(out))
    run.begin()
    run.work(run.engine(engine, address), progress)
    run_model_metrics(run.worker, run.plan, run.store, run.model_metrics)
    summary = summarise(run.store, provenance=run.provenance(command, time.perf_counter() - began))
    if report:
        _report(run)
    return summary


def _report(run: Run) -> None:
    from rsp_onnx.evaluate.report.pictures import save_pictures
    from rsp_onnx.evaluate.report.report import write_report

    save_pictures(run.worker, run.plan, run.store)
    write_report([run.store.folder], run.store.folder)
