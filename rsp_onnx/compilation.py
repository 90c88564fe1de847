"""From a model file to a compiled explainer: analyse, check the rules, emit, describe."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import onnx
import onnx_ir as ir

from .analysis import Analysis, analyse
from .apart import is_fragile, keep_apart
from .compiler import check_rules, feature_nodes, head_nodes
from .composite import find_method
from .context import Context, Options
from .emit import Emitter
from .errors import BadInput, BadModel, UnsupportedOp
from .expand import needs_expansion, refuse_unexpanded
from .graph import Graph
from .ledger import Ledger
from .method import Method, Outcome, Plan
from .model import Model, ModelSource
from .shapes import UNKNOWN
from .targets import Classes
from .version import __version__
from .views import Views

_OWN = ("target", "hostile", "relevance", "ledger", "balance", "evidence")


def compile_explainer(
    model: ModelSource | Model | Analysis,
    method: str = "rsp",
    *,
    output: str | None = None,
    section: str | None = None,
    tensors: Sequence[str] = (),
    inputs: Sequence[str] | None = None,
    input_shapes: Mapping[str, Sequence[int | None]] | None = None,
    region: str = "auto",
    purge: bool = False,
    split: float = 2.0,
    signed_inputs: str = "clamp",
    form: str = "auto",
    ledger: bool = False,
) -> onnx.ModelProto:
    """Compile a classifier into one ONNX model that returns its scores and their relevance.

    The result's inputs are the model's own, ``target`` (int64 [K, N], class indices) and ``hostile`` (int64 [K, N, H],
    −1 for none; H may be 0). Its outputs are the model's own and ``relevance`` (float32 [K, N, *input shape];
    ``relevance/<input>`` where several inputs are explained). K and H are free, N where the model leaves it free.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    method : str
        One of ``methods()``: ``rsp``, ``gradient``, ``grad-cam``, ..., with parameters as ``lrp-gamma:gamma=0.5``.
    output : str, optional
        The output to explain; default: the first one that depends on the input through numbers.
    section : str, optional
        The tensor where head and features meet; default: found (RSP §1).
    tensors : sequence of str
        Tensors whose relevance is wanted too, as outputs ``relevance/<tensor>``.
    inputs : sequence of str, optional
        Inputs to explain; default: all that carry numbers.
    input_shapes : mapping, optional
        Sizes for the dimensions the model leaves free, by input name; None keeps the batch free.
    region : str
        For models that score every position or box, see ``Explainer``.
    purge, split, signed_inputs
        Parameters of RSP, see ``Options``.
    form : str
        ``auto``, ``unfold`` or ``gram``: how the conv rule is computed. All give the same relevance.
    ledger : bool
        Add the outputs ``ledger`` (float32 [L, K, N]: the relevance sum of each tensor on the way, named in the
        metadata), ``balance`` (float32 [1+L', K, N], method ``rsp``: Σ|R₀|, and what each node made or lost, named in
        the metadata) and ``evidence`` (float32 [K, N, 1+H]: how strongly the section speaks for each class).

    Returns
    -------
    onnx.ModelProto
        Runs with ``onnxruntime`` alone. Metadata: ``rsp_onnx.version``, ``.method``, ``.parameters``,
        ``.section``, ``.source_sha256``.

    Raises
    ------
    BadModel, UnsupportedOp, BadInput
        The model cannot be read or explained, or a name does not exist.

    References
    ----------
    Nam, Choi, Lee: Interpreting Deep Neural Networks with Relative Sectional Propagation, AAAI 2021.
    """
    return ir.to_proto(
        compile_ir(
            model, method, output=output, section=section, tensors=tensors, inputs=inputs, input_shapes=input_shapes,
            region=region, options=Options(purge, split, signed_inputs, form), ledger=ledger,
        )
    )  # fmt: skip


def compile_ir(
    model: ModelSource | Model | Analysis,
    method: str = "rsp",
    *,
    output: str | None = None,
    section: str | None = None,
    tensors: Sequence[str] = (),
    inputs: Sequence[str] | None = None,
    input_shapes: Mapping[str, Sequence[int | None]] | None = None,
    region: str = "auto",
    options: Options | None = None,
    ledger: bool = False,
) -> ir.Model:
    """Do what ``compile_explainer`` does, keeping the model in memory whatever its size."""
    options = _checked(options or Options())
    chosen = find_method(method)
    found = model if isinstance(model, Analysis) else analyse(
        model, output=output, section=section, inputs=inputs, input_shapes=input_shapes, region=region
    )  # fmt: skip
    _check_names(found)
    check_method(found, chosen)
    if (why := found.graph.model.metadata_props.get(UNKNOWN)) is not None:
        raise UnsupportedOp(why)
    ctx, plan = _begin(found, options)
    outcome = chosen.emit(ctx, replace(plan, parameters=chosen.parameters))
    _add_outputs(ctx, found, outcome, tensors)
    parameters = asdict(options) | dict(chosen.parameters)
    notes: dict[str, object] = {"method": method, "parameters": parameters, "section": found.section.name}
    if ledger:
        notes |= _add_ledger(ctx, outcome, found.section.value if chosen.conserves else None)
    _describe(found, notes)
    _restore_shapes(found)
    if is_fragile(ctx) or needs_expansion(found.deployed):
        keep_apart(ctx, found.deployed)
    return found.graph.model


def _restore_shapes(found: Analysis) -> None:
    """Leave the deployed nodes the shapes their file gives, no more.

    ONNX Runtime fuses where it knows shapes to be equal; more fusions than before change the scores' last bits.
    """
    own = {v.name: v.shape for node in found.model.ir.graph for v in node.outputs}
    for value in (v for node in (*found.graph.nodes, *found.deployed.graph) for v in node.outputs):
        shape = own.get(value.name)
        if shape is not None and _agree(shape, value.shape):
            value.shape = shape
        elif not value.is_graph_output():
            value.shape = None


def _agree(one: ir.Shape, other: ir.Shape | None) -> bool:
    if other is None or len(one) != len(other):
        return False
    pairs = zip(one, other, strict=True)
    return all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in pairs)


def check_method(found: Analysis, method: Method) -> None:
    """Raise UnsupportedOp if an op on the way lacks the rule this method needs."""
    graph, section, logits = found.graph, found.section.value, found.logits
    parts = [("gradient, in the head", head_nodes(graph, section, logits), method.head)]
    if method.whole:
        parts.append(("in the features", feature_nodes(graph, section), method.features))
    for _, nodes, _ in parts:
        refuse_unexpanded(nodes)
    check_rules(parts)


def context_for_inspection(found: Analysis, options: Options | None = None) -> Context:
    """Return a context that can answer a rule's questions without any walk."""
    return _begin(found, options or Options())[0]


def _checked(options: Options) -> Options:
    if options.signed_inputs not in ("clamp", "abs"):
        raise BadInput(f"signed_inputs is 'clamp' or 'abs', not {options.signed_inputs!r}.")
    if options.form not in ("auto", "unfold", "gram"):
        raise BadInput(f"form is 'auto', 'unfold' or 'gram', not {options.form!r}.")
    if not (np.isfinite(options.split) and options.split > 0):
        raise BadInput(f"split is a positive number, not {options.split!r}.")
    return options


def _check_names(found: Analysis) -> None:
    graph = found.graph
    if any(v.meta.get("rsp_onnx") for v in graph.model.graph.inputs):
        raise BadModel("This analysis was compiled already; analyse the model again.")
    for name in _OWN:
        if name in graph.values:
            raise BadModel(f"The model has a tensor called {name!r}, which the explainer needs; rename it.")


def _begin(found: Analysis, options: Options) -> tuple[Context, Plan]:
    graph = found.graph
    working = np.float64 if graph.inputs[0].dtype == ir.DataType.DOUBLE else np.float32
    batch: int | str = graph.batch or _symbol(graph)
    target = _input("target", ["K", batch])
    hostile = _input("hostile", ["K", batch, "H"])
    graph.model.graph.inputs.extend([target, hostile])
    op = Emitter(graph.model.graph, np.dtype(working))
    front = op.Shape(target, start=0, end=1)
    ctx = Context(op, graph, Views(op, graph), front, options)
    return ctx, Plan(found.section, found.logits, Classes(target, hostile), front)


def _symbol(graph: Graph) -> str:
    shape = graph.inputs[0].shape
    name = None if shape is None else getattr(shape[0], "value", None)
    return str(name) if name else "N"


def _input(name: str, shape: list[int | str]) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.INT64))
    value.meta["rsp_onnx"] = True
    return value


