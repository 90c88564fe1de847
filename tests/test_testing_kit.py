"""The test kit is tested itself: each check fails on the rule that is wrong in the way it looks for."""

import subprocess
import sys

import numpy as np
import onnx.parser
import pytest

from rsp_onnx.errors import BadModel, UnsupportedOp
from rsp_onnx.graph.rule_modules import load_all_rules
from rsp_onnx.rulekit import registry
from rsp_onnx.testing.checks import (
    check_adjoint,
    check_batch,
    check_conservation,
    rule_model,
    runner,
    sample_inputs,
    vjp_model,
)

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
POOL = HEAD + "overlapping (double[N, 2, 7, 7] x) => (y) { y = MaxPool<kernel_shape = [3, 3], strides = [2, 2]>(x) }"
TILES = HEAD + "apart (double[N, 2, 6, 6] x) => (y) { y = MaxPool<kernel_shape = [3, 3], strides = [3, 3]>(x) }"
TANH = HEAD + "smooth (double[N, 3, 4] x) => (y) { y = Tanh(x) }"
CONV = HEAD + "linear (double[N, 2, 6] x, double[3, 2, 3] w) => (y) { y = Conv<strides = [2]>(x, w) }"
ADD = HEAD + "sum (double[N, 3, 4] a, double[N, 3, 4] b) => (double[N, 3, 4] y) { y = Add(a, b) }"
RELU = HEAD + "kink (double[N, 3] x) => (y) { y = Relu(x) }"


@pytest.fixture(autouse=True)
def loaded():
    load_all_rules()  # the rules must be registered before a test replaces one


def plant(monkeypatch, table, op, rule):
    monkeypatch.setitem({"vjp": registry._VJPS, "rule": registry._RULES}[table], op, rule)


@pytest.mark.parametrize(("op", "model"), [("MaxPool", POOL), ("Tanh", TANH), ("Add", ADD)])
def test_a_gradient_that_is_off_by_a_twentieth_of_a_percent_fails(monkeypatch, op, model):
    right = registry._VJPS[op]
    check_adjoint(model)
    plant(monkeypatch, "vjp", op, lambda ctx, node, g: [ctx.op.Mul(p, 1.0005) for p in right(ctx, node, g)])
    with pytest.raises(AssertionError, match=rf"{op}\(.*≠ ⟨v, f\*\(s\)⟩: relative error \d.*above 1e-10"):
        check_adjoint(model)


def test_a_gradient_of_one_operand_only_fails(monkeypatch):
    plant(monkeypatch, "vjp", "Add", lambda ctx, node, g: [g, None])
    with pytest.raises(AssertionError, match="Add"):
        check_adjoint(ADD)
    check_adjoint(ADD, sample_inputs(ADD), input_names=["a"])


def test_a_sum_whose_operands_both_get_everything_fails(monkeypatch):
    check_conservation(ADD)
    plant(monkeypatch, "rule", "Add", lambda ctx, node, r: [r, r])
    with pytest.raises(AssertionError, match=r"Add\(\): Σ relevance .* relative error"):
        check_conservation(ADD)
    check_batch(ADD)  # nothing mixes


def overwrite(ctx, node, r):
    """As the rule of MaxPool, but windows with the same winner overwrite each other."""
    op, x = ctx.op, ctx.read(node.inputs[0])
    _, flat = op.emit_many("MaxPool", x, outputs=2, **{n: a.value for n, a in node.attributes.items()})
    rows = op.Reshape(r, op.Concat(ctx.front, [-1], axis=0))
    zeros = op.Expand(0.0, op.Concat(ctx.front, op.Reshape(op.Size(x), [1]), axis=0))
    where = op.Expand(op.Reshape(flat, [1, -1]), op.Shape(rows))
    return [ctx.like(op.ScatterElements(zeros, where, rows, axis=1), node.inputs[0])]


