"""``rsp-onnx report``."""

from __future__ import annotations

import click

from .. import options as shared
from ..printing import print_json


@click.command(short_help="Compare runs, or put shards of one together.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@shared.out_option("rsp-report", "Folder for report.html, summary.json and errors.csv.")
@shared.json_option
def report(runs: tuple[str, ...], out: str, as_json: bool) -> None:
    """Put runs of `rsp-onnx evaluate` side by side; shards of one run become one.

    \b
    Examples:
      rsp-onnx report run-squeezenet run-resnet -o compared
      rsp-onnx report shard-1 shard-2 shard-3 -o whole
    """
    from rsp_onnx.evaluate import summary_table, write_report

    summary = write_report(runs, out)
    if as_json:
        print_json(summary)
    else:
        click.echo(summary_table(summary))
        click.echo(f"The report: {out}/report.html")
