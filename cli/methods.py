"""``rsp-onnx methods``."""

from __future__ import annotations

from typing import Any

import click

from rsp_onnx import methods

from ._options import json_option, print_json, table


@click.command("methods")
@click.option("--markdown", is_flag=True, help="Print a Markdown page.")
@json_option
def methods_command(markdown: bool, as_json: bool) -> None:
    """List the methods and their papers; parameters are in --markdown and --json.

    \b
    Example:
      rsp-onnx methods
    """
    found = methods()
    if as_json:
        print_json(found)
    elif markdown:
        click.echo(_page(found))
    else:
        click.echo(table([[m["name"], m["paper"]] for m in found]))


def _parameters(method: dict[str, Any]) -> str:
    return ",".join(f"{key}={value:g}" for key, value in method["parameters"].items())


def _page(found: list[dict[str, Any]]) -> str:
    lines = [
        "# Methods",
        "",
        "What `--method` and `Explainer(method=...)` take; printed by `rsp-onnx methods --markdown`. Parameters are",
        "given as `name:parameter=value`, such as `integrated-gradients:steps=64`; the table has their defaults.",
        "",
        "| name | what it is | parameters | paper |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{m['name']}` | {m['title']} | {_parameters(m) or '-'} | {m['paper']} |" for m in found]
    return "\n".join(lines)
