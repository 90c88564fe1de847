"""The page as people use it, driven in Chromium: served by Python, and as a folder in which the browser computes."""

import contextlib
import functools
import http.server
import io
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsp_onnx import Explainer
from rsp_onnx.web.built import BUILT
from rsp_onnx.web.page.write import write_page

from .browsing import chromium, scrolls_sideways, serious, tab
from .test_serve_process import Server

if not (BUILT / "assets").is_dir():
    pytest.skip("the page is not built (make page, which needs Node.js)", allow_module_level=True)

EVIL = "<img src=x onerror=alert(1)>"
LABELS = ["zero", "one", EVIL, "three", "four", "five", "six", "seven", "eight", "nine"]
TARGET, RIVAL = 3, 5
NEAR = 1e-3  # of the largest relevance; convolutions are summed in another order in WASM


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(LABELS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def models(repo):
    return [repo / "models/digits_pytorch.onnx", repo / "models/digits_keras.onnx"]


@pytest.fixture(scope="module")
def scene(repo):
    return repo / "models/scenes/scene_3.png"  # a three and a five, among others


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def hosted(folder):
    """Serve a folder as any web space does; yields its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def running(*arguments, temporary):
    """Start ``rsp-onnx serve``; yields the address it tells."""
    server = Server("--port", "0", *arguments, temporary=temporary)
    try:
        yield f"http://{server.host}/?token={server.token}"
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["served", "folder"])
def address(request, models, labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "served":
        with running(*models, "--labels", labels, temporary=folder) as found:
            yield found
    else:
        write_page(models, folder / "page", labels=[labels], methods=["rsp", "gradient"])
        with hosted(folder / "page") as found:
            yield found


def opened(page, address, picture):
    """Open the page and give it a picture; wait for the first map."""
    page.goto(address)
    page.get_by_test_id("file-picture").set_input_files(picture)
    shown(page)


def shown(page, count=1):
    """Wait until so many maps are there and nothing is being computed."""
    page.locator("section.stage progress").wait_for(state="detached")
    page.locator("section.stage canvas").nth(count - 1).wait_for()


def arrays(page):
    """Download what is shown."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Arrays (.npz)").click()
    return dict(np.load(io.BytesIO(Path(download.value.path()).read_bytes())))


def the_map(page):
    found = arrays(page)
    (name,) = [name for name in found if name.endswith("relevance")]
    return found[name]


def choose(page, name, rival=None):
    row = page.get_by_role("listitem").filter(has=page.get_by_role("button", name=f"Rival: {name}", exact=True))
    row.get_by_role("button").first.click()
    if rival:
        page.get_by_role("button", name=f"Rival: {rival}", exact=True).click()
    shown(page)


def canvas(page):
    return Image.open(io.BytesIO(page.locator("section.stage canvas").first.screenshot())).convert("RGB").tobytes()


def test_the_map_is_pythons_and_changes_sign_when_target_and_rival_swap(browser, address, models, scene):
    explainer = Explainer(models[0], device="cpu", threads=1)
    with tab(browser) as (page, asked):
        opened(page, address, scene)
        choose(page, "three", rival="five")
        maps = [the_map(page)]
        page.get_by_role("button", name="Swap target and rival").click()
        shown(page)
        maps.append(the_map(page))
        for found, (target, rival) in zip(maps, ((TARGET, RIVAL), (RIVAL, TARGET)), strict=True):
            wanted = explainer.explain(scene, target, [rival]).relevance
            np.testing.assert_allclose(found, wanted, rtol=0, atol=NEAR * np.abs(wanted).max())
        assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] < -0.5
        host = address.split("/")[2]
        assert {one.split("/")[2] for one in asked if one.startswith("http")} == {host}


def test_a_label_stays_text(browser, address, scene):
    with tab(browser) as (page, _):
        dialogs = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        opened(page, address, scene)
        page.get_by_label(re.compile("Search all 10 classes")).fill("onerror")
        page.get_by_text(EVIL).first.wait_for()
        choose(page, EVIL)
        assert page.locator("img[src=x]").count() == 0 and dialogs == []
        assert EVIL in page.locator("section.stage").inner_text()


def test_sliders_and_views_change_what_is_drawn(browser, address, scene):
    with tab(browser) as (page, _):
        opened(page, address, scene)
        seen = [canvas(page)]
        page.get_by_label("Opacity").press("Home")
        seen.append(canvas(page))
        page.get_by_label("Opacity").press("End")
        page.get_by_label("Threshold").press("End")
        seen.append(canvas(page))
        page.get_by_label("Threshold").press("Home")
        for view in ("Map", "Contours", "Photo"):
            page.get_by_text(view, exact=True).click()
            seen.append(canvas(page))
        page.get_by_text("Map", exact=True).click()
        page.get_by_text("Orange and blue").click()
        seen.append(canvas(page))
        page.get_by_role("button", name="Zoom in").click()
        seen.append(canvas(page))
        assert len(set(seen)) >= len(seen) - 2  # no opacity, and all below the threshold, are the photo alone


def test_layers_show_their_maps_and_sums(browser, address, scene):
    with tab(browser) as (page, _):
        opened(page, address, scene)
        page.get_by_role("heading", name="Layer by layer").click()
        layer = page.locator('.network button[aria-disabled="false"]').first
        layer.click()
        figure = page.locator("figure.layer-map")
        figure.wait_for()
        assert "summed over channels" in figure.inner_text()
        assert re.search(r"^Layer \S+:.*, sum [−+]\d", layer.text_content())


