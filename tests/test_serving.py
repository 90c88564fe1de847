"""How an explainer runs: one sample and one class at a time behind one forward pass, or any number of both."""

import json
import pickle
from functools import cache

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from rsp_onnx import BadInput, Explainer, compile_explainer, save_explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain.compile import compile_ir, keeps_ledger, needs_of, runs_one_by_one
from rsp_onnx.graph.op_facts import facts_of
from rsp_onnx.model.session import Session

from .little import conv_net
from .running import asked, relative_l2, run
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


def read_by(session, feeds):
    """What it reads of them: a method that knows no rivals has no such input."""
    return {name: feeds[name] for name in session.inputs}


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
    varies = {v.name for node in body if node.op_type == "Gather" for v in node.outputs}
    for node in body:  # each depends on the class, shows a tensor in another shape, or makes an output
        if varies & {v.name for v in node.inputs if v is not None}:
            varies.update(v.name for v in node.outputs)
        else:
            assert facts_of(node).neutral or str(node.name).startswith("rsp_onnx/each/"), node
            assert node.op_type != "Cast"


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


# ---- the class with the highest score ----


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("method", ["rsp", "gradient", "occlusion", "integrated-gradients:steps=2"])
def test_minus_one_is_the_class_with_the_highest_score(method, one_by_one):
    analysis = analyse(conv_net(), needs=needs_of(method))
    if one_by_one and not keeps_ledger(method):
        pytest.skip("such methods run for all classes at once")
    made = Session(compile_ir(analysis, method, one_by_one=one_by_one), "cpu", 1)
    x = np.random.default_rng(3).normal(size=(1, 3, 12, 12)).astype(np.float32)
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
        got = made.run(read_by(made, {"x": x, **classes([(-1,), (0,), (-1,)])}))
        best = int(next(v for k, v in got.items() if k != "relevance").argmax())
        named = made.run(read_by(made, {"x": x, **classes([(best,), (0,), (best,)])}))
        np.testing.assert_array_equal(got["relevance"], named["relevance"])
        assert best == 0 or np.abs(got["relevance"][0] - got["relevance"][1]).max() > 0


def test_minus_one_among_equal_scores_is_the_first():
    text = """<ir_version: 8, opset_import: ["": 18]> tied (float[N, 4] x) => (float[N, 4] y)
        <float[4, 4] w = {1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1}> { y = MatMul(x, w) }"""
    made = Session(compile_ir(analyse(onnx.parser.parse_model(text)), "gradient"), "cpu", 1)
    x = np.array([[1, 3, 3, 2], [5, 0, 0, 5]], np.float32)
    got = made.run({"x": x, "target": np.full((1, 2), -1)})
    np.testing.assert_array_equal(got["relevance"][0], [[0, 1, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("model", ["squeezenet1.0_nchw_fp16", "mobilenet_v2_nhwc_int8_qdq"])
def test_minus_one_goes_by_the_deployed_models_own_forward_pass(shared_data, model):
    """Where the file holds a forward pass for the outputs alone, that one chooses."""
    made = compile_ir(analyse(shared_data / f"models/{model}.onnx"))
    (chosen,) = (n for n in made.graph if n.op_type == "ArgMax" and n.name.startswith("rsp_onnx/predicted/"))
    value = chosen.inputs[0]
    while value.producer() is not None and value.producer().name.startswith("rsp_onnx/predicted/"):
        value = value.producer().inputs[0]
    assert value.is_graph_output()
    assert value.producer().name.startswith("rsp_onnx/own/")


def test_auto_takes_one_run_and_topk_no_session_of_the_model_alone(monkeypatch):
    runs, run = [], Session.run
    monkeypatch.setattr(Session, "run", lambda self, *given: runs.append(self) or run(self, *given))
    explainer = Explainer(conv_net(), device="cpu", preprocess="unit")
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    explainer.explain(photo, 1)
    runs.clear()
    found = explainer.explain(photo)
    assert (len(runs), found.target) == (1, found.predicted)
    assert [e.target for e in explainer.explain(photo, "topk:3")] == list(np.argsort(-found.scores)[:3])
    one, *several = runs
    assert several == [several[0]] * 2 and one is not several[0]
    assert explainer._scorer._session is None
    again = explainer.explain(photo, 1)
    assert runs[-1] is one or runs[-1] is several[0]
    assert relative_l2(again.relevance, explainer.explain(photo, [1, 2])[0].relevance) < 1e-6
    np.testing.assert_allclose(explainer.scores(photo), found.scores, atol=1e-6)
    assert explainer._scorer._session is not None


def test_the_form_for_one_class_is_the_loops_body_and_is_not_made_beside_it():
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    one, several = (Explainer(conv_net(), device="cpu", preprocess="unit") for _ in range(2))
    alone, both = one.explain(photo, 1, 2), several.explain(photo, [1, 3], 2)
    assert relative_l2(alone.relevance, both[0].relevance) < 1e-6
    assert relative_l2(several.explain(photo, 1, 2).relevance, alone.relevance) < 1e-6
    kept = [c for e in (one, several) for c in e._compiled._kept.values()]
    keys = [[key.several for key in c.serving._variants] for c in kept]
    assert keys == [[False], [True]]
    flat = compile_ir(found("vgg"), one_by_one=True, several=False)
    assert "Loop" not in {node.op_type for node in flat.graph}
    assert [next(iter(v.shape)) for v in flat.graph.inputs[1:]] == [1, 1]


# ---- the ledger ----


def test_the_ledger_is_computed_when_it_is_asked_for():
    lazy, eager = (Explainer(conv_net(), device="cpu", preprocess="unit", ledger=kept) for kept in (False, True))
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    one, other = (e.explain(photo, 1, 2) for e in (lazy, eager))
    (serving,) = (c.serving for c in lazy._compiled._kept.values())
    assert len(serving._variants) == 1
    assert "ledger" not in serving.variant().session.outputs
    assert one.warnings == other.warnings
    assert relative_l2(one.relevance, other.relevance) < 1e-6
    assert list(one.ledger) == list(other.ledger)
    assert one.ledger == pytest.approx(other.ledger, rel=1e-5, abs=1e-6)
    assert one.losses == other.losses
    assert len(serving._variants) == 2
    assert one.ledger is one.ledger  # computed once


def test_a_ledger_still_comes_when_the_session_was_given_up():
    explainer = Explainer(conv_net(size=("H", "W")), device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 3, 8 + n, 8)).astype(np.float32) for n in range(6)]  # more sizes than are kept
    found = [explainer.explain(x, 1) for x in images]
    again = Explainer(conv_net(size=("H", "W")), device="cpu", ledger=True)
    for x, one in zip(images, found, strict=True):
        assert one.ledger == pytest.approx(again.explain(x, 1).ledger, rel=1e-5, abs=1e-6)


def test_an_explanation_can_be_pickled():
    explainer = Explainer(conv_net(), device="cpu", preprocess="unit")
    one = explainer.explain(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8), 1)
    copy = pickle.loads(pickle.dumps(one))
    assert copy.ledger == one.ledger
    assert copy.losses == one.losses
    np.testing.assert_array_equal(copy.relevance, one.relevance)


