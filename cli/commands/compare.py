"""``rsp-onnx compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .. import options as shared
from ..device import device_option
from ..no_cache import no_cache_option
from ..printing import print_json, progress_bar


@click.command(short_help="Compare the explanations of two models on the same images.")
@click.argument("a", type=click.Path(), metavar="A.onnx")
@click.argument("b", type=click.Path(), metavar="B.onnx")
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...")
@shared.target_option("The class to explain, one of A's; auto: what A predicts; repeat for several.")
@shared.hostile_option("Classes the target is held against, decided by A's scores; repeat for several.")
@shared.labels_option("A's class names: a text file or JSON.")
@click.option("--labels-b", type=click.Path(), metavar="FILE", help="B's; where names differ, classes match by name.")
@click.option("--class-offset", type=int, metavar="N", help="B's class is A's class + N, such as 1 of 1000 and 1001.")
@shared.preprocess_option("How A's photographs are prepared; default: as A says.")
@click.option("--preprocess-b", metavar="PRESET|FILE", help="How B's are; default: as B says.")
@shared.method_option
@shared.score_options
@shared.input_shape_option
@device_option()
@shared.threads_option
@click.option(
    "--fail-below",
    multiple=True,
    metavar="MEASURE=NUMBER",
    help="Exit with 1 where the median is lower: spearman=0.9, pearson, ssim, top-k, sign; worst-spearman=0.8: any "
    "image; repeatable.",
)
@click.option("--max-flips", type=click.IntRange(min=0), metavar="N", help="Exit with 1 where more predictions flip.")
@shared.pictures_option(0, 6, "Images drawn side by side.")
@shared.out_option("rsp-compare")
@shared.report_option()
@shared.own_ops
@no_cache_option
@shared.json_option
def compare(a: str, b: str, images: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Explain the same images by two models: whose predictions flip, whose explanations move.

    fp32 against int8, one framework's export against another's, the last release against its candidate. IMAGE is a
    photograph, a .npy/.npz file, or a folder of photographs. Exit code: 0, 1 where a limit does not hold, 2 where the
    comparison could not run.

    \b
    Examples:
      rsp-onnx compare fp32.onnx int8.onnx photos --fail-below spearman=0.9 --max-flips 0
      rsp-onnx compare torch.onnx tf.onnx photo.jpg --class-offset 1 --preprocess-b imagenet-tf -o compared
    """
    from rsp_onnx.checks import compare_models, comparison_lines

    targets, rivals = options.pop("targets"), options.pop("rivals")
    with progress_bar(len(images), "comparing") as progress:
        comparison = compare_models(a, b, images, target=targets, hostile=rivals, progress=progress, **options)
    if as_json:
        print_json(comparison)
    else:
        click.echo("\n".join(comparison_lines(comparison)))
        click.echo(f"All of it: {Path(options['out'])}")
    sys.exit(1 if comparison["failures"] else 0)
