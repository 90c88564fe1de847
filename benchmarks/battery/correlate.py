"""Hold the RSP map of every rewritten graph against its original's: same input, same class.

python benchmarks/battery/correlate.py FOLDER --out table.md          # the variants that a battery's manifest names
python benchmarks/battery/correlate.py --real MODEL.onnx... --pictures FOLDER

It runs in the environment of requirements-torch.txt, with rsp-onnx or what it needs beside it. ``--real`` rewrites
trained models on the fly and explains pictures, the digits in models/scenes; without files it takes the digits alone.

"map" is Pearson's correlation of the relevance at the inputs (mean and least over the pictures), "L2" the distance over
the original's norm; "logits" and "section" correlate what the two models compute: where those are low, the rewrite made
another model. "own", where a map is under its threshold, correlates the original's map with its map of an input moved
by half the rewrite's rounding: where that moves the map under the threshold and at least as far as the rewrite did, the
verdict is "sensitive". "place" is ``=`` for a section of the same name, ``~`` for another one with values alike, ``?``
for any other. Exits with 1 if a map is under its threshold and neither "own" nor REASONS says why.
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
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from explain_one import REPOSITORY, random_input
from onnxruntime import quantization
from shelf import EXPLAINABLE, read
from variants import QDQ, QOPERATOR, REWRITES, rewrite

Array = np.ndarray[Any, Any]
Tensors = Sequence[Array]
Row = dict[str, Any]
ALIKE = 0.9  # correlation of two sections that go by different names
CALIBRATION = 8  # pictures
REAL = [way for way in REWRITES if way not in ("fp16", "transformers")]
OWN = ("digits_pytorch.onnx", "digits_keras.onnx", "digits_vit.onnx")
COLUMNS = ("graph", "rewrite", "verdict", "map", "least", "L2", "logits", "section", "own", "place", "class", "note")
# What is known of maps under their threshold, by graph and rewrite.
REASONS = {
    "hf__vit__ts-op14-eager-q*": "another model (see logits): in a LayerNorm written out the class token's variance, "
    "0.0009, is 0 in 8 bits of 0 to 2.1",
    "tests__densenet__ts-op16-qdq-int8*": "one AveragePool window sums to -0.005 of ±1 and holds 0.9 of the squared "
    "relevance before it; weights rounded in floating point move the map as far",
    "mobilenet_v2_nhwc_fp32-q[do]*[8r]": "another model (see section): one scale per weight tensor is too coarse here; "
    "per channel it is the same model",
}


def threshold(way: str) -> float:
    """Return the least correlation: the function is the same, in half precision, or quantised."""
    return 0.8 if "int8" in way or way == "qoperator" else 0.999 if way.startswith("fp16") else 0.9999


class Seen(NamedTuple):
    """One explanation."""

    relevance: Array
    logits: Array
    section: Array
    target: int
    predicted: int


class Explained:
    """A model compiled once, with its section and logits as further outputs."""

    def __init__(self, path: Path) -> None:
        from rsp_onnx.compiler.analysis import analyse
        from rsp_onnx.explain.compile import compile_ir
        from rsp_onnx.model.session import Session

        self.found = analyse(path)
        self.section, self.logits = str(self.found.section.name), str(self.found.logits.name)
        compiled = compile_ir(self.found)
        for value in (self.found.section.value, self.found.logits):
            if value not in compiled.graph.outputs and not value.is_graph_input():
                compiled.graph.outputs.append(value)
        self.session = Session(compiled, "cpu", 1)
        names = [name for name in self.session.inputs if name not in ("target", "hostile")]
        self.inputs = {name: self.found.graph.values[name] for name in names}

    def explain(self, tensors: Tensors, target: int | None = None) -> Seen:
        """Explain a class, or the highest-scoring one; the tensors are cast to the inputs' own types."""
        given = zip(self.inputs.items(), tensors, strict=True)
        feeds = {name: t.astype(t.dtype if v.dtype is None else v.dtype.numpy()) for (name, v), t in given}
        batch, output = len(tensors[0]), self.found.output_name
        feeds |= {"target": np.zeros((1, batch), np.int64), "hostile": np.zeros((1, batch, 0), np.int64)}
        scores = np.nan_to_num(self.session.run(feeds, [output])[output].astype(np.float64))
        best = int(scores.reshape(batch, scores.shape[1], -1)[0, :, 0].argmax())
        feeds["target"][:] = best if target is None else target
        seen = feeds | self.session.run(feeds)
        relevance = np.concatenate([r.ravel() for name, r in seen.items() if name.startswith("relevance")])
        logits = seen[self.logits].astype(np.float64)
        if self.found.kind == "sigmoid" and logits.min() > 0 and logits.max() < 1:  # fused with its sigmoid
            logits = np.log(logits / (1 - logits))
        return Seen(relevance, logits, seen[self.section], int(feeds["target"].flat[0]), best)


