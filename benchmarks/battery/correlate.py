"""Hold the RSP map of every rewritten graph against its original's: same input, same class, same place.

python benchmarks/battery/correlate.py FOLDER --out table.md          # the variants of a battery's manifest
python benchmarks/battery/correlate.py --real MODEL.onnx... --pictures FOLDER

It runs in the environment of requirements-torch.txt, with what rsp-onnx needs beside it. ``--real`` rewrites trained
models on the fly, calibrated on other pictures than are explained; without files it takes the project's own digits.

"map" is the Pearson correlation of the relevance at the inputs, "L2" the distance over the original's norm, "logits" and
"section" are correlations of what the two models compute: where those are low, the variant is another model. "place" is
``=`` for a section of the same name, ``~`` for another name whose values correlate, ``!`` for any other. Exits with 1 if
a map is under its threshold and REASONS does not say why.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from explain_one import REPOSITORY, random_input
from onnxruntime import quantization
from shelf import EXPLAINABLE, read
from variants import QDQ, QOPERATOR, REWRITES, rewrite

Array = np.ndarray[Any, Any]
Tensors = Sequence[Array]
Row = dict[str, Any]
SAME_PLACE = 0.9  # correlation of two sections that go by different names
CALIBRATION = 8  # pictures
REAL = ("onnxsim", "onnxslim", "ort-basic", "ort-extended", "ort-all", "fp16-keepio", "qdq-int8", "qdq-int8-perchannel")
REAL = (*REAL, "qoperator", "dynamic-int8")
OWN = ("digits_pytorch.onnx", "digits_keras.onnx", "digits_vit.onnx")
# What a map under its threshold is put down to, by graph and rewrite: "part of the name": reason.
REASONS: dict[str, str] = {}


def threshold(way: str) -> float:
    """Return the least correlation a rewrite is held to: the function is the same, rounded, or quantised."""
    if "int8" in way or way == "qoperator":
        return 0.8
    return 0.999 if way.startswith("fp16") else 0.9999


@dataclass(frozen=True)
class Seen:
    """What one explanation of one model gave."""

    relevance: Array
    logits: Array
    section: Array
    name: str
    target: int
    predicted: int


class Explained:
    """A model compiled once, with its section and logits as further outputs."""

    def __init__(self, path: Path) -> None:
        from rsp_onnx.analysis import analyse
        from rsp_onnx.compilation import compile_ir
        from rsp_onnx.session import Session

        self.found = analyse(path)
        compiled = compile_ir(self.found)
        outputs = compiled.graph.outputs
        for value in (self.found.section.value, self.found.logits):
            if value not in outputs and not value.is_graph_input():
                outputs.append(value)
        self.session = Session(compiled, "cpu", 1)
        self.names = [name for name in self.session.inputs if name not in ("target", "hostile")]
        self.inputs = {name: self.found.graph.values[name] for name in self.names}

    def random(self) -> list[Array]:
        """Return random numbers for the inputs, in their order."""
        return [random_input(value) for value in self.inputs.values()]

    def explain(self, tensors: Tensors, target: int | None = None) -> Seen:
        """Explain a class, or the highest-scoring one; the tensors take the inputs' own types."""
        given = zip(self.inputs.items(), tensors, strict=True)
        feeds = {n: t.astype(v.dtype.numpy() if v.dtype is not None else t.dtype) for (n, v), t in given}
        batch = len(tensors[0])
        feeds |= {"target": np.zeros((1, batch), np.int64), "hostile": np.zeros((1, batch, 0), np.int64)}
        raw = self.session.run(feeds, [self.found.output_name])[self.found.output_name]
        scores = np.nan_to_num(raw.astype(np.float64)).reshape(batch, raw.shape[1], -1)[..., 0]
        best = int(scores[0].argmax())
        feeds["target"][:] = best if target is None else target
        results = self.session.run(feeds) | feeds
        relevance = [r.ravel() for name, r in results.items() if name.startswith("relevance")]
        logits, section = results[str(self.found.logits.name)], results[self.found.section.name]
        return Seen(np.concatenate(relevance), logits, section, self.found.section.name, int(feeds["target"].flat[0]), best)


