"""What a compiled file is: its inputs and outputs, free K and N, its metadata, its methods, its size."""

import hashlib
import json
import subprocess
import sys
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, parser

import rsp_onnx
from rsp_onnx import compile_explainer, save_explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.model.session import Session

from .running import asked, relative_l2, run, run_reference, session
from .zoo import FAMILIES, export, section_of
from .zoo.blocks import LRN

families = pytest.mark.parametrize("name", FAMILIES)
# samples and targets are rows of the same matrix products; another number of rows may take another kernel
BATCH = 1e-6


@cache
def exported(name, double=False, dynamic=True):
    entry = FAMILIES[name]
    return export(entry.make(), entry.shape, double=double, dynamic=dynamic)


@cache
def opened(name, **options):
    return session(compile_explainer(exported(name), **options))


def images(name, count=1, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(count, *FAMILIES[name].shape[1:])).astype(dtype)


def explain(name, x, target, hostile=(), **options):
    return run(opened(name, **options), {"x": x, **asked(target, hostile, len(x))})["relevance"]


# ---- K and N ----


@families
def test_one_file_takes_any_number_of_samples_targets_and_hostile_classes(name):
    compiled = opened(name)
    for k, n, h in ((1, 1, 0), (3, 1, 2), (2, 3, 1), (1, 2, 4)):
        feeds = {"x": images(name, n), **asked(range(k), range(6, 6 + h), n)}
        got = run(compiled, feeds)["relevance"]
        assert got.shape == (k, n, *FAMILIES[name].shape[1:])
        assert got.dtype == np.float32
        assert np.isfinite(got).all()
    assert compiled.get_inputs()[1].shape[0] == "K"


@families
def test_a_batch_is_its_images_one_by_one_and_targets_do_not_mix(name):
    x = images(name, 3)
    target = np.array([[1, 2, 3], [4, 5, 6]])
    hostile = np.array([[[7, -1], [8, 9], [-1, -1]], [[1, 2], [-1, 3], [0, -1]]])
    together = run(opened(name), {"x": x, "target": target, "hostile": hostile})["relevance"]
    for k in range(2):
        for i in range(3):
            question = {"target": target[k : k + 1, i : i + 1], "hostile": hostile[k : k + 1, i : i + 1]}
            alone = run(opened(name), {"x": x[i : i + 1], **question})["relevance"]
            assert relative_l2(together[k, i], alone[0, 0]) < BATCH


@pytest.mark.parametrize("form", ["unfold", "gram"])
def test_both_forms_keep_samples_apart(form):
    x = images("resnet_v1", 4)
    together = explain("resnet_v1", x, (1, 2), (3,), form=form)
    alone = [explain("resnet_v1", x[i : i + 1], (1, 2), (3,), form=form) for i in range(4)]
    assert relative_l2(together, np.concatenate(alone, axis=1)) < BATCH


def test_a_fixed_batch_stays_fixed():
    compiled = session(compile_explainer(exported("vgg", dynamic=False)))
    assert [v.shape[:2] for v in compiled.get_inputs()[1:]] == [["K", 1], ["K", 1]]
    x = images("vgg")
    got = run(compiled, {"x": x, **asked((1, 2))})["relevance"]
    assert relative_l2(got, explain("vgg", x, (1, 2))) < BATCH


@families
def test_hostile_minus_one_is_no_hostile_class(name):
    x = images(name, 2)
    none = explain(name, x, 1)
    for hostile in ((-1,), (-1, -1, -1)):
        assert np.array_equal(explain(name, x, 1, hostile), none)
    padded = explain(name, x, 1, (-1, 4, -1))
    assert relative_l2(padded, explain(name, x, 1, (4,))) < BATCH


@families
def test_swapping_target_and_hostile_at_split_one_flips_the_start(name):
    section = section_of(exported(name), FAMILIES[name])
    compiled = opened(name, section=section, tensors=(section,), split=1.0)
    x = images(name, 2)
    starts = [run(compiled, {"x": x, **asked(t, (h,), 2)})[f"relevance/{section}"] for t, h in ((1, 2), (2, 1))]
    assert relative_l2(starts[0], -starts[1]) < 1e-5  # a float32 difference of two maps, normalised
    assert starts[0].any()


