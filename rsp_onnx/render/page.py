"""HTML pages of one file each, that need nothing beside them: every text escaped, pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

_QUALITY = 88  # of a JPEG inside a page; the folder keeps the PNG


def render_page(template: Path, *, folders: Sequence[Path] = (), **values: Any) -> bytes:
    """Return a page made from a template, UTF-8; it may build on those of the folders given."""
    import jinja2  # where a page is asked for: a command starts without it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, *folders]),
        autoescape=True,  # whatever a label, a file name or an error holds is text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return str(environment.get_template(template.name).render(**values)).encode()


def embedded(picture: Image.Image, kind: str = "jpeg") -> str:
    """Return a picture as a data URI; ``kind`` is jpeg, or png where every pixel counts."""
    return f"data:image/{kind};base64," + base64.b64encode(_encoded(picture, kind)).decode("ascii")


def as_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file, with the transparency it may have by colour."""
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


def _encoded(picture: Image.Image, kind: str) -> bytes:
    if kind == "png":
        return as_png(picture)
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
