"""What is written out in other ops computes what it stands for, and has its gradient."""

import numpy as np
import onnx
import onnx.numpy_helper
import onnx_ir as ir
import onnxruntime as ort
import pytest

from rsp_onnx import compile_explainer
from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.graph.shapes import fix_shapes
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.rewrite.expand import expand
from rsp_onnx.testing.checks import check_adjoint

from .backend_nodes import COMMON_OPSET, node_tests
from .running import run

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


def written(model):
    """Return the model with all written out that can be."""
    work = canonize(load_model(model))
    fix_shapes(work)
    assert expand(work), [node.meta for node in work.graph]
    return ir.to_proto(work)


# ---- ONNX's own node tests ----


WRITTEN = ("STFT", "CumProd", "DeformConv", "RoiAlign")
LEFT_OUT = ("mode_max", "int32")  # refused in a sentence; nothing flows through integers


def points():
    tests = (t for t in node_tests() if t.model.graph.node[0].op_type in WRITTEN)
    return [pytest.param(t, id=t.name) for t in tests if not t.name.endswith(LEFT_OUT) and "int32" not in t.name]


@pytest.mark.parametrize("test", points())
def test_the_node_tests_of_onnx_come_out(test):
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    inputs, outputs = test.data_sets[0]
    arrays = {v.name: as_array(a) for v, a in zip(model.graph.input, inputs, strict=True)}
    kept = [v for v in model.graph.input if arrays[v.name].dtype in FLOATS]
    fixed = [onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if a.dtype not in FLOATS]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(fixed)
    proto = written(model)
    assert test.model.graph.node[0].op_type not in {n.op_type for n in proto.graph.node}
    for version in proto.opset_import:
        version.version = min(version.version, COMMON_OPSET)
    got = next(iter(run(proto, {v.name: arrays[v.name] for v in kept}).values()))
    want = as_array(outputs[0])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())  # RoiAlign's are given to 4 digits


def as_array(given):
    return onnx.numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else np.asarray(given)


TONES = {"step": np.array(8), "window": np.hanning(16).astype(np.float32) + 1, "last": np.array([3])}
REGION = {"rois": np.array([[1, 1, 6, 5]], np.float32), "first": np.array([0])}
MAPS = "a = Conv<pads = [1, 1, 1, 1]>(x, w)  r = Relu(a)  "
NETWORKS = {
    "sound": ("float[N, 64] x", "z = STFT(x, step, window)  s = Mul(z, z)  p = ReduceSum<keepdims = 0>(s, last)"
              "  l = Log(p)  t = Unsqueeze(l, one)", TONES),
    "deformed": ("float[N, 3, 8, 8] x", MAPS + "q = Conv<pads = [1, 1, 1, 1]>(r, v)"
                 "  o = Sigmoid(q)  t = DeformConv<pads = [1, 1, 1, 1]>(r, u, o)", {}),
    "regions": ("float[1, 3, 8, 8] x", MAPS + "t = RoiAlign<output_height = 2, output_width = 2, sampling_ratio = 2>"
                "(r, rois, first)", REGION),
}  # fmt: skip


def network(name):
    """A classifier of three scores around an op that is written out."""
    given, body, constants = NETWORKS[name]
    text = f"""<ir_version: 8, opset_import: ["" : 19]> net ({given}) => (float[N, 3] y) {{ {body}
        b = Relu(t)  c = Conv(b, k)  d = Relu(c)  e = GlobalAveragePool(d)  f = Flatten(e)  y = MatMul(f, m) }}"""
    shapes = {"w": (4, 3, 3, 3), "v": (18, 4, 3, 3), "u": (4, 4, 3, 3), "m": (5, 3)}
    shapes["k"] = (5, 1 if name == "sound" else 4, 2, 2)
    arrays = {n: numbers(*shape, seed=i) for i, (n, shape) in enumerate(shapes.items())}
    arrays |= constants | {"one": np.array([1])}
    model = onnx.parser.parse_model(text)
    read = {i for n in model.graph.node for i in n.input}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n in read)
    return model


