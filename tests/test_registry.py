"""The tables refuse an op twice, say where nothing flows, and what lacks a rule is listed all at once."""

import numpy as np
import onnx.parser
import pytest

from rsp_onnx import compile_explainer
from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.explain.supported_ops import supported_ops
from rsp_onnx.graph.rule_modules import load_all_rules
from rsp_onnx.rulekit import registry
from rsp_onnx.testing.checks import rule_model, runner, vjp_model

HEAD = '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>\n'


@pytest.fixture(autouse=True)
def tables():
    """Load the rules, and forget what a test registers."""
    load_all_rules()
    before = [dict(table) for table in (registry._VJPS, registry._RULES, registry._NO_FLOW)]
    yield
    for table, old in zip((registry._VJPS, registry._RULES, registry._NO_FLOW), before, strict=True):
        table.clear()
        table.update(old)


def pass_on(ctx, node, r):
    """Pass on. More words."""
    return [r]


@pytest.mark.parametrize("register", [registry.vjp, registry.rule, registry.moves], ids=["vjp", "rule", "moves"])
def test_an_op_is_registered_once_and_the_error_names_both_modules(register):
    with pytest.raises(ValueError, match="Relu is registered twice") as caught:
        register("Relu")(pass_on)
    assert registry._VJPS["Relu"].__module__ in str(caught.value)
    assert __name__ in str(caught.value)
    assert registry._VJPS["Relu"] is not pass_on and registry._RULES["Relu"] is not pass_on


def test_an_op_that_nothing_flows_through_is_listed_once():
    with pytest.raises(ValueError, match="Shape is registered twice"):
        registry.no_flow("Shape", reason="again")


def test_one_function_may_serve_both_tables_and_several_ops():
    assert registry.moves("Mine", "MineToo")(pass_on) is pass_on
    assert {registry._VJPS[op] for op in ("Mine", "MineToo")} | {registry._RULES["MineToo"]} == {pass_on}


def test_the_list_of_ops_says_what_each_rule_does():
    registry.rule("Mine")(pass_on)
    registry.no_flow("MineToo", reason="it is a test")
    found = {row["op"]: row for row in supported_ops()}
    assert found["Mine"] == {"op": "Mine", "relevance": "Pass on. More words", "gradient": ""}
    assert found["MineToo"]["gradient"] == found["MineToo"]["relevance"] == "nothing flows: it is a test"
    assert list(found) == sorted(found)


def test_nothing_flows_through_an_index_and_no_rule_is_asked_for():
    text = (
        HEAD
        + """
        index (double[N, 3] x) => (double[N, 3] y) {
            i = ArgMax<axis = 1>(x)
            f = Cast<to = 11>(i)
            y = Add(x, f)
        }"""
    )
    x, g = np.array([[0.5, 2.0, 1.0]]), np.array([[[1.0, 2.0, 3.0]]])
    for compile_ in (vjp_model, rule_model):
        (back,) = runner(compile_(text))({"x": x, "g": g}).values()
        np.testing.assert_array_equal(back, g)


LACKING = (
    HEAD
    + """
    lacking (float[N, 2, 4, 4] x) => (float[N, 2] y)
    {
        w = Constant<value = float[2, 2, 1, 1] {1.0, 2.0, 3.0, 4.0}>()
        [first_gelu] a = com.microsoft.BiasSplitGelu(x)
        b = Conv(a, w)
        [second_gelu] c = com.microsoft.BiasSplitGelu(b)
        d = Relu(c)
        [determinant] y = Det(d)
    }"""
)


def test_all_ops_without_a_rule_are_named_at_once_with_their_nodes():
    with pytest.raises(UnsupportedOp) as caught:
        compile_explainer(onnx.parser.parse_model(LACKING))
    message = str(caught.value)
    for name in ("com.microsoft::BiasSplitGelu", "'first_gelu'", "'second_gelu'", "Det", "'determinant'"):
        assert name in message
    assert "is no layer" in message and "for graphics cards alone" in message
    assert "--method occlusion" in message and "\n" not in message


def test_the_test_kit_names_all_missing_ops_too():
    with pytest.raises(UnsupportedOp, match=r"2 ops.*Det.*BiasSplitGelu"):
        vjp_model(LACKING)
