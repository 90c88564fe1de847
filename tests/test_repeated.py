"""Methods that ask the model many times: equal to their formulas written out in torch and numpy around the model."""

import math

import numpy as np
import onnx
import pytest
import torch

from rsp_onnx import BadInput, Explainer, compile_explainer
from rsp_onnx.attribution.perturbations import INTEGRATED, RISE
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain.compile import compile_ir

from .little import conv_net, nhwc_net, signal_net, table_net, two_input_net, volume_net
from .running import asked, relative_l2, run, session
from .zoo import export

ALL = ("smooth-grad:samples=4", "integrated-gradients:steps=8", "rise:masks=20,cells=3", "occlusion")
SHAPE = (2, 3, 12, 12)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(6, 8, 3),
        torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 5),
    ).eval()  # fmt: skip


def image(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explain(model, method, x, target=1, **options):
    return run(compile_explainer(model, method, **options), {"x": x, **asked(target, samples=len(x))})


def torch_gradient(net, x, target):
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    net.double()(leaf)[:, target].sum().backward()
    net.float()
    return leaf.grad.numpy()


def test_integrated_gradients_are_the_sum_over_the_path():
    net, x, steps, base = network(), image(), 16, 0.25
    found = explain(export(net, SHAPE), f"integrated-gradients:steps={steps},baseline={base}", x)["relevance"][0]
    shares = (np.arange(steps) + 0.5) / steps
    mean = sum(torch_gradient(net, base + a * (x - base), 1) for a in shares) / steps
    assert relative_l2(found, mean * (x - base)) < 1e-5


def test_integrated_gradients_are_complete():
    net, x = network(), image()
    found = explain(export(net, SHAPE), "integrated-gradients:steps=300", x)["relevance"][0]
    with torch.no_grad():
        difference = (net(torch.tensor(x)) - net(torch.zeros(SHAPE)))[:, 1].numpy()
    np.testing.assert_allclose(found.sum((1, 2, 3)), difference, rtol=2e-3, atol=2e-3)  # the path's own 1/steps


def test_smooth_grad_is_the_mean_gradient_of_noisy_copies():
    net, x = network(), image()
    found = explain(export(net, SHAPE), "smooth-grad:samples=6,noise=0.3,seed=7", x)["relevance"][0]
    drawn = np.random.default_rng(7).standard_normal((6, *SHAPE[1:]))
    spread = (x.max((1, 2, 3)) - x.min((1, 2, 3))).reshape(-1, 1, 1, 1)
    mean = sum(torch_gradient(net, x + 0.3 * spread * n, 1) for n in drawn) / 6
    assert relative_l2(found, mean) < 1e-5


def test_of_several_inputs_one_after_the_other_is_covered():
    model, name = two_input_net(), "occlusion:window=0.5,stride=0.25"
    x = {"left": image((1, 3, 8, 8)), "right": image((1, 1, 8, 8), 1)}
    found = run(compile_explainer(model, name), {**x, **asked(1)})
    plain = session(model)
    own = plain.run(None, x)[0][0, 1]
    for side, given in x.items():
        total, cover = np.zeros((8, 8)), np.zeros((8, 8))
        for top in range(0, 5, 2):
            for left in range(0, 5, 2):
                changed = given.copy()
                changed[:, :, top : top + 4, left : left + 4] = 0
                total[top : top + 4, left : left + 4] += own - plain.run(None, {**x, side: changed})[0][0, 1]
                cover[top : top + 4, left : left + 4] += 1
        assert relative_l2(found[f"relevance/{side}"][0, 0].sum(0), total / cover) < 1e-4, side


def softmax(logits):
    return np.exp(logits - logits.max(1, keepdims=True)) / np.exp(logits - logits.max(1, keepdims=True)).sum(1)[:, None]


def occlusion_by_hand(plain, x, score=lambda y: y, target=1):
    """Windows of 4, every 2, over 12×12 pixels, covered with 0.5: one run of the model each."""
    name, first = plain.get_inputs()[0].name, [o.name for o in plain.get_outputs()][:1]
    whole, total, cover = (
        score(plain.run(first, {name: x})[0])[:, target],
        np.zeros((len(x), 12, 12)),
        np.zeros((12, 12)),
    )
    for top in range(0, 9, 2):
        for left in range(0, 9, 2):
            covered = x.copy()
            covered[:, :, top : top + 4, left : left + 4] = 0.5
            drop = whole - score(plain.run(first, {name: covered})[0])[:, target]
            total[:, top : top + 4, left : left + 4] += drop[:, None, None]
            cover[top : top + 4, left : left + 4] += 1
    return total / cover


OCCLUSION = "occlusion:window=0.34,stride=0.2,baseline=0.5"
ENDS = {"logits": "", "softmax": "Softmax<axis=1>", "sigmoid": "Sigmoid", "log-softmax": "LogSoftmax<axis=1>"}


@pytest.mark.parametrize("end", ENDS)
def test_occlusion_is_the_mean_drop_of_the_models_own_score(end):
    model, x = conv_net(end=ENDS[end]), image()
    found = explain(model, OCCLUSION, x)["relevance"][0].sum(1)
    assert relative_l2(found, occlusion_by_hand(session(model), x)) < 1e-4


@pytest.mark.parametrize(
    ("end", "chance"),
    [("logits", softmax), ("log-softmax", np.exp), ("softmax", lambda y: y), ("sigmoid", lambda y: y)],
)
def test_probabilities_are_measured_where_they_are_asked_for(end, chance):
    model, x = conv_net(end=ENDS[end]), image()
    found = explain(model, f"{OCCLUSION},probabilities=1", x)["relevance"][0].sum(1)
    assert relative_l2(found, occlusion_by_hand(session(model), x, chance)) < 1e-4


def rise_masks(masks, cells, probability, seed, extent=12):
    rng = np.random.default_rng(seed)
    grids = (rng.random((masks, 1, 1, cells, cells)) < probability).astype(np.float32)
    width = math.ceil(extent / cells)
    shifts = np.stack([rng.integers(0, width, masks) for _ in range(2)], axis=1)
    for grid, (top, left) in zip(grids, shifts, strict=True):
        size = [(cells + 1) * width] * 2
        wide = torch.nn.functional.interpolate(torch.tensor(grid), size, mode="bilinear", align_corners=False)
        yield wide[0, 0].numpy()[top : top + extent, left : left + extent]


@pytest.mark.parametrize("end", ["logits", "sigmoid"])
def test_rise_is_the_mean_mask_weighted_with_the_probability(end):
    model, x = conv_net(end=ENDS[end]), image()
    asked_for = ",probabilities=1" if end == "logits" else ""
    found = explain(model, f"rise:masks=30,cells=3,probability=0.4,seed=3{asked_for}", x)["relevance"][0].sum(1)
    total, plain = np.zeros((2, 12, 12)), session(model)
    for mask in rise_masks(30, 3, 0.4, 3):
        scores = plain.run(None, {"x": x * mask})[0]
        total += (softmax(scores) if end == "logits" else scores)[:, 1, None, None] * mask
    assert relative_l2(found, total / (30 * 0.4)) < 1e-4


@pytest.mark.parametrize("end", ["logits", "log-softmax"])
def test_rise_of_a_logit_is_its_covariance_with_the_mask(end):
    model, x = conv_net(end=ENDS[end]), image()
    found = explain(model, "rise:masks=30,cells=3,probability=0.4,seed=3", x)["relevance"][0].sum(1)
    plain, masks = session(model), np.stack(list(rise_masks(30, 3, 0.4, 3))).astype(np.float64)
    logits = np.stack([plain.run(None, {"x": x * m.astype(np.float32)})[0][:, 1] for m in masks])  # [masks, N]
    want = np.einsum("in,ihw->nhw", logits - logits.mean(0), masks) / (30 * 0.4)
    assert relative_l2(found, want) < 1e-4


def test_a_constant_on_all_logits_gives_rise_no_map():
    plain, shifted = conv_net(), conv_net()
    bias = next(t for t in shifted.graph.initializer if t.name == "b")
    raised = onnx.numpy_helper.to_array(bias) + np.float32(64)
    bias.CopyFrom(onnx.numpy_helper.from_array(raised, "b"))
    maps = [explain(m, "rise:masks=40,cells=3", image())["relevance"] for m in (plain, shifted)]
    assert relative_l2(maps[1], maps[0]) < 1e-3  # what float32 keeps of logits at 64


@pytest.mark.parametrize("method", ALL)
def test_a_batch_of_several_targets_is_one_by_one(method):
    model, x = conv_net(), image((3, 3, 12, 12))
    both = explain(model, method, x, [1, 3])["relevance"]
    for k, target in enumerate((1, 3)):
        for n in range(3):
            alone = explain(model, method, x[n : n + 1], target)["relevance"][0]
            assert relative_l2(both[k, n : n + 1], alone) < 1e-5


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("kind", ["nhwc", "signal", "volume", "table", "half", "fixed batch"])
def test_any_layout_and_rank(method, kind):
    model, shape = {
        "nhwc": (nhwc_net(), (1, 12, 12, 3)), "signal": (signal_net(), (1, 2, 32)),
        "volume": (volume_net(), (1, 1, 6, 7, 8)), "table": (table_net(), (1, 7)),
        "half": (conv_net(dtype="float16"), (1, 3, 12, 12)), "fixed batch": (conv_net(batch=1), (1, 3, 12, 12)),
    }[kind]  # fmt: skip
    x = image(shape).astype(np.float16 if kind == "half" else np.float32)
    found = explain(model, method, x)
    assert found["relevance"].shape == (1, *shape) and found["relevance"].dtype == np.float32
    assert np.isfinite(found["relevance"]).all() and np.abs(found["relevance"]).sum() > 0
    np.testing.assert_array_equal(found["y"], run(model, {"x": x})["y"])  # scores bit for bit


def stump():
    """Class 1 where feature 2 is above 1.5, else class 0."""
    tree = onnx.helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", nodes_treeids=[0] * 3,
        nodes_nodeids=[0, 1, 2], nodes_featureids=[2, 0, 0], nodes_modes=["BRANCH_GT", "LEAF", "LEAF"],
        nodes_values=[1.5, 0.0, 0.0], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        class_treeids=[0] * 6, class_nodeids=[1, 1, 1, 2, 2, 2], class_ids=[0, 1, 2] * 2,
        class_weights=[0.0, 1.0, 0.0, 1.0, 0.0, 0.0], classlabels_int64s=[0, 1, 2],
    )  # fmt: skip
    info = onnx.helper.make_tensor_value_info
    outputs = [info("label", 7, ["N"]), info("p", 1, ["N", 3])]
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 1)]
    graph = onnx.helper.make_graph([tree], "stump", [info("x", 1, ["N", 4])], outputs)
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize("method", ["rise:masks=200,cells=4", "occlusion:window=0.25,stride=0.25"])
def test_a_black_box_needs_no_rule(method):
    """A tree has no gradient; what it looks at is found by covering it."""
    x = np.array([[2.0, -1.0, 4.0, 3.0]], np.float32)
    found = run(compile_explainer(stump(), method), {"x": x, **asked(1)})
    assert found["relevance"].shape == (1, 1, 4) and found["relevance"][0, 0].argmax() == 2
    assert found["label"].tolist() == [1]


