"""Measure what explanations cost beside the model's own forward pass; write Markdown, CSV and a picture.

    python -m benchmarks.measure --out FOLDER                      # everything, on one thread and two: an hour or more
    python -m benchmarks.measure --out FOLDER --quick              # four small models, RSP, explain() alone: a minute
    python -m benchmarks.measure --out FOLDER --models vgg16 MODEL.onnx --methods rsp gradient --threads 1 --runs 15
    python -m benchmarks.measure --out FOLDER --graphs BATTERY     # explain / forward of every .onnx file of a folder

Every figure is the median of runs in turn (plain, explain, plain, ...), in a process of its own; the plain session has
ONNX Runtime's defaults but for the number of threads. Models and methods are in models.py; VGG-16, ResNet-50 and
ViT-Tiny are built with PyTorch where it is installed and kept in FOLDER/models. Run it from the repository's root.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import graphs, machine, report
from .models import METHODS, QUICK, TITLES, find
from .runner import Plan, measure

KINDS = ("explain", "exported", "many", "memory", "beside")


def main() -> int:
    """Run from the command line."""
    given = _arguments()
    before = machine.load()
    given.out.mkdir(parents=True, exist_ok=True)
    methods = given.methods or (METHODS[:1] if given.quick or given.graphs else METHODS)
    threads = given.threads or ([1] if given.quick or given.graphs else [1, 2])
    kinds = given.kinds or (["explain"] if given.quick or given.graphs else KINDS)
    plan = Plan(methods, threads, given.runs, kinds)
    wanted = given.models or ([] if given.graphs else QUICK if given.quick else TITLES)
    found = [find(name, given.out / "models", given.data) for name in wanted]
    found += graphs.of_folder(given.graphs, given.half) if given.graphs else []
    if not found:
        print(f"There is no .onnx file in {given.graphs}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        results = measure(found, plan, Path(work), lambda so_far: report.write_csv(so_far, given.out / "measured.csv"))
    text = graphs.markdown(results, before) if given.graphs else report.markdown(results, before)
    (given.out / "measured.md").write_text(text, encoding="utf-8")
    report.write_csv(results, given.out / "measured.csv")
    if not given.graphs and "explain" in kinds:
        report.draw(results, given.out / "measured.png")
    print(text)
    return 0 if results.rows else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("measured"), help="folder to write (default: measured)")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help=f"of {', '.join(TITLES)}, or files")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help=f"default: {', '.join(METHODS)}")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="default: 1 2; 1 with --quick")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="what to measure; default: all")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="four small models, RSP, one thread, explain() alone")
    parser.add_argument("--graphs", type=Path, metavar="DIR", help="measure every .onnx file of a folder")
    parser.add_argument("--half", choices=("small", "full"), default="full", help="of a battery's folder")
    parser.add_argument("--data", type=Path, help="folder of the shared models")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
