"""--no-cache, for the commands that explain."""

from __future__ import annotations

import os

import click


def _without_cache(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    before = os.environ.get("RSP_ONNX_CACHE")
    os.environ["RSP_ONNX_CACHE"] = "off"  # of the environment, so that the processes a command starts know it too

    def restore() -> None:
        if before is None:
            del os.environ["RSP_ONNX_CACHE"]
        else:
            os.environ["RSP_ONNX_CACHE"] = before

    ctx.call_on_close(restore)


no_cache_option = click.option(
    "--no-cache", is_flag=True, expose_value=False, is_eager=True, callback=_without_cache,
    help="Compile anew, and keep nothing of it (see `rsp-onnx cache`).",
)  # fmt: skip
