"""Where a run finds its dataset and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rsp_onnx.evaluate.datasets.annotated import Dataset
from rsp_onnx.evaluate.metrics.protocol import Metric, ModelMetric
from rsp_onnx.explain.explainer import Explainer

from .settings import Settings


def metric_of(spec: str) -> Metric | ModelMetric:
    """Return the metric of a name with parameters."""
    from rsp_onnx.evaluate.metrics.catalogue import find_metric

    return find_metric(spec)


def dataset_of(settings: Settings, explainer: Explainer) -> Dataset:
    """Open the run's dataset with the classes of the model."""
    from rsp_onnx.evaluate.datasets.formats import open_dataset

    shape = explainer.model.ir.graph.outputs[0].shape
    last = shape[-1] if shape is not None and len(shape) == 2 else None
    return open_dataset(
        settings.format, Path(settings.data), split=settings.split,
        mapping=None if settings.mapping is None else Path(settings.mapping),
        names=explainer.labels, classes=last if isinstance(last, int) else None,
    )  # fmt: skip


def of_models(metric: Metric | ModelMetric) -> bool:
    """Tell whether a metric measures a method on a model rather than its maps."""
    return not hasattr(metric, "measure")


def map_metrics(specs: Sequence[str]) -> list[tuple[str, Metric]]:
    """Return those of the metrics that measure maps, by their specs."""
    found = [(spec, metric_of(spec)) for spec in specs]
    return [(spec, cast(Metric, metric)) for spec, metric in found if not of_models(metric)]


def model_metrics(specs: Sequence[str]) -> list[tuple[str, ModelMetric]]:
    """Return those of the metrics that measure a model, by their specs."""
    found = [(spec, metric_of(spec)) for spec in specs]
    return [(spec, cast(ModelMetric, metric)) for spec, metric in found if of_models(metric)]
