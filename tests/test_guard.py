"""A graph that would crash ONNX Runtime is loaded where that does no harm, and run at a level that does not."""

import os
import signal
import sys

import numpy as np
import pytest

from rsp_onnx import Explainer
from rsp_onnx.model import guard
from rsp_onnx.model.session import Session

from .little import conv_net, little

CRASHES = f"import os, signal; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
AT_FULL = f"""
import sys
if sys.argv[2] in ("ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED"):
    {CRASHES}
"""


@pytest.fixture
def half_net():
    """Half precision: its explainers are loaded under guard."""
    text = """net (float16[N, 3, 8, 8] x) => (float16[N, 4] y) {
        a = Conv(x, w) b = Relu(a) c = GlobalAveragePool(b) y = Flatten(c) }"""
    return little(text, w=np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float16))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_a_process_that_is_killed_did_not_survive():
    assert not guard._survives(CRASHES, [])
    assert guard._survives("raise SystemExit(1)", []), "an error that is told is no crash"
    assert guard._survives("", [])


def test_levels_are_lowered_one_by_one():
    tried = []

    def survives(level):
        tried.append(level)
        return level == "ORT_ENABLE_BASIC"

    assert guard.first_safe(survives) == "ORT_ENABLE_BASIC"
    assert tried == ["ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC"]
    assert guard.first_safe(lambda level: False) == "ORT_DISABLE_ALL"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_an_explainer_runs_at_the_level_that_survives_and_says_so(monkeypatch, half_net):
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float16)
    plain = Explainer(half_net, method="gradient").explain({"x": x}, 0)
    assert not [w for w in plain.warnings if "crashes" in w]
    monkeypatch.setattr(guard, "_LOAD", AT_FULL)
    found = Explainer(half_net, method="gradient").explain({"x": x}, 0)
    (warning,) = [w for w in found.warnings if "crashes" in w]
    assert warning.endswith("so it runs at ORT_ENABLE_BASIC")
    np.testing.assert_allclose(found.relevance, plain.relevance, atol=1e-5 * np.abs(plain.relevance).max())


def test_a_model_in_single_precision_takes_no_process(monkeypatch):
    monkeypatch.setattr(guard, "_survives", lambda *_: os.abort())
    model = conv_net()
    name = model.graph.input[0].name
    sizes = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert Explainer(model).explain({name: np.ones(sizes, np.float32)}, 0).scores.size


def test_a_guarded_session_loads_what_a_plain_one_loads(half_net):
    from rsp_onnx.model.load import load_model

    model = load_model(half_net).ir
    assert Session(model, "cpu", guarded=True).level == guard.LEVELS[0] == Session(model, "cpu").level
