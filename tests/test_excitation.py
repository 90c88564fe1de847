"""Excitation backprop: probabilities by positive products, compared with dense matrices and with its own promises."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from rsp_onnx import compile_explainer
from rsp_onnx.attribution.excitation import METHODS, first_map
from rsp_onnx.compiler.analysis import analyse

from .conftest import REPO
from .little import signal_net, table_net, two_input_net
from .running import asked, relative_l2, run, run_reference, session
from .zoo import FAMILIES, export
from .zoo.blocks import Residual, healthy

NAMES = [m.name for m in METHODS]
names = pytest.mark.parametrize("name", NAMES)
TARGET, SHAPE = 1, (2, 2, 9, 9)


def network():
    body = nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 5, 1))
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(body, act=nn.ReLU()),
        nn.Conv2d(5, 6, 3, groups=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 4),
    )  # fmt: skip
    return healthy(net, SHAPE, seed=11)


# ---- the paper's formula again, on dense matrices ----


def excite(x, w, p):
    """p'_i = x_i Σ_j w⁺_ji p_j / Σ_i' w⁺_ji' x_i'."""
    products = np.maximum(w, 0) * np.maximum(x, 0)
    z = products.sum(1)
    return np.divide(p, z, out=np.zeros_like(z), where=z > 0) @ products


def contrast(x, w, p):
    sides = [excite(x, w, p), excite(x, -w, p)]
    return np.subtract(*(s / s.sum() * p.sum() if s.sum() > 0 else s for s in sides))


def matrix(module, x):
    b = module(torch.zeros_like(x)).detach().numpy().ravel()
    basis = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
    return (module(basis).detach().numpy().reshape(x.numel(), -1) - b).T


def back(module, x, p, rule, last):
    """The probabilities at the input of a module, given those at its output; ``last`` is for the classifier."""
    if isinstance(module, nn.Sequential):
        inputs = [x]
        for m in module:
            inputs.append(m(inputs[-1]))
        for m, given in reversed(list(zip(module, inputs[:-1], strict=True))):
            p = back(m, given, p, rule, last)
            last = rule if isinstance(m, nn.Linear) else last
        return p
    if isinstance(module, Residual):
        parts = [module.body(x).clamp(min=0), module.shortcut(x).clamp(min=0)]
        each = torch.where(sum(parts) > 0, p / sum(parts), 0.0)
        return sum(back(m, x, v * each, rule, last) for m, v in zip((module.body, module.shortcut), parts, strict=True))
    if isinstance(module, nn.MaxPool2d):
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            return torch.autograd.grad(module(x), x, p)[0]
    if isinstance(module, (nn.Conv2d, nn.Linear, nn.AdaptiveAvgPool2d)):
        rule = last if isinstance(module, nn.Linear) else rule
        return torch.tensor(rule(x.numpy().ravel(), matrix(module, x), p.numpy().ravel())).reshape(x.shape)
    return p.reshape(x.shape)


def naive(net, name, x, rule=excite):
    """Channel sum behind the first ReLU, for every sample."""
    net = copy.deepcopy(net).double().eval()
    net[4], net[5] = nn.utils.fusion.fuse_conv_bn_eval(net[4], net[5]), nn.Identity()
    body = net[3].body
    body[0], body[1] = nn.utils.fusion.fuse_conv_bn_eval(body[0], body[1]), nn.Identity()
    maps = []
    with torch.no_grad():
        for sample in torch.tensor(x).split(1):
            start = torch.eye(4, dtype=torch.float64)[None, TARGET]
            last = contrast if name.startswith("contrastive") else rule
            maps.append(back(net[2:], net[:2](sample), start, rule, last).sum(1).numpy())
    return np.concatenate(maps)


@names
def test_the_first_feature_map_has_the_papers_probabilities(name):
    net, x = network(), np.random.default_rng(0).normal(size=SHAPE)
    model = export(net, SHAPE, double=True, fold=False)
    place = first_map(*_graph_and_logits(model)).name
    got = run_reference(compile_explainer(model, name, tensors=[place]), {"x": x, **asked(TARGET, samples=2)})
    want = naive(net, name, x)
    assert relative_l2(got[f"relevance/{place}"][0].sum(1), want) < 1e-9
    # 9×9 is the image's size, so that enlarging changes nothing
    assert relative_l2(got["relevance"][0].sum(1), want) < 1e-6


def _graph_and_logits(model):
    found = analyse(model)
    return found.graph, found.logits


def abs_weights(x, w, p):
    return excite(x, np.abs(w), p)


def with_bias(x, w, p):
    products = np.maximum(w, 0) * np.maximum(x, 0)
    return (p / (products.sum(1) + 0.1)) @ products


@pytest.mark.parametrize("wrong", [abs_weights, with_bias])
def test_a_wrong_rule_fails_the_comparison(wrong):
    net, x = network(), np.random.default_rng(0).normal(size=SHAPE)
    model = export(net, SHAPE, double=True, fold=False)
    got = run_reference(compile_explainer(model, NAMES[0]), {"x": x, **asked(TARGET, samples=2)})["relevance"][0]
    assert relative_l2(got.sum(1), naive(net, NAMES[0], x)) < 1e-6
    assert relative_l2(got.sum(1), naive(net, NAMES[0], x, wrong)) > 1e-3


def test_excitation_is_a_probability_and_the_contrast_sums_to_zero():
    x = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    model = export(network(), SHAPE)
    place = first_map(*_graph_and_logits(model)).name
    for name, total in zip(NAMES, (1.0, 0.0), strict=True):
        r = run(compile_explainer(model, name, tensors=[place]), {"x": x, **asked((0, 1, 2, 3), samples=2)})
        sums = r[f"relevance/{place}"].sum((2, 3, 4))
        np.testing.assert_allclose(sums, total, atol=1e-5)
        assert (r["relevance"] >= 0).all() == (total == 1.0)


@names
def test_a_batch_and_several_targets_are_explained_as_one_by_one(name):
    x = np.random.default_rng(4).normal(size=SHAPE).astype(np.float32)
    opened = session(compile_explainer(export(network(), SHAPE), name))
    together = run(opened, {"x": x, **asked((0, 1, 2), samples=2)})["relevance"]
    for target in range(3):
        for i in range(2):
            alone = run(opened, {"x": x[i : i + 1], **asked(target)})["relevance"][0, 0]
            np.testing.assert_allclose(together[target, i], alone, atol=1e-5 * np.abs(alone).max())


# ---- where the map is taken ----


@pytest.mark.parametrize("name", ["vgg", "resnet_v1", "densenet", "googlenet", "mobilenet_v2", "squeezenet", "conv1d"])
def test_the_map_is_taken_behind_the_first_activation(name):
    model = export(FAMILIES[name].make(), FAMILIES[name].shape)
    graph, logits = _graph_and_logits(model)
    place = first_map(graph, logits)
    assert place.value.producer().op_type in ("Relu", "Clip")
    layers = [n for n in graph.between(graph.inputs, place.value) if n.op_type == "Conv"]
    assert len(layers) == 1


def test_a_table_has_no_map_so_that_its_inputs_are_told():
    model = table_net()
    assert first_map(*_graph_and_logits(model)) is None
    x = np.random.default_rng(0).uniform(0.1, 1, (3, 7)).astype(np.float32)
    r = run(compile_explainer(model, NAMES[0]), {"x": x, **asked(2, samples=3)})["relevance"][0]
    np.testing.assert_allclose(r.sum(1), 1, atol=1e-5)


@names
@pytest.mark.parametrize("make", [signal_net, two_input_net])
def test_signals_and_two_images_are_explained(name, make):
    compiled = compile_explainer(make(), name)
    opened, rng = session(compiled), np.random.default_rng(0)
    feeds = {
        i.name: rng.normal(size=[2 if isinstance(d, str) else d for d in i.shape]).astype(np.float32)
        for i in opened.get_inputs()
        if i.name not in ("target", "hostile")
    }
    for key, r in run(opened, {**feeds, **asked(1, samples=2)}).items():
        if key.startswith("relevance"):
            assert np.isfinite(r).all() and r.any()


# ---- real models ----


@names
@pytest.mark.parametrize("model", ["digits_pytorch", "digits_keras", "digits_vit"])
def test_the_digits_are_explained(model, name):
    r = _explained(REPO / "models" / f"{model}.onnx", name)
    assert np.isfinite(r).all() and r.any()


@pytest.mark.slow
@names
@pytest.mark.parametrize("model", ["squeezenet1.1_nchw_fp32", "mobilenet_v2_nhwc_int8_qdq"])
def test_real_models_are_explained(shared_data, model, name):
    r = _explained(shared_data / "models" / f"{model}.onnx", name)
    assert np.isfinite(r).all() and r.any()


def _explained(path, name):
    opened = session(compile_explainer(str(path), name))
    image = opened.get_inputs()[0]
    x = np.random.default_rng(0).uniform(0, 1, [d if isinstance(d, int) else 1 for d in image.shape])
    x = (255 * x).astype(np.uint8) if "uint8" in image.type else x.astype(np.float32)
    return run(opened, {image.name: x, **asked(3)})["relevance"]
