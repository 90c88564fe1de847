"""Where a tensor's pixels lie in the photograph: exact in every mode, for odd sizes, up and down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.prepare import prepare
from rsp_onnx.inputs.presets import Preprocess

SIDES = st.integers(9, 90)
MODES = st.sampled_from(["stretch", "crop", "pad"])


def places(geometry, axis):
    """Centres of the tensor's pixels in original pixels, from the definition of the box alone."""
    start, end = geometry.box[1 - axis], geometry.box[3 - axis]
    n = geometry.tensor[axis]
    return start + (np.arange(n) + 0.5) * (end - start) / n


def seen(geometry, axis):
    """Original pixels that lie wholly in the box and further inside than one tensor pixel from its ends."""
    start, end = geometry.visible[1 - axis], geometry.visible[3 - axis]
    pixel = (geometry.box[3 - axis] - geometry.box[1 - axis]) / geometry.tensor[axis]
    at = np.arange(geometry.original[axis])
    return (at >= start + pixel) & (at + 1 <= end - pixel)


@settings(max_examples=60, deadline=None)
@given(h0=SIDES, w0=SIDES, h=SIDES, w=SIDES, mode=MODES)
def test_a_ramp_comes_back_where_it_was(h0, w0, h, w, mode):
    geometry = Geometry.fit((h0, w0), (h, w), mode)
    for axis in (0, 1):
        ramp = places(geometry, axis)
        heatmap = np.broadcast_to(ramp[:, None] if axis == 0 else ramp, (h, w))
        back = geometry.to_original(heatmap)
        rows, columns = seen(geometry, 0), seen(geometry, 1)
        want = np.arange(geometry.original[axis]) + 0.5
        want = want[rows, None] if axis == 0 else want[None, columns]
        found = back[np.ix_(rows, columns)]
        scale = geometry.tensor[axis] / (geometry.box[3 - axis] - geometry.box[1 - axis])
        # upward, bilinear interpolation of a ramp is exact; downward, the cut pixels at both ends of the
        # area can shift its mean by 1/4 tensor pixel at most
        tolerance = 1e-4 if scale <= 1 else 0.25 / scale + 1e-4
        assert found.size == 0 or np.abs(found - want).max() < tolerance


@settings(max_examples=40, deadline=None)
@given(h0=SIDES, w0=SIDES, h=SIDES, w=SIDES, mode=MODES)
def test_a_photographed_ramp_comes_back_where_it_was(h0, w0, h, w, mode):
    geometry = Geometry.fit((h0, w0), (h, w), mode)
    columns = seen(geometry, 1)
    assume(columns.sum() > 4)
    # the ramp runs from 10 to 2 * 90 + 10 grey levels; Pillow rounds to one level in each of two passes
    photo = np.broadcast_to((10 + 2 * np.arange(w0)).astype(np.uint8), (h0, w0))
    signature = InputSignature("x", np.dtype(np.float64), (1, 1, h, w))
    prepared = prepare(photo, signature, Preprocess(scale=1.0, resize=mode))
    assert prepared.geometry == geometry
    back = prepared.geometry.to_original(prepared.tensor[0, 0])
    pixel = max(1.0, (geometry.box[2] - geometry.box[0]) / w)
    # inside by the reach of the antialiasing filter; the rounding is 1 level = half a pixel of the photo
    inner = columns & np.roll(columns, int(2 * pixel) + 1) & np.roll(columns, -int(2 * pixel) - 1)
    middle = h0 // 2
    assert np.all(np.abs(back[middle, inner] - photo[middle, inner]) <= 1.6)


