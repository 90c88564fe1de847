"""``rsp-onnx metrics``."""

from __future__ import annotations

from typing import Any

import click

from ._options import json_option, print_json, table


@click.command("metrics")
@click.option("--markdown", is_flag=True, help="Print a Markdown page.")
@json_option
def metrics_command(markdown: bool, as_json: bool) -> None:
    """List the metrics, what exactly they do, and their papers.

    \b
    Example:
      rsp-onnx metrics
    """
    from rsp_onnx.evaluate import list_metrics

    found = list_metrics()
    if as_json:
        print_json(found)
    elif markdown:
        click.echo(_page(found))
    else:
        click.echo(table([[m["name"], f"{m['direction']} is better", m["protocol"]] for m in found]))


def _page(found: list[dict[str, Any]]) -> str:
    lines = [
        "# Metrics",
        "",
        "What `rsp-onnx evaluate --metric` takes; printed by `rsp-onnx metrics --markdown`. Parameters are given as",
        "`name:parameter=value`, such as `pointing:tolerance=3`.",
    ]
    for metric in found:
        low, high = (f"{bound:g}" for bound in metric["bounds"])
        given = ", ".join(f"`{key}={value}`" for key, value in metric["parameters"].items())
        lines += ["", f"## {metric['name']}", "", f"{metric['direction'].capitalize()} is better, {low} to {high}."]
        lines += ["", metric["protocol"], "", f"Source: {metric['source']}."]
        lines += ["", f"Parameters: {given}."] if given else []
    return "\n".join(lines)
