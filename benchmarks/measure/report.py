"""Figures as Markdown, CSV and a picture; each says what machine it was taken on and how busy that was."""

from __future__ import annotations

import csv
import datetime
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import machine
from .job import MANY
from .models import TITLES
from .runner import Results, Row

PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnx", "numpy", "torch", "captum", "zennit", "onnx-ad", "rsp-onnx")
COLUMNS = ("model", "method", "threads", "figure", "unit", "median", "low", "high", "ratio", "ratio_low", "ratio_high",
           "others")  # fmt: skip
MARK = "\\*"
_WIDE = ("plain, ", "explain, ")


def header(before: str, note: str = "") -> list[str]:
    """Return lines about date, machine and versions. before: the load when it began; note: of the reader's interest."""
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%d %B %Y, %H:%M UTC")
    lines = [
        f"{today}; {machine.processor()}; {machine.versions(*PACKAGES)}. Load average before {before or 'unknown'}, "
        f"after {machine.load() or 'unknown'}. Medians of interleaved runs, quartiles in brackets; ratios are to a "
        "plain ONNX Runtime session of the model on as many threads.",
        "",
        f"{MARK} while this was taken, other processes used more than {machine.BUSY:.0%} of a core: to be renewed on a "
        "quiet machine.",
    ]
    return [*lines, "", note] if note else lines


def markdown(results: Results, before: str) -> str:
    """Return all tables."""
    lines = header(before)
    parts = (_explaining, _files, _several, _memory, _starting, _beside)
    for part in parts:
        table = part(results.rows)
        lines += ["", *table] if table else []
    if results.failed:
        lines += ["", "Not measured:", "", *(f"* {one}" for one in results.failed)]
    return "\n".join(lines) + "\n"


def _explaining(rows: Sequence[Row]) -> list[str]:
    pairs = [(r, _same(rows, r, "plain")) for r in rows if r.figure.name == "explain"]
    body = [[_title(r), r.method, str(r.threads), _ms(p), _ms(r), _ratio(r), _others(r)] for r, p in pairs]
    heads = ["model", "method", "threads", "forward, ms", "`explain()`, ms", "ratio", "others, cores"]
    return _table("`explain()` of tensors that are ready, one sample, one class that is given", heads, body)


def _files(rows: Sequence[Row]) -> list[str]:
    free, fixed = ([r for r in rows if r.figure.name == name] for name in ("exported", "exported, N = K = 1"))
    body = [[_title(a), a.method, _ms(a), _ratio(a), _ms(b), _ratio(b)] for a, b in zip(free, fixed, strict=True)]
    heads = ["model", "method", "N and K free, ms", "ratio", "N = K = 1, ms", "ratio"]
    return _table("The exported file in a plain session", heads, body)


def _several(rows: Sequence[Row]) -> list[str]:
    kept = [r for r in rows if r.figure.name.startswith(_WIDE)]
    body = [[_title(r), r.method, r.figure.name, _ms(r), _ratio(r), _others(r)] for r in kept]
    return _table("Several at once; ratios to one forward pass of one sample",
                  ["model", "method", "", "ms", "ratio", "others, cores"], body)  # fmt: skip


def _memory(rows: Sequence[Row]) -> list[str]:
    plain = {r.model: r.figure.median for r in rows if r.figure.name == "memory, plain"}
    body = []
    for r in rows:
        if r.figure.name == "memory, explain":
            beside, batch = plain.get(r.model, 0), _same(rows, r, f"memory, explain, {MANY} samples")
            eight = _mb(batch.figure.median) if batch else ""
            body.append([_title(r), r.method, _mb(beside), _mb(r.figure.median), _by(r.figure.median, beside), eight])
    heads = ["model", "method", "forward, MB", "explain, MB", "ratio", f"{MANY} samples, MB"]
    return _table("Peak resident memory of a process of its own, weights included, libraries not", heads, body)


def _starting(rows: Sequence[Row]) -> list[str]:
    names = ("compile (exported)", "session (exported)", "compile (exported, N = K = 1)",
             "session (exported, N = K = 1)", "first explanation", "explain")  # fmt: skip
    body = []
    for first in (r for r in rows if r.figure.name == "compile (exported)"):
        found = [_same(rows, first, name) for name in names]
        body.append([_title(first), first.method, *(_ms(r) for r in found)])
    heads = ["model", "method", "compile, ms", "session, ms", "compile N = K = 1, ms", "session, ms",
             "first `explain()`, ms", "second, ms"]  # fmt: skip
    return _table("Before the first map", heads, body)


