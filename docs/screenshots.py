"""Writes the pictures that README and docs/page.md show; wants Chromium, Playwright and the built page.

python docs/screenshots.py
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parent.parent
sys.path.insert(0, str(REPO))

from tests.browsing import chromium, tab  # noqa: E402 - found by the line above
from tests.test_page_in_browser import choose, hosted, opened, shown  # noqa: E402

PICTURES = REPO / "docs/pictures"
SCENE = REPO / "models/scenes/scene_3.png"
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def explained() -> None:
    """Write the two pictures of ``rsp-onnx explain``."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "rsp_onnx.cli", "explain", "models/digits_pytorch.onnx"]
        command += ["models/scenes/scene_0.png", "--target", "four", "--target", "seven", "-o", scratch]
        subprocess.run(command, check=True, cwd=REPO)
        for name in ("scene_0.4.png", "scene_0.7.png"):
            shutil.copyfile(Path(scratch) / name, PICTURES / name)


def page() -> None:
    """Write a page of our two models, open it, and take the pictures."""
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = Path(scratch)
        (folder / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
        models = [REPO / "models/digits_pytorch.onnx", REPO / "models/digits_keras.onnx"]
        command = [sys.executable, "-m", "rsp_onnx.cli", "page", *models, "--labels", folder / "labels.txt"]
        subprocess.run(
            [*map(str, command), "-o", str(folder / "page"), "--method", "rsp", "--method", "gradient"], check=True
        )
        with hosted(folder / "page") as address:
            with tab(browser, 1280, 860) as (page, _):
                opened(page, address, SCENE)
                choose(page, "three", rival="five")
                page.screenshot(path=PICTURES / "page.png")
            with tab(browser, 1280, 2400) as (page, _):
                opened(page, address, SCENE)
                choose(page, "three", rival="five")
                page.get_by_role("heading", name="Layer by layer").click()
                page.locator('.network button[aria-disabled="false"]').nth(2).click()
                page.locator("figure.layer-map").wait_for()
                page.locator("section.layers").screenshot(path=PICTURES / "page-layers.png")
            with tab(browser, 390, 844, dark=True) as (page, _):
                opened(page, address, SCENE)
                choose(page, "eight", rival="three")
                shown(page)
                page.locator("section.stage").scroll_into_view_if_needed()
                page.screenshot(path=PICTURES / "page-phone.png")


if __name__ == "__main__":
    explained()
    page()
