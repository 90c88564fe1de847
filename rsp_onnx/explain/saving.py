"""Writing compiled models and activations, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.errors import BadInput, BadOutput
from rsp_onnx.files import save_bytes, save_npz
from rsp_onnx.inputs.tensors import Picture
from rsp_onnx.model.activations import collect_activations
from rsp_onnx.model.load import ModelSource
from rsp_onnx.model.weights import is_large
from rsp_onnx.rulekit.context import Options
from rsp_onnx.scores.reading import ScoreOptions

from .compile import compile_ir, needs_of
from .explainer import Explainer
from .promise import note_promise


def save_explainer(
    model: ModelSource, path: str | Path, method: str = "rsp", *, output: str | None = None,
    section: str | None = None, tensors: Sequence[str] = (),
    input_shapes: Mapping[str, Sequence[int | None]] | None = None, region: str = "auto",
    class_axis: int | None = None, class_rows: str = "", options: Options | None = None,
    batch: int | None = None, targets: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compile an explainer and write it as an .onnx file (above 1 GiB of weights with a .data file beside it).

    Parameters are those of ``compile_explainer``.

    Returns
    -------
    dict
        ``path``, ``inputs``, ``outputs``, ``section``, ``bytes``, ``warnings`` (inputs left out, what
        was guessed, in which runtimes the maps are not known to be the same).

    Raises
    ------
    BadInput
        The file name does not end in .onnx, or the model takes another number of samples than ``batch``.
    BadOutput
        The file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".onnx":
        raise BadInput(f"{path}: a compiled explainer is an .onnx file; give a name that ends in .onnx.")
    analysis = analyse(
        model, scores=ScoreOptions(output, region, class_axis, class_rows), section=section, input_shapes=input_shapes,
        needs=needs_of(method), batch=batch, targets=targets,
    )  # fmt: skip
    compiled = compile_ir(analysis, method, tensors=tensors, options=options)
    reservations = note_promise(analysis, compiled)
    if is_large(compiled):
        _save_large(compiled, target)
    else:
        save_bytes(target, ir.to_proto(compiled).SerializeToString())
    return {
        "path": str(target),
        "inputs": [str(v.name) for v in compiled.graph.inputs],
        "outputs": [str(v.name) for v in compiled.graph.outputs],
        "section": analysis.section.name,
        "bytes": target.stat().st_size,
        "warnings": [*analysis.warnings, *reservations],
    }


def _save_large(model: ir.Model, target: Path) -> None:
    """Write beside the target first, then rename: the data file before the model that points to it."""
    data = f"{target.name}.data"
    try:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=".rsp-onnx-"))
    except OSError as error:
        raise BadOutput(f"{target} cannot be written: {error.strerror or error}.") from error
    try:
        ir.save(model, folder / target.name, external_data=data)
        os.replace(folder / data, target.parent / data)
        os.replace(folder / target.name, target)
    except OSError as error:
        raise BadOutput(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save_activations(explainer: Explainer, image: Picture, names: Sequence[str], path: str | Path) -> dict[str, Any]:
    """Write intermediate tensors of one image to a .npz file, one array per tensor name.

    Returns
    -------
    dict
        Shape and dtype by tensor name.

    Raises
    ------
    BadInput
        A tensor does not exist, or the file name does not end in .npz.
    """
    if Path(path).suffix.lower() != ".npz":
        raise BadInput(f"{path}: activations are saved as .npz; give a name that ends in .npz.")
    arrays = collect_activations(explainer.model, explainer.feeds(image), names, device=explainer.device)
    save_npz(path, **arrays)
    return {name: {"shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()}
