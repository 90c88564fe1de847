"""What the exporters write is what the naive reference reads: one network, one forward pass, one explanation."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from .naive import naive_rsp
from .naive.net import Net
from .naive.walk import as_feed
from .zoo import FAMILIES, export, section_of

families = pytest.mark.parametrize("name", FAMILIES)


def exported(name, **how):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape, **how)
    x = np.random.default_rng(0).normal(size=(2, *entry.shape[1:]))
    return model, section_of(model, entry), x


# onnx 1.23's reference gets these wrong (torch and onnxruntime agree with each other): LRN, and the
# number of windows of a padded MaxPool with ceil_mode
REFERENCE_IS_WRONG = {"alexnet", "googlenet"}


@families
def test_forward_values_are_those_of_torch_and_of_onnx_reference_in_float64(name):
    model, _, x = exported(name, double=True)
    got = Net(model).forward({"x": as_feed(x)})["y"].numpy()
    wants = [FAMILIES[name].make().double()(as_feed(x)).detach().numpy()]
    if name not in REFERENCE_IS_WRONG:
        wants += ReferenceEvaluator(model).run(None, {"x": x})
    for want in wants:
        # attributes (epsilon, alpha) are float32 in the file
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@families
@pytest.mark.parametrize("how", [{}, {"fold": False}, {"dynamo": True}], ids=["folded", "unfolded", "dynamo"])
def test_every_export_of_a_family_runs_in_onnxruntime_and_tells_inputs_apart(name, how):
    model, section, x = exported(name, **how)
    onnx.checker.check_model(model)
    x = x.astype(np.float32)
    (y,) = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    values = Net(model).forward({"x": as_feed(x)})
    np.testing.assert_allclose(values["y"].numpy(), y, atol=1e-4)
    assert np.abs(y[0] - y[1]).max() > 0.02
    assert float((values[section] != 0).double().mean()) > 0.05


@pytest.mark.slow
@families
def test_exports_of_one_network_get_one_explanation(name):
    hows = [{}, {"fold": False}, {"dynamo": True}]
    if name == "alexnet":  # the dynamo exporter spells LRN out, which is another network to the rules
        hows.pop()
    maps = []
    for how in hows:
        model, section, x = exported(name, **how)
        maps.append(naive_rsp(model, {"x": x}, 1, [2], section=section)["x"])
    for other in maps[1:]:
        assert np.linalg.norm(other - maps[0]) < 1e-4 * np.linalg.norm(maps[0])
