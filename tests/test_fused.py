"""What ONNX Runtime saves optimised is explained as what it was optimised from."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from rsp_onnx.errors import BadModel
from rsp_onnx.explain.compile import compile_explainer
from rsp_onnx.testing.checks import rule_model, sample_inputs, vjp_model

from .running import asked, assert_scores_close, run

LEVELS = {"basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}
HEAD = '<ir_version: 8, opset_import: ["" : 20, "com.microsoft" : 1]> a '
KERNEL = ", ".join(f"{v:.3f}" for v in np.random.default_rng(0).uniform(-1, 1, 54))
MAP = (
    "(float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y) "
    f"<float[3, 2, 3, 3] w = {{{KERNEL}}}, float[3] b = {{0.1, -0.2, 0.3}}>"
)
RESIDUAL = MAP.replace("x)", "x, float[N, 3, 4, 4] z)", 1)
ROWS = "(float[N, 4, 6] x) => (float[N, 4, 5] y) <float[%s] w = {" + (
    ", ".join(f"{v:.3f}" for v in np.random.default_rng(1).uniform(-1, 1, 30)) + "}, float[5] b = {1, 2, 3, -1, 0}>"
)
FLAT = ROWS.replace("N, 4, ", "N, ")
TOKENS = "(float[N, 4, 6] x) => (float[N, 4, 6] y) <float[6] b = {0.1, -0.2, 0.3, 0.5, -1, 0}>"
SKIP = TOKENS.replace("x)", "x, float[N, 4, 6] z)", 1).replace("<", "<float[6] w = {1, 2, 3, 0.5, 1, 1}, ")
TWO = "(float[N, 4, 6] x, float[N, %s] z) => (float[N, %s] y)"
CONV = "pads = [1, 1, 1, 1]"
MS = "com.microsoft."
PAIRS = {
    "FusedConv Relu": (MAP, f'h = Relu(x) y = {MS}FusedConv<{CONV}, activation = "Relu">(h, w, b)',
                       f"h = Relu(x) c = Conv<{CONV}>(h, w, b) y = Relu(c)"),
    "FusedConv Clip": (MAP, f'h = Relu(x) y = {MS}FusedConv<{CONV}, activation = "Clip",'
                       " activation_params = [0.0, 1.0]>(h, w, b)",
                       f"h = Relu(x) c = Conv<{CONV}>(h, w, b) low = Constant<value_float = 0.0>()"
                       " high = Constant<value_float = 1.0>() y = Clip(c, low, high)"),
    "FusedConv LeakyRelu": (MAP, f'h = Relu(x) y = {MS}FusedConv<{CONV}, activation = "LeakyRelu",'
                            " activation_params = [0.2]>(h, w, b)",
                            f"h = Relu(x) c = Conv<{CONV}>(h, w, b) y = LeakyRelu<alpha = 0.2>(c)"),
    "FusedConv residual": (RESIDUAL, f'h = Relu(x) y = {MS}FusedConv<{CONV}, activation = "Relu">(h, w, b, z)',
                           f"h = Relu(x) c = Conv<{CONV}>(h, w, b) s = Add(c, z) y = Relu(s)"),
    "FusedGemm Elu": (FLAT % "5, 6", f'h = Relu(x) y = {MS}FusedGemm<transB = 1, alpha = 0.5, activation = "Elu",'
                      " activation_alpha = 0.7>(h, w, b)",
                      "h = Relu(x) c = Gemm<transB = 1, alpha = 0.5>(h, w, b) y = Elu<alpha = 0.7>(c)"),
    "FusedMatMul weight": (ROWS % "5, 6", f"h = Relu(x) y = {MS}FusedMatMul<transB = 1, alpha = 0.5>(h, w)",
                           "h = Relu(x) t = Transpose(w) c = MatMul(h, t) a = Constant<value_float = 0.5>()"
                           " y = Mul(c, a)"),
    "FusedMatMul two": (TWO % ("5, 6", "4, 5"), f"y = {MS}FusedMatMul<transB = 1, alpha = 0.5>(x, z)",
                        "t = Transpose<perm = [0, 2, 1]>(z) c = MatMul(x, t) a = Constant<value_float = 0.5>()"
                        " y = Mul(c, a)"),
    "FusedMatMul left": (TWO % ("4, 5", "6, 5"), f"y = {MS}FusedMatMul<transA = 1>(x, z)",
                         "t = Transpose<perm = [0, 2, 1]>(x) y = MatMul(t, z)"),
    "FusedMatMul plain": (TWO % ("6, 5", "4, 5"), f"y = {MS}FusedMatMul<alpha = 0.5>(x, z)",
                          "c = MatMul(x, z) a = Constant<value_float = 0.5>() y = Mul(c, a)"),
    "FusedMatMul batches turned": (
        "(float[4, 2, 6] x, float[6, 2, 5] z) => (float[2, 4, 5] y)",
        f"y = {MS}FusedMatMul<transBatchA = 1, transBatchB = 1, alpha = 0.5>(x, z)",
        "s = Transpose<perm = [1, 0, 2]>(x) t = Transpose<perm = [1, 0, 2]>(z) c = MatMul(s, t)"
        " a = Constant<value_float = 0.5>() y = Mul(c, a)"),
    "FusedMatMul all turned": (
        "(float[6, 2, 3, 4] x, float[5, 2, 3, 6] z) => (float[2, 3, 4, 5] y)",
        f"y = {MS}FusedMatMul<transA = 1, transB = 1, transBatchA = 1, transBatchB = 1>(x, z)",
        "s = Transpose<perm = [1, 2, 3, 0]>(x) t = Transpose<perm = [1, 2, 3, 0]>(z) y = MatMul(s, t)"),
    "FusedMatMul weight with its batches turned": (
        "(float[N, 2, 4, 6] x) => (float[N, 2, 4, 1] y)"
        " <float[6, 1, 2, 1] w = {1, -2, 3, -1, 0.5, 0.7, -0.3, 2, 1, 1, -1, 0.2}>",
        f"h = Relu(x) y = {MS}FusedMatMul<transBatchB = 1, alpha = 0.5>(h, w)",
        "h = Relu(x) t = Transpose<perm = [1, 2, 0, 3]>(w) c = MatMul(h, t) a = Constant<value_float = 0.5>()"
        " y = Mul(c, a)"),
    "Gelu": (TOKENS, f"y = {MS}Gelu(x)", "y = Gelu(x)"),
    "FastGelu": (TOKENS, f"y = {MS}FastGelu(x, b)", 's = Add(x, b) y = Gelu<approximate = "tanh">(s)'),
    "BiasGelu": (TOKENS, f"y = {MS}BiasGelu(x, b)", "s = Add(x, b) y = Gelu(s)"),
    "QuickGelu": (TOKENS, f"y = {MS}QuickGelu<alpha = 1.5>(x)",
                  "a = Constant<value_float = 1.5>() s = Mul(x, a) k = Sigmoid(s) y = Mul(x, k)"),
    "SkipLayerNormalization": (SKIP, f"y = {MS}SkipLayerNormalization<epsilon = 0.001>(x, z, w, b)",
                               "s = Add(x, z) y = LayerNormalization<epsilon = 0.001>(s, w, b)"),
    "SkipSimplifiedLayerNormalization": (
        SKIP, f"y = {MS}SkipSimplifiedLayerNormalization<epsilon = 0.001>(x, z, w)",
        "s = Add(x, z) q = Mul(s, s) i = Constant<value_ints = [-1]>() m = ReduceMean(q, i)"
        " e = Constant<value_float = 0.001>() p = Add(m, e) d = Sqrt(p) n = Div(s, d) y = Mul(n, w)",
    ),
}  # fmt: skip
FUSED = {f"com.microsoft::{name.split()[0]}" for name in PAIRS}


@pytest.mark.parametrize("compiled", [rule_model, vjp_model])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_fused_op_does_what_its_parts_do(pair, compiled):
    graph, fused, parts = (pair[0], *(f"{{ {text} }}" for text in pair[1:]))
    low = 0.5 if compiled is rule_model else -2.0  # as in the grid: a sum of both signs magnifies the rounding
    feeds = sample_inputs(HEAD + graph + parts, low=low, high=2.5)
    size = run_forward(HEAD + graph + parts, feeds).shape
    feeds["g"] = np.random.default_rng(0).uniform(0.5, 1.5, (2, *size)).astype(np.float32)
    got, want = (run(compiled(HEAD + graph + text), feeds) for text in (fused, parts))
    assert got.keys() == want.keys()
    assert max(np.abs(a).max() for a in want.values()) > 0
    for name, a in want.items():
        np.testing.assert_allclose(got[name], a, rtol=0, atol=1e-5 * np.abs(a).max(), err_msg=name)


def run_forward(text, feeds):
    import onnx.parser

    return run(onnx.parser.parse_model(text), feeds)["y"]


def optimise(source, folder, level):
    """Save a model as ONNX Runtime optimises it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[level])
    options.optimized_model_filepath = str(folder / f"{level}.onnx")
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return folder / f"{level}.onnx"


