"""How long compiling takes: analysis, emission and ONNX Runtime's session, of every graph of a folder.

python benchmarks/compile_times.py FOLDER [FOLDER...] [--method rsp] [--only PATTERN] [--worst 5]

On one thread, each graph twice in a process that has compiled another before; the second time counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from fnmatch import fnmatch
from pathlib import Path

import onnx_ir as ir

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.errors import RspError
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import Session

FREE = {2: 12, 3: 16, 4: 64}  # sizes for what a graph leaves free behind its batch, by rank


def free_sizes(model: ir.Model) -> dict[str, list[int | None]]:
    """Return sizes for the inputs that leave more than their batch free, by name."""
    sizes = {}
    for value in model.graph.inputs:
        known = [d if isinstance(d, int) else None for d in value.shape or ()]
        if None in known[1:] and not value.is_initializer():
            sizes[str(value.name)] = [known[0], *(FREE.get(len(known), 16) if d is None else d for d in known[1:])]
    return sizes


def seconds(path: Path, method: str) -> tuple[float, float, int]:
    """Return the seconds of analysis and emission, of the session, and how many nodes there are."""
    start = time.perf_counter()
    loaded = load_model(path)
    compiled = compile_ir(analyse(loaded, input_shapes=free_sizes(loaded.ir) or None), method)
    between = time.perf_counter()
    Session(compiled, "cpu", 1)
    return between - start, time.perf_counter() - between, len(compiled.graph)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--method", default="rsp")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of graphs")
    parser.add_argument("--worst", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for path in sorted(p for folder in options.folders for p in folder.glob("*.onnx")):
        if not fnmatch(path.stem, options.only):
            continue
        try:
            seconds(path, options.method)
            rows.append((*seconds(path, options.method), path.stem))
        except RspError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)
        else:
            print(f"{rows[-1][0]:6.2f} + {rows[-1][1]:5.2f} s, {rows[-1][2]:6} nodes  {path.stem}", file=sys.stderr)
    totals = [a + b for a, b, *_ in rows]
    print(f"{options.method}: {len(rows)} graphs, median {statistics.median(totals):.2f} s, worst {max(totals):.2f} s")
    for a, b, nodes, name in sorted(rows, key=lambda row: -row[0] - row[1])[: options.worst]:
        print(f"  {a + b:6.2f} s ({a:.2f} compiling, {b:.2f} the session, {nodes} nodes)  {name}")


if __name__ == "__main__":
    main()
