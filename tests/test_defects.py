"""The planted defects are what they are called, the harmless variants are harmless, and `check` tells them apart."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def scripts(repo):
    """Import a script of benchmarks/ by name."""
    before, path = set(sys.modules), list(sys.path)
    folders = (repo / "benchmarks", repo / "models")
    with pytest.MonkeyPatch.context() as patch:
        for folder in folders:
            patch.syspath_prepend(str(folder))
        yield importlib.import_module
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent in folders:
                del sys.modules[name]
    sys.path[:] = path


@pytest.fixture(scope="module")
def built(scripts):
    return scripts("defect_models")


@pytest.fixture(scope="module")
def good(repo):
    return onnx.load(repo / "models/digits_pytorch.onnx")


@pytest.fixture(scope="module")
def images(repo):
    files = sorted((repo / "models/scenes").glob("scene_?.png"))[:3]
    return np.stack([np.asarray(Image.open(f).convert("RGB"), np.float32).transpose(2, 0, 1) / 255 for f in files])


def answers(model, images):
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


# ---- what the variants are ----


def test_harmless_variants_answer_alike(built, good, images):
    want = answers(good, images)
    np.testing.assert_allclose(answers(built.unfolded(good), images), want, atol=1e-5)
    np.testing.assert_allclose(answers(built.half_precision(good), images), want, atol=1e-2)
    assert sum(node.op_type == "BatchNormalization" for node in built.unfolded(good).graph.node) == 6


@pytest.mark.parametrize("kind", ["channels", "layout", "normalisation", "border"])
def test_defects_of_preprocessing_are_what_they_are_called(built, good, images, kind):
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (built.MEAN, built.STD))
    border = np.broadcast_to(images.mean(axis=(2, 3), keepdims=True), images.shape).copy()
    inner = np.s_[:, :, built.BORDER : -built.BORDER, built.BORDER : -built.BORDER]
    border[inner] = images[inner]
    make, fed = {
        "channels": (built.swapped_channels_inside, images[:, ::-1]),
        "layout": (built.wrong_layout, images.transpose(0, 2, 3, 1).reshape(images.shape)),
        "normalisation": (built.wrong_normalisation, (images - mean) / std),
        "border": (built.lost_border, border),
    }[kind]
    np.testing.assert_allclose(answers(make(good), images), answers(good, np.ascontiguousarray(fed)), atol=2e-5)


def test_defects_of_weights_change_what_they_say(built, good, images):
    want = answers(good, images)
    zeroed = answers(built.zeroed_class(good), images)
    assert (zeroed[:, built.ZEROED] == 0.5).all()
    rest = [c for c in range(10) if c != built.ZEROED]
    np.testing.assert_array_equal(zeroed[:, rest], want[:, rest])
    for make in (built.random_last_layer, built.random_conv, built.coarse_weights):
        assert np.abs(answers(make(good), images) - want).max() > 1e-3


def test_four_bits_leave_fifteen_values(built, good):
    for tensor in built.coarse_weights(good).graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim >= 2:
            assert len(np.unique(values)) <= 2**built.BITS - 1


def test_defects_of_metadata_leave_the_graph(built, good):
    for make in (built.labels_off_by_one, built.swapped_channels):
        changed = make(good)
        assert changed.graph == good.graph and changed.metadata_props != good.metadata_props


def test_the_good_model_is_left_as_it_was(built, good, repo):
    for make in (built.DEFECTS | built.HARMLESS | built.UNSEEN).values():
        make(good)
    assert good == onnx.load(repo / "models/digits_pytorch.onnx")


# ---- what check says ----


def test_the_table_marks_what_failed(scripts):
    facts = {"accuracy": 0.99, "drop": 0.001, "figures": {}, "seconds": 1.0}
    rows = [
        {"variant": "good", "harmless": True, "failed": {}, **facts},
        {"variant": "bad", "harmless": False, "failed": {"spearman": "moved"}, **facts},
        {"variant": "worse", "harmless": False, "failed": {}, **facts, "drop": 0.2},
    ]
    lines = scripts("defects").table(rows).splitlines()
    assert lines[0] == "| variant | spearman | caught | accuracy | drop | missed by accuracy |"
    assert lines[2:] == [
        "| good |  | passes | 99.0% | +0.1 |  |", "| bad | ✗ | yes | 99.0% | +0.1 | yes |",
        "| worse |  | NO | 99.0% | +20.0 | no |",
    ]  # fmt: skip


@pytest.mark.slow
def test_check_fails_every_defect_and_passes_what_is_harmless(scripts, tmp_path):
    defects = scripts("defects")
    rows = defects.run(tmp_path, images=20, scenes=40)
    caught = {row["variant"]: set(row["failed"]) for row in rows}
    harmless = {row["variant"] for row in rows if row["harmless"]}
    assert {"fp16", "int8", "ORT-optimised", "BatchNorm unfolded", "Keras export"} < harmless
    assert {name: failed for name, failed in caught.items() if name in harmless and failed} == {}
    named = {
        "swapped channels": "preprocessing", "wrong layout": "spearman", "labels off by one": "labels",
        "a class's weights zeroed": "scores", "last layer randomised": "pearson", "a conv layer randomised": "pearson",
        "4-bit weights": "scores", "wrong normalisation": "spearman", "lost input border": "spearman",
        "watermark-trained": "leakage",
    }  # fmt: skip
    assert {name: check for name, check in named.items() if check not in caught[name]} == {}
    watermark = next(row for row in rows if row["variant"] == "watermark-trained")
    assert watermark["drop"] < 0.02, "accuracy does not see it"
    assert json.dumps(rows)
