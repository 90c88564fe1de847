"""The group of commands; every error of the library becomes one sentence and exit code 2."""

from __future__ import annotations

import gc
import logging
import warnings
from typing import Any

import click

from rsp_onnx import CacheWarning, RspError, __version__

from .late_imports import import_late
from .on_demand import CommandsOnDemand


class _Sentence(click.ClickException):
    exit_code = 2


class _Group(CommandsOnDemand):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RspError as error:
            raise _Sentence(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="rsp-onnx")
def main() -> None:
    """Explain any exported ONNX classifier: which pixels speak for a class, and which for its rivals.

    \b
    Examples:
      rsp-onnx explain model.onnx photo.jpg
      rsp-onnx explain model.onnx photo.jpg --target "tiger cat" --hostile "bull mastiff" --labels labels.txt
      rsp-onnx inspect model.onnx
    """
    gc.set_threshold(50_000)  # what is imported stays: looking through it for garbage takes a tenth of a start
    import_late()
    _say_warnings_as_ours()
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # a broken model is told in our one sentence


def _say_warnings_as_ours() -> None:
    """Print the library's warnings as the commands print theirs, without a place in the code."""
    plain = warnings.formatwarning

    def in_a_sentence(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
        ours = issubclass(category, CacheWarning)
        return f"Warning: {message}.\n" if ours else plain(message, category, *place, **line)

    if plain.__name__ != in_a_sentence.__name__:
        warnings.formatwarning = in_a_sentence
