"""``rsp-onnx compile``."""

from __future__ import annotations

from typing import Any

import click

from rsp_onnx import Options, save_explainer

from .. import options as shared
from ..printing import print_json


@click.command("compile", short_help="Write one .onnx file that returns scores and relevance.")
@shared.model_argument
@shared.out_file_option("The .onnx file to write.")
@shared.method_option
@click.option(
    "--tensor", "tensors", multiple=True, metavar="NAME", help="Return the relevance of this tensor too; repeatable."
)
@shared.section_option
@shared.output_option
@shared.region_option
@shared.rsp_options
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="NAME=N,3,224,224",
    help="Sizes the model leaves free; N stays free.",
)
@shared.own_ops
@shared.json_option
def compile_command(
    model: str, out: str, method: str, tensors: tuple[str, ...], shapes: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Compile a model into one .onnx file that returns its scores and their relevance; it runs with onnxruntime alone.

    Its further inputs are target (int64 [K, N], class indices) and hostile (int64 [K, N, H], -1 for none; H may be 0).

    \b
    Examples:
      rsp-onnx compile model.onnx -o explainer.onnx
      rsp-onnx compile model.onnx -o explainer.onnx --input-shape image=N,3,320,320
    """
    section, output, region = (options.pop(name) for name in ("section", "output_name", "region"))
    written = save_explainer(
        model, out, method, output=output, section=section, tensors=tensors, input_shapes=_shapes(shapes) or None,
        region=region, options=Options(**options),
    )  # fmt: skip
    if as_json:
        print_json(written)
        return
    click.echo(f"Wrote {written['path']} ({written['bytes'] / 1e6:.1f} MB).")
    click.echo(f"  inputs: {', '.join(written['inputs'])}")
    click.echo(f"  outputs: {', '.join(written['outputs'])}")


def _shapes(words: tuple[str, ...]) -> dict[str, list[int | None]]:
    shapes: dict[str, list[int | None]] = {}
    for word in words:
        name, _, sizes = word.rpartition("=")
        parts = sizes.split(",")
        if not name or not all(p == "N" or (p.isdecimal() and int(p) > 0) for p in parts):
            raise click.BadParameter(f"{word!r} is not like image=N,3,224,224.", param_hint="--input-shape")
        shapes[name] = [None if p == "N" else int(p) for p in parts]
    return shapes
