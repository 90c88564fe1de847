"""On scenes of several digits the relevance lies on the digit asked for, more than Grad-CAM's."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def digits():
    """benchmarks/digits.py, a script."""
    yield from script("digits")


@pytest.fixture(scope="module")
def vit():
    """benchmarks/vit.py, a script that imports its neighbour."""
    yield from script("vit")


def script(name):
    folder = Path(__file__).parents[1] / "benchmarks"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    yield module
    del sys.modules[spec.name]
    sys.modules.pop("digits", None)


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


@pytest.mark.slow
def test_rsp_finds_the_digit_in_a_transformers_tokens(vit, repo):
    model = repo / "models" / "digits_vit.onnx"
    section = vit.default_sections(model)[-2]  # what the last block reads, as found by default
    found = vit.evaluate(model, "test", 40, [section])
    rsp, one = found[f"RSP, relative @ {section}"], found[f"RSP, one class @ {section}"]
    rivals = [
        found[name] for name in found if name.startswith(("Grad-CAM", "HiResCAM", "attention rollout", "gradient"))
    ]
    assert len(rivals) == 4 and rsp["n"] > 80
    assert rsp["pointing"] > 0.85 and one["pointing"] > 0.85
    assert all(rsp["pointing"] > r["pointing"] and rsp["mask share"] > r["mask share"] for r in rivals)


def test_the_transformers_section_is_what_its_last_block_reads(repo, vit):
    from rsp_onnx.compiler.analysis import analyse

    model = repo / "models" / "digits_vit.onnx"
    found = analyse(model).section
    assert found.name == vit.default_sections(model)[-2]
    assert (found.token_axis, found.extra_tokens) == (1, 1)


def test_measure_is_right_on_made_up_maps(digits):
    import numpy as np

    inside, box = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    inside[10:14, 10:14], box[8:16, 8:16] = True, True
    heatmap = np.full((40, 40), -1.0)
    heatmap[12, 12], heatmap[8, 8], heatmap[30, 30] = 50.0, 25.0, 25.0
    assert digits.measure(heatmap, inside, box) == {"pointing": 1.0, "mask share": 0.5, "box share": 0.75}
    assert digits.measure(-heatmap, inside, box)["pointing"] == 0.0
