"""An audit in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT_LIKE = 0.5  # of ``looks_like_text``, from which a place is called text-like


def where(cluster: Mapping[str, Any]) -> str:
    """Return where a cluster's relevance sits, in words."""
    words = [cluster["sits"]]
    if cluster["text_like"] >= TEXT_LIKE:
        words.append("text-like")
    if cluster["inside"] is not None:
        words.append(f"{cluster['inside']:.0%} in the objects")
    return ", ".join(words)


def audit_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the lines a person reads: classes with their clusters, what is suspicious and why."""
    counts = found["counts"]
    lines = [f"{counts['maps']} maps of {len(found['classes'])} classes, {found['suspicious']} suspicious clusters"]
    for one in found["classes"]:
        lines.append(f"{one['label']}: {one['maps']} maps, {_many(len(one['clusters']), 'cluster')}")
        for cluster in one["clusters"]:
            mark = "✗" if cluster["suspicious"] else " "
            lines.append(f"  {mark} {cluster['number']}: {cluster['share']:4.0%}  {where(cluster)}")
            lines += [f"       {sentence}" for sentence in cluster["reasons"]]
    if found["few"]:
        lines.append(f"Too few maps: {', '.join(found['few'])}.")
    if counts["empty"]:
        lines.append(f"{_many(counts['empty'], 'map')} without positive relevance passed over.")
    if counts["broken"]:
        lines.append(f"{_many(counts['broken'], 'item')} cannot be used; the first: {found['broken'][0]['error']}")
    return lines


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
