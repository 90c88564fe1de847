"""Ops of a user's own domain: a library that runs them, rules from a file, rules from an installed package.

Each in a process of its own: libraries and rules stay registered as long as a process lives.
"""

import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest

extensions = pytest.importorskip("onnxruntime_extensions", reason="onnxruntime-extensions has the custom op under test")

MODEL = """<ir_version: 8, opset_import: ["" : 18, "ai.onnx.contrib" : 1]>
net (float[N, 2, 6, 6] x) => (float[N, 3] y) <float[4, 2, 3, 3] k = {KERNEL}, float[8, 3] w = {WEIGHT}> {
    c = Conv<pads = [1, 1, 1, 1]>(x, k)
    n, p = ai.onnx.contrib.NegPos(c)
    m = Neg(n)
    both = Concat<axis = 1>(m, p)
    pooled = GlobalAveragePool(both)
    flat = Flatten(pooled)
    y = MatMul(flat, w)
}"""
for seed, (word, count) in enumerate({"KERNEL": 72, "WEIGHT": 24}.items()):
    numbers = np.random.default_rng(seed).uniform(-1, 1, count)
    MODEL = MODEL.replace(word, ", ".join(f"{v:.3f}" for v in numbers))
LIBRARY = extensions.get_library_path()


@pytest.fixture
def work(tmp_path, repo):
    """A folder with the model, an input, and the rules as the documentation shows them."""
    onnx.save(onnx.parser.parse_model(MODEL), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(2).normal(size=(1, 2, 6, 6)).astype(np.float32))
    shown = re.search(r"```python\n(.*?)```", (repo / "docs" / "custom-ops.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_rules.py").write_text(shown[1], encoding="utf-8")
    return tmp_path


def call(work, repo, *arguments):
    paths = os.pathsep.join([str(repo), str(work)])
    return subprocess.run(
        [sys.executable, "-m", "rsp_onnx.cli", *arguments], cwd=work, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def heatmap(work):
    record = json.loads((work / "out" / "explain.json").read_text(encoding="utf-8"))[0]
    with np.load(work / "out" / record["npz"]) as arrays:
        return arrays["relevance"]


def test_a_library_and_a_file_of_rules_explain_a_model(work, repo):
    options = ("--custom-ops", LIBRARY, "--rules", "my_rules.py")
    done = call(work, repo, "explain", "net.onnx", "x.npy", "--target", "1", "-o", "out", *options)
    assert done.returncode == 0, done.stderr
    found = heatmap(work)
    assert np.isfinite(found).all() and found.any()
    shown = call(work, repo, "ops", "--rules", "my_rules.py").stdout
    assert re.search(r"ai\.onnx\.contrib::NegPos +Give each half's relevance to where that half is not zero", shown)
    done = call(work, repo, "compile", "net.onnx", "-o", "explainer.onnx", "--method", "gradient", *options)
    assert done.returncode == 0, done.stderr
    check_gradient(work)


def check_gradient(work):
    """The compiled gradient of a piecewise linear network is its slope: exact to rounding."""
    options = ort.SessionOptions()
    options.register_custom_ops_library(LIBRARY)
    providers = ["CPUExecutionProvider"]
    net = ort.InferenceSession(str(work / "net.onnx"), options, providers=providers)
    explainer = ort.InferenceSession(str(work / "explainer.onnx"), options, providers=providers)
    x = np.load(work / "x.npy")
    (gradient,) = explainer.run(["relevance"], {"x": x, "target": np.array([[1]])})
    step = np.random.default_rng(3).normal(size=x.shape).astype(np.float32) * 1e-3
    ends = [net.run(["y"], {"x": x + sign * step})[0][0, 1].astype(np.float64) for sign in (1, -1)]
    assert float((gradient[0] * step).sum()) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-3)


def test_a_package_brings_rules_by_an_entry_point(work, repo):
    folder = work / "contrib_rules-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: contrib-rules\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[rsp_onnx.rules]\ncontrib = my_rules\n")
    done = call(work, repo, "explain", "net.onnx", "x.npy", "--target", "1", "-o", "out", "--custom-ops", LIBRARY)
    assert done.returncode == 0, done.stderr
    assert heatmap(work).any()
    (work / "my_rules.py").write_text("import nothing_of_this_name\n")
    done = call(work, repo, "ops")
    assert done.returncode == 2
    assert "The rules of the installed package 'contrib-rules' (my_rules) cannot be loaded" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_what_is_missing_is_said_in_one_sentence(work, repo):
    (work / "broken.py").write_text(
        "from rsp_onnx import rule\n\n\n@rule('Relu')\ndef mine(ctx, node, r):\n    return [r]\n"
    )
    (work / "text.so").write_text("no library")
    said = {
        (
            "explain",
            "net.onnx",
            "x.npy",
            "--rules",
            "my_rules.py",
        ): "load the library that has the op with --custom-ops",
        ("explain", "net.onnx", "x.npy", "--custom-ops", LIBRARY): "No rule for 1 op between input and scores: "
        "ai.onnx.contrib::NegPos",
        ("ops", "--custom-ops", "none.so"): "There is no library of custom ops none.so.",
        ("ops", "--custom-ops", "text.so"): "ONNX Runtime cannot load the custom ops in text.so",
        ("ops", "--rules", "none.py"): "There is no Python file none.py to load rules from.",
        (
            "ops",
            "--rules",
            "broken.py",
        ): "The rules in broken.py cannot be loaded: ValueError: Relu is registered twice",
    }
    for arguments, sentence in said.items():
        done = call(work, repo, *arguments)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
        assert sentence in done.stderr
