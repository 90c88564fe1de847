"""The naive reference is itself held against loops, numbers made by hand and what the method promises."""

from itertools import product

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import parser
from torch import nn

from .naive import naive_rsp, rules
from .naive.net import Net
from .naive.ops import compute
from .naive.walk import as_feed
from .naive.windows import conv
from .zoo import FAMILIES, export, full_mobilenet_v2, full_resnet18, section_of
from .zoo.blocks import Parallel, Residual, healthy

families = pytest.mark.parametrize("name", FAMILIES)


def images(shape, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape[1:]))


def exported(name, **how):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape, **how)
    return model, section_of(model, entry), images(entry.shape)


# ---- windows ----


WINDOWS = [
    "kernel_shape=[3,2], strides=[2,1], pads=[1,0,0,1]",
    "kernel_shape=[3,3], strides=[2,2], ceil_mode=1",
    "kernel_shape=[2,2], strides=[3,2], dilations=[2,3]",
    'kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER"',
    'kernel_shape=[2,3], strides=[2,2], auto_pad="SAME_LOWER"',
]
POOLS = [f"MaxPool<{w}>" for w in WINDOWS]
POOLS += [f"AveragePool<{w}, count_include_pad={c}>" for w in WINDOWS for c in (0, 1)]


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_windows_are_those_of_onnxruntime(pool):
    graph = f"g (float[1,2,7,8] x) => (float[1,2,a,b] y) {{ y = {pool}(x) }}"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 19]> {graph}')
    x = images((1, 2, 7, 8), 1).astype(np.float32)
    (want,) = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    got = compute(model.graph.node[0], [as_feed(x)], 19)[0]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-6)


# ---- rules against loops ----


def naive_z(x, w, stride, pad):
    """Convolution in pure Python, out[o,i,j] = Σ x[c,a,b]·w[o,c,u,v], and the list of its terms."""
    terms = []
    outs, C, U, V = w.shape
    size = [(n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[1:], (U, V), strict=True)]
    out = np.zeros((outs, *size))
    for o, i, j, c, u, v in product(range(outs), range(size[0]), range(size[1]), range(C), range(U), range(V)):
        a, b = i * stride + u - pad, j * stride + v - pad
        if 0 <= a < x.shape[1] and 0 <= b < x.shape[2]:
            out[o, i, j] += x[c, a, b] * w[o, c, u, v]
            terms.append(((o, i, j), (c, a, b), (o, c, u, v)))
    return out, terms


def looped_sign(x, R, kernel, stride, pad):
    """C for R ≥ 0, term by term."""
    _, terms = naive_z(x, np.zeros((R.shape[0], x.shape[0], *kernel)), stride, pad)
    G = np.zeros((R.shape[0], x.shape[0], *kernel))
    for out, at, weight in terms:
        G[weight] += x[at] * R[out]
    Z, _ = naive_z(x, G, stride, pad)
    C = np.zeros_like(x)
    for out, at, weight in terms:
        if R[out] != 0 and Z[out] != 0:
            C[at] += x[at] * G[weight] * R[out] / Z[out]
    return C


@pytest.mark.parametrize(("stride", "pad"), [(1, 1), (2, 0), (1, 0)])
def test_conv_rule_is_what_loops_say(stride, pad):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2, 3, 3))
    x, kernel = np.maximum(X, 0), (2, 2)
    shape = naive_z(x, np.zeros((4, 2, *kernel)), stride, pad)[0].shape
    R = rng.normal(size=shape)
    C = 2 * (looped_sign(x, np.maximum(R, 0), kernel, stride, pad)
             - looped_sign(x, np.maximum(-R, 0), kernel, stride, pad))  # fmt: skip
    want = C - (C != 0) * R.sum() / np.count_nonzero(C)
    f = lambda a, w: conv(a, w, strides=[stride] * 2, pads=[pad] * 4)  # noqa: E731
    got = rules.conv_kernel(f, torch.zeros(4, 2, *kernel).double(), as_feed(x)[None], as_feed(R)[None])
    np.testing.assert_allclose(got[0].numpy(), want, rtol=1e-12, atol=1e-13)


