"""`rsp-onnx compare`: the same network in two files agrees, another one does not, and the exit code says which."""

import base64
import io
import json
import re

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper
from PIL import Image

from rsp_onnx.checks import compare_models, comparison_lines
from rsp_onnx.cli.main import main
from rsp_onnx.compare.classes import pair_classes
from rsp_onnx.compare.layers import channels, pair_rows
from rsp_onnx.compare.models import flip
from rsp_onnx.compare.pictures import row_of_panels
from rsp_onnx.compare.run import failures_of, image_files, read_limits
from rsp_onnx.errors import BadInput, BadTarget
from rsp_onnx.evaluate.metrics.randomise import randomised, weight_layers

from .little import signal_net

EVIL = "<script>alert(1)</script>"
MEASURES = ("spearman", "pearson", "ssim", "top-k", "sign")


@pytest.fixture(scope="module")
def digits(repo):
    return repo / "models/digits_pytorch.onnx"


@pytest.fixture(scope="module")
def scenes(repo):
    return sorted((repo / "models/scenes").glob("scene_?.png"))


@pytest.fixture(scope="module")
def broken(digits, tmp_path_factory):
    """The digits model with a convolution in the middle drawn anew."""
    model = onnx.load(digits)
    path = tmp_path_factory.mktemp("models") / "broken.onnx"
    onnx.save(randomised(model, weight_layers(model)[3:4], 0), path)
    return path


@pytest.fixture(scope="module")
def moved(digits, broken, scenes, tmp_path_factory):
    """A comparison whose maps move, with its folder."""
    out = tmp_path_factory.mktemp("compared") / "new" / "folder"
    return compare_models(digits, broken, scenes[:3], device="cpu", out=out, pictures=2), out


