"""How far the scores of compiled explainers are from those of a plain session, over the graphs of a folder.

python benchmarks/battery/scores.py FOLDER [FOLDER ...] --out scores.md

Per graph and method (rsp, gradient) the largest difference of an output over its largest value, against a session of
the file without prepacking (as ours are) and against ONNX Runtime's defaults; and what ONNX Runtime's own optimisations
move. Graphs that are not explained are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from explain_one import FREE, free_sizes, random_input

from rsp_onnx import RspError, compile_explainer
from rsp_onnx.model.load import load_model

METHODS = ("rsp", "gradient")
Arrays = dict[str, np.ndarray]


def outputs(model: str | bytes, feeds: Arrays, prepack: bool, optimise: bool = True) -> Arrays:
    """Run a model with one thread; return its floating-point outputs by name."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.add_session_config_entry("session.disable_prepacking", str(int(not prepack)))
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = {v.name for v in session.get_inputs()}
    results = session.run(None, {name: array for name, array in feeds.items() if name in wanted})
    named = zip((v.name for v in session.get_outputs()), results, strict=True)
    return {name: r for name, r in named if isinstance(r, np.ndarray) and r.dtype.kind == "f"}


def apart(one: Arrays, other: Arrays) -> float:
    """Return the largest difference over the largest value, of the outputs both have."""
    pairs = [(a.astype(np.float64), other[name]) for name, a in one.items() if name in other and a.size]
    return max((float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) for a, b in pairs), default=0.0)


def row(path: Path, method: str) -> tuple[float, float, float, bool]:
    """Return the difference to a session without prepacking, to a default one, the runtime's own, same class or not."""
    loaded = load_model(path)
    values = [v for v in loaded.ir.graph.inputs if not v.is_initializer()]
    feeds = {str(v.name): random_input(v) for v in values}
    compiled = compile_explainer(path, method, input_shapes=free_sizes(loaded.ir) or None)
    shape = next(v for v in compiled.graph.input if v.name == "target").type.tensor_type.shape
    batch = shape.dim[1].dim_value or 1
    classes = {"target": np.zeros((1, batch), np.int64), "hostile": np.zeros((1, batch, 0), np.int64)}
    asked = {v.name: classes[v.name] for v in compiled.graph.input if v.name in classes}
    ours = outputs(compiled.SerializeToString(), feeds | asked, prepack=False)
    plain = outputs(str(path), feeds, prepack=False)
    same = all(np.array_equal(a.argmax(-1), ours[n].argmax(-1)) for n, a in plain.items() if n in ours and a.ndim)
    moved = apart(plain, outputs(str(path), feeds, prepack=False, optimise=False))
    return apart(plain, ours), apart(outputs(str(path), feeds, prepack=True), ours), moved, same


def rounds(path: Path) -> bool:
    """Tell of a graph with half precision or small integers in it."""
    exact = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.INT32}
    graph = onnx.load(path, load_external_data=False).graph
    quantised = any("Quant" in n.op_type or "QLinear" in n.op_type or "Integer" in n.op_type for n in graph.node)
    return quantised or any(w.data_type not in exact | {onnx.TensorProto.BOOL} for w in graph.initializer)


def rows(path: Path) -> list[tuple[str, str, bool, float, float, float, bool]]:
    """Return (graph, method, rounds or not, and what `row` measures) of the methods that explain a graph."""
    measured = []
    for method in METHODS:
        try:
            measured.append((path.stem, method, rounds(path), *row(path, method)))
        except (RspError, RecursionError) as error:
            print(f"{path.stem}: {type(error).__name__}", file=sys.stderr)
    return measured


def guarded(path: Path) -> list[tuple[str, str, bool, float, float, float, bool]]:
    """Return `rows`, of a process of its own: ONNX Runtime takes the process with it where it crashes."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            return pool.submit(rows, path).result()
        except BrokenProcessPool:
            print(f"{path.stem}: crashed", file=sys.stderr)
            return []


def table(measured: list[tuple[str, str, bool, float, float, float, bool]]) -> str:
    """Return the counts, and the explainers whose scores are furthest from the file's."""
    lines = [f"{len(measured)} explainers; free sizes by rank: {FREE}.", ""]
    for name, chosen in (("single precision", False), ("half precision or quantised", True)):
        part = [m for m in measured if m[2] is chosen]
        for title, index in (("without prepacking", 3), ("ONNX Runtime's defaults", 4)):
            counts = [sum(m[index] <= limit for m in part) for limit in (0.0, 1e-6, 5e-6)]
            lines.append(f"* {name}, against {title}: {len(part)}, equal {counts[0]}, ≤ 1e-6 {counts[1]}, "
                         f"≤ 5e-6 {counts[2]}, another class in front {sum(not m[6] for m in part)}")  # fmt: skip
    lines += ["", "| graph | method | rounds | without prepacking | defaults | the runtime's own optimisations |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    worst = sorted(measured, key=lambda m: -m[3])[:15]
    lines += [f"| {n} | {m} | {'yes' if r else ''} | {a:.1e} | {b:.1e} | {c:.1e} |" for n, m, r, a, b, c, _ in worst]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all graphs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    paths = sorted(p for folder in args.folders for p in folder.glob("*.onnx") if args.only in p.stem)
    text = table([measured for path in paths for measured in guarded(path)])
    print(text) if args.out is None else args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
