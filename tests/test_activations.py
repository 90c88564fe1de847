"""Intermediate tensors: any of them, in its own dtype, as the deployed model computes it."""

import numpy as np
import onnx
import pytest

from rsp_onnx import BadInput, Explainer, collect_activations, save_activations
from rsp_onnx.model.load import load_model

from .little import conv_net, two_input_net
from .running import run

X = np.random.default_rng(0).normal(size=(2, 3, 12, 12)).astype(np.float32)


def with_outputs(model, *names):
    """The same model with more outputs: a second way to get at them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {o.name for o in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in known)
    return copy


def test_tensors_are_the_models_own():
    model = conv_net()
    found = collect_activations(model, X, ["r", "p", "y"], device="cpu")
    want = run(with_outputs(model, "r", "p"), {"x": X})
    assert list(found) == ["r", "p", "y"]
    assert all(np.array_equal(found[n], want[n]) for n in found)


@pytest.mark.parametrize("names", [["r"], ["y"], ["x"], ["w"], ["r", "r", "x", "w", "y"], []])
def test_any_name_goes(names):
    found = collect_activations(conv_net(), {"x": X}, names, device="cpu")
    assert list(found) == list(dict.fromkeys(names))
    assert found.get("x", X) is X or np.array_equal(found["x"], X)
    if "w" in names:
        assert found["w"].shape == (6, 3, 3, 3)


def test_an_unknown_name_suggests_similar_ones():
    with pytest.raises(BadInput, match=r"no tensor 'rr'; similar ones are 'r'"):
        collect_activations(conv_net(), X, ["y", "rr"], device="cpu")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X.astype(np.float64), "must be float32, not float64"),
        (X[:, :2], "must have the shape"),
        (X[0], "must have the shape"),
        ({"z": X}, "no value for 'x'"),
        ({"x": X, "z": X}, "no input 'z'"),
    ],
)
def test_a_feed_that_does_not_fit(x, words):
    with pytest.raises(BadInput, match=words):
        collect_activations(conv_net(), x, ["r"], device="cpu")


def test_several_inputs_go_by_name():
    feeds = {"left": np.ones((1, 3, 8, 8), np.float32), "right": np.ones((1, 1, 8, 8), np.float32)}
    assert collect_activations(two_input_net(), feeds, ["s"], device="cpu")["s"].shape == (1, 5, 8, 8)
    with pytest.raises(BadInput, match="2 inputs; give a mapping by name: 'left', 'right'"):
        collect_activations(two_input_net(), feeds["left"], ["s"], device="cpu")


def test_half_precision_stays_half():
    found = collect_activations(conv_net(dtype="float16"), X.astype(np.float16), ["r", "w"], device="cpu")
    assert {a.dtype for a in found.values()} == {np.dtype(np.float16)}


def test_quantised_tensors_stay_quantised(shared_data):
    path = shared_data / "models/mobilenet_v2_nhwc_int8_qdq.onnx"
    proto = onnx.load(path)
    quantised = next(n.output[0] for n in proto.graph.node if n.op_type == "QuantizeLinear")
    feeds = Explainer(path, device="cpu").feeds(shared_data / "images/two_objects/dog_cat.png")
    found = collect_activations(path, feeds, [quantised, proto.graph.output[0].name], device="cpu")
    assert {a.dtype.kind for a in found.values()} <= set("iu")
    assert found[quantised].size > 1000


def test_a_loaded_model_is_left_as_it_was():
    model = load_model(conv_net().SerializeToString())
    for _ in range(2):
        assert list(collect_activations(model, X, ["r"], device="cpu")) == ["r"]
    assert [o.name for o in model.ir.graph.outputs] == ["y"]


def test_only_what_was_asked_for_is_written(repo, tmp_path):
    explainer = Explainer(repo / "models/digits_pytorch.onnx", device="cpu")
    names = ["/digits/Relu_5_output_0", "present"]
    written = save_activations(explainer, repo / "models/scenes/scene_0.png", names, tmp_path / "a.npz")
    assert written["/digits/Relu_5_output_0"] == {"shape": [1, 64, 12, 12], "dtype": "float32"}
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == sorted(names)
        assert {k: list(arrays[k].shape) for k in arrays} == {k: w["shape"] for k, w in written.items()}
    with pytest.raises(BadInput, match=r"ends in \.npz"):
        save_activations(explainer, repo / "models/scenes/scene_0.png", names, tmp_path / "a.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
