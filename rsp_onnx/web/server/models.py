"""The models the page shows: where each lies, what was said of it, and what is known of it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.devices.device import resolve_device
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.inputs.find_preprocess import overridden, resolve_preprocess
from rsp_onnx.inputs.labels import check_labels, read_labels
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.presets import PRESETS, Preprocess
from rsp_onnx.inputs.tensors import Feeds, image_signature, make_feeds
from rsp_onnx.web.facts import method_facts, model_facts

from .asked import RefusedError
from .explainers import Explainers, ReadyExplainer
from .images import called
from .workers import Told

MOST_MODELS = 16
_BLACK = np.zeros((8, 8, 3), np.uint8)
_NO_PHOTOS = "The model's input is no photograph, so that nothing is preprocessed."


@dataclass(frozen=True)
class ModelSettings:
    """What is said of models when the server starts.

    Attributes
    ----------
    method : str
        The one that stands first.
    explainer : mapping
        What every ``Explainer`` is told: device, threads, section, preprocess, ...
    """

    method: str = "rsp"
    explainer: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise BadInput or DeviceUnavailable where it is wrong for every model."""
        find_method(self.method)
        resolve_device(str(self.explainer.get("device") or "auto"))
        given = {field.name: self.explainer.get(field.name) for field in fields(Preprocess)}
        values = {name: value for name, value in given.items() if value is not None}
        picture = InputSignature("", np.dtype(np.float32), (None, None, None, None))
        overridden(resolve_preprocess(self.explainer.get("preprocess"), signature=picture), values, picture)


class ServedModel:
    """A model of the page.

    Attributes
    ----------
    facts : mapping
        ``ModelFacts`` of the page.
    preprocess : Preprocess or None
        How photographs become its input; None where they do not.
    explaining : threading.Lock
        Held while an explanation of it is computed.
    revision : int
        Counts how often preprocessing was changed.
    """

    def __init__(self, id: str, name: str, path: Path, labels: Sequence[str] | str | Path | None = None) -> None:
        self.id, self.name, self.path, self.labels = id, name, path, labels
        self.facts: Mapping[str, Any] = {}
        self.preprocess: Preprocess | None = None
        self.revision = 0
        self.explaining = threading.Lock()


class Models:
    """The models that are open. Safe to use from several threads."""

    def __init__(self, settings: ModelSettings, explainers: Explainers | None = None) -> None:
        self.settings, self.explainers = settings, explainers or Explainers()
        self._lock = threading.Lock()
        self._open: dict[str, ServedModel] = {}
        self._numbers = itertools.count(1)

    def open(self, path: Path, name: str, told: Told, labels: str | Path | None = None) -> ServedModel:
        """Read a model and find out what the page must know of it.

        Raises
        ------
        BadModel, BadInput
            As of ``rsp-onnx explain``, which says the same.
        RefusedError
            Too many models are open.
        """
        self.check_room()
        source = None if labels is None else f"file {Path(labels).name}"
        model = ServedModel(f"m{next(self._numbers)}", name, path, labels)
        try:
            ready = self.explainer_of(model, self.settings.method, told)
            with told.holding(self.explainers.making), called(path, name):
                told.say("looking at the layers")
                found = model_facts(ready.explainer, id=model.id, name=name, labels_source=source)
            model.preprocess = ready.explainer.preprocess if found["kind"] == "photo" else None
            model.facts = {**found, "methods": self._first(found["methods"])}
            told.check()
        except BaseException:
            self.explainers.drop(model.id)
            raise
        with self._lock:
            self._open[model.id] = model
        return model

    def check_room(self) -> None:
        """Raise RefusedError where no further model can be opened."""
        if len(self._open) >= MOST_MODELS:
            raise RefusedError(f"{MOST_MODELS} models are open, which is all there is room for: close one first.")

    def _first(self, methods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the methods, the one asked for in front and with the parameters asked for."""
        spec = self.settings.method
        chosen = {**method_facts(find_method(spec)), "name": spec}
        names = [one["name"] for one in methods]
        if find_method(spec).name not in names:
            return list(methods)
        return [chosen, *(one for one in methods if one["name"] != spec)]

    def get(self, id: str) -> ServedModel:
        """Return an open model; RefusedError where there is none."""
        with self._lock:
            found = self._open.get(id)
        if found is None:
            raise RefusedError("The model is not open any more: open it again.", 404)
        return found

    def all(self) -> list[ServedModel]:
        """Return the open models in the order they were opened."""
        with self._lock:
            return list(self._open.values())

    def close(self, id: str) -> ServedModel:
        """Forget a model and return it."""
        model = self.get(id)
        with self._lock:
            self._open.pop(id, None)
        self.explainers.drop(id)
        return model

    def explainer_of(self, model: ServedModel, method: str, told: Told) -> ReadyExplainer:
        """Return a model's explainer of a method; BadInput where there is no such method."""

        def make(spec: str) -> Explainer:
            return Explainer(model.path, method=spec, labels=model.labels, **self.settings.explainer)

        find_method(method)
        with called(model.path, model.name):
            return self.explainers.get(model.id, method, make, told)

    def relabel(self, model: ServedModel, path: Path, name: str) -> Mapping[str, Any]:
        """Give a model other labels and return its facts; BadInput where they are none, or too few or many."""
        with called(path, name):
            labels = read_labels(path) or ()
            if model.facts["classes"]:
                check_labels(labels, model.facts["classes"])
        model.labels = labels
        self.explainers.drop(model.id)
        model.facts = {**model.facts, "labels": list(labels), "labelsSource": f"file {name}"}
        return model.facts

    def prepare_as(self, model: ServedModel, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change how photographs are prepared, by a preset or single values, and return the model's facts.

        Raises
        ------
        BadInput
            The model takes no photographs, or the values are wrong or do not fit its input.
        """
        if model.preprocess is None:
            raise BadInput(_NO_PHOTOS)
        ready = self.explainer_of(model, self.settings.method, Told())
        signature = image_signature(ready.explainer.signatures)
        if "preset" in values:
            changed = resolve_preprocess(values, signature=signature)
            changed = PRESETS[values["preset"]] if len(values) == 1 else changed
        else:
            before = model.preprocess.to_dict()
            told = {key: value for key, value in values.items() if key not in ("name", "source")}
            new = {key: value for key, value in told.items() if key not in before or value != before[key]}
            changed = replace(overridden(model.preprocess, new, signature), source="given")
        make_feeds(_BLACK, ready.explainer.signatures, lambda: changed)  # tells what does not fit
        model.preprocess, model.revision = changed, model.revision + 1
        model.facts = {**model.facts, "preprocess": changed.to_dict()}
        return model.facts

    def feeds(self, model: ServedModel, ready: ReadyExplainer, picture: Path) -> Feeds:
        """Return what the model would be given for a picture or tensor file."""

        def preprocess() -> Preprocess:
            return model.preprocess or ready.explainer.preprocess  # the latter says why there is none

        return make_feeds(picture, ready.explainer.signatures, preprocess)
