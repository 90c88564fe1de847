"""Every rule, over the attributes that matter: the adjoint of its op, relevance kept, samples and targets apart.

The rows are in tests/grid/. Tolerances: the adjoint 1e-9 of the norms in float64, conservation 1e-9 of the sum (the
1e-9 of the z-rule cancels), batch against single 1e-12; float32 in ONNX Runtime against float64 1e-5 of the maximum.
"""

import numpy as np
import onnxruntime as ort
import pytest

from rsp_onnx import registry
from rsp_onnx.testing import (
    check_adjoint,
    check_batch,
    check_conservation,
    rule_model,
    runner,
    sample_inputs,
    vjp_model,
)

from .grid import ROWS


def _has(table, row):
    return all(table[op] is not None for op in _ops(row))


def _ops(row):
    nodes = row.model(np.float32 if row.rounds else np.float64).graph.node
    return {f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in nodes if n.op_type not in PLUMBING}


PLUMBING = {"Constant", "Shape", "ConstantOfShape"}
SMOOTH = [row for row in ROWS if not row.rounds]
WITH_RULE = [r for r in SMOOTH if not {"Softmax", "LogSoftmax"} & _ops(r)]


def rows(chosen):
    return pytest.mark.parametrize("row", chosen, ids=str)


@rows(SMOOTH)
def test_the_gradient_is_the_adjoint(row):
    model = row.model()
    check_adjoint(model, sample_inputs(model, low=row.span[0], high=row.span[1]))


@rows(WITH_RULE)
def test_relevance_is_kept(row):
    if row.absorbs:
        with pytest.raises(AssertionError, match="Σ relevance"):
            check_conservation(row.model())
    else:
        check_conservation(row.model())


@rows([r for r in SMOOTH if not r.mixes])
def test_samples_and_targets_do_not_mix(row):
    model = row.model()
    check_batch(model, sample_inputs(model, samples=3, low=row.span[0], high=row.span[1]))


@rows([r for r in ROWS if r.rounds])
def test_the_gradient_passes_straight_through_rounding(row):
    model = row.model(np.float32)
    x = sample_inputs(model)
    g = np.random.default_rng(0).normal(size=(2, *x["x"].shape)).astype(np.float32)
    for compiled in (vjp_model(model), rule_model(model)):
        (back,) = runner(compiled)({**x, "g": g}).values()
        np.testing.assert_array_equal(back, g)
