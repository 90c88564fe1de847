"""Canonizing rewrites what the walk sees, never what comes out."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from rsp_onnx import compile_explainer
from rsp_onnx.errors import BadModel
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.simplify.lower import WIDELY_KNOWN

from .running import asked, assert_scores_close, run
from .zoo import FAMILIES, export


def canonized(model):
    return ir.to_proto(canonize(load_model(model)))


def ops(model):
    return [node.op_type for node in model.graph.node]


def opset(model):
    return next(i.version for i in model.opset_import if i.domain in ("", "ai.onnx"))


def image(shape=(2, 3, 8, 8), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_same(model, feeds=None):
    """Check the canonized model's outputs bit for bit, and that it can be explained; return it."""
    rewritten, feeds = canonized(model), feeds or {"x": image()}
    before, after = run(model, feeds), run(rewritten, feeds)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert np.array_equal(after[name], value), name
    explained = run(compile_explainer(model), {**feeds, **asked(1, (), len(feeds["x"]))})
    assert_scores_close(explained["y"], before["y"])
    assert explained["relevance"].any()
    return rewritten


WEIGHTS = {
    "w": np.random.default_rng(1).normal(size=(6, 3, 3, 3)).astype(np.float32),
    "b": np.full(6, 0.5, np.float32),
    "v": np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32),
    "u": np.full(4, 0.1, np.float32),
}
HEAD = "p = GlobalAveragePool(a)  f = Flatten(p)  y = Gemm<transB=1>(f, v, u)"


def model_of(text, version=17, functions="", ir_version=8, weights=WEIGHTS):
    """Parse "x → y" with the weights w, b (Conv) and v, u (Gemm) as initializers."""
    imports = f'"" : {version}' + (', "local" : 1' if functions else "")
    header = f"<ir_version: {ir_version}, opset_import: [{imports}]>"
    signature = "g (float[N,3,8,8] x) => (float[N,4] y)"
    model = parser.parse_model(f"{header} {signature} {{ {text} {HEAD} }} {functions}")
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return model


PLAIN = "c = Conv<pads=[1,1,1,1]>(x, w, b)  a = Relu(c)"


def test_local_functions_are_inlined():
    functions = """
    <domain: "local", opset_import: ["" : 17]>
    block (s, k, o) => (t) { c = Conv<pads=[1,1,1,1]>(s, k, o)  t = twice.relu(c) }
    """.replace("twice.relu", "Relu")
    model = model_of("a = local.block(x, w, b)", functions=functions)
    rewritten = assert_same(model)
    assert not rewritten.functions
    assert ops(rewritten)[:2] == ["Conv", "Relu"]


def test_functions_that_call_functions_are_inlined():
    functions = """
    <domain: "local", opset_import: ["" : 17]>
    inner (s) => (t) { z = Relu(s)  t = Identity(z) }
    <domain: "local", opset_import: ["" : 17, "local" : 1]>
    block (s, k, o) => (t) { c = Conv<pads=[1,1,1,1]>(s, k, o)  t = local.inner(c) }
    """
    rewritten = assert_same(model_of("a = local.block(x, w, b)", functions=functions))
    assert ops(rewritten) == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]


def test_initializers_that_are_also_inputs_are_inputs_no_more():
    model = model_of(PLAIN, version=9, ir_version=3)
    for name, array in WEIGHTS.items():
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
    rewritten = assert_same(model)
    assert [v.name for v in rewritten.graph.input] == ["x"]
    assert {v.name for v in compile_explainer(model).graph.input} == {"x", "target", "hostile"}


def test_constant_nodes_become_initializers():
    model = model_of(PLAIN)
    del model.graph.initializer[:]
    nodes = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a)) for n, a in WEIGHTS.items()]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + kept)
    rewritten = assert_same(model)
    assert "Constant" not in ops(rewritten)
    assert {i.name for i in rewritten.graph.initializer} >= set(WEIGHTS)


def test_constants_given_as_numbers_become_initializers():
    text = PLAIN.replace("a = Relu(c)", "six = Constant<value_float=6.0>()  m = Min(c, six)  a = Relu(m)")
    assert "Constant" not in ops(assert_same(model_of(text)))


def test_identities_are_dropped_and_output_names_stay():
    text = PLAIN.replace("a = Relu(c)", "i = Identity(c)  r = Relu(i)  a = Identity(r)")
    model = model_of(text)
    model.graph.node[-1].output[0] = "z"
    model.graph.node.append(helper.make_node("Identity", ["z"], ["y"]))
    rewritten = assert_same(model)
    assert ops(rewritten).count("Identity") <= 1  # the one that names the output may stay
    assert [v.name for v in rewritten.graph.output] == ["y"]


