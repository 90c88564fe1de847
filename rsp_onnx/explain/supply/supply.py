"""What an explainer runs: read from the cache where it is there, else compiled and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rsp_onnx.cache.entry import Entry
from rsp_onnx.devices.device import resolve_device
from rsp_onnx.explain.compiled import Compiled
from rsp_onnx.inputs.batching import Shapes
from rsp_onnx.inputs.labels import check_labels
from rsp_onnx.model.session import Session
from rsp_onnx.serving.variants import Serving, Variant, VariantKey

from .as_json import compiled_from, compiled_to, variant_from, variant_to
from .deployed import Deployed, about
from .sessions import restarted
from .settings import Request, Settings

if TYPE_CHECKING:
    from rsp_onnx.compiler.analysis import Analysis, Needs

    from .making import Making


class Supply:
    """Compiled explainers of one model and one choice of settings. Safe to use from several threads.

    Parameters
    ----------
    labels : callable
        Returns the names of the classes, as they are when something is compiled.
    """

    def __init__(self, deployed: Deployed, settings: Settings, labels: Callable[[], tuple[str, ...] | None]) -> None:
        self._deployed, self._settings, self._labels = deployed, settings, labels

    def compiled(self, shapes: Shapes, tensors: tuple[str, ...] = ()) -> Compiled:
        """Return the compiled explainer for inputs of these shapes. tensors: whose relevance is wanted too.

        Raises
        ------
        BadModel, UnsupportedOp, BadInput
            It cannot be compiled.
        """
        request = Request(shapes, tensors)
        lazily = _Making(self._deployed, self._settings, request)
        parts = self._parts("explainer", self._asked(request))

        def known(entry: Entry) -> Compiled:
            reading = entry.read(READING) if READING in entry.files else None
            serving = Serving(
                partial(self._variant, request, lazily), VariantKey(entry.facts["one_by_one"], entry.facts["ledger"])
            )
            return compiled_from(entry.facts, reading, serving, self._settings.method, self._labels())

        found = self._deployed.shelf.read(parts, known)
        if found is not None:
            self._check_labels(found.scores.classes)
            return found
        making = lazily.get()
        self._check_labels(making.analysis.classes)
        found = making.compiled(Serving(partial(self._variant, request, lazily), making.key), self._labels())
        with self._deployed.shelf.write(parts, self._about("how scores and maps are read")) as draft:
            if draft is not None:
                if found.scores.reading is not None:
                    draft.write(READING, found.scores.reading)
                draft.finish(compiled_to(found, making.key))
        return found

    def analysed(self, shapes: Shapes, needs: Needs | None = None) -> Analysis:
        """Return what the model is for inputs of these shapes, before anything is compiled. needs: of a method."""
        from .making import analysed

        return analysed(self._deployed.load(), self._settings, shapes, needs)

    def scoring(self, output: str, threads: int | None) -> Session:
        """Return a session of the deployed model with a tensor of it among its outputs, with so many threads."""
        settings = self._settings
        parts = self._parts("scores", {"output": output, "threads": threads})
        found = self._deployed.shelf.read(parts, lambda entry: restarted(entry, settings.device))
        if found is not None:
            return found
        from .making import scoring

        with self._deployed.shelf.write(parts, about(self._deployed.facts, "the model's scores")) as draft:
            session, kept = scoring(
                self._deployed.load(), output, settings.device, threads, None if draft is None else draft.folder
            )
            if draft is not None:
                draft.finish(None if kept is None else kept.as_json())
        return session

    def _variant(self, request: Request, lazily: _Making, key: VariantKey) -> Variant:
        settings = self._settings
        which = {"one_by_one": key.one_by_one, "ledger": key.ledger, "several": key.several}
        parts = self._parts("variant", {**self._asked(request), **which})

        def known(entry: Entry) -> Variant:
            return variant_from(entry.facts, restarted(entry, settings.device), key)

        found = self._deployed.shelf.read(parts, known)
        if found is not None:
            return found
        with self._deployed.shelf.write(parts, self._about("the explainer")) as draft:
            variant, kept = lazily.get().variant(key, None if draft is None else draft.folder)
            if draft is not None:
                draft.finish(None if kept is None else {**variant_to(variant), **kept.as_json()})
        return variant

    def _check_labels(self, classes: int | None) -> None:
        labels = self._labels()
        if labels is not None and classes is not None:
            check_labels(labels, classes)

    def _about(self, what: str) -> dict[str, str]:
        return about(self._deployed.facts, what, self._settings.method)

    def _asked(self, request: Request) -> dict[str, Any]:
        """Return what a compiled explainer depends on, beside the model and where it runs."""
        shapes = [[name, list(shape)] for name, shape in request.shapes]
        return {"settings": dict(self._settings.of_key()), "shapes": shapes, "tensors": list(request.tensors)}

    def _parts(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        runs_on = {"providers": resolve_device(self._settings.device).providers, "threads": self._settings.threads}
        return {"what": what, "model": self._deployed.facts.sha256, **runs_on, **asked}


READING = "scores.onnx"


class _Making:
    """What compiles a request, imported and made when something must be compiled."""

    def __init__(self, deployed: Deployed, settings: Settings, request: Request) -> None:
        self._given = deployed, settings, request
        self._lock = threading.Lock()
        self._making: Making | None = None

    def get(self) -> Making:
        """Return it."""
        from .making import Making

        deployed, settings, request = self._given
        with self._lock:
            if self._making is None:
                self._making = Making(deployed.load(), settings, request)
            return self._making
