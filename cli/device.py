"""``--device`` and ``--provider-option``, which commands get as one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click


def device_option(default: str = "auto") -> Callable[[Any], Any]:
    """Add --device and --provider-option; the command gets both as ``device``, as ``Explainer`` takes it."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(*args: Any, device: str, provider_options: tuple[str, ...], **given: Any) -> Any:
            return command(*args, device=",".join([device, *provider_options]), **given)

        where = click.option(
            "--device", metavar="DEVICE", default=default, show_default=True,
            help="Where to run: auto, cpu, cuda, cuda:1; if the runtime has it openvino, directml, coreml, tensorrt.",
        )  # fmt: skip
        told = click.option(
            "--provider-option", "provider_options", multiple=True, metavar="KEY=VALUE",
            help="Tell the device's execution provider this, such as use_tf32=0; repeatable.",
        )  # fmt: skip
        return where(told(run))

    return add
