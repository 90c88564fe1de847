"""An analysis is never written into: compiled twice it gives the same bytes, and it is afterwards what it was."""

import onnx_ir as ir
import pytest

from rsp_onnx import compile_explainer, inspect_model
from rsp_onnx.compiler.analysis import Needs, analyse
from rsp_onnx.graph.dag import tensors

from .zoo import FAMILIES, export

METHODS = ["rsp", "gradient", "grad-cam", "lrp-epsilon", "smooth-grad:samples=2", "integrated-gradients:steps=2"]
methods = pytest.mark.parametrize(
    "method", [pytest.param(m, marks=[pytest.mark.slow] * (m not in METHODS[::4])) for m in METHODS]
)


def state(analysis):
    """All that an analysis says, as plain values."""
    graph = analysis.graph
    return {
        "graph": ir.to_proto(graph.model).SerializeToString(deterministic=True),
        "deployed": ir.to_proto(analysis.deployed).SerializeToString(deterministic=True),
        "meta": [(v.name, dict(v.meta)) for v in tensors(graph.model)],
        "inputs": [v.name for v in graph.inputs],
        "edges": len(graph.dag.edges),
        "readers": {name: [n.name for n in graph.consumers(v)] for name, v in graph.values.items()},
        "section": (analysis.section.name, analysis.section.channel_axis, analysis.section.alternatives),
        "scores": (analysis.output.name, analysis.logits.name, analysis.kind, analysis.classes, graph.batch),
    }


@pytest.fixture(scope="module", params=["resnet_v1", "mobilenet_v2", "quantised"])
def source(request, shared_data):
    if request.param == "quantised":  # the outputs get a forward pass of their own
        return str(shared_data / "models" / "mobilenet_v2_nhwc_int8_qdq.onnx")
    entry = FAMILIES[request.param]
    return export(entry.make(), entry.shape)


@methods
def test_compiling_twice_from_one_analysis_gives_the_same_bytes_and_leaves_it_as_it_was(source, method):
    analysis = analyse(source)
    before = state(analysis)
    first, second = (compile_explainer(analysis, method, ledger=True) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert state(analysis) == before


def test_a_black_box_leaves_its_analysis_as_it_was_too(source):
    analysis = analyse(source, needs=Needs(black_box=True))
    before = state(analysis)
    first, second = (compile_explainer(analysis, "occlusion") for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert state(analysis) == before


def test_the_methods_of_one_analysis_do_not_mix(source):
    """Compiled behind others, a method comes out as on its own."""
    shared = analyse(source)
    for method in METHODS[:3]:
        alone = compile_explainer(analyse(source), method)
        assert compile_explainer(shared, method).SerializeToString() == alone.SerializeToString(), method


def test_a_copy_is_written_into_and_the_original_is_not(source):
    analysis = analyse(source)
    before = state(analysis)
    copy = analysis.copied()
    assert state(copy) == before
    copy.graph.model.graph.outputs.pop()
    assert copy.section.value is not analysis.section.value
    assert state(analysis) == before


def test_inspecting_is_repeatable(source):
    assert inspect_model(source) == inspect_model(source)
