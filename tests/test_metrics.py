"""Metrics: small cases computed by hand, protocols at their edges, and flaws that must not pass."""

import builtins
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from rsp_onnx import Explainer, Explanation
from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.datasets.annotated import Item, Thing
from rsp_onnx.evaluate.datasets.formats import open_dataset
from rsp_onnx.evaluate.metrics.bookkeeping import correlation
from rsp_onnx.evaluate.metrics.bootstrap import mean_of_classes, median
from rsp_onnx.evaluate.metrics.catalogue import METRICS, find_metric, list_metrics
from rsp_onnx.evaluate.metrics.localisation import share, within
from rsp_onnx.evaluate.metrics.miou import _levels, for_tuning
from rsp_onnx.evaluate.metrics.parameter_randomisation import compare, spearman
from rsp_onnx.evaluate.metrics.perturbation import squares
from rsp_onnx.evaluate.metrics.protocol import Case, Truth
from rsp_onnx.evaluate.metrics.randomise import randomised, stages, weight_layers
from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.serving.account import Account

MODELS = Path(__file__).parent.parent / "models"
DATA = Path(__file__).parent / "data"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Crowded:
    """Masks of COCO's kind."""

    def __init__(self, masks, crowd):
        self.masks, self.there = masks, crowd

    def read(self, class_index, size):
        return self.masks.get(class_index)

    def ignored(self, size):
        return self.there

    def crowd(self, class_index):
        return self.there


class Drawn:
    """Masks that are given as arrays."""

    def __init__(self, masks, ignored=None):
        self.masks, self.none = masks, ignored

    def read(self, class_index, size):
        return self.masks.get(class_index)

    def ignored(self, size):
        return self.none


def case(heatmap, things=(), masks=None, target=0, *, unknown=(), others=None, first=True, ledger=None, geometry=None):
    """Return a case whose photo has the map's own pixels, unless a geometry says otherwise."""
    heatmap = np.asarray(heatmap, np.float32)
    height, width = heatmap.shape
    geometry = geometry or Geometry.fit((height, width), (height, width), "stretch")
    found = Explanation(heatmap[None], heatmap, np.array([0.9, 0.1, 0.0], np.float32), target, geometry=geometry,
                        account=Account((ledger or {}, ())))  # fmt: skip
    item = Item("a", Path("a.png"), tuple(things), tuple(unknown), masks)
    size = (geometry.original[1], geometry.original[0])
    more = {c: replace(found, relevance=r[None], heatmap=r, target=c) for c, r in (others or {}).items()}
    return Case(
        item, target, Truth(item, target, size), found, True, None, Feeds({"x": heatmap[None, None]}), 0.5, more, first
    )


def spot(x, y, size=(40, 30), value=1.0):
    heatmap = np.zeros((size[1], size[0]), np.float32)
    heatmap[y, x] = value
    return heatmap


def figure(found, subset):
    return next(f for f in found if f.subset == subset)


def rows(**columns):
    count = len(next(iter(columns.values())))
    base = {"item": list(range(count)), "target": [0] * count, "label": ["a"] * count}
    return {**base, **columns}


# ---- the pointing game ----


def check_pointing(metric):
    """Assert what a pointing game of 5 pixels must answer; a planted flaw must fail here."""
    box = Thing(0, (10, 10, 14, 12))
    for x, y, hit in [(12, 11, True), (10, 10, True), (6, 11, True), (5, 11, False), (19, 11, False), (18, 11, True),
                      (12, 16, True), (12, 17, False), (7, 7, True), (6, 7, False), (11, 25, False)]:  # fmt: skip
        assert metric.measure(case(spot(x, y), [box]))["hit"] is hit, (x, y)
    seen = rows(hit=[True, True, True, False], difficult=[False] * 4, target=[0, 0, 0, 5], label=["a", "a", "a", "b"])
    assert figure(metric.figures(seen), "all").value == 0.5, "a mean over the classes that were seen"
    assert metric.measure(case(spot(12, 11)))["hit"] is None, "no truth, no hit"


def test_pointing_by_hand():
    check_pointing(find_metric("pointing:tolerance=5,sigma=0"))


