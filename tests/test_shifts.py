"""Datasets whose class indices are not the model's: refused with the option that mends it."""

import csv

import numpy as np
import onnx
import pytest
from PIL import Image

from rsp_onnx import BadInput
from rsp_onnx.audit.run import audit
from rsp_onnx.evaluate import evaluate, open_dataset
from rsp_onnx.evaluate.datasets.shifts import refuse_shifted
from rsp_onnx.evaluate.runs.folder import read_columns

from .little import little

WORDS = ("tench", "goldfish", "great white shark, white shark", "tiger shark", "hammerhead", "electric ray", "stingray")
WNIDS = tuple(f"n0144{i:04d}" for i in range(len(WORDS)))
LABELS = ("background", *WORDS)
SIZE = 8


def column_model():
    """Predicts class 1 + the brightest of seven columns: a background class is in front."""
    w = np.zeros((8, 8), np.float32)
    w[np.arange(7), np.arange(1, 8)] = 1
    return little(
        """g (float[N,3,8,8] x) => (float[N,8] y) {
            f = ReduceMean<axes=[1,2], keepdims=0>(x) z = MatMul(f, w) y = Relu(z) }""",
        opset=13, w=w,
    )  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    """The model, and fourteen photos of the classes 0 to 6 without the background, two of each."""
    onnx.save(column_model(), tmp_path / "model.onnx")
    (tmp_path / "data").mkdir()
    for number in range(14):
        pixels = np.full((SIZE, SIZE, 3), 40, np.uint8)
        pixels[:, number % 7] = 250
        Image.fromarray(pixels).save(tmp_path / "data" / f"{number:02d}.png")
    return tmp_path


