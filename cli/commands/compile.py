"""``rsp-onnx compile``."""

from __future__ import annotations

from typing import Any

import click

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
@shared.score_options
@shared.rsp_options
@shared.input_shape_option
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="Make the file for N samples; default: as the model."
)
@click.option(
    "--targets", type=click.IntRange(min=1), metavar="K", help="Make the file for K classes; default: any number."
)
@shared.own_ops
@shared.json_option
def compile_command(model: str, out: str, method: str, tensors: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compile a model into one .onnx file that returns its scores and their relevance; it runs with onnxruntime alone.

    Its further inputs are target (int64 [K, N], class indices; -1 for the class with the highest score) and, where the
    method knows rivals, hostile (int64 [K, N, H], -1 for none; H may be 0). The fastest file is for one sample and one
    class: --batch 1 --targets 1. What may differ in other runtimes is said, and stands in the metadata.

    \b
    Examples:
      rsp-onnx compile model.onnx -o explainer.onnx
      rsp-onnx compile model.onnx -o explainer.onnx --batch 1 --targets 1
      rsp-onnx compile model.onnx -o explainer.onnx --input-shape image=N,3,320,320
    """
    from rsp_onnx import Options, save_explainer

    own = {name: options.pop(name) for name in ("purge", "split", "signed_inputs")}
    written = save_explainer(model, out, method, tensors=tensors, options=Options(**own), **options)
    if as_json:
        print_json(written)
        return
    click.echo(f"Wrote {written['path']} ({written['bytes'] / 1e6:.1f} MB).")
    click.echo(f"  inputs: {', '.join(written['inputs'])}")
    click.echo(f"  outputs: {', '.join(written['outputs'])}")
    for warning in written["warnings"]:
        click.echo(f"Warning: {warning}.", err=True)
