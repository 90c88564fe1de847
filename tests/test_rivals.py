"""RAP, Attribution Equilibrium, FullGrad and rollout: equal to their formulas written out in torch."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 as torch's own documents call it

from rsp_onnx import BadInput, Explainer, compile_explainer
from rsp_onnx.attribution import rap

from .little import RNG, little, signal_net, table_net
from .running import asked, relative_l2, run
from .zoo import export

SHAPE, TARGET = (2, 3, 16, 16), 1


def network(signed=False):
    """A small VGG; signed: some hidden layers read activations of either sign."""
    torch.manual_seed(3)
    nn, bend = torch.nn, torch.nn.Tanh if signed else torch.nn.ReLU
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), bend(), nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(12, 12, 1), bend(), nn.MaxPool2d(2), nn.Conv2d(12, 12, 3, padding=1, groups=3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10), nn.ReLU(), nn.Linear(10, 4),
    ).double().eval()  # fmt: skip


def image(seed=0):
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def compiled(method, signed=False, **options):
    return compile_explainer(export(network(signed).float(), SHAPE), method, **options)


def found(method, x, signed=False, **options):
    return run(compiled(method, signed, **options), {"x": x, **asked(TARGET, samples=len(x))})["relevance"][0]


# ---- written out, one sample at a time: x ⊙ (∂/∂x)ᵀ of whatever is linear ----


def divided(a, b):
    return torch.where(b != 0, a / torch.where(b != 0, b, torch.ones_like(b)), torch.zeros_like(b))


def back(layer, x, weight, s):
    leaf = x.detach().requires_grad_()
    (g,) = torch.autograd.grad(through(layer, leaf, weight), leaf, s)
    return g


def through(layer, x, weight):
    if isinstance(layer, torch.nn.Linear):
        return F.linear(x, weight)
    return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def shifted(c, total):
    count = (c != 0).sum()
    return c - (c != 0) * total / count if count else c


def z_bounded(layer, x, r):
    w, low, high = layer.weight.detach(), x.min() * torch.ones_like(x), x.max() * torch.ones_like(x)
    up, down = w.clamp(min=0), w.clamp(max=0)
    s = divided(r, through(layer, x, w) - through(layer, low, up) - through(layer, high, down))
    return x * back(layer, x, w, s) - low * back(layer, x, up, s) - high * back(layer, x, down, s)


def pooled(layer, x, r, extra=0.0):
    leaf = (x + extra).detach().requires_grad_()
    z = layer(leaf)
    (g,) = torch.autograd.grad(z, leaf, divided(r, z))
    return leaf.detach() * g


def trace(net, x):
    values = [x]
    for layer in net:
        values.append(layer(values[-1]).detach())
    return values


def rap_written_out(net, x):
    values, r = trace(net, x), None
    for layer, value in zip(reversed(net), reversed(values[:-1]), strict=True):
        if layer is net[-1]:
            r = (value * layer.weight[TARGET]).abs()
            r = r / r.sum() * values[-1][0, TARGET]
        elif layer is net[0]:
            r = z_bounded(layer, value, r)
        elif isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            r = rap_layer(layer, value, r)
        elif isinstance(layer, (torch.nn.MaxPool2d, torch.nn.AdaptiveAvgPool2d)):
            r = pooled(layer, value, r)
        else:
            r = r.reshape(value.shape)
    return r


def rap_layer(layer, x, r):
    w = layer.weight.detach()
    (xu, xd), (wu, wd) = ((t.clamp(min=0), t.clamp(max=0)) for t in (x, w))
    z1 = through(layer, xu, wu) + through(layer, xd, wd)
    z2 = -(through(layer, xu, wd) + through(layer, xd, wu))
    dense = isinstance(layer, torch.nn.Linear)
    s1 = divided(r, z1) if dense else divided(r.clamp(min=0), z1)
    s2 = divided(r, z1 + z2) if dense else divided(r, z1 + z2) + divided(r.clamp(max=0), z2)
    c = xu * back(layer, xu, wu, s1) + xd * back(layer, xd, wd, s1)
    c = c - xu * back(layer, xu, wd, s2) - xd * back(layer, xd, wu, s2)
    return shifted(c, c.sum() - r.sum())


def equilibrium_written_out(net, x, ratio=2.0):
    front, rest = net[:9], net[9:]
    values = trace(front, x)
    leaf = values[-1].requires_grad_()
    (g,) = torch.autograd.grad(rest(leaf)[0, TARGET], leaf)
    r = leaf.detach() * g.mean((2, 3), keepdim=True)
    r = r / r.sum().abs()
    for layer, value in zip(reversed(front), reversed(values[:-1]), strict=True):
        if layer is net[0]:
            r = z_bounded(layer, value, r)
        elif isinstance(layer, torch.nn.Conv2d):
            r = equilibrium_layer(layer, value, r, ratio)
        elif isinstance(layer, torch.nn.MaxPool2d):
            r = pooled(layer, value, r, 1e-9)
    return r


def equilibrium_layer(layer, x, r, ratio):
    w, on, wide = layer.weight.detach().abs(), (x > 0).double(), layer.kernel_size != (1, 1)
    t, o = r.clamp(min=0) / r.clamp(min=0).sum(), r.clamp(max=0) / r.clamp(max=0).sum()

    def share(x, s):
        return x * back(layer, x, w, divided(s, through(layer, x, w)))

    c = share(x.clamp(min=0), (ratio if wide else 1.0) * t) - share(x.clamp(min=0), o)
    c = shifted(c, 1.0) if wide else c
    return c + share(on, t) - share(1 - on, o)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("method", "written"), [
    ("rap", rap_written_out), ("attribution-equilibrium", equilibrium_written_out),
])  # fmt: skip
def test_maps_equal_the_formulas_written_out(method, written, signed):
    x, net = image(), network(signed)
    maps = found(method, x, signed)
    for n in range(len(x)):
        wanted = written(net, torch.tensor(x[n : n + 1]).double()).detach().numpy()
        assert relative_l2(maps[n : n + 1], wanted) < 1e-5


def test_the_ratio_of_equilibrium_counts():
    x = image()
    wanted = equilibrium_written_out(network(), torch.tensor(x[:1]).double(), 1.5).detach().numpy()
    assert relative_l2(found("attribution-equilibrium:ratio=1.5", x)[:1], wanted) < 1e-5


def test_a_wrong_rule_would_be_seen(monkeypatch):
    monkeypatch.setattr(rap, "uniform_shift", lambda ctx, c, total, rank: c)
    x = image()
    wanted = rap_written_out(network(), torch.tensor(x[:1]).double()).detach().numpy()
    assert relative_l2(found("rap", x)[:1], wanted) > 1e-3


@pytest.mark.parametrize("signed", [False, True])
def test_rap_keeps_the_score(signed):
    x = image()
    with torch.no_grad():
        y = network(signed)(torch.tensor(x).double())[:, TARGET].numpy()
    np.testing.assert_allclose(found("rap", x, signed).sum((1, 2, 3)), y, rtol=1e-4)


def test_equilibrium_balances_red_and_blue():
    sums = found("attribution-equilibrium", image())
    np.testing.assert_allclose(sums.sum((1, 2, 3)), 0, atol=1e-5 * np.abs(sums).sum())


# ---- FullGrad ----


def full_grad_network():
    torch.manual_seed(5)
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 49, 4, bias=False),
    )  # fmt: skip
    net[3].running_mean.normal_()
    net[3].running_var.uniform_(0.5, 2)
    net[3].bias.data.normal_()
    return net.eval()


def full_grad_parts(net, x):
    """x⊙∂y/∂x and b⊙∂y/∂b at every position, in torch; BatchNorm's bias takes its mean in."""
    x = torch.tensor(x).double().requires_grad_()
    net = net.double()
    a = net[0](x)
    b = net[2](net[1](a))
    n = net[3](b)
    y = net[7](net[6](net[5](net[4](n))))
    ga, gn, gx = torch.autograd.grad(y[:, TARGET].sum(), (a, n, x))
    norm = net[3]
    shift = norm.bias - norm.running_mean * norm.weight / torch.sqrt(norm.running_var + norm.eps)
    parts = [gx * x, ga * net[0].bias.reshape(-1, 1, 1), gn * shift.reshape(-1, 1, 1)]
    return [p.detach() for p in parts], y[:, TARGET].detach().numpy()


