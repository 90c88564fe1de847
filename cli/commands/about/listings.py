"""``rsp-onnx methods``, ``metrics`` and ``ops``: what there is to choose from, and the pages of docs/ about it."""

from __future__ import annotations

from typing import Any

import click

from ... import options as shared
from ...printing import print_json, table

Records = list[dict[str, Any]]


@click.command("methods")
@shared.markdown_option()
@shared.json_option
def methods_command(markdown: bool, as_json: bool) -> None:
    """List the methods and their papers; parameters are in --markdown and --json.

    \b
    Example:
      rsp-onnx methods
    """
    from rsp_onnx import methods

    records = methods()
    if as_json:
        print_json(records)
    elif markdown:
        click.echo(_methods_page(records))
    else:
        click.echo(table([[m["name"], m["paper"]] for m in records]))


@click.command("metrics")
@shared.markdown_option()
@shared.json_option
def metrics_command(markdown: bool, as_json: bool) -> None:
    """List the metrics, what exactly they do, and their papers.

    \b
    Example:
      rsp-onnx metrics
    """
    from rsp_onnx.evaluate import list_metrics

    records = list_metrics()
    if as_json:
        print_json(records)
    elif markdown:
        click.echo(_metrics_page(records))
    else:
        click.echo(table([[m["name"], f"{m['direction']} is better", m["protocol"]] for m in records]))


@click.command("ops", short_help="List the supported ops and what their rules do.")
@shared.own_ops
@shared.markdown_option("Print the table as Markdown, as docs/ops.md has it.")
@shared.json_option
def ops_command(markdown: bool, as_json: bool) -> None:
    """List the supported ops: what their rules do with relevance and with gradients.

    \b
    Example:
      rsp-onnx ops
    """
    from rsp_onnx import supported_ops

    records = supported_ops()
    if as_json:
        print_json(records)
    elif markdown:
        click.echo(_ops_page(records))
    else:
        cells = [[op["op"], op["relevance"] or "-", op["gradient"] or "-"] for op in records]
        click.echo(table([["op", "relevance", "gradient"], *cells]))


def _methods_page(records: Records) -> str:
    lines = [
        "# Methods",
        "",
        "What `--method` and `Explainer(method=...)` take; printed by `rsp-onnx methods --markdown`. Parameters are",
        "given as `name:parameter=value`, such as `integrated-gradients:steps=64`; the table has their defaults.",
        "",
        "| name | what it is | parameters | paper |",
        "|---|---|---|---|",
    ]
    for method in records:
        given = ",".join(f"{key}={value:g}" for key, value in method["parameters"].items())
        lines.append(f"| `{method['name']}` | {method['title']} | {given or '-'} | {method['paper']} |")
    comparing = ", ".join(f"`{method['name']}`" for method in records if method["compares"])
    lines += ["", f"Hostile classes (`--hostile`) are taken by {comparing}; the others take none."]
    lines += [
        line for method in records if method["note"] for line in ("", f"**`{method['name']}`**: {method['note']}")
    ]
    return "\n".join(lines)


def _metrics_page(records: Records) -> str:
    lines = [
        "# Metrics",
        "",
        "What `rsp-onnx evaluate --metric` takes; printed by `rsp-onnx metrics --markdown`. Parameters are given as",
        "`name:parameter=value`, such as `pointing:tolerance=3`.",
    ]
    for metric in records:
        low, high = (f"{bound:g}" for bound in metric["bounds"])
        given = ", ".join(f"`{key}={value}`" for key, value in metric["parameters"].items())
        lines += ["", f"## {metric['name']}", "", f"{metric['direction'].capitalize()} is better, {low} to {high}."]
        lines += ["", metric["protocol"], "", f"Source: {metric['source']}."]
        lines += ["", f"Parameters: {given}."] if given else []
    return "\n".join(lines)


def _ops_page(records: Records) -> str:
    lines = ["# Ops", "", "What the rules do with each op; printed by `rsp-onnx ops --markdown`.", ""]
    lines += ["| op | relevance | gradient |", "|---|---|---|"]
    cells = ([f"`{op['op']}`", op["relevance"] or "-", op["gradient"] or "-"] for op in records)
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join(lines)
