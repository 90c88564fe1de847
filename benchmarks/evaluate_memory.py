"""Does a run's memory stay? ``python benchmarks/evaluate_memory.py`` prints it after 200 and after 2,000 images.

The images are scenes of models/scenes.py (drawn into a temporary folder), the methods and metrics real ones. Resident
memory is read from /proc as the parts are done, so this needs Linux.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parent.parent
HEADER = ["image", "width", "height", "class_index", "wnid", "xmin", "ymin", "xmax", "ymax"]
PART = 16


def main() -> int:
    """Run and print; 1 where the memory grew by more than 5 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="in all")
    parser.add_argument("--early", type=int, default=200, help="images after which it is measured first")
    parser.add_argument("--method", action="append", help="default: rsp, gradient")
    parser.add_argument("--metric", action="append", help="default: pointing, inside")
    given = parser.parse_args()
    sys.path[:0] = [str(REPO), str(REPO / "models")]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        draw(data, given.images)
        grown = measure(data, Path(folder) / "run", given)
    return int(grown > 0.05)


def draw(folder: Path, count: int) -> None:
    """Write scenes and their boxes.csv."""
    from PIL import Image
    from scenes import SIZE, WORDS, make_scene

    folder.mkdir()
    with (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(count):
            scene, name = make_scene(number), f"{number:05d}.png"
            Image.fromarray(scene.image).save(folder / name)
            writer.writerows([name, SIZE, SIZE, d.class_index, WORDS[d.class_index], *d.box] for d in scene.digits)


def measure(data: Path, out: Path, given: argparse.Namespace) -> float:
    """Return the growth of the resident memory between the two counts, as a share."""
    from rsp_onnx.evaluate import evaluate

    seen: dict[int, float] = {}

    def note(done: int, total: int) -> None:
        seen[done] = resident()

    evaluate(
        REPO / "models/digits_pytorch.onnx", data, format="csv", methods=given.method or ["rsp", "gradient"],
        metrics=given.metric or ["pointing", "inside"], out=out, device="cpu", progress=note, report=False,
    )  # fmt: skip
    early = min(n for n in seen if n >= given.early)
    late = max(seen)
    growth = seen[late] / seen[early] - 1
    shown = [n for n in seen if n % (PART * 16) == 0 or n in (early, late)]
    print("images  resident MiB")
    print("\n".join(f"{n:6d}  {seen[n]:.1f}" for n in shown))
    print(f"{early} → {late} images: {100 * growth:+.1f} % (may be 5 %)")
    return growth


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
