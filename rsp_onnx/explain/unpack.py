"""From what one run of a compiled explainer returns to explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.compiler.ledger import Loss, losses
from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.shapes import leads_with_batch
from rsp_onnx.inputs.prepare import InputSignature
from rsp_onnx.inputs.tensors import Feeds, signature_of
from rsp_onnx.model.session import Session
from rsp_onnx.rewrite.regions import pooled_scores
from rsp_onnx.types import Array

from .explanation import Explanation


@dataclass(frozen=True)
class Compiled:
    """An explainer for one input size: its session, what was analysed, and what the ledger's rows are.

    Attributes
    ----------
    ledger : tuple of str
        Tensors.
    balance : tuple of (str, str)
        Nodes and their ops.
    whole : frozenset of str
        Inputs and tensors whose relevance is one sample's as it is, see ``not_by_sample``.
    activation_bytes : int
        Of the model's own tensors for one sample.
    """

    session: Session
    analysis: Analysis
    ledger: tuple[str, ...]
    balance: tuple[tuple[str, str], ...] = ()
    method: str = "rsp"
    labels: tuple[str, ...] | None = None
    whole: frozenset[str] = frozenset()
    activation_bytes: int = 0


def not_by_sample(graph: Graph, tensors: Sequence[str]) -> frozenset[str]:
    """Return which inputs and wanted tensors do not have the batch in front: their relevance is one sample's as it is.

    Raises
    ------
    BadInput
        The batch is free, and a wanted tensor does not keep its samples apart.
    """
    values = [*graph.inputs, *(graph.values[name] for name in tensors if name in graph.values)]
    if graph.batch is not None:
        return frozenset(str(v.name) for v in values if graph.batch == 1 and graph.dims(v)[:1] != (1,))
    for value in values:
        if not leads_with_batch(value):
            raise BadInput(
                f"The relevance at {value.name!r} cannot be told apart by sample: its first axis is not the batch; "
                "name another tensor."
            )
    return frozenset()


def scores_of(analysis: Analysis, raw: Array) -> Array:
    """Return the model's scores as float32 [N, classes]; BadModel where they are not finite."""
    if analysis.region:
        raw = pooled_scores(raw, analysis.region)
    scores = as_scores(raw, analysis.output, analysis.graph.constant)
    if not np.isfinite(scores).all():
        raise BadModel(
            "The model's own scores are NaN or infinite for this input; check the preprocessing and the weights."
        )
    return scores


def explanations(
    compiled: Compiled, results: Mapping[str, Array], items: Sequence[Feeds],
    targets: Sequence[Sequence[int]], rivals: Sequence[Sequence[Sequence[int]]],
) -> list[list[Explanation]]:  # fmt: skip
    """Return one list of explanations (one per target) per item of the batch."""
    scores = scores_of(compiled.analysis, results[compiled.analysis.output_name])
    found = []
    for n, item in enumerate(items):
        rows = {key: _of_sample(compiled, key, r, n) for key, r in results.items() if _is_ours(key)}
        own = {str(v.name): _row(results[str(v.name)], n) for v in _own_outputs(compiled, results)}
        base = Explanation(
            _NOTHING, _NOTHING, scores[n], 0, outputs=own, labels=compiled.labels, photo=item.photo,
            geometry=item.geometry, provider=compiled.session.provider, method=compiled.method,
        )  # fmt: skip
        found.append(
            [
                _filled(compiled, replace(base, target=t, hostile=tuple(rivals[n][k])), rows, k)
                for k, t in enumerate(targets[n])
            ]
        )
    return found


def _of_sample(compiled: Compiled, key: str, r: Array, n: int) -> Array:
    """Return one sample's part of a result: ledgers [L, K, N], evidence [K, N, ...], relevance [K, N, ...]."""
    name = key.partition("/")[2] or str(compiled.analysis.graph.inputs[0].name)
    if key in _BY_ROW:
        return np.asarray(r[:, :, n])
    return r if key.startswith("relevance") and name in compiled.whole else np.asarray(r[:, n])


def _row(output: Array, n: int) -> Array:
    return np.asarray(output[n]) if output.ndim and n < len(output) else output


_BY_ROW = ("ledger", "balance")
_NOTHING = np.zeros((0,), np.float32)


