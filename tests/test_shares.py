"""A layer's rules, LRP's, RAP's, Equilibrium's and excitation's, are those of the matrix of products, whatever scale.

One layer at a time, with any relevance: also where windows hold nothing, filters have one sign, and numbers are faint.
"""

import numpy as np
import pytest
import torch

from rsp_onnx.attribution import equilibrium, excitation, lrp_rules, rap
from rsp_onnx.rulekit import shares
from rsp_onnx.rulekit.affine import per_channel
from rsp_onnx.testing.models import compile_ops, read_ops
from rsp_onnx.testing.reference import runner

from .little import little
from .naive.lrp import by_alpha_beta, by_epsilon, by_flat, by_w_square, by_z_plus, share
from .running import relative_l2, run, session

EXACT = 1e-10  # in float64
SINGLE = 2e-5  # float32 against float64

# ---- the rules again, on the matrix p[j, i] = x_i·w_ji; r of both signs ----


def shifted(c, total):
    return c - (c != 0) * total / max((c != 0).sum(), 1)


def by_rap(x, w, r, dense, _):
    up, down = np.maximum(w * x, 0), np.maximum(-w * x, 0)
    first, second = (r, r) if dense else (np.maximum(r, 0), np.minimum(r, 0))
    c = share(up, first) + divided(r, up.sum(1) + down.sum(1)) @ down
    c = c if dense else c + share(down, second)
    return shifted(c, c.sum() - r.sum())


