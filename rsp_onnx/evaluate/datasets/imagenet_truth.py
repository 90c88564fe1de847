"""Which class each of ImageNet's validation photos is of: by ILSVRC 2012's devkit, or a solution's CSV.

LOC_val_solution.csv                      ImageId,PredictionString: "n01978287 240 170 260 240 ..." with boxes
ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt     line n is photo n's ILSVRC2012_ID
ILSVRC2012_devkit_t12/data/meta.mat                                   ILSVRC2012_ID to WordNet id
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput
from rsp_onnx.extras import need

from .annotated import BadItem
from .files import Annotated, numbers_of, read_lines
from .photo_file import PhotoFile

_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_PHOTO = "ILSVRC2012_val_{:08d}"


def devkit_classes(root: Path) -> dict[str, str]:
    """Return by photo's name its WordNet id; {} where there is no devkit.

    Raises
    ------
    BadInput
        A file of the devkit is missing or damaged.
    """
    folders = (f for base in (root, root.parent) for f in (base, *sorted(base.glob("ILSVRC2012_devkit*"))))
    folder = next((f for one in folders for f in (one / "data", one) if (f / _TRUTH).is_file()), None)
    if folder is None:
        return {}
    wnids = _wnids(folder / "meta.mat")
    classes: dict[str, str] = {}
    for number, line in enumerate(read_lines(folder / _TRUTH), 1):
        if not line.isdecimal() or int(line) not in wnids:
            raise BadInput(f"Line {number} of {folder / _TRUTH} is {line!r}, which meta.mat has no class for.")
        classes[_PHOTO.format(number)] = wnids[int(line)]
    return classes


def _wnids(path: Path) -> dict[int, str]:
    try:
        table: Any = need("scipy.io", f"Reading {path.name}").loadmat(str(path), squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    except FileNotFoundError:
        raise BadInput(f"There is no {path}, which says what the numbers of {_TRUTH} mean.") from None
    except BadInput:
        raise
    except Exception as error:  # scipy raises many kinds of exception on damaged files
        raise BadInput(f"{path} cannot be read as the devkit's table of classes: {error}.") from error


def read_solution(root: Path, split: str) -> dict[str, str]:
    """Return by photo's name what LOC_SPLIT_solution.csv says; {} where there is none."""
    path = root / f"LOC_{split}_solution.csv"
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"ImageId", "PredictionString"} <= set(rows.fieldnames or ()):
                raise BadInput(f"{path} needs the columns ImageId,PredictionString in its first line.")
            return {row["ImageId"]: row["PredictionString"] or "" for row in rows}
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as CSV: {error}.") from error


def solution_objects(text: str, photo: PhotoFile, what: str) -> list[Annotated]:
    """Return the objects of "WNID xmin ymin xmax ymax WNID ..."; BadItem where it is malformed."""
    words = text.split()
    if not words or len(words) % 5:
        raise BadItem(f"The line of {what} in the CSV file is not groups of a WordNet id and four numbers.")
    where = f"The line of {what} in the CSV file"
    groups = [words[i : i + 5] for i in range(0, len(words), 5)]
    return [Annotated(g[0], photo.box(numbers_of(g[1:], where), where)) for g in groups]