@pytest.mark.parametrize("level", ["basic", "extended"])
@pytest.mark.parametrize("method", ["rsp", "gradient"])
def test_an_optimised_model_is_explained_as_the_original(repo, tmp_path, level, method):
    source = repo / "models" / "digits_pytorch.onnx"
    x = np.random.default_rng(0).random((2, 3, 96, 96)).astype(np.float32)
    feeds = {"image": x, **asked([3, 5], [1], samples=2)}
    want = run(compile_explainer(source, method), feeds)["relevance"]
    optimised = optimise(source, tmp_path, level)
    assert optimised.stat().st_size > 0
    got = run(compile_explainer(optimised, method), feeds)["relevance"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("method", ["rsp", "gradient"])
@pytest.mark.parametrize("name", ["digits_pytorch", "digits_keras", "strided"])
def test_blocked_layouts_are_explained_as_what_they_stand_for(repo, tmp_path, name, method):
    source = repo / "models" / f"{name}.onnx"
    if name == "strided":
        source = tmp_path / "strided.onnx"
        onnx.save(strided(), source)
    saved = optimise(source, tmp_path, "all")
    if b"nchwc" not in saved.read_bytes():
        pytest.skip("ONNX Runtime writes no blocked layouts for this processor")
    (given,) = onnx.load(source).graph.input
    sizes = [d.dim_value for d in given.type.tensor_type.shape.dim][1:]
    feeds = {
        given.name: np.random.default_rng(0).random((2, *sizes)).astype(np.float32),
        **asked([3, 5], [1], samples=2),
    }
    got, want = (run(compile_explainer(path, method), feeds) for path in (saved, source))
    np.testing.assert_allclose(got["relevance"], want["relevance"], rtol=0, atol=1e-5 * np.abs(want["relevance"]).max())
    own = run(str(saved), {given.name: feeds[given.name]})
    for output, array in own.items():
        largest = 1.0 if name.startswith("digits") else 0.0  # a sigmoid is computed as a half plus its distance to it
        assert_scores_close(got[output], array, largest)


def strided():
    """Groups, depthwise filters, a residual, a Clip, an average pool, and a classifier that fills no whole block."""
    rng, weights = np.random.default_rng(0), []

    def filters(name, *shape):
        weights.append(numpy_helper.from_array((rng.normal(size=shape) / 4).astype(np.float32), name))

    filters("a", 32, 3, 3, 3)
    filters("b", 32, 1, 3, 3)
    filters("c", 32, 16, 1, 1)
    filters("d", 11, 32, 1, 1)
    model = parse("""<ir_version: 8, opset_import: ["" : 18]> net (float[N, 3, 16, 16] x) => (float[N, 11] y) {
        low = Constant<value = float {0.0}>()
        high = Constant<value = float {6.0}>()
        s = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, a)
        t = Clip(s, low, high)
        u = Conv<group = 32, pads = [1, 1, 1, 1]>(t, b)
        v = Conv<group = 2>(u, c)
        r = Add(v, t)
        w = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(r)
        k = Relu(w)
        m = Conv(k, d)
        p = GlobalAveragePool(m)
        y = Flatten(p) }""")
    model.graph.initializer.extend(weights)
    return model


def test_an_op_older_than_its_opset_is_accepted_where_the_runtime_knows_it(tmp_path):
    text = """<ir_version: 8, opset_import: ["" : %d]> a (float[N, 3, 8, 8] x) => (float[N, 4] y)
        <float[4, 3, 1, 1] k = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}, float[4] w = {1, 2, 3, 1}> {
        c = Conv(x, k) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) y = LayerNormalization(f, w) }"""
    x = np.random.default_rng(0).random((1, 3, 8, 8)).astype(np.float32)
    old, new = (run(compile_explainer(parse(text % v)), {"x": x, **asked(1)})["relevance"] for v in (14, 18))
    np.testing.assert_array_equal(old, new)
    with pytest.raises(BadModel, match="cannot be lifted"):  # the meaning of Softmax's axes changed at 13
        compile_explainer(parse(text.replace("y = Layer", "s = Layer").replace("w) }", "w) y = Softmax(s) }") % 12))


def parse(text):
    import onnx.parser

    return onnx.parser.parse_model(text)
