"""Our gradient beside onnx-ad's and finite differences: the same output of the same graphs, built, right, milliseconds.

onnx-ad (https://github.com/yacoda/onnx-ad, MIT) differentiates ONNX files by source transformation, too.

    pip install onnx-ad
    python benchmarks/onnx_ad_beside.py FOLDER [--only PATTERN] [--runs 15] [--markdown FILE]

Of every graph in FOLDER the output is differentiated that ``rsp-onnx inspect`` calls its logits (both get it by name,
so that a final softmax is in neither), for the class with the highest score; graphs of masks, boxes and sequences are
left out. A gradient is *right* where its products with five random directions (and with itself) agree with central
differences of the file's own logit to 1e-4 of the largest, taken in float64 (to 3 %, at the best of six steps, where
it runs in float32 alone); *zero* where all of it is 0 though the differences are not. Quantised and half-precision
files round, their logits are staircases: what is built for them, and for logits that depend on nothing, is *built*.
Milliseconds are the median of interleaved runs on one thread, our graph with its scores and theirs with theirs. Every
graph runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rsp_onnx
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.compiler.second_forward import rounds
from rsp_onnx.errors import RspError
from rsp_onnx.model.load import load_model
from rsp_onnx.model.sizes import free_axes, made_up, trial_sizes
from rsp_onnx.testing.reference import runner
from tests.differences import doubled

TOLERANCE, EXACT = 0.03, 1e-4
STEPS, SMALL = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4), (1e-5, 1e-6)
SLOW = 4.0  # seconds of one run in float64, above which float32 must do
FLAT = 1e-6  # of the logit: below it nothing depends on the input
DIRECTIONS = 5
LIMIT = 300  # seconds for one graph
Feeds = dict[str, np.ndarray]


@dataclass
class Answer:
    """What one engine made of one graph: its gradient or why there is none, and the time of one run in seconds."""

    why: str = ""
    verdict: str = ""
    seconds: float = 0.0


@dataclass
class Row:
    """One graph."""

    name: str
    left_out: str = ""
    ours: Answer | None = None
    theirs: Answer | None = None


def session(model: onnx.ModelProto | bytes) -> ort.InferenceSession:
    """Open a session of one thread."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def with_output(path: Path, name: str) -> onnx.ModelProto:
    """Return the file's model with one output, this tensor, and with the shapes inference finds."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    known = {v.name: v for v in (*model.graph.value_info, *model.graph.output)}
    del model.graph.output[:]
    kind = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    model.graph.output.append(known.get(name, kind))
    return model


def measure(path: Path, runs: int) -> Row:
    """Differentiate one graph both ways, and compare."""
    row, loaded = Row(path.stem), load_model(path)
    try:
        report = rsp_onnx.inspect_model(path)
    except RspError as error:
        row.left_out = str(error)
        return row
    if report["reading"]["region"] or report["reading"]["rows"] or report["reading"]["sample_axis"] != 0:
        row.left_out = "its scores are masks, boxes, a sequence, or have no batch axis"
        return row
    explained = [v["name"] for v in report["inputs"] if v["explained"] and v["dtype"].startswith("float")]
    shapes = trial_sizes(loaded.ir) if free_axes(loaded.ir) else {}
    feeds = made_up(loaded.ir, shapes)
    try:
        plain = session(with_output(path, report["logits"]))
        logits = plain.run(None, feeds)[0]
    except Exception as error:  # ONNX Runtime's own types
        row.left_out = f"its logits are no tensor of the file that can be returned: {str(error).splitlines()[0][:80]}"
        return row
    if not explained or logits.dtype != np.float32 or len(logits) != 1:
        row.left_out = "its inputs or logits are no single precision, or its batch is not one"
        return row
    target = int(logits.reshape(-1).argmax())

    logit, exact = in_float64(path, report["logits"], feeds, logits), True
    if logit is None:
        exact = False

        def logit(changed: Feeds) -> float:
            given = {name: x.astype(feeds[name].dtype) for name, x in changed.items()}
            return float(plain.run(None, {**feeds, **given})[0].reshape(-1)[target])

    def judge(gradient: Feeds) -> str:
        if rounds(analyse(path, input_shapes=shapes or None).graph):
            return "built"
        return judged(gradient, logit, {key: feeds[key] for key in explained}, exact)

    engines = {"ours": lambda: ours(path, report["logits"], explained, feeds, target, shapes),
               "theirs": lambda: theirs(path, report["logits"], explained, feeds, logits, target)}  # fmt: skip
    made: dict[str, tuple[Callable[[], dict[str, np.ndarray]], Answer]] = {}
    for name, make in engines.items():
        made[name] = answer(make, judge)
    time_both(made, runs)
    row.ours, row.theirs = made["ours"][1], made["theirs"][1]
    return row


def in_float64(path: Path, output: str, feeds: Feeds, logits: np.ndarray) -> Callable[[Feeds], float] | None:
    """Return the highest logit as a function of the inputs in float64; None where it cannot be had, or takes long."""
    target = int(logits.reshape(-1).argmax())
    wide = {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in feeds.items()}
    try:
        run = runner(doubled(with_output(path, output)))
        start = time.perf_counter()
        found = np.asarray(next(iter(run(wide).values())))
    except Exception:  # ops without a kernel in float64, half precision
        return None
    close = np.abs(found - logits).max() < 1e-3 * np.abs(logits).max()
    if time.perf_counter() - start > SLOW or not close:
        return None

    def logit(changed: Feeds) -> float:
        return float(np.asarray(next(iter(run({**wide, **changed}).values()))).reshape(-1)[target])

    return logit if smooth(logit, wide, np.abs(logits).max()) else None


def smooth(logit: Callable[[Feeds], float], x: Feeds, size: float) -> bool:
    """Return whether a logit is finer than float32: some kernels of float64 compute in float32 inside."""
    step = {key: np.full(v.shape, 1e-6) for key, v in x.items() if v.dtype == np.float64}
    ends = [logit({key: x[key] + sign * h for key, h in step.items()}) for sign in (1, -1)]
    return bool(abs(sum(ends) - 2 * logit({})) < 1e-9 * size)


def ours(path: Path, output: str, explained: list[str], feeds: Feeds, target: int, shapes: Any) -> Callable[[], Feeds]:
    """Return a run of our compiled gradient."""
    compiled = rsp_onnx.compile_explainer(
        path, "gradient", output=output, inputs=explained, input_shapes=shapes or None
    )
    opened = session(compiled)
    known = {v.name for v in opened.get_inputs()}
    asked = {"target": np.full((1, 1), target, np.int64), "hostile": np.zeros((1, 1, 0), np.int64)}
    given = {**feeds, **{name: a for name, a in asked.items() if name in known}}
    names = {"relevance": explained[0]} if len(explained) == 1 else {f"relevance/{name}": name for name in explained}
    outputs = [v.name for v in opened.get_outputs()]

    def run() -> Feeds:
        results = dict(zip(outputs, opened.run(outputs, given), strict=True))
        return {own: results[name][0] for name, own in names.items()}

    return run


def theirs(
    path: Path, output: str, explained: list[str], feeds: Feeds, logits: np.ndarray, target: int
) -> Callable[[], Feeds]:
    """Return a run of onnx-ad's reverse model."""
    import onnx_ad

    reversed_model = onnx_ad.reverse(
        with_output(path, output), inputs=explained, outputs=[output], prefix="adj_", dim="nadj", layout="onnx"
    )
    opened = session(reversed_model)
    seed = np.zeros((*logits.shape, 1), np.float32)
    seed.reshape(-1)[target] = 1.0
    given = {**feeds, opened.get_inputs()[-1].name: seed}
    outputs = [v.name for v in opened.get_outputs()]

    def run() -> Feeds:
        results = dict(zip(outputs, opened.run(outputs, given), strict=True))
        return {name: results[f"adj_{name}"][..., 0] for name in explained}

    return run