@pytest.mark.parametrize("flaw", ["x and y", "closed disc", "square", "plain mean", "empty hits"])
def test_a_planted_flaw_is_found(flaw, monkeypatch):
    metric = find_metric("pointing:tolerance=5,sigma=0")
    module = "rsp_onnx.evaluate.metrics.localisation"
    if flaw == "x and y":
        monkeypatch.setattr(f"{module}.within", lambda region, x, y, t: within(region, min(y, 39), min(x, 29), t))
    elif flaw == "closed disc":
        monkeypatch.setattr(f"{module}.within", lambda region, x, y, t: within(region, x, y, t + 0.01))
    elif flaw == "square":
        monkeypatch.setattr(
            f"{module}.within", lambda r, x, y, t: bool(r[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].any())
        )
    elif flaw == "plain mean":
        monkeypatch.setattr(f"{module}.mean_of_classes", lambda v, i, classes=None: mean_of_classes(v, i))
    else:  # as a bool array that is told NaN
        real = type(metric).measure
        monkeypatch.setattr(
            type(metric),
            "measure",
            lambda s, c: {"hit": True, **{k: v for k, v in real(s, c).items() if v is not None}},
        )
    with pytest.raises(AssertionError):
        check_pointing(metric)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 19), st.integers(0, 14), st.integers(0, 9), st.data())
def test_within_is_the_distance_to_the_nearest_pixel(x, y, tolerance, data):
    cells = data.draw(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 14)), max_size=6))
    region = np.zeros((15, 20), bool)
    for column, row in cells:
        region[row, column] = True
    near = any((column - x) ** 2 + (row - y) ** 2 < tolerance**2 or (column, row) == (x, y) for column, row in cells)
    assert within(region, x, y, tolerance) is near


def test_pointing_is_on_the_original_photo():
    geometry = Geometry.fit((120, 160), (30, 40), "stretch")
    metric, box = find_metric("pointing:tolerance=0,sigma=0"), Thing(0, (80, 40, 83, 43))
    found = metric.measure(case(spot(20, 10), [box], geometry=geometry))
    assert found["hit"] and 80 <= found["x"] <= 83 and 40 <= found["y"] <= 43


def test_pixels_that_the_model_never_saw_do_not_win():
    geometry = Geometry.fit((30, 80), (30, 40), "crop", 1.0)
    heatmap = np.full((30, 40), -2.0, np.float32)
    heatmap[5, 7] = -1
    found = find_metric("pointing:tolerance=0,sigma=0").measure(
        case(heatmap, [Thing(0, (27, 5, 27, 5))], geometry=geometry)
    )
    assert (found["x"], found["y"], found["hit"]) == (27, 5, True)


def test_smoothing_finds_the_broad_peak():
    heatmap = spot(3, 3, value=1.5)
    heatmap[20:25, 30:35] = 1
    box = Thing(0, (28, 18, 37, 27))
    assert not find_metric("pointing:sigma=0,tolerance=0").measure(case(heatmap, [box]))["hit"]
    assert find_metric("pointing:sigma=3,tolerance=0").measure(case(heatmap, [box]))["hit"]


@pytest.mark.parametrize(
    ("box", "others", "unknown", "difficult"),
    [((0, 0, 19, 9), [Thing(1)], (), True), ((0, 0, 19, 9), [], ("ghost",), True),
     ((0, 0, 19, 9), [Thing(0)], (), False), ((0, 0, 19, 19), [Thing(1)], (), False),
     ((0, 0, 14, 19), [Thing(1)], (), False), ((0, 0, 13, 19), [Thing(1)], (), True)],
)  # fmt: skip
def test_difficult_is_small_and_not_alone(box, others, unknown, difficult):
    found = find_metric("pointing").measure(case(spot(1, 1), [Thing(0, box), *others], unknown=unknown))
    assert found["difficult"] is difficult


def test_targets_whose_objects_are_all_flagged_are_left_out():
    metric, flagged = find_metric("pointing"), Thing(0, (1, 1, 5, 5), difficult=True)
    assert metric.measure(case(spot(1, 1), [flagged]))["hit"] is None
    found = metric.measure(case(spot(3, 3), [flagged, Thing(0, (30, 20, 35, 25))]))
    assert found["hit"] is True, "as TorchRay: one good object, and the flagged ones' boxes count as well"


