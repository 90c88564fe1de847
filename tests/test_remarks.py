"""What is said beside a map: what the score is, whether the model means the class, what a method did not do."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from rsp_onnx import BadInput, Explainer, Explanation
from rsp_onnx.cli.main import main
from rsp_onnx.evaluate.runs.settings import choose_method
from rsp_onnx.explain.remarks import far_from_the_prediction

from .little import conv_net, little, table_net, two_input_net

UNIT = {"preprocess": "unit", "device": "cpu"}
LABELS = ("tusker", "African elephant, Loxodonta africana", "potter's wheel", "drake")
TABLE = np.random.default_rng(1).normal(size=(1, 7)).astype(np.float32)
X = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)


def scaled(factor, end=""):
    """The little network with its last layer's numbers multiplied."""
    model = conv_net(end=end)
    for tensor in model.graph.initializer:
        if tensor.name in ("v", "b"):
            values = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model


def with_scores(scores, kind, target, **more):
    ones = np.ones((2, 2), np.float32)
    return Explanation(ones[None], ones, np.array(scores, np.float32), target, kind=kind, **more)


@pytest.mark.parametrize(
    ("scores", "kind", "words"),
    [
        ([0.25, 0.75], "softmax", "probability 0.750"),
        ([0.25, 0.000013], "sigmoid", "probability 1.3e-05"),
        ([1.0, 0.0], "sigmoid", "probability 0.000"),
        ([-2.302585, -0.105361], "log-softmax", "log-probability -0.1054, probability 0.900"),
        ([20.0, 23.625], "logits", "logit 23.62, softmax 0.974"),  # 1 / (1 + exp(−3.625))
        ([8063.0, 2673.0], "logits", "logit 2673, softmax 0.000"),
        ([20.0, 23.625], "", "score 23.62"),
    ],
)
def test_a_score_is_called_what_it_is(scores, kind, words):
    assert with_scores(scores, kind, 1).score_in_words == words


def test_the_only_logit_of_a_model_is_a_score():
    assert with_scores([23.625], "logits", 0).score_in_words == "score 23.62"
    assert with_scores([23.625], "logits", 0).probability is None


@pytest.mark.parametrize("end", ["", "Softmax<axis=1>", "LogSoftmax<axis=1>", "Sigmoid"])
@pytest.mark.parametrize("method", ["rsp", "occlusion"])
def test_the_kind_of_the_scores_is_that_of_the_model(end, method):
    found = Explainer(conv_net(end=end), method=method, **UNIT).explain(X, 1)
    assert found.kind == {"": "logits", "Softmax<axis=1>": "softmax", "LogSoftmax<axis=1>": "log-softmax"}.get(
        end, "sigmoid"
    )
    assert found.tensor is not None and np.array_equal(found.tensor, X[0])


FAR = np.array([0.9, 0.04, 0.03, 0.015, 0.011, 0.003, 0.001])


@pytest.mark.parametrize(
    ("scores", "kind", "target", "says"),
    [
        (FAR, "softmax", 0, ""),
        (FAR, "softmax", 4, ""),  # fifth, 0.011
        (FAR, "softmax", 5, "rank 6 of 7, probability 0.003; predicted: class 0"),
        (FAR, "softmax", 6, "rank 7 of 7, probability 0.001; predicted: class 0"),
        (np.full(7, 1 / 7) + np.arange(7) / 1000, "softmax", 1, "rank 6 of 7, probability 0.144"),  # likely, but sixth
        (np.log(FAR), "log-softmax", 6, "rank 7 of 7, log-probability -6.908, probability 0.001"),
        (np.log(FAR) + 9, "logits", 6, "rank 7 of 7, logit 2.092, softmax 0.001"),
        (np.array([0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.2]), "sigmoid", 5, ""),  # present
        (np.array([0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.2]), "sigmoid", 6, "rank 7 of 7, probability 0.200"),
        (np.array([3.0, 2.0]), "", 1, ""),  # nothing says what they are
    ],
)
def test_a_class_the_model_does_not_mean_is_told(scores, kind, target, says):
    found = far_from_the_prediction(with_scores(scores, kind, target))
    assert found.startswith(f"class {target} is not what the model predicts: {says}") if says else found == ""


def test_the_title_shows_the_rank_and_rivals_can_be_told_apart():
    found = with_scores([5.0, 4.0, 3.0, 2.0], "logits", 2, labels=LABELS, hostile=(0, 1))
    assert found.headline() == (
        "potter's wheel · logit 3 (softmax 0.087) · rank 3 of 4",
        ["against tusker · African elephant, Loxodonta africana", "method rsp"],
    )
    assert "against tusker · African elephant, Loxodonta africana:" in repr(found)
    present = with_scores([0.99, 0.9, 0.1], "sigmoid", 1)
    assert (present.headline()[0], replace(present, target=2).headline()[0]) == (
        "class 1 · probability 0.900 · rank 2 of 3", "class 2 · probability 0.100 · rank 3 of 3",
    )  # fmt: skip
    alone = replace(found, target=0, hostile=())
    assert alone.headline() == ("tusker · logit 5 (softmax 0.644) · rank 1 of 4", ["no rivals · method rsp"])
    assert replace(alone, method="grad-cam").headline()[1] == ["method grad-cam"]  # it knows none, and says nothing


def test_a_picture_of_several_inputs_says_which_it_shows():
    rng = np.random.default_rng(0)
    shapes = {"left": (1, 3, 8, 8), "right": (1, 1, 8, 8)}
    x = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    found = Explainer(two_input_net(), device="cpu").explain(x, 1)
    assert found.inputs == ("left", "right")
    assert found.headline()[1][1:] == ["the input left; the relevance of right is in the arrays alone"]


