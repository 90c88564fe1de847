"""Write the committed test scenes: ``python models/write_scenes.py``.

For each scene the picture ``scene_0.png``, its mask ``scene_0.mask.png`` (grey, value = class index + 1, 0 =
no digit), and one row per digit in ``boxes.csv``: corners are the first and last pixel, both inclusive.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import SIZE, WORDS, Scene, make_scene

HERE = Path(__file__).parent
SEEDS = (1, 9, 23, 27, 46, 69, 78)  # of the test split: good to look at, all ten digits, and the model errs in none
HEADER = "image,width,height,class_index,wnid,xmin,ymin,xmax,ymax"


def main() -> None:
    """Draw and write all scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "scenes", help="folder for pictures, masks and boxes.csv")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = [HEADER]
    for number, seed in enumerate(SEEDS):
        scene = make_scene(seed)
        write_png(scene.image, out / f"scene_{number}.png")
        write_png(mask_of(scene), out / f"scene_{number}.mask.png")
        rows += box_rows(scene, f"scene_{number}.png")
    temporary = out / f".boxes.{os.getpid()}.csv"
    temporary.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")
    temporary.replace(out / "boxes.csv")


def box_rows(scene: Scene, image: str) -> list[str]:
    """Return the scene's rows of boxes.csv."""
    return [
        ",".join(map(str, (image, SIZE, SIZE, digit.class_index, WORDS[digit.class_index], *digit.box)))
        for digit in scene.digits
    ]


def mask_of(scene: Scene) -> np.ndarray:
    """Return class index + 1 where a digit is, else 0; uint8 (96, 96)."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for digit in scene.digits:
        mask[digit.mask] = digit.class_index + 1
    return mask


def write_png(pixels: np.ndarray, path: Path) -> None:
    """Write a picture, all or nothing."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.png")
    Image.fromarray(pixels).save(temporary, optimize=True)
    temporary.replace(path)


if __name__ == "__main__":
    main()