def test_truth_may_be_box_or_mask():
    mask = np.zeros((30, 40), bool)
    mask[10:13, 10:13] = True
    masks, thing = Drawn({0: mask}), Thing(0, (0, 0, 20, 20))
    hits = {t: find_metric(f"pointing:tolerance=1,truth={t}").measure(case(spot(3, 3), [thing], masks))["hit"]
            for t in ("auto", "box", "mask")}  # fmt: skip
    assert hits == {"auto": True, "box": True, "mask": False}
    masks = Crowded({0: mask}, np.zeros((30, 40), bool))
    assert find_metric("pointing:tolerance=1").measure(case(spot(3, 3), [thing], masks))["hit"] is False
    assert find_metric("pointing:truth=mask").measure(case(spot(3, 3), [thing]))["hit"] is None


def test_a_miss_on_ignored_pixels_is_not_counted():
    mask, ignored = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    mask[0, 0], ignored[20:] = True, True
    masks = Drawn({0: mask}, ignored)
    metric = find_metric("pointing:tolerance=2,sigma=0,truth=mask")
    assert metric.measure(case(spot(25, 25), [Thing(0)], masks))["hit"] is None
    assert metric.measure(case(spot(25, 15), [Thing(0)], masks))["hit"] is False


def test_a_crowd_of_coco_is_an_object_of_the_pointing_game():
    mask, crowd = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    mask[0, 0], crowd[20:] = True, True
    metric, flagged = find_metric("pointing:tolerance=2,sigma=0"), Thing(0, difficult=True)
    assert metric.measure(case(spot(25, 25), [flagged], Crowded({0: mask}, crowd)))["hit"] is True
    assert metric.measure(case(spot(25, 25), [flagged], Crowded({}, crowd)))["hit"] is True
    assert metric.measure(case(spot(25, 15), [flagged], Crowded({0: mask}, crowd)))["hit"] is False


def test_pointing_figures_by_subset():
    found = find_metric("pointing").figures(
        rows(hit=[True, False, True, None, False], difficult=[True, False, False, None, True], target=[0, 0, 2, 4, 2],
             label=["cat", "cat", "dog", "ghost", "dog"])
    )  # fmt: skip
    values = {f.subset: (f.value, f.n) for f in found}
    assert values == {"all": (0.5, 4), "targets": (0.5, 4), "difficult": (0.5, 2), "difficult-targets": (0.5, 2),
                      "class:cat": (0.5, 2), "class:dog": (0.5, 2)}  # fmt: skip
    assert found[0].subset == "all" and {f.direction for f in found} == {"higher"}
    assert find_metric("pointing").figures(rows(hit=[None], difficult=[None])) == []


# ---- shares ----


def test_share_by_hand():
    heatmap = np.array([[3.0, 1.0], [-5.0, 4.0]])
    region = np.array([[True, False], [True, False]])
    assert share(heatmap, region) == pytest.approx(3 / 8)
    assert share(heatmap, region, np.array([[False, True], [False, False]])) == pytest.approx(3 / 7)
    assert share(-np.abs(heatmap), region) == 0.0, "no positive relevance"


def test_inside_box_and_mask():
    mask = np.zeros((30, 40), bool)
    mask[0, 0] = True
    heatmap = spot(0, 0) + spot(2, 2) + spot(20, 20, value=2.0) + spot(30, 20, value=-9.0)
    metric = find_metric("inside")
    assert metric.measure(case(heatmap, [Thing(0, (0, 0, 2, 2))], Drawn({0: mask}))) == {"box": 0.5, "mask": 0.25}
    assert metric.measure(case(heatmap, [Thing(0)])) == {"box": None, "mask": None}
    found = metric.figures(rows(box=[0.5, 1.0, None], mask=[0.25, None, None]))
    assert [(f.subset, f.value, f.n) for f in found] == [("box", 0.75, 2), ("mask", 0.25, 1), ("class:a", 0.75, 2)]


def cells(*skip):
    boxes = [(0, 0, 19, 14), (20, 0, 39, 14), (0, 15, 19, 29), (20, 15, 39, 29)]
    return [Thing(c, box) for c, box in enumerate(boxes) if c not in skip]


