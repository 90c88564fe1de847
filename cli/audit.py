"""``rsp-onnx audit``."""

from __future__ import annotations

import sys
from typing import Any

import click

from ._options import device_option, method_option, model_argument, own_ops, print_json, running_bar


@click.command(short_help="Look for a class that is decided by something else than its object.")
@model_argument
@click.argument("data", type=click.Path())
@click.option(
    "--format",
    "format",
    required=True,
    type=click.Choice(["voc", "coco", "imagenet", "folder", "csv"]),
    help="How the dataset lies on disk.",
)
@click.option("--split", metavar="NAME", help="Part of the dataset, such as val; default: the format's own.")
@click.option(
    "--mapping", type=click.Path(), metavar="FILE", help="Which of the dataset's classes is which of the model's."
)
@click.option("--labels", type=click.Path(), metavar="FILE", help="Class names: a text file, one per line, or JSON.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="INDEX|LABEL",
    help="Only this class; repeat for several. Default: all.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most that many photos, drawn by the seed.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of all that is drawn."
)
@click.option(
    "--cells",
    type=click.IntRange(min=8),
    default=16,
    show_default=True,
    metavar="N",
    help="Rows and columns of the grids.",
)
@method_option
@click.option(
    "--hostile",
    "rivals",
    multiple=True,
    default=["auto"],
    show_default=True,
    metavar="auto|none|runners-up|INDEX|LABEL",
    help="Classes the target is held against; repeat for several.",
)
@click.option("--preprocess", metavar="PRESET|FILE", help="How photographs are prepared; default: as the model says.")
@device_option
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of ONNX Runtime; default: all cores.")
@click.option(
    "--pictures",
    type=click.IntRange(min=1),
    default=11,
    show_default=True,
    metavar="N",
    help="Photos per contact sheet.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(),
    metavar="DIR",
    default="rsp-audit",
    show_default=True,
    help="Folder for the results.",
)
@click.option("--report/--no-report", default=True, show_default=True, help="Write report.html.")
@click.option("--fail-on-suspicious", is_flag=True, help="Exit with 1 where a cluster is suspicious.")
@own_ops
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def audit(model: str, data: str, as_json: bool, fail_on_suspicious: bool, **options: Any) -> None:
    """Group the maps of each class and show what its images have in common.

    A group whose relevance sits at one place of the picture, in a corner or on the border, while the objects are
    elsewhere, is flagged: a source tag, a frame, a watermark. Exit code: 0, 1 with --fail-on-suspicious, 2 where the
    audit could not run.

    \b
    Examples:
      rsp-onnx audit model.onnx photos --format folder
      rsp-onnx audit model.onnx VOCdevkit/VOC2007 --format voc --class horse --limit 500 --fail-on-suspicious -o audited
    """
    from rsp_onnx.checks import audit as run
    from rsp_onnx.checks import audit_lines

    with running_bar("explaining") as progress:
        found = run(model, data, hostile=options.pop("rivals"), progress=progress, **options)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(audit_lines(found)))
        click.echo(f"All of it: {options['out']}")
    sys.exit(1 if found["suspicious"] and fail_on_suspicious else 0)
