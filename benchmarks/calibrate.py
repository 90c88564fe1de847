"""Fit the rates that ``rsp-onnx inspect`` tells costs by, and write them to ``rsp_onnx/cost/rates.py``.

    python -m benchmarks.measure --out FOLDER --threads 1 --kinds explain memory     # on a quiet machine
    python -m benchmarks.measure --out SMALL --graphs BATTERY                        # small graphs of many exporters
    python -m benchmarks.calibrate FOLDER/measured.csv --small SMALL/measured.csv --graphs BATTERY [--write]

prints the fit and its errors.

The time of a graph is taken for a sum over its nodes, so much per node, per multiply-add and per byte, by kind of op,
and so much per run. What is fitted (least squares of logarithms) are the times of whole runs, of ``explain()`` by
several methods and of the models alone, not a profile's times of single nodes: a profiler adds 1 to 3 µs to every
node, more than a small one takes. It is fitted to the ratios of ``explain()`` and forward pass, which hold on a busy
machine too, and with little weight to how long they take. Memory is fitted to peaks of whole processes.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.cost import rates
from rsp_onnx.cost.amounts import Amounts, Kind, amounts
from rsp_onnx.cost.estimate import before_running, memory_parts, running_bytes, seconds_of, sizes_given
from rsp_onnx.cost.sizes import sizes_of
from rsp_onnx.explain.compile import compile_ir, needs_of
from rsp_onnx.explain.inspection import as_explained
from rsp_onnx.model.load import load_model
from rsp_onnx.model.sizes import free_axes, trial_sizes

from .measure.models import find

TARGET = Path(__file__).resolve().parents[1] / "rsp_onnx" / "cost" / "rates.py"
WITH_PRODUCTS = (Kind.DENSE, Kind.THIN)
TIMED = [(kind, what) for kind in Kind for what in ((0, 1, 2) if kind in WITH_PRODUCTS else (0, 2))]
USUAL = {  # of one core with wide vectors: 200 GFLOP/s in large products, 10 GB/s through memory
    Kind.DENSE: (2e-6, 1e-11, 2e-11), Kind.THIN: (2e-6, 1e-10, 1e-10), Kind.ENTRIES: (1e-6, 0.0, 1e-10),
    Kind.POOL: (1e-6, 0.0, 2e-10), Kind.MOVE: (1e-6, 0.0, 1e-10), Kind.NOTHING: (5e-7, 0.0, 0.0),
}  # fmt: skip
USUAL_RUN, USUAL_CALL, USUAL_MEMORY = 2e-5, 5e-4, (1.0, 4.0, 1.6, 1.5, 2e4, 1.5e6)
DRAWN = 0.05  # how much: a rate e times the usual one is as bad as a figure 5 % off
_FAR = 4.0  # of a rate from the usual one, as the logarithm
ABSOLUTE = 0.05  # the weight of times beside that of ratios
# the method whose cost inspect tells counts most; others tell kinds apart, and of small graphs there are many
TOLD, OTHERS, SMALL = "rsp", 0.2, 0.2
OFF = 0.2  # of what was measured: what a prediction may be off
HEADER = '''"""What one operation of each kind takes, as measured; by ``python -m benchmarks.calibrate``."""

from __future__ import annotations

from .amounts import Kind

'''


@dataclass(frozen=True)
class Run:
    """One compiled graph: what it and its model hold, and what was measured.

    Attributes
    ----------
    calls : int
        1 for ``explain()``, 0 for an exported file in a plain session.
    before : float
        Bytes that reading the file and analysing it take.
    seconds, ratio, memory : float
        As measured; memory is 0 where it was not.
    """

    name: str
    explain: Amounts
    forward: Amounts
    parts: tuple[int, int, int, int, int]
    before: float
    calls: int
    seconds: float
    ratio: float
    memory: float
    weight: float = 1.0

    @property
    def told(self) -> float:
        """The ratio that the rates tell."""
        return (seconds_of(self.explain) + rates.RUN + self.calls * rates.CALL) / (seconds_of(self.forward) + rates.RUN)


FIGURES: dict[str, int | None] = {"explain": None, "exported": None, "exported, N = K = 1": 1}  # with N and K of each


def read(path: Path) -> dict[tuple[str, str], dict[str, tuple[float, float]]]:
    """Return median and ratio by model and method and figure; one thread."""
    found: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["threads"] == "1" and row["method"] != "-":
                mine = found.setdefault((row["model"], row["method"]), {})
                mine[row["figure"]] = float(row["median"]), float(row["ratio"] or 0)
    return found


def describe(
    name: str, method: str, path: Path, measured: dict[str, tuple[float, float]], small: bool = False
) -> Iterator[Run]:
    """Compile what was measured again, and count it and the model."""
    weight = SMALL if small else 1.0 if method == TOLD else OTHERS
    loaded = load_model(path)
    shapes = trial_sizes(loaded.ir) if free_axes(loaded.ir) else None
    for figure, size in FIGURES.items():
        if figure not in measured:
            continue
        analysis = analyse(loaded, input_shapes=shapes, needs=needs_of(method), batch=size, targets=size)
        compiled = as_explained(analysis, method) if figure == "explain" else compile_ir(analysis, method)
        given = sizes_given(analysis.graph)
        sizes, alone = sizes_of(compiled, given), sizes_of(analysis.deployed, given)
        before = before_running(loaded, analysis.graph, analysis.deployed)
        memory = measured.get("memory, explain", (0.0, 0.0))[0] if figure == "explain" else 0.0
        yield Run(
            f"{name} | {method} | {figure}", amounts(compiled.graph, sizes),
            amounts(analysis.deployed.graph, alone, alone=True),
            memory_parts(compiled, sizes), before, int(figure == "explain"),
            *measured[figure], memory, weight,
        )  # fmt: skip


def columns(total: Amounts, calls: int) -> np.ndarray:
    """Return the numbers that the rates are multiplied with, those of any run and of ``explain()`` last."""
    return np.array([*(total.by_kind[kind][what] for kind, what in TIMED), 1, calls], float)


def fit_times(runs: Sequence[Run], drawn: float = DRAWN) -> dict[str, object]:
    """Fit seconds to ratios, and with little weight to times, which say how long a unit is."""
    explain = np.array([columns(run.explain, run.calls) for run in runs])
    forward = np.array([columns(run.forward, 0) for run in runs])
    ratios, seconds = (np.log([getattr(run, what) for run in runs]) for what in ("ratio", "seconds"))
    weights = np.array([run.weight for run in runs])

    def off(rates_: np.ndarray) -> np.ndarray:
        told = np.log(explain @ rates_)
        wrong = [told - np.log(forward @ rates_) - ratios, ABSOLUTE * (told - seconds)]
        return np.concatenate([weights * each for each in wrong])

    found = _fit(off, np.array([*(USUAL[kind][what] for kind, what in TIMED), USUAL_RUN, USUAL_CALL]), drawn)
    seconds_by = dict(zip(TIMED, found, strict=False))
    return {
        "SECONDS": {kind: tuple(_short(seconds_by.get((kind, what), 0.0)) for what in range(3)) for kind in Kind},
        "RUN": _short(found[-2]),
        "CALL": _short(found[-1]),
    }


def fit_memory(runs: Sequence[Run], drawn: float = DRAWN) -> dict[str, object]:
    """Fit bytes per byte of serialised weights, filters and live tensors, per node, and at least, to relative errors.

    Of the method alone whose cost inspect tells: others keep weights several times. Where no memory was measured, the
    rates stay what they are.
    """
    names = ("WEIGHTS", "COPIED", "FILTERS", "LIVE", "NODE", "LEAST")
    kept = [r for r in runs if r.weight == 1.0 and r.memory]
    if not kept:
        return {name: getattr(rates, name) for name in names}
    parts, peaks = np.array([r.parts for r in kept], float), np.log([r.memory for r in kept])

    def off(rates_: np.ndarray) -> np.ndarray:
        copied, filters, live, node, least = rates_
        made, run = copied * parts[:, 1] + node * parts[:, 4], filters * parts[:, 2] + live * parts[:, 3]
        return np.log(USUAL_MEMORY[0] * parts[:, 0] + np.maximum(made, run) + least) - peaks

    found = _fit(off, np.array(USUAL_MEMORY[1:]), drawn)
    return dict(zip(names, (USUAL_MEMORY[0], *map(_short, found)), strict=True))


def _fit(off: Callable[[np.ndarray], np.ndarray], usual: np.ndarray, drawn: float = DRAWN) -> np.ndarray:
    """Return the rates whose logarithms are off least, drawn a little to what is usual: what nothing tells stays."""

    def residuals(powers: np.ndarray) -> np.ndarray:
        return np.concatenate([off(usual * np.exp(powers)), drawn * powers])

    return np.asarray(usual * np.exp(least_squares(residuals, np.zeros(len(usual)), bounds=(-_FAR, _FAR)).x))


def _short(number: float) -> float:
    return float(f"{number:.3g}")


def text_of(fitted: dict[str, object], note: str) -> str:
    """Return the module of rates."""
    seconds: dict[Kind, tuple[float, ...]] = fitted["SECONDS"]  # type: ignore[assignment]
    names = ("WEIGHTS", "COPIED", "FILTERS", "LIVE", "NODE", "LEAST")
    lines = [
        f'MEASURED = "{note}"',
        "# seconds by kind: per node, per multiply-add, per byte read or written; one thread",
        "SECONDS = {",
        *(f"    Kind.{kind.name}: {seconds[kind]}," for kind in Kind),
        "}",
        f"RUN = {fitted['RUN']}  # seconds of any run of a session",
        f"CALL = {fitted['CALL']}  # seconds of explain() outside the session",
        "# resident bytes per byte of weights, of those serialised, of filters, of live tensors; per node; at least",
        f"{', '.join(names)} = {', '.join(str(fitted[name]) for name in names)}",
        f"LOADING = {rates.LOADING}  # per byte of the model's file while it is read",
    ]
    return HEADER + "\n".join(lines) + "\n"


def table(runs: Sequence[Run]) -> str:
    """Return what ``rates`` tells beside what was measured."""
    heads = "| model | method | figure | ratio, told | measured | off | peak MB, told | measured | off |"
    lines, off = [heads, "|---" * 9 + "|"], list[tuple[float, float]]()
    for run in runs:
        peak = max(running_bytes(*run.parts), run.before)
        off.append((run.told / run.ratio - 1, peak / run.memory - 1 if run.memory else np.nan))
        line = f"| {run.name} | {run.told:.1f} | {run.ratio:.1f} | {off[-1][0]:+.0%} |"
        held = f" {peak / 1e6:.0f} | {run.memory / 1e6:.0f} | {off[-1][1]:+.0%} |" if run.memory else " | | |"
        lines.append(line + held)
    ratios, peaks = ([e for e in each if np.isfinite(e)] for each in zip(*off, strict=True))
    inside = [f"{sum(abs(e) <= OFF for e in each)} of {len(each)}" for each in (ratios, peaks)]
    return "\n".join([*lines, "", f"Within {OFF:.0%}: {inside[0]} ratios, {inside[1]} peaks."])


def _described(measured: Path, built: Path, data: Path | None, graphs: Path | None = None) -> Iterator[Run]:
    """Yield the runs of a measured.csv. graphs: the folder of its graphs, where it is of one."""
    for (name, method), figures in read(measured).items():
        found = find(str(graphs / f"{name}.onnx") if graphs else name, built, data)
        if found.path is None:
            print(f"{name}, {method}: left out; {found.why}", file=sys.stderr)
        else:
            yield from describe(name, method, found.path, figures, graphs is not None)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measured", type=Path, help="measured.csv of benchmarks.measure; its models/ beside it")
    parser.add_argument("--data", type=Path, help="folder of the shared models")
    parser.add_argument("--small", type=Path, help="measured.csv of a folder of graphs")
    parser.add_argument("--graphs", type=Path, help="that folder")
    parser.add_argument("--write", action="store_true", help="write rsp_onnx/cost/rates.py")
    parser.add_argument("--drawn", type=float, default=DRAWN, help="more for figures of a busy machine; see DRAWN")
    parser.add_argument("--note", default="", help="when and on what it was measured")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    runs = list(_described(given.measured, given.measured.parent / "models", given.data))
    small = list(_described(given.small, given.small.parent, None, given.graphs)) if given.small else []
    fitted = {**fit_times([*runs, *small], given.drawn), **fit_memory(runs, given.drawn)}
    for name, value in fitted.items():
        setattr(rates, name, value)
    text = text_of(fitted, given.note)
    print(text, table(runs), sep="\n")
    if small:
        off = [abs(run.told / run.ratio - 1) for run in small]
        inside = sum(each <= OFF for each in off)
        print(f"Of {len(small)} small graphs: {inside} ratios, {np.median(off):.0%} off in the median.")
    if given.write:
        TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
