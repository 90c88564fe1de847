"""What a graph costs, told by shapes alone: held to a run in ONNX Runtime and to counts made by hand."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from rsp_onnx import compile_explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.cost import rates
from rsp_onnx.cost.amounts import Kind, amounts
from rsp_onnx.cost.estimate import before_running
from rsp_onnx.cost.memory import filter_bytes, folded_bytes, largest_weight, live_bytes, weight_bytes
from rsp_onnx.cost.sizes import sizes_of
from rsp_onnx.model.load import load_model

from .little import RNG, conv_net, little, table_net, two_input_net


def of(text, given=None, **weights):
    model = ir.from_proto(little(text, **weights))
    return model.graph, sizes_of(model, given)


def weight(*shape):
    return RNG(1).randn(*shape).astype(np.float32)


def recurrent():
    return little(
        """g (float[40,1,6] x) => (float[1,4] y) <int64[2] flat = {1, -1}> {
            a, h, c = LSTM<hidden_size=8>(x, w, r) q = Reshape(h, flat) y = MatMul(q, v) }""",
        w=weight(1, 32, 6), r=weight(1, 32, 8), v=weight(8, 4),
    )  # fmt: skip


# ---- sizes ----


@pytest.mark.parametrize("method", ["rsp", "lrp-epsilon-plus-flat", "integrated-gradients"])
@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(
    "source",
    [conv_net, two_input_net, recurrent, "digits_vit.onnx", "digits_pytorch.onnx"],
    ids=["conv", "two inputs", "lstm", "vit", "digits"],
)
def test_sizes_are_those_of_a_run(repo, source, size, method):
    given = source() if callable(source) else repo / "models" / source
    compiled = compile_explainer(given, method, batch=size, targets=size)
    model = ir.from_proto(compiled)
    sizes = sizes_of(model)
    assert sizes.unknown == []
    names = [v.name for node in model.graph for v in node.outputs if v.name]
    given = {v.name for v in compiled.graph.output}
    compiled.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(compiled.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {str(v.name): np.zeros(sizes.shapes[v], v.dtype.numpy()) for v in model.graph.inputs}
    found = dict(zip(names, session.run(names, feeds), strict=True))
    for node in model.graph:
        for value in node.outputs:
            if value.name:
                assert (sizes.shapes[value], sizes.types[value].numpy()) == (
                    found[value.name].shape, found[value.name].dtype), value.name  # fmt: skip


def test_sizes_that_depend_on_numbers_are_named():
    _, sizes = of("g (float[N,7] x) => (int64[2,M] y) { y = NonZero(x) }")
    assert sizes.unknown == ["y"]


# ---- multiply-adds ----


@pytest.mark.parametrize(
    ("text", "weights", "products"),
    [
        ("g (float[2,6,9,9] x) => (float[2,8,9,9] y) { y = Conv<pads=[1,1,1,1]>(x, w) }", [8, 6, 3, 3],
         2 * 8 * 81 * 6 * 9),
        ("g (float[1,6,9,9] x) => (float[1,6,5,5] y) { y = Conv<group=6, pads=[1,1,1,1], strides=[2,2]>(x, w) }",
         [6, 1, 3, 3], 6 * 25 * 9),
        ("g (float[1,6,4,4] x) => (float[1,8,8,8] y) { y = ConvTranspose<strides=[2,2]>(x, w) }", [6, 8, 2, 2],
         6 * 16 * 8 * 4),
        ("g (float[3,7] x) => (float[3,5] y) { y = Gemm<transB=1>(x, w) }", [5, 7], 3 * 7 * 5),
        ("g (float[7,3] x) => (float[3,5] y) { y = Gemm<transA=1>(x, w) }", [7, 5], 3 * 7 * 5),
        ("g (float[2,4,3,7] x) => (float[2,4,3,5] y) { y = MatMul(x, w) }", [7, 5], 2 * 4 * 3 * 7 * 5),
        ('g (float[2,3,7] x) => (float[2,3,5] y) { y = Einsum<equation="...k,kn->...n">(x, w) }',
         [7, 5], 2 * 3 * 7 * 5),
    ],
    ids=["conv", "depthwise", "transposed", "gemm", "gemm, transposed", "matmul", "einsum"],
)  # fmt: skip
def test_products_are_those_counted_by_hand(text, weights, products):
    graph, sizes = of(text, w=weight(*weights))
    assert amounts(graph, sizes).products == products


def test_the_steps_of_an_lstm_are_counted():
    model = recurrent()
    graph = ir.from_proto(model)
    assert amounts(graph.graph, sizes_of(graph)).products == 40 * (32 * 6 + 32 * 8) + 8 * 4


def test_a_loop_counts_every_step(repo):
    """Twice the steps, twice the products of the loops; what stands before them is in both."""
    counted = []
    for steps in (40, 80, 120):
        model = recurrent()
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = steps
        compiled = ir.from_proto(compile_explainer(model, "gradient"))
        counted.append(amounts(compiled.graph, sizes_of(compiled)).products)
    assert counted[2] - counted[1] == counted[1] - counted[0] > 40 * 32 * 8


def test_bytes_are_those_read_and_written():
    """A view moves nothing; the activation behind the layer is computed with it."""
    graph, sizes = of(
        """g (float[1,2,4,4] x) => (float[1,48] y) <int64[2] flat = {1, -1}> {
            a = Conv<pads=[1,1,1,1]>(x, w) b = Relu(a) c = Exp(b) y = Reshape(c, flat) }""",
        w=weight(3, 2, 3, 3),
    )  # fmt: skip
    total = amounts(graph, sizes)
    assert total.bytes == 4 * ((32 + 54 + 48) + (48 + 48))
    assert total.nodes == 3
    kinds = {kind: row[0] for kind, row in total.by_kind.items() if row[0]}
    assert kinds == {Kind.THIN: 1, Kind.ENTRIES: 2, Kind.NOTHING: 1}


GELU = """g (float[4,16] x) => (float[4,16] y) <float root = {1.4142135}, float one = {1}, float half = {0.5}> {
    a = Tanh(x) b = Div(a, root) c = Erf(b) d = Add(c, one) e = Mul(a, d) f = Mul(e, half) %s }"""


def test_a_gelu_in_parts_is_one_pass_where_the_model_runs_alone():
    """Not so in an explanation, nor where a product reads what lies between."""
    graph, sizes = of(GELU % "y = Neg(f)")
    alone, explained = amounts(graph, sizes, alone=True), amounts(graph, sizes)
    assert (alone.nodes, alone.bytes) == (1, 4 * (64 + 3 + 64))
    assert (explained.nodes, explained.bytes) == (7, 4 * (7 * 128 + 3 + 64))

    graph, sizes = of(GELU % "g = Transpose(d) h = MatMul(f, g) y = MatMul(h, f)")
    assert amounts(graph, sizes, alone=True).by_kind[Kind.ENTRIES][0] == 6


def test_a_chain_that_reads_two_tensors_is_not_one_pass():
    graph, sizes = of("""g (float[4,16] x, float[4,16] z) => (float[4,16] y) {
        a = Exp(x) b = Mul(a, z) c = Tanh(b) d = Neg(c) y = Exp(d) }""")
    assert amounts(graph, sizes, alone=True).bytes == amounts(graph, sizes).bytes


def test_what_is_computed_of_weights_alone_costs_memory_and_no_time():
    """W⁺ is made when the model is loaded; read by a layer, it is kept."""
    graph, sizes = of(
        "g (float[1,2,4,4] x) => (float[1,3,4,4] y) { v = Neg(w) p = Relu(v) y = Conv<pads=[1,1,1,1]>(x, p) }",
        w=weight(3, 2, 3, 3),
    )  # fmt: skip
    total = amounts(graph, sizes)
    assert (total.nodes, total.bytes) == (1, 4 * (32 + 54 + 48))
    assert folded_bytes(graph, sizes) == 4 * 54
    assert live_bytes(graph, sizes) == 4 * (32 + 48)


def test_a_bias_behind_a_product_moves_nothing():
    graph, sizes = of(
        "g (float[4,16] x) => (float[4,8] y) { a = MatMul(x, w) b = Add(a, v) y = Exp(b) }",
        w=weight(16, 8), v=weight(8),
    )  # fmt: skip
    assert amounts(graph, sizes).bytes == 4 * ((64 + 128 + 32) + (32 + 32))


# ---- memory ----


def test_memory_is_what_lives_at_once():
    """x and a live while b is made; b is written over a, which nobody reads later; c is b under other axes."""
    graph, sizes = of(
        """g (float[1,100] x) => (float[100,1] y) <int64[2] turned = {100, 1}> {
            a = Exp(x) b = Neg(a) c = Reshape(b, turned) y = Exp(c) }"""
    )
    assert live_bytes(graph, sizes) == 4 * 200
    graph, sizes = of("g (float[1,100] x) => (float[1,100] y) { a = Exp(x) b = Exp(x) c = Mul(a, b) y = Add(c, a) }")
    assert live_bytes(graph, sizes) == 4 * 300


def test_weights_and_filters_are_told_apart():
    graph, _ = of(
        "g (float[1,2,4,4] x) => (float[1,5] y) { a = Conv(x, w) f = Flatten(a) y = MatMul(f, v) }",
        w=weight(3, 2, 3, 3), v=weight(12, 5),
    )  # fmt: skip
    assert (weight_bytes(graph), filter_bytes(graph)) == (4 * (54 + 60), 4 * 54)
    assert filter_bytes(ir.from_proto(table_net()).graph) == 0


def test_keeping_a_heavy_model_adds_one_weight(monkeypatch, cache_switched_on):
    """Reading takes 1.05 times the file; where it is kept, ONNX Runtime copies the largest weight while it writes."""
    model = table_net()
    loaded = load_model(model)
    analysis = analyse(loaded)
    own = weight_bytes(analysis.deployed.graph)
    assert largest_weight(analysis.deployed) == 4 * 9 * 7 and own == 4 * (9 * 7 + 9 + 3 * 9 + 3)
    light = before_running(loaded, analysis.graph, analysis.deployed)
    monkeypatch.setattr("rsp_onnx.cost.estimate.HAND_OVER", 0)
    heavy = before_running(loaded, analysis.graph, analysis.deployed)
    assert heavy - light == pytest.approx(4 * 9 * 7 - rates.COPIED * own)
    monkeypatch.setenv("RSP_ONNX_CACHE", "off")
    assert before_running(loaded, analysis.graph, analysis.deployed) == pytest.approx(light - rates.COPIED * own)
