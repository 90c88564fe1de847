"""On scenes of several digits the relevance lies on the digit asked for, more than Grad-CAM's."""

import importlib.util
import sys

import pytest


@pytest.fixture(scope="module")
def digits():
    """benchmarks/digits.py, a script."""
    from pathlib import Path

    path = Path(__file__).parents[1] / "benchmarks" / "digits.py"
    spec = importlib.util.spec_from_file_location("benchmark_digits", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_pytorch.onnx", "digits_keras.onnx"])
def test_rsp_keeps_more_on_the_digit_than_grad_cam(digits, repo, name, monkeypatch):
    chosen = {k: v for k, v in digits.METHODS.items() if k in ("RSP, relative", "Grad-CAM")}
    monkeypatch.setattr(digits, "METHODS", chosen)
    scenes = 500 if "pytorch" in name else 60
    found = digits.evaluate(repo / "models" / name, scenes)
    rsp, cam = found["RSP, relative"], found["Grad-CAM"]
    assert rsp["n"] == cam["n"] >= 2 * scenes * 0.95
    assert rsp["mask share"] > cam["mask share"] + 0.1  # measured on 500: 0.403 and 0.218
    assert rsp["pointing"] > cam["pointing"]  # measured: 0.994 and 0.894
    assert rsp["pointing"] > 0.97


def test_measure_is_right_on_made_up_maps(digits):
    import numpy as np

    inside, box = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    inside[10:14, 10:14], box[8:16, 8:16] = True, True
    heatmap = np.full((40, 40), -1.0)
    heatmap[12, 12], heatmap[8, 8], heatmap[30, 30] = 50.0, 25.0, 25.0
    assert digits.measure(heatmap, inside, box) == {"pointing": 1.0, "mask share": 0.5, "box share": 0.75}
    assert digits.measure(-heatmap, inside, box)["pointing"] == 0.0