def correlation(a: Array, b: Array) -> float:
    """Return Pearson's r of all entries; NaN where the sizes differ or one does not vary."""
    if a.size != b.size:
        return float("nan")
    x, y = (v.astype(np.float64).ravel() - v.astype(np.float64).mean() for v in (a, b))
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norms) if norms > 0 else float("nan")


def compare(source: Explained, variant: Explained, samples: Sequence[tuple[Tensors, Tensors]]) -> dict[str, Any]:
    """Explain the samples with both models, the class the source finds, and return the means."""
    pairs = [(seen := source.explain(mine), variant.explain(other, seen.target)) for mine, other in samples]
    maps = [correlation(a.relevance, b.relevance) for a, b in pairs]
    far = [float(np.linalg.norm(a.relevance - b.relevance) / np.linalg.norm(a.relevance)) for a, b in pairs]
    section = float(np.mean([correlation(a.section, b.section) for a, b in pairs]))
    names = tuple(explained.found.section.name for explained in (source, variant))
    return {
        "map": float(np.mean(maps)),
        "least": min(maps),
        "L2": float(np.mean(far)),
        "logits": float(np.mean([correlation(a.logits, b.logits) for a, b in pairs])),
        "section": section,
        "names": names,
        "place": "=" if names[0] == names[1] else "~" if section > SAME_PLACE else "!",
        "class": f"{sum(a.predicted == b.predicted for a, b in pairs)}/{len(pairs)}",
    }


def attempt(graph: str, way: str, source: Explained, path: Path, samples: Sequence[tuple[Tensors, Tensors]]) -> Row:
    """Compare one variant; what cannot be explained is a row with its reason."""
    from rsp_onnx.errors import RspError

    row: Row = {"graph": graph, "way": way}
    try:
        row |= compare(source, Explained(path), samples)
    except RspError as error:
        row |= {"failed": f"{type(error).__name__}: {error}"}
    return judged(row)


def judged(row: Row) -> Row:
    """Add the verdict, and the reason where a known one explains it; show the row."""
    known = next((why for name, why in REASONS.items() if fnmatch(f"{row['graph']}-{row['way']}", name)), "")
    good = row.get("map", 0.0) >= threshold(row["way"])
    row |= {"verdict": "ok" if good else "explained" if known else "UNDER", "why": "" if good else known}
    print(cells(row), file=sys.stderr, flush=True)
    return row


def battery(folder: Path, only: str) -> Iterator[Row]:
    """Compare the variants that the manifest of a folder names."""
    known = read(folder)["graphs"]
    by_source: dict[str, list[str]] = defaultdict(list)
    for name, record in known.items():
        if record.get("source") and only in name and record["kind"] in EXPLAINABLE:
            by_source[record["source"]].append(name)
    for source, names in sorted(by_source.items()):
        explained = Explained(folder / f"{source}.onnx")
        tensors = explained.random()
        for name in names:
            way = name.removeprefix(f"{source}-")
            yield attempt(source, way, explained, folder / f"{name}.onnx", [(tensors, tensors)])


class Pictures(quantization.CalibrationDataReader):
    """Pictures to calibrate with, as tensors."""

    def __init__(self, name: str, tensors: Sequence[Tensors]) -> None:
        self.left = iter([{name: one[0]} for one in tensors])

    def get_next(self) -> dict[str, Array] | None:
        """Return the next picture, or None behind the last."""
        return next(self.left, None)


def calibrated(way: str, source: Path, target: Path, reader: Pictures) -> None:
    """Write a variant in int8, as variants.py does, calibrated on pictures."""
    ready, form = target.with_suffix(".ready"), QOPERATOR if way == "qoperator" else QDQ
    quantization.quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    quantization.quantize_static(str(ready), str(target), reader, quant_format=form, per_channel="perchannel" in way)


