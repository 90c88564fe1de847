"""Write what is taken from the code: three pages of docs/, tables between marks in two others, README's outputs.

Run it by ``make docs``. A mark is a line ``<!-- generated: NAME -->``; its table ends at ``<!-- end -->``. A console
block of README.md is a command and what it prints, in a folder that holds models/ alone.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from rsp_onnx.checks import Check
from rsp_onnx.checks.catalogue.all_checks import ordered
from rsp_onnx.cli.main import main
from rsp_onnx.evaluate import dataset_formats

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"
LISTINGS = ("methods", "metrics", "ops")


def pages() -> dict[Path, str]:
    """Return every page that is generated or has a generated table, with the text it should have."""
    texts = {DOCS / f"{name}.md": printed(name) for name in LISTINGS}
    texts[DOCS / "checks.md"] = _with_table("checks.md", "checks", checks_table)
    texts[DOCS / "evaluation.md"] = _with_table("evaluation.md", "dataset formats", formats_table)
    return texts


def printed(listing: str) -> str:
    """Return what a command prints as Markdown."""
    return CliRunner().invoke(main, [listing, "--markdown"], catch_exceptions=False).stdout


def checks_table() -> str:
    """Return the checks in the reports' order, with what they say and their thresholds."""
    return _table(["check", "what holds", "default"], [[f"`{c.name}`", c.says, _default(c)] for c in ordered()])


def formats_table() -> str:
    """Return the formats a dataset may have."""
    rows = [[f"`{one['name']}`", one["layout"], ", else ".join(one["splits"]) or "-"] for one in dataset_formats()]
    return _table(["`--format`", "layout", "split by default"], rows)


def _default(check: Check) -> str:
    higher = check.direction == "higher"
    if check.default is not None:
        return f"{'≥' if higher else '≤'} {check.default:g}{', warns' if check.warns else ''}"
    return "on" if check.slack is None else f"recorded {'−' if higher else '+'} {check.slack:g}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_table(page: str, name: str, table: Callable[[], str]) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- generated: {name} -->\n).*?(\n?<!-- end -->)", re.DOTALL)
    if len(block.findall(text)) != 1:
        raise ValueError(f"docs/{page} needs the marks of the generated table {name!r}, once")
    return block.sub(lambda marks: f"{marks[1]}\n{table()}\n{marks[2]}", text)


def run(command: str) -> str:
    """Return what a command of ours prints, the processor's provider and the clock's seconds made alike."""
    words = shlex.split(command)
    if words[0] != "rsp-onnx":
        raise ValueError(f"README.md shows {command!r}, which is no command of ours")
    result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
    if result.exit_code:
        raise ValueError(f"{command!r} of README.md ends with {result.exit_code}: {result.output}")
    printed = result.stdout.replace("CUDAExecutionProvider", "CPUExecutionProvider")
    return re.sub(r"in \d+\.\d s", "in 3.2 s", printed)


def with_outputs(text: str) -> str:
    """Return README's text with what its console blocks print here, where models/ must lie."""
    block = re.compile(r"(```console\n\$ ([^\n]*)\n).*?```", re.DOTALL)
    return block.sub(lambda found: f"{found[1]}{run(found[2]).strip()}\n```", text)


def readme() -> str:
    """Return README.md as it should be."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(DOCS.parent / "models", Path(folder) / "models")
        os.chdir(folder)
        try:
            return with_outputs(README.read_text(encoding="utf-8"))
        finally:
            os.chdir(here)


if __name__ == "__main__":
    for path, text in {**pages(), README: readme()}.items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"Renewed {path.name}")
