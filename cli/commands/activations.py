"""``rsp-onnx activations``."""

from __future__ import annotations

from typing import Any

import click

from .. import options as shared
from ..device import device_option
from ..printing import print_json


@click.command()
@shared.model_argument
@click.argument("image", type=click.Path())
@click.option(
    "--tensor", "tensors", multiple=True, required=True, metavar="NAME", help="A tensor of the graph; repeatable."
)
@shared.out_file_option("The .npz file to write.")
@shared.preprocess_options
@shared.input_shape_option
@device_option()
@shared.own_ops
@shared.json_option
def activations(model: str, image: str, tensors: tuple[str, ...], out: str, as_json: bool, **options: Any) -> None:
    """Save intermediate tensors of one image. `rsp-onnx inspect --json` lists the names.

    \b
    Example:
      rsp-onnx activations model.onnx photo.jpg --tensor relu5_3 -o relu5_3.npz
    """
    from rsp_onnx import Explainer, save_activations

    saved = save_activations(Explainer(model, **options), image, tensors, out)
    if as_json:
        print_json(saved)
        return
    for name, tensor in saved.items():
        click.echo(f"{name}  {tensor['dtype']} {' × '.join(map(str, tensor['shape']))}")
    click.echo(f"Wrote {out}")
