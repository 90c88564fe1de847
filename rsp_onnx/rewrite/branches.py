"""If written out: the branch that is taken, or where the input decides both, and a choice at run time.

The branch that is not taken reads zeros instead of what it captures. What it computes is not used, and the choice at
its door also keeps what it sends back, NaN perhaps, from the relevance of what it would have read.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rsp_onnx.errors import BadModel, CannotExpandError
from rsp_onnx.graph.bodies import captured_by, close, output_shapes, replace_inside
from rsp_onnx.graph.emit import Emitter

from .registry import Writing, expands

_SAMPLES = (2, 3)  # sizes of a free batch that the branches are tried on
_CHOSEN = {ir.DataType[t] for t in ("FLOAT", "DOUBLE", "FLOAT16", "INT8", "UINT8", "INT32", "INT64", "STRING")}
_ADVICE = "choose a section behind it with --section, or export the model with one of them"


@expands("If", how="replaced by the branch taken; where the input decides, by both branches and a choice at run time")
def take_branch(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Put the branch that is taken in the place of an If, or both where the input decides."""
    taken = expansion.constant(node.inputs[0])
    if taken is None:
        return join_branches(expansion, node)
    branch = node.attributes["then_branch" if taken.reshape(-1)[0] else "else_branch"].as_graph()
    return expansion.inline(branch, [], str(node.name))


def join_branches(expansion: Writing, node: ir.Node) -> Sequence[ir.Value]:
    """Write both branches of an If out and choose between their outputs; CannotExpandError where they do not allow it.

    They must give tensors of the same shapes, and be computable on every input.
    """
    condition = node.inputs[0]
    assert condition is not None
    sides = {name: node.attributes[f"{name}_branch"].as_graph() for name in ("then", "else")}
    _check(expansion, node, sides)
    op = expansion.emitter(None)
    yes = op.Reshape(condition, [])
    results = []
    for name, body in sides.items():
        taken = yes if name == "then" else op.Not(yes)
        results.append(expansion.inline(_guarded(expansion, body, taken), [], f"{node.name}/{name}"))
    return [_choice(op, yes, *pair) for pair in zip(*results, strict=True)]


def _guarded(expansion: Writing, body: ir.Graph, taken: ir.Value) -> ir.Graph:
    """Return a copy of a branch that reads zeros for the numbers it captures where it is not taken."""
    copy = body.clone(allow_outer_scope_values=True)
    instead = {}
    for value in dict.fromkeys(captured_by(body)):
        if value.dtype is not None and value.dtype.is_floating_point() and expansion.constant(value) is None:
            instead[value] = expansion.emitter(value).Where(taken, value, 0.0)
            instead[value].dtype, instead[value].shape = value.dtype, value.shape
    replace_inside(copy, instead)
    return copy


def _choice(op: Emitter, yes: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
    kind = first.dtype
    if kind is None or kind in _CHOSEN:
        return op.Where(yes, first, second)
    wide = (op.Cast(v, to=int(ir.DataType.INT64)) for v in (first, second))  # the runtime chooses no truth values
    return op.Cast(op.Where(yes, *wide), to=int(kind))


def _check(expansion: Writing, node: ir.Node, sides: dict[str, ir.Graph]) -> None:
    """Raise CannotExpandError where a branch cannot be computed on every input, or gives other shapes."""
    where = f"its condition {node.inputs[0].name!r} is computed from the input" if node.inputs[0] else ""
    shapes = {name: _shapes(expansion, body, where, name) for name, body in sides.items()}
    for mine, other in zip(*shapes.values(), strict=True):
        for a, b in zip(mine, other, strict=True):
            if a != b:
                raise CannotExpandError(f"{where}, and its branches give different shapes, {a} and {b}; {_ADVICE}")


def _shapes(expansion: Writing, body: ir.Graph, where: str, name: str) -> list[list[tuple[int, ...]]]:
    closed = close(body, expansion.opsets, expansion)
    for value in closed.captured:
        if value.shape is None or value.dtype is None:
            raise CannotExpandError(
                f"{where}, and the shape of {value.name!r}, which its {name} branch reads, is not known"
            )
    try:
        return [output_shapes(closed, samples) for samples in _SAMPLES]
    except BadModel as error:
        raise CannotExpandError(f"{where}, and its {name} branch cannot be computed on every input: {error}") from error
