"""The metrics by name."""

from __future__ import annotations

from typing import cast

from rsp_onnx.errors import BadInput
from rsp_onnx.parameters import parse_spec
from rsp_onnx.types import Record

from .base import Named
from .bookkeeping import BOOKKEEPING_METRICS
from .localisation import LOCALISATION_METRICS
from .miou import MIOU_METRICS
from .parameter_randomisation import PARAMETER_RANDOMISATION_METRICS
from .perturbation import PERTURBATION_METRICS
from .protocol import Metric, ModelMetric

METRICS: dict[str, type[Named]] = {
    metric.kind: metric
    for metric in (
        *LOCALISATION_METRICS, *MIOU_METRICS, *PERTURBATION_METRICS, *BOOKKEEPING_METRICS,
        *PARAMETER_RANDOMISATION_METRICS,
    )
}  # fmt: skip


def find_metric(spec: str) -> Metric | ModelMetric:
    """Return a metric by its name with parameters, such as ``pointing:tolerance=15,sigma=3``.

    Raises
    ------
    BadInput
        There is no such metric or parameter.
    """
    name, given = parse_spec(spec)
    if name not in METRICS:
        raise BadInput(f"There is no metric {name!r}; the metrics are {', '.join(METRICS)}.")
    return cast("Metric | ModelMetric", METRICS[name](spec, given))


def list_metrics() -> list[Record]:
    """Return what there is to choose from: name, direction, bounds, protocol, source, parameters with defaults."""
    return [
        {
            "name": name, "direction": kind.direction, "bounds": kind.bounds, "protocol": kind(name, {}).protocol,
            "source": kind.source,
            "parameters": {**kind.defaults, **{word: choices[0] for word, choices in kind.words.items()}},
            "choices": {word: list(choices) for word, choices in kind.words.items()},
        }
        for name, kind in METRICS.items()
    ]  # fmt: skip
