"""``rsp-onnx cache``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from ... import options as shared
from ...printing import print_json, table


@click.command(short_help="Show or empty the cache of compiled explainers.")
@click.option("--clear", is_flag=True, help="Throw away all that is kept.")
@shared.json_option
def cache(clear: bool, as_json: bool) -> None:
    """Show what is kept of compiled explainers, so that explaining with the same model starts at once.

    The folder is the platform's for caches, or RSP_ONNX_CACHE (off: nothing is kept). RSP_ONNX_CACHE_SIZE, such as
    500M, limits it: what was not used for longest goes first. docs/cache.md says what an entry depends on.

    \b
    Examples:
      rsp-onnx cache
      rsp-onnx cache --clear
    """
    from rsp_onnx import cache_report, clear_cache

    if clear:
        count = clear_cache()
        print_json({"removed": count}) if as_json else click.echo(f"Removed {count} entries.")
        return
    report = cache_report()
    if as_json:
        print_json(report)
    elif report["folder"] is None:
        click.echo("There is no cache: RSP_ONNX_CACHE is off, or this account has no home folder.")
    else:
        click.echo(_page(report))


def _page(report: dict[str, Any]) -> str:
    entries = report["entries"]
    rows = [["model", "method", "what", "size", "last used"]]
    for one in entries:
        used = datetime.fromtimestamp(one["used"]).strftime("%Y-%m-%d %H:%M")
        rows.append([one["model"], one["method"] or "-", one["what"], _size(one["bytes"]), used])
    sizes = f"{_size(report['bytes'])} of at most {_size(report['limit'])}"
    total = f"{len(entries)} entries, {sizes}, in {report['folder']}"
    return f"{table(rows)}\n{total}" if entries else total


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
