"""What a method is: how relevance starts, and which table the walk looks into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from rsp_onnx.repetition.asked import Repetition
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.registry import find_vjp

from .section import Section
from .start import Classes
from .walk import Flow, Lookup, head_nodes, walk


@dataclass(frozen=True)
class Plan:
    """What a method works on: the section, the logits, the classes asked for, the method's own parameters."""

    section: Section
    logits: ir.Value
    classes: Classes
    front: ir.Value
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a method emitted: relevance by tensor, and how strongly the section speaks for each class."""

    flow: Flow
    evidence: ir.Value | None = None


@dataclass(frozen=True)
class Method:
    """How a named method is emitted; what its users see of it stands in the catalogue, which fills in the last two.

    Attributes
    ----------
    features, head : callable
        Which rule for which node, on either side of the section.
    emit : callable
        Writes the backward pass.
    walks_features : bool
        It walks on from the section to the inputs, so that the features' ops need rules too.
    repetition : Repetition, optional
        How it asks the model about changed inputs; ``emit`` is the backward pass of one of them.
    conserves : bool
        Its rules keep the sum of relevance, so that what a node loses means something.
    parameters : mapping
        The method's own, by name.
    """

    name: str
    features: Lookup
    head: Lookup
    emit: Callable[[Context, Plan], Outcome]
    walks_features: bool = True
    repetition: Repetition | None = None
    conserves: bool = False
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_black_box(self) -> bool:
        """Whether it looks at scores alone, so that no op needs a rule."""
        return self.repetition is not None and self.repetition.black_box


def to_section(ctx: Context, plan: Plan, cotangents: ir.Value, gradients: Lookup = find_vjp) -> ir.Value:
    """Walk cotangents of y to the section; their leading axis is their own."""
    if plan.section.value is plan.logits:
        return cotangents
    front = ctx.op.Shape(cotangents, start=0, end=1)
    head = ctx.with_front(front)
    nodes = head_nodes(ctx.graph, plan.section.value, plan.logits)
    return walk(head, {plan.logits: cotangents}, nodes, gradients).at[plan.section.value]