def write_table(folder, offset=0, **columns):
    """Write boxes.csv with the classes counted from `offset`; columns: further cells by class."""
    with (folder / "data" / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class_index", *columns])
        for number in range(14):
            cells = [values[number % 7] for values in columns.values()]
            writer.writerow([f"{number:02d}.png", number % 7 + offset, *cells])


def run(folder, **options):
    return evaluate(
        folder / "model.onnx", folder / "data", format="csv", methods=["gradient"], metrics=["conservation"],
        out=folder / "run", device="cpu", preprocess="unit", report=False, **options,
    )  # fmt: skip


def hits(folder):
    rows = read_columns(sorted((folder / "run" / "rows").glob("*.parquet")), ["target", "predicted"]).to_pylist()
    maps = [row for row in rows if row["target"] is not None]
    return sum(row["target"] == row["predicted"] for row in maps), len(maps)


def test_indices_without_the_background_class_are_refused(photos):
    write_table(photos)
    says = (
        r"of 14 photos the model predicts the annotated class in 0 and the one behind it in 14, such as class 1 where "
    )
    with pytest.raises(BadInput, match=says + "class 0 is annotated. Give --mapping"):
        run(photos)
    assert not (photos / "run" / "summary.json").exists()


def test_one_class_too_many_is_seen_as_well(photos):
    write_table(photos, offset=2)
    for number in (6, 13):  # there is no class 8
        (photos / "data" / f"{number:02d}.png").unlink()
    with pytest.raises(BadInput, match=r"of 12 photos .* annotated class in 0 and the one before it in 12"):
        run(photos)


def test_a_list_of_wordnet_ids_mends_it(photos):
    write_table(photos)
    (photos / "synsets.txt").write_text("\n".join(f"{w} {t}" for w, t in zip(WNIDS, WORDS, strict=True)))
    run(photos, mapping=photos / "synsets.txt")
    assert hits(photos) == (14, 14)


def test_a_table_of_indices_mends_it(photos):
    write_table(photos)
    (photos / "map.csv").write_text("dataset,model\n" + "".join(f"{i},{i + 1}\n" for i in range(6)) + "6,\n")
    run(photos, mapping=photos / "map.csv")
    assert hits(photos) == (12, 12)  # class 6 is none of the model's


def test_right_indices_pass_and_so_does_a_poor_model(photos):
    write_table(photos, offset=1)
    run(photos)
    assert hits(photos) == (14, 14)


@pytest.mark.parametrize(
    ("seen", "refused"),
    [
        ([((0,), 1)] * 32, False),  # one class mistaken for its neighbour
        ([((0,), 1), ((1,), 2), ((2,), 3)] * 10, False),  # three are
        ([((t,), t + 1) for t in range(30)], True),
        ([((t,), t - 1) for t in range(1, 30)], True),
        ([((t,), t + 1) for t in range(10)] + [((t,), t) for t in range(3)], False),  # some are right
        ([((t,), t + 1) for t in range(12)] + [((t,), t) for t in range(3)], True),
        ([((t,), t + 1) for t in range(9)] + [((t,), t + 50) for t in range(22)], False),  # most are neither
        ([((t, t + 1), t + 1) for t in range(30)], False),  # two classes in a photo
        ([], False),
    ],
)
def test_when_a_shift_is_sure(seen, refused):
    if refused:
        with pytest.raises(BadInput, match="off by one"):
            refuse_shifted(seen, None)
    else:
        refuse_shifted(seen, None)


def test_names_in_the_table_are_held_against_the_models(photos):
    write_table(photos, label=WORDS)
    with pytest.raises(BadInput, match="says that 'tench' is class 0, but of the model it is class 1; 7 of 7 names"):
        open_dataset("csv", photos / "data", names=LABELS)
    write_table(photos, offset=1, label=WORDS)
    assert open_dataset("csv", photos / "data", names=LABELS)[3].targets == (4,)
    assert open_dataset("csv", photos / "data", names=None, classes=8)[3].targets == (4,)


def test_the_names_are_shown_where_predictions_give_it_away(photos):
    write_table(photos)
    (photos / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    with pytest.raises(BadInput, match="such as class 'tench' where class 'background' is annotated"):
        run(photos, labels=photos / "labels.txt")


def test_a_wordnet_id_beside_a_label_finds_the_mapping(photos):
    write_table(photos, label=[f"my {w}" for w in WORDS], wnid=WNIDS)
    (photos / "synsets.txt").write_text("\n".join(f"{w} {t}" for w, t in zip(WNIDS, WORDS, strict=True)))
    dataset = open_dataset("csv", photos / "data", mapping=photos / "synsets.txt", classes=8)
    assert [dataset[i].targets for i in range(3)] == [(1,), (2,), (3,)]


def test_the_real_1001_classes_are_told_from_1000(shared_data, tmp_path):
    folder = shared_data / "images/ilsvrc_val"
    rows = csv.DictReader((folder / "boxes.csv").read_text().splitlines())
    lines = [f"{folder / row['image']},{row['class_index']}\n" for row in rows]
    (tmp_path / "boxes.csv").write_text("image,class_index\n" + "".join(lines))
    model = shared_data / "models/mobilenet_v2_nhwc_fp32.onnx"
    options = {"format": "csv", "methods": ["grad-cam"], "metrics": ["runtime"], "limit": 12, "report": False}
    more = {"device": "cpu", "preprocess": "imagenet-tf", "labels": shared_data / "labels/imagenet_1001_tf.txt"}
    with pytest.raises(BadInput, match="off by one"):
        evaluate(model, tmp_path, out=tmp_path / "run", **options, **more)
    mapping = shared_data / "labels/imagenet_1000_synset_words.txt"
    evaluate(model, tmp_path, out=tmp_path / "mended", mapping=mapping, **options, **more)
    rows = read_columns(sorted((tmp_path / "mended/rows").glob("*.parquet")), ["target", "predicted"]).to_pylist()
    assert sum(row["target"] == row["predicted"] for row in rows) >= len(rows) / 2


def test_an_audit_asks_as_well(photos):
    write_table(photos)
    options = {"format": "csv", "device": "cpu", "preprocess": "unit", "cells": 8}
    with pytest.raises(BadInput, match="off by one"):
        audit(photos / "model.onnx", photos / "data", **options)
    write_table(photos, offset=1)
    with pytest.raises(BadInput, match="No class has"):  # two photos a class are too few for it
        audit(photos / "model.onnx", photos / "data", **options)