def divided(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def by_equilibrium(x, w, r, dense, wide):
    on, size = (x > 0).astype(float), np.abs(w)
    t, o = (divided(part, part.sum()) for part in (np.maximum(r, 0), np.maximum(-r, 0)))
    c = share(size * np.maximum(x, 0), (2 * t if wide else t) - o)
    c = shifted(c, t.sum()) if wide else c
    return c + share(size * on, t) - share(size * (1 - on), o)


def by_excitation(x, w, r, dense, wide):
    return share(np.maximum(x, 0) * np.maximum(w, 0), r)


def by_contrast(x, w, r, dense, wide):
    sides = [by_excitation(x, v, r, dense, wide) for v in (w, -w)]
    return np.subtract(*(s * divided(r.sum(), s.sum()) for s in sides))


def lrp(rule):
    return lambda x, w, r, dense, wide: rule(x, w, np.zeros(len(w)), r)


def alpha_2(x, w, b, r):
    return by_alpha_beta(2, 1, x, w, b, r)


RULES = {
    "z-plus": (lrp_rules.z_plus, lrp(by_z_plus)),
    "alpha-beta": (lrp_rules.alpha_beta(2.0, 1.0), lrp(alpha_2)),
    "flat": (lrp_rules.flat, lrp(by_flat)),
    "w-square": (lrp_rules.w_square, lrp(by_w_square)),
    "rap": (rap.propagate, by_rap),
    "equilibrium": (equilibrium.balance(2.0), by_equilibrium),
    "excite": (excitation.excite, by_excitation),
    "contrast": (excitation.contrast, by_contrast),
}
EPSILON = 0.25

# ---- layers ----

HEAD = "g (T[N,{0}] x) => (T[N,{1}] y) {{ h = {2}(x) {3} }}"
LAYERS = {  # sizes before, sizes behind, nodes, shape of w, shape of b
    "conv": ((4, 9, 8), (5, 5, 4), "y = Conv<strides=[2,2], pads=[1,1,1,1]>(h, w{b})", (5, 4, 3, 3), (5,)),
    "groups": ((4, 6, 7), (6, 4, 5), "y = Conv<group=2>(h, w{b})", (6, 2, 3, 3), (6,)),
    "depthwise": (
        (4, 7, 7),
        (4, 4, 4),
        "y = Conv<group=4, strides=[2,2], pads=[1,1,1,1]>(h, w{b})",
        (4, 1, 3, 3),
        (4,),
    ),
    "pointwise": ((5, 7, 6), (8, 7, 6), "y = Conv(h, w{b})", (8, 5, 1, 1), (8,)),
    "transposed": ((4, 4, 4), (3, 9, 9), "y = ConvTranspose<strides=[2,2]>(h, w{b})", (4, 3, 3, 3), (3,)),
    "gemm": ((20,), (7,), "y = Gemm<transB=1, alpha=1.5>(h, w{b})", (7, 20), (7,)),
    "matmul": ((20,), (7,), "{m} = MatMul(h, w) {add}", (20, 7), (7,)),
}
layers = pytest.mark.parametrize("layer", LAYERS)


def model_of(layer, dtype, signed=False, bias=False, scale=1.0):
    """A layer behind an activation; one filter has no positive weights, one no negative ones."""
    before, behind, text, shape, biases = LAYERS[layer]
    rng = np.random.default_rng(1)
    w = rng.normal(size=shape)
    filters = w if shape[0] == biases[0] else np.moveaxis(w, 1, 0)
    filters[0], filters[1] = -np.abs(filters[0]), np.abs(filters[1])
    weights = {"w": (scale * w).astype(dtype)}
    if bias:
        weights["b"] = rng.normal(size=biases).astype(dtype)
    fill = {"b": ", b" if bias else "", "m": "m" if bias else "y", "add": "y = Add(m, b)" if bias else ""}
    body = HEAD.format(
        ",".join(map(str, before)), ",".join(map(str, behind)), "Tanh" if signed else "Relu", text.format(**fill)
    )
    return little(body.replace("T[", "double[" if dtype == np.float64 else "float["), **weights)


def question(layer, name="", samples=2, targets=2):
    """Inputs with windows that hold nothing, and relevance of both signs."""
    before, behind, *_ = LAYERS[layer]
    rng = np.random.default_rng(2)
    x = rng.normal(size=(samples, *before)) * (rng.random((samples, *before)) > 0.3)
    x[..., : before[-1] // 2] = 0
    r = rng.normal(size=(targets, samples, *behind))
    return x, np.abs(r) if name == "contrast" else r  # which starts with probabilities


def compiled(rule, model):
    rules = lrp_rules.Composite(lambda layer: rule, lrp_rules.epsilon(0.0), lrp_rules.signed_shares(0.0))
    return compile_ops(read_ops(model, None), rules.lookup, "relevance", None)


def in_float64(rule, model, x, r):
    return runner(compiled(rule, model))({"x": x, "g": r})["relevance/x"]


def in_onnxruntime(rule, model, x, r):
    return run(compiled(rule, model), {"x": x.astype(np.float32), "g": r.astype(np.float32)})["relevance/x"]


def matrix(layer, weights):
    """Return W as a dense matrix [outputs, inputs] and b per output, from torch."""
    before, behind, *_ = LAYERS[layer]
    w = torch.tensor(weights["w"]).double()
    basis = torch.eye(int(np.prod(before)), dtype=torch.float64).reshape(-1, *before)
    made = {
        "conv": lambda: torch.conv2d(basis, w, stride=2, padding=1),
        "groups": lambda: torch.conv2d(basis, w, groups=2),
        "depthwise": lambda: torch.conv2d(basis, w, stride=2, padding=1, groups=4),
        "pointwise": lambda: torch.conv2d(basis, w),
        "transposed": lambda: torch.conv_transpose2d(basis, w, stride=2),
        "gemm": lambda: 1.5 * basis @ w.T,
        "matmul": lambda: basis @ w,
    }[layer]()
    b = weights.get("b", np.zeros(behind[0]))
    places = int(np.prod(behind[1:]))
    return made.reshape(len(basis), -1).numpy().T, np.repeat(np.asarray(b, np.float64), places)


def wanted(layer, model, formula, x, r, signed=False):
    """The maps of a formula (x, w, b, r), sample by sample."""
    weights = {c.name: np.frombuffer(c.raw_data, {1: np.float32, 11: np.float64}[c.data_type]).reshape(c.dims)
               for c in model.graph.initializer}  # fmt: skip
    w, b = matrix(layer, weights)
    h = np.tanh(x) if signed else np.maximum(x, 0)
    maps = [[formula(h[n].ravel(), w, b, r[k, n].ravel()) for n in range(len(x))] for k in range(len(r))]
    return np.reshape(maps, (len(r), *x.shape))


def formula_of(name, layer):
    dense, wide = layer in ("gemm", "matmul"), layer not in ("gemm", "matmul", "pointwise")
    return lambda x, w, b, r: RULES[name][1](x, w, r, dense, wide)


# ---- in float64 ----


@layers
@pytest.mark.parametrize("signed", [False, True], ids=["relu", "signed"])
@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_that_of_the_matrix_also_where_windows_hold_nothing(name, layer, signed):
    model, (x, r) = model_of(layer, np.float64, signed), question(layer, name)
    want = wanted(layer, model, formula_of(name, layer), x, r, signed)
    assert want.any() and relative_l2(in_float64(RULES[name][0], model, x, r), want) < EXACT


@layers
@pytest.mark.parametrize(("rule", "formula"), [
    (lrp_rules.alpha_beta(2.0, 1.0), alpha_2),
    (lrp_rules.alpha_beta(1.0, 0.0), lambda x, w, b, r: by_alpha_beta(1, 0, x, w, b, r)),
    (lrp_rules.epsilon(EPSILON), lambda x, w, b, r: by_epsilon(EPSILON, x, w, b, r)),
], ids=["alpha 2", "alpha 1", "epsilon"])  # fmt: skip
def test_a_bias_takes_its_share(layer, rule, formula):
    model, (x, r) = model_of(layer, np.float64, True, bias=True), question(layer)
    assert relative_l2(in_float64(rule, model, x, r), wanted(layer, model, formula, x, r, True)) < EXACT


@layers
def test_epsilon_has_its_sign_where_z_is_below_0_and_counts_0_as_positive(layer):
    model, (x, r) = model_of(layer, np.float64), question(layer)
    want = wanted(layer, model, lambda x, w, b, r: by_epsilon(EPSILON, x, w, b, r), x, r)
    assert relative_l2(in_float64(lrp_rules.epsilon(EPSILON), model, x, r), want) < EXACT


def test_epsilon_at_exactly_0_is_positive():
    """Summands that cancel: z is 0, and each gets its value times r/ε."""
    model = little("g (double[N,2] x, double[N,2] y) => (double[N,2] z) { z = Add(x, y) }")
    rules = lrp_rules.Composite(lambda layer: lrp_rules.flat, lrp_rules.flat, lrp_rules.signed_shares(EPSILON))
    x, r = np.array([[0.5, -2.0]]), np.array([[[1.0, 3.0]]])
    got = runner(compile_ops(read_ops(model, None), rules.lookup, "relevance", None))({"x": x, "y": -x, "g": r})
    np.testing.assert_allclose(got["relevance/x"], x * r / EPSILON, rtol=1e-15)
    np.testing.assert_allclose(got["relevance/y"], -x * r / EPSILON, rtol=1e-15)


@pytest.mark.parametrize(("shape", "fits"), [
    ((), True), ((3, 1, 1), True), ((1, 3, 1, 1), True), ((1, 1, 1), True),
    ((3, 5, 1), False), ((5,), False), ((2, 1, 1, 1), False), ((2, 3, 1, 1), False),
])  # fmt: skip
def test_a_bias_is_the_layers_own_where_it_differs_by_channel_alone(shape, fits):
    bias = np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)
    own = per_channel(bias, 3, 2)
    assert (own is not None) == fits
    if own is not None:
        np.testing.assert_array_equal(own.reshape(1, 3, 1, 1), np.broadcast_to(bias, (1, 3, 1, 1)))


# ---- in float32, from faint to strong ----

EXTREMES = {  # of relevance, of activations, of weights
    "usual": (1.0, 1.0, 1.0), "faint relevance": (1e-8, 1.0, 1.0), "strong relevance": (1e5, 1.0, 1.0),
    "faint activations": (1.0, 2.0**-27, 1.0), "strong activations": (1.0, 2.0**20, 1.0),
    "faint weights": (1.0, 1.0, 2.0**-20), "strong weights": (1e5, 1.0, 2.0**20),
    "strong relevance of faint activations": (1e5, 2.0**-27, 1.0),
    "faint activations and weights": (1e-8, 2.0**-27, 2.0**-10),
}  # fmt: skip


@pytest.mark.parametrize("layer", ["conv", "depthwise", "gemm"])
@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_right_in_float32_from_faint_to_strong(name, layer):
    opened = {}
    for scale, (of_r, of_x, of_w) in EXTREMES.items():
        model, (x, r) = model_of(layer, np.float32, scale=of_w), question(layer, name)
        x, r = x.astype(np.float32) * np.float32(of_x), (r * of_r).astype(np.float32)
        if of_w not in opened:
            opened[of_w] = session(compiled(RULES[name][0], model))
        got = run(opened[of_w], {"x": x, "g": r})["relevance/x"]
        want = wanted(layer, model, formula_of(name, layer), x.astype(np.float64), r.astype(np.float64))
        assert np.isfinite(got).all() and relative_l2(got, want) < SINGLE, scale


@pytest.mark.parametrize("name", RULES)
def test_where_nothing_is_seen_nothing_is_handed_on(name):
    """All activations are 0: no NaN; only what shares by weights alone hands anything on."""
    model, (x, r) = model_of("conv", np.float32), question("conv", name)
    got = in_onnxruntime(RULES[name][0], model, 0 * x, 1e5 * r)
    assert np.isfinite(got).all()
    assert got.any() == (name in ("flat", "w-square", "equilibrium"))


def test_a_bias_that_counts_would_be_seen(monkeypatch):
    monkeypatch.setattr(shares, "bias_below", lambda op, size: 1e-9)
    model, (x, r) = model_of("conv", np.float32), question("conv")
    x = x.astype(np.float32) * np.float32(2.0**-27)
    got = in_onnxruntime(lrp_rules.z_plus, model, x, r)
    assert relative_l2(got, wanted("conv", model, formula_of("z-plus", "conv"), x.astype(np.float64), r)) > 1e-2
