"""report.html: complete in one file, every text escaped, drawn by a browser without a complaint."""

import base64
import hashlib
import html.parser
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate import evaluate, write_report
from rsp_onnx.evaluate.report.charts import curves, histograms, limits, whisker
from rsp_onnx.evaluate.report.pictures import _orders, _thumbnail, embed
from rsp_onnx.evaluate.report.report import TEMPLATE
from rsp_onnx.reports.page import report_page

from .evaluating import copies, use_little_ones

EVIL = "<script>alert(1)</script>"
METHODS = ["rsp", "rsp:hostile=none", "gradient"]
NAMES = [EVIL, "one", "two & a half", '"three"', "four", "five", "six", "seven", "eight", "{{ 7 * 7 }}"]


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        use_little_ones(patch.setattr)
        yield


@pytest.fixture(scope="module")
def done(repo, tmp_path_factory, patched):
    """A run whose labels, file names and errors are hostile."""
    data = copies(repo / "models/scenes", tmp_path_factory.mktemp("data") / "d", 20)
    evil = "00018.png<img src=x onerror=alert(2)>"
    (data / "00018.png").unlink()
    (data / evil).write_bytes(b"no picture")
    text = (data / "boxes.csv").read_text().replace("00018.png", evil)
    (data / "boxes.csv").write_text(text)
    labels = data / "labels.txt"
    labels.write_text("\n".join(NAMES))
    out = tmp_path_factory.mktemp("runs") / "run & <b>"
    evaluate(
        repo / "models/digits_pytorch.onnx", data, format="csv", methods=METHODS, metrics=["hit", "share", "layers"],
        out=out, device="cpu", labels=labels, command="rsp-onnx evaluate '</td><script>alert(3)</script>'",
    )  # fmt: skip
    return out


