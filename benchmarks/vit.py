"""A vision transformer on the digit scenes: RSP against attention rollout, Grad-CAM and HiResCAM on its tokens.

Every test scene with two or more digits; every class in it that the model finds (score above 0.5) is a target, and
for RSP relative the other classes the model finds are hostile. Each method may read any of the sections given; which
one suits it is chosen on validation scenes, by pointing game and mask share together.

    python benchmarks/vit.py --scenes 300
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from digits import PRESENT, REPO, load_scenes, masks, measure
from PIL import Image

from rsp_onnx import Explainer

Array = np.ndarray[Any, Any]
METHODS = {
    "RSP, relative": ("rsp", "auto"),
    "RSP, one class": ("rsp", "none"),
    "Grad-CAM on tokens": ("grad-cam", "none"),
    "HiResCAM on tokens": ("hires-cam", "none"),
    "gradient (absolute)": ("gradient", "none"),
}


def crowded(split: str, count: int) -> Iterator[Any]:
    """Yield the first scenes of a split with two or more digits."""
    scenes = (s for s in load_scenes().make_scenes(split, 4 * count) if len(s.digits) >= 2)
    for _, scene in zip(range(count), scenes, strict=False):
        yield scene


class Rollout:
    """Attention rollout (Abnar and Zuidema 2020): the class token's row of the product of all (A + I)/2.

    It knows no class: every target of a scene gets the same map.
    """

    def __init__(self, model: Path) -> None:
        proto = onnx.load(model)
        self.names = [n.output[0] for n in proto.graph.node if n.op_type == "Softmax"]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        self.session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, image: Array) -> Array:
        """Return the map of a picture [H, W, 3] uint8, as large as the picture."""
        feeds = {self.session.get_inputs()[0].name: image.transpose(2, 0, 1)[None].astype(np.float32) / 255}
        joint: Array = np.eye(1)
        for attention in self.session.run(self.names, feeds):
            weights = attention[0].mean(0)  # over the heads
            joint = (weights + np.eye(len(weights))) / 2 @ (joint if len(joint) > 1 else np.eye(len(weights)))
        side = round((len(joint) - 1) ** 0.5)
        small = Image.fromarray(joint[0, 1:].reshape(side, side).astype(np.float32))
        return np.asarray(small.resize(image.shape[1::-1], Image.Resampling.BILINEAR))


def maps(explainers: dict[tuple[str, str], Explainer], scene: Any, targets: list[int]) -> dict[str, list[Array]]:
    """Return the heatmaps of every method × section, one per target."""
    found = {}
    for name, (method, hostile) in METHODS.items():
        for (kind, section), explainer in explainers.items():
            if kind == method:
                explained = explainer.explain(scene.image, targets, hostile)
                absolute = method == "gradient"
                found[f"{name} @ {section}"] = [
                    np.abs(e.relevance).sum(0) if absolute else e.heatmap for e in explained
                ]
    return found


def evaluate(model: Path, split: str, scenes: int, sections: Sequence[str]) -> dict[str, Any]:
    """Return the mean of each measure by method @ section, with the number n of scene × target pairs."""
    wanted = {(m, s) for m, _ in METHODS.values() for s in (sections if m != "gradient" else ("",))}
    explainers = {(m, s): Explainer(model, method=m, section=s or None) for m, s in sorted(wanted)}
    rollout, rows = Rollout(model), dict[str, list[dict[str, float]]]()
    for scene in crowded(split, scenes):
        scores = next(iter(explainers.values())).scores(scene.image)
        targets = sorted({int(d[0]) for d in scene.digits if scores[d[0]] > PRESENT})
        if not targets:
            continue
        found = maps(explainers, scene, targets)
        found["attention rollout @ all layers"] = [rollout(scene.image)] * len(targets)
        for name, pictures in found.items():
            for target, picture in zip(targets, pictures, strict=True):
                rows.setdefault(name, []).append(measure(picture, *masks(scene, target)))
        for target in targets:
            inside, box = masks(scene, target)
            area = {"pointing": box.mean(), "mask share": inside.mean(), "box share": box.mean()}
            rows.setdefault("chance @ -", []).append({key: float(value) for key, value in area.items()})
    return {n: {k: float(np.mean([r[k] for r in rs])) for k in rs[0]} | {"n": len(rs)} for n, rs in rows.items()}


def best_sections(validation: dict[str, Any]) -> list[str]:
    """Return for each method the row with the highest sum of pointing game and mask share."""
    best: dict[str, str] = {}
    for name, row in validation.items():
        method = name.partition(" @ ")[0]
        value = row["pointing"] + row["mask share"]
        if method not in best or value > validation[best[method]]["pointing"] + validation[best[method]]["mask share"]:
            best[method] = name
    return list(best.values())


def show(rows: dict[str, Any], names: Sequence[str]) -> None:
    """Print rows as a markdown table."""
    print("| method | section | pointing game | share in the mask | share in the box | n |\n|---|---|---|---|---|---|")
    for name in names:
        method, _, section = name.partition(" @ ")
        r = rows[name]
        numbers = f"{r['pointing']:.3f} | {r['mask share']:.3f} | {r['box share']:.3f} | {r['n']}"
        print(f"| {method} | {section or 'none'} | {numbers} |")


def main() -> None:
    """Choose the sections on validation scenes, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=REPO / "models" / "digits_vit.onnx")
    parser.add_argument("--scenes", type=int, default=300, help="test scenes; a third as many for validation")
    parser.add_argument("--section", action="append", help="repeat; default: the ends of all blocks")
    arguments = parser.parse_args()
    sections = arguments.section or default_sections(arguments.model)
    validation = evaluate(arguments.model, "validation", arguments.scenes // 3, sections)
    print("Validation scenes:\n")
    show(validation, list(validation))
    chosen = best_sections(validation)
    test = evaluate(arguments.model, "test", arguments.scenes, sections)
    print("\nTest scenes, each method at the section chosen on the validation scenes:\n")
    show(test, chosen)
    print("\nTest scenes, all:\n")
    show(test, list(test))


def default_sections(model: Path) -> list[str]:
    """Return the tokens at the end of every block."""
    nodes = onnx.load(model).graph.node
    return [n.output[0] for n in nodes if n.op_type == "Add" and n.name.endswith("/Add_1") and "blocks" in n.name]


if __name__ == "__main__":
    main()
