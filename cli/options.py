"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import click

import rsp_onnx

F = TypeVar("F", bound=Callable[..., Any])
Option: TypeAlias = "Callable[[Any], Any]"  # a decorator of commands

model_argument = click.argument("model", type=click.Path())
data_argument = click.argument("data", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
section_option = click.option(
    "--layer", "--section", "section", metavar="NAME",
    help="Tensor where head and features meet; default: found (see `rsp-onnx inspect`).",
)  # fmt: skip


def threads(value: str) -> int | None:
    """Turn auto into None, and 4 into itself."""
    if value == "auto" or (value.isdecimal() and int(value) > 0):
        return None if value == "auto" else int(value)
    raise click.BadParameter(f"{value!r} is no number of threads; write auto, 1 or more.")


threads_option = click.option(
    "--threads", type=threads, default="auto", show_default=True, metavar="auto|N", help="Threads of ONNX Runtime."
)
method_option = click.option(
    "--method", default="rsp", show_default=True, metavar="NAME", help="One of `rsp-onnx methods`."
)
split_option = click.option(
    "--split", metavar="NAME", help="Part of the dataset, such as val; default: the format's own."
)
mapping_option = click.option(
    "--mapping", type=click.Path(), metavar="FILE", help="Which of the dataset's classes is which of the model's."
)


def labels_option(says: str = "Class names: a text file, one per line, or JSON.") -> Option:
    """Add --labels."""
    return click.option("--labels", type=click.Path(), metavar="FILE", help=says)


repeated_labels_option = click.option(
    "--labels", multiple=True, type=click.Path(), metavar="FILE",
    help="Class names: a text file, one per line, or JSON; once for all models, or as often as there are models.",
)  # fmt: skip


def format_option() -> Option:
    """Add --format, whose choices only the commands that have it import."""
    from rsp_onnx.evaluate import dataset_formats

    formats = click.Choice([one["name"] for one in dataset_formats()])
    return click.option("--format", "format", required=True, type=formats, help="How the dataset lies on disk.")


def limit_option(says: str) -> Option:
    """Add --limit."""
    return click.option("--limit", type=click.IntRange(min=1), metavar="N", help=says)


def seed_option(says: str, **default: Any) -> Option:
    """Add --seed."""
    return click.option("--seed", type=click.IntRange(min=0), metavar="N", help=says, **default)


def target_option(says: str) -> Option:
    """Add --target, as ``targets``."""
    return click.option(
        "--target", "targets", multiple=True, default=["auto"], show_default=True,
        metavar="auto|INDEX|LABEL|topk:N", help=says,
    )  # fmt: skip


def hostile_option(says: str = "Classes the target is held against; repeat for several.") -> Option:
    """Add --hostile, as ``rivals``."""
    return click.option(
        "--hostile", "rivals", multiple=True, default=["auto"], show_default=True,
        metavar="auto|none|runners-up|INDEX|LABEL", help=says,
    )  # fmt: skip


def preprocess_option(says: str) -> Option:
    """Add --preprocess alone."""
    return click.option("--preprocess", metavar="PRESET|FILE", help=says)


def pictures_option(least: int, default: int, says: str) -> Option:
    """Add --pictures."""
    return click.option(
        "--pictures", type=click.IntRange(min=least), default=default, show_default=True, metavar="N", help=says
    )


def out_option(default: str, says: str = "Folder for the results.") -> Option:
    """Add --out with a folder."""
    return click.option(
        "-o", "--out", default=default, show_default=True, type=click.Path(), metavar="DIR", help=says
    )  # fmt: skip


def markdown_option(says: str = "Print a Markdown page.") -> Option:
    """Add --markdown."""
    return click.option("--markdown", is_flag=True, help=says)


def out_file_option(says: str) -> Option:
    """Add --out with a file, which must be given."""
    return click.option("-o", "--out", required=True, type=click.Path(), metavar="FILE", help=says)


def report_option(says: str = "Write report.html.") -> Option:
    """Add --report and --no-report."""
    return click.option("--report/--no-report", default=True, show_default=True, help=says)


def _each(action: Callable[[str], None]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], None]:
    def call(_: click.Context, __: click.Parameter, files: tuple[str, ...]) -> None:
        for file in files:
            action(file)

    return call


