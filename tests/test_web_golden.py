"""What the page's own tests compare with is what Python makes today."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.render.colours import colour_limit, heatmap_rgb, overlay, smooth

from .web_golden import FILE, as_text

WEB = FILE.parents[1]
DRAWN = json.loads((WEB / "draw/python.json").read_text(encoding="utf-8"))
MAP = np.array(DRAWN["map"]["values"]).reshape(DRAWN["map"]["shape"])
PLANE = np.array(DRAWN["smooth"]["values"]).reshape(DRAWN["smooth"]["height"], DRAWN["smooth"]["width"])


def test_photos_are_prepared_as_here():
    assert FILE.read_text(encoding="utf-8") == as_text(), "run: python tests/web_golden.py"


def test_maps_have_these_colours():
    shares = (np.array(DRAWN["at"]) - 255) / 255
    np.testing.assert_array_equal(heatmap_rgb(shares[None], 1.0)[0], DRAWN["red_blue"])


def test_colours_end_here():
    assert colour_limit(MAP) == pytest.approx(DRAWN["limit"], rel=1e-6)
    assert colour_limit(MAP, 90) == pytest.approx(DRAWN["limit90"], rel=1e-6)


@pytest.mark.parametrize("number", range(6))
def test_maps_lie_on_a_photo_here(number):
    laid = DRAWN["lays"][number]
    geometry = Geometry(*(tuple(laid["geometry"][key]) for key in ("original", "tensor", "box")))
    np.testing.assert_allclose(geometry.to_original(MAP).ravel(), laid["values"], atol=1e-6)


def test_maps_are_smoothed_and_painted_so():
    sigma = DRAWN["smooth"]["sigma"]
    np.testing.assert_allclose(smooth(PLANE, sigma).ravel(), DRAWN["smooth"]["soft"], atol=1e-6)
    np.testing.assert_array_equal(heatmap_rgb(PLANE, colour_limit(PLANE)).ravel(), DRAWN["overlay"]["map"])
    photo = Image.fromarray(np.array(DRAWN["overlay"]["photo"], np.uint8).reshape(*PLANE.shape, 3))
    found = np.asarray(overlay(photo, PLANE, sigma=sigma), int).ravel()
    assert np.abs(found - DRAWN["overlay"]["pixels"]).max() <= 1  # by Pillow's version


def test_npy_files_have_these_bytes():
    for one in json.loads((WEB / "page/numpy.json").read_text(encoding="utf-8")):
        given = base64.b64decode(one["bytes"])
        array = np.load(io.BytesIO(given))
        again = io.BytesIO()
        np.save(again, array)
        assert array.dtype == np.float32 and list(array.shape) == one["shape"] and again.getvalue() == given
