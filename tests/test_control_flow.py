"""If, Loop, Scan and sequences become plain nodes where their course is known; others are refused in words."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import UnsupportedOp, compile_explainer
from rsp_onnx.rewrite.registry import expanded_ops

from .little import little
from .running import asked, relative_l2, run, session

RNG = np.random.RandomState
WEIGHTS = {
    "w": RNG(1).randn(4, 4).astype(np.float32) * 0.6,
    "v": RNG(2).randn(4, 3).astype(np.float32),
    "half": np.float32(0.5),
    "h0": np.zeros((1, 4), np.float32),
}
HEAD = "(float[N,5,4] x) => (float[N,3] y)"


def model(body: str, head: str = HEAD, opset: int = 17, **constants: np.ndarray) -> onnx.ModelProto:
    """A model in text form; of the weights only those it reads."""
    found = little(f"g {head} {{ {body} }}", opset)
    named = {**WEIGHTS, **{k: np.asarray(v) for k, v in constants.items()}}
    found.graph.initializer.extend(onnx.numpy_helper.from_array(a, k) for k, a in named.items() if k in str(found))
    return found


def image(samples: int = 2, seed: int = 0) -> np.ndarray:
    return RNG(seed).randn(samples, 5, 4).astype(np.float32)


def gradient(network: onnx.ModelProto, x: np.ndarray, **settings: object) -> dict[str, np.ndarray]:
    return run(compile_explainer(network, "gradient", **settings), {"x": x, **asked(1, (), len(x))})


def same(network: onnx.ModelProto, plain: onnx.ModelProto, relevance: bool = True) -> None:
    """Check scores bit for bit with the file's own, gradients and relevance with those of a model without branches."""
    x = image()
    found, wanted = gradient(network, x), gradient(plain, x)
    assert np.array_equal(found["y"], run(network, {"x": x})["y"])
    assert np.abs(found["y"] - wanted["y"]).max() < 1e-5
    assert relative_l2(found["relevance"], wanted["relevance"]) < 1e-5
    both = [run(compile_explainer(m), {"x": x, **asked(1, (2,), len(x))})["relevance"] for m in (network, plain)]
    assert np.isfinite(both[0]).all()
    assert np.abs(both[0]).sum() > 0
    assert not relevance or relative_l2(both[0], both[1]) < 1e-4


PLAIN = "a = MatMul(x, w) r = Relu(a) m = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(m, v)"
BRANCH = """a = MatMul(x, w) {before}
    r = If ({condition}) <
        then_branch = g1 () => (float[N,5,4] p) {{ p = Relu(a) }},
        else_branch = g2 () => (float[N,5,4] q) {{ q = Tanh(a) }}
    > m = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(m, v)"""
NESTED = """a = MatMul(x, w)
    r = If (yes) <
        then_branch = g1 () => (float[N,5,4] p) {
            p = If (no) <
                then_branch = g3 () => (float[N,5,4] s) { s = Tanh(a) },
                else_branch = g4 () => (float[N,5,4] t) { t = Relu(a) }
            >
        },
        else_branch = g2 () => (float[N,5,4] q) { q = Tanh(a) }
    > m = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(m, v)"""


@pytest.mark.parametrize(
    ("condition", "before"),
    [
        ("yes", ""),
        ("k", "s = Shape(x) d = Gather(s, one) k = Greater(d, three)"),
        ("k", "s = Shape(a) d = Gather(s, two) l = Less(d, three) k = Not(l)"),
    ],
    ids=["initializer", "size", "hidden-size"],
)
def test_the_branch_of_a_known_condition_stands_in_for_the_if(condition, before):
    network = model(
        BRANCH.format(condition=condition, before=before), yes=np.array(True), one=np.int64(1), two=np.int64(2),
        three=np.int64(3),
    )  # fmt: skip
    same(network, model(PLAIN))


