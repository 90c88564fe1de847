"""The forms of the conv rule are equal, the cheaper one is chosen, and one compiled file serves every K and N."""

import importlib
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from rsp_onnx import compile_explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.model.session import Session
from rsp_onnx.rulekit.context import Options
from rsp_onnx.rulekit.convolution import Convolution, Window
from rsp_onnx.rules.forms import choose as chooser
from rsp_onnx.rules.forms import winograd
from rsp_onnx.rules.forms.choose import choose, costs, forms
from rsp_onnx.rules.forms.form import Layer
from rsp_onnx.testing.checks import rule_model, runner
from rsp_onnx.testing.models import read_ops

from .grid.row import Row, weights
from .running import asked, relative_l2, run

DOUBLE = 1e-12
SINGLE = 2e-5  # two float32 computations of one map
BLOCKED = [form.name for form in forms() if form.name == "blocked"]  # its module may be taken out
needs_blocked = pytest.mark.skipif(not BLOCKED, reason="the form that needs this ONNX Runtime has been taken out")


def conv(channels, size, filters, kernel, attributes):
    weight = weights(filters, channels // attributes.get("group", 1), *kernel)
    return Row("Conv", "", ((channels, *size), weight), attributes, hidden=True).model()


def fixed(model):
    """The same model for one sample."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def relevance(model, form, x, r, targets=None, **options):
    """Relevance of a conv or dense layer on given x and R in float64."""
    compiled = rule_model(model, options=Options(form=form, **options), targets=targets)
    return runner(compiled)({"x0": x, "g": r})["relevance/x0"]


def shapes_of(model):
    op = read_ops(model, None)
    return [op.graph.dims(v)[1:] for v in (op.inputs[0], op.outputs[0])]


def question(model, seed, samples=1, targets=1, zeros=0.5):
    """Random x with so many zeros, and R of both signs."""
    rng = np.random.default_rng(seed)
    size, out = shapes_of(model)
    x = rng.normal(size=(samples, *size)) * (rng.random((samples, *size)) >= zeros)
    return x, rng.normal(size=(targets, samples, *out))


def output_sizes(size, kernel, pads, strides, dilations):
    rows = zip(size, kernel, pads[: len(size)], pads[len(size) :], strides, dilations, strict=True)
    return [(n + b + a - (k - 1) * d - 1) // s + 1 for n, k, b, a, s, d in rows]


@st.composite
def geometries(draw, axes=(1, 2), groups=(1, 2), depthwise=False):
    """Small convolutions: channels, sizes, filters, kernel, attributes."""
    n, group = draw(st.sampled_from(axes)), draw(st.sampled_from(groups))
    kernel, dilations, strides = (draw(st.lists(st.integers(1, top), min_size=n, max_size=n)) for top in (3, 2, 3))
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * n, max_size=2 * n))
    size = draw(st.lists(st.integers(2, 6), min_size=n, max_size=n))
    assume(all(o >= 1 for o in output_sizes(size, kernel, pads, strides, dilations)))
    channels, filters = group * draw(st.integers(1, 3)), group * draw(st.integers(1, 2))
    if depthwise:
        group = filters = channels = draw(st.integers(2, 4))
    return channels, size, filters, kernel, {"group": group, "dilations": dilations, "pads": pads, "strides": strides}


# ---- equal, whatever the geometry ----


@settings(max_examples=40, deadline=None, derandomize=True)
@given(geometries(), st.integers(0, 100))
def test_unfold_and_gram_give_the_same_relevance_of_any_convolution(geometry, seed):
    model = conv(*geometry)
    x, r = question(model, seed, samples=2, targets=2)
    unfolded, gram = (relevance(model, form, x, r) for form in ("unfold", "gram"))
    assume(np.abs(unfolded).max() > 0)
    assert relative_l2(gram, unfolded) < DOUBLE


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.one_of(geometries(), geometries(depthwise=True)), st.integers(0, 100))
def test_the_forms_for_one_sample_and_one_target_give_the_same_relevance_of_any_convolution(geometry, seed):
    model = fixed(conv(*geometry))
    x, r = question(model, seed)
    unfolded = relevance(model, "unfold", x, r)
    assume(np.abs(unfolded).max() > 0)
    for form in ("direct", "depthwise", "gram"):
        assert relative_l2(relevance(model, form, x, r, targets=1), unfolded) < DOUBLE, form


@pytest.mark.parametrize("places", [(5,), (2, 3)], ids=["tokens", "channels last"])
def test_the_forms_of_a_dense_layer_per_position_agree(places):
    model = Row("MatMul", "", ((*places, 6), weights(6, 4)), hidden=True).model()
    x, r = question(model, 0, samples=2, targets=2)
    assert relative_l2(relevance(model, "gram", x, r), relevance(model, "unfold", x, r)) < DOUBLE


FEW, MANY, AROUND = (3, (9, 7), 4), (64, (9, 10), 3), {"pads": [1, 1, 1, 1]}
LAYERS = {  # form: convolutions it is for
    "direct": [(*FEW, (3, 3), {"strides": [2, 2], **AROUND}), (*FEW, (5, 3), {}), (4, (8, 8), 6, (3, 3), {"group": 2})],
    "gram": [(*FEW, (3, 3), {"strides": [2, 3], **AROUND}), (4, (5, 6, 4), 3, (2, 3, 1), {})],
    "pointwise": [(3, (15, 14), 7, (1, 1), {}), (2, (49,), 3, (1,), {}), (2, (17, 17), 5, (1, 1), {"strides": [2, 2]})],
    "winograd": [(*MANY, (3, 3), AROUND), (*MANY, (3, 3), {}), (*MANY, (3, 3), {"pads": [0, 2, 1, 1]}),
                 (64, (4, 4), 5, (3, 3), AROUND)],
    "depthwise": [(6, (9, 8), 6, (3, 3), {"group": 6, **AROUND}),
                  (6, (9, 8), 6, (5, 5), {"group": 6, "strides": [2, 2]})],
}  # fmt: skip
CASES = [(form, i) for form, rows in LAYERS.items() for i in range(len(rows))]


@pytest.mark.parametrize(("form", "row"), CASES)
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
def test_a_form_gives_the_relevance_of_the_unfolded_one_in_float64(form, row, zeros):
    model = fixed(conv(*LAYERS[form][row]))
    x, r = question(model, 1, zeros=zeros)
    want = relevance(model, "unfold", x, r)
    got = relevance(model, form, x, r, targets=1)
    assert want.any() and relative_l2(got, want) < 1e-10


@pytest.mark.parametrize(("form", "row"), CASES)
def test_a_form_keeps_the_sum_of_relevance_where_every_window_sees_something(form, row):
    model = fixed(conv(*LAYERS[form][row]))
    x, r = question(model, 2, zeros=0.0)
    got = relevance(model, form, np.abs(x) + 0.1, r, targets=1)
    assert abs(got.sum() - r.sum()) < 1e-11 * np.abs(r).sum()


def in_onnxruntime(model, form, x, r, **options):
    """Relevance in float32, as it is deployed."""
    compiled = rule_model(as_float32(model), options=Options(form=form, **options), targets=1)
    feeds = {"x0": x.astype(np.float32), "g": r.astype(np.float32)}
    session = ort.InferenceSession(compiled.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["relevance/x0"], feeds)[0]


def as_float32(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = 1
    for constant in model.graph.initializer:
        constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float32), constant.name))
    return model


EXTREMES = [(1.0, 1.0), (1e-8, 1.0), (1e5, 1.0), (1.0, 2.0**-27)]  # of relevance, of activations


@pytest.mark.parametrize("scale", EXTREMES, ids=["usual", "faint relevance", "strong relevance", "faint activations"])
@pytest.mark.parametrize("zeros", [0.5, 0.9])
@pytest.mark.parametrize(("form", "row"), [("unfold", 0), *((f, i) for f, i in CASES if f != "winograd")])
def test_a_form_is_right_in_float32_from_faint_to_strong(form, row, zeros, scale):
    model = fixed(conv(*LAYERS["direct" if form == "unfold" else form][row]))
    x, r = question(model, 3, zeros=zeros)
    want = relevance(model, "unfold", x, r)
    got = in_onnxruntime(model, form, x * scale[1], r * scale[0]) / scale[0]
    assert np.isfinite(got).all() and relative_l2(got, want) < SINGLE


# ---- Winograd's rounding, and what bounds it ----

ROUNDS = 5e-3  # relative L2 of F(4×4) in float32 at 99 % zeros; 3e-5 at half


@pytest.mark.parametrize("scale", EXTREMES, ids=["usual", "faint relevance", "strong relevance", "faint activations"])
@pytest.mark.parametrize(("zeros", "bound"), [(0.5, 2e-4), (0.99, ROUNDS)])
def test_winograd_is_right_in_float32_to_its_own_bound(zeros, bound, scale):
    model = fixed(conv(64, (28, 30), 64, (3, 3), AROUND))
    x, r = question(model, 4, zeros=zeros)
    want = relevance(model, "unfold", x, r)
    got = in_onnxruntime(model, "winograd", x * scale[1], r * scale[0]) / scale[0]
    assert np.isfinite(got).all() and relative_l2(got, want) < bound


def test_without_the_guard_winograds_noise_is_all_there_is(monkeypatch):
    model = fixed(conv(64, (28, 30), 64, (3, 3), AROUND))
    x, r = question(model, 4, zeros=0.99)
    x[:, :, :14] = 0.0  # windows that hold nothing: Z is 0 there, and noise after rounding
    want = relevance(model, "unfold", x, r)
    assert relative_l2(in_onnxruntime(model, "winograd", x, r), want) < ROUNDS
    monkeypatch.setattr(winograd, "_bound", lambda op, squares, layer: op.constant(np.array([3e38])))
    assert relative_l2(in_onnxruntime(model, "winograd", x, r), want) > 1.0


def test_windows_far_fainter_than_their_neighbours_are_computed_without_winograd(monkeypatch):
    model = fixed(conv(64, (28, 30), 64, (3, 3), AROUND))
    x, r = question(model, 6)
    rng = np.random.default_rng(7)
    x = np.exp(3 * rng.normal(size=x.shape)) * (rng.random(x.shape) > 0.99)
    want = relevance(model, "unfold", x, r)
    assert relative_l2(in_onnxruntime(model, "winograd", x, r), want) < SINGLE
    monkeypatch.setattr(winograd, "_even", lambda op, squares: op.constant(np.array(True)))
    assert relative_l2(in_onnxruntime(model, "winograd", x, r), want) > 0.05


# ---- ONNX Runtime's own layout ----

BLOCKS = [
    (32, (9, 8), (3, 3), {**AROUND}),
    (32, (12, 12), (3, 3), {"strides": [2, 2], **AROUND}),
    (48, (13, 12), (3, 3), {"strides": [2, 2], "pads": [0, 0, 1, 1]}),
    (32, (15, 15), (5, 5), {"strides": [2, 2]}),
    (16, (7, 7), (5, 5), {"pads": [2, 2, 2, 2]}),
    (32, (9, 9), (3, 3), {"strides": [1, 2], **AROUND}),
]


@needs_blocked
@pytest.mark.parametrize("scale", EXTREMES, ids=["usual", "faint relevance", "strong relevance", "faint activations"])
@pytest.mark.parametrize("row", BLOCKS, ids=str)
def test_the_blocked_form_is_right(row, scale):
    channels, size, kernel, attributes = row
    if importlib.import_module("rsp_onnx.rules.forms.blocked").block_size() is None:
        pytest.skip("this ONNX Runtime has no such ops here")
    model = fixed(conv(channels, size, channels, kernel, {"group": channels, **attributes}))
    x, r = question(model, 5)
    want = relevance(model, "unfold", x, r)
    got = in_onnxruntime(model, "blocked", x * scale[1], r * scale[0], in_process=True) / scale[0]
    assert "ReorderInput" in {n.op_type for n in rule_model(
        as_float32(model), options=Options(form="blocked", in_process=True), targets=1).graph.node}  # fmt: skip
    assert np.isfinite(got).all() and relative_l2(got, want) < SINGLE


def depthwise_net(channels=32):
    """A network whose second convolution is depthwise, for one image."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (channels, 3, 3, 3), "w2": (channels, 1, 3, 3), "w3": (4, channels)}
    constants = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], group=channels, pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    x, y = (helper.make_tensor_value_info(n, 1, ["N", *s]) for n, s in (("x", (3, 16, 16)), ("y", (4,))))
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def domains(model):
    return {node.domain for node in model.graph}


