"""The four reports in a browser: on a phone and a desk, light and dark, with axe-core; and a large one."""

import re

import pytest
from PIL import Image

from rsp_onnx.checks import check, compare_models
from rsp_onnx.checks.reports.html import html_report
from rsp_onnx.evaluate import evaluate

from .browsing import chromium, scrolls_sideways, serious, tab


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def reports(repo, tmp_path_factory):
    """Return reports of our own models and scenes by name; that of check fails."""
    folder, models, scenes = tmp_path_factory.mktemp("reports"), repo / "models", repo / "models/scenes"
    (folder / "check.html").write_bytes(
        html_report([check(models / "digits.rsp.toml", model=models / "digits_watermark.onnx")])
    )
    two = models / "digits_pytorch.onnx", models / "digits_watermark.onnx"
    compare_models(*two, sorted(scenes.glob("scene_?.png")), out=folder / "compare", device="cpu")
    evaluate(
        models / "digits_pytorch.onnx", scenes, format="csv", methods=["rsp", "gradient"], metrics=["pointing"],
        out=folder / "evaluate", device="cpu",
    )  # fmt: skip
    return {
        "check": folder / "check.html", "compare": folder / "compare/report.html",
        "evaluate": folder / "evaluate/report.html",
    }  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["check", "compare", "evaluate"])
def test_a_report_fits_and_axe_finds_nothing_serious(browser, reports, name, width, dark):
    with tab(browser, width, dark=dark) as (page, asked):
        page.goto(reports[name].as_uri())
        assert scrolls_sideways(page) == []
        assert serious(page) == []
        assert [address for address in asked if not address.startswith(("file:", "data:"))] == []


def test_what_fails_stands_first_and_leads_to_its_image(browser, reports):
    with tab(browser) as (page, _):
        page.goto(reports["check"].as_uri())
        assert "fails: scores, top1" in page.locator(".verdict .sentence").inner_text()
        states = page.locator("table.data tbody tr td:first-child").all_inner_texts()
        assert [re.sub(r"\W", "", state) for state in states] == sorted(
            (re.sub(r"\W", "", state) for state in states), key=["fail", "warn", "pass", "notapplicable"].index
        )
        page.get_by_role("link", name="scenes/scene_0.png").first.click()
        assert page.locator("figure:target figcaption").inner_text().startswith("scenes/scene_0.png")


def test_the_slider_moves_the_edge_between_two_maps(browser, reports, tmp_path):
    with tab(browser) as (page, _):
        page.goto(reports["compare"].as_uri())
        stage, shots = page.locator(".slide").first, []
        slider = page.get_by_label(re.compile("left .*, right")).first
        for key in ("Home", "End"):
            slider.press(key)
            stage.screenshot(path=tmp_path / f"{key}.png")
            shots.append(Image.open(tmp_path / f"{key}.png").convert("RGB").tobytes())
        assert shots[0] != shots[1]


def test_tables_sort_and_filter(browser, reports):
    with tab(browser) as (page, _):
        page.goto(reports["evaluate"].as_uri())
        page.get_by_role("button", name="pointing ↑").click()
        first = page.locator("table.data").first.locator("tbody tr").first
        assert first.inner_text().startswith("rsp")
        page.get_by_role("button", name="pointing ↑").click()
        assert first.inner_text().startswith("gradient")
        page.get_by_label("filter: every item").fill("scene_2 eight")
        assert page.locator("text=1 of 23").count() == 1


@pytest.mark.slow
def test_the_report_of_two_thousand_items_shows_a_hundred_at_once(browser, repo, tmp_path):
    """Pictures of 28 pixels: what counts is how many items there are."""
    data = tmp_path / "data"
    data.mkdir()
    with Image.open(repo / "models/scenes/scene_0.png") as scene:
        for number in range(2000):
            scene.rotate(number % 360).save(data / f"{number:04d}.png")
    lines = [f"{number:04d}.png,{number % 10},10,10,60,60" for number in range(2000)]
    (data / "boxes.csv").write_text("\n".join(["image,class_index,xmin,ymin,xmax,ymax", *lines]), encoding="utf-8")
    evaluate(
        repo / "models/digits_pytorch.onnx", data, format="csv", methods=["grad-cam"], metrics=["pointing"],
        out=tmp_path / "run", device="cpu", threads=1,
    )  # fmt: skip
    report = tmp_path / "run/report.html"
    assert report.stat().st_size < 20e6
    with tab(browser, 390) as (page, _):
        page.goto(report.as_uri())
        page.get_by_text("1 to 100 of 2000").wait_for()
        assert scrolls_sideways(page) == []
        assert page.locator("table.data tbody tr:visible").count() < 300  # what is not shown is not laid out
