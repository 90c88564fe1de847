"""LSTM, GRU and RNN, written out: the runtime's own numbers, torch's gradients, scores untouched, relevance kept."""

import json
import warnings

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from rsp_onnx import BadModel, UnsupportedOp, compile_explainer
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.graph.shapes import fix_shapes
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite import control_flow, recurrent
from rsp_onnx.rewrite.canonize import canonize
from rsp_onnx.rewrite.expand import expand
from rsp_onnx.rewrite.registry import expanded_ops

from .running import asked, assert_scores_close, relative_l2, run, run_reference, session
from .zoo import export


@pytest.fixture(autouse=True, params=[recurrent.MOST_UNROLLED, 1], ids=["unrolled", "scan"])
def form(request, monkeypatch):
    """Every test runs with the steps written out, and with the Scan that long sequences take."""
    for module in (recurrent, control_flow):
        monkeypatch.setattr(module, "MOST_UNROLLED", request.param)
    return request.param


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
T, N, FEATURES, H = 5, 3, 4, 6
ALPHAS = {
    "LSTM": {"activations": ["HardSigmoid", "ScaledTanh", "Affine"], "activation_alpha": [0.3, 1.1, 0.9],
             "activation_beta": [0.4, 0.7, 0.1]},
    "GRU": {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.3, 0.2], "activation_beta": [0.4]},
    "RNN": {"activations": ["Elu"], "activation_alpha": [0.7]},
}  # fmt: skip


def layer(op, *, directions=1, opset=17, steps=T, batch=N, floats=np.float32, optional=(), lengths=None, **attributes):
    """A model of one recurrent layer with all its outputs; `optional` names inputs beyond X, W and R."""
    rng, d, g = np.random.default_rng(7), directions, GATES[op]
    shapes = {
        "W": (d, g * H, FEATURES), "R": (d, g * H, H), "B": (d, 2 * g * H),
        "initial_h": (d, N, H), "initial_c": (d, N, H),
        "P": (d, 3 * H),
    }  # fmt: skip
    if attributes.get("layout"):
        shapes |= {"initial_h": (N, d, H), "initial_c": (N, d, H)}
    arrays = {k: (rng.normal(size=s) * 0.6).astype(floats) for k, s in shapes.items()}
    arrays["sequence_lens"] = np.array(lengths or [steps] * N, np.int32)
    slots = ["X", "W", "R", "B", "sequence_lens", "initial_h"] + (["initial_c", "P"] if op == "LSTM" else [])
    used = [s if s in ("X", "W", "R", *optional) else "" for s in slots]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(floats))
    way = {1: attributes.pop("direction", "forward"), 2: "bidirectional"}[d]
    node = helper.make_node(op, used, outputs, hidden_size=H, direction=way, **attributes)
    size = (batch, steps, FEATURES) if attributes.get("layout") else (steps, batch, FEATURES)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("X", kind, size)],
        [helper.make_tensor_value_info(o, kind, [None] * (4 if o == "Y" else 3)) for o in outputs],
        [numpy_helper.from_array(arrays[s], s) for s in used if s and s != "X"],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def written_out(model, **shapes):
    work = canonize(load_model(model))
    fix_shapes(work, shapes or None)
    while expand(work):
        fix_shapes(work, shapes or None)
    proto = ir.to_proto(work)
    assert not {n.op_type for n in proto.graph.node} & (set(expanded_ops()) - {"Scan"})
    return proto


