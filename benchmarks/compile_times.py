"""How long compiling takes: analysis, emission and ONNX Runtime's session, of every graph of a folder.

python benchmarks/compile_times.py FOLDER [FOLDER...] [--method rsp] [--only PATTERN] [--worst 5] [--steps 500]

On one thread, each graph twice in a process that has compiled another before; the second time counts. With --steps a
bidirectional LSTM of two layers over that many steps is one more graph.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import onnx
import onnx.parser

sys.path.append(str(Path(__file__).resolve().parent / "battery"))

from explain_one import free_sizes

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.errors import RspError
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import Session


def seconds(path: Path, method: str) -> tuple[float, float, int]:
    """Return the seconds of analysis and emission, of the session, and how many nodes there are."""
    start = time.perf_counter()
    loaded = load_model(path)
    compiled = compile_ir(analyse(loaded, input_shapes=free_sizes(loaded.ir) or None), method)
    between = time.perf_counter()
    Session(compiled, "cpu", 1)
    return between - start, time.perf_counter() - between, len(compiled.graph)


def recurrent(steps: int, folder: Path) -> Path:
    """Write a bidirectional LSTM of two layers, 32 units each, over so many steps."""
    draw, weights = np.random.default_rng(0), []
    for layer, size in ((0, 16), (1, 64)):
        for name, shape in (("w", (2, 128, size)), ("r", (2, 128, 32))):
            array = (draw.standard_normal(shape) * 0.2).astype(np.float32)
            weights.append(onnx.numpy_helper.from_array(array, f"{name}{layer}"))
    weights.append(onnx.numpy_helper.from_array(draw.standard_normal((64, 5)).astype(np.float32), "v"))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        sequence (float[{steps}, 1, 16] x) => (float[1, 5] y) <int64[1] all = {{0}}, int64[3] flat = {{0, 0, -1}}> {{
            a = LSTM<direction = "bidirectional", hidden_size = 32>(x, w0, r0)
            b = Transpose<perm = [0, 2, 1, 3]>(a)
            c = Reshape(b, flat)
            d = LSTM<direction = "bidirectional", hidden_size = 32>(c, w1, r1)
            e = Transpose<perm = [0, 2, 1, 3]>(d)
            f = Reshape(e, flat)
            g = ReduceMean<axes = [0], keepdims = 0>(f)
            y = MatMul(g, v)
        }}""")
    model.graph.initializer.extend(weights)
    path = folder / f"lstm_of_{steps}_steps.onnx"
    onnx.save(model, path)
    return path


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--method", default="rsp")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of graphs")
    parser.add_argument("--worst", type=int, default=5)
    parser.add_argument("--steps", type=int, metavar="N", help="one more graph: a recurrent one over N steps")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    paths = sorted(p for folder in options.folders for p in folder.glob("*.onnx"))
    if options.steps:
        paths.append(recurrent(options.steps, Path(tempfile.mkdtemp(prefix="rsp-onnx-"))))
    for path in paths:
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
