"""The server behind the page: what it computes is what ``Explainer`` computes."""

import io
import threading

import numpy as np
import onnx
import pytest
from PIL import Image

from rsp_onnx import Explainer
from rsp_onnx.explain.supply.making import Making
from rsp_onnx.web.server import explainers, models
from rsp_onnx.web.server.engine import ABILITIES

from .little import conv_net, gray_net, nhwc_net, signal_net, table_net, two_input_net, volume_net
from .page_client import TOKEN, page_of, read_frames


def photo(seed=0, size=(20, 16)):
    """Return the bytes of a PNG, and the picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def saved(folder, data, name):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.fixture
def page(tmp_path):
    with page_of(tmp_path) as page:
        yield page


def same(answer, wanted):
    """Hold an answer to explanations, bit for bit."""
    assert np.array_equal(answer["scores"], wanted[0].scores)
    for one, other in zip(answer["explained"], wanted, strict=True):
        assert one["target"] == other.target and one["hostile"] == list(other.hostile)
        assert np.array_equal(one["heatmap"], other.heatmap) and np.array_equal(one["relevance"], other.relevance)
        assert one["warnings"][: len(other.warnings)] == list(other.warnings)


# ---- what is there at first ----


def test_an_empty_server_says_what_it_can(page):
    state = page.json("GET", "state")
    assert state["models"] == [] and state["samples"] == [] and state["abilities"] == ABILITIES
    assert all(ABILITIES.values()) and "CPUExecutionProvider" in state["says"] and state["version"]


def test_the_page_is_served_and_told_its_engine(page):
    answer = page.client.get("/")
    assert answer.text.count('<script type="application/json" id="engine">{"engine": "server"}</script>') == 1
    assert page.client.get("/assets/index-1.js").headers["content-type"].startswith("text/javascript")


# ---- models ----


def test_a_dropped_model_is_understood_explained_and_forgotten(page, tmp_path):
    model = conv_net(end="Softmax<axis=1>").SerializeToString()
    frames = page.frames("POST", "models", params={"name": "net.onnx"}, content=model)
    assert [one["progress"]["says"] for one, _ in frames[:-1]] == ["reading the model", "looking at the layers"]
    facts = frames[-1][0]["model"]
    assert page.json("GET", "state")["models"] == [facts]
    assert facts["name"] == "net.onnx" and facts["bytes"] == len(model) and facts["scoreKind"] == "softmax"
    image = page.add_image(photo())
    answer = page.explain(model=facts["id"], image=image["id"])
    wanted = Explainer(model, device="cpu").explain(saved(tmp_path, photo(), "x.png"), ["auto"], "none")
    same(answer, wanted)
    assert np.array_equal(answer["probabilities"], answer["scores"]) and answer["provider"] == "CPUExecutionProvider"
    assert answer["explained"][0]["input"] is None and answer["milliseconds"] > 0
    geometry = wanted[0].geometry
    assert answer["geometry"] == {"original": [20, 16], "tensor": [12, 12], "box": list(geometry.box)}
    page.json("DELETE", f"models/{facts['id']}")
    assert page.json("GET", "state")["models"] == []
    assert page.error("DELETE", f"models/{facts['id']}")[0] == 404
    assert not any(path.is_file() for path in (tmp_path / "work" / "models").rglob("*"))
    assert len(list((tmp_path / "work" / "models").iterdir())) == 0


def test_targets_rivals_layers_and_ledger_are_those_of_the_explainer(page, tmp_path):
    model = conv_net().SerializeToString()
    facts = page.add_model(model)["model"]
    image = page.add_image(photo(3))
    layers = [one["tensor"] for one in facts["layers"] if one["hasMap"]]
    assert len(layers) >= 2
    answer = page.explain(
        model=facts["id"], image=image["id"], targets=[2, 0], hostile=[1], tensors=[*layers[:1], "y"], ledger=True
    )
    explainer = Explainer(model, device="cpu")
    wanted = explainer.explain(saved(tmp_path, photo(3), "x.png"), [2, 0], [1], tensors=layers)
    same(answer, wanted)
    for one, other in zip(answer["explained"], wanted, strict=True):
        assert list(one["layers"]) == layers[:1]
        channels = other.relevances[layers[0]]
        assert channels.ndim == 3
        assert np.allclose(one["layers"][layers[0]], channels.sum(0), rtol=0, atol=1e-6 * np.abs(channels).max())
        assert {row["tensor"]: row["sum"] for row in one["ledger"]} == dict(other.ledger) and one["ledger"]
        assert any("no relevance to 'y'" in warning for warning in one["warnings"])


@pytest.mark.parametrize(
    "method", ["gradient", "grad-cam", "lrp-gamma:gamma=0.5", "occlusion", "smooth-grad:samples=3"]
)
def test_every_method_is_offered_and_layers_it_has_no_map_of_are_told(page, tmp_path, method):
    model = conv_net().SerializeToString()
    facts = page.add_model(model)["model"]
    image = page.add_image(photo())
    layer = next(one["tensor"] for one in facts["layers"] if one["hasMap"])
    answer = page.explain(model=facts["id"], image=image["id"], method=method, targets=[1], tensors=[layer])
    explainer = Explainer(model, device="cpu", method=method)
    (one,) = answer["explained"]
    told = [w for w in one["warnings"] if "brings no relevance to" in w]
    assert (layer in one["layers"]) == (not told) and answer["method"] == method
    same(answer, explainer.explain(saved(tmp_path, photo(), "x.png"), [1], "none", tensors=[layer] if not told else []))


def test_an_unknown_method_is_the_sentence_of_the_library(page):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    said = page.request(model=facts["id"], image=image["id"], method="magic")[-1][0]["error"]
    assert said.startswith("There is no method 'magic'; the methods are rsp, ")
    said = page.request(model=facts["id"], image=image["id"], targets=[9])[-1][0]["error"]
    assert said == "There is no class 9: this model's classes are 0..3."


def test_layers_of_tokens_are_summed_over_their_features_and_of_pictures_over_their_channels(page, tmp_path, repo):
    """The sum keeps the axis of the positions, whose count is that of the patches, and the total of the ledger."""
    data, scene = (repo / "models" / "digits_vit.onnx").read_bytes(), repo / "models" / "scenes" / "scene_0.png"
    facts, image = page.add_model(data)["model"], page.add_image(scene.read_bytes())
    shapes = {one["tensor"]: one["shape"] for one in facts["layers"] if one["hasMap"]}
    answer = page.explain(model=facts["id"], image=image["id"], tensors=list(shapes)[:64], ledger=True)
    (one,) = answer["explained"]
    sums = {row["tensor"]: row["sum"] for row in one["ledger"]}
    tokens = {name: laid for name, laid in one["layers"].items() if len(shapes[name]) == 3}
    counts = {name: (next(d for d in shapes[name] if d in (144, 145)),) for name in tokens}  # 12 × 12, a class token
    assert len(tokens) > 10 and {name: laid.shape for name, laid in tokens.items()} == counts
    pictures = {n: laid.shape for n, laid in one["layers"].items() if shapes[n][2:] in ([48, 48], [24, 24], [12, 12])}
    assert len(pictures) == 5 and pictures == {name: tuple(shapes[name][2:]) for name in pictures}
    held = [name for name in one["layers"] if name in sums]
    assert len(held) > 10
    for name in held:
        total = float(np.abs(one["layers"][name]).sum(dtype=np.float64))
        assert abs(float(one["layers"][name].sum(dtype=np.float64)) - sums[name]) <= 1e-5 * max(total, 1e-12)


@pytest.mark.parametrize("name", ["digits_pytorch", "digits_keras"])
def test_real_networks_answer_as_the_explainer(page, repo, name):
    data, scene = (repo / "models" / f"{name}.onnx").read_bytes(), repo / "models" / "scenes" / "scene_1.png"
    facts, image = page.add_model(data)["model"], page.add_image(scene.read_bytes())
    answer = page.explain(model=facts["id"], image=image["id"], targets=[3, 4], hostile=[7])
    same(answer, Explainer(data, device="cpu").explain(scene, [3, 4], [7]))
    assert facts["labels"] and facts["labelsSource"] == "metadata" and facts["preprocess"]["source"] == "metadata"


def test_no_rivals_are_none_though_the_model_has_several_labels(page, repo):
    data, scene = (repo / "models" / "digits_pytorch.onnx").read_bytes(), repo / "models" / "scenes" / "scene_0.png"
    explainer = Explainer(data, device="cpu")
    target = explainer.explain(scene).target
    assert explainer.explain(scene, [target], "auto")[0].hostile  # what the default would have been
    facts, image = page.add_model(data)["model"], page.add_image(scene.read_bytes())
    for targets in ("auto", [target]):
        answer = page.explain(model=facts["id"], image=image["id"], targets=targets)
        same(answer, explainer.explain(scene, [target], "none"))
        assert answer["explained"][0]["hostile"] == []


INPUTS = {
    "signal": (signal_net, (2, 32)), "table": (table_net, (7,)), "volume": (volume_net, (1, 6, 7, 8)),
}  # fmt: skip


@pytest.mark.parametrize("kind", INPUTS)
def test_tensors_are_explained_and_shown_as_they_are(page, tmp_path, kind):
    make, shape = INPUTS[kind]
    model, data = make().SerializeToString(), np.random.default_rng(1).standard_normal((1, *shape)).astype(np.float32)
    facts, image = page.add_model(model)["model"], page.add_image(npy(data), "x.npy")
    assert facts["kind"] == kind and facts["preprocess"] is None and (image["width"], image["height"]) == (0, 0)
    answer = page.explain(model=facts["id"], image=image["id"])
    same(answer, Explainer(model, device="cpu").explain(data, ["auto"], "none"))
    assert answer["geometry"] is None and np.array_equal(answer["explained"][0]["input"], data[0])


def test_a_model_of_several_inputs_takes_an_npz_file(page, tmp_path):
    model, draw = two_input_net().SerializeToString(), np.random.default_rng(1)
    feeds = {name: draw.standard_normal((1, c, 8, 8)).astype(np.float32) for name, c in (("left", 3), ("right", 1))}
    np.savez(tmp_path / "x.npz", **feeds)
    facts, image = page.add_model(model)["model"], page.add_image((tmp_path / "x.npz").read_bytes(), "x.npz")
    same(
        page.explain(model=facts["id"], image=image["id"]),
        Explainer(model, device="cpu").explain(feeds, ["auto"], "none"),
    )
    said = page.request(model=facts["id"], image=page.add_image(photo())["id"])[-1][0]["error"]
    assert said == "The model has 2 inputs ('left', 'right'); give a .npz file or a mapping with all of them."


def test_two_models_lie_side_by_side(page):
    one, two = (page.add_model(conv_net(classes=n).SerializeToString(), f"{n}.onnx")["model"] for n in (3, 5))
    assert one["id"] != two["id"] and [m["classes"] for m in page.json("GET", "state")["models"]] == [3, 5]
    image = page.add_image(photo())["id"]
    assert [page.explain(model=m["id"], image=image)["scores"].size for m in (one, two, one)] == [3, 5, 3]


def test_no_more_models_are_opened_than_there_is_room_for(page, monkeypatch):
    monkeypatch.setattr(models, "MOST_MODELS", 1)
    page.add_model(conv_net().SerializeToString())
    status, said = page.error("POST", "models", params={"name": "b.onnx"}, content=conv_net().SerializeToString())
    assert status == 400 and said == "1 models are open, which is all there is room for: close one first."


# ---- labels and preprocessing ----


def test_labels_are_read_checked_and_named_by_their_file(page, tmp_path):
    facts = page.add_model(conv_net().SerializeToString())["model"]
    assert facts["labels"] is None
    names = ["<img src=x onerror=alert(1)>", "ünïcode", "c", "d"]
    path = f"models/{facts['id']}/labels"
    changed = page.json("PUT", path, params={"name": "my.txt"}, content="\n".join(names).encode())
    assert changed["labels"] == names and changed["labelsSource"] == "file my.txt"
    assert page.json("GET", "state")["models"] == [changed]
    status, said = page.error("PUT", path, params={"name": "my.txt"}, content=b"a\nb")
    assert status == 400 and said.startswith("There are 2 labels, but the model has 4 classes")
    status, said = page.error("PUT", path, params={"name": "my.json"}, content=b"{")
    assert status == 400 and said.startswith("The labels file my.json is not valid JSON")
    assert page.json("GET", "state")["models"] == [changed]
    assert list((tmp_path / "work" / "labels").iterdir()) == []


def test_preprocessing_is_changed_by_presets_and_single_values_and_the_map_follows(page, tmp_path):
    model = conv_net().SerializeToString()
    facts, image = page.add_model(model)["model"], page.add_image(photo())
    path, file = f"models/{facts['id']}/preprocess", saved(tmp_path, photo(), "x.png")
    assert facts["preprocess"]["source"] == "guessed"
    unit = page.json("PUT", path, json={"preset": "unit"})["preprocess"]
    assert unit == Explainer(model, preprocess="unit").preprocess.to_dict()
    same(page.explain(model=facts["id"], image=image["id"]),
         Explainer(model, preprocess="unit", device="cpu").explain(file, ["auto"], "none"))  # fmt: skip
    own = page.json("PUT", path, json={**unit, "mean": [0.5], "resize": "crop"})["preprocess"]
    assert own["mean"] == [0.5] and own["resize"] == "crop" and own["source"] == "given" and own["name"] != "unit"
    explainer = Explainer(model, preprocess="unit", mean=(0.5,), resize="crop", device="cpu")
    same(page.explain(model=facts["id"], image=image["id"]), explainer.explain(file, ["auto"], "none"))
    for wrong, says in {
        '{"channels": "L"}': "makes L images, but input 'x' has 3 channels",
        '{"preset": "none"}': "preset must be one of",
        '{"mean": "a"}': "mean must be a list", '{"colour": 1}': "unknown key 'colour'", "[1]": "no JSON object",
        "{": "no JSON",
    }.items():  # fmt: skip
        status, said = page.error("PUT", path, content=wrong.encode())
        assert status == 400 and says in said
    assert page.json("GET", "state")["models"][0]["preprocess"] == own


def test_a_model_that_takes_no_photographs_has_no_preprocessing(page):
    facts = page.add_model(table_net().SerializeToString())["model"]
    status, said = page.error("PUT", f"models/{facts['id']}/preprocess", json={"preset": "unit"})
    assert status == 400 and said == "The model's input is no photograph, so that nothing is preprocessed."


@pytest.mark.parametrize("make", [conv_net, nhwc_net, gray_net])
def test_the_preview_is_what_the_model_gets(page, make):
    facts, image = page.add_model(make().SerializeToString())["model"], page.add_image(photo(2))
    page.json("PUT", f"models/{facts['id']}/preprocess", json={"preset": "raw"})
    page.json("PUT", f"models/{facts['id']}/preprocess", json={"resize": "pad"})
    ((_, arrays),) = page.frames("GET", f"models/{facts['id']}/preview", params={"image": image["id"]})
    explainer = Explainer(make().SerializeToString(), preprocess="raw", resize="pad")
    tensor = next(iter(explainer.feeds(Image.open(io.BytesIO(photo(2)))).values()))[0]
    channels_last = tensor if tensor.shape[-1] in (1, 3) else tensor.transpose(1, 2, 0)
    pixels = arrays["pixels"]
    assert pixels.dtype == np.uint8 and pixels.shape == (12, 12, 4) and (pixels[..., 3] == 255).all()
    assert np.abs(pixels[..., :3].astype(float) - channels_last).max() <= 0.5


# ---- images ----


def test_images_are_kept_by_content_and_only_the_last_ones(page, tmp_path):
    first = page.add_image(photo(0))
    assert page.add_image(photo(0), "again.png")["id"] == first["id"] and (first["width"], first["height"]) == (16, 20)
    facts = page.add_model(conv_net().SerializeToString())["model"]
    for seed in range(1, 33):
        page.add_image(photo(seed))
    assert len(list((tmp_path / "work" / "images").iterdir())) == 32
    status, said = page.error("POST", "explain", json={"model": facts["id"], "image": first["id"], "method": "rsp"})
    assert status == 404 and said == "The image is not here any more: the last 32 are kept; add it again."


def test_what_is_odd_of_a_photo_is_told(page):
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 6), (255, 0, 0, 10)).save(buffer, "PNG")
    assert page.add_image(buffer.getvalue())["warnings"] == ["100% of it is transparent and was laid over white"]


def test_samples_are_listed_small_and_whole(tmp_path, repo):
    with page_of(tmp_path, samples=repo / "models" / "scenes") as page:
        samples = page.json("GET", "state")["samples"]
        assert [one["url"] for one in samples] == [f"samples/{n}" for n in range(len(samples))] and samples
        whole = page.ask("GET", samples[0]["url"])
        assert whole.content == (repo / "models" / "scenes" / samples[0]["name"]).read_bytes()
        small = page.ask("GET", f"{samples[0]['url']}?size=20")
        assert small.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(small.content)).size) == 20
        assert max(Image.open(io.BytesIO(page.ask("GET", "samples/0?size=100000").content)).size) <= 256
        assert page.client.get("/api/samples/0").status_code == 401
        assert page.error("GET", "samples/999")[0] == 404
        assert page.error("GET", "samples/0?size=-1")[0] == 400


@pytest.mark.parametrize("ending, kind", [(".webp", "image/webp"), (".JPG", "image/jpeg"), (".tif", "image/tiff")])
def test_samples_of_every_kind_have_their_media_type(tmp_path, monkeypatch, ending, kind):
    """Browsers show nothing of another type; what this machine's own tables know does not count."""
    monkeypatch.setattr("mimetypes.guess_type", lambda *_, **__: (None, None))
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"a{ending}")
    with page_of(tmp_path, samples=folder) as page:
        assert page.ask("GET", "samples/0").headers["content-type"] == kind


