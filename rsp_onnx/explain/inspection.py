"""What would happen to a model, before anything runs: inputs, ops, section, forms, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from rsp_onnx.compiler.analysis import Analysis, analyse
from rsp_onnx.compiler.interface import begin
from rsp_onnx.compiler.walk import Lookup, feature_nodes, head_nodes
from rsp_onnx.cost.estimate import before_running, cost_of, sizes_given
from rsp_onnx.errors import BadInput, RspError, UnsupportedOp
from rsp_onnx.graph.op_facts import op_name
from rsp_onnx.inputs.find_preprocess import resolve_preprocess
from rsp_onnx.inputs.labels import read_labels
from rsp_onnx.inputs.tensors import signature_of
from rsp_onnx.loops.inside import with_bodies
from rsp_onnx.model.load import Model, ModelSource, load_model
from rsp_onnx.model.sizes import free_axes, trial_sizes
from rsp_onnx.rewrite.expand import why_unexpanded
from rsp_onnx.rulekit.context import Options
from rsp_onnx.rulekit.registry import find_rule, find_vjp, node_report, says, stops, why_not
from rsp_onnx.scores.reading import ScoreOptions
from rsp_onnx.version import __version__

from .compile import compile_ir, keeps_ledger, runs_one_by_one
from .notes import notes_on


def inspect_model(
    model: ModelSource, *, output: str | None = None, section: str | None = None,
    input_shapes: Mapping[str, Sequence[int | None]] | None = None, region: str = "auto",
    class_axis: int | None = None, class_rows: str = "", cost: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Describe a model and how it would be explained; nothing is run.

    Parameters
    ----------
    cost : bool
        Compile the explanation to tell its cost, which takes most of the time of an inspection.

    Returns
    -------
    dict
        JSON-ready: ``model``, ``sha256``, ``version``, ``opset``, ``inputs``, ``outputs``, ``ops`` (op, count, where,
        relevance, gradient, explained), ``nodes`` (node, op, where, output, what its rule does, explained),
        ``section``, ``alternatives``, ``forms`` (per conv or dense node: form, operations, memory, alternatives),
        ``cost`` (of one explanation by RSP: ``operations``, multiply-adds of its products, and ``forward_operations``;
        ``ratio`` of the time to that of a forward pass, one thread; ``peak_memory_bytes``, resident, from the file to
        the map, weights included and libraries not; None where it was not asked for or cannot be told),
        ``missing``, ``warnings``, ``explainable``, ``tensors`` (of the deployed graph; ``relevance`` tells whether
        relevance passes them).

    Raises
    ------
    BadModel, BadInput
        The model cannot be read, or a name does not exist.
    """
    loaded = load_model(model)
    shapes = dict(input_shapes or {})
    if free_axes(loaded.ir).keys() - shapes.keys():
        shapes = trial_sizes(loaded.ir) | shapes
    scores = ScoreOptions(output, region, class_axis, class_rows, _labels(loaded))
    analysis = analyse(loaded, scores=scores, section=section, input_shapes=shapes)
    graph, chosen = analysis.graph, analysis.section
    features, head = feature_nodes(graph, chosen.value), head_nodes(graph, chosen.value, analysis.logits)
    ops = _ops(analysis, features, head)
    missing = [row["op"] for row in ops if not row["explained"]]
    told, unsure = _cost(loaded, analysis) if cost and not missing else (None, [])
    return _file(loaded) | {
        "inputs": [_own(loaded, v) | {"explained": v in graph.inputs} for v in graph.model.graph.inputs],
        "outputs": [_tensor(v) | {"explained": v is analysis.output} for v in graph.model.graph.outputs],
        "scores": analysis.kind,
        "logits": str(analysis.logits.name),
        "classes": analysis.classes,
        "reading": _reading(analysis),
        "labels": _labels(loaded),
        "preprocessing": _preprocessing(loaded, analysis),
        "ops": ops,
        "nodes": _nodes(analysis, features, head),
        "section": {"tensor": chosen.name, "shape": _shape(chosen.value), "channel_axis": chosen.channel_axis,
                    "note": chosen.note},
        "alternatives": list(chosen.alternatives),
        "forms": [] if missing else _forms(analysis),
        "cost": told,
        "missing": missing,
        "explainable": not missing,
        "warnings": [*notes_on(loaded, analysis), *unsure],
        "tensors": _tensors(loaded, analysis, features),
    }  # fmt: skip


def _cost(loaded: Model, analysis: Analysis) -> tuple[dict[str, Any] | None, list[str]]:
    """Return what one explanation by RSP costs, and a sentence where that cannot be told, or not all of it."""
    try:
        compiled = as_explained(analysis)
    except RspError as error:
        return None, [f"What an explanation costs is not told: {str(error).rstrip('.')}."]
    shapes = sizes_given(analysis.graph)
    explained = cost_of(compiled, shapes, calls=1, before=before_running(loaded, analysis.graph, analysis.deployed))
    forward = cost_of(analysis.deployed, shapes)
    some = f"The cost leaves out {explained.unknown} tensors whose size depends on the numbers of the input."
    return explained.beside(forward), [some] if explained.unknown else []


def as_explained(analysis: Analysis, method: str = "rsp") -> ir.Model:
    """Compile an explanation as ``Explainer`` does on the CPU."""
    alone, whole = runs_one_by_one(analysis, method, "cpu"), not keeps_ledger(method)
    options = Options(in_process=alone)
    return compile_ir(analysis, method, options=options, ledger=whole, evidence=True, one_by_one=alone, several=False)


