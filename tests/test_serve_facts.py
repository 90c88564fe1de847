"""What the page is told of a model: the same as ``inspect`` tells, and layers whose maps can really be asked for."""

import json

import numpy as np
import pytest

from rsp_onnx import BadInput, BadModel, Explainer, inspect_model
from rsp_onnx.attribution.catalogue import METHODS
from rsp_onnx.web.facts import model_facts, trial_item

from .little import conv_net, gray_net, little, nhwc_net, signal_net, table_net, two_input_net, volume_net


def facts_of(model, **options):
    return model_facts(Explainer(model, **options), id="a", name="a.onnx")


KINDS = {
    "photo": conv_net, "signal": signal_net, "volume": volume_net, "table": table_net,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_of_the_kind_of_its_input(kind):
    facts = facts_of(KINDS[kind]())
    assert facts["kind"] == kind and (facts["preprocess"] is not None) == (kind == "photo")
    json.dumps(facts, allow_nan=False)


def test_photos_have_their_channels_first_or_last_or_none_and_tensors_of_other_counts_are_no_photos():
    assert [facts_of(model)["kind"] for model in (nhwc_net(), gray_net(3), gray_net(4))] == ["photo"] * 3
    bands = little("a (float[1,7,8,8] x) => (float[1,7] y) {g = GlobalAveragePool(x) y = Flatten(g)}")
    assert facts_of(bands)["kind"] == "image"
    assert facts_of(two_input_net())["kind"] != "photo"


def test_ids_are_tokens(shared_cases):
    assert facts_of(shared_cases / "text_dynamic" / "model.onnx")["kind"] == "tokens"


def test_facts_are_those_of_inspect(shared_data):
    path = shared_data / "models" / "squeezenet1.1_nchw_fp32.onnx"
    facts, report = facts_of(path), inspect_model(path, cost=False)
    assert facts["classes"] == report["classes"] and facts["scoreKind"] == report["scores"]
    assert facts["sha256"] == report["sha256"] and facts["bytes"] == path.stat().st_size
    assert facts["inputs"] == report["inputs"] and facts["preprocess"] == report["preprocessing"]
    assert facts["warnings"][: len(report["warnings"])] == report["warnings"]
    assert "guessed (imagenet-torch)" in facts["warnings"][-1]
    assert [one["name"] for one in facts["methods"]] == list(METHODS) and facts["refused"] is None
    tensors = {one["name"]: one for one in report["tensors"]}
    assert all(one["hasMap"] == tensors[one["tensor"]]["relevance"] for one in facts["layers"])


def test_layers_stand_in_order_and_read_what_the_file_says():
    model = conv_net()
    layers = facts_of(model)["layers"]
    made = {name: n for n, node in enumerate(model.graph.node) for name in node.output}
    assert [made[one["tensor"]] for one in layers] == sorted(made[one["tensor"]] for one in layers)
    for n, one in enumerate(layers):
        node = model.graph.node[made[one["tensor"]]]
        wanted = [
            m for m, other in enumerate(layers) if set(model.graph.node[made[other["tensor"]]].output) & {*node.input}
        ]
        assert one["op"] == node.op_type and one["reads"] == wanted and all(m < n for m in wanted)
    assert [one["where"] for one in layers] == sorted(one["where"] for one in layers)  # features before head


def test_what_a_layer_does_is_read_from_the_facts_of_its_op():
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(2, 3, 3, 3)), "b": rng.normal(size=(1,)), "v": rng.normal(size=(162, 4))}
    model = little(
        """g (float[N,3,12,12] x) => (float[N,4] y) {
            h = Conv(x, w) a = Relu(h) p = MaxPool<kernel_shape=[2,2]>(a) q = AveragePool<kernel_shape=[2,2]>(a)
            m = Add(p, q) n = Add(m, b) f = Flatten(n) z = Gemm(f, v) y = Softmax(z) }""",
        **{name: values.astype(np.float32) for name, values in weights.items()},
    )
    families = [one["family"] for one in facts_of(model)["layers"]]
    assert families == [
        "convolution", "pointwise", "pooling", "pooling", "merging", "pointwise", "shape", "dense", "pointwise",
    ]  # fmt: skip


