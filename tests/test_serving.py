"""How an explainer runs: one sample and one class at a time behind one forward pass, or any number of both."""

from functools import cache

import numpy as np
import onnx_ir as ir
import pytest

from rsp_onnx import Explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain.compile import compile_ir, runs_one_by_one
from rsp_onnx.model.session import Session

from .little import conv_net
from .running import relative_l2
from .zoo import FAMILIES, export


@cache
def found(name):
    entry = FAMILIES[name]
    return analyse(export(entry.make(), entry.shape).SerializeToString())


def images(name, seed=0):
    return np.random.default_rng(seed).normal(size=(1, *FAMILIES[name].shape[1:])).astype(np.float32)


def classes(rows):
    """target [K, 1] and hostile [K, 1, H] of (target, hostile...) with −1 for none."""
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 1, -1)
    return {"target": table[:, :, 0], "hostile": table[:, :, 1:]}


ROWS = [(1, 5, -1), (4, -1, -1), (7, 2, 3)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_loop_over_the_classes_gives_what_the_free_file_gives(name):
    x = {"x": images(name)}
    free, looped = (Session(compile_ir(found(name), one_by_one=o, ledger=True), "cpu", 1) for o in (False, True))
    want, got = (s.run({**x, **classes(ROWS)}) for s in (free, looped))
    assert set(got) == set(want)
    assert got["relevance"].shape == (3, 1, *FAMILIES[name].shape[1:])
    assert relative_l2(got["relevance"], want["relevance"]) < 2e-6
    np.testing.assert_allclose(got["evidence"], want["evidence"], rtol=2e-6, atol=1e-7)
    assert got["ledger"].shape[1:] == want["ledger"].shape[1:] == (3, 1)
    one_at_a_time = [looped.run({**x, **classes([row])}) for row in ROWS]
    for key, axis in (("relevance", 0), ("ledger", 1), ("balance", 1), ("evidence", 0)):
        np.testing.assert_array_equal(got[key], np.concatenate([one[key] for one in one_at_a_time], axis))


def test_without_a_class_there_are_the_scores_alone():
    explainer = Session(compile_ir(found("vgg"), one_by_one=True), "cpu", 1)
    feeds = {"x": images("vgg")}
    none = explainer.run({**feeds, "target": np.zeros((0, 1), np.int64), "hostile": np.zeros((0, 1, 0), np.int64)})
    some = explainer.run({**feeds, **classes(ROWS)})
    assert none.pop("relevance").shape == (0, *some.pop("relevance").shape[1:])
    assert none.keys() == some.keys()
    for key in none:
        np.testing.assert_array_equal(none[key], some[key])


def test_the_forward_pass_stands_in_front_of_the_loop():
    model = compile_ir(found("vgg"), one_by_one=True)
    own = {str(node.name) for node in found("vgg").graph.nodes}
    (loop,) = (node for node in model.graph if node.op_type == "Loop")
    body = loop.attributes["body"].as_graph()
    assert own <= {str(node.name) for node in model.graph}
    assert not own & {str(node.name) for node in body}
    outside = [node for node in model.graph if str(node.name).startswith("rsp_onnx/")]
    assert len(list(body)) > 5 * len(outside)  # but for what is computed from weights, all of the backward pass


def test_an_analysis_for_one_knows_every_size():
    free, one = found("resnet_v1"), found("resnet_v1").for_one()
    assert (free.graph.batch, one.graph.batch, one.targets) == (None, 1, 1)
    assert [v.name for v in free.graph.values.values()] == [v.name for v in one.graph.values.values()]
    assert all(None not in one.graph.dims(v) for node in one.graph.nodes for v in node.outputs)
    assert one.section.value in one.graph.values.values()
    assert found("resnet_v1").graph.batch is None  # the analysis itself was not written into
    fixed = analyse(conv_net(batch=2)).for_one()
    assert fixed.graph.batch == 2


def test_sizes_that_shape_inference_does_not_tell_are_measured_again():
    """Merged with another axis, the batch is no axis of its own; with a batch of one the sizes are known."""
    model = conv_net()
    analysis = analyse(model)
    value = next(v for node in analysis.graph.nodes for v in node.outputs if analysis.graph.active(v))
    value.shape = ir.Shape([None if isinstance(d, int) else d for d in value.shape])
    one = analysis.for_one()
    assert None not in one.graph.dims(one.graph.values[value.name])


def test_who_runs_one_by_one():
    free, fixed = analyse(conv_net()), analyse(conv_net(batch=2))
    assert runs_one_by_one(free, "rsp", "cpu")
    assert runs_one_by_one(analyse(conv_net(batch=1)), "gradient", "cpu")
    assert not runs_one_by_one(fixed, "rsp", "cpu")
    for method in ("occlusion", "integrated-gradients"):
        assert not runs_one_by_one(free, method, "cpu")


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_an_explainer_gives_the_same_for_every_batch(batch):
    explainer = Explainer(conv_net(batch=batch), device="cpu", preprocess="unit")
    photos = [np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8) for seed in range(3)]
    together = explainer.explain_batch(photos, [0, 2], 1)
    for photo, several in zip(photos, together, strict=True):
        for target, one in zip((0, 2), several, strict=True):
            alone = explainer.explain(photo, target, 1)
            assert relative_l2(one.relevance, alone.relevance) < 1e-6
            np.testing.assert_allclose(one.scores, alone.scores, atol=1e-6)