@families
def test_maps_differ_between_images_and_between_classes(name):
    x = images(name, 2)
    (one, other), second = explain(name, x, 1)[0], explain(name, x, 2)[0]
    assert relative_l2(one, other) > 0.1
    assert relative_l2(one, second[0]) > 1e-3


# ---- outputs ----


def test_relevance_comes_at_any_tensor_asked_for():
    model = exported("resnet_v1")
    names = [n.output[0] for n in model.graph.node if n.op_type in ("Relu", "Add", "MaxPool", "Conv")][1:-1]
    shapes = run_shapes(model, names)
    got = run(compile_explainer(model, tensors=names), {"x": images("resnet_v1", 2), **asked((1, 2), (3,), 2)})
    for name in names:
        assert got[f"relevance/{name}"].shape == (2, 2, *shapes[name][1:])
        assert got[f"relevance/{name}"].any()
    assert set(got) == {"y", "relevance", *(f"relevance/{n}" for n in names)}


def run_shapes(model, names):
    inferred = onnx.shape_inference.infer_shapes(model)
    return {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in inferred.graph.value_info
        if v.name in names
    }


def test_a_tensor_without_relevance_is_refused_with_names_that_have_some():
    model = exported("vgg")
    with pytest.raises(BadInput, match="there is no such tensor; it is known at") as caught:
        compile_explainer(model, tensors=["nonsense"])
    assert repr(section_of(model, FAMILIES["vgg"])) in str(caught.value)
    with pytest.raises(BadInput, match="no relevance passes it"):
        compile_explainer(model, tensors=["y"])


def test_the_ledger_sums_every_tensors_relevance():
    model = exported("vgg")
    compiled = compile_explainer(model, ledger=True)
    names = json.loads(metadata(compiled)["ledger"])
    got = run(compiled, {"x": images("vgg", 2), **asked((1, 2), (3,), 2)})
    assert got["ledger"].shape == (len(names), 2, 2)
    assert names[0] == metadata(compiled)["section"]
    np.testing.assert_allclose(got["ledger"][names.index("x")], got["relevance"].sum((2, 3, 4)), rtol=1e-4)
    assert got["evidence"].shape == (2, 2, 2)


def test_a_node_that_hands_nothing_on_has_its_place_in_the_ledger():
    text = """<ir_version: 8, opset_import: ["" : 17]>
        nothing (float[N, 3, 8, 8] x) => (float[N, 4] y)
        <int64[1] none = {0}, int64[1] four = {4}, int64[1] nine = {9}, int64[1] one = {1}> {
            h = Conv(x, w)
            a = Slice(h, none, four, one)
            b = Slice(h, four, nine, one)
            j = Concat<axis = 1>(a, b)
            f = Relu(j)
            c = Conv(f, v)
            m = GlobalAveragePool(c)
            y = Flatten(m)
        }"""
    model = parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, size in (("w", (4, 3, 3, 3)), ("v", (4, 4, 3, 3))):
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name))
    compiled = compile_explainer(model, section="f", ledger=True)
    got = run(compiled, {"x": images("vgg", 2)[:, :, :8, :8], **asked((1, 2), (3,), 2)})
    assert got["relevance"].any() and np.isfinite(got["balance"]).all()


