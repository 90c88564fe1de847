"""The page that Node built: where it lies, and its first file told which engine it talks to."""

from __future__ import annotations

import re
from pathlib import Path

from rsp_onnx.errors import BadInput

BUILT = Path(__file__).parent / "built"
_ENGINE = re.compile(r'(<script type="application/json" id="engine">).*?(</script>)', re.DOTALL)


def index_html(engine: str, folder: Path) -> str:
    """Return the first file of a built page, for an engine: ``server`` or ``browser``.

    Raises
    ------
    BadInput
        It is not built: the package was installed from a clone without Node; or it is another version's.
    """
    try:
        text = (folder / "index.html").read_text(encoding="utf-8")
    except OSError:
        raise BadInput(
            "The page is not built: run make page in the repository, which needs Node.js 20.19 or newer, and install "
            "again; or install a wheel, which holds it."
        ) from None
    text, count = _ENGINE.subn(rf'\1{{"engine": "{engine}"}}\2', text)
    if count != 1:
        raise BadInput("The page that is built is another version's: run make page in the repository again.")
    return text
