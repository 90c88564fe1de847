"""What a node makes or loses: its sign, its size, and which node it is."""

import json

import numpy as np
import pytest

from rsp_onnx import Explainer, compile_explainer

from .little import RNG, conv_net, little
from .running import asked, run

FLAT = np.full((1, 3, 12, 12), 0.5, np.float32)  # z^B finds no value above the least or below the largest


def two_layers():
    return little(
        """g (float[N,3,8,8] x) => (float[N,3] y) {
            a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) e = Conv<pads=[1,1,1,1]>(r, u) F = Relu(e)
            p = GlobalAveragePool(F) f = Flatten(p) y = MatMul(f, v) }""",
        w=RNG(1).randn(5, 3, 3, 3).astype(np.float32),
        u=RNG(2).randn(4, 5, 3, 3).astype(np.float32),
        v=RNG(3).randn(4, 3).astype(np.float32),
    )


def test_a_layer_that_loses_all_it_gets_has_gained_less_than_nothing():
    explained = Explainer(conv_net(), device="cpu").explain(FLAT, 1, tensors=["a", "r"])
    (loss,) = explained.losses
    start = explained.relevances["r"].astype(np.float64)
    assert (loss.op, explained.ledger["x"]) == ("Conv", 0)
    assert start.sum() != 0
    assert loss.gained == pytest.approx(-start.sum() / np.abs(start).sum(), rel=1e-5)


def test_the_balance_of_a_node_is_what_its_inputs_got_less_what_its_output_had():
    compiled = compile_explainer(two_layers(), section="F", ledger=True, tensors=["F", "e", "r", "a"])
    x = RNG(4).randn(2, 3, 8, 8).astype(np.float32)
    x[1] = 0.5  # flat: lost at the image
    got = run(compiled, {"x": x, **asked((0, 1), (2,), 2)})
    notes = {p.key: p.value for p in compiled.metadata_props}
    sums = {n: got[f"relevance/{n}"].sum((2, 3, 4), dtype=np.float64) for n in ("F", "e", "r", "a")}
    sums["x"] = got["relevance"].sum((2, 3, 4), dtype=np.float64)
    want = [np.abs(got["relevance/F"]).sum((2, 3, 4)), sums["r"] - sums["e"], sums["x"] - sums["a"]]
    assert [op for _, op in json.loads(notes["rsp_onnx.balance"])] == ["Conv", "Conv"]
    np.testing.assert_allclose(got["balance"], want, atol=1e-5)
    assert (np.abs(want[2][:, 1]) > 0.1).all() and not sums["x"][:, 1].any()
