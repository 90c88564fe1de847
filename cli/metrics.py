"""``rsp-onnx metrics``."""

from __future__ import annotations

import click

from ._options import json_option, print_json, table


@click.command("metrics")
@json_option
def metrics_command(as_json: bool) -> None:
    """List the metrics, what exactly they do, and their papers.

    \b
    Example:
      rsp-onnx metrics
    """
    from rsp_onnx.evaluate import list_metrics

    found = list_metrics()
    if as_json:
        print_json(found)
    else:
        click.echo(table([[m["name"], f"{m['direction']} is better", m["protocol"]] for m in found]))
