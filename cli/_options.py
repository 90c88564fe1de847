"""Options that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import click

from rsp_onnx import load_rules, register_custom_ops

F = TypeVar("F", bound=Callable[..., Any])

model_argument = click.argument("model", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
section_option = click.option(
    "--layer",
    "--section",
    "section",
    metavar="NAME",
    help="Tensor where head and features meet; default: found (see `rsp-onnx inspect`).",
)
output_option = click.option(
    "--output", "output_name", metavar="NAME", help="The model's output to explain; default: the first."
)
region_option = click.option(
    "--region",
    default="auto",
    show_default=True,
    metavar="auto|mask|peak|all|INDEX|X0,Y0,X1,Y1",
    help="Of a model that scores every position or box: which of them count.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to run.",
)


method_option = click.option(
    "--method", default="rsp", show_default=True, metavar="NAME", help="One of `rsp-onnx methods`."
)


def _each(action: Callable[[str], None]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], None]:
    def call(_: click.Context, __: click.Parameter, files: tuple[str, ...]) -> None:
        for file in files:
            action(file)

    return call


def own_ops(command: F) -> F:
    """Add --custom-ops and --rules, which take effect before the command runs."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--custom-ops", multiple=True, metavar="FILE", type=click.Path(), expose_value=False, is_eager=True,
            callback=_each(register_custom_ops),
            help="Shared library with the model's custom ops, as ONNX Runtime loads it; repeat for several.",
        ),
        click.option(
            "--rules", multiple=True, metavar="FILE.py", type=click.Path(), expose_value=False, is_eager=True,
            callback=_each(load_rules),
            help="Python file with rules for ops of your own (see docs/custom-ops.md); repeat for several.",
        ),
    ]  # fmt: skip
    return _decorated(command, options)


def rsp_options(command: F) -> F:
    """Add the parameters of RSP."""
    options: list[Callable[[Any], Any]] = [
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


def size(value: str) -> tuple[int, int]:
    """Turn 224 or 224x320 into (height, width)."""
    words = value.lower().split("x")
    if len(words) in (1, 2) and all(w.isdecimal() and int(w) > 0 for w in words):
        return int(words[0]), int(words[-1])
    raise click.BadParameter(f"{value!r} is not a size; write 224 or HEIGHTxWIDTH.")


def shard(value: str) -> tuple[int, int]:
    """Turn 2/5 into (2, 5)."""
    first, slash, last = value.partition("/")
    if slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise click.BadParameter(f"{value!r} is not a shard; write I/N, such as 1/4, with I from 1 to N.")


def numbers(value: str) -> tuple[float, ...]:
    """Turn 0.5 or 0.485,0.456,0.406 into floats."""
    try:
        return tuple(float(w) for w in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number or a list like 0.485,0.456,0.406.") from None


def preprocess_options(command: F) -> F:
    """Add --preprocess and the flags that override single values."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--preprocess", metavar="PRESET|FILE",
            help="imagenet-torch, imagenet-caffe, imagenet-tf, unit, raw, or a TOML file; default: the file "
            "MODEL.preprocess.toml beside the model, else its metadata, else a guess.",
        ),
        click.option("--size", type=size, metavar="SIZE", help="Height and width, where the model leaves them free."),
        click.option("--channels", type=click.Choice(["RGB", "BGR", "L"]), help="Order of the colour channels."),
        click.option("--scale", type=float, help="Pixels are multiplied by it first."),
        click.option("--mean", type=numbers, metavar="NUMBERS", help="Then subtracted, one number or one per channel."),
        click.option("--std", type=numbers, metavar="NUMBERS", help="Then divided by."),
        click.option("--resize", type=click.Choice(["stretch", "crop", "pad"]), help="How the photo is made to fit."),
    ]  # fmt: skip
    return _decorated(command, options)


def _decorated(command: F, options: list[Callable[[Any], Any]]) -> F:
    decorated: Any = command
    for decorate in reversed(options):
        decorated = decorate(decorated)
    return cast(F, decorated)


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar on a terminal's stderr; where there is no terminal, nothing."""
    if length < 2 or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda done, _: bar.update(done - bar.pos)


@contextmanager
def running_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar with the time left; its length is known when the first call comes."""
    if not sys.stderr.isatty():
        yield None
        return
    bars: list[Any] = []

    def update(done: int, total: int) -> None:
        if not bars:
            bars.append(click.progressbar(length=total, label=label, file=sys.stderr, show_eta=True, show_pos=True))
            bars[0].__enter__()
        bars[0].update(done - bars[0].pos)

    try:
        yield update
    finally:
        for bar in bars:
            bar.__exit__(None, None, None)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: list[list[str]]) -> str:
    """Lay rows out in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
