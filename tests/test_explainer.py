"""The library: whatever a person hands over, the same explanation comes back."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

from rsp_onnx import BadInput, BadModel, BadOutput, BadTarget, Explainer, Preprocess, RspError, compile_explainer

from .little import conv_net, gray_net, nhwc_net, signal_net, table_net, two_input_net, volume_net
from .running import relative_l2, run

UNIT = {"preprocess": "unit", "device": "cpu"}


@pytest.fixture(scope="module")
def digits(repo):
    return Explainer(repo / "models/digits_pytorch.onnx", device="cpu")


@pytest.fixture(scope="module")
def scene(repo):
    return repo / "models/scenes/scene_0.png"


def photo(height=20, width=30, seed=0):
    """Noise with a bright corner, so that directions show."""
    pixels = np.random.default_rng(seed).integers(0, 120, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] += 120
    return pixels


def same(a, b):
    return relative_l2(a.relevance, b.relevance) < 1e-6


# ---- models ----


def test_a_model_is_a_path_bytes_or_a_proto(repo, digits, scene):
    path = repo / "models/digits_pytorch.onnx"
    want = digits.explain(scene)
    for model in (str(path), path.read_bytes(), onnx.load(path)):
        assert np.array_equal(Explainer(model, device="cpu").explain(scene).relevance, want.relevance)


@pytest.mark.parametrize("attributes", [False, True])
def test_external_data_is_found_beside_the_file(repo, digits, scene, tmp_path, attributes, monkeypatch):
    onnx.save(
        onnx.load(repo / "models/digits_pytorch.onnx"), tmp_path / "m.onnx", save_as_external_data=True,
        location="weights.bin", size_threshold=0, convert_attribute=attributes,
    )  # fmt: skip
    monkeypatch.chdir("/")
    found = Explainer(tmp_path / "m.onnx", device="cpu").explain(scene)
    assert np.array_equal(found.relevance, digits.explain(scene).relevance)


def test_a_large_model_stays_in_its_data_file(repo, digits, scene, tmp_path, monkeypatch):
    onnx.save(
        onnx.load(repo / "models/digits_pytorch.onnx"), tmp_path / "m.onnx", save_as_external_data=True,
        location="weights.bin", size_threshold=0,
    )  # fmt: skip
    for module in ("model.load", "model.serialise", "explain.saving"):
        monkeypatch.setattr(f"rsp_onnx.{module}.is_large", lambda model, *limit: True)
    found = Explainer(tmp_path / "m.onnx", device="cpu").explain(scene)
    assert np.array_equal(found.relevance, digits.explain(scene).relevance)


def test_half_precision():
    model = conv_net(dtype="float16")
    found = Explainer(model, **UNIT).explain(photo(), 1, 2)
    want = Explainer(conv_net(), **UNIT).explain(photo(), 1, 2)
    assert found.relevance.dtype == np.float32
    assert relative_l2(found.relevance, want.relevance) < 0.02


def test_channels_last_gives_the_same_map():
    first, last = (Explainer(m, **UNIT).explain(photo(), 1, 2) for m in (conv_net(), nhwc_net()))
    assert first.relevance.shape == last.relevance.shape == (3, 12, 12)
    assert relative_l2(last.relevance, first.relevance) < 1e-5
    assert last.relevances["x"].shape == (12, 12, 3)


@pytest.mark.parametrize("axes", [3, 4])
def test_gray_models(axes):
    found = Explainer(gray_net(axes), **UNIT).explain(photo(), 1)
    assert found.relevance.shape == (1, 12, 12)
    assert found.heatmap.shape == (12, 12)
    assert found.heatmap_original.shape == (20, 30)
    assert found.image().size[0] > 100


@pytest.mark.parametrize(
    ("model", "shape", "heatmap"),
    [(signal_net(), (2, 32), (32,)), (table_net(), (7,), (7,)), (volume_net(), (1, 6, 7, 8), (6, 7, 8))],
    ids=["signal", "table", "volume"],
)
def test_inputs_that_are_no_images(tmp_path, model, shape, heatmap):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    explainer = Explainer(model, device="cpu")
    found = explainer.explain(tmp_path / "x.npy", 1)
    assert found.relevance.shape == shape
    assert found.heatmap.shape == found.heatmap_original.shape == heatmap
    assert same(found, explainer.explain(x[None], 1))
    assert found._repr_png_() is not None and found.image().width == (664 if len(heatmap) > 2 else 860)
    found.save(tmp_path / "map.npz")
    if len(shape) != 2:  # a signal [C, L] cannot be told from a gray image [H, W]
        with pytest.raises(BadInput, match=r"\.npy or \.npz"):
            explainer.explain(photo(), 1)


def test_several_inputs_by_name(tmp_path):
    rng = np.random.default_rng(0)
    feeds = {"left": rng.normal(size=(1, 3, 8, 8)), "right": rng.normal(size=(1, 1, 8, 8))}
    feeds = {k: v.astype(np.float32) for k, v in feeds.items()}
    np.savez(tmp_path / "both.npz", **feeds)
    explainer = Explainer(two_input_net(), device="cpu")
    found = explainer.explain(tmp_path / "both.npz", 1)
    assert {k: v.shape for k, v in found.relevances.items()} == {"left": (3, 8, 8), "right": (1, 8, 8)}
    assert same(found, explainer.explain({k: v[0] for k, v in feeds.items()}, 1))
    found.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as arrays:
        assert np.array_equal(arrays["relevance/right"], found.relevances["right"])
    compiled = compile_explainer(two_input_net())
    raw = run(compiled, {**feeds, "target": np.array([[1]]), "hostile": np.zeros((1, 1, 0), np.int64)})
    np.testing.assert_allclose(raw["relevance/right"][0, 0], found.relevances["right"], rtol=0, atol=1e-6)
    for image in (photo(), feeds["left"]):
        with pytest.raises(BadInput, match="'left', 'right'"):
            explainer.explain(image, 1)
    with pytest.raises(BadInput, match="'right'"):
        explainer.explain({"left": feeds["left"]}, 1)


# ---- images ----


def test_an_image_comes_as_path_pil_pixels_or_tensor(digits, scene, tmp_path):
    want = digits.explain(scene, 0)
    pixels = np.asarray(Image.open(scene).convert("RGB"))
    feeds = digits.feeds(scene)
    np.save(tmp_path / "x.npy", feeds["image"])
    np.savez(tmp_path / "x.npz", **feeds)
    ways = [str(scene), Image.open(scene), pixels, feeds["image"], feeds["image"][0], feeds]
    for way in [*ways, tmp_path / "x.npy", str(tmp_path / "x.npz")]:
        assert np.array_equal(digits.explain(way, 0).relevance, want.relevance)
    assert digits.explain(scene, 0).photo.size == (96, 96)
    assert digits.explain(feeds, 0).photo is None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((1, 3, 96, 96)), "float64"),
        (np.zeros((1, 3, 95, 96), np.float32), "1×3×96×96, not 1×3×95×96"),
        (np.zeros((96, 96, 3), np.float32), "1×3×96×96, not 1×96×96×3"),
        (np.zeros((2, 3, 96, 96), np.float32), "2 items"),
        (np.zeros((0, 3, 96, 96), np.float32), "0 items"),
        (np.full((3, 96, 96), np.nan, np.float32), "NaN"),
        ({"picture": np.zeros((1, 3, 96, 96), np.float32)}, "no input 'picture'"),
        ({}, "no tensor for the input 'image'"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(digits, bad, words):
    with pytest.raises(BadInput, match=words):
        digits.explain(bad)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_the_map_lies_on_the_photo(resize, shape):
    explainer = Explainer(conv_net(), preprocess="unit", resize=resize, device="cpu")
    found = explainer.explain(photo(*shape), 1, 2)
    own = found.heatmap_original
    assert own.shape == shape
    assert (found.photo.height, found.photo.width) == shape
    if resize == "crop":  # what the model never saw has no relevance
        assert not own[0, 0]
        assert not own[-1, -1]
    if resize == "stretch":  # turning the photo over turns the map over: no half pixel of shift
        turned = explainer.explain(np.ascontiguousarray(photo(*shape)), 1, 2).heatmap_original
        assert np.array_equal(turned, own)
    assert found.image().width > shape[1]


def test_a_rotated_photo_is_turned_upright(digits, scene, tmp_path):
    upright = Image.open(scene).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(digits.explain(tmp_path / "turned.png", 0).relevance, digits.explain(scene, 0).relevance)


# ---- preprocessing ----


def test_where_preprocessing_comes_from(repo, tmp_path):
    raw = (repo / "models/digits_pytorch.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(raw)
    (tmp_path / "bare.onnx").write_bytes(conv_net().SerializeToString())

    def source(name, **options):
        found = Explainer(tmp_path / name, device="cpu", **options).preprocess
        return found.name, found.source

    assert source("m.onnx")[1] == "metadata"
    assert source("bare.onnx") == ("imagenet-torch", "guessed")
    assert source("m.onnx", preprocess="imagenet-tf") == ("imagenet-tf", "preset")
    assert source("bare.onnx", mean=(0.5,)) == ("imagenet-torch with own mean", "guessed")
    (tmp_path / "m.preprocess.toml").write_text("mean = [0.5]\n")
    assert source("m.onnx") == ("m", "file")
    assert source("m.onnx", preprocess={"scale": 2.0})[1] == "given"
    assert source("m.onnx", preprocess=Preprocess("mine"))[0] == "mine"


def test_single_values_override_and_the_rest_stays():
    explainer = Explainer(conv_net(), std=(0.5,), device="cpu")
    assert explainer.preprocess.std == (0.5,)
    assert explainer.preprocess.mean == (0.485, 0.456, 0.406)


def test_a_free_size_is_the_default_or_given():
    model = conv_net(size=("H", "W"))
    assert Explainer(model, **UNIT).feeds(photo())["x"].shape == (1, 3, 224, 224)
    explainer = Explainer(model, size=(10, 14), **UNIT)
    assert explainer.explain(photo(), 1).relevance.shape == (3, 10, 14)
    # ready tensors may be of any size, each compiled once
    for size in ((9, 9), (16, 12), (9, 9)):
        x = np.random.default_rng(1).normal(size=(1, 3, *size)).astype(np.float32)
        fixed = Explainer(conv_net(size=size), device="cpu").explain(x, 1, 2)
        assert same(explainer.explain(x, 1, 2), fixed)
    assert len(explainer._compiled._kept) == 3


# ---- classes ----


def test_targets_and_what_comes_back(digits, scene):
    one = digits.explain(scene)
    assert one.target == one.predicted == 0
    assert (one.label, digits.explain(scene, "Zero").target) == ("zero", 0)
    assert [e.target for e in digits.explain(scene, "topk:3")] == [0, 4, 7]
    assert [e.target for e in digits.explain(scene, [2, "zero", "auto"])] == [2, 0]
    assert isinstance(digits.explain(scene, [2]), list)
    assert digits.explain(scene, np.int64(2)).target == 2
    assert one.scores.shape == (10,)
    assert one.score == one.scores[0]
    np.testing.assert_allclose(digits.scores(scene), one.scores, rtol=0, atol=1e-6)


def test_several_targets_equal_one_at_a_time(digits, scene):
    for found in digits.explain(scene, [2, 0, 4], "auto"):
        assert same(found, digits.explain(scene, found.target))
        assert found.target not in found.hostile


def test_hostile_classes(digits, scene):
    assert digits.explain(scene, 0).hostile == (4, 7, 2)  # multi-label: the other digits present
    assert digits.explain(scene, 0, "none").hostile == ()
    assert digits.explain(scene, 0, [4, "two", 4]).hostile == (4, 2)
    assert digits.explain(scene, 0, [0, 4]).hostile == (4,)
    single = Explainer(conv_net(end="Softmax<axis=1>"), **UNIT)
    assert single.explain(photo(), 1).hostile == ()  # single-label: none
    runners = single.explain(photo(), "auto", "runners-up")
    scores = runners.scores
    assert runners.hostile == tuple(int(i) for i in np.argsort(-scores)[1:6] if scores[i] >= 0.05)
    several = Explainer(conv_net(end="Sigmoid"), **UNIT).explain(photo(), 1)
    assert set(several.hostile) == {int(i) for i in np.flatnonzero(several.scores > 0.5)} - {1}


@pytest.mark.parametrize(
    ("target", "hostile", "words"),
    [
        (10, "none", r"There is no class 10: this model's classes are 0\.\.9"),
        (-1, "none", "There is no class -1"),
        ("eigth", "none", r"nearest are 8 \(eight\)"),
        ("topk:0", "none", "topk:N with N from 1 to 10"),
        ("topk:x", "none", "topk:N"),
        ([], "none", "No target"),
        (0, 0, "is the target itself"),
        (0, 99, "There is no class 99"),
    ],
)
def test_a_class_that_is_not_there(digits, scene, target, hostile, words):
    with pytest.raises(BadTarget, match=words):
        digits.explain(scene, target, hostile)


def test_labels_are_checked_against_the_model(scene, repo):
    with pytest.raises(BadInput, match="9 labels, but the model has 10"):
        Explainer(repo / "models/digits_pytorch.onnx", labels=list("abcdefghi"), device="cpu").explain(scene)
    named = Explainer(repo / "models/digits_pytorch.onnx", labels=list("abcdefghij"), device="cpu")
    assert named.explain(scene, "c").target == 2


# ---- batches, threads ----


def test_a_batch_equals_one_by_one(digits, repo):
    scenes = sorted((repo / "models/scenes").glob("scene_?.png"))
    for size in (1, 3, 8):
        batch = digits.explain_batch(scenes, "topk:2", batch_size=size)
        assert [len(found) for found in batch] == [2] * len(scenes)
        for path, found in zip(scenes, batch, strict=True):
            for together, alone in zip(found, digits.explain(path, "topk:2"), strict=True):
                assert (together.target, together.hostile) == (alone.target, alone.hostile)
                assert same(together, alone)
                assert together.ledger == pytest.approx(alone.ledger, rel=1e-4, abs=1e-5)
                assert together.warnings == alone.warnings


def test_every_item_of_a_batch_has_the_models_outputs_for_itself(digits, repo):
    scenes = sorted((repo / "models/scenes").glob("scene_?.png"))[:3]
    outputs = [found.outputs["present"] for (found,) in digits.explain_batch(scenes, 1)]
    for path, output in zip(scenes, outputs, strict=True):
        np.testing.assert_allclose(output, digits.scores(path), atol=1e-6)
    assert not np.allclose(outputs[0], outputs[1])


def test_photos_of_different_sizes_in_one_batch(digits):
    photos = [photo(20, 30), photo(50, 20, 1), photo(96, 96, 2)]
    batch = digits.explain_batch(photos, 3, "none")
    assert [found[0].heatmap_original.shape for found in batch] == [p.shape[:2] for p in photos]


def test_tensors_of_different_sizes_in_one_batch():
    explainer = Explainer(conv_net(size=("H", "W")), device="cpu")
    rng = np.random.default_rng(0)
    sizes = [(8, 8), (8, 8), (9, 7), (8, 8)]
    tensors = [rng.normal(size=(1, 3, *size)).astype(np.float32) for size in sizes]
    for x, (found,) in zip(tensors, explainer.explain_batch(tensors, 1), strict=True):
        assert same(found, explainer.explain(x, 1))


@pytest.mark.parametrize("fixed", [1, 2])
def test_a_fixed_batch_size(fixed):
    free, bound = (Explainer(conv_net(batch=b), **UNIT) for b in ("N", fixed))
    photos = [photo(seed=s) for s in range(3)]
    for one, other in zip(free.explain_batch(photos), bound.explain_batch(photos), strict=True):
        assert one[0].target == other[0].target
        assert same(other[0], one[0])
    assert np.allclose(bound.scores(photos[0]), free.scores(photos[0]))
    tensor = free.feeds(photos[0])["x"]
    assert same(bound.explain(tensor, 1), free.explain(tensor, 1))


def test_an_empty_batch_and_a_batch_size_of_nothing(digits, scene):
    assert digits.explain_batch([]) == []
    with pytest.raises(BadInput, match="batch size"):
        digits.explain_batch([scene], batch_size=0)


def test_many_threads_get_the_same(repo):
    explainer = Explainer(repo / "models/digits_pytorch.onnx", device="cpu", threads=1)
    scenes = sorted((repo / "models/scenes").glob("scene_?.png"))[:4] * 2
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(explainer.explain, scenes))
    for path, one in zip(scenes, found, strict=True):
        assert np.array_equal(one.relevance, explainer.explain(path).relevance)
    assert len(explainer._compiled._kept) == 1


# ---- the result ----


def test_what_an_explanation_holds(digits, scene):
    found = digits.explain(scene, 4)
    assert (found.relevance.dtype, found.relevance.shape) == (np.float32, (3, 96, 96))
    assert (found.heatmap.dtype, found.heatmap.shape) == (np.float32, (96, 96))
    np.testing.assert_allclose(found.heatmap, found.relevance.sum(0), atol=1e-6)
    assert list(found.ledger)[-1] == "image"
    assert all(total == pytest.approx(1, abs=1e-3) for name, total in found.ledger.items() if name == "image")
    sums = found.sums()
    assert sums["total"] == pytest.approx(sums["positive"] + sums["negative"])
    assert (found.provider, digits.provider, found.method) == ("CPUExecutionProvider", "CPUExecutionProvider", "rsp")
    assert np.array_equal(found.outputs["present"], found.scores)
    assert repr(found).startswith("<Explanation of 'four' (class 4, probability 1.000) against zero · seven")
    assert "against zero · seven · two:" in repr(found)
    assert found._repr_png_()[:4] == b"\x89PNG"


def test_relevance_at_any_tensor(digits, scene):
    names = ["/digits/Relu_3_output_0", "/digits/pool_2/MaxPool_output_0"]
    found = digits.explain(scene, 4, tensors=names)
    assert set(found.relevances) == {"image", *names}
    assert found.relevances[names[0]].shape == (64, 12, 12)
    assert found.relevances[names[0]].sum() == pytest.approx(found.ledger[names[0]], abs=1e-4)
    assert same(found, digits.explain(scene, 4))
    with pytest.raises(BadInput, match="there is no such tensor"):
        digits.explain(scene, 4, tensors=["nowhere"])


def test_saving(digits, scene, tmp_path):
    found = digits.explain(photo(30, 50), 4, "none")
    found.save(tmp_path / "a.png")
    found.save(str(tmp_path / "a.npz"))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
    with np.load(tmp_path / "a.npz") as arrays:
        assert {k: arrays[k].shape for k in arrays} == {
            "relevance": (3, 96, 96), "heatmap": (96, 96), "heatmap_original": (30, 50),
        }  # fmt: skip
        assert all(arrays[k].dtype == np.float32 for k in arrays)
    with pytest.raises(BadInput, match=r"\.png, \.svg or \.pdf \(picture\) or \.npz"):
        found.save(tmp_path / "a.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(BadOutput, match="there is no folder"):
        found.save(tmp_path / "file/a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "a.png", "file"]


def test_a_map_of_nothing_is_reported_not_drawn(tmp_path):
    model = conv_net()
    for weight in model.graph.initializer:
        if weight.name == "c":
            weight.raw_data = np.full(6, -1e6, np.float32).tobytes()  # every Relu is dead
    found = Explainer(model, **UNIT).explain(photo(), 1)
    assert found.is_zero
    assert "zero everywhere" in found.warnings[0]
    assert found._repr_png_() is None
    found.save(tmp_path / "a.npz")
    with pytest.raises(BadInput, match="nothing to draw"):
        found.save(tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_no_evidence_for_a_class_is_a_warning():
    model = conv_net()
    for weight in model.graph.initializer:
        if weight.name == "v":
            v = np.frombuffer(weight.raw_data, np.float32).reshape(4, 6).copy()
            v[2] = -np.abs(v[2])  # no channel of the section speaks for class 2
            weight.raw_data = v.tobytes()
    explainer = Explainer(model, **UNIT)
    assert explainer.explain(photo(), 1).warnings == ()
    (note,) = explainer.explain(photo(), 1, 2).warnings
    assert "nothing in the model's section speaks for class 2" in note
    (note,) = explainer.explain(photo(), 2).warnings
    assert "class 2" in note


@pytest.mark.parametrize("method", ["rsp", "gradient", "grad-cam", "hires-cam"])
def test_every_method(digits, repo, scene, method):
    explainer = Explainer(repo / "models/digits_pytorch.onnx", device="cpu", method=method)
    found = explainer.explain(scene, 4)
    assert (found.method, found.heatmap.shape, found.is_zero) == (method, (96, 96), False)
    found.image()


def test_scores_that_are_not_finite_are_an_error():
    model = conv_net()
    x = np.full((1, 3, 12, 12), 1e38, np.float32)
    with pytest.raises(BadModel, match="NaN or infinite"):
        Explainer(model, device="cpu").explain(x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "magic"}, "the methods are rsp, gradient, "),
        ({"device": "tpu"}, "The device is one of auto, cpu, cuda"),
        ({"preprocess": "imagenet"}, "neither a preprocessing preset nor a file"),
        ({"preprocess": {"scal": 1}}, "unknown key 'scal'"),
        ({"means": (1,)}, "unknown key 'means'"),
        ({"labels": []}, "no labels"),
    ],
)
def test_wrong_parameters_are_reported_at_once(options, words):
    with pytest.raises(RspError, match=words):
        Explainer(conv_net(), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"section": "nowhere"}, "possible ones are"),
        ({"output": "nowhere"}, "its outputs are 'y'"),
        ({"split": 0.0}, "split is a positive number"),
        ({"signed_inputs": "both"}, "'clamp' or 'abs'"),
    ],
)
def test_wrong_names_are_reported_when_compiling(options, words):
    with pytest.raises(BadInput, match=words):
        Explainer(conv_net(), **UNIT, **options).explain(photo())


def test_options_reach_the_graph(digits, repo, scene):
    path = repo / "models/digits_pytorch.onnx"
    want = digits.explain(scene, 0).relevance
    for options in ({"purge": True}, {"split": 3.0}, {"section": "/digits/Relu_3_output_0"}):
        assert not np.allclose(Explainer(path, device="cpu", **options).explain(scene, 0).relevance, want, atol=1e-6)


def test_metadata_of_the_compiled_file(repo):
    compiled = compile_explainer(repo / "models/digits_pytorch.onnx", purge=True)
    notes = {p.key: p.value for p in compiled.metadata_props}
    assert notes["rsp_onnx.method"] == "rsp"
    assert json.loads(notes["rsp_onnx.parameters"])["purge"] is True
    assert len(notes["rsp_onnx.source_sha256"]) == 64
    assert json.loads(notes["rsp_onnx.labels"])[3] == "three"


TIME_IN_FRONT = """<ir_version: 8, opset_import: ["" : 18]> net (float[5, 1, 3] x) => (float[1, 2] y)
    <float[3, 4] w = {1, 2, -1, 3, 0.5, 1, 2, -2, 1, 1, 0.3, 2}, float[4, 2] v = {1, -1, 2, 1, 0.5, 2, 1, 3}> {
    a = Constant<value = int64[1] {0}>() t = MatMul(x, w) r = Relu(t) s = ReduceMean<keepdims = 0>(r, a)
    y = MatMul(s, v) }"""


def test_time_in_front_of_one_sample_is_one_item():
    model = onnx.parser.parse_model(TIME_IN_FRONT)
    explainer = Explainer(model)
    x = np.random.default_rng(0).normal(size=(5, 1, 3)).astype(np.float32)
    found = explainer.explain(x, target=1, tensors=["r"])
    assert found.relevance.shape == (5, 1, 3) and found.relevances["r"].shape == (5, 1, 4)
    session = ort.InferenceSession(compile_explainer(model).SerializeToString(), providers=["CPUExecutionProvider"])
    asked = {"target": np.array([[1]]), "hostile": np.zeros((1, 1, 0), np.int64)}
    (want,) = session.run(["relevance"], {"x": x, **asked})
    np.testing.assert_allclose(found.relevance, want[0], rtol=1e-5, atol=1e-7)
    with pytest.raises(BadInput, match="must have the shape 5×1×3, not 4×1×3"):
        explainer.explain(x[:4], target=1)


def test_relevance_whose_samples_are_mixed_is_refused():
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]> net (float[N, 4] x) => (float[N, 2] y)
        <float[4, 2] v = {1, -1, 2, 1, 0.5, 2, 1, 3}> {
        r = Relu(x) t = Transpose(r) u = Transpose(t) y = MatMul(u, v) }""")
    explainer = Explainer(model, section="u")
    x = np.ones((1, 4), np.float32)
    assert explainer.explain(x, target=0, tensors=["r"]).relevances["r"].shape == (4,)
    with pytest.raises(BadInput, match="at 't' cannot be told apart by sample"):
        explainer.explain(x, target=0, tensors=["t"])
