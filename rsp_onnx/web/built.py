"""The page that Node built: where it lies, and its first file told which engine it talks to."""

from __future__ import annotations

from pathlib import Path

from rsp_onnx.errors import BadInput

_PLACEHOLDER = '{ "engine": "none" }'  # as web/index.html has it


def built_folder() -> Path:
    """Return the folder of the built page.

    Raises
    ------
    BadInput
        It was not built: the package was installed from a clone without Node.
    """
    folder = Path(__file__).parent / "built"
    if not (folder / "index.html").is_file():
        raise BadInput(
            "The page is not built: run make page in the repository, which needs Node.js 20.19 or newer, "
            "or install a wheel, which holds it."
        )
    return folder


def index_html(engine: str) -> str:
    """Return the page's first file for an engine, ``server`` or ``browser``."""
    text = (built_folder() / "index.html").read_text(encoding="utf-8")
    if text.count(_PLACEHOLDER) != 1:
        raise BadInput("The built page is of another version: run make page again.")
    return text.replace(_PLACEHOLDER, f'{{ "engine": "{engine}" }}')