@pytest.mark.parametrize("mode", ["stretch", "crop", "pad"])
@pytest.mark.parametrize(("original", "tensor"), [((97, 131), (32, 32)), ((61, 45), (20, 33)), ((480, 333), (64, 48))])
def test_the_centre_of_mass_of_one_pixel_lands_at_its_place(mode, original, tensor):
    geometry = Geometry.fit(original, tensor, mode)
    for row, column in [(tensor[0] // 2, tensor[1] // 2), (tensor[0] // 3, 2 * tensor[1] // 3)]:
        heatmap = np.zeros(tensor)
        heatmap[row, column] = 1.0
        back = geometry.to_original(heatmap).astype(np.float64)
        y, x = np.mgrid[: original[0], : original[1]] + 0.5
        assert back.sum() > 0
        # a sampled triangle's centre is less than 0.1 original pixels off here; a shift would be 0.5
        assert (back * y).sum() / back.sum() == pytest.approx(places(geometry, 0)[row], abs=0.1)
        assert (back * x).sum() / back.sum() == pytest.approx(places(geometry, 1)[column], abs=0.1)


def test_the_same_size_is_the_identity():
    heatmap = np.random.default_rng(0).standard_normal((13, 17)).astype(np.float32)
    for mode in ("stretch", "pad"):
        assert np.array_equal(Geometry.fit((13, 17), (13, 17), mode).to_original(heatmap), heatmap)


def test_a_tensor_finer_than_the_photo_is_averaged_over_each_pixel():
    heatmap = np.random.default_rng(0).standard_normal((12, 20))
    back = Geometry.fit((4, 5), (12, 20), "stretch").to_original(heatmap)
    np.testing.assert_allclose(back, heatmap.reshape(4, 3, 5, 4).mean(axis=(1, 3)), atol=1e-6)


@pytest.mark.parametrize("mode", ["stretch", "pad"])
def test_averaging_keeps_the_mean_at_uneven_sizes(mode):
    heatmap = np.random.default_rng(1).standard_normal((37, 37))
    back = Geometry.fit((7, 7), (37, 37), mode).to_original(heatmap)
    assert back.mean() == pytest.approx(heatmap.mean(), abs=1e-6)


def test_enlarging_by_a_whole_factor_and_averaging_blocks_keeps_the_inner_pixels_of_a_plane():
    y, x = np.mgrid[:8, :9].astype(float)
    plane = 2 * x - 3 * y + 1
    back = Geometry.fit((40, 45), (8, 9), "stretch").to_original(plane)
    blocks = back.reshape(8, 5, 9, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(blocks[1:-1, 1:-1], plane[1:-1, 1:-1], atol=1e-5)


def test_what_was_cropped_away_is_zero_and_the_rest_is_not():
    geometry = Geometry.fit((100, 200), (56, 56), "crop", 0.875)
    assert geometry.box == (56.25, 6.25, 143.75, 93.75)  # 64×128 resized, 4 and 36 pixels cut off
    back = geometry.to_original(np.ones((56, 56)))
    want = np.zeros((100, 200))
    want[6:94, 56:144] = 1.0
    np.testing.assert_allclose(back, want, atol=1e-6)


@pytest.mark.parametrize("original", [(30, 80), (80, 30), (31, 77), (300, 7)])
@pytest.mark.parametrize("tensor", [(50, 50), (224, 224), (33, 64)])
def test_the_margins_of_a_letterbox_leave_no_trace(original, tensor):
    geometry = Geometry.fit(original, tensor, "pad")
    left, top, right, bottom = geometry.inside
    heatmap = np.full(tensor, 1000.0)
    heatmap[top:bottom, left:right] = 1.0
    np.testing.assert_allclose(geometry.to_original(heatmap), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("original", "inside"), [((10, 5), (2, 0, 7, 10)), ((5, 10), (0, 2, 10, 7)), ((10, 4), (3, 0, 7, 10))]
)
def test_a_letterboxs_odd_pixel_is_on_the_right_or_below(original, inside):
    assert Geometry.fit(original, (10, 10), "pad").inside == inside


def test_a_crop_of_a_very_thin_photo_still_sees_something():
    back = Geometry.fit((1, 1000), (224, 224), "crop").to_original(np.ones((224, 224)))
    assert back.max() == pytest.approx(1.0)


@pytest.mark.parametrize(("h0", "w0"), [(375, 500), (500, 333), (213, 214), (640, 427), (256, 256)])
def test_a_crop_is_the_one_of_torchvision(h0, w0):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (h0, w0, 3), dtype=np.uint8))
    # transforms.Resize(256) and transforms.CenterCrop(224), written out
    short, long = min(h0, w0), max(h0, w0)
    resized = (256, int(256 * long / short)) if h0 <= w0 else (int(256 * long / short), 256)
    whole = photo.resize((resized[1], resized[0]), Image.Resampling.BILINEAR)
    top, left = round((resized[0] - 224) / 2), round((resized[1] - 224) / 2)
    want = np.asarray(whole)[top : top + 224, left : left + 224].astype(int)
    signature = InputSignature("x", np.dtype(np.uint8), (1, 224, 224, 3))
    found = prepare(photo, signature, Preprocess(scale=1.0, resize="crop")).tensor[0].astype(int)
    assert np.abs(found - want).max() <= 1  # the filter's fixed-point weights may differ in the last digit


def test_maps_that_do_not_fit_are_refused():
    geometry = Geometry.fit((10, 10), (5, 5), "stretch")
    with pytest.raises(BadInput, match=r"\(4, 5\).*\(5, 5\)"):
        geometry.to_original(np.zeros((4, 5)))
    with pytest.raises(BadInput, match="1 of 25 values"):
        geometry.to_original(np.where(np.eye(5) * np.arange(5) == 4, np.nan, 0))
    with pytest.raises(BadInput, match="two axes"):
        geometry.to_original(np.zeros((1, 5, 5)))