def own_ops(command: F) -> F:
    """Add --custom-ops and --rules, which take effect before the command runs."""
    options: list[Option] = [
        click.option(
            "--custom-ops", multiple=True, metavar="FILE", type=click.Path(), expose_value=False, is_eager=True,
            callback=_each(lambda file: rsp_onnx.register_custom_ops(file)),
            help="Shared library with the model's custom ops, as ONNX Runtime loads it; repeat for several.",
        ),
        click.option(
            "--rules", multiple=True, metavar="FILE.py", type=click.Path(), expose_value=False, is_eager=True,
            callback=_each(lambda file: rsp_onnx.load_rules(file)),
            help="Python file with rules for ops of your own (see docs/custom-ops.md); repeat for several.",
        ),
    ]  # fmt: skip
    return _decorated(command, options)


def rsp_options(command: F) -> F:
    """Add the parameters of RSP."""
    options: list[Option] = [
        click.option("--purge", is_flag=True, help="RSP: remove conflicting units before every layer."),
        click.option(
            "--split", type=float, default=2.0, show_default=True, metavar="NUMBER",
            help="RSP: share of the target against the hostile classes.",
        ),
        click.option(
            "--signed-inputs", type=click.Choice(["clamp", "abs"]), default="clamp", show_default=True,
            help="RSP: how signed activations are read.",
        ),
    ]  # fmt: skip
    return _decorated(command, options)


def score_options(command: F) -> F:
    """Add what says how the scores are read: --output, --class-axis, --classes, --region."""
    options: list[Option] = [
        click.option(
            "--output", metavar="NAME",
            help="The tensor to explain, an output or any other of the graph; default: the first output with scores.",
        ),
        click.option(
            "--class-axis", type=int, metavar="AXIS",
            help="The axis of the output that holds the classes, counted from 0; default: found (see `inspect`).",
        ),
        click.option(
            "--classes", "class_rows", default="", metavar="FIRST:END",
            help="Which rows of that axis are classes, such as 4: behind the coordinates of boxes; default: found.",
        ),
        click.option(
            "--region", default="auto", show_default=True, metavar="auto|mask|peak|all|INDEX|X0,Y0,X1,Y1",
            help="Of a model that scores every position, box or time step: which of them count.",
        ),
    ]  # fmt: skip
    return _decorated(command, options)


def input_shapes(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> dict[str, list[int | None]] | None:
    """Turn image=N,3,224,224 into shapes by input name; None where none is given."""
    shapes: dict[str, list[int | None]] = {}
    for word in words:
        name, _equals, sizes = word.rpartition("=")
        parts = sizes.split(",")
        if not name or not all(p == "N" or (p.isdecimal() and int(p) > 0) for p in parts):
            raise click.BadParameter(f"{word!r} is not like image=N,3,224,224.")
        shapes[name] = [None if p == "N" else int(p) for p in parts]
    return shapes or None


input_shape_option = click.option(
    "--input-shape", "input_shapes", multiple=True, callback=input_shapes, metavar="NAME=N,3,224,224",
    help="Sizes the model leaves free, by input; N stays free. Repeat for several inputs.",
)  # fmt: skip


def size(value: str) -> tuple[int, int]:
    """Turn 224 or 224x320 into (height, width)."""
    words = value.lower().split("x")
    if len(words) in (1, 2) and all(w.isdecimal() and int(w) > 0 for w in words):
        return int(words[0]), int(words[-1])
    raise click.BadParameter(f"{value!r} is not a size; write 224 or HEIGHTxWIDTH.")


def numbers(value: str) -> tuple[float, ...]:
    """Turn 0.5 or 0.485,0.456,0.406 into floats."""
    try:
        return tuple(float(w) for w in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number or a list like 0.485,0.456,0.406.") from None


def preprocess_options(command: F) -> F:
    """Add --preprocess and the flags that override single values."""
    options: list[Option] = [
        preprocess_option(
            "imagenet-torch, imagenet-caffe, imagenet-tf, unit, raw, or a TOML file; default: the file "
            "MODEL.preprocess.toml beside the model, else its metadata, else a guess."
        ),
        click.option("--size", type=size, metavar="SIZE", help="Height and width, where the model leaves them free."),
        click.option("--channels", type=click.Choice(["RGB", "BGR", "L"]), help="Order of the colour channels."),
        click.option("--scale", type=float, help="Pixels, 0 to 255 (16 bits: divided by 257), are multiplied by it."),
        click.option("--mean", type=numbers, metavar="NUMBERS", help="Then subtracted, one number or one per channel."),
        click.option("--std", type=numbers, metavar="NUMBERS", help="Then divided by."),
        click.option("--resize", type=click.Choice(["stretch", "crop", "pad"]), help="How the photo is made to fit."),
    ]  # fmt: skip
    return _decorated(command, options)


def _decorated(command: F, options: list[Option]) -> F:
    decorated: Any = command
    for decorate in reversed(options):
        decorated = decorate(decorated)
    return cast(F, decorated)
