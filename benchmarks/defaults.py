"""RSP's defaults, chosen on one half of the photos and reported on the other, beside the rivals.

Photos as a csv dataset (boxes.csv beside them). Half A decides between variants of RSP: section (as found, or the
tensor every path crosses before or behind it), purge, signed inputs, and for the relative form the split. Half B, which
decided nothing, is reported for the default, the best variant and all rivals. On mosaics of each half's photos the
rivals of a target are the mosaic's other classes.

    python benchmarks/defaults.py MODEL.onnx PHOTOS --labels LABELS.txt --out DIR
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.evaluate import evaluate

HERE = Path(__file__).resolve().parent
VARIANTS = ["rsp:hostile=none", "rsp:hostile=none,purge=true", "rsp:hostile=none,signed-inputs=abs"]
RELATIVE = ["rsp:hostile=annotated", "rsp:hostile=annotated,split=1", "rsp:hostile=annotated,split=4",
            "rsp:hostile=annotated,purge=true", "rsp:hostile=annotated,signed-inputs=abs",
            "rsp:hostile=none"]  # fmt: skip
RIVALS = ["clrp", "sglrp", "attribution-equilibrium", "rap", "lrp-z-plus", "lrp-epsilon", "lrp-epsilon-plus-flat",
          "contrastive-excitation-backprop", "excitation-backprop", "grad-cam", "layer-cam", "gradient",
          "input-x-gradient", "integrated-gradients", "smooth-grad", "full-grad"]  # fmt: skip


def halves(photos: Path, out: Path) -> tuple[Path, Path]:
    """Write every second photo's rows into one folder, the others into another; the photos are linked."""
    with (photos / "boxes.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows, header = list(reader), reader.fieldnames or []
    names = sorted({row["image"] for row in rows})
    folders = (out / "half_a", out / "half_b")
    for folder, chosen in zip(folders, (set(names[::2]), set(names[1::2])), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            if not (folder / name).exists():
                (folder / name).symlink_to((photos / name).resolve())
        with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            writer.writerows(row for row in rows if row["image"] in chosen)
    return folders


def beside(model: Path) -> list[str]:
    """Return RSP at the sections before and behind the one that is found."""
    found = analyse(onnx.load(model), input_shapes=None)
    chain = [str(v.name) for v in found.graph.dominators(found.logits)]
    place = chain.index(found.section.name)
    names = [chain[i] for i in (place - 1, place - 2, place + 1, place + 2) if 0 < i < len(chain) - 1]
    return [f"rsp:hostile=none,section={name}" for name in names if not set(name) & set(",=")]


def measure(model: Path, data: Path, methods: list[str], metrics: list[str], out: Path, **options: Any) -> Any:
    """Return value by (method, metric) of the overall figures."""
    summary = evaluate(model, data, format="csv", methods=methods, metrics=metrics, out=out, report=False, **options)
    found: dict[tuple[str, str], tuple[float, float, float, int]] = {}
    for row in summary["metrics"]:
        found.setdefault(
            (row["method"], f"{row['metric']} {row['subset']}"), (row["value"], row["low"], row["high"], row["n"])
        )
    return found


def show(found: Any, methods: list[str], columns: list[str]) -> None:
    """Print a markdown table: value and interval."""
    print(f"| method | {' | '.join(columns)} | n |\n|---|{'---|' * (len(columns) + 1)}")
    for method in methods:
        cells = [found.get((method, c)) for c in columns]
        text = ["-" if c is None else f"{c[0]:.3f} [{c[1]:.3f}, {c[2]:.3f}]" for c in cells]
        print(f"| {method} | {' | '.join(text)} | {next((c[3] for c in cells if c), 0)} |")


def mosaics(model: Path, half: Path, out: Path, words: list[str]) -> Path:
    """Build mosaics of a half's photos."""
    command = [sys.executable, str(HERE / "mosaics.py"), str(model), str(half), "--format", "csv", "--out", str(out)]
    subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return out


def main() -> None:
    """Choose on half A, report on half B."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels")
    parser.add_argument("--mosaics", type=int, default=20)
    parser.add_argument("--sure", type=float, default=0.5, help="probability that lets a photo into a mosaic")
    parser.add_argument("--free", type=int, metavar="SIZE", help="see the mosaics as they are, at this size")
    parser.add_argument("--method", action="append", help="rivals; default: all that walk backward")
    arguments = parser.parse_args()
    model, out = arguments.model, arguments.out
    options = {} if arguments.labels is None else {"labels": arguments.labels}
    words = [] if arguments.labels is None else ["--labels", arguments.labels]
    words += ["--count", str(arguments.mosaics), "--sure", str(arguments.sure)]
    whole = model
    if arguments.free:
        whole = out / "free.onnx"
        words += ["--free-model", str(whole)]
    half_a, half_b = halves(arguments.photos, out)
    columns, metrics = ["pointing all", "pointing targets", "inside box"], ["pointing", "inside"]
    variants = [*VARIANTS, *beside(model)]
    print(f"{model.name}, half A, one class:\n")
    first = measure(model, half_a, variants, metrics, out / "a", **options)
    show(first, variants, columns)
    best = max(variants, key=lambda m: first[m, "pointing targets"][0] + first[m, "inside box"][0])
    print(f"\nBest on half A by pointing + inside: {best}\n\n{model.name}, half B, one class:\n")
    methods = [*dict.fromkeys([VARIANTS[0], best, *(arguments.method or RIVALS)])]
    show(measure(model, half_b, methods, metrics, out / "b", **options), methods, columns)
    for name, half, chosen in (("A", half_a, RELATIVE), ("B", half_b, [*RELATIVE[:1], "rsp:hostile=none"])):
        data = mosaics(model, half, out / f"mosaics_{name}", words)
        large = {"size": (arguments.free, arguments.free)} if arguments.free else {}
        rivals = (arguments.method or RIVALS) if name == "B" else []
        print(f"\n{model.name}, mosaics of half {name}, share in the target's cell:\n")
        found = measure(whole, data, [*chosen, *rivals], ["grid-pointing"], out / f"grid_{name}", **options, **large)
        subset = sorted({key[1] for key in found if key[1].startswith("grid-pointing")}, key=len)[:1]
        show(found, [*chosen, *rivals], subset)


if __name__ == "__main__":
    main()
