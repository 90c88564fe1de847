"""Zero padding before a convolution: the walk lets the convolution pad, where nobody else reads what lies between."""

import numpy as np
import pytest

from rsp_onnx import Explainer, compile_explainer

from .little import RNG, little
from .running import asked, relative_l2, run

HEAD = "f = Relu(b) g = GlobalAveragePool(f) e = Flatten(g) y = MatMul(e, v)"
WEIGHTS = {
    "w": RNG(3).randn(6, 2, 3, 3).astype(np.float32), "u": RNG(5).randn(6, 6, 3, 3).astype(np.float32),
    "v": RNG(4).randn(6, 4).astype(np.float32), "pads": np.array([0, 0, 1, 0, 0, 0, 2, 1]),
}  # fmt: skip
FIRST = "float[N,2,9,8] x) => (float[N,4] y"
BETWEEN = "a = Conv(x, w) r = Relu(a) p = Pad(r, pads)"
JOINED = {
    "behind an activation": f"{BETWEEN} b = Conv(p, u)",
    "before a convolution that pads, with a stride": f"{BETWEEN} b = Conv<pads=[1,0,0,1],strides=[2,2]>(p, u)",
    "a fill that says 0": "a = Conv(x, w) r = Relu(a) p = Pad(r, pads, zero) b = Conv(p, u)",
    "axes by number, amounts that are computed": (
        "a = Conv(x, w) r = Relu(a) q = Cast<to=7>(amounts) p = Pad(r, q, zero, axes) b = Conv(p, u)"
    ),
    "the image itself": "p = Pad(x, pads) a = Conv(p, w) r = Relu(a) b = Conv(r, u)",
}
APART = {
    "read twice": f"{BETWEEN} c = Conv(p, u) d = MaxPool<kernel_shape=[3,3]>(p) b = Add(c, d)",
    "filled with ones": "a = Conv(x, w) r = Relu(a) p = Pad(r, pads, one) b = Conv(p, u)",
    "reflected": 'a = Conv(x, w) r = Relu(a) p = Pad<mode="reflect">(r, pads) b = Conv(p, u)',
    "cut off": "a = Conv(x, w) r = Relu(a) p = Pad(r, cut) b = Conv(p, u)",
    "more channels": "a = Conv(x, w) r = Relu(a) s = Slice(r, from, to, second) p = Pad(s, channels) b = Conv(p, u)",
    "padded by its own rule": f'{BETWEEN} b = Conv<auto_pad="SAME_UPPER">(p, u)',
    "before a pooling": f"{BETWEEN} b = AveragePool<kernel_shape=[3,3]>(p)",
}
MORE = {
    "zero": np.float32(0), "one": np.float32(1), "amounts": np.array([2, 1, 0, 1], np.float32),
    "axes": np.array([-1, 2]), "cut": np.array([0, 0, 1, 0, 0, 0, -1, 1]), "from": np.array([0]), "to": np.array([5]),
    "second": np.array([1]), "channels": np.array([0, 1, 0, 0, 0, 0, 0, 0]),
}  # fmt: skip


def model_of(text):
    body = f"{text} {HEAD}"
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    return little(f"g ({FIRST}) {{ {body} }}", 18, **{n: v for n, v in (WEIGHTS | MORE).items() if n in words})


def maps(model, **options):
    """The map of the compiled model, and whether its forward pass still has a Pad."""
    compiled = compile_explainer(model, **options)
    x = RNG(7).randn(1, 2, 9, 8).astype(np.float32)
    produced = {name for node in compiled.graph.node for name in node.output}
    return run(compiled, {"x": x, **asked(2, 0)}), "p" in produced


@pytest.mark.parametrize("text", JOINED.values(), ids=JOINED)
def test_the_convolution_pads_and_nothing_else_changes(text):
    model = model_of(text)
    (joined, there), (apart, kept) = maps(model), maps(model, ledger=True)
    assert (there, kept) == (False, True)
    np.testing.assert_array_equal(joined["y"], apart["y"])
    assert relative_l2(joined["relevance"], apart["relevance"]) < 1e-6 and joined["relevance"].any()


@pytest.mark.parametrize("text", APART.values(), ids=APART)
def test_what_a_convolution_cannot_do_stays(text):
    assert maps(model_of(text))[1]


def test_a_tensor_that_is_asked_for_is_there():
    model = model_of(JOINED["behind an activation"])
    x = RNG(7).randn(1, 2, 9, 8).astype(np.float32)
    explainer = Explainer(model, device="cpu", cache=False)
    found = explainer.explain({"x": x}, 2, tensors=["p"])
    np.testing.assert_allclose(found.relevances["p"].sum(), found.relevance.sum(), rtol=1e-5)
    assert relative_l2(explainer.explain({"x": x}, 2).relevance, found.relevance) < 1e-6


def test_a_section_that_is_the_padding_stays():
    model = model_of(JOINED["behind an activation"])
    assert maps(model, section="p")[1]
