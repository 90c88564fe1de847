"""What a run is told: model, data, methods and metrics, and what they name; how two runs are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.datasets.annotated import Dataset
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.metrics.catalogue import find_metric
from rsp_onnx.evaluate.metrics.protocol import Metric, ModelMetric
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.parameters import parse_spec
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

PART = 16  # items per part: what is lost at most when a run is killed
HOSTILE = ("auto", "none", "runners-up", "annotated")
_OWN = ("hostile", "section", "split", "purge", "signed-inputs")
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class MethodChoice:
    """A method as an evaluation runs it.

    Attributes
    ----------
    spec : str
        As the user wrote it; its name in all tables.
    method : str
        What ``Explainer`` is given: the spec without the evaluation's own keys.
    hostile : str
        One of ``HOSTILE``; ``annotated`` means the other classes annotated in the image.
    options : mapping
        Further arguments of ``Explainer``: section, split, purge, signed_inputs.
    """

    spec: str
    method: str
    hostile: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def signed(self) -> bool:
        """Tell whether the sign of the method's relevance says for or against."""
        return find_method(self.method).signed


def choose_method(spec: str) -> MethodChoice:
    """Read ``NAME[:key=value,...]``; BadInput where a key or value is not known."""
    name, given = parse_spec(spec)
    own = {key: given.pop(key) for key in _OWN if key in given}
    method = name + (":" + ",".join(f"{k}={v}" for k, v in given.items()) if given else "")
    find_method(method)
    hostile = own.pop("hostile", "auto")
    if hostile not in HOSTILE:
        raise BadInput(f"{spec!r}: hostile={hostile} is not one of {', '.join(HOSTILE)}.")
    if hostile not in ("auto", "none") and not find_method(method).compares:
        raise BadInput(f"{spec!r}: {name} knows no rivals to hold a class against; leave hostile={hostile} out.")
    return MethodChoice(spec, method, hostile, {k.replace("-", "_"): _option(spec, k, v) for k, v in own.items()})


def _option(spec: str, key: str, value: str) -> Any:
    if key == "split":
        try:
            return float(value)
        except ValueError:
            raise BadInput(f"{spec!r}: split={value} is not a number.") from None
    if key == "purge":
        if value.lower() not in _YES_NO:
            raise BadInput(f"{spec!r}: purge={value} is neither yes nor no.")
        return _YES_NO[value.lower()]
    return value


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on; picklable, for workers elsewhere are given it.

    Attributes
    ----------
    seed : int or None
        None: 0 for metrics that draw numbers. Given with ``limit``, the items are shuffled by it first.
    shard : tuple of int
        (i, n), 1 ≤ i ≤ n: of the run's parts, in turn, every n-th beginning with the i-th.
    explainer : mapping
        Arguments all methods' explainers share: labels, preprocess, output, region, device, threads, ...
    """

    model: str
    data: str
    format: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    split: str | None = None
    mapping: str | None = None
    limit: int | None = None
    seed: int | None = None
    shard: tuple[int, int] = (1, 1)
    batch_size: int | None = None
    model_metric_items: int = 8
    explainer: Mapping[str, Any] = field(default_factory=dict)

    def choices(self) -> list[MethodChoice]:
        """Return the methods, read."""
        return [choose_method(spec) for spec in self.methods]

    def make(self, choice: MethodChoice, model: Any = None, *, ledger: bool = False) -> Explainer:
        """Return a method's explainer, of another model with the same interface where one is given.

        ledger: compute it with every map, which pays where a metric reads it.
        """
        given = {"method": choice.method, "ledger": ledger, **self.explainer, **choice.options}
        if model is not None:  # weights drawn at random, which nobody will ask for again
            return Explainer(model, cache=False, **given)
        return Explainer(self.model, **given)

    def dataset(self, explainer: Explainer) -> Dataset:
        """Open the dataset with the classes of the explained model."""
        return open_dataset(
            self.format, self.data, split=self.split, mapping=self.mapping, names=explainer.labels,
            classes=class_count(explainer),
        )  # fmt: skip


def class_count(explainer: Explainer) -> int | None:
    """Return how many scores [N, classes] a model has; None where it leaves that open."""
    shape = explainer.model.ir.graph.outputs[0].shape
    last = shape[-1] if shape is not None and len(shape) == 2 else None
    return last if isinstance(last, int) else None


def of_models(metric: Metric | ModelMetric) -> bool:
    """Tell whether a metric measures a method on a model rather than its maps."""
    return not hasattr(metric, "measure")


def map_metrics(specs: Sequence[str]) -> list[tuple[str, Metric]]:
    """Return those of the metrics that measure maps, by their specs."""
    metrics = [(spec, find_metric(spec)) for spec in specs]
    return [(spec, cast(Metric, metric)) for spec, metric in metrics if not of_models(metric)]


def model_metrics(specs: Sequence[str]) -> list[tuple[str, ModelMetric]]:
    """Return those of the metrics that measure a model, by their specs."""
    metrics = [(spec, find_metric(spec)) for spec in specs]
    return [(spec, cast(ModelMetric, metric)) for spec, metric in metrics if of_models(metric)]


def check_settings(settings: Settings) -> None:
    """Raise BadInput for numbers and lists that make no run."""
    for what, names in (("method", settings.methods), ("metric", settings.metrics)):
        if not names:
            raise BadInput(f"Give at least one {what}: see `rsp-onnx {what}s`.")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise BadInput(f"The {what} {twice[0]!r} is given twice; give it once.")
    index, count = settings.shard
    if not 1 <= index <= count:
        raise BadInput(f"The shard {index}/{count} is not one of 1/{count} to {count}/{count}.")
    for name in ("limit", "batch_size", "model_metric_items"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise BadInput(f"{name.replace('_', ' ').capitalize()} must be 1 or more, not {value}.")
    settings.choices()


_ELSEWHERE = ("device", "threads")  # where and how fast, not what


def fingerprint(settings: Settings, model_sha256: str, items: int) -> Record:
    """Return what rows depend on, as plain JSON values; two runs with the same have the same rows, times aside."""
    given = {k: _plain(v) for k, v in settings.explainer.items() if k not in _ELSEWHERE and v is not None}
    return {
        "model_sha256": model_sha256, "data": str(Path(settings.data).resolve()), "format": settings.format,
        "split": settings.split, "mapping": _file_hash(settings.mapping), "items": items,
        "methods": list(settings.methods), "metrics": list(settings.metrics), "limit": settings.limit,
        "seed": settings.seed, "shard": list(settings.shard), "part": PART,
        "model_metric_items": settings.model_metric_items, "explainer": given, "version": __version__,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file()):
        return {"file": str(value), "sha256": _file_hash(value)}
    return list(value) if isinstance(value, tuple) else value


def _file_hash(path: str | Path | None) -> str | None:
    if path is None:
        return None
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two fingerprints, one phrase each."""
    names = dict.fromkeys([*new, *old])
    return [f"{n} was {_shown(old.get(n))}, now {_shown(new.get(n))}" for n in names if old.get(n) != new.get(n)]


def _shown(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    text = "not given" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
