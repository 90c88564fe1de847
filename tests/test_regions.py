"""Models that score every position or box: a region makes one score per class of them."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import BadInput, Explainer, compile_explainer, inspect_model
from rsp_onnx.scores.region import POOLED, parse_region

from .running import asked, relative_l2, run

CLASSES, SIDE = 3, 12


class Masks(nn.Module):
    """Scores of three classes at every position, [N, 3, 12, 12], or channels last, or as boxes [N, 144, 3]."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.classes = nn.Conv2d(8, CLASSES, 1)
        self.layout = layout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.classes(self.features(x))
        if self.layout == "boxes":
            return y.flatten(2).transpose(1, 2)
        return y.permute(0, 2, 3, 1) if self.layout == "last" else y


def export(network: nn.Module) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is deprecated and in use
        torch.onnx.export(
            network.eval(), (torch.zeros(1, 3, SIDE, SIDE),), buffer, input_names=["x"], output_names=["y"],
            dynamo=False, opset_version=17, dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


def pooled(y: torch.Tensor, region: str, layout: str) -> torch.Tensor:
    """One score per class, written once more: [N, 3]."""
    y = {"first": lambda: y, "last": lambda: y.permute(0, 3, 1, 2), "boxes": lambda: y.transpose(1, 2)[..., None]}[
        layout
    ]()
    if region == "auto":
        region = "peak" if layout == "boxes" else "mask"
    if region == "peak":
        return y.amax((2, 3))
    if region == "all":
        return y.mean((2, 3))
    if region == "mask":
        rows = []
        for c in range(CLASSES):
            wins = (y.argmax(1) == c).to(y.dtype)
            rows.append([(s * w).sum() / w.sum() if w.sum() else s.mean() for s, w in zip(y[:, c], wins, strict=True)])
        return torch.stack([torch.stack(row) for row in rows], 1)
    box = [int(w) for w in region.split(",")]
    if layout == "boxes":
        return y[:, :, box[0] : box[-1] + 1].mean((2, 3))
    return y[:, :, box[1] : box[3] + 1, box[0] : box[2] + 1].mean((2, 3))


CASES = [
    ("first", "auto"), ("first", "mask"), ("first", "peak"), ("first", "all"), ("first", "2,1,9,4"), ("last", "mask"),
    ("last", "0,11,3,11"), ("boxes", "auto"), ("boxes", "17"), ("boxes", "3,40"), ("boxes", "mask"),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "region"), CASES)
def test_the_gradient_is_that_of_the_pooled_scores(layout, region):
    network = Masks(layout)
    model = export(network)
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    scores = pooled(network(x), region, layout)
    scores[:, 1].sum().backward()
    got = run(compile_explainer(model, "gradient", region=region), {"x": x.detach().numpy(), **asked(1, samples=2)})
    assert relative_l2(got["relevance"][0], x.grad.numpy()) < 1e-5
    read = Explainer(model, region=region).scores({"x": x.detach().numpy()[:1]})
    assert relative_l2(read, scores[0].detach().numpy()) < 1e-6
    assert relative_l2(got["y"], run(model, {"x": x.detach().numpy()})["y"]) < 1e-6


def test_relevance_of_a_box_stays_around_it():
    explainer = Explainer(export(Masks("first")), region="8,8,11,11", method="gradient")
    x = np.random.default_rng(0).normal(size=(3, SIDE, SIDE)).astype(np.float32)
    found = explainer.explain(x, target=2)
    assert found.scores.shape == (CLASSES,)
    assert found.relevance[:, :6].any() == found.relevance[:, :, :6].any() == np.False_  # two 3×3 kernels reach 2
    assert found.relevance[:, 8:, 8:].any()
    rsp = Explainer(export(Masks("first")), region="8,8,11,11").explain(x, target=2)
    assert np.isfinite(rsp.relevance).all() and rsp.relevance.any()


def test_the_section_lies_before_the_classifying_convolution():
    report = inspect_model(export(Masks("first")))
    assert report["section"]["shape"][1:] == [8, SIDE, SIDE]
    assert (report["classes"], report["logits"]) == (CLASSES, POOLED)


@pytest.mark.parametrize(
    ("layout", "region", "said"),
    [
        ("first", "5", "say auto, mask, peak, all, or X0,Y0,X1,Y1"),
        ("first", "face", "The region 'face' is none"),
        ("first", "5,5,2,9", "is empty"),
        ("first", "0,0,12,3", "outside of the scores' 12 × 12 positions"),
        ("boxes", "144", "outside of the scores' 144 positions"),
        ("boxes", "1,2,3", "an index, or FIRST,LAST"),
    ],
)
def test_a_region_that_does_not_fit_is_one_sentence(layout, region, said):
    with pytest.raises(BadInput, match=said) as caught:
        compile_explainer(export(Masks(layout)), region=region)
    assert "\n" not in str(caught.value)


def test_a_region_needs_scores_by_position(repo):
    with pytest.raises(BadInput, match="a region is for models with masks, boxes or time steps"):
        compile_explainer(repo / "models" / "digits_pytorch.onnx", region="peak")
    assert parse_region("peak", 1).kind == "peak"


@pytest.mark.parametrize("method", ["rsp", "lrp-epsilon", "grad-cam", "occlusion:window=0.5,stride=0.5"])
def test_what_pools_and_what_walks_back_have_names_of_their_own(method):
    """Two emitters write into one graph; ONNX Runtime refuses two nodes of one name."""
    compiled = compile_explainer(export(Masks("first")), method)
    names = [node.name for node in compiled.graph.node]
    assert len(set(names)) == len(names)
    x = np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    assert np.isfinite(run(compiled, {"x": x, **asked(1)})["relevance"]).all()
