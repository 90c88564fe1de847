"""A plain folder of classes, and photos with a table of their boxes.

    folder: ROOT/CLASS/PHOTO.jpg                 CLASS is a label, a WordNet id, or the index
    csv:    image,width,height,class_index,wnid,xmin,ymin,xmax,ymax[,mask]      one line per object

Only ``image`` and one of ``class_index``, ``wnid``, ``label`` must be there. ``class_index`` is the model's own; the
other two are names, mapped like those of any dataset. With --mapping the names decide where a line has both: so a table
made for one model serves another, such as one with a background class in front. Boxes are 0-based, both corners inside;
``mask`` is a PNG whose pixels other than 0 are the class. Paths are relative to the table. A photo without a mask in
the table has one where PHOTO.mask.png lies beside it, with class index + 1 as pixel values. A line without a class
says that a photo is there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Array

from .annotated import BadItem, Format, Item, OpenOptions, Thing
from .files import IMAGES, MASK, Annotated, Listed, numbers_of, things_of
from .mapping import ClassMap, class_map
from .photo_file import PhotoFile, look_at, read_indices
from .shifts import refuse_other_names

Row = dict[str, str]
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class Folder(Listed):
    """A folder of classes: photos without boxes; see ``Dataset``."""

    format: str = "folder"

    def __getitem__(self, index: int) -> Item:
        """Return a photo with its folder's class; BadItem where it is gone or no photo."""
        key = self.keys[index]
        look_at(self.root / key)
        things, unknown = things_of([Annotated(key.split("/", 1)[0])], self.mapping)
        return Item(key, self.root / key, things, unknown)


def open_folder(root: Path, options: OpenOptions) -> Folder:
    """Open a folder of classes."""
    if not root.is_dir():
        raise BadInput(f"There is no folder {root}.")
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    keys = [
        f.relative_to(root).as_posix()
        for folder in folders
        for f in sorted(folder.rglob("*"))
        if f.suffix.lower() in IMAGES and not f.name.endswith(MASK)
    ]
    if not keys:
        raise BadInput(f"{root} holds no folders with photos: a folder dataset is {root.name}/CLASS/PHOTO.jpg.")
    sources = tuple(f.name for f in folders)
    matched = class_map(sources, options)
    if options.mapping is None:  # a folder may be called by the index
        count = options.class_count or 0
        indices = {s: (int(s),) for s in matched.unmatched if s.isdecimal() and int(s) < count}
        matched = ClassMap({**matched.table, **indices})
    return Folder(root, options.names, matched, sources, tuple(keys))


@dataclass(frozen=True)
class TableMasks:
    """Masks by class: PNG files of one class each, or one whose values are class index + 1."""

    photo: PhotoFile
    files: dict[int, tuple[Path, ...]] = field(default_factory=dict)
    together: Path | None = None

    def read(self, class_index: int, size: tuple[int, int]) -> Array | None:
        """Return bool [H, W], see ``Masks``."""
        if class_index in self.files:
            masks = [read_indices(f, self.photo.size) != 0 for f in self.files[class_index]]
            flat = [m.any(axis=-1) if m.ndim == 3 else m for m in masks]
            return self.photo.mask(np.logical_or.reduce(flat))
        if self.together is None:
            return None
        values = read_indices(self.together, self.photo.size)
        if values.ndim != 2:
            raise BadItem(f"The mask {self.together} has colours where class numbers should stand.")
        return self.photo.mask(values == class_index + 1)

    def ignored(self, size: tuple[int, int]) -> Array | None:
        """Return None: there is no way to say it in these files."""
        return None


