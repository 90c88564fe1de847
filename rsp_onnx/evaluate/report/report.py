"""Reports: one run, shards of one run put together, or several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.runs.folder import Store
from rsp_onnx.evaluate.runs.summary import save_summary, summary_of
from rsp_onnx.files import make_folder, save_bytes
from rsp_onnx.reports.page import report_page
from rsp_onnx.types import Record

from . import charts
from .data import page_data
from .group import Group
from .pictures import embed

TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_report(runs: Sequence[str | Path], out: str | Path) -> Record:
    """Write report.html, summary.json and errors.csv of runs; shards of one run become one.

    Needs no model and no data: pictures were made when the runs ended.

    Returns
    -------
    dict
        What summary.json holds; with several runs, each method is named ``<run> · <method>``.

    Raises
    ------
    BadInput
        A folder holds no run.
    """
    groups = _groups([Path(run) for run in runs])
    summaries = [_summary(group) for group in groups]
    summary = summaries[0] if len(groups) == 1 else _beside(groups, summaries)
    page = report_page(TEMPLATE, **page_data(groups, summaries, summary), embed=embed, charts=charts)
    folder = make_folder(out)
    save_summary(folder, summary)
    save_bytes(folder / "report.html", page)
    return summary


def _groups(folders: Sequence[Path]) -> list[Group]:
    """Put together runs whose configuration differs in nothing but the shard."""
    if not folders:
        raise BadInput("Give the folder of at least one run.")
    runs: list[tuple[Record, list[tuple[Store, Record]]]] = []
    for folder in dict.fromkeys(folders):
        store = Store(folder)
        run = store.read("run.json")
        if run is None or "fingerprint" not in run:
            raise BadInput(f"{folder} holds no run of `rsp-onnx evaluate`: there is no run.json.")
        key = {k: v for k, v in run["fingerprint"].items() if k != "shard"}
        same = next((members for other, members in runs if other == key), None)
        if same is None or run["fingerprint"]["shard"] == [1, 1]:  # the same unsharded run twice is two runs
            runs.append((key, [(store, run)]))
        else:
            same.append((store, run))
    names = _names([members[0][0].folder for _, members in runs])
    return [
        Group(name, tuple(store for store, _ in members), _first(members))
        for name, (_, members) in zip(names, runs, strict=True)
    ]


def _first(members: Sequence[tuple[Store, Record]]) -> Record:
    """Return what run.json says; of shards together, of all of them. BadInput where a shard is given twice."""
    shards = [tuple(run["fingerprint"]["shard"]) for _, run in members]
    if len(set(shards)) < len(shards) or len({count for _, count in shards}) > 1:
        shown = ", ".join(f"{store.folder} ({i}/{n})" for (store, _), (i, n) in zip(members, shards, strict=True))
        raise BadInput(f"These shards do not make one run: {shown}; give each share of one division once.")
    return members[0][1]


def _names(folders: Sequence[Path]) -> list[str]:
    """Return short names of folders, longer where they would be the same."""
    short = [folder.resolve().name for folder in folders]
    return [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]


def _summary(group: Group) -> Record:
    """Return a group's summary; the command and the time come from the summaries its runs wrote."""
    before = [summary for store in group.stores if (summary := store.read("summary.json")) is not None]
    seconds = sum(one.get("seconds", 0.0) for one in before)
    provenance = {**group.run, "command": next((one.get("command") for one in before), None), "seconds": seconds}
    summary = summary_of(group.stores, provenance)
    missing = group.missing()
    if missing > 0:
        summary["missing_parts"] = missing
    return summary


def _beside(groups: Sequence[Group], summaries: Sequence[Mapping[str, Any]]) -> Record:
    """Return one summary of several runs, with the run in front of every method's name."""
    pairs = list(zip(groups, summaries, strict=True))
    named = ("metrics", "errors")
    lines: dict[str, list[Record]] = {
        key: [{**line, "run": g.name, "method": _of(g, line["method"])} for g, s in pairs for line in s[key]]
        for key in named
    }
    counts = {key: sum(s["counts"][key] for s in summaries) for key in summaries[0]["counts"]}
    rest = {g.name: {k: v for k, v in s.items() if k not in named} for g, s in pairs}
    return {**lines, "counts": counts, "runs": rest}


def _of(group: Group, method: str | None) -> str | None:
    return None if method is None else f"{group.name} · {method}"