def in_process(model):
    return compile_ir(analyse(model, batch=1, targets=1), options=Options(in_process=True))


@needs_blocked
def test_an_exported_file_holds_no_op_of_this_very_onnx_runtime():
    compiled = compile_explainer(depthwise_net(), batch=1, targets=1)
    assert {node.domain for node in compiled.graph.node} == {""}
    assert {node.domain for node in compile_explainer(depthwise_net(), form="blocked").graph.node} == {""}


@needs_blocked
def test_the_probe_keeps_the_form_away_where_the_ops_do_something_else(monkeypatch):
    """Here the ops that lay blocks out do nothing: a runtime of other blocks, whose maps would be wrong in silence."""
    blocked = importlib.import_module("rsp_onnx.rules.forms.blocked")
    if blocked.block_size() is None:
        pytest.skip("this ONNX Runtime has no such ops here")
    x = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    feeds = {"x": x, **asked(1)}
    want = run(compile_explainer(depthwise_net()), feeds)["relevance"]
    good = in_process(depthwise_net())
    assert "com.microsoft.nchwc" in domains(good)
    assert relative_l2(Session(good, "cpu", 1).run(feeds)["relevance"], want) < SINGLE

    monkeypatch.setattr(blocked.Blocks, "read", lambda self, x: self._op.Identity(x))
    blocked.block_size.cache_clear()
    try:
        assert blocked.block_size() is None
        kept = in_process(depthwise_net())
        assert domains(kept) == {""}
        assert relative_l2(Session(kept, "cpu", 1).run(feeds)["relevance"], want) < SINGLE
        monkeypatch.setattr(blocked, "block_size", lambda: 16)  # without the probe: wrong
        wrong = Session(in_process(depthwise_net()), "cpu", 1).run(feeds)["relevance"]
        assert relative_l2(wrong, want) > 0.1
    finally:
        monkeypatch.undo()
        blocked.block_size.cache_clear()


