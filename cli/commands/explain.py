"""``rsp-onnx explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options as shared
from ..device import device_option
from ..no_cache import no_cache_option
from ..printing import print_json, running_bar


@click.command(short_help="Paint which pixels speak for a class, and which against it.")
@shared.model_argument
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...")
@shared.target_option("The class to explain; repeat for several.")
@shared.hostile_option(
    "Classes that rsp holds the target against (other methods take none); repeat for several. auto: for multi-label "
    "models the classes present, for single-label models none."
)
@shared.labels_option()
@shared.preprocess_options
@shared.section_option
@shared.score_options
@shared.input_shape_option
@shared.method_option
@shared.rsp_options
@device_option()
@shared.threads_option
@click.option("--tokens", type=click.Path(), metavar="FILE", help="Words of token ids: one per line, or JSON.")
@click.option("--columns", type=click.Path(), metavar="FILE", help="Names of a table's columns: one per line, or JSON.")
@click.option(
    "--layout",
    type=click.Choice(["triple", "pair", "overlay"]),
    default="triple",
    show_default=True,
    help="Panels of a picture: photo, map and overlay; photo and overlay; the overlay alone.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["png", "svg", "pdf"]),
    multiple=True,
    default=["png"],
    show_default=True,
    help="As which pictures are written; repeat for several. In svg and pdf text stays text.",
)
@click.option("--contact-sheet", is_flag=True, help="Also all of them on one sheet: images in rows, targets across.")
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True, help="Images at a time.")
@shared.out_option("rsp-explanations")
@shared.own_ops
@no_cache_option
@shared.json_option
def explain(model: str, images: tuple[str, ...], **options: Any) -> None:
    """Paint which pixels speak for a class (red) and which for its rivals and the background (blue).

    IMAGE is a photograph, or a .npy/.npz file with ready tensors: signals are drawn as lines, tables as bars, token ids
    as words, spectrograms with numbered axes, volumes as slices. For each image and target a picture and an .npz file
    (relevance, heatmap, heatmap_original) are written, and explain.json with all records. Of a file with several items
    along the batch axis each is explained: STEM.ITEM.CLASS.png. A contact sheet holds up to 20 rows of 10 pictures;
    more go to contact-sheet.1.png and so on.

    \b
    Examples:
      rsp-onnx explain model.onnx photo.jpg
      rsp-onnx explain model.onnx dog_cat.png --target 243 --hostile 282 --labels imagenet.txt -o out
      rsp-onnx explain model.onnx *.png --target topk:3 --contact-sheet --layout overlay
      rsp-onnx explain model.onnx photo.jpg --format svg --format png
      rsp-onnx explain text.onnx ids.npy --tokens tokenizer.json
    """  # fmt: skip
    from rsp_onnx import Explainer, explain_files

    out, as_json = options.pop("out"), options.pop("as_json")
    targets, rivals, batch_size = options.pop("targets"), options.pop("rivals"), options.pop("batch_size")
    drawing = {name: options.pop(name) for name in ("layout", "formats", "contact_sheet")}
    explainer = Explainer(model, ledger=True, **options)
    with running_bar("explaining") as progress:
        records = explain_files(
            explainer, images, out, target=targets, hostile=rivals, batch_size=batch_size, progress=progress, **drawing
        )
    if as_json:
        print_json(records)
    else:
        _say(records, Path(out))
        for sheet in records.sheets:
            click.echo(f"Contact sheet: {Path(out) / sheet}")


def _say(records: list[dict[str, Any]], out: Path) -> None:
    shared_by_all = set.intersection(*(set(record["warnings"]) for record in records)) if len(records) > 1 else set()
    for warning in (w for w in records[0]["warnings"] if w in shared_by_all):
        click.echo(f"Warning: of all: {warning}.", err=True)
    for record in records:
        name = record["image"] + (f", item {record['item']}" if "item" in record else "")
        against = f" against {' · '.join(record['hostile_labels'])}" if record["hostile"] else ""
        where = out / (record["png"] or record.get("svg") or record.get("pdf") or record["npz"])
        click.echo(f"{name}: {record['target_label']} ({record['score_in_words']}){against} -> {where}")
        for warning in (w for w in record["warnings"] if w not in shared_by_all):
            click.echo(f"Warning: {name}: {warning}.", err=True)
    first = records[0]
    if first["preprocessing"]:
        how = first["preprocessing"]
        click.echo(f"Preprocessing: {how['name']} ({how['source']}). Ran on {first['provider']}.")
    else:
        click.echo(f"Ran on {first['provider']}.")
    click.echo(f"All records: {out / 'explain.json'}")