def command(*words):
    result = CliRunner().invoke(main, ["compare", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# ---- maps ----


def test_two_exports_of_one_network_agree(repo, digits, scenes):
    results = compare_models(digits, repo / "models/digits_keras.onnx", scenes[:3], device="cpu")
    assert results["summary"]["flips"] == 0
    assert all(results["summary"][m]["worst"] > 0.99 for m in MEASURES)
    assert results["layers"]["how"] == "order" and len(results["layers"]["rows"]) >= 14
    for row in results["layers"]["rows"]:
        assert row["share_a"] == pytest.approx(row["share_b"], abs=1e-4)


def test_a_model_agrees_with_itself_exactly(digits, scenes):
    results = compare_models(digits, digits, scenes[:2], device="cpu")
    assert all(results["summary"][m]["worst"] == pytest.approx(1) for m in MEASURES)
    assert (results["summary"]["score_change"], results["layers"]["how"]) == (0, "names")


def test_a_broken_layer_moves_the_maps_and_flips_predictions(moved):
    results, _ = moved
    assert results["summary"]["spearman"]["median"] < 0.9
    assert results["summary"]["flips"] == 3
    assert {r["image"] for r in results["images"] if r["flip"]} == {r["image"] for r in results["images"]}


def test_models_with_different_input_sizes_are_compared_on_the_photo(digits, scenes, tmp_path):
    photo = tmp_path / "photo.png"
    Image.open(scenes[0]).resize((150, 120)).save(photo)
    results = compare_models(digits, half_as_large(digits, tmp_path), [photo], device="cpu", target=4)
    (record,) = results["images"]
    assert record["spearman"] > 0.3 and record["pearson"] > 0.3
    assert results["models"][1]["preprocessing"]["name"] == "unit"


def half_as_large(path, folder):
    """The digits model behind an input of 48×48 pixels that is doubled first."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = ["doubled" if name == "image" else name for name in node.input]
    factor = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "factor")
    model.graph.initializer.append(factor)
    model.graph.node.insert(0, helper.make_node("Resize", ["image", "", "factor"], ["doubled"], mode="nearest"))
    for d in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        d.dim_value = 48
    onnx.save(model, folder / "half.onnx")
    return folder / "half.onnx"


# ---- what is written ----


def test_the_folder_holds_json_pictures_and_a_page(moved):
    results, out = moved
    pictures = [r["picture"] for r in results["images"] if "picture" in r]
    assert sorted(p.name for p in out.iterdir()) == sorted([*pictures, "compare.json", "report.html"])
    assert len(pictures) == 2
    assert json.loads((out / "compare.json").read_text("utf-8")) == json.loads(json.dumps(results))
    with Image.open(out / pictures[0]) as picture:
        assert picture.width > 3 * picture.height
    page = (out / "report.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 * 2 and page.count("data:image/png;base64,") == 2  # differences
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_the_page_escapes_names(digits, scenes, tmp_path):
    photo = tmp_path / "a & <b>.png"
    photo.write_bytes(scenes[0].read_bytes())
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join([EVIL] + [f"label {i}" for i in range(9)]))
    compare_models(digits, digits, [photo], device="cpu", labels=labels, labels_b=labels, out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert EVIL not in page and "&lt;script&gt;" in page and "<b>.png" not in page


def test_two_runs_say_the_same(digits, broken, scenes, tmp_path):
    pages = []
    for name in ("one", "two"):
        compare_models(digits, broken, scenes[:1], device="cpu", out=tmp_path / name, pictures=1)
        pages.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert pages[0] == pages[1]


def test_the_difference_of_equal_maps_is_white():
    values = np.random.default_rng(0).normal(size=(40, 60))
    picture = np.asarray(row_of_panels(None, (values, values), ("a", "b")))
    assert (picture[20:150, 2 * picture.shape[1] // 3 + 20 : -20] == 255).all()
    assert picture.shape[1] == 3 * (240 + 10) + 10  # no photo, no panel for it


def test_a_signals_map_is_a_row_that_can_be_seen():
    values = np.random.default_rng(0).normal(size=(1, 300))
    picture = np.asarray(row_of_panels(None, (values, -values), ("a", "b"))).astype(int)
    coloured = np.abs(picture[..., 0] - picture[..., 2]) > 60
    assert np.flatnonzero(coloured.any(axis=1)).size >= 40


# ---- the command ----


def test_the_exit_code_is_0_where_the_limits_hold(repo, digits, scenes, tmp_path):
    result = command(digits, repo / "models/digits_keras.onnx", scenes[0], "--device", "cpu", "-o", tmp_path,
                     "--fail-below", "spearman=0.9", "--fail-below", "worst-ssim=0.9", "--max-flips", 0)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "✓ All limits hold." in result.output


def test_the_exit_code_is_1_where_a_limit_does_not_hold(digits, broken, scenes, tmp_path):
    words = (digits, broken, *scenes[:2], "--device", "cpu", "-o", tmp_path, "--no-report", "--fail-below")
    result = command(*words, "spearman=0.9", "--max-flips", 0)
    assert result.exit_code == 1
    assert re.search(r"✗ The median spearman is [-\d.]+, below 0.9\.", result.output)
    assert "✗ 2 of 2 predictions flip; 0 may." in result.output
    results = json.loads(command(*words, "spearman=0.9", "--json").stdout)
    assert len(results["failures"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fail-below", "likeness=1"], "'likeness=1' is not MEASURE=NUMBER"),
        (["--fail-below", "spearman=much"], "'much' is not a number"),
        (["--fail-below", "spearman=2"], "between -1 and 1"),
        (["--class-offset", "1", "--target", "9"], "has no class for 'nine'"),
        (["--class-offset", "90"], "no class of the first model"),
        (["--target", "eleven"], "There is no class 'eleven'"),
    ],
)
def test_what_cannot_run_is_said_in_one_sentence(digits, scenes, tmp_path, words, said):
    result = command(digits, digits, scenes[0], "--device", "cpu", "-o", tmp_path / "out", *words)
    assert result.exit_code == 2 and said in result.output, result.output
    assert not (tmp_path / "out").exists()


def test_missing_images_are_said(digits, tmp_path):
    assert "There is no file" in command(digits, digits, tmp_path / "none.png").output
    (tmp_path / "empty").mkdir()
    assert "holds no photographs" in command(digits, digits, tmp_path / "empty").output


def test_a_folder_stands_for_its_photos(repo):
    assert len(image_files([repo / "models/scenes"])) == 7  # masks are none


# ---- classes ----


def test_classes_match_by_index_offset_or_name():
    assert pair_classes((3, 3)).to_b == {0: 0, 1: 1, 2: 2}
    assert pair_classes((3, 4), offset=1).to_b == {0: 1, 1: 2, 2: 3}
    assert pair_classes((3, 2), offset=-1).to_b == {1: 0, 2: 1}
    names = ["Cat, tom", "dog", "bird"], ["background", "bird", "cat"]
    named = pair_classes((3, 3), names)
    assert (named.how, named.to_b) == ("name", {0: 2, 2: 1})
    with pytest.raises(BadTarget, match="'dog'"):
        named.of(1)


def test_names_that_occur_twice_match_none():
    assert pair_classes((3, 3), (["crane", "crane", "owl"], ["owl", "crane", "ant"])).to_b == {2: 0}


def test_other_counts_without_names_are_an_error():
    with pytest.raises(BadInput, match=r"1000 and 1001 .* the second has a background .* --class-offset 1"):
        pair_classes((1000, 1001))
    with pytest.raises(BadInput, match=r"--class-offset -1"):
        pair_classes((1001, 1000))


def test_a_flip_is_another_winner_or_another_set_of_present_classes():
    pairs = pair_classes((3, 4), offset=1)
    a, b = np.array([0.1, 0.9, 0.6]), np.array([0.0, 0.1, 0.6, 0.9])
    assert flip((a, b), pairs, False) == {
        "predicted_a": 1, "predicted_b": 2, "predicted_b_own": 3, "flip": True, "changed": [1, 2],
    }  # fmt: skip
    assert flip((a, b), pairs, True)["flip"] is False
    assert flip((a, np.array([0.0, 0.1, 0.9, 0.4])), pairs, True)["changed"] == [2]
    assert flip((a, np.array([1.0, 0.1, 0.9, 0.6])), pairs, False)["changed"] == [1]  # background wins


# ---- layers ----


def test_channels_are_told_from_the_sizes():
    assert [channels(d) for d in [(None, 64, 12, 12), (1, 12, 12, 64), (1, 10), (1, 49, 64), (1, None, 3)]] == [
        64, 64, 10, 64, None,
    ]  # fmt: skip


def test_rows_pair_by_name_else_by_order_else_not_at_all():
    assert pair_rows(["x", "y", "z"], ["y", "x", "w"], ([1] * 3, [1] * 3))[1] == "names"
    rows, how = pair_rows(["a", "b", "c"], ["p", "q", "r", "s"], ([64, 32, 3], [64, 64, 32, 3]))
    assert (how, rows) == ("order", [("a", "q"), ("b", "r"), ("c", "s")])
    assert pair_rows(["a", "b"], ["p", "q"], ([5, 6], [7, 8])) == ([], "none")


# ---- limits ----


def test_limits_are_of_the_median_or_of_the_worst():
    assert read_limits(["ssim=0.5", "worst-sign=0.25"]) == {"ssim": 0.5, "worst-sign": 0.25}
    summary = {"flips": 0, "images": 1, "ssim": {"median": 0.6, "worst": 0.1, "worst_image": "p/x.png"}}
    assert failures_of(summary, {"ssim": 0.5}, None) == []
    assert failures_of(summary, {"worst-ssim": summary["ssim"]["worst"], "ssim": summary["ssim"]["median"]}, None) == []
    assert failures_of(summary, {"worst-ssim": 0.5}, 0) == ["The worst ssim is 0.100 (x.png), below 0.5."]


def test_the_text_names_flips_and_layers(moved):
    text = "\n".join(comparison_lines(moved[0]))
    assert text.count("flips: scene_") == 3 and "tensors correspond by name" in text


def test_a_signal_is_drawn_as_its_lines(tmp_path):
    """Not as the strip that a difference is: the picture is as high as explain's."""
    models = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in models:
        path.write_bytes(signal_net().SerializeToString())
    shape = [size.dim_value or 1 for size in signal_net().graph.input[0].type.tensor_type.shape.dim]
    np.save(tmp_path / "signal.npy", np.random.default_rng(0).random(shape, np.float32))
    compare_models(*models, [tmp_path / "signal.npy"], device="cpu", out=tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text("utf-8")
    sizes = []
    for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page):
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            sizes.append(picture.size)
    assert len(sizes) == 3 and sizes[0] == sizes[1] and sizes[0][1] > 2 * sizes[2][1]