def test_the_other_branch():
    same(model(BRANCH.format(condition="no", before=""), no=np.array(False)), model(PLAIN.replace("Relu", "Tanh")))


def test_an_if_in_an_if():
    same(model(NESTED, yes=np.array(True), no=np.array(False)), model(PLAIN))


# ---- branches that the input decides ----

ON_IMAGE = "f = ReduceSum<keepdims=0>(x) k = Greater(f, half) "
METHODS = ["rsp", "gradient", "lrp-epsilon", "lrp-alpha-beta", "guided-backprop", "integrated-gradients:steps=3"]


def either(then: str, otherwise: str, before: str = ON_IMAGE, kind: str = "float[N,5,4]") -> str:
    """A network whose middle is one of two texts that make `r` of `a`, by the sign of the sum of its input."""
    return f"""a = MatMul(x, w) {before}
        r = If (k) <
            then_branch = g1 () => ({kind} p) {{ {then} }},
            else_branch = g2 () => ({kind} q) {{ {otherwise} }}
        > m = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(m, v)"""


def sides() -> list[np.ndarray]:
    """One image on each side of the condition."""
    x = image()
    return [x * np.sign(x.sum()), -x * np.sign(x.sum())]


def alike(network: onnx.ModelProto, *plain: onnx.ModelProto, methods: tuple[str, ...] = tuple(METHODS)) -> None:
    """On either side of the condition: scores bit for bit the file's, maps those of the network of that branch alone.

    Those maps are held to torch and finite differences elsewhere.
    """
    for method in methods:
        joined = compile_explainer(network, method)
        for x, alone in zip(sides(), plain, strict=True):
            feeds = {"x": x, **asked((0, 2), (1,), len(x))}
            found, wanted = run(joined, feeds), run(compile_explainer(alone, method), feeds)
            np.testing.assert_array_equal(found["y"], run(network, {"x": x})["y"])
            np.testing.assert_allclose(found["y"], wanted["y"], atol=1e-5)
            assert np.isfinite(found["relevance"]).all()
            assert np.abs(wanted["relevance"]).sum() > 0
            assert relative_l2(found["relevance"], wanted["relevance"]) < 1e-5, method


RELU, TANH = PLAIN, PLAIN.replace("Relu", "Tanh")


@pytest.mark.parametrize(
    "before",
    [ON_IMAGE, "f = ReduceSum<keepdims=0>(x) one = Reshape(f, wide) k = Greater(one, half) "],
    ids=["scalar", "one-entry"],
)
def test_the_input_decides_which_branch_is_explained(before):
    network = model(either("p = Relu(a)", "q = Tanh(a)", before), wide=np.array([1]))
    alike(network, model(RELU), model(TANH))


def test_a_branch_that_reads_the_image_itself_and_weights_of_its_own():
    network = model(either("b = MatMul(x, w) p = Relu(b)", "c = MatMul(x, u) b = Neg(c) q = Relu(b)"), u=WEIGHTS["w"].T)
    other = "b = MatMul(x, u) a = Neg(b) r = Relu(a) m = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(m, v)"
    alike(network, model(RELU), model(other, u=WEIGHTS["w"].T))


def test_a_branch_that_hands_on_what_it_captures():
    network = model(either("p = Relu(a)", "q = Identity(a)"))
    alike(network, model(RELU), model(PLAIN.replace("Relu", "Identity")))


def test_a_branch_in_a_branch_that_the_input_decides():
    inner = """ j = Greater(g, half)
        p = If (j) <
            then_branch = g3 () => (float[N,5,4] s) { s = Relu(a) },
            else_branch = g4 () => (float[N,5,4] t) { t = Sigmoid(a) }
        >"""
    network = model(either(inner, "q = Tanh(a)", ON_IMAGE + "n = ReduceMax<keepdims=0>(x) g = Neg(n)"))
    alike(network, model(PLAIN.replace("Relu", "Sigmoid")), model(TANH))


