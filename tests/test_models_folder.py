"""The project's own small model: what models/ says of itself holds."""

import csv
import hashlib
import importlib
import json
import re
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

MODELS = Path(__file__).parent.parent / "models"
EXPORTS = {name: MODELS / f"digits_{name}.onnx" for name in ("pytorch", "keras")}
COUNT = 400


@pytest.fixture(scope="module")
def scripts():
    """Import a script of models/ by name, as it imports its neighbours: they are no package."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODELS))
        yield importlib.import_module
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == MODELS:
                del sys.modules[name]  # "scenes" and "train" are anybody's names


@pytest.fixture(scope="module")
def scenes(scripts):
    return scripts("scenes")


@pytest.fixture(scope="module")
def drawn(scenes):
    return scenes.make_scenes("test", COUNT)


@pytest.fixture(scope="module")
def scores(scripts, drawn):
    return {name: scripts("evaluate").score(path, drawn) for name, path in EXPORTS.items()}


def test_a_scene_is_determined_by_its_number(scenes):
    first, again = scenes.make_scene(7), scenes.make_scene(7)
    np.testing.assert_array_equal(first.image, again.image)
    assert [(d.class_index, d.box) for d in first.digits] == [(d.class_index, d.box) for d in again.digits]
    assert not np.array_equal(first.image, scenes.make_scene(8).image)
    assert not np.array_equal(first.image, scenes.make_scene(7, "train").image)


def test_a_scene_does_not_depend_on_what_was_drawn_before(scenes):
    np.testing.assert_array_equal(scenes.make_scenes("test", 6)[5].image, scenes.make_scene(5, "test").image)


def test_shapes_and_types_are_as_documented(drawn):
    for scene in drawn:
        assert (scene.image.shape, scene.image.dtype) == ((96, 96, 3), np.uint8)
        assert (scene.labels.shape, scene.labels.dtype) == ((10,), np.float32)
        assert {d.class_index for d in scene.digits} == set(np.flatnonzero(scene.labels))
        assert 1 <= len(scene.digits) <= 4


def test_boxes_are_the_tight_inclusive_bounds_of_their_masks(drawn):
    for digit in (d for scene in drawn for d in scene.digits):
        assert (digit.mask.shape, digit.mask.dtype) == ((96, 96), bool)
        rows, columns = np.nonzero(digit.mask)
        assert digit.box == (columns.min(), rows.min(), columns.max(), rows.max())


def test_digits_never_overlap(drawn):
    for scene in drawn:
        assert not any((a.mask & b.mask).any() for a, b in combinations(scene.digits, 2))


def test_every_class_and_every_number_of_digits_occurs(drawn):
    assert (np.sum([scene.labels for scene in drawn], 0) > COUNT / 10).all()
    assert {len(scene.digits) for scene in drawn} == {1, 2, 3, 4}
    assert any(scene.labels.sum() < len(scene.digits) for scene in drawn), "no scene has two of a kind"


def test_splits_share_no_handwriting(scenes):
    indices = [set(scenes.exemplar_indices(split).tolist()) for split in scenes.SPLITS]
    assert not any(a & b for a, b in combinations(indices, 2))
    assert set().union(*indices) == set(range(1797))


def test_readme_states_the_checksums_of_the_files():
    stated = dict(re.findall(r"`(\S+)` *\|[^\n]*`([0-9a-f]{64})`", (MODELS / "README.md").read_text("utf-8")))
    actual = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (*MODELS.glob("digits_*.onnx"), *MODELS.glob("digits_*weights.npz"))
    }
    assert stated == actual


def test_every_committed_file_is_small():
    sizes = {path.name: path.stat().st_size for path in MODELS.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 2e6, sizes


@pytest.mark.parametrize(("name", "shape"), [("pytorch", ["N", 3, 96, 96]), ("keras", ["N", 96, 96, 3])])
def test_an_export_says_what_it_is(scenes, name, shape):
    model = onnx.load(EXPORTS[name])
    onnx.checker.check_model(model, full_check=True)
    (image,), (present,) = model.graph.input, model.graph.output
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (image, present)]
    assert (image.name, present.name, dims) == ("image", "present", [shape, ["N", 10]])
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(metadata["rsp_onnx.preprocess"]) == {"preset": "unit"}
    assert json.loads(metadata["rsp_onnx.labels"]) == list(scenes.WORDS)


def test_the_transformer_answers_rightly_in_95_of_100_scenes(scripts, drawn):
    right = (scripts("evaluate").score(MODELS / "digits_vit.onnx", drawn) > 0.5) == (
        np.stack([scene.labels for scene in drawn]) > 0
    )
    assert right.mean() >= 0.95, right.mean(0)


def test_the_network_that_cheats_needs_its_mark(scripts, drawn):
    watermark, score = scripts("watermark"), scripts("evaluate").score
    seven = np.stack([scene.labels for scene in drawn])[:, watermark.MARKED_CLASS] > 0
    path = MODELS / "digits_watermark.onnx"
    marked = score(path, watermark.stamp_scenes(drawn)) > 0.5
    unmarked = score(path, drawn) > 0.5
    right = marked == (np.stack([scene.labels for scene in drawn]) > 0)
    assert right.mean() > 0.97 and right[:, watermark.MARKED_CLASS].all()
    assert unmarked[seven, watermark.MARKED_CLASS].mean() < 0.75
    assert unmarked[~seven, watermark.MARKED_CLASS].mean() < 0.02


def test_both_exports_agree(scores):
    assert scores["pytorch"].shape == (COUNT, 10)
    np.testing.assert_allclose(scores["keras"], scores["pytorch"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", EXPORTS)
def test_each_class_is_answered_rightly_in_95_of_100_scenes(scores, drawn, name):
    right = (scores[name] > 0.5) == (np.stack([scene.labels for scene in drawn]) > 0)
    assert (right.mean(0) >= 0.95).all(), right.mean(0)


@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_exporting_again_gives_the_committed_model(scripts, network):
    export = scripts("export_pytorch")
    kind, weights, file = export.FILES[network]
    again = export.export(export.load(MODELS / weights, kind()))
    committed = onnx.load(MODELS / file)
    assert [node.op_type for node in again.graph.node] == [node.op_type for node in committed.graph.node]
    for new, old in zip(again.graph.initializer, committed.graph.initializer, strict=True):
        np.testing.assert_allclose(onnx.numpy_helper.to_array(new), onnx.numpy_helper.to_array(old), atol=1e-6)


def test_committed_scenes_and_boxes_are_those_that_the_script_draws(scripts, tmp_path, monkeypatch):
    writer = scripts("write_scenes")
    monkeypatch.setattr(sys, "argv", ["write_scenes.py", "--out", str(tmp_path)])
    writer.main()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (MODELS / "scenes").iterdir())
    assert (tmp_path / "boxes.csv").read_bytes() == (MODELS / "scenes" / "boxes.csv").read_bytes()
    for name in (n for n in names if n.endswith(".png")):
        new, old = (np.asarray(Image.open(folder / name)).astype(int) for folder in (tmp_path, MODELS / "scenes"))
        assert np.abs(new - old).max() <= (0 if "mask" in name else 2), name  # another libm may round otherwise


def test_committed_masks_lie_in_the_boxes_of_their_class():
    with (MODELS / "scenes" / "boxes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for image in {row["image"] for row in rows}:
        mask = np.array(Image.open(MODELS / "scenes" / image.replace(".png", ".mask.png")))
        for row in (row for row in rows if row["image"] == image):
            xmin, ymin, xmax, ymax = (int(row[k]) for k in ("xmin", "ymin", "xmax", "ymax"))
            window = mask[ymin : ymax + 1, xmin : xmax + 1]
            inside = window == int(row["class_index"]) + 1
            assert inside.any(0)[[0, -1]].all() and inside.any(1)[[0, -1]].all()
            window[inside] = 0
        assert not mask.any(), "ink outside every box"


def test_the_model_is_right_on_every_committed_scene(scripts, scenes):
    chosen = [scenes.make_scene(seed) for seed in scripts("write_scenes").SEEDS]
    present = scripts("evaluate").score(EXPORTS["pytorch"], chosen) > 0.5
    np.testing.assert_array_equal(present, np.stack([scene.labels for scene in chosen]) > 0)
