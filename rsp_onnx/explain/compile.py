"""From a model file to a compiled explainer: analyse, check the rules, emit, describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import onnx
import onnx_ir as ir

from rsp_onnx.attribution.catalogue import load_method
from rsp_onnx.compiler.analysis import Analysis, Needs, analyse
from rsp_onnx.compiler.compile_loop import compile_repeated
from rsp_onnx.compiler.interface import (
    add_evidence,
    add_ledger,
    add_outputs,
    check_names,
    checked,
    describe,
    drop_unread_classes,
    emit_walk,
)
from rsp_onnx.compiler.second_forward import give_own_forward, rounds
from rsp_onnx.devices.device import resolve_device
from rsp_onnx.loops.each_target import loop_over_targets
from rsp_onnx.model.load import Model, ModelSource
from rsp_onnx.rulekit.context import Options
from rsp_onnx.scores.reading import ScoreOptions
from rsp_onnx.simplify.apart import keep_weights_apart
from rsp_onnx.simplify.lower import lower_opset
from rsp_onnx.simplify.padding import pad_in_convolutions
from rsp_onnx.simplify.simplify import simplify


def compile_explainer(
    model: ModelSource | Model | Analysis, method: str = "rsp", *, output: str | None = None,
    section: str | None = None, tensors: Sequence[str] = (), inputs: Sequence[str] | None = None,
    input_shapes: Mapping[str, Sequence[int | None]] | None = None, region: str = "auto",
    class_axis: int | None = None, class_rows: str = "", purge: bool = False, split: float = 2.0,
    signed_inputs: str = "clamp", form: str = "auto", ledger: bool = False,
    batch: int | None = None, targets: int | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """Compile a classifier into one ONNX model that returns its scores and their relevance.

    The result's inputs are the model's own, ``target`` (int64 [K, N], class indices; −1 for the class with the highest
    score) and, where the method knows rivals, ``hostile`` (int64 [K, N, H], −1 for none; H may be 0). Its outputs are
    the model's own and ``relevance`` (float32 [K, N, *input shape]; ``relevance/<input>`` where several inputs are
    explained). K and H are free, N where the model leaves it free.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    method : str
        One of ``methods()``: ``rsp``, ``gradient``, ``grad-cam``, ..., with parameters as ``lrp-gamma:gamma=0.5``.
    output : str, optional
        The tensor to explain, any of the graph; default: the first output that holds scores of classes.
    section : str, optional
        The tensor where head and features meet; default: analysis (RSP §1).
    tensors : sequence of str
        Tensors whose relevance is wanted too, as outputs ``relevance/<tensor>``.
    inputs : sequence of str, optional
        Inputs to explain; default: all that carry numbers.
    input_shapes : mapping, optional
        Sizes for the dimensions the model leaves free, by input name; None keeps the batch free.
    region, class_axis, class_rows
        How scores of other shapes than [N, classes] are read, see ``Explainer``.
    purge, split, signed_inputs
        Parameters of RSP, see ``Options``.
    form : str
        ``auto``, ``unfold`` or ``gram``: how the conv rule is computed. All give the same relevance.
    batch, targets : int, optional
        Make the file for so many samples and classes; None leaves N (where the model does) and K free. A file for one
        of each is the fastest, because relevance may then be the weight of a convolution.
    ledger : bool
        Add the outputs ``ledger`` (float32 [L, K, N]: the relevance sum of each tensor on the way, named in the
        metadata), ``balance`` (float32 [1+L', K, N], method ``rsp``: Σ|R₀|, and what each node made or lost, named in
        the metadata) and ``evidence`` (float32 [K, N, 1+H]: how strongly the section speaks for each class); of a black
        box ``answer_range`` (float32 [K, N, 3]: the score of the unchanged input, the smallest and the largest of a
        changed one).

    Returns
    -------
    onnx.ModelProto
        Runs with ``onnxruntime`` alone. Metadata: ``rsp_onnx.version``, ``.method``, ``.parameters``, ``.section``,
        ``.source_sha256``, ``.batch`` and ``.targets`` (``null`` where they are free).

    Raises
    ------
    BadModel, UnsupportedOp, BadInput
        The model cannot be read or explained, a name does not exist, or the model takes another batch.

    References
    ----------
    Nam, Choi, Lee: Interpreting Deep Neural Networks with Relative Sectional Propagation, AAAI 2021.
    """
    if not isinstance(model, Analysis):
        model = analyse(
            model, scores=ScoreOptions(output, region, class_axis, class_rows), section=section, inputs=inputs,
            input_shapes=input_shapes, needs=needs_of(method), batch=batch, targets=targets,
        )  # fmt: skip
    options = Options(purge, split, signed_inputs, form)
    return ir.to_proto(compile_ir(model, method, tensors=tensors, options=options, ledger=ledger))


def needs_of(method: str) -> Needs:
    """Return what a method asks of an analysis."""
    found = load_method(method)
    return Needs(found.is_black_box, found.repetition is not None)


def runs_one_by_one(analysis: Analysis, method: str, device: str) -> bool:
    """Tell whether an explainer runs fastest for one sample and one class at a time.

    On the CPU it does, where the model takes one sample: a batch of eight takes eight times as long as one in either
    form, several classes share the forward pass in both, and rules that know of one class are faster. What it costs:
    several gradients at once take up to a third longer (they are sums over the classes), and a batch of a table with a
    few columns twice as long; a second session for these would take half a second and the weights' memory again. A
    method that asks the model many times shares the answers among the classes.
    """
    return resolve_device(device).on_cpu and analysis.graph.batch in (None, 1) and keeps_ledger(method)


def keeps_ledger(method: str) -> bool:
    """Tell whether a method's file has a ledger to ask for: not where it asks the model many times."""
    return not needs_of(method).numbers_only


def compile_ir(
    analysis: Analysis, method: str = "rsp", *, tensors: Sequence[str] = (), options: Options | None = None,
    ledger: bool = False, evidence: bool = False, one_by_one: bool = False,
    several: bool = True,
) -> ir.Model:  # fmt: skip
    """Do what ``compile_explainer`` does, keeping the model in memory whatever its size.

    evidence: add the outputs ``evidence`` and ``answer_range`` though there is no ledger. one_by_one: make the file for
    one sample and one class at a time: in a Loop over several, else for one class.
    """
    options = checked(options or Options())
    chosen = load_method(method)
    check_names(analysis)
    kept = {analysis.section.value, analysis.logits}
    joined = pad_in_convolutions(analysis.graph, kept)
    changes = () if tensors or ledger else (joined,)  # where tensors are asked about, all of the model's are there
    analysis = analysis.for_one(*changes) if one_by_one else analysis.copied(*changes)
    own = len(analysis.graph.model.graph.outputs)
    parameters = {**asdict(options), **chosen.parameters}
    del parameters["in_process"]  # says where it runs, not what it computes
    notes: dict[str, object] = {"method": method, "parameters": parameters, "section": analysis.section.name}
    notes |= {"batch": analysis.graph.batch, "targets": None if one_by_one and several else analysis.targets}
    if chosen.repetition is not None:
        model = compile_repeated(analysis, chosen, chosen.repetition, options, notes, tensors, ledger or evidence)
        return _for_deployment(model, options)
    ctx, outcome = emit_walk(analysis, chosen, options)
    add_outputs(ctx, analysis, outcome, tensors)
    if ledger:
        notes |= add_ledger(ctx, outcome, analysis.section.value if chosen.conserves else None)
    if ledger or evidence:
        add_evidence(ctx, outcome)
    describe(analysis, analysis.graph.model, notes)
    simplify(analysis.graph.model, analysis.graph.nodes)
    if rounds(analysis.graph):
        give_own_forward(ctx, analysis.deployed.clone())
    if one_by_one and several:
        loop_over_targets(analysis.graph.model, own, ctx.op.dtype)
    return _for_deployment(analysis.graph.model, options)


def _for_deployment(model: ir.Model, options: Options) -> ir.Model:
    """Say what other runtimes bear, in place: an opset that they know; where they may read it, weights kept apart.

    A class that is not read (a method may know no rivals) is no input: runtimes differ in whether they keep those.
    """
    lower_opset(model)
    drop_unread_classes(model)
    if not options.in_process:
        keep_weights_apart(model)
    return model
