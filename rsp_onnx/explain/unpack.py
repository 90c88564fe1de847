"""From what one run of a compiled explainer returns to explanations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from rsp_onnx.errors import BadModel
from rsp_onnx.inputs.classes import PREDICTED
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.layout import NO_CHANNELS, channels_last
from rsp_onnx.names import ANSWERS
from rsp_onnx.serving.account import Account, Found
from rsp_onnx.serving.losses import losses
from rsp_onnx.serving.variants import Run, Variant
from rsp_onnx.types import Array

from .compiled import Compiled
from .explanation import Explanation
from .pictures.heading import known_method
from .remarks import remarks


def explain_items(
    compiled: Compiled, items: Sequence[Feeds], targets: Sequence[Sequence[int]],
    rivals: Sequence[Sequence[Sequence[int]]],
) -> list[list[Explanation]]:  # fmt: skip
    """Run items of one size, as many at once as the graph takes; return one list of explanations per item."""
    explained: list[list[Explanation]] = []
    for run in compiled.serving.runs(items, targets, rivals):
        explained += explanations(compiled, run, items[run.part], targets[run.part], rivals[run.part])
    return explained


def explanations(
    compiled: Compiled, run: Run, items: Sequence[Feeds], targets: Sequence[Sequence[int]],
    rivals: Sequence[Sequence[Sequence[int]]],
) -> list[list[Explanation]]:  # fmt: skip
    """Return one list of explanations (one per target) per item of the run."""
    results = run.results
    scores = compiled.scores.read(results)
    explained = []
    for n, item in enumerate(items):
        rows = {key: _of_sample(compiled, key, r, n) for key, r in results.items() if _is_ours(key)}
        given = [name for name in compiled.outputs if name in results]
        own = {name: _row(results[name], compiled.sample_axes.get(name), n) for name in given}
        make = partial(
            Explanation, scores=scores[n], outputs=own, labels=compiled.labels, photo=item.photo,
            geometry=item.geometry, provider=run.variant.session.provider, method=compiled.method,
            kind=compiled.scores.kind, tensor=_one(compiled, item), inputs=tuple(s.name for s in compiled.inputs),
            cached=run.variant.cached,
        )  # fmt: skip
        classes = [int(np.argmax(scores[n])) if t == PREDICTED else t for t in targets[n]]
        asked = list(enumerate(zip(classes, map(tuple, rivals[n]), strict=False)))
        accounts = [_account(compiled, run.variant, item, rows, k, *one) for k, one in asked]
        notes = (*compiled.warnings, *run.variant.notes)
        explained.append([_filled(compiled, item, make, rows, k, *one, accounts[k], notes) for k, one in asked])
    return explained


def _of_sample(compiled: Compiled, key: str, r: Array, n: int) -> Array:
    """Return one sample's part of a result: ledgers [L, K, N], evidence [K, N, ...], relevance [K, N, ...]."""
    name = key.partition("/")[2] or compiled.name
    if key in _BY_ROW:
        return np.asarray(r[:, :, n])
    return r if key.startswith("relevance") and name in compiled.one_sample else np.asarray(r[:, n])


def _one(compiled: Compiled, item: Feeds) -> Array | None:
    tensor = item.tensors.get(compiled.name)
    return tensor if tensor is None or compiled.name in compiled.one_sample else _row(tensor, 0, 0)


def _row(output: Array, axis: int | None, n: int) -> Array:
    """Return one sample's part of an output. axis: of the samples; None where the output is one sample's."""
    return output if axis is None or axis >= output.ndim or n >= output.shape[axis] else output.take(n, axis)


_BY_ROW = ("ledger", "balance")


def _filled(
    compiled: Compiled, item: Feeds, make: Callable[..., Explanation], rows: Mapping[str, Array], k: int, target: int,
    hostile: tuple[int, ...], account: Account, notes: Sequence[str],
) -> Explanation:  # fmt: skip
    """Make the k-th target's, of relevance [K, ...] and evidence [K, 1+H]. make: knows the rest; notes: for all."""
    relevances = {name.partition("/")[2]: r[k] for name, r in rows.items() if name.startswith("relevance/")}
    main = rows["relevance"][k] if "relevance" in rows else relevances[compiled.name]
    if not np.isfinite(main).all():
        raise BadModel("The relevance is not finite: the model's activations overflow for this input.")
    relevances.setdefault(compiled.name, main)
    if compiled.name in compiled.one_sample:
        relevance, heatmap = main, main.sum(axis=-1, dtype=np.float64)  # time comes first, what was measured last
    else:
        relevance, heatmap = _as_image(main, compiled, item.photo is not None)
    explained = make(
        relevance=relevance.astype(np.float32), heatmap=heatmap.astype(np.float32), relevances=relevances,
        target=target, hostile=hostile if known_method(compiled.method).compares else (), account=account,
        warnings=tuple(dict.fromkeys((*notes, *item.remarks))),
    )  # fmt: skip
    evidence, answers = (rows[name][k] if name in rows else None for name in ("evidence", ANSWERS))
    own = (*_warnings(explained, evidence), *remarks(explained, hostile, answers))
    return replace(explained, warnings=tuple(dict.fromkeys((*notes, *own, *item.remarks)))) if own else explained


