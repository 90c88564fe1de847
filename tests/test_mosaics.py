"""Mosaics: four photos of four classes that the model is sure of, and a grid pointing game played on them."""

import csv
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from rsp_onnx import Explainer
from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.metrics.catalogue import find_metric
from rsp_onnx.evaluate.metrics.protocol import Case, Truth

REPO = Path(__file__).parent.parent
COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250), "white": (250, 250, 250)}
SIDE = 16


@pytest.fixture(scope="module")
def mosaics():
    spec = importlib.util.spec_from_file_location("mosaics_script", REPO / "benchmarks" / "mosaics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def colour_model(path, side):
    """Write a network that tells red, green, blue and white photos by the mean of what a convolution finds."""
    weights = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [1, 1, 1]], np.float32)[:, :, None, None] * 8
    bias = np.array([0, 0, 0, -10], np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, side, side])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(
        model, {"rsp_onnx.preprocess": '{"preset": "unit"}', "rsp_onnx.labels": '["red","green","blue","white"]'}
    )
    onnx.save(model, path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Write a folder of classes with photos of other sizes, one dull photo, one of the wrong folder, one broken."""
    for place, (name, colour) in enumerate(COLOURS.items()):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for n in range(2):
            Image.new("RGB", (20 + place, 30), colour).save(tmp_path / "photos" / name / f"{n}.png")
    Image.new("RGB", (20, 20), (60, 55, 55)).save(tmp_path / "photos" / "red" / "dull.png")
    Image.new("RGB", (20, 20), COLOURS["blue"]).save(tmp_path / "photos" / "red" / "wrong.png")
    (tmp_path / "photos" / "green" / "broken.png").write_bytes(b"no photo")
    return tmp_path


def make(mosaics, folder, *words, out="out"):
    model = colour_model(folder / "model.onnx", SIDE)
    given = [
        model,
        folder / "photos",
        "--format",
        "folder",
        "--out",
        folder / out,
        "--device",
        "cpu",
        "--count",
        6,
        *words,
    ]
    assert mosaics.main([str(w) for w in given]) == 0
    return open_dataset("csv", folder / out, classes=4)


def test_mosaics_are_four_different_classes_in_their_cells(mosaics, photos, capsys):
    dataset = make(mosaics, photos)
    printed = capsys.readouterr()
    assert "6 mosaics of 8 photos" in printed.out and "broken.png" in printed.err
    assert len(dataset) == 6
    for item in map(dataset.__getitem__, range(6)):
        assert item.targets == (0, 1, 2, 3)
        picture = np.asarray(Image.open(item.image))
        assert picture.shape == (2 * SIDE, 2 * SIDE, 3)
        for thing in item.things:
            left, top, right, bottom = map(int, thing.box)
            assert (right - left, bottom - top) == (SIDE - 1, SIDE - 1)
            cell = picture[top : bottom + 1, left : right + 1].reshape(-1, 3)
            assert set(map(tuple, cell.tolist())) == {list(COLOURS.values())[thing.class_index]}


def test_mosaics_depend_on_the_seed_alone(mosaics, photos):
    tables = []
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        make(mosaics, photos, "--seed", seed, out=out)
        tables.append((photos / out / "boxes.csv").read_bytes())
    assert tables[0] == tables[1] != tables[2]
    assert (photos / "a" / "mosaic_0000.png").read_bytes() == (photos / "b" / "mosaic_0000.png").read_bytes()


def test_the_grid_pointing_game_runs_on_mosaics(mosaics, photos):
    """On a network that sees colours pixel by pixel, the right cell holds all of the relevance."""
    dataset = make(mosaics, photos, "--free-model", photos / "free.onnx")
    metric = find_metric("grid-pointing")
    for model, extra in ((photos / "model.onnx", {}), (photos / "free.onnx", {"size": [2 * SIDE, 2 * SIDE]})):
        explainer = Explainer(model, device="cpu", preprocess="unit", method="grad-cam", **extra)
        item = dataset[0]
        feeds = explainer.prepare(item.image)
        assert next(iter(feeds.tensors.values())).shape[2] == extra.get("size", [SIDE])[0]
        for target in (0, 1, 2):
            found = explainer.explain_each([feeds], [[target]], [[[]]])[0][0]
            truth = Truth(item, target, (2 * SIDE, 2 * SIDE))
            share = metric.measure(Case(item, target, truth, found, True, explainer, feeds, 0.0))["share"]
            assert share > (0.99 if extra else 0.85), "at half the size neighbours mix at the border"


def test_boxes_csv_has_the_known_header(mosaics, photos):
    make(mosaics, photos)
    with (photos / "out" / "boxes.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert ",".join(lines[0]) == mosaics.HEADER and len(lines) == 24
    assert {(row["wnid"], row["class_index"]) for row in lines} == {(n, str(i)) for i, n in enumerate(COLOURS)}


def test_too_few_classes_are_told_in_a_sentence(mosaics, photos, capsys):
    for name in ("green", "blue"):
        shutil.rmtree(photos / "photos" / name)
    model = colour_model(photos / "model.onnx", SIDE)
    words = [str(model), str(photos / "photos"), "--format", "folder", "--out", str(photos / "out"), "--device", "cpu"]
    assert mosaics.main(words) == 2
    assert "needs 4 classes" in capsys.readouterr().err.splitlines()[-1]


def test_a_model_with_dense_layers_cannot_be_freed(mosaics, tmp_path):
    weights = numpy_helper.from_array(np.ones((3 * SIDE * SIDE, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["scores"])], "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])], [weights],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(BadInput, match="not fully convolutional"):
        mosaics.free(tmp_path / "m.onnx", tmp_path / "free.onnx", (2 * SIDE, 2 * SIDE))
    assert not (tmp_path / "free.onnx").exists()
