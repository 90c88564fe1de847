"""A run on a Ray cluster has the rows of a local one, also where a machine is lost in the middle of it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate import evaluate

from .evaluating import copies, rows_of, use_little_ones

HERE = Path(__file__).parent
ITEMS = 16 * 8
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_enable_metrics_collection": "0",
}
WITH_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "rsp-onnx[ray]"'
)


@pytest.mark.slow
@WITH_RAY
def test_a_cluster_that_loses_a_node_gives_the_rows_of_a_local_run(repo, tmp_path, monkeypatch):
    data = copies(repo / "models/scenes", tmp_path / "data", ITEMS)
    (data / "00020.png").write_bytes(b"no picture")
    # a process of its own: Ray's warnings are not ours, and its daemons end with it
    paths = os.pathsep.join([str(repo), str(HERE)])
    done = subprocess.run(
        [sys.executable, str(HERE / "ray_script.py"), str(repo), str(data), str(tmp_path / "ray")],
        capture_output=True, text=True, timeout=240, env={**os.environ, **QUIET, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "removed a node" in done.stdout
    assert re.search(r"lost part \d", done.stdout), done.stdout
    use_little_ones(monkeypatch.setattr)
    local = evaluate(
        repo / "models/digits_pytorch.onnx", data, format="csv", methods=["rsp", "gradient"], metrics=["hit", "share"],
        out=tmp_path / "local", device="cpu", threads=1, report=False,
    )  # fmt: skip
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "local")
    there = json.loads((tmp_path / "ray/summary.json").read_text())
    assert (there["metrics"], there["errors"]) == (local["metrics"], local["errors"])


def test_without_ray_one_sentence_says_what_to_install(repo, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    use_little_ones(monkeypatch.setattr)
    data = copies(repo / "models/scenes", tmp_path / "data", 1)
    with pytest.raises(BadInput, match=r'pip install "rsp-onnx\[ray\]"'):
        evaluate(
            repo / "models/digits_pytorch.onnx", data, format="csv", methods=["rsp"], metrics=["hit"],
            out=tmp_path / "out", engine="ray",
        )  # fmt: skip


@WITH_RAY
def test_a_cluster_that_is_not_there_is_told_at_once(repo, tmp_path, monkeypatch):
    use_little_ones(monkeypatch.setattr)
    data = copies(repo / "models/scenes", tmp_path / "data", 1)
    with pytest.raises(BadInput, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        evaluate(
            repo / "models/digits_pytorch.onnx", data, format="csv", methods=["rsp"], metrics=["hit"],
            out=tmp_path / "out", engine="ray", address="127.0.0.1:1",
        )  # fmt: skip