# ---- threads ----


def test_the_server_answers_while_it_compiles(page, monkeypatch):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    started, go_on = threading.Event(), threading.Event()
    real = Explainer.get_ready

    def slow(self, *given, **more):
        started.set()
        assert go_on.wait(30)
        return real(self, *given, **more)

    monkeypatch.setattr(Explainer, "get_ready", slow)
    answers = []

    def ask():
        answers.append(page.explain(model=facts["id"], image=image["id"]))

    threads = [threading.Thread(target=ask) for _ in range(10)]  # more than there are workers
    for thread in threads:
        thread.start()
    try:
        assert started.wait(30)
        assert page.json("GET", "state")["models"] == [facts]  # while nothing but the compile runs
        assert answers == []
    finally:
        go_on.set()
        for thread in threads:
            thread.join(30)
    assert len(answers) == 10


@pytest.mark.parametrize("shaped", [False, True])
def test_nothing_is_compiled_for_nothing(page, monkeypatch, shaped):
    """Where scores must be read before the class is known, one variant serves that and the map."""
    made, real = [], Making.variant

    def variant(self, key, draft):
        made.append(key)
        return real(self, key, draft)

    monkeypatch.setattr(Making, "variant", variant)
    model = conv_net()
    if shaped:  # [N, 1, 4]: the classes last
        model.graph.node.append(onnx.helper.make_node("Unsqueeze", ["y", "one"], ["u"]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "one"))
        model.graph.node.append(onnx.helper.make_node("Mul", ["u", "u2"], ["o"]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "u2"))
        model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("o", 1, ["N", 1, 4]))
    facts, image = page.add_model(model.SerializeToString())["model"], page.add_image(photo())
    assert facts["classes"] == 4
    page.explain(model=facts["id"], image=image["id"])
    assert len(made) == 1


