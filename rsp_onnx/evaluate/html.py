"""report.html: one file that needs nothing beside it, every text escaped."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from . import html_charts as charts

TEMPLATE = "report.html.jinja"
_QUALITY = 88  # of the JPEG inside the page; the folder keeps the PNG


def render(page: dict[str, Any]) -> str:
    """Return the page of what ``page_data`` says."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # whatever a label, a file name or an error holds is text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(**page, embed=embed, charts=charts)


def embed(path: Path) -> str | None:
    """Return a picture as a data URI; None where the file is gone or damaged."""
    try:
        with Image.open(path) as picture:
            data = io.BytesIO()
            picture.convert("RGB").save(data, "JPEG", quality=_QUALITY)
    except (OSError, ValueError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
