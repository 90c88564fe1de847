"""``rsp-onnx ops``."""

from __future__ import annotations

import click

from rsp_onnx import supported_ops

from ._options import json_option, own_ops, print_json, table


@click.command(short_help="List the supported ops and what their rules do.")
@own_ops
@click.option("--markdown", is_flag=True, help="Print the table as Markdown, as docs/ops.md has it.")
@json_option
def ops(markdown: bool, as_json: bool) -> None:
    """List the supported ops: what their rules do with relevance and with gradients.

    \b
    Example:
      rsp-onnx ops
    """
    found = supported_ops()
    if as_json:
        print_json(found)
    elif markdown:
        click.echo(_markdown(found))
    else:
        click.echo(
            table(
                [
                    ["op", "relevance", "gradient"],
                    *([r["op"], r["relevance"] or "-", r["gradient"] or "-"] for r in found),
                ]
            )
        )


def _markdown(found: list[dict[str, str]]) -> str:
    rows = ["# Ops", "", "What the rules do with each op; printed by `rsp-onnx ops --markdown`.", ""]
    rows += ["| op | relevance | gradient |", "|---|---|---|"]
    cells = ([f"`{r['op']}`", r["relevance"] or "-", r["gradient"] or "-"] for r in found)
    rows += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join(rows)
