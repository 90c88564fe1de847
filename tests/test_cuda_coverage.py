"""No float node of a compiled explainer is left to the CPU where there is CUDA, but those named here with a reason."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import version_converter

from rsp_onnx import compile_explainer
from rsp_onnx.simplify.lower import WIDELY_KNOWN, lower_opset

from .kernels import left_to_the_cpu
from .little import conv_net, little
from .zoo import FAMILIES, export

METHODS = ("rsp", "gradient", "grad-cam", "lrp-epsilon-plus-flat")
REAL = (
    "efficientnet_lite0_nchw_fp32", "mobilenet_v2_nhwc_fp32", "mobilenet_v2_nhwc_int8_qdq",
    "resnet20_cifar10_nchw_fp32", "squeezenet1.0_nchw_fp16", "squeezenet1.1_nchw_fp32",
)  # fmt: skip
INTEGERS = "the deployed model's own, for the outputs: on the CPU the runtime computes with integers"
ALLOWED = {("DequantizeLinear", dtypes): INTEGERS for dtypes in (("int32", "float"), ("int32", "float", "int32"))}


def refused(proto):
    return [left for left in left_to_the_cpu(proto) if (left.op, left.dtypes) not in ALLOWED]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_models_run_on_cuda(shared_data, name):
    path = shared_data / "models" / f"{name}.onnx"
    assert refused(compile_explainer(path)) == []
    for method in METHODS:
        assert refused(compile_explainer(path, method, batch=1, targets=1)) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_graphs_run_on_cuda(name):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape)
    for method in ("rsp", "gradient"):
        assert refused(compile_explainer(model, method)) == []


@pytest.mark.parametrize("method", ["rise", "occlusion", "smooth-grad", "integrated-gradients", "rap", "full-grad",
                                    "attribution-equilibrium", "excitation-backprop"])  # fmt: skip
def test_other_methods_run_on_cuda(repo, method):
    assert refused(compile_explainer(repo / "models" / "digits_pytorch.onnx", method)) == []


@pytest.mark.parametrize("method", ["rsp", "rise", "integrated-gradients"])
def test_a_new_opset_is_lowered_to_one_that_cuda_has_kernels_for(repo, method):
    """MaxPool's version 22 takes one dtype more and is the same else, but has no kernel on CUDA."""
    new = version_converter.convert_version(onnx.load(repo / "models" / "digits_pytorch.onnx"), 24)
    assert any(left.op == "MaxPool" for left in left_to_the_cpu(new))
    compiled = compile_explainer(new, method)
    assert compiled.opset_import[0].version == WIDELY_KNOWN
    assert refused(compiled) == []


@pytest.mark.parametrize(
    "text",
    [
        "g (float[1,4] x) => (float[1,4] y) { y = Swish(x) }",  # new with opset 24
        'g (float[1,4] x) => (float8e8m0[1,4] y) { y = Cast<to=24, round_mode="up">(x) }',  # an attribute that is new
        "g (bfloat16[1,4] x) => (bfloat16[1,4] y) { y = Elu(x) }",  # a dtype that is new
    ],
    ids=["op", "attribute", "dtype"],
)
def test_what_only_a_new_opset_has_keeps_it(text):
    model = ir.from_proto(onnx.parser.parse_model(f'<ir_version: 11, opset_import: ["" : 25]> {text}'))
    lower_opset(model)
    assert model.graph.opset_imports[""] == 25


def test_what_is_left_to_the_cpu_is_found():
    """The table and its reading: pads that differ, an op without a kernel, a dtype, a version."""
    pads = little(
        "g (float[1,2,5,5] x) => (float[1,3,10,10] y) { y = ConvTranspose<strides=[2,2], pads=[0,0,1,1]>(x, w) }",
        w=np.ones((2, 3, 3, 3), np.float32),
    )  # fmt: skip
    assert [left.why for left in left_to_the_cpu(pads)] == ["pads that differ before and behind"]
    text = """g (float[1,4] x, double[4] z) => (float[1,4] a, double[4] b, double[4] c) {
        a = Celu(x) b = Atan(z) c = Neg(z) }"""
    found = left_to_the_cpu(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}'))
    assert [(left.op, left.why) for left in found] == [("Celu", "no kernel"), ("Atan", "no kernel")]
    assert left_to_the_cpu(conv_net()) == []