class Page(html.parser.HTMLParser):
    """What is in a page: tags with their attributes, and the text outside of style and script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._inside = [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("style", "script") else self._inside

    def handle_endtag(self, tag):
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data):
        if self._inside is None:
            self.text += data


@pytest.fixture(scope="module")
def page(done):
    return Page((done / "report.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_labels_names_and_errors_are_text(page):
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]  # the one that sorts tables
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    for text in (*NAMES, "<img src=x onerror=alert(2)>", "</td><script>alert(3)</script>", "run & <b>"):
        assert text in page.text, text


def test_nothing_is_fetched(page):
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attrs.get(name, "data:").startswith(("data:", "#")), (tag, attrs)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'") and "script-src 'unsafe-inline'" not in policy


def test_every_link_leads_somewhere_in_the_page(page):
    places = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = [attrs["href"][1:] for tag, attrs in page.tags if tag == "a"]
    assert links and set(links) <= places


def test_all_there_is_is_shown(page, done):
    for method in METHODS:
        assert method in page.text
    for heading in ("Figures", "Images", "Metric by metric", "Errors", "Where this comes from", "by class"):
        assert heading in page.text, heading
    chosen = json.loads((done / "pictures/pictures.json").read_text())
    assert len({one["item"] for one in chosen}) == len(chosen) == 12
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == len(chosen) * (1 + len(METHODS))
    assert {one["group"].split(",")[0] for one in chosen} == {
        "Best for rsp", "Worst for rsp", "Where the methods disagree most",
    }  # fmt: skip
    assert "00018.png" in page.text and "does not lead layers" in page.text
    assert sum(tag == "svg" for tag, _ in page.tags) >= 3 * 3 + 3 + 1  # whiskers, histograms, a curve


def test_a_report_needs_neither_model_nor_data(done, tmp_path, patched):
    moved = shutil.copytree(done, tmp_path / "moved")
    found = write_report([moved], tmp_path / "out")
    assert found["metrics"] == json.loads((done / "summary.json").read_text())["metrics"]
    assert (tmp_path / "out/errors.csv").read_text() == (done / "errors.csv").read_text()
    (moved / "pictures/00.photo.png").unlink()
    write_report([moved], tmp_path / "out")  # a picture that is gone is left out


def test_runs_stand_side_by_side(done, repo, tmp_path, patched):
    evaluate(
        repo / "models/digits_keras.onnx", repo / "models/scenes", format="csv", methods=["rsp"], metrics=["share"],
        out=tmp_path / "keras", device="cpu",
    )  # fmt: skip
    found = write_report([done, tmp_path / "keras"], tmp_path / "both")
    text = Page((tmp_path / "both/report.html").read_text(encoding="utf-8")).text
    assert {f["run"] for f in found["metrics"]} == {"run & <b>", "keras"}
    assert "keras · rsp" in text and "run & <b> · gradient" in text
    assert set(found["runs"]) == {"run & <b>", "keras"}


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(BadInput, match="holds no run"):
        write_report([tmp_path], tmp_path / "out")
    (tmp_path / "run.json").write_text("{half")
    with pytest.raises(BadInput, match="cannot be read as JSON"):
        write_report([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- in a browser ----

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=3000",
]  # fmt: skip


@pytest.fixture
def browse(tmp_path):
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here to open the report with")

    def open_page(path, *options):
        command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, path.resolve().as_uri()]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env={**os.environ, "LANG": "C.UTF-8"}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return open_page


def probing(page, tmp_path):
    """The page with a script that counts what is drawn and sorts a table, and writes what it finds into the body."""
    script = """for (const image of document.images) image.loading = "eager";
    addEventListener("load", () => {
        const seen = [...document.images].filter(i => i.complete && i.naturalWidth > 50).length;
        const first = () => document.querySelector("table[data-sortable] tbody td").textContent.trim();
        const before = first();
        document.querySelectorAll("table[data-sortable] th button")[2].click();
        document.querySelectorAll("table[data-sortable] th button")[2].click();
        document.body.dataset.probe = [seen, document.images.length, before, first()].join("|");
    });"""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    text = page.read_text(encoding="utf-8")
    assert text.count("</body>") == text.count("script-src ") == 1
    copy = tmp_path / "probed.html"
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ").replace("'none'\"", '"')
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return copy


def test_a_browser_draws_it_without_a_complaint(done, browse, tmp_path):
    dom, log = browse(probing(done / "report.html", tmp_path), "--dump-dom")
    assert "CONSOLE" not in log, log
    seen, count, before, after = re.search(r'data-probe="([^"]*)"', dom).group(1).split("|")
    assert seen == count == str(12 * 4)
    assert (before, after) == ("rsp", "gradient")  # the smallest share first
    shown = dom.replace("&lt;", "<").replace("&gt;", ">")
    assert EVIL not in dom and EVIL in shown


def test_a_console_error_would_be_seen(browse, tmp_path):
    (tmp_path / "bad.html").write_text("<body><script>console.error('oh')</script></body>")
    assert "CONSOLE" in browse(tmp_path / "bad.html", "--dump-dom")[1]


def test_the_screenshot_is_not_blank(done, browse, tmp_path):
    browse(done / "report.html", f"--screenshot={tmp_path / 'shot.png'}", "--window-size=1300,2400")
    with Image.open(tmp_path / "shot.png") as shot:
        assert len(shot.convert("RGB").getcolors(2**24)) > 1000


# ---- charts ----


def test_histograms_share_their_axes():
    found = histograms({"a": np.array([0.0, 0.5, 1.0]), "b": np.array([0.25, np.nan]), "none": np.zeros(0)})
    assert (found["low"], found["high"]) == (0.0, 1.0)
    assert [c["n"] for c in found["charts"]] == [3, 1, 0]
    assert found["charts"][0]["median"] == {"value": 0.5, "x": 110.0}
    assert histograms({"a": np.ones(5)}) is None and histograms({}) is None


def test_curves_are_means_on_common_axes():
    found = curves({"a": [[0.0, 1.0], [0.0, 0.5, 9.0]], "b": [[1.0, 1.0]]})
    assert (found["low"], found["high"]) == (0.0, 1.0)
    assert [line["points"] for line in found["lines"]] == ["0.0,220.0 420.0,55.0", "0.0,0.0 420.0,0.0"]
    assert curves({"a": []}) is None


def test_intervals_are_drawn_from_end_to_end():
    figure = {"low": 0.0, "value": 0.5, "high": 1.0}
    assert limits([figure]) == (0.0, 1.0)
    assert whisker(figure, 0.0, 1.0) == {"left": 3.0, "middle": 48.0, "right": 93.0}
    assert whisker({**figure, "value": None}, 0, 1) is None


def test_images_are_chosen_by_the_first_metric_and_ties_by_the_others():
    values = np.array([[[1, 0.2], [1, 0.1]], [[0, 0.9], [1, 0.9]], [[1, 0.8], [1, 0.8]]], float)
    orders = {title: list(order) for title, order in _orders(values, ["a", "b"])}
    assert orders == {
        "Where the methods disagree most": [1, 0, 2], "Best for a": [2, 0, 1], "Worst for a": [1, 0, 2],
    }  # fmt: skip


def test_thumbnails_keep_their_proportions():
    assert _thumbnail((500, 250)) == (224, 112)
    assert _thumbnail((96, 96)) == (192, 192)
    assert _thumbnail((5000, 1)) == (224, 1)


def test_a_damaged_picture_is_left_out(tmp_path):
    assert embed(tmp_path / "none.png") is None
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    assert embed(tmp_path / "bad.png") is None


def test_svg_in_the_page_is_well_formed(done):
    text = (done / "report.html").read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert drawings
    for drawing in drawings:
        ET.fromstring(drawing)


def test_an_unknown_name_in_the_template_is_an_error():
    with pytest.raises(Exception, match="undefined"):
        report_page(TEMPLATE, title="report")
