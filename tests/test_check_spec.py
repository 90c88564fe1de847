"""Reading SPEC: every problem at once, with its line, whatever the text looks like."""

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from rsp_onnx.checks import read_spec
from rsp_onnx.checks.spec.lines import toml_lines
from rsp_onnx.checks.spec.toml_text import toml_text
from rsp_onnx.errors import BadInput

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not read here")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "small.png")
    return tmp_path


def write(folder, text, name="spec.rsp.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path, **kw):
    with pytest.raises(BadInput) as caught:
        read_spec(path, **kw)
    head, *each = str(caught.value).splitlines()
    assert str(path) in head
    return [line.strip().removeprefix(f"{path}:") for line in each]


GOOD = """\
model = "model.onnx"          # a comment with [brackets] and "quotes"
method = 'grad-cam'
preprocess = { preset = "unit" }

[[image]]
path = "a.png"
target = "tiger cat"
boxes = [
  [1, 2, 3, 4],  # one ] of them
  [5, 6, 29, 19],
]

[expect]
scores = 0.05
sanity = false
"top-k" = true
"""


READING = """\
model = "model.onnx"
output = "logits"
class_axis = -1
classes = "4:"
region = "all"
input_shapes = { x = ["N", 3, 20] }

[[image]]
path = "a.png"
"""


def test_how_the_scores_are_read_is_an_explainers_arguments(folder):
    assert read_spec(write(folder, READING)).reading == {
        "output": "logits", "region": "all", "class_axis": -1, "class_rows": "4:", "input_shapes": {"x": [None, 3, 20]},
    }  # fmt: skip
    assert read_spec(write(folder, GOOD)).reading == {}
    (problem,) = problems(write(folder, READING.replace('["N", 3, 20]', '["M", 3]')))
    assert "'input_shapes' must be a table such as" in problem


def test_a_good_spec_is_read(folder):
    spec = read_spec(write(folder, GOOD))
    assert spec.model == folder / "model.onnx"
    assert spec.goldens == folder / "spec.goldens.npz"
    (image,) = spec.images
    assert (image.name, image.target, image.line) == ("a.png", "tiger cat", 5)
    assert image.boxes == ((1, 2, 3, 4), (5, 6, 29, 19))
    assert spec.expect == {"scores": 0.05, "sanity": False, "top-k": True}
    assert [spec.line("expect", k) for k in ("scores", "sanity", "top-k", "none")] == [14, 15, 16, 13]
    assert image.place(0).inside.sum() == 9 + 25 * 14


def test_a_dozen_problems_at_once_each_with_its_line(folder):
    text = """\
modle = "model.onnx"
labels = "labels.txt"
preprocess = "imagenet-torh"
method = "rps"
hostile = -3
goldens = 7

[[image]]
path = "a.png"
box = [1, 2, 3]
tarjet = 3

[[image]]
path = "b.png"
mask = "small.png"

[[image]]
path = "a.png"

[[image]]
target = true

[[image]]
path = "a.png"
box = [100, 100, 120, 120]

[folder]
data = "nowhere"
format = "zip"
limit = 0

[expect]
scors = 0.1
spearman = 7
labels = 0.5
ssim = "high"
"""
    listed = problems(write(folder, text))
    wanted = [
        (1, "there is no key 'modle'; did you mean 'model'?"),
        (1, "'model' is missing"),
        (2, "there is no labels file"),
        (3, "neither a preset"),
        (4, "There is no method 'rps'"),
        (5, "'hostile' must be a label, an index"),
        (6, "'goldens' must be a file's name, not 7"),
        (10, "'box' of [image] must be [xmin, ymin, xmax, ymax]"),
        (11, "there is no key 'tarjet' in [image]; did you mean 'target'?"),
        (14, "there is no image"),
        (17, "is there already, on line 8"),
        (20, "'path' of [image] is missing"),
        (21, "'target' of [image] must be a label or an index, not True"),
        (23, "is there already, on line 8"),
        (25, "box outside its photo of 30×20"),
        (28, "there is no dataset"),
        (29, "'format' of [folder] must be one of voc"),
        (30, "'limit' of [folder] must be a whole number from 1"),
        (33, "there is no check 'scors'; did you mean 'scores'?"),
        (34, "'spearman' must be a number from -1 to 1"),
        (35, "'labels' has no threshold"),
        (36, "'ssim' must be a number from -1 to 1"),
    ]
    lines = [int(one.split(":")[0]) for one in listed]
    assert lines == sorted(lines)
    for line, text in wanted:
        here = [one for one in listed if one.startswith(f"{line}:")]
        assert any(text in one for one in here), (line, text, here)
    # the image of line 17 lies on the line of its table
    assert len(listed) == len(wanted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'model' is missing"),
        ('model = "model.onnx"', "there is no image"),
        ('model = "model.onnx"\nimage = []', "there is no image"),
        ('model = "gone.onnx"\n[[image]]\npath = "a.png"', "1: there is no model"),
        ('model = "model.onnx"\n[[image]]\npath = "a.png"\nmask = "small.png"', "4: The mask"),
        (
            'model = "model.onnx"\n[[image]]\npath = "a.png"\nbox = [1,1,2,2]\nboxes = [[1,1,2,2]]',
            "5: an image has either",
        ),
        ('model = "model.onnx"\nimage = 3', "2: 'image' must be tables"),
        ('model = "model.onnx"\n[preprocess]\nscael = 3\n[[image]]\npath = "a.png"', "2: The preprocessing given"),
        ('model = "model.onnx"\n[[image]]\npath = "a.png"\n[expect]\nscores = nan', "5: 'scores' must be a number"),
    ],
)
def test_problems_one_by_one(folder, text, says):
    assert any(says in one for one in problems(write(folder, text)))