def _account(
    compiled: Compiled, variant: Variant, item: Feeds, rows: Mapping[str, Array], k: int, target: int,
    hostile: tuple[int, ...],
) -> Account:  # fmt: skip
    """Return where the k-th target's relevance went; where this run did not tell, another one will."""
    if variant.key.ledger or compiled.renew is None:
        return Account(_booked(variant, rows, k))
    return Account(find=partial(_run_again, compiled.renew, item, target, hostile))


def _booked(variant: Variant, rows: Mapping[str, Array], k: int) -> Found:
    """ledger: [L, K]; balance [1+L, K]: Σ|R₀|, then what each node gained."""
    sums = zip(variant.ledger, rows["ledger"][:, k] if "ledger" in rows else (), strict=True)
    row = rows["balance"][:, k] if "balance" in rows else [0.0]
    gained = {node: (op, float(g)) for (node, op), g in zip(variant.balance, row[1:], strict=True)}
    return {name: float(s) for name, s in sums}, losses(gained, float(row[0]), variant.reasons)


def _run_again(renew: Callable[[], Compiled], item: Feeds, target: int, hostile: Sequence[int]) -> Found:
    """Run once more with the ledger. renew: the compiled explainer, which nobody may have kept since."""
    compiled = renew()
    (run,) = compiled.serving.runs([item], [[target]], [[hostile]], ledger=True)
    return _booked(run.variant, {key: r[:, :, 0] for key, r in run.results.items() if key in _BY_ROW}, 0)


def _is_ours(name: str) -> bool:
    return name in ("relevance", "evidence", ANSWERS, *_BY_ROW) or name.startswith("relevance/")


def _as_image(relevance: Array, compiled: Compiled, photo: bool) -> tuple[Array, Array]:
    """Return (relevance with channels first, its channel sum); a gray image without channels gets one."""
    signature, channels = compiled.inputs[0], compiled.channels
    if relevance.ndim == 3 and signature.layout() == "NHWC":
        relevance = np.ascontiguousarray(np.moveaxis(relevance, -1, 0))
    if relevance.ndim == 4 and _volume_channels_last(relevance.shape, channels):
        return relevance, relevance.sum(axis=-1, dtype=np.float64)
    if relevance.ndim == 2 and channels == 2:  # a signal or sequence, what was measured stands last
        return relevance, relevance.sum(axis=1, dtype=np.float64)
    if relevance.ndim == 2 and (photo or signature.dtype == np.uint8 or channels == NO_CHANNELS):
        relevance = relevance[None]
    if relevance.ndim < 2:
        return relevance, relevance
    return relevance, relevance.sum(axis=0, dtype=np.float64)


def _volume_channels_last(sizes: Sequence[int], channels: int | None) -> bool:
    """Tell [D, H, W, C] from [C, D, H, W]: by the layer that reads it, else by the sizes, as of pictures."""
    return channels == 4 if channels is not None else channels_last((None, sizes[0], sizes[1], sizes[3]))


def _where_lost(explained: Explanation) -> str:
    if not explained.ledger:  # a method that asks about changed inputs
        black_box = known_method(explained.method).is_black_box
        return "the score was the same for every mask" if black_box else "so was every gradient that was asked for"
    kept = [name for name, total in explained.ledger.items() if total != 0]
    if not kept:
        return "nothing in the model's section responds to this image"
    return (
        f"it is lost behind {kept[-1]!r}, where all inputs are negative; try signed_inputs='abs' (--signed-inputs abs)"
    )


def _warnings(explained: Explanation, evidence: Array | None) -> tuple[str, ...]:
    if explained.is_zero:
        return (f"the relevance of {explained.label!r} is zero everywhere: {_where_lost(explained)}",)
    if evidence is None:
        return ()
    classes = (explained.target, *explained.hostile)
    return tuple(
        f"nothing in the model's section speaks for class {index}; its map was scaled by its largest magnitude"
        for index, peak in zip(classes, evidence[: len(classes)], strict=True)
        if peak <= 0
    )
