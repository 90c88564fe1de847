"""Nothing is too faint to be divided by: a network without biases explains a dark image as it does a bright one."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from rsp_onnx import compile_explainer

from .little import RNG, little
from .running import asked, relative_l2, run

FAINT = np.float32(2.0**-27)  # 7e-9, a power of two: nothing is rounded
METHODS = ["rsp", "lrp-0", "lrp-z-plus", "lrp-alpha-beta", "lrp-flat", "lrp-w-square", "excitation-backprop", "rap",
           "contrastive-excitation-backprop", "attribution-equilibrium"]  # fmt: skip


def without_biases():
    return little(
        """g (float[N,2,10,10] x) => (float[N,3] y) {
            a = Conv(x, w) r = Relu(a) b = Conv<strides=[2,2]>(r, k) s = Relu(b) c = Conv(s, t) q = Relu(c)
            m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(q) f = Flatten(m) d = MatMul(f, u) e = Relu(d)
            y = MatMul(e, v) }""",
        w=RNG(1).randn(4, 2, 3, 3).astype(np.float32),
        k=RNG(2).randn(5, 4, 2, 2).astype(np.float32),
        t=RNG(3).randn(6, 5, 1, 1).astype(np.float32),
        u=RNG(4).randn(24, 8).astype(np.float32),
        v=RNG(5).randn(8, 3).astype(np.float32),
    )


def maps(method, hostile=(), **options):
    """An image's map and that of the same image nearly black, each divided by its largest magnitude."""
    compiled = compile_explainer(without_biases(), method, **options)
    x = RNG(6).randn(2, 2, 10, 10).astype(np.float32)
    both = [run(compiled, {"x": image, **asked((0, 1), hostile, 2)})["relevance"] for image in (x, FAINT * x)]
    assert all(r.any() for r in both)
    return [r / np.abs(r).max() for r in both]


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_a_faint_image_is_that_of_a_bright_one(method):
    assert relative_l2(*maps(method)) < 1e-5


@pytest.mark.parametrize("hostile", [(), (2,)])
@pytest.mark.parametrize("form", ["unfold", "gram"])
def test_rsp_of_a_faint_image_is_that_of_a_bright_one_in_either_form(form, hostile):
    assert relative_l2(*maps("rsp", hostile, form=form)) < 1e-5


PRODUCTS = {"MatMul", "Gemm", "Conv", "ConvTranspose"}
VIT = Path(__file__).resolve().parents[1] / "models" / "digits_vit.onnx"


def test_no_product_reads_denormal_numbers():
    """A processor takes ten times as long for them. In a transformer relevance gets as faint as numbers can be."""
    compiled = compile_explainer(VIT, batch=1, targets=1)
    made = {name for node in compiled.graph.node for name in node.output}
    read = {name for node in compiled.graph.node if node.op_type in PRODUCTS for name in node.input}
    known = {output.name for output in compiled.graph.output}
    compiled.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(made & read - known))
    arrays = run(compiled, {"image": RNG(7).randn(1, 3, 96, 96).astype(np.float32), **asked((0,), (), 1)})
    tiny = np.finfo(np.float32).tiny
    found = {name: int(((a != 0) & (np.abs(a) < tiny)).sum()) for name, a in arrays.items() if a.dtype == np.float32}
    assert len(found) > 100
    assert not {name: count for name, count in found.items() if count}
