"""A comparison in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsp_onnx.checks.subject.similarity import SIMILARITIES

_LAYERS = 3  # tensors named, those whose share changed most


def comparison_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the lines a person reads: flips, similarities, what moved most, layers, limits."""
    summary = found["summary"]
    first, second = (model["name"] for model in found["models"])
    lines = [f"{first} → {second}: {summary['images']} images, {summary['flips']} predictions flip"]
    lines += [
        f"  {name:<9} median {summary[name]['median']:6.3f}   worst {summary[name]['worst']:6.3f}"
        f"  {Path(summary[name]['worst_image']).name}"
        for name in SIMILARITIES
    ]
    for record in found["images"]:
        if record["flip"]:
            lines.append(f"  flips: {Path(record['image']).name} ({_flipped(record)})")
    lines.append(found["layers"]["said"])
    rows = sorted(found["layers"]["rows"], key=lambda r: -abs(r["share_b"] - r["share_a"]))[:_LAYERS]
    lines += [f"  {r['a']}: {r['share_a']:.1%} → {r['share_b']:.1%} of the layers' relevance" for r in rows]
    lines += [f"✗ {sentence}" for sentence in found["failures"]]
    if found["limits"] and not found["failures"]:
        lines.append("✓ All limits hold.")
    return lines


def _flipped(record: Mapping[str, Any]) -> str:
    single = record["changed"] == [record["predicted_a"], record["predicted_b"]]  # else: classes that came or went
    changed = (" → " if single else "; ").join(record["changed_labels"])
    return f"{changed}; score of {record['label']} {record['score_a']:.3f} → {record['score_b']:.3f}"