@needs_blocked
def test_a_runtime_without_these_ops_has_no_such_form(monkeypatch):
    blocked = importlib.import_module("rsp_onnx.rules.forms.blocked")
    monkeypatch.setattr(blocked, "_DOMAIN", "com.microsoft.no_such_domain")
    blocked.block_size.cache_clear()
    try:
        assert blocked.block_size() is None
        assert domains(in_process(depthwise_net())) == {""}
    finally:
        blocked.block_size.cache_clear()


def test_a_form_can_be_taken_out_by_deleting_its_module(tmp_path):
    root = Path(__file__).parents[1]
    for folder in ("rsp_onnx", "rules", "cli"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "rules/forms/blocked.py").unlink(missing_ok=True)
    script = """
import sys, numpy as np, onnx
from rsp_onnx import Explainer
from rsp_onnx.rules.forms.choose import forms
assert "blocked" not in [form.name for form in forms()]
x = np.load(sys.argv[2])
np.save(sys.argv[3], Explainer(sys.argv[1], preprocess="raw", device="cpu").explain(x, target=1).relevance)
"""
    x = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "net.onnx").write_bytes(depthwise_net().SerializeToString())
    names = [str(tmp_path / name) for name in ("net.onnx", "x.npy", "map.npy")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, *names], check=True, env=environment, cwd=tmp_path)
    want = run(compile_explainer(depthwise_net()), {"x": x, **asked(1)})["relevance"][0, 0]
    assert relative_l2(np.load(names[2]), want) < SINGLE


