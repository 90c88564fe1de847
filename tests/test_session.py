"""Sessions: IO binding returns what a plain run returns, devices are found or refused."""

import numpy as np
import pytest

from rsp_onnx.errors import BadInput, DeviceUnavailable
from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import CPU, Session, cuda_works, resolve_device


@pytest.fixture(scope="module")
def model(repo):
    return load_model(repo / "models" / "digits_pytorch.onnx").ir


def test_io_binding_returns_what_a_plain_run_returns(model):
    session = Session(model, "cpu")
    feeds = {"image": np.random.default_rng(0).random((2, 3, 96, 96), dtype=np.float32)}
    (bound,) = session._bound(["present"], feeds)
    assert np.array_equal(bound, session.run(feeds)["present"])


def test_auto_finds_what_works_and_cuda_is_never_silently_the_cpu(model):
    assert resolve_device("cpu") == [CPU]
    if cuda_works():
        assert Session(model, "cuda").provider != CPU
    else:
        assert Session(model, "auto").provider == CPU
        with pytest.raises(DeviceUnavailable, match="--device auto or cpu"):
            Session(model, "cuda")
    with pytest.raises(BadInput, match="'auto', 'cpu' or 'cuda'"):
        resolve_device("gpu")


def test_weights_handed_over_in_memory_give_the_same_scores(model, monkeypatch):
    feeds = {"image": np.random.default_rng(1).random((1, 3, 96, 96), dtype=np.float32)}
    plain = Session(model, "cpu").run(feeds)["present"]
    monkeypatch.setattr("rsp_onnx.model.serialise._HAND_OVER", 0)
    handed = Session(model, "cpu")
    assert handed._weights
    assert np.array_equal(handed.run(feeds)["present"], plain)
