"""Compiling what an explainer needs; all that knows a graph is imported here, and here alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import onnx_ir as ir

from rsp_onnx.attribution.catalogue import load_method
from rsp_onnx.axes.input_channels import input_channels
from rsp_onnx.compiler.analysis import Analysis, Needs, analyse
from rsp_onnx.compiler.interface import check_method
from rsp_onnx.compiler.second_forward import rounds
from rsp_onnx.devices.device import resolve_device
from rsp_onnx.errors import RspError
from rsp_onnx.explain.compile import compile_ir, keeps_ledger, needs_of, runs_one_by_one
from rsp_onnx.explain.compiled import Compiled
from rsp_onnx.graph.dag import activation_bytes
from rsp_onnx.inputs.batching import Shapes
from rsp_onnx.inputs.tensors import signature_of
from rsp_onnx.model.load import Model
from rsp_onnx.model.serialise import count_nodes, save_plain
from rsp_onnx.model.session import Session
from rsp_onnx.rulekit.context import Options
from rsp_onnx.rulekit.registry import why_lost
from rsp_onnx.scores.axes import sample_axis
from rsp_onnx.scores.outputs import exposed
from rsp_onnx.scores.reading import ScoreOptions
from rsp_onnx.serving.variants import Serving, Variant, VariantKey, variant_of

from .reading import not_by_sample, scores_of
from .sessions import FILE, Kept
from .settings import Request, Settings

_WORTH_SHARING = 12_000  # bytes of the model's tensors per node of the explainer, below which one thread is faster


def analysed(model: Model, settings: Settings, shapes: Shapes, needs: Needs | None = None) -> Analysis:
    """Return what a model is for inputs of these shapes."""
    said = ScoreOptions(
        settings.output, settings.region, settings.class_axis, settings.class_rows, settings.label_count
    )
    return analyse(model, scores=said, section=settings.section, input_shapes=dict(shapes), needs=needs)


class Making:
    """Compiles the variants of one request; the model is analysed once, when something is asked."""

    def __init__(self, model: Model, settings: Settings, request: Request) -> None:
        self._model, self._settings, self._request = model, settings, request

    @cached_property
    def analysis(self) -> Analysis:
        """What the model is."""
        return analysed(self._model, self._settings, self._request.shapes, needs_of(self._settings.method))

    @property
    def key(self) -> VariantKey:
        """The variant that serves."""
        alone = runs_one_by_one(self.analysis, self._settings.method, self._settings.device)
        return VariantKey(alone, self._settings.ledger or not keeps_ledger(self._settings.method))

    def variant(self, key: VariantKey, draft: Path | None) -> tuple[Variant, Kept | None]:
        """Compile a variant; where there is a draft, its model is written there, and what was is returned too."""
        told, analysis = self._settings, self.analysis
        options = Options(told.purge, told.split, told.signed_inputs, in_process=key.one_by_one)
        compiled = compile_ir(
            analysis, told.method, tensors=self._request.tensors, ledger=key.ledger, evidence=True,
            one_by_one=key.one_by_one, several=key.several, options=options,
        )  # fmt: skip
        start = partial(
            Session, compiled, told.device, self._threads_for(compiled), guarded=rounds(analysis.graph),
            spinning=told.threads is not None,
        )  # fmt: skip
        session, kept = started(compiled, start, told.device, draft)
        variant = variant_of(session, key, compiled.metadata_props, 1 if key.one_by_one else analysis.graph.batch)
        return replace(variant, reasons={op: why_lost(op) for _, op in variant.balance}), kept

    def _threads_for(self, compiled: ir.Model) -> int | None:
        """Return how many threads run a file; None for as many as cores.

        Where nobody said, one for files of many small nodes: handing a part of each to another thread takes longer than
        doing it. On two cores ResNet-20 (32×32 pixels, 1.8 kB of tensors per node) takes 15 ms with one thread and 34
        with two, a ViT of 9 kB 38 and 59; MobileNetV2 (30 kB) 239 and, with threads that do not spin, 149.
        """
        if self._settings.threads is not None:
            return self._settings.threads
        bytes_of_nodes = _WORTH_SHARING * count_nodes(compiled)
        return None if activation_bytes(self.analysis.graph) >= bytes_of_nodes else 1

    def compiled(self, serving: Serving, labels: tuple[str, ...] | None) -> Compiled:
        """Return a compiled explainer's sessions with what must be known to read their results."""
        graph, told = self.analysis.graph, self._settings
        method = load_method(told.method)
        if not method.is_black_box:  # told before a variant is compiled, which is done when one is needed
            check_method(self.analysis, method)
        outputs = graph.model.graph.outputs
        first = next((v for v in graph.inputs if graph.dims(v)), graph.inputs[0])
        channels = input_channels(graph, first) if len(graph.dims(first)) in (3, 5) else None
        return Compiled(
            serving, scores_of(self.analysis), graph.batch, tuple(signature_of(v) for v in graph.inputs),
            tuple(str(v.name) for v in outputs), told.method, labels, not_by_sample(graph, self._request.tensors),
            activation_bytes(graph), self.analysis.warnings,
            {str(v.name): sample_axis(graph, v) for v in outputs}, channels,
        )  # fmt: skip


def scoring(
    model: Model, output: str, device: str, threads: int | None, draft: Path | None
) -> tuple[Session, Kept | None]:
    """Return a session of the deployed model with a tensor of it among its outputs."""
    work = exposed(model.ir, output)
    return started(work, partial(Session, work, device, threads), device, draft)


def started(
    model: ir.Model, start: Callable[..., Session], device: str, draft: Path | None
) -> tuple[Session, Kept | None]:
    """Start a session; where there is a draft, write there what is started the same way without the graph."""
    if draft is None:
        return start(), None
    on_cpu = resolve_device(device).on_cpu  # what ONNX Runtime writes for a GPU is not loaded by all of its versions
    try:
        session = start(keep=draft / FILE) if on_cpu else start()
        if not on_cpu:
            save_plain(model, draft / FILE)
    except (RspError, OSError):  # either the model or the disk: without writing it is told which
        return start(), None
    return session, Kept(count_nodes(model), on_cpu, session.level, session.threads, session.spinning)
