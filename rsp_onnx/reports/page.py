"""A report: one file that needs nothing beside it, with the style and the script that all reports share inside."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from rsp_onnx.render.page import render_page

_FOLDER = Path(__file__).parent


def report_page(template: Path, *, title: str, **values: Any) -> bytes:
    """Return a report made from a template that extends ``base.html.jinja``, UTF-8; every text is escaped.

    Its script, which sorts tables and moves sliders, is built by Node (``make page``) and part of a wheel; without it
    the report says so and shows everything all the same. No other script runs in it: its Content-Security-Policy names
    this one by its hash.
    """
    import markupsafe  # of Jinja, where a page is asked for

    script = _script()
    style = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("look.css", "report.css"))
    return render_page(
        template, folders=(_FOLDER,), title=title, style=markupsafe.Markup(style),
        script=markupsafe.Markup(script), script_source=_source(script), **values,
    )  # fmt: skip


def _script() -> str:
    path = _FOLDER / "built" / "report.js"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _source(script: str) -> str:
    """Return what a Content-Security-Policy calls a script."""
    if not script:
        return "'none'"
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
