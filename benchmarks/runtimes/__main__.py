"""Run compiled explanations in other runtimes, and compare the maps with those of ONNX Runtime on the CPU.

    pip install openvino; npm install onnxruntime-web          # in a folder; what is missing is left out and named
    python -m benchmarks.runtimes --web FOLDER [--data ../shared/data] [--models digits_pytorch ...] [--out FILE.md]

Six models by four methods. The figure is the relative L2 distance of the maps, on the first of a few inputs for which
ONNX Runtime agrees with itself at two levels of optimisation: a ReLU or a maximum may lie so close to a tie that the
last bit decides, and then no two runtimes give one map. Exit code 1 where one is above 1e-3 that is not named in KNOWN.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from rsp_onnx import compile_explainer

from .engines import Arrays, Engine, MissingError, engines, onnx_runtime

REPO = Path(__file__).resolve().parents[2]
OWN = ("digits_pytorch", "digits_keras", "digits_vit")
REAL = ("squeezenet1.1_nchw_fp32", "resnet20_cifar10_nchw_fp32", "mobilenet_v2_nhwc_fp32")
METHODS = ("rsp", "gradient", "grad-cam", "lrp-epsilon-plus-flat")
BOUND, STABLE, TRIES = 1e-3, 1e-5, 8
SMALL = 200_000  # entries of the input: more is too much for a slow runtime
KNOWN: dict[tuple[str, str], str] = {}  # what is above the bound, by model and method, and why


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.runtimes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--web", type=Path, help="folder whose node_modules hold onnxruntime-web")
    parser.add_argument("--data", type=Path, default=REPO.parent / "shared" / "data", help="folder of the real models")
    parser.add_argument("--models", nargs="+", default=[*OWN, *REAL], metavar="MODEL")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--out", type=Path, help="Markdown to write")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found, worst, absent = engines(given.web), 0.0, dict[str, str]()
    lines = [f"| model | method | {' | '.join(engine.name for engine in found)} |", "|---|---|" + "---|" * len(found)]
    for name in given.models:
        path = next((p for p in _places(name, given.data) if p.is_file()), None)
        if path is None:
            print(f"{name} is not here: left out", file=sys.stderr)
            continue
        for method in given.methods:
            cells = [_cell(engine, distance, absent) for engine, distance in compare(path, method, found)]
            if (name, method) not in KNOWN:
                worst = max([worst, *(value for _, value in cells)])
            lines.append(f"| {name} | {method} | {' | '.join(text for text, _ in cells)} |")
            print(lines[-1], flush=True)
    versions = [f"{e.name} {e.version()}" for e in found if e.name not in absent]
    notes = [f"* {engine}: {why}" for engine, why in absent.items()]
    notes += [f"* {name}, {method}: {why}" for (name, method), why in KNOWN.items()]
    text = "\n".join([f"Run with {', '.join(versions)}.", "", *lines, "", *notes])
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(worst > BOUND)


def _places(name: str, data: Path) -> Iterator[Path]:
    yield from (REPO / "models" / f"{name}.onnx", data / "models" / f"{name}.onnx", Path(name))


def compare(path: Path, method: str, found: list[Engine]) -> Iterator[tuple[Engine, float | Exception | None]]:
    """Yield how far every engine's map is from ONNX Runtime's; None where it would take too long, or what it raised."""
    model = compile_explainer(path, method).SerializeToString()
    feeds = stable_feeds(model)
    want = onnx_runtime("ORT_ENABLE_ALL")(model, feeds)
    for engine in found:
        if engine.slow and max(array.size for array in feeds.values()) > SMALL:
            yield engine, None
            continue
        try:
            yield engine, distance(engine.run(model, feeds), want)
        except Exception as error:  # each runtime raises its own types
            yield engine, error


def stable_feeds(model: bytes) -> Arrays:
    """Return the first inputs on which ONNX Runtime's map does not depend on how it is optimised."""
    for seed in range(TRIES):
        feeds = make_feeds(model, seed)
        maps = [onnx_runtime(level)(model, feeds) for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL")]
        if distance(*maps) < STABLE:
            break
    return feeds


def make_feeds(model: bytes, seed: int) -> Arrays:
    """Return one sample of noise and the class 3, without rivals."""
    rng = np.random.default_rng(seed)
    asked = {"target": np.array([[3]], np.int64), "hostile": np.zeros((1, 1, 0), np.int64)}
    feeds: Arrays = {}
    for value in onnx.load_from_string(model).graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value or 1 for d in kind.shape.dim]
        numbers = rng.uniform(0, 1, shape).astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        feeds[value.name] = asked.get(value.name, numbers)
    return feeds


def distance(found: Arrays, want: Arrays) -> float:
    """Return the relative L2 distance of the maps; NaN counts as infinite."""
    names = [name for name in want if name.startswith("relevance")]
    offs = [np.linalg.norm(found[n].astype(float) - want[n]) / max(np.linalg.norm(want[n]), 1e-30) for n in names]
    return float(np.nan_to_num(max(offs), nan=np.inf))


def _cell(engine: Engine, result: float | Exception | None, absent: dict[str, str]) -> tuple[str, float]:
    """Return what the table shows, and the distance that counts."""
    if result is None:
        return "–", 0.0
    if isinstance(result, MissingError):
        absent[engine.name] = f"not installed ({result})"
        return "–", 0.0
    if isinstance(result, Exception):
        return f"fails: {str(result).splitlines()[0][:80]}", np.inf
    return f"{result:.0e}" if result <= BOUND else f"**{result:.0e}**", result


if __name__ == "__main__":
    sys.exit(main())
