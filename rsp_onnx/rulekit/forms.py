"""The names of the forms of the conv rule, so that users may ask for one; and a trial of ops a form needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import RspError
from rsp_onnx.graph.rule_modules import load_all_rules
from rsp_onnx.model.session import Session

_FORMS: list[str] = []


def form_of_conv_rule(name: str) -> None:
    """Say the name of a form in which the conv rule can be computed (rsp.md §6)."""
    if name not in _FORMS:
        _FORMS.append(name)


def forms_of_conv_rule() -> list[str]:
    """Return the names of the forms, see ``Options.form``."""
    load_all_rules()
    return sorted(_FORMS)


def try_once(graph: ir.Graph, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """Run a little graph on the CPU of this machine; None where this ONNX Runtime cannot."""
    try:
        return list(Session(ir.Model(graph, ir_version=9), "cpu", 1).run(feeds).values())
    except RspError:
        return None
