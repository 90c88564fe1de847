"""Explain one graph under a memory limit and say what happened: what run.py does in a process of its own.

python benchmarks/battery/explain_one.py GRAPH --gigabytes 8
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
FREE = {2: 12, 3: 16, 4: 64}  # sizes for what a graph leaves free behind its batch, by rank


def explain(path: Path) -> dict[str, Any]:
    """Explain the highest-scoring class of random numbers and say whether the relevance is finite and kept."""
    from rsp_onnx.compiler.analysis import analyse
    from rsp_onnx.errors import BadModel
    from rsp_onnx.explain.compile import compile_ir
    from rsp_onnx.explain.supply.reading import scores_of
    from rsp_onnx.model.load import load_model
    from rsp_onnx.model.session import Session

    loaded = load_model(path)
    found = analyse(loaded, input_shapes=free_sizes(loaded.ir))
    compiled = compile_ir(found, ledger=True)
    props = compiled.metadata_props
    notes = {key: json.loads(props[f"rsp_onnx.{key}"]) for key in ("ledger", "balance") if f"rsp_onnx.{key}" in props}
    session = Session(compiled, "cpu", 1)
    feeds = {n: random_input(found.graph.values[n]) for n in session.inputs if n not in ("target", "hostile")}
    batch = found.graph.batch or len(next(iter(feeds.values())))
    feeds["target"], feeds["hostile"] = np.zeros((1, batch), np.int64), np.zeros((1, batch, 0), np.int64)
    scores = session.run(feeds, [found.output_name])[found.output_name]
    with contextlib.suppress(BadModel):  # scores that are not finite: class 0
        feeds["target"][:] = scores_of(found).read({found.output_name: scores}).argmax(1)
    results = session.run(feeds)
    relevance = [r for name, r in results.items() if name.startswith("relevance")]
    return {
        "verdict": verdict_of(relevance),
        "finite": all(bool(np.isfinite(r).all()) for r in relevance),
        "scores finite": bool(np.isfinite(scores).all()),
        "section": found.section.name,
        **conservation(found, notes, results),
    }


def free_sizes(model: Any) -> dict[str, list[int | None]]:
    """Return sizes for the inputs that leave more than their batch free, by name."""
    sizes = {}
    for value in model.graph.inputs:
        known = [d if isinstance(d, int) else None for d in value.shape or ()]
        if None in known[1:] and not value.is_initializer():
            sizes[str(value.name)] = [known[0], *(FREE.get(len(known), 16) if d is None else d for d in known[1:])]
    return sizes


def verdict_of(relevance: list[np.ndarray]) -> str:
    """Return one word for the relevance at the inputs."""
    if not all(np.isfinite(r).all() for r in relevance):
        return "not finite"
    return "explained" if any(r.any() for r in relevance) else "zero"


def conservation(found: Any, notes: dict[str, Any], results: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return ΣR at the inputs over ΣR at the section, and which nodes gain or lose how much of Σ|R| there, and why."""
    from rsp_onnx.rulekit.registry import why_lost
    from rsp_onnx.serving.losses import losses

    sums = dict(zip(notes["ledger"], results["ledger"][:, 0, 0].astype(np.float64), strict=True))
    start = sums.get(found.section.name, next(iter(sums.values())))
    arrived = sum(sums.get(str(v.name), 0.0) for v in found.graph.inputs)
    row = {"kept": arrived / start} if start and np.isfinite(start) else {}
    if "balance" not in notes:
        return row
    # Σ|R| tells what a share of the relevance is also where what speaks for and against the class cancels out.
    balance = results["balance"][:, 0, 0].astype(np.float64)
    if not balance[0] > 0:
        return row
    drifts = dict(zip((f"{op} {name!r}" for name, op in notes["balance"]), balance[1:] / balance[0], strict=True))
    worst = max(drifts, key=lambda node: abs(drifts[node]), default=None)
    row |= {"gained": (arrived - start) / balance[0]}
    reasons = {op: why_lost(op) for _, op in notes["balance"]}
    gained = {n: (op, g) for (n, op), g in zip(notes["balance"], balance[1:], strict=True)}
    noticed = losses(gained, balance[0], reasons)
    row["losses"] = dict(Counter(loss.op for loss in noticed))
    row["unexplained"] = [f"{loss.op} {loss.node!r}" for loss in noticed if not loss.reason]
    return row | ({"worst node": drifts[worst], "worst at": worst} if worst and np.isfinite(drifts[worst]) else {})


def random_input(value: Any) -> np.ndarray:
    """Return numbers an input may hold: standardised pixels, bytes, token ids, ones for a mask."""
    rng = np.random.default_rng(0)
    known = [d if isinstance(d, int) else None for d in value.shape]
    shape = [FREE.get(len(known), 16) if d is None else d for d in known]
    if known and known[0] is None:
        shape[0] = 1
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    if dtype == np.bool_ or "mask" in str(value.name):
        return np.ones(shape, dtype)
    if "token_type" in str(value.name):
        return np.zeros(shape, dtype)
    if dtype in (np.int32, np.int64):
        return rng.integers(5, 50, shape, dtype)
    if dtype.kind in "iu":
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype)
    return rng.normal(0.2, 0.8, shape).astype(dtype)


def attempt(path: Path) -> dict[str, Any]:
    """Explain one graph; an error of the library's own is a refusal, any other a crash."""
    from rsp_onnx.errors import RspError

    try:
        return explain(path)
    except RspError as error:
        row = {"verdict": "refused", "reason": f"{type(error).__name__}: {error}"}
    except MemoryError:
        row = {"verdict": "crashed", "reason": "MemoryError: more than the memory limit"}
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:300]
        row = {"verdict": "crashed", "reason": f"{type(error).__name__}: {first} ({place_of(error)})"}
    return row | ({} if runs(path) else {"broken": True})


def place_of(error: Exception) -> str:
    """Say where an error was raised, and from which line of the library."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).parent.name in ("rsp_onnx", "rules")]
    last = [*ours[-1:], *(frames[-1:] if frames[-1] not in ours[-1:] else [])]
    return ", then ".join(f"{Path(f.filename).name}:{f.lineno}" for f in last)


def runs(path: Path) -> bool:
    """Tell whether ONNX Runtime can load the graph as it is."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime raises its own unrelated types
        return False
    return True


def limited(path: Path, gigabytes: float) -> dict[str, Any]:
    """Explain one graph with so much address space; add the time and the largest memory it took."""
    import resource

    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    start = time.perf_counter()
    row = attempt(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row | {"seconds": time.perf_counter() - start, "MiB": peak}


if __name__ == "__main__":
    sys.path.append(str(REPOSITORY))  # behind an installed rsp_onnx and PYTHONPATH
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--gigabytes", type=float, default=8.0, help="address space")
    arguments = parser.parse_args()
    print(json.dumps(limited(arguments.graph, arguments.gigabytes), indent=1))