@pytest.mark.parametrize("method", ["rsp", "gradient", "lrp-epsilon"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_around_them_are_explained_and_keep_their_scores(name, method):
    model = network(name)
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x, ask = numbers(*shape, seed=8), {"target": np.zeros((1, 1), np.int64), "hostile": np.zeros((1, 1, 0), np.int64)}
    compiled = compile_explainer(model, method)
    asked = {v.name for v in compiled.graph.input}
    got = run(compiled, {n: a for n, a in {"x": x, **ask}.items() if n in asked})
    np.testing.assert_allclose(got["y"], run(model, {"x": x})["y"], rtol=0, atol=5e-6)
    assert np.isfinite(got["relevance"]).all() and got["relevance"].any()
    if method == "gradient":
        way = 5e-4 * numbers(*shape, seed=9)
        ends = [run(model, {"x": x + sign * way})["y"].astype(np.float64)[0, 0] for sign in (1, -1)]
        assert float((got["relevance"][0] * way).sum()) == pytest.approx((ends[0] - ends[1]) / 2, rel=0.05, abs=2e-6)


# ---- ONNX Runtime's own ops ----


RNG = np.random.default_rng(0)
MS = "com.microsoft."
HEAD = '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]> own '


def numbers(*shape, seed=0, kind=np.float32, low=-1.0):
    return np.random.default_rng(seed).uniform(low, 1, shape).astype(kind)


def bits(*shape, seed=0, top=256):
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8)


ROTARY = {"c": numbers(9, 2, seed=1), "s": numbers(9, 2, seed=2)}
PLACES = np.array([[2, 0, 5]])
NBITS = {"w": bits(3, 2, 8), "k": numbers(6, seed=1, low=0.1)}
QUERY = {"w": bits(8, 24, seed=1), "b": numbers(24, seed=2), "xs": np.float32(0.02), "ws": np.float32(0.01),
         "xz": np.uint8(120), "wz": np.uint8(130)}  # fmt: skip
OWN = {
    "root mean square": ("(float[N, 4, 6] x) => (float[N, 4, 6] y)",
        "y = SimplifiedLayerNormalization<axis = -1, epsilon = 0.01>(x, k)", {"k": numbers(6)}),
    "rotary, three axes": ("(float[1, 3, 8] x) => (float[1, 3, 8] y)", f"y = {MS}RotaryEmbedding(x, p, c, s)",
        {"p": PLACES, **ROTARY}),
    "rotary, four axes": ("(float[1, 2, 3, 4] x) => (float[1, 2, 3, 4] y)", f"y = {MS}RotaryEmbedding(x, p, c, s)",
        {"p": PLACES, **ROTARY}),
    "rotary, pairs, from a place on": ("(float[2, 3, 8] x) => (float[2, 3, 8] y)",
        f"y = {MS}RotaryEmbedding<interleaved = 1>(x, p, c, s)", {"p": np.array([4]), **ROTARY}),
    "rotary, in part": ("(float[1, 3, 12] x) => (float[1, 3, 12] y)",
        f"y = {MS}RotaryEmbedding<num_heads = 2, rotary_embedding_dim = 4>(x, p, c, s)", {"p": PLACES, **ROTARY}),
    "four bits": ("(float[N, 2, 20] x) => (float[N, 2, 3] y)",
        f"y = {MS}MatMulNBits<K = 20, N = 3, bits = 4, block_size = 16>(x, w, k)", NBITS),
    "four bits with zero points": ("(float[N, 20] x) => (float[N, 3] y)",
        f"y = {MS}MatMulNBits<K = 20, N = 3, bits = 4, block_size = 16>(x, w, k, z)", {**NBITS, "z": bits(3, seed=3)}),
    "eight bits with a bias": ("(float[N, 20] x) => (float[N, 3] y)",
        f'y = {MS}MatMulNBits<K = 20, N = 3, bits = 8, block_size = 16>(x, w, k, , , b)',
        {"w": bits(3, 2, 16), "k": NBITS["k"], "b": numbers(3)}),
    "distances": ("(float[4, 5] x, float[3, 5] z) => (float[4, 3] y)",
        f'y = {MS}CDist<metric = "euclidean">(x, z)', {}),
    "squared distances": ("(float[4, 5] x, float[3, 5] z) => (float[4, 3] y)",
        f'y = {MS}CDist<metric = "sqeuclidean">(x, z)', {}),
    "grid": ("(float[1, 2, 4, 5] x, float[1, 2, 3, 2] z) => (float[1, 2, 2, 3] y)",
        f'y = {MS}GridSample<mode = "bilinear", padding_mode = "border">(x, z)', {}),
    "triangle": ("(float[4, 4] x) => (float[4, 4] y)", f"y = {MS}Trilu<upper = 0>(x)", {}),
    "padding": ("(float[N, 3] x) => (float[N, 5] y)", f"y = {MS}Pad(x, p)", {"p": np.array([0, 1, 0, 1])}),
    "one axis more": ("(float[N, 3] x) => (float[N, 1, 3] y)", f"y = {MS}ExpandDims(x, a)", {"a": np.int32(1)}),
    "product": ("(float[N, 4, 6] x, float[N, 5, 6] z) => (float[N, 4, 5] y)",
        f"y = {MS}TransposeMatMul<transB = 1, alpha = 0.5>(x, z)", {}),
}  # fmt: skip


def own(name):
    signature, text, constants = OWN[name]
    model = onnx.parser.parse_model(f"{HEAD}{signature} {{ {text} }}")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return model


def feeds_of(model):
    shapes = {v.name: [d.dim_value or 2 for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {n: numbers(*shape, seed=9 + i) * np.float32(0.9) for i, (n, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("name", [n for n in OWN if n != "product"])
def test_ops_of_the_runtime_come_out_as_it_computes_them(name):
    model, feeds = own(name), feeds_of(own(name))
    proto = written(model)
    assert not {n.domain for n in proto.graph.node} - {""}
    got, want = run(proto, feeds)["y"], run(model, feeds)["y"]
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.abs(want).max())


@pytest.mark.parametrize("name", OWN)
def test_ops_of_the_runtime_have_their_gradient(name):
    model, feeds = own(name), feeds_of(own(name))
    if "distances" in name:
        feeds["z"] += 2  # apart, where a root is smooth
    check_adjoint(model, feeds, tolerance=1e-3, step=2.0**-7)


def quantised_attention(**settings):
    """Attention on integers, behind the rounding that makes them, in front of four scores."""
    given = ", ".join(f"{k} = {v}" for k, v in settings.items())
    model = onnx.parser.parse_model(f"""{HEAD} (float[N, 5, 8] x) => (float[N, 4] y) {{
        q = QuantizeLinear(x, xs, xz)
        a = {MS}QAttention<{given}>(q, w, b, xs, ws, , xz, wz)
        p = ReduceMean<keepdims = 0>(a, one)
        y = MatMul(p, v)
    }}""")
    constants = {**QUERY, "one": np.array([1]), "v": numbers(8, 4, seed=5)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return model


@pytest.mark.parametrize("settings", [{"num_heads": 2}, {"num_heads": 4, "unidirectional": 1}], ids=str)
def test_attention_on_integers_comes_out(settings):
    model, x = quantised_attention(**settings), {"x": numbers(2, 5, 8, seed=7)}
    got, want = run(written(model), x)["y"], run(model, x)["y"]
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.abs(want).max())
    for method in ("rsp", "gradient"):
        feeds = {**x, "target": np.zeros((1, 2), np.int64), "hostile": np.zeros((1, 2, 0), np.int64)}
        explained = run(compile_explainer(model, method), feeds)
        assert np.array_equal(explained["y"].argmax(1), want.argmax(1))
        assert np.isfinite(explained["relevance"]).all() and explained["relevance"].any()


def test_an_optional_tensor_is_the_tensor():
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N, 3, 4] x) => (float[N, 4] y) {
        h = Relu(x)  o = Optional(h)  e = OptionalGetElement(o)  one = Constant<value = int64[1] {1}>()
        y = ReduceMean<keepdims = 0>(e, one) }"""
    assert not any("Optional" in n.op_type for n in written(onnx.parser.parse_model(text)).graph.node)


def test_a_map_over_a_sequence_is_its_body_for_every_tensor():
    text = """<ir_version: 8, opset_import: ["" : 18]> net (float[N, 2, 6, 6] x, float[1] k) => (float[N, 2] y) {
        s = SplitToSequence<axis = 1>(x)
        t = SequenceMap<body = each (float[N, 1, 6, 6] v, float[1] f) => (float[N, 1, 6, 6] w) {
            m = Mul(v, f)  w = Relu(m) }>(s, k)
        c = ConcatFromSequence<axis = 1>(t)  p = GlobalAveragePool(c)  y = Flatten(p) }"""
    model = onnx.parser.parse_model(text)
    del model.graph.input[1]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-2.0], np.float32), "k"))
    proto, feeds = written(model), {"x": numbers(2, 2, 6, 6)}
    assert [n.op_type for n in proto.graph.node].count("Relu") == 2
    assert not any("Sequence" in n.op_type for n in proto.graph.node)
    np.testing.assert_allclose(run(proto, feeds)["y"], run(model, feeds)["y"], rtol=1e-6)
    ask = {"target": np.ones((1, 2), np.int64), "hostile": np.zeros((1, 2, 0), np.int64)}
    back = run(compile_explainer(model, "gradient"), {**feeds, **ask})["relevance"][0]
    np.testing.assert_allclose(back[:, 1], -2 / 36 * (feeds["x"][:, 1] < 0), atol=1e-7)
    assert not back[:, 0].any()


REFUSED = {
    "samples by size": ('(float[1, 2, 6, 6] x) => (float[1, 2, 2, 2] y)', "y = RoiAlign<output_height = 2, "
                        "output_width = 2>(x, r, i)", "sampling_ratio above 0"),
    "maxima of samples": ('(float[1, 2, 6, 6] x) => (float[1, 2, 1, 1] y)', 'y = RoiAlign<mode = "max", '
                          "sampling_ratio = 2>(x, r, i)", "only their mean is supported"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_out_says_why(name):
    signature, text, why = REFUSED[name]
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> g {signature} {{ {text} }}')
    constants = {"r": np.array([[0, 0, 4, 4]], np.float32), "i": np.array([0])}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in constants.items())
    with pytest.raises(UnsupportedOp, match=why):
        compile_explainer(model, "gradient")


def test_the_runtime_has_all_of_these():
    """A row that the runtime refuses would be held to nothing."""
    for name in OWN:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        ort.InferenceSession(own(name).SerializeToString(), options, providers=["CPUExecutionProvider"])