def test_two_inputs_get_a_map_each():
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,8,8] left, float[N,3,8,8] right) => (float[N,4] y) {
      a = Conv(left, w)  b = Conv(right, w)  s = Concat<axis=1>(a, b)  F = Relu(s)
      p = GlobalAveragePool(F)  q = Flatten(p)  y = MatMul(q, v) }"""
    model = parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, size in (("w", (5, 3, 3, 3)), ("v", (10, 4))):
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name))
    x = {n: rng.normal(size=(2, 3, 8, 8)).astype(np.float32) for n in ("left", "right")}
    got = run(compile_explainer(model), {**x, **asked((0, 1), (), 2)})
    assert set(got) == {"y", "relevance/left", "relevance/right"}
    assert all(got[f"relevance/{n}"].any() for n in x)
    only = run(compile_explainer(model, inputs=["left"]), {**x, **asked((0, 1), (), 2)})
    assert set(only) == {"y", "relevance"}


def test_names_the_explainer_needs_are_refused():
    model = exported("vgg")
    taken = onnx.ModelProto.FromString(model.SerializeToString())
    taken.graph.node[0].output[0] = taken.graph.node[1].input[0] = "relevance"
    with pytest.raises(BadModel, match="'relevance', which the explainer needs"):
        compile_explainer(taken)


# ---- metadata ----


def metadata(model):
    return {p.key.removeprefix("rsp_onnx."): p.value for p in model.metadata_props}


def test_metadata_says_what_made_the_file(tmp_path):
    model = exported("vgg")
    path = tmp_path / "vgg.onnx"
    onnx.save(model, path)
    compiled = compile_explainer(path, purge=True, split=1.5)
    found = metadata(compiled)
    assert found["version"] == rsp_onnx.__version__
    assert found["method"] == "rsp"
    assert json.loads(found["parameters"]) == {
        "purge": True, "split": 1.5, "signed_inputs": "clamp", "form": "auto",
    }  # fmt: skip
    assert found["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["section"] == section_of(model, FAMILIES["vgg"])
    assert compiled.producer_name == "rsp-onnx"


def test_the_models_own_metadata_stays():
    model = onnx.ModelProto.FromString(exported("vgg").SerializeToString())
    helper.set_model_props(model, {"labels": "a b c"})
    assert metadata(compile_explainer(model))["labels"] == "a b c"


@pytest.mark.parametrize("name", ["mlp", "densenet", "mobilenet_v3"])
def test_the_compiled_file_is_valid_onnx(name):
    onnx.checker.check_model(compile_explainer(exported(name), ledger=True))


def test_the_compiled_files_shapes_are_what_onnx_infers():
    onnx.checker.check_model(compile_explainer(exported("densenet"), ledger=True), full_check=True)


ALONE = """
import sys
import numpy as np
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
x = np.load(sys.argv[2])
feeds = {"x": x, "target": np.array([[1]]), "hostile": np.array([[[2]]])}
np.save(sys.argv[3], session.run(["relevance"], feeds)[0])
loaded = {"onnx", "onnx_ir", "onnxscript", "rsp_onnx", "torch", "networkx"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""


def test_a_compiled_file_runs_with_onnxruntime_and_numpy_alone(tmp_path):
    x = images("resnet_v2")
    onnx.save(compile_explainer(exported("resnet_v2")), tmp_path / "explainer.onnx")
    np.save(tmp_path / "x.npy", x)
    words = [tmp_path / name for name in ("explainer.onnx", "x.npy", "r.npy")]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "r.npy"), explain("resnet_v2", x, 1, (2,)))


# ---- the other methods ----


def differentiable(net):
    """The zoo's LRN is made for the exporter and has no derivative: put torch's own in its place."""
    for key, module in net.named_children():
        if isinstance(module, LRN):
            setattr(net, key, torch.nn.LocalResponseNorm(module.size, module.alpha))
    return net


def torch_gradient(name, x, target):
    net = differentiable(FAMILIES[name].make()).to(torch.from_numpy(x).dtype)
    leaf = torch.from_numpy(x).requires_grad_()
    return torch.autograd.grad(net(leaf)[:, target].sum(), leaf)[0].numpy()


@families
def test_the_gradient_is_torchs_in_float32(name):
    x = images(name, 2)
    got = explain(name, x, (1, 2), method="gradient")
    for target, found in zip((1, 2), got, strict=True):
        assert relative_l2(found, torch_gradient(name, x, target)) < 1e-4


# the file keeps LRN's alpha and HardSigmoid's in float32, torch has them in float64
ROUNDED = {"alexnet": 1e-6, "mobilenet_v3": 1e-6}


@families
def test_the_gradient_is_torchs_in_float64(name):
    x = images(name, 1, dtype=np.float64)
    compiled = compile_explainer(exported(name, double=True), "gradient")
    got = run_reference(compiled, {"x": x, **asked(1)})["relevance"][0]
    assert relative_l2(got, torch_gradient(name, x, 1)) < ROUNDED.get(name, 1e-9)


