"""Parameter randomisation: a map that stays the same when the model's weights are noise explains something else."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rsp_onnx.errors import RspError
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.extras import need
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array, Record

from .base import Named
from .bootstrap import mean_of_classes
from .protocol import Figure, seen
from .randomise import Layer, randomised, stages, weight_layers

CaseOf = tuple[Feeds, int, Sequence[int]]
_AT_ONCE = 8
_WINDOW = 7  # pixels, of SSIM
MEASURES = ("spearman", "spearman-absolute", "ssim")


class ParameterRandomisation(Named):
    """Adebayo et al. 2018: weights are drawn anew from the top layer down (cascade), or one layer at a time."""

    kind = "parameter-randomisation"
    direction = "lower"
    bounds = (-1.0, 1.0)
    source = "Adebayo et al. 2018, Sanity Checks for Saliency Maps"
    defaults: ClassVar[Mapping[str, float]] = {"stages": 5.0}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"stages": (1, 1000)}
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"mode": ("both", "cascade", "independent")}

    @property
    def protocol(self) -> str:
        """One sentence: what exactly is done."""
        return (
            "Weights of convolutions and matrix products are drawn anew (normal with the weight's own mean and "
            "standard deviation, stored integers permuted; seeded; biases and normalisations stay), the top layer "
            f"first: all layers from the top down to one (cascade), and that one alone (independent), at up to "
            f"{self.count('stages')} layers spaced from top to bottom; |Spearman| of the signed maps, so that a map "
            "turned upside down does not count as changed, Spearman of the absolute maps, and SSIM of the maps divided "
            "by their largest absolute value, between the deployed model's map and the changed model's for the same "
            "class; mean over images and stages; a map that becomes constant counts 0."
        )

    def run(
        self, make: Callable[[Any], Explainer], model: Any, cases: Sequence[CaseOf], signed: bool, seed: int,
    ) -> list[Record]:  # fmt: skip
        """Return a record per case, mode and stage: case, mode, stage, of, layer, and the measures; see ModelMetric."""
        before = maps_of(make(model), cases, signed)
        layers = weight_layers(model)[::-1]  # the top layer first
        records: list[Record] = []
        for mode, stage, chosen in self._plan(layers):
            facts = {"mode": mode, "stage": stage, "of": len(layers), "layer": chosen[-1].node}
            try:
                after = maps_of(make(randomised(model, chosen, seed)), cases, signed)
            except RspError as error:  # scores that overflow, say: this stage has no maps
                records.append({**facts, "case": -1, "error": str(error)})
                continue
            pairs = enumerate(zip(before, after, strict=True))
            records += [{**facts, "case": n, **compare(old, new)} for n, (old, new) in pairs]
        return records

    def _plan(self, layers: Sequence[Layer]) -> list[tuple[str, int, Sequence[Layer]]]:
        """Return (mode, how many layers from the top, the layers that are drawn anew)."""
        steps: list[tuple[str, int, Sequence[Layer]]] = []
        for stage in stages(len(layers), self.count("stages")):
            if self.word["mode"] != "independent":
                steps.append(("cascade", stage, layers[:stage]))
            if self.word["mode"] != "cascade" and not (stage == 1 and self.word["mode"] == "both"):
                steps.append(("independent", stage, layers[stage - 1 : stage]))  # the top one alone is in the cascade
        return steps

    def figures(self, records: Sequence[Mapping[str, Any]]) -> list[Figure]:
        """Return |Spearman| overall, the other measures, both modes, the last layer, and every stage."""
        good = [r for r in records if "spearman" in r]
        groups = {mode: [r for r in good if r["mode"] == mode] for mode in ("cascade", "independent")}
        groups["last-layer"] = [r for r in good if r["stage"] == 1]
        for mode, stage in dict.fromkeys((r["mode"], r["stage"]) for r in good):
            groups[f"{mode}:{stage}"] = [r for r in groups[mode] if r["stage"] == stage]
        figures = [self._figure("all", good, "spearman"), self._figure("spearman-absolute", good, "spearman-absolute")]
        figures += [self._figure("ssim", good, "ssim")]
        figures += [self._figure(subset, here, "spearman") for subset, here in groups.items()]
        return [figure for figure in figures if figure is not None]

    def _figure(self, subset: str, records: Sequence[Mapping[str, Any]], measure: str) -> Figure | None:
        chosen = [r for r in records if r.get(measure) is not None]
        if not chosen:
            return None
        values = [abs(r[measure]) if measure == "spearman" else r[measure] for r in chosen]
        return self.figure(subset, mean_of_classes(values, [r["case"] for r in chosen]))


def maps_of(explainer: Explainer, cases: Sequence[CaseOf], signed: bool) -> list[Array]:
    """Return the map of every case, float64 [H, W]."""
    maps: list[Array] = []
    for start in range(0, len(cases), _AT_ONCE):
        part = cases[start : start + _AT_ONCE]
        explained = explainer.explain_each([c[0] for c in part], [[c[1]] for c in part], [[list(c[2])] for c in part])
        maps += [seen(one[0], signed) for one in explained]
    return maps


def compare(old: Array, new: Array) -> dict[str, float | None]:
    """Return how alike two maps are: Spearman of the signed and of the absolute maps, and SSIM.

    SSIM is None where a side is shorter than its window.
    """
    measures: dict[str, float | None] = {
        "spearman": spearman(old, new),
        "spearman-absolute": spearman(np.abs(old), np.abs(new)),
        "ssim": None,
    }
    if min(old.shape) >= _WINDOW:
        ssim = need("skimage.metrics", "Structural similarity").structural_similarity
        measures["ssim"] = float(ssim(_scaled(old), _scaled(new), data_range=2.0, win_size=_WINDOW))
    return measures


def spearman(old: Array, new: Array) -> float:
    """Return the rank correlation of two maps; 0 where one of them is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant maps
        value = float(need("scipy.stats", "Rank correlation").spearmanr(old.ravel(), new.ravel()).statistic)
    return value if np.isfinite(value) else 0.0


def _scaled(heatmap: Array) -> Array:
    top = float(np.abs(heatmap).max())
    return heatmap / top if top > 0 else heatmap


PARAMETER_RANDOMISATION_METRICS = (ParameterRandomisation,)