def _add_outputs(ctx: Context, found: Analysis, outcome: Outcome, tensors: Sequence[str]) -> None:
    graph = found.graph
    several = len(graph.inputs) > 1
    for value in graph.inputs:
        r = outcome.flow.at.get(value)
        if r is None and not any(v in outcome.flow.at for v in graph.inputs):
            raise BadModel(f"No relevance reaches the input {value.name!r}; choose another section with --section.")
        if r is None:  # such as queries that only say where to look
            r = ctx.op.Expand(0.0, ctx.op.Concat(ctx.front, ctx.op.Shape(value), axis=0))
        _add_output(ctx, f"relevance/{value.name}" if several else "relevance", r, value)
    for name in tensors:
        found_value = graph.values.get(name)
        if found_value is None or found_value not in outcome.flow.at:
            reached = [str(v.name) for v in outcome.flow.at]
            why = "there is no such tensor" if found_value is None else "no relevance passes it"
            raise BadInput(f"No relevance at {name!r}: {why}; it is known at {_some(reached)}.")
        if f"relevance/{name}" not in [o.name for o in graph.model.graph.outputs]:
            _add_output(ctx, f"relevance/{name}", outcome.flow.at[found_value], found_value)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:6])
    return f"{shown} and {len(names) - 6} more (see rsp-onnx inspect --json)" if len(names) > 6 else shown


