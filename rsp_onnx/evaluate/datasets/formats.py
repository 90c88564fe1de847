"""The formats a dataset may have, and opening one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Record

from .annotated import Dataset, OpenOptions
from .coco import COCO_FORMATS
from .folders import FOLDER_FORMATS
from .imagenet import IMAGENET_FORMATS
from .voc import VOC_FORMATS

FORMATS = {one.name: one for one in (*VOC_FORMATS, *COCO_FORMATS, *IMAGENET_FORMATS, *FOLDER_FORMATS)}


def dataset_formats() -> list[Record]:
    """Return what there is to choose from: name, layout, the splits looked for by default."""
    return [{"name": one.name, "layout": one.layout, "splits": list(one.splits)} for one in FORMATS.values()]


def open_dataset(
    format: str, root: str | Path, *, split: str | None = None, mapping: str | Path | None = None,
    names: Sequence[str] | None = None, classes: int | None = None,
) -> Dataset:  # fmt: skip
    """Open a dataset: its index is read, items are read when they are asked for.

    Parameters
    ----------
    format : str
        How it lies on the disk: a name of ``dataset_formats()``.
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
    if split is not None and not FORMATS[format].splits:
        raise BadInput(f"A dataset of format {format} has no splits: leave --split out, or give the split's folder.")
    return FORMATS[format].open(place, OpenOptions(split, file, names, classes))
