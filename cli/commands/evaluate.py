"""``rsp-onnx evaluate``."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from .. import options as shared
from ..device import device_option
from ..no_cache import no_cache_option
from ..printing import print_json, running_bar


def _shard(value: str) -> tuple[int, int]:
    """Turn 2/5 into (2, 5)."""
    first, slash, last = value.partition("/")
    if slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise click.BadParameter(f"{value!r} is not a shard; write I/N, such as 1/4, with I from 1 to N.")


@click.command(short_help="Measure methods on a dataset and write a report.")
@shared.model_argument
@shared.data_argument
@shared.format_option()
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=["rsp"],
    show_default=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="One of `rsp-onnx methods`; repeat for several. Beside a method's own parameters: "
    "hostile=auto|none|runners-up|annotated, section, split, purge, signed-inputs.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    default=["pointing"],
    show_default=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="One of `rsp-onnx metrics`; repeat for several.",
)
@shared.split_option
@shared.mapping_option
@shared.labels_option()
@shared.limit_option("At most that many items.")
@shared.seed_option("With --limit a random choice of items; also for metrics that draw numbers.")
@click.option(
    "--shard", type=_shard, default="1/1", show_default=True, metavar="I/N", help="Only the I-th of N shares."
)
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Items at a time; default: 8 where it can.")
@click.option(
    "--model-metric-items",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Items that metrics of the whole model are measured on.",
)
@shared.preprocess_options
@shared.score_options
@shared.input_shape_option
@device_option()
@shared.threads_option
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done: in this process, or on a Ray cluster.",
)
@click.option("--address", metavar="HOST:PORT|auto", help="Of the Ray cluster; default: one on this machine.")
@shared.out_option("rsp-run", "Folder of the run; the same command goes on with what is there.")
@shared.report_option("Write report.html with pictures.")
@shared.own_ops
@no_cache_option
@shared.json_option
def evaluate(model: str, data: str, **options: Any) -> None:
    """Measure methods on a dataset, and write rows, figures and a report.

    DATA is the dataset's folder. A run that was interrupted goes on where it was when the command is given again. Items
    that cannot be read are listed and stop nothing.

    \b
    Examples:
      rsp-onnx evaluate model.onnx VOCdevkit/VOC2007 --format voc --split test --method rsp --method grad-cam -o run
      rsp-onnx evaluate model.onnx photos --format csv --method rsp:hostile=annotated --metric inside --limit 500
    """  # fmt: skip
    from rsp_onnx.evaluate import evaluate as run
    from rsp_onnx.evaluate import summary_table

    out, as_json = options["out"], options.pop("as_json")
    command = shlex.join(["rsp-onnx", *sys.argv[1:]])
    with running_bar("evaluating") as progress:
        summary = run(model, data, progress=progress, command=command, **options)
    if as_json:
        print_json(summary)
    else:
        click.echo(summary_table(summary))
        click.echo(f"All of it: {out}")
