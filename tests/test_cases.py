"""Small models that stand for situations people reported, each held to what is right by an independent value."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from rsp_onnx import BadModel, Explainer, RspError, inspect_model
from rsp_onnx.cli.main import main

from .differences import Deployed, with_outputs
from .running import relative_l2, run
from .test_repeated import rise_masks

CLOSE = 1e-5  # float32 gradients against differences in float64
FAR = {"siamese_rank1": 1e-4}  # two photos that are nearly one to the model: a cosine of 0.9999 cancels


def draw(seed=0):
    return np.random.default_rng(seed)


GIVEN = {  # inputs of the cases that bring none
    "crnn_TNC_fix": lambda: {"x": draw().normal(size=(1, 3, 16, 40)).astype(np.float32)},
    "onehot_bytes_op": lambda: {"bytes": draw().integers(0, 257, (1, 20))},
    "saturated_logits": lambda: {"x": 10 * draw().random((1, 1, 28, 28), dtype=np.float32)},
    "text_dynamic": lambda: {"input_ids": draw().integers(0, 100, (1, 6)), "attention_mask": MASK},
    "widedeep_float_ids": lambda: {
        "wide": np.array([[3, 17, 49]], np.float32), "dense": draw().normal(size=(1, 4)).astype(np.float32),
    },
}  # fmt: skip
MASK = np.array([[1, 1, 1, 1, 0, 0]])


@pytest.fixture(scope="module")
def case(shared_cases):
    """Return a function from a name to the case's path, its model and its feeds."""

    def find(name):
        path = shared_cases / name / "model.onnx"
        if not path.is_file():
            pytest.skip(f"../shared/cases/{name} is not here")
        model = onnx.load(path)
        given = next(path.parent.glob("x.np*"), None)
        if given is None:
            return path, model, GIVEN[name]()
        loaded = np.load(given)
        feeds = {model.graph.input[0].name: loaded} if given.suffix == ".npy" else dict(loaded)
        return path, model, feeds

    return find


# ---- gradients, and that every input is explained or named ----

# where the gradient starts, and where the rows of ids are floating-point numbers, all of them tensors of the file
LOGITS = {
    "crnn_TNC_fix": "y", "ecg_freelen": "y", "multi_input": "/l/Gemm_output_0", "onehot_bytes_equal": "y",
    "onehot_bytes_op": "y", "regression_squeezed": "age", "saturated_logits": "y", "scalar_input": "y",
    "siamese_rank1": "sim", "tabular_embeddings": "y", "text_dynamic": "logits", "tf_head_N11C": "logits",
    "widedeep_float_ids": "logits",
}  # fmt: skip
ROWS = {
    "multi_input": {"cat": ("/e.0/Gather_output_0", "/e.1/Gather_output_0")},
    "tabular_embeddings": {"cat": ("/e.0/Gather_output_0", "/e.1/Gather_output_0")},
    "widedeep_float_ids": {"wide": ("/e/Gather_output_0",)},
    "text_dynamic": {"input_ids": ("/e/Gather_output_0",)},
    "onehot_bytes_op": {"bytes": ("/Cast_1_output_0",)},
    "onehot_bytes_equal": {"bytes": ("/Cast_output_0",)},
}
TARGET = {"regression_squeezed": 0, "siamese_rank1": 0, "text_dynamic": 1, "widedeep_float_ids": 1}  # else 2


def flat_score(name, target):
    """One sample's scores, whatever their shape: the target's; of a sequence T×N×C the mean over all steps."""
    if name == "crnn_TNC_fix":
        return lambda results: results["y"][:, 0, target].mean()
    return lambda results: results[LOGITS[name]].reshape(-1)[target]


def deployed(name, model, feeds, target):
    cuts = [tensor for rows in ROWS.get(name, {}).values() for tensor in rows]
    return Deployed(model, feeds, flat_score(name, target), [LOGITS[name]], cuts)


@pytest.mark.parametrize("name", LOGITS)
def test_the_gradient_is_the_files_own_differences(case, name):
    path, model, feeds = case(name)
    target, region = TARGET.get(name, 2), {"region": "all"} if name == "crnn_TNC_fix" else {}
    file = deployed(name, model, feeds, target)
    found = Explainer(path, method="gradient", **region).explain(feeds, target=target)
    rows = ROWS.get(name, {})
    for feed, x in feeds.items():
        if x.dtype == np.float32 and feed not in rows:
            assert file.disagreement(feed, found.relevances[feed]) < FAR.get(name, CLOSE), feed
    for feed, tensors in rows.items():
        want = np.concatenate([file.of_rows(tensor).reshape(-1) for tensor in tensors])
        assert relative_l2(found.relevances[feed].reshape(-1), want) < CLOSE, feed
    missing = set(feeds) - set(found.relevances)
    assert missing == ({"attention_mask"} if name == "text_dynamic" else set())
    for feed in missing:
        assert any(f"the input {feed!r} is not explained" in w for w in found.warnings)


