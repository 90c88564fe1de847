"""What is evaluated: an image, what is in it and where, in the model's own classes; and what a format declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rsp_onnx.errors import RspError
from rsp_onnx.types import Array

Box = tuple[float, float, float, float]


class BadItem(RspError):
    """One item of a dataset cannot be read; it is reported and counted, and the run goes on."""


@dataclass(frozen=True)
class Thing:
    """One annotated object.

    Attributes
    ----------
    class_index : int
        In the model's label space.
    box : tuple of float, optional
        (xmin, ymin, xmax, ymax) in pixels of the upright photo, first and last column and row both inside, 0-based.
    difficult : bool
        The dataset says so (VOC's ``difficult``, COCO's ``iscrowd``).
    """

    class_index: int
    box: Box | None = None
    difficult: bool = False


class Masks(Protocol):
    """Reads an item's masks when they are asked for; must be picklable, for other processes read it too."""

    def read(self, class_index: int, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], the pixels of a class on a photo of size (width, height); None where there is no mask.

        Raises
        ------
        BadItem
            The mask's file is missing, damaged or of another size.
        """
        ...

    def ignored(self, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], pixels that count neither way (VOC's 255, COCO's crowds); None where there are none."""
        ...


@dataclass(frozen=True)
class Item:
    """One image with what is in it.

    Attributes
    ----------
    key : str
        Stable and unique within the dataset, such as the image's path in it.
    image : Path
        The photograph's file.
    things : tuple of Thing
        What is in it, of classes the model knows.
    unknown : tuple of str
        Names of annotated classes that the mapping gives no class of the model.
    masks : Masks, optional
        Where the dataset has masks.
    """

    key: str
    image: Path
    things: tuple[Thing, ...]
    unknown: tuple[str, ...] = ()
    masks: Masks | None = None

    @property
    def targets(self) -> tuple[int, ...]:
        """The classes present, each once, in ascending order."""
        return tuple(sorted({t.class_index for t in self.things}))


class Dataset(Protocol):
    """A dataset on disk, read item by item; must be picklable and cheap to send: an index, not pictures."""

    format: str
    root: Path
    names: Sequence[str] | None  # the model's classes, for people; None where nobody named them

    def __len__(self) -> int:
        """Return the number of items, broken ones included."""
        ...

    def key(self, index: int) -> str:
        """Return an item's key without reading it."""
        ...

    def __getitem__(self, index: int) -> Item:
        """Read one item; BadItem where its annotation is missing or malformed, in one sentence with the file's name."""
        ...


@dataclass(frozen=True)
class OpenOptions:
    """How a dataset is opened; see ``open_dataset``."""

    split: str | None = None
    mapping: Path | None = None
    names: Sequence[str] | None = None
    classes: int | None = None

    @property
    def class_count(self) -> int | None:
        """How many classes the model has; None where neither labels nor a count were given."""
        return self.classes if self.classes is not None or self.names is None else len(self.names)


@dataclass(frozen=True)
class Format:
    """A way a dataset may lie on the disk; ``formats`` lists them all.

    Attributes
    ----------
    name : str
        As ``--format`` takes it.
    layout : str
        What lies where, as a line of Markdown.
    open : callable
        Opens a folder or file with ``OpenOptions``: reads its index, not its items. BadInput where it is none.
    splits : tuple of str
        The split read by default, the first of these that is there; () where there are no splits.
    """

    name: str
    layout: str
    open: Callable[[Path, OpenOptions], Dataset]
    splits: tuple[str, ...] = ()
