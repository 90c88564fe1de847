"""Loops that stay loops are explained as their steps written out, whatever their number, and as torch would."""

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from rsp_onnx import BadInput, UnsupportedOp, compile_explainer, inspect_model
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.rewrite import control_flow, recurrent

from . import torchscript
from .running import asked, relative_l2, run, session
from .test_control_flow import BEGIN, KNOWN, LOOP, RNG, SCAN, STEPS, image, model, scripted
from .test_recurrent import SETTINGS, H, N, T, layer

METHODS = ["rsp", "gradient", "lrp-epsilon", "lrp-gamma", "lrp-alpha-beta", "guided-backprop",
           "attribution-equilibrium", "excitation-backprop", "rap", "integrated-gradients:steps=2"]  # fmt: skip
FEW, MANY = 100, 1  # how many steps are unrolled: all, or none


def both(monkeypatch, network, method, feeds, **settings):
    """Explain a model with its steps written out, and with its loops as they are."""
    found = []
    for most in (FEW, MANY):
        for module in (control_flow, recurrent):
            monkeypatch.setattr(module, "MOST_UNROLLED", most)
        compiled = compile_explainer(network, method, **settings)
        ops = {n.op_type for n in compiled.graph.node}
        assert ("Scan" in ops or "Loop" in ops) == (most == MANY) or "integrated" in method
        found.append(run(compiled, feeds))
    return found


def loops():
    """Every way through a loop of known length: (name, model)."""
    ways = {
        "plain": ("", "t"), "axis": (", scan_input_axes = [1]", "x"),
        "backward": (", scan_input_directions = [1]", "t"),
        "output": (", scan_output_directions = [1], scan_output_axes = [1], scan_input_axes = [-2]", "x"),
    }  # fmt: skip
    for name, (settings, over) in ways.items():
        text = BEGIN + SCAN.format(settings=settings, over=over)
        axis = 1 if "output_axes" in settings else 0
        first = f"f = Gather<axis={axis}>(all, first) g = Add(f, last) y = MatMul(g, v)"
        for used, end in (("last", "y = MatMul(last, v)"), ("all", first)):
            yield f"scan-{name}-{used}", model(text + end, first=np.int64(0), wide=np.array([4]))
    last = LOOP.format(count="five", going="yes", go="go = Identity(on)", more="", scan="")
    yield "loop-last", model(last + "y = MatMul(last, v)", **KNOWN)
    rows = LOOP.format(count="five", going="", go="go = Identity(on) k = Neg(n)", more=", all", scan=", float[N,4] k")
    mean = "m = ReduceMean<axes=[0], keepdims=0>(all) z = Add(m, last) y = MatMul(z, v)"
    yield "loop-all", model(rows.replace(", ,", ", yes,") + mean, **KNOWN)


LOOPS = dict(loops())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_gives_the_map_of_its_steps(name, method, monkeypatch):
    feeds = {"x": image(3, 4), **asked((0, 2), (1,), 3)}
    unrolled, kept = both(monkeypatch, LOOPS[name], method, feeds)
    assert np.abs(unrolled["relevance"]).sum() > 0
    assert np.array_equal(unrolled["y"], kept["y"])
    assert relative_l2(kept["relevance"], unrolled["relevance"]) < 1e-6