@pytest.mark.parametrize("table", ["vjp", "rule"])
def test_a_pool_that_overwrites_instead_of_adding_fails_where_windows_overlap(monkeypatch, table):
    check = check_adjoint if table == "vjp" else check_conservation
    check(POOL)
    plant(monkeypatch, table, "MaxPool", overwrite)
    check(TILES)
    with pytest.raises(AssertionError, match=r"MaxPool\(kernel_shape=\(3, 3\), strides=\(2, 2\)\)"):
        check(POOL)


@pytest.mark.parametrize(("axis", "word"), [(0, "target"), (1, "sample")])
@pytest.mark.parametrize("table", ["vjp", "rule"])
def test_mixing_fails_and_says_what_was_mixed(monkeypatch, axis, word, table):
    check_batch(TANH)
    plant(monkeypatch, table, "Tanh", lambda ctx, node, r: [ctx.op.Sub(r, ctx.op.ReduceMean(r, [axis]))])
    with pytest.raises(AssertionError, match=rf"of {word} 0 at (gradient|relevance)/x depends on the others"):
        check_batch(TANH)


def test_relevance_that_is_not_a_number_fails(monkeypatch):
    plant(monkeypatch, "rule", "Tanh", lambda ctx, node, r: [ctx.op.Log(ctx.op.Neg(r))])
    with pytest.raises(AssertionError, match="relative error nan"), np.errstate(invalid="ignore"):
        check_conservation(TANH)


def test_a_point_at_a_kink_is_told_apart_from_a_wrong_gradient():
    x = {"x": np.array([[1.0, 0.0, -1.0]])}
    with pytest.raises(AssertionError, match="kink is near x"):
        check_adjoint(RELU, {"x": x["x"] + 2.0**-11})


def test_samples_are_different_and_not_zero():
    x = sample_inputs(ADD, samples=5, seed=3)
    values = np.concatenate([a.reshape(-1) for a in x.values()])
    assert x["a"].shape == (5, 3, 4)
    assert len(np.unique(values)) == values.size
    assert np.abs(values).min() > 0
    assert np.abs(values).max() < 2


def test_models_have_the_inputs_and_outputs_they_promise():
    compiled = vjp_model(CONV, ["x"])
    onnx.checker.check_model(compiled, full_check=True)
    assert [i.name for i in compiled.graph.input] == ["x", "w", "g"]
    assert [o.name for o in compiled.graph.output] == ["gradient/x"]
    feeds = {"x": np.ones((2, 2, 6)), "w": np.ones((3, 2, 3)), "g": np.ones((1, 2, 3, 2))}
    back = runner(compiled)(feeds)["gradient/x"]
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back[0, 0], [[3, 3, 6, 3, 3, 0]] * 2)


def test_several_outputs_have_a_cotangent_each():
    text = HEAD + "two (float[N, 4] x) => (float[N, 2] a, float[N, 2] b) { a, b = Split<axis = 1, num_outputs = 2>(x) }"
    compiled = rule_model(onnx.parser.parse_model(text))
    assert [i.name for i in compiled.graph.input] == ["x", "g/a", "g/b"]
    feeds = {"x": np.ones((1, 4)), "g/a": np.array([[[1, 2]]]), "g/b": np.array([[[3, 4]]])}
    (back,) = runner(compiled)({n: a.astype(np.float32) for n, a in feeds.items()}).values()
    assert back.tolist() == [[[1, 2, 3, 4]]]


def test_an_op_without_a_rule_is_named():
    text = HEAD + "a (float[N, 3, 3] x) => (float[N] y) { y = Det(x) }"
    with pytest.raises(UnsupportedOp, match="Det"):
        rule_model(text)


def test_an_op_that_nothing_flows_through_is_told_of():
    text = HEAD + "a (float[N, 3] x) => (float[N, 3] y) { y = Hardmax(x) }"
    with pytest.raises(BadModel, match="Nothing flows from the outputs to the inputs: Hardmax: piecewise constant"):
        rule_model(text)


def test_the_kit_needs_neither_pytest_nor_torch(repo):
    code = "import sys, rsp_onnx.testing; print([m for m in ('pytest', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
