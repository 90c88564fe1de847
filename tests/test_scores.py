"""Scores of every shape that exporters write: which output, which axis holds classes, which positions count."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import BadInput, BadModel, Explainer, compile_explainer, inspect_model

from .running import asked, relative_l2, run
from .torchscript import exported

CLASSES, STEPS = 5, 7


def export(network: nn.Module, *inputs: torch.Tensor, outputs=("y",), free=True) -> onnx.ModelProto:
    return exported(network, inputs, outputs=outputs, axes={"x": {0: "N"}} if free else None)


class Head(nn.Module):
    """Five classes of a small picture, their scores in some shape."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dense, self.shape = nn.Linear(6, CLASSES), shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.dense(self.body(x))
        shapes = {
            "N11C": lambda: y[:, None, None],
            "NC11": lambda: y[:, :, None, None],
            "N1C": lambda: y[:, None],
            "softmax N11C": lambda: y.softmax(-1)[:, None, None],
            "N": lambda: y[:, 2],
            "N1": lambda: y[:, 2:3],
        }
        return shapes[self.shape]()


SHAPES = {"N11C": 3, "NC11": 1, "N1C": 2, "softmax N11C": 3, "N": None, "N1": 1}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("free", [True, False], ids=["free batch", "batch of one"])
def test_axes_of_one_are_no_classes(shape, free):
    network, x = Head(shape), torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    model, target = export(network, torch.zeros(1, 3, 8, 8), free=free), 0 if shape in ("N", "N1") else 3
    network.dense(network.body(x))[0, 2 if shape in ("N", "N1") else 3].backward()
    result = Explainer(model, method="gradient").explain({"x": x.detach().numpy()}, target=target)
    assert relative_l2(result.relevance, x.grad[0].numpy()) < 1e-5
    assert relative_l2(result.scores, network(x).detach().numpy().reshape(-1)) < 1e-6
    report = inspect_model(model)
    assert (report["classes"], report["reading"]["class_axis"]) == (len(result.scores), SHAPES[shape])
    assert report["reading"]["sample_axis"] == 0 and not report["reading"]["guessed"]
    assert relative_l2(Explainer(model).explain({"x": x.detach().numpy()}, target).scores, result.scores) < 1e-6


def test_one_sample_without_a_batch_axis_has_its_scores_explained():
    class Bare(Head):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.dense(self.body(x)).squeeze()

    network, x = Bare("N1C"), torch.randn(1, 3, 8, 8)
    result = Explainer(export(network, x, free=False), method="gradient").explain({"x": x.numpy()}, 4)
    leaf = x.clone().requires_grad_()
    network(leaf)[4].backward()
    assert relative_l2(result.relevance, leaf.grad[0].numpy()) < 1e-5
    assert result.scores.shape == (CLASSES,)