def test_grid_pointing_by_hand():
    heatmap = spot(5, 5) + spot(25, 5, value=2.0) + spot(5, 20, value=1.0) + spot(30, 20, value=-1.0)
    metric = find_metric("grid-pointing")
    shares = [metric.measure(case(heatmap, cells(), target=t))["share"] for t in range(4)]
    assert shares == [0.25, 0.5, 0.25, 0.0]
    assert metric.measure(case(heatmap, cells(3)))["share"] is None, "a photo, not a mosaic"
    assert metric.measure(case(heatmap, [*cells(3), Thing(3, (0, 0, 19, 14))]))["share"] is None, "cells that overlap"


# ---- mIoU ----


def test_miou_by_hand():
    heatmap, mask = np.zeros((4, 5)), np.zeros((4, 5), bool)
    heatmap[0, :4] = [10, 10, 10, 2]
    heatmap[3] = -7
    mask[0, 1:4] = True
    found = find_metric("miou").measure(case(heatmap, [Thing(0)], Drawn({0: mask})))
    assert found["mean"] == found["otsu"] == pytest.approx(2 / 4), "above 8; above what parts 2 from 10"
    assert found["fractions"] == pytest.approx([3 / 4] * 4 + [2 / 4] * 15), "2 is a fifth of 10"
    assert (found["intersections"][0], found["unions"][0]) == (2, 4)
    ignored = np.zeros((4, 5), bool)
    ignored[0, 0] = True
    found = find_metric("miou").measure(case(heatmap, [Thing(0)], Drawn({0: mask}, ignored)))
    assert found["fractions"][0] == 1.0 and found["mean"] == pytest.approx(2 / 3)


def test_miou_without_mask_or_relevance():
    mask = np.ones((4, 5), bool)
    metric = find_metric("miou")
    assert metric.measure(case(np.ones((4, 5)), [Thing(0)]))["mean"] is None
    assert metric.measure(case(np.ones((4, 5)), [Thing(0)], Drawn({0: ~mask})))["mean"] is None
    nothing = metric.measure(case(-np.ones((4, 5)), [Thing(0)], Drawn({0: mask})))
    assert nothing["mean"] == nothing["otsu"] == 0.0 and set(nothing["fractions"]) == {0.0}
    assert metric.measure(case(np.ones((4, 5)), [Thing(0)], Drawn({0: mask})))["mean"] == 1.0, "one value everywhere"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-4, 20), min_size=2, max_size=40), st.data())
def test_levels_are_thresholds(values, data):
    upper = np.maximum(np.array(values, float), 0)
    inside = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    for k, (both, either) in enumerate(_levels(upper, inside), 1):
        chosen = (upper >= upper.max() * k / 20) & (upper.max() > 0)
        assert (both, either) == (np.sum(chosen & inside), np.sum(chosen | inside))


def test_the_best_fraction_is_chosen_on_the_other_half():
    keys = [f"image {n}" for n in range(40)]
    tuned = [for_tuning(k) for k in keys]
    assert 8 < sum(tuned) < 32
    # fraction 0 is best where the choice is made, fraction 5 on the half that is reported
    unions = [[100] * 21] * 40
    overlap = [[10, 20, 90 if here else 30, *[40] * 4, 20 if here else 95, *[10] * 13] for here in tuned]
    columns = rows(mean=[0.1] * 40, otsu=[0.2] * 40, fractions=[[v / 100 for v in o[2:]] for o in overlap],
                   intersections=overlap, unions=unions, item=keys)  # fmt: skip
    found = find_metric("miou:policy=best").figures(columns)
    assert (found[0].subset, found[0].value, found[0].n) == ("all", pytest.approx(0.3), 40 - sum(tuned))
    assert figure(found, "mean").value == pytest.approx(0.1)


def test_miou_figures_are_means_of_classes_and_accumulated_pixels():
    columns = rows(mean=[0.5, 1.0, 0.2], otsu=[0.0] * 3, fractions=[[0.0] * 19] * 3, target=[0, 0, 1],
                   label=["a", "a", "b"], intersections=[[1] * 21, [9] * 21, [2] * 21],
                   unions=[[2] * 21, [9] * 21, [10] * 21])  # fmt: skip
    found = find_metric("miou").figures(columns)
    assert figure(found, "mean").value == pytest.approx((0.75 + 0.2) / 2)
    assert figure(found, "mean-pixels").value == pytest.approx((10 / 11 + 0.2) / 2)
    assert figure(found, "class:b").value == pytest.approx(0.2)


