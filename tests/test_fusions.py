"""Fused transformer ops of ONNX Runtime, written out: the same numbers, gradients and scores."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rsp_onnx import UnsupportedOp, compile_explainer
from rsp_onnx.graph.shapes import fix_shapes
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.rewrite.expand import expand

from .running import asked, relative_l2, run

SAMPLES, LENGTH, WIDTH, HEADS, WORDS = 2, 5, 8, 2, 11


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def model(op, inputs, constants, outputs=1, **attributes):
    """One fused op behind inputs [N, ...], its first output pooled over the tokens into five scores."""
    names = [name for name, _ in inputs]
    given = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), ["N", *a.shape[1:]])
             for n, a in inputs if a is not None]  # fmt: skip
    constants = {**constants, "head": numbers(WIDTH, 5, seed=9)}
    results = [f"o{i}" for i in range(outputs)]
    nodes = [
        helper.make_node(op, names, results, domain="com.microsoft", name="fused", **attributes),
        helper.make_node("Add", ["o0", results[-1]], ["sum"])
        if outputs > 1
        else helper.make_node("Identity", ["o0"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["turned"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["y"]),
    ]
    nodes.insert(3, helper.make_node("Transpose", ["relu"], ["turned"], perm=[0, 2, 1]))
    graph = helper.make_graph(
        nodes, "fused", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def tokens(seed=0):
    return numbers(SAMPLES, LENGTH, WIDTH, seed=seed)


MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
THREE = [("q", tokens(1)), ("k", tokens(2)), ("v", tokens(3))]
QKV = {"w": numbers(WIDTH, 3 * WIDTH, seed=4), "b": numbers(3 * WIDTH, seed=5)}
SCALE = {"g": 1 + numbers(WIDTH, seed=6) / 4, "s": numbers(WIDTH, seed=7)}
BIAS = {"attention_bias": numbers(1, HEADS, LENGTH, LENGTH, seed=8)}
IDS = np.random.default_rng(0).integers(0, WORDS, (SAMPLES, LENGTH)).astype(np.int32)
TABLES = {"words": numbers(WORDS, WIDTH), "places": numbers(7, WIDTH, seed=1), "kinds": numbers(2, WIDTH, seed=2)}


def held(*names):
    return [(name, None) for name in names]


CASES = {
    "skip": lambda: model(
        "SkipLayerNormalization", [("x", tokens()), ("z", tokens(1)), *held("g", "s")], SCALE, epsilon=1e-3),
    "skip with bias and sum": lambda: model(
        "SkipLayerNormalization", [("x", tokens()), ("z", tokens(1)), *held("g", "s", "b")],
        {**SCALE, "b": numbers(WIDTH, seed=3)}, outputs=4),
    "skip, root mean square": lambda: model(
        "SkipSimplifiedLayerNormalization", [("x", tokens()), ("z", tokens(1)), *held("g")], {"g": SCALE["g"]}),
    "attention": lambda: model("Attention", [("x", tokens()), *held("w", "b")], QKV, num_heads=HEADS),
    "attention under a mask": lambda: model(
        "Attention", [("x", tokens()), *held("w", "b"), ("mask", MASK)], QKV, num_heads=HEADS),
    "attention on the past": lambda: model(
        "Attention", [("x", tokens()), *held("w", "b")], QKV, num_heads=HEADS, unidirectional=1),
    "attention of three": lambda: model("MultiHeadAttention", THREE, {}, num_heads=HEADS),
    "attention of three with biases": lambda: model(
        "MultiHeadAttention", [*THREE, *held("b", "", "attention_bias")], {"b": QKV["b"], **BIAS}, num_heads=HEADS),
    "embeddings": lambda: model(
        "EmbedLayerNormalization", [("ids", IDS), ("segments", IDS % 2), *held("words", "places", "kinds", "g", "s")],
        {**TABLES, **SCALE}, outputs=3),
}  # fmt: skip
FEEDS = {"x": tokens(), "z": tokens(1), "mask": MASK, "ids": IDS, "segments": IDS % 2, **dict(THREE)}


def feeds_of(fused):
    return {v.name: FEEDS[v.name] for v in fused.graph.input}


@pytest.fixture(params=CASES)
def fused(request):
    return CASES[request.param]()


def test_what_is_written_out_computes_the_same(fused):
    import onnx_ir as ir

    work = canonize(load_model(fused))
    fix_shapes(work)
    assert expand(work)
    written = ir.to_proto(work)
    assert not any(node.domain for node in written.graph.node)
    feeds = feeds_of(fused)
    assert relative_l2(run(written, feeds)["y"], run(fused, feeds)["y"]) < 2e-6


def test_scores_stay_and_gradients_are_slopes(fused):
    feeds = feeds_of(fused)
    floats = [n for n, a in feeds.items() if a.dtype == np.float32]
    asks = asked(1, samples=SAMPLES)
    got = run(compile_explainer(fused, "gradient"), {**feeds, **asks})
    want = run(fused, feeds)["y"]
    np.testing.assert_allclose(got["y"], want, rtol=0, atol=1e-6 * np.abs(want).max())
    relevance = run(compile_explainer(fused), {**feeds, **asks})
    maps = [a for name, a in relevance.items() if name.startswith("relevance")]
    assert all(np.isfinite(a).all() for a in maps) and any(a.any() for a in maps)
    if not floats:
        return
    step = {n: 1e-3 * numbers(*feeds[n].shape, seed=20) for n in floats}
    ends = [run(fused, {**feeds, **{n: feeds[n] + sign * step[n] for n in floats}})["y"][:, 1] for sign in (1, -1)]
    slope = sum(
        (got["relevance" if len(floats) == 1 else f"relevance/{n}"][0] * step[n]).reshape(SAMPLES, -1).sum(1)
        for n in floats
    )
    np.testing.assert_allclose(slope, (ends[0].astype(np.float64) - ends[1]) / 2, rtol=2e-2, atol=2e-6)


def test_keys_of_earlier_runs_are_refused_in_a_sentence():
    past = np.zeros((2, SAMPLES, HEADS, 3, WIDTH // HEADS), np.float32)
    fused = model("Attention", [("x", tokens()), *held("w", "b", ""), ("past", past)], QKV, num_heads=HEADS)
    fused.graph.input[1].type.tensor_type.shape.CopyFrom(
        helper.make_tensor_value_info("p", 1, list(past.shape)).type.tensor_type.shape
    )
    with pytest.raises(UnsupportedOp, match="'fused' cannot be explained: it keeps keys and values of earlier runs"):
        compile_explainer(fused, inputs=["x"])
