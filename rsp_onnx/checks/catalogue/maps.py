"""Checks of the maps against the recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsp_onnx.checks.subject.goldens import Packed
from rsp_onnx.checks.subject.similarity import SIMILARITIES
from rsp_onnx.checks.subject.subject import DECIMALS, Subject

from .base import Check, Finding, register


class _Similarity(Check):
    group = "maps"

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return a figure per map; both sides in eight bits, so that an unchanged map is exactly alike."""
        return [self._finding(*pair) for pair in pairs(subject)]

    def _finding(self, name: str, now: Packed, golden: Packed, line: int) -> Finding:
        if now.pixels.shape != golden.pixels.shape:
            sizes = " but ".join("×".join(map(str, p.pixels.shape)) for p in (now, golden))
            return Finding(name, ok=False, note=f"the map has {sizes} was recorded", line=line)
        value = round(SIMILARITIES[self.name](now.map, golden.map), DECIMALS)
        return Finding(name, value, note="the map is not the recorded one", line=line)


def pairs(subject: Subject) -> Iterator[tuple[str, Packed, Packed, int]]:
    """Yield (image, map now, recorded map, line), and the same of maps asked the other way round."""
    for shot in subject.shots:
        if shot.golden is None:
            continue
        yield shot.image.name, shot.packed, shot.golden.map, shot.image.line
        if shot.packed_reverse is not None and shot.golden.hostile_map is not None:
            yield f"{shot.image.name} (hostile)", shot.packed_reverse, shot.golden.hostile_map, shot.image.line


@register
class Spearman(_Similarity):
    """Ranks."""

    name = "spearman"
    says = "The pixels' ranks correlate with the recorded map's at least this much."
    default = 0.9
    bounds = (-1.0, 1.0)


@register
class Pearson(_Similarity):
    """Values."""

    name = "pearson"
    says = "The pixels' values correlate with the recorded map's at least this much."
    default = 0.95
    bounds = (-1.0, 1.0)


@register
class Ssim(_Similarity):
    """Structure."""

    name = "ssim"
    says = "The structural similarity to the recorded map is at least this."
    default = 0.85
    bounds = (-1.0, 1.0)


@register
class TopOverlap(_Similarity):
    """The strongest pixels."""

    name = "top-k"
    says = "The strongest tenth of the pixels has at least this share in common with the recorded map's."
    default = 0.8


@register
class Sign(_Similarity):
    """For or against."""

    name = "sign"
    says = "At least this share of the recorded relevance still has its sign."
    default = 0.95
