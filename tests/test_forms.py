"""The forms of the conv rule are equal, the cheaper one is chosen, and one compiled file serves every K and N."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from rsp_onnx import compile_explainer
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context, Options
from rsp_onnx.rulekit.float_views import Views
from rsp_onnx.rules.shared.forms import choose, costs, node_costs
from rsp_onnx.testing.checks import check_conservation, rule_model, runner
from rsp_onnx.testing.models import read_ops

from .grid.row import Row, weights
from .running import relative_l2


@st.composite
def geometries(draw):
    """Small convolutions of stride 1, with one or two axes: channels, sizes, filters, kernel, attributes."""
    axes, group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    per_axis = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    kernel, dilations = draw(per_axis), draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes))
    size = draw(st.lists(st.integers(2, 6), min_size=axes, max_size=axes))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    assume(all(n + pads[i] + pads[i + axes] >= spans[i] for i, n in enumerate(size)))
    channels, filters = group * draw(st.integers(1, 3)), group * draw(st.integers(1, 2))
    return channels, size, filters, kernel, {"group": group, "dilations": dilations, "pads": pads}


def conv(channels, size, filters, kernel, attributes):
    weight = weights(filters, channels // attributes["group"], *kernel)
    return Row("Conv", "", ((channels, *size), weight), attributes, hidden=True).model()


def both_forms(model, seed=0):
    """Relevance of a conv or dense layer on random x and R of both signs, by form."""
    rng = np.random.default_rng(seed)
    op = read_ops(model, None)
    x = rng.normal(size=(2, *op.graph.dims(op.inputs[0])[1:]))
    r = rng.normal(size=(2, 2, *op.graph.dims(op.outputs[0])[1:]))
    results = {}
    for form in ("unfold", "gram"):
        compiled = rule_model(model, options=Options(form=form))
        results[form] = runner(compiled)({"x0": x, "g": r})["relevance/x0"]
    return results["unfold"], results["gram"]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(geometries(), st.integers(0, 100))
def test_unfold_and_gram_give_the_same_relevance(geometry, seed):
    unfolded, gram = both_forms(conv(*geometry), seed)
    assume(np.abs(unfolded).max() > 0)
    assert relative_l2(gram, unfolded) < 1e-12


@settings(max_examples=15, deadline=None, derandomize=True)
@given(geometries(), st.sampled_from(["unfold", "gram"]))
def test_both_forms_keep_the_sum_of_relevance_where_every_window_sees_something(geometry, form):
    _, _, _, kernel, attributes = geometry
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, attributes["dilations"], strict=True)]
    assume(all(pad < span for i, span in enumerate(spans) for pad in attributes["pads"][i :: len(spans)]))
    check_conservation(conv(*geometry), options=Options(form=form))


@pytest.mark.parametrize("places", [(5,), (2, 3)], ids=["tokens", "channels last"])
def test_the_forms_of_a_dense_layer_per_position_agree(places):
    model = Row("MatMul", "", ((*places, 6), weights(6, 4)), hidden=True).model()
    unfolded, gram = both_forms(model)
    assert relative_l2(gram, unfolded) < 1e-12


@pytest.mark.parametrize("attributes", [{"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"strides": [3, 2]}])
def test_a_strided_convolution_has_the_unfold_form_whatever_was_asked(attributes):
    model = conv(3, (7, 7), 4, (3, 3), {"group": 1, **attributes})
    unfolded, gram = both_forms(model)
    np.testing.assert_array_equal(unfolded, gram)


# ---- the choice ----


def standing_on(channels, side, stride=1, kernel=3, form="auto"):
    """The context and the Conv node of a large layer; the weight is an input, so that none is made."""
    around = kernel // 2
    ops = read_ops(
        f"""<ir_version: 8, opset_import: ["" : 18]>
        layer (float[N, {channels}, {side}, {side}] x, float[{channels}, {channels}, {kernel}, {kernel}] w) => (y) {{
            h = Relu(x)
            y = Conv<pads = [{around}, {around}, {around}, {around}], strides = [{stride}, {stride}]>(h, w)
        }}""",
        ["x"],
    )
    emitter = Emitter(ops.graph.model.graph, np.dtype(np.float32))
    ctx = Context(emitter, ops.graph, Views(emitter, ops.graph), ops.inputs[0], Options(form=form))
    return ctx, ops.nodes[-1]


@pytest.mark.parametrize(
    ("channels", "side", "stride", "form"),
    [
        (512, 14, 1, "gram"),
        (512, 28, 1, "gram"),
        (256, 56, 1, "unfold"),
        (64, 224, 1, "unfold"),
        (512, 14, 2, "unfold"),
        (128, 28, 2, "unfold"),
    ],
)
def test_the_cheaper_form_is_chosen(channels, side, stride, form):
    assert choose(*standing_on(channels, side, stride)) == form


def test_the_choice_turns_once_as_maps_grow_and_layers_get_shallower():
    growing = [choose(*standing_on(256, side)) for side in range(4, 68, 8)]
    deeper = [choose(*standing_on(channels, 28)) for channels in (16, 32, 64, 128, 256, 512)]
    wider = [choose(*standing_on(128, 24, kernel=kernel)) for kernel in (1, 3, 5, 7)]
    assert growing == sorted(growing) and set(growing) == {"gram", "unfold"}
    assert wider == sorted(wider, reverse=True) and set(wider) == {"gram", "unfold"}
    assert deeper == sorted(deeper, reverse=True)


@pytest.mark.parametrize("form", ["unfold", "gram"])
@pytest.mark.parametrize(("channels", "side"), [(512, 14), (16, 56)])
def test_an_option_forces_the_form(form, channels, side):
    ctx, node = standing_on(channels, side, form=form)
    assert choose(ctx, node) == form
    assert choose(replace(ctx, options=Options()), node) == ("gram" if channels == 512 else "unfold")


def test_costs_count_the_products_of_the_formulas():
    table = costs(filters=4, channels=6, volume=9, group=1, positions=20, sources=30)
    assert table["unfold"].operations == 6 * 20 * (9 * 6) * 4
    assert table["gram"].operations == 20**2 * (2 * 6 + 4 * 4)
    assert set(node_costs(*standing_on(8, 8, stride=2))) == {"unfold"}


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
