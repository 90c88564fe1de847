"""``rsp-onnx doctor``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from ... import options as shared
from ...printing import print_json

_LABEL = 12  # columns


@click.command(short_help="Show what this machine can do, and what is missing.")
@shared.json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Show what this machine can do: the runtime, which providers really run a Conv, cuDNN, threads, cache, libraries.

    Ends with 0 where it can explain, and with 1 where it cannot; what is missing is said with what to do about it.

    \b
    Examples:
      rsp-onnx doctor
      rsp-onnx doctor --json
    """
    from rsp_onnx import diagnose

    report = diagnose()
    print_json(report) if as_json else click.echo(_page(report))
    ctx.exit(0 if report["can_explain"] else 1)


def _page(report: Mapping[str, Any]) -> str:
    """Return what ``diagnose`` found as lines."""
    head = f"rsp-onnx {report['version']}, Python {report['python']}, {report['system']} ({report['machine']})"
    verdict = "This machine can explain." if report["can_explain"] else "This machine cannot explain."
    rows = [*_runtime(report["runtime"]), ("threads", _threads(report["threads"])), ("cache", _cache(report["cache"]))]
    rows += [("packages", ", ".join(_package(one) for one in report["packages"]) or "not known")]
    rows += [(f"[{one['extra']}]", _extra(one)) for one in report["extras"]]
    lines = [head, verdict, "", *(f"{name.ljust(_LABEL)}{text}".rstrip() for name, text in rows)]
    return "\n".join([*lines, "", *_problems(report["problems"])]).rstrip()


def _runtime(runtime: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    packages = ", ".join(f"{name} {version}" for name, version in runtime["packages"].items()) or "no package of it"
    if runtime["error"] is not None:
        yield "runtime", f"{packages}: cannot be imported ({runtime['error']})"
        return
    yield "runtime", f"ONNX Runtime {runtime['version']} ({packages})"
    for number, one in enumerate(runtime["providers"]):
        does = "runs Conv and MaxPool" if one["works"] else f"does not work: {one['why']}"
        yield "" if number else "providers", f"{one['name']}: {does}"
    cuda = runtime["cuda"]
    if cuda is not None:
        built = f", of a runtime built for CUDA {cuda['built_for']}" if cuda["built_for"] else ""
        yield "cuDNN", f"{cuda['cudnn'] or 'not found'}{built}"


def _threads(threads: Mapping[str, int]) -> str:
    return f"{threads['usable']} of {threads['cores']} cores"


def _cache(cache: Mapping[str, Any]) -> str:
    if cache["error"]:
        return str(cache["error"])
    if cache["folder"] is None:
        return "off"
    return f"{cache['folder']}, {cache['bytes'] / 2**20:.0f} of at most {cache['limit'] / 2**20:.0f} MiB"


def _package(one: Mapping[str, Any]) -> str:
    return f"{one['name']} {one['version'] or 'missing'}{' (broken)' if one['error'] else ''}"


def _extra(one: Mapping[str, Any]) -> str:
    if not one["missing"]:
        return f"complete: {one['for']}"
    uses = {package["name"]: package["for"] for package in one["packages"]}
    lacks = ", ".join(f"{name} ({uses[name]})" for name in one["missing"])
    return f"for {one['for']}; missing: {lacks}; {one['install']}"


def _problems(problems: Sequence[str]) -> list[str]:
    return ["To know:", *(f"- {sentence}" for sentence in problems)] if problems else ["Nothing is in the way."]