DROPOUTS = {
    "as an attribute": ("d = Dropout<ratio=0.5>(r)", 7),
    "as an attribute, opset 10": ("d = Dropout<ratio=0.3>(r)", 10),
    "without a ratio": ("d = Dropout(r)", 13),
    "with a ratio": ("q = Constant<value_float=0.5>()  d = Dropout(r, q)", 13),
    "with a mask nobody reads": ("d, mask = Dropout(r)", 13),
    "told not to train": ("q = Constant<value_float=0.5>()  t = Constant<value=bool {0}>()  d = Dropout(r, q, t)", 13),
}


@pytest.mark.parametrize(("dropout", "version"), DROPOUTS.values(), ids=DROPOUTS)
def test_dropout_that_does_not_train_is_dropped(dropout, version):
    model = model_of(PLAIN.replace("a = Relu(c)", f"r = Relu(c)  {dropout}  a = Relu(d)"), version)
    assert "Dropout" not in ops(assert_same(model))


def test_dropout_whose_mask_is_read_stays():
    text = PLAIN.replace("a = Relu(c)", "r = Relu(c)  d, k = Dropout(r)  q = Where(k, d, r)  a = Relu(q)")
    model = model_of(text, 13)
    rewritten, feeds = canonized(model), {"x": image()}
    assert "Dropout" in ops(rewritten)
    assert np.array_equal(run(rewritten, feeds)["y"], run(model, feeds)["y"])


def test_dropout_that_trains_is_refused():
    """Its scores are random: no explanation of them could be repeated."""
    dropout = "q = Constant<value_float=0.5>()  t = Constant<value=bool {1}>()  d = Dropout(r, q, t)"
    model = model_of(PLAIN.replace("a = Relu(c)", f"r = Relu(c)  {dropout}  a = Relu(d)"), 13)
    assert "Dropout" in ops(canonized(model))
    with pytest.raises(BadModel, match="training mode"):
        compile_explainer(model)


@pytest.mark.parametrize("version", [7, 8, 9, 10, 11, 12, 13, 15, 17])
def test_old_opsets_are_lifted(version):
    pool = "m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)  n = AveragePool<kernel_shape=[2,2]>(m)"
    model = model_of(PLAIN.replace("a = Relu(c)", f"r = Relu(c)  {pool}  a = Elu<alpha=0.5>(n)"), version)
    model.graph.node[-1].output[0] = "z"
    model.graph.node.append(helper.make_node("Softmax", ["z"], ["y"], axis=1))
    assert opset(assert_same(model)) == 18


# all different: the runtime makes one of equal constants, and then writes running statistics over the given ones
STATISTICS = {name: np.linspace(k, 1.5, 6).astype(np.float32) for name, k in (("s", 0.5), ("mu", 0.2), ("nu", 2.0))}
FIVE, THREE = "n, mean, var, saved, dev", "n, mean, var"
OUTPUTS = {7: FIVE, 9: FIVE, 13: FIVE, 14: THREE, 17: THREE, 18: THREE}


def trained(version, batch=None):
    """A network whose BatchNormalization takes its statistics from the batch, as each opset writes it."""
    mode = ", training_mode=1" if version >= 14 else ""
    norm = f"{OUTPUTS[version]} = BatchNormalization<epsilon=0.01{mode}>(c, s, b, mu, nu)"
    model = model_of(PLAIN.replace("a = Relu(c)", f"{norm}  a = Relu(n)"), version, weights={**WEIGHTS, **STATISTICS})
    if batch:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    return model


@pytest.mark.parametrize("version", OUTPUTS)
def test_normalisation_by_the_batch_is_lifted_as_it_is(version):
    model = trained(version)
    rewritten, feeds = canonized(model), {"x": image((3, 3, 8, 8))}
    assert opset(rewritten) == 18
    assert not {i.domain for i in rewritten.opset_import} - {""}
    got, want = run(rewritten, feeds)["y"], run(model, feeds)["y"]
    np.testing.assert_allclose(
        got, want, rtol=0, atol=1e-6 * np.abs(want).max()
    )  # by opset 8 another kernel's last bits
    compiled = compile_explainer(model, "gradient")
    assert compiled.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1, "one image at a time"


@pytest.mark.parametrize("version", [7, 13, 17])
@pytest.mark.parametrize("method", ["gradient", "rsp"])
@pytest.mark.parametrize("free", [True, False], ids=["free batch", "batch of one"])
def test_one_image_normalised_by_itself_is_normalised_as_an_instance(version, method, free):
    """Of a batch of one, BatchNormalization in training mode is InstanceNormalization: two ops, one function.

    Where the batch is free, images are explained one at a time, since each would get what the others decide.
    """
    model = trained(version) if free else trained(version, batch=1)
    norm = "n = InstanceNormalization<epsilon=0.01>(c, s, b)  a = Relu(n)"
    twin = model_of(PLAIN.replace("a = Relu(c)", norm), weights={**WEIGHTS, **STATISTICS})
    twin.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    feeds = {"x": image((1, 3, 8, 8)), **asked(1)}
    got, want = (run(compile_explainer(m, method), feeds)["relevance"] for m in (model, twin))
    assert np.abs(want).max() > 0
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * np.abs(want).max())


