"""RSP against Grad-CAM and the gradient on scenes of handwritten digits: pointing game and share inside the mask.

Every test scene with two or more digits; every class in it that the model finds (score above 0.5) is a target, and
the other classes the model finds are hostile. All maps come from the same graph by the same compiler.

    python benchmarks/digits.py --scenes 500
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rsp_onnx import Explainer
from rsp_onnx.render import smooth

REPO = Path(__file__).resolve().parents[1]
SIGMA = 3.0  # pixels; the pointing game looks for the maximum of the smoothed map
PRESENT = 0.5
METHODS = {
    "RSP, relative": ("rsp", "auto"),
    "RSP, one class": ("rsp", "none"),
    "Grad-CAM": ("grad-cam", "none"),
    "gradient (absolute)": ("gradient", "none"),
}


def load_scenes() -> ModuleType:
    """Import models/scenes.py, which is a script and not a package."""
    if "digit_scenes" not in sys.modules:
        spec = importlib.util.spec_from_file_location("digit_scenes", REPO / "models" / "scenes.py")
        assert spec is not None and spec.loader is not None
        sys.modules["digit_scenes"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["digit_scenes"])
    return sys.modules["digit_scenes"]


def crowded(count: int) -> Iterator[Any]:
    """Yield the first ``count`` test scenes with two or more digits."""
    found = 0
    for scene in load_scenes().make_scenes("test", 4 * count):
        if len(scene.digits) >= 2 and found < count:
            found += 1
            yield scene


def masks(scene: Any, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (pixels of the target's digits, pixels of their boxes), bool [96, 96]."""
    inside = np.zeros(scene.image.shape[:2], bool)
    box = inside.copy()
    for digit, (left, top, right, bottom), mask in scene.digits:
        if digit == target:
            inside |= mask
            box[top : bottom + 1, left : right + 1] = True
    return inside, box


def measure(heatmap: np.ndarray, inside: np.ndarray, box: np.ndarray) -> dict[str, float]:
    """Return hit (1 or 0) and the share of positive relevance inside the mask and inside the box."""
    peak = np.unravel_index(np.argmax(smooth(heatmap, SIGMA)), heatmap.shape)
    upper = np.maximum(heatmap.astype(np.float64), 0)
    total = upper.sum()
    share = (float(upper[inside].sum() / total), float(upper[box].sum() / total)) if total > 0 else (0.0, 0.0)
    return {"pointing": float(box[peak]), "mask share": share[0], "box share": share[1]}


def evaluate(model: Path, scenes: int) -> dict[str, dict[str, float]]:
    """Return the mean of each measure by method, with n, the number of scene × target pairs."""
    explainers = {m: Explainer(model, method=m) for m in {name for name, _ in METHODS.values()}}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*METHODS, "chance")}
    for scene in crowded(scenes):
        scores = explainers["rsp"].scores(scene.image)
        targets = sorted({int(d[0]) for d in scene.digits if scores[d[0]] > PRESENT})
        if not targets:
            continue
        for name, (method, hostile) in METHODS.items():
            for found in explainers[method].explain(scene.image, targets, hostile):
                heatmap = np.abs(found.relevance).sum(0) if method == "gradient" else found.heatmap
                rows[name].append(measure(heatmap, *masks(scene, found.target)))
        for target in targets:
            inside, box = masks(scene, target)
            area = {"pointing": box.mean(), "mask share": inside.mean(), "box share": box.mean()}
            rows["chance"].append({key: float(value) for key, value in area.items()})
    return {name: _mean(found) for name, found in rows.items()}


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([r[key] for r in rows])) for key in rows[0]} | {"n": len(rows)}


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=REPO / "models" / "digits_pytorch.onnx")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = evaluate(arguments.model, arguments.scenes)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print("| method | pointing game | share in the mask | share in the box | n |\n|---|---|---|---|---|")
    for name, row in found.items():
        print(
            f"| {name} | {row['pointing']:.3f} | {row['mask share']:.3f} | {row['box share']:.3f} | {int(row['n'])} |"
        )


if __name__ == "__main__":
    main()