def correlation(a: Array, b: Array) -> float:
    """Return Pearson's r of all entries; NaN where the sizes differ or one does not vary."""
    if a.size != b.size:
        return float("nan")
    x, y = (v.astype(np.float64).ravel() for v in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norms) if norms > 0 else float("nan")


def moved(tensors: Tensors, way: str) -> list[Array]:
    """Move every number by up to half a step of what the rewrite rounds to: 8 bits, half or single precision."""
    rng, found = np.random.default_rng(0), []
    for t in tensors:
        step = np.abs(t) * (2.0**-11 if way.startswith("fp16") or t.dtype == np.float16 else 2.0**-24)
        step = np.ptp(t) / 510 if threshold(way) < 0.9 else step
        found.append((t + step * rng.uniform(-1, 1, t.shape)).astype(t.dtype) if t.dtype.kind == "f" else t)
    return found


def compare(source: Explained, variant: Explained, way: str, samples: Sequence[tuple[Tensors, Tensors]]) -> Row:
    """Explain the samples with both models, the class that the source finds, and return the means."""
    pairs = [(seen := source.explain(mine), variant.explain(its, seen.target)) for mine, its in samples]
    maps = [correlation(a.relevance, b.relevance) for a, b in pairs]
    far = [np.linalg.norm(a.relevance - b.relevance) / np.linalg.norm(a.relevance) for a, b in pairs]
    section = np.mean([correlation(a.section, b.section) for a, b in pairs])
    names = (source.section, variant.section)
    row: Row = {"map": np.mean(maps), "least": min(maps), "L2": np.mean(far), "section": section}
    row |= {"logits": np.mean([correlation(a.logits, b.logits) for a, b in pairs])}
    row |= {"class": f"{sum(a.predicted == b.predicted for a, b in pairs)}/{len(pairs)}"}
    row |= {"place": "=" if names[0] == names[1] else ("~" if section > ALIKE else "?") + f" `{names[1]}`"}
    if not row["map"] >= threshold(way):
        again = [source.explain(moved(mine, way), a.target) for (mine, _), (a, _) in zip(samples, pairs, strict=True)]
        row["own"] = np.mean([correlation(a.relevance, b.relevance) for (a, _), b in zip(pairs, again, strict=True)])
    return row


def attempt(graph: str, way: str, source: Explained, path: Path, samples: Sequence[tuple[Tensors, Tensors]]) -> Row:
    """Compare one variant and judge it; what cannot be explained is a row with its reason."""
    from rsp_onnx.errors import RspError

    known = next((why for name, why in REASONS.items() if fnmatch(f"{graph}-{way}", name)), "")
    row: Row = {"graph": graph, "rewrite": way, "verdict": "explained" if known else "UNDER", "note": known}
    try:
        row |= compare(source, Explained(path), way, samples)
    except RspError as error:
        row["note"] = known or f"{type(error).__name__}: {error}"
    if row.get("map", 0.0) >= threshold(way):
        row |= {"verdict": "ok", "note": ""}
    elif not known and row.get("own", 1.0) < threshold(way) and row["map"] >= row["own"]:
        row["verdict"] = "sensitive"
    print(line(row), file=sys.stderr, flush=True)
    return row


def battery(folder: Path, only: str) -> Iterator[Row]:
    """Compare the variants that the manifest of a folder names."""
    by_source: dict[str, list[str]] = defaultdict(list)
    for name, record in read(folder)["graphs"].items():
        if record.get("source") and only in name and record["kind"] in EXPLAINABLE:
            by_source[record["source"]].append(name)
    for source, names in sorted(by_source.items()):
        explained = Explained(folder / f"{source}.onnx")
        tensors = [random_input(value) for value in explained.inputs.values()]
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