WALKED = ("torch__unet__ts-op11", "hf__vit__ts-op14-eager", "torch__lstm_hn__ts-op14",
          "hf__segformer__ts-op17")  # fmt: skip


@pytest.mark.parametrize("name", WALKED)
def test_layers_with_a_map_are_those_that_can_be_asked_for(shared_graph, name):
    explainer = Explainer(shared_graph(name))
    layers, item = model_facts(explainer, id="a", name="a")["layers"], trial_item(explainer).tensors
    tensors = [one["tensor"] for one in layers if one["hasMap"]]
    assert {*tensors} <= explainer.explain(item, target=0, tensors=tensors).relevances.keys()
    for one in [one for one in layers if not one["hasMap"] and one["where"] == "features"][:3]:
        with pytest.raises(BadInput, match="relevance"):
            explainer.explain(item, target=0, tensors=[one["tensor"]])


@pytest.mark.parametrize("model", ["resnet20_cifar10_nchw_fp32", "squeezenet1.0_nchw_fp16"])
def test_every_layer_of_a_real_network_can_be_asked_for(shared_data, model):
    explainer = Explainer(shared_data / "models" / f"{model}.onnx")
    layers = model_facts(explainer, id="a", name=model)["layers"]
    tensors = [one["tensor"] for one in layers if one["hasMap"]]
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert len(tensors) > 40 and {*tensors} <= explainer.explain(photo, target=0, tensors=tensors).relevances.keys()


def test_tensors_whose_samples_cannot_be_told_apart_have_no_map():
    draw = np.random.RandomState(0).randn
    model = little(
        """g (float[N,3,8,8] x) => (float[N,4] y) {
            a = Conv<pads=[1,1,1,1]>(x, w) t = Transpose<perm=[1,0,2,3]>(a) r = Relu(t) b = Transpose<perm=[1,0,2,3]>(r)
            c = Conv<pads=[1,1,1,1]>(b, u) d = Relu(c) p = GlobalAveragePool(d) f = Flatten(p) y = MatMul(f, v) }""",
        w=draw(5, 3, 3, 3).astype(np.float32), u=draw(6, 5, 3, 3).astype(np.float32), v=draw(6, 4).astype(np.float32),
    )  # fmt: skip
    explainer = Explainer(model)
    layers = {one["tensor"]: one["hasMap"] for one in model_facts(explainer, id="a", name="a")["layers"]}
    assert [layers[name] for name in "atrb"] == [True, False, False, True]
    item = np.random.RandomState(1).randn(1, 3, 8, 8).astype(np.float32)
    with pytest.raises(BadInput, match="cannot be told apart by sample"):
        explainer.explain(item, tensors=["r"])
    assert {"a", "b"} <= explainer.explain(item, tensors=["a", "b"]).relevances.keys()


def test_a_model_with_an_op_without_a_rule_is_told_in_the_words_of_explain_and_keeps_its_black_boxes(shared_graph):
    path = shared_graph("sklearn__rf__skl2onnx-op15")
    explainer = Explainer(path)
    facts = model_facts(explainer, id="a", name="a")
    item = np.zeros((1, *explainer.signatures[0].shape[1:]), explainer.signatures[0].dtype)
    with pytest.raises(BadModel) as error:
        explainer.explain(item)
    assert facts["refused"] == str(error.value)
    assert [one["name"] for one in facts["methods"]] == ["rise", "occlusion"]
    assert Explainer(path, method="occlusion").explain(item).scores.size == facts["classes"]


def test_a_model_that_no_method_explains_is_refused_in_the_words_of_explain():
    model = little("a (float[1,4] x) => (int64[1] y) {y = ArgMax<axis=1, keepdims=0>(x)}")
    with pytest.raises(BadModel) as wanted:
        Explainer(model).explain(np.zeros((1, 4), np.float32))
    with pytest.raises(BadModel) as error:
        facts_of(model)
    assert str(error.value) == str(wanted.value)


def test_labels_that_are_too_few_are_refused_and_others_are_passed_on_as_they_are():
    count = facts_of(conv_net())["classes"]
    names = [f"<img src=x onerror=alert({n})>" for n in range(count)]
    assert facts_of(conv_net(), labels=names)["labels"] == names
    with pytest.raises(BadInput, match=f"There are {count - 1} labels"):
        facts_of(conv_net(), labels=names[1:])
