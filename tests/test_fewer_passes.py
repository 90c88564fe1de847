"""Cheaper ways to the same numbers: maxima without indices, means before the way back; ranks other runtimes bear."""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import shape_inference

from rsp_onnx import compile_explainer
from rsp_onnx.attribution import cams, rsp
from rsp_onnx.compiler import head
from rsp_onnx.rulekit.context import Options
from rsp_onnx.rules.reductions import pooling
from rsp_onnx.testing.checks import rule_model, vjp_model

from .grid.row import Row
from .little import RNG, little
from .running import asked, relative_l2, run
from .test_against_naive import exported

# ---- the first maximum of a window, without indices ----


@st.composite
def poolings(draw):
    axes = draw(st.integers(1, 3))
    kernel, strides = (draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)) for _ in range(2))
    pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    size = draw(st.lists(st.integers(2, 7), min_size=axes, max_size=axes))
    assume(all(n + pads[i] + pads[i + axes] >= kernel[i] for i, n in enumerate(size)))
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": draw(st.integers(0, 1))}
    return size, attributes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(poolings(), st.integers(0, 50))
def test_relevance_of_a_window_goes_where_onnx_runtimes_index_says_also_among_equal_ones(pooling_, seed):
    """The values are few, so that most windows hold their maximum several times."""
    size, attributes = pooling_
    model = as_float32(Row("MaxPool", "", ((2, *size),), attributes).model())
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (2, 2, *size)).astype(np.float32)
    compared = vjp_model(model)
    (out,) = run(model, {"x0": x}).values()
    g = rng.normal(size=(3, *out.shape)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "_FEW", 0)
        by_index = vjp_model(model)
    assert "ScatterElements" in {n.op_type for n in by_index.graph.node}
    assert "ScatterElements" not in {n.op_type for n in compared.graph.node}
    got, want = (run(m, {"x0": x, "g": g})["gradient/x0"] for m in (compared, by_index))
    np.testing.assert_allclose(got, want, atol=1e-5)


def alone(model):
    """The rule for one class of one sample, in this process."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return rule_model(model, options=Options(in_process=True), targets=1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(poolings(), st.integers(0, 50))
def test_relevance_is_scattered_to_the_same_maxima_where_windows_overlap(pooling_, seed):
    size, attributes = pooling_
    model = as_float32(Row("MaxPool", "", ((2, *size),), attributes).model())
    x = np.random.default_rng(seed).integers(-1, 2, (1, 2, *size)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "_FEW", 0)
        by_index = rule_model(model)
    (out,) = run(model, {"x0": x}).values()
    scattered = alone(model)
    overlap = any(k > s for k, s in zip(attributes["kernel_shape"], attributes["strides"], strict=True))
    assert ("ScatterElements" in {n.op_type for n in scattered.graph.node}) == overlap
    r = np.random.default_rng(seed).normal(size=(1, *out.shape)).astype(np.float32)
    got, want = (run(m, {"x0": x, "g": r})["relevance/x0"] for m in (scattered, by_index))
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_window_without_a_maximum_scatters_into_the_map_all_the_same(value):
    """Its relevance means nothing, but ONNX Runtime refuses places outside."""
    attributes = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [2, 2, 2, 2]}
    model = alone(as_float32(Row("MaxPool", "", ((2, 4, 4),), attributes).model()))
    got = run(model, {"x0": np.full((1, 2, 4, 4), value, np.float32), "g": np.ones((1, 1, 2, 6, 6), np.float32)})
    assert got["relevance/x0"].sum() == 72


def as_float32(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model


# ---- the mean over positions before the way back ----

W = RNG(3).randn(6, 2, 3, 3).astype(np.float32)
HEADS = {
    "a classifier convolution": ("c = Conv(f, k) d = Relu(c) e = GlobalAveragePool(d) y = Flatten(e)", {
        "k": RNG(4).randn(4, 6, 1, 1).astype(np.float32)}),
    "flattened maps": ("e = Flatten(f) y = Gemm<transB=1, alpha=0.5>(e, u)", {
        "u": RNG(4).randn(4, 6 * 64).astype(np.float32)}),
    "a pooling, then flattened maps": (
        "p = MaxPool<kernel_shape=[2,2],strides=[2,2]>(f) e = Flatten(p) c = MatMul(e, u) d = Relu(c) y = MatMul(d, v)",
        {
            "u": RNG(4).randn(6 * 16, 5).astype(np.float32), "v": RNG(5).randn(5, 4).astype(np.float32)}),
}  # fmt: skip


@pytest.mark.parametrize("method", ["rsp", "grad-cam", "attribution-equilibrium"])
@pytest.mark.parametrize("name", HEADS)
def test_the_mean_taken_first_is_the_mean_of_the_gradient(name, method, monkeypatch):
    rest, weights = HEADS[name]
    model = little(f"g (float[N,2,10,10] x) => (float[N,4] y) {{ a = Conv(x, w) f = Relu(a) {rest} }}", w=W, **weights)
    feeds = {"x": RNG(6).randn(2, 2, 10, 10).astype(np.float32), **asked((0, 3), (1,), 2)}
    first = compile_explainer(model, method, section="f")
    monkeypatch.setattr(head, "find_totals", lambda node: None)
    after = compile_explainer(model, method, section="f")
    assert len(first.graph.node) != len(after.graph.node)
    assert relative_l2(run(first, feeds)["relevance"], run(after, feeds)["relevance"]) < 2e-6


def test_a_head_that_reads_the_section_twice_is_walked_whole():
    model = little(
        "g (float[N,2,10,10] x) => (float[N,6] y) { a = Conv(x, w) f = Relu(a) p = GlobalMaxPool(f) "
        "q = GlobalAveragePool(f) s = Add(p, q) y = Flatten(s) }",
        w=W,
    )
    feeds = {"x": RNG(6).randn(2, 2, 10, 10).astype(np.float32), **asked((0, 3), (1,), 2)}
    assert run(compile_explainer(model, section="f"), feeds)["relevance"].any()
    assert rsp.mean_to_section is cams.mean_to_section is head.mean_to_section


# ---- what other runtimes bear ----


@pytest.mark.parametrize("how", [{}, {"batch": 1, "targets": 1}], ids=["free", "fixed"])
@pytest.mark.parametrize("name", ["vgg", "alexnet", "odd_convs", "inception_v3", "mobilenet_v2", "shufflenet_v2"])
def test_tensors_of_an_explainer_of_pictures_have_five_axes_at_most(name, how):
    """K, N, channels, rows, columns: OpenVINO is wrong beyond, without a word. Shuffled channels have one more."""
    model, _ = exported(name)
    compiled = compile_explainer(model, **how)
    known = shape_inference.infer_shapes(compiled, data_prop=True).graph.value_info
    assert len(known) > 0.9 * len(compiled.graph.node)
    deep = {v.name: len(v.type.tensor_type.shape.dim) for v in known}
    most = 6 if name.startswith("shufflenet") else 5  # the model's own have five there, and K stands before them
    assert {tensor: rank for tensor, rank in deep.items() if rank > most} == {}
