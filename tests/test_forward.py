"""Explaining does not change the scores: to 1e-6 of the largest in single precision, bit for bit in models that round.

Both sessions have ONNX Runtime's defaults; benchmarks/battery/scores.py measures the same over a whole folder.
"""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from rsp_onnx import compile_explainer
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite.canonize import canonize

from .running import asked, assert_scores_close, run, session
from .zoo import FAMILIES, export

EXPORTS = {
    "opset 17": {},
    "opset 13": {"opset": 13},
    "unfolded": {"fold": False},
    "fixed batch": {"dynamic": False},
    "dynamo": {"dynamo": True},
}
LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
SLOW_LIGHT = {f"light_{name}" for name in ("densenet121", "inception_v1", "inception_v2", "resnet50", "vgg19")}
REAL = ["squeezenet1.1_nchw_fp32", "resnet20_cifar10_nchw_fp32", "mobilenet_v2_nhwc_fp32", "mobilenet_v2_nhwc_int8_qdq"]
NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def random_feeds(opened, samples=1):
    """Random numbers for every input; free dimensions get the number of samples."""
    return {v.name: random_array(v, samples) for v in opened.get_inputs()}


def random_array(value, samples):
    shape = [d if isinstance(d, int) else samples for d in value.shape]
    rng, dtype = np.random.default_rng(0), NUMPY[value.type]
    return rng.integers(0, 256, shape, dtype) if dtype == np.uint8 else rng.normal(size=shape).astype(dtype)


def both(model, compiled, samples):
    """Outputs of the original, and those of the compiled one."""
    original = session(model)
    feeds = random_feeds(original, samples)
    size = len(next(iter(feeds.values())))
    return run(original, feeds), run(compiled, {**feeds, **asked(1, (2,), size)})


def assert_unchanged(model, compiled, samples=1, bits=False):
    before, after = both(model, compiled, samples)
    for name, value in before.items():
        if bits:
            assert np.array_equal(after[name], value), name
        assert_scores_close(after[name], value)


# ---- the compiled model ----


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, id=name, marks=[pytest.mark.slow] * (name != "opset 17")) for name, how in EXPORTS.items()],
)
@pytest.mark.parametrize("name", FAMILIES)
def test_scores_of_a_family_stay(name, how):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape, **how)
    compiled = session(compile_explainer(model, ledger=True))
    for samples in (1, 3) if how.get("dynamic", True) else (1,):
        assert_unchanged(model, compiled, samples)


@pytest.mark.parametrize("method", ["gradient", "grad-cam"])
@pytest.mark.parametrize("name", ["resnet_v2", "mobilenet_v3", "shufflenet_v1"])
def test_scores_stay_whatever_the_method(name, method):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape)
    assert_unchanged(model, session(compile_explainer(model, method)), 2)


def test_scores_stay_though_every_tensor_is_asked_for():
    entry = FAMILIES["resnet_v1"]
    model = export(entry.make(), entry.shape)
    plain = compile_explainer(model, ledger=True)
    names = next(p.value for p in plain.metadata_props if p.key == "rsp_onnx.ledger")
    tensors = [t for t in onnx_names(names) if t != "x"]
    assert_unchanged(model, session(compile_explainer(model, tensors=tensors)), 2)


def onnx_names(listed):
    return [name.strip(' "') for name in listed.strip("[]").split(",")]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_scores_of_real_models_stay(shared_data, name):
    """The quantised one's bit for bit: a reader between its integer nodes would move them by whole steps."""
    path = str(shared_data / "models" / f"{name}.onnx")
    assert_unchanged(path, session(compile_explainer(path)), bits="int8" in name)


def test_only_models_that_round_are_run_twice(shared_data):
    """In single precision the scores come from the very nodes relevance is walked over."""
    for name in REAL:
        path = str(shared_data / "models" / f"{name}.onnx")
        own = [n.op_type for n in onnx.load(path).graph.node]
        names = [n.name for n in compile_explainer(path, "gradient").graph.node]
        twice = sum(name.startswith("rsp_onnx/own/") for name in names)
        assert (twice >= len(own) // 2) if "int8" in name else twice == 0, name


def test_half_precision_scores_differ_by_no_more_than_the_runtimes_own_rounding(shared_data):
    """On the CPU the runtime computes float16 in float32 and rounds where its neighbours make it.

    Another reader of a tensor is another neighbour, so the last bits may differ; on CUDA they do not.
    """
    path = str(shared_data / "models" / "squeezenet1.0_nchw_fp16.onnx")
    before, after = both(path, session(compile_explainer(path)), 1)
    for name, value in before.items():
        apart = np.abs(after[name].astype(np.float64) - value)
        assert (apart <= 2 * np.spacing(np.abs(value)).astype(np.float64)).all()
        assert after[name].argmax() == value.argmax()


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] * (p.stem in SLOW_LIGHT)) for p in LIGHT]
)
def test_scores_of_the_light_graphs_stay_and_their_maps_are_finite(path):
    """Their weights are constants, so every score is alike; what counts is that every op is known."""
    compiled = session(compile_explainer(str(path)))
    before, after = both(str(path), compiled, 1)
    for name, value in before.items():
        assert_scores_close(after[name], value)
    assert np.isfinite(after["relevance"]).all()


def test_the_light_graphs_are_all_there():
    assert len(LIGHT) >= 9


# ---- the canonized model ----


@cache
def family(name):
    entry = FAMILIES[name]
    return export(entry.make(), entry.shape, fold=False)


@pytest.mark.parametrize("name", FAMILIES)
def test_canonizing_leaves_the_scores_as_they_are(name):
    model = family(name)
    canonized = ir.to_proto(canonize(load_model(model)))
    feeds = random_feeds(session(model), 2)
    assert np.array_equal(run(canonized, feeds)["y"], run(model, feeds)["y"])
