"""Real models on real photographs: the dog red and the cat blue, whatever the layout and the precision."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from rsp_onnx import Explainer
from rsp_onnx.cli.main import main

from .running import assert_scores_close, correlation, relative_l2

# name, what it guesses as preprocessing, index of the first ImageNet class
MODELS = {
    "squeezenet1.1_nchw_fp32": ("imagenet-torch", 0),
    "squeezenet1.0_nchw_fp16": ("imagenet-caffe", 0),
    "mobilenet_v2_nhwc_fp32": ("imagenet-tf", 1),
    "mobilenet_v2_nhwc_int8_qdq": ("raw", 1),
}
DOG, CAT, ELEPHANT, ZEBRA = 243, 282, 386, 340


@pytest.fixture(scope="module")
def explainers(shared_data):
    return {name: Explainer(shared_data / f"models/{name}.onnx", device="cpu") for name in MODELS}


def halves(heatmap, axis):
    """Sums over the first and the second half along an axis."""
    first, second = np.array_split(heatmap.astype(np.float64), 2, axis)
    return first.sum(), second.sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_dog_is_red_and_the_cat_blue_and_the_other_way_round(explainers, shared_data, name):
    explainer, (guess, first) = explainers[name], MODELS[name]
    photo = shared_data / "images/two_objects/dog_cat.png"
    for target, hostile, sign in ((DOG, CAT, 1), (CAT, DOG, -1)):
        found = explainer.explain(photo, target + first, hostile + first)
        upper, lower = halves(found.heatmap_original, 0)
        assert sign * upper > 0 > sign * lower
        # not by a hair: each half is of one colour
        strength = np.abs(found.heatmap_original).sum(dtype=np.float64)
        assert min(abs(upper), abs(lower)) > 0.35 * strength
        # the models mean the dog: that the cat is far behind is all that is to be said
        far = found.rank > 5 or found.probability < 0.01
        assert [w.partition(": ")[0] for w in found.warnings] == (
            [f"class {target + first} is not what the model predicts"] if far else []
        )
    assert (explainer.preprocess.name, explainer.preprocess.source) == (guess, "guessed")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_elephant_is_right_and_the_zebra_left(explainers, shared_data, name):
    explainer, (_, first) = explainers[name], MODELS[name]
    photo = shared_data / "images/two_objects/el1.png"
    for target, hostile, sign in ((ZEBRA, ELEPHANT, 1), (ELEPHANT, ZEBRA, -1)):
        left, right = halves(explainer.explain(photo, target + first, hostile + first).heatmap_original, 1)
        assert sign * left > 0 > sign * right


@pytest.mark.slow
@pytest.mark.parametrize(("target", "hostile"), [(DOG, CAT), (CAT, DOG)])
def test_int8_and_fp32_maps_correlate(explainers, shared_data, target, hostile):
    # measured: 0.9992 (heatmap), 0.9992 (relevance of all channels)
    photo = shared_data / "images/two_objects/dog_cat.png"
    maps = [
        explainers[f"mobilenet_v2_nhwc_{kind}"].explain(photo, target + 1, hostile + 1) for kind in ("fp32", "int8_qdq")
    ]
    for field in ("heatmap", "relevance", "heatmap_original"):
        assert correlation(*(getattr(m, field) for m in maps)) > 0.99
    assert maps[0].predicted == maps[1].predicted == DOG + 1


def test_the_command_of_the_issue(shared_data, tmp_path):
    arguments = ["explain", str(shared_data / "models/squeezenet1.1_nchw_fp32.onnx")]
    arguments += [str(shared_data / "images/two_objects/dog_cat.png"), "--target", "bull mastiff"]
    arguments += ["--hostile", "282", "--labels", str(shared_data / "labels/imagenet_1000_synset_words.txt")]
    result = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    (record,) = json.loads(result.stdout)
    assert (record["target"], record["hostile"]) == (DOG, [CAT])
    assert (record["target_label"], record["hostile_labels"]) == ("bull mastiff", ["tiger cat"])
    with np.load(tmp_path / "dog_cat.243.npz") as arrays:
        upper, lower = halves(arrays["heatmap_original"], 0)
    assert upper > 0 > lower
    assert record["relevance_sums"]["total"] == pytest.approx(1, abs=1e-3)


def test_scores_are_the_deployed_models_own(explainers, shared_data):
    import onnxruntime as ort

    photo = shared_data / "images/two_objects/dog_cat.png"
    for name, explainer in explainers.items():
        own = ort.InferenceSession(str(shared_data / f"models/{name}.onnx"), providers=["CPUExecutionProvider"])
        (want,) = own.run(None, explainer.feeds(photo))
        (got,) = explainer.explain(photo, 7).outputs.values()
        if "fp16" in name:  # on CPU the runtime itself drops pairs of casts where a tensor is also read as float32
            np.testing.assert_allclose(got, want[0], rtol=2e-3, atol=1e-6)
        else:
            assert_scores_close(got, want[0])


def test_the_residual_net_and_a_batch_of_photos(shared_data):
    explainer = Explainer(shared_data / "models/resnet20_cifar10_nchw_fp32.onnx", device="cpu")
    photos = sorted((shared_data / "images/ilsvrc_val").glob("*.JPEG"))[:5]
    batch = explainer.explain_batch(photos, batch_size=3)
    for photo, (together,) in zip(photos, batch, strict=True):
        alone = explainer.explain(photo)
        assert relative_l2(together.relevance, alone.relevance) < 1e-6
        assert together.heatmap_original.shape == (together.photo.height, together.photo.width)
