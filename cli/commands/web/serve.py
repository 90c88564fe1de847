"""``rsp-onnx serve``."""

from __future__ import annotations

from typing import Any

import click

from ... import options as shared
from ...device import device_option
from ...no_cache import no_cache_option


@click.command(short_help="Open a page that explains photos as they are dropped, on this machine.")
@click.argument("models", nargs=-1, type=click.Path(), metavar="[MODEL]...")
@shared.repeated_labels_option
@shared.preprocess_options
@click.option("--images", type=click.Path(), metavar="DIR", help="Folder with photos to begin with; the first 24.")
@shared.section_option
@shared.score_options
@shared.input_shape_option
@shared.method_option
@shared.rsp_options
@device_option()
@shared.threads_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="NAME", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="Default: 8765, or a free one if that is taken."
)
@click.option("--max-upload", type=click.IntRange(min=1), default=2048, show_default=True, metavar="MIB",
              help="Largest model that may be dropped.")  # fmt: skip
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser (default: yes).")
@shared.own_ops
@no_cache_option
def serve(models: tuple[str, ...], **options: Any) -> None:
    """Start a server on this machine and open its page: drop a photo, and see which pixels speak for a class.

    With several models each is shown for itself. Without one the page starts empty: drop an .onnx file onto it, and a
    file of labels. What is said here of preprocessing, scores and layers holds for all models, dropped ones too.

    \b
    Examples:
      rsp-onnx serve
      rsp-onnx serve model.onnx --labels labels.txt --images photos/
      rsp-onnx serve float.onnx int8.onnx --labels imagenet.txt --device cpu
    """
    from rsp_onnx import serve as serve_page

    serve_page(models, say=click.echo, **options)