def _add_output(ctx: Context, name: str, r: ir.Value, value: ir.Value) -> None:
    result = ctx.op.emit("Identity", r, name=name)
    result.dtype = ctx.op.type
    own: list[int | str | None] = [d if isinstance(d, int) else getattr(d, "value", None) for d in value.shape or ()]
    result.shape = ir.Shape(["K", *own])
    ctx.graph.model.graph.outputs.append(result)


def _add_ledger(ctx: Context, outcome: Outcome, section: ir.Value | None) -> dict[str, object]:
    """Add the outputs of the ledger; return what their rows are. section: where relevance starts, if it is kept."""
    outputs, ledger = ctx.graph.model.graph.outputs, Ledger(ctx)
    rows, names = ledger.tensors(outcome.flow)
    outputs.append(_typed(ctx, ctx.op.emit("Identity", rows, name="ledger"), [len(names), "K", "N"]))
    notes: dict[str, object] = {"ledger": names}
    if section is not None:
        rows, nodes = ledger.nodes(outcome.flow, section)
        outputs.append(_typed(ctx, ctx.op.emit("Identity", rows, name="balance"), [1 + len(nodes), "K", "N"]))
        notes["balance"] = nodes
    if outcome.evidence is not None:
        outputs.append(_typed(ctx, ctx.op.emit("Identity", outcome.evidence, name="evidence"), ["K", "N", None]))
    return notes


def _typed(ctx: Context, value: ir.Value, shape: list[int | str | None]) -> ir.Value:
    value.dtype, value.shape = ctx.op.type, ir.Shape(shape)
    return value


def _describe(found: Analysis, notes: Mapping[str, object]) -> None:
    import json

    model = found.graph.model
    model.metadata_props.update(copy.copy(found.model.metadata))
    for key, value in {"version": __version__, "source_sha256": found.model.sha256, **notes}.items():
        model.metadata_props[f"rsp_onnx.{key}"] = value if isinstance(value, str) else json.dumps(value)
    model.producer_name, model.producer_version = "rsp-onnx", __version__