# the layer that makes the section, counted in the network's outermost Sequential
CUTS = {"vgg": 8, "resnet_v1": 4, "densenet": 11, "mobilenet_v2": 4, "squeezenet": 8}


def plus_plus(features, slope):
    alpha = slope**2 / (2 * slope**2 + features.sum((2, 3), keepdim=True) * slope**3)
    weights = (torch.nan_to_num(alpha, 0, 0, 0) * torch.relu(slope)).sum((2, 3), keepdim=True)
    return weights * features


CAMS = {
    "grad-cam": lambda features, slope: features * slope.mean((2, 3), keepdim=True),
    "hires-cam": lambda features, slope: features * slope,
    "layer-cam": lambda features, slope: features * torch.relu(slope),
    "grad-cam-plus-plus": plus_plus,
}


def torch_cam(name, x, target, method="grad-cam"):
    net, sizes, cut = FAMILIES[name].make(), FAMILIES[name].shape, CUTS[name] + 1
    features = net[:cut](torch.from_numpy(x)).detach().requires_grad_()
    slope = torch.autograd.grad(net[cut:](features)[:, target].sum(), features)[0]
    cam = torch.relu(CAMS[method](features, slope).sum(1, keepdim=True))
    cam = torch.nn.functional.interpolate(cam, sizes[2:], mode="bilinear")
    return (cam / sizes[1]).expand(-1, sizes[1], -1, -1).detach().numpy()


@pytest.mark.parametrize("method", [m for m in CAMS if m != "grad-cam"])
@pytest.mark.parametrize("name", CUTS)
def test_other_class_activation_maps_are_torchs(name, method):
    x = images(name, 2)
    got = explain(name, x, range(10), method=method)
    assert got.any()
    for target in range(10):
        want = torch_cam(name, x, target, method)
        assert np.abs(got[target] - want).max() < 1e-5 * max(np.abs(want).max(), 1e-6)


