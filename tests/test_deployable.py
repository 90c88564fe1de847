"""What makes a compiled file right in other runtimes than ONNX Runtime: seen in the file, and in OpenVINO itself."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from rsp_onnx import compile_explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.explain.saving import save_explainer
from rsp_onnx.graph.op_facts import Role, facts_of, is_folded
from rsp_onnx.rulekit.context import Options
from rsp_onnx.simplify.apart import keep_weights_apart

from .little import conv_net, little, table_net
from .running import relative_l2, run

METHODS = ("rsp", "gradient", "grad-cam", "lrp-epsilon-plus-flat", "integrated-gradients:steps=2")


def strided_net():
    """Two layers whose adjoint is no convolution with stride 1, and a dense one whose weight is square."""
    rng = np.random.default_rng(0)
    return little(
        """g (float[N,3,12,12] x) => (float[N,16] y) {
            a = Conv<strides=[2,2]>(x, u) r = Relu(a) b = Conv<strides=[2,2]>(r, w) s = Relu(b)
            p = GlobalAveragePool(s) f = Flatten(p) h = MatMul(f, v) t = Relu(h) y = MatMul(t, v) }""",
        u=rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        w=rng.normal(size=(16, 8, 2, 2)).astype(np.float32),
        v=rng.normal(size=(16, 16)).astype(np.float32),
    )  # fmt: skip


def readings(model):
    """How layers read each constant weight: op and transposition, by the tensor."""
    found = {}
    for node in ir.from_proto(model).graph.all_nodes():
        if facts_of(node).role is Role.LAYER:
            for slot, value in enumerate(node.inputs):
                if value is not None and is_folded(value) and len(value.shape or ()) != 1:
                    flags = tuple(node.attributes.get_int(name, 0) for name in ("transA", "transB"))
                    found.setdefault(value.name, set()).add((node.op_type, slot, flags))
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("net", [strided_net, conv_net, table_net])
def test_no_weight_is_read_in_two_ways(net, method):
    if net is table_net and method == "grad-cam":
        pytest.skip("Grad-CAM needs feature maps")
    assert all(len(ways) == 1 for ways in readings(compile_explainer(net(), method)).values())


def test_without_that_some_are(monkeypatch):
    monkeypatch.setattr("rsp_onnx.explain.compile.keep_weights_apart", lambda model: None)
    assert any(len(ways) > 1 for ways in readings(compile_explainer(strided_net(), "gradient")).values())


def test_weights_kept_apart_are_the_same_to_the_bit(monkeypatch):
    x = {"x": np.random.default_rng(1).normal(size=(1, 3, 12, 12)).astype(np.float32), "target": np.array([[2]])}
    apart = run(compile_explainer(strided_net(), "gradient"), x)
    monkeypatch.setattr("rsp_onnx.explain.compile.keep_weights_apart", lambda model: None)
    together = run(compile_explainer(strided_net(), "gradient"), x)
    np.testing.assert_array_equal(apart["relevance"], together["relevance"])


def test_every_way_gets_a_tensor_of_its_own():
    model = ir.from_proto(
        little(
            """g (float[4,4] x) => (float[4,4] y) {
                a = MatMul(x, w) b = Gemm<transB=1>(a, w) c = MatMul(w, b) d = MatMul(c, w) y = Gemm(d, w) }""",
            w=np.arange(16, dtype=np.float32).reshape(4, 4),
        )
    )  # fmt: skip
    before = run(ir.to_proto(model), {"x": np.eye(4, dtype=np.float32)})["y"]
    keep_weights_apart(model)
    layers = [node for node in model.graph if node.op_type != "Neg"]
    read = [next(v.name for v in node.inputs if v.name not in "xabcd") for node in layers]
    assert read[0] == read[3] == "w" and len(set(read)) == 4
    np.testing.assert_array_equal(run(ir.to_proto(model), {"x": np.eye(4, dtype=np.float32)})["y"], before)


def test_a_branchs_own_constants_are_kept_apart_within_it():
    """Winograd's form holds its matrices in a branch of an If, read by convolutions and their adjoints."""
    rng = np.random.default_rng(2)
    net = little(
        """g (float[N,3,28,28] x) => (float[N,5] y) {
            a = Conv<pads=[1,1,1,1]>(x, u) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, w) s = Relu(b)
            p = GlobalAveragePool(s) f = Flatten(p) y = MatMul(f, v) }""",
        u=rng.normal(size=(64, 3, 3, 3)).astype(np.float32),
        w=rng.normal(size=(64, 64, 3, 3)).astype(np.float32),
        v=rng.normal(size=(64, 5)).astype(np.float32),
    )
    x = {"x": rng.normal(size=(1, 3, 28, 28)).astype(np.float32), "target": np.array([[2]])}
    maps = {}
    for form in ("winograd", "unfold"):
        compiled = compile_explainer(net, form=form, section="s", batch=1, targets=1)
        assert ("If" in {node.op_type for node in compiled.graph.node}) == (form == "winograd")
        maps[form] = run(compiled, {**x, "hostile": np.zeros((1, 1, 0), np.int64)})["relevance"]
    assert relative_l2(maps["winograd"], maps["unfold"]) < 2e-4  # Winograd's own bound