# ---- bootstrap ----


def test_unseen_classes_are_skipped_and_intervals_hold_the_value():
    values, items = np.arange(20) % 2, [n // 2 for n in range(20)]
    found = mean_of_classes(values, items, classes=["odd" if v else "even" for v in values])
    assert found == (0.5, 0.5, 0.5, 20), "0 for the even, 1 for the odd, whatever is drawn"
    found = mean_of_classes(values, list(range(20)))
    assert found.low < 0.5 < found.high and found.n == 20


def test_a_class_without_weight_is_left_out():
    found = mean_of_classes([1, 0, 1], [0, 0, 0], denominators=[2, 0, 2], classes=["a", "b", "a"])
    assert found == (0.5, 0.5, 0.5, 3)
    drawn = mean_of_classes([1.0] * 6, range(6), classes=list("aabbcc"))
    assert drawn == (1, 1, 1, 6), "a class that was not drawn is left out as well"


def test_targets_of_one_image_are_drawn_together():
    values = np.repeat([0.0, 1.0] * 10, 10)
    alone = mean_of_classes(values, range(200))
    together = mean_of_classes(values, np.repeat(range(20), 10).tolist())
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_interval_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found, half = mean_of_classes(values, range(400), resamples=20_000), 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.04 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.04 * half)


def test_intervals_are_the_same_again_and_one_image_has_none():
    values = np.random.default_rng(1).random(50)
    assert mean_of_classes(values, range(50)) == mean_of_classes(values, range(50))
    assert mean_of_classes([0.3, 0.5], ["a", "a"]) == (0.4, 0.4, 0.4, 2)
    with pytest.raises(ValueError, match="at least one row"):
        mean_of_classes([], [])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_median_by_numpy(values):
    found = median(values, range(len(values)), resamples=50)
    assert found.value == np.median(values)
    assert min(values) <= found.low <= found.high <= max(values)


def test_the_bootstrap_of_medians_is_numpys():
    values = np.random.default_rng(2).exponential(size=61)
    found = median(values, range(61))
    rng = np.random.default_rng(3)
    drawn = np.median(values[rng.integers(61, size=(4000, 61))], axis=1)
    assert np.allclose(np.percentile(drawn, (2.5, 97.5)), (found.low, found.high), atol=0.06)


# ---- perturbation ----


class Model:
    """Scores a photo by the sum of its pixels' share of 16."""

    class Signature:
        name = "x"

        @staticmethod
        def layout():
            return "NCHW"

    signatures = (Signature,)

    def __init__(self):
        self.seen = []

    def score_batch(self, items):
        self.seen += [f.tensors["x"].copy() for f in items]
        return np.array([[f.tensors["x"].sum() / 16] for f in items], np.float32)

    def score_kind(self, item):
        return "sigmoid"


def perturbed(spec, heatmap, photo=1.0):
    model = Model()
    x = np.broadcast_to(photo, (1, 1, 4, 4)).astype(np.float32)
    one = replace(case(heatmap), explainer=model, feeds=Feeds({"x": x}))
    return find_metric(spec).measure(one), model


def test_deletion_by_hand():
    found, model = perturbed("deletion:steps=4", np.arange(16).reshape(4, 4))
    assert found["curve"] == [1, 0.75, 0.5, 0.25, 0] and found["area"] == 0.5
    assert model.seen[1][0, 0].tolist() == [[1] * 4] * 3 + [[0] * 4], "the most relevant first"


def test_the_area_is_that_of_trapezoids():
    photo = np.zeros((4, 4))
    photo[3, 3] = 16
    found, _ = perturbed("deletion:steps=4", np.arange(16).reshape(4, 4), photo)
    assert found["curve"] == [1, 0, 0, 0, 0] and found["area"] == 1 / 8


def test_pixels_of_equal_relevance_go_in_reading_order():
    _, model = perturbed("deletion:steps=4", np.zeros((4, 4)))
    assert model.seen[1][0, 0].tolist() == [[0] * 4] + [[1] * 4] * 3