class GuidedReLU(torch.autograd.Function):
    """A ReLU that lets only positive gradients back."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.relu() * (x > 0)


@pytest.mark.parametrize("name", ["vgg", "resnet_v1", "squeezenet"])
def test_guided_backprop_is_torchs(name, monkeypatch):
    x = images(name, 2)
    got = explain(name, x, (1, 2), method="guided-backprop")
    net = FAMILIES[name].make()
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            monkeypatch.setattr(module, "forward", GuidedReLU.apply)
    for target, found in zip((1, 2), got, strict=True):
        leaf = torch.from_numpy(x).requires_grad_()
        net(leaf)[:, target].sum().backward()
        assert relative_l2(found, leaf.grad.numpy()) < 1e-4
        assert relative_l2(found, torch_gradient(name, x, target)) > 0.1  # which is another thing


@pytest.mark.parametrize("name", ["vgg", "mobilenet_v3"])
def test_input_x_gradient_is_torchs(name):
    x = images(name, 2)
    (found,) = explain(name, x, (1,), method="input-x-gradient")
    assert relative_l2(found, x * torch_gradient(name, x, 1)) < 1e-4


@pytest.mark.parametrize("name", CUTS)
def test_grad_cam_is_torchs(name):
    x = images(name, 2)
    got = explain(name, x, range(10), method="grad-cam")
    assert got.shape == (10, *x.shape)
    assert got.any()
    for target, found in enumerate(got):
        want = torch_cam(name, x, target)
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5 * np.abs(got).max())


def test_an_unknown_method_or_option_is_refused():
    model = exported("vgg")
    with pytest.raises(BadInput, match="the methods are rsp, gradient, "):
        compile_explainer(model, "magic")
    for wrong in ({"signed_inputs": "square"}, {"form": "fft"}, {"split": 0.0}, {"split": float("nan")}):
        with pytest.raises(BadInput):
            compile_explainer(model, **wrong)


# ---- weights in other files ----


def with_external_data(model, folder):
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return folder / "model.onnx"


def test_a_model_with_external_data_is_explained_as_if_it_had_none(tmp_path):
    x = images("resnet_v1")
    path = with_external_data(onnx.ModelProto.FromString(exported("resnet_v1").SerializeToString()), tmp_path)
    compiled = compile_explainer(path)
    assert not any(i.external_data for i in compiled.graph.initializer)
    got = run(compiled, {"x": x, **asked(1)})["relevance"]
    assert np.array_equal(got, explain("resnet_v1", x, 1))


def large_model(folder, hidden=1_100_000):
    """Write conv → ReLU → dense 512×hidden (2.25 GB, nearly all zeros, in a sparse file) → ReLU → dense."""
    rng = np.random.default_rng(0)
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,8,8] x) => (float[N,4] y) {
      c = Conv<pads=[1,1,1,1]>(x, w)  F = Relu(c)  q = Flatten(F)  m = MatMul(q, big)
      part = Slice(m, starts, ends, axes)  r = Relu(part)  y = MatMul(r, v) }"""
    model = parser.parse_model(text)
    arrays = {"w": rng.normal(size=(8, 3, 3, 3)).astype(np.float32), "v": rng.normal(size=(64, 4)).astype(np.float32)}
    arrays |= {"starts": np.array([0]), "ends": np.array([64]), "axes": np.array([1])}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    big = TensorProto(name="big", dims=[512, hidden], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    size = 4 * 512 * hidden
    for key, value in {"location": "big.bin", "offset": "0", "length": str(size)}.items():
        big.external_data.add(key=key, value=value)
    model.graph.initializer.append(big)
    onnx.save(model, folder / "large.onnx")
    with (folder / "big.bin").open("wb") as file:
        file.truncate(size)
        for row in range(512):
            file.seek(4 * row * hidden)
            file.write(rng.normal(size=64).astype(np.float32).tobytes())
    return folder / "large.onnx"


@pytest.fixture(scope="module")
def large_and_want(tmp_path_factory):
    """The large model, the feeds, and the map of the same network without its zeros."""
    folder = tmp_path_factory.mktemp("large")
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    feeds = {"x": x, **asked((0, 1), (3,))}
    want = run(compile_explainer(large_model(folder, 64)), feeds)["relevance"]
    assert want.any()
    yield large_model(folder), feeds, want
    (folder / "big.bin").unlink()


@pytest.mark.slow
def test_a_model_above_two_gigabytes_is_explained(large_and_want):
    path, feeds, want = large_and_want
    got = Session(compile_ir(analyse(path)), "cpu").run(feeds)["relevance"]
    assert relative_l2(got, want) < 1e-5


@pytest.mark.slow
def test_a_compiled_model_above_two_gigabytes_is_saved_and_runs_from_its_file(large_and_want, tmp_path):
    path, feeds, want = large_and_want
    save_explainer(path, tmp_path / "explainer.onnx")
    got = run(str(tmp_path / "explainer.onnx"), feeds)["relevance"]
    (tmp_path / "explainer.onnx.data").unlink()
    assert relative_l2(got, want) < 1e-5


@pytest.mark.parametrize("activation", ["s = Sigmoid(c) n = Log(s)", "s = Softplus(c) n = Neg(s)"])
def test_an_activation_that_is_never_positive_is_read_by_its_size(activation):
    """[X]₊ would lose all relevance for every image; −X is what |X| is."""
    rng = np.random.default_rng(0)
    k, w = (", ".join(f"{v:.3f}" for v in rng.uniform(-1, 1, 54)) for _ in range(2))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[N, 3, 6, 6] x) => (float[N, 2] y)
        <float[2, 3, 3, 3] k = {{{k}}}, float[3, 2, 3, 3] w = {{{w}}}, float[3, 2] v = {{1, -1, 2, 1, -1, 2}}> {{
        c = Conv(x, k) {activation} d = Conv(n, w) r = Relu(d) p = GlobalAveragePool(r) f = Flatten(p)
        y = MatMul(f, v) }}""")
    feeds = {"x": rng.random((1, 3, 6, 6)).astype(np.float32), **asked(0)}
    clamped, by_size = (run(compile_explainer(model, signed_inputs=s), feeds)["relevance"] for s in ("clamp", "abs"))
    assert clamped.any()
    np.testing.assert_array_equal(clamped, by_size)
