"""Every rule, over the attributes that matter: the adjoint of its op, relevance kept, samples and targets apart.

The rows are in tests/grid/. Tolerances: the adjoint 1e-10 of the norms in float64 (measured: below 1e-11),
conservation 1e-12 of the sum, batch against single 1e-12, float32 in ONNX Runtime against float64 2e-5 of the maximum.
"""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from rsp_onnx.errors import BadModel
from rsp_onnx.explain.supported_ops import supported_ops
from rsp_onnx.rulekit.registry import find_frozen
from rsp_onnx.testing.checks import (
    check_adjoint,
    check_batch,
    check_conservation,
    rule_model,
    runner,
    sample_inputs,
    vjp_model,
)
from rsp_onnx.testing.models import compile_ops, read_ops

from .grid import ROWS
from .grid.row import Row, weights

EXPANDED, NOT_SUPPORTED = "expanded", "not supported"

GRADIENT_ONLY = {op["op"] for op in supported_ops() if not op["relevance"]}
RULE_ONLY = {op["op"] for op in supported_ops() if not op["gradient"]}
# these know float32 and integers only; test_fused.py, test_quantised.py and test_classical.py hold them to their parts
WITHOUT_FLOAT64 = {op["op"] for op in supported_ops() if op["op"].startswith(("com.microsoft::", "ai.onnx.ml::"))} | {
    "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear",
}  # fmt: skip
OF_IDS = {"Equal"}  # only ids go through it, see tests/test_ids.py
PLUMBING = {"Constant", "ConstantOfShape", "Shape"}


def ops_of(row):
    nodes = row.model(np.float32).graph.node
    return {f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in nodes} - PLUMBING


def rows(keep):
    """Parametrize over the rows that pass."""
    return pytest.mark.parametrize("row", [r for r in ROWS if not r.rounds and keep(r)], ids=str)


def has_gradient(row):
    return not ops_of(row) & RULE_ONLY


def has_rule(row):
    return not ops_of(row) & GRADIENT_ONLY


@rows(has_gradient)
def test_the_gradient_is_the_adjoint(row):
    model = row.model()
    check_adjoint(model, sample_inputs(model, low=row.span[0], high=row.span[1]), tolerance=row.tolerance)


@rows(has_rule)
def test_relevance_is_kept(row):
    if row.absorbs:
        with pytest.raises(AssertionError, match="Σ relevance"):
            check_conservation(row.model())
    else:
        check_conservation(row.model())


@pytest.mark.slow
@rows(lambda row: not row.mixes)
def test_samples_and_targets_do_not_mix(row):
    model = row.model()
    check_batch(model, sample_inputs(model, samples=3, low=row.span[0], high=row.span[1]))


@pytest.mark.slow
@rows(lambda row: True)
def test_float32_in_the_runtime_is_float64_rounded(row):
    single, double = row.model(np.float32), row.model()
    canonized = ir.to_proto(read_ops(double, None).graph.model)
    x = sample_inputs(single, low=row.span[0], high=row.span[1])
    results = compare(single, canonized, x)
    r = np.random.default_rng(3)
    g = [r.uniform(0.5, 1.5, (2, *a.shape)).astype(np.float32) for a in results.values()]
    g = {"g": g[0]} if len(g) == 1 else {f"g/{name}": a for name, a in zip(results, g, strict=True)}
    if has_gradient(row):
        compare(vjp_model(single), vjp_model(double), {**x, **g})
    if has_rule(row):  # on positive inputs: a Z near 0, a sum of both signs, magnifies the rounding
        x = sample_inputs(single, low=0.5, high=2.5)
        compare(rule_model(single), rule_model(double), {**x, **g})


def compare(single, double, feeds):
    got = in_the_runtime(single, feeds)
    want = runner(double)({name: a.astype(np.float64) for name, a in feeds.items()})
    for name, a in want.items():
        assert got[name].dtype == np.float32
        np.testing.assert_allclose(got[name], a, rtol=0, atol=2e-5 * max(np.abs(a).max(), 1e-30), err_msg=name)
    return want


