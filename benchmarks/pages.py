"""Measure the page in Chromium: until it is ready, and from a photo to its map, in a folder and by ``serve``.

    python benchmarks/pages.py MODEL.onnx PHOTO PHOTO ... --times 45
    python benchmarks/pages.py MODEL.onnx PHOTO --report RUN/report.html     # until a report of many items is open

Medians, quartiles in brackets; memory of the page's JavaScript and of the server after the first photo and the last.
Photos are taken in turn. Wants Playwright, Chromium and a built page (make page).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import sync_playwright

COMMAND = [sys.executable, "-m", "rsp_onnx.cli"]
WARM = 3.0  # seconds in which the page may compile before the first photo
ADDRESS = re.compile(r"The page is at (http://\S+)")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def folder_of(model: Path) -> Iterator[tuple[str, int | None]]:
    """Write the page's folder and host it; yields its address."""
    with tempfile.TemporaryDirectory() as made:
        where = str(Path(made) / "page")
        subprocess.run([*COMMAND, "page", str(model), "-o", where], check=True, stdout=subprocess.DEVNULL)
        handler = functools.partial(_Quiet, directory=where)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/", None
            server.shutdown()


@contextlib.contextmanager
def served(model: Path) -> Iterator[tuple[str, int | None]]:
    """Start ``rsp-onnx serve``; yields its address and its process."""
    command = [*COMMAND, "serve", "--no-browser", "--device", "cpu", "--port", "0", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        while not (found := ADDRESS.search(said)):
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"serve ended: {said}")
            said += line
        try:
            yield found[1], process.pid
        finally:
            process.terminate()


def measure(browser: Any, address: str, process: int | None, photos: Sequence[Path], times: int) -> str:
    """Open the page, give it photos, and return what that took, in words."""
    with contextlib.closing(browser.new_context(viewport={"width": 1280, "height": 900})) as context:
        page, took, memory = context.new_page(), [], []
        start = time.perf_counter()
        page.goto(address)
        page.get_by_test_id("file-picture").wait_for(state="attached")
        ready = time.perf_counter() - start
        page.wait_for_timeout(1e3 * WARM)
        for number in range(times):
            photo = photos[number % len(photos)]
            start = time.perf_counter()
            page.get_by_test_id("file-picture").set_input_files(photo)
            page.wait_for_function("name => document.body.innerText.includes(name)", arg=photo.name)
            page.locator("section.stage progress").wait_for(state="detached")
            page.locator("section.stage canvas").first.wait_for()
            took.append(time.perf_counter() - start)
            if number in (0, times - 1):
                memory.append(_memory(page, process))
    low, middle, high = statistics.quantiles(took, n=4) if times > 1 else took * 3
    return f"ready {ready:.2f} s, photo to map {middle:.2f} s [{low:.2f}, {high:.2f}]; {' → '.join(memory)}"


def _memory(page: Any, process: int | None) -> str:
    heap = page.evaluate("performance.memory ? performance.memory.usedJSHeapSize : 0")
    server = "" if process is None else f", server {psutil.Process(process).memory_info().rss / 1e6:.0f} MB"
    return f"JavaScript {heap / 1e6:.0f} MB{server}"


def opening(browser: Any, report: Path) -> float:
    """Return the seconds until a report's first items stand there."""
    with contextlib.closing(browser.new_context(viewport={"width": 390, "height": 900})) as context:
        page = context.new_page()
        start = time.perf_counter()
        page.goto(report.resolve().as_uri())
        page.get_by_text(re.compile(r"^1 to \d+ of \d+")).first.wait_for()
        return time.perf_counter() - start


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--times", type=int, default=45, help="photos that are given")
    parser.add_argument("--report", type=Path, help="a report.html of rsp-onnx evaluate")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, start in (("in a folder", folder_of), ("by serve", served)):
            with start(given.model) as (address, process):
                print(f"{name}: {measure(browser, address, process, given.photos, given.times)}", flush=True)
        if given.report:
            took = [opening(browser, given.report) for _ in range(5)]
            size = given.report.stat().st_size / 1e6
            print(f"report of {size:.1f} MB: open in {statistics.median(took):.2f} s, {max(took):.2f} at most")
        browser.close()


if __name__ == "__main__":
    main()
