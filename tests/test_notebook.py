"""What notebooks show: self-contained, escaped, and the same in what nbconvert makes of them."""

import base64
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from rsp_onnx import Explainer, Explanations
from rsp_onnx.render.colours import overlay, veil
from rsp_onnx.render.frame import Heading
from rsp_onnx.render.kinds import Subject
from rsp_onnx.render.notebook import GALLERY, LARGE, card, notebook, view_of

from .conftest import REPO

RNG = np.random.default_rng(0)
VOID = {"img", "input", "br", "meta", "link"}
HEADING = Heading("dog", "probability 0.930 · rank 1 of 3", (), ("no rivals · method rsp",))


class Page(HTMLParser):
    """The elements of a page, and its text; every element must be closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += "" if self.open[-1:] == ["style"] else data

    def all(self, tag, **attributes):
        return [a for t, a in self.elements if t == tag and attributes.items() <= a.items()]


def subject(relevance, tensor=None, **more):
    heatmap = relevance.sum(axis=0) if relevance.ndim > 1 else relevance
    return Subject(relevance, heatmap, heatmap, tensor, **more)


def noise(*shape):
    return RNG.standard_normal(shape)


PHOTO = Image.fromarray(RNG.integers(0, 255, (30, 40, 3), np.uint8))
KINDS = {
    "layers": subject(noise(3, 30, 40), photo=PHOTO),
    "slices": subject(noise(1, 9, 6, 7), noise(1, 9, 6, 7)),
    "words": subject(noise(7), np.arange(7)),
    "picture": subject(noise(2, 30), noise(2, 30)),
}


def picture_of(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


@pytest.fixture(scope="module")
def found():
    explainer = Explainer(REPO / "models/digits_pytorch.onnx", device="cpu")
    return explainer.explain(REPO / "models/scenes/scene_0.png", target=["four", "seven", "one"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [LARGE, GALLERY], ids=["large", "gallery"])
def test_every_view_is_whole_in_itself(kind, sizes):
    text = notebook([card(KINDS[kind], HEADING, ("mind <this>",), sizes)])
    page = Page(text)
    assert view_of(KINDS[kind], sizes)[0]["kind"] == kind
    assert all(text in page.text for text in ("dog", HEADING.score, HEADING.lines[0], "mind <this>", "speaks for"))
    links = [a[name] for _, a in page.elements for name in ("src", "href", "action", "srcset") if name in a]
    assert all(link.startswith("data:image/") for link in links) and "http" not in text and "@import" not in text
    assert all(url.startswith("data:image/") for url in re.findall(r"url\(([^)]{12})", text))
    assert len(page.all("input", type="range")) == (kind in ("layers", "slices"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_is_text(kind):
    nasty = "<script>alert(1)</script>\"'></style>&amp;{{ 7 }} שלום 日本"
    heading = Heading(nasty, nasty, (nasty,), (nasty,), (nasty, nasty))
    named = replace(KINDS[kind], vocabulary=dict.fromkeys(range(7), nasty))
    page = Page(notebook([card(named, heading, (nasty,)), card(named, heading, (nasty,), GALLERY)]))
    assert page.all("script") == [] and page.text.count(nasty) >= 10
    allowed = {"class", "id", "style", "src", "width", "height", "alt", "type", "min", "max", "value", "aria-label",
               "oninput", "title", "role", "data-slices"}  # fmt: skip
    assert {name for _, attributes in page.elements for name in attributes} - {
        "dir",
        "name",
        "checked",
        "for",
    } <= allowed


def test_the_styles_hang_on_the_id_and_ids_are_never_the_same():
    texts = [notebook([card(KINDS["layers"], HEADING)] * count) for count in (1, 1, 2, 30)]
    ids = [id for text in texts for id in re.findall(r' id="([^"]+)"', text)]
    assert len(set(ids)) == len(ids) >= 7
    for text in texts:
        uid = re.search(r'<div id="([^"]+)"', text)[1]
        style = re.sub(r"\{[^{}]*\}", ";", re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1])
        style = re.sub(r"@media[^{]*\{([^{}]*)\}", r"\1", style)
        rules = [rule.strip() for part in style.split(";") for rule in part.split(",") if rule.strip()]
        assert len(rules) > 20 and all(f"#{uid}" in rule for rule in rules), rules


def test_the_map_lies_over_the_photo_as_in_the_pictures():
    heatmap = np.kron(RNG.standard_normal((6, 8)), np.ones((12, 12)))
    view, limit, _ = view_of(Subject(heatmap[None], heatmap, heatmap, photo=PHOTO.resize((96, 72))), LARGE)
    base, colours = picture_of(view["base"]).convert("L"), picture_of(view["veil"]).convert("RGBA")
    pale = base.point(lambda v: 0.7 * v + 65).convert("RGB").convert("RGBA")
    laid = np.asarray(Image.alpha_composite(pale, colours).convert("RGB")).astype(int)
    want = np.asarray(overlay(PHOTO.resize((96, 72)), heatmap, limit)).astype(int)
    assert np.abs(laid - want).mean() < 4  # of 255: 255 colours, and the photo as JPEG


def test_a_large_photo_keeps_the_scale_of_its_map():
    heatmap = np.kron(RNG.standard_normal((12, 16)), np.ones((75, 75)))
    photo = Image.new("RGB", (1200, 900), "gray")
    view, limit, _ = view_of(Subject(heatmap[None], heatmap, heatmap, photo=photo), LARGE)
    colours = np.asarray(picture_of(view["veil"]).convert("RGBA"))[..., 3].astype(int)
    whole = veil(heatmap, limit).convert("RGBA").resize((720, 540), Image.Resampling.BOX)
    assert np.abs(colours - np.asarray(whole)[..., 3].astype(int)).mean() < 4  # of 255


def test_a_photo_that_is_nearly_black_is_brightened():
    dark = Image.fromarray(RNG.integers(0, 16, (30, 40, 3), np.uint8))
    view, _, said = view_of(subject(noise(3, 30, 40), photo=dark))
    assert np.asarray(picture_of(view["base"])).max() == 255 and said == ("photo, brightened",)


def test_a_veil_is_clear_where_nothing_speaks():
    heatmap = np.zeros((20, 20))
    heatmap[2:8, 2:8], heatmap[12:18, 12:18] = 1.0, -1.0
    pixels = np.asarray(veil(heatmap, sigma=0).convert("RGBA")).astype(int)
    assert np.all(pixels[9:11, :, 3] == 0) and np.all(pixels[2:8, 2:8, 3] == round(0.8 * 255))
    assert pixels[5, 5, 0] > pixels[5, 5, 2] + 60 and pixels[15, 15, 2] > pixels[15, 15, 0] + 60


def test_pictures_are_bounded():
    photo = Image.fromarray(RNG.integers(0, 255, (1500, 2000, 3), np.uint8))
    for sizes, longest in ((LARGE, 720), (GALLERY, 240)):
        view, _, _ = view_of(subject(noise(1, 1500, 2000), photo=photo), sizes)
        assert picture_of(view["base"]).size == picture_of(view["veil"]).size == (longest, longest * 3 // 4)
    view, _, said = view_of(subject(noise(1, 300, 20, 400)), LARGE)
    assert picture_of(view["strip"]).size == (192, 10 * 128) and said == ("128 of 300 slices, evenly chosen",)
    view, _, said = view_of(subject(noise(900), np.arange(900)), GALLERY)
    assert len(view["words"]) == 200 and said[-1] == "the first 200 of 900 tokens"


def test_a_gallery_of_a_hundred_is_small():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).resize((800, 600), Image.Resampling.BICUBIC)
    one = card(subject(noise(1, 600, 800), photo=photo), HEADING, sizes=GALLERY)
    assert len(notebook([one] * 100)) < 10e6


def test_a_slider_turns_over_all_slices():
    page = Page(notebook([card(KINDS["slices"], HEADING)]))
    (slider,) = page.all("input", type="range")
    assert slider["data-slices"].split() == [str(n) for n in range(9)] and slider["max"] == "8"
    (shown,) = page.all("div", role="img")
    assert "background-size: 100% 900%" in shown["style"] and "background-position: 0 50.0%" in shown["style"]


def test_an_explanation_shows_itself(found):
    page = Page(found[0]._repr_html_())
    said = ("four\n", "probability 1.000 · rank 2 of 10", "against zero · seven", "for the rivals", "for four")
    assert all(text in page.text for text in said)
    assert found[0]._repr_png_().startswith(b"\x89PNG") and found[0].hostile_labels[0] in page.text
    zero = replace(found[0], relevance=found[0].relevance * 0)
    assert "zero everywhere" in Page(zero._repr_html_()).text and zero._repr_png_() is None


def test_a_list_shows_a_gallery_in_pages(found):
    page = Page(Explanations(found * 9)._repr_html_())
    assert len(page.all("input", type="radio")) == 3 and len(page.all("input", type="range")) == 27
    assert [len(page.all("div", **{"class": f"rsp-page rsp-page-{n}"})) for n in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert Page(Explanations([found, found])._repr_html_()).text.count("method rsp") == 6  # a batch's lists of lists
    assert Page(found._repr_html_()).all("input", type="radio") == []
    assert Explanations([])._repr_html_() is None and Explanations([1])._repr_html_() is None
    assert Page(Explanations(found[:1])._repr_html_()).text == Page(found[0]._repr_html_()).text


def test_a_list_too_long_for_a_notebook_says_so(found):
    text = Page(Explanations(found[:1] * 241)._repr_html_()).text
    assert "The first 240 of 241 explanations" in text and text.count("method rsp") == 240


CELLS = (
    "from rsp_onnx import Explainer\nexplainer = Explainer('models/digits_pytorch.onnx', device='cpu')\n"
    "found = explainer.explain('models/scenes/scene_0.png', target='topk:3')\nfound[0]",
    "found",
    "explainer.explain_batch([f'models/scenes/scene_{n}.png' for n in range(7)], target='topk:2')",
)


@pytest.mark.slow
def test_a_notebook_that_nbconvert_ran_holds_the_views(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; this test writes a notebook")
    pytest.importorskip("nbconvert", reason="nbconvert is not installed; this test runs a notebook")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed; this test runs a notebook")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "views.ipynb")
    (tmp_path / "models").symlink_to(REPO / "models")
    homes = {f"{name}_DIR": str(tmp_path / name) for name in ("JUPYTER_CONFIG", "JUPYTER_RUNTIME")}
    given = {**os.environ, **homes, "PYTHONPATH": str(REPO), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", "views.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "views.html").read_text(encoding="utf-8")
    ids = re.findall(r' id="(rsp-[0-9a-f]{12})"', text)
    assert len(ids) == len(set(ids)) == 3
    assert text.count('class="rsp-card') == 1 + 3 + 14 and text.count('class="rsp-veil"') == 18
    assert text.count('type="radio"') == 2  # the batch has two pages, the list of three none
    assert "for zero" in text and "probability 1.000 · rank 1 of 10" in text
