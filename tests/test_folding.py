"""What is part of a layer: a BatchNormalization behind it, with the epsilon it has, and Gemm's own factors."""

import numpy as np
import pytest

from rsp_onnx import compile_explainer

from .little import RNG, little
from .running import asked, relative_l2, run

METHODS = [
    "gradient",
    "rsp",
    "lrp-0",
    "lrp-epsilon:epsilon=0.5",
    "lrp-gamma",
    "lrp-alpha-beta",
    "attribution-equilibrium",
]
GAIN, OFFSET, MEAN = RNG(1).randn(3, 4)
VARIANCE = np.array([1e-5, 3e-5, 0.1, 2.0])  # the first are no larger than epsilon
EPSILONS = {"": 1e-5, "<epsilon = 0.001>": 1e-3, "<epsilon = 0.7>": 0.7}


def net(middle, **weights):
    return little(
        f"""g (float[N,2,6,6] x) => (float[N,3] y) {{
            a = Conv<pads=[1,1,1,1]>(x, w, c) {middle} r = Relu(z) b = Conv(r, k) s = Relu(b)
            p = GlobalAveragePool(s) f = Flatten(p) y = MatMul(f, u) }}""",
        **{n: a.astype(np.float32) for n, a in weights.items()},
    )


def layers():
    return {"w": RNG(2).randn(4, 2, 3, 3), "c": RNG(3).randn(4), "k": RNG(4).randn(5, 4, 3, 3), "u": RNG(5).randn(5, 3)}


def normalised(attribute):
    kept = {"g": GAIN, "o": OFFSET, "m": MEAN, "v": VARIANCE}
    return net(f"z = BatchNormalization{attribute}(a, g, o, m, v)", **layers(), **kept)


def folded(epsilon):
    weights, scale = layers(), GAIN / np.sqrt(VARIANCE + epsilon)
    weights["w"] = weights["w"] * scale[:, None, None, None]
    weights["c"] = weights["c"] * scale + OFFSET - MEAN * scale
    return net("z = Identity(a)", **weights)


@pytest.mark.parametrize("attribute", EPSILONS)
@pytest.mark.parametrize("method", METHODS)
def test_a_normalised_layer_is_explained_as_the_layer_it_is_folded_into(method, attribute):
    feeds = {"x": RNG(6).randn(2, 2, 6, 6).astype(np.float32), **asked((0, 2), samples=2)}
    maps = [
        run(compile_explainer(model, method), feeds)["relevance"]
        for model in (normalised(attribute), folded(EPSILONS[attribute]))
    ]
    assert relative_l2(*maps) < 1e-4


# ---- transposed convolutions, whose weights are stored by input channel; and Gemm's own factors ----


def transposed(middle, **weights):
    return little(
        f"""g (float[N,2,6,6] x) => (float[N,3] y) {{
            h = Conv(x, w) i = Relu(h) a = ConvTranspose<group=2, strides=[2,2]>(i, k, c) {middle} r = Relu(z)
            p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, u) }}""",
        **{n: a.astype(np.float32) for n, a in weights.items()},
    )


@pytest.mark.parametrize("method", ["gradient", "lrp-0", "lrp-epsilon:epsilon=0.5", "lrp-gamma", "lrp-alpha-beta"])
def test_a_normalised_transposed_convolution_is_the_one_it_is_folded_into(method):
    weights = {
        "w": RNG(2).randn(6, 2, 3, 3),
        "k": RNG(3).randn(6, 2, 2, 2),
        "c": RNG(4).randn(4),
        "u": RNG(5).randn(4, 3),
    }
    scale = GAIN / np.sqrt(VARIANCE + 0.7)
    per_row = np.repeat(scale.reshape(2, 2), 3, axis=0)  # rows 0..2 make the first group's two filters
    own = {"k": weights["k"] * per_row[:, :, None, None], "c": weights["c"] * scale + OFFSET - MEAN * scale}
    kept = {"g": GAIN, "o": OFFSET, "m": MEAN, "v": VARIANCE}
    models = [
        transposed("z = BatchNormalization<epsilon=0.7>(a, g, o, m, v)", **weights, **kept),
        transposed("z = Identity(a)", **{**weights, **own}),
    ]
    feeds = {"x": RNG(6).randn(2, 2, 6, 6).astype(np.float32), **asked((0, 2), samples=2)}
    assert relative_l2(*(run(compile_explainer(m, method), feeds)["relevance"] for m in models)) < 1e-4


@pytest.mark.parametrize("method", ["gradient", "rsp", "lrp-0", "lrp-epsilon:epsilon=0.5", "lrp-gamma"])
def test_gemms_factors_are_those_of_its_weight_and_its_bias(method):
    weights = {"w": RNG(2).randn(6, 5), "c": RNG(3).randn(5), "v": RNG(4).randn(5, 3), "b": RNG(5).randn(3)}
    maps = []
    for attributes, first, second in (("<alpha=0.5, beta=3.0>", 1, 1), ("", 0.5, 3)):
        model = little(
            f"""g (float[N,6] x) => (float[N,3] y) {{
                h = Gemm{attributes}(x, w, c) r = Relu(h) y = Gemm{attributes}(r, v, b) }}""",
            **{n: (a * (first if n in "wv" else second)).astype(np.float32) for n, a in weights.items()},
        )
        feeds = {"x": RNG(6).randn(2, 6).astype(np.float32), **asked((0, 2), samples=2)}
        maps.append(run(compile_explainer(model, method), feeds)["relevance"])
    assert relative_l2(*maps) < 1e-5
