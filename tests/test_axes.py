"""Where channels stand is told by the layer that reads an input, in any layout: heatmaps and windows follow it."""

import numpy as np
import pytest
import torch

from rsp_onnx import Explainer, compile_explainer
from rsp_onnx.axes.input_channels import input_channels
from rsp_onnx.compiler.analysis import Needs, analyse
from rsp_onnx.layout import NO_CHANNELS

from .little import conv_net, gray_net, little, signal_net, table_net
from .running import asked, relative_l2, run, session
from .zoo import export

RNG = np.random.default_rng(0)
W = RNG.normal(size=(5, 3, 3)).astype(np.float32)
V = RNG.normal(size=(5, 4)).astype(np.float32)
END = "p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }"
CONV = {"w": W, "v": V}
T, C = 20, 3


def transposed():
    """[N, T, C] as Keras has signals, turned round in front of a Conv."""
    text = (
        f"g (float[N,{T},{C}] x) => (float[N,4] y) {{ t = Transpose<perm=[0,2,1]>(x) a = Conv(t, w) r = Relu(a) {END}"
    )
    return little(text, **CONV)


def through_two_axes():
    """[N, T, C] as tf2onnx writes a Conv1D: an axis put in, four axes turned, a Conv of height 1."""
    text = f"""g (float[N,{T},{C}] x) => (float[N,4] y) {{
        s = Sub(x, m) u = Unsqueeze(s, one) t = Transpose<perm=[0,3,1,2]>(u) a = Conv(t, w) r = Relu(a) {END}"""
    return little(text, w=W[:, :, None], v=V, one=np.array([1]), m=np.float32(0.1))


def tokens():
    """[N, T, C] of features, a dense layer on each."""
    text = f"""g (float[N,{T},{C}] x) => (float[N,4] y) {{
        a = MatMul(x, w) r = Relu(a) p = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(p, v) }}"""
    return little(text, w=W[:, :, 0].T.copy(), v=V)


class Recurrent(torch.nn.Module):
    """[N, T, C] through an LSTM."""

    def __init__(self):
        super().__init__()
        self.cells, self.dense = torch.nn.LSTM(C, 6, batch_first=True), torch.nn.Linear(6, 4)

    def forward(self, x):
        return self.dense(self.cells(x)[0][:, -1])


def recurrent():
    torch.manual_seed(0)
    return export(Recurrent().eval(), (1, T, C))


LAST = {"Transpose": transposed, "tf2onnx": through_two_axes, "tokens": tokens, "LSTM": recurrent}


def axis_of(model, **options):
    graph = analyse(model, **options).graph
    return input_channels(graph, graph.inputs[0])


@pytest.mark.parametrize("needs", [Needs(), Needs(black_box=True)], ids=["walked", "black box"])
def test_the_axis_is_the_one_the_first_layer_mixes(needs):
    assert {name: axis_of(make(), needs=needs) for name, make in LAST.items()} == dict.fromkeys(LAST, 2)
    assert axis_of(signal_net(), needs=needs) == 1
    assert axis_of(conv_net(), needs=needs) == 1
    assert axis_of(gray_net(3), needs=needs) == NO_CHANNELS
    assert axis_of(table_net(), needs=needs) == 1


def test_nothing_is_told_where_no_layer_reads_the_input():
    flat = "g (float[N,6,4] x) => (float[N,2] y) { f = Flatten(x) y = MatMul(f, v) }"
    assert axis_of(little(flat, v=RNG.normal(size=(24, 2)).astype(np.float32))) is None
    one = f"g (float[N,1,{T}] x) => (float[N,4] y) {{ u = Unsqueeze(x, two) a = Conv(u, w) r = Relu(a) {END}"
    assert axis_of(little(one, w=W[:, :1, None], v=V, two=np.array([2]))) is None  # which of the ones is put in?


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("method", ["gradient", "occlusion"])
def test_the_heatmap_of_a_signal_has_an_entry_per_sample_in_time(name, method):
    x = RNG.normal(size=(1, T, C)).astype(np.float32)
    found = Explainer(LAST[name](), method=method, device="cpu").explain(x, 1)
    assert found.relevance.shape == (T, C) and found.heatmap.shape == (T,)
    np.testing.assert_allclose(found.heatmap, found.relevance.sum(1), rtol=1e-6, atol=1e-7)
    assert found.image().height > 3 * 60  # a line per channel, three of them


@pytest.mark.parametrize("name", LAST)
def test_windows_cover_stretches_of_time(name):
    """Against a plain loop: windows of 4 samples, every 2, on all channels."""
    model, x = LAST[name](), RNG.normal(size=(1, T, C)).astype(np.float32)
    plain = session(model)
    names = plain.get_inputs()[0].name, plain.get_outputs()[0].name
    whole, total, cover = plain.run([names[1]], {names[0]: x})[0][0, 1], np.zeros(T), np.zeros(T)
    for start in range(0, T - 3, 2):
        covered = x.copy()
        covered[:, start : start + 4] = 0
        total[start : start + 4] += whole - plain.run([names[1]], {names[0]: covered})[0][0, 1]
        cover[start : start + 4] += 1
    found = run(compile_explainer(model, "occlusion"), {names[0]: x, **asked(1)})["relevance"][0, 0]
    assert relative_l2(found.sum(1), total / cover) < 1e-4
    assert np.ptp(found, axis=1).max() < 1e-6 * np.abs(found).max()  # spread evenly over the channels


@pytest.mark.parametrize("method", ["occlusion", "rise:masks=30,cells=3"])
def test_a_gray_image_without_a_input_channels_is_one_in_two_directions(method):
    """The same maps as of the same network with the channel axis."""
    x = RNG.normal(size=(1, 12, 12)).astype(np.float32)
    bare = Explainer(gray_net(3), method=method, device="cpu").explain(x, 1)
    full = Explainer(gray_net(4), method=method, device="cpu").explain(x[:, None], 1)
    assert bare.relevance.shape == (1, 12, 12) and bare.heatmap.shape == (12, 12)
    assert relative_l2(bare.heatmap, full.heatmap) < 1e-5
