"""Export the networks of zoo_torch.py with both of torch's exporters.

python benchmarks/battery/export_torch.py FOLDER --half small
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import onnx
import torch
import zoo_torch
from plan_torch import MORE, SMALL, usual
from shelf import Shelf, shelf_of
from torch import nn


def main() -> int:
    """Export everything of the half that was asked for."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # both exporters announce each other's deprecation, and tracing warns
    shelf = shelf_of(__doc__)
    for name, entry in zoo_torch.names().items():
        for spec in (usual(name), *MORE.get(name, ())):
            _put(shelf, name, entry.kind, spec)
    return shelf.close()


def _put(shelf: Shelf, name: str, kind: str, spec: str) -> None:
    small = spec in SMALL.get(name, ())
    shelf.put(f"{name}__{spec}", kind, lambda path: export(name, spec, path), small=small)


def export(name: str, spec: str, path: Path) -> None:
    """Write one network as ``spec`` says: exporter-opset[-flag...].

    Parameters
    ----------
    spec : str
        ``ts`` (TorchScript) or ``dynamo``, ``op<number>``, then any of ``eager`` (attention spelt out), ``dynamic``
        (the batch is free), ``fp16``, ``external`` (weights in a file of their own), ``nofold`` (nothing folded),
        ``train`` (in training mode's spelling).
    """
    exporter, opset, *flags = spec.split("-")
    module, inputs = zoo_torch.build(name, "eager" if "eager" in flags else "sdpa")
    if "dynamic" in flags:
        inputs = tuple(x.repeat(2, *[1] * (x.dim() - 1)) for x in inputs)
    if "fp16" in flags:
        module, inputs = module.half(), tuple(x.half() if x.is_floating_point() else x for x in inputs)
    if framework_of(name) == "timm" and ("eager" in flags or int(opset[2:]) < 14):
        _spell_attention_out(module)
    write = {"ts": _torchscript, "dynamo": _dynamo}[exporter]
    write(module, inputs, path, int(opset[2:]), flags)
    if "external" in flags:
        onnx.save(onnx.load(path), path, save_as_external_data=True, location=f"{path.stem}.data", size_threshold=0)


def framework_of(name: str) -> str:
    """Return what stands before the first double underscore."""
    return name.split("__")[0]


def _spell_attention_out(module: nn.Module) -> None:
    for part in module.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = False


def _input_names(inputs: tuple[torch.Tensor, ...]) -> list[str]:
    if inputs[0].dtype == torch.int64:
        return ["input_ids", "attention_mask"][: len(inputs)]
    return ["x", "row"][: len(inputs)]


def _torchscript(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, opset: int, flags: list[str]) -> None:
    names = _input_names(inputs)
    mode = torch.onnx.TrainingMode
    torch.onnx.export(
        module,
        inputs,
        str(path),
        input_names=names,
        output_names=["y"],
        opset_version=opset,
        dynamic_axes={name: {0: "N"} for name in (*names, "y")} if "dynamic" in flags else None,
        do_constant_folding="nofold" not in flags,
        training=mode.PRESERVE if "nofold" in flags else mode.EVAL,
        dynamo=False,
    )


def _dynamo(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, opset: int, flags: list[str]) -> None:
    free = tuple({0: torch.export.Dim("N")} for _ in inputs)
    program = torch.onnx.export(
        module,
        inputs,
        input_names=_input_names(inputs),
        output_names=["y"],
        opset_version=opset,
        dynamic_shapes=_as_arguments(module, free) if "dynamic" in flags else None,
        optimize="nofold" not in flags,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


def _as_arguments(module: nn.Module, free: tuple[dict[int, object], ...]) -> tuple[object, ...]:
    """Wrap the shapes as the module's forward takes its tensors: one by one, or all as ``*tensors``."""
    return (free,) if hasattr(module, "names") else free


if __name__ == "__main__":
    sys.exit(main())
