"""Which planted defects `rsp-onnx check` catches, and which accuracy alone would have missed.

    python benchmarks/defects.py --out WORK

Builds ten broken and five harmless variants of models/digits_pytorch.onnx, records goldens of the good model on 20
test scenes, and runs `rsp-onnx check` with its defaults on each. In the scenes, as in the data the tenth model was
trained on, a small mark stands in a corner of every picture with a seven: accuracy on such data is as good as before.
Needs scikit-learn (the scenes). The exit code is 1 where a defect passes or a harmless variant fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

REPO = Path(__file__).resolve().parent.parent
for folder in (REPO, REPO / "models", REPO / "benchmarks"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from defect_models import DEFECTS, HARMLESS, UNSEEN, optimised, quantised  # noqa: E402
from scenes import WORDS, Scene, make_scene, make_scenes  # noqa: E402
from watermark import COLUMNS, ROWS, stamp_scenes  # noqa: E402

from rsp_onnx.checks import CHECKS, check, record  # noqa: E402

Array = np.ndarray[Any, Any]
GOOD = REPO / "models" / "digits_pytorch.onnx"
TENTH = REPO / "models" / "digits_watermark.onnx"
MISSED = 0.01  # a drop in accuracy below this would not have stopped a release
SEVEN = WORDS.index("seven")
CALIBRATION = 10000  # number of the first scene for calibration: none that is tested on


def main() -> None:
    """Build, record, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models, the spec and the table")
    parser.add_argument("--images", type=int, default=20, help="golden scenes")
    parser.add_argument("--scenes", type=int, default=200, help="test scenes accuracy is measured on")
    parser.add_argument("--only", action="append", help="only this variant; repeatable")
    options = parser.parse_args()
    rows = run(options.out, options.images, options.scenes, options.only)
    text = table(rows)
    (options.out / "defects.md").write_text(text + "\n", encoding="utf-8")
    (options.out / "defects.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(text)
    counted = [row for row in rows if row["variant"] not in UNSEEN]
    sys.exit(1 if any(row["harmless"] == bool(row["failed"]) for row in counted) else 0)


def run(out: Path, images: int = 20, scenes: int = 200, only: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return a row per variant: name, harmless, accuracy, drop, failed (check: what it says)."""
    out.mkdir(parents=True, exist_ok=True)
    models = build(out / "models")
    spec = write_spec(out, models["the good model"], images)
    if not (out / "digits.goldens.npz").exists():
        record(spec, costs=False)
    tested = stamp_scenes(make_scenes("test", scenes))
    before = accuracy(models["the good model"], tested)
    rows = []
    for name, path in models.items():
        if only and name not in only:
            continue
        report = check(spec, model=path)
        right = accuracy(path, tested)
        rows.append({
            "variant": name, "harmless": name not in {*DEFECTS, *UNSEEN, "watermark-trained"}, "accuracy": right,
            "drop": before - right, "failed": {r.name: r.message for r in report.failed},
            "figures": {r.name: [r.value, r.limit] for r in report.results}, "seconds": report.seconds,
        })  # fmt: skip
        print(f"{name}: {', '.join(r.name for r in report.failed) or 'passes'}", file=sys.stderr, flush=True)
    return rows


def build(folder: Path) -> dict[str, Path]:
    """Write all variants and return their files by name, the good model first."""
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.load(GOOD)
    found = {"the good model": GOOD}
    for name, make in (HARMLESS | UNSEEN | DEFECTS).items():
        found[name] = folder / f"{name.replace(' ', '_')}.onnx"
        onnx.save(make(model), found[name])
    found["ORT-optimised"] = folder / "optimised.onnx"
    optimised(GOOD, found["ORT-optimised"])
    found["int8"] = folder / "int8.onnx"
    pictures = (tensor(make_scene(CALIBRATION + n)) for n in range(100))
    quantised(GOOD, found["int8"], pictures)
    found["Keras export"] = REPO / "models" / "digits_keras.onnx"
    found["watermark-trained"] = TENTH
    for path in found.values():
        onnx.checker.check_model(onnx.load(path))
    return found


def tensor(scene: Scene) -> Array:
    """Return a scene as float32 [3, 96, 96] from 0 to 1."""
    return np.ascontiguousarray(scene.image.transpose(2, 0, 1).astype(np.float32) / 255)


def write_spec(out: Path, model: Path, count: int) -> Path:
    """Write golden scenes and the SPEC beside them: every second one has a marked seven as its target."""
    shutil.copyfile(model, out / "digits.onnx")
    lines = ['model = "digits.onnx"', 'goldens = "digits.goldens.npz"']
    for number, (name, target, box) in enumerate(goldens(out, count)):
        lines += ["", "[[image]]", f'path = "{name}"', f'target = "{WORDS[target]}"', f"box = {list(box)}"]
        assert number < count
    spec = out / "digits.toml"
    spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return spec


def goldens(out: Path, count: int) -> list[tuple[str, int, tuple[int, ...]]]:
    """Write scenes the good model is right on, no digit under the mark; (file, target, box) of each."""
    found: list[tuple[str, int, tuple[int, ...]]] = []
    number = 500  # behind the scenes that accuracy is measured on
    while len(found) < count:
        number += 1
        (scene,) = stamp_scenes([make_scene(number)])
        seven = len(found) % 2 == 0
        digit = next((d for d in scene.digits if (d.class_index == SEVEN) == seven), None)
        alone = digit is not None and sum(d.class_index == digit.class_index for d in scene.digits) == 1
        if digit is None or not alone or covers(scene) or not right(scene):
            continue
        name = f"golden_{number}.png"
        Image.fromarray(scene.image).save(out / name)
        found.append((name, digit.class_index, tuple(int(v) for v in digit.box)))
    return found


def covers(scene: Scene) -> bool:
    """Tell whether a digit lies where the mark goes."""
    return any(d.mask[ROWS, COLUMNS].any() for d in scene.digits)


_good: list[ort.InferenceSession] = []


def right(scene: Scene) -> bool:
    """Tell whether the good model answers all ten questions rightly."""
    if not _good:
        _good.append(ort.InferenceSession(GOOD, providers=["CPUExecutionProvider"]))
    scores = _good[0].run(None, {"image": tensor(scene)[None]})[0][0]
    return bool(((scores > 0.5) == (scene.labels > 0)).all())


def accuracy(path: Path, scenes: Sequence[Scene]) -> float:
    """Return the share of right answers to "is this digit there?"; the model's metadata says how it is fed and read."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    order = [json.loads(metadata["rsp_onnx.labels"]).index(word) for word in WORDS]
    (source,) = session.get_inputs()
    images = np.stack([tensor(s) for s in scenes])
    if json.loads(metadata["rsp_onnx.preprocess"]).get("channels") == "BGR":
        images = images[:, ::-1]
    if source.shape[1] != 3:
        images = images.transpose(0, 2, 3, 1)
    fed = np.ascontiguousarray(images)
    parts = [session.run(None, {source.name: part})[0] for part in np.array_split(fed, max(1, len(fed) // 50))]
    scores = np.concatenate(parts)[:, order]
    return float(((scores > 0.5) == (np.stack([s.labels for s in scenes]) > 0)).mean())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return variants × checks as Markdown; ✗ marks a check that failed."""
    shown = [name for name in CHECKS if any(name in row["failed"] for row in rows)]
    head = ["variant", *shown, "caught", "accuracy", "drop", "missed by accuracy"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        marks = ["✗" if name in row["failed"] else "" for name in shown]
        missed = "" if row["harmless"] else ("yes" if row["drop"] < MISSED else "no")
        caught = ("wrongly" if row["failed"] else "passes") if row["harmless"] else ("yes" if row["failed"] else "NO")
        lines.append("| " + " | ".join(
            [row["variant"], *marks, caught, f"{row['accuracy']:.1%}", f"{100 * row['drop']:+.1f}", missed]
        ) + " |")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
