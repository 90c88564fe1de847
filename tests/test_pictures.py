"""What is drawn of every kind of input, what is written around it, and that every format holds it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rsp_onnx import Explainer, Explanation
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.pictures.heading import heading
from rsp_onnx.explain.pictures.shown import subject_of
from rsp_onnx.render import heatmap_rgb
from rsp_onnx.render.canvas import Box, Page, Raster
from rsp_onnx.render.charts.axes import ticks
from rsp_onnx.render.charts.planes import evenly, plane, shown, slices
from rsp_onnx.render.charts.tokens import ink, shade, tokens
from rsp_onnx.render.drawing import body_of, draw, embedded_picture
from rsp_onnx.render.figure import figure
from rsp_onnx.render.frame import Heading, listed
from rsp_onnx.render.kinds import Subject, kind_of
from rsp_onnx.render.text import text_width
from rsp_onnx.render.vector import vector

from .conftest import REPO
from .little import little

RNG = np.random.default_rng(0)
HEADING = Heading("tiger cat", "probability 0.930 · rank 1 of 1000", ("boxer",), ("method rsp",), ("against", "for x"))


def subject(relevance, tensor=None, **more):
    heatmap = relevance.sum(axis=0) if relevance.ndim > 1 else relevance
    return Subject(relevance, heatmap, heatmap, tensor, **more)


def noise(*shape):
    return RNG.standard_normal(shape)


IDS = np.arange(7)
KINDS = {
    "photo": subject(noise(3, 8, 9), photo=Image.new("RGB", (9, 8), "gray")),
    "image": subject(noise(1, 16, 20), noise(1, 16, 20)),
    "signal": subject(noise(2, 30), noise(2, 30)),
    "tokens": subject(noise(7), IDS),
    "table": subject(noise(5), noise(5)),
    "volume": subject(noise(1, 9, 6, 7), noise(1, 9, 6, 7)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["triple", "pair", "overlay"])
def test_every_kind_is_told_and_drawn_in_every_layout(kind, layout):
    assert kind_of(KINDS[kind]) == kind
    pixels = np.asarray(draw(KINDS[kind], HEADING, layout).image())
    assert np.all(pixels[:, :4] == 255) and np.all(pixels[:4] == 255) and np.ptp(pixels) > 200
    assert embedded_picture(KINDS[kind], layout).startswith("data:image/")


@pytest.mark.parametrize(
    ("relevance", "tensor", "kind"),
    [
        (noise(2, 1, 30), None, "signal"),  # a picture of one row
        (noise(3), np.zeros(3, bool), "table"),
        (noise(3), np.zeros(3, np.uint8), "tokens"),
        (noise(2, 2, 2, 2, 2), None, "other"),
    ],
)
def test_kinds_that_are_less_plain(relevance, tensor, kind):
    assert kind_of(subject(relevance, tensor)) == kind


def test_a_layout_that_there_is_not_is_refused():
    for one in KINDS.values():
        with pytest.raises(BadInput, match="the layouts are triple, pair, overlay"):
            draw(one, HEADING, "four")


def test_a_layout_shows_its_panels():
    photo, heatmap = Image.new("RGB", (70, 70), (0, 200, 0)), noise(70, 70)
    enlarged = heatmap_rgb(heatmap).repeat(8, axis=0).repeat(8, axis=1)
    has = {}
    for layout in ("triple", "pair", "overlay"):
        pixels = np.asarray(figure(photo, heatmap, title="x", layout=layout))
        green = np.all(pixels == (0, 200, 0), axis=2).sum()
        windows = [pixels[r : r + 560, c : c + 560] for r in range(60, 110) for c in (20, 592)]
        has[layout] = (green == 560 * 560, any(np.array_equal(w, enlarged) for w in windows), pixels.shape[1])
    assert has == {"triple": (True, True, 1744), "pair": (True, False, 1172), "overlay": (False, False, 640)}


# ---- words around it ----


def explanation(**more):
    ones = np.ones((2, 2), np.float32)
    given = {"relevance": ones[None], "heatmap": ones, "scores": np.array([0.9, 0.06, 0.04], np.float32), "target": 0}
    return Explanation(**{**given, "kind": "softmax", "labels": ("dog", "cat", "cow"), **more})


@pytest.mark.parametrize(
    ("more", "below", "ends"),
    [
        ({"hostile": (1, 2)}, ("method rsp",), ("against", "for dog")),
        ({}, ("no rivals · method rsp",), ("speaks against", "speaks for")),
        ({"method": "lrp-gamma:gamma=0.5"}, ("method lrp-gamma:gamma=0.5",), ("speaks against", "speaks for")),
        ({"method": "gradient"}, ("method gradient",), ("negative", "positive")),  # its sign says neither
    ],
)
def test_the_heading_speaks_of_rivals_where_there_may_be_some(more, below, ends):
    found = heading(explanation(**more))
    assert (found.title, found.score) == ("dog", "probability 0.900 · rank 1 of 3")
    assert (found.lines, found.ends) == (below, ends)
    assert found.rivals == (("cat", "cow") if more.get("hostile") else ())


def test_the_input_that_is_drawn_is_the_one_named():
    """The first that has axes: a number beside it, such as a temperature, has no map."""
    parts = {"temperature": np.float32(1.0).reshape(()), "photo": np.ones((1, 2, 2), np.float32)}
    found = heading(explanation(inputs=tuple(parts), relevances=parts))
    assert found.lines[1] == "the input photo; the relevance of temperature is in the arrays alone"


def test_names_that_find_no_room_are_counted():
    assert listed("against ", ("boxer",), 500, 15, 3) == ["against boxer"]
    for count in (2, 9, 400):
        names = tuple(f"class number {n}" for n in range(count))
        lines = listed("against ", names, 300, 15, 3)
        assert len(lines) <= 3 and all(text_width(line, 15) <= 300 for line in lines)
        told = " ".join(lines)
        more = re.search(r" and (\d+) more$", told)
        assert told.count("class number") + (int(more[1]) if more else 0) == count
        assert "…" not in told
    long = listed("against ", ("W" * 900, "b", "c"), 300, 15, 3)
    assert len(long) == 3 and long[-1] == "and 2 more" and long[-2].endswith("…")


def test_a_long_label_is_wrapped_and_its_score_kept():
    for label in ("long " * 20, "W" * 2000, "x"):
        page = draw(KINDS["photo"], replace(HEADING, title=label))
        bold = [word.text for word in page.words if word.bold]
        assert bold[-1].endswith("rank 1 of 1000") and len(bold) <= 5
        assert all(text_width(text, 22, True) <= page.width - 40 for text in bold)
    narrow = draw(KINDS["photo"], replace(HEADING, title="long " * 20), "overlay")
    assert len([word for word in narrow.words if word.bold]) == 4


def test_twelve_rivals_do_not_hide_the_picture():
    page = draw(KINDS["photo"], replace(HEADING, rivals=tuple(f"a rival with a name, {n}" for n in range(40))))
    assert page.height < draw(KINDS["photo"], HEADING).height + 120
    assert sum("more" in word.text for word in page.words) == 2  # above, and at the scale's end


# ---- tokens ----


def test_a_token_lies_on_the_colour_of_its_relevance():
    values = np.array([1.0, -1.0, 0.0, 0.5])
    body = tokens(values, ["a", "b", "c", "d"])
    assert [box.colour for box in body.page.boxes] == [tuple(c) for c in heatmap_rgb(values[None] * 0.7, 1.0)[0]]
    assert [word.text for word in body.page.words] == ["a", "b", "c", "d"] and body.limit == 1.0
    for box, word in zip(body.page.boxes, body.page.words, strict=True):
        assert box.left < word.x < box.left + box.width and box.top < word.y < box.top + box.height


def test_words_can_be_read_on_every_colour():
    def linear(rgb):
        c = np.asarray(rgb, float) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for colour in shade(np.linspace(-1, 1, 201), 1.0):
        letters = {"#000000": 0.0, "#ffffff": 1.0}[ink(colour)]
        bright, dark = max(linear(colour), letters), min(linear(colour), letters)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5  # as WCAG asks of small text


def test_tokens_are_wrapped_and_none_is_lost():
    words = [f"word{'x' * (n % 40)}" for n in range(300)]
    body = tokens(noise(300), words)
    assert len(body.page.boxes) == 300 and body.lines == ()
    assert max(box.left + box.width for box in body.page.boxes) <= body.page.width
    many = tokens(noise(2000), ["w"] * 2000)
    assert len(many.page.boxes) == 1500 and many.lines == ("the first 1500 of 2000 tokens",)


def test_ids_without_a_vocabulary_are_said_to_be_ids():
    assert body_of(KINDS["tokens"]).lines == ("ids, no vocabulary given",)
    assert [w.text for w in body_of(KINDS["tokens"]).page.words] == [str(i) for i in IDS]
    named = replace(KINDS["tokens"], vocabulary={0: "the", 1: "猫", 2: ""})
    assert [w.text for w in body_of(named).page.words][:4] == ["the", "猫", "␣", "[3]"]
    assert body_of(named).lines == ()


# ---- planes and volumes ----


def test_a_spectrogram_is_grey_beside_its_map_with_numbered_axes():
    tensor = np.linspace(0, 1, 20 * 50).reshape(1, 20, 50)
    body = plane(noise(20, 50), tensor, "triple", ("freq", "time"))
    texts = [word.text for word in body.page.words]
    assert texts.count("freq") == texts.count("time") == 3 and {"input", "relevance", "overlay"} <= set(texts)
    assert body.lines == ("the input: 0 (black) to 1 (white)",)
    first = np.asarray(body.page.rasters[0].picture)
    assert first[0, 0].tolist() == [0, 0, 0] and first[-1, -1].tolist() == [255, 255, 255]
    assert np.all(np.ptp(first, axis=2) == 0)


def test_a_number_stands_at_its_row():
    body = plane(noise(20, 50), noise(1, 20, 50), "overlay")
    (raster,) = body.page.rasters
    step = raster.picture.height / 20
    found = {word.text: word.y for word in body.page.words if word.anchor == "right" and word.text.isdigit()}
    assert len(found) >= 2 and found["0"] == pytest.approx(raster.top + step / 2)
    assert all(y == pytest.approx(raster.top + (int(n) + 0.5) * step) for n, y in found.items())


@pytest.mark.parametrize("count", [1, 2, 7, 10, 99, 1000, 44100])
@pytest.mark.parametrize("pixels", [1, 60, 560, 1680])
def test_ticks_are_round_and_few(count, pixels):
    found = ticks(count, pixels)
    assert found[0] == 0 and found[-1] < count and len(found) <= max(1, pixels // 70)
    assert len(set(np.diff(found))) <= 1


def test_what_a_tensor_looks_like():
    assert shown(None, (2, 2)) == (None, "") and shown(noise(3, 4, 4), (4, 5)) == (None, "")
    colours, said = shown(np.stack([np.zeros((2, 2)), np.ones((2, 2)), np.ones((2, 2)) * 0.5]), (2, 2))
    assert colours[0, 0].tolist() == [0, 255, 128] and said == "the input: 0 (black) to 1 (white)"
    mean, said = shown(np.stack([np.eye(2), -np.eye(2) * 3]), (2, 2))
    assert mean.tolist() == [[0, 255], [255, 0]] and said == "the input: mean of 2 channels, −1 (black) to 0 (white)"
    assert shown(np.full((1, 2, 2), 7.0), (2, 2))[0].tolist() == [[0, 0], [0, 0]]


def test_slices_are_chosen_evenly_and_counted():
    assert evenly(3, 6) == [0, 1, 2] and evenly(40, 4) == [5, 15, 25, 35] and evenly(1, 6) == [0]
    few, many = slices(noise(3, 5, 5), None, "triple"), slices(noise(40, 5, 5), None, "overlay")
    assert few.lines == ("slices along the first axis: all 3",)
    assert many.lines == ("slices along the first axis: 12 of 40, evenly chosen",)
    assert sum(word.text.startswith("slice ") for word in many.page.words) == 12 == len(many.page.rasters)


def test_all_slices_have_one_scale():
    heatmap = np.zeros((2, 8, 8))
    heatmap[0], heatmap[1] = 1.0, 0.25
    strong, weak = (np.asarray(r.picture)[0, 0].tolist() for r in slices(heatmap, None, "triple").page.rasters)
    assert strong == heatmap_rgb(np.ones((1, 1)), 1.0)[0, 0].tolist()
    assert weak == heatmap_rgb(np.full((1, 1), 0.25), 1.0)[0, 0].tolist()


def test_channels_that_stand_last_are_channels():
    """As a sequence of one sample [T, 1, C] has them, and a volume [D, H, W, C]."""
    r, x = noise(20, 1, 3), noise(20, 1, 3)
    body = body_of(Subject(r, r.sum(-1), r.sum(-1), x))
    assert body.page.height > 3 * 60 and body.lines == ()  # a line per channel, through the input's own values
    same = body_of(Subject(r[:, 0].T, r.sum(-1)[:, 0], r.sum(-1)[:, 0], x[:, 0].T))
    assert np.array_equal(np.asarray(body.page.image()), np.asarray(same.page.image()))
    r, x = noise(4, 6, 7, 1), noise(4, 6, 7, 1)
    volume = body_of(Subject(r, r.sum(-1), r.sum(-1), x))
    assert volume.lines[0] == "slices along the first axis: all 4" and "the input" in volume.lines[1]


def test_more_channels_than_lines_are_rows_of_a_plane():
    texts = [word.text for word in body_of(subject(noise(13, 40), noise(13, 40))).page.words]
    assert "channel" in texts and "step" in texts


def test_inputs_of_one_number_each_are_one_table():
    one = {name: np.array([value], np.float32) for name, value in (("age", 1.0), ("income", -2.0))}
    found = explanation(relevance=one["age"], heatmap=one["age"], inputs=("age", "income"), relevances=one)
    assert kind_of(subject_of(found)) == "table"
    texts = [word.text for word in found.page().words]
    assert {"age", "income", "+1", "−2"} <= set(texts) and not any("arrays alone" in text for text in texts)
    assert found.can_be_drawn and not replace(found, relevances={n: r * 0 for n, r in one.items()}).can_be_drawn


def test_a_model_with_an_input_per_column_has_one_picture_of_them_all(tmp_path):
    names = ("age", "income", "debt")
    model = little(
        f"g ({', '.join(f'float[N,1] {name}' for name in names)}) => (float[N,2] y) "
        "{ c = Concat<axis=1>(age, income, debt) y = MatMul(c, v) }",
        v=np.array([[1.0, 0.0], [2.0, 1.0], [-3.0, 1.0]], np.float32),
    )
    x = {name: np.full((1, 1), 2.0, np.float32) for name in names}
    found = Explainer(model, device="cpu", method="gradient").explain(x, 0)
    texts = [word.text for word in found.page().words]
    rows = {name: texts[texts.index(name) + 1] for name in names}  # its number stands behind each name
    assert rows == {"age": "+1", "income": "+2", "debt": "−3"}  # y₀ = age + 2 income − 3 debt
    assert not any("arrays alone" in text for text in texts)


# ---- pages as pixels and as graphics ----


def test_pictures_without_a_chart_need_no_figure():
    """It takes half a second to import."""
    code = f"import sys; sys.path.insert(0, {str(REPO)!r}); from tests.test_pictures import *; " + (
        "[draw(KINDS[kind], HEADING).image() for kind in ('photo', 'image', 'tokens', 'table', 'volume')]; "
        "print('matplotlib.text' in sys.modules, 'matplotlib.figure' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]


def test_what_lies_on_a_page():
    dot = Image.new("RGB", (2, 2), "red")
    part = Page(4, 4, boxes=(Box(0, 0, 2, 2, (0, 0, 255)),), rasters=(Raster(dot, 2, 2),))
    pixels = np.asarray(Page(8, 8).with_part(part, 3, 1).image())
    assert pixels[1, 3].tolist() == [0, 0, 255] and pixels[3, 5].tolist() == [255, 0, 0]
    assert np.all(pixels[0] == 255) and np.all(pixels[:, :3] == 255)


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_svg_holds_its_words_as_text_and_its_panels_as_pictures(kind):
    nasty = "<script>\"&' ]]> \x00 שלום 日本"
    page = draw(KINDS[kind], replace(HEADING, title=nasty))
    found = ElementTree.fromstring(vector(page, "svg"))
    texts = ["".join(one.itertext()).strip() for one in found.iter(f"{SVG}text")]
    assert any(text.startswith("<script>\"&' ]]> ") for text in texts) and "against boxer" in texts
    assert "method rsp" in texts
    assert found.find(f"{SVG}title").text.startswith("<script>\"&' ]]> ")
    assert "against boxer. method rsp" in found.find(f"{SVG}desc").text
    assert found.find(f".//{SVG}script") is None
    links = [value for one in found.iter() for name, value in one.attrib.items() if name.endswith("href")]
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert len(list(found.iter(f"{SVG}image"))) >= len(page.rasters)


def test_an_svg_lies_as_the_png_does():
    page = draw(KINDS["photo"], HEADING)
    found = ElementTree.fromstring(vector(page, "svg"))
    assert found.get("viewBox") == f"0 0 {page.width} {page.height}"
    placed = {(float(one.get("x")), -float(one.get("y"))) for one in found.iter(f"{SVG}image")}
    # matplotlib writes pictures upside down: y from below, and a flip
    assert {x for x, _ in placed} == {raster.left for raster in page.rasters}
    word = next(one for one in found.iter(f"{SVG}text") if one.text == "relevance")
    (want,) = (w for w in page.words if w.text == "relevance")
    assert float(word.get("x")) == pytest.approx(want.x, abs=1)
    assert float(word.get("y")) == pytest.approx(want.y, abs=want.size / 2)


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_graphics_are_the_same_bytes_every_time(ending, tmp_path):
    found = explanation(hostile=(1,), relevance=noise(1, 20).astype(np.float32), heatmap=noise(20).astype(np.float32))
    for name in ("a", "b"):
        found.save(tmp_path / f"{name}.{ending}")
    first = (tmp_path / f"a.{ending}").read_bytes()
    assert first == (tmp_path / f"b.{ending}").read_bytes()
    assert first.startswith(b"%PDF" if ending == "pdf" else b"<?xml") and len(first) > 3000


@pytest.mark.parametrize("shape", [(3, 20000), (60000,)])
def test_long_signals_make_no_huge_files(shape):
    page = draw(subject(noise(*shape), noise(*shape)), HEADING)
    for kind in ("svg", "pdf"):
        assert len(vector(page, kind)) < 500_000


def test_a_pdf_says_what_it_is_of():
    data = vector(draw(KINDS["table"], HEADING), "pdf")
    assert b"/Subject" in data and b"/Title" in data and b"/CreationDate" not in data
    assert b"/FontFile2" in data  # letters, not pictures of letters


def test_an_explanation_is_saved_in_a_layout(tmp_path):
    found = explanation(photo=Image.new("RGB", (2, 2), "gray"))
    widths = []
    for layout in ("triple", "pair", "overlay"):
        found.save(tmp_path / "a.png", layout=layout)
        with Image.open(tmp_path / "a.png") as picture:
            widths.append(picture.width)
    assert widths == [1744, 1172, 640]
    with pytest.raises(BadInput, match="no layout 'x'"):
        found.save(tmp_path / "a.png", layout="x")
