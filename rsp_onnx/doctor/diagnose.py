"""All that is found out about this machine, and the sentences that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rsp_onnx.extras import EXTRAS, PURPOSES
from rsp_onnx.version import __version__

from . import machine
from .packages import NAME, Wanted, requirements, tried


def diagnose() -> dict[str, Any]:
    """Find out what this machine can do. Nothing is written; what may end a process is tried in one of its own.

    Returns
    -------
    dict
        JSON-ready: ``can_explain``; ``version``, ``python``, ``system``, ``machine``; ``runtime`` (see ``runtime``),
        ``threads``, ``cache``; ``packages`` (``name``, ``asked``, ``version`` or None, ``for``, ``error``); ``extras``
        (``extra``, ``for``, ``packages``, ``missing``, ``install``); ``problems``, a sentence each with what to do.
    """
    runtime, wanted = machine.runtime(), requirements()
    always = [tried(one) for one in (wanted or {}).get("", [])]
    extras = [_extra(name, packages) for name, packages in (wanted or {}).items() if name]
    found = {"runtime": runtime, "threads": machine.threads(), "cache": machine.cache()}
    problems = [*_of_runtime(runtime), *_of_packages(wanted is not None, always), *_of_cache(found["cache"])]
    on_cpu = any(one["works"] for one in runtime["providers"] if one["name"] == machine.CPU)
    return {
        "can_explain": on_cpu and all(one.works for one in always if one.is_essential), "version": __version__,
        **machine.system(), **found, "packages": [one.as_json() for one in always], "extras": extras,
        "problems": problems,
    }  # fmt: skip


def _extra(name: str, packages: Sequence[Wanted]) -> dict[str, Any]:
    missing = [one.name for one in packages if one.version is None]
    install = f'pip install "{NAME}[{name}]"' if missing else ""
    return {"extra": name, "for": EXTRAS[name], "packages": [one.as_json() for one in packages], "missing": missing,
            "install": install}  # fmt: skip


def _of_runtime(runtime: Mapping[str, Any]) -> Iterator[str]:
    packages = list(runtime["packages"])
    if len(packages) > 1:
        yield (
            f"{' and '.join(packages)} are both installed and overwrite each other's files: uninstall both, then "
            "install one."
        )
    if runtime["error"] is not None:
        what = f"Reinstall {packages[0]}" if packages else "Install onnxruntime (or onnxruntime-gpu)"
        yield f"ONNX Runtime cannot be imported ({runtime['error']}). {what} with pip: nothing is explained without it."
        return
    for one in runtime["providers"]:
        if one["name"] == machine.CPU and not one["works"]:
            yield f"ONNX Runtime does not compute on the processor ({one['why']}): reinstall it with pip."
        elif one["name"] == machine.CUDA and not one["works"]:
            yield f"The GPU is not used ({one['why']}). {_how_to_use_it(runtime['cuda'])}"


def _how_to_use_it(cuda: Mapping[str, Any]) -> str:
    built, cudnn = cuda["built_for"], cuda["cudnn"]
    driver = "an NVIDIA driver, CUDA" + (f" {built}" if built else "")
    lacks = "cuDNN, which is not found here" if cudnn is None else f"cuDNN, which is here ({cudnn})"
    return (
        f'It takes {driver} and {lacks}: pip install "onnxruntime-gpu[cuda,cudnn]" brings the libraries. Without a GPU '
        "there is nothing to do."
    )


def _of_packages(is_installed: bool, always: Sequence[Wanted]) -> Iterator[str]:
    if not is_installed:
        yield f"{NAME} itself is not installed here, so that what it asks for is not known: pip install {NAME}."
    for one in always:
        use = PURPOSES.get(one.name, "what rsp-onnx asks for")
        if one.version is None:
            yield f'{one.name} is missing ({use}): pip install "{one.asked}".'
        elif one.error:
            again = f'pip install --force-reinstall "{one.asked}"'
            yield f"{one.name} {one.version} ({use}) cannot be imported ({one.error}): {again}."


def _of_cache(cache: Mapping[str, Any]) -> Iterator[str]:
    if cache["error"]:
        what = f"The cache {cache['folder']}: {cache['error']}" if cache["folder"] else str(cache["error"])
        yield f"{what.rstrip('.')}; see docs/cache.md."
