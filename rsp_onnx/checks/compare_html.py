"""The pages of `compare` and `audit`: one file that needs nothing beside it, every text escaped."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from rsp_onnx.evaluate.extras import need

_QUALITY = 88  # of the JPEG inside the page; the folder keeps the PNG


def render(template: str, **page: Any) -> str:
    """Return a page made from a template of this folder."""
    jinja2 = need("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # whatever a label or a file name holds is text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return str(environment.get_template(template).render(**page))


def embedded(picture: Image.Image) -> str:
    """Return a picture as a data URI."""
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
