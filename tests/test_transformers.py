"""Transformers and modern networks: gradients equal torch's, RSP is finite, keeps its sum and says who is who."""

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch

from rsp_onnx import compile_explainer
from rsp_onnx.compiler.analysis import analyse

from .running import asked, assert_scores_close
from .running import run as compiled_run
from .zoo import export
from .zoo.transformers import CLASSES, NETWORKS, SHAPE, make

networks = pytest.mark.parametrize("name", NETWORKS)
exporters = pytest.mark.parametrize("how", [{"opset": 14}, {"opset": 17}, {"opset": 18, "dynamo": True}], ids=str)
TARGET = 2


def run(model, x, hostile=()):
    return compiled_run(model, {"x": x, **asked(TARGET, hostile, len(x))})


def image(seed=0):
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


@networks
@exporters
def test_gradients_equal_torchs(name, how):
    network, x = make(name), image()
    found = run(compile_explainer(export(network, SHAPE, **how), "gradient"), x)["relevance"][0]
    leaf = torch.tensor(x, requires_grad=True)
    network(leaf)[:, TARGET].sum().backward()
    wanted = leaf.grad.numpy()
    assert np.linalg.norm(found - wanted) < 1e-4 * np.linalg.norm(wanted)


@pytest.mark.slow
@networks
@exporters
def test_relevance_is_finite_and_nowhere_lost_without_a_reason(name, how):
    model = compile_explainer(export(make(name), SHAPE, **how), ledger=True)
    for hostile in ((), (5, 1)):
        found = run(model, image(1), hostile)
        relevance = found["relevance"]
        assert np.isfinite(relevance).all()
        assert np.abs(relevance).sum() > 0


@pytest.mark.slow
@networks
def test_the_same_map_from_every_exporter(name):
    maps = [
        run(compile_explainer(export(make(name), SHAPE, **how)), image(2), (4,))["relevance"].ravel()
        for how in ({"opset": 14}, {"opset": 17}, {"opset": 18, "dynamo": True})
    ]
    for other in maps[1:]:
        assert np.linalg.norm(other - maps[0]) < 1e-3 * np.linalg.norm(maps[0])


def test_the_section_is_the_last_blocks_tokens():
    for how in ({"opset": 14}, {"opset": 17}):
        found = analyse(export(make("vit"), SHAPE, **how))
        assert found.section.value.producer().op_type == "Add"
        assert (found.section.channel_axis, found.section.position_axes) == (2, (1,))
        assert found.graph.dims(found.section.value)[1:] == (17, 24)
        assert found.classes == CLASSES


def test_a_class_token_is_no_place_and_every_patch_spreads_its_worth_evenly():
    model = export(make("vit"), SHAPE, opset=17)
    section = analyse(model).section.name
    start = run(compile_explainer(model, tensors=[section]), image(5))[f"relevance/{section}"][0, 0]
    assert start.shape == (17, 24)
    assert not start[0].any()
    assert (np.abs(start[1:]) > 0).all()
    np.testing.assert_allclose(start, np.repeat(start[:, :1], 24, axis=1), rtol=1e-6)


@networks
def test_target_and_hostile_swapped_turn_the_start(name):
    model = compile_explainer(
        export(make(name), SHAPE), split=1.0, tensors=[analyse(export(make(name), SHAPE)).section.name]
    )
    (key,) = [o.name for o in model.graph.output if o.name.startswith("relevance/")]
    one = run(model, image(3), (5,))[key]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    two = session.run([key], {"x": image(3), "target": np.array([[5]]), "hostile": np.array([[[TARGET]]])})[0]
    assert np.allclose(one, -two, atol=1e-6 * np.abs(one).max())
    assert json.loads({p.key: p.value for p in model.metadata_props}["rsp_onnx.parameters"])["split"] == 1.0


@networks
@exporters
def test_scores_are_the_models_own(name, how):
    model = export(make(name), SHAPE, **how)
    plain = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compiled = compile_explainer(model)
    (wanted,) = plain.run(None, {"x": image(4)})
    found = run(compiled, image(4))["y"]
    assert_scores_close(found, wanted)


MIXING, READING = (np.random.default_rng(seed).uniform(-1, 1, (6, n)).round(3) for seed, n in ((1, 6), (2, 4)))
SCALE = np.array([1, 2, 0.5, 1, 1.5, 1])


def head(norm):
    """Tokens, a normalisation, their mean, a dense layer: what a token is worth is told by the head."""
    k, w, g = (", ".join(map(str, a.ravel())) for a in (MIXING, READING, SCALE))
    return f"""<ir_version: 8, opset_import: ["" : 18]> net (float[N, 5, 6] x) => (float[N, 4] y)
        <float[6, 6] k = {{{k}}}, float[6, 4] w = {{{w}}}, float[6] g = {{{g}}}> {{
        a = Constant<value = int64[1] {{1}}>() c = Constant<value = int64[1] {{2}}>()
        e = Constant<value = float {{0.00001}}>() t = MatMul(x, k) u = Relu(t) h = Add(t, u)
        {norm} p = ReduceMean<keepdims = 0>(n, a) y = MatMul(p, w) }}"""


SPELLINGS = {
    "LayerNormalization": head("n = LayerNormalization<axis = -1>(h, g)"),
    "divided": head("m = ReduceMean(h, c) d = Sub(h, m) q = Mul(d, d) v = ReduceMean(q, c) s = Add(v, e) r = Sqrt(s)"
                        " z = Div(d, r) n = Mul(z, g)"),
    "multiplied": head("m = ReduceMean(h, c) d = Sub(h, m) q = Mul(d, d) v = ReduceMean(q, c) s = Add(v, e)"
                           " r = Sqrt(s) i = Reciprocal(r) f = Mul(d, i) n = Mul(f, g)"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_token_is_worth_its_normalised_value_times_the_gradient_there(name):
    """Σ (F − mean)/σ · g · ∂y/∂n, spread over the channels; the whole gradient would leave rounding noise alone."""
    import onnx.parser

    model = onnx.parser.parse_model(SPELLINGS[name])
    assert analyse(model).section.name == "h"
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    got = run(compile_explainer(model, tensors=["h"]), x)["relevance/h"][0]
    t = x.astype(np.float64) @ MIXING
    h = np.maximum(t, 0) + t
    normal = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
    worth = normal * SCALE @ READING[:, TARGET]
    want = worth / worth.max(1, keepdims=True)
    np.testing.assert_allclose(got, np.repeat(want[:, :, None], 6, 2), rtol=0, atol=2e-5)
