"""Reports of checks: JUnit, SARIF, Markdown, HTML."""

import base64
import io
import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rsp_onnx.checks import CHECKS, check, record
from rsp_onnx.checks.reports.html import html_report
from rsp_onnx.checks.reports.junit import junit_report
from rsp_onnx.checks.reports.markdown import markdown_report
from rsp_onnx.checks.reports.sarif import sarif_report, uri_of
from rsp_onnx.cli.main import main

from .checking import saved, with_random_layer, write_spec
from .little import signal_net, table_net, volume_net

QUICK = "[expect]\nsanity = false\nstability = false\nlatency = 1000\nmemory = false\n"


@pytest.fixture(scope="module")
def spec(repo, tmp_path_factory):
    """A SPEC of two scenes with goldens; the second scene's name needs escaping everywhere."""
    folder = tmp_path_factory.mktemp("outputs")
    shutil.copy(repo / "models/scenes/scene_2.png", folder / "a|<b>&'2.png")
    path = write_spec(repo, folder, scenes=["scene_0.png"])
    path.write_text(path.read_text() + '\n[[image]]\npath = "a|<b>&\'2.png"\n\n' + QUICK)
    record(path)
    return path


@pytest.fixture(scope="module")
def broken(spec, repo):
    """The model with its last layer drawn anew."""
    return saved(with_random_layer(repo / "models/digits_pytorch.onnx", -1), spec.with_name("broken.onnx"))


@pytest.fixture(scope="module")
def good(spec):
    return check(spec)


@pytest.fixture(scope="module")
def bad(spec, broken):
    return check(spec, model=broken)


# ---- JUnit: element → (attributes that must be there, that may be there, children) ----

_COUNTS = {"name", "tests", "failures", "errors"}
SCHEMA = {
    "testsuites": (set(), {*_COUNTS, "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests"},
        {*_COUNTS, "time", "skipped", "disabled", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "classname"},
        {"name", "classname", "time", "assertions", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"message", "type"}, set()),
    "skipped": (set(), {"message"}, set()),
    "system-out": (set(), set(), set()),
}


def validate(element):
    needed, allowed, children = SCHEMA[element.tag]
    assert needed <= set(element.attrib) <= allowed | needed, element.attrib
    for key in ("tests", "failures", "errors", "skipped"):
        assert element.get(key, "0").isdecimal()
    assert float(element.get("time", "0")) >= 0
    for child in element:
        assert child.tag in children, child.tag
        validate(child)


def test_junit_fits_the_schema_and_counts_right(good, bad):
    root = ElementTree.fromstring(junit_report([good, bad]))
    validate(root)
    assert [len(suite) for suite in root] == [len(good.results), len(bad.results)]
    assert int(root.get("tests")) == len(good.results) + len(bad.results)
    failures = root.findall("testsuite/testcase/failure")
    assert len(failures) == int(root.get("failures")) == len(bad.failed) > 5
    top1 = next(f for f in failures if f.get("type") == "top1")
    assert "(2 of 2 figures)" in top1.get("message")
    assert re.search(r"digits\.rsp\.toml:\d+: a\|<b>&'2\.png", top1.text)


def test_junit_drops_what_xml_cannot_hold(good, monkeypatch):
    result = good.results[0]
    monkeypatch.setattr(type(result.check), "name", "bell\x07\x00")
    from rsp_onnx.checks.reports import junit

    assert junit._clean("bell\x07") == "bell�"
    ElementTree.fromstring(junit._clean("<a>\ud800</a>"))


# ---- SARIF ----


def test_sarif_has_what_is_required(good, bad):
    log = json.loads(json.dumps(sarif_report([good, bad])))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "rsp-onnx"
    ids = [rule["id"] for rule in driver["rules"]]
    assert sorted(ids) == sorted(CHECKS)
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    assert {r["ruleId"] for r in run["results"]} == {r.name for r in bad.failed}
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith("digits.rsp.toml")
        assert place["region"]["startLine"] >= 1
        assert all(isinstance(v, str) for v in result["partialFingerprints"].values())


def test_sarif_lines_are_those_of_the_images(bad):
    lines = bad.spec.path.read_text().splitlines()
    top1 = [r for r in sarif_report([bad])["runs"][0]["results"] if r["ruleId"] == "top1"]
    for result in top1:
        assert lines[result["locations"][0]["physicalLocation"]["region"]["startLine"] - 1] == "[[image]]"


def test_a_spec_below_us_has_a_relative_address(spec, monkeypatch, tmp_path):
    monkeypatch.chdir(spec.parent.parent)
    assert uri_of(spec) == f"{spec.parent.name}/digits.rsp.toml"
    monkeypatch.chdir(tmp_path)
    assert uri_of(spec).startswith("file:///")


# ---- Markdown and HTML ----


def test_markdown_is_a_table_with_the_failures_first(good, bad):
    text = markdown_report([bad, good])
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 6, row
    assert "### ✗" in text
    assert "### ✓" in text
    body = [r for r in rows if not r.startswith("| |")]
    assert body[0].startswith("| ✗ |")
    assert "a\\|\\<b\\>&'2.png" in text


def test_html_stands_alone_and_shows_both_maps(bad):
    page = html_report([bad]).decode()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<b>&" not in page
    assert "a|&lt;b&gt;&amp;&#39;2.png" in page
    pictures = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', page)
    assert len(pictures) == 2 * 3  # two images: recorded, now, difference
    sizes = set()
    for data in pictures:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            sizes.add(picture.size)
    assert len(sizes) == 1 and min(sizes.pop()) >= 224


def test_html_of_a_good_model_needs_no_picture(good):
    assert b"<img" not in html_report([good])


@pytest.mark.parametrize("net", [signal_net, table_net, volume_net], ids=["signal", "table", "volume"])
def test_html_draws_what_is_no_photo_as_explain_does(net, tmp_path):
    model = net()
    shape = [size.dim_value or 1 for size in model.graph.input[0].type.tensor_type.shape.dim]
    np.save(tmp_path / "item.npy", np.random.default_rng(0).random(shape, np.float32))
    saved(model, tmp_path / "net.onnx")
    path = tmp_path / "net.rsp.toml"
    path.write_text('model = "net.onnx"\n[[image]]\npath = "item.npy"\n' + QUICK)
    record(path)
    other = saved(with_random_layer(tmp_path / "net.onnx", -1), tmp_path / "other.onnx")
    page = html_report([check(path, model=other)]).decode()
    sizes = []
    for data in re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', page):
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            sizes.append(picture.size)
    assert len(sizes) == 3 and sizes[0] == sizes[1] != sizes[2]  # the difference alone is a strip


# ---- the command writes them ----


def test_all_files_at_once(spec, broken, tmp_path):
    names = {kind: tmp_path / f"out.{kind}" for kind in ("junit", "markdown", "sarif", "report")}
    words = [w for kind, path in names.items() for w in (f"--{kind}", str(path))]
    result = CliRunner().invoke(main, ["check", str(spec), "--model", str(broken), *words])
    assert result.exit_code == 1, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in names.values())
    validate(ElementTree.parse(names["junit"]).getroot())
    assert json.loads(names["sarif"].read_text())["version"] == "2.1.0"


def test_a_place_that_cannot_be_written_is_code_2(spec, tmp_path):
    result = CliRunner().invoke(main, ["check", str(spec), "--junit", str(tmp_path / "no/such.xml")])
    assert result.exit_code == 2
    assert "cannot be written" in result.output
    assert list(tmp_path.iterdir()) == []