# ---- the choice ----


def layer(channels, side, filters=None, stride=1, kernel=3, group=1, alone=False):
    """A square layer of a large network."""
    around, out = kernel // 2, (side - 1) // stride + 1
    window = Window((kernel,) * 2, (stride,) * 2, (1, 1), (around,) * 2, (around,) * 2, (side,) * 2, (out,) * 2)
    return Layer(Convolution(window, channels, filters or channels, group), alone)


def chosen(of, form="auto"):
    class Asking:
        options = Options(form=form)

    return choose(Asking(), of)


@pytest.mark.parametrize(
    ("of", "form"),
    [
        (layer(512, 14), "gram"),
        (layer(512, 28), "gram"),
        (layer(256, 56), "unfold"),
        (layer(512, 14, stride=2), "gram"),
        (layer(64, 56, stride=2), "unfold"),
        (layer(64, 224, alone=True), "winograd"),
        (layer(512, 14, alone=True), "gram"),
        (layer(16, 55, filters=64, alone=True), "direct"),
        (layer(16, 55, filters=64, kernel=1, alone=True), "pointwise"),
        (layer(96, 56, group=96, alone=True), "depthwise"),
    ],
)
def test_the_cheaper_form_is_chosen(of, form):
    assert chosen(of) == form


def test_the_choice_turns_once_as_maps_grow_and_layers_get_shallower():
    growing = [chosen(layer(256, side)) for side in range(4, 68, 8)]
    deeper = [chosen(layer(channels, 28)) for channels in (16, 32, 64, 128, 256, 512)]
    wider = [chosen(layer(128, 24, kernel=kernel)) for kernel in (1, 3, 5, 7)]
    assert growing == sorted(growing) and set(growing) == {"gram", "unfold"}
    assert wider == sorted(wider, reverse=True) and set(wider) == {"gram", "unfold"}
    assert deeper == sorted(deeper, reverse=True)


