"""Names of tokens and columns, from the files that people have."""

import json

import numpy as np
import pytest

from rsp_onnx import Explainer
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.pictures.names import Names, read_names

from .little import signal_net, table_net

TOKENS = {0: "[PAD]", 1: "the", 2: "##s", 3: "日本"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vocab.txt", "[PAD]\nthe\n##s\n日本\n"),
        ("vocab.txt", "\ufeff[PAD]\r\nthe\r\n##s\r\n日本"),
        ("vocab.json", json.dumps({"the": 1, "[PAD]": 0, "日本": 3, "##s": 2})),
        ("list.json", json.dumps(["[PAD]", "the", "##s", "日本"])),
        ("tokenizer.json", json.dumps({"model": {"vocab": {"the": 1, "[PAD]": 0, "日本": 3, "##s": 2}}})),
        (
            "tokenizer.json",
            json.dumps({"model": {"vocab": [["x", -1.0], ["the", -2.5], ["##s", 0]]},
                        "added_tokens": [{"id": 0, "content": "[PAD]"}, {"id": 3, "content": "日本"}]}),
        ),
    ],
    ids=["lines", "windows", "table", "list", "tokenizer", "unigram"],
)  # fmt: skip
def test_a_vocabulary_in_every_form(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_names(tmp_path / name).tokens == TOKENS


def test_a_line_without_a_word_keeps_its_number(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\n\n b\n", encoding="utf-8")
    assert read_names(str(tmp_path / "vocab.txt")).tokens == {0: "a", 1: "", 2: " b"}


def test_names_that_are_given_in_python():
    assert read_names(["a", "b"], ["x", "y"]) == Names({0: "a", 1: "b"}, ("x", "y"))
    assert read_names({"b": 7}).tokens == {7: "b"} and read_names() == Names()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("v.json", "{", "not valid JSON"),
        ("v.json", "3", "holds no tokens"),
        ("v.json", '{"a": "b"}', "'a' with the id 'b' is no token"),
        ("v.json", '{"model": {"vocab": {"a": 1.5}}}', "'a' with the id 1.5"),
        ("v.json", '{"model": {}}', "holds no tokens"),
        ("v.json", '["a", 3]', "3 with the id 1"),
        ("v.txt", "", "holds no tokens"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_one_sentence(tmp_path, name, text, says):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=says) as error:
        read_names(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_names(tmp_path / "none.txt")
    (tmp_path / "v.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_names(tmp_path / "v.txt")


def test_columns_are_named_and_counted(tmp_path):
    (tmp_path / "columns.txt").write_text("\n".join("abcdefg"), encoding="utf-8")
    x = np.arange(7, dtype=np.float32)
    found = Explainer(table_net(), device="cpu", columns=tmp_path / "columns.txt").explain(x, 1)
    texts = [word.text for word in found.page().words if " = " in word.text]
    assert texts == ["a = 0", "b = 1", "c = 2", "d = 3", "e = 4", "f = 5", "g = 6"]
    with pytest.raises(BadInput, match="3 column names, but the table has 7 entries"):
        Explainer(table_net(), device="cpu", columns=["a", "b", "c"]).explain(x, 1)


def test_names_that_are_not_used_are_said():
    x = np.arange(7, dtype=np.float32)
    found = Explainer(table_net(), device="cpu", tokens=["a"]).explain(x, 1)
    assert found.warnings[-1] == "the words of tokens are not used: the explained input holds no token ids"
    found = Explainer(signal_net(), device="cpu", columns=["a"]).explain(np.ones((2, 32), np.float32), 1)
    assert found.warnings[-1] == "the names of columns are not used: the explained input is no table"
    found = Explainer(table_net(), device="cpu", columns=[*"abcdefg"]).explain(x, 1)
    assert not any("not used" in warning for warning in found.warnings)
