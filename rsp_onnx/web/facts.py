"""What the page must know of a model, in the words of web/src/engine/types.ts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rsp_onnx.attribution.catalogue import METHODS, MethodFacts, load_method
from rsp_onnx.axes.input_channels import input_channels
from rsp_onnx.compiler.analysis import Analysis, Needs
from rsp_onnx.compiler.interface import check_method
from rsp_onnx.errors import BadInput, BadModel, UnsupportedOp
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.explain.notes import notes_on
from rsp_onnx.graph.shapes import carries_ids
from rsp_onnx.inputs.labels import check_labels
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.layout import NO_CHANNELS
from rsp_onnx.model.sizes import free_axes, trial_sizes

from .layers import layers_of, shape_of, tensors_reached

if TYPE_CHECKING:
    import onnx_ir as ir

_COLOUR_COUNTS = (1, 3, 4, None)  # what a photograph can fill; None is free


def model_facts(
    explainer: Explainer, *, id: str, name: str, labels_source: str | None = None, size: int | None = None
) -> dict[str, Any]:
    """Say what a model is, as ``ModelFacts`` of the page.

    Parameters
    ----------
    explainer : Explainer
        Of any method; its labels, preprocessing and section are those of the page.
    id, name : str
        What the engine calls the model, and what its file is called.
    labels_source : str, optional
        Where the labels came from, in words; default: "metadata" where there are any.
    size : int, optional
        Bytes of the file, for a model that was given in memory.

    Returns
    -------
    dict
        JSON-ready. ``refused`` is the sentence with which ``rsp-onnx explain`` refuses the model, and ``methods`` are
        then those that work all the same.

    Raises
    ------
    BadModel
        No method can explain the model; the sentence is rsp's.
    BadInput
        There are more or fewer labels than classes.
    """
    seen = _see(explainer)
    analysis, labels = seen.analysis, explainer.labels
    if labels is not None and analysis.classes is not None:
        check_labels(labels, analysis.classes)
    kind = _kind(analysis, explainer)
    return {
        "id": id, "name": name, "sha256": explainer.facts.sha256, "bytes": _bytes(explainer, size),
        "producer": explainer.facts.producer, "kind": kind, "inputs": _inputs(explainer, analysis),
        "classes": analysis.classes or 0, "labels": None if labels is None else list(labels),
        "labelsSource": ("metadata" if labels else "") if labels_source is None else labels_source,
        "scoreKind": analysis.kind, "preprocess": explainer.preprocess.to_dict() if kind == "photo" else None,
        "methods": [method_facts(one) for one in seen.methods], "layers": layers_of(analysis, seen.reached),
        "warnings": [*notes_on(explainer.model, analysis), *_guesses(explainer, kind)], "refused": seen.refused,
    }  # fmt: skip


def method_facts(method: MethodFacts) -> dict[str, Any]:
    """Say what a method is, as ``MethodFacts`` of the page."""
    return {
        "name": method.name, "title": method.title, "paper": method.paper, "note": method.note,
        "compares": method.compares, "signed": method.signed,
    }  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """A model's analysis, the methods that have what they need, why rsp is not among them, and where its maps are."""

    analysis: Analysis
    methods: Sequence[MethodFacts]
    refused: str | None = None
    reached: frozenset[str] = frozenset()


def _see(explainer: Explainer) -> _Seen:
    """Analyse a model; where that fails, for methods that look at scores alone."""
    item = trial_item(explainer)
    try:
        analysis = explainer.analyse(item)
    except BadModel as error:
        try:
            analysis = explainer.analyse(item, Needs(black_box=True))
        except (BadModel, BadInput):
            raise error from None
        return _Seen(analysis, [one for one in METHODS.values() if one.is_black_box], str(error))
    why = {one.name: _why_not(analysis, one) for one in METHODS.values()}
    able = [one for one in METHODS.values() if why[one.name] is None]
    return _Seen(analysis, able, why["rsp"], tensors_reached(analysis, "rsp"))


def _why_not(analysis: Analysis, method: MethodFacts) -> str | None:
    """Return the sentence with which a method refuses the model's ops; None where it has what it needs."""
    if method.is_black_box:
        return None
    try:
        check_method(analysis, load_method(method.name))
    except UnsupportedOp as error:
        return str(error)
    return None


def trial_item(explainer: Explainer) -> Feeds:
    """Return an item of zeros at sizes at which the model runs, to look at the model without an input."""
    tried = trial_sizes(explainer.model.ir) if free_axes(explainer.model.ir) else {}
    tensors = {}
    for one in explainer.signatures:
        guessed = tried.get(one.name, one.shape)
        sizes = [own or size or 1 for own, size in zip(one.shape, guessed, strict=True)]
        tensors[one.name] = np.broadcast_to(np.zeros((), one.dtype), sizes)
    return Feeds(tensors)


def _inputs(explainer: Explainer, analysis: Analysis) -> list[dict[str, Any]]:
    own = {str(v.name): v for v in explainer.model.ir.graph.inputs}
    explained = {str(v.name) for v in analysis.graph.inputs}
    return [
        {"name": one.name, "dtype": str(one.dtype), "shape": shape_of(own[one.name]),
         "explained": one.name in explained}
        for one in explainer.signatures
    ]  # fmt: skip


def _bytes(explainer: Explainer, size: int | None) -> int:
    path = explainer.facts.path
    return size if size is not None else path.stat().st_size if path is not None else 0


def _guesses(explainer: Explainer, kind: str) -> list[str]:
    if kind != "photo" or explainer.preprocess.source != "guessed":
        return []
    name = explainer.preprocess.name
    return [f"How photographs are prepared is guessed ({name}): nothing beside or in the model's file says it."]


def _kind(analysis: Analysis, explainer: Explainer) -> str:
    """Return what the first explained input with axes is: ``Kind`` of the page."""
    graph = analysis.graph
    first = next((v for v in graph.inputs if graph.dims(v)), graph.inputs[0])
    sizes = graph.dims(first)
    if carries_ids(first):
        return "tokens"
    if len(sizes) == 4:
        return "photo" if _takes_photos(explainer) else "image"
    if len(sizes) == 3:
        return "photo" if _is_gray(analysis, first) and _takes_photos(explainer) else "signal"
    return {2: "table", 5: "volume"}.get(len(sizes), "other")


def _takes_photos(explainer: Explainer) -> bool:
    """Tell whether a photograph can be made into the model's input, which is its only one."""
    if len(explainer.signatures) != 1:
        return False
    try:
        return explainer.signatures[0].channels in _COLOUR_COUNTS and explainer.signatures[0].dtype != np.bool_
    except BadInput:
        return False


def _is_gray(analysis: Analysis, value: ir.Value) -> bool:
    """Tell of three axes that are a gray picture's: so the first layer says, else bytes, or as many rows as columns."""
    channels, sizes = input_channels(analysis.graph, value), analysis.graph.dims(value)
    if channels is not None:
        return channels == NO_CHANNELS
    return str(value.dtype).lower() == "uint8" or sizes[1] == sizes[2]