def _reading(analysis: Analysis) -> dict[str, Any]:
    """Say what the axes of the scores are taken for."""
    reading, axes = analysis.reading, analysis.reading.axes
    return {
        "output": analysis.output_name, "sample_axis": axes.sample, "class_axis": axes.classes, "told_by": axes.told_by,
        "guessed": axes.guessed, "position_axes": list(axes.places), "rows": list(axes.rows) if axes.rows else None,
        "region": reading.region or None,
    }  # fmt: skip


def _file(loaded: Model) -> dict[str, Any]:
    """Say what the file is, before anything is found in it."""
    return {
        "model": str(loaded.path) if loaded.path else None,
        "sha256": loaded.sha256,
        "version": __version__,
        "producer": loaded.producer,
        "opset": dict(loaded.ir.graph.opset_imports),
    }


def _tensors(loaded: Model, analysis: Analysis, features: Sequence[ir.Node]) -> list[dict[str, Any]]:
    """List the tensors the deployed graph computes, with the shapes the analysis found."""
    known = analysis.graph.values
    passed = {v.name for n in features for v in (*n.inputs, *n.outputs) if v is not None and analysis.graph.active(v)}
    values = [v for n in loaded.ir.graph for v in n.outputs if v.name]
    return [_tensor(known.get(str(v.name), v)) | {"relevance": v.name in passed} for v in values]


def _own(loaded: Model, value: ir.Value) -> dict[str, Any]:
    """Describe an input as its file does: sizes assumed for the analysis stay free."""
    return _tensor(next((v for v in loaded.ir.graph.inputs if v.name == value.name), value))


def _ops(analysis: Analysis, features: Sequence[ir.Node], head: Sequence[ir.Node]) -> list[dict[str, Any]]:
    places = dict.fromkeys(features, "features") | dict.fromkeys(head, "head")
    counts = Counter((op_name(n), places.get(n, "beside")) for n in analysis.graph.nodes)
    first = {(op_name(n), places.get(n, "beside")): n for n in reversed(analysis.graph.nodes)}
    rows = []
    for (op, place), count in sorted(counts.items()):
        node = first[op, place]
        relevance, gradient = (_has_rules(analysis, node, find) for find in (find_rule, find_vjp))
        explained = place == "beside" or (relevance if place == "features" else gradient) or stops(node)
        rows.append(
            {"op": op, "where": place, "count": count, "relevance": relevance, "gradient": gradient,
             "explained": explained}
        )  # fmt: skip
    return rows


def _has_rules(analysis: Analysis, node: ir.Node, find: Lookup) -> bool:
    """Tell whether a node's op has a rule, and of a loop whether all that it holds have."""
    try:
        inside = with_bodies(analysis.graph, [node]) if node in analysis.graph.dag else [node]
    except UnsupportedOp:  # told where it is compiled
        return False
    return all(find(inner) is not None for inner in inside)


def _nodes(analysis: Analysis, features: Sequence[ir.Node], head: Sequence[ir.Node]) -> list[dict[str, Any]]:
    """Say per node on the way what its rule does: relevance in the features, the gradient in the head."""
    places, rows = dict.fromkeys(features, "features") | dict.fromkeys(head, "head"), []
    for node in analysis.graph.nodes:
        where = places.get(node)
        if where is None:
            continue
        does = says(node, relevance=where == "features") or "step by step, by the rules of what it holds"
        known = _has_rules(analysis, node, find_rule if where == "features" else find_vjp) or stops(node)
        rows.append(
            {
                "node": str(node.name),
                "op": op_name(node),
                "where": where,
                "output": str(node.outputs[0].name),
                "does": does if known else why_not(node) or why_unexpanded(node) or "no rule",
                "explained": known,
            }
        )
    return rows


def _forms(analysis: Analysis) -> list[dict[str, Any]]:
    """Say which form every layer takes that has several; asked of a copy, since a context writes into its graph."""
    ctx, plan = begin(analysis.copied(), Options())
    reports = ((node, node_report(ctx, node)) for node in feature_nodes(ctx.graph, plan.section.value))
    return [
        {"node": str(node.name), "op": op_name(node), "output": str(node.outputs[0].name), **report}
        for node, report in reports
        if report is not None
    ]


def _tensor(value: ir.Value) -> dict[str, Any]:
    return {"name": str(value.name), "dtype": str(value.dtype.numpy()) if value.dtype else None, "shape": _shape(value)}


def _shape(value: ir.Value) -> list[int | str | None]:
    if value.shape is None:
        return []
    return [d if isinstance(d, int) else getattr(d, "value", None) for d in value.shape]


def _labels(loaded: Model) -> int | None:
    try:
        labels = read_labels(None, loaded.metadata)
    except RspError:
        return None
    return None if labels is None else len(labels)


def _preprocessing(loaded: Model, analysis: Analysis) -> dict[str, Any] | None:
    """Return how a photograph would be preprocessed; None where the input is not an image."""
    if len(analysis.graph.inputs) != 1:
        return None
    try:
        return resolve_preprocess(
            None, signature=signature_of(analysis.graph.inputs[0]), metadata=loaded.metadata,
            model_path=loaded.path, producer=loaded.producer,
        ).to_dict()  # fmt: skip
    except BadInput:
        return None


def summary_numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the total operations and the largest memory of the conv rules, per sample and target."""
    forms = report["forms"]
    return {
        "operations": float(sum(f["operations"] for f in forms)),
        "memory": float(max((f["memory"] for f in forms), default=0)),
    }
