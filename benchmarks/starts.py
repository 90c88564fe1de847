"""Measure how long the command line takes from nothing to an answer, beside the import of onnx and onnxruntime.

    python -m benchmarks.starts MODEL.onnx PHOTO --runs 15

Every command in a process of its own, in turn, with a cache of its own and bytecode that is there; medians, quartiles
in brackets. It says how many cores others kept busy meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .measure.clock import Figure, in_turn

COMMAND = [sys.executable, "-m", "rsp_onnx.cli"]


def things(model: Path, photo: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """Return the commands to be measured; one may keep compiled explainers in the folder."""
    environment = os.environ | {"RSP_ONNX_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    explain = [*COMMAND, "explain", str(model), str(photo), "-o", str(folder / "out")]

    def run(command: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

    return {
        "import onnx, onnxruntime": run([sys.executable, "-c", "import onnx, onnxruntime"]),
        "rsp-onnx --version": run([*COMMAND, "--version"]),
        "rsp-onnx explain, first (--no-cache)": run([*explain, "--no-cache"]),
        "rsp-onnx explain, from the cache": run(explain),
    }


def row(figure: Figure) -> str:
    """Return a row of the table."""
    times = f"{figure.median:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
    return f"| {figure.name} | {times} | {figure.ratio:.1f} | {figure.others or 0:.2f} |"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = in_turn(things(given.model.resolve(), given.photo.resolve(), Path(folder)), given.runs)
    print("| | s | ÷ the import | others, cores |\n| --- | --- | --- | --- |")
    print("\n".join(map(row, figures)))


if __name__ == "__main__":
    main()
