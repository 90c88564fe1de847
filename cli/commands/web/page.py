"""``rsp-onnx page``."""

from __future__ import annotations

from typing import Any

import click

from ... import options as shared
from ...printing import print_json, running_bar


@click.command(short_help="Write a web page that explains in the browser.")
@click.argument("models", nargs=-1, required=True, type=click.Path(), metavar="MODEL...")
@shared.out_option("rsp-page", "The folder to write.")
@click.option(
    "--method", "methods", multiple=True, default=["rsp"], show_default=True, metavar="NAME",
    help="One of `rsp-onnx methods`; repeat for several, each adds the size of the model twice.",
)  # fmt: skip
@click.option(
    "--labels", multiple=True, type=click.Path(), metavar="FILE", help="Class names; for all models, or one each."
)
@click.option("--images", type=click.Path(), metavar="DIR", help="Folder whose first 24 photographs become samples.")
@click.option("--layers/--no-layers", default=True, show_default=True, help="Let the page show every layer's map.")
@shared.preprocess_options
@shared.section_option
@shared.score_options
@shared.own_ops
@shared.json_option
def page(models: tuple[str, ...], out: str, as_json: bool, **options: Any) -> None:
    """Write a folder with a page that explains photographs in the browser: no server, no Python, no other host.

    Any web space can hold it; a web server on this machine will do to look at it. No picture leaves the browser.

    \b
    Examples:
      rsp-onnx page model.onnx --labels labels.txt -o page
      rsp-onnx page old.onnx new.onnx --labels labels.txt --images photos --method rsp --method grad-cam -o page
    """
    from rsp_onnx import write_page

    own = {name: options.pop(name) for name in ("output", "section", "region", "class_axis", "class_rows")}
    chosen = {name: options.pop(name) for name in ("methods", "labels", "images", "layers")}
    with running_bar("compiling") as progress:
        written = write_page(models, out, options=own, preprocess=options, progress=progress, **chosen)
    if as_json:
        print_json(written)
        return
    for one in written["models"]:
        click.echo(f"{one['name']}: {', '.join(one['methods'])} ({one['bytes'] / 1e6:.1f} MB)")
        for warning in one["warnings"]:
            click.echo(f"Warning: {one['name']}: {warning.removesuffix('.')}.", err=True)
    click.echo(f"Wrote {written['folder']} ({written['bytes'] / 1e6:.1f} MB, {written['samples']} sample pictures).")
    click.echo(f"To look at it: python -m http.server --directory {written['folder']}")