def _filled(compiled: Compiled, base: Explanation, rows: Mapping[str, Array], k: int) -> Explanation:
    """Add the relevance of the k-th target: tensors [K, ...], ledger and balance [L, K], evidence [K, 1+H]."""
    first = compiled.analysis.graph.inputs[0]
    relevances = {name.partition("/")[2]: r[k] for name, r in rows.items() if name.startswith("relevance/")}
    main = rows["relevance"][k] if "relevance" in rows else relevances[str(first.name)]
    if not np.isfinite(main).all():
        raise BadModel("The relevance is not finite: the model's activations overflow for this input.")
    relevances.setdefault(str(first.name), main)
    if str(first.name) in compiled.whole:
        relevance, heatmap = main, main.sum(axis=-1, dtype=np.float64)  # time comes first, what was measured last
    else:
        relevance, heatmap = _as_image(main, signature_of(first), base.photo is not None)
    ledger = rows["ledger"][:, k] if "ledger" in rows else ()
    sums = {name: float(s) for name, s in zip(compiled.ledger, ledger, strict=True)}
    found = replace(
        base, relevance=relevance.astype(np.float32), heatmap=heatmap.astype(np.float32), ledger=sums,
        relevances=relevances, losses=_losses(compiled, rows["balance"][:, k]) if "balance" in rows else (),
    )  # fmt: skip
    return replace(found, warnings=_warnings(found, rows["evidence"][k] if "evidence" in rows else None))


def _losses(compiled: Compiled, row: Array) -> tuple[Loss, ...]:
    """row: Σ|R₀|, then what each node gained."""
    gained = zip(compiled.balance, row[1:], strict=True)
    return losses({node: (op, float(g)) for (node, op), g in gained}, float(row[0]))


def _is_ours(name: str) -> bool:
    return name in ("relevance", "evidence", *_BY_ROW) or name.startswith("relevance/")


def _own_outputs(compiled: Compiled, results: Mapping[str, Array]) -> list[ir.Value]:
    outputs = compiled.analysis.graph.model.graph.outputs
    return [v for v in outputs if v.name in results and not _is_ours(str(v.name))]


def _as_image(relevance: Array, signature: InputSignature, photo: bool) -> tuple[Array, Array]:
    """Return (relevance with channels first, its channel sum); a gray image without channels gets one."""
    if relevance.ndim == 3 and signature.layout() == "NHWC":
        relevance = np.ascontiguousarray(np.moveaxis(relevance, -1, 0))
    if relevance.ndim == 2 and (photo or signature.dtype == np.uint8):
        relevance = relevance[None]
    if relevance.ndim < 2:
        return relevance, relevance
    return relevance, relevance.sum(axis=0, dtype=np.float64)


def _where_lost(found: Explanation) -> str:
    kept = [name for name, total in found.ledger.items() if total != 0]
    if not kept:
        return "nothing in the model's section responds to this image"
    return (
        f"it is lost behind {kept[-1]!r}, where all inputs are negative; try signed_inputs='abs' (--signed-inputs abs)"
    )


def _warnings(found: Explanation, evidence: Array | None) -> tuple[str, ...]:
    if found.is_zero:
        return (f"the relevance of {found.label!r} is zero everywhere: {_where_lost(found)}",)
    if evidence is None:
        return ()
    classes = (found.target, *found.hostile)
    return tuple(
        f"nothing in the model's section speaks for class {index}; its map was scaled by its largest magnitude"
        for index, peak in zip(classes, evidence[: len(classes)], strict=True)
        if peak <= 0
    )


def as_scores(raw: np.ndarray[Any, Any], output: ir.Value, constant: Any) -> np.ndarray[Any, Any]:
    """Return the model's scores as float32 [N, classes]; quantised outputs are dequantised by their own scale."""
    node = output.producer()
    values = raw.astype(np.float32)
    if node is not None and node.op_type == "QuantizeLinear" and raw.dtype.kind in "iu":
        scale, zero = constant(node.inputs[1]), constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if scale is not None and scale.size == 1:
            values = (values - (0.0 if zero is None else float(zero))) * float(scale)
    return values.reshape(values.shape[0], -1)