@dataclass
class Table:
    """Photos with a table; see ``Dataset``."""

    root: Path
    names: Sequence[str] | None
    mapping: ClassMap
    sources: tuple[str, ...]
    photos: tuple[tuple[str, tuple[tuple[int, Row], ...]], ...]  # per photo its lines with their numbers
    title: str
    classes: int | None = None
    by_name: bool = False  # a name decides where a line has an index too
    format: str = "csv"

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.photos)

    def key(self, index: int) -> str:
        """Return the photo's path as the table has it."""
        return self.photos[index][0]

    def __getitem__(self, index: int) -> Item:
        """Read a photo's lines; BadItem where one is malformed, or the photo missing or of another size."""
        key, rows = self.photos[index]
        image = self.root / key
        photo = look_at(image, self._stated(rows))
        things: list[Thing] = []
        unknown: dict[str, None] = {}
        files: dict[int, tuple[Path, ...]] = {}
        for number, row in rows:
            here, others = self._things(number, row, photo)
            things += here
            unknown |= dict.fromkeys(others)
            for thing in here if row.get("mask") else ():
                files[thing.class_index] = (*files.get(thing.class_index, ()), self.root / row["mask"])
        together = image.with_name(f"{image.stem}{MASK}")
        masks = TableMasks(photo, files, together if together.is_file() else None)
        return Item(key, image, tuple(things), tuple(unknown), masks if files or masks.together else None)

    def _where(self, number: int) -> str:
        return f"Line {number} of {self.title}"

    def _stated(self, rows: Iterable[tuple[int, Row]]) -> tuple[int, int] | None:
        sizes = set()
        for number, row in rows:
            if row.get("width") and row.get("height"):
                try:
                    sizes.add((int(row["width"]), int(row["height"])))
                except ValueError:
                    raise BadItem(f"{self._where(number)} has a size that is no two whole numbers.") from None
        if len(sizes) > 1:
            raise BadItem(f"{self._where(number)}: the photo has two sizes in the table.")
        return next(iter(sizes), None)

    def _things(self, number: int, row: Row, photo: PhotoFile) -> tuple[list[Thing], tuple[str, ...]]:
        corners = [row.get(c, "") for c in _CORNERS]
        box = None
        if any(corners):
            where = self._where(number)
            box = photo.box(numbers_of(corners, where), where)
        name = next((n for n in _names(row) if n in self.mapping.table), _name(row))
        if row.get("class_index") and not (self.by_name and name):
            mapped = self.mapping.of_index(row["class_index"]) if self.by_name else None
            if mapped is not None:
                return [Thing(c, box) for c in mapped], () if mapped else (row["class_index"],)
            return [Thing(self._index(number, row["class_index"]), box)], ()
        if not name:
            return [], ()
        things, unknown = things_of([Annotated(name, box)], self.mapping)
        return list(things), unknown

    def _index(self, number: int, text: str) -> int:
        if not text.isdecimal() or (self.classes is not None and int(text) >= self.classes):
            range_ = f"0..{self.classes - 1}" if self.classes is not None else "0 or more"
            raise BadItem(f"{self._where(number)} has the class index {text!r}, which is not {range_}.")
        return int(text)


def _names(row: Row) -> list[str]:
    return [row[key] for key in ("label", "wnid") if row.get(key)]


def _name(row: Row) -> str:
    return next(iter(_names(row)), "")


def open_table(root: Path, options: OpenOptions) -> Table:
    """Open ROOT/boxes.csv, the only .csv in ROOT, or the .csv file ROOT itself."""
    path = _table_in(root)
    lines = _read(path)
    by_image: dict[str, list[tuple[int, Row]]] = {}
    for number, row in lines:
        by_image.setdefault(row.get("image", ""), []).append((number, row))
    sources = tuple(dict.fromkeys(n for n in (_name(row) for _, row in lines) if n))
    without = dict.fromkeys(_name(row) for _, row in lines if not row.get("class_index"))
    by_name = options.mapping is not None
    needed = sources if by_name else tuple(n for n in without if n)
    matched = class_map(needed, options) if needed or by_name else ClassMap()
    if not by_name:
        indexed = [(int(row["class_index"]), _name(row)) for _, row in lines if row.get("class_index", "").isdecimal()]
        refuse_other_names(str(path), indexed, options.names)
    photos = tuple((image, tuple(rows)) for image, rows in by_image.items())
    return Table(path.parent, options.names, matched, sources, photos, str(path), options.class_count, by_name)


def _table_in(root: Path) -> Path:
    if root.is_file():
        return root
    tables = [root / "boxes.csv"] if (root / "boxes.csv").is_file() else sorted(root.glob("*.csv"))
    if len(tables) != 1:
        what = "no .csv file" if not tables else f"several .csv files ({', '.join(f.name for f in tables)})"
        raise BadInput(f"{root} holds {what} and none is called boxes.csv: give the path of the table.")
    return tables[0]


def _read(path: Path) -> list[tuple[int, Row]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True)
            header = [h.strip() for h in reader.fieldnames or ()]
            if "image" not in header or not {"class_index", "wnid", "label"} & set(header):
                raise BadInput(f"{path} needs a first line with image and one of class_index, wnid, label.")
            reader.fieldnames = header
            rows = [(reader.line_num, {k: _one_line(v) for k, v in row.items() if k}) for row in reader]
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, csv.Error) as error:
        raise BadInput(f"{path} is no readable CSV text: {error}.") from error
    if not rows:
        raise BadInput(f"{path} has no lines below its first.")
    return rows


def _one_line(text: str | None) -> str:
    """Return a cell as errors can quote it: a quotation mark left open would swallow the lines below."""
    return " ".join((text or "").splitlines()).strip()


FOLDER_FORMATS = (
    Format("folder", "one folder of images per class", open_folder),
    Format(
        "csv",
        "`boxes.csv` beside the images: `image,width,height,class_index,wnid,xmin,ymin,xmax,ymax`, one row per box",
        open_table,
    ),
)