def test_the_loop_stays_small_whatever_the_number_of_steps():
    few, many = (compile_ir(analyse(conv_net()), f"integrated-gradients:steps={n}") for n in (2, 2000))
    assert len(few.graph) == len(many.graph)
    weights = [sum(v.const_value.nbytes for v in m.graph.initializers.values()) for m in (few, many)]
    assert weights[0] == weights[1]


def test_a_wrong_step_would_be_seen(monkeypatch):
    """The kit's own check: left edges instead of the middle of each stretch are told apart."""
    net, x = network(), image()
    model = export(net, SHAPE)
    monkeypatch.setitem(INTEGRATED.__dict__, "change", lambda asked: (asked.x, None))
    wrong = explain(model, "integrated-gradients:steps=16", x)["relevance"][0]
    shares = (np.arange(16) + 0.5) / 16
    mean = sum(torch_gradient(net, a * x, 1) for a in shares) / 16
    assert relative_l2(wrong, mean * x) > 1e-3


def test_tensors_and_token_ids_are_refused_in_a_sentence():
    with pytest.raises(BadInput, match="knows the relevance of the inputs alone, not of 'r'"):
        compile_explainer(conv_net(), "rise", tensors=["r"])
    assert RISE.black_box
    with pytest.raises(BadInput, match="no parameter 'maks'; its parameters are masks, cells"):
        compile_explainer(conv_net(), "rise:maks=3")
    with pytest.raises(BadInput, match="steps=many is not a number"):
        compile_explainer(conv_net(), "integrated-gradients:steps=many")
    with pytest.raises(BadInput, match="is not like key=value"):
        compile_explainer(conv_net(), "rise:20")


def test_the_explainer_gives_maps_of_the_photo(repo):
    explainer = Explainer(repo / "models" / "digits_pytorch.onnx", method="occlusion")
    found = explainer.explain(repo / "models" / "scenes" / "scene_0.png", target="topk:2")
    assert [e.heatmap.shape for e in found] == [(96, 96)] * 2
    assert not any(e.is_zero or e.warnings for e in found)