def answer(
    make: Callable[[], Callable[[], Feeds]], judge: Callable[[Feeds], str]
) -> tuple[Callable[[], Feeds], Answer]:
    """Build one engine's gradient and judge it."""
    try:
        run = make()
        gradient = run()
    except Exception as error:  # whatever either raises counts as no answer
        return dict, Answer(why=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}")
    return run, Answer(verdict=judge(gradient))


def judged(gradient: Feeds, logit: Callable[[Feeds], float], x: Feeds, exact: bool) -> str:
    """Return ``right``, ``zero`` or ``wrong`` with how far it is off."""
    if any(not np.isfinite(g).all() for g in gradient.values()):
        return "not finite"
    draw = np.random.default_rng(7)
    directions = [{k: draw.standard_normal(v.shape) / np.sqrt(v.size) for k, v in x.items()} for _ in range(DIRECTIONS)]
    size = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradient.values()))
    if size > 0:
        directions.append({k: g.astype(np.float64) / size for k, g in gradient.items()})
    pairs = []
    for d in directions:
        want = sum(float((gradient[k].astype(np.float64) * d[k]).sum()) for k in x)
        pairs.append((want, [difference(logit, x, d, step) for step in (SMALL if exact else STEPS)]))
    scale = max(max(abs(w) for w, _ in pairs), 1e-12)
    if max(abs(v) for want, found in pairs for v in (want, *found)) < FLAT * abs(logit({})):
        return "built"
    off = max(min(abs(w - f) for f in found) / scale for w, found in pairs)
    if size == 0:
        return "zero" if max(abs(f[-1]) for _, f in pairs) > 1e-6 else "right"
    return "right" if off <= (EXACT if exact else TOLERANCE) else f"wrong ({off:.2g})"