@pytest.mark.parametrize("form", ["unfold", "gram"])
@pytest.mark.parametrize(("channels", "side"), [(512, 14), (16, 56)])
def test_an_option_forces_the_form_where_it_applies(form, channels, side):
    assert chosen(layer(channels, side), form) == form
    assert chosen(layer(channels, side)) == ("gram" if channels == 512 else "unfold")
    assert chosen(layer(channels, side), "winograd") == chosen(layer(channels, side))


def test_costs_count_the_products_of_the_formulas():
    table = costs(replace(layer(6, 20, filters=4, alone=True)))
    places = 20 * 20
    assert table["unfold"].operations == 3 * 2 * places * (9 * 6) * 2 * 4
    assert table["gram"].operations == 2 * places**2 * (2 * 6 + 4 * 4)
    assert all(math.isfinite(c.time) and c.memory > 0 for c in table.values())
    assert set(costs(layer(8, 8, stride=2))) == {"unfold", "gram"}


def test_forms_are_found_in_the_modules_of_their_package():
    assert {form.name for form in forms()} >= {"unfold", "gram", "direct", "pointwise", "winograd", "depthwise"}
    assert forms() == chooser._find()


# ---- one file for every K and N ----


def small_net():
    """Two convolutions and a dense layer, N free."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (5, 3, 3, 3), "w2": (6, 5, 3, 3), "w3": (4, 6)}
    constants = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    x = helper.make_tensor_value_info("x", 1, ["N", 3, 9, 8])
    y = helper.make_tensor_value_info("y", 1, ["N", 4])
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("form", ["unfold", "gram"])
def test_one_compiled_file_serves_every_number_of_samples_and_targets(form):
    compiled = compile_explainer(small_net(), form=form)
    session = ort.InferenceSession(compiled.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(3, 3, 9, 8)).astype(np.float32)
    targets = np.array([[0, 1, 3], [2, 3, 1]], dtype=np.int64)

    def relevance(k, n):
        none = np.zeros((*targets[k, n].shape, 0), dtype=np.int64)
        return session.run(["relevance"], {"x": x[n], "target": targets[k, n], "hostile": none})[0]

    every = slice(None)
    whole = relevance(every, every)
    assert whole.shape == (2, 3, 3, 9, 8)
    for k in range(2):
        for n in range(3):
            one = (slice(k, k + 1), slice(n, n + 1))
            assert relative_l2(relevance(*one), whole[one]) < 1e-6
        assert relative_l2(relevance(slice(k, k + 1), every), whole[k : k + 1]) < 1e-6


@pytest.mark.parametrize(("batch", "targets"), [(1, 1), (2, 3), (1, None), (None, 2)])
def test_a_file_for_fixed_numbers_says_the_same(batch, targets):
    x = np.random.default_rng(1).normal(size=(batch or 2, 3, 9, 8)).astype(np.float32)
    feeds = {"x": x, **asked(tuple(range(targets or 2)), (3,), len(x))}
    got = run(compile_explainer(small_net(), batch=batch, targets=targets), feeds)["relevance"]
    assert relative_l2(got, run(compile_explainer(small_net()), feeds)["relevance"]) < 1e-6
