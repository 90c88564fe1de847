"""Annotations as PASCAL VOC's XML, which ImageNet uses too."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .annotated import BadItem
from .files import numbers_of

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class XmlObject:
    """One <object>: its name, (xmin, ymin, xmax, ymax) as written, and its flag."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class XmlAnnotation:
    """One file: the objects, and (width, height) where it states them."""

    objects: tuple[XmlObject, ...]
    size: tuple[int, int] | None


def read_xml(path: Path) -> XmlAnnotation:
    """Read an annotation; BadItem in one sentence where it is missing or malformed."""
    try:
        top = ElementTree.fromstring(path.read_bytes())
    except FileNotFoundError:
        raise BadItem(f"There is no annotation {path}.") from None
    except OSError as error:
        raise BadItem(f"The annotation {path} cannot be read: {error.strerror or error}.") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise BadItem(f"The annotation {path} is not valid XML: {error}.") from error
    if top.tag != "annotation":
        raise BadItem(f"The annotation {path} begins with <{top.tag}> where <annotation> should stand.")
    return XmlAnnotation(tuple(_objects(top, path)), _size(top, path))


def _objects(top: ElementTree.Element, path: Path) -> Iterator[XmlObject]:
    for node in top.findall("object"):  # a person's <part>s have boxes of their own, one level below
        name = (node.findtext("name") or "").strip()
        if not name:
            raise BadItem(f"The annotation {path} has an object without a name.")
        box = node.find("bndbox")
        if box is None:
            raise BadItem(f"The annotation {path} has a {name} without a box.")
        left, top_, right, bottom = numbers_of((box.findtext(corner) for corner in _CORNERS), f"The annotation {path}")
        yield XmlObject(name, (left, top_, right, bottom), (node.findtext("difficult") or "0").strip() == "1")


def _size(top: ElementTree.Element, path: Path) -> tuple[int, int] | None:
    node = top.find("size")
    if node is None:
        return None
    try:
        width, height = (int(node.findtext(side) or "") for side in ("width", "height"))
    except ValueError:
        raise BadItem(f"The annotation {path} states a size that is no two whole numbers.") from None
    return (width, height) if width > 0 and height > 0 else None  # some tools write 0×0 for "unknown"
