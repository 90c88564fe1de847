"""Class names from every source, and finding a class by what the user typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsp_onnx.errors import BadInput, BadTarget
from rsp_onnx.inputs.labels import METADATA_KEY, check_labels, find_class, label_of, read_labels

LABELS = Path(__file__).parents[2] / "shared" / "data" / "labels"
ANIMALS = ("tench, Tinca tinca", "tabby, tabby cat", "tiger cat", "crane", "Egyptian cat", "crane", "maillot",
           "maillot, tank suit", "Tiger Cat")  # fmt: skip


def written(tmp_path, text, name="labels.txt"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_lines_with_and_without_word_net_ids(tmp_path):
    path = written(tmp_path, "\ufeffn01440764 tench, Tinca tinca\r\nn02123045\ttabby\n\n")
    assert read_labels(path) == read_labels(str(path)) == ("tench, Tinca tinca", "tabby")
    # one line without an id: then the others' are part of the names
    assert read_labels(written(tmp_path, "n01440764 tench\nbackground")) == ("n01440764 tench", "background")
    assert read_labels(written(tmp_path, "n01440764\nn01443537\n")) == ("n01440764", "n01443537")
    assert read_labels(["a", "b"]) == ("a", "b")


@pytest.mark.parametrize(
    "data",
    [
        ["cat", "dog"],
        [["n1", "cat"], ["n2", "dog"]],
        {"1": "dog", "0": "cat"},
        {"0": ["n02123045", "cat"], "1": ["n02084071", "dog"]},
        {"dog": 1, "cat": 0},
        {"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}},
    ],
)
def test_json_files(tmp_path, data):
    assert read_labels(written(tmp_path, json.dumps(data), "labels.json")) == ("cat", "dog")
    assert read_labels(written(tmp_path, json.dumps(data))) == ("cat", "dog")


@pytest.mark.parametrize(
    "metadata",
    [
        {METADATA_KEY: '["cat", "dog"]', "names": "['x']"},
        {"names": "{0: 'cat', 1: 'dog'}"},
        {"names": "['cat', 'dog']"},
        {"labels": '["cat", "dog"]'},
        {"labels": "cat\ndog\n"},
        {"classes": "cat, dog"},
        {"names": "my net", "classes": '{"0": "cat", "1": "dog"}'},
    ],
)
def test_metadata(metadata):
    assert read_labels(None, metadata) == ("cat", "dog")
    assert read_labels(["a"], metadata) == ("a",)


@pytest.mark.parametrize("metadata", [{}, {"classes": "80"}, {"names": "__import__('os')"}, {"labels": "[" * 9999}])
def test_metadata_without_labels(metadata):
    assert read_labels(None, metadata) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no labels"),
        ("a\n\nb\n", "class 1"),
        ("[1, 2]", "class 0"),
        ("[", "JSON"),
        ("{}", "no labels"),
        ('{"0": "a", "2": "b"}', r"0\.\.1"),
        ('{"0": "a", "00": "b"}', r"0\.\.1"),
        ('{"a": "b"}', r"0\.\.0"),
        ('{"id2label": 3}', "no table"),
    ],
)
def test_files_that_hold_no_labels(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read_labels(written(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(BadInput, match="UTF-8"):
        read_labels(tmp_path / "latin.txt")
    for path in (tmp_path, tmp_path / "nowhere.txt"):
        with pytest.raises(BadInput, match="cannot be read"):
            read_labels(path)
    with pytest.raises(BadInput, match=METADATA_KEY):
        read_labels(None, {METADATA_KEY: "cat"})


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (2, 2),
        (np.int64(2), 2),
        ("2", 2),
        (" 0 ", 0),
        ("tiger cat", 2),  # exact, though "Tiger Cat" differs by case only
        ("Tiger Cat", 8),
        ("egyptian CAT", 4),
        ("tabby", 1),
        ("Tabby Cat", 1),
        ("tinca tinca", 0),
        ("tench, tinca tinca", 0),
        ("maillot", 6),  # the exact label goes before another's synonym
        ("tank suit", 7),
    ],
)
def test_a_class_is_found(text, index):
    assert find_class(text, ANIMALS, len(ANIMALS)) == index


def test_ambiguous_names_are_listed():
    with pytest.raises(BadTarget, match=r"3 \(crane\), 5 \(crane\)"):
        find_class("crane", ANIMALS, 9)
    with pytest.raises(BadTarget, match=r"2 \(tiger cat\), 8 \(Tiger Cat\)"):
        find_class("TIGER CAT", ANIMALS, 9)
    with pytest.raises(BadTarget, match="and 2 more"):
        find_class("x", ["x"] * 7, 7)


def test_digits_as_labels():
    digits = [str(n) for n in range(10)]
    assert find_class("7", digits, 10) == find_class(7, digits, 10) == 7
    assert find_class("12", ["10", "12"], 2) == 1  # no such index, so it can only be the label
    with pytest.raises(BadTarget, match=r"0 \(1\), 1 \(0\)|1 \(0\), 0 \(1\)"):
        find_class("1", ["1", "0"], 2)


def test_unknown_names_bring_the_nearest():
    with pytest.raises(BadTarget, match=r"nearest are 1 \(tabby, tabby cat\)") as caught:
        find_class("taby", ANIMALS, 9)
    assert str(caught.value).count("(") == 3
    for text in ("", "zzzz"):
        with pytest.raises(BadTarget, match="no class"):
            find_class(text, ANIMALS, 9)
    with pytest.raises(BadTarget, match=r"no labels.*0\.\.9"):
        find_class("cat", None, 10)


@pytest.mark.parametrize("text", [-1, 9, "9", "-1", "123456789"])
def test_indices_out_of_range(text):
    with pytest.raises(BadTarget, match=r"0\.\.8"):
        find_class(text, ANIMALS, 9)


def test_a_class_without_a_label():
    assert label_of(7, None) == label_of(7, ["a"]) == "class 7"
    assert label_of(0, ["a"]) == "a"
    assert label_of(-1, ["a"]) == "class -1"


def test_counts():
    check_labels(["a", "b"], 2)
    with pytest.raises(BadInput, match=r"1000 labels.*1001 classes.*background"):
        check_labels(["x"] * 1000, 1001)
    with pytest.raises(BadInput, match=r"1001 labels.*1000 classes.*background"):
        check_labels(["x"] * 1001, 1000)
    with pytest.raises(BadInput, match=r"10 labels.*1000 classes"):
        check_labels(["x"] * 10, 1000)


@pytest.mark.skipif(not LABELS.is_dir(), reason="the shared label files are not here")
def test_real_files():
    torch = read_labels(LABELS / "imagenet_1000_synset_words.txt")
    tensorflow = read_labels(LABELS / "imagenet_1001_tf.txt")
    assert torch is not None and tensorflow is not None
    check_labels(torch, 1000)
    check_labels(tensorflow, 1001)
    assert torch[0] == "tench, Tinca tinca" and tensorflow[:2] == ("background", torch[0])
    assert find_class("tiger cat", torch, 1000) == 282 == find_class("tiger cat", tensorflow, 1001) - 1
    assert find_class("boxer", torch, 1000) == 242
    with pytest.raises(BadTarget, match=r"134 \(crane\), 517 \(crane\)"):
        find_class("crane", torch, 1000)