@pytest.mark.parametrize("name", [*LOGITS, "yolo_nms"])
def test_rsp_explains_every_input_or_names_it(case, name):
    path, _, feeds = case(name)
    found = Explainer(path).explain(feeds)
    for feed in feeds:
        r = found.relevances.get(feed)
        assert r is None or (np.isfinite(r).all() and r.shape == feeds[feed].shape[1:]), feed
        named = any(f"input {feed!r}" in w for w in found.warnings)
        assert named if r is None or not r.any() else not named, feed
    assert found.relevance.any()


# ---- scores of every shape ----


def test_one_score_per_class_in_n11c(case):
    path, model, feeds = case("tf_head_N11C")
    own = run(model, feeds)["logits"].reshape(-1)
    assert relative_l2(Explainer(path).scores(feeds), own) < 1e-6
    assert inspect_model(path)["reading"]["class_axis"] == 3 and inspect_model(path)["classes"] == 10
    maps = [Explainer(path, method="gradient").explain(feeds, target=c).relevances["x"] for c in (0, 7)]
    for c, found in zip((0, 7), maps, strict=True):
        assert Deployed(model, feeds, flat_score("tf_head_N11C", c)).disagreement("x", found) < CLOSE
    assert relative_l2(maps[0], maps[1]) > 0.1, "the classes differ"


def winning_steps(y, target):
    """The mean of a class over the time steps it wins at; over all where it wins at none."""
    wins = y.argmax(-1) == target
    return y[wins, target].mean() if wins.any() else y[:, target].mean()


STEPS = {
    "auto": winning_steps, "mask": winning_steps, "all": lambda y, c: y[:, c].mean(),
    "peak": lambda y, c: y[:, c].max(), "3": lambda y, c: y[3, c], "2,5": lambda y, c: y[2:6, c].mean(),
}  # fmt: skip


@pytest.mark.parametrize("region", STEPS)
def test_the_classes_of_a_crnn_by_region(case, region):
    path, model, feeds = case("crnn_TNC_fix")
    y = run(model, feeds)["y"][:, 0]
    winner, loser = int(y[0].argmax()), int(y.max(0).argmin())
    assert (y.argmax(-1) == winner).any() and not (y.argmax(-1) == loser).any()
    explainer = Explainer(path, method="gradient", region=region)
    for target in (winner, loser):
        file = Deployed(model, feeds, lambda results, c=target: STEPS[region](results["y"][:, 0], c))
        found = explainer.explain(feeds, target=target)
        assert file.disagreement("x", found.relevances["x"]) < CLOSE
        assert found.score == pytest.approx(STEPS[region](y, target), rel=1e-5)
    assert Explainer(path, region=region).explain(feeds, target=winner).relevance.any()


def test_one_score_per_sample_of_a_pair_of_photos(case):
    path, model, feeds = case("siamese_rank1")
    found = Explainer(path, method="gradient").explain(feeds)
    assert set(found.relevances) == {"a", "b"} and found.scores.shape == (1,)
    both = {name: np.concatenate([x, x[:, :, ::-1]]) for name, x in feeds.items()}
    explainer = Explainer(path, method="gradient")
    first, second = (one[0] for one in explainer.explain_batch(explainer.items(both)))
    np.testing.assert_allclose([first.score, second.score], run(model, both)["sim"], rtol=1e-5)
    assert relative_l2(first.relevances["b"], found.relevances["b"]) < 1e-3


# ---- a detector that suppresses ----


HEAD = "/Slice_2_output_0"  # what the detector's sigmoid reads


def test_a_detectors_classes_are_explained_and_coordinates_are_none(case):
    path, model, feeds = case("yolo_nms")
    scores = run(with_outputs(model, "sc"), feeds)["sc"][0]
    for output in (None, "sc", "out"):
        explainer = Explainer(path, method="gradient", output=output)
        found = explainer.explain(feeds, target=1)
        assert relative_l2(found.scores, scores.max(1)) < 1e-5 and found.scores.shape == (3,)
        file = Deployed(model, feeds, lambda results: results[HEAD][0, 1].max(), [HEAD])
        assert file.disagreement("x", found.relevances["x"]) < CLOSE, output
        assert found.kind == "sigmoid" and found.score_in_words.startswith("probability")
    whole = Explainer(path).explain(feeds)
    assert any("NonMaxSuppression" in w and "'sc'" in w for w in whole.warnings)


