"""Which nodes of a model ONNX Runtime's CUDA provider would leave to the CPU: told from its table of kernels, no GPU.

``data/cuda_kernels.json`` is what onnxruntime-gpu 1.31 registers: by "domain|op" the kernels, each the first and the
last version of the op it serves (null: no last one) and the dtypes it takes by type parameter;
``data/cpu_kernels.json`` has the CPU's in the same form, without dtypes.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx
import onnx.defs
import onnx_ir as ir

DATA = Path(__file__).parent / "data"
WHOLE = {"int64", "int32", "bool"}  # nodes of these alone compute sizes and indices: the runtime keeps them on the CPU
SAME = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Left:
    """A node that is left to the CPU."""

    op: str
    version: int
    name: str
    dtypes: tuple[str, ...]
    why: str


@cache
def kernels(provider):
    return json.loads((DATA / f"{provider}_kernels.json").read_text(encoding="utf-8"))


def left_to_the_cpu(proto):
    """Return the nodes without a CUDA kernel that touch a float."""
    model = ir.from_proto(proto)
    imports = dict(model.graph.opset_imports)
    found = (_look(node, imports) for node in model.graph.all_nodes())
    return [left for left in found if left is not None]


def _look(node, imports):
    domain = "" if node.domain == "ai.onnx" else node.domain
    dtypes = tuple("?" if v.dtype is None else v.dtype.name.lower() for v in node.inputs if v is not None)
    if node.op_type == "Constant" or (dtypes and set(dtypes) <= WHOLE):
        return None
    schema, rows = _schema(node, domain, imports), kernels("cuda").get(f"{domain}|{node.op_type}", [])
    version = schema.since_version if schema else imports.get(domain, 1)
    if schema is None:
        why = "" if rows else "no kernel"
    elif not any(_serves(row, schema, node) for row in rows):
        why = "no kernel for this version or these dtypes" if rows else "no kernel"
        if _is_written_out(schema, domain, version):
            why = ""
    else:
        why = _refused(node)
    return Left(node.op_type, version, str(node.name), dtypes, why) if why else None


def _schema(node, domain, imports):
    try:
        return onnx.defs.get_schema(node.op_type, imports.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return None


def _covers(first, last, version):
    """A kernel without a last version serves the version it was written for, and no later one."""
    return first == version or (last is not None and first <= version <= last)


def _serves(row, schema, node):
    first, last, allowed = row
    if not _covers(first, last, schema.since_version):
        return False
    for formals, values in ((schema.inputs, node.inputs), (schema.outputs, node.outputs)):
        for index, value in enumerate(values):
            if value is None or value.dtype is None or not formals:
                continue
            parameter = formals[min(index, len(formals) - 1)].type_str
            if parameter in allowed and value.dtype.name.lower() not in allowed[parameter]:
                return False
    return True


def _is_written_out(schema, domain, version):
    """Tell of an op that neither provider has, and that the runtime replaces by the ops it is defined by."""
    rows = kernels("cpu").get(f"{domain}|{schema.name}", [])
    defined = schema.has_function or schema.has_context_dependent_function
    return defined and not any(_covers(first, last, version) for first, last, *_ in rows)


def _refused(node):
    """What the provider turns down although it has a kernel."""
    if node.op_type == "ConvTranspose":
        pads = list(node.attributes.get_ints("pads", []))
        if pads[: len(pads) // 2] != pads[len(pads) // 2 :]:
            return "pads that differ before and behind"
        if node.attributes.get_string("auto_pad", "NOTSET") in SAME:
            return "pads that may differ before and behind"
    unusual = ("clip", "activation_alpha", "activation_beta")
    if node.op_type in ("LSTM", "GRU", "RNN") and any(name in node.attributes for name in unusual):
        return "a clip, or parameters of its activations"
    return ""