def _beside(rows: Sequence[Row]) -> list[str]:
    ours = {(r.model, r.method) for r in rows if r.figure.name == "rsp-onnx, explain()"}
    names = ("rsp-onnx, explain()", "PyTorch, forward and gradient", "onnx-ad", "captum, Saliency", "zennit")
    kept = [r for r in rows if r.figure.name in names and (r.model, r.method) in ours]
    body = [[_title(r), r.method, r.figure.name, _ms(r), _ratio(r), _others(r)] for r in kept]
    heads = ["model", "method", "by", "ms", "ratio to ONNX Runtime's forward", "others, cores"]
    return _table("Beside other libraries, one sample, one class", heads, body)


def _same(rows: Iterable[Row], row: Row, name: str) -> Row | None:
    """Return another figure of the same model, method and threads, the one that stands nearest before."""
    want = (row.model, row.method, row.threads, name)
    return next((r for r in rows if (r.model, r.method, r.threads, r.figure.name) == want), None)


def _table(title: str, heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    if not body:
        return []
    rows = [heads, ["---"] * len(heads), *body]
    return [f"### {title}", "", *(f"| {' | '.join(row)} |" for row in rows)]


def _title(row: Row) -> str:
    return TITLES.get(row.model, row.model)


def _ms(row: Row | None) -> str:
    return "" if row is None else f"{_digits(1e3 * row.figure.median)}{_mark(row)}"


def _ratio(row: Row) -> str:
    f = row.figure
    if f.ratio is None or f.ratio_low is None or f.ratio_high is None:
        return ""
    return f"{_digits(f.ratio)} [{_digits(f.ratio_low)}, {_digits(f.ratio_high)}]"


def _others(row: Row) -> str:
    return "" if row.figure.others is None else f"{row.figure.others:.2f}"


def _mark(row: Row) -> str:
    return MARK if row.figure.others is not None and row.figure.others > machine.BUSY else ""


def _mb(number: float) -> str:
    return f"{number / 1e6:.0f}"


def _by(number: float, beside: float) -> str:
    return _digits(number / beside) if beside else ""


def _digits(number: float) -> str:
    """Return three digits of a number."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def write_csv(results: Results, path: Path) -> None:
    """Write every figure in a row of its own."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for r in results.rows:
            found = {**r.figure.to_dict(), "model": r.model, "method": r.method, "threads": r.threads,
                     "figure": r.figure.name}  # fmt: skip
            writer.writerow([_cell(found[column]) for column in COLUMNS])


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


def draw(results: Results, path: Path) -> None:
    """Draw the ratio explain / forward on one thread: a group of bars per model, one per method, quartiles as lines."""
    from matplotlib.figure import Figure as Canvas

    fewest = min((r.threads for r in results.rows), default=1)
    rows = [r for r in results.rows if r.figure.name == "explain" and r.threads == fewest and r.figure.ratio]
    models, methods = (list(dict.fromkeys(getattr(r, what) for r in rows)) for what in ("model", "method"))
    canvas = Canvas(figsize=(2 + 1.4 * len(models), 4.5), layout="constrained")
    axes, width = canvas.subplots(), 0.8 / max(1, len(methods))
    for i, method in enumerate(methods):
        mine = {r.model: r.figure for r in rows if r.method == method}
        at = [x + width * (i - (len(methods) - 1) / 2) for x, name in enumerate(models) if name in mine]
        kept = [mine[name] for name in models if name in mine]
        below = [(f.ratio or 0) - (f.ratio_low or 0) for f in kept]
        above = [(f.ratio_high or 0) - (f.ratio or 0) for f in kept]
        axes.bar(
            at, [f.ratio or 0 for f in kept], width, yerr=[below, above], label=method, error_kw={"linewidth": 0.8}
        )
    axes.set_xticks(range(len(models)), [TITLES.get(name, name).partition(" (")[0] for name in models], fontsize=8)
    axes.set_ylabel(f"explain() / forward pass, {fewest} thread(s)")
    axes.legend(fontsize=8)
    canvas.savefig(path, dpi=150)


def middle(numbers: Sequence[float]) -> float:
    """Return the median; 0 of nothing."""
    return statistics.median(numbers) if numbers else 0.0
