"""``rsp-onnx methods``."""

from __future__ import annotations

import click

from rsp_onnx import methods

from ._options import json_option, print_json, table


@click.command("methods")
@json_option
def methods_command(as_json: bool) -> None:
    """List the methods and their papers.

    \b
    Example:
      rsp-onnx methods
    """
    found = methods()
    if as_json:
        print_json(found)
    else:
        click.echo(table([[m["name"], m["paper"]] for m in found]))