def test_conv_rule_of_one_pixel_and_one_unit_by_hand():
    # x = 3, R = 5: G = 15, Z = 45, C_p = 3·15·5/45 = 5, doubled 10, shifted by 5/1: 5
    f = lambda a, w: conv(a, w)  # noqa: E731
    one = torch.ones(1, 1, 1, 1).double()
    assert rules.conv_kernel(f, one, 3 * one, 5 * one).item() == pytest.approx(5, abs=1e-14)


@pytest.mark.parametrize(("stride", "pad"), [(1, 1), (2, 0), (1, 0)])
def test_z_box_is_what_loops_say(stride, pad):
    rng = np.random.default_rng(2)
    X, W = rng.normal(size=(3, 4, 4)), rng.normal(size=(2, 3, 3, 3))
    L, H = X.min(), X.max()
    plus, minus = np.maximum(W, 0), np.minimum(W, 0)
    ones = np.ones_like(X)
    Z = (naive_z(X, W, stride, pad)[0] - L * naive_z(ones, plus, stride, pad)[0]
         - H * naive_z(ones, minus, stride, pad)[0])  # fmt: skip
    R = rng.normal(size=Z.shape)
    want = np.zeros_like(X)
    for out, at, weight in naive_z(X, W, stride, pad)[1]:
        want[at] += (X[at] * W[weight] - L * plus[weight] - H * minus[weight]) * R[out] / Z[out]
    f = lambda a, w: conv(a, w, strides=[stride] * 2, pads=[pad] * 4)  # noqa: E731
    box = [torch.full((1, *X.shape), v, dtype=torch.float64) for v in (L, H)]
    got = rules.z_box(f, as_feed(W), as_feed(X)[None], *box, as_feed(R)[None])
    np.testing.assert_allclose(got[0].numpy(), want, rtol=1e-11, atol=1e-12)


def test_z_box_of_a_flat_image_is_zero_and_not_rounding_noise():
    X = torch.full((1, 3, 5, 5), 0.1).double()
    W = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    f = lambda a, w: conv(a, w)  # noqa: E731
    assert not rules.z_box(f, W, X, X, X, torch.ones(1, 4, 3, 3).double()).any()


def test_of_equal_maxima_the_first_in_scan_order_gets_all():
    pool = onnx.helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])
    X = torch.tensor([[[[1.0, 2.0], [2.0, 2.0]]]]).double()
    R = rules.z_rule(lambda x: compute(pool, [x], 17)[0], X, torch.full((1, 1, 1, 1), 7.0).double())
    np.testing.assert_allclose(R[0, 0].numpy(), [[0, 7], [0, 0]], rtol=1e-14)


def test_purge_keeps_one_sign_per_position_and_both_totals():
    R = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    P, A = rules.purge(R, 1), R.sum(1, keepdim=True)
    assert not ((P < 0) & (A > 0)).any()
    assert not ((P > 0) & (A <= 0)).any()
    for sign in (1, -1):
        assert (sign * P).clamp(min=0).sum().item() == pytest.approx((sign * R).clamp(min=0).sum().item())


def test_shares_are_proportional_and_a_broadcast_branch_collects_its_own():
    X = [torch.tensor([[[1.0, 3.0]]]).double(), torch.tensor([[[3.0]]]).double()]
    parts = rules.share(X, torch.tensor([[[8.0, 8.0]]]).double())
    np.testing.assert_allclose(parts[0][0, 0].numpy(), [2, 4], rtol=1e-8)
    np.testing.assert_allclose(parts[1][0, 0].numpy(), [10], rtol=1e-8)


@pytest.mark.parametrize("sigmoid", ["Sigmoid", "HardSigmoid"])
def test_all_relevance_follows_the_signal_and_none_the_gate(sigmoid):
    graph = (
        "g (float[N,2,3,3] x) => (float[N,2] y) "
        f"{{ a = Relu(x)  m = GlobalAveragePool(a)  g = {sigmoid}(m)  F = Mul(g, a)  "
        "p = GlobalAveragePool(F)  y = Flatten(p) }"
    )
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}')
    R = naive_rsp(model, {"x": images((1, 2, 3, 3))}, 0, section="F")
    np.testing.assert_array_equal(R["a"], R["F"])
    assert "g" not in R
    assert "m" not in R


