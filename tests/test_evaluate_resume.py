"""A run that is killed goes on where it was, and loses and repeats nothing."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .evaluating import copies, rows_of

SCRIPT = Path(__file__).parent / "evaluate_script.py"
ITEMS = 330


def start(repo, data, out, **more):
    given = {"data": str(data), "out": str(out), "methods": ["rsp", "gradient"], "metrics": ["hit", "share"], **more}
    command = [sys.executable, str(SCRIPT), str(repo), json.dumps({"report": False, "threads": 1, **given})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.splitlines()


@pytest.fixture(scope="module")
def data(repo, tmp_path_factory):
    """A tenth of the images is broken."""
    folder = copies(repo / "models/scenes", tmp_path_factory.mktemp("data"), ITEMS)
    for number in range(0, ITEMS, 10):
        (folder / f"{number:05d}.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    return folder


@pytest.mark.slow
def test_a_run_killed_three_times_has_the_rows_of_one_that_was_not(repo, data, tmp_path):
    finish(start(repo, data, tmp_path / "whole"))
    draw = random.Random(7)
    for _ in range(3):
        process = start(repo, data, tmp_path / "killed")
        assert process.stdout.readline(), process.stderr.read()  # a part at least, then at any moment of the next ones
        try:
            process.wait(timeout=draw.uniform(0, 0.8))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was done before it could be killed: use more items"
    left = tmp_path / "killed/rows/.rsp-0123456789abcdef.tmp"
    left.write_bytes(b"half a part")
    there = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "killed/rows").glob("part-*")}
    assert len(there) >= 3
    finish(start(repo, data, tmp_path / "killed"))
    assert not left.exists()
    now = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "killed/rows").glob("part-*")}
    assert there.items() <= now.items()  # nothing was done twice
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    a, b = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("killed", "whole"))
    assert a["metrics"] == b["metrics"] and a["errors"] == b["errors"]
    assert a["counts"]["broken"] == len(a["errors"]) == ITEMS // 10
    assert (tmp_path / "killed/errors.csv").read_text() == (tmp_path / "whole/errors.csv").read_text()