def in_the_runtime(model, feeds):
    """ONNX Runtime with its own optimisations, as an explainer runs."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("row", [r for r in ROWS if r.rounds], ids=str)
def test_the_gradient_passes_straight_through_rounding(row):
    model = row.model(np.float32)
    x = sample_inputs(model)
    g = np.random.default_rng(0).normal(size=(2, *x["x"].shape)).astype(np.float32)
    for compiled in (vjp_model(model), rule_model(model)):
        (back,) = in_the_runtime(compiled, {**x, "g": g}).values()
        np.testing.assert_array_equal(back, g)


def test_every_op_with_a_rule_has_a_row():
    beside = ("nothing flows", EXPANDED, NOT_SUPPORTED)
    flows = {op["op"] for op in supported_ops() if not op["relevance"].startswith(beside)}
    missing = flows - set().union(*map(ops_of, ROWS)) - WITHOUT_FLOAT64 - OF_IDS
    assert not missing, f"add a row to tests/grid/ for {', '.join(sorted(missing))}"


def test_no_two_rows_have_one_name():
    names = [str(row) for row in ROWS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("hidden", [True, False], ids=["hidden", "on the image"])
def test_stacked_weights_are_layers_beside_each_other(hidden):
    w = weights(2, 6, 4)
    stacked = Row("MatMul", "", ((2, 3, 6), w), hidden=hidden).model()
    one = [runner(rule_model(Row("MatMul", "", ((3, 6), w[i]), hidden=hidden).model())) for i in range(2)]
    x, r = sample_inputs(stacked)["x0"], np.random.default_rng(0).normal(size=(2, 2, 2, 3, 4))
    if not hidden:  # the bounds of the image are of the whole image, which both halves must share
        x[:, :, 0, 0], x[:, :, 0, 1] = x.min(), x.max()
    together = runner(rule_model(stacked))({"x0": x, "g": r})["relevance/x0"]
    for i in range(2):
        alone = one[i]({"x0": x[:, i], "g": r[:, :, i]})["relevance/x0"]
        np.testing.assert_allclose(together[:, :, i], alone, rtol=1e-12, atol=1e-14)


REFUSED = {
    "weights from the image": 'a (float[N, 2, 3] x, float[2, 2, 1] w) => (float[N, 2, 3] y) { y = Conv(x, w) }',
    "a reduction over the batch": 'a (float[N, 4] x) => (float[1, 1] y) { y = ReduceMean(x) }',
    "a slice of the batch": 'a (float[N, 4] x) => (float[N, 4] y) { i = Constant<value = int64[1] {1}>()'
    ' j = Constant<value = int64[1] {9}>() k = Constant<value = int64[1] {0}>() y = Slice(x, i, j, k) }',
    "half a spectrum filled up": 'a (float[N, 3, 2] x) => (float[N, 8, 1] y) <int64 n = {8}>'
    ' { y = DFT<inverse = 1, onesided = 1>(x, n) }',
    "statistics of the batch": 'a (float[N, 3, 2, 2] x) => (float[N, 3, 2, 2] y) { y = MeanVarianceNormalization(x) }',
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_in_one_sentence(text):
    with pytest.raises(BadModel, match=r"node '.*'"):
        vjp_model('<ir_version: 8, opset_import: ["" : 18]>' + text)


def test_numbers_that_an_exporter_wrote_as_scalars_are_lists_of_one():
    text = """<ir_version: 8, opset_import: ["" : 18]>
        cut (double[N, 3, 4] x) => (double[N, 3, 2] y) <int64 start = {1}, int64 end = {3}, int64 axis = {2}> {
            y = Slice(x, start, end, axis)
        }"""  # which the runtime does not run, but inside loops torch writes it
    for compiled in (rule_model, vjp_model):
        assert any(node.op_type == "Pad" for node in compiled(text).graph.node)


GRADIENT_WITHOUT_RULE = {
    "two activations": "(double[N, 4] x, double[4, 3] w) => (double[N, 3] y) { y = Gemm<alpha = 0.5>(x, w) }",
    "all three": "(double[N, 4] x, double[3, 4] w, double[3] b) => (double[N, 3] y) {"
    " y = Gemm<transB = 1, beta = 1.5>(x, w, b) }",
    "all transposed": "(double[4, N] x, double[3, 4] w, double[N, 1] b) => (double[N, 3] y) {"
    " y = Gemm<transA = 1, transB = 1, alpha = 0.5>(x, w, b) }",
    "a column": "(double[N, 4, 2] x, double[2] w) => (double[N, 4] y) { y = MatMul(x, w) }",
    "a row": "(double[2] x, double[N, 2, 3] w) => (double[N, 3] y) { y = MatMul(x, w) }",
    "a row and a column": "(double[5] x, double[5] w) => (double y) { y = MatMul(x, w) }",
}


@pytest.mark.parametrize("text", GRADIENT_WITHOUT_RULE.values(), ids=GRADIENT_WITHOUT_RULE)
def test_any_product_has_a_gradient_though_not_all_have_a_rule(text):
    text = '<ir_version: 8, opset_import: ["" : 18]> product ' + text
    check_adjoint(text)
    with pytest.raises(BadModel, match=r"node '.*'"):
        rule_model(text)


def test_a_stack_of_weights_over_one_vector_has_a_gradient_but_no_rule():
    text = """<ir_version: 8, opset_import: ["" : 18]>
        stack (double[N, 2] x, double[3, 2, 2] w) => (double[3, N, 2] y) { h = Relu(x) y = MatMul(h, w) }"""
    check_adjoint(text, input_names=["x"])
    with pytest.raises(BadModel, match="not known before run time"):
        rule_model(text, ["x"])


def test_the_deviation_can_be_held_constant_in_a_layer_norm_by_way_of_batch_norm():
    plain = """<ir_version: 8, opset_import: ["" : 18]>
        layer (double[1, 5, 4, 1] x) => (double[1, 5, 4, 1] y) <double[4, 1] one = {1, 1, 1, 1}> {
            y = LayerNormalization<axis = -2, epsilon = 0.001>(x, one)
        }"""
    by_way_of = next(row for row in ROWS if row.label == "a LayerNormalization by way of it").model()
    x, g = sample_inputs(by_way_of)["x"], np.random.default_rng(0).normal(size=(2, 1, 5, 4, 1))
    got, want = (
        runner(compile_ops(read_ops(text, None), find_frozen, "gradient", None))({"x": x, "g": g})["gradient/x"]
        for text in (by_way_of, plain)
    )
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    whole = runner(vjp_model(by_way_of))({"x": x, "g": g})["gradient/x"]
    assert np.abs(whole - want).max() > 0.1