def test_one_detection_can_be_asked_for(case):
    path, model, feeds = case("yolo_nms")
    own = run(model, feeds)
    for (_, label, box), score in list(zip(own["sel"], own["det_scores"], strict=True))[:3]:
        found = Explainer(path, method="gradient", region=str(box)).explain(feeds, target=int(label))
        assert found.score == pytest.approx(score, rel=1e-5)
        file = Deployed(model, feeds, lambda results, c=label, b=box: results[HEAD][0, c, b], [HEAD])
        assert file.disagreement("x", found.relevances["x"]) < CLOSE
    for output in ("det_scores", "sel"):
        with pytest.raises(RspError, match=r"with --output"):
            Explainer(path, output=output).explain(feeds)


# ---- logits in the hundreds ----


def occluded(model, x, target, window=7, stride=7):
    """The mean drop of a logit under windows of zeros, in a loop."""
    own, total, cover = run(model, {"x": x})["y"][0, target], np.zeros((28, 28)), np.zeros((28, 28))
    for top in range(0, 28 - window + 1, stride):
        for left in range(0, 28 - window + 1, stride):
            place = (slice(top, top + window), slice(left, left + window))
            changed = x.copy()
            changed[(0, 0, *place)] = 0
            total[place] += own - run(model, {"x": changed})["y"][0, target]
            cover[place] += 1
    return total / cover


def test_black_boxes_see_saturated_logits(case):
    path, model, feeds = case("saturated_logits")
    logits = run(model, feeds)["y"][0]
    assert np.sort(logits)[-1] - np.sort(logits)[-2] > 100, "their softmax is 1"
    found = Explainer(path, method="occlusion:window=0.25,stride=0.25").explain(feeds, target=2)
    assert relative_l2(found.relevance[0], occluded(model, feeds["x"], 2)) < 1e-4
    masks = list(rise_masks(40, 4, 0.5, 3, 28))
    answers = np.array([run(model, {"x": feeds["x"] * m[None, None]})["y"][0, 2] for m in masks], np.float64)
    want = np.einsum("i,ihw->hw", answers - answers.mean(), np.stack(masks)) / (40 * 0.5)
    found = Explainer(path, method="rise:masks=40,cells=4,seed=3").explain(feeds, target=2)
    assert relative_l2(found.relevance[0], want) < 1e-4 and np.abs(found.relevance).max() > 1


# ---- free sizes ----


def test_a_text_at_the_length_it_was_traced_with_and_at_another(case):
    path, _, feeds = case("text_dynamic")
    found = Explainer(path).explain(feeds)
    assert set(found.relevances) == {"input_ids"} and found.relevances["input_ids"].any()
    assert any("'attention_mask' is not explained" in w and "as a mask" in w for w in found.warnings)
    report = inspect_model(path)
    assert report["explainable"] and any("this is for 6" in note for note in report["warnings"])
    longer = {"input_ids": draw().integers(0, 100, (1, 8)), "attention_mask": np.ones((1, 8), np.int64)}
    with pytest.raises(BadModel, match=r"^The model itself does not run on this input \(input_ids 1×8") as caught:
        Explainer(path).explain(longer)
    said = str(caught.value)
    assert "it does run at size 6 ('input_ids' on axis 1 and 'attention_mask' on axis 1)." in said
    assert "Reshape node '/t/self_attn/Reshape_4'" in said and "requested shape:{6,2,8}" in said
    assert "/onnxruntime" not in said and "::" not in said and "\n" not in said


@pytest.mark.parametrize("length", [300, 77])
def test_a_signal_of_any_length(case, length):
    path, model, feeds = case("ecg_freelen")
    x = feeds["x"][:, :, :length]
    found = Explainer(path, method="gradient").explain({"x": x}, target=1)
    assert found.relevance.shape == (12, length)
    assert Deployed(model, {"x": x}, flat_score("ecg_freelen", 1)).disagreement("x", found.relevance) < CLOSE
    assert Explainer(path).explain({"x": x}, target=1).relevance.any()