def test_a_method_that_asks_many_times_has_no_ledger_and_no_second_session():
    explainer = Explainer(conv_net(), device="cpu", preprocess="unit", method="occlusion:window=8,stride=8")
    one = explainer.explain(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8), 1)
    assert (dict(one.ledger), one.losses) == ({}, ())
    (compiled,) = explainer._compiled._kept.values()
    assert len(compiled.serving._variants) == 1


# ---- files for so many samples and classes ----


@pytest.mark.parametrize(("batch", "targets"), [(1, 1), (2, None), (None, 3), (2, 2)])
def test_a_file_for_so_many_samples_and_classes(tmp_path, batch, targets):
    path = tmp_path / "explainer.onnx"
    save_explainer(conv_net(), path, batch=batch, targets=targets)
    proto = onnx.load(path)
    shapes = {v.name: [d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim] for v in proto.graph.input}
    assert shapes["target"] == [targets or "K", batch or "N"]
    assert shapes["hostile"] == [targets or "K", batch or "N", "H"]
    said = {p.key: json.loads(p.value) for p in proto.metadata_props if p.key in ("rsp_onnx.batch", "rsp_onnx.targets")}
    assert said == {"rsp_onnx.batch": batch, "rsp_onnx.targets": targets}
    x = np.random.default_rng(0).normal(size=(batch or 1, 3, 12, 12)).astype(np.float32)
    feeds = {"x": x, **asked([1, 2, 3][: targets or 3], [0], len(x))}
    want = run(compile_explainer(conv_net()), feeds)["relevance"]
    assert relative_l2(run(proto, feeds)["relevance"], want) < 2e-6


def test_a_batch_the_model_does_not_take_is_one_clear_sentence(tmp_path):
    path = tmp_path / "explainer.onnx"
    with pytest.raises(BadInput, match=r"takes 1 sample at a time, and no explainer of it 2: leave the batch out"):
        save_explainer(conv_net(batch=1), path, batch=2)
    with pytest.raises(BadInput, match=r"takes 2 samples at a time, and no explainer of it 1"):
        compile_explainer(conv_net(batch=2), batch=1)
    for count in ({"batch": 0}, {"targets": 0}):
        with pytest.raises(BadInput, match="1 or more"):
            compile_explainer(conv_net(), **count)
    assert not path.exists()


def test_a_batch_that_is_moved_is_one(shared_data):
    path = shared_data.parent / "cases/crnn_TNC_fix/model.onnx"
    with pytest.raises(BadInput, match="takes 1 sample at a time"):
        compile_explainer(path, batch=2)
    one = analyse(path, batch=1, targets=1)
    assert (one.graph.batch, one.targets) == (1, 1)


# ---- threads ----


def test_small_networks_run_on_one_thread_and_what_is_asked_for_is_done(shared_data):
    small = Explainer(conv_net(), device="cpu", preprocess="unit")
    assert small.threads is None  # nothing ran
    photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    small.explain(photo, 1)
    assert small.threads == 1
    told = Explainer(conv_net(), device="cpu", preprocess="unit", threads=2)
    assert relative_l2(told.explain(photo, 1).relevance, small.explain(photo, 1).relevance) < 1e-6
    assert told.threads == 2
    large = Explainer(shared_data / "models/squeezenet1.1_nchw_fp32.onnx", device="cpu")
    large.explain(np.zeros((1, 3, 224, 224), np.float32), 1)
    assert large.threads is None