def test_in_this_process_weights_are_shared():
    made = compile_ir(analyse(strided_net()), "gradient", options=Options(in_process=True))
    assert not [node for node in made.graph if "apart" in str(node.name)]


@pytest.mark.parametrize(
    ("method", "asked"), [("rsp", ["target", "hostile"]), ("gradient", ["target"]), ("grad-cam", ["target"])]
)
def test_the_inputs_are_those_that_are_read(method, asked):
    made = compile_explainer(conv_net(), method)
    assert [v.name for v in made.graph.input] == ["x", *asked]


def test_a_class_that_is_not_read_is_no_input_either():
    made = compile_explainer(table_net(), "gradient", batch=1, targets=1)
    read = {name for node in made.graph.node for name in node.input}
    assert all(v.name in read for v in made.graph.input)


def test_no_node_ends_in_an_input_left_out(repo):
    """OpenVINO fails at an empty name where leaving the input out says the same."""
    made = compile_explainer(repo / "models" / "digits_pytorch.onnx", batch=1, targets=1)
    ends = [n for n in made.graph.node if n.input and not n.input[-1]]
    assert all(len(n.input) <= onnx.defs.get_schema(n.op_type).min_input for n in ends)


@pytest.mark.parametrize("form", [{}, {"batch": 1, "targets": 1}], ids=["free", "one"])
@pytest.mark.parametrize("method", METHODS[:4])
@pytest.mark.parametrize("name", ["digits_pytorch.onnx", "digits_vit.onnx", strided_net], ids=["cnn", "vit", "strided"])
def test_maps_in_openvino_are_those_in_onnx_runtime(repo, name, method, form):
    engines = pytest.importorskip("benchmarks.runtimes.engines", reason="run from the repository")
    pytest.importorskip("openvino", reason="openvino is not installed (the extra 'test' has it)")
    from benchmarks.runtimes.__main__ import distance, stable_feeds

    made = compile_explainer(name() if callable(name) else repo / "models" / name, method, **form).SerializeToString()
    feeds = stable_feeds(made)
    # LRP-ε divides by sums near 0: in a transformer its maps differ by 6e-4 among ONNX Runtime's own optimisations
    bound = 5e-3 if name == "digits_vit.onnx" and method.startswith("lrp") else 1e-5
    assert distance(engines.openvino(made, feeds), engines.onnx_runtime("ORT_ENABLE_ALL")(made, feeds)) < bound


# ---- what is said where a promise is not known to hold ----


def test_a_file_says_what_it_was_made_for(tmp_path):
    told = save_explainer(conv_net(), tmp_path / "plain.onnx")
    made = made_for(tmp_path / "plain.onnx")
    assert made == {"onnxruntime": ort.__version__, "opset": 18, "domains": [], "reservations": []}
    assert told["warnings"] == []


def test_a_model_that_rounds_is_warned_of(tmp_path):
    told = save_explainer(conv_net(dtype="float16"), tmp_path / "half.onnx")
    (said,) = made_for(tmp_path / "half.onnx")["reservations"]
    assert "less than single precision" in said and said in told["warnings"]


def test_ops_that_other_runtimes_lack_are_named(tmp_path):
    model = little(
        "g (float[N,4] x) => (float[N,4] y) { a = com.microsoft.Gelu(x) y = MatMul(a, w) }",
        w=np.eye(4, dtype=np.float32),
    )  # fmt: skip
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    told = save_explainer(model, tmp_path / "own.onnx")
    assert made_for(tmp_path / "own.onnx")["domains"] == ["com.microsoft"]
    assert any("com.microsoft" in warning for warning in told["warnings"])


def made_for(path):
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    return json.loads(props["rsp_onnx.made_for"])