def test_saved_statistics_that_are_read_are_refused():
    model = trained(9)
    model.graph.output.append(helper.make_tensor_value_info("saved", TensorProto.FLOAT, [6]))
    with pytest.raises(BadModel, match=r"saved mean and variance.*inference mode"):
        canonize(load_model(model))


@pytest.mark.parametrize("version", [18, 20, 21, 22, 23])
def test_newer_opsets_are_kept(version):
    """In the model; its explanation declares 21, where nothing needs more (tests/test_cuda_coverage.py)."""
    model = model_of(PLAIN, version, ir_version=10)
    rewritten = assert_same(model)
    assert opset(rewritten) == version
    assert opset(compile_explainer(model)) == min(version, WIDELY_KNOWN)


@pytest.mark.slow
@pytest.mark.parametrize("version", [9, 11, 13])
@pytest.mark.parametrize("name", ["vgg", "alexnet", "resnet_v2", "mobilenet_v2", "shufflenet_v1", "googlenet"])
def test_lifted_families_give_the_same_scores(name, version):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape, opset=version)
    assert opset(model) == version
    assert opset(assert_same(model, {"x": image((2, *entry.shape[1:]))})) == 18


def test_reductions_and_pads_with_attributes_are_lifted():
    text = "c = Conv<pads=[1,1,1,1]>(x, w, b)  r = Relu(c)  d = Pad<pads=[0,0,1,1,0,0,1,1]>(r)  a = Relu(d)"
    model = model_of(text, 10)
    model.graph.node[4].CopyFrom(helper.make_node("ReduceMean", ["a"], ["p"], axes=[2, 3], keepdims=1))
    assert model.graph.node[4].output[0] == "p"
    assert opset(assert_same(model)) == 18


def test_bounds_and_fills_that_were_attributes_have_the_dtype_of_their_tensor():
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 10]>
        g (float16[N,3,8,8] x) => (float16[N,3] y) {
            c = Clip<min=0.0, max=0.5>(x) d = Pad<pads=[0,0,1,1,0,0,1,1], value=0.25>(c)
            p = GlobalAveragePool(d) y = Flatten(p) }""")
    rewritten = canonized(model)
    onnx.checker.check_model(rewritten, full_check=True)
    x = image().astype(np.float16)
    padded = np.pad(np.clip(x.astype(np.float64), 0, 0.5), [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.25)
    np.testing.assert_allclose(run(rewritten, {"x": x})["y"], padded.mean((2, 3)), atol=1e-3)


def test_the_source_is_left_as_it_was():
    model = model_of(PLAIN.replace("a = Relu(c)", "r = Relu(c)  a = Dropout(r)"), 13)
    before = model.SerializeToString(deterministic=True)
    loaded = load_model(model)
    canonize(loaded)
    compile_explainer(model)
    assert model.SerializeToString(deterministic=True) == before
    assert [n.op_type for n in loaded.ir.graph] == ops(model)


def test_what_canonizing_returns_is_valid():
    for name in ("densenet", "shufflenet_v2"):
        entry = FAMILIES[name]
        onnx.checker.check_model(canonized(export(entry.make(), entry.shape, fold=False)), full_check=True)


@pytest.mark.parametrize("version", [13, 17, 18])
def test_an_op_of_the_runtime_in_onnx_own_domain_is_lifted(version):
    """The runtime's transformer tools write it under no domain, in any opset."""
    text = f"""<ir_version: 8, opset_import: ["" : {version}]> g (float[N, 4, 6] x) => (float[N, 4, 6] y)
        <float[6] k = {{1, 2, -1, 0.5, 3, 1}}> {{ y = SimplifiedLayerNormalization<axis = -1>(x, k) }}"""
    model, feeds = parser.parse_model(text), {"x": image((2, 4, 6))}
    rewritten = canonized(model)
    assert opset(rewritten) == 18
    np.testing.assert_array_equal(run(rewritten, feeds)["y"], run(model, feeds)["y"])


def test_group_normalization_of_opset_18_is_explained_though_onnx_took_it_back():
    """One scale per group; ONNX's checker refuses it, the runtime does not, and exporters write it."""
    scales = {"s": np.array([1, 2, 0.5], np.float32), "o": np.array([0, 0.1, -0.2], np.float32)}
    wide = {name: np.repeat(array, 2) for name, array in scales.items()}
    text = PLAIN.replace("a = Relu(c)", "n = GroupNormalization<num_groups=3>(c, s, o)  a = Relu(n)")
    feeds = {"x": image(), **asked(1, (), 2)}
    for method in ("rsp", "gradient"):
        got, want = (
            run(compile_explainer(model_of(text, version, weights={**WEIGHTS, **given}, ir_version=10), method), feeds)
            for version, given in ((18, scales), (21, wide))
        )
        np.testing.assert_allclose(got["y"], want["y"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(got["relevance"], want["relevance"], rtol=0, atol=1e-6)
