"""Inputs that hold ids, masks, numbers without axes, free sizes: each is explained, or named with the reason."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import BadModel, Explainer, compile_explainer, inspect_model

from .running import asked, relative_l2, run
from .torchscript import exported

SYMBOLS, WIDTH, LENGTH = 11, 6, 9


def export(network: nn.Module, inputs: dict[str, torch.Tensor], axes: dict[str, dict[int, str]] | None = None):
    return exported(network, tuple(inputs.values()), tuple(inputs), axes=axes)


class Ids(nn.Module):
    """Symbols become rows in several ways; ``embedded`` goes on from the rows, so that autograd can tell theirs."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.table = how, nn.Embedding(SYMBOLS + 4, WIDTH)
        self.first, self.last = nn.Linear(WIDTH if "table" in how else SYMBOLS, 8), nn.Linear(8, 3)

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        if self.how == "one-hot":
            return nn.functional.one_hot(ids, SYMBOLS).to(torch.float32)
        if self.how == "equal":
            return (ids[..., None] == torch.arange(SYMBOLS)).to(torch.float32)
        if self.how == "scatter":
            return torch.zeros(*ids.shape, SYMBOLS).scatter_(-1, ids[..., None], 1.0)
        if self.how == "scatter of twos":
            return torch.zeros(*ids.shape, SYMBOLS).scatter_(-1, ids[..., None], 2.0)
        if self.how == "table of floats":
            return self.table(ids.to(torch.int64))
        if self.how == "table of scaled floats":
            return self.table((ids * 10.0).round().to(torch.int64))
        if self.how == "table with an offset":
            return self.table(ids + torch.arange(LENGTH) % 4)
        if self.how == "table, clipped":
            return self.table(ids.clamp(0, SYMBOLS - 3))
        return self.table(ids)

    def embedded(self, rows: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(rows).relu().mean(1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.embedded(self.rows(ids))


TABLES = ["table", "table of floats", "table of scaled floats", "table with an offset", "table, clipped"]
WAYS = ["one-hot", "equal", "scatter", "scatter of twos", *TABLES]


def given_as(how: str, ids: torch.Tensor) -> torch.Tensor:
    numbers = ids.to(torch.float32) if "floats" in how else ids
    return numbers / 10 if "scaled" in how else numbers


@pytest.mark.parametrize("how", WAYS)
def test_an_id_gets_gradient_times_its_row_however_the_row_is_made(how):
    network = Ids(how)
    ids = torch.tensor(np.random.default_rng(0).integers(0, SYMBOLS, (2, LENGTH)))
    given = given_as(how, ids)
    model = export(network, {"ids": given[:1]}, {"ids": {0: "N"}})
    rows = network.rows(given).detach().requires_grad_()
    network.embedded(rows)[:, 1].sum().backward()
    for method in ("gradient", "input-x-gradient"):
        got = run(compile_explainer(model, method), {"ids": given.numpy(), **asked(1, samples=2)})["relevance"][0]
        assert relative_l2(got, (rows.grad * rows).sum(-1).detach().numpy()) < 1e-5, method


@pytest.mark.parametrize("how", WAYS)
def test_relevance_of_an_id_is_that_of_its_row(how):
    network, ids = Ids(how), torch.tensor(np.random.default_rng(1).integers(0, SYMBOLS, (1, LENGTH)))
    given = given_as(how, ids)
    model = export(network, {"ids": given})
    made = {"one-hot": "Cast", "equal": "Cast"}.get(how, "ScatterElements" if "scatter" in how else "Gather")
    rows = [n.output[0] for n in model.graph.node if n.op_type in (made, "OneHot")][-1]
    got = run(compile_explainer(model, "lrp-epsilon", tensors=[rows]), {"ids": given.numpy(), **asked(1)})
    assert relative_l2(got["relevance"][0], got[f"relevance/{rows}"][0].sum(-1)) < 1e-5
    assert np.abs(got["relevance"]).max() > 0


def test_rows_picked_by_gather_nd():
    """As TensorFlow's gather_nd exports: row numbers with an axis of their own behind them."""
    draw = np.random.default_rng(5)
    table, weight = (draw.normal(size=s).astype(np.float32) for s in ((SYMBOLS, WIDTH), (WIDTH, 3)))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        net (int64[N, {LENGTH}] ids) => (float[N, 3] y) <int64[1] last = {{-1}}> {{
            at = Unsqueeze(ids, last) rows = GatherND(table, at) a = MatMul(rows, weight) r = Relu(a)
            y = ReduceMean<axes = [1], keepdims = 0>(r) }}""")
    for array, name in ((table, "table"), (weight, "weight")):
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    ids = draw.integers(0, SYMBOLS, (2, LENGTH))
    rows = table[ids].astype(np.float64)
    want = np.where(rows @ weight > 0, rows @ weight, 0)[..., 1] / LENGTH
    got = run(compile_explainer(model, "gradient"), {"ids": ids, **asked(1, samples=2)})["relevance"][0]
    assert relative_l2(got, want) < 1e-5
    got = run(compile_explainer(model, "lrp-epsilon", tensors=["rows"]), {"ids": ids, **asked(1, samples=2)})
    assert relative_l2(got["relevance"][0], got["relevance/rows"][0].sum(-1)) < 1e-5
    assert got["relevance"].any()


def test_places_at_which_numbers_are_put_are_no_ids():
    """Numbers of one input replace some of another's: both have gradients, the places have none and are named."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N, 4] x, float[N, 2] u, int64[N, 2] places) => (float[N, 4] y) {
            s = ScatterElements<axis = 1>(x, places, u) y = Mul(s, s) }""")
    feeds = {
        "x": np.array([[1, 2, 3, 4]], np.float32), "u": np.array([[5, 6]], np.float32), "places": np.array([[3, 0]]),
    }  # fmt: skip
    explainer = Explainer(model, method="gradient", labels=list("abcd"))
    for target, x, u in ((0, [0, 0, 0, 0], [0, 12]), (1, [0, 4, 0, 0], [0, 0]), (3, [0, 0, 0, 0], [10, 0])):
        found = explainer.explain(feeds, target=target)
        assert set(found.relevances) == {"x", "u"}
        np.testing.assert_array_equal(found.relevances["x"], x)
        np.testing.assert_array_equal(found.relevances["u"], u)
    assert any("'places' is not explained" in w for w in found.warnings)


class Bag(nn.Module):
    """The symbols of a sentence put into one row, in which order and how often does not matter."""

    def __init__(self, counted: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.dense, self.counted = nn.Linear(SYMBOLS, 3), counted

    def row(self, ids: torch.Tensor) -> torch.Tensor:
        zeros, ones = torch.zeros(ids.shape[0], SYMBOLS), torch.ones(ids.shape)
        return zeros.scatter_add_(1, ids, ones) if self.counted else zeros.scatter_(1, ids, 1.0)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.dense(self.row(ids)).sigmoid()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("method", ["gradient", "lrp-0"])
def test_a_symbol_that_stands_twice_in_a_bag_shares_what_its_place_has(counted, method):
    """The model is linear: both methods give every symbol weight · count, in all."""
    network, ids = Bag(counted), torch.tensor([[3, 7, 3, 3, 0], [1, 2, 4, 5, 6]])
    model = export(network, {"ids": ids[:1]}, {"ids": {0: "N"}})
    got = run(compile_explainer(model, method), {"ids": ids.numpy(), **asked(2, samples=2)})["relevance"][0]
    with torch.no_grad():
        weight = network.dense.weight[2].numpy()
        count = np.array([(row == row[:, None]).sum(1).numpy() for row in ids])
    want = weight[ids.numpy()] / (1 if counted else count)
    assert got.shape == ids.shape and np.abs(got).max() > 0
    ratio = got / want
    assert relative_l2(ratio, np.broadcast_to(ratio[:, :1], ratio.shape)) < 1e-5
    if method == "gradient":
        assert relative_l2(got, want) < 1e-5


class Mixed(nn.Module):
    """A picture, ids of two columns, numbers, a mask and a temperature without axes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.picture = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.table, self.dense = nn.Embedding(7, 3), nn.Linear(4 + 6 + 2, 4)

    def joined(self, image, rows, numbers, mask, temperature):
        kept = rows * mask[..., None].to(rows.dtype)
        return self.dense(torch.cat((self.picture(image), kept.flatten(1), numbers), 1)) / temperature

    def forward(self, image, ids, numbers, mask, temperature):
        return self.joined(image, self.table(ids), numbers, mask, temperature)


def mixed():
    draw = torch.Generator().manual_seed(2)
    return Mixed(), {
        "image": torch.randn(1, 3, 6, 6, generator=draw), "ids": torch.tensor([[2, 5]]),
        "numbers": torch.randn(1, 2, generator=draw), "mask": torch.tensor([[1, 1]]),
        "temperature": torch.tensor(1.7),
    }  # fmt: skip


def test_every_input_is_explained_or_named():
    network, inputs = mixed()
    model = export(network, inputs)
    feeds = {name: x.numpy() for name, x in inputs.items()}
    leaves = {name: inputs[name].clone().requires_grad_() for name in ("image", "numbers", "temperature")}
    rows = network.table(inputs["ids"]).detach().requires_grad_()
    y = network.joined(leaves["image"], rows, leaves["numbers"], inputs["mask"], leaves["temperature"])
    y[0, 2].backward()
    result = Explainer(model, method="gradient").explain(feeds, target=2)
    want = {name: x.grad.numpy().reshape(x.shape[1:]) for name, x in leaves.items()}
    want["ids"] = (rows.grad * rows).sum(-1)[0].detach().numpy()
    assert set(result.relevances) == set(want)
    for name, expected in want.items():
        assert relative_l2(result.relevances[name], expected) < 1e-5, name
    assert [w for w in result.warnings if "'mask' is not explained" in w and "whole numbers" in w]
    assert any("'mask' is not explained" in note for note in inspect_model(model)["warnings"])


def test_black_boxes_leave_ids_as_they_are_and_say_so():
    network, inputs = mixed()
    feeds = {name: x.numpy() for name, x in inputs.items()}
    result = Explainer(export(network, inputs), method="occlusion").explain(feeds, target=2)
    assert set(result.relevances) == {"image", "numbers"}
    named = [w for w in result.warnings if "is not explained" in w]
    assert len(named) == 3 and any("'ids'" in w and "holds ids" in w for w in named)
    assert any("'temperature'" in w and "one number without axes" in w for w in named)


def test_a_number_without_axes_is_taken_as_it_is_or_as_one_entry():
    network, inputs = mixed()
    explainer = Explainer(export(network, inputs), method="gradient")
    feeds = {name: x.numpy() for name, x in inputs.items()}
    plain = explainer.explain(feeds, target=1)
    assert (
        relative_l2(explainer.explain({**feeds, "temperature": np.array([1.7], "f")}, 1).relevance, plain.relevance)
        == 0
    )
    with pytest.raises(Exception, match="is one number without axes, not 2"):
        explainer.explain({**feeds, "temperature": np.ones(2, np.float32)})


class Scaled(nn.Module):
    def forward(self, x, by):
        return (x * by).sum(2)


def test_items_with_numbers_of_their_own_are_explained_apart():
    model = export(Scaled(), {"x": torch.zeros(1, 3, 4), "by": torch.tensor(2.0)}, {"x": {0: "N"}})
    items = [{"x": np.ones((1, 3, 4), np.float32), "by": np.float32(k)} for k in (2.0, 2.0, 5.0)]
    found = Explainer(model, method="gradient").explain_batch(items, target=0)
    assert [float(one[0].relevances["x"].sum()) for one in found] == [8.0, 8.0, 20.0]
    assert [float(one[0].relevances["by"]) for one in found] == [4.0, 4.0, 4.0]


class Counted(nn.Module):
    def forward(self, x, by):
        return (x * by.to(x.dtype)).sum(2)


@pytest.mark.parametrize("method", ["gradient", "occlusion"])  # one sample at a time, and as many as there are
def test_items_are_one_run_only_where_their_numbers_are_the_same(method):
    """A whole number is not explained, so that the batch stays free; but a run has one for all of its items."""
    model = export(Counted(), {"x": torch.zeros(1, 3, 4), "by": torch.tensor(2)}, {"x": {0: "N"}})
    items = [{"x": np.ones((1, 3, 4), np.float32), "by": np.int64(k)} for k in (2, 2, 5)]
    explainer = Explainer(model, method=method)
    first, second, third = (one[0].relevance for one in explainer.explain_batch(items, target=0))
    assert np.abs(first).max() > 0
    assert np.array_equal(second, first)
    assert np.allclose(third, 2.5 * first, rtol=1e-6, atol=0)
    assert explainer.analyse(explainer.prepare(items[0])).graph.batch is None


class Unused(nn.Module):
    def forward(self, x, other):
        return x.flatten(1) @ torch.ones(4, 2) + other.sum() * 0


def test_an_input_without_influence_is_named():
    text = """<ir_version: 8, opset_import: ["" : 17]>
        net (float[N, 4] x, float[N, 4] spare, bool[N, 2] flag) => (float[N, 2] y, float[N, 4] z) {
            a, b = Split<axis = 1>(x)
            y = Where(flag, a, b)
            z = Relu(spare)
        }"""
    model = onnx.parser.parse_model(text)
    feeds = {"x": np.ones((1, 4), np.float32), "spare": np.ones((1, 4), np.float32), "flag": np.array([[True, False]])}
    result = Explainer(model, method="gradient", output="y").explain(feeds, target=0)
    assert any("'spare' is not explained: the scores do not depend on it" in w for w in result.warnings)
    assert any("'flag' is not explained: it holds truth values" in w for w in result.warnings)


# ---- sizes the model leaves free ----


class Signal(nn.Module):
    def __init__(self, traced: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.dense, self.traced = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU()), nn.Linear(4, 2), traced

    def forward(self, x):
        y = self.body(x)
        return self.dense((y.reshape(1, 4, self.traced) if self.traced else y).mean(2))


FREE = {"x": {0: "N", 2: "length"}}


@pytest.mark.parametrize("method", ["gradient", "rsp", "occlusion", "grad-cam"])
def test_an_input_tells_its_sizes_itself(method):
    model = export(Signal(), {"x": torch.zeros(1, 3, 20)}, FREE)
    explainer = Explainer(model, method=method)
    for length in (20, 33):
        x = np.random.default_rng(length).normal(size=(1, 3, length)).astype(np.float32)
        assert explainer.explain({"x": x}, target=0).relevance.shape == (3, length)


def test_inspect_says_which_sizes_are_free_and_takes_others():
    model = export(Signal(), {"x": torch.zeros(1, 3, 20)}, FREE)
    report = inspect_model(model)
    assert any("leaves its size free; this is for 3×16 (--input-shape" in note for note in report["warnings"])
    assert inspect_model(model, input_shapes={"x": [None, 3, 50]})["section"]["shape"][-1] == 48


def test_a_model_that_does_not_run_at_a_size_is_blamed_itself():
    model = export(Signal(traced=18), {"x": torch.zeros(1, 3, 20)}, {"x": {2: "length"}})
    assert Explainer(model).explain({"x": np.ones((1, 3, 20), np.float32)}, 0).relevance.shape == (3, 20)
    said = r"does not run on this input \(x 1×3×8\): Reshape node.*it does run at size 20 \('x' on axis 2\)"
    with pytest.raises(BadModel, match=said):
        Explainer(model).explain({"x": np.ones((1, 3, 8), np.float32)}, 0)
    assert any("this is for 3×20" in note for note in inspect_model(model)["warnings"])