@pytest.mark.parametrize("bad", ["l = Log(z) q = Mul(l, z)", "i = Reciprocal(z) q = Add(i, z)", "q = Sqrt(z)"])
def test_numbers_that_are_none_in_the_branch_not_taken_stay_there(bad):
    """Of a negative tensor, or zero: NaN and infinity, in values and slopes."""
    before = ON_IMAGE + "b = Relu(a) n = Neg(b) "
    network = model(either("p = Relu(a)", f"z = Min(n, nil) {bad}", before), nil=np.zeros((), np.float32))
    assert not np.isfinite(run(network, {"x": sides()[1]})["y"]).all()
    x = sides()[0]
    for method in METHODS[:-1]:
        feeds = {"x": x, **asked((0, 2), (), 2)}
        found, wanted = (run(compile_explainer(m, method), feeds)["relevance"] for m in (network, model(RELU)))
        assert np.isfinite(found).all()
        assert relative_l2(found, wanted) < 1e-5


def test_branches_that_give_several_tensors_numbers_and_truth_values():
    text = f"""a = MatMul(x, w) {ON_IMAGE}
        r, i, c = If (k) <
            then_branch = g1 () => (float[N,5,4] p, int64 i1, bool c1) {{
                p = Relu(a) i1 = Identity(two) c1 = Identity(no)
            }},
            else_branch = g2 () => (float[N,5,4] q, int64 i2, bool c2) {{
                q = Tanh(a) i2 = Identity(one) c2 = Identity(yes)
            }}
        > s = Neg(r) e = Where(c, s, r) g = Gather<axis=1>(e, i) y = MatMul(g, v)"""
    network = model(text, one=np.int64(1), two=np.int64(2), yes=np.array(True), no=np.array(False))
    ends = ("r = Relu(a) g = Gather<axis=1>(r, i)", "t = Tanh(a) r = Neg(t) g = Gather<axis=1>(r, i)")
    plain = [model(f"a = MatMul(x, w) {e} y = MatMul(g, v)", i=np.int64(i)) for e, i in zip(ends, (2, 1), strict=True)]
    alike(network, *plain, methods=("gradient", "lrp-epsilon"))


def test_the_gradient_on_either_side_is_the_slope_of_the_scores():
    network = model(either("p = Relu(a)", "b = Tanh(a) q = Mul(b, b)"))
    for x in sides():
        found = gradient(network, x)["relevance"][0].astype(np.float64)
        step, slopes = 1e-2, np.zeros_like(found)
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[place] += sign * step
                ends.append(run(network, {"x": moved})["y"][place[0], 1].astype(np.float64))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        assert relative_l2(found, slopes) < 2e-3  # the step in float32


