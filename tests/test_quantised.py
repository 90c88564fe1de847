"""Models of 8-bit integers are explained as they are deployed, and near enough to what they were quantised from."""

import warnings

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime import quantization as q

from rsp_onnx.explain.compile import analyse, compile_explainer
from rsp_onnx.testing.checks import rule_model, sample_inputs, vjp_model

from .running import asked, correlation, run

HEAD = '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]> a '
KINDS = ("operators", "operators per channel", "around operators", "dynamic", "dynamic products")


class Images(q.CalibrationDataReader):
    """The scenes in models/, for calibration."""

    def __init__(self, images):
        self.rest = iter(images)

    def get_next(self):
        image = next(self.rest, None)
        return None if image is None else {"image": image[None]}


@pytest.fixture(scope="module")
def images(repo):
    from PIL import Image

    files = sorted((repo / "models" / "scenes").glob("scene_?.png"))
    return np.stack([np.asarray(Image.open(f).convert("RGB"), np.float32).transpose(2, 0, 1) / 255 for f in files])


@pytest.fixture(scope="module")
def quantised(repo, images, tmp_path_factory):
    """Paths by kind."""
    source, folder = repo / "models" / "digits_pytorch.onnx", tmp_path_factory.mktemp("quantised")
    paths = {kind: folder / f"{kind}.onnx" for kind in KINDS}
    signed = {"per_channel": True, "activation_type": q.QuantType.QInt8, "weight_type": q.QuantType.QInt8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the quantiser, about itself
        for kind, form, more in (
            (KINDS[0], q.QuantFormat.QOperator, {}),
            (KINDS[1], q.QuantFormat.QOperator, signed),
            (KINDS[2], q.QuantFormat.QDQ, {}),
        ):
            q.quantize_static(source, paths[kind], Images(images), quant_format=form, **more)
        q.quantize_dynamic(source, paths[KINDS[3]])
        q.quantize_dynamic(source, paths[KINDS[4]], op_types_to_quantize=["MatMul", "Gemm"])
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_model_is_explained_nearly_as_the_original(repo, quantised, images, kind):
    source = repo / "models" / "digits_pytorch.onnx"
    scores = next(iter(run(str(source), {"image": images}).values()))
    feeds = {"image": images, **asked(0, samples=len(images))}
    feeds["target"] = scores.argmax(1)[None]
    want = run(compile_explainer(source), feeds)["relevance"].sum(2)
    result = run(compile_explainer(quantised[kind]), feeds)
    for got, exact in zip(result["relevance"].sum(2)[0], want[0], strict=True):
        assert correlation(got, exact) > 0.9
    for name, own in run(str(quantised[kind]), {"image": images}).items():
        np.testing.assert_array_equal(result[name], own)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_section_are_found_in_integers(quantised, kind):
    found = analyse(quantised[kind])
    assert found.kind == "sigmoid"
    assert len(found.graph.dims(found.section.value)) == 4
    assert found.graph.dims(found.section.value)[1:] == (64, 12, 12)


def test_a_dynamic_model_that_the_runtime_fused_is_explained_the_same(quantised, images, tmp_path):
    path, options = tmp_path / "fused.onnx", ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    ort.InferenceSession(str(quantised["dynamic products"]), options, providers=["CPUExecutionProvider"])
    feeds = {"image": images[:2], **asked(3, [5], samples=2)}
    got, want = (run(compile_explainer(p), feeds)["relevance"] for p in (path, quantised["dynamic products"]))
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-4 * np.abs(want).max())


@pytest.mark.parametrize("method", ["rsp", "gradient"])
@pytest.mark.parametrize("kind", ["operators", "around operators"])
def test_integer_layers_with_their_channels_last_are_explained_as_with_them_first(
    quantised, images, tmp_path, kind, method
):
    """So the runtime saves them with all optimisations; the last step before has them first."""
    saved = {level: tmp_path / f"{level}.onnx" for level in ("ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")}
    for level, path in saved.items():
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath, options.log_severity_level = str(path), 4
        ort.InferenceSession(str(quantised[kind]), options, providers=["CPUExecutionProvider"])
    if b"channels_last" not in saved["ORT_ENABLE_ALL"].read_bytes():
        pytest.skip("ONNX Runtime leaves the channels first on this processor")
    feeds = {"image": images[:2], **asked(3, [5], samples=2)}
    first, last = (run(compile_explainer(path, method), feeds) for path in saved.values())
    np.testing.assert_allclose(
        last["relevance"], first["relevance"], rtol=0, atol=1e-5 * np.abs(first["relevance"]).max()
    )
    for name, own in run(str(saved["ORT_ENABLE_ALL"]), {"image": images[:2]}).items():
        np.testing.assert_array_equal(last[name], own)