def sequence(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


SETTINGS = [
    pytest.param(op, settings, id=f"{op}-{name}")
    for op in GATES
    for name, settings in {
        "plain": {},
        "bias": {"optional": ("B",)},
        "reverse": {"optional": ("B",), "direction": "reverse"},
        "both": {"optional": ("B", "initial_h", "initial_c"), "directions": 2},
        "initial": {"optional": ("B", "initial_h", "initial_c")},
        "clip": {"optional": ("B", "initial_h"), "clip": 0.4},
        "lengths": {"optional": ("B", "sequence_lens", "initial_h"), "lengths": [2, 5, 3]},
        "lengths-zero": {"optional": ("B", "sequence_lens"), "lengths": [5, 1, 2]},
        "lengths-both": {"optional": ("B", "sequence_lens"), "lengths": [2, 5, 3], "directions": 2},
        "full-lengths": {"optional": ("B", "sequence_lens"), "lengths": [5, 5, 5]},
        "alpha": {"optional": ("B",), **ALPHAS[op]},
        "opset-7": {"optional": ("B",), "opset": 7},
        "opset-22": {"optional": ("B",), "opset": 22},
        "one-step": {"optional": ("B",), "steps": 1},
    }.items()
] + [
    pytest.param("LSTM", {"optional": ("B", "P", "initial_h", "initial_c")}, id="LSTM-peepholes"),
    pytest.param("LSTM", {"optional": ("P",), "directions": 2}, id="LSTM-peepholes-both"),
    pytest.param("LSTM", {"optional": ("B", "initial_h", "initial_c"), "input_forget": 1}, id="LSTM-input-forget"),
    pytest.param("GRU", {"optional": ("B",), "linear_before_reset": 1}, id="GRU-linear"),
    pytest.param("GRU", {"optional": ("B", "initial_h"), "linear_before_reset": 1, "directions": 2}, id="GRU-linear-2"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "settings"), SETTINGS)
def test_the_steps_compute_what_the_runtimes_own_layer_computes(op, settings):
    model = layer(op, **settings)
    feeds = {"X": sequence(settings.get("steps", T), N, FEATURES)}
    wanted, found = run(model, feeds), run(written_out(model), feeds)
    assert wanted.keys() == found.keys()
    for name in wanted:
        assert np.abs(found[name] - wanted[name]).max() < 2e-6, name


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("directions", [1, 2])
def test_batch_in_front_is_the_same_layer_turned(op, directions):
    """ONNX Runtime has no layout 1, so compare with layout 0."""
    settings = {"directions": directions, "optional": ("B", "initial_h", "initial_c"), "opset": 14}
    first, front = (layer(op, layout=k, **settings) for k in (0, 1))
    for tensor in front.graph.initializer:
        if tensor.name.startswith("initial"):
            (other,) = [t for t in first.graph.initializer if t.name == tensor.name]
            other.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).transpose(1, 0, 2).copy(), other.name))
    x = sequence(T, N, FEATURES)
    wanted, found = run(first, {"X": x}), run(written_out(front), {"X": x.transpose(1, 0, 2)})
    assert np.abs(found["Y"] - wanted["Y"].transpose(2, 0, 1, 3)).max() < 2e-6
    assert np.abs(found["Y_h"] - wanted["Y_h"].transpose(1, 0, 2)).max() < 2e-6


@pytest.mark.parametrize("op", GATES)
def test_lengths_may_be_an_input(op):
    model = layer(op, optional=("B", "sequence_lens"), directions=2)
    del model.graph.initializer[[t.name for t in model.graph.initializer].index("sequence_lens")]
    model.graph.input.append(helper.make_tensor_value_info("sequence_lens", onnx.TensorProto.INT32, [N]))
    opened, found = session(model), session(written_out(model))
    for lengths in ([1, 3, 5], [5, 5, 5], [2, 1, 4]):
        feeds = {"X": sequence(T, N, FEATURES), "sequence_lens": np.array(lengths, np.int32)}
        for wanted, other in zip(opened.run(None, feeds), found.run(None, feeds), strict=True):
            assert np.abs(other - wanted).max() < 2e-6


@pytest.mark.parametrize("op", GATES)
def test_double_precision_is_exact(op):
    model = layer(op, floats=np.float64, optional=("B", "initial_h", "initial_c"))
    feeds = {"X": sequence(T, N, FEATURES, dtype=np.float64)}
    wanted, found = run_reference(model, feeds), run_reference(written_out(model), feeds)
    assert np.abs(found["Y_h"] - wanted["Y_h"]).max() < 1e-12


