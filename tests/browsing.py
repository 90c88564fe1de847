"""Driving Chromium: what the page and the reports look like to a browser, and what axe-core says of them."""

import contextlib
import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parent.parent / "web/node_modules/axe-core/axe.min.js"
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextlib.contextmanager
def chromium():
    """Start Chromium; skip where there is none, or no Playwright to drive it."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here to open pages with")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def tab(browser, width=1280, height=900, dark=False, **options):
    """Open a tab that fails the test on any complaint in the console; yields (page, addresses asked for)."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
        reduced_motion="reduce", **options,
    )  # fmt: skip
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda said: complaints.append(said.text) if _complains(said) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        yield page, asked
        assert complaints == [], complaints
    finally:
        context.close()


def _complains(said):
    # Chromium says so where a page asks for a GPU and there is none
    return said.type in ("error", "warning") and said.text != "No available adapters."


def serious(page):
    """Return what axe-core finds that is serious or critical, in words; skip where it is not installed."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make page")
    # past the page's Content-Security-Policy, which lets no script in
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node['html'][:120]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def scrolls_sideways(page):
    """Return the elements that stick out of the page, where it scrolls sideways."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.outerHTML.slice(0, 100))"""
    )