@pytest.mark.parametrize("compiled", [rule_model, vjp_model])
def test_a_maximum_over_windows_of_integers_with_channels_last_is_that_of_the_numbers(compiled):
    head = f"{HEAD}(float[N, 4, 4, 2] x) => (float[N, 2, 2, 2] y) <float s = {{0.0078125}}, uint8 o = {{0}}> {{"
    own = "j = com.microsoft.NhwcMaxPool<kernel_shape = [2, 2], strides = [2, 2]>(i)"
    plain = "t = Transpose<perm = [0, 3, 1, 2]>(x) m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(t)"
    texts = [f"{head} i = QuantizeLinear(x, s, o) {own} y = DequantizeLinear(j, s, o) }}",
             f"{head} {plain} y = Transpose<perm = [0, 2, 3, 1]>(m) }}"]  # fmt: skip
    feeds = sample_inputs(texts[1], low=0.2, high=1.8)
    feeds["g"] = np.random.default_rng(0).uniform(0.5, 1.5, (2, 2, 2, 2, 2)).astype(np.float32)
    got, want = (run(compiled(text), feeds) for text in texts)
    for name, a in want.items():
        np.testing.assert_allclose(got[name], a, rtol=0, atol=1e-6, err_msg=name)


WRITTEN_OUT = """{ h = Relu(x)
    low = ReduceMin<keepdims = 0>(h)  high = ReduceMax<keepdims = 0>(h)  range = Sub(high, low)
    s = Div(range, steps)  zs = Div(low, s)  zn = Neg(zs)  zf = Floor(zn)  z = Cast<to = 2>(zf)
    q = QuantizeLinear(h, s, z)  %s }"""


@pytest.mark.parametrize("compiled", [rule_model, vjp_model])
@pytest.mark.parametrize("behind", [
    "m = MatMulInteger(q, w, z, o)  f = Cast<to = 1>(m)  both = Mul(s, t)  y = Mul(f, both)",
    "d = DequantizeLinear(q, s, z)  v = DequantizeLinear(w, t, o)  y = MatMul(d, v)",
])  # fmt: skip
def test_scales_that_nodes_of_the_model_find_at_run_time_are_read(compiled, behind):
    weight = np.random.default_rng(0).integers(0, 255, 12)
    head = '<ir_version: 8, opset_import: ["" : 13]> a (float[1, 4] x) => (float[1, 3] y) <float steps = {255.0}, '
    given = f"uint8[4, 3] w = {{{', '.join(map(str, weight))}}}, uint8 o = {{120}}, float t = {{0.01}}> "
    real = ", ".join(f"{(v - 120) * 0.01:.4f}" for v in weight)
    plain = f"float[4, 3] w = {{{real}}}> {{ h = Relu(x) y = MatMul(h, w) }}"
    feeds = {"x": np.array([[0.3, 1.7, -0.6, 2.2]], np.float32), "g": np.array([[[1.0, 0.5, 2.0]]], np.float32)}
    got = run(compiled(head + given + WRITTEN_OUT % behind), feeds)
    for name, a in run(compiled(head + plain), feeds).items():
        np.testing.assert_allclose(got[name], a, rtol=0, atol=0.02 * np.abs(a).max())


