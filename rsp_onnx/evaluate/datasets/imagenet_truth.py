"""ILSVRC 2012's own devkit: which class each validation photo is of.

ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt     line n is photo n's ILSVRC2012_ID
ILSVRC2012_devkit_t12/data/meta.mat                                   ILSVRC2012_ID to WordNet id
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput
from rsp_onnx.extras import need

from .files import read_lines

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
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(folder / _TRUTH), 1):
        if not line.isdecimal() or int(line) not in wnids:
            raise BadInput(f"Line {number} of {folder / _TRUTH} is {line!r}, which meta.mat has no class for.")
        found[_PHOTO.format(number)] = wnids[int(line)]
    return found


def _wnids(path: Path) -> dict[int, str]:
    try:
        table: Any = need("scipy.io").loadmat(str(path), squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    except FileNotFoundError:
        raise BadInput(f"There is no {path}, which says what the numbers of {_TRUTH} mean.") from None
    except BadInput:
        raise
    except Exception as error:  # scipy raises many kinds of exception on damaged files
        raise BadInput(f"{path} cannot be read as the devkit's table of classes: {error}.") from error