def test_the_command_line_and_the_record_say_it_too(tmp_path):
    onnx.save(scaled(4, "Softmax<axis=1>"), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    scores = Explainer(tmp_path / "m.onnx", **UNIT).scores(X)
    last, first = int(np.argmin(scores)), int(np.argmax(scores))
    assert scores[last] < 0.01, scores
    options = ["--target", str(last), "--hostile", str(first), "--labels", str(tmp_path / "labels.txt")]
    result = CliRunner().invoke(
        main, ["explain", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), *options, "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    (record,) = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    assert f"{LABELS[last]} ({record['score_in_words']}) against {LABELS[first]} -> " in result.stdout
    says = (
        f"class '{LABELS[last]}' is not what the model predicts: rank 4 of 4, {record['score_in_words']}; predicted: "
    )
    assert says + f"class '{LABELS[first]}'" in record["warnings"]
    assert f"Warning: {tmp_path / 'x.npy'}: {says}" in result.stderr
    assert (record["score_kind"], record["rank"]) == ("softmax", 4)
    assert record["probability"] == pytest.approx(scores[last])


# ---- methods that know no rivals ----


@pytest.mark.parametrize("method", ["grad-cam", "clrp", "rise:masks=20", "gradient"])
def test_a_method_without_rivals_names_none(method):
    explainer = Explainer(conv_net(end="Sigmoid"), method=method, labels=LABELS, **UNIT)
    found = explainer.explain(X, 1)
    assert found.hostile == () and "against" not in repr(found) and not any("rivals" in w for w in found.warnings)
    named = explainer.explain(X, 1, [0, 2])
    says = "knows no rivals, so the map is of the class alone and not against class 'tusker', class 'potter's wheel'"
    assert named.hostile == () and f"{method.partition(':')[0]} {says}" in named.warnings
    assert np.array_equal(named.relevance, found.relevance)


def test_rsp_names_its_rivals():
    found = Explainer(conv_net(), **UNIT).explain(X, 1, [0, 2])
    assert found.hostile == (0, 2) and not any("rivals" in w for w in found.warnings)


def test_an_evaluation_refuses_rivals_for_a_method_that_knows_none():
    with pytest.raises(BadInput, match="grad-cam knows no rivals to hold a class against; leave hostile=annotated out"):
        choose_method("grad-cam:hostile=annotated")
    assert choose_method("grad-cam:hostile=none").hostile == "none"
    assert choose_method("rsp:hostile=annotated").hostile == "annotated"


# ---- black boxes ----


@pytest.mark.parametrize("method", ["occlusion", "rise:masks=40"])
def test_large_logits_have_a_map_and_their_probability_is_said_to_be_saturated(method):
    likely = method + ("," if ":" in method else ":") + "probabilities=1"
    found = Explainer(scaled(3000), method=method, **UNIT).explain(X)
    assert found.score > 1000 and not found.is_zero and found.warnings == ()
    small = Explainer(scaled(1), method=method, **UNIT).explain(X, found.target)
    assert np.abs(found.heatmap / 3000 - small.heatmap).max() < 1e-5 * np.abs(small.heatmap).max()
    blind = Explainer(scaled(3000), method=likely, **UNIT).explain(X)
    name = method.partition(":")[0]
    says = f"saturated: 1 for every masked input; use {name} without probabilities=1"
    assert f"the probability of class {found.target} is {says}" in blind.warnings


def test_a_saturated_softmax_in_the_model_points_to_methods_that_walk():
    explainer = Explainer(scaled(3000, "Softmax<axis=1>"), method="occlusion", **UNIT)
    first, least = explainer.explain(X), explainer.explain(X, int(np.argmin(Explainer(scaled(1), **UNIT).scores(X))))
    walks = (
        "for every masked input; use a method that walks backward from the logit, such as rsp, or name the logits with "
        "--output (see inspect)"
    )
    assert f"the probability of class {first.target} is saturated: 1 {walks}" in first.warnings
    assert f"the probability of class {least.target} is saturated: 0 {walks}" in least.warnings
    assert first.is_zero and first.warnings[0].endswith("zero everywhere: the score was the same for every mask")


@pytest.mark.parametrize("method", ["occlusion:baseline=0.25", "rise:masks=20,baseline=0.25"])
def test_a_black_box_that_saw_nothing_says_so(method):
    """The input is the baseline: whatever is covered, it stays."""
    found = Explainer(conv_net(), method=method, **UNIT).explain(np.full((1, 3, 12, 12), 0.25, np.float32), 1)
    says = "the score of class 1 did not change under any mask: try other masks, or another baseline than 0.25"
    assert says in found.warnings
    assert not any("section" in warning for warning in found.warnings)


def test_averaged_gradients_that_are_all_zero_do_not_blame_the_section():
    flat = little("g (float[N,3] x) => (float[N,2] y) { r = Relu(x) y = MatMul(r, v) }", v=np.ones((3, 2), np.float32))
    found = Explainer(flat, method="integrated-gradients", device="cpu").explain(np.full((1, 3), -1, np.float32), 0)
    assert found.is_zero and "so was every gradient that was asked for" in found.warnings[0]


def test_where_there_is_nothing_to_say_nothing_is_said():
    for method in ("rsp", "occlusion"):
        assert Explainer(table_net(), method=method, device="cpu").explain(TABLE).warnings == ()