class Decides(nn.Module):
    """What a script writes: a branch on the numbers of the input."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        if bool(x.sum() > 0.5):
            return self.out(torch.tanh(self.one(x)).mean(1))
        h = torch.relu(self.two(x))
        return self.out(torch.log(h + 0.1).mean(1))


def test_scripted_branches_are_explained_as_torch_would():
    torch.manual_seed(5)
    network = Decides().eval()
    exported = scripted(network)
    assert "If" in {n.op_type for n in exported.graph.node}
    for x in sides():
        leaf = torch.tensor(x, requires_grad=True)
        network(leaf)[:, 1].sum().backward()
        found = gradient(exported, x)
        assert relative_l2(found["relevance"][0], leaf.grad.numpy()) < 1e-5
        assert np.array_equal(found["y"], run(exported, {"x": x})["y"])


def refused(network: onnx.ModelProto, words: str) -> None:
    (node,) = [n for n in network.graph.node if n.op_type == "If"]
    node.name = "decide"
    with pytest.raises(UnsupportedOp, match=rf"^The If node 'decide' cannot be explained: its condition 'k' .*{words}"):
        compile_explainer(network)


def test_branches_of_different_shapes_are_refused_with_both():
    text = either("p = Relu(a)", "q = ReduceMax<axes=[1], keepdims=1>(a)", kind="float[N,L,4]")
    refused(model(text), r"different shapes, \(2, 5, 4\) and \(2, 1, 4\); choose")


def test_a_branch_that_cannot_be_computed_is_refused_with_the_reason():
    text = either("p = Relu(a)", "b = Reshape(a, odd) q = Reshape(b, even)", kind="float[N,L,M]")
    refused(model(text, odd=np.array([7, -1]), even=np.array([0, 5, 4])), "else branch cannot be computed .*Reshape")


def test_a_branch_whose_shape_depends_on_the_numbers_is_refused():
    text = either("p = Relu(a)", "z = NonZero(a) c = Cast<to=1>(z) q = Unsqueeze(c, nil)", kind="float[L,M,K]")
    refused(model(text, nil=np.array([0])), "else branch .*depend on the numbers")


def test_grad_cam_does_not_mind_a_branch_in_front_of_its_section():
    network = model(BRANCH.format(condition="k", before="f = ReduceSum<keepdims=0>(x) k = Greater(f, half)"))
    found = run(compile_explainer(network, "grad-cam"), {"x": image(), **asked([0, 1, 2], (), 2)})
    assert np.array_equal(found["y"], run(network, {"x": image()})["y"])
    assert np.abs(found["relevance"]).sum() > 0


def test_identities_that_give_a_branch_its_output_stay():
    body = """a = MatMul(x, w) b = Relu(a) n = Not(yes)
        r = If (n) <
            then_branch = g1 () => (float[N,5,4] p) { p = Identity(a) },
            else_branch = g2 () => (float[N,5,4] q) { q = Identity(b) }
        > m = ReduceMean<axes=[1], keepdims=0>(r) y = MatMul(m, v)"""
    same(model(body, yes=np.array(True)), model(PLAIN))


# ---- loops ----

LOOP = """
    s0 = Shape<start=0, end=1>(x) z0 = Concat<axis=0>(s0, wide) start = ConstantOfShape(z0)
    last{more} = Loop ({count}, {going}, start) <
        body = step (int64 i, bool on, float[N,4] h) => (bool go, float[N,4] n{scan}) {{
        a = MatMul(h, w) b = Gather<axis=1>(x, i) c = Add(a, b) n = Tanh(c) {go}
    }} >"""
UNROLLED = "".join(
    f"a{t} = MatMul({'h0' if t == 0 else f'n{t - 1}'}, w) b{t} = Gather<axis=1>(x, t{t}) "
    f"c{t} = Add(a{t}, b{t}) n{t} = Tanh(c{t}) "
    for t in range(5)
)
STEPS = {f"t{t}": np.int64(t) for t in range(5)}
TO_THE_END = "s = Shape(x) d = Gather(s, one) "
KNOWN = {
    "yes": np.array(True),
    "one": np.int64(1),
    "five": np.int64(5),
    "nine": np.int64(9),
    "four": np.int64(4),
    "wide": np.array([4]),
}


@pytest.mark.parametrize(
    ("count", "going", "go", "before"),
    [
        ("five", "", "go = Identity(on)", ""),
        ("five", "yes", "go = Identity(on)", ""),
        ("d", "yes", "go = Identity(on)", TO_THE_END),
        ("nine", "yes", "go = Less(i, four)", ""),
        ("", "yes", "go = Less(i, four)", ""),
        ("nine", "yes", "j = Add(i, one) go = Less(j, d)", TO_THE_END),
    ],
    ids=["for", "for-true", "length", "both", "while", "while-length"],
)
def test_a_loop_of_known_length_is_unrolled(count, going, go, before):
    loop = LOOP.format(count=count or '""', going=going or '""', go=go, more="", scan="")
    network = _emptied(before + loop + " y = MatMul(last, v)", count, going)
    plain = model(UNROLLED + "y = MatMul(n4, v)", **STEPS)
    same(network, plain)


def _emptied(text, count, going):
    """Write the loop with all inputs, then empty those that are not meant; the text form has no word for none."""
    network = model(text.replace('("",', "(nine,").replace(', "",', ", yes,"), **KNOWN)
    (loop,) = [n for n in network.graph.node if n.op_type == "Loop"]
    loop.input[0], loop.input[1] = count, going
    return network


def test_what_a_loop_collects_is_put_together():
    loop = LOOP.format(
        count="five", going="yes", go="go = Identity(on) k = Identity(n)", more=", all", scan=", float[N,4] k"
    )
    network = model(loop + "m = ReduceMean<axes=[0], keepdims=0>(all) y = MatMul(m, v)", **KNOWN)
    mean = "m = Mean(n0, n1, n2, n3, n4) y = MatMul(m, v)"
    same(network, model(UNROLLED + mean, **STEPS), relevance=False)


def test_a_loop_without_steps_hands_on_its_state():
    loop = LOOP.format(count="none", going="yes", go="go = Identity(on)", more="", scan="")
    network = model(loop + "r = Tanh(x) m = ReduceMean<axes=[1], keepdims=0>(r) z = Add(m, last) y = MatMul(z, v)",
                    none=np.int64(0), yes=np.array(True), wide=np.array([4]))  # fmt: skip
    found = gradient(network, image())
    assert np.array_equal(found["y"], run(network, {"x": image()})["y"])
    assert np.abs(found["relevance"]).sum() > 0


# ---- Scan ----

SCAN = """t = Transpose<perm=[1,0,2]>(x)
    last, all = Scan <
        num_scan_inputs = 1 {settings},
        body = step (float[N,4] h, float[N,4] b) => (float[N,4] n, float[N,4] k) {{
        a = MatMul(h, w) c = Add(a, b) n = Tanh(c) k = Identity(n)
    }}>(start, {over})"""
BEGIN = "s = Shape<start=0, end=1>(x) z = Concat<axis=0>(s, wide) start = ConstantOfShape(z) "


@pytest.mark.parametrize(
    ("settings", "over"),
    [("", "t"), (", scan_input_axes = [1]", "x"), (", scan_input_directions = [1]", "t"),
     (", scan_output_directions = [1], scan_output_axes = [1], scan_input_axes = [-2]", "x")],
    ids=["plain", "axis", "backward", "output"],
)  # fmt: skip
@pytest.mark.parametrize("used", ["last", "all"])
def test_a_scan_is_unrolled(settings, over, used):
    axis = 1 if "output_axes" in settings else 0
    end = "y = MatMul(last, v)"
    if used == "all":  # the first entry twice, so that the order counts
        end = f"f = Gather<axis={axis}>(all, first) g = Add(f, last) y = MatMul(g, v)"
    network = model(BEGIN + SCAN.format(settings=settings, over=over) + end, first=np.int64(0), wide=np.array([4]))
    steps = list(range(5))[:: -1 if "input_directions" in settings else 1]
    text = "".join(
        f"a{t} = MatMul({'h0' if k == 0 else f'n{steps[k - 1]}'}, w) b{t} = Gather<axis=1>(x, t{t}) "
        f"c{t} = Add(a{t}, b{t}) n{t} = Tanh(c{t}) "
        for k, t in enumerate(steps)
    )
    first = steps[-1 if "output_directions" in settings else 0]
    ends = {"last": f"y = MatMul(n{steps[-1]}, v)", "all": f"g = Add(n{first}, n{steps[-1]}) y = MatMul(g, v)"}
    same(network, model(text + ends[used], **STEPS), relevance=used == "last")  # what is collected may be a section


# ---- scripted modules ----


class Collects(nn.Module):
    """Appends to a list, then stacks it: SequenceInsert in a Loop."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        h, c = torch.zeros(x.size(0), 6), torch.zeros(x.size(0), 6)
        rows: list[torch.Tensor] = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            rows.append(h)
        return self.out(torch.stack(rows, 1).mean(1))