def test_a_scale_found_behind_hundreds_of_nodes_is_read():
    """It is no constant, which the graph must not look for node by node up to the input."""
    deep = "  ".join(f"h{i + 1} = Abs(h{i})" for i in range(600))
    body = f"h0 = Relu(x)  {deep}  q, s, z = DynamicQuantizeLinear(h600)  m = MatMulInteger(q, w, z)"
    text = f"""<ir_version: 8, opset_import: ["" : 18]> a (float[1, 3] x) => (float[1, 2] y)
        <uint8[3, 2] w = {{1, 2, 3, 4, 5, 6}}> {{ {body}  f = Cast<to = 1>(m)  y = Mul(f, s) }}"""
    feeds = {"x": np.array([[0.3, 1.7, 0.6]], np.float32), "g": np.array([[[1.0, 2.0]]], np.float32)}
    back = run(vjp_model(text), feeds)["gradient/x"]
    np.testing.assert_allclose(back, [[[1 + 2 * 2, 3 + 2 * 4, 5 + 2 * 6]]], rtol=1e-5)


S = "s, o"  # the scale and the zero point of every tensor
MAP = "(float[N, 2, 4, 4] x) => (float[N, %s] y) <float s = {0.0078125}, uint8 o = {0}, float t = {0.03125}> {"
IN, OUT = "i = QuantizeLinear(x, s, o)", "y = DequantizeLinear(j, t, o) }"
MS = "com.microsoft.QLinear"
OPS = {
    "Add": ("2, 4, 4", f"j = {MS}Add(i, {S}, i, {S}, t, o)", "y = Add(x, x)"),
    "Mul": ("2, 4, 4", f"j = {MS}Mul(i, {S}, i, {S}, t, o)", "y = Mul(x, x)"),
    "Concat": ("4, 4, 4", f"j = {MS}Concat<axis = 1>(t, o, i, {S}, i, {S})", "y = Concat<axis = 1>(x, x)"),
    "GlobalAveragePool": ("2, 1, 1", f"j = {MS}GlobalAveragePool(i, {S}, t, o)", "y = GlobalAveragePool(x)"),
    "AveragePool": ("2, 2, 2", f"j = {MS}AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(i, {S}, t, o)",
                    "y = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x)"),
    "Sigmoid": ("2, 4, 4", f"j = {MS}Sigmoid(i, {S}, t, o)", "y = Sigmoid(x)"),
    "LeakyRelu": ("2, 4, 4", f"j = {MS}LeakyRelu<alpha = 0.1>(i, {S}, t, o)", "y = LeakyRelu<alpha = 0.1>(x)"),
    "Where": ("2, 4, 4", "c = Greater(x, s) n = QuantizeLinear(x, t, o) "
              f"j = {MS}Where(c, i, {S}, n, t, o, t, o)", "y = Identity(x)"),
    "Softmax": ("2, 4, 4", f"j = {MS}Softmax<axis = -1, opset = 13>(i, {S}, s, o)", "y = Softmax<axis = -1>(x)"),
}  # fmt: skip


@pytest.mark.parametrize("compiled", [rule_model, vjp_model])
@pytest.mark.parametrize("op", OPS)
def test_an_integer_op_does_what_the_float_op_does(op, compiled):
    size, quantised, plain = OPS[op]
    end = OUT.replace("t,", "s,") if op == "Softmax" else OUT
    texts = [f"{HEAD}{MAP % size} {body}" for body in (f"{IN} {quantised} {end}", plain + " }")]
    feeds = sample_inputs(texts[1], low=0.2, high=1.8)
    shape = (2, 2, *(int(n) for n in size.split(",")))
    feeds["g"] = np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(np.float32)
    got, want = (run(compiled(text), feeds) for text in texts)
    for name, a in want.items():
        np.testing.assert_allclose(got[name], a, rtol=0, atol=0.1 * np.abs(a).max(), err_msg=name)
        assert correlation(got[name], a) > 0.99


def test_where_rounding_cut_off_a_negative_no_gradient_flows():
    text = """<ir_version: 8, opset_import: ["" : 18]> a (float[N, 3] x) => (float[N, 3] y)
        <float s = {0.1}, uint8 low = {0}, uint8 mid = {9}> {
        q = QuantizeLinear(x, s, %s) y = DequantizeLinear(q, s, %s) }"""
    feeds = {"x": np.array([[-0.5, 0.7, -0.2]], np.float32), "g": np.full((1, 1, 3), 2, np.float32)}
    cut, kept = (run(vjp_model(text % (zero, zero)), feeds)["gradient/x"][0, 0] for zero in ("low", "mid"))
    assert (cut.tolist(), kept.tolist()) == ([0, 2, 0], [2, 2, 2])
