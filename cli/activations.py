"""``rsp-onnx activations``."""

from __future__ import annotations

from typing import Any

import click

from rsp_onnx import Explainer, save_activations

from ._options import device_option, json_option, model_argument, own_ops, preprocess_options, print_json


@click.command()
@model_argument
@click.argument("image", type=click.Path())
@click.option(
    "--tensor",
    "tensors",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A tensor of the graph; repeatable.",
)
@click.option("-o", "--out", required=True, type=click.Path(), metavar="FILE", help="The .npz file to write.")
@preprocess_options
@device_option
@own_ops
@json_option
def activations(model: str, image: str, tensors: tuple[str, ...], out: str, as_json: bool, **options: Any) -> None:
    """Save intermediate tensors of one image. `rsp-onnx inspect --json` lists the names.

    \b
    Example:
      rsp-onnx activations model.onnx photo.jpg --tensor relu5_3 -o relu5_3.npz
    """
    found = save_activations(Explainer(model, **options), image, tensors, out)
    if as_json:
        print_json(found)
        return
    for name, what in found.items():
        click.echo(f"{name}  {what['dtype']} {' × '.join(map(str, what['shape']))}")
    click.echo(f"Wrote {out}")