class Counts(nn.Module):
    """A while loop and a branch on the input's size."""

    def __init__(self):
        super().__init__()
        self.mix, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        i, h = 0, x[:, 0]
        while i < x.size(1):
            h = torch.tanh(self.mix(h) + x[:, i])
            i += 1
        h = h * 2.0 if x.size(1) > 3 else h + 1.0
        return self.out(h)


class Unbinds(nn.Module):
    """A loop over the parts of a tensor: SplitToSequence and SequenceAt."""

    def __init__(self):
        super().__init__()
        self.mix, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.zeros(x.size(0), 4)
        for row in x.unbind(1):
            h = torch.relu(self.mix(h) + row)
        return self.out(h)


def scripted(network):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has other exporters to recommend
        torch.onnx.export(
            torch.jit.script(network), (torch.zeros(2, 5, 4),), buffer, input_names=["x"], output_names=["y"],
            opset_version=17, dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, dynamo=False,
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize("kind", [Collects, Counts, Unbinds])
def test_scripted_loops_are_explained_as_torch_would(kind):
    torch.manual_seed(3)
    network, x = kind().eval(), image(3, 7)
    exported = scripted(network)
    assert {n.op_type for n in exported.graph.node} & set(expanded_ops())
    found = gradient(exported, x)
    leaf = torch.tensor(x, requires_grad=True)
    network(leaf)[:, 1].sum().backward()
    assert relative_l2(found["relevance"][0], leaf.grad.numpy()) < 1e-4
    assert np.array_equal(found["y"], run(exported, {"x": x})["y"])
    compiled = compile_explainer(exported)
    together = run(compiled, {"x": x, **asked(1, (2,), 3)})["relevance"]
    alone = [run(compiled, {"x": x[n : n + 1], **asked(1, (2,), 1)})["relevance"] for n in range(3)]
    assert np.isfinite(together).all()
    assert np.abs(together).sum() > 0
    assert relative_l2(together, np.concatenate(alone, axis=1)) < 1e-4


# ---- sequences ----


@pytest.mark.parametrize(
    "body",
    [
        "q = SequenceConstruct(x, r) a = SequenceAt(q, last)",
        "q = SequenceEmpty() p = SequenceInsert(q, x) s = SequenceInsert(p, r, zero) a = SequenceAt(s, zero)",
        "q = SequenceConstruct(r, x) p = SequenceErase(q) a = SequenceAt(p, zero)",
        "q = SplitToSequence<axis=2>(r, parts) a = ConcatFromSequence<axis=2>(q)",
        "q = SplitToSequence<axis=1>(r) a = ConcatFromSequence<axis=1>(q)",
        "q = SplitToSequence<axis=1, keepdims=0>(r) a = ConcatFromSequence<axis=1, new_axis=1>(q)",
        "q = SplitToSequence<axis=1>(r, two) a = ConcatFromSequence<axis=1>(q)",
    ],
)
def test_sequences_are_their_tensors(body):
    text = "b = MatMul(x, w) r = Relu(b) {} m = ReduceMean<axes=[1], keepdims=0>({}) y = MatMul(m, v)"
    constants = {"last": np.int64(-1), "zero": np.int64(0), "parts": np.array([1, 3]), "two": np.int64(2)}
    same(model(text.format(body, "a"), **constants), model(text.format("", "r")))


def test_an_unrolled_loop_writes_the_scores_itself():
    loop = LOOP.format(count="five", going="yes", go="go = Identity(on)", more="", scan="")
    proto = model(loop + "y = MatMul(last, v)", **KNOWN)
    compiled = compile_explainer(proto)
    onnx.checker.check_model(compiled)
    assert [n for n in compiled.graph.node if n.op_type == "Loop"] == []
    x = {"x": np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)}
    want = session(proto).run(["y"], x)[0]
    got = session(compiled).run(["y"], {**x, **asked(0, samples=2)})[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())