def difference(logit: Callable[[Feeds], float], x: Feeds, d: dict[str, np.ndarray], step: float) -> float:
    """Return the central difference of the logit along a direction."""
    ends = [logit({k: v.astype(np.float64) + s * step * d[k] for k, v in x.items()}) for s in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)


def time_both(made: dict[str, tuple[Callable[[], Feeds], Answer]], runs: int) -> None:
    """Time the engines that answer, in turn."""
    able = [(run, a) for run, a in made.values() if not a.why]
    times: list[list[float]] = [[] for _ in able]
    for _ in range(runs):
        for (run, _), row in zip(able, times, strict=True):
            start = time.perf_counter()
            run()
            row.append(time.perf_counter() - start)
    for (_, a), row in zip(able, times, strict=True):
        a.seconds = statistics.median(row)


def worker(path: Path, runs: int, queue: Any) -> None:
    """Measure one graph in a process of its own."""
    warnings.simplefilter("ignore")
    try:
        queue.put(measure(path, runs))
    except Exception as error:  # a crash of ours is a row, too
        queue.put(Row(path.stem, ours=Answer(why=f"{type(error).__name__}: {error}"), theirs=Answer(why="not tried")))


def alone(path: Path, runs: int) -> Row:
    """Measure one graph under a limit of time."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=worker, args=(path, runs, queue))
    process.start()
    end = time.monotonic() + LIMIT
    while process.is_alive() and queue.empty() and time.monotonic() < end:
        time.sleep(0.05)
    row: Row = queue.get() if not queue.empty() else Row(path.stem, left_out="it ended the process, or the time")
    process.kill()
    process.join()
    return row


def lines(rows: list[Row]) -> list[str]:
    """Return the table and what it comes to."""
    text = ["| graph | ours | ms | onnx-ad | ms | theirs / ours |", "|---|---|--:|---|--:|--:|"]
    for row in rows:
        if row.left_out or row.ours is None or row.theirs is None:
            continue
        cells = [
            (a.verdict or a.why.partition(":")[0], f"{a.seconds * 1e3:.2f}" if a.seconds else "")
            for a in (row.ours, row.theirs)
        ]
        both = row.ours.seconds and row.theirs.seconds
        ratio = f"{row.theirs.seconds / row.ours.seconds:.2f}" if both else ""
        text.append(f"| {row.name} | {cells[0][0]} | {cells[0][1]} | {cells[1][0]} | {cells[1][1]} | {ratio} |")
    measured = [(r.ours, r.theirs) for r in rows if r.ours is not None and r.theirs is not None and not r.left_out]
    right = [sum(pair[i].verdict == "right" for pair in measured) for i in (0, 1)]
    built = [sum(pair[i].verdict == "built" for pair in measured) for i in (0, 1)]
    other = [sum(pair[i].verdict not in ("", "right", "built") for pair in measured) for i in (0, 1)]
    ratios = [b.seconds / a.seconds for a, b in measured if a.verdict == b.verdict == "right"]
    text += [
        "",
        f"{len(rows)} graphs, {len(measured)} compared. Right: ours {right[0]}, onnx-ad {right[1]}; built but wrong, "
        f"zero or not finite: ours {other[0]}, onnx-ad {other[1]}; built where differences say nothing: ours "
        f"{built[0]}, onnx-ad {built[1]}.",
    ]
    if ratios:
        faster = sum(r > 1 for r in ratios)
        text.append(
            f"Where both are right ({len(ratios)}): onnx-ad takes {statistics.median(ratios):.2f} × our time in the "
            f"median, {min(ratios):.2f} to {max(ratios):.2f}; ours is faster in {faster}."
        )
    return text


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of graphs")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = []
    for path in sorted(options.folder.glob("*.onnx")):
        if fnmatch(path.stem, options.only):
            rows.append(alone(path, options.runs))
            row = rows[-1]
            said = row.left_out or f"{row.ours} | {row.theirs}"
            print(f"{row.name}: {said}", file=sys.stderr, flush=True)
    text = "\n".join(lines(rows))
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