def headed(op, settings):
    """A recurrent layer on sequences [N, T, 4] with scores behind it, of all its outputs."""
    network = layer(op, **settings)
    network.graph.node.insert(0, helper.make_node("Transpose", ["x"], ["X"], perm=[1, 0, 2]))
    network.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", 1, [N, T, 4]))
    outputs = [o.name for o in network.graph.output]
    size = settings.get("directions", 1) * H
    nodes = [
        helper.make_node("Transpose", ["Y"], ["Yt"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["Yt", "rows"], ["Yr"]),
        helper.make_node("ReduceMean", ["Yr"], ["Ym"], axes=[1], keepdims=0),
    ]
    terms = ["Ym"]
    for name in outputs[1:]:
        nodes += [
            helper.make_node("Transpose", [name], [f"{name}t"], perm=[1, 0, 2]),
            helper.make_node("Reshape", [f"{name}t", "flat"], [f"{name}f"]),
        ]
        terms.append(f"{name}f")
    nodes += [helper.make_node("Concat", terms, ["all"], axis=1), helper.make_node("MatMul", ["all", "head"], ["y"])]
    network.graph.node.extend(nodes)
    arrays = {
        "rows": np.array([N, -1, size]), "flat": np.array([N, size]),
        "head": RNG(3).randn(len(terms) * size, 3).astype(np.float32),
    }  # fmt: skip
    network.graph.initializer.extend(numpy_helper.from_array(a, k) for k, a in arrays.items())
    del network.graph.output[:]
    network.graph.output.append(helper.make_tensor_value_info("y", 1, [N, 3]))
    return network


LAYERS = [p for p in SETTINGS if not any(w in p.id for w in ("opset", "full-lengths", "one-step"))]


@pytest.mark.parametrize("method", ["rsp", "gradient", "lrp-epsilon"])
@pytest.mark.parametrize(("op", "settings"), LAYERS)
def test_a_recurrent_layer_as_a_scan_gives_the_map_of_its_steps(op, settings, method, monkeypatch):
    network = headed(op, settings)
    feeds = {"x": RNG(8).randn(N, T, 4).astype(np.float32), **asked((0, 2), (1,), N)}
    unrolled, kept = both(monkeypatch, network, method, feeds, output="y")
    assert np.abs(unrolled["y"] - kept["y"]).max() < 1e-6
    largest = np.abs(unrolled["relevance"]).max()
    assert largest > 0
    assert np.abs(kept["relevance"] - unrolled["relevance"]).max() < 1e-5 * largest


# ---- loops whose steps the input counts ----

COUNTED = "f = ReduceSum<keepdims=0>(x) fa = Abs(f) fb = Floor(fa) fc = Mod<fmod=1>(fb, four) steps = Cast<to=7>(fc) "
SKIP = "r0 = MatMul(x, w) m0 = ReduceMean<axes=[1], keepdims=0>(r0) "


def counted(inner="go = Identity(on)", count="steps", going="yes"):
    loop = LOOP.format(count=count, going=going, go=inner, more="", scan="")
    return model(COUNTED + SKIP + loop + "z = Add(last, m0) y = MatMul(z, v)", **KNOWN | {"four": np.float32(4)})


def unrolled_by_hand(steps):
    text = "".join(
        f"a{t} = MatMul({'h0' if t == 0 else f'n{t - 1}'}, w) b{t} = Gather<axis=1>(x, t{t}) "
        f"c{t} = Add(a{t}, b{t}) n{t} = Tanh(c{t}) "
        for t in range(steps)
    )
    end = f"z = Add(n{steps - 1}, m0)" if steps else "z = Identity(m0)"
    return model(SKIP + text + end + " y = MatMul(z, v)", **STEPS)


@pytest.mark.parametrize("method", ["rsp", "gradient", "lrp-epsilon", "guided-backprop"])
def test_a_loop_whose_steps_the_input_counts_is_explained_as_those_steps(method):
    network, seen = counted(), set()
    compiled = compile_explainer(network, method)
    for seed in range(7):
        x = image(2, seed)
        steps = int(np.fmod(np.floor(np.abs(x.sum(dtype=np.float32))), 4))
        feeds = {"x": x, **asked((0, 2), (1,), 2)}
        found, wanted = run(compiled, feeds), run(compile_explainer(unrolled_by_hand(steps), method), feeds)
        assert np.array_equal(found["y"], run(network, {"x": x})["y"])
        if steps or method == "gradient":  # without a step the sum with a state of zeros shares what is no one's
            assert relative_l2(found["relevance"], wanted["relevance"]) < 1e-5
        assert np.isfinite(found["relevance"]).all()
        seen.add(steps)
    assert seen == {0, 1, 2, 3}


class Settles(nn.Module):
    """A script that goes on until its state has grown, or for at most nine steps, and branches on the way."""

    def __init__(self):
        super().__init__()
        self.mix, self.other, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        h, i, y = x[:, 0], 0, x.mean(1)
        while bool(h.abs().sum() < 40.0) and i < 9:
            mixed = self.mix(h)
            if bool(h.sum() > 0.0):
                h = h + torch.tanh(mixed + y)
            else:
                h = h * 1.5
                h = h + torch.sigmoid(self.other(y * h))
            i += 1
        return self.out(h)


def test_a_scripted_loop_that_the_input_ends_with_a_branch_inside_is_explained_as_torch_would():
    torch.manual_seed(6)
    network = Settles().eval()
    exported = scripted(network)
    compiled, plain = compile_explainer(exported, "gradient"), session(exported)
    for seed in range(6):
        x = image(2, seed)
        leaf = torch.tensor(x, requires_grad=True)
        network(leaf)[:, 1].sum().backward()
        found = run(compiled, {"x": x, **asked(1, (), 2)})
        assert relative_l2(found["relevance"][0], leaf.grad.numpy()) < 1e-5
        assert np.array_equal(found["y"], plain.run(["y"], {"x": x})[0])
    rsp = run(compile_explainer(exported), {"x": image(), **asked(1, (2,), 2)})["relevance"]
    assert np.isfinite(rsp).all()
    assert np.abs(rsp).sum() > 0


NESTED = """f = ReduceSum<keepdims=0>(x) a = Abs(f) b = Mod<fmod=1>(a, four) p = Floor(b) q = Cast<to=7>(p)
    steps = Add(q, one)
    start = ReduceMax<axes=[1], keepdims=0>(x)
    last = Loop (steps, yes, start) <
        body = outer (int64 i, bool on, float[N,4] h) => (bool go, float[N,4] n) {
            n = Loop (steps, yes, h) <
                body = inner (int64 j, bool off, float[N,4] k) => (bool goes, float[N,4] m) {
                    u = MatMul(k, w) s = Add(u, start) m = Tanh(s) goes = Identity(off)
                }
            > go = Identity(on)
        }
    > y = MatMul(last, v)"""


@pytest.mark.parametrize("method", ["gradient", "rsp"])
def test_a_loop_in_a_loop(method):
    network = model(NESTED, **KNOWN | {"four": np.float32(3)})
    compiled = compile_explainer(network, method)
    for seed in range(5):
        x = image(2, seed)
        steps = 1 + int(np.floor(np.fmod(np.abs(x.sum(dtype=np.float32)), 3)))
        text = "n0 = ReduceMax<axes=[1], keepdims=0>(x) " + "".join(
            f"u{t} = MatMul(n{t}, w) s{t} = Add(u{t}, n0) n{t + 1} = Tanh(s{t}) " for t in range(steps**2)
        )
        plain = compile_explainer(model(text + f"y = MatMul(n{steps**2}, v)"), method)
        feeds = {"x": x, **asked((0, 2), (), 2)}
        found, wanted = run(compiled, feeds), run(plain, feeds)
        np.testing.assert_allclose(found["y"], wanted["y"], atol=1e-5)
        assert relative_l2(found["relevance"], wanted["relevance"]) < 1e-5


# ---- long ones ----


class Long(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(4, 8, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.cell(x)[0].mean(1))


def exported(network, steps):
    return torchscript.exported(network, (torch.zeros(2, steps, 4),), axes={"x": {0: "N"}, "y": {0: "N"}})


def test_a_long_sequence_takes_no_more_nodes_than_a_shorter_one_and_has_torchs_gradient():
    torch.manual_seed(2)
    network = Long().eval()
    short, long = (compile_explainer(exported(network, t), "gradient") for t in (50, 500))
    assert len(long.graph.node) <= len(short.graph.node) < 1000
    x = RNG(5).randn(2, 500, 4).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    network(leaf)[:, 1].sum().backward()
    found = run(long, {"x": x, **asked(1, (), 2)})
    assert relative_l2(found["relevance"][0], leaf.grad.numpy()) < 1e-4
    rsp = run(compile_explainer(exported(network, 500)), {"x": x, **asked(1, (2,), 2)})["relevance"]
    assert np.isfinite(rsp).all()
    assert np.abs(rsp).sum() > 0


def test_the_section_does_not_depend_on_how_the_steps_are_written(monkeypatch):
    network = exported(Long().eval(), 12)
    places = []
    for most in (FEW, MANY):
        for module in (control_flow, recurrent):
            monkeypatch.setattr(module, "MOST_UNROLLED", most)
        found = analyse(network)
        places.append((found.graph.dims(found.section.value), found.section.channel_axis, found.section.position_axes))
    assert places[0] == places[1] == ((None, 12, 16), 2, (1,))


# ---- what is refused ----


def refused(network, words):
    with pytest.raises(UnsupportedOp, match=words) as caught:
        compile_explainer(network)
    assert str(caught.value).endswith(".")


def test_an_op_without_a_rule_inside_a_loop_is_named():
    network = counted("go = Identity(on) odd = my.Odd(n) even = Shape(odd)")
    body = next(a.g for n in network.graph.node for a in n.attribute if n.op_type == "Loop")
    del body.node[-1]
    for node in body.node:
        if node.op_type == "Tanh":
            node.op_type, node.domain = "Unheard", "my"
    with pytest.raises(UnsupportedOp, match="my::Unheard"):
        compile_explainer(network, "gradient")


def test_what_a_counted_loop_collects_is_refused():
    loop = LOOP.format(
        count="steps", going="yes", go="go = Identity(on) k = Neg(n)", more=", all", scan=", float[N,4] k"
    )
    text = COUNTED + loop + "m = ReduceMean<axes=[0], keepdims=0>(all) y = MatMul(m, v)"
    refused(model(text, **KNOWN | {"four": np.float32(4)}), "its number of steps depends on 'steps'.* what it collects")


def test_a_state_that_grows_is_refused():
    text = (
        COUNTED
        + """start = ReduceMax<axes=[1], keepdims=1>(x)
        last = Loop (steps, yes, start) <
            body = step (int64 i, bool on, float[N,L,4] h) => (bool go, float[N,M,4] n) {
                n = Concat<axis=1>(h, x) go = Identity(on)
            }
        > m = ReduceMean<axes=[1], keepdims=0>(last) y = MatMul(m, v)"""
    )
    refused(model(text, **KNOWN | {"four": np.float32(4)}), "its state .* changes its shape")


def test_a_list_filled_by_a_counted_loop_is_refused():
    class Lists(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            rows: list[torch.Tensor] = [x[:, 0]]
            i = 0
            while bool(rows[-1].sum() < 3.0) and i < 4:
                rows.append(rows[-1] + 1.0)
                i += 1
            return self.out(torch.stack(rows, 1).mean(1))

    refused(scripted(Lists().eval()), "fills a list")


def test_inspect_says_how_a_loop_is_walked():
    found = inspect_model(counted().SerializeToString())
    (row,) = [row for row in found["ops"] if row["op"] == "Loop"]
    assert row["explained"]


def test_full_grad_says_that_a_loop_has_no_map_for_its_biases():
    with pytest.raises(BadInput, match=r"^full-grad draws a map for every bias, and those inside the Loop node .*\.$"):
        compile_explainer(counted(), "full-grad")
