"""A folder of graphs, such as the battery's: explain / forward of each, and the median of the ratios."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from . import report
from .models import Found
from .runner import Results


def of_folder(folder: Path, half: str = "full") -> list[Found]:
    """Return the .onnx files of a folder. half: ``small`` for those its manifest.json counts among the small half."""
    paths, manifest = sorted(folder.glob("*.onnx")), folder / "manifest.json"
    if half == "small" and manifest.exists():
        known = json.loads(manifest.read_text(encoding="utf-8"))["graphs"]
        paths = [path for path in paths if known.get(path.stem, {}).get("half") == "small"]
    return [Found(path.stem, path) for path in paths]


def markdown(results: Results, before: str) -> str:
    """Return the ratios, one line per graph, and their median and spread by method and threads."""
    heads = "| graph | method | threads | forward, ms | explain, ms | ratio | others, cores |"
    lines = [*report.header(before), "", heads, "|---" * 7 + "|"]
    ratios: dict[tuple[str, int], list[float]] = defaultdict(list)
    plain = {(r.model, r.method, r.threads): r.figure for r in results.rows if r.figure.name == "plain"}
    for r in (r for r in results.rows if r.figure.name == "explain"):
        ratio, forward = r.figure.ratio or 0.0, plain[r.model, r.method, r.threads]
        ratios[r.method, r.threads].append(ratio)
        busy = "" if r.figure.others is None else f"{r.figure.others:.2f}"
        times = f"{1e3 * forward.median:.2f} | {1e3 * r.figure.median:.2f}"
        lines.append(f"| {r.model} | {r.method} | {r.threads} | {times} | {ratio:.1f} | {busy} |")
    lines.append("")
    for (method, threads), found in ratios.items():
        found.sort()
        lines.append(
            f"{method}, {threads} thread(s): {len(found)} graphs, explain / forward {report.middle(found):.1f} in the "
            f"median, {found[0]:.1f} to {found[-1]:.1f}."
        )
    lines += ["", "Not measured:", "", *(f"* {one}" for one in results.failed)] if results.failed else []
    return "\n".join(lines) + "\n"
