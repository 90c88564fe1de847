"""LRP by name equals shares of dense product matrices, keeps its sum, and asks one thing at a time or many alike."""

import copy
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import compile_explainer
from rsp_onnx.attribution.lrp import METHODS
from rsp_onnx.errors import BadInput

from .naive.lrp import FIRST_CONV_DENSE, by_z_plus, naive_lrp, share, start
from .running import asked, relative_l2, run, run_reference, session
from .zoo import export
from .zoo.blocks import Residual, healthy

NAMES = [m.name for m in METHODS]
names = pytest.mark.parametrize("name", NAMES)
TARGET = 1

# ---- networks ----

SHAPE = (2, 2, 8, 8)


def plain():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 3),
    )  # fmt: skip


def normalised():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2, 1, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip


def residual():
    body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), Residual(body, act=nn.ReLU()), nn.MaxPool2d(3, 2, 1),
        Residual(nn.Sequential(nn.Conv2d(4, 6, 1)), nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)), nn.ReLU()),
        nn.ConvTranspose2d(6, 4, 3, 2, 1, groups=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def table():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


NETWORKS = {"plain": (plain, SHAPE), "normalised": (normalised, SHAPE), "residual": (residual, SHAPE),
            "table": (table, (2, 6))}  # fmt: skip
networks = pytest.mark.parametrize("net", NETWORKS)


@cache
def made(net):
    make, shape = NETWORKS[net]
    return healthy(make(), shape, seed=7)


def images(net, seed=0):
    return np.random.default_rng(seed).normal(size=NETWORKS[net][1])


@cache
def exported(net, double=True):
    return export(made(net), NETWORKS[net][1], double=double, fold=False)


def explain(model, name, x, target=TARGET):
    feeds = {model.graph.input[0].name: x, **asked(target, samples=len(x))}
    compiled = compile_explainer(model, name)
    return (run_reference if x.dtype == np.float64 else run)(compiled, feeds)["relevance"]


# ---- (a) against the formulas ----


@networks
@pytest.mark.parametrize("name", FIRST_CONV_DENSE)
def test_float64_maps_are_those_of_the_matrices(net, name):
    x = images(net)
    assert relative_l2(explain(exported(net), name, x)[0], naive_lrp(made(net), name, x, TARGET)) < 1e-9


@networks
@names
def test_float32_maps_in_the_runtime_are_nearly_those(net, name):
    x = images(net)
    got = explain(exported(net, double=False), name, x.astype(np.float32))[0]
    assert relative_l2(got, naive_lrp(made(net), name, x, TARGET)) < 2e-4


def test_every_method_is_compared():
    assert {name.partition(":")[0] for name in FIRST_CONV_DENSE} == set(NAMES)


def test_a_wrong_rule_fails_the_comparison(monkeypatch):
    """The bias forgotten, or positive products taken for all: neither passes."""
    x = images("plain")
    for wrong in (lambda x, w, b, r: share(w * x, r), by_z_plus):
        monkeypatch.setitem(FIRST_CONV_DENSE, "lrp-0", [wrong] * 3)
        assert (
            relative_l2(explain(exported("plain"), "lrp-0", x)[0], naive_lrp(made("plain"), "lrp-0", x, TARGET)) > 1e-3
        )


@names
def test_a_batch_norm_folded_by_the_exporter_changes_nothing(name):
    x = images("normalised").astype(np.float32)
    one, other = (export(made("normalised"), SHAPE, fold=fold) for fold in (True, False))
    assert sum(n.op_type == "BatchNormalization" for n in other.graph.node) == 2
    assert relative_l2(explain(one, name, x), explain(other, name, x)) < 1e-4


SPELLINGS = {
    "BatchNormalization": "z = BatchNormalization(a, s, o, m, v)",
    "Mul and Add": "d = Mul(a, f) z = Add(d, g)",
    "Add, Mul and Sub": "d = Add(a, k) e = Mul(f, d) z = Sub(e, l)",
    "Div and Add": "d = Div(a, i) z = Add(g, d)",
}


@pytest.mark.parametrize("name", ["lrp-epsilon", "lrp-gamma", "lrp-alpha-beta", "lrp-w-square"])
def test_every_spelling_of_an_affine_map_is_folded(name):
    """BatchNorm with mean 1, variance 4, scale s, offset o is a·s/2 + (o − s/2)."""
    rng = np.random.default_rng(3)
    s, o = rng.normal(size=(2, 4))
    f, g = s / 2, o - s / 2
    column = (4, 1, 1)
    weights = {
        "s": s, "o": o, "m": np.ones(4), "v": np.full(4, 4 - 1e-5), "f": f.reshape(column), "g": g.reshape(1, *column),
        "i": (1 / f).reshape(column), "k": np.ones(column), "l": (f - g).reshape(column),
        "w": rng.normal(size=(4, 2, 3, 3)), "c": rng.normal(size=4), "u": rng.normal(size=(3, 4)),
    }  # fmt: skip
    x, maps = rng.normal(size=(1, 2, 6, 6)), []
    for text in SPELLINGS.values():
        model = onnx.parser.parse_model(
            f"""<ir_version: 8, opset_import: ["": 17]> g (double[N,2,6,6] x) => (double[N,3] y) {{
            a = Conv(x, w, c) {text} r = Relu(z) p = GlobalAveragePool(r) q = Flatten(p) y = Gemm<transB=1>(q, u) }}"""
        )
        model.graph.initializer.extend(onnx.numpy_helper.from_array(w, n) for n, w in weights.items())
        maps.append(explain(model, name, x))
    assert all(relative_l2(r, maps[0]) < 1e-6 for r in maps[1:])


# ---- (b) what must hold exactly ----


def without_bias(net):
    network = copy.deepcopy(made(net))
    for m in network.modules():
        if getattr(m, "bias", None) is not None and not isinstance(m, nn.BatchNorm2d):
            nn.init.zeros_(m.bias)
        if isinstance(m, nn.BatchNorm2d):
            for value in (m.bias, m.running_mean):
                nn.init.zeros_(value)
    return network


# α and β need products of both signs at every unit, which small convolutions lack; their maps are compared above
BOTH_SIGNS = ("lrp-alpha-beta", "lrp-epsilon-alpha2-beta1")
KEPT = [(net, name) for name in NAMES for net in ("plain", "normalised", "table")
        if name not in BOTH_SIGNS or net == "table"]  # fmt: skip


@pytest.mark.parametrize(("net", "name"), KEPT)
def test_without_bias_the_sum_of_relevance_is_that_of_the_start(net, name):
    """To what ε takes."""
    network, x = without_bias(net), images(net, seed=5)
    got = explain(export(network, NETWORKS[net][1], double=True, fold=False), name, x)[0]
    y = network.double()(torch.tensor(x)).detach().numpy()
    begun = np.array([start(name, row, TARGET).sum() for row in y])
    np.testing.assert_allclose(got.reshape(len(x), -1).sum(1), begun, rtol=0, atol=1e-5)


@pytest.mark.parametrize("net", ["plain", "normalised", "residual", "table"])
def test_lrp_0_without_bias_is_input_times_gradient(net):
    model, x = export(without_bias(net), NETWORKS[net][1], double=True, fold=False), images(net)
    assert relative_l2(explain(model, "lrp-0", x), explain(model, "input-x-gradient", x)) < 1e-10


# ---- (c) parameters ----


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("lrp-alpha-beta:alpha=2,beta=2", "alpha − beta must be 1"),
        ("lrp-alpha-beta:alpha=0,beta=-1", "beta is a number from 0 on, not -1"),
        ("lrp-gamma:gamma=-1", "gamma is a number from 0 on, not -1"),
        ("lrp-epsilon:epsilon=-1e-3", "epsilon is a number from 0 on, not -0.001"),
        ("lrp-epsilon:gamma=1", "there is no parameter 'gamma'; its parameters are epsilon"),
        ("lrp-z-plus:epsilon=1", "it has no parameters"),
        ("lrp-gamma:gamma=much", "is not a number"),
    ],
)
def test_a_parameter_that_cannot_be_is_told_in_one_sentence(spec, says):
    with pytest.raises(BadInput) as caught:
        compile_explainer(exported("table", double=False), spec)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


# ---- (e) one by one, or all at once ----


@names
def test_a_batch_and_several_targets_are_explained_as_one_by_one(name):
    x = images("residual").astype(np.float32)
    opened = session(compile_explainer(exported("residual", double=False), name))
    together = run(opened, {"x": x, **asked((0, 1, 2), samples=2)})["relevance"]
    for target in range(3):
        for i in range(2):
            alone = run(opened, {"x": x[i : i + 1], **asked(target)})["relevance"][0, 0]
            np.testing.assert_allclose(together[target, i], alone, atol=1e-5 * np.abs(alone).max())
