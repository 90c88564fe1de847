"""The methods by name, with their parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rsp_onnx.compiler.method import Method
from rsp_onnx.errors import BadInput
from rsp_onnx.parameters import numbers, parse_spec

from .cams import CAM_METHODS
from .equilibrium import EQUILIBRIUM_METHODS
from .excitation import EXCITATION_METHODS
from .full_grad import FULL_GRAD_METHODS
from .gradients import GRADIENT_METHODS
from .lrp import LRP_METHODS
from .perturbations import REPEATED_METHODS
from .rap import RAP_METHODS
from .rollout import ROLLOUT_METHODS
from .rsp import RSP_METHODS

METHODS = {
    m.name: m
    for m in (
        *RSP_METHODS,
        *GRADIENT_METHODS,
        *LRP_METHODS,
        *RAP_METHODS,
        *EQUILIBRIUM_METHODS,
        *EXCITATION_METHODS,
        *REPEATED_METHODS,
        *FULL_GRAD_METHODS,
        *CAM_METHODS,
        *ROLLOUT_METHODS,
    )
}  # fmt: skip


def find_method(spec: str) -> Method:
    """Return a method by name, with parameters where they are given as ``name:parameter=value``.

    Raises
    ------
    BadInput
        There is no such method or parameter; the message lists those that there are.
    """
    name, given = parse_spec(spec)
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    found = METHODS[name]
    return replace(found, parameters=numbers(spec, given, found.parameters))


def methods() -> list[dict[str, Any]]:
    """Return the methods: one record of name, title, paper, parameters (with their defaults) and so on each.

    ``compares``: the method takes hostile classes; ``note``: what should be said of it beside its title.
    """
    return [
        {
            "name": m.name, "title": m.title, "paper": m.paper, "parameters": dict(m.parameters),
            "compares": m.compares, "note": m.note,
        }
        for m in METHODS.values()
    ]  # fmt: skip
