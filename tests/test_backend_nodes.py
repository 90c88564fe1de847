"""Every gradient at ONNX's own node tests: their attributes, shapes and optional inputs, nobody's of this project.

Tolerances, relative to the norms: 1e-10 in float64 as in the rows of tests/grid/, more where a kernel computes with
float32 constants; 1e-3 in float32, where the difference quotient has four digits.
"""

from fnmatch import fnmatch

import numpy as np
import pytest

from rsp_onnx.errors import BadModel
from rsp_onnx.testing.checks import check_adjoint, runner, vjp_model

from .backend_nodes import LEFT_OUT, REFUSED, SINGLE, cases, flowing, left_out, named, need_node_tests, summary

TOLERANCES = {
    "Attention": 1e-7,  # the runtime's scale is float32's
    "DFT": 1e-7,  # the runtime's angles are float32's
    "Gelu": 1e-8,  # its 0.044715
    "HardSwish": 1e-8,  # its sixth
    "Shrink": 1e-4,  # the runtime's is float32 within
    "Resize": 1e-6,  # the reference's cubic weights
}
CONTRIB = "an op of ONNX Runtime; tests/test_fused.py holds it to what it stands for"
INTEGERS = "integers in and out; tests/test_quantised.py holds it to the layer it stands for"
CLASSICAL = "ONNX has no node test of it; tests/test_classical.py holds it to the standard ops it stands for"
NONE = "ONNX has no node test of it; tests/grid/ has"
# ops with a gradient that no node test reaches
NOT_REACHED = {
    "Equal": "only ids go through it",
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"), INTEGERS),
    "GlobalLpPool": NONE,
}
OF_A_DOMAIN = {"com.microsoft::": CONTRIB, "com.microsoft.nchwc::": CONTRIB, "ai.onnx.ml::": CLASSICAL}


def why_not(op):
    if any(word in op for word in ("Quanti", "QLinear", "QGemm", "Integer")):
        return INTEGERS
    return NOT_REACHED.get(op) or next((why for domain, why in OF_A_DOMAIN.items() if op.startswith(domain)), "")


def chosen(*hows):
    found = [c for c in cases() if c.how in hows and not named(c.name, REFUSED)]
    return pytest.mark.parametrize("case", found, ids=str)


@chosen("adjoint")
def test_the_gradient_is_the_adjoint_at_the_node_test(case):
    tolerance = TOLERANCES.get(case.op, 1e-10)
    check_adjoint(case.model, case.feeds, input_names=list(case.feeds), tolerance=tolerance)


@chosen("single")
def test_in_float32_too_where_the_runtime_has_no_other(case):
    check_adjoint(case.model, case.feeds, input_names=list(case.feeds), tolerance=1e-3, step=2.0**-6)


@chosen("rounds")
def test_the_gradient_passes_straight_through_rounding(case):
    (x,) = case.feeds.values()
    g = np.random.default_rng(0).normal(size=(2, *x.shape)).astype(np.float32)
    (back,) = runner(vjp_model(case.model, list(case.feeds)))({**case.feeds, "g": g}).values()
    np.testing.assert_array_equal(back, g)


@pytest.mark.parametrize("case", [c for c in cases() if named(c.name, REFUSED)], ids=str)
def test_what_has_no_gradient_is_refused(case):
    with pytest.raises(BadModel, match="the_node"):
        vjp_model(case.model, list(case.feeds))


def test_every_op_with_a_gradient_is_reached_or_said_why_not():
    need_node_tests()
    reached = {case.op for case in cases() if not named(case.name, REFUSED)}
    silent = {op for op in flowing() - reached if not why_not(op)}
    assert not silent, f"no node test reaches {', '.join(sorted(silent))}: say why in NOT_REACHED"
    stale = reached & set(NOT_REACHED)
    assert not stale, f"a node test reaches {', '.join(sorted(stale))}: take it out of NOT_REACHED"
    assert set(NOT_REACHED) <= flowing()
    assert len(reached) >= 90


def test_no_pattern_of_the_tables_is_idle():
    need_node_tests()
    names = [case.name for case in cases()] + list(left_out())
    for table in (REFUSED, LEFT_OUT, SINGLE):
        idle = [pattern for pattern in table if not any(fnmatch(name, pattern) for name in names)]
        assert not idle


if __name__ == "__main__":
    print(summary(why_not))