@pytest.mark.parametrize("scales", ["per-tensor", "per-channel"])
def test_a_quantised_lstm_is_its_dequantised_self(scales):
    rng, wide = np.random.default_rng(3), 1 if scales == "per-tensor" else 4 * H
    scale = rng.uniform(0.01, 0.02, size=(2, 1, wide)).astype(np.float32)
    scale = scale[:, 0, 0] if wide == 1 else scale[:, 0]
    arrays = {
        "W": rng.integers(-120, 120, size=(2, FEATURES, 4 * H)).astype(np.int8),
        "R": rng.integers(-60, 60, size=(2, H, 4 * H)).astype(np.int8),
        "B": rng.normal(size=(2, 8 * H)).astype(np.float32), "s": scale, "z": np.zeros(scale.shape, np.int8),
    }  # fmt: skip
    node = helper.make_node(
        "DynamicQuantizeLSTM", ["X", "W", "R", "B", "", "", "", "", "s", "z", "s", "z"], ["Y", "Y_h"],
        domain="com.microsoft", hidden_size=H, direction="bidirectional",
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("X", 1, [T, N, FEATURES])],
        [helper.make_tensor_value_info("Y", 1, [T, 2, N, H]), helper.make_tensor_value_info("Y_h", 1, [2, N, H])],
        [numpy_helper.from_array(a, k) for k, a in arrays.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    feeds = {"X": sequence(T, N, FEATURES)}
    assert relative_l2(run(written_out(model), feeds)["Y"], run(model, feeds)["Y"]) < 0.02  # its rounding of x and h


# ---- networks ----


class Reader(nn.Module):
    """A recurrent classifier over [N, T, FEATURES]: what the head reads is `head`."""

    def __init__(self, cell=nn.LSTM, head="mean", layers=1, both=False, given=False):
        super().__init__()
        self.cell = cell(FEATURES, H, layers, batch_first=True, bidirectional=both)
        self.head, self.given, self.out = head, given, nn.Linear(H * (1 + both), 4)

    def forward(self, x):
        if self.given:  # a state that is no zero
            wide = (self.cell.num_layers * (1 + self.cell.bidirectional), x.shape[0], H)
            state = torch.full(wide, 0.3)
            sequence, last = self.cell(x, (state, state) if isinstance(self.cell, nn.LSTM) else state)
        else:
            sequence, last = self.cell(x)
        if self.head == "state":
            last = last[0] if isinstance(last, tuple) else last
            return self.out(torch.cat(list(last[-2:]), -1) if self.cell.bidirectional else last[-1])
        return self.out(sequence.mean(1) if self.head == "mean" else sequence[:, -1])


NETWORKS = {
    "lstm": {},
    "lstm-last": {"head": "last"},
    "lstm-state": {"head": "state"},
    "lstm-both-2": {"both": True, "layers": 2},
    "lstm-given": {"given": True, "head": "last"},
    "gru": {"cell": nn.GRU},
    "gru-state": {"cell": nn.GRU, "head": "state", "layers": 2},
    "gru-both-2": {"cell": nn.GRU, "both": True, "layers": 2, "head": "last"},
    "rnn": {"cell": nn.RNN, "layers": 2},
    "rnn-both": {"cell": nn.RNN, "both": True, "head": "state"},
}
SHAPE = (1, 5, FEATURES)
networks = pytest.mark.parametrize("name", NETWORKS)
USUAL = {"opset": 17}
EXPORTS = [{"opset": 13}, USUAL, {"opset": 18, "dynamo": True}, {"opset": 17, "dynamic": False}]


def make(name, seed=0):
    torch.manual_seed(seed)
    return Reader(**NETWORKS[name]).eval()


def written(network, how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of LSTM with a free batch, and of what its tracer fixes
        return export(network, SHAPE, **how)


def explained(model, x, hostile=(2,), samples=None, **settings):
    compiled = compile_explainer(model, ledger=True, **settings)
    return compiled, run(compiled, {"x": x, **asked(1, hostile, samples or len(x))})


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, USUAL) for name in NETWORKS] + [("gru-state", how) for how in EXPORTS if how is not USUAL],
    ids=str,
)
def test_gradients_equal_torchs_and_scores_are_the_models_own(name, how):
    network = make(name)
    model = written(network, how)
    x = sequence(1 if how.get("dynamic") is False else 3, *SHAPE[1:], seed=4)
    compiled = compile_explainer(model, "gradient")
    found = run(compiled, {"x": x, **asked(1, samples=len(x))})
    leaf = torch.tensor(x, requires_grad=True)
    network(leaf)[:, 1].sum().backward()
    assert relative_l2(found["relevance"][0], leaf.grad.numpy()) < 1e-4
    assert_scores_close(found["y"], run(model, {"x": x})["y"])


@pytest.mark.slow
@networks
def test_relevance_reaches_every_step_and_keeps_its_sum(name):
    model, x = written(make(name), USUAL), sequence(3, *SHAPE[1:], seed=5)
    compiled, found = explained(model, x)
    relevance, ledger = found["relevance"], found["ledger"]
    assert np.isfinite(relevance).all()
    assert (np.abs(relevance).sum(axis=(0, 3)) > 0).sum() >= 0.8 * x.shape[0] * x.shape[1]
    rows = json.loads({p.key: p.value for p in compiled.metadata_props}["rsp_onnx.ledger"])
    section = {p.key: p.value for p in compiled.metadata_props}["rsp_onnx.section"]
    start = ledger[rows.index(section)]
    assert np.abs(relevance.sum(axis=(2, 3)) - start).max() < 1e-3 * np.abs(start).max()


