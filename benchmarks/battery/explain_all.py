"""Explain every .onnx file of a folder, each in a process of its own, and write a table of what came of it.

python benchmarks/battery/explain_all.py FOLDER --out battery.md --seconds 120 --gigabytes 6
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.errors import RspError


def explain(path: Path) -> dict[str, Any]:
    """Explain one model on random numbers, class 0, and return what happened."""
    from rsp_onnx.analysis import analyse
    from rsp_onnx.compilation import compile_ir
    from rsp_onnx.session import Session

    start = time.perf_counter()
    found = analyse(path)
    section = found.section.name
    session = Session(compile_ir(found, ledger=True), "cpu", 1)
    feeds = {n: _random(found, n) for n in session.inputs if n not in ("target", "hostile")}
    batch = next(iter(feeds.values())).shape[0]
    asked = {"target": np.zeros((1, batch), np.int64), "hostile": np.zeros((1, batch, 0), np.int64)}
    results = session.run({**feeds, **asked})
    relevance = [r for name, r in results.items() if name.startswith("relevance")]
    rows = results["ledger"][:, 0, 0].astype(np.float64)
    return {
        "explained": True,
        "finite": all(bool(np.isfinite(r).all()) for r in relevance),
        "zero": not any(bool(r.any()) for r in relevance),
        "kept": float(rows[-1] / rows[0]) if rows[0] else None,
        "section": section,
        "seconds": time.perf_counter() - start,
    }


def _random(found: Any, name: str) -> np.ndarray:
    value = found.graph.values[name]
    shape = [1 if d is None else d for d in found.graph.dims(value)]
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    scale = 255 if dtype == np.uint8 else 1
    return (np.random.default_rng(0).random(shape) * scale).astype(dtype)


def attempt(path: Path, seconds: float, gigabytes: float) -> dict[str, Any]:
    """Explain one model in a new process under limits; a crash, a time-out or an error is a row like any other."""
    command = [sys.executable, __file__, str(path), "--one", "--gigabytes", str(gigabytes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"explained": False, "reason": f"not done within {seconds:.0f} s"}
    last = done.stdout.strip().splitlines()[-1:] or [""]
    try:
        row: dict[str, Any] = json.loads(last[0])
        return row
    except json.JSONDecodeError:
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"explained": False, "reason": f"CRASHED (exit {done.returncode}): {tail[0]}"}


def one(path: Path, gigabytes: float) -> None:
    """Print one row as JSON: the body of the child process."""
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        row = explain(path)
    except RspError as error:
        row = {"explained": False, "reason": f"{type(error).__name__}: {error}"}
    row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(row))


def verdict(row: dict[str, Any]) -> str:
    """Return one word for a row."""
    if not row["explained"]:
        return "crashed" if row["reason"].startswith("CRASHED") else "refused"
    if not row["finite"]:
        return "not finite"
    return "zero" if row["zero"] else "explained"


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Lay the rows out as a markdown table with the counts below."""
    lines = ["| graph | verdict | kept | seconds | MiB | section or reason |", "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        kept = "" if row.get("kept") is None else f"{row['kept']:.3f}"
        seconds = f"{row['seconds']:.1f}" if "seconds" in row else ""
        why = str(row.get("section") or row.get("reason", "")).replace("|", "\\|")
        lines.append(f"| {name} | {verdict(row)} | {kept} | {seconds} | {row.get('peak_mib', '')} | {why} |")
    counts = Counter(map(verdict, rows.values()))
    return "\n".join(lines) + "\n\n" + ", ".join(f"{n} {word}" for word, n in counts.most_common()) + "\n"


def main() -> None:
    """Run the battery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="markdown file to write; default: standard output")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--gigabytes", type=float, default=8.0, help="address space of one process")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.folder, arguments.gigabytes)
        return
    rows = {}
    for path in sorted(arguments.folder.glob("*.onnx")):
        rows[path.stem] = attempt(path, arguments.seconds, arguments.gigabytes)
        print(f"{path.stem}: {verdict(rows[path.stem])}", file=sys.stderr)
    text = table(rows)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
