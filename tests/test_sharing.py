"""How relevance is shared among the branches of a sum or a difference, and a product's factors: by hand."""

import numpy as np
import pytest

from rsp_onnx.testing.checks import rule_model, runner

A, B, R = np.array([[1.0, 3.0, -2.0, 2.0]]), np.array([[3.0, -1.0, 4.0, -6.0]]), np.array([[[8.0, 6.0, 5.0, 4.0]]])
SHARES = {
    "Add(a, b)": ([2, 6, 0, 4], [6, 0, 5, 0]),  # by [a]₊ and [b]₊
    "Sub(a, b)": ([8, 4.5, 2.5, 1], [0, 1.5, 2.5, 3]),  # by [a]₊ and [−b]₊; where both are 0, half each
    "Max(a, b)": ([2, 6, 0, 4], [6, 0, 5, 0]),
    "Mul(a, b)": ([4, 3, 2.5, 2], [4, 3, 2.5, 2]),  # two signals
    "Div(a, b)": ([8, 6, 5, 4], None),  # a divisor is a statistic
}


@pytest.mark.parametrize("expression", SHARES)
def test_branches_share_by_what_they_bring(expression):
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        two (double[N, 4] a, double[N, 4] b) => (double[N, 4] y) {{ y = {expression} }}"""
    names = [name for name, share in zip("ab", SHARES[expression], strict=True) if share is not None]
    got = runner(rule_model(text, names))({"a": A, "b": B, "g": R})
    for name, share in zip("ab", SHARES[expression], strict=True):
        if share is not None:
            np.testing.assert_allclose(got[f"relevance/{name}"][0, 0], share, rtol=1e-7, atol=1e-7)