@pytest.mark.parametrize("folded", [True, False])
def test_full_grad_adds_up_all_parts(folded):
    x, net = image(), full_grad_network()
    model = export(net, SHAPE, fold=folded)
    assert ("BatchNormalization" in {n.op_type for n in model.graph.node}) != folded
    maps = run(compile_explainer(model, "full-grad"), {"x": x, **asked(TARGET, samples=2)})["relevance"][0]
    parts, y = full_grad_parts(net, x)
    np.testing.assert_allclose(sum(p.sum((1, 2, 3)) for p in parts), y, rtol=1e-9)  # the parts are complete
    wanted = 0
    for part in parts:
        size = part.abs()
        size = size - size.amin((1, 2, 3), keepdim=True)
        size = size / (size.amax((1, 2, 3), keepdim=True) + 1e-6)
        wanted = wanted + F.interpolate(size.sum(1, keepdim=True), (16, 16), mode="bilinear", align_corners=False)
    assert relative_l2(maps.sum(1, keepdims=True), wanted.numpy()) < 1e-5


def test_full_grad_needs_a_picture():
    with pytest.raises(BadInput, match="full-grad draws maps, and the input 'x' is none"):
        compile_explainer(table_net(), "full-grad")


class Windows(torch.nn.Module):
    """Attention inside windows of a map: biases stand on the map, on windows in the batch, and on attention scores."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.embed = torch.nn.Conv2d(3, 6, 2, 2)
        self.inside, self.apart = (torch.nn.Parameter(torch.randn(*s)) for s in ((6, 1, 1), (2, 16, 16)))
        self.head = torch.nn.Linear(6, 4)

    def forward(self, x):
        a = torch.relu(self.embed(x))
        w = a.reshape(-1, 6, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 6, 4, 4) + self.inside
        t = w.reshape(-1, 2, 3, 16)
        scores = t.transpose(2, 3) @ t + self.apart  # [4·N, 2, 16, 16]: four axes, as the image has
        back = scores.softmax(-1) @ t.transpose(2, 3)
        return self.head(back.reshape(-1, 4, 2, 16, 3).mean((1, 3)).reshape(-1, 6))


@pytest.mark.parametrize("batch", [None, 1])
def test_full_grad_takes_no_windows_and_no_attention_scores_for_maps(batch):
    net, x = Windows().eval(), image()[:1]
    model = compile_explainer(export(net, (1, 3, 16, 16)), "full-grad", input_shapes={"x": [batch, 3, 16, 16]})
    maps = run(model, {"x": x, **asked(TARGET)})["relevance"][0]
    leaf, kept = torch.tensor(x).requires_grad_(), []
    net.embed.register_forward_hook(lambda _, __, a: kept.append(a))
    y = net(leaf)[0, TARGET]
    gx, ga = torch.autograd.grad(y, (leaf, kept[0]))
    wanted = 0
    for part in (gx * leaf, ga * net.embed.bias.reshape(-1, 1, 1)):
        size = part.detach().abs()
        size = size - size.amin()
        size = (size / (size.amax() + 1e-6)).sum(1, keepdim=True)
        wanted = wanted + F.interpolate(size, (16, 16), mode="bilinear", align_corners=False)
    assert relative_l2(maps.sum(1, keepdims=True), wanted.numpy()) < 1e-4


def test_full_grad_leaves_the_scores_of_one_window_out():
    """With one window the batch stands in front: only the softmax tells scores from maps."""
    model = little(
        """g (float[N,4,6,6] x) => (float[N,3] y) <int64[3] rows = {0, 4, 36}> {
            a = Reshape(x, rows)  t = Transpose<perm=[0, 2, 1]>(a)
            k = MatMul(t, a)  o = Unsqueeze(k, one)  s = Add(o, b)  p = Softmax<axis=-1>(s)
            q = Squeeze(p, one)  m = MatMul(q, t)  f = ReduceMean<axes=[1], keepdims=0>(m)  y = MatMul(f, v) }""",
        one=np.array([1]), b=RNG(1).randn(1, 36, 36).astype(np.float32), v=RNG(3).randn(4, 3).astype(np.float32),
    )  # fmt: skip
    explained = compile_explainer(model, "full-grad")
    feeds = {"x": RNG(5).randn(2, 4, 6, 6).astype(np.float32), **asked(TARGET, samples=2)}
    gradient = run(compile_explainer(model, "input-x-gradient"), feeds)["relevance"][0]
    size = np.abs(gradient)
    size = size - size.min((1, 2, 3), keepdims=True)
    size = (size / (size.max((1, 2, 3), keepdims=True) + 1e-6)).sum(1)
    assert relative_l2(run(explained, feeds)["relevance"][0].sum(1), size) < 1e-5


# ---- rollout ----


def test_rollout_equals_the_product_of_the_attentions(repo, monkeypatch):
    monkeypatch.syspath_prepend(str(repo / "benchmarks"))
    monkeypatch.delitem(sys.modules, "digits", raising=False)
    spec = importlib.util.spec_from_file_location("vit_benchmark", repo / "benchmarks" / "vit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = repo / "models" / "digits_vit.onnx"
    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    maps = Explainer(model, method="attention-rollout").explain(picture, target=[1, 2])
    assert np.array_equal(maps[0].heatmap, maps[1].heatmap)  # it knows no class
    wanted = module.Rollout(model)(picture)
    assert np.corrcoef(maps[0].heatmap.ravel(), wanted.ravel())[0, 1] > 0.9999


def test_rollout_says_what_it_needs():
    with pytest.raises(BadInput, match="attention-rollout needs a transformer"):
        compile_explainer(signal_net(), "attention-rollout")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rap", "attribution-equilibrium", "full-grad"])
@pytest.mark.parametrize("name", ["digits_pytorch", "digits_keras", "digits_vit"])
def test_every_layout_and_a_batch_as_one_by_one(method, name, repo):
    explainer = Explainer(repo / "models" / f"{name}.onnx", method=method)
    scenes = [repo / "models" / "scenes" / f"scene_{i}.png" for i in range(3)]
    together = explainer.explain_batch(scenes, "topk:2", batch_size=3)
    for scene, maps in zip(scenes, together, strict=True):
        for alone, one in zip(explainer.explain(scene, "topk:2"), maps, strict=True):
            assert not one.is_zero and relative_l2(one.relevance, alone.relevance) < 1e-4
