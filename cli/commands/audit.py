"""``rsp-onnx audit``."""

from __future__ import annotations

import sys
from typing import Any

import click

from .. import options as shared
from ..device import device_option
from ..no_cache import no_cache_option
from ..printing import print_json, running_bar


@click.command(short_help="Look for a class that is decided by something else than its object.")
@shared.model_argument
@shared.data_argument
@shared.format_option()
@shared.split_option
@shared.mapping_option
@shared.labels_option()
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="INDEX|LABEL",
    help="Only this class; repeat for several. Default: all.",
)
@shared.limit_option("At most that many photos, drawn by the seed.")
@shared.seed_option("Of all that is drawn.", default=0, show_default=True)
@click.option(
    "--cells",
    type=click.IntRange(min=8),
    default=16,
    show_default=True,
    metavar="N",
    help="Rows and columns of the grids.",
)
@shared.method_option
@shared.score_options
@shared.input_shape_option
@shared.hostile_option()
@shared.preprocess_option("How photographs are prepared; default: as the model says.")
@device_option()
@shared.threads_option
@shared.pictures_option(1, 11, "Photos per contact sheet.")
@shared.out_option("rsp-audit")
@shared.report_option()
@click.option("--fail-on-suspicious", is_flag=True, help="Exit with 1 where a cluster is suspicious.")
@shared.own_ops
@no_cache_option
@shared.json_option
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
        summary = run(model, data, hostile=options.pop("rivals"), progress=progress, **options)
    if as_json:
        print_json(summary)
    else:
        click.echo("\n".join(audit_lines(summary)))
        click.echo(f"All of it: {options['out']}")
    sys.exit(1 if summary["suspicious"] and fail_on_suspicious else 0)
