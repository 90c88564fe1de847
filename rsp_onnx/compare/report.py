"""What a comparison leaves in its folder: compare.json, the pictures of what moved most, report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsp_onnx.checks.subject.similarity import SIMILARITIES
from rsp_onnx.errors import BadInput
from rsp_onnx.files import make_folder, save_bytes, save_json, save_png
from rsp_onnx.render.page import embedded, render_page
from rsp_onnx.types import Record
from rsp_onnx.version import __version__

from .pictures import beside

if TYPE_CHECKING:
    from .models import Comparison


_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_comparison(comparison: Comparison, found: Record, folder: Path, count: int, report: bool) -> None:
    """Write everything, and the pictures' names into the records of ``found``."""
    make_folder(folder)
    shown = []
    for number, record in enumerate(most_moved(found["images"], count), 1):
        picture = _picture(comparison, record, found["models"])
        if picture is None:
            continue
        record["picture"] = f"moved.{number:02d}.{Path(record['image']).stem}.{record['target']}.png"
        save_png(folder / record["picture"], picture)
        shown.append({"record": record, "data": embedded(picture)})
    save_json(folder / "compare.json", found)
    if report:
        rows = found["layers"]["rows"]
        widest = max((r[key] for r in rows for key in ("share_a", "share_b")), default=1.0) or 1.0
        title = f"{found['models'][0]['name']} → {found['models'][1]['name']}"
        page = render_page(
            _TEMPLATE, title=title, found=found, pictures=shown, measures=list(SIMILARITIES),
            widest=widest, version=__version__,
        )  # fmt: skip
        save_bytes(folder / "report.html", page)


def most_moved(records: Sequence[Record], count: int) -> list[Record]:
    """Return the records of the least similar maps, the least similar first."""
    return sorted(records, key=lambda r: (r["spearman"] + r["pearson"], r["image"], r["target"]))[: max(count, 0)]


def _picture(comparison: Comparison, record: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Any:
    from .models import common

    one, other = comparison.maps(record)
    names = [m["name"] for m in models]
    if names[0] == names[1]:
        names = ["first", "second"]
    try:
        if one.photo is not None:
            return beside(one.photo, (one.heatmap_original, other.heatmap_original), (names[0], names[1]))
        maps = common(one, other)
    except BadInput:
        return None
    return beside(None, maps, (names[0], names[1])) if maps[0].ndim == 2 else None