def test_deletion_that_fills_with_the_mean_of_a_flat_photo_changes_nothing():
    found, _ = perturbed("deletion:steps=3,fill=mean", np.arange(16).reshape(4, 4))
    assert found["area"] == 1.0 and len(found["curve"]) == 4


def test_insertion_ends_at_the_photo():
    found, model = perturbed("insertion:steps=16", np.arange(16).reshape(4, 4))
    assert len(found["curve"]) == 17 and found["curve"][-1] == pytest.approx(1)
    np.testing.assert_array_equal(model.seen[-1], np.ones((1, 1, 4, 4)))


def test_region_perturbation_fills_squares_in_the_order_of_their_relevance():
    heatmap = np.zeros((4, 4))
    heatmap[2:, :2], heatmap[:2, 2:] = 3, 1
    assert [(r.start, c.start) for r, c in squares(heatmap, 2)] == [(2, 0), (0, 2), (0, 0), (2, 2)]
    found, _ = perturbed("region-perturbation:region=2,steps=3", heatmap)
    assert len(found["curve"]) == 4 and found["area"] == pytest.approx(0), "noise between 1 and 1"
    assert len(perturbed("region-perturbation:region=3", heatmap)[0]["curve"]) == 5, "no more squares than there are"


@pytest.mark.parametrize("name", ["digits_pytorch", "digits_keras"])
def test_a_good_map_deletes_faster_than_a_bad_one(name):
    explainer = Explainer(MODELS / f"{name}.onnx", device="cpu")
    feeds = explainer.prepare(MODELS / "scenes" / "scene_0.png")
    found = explainer.explain_each([feeds], [[7]], [[[]]])[0][0]
    item = Item("a", MODELS / "scenes" / "scene_0.png", (Thing(7, (57, 14, 77, 43)),))
    one = Case(item, 7, Truth(item, 7, (96, 96)), found, True, explainer, feeds, 0.1, seed=5)
    bad = replace(one, explanation=replace(found, relevance=-found.relevance, heatmap=-found.heatmap))
    for spec, sign in (("deletion", -1), ("insertion", 1), ("region-perturbation", 1)):
        metric = find_metric(spec)
        good, worse = metric.measure(one), metric.measure(bad)
        assert sign * (good["area"] - worse["area"]) > 0.1, spec
        assert metric.bounds[0] <= good["area"] <= metric.bounds[1]
        assert good == metric.measure(one), "seeded"
    assert find_metric("deletion").measure(one)["curve"][0] == pytest.approx(float(found.scores[7]), abs=1e-5)


# ---- sensitivity, conservation, runtime ----


def test_class_sensitivity_by_hand():
    metric, heatmap = find_metric("class-sensitivity"), np.arange(12.0, dtype=np.float32).reshape(3, 4)
    assert metric.also(np.array([0.2, 0.7, 0.1])) == (1, 2)
    for other, expected in ((2 * heatmap + 1, 1), (-heatmap, -1), (np.ones((3, 4), np.float32), None)):
        found = metric.measure(case(heatmap, others={2: other}))["correlation"]
        assert found is None if expected is None else found == pytest.approx(expected)
    assert metric.measure(case(heatmap, others={2: heatmap}, first=False)) == {"correlation": None}
    assert metric.measure(case(heatmap)) == {"correlation": None}


@settings(max_examples=40)
@given(st.integers(0, 1000))
def test_correlation_is_numpys(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 5, 6))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_conservation_by_hand():
    metric, heatmap = find_metric("conservation"), np.ones((2, 2))
    assert metric.measure(case(heatmap, ledger={"section": 2.0, "x": 3.0})) == {"drift": 0.5}
    assert metric.measure(case(heatmap, ledger={"section": -8.0, "other": 1.0})) == {"drift": 1.5}
    assert metric.measure(case(heatmap)) == {"drift": None}
    assert metric.measure(case(heatmap, ledger={"section": 0.0, "x": 3.0})) == {"drift": None}
    assert metric.figures(rows(drift=[0.1, 0.2, 9.0]))[0].value == 0.2


def test_runtime_is_the_median():
    assert find_metric("runtime").measure(case(np.ones((2, 2)))) == {"seconds": 0.5}
    assert find_metric("runtime").figures(rows(seconds=[1.0, 2.0, 50.0]))[0].value == 2.0


