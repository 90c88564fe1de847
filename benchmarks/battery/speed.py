"""What an explanation costs on small graphs: ``Explainer.explain`` over a plain forward pass, one thread, interleaved.

python benchmarks/battery/speed.py FOLDER [--only PATTERN]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import onnxruntime as ort

sys.path.append(str(Path(__file__).resolve().parent))

from explain_one import free_sizes, random_input

from rsp_onnx import Explainer
from rsp_onnx.errors import RspError

ROUNDS = 15


def timed(run: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000


def measure(path: Path) -> tuple[float, float]:
    """Return the milliseconds of a forward pass and of an explanation, medians of runs in turn."""
    explainer = Explainer(path, device="cpu", threads=1, cache=False)
    sizes = free_sizes(explainer.model.ir)
    if sizes:
        explainer = Explainer(path, device="cpu", threads=1, cache=False, input_shapes=sizes)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    plain = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    own = {str(value.name): value for value in explainer.model.ir.graph.inputs}
    feeds = {one.name: random_input(own[one.name]) for one in plain.get_inputs()}
    for _ in range(2):
        plain.run(None, feeds)
        explainer.explain(feeds)
    pairs = [(timed(lambda: plain.run(None, feeds)), timed(lambda: explainer.explain(feeds))) for _ in range(ROUNDS)]
    return statistics.median(p for p, _ in pairs), statistics.median(e for _, e in pairs)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of graphs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[tuple[str, float, float]] = []
    for path in sorted(options.folder.rglob("*.onnx")):
        if not fnmatch(path.stem, options.only):
            continue
        try:
            rows.append((path.stem, *measure(path)))
        except (RspError, ort.capi.onnxruntime_pybind11_state.Fail, RuntimeError) as error:
            print(f"{path.stem}: {str(error).splitlines()[0][:120]}", file=sys.stderr)
    print("| graph | forward, ms | explanation, ms | ratio |\n|---|---|---|---|")
    for name, forward, explained in sorted(rows, key=lambda row: row[2] / row[1]):
        print(f"| {name} | {forward:.3f} | {explained:.3f} | {explained / forward:.1f} |")
    ratios = np.array([explained / forward for _, forward, explained in rows])
    middle, most = np.median(ratios), np.quantile(ratios, 0.9)
    print(f"\n{len(rows)} graphs: median {middle:.1f} forward passes, {most:.1f} for nine of ten.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