def real(models: Sequence[Path], folder: Path | None, count: int, only: str) -> Iterator[Row]:
    """Rewrite trained models in every way and compare on pictures; beside each, a shipped int8 sister."""
    from rsp_onnx import Explainer

    for path in models:
        own = path.resolve().parent == REPOSITORY / "models"
        pictures = sorted((REPOSITORY / "models/scenes").glob("scene_?.png")) if own else sorted(folder.glob("*.*"))
        pictures = [p for p in pictures if p.suffix.lower() in (".png", ".jpg", ".jpeg")]
        explained, made = Explained(path), Explainer(path, device="cpu", threads=1)
        tensors = [list(made.feeds(p).values()) for p in pictures[: count + CALIBRATION]]
        samples = [(one, one) for one in tensors[:count]]
        with tempfile.TemporaryDirectory() as work:
            for way in (way for way in REAL if only in f"{path.stem}-{way}"):
                target = Path(work) / f"{way}.onnx"
                try:
                    if way.startswith("q"):
                        calibrated(way, path, target, Pictures(explained.names[0], tensors[count:] or tensors))
                    else:
                        rewrite(way, path, target)
                except Exception as error:  # the tools raise types of their own
                    print(f"{path.stem}: {way} cannot be made: {type(error).__name__}: {error}"[:300], file=sys.stderr)
                    continue
                yield attempt(path.stem, way, explained, target, samples)
        sister = path.with_name(path.name.replace("_fp32", "_int8_qdq"))
        if sister != path and sister.is_file() and only in f"{path.stem}-int8-shipped":
            other = Explainer(sister, device="cpu", threads=1)
            both = [(one[0], list(other.feeds(p).values())) for one, p in zip(samples, pictures, strict=False)]
            yield attempt(path.stem, "int8-shipped", explained, sister, both)


def cells(row: Row) -> str:
    """Lay one row out."""
    first = [row["graph"], row["way"], row["verdict"]]
    if "failed" in row:
        return "| " + " | ".join([*first, *[""] * 6, row["failed"].replace("|", "\\|")]) + " |"
    numbers = [f"{row['map']:.6f}", f"{row['least']:.6f}", f"{row['L2']:.1e}", f"{row['logits']:.5f}", f"{row['section']:.5f}"]
    moved = "" if row["place"] == "=" else f" `{row['names'][0]}` → `{row['names'][1]}`"
    return "| " + " | ".join([*first, *numbers, row["place"] + " " + row["class"], row["why"] + moved]) + " |"


def table(rows: Sequence[Row]) -> str:
    """Lay all rows out as a markdown table, and what each way of rewriting comes to."""
    lines = ["| graph | rewrite | verdict | map | least | L2 | logits | section | place, class | note |", "|---" * 10 + "|"]
    lines += [cells(row) for row in rows]
    lines += ["", "| rewrite | n | threshold | median | least | at | under | explained |", "|---" * 8 + "|"]
    by_way: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_way[row["way"]].append(row)
    for way, found in by_way.items():
        maps = [np.nan_to_num(row.get("map", 0.0)) for row in found]
        worst, verdicts = found[int(np.argmin(maps))], [row["verdict"] for row in found]
        under, told = verdicts.count("UNDER"), verdicts.count("explained")
        line = [way, len(found), threshold(way), f"{statistics.median(maps):.6f}", f"{min(maps):.6f}", worst["graph"], under, told]
        lines.append("| " + " | ".join(map(str, line)) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a battery with its manifest.json")
    parser.add_argument("--real", type=Path, nargs="*", metavar="MODEL", help="trained models; default: the digits")
    parser.add_argument("--pictures", type=Path, help="folder of photographs for models other than the digits")
    parser.add_argument("--count", type=int, default=5, help="pictures to explain")
    parser.add_argument("--only", default="", help="part of the names")
    parser.add_argument("--out", type=Path, help="markdown file to write; default: standard output")
    a = parser.parse_args()
    if a.folder is None and a.real is None:
        parser.error("give a folder, --real, or both")
    sys.path.append(str(REPOSITORY))  # behind an installed rsp_onnx and PYTHONPATH
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows = list(battery(a.folder, a.only)) if a.folder else []
    if a.real is not None:
        rows += real(a.real or [REPOSITORY / "models" / name for name in OWN], a.pictures, a.count, a.only)
    text = table(rows)
    if a.out:
        a.out.write_text(text, encoding="utf-8")
    print(text if not a.out else text[text.rindex("| rewrite | n |") :])
    return int(not rows or any(row["verdict"] == "UNDER" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