# ---- what the method promises ----


def positive_net():
    """Softplus keeps every input positive, so that no Z vanishes."""
    branch = nn.Sequential(nn.Conv2d(8, 8, 1, groups=2), nn.Softplus(), nn.Conv2d(8, 8, 3, padding=1))
    wide = Parallel(nn.Conv2d(8, 4, 3, 2, 1, groups=4), nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1))
    stem = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Softplus()]
    last = [nn.Softplus(), nn.Conv2d(20, 12, (1, 7), padding=(0, 3)), nn.Softplus()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)]
    net = nn.Sequential(*stem, Residual(branch, None, nn.Softplus()), wide, *last, *head)
    return healthy(net, (1, 3, 12, 12), 0)


def cuts(net, section):
    """List the tensors that everything between image and section passes through."""
    found = [net.inputs[0]]
    nodes = net.below(section)
    for i, node in enumerate(nodes):
        made = {n for earlier in nodes[: i + 1] for n in earlier.output} | set(net.inputs)
        read = {n for later in nodes[i + 1 :] for n in later.input}
        if (made & read) <= {node.output[0]}:
            found.append(node.output[0])
    return found


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("hostile", [(), (3, 4)])
@pytest.mark.parametrize("purge", [False, True])
def test_every_layer_keeps_the_sum_where_no_z_vanishes(fold, hostile, purge):
    model = export(positive_net(), (1, 3, 12, 12), fold=fold)
    section = [n for n in model.graph.node if n.op_type == "Softplus"][-1].output[0]
    R = naive_rsp(model, {"x": images((1, 3, 12, 12), 1)}, 1, hostile, section=section, purge=purge)
    layers = cuts(Net(model), section)
    assert len(layers) > 6
    for name in layers:
        assert R[name].sum() == pytest.approx(R[section].sum(), rel=1e-10), name


@families
def test_a_batch_is_its_images_one_by_one(name):
    model, section, x = exported(name)
    batch = naive_rsp(model, {"x": x}, 1, [2, -1], section=section)
    for i in range(len(x)):
        alone = naive_rsp(model, {"x": x[i : i + 1]}, 1, [2], section=section)
        np.testing.assert_array_equal(batch["x"][i], alone["x"][0])


@families
def test_explanations_are_finite_not_zero_and_differ_between_classes(name):
    model, section, x = exported(name)
    first, second = (naive_rsp(model, {"x": x}, c, section=section)["x"] for c in (1, 2))
    assert first.shape == x.shape
    assert np.isfinite(first).all()
    assert first.any()
    assert np.linalg.norm(first - second) > 1e-3 * np.linalg.norm(first)


@families
def test_target_and_hostile_swapped_at_split_one_flip_the_start(name):
    model, section, x = exported(name)
    R0 = [naive_rsp(model, {"x": x}, t, [h], section=section, split=1.0)[section] for t, h in ((1, 2), (2, 1))]
    np.testing.assert_allclose(R0[0], -R0[1], rtol=1e-9, atol=1e-15)


def test_one_class_divides_by_the_largest_magnitude_where_no_evidence_is_positive():
    head = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    with torch.no_grad():
        head[0].weight.fill_(1.0)
        head[3].weight.fill_(-1.0)
    model = export(head, (1, 1, 2, 2))
    section = model.graph.node[1].output[0]
    R0 = naive_rsp(model, {"x": np.arange(1.0, 5.0).reshape(1, 1, 2, 2)}, 0, section=section)[section]
    assert R0.min() == -1
    assert R0.max() < 0


@pytest.mark.slow
@pytest.mark.parametrize("make", [full_resnet18, full_mobilenet_v2])
def test_networks_of_the_published_size_are_explained(make):
    model = export(make(), (1, 3, 224, 224))
    section = next(n for n in model.graph.node if n.op_type == "GlobalAveragePool").input[0]
    R = naive_rsp(model, {"x": images((1, 3, 224, 224), 1)}, 3, section=section)["x"]
    assert np.isfinite(R).all()
    assert R.any()