# ---- parameter randomisation ----

TEXT = """<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,3] y) {
    h = MatMul(x, a)
    k = Relu(h)
    wt = Transpose<perm=[1,0]>(b)
    s = DequantizeLinear(q, qs, qz)
    m = MatMul(k, s)
    n = MatMul(m, m2)
    z = MatMul(n, wt)
    y = Add(z, c)
}"""


def little():
    model = onnx.parser.parse_model(TEXT)
    rng = np.random.default_rng(0)
    held = {"a": rng.normal(2, 3, (4, 4)), "b": rng.normal(size=(3, 4)), "m2": rng.normal(size=(4, 4)), "c": np.ones(3)}
    tensors = {k: v.astype(np.float32) for k, v in held.items()}
    tensors |= {"q": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "qs": np.float32(0.1), "qz": np.int8(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in tensors.items())
    return model, tensors


def weights(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def test_weights_are_found_behind_transposes_and_dequantisation():
    assert [layer.weight for layer in weight_layers(little()[0])] == ["a", "q", "m2", "b"]


def test_only_the_chosen_weights_are_drawn_anew():
    model, before = little()
    layers = weight_layers(model)
    after = weights(randomised(model, layers[2:], 7))
    assert {k for k in before if not np.array_equal(before[k], after[k])} == {"m2", "b"}
    assert all(np.array_equal(v, weights(model)[k]) for k, v in before.items()), "the model itself stays"
    again = weights(randomised(model, layers, 7))
    np.testing.assert_array_equal(again["b"], after["b"], err_msg="stages share what they have in common")
    assert not np.array_equal(weights(randomised(model, layers, 8))["b"], after["b"])


def test_integers_are_permuted_and_floats_keep_mean_and_deviation():
    model, before = little()
    after = weights(randomised(model, weight_layers(model), 0))
    assert sorted(after["q"].ravel()) == sorted(before["q"].ravel()) and after["q"].dtype == np.int8
    large = np.random.default_rng(0).normal(2, 3, (64, 64)).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(large, "a"))
    drawn = weights(randomised(model, weight_layers(model), 0))["a"]
    assert drawn.dtype == np.float16 and abs(drawn.mean() - 2) < 0.2 and abs(drawn.std() - 3) < 0.2


def test_weights_in_another_file_are_told(tmp_path):
    model, _ = little()
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, convert_attribute=False)
    outside = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    with pytest.raises(BadInput, match="another file"):
        randomised(outside, weight_layers(outside), 0)


@given(st.integers(0, 60), st.integers(0, 12))
def test_stages_are_spaced_from_top_to_bottom(count, wanted):
    found = stages(count, wanted)
    assert len(found) <= wanted and sorted(set(found)) == found and all(1 <= s <= count for s in found)
    if count and wanted > 1:
        assert (found[0], found[-1]) == (1, count) and len(found) == min(wanted, count)


def test_equal_maps_are_alike_and_constant_ones_count_0():
    heatmap = np.random.default_rng(0).normal(size=(9, 9))
    assert compare(heatmap, 3 * heatmap) == pytest.approx({"spearman": 1, "spearman-absolute": 1, "ssim": 1})
    flipped = compare(heatmap, -heatmap)
    assert flipped["spearman"] == pytest.approx(-1) and flipped["spearman-absolute"] == pytest.approx(1)
    assert spearman(heatmap, np.zeros((9, 9))) == 0
    assert compare(heatmap[:3], heatmap[:3])["ssim"] is None


@pytest.mark.slow
def test_randomising_the_digits_changes_the_maps():
    model = onnx.load(MODELS / "digits_pytorch.onnx")
    explainer = Explainer(model, device="cpu")
    cases = [(explainer.prepare(MODELS / "scenes" / f"scene_{n}.png"), t, ()) for n, t in ((0, 7), (1, 2))]
    metric = find_metric("parameter-randomisation:stages=2")
    records = metric.run(lambda other: Explainer(other, device="cpu"), model, cases, True, 0)
    assert {(r["mode"], r["stage"], r["of"]) for r in records} == {
        ("cascade", 1, 7),
        ("cascade", 7, 7),
        ("independent", 7, 7),
    }
    assert len(records) == 6 and records == metric.run(lambda m: Explainer(m, device="cpu"), model, cases, True, 0)
    found = {f.subset: f.value for f in metric.figures(records)}
    assert found["cascade:7"] < 0.6 and {"all", "ssim", "last-layer", "independent"} <= set(found)
    same = metric.run(lambda other: explainer, model, cases, True, 0)  # a method that ignores the weights
    assert metric.figures(same)[0].value == pytest.approx(1)


