"""What an explanation costs: processor seconds and memory of the compiled graph beside the forward pass alone.

Both run in this process, in turn, on the same input; the figures are medians and their ratio.

    python benchmarks/speed.py models/digits_pytorch.onnx
    python benchmarks/speed.py MODEL.onnx --runs 5 --targets 1 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import Session
from rsp_onnx.rulekit.context import Options


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Return (processor seconds, wall seconds) of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def peak_mib() -> float:
    """Return the process's largest resident memory so far, in MiB (0 where the system does not say)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024


def measure(path: Path, runs: int, targets: int, threads: int, form: str) -> None:
    """Print one model's figures."""
    loaded = load_model(path)
    forward = Session(loaded.ir, "cpu", threads)
    start = time.perf_counter()
    found = analyse(loaded)
    compiled = compile_ir(found, options=Options(form=form))
    explainer = Session(compiled, "cpu", threads)
    ready = time.perf_counter() - start
    rng = np.random.default_rng(0)
    feeds = {}
    for value in found.graph.inputs:
        shape = [1 if d is None else d for d in found.graph.dims(value)]
        dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
        feeds[str(value.name)] = (rng.random(shape) * (255 if dtype == np.uint8 else 1)).astype(dtype)
    batch = next(iter(feeds.values())).shape[0]
    asked = {
        "target": np.tile(np.arange(targets)[:, None], (1, batch)),
        "hostile": np.zeros((targets, batch, 0), np.int64),
    }
    plain, explained = [], []
    for _ in range(runs + 1):
        plain.append(seconds(lambda: forward.run(feeds)))
        explained.append(seconds(lambda: explainer.run({**feeds, **asked})))
    cpu = [statistics.median(c for c, _ in row[1:]) for row in (plain, explained)]
    wall = [statistics.median(w for _, w in row[1:]) for row in (plain, explained)]
    print(
        f"| {path.stem} | {cpu[0]:.3f} | {cpu[1]:.3f} | {cpu[1] / cpu[0]:.1f} | {wall[1] * 1e3:.0f} "
        f"| {ready:.2f} | {peak_mib():.0f} |"
    )


def main() -> None:
    """Print a table, one row per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--targets", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--form", default="auto", choices=["auto", "unfold", "gram"])
    arguments = parser.parse_args()
    print("| model | forward, CPU s | explain, CPU s | ratio | explain, ms | ready, s | peak MiB so far |")
    print("|---|---|---|---|---|---|---|")
    for path in arguments.models:
        measure(path, arguments.runs, arguments.targets, arguments.threads, arguments.form)


if __name__ == "__main__":
    main()