def make(way: str, source: Path, target: Path, reader: Pictures) -> None:
    """Write a variant as variants.py does, but calibrated on pictures."""
    if not way.startswith("q"):
        return rewrite(way, source, target)
    ready, form = target.with_suffix(".ready"), QOPERATOR if way == "qoperator" else QDQ
    quantization.quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    quantization.quantize_static(str(ready), str(target), reader, quant_format=form, per_channel="perchannel" in way)


def real(path: Path, folder: Path, count: int, only: str) -> Iterator[Row]:
    """Rewrite a trained model in every way and compare on pictures; likewise an int8 sister beside its file."""
    from rsp_onnx import Explainer

    pictures = [p for p in sorted(folder.glob("*.*")) if p.suffix.lower() in (".png", ".jpg", ".jpeg")]
    pictures = [p for p in pictures if ".mask" not in p.name]
    source, feeds = Explained(path), Explainer(path, device="cpu", threads=1).feeds
    tensors = [list(feeds(picture).values()) for picture in pictures[: count + CALIBRATION]]
    samples = [(one, one) for one in tensors[:count]]
    with tempfile.TemporaryDirectory() as work:
        for way in (way for way in REAL if only in f"{path.stem}-{way}"):
            target, reader = Path(work) / f"{way}.onnx", Pictures(next(iter(source.inputs)), tensors[count:])
            try:
                make(way, path, target, reader)
            except Exception as error:  # the tools raise types of their own
                note = f"{type(error).__name__}: {str(error).strip().splitlines()[0]:.100}"
                yield {"graph": path.stem, "rewrite": way, "verdict": "not made", "note": note}
                continue
            yield attempt(path.stem, way, source, target, samples)
    sister = path.with_name(path.name.replace("_fp32", "_int8_qdq"))
    if sister != path and sister.is_file() and only in f"{path.stem}-int8-shipped":
        its = Explainer(sister, device="cpu", threads=1).feeds
        both = [(mine, list(its(p).values())) for (mine, _), p in zip(samples, pictures, strict=False)]
        yield attempt(path.stem, "int8-shipped", source, sister, both)


def line(row: Row) -> str:
    """Lay one row out."""
    shown = {**row, "L2": f"{row['L2']:.1e}" if "L2" in row else ""}
    cells = [shown.get(key, "") for key in COLUMNS]
    return "| " + " | ".join(f"{c:.5f}" if isinstance(c, float) else str(c).replace("|", "\\|") for c in cells) + " |"


def table(rows: Sequence[Row]) -> str:
    """Lay all rows out as a markdown table, and below what each way of rewriting comes to."""
    verdicts = ("ok", "sensitive", "explained", "UNDER")
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|", *map(line, rows), ""]
    lines += ["| rewrite | n | threshold | median | least | at | " + " | ".join(verdicts) + " |", "|---" * 10 + "|"]
    for way in dict.fromkeys(row["rewrite"] for row in rows if row["verdict"] in verdicts):
        found = [row for row in rows if row["rewrite"] == way and row["verdict"] in verdicts]
        maps = [np.nan_to_num(row.get("map", 0.0)) for row in found]
        cells = [way, len(found), threshold(way), f"{statistics.median(maps):.5f}", f"{min(maps):.5f}"]
        cells += [found[int(np.argmin(maps))]["graph"], *(sum(r["verdict"] == v for r in found) for v in verdicts)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
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
    models = [REPOSITORY / "models" / name for name in OWN] if a.real == [] else a.real or []
    folders = [REPOSITORY / "models/scenes" if path.name in OWN else a.pictures for path in models]
    if (a.folder is None and not models) or None in folders:
        parser.error("give a folder, --real, or both; and --pictures for models other than the digits")
    sys.path.append(str(REPOSITORY))  # behind an installed rsp_onnx and PYTHONPATH
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows = list(battery(a.folder, a.only)) if a.folder else []
    rows += [row for path, f in zip(models, folders, strict=True) for row in real(path, f, a.count, a.only)]
    text = table(rows)
    if a.out:
        a.out.write_text(text, encoding="utf-8")
    print(text if not a.out else text[text.rindex("| rewrite | n |") :])
    return int(not rows or any(row["verdict"] == "UNDER" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
