"""Where a compiled file may not give the map that ONNX Runtime gives: said in the file, and when it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import onnx_ir as ir
import onnxruntime as ort

from rsp_onnx.compiler.analysis import Analysis
from rsp_onnx.compiler.second_forward import rounds
from rsp_onnx.graph.op_facts import STANDARD


def note_promise(analysis: Analysis, compiled: ir.Model) -> tuple[str, ...]:
    """Write into a compiled file's metadata what it was made for, and return where the promise is not known to hold.

    ``rsp_onnx.made_for`` is JSON: ``onnxruntime`` (the version it was compiled beside), ``opset``, ``domains`` (whose
    ops only some runtimes have) and ``reservations`` (what is returned).
    """
    opset, domains = compiled.graph.opset_imports[""], sorted(_domains(compiled))
    found = tuple(_reservations(analysis, domains))
    told = {"onnxruntime": ort.__version__, "opset": opset, "domains": domains, "reservations": found}
    compiled.metadata_props["rsp_onnx.made_for"] = json.dumps(told)
    return found


def _domains(model: ir.Model) -> set[str]:
    return {node.domain for node in model.graph.all_nodes() if node.domain not in STANDARD}


def _reservations(analysis: Analysis, domains: list[str]) -> Iterator[str]:
    if domains:
        yield f"runtimes other than ONNX Runtime may lack the ops of {', '.join(domains)}, which the model has"
    if rounds(analysis.graph):
        yield (
            "the model computes with less than single precision, and runtimes other than ONNX Runtime round it "
            "otherwise: scores and maps may differ there (docs/runtimes.md)"
        )
