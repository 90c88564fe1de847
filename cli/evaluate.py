"""``rsp-onnx evaluate``."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from ._options import (
    device_option,
    json_option,
    model_argument,
    output_option,
    own_ops,
    preprocess_options,
    print_json,
    region_option,
    running_bar,
    shard,
)


@click.command(short_help="Measure methods on a dataset and write a report.")
@model_argument
@click.argument("data", type=click.Path())
@click.option(
    "--format",
    "format",
    required=True,
    type=click.Choice(["voc", "coco", "imagenet", "folder", "csv"]),
    help="How the dataset lies on disk.",
)
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
@click.option("--split", metavar="NAME", help="Part of the dataset, such as val; default: the format's own.")
@click.option(
    "--mapping", type=click.Path(), metavar="FILE", help="Which of the dataset's classes is which of the model's."
)
@click.option("--labels", type=click.Path(), metavar="FILE", help="Class names: a text file, one per line, or JSON.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most that many items.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --limit a random choice of items; also for metrics that draw numbers.",
)
@click.option("--shard", type=shard, default="1/1", show_default=True, metavar="I/N", help="Only the I-th of N shares.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Items at a time; default: 8 where it can.")
@click.option(
    "--model-metric-items",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Items that metrics of the whole model are measured on.",
)
@preprocess_options
@output_option
@region_option
@device_option
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of ONNX Runtime; default: all cores.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done: in this process, or on a Ray cluster.",
)
@click.option("--address", metavar="HOST:PORT|auto", help="Of the Ray cluster; default: one on this machine.")
@click.option(
    "-o",
    "--out",
    default="rsp-run",
    show_default=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder of the run; the same command goes on with what is there.",
)
@click.option("--report/--no-report", default=True, show_default=True, help="Write report.html with pictures.")
@own_ops
@json_option
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
        summary = run(model, data, output=options.pop("output_name"), progress=progress, command=command, **options)
    if as_json:
        print_json(summary)
    else:
        click.echo(summary_table(summary))
        click.echo(f"All of it: {out}")