class Sequence(nn.Module):
    """A recurrent network over seven steps that scores every step: time in front, or behind the batch."""

    def __init__(self, time_first: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.step, self.dense, self.time_first = nn.GRU(4, 6, batch_first=True), nn.Linear(6, CLASSES), time_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.dense(self.step(x)[0])
        return y.transpose(0, 1).log_softmax(-1) if self.time_first else y


def of_region(y: torch.Tensor, region: str, target: int) -> torch.Tensor:
    """One class's score of a sequence [T, C], written once more."""
    if region == "all":
        return y[:, target].mean()
    if region == "mask":
        wins = y.argmax(-1) == target
        return y[wins, target].mean() if wins.any() else y[:, target].mean()
    return y[:, target].max() if region == "peak" else y[int(region), target]


@pytest.mark.parametrize("region", ["auto", "mask", "all", "peak", "2"])
@pytest.mark.parametrize("time_first", [True, False], ids=["T×N×C", "N×T×C"])
@pytest.mark.parametrize("free", [True, False], ids=["free batch", "batch of one"])
def test_sequences_of_scores(time_first, region, free):
    network, x = Sequence(time_first), torch.randn(1, STEPS, 4, generator=torch.Generator().manual_seed(5))
    model = export(network, torch.zeros(1, STEPS, 4), free=free)
    leaf, target = x.clone().requires_grad_(), int(network.dense(network.step(x)[0])[0].sum(0).argmax())
    wanted = {"auto": "mask" if time_first else "peak"}.get(region, region)
    of_region(network.dense(network.step(leaf)[0])[0], wanted, target).backward()
    result = Explainer(model, method="gradient", region=region).explain({"x": x.numpy()}, target)
    assert relative_l2(result.relevances["x"], leaf.grad[0].numpy()) < 1e-5
    own = network(x)[:, 0] if time_first else network(x)[0]
    assert relative_l2(result.scores[target], of_region(own, wanted, target).detach().numpy()) < 1e-5
    reading = inspect_model(model)["reading"]
    assert (reading["sample_axis"], reading["class_axis"]) == ((1, 2) if time_first else (0, 2))
    assert result.outputs["y"].shape == (STEPS, CLASSES)


def test_two_sequences_at_once_are_two():
    network, x = Sequence(True), torch.randn(2, STEPS, 4)
    explainer = Explainer(export(network, torch.zeros(1, STEPS, 4)), method="gradient")
    both = [r[0] for r in explainer.explain_batch([{"x": one[None].numpy()} for one in x], target=1)]
    for one, found in zip(x, both, strict=True):
        alone = explainer.explain({"x": one[None].numpy()}, target=1)
        assert relative_l2(found.relevance, alone.relevance) < 1e-6
        assert relative_l2(found.scores, alone.scores) < 1e-6


def test_the_class_axis_can_be_named():
    network = Sequence(False)
    model = export(network, torch.zeros(1, STEPS, 4), free=False)
    result = Explainer(model, method="gradient", class_axis=1, region="all").explain({"x": np.ones((1, STEPS, 4), "f")})
    assert result.scores.shape == (STEPS,)
    assert inspect_model(model, class_axis=-2)["reading"]["told_by"] == "the user (--class-axis)"
    for wrong in (0, 3, -3):
        with pytest.raises(BadInput, match="say one of 1, 2 with --class-axis"):
            inspect_model(model, class_axis=wrong)


class Rows(nn.Module):
    """A convolution with six channels over four steps; a softmax runs over one of the two."""

    def __init__(self, over: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.over = nn.Conv1d(3, 6, 1), over

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        steps_first = y.transpose(1, 2)
        return {"softmax over steps": lambda: y.softmax(-1), "channels last": lambda: steps_first + 1.0,
                "channels last, split": lambda: steps_first.reshape(-1, 2, 2, 6),
                "mixed up": lambda: y.reshape(-1, 4, 6)}[self.over]()  # fmt: skip


@pytest.mark.parametrize(
    ("over", "axis", "told"),
    [
        ("softmax over steps", 2, "the softmax behind it"),
        ("channels last", 2, "the layer that made it"),
        ("channels last, split", 3, "the layer that made it"),
    ],
)
@pytest.mark.parametrize("free", [True, False], ids=["free batch", "batch of one"])
def test_what_tells_the_class_axis_against_the_sizes(over, axis, told, free):
    """Of 6 channels and 4 steps the sizes alone would tell the wrong axis."""
    network, x = Rows(over), torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    model = export(network, torch.zeros(1, 3, 4), free=free)
    reading = inspect_model(model)["reading"]
    assert (reading["class_axis"], reading["told_by"], reading["guessed"]) == (axis, told, False)
    result = Explainer(model, method="gradient", region="all").explain({"x": x.detach().numpy()}, target=3)
    network.conv(x)[0][(slice(None), 3) if "softmax" in over else 3].mean().backward()
    assert relative_l2(result.relevance, x.grad[0].numpy()) < 1e-5


def test_an_axis_that_a_reshape_mixes_up_is_not_followed():
    """Four times six are not the six channels of four steps, though six is there again."""
    reading = inspect_model(export(Rows("mixed up"), torch.zeros(1, 3, 4)))["reading"]
    assert reading["guessed"] and reading["class_axis"] == 1


def test_labels_tell_the_class_axis_and_a_guess_is_said_to_be_one():
    class Crossed(nn.Module):
        """No layer with weights lies behind x: nothing but sizes tells the axes."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2.0

    model = export(Crossed(), torch.zeros(1, 6, 4), free=False)
    report = inspect_model(model)
    assert report["reading"]["guessed"] and any("--class-axis" in note for note in report["warnings"])
    feeds = {"x": np.ones((1, 6, 4), np.float32)}
    assert any("guessed from its sizes" in w for w in Explainer(model, method="gradient").explain(feeds).warnings)
    told = Explainer(model, method="gradient", labels=list("abcdef")).explain(feeds)
    assert told.scores.shape == (6,) and not told.warnings


# ---- which output ----


class Several(nn.Module):
    def __init__(self, which: str) -> None:
        super().__init__()
        self.head, self.which = Head("N1"), which

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.head.dense(self.head.body(x))
        best = y.softmax(1).topk(2)
        return {
            "topk first": (best.values, best.indices, y.softmax(1)),
            "features": (self.head.body(x), y),
            "twice the same": (y, y.argmax(1), y.softmax(1)),
        }[self.which]


@pytest.mark.parametrize(
    ("which", "chosen", "said"), [("topk first", "c", True), ("features", "a", True), ("twice the same", "a", False)]
)
def test_of_several_outputs_the_scores_of_all_classes_are_explained(which, chosen, said):
    names = "abc"[: 2 if which == "features" else 3]
    model = export(Several(which), torch.zeros(1, 3, 8, 8), outputs=tuple(names))
    result = Explainer(model, method="gradient").explain({"x": np.ones((1, 3, 8, 8), np.float32)})
    assert inspect_model(model)["reading"]["output"] == chosen
    assert any("name one with --output" in w for w in result.warnings) == said


def test_labels_tell_the_output():
    model = export(Several("features"), torch.zeros(1, 3, 8, 8), outputs=("a", "b"))
    feeds = {"x": np.ones((1, 3, 8, 8), np.float32)}
    assert Explainer(model, labels=list("abcde")).explain(feeds).scores.shape == (CLASSES,)


def test_any_tensor_can_be_the_output():
    model = export(Head("softmax N11C"), torch.zeros(1, 3, 8, 8))
    inner = next(n.output[0] for n in model.graph.node if n.op_type == "Gemm")
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    explainer = Explainer(model, method="gradient", output=inner)
    result = explainer.explain({"x": x}, target=1)
    assert relative_l2(result.relevance, Explainer(model, method="gradient").explain({"x": x}, 1).relevance) < 1e-6
    assert inner in result.outputs and relative_l2(result.scores, result.outputs[inner]) < 1e-6
    assert relative_l2(explainer.scores({"x": x}), result.scores) < 1e-6
    compiled = compile_explainer(model, "gradient", output=inner)
    assert relative_l2(run(compiled, {"x": x, **asked(1)})["relevance"][0, 0], result.relevance) < 1e-6
    for name, hint in ((inner[:-1], "did you mean"), ("nonsense", "inspect --json lists all tensors")):
        with pytest.raises(BadInput, match=hint):
            Explainer(model, output=name).explain({"x": x})


# ---- detectors ----

ANCHORS = 16


class Detector(nn.Module):
    """Heads as YOLOv8 (boxes, class probabilities), YOLOv5 (boxes, objectness, probabilities) and SSD write them."""

    def __init__(self, style: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body, self.style = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), style
        self.boxes, self.classes, self.all = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 1), nn.Conv2d(8, 8, 1)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The classes' logits [N, 3, anchors]."""
        f = self.body(x)
        return (self.all(f)[:, 5:] if "v5" in self.style else self.classes(f)).flatten(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        f = self.body(x)
        boxes, classes = self.boxes(f).flatten(2), self.classes(f).flatten(2)
        if self.style == "v5":
            y = self.all(f).flatten(2).transpose(1, 2).sigmoid()
            xy, wh, conf = y.split((2, 2, 4), 2)
            return torch.cat((xy * 2.0, (wh * 2.0) ** 2, conf), 2)
        if self.style == "ssd":
            return boxes.transpose(1, 2), classes.transpose(1, 2).softmax(-1)
        y = torch.cat((boxes * 8.0, classes.sigmoid()), 1)
        return y.transpose(1, 2) if self.style == "v8 transposed" else y


@pytest.mark.parametrize("style", ["v8", "v8 transposed", "v5", "ssd"])
def test_coordinates_of_boxes_are_no_classes(style):
    network, side = Detector(style), int(ANCHORS**0.5)
    outputs = ("boxes", "y") if style == "ssd" else ("y",)
    model = export(network, torch.zeros(1, 3, side, side), outputs=outputs)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2)).requires_grad_()
    explainer = Explainer(model, method="gradient")
    result = explainer.explain({"x": x.detach().numpy()}, target=2)
    assert result.scores.shape == (3,)
    y = network.logits(x)[0, 2]
    (y.sigmoid() if style == "v5" else y).max().backward()
    assert relative_l2(result.relevance, x.grad[0].numpy()) < 1e-5
    report = inspect_model(model)
    assert report["reading"]["output"] == "y" and report["reading"]["region"] == "peak"
    assert report["reading"]["rows"] == {"v5": [5, 8], "ssd": None}.get(style, [4, 7])
    third = explainer_of(model, "3").explain({"x": x.detach().numpy()}, target=1)
    leaf = x.detach().clone().requires_grad_()
    y = network.logits(leaf)[0, 1, 3]
    (y.sigmoid() if style == "v5" else y).backward()
    assert relative_l2(third.relevance, leaf.grad[0].numpy()) < 1e-5, "one detection can be asked for"


class Cut(Detector):
    """Boxes and class probabilities joined, and the probabilities cut out of it again, as in front of a suppression."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.body(x)
        y = torch.cat((self.boxes(f).flatten(2), self.classes(f).flatten(2).sigmoid()), 1)
        ways = {
            "slice": lambda: y[:, 4:],
            "split": lambda: y.split((4, 3), 1)[1],
            "gather": lambda: y[:, torch.tensor([4, 5, 6])],
            "transposed": lambda: y.transpose(1, 2)[..., 4:],
            "a row too many": lambda: y[:, 3:],
            "another order": lambda: y[:, torch.tensor([4, 6, 5])],
        }
        return ways[self.style]()


@pytest.mark.parametrize("style", ["slice", "split", "gather", "transposed", "a row too many", "another order"])
@pytest.mark.parametrize("free", [True, False], ids=["free batch", "batch of one"])
def test_probabilities_cut_out_of_what_they_were_joined_in_are_still_probabilities(style, free):
    network, target = Cut(style), {"a row too many": 3, "another order": 1}.get(style, 2)
    model = export(network, torch.zeros(1, 3, 4, 4), free=free)
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    explainer = Explainer(model, method="gradient", region="5", class_axis=-1 if style == "transposed" else 1)
    result = explainer.explain({"x": x.detach().numpy()}, target=target)
    logit, exact = network.logits(x)[0, 2, 5], style not in ("a row too many", "another order")
    assert result.score == pytest.approx(float(logit.detach().sigmoid()), rel=1e-5)
    (logit if exact else logit.sigmoid()).backward()
    assert relative_l2(result.relevance, x.grad[0].numpy()) < 1e-5
    assert result.kind == ("sigmoid" if exact else "logits")


def explainer_of(model: onnx.ModelProto, region: str) -> Explainer:
    return Explainer(model, method="gradient", region=region)


def test_rows_that_are_classes_can_be_named():
    model = export(Sequence(False), torch.zeros(1, STEPS, 4))
    x = {"x": np.random.default_rng(0).normal(size=(1, STEPS, 4)).astype(np.float32)}
    full = Explainer(model, method="gradient", region="all").explain(x, target=3)
    part = Explainer(model, method="gradient", region="all", class_rows="2:").explain(x, target=1)
    assert part.scores.shape == (3,)
    assert relative_l2(part.relevances["x"], full.relevances["x"]) < 1e-6
    for wrong in ("3", "4:2", ":9", "a:b"):
        with pytest.raises(BadInput, match="write FIRST:END"):
            Explainer(model, class_rows=wrong).explain(x)


NMS = """<ir_version: 8, opset_import: ["" : 17]>
    detect (float[1, 3, 4, 4] x) => (int64[k, 3] selected, float[k] found)
    <float[3, 3, 1, 1] w, float[4, 3, 1, 1] v, int64[1] most = {5}, float[1] overlap = {0.5}, float[1] least = {0.3}> {
        a = Conv(x, w)
        s = Sigmoid(a)
        rows = Constant<value_ints = [1, -1, 16]>()
        scores = Reshape(s, rows)
        b = Conv(x, v)
        c = Reshape(b, rows)
        boxes = Transpose<perm = [0, 2, 1]>(c)
        selected = NonMaxSuppression(boxes, scores, most, overlap, least)
        flat = Flatten<axis = 0>(scores)
        last = Constant<value_ints = [2]>()
        place = Gather<axis = 1>(selected, last)
        index = Squeeze(place, last_axis)
        row = Squeeze(flat, first_axis)
        found = Gather(row, index)
    }"""


def test_a_detector_that_suppresses_is_explained_at_the_scores_it_reads():
    model = onnx.parser.parse_model(
        NMS.replace("int64[1] most", "int64[1] last_axis = {1}, int64[1] first_axis = {0}, int64[1] most").replace(
            "float[3, 3, 1, 1] w, float[4, 3, 1, 1] v, ", ""
        )
    )
    draw = np.random.default_rng(0)
    for name, rows in (("w", 3), ("v", 4)):
        weight = draw.normal(size=(rows, 3, 1, 1)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    x = draw.normal(size=(1, 3, 4, 4)).astype(np.float32)
    result = Explainer(model, method="gradient").explain({"x": x}, target=1)
    assert result.scores.shape == (3,)
    assert any("NonMaxSuppression" in w and "'scores'" in w for w in result.warnings)
    w = onnx.numpy_helper.to_array(model.graph.initializer[-2])[:, :, 0, 0]
    y = np.einsum("cd,dhw->chw", w, x[0])[1]
    best = np.unravel_index(y.argmax(), y.shape)
    want = np.zeros_like(x[0])
    want[:, best[0], best[1]] = w[1]
    assert relative_l2(result.relevance, want) < 1e-5
    with pytest.raises(BadModel, match="known at run time only"):
        Explainer(model, output="found").explain({"x": x})