@pytest.mark.parametrize("name", ["lstm", "gru-state", "rnn-both"])
def test_a_batch_is_explained_as_one_by_one(name):
    model, x = written(make(name), USUAL), sequence(3, *SHAPE[1:], seed=6)
    compiled, together = explained(model, x)
    for n in range(3):
        alone = run(compiled, {"x": x[n : n + 1], **asked(1, (2,), 1)})["relevance"]
        assert relative_l2(together["relevance"][:, n : n + 1], alone) < 1e-4


@pytest.mark.parametrize(("name", "channels"), [("lstm", H), ("lstm-both-2", 2 * H), ("gru-state", 3 * H)])
def test_the_section_is_a_layers_sequence_with_steps_as_positions(name, channels):
    found = analyse(written(make(name), USUAL))
    assert found.graph.dims(found.section.value) == (None, SHAPE[1], channels)
    assert (found.section.channel_axis, found.section.position_axes) == (2, (1,))


@pytest.mark.slow
def test_every_exporter_gives_the_same_map():
    network, x = make("gru"), sequence(1, *SHAPE[1:], seed=8)
    maps = [explained(written(network, how), x)[1]["relevance"] for how in EXPORTS]
    for other in maps[1:]:
        assert relative_l2(other, maps[0]) < 1e-3


def test_time_in_front_of_one_sample():
    torch.manual_seed(0)

    class Front(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.LSTM(FEATURES, H, 2), nn.Linear(H, 4)

        def forward(self, x):
            return self.out(self.cell(x)[0].mean(0))

    network = Front().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = export(network, (7, 1, FEATURES), dynamic=False)
    x = sequence(7, 1, FEATURES)
    leaf = torch.tensor(x, requires_grad=True)
    network(leaf)[:, 1].sum().backward()
    found = run(compile_explainer(model, "gradient"), {"x": x, **asked(1)})
    assert relative_l2(found["relevance"][0], leaf.grad.numpy()) < 1e-4
    found = explained(model, x, samples=1)[1]
    assert np.abs(found["relevance"]).sum() > 0
    assert np.array_equal(found["y"], run(model, {"x": x})["y"])


def test_a_naive_cell_written_out_gives_the_layers_map():
    """The same network with nn.LSTMCell's formulas in torch: one graph with an LSTM node, one without."""
    network = make("lstm-last")

    class Naive(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = network

        def forward(self, x):
            cell, h, c = self.one.cell, None, None
            total = cell.bias_ih_l0 + cell.bias_hh_l0
            for t in range(SHAPE[1]):
                before = x[:, t : t + 1] @ cell.weight_ih_l0.T
                before = before + total if h is None else (before + h @ cell.weight_hh_l0.T) + total
                i, f, g, o = before.split(H, 2)
                new = torch.sigmoid(i) * torch.tanh(g)
                c = new if c is None else torch.sigmoid(f) * c + new
                h = torch.sigmoid(o) * torch.tanh(c)
            return self.one.out(h[:, 0])

    x = sequence(2, *SHAPE[1:], seed=9)
    for method in ("gradient", "rsp"):
        models = (written(network, USUAL), written(Naive().eval(), USUAL))
        maps = [run(compile_explainer(m, method), {"x": x, **asked(1, (), 2)}) for m in models]
        assert np.abs(maps[0]["y"] - maps[1]["y"]).max() < 1e-5
        if method == "gradient":
            assert relative_l2(maps[0]["relevance"], maps[1]["relevance"]) < 1e-4


def test_an_unknown_length_is_one_clear_sentence():
    model = written(make("lstm"), USUAL)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "T"
    del model.graph.value_info[:]
    with pytest.raises(BadModel, match=r"^The input 'x' leaves its size on axis 1 free; give the sizes"):
        compile_explainer(model)
    assert compile_explainer(model, input_shapes={"x": (None, *SHAPE[1:])})


def test_weights_computed_at_run_time_are_one_clear_sentence():
    model = layer("GRU")
    del model.graph.initializer[[t.name for t in model.graph.initializer].index("W")]
    model.graph.input.append(helper.make_tensor_value_info("W", 1, [1, 3 * H, FEATURES]))
    with pytest.raises(UnsupportedOp, match=r"GRU node .* weights \(input 1\) are computed at run time"):
        compile_explainer(model, inputs=["X"])


def test_ops_written_out_are_listed_with_a_reason():
    found = expanded_ops()
    assert {"LSTM", "GRU", "RNN", "com.microsoft::DynamicQuantizeLSTM", "If", "Loop", "Scan"} <= set(found)
    assert all(found.values())


def test_the_compiled_model_passes_onnxs_checker():
    onnx.checker.check_model(compile_explainer(written(make("lstm-both-2"), USUAL)), full_check=True)