def test_steps_are_told_and_what_is_there_is_not_made_again(page):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    steps = [
        [one["progress"]["says"] for one, _ in page.request(model=facts["id"], image=image["id"], **more)[:-1]]
        for more in ({}, {}, {"ledger": True}, {"method": "gradient"}, {"method": "gradient", "targets": [1]})
    ]
    assert steps == [
        ["reading the image", "compiling rsp", "explaining"], ["reading the image", "explaining"],
        ["reading the image", "compiling rsp with the ledger", "explaining"],
        ["reading the model", "reading the image", "compiling gradient", "explaining"],
        ["reading the image", "explaining"],
    ]  # fmt: skip


def test_explainers_that_were_not_used_for_longest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(explainers, "MOST_EXPLAINERS", 2)
    with page_of(tmp_path) as page:
        kept = page.engine.models.explainers
        kept._most = 2
        facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
        for method in ("rsp", "gradient", "rsp", "lrp-0"):
            page.explain(model=facts["id"], image=image["id"], method=method)
        assert list(kept._kept) == [(facts["id"], "rsp"), (facts["id"], "lrp-0")]
        page.json("DELETE", f"models/{facts['id']}")
        assert list(kept._kept) == []


def test_many_at_once_are_all_answered(page):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    alone = {t: page.explain(model=facts["id"], image=image["id"], targets=[t]) for t in range(4)}
    found = {}

    def ask(n):
        found[n] = page.explain(model=facts["id"], image=image["id"], targets=[n % 4])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 16
    for n, answer in found.items():
        assert np.array_equal(answer["explained"][0]["heatmap"], alone[n % 4]["explained"][0]["heatmap"])


def test_the_method_asked_for_stands_first_with_its_parameters(tmp_path):
    with page_of(tmp_path, method="lrp-gamma:gamma=0.5") as page:
        facts = page.add_model(conv_net().SerializeToString())["model"]
        names = [one["name"] for one in facts["methods"]]
        assert names[0] == "lrp-gamma:gamma=0.5" and names.count("lrp-gamma") == 1 and len(names) == len({*names})
        image = page.add_image(photo())
        answer = page.explain(model=facts["id"], image=image["id"], method=names[0])
        assert answer["method"] == names[0]


def test_frames_hold_nothing_but_what_they_say(page):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    answer = page.ask("POST", "explain", json={"model": facts["id"], "image": image["id"], "method": "rsp"})
    said, arrays = read_frames(answer.content)[-1]
    named = {"a0", "a1", "a2", "a3"}
    assert set(arrays) == named and TOKEN not in answer.text
    assert set(said["answer"]) == {
        "scores",
        "probabilities",
        "explained",
        "geometry",
        "method",
        "provider",
        "milliseconds",
    }
