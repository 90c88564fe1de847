"""Sessions: IO binding returns what a plain run returns, devices are found or refused."""

import numpy as np
import onnx_ir as ir
import pytest

from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import Session, numpy_type


@pytest.fixture(scope="module")
def model(repo):
    return load_model(repo / "models" / "digits_pytorch.onnx").ir


def test_io_binding_returns_what_a_plain_run_returns(model):
    session = Session(model, "cpu")
    feeds = {"image": np.random.default_rng(0).random((2, 3, 96, 96), dtype=np.float32)}
    (bound,) = session._bound(["present"], feeds)
    assert np.array_equal(bound, session.run(feeds)["present"])


def test_weights_handed_over_in_memory_give_the_same_scores(model, monkeypatch):
    feeds = {"image": np.random.default_rng(1).random((1, 3, 96, 96), dtype=np.float32)}
    plain = Session(model, "cpu").run(feeds)["present"]
    monkeypatch.setattr("rsp_onnx.model.serialise.HAND_OVER", 0)
    handed = Session(model, "cpu")
    assert handed._weights
    assert np.array_equal(handed.run(feeds)["present"], plain)


def test_the_types_of_onnx_runtime_are_those_of_onnx():
    names = {"FLOAT": "float", "BOOL": "bool", "STRING": "string", "DOUBLE": "double"}
    for one in (
        "FLOAT",
        "DOUBLE",
        "FLOAT16",
        "BFLOAT16",
        "BOOL",
        "STRING",
        "INT8",
        "UINT8",
        "INT16",
        "INT64",
        "UINT32",
    ):
        assert numpy_type(f"tensor({names.get(one, one.lower())})") == ir.DataType[one].numpy(), one
