"""What a new recording changed, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .goldens import Golden, Goldens
from .similarity import similarities

_ASKED = ("asked_target", "asked_hostile", "target_label", "predicted_label", "hostile")
_FIGURES = ("inside", "leakage", "hit", "lost")


def changes_of(old: Goldens, new: Goldens) -> Iterator[str]:
    """Yield what differs between two recordings, in words; times and memory do not count."""
    for key in sorted({*old.facts, *new.facts} - {"costs", "model"}):
        if old.facts.get(key) != new.facts.get(key):
            yield f"{key}: {old.facts.get(key)} -> {new.facts.get(key)}"
    if old.facts.get("model") != new.facts.get("model"):
        names = [f"{g.facts['model']['name']} ({g.facts['model']['sha256'][:12]})" for g in (old, new)]
        yield f"model: {names[0]} -> {names[1]}"
    for golden in old.images:
        if new.get(golden.name) is None:
            yield f"{golden.name}: dropped"
    for golden in new.images:
        before = old.get(golden.name)
        yield from [f"{golden.name}: new"] if before is None else _image_changes(before, golden)


def _image_changes(old: Golden, new: Golden) -> Iterator[str]:
    words = list(_differing(old, new, _ASKED))
    if old.facts.get("sha256") != new.facts.get("sha256"):
        words.append("another photo")
    if not np.array_equal(old.classes, new.classes) or not np.array_equal(old.scores, new.scores):
        words.append(f"probabilities by up to {_largest(old, new):.3g}")
    if old.map.pixels.shape != new.map.pixels.shape:
        words.append("a map of another size")
    elif not np.array_equal(old.map.pixels, new.map.pixels) or old.map.scale != new.map.scale:
        alike = similarities(new.map.map, old.map.map)
        words.append("the map (" + ", ".join(f"{name} {value:.3f}" for name, value in alike.items()) + ")")
    words += _differing(old, new, _FIGURES)
    if words:
        yield f"{new.name}: {'; '.join(words)}"


def _differing(old: Golden, new: Golden, keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        if old.facts.get(key) != new.facts.get(key):
            yield f"{key} {old.facts.get(key)} -> {new.facts.get(key)}"


def _largest(old: Golden, new: Golden) -> float:
    before = dict(zip(old.classes.tolist(), old.scores.tolist(), strict=True))
    after = dict(zip(new.classes.tolist(), new.scores.tolist(), strict=True))
    return max((abs(after[c] - before[c]) for c in before.keys() & after.keys()), default=1.0)