def test_the_brush_says_what_it_changed(browser, address, scene):
    with tab(browser) as (page, _):
        opened(page, address, scene)
        page.get_by_role("heading", name="Paint over a part").click()
        brush = page.get_by_role("application", name=re.compile("Paint on the picture"))
        brush.press(" ")
        for _ in range(3):
            brush.press("ArrowDown")
            brush.press(" ")
        outcome = page.get_by_test_id("brush-outcome")
        outcome.wait_for(timeout=20_000)
        words = outcome.inner_text()
        assert re.search(r"^\S+: [\d.]+\s% before, [\d.]+\s% after", words) and "held" in words


def test_two_models_and_two_methods_stand_beside_each_other(browser, address, scene):
    with tab(browser) as (page, _):
        opened(page, address, scene)
        page.get_by_text("Models", exact=True).click()
        shown(page, 2)
        words = page.locator("section.stage").inner_text()
        assert "digits_pytorch.onnx" in words and "digits_keras.onnx" in words
        page.get_by_text("Methods", exact=True).click()
        page.get_by_role("group", name=re.compile("methods for the same class")).get_by_label(
            re.compile("radient")
        ).first.check()
        shown(page, 2)


def test_what_is_shown_can_be_taken_away_and_restored(browser, address, scene):
    with tab(browser) as (page, _):
        opened(page, address, scene)
        choose(page, "three", rival="five")
        files = {}
        for name in ("PNG", "SVG", "View (.json)"):
            with page.expect_download() as download:
                page.get_by_role("button", name=name, exact=True).click()
            files[name] = Path(download.value.path()).read_bytes()
        assert Image.open(io.BytesIO(files["PNG"])).width > 400
        svg = files["SVG"].decode()
        assert svg.startswith("<svg") and "three" in svg and "data:image/png" in svg
        assert "three" in json.dumps(json.loads(files["View (.json)"])) or files["View (.json)"]
        kept = page.evaluate("location.hash")
        before = the_map(page)
        page.goto("about:blank")
        opened(page, address + kept, scene)
        np.testing.assert_allclose(the_map(page), before, rtol=0, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(browser, address, scene, width, dark):
    with tab(browser, width, dark=dark) as (page, _):
        opened(page, address, scene)
        choose(page, "three", rival="five")
        for name in ("Layer by layer", "Paint over a part"):
            page.get_by_role("heading", name=name).click()
        page.locator(".network button").first.wait_for()
        assert scrolls_sideways(page) == [] and serious(page) == []


def test_a_model_is_dropped_onto_the_empty_server(browser, models, labels, scene, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with running(temporary=tmp_path) as address, tab(browser) as (page, _):
        page.goto(address)
        page.get_by_test_id("file-model").set_input_files(tmp_path / "broken.onnx")
        refused = page.get_by_role("alert").filter(has_text="broken.onnx")
        refused.wait_for()
        page.get_by_role("button", name="Dismiss").click()
        page.get_by_test_id("file-model").set_input_files(models[0])
        page.get_by_text("What was understood").wait_for()
        page.get_by_test_id("file-labels").set_input_files(labels)
        page.get_by_test_id("file-picture").set_input_files(scene)
        shown(page)
        assert "three" in page.locator("section.classes").inner_text()


def test_a_sample_is_chosen(browser, models, repo, tmp_path):
    with (
        running(models[0], "--images", repo / "models/scenes", temporary=tmp_path) as address,
        tab(browser) as (page, _),
    ):
        page.goto(address)
        page.get_by_role("list", name="Samples").get_by_role("button", name="scene_3.png").click()
        shown(page)
        explainer = Explainer(models[0], device="cpu", threads=1)
        wanted = explainer.explain(repo / "models/scenes/scene_3.png", hostile="none").relevance
        np.testing.assert_allclose(the_map(page), wanted, rtol=0, atol=NEAR * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["served", "folder"])
def test_squeezenet_is_pythons(browser, shared_data, tmp_path, how):
    model = shared_data / "models/squeezenet1.1_nchw_fp32.onnx"
    photo = tmp_path / "photo.png"  # JPEG decoders differ by a level
    Image.open(min((shared_data / "images/ilsvrc_val").glob("*.JPEG"))).convert("RGB").save(photo)
    if how == "folder":
        write_page([model], tmp_path / "page")
    explainer = Explainer(model, device="cpu", threads=1)
    with (
        running(model, temporary=tmp_path) if how == "served" else hosted(tmp_path / "page") as address,
        tab(browser) as (page, _),
    ):
        opened(page, address, photo)
        wanted = explainer.explain(photo).relevance
        # a tie of a ReLU may fall otherwise in another runtime: single pixels differ more, the map does not
        assert np.linalg.norm(the_map(page) - wanted) < NEAR * np.linalg.norm(wanted)
        page.get_by_role("button", name=re.compile("^Rival: ")).nth(1).click()
        shown(page)
        assert "against" in page.locator("section.classes").inner_text()


def test_memory_returns_after_twenty_pictures(browser, address, repo, tmp_path):
    pictures = []
    with Image.open(repo / "models/scenes/scene_3.png") as scene:
        for number in range(20):
            pictures.append(tmp_path / f"picture-{number}.png")
            scene.rotate(number).save(pictures[-1])
    with tab(browser) as (page, _):
        opened(page, address, pictures[0])
        cleaner, used = page.context.new_cdp_session(page), []
        for _ in range(3):
            for picture in pictures:
                page.get_by_test_id("file-picture").set_input_files(picture)
                page.get_by_text(picture.name).first.wait_for()
                shown(page)
            cleaner.send("HeapProfiler.collectGarbage")
            used.append(cleaner.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
        assert used[2] < used[1] + 2, used  # megabytes; what is kept for going back is bounded