def test_a_stage_that_cannot_be_explained_is_told_and_not_counted():
    records = [{"mode": "cascade", "stage": 1, "of": 3, "layer": "x", "case": -1, "error": "NaN."}]
    assert find_metric("parameter-randomisation").figures(records) == []


# ---- all of them ----


def test_every_metric_says_what_it_does():
    for one in list_metrics():
        assert one["direction"] in ("higher", "lower") and one["bounds"][0] < one["bounds"][1]
        assert len(one["protocol"]) > 60 and one["protocol"].endswith(".") and one["source"], one["name"]
    assert [one["name"] for one in list_metrics()] == list(METRICS) and len(METRICS) >= 11


@pytest.mark.parametrize(
    "spec",
    ["", "pionting", "pointing:tolerance", "pointing:tolerance=wide", "pointing:tolerance=-1", "pointing:size=3",
     "pointing:truth=both", "inside:steps=3", "deletion:steps=0", "deletion:steps=1e9", "miou:policy=median"],
)  # fmt: skip
def test_wrong_specs_are_told_in_a_sentence(spec):
    with pytest.raises(BadInput) as error:
        find_metric(spec)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_travels_to_another_process_under_its_own_name(name):
    spec = f"{name}:tolerance=3" if name == "pointing" else name
    assert pickle.loads(pickle.dumps(find_metric(spec))).name == spec


@pytest.mark.parametrize("name", [n for n in METRICS if n != "parameter-randomisation"])
def test_no_rows_no_figures(name):
    metric = find_metric(name)
    empty = {column: [None, None] for column in metric.columns}
    assert (
        metric.figures(rows(**empty))
        == []
        == metric.figures({k: [] for k in (*metric.columns, "item", "target", "label")})
    )


@pytest.mark.parametrize("format_", ["voc", "coco"])
def test_every_metric_measures_what_it_declares(format_):
    explainer = Explainer(MODELS / "digits_pytorch.onnx", device="cpu")
    item = open_dataset(format_, DATA / f"digits_{format_}", names=WORDS)[0]
    feeds = explainer.prepare(item.image)
    scores = explainer.scores(feeds)
    wanted = sorted({*item.targets, int(scores.argmax()), int(scores.argmin())})
    found = dict(zip(wanted, explainer.explain_each([feeds], [wanted], [[[]] * len(wanted)])[0], strict=True))
    target = item.targets[0]
    one = Case(item, target, Truth(item, target, (96, 96)), found[target], True, explainer, feeds, 0.1, found)
    kinds = {"float64": float, "bool": bool, "int64": int, "list<float64>": list, "list<int64>": list}
    for name in METRICS:
        metric = find_metric(name)
        if hasattr(metric, "measure"):
            measured = metric.measure(one)
            assert measured.keys() == metric.columns.keys()
            for column, kind in metric.columns.items():
                value = measured[column]
                assert (value is None and name == "grid-pointing") or type(value) is kinds[kind], (name, column, value)
            if name != "grid-pointing":
                line = rows(**{c: [v] for c, v in measured.items()})
                assert all(
                    metric.bounds[0] <= f.low <= f.value <= f.high <= metric.bounds[1] for f in metric.figures(line)
                )


def test_missing_extras_are_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("scipy", "skimage"):
            raise ModuleNotFoundError(name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", without)
    masks = Drawn({0: np.eye(4, dtype=bool)})
    for call, says in (
        (lambda: find_metric("miou").measure(case(np.eye(4), [Thing(0)], masks)), "threshold needs scikit-image"),
        (lambda: spearman(np.eye(3), np.eye(3)), "Rank correlation needs scipy"),
    ):
        with pytest.raises(BadInput, match=f'{says}, .*pip install "rsp-onnx.eval.".'):
            call()