@pytest.mark.parametrize("text", ["model = ", "a = 1\na = 2", "[x", "[[image]]\n[image]"])
def test_broken_toml_is_told_in_one_sentence(folder, text):
    with pytest.raises(BadInput, match=r"not valid TOML.*(line|end of document)"):
        read_spec(write(folder, text))


def test_no_file_and_no_text(folder):
    with pytest.raises(BadInput, match="There is no file"):
        read_spec(folder / "none.toml")
    (folder / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        read_spec(folder / "bytes.toml")


def test_a_model_given_beside_it_stands_in_for_its_own(folder):
    path = write(folder, '[[image]]\npath = "a.png"\n')
    assert read_spec(path, "other.onnx", "unit").model.name == "other.onnx"
    assert problems(path) == ["1: 'model' is missing."]


# ---- YAML ----

YAML = """\
model: model.onnx
image:
  - path: a.png
    box: [1, 2, 3, 4]
  - path: a.png
    mask: mask.png
expect:
  scores: 5
"""


def test_yaml_has_lines_too(folder):
    pytest.importorskip("yaml")
    listed = problems(write(folder, YAML, "spec.yaml"))
    assert [one.split(":")[0] for one in listed] == ["5", "8"]
    good = YAML.replace("5", "0.5").replace("  - path: a.png\n    mask: mask.png\n", "")
    assert read_spec(write(folder, good, "good.yaml")).images[0].line == 3


def test_broken_yaml_and_doubled_keys(folder):
    pytest.importorskip("yaml")
    with pytest.raises(BadInput, match="not valid YAML"):
        read_spec(write(folder, "a: [", "broken.yaml"))
    assert problems(write(folder, "model: a\nmodel: b\n", "twice.yaml")) == ["2: 'model' is there twice."]


def test_yaml_without_pyyaml_says_what_to_do(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BadInput, match="pip install pyyaml"):
        read_spec(write(folder, YAML, "spec.yaml"))


# ---- the scanner of lines ----


def test_lines_of_every_kind_of_key():
    text = '''\
a.b = 1
"c d" = """
x = 2
[not.a.table]
"""
e = \'\'\'
f = "\'\'\'
[t]
g = [
  "]", # [[no]]
  { h = 1 },
]
[[t.u]]
i = 1
[[t.u]]
i = "\\""
[t.u.v]
j = 1
'''
    tomllib.loads(text)
    lines = toml_lines(text)
    assert lines == {
        ("a", "b"): 1, ("c d",): 2, ("e",): 6, ("t",): 8, ("t", "g"): 9, ("t", "u", 0): 13, ("t", "u", 0, "i"): 14,
        ("t", "u", 1): 15, ("t", "u", 1, "i"): 16, ("t", "u", 1, "v"): 17, ("t", "u", 1, "v", "j"): 18,
    }  # fmt: skip


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), NAMES,
    st.text(st.characters(codec="utf-8"), max_size=20), st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip
FLAT = st.dictionaries(NAMES, VALUES, max_size=4)
TABLES = st.dictionaries(NAMES, st.one_of(VALUES, FLAT, st.lists(FLAT, min_size=1, max_size=3)), max_size=5)


@given(TABLES)
def test_what_is_written_as_toml_is_read_back_and_every_key_has_its_line(table):
    text = toml_text(table)
    assert tomllib.loads(text) == table
    lines, written = toml_lines(text), text.split("\n")

    def look(value, path):
        for key, inner in value.items():
            here = (*path, key)
            if isinstance(inner, dict):
                assert not inner or written[lines[here] - 1].startswith("[")
                look(inner, here)
            elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
                for number, one in enumerate(inner):
                    assert written[lines[(*here, number)] - 1].startswith("[[")
                    look(one, (*here, number))
            else:
                assert tomllib.loads(written[lines[here] - 1]) == {key: inner}

    look(table, ())


# ---- whatever stands there, it is told in words ----

KEYS = (
    "model", "labels", "preprocess", "method", "hostile", "section", "goldens", "image", "folder", "expect", "output",
    "region", "class_axis", "classes", "input_shapes",
)  # fmt: skip
INNER = st.dictionaries(
    st.sampled_from(["path", "target", "box", "boxes", "mask", "data", "format", "limit", "scores", "sanity", "x"]),
    st.one_of(VALUES, st.sampled_from(["a.png", "model.onnx", "csv", 10**400, [[1, 2, 3, 4]], [1, 2, 3, 10**400]])),
    max_size=4,
)
ANY = st.dictionaries(
    st.sampled_from(KEYS), st.one_of(VALUES, INNER, st.lists(INNER, min_size=1, max_size=2)), max_size=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ANY)
def test_any_table_is_read_or_refused_in_words_with_lines(folder, table):
    path = write(folder, toml_text(table), "any.toml")
    try:
        read_spec(path)
    except BadInput as error:
        for line in str(error).splitlines()[1:]:
            assert line.strip().startswith(f"{path}:"), line


@given(st.text(max_size=60))
def test_any_text_that_is_toml_has_lines(text):
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    count = text.count("\n") + 1
    assert all(1 <= line <= count for line in toml_lines(text).values())