def test_inspecting_a_signal_of_free_length_needs_no_size_and_takes_one(case):
    path, *_ = case("ecg_freelen")
    report = inspect_model(path)
    assert report["explainable"]
    assert any("'x' leaves its size free" in note and "--input-shape" in note for note in report["warnings"])
    sized = inspect_model(path, input_shapes={"x": [None, 12, 300]})
    assert sized["section"]["shape"] != report["section"]["shape"]


# ---- by the command line ----


@pytest.mark.parametrize("name", ["multi_input", "text_dynamic", "yolo_nms"])
def test_terminal_and_record_say_the_same(case, tmp_path, name):
    path, _, feeds = case(name)
    np.savez(tmp_path / "x.npz", **feeds)
    arguments = ["explain", path, tmp_path / "x.npz", "--target", 1, "--method", "gradient", "-o", tmp_path / "out"]
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    (record,) = json.loads((tmp_path / "out/explain.json").read_text())
    found = Explainer(path, method="gradient").explain(feeds, target=1)
    assert record["warnings"] == list(found.warnings) and record["scores"] == pytest.approx(found.scores.tolist())
    assert f"class 1 ({record['score_in_words']})" in result.stdout.splitlines()[0]
    for warning in record["warnings"]:
        assert f"{warning}." in result.stderr
    with np.load(tmp_path / "out" / record["npz"]) as arrays:
        assert relative_l2(arrays["relevance"], found.relevance) < 1e-6
        for feed in found.relevances if len(found.relevances) > 1 else ():
            assert relative_l2(arrays[f"relevance/{feed}"], found.relevances[feed]) < 1e-6
    said = {"multi_input": None, "text_dynamic": "'attention_mask' is not explained", "yolo_nms": "NonMaxSuppression"}
    assert (said[name] is None and not result.stderr) or said[name] in result.stderr


# ---- exported graphs ----


def test_the_classes_of_a_detector_with_a_softmax_inside(shared_graph):
    path = shared_graph("torch__yolov8ish__ts-op17")
    model, feeds = onnx.load(path), {"input": draw().random((1, 3, 64, 64), dtype=np.float32)}
    found = Explainer(path, method="gradient").explain(feeds, target=3)
    own = run(model, feeds)["output"][0]
    assert relative_l2(found.scores, own[4:].max(1)) < 1e-5 and found.kind == "sigmoid"
    reading = inspect_model(path)["reading"]
    assert reading["rows"] == [4, 8] and reading["region"] == "peak"
    split = next(o for n in model.graph.node if n.op_type == "Split" for o in n.output[1:])
    file = Deployed(model, feeds, lambda results: results[split][0, 3].max(), [split])
    assert file.disagreement("input", found.relevances["input"]) < CLOSE


def test_of_two_outputs_the_classes_are_explained_and_the_other_can_be_named(shared_graph):
    path = shared_graph("keras__multiout__tf2onnx-op13")
    model, feeds = onnx.load(path), {"keras_tensor": draw().random((1, 64, 64, 3), dtype=np.float32)}
    for output, logits in (("cls", "functional_1/cls_1/BiasAdd:0"), ("box", None)):
        named = None if output == "cls" else output
        found = Explainer(path, method="gradient", output=named).explain(feeds, target=2)
        assert relative_l2(found.scores, run(model, feeds)[output][0]) < 1e-5
        start = logits or next(n.input[0] for n in model.graph.node if "box" in n.output)
        file = Deployed(model, feeds, lambda results, s=start: results[s][0, 2], [start])
        assert file.disagreement("keras_tensor", found.relevances["keras_tensor"]) < CLOSE
        assert any("the model has others ('box')" in w for w in found.warnings) == (named is None)


def test_a_unet_at_a_size_it_does_not_run_at(shared_graph):
    path = shared_graph("torch__unet__ts-op17")
    model, feeds = onnx.load(path), {"input": draw().random((1, 3, 33, 20), dtype=np.float32)}
    wins = run(model, feeds)["output"][0].argmax(0) == 1
    file = Deployed(model, feeds, lambda results: results["output"][0, 1][wins].mean() if wins.any() else
                    results["output"][0, 1].mean())  # fmt: skip
    found = Explainer(path, method="gradient").explain(feeds, target=1)
    assert file.disagreement("input", found.relevances["input"]) < CLOSE
    with pytest.raises(BadModel, match=r"does not run on this input \(input 1×3×30×30\): Concat node") as caught:
        Explainer(path).explain(np.ones((1, 3, 30, 30), np.float32))
    assert "it does run at size 4, 5, 8, 9, 12, 13 and others ('input' on axis 2, 3)." in str(caught.value)
