"""Classifiers of texts: the inputs are token ids, the relevance of a token is that of its embedding."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import Explainer, compile_explainer, inspect_model

from .running import asked, assert_scores_close, relative_l2, run

WORDS, WIDTH, LENGTH = 30, 16, 7


class Text(nn.Module):
    """Embeddings of words, segments and places, an encoder under a mask, a dense layer on the first token."""

    def __init__(self, first: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(WORDS, WIDTH)
        self.segments = nn.Embedding(2, WIDTH)
        self.places = nn.Parameter(torch.randn(1, LENGTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.dense = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, 5))
        self.first = first

    def embedded(self, words: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(words + segments + self.places)
        scores = self.query(x) @ self.key(x).transpose(-2, -1) * WIDTH**-0.5
        scores = scores + (1.0 - mask.to(x.dtype))[:, None] * -1e9
        x = x + scores.softmax(-1) @ self.value(x)
        return self.dense(x[:, 0] if self.first else x.mean(1))

    def forward(self, ids: torch.Tensor, kinds: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.embedded(self.words(ids), self.segments(kinds), mask)


NAMES = ["input_ids", "token_type_ids", "attention_mask"]


def export(network: nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str]) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is deprecated and in use
        torch.onnx.export(
            network.eval(), inputs, buffer, input_names=names, output_names=["y"], dynamo=False, opset_version=17,
            dynamic_axes={name: {0: "N"} for name in (*names, "y")},
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


@pytest.fixture(scope="module", params=[True, False], ids=["first token", "mean"])
def text(request):
    network = Text(request.param)
    rng = np.random.default_rng(0)
    feeds = {
        "input_ids": rng.integers(1, WORDS, (2, LENGTH)),
        "token_type_ids": rng.integers(0, 2, (2, LENGTH)),
        "attention_mask": np.array([[1] * LENGTH, [1] * (LENGTH - 2) + [0, 0]]),
    }
    inputs = tuple(torch.tensor(a) for a in feeds.values())
    return network, export(network, inputs, NAMES), feeds


def test_a_token_gets_gradient_times_embedding(text):
    network, model, feeds = text
    got = run(compile_explainer(model, "gradient"), {**feeds, **asked([3, 1], samples=2)})
    ids, kinds, mask = (torch.tensor(a) for a in feeds.values())
    for k, target in enumerate((3, 1)):
        words, segments = (x.detach().requires_grad_() for x in (network.words(ids), network.segments(kinds)))
        network.embedded(words, segments, mask)[:, target].sum().backward()
        for name, x in (("input_ids", words), ("token_type_ids", segments)):
            want = (x.grad * x).sum(-1).detach().numpy()
            assert relative_l2(got[f"relevance/{name}"][k], want) < 1e-5


def test_relevance_arrives_at_the_tokens_and_leaves_the_scores_alone(text):
    _, model, feeds = text
    compiled = compile_explainer(model, ledger=True)
    got = run(compiled, {**feeds, **asked([3, 1], samples=2)})
    assert "relevance/attention_mask" not in got
    assert_scores_close(got["y"], run(model, feeds)["y"])
    total = sum(got[f"relevance/{name}"] for name in NAMES[:2])
    assert total.shape == (2, 2, LENGTH) and np.isfinite(total).all()
    assert (np.abs(total).sum(-1) > 0).all()
    one = run(compiled, {**{n: a[1:] for n, a in feeds.items()}, **asked([3, 1])})
    assert relative_l2(one["relevance/input_ids"][:, 0], got["relevance/input_ids"][:, 1]) < 1e-5


def test_masked_tokens_get_nothing_by_way_of_attention():
    network = Text(first=True)
    ids, kinds = torch.randint(1, WORDS, (1, LENGTH)), torch.zeros((1, LENGTH), dtype=torch.int64)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    model = export(network, (ids, kinds, mask), NAMES)
    feeds = {n: a.numpy() for n, a in zip(NAMES, (ids, kinds, mask), strict=True)}
    names = [n.output[0] for n in model.graph.node if n.op_type == "Softmax"]
    got = run(compile_explainer(model, "gradient"), {**feeds, **asked(2)})
    assert names and (got["relevance/input_ids"][0, 0, 4:] == 0).all()
    assert (got["relevance/input_ids"][0, 0, :4] != 0).all()


def test_input_times_gradient_of_a_token_is_its_gradient(text):
    """The gradient of an id is taken with its embedding already; the id's own number says nothing."""
    _, model, feeds = text
    asks = asked([3, 1], samples=2)
    plain, times = (run(compile_explainer(model, m), {**feeds, **asks}) for m in ("gradient", "input-x-gradient"))
    np.testing.assert_array_equal(times["relevance/input_ids"], plain["relevance/input_ids"])
    assert plain["relevance/input_ids"].any()


def test_the_explainer_takes_a_text(text):
    _, model, feeds = text
    explainer = Explainer(model)
    found = explainer.explain({n: a[0] for n, a in feeds.items()}, target=3)
    assert set(found.relevances) >= {"input_ids", "token_type_ids"}
    assert found.relevance.shape == (LENGTH,) and found.relevance.any()
    shown = {i["name"]: i["explained"] for i in inspect_model(model)["inputs"]}
    assert shown == {"input_ids": True, "token_type_ids": True, "attention_mask": False}


def test_a_bag_of_words_is_explained_by_its_words():
    network = nn.Sequential(
        nn.Embedding(WORDS, WIDTH), nn.Flatten(), nn.Linear(WIDTH * 4, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    ids = torch.tensor([[1, 5, 5, 9]])
    model = export(network, (ids,), ["ids"])
    got = run(compile_explainer(model), {"ids": ids.numpy(), **asked(0)})["relevance"]
    assert got.shape == (1, 1, 4) and got.any()
