"""``rsp-onnx ops``."""

from __future__ import annotations

import click

from rsp_onnx import supported_ops

from ._options import json_option, print_json, table


@click.command(short_help="List the supported ops and what their rules do.")
@json_option
def ops(as_json: bool) -> None:
    """List the supported ops: what their rules do with relevance and with gradients.

    \b
    Example:
      rsp-onnx ops
    """
    found = supported_ops()
    if as_json:
        print_json(found)
    else:
        click.echo(
            table(
                [
                    ["op", "relevance", "gradient"],
                    *([r["op"], r["relevance"] or "-", r["gradient"] or "-"] for r in found),
                ]
            )
        )
