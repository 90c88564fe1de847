"""The formats a dataset may have, and opening one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsp_onnx.errors import BadInput

from .annotated import Dataset
from .coco import open_coco
from .folders import open_folder, open_table
from .imagenet import open_imagenet
from .mapping import ClassMap, class_map, read_mapping, write_mapping
from .voc import open_voc

FORMATS = ("voc", "coco", "imagenet", "folder", "csv")

__all__ = ["FORMATS", "ClassMap", "class_map", "open_dataset", "read_mapping", "write_mapping"]


def open_dataset(
    format: str,
    root: str | Path,
    *,
    split: str | None = None,
    mapping: str | Path | None = None,
    names: Sequence[str] | None = None,
    classes: int | None = None,
) -> Dataset:
    """Open a dataset: its index is read, items are read when they are asked for.

    Parameters
    ----------
    format : {"voc", "coco", "imagenet", "folder", "csv"}
        How it lies on the disk; each module says what it looks for.
    root : path
        Its folder; for coco and csv also the .json or .csv file.
    split : str, optional
        Where there are several, such as ``test`` or ``val2014``.
    mapping : path, optional
        A file that says which class of the model each class of the dataset is; see ``write_mapping``.
    names : sequence of str, optional
        The model's labels, which the dataset's names are matched with.
    classes : int, optional
        How many classes the model has.

    Raises
    ------
    BadInput
        There is no such format, the folder is not of it, or the classes cannot be matched.
    """
    if format not in FORMATS:
        raise BadInput(f"There is no dataset format {format!r}; use one of {', '.join(FORMATS)}.")
    place, file = Path(root).absolute(), None if mapping is None else Path(mapping)  # other processes stand elsewhere
    if not place.exists():
        raise BadInput(f"There is no dataset {place}: check the path.")
    if format in ("folder", "csv"):
        if split is not None:
            raise BadInput(
                f"A dataset of format {format} has no splits: leave --split out, or give the split's folder."
            )
        return (
            open_folder(place, file, names, classes) if format == "folder" else open_table(place, file, names, classes)
        )
    if format == "voc":
        return open_voc(place, split, file, names, classes)
    return (open_coco if format == "coco" else open_imagenet)(place, split, file, names, classes)
